/* outcome.c - outcomes, made from what proves them. */
#include "haul/side/outcome.h"

#include "haul/base/cleanup.h"

#include <assert.h>
#include <errno.h>

struct outcome outcome_failed(struct error *err)
{
    (void)error_settle(err, -EIO, "ended without a reason");
    return (struct outcome){.kind = OUTCOME_FAILED, .class = err->class};
}

struct outcome outcome_handed_over(const struct outcome_proof *proof, struct error *err)
{
    struct outcome outcome = outcome_durable(proof, err);
    if (outcome.kind == OUTCOME_DURABLE)
        outcome.kind = OUTCOME_HANDED_OVER;
    return outcome;
}

struct outcome outcome_durable(const struct outcome_proof *proof, struct error *err)
{
    if (!proof->complete)
        error_set_class(err, ERROR_FILE, EIO, "not every chunk was copied; run it again");
    if (!proof->source_unchanged)
        error_set_class(err, ERROR_FILE, EIO, "nobody has said that the source is unchanged");
    if (!proof->target_committed)
        error_set_class(err, ERROR_FILE, EIO, "nobody has said that the target is durable");
    if (!proof->options_kept)
        error_set_class(err, ERROR_FILE, EIO, "an option that was given was not heeded");
    if (error_is_set(err))
        return outcome_failed(err);
    return (struct outcome){.kind = OUTCOME_DURABLE};
}

struct outcome outcome_up_to_date(const char *evidence)
{
    assert(evidence && *evidence);
    return (struct outcome){.kind = OUTCOME_UP_TO_DATE, .evidence = evidence};
}

struct outcome outcome_believed(const char *why)
{
    struct outcome outcome = outcome_up_to_date(why);
    outcome.believed = true;
    return outcome;
}

struct outcome outcome_skipped(const char *why)
{
    assert(why && *why);
    return (struct outcome){.kind = OUTCOME_SKIPPED, .evidence = why};
}

struct outcome outcome_equal(bool complete, uint64_t bytes_differing, struct error *err)
{
    if (bytes_differing > 0)
        error_set_class(err, ERROR_MISMATCH, EBADMSG, "the two differ");
    if (!complete)
        error_set_class(err, ERROR_FILE, EIO, "not every chunk was compared; run it again");
    if (error_is_set(err))
        return outcome_failed(err);
    return (struct outcome){.kind = OUTCOME_EQUAL};
}

struct outcome outcome_dry(const struct error *err)
{
    return (struct outcome){.kind = OUTCOME_DRY, .class = err->class};
}

struct outcome outcome_settle(struct outcome claimed, int result, struct error *err)
{
    bool nothing = claimed.kind == OUTCOME_NONE || claimed.kind == OUTCOME_FAILED;
    if (result == 0 && !error_is_set(err) && !nothing)
        return claimed;
    if (claimed.kind == OUTCOME_DRY && error_is_set(err))
        return outcome_dry(err);
    if (result < 0)
        (void)error_settle(err, result, "failed");
    return outcome_failed(err);
}

/* The only list of successes. */
bool outcome_good(const struct outcome *outcome)
{
    switch (outcome->kind) {
    case OUTCOME_DURABLE:
    case OUTCOME_HANDED_OVER:
    case OUTCOME_UP_TO_DATE:
    case OUTCOME_SKIPPED:
    case OUTCOME_EQUAL:
        return true;
    case OUTCOME_DRY:
        return outcome->class == ERROR_NONE;
    case OUTCOME_NONE:
    case OUTCOME_FAILED:
        break;
    }
    return false;
}

/* Of two good ones the one that claims more for the sum: it is "up to date" or "dry" only when all
 * of it was. */
static unsigned int outcome_weight(const struct outcome *outcome)
{
    static const unsigned char weights[] = {
        [OUTCOME_UP_TO_DATE] = 0, [OUTCOME_SKIPPED] = 1, [OUTCOME_EQUAL] = 2,
        [OUTCOME_DRY] = 3,        [OUTCOME_DURABLE] = 4, [OUTCOME_HANDED_OVER] = 5,
        [OUTCOME_NONE] = 5,       [OUTCOME_FAILED] = 6,
    };
    assert((size_t)outcome->kind < COUNT_OF(weights));
    return outcome_good(outcome) ? weights[outcome->kind]
                                 : COUNT_OF(weights) + (unsigned)outcome->kind;
}

struct outcome outcome_add(struct outcome sum, struct outcome one)
{
    struct outcome worse = outcome_weight(&one) > outcome_weight(&sum) ? one : sum;
    worse.lacking = sum.lacking || one.lacking;
    return worse;
}

const char *outcome_name(enum outcome_kind kind)
{
    static const char *const names[] = {
        [OUTCOME_NONE] = "none",
        [OUTCOME_DURABLE] = "durable",
        [OUTCOME_UP_TO_DATE] = "up to date",
        [OUTCOME_SKIPPED] = "skipped",
        [OUTCOME_EQUAL] = "equal",
        [OUTCOME_DRY] = "dry run",
        [OUTCOME_FAILED] = "failed",
        [OUTCOME_HANDED_OVER] = "handed over",
    };
    assert((size_t)kind < COUNT_OF(names));
    return names[kind];
}
