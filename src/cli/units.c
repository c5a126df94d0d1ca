/* units.c - a transfer that makes a plan, does a unit of one, or ends one. */
#include "haul/cli/units.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int no_memory(struct error *err)
{
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a unit");
}

/* ---- a plan that is made ---- */

/* Of those that would be copied; one that is up to date is no work. */
static bool is_work(const struct receipt *receipt)
{
    return receipt->outcome.kind == OUTCOME_DRY && outcome_good(&receipt->outcome);
}

static int plan_start(struct units *units, bool tree, const char *from, const char *to,
                      struct error *err)
{
    struct plan_header *header = &units->header;
    if (units->began)
        return error_usage(err, "%s: stands for several sources, and a plan is of one",
                           header->source);
    header->tree = tree;
    header->from = from;
    header->to = to;
    int result = plan_lines_begin(&units->writer, stdout, header, err);
    header->from = header->to = NULL;
    units->began = result == 0;
    return result;
}

int units_plan_file(struct units *units, struct copy *copy, const struct receipt *receipt,
                    struct error *err)
{
    struct facts facts;
    int result = plan_start(units, false, receipt->source_path, receipt->target_path, err);
    if (result == 0 && is_work(receipt))
        result = copy_describe(copy, false, receipt->source_path, &facts, err);
    if (result < 0 || !is_work(receipt))
        return result;
    if (facts.kind != FILE_REGULAR && facts.kind != FILE_DEVICE)
        return error_usage(err, "%s: is no file that has ranges, and nothing to be planned",
                           receipt->source_path);
    return plan_lines_add_ranges(&units->writer, "", &facts, units->header.unit_bytes, err);
}

int units_plan_tree(struct units *units, const char *from, const char *to, struct error *err)
{
    return plan_start(units, true, from, to, err);
}

/* Ranges are written in place; what shares its names is not, and goes as a whole. */
static bool goes_in_ranges(const struct units *units, const struct life *life)
{
    return life->job.facts[SIDE_SOURCE].size_bytes > units->header.unit_bytes &&
           !life_shares_names(life);
}

int units_plan_event(struct units *units, const struct tour_event *event,
                     const struct receipt *receipt, struct error *err)
{
    uint64_t unit_bytes = units->header.unit_bytes;
    if (event->kind != TOUR_FILE || !is_work(receipt) || !units->began)
        return 0;
    const struct facts *facts = &event->life->job.facts[SIDE_SOURCE];
    return goes_in_ranges(units, event->life)
               ? plan_lines_add_ranges(&units->writer, event->path, facts, unit_bytes, err)
               : plan_lines_add_file(&units->writer, event->path, facts->size_bytes, unit_bytes,
                                     err);
}

int units_plan_end(struct units *units, struct error *err)
{
    return units->began ? plan_lines_end(&units->writer, err) : 0;
}

/* ---- which files ---- */

static bool one_file(const struct units *units)
{
    const struct plan_file *plan = units->plan;
    return !plan->header.tree || (units->task == UNITS_RUN && plan->unit.kind == UNIT_RANGE);
}

/* The paths of the plan, and of the file in it. */
static int place(struct operands *operands, const char *from, const char *to, const char *name,
                 struct error *err)
{
    AUTO_FREE char *target = text_join_path(to, name);
    AUTO_FREE char *source = text_join_path(from, name);
    if (!target || !source)
        return no_memory(err);
    int result = operands_replace(operands, 0, &source, 1, err);
    if (result < 0)
        return result;
    if (strlen(target) >= sizeof(operands->target.path))
        return error_set_class(err, ERROR_FILE, ENAMETOOLONG, "%s", target);
    strcpy(operands->target.path, target);
    return 0;
}

static int settle_here(struct operands *operands, struct error *err)
{
    struct facts facts;
    if (operands->target.kind != ADDRESS_LOCAL)
        return 0;
    int result = file_describe(operands->target.path, &facts, err);
    return result < 0 ? result : operands_settle(operands, &facts, err);
}

/* What is about whole files, or about all of them, is for haul finish. */
static void wish_of_unit(struct units *units, struct copy_wish *wish)
{
    struct tour_wish *tour = &wish->tour;
    tour->force |= tour->delete; /* a folder in the way goes now */
    tour->delete = tour->delete_excluded = tour->one_filesystem = false;
    tour->names = units->plan->unit.names;
    if (units->plan->unit.kind == UNIT_FILES) {
        tour->mkpath = tour->leaves_folders = true;
        return;
    }
    tour->mkpath = tour->mkpath && !units->plan->header.tree; /* run_begin() does that */
    wish->chmod.count = 0;
    wish->file.chown = NULL;
}

static int place_all(struct units *units, struct operands *operands, struct copy_wish *wish,
                     struct error *err)
{
    const struct plan_header *header = &units->plan->header;
    const struct unit *unit = &units->plan->unit;
    bool range = units->task == UNITS_RUN && unit->kind == UNIT_RANGE;
    units->dry = wish->dry_run;
    if (units->task == UNITS_RUN)
        wish_of_unit(units, wish);
    if (units->task == UNITS_FINISH && header->tree)
        return 0;
    int result = place(operands, header->from, header->to, range ? unit->name : "", err);
    if (result < 0 || !one_file(units))
        return result;
    operands->trees = false;
    operands->target_is_file = true;
    operands->target_folder = false;
    return settle_here(operands, err);
}

int units_place(struct units *units, struct operands *operands, struct copy_wish *wish,
                struct error *err)
{
    if (units->task == UNITS_PLAN && lines_took_input())
        return error_usage(err, "standard input was read as a list, and each unit reads it again: "
                                "put it into a file");
    if (units->task == UNITS_PLAN)
        return 0;
    return place_all(units, operands, wish, err);
}

/* ---- is it what it was? ---- */

/* The file that is under way, for messages and questions: of a tree beneath its root. */
static const char *path_of(const struct units *units, enum side_role role)
{
    const struct plan_header *header = &units->plan->header;
    const char *alone = role == SIDE_SOURCE ? header->from : header->to;
    return header->tree ? units->name : alone;
}

static int look(const struct units *units, struct copy *copy, enum side_role role,
                struct facts *facts, struct error *err)
{
    return copy_look(copy, role == SIDE_TARGET, &units->roots[role], path_of(units, role), facts,
                     err);
}

static int check_source(const struct units *units, struct copy *copy, struct facts *now,
                        struct error *err)
{
    int result = look(units, copy, SIDE_SOURCE, now, err);
    if (result < 0)
        return result;
    enum evidence_change change = evidence_compare(&units->source, now);
    if (change == EVIDENCE_UNCHANGED || change == EVIDENCE_UNSEEN)
        return 0;
    AUTO_FREE char *shown = text_join_path(units->plan->header.from, units->name);
    return error_set_class(err, ERROR_CHANGED, ESTALE,
                           "%s: %s since the plan was made: make another one, and what is there "
                           "already is compared, not copied again",
                           shown ? shown : units->name,
                           now->kind == FILE_NONE       ? "has gone"
                           : change == EVIDENCE_TOUCHED ? "was touched, and perhaps changed,"
                                                        : "has changed");
}

static int take_file(struct units *units, struct error *err)
{
    const struct unit *unit = &units->plan->unit;
    free(units->name);
    units->name = strdup(unit->name);
    units->source = unit->facts;
    return units->name ? 0 : no_memory(err);
}

static void take_roots(struct units *units, struct copy *copy)
{
    const struct plan_header *header = &units->plan->header;
    if (!header->tree)
        return;
    units->roots[SIDE_SOURCE] =
        (struct job_root){.number = copy_root_number(copy), .path = header->from};
    units->roots[SIDE_TARGET] =
        (struct job_root){.number = copy_root_number(copy), .path = header->to};
}

/* ---- a unit ---- */

static int run_begin(struct units *units, struct copy *copy, struct error *err)
{
    const struct plan_header *header = &units->plan->header;
    struct facts now, folder;
    if (units->plan->unit.kind == UNIT_FILES)
        return 0;
    int result = take_file(units, err);
    if (result == 0)
        result = check_source(units, copy, &now, err);
    if (result < 0 || !header->tree || units->dry)
        return result;
    result = copy_make_folder(copy, header->to, true, &folder, err);
    if (result >= 0)
        result = copy_make_way(copy, &units->roots[SIDE_TARGET], units->name, err);
    return result < 0 ? result : 0;
}

/* Whoever ends the plan finds it as it was left by the last unit, unless somebody has written to
 * it: not in the same tick of the clock, as far as that is ours to say. */
int units_end(struct units *units, struct copy *copy, struct error *err)
{
    struct facts now;
    if (units->task != UNITS_RUN || units->plan->unit.kind == UNIT_FILES || units->dry)
        return 0;
    int result = check_source(units, copy, &now, err);
    if (result == 0)
        result = look(units, copy, SIDE_TARGET, &units->receipt.target, err);
    if (result == 0)
        (void)evidence_settle(&units->receipt.target, EVIDENCE_PATIENCE_NS);
    return result == 0 ? look(units, copy, SIDE_TARGET, &units->receipt.target, err) : result;
}

/* ---- all of them ---- */

/* The ranges of a file follow each other. */
static int file_begin(struct units *units, struct copy *copy, struct error *err)
{
    struct facts now;
    int result = take_file(units, err);
    if (result == 0)
        result = check_source(units, copy, &now, err);
    if (result == 0)
        result = look(units, copy, SIDE_TARGET, &units->target, err);
    units->one = true;
    units->last = false;
    return result;
}

static int file_range(struct units *units, struct error *err)
{
    struct unit_receipt receipt;
    const struct facts *now = &units->target, *then = &receipt.target;
    int result =
        plan_lines_receipt_read(units->plan->path, units->plan->unit.number, &receipt, err);
    if (result <= 0)
        return result < 0
                   ? result
                   : error_set_class(err, ERROR_FILE, ENOENT, "%s: the receipt of unit %u has gone",
                                     units->plan->path, units->plan->unit.number);
    bool same =
        then->kind == now->kind && then->inode == now->inode && then->size_bytes == now->size_bytes;
    units->one = units->one && same;
    units->last = units->last || (same && evidence_compare(then, now) == EVIDENCE_UNCHANGED);
    return 0;
}

static bool is_there(const struct units *units)
{
    return units->name && units->one && units->last;
}

/* A finished one needs nothing, as when this was interrupted. */
static int file_commit(struct units *units, struct copy *copy, struct error *err)
{
    struct copy_part part = {.source_path = units->name, .target_path = units->name};
    const char *why;
    struct receipt receipt;
    if (evidence_up_to_date(&units->source, &units->target, 0, &why) == EVIDENCE_STRONG)
        return 0;
    if (!is_there(units))
        log_note("%s: was changed after its units were done; comparing",
                 path_of(units, SIDE_TARGET));
    if (!units->plan->header.tree) /* that is what the transfer does then */
        return 0;
    units_part(units, &part);
    (void)copy_begin_part(copy, &part);
    return copy_collect(copy, &receipt, err);
}

static int finish_begin(struct units *units, struct copy *copy, struct error *err)
{
    int result = plan_lines_rewind(units->plan, err);
    while (result == 0 && (result = plan_lines_next(units->plan, err)) > 0) {
        const struct unit *unit = &units->plan->unit;
        bool range = unit->kind == UNIT_RANGE, next = range && unit->offset == 0;
        result = next ? file_begin(units, copy, err) : 0;
        if (result == 0 && range)
            result = file_range(units, err);
        bool whole = range && unit->offset + unit->bytes == unit->facts.size_bytes;
        if (result == 0 && whole)
            result = file_commit(units, copy, err);
    }
    return result < 0 ? result : 0;
}

int units_begin(struct units *units, struct copy *copy, struct error *err)
{
    if (units->task == UNITS_PLAN)
        return 0;
    take_roots(units, copy);
    return units->task == UNITS_RUN ? run_begin(units, copy, err) : finish_begin(units, copy, err);
}

void units_part(const struct units *units, struct copy_part *part)
{
    const struct unit *unit = units->task == UNITS_RUN ? &units->plan->unit : NULL;
    if (units->task == UNITS_PLAN)
        return;
    if (units->plan->header.tree) {
        part->roots[SIDE_SOURCE] = units->roots[SIDE_SOURCE];
        part->roots[SIDE_TARGET] = units->roots[SIDE_TARGET];
        part->source_path = part->target_path = units->name;
    }
    part->start = unit ? unit->offset : 0;
    part->end = unit ? unit->offset + unit->bytes : 0;
    part->there = !unit && is_there(units);
}

int units_write(struct units *units, const struct receipt *sum, struct error *err)
{
    struct unit_receipt *receipt = &units->receipt;
    const struct plan_file *plan = units->plan;
    bool run = units->task == UNITS_RUN;
    receipt->number = run ? plan->unit.number : 0;
    receipt->plan = plan->plan;
    receipt->unit = run ? plan->unit.seal : plan->plan;
    receipt->files_count = run ? plan->unit.files_count : plan->files_count;
    receipt->bytes_total = run ? plan->unit.bytes : plan->bytes;
    receipt->bytes_copied += sum->bytes_copied;
    receipt->bytes_kept += run ? sum->bytes_kept : 0;
    receipt->bytes_holes += run ? sum->bytes_holes : 0;
    receipt->duration_ns += sum->duration_ns;
    return plan_lines_receipt_write(plan->path, receipt, err);
}

void units_close(struct units *units)
{
    plan_lines_writer_close(&units->writer);
    free(units->name);
    units->name = NULL;
}
