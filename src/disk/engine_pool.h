/* engine_pool.h - private to engine_*.c: threads that execute requests with plain system calls.
 *
 * Requests wait in one list, finished ones in another, both linked through the requests themselves:
 * nothing is allocated after opening, and the callers' depth bounds both. */
#ifndef HAUL_DISK_ENGINE_POOL_H
#define HAUL_DISK_ENGINE_POOL_H

#include "haul/disk/engine.h"

struct engine_pool;

/* Up to `wanted` threads, each when all others are busy and there is more. Fewer are enough to work
 * (a cgroup's pids limit, RLIMIT_NPROC); without any, -EAGAIN. -ENOMEM, or -errno of eventfd(2). */
int engine_pool_open(struct engine_pool **out, uint32_t wanted, struct error *err);

/* Hands a request over; never fails and never blocks on anything but the lock. */
void engine_pool_submit(struct engine_pool *pool, struct request *request);

/* Up to `max` finished requests, with request->result = raw; does not wait. There may be some
 * before the eventfd tells. */
uint32_t engine_pool_collect(struct engine_pool *pool, struct request **out, uint32_t max);

/* An eventfd that is readable while engine_pool_collect() would return something; of calls that are
 * short, and of which more are queued, not at once. */
int engine_pool_event_fd(const struct engine_pool *pool);

/* Executes what is still queued, then ends the threads and frees. NULL is legal. */
void engine_pool_close(struct engine_pool *pool);

#endif
