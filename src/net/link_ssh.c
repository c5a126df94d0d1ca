/* link_ssh.c - a link through libssh: one channel of one session. What comes before it is in
 * ssh_setup.c, ssh_host_key.c and ssh_login.c; libssh itself is known to ssh_link.h. */
#include "ssh_link.h"

#include <errno.h>

#if !WITH_SSH

int link_ssh_open(struct link **out, const struct link_options *options, struct error *err)
{
    *out = NULL;
    return error_set_class(err, ERROR_START, ENOTSUP,
                           "%s: this haul was built without libssh; use -e ssh",
                           options->address->host);
}

const char *link_ssh_version(void)
{
    return NULL;
}

#else

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/library.h"
#include "haul/base/log.h"
#include "haul/base/num.h"

#include <linux/tcp.h> /* glibc's own ends before tcpi_min_rtt */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GROW_BYTES = 1024 * 1024,      /* received before the window is opened again */
    RECV_ROUNDS_MAX = 4096,        /* reads of the socket in one recv */
    WORDS_TAKEN_BYTES = 64 * 1024, /* of stderr in one recv: more than the packet that it reads */
    /* Sent and not taken yet, at most, where the way takes no time; sshd tells of every 96 KiB. */
    AHEAD_BYTES = 256 * 1024,
    AHEAD_BYTES_A_US = 512, /* ... and for each microsecond there and back, as TCP sees it, ... */
    AHEAD_BYTES_A_US_HIDDEN = 64, /* ... or as a forwarder may hide it from TCP */
    AHEAD_PATIENCE_MS = 500,
};

#define MARK_NONE UINT64_MAX /* recv or send may get on: nobody has found otherwise */

static struct ssh_link *of(struct link *link)
{
    return (struct ssh_link *)link;
}

const char *link_ssh_version(void)
{
    static const char *const names[] = {SSH_LIBRARY, NULL};
    static const struct library_function function = {"ssh_version",
                                                     offsetof(struct ssh_api, ssh_version)};
    struct ssh_api api;
    char why[LIBRARY_WHY_BYTES];
    if (!library_load(names, &function, 1, &api, why))
        return NULL;
    return api.ssh_version(0); /* a constant of the library, which stays */
}

/* ---- the channel ---- */

/* There and back, the shortest yet; NUM_UNKNOWN: this is no TCP connection, or the kernel is older
 * than 4.6. */
static uint64_t tcp_round_us(const struct ssh_link *ssh)
{
    struct tcp_info info = {.tcpi_min_rtt = UINT32_MAX};
    socklen_t bytes = sizeof(info);

    if (getsockopt(ssh->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0 ||
        info.tcpi_min_rtt == UINT32_MAX)
        return NUM_UNKNOWN;
    return info.tcpi_min_rtt;
}

/* sshd keeps what its command has not taken yet in a buffer that it makes larger by no more than
 * what has come, each time with a copy of all and new pages. Up to its window of 2 MiB that is
 * hundreds of megabytes for each connection: where a page fault takes 20 us, the far end of a push
 * of 400 MiB took 3.5 CPU seconds, and 1.4 with this; that of 10,000 small files 5, and 1.9
 * (measured, loaded). So no more is under way than the line needs. What follows from `answered_ns`,
 * which the host took for an answer, is right for a line that a forwarder hides. */
static void set_ahead(struct ssh_link *ssh, uint64_t answered_ns)
{
    uint64_t round_us = tcp_round_us(ssh);

    ssh->ahead_bytes = UINT32_MAX;
    if (round_us == NUM_UNKNOWN)
        return;
    uint64_t seen_bytes = round_us * AHEAD_BYTES_A_US;
    uint64_t hidden_bytes = answered_ns / 1000 * AHEAD_BYTES_A_US_HIDDEN;
    ssh->ahead_bytes = AHEAD_BYTES + max_u64(seen_bytes, hidden_bytes);
}

static int start_command(struct ssh_link *ssh, struct error *err)
{
    const char *command = ssh->options->remote_command;
    uint64_t begun_ns = clock_now_ns();
    char words[256];

    ssh->channel = ssh->api.ssh_channel_new(ssh->session);
    if (!ssh->channel)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory", ssh->base.peer);
    int result = ssh->api.ssh_channel_open_session(ssh->channel);
    if (result == SSH_AGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT,
                               "%s: the host is silent when the session is opened", ssh->base.peer);
    if (result != SSH_OK)
        return ssh_link_lost(ssh, "session", err);
    uint64_t opened_ns = clock_now_ns();
    result = ssh->api.ssh_channel_request_exec(ssh->channel, command);
    if (result == SSH_AGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT,
                               "%s: the host is silent when %s is started", ssh->base.peer,
                               ssh->base.program);
    if (result != SSH_OK && !ssh->api.ssh_is_connected(ssh->session))
        return ssh_link_lost(ssh, "start", err); /* nobody has refused it: it is dialled again */
    if (result != SSH_OK)
        return error_set_class(err, ERROR_START, EACCES, "%s: %s could not be started there: %s",
                               ssh->base.peer, ssh->base.program, ssh_link_reason(ssh, words));
    set_ahead(ssh, min_u64(opened_ns - begun_ns, clock_now_ns() - opened_ns));
    ssh->api.ssh_set_blocking(ssh->session, 0);
    ssh->recv_mark = ssh->send_mark = MARK_NONE;
    return 0;
}

/* What has arrived of the far command's stdout or stderr, without waiting. Nothing there is 0, as
 * with 0.10; 0.11 says SSH_AGAIN, which is negative. */
static int read_now(const struct ssh_link *ssh, void *out, uint32_t count, bool is_stderr)
{
    int received = ssh->api.ssh_channel_read_timeout(ssh->channel, out, count, is_stderr, 0);

    return received == SSH_AGAIN ? 0 : received;
}

/* Take the far command's stderr; `count` bytes at most.
 *
 * 0.10.6 grows the window to the `count` of a read, when that is more than it has; a plain reader
 * with small buffers never gets beyond 1.28 MB, 11 MB/s at 50 ms (measured). A read of *stderr*
 * with a large count does it without touching the data. `count` bytes may then be written, so the
 * scratch buffer really has them: address space, of which stderr touches a page or two. */
static int take_words(struct ssh_link *ssh, uint32_t count)
{
    int received = read_now(ssh, ssh->scratch, count, true);

    if (received > 0)
        child_words_add(&ssh->words, (const char *)ssh->scratch, (size_t)received, ssh->base.peer);
    return received;
}

static int grow_window(struct ssh_link *ssh)
{
    ssh->grown_at_bytes = ssh->base.received_bytes;
    return take_words(ssh, ssh->window_bytes);
}

/* Push on what is queued, without waiting. SSH_ERROR, else look at SSH_WRITE_PENDING. */
static int flush(struct ssh_link *ssh)
{
    if (!(ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING))
        return SSH_OK;
    return ssh->api.ssh_blocking_flush(ssh->session, 0);
}

/* Another peer than sshd may open its window only when more has been taken than may be sent, which
 * would be never: so where nothing is heard of it for a while it is more, as long as such a peer
 * then opens it by as much. sshd, which may have had no processor for so long, does not. */
static void look_ahead(struct ssh_link *ssh, uint32_t window_bytes)
{
    if (window_bytes > ssh->left_bytes) {
        uint64_t opened_bytes = 2 * (uint64_t)(window_bytes - ssh->left_bytes);
        uint64_t wanted_bytes = opened_bytes - min_u64(opened_bytes, ssh->ahead_bytes);
        ssh->ahead_more_bytes = min_u64(ssh->ahead_more_bytes, wanted_bytes);
        ssh->held_ns = 0;
    } else if (ssh->held_ns > 0 && clock_now_ns() - ssh->held_ns >= AHEAD_PATIENCE_MS * NS_PER_MS) {
        ssh->ahead_more_bytes += ssh->ahead_bytes + ssh->ahead_more_bytes;
        ssh->held_ns = 0;
    }
    ssh->given_bytes = (uint32_t)max_u64(ssh->given_bytes, window_bytes);
    ssh->left_bytes = window_bytes;
}

/* How much may be sent now. 0: not before the peer has taken more, or has been silent for a while.
 */
static uint32_t ahead_room(struct ssh_link *ssh)
{
    uint32_t window_bytes = ssh->api.ssh_channel_window_size(ssh->channel);

    look_ahead(ssh, window_bytes);
    uint64_t ahead_bytes = ssh->given_bytes - window_bytes;
    uint64_t most_bytes = ssh->ahead_bytes + ssh->ahead_more_bytes;
    if (ahead_bytes < most_bytes)
        return (uint32_t)min_u64(most_bytes - ahead_bytes, LINK_WRITE_BYTES);
    if (ssh->held_ns == 0)
        ssh->held_ns = clock_now_ns();
    return 0;
}

/* The same, where what has come is looked at before nothing is sent: libssh reads it when it is
 * given something to write, and it is not. Asked for the exit status it reads whatever there is, as
 * long as there is no status. Behind that nothing is held, so that writes meet the end. */
static uint32_t send_room(struct ssh_link *ssh)
{
    uint32_t room_bytes = ahead_room(ssh);

    if (room_bytes > 0)
        return room_bytes;
    if (ssh->api.ssh_channel_get_exit_status(ssh->channel) >= 0)
        return LINK_WRITE_BYTES;
    return ahead_room(ssh);
}

static ssize_t ssh_link_send(struct link *link, const void *data, size_t length, struct error *err)
{
    struct ssh_link *ssh = of(link);

    ssh->send_mark = MARK_NONE;
    link->send_at_ns = 0;
    /* A non-blocking write queues whatever the peer's window allows, megabytes (measured): so no
     * new one before the last has left. */
    if (flush(ssh) == SSH_ERROR)
        return ssh_link_lost(ssh, "write", err);
    if (ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING) {
        ssh->send_mark = ssh->packets.in_packets;
        return 0;
    }

    uint32_t room_bytes = send_room(ssh);
    /* 0: too much is ahead, the peer's window is closed, or keys are being exchanged. The mark is
     * from before: the end of the channel may come in this very call, and only the next one tells.
     * If it came earlier a write of nothing tells, too. */
    uint64_t mark = ssh->packets.in_packets;
    int sent =
        ssh->api.ssh_channel_write(ssh->channel, data, (uint32_t)min_u64(length, room_bytes));
    if (sent < 0)
        return ssh_link_lost(ssh, "write", err);
    ssh->left_bytes -= (uint32_t)sent;
    if (sent == 0) {
        ssh->send_mark = mark;
        link->send_at_ns = ssh->held_ns > 0 ? ssh->held_ns + AHEAD_PATIENCE_MS * NS_PER_MS : 0;
    }
    return sent;
}

static ssize_t ssh_link_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct ssh_link *ssh = of(link);
    uint8_t *next = buffer;
    size_t total = 0;
    int received = 0;

    ssh->recv_mark = MARK_NONE;
    /* 0.10.6 reads 4 KiB of the socket at a time, and a packet has 32: go on while there is more of
     * it. A packet that came and was not for us is stderr's, taken below before the next. */
    for (int round = 0; round < RECV_ROUNDS_MAX && total < capacity; round++) {
        uint32_t count = (uint32_t)min_u64(capacity - total, LINK_WINDOW_BYTES_MIN / 2);
        uint64_t bytes = ssh->socket.in_bytes, packets = ssh->packets.in_packets;
        received = read_now(ssh, next + total, count, false);
        if (received > 0)
            total += (size_t)received;
        else if (received < 0 || ssh->socket.in_bytes == bytes ||
                 ssh->packets.in_packets != packets)
            break;
    }
    if (received == 0) {
        ssh->recv_mark = ssh->packets.in_packets; /* what follows may read more */
        /* The window is opened again only when nothing is buffered: else a slow reader would
         * promise the sum of window and buffer again and again; and not for every few bytes: each
         * is a packet. */
        bool due = ssh->base.received_bytes + total - ssh->grown_at_bytes >= GROW_BYTES;
        received = due ? grow_window(ssh) : take_words(ssh, WORDS_TAKEN_BYTES);
        if (received > 0)
            ssh->recv_mark = MARK_NONE; /* there may be more words, and they fill the window, too */
    }
    if (total > 0)
        return (ssize_t)total; /* an error shows again the next time */
    if (received < 0)
        return ssh_link_lost(ssh, "read", err);
    return ssh->api.ssh_channel_is_eof(ssh->channel) ? LINK_EOF : 0;
}

static int ssh_link_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    struct ssh_link *ssh = of(link);

    /* Every call into libssh may read packets: data for a recv, while we send; a window, new keys
     * or the end for a send, while we receive. They are in memory then, and poll would never tell.
     */
    if (((wanted & LINK_RECV) && ssh->recv_mark != ssh->packets.in_packets) ||
        ((wanted & LINK_SEND) && ssh->send_mark != ssh->packets.in_packets))
        return -1;
    /* A send that was not taken waits for something to leave, or for a window or keys: for
     * something to read. POLLOUT without anything queued would be there always, and poll would
     * never sleep. */
    *events = POLLIN;
    if (ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING)
        *events |= POLLOUT;
    return ssh->fd;
}

static int ssh_link_send_eof(struct link *link, struct error *err)
{
    struct ssh_link *ssh = of(link);

    if (!ssh->eof_sent) {
        if (ssh->api.ssh_channel_is_closed(ssh->channel))
            return 0; /* the peer was faster */
        if (ssh->api.ssh_channel_send_eof(ssh->channel) == SSH_ERROR)
            return ssh_link_lost(ssh, "end", err);
        ssh->eof_sent = true;
    }
    if (flush(ssh) == SSH_ERROR)
        return ssh_link_lost(ssh, "end", err);
    ssh->send_mark = ssh->packets.in_packets;
    return ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING ? -EAGAIN : 0;
}

static int ssh_link_status(struct link *link, int *status)
{
    struct ssh_link *ssh = of(link);

    while (take_words(ssh, WORDS_TAKEN_BYTES) > 0)
        continue; /* its very last words; bounded by the window */
    *status = ssh->api.ssh_channel_get_exit_status(ssh->channel);
    if (*status >= 0)
        return 0;
    if (!ssh->api.ssh_channel_is_closed(ssh->channel))
        return -EAGAIN;
    if (!ssh->api.ssh_is_connected(ssh->session))
        return -ENODATA; /* a lost session closes its channels, too: nothing is known */
    *status =
        128 + SIGKILL; /* closed without a status: ended by a signal, whose name 0.10.6 keeps */
    return 0;
}

static const char *ssh_link_last_words(struct link *link)
{
    return child_words_last(&of(link)->words);
}

static void ssh_link_close(struct link *link)
{
    struct ssh_link *ssh = of(link);

    /* Not ssh_disconnect(): 0.10.6 leaves a socket that it was given open. */
    if (ssh->session) {
        ssh->api.ssh_silent_disconnect(ssh->session);
        ssh->api.ssh_free(ssh->session); /* its channel, too */
    }
    if (ssh->fd >= 0)
        close(ssh->fd);
    child_close(&ssh->proxy, NS_PER_SECOND);
    if (ssh->scratch)
        munmap(ssh->scratch, ssh->window_bytes);
    ssh_config_close(&ssh->config);
    ask_wipe(ssh, sizeof(*ssh));
    free(ssh);
}

static const struct link_ops ssh_link_ops = {
    .name = "ssh",
    .send = ssh_link_send,
    .recv = ssh_link_recv,
    .wait_fd = ssh_link_wait_fd,
    .send_eof = ssh_link_send_eof,
    .status = ssh_link_status,
    .last_words = ssh_link_last_words,
    .close = ssh_link_close,
};

/* ---- opening ---- */

static int prepare(struct ssh_link *ssh, struct error *err)
{
    const struct link_options *options = ssh->options;
    uint32_t window = options->window_bytes ? options->window_bytes : LINK_WINDOW_BYTES;

    ssh->base.ops = &ssh_link_ops;
    ssh->fd = -1;
    child_init(&ssh->proxy);
    address_peer(ssh->base.peer, sizeof(ssh->base.peer), options->address);
    snprintf(ssh->base.program, sizeof(ssh->base.program), "%.*s",
             (int)strcspn(options->remote_command, " "), options->remote_command);
    ssh->window_bytes = window > LINK_WINDOW_BYTES_MIN ? window : LINK_WINDOW_BYTES_MIN;
    void *scratch = mmap(NULL, ssh->window_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for a link",
                               ssh->base.peer);
    ssh->scratch = scratch;

    /* Asked first: nothing of libssh is in memory while ssh is. */
    int result = ssh_config_ask(&ssh->config, options, err);
    if (result < 0 && error_is_set(err))
        return result;
    result = ssh_api_load(ssh, err);
    if (result < 0)
        return result;
    ssh->session = ssh->api.ssh_new();
    if (!ssh->session)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for a link",
                               ssh->base.peer);
    return 0;
}

int link_ssh_open(struct link **out, const struct link_options *options, struct error *err)
{
    static int (*const steps[])(struct ssh_link *, struct error *) = {
        prepare,   ssh_setup_configure, ssh_setup_connect, ssh_host_key_verify,
        ssh_login, start_command,
    };
    struct ssh_link *ssh = calloc(1, sizeof(*ssh));
    int result = 0;

    *out = NULL;
    if (!ssh)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a link");
    ssh->options = options;
    for (size_t i = 0; i < COUNT_OF(steps) && result == 0; i++)
        result = steps[i](ssh, err);
    if (result == 0 && grow_window(ssh) < 0)
        result = ssh_link_lost(ssh, "start", err);
    if (result < 0) {
        ssh_link_close(&ssh->base);
        return result;
    }
    ssh->base.cipher = ssh->api.ssh_get_cipher_out(ssh->session);
    log_verbose("%s: connected, cipher %s", ssh->base.peer, ssh->base.cipher);
    ssh_config_close(&ssh->config);
    ssh->options = NULL;
    *out = &ssh->base;
    return 0;
}

#endif
