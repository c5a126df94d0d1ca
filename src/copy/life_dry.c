/* life_dry.c - --dry-run: what a run would begin with. Changes nothing. */
#include "life_state.h"

#include "haul/copy/itemize.h"

#include <string.h>

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
    if (job->wish.no_inplace)
        return "be replaced";
    if (job->journal_present)
        return "be gone on with from its journal";
    return "be compared, and what differs written";
}

void life_itemize(struct life *life)
{
    const struct job *job = &life->job;
    bool sent = life->run->addresses[SIDE_TARGET].kind == ADDRESS_REMOTE;
    bool moves = life->outcome.kind != OUTCOME_UP_TO_DATE;
    itemize(life->changes, &(struct itemize){
                               .update = (char)(!moves ? '.'
                                                : sent ? '<'
                                                       : '>'),
                               .wish = job->wish.attributes,
                               .source = job->facts[SIDE_SOURCE],
                               .target = job->facts[SIDE_TARGET],
                               .names = job->names,
                           });
}

void life_itemize_kept(struct life *life)
{
    char *letters = life->changes;
    if (letters[0] && strspn(letters + 2, ".") == strlen(letters + 2))
        letters[0] = '.';
}

void life_itemize_changed(struct life *life, uint8_t looked)
{
    const struct side_report *report = &life->job.reports[SIDE_TARGET];
    itemize_changed(life->changes, FILE_REGULAR, looked, report->attributes_changed);
}
