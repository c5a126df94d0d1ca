/* test_link_ssh.c - links over libssh to a real sshd, and through proxies. */
#include "link_tests.h"

#include "../../src/net/ssh_link.h"

/* ---- libssh ---- */

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

/* What a peer takes that reads nothing, until it takes no more for so long. */
static uint64_t sent_in_vain(struct link *link, uint64_t patience_ns)
{
    static uint8_t data[LINK_WRITE_BYTES];
    struct error err = {.class = ERROR_NONE};

    while (link->sent_bytes < 64 * 1024 * 1024) {
        ssize_t sent = link_send(link, data, sizeof(data), &err);
        if (sent < 0)
            fail_msg("send: %s", err.text);
        if (sent == 0 && link_wait(link, LINK_SEND, patience_ns, NULL) == -ETIMEDOUT)
            break;
    }
    return link->sent_bytes;
}

/* sshd's window is 2 MiB, and its buffer becomes as large in hundreds of copies. How long the way
 * is may be mistaken while the machine is busy, but not each time. */
static void ssh_peer_that_does_not_read_is_sent_little(void **state)
{
    uint64_t least_bytes = UINT64_MAX;

    (void)state;
    for (int i = 0; i < 20 && least_bytes > 1024 * 1024; i++) {
        struct link *link = open_plain("sleep 1000");
        uint64_t bytes = sent_in_vain(link, NS_PER_SECOND / 20);
        least_bytes = bytes < least_bytes ? bytes : least_bytes;
        link_close(link);
    }
    assert_true(least_bytes <= 1024 * 1024);
}

/* As one that opens its window only when half of it has been taken. */
static void ssh_peer_that_says_nothing_for_long_is_sent_all_that_it_takes(void **state)
{
    static uint8_t data[2 * 1024 * 1024];
    struct link *link = open_plain("sleep 1000");
    struct error err = {.class = ERROR_NONE};

    (void)state;
    if (link_send_all(link, data, sizeof(data), PATIENCE_NS, &err) != 0)
        fail_msg("%llu bytes sent: %s", (unsigned long long)link->sent_bytes, err.text);
    assert_true(sent_in_vain(link, NS_PER_SECOND * 3 / 5) <= 4 * 1024 * 1024); /* its pipe, too */
    link_close(link);
}

/* The command waits for go_on(). *fd is the socket. */
static struct link *open_paused(const char *command, int *fd)
{
    struct address address;
    struct error err = {.class = ERROR_NONE};
    char remote[256], byte;
    short events;

    assert_int_equal(run("mkfifo %s", in("go")), 0);
    snprintf(remote, sizeof(remote), "read go <%s; %s", in("go"), command);
    struct link_options options = ssh_options(&address, remote);
    options.ciphers = "aes128-gcm@openssh.com";
    struct link *link = open_ssh(&options);
    if (link_recv(link, &byte, 1, &err) != 0)
        fail_msg("recv: %s", err.text);
    *fd = link_wait_fd(link, LINK_RECV, &events);
    return link;
}

/* Until so many bytes have come and nobody has read them. */
static void go_on(int fd, int come_bytes)
{
    assert_int_equal(run("echo go >%s && rm %s", in("go"), in("go")), 0);
    for (int bytes = 0; bytes < come_bytes; poll(NULL, 0, 10))
        assert_int_equal(ioctl(fd, FIONREAD, &bytes), 0);
}

/* Nobody receives here. */
static void ssh_send_that_is_held_reads_what_has_come(void **state)
{
    static uint8_t data[LINK_WRITE_BYTES];
    int fd;
    struct link *link = open_paused("echo word; exec sleep 1000", &fd);
    struct pollfd item = {.fd = fd, .events = POLLIN};
    ssize_t sent;

    (void)state;
    do
        sent = link_send(link, data, sizeof(data), NULL);
    while (sent > 0);
    assert_int_equal(sent, 0);
    go_on(fd, 1);
    /* More than once: it may come in pieces. */
    for (int i = 0; i < 100 && poll(&item, 1, 0) == 1; i++)
        assert_true(link_send(link, data, 1, NULL) >= 0);
    assert_int_equal(poll(&item, 1, 0), 0);
    assert_int_equal(link_wait(link, LINK_RECV, 0, NULL), 0);
    link_close(link);
}

#if WITH_SSH
/* The same send reads the end that sends as much as may be ahead; it is not to be waited for. */
static void ssh_send_that_is_held_meets_the_end(void **state)
{
    static uint8_t data[LINK_WRITE_BYTES];
    struct error err = {.class = ERROR_NONE};
    int fd;
    struct link *link = open_paused("exit 3", &fd);
    ssize_t sent;

    (void)state;
    ((struct ssh_link *)link)->ahead_bytes = sizeof(data);
    go_on(fd, 3 * (4 + 16 + 16)); /* an end of file, an exit status and a close, at least */
    do
        sent = link_send(link, data, sizeof(data), NULL);
    while (sent > 0);
    assert_int_equal(sent, -ECONNRESET);
    assert_int_equal(link_shutdown(link, PATIENCE_NS, &err), -ECHILD);
    assert_non_null(strstr(err.text, "status 3"));
    link_close(link);
}
#endif

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
    /* Only when asked to: before that sshd may not have told yet that the command runs. */
    struct link *link = open_plain("read go; kill -9 $PPID; sleep 10");
    struct error err = {.class = ERROR_NONE};
    char text[8];

    (void)state;
    assert_int_equal(link_send_all(link, "go\n", 3, PATIENCE_NS, NULL), 0);
    int result = link_recv_all(link, text, 8, PATIENCE_NS, &err);
    assert_int_equal(result, -ECONNRESET);
    assert_int_equal(err.class, ERROR_SOCKET);
    link_close(link);
}

static void ssh_connection_lost_while_opening_is_a_socket_error(void **state)
{
    struct address address;
    struct link_options options = ssh_options(&address, "cat");
    struct error err = {.class = ERROR_NONE};
    struct link *link = NULL;
    char proxy[512];
    const char *settings[] = {proxy};
    int passed = 0;

    (void)state;
    options.settings = settings;
    /* So many of our messages pass, and the next one ends it: the last time the command. */
    for (;; passed++) {
        snprintf(proxy, sizeof(proxy),
                 "ProxyCommand=exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/%%p; cat <&3 & "
                 "for ((i = 0; i < %d; i++)); do dd bs=64K count=1 status=none >&3; done; "
                 "dd bs=1 count=1 of=/dev/null status=none; kill $!'",
                 passed);
        if (link_open(&link, &options, &err) == 0)
            break;
        if (err.class != ERROR_SOCKET || passed > 50)
            fail_msg("after %d messages: %s", passed, err.text);
        err.class = ERROR_NONE;
    }
    assert_true(passed > 4);
    link_close(link);
    assert_no_children();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ssh_echo_returns_every_byte),
        cmocka_unit_test(ssh_echo_goes_on_while_keys_are_exchanged),
        cmocka_unit_test(ssh_shutdown_loses_nothing),
        cmocka_unit_test(ssh_peer_that_does_not_read_is_sent_little),
        cmocka_unit_test(ssh_peer_that_says_nothing_for_long_is_sent_all_that_it_takes),
        cmocka_unit_test(ssh_send_that_is_held_reads_what_has_come),
#if WITH_SSH
        cmocka_unit_test(ssh_send_that_is_held_meets_the_end),
#endif
        cmocka_unit_test(ssh_flood_on_stderr_is_bounded),
        cmocka_unit_test(ssh_no_haul_there_is_not_found),
        cmocka_unit_test(ssh_lost_connection_is_a_socket_error),
        cmocka_unit_test(ssh_connection_lost_while_opening_is_a_socket_error),
        cmocka_unit_test(ssh_nobody_listens_is_a_socket_error),
        cmocka_unit_test(ssh_silent_server_is_a_connect_timeout),
        cmocka_unit_test(ssh_either_family_and_both_literals_connect),
        cmocka_unit_test(ssh_cipher_is_what_was_asked_for),
        cmocka_unit_test(ssh_bad_options_are_usage_errors),
        cmocka_unit_test(proxy_jump_reaches_the_host_and_leaves_no_process),
        cmocka_unit_test(proxy_command_failure_is_told_in_its_words),
        cmocka_unit_test(ssh_send_queues_no_more_than_one_write),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
