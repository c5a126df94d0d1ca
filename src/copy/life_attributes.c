/* life_attributes.c - what the run wishes of owner, group, mode and times: from the options and
 * from where the source lies. The target's side does the rest. */
#include "life_state.h"

#include <sys/stat.h>

enum { SET_ID_BITS = S_ISUID | S_ISGID };

static bool same_machine(const struct life_run *run)
{
    return run->addresses[SIDE_SOURCE].kind != ADDRESS_REMOTE &&
           run->addresses[SIDE_TARGET].kind != ADDRESS_REMOTE;
}

/* Another machine's set-id bits, or those of another owner's program, only when -p or -a was
 * written out. */
static bool takes_set_id(const struct life_run *run)
{
    const struct copy_wish *wish = run->wish;
    return wish->attributes[ATTRIBUTE_MODE] >= ATTRIBUTE_ARCHIVE ||
           (same_machine(run) && !wish->file.chown);
}

void life_attributes_wish(const struct life_run *run, struct job_wish *wish)
{
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wish->attributes[i] = (uint8_t)run->wish->attributes[i];
    if (run->wish->chmod.count > 0 && wish->attributes[ATTRIBUTE_MODE] == ATTRIBUTE_DEFAULT)
        wish->attributes[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED;
    if (wish->attributes[ATTRIBUTE_ACLS] >= ATTRIBUTE_ARCHIVE &&
        wish->attributes[ATTRIBUTE_MODE] == ATTRIBUTE_DEFAULT)
        wish->attributes[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED; /* it is a part of the list */
    wish->set_id = takes_set_id(run);
    wish->numeric_ids |= same_machine(run);
    if (wish->part_end == 0)
        return;
    /* Who copies a part does not know whether the file is finished by that. */
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wish->attributes[i] = ATTRIBUTE_LEAVE;
    wish->chown = NULL;
}

/* A pipe's owner, mode and times say nothing of what comes out of it: the target is as any new
 * file. Nor can it be gone on with. */
static void take_of_new_file(struct life *life)
{
    struct job_wish *wish = &life->job.wish;
    const struct copy_wish *run = life->run->wish;
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wish->attributes[i] = ATTRIBUTE_LEAVE;
    if (run->chmod.count > 0)
        wish->attributes[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED;
    life->job.facts[SIDE_SOURCE].mode = 0666 & ~run->umask_bits;
    wish->resume = RESUME_RESTART;
}

void life_attributes_want(struct life *life)
{
    struct job *job = &life->job;
    const struct copy_wish *wish = life->run->wish;
    const struct mode_changes *changes = &wish->chmod;
    struct facts *facts = &job->facts[SIDE_SOURCE];
    bool folder = facts->kind == FILE_FOLDER;
    if (life_pipes(life, SIDE_SOURCE))
        take_of_new_file(life);
    uint32_t mode = mode_changes_apply(changes, facts->mode, wish->umask_bits, folder);
    /* Those that --chmod itself gives were asked for. */
    uint32_t given = mode_changes_apply(changes, facts->mode & ~(uint32_t)SET_ID_BITS,
                                        wish->umask_bits, folder) &
                     SET_ID_BITS;
    if (given && !job->wish.set_id) {
        mode = (mode & ~(uint32_t)SET_ID_BITS) | given;
        job->wish.set_id = true;
    }
    facts->mode = mode;
}

bool life_wants_details(const struct life *life)
{
    const uint8_t *wish = life->job.wish.attributes;
    return life->kind == LIFE_COPY && life->job.facts[SIDE_SOURCE].kind == FILE_REGULAR &&
           attributes_detail_sets(wish[ATTRIBUTE_XATTRS], wish[ATTRIBUTE_ACLS]) != 0;
}

/* As far as it can be seen from here; the target's side looks again. */
bool life_attributes_differ(const struct life *life)
{
    const struct job *job = &life->job;
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &job->facts[SIDE_TARGET];
    const uint8_t *wish = job->wish.attributes;
    uint32_t withheld = job->wish.set_id ? 0 : SET_ID_BITS & ~target->mode;
    if (source->kind != FILE_REGULAR)
        return false;
    return job->wish.chown ||
           (wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE &&
            owners_differ(OWNERS_USER, job->facts, job->names)) ||
           (wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE &&
            owners_differ(OWNERS_GROUP, job->facts, job->names)) ||
           (wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && (source->mode & ~withheld) != target->mode);
}
