/* filter.h - the rules of --filter, --exclude, --include and of the files that they name, in the
 * order in which they were given. */
#ifndef HAUL_FILTER_H
#define HAUL_FILTER_H

#include "haul/base/error.h"
#include "haul/base/rules.h"

#include <stdbool.h>
#include <stdint.h>

enum filter_kind {
    FILTER_RULE,         /* --filter: a rule */
    FILTER_EXCLUDE,      /* --exclude: a pattern */
    FILTER_INCLUDE,      /* --include */
    FILTER_EXCLUDE_FROM, /* --exclude-from: a file of patterns; "-": standard input */
    FILTER_INCLUDE_FROM, /* --include-from */
};

/* One option of these. */
struct filter_word {
    uint32_t kind; /* enum filter_kind */
    const char *text;
};

enum { FILTER_DEPTH_MAX = 32 }; /* of files that merge files */

/* Read them all. On success the rules are the caller's (rules_close); NULL when there are none.
 * zeros: lines end with a zero byte (--from0). A file that cannot be read, a rule that makes no
 * sense: -errno with words, which name file and line. Reads files, so it may block. */
int filter_read(struct rules **out, const struct filter_word *words, uint32_t words_count,
                bool delete_excluded, bool zeros, struct error *err);

#endif
