/* life_plan.c - what both sides have told of a file, weighed: may it be copied, does it have to be,
 * and what is there to be done, as a plan. */
#include "life_state.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/rules.h"
#include "haul/copy/choice.h"
#include "haul/disk/evidence.h"
#include "haul/disk/journal.h"
#include "haul/disk/pipe.h"
#include "haul/disk/place.h"
#include "haul/disk/small.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

const char *life_shown(const struct life *life, enum side_role role, char out[LIFE_SHOWN_BYTES])
{
    const struct job *job = &life->job;
    const struct job_root *root = &job->roots[role];
    const char *path = role == SIDE_SOURCE ? job->source_path : job->target_path;
    if (root->number == 0 || (path[0] && strcmp(root->path, ".") == 0))
        return pipe_shown(path);
    size_t length = strlen(root->path);
    bool slash = length > 0 && root->path[length - 1] == '/';
    snprintf(out, LIFE_SHOWN_BYTES, "%s%s%s", root->path, slash || !path[0] ? "" : "/", path);
    return out;
}

/* The same, of another machine with its host. */
static const char *plan_name(const struct life *life, enum side_role role,
                             char out[LIFE_SHOWN_BYTES])
{
    char shown[LIFE_SHOWN_BYTES];
    const struct address *address = &life->run->addresses[role];
    const char *path = life_shown(life, role, shown);
    snprintf(out, LIFE_SHOWN_BYTES, "%s%s%s", address->kind == ADDRESS_REMOTE ? address->host : "",
             address->kind == ADDRESS_REMOTE ? ":" : "", path);
    return out;
}

/* Its name in front of the words. Names of both sides are as long as two pages of the stack: nobody
 * else has room for them, who is asked of every file. */
static int refuse(const struct life *life, enum side_role role, enum error_class class, int errnum,
                  const char *words, struct error *err)
{
    char name[LIFE_SHOWN_BYTES];
    return error_set_class(err, class, errnum, "%s: %s", plan_name(life, role, name), words);
}

static int refuse_same(const struct life *life, struct error *err)
{
    char source_name[LIFE_SHOWN_BYTES], target_name[LIFE_SHOWN_BYTES];
    const struct facts *facts = life->job.facts;
    bool device = facts[SIDE_SOURCE].kind == FILE_DEVICE || facts[SIDE_TARGET].kind == FILE_DEVICE;
    return error_set_class(err, ERROR_USAGE, EINVAL, "%s and %s are the same %s",
                           plan_name(life, SIDE_SOURCE, source_name),
                           plan_name(life, SIDE_TARGET, target_name),
                           device ? "disk, or parts of it" : "file");
}

/* What cannot be done with a pipe, since it is read or written once and in order. */
static int refuse_with_pipe(const struct life *life, struct error *err)
{
    char words[128];
    const struct copy_wish *wish = life->run->wish;
    bool source = life_pipes(life, SIDE_SOURCE), target = life_pipes(life, SIDE_TARGET);
    const char *given = wish->checksum                              ? "-c"
                        : wish->file.resume == RESUME_APPEND        ? "--append"
                        : wish->file.resume == RESUME_APPEND_VERIFY ? "--append-verify"
                        : wish->manifest_path                       ? "--manifest"
                        : wish->base_path                           ? "--base-manifest"
                        : wish->verify && target                    ? "--verify"
                                                                    : NULL;
    if (wish->file.size_bytes > 0 && !source)
        return refuse(life, SIDE_SOURCE, ERROR_USAGE, EINVAL,
                      "has a size of its own; --size is for pipes", err);
    if (!given || !(source || target))
        return 0;
    snprintf(words, sizeof(words), "is a pipe, which goes by once; %s is not possible with it",
             given);
    return refuse(life, source ? SIDE_SOURCE : SIDE_TARGET, ERROR_USAGE, EINVAL, words, err);
}

int life_refuse(const struct life *life, struct error *err)
{
    const struct facts *facts = life->job.facts;
    const struct facts *source = &facts[SIDE_SOURCE], *target = &facts[SIDE_TARGET];
    switch (source->kind) {
    case FILE_NONE:
        return refuse(life, SIDE_SOURCE, ERROR_VANISHED, ENOENT, "there is no such file", err);
    case FILE_FOLDER:
        return refuse(life, SIDE_SOURCE, ERROR_FILE, EISDIR,
                      "skipped, it is a folder (-r copies it)", err);
    case FILE_OTHER:
    case FILE_LINK:
        return refuse(life, SIDE_SOURCE, ERROR_FILE, EINVAL,
                      "is neither a regular file nor a block device", err);
    case FILE_FIFO:
    case FILE_SOCKET:
    case FILE_CHARACTER:
    case FILE_REGULAR:
    case FILE_DEVICE:
        break;
    }
    if (target->kind == FILE_FOLDER)
        return refuse(life, SIDE_TARGET, ERROR_FILE, EISDIR, "is a folder", err);
    bool same = address_same_machine(&life->run->addresses[SIDE_SOURCE],
                                     &life->run->addresses[SIDE_TARGET]) &&
                target->kind != FILE_NONE && source->device == target->device &&
                source->inode == target->inode;
    if (same || evidence_overlap(source, target))
        return refuse_same(life, err);
    if (life->run->wish->file.no_inplace && target->kind != FILE_NONE &&
        target->kind != FILE_REGULAR)
        return refuse(life, SIDE_TARGET, ERROR_USAGE, EINVAL,
                      "is no regular file, and --no-inplace is for those", err);
    return refuse_with_pipe(life, err);
}

int life_fit_part(struct life *life, struct error *err)
{
    struct job_wish *wish = &life->job.wish;
    uint64_t size_bytes = life->job.facts[SIDE_SOURCE].size_bytes;
    char name[LIFE_SHOWN_BYTES];
    if (wish->part_end == 0)
        return 0;
    plan_name(life, SIDE_SOURCE, name);
    if (life_pipes(life, SIDE_SOURCE) || life_pipes(life, SIDE_TARGET))
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: --range is not possible with a pipe, which has no places",
                               name);
    if (wish->part_start >= size_bytes)
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: ends at byte %llu, before the range begins: --range=%llu,%llu",
                               name, (unsigned long long)size_bytes,
                               (unsigned long long)wish->part_start,
                               (unsigned long long)(wish->part_end - wish->part_start));
    if (wish->part_end > size_bytes)
        log_note("%s: ends at byte %llu, and so does the range", name,
                 (unsigned long long)size_bytes);
    wish->part_end = min_u64(wish->part_end, size_bytes);
    return 0;
}

const char *life_skip(const struct life *life)
{
    const struct facts *facts = life->job.facts;
    const struct rules *rules = life->run->wish->tour.rules;
    bool operand = life->job.roots[SIDE_SOURCE].number == 0; /* a walk has asked by itself */
    if (operand && rules_hide(rules, place_name(life->job.source_path), false))
        return "a filter rule leaves it out";
    return choice_skip(life->run->wish, &facts[SIDE_SOURCE], &facts[SIDE_TARGET],
                       life->job.journal_present);
}

static bool same_size(const struct facts *a, const struct facts *b)
{
    return a->kind == FILE_REGULAR && b->kind == FILE_REGULAR && a->size_bytes == b->size_bytes;
}

struct outcome life_up_to_date(const struct life *life)
{
    const struct outcome none = {.kind = OUTCOME_NONE};
    const struct job *job = &life->job;
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &job->facts[SIDE_TARGET];
    const struct copy_wish *wish = life->run->wish;
    const char *why = NULL;
    char shown[LIFE_SHOWN_BYTES];
    if (life_pipes(life, SIDE_SOURCE) || life_pipes(life, SIDE_TARGET))
        return none;
    if (wish->checksum || job->journal_present || wish->file.resume == RESUME_RESTART)
        return none;
    /* They want it to be read. */
    if (wish->verify || wish->manifest_path || wish->digest_path || wish->base_absent)
        return none;
    bool sized = wish->choice.size_only && same_size(source, target);
    enum evidence_grade grade =
        wish->ignore_times ? EVIDENCE_NONE
                           : evidence_up_to_date(source, target, wish->modify_window_ns, &why);
    if (grade == EVIDENCE_STRONG)
        return outcome_up_to_date("size and modification time");
    if (sized)
        return outcome_believed("the size alone, by --size-only");
    if (grade == EVIDENCE_WEAK)
        log_note("%s: size and time are those of the source, and prove nothing: %s; comparing",
                 life_shown(life, SIDE_TARGET, shown), why);
    return none;
}

/* What is asked of the run that only the ordinary steps do. */
static const char *road_of_wishes(const struct copy_wish *wish)
{
    const struct job_wish *file = &wish->file;
    const struct choice_wish *choice = &wish->choice;
    if (choice->update || choice->existing || choice->ignore_existing || choice->max_size_set ||
        choice->min_size_bytes > 0)
        return "what it is decides whether it is copied, or an early journal does the next time";
    if (wish->attributes[ATTRIBUTE_XATTRS] != ATTRIBUTE_DEFAULT ||
        wish->attributes[ATTRIBUTE_ACLS] != ATTRIBUTE_DEFAULT)
        return "more belongs to it than its data";
    if (wish->dry_run)
        return "nothing is to be changed";
    if (wish->verify || wish->manifest_path || wish->base_path || wish->digest_path ||
        wish->checksum)
        return "chunks of it are to be read, or listed";
    if (file->cache != POLICY_AUTO || file->strict || file->cache_max_set)
        return "how it is kept out of the cache was wished";
    if (file->journal_path || file->resume != RESUME_AUTO)
        return "its journal was wished";
    if (file->size_bytes > 0)
        return "a size was promised, which only a pipe may have";
    if (file->reflink == REFLINK_ALWAYS)
        return "it is to be had by reference";
    return wish->sparse ? "holes are to be made" : NULL;
}

/* A file of that kind and size, as far as is known. */
static bool road_is_small(const struct life *life, enum side_role role)
{
    const struct facts *facts = &life->job.facts[role];
    return !life->described[role] ||
           (facts->kind == FILE_REGULAR && facts->size_bytes <= SMALL_BYTES_MAX);
}

const char *life_road(const struct life *life)
{
    const struct job *job = &life->job;
    const char *why = road_of_wishes(life->run->wish);
    if (why)
        return why;
    if (job->wish.part_end > 0)
        return "it is a part of a file";
    if (job->wish.no_inplace)
        return "it is to be written beside its name";
    if (life->run->wish->tour.rules && job->roots[SIDE_SOURCE].number == 0)
        return "a filter rule may leave it out";
    if (job->wish.reflink == REFLINK_AUTO && life->run->shares && *life->run->shares)
        return "perhaps it can be had by reference";
    if (life->kind != LIFE_COPY || !life->run->takes_small || !*life->run->takes_small)
        return "there are no others, or the target takes none as a whole";
    if (job->journal_present)
        return "a journal is at the target";
    if (job->facts[SIDE_TARGET].kind != FILE_NONE && !road_is_small(life, SIDE_TARGET))
        return "something else is at the target";
    if (job->facts[SIDE_TARGET].kind != FILE_NONE && life->run->wish->choice.size_only)
        return "an older one may have its size before it has its content";
    return road_is_small(life, SIDE_SOURCE) ? NULL : "it is not small, or no file";
}

static bool has_holes(const struct facts *source)
{
    return source->kind == FILE_REGULAR && source->allocated_bytes < source->size_bytes;
}

/* Zeros are left out where nothing else stands: the plan says where that is. */
static bool life_sparse(const struct life *life)
{
    return life->run->wish->sparse || has_holes(&life->job.facts[SIDE_SOURCE]);
}

bool life_preallocates(const struct life *life)
{
    bool known = !life_pipes(life, SIDE_SOURCE) || life->job.facts[SIDE_SOURCE].size_bytes > 0;
    return known && !life_sparse(life) && !life->run->wish->no_preallocate;
}

static uint64_t life_end_bytes(const struct life *life)
{
    const struct job *job = &life->job;
    return job->wish.part_end > 0 ? job->wish.part_end : job->facts[SIDE_SOURCE].size_bytes;
}

static int make_copy_plan(struct life *life, struct error *err)
{
    const struct job *job = &life->job;
    const struct copy_wish *wish = life->run->wish;
    const struct budget *budget = life->run->budget;
    /* Verification stays behind two windows and what is in flight, so that it finds them closed. */
    uint64_t lag_bytes = 3 * (uint64_t)budget->window_bytes + budget->memory_bytes;
    bool piped = life_pipes(life, SIDE_TARGET);
    bool resume = job->journal == JOURNAL_FITS;
    /* All bytes are wanted here, and in their order: of what is listed, too. */
    bool again = resume && life->whole;
    if (again)
        log_note("%s: what is there is read for --digest-file", job->target_path);
    const struct plan_config config = {
        .size_bytes = life_pipes(life, SIDE_SOURCE) ? PLAN_SIZE_UNKNOWN : life_end_bytes(life),
        .start_bytes = job->wish.part_start,
        .chunk_bytes = job->chunk_bytes,
        .compare_bytes = again ? job->facts[SIDE_SOURCE].size_bytes : job->old_bytes,
        .rewrite = !job->target_readable || job->wish.resume == RESUME_RESTART,
        .sparse = !piped && has_holes(&job->facts[SIDE_SOURCE]),
        .blank = !piped && life_sparse(life) && job->facts[SIDE_TARGET].kind != FILE_DEVICE,
        .resume = resume && !again,
        .trust = wish->file.resume == RESUME_APPEND && !wish->verify &&
                 job->journal_source_proven && job->journal_target_proven,
        .against_source = wish->file.resume == RESUME_APPEND_VERIFY || !job->journal_source_proven,
        .verify = wish->verify,
        .verify_lag = (uint32_t)min_u64(lag_bytes / job->chunk_bytes, PLAN_VERIFY_MAX / 2 - 1),
    };
    return plan_open(&life->plan, &config, life->progress, life->run->control, err);
}

static int make_verify_plan(struct life *life, struct error *err)
{
    const struct job *job = &life->job;
    const struct plan_config config = {
        .size_bytes = job->facts[SIDE_SOURCE].size_bytes,
        .chunk_bytes = job->chunk_bytes,
        .compare_bytes = job->facts[SIDE_TARGET].size_bytes,
        .resume = job->source_path == NULL,
        .compare_only = life->weighed ? "" : job->target_path,
    };
    return plan_open(&life->plan, &config, life->progress, life->run->control, err);
}

int life_make_plan(struct life *life, struct error *err)
{
    return life->kind == LIFE_COMPARE ? make_verify_plan(life, err) : make_copy_plan(life, err);
}

int life_make_compare_plan(struct life *life, struct error *err)
{
    const struct facts *source = &life->job.facts[SIDE_SOURCE];
    const struct plan_config config = {
        .size_bytes = life_end_bytes(life),
        .start_bytes = life->job.wish.part_start,
        .chunk_bytes = life->job.chunk_bytes,
        .compare_bytes = source->size_bytes,
        .sparse = has_holes(source),
    };
    life->found->copied_bytes = life->progress->bytes_copied;
    life->found->kept_bytes = life->progress->bytes_kept;
    life->found->holes_bytes = life->progress->bytes_holes;
    plan_close(life->plan);
    life->plan = NULL;
    if (life->whole)
        whole_restart(life->whole);
    return plan_open(&life->plan, &config, life->progress, life->run->control, err);
}

bool life_options_kept(const struct life *life)
{
    const struct copy_wish *wish = life->run->wish;
    const struct progress *progress = life->progress;
    uint64_t there_bytes = progress->bytes_verified + progress->bytes_holes;
    return (!(wish->manifest_path || wish->base_path) || life->manifest_made) &&
           (!wish->digest_path || life->whole_text[0]) &&
           (!wish->verify || there_bytes == progress->bytes_total);
}

int life_read_manifest(void *argument, struct error *err)
{
    struct life *life = argument;
    struct job *job = &life->job;
    struct journal_reader *reader = NULL;
    struct journal_header header;
    const char *path = life->run->wish->manifest_path;
    int result = journal_reader_open(&reader, AT_FDCWD, path, &header, err);
    journal_reader_close(reader);
    if (result == -ENOENT)
        return error_set(err, ENOENT, "%s", path);
    if (result < 0)
        return result;
    if (!header.manifest)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s: is a journal, not a manifest", path);
    if (!is_power_of_two(header.chunk_bytes) || header.chunk_bytes < CHUNK_BYTES_MIN)
        return error_set_class(err, ERROR_FILE, EBADMSG, "%s: has chunks of %u bytes", path,
                               header.chunk_bytes);
    if (header.chunk_bytes > life->run->budget->chunk_bytes)
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "%s: has chunks of %u bytes, more than the buffers of this run; "
                               "--chunk-size=%u allows them",
                               path, header.chunk_bytes, header.chunk_bytes);
    job->chunk_bytes = header.chunk_bytes;
    job->facts[SIDE_SOURCE] = (struct facts){
        .kind = FILE_REGULAR,
        .size_bytes = header.size_bytes,
        .inode = header.target.inode,
        .mtime_seconds = header.target.mtime_seconds,
        .mtime_ns = header.target.mtime_ns,
    };
    return 0;
}

struct outcome life_compared(struct life *life, struct error *err)
{
    const struct job *job = &life->job;
    uint64_t source_bytes = job->facts[SIDE_SOURCE].size_bytes;
    uint64_t target_bytes = job->facts[SIDE_TARGET].size_bytes;
    const char *other = job->source_path ? job->source_path : life->run->wish->manifest_path;
    /* A device has the size that it has. */
    bool behind = target_bytes > source_bytes && job->facts[SIDE_TARGET].kind == FILE_DEVICE;
    if (behind)
        log_note("%s: is a device and larger than %s; the %llu bytes behind are not "
                 "compared",
                 job->target_path, other, (unsigned long long)(target_bytes - source_bytes));
    else if (target_bytes > source_bytes)
        log_range(LOG_DIFFERS, job->target_path, source_bytes, target_bytes - source_bytes);
    if (life->progress->bytes_differing > 0 || (target_bytes != source_bytes && !behind))
        error_set_class(err, ERROR_MISMATCH, EBADMSG, "%s: differs from %s", job->target_path,
                        other);
    return outcome_equal(life->proof.complete, life->progress->bytes_differing, err);
}
