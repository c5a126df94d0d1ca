/* pack.c - zstd by chunk. Level 1: 400-500 MB/s, so that packing outruns one sshd (300 MB/s
 * measured); higher levels are slower than the link that they would relieve.
 *
 * The library is loaded when something is to be packed: a copy that packs nothing had 115 KB of it
 * in memory. A program that loads no libraries is linked with it. */
#include "haul/base/pack.h"

#include <stddef.h>

#if WITH_ZSTD

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/base/library.h"

#include <stdlib.h>
#include <zstd.h>

enum { PACK_LEVEL = 1, PACK_WORTH_DIVISOR = 16, PACK_CONTEXTS_BYTES = 2 * 1024 * 1024 };

/* Every function of the library that is used. */
#define ZSTD_FUNCTIONS(X)                                                                          \
    X(ZSTD_compressCCtx)                                                                           \
    X(ZSTD_createCCtx)                                                                             \
    X(ZSTD_createDCtx)                                                                             \
    X(ZSTD_decompressDCtx)                                                                         \
    X(ZSTD_findFrameCompressedSize)                                                                \
    X(ZSTD_freeCCtx)                                                                               \
    X(ZSTD_freeDCtx)                                                                               \
    X(ZSTD_isError)                                                                                \
    X(ZSTD_versionString)

struct zstd {
#define MEMBER(name) __typeof__(name) *name;
    ZSTD_FUNCTIONS(MEMBER)
#undef MEMBER
};

#if WITH_SSH
static bool zstd_load(struct zstd *zstd)
{
    static const char *const names[] = {"libzstd.so.1", NULL};
    static const struct library_function functions[] = {
#define ENTRY(name) {#name, offsetof(struct zstd, name)},
        ZSTD_FUNCTIONS(ENTRY)
#undef ENTRY
    };
    char why[LIBRARY_WHY_BYTES];
    return library_load(names, functions, COUNT_OF(functions), zstd, why);
}
#else
static bool zstd_load(struct zstd *zstd)
{
#define ENTRY(name) .name = name,
    *zstd = (struct zstd){ZSTD_FUNCTIONS(ENTRY)};
#undef ENTRY
    return true;
}
#endif

struct pack {
    struct zstd zstd;
    ZSTD_CCtx *shrinker;
    ZSTD_DCtx *expander;
    uint32_t chunk_bytes;
    uint8_t *outgoing, *incoming; /* chunk_bytes each */
};

struct pack *pack_open(uint32_t chunk_bytes)
{
    struct pack *pack = calloc(1, sizeof(*pack));
    if (!pack)
        return NULL;
    if (!zstd_load(&pack->zstd)) {
        free(pack);
        return NULL;
    }
    pack->chunk_bytes = chunk_bytes;
    pack->shrinker = pack->zstd.ZSTD_createCCtx();
    pack->expander = pack->zstd.ZSTD_createDCtx();
    pack->outgoing = malloc(chunk_bytes);
    pack->incoming = malloc(chunk_bytes);
    if (pack->shrinker && pack->expander && pack->outgoing && pack->incoming)
        return pack;
    pack_close(pack);
    return NULL;
}

void pack_close(struct pack *pack)
{
    if (!pack)
        return;
    pack->zstd.ZSTD_freeCCtx(pack->shrinker);
    pack->zstd.ZSTD_freeDCtx(pack->expander);
    free(pack->outgoing);
    free(pack->incoming);
    free(pack);
}

uint64_t pack_memory(uint32_t chunk_bytes)
{
    return 2 * (uint64_t)chunk_bytes + PACK_CONTEXTS_BYTES;
}

uint32_t pack_shrink(struct pack *pack, const void *data, uint32_t length, const void **out)
{
    /* Less room than the chunk has: what would not fit is not worth it
     * (ZSTD_error_dstSize_tooSmall). */
    size_t room = length - length / PACK_WORTH_DIVISOR;
    if (length > pack->chunk_bytes || room >= length)
        return 0;
    size_t packed = pack->zstd.ZSTD_compressCCtx(pack->shrinker, pack->outgoing, room, data, length,
                                                 PACK_LEVEL);
    if (pack->zstd.ZSTD_isError(packed) || packed == 0)
        return 0;
    *out = pack->outgoing;
    return (uint32_t)packed;
}

void *pack_incoming(struct pack *pack)
{
    return pack->incoming;
}

/* Of the format since zstd 0.8, and one only: code of the older ones is not in agents. */
static bool one_frame(const struct pack *pack, size_t length)
{
    struct bytes begin = bytes_reader(pack->incoming, length);
    return bytes_get_u32(&begin) == ZSTD_MAGICNUMBER &&
           pack->zstd.ZSTD_findFrameCompressedSize(pack->incoming, length) == length;
}

bool pack_expand(struct pack *pack, uint32_t packed, void *out, uint32_t length)
{
    const struct zstd *zstd = &pack->zstd;
    if (!one_frame(pack, packed))
        return false;
    size_t expanded =
        zstd->ZSTD_decompressDCtx(pack->expander, out, length, pack->incoming, packed);
    return !zstd->ZSTD_isError(expanded) && expanded == length;
}

const char *pack_version(void)
{
    struct zstd zstd;
    return zstd_load(&zstd) ? zstd.ZSTD_versionString() : NULL;
}

#else /* Nobody opens one: the command line refuses -z, and a server does not say that it can. */

struct pack *pack_open(uint32_t chunk_bytes)
{
    (void)chunk_bytes;
    return NULL;
}

void pack_close(struct pack *pack)
{
    (void)pack;
}

uint64_t pack_memory(uint32_t chunk_bytes)
{
    (void)chunk_bytes;
    return 0;
}

uint32_t pack_shrink(struct pack *pack, const void *data, uint32_t length, const void **out)
{
    (void)pack, (void)data, (void)length, (void)out;
    return 0;
}

void *pack_incoming(struct pack *pack)
{
    return pack;
}

bool pack_expand(struct pack *pack, uint32_t packed, void *out, uint32_t length)
{
    (void)pack, (void)packed, (void)out, (void)length;
    return false;
}

const char *pack_version(void)
{
    return NULL;
}

#endif
