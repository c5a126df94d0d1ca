/* link.h - bytes to and from another process, without blocking and in bounded memory.
 *
 * Three links implement link_ops: `ssh` (libssh), `command` (a subprocess such as ssh or docker
 * exec), `stdio` (the agent's own standard input and output). They carry bytes and know nothing of
 * their meaning: that is the wire's. One link belongs to one thread.
 *
 * The process ignores SIGPIPE: link_open() and link_open_stdio() see to it.
 *
 * Errors name the peer and fill one line. Their classes: ERROR_SOCKET (network, login, host key),
 * ERROR_CONNECT (not within the time), ERROR_TIMEOUT (silent later on), ERROR_START (the command
 * could not be started, or ended with a failure), ERROR_NOT_FOUND (there is no such program),
 * ERROR_USAGE (options). */
#ifndef HAUL_LINK_H
#define HAUL_LINK_H

#include "haul/base/error.h"
#include "haul/net/address.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ask_memory;
struct link;

/* What somebody waits for. */
enum { LINK_RECV = 1, LINK_SEND = 2 };

enum link_family { LINK_FAMILY_ANY, LINK_FAMILY_IPV4, LINK_FAMILY_IPV6 };

enum {
    LINK_WRITE_BYTES = 256 * 1024,       /* most that is queued in this process behind send */
    LINK_WINDOW_BYTES = 4 * 1024 * 1024, /* what the peer may send ahead by default (libssh) */
    LINK_WINDOW_BYTES_MIN = 1280 * 1000, /* libssh 0.10 never announces less */
    LINK_CONNECT_SECONDS = 30            /* unless connect_timeout_ns says otherwise */
};

/* No more bytes will come: the other side has closed its direction. */
#define LINK_EOF (-ENODATA)

struct link_options {
    const struct address *address; /* user, host and port of the peer */
    /* What is to run there, words as for a shell: "haul --server", "sudo haul --server". ssh hands
     * it to the login shell as it is; other transports get its words. */
    const char *remote_command;

    /* -e CMD: words as for a shell, but no shell runs. NULL: libssh. Appended to it:
     *   ssh, slogin, autossh, rsh:            [-p port] [-l user] host "remote command"
     *   kubectl, oc:                          host -- remote words
     *   sudo, doas:                           [-u user] remote words
     *   anything else (docker exec -i ...):   host remote words
     * Where a word contains %h, %u or %p (%% is a percent sign), these are replaced instead, and
     * only the remote words follow: -e 'nsenter -t %h -m'. */
    const char *transport;

    /* Where haul is missing there, or of another version, bring it along; see bootstrap.h. */
    bool bootstrap;

    /* The rest is for libssh; -e says the like in its own words. */
    uint16_t port;           /* 0: the address's, else what the configuration says, else 22 */
    const char *config_file; /* -F; NULL: ~/.ssh/config and /etc/ssh/ssh_config; "none" */
    const char *const *identity_files; /* -i, in order */
    uint32_t identities_count;
    const char *proxy_jump;      /* -J */
    const char *ciphers;         /* --ciphers; ssh's -c */
    const char *const *settings; /* -o "Key=Value" or "Key Value", in order; the first one wins */
    uint32_t settings_count;
    enum link_family family;     /* -4, -6 */
    uint64_t connect_timeout_ns; /* TCP, key exchange, and each answer during login; 0: default */
    uint64_t silence_timeout_ns; /* unacknowledged data ends the connection (TCP_USER_TIMEOUT);
                                    0: the kernel's own patience */
    uint32_t window_bytes;       /* 0: LINK_WINDOW_BYTES. Up to twice this may be buffered */
    struct ask_memory *memory;   /* remembers answers for the next lane; may be NULL */
};

struct link_ops {
    const char *name; /* "ssh", "command", "stdio" */
    /* Take as many bytes as can be queued now: the count, 0 (later), or -errno. */
    ssize_t (*send)(struct link *link, const void *data, size_t length, struct error *err);
    /* Take what has arrived: the count, 0 (nothing now), LINK_EOF, or -errno. */
    ssize_t (*recv)(struct link *link, void *buffer, size_t capacity, struct error *err);
    /* See link_wait_fd. */
    int (*wait_fd)(struct link *link, unsigned int wanted, short *events);
    /* Bytes queued by send that this process still holds are pushed on; then the peer is told that
     * no more come. 0 when it has been told, -EAGAIN: call again, or -errno. */
    int (*send_eof)(struct link *link, struct error *err);
    /* After LINK_EOF: how the other side ended. 0 and *status as a shell's $?, -EAGAIN: not known
     * yet, -ENODATA: there is nothing to know. */
    int (*status)(struct link *link, int *status);
    /* What the other side said on its stderr, its last line; "" if nothing. */
    const char *(*last_words)(struct link *link);
    /* Frees everything in bounded time; no process stays behind. */
    void (*close)(struct link *link);
};

/* Implementations put this first. */
struct link {
    const struct link_ops *ops;
    char peer[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES]; /* for messages */
    char program[256];       /* what was started there, its first word, for messages */
    uint64_t sent_bytes;     /* taken by send */
    uint64_t received_bytes; /* given by recv */
    bool ended;              /* recv has given LINK_EOF */
    uint64_t send_at_ns;     /* then send may get on without anything to poll for; 0: it may not */
    const char *cipher;      /* of what is sent; NULL: not told */
    bool brought;            /* what runs there is a shell or an agent that it was given */
};

/* Open a link by address and options. May block up to the connect timeout for each step, and for as
 * long as a person thinks about a question. *out is NULL on error. The options may go afterwards,
 * except `memory`. */
int link_open(struct link **out, const struct link_options *options, struct error *err);

/* The same, and what is to run there is there: options->bootstrap does not count. */
int link_open_direct(struct link **out, const struct link_options *options, struct error *err);

/* The agent's side: descriptors 0 and 1. Both are moved away: afterwards 0 reads as empty and 1 is
 * standard error, so that nothing else can print into the stream. */
int link_open_stdio(struct link **out, struct error *err);

/* The implementations behind the two. */
int link_ssh_open(struct link **out, const struct link_options *options, struct error *err);
int link_command_open(struct link **out, const struct link_options *options, struct error *err);
int link_stdio_open(struct link **out, struct error *err);
/* The version of libssh that would be used ("0.10.6"), or NULL; for -V. Loads it. */
const char *link_ssh_version(void);

/* See link_ops. Neither blocks. An error is for good: only link_close() is of use after it. */
ssize_t link_send(struct link *link, const void *data, size_t length, struct error *err);
ssize_t link_recv(struct link *link, void *buffer, size_t capacity, struct error *err);

/* What to poll for before recv (LINK_RECV) or send (LINK_SEND) or either of both can get on: a
 * descriptor and its events. Ask for what you will do when it is ready, or the poll never sleeps.
 * -1: do not wait, recv has something now. Ask anew before every poll. */
int link_wait_fd(struct link *link, unsigned int wanted, short *events);

/* Wait until link_wait_fd's condition holds, or it is send_at_ns. 0; -ETIMEDOUT (ERROR_TIMEOUT);
 * -EINTR after a signal (err unset). timeout_ns 0: only look. */
int link_wait(struct link *link, unsigned int wanted, uint64_t timeout_ns, struct error *err);

/* For the implementations: have fd in the epoll set exactly when wanted. Taken out, and not merely
 * with no events: epoll reports errors of everything in it, for ever. 0 or -errno. */
int link_watch(int epoll_fd, int fd, uint32_t events, bool wanted, bool *watched);

/* All of it, waiting in between: for the first and last words of a protocol. recv_all gives
 * LINK_EOF when the other side closes first. The timeout is for the whole. */
int link_send_all(struct link *link, const void *data, size_t length, uint64_t timeout_ns,
                  struct error *err);
int link_recv_all(struct link *link, void *buffer, size_t length, uint64_t timeout_ns,
                  struct error *err);

/* The orderly end, and after a failed send or recv, or an early LINK_EOF, the way to learn why
 * (give it an error of its own then: the first one stays, and it is a consequence): tell the peer
 * that no more comes, read and drop what it still says until it has closed, too, and learn how it
 * ended. Closing an SSH channel without this loses the last megabytes (measured). 0: it ended
 * well. Else why not, in words, with the peer's last line on its stderr: 126, 127 -ENOENT
 * (ERROR_NOT_FOUND), 255 of a transport -ECONNRESET (ERROR_SOCKET), other statuses -ECHILD
 * (ERROR_START), -ETIMEDOUT (ERROR_TIMEOUT). Close the link afterwards in any case. */
int link_shutdown(struct link *link, uint64_t timeout_ns, struct error *err);

/* NULL is legal. Bounded time; without link_shutdown() before it the last bytes may be lost. */
void link_close(struct link *link);

#endif
