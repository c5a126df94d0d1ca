/* error.c - records the first error and lets callers put context in front of it.
 *
 * Knows no exit codes and prints nothing: src/cli does both. Nothing here allocates, so that an
 * error about missing memory can be recorded too. */
#include "haul/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Cut `text` to fewer than `capacity` bytes and show that something is missing. */
static void clip(char *text, size_t capacity)
{
    static const char dots[] = "...";

    assert(capacity > sizeof(dots));
    memcpy(text + capacity - sizeof(dots), dots, sizeof(dots));
}

/* vsnprintf that marks a cut. Returns the length of what is in `out`. */
static size_t format_into(char *out, size_t capacity, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static size_t format_into(char *out, size_t capacity, const char *format, va_list arguments)
{
    int length = vsnprintf(out, capacity, format, arguments);

    /* Negative only for a wide character that the locale cannot encode: our own mistake, but the
     * error that we are about to report matters more than its words. */
    if (length < 0) {
        out[0] = '\0';
        return 0;
    }
    if ((size_t)length < capacity)
        return (size_t)length;
    clip(out, capacity);
    return capacity - 1;
}

int error_set(struct error *err, int errnum, const char *format, ...)
{
    assert(errnum > 0); /* 0 would be returned as success */
    if (!err || error_is_set(err))
        return -errnum;

    /* strerror is safe in threads: glibc 2.32 made its buffer thread-local, and no version uses the
     * buffer for an errno that has a name. The words go behind a path of any length uncut. */
    const char *words = strerror(errnum);
    size_t words_bytes = strnlen(words, 256);
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_into(err->text, sizeof(err->text) - words_bytes - 2, format, arguments);
    va_end(arguments);
    memcpy(err->text + length, ": ", 2);
    memcpy(err->text + length + 2, words, words_bytes);
    err->text[length + 2 + words_bytes] = '\0';
    err->errnum = errnum;
    err->class = ERROR_FILE;
    return -errnum;
}

int error_set_class(struct error *err, enum error_class class, int errnum, const char *format, ...)
{
    assert(class != ERROR_NONE);
    assert(errnum > 0); /* 0 would be returned as success */
    if (!err || error_is_set(err))
        return -errnum;

    va_list arguments;

    va_start(arguments, format);
    format_into(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
    err->errnum = errnum;
    err->class = class;
    return -errnum;
}

void error_prefix(struct error *err, const char *format, ...)
{
    if (!error_is_set(err))
        return;

    /* Formatted aside first: the arguments may point into err->text. */
    char context[ERROR_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_into(context, sizeof(context) - 2, format, arguments);
    va_end(arguments);
    memcpy(context + length, ": ", 2);
    length += 2;

    size_t old_bytes = strnlen(err->text, sizeof(err->text) - 1);
    size_t room = sizeof(err->text) - 1 - length;
    bool cut = old_bytes > room;

    if (cut)
        old_bytes = room;
    memmove(err->text + length, err->text, old_bytes);
    memcpy(err->text, context, length);
    err->text[length + old_bytes] = '\0';
    if (cut)
        clip(err->text, sizeof(err->text));
}

int error_take(struct error *err, const struct error *other)
{
    bool words = error_is_set(other);
    if (!err)
        return words ? -other->errnum : -EIO;
    if (!error_is_set(err) && words)
        *err = *other;
    if (!error_is_set(err))
        error_set(err, EIO, "failed without a reason");
    return -err->errnum;
}

int error_settle(struct error *err, int result, const char *format, ...)
{
    if (error_is_set(err))
        return -err->errnum;
    if (result >= 0)
        return 0;
    char context[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_into(context, sizeof(context), format, arguments);
    va_end(arguments);
    return error_set(err, -result, "%s", context);
}
