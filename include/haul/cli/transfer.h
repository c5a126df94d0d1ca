/* transfer.h - the commands `haul SOURCE... TARGET`, `haul verify SOURCE TARGET` and
 * `haul prove SOURCE... TARGET`.
 *
 * The copy runs in a thread of its own; the calling one watches signals and draws the progress. */
#ifndef HAUL_TRANSFER_H
#define HAUL_TRANSFER_H

#include "haul/cli/options.h"

/* Runs the whole command, prints its receipts and errors; returns the exit code of the process.
 * Blocks until done. */
int transfer_command(const struct options *options);

/* The same for `haul verify SOURCE TARGET` and `haul verify --manifest=FILE TARGET`: compares only.
 */
int transfer_verify(const struct options *options);

/* What is about a plan (units.h): SOURCE and TARGET are the operands. */
struct units;
int transfer_units(const struct options *options, struct units *units);

/* A copy, and an account of what entered the page cache by it (prove.h). */
int transfer_prove(const struct options *options);

#endif
