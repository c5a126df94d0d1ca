/* transfer.c - the command that copies: files one after another in a thread of its own, and what is
 * said about them. */
#include "haul/cli/transfer.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/digest_file.h"
#include "haul/cli/exit.h"
#include "haul/cli/lines.h"
#include "haul/cli/list.h"
#include "haul/cli/operands.h"
#include "haul/cli/output.h"
#include "haul/cli/parts.h"
#include "haul/cli/prove.h"
#include "haul/cli/receipt.h"
#include "haul/cli/reserve.h"
#include "haul/cli/signals.h"
#include "haul/cli/tree.h"
#include "haul/cli/units.h"
#include "haul/cli/watch.h"
#include "haul/copy/choice.h"
#include "haul/copy/copy.h"
#include "haul/copy/expand.h"
#include "haul/disk/node.h"
#include "haul/disk/pipe.h"
#include "haul/disk/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static bool single(const struct transfer *transfer)
{
    return transfer->operands.sources_count <= 1 && transfer->operands.trees_count == 0 &&
           transfer->parts.count <= 1;
}

/* One line for each failure; the first is what the whole run failed with. */
static void fail(struct transfer *transfer, struct error *err)
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

/* The link is lost, and who has just had his turn, with so many failures before, has told that. It
 * may have ended behind all that was asked for so far: then whoever comes next dials again, or says
 * so, rather than nobody. */
static bool is_over(const struct transfer *transfer, uint32_t failed_before)
{
    return transfer->tally.failed_count > failed_before && copy_broken(transfer->copy);
}

/* A file has had its turn. Whatever is no success is told, and counts, as a failure. */
static void ended(struct transfer *transfer, const struct outcome *outcome, struct error *err)
{
    bool first = transfer->ended_count++ == 0 && transfer->tally.failed_count == 0;
    if (!outcome_good(outcome))
        fail(transfer, err);
    else
        transfer->outcome = first ? *outcome : outcome_add(transfer->outcome, *outcome);
}

static uint32_t files_count(const struct transfer *transfer)
{
    /* Against a manifest there is only the target. */
    return (uint32_t)max_u64(max_u64(transfer->operands.sources_count, transfer->parts.count), 1);
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

/* 0 only by the outcome of every file that was named. */
static int transfer_code(struct transfer *transfer)
{
    if (transfer->interrupted)
        return EXIT_CODE_INTERRUPTED;
    if (transfer->skipped)
        return EXIT_CODE_PARTIAL;
    bool all = transfer->ended_count == files_count(transfer);
    if (transfer->tally.failed_count == 0 && all) {
        int code = exit_of_outcome(&transfer->outcome);
        return code == EXIT_CODE_DONE && transfer->held_back > 0 ? exit_code(ERROR_HELD_BACK)
                                                                 : code;
    }
    /* Of a tree, as rsync: that something went away meanwhile is less than a failure. */
    if (transfer->vanished_count > 0 && transfer->vanished_count == transfer->tally.failed_count &&
        all)
        return exit_code(ERROR_VANISHED);
    bool whole = single(transfer) || !transfer->begun || copy_broken(transfer->copy);
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

/* Each of several files has its own account as soon as it is known. */
static void print_one(const struct transfer *transfer, const struct receipt *receipt,
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

/* What the progress is of. The path lives as long as the operands. */
static void show_file(struct transfer *transfer, uint32_t number, const char *path)
{
    const char *slash = strrchr(path, '/');
    atomic_store(&transfer->watch.progress, copy_progress(transfer->copy));
    atomic_store(&transfer->watch.number, number);
    atomic_store(&transfer->watch.name, slash && slash[1] ? slash + 1 : path);
}

/* --itemize-changes: in front of the receipt, as rsync's line is in front of its totals. */
static void print_changes(const struct transfer *transfer, const struct receipt *receipt)
{
    const struct options *options = transfer->options;
    if (!options->itemize || options->json || options->quiet || !outcome_good(&receipt->outcome))
        return;
    output_begin(transfer->watch.style == WATCH_BAR);
    receipt_words_changes(stdout, receipt);
    output_end();
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
        fail(transfer, &err);
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

static bool plans(const struct transfer *transfer)
{
    return transfer->units && transfer->units->task == UNITS_PLAN;
}

static void collect_one(struct transfer *transfer, uint32_t number)
{
    struct receipt one;
    ERROR_UNSET(err);
    copy_collect(transfer->copy, &one, &err);
    if (transfer->left && outcome_good(&one.outcome))
        transfer->left[number] = copy_leaves(transfer->copy);
    ended(transfer, &one.outcome, &err);
    transfer->skipped |= one.skipped;
    if (one.skipped) /* as cp and rsync do it: with a message */
        return;
    if (transfer->proof)
        proof_file(transfer->proof, &one);
    if (plans(transfer) && outcome_good(&one.outcome) &&
        units_plan_file(transfer->units, transfer->copy, &one, &err) < 0)
        fail(transfer, &err);
    print_changes(transfer, &one);
    if (!single(transfer)) {
        print_one(transfer, &one, &err);
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
    if (plans(transfer) && units_plan_event(transfer->units, event, receipt, &err) < 0)
        fail(transfer, &err);
    error_clear(&err);
    transfer->held_back += event->held_back;
    if (transfer->proof && event->kind == TOUR_FILE)
        proof_file(transfer->proof, receipt);
    if (failed) {
        err = *event->error;
        if (event->kind == TOUR_FILE)
            receipt_add_wire(&transfer->sum, receipt);
        transfer->vanished_count += err.class == ERROR_VANISHED;
        fail(transfer, &err);
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
    if (begun > 0 && plans(transfer) &&
        units_plan_tree(transfer->units, trees->sources[at].root.path,
                        transfer->operands.target.path, &err) < 0)
        begun = -EIO;
    if (begun < 0) {
        fail(transfer, &err);
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

/* Each is a file about one copy; the next copy would take its place. NULL: there is none. */
static const char *about_one(const struct copy_wish *wish)
{
    return wish->manifest_path       ? "--manifest"
           : wish->base_path         ? "--base-manifest"
           : wish->digest_path       ? "--digest-file"
           : wish->file.journal_path ? "--journal"
                                     : NULL;
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
        fail(transfer, &err);
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
        fail(transfer, &err);
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
    ended(transfer, &transfer->sum.outcome, &err);
}

static int refuse_of_several(const struct operands *operands, const struct copy_wish *wish,
                             struct error *err)
{
    const char *given = about_one(wish);
    if (wish->tour.names && operands->sources_count > 1)
        return error_usage(err,
                           "--files-from names what is beneath one folder, and there are %u "
                           "sources",
                           operands->sources_count);
    if (given && operands->trees_count > 0)
        return error_usage(err, "%s: is a folder, and %s is about one file",
                           operands->sources[operands->sources_count - 1], given);
    if (!given || operands->sources_count <= 1)
        return 0;
    return error_usage(err, "%s is about one file, and there are %u sources: copy them one by one",
                       given, operands->sources_count);
}

/* What several sources may not have. */
static int refuse_expanded(struct transfer *transfer, int found, struct error *err)
{
    struct operands *operands = &transfer->operands;
    int rc = refuse_of_several(operands, &transfer->options->wish, err);
    if (rc == 0 && operands->target_is_file)
        rc = error_usage(err, "-T takes one source and one target, and there are several sources");
    if (rc == 0)
        rc = operands_refuse_twins(operands, err);
    return rc < 0 ? rc : found;
}

/* Whether the files go inside is known on the target's machine only. */
static int settle_there(struct transfer *transfer, int expanded, struct error *err)
{
    struct operands *operands = &transfer->operands;
    struct facts facts;
    bool there = operands->target.kind == ADDRESS_REMOTE;
    int rc = 0;
    if (there)
        rc = copy_describe(transfer->copy, true, operands->target.path, &facts, err);
    else if (expanded > 0 && operands->target.kind == ADDRESS_LOCAL)
        rc = file_describe(operands->target.path, &facts, err);
    else
        return 0;
    if (there && rc == 0)
        operands->target_facts = facts;
    return rc < 0 ? rc : operands_settle(operands, &facts, err);
}

/* Another machine's shell would have expanded them; only it knows what is there. How many were
 * found in place of patterns. */
static int expand_there(struct transfer *transfer, struct error *err)
{
    struct operands *operands = &transfer->operands;
    int found = 0;
    if (operands->source.kind != ADDRESS_REMOTE || transfer->verify)
        return 0;
    for (uint32_t i = 0; i < operands->sources_count && found >= 0; i++) {
        struct expanded expanded = {.paths = NULL};
        struct facts facts = {.kind = FILE_NONE};
        ERROR_UNSET(ignored);
        const char *source = operands->sources[i];
        if (!expand_is_pattern(source) ||
            (copy_describe(transfer->copy, false, source, &facts, &ignored) == 0 &&
             facts.kind != FILE_NONE))
            continue;
        int rc = expand_source(transfer->copy, source, &expanded, err);
        uint32_t count = expanded.count;
        if (rc == 0 && count > 0)
            rc = operands_replace(operands, i, expanded.paths, count, err);
        expanded_free(&expanded);
        found = rc < 0 ? rc : found + (int)count;
        i += rc == 0 && count > 0 ? count - 1 : 0;
    }
    if (found > 0 && operands->sources_count > 1)
        found = refuse_expanded(transfer, found, err);
    return found;
}

/* The folder that files go into, as rsync makes it for several of them with -r; with --mkpath the
 * folders of the only one, too. */
static int make_target(struct transfer *transfer, struct error *err)
{
    struct operands *operands = &transfer->operands;
    const struct copy_wish *wish = &transfer->options->wish;
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *name = NULL;
    const char *path = operands->target.path;
    struct facts facts;
    if (!operands->target_missing || operands->sources_count == operands->trees_count ||
        wish->choice.existing) /* then none of them is copied, either */
        return 0;
    if (!operands->target_folder && !wish->tour.mkpath)
        return 0;
    if (!text_split_path(path, &folder, &name))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    int rc = copy_make_folder(transfer->copy, operands->target_folder ? path : folder,
                              wish->tour.mkpath, &facts, err);
    operands->target_made = rc > 0;
    return rc < 0 ? rc : 0;
}

/* Or there may be: another machine has to say what a pattern stands for. */
static bool there_are_many(const struct operands *operands)
{
    bool many = operands->sources_count > 1 || operands->trees;
    for (uint32_t i = 0; i < operands->sources_count && !many; i++)
        many = operands->source.kind == ADDRESS_REMOTE && expand_is_pattern(operands->sources[i]);
    return many;
}

/* Only the machine of a source knows that it is a folder. */
static int find_trees_there(struct transfer *transfer, struct copy *copy, struct error *err)
{
    struct operands *operands = &transfer->operands;
    const struct options *options = transfer->options;
    int rc = trees_find(operands, &options->wish, copy, err);
    if (rc == 0)
        rc = refuse_of_several(operands, &options->wish, err);
    return rc < 0 ? rc : parts_refuse(&transfer->parts, options, operands, err);
}

/* The logins, for a remote side; from then on there is progress to watch. */
static int open_all(struct transfer *transfer, struct error *err)
{
    struct operands *operands = &transfer->operands;
    const struct address *source = operands->sources_count > 0 ? &operands->source : NULL;
    struct copy *copy = NULL;
    struct copy_wish wish = transfer->options->wish;
    wish.many = there_are_many(operands);
    wish.alone = !wish.many && transfer->parts.count <= 1 && !transfer->units;
    int rc = copy_open(&copy, &wish, source, &operands->target, &transfer->watch.control, err);
    if (rc < 0)
        return rc;
    transfer->copy = copy;
    atomic_store(&transfer->watch.progress, copy_progress(copy));
    int expanded = rc = expand_there(transfer, err);
    if (rc >= 0)
        rc = settle_there(transfer, expanded, err);
    if (rc == 0 && operands->source.kind == ADDRESS_REMOTE)
        rc = find_trees_there(transfer, copy, err);
    if (rc == 0)
        rc = make_target(transfer, err);
    operands->target_empty = operands->target_folder && operands->target.kind == ADDRESS_LOCAL &&
                             node_folder_is_empty(AT_FDCWD, operands->target.path) == 0;
    return rc < 0 ? rc
                  : reserve_paths(copy, &transfer->operands, &transfer->options->wish,
                                  transfer->verify, err);
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
            fail(transfer, &err);
        if (is_over(transfer, failed_before))
            return;
    }
}

/* In the thread of the copy. */
static void copy_all(void *argument)
{
    struct transfer *transfer = argument;
    ERROR_UNSET(err);
    if (open_all(transfer, &err) < 0 ||
        (transfer->units && units_begin(transfer->units, transfer->copy, &err) < 0) ||
        !leaves_open(transfer, &err)) {
        fail(transfer, &err);
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
        fail(transfer, &err);
    if (!single(transfer)) /* beside each other */
        transfer->sum.duration_ns = clock_now_ns() - transfer->started_ns;
}

static bool any_remote(const struct operands *operands)
{
    return operands->source.kind == ADDRESS_REMOTE || operands->target.kind == ADDRESS_REMOTE;
}

/* Run the copy beside the watch; both are over when this returns. */
static int run(struct transfer *transfer, struct error *err)
{
    transfer->watch.count = files_count(transfer);
    transfer->watch.asks = any_remote(&transfer->operands);
    return watch_run(&transfer->watch, copy_all, transfer, err);
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
    if (transfer->verify || plans(transfer) || !transfer->copy || !rest)
        return;
    if (receipt->piped) {
        log_note("a pipe cannot be gone on with: the same command begins again");
        return;
    }
    if (!single(transfer) || receipt->bytes_total == NUM_UNKNOWN || bytes == 0)
        log_note("the same command again copies the rest");
    else
        log_note("the same command again goes on: %s of %s are there", text_size(there, bytes),
                 text_size(total, receipt->bytes_total));
}

/* The names that a receipt carries: paths on their machines, and those. */
static void name_sides(struct transfer *transfer)
{
    const struct operands *operands = &transfer->operands;
    struct receipt *sum = &transfer->sum;
    sum->source_path = operands->sources_count == 1 ? operands->sources[0] : NULL;
    sum->source_host = operands_host(&operands->source);
    sum->target_path = operands->target.path;
    sum->target_host = operands_host(&operands->target);
}

/* What has entered the page cache, in front of the receipt. The code of the process: a copy that
 * was not kept out is durable all the same. */
static int end_proof(struct transfer *transfer, int code)
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

/* What of it is written down: only what is done. */
static int end_units(struct transfer *transfer, int code)
{
    ERROR_UNSET(err);
    bool complete = transfer->begun && !transfer->interrupted && !copy_broken(transfer->copy);
    bool done = code == EXIT_CODE_DONE || code == exit_code(ERROR_VANISHED);
    int result = 0;
    if (plans(transfer) && complete)
        result = units_plan_end(transfer->units, &err);
    else if (!plans(transfer) && done && !transfer->options->wish.dry_run)
        result = units_write(transfer->units, &transfer->sum, &err);
    if (result == 0)
        return code;
    fail(transfer, &err);
    return transfer_code(transfer);
}

/* The last words: the receipt of the run. */
static void print_end(struct transfer *transfer, int code)
{
    const struct options *options = transfer->options;
    struct receipt *sum = &transfer->sum;
    bool failed = transfer->tally.failed_count > 0;
    if (!single(transfer) && transfer->copy)
        name_sides(transfer);
    /* In words the failures of several have been told, and the sum is of the rest. */
    bool begun = single(transfer) && sum->outcome.kind != OUTCOME_NONE;
    if (failed && !begun && (single(transfer) || options->json))
        sum->outcome = transfer->outcome;
    print_resume(transfer, code);
    if (options->json)
        receipt_json(stdout, sum, "receipt", code, error_words(&sum->outcome, &transfer->err));
    else if (single(transfer) && !failed)
        print_receipt(transfer, sum);
    else if (!single(transfer) && transfer->begun && !options->quiet)
        receipt_words_sum(stdout, sum, &transfer->tally, options->stats || options->verbose > 0);
}

/* What is for files of this machine. The manifest's chunks are listed by the target's side, which
 * is not where the manifest is; only files of one machine can share blocks, and only here haul sees
 * both; what the target has already is not sent, so neither of two other machines' would come here.
 */
static int refuse_there(const struct operands *operands, const struct copy_wish *wish,
                        struct error *err)
{
    bool target_there = operands->target.kind == ADDRESS_REMOTE;
    if (operands->sources_count == 0 && target_there)
        return error_usage(err,
                           "verify --manifest compares files of this machine so far: run it on %s",
                           operands->target.host);
    if (wish->file.reflink == REFLINK_ALWAYS && any_remote(operands))
        return error_usage(err, "--reflink=always is for files of this machine; --reflink=auto "
                                "copies where that cannot be");
    if (wish->digest_path && operands->source.kind == ADDRESS_REMOTE && target_there)
        return error_usage(err,
                           "--digest-file digests the bytes here, and these do not come here: "
                           "run it on %s",
                           operands->target.host);
    return 0;
}

/* It is durable: so is the list. */
static void write_digest(struct transfer *transfer)
{
    ERROR_UNSET(err);
    const struct copy_wish *wish = &transfer->options->wish;
    const struct receipt *sum = &transfer->sum;
    if (wish->digest_path && sum->whole_text[0] && outcome_good(&sum->outcome) &&
        digest_file_write(wish->digest_path, sum->whole_text, sum->target_path, &err) < 0)
        fail(transfer, &err);
}

static int look_at_source(const char *source, struct error *err)
{
    struct facts facts;
    int rc = file_describe(source, &facts, err);
    if (rc < 0)
        return rc;
    if (facts.kind == FILE_NONE)
        return error_set_class(err, ERROR_VANISHED, ENOENT, "%s: there is no such file", source);
    if (facts.kind == FILE_FOLDER)
        return error_set_class(err, ERROR_FILE, EISDIR,
                               "%s: skipped, it is a folder (-r copies it)", source);
    if (pipe_is_kind(facts.kind)) /* one that was handed to us is opened in another way */
        return 0;
    return access(source, R_OK) == 0 ? 0 : error_set(err, errno, "%s: cannot be opened", source);
}

/* The last of them fails with the words of its own; those before it are told. */
static int look_at_sources(struct transfer *transfer, struct error *err)
{
    const struct operands *operands = &transfer->operands;
    struct error each;
    if (operands->trees_count > 0)
        return 0;
    for (uint32_t i = 0; i < operands->sources_count; i++) {
        each.class = ERROR_NONE;
        if (look_at_source(operands->sources[i], &each) == 0)
            return 0;
    }
    for (uint32_t i = 0; i + 1 < operands->sources_count; i++) {
        each.class = ERROR_NONE;
        look_at_source(operands->sources[i], &each);
        fail(transfer, &each);
    }
    return look_at_source(operands->sources[operands->sources_count - 1], err);
}

static int look_at_target(struct transfer *transfer, struct error *err)
{
    const struct copy_wish *wish = &transfer->options->wish;
    const struct probe_wish probe = {.write_devices = wish->file.write_devices};
    if (transfer->operands.trees) /* what is there may have to be made first */
        return 0;
    AUTO_FREE char *target =
        operands_target(&transfer->operands, transfer->operands.sources[0], err);
    if (!target)
        return -ENOMEM;
    return transfer->verify ? look_at_source(target, err) : probe_target(NULL, target, &probe, err);
}

/* Before anybody is called: may there be anything to do? Of several sources one that is right is
 * enough. */
static int look_here(struct transfer *transfer, struct error *err)
{
    const struct operands *operands = &transfer->operands;
    bool source_here = operands->source.kind == ADDRESS_LOCAL;
    bool target_here = operands->target.kind == ADDRESS_LOCAL;
    if (operands->sources_count == operands->trees_count || source_here == target_here ||
        transfer->units) /* which look by themselves, and make the way to it */
        return 0;
    return source_here ? look_at_sources(transfer, err) : look_at_target(transfer, err);
}

/* What was read as a list cannot be copied, too: nothing is left of it. */
static int refuse_read_input(const struct options *options, struct error *err)
{
    for (uint32_t i = 0; lines_took_input() && i + 1 < options->operands_count; i++) {
        const char *source = options->operands[i];
        if (strcmp(source, "-") == 0 || pipe_descriptor(source) == STDIN_FILENO)
            return error_usage(err,
                               "%s: standard input was read as a list, so it cannot be a "
                               "source, too",
                               source);
    }
    return 0;
}

/* Ranges, rules, names. */
static int read_lists(struct transfer *transfer, struct options *own, struct error *err)
{
    struct tour_wish *wish = &own->wish.tour;
    int result = parts_read(&transfer->parts, own, err);
    if (result == 0)
        result = filter_read(&transfer->rules, own->filters, own->filters_count,
                             wish->delete_excluded, own->from_zeros, err);
    wish->rules = transfer->rules;
    if (result == 0 && own->files_from)
        result = list_read(&transfer->names, own->files_from, own->from_zeros, err);
    wish->names = transfer->names;
    return result < 0 ? result : refuse_read_input(own, err);
}

/* What is to be copied, and whether that can be wished. */
static int resolve_all(struct transfer *transfer, struct options *own, struct error *err)
{
    struct operands *operands = &transfer->operands;
    int rc = operands_resolve(operands, own, err);
    if (rc == 0)
        rc = read_lists(transfer, own, err);
    if (rc == 0 && transfer->units)
        rc = units_place(transfer->units, operands, &own->wish, err);
    own->wish.base_absent = own->wish.base_path && access(own->wish.base_path, F_OK) != 0;
    if (operands->source_bytes > 0)
        own->wish.file.size_bytes = operands->source_bytes;
    if (rc == 0)
        rc = refuse_there(operands, &own->wish, err);
    if (rc == 0)
        rc = trees_find(operands, &own->wish, NULL, err);
    if (rc == 0)
        rc = refuse_of_several(operands, &own->wish, err);
    if (rc == 0)
        rc = parts_refuse(&transfer->parts, own, operands, err);
    if (rc == 0)
        rc = look_here(transfer, err);
    if (rc == 0 && any_remote(operands))
        rc = reserve_paths(NULL, operands, &own->wish, transfer->verify, err);
    return rc;
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
    own.quiet |= plans(transfer); /* standard output is the plan */
    int rc = resolve_all(transfer, &own, &err);
    if (rc == 0) {
        name_sides(transfer);
        rc = run(transfer, &err);
    }
    if (rc < 0)
        fail(transfer, &err);
    else
        write_digest(transfer);
    int code = transfer_code(transfer);
    if (transfer->proof)
        code = end_proof(transfer, code);
    if (transfer->units)
        code = end_units(transfer, code);
    print_end(transfer, code);
    if (any_remote(&transfer->operands)) {
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
