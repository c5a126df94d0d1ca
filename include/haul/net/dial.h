/* dial.h - a TCP connection within a given time.
 *
 * libssh 0.10 tries only the first address of a name, cannot be held to IPv4 or IPv6, and leaves
 * its socket open in children: so we connect, and hand it the socket. */
#ifndef HAUL_DIAL_H
#define HAUL_DIAL_H

#include "haul/base/error.h"

#include <stdint.h>

struct dial_target {
    const char *host;
    const char *bind_address; /* of this machine; NULL: the kernel's choice */
    uint16_t port;
    int family;                  /* AF_UNSPEC, AF_INET, AF_INET6 */
    uint64_t timeout_ns;         /* for all addresses together; name resolution has its own */
    uint64_t silence_timeout_ns; /* TCP_USER_TIMEOUT; 0: the kernel's */
};

/* A connected, non-blocking, close-on-exec socket with TCP_NODELAY and keep-alive. Each address of
 * the name gets its share of the time. -ETIMEDOUT (ERROR_CONNECT); -EINTR (ERROR_INTERRUPTED): a
 * signal came; others ERROR_SOCKET. Blocks. */
int dial_open(int *fd, const struct dial_target *target, struct error *err);

#endif
