/* link_tests.h - links to processes and to a private sshd (tests/lib/sshd.bash): what the tests of
 * links share. */
#ifndef HAUL_TESTS_LINK_TESTS_H
#define HAUL_TESTS_LINK_TESTS_H

#include "haul/net/link.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/net/ask.h"
#include "haul/net/child.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS (300 * NS_PER_SECOND)

/* Drops the host, and runs the words of the remote command. */
#define RUN_HERE "sh -c 'shift; exec \"$@\"' sh"

enum { ECHO_BYTES = 12 * 1024 * 1024, PIECE_BYTES = 300 * 1000 };

static char folder[64];
static char text_store[64][256];

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int run(const char *format, ...)
{
    char command[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A file in the test's folder. */
static inline const char *in(const char *name)
{
    static unsigned int next;
    char *out = text_store[next++ % COUNT_OF(text_store)];

    snprintf(out, sizeof(text_store[0]), "%s/%s", folder, name);
    return out;
}

static inline int start_sshd(const char *lines)
{
    return run("bash tests/lib/sshd.bash start %s %s", folder, lines);
}

static inline void stop_sshd(void)
{
    run("bash tests/lib/sshd.bash stop %s", folder);
}

static inline void make_address(struct address *address, const char *host)
{
    *address = (struct address){.kind = ADDRESS_REMOTE};
    snprintf(address->host, sizeof(address->host), "%s", host);
}

static inline uint8_t pattern(uint64_t offset)
{
    return (uint8_t)((offset * 2654435761u) >> 13);
}

/* Send and receive at once through something that echoes; both directions must flow. */
static inline void check_echo(struct link *link, uint64_t total)
{
    static uint8_t out[PIECE_BYTES], back[PIECE_BYTES];
    struct error err = {.class = ERROR_NONE};
    uint64_t sent = 0, received = 0;

    while (received < total) {
        size_t length = (size_t)(total - sent < sizeof(out) ? total - sent : sizeof(out));
        for (size_t i = 0; i < length; i++)
            out[i] = pattern(sent + i);
        ssize_t taken = link_send(link, out, length, &err);
        if (taken < 0)
            fail_msg("send: %s", err.text);
        sent += (uint64_t)taken;
        ssize_t given = link_recv(link, back, sizeof(back), &err);
        if (given < 0)
            fail_msg("recv: %zd %s", given, err.text);
        for (ssize_t i = 0; i < given; i++)
            if (back[i] != pattern(received + (uint64_t)i))
                fail_msg("byte %llu is wrong", (unsigned long long)received + (unsigned int)i);
        received += (uint64_t)given;
        unsigned int wanted = LINK_RECV | (sent < total ? LINK_SEND : 0);
        if (taken == 0 && given == 0 && link_wait(link, wanted, PATIENCE_NS, &err) != 0)
            fail_msg("wait: %s", err.text);
    }
    assert_int_equal(link->sent_bytes, total);
    assert_int_equal(link->received_bytes, total);
}

static inline void check_shutdown(struct link *link)
{
    struct error err = {.class = ERROR_NONE};

    if (link_shutdown(link, PATIENCE_NS, &err) != 0)
        fail_msg("shutdown: %s", err.text);
    link_close(link);
}

static inline void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static inline struct link *open_command(const char *transport, const char *remote)
{
    struct address address;
    struct error err = {.class = ERROR_NONE};
    struct link *link = NULL;

    make_address(&address, "there");
    snprintf(address.user, sizeof(address.user), "bob");
    const struct link_options options = {
        .address = &address, .remote_command = remote, .transport = transport, .port = 77};
    if (link_open(&link, &options, &err) != 0)
        fail_msg("open: %s", err.text);
    return link;
}

static inline void check_status(const char *script, int result, enum error_class class,
                                const char *words)
{
    char remote[256];
    uint8_t byte;
    struct error err = {.class = ERROR_NONE};

    snprintf(remote, sizeof(remote), "sh -c '%s'", script);
    struct link *link = open_command(RUN_HERE, remote);
    assert_int_equal(link_recv_all(link, &byte, 1, PATIENCE_NS, NULL), LINK_EOF);
    assert_int_equal(link_shutdown(link, PATIENCE_NS, &err), result);
    assert_int_equal(err.class, class);
    if (words && !strstr(err.text, words))
        fail_msg("'%s' is not in '%s'", words, err.text);
    link_close(link);
    assert_no_children();
}

static const char *const keep_settings[] = {"StrictHostKeyChecking=yes"};

/* Options for the private sshd; `address` must live as long. */
static inline struct link_options ssh_options(struct address *address, const char *remote)
{
    make_address(address, "127.0.0.1"); /* a name need not resolve everywhere */
    return (struct link_options){.address = address,
                                 .remote_command = remote,
                                 .config_file = in("ssh_config"),
                                 .settings = keep_settings,
                                 .settings_count = 1,
                                 .connect_timeout_ns = PATIENCE_NS};
}

static inline struct link *open_ssh(const struct link_options *options)
{
    struct error err = {.class = ERROR_NONE};
    struct link *link = NULL;

    if (link_open(&link, options, &err) != 0)
        fail_msg("open: %s", err.text);
    return link;
}

static inline struct link *open_plain(const char *remote)
{
    struct address address;
    const struct link_options options = ssh_options(&address, remote);

    return open_ssh(&options);
}

/* Opening must fail, with this class and these words. */
static inline void check_refused(const struct link_options *options, enum error_class class,
                                 const char *words)
{
    struct error err = {.class = ERROR_NONE};
    struct link *link = NULL;

    assert_true(link_open(&link, options, &err) < 0);
    assert_null(link);
    if (!strstr(err.text, words))
        fail_msg("'%s' is not in '%s'", words, err.text);
    assert_int_equal(err.class, class);
    assert_null(strchr(err.text, '\n'));
    assert_no_children();
}

/* Of this run alone: two may test at the same time. */
static char test_user[32];

static inline int set_up(void **state)
{
    (void)state;
    /* Unit tests run at the top of the tree; the sshd's folder must not be below a private one. */
    snprintf(folder, sizeof(folder), "/tmp/haul-link-XXXXXX");
    snprintf(test_user, sizeof(test_user), "haultest%d", (int)getpid());
    if (!mkdtemp(folder) || access("tests/lib/sshd.bash", R_OK) < 0)
        return -1;
    return start_sshd("");
}

static inline int tear_down(void **state)
{
    (void)state;
    stop_sshd();
    run("bash tests/lib/sshd.bash agent_stop %s", folder); /* when its test has failed */
    return run("rm -rf %s", folder);
}

#endif
