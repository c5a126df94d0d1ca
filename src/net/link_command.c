/* link_command.c - a link through a program of the user's choice: ssh, docker exec -i, sudo ...
 *
 * Knows how such programs want their arguments; the process itself is child.c's. */
#include "haul/net/link.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/net/child.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { COMMAND_TEXT_BYTES = 16 * 1024 };

struct command_link {
    struct link base;
    struct child child;
    int epoll_fd; /* the child's three pipes, as one descriptor to wait for */
    bool input_watched;
    bool output_watched;
};

static struct command_link *of(struct link *link)
{
    return (struct command_link *)link;
}

static ssize_t command_send(struct link *link, const void *data, size_t length, struct error *err)
{
    struct command_link *command = of(link);
    ssize_t sent = write(command->child.input_fd, data, min_size(length, LINK_WRITE_BYTES));

    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EINTR)
        return 0;

    int errnum = errno;
    child_listen(&command->child, link->peer);
    return error_set_class(err, ERROR_SOCKET, errnum, "%s: %s: %s", link->peer, link->program,
                           errnum == EPIPE ? "has ended" : strerror(errnum));
}

static ssize_t command_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct command_link *command = of(link);

    child_listen(&command->child, link->peer);
    if (command->child.output_fd < 0)
        return LINK_EOF;
    ssize_t received = read(command->child.output_fd, buffer, capacity);
    if (received > 0)
        return received;
    if (received == 0) {
        close(take_fd(&command->child.output_fd));
        return LINK_EOF;
    }
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return error_set_class(err, ERROR_SOCKET, errno, "%s: %s: %s", link->peer, link->program,
                           strerror(errno));
}

static int command_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    struct command_link *command = of(link);

    link_watch(command->epoll_fd, command->child.input_fd, EPOLLOUT, wanted & LINK_SEND,
               &command->input_watched);
    link_watch(command->epoll_fd, command->child.output_fd, EPOLLIN, wanted & LINK_RECV,
               &command->output_watched);
    *events = POLLIN;
    return command->epoll_fd;
}

static int command_send_eof(struct link *link, struct error *err)
{
    struct command_link *command = of(link);

    (void)err;
    if (command->child.input_fd >= 0)
        close(take_fd(&command->child.input_fd));
    return 0;
}

static int command_status(struct link *link, int *status)
{
    struct command_link *command = of(link);

    child_listen(&command->child, link->peer);
    if (child_reap(&command->child, 0) < 0)
        return -EAGAIN;
    child_listen(&command->child, link->peer); /* its very last words */
    *status = child_status(command->child.status);
    return 0;
}

static const char *command_last_words(struct link *link)
{
    return child_words_last(&of(link)->child.words);
}

static void command_close(struct link *link)
{
    struct command_link *command = of(link);

    child_close(&command->child, NS_PER_SECOND);
    if (command->epoll_fd >= 0)
        close(command->epoll_fd);
    free(command);
}

static const struct link_ops command_ops = {
    .name = "command",
    .send = command_send,
    .recv = command_recv,
    .wait_fd = command_wait_fd,
    .send_eof = command_send_eof,
    .status = command_status,
    .last_words = command_last_words,
    .close = command_close,
};

/* How a program wants host and command. */
enum style { STYLE_SSH, STYLE_DASHES, STYLE_USER, STYLE_WORDS };

static enum style style_of(const char *program)
{
    static const struct {
        const char *name;
        enum style style;
    } known[] = {
        {"ssh", STYLE_SSH},   {"slogin", STYLE_SSH}, {"autossh", STYLE_SSH},
        {"rsh", STYLE_SSH},   {"remsh", STYLE_SSH},  {"kubectl", STYLE_DASHES},
        {"oc", STYLE_DASHES}, {"sudo", STYLE_USER},  {"doas", STYLE_USER},
    };
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].style;
    return STYLE_WORDS;
}

/* The argument vector under construction, and the memory of its words. */
struct words {
    const char *argv[CHILD_ARGUMENTS_MAX];
    uint32_t count;
    char store[COMMAND_TEXT_BYTES];
    size_t used;
    bool failed; /* something did not fit; checked once at the end */
};

static void words_add(struct words *words, const char *word)
{
    if (words->count + 1 >= CHILD_ARGUMENTS_MAX) {
        words->failed = true;
        return;
    }
    words->argv[words->count++] = word;
    words->argv[words->count] = NULL;
}

/* Split `text` and add its words. -EINVAL when a quote is open. */
static int words_split(struct words *words, const char *text)
{
    int count = child_split(text, words->store + words->used, sizeof(words->store) - words->used,
                            words->argv + words->count, CHILD_ARGUMENTS_MAX - words->count);

    if (count < 0)
        return count;
    for (int i = 0; i < count; i++) {
        const char *word = words->argv[words->count++];
        words->used = (size_t)(word - words->store) + strlen(word) + 1;
    }
    return 0;
}

static void store_text(struct words *words, const char *text)
{
    size_t length = strlen(text);

    if (words->used + length >= sizeof(words->store)) {
        words->failed = true;
        return;
    }
    memcpy(words->store + words->used, text, length + 1);
    words->used += length;
}

/* The value of %h, %u, %p or %%; NULL: not one of ours. */
static const char *placeholder(char letter, const struct address *address, const char *port)
{
    switch (letter) {
    case 'h':
        return address->host;
    case 'u':
        return address->user;
    case 'p':
        return port;
    case '%':
        return "%";
    default:
        return NULL;
    }
}

/* Replace the placeholders in one word. *found: one that names the peer was there. */
static const char *expand(struct words *words, const char *word, const struct address *address,
                          const char *port, bool *found)
{
    if (!strchr(word, '%'))
        return word;

    size_t begin = words->used;

    words->store[begin] = '\0';
    while (*word && !words->failed) {
        const char *value = word[0] == '%' ? placeholder(word[1], address, port) : NULL;
        if (value) {
            *found = *found || word[1] != '%';
            store_text(words, value);
            word += 2;
        } else {
            store_text(words, (const char[]){word[0], '\0'});
            word++;
        }
    }
    if (words->used + 1 >= sizeof(words->store))
        words->failed = true;
    else
        words->used++; /* keep the NUL */
    return words->store + begin;
}

static void add_peer(struct words *words, enum style style, const struct address *address,
                     const char *port)
{
    if (style == STYLE_SSH && port[0] != '\0') {
        words_add(words, "-p");
        words_add(words, port);
    }
    if (style == STYLE_SSH && address->user[0] != '\0') {
        words_add(words, "-l");
        words_add(words, address->user);
    }
    if (style == STYLE_USER) {
        if (address->user[0] != '\0') {
            words_add(words, "-u");
            words_add(words, address->user);
        }
        return;
    }
    words_add(words, address->host);
    if (style == STYLE_DASHES)
        words_add(words, "--");
}

/* The whole argument vector: the transport's words, the peer, the remote command. */
static int compose(struct words *words, const struct link_options *options, const char *port,
                   struct error *err)
{
    bool placed = false;
    int result = words_split(words, options->transport);

    if (result < 0 || words->count == 0)
        return error_set_class(err, ERROR_USAGE, EINVAL, "-e %s: %s", options->transport,
                               result == -EINVAL ? "a quote is open"
                               : result < 0      ? "too long"
                                                 : "no command");
    for (uint32_t i = 0; i < words->count; i++)
        words->argv[i] = expand(words, words->argv[i], options->address, port, &placed);

    enum style style = style_of(words->argv[0]);
    if (!placed)
        add_peer(words, style, options->address, port);
    if (style == STYLE_SSH)
        words_add(words, options->remote_command);
    else
        result = words_split(words, options->remote_command);
    if (result < 0 || words->failed)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s: the remote command is %s",
                               options->remote_command,
                               result == -EINVAL ? "not complete: a quote is open" : "too long");
    return 0;
}

/* stderr is always watched: a child that is stuck in a write to it would be stuck for good. Closing
 * it takes it out of the set. */
static int watch(struct command_link *command)
{
    bool watched = false;

    command->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (command->epoll_fd < 0)
        return -errno;
    return link_watch(command->epoll_fd, command->child.error_fd, EPOLLIN, true, &watched);
}

int link_command_open(struct link **out, const struct link_options *options, struct error *err)
{
    struct command_link *command = calloc(1, sizeof(*command));
    struct words *words = calloc(1, sizeof(*words));
    uint16_t number = options->port ? options->port : options->address->port;
    char port[8] = "";
    int result = -ENOMEM;

    *out = NULL;
    if (!command || !words) {
        free(command);
        free(words);
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a link");
    }
    command->base.ops = &command_ops;
    command->epoll_fd = -1;
    child_init(&command->child);
    address_peer(command->base.peer, sizeof(command->base.peer), options->address);
    snprintf(command->base.program, sizeof(command->base.program), "%.*s",
             (int)strcspn(options->remote_command, " "), options->remote_command);
    if (number != 0)
        snprintf(port, sizeof(port), "%u", (unsigned int)number);

    result = compose(words, options, port, err);
    if (result == 0)
        result = child_open(&command->child, words->argv, CHILD_PIPES, err);
    if (result == 0) {
        result = watch(command);
        if (result < 0)
            error_set_class(err, ERROR_START, -result, "%s: epoll: %s", command->base.peer,
                            strerror(-result));
    }
    free(words);
    if (result < 0) {
        command_close(&command->base);
        return result;
    }
    *out = &command->base;
    return 0;
}
