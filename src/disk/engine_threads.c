/* engine_threads.c - every request by a pool of threads, for kernels and containers without
 * io_uring. */
#include "engine_pool.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct threads {
    struct engine engine; /* first: see engine.h */
    struct engine_pool *pool;
};

static int threads_submit(struct engine *engine, struct request *request)
{
    engine_pool_submit(((struct threads *)engine)->pool, request);
    return 0;
}

static int threads_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    struct engine_pool *pool = ((struct threads *)engine)->pool;
    uint32_t count = engine_pool_collect(pool, out, max);
    if (count > 0 || !wait)
        return (int)count;
    struct pollfd ready = {.fd = engine_pool_event_fd(pool), .events = POLLIN};
    if (poll(&ready, 1, -1) < 0)
        return errno == EINTR ? 0 : -errno;
    return (int)engine_pool_collect(pool, out, max);
}

static int threads_wait_fd(struct engine *engine)
{
    return engine_pool_event_fd(((struct threads *)engine)->pool);
}

static void threads_close(struct engine *engine)
{
    engine_pool_close(((struct threads *)engine)->pool);
    free(engine);
}

static const struct engine_ops threads_ops = {
    .kind = ENGINE_THREADS,
    .submit = threads_submit,
    .reap = threads_reap,
    .wait_fd = threads_wait_fd,
    .close = threads_close,
};

int engine_threads_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    struct threads *threads = calloc(1, sizeof(*threads));
    if (!threads)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the engine threads");
    threads->engine.ops = &threads_ops;
    threads->engine.depth = config->depth;
    int status = engine_pool_open(&threads->pool, config->depth, err);
    if (status < 0) {
        free(threads);
        return status;
    }
    *out = &threads->engine;
    return 0;
}
