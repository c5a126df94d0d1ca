/* blocks.h - the blocks of a chunk: their digests, and which of them are others. A set of blocks is
 * a bit for each, the lowest first; the last block of a file may be short. */
#ifndef HAUL_BLOCKS_H
#define HAUL_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BLOCKS_SIZE = 4096, /* of one, in bytes: a page, and what file systems share or leave out */
    BLOCKS_DIGEST_BYTES = 8, /* XXH3-64, little-endian; the digest of the whole chunk seals it */
    BLOCKS_CHUNK_BYTES_MAX = 16 * 1024 * 1024,
    BLOCKS_SET_BYTES = BLOCKS_CHUNK_BYTES_MAX / BLOCKS_SIZE / 8,
};

/* In a chunk of `length` bytes. */
static inline uint32_t blocks_count(uint32_t length)
{
    return length / BLOCKS_SIZE + (length % BLOCKS_SIZE > 0);
}

/* Digests of all blocks of `length` bytes go to `digests`. */
void blocks_digest(uint8_t *digests, const uint8_t *data, uint32_t length);

/* The blocks that begin in [start, end) join the set. */
void blocks_add(uint8_t set[BLOCKS_SET_BYTES], uint32_t start, uint32_t end);

/* The set of those whose digest is another one. Returns how many bytes they have. */
uint32_t blocks_compare(uint8_t set[BLOCKS_SET_BYTES], const uint8_t *digests, const uint8_t *data,
                        uint32_t length);

/* Bytes in the blocks of a set. */
uint32_t blocks_bytes(const uint8_t set[BLOCKS_SET_BYTES], uint32_t length);

/* The first run of blocks in the set that ends behind `from`: [*start, *end), *start not before
 * `from`. false: there is none. */
bool blocks_next(const uint8_t set[BLOCKS_SET_BYTES], uint32_t length, uint32_t from,
                 uint32_t *start, uint32_t *end);

/* The same of blocks that are not in it. */
bool blocks_next_missing(const uint8_t set[BLOCKS_SET_BYTES], uint32_t length, uint32_t from,
                         uint32_t *start, uint32_t *end);

#endif
