/* transfer.c - the command that copies: files one after another in a thread of its own, then trees.
 */
#include "haul/cli/transfer.h"

#include "transfer_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/cli/digest_file.h"
#include "haul/cli/output.h"
#include "haul/cli/signals.h"
#include "haul/cli/tree.h"
#include "haul/copy/choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The link is lost, and who has just had his turn, with so many failures before, has told that. It
 * may have ended behind all that was asked for so far: then whoever comes next dials again, or says
 * so, rather than nobody. */
static bool is_over(const struct transfer *transfer, uint32_t failed_before)
{
    return transfer->tally.failed_count > failed_before && copy_broken(transfer->copy);
}

/* Those that are no trees; or the parts of the only one. */
static uint32_t turns_count(const struct transfer *transfer)
{
    uint32_t files = transfer->operands.sources_count - transfer->operands.trees_count;
    return transfer->parts.count > 0 ? transfer->parts.count : files;
}

static const char *source_of(const struct transfer *transfer, uint32_t number)
{
    return transfer->operands.sources[transfer->parts.count > 0 ? 0 : number];
}

/* What the progress is of. The path lives as long as the operands. */
static void show_file(struct transfer *transfer, uint32_t number, const char *path)
{
    const char *slash = strrchr(path, '/');
    atomic_store(&transfer->watch.progress, copy_progress(transfer->copy));
    atomic_store(&transfer->watch.number, number);
    atomic_store(&transfer->watch.name, slash && slash[1] ? slash + 1 : path);
}

/* The next file. false: there is no room now. */
static bool begin_one(struct transfer *transfer)
{
    uint32_t number = transfer->begun_count;
    const char *source = source_of(transfer, number);
    char **target_path = &transfer->target_paths[number % COPY_FILES_MAX];
    ERROR_UNSET(err);
    char *path = operands_target(&transfer->operands, source, &err);
    if (!path) {
        transfer_fail(transfer, &err);
        return false;
    }
    struct copy_part part = {
        .source_path = source,
        .target_path = path,
        .unjournalled =
            transfer->operands.target_empty && !transfer->options->wish.file.journal_path,
        .target_absent = transfer->operands.target_made && transfer->options->wish.dry_run,
        .spelled = transfer->operands.sources_count > 1,
    };
    if (transfer->units)
        units_part(transfer->units, &part);
    if (transfer->parts.count > 0) {
        part.start = transfer->parts.all[number].start;
        part.end = transfer->parts.all[number].end;
    }
    bool begun = transfer->verify ? copy_begin(transfer->copy, true, source, path)
                                  : copy_begin_part(transfer->copy, &part);
    if (!begun) {
        free(path);
        return false;
    }
    free(*target_path);
    *target_path = path;
    transfer->begun_count++;
    return true;
}

static void collect_one(struct transfer *transfer, uint32_t number)
{
    struct receipt one;
    ERROR_UNSET(err);
    copy_collect(transfer->copy, &one, &err);
    if (transfer->left && outcome_good(&one.outcome))
        transfer->left[number] = copy_leaves(transfer->copy);
    transfer_ended(transfer, &one.outcome, &err);
    transfer->skipped |= one.skipped;
    if (one.skipped) /* as cp and rsync do it: with a message */
        return;
    if (transfer->proof)
        proof_file(transfer->proof, &one);
    if (transfer_plans(transfer) && outcome_good(&one.outcome) &&
        units_plan_file(transfer->units, transfer->copy, &one, &err) < 0)
        transfer_fail(transfer, &err);
    transfer_print_changes(transfer, &one);
    if (!transfer_is_single(transfer)) {
        transfer_print_one(transfer, &one, &err);
        if (!outcome_good(&one.outcome)) {
            receipt_add_wire(&transfer->sum, &one);
            return;
        }
        receipt_add(&transfer->sum, &one);
        transfer->tally.skipped_count += receipt_skipped(&one);
        transfer->tally.up_to_date_count += receipt_up_to_date(&one);
        transfer->tally.bytes_up_to_date += receipt_up_to_date(&one) ? one.bytes_kept : 0;
        return;
    }
    transfer->sum = one;
}

/* ---- trees ---- */

/* What came of it, or of a part of it. */
static void add_tree(struct transfer *transfer, struct outcome outcome)
{
    transfer->outcome = transfer->tree_begun ? outcome_add(transfer->outcome, outcome) : outcome;
    transfer->tree_begun = true;
}

static void tree_event(struct transfer *transfer, const struct tour_event *event,
                       const struct receipt *receipt)
{
    ERROR_UNSET(err);
    bool failed = event->kind == TOUR_FAILED ||
                  (event->kind == TOUR_FILE && !outcome_good(&receipt->outcome));
    tree_print(transfer->options, event, receipt);
    if (transfer_plans(transfer) && units_plan_event(transfer->units, event, receipt, &err) < 0)
        transfer_fail(transfer, &err);
    error_clear(&err);
    transfer->held_back += event->held_back;
    if (transfer->proof && event->kind == TOUR_FILE)
        proof_file(transfer->proof, receipt);
    if (failed) {
        err = *event->error;
        if (event->kind == TOUR_FILE)
            receipt_add_wire(&transfer->sum, receipt);
        transfer->vanished_count += err.class == ERROR_VANISHED;
        transfer_fail(transfer, &err);
        return;
    }
    transfer->tally.made_count += event->kind == TOUR_MADE && event->made != JOB_UNCHANGED;
    transfer->tally.removed_count += event->kind == TOUR_REMOVED;
    if (event->kind != TOUR_FILE && event->kind != TOUR_OVER)
        return;
    if (event->kind == TOUR_FILE && receipt_up_to_date(receipt)) {
        transfer->tally.up_to_date_count++;
        transfer->tally.bytes_up_to_date += receipt->bytes_kept;
    }
    if (outcome_good(&receipt->outcome))
        receipt_add(&transfer->sum, receipt);
    add_tree(transfer, receipt->outcome);
}

static void copy_tree(struct transfer *transfer, struct trees *trees, uint32_t at)
{
    /* What only vanished while a tree was walked is missing nowhere. */
    bool broken = transfer->tally.failed_count > transfer->vanished_count;
    struct tour_event event = {.kind = TOUR_OVER};
    struct receipt receipt;
    ERROR_UNSET(err);
    transfer->tree_begun |= transfer->ended_count > 0 || transfer->tally.failed_count > 0;
    int begun = trees_begin(trees, at, broken, &err);
    if (begun > 0 && transfer_plans(transfer) &&
        units_plan_tree(transfer->units, trees->sources[at].root.path,
                        transfer->operands.target.path, &err) < 0)
        begun = -EIO;
    if (begun < 0) {
        transfer_fail(transfer, &err);
    } else if (begun == 0) {
        add_tree(transfer, outcome_skipped("there is no such target (--existing)"));
    } else {
        atomic_store(&transfer->watch.progress, copy_progress(transfer->copy));
        do {
            copy_tour_next(transfer->copy, &event, &receipt);
            tree_event(transfer, &event, &receipt);
        } while (event.kind != TOUR_OVER);
    }
    transfer->interrupted |= atomic_load(&transfer->watch.control.stop);
    transfer->ended_count++;
}

/* --remove-source-files: trees come later, and do not write over what was named. */
static void keep_files(struct transfer *transfer, const struct trees *trees)
{
    for (uint32_t i = 0; transfer->left && i < turns_count(transfer); i++) {
        struct copy_left *left = &transfer->left[i];
        ERROR_UNSET(err);
        if ((left->kind != OUTCOME_DURABLE && left->kind != OUTCOME_UP_TO_DATE) ||
            copy_will_leave(transfer->copy, trees->sources[i].name, i, &err) == 0)
            continue;
        left->kind = OUTCOME_SKIPPED;
        transfer_fail(transfer, &err);
    }
}

static void copy_trees(struct transfer *transfer)
{
    const struct operands *operands = &transfer->operands;
    uint32_t first = operands->sources_count - operands->trees_count;
    struct trees trees;
    ERROR_UNSET(err);
    int result = trees_open(&trees, transfer->copy, operands, &transfer->options->wish, &err);
    if (result < 0)
        transfer_fail(transfer, &err);
    else if (operands->trees_count > 0)
        keep_files(transfer, &trees);
    for (uint32_t i = first; result == 0 && i < operands->sources_count; i++) {
        uint32_t failed_before = transfer->tally.failed_count;
        if (transfer->interrupted)
            break;
        show_file(transfer, i + 1, operands->sources[i]);
        copy_tree(transfer, &trees, i);
        if (is_over(transfer, failed_before))
            break;
    }
    trees_close(&trees);
    if (transfer->held_back == 0)
        return;
    error_clear(&err);
    error_set_class(&err, ERROR_HELD_BACK, EDQUOT,
                    "--max-delete=%u: at least %llu more names of the target, which the source "
                    "has not, stay",
                    transfer->options->wish.tour.max_delete,
                    (unsigned long long)transfer->held_back);
    log_warning("%s", err.text);
    (void)error_take(&transfer->err, &err);
}

/* Against a manifest there is no source. */
static void verify_manifest(struct transfer *transfer)
{
    ERROR_UNSET(err);
    show_file(transfer, 1, transfer->operands.target.path);
    (void)copy_begin(transfer->copy, true, NULL, transfer->operands.target.path);
    copy_collect(transfer->copy, &transfer->sum, &err);
    transfer_ended(transfer, &transfer->sum.outcome, &err);
}

/* A signal may have come when the last chunk of what was begun was already done. */
static void begin_more(struct transfer *transfer)
{
    while (transfer->begun_count < turns_count(transfer)) {
        bool stop = atomic_load(&transfer->watch.control.stop);
        transfer->interrupted |= stop && transfer->begun_count > 0;
        if (transfer->interrupted || copy_is_full(transfer->copy) || !begin_one(transfer))
            break;
    }
}

static bool leaves_open(struct transfer *transfer, struct error *err)
{
    const struct copy_wish *wish = &transfer->options->wish;
    uint32_t count = turns_count(transfer);
    if (!wish->tour.remove_source || count == 0)
        return true;
    transfer->left = calloc(count, sizeof(*transfer->left));
    if (!transfer->left)
        error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    return transfer->left;
}

/* --remove-source-files, of files that are no names of a tree, once all of them are there. */
static void leave_sources(struct transfer *transfer)
{
    for (uint32_t i = 0; transfer->left && i < turns_count(transfer); i++) {
        ERROR_UNSET(err);
        uint32_t failed_before = transfer->tally.failed_count;
        const char *source = source_of(transfer, i);
        AUTO_FREE char *target = operands_target(&transfer->operands, source, &err);
        if (transfer->left[i].kind == OUTCOME_NONE) /* it has failed */
            continue;
        transfer->interrupted |= atomic_load(&transfer->watch.control.stop);
        if (transfer->interrupted)
            return;
        if (target)
            (void)copy_leave(transfer->copy, &transfer->left[i], source, target, &err);
        if (error_is_set(&err))
            transfer_fail(transfer, &err);
        if (is_over(transfer, failed_before))
            return;
    }
}

/* In the thread of the copy. */
static void copy_all(void *argument)
{
    struct transfer *transfer = argument;
    ERROR_UNSET(err);
    if (transfer_open(transfer, &err) < 0 ||
        (transfer->units && units_begin(transfer->units, transfer->copy, &err) < 0) ||
        !leaves_open(transfer, &err)) {
        transfer_fail(transfer, &err);
        return;
    }
    transfer->begun = true;
    if (transfer->operands.sources_count == 0)
        verify_manifest(transfer);
    transfer->started_ns = clock_now_ns();
    bool over = false;
    for (uint32_t i = 0; !over && i < turns_count(transfer); i++) {
        uint32_t failed_before = transfer->tally.failed_count;
        begin_more(transfer);
        if (i == transfer->begun_count)
            break;
        show_file(transfer, i + 1, source_of(transfer, i));
        collect_one(transfer, i);
        over = is_over(transfer, failed_before);
    }
    if (!over)
        copy_trees(transfer);
    leave_sources(transfer);
    if (transfer->units && transfer->tally.failed_count == 0 && !transfer->interrupted &&
        units_end(transfer->units, transfer->copy, &err) < 0)
        transfer_fail(transfer, &err);
    if (!transfer_is_single(transfer)) /* beside each other */
        transfer->sum.duration_ns = clock_now_ns() - transfer->started_ns;
}

/* Run the copy beside the watch; both are over when this returns. */
static int run(struct transfer *transfer, struct error *err)
{
    transfer->watch.count = transfer_files_count(transfer);
    transfer->watch.asks = transfer_any_remote(&transfer->operands);
    return watch_run(&transfer->watch, copy_all, transfer, err);
}

/* It is durable: so is the list. */
static void write_digest(struct transfer *transfer)
{
    ERROR_UNSET(err);
    const struct copy_wish *wish = &transfer->options->wish;
    const struct receipt *sum = &transfer->sum;
    if (wish->digest_path && sum->whole_text[0] && outcome_good(&sum->outcome) &&
        digest_file_write(wish->digest_path, sum->whole_text, sum->target_path, &err) < 0)
        transfer_fail(transfer, &err);
}

static int transfer_run(struct transfer *transfer, const struct options *given)
{
    struct options own = *given, *options = &own;
    ERROR_UNSET(err);
    transfer->options = options;
    receipt_init(&transfer->sum);
    transfer->sum.dry_run = options->wish.dry_run;
    transfer->sum.source_path = options->operands_count == 2 ? options->operands[0] : NULL;
    transfer->sum.target_path = options->operands[options->operands_count - 1];
    transfer->watch.writes = !transfer->verify && !options->wish.dry_run;
    transfer->watch.json = options->json;
    transfer->watch.style = watch_choose(options->json, options->quiet, options->progress);
    log_init(options_log_level(options),
             transfer->watch.style == WATCH_BAR ? output_log_bar : output_log);
    log_init_range(options->json ? receipt_json_range : NULL);
    own.quiet |= transfer_plans(transfer); /* standard output is the plan */
    int rc = transfer_resolve(transfer, &own, &err);
    if (rc == 0) {
        transfer_name_sides(transfer);
        rc = run(transfer, &err);
    }
    if (rc < 0)
        transfer_fail(transfer, &err);
    else
        write_digest(transfer);
    int code = transfer_code(transfer);
    if (transfer->proof)
        code = transfer_end_proof(transfer, code);
    if (transfer->units)
        code = transfer_end_units(transfer, code);
    transfer_print_end(transfer, code);
    if (transfer_any_remote(&transfer->operands)) {
        fflush(stdout);
        signals_release(code);
    }
    copy_close(transfer->copy);
    operands_close(&transfer->operands);
    rules_close(transfer->rules);
    if (transfer->names)
        names_close(transfer->names);
    parts_close(&transfer->parts);
    for (size_t i = 0; i < COUNT_OF(transfer->target_paths); i++)
        free(transfer->target_paths[i]);
    free(transfer->left);
    return code;
}

int transfer_command(const struct options *options)
{
    struct transfer transfer = {.verify = false};
    return transfer_run(&transfer, options);
}

int transfer_units(const struct options *options, struct units *units)
{
    struct transfer transfer = {.units = units};
    return transfer_run(&transfer, options);
}

int transfer_prove(const struct options *options)
{
    struct transfer transfer = {.verify = false};
    struct options rest = options_rest(options);
    const struct job_wish *wish = &options->wish.file;
    struct proof proof;
    ERROR_UNSET(err);
    /* Who counts is in our cgroup, too. */
    const char *against = options->wish.dry_run      ? ": leave out --dry-run"
                          : options->wish.own_cgroup ? ": leave out --own-cgroup"
                                                     : NULL;
    if (rest.operands_count < 2 || against) {
        error_usage(&err, "prove copies a SOURCE to a TARGET%s", against ? against : "");
        return receipt_refused(options->json, &err);
    }
    proof_open(&proof, wish->cache_max_set ? wish->cache_max_bytes : NUM_UNKNOWN);
    transfer.proof = &proof;
    return transfer_run(&transfer, &rest);
}

int transfer_verify(const struct options *options)
{
    struct transfer transfer = {.verify = true};
    struct options rest = options_rest(options);
    ERROR_UNSET(err);
    uint32_t wanted = options->wish.manifest_path ? 1 : 2;
    rest.wish.tour = (struct tour_wish){.recursive = false}; /* files only */
    if (rest.operands_count != wanted)
        error_usage(&err, "verify compares %s",
                    wanted == 1 ? "one TARGET with --manifest=FILE" : "a SOURCE with a TARGET");
    else if (options->ranges.count > 0 || options->ranges_from)
        error_usage(&err, "verify compares whole files: leave out --range and --ranges-from");
    else if (choice_any(&options->wish.choice) || options->filters_count > 0 ||
             options->files_from || options->wish.base_path ||
             options->wish.file.read_errors != READ_ERRORS_STOP)
        error_usage(&err, "verify compares what it is given: leave out --update, --existing, "
                          "--ignore-existing, --size-only, --max-size, --min-size, "
                          "--read-errors, --base-manifest, --files-from and filter rules");
    else if (options->wish.digest_path || options->wish.tour.delete ||
             options->wish.tour.remove_source || options->wish.file.reflink == REFLINK_ALWAYS)
        error_usage(&err, "verify writes and removes nothing: leave out --digest-file, --delete, "
                          "--remove-source-files and --reflink=always");
    return error_is_set(&err) ? receipt_refused(options->json, &err)
                              : transfer_run(&transfer, &rest);
}
