/* test_pump.c - chunks from side to side. */
#include "pump_tests.h"

/* ---- the world around ---- */

/* So many chunks are there, and listed. */
static void world_journalled(struct world *world, uint64_t chunks_count)
{
    for (uint64_t i = 0; i < chunks_count; i++) {
        world->listed[i] = true;
        world_old(world, i, 1);
    }
}

/* ---- the paths of a chunk ---- */

static void pump_run_fresh_target_fetches_and_stores_each_once(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world_plan(world, (struct plan_config){0});
    world_completes(world);
    assert_int_equal(world->source.ops[SIDE_FETCH], 100);
    assert_int_equal(world->target.ops[SIDE_STORE], 100);
    assert_int_equal(world->target.ops[SIDE_EXAMINE], 0);
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
    assert_int_equal(world->target.ops[SIDE_EXAMINE], 30);
    assert_int_equal(world->source.ops[SIDE_FETCH], 30);
    assert_int_equal(world->target.ops[SIDE_STORE], 20);
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
    assert_int_equal(world->target.ops[SIDE_KEEP], 6);
    assert_int_equal(world->target.ops[SIDE_STORE], 4);
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
    assert_int_equal(world->target.ops[SIDE_ERASE], 2); /* five chunks each */
    assert_int_equal(world->progress.bytes_holes, 20 * CHUNK);
    assert_int_equal(world->source.ops[SIDE_FETCH], 20);
}

/* Where there are no holes zeros are written, a buffer at a time. */
static void pump_run_holes_that_cannot_be_made_at_once_are_made_one_by_one(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    for (uint64_t i = 0; i < 40; i++) {
        world_old(world, i, 2);
        if (i % 10 < 5)
            world_hole(world, i);
    }
    world->life.job.chunk_bytes = CHUNK;
    world->target.erases_alone = true;
    world_plan(world, (struct plan_config){.sparse = true, .compare_bytes = 40 * CHUNK});
    world_completes(world);
    uint32_t erases = world->target.ops[SIDE_ERASE]; /* refused, and done */
    assert_true(erases >= 20 + 1 && erases <= 20 + 4);
    assert_int_equal(world->progress.bytes_holes, 20 * CHUNK);
}

static void pump_run_verify_reads_back_from_the_medium(void **state)
{
    struct world *world = *state;
    world_fill(world, 30, 4);
    world_plan(world, (struct plan_config){.verify = true, .verify_lag = 3});
    world_completes(world);
    assert_int_equal(world->target.ops[SIDE_EXAMINE], 30);
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

static void pump_run_audit_right_chunks_are_not_fetched(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 4);
    world_journalled(world, 25);
    world_resume(world, &(struct plan_config){.resume = true});
    world_completes(world);
    assert_int_equal(world->target.ops[SIDE_EXAMINE], 25);
    assert_int_equal(world->source.ops[SIDE_FETCH], 15);
    assert_int_equal(world->target.ops[SIDE_STORE], 15);
    assert_int_equal(world->target.ops[SIDE_KEEP], 0); /* the journal knows them */
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
    assert_int_equal(world->target.ops[SIDE_STORE], 15 + 4); /* and see fake_start() */
    assert_int_equal(world->target.ops[SIDE_ERASE], 0);
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
    assert_int_equal(world->target.ops[SIDE_STORE], 15 + 2);
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
    assert_int_equal(world->source.ops[SIDE_FETCH], 20);
    assert_int_equal(world->target.ops[SIDE_STORE], 1);
}

static void pump_run_trusted_chunks_are_not_touched(void **state)
{
    struct world *world = *state;
    world_fill(world, 20, 4);
    world_journalled(world, 12);
    world_resume(world, &(struct plan_config){.resume = true, .trust = true});
    world_completes(world);
    assert_int_equal(world->target.ops[SIDE_EXAMINE], 0);
    assert_int_equal(world->source.ops[SIDE_FETCH], 8);
}

/* New chunks move while old ones are still being looked at. */
static bool holds_examine(const struct world *world, const struct slot *slot)
{
    return slot->op == SIDE_EXAMINE && world->stored_bytes < 3 * CHUNK;
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

/* ---- any order, with and without descriptors ---- */

static void pump_run_any_order_is_complete(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        void *own = NULL;
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

/* ---- two files ---- */

static bool hold_recalls(const struct world *world, const struct slot *slot)
{
    (void)world;
    return slot->op == SIDE_RECALL;
}

static void list(struct world *world, struct life *life)
{
    life->state = LIFE_LISTING;
    life->want = LIFE_WANTS_BUFFER;
    life->role = SIDE_TARGET;
    life->op = SIDE_RECALL;
    life->plan = world->plan;
}

/* The other file has both buffers when the first one, which has the first claim, wants them. */
static void pump_turn_a_file_that_has_its_buffers_needs_none(void **state)
{
    struct world *world = *state;
    world_fill(world, 20, 2);
    for (uint64_t i = 0; i < 20; i++)
        world->listed[i] = true;
    world_resume(world, &(struct plan_config){.resume = true});
    world_begin(world);
    world->life.want = LIFE_WANTS_NOTHING;
    world->other = world->life;
    list(world, &world->other);
    pump_add(&world->pump, &world->other);
    world->target.holds = hold_recalls;
    (void)pump_turn(&world->pump);
    assert_int_equal(world->target.pending_count, 1);
    list(world, &world->life);
    world->target.holds = NULL;
    for (uint32_t i = 0; world->life.state == LIFE_LISTING; i++) {
        assert_true(i < 1000);
        (void)pump_turn(&world->pump);
    }
    plan_cancel(world->plan);
    world->life.helped = world->other.helped = true;
    while (world->life.state == LIFE_COPYING || world->other.state == LIFE_COPYING)
        (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 0);
    pump_remove(&world->pump, &world->other);
    pump_remove(&world->pump, &world->life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(pump_run_fresh_target_fetches_and_stores_each_once),
        IN_WORLD(pump_run_empty_file_asks_nothing),
        IN_WORLD(pump_run_one_slot_is_enough),
        IN_WORLD(pump_run_old_target_stores_only_what_differs),
        IN_WORLD(pump_run_kept_chunks_are_told_to_the_journal),
        IN_WORLD(pump_run_holes_are_left_out_or_erased),
        IN_WORLD(pump_run_holes_that_cannot_be_made_at_once_are_made_one_by_one),
        IN_WORLD(pump_run_verify_reads_back_from_the_medium),
        IN_WORLD(pump_run_verify_other_bytes_is_a_mismatch),
        IN_WORLD(pump_run_audit_right_chunks_are_not_fetched),
        IN_WORLD(pump_run_audit_against_the_source_stores_every_byte),
        IN_WORLD(pump_run_audit_wrong_chunk_is_repaired_alone),
        IN_WORLD(pump_run_audit_against_the_source_finds_what_the_journal_does_not),
        IN_WORLD(pump_run_trusted_chunks_are_not_touched),
        IN_WORLD(pump_run_audit_goes_beside_the_copy),
        IN_WORLD(pump_turn_a_file_that_has_its_buffers_needs_none),
        cmocka_unit_test(pump_run_any_order_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
