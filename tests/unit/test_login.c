/* test_login.c - host keys, questions on a terminal, keys and agents, with a real sshd. */
#include "link_tests.h"

/* ---- helpers ---- */

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
            poll(&item, 1, 300000) == 1 ? read(tty, screen + length, capacity - 1 - length) : 0;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_key_unknown_is_refused_without_a_terminal),
        cmocka_unit_test(host_key_accept_new_is_remembered),
        cmocka_unit_test(host_key_changed_is_refused_with_the_line),
        cmocka_unit_test(host_key_unknown_is_asked_about),
        cmocka_unit_test(password_is_asked_on_the_terminal_once_for_all_lanes),
        cmocka_unit_test(keyboard_interactive_is_asked_on_the_terminal),
        cmocka_unit_test(passphrase_is_asked_on_the_terminal_or_by_askpass),
        cmocka_unit_test(login_without_a_key_is_refused_in_words),
        cmocka_unit_test(agent_key_is_used),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
