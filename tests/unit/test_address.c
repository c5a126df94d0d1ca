/* test_address.c - names of sources and targets, taken apart and refused. */
#include "haul/net/address.h"

#include "haul/base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct good {
    const char *text;
    enum address_kind kind;
    const char *user, *host;
    unsigned int port;
    const char *path;
};

static void check_good(const struct good *good)
{
    struct address address;
    struct error err = {.class = ERROR_NONE};

    if (address_parse(&address, good->text, &err) != 0)
        fail_msg("%s: %s", good->text, err.text);
    assert_int_equal(address.kind, good->kind);
    assert_string_equal(address.user, good->user);
    assert_string_equal(address.host, good->host);
    assert_int_equal(address.port, good->port);
    assert_string_equal(address.path, good->path);
}

static void address_parse_local_names_stay_whole(void **state)
{
    static const char *const texts[] = {
        "a",       "/a:b",   "./a:b",      "../h:p", "dir/a:b", ":a",         "a b",
        "x@y",     "a/b::c", "[x",         "[::1]",  "-file",   "--",         "[a]/b:c",
        "user@[h", "~/a",    "/rsync://x", "./-",    "C/D:",    "1/http://x",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        check_good(&(struct good){texts[i], ADDRESS_LOCAL, "", "", 0, texts[i]});
}

static void address_parse_dash_is_a_pipe(void **state)
{
    (void)state;
    check_good(&(struct good){"-", ADDRESS_PIPE, "", "", 0, "-"});
}

static void address_parse_remote_names_are_split(void **state)
{
    static const struct good cases[] = {
        {"h:p", ADDRESS_REMOTE, "", "h", 0, "p"},
        {"h:", ADDRESS_REMOTE, "", "h", 0, "."},
        {"h:/a/b", ADDRESS_REMOTE, "", "h", 0, "/a/b"},
        {"h:a:b", ADDRESS_REMOTE, "", "h", 0, "a:b"},
        {"h:a::b", ADDRESS_REMOTE, "", "h", 0, "a::b"},
        {"h:~/x", ADDRESS_REMOTE, "", "h", 0, "x"},
        {"h:~", ADDRESS_REMOTE, "", "h", 0, "."},
        {"h:./~bob/x", ADDRESS_REMOTE, "", "h", 0, "./~bob/x"},
        {"h: sp ace", ADDRESS_REMOTE, "", "h", 0, " sp ace"},
        {"h:$(id);x", ADDRESS_REMOTE, "", "h", 0, "$(id);x"},
        {"u@h.example.org:p", ADDRESS_REMOTE, "u", "h.example.org", 0, "p"},
        {"u@x@h:p", ADDRESS_REMOTE, "u@x", "h", 0, "p"},
        {"DOM\\u@h:p", ADDRESS_REMOTE, "DOM\\u", "h", 0, "p"},
        {"[::1]:p", ADDRESS_REMOTE, "", "::1", 0, "p"},
        {"u@[fe80::1%eth0]:/p", ADDRESS_REMOTE, "u", "fe80::1%eth0", 0, "/p"},
        {"a_b-c:p", ADDRESS_REMOTE, "", "a_b-c", 0, "p"},
        {"ssh://h/p", ADDRESS_REMOTE, "", "h", 0, "/p"},
        {"SSH://h/p", ADDRESS_REMOTE, "", "h", 0, "/p"},
        {"ssh://h", ADDRESS_REMOTE, "", "h", 0, "."},
        {"ssh://h/", ADDRESS_REMOTE, "", "h", 0, "/"},
        {"ssh://h:22/p", ADDRESS_REMOTE, "", "h", 22, "/p"},
        {"ssh://u@h:65535/a%20b", ADDRESS_REMOTE, "u", "h", 65535, "/a b"},
        {"ssh://u@[::1]:2222/p", ADDRESS_REMOTE, "u", "::1", 2222, "/p"},
        {"ssh://[::1]/p:q", ADDRESS_REMOTE, "", "::1", 0, "/p:q"},
        {"ssh://h/~/x", ADDRESS_REMOTE, "", "h", 0, "x"},
        {"ssh://h/~", ADDRESS_REMOTE, "", "h", 0, "/~"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_good(&cases[i]);
}

static void address_parse_bad_names_are_refused_in_words(void **state)
{
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "empty"},
        {"h::module", "rsync modules"},
        {"h:~bob/x", "~user is not known"},
        {"h:~bob", "~user is not known"},
        {"u@h::m/p", "rsync modules"},
        {"[::1]::m", "rsync modules"},
        {"rsync://h/m", "rsync daemons"},
        {"http://h/p", "only ssh://"},
        {"sftp://h/p", "only ssh://"},
        {"-oProxyCommand=id:p", "begin with '-'"},
        {"u@-h:p", "begin with '-'"},
        {"-u@h:p", "begin with '-'"},
        {"[-h]:p", "begin with '-'"},
        {"ssh://-oX/p", "begin with '-'"},
        {"ssh://-u@h/p", "begin with '-'"},
        {"@h:p", "user's name is empty"},
        {"u@:p", "host's name is empty"},
        {"[]:p", "host's name is empty"},
        {"ssh:///p", "host's name is empty"},
        {"a b:p", "not allowed"},
        {"$(id):p", "not allowed"},
        {"h;id:p", "not allowed"},
        {"`id`@h:p", "not allowed"},
        {"u\\@h:p", "not allowed"},
        {"h\n:p", "not allowed"},
        {"ssh://h:0/p", "the port"},
        {"ssh://h:65536/p", "the port"},
        {"ssh://h:x/p", "the port"},
        {"ssh://h:/p", "the port"},
        {"ssh://::1/p", "the port"},
        {"ssh://u:secret@h/p", "password"},
        {"ssh://h/a%zz", "% escape"},
        {"ssh://h/a%0", "% escape"},
        {"ssh://h/a%00b", "% escape"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct address address;
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(address_parse(&address, cases[i].text, &err), -EINVAL);
        assert_int_equal(err.class, ERROR_USAGE);
        assert_non_null(strstr(err.text, cases[i].word));
    }
}

static void address_parse_too_long_is_refused(void **state)
{
    char text[2 * ADDRESS_PATH_BYTES];
    struct address address;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(address_parse(&address, text, NULL), -EINVAL);
    text[1] = ':'; /* x:xxxx */
    assert_int_equal(address_parse(&address, text, NULL), -EINVAL);
    text[1] = 'x';
    text[ADDRESS_HOST_BYTES] = ':'; /* a host that is one byte too long */
    text[ADDRESS_HOST_BYTES + 2] = '\0';
    assert_int_equal(address_parse(&address, text, NULL), -EINVAL);
    text[ADDRESS_HOST_BYTES] = 'x';
    text[ADDRESS_HOST_BYTES - 1] = ':'; /* and one that just fits */
    assert_int_equal(address_parse(&address, text, NULL), 0);
    assert_int_equal(strlen(address.host), ADDRESS_HOST_BYTES - 1);
    text[ADDRESS_HOST_BYTES - 1] = 'x';
    text[ADDRESS_USER_BYTES] = '@'; /* a user that is one byte too long */
    text[ADDRESS_USER_BYTES + 2] = ':';
    assert_int_equal(address_parse(&address, text, NULL), -EINVAL);

    memset(text, 'x', ADDRESS_PATH_BYTES);
    text[ADDRESS_PATH_BYTES - 1] = '\0';
    assert_int_equal(address_parse(&address, text, NULL), 0);
    text[ADDRESS_PATH_BYTES - 1] = 'x';
    text[ADDRESS_PATH_BYTES] = '\0';
    assert_int_equal(address_parse(&address, text, NULL), -EINVAL);
}

static void address_text_gives_back_what_was_parsed(void **state)
{
    static const char *const texts[] = {"u@h:p", "h:/a", "u@[::1]:p", "/a:b", "-"};
    char out[ADDRESS_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct address address;
        assert_int_equal(address_parse(&address, texts[i], NULL), 0);
        assert_string_equal(address_text(out, sizeof(out), &address), texts[i]);
    }
    struct address address;
    assert_int_equal(address_parse(&address, "u@h:p", NULL), 0);
    assert_string_equal(address_peer(out, sizeof(out), &address), "u@h");
    assert_string_equal(address_text(out, 3, &address), "u@");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_parse_local_names_stay_whole),
        cmocka_unit_test(address_parse_dash_is_a_pipe),
        cmocka_unit_test(address_parse_remote_names_are_split),
        cmocka_unit_test(address_parse_bad_names_are_refused_in_words),
        cmocka_unit_test(address_parse_too_long_is_refused),
        cmocka_unit_test(address_text_gives_back_what_was_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
