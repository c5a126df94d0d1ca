/* Lines of known_hosts: taken apart, and their patterns compared, as ssh does it. The table of
 * patterns was checked beside `ssh-keygen -F`; tests/cli/54 does so beside ssh itself. */
#include "haul/cleanup.h"
#include "haul/known_hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void match_table_says_what_ssh_says(void **state)
{
    static const struct {
        const char *names, *name;
        bool matches;
    } cases[] = {
        {"host", "host", true},
        {"HOST", "host", true},
        {"host", "hosts", false},
        {"hosts", "host", false},
        {"a,host,b", "host", true},
        {"*", "host", true},
        {"h*t", "host", true},
        {"h*x", "host", false},
        {"h?st", "host", true},
        {"h?t", "host", false},
        {"*.org", "a.org", true},
        {"*.org,!a.org", "a.org", false},
        {"!a.org,*.org", "a.org", false},
        {"*.org,!A.ORG", "a.org", false},
        {"*.org,!b.org", "a.org", true},
        {"!b.org", "a.org", false},
        {"!*", "a.org", false},
        {"*,!*.org", "host", true},
        {"[host]:22", "host", false},
        {"[host]:2222", "[host]:2222", true},
        {"host", "[host]:2222", false},
        {"[*]:2222", "[host]:2222", true},
        {"[host]:*", "[host]:2222", true},
        {"[host]:*,![host]:2222", "[host]:2222", false},
        {"*", "[host]:2222", true},
        {"::1", "::1", true},
        {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"**", "host", true},
        {"host,", "host", true},
        {",host", "host", true},
        {"", "host", false},
        {"!", "host", false},
        {"!,host", "host", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (known_hosts_match(cases[i].names, cases[i].name) != cases[i].matches)
            fail_msg("%s and %s", cases[i].names, cases[i].name);
}

static void check_split(const char *text, const char *expected)
{
    static const char *const markers[] = {"plain", "revoked", "authority"};
    char line[256], shown[256] = "none";
    struct known_line parts;

    strcpy(line, text);
    if (known_hosts_split(line, &parts))
        snprintf(shown, sizeof(shown), "%s|%s|%s|%s", markers[parts.marker], parts.names,
                 parts.type, parts.key);
    assert_string_equal(shown, expected);
}

static void split_takes_any_blanks(void **state)
{
    (void)state;
    check_split("h t k\n", "plain|h|t|k");
    check_split(" \th\tt \t k comment of it\r\n", "plain|h|t|k");
    check_split("h t k", "plain|h|t|k");
    check_split("@revoked h t k\n", "revoked|h|t|k");
    check_split("@revoked\th\tt\tk\n", "revoked|h|t|k");
    check_split("  @revoked \t h t k\n", "revoked|h|t|k");
    check_split("@cert-authority * t k\n", "authority|*|t|k");
}

static void split_passes_over_what_ssh_passes_over(void **state)
{
    static const char *const lines[] = {"",
                                        "\n",
                                        "# h t k\n",
                                        "  # h t k\n",
                                        "h\n",
                                        "h t\n",
                                        "@revoked\n",
                                        "@revoked h t\n",
                                        "@other h t k\n",
                                        "@revoked",
                                        "@revokedh t k\n"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        check_split(lines[i], "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_table_says_what_ssh_says),
        cmocka_unit_test(split_takes_any_blanks),
        cmocka_unit_test(split_passes_over_what_ssh_passes_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
