/* unfinished.h - a sign on a regular file that it is neither what it was nor what it is to become:
 * an extended attribute, UNFINISHED_NAME. It is there from before a target's first byte is written
 * until all of them are, so that whoever is killed in between leaves it. A journal says more, and
 * costs more: it comes with the first checkpoint. Who goes by size and age alone asks for both.
 *
 * It belongs to haul and not to the file: details.h neither tells nor sets it. All calls block as
 * short as those that change a mode, but where it is to last. */
#ifndef HAUL_UNFINISHED_H
#define HAUL_UNFINISHED_H

#include "haul/base/error.h"

#include <stdbool.h>

struct facts;
struct place;

#define UNFINISHED_NAME "user.haul.unfinished"

/* Of an open file, which from now on has no time that a source can have, either. lasting: it is on
 * the medium before this returns. 1: it was there already; -errno, without words: there are no such
 * attributes here, or no room for one. */
int unfinished_set(int fd, bool lasting);

/* Takes back what unfinished_set() did with 0, of a file in which nothing else has changed: it has
 * the time again that it had. */
void unfinished_undo(int fd, const struct facts *facts);

/* It is finished now, or as good as: what is still to come is no data. 0 also where nothing was
 * set; else -errno with words. */
int unfinished_clear(int fd, const char *shown, struct error *err);

/* Does what is at `path` have it? A symbolic link is followed as by place_reach(). */
bool unfinished_lies(const struct place *place, const char *path);

#endif
