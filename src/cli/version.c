/* version.c - -V and -VV. */
#include "haul/version.h"

#include "haul/cleanup.h"
#include "haul/engine.h"
#include "haul/hash.h"
#include "haul/link.h"
#include "haul/output.h"
#include "haul/pack.h"

#include <gnu/libc-version.h>

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

void version_words(FILE *out)
{
    fprintf(out, "haul %s\nengines:   ", HAUL_VERSION);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct error err = {0};
        bool usable = engine_usable(kinds[i], &err);
        fprintf(out, "%s%s%s%s%s", i > 0 ? ", " : "", engine_name(kinds[i]),
                usable ? "" : " (not here: ", usable ? "" : err.text, usable ? "" : ")");
    }
    const char *ssh = link_ssh_version();
    fprintf(out, "\ndigests:   xxh128\nlibraries: %s, zstd %s, glibc %s, %s%s\n", hash_version(),
            pack_version(), gnu_get_libc_version(),
            ssh ? "libssh " : "no libssh (-e ssh works without)", ssh ? ssh : "");
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
    output_json_string(out, "libc", gnu_get_libc_version());
    output_json_string(out, "ssh", link_ssh_version());
    fputs("}}\n", out);
}
