/* spelling.h - folders that take several names for one: in capitals or not, or with a letter that
 * is composed in two ways (FAT, casefold folders of ext4, what a FUSE program does). What is found
 * there by a name may be something that was made by another. All calls may block on the filesystem;
 * any thread. */
#ifndef HAUL_SPELLING_H
#define HAUL_SPELLING_H

#include "haul/base/error.h"

#include <stdbool.h>

enum { SPELLING_BYTES = 256 };

/* May this folder do so? false is certain. */
bool spelling_folds(int fd_folder);

/* Does it list what is found by `name` as just that? 0: it does; SPELLING_NOTHING: there is
 * nothing, any more, or something else. -ENOTUNIQ, and the words are the name that it lists it as,
 * or "": nobody can tell. -errno with words: it cannot be listed. */
enum { SPELLING_NOTHING = 1 };
int spelling_check(int fd_folder, const char *name, struct error *err);

#endif
