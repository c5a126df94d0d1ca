/* planning.c - plans: made, run a unit at a time, finished. */
#include "haul/cli/planning.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/exit.h"
#include "haul/cli/output.h"
#include "haul/cli/pipes.h"
#include "haul/cli/receipt.h"
#include "haul/cli/transfer.h"
#include "haul/cli/units.h"
#include "haul/copy/choice.h"
#include "haul/disk/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNIT_BYTES_DEFAULT GIB
#define UNIT_BYTES_MIN     MIB

enum { MISSING_SHOWN = 8 };

/* ---- haul plan ---- */

/* What is not known before all is copied, or is about one file beside it; what a unit that was done
 * would leave out when it is looked at again; and what would make less of a unit than it is, whose
 * receipt says all of it. So for those who do one, too, and for the end. */
static const char *not_planned(const struct options *options)
{
    const struct copy_wish *wish = &options->wish;
    return wish->manifest_path                    ? "--manifest"
           : wish->base_path                      ? "--base-manifest"
           : wish->digest_path                    ? "--digest-file"
           : wish->file.journal_path              ? "--journal"
           : wish->file.reflink == REFLINK_ALWAYS ? "--reflink=always"
           : wish->file.no_inplace                ? "--no-inplace"
           : wish->file.size_bytes > 0            ? "--size"
           : wish->tour.remove_source             ? "--remove-source-files"
           : options->ranges.count > 0            ? "--range"
           : options->ranges_from                 ? "--ranges-from"
           : choice_any(&wish->choice)            ? "--update, --existing, --size-only or the like"
                                                  : NULL;
}

static int refuse_given(const struct options *options, const char *given, struct error *err)
{
    return given ? error_usage(err, "haul %s does not go with %s", options->operands[0], given) : 0;
}

static int refuse_plan(const struct options *options, struct error *err)
{
    const char *given = options->json           ? "--json: a plan is lines of JSON already"
                        : options->wish.dry_run ? "--dry-run: a plan changes nothing"
                                                : not_planned(options);
    if (options->operands_count != 3 || options->unit_given)
        return error_usage(err, "haul plan takes one SOURCE and one TARGET");
    for (uint32_t i = 1; i < options->operands_count; i++)
        if (pipes_know(options->operands[i]))
            return error_usage(err, "%s: has no ranges, so no units", options->operands[i]);
    if (options->unit_bytes > 0 && options->unit_bytes < UNIT_BYTES_MIN)
        return error_usage(err, "--unit-size: 1M is the least");
    return refuse_given(options, given, err);
}

static void say_what_follows(const struct units *units, const struct options *options)
{
    uint32_t count = units->writer.units_count;
    if (options->quiet)
        return;
    if (count > 0)
        log_note("%u unit%s: haul run PLAN --unit=N for each N from 1 to %u, in any order; then "
                 "haul finish PLAN",
                 count, count == 1 ? "" : "s", count);
    else
        log_note("no file has to be copied: haul finish PLAN does the rest");
}

int planning_plan(const struct options *options)
{
    struct options rest = options_rest(options);
    struct error err = {0};
    AUTO_FREE char *folder = get_current_dir_name();
    int result = folder ? refuse_plan(options, &err)
                        : error_set(&err, errno, "the folder that haul is called in");
    if (result < 0)
        return receipt_refused(options->json, &err);
    uint64_t unit_bytes = options->unit_bytes > 0 ? options->unit_bytes : UNIT_BYTES_DEFAULT;
    struct units units = {
        .task = UNITS_PLAN,
        .header = {.words = options->words,
                   .words_count = options->words_count,
                   .folder = folder,
                   .source = rest.operands[0],
                   .target = rest.operands[1],
                   .unit_bytes = align_down(min_u64(unit_bytes, FILE_BYTES_MAX), MIB)},
    };
    rest.wish.dry_run = true;
    int code = transfer_units(&rest, &units);
    if (units.began && code == EXIT_CODE_DONE)
        say_what_follows(&units, options);
    units_close(&units);
    return code;
}

/* ---- what was planned ---- */

/* A plan, the command that it stands for, and where it is whatever the folder is. */
struct planned {
    char *path;
    struct plan_file plan;
    char **argv;
    struct options options;
};

static void planned_close(struct planned *planned)
{
    options_close(&planned->options);
    plan_lines_close(&planned->plan);
    free(planned->argv);
    free(planned->path);
}

/* Names of options are beneath it, and so are SOURCE and TARGET. */
static int enter_folder(const struct planned *planned, struct error *err)
{
    const char *folder = planned->plan.header.folder;
    if (chdir(folder) == 0)
        return 0;
    return error_set_class(err, ERROR_FILE, errno,
                           "%s: the folder that the plan was made in, which its names are beneath, "
                           "cannot be entered here (%s): make the plan in one that is everywhere, "
                           "as after cd /",
                           folder, strerror(errno));
}

/* What of a plan is to be copied was said when it was made: its receipt says all of that. */
static int refuse_behind(const struct planned *planned, const struct options *given,
                         struct error *err)
{
    bool chooses = given->filters_count > 0 || given->files_from;
    return refuse_given(given,
                        chooses ? "filter rules and --files-from: those of haul plan count"
                                : not_planned(&planned->options),
                        err);
}

/* Its own words, and behind them those that the run was given. */
static int parse_command(struct planned *planned, const struct options *given, struct error *err)
{
    const struct plan_header *header = &planned->plan.header;
    size_t count = 0;
    planned->argv =
        calloc((size_t)header->words_count + given->words_count + 6, sizeof(*planned->argv));
    if (!planned->argv)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    planned->argv[count++] = (char *)"haul";
    for (uint32_t i = 0; i < header->words_count; i++)
        planned->argv[count++] = (char *)header->words[i];
    for (uint32_t i = 0; i < given->words_count; i++)
        planned->argv[count++] = (char *)given->words[i];
    planned->argv[count++] = (char *)"--";
    planned->argv[count++] = (char *)given->operands[0];
    planned->argv[count++] = (char *)header->source;
    planned->argv[count++] = (char *)header->target;
    int result = options_parse(&planned->options, (int)count, planned->argv, err);
    if (result == 0)
        return refuse_behind(planned, given, err);
    error_prefix(err, "%s", planned->path);
    return result;
}

static int planned_open(struct planned *planned, const struct options *given, struct error *err)
{
    const char *path = given->operands[1];
    AUTO_FREE char *here = get_current_dir_name();
    *planned = (struct planned){.path = NULL};
    planned->path = path[0] == '/' ? strdup(path) : here ? text_join_path(here, path) : NULL;
    if (!planned->path)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    int result = plan_lines_open(&planned->plan, planned->path, err);
    if (result == 0)
        result = parse_command(planned, given, err);
    return result == 0 ? enter_folder(planned, err) : result;
}

/* Of unit `number`, or of all: 1, 0: it is not there; -errno with words. */
static int look_for_receipt(const struct planned *planned, uint32_t number,
                            const struct digest *seal, struct unit_receipt *receipt,
                            struct error *err)
{
    int found = plan_lines_receipt_read(planned->path, number, receipt, err);
    if (found > 0 && number == 0 && !digest_equal(&receipt->plan, &planned->plan.plan))
        return 0; /* an older plan of that name was finished */
    if (found <= 0 ||
        (digest_equal(&receipt->plan, &planned->plan.plan) && digest_equal(&receipt->unit, seal)))
        return found;
    AUTO_FREE char *path = plan_lines_receipt_path(planned->path, number);
    return error_set_class(err, ERROR_FILE, EBADMSG,
                           "%s: is the receipt of another plan; remove it, or give this plan "
                           "another name",
                           path ? path : planned->path);
}

static int say_done(const struct planned *planned, const struct unit_receipt *receipt)
{
    const struct options *options = &planned->options;
    struct receipt sum;
    receipt_init(&sum);
    sum.outcome = outcome_up_to_date("its receipt is there");
    sum.files = num_u32(min_u64(receipt->files_count, UINT32_MAX));
    sum.bytes_total = sum.bytes_kept = receipt->bytes_total;
    if (options->json)
        receipt_json(stdout, &sum, "receipt", EXIT_CODE_DONE, NULL);
    else if (!options->quiet && receipt->number > 0)
        printf("unit %" PRIu32 ": done already\n", receipt->number);
    else if (!options->quiet)
        puts("finished already");
    return EXIT_CODE_DONE;
}

/* ---- haul run ---- */

/* 1: it is done already. */
static int find_unit(struct planned *planned, const struct options *given,
                     struct unit_receipt *receipt, struct error *err)
{
    struct plan_file *plan = &planned->plan;
    bool again = planned->options.wish.file.resume == RESUME_RESTART;
    int result = plan_lines_find(plan, given->unit, err);
    if (result < 0 || again)
        return result;
    result = look_for_receipt(planned, 0, &plan->plan, receipt, err);
    return result != 0 ? result
                       : look_for_receipt(planned, given->unit, &plan->unit.seal, receipt, err);
}

static int run_unit(struct planned *planned)
{
    struct units units = {.task = UNITS_RUN, .plan = &planned->plan};
    struct options rest = options_rest(&planned->options);
    int code = transfer_units(&rest, &units);
    units_close(&units);
    return code;
}

int planning_run(const struct options *options)
{
    struct planned planned = {.path = NULL};
    struct unit_receipt receipt = {.number = 0};
    struct error err = {0};
    int code, result = 0;
    if (options->operands_count != 2 || !options->unit_given || options->unit_bytes > 0)
        result = error_usage(&err, "haul run takes a PLAN and --unit=N");
    if (result == 0)
        result = planned_open(&planned, options, &err);
    if (result == 0) /* the receipt will be written there */
        result = probe_folder(NULL, planned.path, &err);
    if (result == 0)
        result = find_unit(&planned, options, &receipt, &err);
    if (result < 0)
        code = receipt_refused(options->json, &err);
    else if (result > 0)
        code = say_done(&planned, &receipt);
    else
        code = run_unit(&planned);
    planned_close(&planned);
    return code;
}

/* ---- haul finish ---- */

/* Which are missing: the first of them in words. */
struct missing {
    uint32_t count, first;
    char shown[MISSING_SHOWN * 12];
    size_t length;
};

static void missing_add(struct missing *missing, uint32_t number)
{
    if (missing->count++ == 0)
        missing->first = number;
    if (missing->count <= MISSING_SHOWN)
        missing->length += (size_t)snprintf(missing->shown + missing->length,
                                            sizeof(missing->shown) - missing->length, "%s%" PRIu32,
                                            missing->count > 1 ? ", " : "", number);
}

static int refuse_missing(const struct planned *planned, const struct missing *missing,
                          struct error *err)
{
    if (missing->count == 0)
        return 0;
    return error_set_class(err, ERROR_PARTIAL, ENOENT,
                           "%s: %u of %u units %s not done: %s%s; haul run %s --unit=%u does the "
                           "first of them",
                           planned->path, missing->count, planned->plan.units_count,
                           missing->count == 1 ? "is" : "are", missing->shown,
                           missing->count > MISSING_SHOWN ? ", ..." : "", planned->path,
                           missing->first);
}

static void add_receipt(struct unit_receipt *sum, const struct unit_receipt *one)
{
    sum->bytes_copied += one->bytes_copied;
    sum->bytes_kept += one->bytes_kept;
    sum->bytes_holes += one->bytes_holes;
    sum->duration_ns += one->duration_ns;
}

/* All lines of the plan are read, and the receipt of each unit. */
static int sum_receipts(struct planned *planned, struct unit_receipt *sum, struct error *err)
{
    struct missing missing = {.count = 0};
    struct unit_receipt one;
    int result = plan_lines_rewind(&planned->plan, err);
    while (result == 0 && (result = plan_lines_next(&planned->plan, err)) > 0) {
        const struct unit *unit = &planned->plan.unit;
        result = look_for_receipt(planned, unit->number, &unit->seal, &one, err);
        if (result == 0)
            missing_add(&missing, unit->number);
        else if (result > 0)
            add_receipt(sum, &one);
        result = result < 0 ? result : 0;
    }
    return result < 0 ? result : refuse_missing(planned, &missing, err);
}

static void print_sum(const struct planned *planned, const struct unit_receipt *sum)
{
    const struct options *options = &planned->options;
    char copied[TEXT_NUMBER_BYTES], kept[TEXT_NUMBER_BYTES];
    uint32_t count = planned->plan.units_count;
    if (options->json) {
        fputs("{\"v\":1,\"event\":\"units\"", stdout);
        output_json_number(stdout, "units", count);
        output_json_number(stdout, "files", planned->plan.files_count);
        output_json_number(stdout, "bytes_total", planned->plan.bytes);
        output_json_number(stdout, "bytes_copied", sum->bytes_copied);
        output_json_number(stdout, "bytes_kept", sum->bytes_kept);
        output_json_number(stdout, "bytes_holes", sum->bytes_holes);
        output_json_seconds(stdout, "seconds", sum->duration_ns);
        fputs("}\n", stdout);
        return;
    }
    if (!options->quiet)
        printf("%" PRIu32 " unit%s, all done: %s copied, %s kept\n", count, count == 1 ? "" : "s",
               text_size(copied, sum->bytes_copied), text_size(kept, sum->bytes_kept));
}

/* What each of them says is in the plan's now. */
static void remove_receipts(const struct planned *planned)
{
    for (uint32_t i = 1; i <= planned->plan.units_count; i++) {
        AUTO_FREE char *path = plan_lines_receipt_path(planned->path, i);
        if (path)
            (void)unlink(path);
    }
}

/* Units have compared by content what was to be compared so, and read back what they wrote. */
static int finish_all(struct planned *planned, const struct unit_receipt *sum)
{
    struct units units = {.task = UNITS_FINISH, .plan = &planned->plan, .receipt = *sum};
    struct options rest = options_rest(&planned->options);
    struct copy_wish *wish = &rest.wish;
    wish->checksum = wish->verify = wish->ignore_times = false;
    wish->file.resume = RESUME_AUTO;
    int code = transfer_units(&rest, &units);
    bool done = code == EXIT_CODE_DONE || code == exit_code(ERROR_VANISHED);
    if (done && !wish->dry_run)
        remove_receipts(planned);
    units_close(&units);
    return code;
}

int planning_finish(const struct options *options)
{
    struct planned planned = {.path = NULL};
    struct unit_receipt sum = {.number = 0};
    struct error err = {0};
    int code, result = 0;
    if (options->operands_count != 2 || options->unit_given || options->unit_bytes > 0)
        result = error_usage(&err, "haul finish takes a PLAN, and no unit");
    if (result == 0)
        result = planned_open(&planned, options, &err);
    if (result == 0)
        result = look_for_receipt(&planned, 0, &planned.plan.plan, &sum, &err);
    if (result > 0) {
        remove_receipts(&planned); /* it may have been interrupted there */
        code = say_done(&planned, &sum);
    } else {
        if (result == 0)
            result = sum_receipts(&planned, &sum, &err);
        if (result == 0)
            print_sum(&planned, &sum);
        code = result < 0 ? receipt_refused(options->json, &err) : finish_all(&planned, &sum);
    }
    planned_close(&planned);
    return code;
}
