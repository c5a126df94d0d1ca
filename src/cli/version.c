/* version.c - -V and -VV. */
#include "haul/cli/version.h"

#include "haul/base/cleanup.h"
#include "haul/base/hash.h"
#include "haul/base/pack.h"
#include "haul/cli/output.h"
#include "haul/disk/engine.h"
#include "haul/net/link.h"

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* NULL: another C library than glibc; musl has no name and no number to ask for. */
static const char *libc_version(void)
{
#ifdef __GLIBC__
    return gnu_get_libc_version();
#else
    return NULL;
#endif
}

/* The way to know whether the kernel lets us use an engine is to open it. */
static bool engine_usable(enum engine_kind kind, struct error *err)
{
    const struct engine_config config = {.kind = kind, .depth = 1};
    struct engine *engine = NULL;
    bool usable = engine_open(&engine, &config, err) == 0;
    engine_close(engine);
    return usable;
}

static const enum engine_kind kinds[] = {ENGINE_URING, ENGINE_THREADS, ENGINE_SYNC};

static void library_words(FILE *out, const char *name, const char *version, const char *without)
{
    if (version)
        fprintf(out, ", %s %s", name, version);
    else
        fprintf(out, ", %s", without);
}

void version_words(FILE *out)
{
    fprintf(out, "haul %s\nengines:   ", HAUL_VERSION);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct error err = {0};
        bool usable = engine_usable(kinds[i], &err);
        fprintf(out, "%s%s%s%s%s", i > 0 ? ", " : "", engine_name(kinds[i]),
                usable ? "" : " (not here: ", usable ? "" : err.text, usable ? "" : ")");
    }
    fprintf(out, "\ndigests:   xxh128\nlibraries: %s", hash_version());
    library_words(out, "zstd", pack_version(), "no zstd (so no -z)");
    library_words(out, "glibc", libc_version(), "not glibc");
    library_words(out, "libssh", link_ssh_version(), "no libssh (-e ssh works without)");
    fputc('\n', out);
}

void version_json(FILE *out)
{
    fputs("{\"v\":1,\"event\":\"version\"", out);
    output_json_string(out, "version", HAUL_VERSION);
    fputs(",\"engines\":[", out);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct error err = {0};
        bool usable = engine_usable(kinds[i], &err);
        fprintf(out, "%s{\"name\":\"%s\"", i > 0 ? "," : "", engine_name(kinds[i]));
        output_json_bool(out, "usable", usable);
        output_json_string(out, "why", usable ? NULL : err.text);
        fputs("}", out);
    }
    fputs("],\"digests\":[\"xxh128\"],\"libraries\":{\"hash\":", out);
    output_json_text(out, hash_version());
    output_json_string(out, "zstd", pack_version());
    output_json_string(out, "libc", libc_version());
    output_json_string(out, "ssh", link_ssh_version());
    fputs("}}\n", out);
}
