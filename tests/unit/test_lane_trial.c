/* Unit tests of lane_trial.c: single decisions, and whole copies on simulated machines, whose rates
 * are as uneven as real ones, by many seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/copy/lane_trial.h"

enum { LANES_MOST = 4 };

#define MB UINT64_C(1000000)

/* ---- single decisions ---- */

static struct lane_sample sample_of(uint64_t mb_a_second, uint64_t idle_permille)
{
    return (struct lane_sample){
        .took_ns = NS_PER_SECOND / 4,
        .moved_bytes = mb_a_second * MB / 4,
        .left_bytes = 100 * MB * mb_a_second,
        .idle_permille = {idle_permille, idle_permille},
    };
}

/* The first sample is of buffers that fill. */
static void begin_at(struct lane_trial *trial, uint64_t mb_a_second, uint64_t idle_permille)
{
    const struct lane_sample first = sample_of(mb_a_second / 10, 2000);
    const struct lane_sample next = sample_of(mb_a_second, idle_permille);
    lane_trial_begin(trial, LANES_MOST, 0);
    assert_int_equal(lane_trial_next(trial, &first), LANE_LOOK);
    assert_int_equal(lane_trial_next(trial, &next), LANE_LOOK);
    assert_int_equal(lane_trial_next(trial, &next), LANE_OPEN);
    lane_trial_opened(trial, 800, 1);
    assert_int_equal(lane_trial_next(trial, &first), LANE_LOOK);
}

/* A sample of idle processors, and two of processors that are busy, at one side. */
static struct lane_sample busy_for_a_while(struct lane_trial *trial, int side)
{
    struct lane_sample sample = sample_of(600, 2000);
    lane_trial_begin(trial, LANES_MOST, 0);
    assert_int_equal(lane_trial_next(trial, &sample), LANE_LOOK);
    sample.idle_permille[side] = 150;
    for (int i = 0; i < 2; i++)
        assert_int_equal(lane_trial_next(trial, &sample), LANE_LOOK);
    return sample;
}

static void next_of_processors_busy_for_a_second_opens_none(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct lane_trial trial = {0};
        struct lane_sample sample = busy_for_a_while(&trial, side);
        assert_int_equal(lane_trial_next(&trial, &sample), LANE_REST);
    }
}

static void next_of_processors_busy_for_a_moment_opens_one(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct lane_trial trial = {0};
        struct lane_sample sample = busy_for_a_while(&trial, side);
        sample.idle_permille[side] = 200;
        assert_int_equal(lane_trial_next(&trial, &sample), LANE_OPEN);
    }
}

/* 50 MB/s take a sixth of a processor: it is the line that holds up. */
static void next_of_slow_line_opens_whatever_processors_do(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    begin_at(&trial, 50, 0);
}

static void next_of_unknown_processors_lets_the_rate_tell(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    begin_at(&trial, 600, NUM_UNKNOWN);
}

static void next_near_the_end_opens_none(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    struct lane_sample sample = sample_of(600, 2000);
    lane_trial_begin(&trial, LANES_MOST, 0);
    sample.left_bytes = 500 * MB;
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_REST);
}

static void next_of_nothing_moved_looks_again(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    struct lane_sample sample = sample_of(0, 2000);
    lane_trial_begin(&trial, LANES_MOST, 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    sample = sample_of(40, 2000);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_OPEN);
    lane_trial_opened(&trial, 600, 50);
    assert_int_equal(trial.before_rate, 40 * MB); /* what had not begun does not count */
}

static void next_of_one_lane_allowed_rests(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    const struct lane_sample sample = sample_of(600, 2000);
    lane_trial_begin(&trial, 1, 0);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_REST);
}

/* Rates of one second lane, one after the other, and what comes of it. */
static void next_of_second_lane_judges_by_its_rate(void **state)
{
    static const struct {
        uint64_t rates[4];
        enum lane_move moves[4];
    } cases[] = {
        {{1150}, {LANE_OPEN}}, /* nearly twice as much: only lanes are scarce */
        {{780}, {LANE_REST}},  /* less than a third of that: something else is */
        {{700}, {LANE_REST}},  /* */
        {{530}, {LANE_CLOSE}}, /* surely less */
        {{620, 620, 620, 620}, {LANE_LOOK, LANE_LOOK, LANE_LOOK, LANE_REST}},
        {{570, 580, 580, 570}, {LANE_LOOK, LANE_LOOK, LANE_LOOK, LANE_CLOSE}},
        {{595, 595, 595, 595}, {LANE_LOOK, LANE_LOOK, LANE_LOOK, LANE_REST}},
        {{580, 900}, {LANE_LOOK, LANE_REST}},
        {{0, 0, 700}, {LANE_LOOK, LANE_LOOK, LANE_REST}}, /* a disk that pauses */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lane_trial trial = {0};
        begin_at(&trial, 600, 500);
        for (int j = 0; j < 4 && (j == 0 || cases[i].rates[j] > 0 || cases[i].rates[0] == 0); j++) {
            const struct lane_sample sample = sample_of(cases[i].rates[j], 500);
            enum lane_move move = lane_trial_next(&trial, &sample);
            if (move != cases[i].moves[j])
                fail_msg("case %zu, sample %d: %d, expected %d", i, j, move, cases[i].moves[j]);
            if (move != LANE_LOOK)
                break;
        }
    }
}

/* Over 50 ms a login takes half a second: what is judged sooner has not begun. */
static void opened_of_slow_login_gives_time(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    const struct lane_sample sample = sample_of(50, 1900);
    lane_trial_begin(&trial, LANES_MOST, 0);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_OPEN);
    lane_trial_opened(&trial, 500, 50);
    for (int i = 0; i < 4; i++) { /* a second */
        assert_int_equal(trial.look_ms, 250);
        assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    }
    assert_int_equal(trial.look_ms, 500);
}

/* Where a login takes so long because processors are busy, there is nothing to wait for. */
static void opened_of_slow_login_over_short_line_waits_no_longer(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    begin_at(&trial, 600, 500);
    assert_int_equal(trial.look_ms, 250);
    const struct lane_sample worse = sample_of(500, 500);
    assert_int_equal(lane_trial_next(&trial, &worse), LANE_CLOSE);
}

/* What grows still is no rate to compare with, ... */
static void next_of_growing_rate_waits(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    for (uint64_t rate = 100; rate <= 600; rate += 100) {
        const struct lane_sample sample = sample_of(rate, 2000);
        if (rate == 100)
            lane_trial_begin(&trial, LANES_MOST, 0);
        assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    }
    const struct lane_sample steady = sample_of(610, 2000);
    assert_int_equal(lane_trial_next(&trial, &steady), LANE_OPEN);
    lane_trial_opened(&trial, 100, 1);
    assert_int_equal(trial.before_rate, 605 * MB);
}

/* ... but that is not for ever. */
static void next_of_rate_that_always_grows_opens_one(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    int looks = 0;
    lane_trial_begin(&trial, LANES_MOST, 0);
    for (uint64_t rate = 100;; rate += 50, looks++) {
        const struct lane_sample sample = sample_of(rate, 2000);
        if (lane_trial_next(&trial, &sample) == LANE_OPEN)
            break;
    }
    assert_true(looks >= 4 && looks <= 8); /* two seconds */
}

/* ... and what has begun is not waited for. */
static void next_of_lane_that_is_up_to_speed_opens_another(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    const struct lane_sample before = sample_of(50, 1900), after = sample_of(90, 1900);
    lane_trial_begin(&trial, LANES_MOST, 0);
    assert_int_equal(lane_trial_next(&trial, &before), LANE_LOOK);
    assert_int_equal(lane_trial_next(&trial, &before), LANE_OPEN);
    lane_trial_opened(&trial, 500, 50);
    assert_int_equal(lane_trial_next(&trial, &before), LANE_LOOK);
    assert_int_equal(lane_trial_next(&trial, &after), LANE_OPEN);
}

/* What one file has shown is true of the next one, for a minute. */
static void begin_goes_on_with_what_was_found(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    struct lane_sample sample = sample_of(700, 500);
    begin_at(&trial, 600, 500);
    sample.ended_ns = 5 * NS_PER_SECOND;
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_REST);
    assert_true(trial.decided);
    lane_trial_begin(&trial, LANES_MOST, 65 * NS_PER_SECOND);
    assert_true(trial.decided);
    assert_int_equal(trial.lanes, 2);
    lane_trial_begin(&trial, LANES_MOST, 66 * NS_PER_SECOND);
    assert_false(trial.decided);
    assert_int_equal(trial.lanes, 1);
}

static void begin_counts_what_was_closed_no_more(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    const struct lane_sample sample = sample_of(500, 500);
    begin_at(&trial, 600, 500);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_CLOSE);
    lane_trial_begin(&trial, LANES_MOST, 0);
    assert_true(trial.decided);
    assert_int_equal(trial.lanes, 1);
}

/* That this file is not worth a login says nothing of the next one. */
static void begin_after_short_file_measures_on(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    struct lane_sample sample = sample_of(600, 500);
    lane_trial_begin(&trial, LANES_MOST, 0);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    sample.left_bytes = MB;
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_REST);
    lane_trial_begin(&trial, LANES_MOST, 0);
    assert_false(trial.decided);
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_LOOK);
    sample.left_bytes = 2000 * MB;
    assert_int_equal(lane_trial_next(&trial, &sample), LANE_OPEN);
}

/* The other side has memory for fewer now. */
static void begin_with_fewer_lanes_begins_anew(void **state)
{
    (void)state;
    struct lane_trial trial = {0};
    begin_at(&trial, 600, 500);
    lane_trial_begin(&trial, 1, 0);
    assert_int_equal(trial.lanes, 1);
    assert_int_equal(trial.before_rate, 0);
}

/* ---- whole copies ---- */

struct machine {
    const char *name;
    uint32_t rate[LANES_MOST + 1], idle[LANES_MOST + 1]; /* MB/s, permille; by lanes */
    uint32_t login_ms, login_permille; /* so long, and so much of the rate goes meanwhile */
    uint32_t round_trip_ms, ramp_ms;   /* it begins with a third of its rate, and grows so long */
    uint32_t size_mb, files;           /* 0: one */
    uint32_t loss_permille; /* of time, against the best fixed number; at most, in the mean */
    uint32_t lanes_least, lanes_more; /* in the end, of nine copies in ten */
};

/* Where a try is wrong it costs what it takes: so much of the rate, for its second. */
static const struct machine machines[] = {
    {
        .name = "both sides on two processors, a second lane helps little",
        .rate = {0, 608, 675, 650, 630},
        .idle = {0, 500, 390, 300, 250},
        .login_ms = 120,
        .login_permille = 150,
        .size_mb = 4295,
        .loss_permille = 20,
        .lanes_least = 1,
        .lanes_more = 2,
    },
    {
        .name = "both sides on two processors, it helps more",
        .rate = {0, 560, 670, 650, 630},
        .idle = {0, 500, 390, 300, 250},
        .login_ms = 120,
        .login_permille = 150,
        .size_mb = 4295,
        .loss_permille = 20,
        .lanes_least = 2,
        .lanes_more = 2,
    },
    {
        .name = "both sides on two processors, it harms",
        .rate = {0, 600, 520, 500, 480},
        .idle = {0, 400, 300, 250, 200},
        .login_ms = 120,
        .login_permille = 150,
        .size_mb = 4295,
        .loss_permille = 35,
        .lanes_least = 1,
        .lanes_more = 2,
    },
    {
        .name = "both sides on two processors, little of them is idle and it helps",
        .rate = {0, 608, 690, 660, 640},
        .idle = {0, 220, 60, 30, 20},
        .login_ms = 120,
        .login_permille = 200,
        .size_mb = 4295,
        .loss_permille = 20,
        .lanes_least = 2,
        .lanes_more = 2,
    },
    {
        .name = "both sides on two processors, little of them is idle and it harms",
        .rate = {0, 600, 520, 500, 480},
        .idle = {0, 220, 60, 30, 20},
        .login_ms = 120,
        .login_permille = 200,
        .size_mb = 4295,
        .loss_permille = 35,
        .lanes_least = 1,
        .lanes_more = 2,
    },
    {
        .name = "both sides on two processors, and none is idle",
        .rate = {0, 600, 470, 450, 440},
        .idle = {0, 150, 100, 50, 50},
        .login_ms = 120,
        .login_permille = 300,
        .size_mb = 4295,
        .loss_permille = 5,
        .lanes_least = 1,
        .lanes_more = 1,
    },
    {
        .name = "both sides on two slow processors, which a login takes long of, and it harms",
        .rate = {0, 309, 262, 220, 182},
        .idle = {0, 800, 450, 300, 200},
        .login_ms = 800,
        .login_permille = 100,
        .round_trip_ms = 5,
        .ramp_ms = 700,
        .size_mb = 4295,
        .loss_permille = 20,
        .lanes_least = 1,
        .lanes_more = 2,
    },
    {
        .name = "both sides on two slow processors, which a login takes long of, and it helps",
        .rate = {0, 241, 278, 230, 180},
        .idle = {0, 700, 370, 300, 200},
        .login_ms = 800,
        .login_permille = 100,
        .round_trip_ms = 5,
        .ramp_ms = 700,
        .size_mb = 4295,
        .loss_permille = 20,
        .lanes_least = 2,
        .lanes_more = 2,
    },
    {
        .name = "four processors",
        .rate = {0, 600, 1050, 1250, 1200},
        .idle = {0, 2400, 900, 300, 100},
        .login_ms = 120,
        .login_permille = 100,
        .size_mb = 8590,
        .loss_permille = 10,
        .lanes_least = 2,
        .lanes_more = 3,
    },
    {
        .name = "two machines of many processors",
        .rate = {0, 400, 790, 1150, 1500},
        .idle = {0, 6000, 5000, 4000, 3000},
        .login_ms = 150,
        .login_permille = 20,
        .size_mb = 17180,
        .loss_permille = 60,
        .lanes_least = 3,
        .lanes_more = 4,
    },
    {
        .name = "a line of 50 ms whose windows limit it",
        .rate = {0, 25, 50, 75, 100},
        .idle = {0, 1900, 1800, 1700, 1600},
        .login_ms = 500,
        .round_trip_ms = 50,
        .login_permille = 10,
        .size_mb = 4295,
        .loss_permille = 25,
        .lanes_least = 4,
        .lanes_more = 4,
    },
    {
        .name = "a line that is full",
        .rate = {0, 11, 11, 11, 11},
        .idle = {0, 1900, 1900, 1900, 1900},
        .login_ms = 500,
        .round_trip_ms = 50,
        .login_permille = 50,
        .size_mb = 1074,
        .loss_permille = 5,
        .lanes_least = 1,
        .lanes_more = 2,
    },
    {
        .name = "forty files, two machines of many processors",
        .rate = {0, 400, 790, 1150, 1500},
        .idle = {0, 6000, 5000, 4000, 3000},
        .login_ms = 150,
        .login_permille = 20,
        .size_mb = 500,
        .files = 40,
        .loss_permille = 60,
        .lanes_least = 3,
        .lanes_more = 4,
    },
    {
        .name = "ten files, both sides on two processors, little of them is idle and it helps",
        .rate = {0, 608, 690, 660, 640},
        .idle = {0, 220, 60, 30, 20},
        .login_ms = 120,
        .login_permille = 200,
        .size_mb = 450,
        .files = 10,
        .loss_permille = 20,
        .lanes_least = 2,
        .lanes_more = 2,
    },
};

/* A copy, in simulated time. */
struct ride {
    const struct machine *machine;
    double moved_mb;         /* of the file */
    uint32_t files_left;     /* behind it */
    double noise, drift;     /* within tenths of a second, within seconds */
    uint32_t now_ms, lanes;  /* which take part */
    uint32_t open;           /* those that have logged in */
    uint32_t opened, closed; /* ever */
};

enum { SLICE_MS = 50, SEEDS = 300 };

/* About normal, of deviation 1. */
static double noise_of(void)
{
    double sum = 0;
    for (int i = 0; i < 3; i++)
        sum += (double)random() / (double)RAND_MAX;
    return 2 * sum - 3;
}

/* false: the file is over. As measured: rates of a quarter of a second are apart by a tenth, and
 * those of whole copies by a twentieth. */
static bool ride_on(struct ride *ride, uint32_t duration_ms, uint32_t permille)
{
    const struct machine *machine = ride->machine;
    for (uint32_t end_ms = ride->now_ms + duration_ms; ride->now_ms < end_ms;) {
        ride->noise = 0.5 * ride->noise + 0.87 * noise_of();
        ride->drift = 0.985 * ride->drift + 0.17 * noise_of();
        double factor = 1 + 0.1 * ride->noise + 0.06 * ride->drift;
        if (ride->now_ms < machine->ramp_ms)
            factor *= (1 + 2.0 * ride->now_ms / machine->ramp_ms) / 3;
        ride->moved_mb += machine->rate[ride->lanes] * (factor > 0.1 ? factor : 0.1) *
                          (1000 - permille) / 1000.0 * (double)SLICE_MS / 1000.0;
        ride->now_ms += SLICE_MS;
        if (ride->moved_mb >= machine->size_mb)
            return false;
    }
    return true;
}

/* The first one, or one more: one that is open only has to open the file. */
static bool ride_add(struct ride *ride)
{
    bool login = ride->lanes == ride->open;
    bool on = login ? ride_on(ride, ride->machine->login_ms, ride->machine->login_permille)
                    : ride_on(ride, SLICE_MS, 0);
    ride->lanes++;
    ride->open += login;
    ride->opened += login;
    return on;
}

static void ride_fixed(struct ride *ride, uint32_t lanes)
{
    bool on = true;
    while (on && ride->lanes < lanes)
        on = ride_add(ride);
    while (on)
        on = ride_on(ride, 1000, 0);
}

static bool ride_sample(struct ride *ride, uint32_t look_ms, struct lane_sample *sample)
{
    const struct machine *machine = ride->machine;
    double before_mb = ride->moved_mb;
    if (!ride_on(ride, look_ms, 0))
        return false;
    uint64_t idle = machine->idle[ride->lanes];
    *sample = (struct lane_sample){
        .ended_ns = ride->now_ms * NS_PER_MS,
        .took_ns = look_ms * NS_PER_MS,
        .moved_bytes = (uint64_t)((ride->moved_mb - before_mb) * 1e6),
        .left_bytes = (uint64_t)((machine->size_mb - ride->moved_mb) * 1e6) +
                      ride->files_left * machine->size_mb * MB,
        /* Told in ticks of 10 ms a processor. */
        .idle_permille = {idle + (uint64_t)random() % 81 - min_u64(idle, 40), idle},
    };
    return true;
}

static void ride_auto(struct ride *ride, struct lane_trial *trial)
{
    struct lane_sample sample;
    enum lane_move move = LANE_LOOK;
    lane_trial_begin(trial, LANES_MOST, ride->now_ms * NS_PER_MS);
    while (ride->lanes < trial->lanes) {
        if (!ride_add(ride))
            return;
    }
    while (move != LANE_REST && !trial->decided) {
        if (!ride_sample(ride, trial->look_ms, &sample))
            return;
        move = lane_trial_next(trial, &sample);
        if (move == LANE_OPEN && !ride_add(ride))
            return;
        if (move == LANE_OPEN)
            lane_trial_opened(trial, ride->machine->login_ms, ride->machine->round_trip_ms);
    }
    ride->closed += move == LANE_CLOSE;
    ride->open -= move == LANE_CLOSE;
    ride->lanes -= move == LANE_CLOSE;
    ride_fixed(ride, ride->lanes);
}

/* All files, by so many lanes; 0: by an automatic number. */
static struct ride ride_of(const struct machine *machine, unsigned seed, uint32_t lanes)
{
    struct lane_trial trial = {0};
    srandom(seed);
    struct ride ride = {
        .machine = machine,
        .noise = noise_of(),
        .drift = noise_of(),
        .open = 1,
        .files_left = (uint32_t)max_u64(machine->files, 1),
    };
    while (ride.files_left > 0) {
        ride.files_left--;
        ride.lanes = 1;
        ride.moved_mb = 0;
        if (lanes > 0)
            ride_fixed(&ride, lanes);
        else
            ride_auto(&ride, &trial);
    }
    return ride;
}

/* By seed, and whatever the compiler's library makes of it: more of them by SEEDS. */
static unsigned seeds_count(void)
{
    const char *text = getenv("SEEDS");
    return text ? (unsigned)strtoul(text, NULL, 10) : SEEDS;
}

static double best_fixed_ms(const struct machine *machine)
{
    double best_ms = 1e18;
    for (uint32_t lanes = 1; lanes <= LANES_MOST; lanes *= 2) {
        double sum_ms = 0;
        for (unsigned seed = 1; seed <= seeds_count(); seed++)
            sum_ms += ride_of(machine, seed, lanes).now_ms;
        best_ms = sum_ms / seeds_count() < best_ms ? sum_ms / seeds_count() : best_ms;
    }
    return best_ms;
}

static void check_machine(const struct machine *machine)
{
    uint32_t within = 0, ends[LANES_MOST + 1] = {0};
    double sum_ms = 0;
    for (unsigned seed = 1; seed <= seeds_count(); seed++) {
        const struct ride ride = ride_of(machine, seed, 0);
        sum_ms += ride.now_ms;
        ends[ride.lanes]++;
        within += ride.lanes >= machine->lanes_least && ride.lanes <= machine->lanes_more;
        if (ride.closed > 1 || ride.opened > LANES_MOST - 1)
            fail_msg("%s: seed %u opened %u lanes", machine->name, seed, ride.opened);
    }
    double loss = (sum_ms / seeds_count() / best_fixed_ms(machine) - 1) * 1000;
    print_message("%s: %.1f permille slower than the best, 1 to 4 lanes: %u, %u, %u, %u\n",
                  machine->name, loss, ends[1], ends[2], ends[3], ends[4]);
    assert_true(loss <= machine->loss_permille);
    assert_true(within >= seeds_count() * 9 / 10);
}

static void copies_are_as_fast_as_with_the_best_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
        check_machine(&machines[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_of_processors_busy_for_a_second_opens_none),
        cmocka_unit_test(next_of_processors_busy_for_a_moment_opens_one),
        cmocka_unit_test(next_of_slow_line_opens_whatever_processors_do),
        cmocka_unit_test(next_of_unknown_processors_lets_the_rate_tell),
        cmocka_unit_test(next_near_the_end_opens_none),
        cmocka_unit_test(next_of_nothing_moved_looks_again),
        cmocka_unit_test(next_of_one_lane_allowed_rests),
        cmocka_unit_test(next_of_second_lane_judges_by_its_rate),
        cmocka_unit_test(opened_of_slow_login_gives_time),
        cmocka_unit_test(opened_of_slow_login_over_short_line_waits_no_longer),
        cmocka_unit_test(next_of_growing_rate_waits),
        cmocka_unit_test(next_of_rate_that_always_grows_opens_one),
        cmocka_unit_test(next_of_lane_that_is_up_to_speed_opens_another),
        cmocka_unit_test(begin_goes_on_with_what_was_found),
        cmocka_unit_test(begin_counts_what_was_closed_no_more),
        cmocka_unit_test(begin_after_short_file_measures_on),
        cmocka_unit_test(begin_with_fewer_lanes_begins_anew),
        cmocka_unit_test(copies_are_as_fast_as_with_the_best_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
