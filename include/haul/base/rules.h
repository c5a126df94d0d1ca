/* rules.h - what of a tree is copied, and what is kept when the rest is deleted: rsync's filter
 * rules, in their order, the first one that matches decides.
 *
 * A rule has two effects, on two sides: "hide" (or show) leaves names out at the source, "protect"
 * (or risk) keeps names at the target that the source does not have. Most rules have both.
 * Knows texts and paths, no files: whoever reads a file of rules gives them line by line. */
#ifndef HAUL_RULES_H
#define HAUL_RULES_H

#include "haul/base/bytes.h"
#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What there may be of one transfer, also on the wire. */
enum { RULES_MAX = 65536, RULES_PATTERN_BYTES_MAX = 4095 };

enum rule_flag {
    RULE_INCLUDE = 1 << 0,    /* show, risk; else hide, protect */
    RULE_SOURCE = 1 << 1,     /* hides or shows */
    RULE_TARGET = 1 << 2,     /* protects or risks */
    RULE_FOLDER = 1 << 3,     /* its pattern ended with a slash: folders only */
    RULE_ABSOLUTE = 1 << 4,   /* compared with the path from / on, not from the transfer's root */
    RULE_NEGATED = 1 << 5,    /* matches what the pattern does not match */
    RULE_PERISHABLE = 1 << 6, /* does not count in folders that are deleted themselves */
    RULE_FLAGS = (1 << 7) - 1,
};

/* How a text is read. */
enum rules_form {
    RULES_FILTER = 0,       /* --filter, and files that it merges: "- *.o" */
    RULES_EXCLUDE = 1 << 8, /* --exclude: the pattern, or "- ", "+ " and the pattern, or "!" */
    RULES_INCLUDE = 1 << 9, /* --include */
    RULES_ONLY_EXCLUDE = 1 << 10, /* a merged file of nothing but patterns ("merge,-") */
    RULES_ONLY_INCLUDE = 1 << 11,
    RULES_WORDS = 1 << 12, /* its reader splits lines at white space, and knows no comments */
};

struct rules;

/* A rule "merge FILE": its lines stand in place of it, read as `form` says. */
struct rules_merge {
    uint32_t form;    /* of enum rules_form, and the rule flags that all of them get */
    const char *path; /* in the text that was given */
};

/* No rules. NULL: no memory. Close accepts NULL. delete_excluded: rules that name no side hide, and
 * do not protect. */
struct rules *rules_open(bool delete_excluded);
void rules_close(struct rules *rules);

/* Read one rule behind those that are there (or "!", which forgets those). 0; 1: it is a merge,
 * read that file now; -EINVAL with words: no rule, or one that haul does not have; -ENOMEM; -E2BIG:
 * more than RULES_MAX, or a pattern longer than RULES_PATTERN_BYTES_MAX. */
int rules_parse(struct rules *rules, const char *text, uint32_t form, struct rules_merge *merge,
                struct error *err);

/* One rule, of enum rule_flag and a pattern without the slash of RULE_FOLDER. -EINVAL: not such;
 * -ENOMEM, -E2BIG. */
int rules_add(struct rules *rules, uint32_t flags, const char *pattern, size_t length);

/* How many; how many bytes pack writes. */
uint32_t rules_count(const struct rules *rules);
size_t rules_packed_bytes(const struct rules *rules);

/* All rules for the wire; what does not fit sets bytes->failed. unpack makes a list of them, which
 * is the caller's then; -EPROTO: not rules, whatever else it is given; -ENOMEM. */
void rules_pack(const struct rules *rules, struct bytes *bytes);
int rules_unpack(struct rules **out, struct bytes *bytes);

/* The folder that the transfer's paths begin in, from / on, for RULE_ABSOLUTE. Copied. false: no
 * memory. */
bool rules_set_root(struct rules *rules, const char *path);

/* Is a name left out at the source? `path` is relative to the transfer's root: without a slash
 * before or behind; the root itself ("") is never hidden. What is below a hidden folder is hidden
 * with it, and not asked for. rules may be NULL: nothing is. */
bool rules_hide(const struct rules *rules, const char *path, bool folder);

/* Is a name that is not at the source kept at the target? in_removed: its folder is being deleted,
 * too, and stays if anything in it is kept. */
bool rules_protect(const struct rules *rules, const char *path, bool folder, bool in_removed);

/* Can rules_protect() say yes at all? Else whole folders go without looking into them. */
bool rules_protect_any(const struct rules *rules);

#endif
