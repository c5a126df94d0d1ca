/* test_link.c - links over processes, and over our own stdio. */
#include "link_tests.h"

/* ---- helpers ---- */

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

static void shutdown_exit_status_says_what_happened(void **state)
{
    (void)state;
    check_status("exit 0", 0, ERROR_NONE, NULL);
    check_status("no-such-haul --server", -ENOENT, ERROR_NOT_FOUND, "no-such-haul");
    check_status("echo Received disconnect from far:2: Too many authentication failures >&2; "
                 "echo Disconnected from far port 22 >&2; exit 255",
                 -EACCES, ERROR_SOCKET, "Too many authentication failures");
    check_status("echo Disconnected from far port 22 >&2; exit 255", -ECONNRESET, ERROR_SOCKET,
                 "Disconnected from far");
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

/* So that sshd, which writes there, need not keep what was sent ahead. */
static void stdio_takes_what_is_sent_ahead_into_its_pipe(void **state)
{
    enum { AHEAD_BYTES = 400 * 1024 };
    int in[2], out[2], probe[2];
    char word;

    (void)state;
    assert_int_equal(pipe2(probe, O_CLOEXEC), 0);
    bool refused = fcntl(probe[1], F_SETPIPE_SZ, AHEAD_BYTES) < AHEAD_BYTES;
    close(probe[0]);
    close(probe[1]);
    if (refused)
        skip(); /* this user has more pipes than may be large */
    assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct link *link = NULL;
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        if (link_open_stdio(&link, NULL) != 0 ||
            link_send_all(link, "x", 1, PATIENCE_NS, NULL) != 0)
            _exit(1);
        (void)pause(); /* nothing of it is read */
    }
    close(out[1]);
    ssize_t heard = read(out[0], &word, 1), wrote = -1;
    void *data = calloc(1, AHEAD_BYTES);
    if (data)
        wrote = write(in[1], data, AHEAD_BYTES);
    free(data);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(heard, 1);
    assert_int_equal(wrote, AHEAD_BYTES);
    close(in[0]);
    close(in[1]);
    close(out[0]);
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
        cmocka_unit_test(stdio_takes_what_is_sent_ahead_into_its_pipe),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
