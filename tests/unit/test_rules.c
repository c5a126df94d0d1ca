/* Unit tests of glob.c, rules.c and rules_text.c. The cases are those of rsync(1), section FILTER
 * RULES; test_rules_rsync.c asks rsync itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/glob.h"
#include "haul/base/rules.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct rules *read_rules(const char *const *texts)
{
    struct rules *rules = rules_open(false);
    struct rules_merge merge;
    struct error err = {0};
    assert_non_null(rules);
    for (; *texts; texts++)
        if (rules_parse(rules, *texts, RULES_FILTER, &merge, &err) != 0)
            fail_msg("%s: %s", *texts, err.text);
    return rules;
}

/* ---- patterns ---- */

static const struct {
    const char *pattern, *text;
    bool matches;
} globs[] = {
    {"foo", "foo", true},
    {"foo", "foobar", false},
    {"foo", "barfoo", false},
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "abc", true},
    {"*", "a/b", false},
    {"**", "", true},
    {"**", "a/b/c", true},
    {"*.o", ".o", true},
    {"*.o", "main.o", true},
    {"*.o", "main.c", false},
    {"*.o", "dir/main.o", false},
    {"?", "a", true},
    {"?", "", false},
    {"?", "/", false},
    {"a?c", "abc", true},
    {"a?c", "a/c", false},
    {"a*c*e", "abcde", true},
    {"a*c*e", "abcdef", false},
    {"a*b*a*b", "aabab", true},
    {"a**c", "a/b/c", true},
    {"a**c", "ac", true},
    {"a***c", "a/b/c", true}, /* as two: only *** at the end of a rule is more */
    {"a*/b", "axx/b", true},
    {"a*/b", "ax/x/b", false},
    {"a/**/b", "a/b", false},
    {"a/**/b", "a/x/b", true},
    {"a/**/b", "a/x/y/b", true},
    {"**/b", "/b", true},
    {"**b*d", "xb/bcd", true}, /* the first b leads nowhere */
    {"*a**b/c*d", "xa/a/b/cxd", true},
    {"[a-c]x", "bx", true},
    {"[a-c]x", "dx", false},
    {"[!a-c]x", "dx", true},
    {"[^a-c]x", "ax", false},
    {"[!a]", "/", false}, /* a class is never a slash */
    {"[/]", "/", false},
    {"[]a]", "]", true},
    {"[]a]", "a", true},
    {"[!]a]", "b", true},
    {"[!]a]", "]", false},
    {"[a-]", "-", true},
    {"[-a]", "-", true},
    {"[\\-a]", "-", true},
    {"[a\\]b]", "]", true},
    {"[\\a-\\c]", "b", true},
    {"[c-a]", "c", true}, /* a range the wrong way is its beginning */
    {"[c-a]", "b", false},
    {"[[:alpha:]]", "q", true},
    {"[[:alpha:]]", "1", false},
    {"[[:digit:][:upper:]]", "Q", true},
    {"[![:digit:]]", "5", false},
    {"[[:space:]x]", "\t", true},
    {"[[:punct:]]", "~", true},
    {"[[:xdigit:]]", "g", false},
    {"[[:alpha:]-z]", "-", true},
    {"[[:]", ":", true},
    {"[[:none:]]", "n", false},
    {"[[::]]", ":", false},
    {"[a", "a", false},
    {"[", "[", false},
    {"x[", "x[", false},
    {"a]", "a]", true},
    {"foo\\bar", "foo\\bar", true}, /* no wildcard: a backslash is itself */
    {"foo\\bar*", "foobar", true},
    {"foo\\\\bar*", "foo\\bar", true},
    {"\\*", "*", true},
    {"\\*", "a", false},
    {"\\[a]", "[a]", true},
    {"a*\\", "a\\", false},
    {"\xff*", "\xff\xfe", true}, /* bytes, whatever they mean */
    {"[\x80-\xff]", "\xc3", true},
    {"?", "\xc3\xa4", false},
};

static void glob_of_each_kind_matches_as_documented(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(globs); i++) {
        struct glob *glob = glob_open(globs[i].pattern, strlen(globs[i].pattern));
        size_t length = strlen(globs[i].text);
        assert_non_null(glob);
        if (glob_match(glob, &(struct glob_part){globs[i].text, length}, 1, false) !=
            globs[i].matches)
            fail_msg("%s, %s", globs[i].pattern, globs[i].text);
        /* The same text in two parts. */
        struct glob_part halves[] = {{globs[i].text, length / 2},
                                     {globs[i].text + length / 2, length - length / 2}};
        assert_int_equal(glob_match(glob, halves, 2, false), globs[i].matches);
        glob_close(glob);
    }
}

static void glob_behind_slashes_matches_the_end_of_a_path(void **state)
{
    (void)state;
    struct glob *glob = glob_open("b/*", 3);
    assert_true(glob_match(glob, &(struct glob_part){"a/b/c", 5}, 1, true));
    assert_false(glob_match(glob, &(struct glob_part){"a/b/c", 5}, 1, false));
    assert_false(glob_match(glob, &(struct glob_part){"ab/c", 4}, 1, true));
    assert_false(glob_match(glob, &(struct glob_part){"a/b/c/d", 7}, 1, true));
    glob_close(glob);
}

/* What takes a matcher that goes back for each star longer than the universe has. */
static void glob_of_the_longest_pattern_ends_soon(void **state)
{
    static char pattern[GLOB_BYTES_MAX + 1], text[16384];

    (void)state;
    for (size_t i = 0; i + 2 < GLOB_BYTES_MAX; i += 2)
        memcpy(pattern + i, i % 4 == 0 ? "*a" : "?*", 2);
    memset(text, 'a', sizeof(text));
    struct glob *glob = glob_open(pattern, strlen(pattern));
    assert_non_null(glob);
    assert_true(glob_match(glob, &(struct glob_part){text, sizeof(text)}, 1, false));
    text[sizeof(text) - 1] = 'b';
    text[sizeof(text) / 2] = '/';
    assert_false(glob_match(glob, &(struct glob_part){text, sizeof(text)}, 1, true));
    glob_close(glob);
}

/* ---- rules ---- */

static const struct {
    const char *rule, *path;
    bool folder, hidden;
} hidden_paths[] = {
    {"- *.o", "main.o", false, true},
    {"- *.o", "a/b/main.o", false, true},
    {"- /foo", "foo", false, true},
    {"- /foo", "foo", true, true},
    {"- /foo", "a/foo", false, false},
    {"- foo/", "foo", true, true},
    {"- foo/", "a/foo", true, true},
    {"- foo/", "foo", false, false},
    {"- foo/*/bar", "foo/x/bar", false, true},
    {"- foo/*/bar", "a/foo/x/bar", false, true},
    {"- foo/*/bar", "foo/bar", false, false},
    {"- foo/*/bar", "foo/x/y/bar", false, false},
    {"- /foo/**/bar", "foo/x/bar", false, true},
    {"- /foo/**/bar", "foo/x/y/bar", false, true},
    {"- /foo/**/bar", "foo/bar", false, false},
    {"- /foo/**/bar", "a/foo/x/bar", false, false},
    {"- foo/bar", "a/foo/bar", false, true},
    {"- foo/bar", "a/xfoo/bar", false, false},
    {"- foo/bar", "bar", false, false},
    {"- foo**bar", "a/foo/x/bar", false, true},
    {"- foo**bar", "a/xfoo/bar", false, false},
    {"- **foo", "a/xfoo", false, true},
    {"- **/foo", "foo", false, true},
    {"- **/foo", "a/b/foo", false, true},
    {"- **/foo", "a/xfoo", false, false},
    {"- dir/***", "dir", true, true},
    {"- dir/***", "a/dir", true, true},
    {"- dir/***", "dir/x/y", false, true},
    {"- dir/***", "dir", false, false},
    {"- dir/**", "dir", true, false},
    {"- dir/**", "dir/x", false, true},
    {"-! */", "file", false, true},
    {"-! */", "folder", true, false},
    {"-/ /srv/data/x", "x", false, true},
    {"-/ data/x", "x", false, true},
    {"-/ data/x", "a/x", false, false},
    {"-/ /x", "x", false, false},
    {"-/ **/data/**", "x", false, true},
    {"-/ x", "a/x", false, true}, /* no slash: the name alone */
    {"exclude foo", "foo", false, true},
    {"exclude,! foo", "bar", false, true},
    {"-,!_foo", "bar", false, true},
    {"-_foo", "foo", false, true},
    {"- foo ", "foo", false, false}, /* blanks behind are of the pattern */
    {"-  foo", " foo", false, true},
    {"- a[b", "a[b", false, false},
    {"H foo", "foo", false, true},
    {"hide foo", "foo", false, true},
    {"-s foo", "foo", false, true},
    {"-sr foo", "foo", false, true},
    {"-p foo", "foo", false, true},
    {"P foo", "foo", false, false},
    {"protect foo", "foo", false, false},
    {"-r foo", "foo", false, false},
    {"- *", "", true, false}, /* the root itself */
    {"-! nothing", "", true, false},
};

static void rule_with_each_form_of_pattern_hides_as_documented(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hidden_paths); i++) {
        struct rules *rules = read_rules((const char *const[]){hidden_paths[i].rule, NULL});
        assert_true(rules_set_root(rules, "/srv/data/"));
        if (rules_hide(rules, hidden_paths[i].path, hidden_paths[i].folder) !=
            hidden_paths[i].hidden)
            fail_msg("%s, %s", hidden_paths[i].rule, hidden_paths[i].path);
        rules_close(rules);
    }
}

static void rule_that_matches_first_decides(void **state)
{
    (void)state;
    struct rules *rules =
        read_rules((const char *const[]){"+ foo/", "+ foo/bar.c", "- *.c", "+ *.c", "- x*", NULL});
    assert_false(rules_hide(rules, "foo", true));
    assert_false(rules_hide(rules, "foo/bar.c", false));
    assert_true(rules_hide(rules, "foo/baz.c", false));
    assert_true(rules_hide(rules, "foo/xylophone", false));
    assert_false(rules_hide(rules, "foo/other", false));
    assert_int_equal(rules_count(rules), 5);
    rules_close(rules);
    assert_false(rules_hide(NULL, "foo", true));
}

static void rule_of_each_side_protects_as_documented(void **state)
{
    static const struct {
        const char *rule;
        bool protects, in_removed;
    } cases[] = {{"- foo", true, true},    {"P foo", true, true},   {"-r foo", true, true},
                 {"-p foo", true, false},  {"Pp foo", true, false}, {"H foo", false, false},
                 {"-s foo", false, false}, {"R foo", false, false}, {"+ foo", false, false},
                 {"S foo", true, true}};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool shows = cases[i].rule[0] == 'S';
        struct rules *rules =
            read_rules((const char *const[]){cases[i].rule, shows ? "- foo" : "- none", NULL});
        assert_int_equal(rules_protect(rules, "foo", false, false), cases[i].protects);
        assert_int_equal(rules_protect(rules, "foo", false, true), cases[i].in_removed);
        assert_true(rules_protect_any(rules));
        rules_close(rules);
    }
    struct rules *rules = read_rules((const char *const[]){"H foo", "R bar", NULL});
    assert_false(rules_protect_any(rules));
    rules_close(rules);
}

static void rules_of_no_side_do_not_protect_when_what_is_excluded_is_deleted(void **state)
{
    struct rules_merge merge;
    struct error err = {0};

    (void)state;
    struct rules *rules = rules_open(true);
    assert_int_equal(rules_parse(rules, "- foo", RULES_FILTER, &merge, &err), 0);
    assert_int_equal(rules_parse(rules, "bar", RULES_EXCLUDE, &merge, &err), 0);
    assert_int_equal(rules_parse(rules, "-sr both", RULES_FILTER, &merge, &err), 0);
    assert_true(rules_hide(rules, "foo", false) && rules_hide(rules, "bar", false));
    assert_false(rules_protect(rules, "foo", false, false));
    assert_false(rules_protect(rules, "bar", false, false));
    assert_true(rules_protect(rules, "both", false, false));
    rules_close(rules);
}

/* ---- texts ---- */

static void rules_of_the_old_options_are_patterns_with_a_prefix_or_none(void **state)
{
    static const struct {
        const char *text;
        uint32_t form;
        const char *path;
        bool hidden;
    } cases[] = {
        {"foo", RULES_EXCLUDE, "foo", true},     {"- foo", RULES_EXCLUDE, "foo", true},
        {"+ foo", RULES_EXCLUDE, "foo", false},  {"foo", RULES_INCLUDE, "foo", false},
        {"- foo", RULES_INCLUDE, "foo", true},   {"-foo", RULES_EXCLUDE, "-foo", true},
        {"!foo", RULES_EXCLUDE, "!foo", true},   {"#foo", RULES_EXCLUDE, "#foo", true},
        {"P foo", RULES_EXCLUDE, "P foo", true}, {"- foo", RULES_ONLY_EXCLUDE, "- foo", true},
        {"! ", RULES_ONLY_EXCLUDE, "! ", true},
    };
    struct rules_merge merge;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rules *rules = rules_open(false);
        assert_int_equal(rules_parse(rules, cases[i].text, cases[i].form, &merge, &err), 0);
        assert_int_equal(rules_count(rules), 1);
        assert_int_equal(rules_hide(rules, cases[i].path, false), cases[i].hidden);
        assert_int_equal(rules_parse(rules, "!", RULES_EXCLUDE, &merge, &err), 0);
        assert_int_equal(rules_count(rules), 0);
        rules_close(rules);
    }
}

static void rule_that_clears_forgets_what_was_before(void **state)
{
    (void)state;
    struct rules *rules =
        read_rules((const char *const[]){"- a", "!", "- b", "clear", "- c", NULL});
    assert_int_equal(rules_count(rules), 1);
    assert_true(rules_hide(rules, "c", false));
    rules_close(rules);
}

static void rule_that_merges_says_how_the_file_is_read(void **state)
{
    static const struct {
        const char *text;
        uint32_t form;
        uint32_t count; /* of rules that it makes itself */
    } cases[] = {
        {". my/rules", 0, 0},
        {"merge my/rules", 0, 0},
        {"merge,e my/rules", 0, 1},
        {".- my/rules", RULES_ONLY_EXCLUDE, 0},
        {".+ my/rules", RULES_ONLY_INCLUDE, 0},
        {"merge,w-/p my/rules", RULES_WORDS | RULES_ONLY_EXCLUDE | RULE_ABSOLUTE | RULE_PERISHABLE,
         0},
        {".sn_my/rules", RULE_SOURCE, 0},
    };
    struct rules_merge merge;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rules *rules = rules_open(false);
        assert_int_equal(rules_parse(rules, cases[i].text, RULES_FILTER, &merge, &err), 1);
        assert_int_equal(merge.form, cases[i].form);
        assert_string_equal(merge.path, "my/rules");
        assert_int_equal(rules_count(rules), cases[i].count);
        if (cases[i].count > 0)
            assert_true(rules_hide(rules, "x/rules", false));
        rules_close(rules);
    }
    /* What a merge rule says is true of each rule of its file. */
    struct rules *rules = rules_open(false);
    assert_int_equal(rules_parse(rules, "- foo", RULE_SOURCE, &merge, &err), 0);
    assert_false(rules_protect(rules, "foo", false, false));
    assert_int_equal(rules_parse(rules, "P bar", RULE_SOURCE, &merge, &err), -EINVAL);
    rules_close(rules);
}

static void rule_that_makes_no_sense_is_refused_in_words(void **state)
{
    static const char *const texts[] = {"",         "foo",       "-",        "- ",
                                        "-foo",     "Hs foo",    "-P foo",   "excluded foo",
                                        "exclude",  "! foo",     "!foo",     "-e foo",
                                        "-w foo",   "-- foo",    ": .rules", "dir-merge .rules",
                                        "-C",       "-x user.*", "merge,C",  ".",
                                        ".! rules", ".-+ rules", "P,r foo",  "~ foo"};
    struct rules_merge merge;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct rules *rules = rules_open(false);
        struct error err = {0};
        if (rules_parse(rules, texts[i], RULES_FILTER, &merge, &err) != -EINVAL)
            fail_msg("\"%s\" is taken", texts[i]);
        assert_int_equal(err.class, ERROR_USAGE);
        assert_non_null(strstr(err.text, texts[i]));
        assert_int_equal(rules_count(rules), 0);
        rules_close(rules);
    }
}

/* ---- the wire ---- */

static void rules_that_were_packed_are_the_same(void **state)
{
    static uint8_t memory[1024];

    (void)state;
    struct rules *rules = read_rules((const char *const[]){"+ foo/", "-! *.c", "Pp /x/**", NULL});
    struct rules *again = NULL;
    struct bytes bytes = bytes_writer(memory, sizeof(memory));
    rules_pack(rules, &bytes);
    assert_false(bytes.failed);
    assert_int_equal(bytes.length, rules_packed_bytes(rules));
    assert_int_equal(rules_unpack(&again, &bytes), 0);
    assert_int_equal(rules_count(again), 3);
    assert_false(rules_hide(again, "foo", true));
    assert_true(rules_hide(again, "foo", false));
    assert_true(rules_protect(again, "x/y/z.c", false, false));
    rules_close(again);
    for (size_t cut = 0; cut < bytes.length; cut++) {
        struct bytes part = bytes_reader(memory, cut);
        assert_int_equal(rules_unpack(&again, &part), -EPROTO);
        assert_null(again);
    }
    struct bytes small = bytes_writer(memory, bytes.length - 1);
    rules_pack(rules, &small);
    assert_true(small.failed);
    rules_close(rules);
}

static void rules_from_the_wire_that_are_none_are_refused(void **state)
{
    static const struct {
        uint16_t flags;
        const char *pattern;
    } cases[] = {{RULE_SOURCE, ""}, {0, "x"}, {RULE_INCLUDE, "x"}, {RULE_SOURCE | 1 << 7, "x"}};
    uint8_t memory[64];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rules *rules = NULL;
        struct bytes bytes = bytes_writer(memory, sizeof(memory));
        bytes_put_u32(&bytes, 1);
        bytes_put_u16(&bytes, cases[i].flags);
        bytes_put_string(&bytes, cases[i].pattern);
        assert_int_equal(rules_unpack(&rules, &bytes), -EPROTO);
        assert_null(rules);
    }
}

static void rules_without_end_are_refused(void **state)
{
    static char pattern[RULES_PATTERN_BYTES_MAX + 1];

    (void)state;
    struct rules *rules = rules_open(false);
    memset(pattern, 'x', sizeof(pattern));
    assert_int_equal(rules_add(rules, RULE_SOURCE, pattern, sizeof(pattern)), -E2BIG);
    assert_int_equal(rules_add(rules, RULE_SOURCE, pattern, sizeof(pattern) - 1), 0);
    for (uint32_t i = 1; i < RULES_MAX; i++)
        assert_int_equal(rules_add(rules, RULE_SOURCE, "x", 1), 0);
    assert_int_equal(rules_add(rules, RULE_SOURCE, "x", 1), -E2BIG);
    assert_int_equal(rules_count(rules), RULES_MAX);
    rules_close(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(glob_of_each_kind_matches_as_documented),
        cmocka_unit_test(glob_behind_slashes_matches_the_end_of_a_path),
        cmocka_unit_test(glob_of_the_longest_pattern_ends_soon),
        cmocka_unit_test(rule_with_each_form_of_pattern_hides_as_documented),
        cmocka_unit_test(rule_that_matches_first_decides),
        cmocka_unit_test(rule_of_each_side_protects_as_documented),
        cmocka_unit_test(rules_of_no_side_do_not_protect_when_what_is_excluded_is_deleted),
        cmocka_unit_test(rules_of_the_old_options_are_patterns_with_a_prefix_or_none),
        cmocka_unit_test(rule_that_clears_forgets_what_was_before),
        cmocka_unit_test(rule_that_merges_says_how_the_file_is_read),
        cmocka_unit_test(rule_that_makes_no_sense_is_refused_in_words),
        cmocka_unit_test(rules_that_were_packed_are_the_same),
        cmocka_unit_test(rules_from_the_wire_that_are_none_are_refused),
        cmocka_unit_test(rules_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
