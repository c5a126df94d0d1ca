/* spill.h - a table that is too large for memory: bytes by a key of two numbers, in a temporary
 * file that has no name, so that nothing is left of it whatever happens.
 *
 * 1 MiB of memory and a few MiB of page cache, however many entries there are. Calls may wait for
 * the disk, and a tour makes them in the pump's thread: for one page at a time, and for what was
 * written long ago. Who asks for keys about in the order of their second numbers, as they were put,
 * waits seldom, and what is not there is most often known without it. */
#ifndef HAUL_SPILL_H
#define HAUL_SPILL_H

#include <stdint.h>

enum { SPILL_BYTES_MAX = 64 * 1024 };

struct spill;

/* NULL: no memory. The file is made when it is needed: in TMPDIR, or in /var/tmp, since /tmp is
 * memory on many machines. */
struct spill *spill_open(void);

/* From now on the key has these bytes, at most SPILL_BYTES_MAX; none: it is forgotten. What it had
 * stays in the file. -errno: it has what it had before; none can be made there. */
int spill_put(struct spill *spill, const uint64_t key[2], const void *bytes, uint32_t length);

/* The bytes of a key, and how many; 0: it has none. -errno; -EMSGSIZE: they are more than `room`.
 */
int spill_get(struct spill *spill, const uint64_t key[2], void *bytes, uint32_t room);

/* NULL is legal. */
void spill_close(struct spill *spill);

#endif
