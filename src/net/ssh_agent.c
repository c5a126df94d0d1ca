/* ssh_agent.c - stands between libssh and an ssh-agent. */
#include "haul/ssh_agent.h"

#include "haul/cleanup.h"
#include "haul/num.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    REQUEST_IDENTITIES = 11, /* message numbers of the agent protocol */
    IDENTITIES_ANSWER = 12,
    MESSAGE_BYTES_MAX = 256 * 1024, /* as OpenSSH and libssh */
    KEYS_MAX = 1024
};

/* One entry of the list: key blob and comment, each with its length in front. */
struct entry {
    const uint8_t *bytes;
    uint32_t length;
};

struct ssh_agent {
    int fd_agent; /* the real one */
    int fd_serve; /* our end of the pair that libssh has the other one of */
    pthread_t thread;
    bool running;
    uint8_t *list; /* the agent's answer, which the entries point into */
    uint32_t count;
    _Atomic uint32_t shown;
    struct entry entries[KEYS_MAX];
    uint8_t message[MESSAGE_BYTES_MAX]; /* the thread's */
};

/* ---- messages ---- */

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static bool read_all(int fd, uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t got = recv(fd, data, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        data += got;
        length -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool read_message(int fd, uint8_t *message, uint32_t *length)
{
    uint8_t head[4];

    if (!read_all(fd, head, sizeof(head)))
        return false;
    *length = get_u32(head);
    return *length > 0 && *length <= MESSAGE_BYTES_MAX && read_all(fd, message, *length);
}

static bool write_message(int fd, const uint8_t *message, uint32_t length)
{
    uint8_t head[4];

    put_u32(head, length);
    return write_all(fd, head, sizeof(head)) && write_all(fd, message, length);
}

/* ---- the list ---- */

/* The length of a string and its head at `at`; 0: it does not fit. */
static uint32_t string_bytes(const uint8_t *list, uint32_t length, uint32_t at)
{
    if (length - at < 4)
        return 0;
    uint32_t bytes = get_u32(list + at);
    return bytes <= length - at - 4 ? bytes + 4 : 0;
}

static int find_entries(struct ssh_agent *agent, uint32_t length)
{
    uint32_t at = 5;

    if (length < at || agent->list[0] != IDENTITIES_ANSWER)
        return -EPROTO;
    uint32_t count = (uint32_t)min_u64(get_u32(agent->list + 1), KEYS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = string_bytes(agent->list, length, at);
        uint32_t comment = key ? string_bytes(agent->list, length, at + key) : 0;
        if (comment == 0)
            return -EPROTO;
        agent->entries[i] = (struct entry){agent->list + at, key + comment};
        at += key + comment;
    }
    agent->count = count;
    return 0;
}

static int read_list(struct ssh_agent *agent)
{
    static const uint8_t request = REQUEST_IDENTITIES;
    uint32_t length = 0;

    agent->list = malloc(MESSAGE_BYTES_MAX);
    if (!agent->list)
        return -ENOMEM;
    if (!write_message(agent->fd_agent, &request, 1) ||
        !read_message(agent->fd_agent, agent->list, &length))
        return -EPIPE;
    return find_entries(agent, length);
}

/* ---- the stand-in ---- */

static bool answer_list(struct ssh_agent *agent)
{
    uint32_t index = atomic_load(&agent->shown);
    uint32_t count = index < agent->count ? 1 : 0;
    uint32_t length = count ? agent->entries[index].length : 0;

    agent->message[0] = IDENTITIES_ANSWER;
    put_u32(agent->message + 1, count);
    if (5 + length > MESSAGE_BYTES_MAX)
        return false;
    if (count)
        memcpy(agent->message + 5, agent->entries[index].bytes, length);
    return write_message(agent->fd_serve, agent->message, 5 + length);
}

static bool pass_on(struct ssh_agent *agent, uint32_t length)
{
    return write_message(agent->fd_agent, agent->message, length) &&
           read_message(agent->fd_agent, agent->message, &length) &&
           write_message(agent->fd_serve, agent->message, length);
}

static void *serve(void *argument)
{
    struct ssh_agent *agent = argument;
    uint32_t length;
    bool goes_on = true;

    while (goes_on && read_message(agent->fd_serve, agent->message, &length))
        goes_on =
            agent->message[0] == REQUEST_IDENTITIES ? answer_list(agent) : pass_on(agent, length);
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

static int start(struct ssh_agent *agent, int *fd)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    agent->fd_serve = pair[0];
    int errnum = pthread_create(&agent->thread, NULL, serve, agent);
    if (errnum != 0) {
        close(pair[1]);
        return -errnum;
    }
    agent->running = true;
    *fd = pair[1];
    return 0;
}

int ssh_agent_open(struct ssh_agent **out, const char *path, int *fd)
{
    struct ssh_agent *agent = calloc(1, sizeof(*agent));

    *out = NULL;
    if (!agent)
        return -ENOMEM;
    agent->fd_serve = -1;
    agent->fd_agent = connect_agent(path);
    int result = agent->fd_agent < 0 ? agent->fd_agent : read_list(agent);
    if (result == 0)
        result = start(agent, fd);
    if (result < 0)
        ssh_agent_close(agent);
    else
        *out = agent;
    return result;
}

uint32_t ssh_agent_count(const struct ssh_agent *agent)
{
    return agent ? agent->count : 0;
}

const char *ssh_agent_key(const struct ssh_agent *agent, uint32_t index,
                          char out[SSH_AGENT_KEY_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    assert(index < agent->count);
    const uint8_t *bytes = agent->entries[index].bytes + 4;
    uint32_t length = get_u32(agent->entries[index].bytes);
    char *next = out;

    for (uint32_t i = 0; i < length && length / 3 * 4 + 5 < SSH_AGENT_KEY_BYTES; i += 3) {
        uint32_t left = length - i;
        uint32_t triple = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                          (left > 2 ? bytes[i + 2] : 0);
        *next++ = digits[triple >> 18];
        *next++ = digits[triple >> 12 & 63];
        *next++ = left > 1 ? digits[triple >> 6 & 63] : '=';
        *next++ = left > 2 ? digits[triple & 63] : '=';
    }
    *next = '\0';
    return out;
}

void ssh_agent_show(struct ssh_agent *agent, uint32_t index)
{
    atomic_store(&agent->shown, index);
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
    free(agent->list);
    free(agent);
}
