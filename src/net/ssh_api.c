/* ssh_api.c - loads libssh. */
#include "ssh_link.h"

#if WITH_SSH

#include "haul/cleanup.h"

#include <dlfcn.h>
#include <malloc.h>
#include <string.h>

enum { BUFFERS_APART_BYTES = 64 * 1024 /* see keep_buffers_apart */ };

/* libssh copies each packet of 32 KiB it receives from a buffer to a string and on to a second
 * buffer. Such buffers are powers of two, so neighbours on the heap are 16 bytes more than whole
 * pages apart, and the payloads in them 6 and 12. With 1 to 15 bytes between source and target,
 * modulo the page size, `rep movsb` of AMD's Zen 3 and later copies 3.5 GB/s instead of 50, and
 * that is glibc's memcpy before 2.39 (its bug 30994): 1 CPU-s/GiB of a pull's 2.5. Buffers with
 * pages of their own are no neighbours; strings are smaller and stay on the heap. The setting is
 * the process's, which allocates nothing of that size but at the start of a lane. */
static void keep_buffers_apart(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, BUFFERS_APART_BYTES);
#endif
}

int ssh_api_load(struct ssh_link *ssh, struct error *err)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define ENTRY(name) {#name, offsetof(struct ssh_api, name)},
        SSH_FUNCTIONS(ENTRY)
#undef ENTRY
    };

    /* NODELETE: OpenSSL below it leaves exit handlers and thread data that must stay mapped. */
    ssh->library = dlopen(SSH_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!ssh->library)
        return error_set_class(err, ERROR_START, ENOTSUP, "%s; install libssh-4, or use -e ssh",
                               dlerror());
    keep_buffers_apart();
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        void *address = dlsym(ssh->library, functions[i].name);
        if (!address)
            return error_set_class(err, ERROR_START, ENOTSUP, SSH_LIBRARY " has no %s; use -e ssh",
                                   functions[i].name);
        memcpy((char *)&ssh->api + functions[i].offset, &address, sizeof(address));
    }
    return 0;
}

#endif
