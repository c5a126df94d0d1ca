/* removal.h - something beneath a root goes, with all that is in it. */
#ifndef HAUL_REMOVAL_H
#define HAUL_REMOVAL_H

#include "haul/base/error.h"
#include "haul/disk/place.h"

#include <stdatomic.h>
#include <stdint.h>

/* Remove what is at `path` beneath the root of a tree: nothing is followed, whoever swaps what
 * meanwhile, and no other file system is entered that is mounted in it. Memory does not depend on
 * what there is. What cannot be removed stays, and the rest goes all the same: -errno with the
 * words of the first one. What is not there is gone: 0. A folder of our own that may not be changed
 * is made so. Not durable. Blocks for long; where it is not to go on it stops between two names,
 * and says REMOVAL_LATE or -ECANCELED: what is left goes with another call. */
struct removal_leave {
    const atomic_bool *over; /* set: nobody wants it any more */
    uint64_t until_ns;       /* of the clock; 0: for ever */
};
enum { REMOVAL_LATE = 1 };
int removal_of(const struct place *root, const char *path, const struct removal_leave *leave,
               struct error *err);

/* Could it? The folder that it is in is looked at, and of a folder that has something in it that
 * itself; not what is deeper. Nothing is changed. -errno with the same words. */
int removal_probe(const struct place *root, const char *path, struct error *err);

#endif
