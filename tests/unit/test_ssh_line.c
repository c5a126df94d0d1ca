/* test_ssh_line.c - which name a block of an ssh configuration is compared with, and how the
 * lines come out that libssh would take otherwise than ssh. */
#include "haul/ssh_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reads(const char *text, enum ssh_line_name name, const char *after)
{
    char line[128];
    snprintf(line, sizeof(line), "%s", text);
    assert_int_equal(ssh_line_read(line), name);
    assert_string_equal(line, after ? after : text);
}

static void puts_as(const char *line, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    assert_non_null(file);
    ssh_line_put(file, line);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void line_read_host_goes_by_the_name_as_given(void **state)
{
    (void)state;
    reads("Host far near\n", SSH_LINE_GIVEN, NULL);
    reads("  hOsT=far", SSH_LINE_GIVEN, NULL);
    reads("HostName far.example\n", SSH_LINE_EITHER, NULL);
    reads("# Host far\n", SSH_LINE_EITHER, NULL);
    reads("\n", SSH_LINE_EITHER, NULL);
    reads("", SSH_LINE_EITHER, NULL);
}

static void line_read_match_host_goes_by_hostname(void **state)
{
    (void)state;
    reads("Match all\n", SSH_LINE_GIVEN, NULL);
    reads("Match user root\n", SSH_LINE_GIVEN, NULL);
    reads("Match host *.example\n", SSH_LINE_SO_FAR, NULL);
    reads("Match !host *.example", SSH_LINE_SO_FAR, NULL);
    reads("match user root host \"*.example\"", SSH_LINE_SO_FAR, NULL);
    reads("Match exec \"test %h = host\"", SSH_LINE_SO_FAR, NULL);
    reads("Match user host\n", SSH_LINE_GIVEN, NULL); /* a user of that name */
    reads("Match", SSH_LINE_GIVEN, NULL);
}

static void line_read_originalhost_becomes_host(void **state)
{
    (void)state;
    reads("Match originalhost far\n", SSH_LINE_GIVEN, "Match host         far\n");
    reads("Match all !OriginalHost far", SSH_LINE_GIVEN, "Match all !host         far");
    reads("Match originalhost far exec true", SSH_LINE_GIVEN, "Match host         far exec true");
    /* Both cannot be had: then it stays, and does not hold. */
    reads("Match originalhost far host x", SSH_LINE_SO_FAR, NULL);
}

static void line_put_exclusions_come_first(void **state)
{
    (void)state;
    puts_as("Host * !far\n", "Host !far *\n");
    puts_as("  host=a !b c !d", "Host !b !d a c\n");
    puts_as("Host far\n", "Host far\n");
    puts_as("Host\n", "Host\n");
}

static void line_put_the_last_hop_comes_first(void **state)
{
    (void)state;
    puts_as("ProxyJump one\n", "ProxyJump one\n");
    puts_as(" ProxyJump me@one:22,two\n", "ProxyJump two,me@one:22\n");
    puts_as("ProxyJump=a,b,c", "ProxyJump c,a,b\n");
    puts_as("ProxyJump none\n", "ProxyJump none\n");
    puts_as("ProxyJump\n", "ProxyJump \n");
}

static void line_put_all_else_as_it_is(void **state)
{
    (void)state;
    puts_as("  IdentityFile \"~/a key\"\n", "  IdentityFile \"~/a key\"\n");
    puts_as("Match host !x", "Match host !x");
    puts_as("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_read_host_goes_by_the_name_as_given),
        cmocka_unit_test(line_read_match_host_goes_by_hostname),
        cmocka_unit_test(line_read_originalhost_becomes_host),
        cmocka_unit_test(line_put_exclusions_come_first),
        cmocka_unit_test(line_put_the_last_hop_comes_first),
        cmocka_unit_test(line_put_all_else_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
