/* link_pair.h - two links that are connected, with faults on request: for test_serve.c. */
#ifndef HAUL_TESTS_LINK_PAIR_H
#define HAUL_TESTS_LINK_PAIR_H

#include "haul/net/link.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair_link {
    struct link link;
    int fd;
    uint64_t cut_at;     /* the connection ends after so many sent bytes; UINT64_MAX: never */
    uint64_t flip_at;    /* this sent byte has one bit flipped; UINT64_MAX: none */
    uint64_t flip_every; /* and then again after so many; 0: once */
    uint64_t sent;
    uint32_t send_most; /* bytes taken by one send; 0: no limit */
    atomic_bool held;   /* nothing is received, what was sent is there at once afterwards */
};

static ssize_t pair_send(struct link *link, const void *data, size_t length, struct error *err)
{
    struct pair_link *pair = (struct pair_link *)link;
    uint8_t copy[64 * 1024];
    size_t most = length < sizeof(copy) ? length : sizeof(copy);
    if (pair->send_most > 0 && most > pair->send_most)
        most = pair->send_most;
    if (pair->cut_at != UINT64_MAX && most > pair->cut_at - pair->sent)
        most = (size_t)(pair->cut_at - pair->sent);
    if (pair->sent == pair->cut_at)
        return error_set_class(err, ERROR_SOCKET, EPIPE, "%s: send: cut", link->peer);
    memcpy(copy, data, most);
    if (pair->flip_at >= pair->sent && pair->flip_at < pair->sent + most)
        copy[pair->flip_at - pair->sent] ^= 0x10;
    ssize_t sent = most > 0 ? send(pair->fd, copy, most, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno == EAGAIN)
        return 0;
    if (sent < 0)
        return error_set_class(err, ERROR_SOCKET, errno, "%s: send: %s", link->peer,
                               strerror(errno));
    if (pair->flip_at >= pair->sent && pair->flip_at < pair->sent + (uint64_t)sent)
        pair->flip_at = pair->flip_every ? pair->flip_at + pair->flip_every : UINT64_MAX;
    pair->sent += (uint64_t)sent;
    if (pair->sent == pair->cut_at)
        shutdown(pair->fd, SHUT_RDWR);
    return sent;
}

static ssize_t pair_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct pair_link *pair = (struct pair_link *)link;
    if (pair->held)
        return 0;
    ssize_t count = recv(pair->fd, buffer, capacity, 0);
    if (count > 0)
        return count;
    if (count == 0)
        return LINK_EOF;
    if (errno == EAGAIN)
        return 0;
    return error_set_class(err, ERROR_SOCKET, errno, "%s: recv: %s", link->peer, strerror(errno));
}

static int pair_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    *events = (short)((wanted & LINK_RECV ? POLLIN : 0) | (wanted & LINK_SEND ? POLLOUT : 0));
    return ((struct pair_link *)link)->fd;
}

static int pair_send_eof(struct link *link, struct error *err)
{
    (void)err;
    shutdown(((struct pair_link *)link)->fd, SHUT_WR);
    return 0;
}

static int pair_status(struct link *link, int *status)
{
    (void)link;
    *status = 0;
    return -ENODATA;
}

static const char *pair_last_words(struct link *link)
{
    (void)link;
    return "";
}

static void pair_close(struct link *link)
{
    close(((struct pair_link *)link)->fd);
    free(link);
}

static const struct link_ops pair_ops = {
    .name = "pair",
    .send = pair_send,
    .recv = pair_recv,
    .wait_fd = pair_wait_fd,
    .send_eof = pair_send_eof,
    .status = pair_status,
    .last_words = pair_last_words,
    .close = pair_close,
};

static struct pair_link *pair_open_one(int fd, const char *peer)
{
    struct pair_link *pair = calloc(1, sizeof(*pair));
    if (!pair)
        abort();
    *pair = (struct pair_link){.fd = fd, .cut_at = UINT64_MAX, .flip_at = UINT64_MAX};
    pair->link.ops = &pair_ops;
    snprintf(pair->link.peer, sizeof(pair->link.peer), "%s", peer);
    snprintf(pair->link.program, sizeof(pair->link.program), "haul");
    return pair;
}

/* [0] is the client's link, [1] the server's. */
static inline void pair_open(struct pair_link *out[2])
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    out[0] = pair_open_one(fds[0], "farhost");
    out[1] = pair_open_one(fds[1], "client");
}

#endif
