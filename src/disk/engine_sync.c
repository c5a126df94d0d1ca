/* engine_sync.c - one request after the other, in the order of submission, inside reap.
 *
 * The oracle: the other engines must give what this one gives. */
#include "haul/disk/engine.h"

#include <errno.h>
#include <stdlib.h>

struct sync_engine {
    struct engine engine; /* first: see engine.h */
    struct queue queued;  /* requests */
};

static int sync_submit(struct engine *engine, struct request *request)
{
    struct sync_engine *sync = (struct sync_engine *)engine;
    queue_put(&sync->queued, &request->link);
    return 0;
}

/* One request a call, however many were asked for: the caller then looks at its signals and its
 * progress after each. */
static int sync_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    (void)max;
    (void)wait;
    struct sync_engine *sync = (struct sync_engine *)engine;
    struct request *request = queue_take(&sync->queued);
    if (!request)
        return 0;
    request->result = (int)engine_execute(request);
    out[0] = request;
    return 1;
}

static int sync_wait_fd(struct engine *engine)
{
    (void)engine;
    return -1;
}

static void sync_close(struct engine *engine)
{
    free(engine);
}

static const struct engine_ops sync_ops = {
    .kind = ENGINE_SYNC,
    .submit = sync_submit,
    .reap = sync_reap,
    .wait_fd = sync_wait_fd,
    .close = sync_close,
};

int engine_sync_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    struct sync_engine *sync = calloc(1, sizeof(*sync));
    if (!sync)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the engine sync");
    sync->engine.ops = &sync_ops;
    sync->engine.depth = config->depth;
    *out = &sync->engine;
    return 0;
}
