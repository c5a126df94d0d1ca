/* test_link.c - links over processes, over our own stdio, and over libssh to a real sshd.
 *
 * The sshd is private: tests/lib/sshd.bash gives it keys, a port and a configuration of its own. */
#include "haul/link.h"

#include "haul/ask.h"
#include "haul/child.h"
#include "haul/cleanup.h"
#include "haul/clock.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_NS (20 * NS_PER_SECOND)

/* Drops the host, and runs the words of the remote command. */
#define RUN_HERE "sh -c 'shift; exec \"$@\"' sh"

enum { ECHO_BYTES = 12 * 1024 * 1024, PIECE_BYTES = 300 * 1000 };

static char folder[64];
static char text_store[64][256];

/* ---- helpers ---- */

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int run(const char *format, ...)
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
static const char *in(const char *name)
{
    static unsigned int next;
    char *out = text_store[next++ % COUNT_OF(text_store)];

    snprintf(out, sizeof(text_store[0]), "%s/%s", folder, name);
    return out;
}

static size_t read_text(const char *path, char *out, size_t capacity)
{
    FILE *stream = fopen(path, "re");
    size_t length = stream ? fread(out, 1, capacity - 1, stream) : 0;

    out[length] = '\0';
    if (stream)
        fclose(stream);
    return length;
}

static bool log_has(const char *words)
{
    static char log[256 * 1024];

    read_text(in("sshd.log"), log, sizeof(log));
    return strstr(log, words) != NULL;
}

static int start_sshd(const char *lines)
{
    return run("bash tests/lib/sshd.bash start %s %s", folder, lines);
}

static void stop_sshd(void)
{
    run("bash tests/lib/sshd.bash stop %s", folder);
}

static void make_address(struct address *address, const char *host)
{
    *address = (struct address){.kind = ADDRESS_REMOTE};
    snprintf(address->host, sizeof(address->host), "%s", host);
}

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)((offset * 2654435761u) >> 13);
}

/* Send and receive at once through something that echoes; both directions must flow. */
static void check_echo(struct link *link, uint64_t total)
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

static void check_shutdown(struct link *link)
{
    struct error err = {.class = ERROR_NONE};

    if (link_shutdown(link, PATIENCE_NS, &err) != 0)
        fail_msg("shutdown: %s", err.text);
    link_close(link);
}

static void assert_no_children(void)
{
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static struct link *open_command(const char *transport, const char *remote)
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

/* What a transport and a command become, by a program that prints its arguments. */
static void check_words(const char *transport, const char *remote, const char *expected)
{
    struct link *link = open_command(transport, remote);
    char words[1024] = "";

    assert_int_equal(link_recv_all(link, words, strlen(expected), PATIENCE_NS, NULL), 0);
    assert_string_equal(words, expected);
    check_shutdown(link);
}

/* ---- commands ---- */

static void command_echo_returns_every_byte(void **state)
{
    struct link *link = open_command(RUN_HERE, "cat");

    (void)state;
    check_echo(link, ECHO_BYTES);
    check_shutdown(link);
    assert_no_children();
}

static void command_words_are_split_as_by_a_shell(void **state)
{
    (void)state;
    check_words("printf '%%s|' \"a b\" c\\ d '' 'e\"f'", "x 'y z'", "a b|c d||e\"f|there|x|y z|");
    check_words("printf '%%s|' -u%u -p%p %h", "x $HOME", "-ubob|-p77|there|x|$HOME|");
    /* A program by the name of ssh gets port, user, host and one word for the remote shell. */
    assert_int_equal(run("ln -sf /usr/bin/printf %s/ssh; ln -sf /usr/bin/printf %s/kubectl; "
                         "ln -sf /usr/bin/printf %s/sudo",
                         folder, folder, folder),
                     0);
    char transport[256];
    snprintf(transport, sizeof(transport), "%s/ssh '%%%%s|'", folder);
    check_words(transport, "haul --server 'a b'", "-p|77|-l|bob|there|haul --server 'a b'|");
    snprintf(transport, sizeof(transport), "%s/kubectl '%%%%s|' -i", folder);
    check_words(transport, "haul --server", "-i|there|--|haul|--server|");
    snprintf(transport, sizeof(transport), "%s/sudo '%%%%s|'", folder);
    check_words(transport, "haul --server", "-u|bob|haul|--server|");
}

static void command_bad_transport_is_a_usage_error(void **state)
{
    static const char *const bad[] = {"", "  ", "ssh 'x", "ssh \"x"};
    struct address address;

    (void)state;
    make_address(&address, "there");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct error err = {.class = ERROR_NONE};
        struct link *link;
        const struct link_options options = {
            .address = &address, .remote_command = "x", .transport = bad[i]};
        assert_int_equal(link_open(&link, &options, &err), -EINVAL);
        assert_int_equal(err.class, ERROR_USAGE);
        assert_null(link);
    }
}

static void open_host_that_looks_like_an_option_is_refused(void **state)
{
    struct address address;
    struct error err = {.class = ERROR_NONE};
    struct link *link;
    const struct link_options options = {
        .address = &address, .remote_command = "x", .transport = "ssh"};

    (void)state;
    make_address(&address, "-oProxyCommand=touch /tmp/bad");
    assert_int_equal(link_open(&link, &options, &err), -EINVAL);
    assert_int_equal(err.class, ERROR_USAGE);
}

static void command_missing_transport_is_a_start_error(void **state)
{
    struct address address;
    struct error err = {.class = ERROR_NONE};
    struct link *link;
    const struct link_options options = {
        .address = &address, .remote_command = "x", .transport = "no-such-program -x"};

    (void)state;
    make_address(&address, "there");
    assert_int_equal(link_open(&link, &options, &err), -ENOENT);
    assert_int_equal(err.class, ERROR_START);
    assert_non_null(strstr(err.text, "no-such-program"));
    assert_no_children();
}

static void check_status(const char *script, int result, enum error_class class, const char *words)
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

static void shutdown_exit_status_says_what_happened(void **state)
{
    (void)state;
    check_status("exit 0", 0, ERROR_NONE, NULL);
    check_status("no-such-haul --server", -ENOENT, ERROR_NOT_FOUND, "no-such-haul");
    check_status("echo first >&2; echo no route >&2; exit 255", -ECONNRESET, ERROR_SOCKET,
                 "no route");
    check_status("printf \"bad \\033[1m\" >&2; exit 7", -ECHILD, ERROR_START, "bad \\033[1m");
    check_status("kill -9 $$", -ECHILD, ERROR_START, "signal 9");
    /* Far more than is kept, or than a pipe holds. */
    check_status("head -c 3000000 /dev/zero | tr \"\\000\" x >&2; echo >&2; echo end >&2; exit 1",
                 -ECHILD, ERROR_START, "status 1: end");
}

static void command_that_does_not_read_takes_a_bounded_amount(void **state)
{
    static uint8_t data[64 * 1024];
    struct link *link = open_command(RUN_HERE, "sleep 1000");
    ssize_t sent;

    (void)state;
    do
        sent = link_send(link, data, sizeof(data), NULL);
    while (sent > 0 && link->sent_bytes < 16 * 1024 * 1024);
    assert_int_equal(sent, 0);
    assert_true(link->sent_bytes <= 1024 * 1024);

    /* It never ends by itself: the orderly end says so, and closing ends it. */
    struct error err = {.class = ERROR_NONE};
    assert_int_equal(link_shutdown(link, NS_PER_SECOND / 10, &err), -ETIMEDOUT);
    assert_int_equal(err.class, ERROR_TIMEOUT);
    link_close(link);
    assert_no_children();
}

static void command_that_ignores_sigterm_is_killed(void **state)
{
    struct link *link =
        open_command(RUN_HERE, "sh -c 'trap \"\" TERM; echo x; while :; do sleep 1; done'");
    char byte;

    (void)state;
    assert_int_equal(link_recv_all(link, &byte, 1, PATIENCE_NS, NULL), 0);
    link_close(link);
    assert_no_children();
}

static void command_survives_ctrl_c(void **state)
{
    struct link *link = open_command(RUN_HERE, "sh -c 'echo $$; exec cat'");
    char line[32] = "";

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(line) && !strchr(line, '\n'); i++)
        assert_int_equal(link_recv_all(link, line + i, 1, PATIENCE_NS, NULL), 0);
    pid_t pid = (pid_t)strtol(line, NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(kill(pid, SIGHUP), 0);
    link->sent_bytes = link->received_bytes = 0;
    check_echo(link, 1000);
    check_shutdown(link);
}

static void send_to_an_ended_command_is_an_error_and_not_a_signal(void **state)
{
    static uint8_t data[4096];
    struct link *link = open_command(RUN_HERE, "true");
    struct error err = {.class = ERROR_NONE};
    ssize_t sent;

    (void)state;
    while ((sent = link_send(link, data, sizeof(data), &err)) >= 0)
        assert_true(link->sent_bytes < 64 * 1024 * 1024);
    assert_int_equal(sent, -EPIPE);
    assert_int_equal(err.class, ERROR_SOCKET);
    check_shutdown(link);
}

static void wait_silent_peer_times_out(void **state)
{
    struct link *link = open_command(RUN_HERE, "sleep 1000");
    struct error err = {.class = ERROR_NONE};
    uint8_t byte;

    (void)state;
    assert_int_equal(link_recv_all(link, &byte, 1, NS_PER_SECOND / 20, &err), -ETIMEDOUT);
    assert_int_equal(err.class, ERROR_TIMEOUT);
    link_close(link);
    assert_no_children();
}

/* ---- stdio ---- */

static void stdio_print_does_not_get_into_the_stream(void **state)
{
    int ends[2];
    char back[64] = "";

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct link *link = NULL;
        int null_fd = open("/dev/null", O_WRONLY);
        dup2(null_fd, 2);
        dup2(ends[1], 0);
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        if (link_open_stdio(&link, NULL) != 0)
            _exit(1);
        dprintf(1, "noise");
        char word[5];
        if (read(0, word, 1) != 0 || link_recv_all(link, word, 5, PATIENCE_NS, NULL) != 0 ||
            link_send_all(link, word, 5, PATIENCE_NS, NULL) != 0 ||
            link_recv_all(link, word, 1, PATIENCE_NS, NULL) != LINK_EOF ||
            link_shutdown(link, PATIENCE_NS, NULL) != 0)
            _exit(2);
        link_close(link);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(write(ends[0], "hello", 5), 5);
    shutdown(ends[0], SHUT_WR);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], back + length, sizeof(back) - 1 - length)) > 0)
        length += (size_t)got;
    assert_string_equal(back, "hello");
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ends[0]);
}

/* ---- libssh ---- */

static const char *const keep_settings[] = {"StrictHostKeyChecking=yes"};

/* Options for the private sshd; `address` must live as long. */
static struct link_options ssh_options(struct address *address, const char *remote)
{
    make_address(address, "127.0.0.1"); /* a name need not resolve everywhere */
    return (struct link_options){.address = address,
                                 .remote_command = remote,
                                 .config_file = in("ssh_config"),
                                 .settings = keep_settings,
                                 .settings_count = 1,
                                 .connect_timeout_ns = PATIENCE_NS};
}

static struct link *open_ssh(const struct link_options *options)
{
    struct error err = {.class = ERROR_NONE};
    struct link *link = NULL;

    if (link_open(&link, options, &err) != 0)
        fail_msg("open: %s", err.text);
    return link;
}

static struct link *open_plain(const char *remote)
{
    struct address address;
    const struct link_options options = ssh_options(&address, remote);

    return open_ssh(&options);
}

/* Opening must fail, with this class and these words. */
static void check_refused(const struct link_options *options, enum error_class class,
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

static void ssh_echo_returns_every_byte(void **state)
{
    struct link *link = open_plain("cat");

    (void)state;
    check_echo(link, ECHO_BYTES);
    check_shutdown(link);
}

static void ssh_echo_goes_on_while_keys_are_exchanged(void **state)
{
    static const char *const settings[] = {"RekeyLimit=1M"};
    struct address address;
    struct link_options options = ssh_options(&address, "cat");

    (void)state;
    options.settings = settings;
    struct link *link = open_ssh(&options);
    check_echo(link, ECHO_BYTES);
    check_shutdown(link);
}

static void ssh_shutdown_loses_nothing(void **state)
{
    static uint8_t data[1024 * 1024];
    char remote[128];
    struct stat facts;

    (void)state;
    snprintf(remote, sizeof(remote), "cat > %s", in("kept"));
    struct link *link = open_plain(remote);
    for (int i = 0; i < 20; i++)
        assert_int_equal(link_send_all(link, data, sizeof(data), PATIENCE_NS, NULL), 0);
    check_shutdown(link);
    assert_int_equal(stat(in("kept"), &facts), 0);
    assert_int_equal(facts.st_size, 20 * sizeof(data));
    unlink(in("kept"));
}

static void ssh_peer_that_does_not_read_takes_a_bounded_amount(void **state)
{
    static uint8_t data[LINK_WRITE_BYTES];
    struct link *link = open_plain("sleep 10");
    struct error err = {.class = ERROR_NONE};

    (void)state;
    while (link->sent_bytes < 64 * 1024 * 1024) {
        ssize_t sent = link_send(link, data, sizeof(data), &err);
        assert_true(sent >= 0);
        if (sent == 0 && link_wait(link, LINK_SEND, NS_PER_SECOND / 2, NULL) == -ETIMEDOUT)
            break;
    }
    /* sshd's window is 2 MiB, and the pipe behind it. */
    assert_true(link->sent_bytes <= 4 * 1024 * 1024);
    link_close(link);
}

/* What malloc has of the system; libssh's buffers do not shrink. A sanitizer's own malloc says 0.
 */
static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.arena + info.hblkhd;
}

static void ssh_flood_on_stderr_is_bounded(void **state)
{
    struct link *link = open_plain("head -c 99000000 /dev/zero >&2; echo; echo last >&2; exit 3");
    struct error err = {.class = ERROR_NONE};
    size_t before_bytes = heap_bytes();
    char byte;

    (void)state;
    assert_int_equal(link_recv_all(link, &byte, 1, PATIENCE_NS, NULL), 0);
    assert_true(heap_bytes() <= before_bytes + 2 * 1024 * 1024);
    assert_int_equal(link_shutdown(link, PATIENCE_NS, &err), -ECHILD);
    assert_non_null(strstr(err.text, "status 3"));
    assert_non_null(strstr(err.text, "last"));
    link_close(link);
}

static void ssh_no_haul_there_is_not_found(void **state)
{
    struct link *link = open_plain("no-such-haul --server");
    static uint8_t data[LINK_WRITE_BYTES];
    struct error err = {.class = ERROR_NONE};

    (void)state;
    /* Sending meets it first, and must not wait for ever. */
    int result;
    do
        result = link_send_all(link, data, sizeof(data), PATIENCE_NS, NULL);
    while (result == 0);
    assert_int_equal(result, -ECONNRESET);
    assert_int_equal(link_shutdown(link, PATIENCE_NS, &err), -ENOENT);
    assert_int_equal(err.class, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no-such-haul"));
    link_close(link);
}

static void ssh_lost_connection_is_a_socket_error(void **state)
{
    struct link *link = open_plain("echo x; kill -9 $PPID; sleep 10");
    struct error err = {.class = ERROR_NONE};
    char text[8];

    (void)state;
    int result = link_recv_all(link, text, 8, PATIENCE_NS, &err);
    assert_int_equal(result, -ECONNRESET);
    assert_int_equal(err.class, ERROR_SOCKET);
    link_close(link);
}

static void ssh_nobody_listens_is_a_socket_error(void **state)
{
    struct address address;
    struct link_options options = ssh_options(&address, "true");

    (void)state;
    options.port = 1;
    check_refused(&options, ERROR_SOCKET, "connect to port 1: Connection refused");
    make_address(&address, "no-such-host.invalid");
    check_refused(&options, ERROR_SOCKET, "no-such-host.invalid");
}

static void ssh_silent_server_is_a_connect_timeout(void **state)
{
    struct address address;
    struct link_options options = ssh_options(&address, "true");
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t name_bytes = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &name_bytes), 0);
    options.port = ntohs(name.sin_port);
    options.family = LINK_FAMILY_IPV4;
    options.connect_timeout_ns = NS_PER_SECOND;
    check_refused(&options, ERROR_CONNECT, "within 1 s");
    close(listener);
}

static void ssh_either_family_and_both_literals_connect(void **state)
{
    static const struct {
        const char *host;
        enum link_family family;
    } cases[] = {{"127.0.0.1", LINK_FAMILY_IPV4},
                 {"127.0.0.1", LINK_FAMILY_ANY},
                 {"::1", LINK_FAMILY_IPV6},
                 {"::1", LINK_FAMILY_ANY}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct address address;
        struct link_options options = ssh_options(&address, "true");
        make_address(&address, cases[i].host);
        options.family = cases[i].family;
        check_shutdown(open_ssh(&options));
    }
}

static void ssh_cipher_is_what_was_asked_for(void **state)
{
    struct address address;
    struct link_options options = ssh_options(&address, "true");

    (void)state;
    options.ciphers = "aes256-ctr";
    check_shutdown(open_ssh(&options));
    options.ciphers = "no-such-cipher";
    check_refused(&options, ERROR_USAGE, "no-such-cipher");
}

static void ssh_bad_options_are_usage_errors(void **state)
{
    static const char *const bad[] = {"Port", "=x", "User=a\nProxyCommand=id"};
    struct address address;
    struct link_options options = ssh_options(&address, "true");

    (void)state;
    options.settings_count = 1;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        options.settings = &bad[i];
        check_refused(&options, ERROR_USAGE, "ssh's configuration: ");
    }
    options.settings_count = 0;
    options.config_file = "/no/such/file";
    check_refused(&options, ERROR_USAGE, "/no/such/file");
}

/* ---- host keys ---- */

/* Run `test` in a session without a terminal. */
static void without_terminal(int (*test)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        _exit(test());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static const char *error_of_opening(const struct link_options *options)
{
    static struct error err;
    struct link *link = NULL;

    err = (struct error){.class = ERROR_NONE};
    if (link_open(&link, options, &err) == 0) {
        link_shutdown(link, PATIENCE_NS, &err);
        link_close(link);
    }
    return err.text;
}

static int refuse_unknown(void)
{
    static const char *const settings[] = {"UserKnownHostsFile=/dev/null",
                                           "StrictHostKeyChecking=ask"};
    struct address address;
    struct link_options options = ssh_options(&address, "true");

    options.settings = settings;
    options.settings_count = 2;
    const char *text = error_of_opening(&options);
    return strstr(text, "no terminal to ask on") && strstr(text, "SHA256:") ? 0 : 1;
}

static void host_key_unknown_is_refused_without_a_terminal(void **state)
{
    (void)state;
    stop_sshd();
    assert_int_equal(start_sshd("'LogLevel DEBUG1'"), 0);
    without_terminal(refuse_unknown);
    /* Nothing of the user went over: sshd did not even learn the name. */
    assert_true(log_has("Connection from"));
    assert_false(log_has("userauth-request"));
    assert_false(log_has("user root"));
    check_shutdown(open_plain("true"));
    assert_true(log_has("userauth-request"));
}

static void host_key_accept_new_is_remembered(void **state)
{
    char file[256], known[4096];
    const char *settings[] = {file, "StrictHostKeyChecking=accept-new"};
    struct address address;
    struct link_options options = ssh_options(&address, "true");

    (void)state;
    snprintf(file, sizeof(file), "UserKnownHostsFile=%s", in("new_hosts"));
    options.settings = settings;
    options.settings_count = 2;
    check_shutdown(open_ssh(&options));
    assert_true(read_text(in("new_hosts"), known, sizeof(known)) > 0);
    assert_non_null(strstr(known, "[127.0.0.1]:"));

    /* Known from now on, also hashed. */
    settings[1] = "StrictHostKeyChecking=yes";
    check_shutdown(open_ssh(&options));
    assert_int_equal(run("ssh-keygen -q -H -f %s 2>/dev/null >&2", in("new_hosts")), 0);
    read_text(in("new_hosts"), known, sizeof(known));
    assert_null(strstr(known, "127.0.0.1"));
    check_shutdown(open_ssh(&options));
}

static void host_key_changed_is_refused_with_the_line(void **state)
{
    static const char *const settings[] = {"StrictHostKeyChecking=no"};
    struct address address;
    struct link_options options = ssh_options(&address, "true");
    char expected[256];

    (void)state;
    stop_sshd();
    assert_int_equal(run("sed -i '1i # a comment' %s", in("known_hosts")), 0);
    assert_int_equal(run("bash tests/lib/sshd.bash change_host_key %s", folder), 0);
    assert_int_equal(start_sshd("'LogLevel DEBUG1'"), 0);
    snprintf(expected, sizeof(expected), "line 3 of %s", in("known_hosts"));
    check_refused(&options, ERROR_SOCKET, expected);
    check_refused(&options, ERROR_SOCKET, "has changed");
    /* libssh alone would connect here. */
    options.settings = settings;
    check_refused(&options, ERROR_SOCKET, expected);
    assert_false(log_has("userauth-request"));

    /* A second, right line makes it known; a mark of revocation outweighs both. */
    assert_int_equal(run("echo \"[127.0.0.1]:$(cat %s) $(cut -d' ' -f1,2 %s)\" >>%s", in("port"),
                         in("host_key.pub"), in("known_hosts")),
                     0);
    options.settings = keep_settings;
    check_shutdown(open_ssh(&options));
    assert_int_equal(run("echo \"@revoked * $(cut -d' ' -f1,2 %s)\" >>%s", in("host_key.pub"),
                         in("known_hosts")),
                     0);
    check_refused(&options, ERROR_SOCKET, "is revoked");

    stop_sshd();
    unlink(in("known_hosts_kept"));
    assert_int_equal(start_sshd(""), 0);
}

/* ---- questions on a terminal ---- */

struct dialogue {
    const char *question, *answer;
};

/* Run `test` with a terminal of its own, answer its questions, and give its exit status; what was
 * on the screen goes to `screen`. */
static int with_terminal(int (*test)(void), const struct dialogue *dialogue, size_t count,
                         char *screen, size_t capacity)
{
    int tty = -1;
    int status = -1;
    size_t length = 0, seen = 0, next = 0;
    pid_t pid = forkpty(&tty, NULL, NULL, NULL);

    if (pid == 0)
        _exit(test());
    assert_true(pid > 0);
    screen[0] = '\0';
    for (;;) {
        struct pollfd item = {.fd = tty, .events = POLLIN};
        ssize_t got =
            poll(&item, 1, 30000) == 1 ? read(tty, screen + length, capacity - 1 - length) : 0;
        if (got <= 0)
            break; /* EIO: the other side is closed */
        length += (size_t)got;
        screen[length] = '\0';
        if (next < count && strstr(screen + seen, dialogue[next].question)) {
            seen = length;
            assert_true(write(tty, dialogue[next].answer, strlen(dialogue[next].answer)) > 0);
            next++;
        }
    }
    close(tty);
    if (next < count)
        kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (next < count)
        fail_msg("never asked: %s; screen: %s", dialogue[next].question, screen);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In the child: 0 when a link opens and echoes. */
static int echo_once(const struct link_options *options)
{
    struct error err = {.class = ERROR_NONE};
    struct link *link = NULL;
    char word[5];

    if (link_open(&link, options, &err) != 0 ||
        link_send_all(link, "hello", 5, PATIENCE_NS, &err) != 0 ||
        link_recv_all(link, word, 5, PATIENCE_NS, &err) != 0 ||
        link_shutdown(link, PATIENCE_NS, &err) != 0) {
        dprintf(2, "%s\n", err.text);
        return 1;
    }
    link_close(link);
    return memcmp(word, "hello", 5) == 0 ? 0 : 2;
}

static int ask_about_host(void)
{
    char file[256];
    const char *settings[] = {file};
    struct address address;
    struct link_options options = ssh_options(&address, "cat");

    snprintf(file, sizeof(file), "UserKnownHostsFile=%s", in("asked_hosts"));
    const char *all[] = {settings[0], "StrictHostKeyChecking=ask"};
    options.settings = all;
    options.settings_count = 2;
    return echo_once(&options);
}

static void host_key_unknown_is_asked_about(void **state)
{
    static const struct dialogue no = {"yes/no", "no\n"}, yes = {"SHA256:", "yes\n"};
    char screen[8192];

    (void)state;
    unlink(in("asked_hosts"));
    assert_int_equal(with_terminal(ask_about_host, &no, 1, screen, sizeof(screen)), 1);
    assert_non_null(strstr(screen, "was not accepted"));
    assert_int_equal(access(in("asked_hosts"), F_OK), -1);
    assert_int_equal(with_terminal(ask_about_host, &yes, 1, screen, sizeof(screen)), 0);
    assert_int_equal(with_terminal(ask_about_host, NULL, 0, screen, sizeof(screen)), 0);
    assert_null(strstr(screen, "SHA256:"));
}

/* Of this run alone: two may test at the same time. */
static char test_user[32];

/* Two lanes: the second must not ask again. */
static int log_in_twice(void)
{
    static const char *const settings[] = {"IdentityFile=/dev/null", "IdentitiesOnly=yes"};
    struct address address;
    struct link_options options = ssh_options(&address, "cat");

    snprintf(address.user, sizeof(address.user), "%s", test_user);
    options.settings = settings;
    options.settings_count = 2;
    options.memory = ask_memory_open();
    int result = echo_once(&options);
    if (result == 0)
        result = echo_once(&options);
    ask_memory_close(options.memory);
    return result;
}

static void check_password_login(const char *lines, const char *question)
{
    const struct dialogue wrong_first[] = {{question, "wrong\n"}, {question, "geheim 1\n"}};
    const struct dialogue wrong[] = {{question, "a\n"}, {question, "b\n"}, {question, "c\n"}};
    char screen[8192];

    if (geteuid() != 0) {
        print_message("skipped: only root can make a user with a password\n");
        skip();
    }
    stop_sshd();
    run("userdel -r %s 2>/dev/null", test_user);
    assert_int_equal(run("bash tests/lib/sshd.bash user_add %s 'geheim 1'", test_user), 0);
    assert_int_equal(start_sshd(lines), 0);
    int right = with_terminal(log_in_twice, wrong_first, 2, screen, sizeof(screen));
    bool shown = strstr(screen, "geheim") != NULL;
    char second[8192];
    int refused = with_terminal(log_in_twice, wrong, 3, second, sizeof(second));
    stop_sshd();
    run("bash tests/lib/sshd.bash user_del %s", test_user);
    assert_int_equal(start_sshd(""), 0);

    if (right != 0)
        fail_msg("%s", screen);
    assert_false(shown);
    assert_int_equal(refused, 1);
    assert_non_null(strstr(second, "refused"));
}

static void password_is_asked_on_the_terminal_once_for_all_lanes(void **state)
{
    (void)state;
    check_password_login("'PasswordAuthentication yes' 'PubkeyAuthentication no'", "'s password: ");
}

static void keyboard_interactive_is_asked_on_the_terminal(void **state)
{
    (void)state;
    check_password_login("'UsePAM yes' 'KbdInteractiveAuthentication yes' "
                         "'PubkeyAuthentication no' 'PasswordAuthentication no'",
                         "Password: ");
}

static int open_locked_key(void)
{
    static const char *const settings[] = {"IdentitiesOnly=yes"};
    const char *identities[] = {in("locked_key")};
    struct address address;
    struct link_options options = ssh_options(&address, "cat");
    char config[256];

    snprintf(config, sizeof(config), "%s", in("locked_config"));
    options.config_file = config;
    options.identity_files = identities;
    options.identities_count = 1;
    options.settings = settings;
    options.settings_count = 1;
    return echo_once(&options);
}

static void passphrase_is_asked_on_the_terminal_or_by_askpass(void **state)
{
    const struct dialogue dialogue[] = {{"Passphrase for key", "wrong\n"},
                                        {"Passphrase for key", "open sesame\n"}};
    char screen[8192];

    (void)state;
    assert_int_equal(run("cp %s %s && ssh-keygen -q -p -P '' -N 'open sesame' -f %s && "
                         "cp %s.pub %s.pub && grep -v Identit %s >%s",
                         in("user_key"), in("locked_key"), in("locked_key"), in("user_key"),
                         in("locked_key"), in("ssh_config"), in("locked_config")),
                     0);
    if (with_terminal(open_locked_key, dialogue, 2, screen, sizeof(screen)) != 0)
        fail_msg("%s", screen);

    assert_int_equal(run("printf '#!/bin/sh\\necho \"$1\" >%s\\necho open sesame\\n' >%s && "
                         "chmod +x %s",
                         in("askpass_prompt"), in("askpass"), in("askpass")),
                     0);
    setenv("SSH_ASKPASS", in("askpass"), 1);
    setenv("SSH_ASKPASS_REQUIRE", "force", 1);
    without_terminal(open_locked_key);
    unsetenv("SSH_ASKPASS");
    unsetenv("SSH_ASKPASS_REQUIRE");
    read_text(in("askpass_prompt"), screen, sizeof(screen));
    assert_non_null(strstr(screen, "Passphrase for key"));
}

static void login_without_a_key_is_refused_in_words(void **state)
{
    static const char *const settings[] = {"IdentitiesOnly=yes", "BatchMode=yes"};
    struct address address;
    struct link_options options = ssh_options(&address, "true");
    const char *identities[] = {in("other_key")};

    (void)state;
    assert_int_equal(run("ssh-keygen -q -t ed25519 -N '' -f %s && "
                         "grep -v Identit %s >%s",
                         in("other_key"), in("ssh_config"), in("other_config")),
                     0);
    options.config_file = in("other_config");
    options.identity_files = identities;
    options.identities_count = 1;
    options.settings = settings;
    options.settings_count = 2;
    setenv("HOME", folder, 1);
    check_refused(&options, ERROR_SOCKET, "refused (tried publickey");
}

static void agent_key_is_used(void **state)
{
    struct address address;
    struct link_options options = ssh_options(&address, "true");

    (void)state;
    assert_int_equal(run("bash tests/lib/sshd.bash agent_start %s; "
                         "grep -v Identit %s >%s; mkdir -p %s/.ssh",
                         folder, in("ssh_config"), in("agent_config"), folder),
                     0);
    options.config_file = in("agent_config");
    setenv("SSH_AUTH_SOCK", in("agent.sock"), 1);
    check_shutdown(open_ssh(&options));
    unsetenv("SSH_AUTH_SOCK");
    run("bash tests/lib/sshd.bash agent_stop %s", folder);
}

/* ---- proxies ---- */

static void proxy_jump_reaches_the_host_and_leaves_no_process(void **state)
{
    struct address address;
    struct link_options options = ssh_options(&address, "cat");

    (void)state;
    /* Names of their own for the hops, or ssh finds a loop. */
    assert_int_equal(run("printf 'Host one two\\n HostName 127.0.0.1\\n' >>%s", in("ssh_config")),
                     0);
    options.proxy_jump = "one,two"; /* the port is the configuration's */
    struct link *link = open_ssh(&options);
    check_echo(link, 2 * 1024 * 1024);
    check_shutdown(link);
    assert_no_children();
    options.proxy_jump = "-oProxyCommand=id";
    check_refused(&options, ERROR_USAGE, "invalid hostname");
}

static void proxy_command_failure_is_told_in_its_words(void **state)
{
    static const char *const good[] = {
        "ProxyCommand=exec bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3'"};
    static const char *const bad[] = {"ProxyCommand=echo no way out >&2; exit 1"};
    struct address address;
    struct link_options options = ssh_options(&address, "cat");

    (void)state;
    make_address(&address, "127.0.0.1");
    options.settings = good;
    struct link *link = open_ssh(&options);
    check_echo(link, 100 * 1000);
    check_shutdown(link);
    assert_no_children();
    options.settings = bad;
    check_refused(&options, ERROR_SOCKET, "no way out");
}

static void ssh_send_queues_no_more_than_one_write(void **state)
{
    /* Enough for the login, then nothing is taken any more. A socket pair holds some 200 KiB, so
     * what the peer's window of 2 MiB would allow on top can be seen. */
    static const char *const settings[] = {
        "ProxyCommand=exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/%p; cat <&3 & dd bs=1 count=30000 "
        "status=none >&3; "
        "exec sleep 1000'"};
    static uint8_t data[LINK_WRITE_BYTES];
    struct address address;
    struct link_options options = ssh_options(&address, "cat >/dev/null");
    struct error err = {.class = ERROR_NONE};

    (void)state;
    options.settings = settings;
    struct link *link = open_ssh(&options);
    while (link->sent_bytes < 64 * 1024 * 1024) {
        ssize_t sent = link_send(link, data, sizeof(data), &err);
        if (sent < 0)
            fail_msg("send: %s", err.text);
        if (sent == 0 && link_wait(link, LINK_SEND, NS_PER_SECOND / 2, NULL) == -ETIMEDOUT)
            break;
    }
    assert_true(link->sent_bytes >= LINK_WRITE_BYTES);
    assert_true(link->sent_bytes <= 4 * LINK_WRITE_BYTES);
    link_close(link);
    assert_no_children();
}

/* ---- */

static int set_up(void **state)
{
    (void)state;
    /* Unit tests run at the top of the tree; the sshd's folder must not be below a private one. */
    snprintf(folder, sizeof(folder), "/tmp/haul-link-XXXXXX");
    snprintf(test_user, sizeof(test_user), "haultest%d", (int)getpid());
    if (!mkdtemp(folder) || access("tests/lib/sshd.bash", R_OK) < 0)
        return -1;
    return start_sshd("");
}

static int tear_down(void **state)
{
    (void)state;
    stop_sshd();
    run("bash tests/lib/sshd.bash agent_stop %s", folder); /* when its test has failed */
    return run("rm -rf %s", folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_echo_returns_every_byte),
        cmocka_unit_test(command_words_are_split_as_by_a_shell),
        cmocka_unit_test(command_bad_transport_is_a_usage_error),
        cmocka_unit_test(open_host_that_looks_like_an_option_is_refused),
        cmocka_unit_test(command_missing_transport_is_a_start_error),
        cmocka_unit_test(shutdown_exit_status_says_what_happened),
        cmocka_unit_test(command_that_does_not_read_takes_a_bounded_amount),
        cmocka_unit_test(command_that_ignores_sigterm_is_killed),
        cmocka_unit_test(command_survives_ctrl_c),
        cmocka_unit_test(send_to_an_ended_command_is_an_error_and_not_a_signal),
        cmocka_unit_test(wait_silent_peer_times_out),
        cmocka_unit_test(stdio_print_does_not_get_into_the_stream),
        cmocka_unit_test(ssh_echo_returns_every_byte),
        cmocka_unit_test(ssh_echo_goes_on_while_keys_are_exchanged),
        cmocka_unit_test(ssh_shutdown_loses_nothing),
        cmocka_unit_test(ssh_peer_that_does_not_read_takes_a_bounded_amount),
        cmocka_unit_test(ssh_flood_on_stderr_is_bounded),
        cmocka_unit_test(ssh_no_haul_there_is_not_found),
        cmocka_unit_test(ssh_lost_connection_is_a_socket_error),
        cmocka_unit_test(ssh_nobody_listens_is_a_socket_error),
        cmocka_unit_test(ssh_silent_server_is_a_connect_timeout),
        cmocka_unit_test(ssh_either_family_and_both_literals_connect),
        cmocka_unit_test(ssh_cipher_is_what_was_asked_for),
        cmocka_unit_test(ssh_bad_options_are_usage_errors),
        cmocka_unit_test(host_key_unknown_is_refused_without_a_terminal),
        cmocka_unit_test(host_key_accept_new_is_remembered),
        cmocka_unit_test(host_key_changed_is_refused_with_the_line),
        cmocka_unit_test(host_key_unknown_is_asked_about),
        cmocka_unit_test(password_is_asked_on_the_terminal_once_for_all_lanes),
        cmocka_unit_test(keyboard_interactive_is_asked_on_the_terminal),
        cmocka_unit_test(passphrase_is_asked_on_the_terminal_or_by_askpass),
        cmocka_unit_test(login_without_a_key_is_refused_in_words),
        cmocka_unit_test(agent_key_is_used),
        cmocka_unit_test(proxy_jump_reaches_the_host_and_leaves_no_process),
        cmocka_unit_test(proxy_command_failure_is_told_in_its_words),
        cmocka_unit_test(ssh_send_queues_no_more_than_one_write),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
