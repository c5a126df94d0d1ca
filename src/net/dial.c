/* dial.c - connects a TCP socket within a given time, address after address. */
#include "haul/net/dial.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Settings that make a dead peer noticed, and small frames fast. Failing ones only cost comfort. */
static void tune(int fd, const struct dial_target *target)
{
    int on = 1;
    unsigned int silence_ms =
        (unsigned int)min_u64(target->silence_timeout_ns / NS_PER_MS, INT32_MAX);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (silence_ms > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
}

/* Wait for the outcome of a connect in progress. 0 or -errno; -EINTR: somebody wants us to stop. */
static int await(int fd, uint64_t deadline_ns)
{
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ms = now_ns < deadline_ns ? div_ceil(deadline_ns - now_ns, NS_PER_MS) : 0;
    int outcome = 0;
    socklen_t outcome_bytes = sizeof(outcome);

    int ready = poll(&item, 1, (int)min_u64(left_ms, INT32_MAX));
    if (ready <= 0)
        return ready == 0 ? -ETIMEDOUT : -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &outcome_bytes) < 0)
        return -errno;
    return -outcome;
}

/* -EAFNOSUPPORT: the address is of the other family. */
static int bind_to(int fd, const char *address, int family)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    if (getaddrinfo(address, NULL, &hints, &list) != 0)
        return -EAFNOSUPPORT;
    int result = bind(fd, list->ai_addr, list->ai_addrlen) < 0 ? -errno : 0;
    freeaddrinfo(list);
    return result;
}

static int dial_one(int *out, const struct addrinfo *info, const struct dial_target *target,
                    uint64_t deadline_ns)
{
    AUTO_CLOSE int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    tune(fd, target);
    int bound = target->bind_address ? bind_to(fd, target->bind_address, info->ai_family) : 0;
    if (bound < 0)
        return bound;
    if (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
        int result = errno == EINPROGRESS ? await(fd, deadline_ns) : -errno;
        if (result < 0)
            return result;
    }
    *out = take_fd(&fd);
    return 0;
}

static int dial_list(int *fd, const struct addrinfo *list, const struct dial_target *target)
{
    uint64_t deadline_ns = clock_now_ns() + target->timeout_ns;
    uint64_t left = 0;
    int result = -EADDRNOTAVAIL;

    for (const struct addrinfo *one = list; one; one = one->ai_next)
        left++;
    for (; list; list = list->ai_next, left--) {
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        result = dial_one(fd, list, target, now_ns + (deadline_ns - now_ns) / left);
        if (result == 0 || result == -EINTR)
            return result;
    }
    return result;
}

int dial_open(int *fd, const struct dial_target *target, struct error *err)
{
    struct addrinfo hints = {.ai_family = target->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char port[8];

    snprintf(port, sizeof(port), "%u", (unsigned int)target->port);
    int failed = getaddrinfo(target->host, port, &hints, &list);
    if (failed != 0)
        return error_set_class(err, ERROR_SOCKET, EHOSTUNREACH, "%s: %s", target->host,
                               failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
    int result = dial_list(fd, list, target);
    freeaddrinfo(list);
    if (result == -EINTR)
        return error_set_class(err, ERROR_INTERRUPTED, EINTR, "%s: interrupted while connecting",
                               target->host);
    if (result == -ETIMEDOUT)
        return error_set_class(err, ERROR_CONNECT, ETIMEDOUT,
                               "%s: no connection to port %s within %.3g s", target->host, port,
                               (double)target->timeout_ns / (double)NS_PER_SECOND);
    if (result < 0)
        return error_set_class(err, ERROR_SOCKET, -result, "%s: connect to port %s: %s",
                               target->host, port, strerror(-result));
    return 0;
}
