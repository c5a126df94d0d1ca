/* Unit tests of error.c: the first error stays, context goes in front, nothing overflows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/error.h"

/* An error between two guards, so that a write past its end is seen without a sanitizer too. */
struct guarded {
    struct error err;
    char guard[64];
};

static void setup(struct guarded *g)
{
    memset(g, 0, sizeof(*g));
    memset(g->guard, 0x5a, sizeof(g->guard));
}

static void check_guard(const struct guarded *g)
{
    for (size_t i = 0; i < sizeof(g->guard); i++)
        assert_int_equal(g->guard[i], 0x5a);
    assert_non_null(memchr(g->err.text, '\0', sizeof(g->err.text)));
}

/* `length` bytes of x and a NUL; the caller frees. */
static char *long_text(size_t length)
{
    char *text = malloc(length + 1);

    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

static void set_on_a_fresh_error_records_words_class_and_errno(void **state)
{
    struct error err = {0};

    (void)state;
    assert_false(error_is_set(&err));
    assert_int_equal(error_set(&err, ENOENT, "open %s for %d", "a/b", 3), -ENOENT);
    assert_true(error_is_set(&err));
    assert_int_equal(err.class, ERROR_FILE);
    assert_int_equal(err.errnum, ENOENT);
    assert_string_equal(err.text, "open a/b for 3: No such file or directory");
}

static void set_on_a_set_error_keeps_the_first_and_returns_the_new_errno(void **state)
{
    struct error err = {0};

    (void)state;
    error_set(&err, EIO, "first");
    assert_int_equal(error_set(&err, ENOSPC, "second"), -ENOSPC);
    assert_int_equal(error_set_class(&err, ERROR_MEMORY, ENOMEM, "third"), -ENOMEM);
    assert_int_equal(err.class, ERROR_FILE);
    assert_int_equal(err.errnum, EIO);
    assert_string_equal(err.text, "first: Input/output error");
}

static void set_without_an_error_object_returns_the_errno(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, EIO, "x"), -EIO);
    assert_int_equal(error_set_class(NULL, ERROR_USAGE, EINVAL, "x"), -EINVAL);
    assert_false(error_is_set(NULL));
    error_prefix(NULL, "x");
}

static void set_class_records_the_sentence_alone(void **state)
{
    struct error err = {0};

    (void)state;
    assert_int_equal(error_set_class(&err, ERROR_CHANGED, ESTALE, "%s: changed", "a"), -ESTALE);
    assert_true(error_is_set(&err));
    assert_int_equal(err.class, ERROR_CHANGED);
    assert_int_equal(err.errnum, ESTALE);
    assert_string_equal(err.text, "a: changed");
}

static void set_with_an_unknown_errno_still_has_words(void **state)
{
    struct error err = {0};

    (void)state;
    assert_int_equal(error_set(&err, 54321, "x"), -54321);
    assert_string_equal(err.text, "x: Unknown error 54321");
}

static void set_with_too_long_a_path_keeps_the_reason(void **state)
{
    static const char tail[] = "...: No space left on device";
    char *path = long_text(2 * (size_t)ERROR_TEXT_BYTES);

    (void)state;
    /* Every length around the border, where the cut begins. */
    for (size_t length = ERROR_TEXT_BYTES - 40; length < ERROR_TEXT_BYTES + 8; length++) {
        struct guarded g;
        setup(&g);
        error_set(&g.err, ENOSPC, "%.*s", (int)length, path);
        check_guard(&g);
        size_t whole = length + strlen(": No space left on device");
        size_t got = strlen(g.err.text);
        if (whole < ERROR_TEXT_BYTES) {
            assert_int_equal(got, whole);
            assert_int_equal(g.err.text[length - 1], 'x');
        } else {
            assert_int_equal(got, ERROR_TEXT_BYTES - 1);
            assert_string_equal(g.err.text + got - strlen(tail), tail);
        }
    }
    free(path);
}

static void set_class_with_too_long_a_text_ends_in_dots(void **state)
{
    char *path = long_text(2 * (size_t)ERROR_TEXT_BYTES);

    (void)state;
    for (size_t length = ERROR_TEXT_BYTES - 2; length < ERROR_TEXT_BYTES + 2; length++) {
        struct guarded g;
        setup(&g);
        error_set_class(&g.err, ERROR_USAGE, EINVAL, "%.*s", (int)length, path);
        check_guard(&g);
        size_t got = strlen(g.err.text);
        bool cut = length >= ERROR_TEXT_BYTES;
        assert_int_equal(got, cut ? ERROR_TEXT_BYTES - 1 : length);
        assert_string_equal(g.err.text + got - 3, cut ? "..." : "xxx");
    }
    free(path);
}

static void prefix_puts_contexts_in_front_in_order(void **state)
{
    struct error err = {0};

    (void)state;
    error_prefix(&err, "nothing to prefix");
    assert_false(error_is_set(&err));
    assert_string_equal(err.text, "");

    error_set_class(&err, ERROR_PROTOCOL, EPROTO, "frame too long");
    error_prefix(&err, "lane %d", 2);
    error_prefix(&err, "%s", "host");
    assert_string_equal(err.text, "host: lane 2: frame too long");
    assert_int_equal(err.class, ERROR_PROTOCOL);
    assert_int_equal(err.errnum, EPROTO);
}

static void prefix_made_of_the_error_itself_is_formatted_first(void **state)
{
    struct error err = {0};

    (void)state;
    error_set_class(&err, ERROR_FILE, EIO, "old");
    error_prefix(&err, "seen %s", err.text);
    assert_string_equal(err.text, "seen old: old");
}

static void prefix_that_does_not_fit_cuts_the_end(void **state)
{
    char *path = long_text(2 * (size_t)ERROR_TEXT_BYTES);

    (void)state;
    for (size_t length = ERROR_TEXT_BYTES - 12; length < ERROR_TEXT_BYTES + 3; length++) {
        struct guarded g;
        setup(&g);
        error_set_class(&g.err, ERROR_FILE, EIO, "abcdef");
        error_prefix(&g.err, "%.*s", (int)length, path);
        check_guard(&g);
        size_t whole = length + strlen(": abcdef");
        size_t got = strlen(g.err.text);
        bool cut = whole >= ERROR_TEXT_BYTES;
        assert_int_equal(got, cut ? ERROR_TEXT_BYTES - 1 : whole);
        assert_string_equal(g.err.text + got - 3, cut ? "..." : "def");
        assert_int_equal(g.err.text[0], 'x');
    }
    free(path);
}

static void take_into_a_fresh_error_copies_everything(void **state)
{
    struct error err = {0}, other = {0};

    (void)state;
    error_set_class(&other, ERROR_BUSY, EAGAIN, "locked");
    assert_int_equal(error_take(&err, &other), -EAGAIN);
    assert_int_equal(err.class, ERROR_BUSY);
    assert_string_equal(err.text, "locked");
}

static void take_into_a_set_error_keeps_the_first(void **state)
{
    struct error err = {0}, other = {0};

    (void)state;
    error_set_class(&err, ERROR_BUSY, EAGAIN, "locked");
    error_set(&other, EIO, "later");
    assert_int_equal(error_take(&err, &other), -EAGAIN);
    assert_string_equal(err.text, "locked");
    assert_int_equal(error_take(&err, &err), -EAGAIN);
}

static void take_of_nothing_is_a_failure_with_words(void **state)
{
    struct error err = {0}, other = {0};

    (void)state;
    assert_int_equal(error_take(NULL, &other), -EIO);
    assert_int_equal(error_take(&err, &other), -EIO);
    assert_int_equal(err.class, ERROR_FILE);
    assert_true(strlen(err.text) > 0);
    error_set(&other, ENOSPC, "x");
    assert_int_equal(error_take(NULL, &other), -ENOSPC);
}

static void settle_is_success_only_when_result_and_error_say_so(void **state)
{
    struct error err = {0};

    (void)state;
    assert_int_equal(error_settle(&err, 0, "x"), 0);
    assert_int_equal(error_settle(&err, 3, "x"), 0);
    assert_false(error_is_set(&err));
    assert_int_equal(error_settle(&err, -ENOSPC, "%s of %d", "chunk", 7), -ENOSPC);
    assert_string_equal(err.text, "chunk of 7: No space left on device");
    assert_int_equal(error_settle(&err, -EIO, "later"), -ENOSPC);
    assert_int_equal(error_settle(&err, 0, "later"), -ENOSPC);
    assert_string_equal(err.text, "chunk of 7: No space left on device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_on_a_fresh_error_records_words_class_and_errno),
        cmocka_unit_test(set_on_a_set_error_keeps_the_first_and_returns_the_new_errno),
        cmocka_unit_test(set_without_an_error_object_returns_the_errno),
        cmocka_unit_test(set_class_records_the_sentence_alone),
        cmocka_unit_test(set_with_an_unknown_errno_still_has_words),
        cmocka_unit_test(set_with_too_long_a_path_keeps_the_reason),
        cmocka_unit_test(set_class_with_too_long_a_text_ends_in_dots),
        cmocka_unit_test(prefix_puts_contexts_in_front_in_order),
        cmocka_unit_test(prefix_made_of_the_error_itself_is_formatted_first),
        cmocka_unit_test(prefix_that_does_not_fit_cuts_the_end),
        cmocka_unit_test(take_into_a_fresh_error_copies_everything),
        cmocka_unit_test(take_into_a_set_error_keeps_the_first),
        cmocka_unit_test(take_of_nothing_is_a_failure_with_words),
        cmocka_unit_test(settle_is_success_only_when_result_and_error_say_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
