/* copy_dry.c - --dry-run: what a run would begin with. Changes nothing. */
#include "copy_state.h"

#include <stdio.h>

/* --dry-run: both sides look at all that OPEN would meet. */
static int copy_probe(struct copy *copy, struct error *err)
{
    struct job_wish *wish = &copy->lead->job.wish;
    const struct facts *source = &copy->lead->job.facts[END_SOURCE];
    wish->dry = true;
    wish->preallocate = !copy_has_holes(source) && !copy->wish.sparse && !copy->wish.no_preallocate;
    int result = lane_call(copy->lead, END_SOURCE, END_DESCRIBE, err);
    return result < 0 ? result : lane_call(copy->lead, END_TARGET, END_DESCRIBE, err);
}

/* --dry-run: what would become of the target, behind "would". */
static const char *copy_would(const struct copy *copy, const struct job *job)
{
    enum resume_wish resume = copy->wish.resume;
    if (job->facts[END_TARGET].kind == FILE_NONE)
        return "be created";
    if (resume == RESUME_RESTART)
        return "be written anew";
    if (job->journal_present)
        return "be gone on with from its journal";
    return "be compared, and what differs written";
}

/* YXcstpoguax of rsync(1). Content is not compared here, so c never is. */
void copy_itemize(const struct copy *copy, struct receipt *receipt)
{
    const struct job *job = &copy->lead->job;
    const struct facts *source = &job->facts[END_SOURCE], *target = &job->facts[END_TARGET];
    const uint8_t *wish = job->wish.attributes;
    bool sent = copy->addresses[END_TARGET].kind == ADDRESS_REMOTE;
    bool size = source->size_bytes != target->size_bytes;
    bool times = source->mtime_seconds != target->mtime_seconds;
    bool mode = wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && source->mode != target->mode;
    bool owner = wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE && source->uid != target->uid;
    bool group = wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE && source->gid != target->gid;
    bool moves = receipt->outcome.kind != OUTCOME_UP_TO_DATE;
    char direction = (char)(!moves ? '.' : sent ? '<' : '>');
    if (target->kind == FILE_NONE)
        snprintf(receipt->changes, sizeof(receipt->changes), "%cf+++++++++", direction);
    else if (moves || mode || owner || group)
        snprintf(receipt->changes, sizeof(receipt->changes), "%cf.%c%c%c%c%c...", direction,
                 size ? 's' : '.', times ? 't' : '.', mode ? 'p' : '.', owner ? 'o' : '.',
                 group ? 'g' : '.');
}

int copy_dry(struct copy *copy, struct receipt *receipt, struct error *err)
{
    receipt->would = copy_would(copy, &copy->lead->job);
    int result = copy_probe(copy, err);
    receipt->outcome = outcome_dry(err);
    return result;
}
