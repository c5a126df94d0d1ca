/* ssh_api.c - loads libssh; what all that use it ask of it, or say about it. */
#include "ssh_link.h"

#if WITH_SSH

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/library.h"
#include "haul/base/text.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__)
#include <cpuid.h>
#include <gnu/libc-version.h>
#endif

enum {
    BUFFERS_APART_BYTES = 64 * 1024, /* buffers of so many have pages of their own ... */
    BUFFERS_BYTES = 256 * 1024,      /* ... and where that does not matter only these */
    ZEN_3_AND_4 = 0x19,              /* AMD's family 19h */
};

/* With 1 to 15 bytes between source and target, modulo the page size, `rep movsb` of AMD's Zen 3
 * and 4 copies 3.5 GB/s instead of 50, and that is glibc's memcpy before 2.39 (its bug 30994). Zen
 * 5 does not mind (measured). */
static bool minds_neighbours(void)
{
#if defined(__x86_64__) && defined(__GLIBC__)
    unsigned int eax, ebx, ecx, edx, major = 0, minor = 0;
    if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx) || ebx != signature_AMD_ebx ||
        !__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return false;
    unsigned int family = (eax >> 8 & 0xf) + (eax >> 20 & 0xff);
    (void)sscanf(gnu_get_libc_version(), "%u.%u", &major, &minor);
    return family == ZEN_3_AND_4 && major == 2 && minor < 39;
#else
    return false;
#endif
}

/* libssh copies each packet of 32 KiB it receives from a buffer to a string and on to a second
 * buffer. Such buffers are powers of two, so neighbours on the heap are 16 bytes more than whole
 * pages apart, and the payloads in them 6 and 12: where that matters, 1 CPU-s/GiB of a pull's 2.5.
 * Buffers with pages of their own are no neighbours; strings are smaller and stay on the heap. But
 * of many small packets libssh's buffers become smaller and larger all the time, and as mappings
 * they lose their pages with it: 180 mremap(2) a thousand small files, and the client of a pull of
 * these takes 1.3 times the processor (measured, where a page fault takes 20 us). The setting is
 * the process's, which allocates nothing of that size but at the start of a lane. */
static void keep_buffers(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, minds_neighbours() ? BUFFERS_APART_BYTES : BUFFERS_BYTES);
#endif
}

int ssh_api_load(struct ssh_link *ssh, struct error *err)
{
    static const char *const names[] = {SSH_LIBRARY, NULL};
    static const struct library_function functions[] = {
#define ENTRY(name) {#name, offsetof(struct ssh_api, name)},
        SSH_FUNCTIONS(ENTRY)
#undef ENTRY
    };

    char why[LIBRARY_WHY_BYTES];
    if (!library_load(names, functions, COUNT_OF(functions), &ssh->api, why))
        return error_set_class(err, ERROR_START, ENOTSUP, "%s; install libssh-4, or use -e ssh",
                               why);
    keep_buffers();
    return 0;
}

/* The library's own words, in one line. */
const char *ssh_link_reason(const struct ssh_link *ssh, char out[256])
{
    const char *text = ssh->api.ssh_get_error(ssh->session);

    return text_escape(out, 256, text && text[0] ? text : "connection lost");
}

/* The session has failed: what the proxy said is better than "disconnected". */
int ssh_link_lost(struct ssh_link *ssh, const char *doing, struct error *err)
{
    char words[256];
    const char *said = "";

    if (ssh->proxy.pid > 0 || ssh->proxy.words.length > 0) {
        child_listen(&ssh->proxy, "proxy");
        said = child_words_last(&ssh->proxy.words);
    }
    return error_set_class(err, ERROR_SOCKET, ECONNRESET, "%s: %s: %s%s%s", ssh->base.peer, doing,
                           ssh_link_reason(ssh, words), said[0] ? "; the proxy said: " : "", said);
}

bool ssh_link_first(const struct ssh_link *ssh, const char *what)
{
    char key[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + 64];

    snprintf(key, sizeof(key), "said/%s/%s", ssh->base.peer, what);
    if (ask_memory_get(ssh->options->memory, key, NULL, 0))
        return false;
    ask_memory_put(ssh->options->memory, key, "yes");
    return true;
}

uint64_t ssh_link_timeout_ns(const struct ssh_link *ssh)
{
    uint64_t seconds = ssh_config_number(&ssh->config, "connecttimeout", LINK_CONNECT_SECONDS);

    if (ssh->options->connect_timeout_ns > 0)
        return ssh->options->connect_timeout_ns;
    if (seconds == 0 || seconds > 24 * 3600)
        seconds = LINK_CONNECT_SECONDS;
    return seconds * NS_PER_SECOND;
}

#endif
