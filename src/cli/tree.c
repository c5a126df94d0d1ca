/* tree.c - operands that are trees. */
#include "haul/cli/tree.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/text.h"
#include "haul/cli/exit.h"
#include "haul/cli/output.h"
#include "haul/cli/receipt.h"
#include "haul/cli/watch.h"
#include "haul/disk/beneath.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- which operands ---- */

/* It stands for what is in it: "dir/", ".", "dir/..". */
static bool means_content(const char *source)
{
    size_t length = strlen(source);
    const char *name = place_name(source);
    return source[length - 1] == '/' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int look_here(const char *folder, const char *name, struct facts *facts, struct error *err)
{
    struct place place;
    int result = place_open_tree(&place, NULL, folder, err);
    if (result < 0)
        return result;
    result = file_describe_in(&place, name, facts, err);
    place_close(&place);
    return result;
}

/* The name itself: a link is told as one. What cannot be looked at is the copy's to say. */
static struct facts look(struct copy *copy, const char *source)
{
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *name = NULL;
    struct facts facts = {.kind = FILE_NONE};
    ERROR_UNSET(ignored);
    bool content = means_content(source);
    if (content) {
        if (copy)
            (void)copy_describe(copy, false, source, &facts, &ignored);
        else
            (void)file_describe(source, &facts, &ignored);
        return facts;
    }
    if (!text_split_path(source, &folder, &name))
        return facts;
    if (!copy) {
        (void)look_here(folder, name, &facts, &ignored);
    } else {
        const struct job_root root = {.number = copy_root_number(copy), .path = folder};
        (void)copy_look(copy, false, &root, name, &facts, &ignored);
    }
    return facts;
}

/* A file goes as a tree only where others may be further names of it. */
static bool takes(const struct tour_wish *wish, const struct facts *facts, bool several)
{
    switch (facts->kind) {
    case FILE_REGULAR:
        return wish->hard_links && several && facts->links > 1;
    case FILE_FOLDER:
        return wish->recursive;
    case FILE_LINK:
        return wish->links;
    case FILE_FIFO:
    case FILE_SOCKET:
        return wish->specials;
    case FILE_CHARACTER:
        return wish->devices;
    default:
        return false; /* a block device that is named is read */
    }
}

/* Where several sources bring something under one name the first one's is the last to be set, as
 * with rsync the first one's counts; and the target's folder itself is finished when all is in it.
 * The place of one more among those that are there: before those it shares with, and behind the
 * others. */
static uint32_t place_of(const char *const *trees, uint32_t count, const char *source)
{
    bool content = means_content(source);
    for (uint32_t i = 0; i < count; i++) {
        bool other = means_content(trees[i]);
        if (other || (!content && strcmp(place_name(trees[i]), place_name(source)) == 0))
            return i;
    }
    return count;
}

int trees_find(struct operands *operands, const struct copy_wish *wish, struct copy *copy,
               struct error *err)
{
    uint32_t files_count = 0, trees_count = 0, count = operands->sources_count;
    bool there = operands->source.kind == ADDRESS_REMOTE;
    if (!operands->trees || operands->trees_count > 0 || there != (copy != NULL))
        return 0;
    if (wish->tour.names) { /* whatever it is, it has to be a folder */
        operands->trees_count = count;
        return 0;
    }
    AUTO_FREE const char **trees = calloc(count, sizeof(*trees));
    if (!trees)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    for (uint32_t i = 0; i < count; i++) {
        const char *source = operands->sources[i];
        const struct facts facts = look(copy, source);
        if (!takes(&wish->tour, &facts, count > 1)) {
            operands->sources[files_count++] = source;
            continue;
        }
        uint32_t at = place_of(trees, trees_count, source);
        memmove(trees + at + 1, trees + at, (trees_count++ - at) * sizeof(*trees));
        trees[at] = source;
    }
    memcpy(operands->sources + files_count, trees, trees_count * sizeof(*trees));
    operands->trees_count = trees_count;
    return operands_refuse_twins(operands, err);
}

/* ---- where they go ---- */

/* Its content goes into the target's folder, or it, by its name. A folder that names are listed of
 * is the first kind. */
static int source_place(struct tour_source *source, const struct operands *operands, uint32_t at,
                        bool listed, struct error *err)
{
    const char *operand = operands->sources[at];
    char *folder = NULL, *name = NULL;
    bool good = true;
    if (source->root.number > 0 && (means_content(operand) || operands->target_is_file || listed)) {
        folder = strdup(operand);
        name = strdup("");
    } else {
        good = text_split_path(operand, &folder, &name);
    }
    source->name = name;
    source->root.path = folder;
    return good && folder && name
               ? 0
               : error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", operand);
}

static bool is_one(const struct facts *a, const struct facts *b)
{
    return a->evidence.machine != 0 && a->evidence.machine == b->evidence.machine &&
           a->device == b->device && a->inode == b->inode;
}

/* Can a source be looked at here, and does its name here lead to it? Other hosts may be this
 * machine, too. */
static bool source_is_here(const struct trees *trees, const char *path, const struct facts *target)
{
    struct facts here, there;
    ERROR_UNSET(ignored);
    if (target->kind != FILE_FOLDER || file_describe(path, &here, &ignored) < 0 ||
        here.kind == FILE_NONE || target->evidence.machine != here.evidence.machine)
        return false;
    return trees->operands->source.kind == ADDRESS_LOCAL ||
           (copy_describe(trees->copy, false, path, &there, &ignored) == 0 &&
            is_one(&here, &there));
}

/* --delete would find it among what no source has, and --force in the way of something: where it
 * lies in the target's folder, if it does so. */
static int source_inside(const struct trees *trees, uint32_t at, struct error *err)
{
    const struct operands *operands = trees->operands;
    const char *path = operands->sources[at], *folder = operands->target.path;
    struct facts target = operands->target_facts;
    char ***inside = &trees->sources[at].inside;
    int result = 0;
    ERROR_UNSET(ignored);
    if (operands->target.kind == ADDRESS_LOCAL)
        (void)file_describe(folder, &target, &ignored);
    if (operands->source.kind == ADDRESS_REMOTE && operands_one_machine(operands))
        result = beneath_by_name(path, folder, inside);
    if (result == 0 && !*inside && source_is_here(trees, path, &target))
        result = beneath_find(path, !trees->wish->tour.one_filesystem, target.device, target.inode,
                              inside);
    return result == 0 ? 0 : error_set_class(err, ERROR_MEMORY, -result, "no memory for names");
}

int trees_open(struct trees *trees, struct copy *copy, const struct operands *operands,
               const struct copy_wish *wish, struct error *err)
{
    uint32_t count = operands->sources_count;
    int result = 0;
    *trees = (struct trees){.copy = copy, .operands = operands, .wish = wish, .count = count};
    trees->sources = calloc(count, sizeof(*trees->sources));
    if (!trees->sources)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    for (uint32_t i = 0; result == 0 && i < count; i++) {
        if (i >= count - operands->trees_count)
            trees->sources[i].root.number = copy_root_number(copy);
        result = source_place(&trees->sources[i], operands, i, wish->tour.names, err);
        if (result == 0 && (wish->tour.delete || wish->tour.force))
            result = source_inside(trees, i, err);
    }
    return result;
}

void trees_close(struct trees *trees)
{
    for (uint32_t i = 0; trees->sources && i < trees->count; i++) {
        free((char *)trees->sources[i].name);
        free((char *)trees->sources[i].root.path);
        beneath_free(trees->sources[i].inside);
    }
    free(trees->sources);
}

int trees_begin(struct trees *trees, uint32_t at, bool broken, struct error *err)
{
    struct copy *copy = trees->copy;
    const char *target = trees->operands->target.path;
    struct facts facts = trees->operands->target_facts;
    int made = 0, result = 0;
    if (facts.kind != FILE_FOLDER && trees->wish->choice.existing) {
        result = copy_describe(copy, true, target, &facts, err);
        if (result == 0 && facts.kind == FILE_NONE)
            log_verbose("%s: there is no such target (--existing)", target);
        if (result < 0 || facts.kind == FILE_NONE)
            return result;
    }
    if (facts.kind != FILE_FOLDER) /* as it was when the run began */
        made = result = copy_make_folder(copy, target, trees->wish->tour.mkpath, &facts, err);
    trees->made |= made > 0;
    struct tour_start start = {
        .roots = {trees->sources[at].root, {.number = copy_root_number(copy), .path = target}},
        .path = trees->sources[at].name,
        .target_absent = made > 0 && trees->wish->dry_run,
        .target_fresh = made > 0,
        .target_made = trees->made || trees->operands->target_made,
        .nearest = made > 0 ? copy_nearest(copy) : NULL,
        .broken = broken,
        .sources = trees->sources,
        .sources_count = trees->count,
        .target = facts,
    };
    if (made > 0 && !start.target_absent)
        result = copy_describe(copy, true, target, &start.target, err);
    if (result >= 0)
        result = copy_tour(copy, &start, err);
    return result < 0 ? result : 1;
}

/* ---- what is said ---- */

static const char *kind_name(enum file_kind kind)
{
    static const char *const names[] = {
        [FILE_NONE] = "nothing",
        [FILE_REGULAR] = "file",
        [FILE_FOLDER] = "folder",
        [FILE_DEVICE] = "block device",
        [FILE_OTHER] = "unknown",
        [FILE_LINK] = "symbolic link",
        [FILE_FIFO] = "fifo",
        [FILE_SOCKET] = "socket",
        [FILE_CHARACTER] = "character device",
    };
    return names[kind];
}

static const char *event_name(enum tour_event_kind kind)
{
    static const char *const names[] = {
        [TOUR_FILE] = "file",    [TOUR_MADE] = "made",    [TOUR_REMOVED] = "removed",
        [TOUR_PAST] = "skipped", [TOUR_FAILED] = "error", [TOUR_OVER] = "over",
    };
    return names[kind];
}

static void print_json(const struct tour_event *event, const struct receipt *receipt)
{
    flockfile(stdout); /* the other thread may print its events */
    fprintf(stdout, "{\"v\":1,\"event\":\"%s\"", event_name(event->kind));
    output_json_string(stdout, "path",
                       event->kind == TOUR_REMOVED ? receipt->target_path : receipt->source_path);
    if (event->kind == TOUR_FAILED) {
        output_json_number(stdout, "exit", (uint64_t)exit_code(event->error->class));
        output_json_string(stdout, "error", event->error->text);
    } else {
        output_json_string(stdout, "kind", kind_name(event->file_kind));
        output_json_string(stdout, "changes", event->changes[0] ? event->changes : NULL);
    }
    fputs("}\n", stdout);
    funlockfile(stdout);
}

/* As rsync: a path beneath the root, "./" for that, a slash behind folders. */
static void print_path(const struct tour_event *event)
{
    enum { SHOWN_BYTES = 4 * 4096 };
    char shown[SHOWN_BYTES];
    bool folder = event->file_kind == FILE_FOLDER, link = event->link_text != NULL;
    fputs(text_escape(shown, sizeof(shown), event->path[0] ? event->path : "."), stdout);
    fputs(folder ? "/" : "", stdout);
    if (link && event->kind == TOUR_MADE)
        printf("%s%s", event->hard_link ? " => " : " -> ",
               text_escape(shown, sizeof(shown), event->link_text));
    fputs("\n", stdout);
}

static bool event_matters(const struct tour_event *event, const struct receipt *receipt)
{
    switch (event->kind) {
    case TOUR_FILE:
        return outcome_good(&receipt->outcome) && !receipt_skipped(receipt) && event->changes[0];
    case TOUR_MADE:
        return event->made != JOB_UNCHANGED;
    case TOUR_REMOVED:
        return true;
    default:
        return false;
    }
}

static void print_words(const struct options *options, const struct tour_event *event,
                        const struct receipt *receipt)
{
    if (options->quiet || (!options->itemize && options->verbose == 0) ||
        !event_matters(event, receipt))
        return;
    output_begin(watch_choose(false, false, false) == WATCH_BAR);
    if (event->kind == TOUR_REMOVED)
        fputs(options->itemize ? "*deleting   " : "deleting ", stdout);
    else if (options->itemize)
        printf("%s ", event->changes);
    print_path(event);
    output_end();
}

void tree_print(const struct options *options, const struct tour_event *event,
                const struct receipt *receipt)
{
    const struct error *error = event->error;
    bool failed = event->kind == TOUR_FILE && !outcome_good(&receipt->outcome);
    if (event->kind == TOUR_PAST)
        log_note("%s: skipped, it is a %s", receipt->source_path, kind_name(event->file_kind));
    if (!options->json) {
        print_words(options, event, receipt);
    } else if (event->kind == TOUR_FILE) {
        receipt_json(stdout, receipt, "file", exit_of_outcome(&receipt->outcome),
                     failed                     ? error->text
                     : receipt->outcome.lacking ? "some of what was asked for could not be kept"
                                                : NULL);
    } else if (event->kind != TOUR_OVER &&
               (event->kind != TOUR_MADE || event->made != JOB_UNCHANGED)) {
        print_json(event, receipt);
    }
}
