/* Unit tests of filter.c: rules from options and from files that merge files. */
#include "scratch.h"

#include "haul/cli/filter.h"

static char folder[] = "/tmp/haul-filter-XXXXXX";

static void write_text(const char *name, const char *text, size_t length)
{
    AUTO_CLOSE int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    write_all(fd, (const uint8_t *)text, length);
}

static struct rules *read_words(const struct filter_word *words, uint32_t count, bool zeros)
{
    struct rules *rules = NULL;
    struct error err = {0};
    if (filter_read(&rules, words, count, false, zeros, &err) != 0)
        fail_msg("%s", err.text);
    return rules;
}

/* Words of the error that this is refused with. */
static const char *refusal(const char *text, enum error_class class)
{
    static struct error err;
    struct rules *rules = NULL;
    memset(&err, 0, sizeof(err));
    const struct filter_word word = {FILTER_RULE, text};
    assert_true(filter_read(&rules, &word, 1, false, false, &err) < 0);
    assert_null(rules);
    assert_int_equal(err.class, class);
    return err.text;
}

static void filter_of_all_options_keeps_their_order(void **state)
{
    static const char patterns[] = "# a comment\n\n; another\n*.o\n+ keep.d\r\n*.d\rmac\n#no";
    static const struct filter_word words[] = {{FILTER_INCLUDE, "keep.o"},
                                               {FILTER_EXCLUDE_FROM, "patterns"},
                                               {FILTER_RULE, "P saved"},
                                               {FILTER_INCLUDE, "no*"},
                                               {FILTER_EXCLUDE, "no?"}};

    (void)state;
    write_text("patterns", patterns, strlen(patterns));
    struct rules *rules = read_words(words, 5, false);
    assert_int_equal(rules_count(rules), 8);
    assert_false(rules_hide(rules, "keep.o", false));
    assert_true(rules_hide(rules, "x/lose.o", false));
    assert_false(rules_hide(rules, "keep.d", false));
    assert_true(rules_hide(rules, "x.d", false));
    assert_true(rules_hide(rules, "mac", false));
    assert_false(rules_hide(rules, "now", false));
    assert_true(rules_protect(rules, "saved", false, false));
    rules_close(rules);
    assert_null(read_words(words, 0, false));
    assert_null(read_words(&(struct filter_word){FILTER_RULE, "!"}, 1, false));
}

static void filter_that_merges_puts_the_file_in_its_place(void **state)
{
    static const struct filter_word words[] = {
        {FILTER_RULE, "+ a"}, {FILTER_RULE, "merge,e outer"}, {FILTER_RULE, "- *"}};

    (void)state;
    write_text("outer", "+ b\n. inner\n.w words\n.- only\n", 29);
    write_text("inner", "- a\n+ c\n", 8);
    write_text("words", "+_d\t+_e\n\n  +_f", 14);
    write_text("only", "+ g\n", 4);
    struct rules *rules = read_words(words, 3, false);
    for (const char *name = "a\0b\0c\0d\0e\0f\0"; *name; name += 2)
        assert_false(rules_hide(rules, name, false));
    assert_true(rules_hide(rules, "g", false));
    assert_true(rules_hide(rules, "+ g", false));
    assert_true(rules_hide(rules, "outer", false));
    assert_int_equal(rules_count(rules), 10);
    rules_close(rules);
}

static void filter_of_zero_bytes_takes_lines_that_have_ends(void **state)
{
    static const struct filter_word word = {FILTER_EXCLUDE_FROM, "zeros"};

    (void)state;
    write_text("zeros", "a\nb\0\0c", 6);
    struct rules *rules = read_words(&word, 1, true);
    assert_int_equal(rules_count(rules), 2);
    assert_true(rules_hide(rules, "a\nb", false));
    assert_true(rules_hide(rules, "c", false));
    rules_close(rules);
}

static void filter_that_cannot_be_read_names_file_and_line(void **state)
{
    (void)state;
    write_text("self", "- a\n. self\n", 11);
    write_text("wrong", "- a\n\nnonsense\n", 14);
    write_text("around", ". wrong\n", 8);
    assert_non_null(strstr(refusal(". absent", ERROR_FILE), "absent: "));
    assert_non_null(strstr(refusal(". self", ERROR_USAGE), "does one merge itself"));
    assert_non_null(strstr(refusal(". around", ERROR_USAGE), "around, line 1: wrong, line 3: "));
    assert_non_null(strstr(refusal(".", ERROR_USAGE), "missing"));
    assert_non_null(strstr(refusal(". .", ERROR_FILE), ".: cannot be read"));
    write_text("zeros", "- a\n- b\0- c\0", 12);
    assert_non_null(strstr(refusal(". zeros", ERROR_USAGE), "zeros, line 2: a zero byte"));
    write_text("zeros", "- a\0\n", 6);
    assert_non_null(strstr(refusal(". zeros", ERROR_USAGE), "zeros, line 1: a zero byte"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_of_all_options_keeps_their_order),
        cmocka_unit_test(filter_that_merges_puts_the_file_in_its_place),
        cmocka_unit_test(filter_of_zero_bytes_takes_lines_that_have_ends),
        cmocka_unit_test(filter_that_cannot_be_read_names_file_and_line),
    };
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command) != 0 || failed;
}
