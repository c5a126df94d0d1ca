/* link_stdio.c - the agent's own standard input and output as a link. */
#include "haul/net/link.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct stdio_link {
    struct link base;
    int input_fd;
    int output_fd;   /* -1 after send_eof */
    int epoll_fd;    /* both, as one descriptor to wait for; -1 when they cannot be waited for */
    int input_flags; /* as they were: the open file may be shared with other processes */
    int output_flags;
    bool input_watched;
    bool output_watched;
};

static struct stdio_link *of(struct link *link)
{
    return (struct stdio_link *)link;
}

static ssize_t stdio_send(struct link *link, const void *data, size_t length, struct error *err)
{
    ssize_t sent = write(of(link)->output_fd, data, min_size(length, LINK_WRITE_BYTES));

    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return error_set_class(err, ERROR_SOCKET, errno, "%s: write: %s", link->peer, strerror(errno));
}

static ssize_t stdio_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    ssize_t received = read(of(link)->input_fd, buffer, capacity);

    if (received > 0)
        return received;
    if (received == 0)
        return LINK_EOF;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return error_set_class(err, ERROR_SOCKET, errno, "%s: read: %s", link->peer, strerror(errno));
}

static int stdio_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    struct stdio_link *stdio = of(link);

    *events = POLLIN;
    if (stdio->epoll_fd < 0)
        return -1;
    link_watch(stdio->epoll_fd, stdio->input_fd, EPOLLIN, wanted & LINK_RECV,
               &stdio->input_watched);
    link_watch(stdio->epoll_fd, stdio->output_fd, EPOLLOUT, wanted & LINK_SEND,
               &stdio->output_watched);
    return stdio->epoll_fd;
}

static int stdio_send_eof(struct link *link, struct error *err)
{
    struct stdio_link *stdio = of(link);

    (void)err;
    if (stdio->output_fd >= 0) {
        fcntl(stdio->output_fd, F_SETFL, stdio->output_flags);
        close(take_fd(&stdio->output_fd));
    }
    return 0;
}

/* The client that started us is not our child. */
static int stdio_status(struct link *link, int *status)
{
    (void)link;
    *status = 0;
    return -ENODATA;
}

/* The client's words come through the protocol; its stderr is not ours to read. */
static const char *stdio_last_words(struct link *link)
{
    (void)link;
    return "";
}

static void stdio_close(struct link *link)
{
    struct stdio_link *stdio = of(link);

    stdio_send_eof(link, NULL);
    if (stdio->input_fd >= 0) {
        fcntl(stdio->input_fd, F_SETFL, stdio->input_flags);
        close(stdio->input_fd);
    }
    if (stdio->epoll_fd >= 0)
        close(stdio->epoll_fd);
    free(stdio);
}

static const struct link_ops stdio_ops = {
    .name = "stdio",
    .send = stdio_send,
    .recv = stdio_recv,
    .wait_fd = stdio_wait_fd,
    .send_eof = stdio_send_eof,
    .status = stdio_status,
    .last_words = stdio_last_words,
    .close = stdio_close,
};

/* What sshd cannot give to its command it keeps in a buffer that becomes larger with each packet,
 * by a copy of all and new pages. A pipe that holds what is sent ahead spares it that: 10,000 small
 * files pushed took 0.82 of the CPU of both ends, and where a login took longer 0.47 (measured,
 * loaded). A socket has no such size, and a user's pipes may be too many to be large: it works all
 * the same. */
enum { INPUT_BYTES = 512 * 1024 };

/* Duplicate 0 and 1 out of reach, and put harmless files in their places. */
static int move_away(struct stdio_link *stdio)
{
    AUTO_CLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd < 0)
        return -errno;
    stdio->input_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    stdio->output_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (stdio->input_fd < 0 || stdio->output_fd < 0)
        return -errno;
    /* Without a standard error, prints must still not get into the stream. */
    if (dup2(null_fd, STDIN_FILENO) < 0 ||
        (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 && dup2(null_fd, STDOUT_FILENO) < 0))
        return -errno;
    return 0;
}

/* sshd's child gets sockets, others pipes: epoll takes both. Regular files and /dev/null it refuses
 * with EPERM: they never have to be waited for. */
static int watch(struct stdio_link *stdio)
{
    stdio->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (stdio->epoll_fd < 0)
        return -errno;
    int result = link_watch(stdio->epoll_fd, stdio->input_fd, EPOLLIN, true, &stdio->input_watched);
    if (result == 0)
        result =
            link_watch(stdio->epoll_fd, stdio->output_fd, EPOLLOUT, true, &stdio->output_watched);
    if (result == -EPERM) {
        close(take_fd(&stdio->epoll_fd));
        return 0;
    }
    return result;
}

int link_stdio_open(struct link **out, struct error *err)
{
    struct stdio_link *stdio = calloc(1, sizeof(*stdio));
    int result = -ENOMEM;

    *out = NULL;
    if (!stdio)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "standard input: no memory for a link");
    stdio->base.ops = &stdio_ops;
    stdio->input_fd = stdio->output_fd = stdio->epoll_fd = -1;
    snprintf(stdio->base.peer, sizeof(stdio->base.peer), "client");
    snprintf(stdio->base.program, sizeof(stdio->base.program), "client");

    result = move_away(stdio);
    if (result < 0)
        goto fail;
    stdio->input_flags = fcntl(stdio->input_fd, F_GETFL);
    stdio->output_flags = fcntl(stdio->output_fd, F_GETFL);
    if (fcntl(stdio->input_fd, F_SETFL, stdio->input_flags | O_NONBLOCK) < 0 ||
        fcntl(stdio->output_fd, F_SETFL, stdio->output_flags | O_NONBLOCK) < 0) {
        result = -errno;
        goto fail;
    }
    if (fcntl(stdio->input_fd, F_GETPIPE_SZ) < INPUT_BYTES)
        (void)fcntl(stdio->input_fd, F_SETPIPE_SZ, INPUT_BYTES);
    result = watch(stdio);
    if (result < 0)
        goto fail;
    *out = &stdio->base;
    return 0;

fail:
    error_set_class(err, ERROR_START, -result, "standard input and output cannot be used: %s",
                    strerror(-result));
    stdio_close(&stdio->base);
    return result;
}
