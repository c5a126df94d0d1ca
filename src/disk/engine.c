/* engine.c - the choice of an engine, and the rules that hold for all of them.
 *
 * An engine moves bytes once and reports what the system call said. Here is what that means: what a
 * short transfer is worth, when to go on, when to give up. It knows nothing about rings, threads,
 * files or chunks. */
#include "haul/disk/engine.h"

#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>

static bool is_transfer(const struct request *request)
{
    return request->kind == REQUEST_READ || request->kind == REQUEST_WRITE;
}

static int open_auto(struct engine **out, const struct engine_config *config, struct error *err)
{
    ERROR_UNSET(refused);
    if (engine_uring_open(out, config, &refused) == 0)
        return 0;
    /* Whatever the reason is (seccomp, sysctl, memlock, an old kernel): threads need none of it. */
    int status = engine_threads_open(out, config, err);
    if (status == 0)
        snprintf((*out)->why, sizeof((*out)->why), "%.*s", (int)sizeof((*out)->why) - 1,
                 refused.text);
    return status;
}

int engine_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    assert(config->depth > 0 && config->depth <= ENGINE_DEPTH_MAX);
    *out = NULL;
    switch (config->kind) {
    case ENGINE_AUTO:
        return open_auto(out, config, err);
    case ENGINE_URING:
        return engine_uring_open(out, config, err);
    case ENGINE_THREADS:
        return engine_threads_open(out, config, err);
    case ENGINE_SYNC:
        return engine_sync_open(out, config, err);
    case ENGINE_SIM:
        break;
    }
    return error_set_class(err, ERROR_USAGE, ENOTSUP, "engine %s exists in the tests only",
                           engine_name(config->kind));
}

static bool is_transient(int status)
{
    return status == -EINTR || status == -EAGAIN;
}

/* Hands over what is left of the request. A kernel that is out of memory for the request itself
 * says EAGAIN (io_uring_enter(2)); that passes, so it is worth some patience. */
static int start(struct engine *engine, struct request *request)
{
    int status = engine->ops->submit(engine, request);
    for (uint32_t attempt = 0; is_transient(status) && attempt < ENGINE_ATTEMPTS_MAX; attempt++) {
        sched_yield();
        status = engine->ops->submit(engine, request);
    }
    return status;
}

int engine_submit(struct engine *engine, struct request *request)
{
    assert(engine->inflight < engine->depth);
    assert(request->offset <= NUM_OFFSET_MAX);
    assert(request->length <= NUM_OFFSET_MAX - request->offset);
    if (is_transfer(request)) {
        assert(is_power_of_two(request->block));
        assert(request->length % request->block == 0);
        assert(request->need <= request->length && request->length <= UINT32_MAX);
    }
    request->result = 0;
    request->done = 0;
    request->attempts = 0;
    int status = start(engine, request);
    if (status == 0)
        engine->inflight++;
    return status;
}

/* Takes `moved` bytes into account. true: finished, with result and done as the caller gets them.
 *
 * Direct I/O cannot go on at an unaligned position (EINVAL), and going back to the block before it
 * may give the same short answer for ever. So only new whole blocks count as progress; without one,
 * a read has met the end of the file and keeps the odd bytes, a write is not getting anywhere. */
static bool advance(struct request *request, uint32_t moved)
{
    uint64_t position = (uint64_t)request->done + moved;
    assert(position <= request->length);
    request->result = 0;
    if (position >= request->need) {
        request->done = request->need;
        return true;
    }
    uint64_t whole = align_down(position, request->block);
    if (whole > request->done) {
        request->done = num_u32(whole);
        request->attempts = 0;
        return false;
    }
    request->done = num_u32(position);
    if (request->kind == REQUEST_WRITE)
        request->result = -EIO;
    return true;
}

/* Reads a raw result. true: the request is finished. */
static bool digest_raw(struct request *request)
{
    if (request->kind == REQUEST_CALL)
        return true; /* what it did before it said EINTR is not to be done twice */
    if (is_transient(request->result))
        return ++request->attempts > ENGINE_ATTEMPTS_MAX;
    if (request->result < 0)
        return true;
    if (is_transfer(request))
        return advance(request, (uint32_t)request->result);
    request->result = 0;
    return true;
}

/* true: the request goes back to the caller. */
static bool settle(struct engine *engine, struct request *request)
{
    if (!digest_raw(request)) {
        int status = start(engine, request);
        if (status == 0)
            return false;
        request->result = status;
    }
    assert(engine->inflight > 0);
    engine->inflight--;
    return true;
}

int engine_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    assert(max > 0);
    /* Bounded: each turn in which nothing finishes brings a request a block or an attempt nearer to
     * its end. A raw 0 with wait is a signal: the caller wants to look at its flags. */
    while (engine->inflight > 0) {
        int raw_count = engine->ops->reap(engine, out, max, wait);
        if (raw_count <= 0)
            return raw_count;
        int count = 0;
        for (int i = 0; i < raw_count; i++) {
            if (settle(engine, out[i]))
                out[count++] = out[i];
        }
        if (count > 0 || !wait)
            return count;
    }
    return 0;
}

int engine_wait_fd(struct engine *engine)
{
    return engine->ops->wait_fd(engine);
}

void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    struct request *dropped[16];
    /* An engine that is itself in error stops here; its close still waits for what is in flight. */
    while (engine->inflight > 0 && engine_reap(engine, dropped, 16, true) >= 0)
        continue;
    engine->ops->close(engine);
}

const char *engine_name(enum engine_kind kind)
{
    switch (kind) {
    case ENGINE_AUTO:
        return "auto";
    case ENGINE_URING:
        return "uring";
    case ENGINE_THREADS:
        return "threads";
    case ENGINE_SYNC:
        return "sync";
    case ENGINE_SIM:
        return "sim";
    }
    return "unknown";
}
