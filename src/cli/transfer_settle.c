/* transfer_settle.c - what a run is about: which sources and target, whether that can be wished,
 * and what only the sides know of it. */
#include "transfer_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/lines.h"
#include "haul/cli/list.h"
#include "haul/cli/reserve.h"
#include "haul/cli/tree.h"
#include "haul/copy/expand.h"
#include "haul/disk/node.h"
#include "haul/disk/pipe.h"
#include "haul/disk/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each is a file about one copy; the next copy would take its place. NULL: there is none. */
static const char *about_one(const struct copy_wish *wish)
{
    return wish->manifest_path       ? "--manifest"
           : wish->base_path         ? "--base-manifest"
           : wish->digest_path       ? "--digest-file"
           : wish->file.journal_path ? "--journal"
                                     : NULL;
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

/* One file of this machine: 16 MiB of slots for it would be zeroed, and most of them not used. It
 * may grow meanwhile, and is copied with these. 0: not known. */
static uint64_t bytes_most(const struct operands *operands)
{
    struct stat st;
    bool known = operands->sources_count == 1 && !transfer_any_remote(operands) &&
                 stat(operands->sources[0], &st) == 0 && S_ISREG(st.st_mode);
    return known ? max_u64(1, (uint64_t)st.st_size) : 0;
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

int transfer_open(struct transfer *transfer, struct error *err)
{
    struct operands *operands = &transfer->operands;
    const struct address *source = operands->sources_count > 0 ? &operands->source : NULL;
    struct copy *copy = NULL;
    struct copy_wish wish = transfer->options->wish;
    wish.many = there_are_many(operands);
    wish.alone = !wish.many && transfer->parts.count <= 1 && !transfer->units;
    wish.bytes_most = wish.alone ? bytes_most(operands) : 0;
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

bool transfer_any_remote(const struct operands *operands)
{
    return operands->source.kind == ADDRESS_REMOTE || operands->target.kind == ADDRESS_REMOTE;
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
    if (wish->file.reflink == REFLINK_ALWAYS && transfer_any_remote(operands))
        return error_usage(err, "--reflink=always is for files of this machine; --reflink=auto "
                                "copies where that cannot be");
    if (wish->digest_path && operands->source.kind == ADDRESS_REMOTE && target_there)
        return error_usage(err,
                           "--digest-file digests the bytes here, and these do not come here: "
                           "run it on %s",
                           operands->target.host);
    return 0;
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
        transfer_fail(transfer, &each);
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

int transfer_resolve(struct transfer *transfer, struct options *own, struct error *err)
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
    if (rc == 0 && transfer_any_remote(operands))
        rc = reserve_paths(NULL, operands, &own->wish, transfer->verify, err);
    return rc;
}
