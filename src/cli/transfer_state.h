/* transfer_state.h - one run of the command that copies, for src/cli/transfer*.c: what it is about
 * (transfer_settle.c), how it goes (transfer.c), and what it came to (transfer_account.c). */
#ifndef HAUL_TRANSFER_STATE_H
#define HAUL_TRANSFER_STATE_H

#include "haul/cli/operands.h"
#include "haul/cli/options.h"
#include "haul/cli/parts.h"
#include "haul/cli/prove.h"
#include "haul/cli/receipt.h"
#include "haul/cli/units.h"
#include "haul/cli/watch.h"
#include "haul/copy/copy.h"

struct transfer {
    const struct options *options;
    struct operands operands;
    struct parts parts; /* of the only source; each has its turn like a file */
    struct watch watch;
    struct copy *copy;  /* opened by the copy's thread, closed by the main one: it reads progress */
    struct receipt sum; /* of all files; of the only one */
    char *target_paths[COPY_FILES_MAX]; /* by number of the file; receipts point to them */
    uint32_t begun_count;               /* files */
    uint64_t started_ns;
    struct receipt_tally tally;
    struct outcome outcome;  /* of all files that have had their turn */
    bool tree_begun;         /* it is that of a part of a tree, at least */
    uint32_t ended_count;    /* these */
    uint64_t held_back;      /* names at least that --max-delete has left */
    uint32_t vanished_count; /* of the failures: names of trees that went away meanwhile */
    bool begun;              /* with the first file */
    bool skipped;            /* a folder: some of what was asked for is not done */
    bool interrupted;
    bool verify;         /* compare only */
    struct proof *proof; /* NULL: nobody has asked for one */
    struct units *units; /* NULL: it is about no plan */
    struct rules *rules;
    struct names *names;
    struct copy_left *left; /* --remove-source-files: by number of the file; NULL: nobody asks */
    struct error err;       /* the first failure */
};

/* ---- transfer_settle.c: all of this is before the first byte ---- */

bool transfer_any_remote(const struct operands *operands);

/* What is to be copied, and whether that can be wished; asks nobody on another machine. -errno with
 * words. */
int transfer_resolve(struct transfer *transfer, struct options *own, struct error *err);

/* The logins, for a remote side; from then on there is progress to watch. What only the sides know
 * is settled with them, and all paths are reserved. In the thread of the copy; may wait for long.
 * -errno with words. */
int transfer_open(struct transfer *transfer, struct error *err);

/* ---- transfer_account.c ---- */

/* One file from the first to the last: its receipt is that of the run. */
bool transfer_is_single(const struct transfer *transfer);

/* Those that have a turn; against a manifest it is the target's. */
uint32_t transfer_files_count(const struct transfer *transfer);

/* It copies nothing, and what it would copy is its output. */
bool transfer_plans(const struct transfer *transfer);

/* One line for each failure; the first is what the whole run failed with. */
void transfer_fail(struct transfer *transfer, struct error *err);

/* A file has had its turn. Whatever is no success is told, and counts, as a failure. */
void transfer_ended(struct transfer *transfer, const struct outcome *outcome, struct error *err);

/* 0 only by the outcome of every file that was named. */
int transfer_code(struct transfer *transfer);

/* Each of several files has its own account as soon as it is known. */
void transfer_print_one(const struct transfer *transfer, const struct receipt *receipt,
                        const struct error *err);

/* --itemize-changes: in front of the receipt, as rsync's line is in front of its totals. */
void transfer_print_changes(const struct transfer *transfer, const struct receipt *receipt);

/* The names that a receipt carries: paths on their machines, and those. */
void transfer_name_sides(struct transfer *transfer);

/* What has entered the page cache, in front of the receipt. The code of the process: a copy that
 * was not kept out is durable all the same. */
int transfer_end_proof(struct transfer *transfer, int code);

/* What of it is written down: only what is done. */
int transfer_end_units(struct transfer *transfer, int code);

/* The last words: the receipt of the run. */
void transfer_print_end(struct transfer *transfer, int code);

#endif
