/* replace.h - a file of the user's own that is replaced as a whole: it is written beside its name,
 * which it takes when all of it is on the disk. Whoever is killed in between leaves the old one.
 * What blocks says so; one thread. */
#ifndef HAUL_REPLACE_H
#define HAUL_REPLACE_H

#include "haul/base/error.h"

#include <stddef.h>

/* All zeros: nothing is under way. */
struct replace {
    char *path;   /* where `> FILE` of a shell would write: behind links */
    char *folder; /* of it */
    char *aside;  /* what is to be written, by the caller */
};

/* What the user's name leads to now, to be freed; the name itself where it leads nowhere. NULL: no
 * memory. */
char *replace_find(const char *path);

/* The names. A link stays a link; one that leads to nothing yet gets an empty file. -errno with
 * words. Blocks. */
int replace_begin(struct replace *replace, const char *path, struct error *err);

/* What was written and synced takes the name, durably. -errno with words: it may be there all the
 * same. Blocks. */
int replace_end(const struct replace *replace, struct error *err);

/* What was written goes, if it is there. Blocks. */
void replace_undo(const struct replace *replace);

/* All of it in one call, for a small text. What was at the path is gone then. Whoever else writes
 * the same one is waited for, a second at most. 0, or -errno with words; then nothing of it is
 * there, but where only the sync of its folder failed. Blocks. */
int replace_file(const char *path, const char *text, size_t length, struct error *err);

/* Frees the names. All zeros are legal. */
void replace_close(struct replace *replace);

#endif
