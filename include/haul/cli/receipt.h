/* receipt.h - a receipt (report.h) in words and as JSON. Only writes; measures nothing. */
#ifndef HAUL_RECEIPT_H
#define HAUL_RECEIPT_H

#include "haul/base/error.h"
#include "haul/base/log.h"
#include "haul/side/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A receipt of nothing: counts 0, figures that nobody measured NUM_UNKNOWN, not durable. */
void receipt_init(struct receipt *receipt);

/* For people. Short: what was copied, how fast until durable, and one line about the cache; every
 * fallback, leftover and missing durability is said in either form. */
void receipt_words(FILE *out, const struct receipt *receipt, bool full);

/* The line of --itemize-changes; nothing where nothing differs. */
void receipt_words_changes(FILE *out, const struct receipt *receipt);

/* What a sum of receipts does not say by itself. */
struct receipt_tally {
    uint32_t failed_count;
    uint32_t up_to_date_count, skipped_count;
    uint32_t made_count; /* folders, links and nodes that are new, or other ones now */
    uint32_t removed_count;
    uint64_t bytes_up_to_date; /* nobody read them: they are no part of the rate */
};

/* The sum over several files, after each of them had its own words. Full: with what their names
 * cost. */
void receipt_words_sum(FILE *out, const struct receipt *sum, const struct receipt_tally *tally,
                       bool full);

/* One line, as haul(1) describes it. event: "receipt" (the last line) or "file" (one of
 * several). error NULL: none; of a failure it is then what the code means, so that no line fails
 * without words. */
void receipt_json(FILE *out, const struct receipt *receipt, const char *event, int exit_code,
                  const char *error);

/* The last line of a --json run that ended before there was anything to tell of. */
void receipt_json_refused(FILE *out, int exit_code, const char *error);

/* A command that ends so: its error is told, and with --json such a line. The exit code. */
int receipt_refused(bool json, const struct error *err);

/* An event on standard output: this range differs, or was left out. A sink for log_init_range(). */
void receipt_json_range(enum log_range_kind kind, const char *path, unsigned long long offset,
                        unsigned long long length);

#endif
