/* copy_up.h - what overlayfs brings into the page cache when a file of a lower layer is opened for
 * writing, or its owner, mode or times are changed.
 *
 * It copies the file to the upper layer, through the cache, inside of open(2) or chmod(2): both
 * files are cached whole. The upper one is droppable as any; the lower one is out of reach from
 * then on, but for a mapping that was made before. */
#ifndef HAUL_COPY_UP_H
#define HAUL_COPY_UP_H

#include <stdbool.h>
#include <stdint.h>

struct copy_up;

/* The file is about to be opened for writing, or changed; fd is open for reading. NULL where it is
 * not on overlayfs, or there is no memory. Asks what is cached of it, in time proportional to its
 * size, as a copy-up would take. */
struct copy_up *copy_up_expect(int fd);

struct copy_up_left {
    uint64_t before_bytes; /* cached of it by others, before */
    uint64_t peak_bytes;   /* cached by the copy-up, of both files; 0: there was none */
    uint64_t left_bytes;   /* of these, what could not be dropped; NUM_UNKNOWN */
};

/* It has been opened: if it was copied up, drop what that has left and nobody else had cached
 * (page by page up to 2 GiB, then in larger units), and free everything. `touched`: the act itself
 * moves the time of status change; where the file system keeps no time of birth nobody can tell
 * then, left_bytes is unknown and nothing is dropped. NULL is legal. Blocks. */
struct copy_up_left copy_up_finish(struct copy_up *copy_up, int fd, bool touched);

#endif
