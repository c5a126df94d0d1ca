/* pump_tests.h - two sides that do what they are told: what the tests of the pump share. */
#ifndef HAUL_TESTS_PUMP_TESTS_H
#define HAUL_TESTS_PUMP_TESTS_H

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/copy/pump.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNK = 65536, CHUNKS_MAX_HERE = 400, SLOTS_MAX_HERE = 8, PATIENCE = 100000 };

/* One end. It executes what it is asked in reap, one slot a call. */
struct fake {
    struct side side;
    struct world *world;
    struct slot *pending[SLOTS_MAX_HERE + 1];
    uint32_t pending_count;
    int fd; /* -1: reap does the work itself */

    /* What it shall do. */
    enum side_op fail_op;
    int fail_errno; /* 0: nothing fails */
    uint32_t fail_nth, fail_seen;
    bool fail_lasting;
    bool lazy;               /* now and then gives nothing back */
    bool erases_alone;       /* one chunk at a time */
    uint32_t break_at_given; /* breaks for good once it has given back so many slots; 0: never */
    bool (*holds)(const struct world *world, const struct slot *slot); /* not yet */

    /* What it was asked. */
    uint32_t starts_count, given_count;
    uint32_t ops[SIDE_ABANDON + 1];
    uint32_t patience;
    bool broken;
};

struct world {
    struct fake source, target;
    struct slot slots[SLOTS_MAX_HERE + 1];
    struct error errors[SLOTS_MAX_HERE + 1], life_error;
    uint8_t *memory;
    uint32_t slots_count;
    struct progress progress;
    struct control control;
    struct plan *plan;
    struct pump pump;
    struct life life;
    struct life other; /* in some tests */
    struct error err;

    uint64_t chunks_count;
    struct digest source_digest[CHUNKS_MAX_HERE];
    struct digest target_digest[CHUNKS_MAX_HERE];
    bool hole[CHUNKS_MAX_HERE]; /* of the source */
    uint32_t target_bytes[CHUNKS_MAX_HERE];
    bool corrupts[CHUNKS_MAX_HERE]; /* a store of it goes wrong, unnoticed */
    bool listed[CHUNKS_MAX_HERE];   /* in the journal */

    bool with_end[SLOTS_MAX_HERE + 1];
    bool failed;                   /* a failure was handed to the pump */
    uint32_t starts_after_failure; /* must stay 0 */
    uint32_t stop_at_start;        /* control.stop is set then; 0: never */
    uint64_t stored_bytes;
    uint64_t stored_at_sync; /* when the sync under way was started */
    uint64_t synced_bytes;
    bool sync_out;
    uint32_t stores_during_sync;
};

static inline struct digest digest_for(uint64_t chunk, uint64_t version)
{
    uint64_t seed[2] = {chunk, version};
    return digest_of(seed, sizeof(seed));
}

static inline void fake_count_start(struct world *world, struct fake *fake, const struct slot *slot)
{
    fake->starts_count++;
    fake->ops[slot->op]++;
    world->starts_after_failure += world->failed;
    assert_false(world->with_end[slot->index]); /* a slot is with one side at a time */
    world->with_end[slot->index] = true;
    uint32_t all = world->source.starts_count + world->target.starts_count;
    if (world->stop_at_start > 0 && all == world->stop_at_start)
        world->control.stop = true;
}

static inline void fake_start(struct side *side, struct slot *slot)
{
    struct fake *fake = (struct fake *)side;
    struct world *world = fake->world;
    uint64_t chunk = slot->offset / CHUNK;
    fake_count_start(world, fake, slot);
    assert_true(slot->job == &world->life.job || slot->job == &world->other.job);
    bool source = slot->op == SIDE_FETCH || slot->op == SIDE_MAP;
    assert_int_equal(side->role, source ? SIDE_SOURCE : SIDE_TARGET);
    switch (slot->op) {
    case SIDE_STORE:
        /* Only what was fetched, and only where it differs. */
        assert_true(digest_equal(&slot->digest, &world->source_digest[chunk]));
        /* Zeros may be left out only where nothing ever was. */
        assert_true(!slot->blank || world->target_bytes[chunk] == 0);
        /* fallthrough */
    case SIDE_FETCH:
    case SIDE_EXAMINE:
    case SIDE_KEEP:
        assert_int_equal(slot->offset % CHUNK, 0);
        assert_true(chunk < world->chunks_count);
        assert_int_equal(slot->length, CHUNK);
        break;
    case SIDE_ERASE:
        assert_int_equal(slot->offset % CHUNK, 0);
        assert_int_equal(slot->length % CHUNK, 0);
        assert_true(chunk + slot->length / CHUNK <= world->chunks_count);
        break;
    case SIDE_SYNC:
        assert_null(slot->buffer);
        assert_false(world->sync_out); /* one checkpoint at a time */
        world->sync_out = true;
        world->stored_at_sync = world->stored_bytes;
        world->stores_during_sync = 0;
        break;
    default:
        break;
    }
    assert_true(fake->pending_count < SLOTS_MAX_HERE + 1);
    fake->pending[fake->pending_count++] = slot;
    if (fake->fd >= 0)
        assert_int_equal(eventfd_write(fake->fd, 1), 0);
}

/* The source's extents are runs of chunks that are no holes. */
static inline void fake_map(const struct world *world, struct slot *slot)
{
    uint64_t chunk = slot->offset / CHUNK;
    while (chunk < world->chunks_count && world->hole[chunk])
        chunk++;
    slot->extent_start = chunk * CHUNK;
    while (chunk < world->chunks_count && !world->hole[chunk])
        chunk++;
    slot->extent_end = chunk * CHUNK;
}

static inline void fake_recall(const struct world *world, struct slot *slot)
{
    enum { AT_ONCE = 7 };
    struct journal_entry *entries = (struct journal_entry *)(void *)slot->buffer;
    uint64_t chunk = slot->offset;
    slot->count = 0;
    for (; chunk < world->chunks_count && slot->count < AT_ONCE; chunk++) {
        if (world->listed[chunk])
            entries[slot->count++] =
                (struct journal_entry){.chunk = chunk, .digest = digest_for(chunk, 1)};
    }
    slot->extent_start = chunk < world->chunks_count ? chunk : 0;
}

static inline void fake_execute(struct world *world, struct slot *slot)
{
    uint64_t chunk = slot->offset / CHUNK;
    switch (slot->op) {
    case SIDE_MAP:
        fake_map(world, slot);
        break;
    case SIDE_RECALL:
        fake_recall(world, slot);
        break;
    case SIDE_FETCH:
        slot->digest = world->source_digest[chunk];
        slot->matched = slot->conditional && digest_equal(&slot->digest, &slot->expected);
        break;
    case SIDE_EXAMINE:
        slot->digest = world->target_digest[chunk];
        slot->count = world->target_bytes[chunk];
        slot->matched = slot->conditional && slot->count == slot->length &&
                        digest_equal(&slot->digest, &slot->expected);
        break;
    case SIDE_STORE:
        world->target_digest[chunk] =
            world->corrupts[chunk] ? digest_for(chunk, 666) : slot->digest;
        world->target_bytes[chunk] = CHUNK;
        world->stored_bytes += CHUNK;
        world->stores_during_sync += world->sync_out;
        break;
    case SIDE_ERASE:
        for (uint64_t i = chunk; i < chunk + slot->length / CHUNK; i++) {
            world->target_digest[i] = digest_of_zeros(CHUNK);
            world->target_bytes[i] = CHUNK;
        }
        break;
    case SIDE_SYNC:
        world->synced_bytes = world->stored_at_sync;
        break;
    default:
        break;
    }
}

/* Which of the slots is next: any that is not held. SLOTS_MAX_HERE + 1: none. */
static inline uint32_t fake_pick(const struct fake *fake)
{
    uint32_t first = (uint32_t)random() % fake->pending_count;
    for (uint32_t i = 0; i < fake->pending_count; i++) {
        uint32_t at = (first + i) % fake->pending_count;
        if (!fake->holds || !fake->holds(fake->world, fake->pending[at]))
            return at;
    }
    return SLOTS_MAX_HERE + 1;
}

static inline bool fake_fails(struct fake *fake, const struct slot *slot)
{
    if (fake->fail_errno == 0 || slot->op != fake->fail_op)
        return false;
    fake->fail_seen++;
    return fake->fail_lasting ? fake->fail_seen >= fake->fail_nth
                              : fake->fail_seen == fake->fail_nth;
}

static inline int fake_reap(struct side *side, struct slot **out, uint32_t max, bool wait)
{
    struct fake *fake = (struct fake *)side;
    struct world *world = fake->world;
    assert_true(max > 0 && (fake->pending_count > 0 || !wait));
    if (fake->pending_count == 0)
        return 0;
    assert_true(fake->patience++ < PATIENCE); /* a loop that never ends */
    if (fake->break_at_given > 0 && fake->given_count >= fake->break_at_given) {
        fake->broken = world->failed = true;
        return error_set(&side->error, ENOTCONN, "the end broke");
    }
    if (fake->lazy && !wait && random() % 3 == 0)
        return 0;
    uint32_t at = fake_pick(fake);
    if (at > SLOTS_MAX_HERE)
        return 0;
    struct slot *slot = fake->pending[at];
    fake->pending[at] = fake->pending[--fake->pending_count];
    if (fake->fd >= 0 && fake->pending_count == 0) {
        eventfd_t value;
        assert_int_equal(eventfd_read(fake->fd, &value), 0);
    }
    world->with_end[slot->index] = false;
    if (fake->erases_alone && slot->op == SIDE_ERASE && slot->length > CHUNK) {
        slot->result = -EOPNOTSUPP;
    } else if (fake_fails(fake, slot)) {
        slot->result = error_set(slot->error, fake->fail_errno, "%s",
                                 side->role == SIDE_SOURCE ? "source words" : "target words");
        world->failed = true;
    } else {
        fake_execute(world, slot);
    }
    world->sync_out = slot->op == SIDE_SYNC ? false : world->sync_out;
    fake->given_count++;
    out[0] = slot;
    return 1;
}

static inline int fake_wait_fd(struct side *side, short *events)
{
    *events = POLLIN;
    return ((struct fake *)side)->fd;
}

static inline void fake_close(struct side *side)
{
    (void)side;
}

static const struct side_ops fake_ops = {
    .start = fake_start,
    .reap = fake_reap,
    .wait_fd = fake_wait_fd,
    .close = fake_close,
};

/* The nth of these operations fails. */
static inline void fake_fail(struct fake *fake, enum side_op op, uint32_t nth, int errnum)
{
    fake->fail_op = op;
    fake->fail_nth = nth;
    fake->fail_errno = errnum;
    fake->fail_seen = 0;
}

static inline int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    if (!world)
        return -1;
    world->memory = calloc(SLOTS_MAX_HERE, CHUNK);
    if (!world->memory)
        return -1;
    world->source = (struct fake){.world = world, .fd = -1};
    world->target = (struct fake){.world = world, .fd = -1};
    /* What fails is this lane's own trouble: the plan goes on. */
    world->source.side = (struct side){.ops = &fake_ops, .role = SIDE_SOURCE, .broken = true};
    world->target.side = (struct side){.ops = &fake_ops, .role = SIDE_TARGET, .broken = true};
    world->life.job = (struct job){.number = 1,
                                   .source_path = "the source",
                                   .target_path = "the target",
                                   .chunk_bytes = CHUNK};
    *state = world;
    srandom(1);
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    plan_close(world->plan);
    if (world->source.fd >= 0)
        close(world->source.fd);
    if (world->target.fd >= 0)
        close(world->target.fd);
    free(world->memory);
    free(world);
    return 0;
}

/* A source of so many chunks and a target with nothing. */
static inline void world_fill(struct world *world, uint64_t chunks_count, uint32_t slots_count)
{
    assert_true(chunks_count <= CHUNKS_MAX_HERE && slots_count <= SLOTS_MAX_HERE);
    world->chunks_count = chunks_count;
    world->slots_count = slots_count;
    for (uint64_t i = 0; i < chunks_count; i++) {
        world->source_digest[i] = digest_for(i, 1);
        world->target_digest[i] = digest_of("", 0);
        world->target_bytes[i] = 0;
    }
    for (uint32_t i = 0; i <= slots_count; i++) {
        bool control = i == slots_count;
        world->slots[i] = (struct slot){
            .index = i,
            .error = &world->errors[i],
            .buffer = control ? NULL : world->memory + (size_t)i * CHUNK,
            .capacity = control ? 0 : CHUNK,
        };
    }
    world->pump = (struct pump){
        .sides = {&world->source.side, &world->target.side},
        .slots = world->slots,
        .slots_count = slots_count,
        .control_count = 1,
        .control = &world->control,
    };
}

static inline void world_hole(struct world *world, uint64_t chunk)
{
    world->hole[chunk] = true;
    world->source_digest[chunk] = digest_of_zeros(CHUNK);
}

static inline void world_old(struct world *world, uint64_t chunk, uint64_t version)
{
    world->target_digest[chunk] = digest_for(chunk, version);
    world->target_bytes[chunk] = CHUNK;
}

static inline void world_plan(struct world *world, struct plan_config plan)
{
    plan.size_bytes = world->chunks_count * CHUNK;
    plan.chunk_bytes = CHUNK;
    world->life.job.facts[SIDE_SOURCE].size_bytes = plan.size_bytes;
    assert_int_equal(plan_open(&world->plan, &plan, &world->progress, &world->control, &world->err),
                     0);
}

/* A file that is open at both sides and has its plan; others help, so that nothing follows. */
static inline void world_life(struct world *world)
{
    const struct job job = world->life.job;
    error_clear(&world->life_error);
    world->life = (struct life){
        .error = &world->life_error,
        .job = job,
        .kind = LIFE_COPY,
        .state = LIFE_COPYING,
        .want = LIFE_WANTS_CHUNKS,
        .plan = world->plan,
        .progress = &world->progress,
        .helped = true,
        .sync.synced_at_ns = clock_now_ns(),
    };
}

static inline void world_begin(struct world *world)
{
    world->err = (struct error){.class = ERROR_NONE};
    world_life(world);
    pump_add(&world->pump, &world->life);
}

/* Whatever it returns: nothing is under way, no slot is lost. */
static inline int world_end(struct world *world)
{
    struct pump *pump = &world->pump;
    while (world->life.state == LIFE_COPYING) {
        if (!pump_turn(pump))
            pump_wait(&pump, 1);
    }
    assert_int_equal(world->life.state, LIFE_GATHERING);
    assert_int_equal(pump->busy_count, 0);
    pump_remove(pump, &world->life);
    int result = world->life.result;
    if (result < 0)
        world->err = *world->life.error;
    if (!world->source.broken)
        assert_int_equal(world->source.side.inflight, 0);
    if (!world->target.broken)
        assert_int_equal(world->target.side.inflight, 0);
    for (uint32_t i = 0; i <= world->slots_count; i++) {
        if (!world->with_end[i])
            assert_int_equal(world->slots[i].state, SLOT_FREE);
    }
    assert_int_equal(result < 0, error_is_set(&world->err));
    return result;
}

static inline int world_run(struct world *world)
{
    world_begin(world);
    return world_end(world);
}

/* Failures are over; the same plan goes on, as another lane would. */
static inline void world_heal(struct world *world)
{
    world->source.fail_errno = world->target.fail_errno = 0;
    world->failed = false;
    world->starts_after_failure = 0;
    world->stop_at_start = 0;
    world->control.stop = false;
}

static inline void assert_all_right(struct world *world)
{
    assert_true(plan_complete(world->plan));
    for (uint64_t i = 0; i < world->chunks_count; i++) {
        bool left_out = world->hole[i] && world->target_bytes[i] == 0;
        if (!left_out)
            assert_true(digest_equal(&world->source_digest[i], &world->target_digest[i]));
    }
    assert_int_equal(world->progress.bytes_copied + world->progress.bytes_kept +
                         world->progress.bytes_holes,
                     world->chunks_count * CHUNK);
}

static inline void world_completes(struct world *world)
{
    assert_int_equal(world_run(world), 0);
    assert_all_right(world);
}

static inline void world_resume(struct world *world, const struct plan_config *plan)
{
    world->life.job.wish.journal = true;
    world_plan(world, *plan);
    for (uint64_t chunk = 0; chunk < world->chunks_count; chunk++) {
        struct journal_entry entry = {.chunk = chunk, .digest = digest_for(chunk, 1)};
        if (world->listed[chunk])
            assert_int_equal(plan_listed(world->plan, &entry, 1, &world->err), 0);
    }
}

/* Everything at once: a file that needs every operation. */
static inline void world_mixed(struct world *world, bool resume)
{
    world_fill(world, 60, 4);
    struct plan_config plan = {.sparse = true,
                               .blank = true,
                               .verify = true,
                               .verify_lag = 4,
                               .compare_bytes = 40 * CHUNK};
    for (uint64_t i = 0; i < 60; i++) {
        if (i % 7 == 3)
            world_hole(world, i);
        if (i < 40)
            world_old(world, i, i % 2 ? 1 : 2);
        if (i % 7 == 3 && i < 40)
            world->target_digest[i] = digest_for(i, 2);
        world->listed[i] = resume && i < 40 && i % 4 == 1 && !world->hole[i];
    }
    world->life.job.wish.journal = true;
    world->pump.sync_every_bytes = 5 * CHUNK;
    world->pump.sync_every_ns = UINT64_MAX;
    plan.resume = resume;
    if (resume)
        world_resume(world, &plan);
    else
        world_plan(world, plan);
}

static inline void fail_and_heal(struct world *world, struct fake *fake, enum side_op op,
                                 uint32_t nth)
{
    fake_fail(fake, op, nth, EIO);
    int result = world_run(world);
    if (fake->fail_seen < nth) {
        assert_int_equal(result, 0); /* there were not so many */
        assert_all_right(world);
        return;
    }
    assert_int_equal(result, -EIO);
    assert_int_equal(world->err.class, ERROR_FILE);
    assert_int_equal(world->err.errnum, EIO);
    assert_non_null(strstr(world->err.text, fake == &world->source ? "source" : "target"));
    assert_int_equal(world->starts_after_failure, 0);
    /* Every item was given back to the plan, once: the rest is done and the result is right. */
    world_heal(world);
    world_completes(world);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

#endif
