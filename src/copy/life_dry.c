/* life_dry.c - --dry-run: what a run would begin with. Changes nothing. */
#include "life_state.h"

#include <stdio.h>

/* --dry-run: what would become of the target, behind "would". */
const char *life_would(const struct life *life)
{
    const struct job *job = &life->job;
    enum resume_wish resume = life->run->wish->file.resume;
    if (job->facts[SIDE_TARGET].kind == FILE_NONE)
        return "be created";
    if (life_pipes(life, SIDE_TARGET))
        return "be written to";
    if (resume == RESUME_RESTART || life_pipes(life, SIDE_SOURCE))
        return "be written anew";
    if (job->journal_present)
        return "be gone on with from its journal";
    return "be compared, and what differs written";
}

/* YXcstpoguax of rsync(1). Content is not compared here, so c never is. */
void life_itemize(struct life *life)
{
    const struct job *job = &life->job;
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &job->facts[SIDE_TARGET];
    const uint8_t *wish = job->wish.attributes;
    bool sent = life->run->addresses[SIDE_TARGET].kind == ADDRESS_REMOTE;
    bool size = source->size_bytes != target->size_bytes;
    bool times = source->mtime_seconds != target->mtime_seconds;
    bool mode = wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && source->mode != target->mode;
    bool owner = wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE && source->uid != target->uid;
    bool group = wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE && source->gid != target->gid;
    bool moves = life->outcome.kind != OUTCOME_UP_TO_DATE;
    char direction = (char)(!moves ? '.' : sent ? '<' : '>');
    if (target->kind == FILE_NONE)
        snprintf(life->changes, sizeof(life->changes), "%cf+++++++++", direction);
    else if (moves || mode || owner || group)
        snprintf(life->changes, sizeof(life->changes), "%cf.%c%c%c%c%c...", direction,
                 size ? 's' : '.', times ? 't' : '.', mode ? 'p' : '.', owner ? 'o' : '.',
                 group ? 'g' : '.');
}
