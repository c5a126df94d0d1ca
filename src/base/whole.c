/* whole.c - sha256 through libcrypto, which is loaded when it is asked for, as libssh is; XXH3-128
 * through hash.h. */
#include "haul/base/whole.h"

#include "haul/base/cleanup.h"
#include "haul/base/hash.h"
#include "haul/base/library.h"
#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILL_STEP_BYTES = 4 * 1024 * 1024, ZEROS_BYTES = 4096, SHA256_BYTES = 32 };

/* Of OpenSSL 1.1 and 3: evp.h's, which have not changed since. */
struct crypto {
    void *(*EVP_MD_CTX_new)(void);
    void (*EVP_MD_CTX_free)(void *context);
    const void *(*EVP_sha256)(void);
    int (*EVP_DigestInit_ex)(void *context, const void *type, void *engine);
    int (*EVP_DigestUpdate)(void *context, const void *data, size_t length);
    int (*EVP_DigestFinal_ex)(void *context, unsigned char *digest, unsigned int *length);
};

struct whole {
    enum whole_kind kind;
    uint64_t bytes;
    struct digest_fold *fold;
    struct crypto crypto;
    void *context;
};

static int crypto_load(struct crypto *crypto, struct error *err)
{
    static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1", NULL};
    static const struct library_function functions[] = {
#define ENTRY(name) {#name, offsetof(struct crypto, name)}
        ENTRY(EVP_MD_CTX_new),    ENTRY(EVP_MD_CTX_free),  ENTRY(EVP_sha256),
        ENTRY(EVP_DigestInit_ex), ENTRY(EVP_DigestUpdate), ENTRY(EVP_DigestFinal_ex),
#undef ENTRY
    };
    char why[LIBRARY_WHY_BYTES];
    if (library_load(names, functions, COUNT_OF(functions), crypto, why))
        return 0;
    return error_set_class(err, ERROR_USAGE, ENOTSUP,
                           "sha256 needs OpenSSL's libcrypto (%s): install it, or take "
                           "--digest=xxh128",
                           why);
}

static int no_memory(struct error *err)
{
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a digest");
}

const char *whole_name(enum whole_kind kind)
{
    return kind == WHOLE_SHA256 ? "sha256" : "xxh128";
}

/* OpenSSL fetches the algorithm now: false where its configuration has none. */
static bool begin(struct whole *whole)
{
    const struct crypto *crypto = &whole->crypto;
    whole->bytes = 0;
    if (!whole->fold)
        return crypto->EVP_DigestInit_ex(whole->context, crypto->EVP_sha256(), NULL) == 1;
    digest_fold_restart(whole->fold);
    return true;
}

int whole_open(struct whole **out, enum whole_kind kind, struct error *err)
{
    struct whole *whole = calloc(1, sizeof(*whole));
    if (!whole)
        return no_memory(err);
    whole->kind = kind;
    int result = kind == WHOLE_SHA256 ? crypto_load(&whole->crypto, err) : 0;
    if (result == 0 && kind == WHOLE_SHA256)
        whole->context = whole->crypto.EVP_MD_CTX_new();
    else if (result == 0)
        whole->fold = digest_fold_open();
    if (result == 0 && !whole->context && !whole->fold)
        result = no_memory(err);
    if (result == 0 && !begin(whole))
        result = error_set_class(err, ERROR_USAGE, ENOTSUP,
                                 "OpenSSL's configuration leaves out sha256: change it, or take "
                                 "--digest=xxh128");
    if (result < 0) {
        whole_close(whole);
        return result;
    }
    *out = whole;
    return 0;
}

int whole_check(enum whole_kind kind, struct error *err)
{
    struct whole *whole = NULL;
    int result = whole_open(&whole, kind, err);
    whole_close(whole);
    return result;
}

/* Once it has begun these fail for want of arguments only. */
static void crypto_did(bool good)
{
    assert(good);
    (void)good;
}

void whole_restart(struct whole *whole)
{
    crypto_did(begin(whole));
}

void whole_add(struct whole *whole, const void *data, size_t length)
{
    whole->bytes += length;
    if (whole->fold)
        digest_fold_bytes(whole->fold, data, length);
    else
        crypto_did(whole->crypto.EVP_DigestUpdate(whole->context, data, length) == 1);
}

bool whole_fill(struct whole *whole, uint64_t offset)
{
    static const uint8_t zeros[ZEROS_BYTES];
    assert(whole->bytes <= offset);
    uint64_t end = min_u64(offset, whole->bytes + FILL_STEP_BYTES);
    while (whole->bytes < end)
        whole_add(whole, zeros, (size_t)min_u64(end - whole->bytes, ZEROS_BYTES));
    return end == offset;
}

void whole_end(struct whole *whole, char out[WHOLE_TEXT_BYTES])
{
    uint8_t value[SHA256_BYTES] = {0};
    if (whole->fold) {
        struct digest digest = digest_fold_value(whole->fold);
        digest_text(out, &digest);
        return;
    }
    crypto_did(whole->crypto.EVP_DigestFinal_ex(whole->context, value, NULL) == 1);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", value[i]);
}

void whole_close(struct whole *whole)
{
    if (!whole)
        return;
    if (whole->context)
        whole->crypto.EVP_MD_CTX_free(whole->context);
    digest_fold_close(whole->fold);
    free(whole);
}
