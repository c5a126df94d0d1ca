/* outcome.h - how the copy of one file has ended: a value, and never the absence of words.
 *
 * All zeros is "nothing has ended yet", which is no success. Only the functions here make an
 * outcome, each from what proves it, and outcome_good() is the one place that says which of them
 * are successes; cli/exit.c turns one into the exit code. */
#ifndef HAUL_OUTCOME_H
#define HAUL_OUTCOME_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum outcome_kind {
    OUTCOME_NONE,       /* not ended; at the end of a run a failure */
    OUTCOME_DURABLE,    /* every chunk is there, and both sides have acknowledged the commit */
    OUTCOME_UP_TO_DATE, /* was found to be finished before anything was done; `evidence` says how */
    OUTCOME_SKIPPED,    /* an option says that nothing is to be done for it; `evidence` says why */
    OUTCOME_EQUAL,      /* haul verify: every byte was compared */
    OUTCOME_DRY,        /* -n: what a run would begin with: `class`, ERROR_NONE: it would copy */
    OUTCOME_FAILED,     /* `class` says how */
    OUTCOME_HANDED_OVER, /* every chunk has gone into a pipe, whatever its reader does with it */
};

struct outcome {
    enum outcome_kind kind;
    enum error_class class; /* FAILED, DRY */
    const char *evidence;   /* UP_TO_DATE, SKIPPED: in words for the receipt, a constant */
    bool believed;          /* UP_TO_DATE: an option has it so, and nothing proves the content */
    bool lacking; /* the data are safe, but something that was asked for could not be kept */
};

/* What makes a target a durable copy. All zeros proves nothing. */
struct outcome_proof {
    bool complete;         /* the plan: each item was yielded and has ended well */
    bool source_unchanged; /* the source's side has acknowledged COMMIT; or need not, by --fuzzy */
    bool target_committed; /* the target's side has */
    bool options_kept;     /* what was asked for beside it: manifest, reading back */
};

/* DURABLE; with a proof that lacks something FAILED, and err gets words that say what. */
struct outcome outcome_durable(const struct outcome_proof *proof, struct error *err);

/* HANDED_OVER; the same for a target that is a pipe. */
struct outcome outcome_handed_over(const struct outcome_proof *proof, struct error *err);

/* UP_TO_DATE. evidence: what proves it. */
struct outcome outcome_up_to_date(const char *evidence);

/* The same, `believed`. why: what the option goes by. */
struct outcome outcome_believed(const char *why);

/* SKIPPED. why: what the option says, in words that follow "skipped, ". */
struct outcome outcome_skipped(const char *why);

/* EQUAL, when `complete` (as above) and nothing differs; else FAILED, with words in err. */
struct outcome outcome_equal(bool complete, uint64_t bytes_differing, struct error *err);

/* DRY: what a run would begin with. An error that is not set: it would copy. */
struct outcome outcome_dry(const struct error *err);

/* FAILED. An error without words gets some first. */
struct outcome outcome_failed(struct error *err);

/* The last word: whatever is claimed, a result < 0 or an error that is set is a failure, and so is
 * a claim of nothing; err has words then. */
struct outcome outcome_settle(struct outcome claimed, int result, struct error *err);

/* A success: what exit code 0 may be made of. */
bool outcome_good(const struct outcome *outcome);

/* Of several files: the one that is worse, so that all are good only where each was. The first sum
 * is the first file's. */
struct outcome outcome_add(struct outcome sum, struct outcome one);

/* "none", "durable", "up to date", "skipped", "equal", "dry run", "failed", "handed over". */
const char *outcome_name(enum outcome_kind kind);

#endif
