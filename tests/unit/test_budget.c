/* test_budget.c - what is decided about memory. */
#include "budget_tests.h"

/* --- decisions ----------------------------------------------------------------------------- */

static struct budget_facts machine_facts(uint64_t limit, uint64_t usage)
{
    return (struct budget_facts){.cgroup_limit_bytes = limit,
                                 .cgroup_usage_bytes = usage,
                                 .available_bytes = 20 * GIB,
                                 .low_free_bytes = NUM_UNKNOWN,
                                 .address_space_bytes = NUM_UNKNOWN,
                                 .limited_by = "cgroup /t"};
}

static struct budget_wish any_wish(void)
{
    return (struct budget_wish){.lanes = 1};
}

static struct budget decided(const struct budget_facts *facts, const struct budget_wish *wish)
{
    static struct error err;
    struct budget budget;
    memset(&budget, 0xa5, sizeof budget);
    memset(&err, 0, sizeof err);
    assert_int_equal(budget_decide(&budget, facts, wish, &err), 0);
    assert_int_equal(budget.memory_bytes, (uint64_t)budget.slots_count * budget.chunk_bytes);
    return budget;
}

#define assert_slots(decision, count, chunk, window)                                               \
    do {                                                                                           \
        struct budget budget_ = (decision);                                                        \
        assert_int_equal(budget_.slots_count, count);                                              \
        assert_int_equal(budget_.chunk_bytes, chunk);                                              \
        assert_int_equal(budget_.window_bytes, window);                                            \
    } while (0)

static void decide_large_machine_uses_16_mib(void **state)
{
    (void)state;
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    struct budget_wish wish = any_wish();
    struct budget budget = decided(&facts, &wish);
    assert_slots(budget, 16, MIB, 8 * MIB);
    assert_int_equal(budget.limit_bytes, 64 * MIB);
}

static void decide_small_cgroups_leave_room_for_windows(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(32 * MIB, MIB);
    struct budget budget = decided(&facts, &wish);
    assert_slots(budget, 7, MIB, 2 * MIB);
    assert_true(budget.memory_bytes + 6 * budget.window_bytes + 3 * MIB < 28 * MIB);
    facts = machine_facts(12 * MIB, MIB);
    budget = decided(&facts, &wish);
    assert_slots(budget, 5, 256 * KIB, 512 * KIB);
    facts = machine_facts(64 * MIB, MIB);
    assert_slots(decided(&facts, &wish), 15, MIB, 4 * MIB);
    facts = machine_facts(300 * MIB, 20 * MIB);
    assert_slots(decided(&facts, &wish), 16, MIB, 8 * MIB);
}

/* For every room from 20 MiB on, slots and three windows a side fit below 7/8 of it; for every
 * room at all, slots are at most half and never more for less room. */
static void decide_any_room_keeps_the_promise(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    uint64_t memory_before = 0;
    for (uint64_t room = 256 * KIB; room < 400 * MIB; room += 64 * KIB) {
        struct budget_facts facts = machine_facts(room, 0);
        struct budget budget = decided(&facts, &wish);
        assert_true(budget.memory_bytes <= room / 2);
        assert_true(budget.slots_count >= 2 && budget.slots_count <= SLOTS_MAX);
        assert_true(budget.slots_count >= 4 || budget.chunk_bytes == CHUNK_BYTES_MIN);
        if (room >= 20 * MIB)
            assert_true(budget.memory_bytes + 6 * (uint64_t)budget.window_bytes + 3 * MIB <=
                        room - room / 8);
        /* Rounding to whole slots may take up to one smaller chunk's worth back. */
        assert_true(budget.memory_bytes + MIB >= memory_before);
        memory_before = budget.memory_bytes;
    }
}

/* Where windows are asked for they fit, of any size, from 3 MiB on; where they do not, it is said.
 */
static void decide_windows_fit_or_it_is_said(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    for (int asked = 0; asked < 2; asked++) {
        wish.windows = asked;
        for (uint64_t room = 256 * KIB; room < 100 * MIB; room += 64 * KIB) {
            struct budget_facts facts = machine_facts(room, 0);
            struct budget budget = decided(&facts, &wish);
            uint64_t windows = 2 * (uint64_t)budget.windows_count * budget.window_bytes;
            bool fit = budget.memory_bytes + windows + MIB <= room - room / 8;
            assert_true(is_power_of_two(budget.window_bytes));
            assert_true(budget.window_bytes >= budget.chunk_bytes);
            assert_int_equal(budget.windows_fit, fit);
            assert_true(fit || room < (asked ? 3 : 8) * MIB);
        }
    }
}

static void decide_available_counts_like_a_cgroup(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    facts.available_bytes = 12 * MIB;
    assert_slots(decided(&facts, &wish), 6, 256 * KIB, MIB);
}

static void decide_low_memory_takes_an_eighth(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    facts.low_free_bytes = 48 * MIB;
    assert_slots(decided(&facts, &wish), 6, MIB, 8 * MIB);
    facts.low_free_bytes = 16 * MIB;
    assert_slots(decided(&facts, &wish), 8, 256 * KIB, 8 * MIB);
    facts.low_free_bytes = 4 * MIB;
    assert_slots(decided(&facts, &wish), 8, 64 * KIB, 8 * MIB);
    facts.low_free_bytes = 0; /* small, but not refused: slots need no low memory */
    assert_slots(decided(&facts, &wish), 2, 64 * KIB, 8 * MIB);
}

static void decide_rlimit_takes_a_quarter(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    facts.address_space_bytes = 20 * MIB;
    assert_slots(decided(&facts, &wish), 5, MIB, 8 * MIB);
}

static void decide_nothing_known_is_modest(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    facts.available_bytes = NUM_UNKNOWN;
    assert_slots(decided(&facts, &wish), 16, MIB, 4 * MIB);
}

static void decide_memory_wish_caps_slots(void **state)
{
    (void)state;
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    struct budget_wish wish = any_wish();
    static const struct {
        uint64_t memory;
        uint32_t slots;
        uint64_t chunk;
    } cases[] = {{GIB, 16, MIB},          {16 * MIB, 16, MIB},      {5 * MIB, 5, MIB},
                 {4 * MIB, 4, MIB},       {3 * MIB, 12, 256 * KIB}, {MIB, 4, 256 * KIB},
                 {MIB - 1, 15, 64 * KIB}, {128 * KIB, 2, 64 * KIB}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wish.memory_bytes = cases[i].memory;
        assert_slots(decided(&facts, &wish), cases[i].slots, cases[i].chunk, 8 * MIB);
    }
}

static void decide_reserved_is_taken_off(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(48 * MIB, 0);
    wish.reserved_bytes = 4 * MIB;
    struct budget budget = decided(&facts, &wish);
    assert_int_equal(budget.limit_bytes, 11 * MIB);
    facts = machine_facts(16 * MIB, MIB); /* the smallest receiver of a push */
    wish.reserved_bytes = 7 * MIB;
    assert_slots(decided(&facts, &wish), 7, 256 * KIB, 256 * KIB);
}

static void decide_chunk_wish_is_kept(void **state)
{
    (void)state;
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    struct budget_wish wish = any_wish();
    wish.chunk_bytes = CHUNK_BYTES_MIN;
    assert_slots(decided(&facts, &wish), 16, CHUNK_BYTES_MIN, 8 * MIB);
    wish.chunk_bytes = CHUNK_BYTES_MAX;
    assert_slots(decided(&facts, &wish), 4, CHUNK_BYTES_MAX, 8 * MIB);
    wish.memory_bytes = 32 * MIB;
    assert_slots(decided(&facts, &wish), 2, CHUNK_BYTES_MAX, 8 * MIB);
}

static void decide_few_bytes_need_few_slots(void **state)
{
    (void)state;
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    struct budget_wish wish = any_wish();
    wish.bytes_most = 1;
    assert_slots(decided(&facts, &wish), 2, MIB, 8 * MIB);
    wish.bytes_most = 2 * MIB;
    assert_slots(decided(&facts, &wish), 2, MIB, 8 * MIB);
    wish.bytes_most++;
    assert_slots(decided(&facts, &wish), 4, MIB, 8 * MIB);
    wish.memory_bytes = 64 * MIB;
    assert_slots(decided(&facts, &wish), 4, MIB, 8 * MIB);
    wish.chunk_bytes = 4 * MIB;
    wish.bytes_most = 9 * MIB;
    assert_slots(decided(&facts, &wish), 3, 4 * MIB, 8 * MIB);
    wish.chunk_bytes = 0;
    wish.bytes_most = 100 * GIB;
    assert_slots(decided(&facts, &wish), 16, MIB, 8 * MIB);
    wish.memory_bytes = 0;
    assert_slots(decided(&facts, &wish), 16, MIB, 8 * MIB);
    wish.lanes = 3; /* each has two */
    wish.bytes_most = MIB;
    assert_slots(decided(&facts, &wish), 6, MIB, 8 * MIB);
}

static void decide_lanes_share_slots_evenly(void **state)
{
    (void)state;
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    struct budget_wish wish = any_wish();
    wish.lanes = 0;
    assert_slots(decided(&facts, &wish), 16, MIB, 8 * MIB);
    wish.lanes = 3;
    assert_slots(decided(&facts, &wish), 15, MIB, 8 * MIB);
    wish.lanes = 10;
    assert_slots(decided(&facts, &wish), 20, MIB, 8 * MIB);
    facts = machine_facts(24 * MIB, 0); /* 6 MiB: too little for 4 x 2 of 1 MiB */
    wish.lanes = 4;
    assert_slots(decided(&facts, &wish), 16, 256 * KIB, 2 * MIB);
}

static void decide_too_little_says_how_much(void **state)
{
    (void)state;
    static struct error err;
    struct budget budget = {.slots_count = 77};
    struct budget_facts facts = machine_facts(MIB, 900 * KIB);
    struct budget_wish wish = any_wish();
    assert_int_equal(budget_decide(&budget, &facts, &wish, &err), -ENOMEM);
    assert_int_equal(err.class, ERROR_MEMORY);
    assert_non_null(strstr(err.text, "cgroup /t"));
    assert_non_null(strstr(err.text, "62"));
    assert_non_null(strstr(err.text, "128"));
    assert_int_equal(budget.slots_count, 77);

    memset(&err, 0, sizeof err);
    facts = machine_facts(MIB, 2 * MIB); /* usage above a limit that was lowered */
    assert_int_equal(budget_decide(&budget, &facts, &wish, &err), -ENOMEM);

    memset(&err, 0, sizeof err);
    facts = machine_facts(NUM_UNKNOWN, 0);
    wish.memory_bytes = 100 * KIB;
    assert_int_equal(budget_decide(&budget, &facts, &wish, &err), -ENOMEM);
    assert_non_null(strstr(err.text, "--memory"));

    memset(&err, 0, sizeof err);
    wish.memory_bytes = 31 * MIB;
    wish.chunk_bytes = CHUNK_BYTES_MAX;
    assert_int_equal(budget_decide(&budget, &facts, &wish, &err), -ENOMEM);
}

/* What a client wishes is the most: less where four slots of it are too much. */
static void decide_chunks_at_most(void **state)
{
    (void)state;
    static const struct {
        uint64_t room_bytes;
        uint32_t most, chunk;
    } cases[] = {
        {20 * GIB, 16 * MIB, 16 * MIB}, {20 * GIB, MIB, MIB},           {16 * MIB, MIB, 512 * KIB},
        {12 * MIB, MIB, 256 * KIB},     {5 * MIB, MIB, 256 * KIB},      {2 * MIB, MIB, 256 * KIB},
        {MIB, MIB, 128 * KIB},          {20 * GIB, 64 * KIB, 64 * KIB},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct budget_facts facts = machine_facts(cases[i].room_bytes, 0);
        struct budget_wish wish = any_wish();
        wish.chunk_bytes_most = cases[i].most;
        struct budget budget = decided(&facts, &wish);
        if (budget.chunk_bytes != cases[i].chunk)
            fail_msg("case %zu: %u", i, budget.chunk_bytes);
    }
}

static void lanes_as_many_as_there_is_memory_for(void **state)
{
    (void)state;
    struct budget_facts facts = machine_facts(64 * MIB, 3 * MIB);
    assert_int_equal(budget_lanes(&facts, 4 * MIB, MIB, 4), 4);
    facts = machine_facts(32 * MIB, 3 * MIB);
    assert_int_equal(budget_lanes(&facts, 4 * MIB, MIB, 4), 2);
    facts = machine_facts(16 * MIB, 3 * MIB);
    assert_int_equal(budget_lanes(&facts, MIB, MIB, 4), 1);
    facts = machine_facts(MIB, 0);
    assert_int_equal(budget_lanes(&facts, 4 * MIB, MIB, 64), 1);
    facts = machine_facts(NUM_UNKNOWN, 0);
    assert_int_equal(budget_lanes(&facts, 4 * MIB, MIB, 64), 64);
}

/* --- the real machine ---------------------------------------------------------------------- */

static void memory_peak_rises_with_touched_memory(void **state)
{
    (void)state;
    enum { TOUCHED_BYTES = 32 * 1024 * 1024 };
    uint64_t before = budget_memory_peak();
    assert_true(before > 100 * KIB && before != NUM_UNKNOWN);
    volatile char *memory = malloc(TOUCHED_BYTES);
    assert_non_null((const void *)(uintptr_t)memory);
    for (size_t i = 0; i < TOUCHED_BYTES; i += 4096)
        memory[i] = 1;
    uint64_t after = budget_memory_peak();
    free((void *)(uintptr_t)memory);
    assert_true(after >= before + TOUCHED_BYTES / 2);
    /* Not exactly: each CPU may hold back some pages of the kernel's count. */
    assert_true(budget_memory_peak() + 2 * MIB >= after);
}

/* Who is named must be who decided. */
static void limited_by_names_what_decides(void **state)
{
    (void)state;
    struct budget_wish wish = any_wish();
    struct budget_facts facts = machine_facts(NUM_UNKNOWN, 0);
    struct budget budget = decided(&facts, &wish);
    assert_non_null(strstr(budget_limited_by(&budget, &facts, &wish), "own choice"));
    wish.memory_bytes = 8 * MIB;
    budget = decided(&facts, &wish);
    assert_string_equal(budget_limited_by(&budget, &facts, &wish), "--memory");
    wish.memory_bytes = 0;
    facts = machine_facts(32 * MIB, 0);
    budget = decided(&facts, &wish);
    assert_string_equal(budget_limited_by(&budget, &facts, &wish), "cgroup /t");
    wish.memory_bytes = 1 * GIB; /* more than there is decides nothing */
    budget = decided(&facts, &wish);
    assert_string_equal(budget_limited_by(&budget, &facts, &wish), "cgroup /t");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide_large_machine_uses_16_mib),
        cmocka_unit_test(decide_small_cgroups_leave_room_for_windows),
        cmocka_unit_test(decide_any_room_keeps_the_promise),
        cmocka_unit_test(decide_windows_fit_or_it_is_said),
        cmocka_unit_test(decide_available_counts_like_a_cgroup),
        cmocka_unit_test(decide_low_memory_takes_an_eighth),
        cmocka_unit_test(decide_rlimit_takes_a_quarter),
        cmocka_unit_test(decide_nothing_known_is_modest),
        cmocka_unit_test(decide_memory_wish_caps_slots),
        cmocka_unit_test(decide_reserved_is_taken_off),
        cmocka_unit_test(decide_chunk_wish_is_kept),
        cmocka_unit_test(decide_few_bytes_need_few_slots),
        cmocka_unit_test(decide_lanes_share_slots_evenly),
        cmocka_unit_test(decide_too_little_says_how_much),
        cmocka_unit_test(decide_chunks_at_most),
        cmocka_unit_test(lanes_as_many_as_there_is_memory_for),
        cmocka_unit_test(memory_peak_rises_with_touched_memory),
        cmocka_unit_test(limited_by_names_what_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
