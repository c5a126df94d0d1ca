/* exit.c - the one table from a class of error to an exit code. */
#include "haul/cli/exit.h"

#include "haul/base/cleanup.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

static const struct exit_row table[] = {
    {0, ERROR_NONE, "everything is copied and durable, or was up to date"},
    {1, ERROR_USAGE, "the command line is wrong, or asks for what does not exist"},
    {2, ERROR_VERSION, "the other side speaks another version of the protocol"},
    {5, ERROR_START, "the other side could not be started"},
    {10, ERROR_SOCKET, "the network or the login failed"},
    {11, ERROR_FILE, "a file could not be opened, read or written"},
    {12, ERROR_PROTOCOL, "the other side sent something that the protocol does not allow"},
    {EXIT_CODE_INTERRUPTED, ERROR_INTERRUPTED, "a signal stopped the copy; it can go on"},
    {22, ERROR_MEMORY, "not enough memory, or a limit on it"},
    {EXIT_CODE_PARTIAL, ERROR_PARTIAL,
     "some of several files failed, a folder was skipped, or parts of a file left out"},
    {24, ERROR_VANISHED, "the source is not there (any more)"},
    {25, ERROR_HELD_BACK, "--max-delete has left names that would have gone"},
    {30, ERROR_TIMEOUT, "the other side was silent for too long"},
    {35, ERROR_CONNECT, "no connection within the time allowed"},
    {40, ERROR_MISMATCH, "verification found other bytes"},
    {41, ERROR_CHANGED, "the source changed while it was copied"},
    {42, ERROR_CACHE, "the cache budget would have been exceeded (--strict), or was (prove)"},
    {43, ERROR_BUSY, "another transfer is writing this target, or the device is in use"},
    {127, ERROR_NOT_FOUND, "there is no haul on the other side; --bootstrap brings one along"},
};

int exit_code(enum error_class class)
{
    if (class == ERROR_NONE) /* a failure that nobody has given a class is one all the same */
        class = ERROR_FILE;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].class == class)
            return table[i].code;
    assert(false && "a class of error without an exit code");
    return 1;
}

int exit_of_outcome(const struct outcome *outcome)
{
    if (!outcome_good(outcome))
        return exit_code(outcome->class);
    return outcome->lacking ? EXIT_CODE_PARTIAL : EXIT_CODE_DONE;
}

const char *exit_text(int code)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].code == code)
            return table[i].text;
    assert(false && "an exit code that is in no row");
    return "failed";
}

const struct exit_row *exit_table(uint32_t *rows_count)
{
    *rows_count = COUNT_OF(table);
    return table;
}
