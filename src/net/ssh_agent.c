/* ssh_agent.c - stands between libssh and an ssh-agent. */
#include "haul/net/ssh_agent.h"

#include "haul/base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    REQUEST_IDENTITIES = 11, /* message numbers of the agent protocol */
    IDENTITIES_ANSWER = 12,
    LIST_HEAD_BYTES = 5,           /* its number, and how many keys */
    MESSAGE_BYTES_MAX = 256 * 1024 /* as OpenSSH and libssh */
};

struct message {
    uint32_t length;
    uint8_t bytes[MESSAGE_BYTES_MAX];
};

struct ssh_agent {
    int fd_agent; /* the real one */
    int fd_serve; /* our end of the pair that libssh has the other one of */
    pthread_t thread;
    bool running;
    struct message list;    /* what libssh is shown */
    struct message message; /* the thread's */
};

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* No signal comes between: they are blocked. */
static bool read_message(int fd, struct message *message)
{
    uint8_t head[4];

    if (recv(fd, head, sizeof(head), MSG_WAITALL) != sizeof(head))
        return false;
    message->length = get_u32(head);
    return message->length > 0 && message->length <= MESSAGE_BYTES_MAX &&
           recv(fd, message->bytes, message->length, MSG_WAITALL) == (ssize_t)message->length;
}

static bool write_message(int fd, const struct message *message)
{
    uint8_t head[4];

    put_u32(head, message->length);
    return send(fd, head, sizeof(head), MSG_NOSIGNAL | MSG_MORE) == sizeof(head) &&
           send(fd, message->bytes, message->length, MSG_NOSIGNAL) == (ssize_t)message->length;
}

/* ---- the list ---- */

/* Whether the text is the base64 of the bytes. */
static bool is_base64(const char *text, const uint8_t *bytes, uint32_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (strlen(text) != ((size_t)length + 2) / 3 * 4)
        return false;
    for (uint32_t i = 0; i < length; i += 3, text += 4) {
        uint32_t left = length - i;
        uint32_t triple = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                          (left > 2 ? bytes[i + 2] : 0);
        if (text[0] != digits[triple >> 18] || text[1] != digits[triple >> 12 & 63] ||
            text[2] != (left > 1 ? digits[triple >> 6 & 63] : '=') ||
            text[3] != (left > 2 ? digits[triple & 63] : '='))
            return false;
    }
    return true;
}

/* Which of the named keys it is; wish->count: none. */
static uint32_t find_named(const struct ssh_agent_wish *wish, const uint8_t *key, uint32_t length)
{
    uint32_t i = 0;

    while (i < wish->count && (!wish->named[i] || !is_base64(wish->named[i], key, length)))
        i++;
    return i;
}

/* The length of a string and its head at `at`; 0: it does not fit. */
static uint32_t string_bytes(const struct message *list, uint32_t at)
{
    if (list->length - at < 4)
        return 0;
    uint32_t bytes = get_u32(list->bytes + at);
    return bytes <= list->length - at - 4 ? bytes + 4 : 0;
}

/* Take over the entries, key and comment, of the named key `which`; wish->count: of no named one.
 */
static int take_entries(struct ssh_agent *agent, const struct message *list, uint32_t which,
                        const struct ssh_agent_wish *wish)
{
    uint32_t at = LIST_HEAD_BYTES, count = get_u32(list->bytes + 1);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = string_bytes(list, at);
        uint32_t comment = key ? string_bytes(list, at + key) : 0;
        if (comment == 0)
            return -EPROTO;
        if (find_named(wish, list->bytes + at + 4, key - 4) == which) {
            memcpy(agent->list.bytes + agent->list.length, list->bytes + at, key + comment);
            agent->list.length += key + comment;
            put_u32(agent->list.bytes + 1, get_u32(agent->list.bytes + 1) + 1);
            if (which < wish->count)
                wish->present[which] = true;
        }
        at += key + comment;
    }
    return 0;
}

static int read_list(struct ssh_agent *agent, const struct ssh_agent_wish *wish)
{
    struct message *all = &agent->message;
    int result = 0;

    all->length = 1;
    all->bytes[0] = REQUEST_IDENTITIES;
    if (!write_message(agent->fd_agent, all) || !read_message(agent->fd_agent, all))
        return -EPIPE;
    if (all->length < LIST_HEAD_BYTES || all->bytes[0] != IDENTITIES_ANSWER)
        return -EPROTO;
    agent->list.length = LIST_HEAD_BYTES;
    agent->list.bytes[0] = IDENTITIES_ANSWER;
    for (uint32_t i = 0; i < wish->count + !wish->named_only && result == 0; i++)
        result = take_entries(agent, all, i, wish);
    return result;
}

/* ---- the stand-in ---- */

static void *serve(void *argument)
{
    struct ssh_agent *agent = argument;
    struct message *message = &agent->message;
    bool goes_on = true;

    while (goes_on && read_message(agent->fd_serve, message)) {
        if (message->bytes[0] == REQUEST_IDENTITIES)
            goes_on = write_message(agent->fd_serve, &agent->list);
        else
            goes_on = write_message(agent->fd_agent, message) &&
                      read_message(agent->fd_agent, message) &&
                      write_message(agent->fd_serve, message);
    }
    shutdown(agent->fd_serve, SHUT_RDWR);
    return NULL;
}

static int connect_agent(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return take_fd(&fd);
}

static int start(struct ssh_agent *agent, const struct ssh_agent_wish *wish, int *fd)
{
    int pair[2];

    agent->fd_agent = connect_agent(wish->path);
    int result = agent->fd_agent < 0 ? agent->fd_agent : read_list(agent, wish);
    if (result < 0)
        return result;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    agent->fd_serve = pair[0];
    result = -pthread_create(&agent->thread, NULL, serve, agent);
    agent->running = result == 0;
    if (result < 0)
        close(pair[1]);
    else
        *fd = pair[1];
    return result;
}

int ssh_agent_open(struct ssh_agent **out, const struct ssh_agent_wish *wish, int *fd)
{
    struct ssh_agent *agent = calloc(1, sizeof(*agent));
    sigset_t all, before;

    *out = NULL;
    if (!agent)
        return -ENOMEM;
    agent->fd_serve = -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = start(agent, wish, fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result < 0)
        ssh_agent_close(agent);
    else
        *out = agent;
    return result;
}

void ssh_agent_close(struct ssh_agent *agent)
{
    if (!agent)
        return;
    if (agent->running) {
        /* The thread may wait for either of the two. */
        shutdown(agent->fd_serve, SHUT_RDWR);
        shutdown(agent->fd_agent, SHUT_RDWR);
        pthread_join(agent->thread, NULL);
    }
    cleanup_close(&agent->fd_serve);
    cleanup_close(&agent->fd_agent);
    free(agent);
}
