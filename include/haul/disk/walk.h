/* walk.h - what there is of a tree, told as a row of entries (entry.h), in the order in which it is
 * read fastest and with memory that depends neither on the number of names nor on their depth.
 *
 * Of each folder come, by windows of some thousand names, first all that are no folders, in the
 * order of their inodes, then the folders, each with all that is in it. Every name is looked at and
 * opened by itself in the folder that holds it, which is held open: nothing is followed, whoever
 * swaps what meanwhile. Above 64 levels folders are let go of and opened again, beneath the root
 * and only if they are what they were. Content is not read.
 *
 * What fails for a name is an entry, too, and the walk goes on. */
#ifndef HAUL_WALK_H
#define HAUL_WALK_H

#include "haul/base/bytes.h"
#include "haul/base/error.h"
#include "haul/base/rules.h"
#include "haul/disk/owners.h"
#include "haul/disk/place.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WALK_WINDOW_MAX = 4096, /* names of one folder at a time, where nothing is held above it */
};

/* What is told, and what is left out. */
struct walk_wish {
    bool listed;    /* nothing but what walk_names() names, with the folders on the way to it */
    bool recursive; /* else folders are told as PAST, or where names are listed as closed ones
                     */
    bool one_filesystem; /* a folder where another one is mounted is told as an empty one that is
                            not complete */
    bool links, devices, specials; /* else they are told as PAST; specials: fifos and sockets */
    struct owners *owners;         /* the names of users and groups are told; NULL: they are not */
    const struct rules *rules;     /* what they hide is not told at all; NULL: none */
};

struct walk;

/* Begin at `path` beneath the root of a tree: a folder, or anything else, which is then all there
 * is. The rules stay the caller's. -ENOENT (ERROR_VANISHED), or -errno as place_reach(), with
 * words.
 */
int walk_open(struct walk **out, const struct walk_wish *wish, const struct place *root,
              const char *path, struct error *err);

/* The next names of a walk that is listed, as names_pack() has made them of a sorted list, when
 * walk_next() wants them: they are copied. None: there are no more. -EPROTO with words: they cannot
 * be names; -ENOMEM. */
int walk_names(struct walk *walk, const uint8_t *bytes, uint32_t length, struct error *err);

enum walk_next { WALK_OVER, WALK_ON, WALK_NAMES };

/* Fill `out` with entries, of which each must have room for the largest (ENTRY_BYTES_MAX). `root`
 * is the same folder as before, perhaps opened anew. ON: there may be more, also when there is none
 * in `out`, as this takes no longer than about a second; NAMES: walk_names() has to be called
 * first; OVER: that was all. Blocks on the filesystem. */
enum walk_next walk_next(struct walk *walk, const struct place *root, struct bytes *out);

/* NULL is legal. */
void walk_close(struct walk *walk);

#endif
