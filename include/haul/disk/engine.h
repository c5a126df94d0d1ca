/* engine.h - executes I/O requests; the only code that makes data system calls.
 *
 * Three production engines (`uring`, `threads`, `sync`) and the tests' simulated one implement
 * engine_ops. Callers use the engine_* functions, which add the rules for short transfers and
 * interrupted calls, so that no caller ever sees a partial request. One engine belongs to one
 * thread. */
#ifndef HAUL_ENGINE_H
#define HAUL_ENGINE_H

#include "haul/base/error.h"
#include "haul/base/queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_kind {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_DATASYNC, /* fdatasync(fd); offset and length are ignored. Not ordered after earlier
                         requests (io_uring(7), IORING_OP_FSYNC): reap those first */
    REQUEST_WRITEBACK_START, /* sync_file_range(WRITE) */
    REQUEST_WRITEBACK_WAIT,  /* sync_file_range(WAIT_BEFORE | WRITE | WAIT_AFTER) */
    REQUEST_DROP, /* posix_fadvise(DONTNEED); does nothing for dirty or half-covered large folios */
    REQUEST_SYNC, /* fsync(fd): the metadata, too; otherwise as DATASYNC */
    REQUEST_CALL, /* call(argument): any function that may block, on a thread of the engine's own
                     (`sync`: in reap). It runs once: an EINTR or EAGAIN of its own is its result */
};

/* Owned by the caller, who must leave it and its buffer alone between engine_submit() and the
 * engine_reap() that returns it: the kernel may own the buffer (a changing buffer under a direct
 * write is undefined). */
struct request {
    struct queue_link link; /* the engine's own, while it has the request */
    /* Set by the caller. */
    enum request_kind kind;
    int fd;
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes to transfer, a multiple of `block`; WRITEBACK, DROP: the range (0: to
                        the end of the file) */
    uint32_t need;   /* READ, WRITE: bytes that must be transferred, at most `length` */
    uint32_t block; /* READ, WRITE: progress is kept in whole blocks: 1 when buffered, the alignment
                       when direct */
    void *buffer;   /* READ, WRITE: `length` bytes, aligned to `block` */
    int (*call)(void *argument); /* CALL: 0 or -errno. It may touch only what nobody else touches
                                    until it is reaped */
    void *argument;
    void *owner; /* the caller's own, returned untouched */

    /* Set by the engine when it is reaped. */
    int result;    /* 0, or -errno: nothing is known about the bytes then */
    uint32_t done; /* bytes transferred, at most `need`; less than `need` only at the end of the
                      file (READ) */

    /* The engine's own. */
    uint32_t attempts; /* retries without progress so far */
};

enum engine_kind { ENGINE_AUTO, ENGINE_URING, ENGINE_THREADS, ENGINE_SYNC, ENGINE_SIM };

struct engine_config {
    enum engine_kind kind; /* AUTO: uring, and threads where uring is refused */
    uint32_t depth; /* most requests in flight; more than ENGINE_DEPTH_MAX is a programmer error */
    void *slab;     /* the memory that most buffers lie in, to be registered; may be NULL */
    size_t slab_bytes;
};

enum { ENGINE_DEPTH_MAX = 2048, ENGINE_ATTEMPTS_MAX = 1000 };

/* Calls of one engine that run at the same time, at most. More threads only wait for the same disk:
 * depth 4-16 saturates it (measured). */
enum { ENGINE_CALLS_MAX = 16 };

struct engine;

/* What an engine implements. `raw` completions: the system call's own return value, as bytes or
 * -errno. */
struct engine_ops {
    enum engine_kind kind;
    /* Take the part of `request` that is not done yet: buffer + done, offset + done, length - done.
     * May not block, and may leave the start to the next reap or wait_fd, so that many requests
     * cost one system call. The caller keeps to the depth. 0, or -errno when the request was not
     * taken. */
    int (*submit)(struct engine *engine, struct request *request);
    /* Start what was only taken; up to `max` finished requests, with request->result = raw. With
     * wait: at least one when any is in flight. Returns the count, or -errno of the engine
     * itself. */
    int (*reap)(struct engine *engine, struct request **out, uint32_t max, bool wait);
    /* Start what was only taken; a descriptor that is readable when reap would return something at
     * once; -1: reap never waits, it does the work itself. */
    int (*wait_fd)(struct engine *engine);
    /* Waits until nothing is in flight, then frees everything. */
    void (*close)(struct engine *engine);
};

/* Implementations put this first in their own structure. */
struct engine {
    const struct engine_ops *ops;
    uint32_t depth;
    uint32_t inflight; /* requests submitted and not yet returned by engine_reap() */
    char why[160];     /* why this engine, when it is not the one that was asked for; else empty */
};

/* Opens the engine. ENGINE_URING that the kernel refuses is an error that says why; ENGINE_AUTO
 * then opens `threads` and says why in engine->why. Blocks only for thread creation. Errors:
 * -ENOMEM; uring: what the kernel answers (-EPERM, -ENOSYS, -ENOMEM, -EINVAL), -ENOSYS also when it
 * is compiled out; threads: -EAGAIN, not one thread could be started; -ENOTSUP for ENGINE_SIM. */
int engine_open(struct engine **out, const struct engine_config *config, struct error *err);

/* Each opens one engine, without fallback, with the errors said above. */
int engine_uring_open(struct engine **out, const struct engine_config *config, struct error *err);
int engine_threads_open(struct engine **out, const struct engine_config *config, struct error *err);
int engine_sync_open(struct engine **out, const struct engine_config *config, struct error *err);

/* Hand a request over. May not block, and may not start it before the next engine_reap() or
 * engine_wait_fd(), one of which has to follow. At most `depth` may be in flight: more is a
 * programmer error (assert). 0, or -errno: the request was not taken and stays the caller's. */
int engine_submit(struct engine *engine, struct request *request);

/* Up to max finished requests. EINTR, EAGAIN and short transfers have been dealt with:
 * done >= need is finished; otherwise progress is rounded down to a block and the rest submitted
 * again; no new whole block: the end of the file for a read, -EIO for a write; ENGINE_ATTEMPTS_MAX
 * retries without progress end in the last error. With wait: blocks until there is at least one, if
 * anything is in flight, or a signal comes. Returns the count (0 when nothing has finished, or
 * nothing was in flight), or -errno of the engine. */
int engine_reap(struct engine *engine, struct request **out, uint32_t max, bool wait);

/* See engine_ops.wait_fd. */
int engine_wait_fd(struct engine *engine);

/* Drains, then frees. NULL is legal. */
void engine_close(struct engine *engine);

/* "uring", "threads", "sync", "auto", "sim". */
const char *engine_name(enum engine_kind kind);

/* Execute one request's remaining part with plain system calls; returns the raw result (bytes or
 * -errno). Shared by `threads` and `sync`. Blocks. */
int64_t engine_execute(const struct request *request);

#endif
