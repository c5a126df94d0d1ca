/* inspect.h - the command `haul journal FILE`: what a journal or a manifest says, for people and as
 * JSON. Changes nothing, also beside a copy that is running. */
#ifndef HAUL_INSPECT_H
#define HAUL_INSPECT_H

#include "haul/cli/options.h"

/* Prints the journal that the second operand names; returns the exit code of the process: success
 * also for a journal whose end is damaged (it says so), ERROR_FILE's for what is no journal. */
int inspect_journal(const struct options *options);

#endif
