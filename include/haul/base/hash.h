/* hash.h - XXH3, the only place that knows it.
 *
 * A digest is XXH3-128 (seed 0) in canonical, big-endian byte order, as `xxhsum -H2` prints it. It
 * finds damage, not attackers. Some 20 GB/s on one core with SSE2, more with wider vectors
 * (hash.c): hashed inline, on the thread that reaped the read. */
#ifndef HAUL_HASH_H
#define HAUL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 16, DIGEST_TEXT_BYTES = 33 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* XXH3-128 of `length` bytes. */
struct digest digest_of(const void *data, size_t length);

/* The digest of `length` bytes of zeros, without reading any: holes have it. */
struct digest digest_of_zeros(uint64_t length);

/* Not in constant time: digests are no secrets. */
bool digest_equal(const struct digest *a, const struct digest *b);

/* 32 lower-case hexadecimal digits and a NUL. Returns out. */
const char *digest_text(char out[DIGEST_TEXT_BYTES], const struct digest *digest);
bool digest_parse(const char *text, struct digest *out);

/* The digest of digests: XXH3-128 of the chunk digests, in the order of the chunks. */
struct digest_fold;

/* NULL when there is no memory. Close accepts NULL. */
struct digest_fold *digest_fold_open(void);
void digest_fold_add(struct digest_fold *fold, const struct digest *digest);
/* The same of any bytes: then it is their digest, however they were cut. */
void digest_fold_bytes(struct digest_fold *fold, const void *data, size_t length);
void digest_fold_restart(struct digest_fold *fold); /* of nothing, again */
struct digest digest_fold_value(const struct digest_fold *fold);
void digest_fold_close(struct digest_fold *fold);

/* XXH3-64 with a seed: the checksum of a journal's header or batch, or of a frame. A seed of its
 * own for each kind of record, so that zeros, or a record of another kind or session, never
 * validate. */
uint64_t checksum_of(const void *data, size_t length, uint64_t seed);

/* The library's version, and whether its run-time choice of vector instructions is used; for -V. */
const char *hash_version(void);

#endif
