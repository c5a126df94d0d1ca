/* engine_sim.h - the engine of the tests (ENGINE_SIM): it executes requests on real files, but in
 * an order, after a time, in pieces and with failures that follow from the seed, and it checks that
 * every request keeps to the contract of engine.h and end.h. */
#ifndef HAUL_TESTS_SIM_ENGINE_H
#define HAUL_TESTS_SIM_ENGINE_H

#include "../../src/side/local_state.h"
#include "world_sim.h"

#include "haul/base/hash.h"
#include "haul/disk/engine.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* One failure that is planned: the nth request of these kinds gets this errno. */
struct sim_fault {
    uint32_t kinds; /* bits of enum request_kind; 0: none */
    uint32_t nth;   /* from 1 */
    int errnum;
    bool lasting;   /* and all later ones, too */
    bool at_submit; /* not taken, instead of failing at work */
    uint32_t seen;
};

enum {
    SIM_FAULTS_MAX = 3,
    SIM_WINDOWS_MAX = 3, /* of one file, at the same time: filled, written back, dropped */
};

struct sim_engine_plan {
    bool waits; /* no descriptor: reap itself waits, as `sync` does */
    uint32_t delay_steps_max;
    uint32_t short_chance, transient_chance; /* of a thousand */
    uint32_t refuse_direct_nth;              /* EINVAL for direct requests from this one on */
    uint32_t stuck_nth;                      /* EAGAIN for ever for this one */
    uint32_t no_progress_nth;  /* this write stores nothing, or less than a block, and says so */
    uint32_t corrupt_nth;      /* this write stores another byte, silently */
    uint32_t short_unit_bytes; /* direct transfers are cut to multiples of this */
    struct sim_fault faults[SIM_FAULTS_MAX];
};

struct sim_request {
    struct request *request;
    uint64_t ready_step, submit_step;
    struct digest before; /* of the buffer when it was submitted */
    bool stuck;
    bool
        journal; /* not of the target but of its journal, which never fails and is always durable */
};

struct sim_engine {
    struct engine engine; /* first: see engine.h */
    struct sim_file *file;
    struct sim_engine_plan plan;
    int ready_fd;
    struct sim_request inflight[ENGINE_DEPTH_MAX];
    uint32_t count;
    uint32_t direct_seen, transfers_seen, writes_seen;
    const struct request *stuck;
    uint32_t after_error_reads;
};

static const char *const sim_kind_names[] = {
    "read", "write", "datasync", "start", "wait for written", "drop", "sync", "call"};

static bool sim_is_transfer(const struct request *request)
{
    return request->kind == REQUEST_READ || request->kind == REQUEST_WRITE;
}

static bool sim_is_direct(const struct request *request)
{
    return (fcntl(request->fd, F_GETFL) & O_DIRECT) != 0;
}

static uint8_t *sim_rest(const struct request *request)
{
    return (uint8_t *)request->buffer + request->done;
}

static size_t sim_rest_bytes(const struct request *request)
{
    return (size_t)(request->length - request->done);
}

/* When the next request of this engine will be finished; UINT64_MAX: never. */
static uint64_t sim_engine_next_step(const struct sim_engine *sim)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; sim && i < sim->count; i++)
        next = min_u64(next, sim->inflight[i].ready_step);
    return next;
}

static struct sim_engine *sim_engine_of_fd(int fd)
{
    for (int role = 0; role < 2; role++) {
        if (world.engines[role] && world.engines[role]->ready_fd == fd)
            return world.engines[role];
    }
    return NULL;
}

static struct slot *sim_slot_of(const void *buffer, uint64_t length)
{
    uintptr_t start = (uintptr_t)buffer;
    for (uint32_t i = 0; i < world.slots_count; i++) {
        uintptr_t base = (uintptr_t)world.slots[i].buffer;
        if (base && start >= base && start + length <= base + world.slots[i].capacity)
            return &world.slots[i];
    }
    return NULL;
}

/* The buffer is a slot's that is with this side for exactly this. */
static void sim_check_slot(const struct sim_engine *sim, const struct request *request)
{
    const struct slot *slot = sim_slot_of(request->buffer, request->length);
    if (!slot)
        sim_fatal("a request's buffer lies in no slot");
    bool right = false;
    switch (slot->state) {
    case SLOT_FETCHING:
        right = sim->file->role == SIDE_SOURCE && request->kind == REQUEST_READ;
        break;
    case SLOT_EXAMINING:
    case SLOT_VERIFYING:
        right = sim->file->role == SIDE_TARGET && request->kind == REQUEST_READ;
        break;
    case SLOT_STORING:
    case SLOT_ERASING:
        right = sim->file->role == SIDE_TARGET && request->kind == REQUEST_WRITE;
        break;
    case SLOT_STEPPING: /* the digest of digests: what no journal lists is compared */
        right = request->kind == REQUEST_READ &&
                slot->op == (sim->file->role == SIDE_SOURCE ? SIDE_FETCH : SIDE_EXAMINE);
        break;
    default: /* nothing that moves bytes */
        break;
    }
    uint64_t position = (uint64_t)((uint8_t *)request->buffer - slot->buffer);
    if (!right || request->offset != slot->offset + position ||
        position + request->need > slot->length)
        sim_fatal("slot %u in state %d got a %s of %u bytes at %llu", slot->index, (int)slot->state,
                  sim_kind_names[request->kind], request->need,
                  (unsigned long long)request->offset);
}

static void sim_check_alignment(const struct request *request)
{
    bool direct = sim_is_direct(request);
    uint64_t both =
        request->offset | request->length | request->done | (uint64_t)(uintptr_t)request->buffer;
    if (direct != (request->block > 1) || (direct && request->block % SIM_PAGE_BYTES != 0))
        sim_fatal("block %u on a %s descriptor", request->block, direct ? "direct" : "buffered");
    if (both % request->block != 0)
        sim_fatal("unaligned: %s of %llu at %llu, %u done, into %p", sim_kind_names[request->kind],
                  (unsigned long long)request->length, (unsigned long long)request->offset,
                  request->done, request->buffer);
}

static bool sim_overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a < b + b_length && b < a + a_length;
}

/* No two requests share a buffer, and nobody reads or writes what somebody else is writing. */
static void sim_check_overlap(const struct sim_engine *sim, const struct request *request)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct sim_engine *other = world.engines[i];
        for (uint32_t k = 0; other && k < other->count; k++) {
            const struct request *one = other->inflight[k].request;
            if (one == request)
                sim_fatal("a request was submitted twice");
            if (!sim_is_transfer(one) || other->inflight[k].journal)
                continue;
            if (sim_overlap((uintptr_t)one->buffer, one->length, (uintptr_t)request->buffer,
                            request->length))
                sim_fatal("two requests in one buffer");
            bool writes = one->kind == REQUEST_WRITE || request->kind == REQUEST_WRITE;
            if (other == sim && writes &&
                sim_overlap(one->offset, one->length, request->offset, request->length))
                sim_fatal("two requests in one range, at %llu",
                          (unsigned long long)request->offset);
        }
    }
}

static bool sim_is_journal(const struct sim_engine *sim, const struct request *request)
{
    bool kind = request->kind == REQUEST_WRITE || request->kind == REQUEST_DATASYNC;
    return kind && sim->file->role == SIDE_TARGET && !sim_file_of(request->fd);
}

static int sim_journal(const struct request *request)
{
    if (request->kind == REQUEST_DATASYNC)
        return 0;
    ssize_t put = write(request->fd, sim_rest(request), sim_rest_bytes(request)); /* O_APPEND */
    if (put < 0)
        sim_fatal("write of the journal: %s", strerror(errno));
    return (int)put;
}

static void sim_check_request(struct sim_engine *sim, const struct request *request)
{
    if (sim_is_journal(sim, request))
        return;
    if (request->kind != REQUEST_CALL && sim_file_of(request->fd) != sim->file)
        sim_fatal("a %s went to the wrong file", sim_kind_names[request->kind]);
    if (sim->count >= sim->engine.depth)
        sim_fatal("more than %u requests in flight", sim->engine.depth);
    if (sim->file->role == SIDE_SOURCE && request->kind != REQUEST_READ &&
        request->kind != REQUEST_DROP && request->kind != REQUEST_CALL)
        sim_fatal("the source gets a %s", sim_kind_names[request->kind]);
    if (!sim_is_transfer(request))
        return;
    sim_check_slot(sim, request);
    sim_check_alignment(request);
    sim_check_overlap(sim, request);
    if (request->kind == REQUEST_WRITE && request->offset + request->length > sim->file->size_bytes)
        sim_fatal("a write ends at %llu, behind the final size of %llu",
                  (unsigned long long)(request->offset + request->length),
                  (unsigned long long)sim->file->size_bytes);
}

/* The pump stops filling after a failure or a stop: each slot may still have been on its
 * way, begin with four probes, and start over once when direct I/O is refused. */
static void sim_check_draining(struct sim_engine *sim, const struct request *request)
{
    if (request->kind == REQUEST_READ && request->done == 0 && request->attempts == 0 &&
        sim->file->role == SIDE_SOURCE && (error_is_set(world.err) || world.control->stop) &&
        ++sim->after_error_reads > 6 * world.slots_count)
        sim_fatal("goes on reading after a failure or a stop");
}

/* The planned failure of this request now; 0: none. */
static int sim_planned(struct sim_engine *sim, const struct request *request, bool at_submit)
{
    for (uint32_t i = 0; i < SIM_FAULTS_MAX; i++) {
        struct sim_fault *fault = &sim->plan.faults[i];
        if (fault->at_submit != at_submit || !(fault->kinds >> request->kind & 1))
            continue;
        fault->seen++;
        if (fault->seen == fault->nth || (fault->lasting && fault->seen > fault->nth))
            return fault->errnum;
    }
    return 0;
}

/* A source is read again; where no hole can be made zeros are written, and whether those are there
 * and durable is compared. */
static bool sim_heals(const struct sim_engine *sim, const struct request *request, int errnum)
{
    if (sim->file->role == SIDE_SOURCE)
        return request->kind == REQUEST_READ && file_is_unreadable(-errnum);
    const enum owner *owner = (const enum owner *)request->owner;
    return request->kind == REQUEST_CALL && errnum == EINVAL && *owner == OWNER_WORK &&
           work_of_owner(request->owner)->slot->op == SIDE_ERASE;
}

/* A failure that must be reported; but dropping pages is only ever tried. */
static int sim_failed(const struct sim_engine *sim, const struct request *request, int errnum)
{
    /* Direct I/O refused at work is not a failure: haul goes on in windows. */
    if (errnum == EINVAL && request->block > 1)
        return -EINVAL;
    sim_trace("%s: %s at %llu fails: %s", sim->file->role == SIDE_SOURCE ? "source" : "target",
              sim_kind_names[request->kind], (unsigned long long)request->offset, strerror(errnum));
    if (request->kind == REQUEST_DROP)
        world.drop_failed = true;
    else
        sim_add_cause(&(struct sim_cause){
            .class = ERROR_FILE,
            .errnum = errnum,
            .heals = sim_heals(sim, request, errnum),
        });
    return -errnum;
}

static int sim_engine_submit(struct engine *engine, struct request *request)
{
    struct sim_engine *sim = (struct sim_engine *)engine;
    sim_tick(1);
    sim_check_request(sim, request);
    bool journal = sim_is_journal(sim, request);
    if (sim_chance(sim->plan.transient_chance))
        return sim_chance(500) ? -EAGAIN : -EINTR;
    int errnum = journal ? 0 : sim_planned(sim, request, true);
    if (errnum > 0)
        return sim_failed(sim, request, errnum);
    sim_check_draining(sim, request);
    struct sim_request *mine = &sim->inflight[sim->count++];
    *mine = (struct sim_request){
        .request = request,
        .submit_step = world.step,
        .journal = journal,
        .ready_step = world.step + sim_scaled(0, sim->plan.delay_steps_max),
    };
    if (request->kind == REQUEST_READ) /* whoever looks too early finds nothing of use */
        memset(sim_rest(request), (int)sim_below(256), sim_rest_bytes(request));
    if (sim_is_transfer(request))
        mine->before = digest_of(sim_rest(request), sim_rest_bytes(request));
    sim_trace("%s: %s %llu+%llu", sim->file->role == SIDE_SOURCE ? "source" : "target",
              sim_kind_names[request->kind], (unsigned long long)request->offset,
              (unsigned long long)request->length);
    return 0;
}

/* How much of the request is moved this time. The kernel cuts direct transfers at any sector, but
 * gives less than a block of progress only at the end of the file: engine.c relies on that. */
static size_t sim_length(const struct sim_engine *sim, const struct request *request)
{
    size_t length = sim_rest_bytes(request);
    size_t least = request->block;
    if (length <= least || !sim_chance(sim->plan.short_chance))
        return length;
    size_t cut = (size_t)sim_scaled(1, length - least);
    size_t wanted = sim_chance(500) ? length - cut : least + cut - 1;
    if (request->block > 1)
        wanted -= wanted % sim->plan.short_unit_bytes;
    return wanted > 0 ? wanted : length;
}

static void sim_check_verify_read(const struct sim_engine *sim, const struct request *request)
{
    const struct slot *slot = sim_slot_of(request->buffer, request->length);
    if (slot->state != SLOT_VERIFYING || request->block > 1 || world.drop_failed ||
        sim->file->plain || sim->file->direct_lies) /* a lie's pages may stay until the end */
        return;
    uint64_t first = (request->offset + request->done) / SIM_PAGE_BYTES;
    uint64_t last = (request->offset + request->need - 1) / SIM_PAGE_BYTES;
    for (uint64_t i = first; i <= last; i++) {
        /* What others have cached stays: such a page is read as it is. */
        if ((sim->file->pages[i] & (PAGE_CACHED | PAGE_OTHERS)) == PAGE_CACHED)
            sim_fatal("verification reads page %llu from the cache", (unsigned long long)i);
    }
}

static int sim_read(const struct sim_engine *sim, const struct request *request)
{
    uint64_t offset = request->offset + request->done;
    if (request->done == 0)
        sim_check_verify_read(sim, request);
    ssize_t got = pread(request->fd, sim_rest(request), sim_length(sim, request), num_off(offset));
    if (got < 0)
        sim_fatal("read of the real file: %s", strerror(errno));
    if (request->block == 1 || sim->file->direct_lies)
        sim_pages_mark(sim->file, offset, (uint64_t)got, PAGE_CACHED);
    return (int)got;
}

/* `length` bytes of the request really get into the file. */
static void sim_store(struct sim_engine *sim, const struct request *request, size_t length)
{
    struct sim_file *file = sim->file;
    uint64_t offset = request->offset + request->done;
    struct stat st;
    if (length == 0)
        return;
    ssize_t put = pwrite(request->fd, sim_rest(request), length, num_off(offset));
    if (put != (ssize_t)length)
        sim_fatal("write of the real file: %s", strerror(errno));
    memcpy(file->live + offset, sim_rest(request), length);
    sim_unsynced_add(file, offset, length);
    if (request->block == 1) {
        sim_pages_mark(file, offset, length, PAGE_CACHED | PAGE_DIRTY);
    } else {
        sim_pages_clear(file, offset, length, UINT8_MAX);
        if (file->direct_lies)
            sim_pages_mark(file, offset, length, PAGE_CACHED);
    }
    if (fstat(request->fd, &st) != 0 || (uint64_t)st.st_size > file->size_bytes)
        sim_fatal("the target is longer than the source");
}

static int sim_write(struct sim_engine *sim, const struct request *request)
{
    size_t length = sim_length(sim, request);
    sim->writes_seen++;
    if (sim->writes_seen == sim->plan.no_progress_nth) {
        sim_cause(ERROR_FILE, EIO);
        return request->block > 1 && sim_chance(500) ? SIM_PAGE_BYTES / 2 : 0;
    }
    sim_store(sim, request, length);
    /* Zeros that stand for a hole are not verified. */
    if (sim->writes_seen == sim->plan.corrupt_nth &&
        sim_slot_of(request->buffer, request->length)->state == SLOT_STORING) {
        uint64_t offset = request->offset + request->done;
        uint8_t wrong = sim_rest(request)[0] ^ 1;
        struct stat st;
        int fd = open(sim->file->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0 || pwrite(fd, &wrong, 1, num_off(offset)) != 1)
            sim_fatal("%s: cannot be damaged: %s", sim->file->path, strerror(errno));
        close(fd);
        sim->file->live[offset] = wrong;
        sim_cause(ERROR_MISMATCH, EBADMSG);
    }
    return (int)length;
}

static int sim_other(const struct sim_engine *sim, const struct sim_request *mine)
{
    const struct request *request = mine->request;
    struct sim_file *file = sim->file;
    bool ranges = file->filesystem == 0xef53 || file->filesystem == 0x58465342;
    switch (request->kind) {
    case REQUEST_SYNC:
    case REQUEST_DATASYNC:
        sim_pages_clear(file, 0, SIM_SIZE_BYTES_MAX, PAGE_DIRTY);
        sim_synced(file, mine->submit_step);
        break;
    case REQUEST_WRITEBACK_WAIT: /* does nothing on overlayfs, and says 0 */
        if (ranges)
            sim_pages_clear(file, request->offset, request->length, PAGE_DIRTY);
        break;
    case REQUEST_DROP:
        sim_pages_drop(file, request->offset, request->length);
        break;
    case REQUEST_WRITEBACK_START:
    case REQUEST_READ:
    case REQUEST_WRITE:
    case REQUEST_CALL:
        break;
    }
    return 0;
}

/* A failed write may have stored a part, a failed read leaves anything in the buffer. */
static void sim_half_done(struct sim_engine *sim, const struct request *request)
{
    size_t unit = request->block > 1 ? request->block : 1;
    size_t length = (size_t)sim_below(sim_rest_bytes(request) + 1);
    if (request->kind == REQUEST_WRITE)
        sim_store(sim, request, length - length % unit);
}

/* EINTR and EAGAIN pass; a stuck request gets nothing else. */
static bool sim_transient(struct sim_engine *sim, const struct request *request)
{
    if (sim->stuck == request)
        return true;
    if (request->done == 0 && request->attempts == 0 && sim_is_transfer(request) &&
        ++sim->transfers_seen == sim->plan.stuck_nth) {
        sim->stuck = request;
        sim_cause(ERROR_FILE, EAGAIN);
        sim_cause(ERROR_FILE, EINTR);
        return true;
    }
    return sim_chance(sim->plan.transient_chance);
}

static int sim_work(struct sim_engine *sim, const struct sim_request *mine)
{
    const struct request *request = mine->request;
    if (request->kind == REQUEST_CALL) /* late and in any order; it fails as the system does */
        return request->call(request->argument);
    if (mine->journal)
        return sim_journal(request);
    if (sim_transient(sim, request))
        return sim_chance(500) ? -EINTR : -EAGAIN;
    if (sim->plan.refuse_direct_nth > 0 && sim_is_transfer(request) && request->block > 1 &&
        ++sim->direct_seen >= sim->plan.refuse_direct_nth)
        return -EINVAL;
    int errnum = sim_planned(sim, request, false);
    if (errnum > 0) {
        sim_half_done(sim, request);
        return sim_failed(sim, request, errnum);
    }
    if (request->kind == REQUEST_READ)
        return sim_read(sim, request);
    return request->kind == REQUEST_WRITE ? sim_write(sim, request) : sim_other(sim, mine);
}

/* What a file has in the cache because of us is bounded under every policy but plain. */
static void sim_check_cache(const struct sim_file *file)
{
    if (file->plain || file->direct_lies || world.drop_failed || world.causes_count > 0)
        return;
    uint64_t bound = SIM_WINDOWS_MAX * (uint64_t)world.window_bytes + SIM_PAGE_BYTES; /* the tail */
    if (sim_pages_in(file, PAGE_CACHED, PAGE_OTHERS) * SIM_PAGE_BYTES > bound)
        sim_fatal("%s: more than %llu bytes in the cache", file->path, (unsigned long long)bound);
}

static struct request *sim_complete(struct sim_engine *sim, uint32_t index)
{
    struct sim_request mine = sim->inflight[index];
    struct request *request = mine.request;
    sim->inflight[index] = sim->inflight[--sim->count];
    if (sim_is_transfer(request)) {
        struct digest now = digest_of(sim_rest(request), sim_rest_bytes(request));
        if (!digest_equal(&now, &mine.before))
            sim_fatal("the buffer of a %s changed while it was in flight",
                      sim_kind_names[request->kind]);
    }
    request->result = sim_work(sim, &mine);
    sim_trace("%s: %s %llu+%llu: %d", sim->file->role == SIDE_SOURCE ? "source" : "target",
              sim_kind_names[request->kind], (unsigned long long)request->offset,
              (unsigned long long)request->length, request->result);
    if (sim_is_transfer(request) && !mine.journal)
        sim_check_cache(sim->file);
    world.requests++;
    return request;
}

/* A finished one, at random; -1: none. */
static int sim_pick(const struct sim_engine *sim)
{
    uint32_t first = (uint32_t)sim_below(sim->count);
    for (uint32_t i = 0; i < sim->count; i++) {
        uint32_t index = (first + i) % sim->count;
        if (sim->inflight[index].ready_step <= world.step)
            return (int)index;
    }
    return -1;
}

static int sim_engine_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    struct sim_engine *sim = (struct sim_engine *)engine;
    sim_tick(1);
    if (wait && sim->count > 0) {
        uint64_t next = sim_engine_next_step(sim);
        if (next > world.step)
            sim_tick(next - world.step);
        if (sim_chance(20)) /* a signal */
            return 0;
    }
    uint32_t most = (uint32_t)sim_scaled(1, max);
    uint32_t count = 0;
    int index;
    while (count < most && (index = sim_pick(sim)) >= 0)
        out[count++] = sim_complete(sim, (uint32_t)index);
    return (int)count;
}

static int sim_engine_wait_fd(struct engine *engine)
{
    return ((const struct sim_engine *)engine)->ready_fd;
}

static void sim_engine_close(struct engine *engine)
{
    struct sim_engine *sim = (struct sim_engine *)engine;
    if (sim->count > 0)
        sim_fatal("closed with %u requests in flight", sim->count);
    if (sim->ready_fd >= 0)
        close(sim->ready_fd);
    world.engines[sim->file->role] = NULL;
    free(sim);
}

static const struct engine_ops sim_engine_ops = {
    .kind = ENGINE_SIM,
    .submit = sim_engine_submit,
    .reap = sim_engine_reap,
    .wait_fd = sim_engine_wait_fd,
    .close = sim_engine_close,
};

static struct engine *sim_engine_open(enum side_role role, const struct sim_engine_plan *plan,
                                      uint32_t depth)
{
    struct sim_engine *sim = calloc(1, sizeof(*sim));
    if (!sim)
        sim_fatal("no memory");
    sim->engine = (struct engine){.ops = &sim_engine_ops, .depth = depth};
    sim->file = &world.files[role];
    sim->plan = *plan;
    /* Always readable: a poll that is not ours would not sleep, either. */
    sim->ready_fd = plan->waits ? -1 : eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    world.engines[role] = sim;
    return &sim->engine;
}

#endif
