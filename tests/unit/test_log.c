/* Unit tests of log.c: levels, bounds, and one line at a time from many threads. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/log.h"

/* What the sink saw. Plain variables on purpose: the log's lock is what protects them. */
static struct {
    unsigned lines;
    enum log_level level;
    char line[16384];
    bool inside;
    bool overlapped;
    unsigned per_thread[8];
} seen;

static void remember(enum log_level level, const char *line)
{
    seen.lines++;
    seen.level = level;
    snprintf(seen.line, sizeof(seen.line), "%s", line);
    errno = EBADF; /* what a sink that failed to write would leave behind */
}

static int reset(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    log_init(LOG_ERROR, NULL);
    return 0;
}

static void log_before_any_sink_goes_nowhere(void **state)
{
    (void)state;
    log_error("x %d", 1);
    log_init(LOG_DEBUG, remember);
    log_error("seen");
    log_init(LOG_DEBUG, NULL);
    log_error("not seen");
    assert_int_equal(seen.lines, 1);
    assert_string_equal(seen.line, "seen");
}

static void log_at_each_level_passes_that_level_and_worse(void **state)
{
    (void)state;
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        memset(&seen, 0, sizeof(seen));
        log_init((enum log_level)level, remember);
        assert_int_equal(log_level(), level);
        log_error("a");
        log_warning("b");
        log_note("c");
        log_verbose("d");
        log_debug("e");
        assert_int_equal(seen.lines, level + 1);
        assert_int_equal(seen.level, level);
        assert_int_equal(seen.line[0], 'a' + level);
        assert_int_equal(seen.line[1], '\0');
    }
}

static void log_of_a_formatted_line_arrives_as_written(void **state)
{
    (void)state;
    log_init(LOG_NOTE, remember);
    log_note("%s: %u%% of %s", "disk\n.img", 7u, "it");
    assert_string_equal(seen.line, "disk\n.img: 7% of it");
    assert_int_equal(seen.level, LOG_NOTE);
}

static void log_of_too_long_a_line_ends_in_dots(void **state)
{
    char *text = malloc(100001);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    log_init(LOG_NOTE, remember);
    log_note("%s", text);
    size_t cut = strlen(seen.line);
    assert_true(cut >= 8192 && cut <= 16000); /* two longest paths always fit */
    assert_string_equal(seen.line + cut - 4, "x...");
    /* The longest line that fits is whole; one byte more is cut to the same length. */
    log_note("%.*s", (int)cut, text);
    assert_int_equal(strlen(seen.line), cut);
    assert_string_equal(seen.line + cut - 4, "xxxx");
    log_note("%.*s", (int)cut + 1, text);
    assert_int_equal(strlen(seen.line), cut);
    assert_string_equal(seen.line + cut - 4, "x...");
    free(text);
}

static void log_between_a_call_and_its_errno_keeps_errno(void **state)
{
    (void)state;
    log_init(LOG_NOTE, remember);
    errno = ENOSPC;
    log_note("x");
    assert_int_equal(seen.lines, 1);
    assert_int_equal(errno, ENOSPC);
}

enum { THREADS = 8, LINES = 2000 };

static void count(enum log_level level, const char *line)
{
    (void)level;
    if (seen.inside)
        seen.overlapped = true;
    seen.inside = true;
    unsigned thread = (unsigned)strtoul(line, NULL, 10);
    unsigned number = (unsigned)strtoul(strchr(line, ' '), NULL, 10);
    /* Lines of one thread keep their order. */
    if (seen.per_thread[thread] != number)
        seen.overlapped = true;
    seen.per_thread[thread]++;
    seen.lines++;
    seen.inside = false;
}

static void *chatter(void *argument)
{
    for (unsigned i = 0; i < LINES; i++)
        log_note("%u %u", *(unsigned *)argument, i);
    return NULL;
}

static void log_from_many_threads_calls_the_sink_one_at_a_time(void **state)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];

    (void)state;
    log_init(LOG_NOTE, count);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(seen.overlapped);
    assert_int_equal(seen.lines, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(log_before_any_sink_goes_nowhere, reset),
        cmocka_unit_test_setup(log_at_each_level_passes_that_level_and_worse, reset),
        cmocka_unit_test_setup(log_of_a_formatted_line_arrives_as_written, reset),
        cmocka_unit_test_setup(log_of_too_long_a_line_ends_in_dots, reset),
        cmocka_unit_test_setup(log_between_a_call_and_its_errno_keeps_errno, reset),
        cmocka_unit_test_setup(log_from_many_threads_calls_the_sink_one_at_a_time, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
