/* Unit tests of choice.c: what is left out by the facts of both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/clock.h"
#include "haul/copy/choice.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct facts file_of(enum file_kind kind, uint64_t size_bytes, int64_t seconds, uint32_t ns)
{
    return (struct facts){
        .kind = kind, .size_bytes = size_bytes, .mtime_seconds = seconds, .mtime_ns = ns};
}

static void assert_skipped(const char *why, const char *option)
{
    if (option ? !why || !strstr(why, option) : why != NULL)
        fail_msg("\"%s\", expected %s", why ? why : "copied", option ? option : "copied");
}

static void choice_of_nothing_leaves_nothing_out(void **state)
{
    (void)state;
    const struct copy_wish wish = {0};
    const struct facts source = file_of(FILE_REGULAR, 0, 0, 0);
    for (int kind = FILE_NONE; kind <= FILE_CHARACTER; kind++) {
        const struct facts target = file_of((enum file_kind)kind, 7, 5, 5);
        assert_skipped(choice_skip(&wish, &source, &target, false), NULL);
    }
    assert_false(choice_any(&wish.choice));
}

static void choice_of_update_leaves_what_is_newer(void **state)
{
    static const struct {
        int64_t target_seconds;
        uint32_t target_ns, window_s;
        bool skipped;
    } cases[] = {
        {101, 0, 0, true},        {100, 501, 0, true},  {100, 500, 0, false},
        {100, 499, 0, false},     {99, 999, 0, false},  {101, 0, 1, false},
        {102, 0, 1, true},        {100, 999, 1, false}, {INT64_MAX, 0, 1, true},
        {INT64_MIN, 0, 0, false},
    };

    (void)state;
    const struct facts source = file_of(FILE_REGULAR, 10, 100, 500);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct copy_wish wish = {.choice = {.update = true},
                                       .modify_window_ns = cases[i].window_s * NS_PER_SECOND};
        const struct facts target =
            file_of(FILE_REGULAR, 10, cases[i].target_seconds, cases[i].target_ns);
        const char *option = cases[i].skipped ? "--update" : NULL;
        assert_skipped(choice_skip(&wish, &source, &target, false), option);
        assert_skipped(choice_skip(&wish, &source, &target, true), NULL);
        const struct facts link = file_of(FILE_LINK, 10, cases[i].target_seconds, 0);
        assert_skipped(choice_skip(&wish, &source, &link, false), NULL);
        assert_skipped(choice_skip(&wish, &link, &link, false), NULL);
    }
}

static void choice_of_what_exists_is_as_documented(void **state)
{
    const struct copy_wish old = {.choice = {.existing = true}};
    const struct copy_wish new = {.choice = {.ignore_existing = true}};

    (void)state;
    const struct facts source = file_of(FILE_REGULAR, 10, 100, 0);
    const struct facts folder = file_of(FILE_FOLDER, 4096, 100, 0);
    const struct facts none = file_of(FILE_NONE, 0, 0, 0);
    assert_skipped(choice_skip(&old, &source, &none, false), "--existing");
    assert_skipped(choice_skip(&old, &folder, &none, false), "--existing");
    assert_skipped(choice_skip(&old, &source, &source, false), NULL);
    assert_skipped(choice_skip(&new, &source, &none, false), NULL);
    assert_skipped(choice_skip(&new, &source, &source, false), "--ignore-existing");
    assert_skipped(choice_skip(&new, &source, &source, true), NULL);
    assert_skipped(choice_skip(&new, &folder, &source, false), "--ignore-existing");
    assert_skipped(choice_skip(&new, &folder, &folder, false), NULL); /* it is entered */
}

static void choice_of_sizes_is_of_regular_files(void **state)
{
    const struct copy_wish wish = {
        .choice = {.max_size_set = true, .max_size_bytes = 20, .min_size_bytes = 10}};

    (void)state;
    const struct facts none = file_of(FILE_NONE, 0, 0, 0);
    static const struct {
        uint64_t size_bytes;
        const char *option;
    } cases[] = {{9, "--min-size"}, {10, NULL}, {20, NULL}, {21, "--max-size"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct facts source = file_of(FILE_REGULAR, cases[i].size_bytes, 0, 0);
        const struct facts device = file_of(FILE_DEVICE, cases[i].size_bytes, 0, 0);
        assert_skipped(choice_skip(&wish, &source, &none, false), cases[i].option);
        assert_skipped(choice_skip(&wish, &device, &none, false), NULL);
    }
    const struct copy_wish empty = {.choice = {.max_size_set = true}};
    assert_true(choice_any(&empty.choice));
    const struct facts full = file_of(FILE_REGULAR, 1, 0, 0);
    assert_skipped(choice_skip(&empty, &full, &none, false), "--max-size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choice_of_nothing_leaves_nothing_out),
        cmocka_unit_test(choice_of_update_leaves_what_is_newer),
        cmocka_unit_test(choice_of_what_exists_is_as_documented),
        cmocka_unit_test(choice_of_sizes_is_of_regular_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
