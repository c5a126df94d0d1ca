/* What is looked up in the answer of `ssh -G`, and the answer itself where there is an ssh. */
#include "haul/base/cleanup.h"
#include "haul/net/ssh_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "key value", in order. */
static struct ssh_config made_of(const char *const *lines)
{
    struct ssh_config config = {.text = NULL};

    for (; *lines; lines += 2)
        assert_int_equal(ssh_config_put(&config, lines[0], lines[1]), 0);
    return config;
}

static void get_gives_the_first_value_and_next_the_others(void **state)
{
    static const char *const lines[] = {
        "Port",          "22", "IdentityFile", "a",    "port", "23", "IdentityFile", "b",
        "identityfilex", "c",  "proxycommand", "none", NULL};
    struct ssh_config config = made_of(lines);
    const char *value = ssh_config_get(&config, "identityfile");

    (void)state;
    assert_string_equal(ssh_config_get(&config, "port"), "22");
    assert_string_equal(value, "a");
    value = ssh_config_next("identityfile", value);
    assert_string_equal(value, "b");
    assert_null(ssh_config_next("identityfile", value));
    assert_null(ssh_config_get(&config, "proxycommand"));
    assert_true(ssh_config_none(&config, "proxycommand"));
    assert_false(ssh_config_none(&config, "port"));
    assert_null(ssh_config_get(&config, "user"));
    ssh_config_close(&config);
}

static void flag_knows_the_words_of_ssh(void **state)
{
    static const char *const lines[] = {"a",     "yes", "b",   "no", "c",          "true", "d",
                                        "false", "e",   "ask", "f",  "host-bound", NULL};
    struct ssh_config config = made_of(lines);

    (void)state;
    assert_true(ssh_config_flag(&config, "a", false));
    assert_false(ssh_config_flag(&config, "b", true));
    assert_true(ssh_config_flag(&config, "c", false));
    assert_false(ssh_config_flag(&config, "d", true));
    assert_true(ssh_config_flag(&config, "e", true));
    assert_false(ssh_config_flag(&config, "e", false));
    assert_true(ssh_config_flag(&config, "f", false));
    assert_true(ssh_config_flag(&config, "absent", true));
    ssh_config_close(&config);
}

static void file_takes_the_longest_name_that_exists(void **state)
{
    char name[64];
    const char *rest = "one two  three";

    (void)state;
    fclose(fopen("one two", "w"));
    assert_true(ssh_config_file(&rest, name, sizeof(name)));
    assert_string_equal(name, "one two");
    assert_true(ssh_config_file(&rest, name, sizeof(name)));
    assert_string_equal(name, "three");
    assert_false(ssh_config_file(&rest, name, sizeof(name)));
}

static void expand_replaces_home_and_tokens(void **state)
{
    static const char *const lines[] = {"hostname", "h.org", "port", "7", "user", "me", NULL};
    struct ssh_config config = made_of(lines);

    config.host = "h";
    char out[64], expected[512];

    (void)state;
    setenv("HAUL_TEST_NAME", "value", 1);
    assert_int_equal(
        ssh_config_expand(&config, "/x/%h-%n-%p-%r-%%-${HAUL_TEST_NAME}", out, sizeof(out)), 0);
    assert_string_equal(out, "/x/h.org-h-7-me-%-value");
    assert_int_equal(ssh_config_expand(&config, "~root/a", out, sizeof(out)), 0);
    assert_string_equal(out, "/root/a");
    assert_int_equal(ssh_config_expand(&config, "%d", expected, sizeof(expected)), 0);
    strcat(expected, "/a");
    assert_int_equal(ssh_config_expand(&config, "~/a", out, sizeof(out)), 0);
    assert_string_equal(out, expected);
    assert_int_equal(ssh_config_expand(&config, "a~%C", out, sizeof(out)), -EINVAL);
    assert_int_equal(ssh_config_expand(&config, "%", out, sizeof(out)), -EINVAL);
    assert_int_equal(ssh_config_expand(&config, "${HAUL_TEST_ABSENT}", out, sizeof(out)), -EINVAL);
    assert_int_equal(ssh_config_expand(&config, "long", out, 4), -ENAMETOOLONG);
    ssh_config_close(&config);
}

static void put_options_refuses_what_is_no_setting(void **state)
{
    static const char *const bad[] = {"Port", "=x", "User=a\nb", "Port="};
    struct ssh_config config = {.text = NULL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct address address = {.kind = ADDRESS_REMOTE, .host = "far"};
        const struct link_options options = {
            .address = &address, .settings = &bad[i], .settings_count = 1};
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(ssh_config_put_options(&config, &options, &err), -EINVAL);
        assert_int_equal(err.class, ERROR_USAGE);
    }
    ssh_config_close(&config);
}

/* ---- with an ssh ---- */

static struct ssh_config ask(const char *lines)
{
    FILE *file = fopen("config", "w");
    struct address address = {.kind = ADDRESS_REMOTE, .host = "far"};
    const struct link_options options = {.address = &address, .config_file = "config"};
    struct ssh_config config;
    struct error err = {.class = ERROR_NONE};

    fputs(lines, file);
    fclose(file);
    int result = ssh_config_ask(&config, &options, &err);
    if (result == -ENOENT)
        skip();
    assert_int_equal(result, 0);
    return config;
}

static void ask_knows_what_is_asked_for_and_not_honoured(void **state)
{
    char keys[256];
    struct ssh_config config = ask("Host far\nPort 7\nBatchMode yes\nForwardAgent yes\nCiphers "
                                   "aes256-ctr\n");

    (void)state;
    assert_string_equal(ssh_config_get(&config, "port"), "7");
    assert_string_equal(ssh_config_chosen(&config, "ciphers"), "aes256-ctr");
    assert_null(ssh_config_chosen(&config, "macs"));
    assert_false(ssh_config_unknown(&config, keys, sizeof(keys)));
    assert_null(ssh_config_refused(&config));
    ssh_config_close(&config);

    config = ask("VerifyHostKeyDNS yes\nIPQoS throughput\nProxyUseFdpass yes\n");
    assert_true(ssh_config_unknown(&config, keys, sizeof(keys)));
    assert_non_null(strstr(keys, "verifyhostkeydns"));
    assert_non_null(strstr(keys, "ipqos"));
    assert_string_equal(ssh_config_refused(&config), "proxyusefdpass");
    ssh_config_close(&config);
}

static void ask_gives_the_words_of_ssh_about_a_wrong_configuration(void **state)
{
    FILE *file = fopen("config", "w");
    struct address address = {.kind = ADDRESS_REMOTE, .host = "far"};
    const struct link_options options = {.address = &address, .config_file = "config"};
    struct ssh_config config;
    struct error err = {.class = ERROR_NONE};

    (void)state;
    fputs("NoSuchKeyword yes\n", file);
    fclose(file);
    int result = ssh_config_ask(&config, &options, &err);
    ssh_config_close(&config);
    if (result == -ENOENT)
        skip();
    assert_int_equal(err.class, ERROR_USAGE);
    assert_non_null(strstr(err.text, "nosuchkeyword"));
}

/* A program of that name that is not OpenSSH's would connect, when it is given -G. */
static void ask_keeps_away_from_another_ssh(void **state)
{
    FILE *file = fopen("ssh", "w");
    AUTO_FREE char *before = strdup(getenv("PATH"));
    char path[4096], here[2048];
    struct address address = {.kind = ADDRESS_REMOTE, .host = "far"};
    const struct link_options options = {.address = &address};
    struct ssh_config config;
    struct error err = {.class = ERROR_NONE};

    (void)state;
    fputs("#!/bin/sh\ncase $1 in -V) echo 'Other v1' >&2 ;; *) echo called >called ;; esac\n",
          file);
    fclose(file);
    assert_int_equal(chmod("ssh", 0755), 0);
    snprintf(path, sizeof(path), "%s:%s", getcwd(here, sizeof(here)), before);
    setenv("PATH", path, 1);
    assert_int_equal(ssh_config_ask(&config, &options, &err), -ENOENT);
    assert_false(error_is_set(&err));
    assert_int_equal(access("called", F_OK), -1);
    setenv("PATH", before, 1);
}

/* An ssh that answers so, and counts the questions. */
static uint32_t questions_of(const char *answer, const char *ciphers, bool unknown)
{
    AUTO_FREE char *before = strdup(getenv("PATH"));
    char path[4096], here[2048], keys[256], line[16];
    struct address address = {.kind = ADDRESS_REMOTE, .host = "far"};
    const struct link_options options = {.address = &address, .ciphers = ciphers};
    struct ssh_config config;
    struct error err = {.class = ERROR_NONE};
    uint32_t count = 0;
    FILE *file = fopen("ssh", "w");

    fprintf(file,
            "#!/bin/sh\ncase $1 in -V) echo OpenSSH_9.9 >&2 ;; *) echo called >>called\n"
            "case $* in *' none '*) answer='host far' ;; *) answer='host far\n%s' ;; esac\n"
            "printf \"$answer\\n\" ;; esac\n",
            answer);
    fclose(file);
    assert_int_equal(chmod("ssh", 0755), 0);
    (void)unlink("called");
    snprintf(path, sizeof(path), "%s:%s", getcwd(here, sizeof(here)), before);
    setenv("PATH", path, 1);
    assert_int_equal(ssh_config_ask(&config, &options, &err), 0);
    setenv("PATH", before, 1);
    assert_int_equal(ssh_config_unknown(&config, keys, sizeof(keys)), unknown);
    const char *chosen = ssh_config_chosen(&config, "ciphers");
    assert_true(strstr(answer, "chosen") ? chosen && strstr(chosen, "chosen") : !chosen);
    ssh_config_close(&config);
    file = fopen("called", "r");
    while (fgets(line, sizeof(line), file))
        count++;
    fclose(file);
    return count;
}

/* Each question is a process. */
static void ask_asks_once_where_the_rest_is_known(void **state)
{
    (void)state;
    assert_int_equal(questions_of("port 7\\ncontrolmaster false", NULL, false), 1);
    assert_int_equal(questions_of("port 7\\nciphers chosen", "chosen", false), 1);
    assert_int_equal(questions_of("ciphers chosen", NULL, false), 2);
    assert_int_equal(questions_of("controlmaster auto", NULL, true), 2);
    assert_int_equal(questions_of("keyoftomorrow no", NULL, true), 2);
}

/* The tests work in a folder of their own. */
static int enter(void **state)
{
    static char folder[] = "/tmp/haul-test-XXXXXX";

    *state = folder;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    static const char *const names[] = {"config", "one two", "ssh", "called"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        unlink(names[i]);
    return chdir("/") == 0 ? rmdir(*state) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_gives_the_first_value_and_next_the_others),
        cmocka_unit_test(flag_knows_the_words_of_ssh),
        cmocka_unit_test(file_takes_the_longest_name_that_exists),
        cmocka_unit_test(expand_replaces_home_and_tokens),
        cmocka_unit_test(put_options_refuses_what_is_no_setting),
        cmocka_unit_test(ask_knows_what_is_asked_for_and_not_honoured),
        cmocka_unit_test(ask_gives_the_words_of_ssh_about_a_wrong_configuration),
        cmocka_unit_test(ask_keeps_away_from_another_ssh),
        cmocka_unit_test(ask_asks_once_where_the_rest_is_known),
    };

    return cmocka_run_group_tests(tests, enter, leave);
}
