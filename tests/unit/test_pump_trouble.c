/* test_pump_trouble.c - failures, stops, checkpoints and limits while chunks are under way. */
#include "pump_tests.h"

/* ---- the paths of a chunk ---- */

static bool hold_everything(const struct world *world, const struct slot *slot)
{
    (void)world;
    (void)slot;
    return true;
}

static void pump_turn_retired_begins_nothing_more(void **state)
{
    struct world *world = *state;
    world_fill(world, 20, 4);
    world_plan(world, (struct plan_config){0});
    world->source.holds = hold_everything;
    world_begin(world);
    (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 4);
    world->source.holds = NULL;
    world->pump.retired = true;
    assert_int_equal(world_end(world), 0);
    assert_int_equal(world->stored_bytes, 4 * CHUNK);
    world->pump.retired = false; /* the rest is somebody else's */
    world_completes(world);
}

/* Another lane gets buffers only when nothing is under way in them. */
static void pump_turn_lends_what_is_free_and_takes_it_back(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 6);
    world_plan(world, (struct plan_config){0});
    world->source.holds = hold_everything;
    world_begin(world);
    (void)pump_turn(&world->pump);
    world->pump.lend_count = 4;
    (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.lent_count, 0);
    world->source.holds = NULL;
    for (uint32_t i = 0; world->pump.lent_count == 0; i++) {
        assert_true(i < 1000);
        (void)pump_turn(&world->pump);
    }
    assert_int_equal(world->pump.lent_count, 4);
    world->source.holds = hold_everything;
    for (uint32_t i = 0; i < 100; i++)
        (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 2);
    for (uint32_t i = 2; i < 6; i++)
        assert_int_equal(world->slots[i].state, SLOT_FREE);
    world->pump.lend_count = 0;
    (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 6);
    world->source.holds = NULL;
    assert_int_equal(world_end(world), 0);
    assert_all_right(world);
}

/* Where memory is scarce less is in flight, and two slots always. */
static void pump_turn_leaves_slots_unused_while_memory_is_scarce(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 6);
    world_plan(world, (struct plan_config){0});
    world->source.holds = hold_everything;
    world_begin(world);
    struct control *control = world->pump.control;
    control->slots_halved = 1;
    (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 3);
    control->slots_halved = 0;
    (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 6);
    world->source.holds = NULL;
    control->slots_halved = 3;
    assert_int_equal(world_end(world), 0);
    assert_all_right(world);
}

static void control_share_is_half_so_many_times_and_some_always(void **state)
{
    struct control control = {.nice = 1};
    (void)state;
    assert_int_equal(control_share(&control, 288, 1), 288);
    control.slots_halved = 1;
    assert_int_equal(control_share(&control, 288, 1), 144);
    assert_int_equal(control_share(&control, 3, 2), 2);
    assert_int_equal(control_share(&control, 1, 2), 1);
    assert_int_equal(control_share(&control, 0, 1), 0);
    control.slots_halved = CONTROL_HALVED_MAX + 1;
    assert_int_equal(control_share(&control, 288, 1), 18);
    assert_int_equal(control_share(&control, UINT64_C(1) << 40, 1), UINT64_C(1) << 36);
    assert_int_equal(control_share(&control, 8, 1), 1);
}

static void pump_turn_has_two_slots_however_scarce_memory_is(void **state)
{
    struct world *world = *state;
    world_fill(world, 40, 6);
    world_plan(world, (struct plan_config){0});
    world->source.holds = hold_everything;
    world_begin(world);
    world->pump.control->slots_halved = 4;
    (void)pump_turn(&world->pump);
    assert_int_equal(world->pump.busy_count, 2);
    world->source.holds = NULL;
    assert_int_equal(world_end(world), 0);
    assert_all_right(world);
}

/* ---- failures ---- */

static void pump_run_failure_anywhere_drains_and_can_go_on(void **state)
{
    static const struct {
        enum side_role role;
        enum side_op op;
    } rows[] = {
        {SIDE_SOURCE, SIDE_MAP},     {SIDE_SOURCE, SIDE_FETCH}, {SIDE_TARGET, SIDE_RECALL},
        {SIDE_TARGET, SIDE_EXAMINE}, {SIDE_TARGET, SIDE_STORE}, {SIDE_TARGET, SIDE_KEEP},
        {SIDE_TARGET, SIDE_ERASE},   {SIDE_TARGET, SIDE_SYNC},
    };
    uint32_t failures_count = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t nth = 1; nth <= 40; nth += 1 + nth / 4) {
            void *own = NULL;
            assert_int_equal(world_setup(&own), 0);
            struct world *world = own;
            srandom(nth);
            world_mixed(world, rows[i].op == SIDE_RECALL || nth % 2 == 0);
            struct fake *fake = rows[i].role == SIDE_SOURCE ? &world->source : &world->target;
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
    return slot->op == SIDE_STORE && !world->failed && world->source.fail_errno != 0;
}

static void pump_run_two_failures_the_first_is_told(void **state)
{
    struct world *world = *state;
    world_fill(world, 50, 8);
    world->target.holds = holds_until_failure;
    fake_fail(&world->source, SIDE_FETCH, 5, EIO);
    fake_fail(&world->target, SIDE_STORE, 1, ENOSPC);
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
    fake_fail(&world->source, SIDE_FETCH, 5, EIO);
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -EIO);
    assert_int_equal(world->target.ops[SIDE_STORE], 4);
    assert_int_equal(world->stored_bytes, 4 * CHUNK);
    assert_int_equal(world->progress.bytes_copied, 4 * CHUNK);
    world_heal(world);
    world_completes(world);
    assert_int_equal(world->target.ops[SIDE_STORE], 50); /* none of the four again */
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
        void *own = NULL;
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
    fake_fail(&world->source, SIDE_FETCH, 5, EIO);
    fake_fail(&world->target, SIDE_STORE, 100, ENOSPC); /* never */
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
    return slot->op == SIDE_SYNC && world->stores_during_sync < 6 && more;
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
    assert_true(world->target.ops[SIDE_SYNC] >= 5);
    assert_true(world->target.ops[SIDE_SYNC] <= 10);
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
    fake_fail(&world->target, SIDE_SYNC, 1, EIO);
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
    assert_int_equal(world->target.ops[SIDE_SYNC], 0);
}

static void pump_run_checkpoint_by_time(void **state)
{
    struct world *world = *state;
    world_fill(world, 100, 4);
    world_plan(world, (struct plan_config){0});
    world->pump.sync_every_bytes = UINT64_MAX;
    world->pump.sync_every_ns = 0; /* it is always time */
    assert_int_equal(world_run(world), 0);
    assert_true(world->target.ops[SIDE_SYNC] > 1);
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

/* No chunk is fetched before the one that came before it has had its time. */
static bool holds_nothing_over_rate(const struct world *world, const struct slot *slot)
{
    if (slot->op == SIDE_FETCH)
        assert_true(control_wait_ns(&world->control) <= NS_PER_SECOND / 40);
    return false;
}

/* All are examined at once, and could be fetched at once. */
static void pump_run_bandwidth_limits_what_was_examined(void **state)
{
    struct world *world = *state;
    world_fill(world, 16, 8);
    for (uint64_t i = 0; i < 16; i++)
        world_old(world, i, 2);
    world_plan(world, (struct plan_config){.compare_bytes = 12 * CHUNK});
    world->control.bandwidth_bytes = 40 * CHUNK;
    world->source.holds = holds_nothing_over_rate;
    world_completes(world);
    assert_int_equal(world->source.ops[SIDE_FETCH], 16);
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

/* ---- a side that breaks ---- */

static bool holds_stores_until_broken(const struct world *world, const struct slot *slot)
{
    return slot->op == SIDE_STORE && !world->source.broken;
}

static bool holds_fetches_until_broken(const struct world *world, const struct slot *slot)
{
    return world->target.starts_count >= 5 && slot->op == SIDE_FETCH && !world->target.broken;
}

/* The slots of the side that broke come back when it is closed; the other's are waited for now. */
static void assert_breaks(struct world *world, const struct fake *other)
{
    world_plan(world, (struct plan_config){0});
    assert_int_equal(world_run(world), -ENOTCONN);
    assert_non_null(strstr(world->err.text, "the end broke"));
    assert_int_equal(other->side.inflight, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(pump_turn_retired_begins_nothing_more),
        IN_WORLD(pump_turn_lends_what_is_free_and_takes_it_back),
        IN_WORLD(pump_turn_leaves_slots_unused_while_memory_is_scarce),
        IN_WORLD(control_share_is_half_so_many_times_and_some_always),
        IN_WORLD(pump_turn_has_two_slots_however_scarce_memory_is),
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
        IN_WORLD(pump_run_bandwidth_limits_what_was_examined),
        IN_WORLD(pump_run_bandwidth_limited_can_be_stopped),
        IN_WORLD(pump_run_source_breaks_the_target_is_drained),
        IN_WORLD(pump_run_target_breaks_the_source_is_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
