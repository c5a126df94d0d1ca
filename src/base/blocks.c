/* blocks.c - blocks of a chunk, as sets of bits. */
#include "haul/base/blocks.h"

#include "haul/base/bytes.h"
#include "haul/base/hash.h"
#include "haul/base/num.h"

#include <string.h>

/* "blocks" */
static const uint64_t seed = UINT64_C(0x626c6f636b73);

static bool is_set(const uint8_t *set, uint32_t block)
{
    return set[block / 8] >> block % 8 & 1;
}

static uint32_t length_of(uint32_t block, uint32_t length)
{
    return (uint32_t)min_u64(BLOCKS_SIZE, length - block * BLOCKS_SIZE);
}

static void digest_one(uint8_t out[BLOCKS_DIGEST_BYTES], const uint8_t *data, uint32_t block,
                       uint32_t length)
{
    struct bytes bytes = bytes_writer(out, BLOCKS_DIGEST_BYTES);
    bytes_put_u64(&bytes, checksum_of(data + block * BLOCKS_SIZE, length_of(block, length), seed));
}

void blocks_digest(uint8_t *digests, const uint8_t *data, uint32_t length)
{
    for (uint32_t i = 0; i < blocks_count(length); i++)
        digest_one(digests + i * BLOCKS_DIGEST_BYTES, data, i, length);
}

void blocks_add(uint8_t set[BLOCKS_SET_BYTES], uint32_t start, uint32_t end)
{
    for (uint32_t i = blocks_count(start); i < blocks_count(end); i++)
        set[i / 8] = (uint8_t)(set[i / 8] | 1u << i % 8);
}

uint32_t blocks_compare(uint8_t set[BLOCKS_SET_BYTES], const uint8_t *digests, const uint8_t *data,
                        uint32_t length)
{
    uint8_t digest[BLOCKS_DIGEST_BYTES];
    memset(set, 0, BLOCKS_SET_BYTES);
    for (uint32_t i = 0; i < blocks_count(length); i++) {
        digest_one(digest, data, i, length);
        if (memcmp(digest, digests + i * BLOCKS_DIGEST_BYTES, sizeof(digest)) != 0)
            blocks_add(set, i * BLOCKS_SIZE, (i + 1) * BLOCKS_SIZE);
    }
    return blocks_bytes(set, length);
}

uint32_t blocks_bytes(const uint8_t set[BLOCKS_SET_BYTES], uint32_t length)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < blocks_count(length); i++)
        bytes += is_set(set, i) ? length_of(i, length) : 0;
    return bytes;
}

/* Of blocks that are in it, or are not. */
static bool next_run(const uint8_t *set, bool in, uint32_t length, uint32_t from, uint32_t *start,
                     uint32_t *end)
{
    uint32_t count = blocks_count(length), first = from / BLOCKS_SIZE;
    while (first < count && is_set(set, first) != in)
        first++;
    uint32_t last = first;
    while (last < count && is_set(set, last) == in)
        last++;
    *start = (uint32_t)max_u64(from, (uint64_t)first * BLOCKS_SIZE);
    *end = (uint32_t)min_u64(length, (uint64_t)last * BLOCKS_SIZE);
    return *start < *end;
}

bool blocks_next(const uint8_t set[BLOCKS_SET_BYTES], uint32_t length, uint32_t from,
                 uint32_t *start, uint32_t *end)
{
    return next_run(set, true, length, from, start, end);
}

bool blocks_next_missing(const uint8_t set[BLOCKS_SET_BYTES], uint32_t length, uint32_t from,
                         uint32_t *start, uint32_t *end)
{
    return next_run(set, false, length, from, start, end);
}
