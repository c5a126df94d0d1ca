/* hash.c - XXH3 through libxxhash; hash_choice.c says by which of its code. */
#include "haul/base/hash.h"

#include "hash_xxhash.h"
#include "haul/base/num.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Measured as in hash_choice.c: 42-43 GB/s in steps of 4 KiB, 49-51 of 16 KiB and 49-53 of 64 KiB.
 */
enum { ZEROS_BYTES = 4096 };

/* The streaming state in memory of our own, because digest_of_zeros may not fail and nothing is
 * allocated once lanes run. Its layout is the library's business: 576 bytes in 0.8.1, and
 * twice the room here in case that a later libxxhash.so.0 needs more than its header said. */
struct digest_fold {
    union {
        XXH3_state_t state;
        uint8_t room[2 * sizeof(XXH3_state_t)];
    };
};

static struct digest digest_from(XXH128_hash_t hash)
{
    XXH128_canonical_t canonical;
    struct digest digest;

    static_assert(sizeof(canonical.digest) == DIGEST_BYTES, "a digest is one XXH3-128");
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(digest.bytes, canonical.digest, DIGEST_BYTES);
    return digest;
}

static void update(struct digest_fold *fold, const void *data, size_t length)
{
    XXH_errorcode rc = hash_choice_update(&fold->state, data, length);

    assert(rc == XXH_OK); /* XXH_ERROR means a NULL state or NULL data, nothing else */
    (void)rc;
}

struct digest digest_of(const void *data, size_t length)
{
    XXH128_hash_t hash;

    hash_choice_128bits(&hash, data, length);
    return digest_from(hash);
}

static struct digest stream_zeros(uint64_t length)
{
    static const uint8_t zeros[ZEROS_BYTES];
    struct digest_fold fold;

    memset(&fold, 0, sizeof(fold));
    XXH3_128bits_reset(&fold.state);
    while (length > 0) {
        size_t step = (size_t)min_u64(length, ZEROS_BYTES);
        update(&fold, zeros, step);
        length -= step;
    }
    return digest_fold_value(&fold);
}

struct digest digest_of_zeros(uint64_t length)
{
    /* The chunks of a hole have one length, and a sparse 2 TiB file has two million of them: 45 s
     * of hashing without the last answer at hand. A thread's own answer needs no lock; it is a
     * constant that is computed late, so it is no changeable state. The initial
     * value is right as it stands: no length but 0 gives the digest of nothing, and 0 is never
     * looked up. */
    static _Thread_local uint64_t cached_length;
    static _Thread_local struct digest cached;

    if (length == 0 || length != cached_length) {
        cached = stream_zeros(length);
        cached_length = length;
    }
    return cached;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

const char *digest_text(char out[DIGEST_TEXT_BYTES], const struct digest *digest)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest->bytes[i] >> 4];
        out[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    out[DIGEST_TEXT_BYTES - 1] = '\0';
    return out;
}

/* The value of a hexadecimal digit, -1 for anything else. */
static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool digest_parse(const char *text, struct digest *out)
{
    struct digest digest;

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(text[2 * i]);
        /* The second digit is only looked at behind a first one: the text may end here. */
        int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
        if (low < 0)
            return false;
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (text[DIGEST_TEXT_BYTES - 1] != '\0')
        return false;
    *out = digest;
    return true;
}

struct digest_fold *digest_fold_open(void)
{
    /* XXH3_state_t wants 64 bytes of alignment, more than malloc gives. sizeof is a multiple. */
    struct digest_fold *fold = aligned_alloc(_Alignof(struct digest_fold), sizeof(*fold));

    if (!fold)
        return NULL;
    memset(fold, 0, sizeof(*fold));
    XXH3_128bits_reset(&fold->state);
    return fold;
}

void digest_fold_add(struct digest_fold *fold, const struct digest *digest)
{
    update(fold, digest->bytes, DIGEST_BYTES);
}

void digest_fold_bytes(struct digest_fold *fold, const void *data, size_t length)
{
    update(fold, data, length);
}

void digest_fold_restart(struct digest_fold *fold)
{
    XXH3_128bits_reset(&fold->state);
}

struct digest digest_fold_value(const struct digest_fold *fold)
{
    return digest_from(XXH3_128bits_digest(&fold->state));
}

void digest_fold_close(struct digest_fold *fold)
{
    free(fold);
}

uint64_t checksum_of(const void *data, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, length, seed);
}

#define TEXT_OF(value)  #value
#define VALUE_OF(macro) TEXT_OF(macro)
#define XXHASH_NAME                                                                                \
    "xxhash " VALUE_OF(XXH_VERSION_MAJOR) "." VALUE_OF(XXH_VERSION_MINOR) "." VALUE_OF(            \
        XXH_VERSION_RELEASE)

const char *hash_version(void)
{
    return hash_choice_at_run_time() ? XXHASH_NAME ", vectors chosen at run time"
                                     : XXHASH_NAME ", vectors fixed when built";
}
