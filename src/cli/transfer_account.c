/* transfer_account.c - what a run came to: failures, the exit code, the receipt. */
#include "transfer_state.h"

#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/exit.h"
#include "haul/cli/output.h"
#include "haul/cli/tree.h"

bool transfer_is_single(const struct transfer *transfer)
{
    return transfer->operands.sources_count <= 1 && transfer->operands.trees_count == 0 &&
           transfer->parts.count <= 1;
}

void transfer_fail(struct transfer *transfer, struct error *err)
{
    transfer->outcome = outcome_add(transfer->outcome, outcome_failed(err));
    /* Of those that are interrupted together one is enough. */
    if (err->class != ERROR_INTERRUPTED || !transfer->interrupted)
        log_error("%s", err->text);
    transfer->tally.failed_count++;
    transfer->interrupted |= err->class == ERROR_INTERRUPTED;
    /* A login that a signal has broken off fails in many ways. */
    transfer->interrupted |= !transfer->copy && atomic_load(&transfer->watch.control.stop);
    (void)error_take(&transfer->err, err);
}

void transfer_ended(struct transfer *transfer, const struct outcome *outcome, struct error *err)
{
    bool first = transfer->ended_count++ == 0 && transfer->tally.failed_count == 0;
    if (!outcome_good(outcome))
        transfer_fail(transfer, err);
    else
        transfer->outcome = first ? *outcome : outcome_add(transfer->outcome, *outcome);
}

uint32_t transfer_files_count(const struct transfer *transfer)
{
    /* Against a manifest there is only the target. */
    return (uint32_t)max_u64(max_u64(transfer->operands.sources_count, transfer->parts.count), 1);
}

int transfer_code(struct transfer *transfer)
{
    if (transfer->interrupted)
        return EXIT_CODE_INTERRUPTED;
    if (transfer->skipped)
        return EXIT_CODE_PARTIAL;
    bool all = transfer->ended_count == transfer_files_count(transfer);
    if (transfer->tally.failed_count == 0 && all) {
        int code = exit_of_outcome(&transfer->outcome);
        return code == EXIT_CODE_DONE && transfer->held_back > 0 ? exit_code(ERROR_HELD_BACK)
                                                                 : code;
    }
    /* Of a tree, as rsync: that something went away meanwhile is less than a failure. */
    if (transfer->vanished_count > 0 && transfer->vanished_count == transfer->tally.failed_count &&
        all)
        return exit_code(ERROR_VANISHED);
    bool whole = transfer_is_single(transfer) || !transfer->begun || copy_broken(transfer->copy);
    return whole ? exit_code(transfer->err.class) : EXIT_CODE_PARTIAL;
}

static void print_receipt(const struct transfer *transfer, const struct receipt *receipt)
{
    const struct options *options = transfer->options;
    if (options->quiet)
        return;
    output_begin(transfer->watch.style == WATCH_BAR);
    receipt_words(stdout, receipt, options->stats || options->verbose > 0);
    output_end();
}

/* A copy that is durable and lacks something has words as well. */
static const char *error_words(const struct outcome *outcome, const struct error *err)
{
    if (error_is_set(err))
        return err->text;
    return outcome->lacking ? "some of what was asked for could not be kept" : NULL;
}

void transfer_print_one(const struct transfer *transfer, const struct receipt *receipt,
                        const struct error *err)
{
    bool failed = !outcome_good(&receipt->outcome);
    if (transfer->options->json) {
        receipt_json(stdout, receipt, "file", exit_of_outcome(&receipt->outcome),
                     error_words(&receipt->outcome, err));
        fflush(stdout);
    } else if (!failed) {
        print_receipt(transfer, receipt);
    }
}

void transfer_print_changes(const struct transfer *transfer, const struct receipt *receipt)
{
    const struct options *options = transfer->options;
    if (!options->itemize || options->json || options->quiet || !outcome_good(&receipt->outcome))
        return;
    output_begin(transfer->watch.style == WATCH_BAR);
    receipt_words_changes(stdout, receipt);
    output_end();
}

bool transfer_plans(const struct transfer *transfer)
{
    return transfer->units && transfer->units->task == UNITS_PLAN;
}

/* How to go on, and from where: of a copy that has lost the other side only the last checkpoint is
 * certain. */
static void print_resume(const struct transfer *transfer, int code)
{
    const struct receipt *receipt = &transfer->sum;
    char there[TEXT_NUMBER_BYTES], total[TEXT_NUMBER_BYTES];
    uint64_t bytes = receipt->bytes_durable + receipt->bytes_holes;
    bool lost = transfer->copy && copy_broken(transfer->copy);
    bool rest = code != EXIT_CODE_DONE && (transfer->interrupted || lost);
    if (transfer->verify || transfer_plans(transfer) || !transfer->copy || !rest)
        return;
    if (receipt->piped) {
        log_note("a pipe cannot be gone on with: the same command begins again");
        return;
    }
    if (!transfer_is_single(transfer) || receipt->bytes_total == NUM_UNKNOWN || bytes == 0)
        log_note("the same command again copies the rest");
    else
        log_note("the same command again goes on: %s of %s are there", text_size(there, bytes),
                 text_size(total, receipt->bytes_total));
}

void transfer_name_sides(struct transfer *transfer)
{
    const struct operands *operands = &transfer->operands;
    struct receipt *sum = &transfer->sum;
    sum->source_path = operands->sources_count == 1 ? operands->sources[0] : NULL;
    sum->source_host = operands_host(&operands->source);
    sum->target_path = operands->target.path;
    sum->target_host = operands_host(&operands->target);
}

int transfer_end_proof(struct transfer *transfer, int code)
{
    enum { LINES_MAX = 10 };
    const struct options *options = transfer->options;
    ERROR_UNSET(err);
    int result = proof_end(transfer->proof, options->json,
                           options->verbose > 0 ? UINT32_MAX
                           : options->quiet     ? 0
                                                : LINES_MAX,
                           &err);
    if (!options->quiet || options->json)
        proof_print(transfer->proof, &transfer->sum, options->json);
    if (result == 0)
        return code;
    log_error("%s", err.text);
    (void)error_take(&transfer->err, &err);
    return code != 0 ? code : exit_code(err.class);
}

int transfer_end_units(struct transfer *transfer, int code)
{
    ERROR_UNSET(err);
    bool complete = transfer->begun && !transfer->interrupted && !copy_broken(transfer->copy);
    bool done = code == EXIT_CODE_DONE || code == exit_code(ERROR_VANISHED);
    int result = 0;
    if (transfer_plans(transfer) && complete)
        result = units_plan_end(transfer->units, &err);
    else if (!transfer_plans(transfer) && done && !transfer->options->wish.dry_run)
        result = units_write(transfer->units, &transfer->sum, &err);
    if (result == 0)
        return code;
    transfer_fail(transfer, &err);
    return transfer_code(transfer);
}

void transfer_print_end(struct transfer *transfer, int code)
{
    const struct options *options = transfer->options;
    struct receipt *sum = &transfer->sum;
    bool failed = transfer->tally.failed_count > 0;
    if (!transfer_is_single(transfer) && transfer->copy)
        transfer_name_sides(transfer);
    /* In words the failures of several have been told, and the sum is of the rest. */
    bool begun = transfer_is_single(transfer) && sum->outcome.kind != OUTCOME_NONE;
    if (failed && !begun && (transfer_is_single(transfer) || options->json))
        sum->outcome = transfer->outcome;
    if (transfer->interrupted && !error_is_set(&transfer->err)) /* between two names */
        log_error("%s", exit_text(code));
    print_resume(transfer, code);
    if (options->json)
        receipt_json(stdout, sum, "receipt", code, error_words(&sum->outcome, &transfer->err));
    else if (transfer_is_single(transfer) && !failed)
        print_receipt(transfer, sum);
    else if (!transfer_is_single(transfer) && transfer->begun && !options->quiet)
        receipt_words_sum(stdout, sum, &transfer->tally, options->stats || options->verbose > 0);
}
