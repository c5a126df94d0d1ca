/* pack.h - payloads made smaller on the wire, a chunk at a time (libzstd, the only place that knows
 * it).
 *
 * One chunk is packed and one unpacked at a time, in memory that is fixed at open. What a peer
 * packed is not trusted: unpacking writes no more than the chunk's length, and the chunk's digest
 * is checked afterwards as ever. */
#ifndef HAUL_PACK_H
#define HAUL_PACK_H

#include <stdbool.h>
#include <stdint.h>

struct pack;

/* For chunks of at most chunk_bytes. NULL: no memory, or no library. Close accepts NULL. */
struct pack *pack_open(uint32_t chunk_bytes);
void pack_close(struct pack *pack);

/* How much memory that takes, at most: two chunks, and what zstd keeps. */
uint64_t pack_memory(uint32_t chunk_bytes);

/* `data` as one zstd frame: its length, and *out, which is the pack's until the next call. 0: it
 * does not shrink by a sixteenth, send it as it is. */
uint32_t pack_shrink(struct pack *pack, const void *data, uint32_t length, const void **out);

/* Where a packed payload is received, chunk_bytes long. */
void *pack_incoming(struct pack *pack);

/* The `packed` bytes there become exactly `length` bytes in out; false: they do not, out is
 * unspecified. */
bool pack_expand(struct pack *pack, uint32_t packed, void *out, uint32_t length);

/* The library's version; it is loaded for that. NULL: it is not here, or this haul was built
 * without it, and packs nothing. */
const char *pack_version(void);

#endif
