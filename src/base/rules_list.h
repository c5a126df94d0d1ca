/* rules_list.h - a list of filter rules from within: rules.c evaluates it, rules_text.c reads into
 * it. */
#ifndef HAUL_RULES_LIST_H
#define HAUL_RULES_LIST_H

#include "haul/base/rules.h"

struct glob;

struct rule {
    uint32_t flags; /* enum rule_flag */
    uint32_t length;
    char *pattern;
    struct glob *glob; /* of the pattern without the slash that anchors it */
    uint32_t slashes;
    bool anchored;    /* it begins with a slash */
    bool stars;       /* there is ** in it, */
    bool stars_first; /* at its beginning, */
    bool stars_last;  /* or *** at its end */
};

struct rules {
    bool delete_excluded;
    struct rule *items;
    uint32_t count, capacity;
    char *root; /* without slashes before it; NULL: not known */
};

/* Forget all rules. */
void rules_clear(struct rules *rules);

#endif
