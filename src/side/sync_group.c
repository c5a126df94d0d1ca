/* sync_group.c - one sync for many files. Those that come while one is under way share the next:
 * syncfs(2), which covers their data, their metadata, their names, everything that was there before
 * it began. It tells that something was lost, not what: then each file finds out for itself, and
 * so do all that are open, since it is told only once. */
#include "local_state.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/disk/filesystem.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    /* A round begins when nothing else is under way, or so many files or bytes wait, or so long. */
    ROUND_FILES = 256,
    ROUND_BYTES = 16 * 1024 * 1024,
    ROUND_WAIT_MS = 500,
    /* syncfs writes what others have written, too. When so many in a row took longer than this, and
     * than our own bytes and files take on a very slow disk, it was the last. One alone says
     * nothing: the machine stood still, and on a disk that is busy for a moment each file by itself
     * would take as long as all. */
    SLOW_ROUNDS_MAX = 3,
    ROUND_SECONDS_MAX = 2,
    SLOW_BYTES_A_SECOND = 1024 * 1024,
    SLOW_FILES_A_SECOND = 100,
};

void sync_group_init(struct sync_group *group)
{
    group->owner = OWNER_GROUP;
    group->useless = !filesystem_kernel_tells();
}

bool sync_group_may(const struct local *self, const struct open_file *open)
{
    return self->opens_count > 1 && !self->group.useless && !open->syncs_alone &&
           open->file.facts.kind == FILE_REGULAR && filesystem_tells(open->file.filesystem);
}

bool sync_group_useful(const struct local *self)
{
    return !self->group.useless;
}

void sync_group_took(struct local *self, uint32_t files, uint64_t bytes, uint64_t duration_ns)
{
    struct sync_group *group = &self->group;
    uint64_t seconds = duration_ns / NS_PER_SECOND;
    uint64_t allowed =
        ROUND_SECONDS_MAX + bytes / SLOW_BYTES_A_SECOND + files / SLOW_FILES_A_SECOND;
    group->slow_rounds = seconds > allowed ? group->slow_rounds + 1 : 0;
    if (group->slow_rounds < SLOW_ROUNDS_MAX || group->useless)
        return;
    log_verbose("syncs of several files take %" PRIu64 " s: from now on each by itself", seconds);
    group->useless = true;
}

void sync_group_join(struct local *self, struct work *work, work_step *alone, work_then *then)
{
    struct sync_group *group = &self->group;
    if (!group->waiting.first)
        group->since_ns = clock_now_ns();
    work->request = (struct request){.owner = &work->owner};
    work->call = alone;
    work->then = then;
    queue_put(&group->waiting, &work->request.link);
    group->waiting_count++;
    group->waiting_bytes += work->open->size_bytes;
}

static int run_round(void *argument)
{
    const struct sync_group *group = argument;
    return syncfs(group->fd) == 0 ? 0 : -errno;
}

/* One file system at a time. Errors are told to a descriptor from before the writes: that of the
 * file that was opened first is from before all of them. */
static void begin_round(struct local *self)
{
    struct sync_group *group = &self->group;
    struct queue waiting = group->waiting;
    struct request *request;
    const struct open_file *first = NULL;
    group->waiting = (struct queue){NULL, NULL};
    group->waiting_bytes = group->round_bytes = group->waiting_count = group->round_count = 0;
    while ((request = queue_take(&waiting))) {
        const struct open_file *open = work_of_owner(request->owner)->open;
        bool rides = !first || open->file.facts.device == first->file.facts.device;
        queue_put(rides ? &group->riding : &group->waiting, &request->link);
        *(rides ? &group->round_bytes : &group->waiting_bytes) += open->size_bytes;
        *(rides ? &group->round_count : &group->waiting_count) += 1;
        if (rides && (!first || open->opened < first->opened))
            first = open;
    }
    group->fd = first->file.fd;
    group->since_ns = clock_now_ns();
    group->request = (struct request){
        .kind = REQUEST_CALL,
        .call = run_round,
        .argument = group,
        .owner = &group->owner,
    };
    int result = engine_submit(self->engine, &group->request);
    if (result < 0) {
        group->request.result = result;
        group->refused = true;
    }
}

/* Is there nothing else at this side that could still join? */
static bool all_wait(const struct local *self)
{
    uint32_t busy_count = 0;
    for (uint32_t i = 0; i < self->config.slots_count; i++)
        busy_count += self->works[i].busy;
    return busy_count == self->group.waiting_count;
}

bool sync_group_is_due(const struct local *self)
{
    const struct sync_group *group = &self->group;
    if (group->refused)
        return true;
    return group->waiting.first && !group->riding.first &&
           (all_wait(self) || group->waiting_count >= ROUND_FILES ||
            group->waiting_bytes >= ROUND_BYTES ||
            clock_now_ns() - group->since_ns >= ROUND_WAIT_MS * NS_PER_MS);
}

void sync_group_done(struct local *self)
{
    struct sync_group *group = &self->group;
    struct queue riding = group->riding;
    struct request *request;
    int result = group->request.result;
    sync_group_took(self, group->round_count, group->round_bytes, clock_now_ns() - group->since_ns);
    group->riding = (struct queue){NULL, NULL};
    group->refused = false;
    group->since_ns = clock_now_ns();
    for (uint32_t i = 0; result < 0 && i < self->opens_end; i++)
        self->opens[i].syncs_alone = true;
    while ((request = queue_take(&riding))) {
        struct work *work = work_of_owner(request->owner);
        if (result < 0)
            work_call(self, work, work->call, work->then);
        else
            work->then(self, work, 0);
    }
}

void sync_group_look(struct local *self)
{
    if (self->group.refused)
        sync_group_done(self);
    if (sync_group_is_due(self))
        begin_round(self);
}
