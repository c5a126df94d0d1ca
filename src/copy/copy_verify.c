/* copy_verify.c - compares a target with its source, or with a manifest, and changes nothing. */
#include "copy_state.h"

#include "haul/clock.h"
#include "haul/log.h"
#include "haul/num.h"

#include <errno.h>
#include <fcntl.h>

static int verify_open(struct copy *copy, struct error *err)
{
    struct lane *lane = copy->lead;
    int result = 0;
    if (lane->job.source_path)
        result = lane_call(lane, END_SOURCE, END_OPEN, err);
    if (result == 0)
        result = lane_call(lane, END_TARGET, END_OPEN, err);
    return result;
}

/* The manifest's header stands for the source. */
static int verify_manifest(const struct copy *copy, struct job *job, struct error *err)
{
    struct journal_reader *reader = NULL;
    struct journal_header header;
    const char *path = copy->wish.manifest_path;
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
    if (header.chunk_bytes > copy->budget.chunk_bytes)
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "%s: has chunks of %u bytes, more than the buffers of this run; "
                               "--chunk-size=%u allows them",
                               path, header.chunk_bytes, header.chunk_bytes);
    job->chunk_bytes = header.chunk_bytes;
    job->facts[END_SOURCE] = (struct facts){
        .kind = FILE_REGULAR,
        .size_bytes = header.size_bytes,
        .inode = header.target.inode,
        .mtime_seconds = header.target.mtime_seconds,
        .mtime_ns = header.target.mtime_ns,
    };
    return 0;
}

static int verify_plan(struct copy *copy, const struct job *job, struct plan **out,
                       struct error *err)
{
    const struct plan_config config = {
        .size_bytes = job->facts[END_SOURCE].size_bytes,
        .chunk_bytes = job->chunk_bytes,
        .compare_bytes = job->facts[END_TARGET].size_bytes,
        .resume = job->source_path == NULL,
        .compare_only = job->target_path,
    };
    return plan_open(out, &config, &copy->progress, copy->control, err);
}

/* Every chunk was compared: are they equal, and their lengths? */
static struct outcome verify_outcome(struct copy *copy, const struct job *job, bool complete,
                                     struct error *err)
{
    uint64_t source_bytes = job->facts[END_SOURCE].size_bytes;
    uint64_t target_bytes = job->facts[END_TARGET].size_bytes;
    const char *other = job->source_path ? job->source_path : copy->wish.manifest_path;
    /* A device has the size that it has. */
    bool behind = target_bytes > source_bytes && job->facts[END_TARGET].kind == FILE_DEVICE;
    if (behind)
        log_note("%s: is a device and larger than %s; the %llu bytes behind are not "
                 "compared",
                 job->target_path, other, (unsigned long long)(target_bytes - source_bytes));
    else if (target_bytes > source_bytes)
        log_difference(job->target_path, source_bytes, target_bytes - source_bytes);
    if (copy->progress.bytes_differing > 0 || (target_bytes != source_bytes && !behind))
        error_set_class(err, ERROR_MISMATCH, EBADMSG, "%s: differs from %s", job->target_path,
                        other);
    return outcome_equal(complete, copy->progress.bytes_differing, err);
}

static void verify_close(struct copy *copy, struct error *err)
{
    struct lane *lane = copy->lead;
    enum end_op op = error_is_set(err) ? END_ABANDON : END_COMMIT;
    if (lane->job.source_path)
        (void)lane_call(lane, END_SOURCE, op, err);
    (void)lane_call(lane, END_TARGET, op, err);
}

static int verify_run(struct copy *copy, struct receipt *receipt, bool *complete, struct error *err)
{
    const struct job *job = &copy->lead->job;
    struct plan *plan = NULL;
    int result = verify_plan(copy, job, &plan, err);
    if (result == 0 && !job->source_path)
        result = copy_list_journal(copy, plan, err);
    if (result == 0)
        result = copy_pump(copy, plan, err);
    *complete = result == 0 && plan_complete(plan);
    if (result == 0 && !*complete && !job->source_path)
        result = error_set_class(err, ERROR_FILE, EBADMSG,
                                 "%s: does not list every chunk in order; it cannot be used",
                                 copy->wish.manifest_path);
    if (result == 0)
        receipt->digest_known = plan_digest(plan, &receipt->digest);
    plan_close(plan);
    return result;
}

int copy_verify(struct copy *copy, const char *source_path, const char *target_path,
                struct receipt *receipt, struct error *err)
{
    uint64_t started_ns = clock_now_ns();
    const char *manifest_path = copy->wish.manifest_path;
    bool complete = false;
    copy_begin(copy, source_path, target_path, receipt);
    struct job *job = &copy->lead->job;
    job->wish.compare_only = true;
    job->wish.journal = false;
    job->wish.journal_path = source_path ? NULL : manifest_path;
    receipt->source_path = source_path ? source_path : manifest_path;

    int result = source_path ? 0 : verify_manifest(copy, job, err);
    if (result == 0)
        result = verify_open(copy, err);
    copy->progress.bytes_total = job->facts[END_SOURCE].size_bytes;
    if (result == 0)
        result = verify_run(copy, receipt, &complete, err);
    verify_close(copy, err);
    if (result == 0 && !error_is_set(err))
        receipt->outcome = verify_outcome(copy, job, complete, err);
    receipt->outcome = outcome_settle(receipt->outcome, result, err);
    copy->progress.phase = PHASE_DONE;
    copy_fill_receipt(copy, started_ns, receipt);
    receipt->compared = true;
    receipt->dry_run = false; /* nothing is changed anyway */
    receipt->bytes_differing = copy->progress.bytes_differing;
    return outcome_good(&receipt->outcome) ? 0 : -err->errnum;
}
