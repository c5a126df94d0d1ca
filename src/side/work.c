/* work.c - requests of slots' operations to the engine and back, and the outcomes in order. What an
 * operation is, its caller knows. */
#include "local_state.h"

#include "haul/base/clock.h"

#include <errno.h>

void work_finish(struct local *self, struct work *work, int result)
{
    struct slot *slot = work->slot;
    slot->result = result;
    work->busy = work->waiting = false;
    queue_put(&self->ready, &slot->link);
}

void work_fail(struct local *self, struct work *work, int errnum, const char *doing)
{
    const char *path = work->open && work->open->file.path ? work->open->file.path : "";
    struct slot *slot = work->slot;
    if (errnum == ENOSPC || errnum == EDQUOT)
        error_set(slot->error, errnum, "%s: make room and run it again to go on", path);
    else if (slot->length == 0) /* of the whole file */
        error_set(slot->error, errnum, "%s: %s", path, doing);
    else
        error_set(slot->error, errnum, "%s: %s at byte %llu", path, doing,
                  (unsigned long long)slot->offset);
    work_finish(self, work, -errnum);
}

void work_submit(struct local *self, struct work *work, work_then *then)
{
    work->request.owner = &work->owner;
    work->then = then;
    int result = engine_submit(self->engine, &work->request);
    if (result == 0)
        return;
    work->request.result = result;
    work->request.done = 0;
    queue_put(&self->refused, &work->request.link);
}

void work_whole(struct local *self, struct work *work, enum request_kind kind, work_then *then)
{
    work->request = (struct request){.kind = kind, .fd = work->open->file.fd};
    work_submit(self, work, then);
}

int work_deserted(const struct local *self, const struct work *work)
{
    if (!atomic_load(&self->deserted))
        return 0;
    return error_set_class(work->slot->error, ERROR_SOCKET, ECANCELED,
                           "nobody waits for this any more");
}

bool work_is_late(const struct work *work)
{
    uint64_t doubt_ns = work->self->config.doubt_ns;
    return doubt_ns > 0 && clock_now_ns() - work->asked_ns >= doubt_ns;
}

/* By the name, with no lock on anything. An open locks first. */
static bool work_changes_path(const struct work *work)
{
    const struct slot *slot = work->slot;
    switch (slot->op) {
    case SIDE_PUT:
    case SIDE_MAKE:
    case SIDE_REMOVE:
        return !slot->job->wish.dry;
    case SIDE_ADJUST:
    case SIDE_DRESS:
        return !slot->job->wish.dry && !work->open;
    default:
        return false;
    }
}

static int work_run_call(void *argument)
{
    struct work *work = argument;
    struct roots *roots = &work->self->roots;
    const struct slot *slot = work->slot;
    kernel_memory_look(work->self->config.kernel);
    if (!work->placed)
        return work->call(work->self, work);
    int result = work_deserted(work->self, work);
    if (result == 0 && work_changes_path(work) && work_is_late(work))
        return WORK_LATE;
    if (result == 0)
        result = roots_hold(roots, &slot->job->roots[work->self->side.role], &work->place,
                            work->slot->error);
    if (result < 0)
        return result;
    result = work->call(work->self, work);
    roots_release(roots, work->place);
    return result;
}

static void work_submit_call(struct local *self, struct work *work, work_step *call,
                             work_then *then)
{
    work->self = self;
    work->call = call;
    work->request = (struct request){
        .kind = REQUEST_CALL,
        .call = work_run_call,
        .argument = work,
    };
    work_submit(self, work, then);
}

void work_call(struct local *self, struct work *work, work_step *call, work_then *then)
{
    work->placed = false;
    work_submit_call(self, work, call, then);
}

void work_call_placed(struct local *self, struct work *work, work_step *call, work_then *then)
{
    work->placed = true;
    work_submit_call(self, work, call, then);
}

void work_wait(struct local *self, struct work *work, work_then *then)
{
    work->then = then;
    work->waiting = self->waits = true;
    then(self, work, work->request.result);
}

/* The sign has come, or never will: then the call says so. */
static void work_doubted(struct local *self, struct work *work, int result)
{
    work_step *goes_on = work->goes_on;
    (void)result;
    work->waiting = work->doubt > self->assured && !atomic_load(&self->deserted);
    if (work->waiting)
        return;
    work->goes_on = NULL;
    work->asked_ns = self->alive_ns;
    work->placed = !goes_on;
    work_submit_call(self, work, goes_on ? goes_on : work->call, work->late_then);
}

void work_completed(struct local *self, struct work *work)
{
    if (work->request.kind != REQUEST_CALL || work->request.result != WORK_LATE) {
        work->then(self, work, work->request.result);
        return;
    }
    work->late_then = work->then;
    work->doubt = ++self->doubts;
    work_wait(self, work, work_doubted);
}

void work_look(struct local *self)
{
    struct queue refused = self->refused;
    struct request *request;
    self->refused = (struct queue){NULL, NULL};
    while ((request = queue_take(&refused)))
        work_completed(self, work_of_owner(request->owner));
    bool waits = self->waits;
    self->waits = false;
    for (uint32_t i = 0; waits && i < self->config.slots_count; i++) {
        struct work *work = &self->works[i];
        if (work->waiting)
            work->then(self, work, work->request.result);
        self->waits |= work->waiting;
    }
}

bool work_is_ready(const struct local *self)
{
    return self->ready.first || self->refused.first;
}

uint32_t work_take_ready(struct local *self, struct slot **out, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && self->ready.first)
        out[count++] = queue_take(&self->ready);
    return count;
}
