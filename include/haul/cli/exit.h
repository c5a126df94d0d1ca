/* exit.h - the one table from a class of error to the exit code of the process.
 *
 * rsync's codes where rsync has one, and our own from 40 on. man/haul.1 prints the same table and
 * test_options compares them. */
#ifndef HAUL_EXIT_H
#define HAUL_EXIT_H

#include "haul/base/error.h"
#include "haul/side/outcome.h"

#include <stdint.h>

enum {
    EXIT_CODE_DONE = 0, /* of commands that copy nothing; a copy's is made by exit_of_outcome() */
    EXIT_CODE_INTERRUPTED = 20,
    EXIT_CODE_PARTIAL = 23, /* some of several files failed, or a part was left out */
};

struct exit_row {
    int code;
    enum error_class class; /* ERROR_NONE for success */
    const char *text;       /* what it means, as the man page says it */
};

/* The code for a failure of a class, never 0; every class has one. */
int exit_code(enum error_class class);

/* The code for a copy that has ended so: 0 only for what outcome_good() calls a success. */
int exit_of_outcome(const struct outcome *outcome);

/* What a code means, as the man page says it; never NULL: codes come from here. */
const char *exit_text(int code);

/* All codes, for the manual page and --help. */
const struct exit_row *exit_table(uint32_t *rows_count);

#endif
