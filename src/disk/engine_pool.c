/* engine_pool.c - threads that execute requests with plain system calls, for the engine `threads`
 * and for what io_uring has no operation for. */
#include "engine_pool.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* To wake whoever waits costs as much as a small file. So, as long as there is more to do, it is
 * done for several calls once; not where one of the last calls took longer than that, nor by the
 * last thread that is free: the call that it goes on with may take as long as a sick disk likes. */
enum { ANNOUNCE_COUNT = 8, QUICK_COUNT = 32 };
static const uint64_t quick_ns = 5 * NS_PER_MS;

/* System calls need little. Default stacks are 8 MiB of address space each, too much for 32-bit. */
enum { STACK_BYTES = 128 * 1024 };

struct engine_pool {
    pthread_mutex_t lock; /* guards everything below but threads */
    pthread_cond_t work;  /* queued is not empty, or stopping */
    struct queue queued;  /* requests */
    struct queue finished;
    uint32_t finished_count;
    uint32_t quick_count; /* calls, the last ones in a row */
    bool announced;       /* the eventfd is readable, or is about to be */
    bool stopping;
    bool waking;  /* one was woken and has not looked yet */
    bool growing; /* the last one in the row is being started and has not looked yet */
    int event_fd;
    uint32_t idle_count, threads_count, threads_most;
    pthread_t threads[ENGINE_CALLS_MAX];
};

/* Without the lock, which whoever wakes up by it wants. It cannot fail: the counter is 0. */
static void tell(const struct engine_pool *pool)
{
    const uint64_t value = 1;
    ssize_t wrote = write(pool->event_fd, &value, sizeof(value));
    assert(wrote == sizeof(value));
    (void)wrote;
}

/* With the lock held. true: tell(), since that is to be told and nobody has. Who is woken, as one
 * is where there is more to do, looks again. */
static bool is_to_be_told(struct engine_pool *pool)
{
    bool woken = pool->waking || pool->idle_count > 0;
    bool soon = pool->queued.first && woken && pool->finished_count < ANNOUNCE_COUNT &&
                pool->quick_count >= QUICK_COUNT;
    bool told = pool->announced || !pool->finished.first || soon;
    pool->announced |= !told;
    return !told;
}

/* With the lock held. true: somebody is to be woken, without it. One at a time: whoever is woken
 * wakes the next, if there is still something to do then. So calls that take no longer than a
 * thread to wake do not wake them all, and of calls that wait for a disk as many run beside each
 * other as there are threads. */
static bool is_to_be_woken(struct engine_pool *pool)
{
    if (pool->waking || pool->idle_count == 0 || !pool->queued.first)
        return false;
    pool->waking = true;
    return true;
}

/* With the lock held. true: grow(), without it. All have something to do, and there is more. Who
 * becomes idle meanwhile is woken all the same: perhaps there will be no new thread. */
static bool is_to_grow(struct engine_pool *pool)
{
    if (pool->growing || pool->waking || pool->idle_count > 0 || !pool->queued.first ||
        pool->stopping || pool->threads_count == pool->threads_most)
        return false;
    pool->growing = true;
    pool->threads_count++;
    return true;
}

static void *worker(void *argument);

/* Signals are for the thread that owns the engine: here they are blocked. */
static int start_thread(struct engine_pool *pool, pthread_t *thread)
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
    if (status == 0)
        status = pthread_create(thread, &attributes, worker, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -status;
}

/* One at a time, as `growing` is set: nobody else changes the count meanwhile. */
static void grow(struct engine_pool *pool)
{
    if (start_thread(pool, &pool->threads[pool->threads_count - 1]) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->threads_most = --pool->threads_count;
    pool->growing = false;
    pthread_mutex_unlock(&pool->lock);
}

/* With the lock held, as it is afterwards. */
static void execute(struct engine_pool *pool, struct request *request)
{
    bool tells = is_to_be_told(pool), wakes = is_to_be_woken(pool), grows = is_to_grow(pool);
    pthread_mutex_unlock(&pool->lock);
    if (tells)
        tell(pool);
    if (wakes)
        pthread_cond_signal(&pool->work);
    if (grows)
        grow(pool);
    uint64_t begun_ns = clock_now_ns();
    int result = request ? (int)engine_execute(request) : 0;
    bool quick = clock_now_ns() - begun_ns < quick_ns;
    pthread_mutex_lock(&pool->lock);
    if (!request)
        return;
    request->result = result;
    queue_put(&pool->finished, &request->link);
    pool->finished_count++;
    pool->quick_count = quick ? pool->quick_count + 1 : 0;
}

/* Until it stops, and everything that was submitted has been executed. */
static void *worker(void *argument)
{
    struct engine_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    pool->growing = false;
    for (;;) {
        struct request *request = queue_take(&pool->queued);
        if (request || (pool->finished.first && !pool->announced)) {
            execute(pool, request);
            continue;
        }
        if (pool->stopping)
            break;
        pool->idle_count++;
        pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle_count--;
        pool->waking = false;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

void engine_pool_submit(struct engine_pool *pool, struct request *request)
{
    pthread_mutex_lock(&pool->lock);
    queue_put(&pool->queued, &request->link);
    bool wakes = is_to_be_woken(pool), grows = is_to_grow(pool);
    pthread_mutex_unlock(&pool->lock);
    if (wakes)
        pthread_cond_signal(&pool->work);
    if (grows)
        grow(pool);
}

uint32_t engine_pool_collect(struct engine_pool *pool, struct request **out, uint32_t max)
{
    uint32_t count = 0;
    pthread_mutex_lock(&pool->lock);
    while (count < max && pool->finished.first)
        out[count++] = queue_take(&pool->finished);
    pool->finished_count -= count;
    /* What is told only now is read the next time. */
    uint64_t value;
    if (!pool->finished.first && pool->announced &&
        read(pool->event_fd, &value, sizeof(value)) == sizeof(value))
        pool->announced = false;
    pthread_mutex_unlock(&pool->lock);
    return count;
}

int engine_pool_event_fd(const struct engine_pool *pool)
{
    return pool->event_fd;
}

static uint32_t thread_count(struct engine_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint32_t count = pool->threads_count;
    pthread_mutex_unlock(&pool->lock);
    return count;
}

void engine_pool_close(struct engine_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    /* Who starts a thread is before it in the row, so that one is there when its turn comes. */
    for (uint32_t i = 0; i < thread_count(pool); i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    if (pool->event_fd >= 0)
        close(pool->event_fd);
    free(pool);
}

int engine_pool_open(struct engine_pool **out, uint32_t wanted, struct error *err)
{
    struct engine_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the engine threads");
    pthread_mutex_init(&pool->lock, NULL); /* the default kinds cannot fail in glibc */
    pthread_cond_init(&pool->work, NULL);
    int status = 0;
    pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->event_fd < 0)
        status = error_set(err, errno, "eventfd for the engine threads");
    if (status == 0) {
        pool->threads_most = (uint32_t)min_u64(wanted, ENGINE_CALLS_MAX);
        pool->threads_count = 1;
        pool->growing = true;
        status = start_thread(pool, &pool->threads[0]);
        if (status < 0)
            error_set(err, -status, "no thread for the engine threads");
    }
    if (status < 0) {
        pool->threads_count = 0;
        engine_pool_close(pool);
        return status;
    }
    *out = pool;
    return 0;
}
