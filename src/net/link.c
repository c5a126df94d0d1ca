/* link.c - what all links have in common: opening by address, waiting, and the orderly end. */
#include "haul/net/link.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    DROP_BYTES = 8 * 1024, /* read at a time while closing */
    STATUS_STEP_MS = 10    /* between two looks for the exit status, after the end of file */
};

/* A pipe or ProxyCommand that breaks must be an error of ours, not the end of the process. */
static void ignore_sigpipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGPIPE, &ignore, NULL);
}

int link_open_direct(struct link **out, const struct link_options *options, struct error *err)
{
    const char *host = options->address->host;

    *out = NULL;
    ignore_sigpipe();
    /* address_parse() refuses these already; a link may be opened with other addresses, too. */
    if (host[0] == '-' || options->address->user[0] == '-')
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: a host or user may not begin with '-'", host);
    if (options->transport)
        return link_command_open(out, options, err);
    return link_ssh_open(out, options, err);
}

int link_open_stdio(struct link **out, struct error *err)
{
    *out = NULL;
    ignore_sigpipe();
    return link_stdio_open(out, err);
}

ssize_t link_send(struct link *link, const void *data, size_t length, struct error *err)
{
    ssize_t sent = length > 0 ? link->ops->send(link, data, length, err) : 0;

    if (sent > 0) {
        assert((size_t)sent <= length);
        link->sent_bytes += (uint64_t)sent;
    }
    return sent;
}

ssize_t link_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    if (link->ended)
        return LINK_EOF;

    ssize_t received = capacity > 0 ? link->ops->recv(link, buffer, capacity, err) : 0;

    if (received > 0) {
        assert((size_t)received <= capacity);
        link->received_bytes += (uint64_t)received;
    }
    if (received == LINK_EOF)
        link->ended = true;
    return received;
}

int link_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    *events = 0;
    if (link->ended && (wanted & LINK_RECV))
        return -1;
    return link->ops->wait_fd(link, wanted, events);
}

/* How long until send is to be called anyway. */
static uint64_t send_wait_ns(const struct link *link, unsigned int wanted)
{
    if (!(wanted & LINK_SEND) || link->send_at_ns == 0)
        return UINT64_MAX;
    uint64_t now_ns = clock_now_ns();
    return link->send_at_ns - min_u64(link->send_at_ns, now_ns);
}

int link_wait(struct link *link, unsigned int wanted, uint64_t timeout_ns, struct error *err)
{
    struct pollfd item = {.fd = -1};
    uint64_t send_ns = send_wait_ns(link, wanted);
    int timeout_ms = (int)min_u64(div_ceil(min_u64(timeout_ns, send_ns), NS_PER_MS), INT32_MAX);

    item.fd = link_wait_fd(link, wanted, &item.events);
    if (item.fd < 0)
        return 0;
    int ready = poll(&item, 1, timeout_ms);
    if (ready > 0 || (ready == 0 && send_ns <= timeout_ns))
        return 0;
    if (ready < 0 && errno == EINTR)
        return -EINTR;
    if (ready < 0)
        return error_set_class(err, ERROR_SOCKET, errno, "%s: poll: %s", link->peer,
                               strerror(errno));
    return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: silent for %.3g s", link->peer,
                           (double)timeout_ns / (double)NS_PER_SECOND);
}

/* Wait for the rest of the time until deadline_ns. EINTR counts as progress: the caller looks. */
static int wait_until(struct link *link, unsigned int wanted, uint64_t deadline_ns,
                      struct error *err)
{
    uint64_t now_ns = clock_now_ns();

    if (now_ns >= deadline_ns)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: no answer in time", link->peer);

    int result = link_wait(link, wanted, deadline_ns - now_ns, err);
    return result == -EINTR ? 0 : result;
}

int link_send_all(struct link *link, const void *data, size_t length, uint64_t timeout_ns,
                  struct error *err)
{
    const uint8_t *next = data;
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;

    while (length > 0) {
        ssize_t sent = link_send(link, next, length, err);
        if (sent < 0)
            return (int)sent;
        next += sent;
        length -= (size_t)sent;
        int result = sent == 0 ? wait_until(link, LINK_SEND, deadline_ns, err) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

int link_recv_all(struct link *link, void *buffer, size_t length, uint64_t timeout_ns,
                  struct error *err)
{
    uint8_t *next = buffer;
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;

    while (length > 0) {
        ssize_t received = link_recv(link, next, length, err);
        if (received < 0)
            return (int)received;
        next += received;
        length -= (size_t)received;
        int result = received == 0 ? wait_until(link, LINK_RECV, deadline_ns, err) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

/* Say that no more comes, reading (and dropping) all the while: a peer that is stuck in a write of
 * its own would never read ours. */
static int drain(struct link *link, uint64_t deadline_ns, struct error *err)
{
    uint8_t dropped[DROP_BYTES];
    bool told = false;

    for (;;) {
        if (!told) {
            int result = link->ops->send_eof(link, err);
            if (result < 0 && result != -EAGAIN)
                return result;
            told = result == 0;
        }
        ssize_t received = link_recv(link, dropped, sizeof(dropped), err);
        if (received == LINK_EOF)
            return 0;
        if (received < 0)
            return (int)received;
        /* The deadline holds for a peer that never stops talking, too. */
        int result =
            received == 0 || clock_now_ns() >= deadline_ns
                ? wait_until(link, told ? LINK_RECV : LINK_RECV | LINK_SEND, deadline_ns, err)
                : 0;
        if (result < 0)
            return result;
    }
}

static int await_status(struct link *link, int *status, uint64_t deadline_ns)
{
    for (;;) {
        int result = link->ops->status(link, status);
        if (result != -EAGAIN || clock_now_ns() >= deadline_ns)
            return result;

        /* Nothing to poll for: a process that ends makes no descriptor ready (no pidfd before
         * Linux 5.3), and the status of an SSH channel has mostly come with its end of file. */
        poll(NULL, 0, STATUS_STEP_MS);
    }
}

/* ssh's words for a login or a key that will not be better the next time. */
static bool is_refusal(const char *words)
{
    return strstr(words, "Permission denied") || strstr(words, "Host key verification failed") ||
           strstr(words, "Too many authentication failures");
}

/* What an exit status means, in one line. */
static int judge(struct link *link, int status, struct error *err)
{
    const char *words = link->ops->last_words(link);
    const char *colon = words[0] ? ": " : "";

    if (status == 0)
        return 0;
    if ((status == 126 || status == 127) && link->brought)
        return error_set_class(err, ERROR_START, ENOEXEC, "%s: %s could not be started there%s%s",
                               link->peer, link->program, colon, words);
    if (status == 126 || status == 127)
        return error_set_class(err, ERROR_NOT_FOUND, ENOENT,
                               "%s: %s was not found there; install haul (--remote-path says "
                               "where it is), or let --bootstrap bring it along%s%s",
                               link->peer, link->program, colon, words);
    if (status == 255)
        return error_set_class(err, ERROR_SOCKET, is_refusal(words) ? EACCES : ECONNRESET,
                               "%s: connection failed%s%s", link->peer, colon, words);
    if (status > 128)
        return error_set_class(err, ERROR_START, ECHILD, "%s: %s was ended by signal %d%s%s",
                               link->peer, link->program, status - 128, colon, words);
    return error_set_class(err, ERROR_START, ECHILD, "%s: %s ended with status %d%s%s", link->peer,
                           link->program, status, colon, words);
}

int link_shutdown(struct link *link, uint64_t timeout_ns, struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    struct error why = {.class = ERROR_NONE};
    int status = 0;
    int drained = drain(link, deadline_ns, &why);
    /* How a command ended explains a broken stream better than the stream does. */
    int known =
        drained == 0 ? await_status(link, &status, deadline_ns) : link->ops->status(link, &status);

    if (known == 0 && status != 0)
        return judge(link, status, err);
    if (drained < 0)
        return error_take(err, &why);
    if (known == -EAGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: %s does not end", link->peer,
                               link->program);
    return 0;
}

void link_close(struct link *link)
{
    if (link)
        link->ops->close(link);
}
