/* copy_again.c - the end of the source's part: was it what it was all the time? A status change (a
 * new name, link or mode, a time put back) may hide a write, so what was copied is compared then.
 */
#include "copy_state.h"

#include "haul/log.h"

#include <errno.h>

enum { AGAIN_MAX = 3 }; /* of a source that does not come to rest */

static int again_plan(struct copy *copy, struct plan **plan, struct error *err)
{
    const struct job *job = &copy->lead->job;
    const struct facts *source = &job->facts[END_SOURCE];
    const struct plan_config config = {
        .size_bytes = source->size_bytes,
        .chunk_bytes = job->chunk_bytes,
        .compare_bytes = source->size_bytes,
        .sparse = source->kind == FILE_REGULAR && source->allocated_bytes < source->size_bytes,
    };
    plan_close(*plan);
    *plan = NULL;
    return plan_open(plan, &config, &copy->progress, copy->control, err);
}

/* A commit has closed it. */
static int again_open(struct copy *copy, struct error *err)
{
    struct lane *lane = copy->lead;
    struct facts *facts = &lane->job.facts[END_SOURCE];
    const struct facts before = *facts;
    (void)lane_call(lane, END_SOURCE, END_ABANDON, NULL);
    int result = lane_call(lane, END_SOURCE, END_OPEN, err);
    lane->source_open = result == 0;
    if (result == 0 && evidence_compare(&before, facts) == EVIDENCE_CHANGED)
        result = error_set_class(err, ERROR_CHANGED, ESTALE, "%s: changed while it was copied",
                                 lane->job.source_path);
    *facts = before; /* the target gets the attributes that it was opened with */
    return result;
}

/* Every chunk of the target against the source; the figures of the receipt are those of the copy.
 */
static int again_compare(struct copy *copy, struct plan **plan, struct error *err)
{
    struct progress *progress = &copy->progress;
    struct lane *lane = copy->lead;
    const uint64_t copied = progress->bytes_copied, kept = progress->bytes_kept,
                   holes = progress->bytes_holes;
    int result = again_open(copy, err);
    if (result == 0)
        result = again_plan(copy, plan, err);
    if (result < 0)
        return result;
    lane_run(lane, *plan, &copy->wish, progress, copy->control);
    progress->bytes_repaired += progress->bytes_copied - copied;
    progress->bytes_copied = copied;
    progress->bytes_kept = kept;
    progress->bytes_holes = holes;
    if (lane->result < 0)
        return error_take(err, &lane->error);
    return plan_complete(*plan)
               ? 0
               : error_set(err, EIO, "%s: not all of it was compared", lane->job.target_path);
}

int copy_finish_source(struct copy *copy, struct plan **plan, struct receipt *receipt,
                       struct error *err)
{
    struct lane *lane = copy->lead;
    for (uint32_t attempt = 0;; attempt++) {
        struct error why = {.class = ERROR_NONE};
        int result = lane_call(lane, END_SOURCE, END_COMMIT, &why);
        lane->source_open = false; /* a commit closes it, however it ends */
        bool touched = result == -EAGAIN && why.class == ERROR_CHANGED;
        if (result == 0)
            return 0;
        if (!touched || attempt == AGAIN_MAX || !lane->job.target_readable)
            return error_take(err, &why);
        log_note("%s: comparing what was copied", why.text);
        result = again_compare(copy, plan, err);
        if (result == 0) /* it may have to ask the source */
            result = copy_digest(copy, *plan, receipt, err);
        if (result < 0)
            return result;
    }
}
