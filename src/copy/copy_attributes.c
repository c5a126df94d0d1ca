/* copy_attributes.c - what the run wishes of owner, group, mode and times: from the options and
 * from where the source lies. The target's side does the rest. */
#include "copy_state.h"

#include <sys/stat.h>

enum { SET_ID_BITS = S_ISUID | S_ISGID };

/* Another machine's set-id bits, or those of another owner's program, only when -p or -a was
 * written out. */
static bool copy_takes_set_id(const struct copy *copy)
{
    const struct copy_wish *wish = &copy->wish;
    bool here = copy->addresses[END_SOURCE].kind != ADDRESS_REMOTE &&
                copy->addresses[END_TARGET].kind != ADDRESS_REMOTE;
    return wish->attributes[ATTRIBUTE_MODE] >= ATTRIBUTE_ARCHIVE || (here && !wish->chown);
}

void copy_attributes_wish(const struct copy *copy, struct job_wish *wish)
{
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wish->attributes[i] = (uint8_t)copy->wish.attributes[i];
    if (copy->wish.chmod.count > 0 && wish->attributes[ATTRIBUTE_MODE] == ATTRIBUTE_DEFAULT)
        wish->attributes[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED;
    wish->set_id = copy_takes_set_id(copy);
    wish->chown = copy->wish.chown;
}

void copy_attributes_want(const struct copy *copy, struct job *job)
{
    const struct mode_changes *changes = &copy->wish.chmod;
    struct facts *facts = &job->facts[END_SOURCE];
    uint32_t mode = mode_changes_apply(changes, facts->mode, copy->wish.umask_bits);
    /* Those that --chmod itself gives were asked for. */
    uint32_t given =
        mode_changes_apply(changes, facts->mode & ~(uint32_t)SET_ID_BITS, copy->wish.umask_bits) &
        SET_ID_BITS;
    if (given && !job->wish.set_id) {
        mode = (mode & ~(uint32_t)SET_ID_BITS) | given;
        job->wish.set_id = true;
    }
    facts->mode = mode;
}

/* As far as it can be seen from here; the target's side looks again. */
static bool copy_attributes_differ(const struct job *job)
{
    const struct facts *source = &job->facts[END_SOURCE], *target = &job->facts[END_TARGET];
    const uint8_t *wish = job->wish.attributes;
    uint32_t withheld = job->wish.set_id ? 0 : SET_ID_BITS & ~target->mode;
    return job->wish.chown ||
           (wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE && source->uid != target->uid) ||
           (wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE && source->gid != target->gid) ||
           (wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && (source->mode & ~withheld) != target->mode);
}

int copy_attributes_adjust(struct copy *copy, struct error *err)
{
    struct job *job = &copy->lead->job;
    if (job->facts[END_SOURCE].kind != FILE_REGULAR || !copy_attributes_differ(job))
        return 0;
    job->wish.dry = copy->wish.dry_run;
    return lane_call(copy->lead, END_TARGET, END_ADJUST, err);
}
