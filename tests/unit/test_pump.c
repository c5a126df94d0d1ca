/* test_pump.c - the copy loop between two ends that the test itself is: they hand slots back in any
 * order, when they like, fail where they are told to, or break. The plan is the real one. */
#include "haul/clock.h"
#include "haul/num.h"
#include "haul/pump.h"

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

struct world;

/* One end. It executes what it is asked in reap, one slot a call. */
struct fake {
    struct end end;
    struct world *world;
    struct slot *pending[SLOTS_MAX_HERE + 1];
    uint32_t pending_count;
    int fd; /* -1: reap does the work itself */

    /* What it shall do. */
    enum end_op fail_op;
    int fail_errno; /* 0: nothing fails */
    uint32_t fail_nth, fail_seen;
    bool fail_lasting;
    bool lazy;               /* now and then gives nothing back */
    uint32_t break_at_given; /* breaks for good once it has given back so many slots; 0: never */
    bool (*holds)(const struct world *world, const struct slot *slot); /* not yet */

    /* What it was asked. */
    uint32_t starts_count, given_count;
    uint32_t ops[END_ABANDON + 1];
    uint32_t patience;
    bool broken;
};

struct world {
    struct fake source, target;
    struct slot slots[SLOTS_MAX_HERE + 1];
    uint8_t *memory;
    uint32_t slots_count;
    struct progress progress;
    struct control control;
    struct plan *plan;
    struct pump pump;
    struct life life;
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

static struct digest digest_for(uint64_t chunk, uint64_t version)
{
    uint64_t seed[2] = {chunk, version};
    return digest_of(seed, sizeof(seed));
}

/* ---- the fake ends ---- */

static void fake_count_start(struct world *world, struct fake *fake, const struct slot *slot)
{
    fake->starts_count++;
    fake->ops[slot->op]++;
    world->starts_after_failure += world->failed;
    assert_false(world->with_end[slot->index]); /* a slot is with one end at a time */
    world->with_end[slot->index] = true;
    uint32_t all = world->source.starts_count + world->target.starts_count;
    if (world->stop_at_start > 0 && all == world->stop_at_start)
        world->control.stop = true;
}

static void fake_start(struct end *end, struct slot *slot)
{
    struct fake *fake = (struct fake *)end;
    struct world *world = fake->world;
    uint64_t chunk = slot->offset / CHUNK;
    fake_count_start(world, fake, slot);
    assert_ptr_equal(slot->job, &world->life.job);
    bool source = slot->op == END_FETCH || slot->op == END_MAP;
    assert_int_equal(end->role, source ? END_SOURCE : END_TARGET);
    switch (slot->op) {
    case END_STORE:
        /* Only what was fetched, and only where it differs. */
        assert_true(digest_equal(&slot->digest, &world->source_digest[chunk]));
        /* Zeros may be left out only where nothing ever was. */
        assert_true(!slot->blank || world->target_bytes[chunk] == 0);
        /* fallthrough */
    case END_FETCH:
    case END_EXAMINE:
    case END_KEEP:
    case END_ERASE:
        assert_int_equal(slot->offset % CHUNK, 0);
        assert_true(chunk < world->chunks_count);
        assert_int_equal(slot->length, CHUNK);
        break;
    case END_SYNC:
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
static void fake_map(const struct world *world, struct slot *slot)
{
    uint64_t chunk = slot->offset / CHUNK;
    while (chunk < world->chunks_count && world->hole[chunk])
        chunk++;
    slot->extent_start = chunk * CHUNK;
    while (chunk < world->chunks_count && !world->hole[chunk])
        chunk++;
    slot->extent_end = chunk * CHUNK;
}

static void fake_recall(const struct world *world, struct slot *slot)
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

static void fake_execute(struct world *world, struct slot *slot)
{
    uint64_t chunk = slot->offset / CHUNK;
    switch (slot->op) {
    case END_MAP:
        fake_map(world, slot);
        break;
    case END_RECALL:
        fake_recall(world, slot);
        break;
    case END_FETCH:
        slot->digest = world->source_digest[chunk];
        slot->matched = slot->conditional && digest_equal(&slot->digest, &slot->expected);
        break;
    case END_EXAMINE:
        slot->digest = world->target_digest[chunk];
        slot->count = world->target_bytes[chunk];
        slot->matched = slot->conditional && slot->count == slot->length &&
                        digest_equal(&slot->digest, &slot->expected);
        break;
    case END_STORE:
        world->target_digest[chunk] =
            world->corrupts[chunk] ? digest_for(chunk, 666) : slot->digest;
        world->target_bytes[chunk] = CHUNK;
        world->stored_bytes += CHUNK;
        world->stores_during_sync += world->sync_out;
        break;
    case END_ERASE:
        world->target_digest[chunk] = digest_of_zeros(CHUNK);
        world->target_bytes[chunk] = CHUNK;
        break;
    case END_SYNC:
        world->synced_bytes = world->stored_at_sync;
        break;
    default:
        break;
    }
}

/* Which of the slots is next: any that is not held. SLOTS_MAX_HERE + 1: none. */
static uint32_t fake_pick(const struct fake *fake)
{
    uint32_t first = (uint32_t)random() % fake->pending_count;
    for (uint32_t i = 0; i < fake->pending_count; i++) {
        uint32_t at = (first + i) % fake->pending_count;
        if (!fake->holds || !fake->holds(fake->world, fake->pending[at]))
            return at;
    }
    return SLOTS_MAX_HERE + 1;
}

static bool fake_fails(struct fake *fake, const struct slot *slot)
{
    if (fake->fail_errno == 0 || slot->op != fake->fail_op)
        return false;
    fake->fail_seen++;
    return fake->fail_lasting ? fake->fail_seen >= fake->fail_nth
                              : fake->fail_seen == fake->fail_nth;
}

static int fake_reap(struct end *end, struct slot **out, uint32_t max, bool wait)
{
    struct fake *fake = (struct fake *)end;
    struct world *world = fake->world;
    assert_true(max > 0 && (fake->pending_count > 0 || !wait));
    if (fake->pending_count == 0)
        return 0;
    assert_true(fake->patience++ < PATIENCE); /* a loop that never ends */
    if (fake->break_at_given > 0 && fake->given_count >= fake->break_at_given) {
        fake->broken = world->failed = true;
        return error_set(&end->error, ENOTCONN, "the end broke");
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
    if (fake_fails(fake, slot)) {
        slot->result = error_set(&slot->error, fake->fail_errno, "%s",
                                 end->role == END_SOURCE ? "source words" : "target words");
        world->failed = true;
    } else {
        fake_execute(world, slot);
    }
    world->sync_out = slot->op == END_SYNC ? false : world->sync_out;
    fake->given_count++;
    out[0] = slot;
    return 1;
}

static int fake_wait_fd(struct end *end, short *events)
{
    *events = POLLIN;
    return ((struct fake *)end)->fd;
}

static void fake_close(struct end *end)
{
    (void)end;
}

static const struct end_ops fake_ops = {
    .start = fake_start,
    .reap = fake_reap,
    .wait_fd = fake_wait_fd,
    .close = fake_close,
};

/* The nth of these operations fails. */
static void fake_fail(struct fake *fake, enum end_op op, uint32_t nth, int errnum)
{
    fake->fail_op = op;
    fake->fail_nth = nth;
    fake->fail_errno = errnum;
    fake->fail_seen = 0;
}

/* ---- the world around ---- */

static int world_setup(void **state)
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
    world->source.end = (struct end){.ops = &fake_ops, .role = END_SOURCE, .broken = true};
    world->target.end = (struct end){.ops = &fake_ops, .role = END_TARGET, .broken = true};
    world->life.job = (struct job){.number = 1,
                                   .source_path = "the source",
                                   .target_path = "the target",
                                   .chunk_bytes = CHUNK};
    *state = world;
    srandom(1);
    return 0;
}

static int world_teardown(void **state)
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
static void world_fill(struct world *world, uint64_t chunks_count, uint32_t slots_count)
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
            .buffer = control ? NULL : world->memory + (size_t)i * CHUNK,
            .capacity = control ? 0 : CHUNK,
        };
    }
    world->pump = (struct pump){
        .ends = {&world->source.end, &world->target.end},
        .slots = world->slots,
        .slots_count = slots_count,
        .control_count = 1,
        .control = &world->control,
    };
}

static void world_hole(struct world *world, uint64_t chunk)
{
    world->hole[chunk] = true;
    world->source_digest[chunk] = digest_of_zeros(CHUNK);
}

static void world_old(struct world *world, uint64_t chunk, uint64_t version)
{
    world->target_digest[chunk] = digest_for(chunk, version);
    world->target_bytes[chunk] = CHUNK;
}

/* So many chunks are there, and listed. */
static void world_journalled(struct world *world, uint64_t chunks_count)
{
    for (uint64_t i = 0; i < chunks_count; i++) {
        world->listed[i] = true;
        world_old(world, i, 1);
    }
}

static void world_plan(struct world *world, struct plan_config plan)
{
    plan.size_bytes = world->chunks_count * CHUNK;
    plan.chunk_bytes = CHUNK;
    world->life.job.facts[END_SOURCE].size_bytes = plan.size_bytes;
    assert_int_equal(plan_open(&world->plan, &plan, &world->progress, &world->control, &world->err),
                     0);
}

/* A file that is open at both ends and has its plan; others help, so that nothing follows. */
static void world_life(struct world *world)
{
    const struct job job = world->life.job;
    world->life = (struct life){
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

/* Whatever it returns: nothing is under way, no slot is lost. */
static int world_run(struct world *world)
{
    struct pump *pump = &world->pump;
    world->err = (struct error){.class = ERROR_NONE};
    world_life(world);
    pump_add(pump, &world->life);
    while (world->life.state == LIFE_COPYING) {
        if (!pump_turn(pump))
            pump_wait(&pump, 1);
    }
    assert_int_equal(world->life.state, LIFE_GATHERING);
    assert_int_equal(pump->busy_count, 0);
    pump_remove(pump, &world->life);
    int result = world->life.result;
    if (result < 0)
        world->err = world->life.error;
    if (!world->source.broken)
        assert_int_equal(world->source.end.inflight, 0);
    if (!world->target.broken)
        assert_int_equal(world->target.end.inflight, 0);
    for (uint32_t i = 0; i <= world->slots_count; i++) {
        if (!world->with_end[i])
            assert_int_equal(world->slots[i].state, SLOT_FREE);
    }
    assert_int_equal(result < 0, error_is_set(&world->err));
    return result;
}

/* Failures are over; the same plan goes on, as another lane would. */
static void world_heal(struct world *world)
{
    world->source.fail_errno = world->target.fail_errno = 0;
    world->failed = false;
    world->starts_after_failure = 0;
    world->stop_at_start = 0;
    world->control.stop = false;
}

static void assert_all_right(struct world *world)
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

static void world_completes(struct world *world)
{
    assert_int_equal(world_run(world), 0);
    assert_all_right(world);
}

/* ---- the paths of a chunk ---- */

static void pump_run_fresh_target_fetches_and_stores_each_once(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world_plan(world, (struct plan_config){0});
    world_completes(world);
    assert_int_equal(world->source.ops[END_FETCH], 100);
    assert_int_equal(world->target.ops[END_STORE], 100);
    assert_int_equal(world->target.ops[END_EXAMINE], 0);
    assert_int_equal(world->progress.bytes_copied, 100 * CHUNK);
}

static void pump_run_empty_file_asks_nothing(void **state)
{
    struct world *world = *state;
    world_fill(world, 0, 2);
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), 0);
    assert_true(plan_complete(world->plan));
    assert_int_equal(world->source.starts_count + world->target.starts_count, 0);
}

static void pump_run_retired_and_alone_works_all_the_same(void **state)
{
    struct world *world = *state;
    atomic_bool retired = true;
    world_fill(world, 20, 4);
    world_plan(world, (struct plan_config){0});
    world->pump.retired = &retired;
    world_completes(world);
    assert_false(retired);
}

static void pump_run_retired_ends_when_the_others_have_done_all(void **state)
{
    struct world *world = *state;
    atomic_bool retired = true;
    world_fill(world, 20, 4);
    world_plan(world, (struct plan_config){0});
    world_completes(world);
    uint32_t starts = world->source.starts_count + world->target.starts_count;
    world->pump.retired = &retired;
    assert_int_equal(world_run(world), 0);
    assert_true(retired);
    assert_int_equal(world->source.starts_count + world->target.starts_count, starts);
}

static void pump_run_one_slot_is_enough(void **state)
{
    struct world *world = *state;
    world_fill(world, 20, 1);
    world_plan(world, (struct plan_config){.verify = true, .verify_lag = 5});
    world_completes(world);
}

/* Same: kept. Another: stored. Shorter than the chunk: nothing to compare with, stored. */
static void pump_run_old_target_stores_only_what_differs(void **state)
{
    struct world *world = *state;
    world_fill(world, 30, 4);
    for (uint64_t i = 0; i < 30; i++)
        world_old(world, i, i % 3 == 0 ? 1 : 2);
    world->target_bytes[29] = 100;
    world->target_digest[29] = world->source_digest[29]; /* a trap: the digest of 100 bytes */
    world_plan(world, (struct plan_config){.compare_bytes = 30 * CHUNK});
    world_completes(world);
    assert_int_equal(world->target.ops[END_EXAMINE], 30);
    assert_int_equal(world->source.ops[END_FETCH], 30);
    assert_int_equal(world->target.ops[END_STORE], 20);
    assert_int_equal(world->progress.bytes_kept, 10 * CHUNK);
    assert_int_equal(world->progress.bytes_repaired, 0);
}

static void pump_run_kept_chunks_are_told_to_the_journal(void **state)
{
    struct world *world = *state;
    world_fill(world, 10, 4);
    world->life.job.wish.journal = true;
    for (uint64_t i = 0; i < 10; i++)
        world_old(world, i, i < 6 ? 1 : 2);
    world_plan(world, (struct plan_config){.compare_bytes = 10 * CHUNK});
    world_completes(world);
    assert_int_equal(world->target.ops[END_KEEP], 6);
    assert_int_equal(world->target.ops[END_STORE], 4);
}

static void pump_run_holes_are_left_out_or_erased(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    for (uint64_t i = 0; i < 40; i++) {
        if (i % 10 < 5)
            world_hole(world, i);
        if (i < 20)
            world_old(world, i, 2);
    }
    world_plan(world,
               (struct plan_config){.sparse = true, .blank = true, .compare_bytes = 20 * CHUNK});
    world_completes(world);
    assert_int_equal(world->target.ops[END_ERASE], 10);
    assert_int_equal(world->progress.bytes_holes, 20 * CHUNK);
    assert_int_equal(world->source.ops[END_FETCH], 20);
}

static void pump_run_verify_reads_back_from_the_medium(void **state)
{
    struct world *world = *state;
    world_fill(world, 30, 4);
    world_plan(world, (struct plan_config){.verify = true, .verify_lag = 3});
    world_completes(world);
    assert_int_equal(world->target.ops[END_EXAMINE], 30);
    assert_int_equal(world->progress.bytes_verified, 30 * CHUNK);
}

static void pump_run_verify_other_bytes_is_a_mismatch(void **state)
{
    struct world *world = *state;
    world_fill(world, 30, 4);
    world->corrupts[17] = true;
    world_plan(world, (struct plan_config){.verify = true, .verify_lag = 3});
    assert_true(world_run(world) < 0);
    assert_int_equal(world->err.class, ERROR_MISMATCH);
    assert_non_null(strstr(world->err.text, "the target"));
    char first[32], last[32];
    snprintf(first, sizeof(first), "%d", 17 * CHUNK);
    snprintf(last, sizeof(last), "%d", 18 * CHUNK - 1);
    assert_non_null(strstr(world->err.text, first));
    assert_non_null(strstr(world->err.text, last));
}

/* ---- resumed: the old part is audited ---- */

static void world_resume(struct world *world, const struct plan_config *plan)
{
    world->life.job.wish.journal = true;
    world_plan(world, *plan);
    for (uint64_t chunk = 0; chunk < world->chunks_count; chunk++) {
        struct journal_entry entry = {.chunk = chunk, .digest = digest_for(chunk, 1)};
        if (world->listed[chunk])
            assert_int_equal(plan_listed(world->plan, &entry, 1, &world->err), 0);
    }
}

static void pump_run_audit_right_chunks_are_not_fetched(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    world_journalled(world, 25);
    world_resume(world, &(struct plan_config){.resume = true});
    world_completes(world);
    assert_int_equal(world->target.ops[END_EXAMINE], 25);
    assert_int_equal(world->source.ops[END_FETCH], 15);
    assert_int_equal(world->target.ops[END_STORE], 15);
    assert_int_equal(world->target.ops[END_KEEP], 0); /* the journal knows them */
    assert_int_equal(world->progress.bytes_kept, 25 * CHUNK);
}

/* The case of a sparse file: the source has changed without a new time, the journal is true. */
static void pump_run_audit_against_the_source_stores_every_byte(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    world_journalled(world, 25);
    for (uint64_t i = 5; i < 9; i++)
        world->source_digest[i] = digest_for(i, 3);
    world_resume(world, &(struct plan_config){
                            .resume = true, .against_source = true, .sparse = true, .blank = true});
    world_completes(world);
    assert_int_equal(world->target.ops[END_STORE], 15 + 4); /* and see fake_start() */
    assert_int_equal(world->target.ops[END_ERASE], 0);
    assert_int_equal(world->progress.chunks_repaired, 4);
}

static void pump_run_audit_wrong_chunk_is_repaired_alone(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    world_journalled(world, 25);
    world_old(world, 11, 2);
    world->target_bytes[12] = 5; /* and one that ends early */
    world_resume(world, &(struct plan_config){.resume = true});
    world_completes(world);
    assert_int_equal(world->target.ops[END_STORE], 15 + 2);
    assert_int_equal(world->progress.bytes_repaired, 2 * CHUNK);
    assert_int_equal(world->progress.chunks_repaired, 2);
    assert_int_equal(world->progress.bytes_kept, 23 * CHUNK);
}

static void pump_run_audit_against_the_source_finds_what_the_journal_does_not(void **state)
{
    struct world *world = *state;
    world_fill(world, 20, 4);
    world_journalled(world, 20);
    world->source_digest[7] = digest_for(7, 3); /* written since, size and time put back */
    world_resume(world, &(struct plan_config){.resume = true, .against_source = true});
    world_completes(world);
    assert_int_equal(world->source.ops[END_FETCH], 20);
    assert_int_equal(world->target.ops[END_STORE], 1);
}

static void pump_run_trusted_chunks_are_not_touched(void **state)
{
    struct world *world = *state;
    world_fill(world, 20, 4);
    world_journalled(world, 12);
    world_resume(world, &(struct plan_config){.resume = true, .trust = true});
    world_completes(world);
    assert_int_equal(world->target.ops[END_EXAMINE], 0);
    assert_int_equal(world->source.ops[END_FETCH], 8);
}

/* New chunks move while old ones are still being looked at. */
static bool holds_examine(const struct world *world, const struct slot *slot)
{
    return slot->op == END_EXAMINE && world->stored_bytes < 3 * CHUNK;
}

static void pump_run_audit_goes_beside_the_copy(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 8);
    world_journalled(world, 20);
    world->target.holds =
        holds_examine; /* the medium is slow: the first audit ends after 3 stores */
    world_resume(world, &(struct plan_config){.resume = true});
    world_completes(world);
}

/* ---- failures ---- */

/* Everything at once: a file that needs every operation. */
static void world_mixed(struct world *world, bool resume)
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

static void fail_and_heal(struct world *world, struct fake *fake, enum end_op op, uint32_t nth)
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

static void pump_run_failure_anywhere_drains_and_can_go_on(void **state)
{
    static const struct {
        enum end_role role;
        enum end_op op;
    } rows[] = {
        {END_SOURCE, END_MAP},     {END_SOURCE, END_FETCH}, {END_TARGET, END_RECALL},
        {END_TARGET, END_EXAMINE}, {END_TARGET, END_STORE}, {END_TARGET, END_KEEP},
        {END_TARGET, END_ERASE},   {END_TARGET, END_SYNC},
    };
    uint32_t failures_count = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t nth = 1; nth <= 40; nth += 1 + nth / 4) {
            void *own;
            assert_int_equal(world_setup(&own), 0);
            struct world *world = own;
            srandom(nth);
            world_mixed(world, rows[i].op == END_RECALL || nth % 2 == 0);
            struct fake *fake = rows[i].role == END_SOURCE ? &world->source : &world->target;
            fail_and_heal(world, fake, rows[i].op, nth);
            failures_count += fake->fail_seen >= nth;
            assert_int_equal(world_teardown(&own), 0);
        }
    }
    assert_true(failures_count > 50);
    (void)state;
}

/* The target fails as well, but only after the source's failure was handed over. */
static bool holds_until_failure(const struct world *world, const struct slot *slot)
{
    return slot->op == END_STORE && !world->failed && world->source.fail_errno != 0;
}

static void pump_run_two_failures_the_first_is_told(void **state)
{
    struct world *world = *state;
    world_fill(world, 50, 8);
    world->target.holds = holds_until_failure;
    fake_fail(&world->source, END_FETCH, 5, EIO);
    fake_fail(&world->target, END_STORE, 1, ENOSPC);
    world->target.fail_lasting = true;
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -EIO);
    assert_int_equal(world->err.errnum, EIO);
    assert_string_equal(strstr(world->err.text, "source words") ? "source" : "target", "source");
    assert_true(world->target.fail_seen > 0); /* and they were waited for */
    assert_int_equal(world->starts_after_failure, 0);
}

static void pump_run_failure_waits_for_stores_and_counts_them(void **state)
{
    struct world *world = *state;
    world_fill(world, 50, 8);
    world->target.holds = holds_until_failure;
    fake_fail(&world->source, END_FETCH, 5, EIO);
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -EIO);
    assert_int_equal(world->target.ops[END_STORE], 4);
    assert_int_equal(world->stored_bytes, 4 * CHUNK);
    assert_int_equal(world->progress.bytes_copied, 4 * CHUNK);
    world_heal(world);
    world_completes(world);
    assert_int_equal(world->target.ops[END_STORE], 50); /* none of the four again */
}

/* ---- stop ---- */

static void pump_run_stopped_before_starts_nothing(void **state)
{
    struct world *world = *state;
    world_fill(world, 10, 4);
    world_plan(world, (struct plan_config){0});
    world->control.stop = true;
    assert_int_equal(world_run(world), -EINTR);
    assert_int_equal(world->err.class, ERROR_INTERRUPTED);
    assert_int_equal(world->source.starts_count + world->target.starts_count, 0);
}

static void pump_run_stopped_anywhere_drains_and_can_go_on(void **state)
{
    (void)state;
    for (uint32_t at = 1; at < 120; at += 3) {
        void *own;
        assert_int_equal(world_setup(&own), 0);
        struct world *world = own;
        srandom(at);
        world_mixed(world, at % 2 == 0);
        world->stop_at_start = at;
        int result = world_run(world);
        assert_int_equal(result, -EINTR);
        assert_int_equal(world->err.class, ERROR_INTERRUPTED);
        assert_non_null(strstr(world->err.text, "the target"));
        world_heal(world);
        world_completes(world);
        assert_int_equal(world_teardown(&own), 0);
    }
}

static void pump_run_stop_after_a_failure_the_failure_is_told(void **state)
{
    struct world *world = *state;
    world_fill(world, 50, 8);
    world->target.holds = holds_until_failure;
    fake_fail(&world->source, END_FETCH, 5, EIO);
    fake_fail(&world->target, END_STORE, 100, ENOSPC); /* never */
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -EIO);
    assert_int_equal(world->err.class, ERROR_FILE);
    world->control.stop = true; /* the next call is interrupted, the first was not */
    assert_int_equal(world_run(world), -EINTR);
}

/* ---- checkpoints ---- */

/* A sync takes as long as six more stores. */
static bool holds_sync(const struct world *world, const struct slot *slot)
{
    bool more = world->stored_bytes < world->chunks_count * CHUNK;
    return slot->op == END_SYNC && world->stores_during_sync < 6 && more;
}

static void pump_run_checkpoint_goes_beside_the_copy(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world->target.holds = holds_sync;
    world->pump.sync_every_bytes = 10 * CHUNK;
    world->pump.sync_every_ns = UINT64_MAX;
    world_plan(world, (struct plan_config){0});
    world_completes(world); /* without overlap the sync would never come back */
    assert_true(world->target.ops[END_SYNC] >= 5);
    assert_true(world->target.ops[END_SYNC] <= 10);
}

/* Durable is what had been stored when a sync began that ended well: no byte more. */
static void pump_run_checkpoint_counts_only_what_was_stored_before(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world->target.holds = holds_sync;
    world->pump.sync_every_bytes = 10 * CHUNK;
    world->pump.sync_every_ns = UINT64_MAX;
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), 0);
    assert_true(world->progress.bytes_durable > 0);
    assert_true(world->progress.bytes_durable <= world->synced_bytes);
}

static void pump_run_checkpoint_failed_counts_nothing(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world->pump.sync_every_bytes = 10 * CHUNK;
    world->pump.sync_every_ns = UINT64_MAX;
    fake_fail(&world->target, END_SYNC, 1, EIO);
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -EIO);
    assert_int_equal(world->progress.bytes_durable, 0);
}

static void pump_run_checkpoint_zero_is_never(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world_plan(world, (struct plan_config){0});
    world->pump.sync_every_ns = 0;
    assert_int_equal(world_run(world), 0);
    assert_int_equal(world->target.ops[END_SYNC], 0);
}

static void pump_run_checkpoint_by_time(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world_plan(world, (struct plan_config){0});
    world->pump.sync_every_bytes = UINT64_MAX;
    world->pump.sync_every_ns = 0; /* it is always time */
    assert_int_equal(world_run(world), 0);
    assert_true(world->target.ops[END_SYNC] > 1);
    assert_all_right(world);
}

/* ---- bandwidth ---- */

static void pump_run_bandwidth_limited_is_complete(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    world_plan(world, (struct plan_config){.verify = true, .verify_lag = 2});
    world->control.bandwidth_bytes = 64 * MIB;
    world_completes(world);
}

static void pump_run_bandwidth_limited_can_be_stopped(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    world_plan(world, (struct plan_config){0});
    world->control.bandwidth_bytes = CHUNK; /* 40 s, were it not stopped */
    world->stop_at_start = 3;
    assert_int_equal(world_run(world), -EINTR);
}

/* ---- an end that breaks ---- */

static bool holds_stores_until_broken(const struct world *world, const struct slot *slot)
{
    return slot->op == END_STORE && !world->source.broken;
}

static bool holds_fetches_until_broken(const struct world *world, const struct slot *slot)
{
    return world->target.starts_count >= 5 && slot->op == END_FETCH && !world->target.broken;
}

/* The slots of the end that broke come back when it is closed; the other's are waited for now. */
static void assert_breaks(struct world *world, const struct fake *other)
{
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -ENOTCONN);
    assert_non_null(strstr(world->err.text, "the end broke"));
    assert_int_equal(other->end.inflight, 0);
    assert_int_equal(world->starts_after_failure, 0);
    assert_false(plan_complete(world->plan));
}

static void pump_run_source_breaks_the_target_is_drained(void **state)
{
    struct world *world = *state;
    world_fill(world, 50, 8);
    world->target.holds = holds_stores_until_broken;
    world->source.break_at_given = 3;
    assert_breaks(world, &world->target);
}

static void pump_run_target_breaks_the_source_is_drained(void **state)
{
    struct world *world = *state;
    world_fill(world, 50, 8);
    world->source.holds = holds_fetches_until_broken;
    world->target.break_at_given = 3;
    assert_breaks(world, &world->source);
}

/* ---- any order, with and without descriptors ---- */

static void pump_run_any_order_is_complete(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        void *own;
        assert_int_equal(world_setup(&own), 0);
        struct world *world = own;
        srandom(seed);
        world_mixed(world, seed % 3 == 0);
        world->source.lazy = seed % 2;
        world->target.lazy = seed % 5 != 0;
        if (seed % 4 >= 2)
            world->source.fd = eventfd(0, EFD_CLOEXEC);
        if (seed % 8 >= 4)
            world->target.fd = eventfd(0, EFD_CLOEXEC);
        world_completes(world);
        assert_int_equal(world_teardown(&own), 0);
    }
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(pump_run_fresh_target_fetches_and_stores_each_once),
        IN_WORLD(pump_run_empty_file_asks_nothing),
        IN_WORLD(pump_run_retired_and_alone_works_all_the_same),
        IN_WORLD(pump_run_retired_ends_when_the_others_have_done_all),
        IN_WORLD(pump_run_one_slot_is_enough),
        IN_WORLD(pump_run_old_target_stores_only_what_differs),
        IN_WORLD(pump_run_kept_chunks_are_told_to_the_journal),
        IN_WORLD(pump_run_holes_are_left_out_or_erased),
        IN_WORLD(pump_run_verify_reads_back_from_the_medium),
        IN_WORLD(pump_run_verify_other_bytes_is_a_mismatch),
        IN_WORLD(pump_run_audit_right_chunks_are_not_fetched),
        IN_WORLD(pump_run_audit_against_the_source_stores_every_byte),
        IN_WORLD(pump_run_audit_wrong_chunk_is_repaired_alone),
        IN_WORLD(pump_run_audit_against_the_source_finds_what_the_journal_does_not),
        IN_WORLD(pump_run_trusted_chunks_are_not_touched),
        IN_WORLD(pump_run_audit_goes_beside_the_copy),
        cmocka_unit_test(pump_run_failure_anywhere_drains_and_can_go_on),
        IN_WORLD(pump_run_two_failures_the_first_is_told),
        IN_WORLD(pump_run_failure_waits_for_stores_and_counts_them),
        IN_WORLD(pump_run_stopped_before_starts_nothing),
        cmocka_unit_test(pump_run_stopped_anywhere_drains_and_can_go_on),
        IN_WORLD(pump_run_stop_after_a_failure_the_failure_is_told),
        IN_WORLD(pump_run_checkpoint_goes_beside_the_copy),
        IN_WORLD(pump_run_checkpoint_counts_only_what_was_stored_before),
        IN_WORLD(pump_run_checkpoint_failed_counts_nothing),
        IN_WORLD(pump_run_checkpoint_zero_is_never),
        IN_WORLD(pump_run_checkpoint_by_time),
        IN_WORLD(pump_run_bandwidth_limited_is_complete),
        IN_WORLD(pump_run_bandwidth_limited_can_be_stopped),
        IN_WORLD(pump_run_source_breaks_the_target_is_drained),
        IN_WORLD(pump_run_target_breaks_the_source_is_drained),
        cmocka_unit_test(pump_run_any_order_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
