/* engine_threads.c - a fixed pool of threads that execute plain system calls.
 *
 * For kernels and containers without io_uring. Requests wait in one list, finished ones in another,
 * both linked through the requests themselves: nothing is allocated after opening, and the callers'
 * depth bounds both. An eventfd is readable exactly while the finished list is not empty. */
#include "haul/engine.h"

#include "haul/num.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* More threads than this only wait for the same disk: depth 4-16 saturates it (measured). */
enum { THREADS_MAX = 16 };

/* System calls need little. Default stacks are 8 MiB of address space each, too much for 32-bit. */
enum { STACK_BYTES = 128 * 1024 };

struct request_list {
    struct request *head; /* oldest first */
    struct request **tail;
};

struct pool {
    struct engine engine; /* first: see engine.h */
    pthread_mutex_t lock; /* guards everything below but threads */
    pthread_cond_t work;  /* queued is not empty, or stopping */
    struct request_list queued;
    struct request_list finished;
    bool stopping;
    int event_fd;
    uint32_t threads_count;
    pthread_t threads[THREADS_MAX];
};

static void list_init(struct request_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static void list_put(struct request_list *list, struct request *request)
{
    request->next = NULL;
    *list->tail = request;
    list->tail = &request->next;
}

static struct request *list_take(struct request_list *list)
{
    struct request *request = list->head;
    if (!request)
        return NULL;
    list->head = request->next;
    if (!list->head)
        list->tail = &list->head;
    return request;
}

/* Readable from now on, or not any more. With the lock held, so that it always tells the state of
 * the finished list. Neither can fail: the counter goes from 0 to 1 and back. */
static void announce(struct pool *pool, bool finished)
{
    uint64_t value = 1;
    ssize_t moved = finished ? write(pool->event_fd, &value, sizeof(value))
                             : read(pool->event_fd, &value, sizeof(value));
    assert(moved == sizeof(value));
    (void)moved;
}

static void *worker(void *argument)
{
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->queued.head && !pool->stopping)
            pthread_cond_wait(&pool->work, &pool->lock);
        struct request *request = list_take(&pool->queued);
        if (!request)
            break; /* stopping, and everything that was submitted has been executed */
        pthread_mutex_unlock(&pool->lock);
        int result = (int)engine_execute(request);
        pthread_mutex_lock(&pool->lock);
        request->result = result;
        bool was_empty = !pool->finished.head;
        list_put(&pool->finished, request);
        if (was_empty)
            announce(pool, true);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int threads_submit(struct engine *engine, struct request *request)
{
    struct pool *pool = (struct pool *)engine;
    pthread_mutex_lock(&pool->lock);
    list_put(&pool->queued, request);
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

static int collect(struct pool *pool, struct request **out, uint32_t max)
{
    uint32_t count = 0;
    pthread_mutex_lock(&pool->lock);
    while (count < max && pool->finished.head)
        out[count++] = list_take(&pool->finished);
    if (count > 0 && !pool->finished.head)
        announce(pool, false);
    pthread_mutex_unlock(&pool->lock);
    return (int)count;
}

static int threads_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    struct pool *pool = (struct pool *)engine;
    int count = collect(pool, out, max);
    if (count > 0 || !wait)
        return count;
    struct pollfd ready = {.fd = pool->event_fd, .events = POLLIN};
    if (poll(&ready, 1, -1) < 0)
        return errno == EINTR ? 0 : -errno;
    return collect(pool, out, max);
}

static int threads_wait_fd(const struct engine *engine)
{
    return ((const struct pool *)engine)->event_fd;
}

static void threads_close(struct engine *engine)
{
    struct pool *pool = (struct pool *)engine;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->threads_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    if (pool->event_fd >= 0)
        close(pool->event_fd);
    free(pool);
}

static const struct engine_ops threads_ops = {
    .kind = ENGINE_THREADS,
    .submit = threads_submit,
    .reap = threads_reap,
    .wait_fd = threads_wait_fd,
    .close = threads_close,
};

/* Starts up to `wanted` threads. Fewer are enough to work (a cgroup's pids limit, RLIMIT_NPROC);
 * without any, the error. Signals are for the thread that owns the engine: here they are blocked.
 */
static int start_threads(struct pool *pool, uint32_t wanted)
{
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status != 0)
        return -status;
    size_t stack_bytes = (size_t)max_u64(STACK_BYTES, (uint64_t)PTHREAD_STACK_MIN);
    status = pthread_attr_setstacksize(&attributes, stack_bytes);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (status == 0 && pool->threads_count < wanted) {
        pthread_t *thread = &pool->threads[pool->threads_count];
        status = pthread_create(thread, &attributes, worker, pool);
        if (status == 0)
            pool->threads_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return pool->threads_count > 0 ? 0 : -status;
}

int engine_threads_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the engine threads");
    pool->engine.ops = &threads_ops;
    pool->engine.depth = config->depth;
    list_init(&pool->queued);
    list_init(&pool->finished);
    pthread_mutex_init(&pool->lock, NULL); /* the default kinds cannot fail in glibc */
    pthread_cond_init(&pool->work, NULL);
    int status = 0;
    pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->event_fd < 0)
        status = error_set(err, errno, "eventfd for the engine threads");
    if (status == 0) {
        status = start_threads(pool, (uint32_t)min_u64(config->depth, THREADS_MAX));
        if (status < 0)
            error_set(err, -status, "no thread for the engine threads");
    }
    if (status < 0) {
        threads_close(&pool->engine);
        return status;
    }
    *out = &pool->engine;
    return 0;
}
