/* lane_trial.c - how many lanes an automatic number of them is. */
#include "haul/copy/lane_trial.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"

#include <assert.h>

enum {
    START_MS = 100,   /* buffers fill, and nothing has arrived */
    MEASURE_MS = 250, /* a rate is measured over so long */
    SETTLE_MS_MAX = 5000,
    STEADY_MS_MAX = 2000, /* so long one lane's rate may grow before it is believed */
    LOGIN_ROUND_TRIPS = 10,
    DOUBT_MS = 1000,               /* or over so long, while it could be one or the other */
    DOUBT_PERMILLE = 60,           /* of the rate before: so far apart rates are by chance */
    WORSE_PERMILLE = 15,           /* what was opened for a good reason stays, with less */
    WORTH_MS = 1000,               /* no new lane for less work than this, ... */
    WORTH_LOGINS = 4,              /* ... or than so many logins take */
    IDLE_PERMILLE = 200,           /* of a processor: always enough to try a lane ... */
    BYTES_A_PERMILLE = 330 * 1000, /* ... which takes 3 seconds of it a GB (measured) */
    CHEAP_PERMILLE = 200, /* what takes less is not held up by processors, but by its line */
};

static const uint64_t holds_ns = 60 * NS_PER_SECOND;

/* Each file by itself would begin with one lane, and of files that take less than a second each
 * none would have more. */
void lane_trial_begin(struct lane_trial *trial, uint32_t lanes_most, uint64_t now_ns)
{
    if (trial->lanes == 0 || trial->lanes > lanes_most || now_ns - trial->asof_ns > holds_ns)
        *trial = (struct lane_trial){.lanes = 1, .asof_ns = now_ns};
    trial->lanes_most = lanes_most;
    trial->look_ms = START_MS;
    trial->settle_ms = START_MS;
    if (trial->before_rate > 0)
        trial->settle_ms = num_u32(clamp_u64(2 * trial->line_ms, START_MS, SETTLE_MS_MAX));
}

static uint64_t trial_rate(const struct lane_trial *trial)
{
    return clock_rate(trial->moved_bytes, trial->took_ns);
}

/* A login takes some ten round trips, TCP's slow start about as many. Judged sooner, over 50 ms, a
 * lane that would have doubled the rate was taken for useless. Where a login takes long for want of
 * processors there is nothing to wait for, while a lane that harms does so. */
void lane_trial_opened(struct lane_trial *trial, uint64_t login_ms, uint64_t round_trip_ms)
{
    uint64_t line_ms = min_u64(login_ms, LOGIN_ROUND_TRIPS * round_trip_ms);
    trial->before_rate = trial_rate(trial);
    trial->lanes++;
    trial->login_ms = num_u32(min_u64(login_ms, SETTLE_MS_MAX));
    trial->line_ms = num_u32(min_u64(line_ms, SETTLE_MS_MAX));
    trial->settle_ms = num_u32(clamp_u64(2 * line_ms, MEASURE_MS, SETTLE_MS_MAX));
    trial->look_ms = MEASURE_MS;
    trial->took_ns = trial->moved_bytes = 0;
}

/* Over a fast line a lane takes about as much as one processor gives, at either side. Where none is
 * idle it takes that from the others: with both sides on two processors a push by several made 0.77
 * of the rate of one. Where some of one is, to try in vain costs a fiftieth of a copy of seven
 * seconds: a pull there leaves 160 to 280 permille, and a second lane makes it faster by a seventh.
 * Where it is not known, or a lane is slow for another reason, the rate has to tell. */
static bool trial_has_processor(const struct lane_trial *trial, const struct lane_sample *sample)
{
    uint64_t permille = min_u64(sample->idle_permille[0], sample->idle_permille[1]);
    uint64_t takes = trial_rate(trial) / trial->lanes / BYTES_A_PERMILLE;
    if (permille >= min_u64(takes, IDLE_PERMILLE) || takes < CHEAP_PERMILLE)
        return true;
    log_verbose("no further lane: %u permille of a processor are idle %s, of %u",
                (uint32_t)permille, permille == sample->idle_permille[0] ? "here" : "there",
                IDLE_PERMILLE);
    return false;
}

static bool trial_is_worth_it(const struct lane_trial *trial, const struct lane_sample *sample)
{
    uint64_t least_ms = max_u64(WORTH_MS, (uint64_t)WORTH_LOGINS * trial->login_ms);
    return sample->left_bytes / least_ms > trial_rate(trial) / 1000;
}

/* The last lane has brought at least a third of what it would if nothing but lanes were scarce.
 * Where it has not, processors, the line or a disk are, and the next one brings still less. */
static bool trial_goes_on(const struct lane_trial *trial)
{
    uint64_t share = trial->before_rate / (trial->lanes - 1);
    return trial_rate(trial) >= trial->before_rate + share / 3;
}

/* Within a quarter of a second the kernel counts some 50 ticks: that processors are busy is
 * believed when they have been so for a second. */
static enum lane_move trial_one_more(struct lane_trial *trial, const struct lane_sample *sample)
{
    trial->decided = trial->lanes == trial->lanes_most;
    if (trial->decided || !trial_is_worth_it(trial, sample))
        return LANE_REST;
    if (trial_has_processor(trial, sample))
        return LANE_OPEN;
    trial->decided = trial->took_ns >= DOUBT_MS * NS_PER_MS;
    return trial->decided ? LANE_REST : LANE_LOOK;
}

/* A lane more can cost more than it brings: with both sides of two on four processors a push made
 * 0.87 of the rate of one. But rates of a quarter of a second are apart by a tenth without any
 * reason, and a lane was closed that made the copy faster by as much. */
static enum lane_move trial_judge(struct lane_trial *trial, const struct lane_sample *sample)
{
    uint64_t rate = trial_rate(trial), before = trial->before_rate;
    uint64_t doubt = before / 1000 * DOUBT_PERMILLE, worse = before / 1000 * WORSE_PERMILLE;
    bool sure = trial->took_ns >= DOUBT_MS * NS_PER_MS || rate < before - doubt;
    if (rate < before + doubt && !sure)
        return LANE_LOOK;
    if (trial_goes_on(trial))
        return trial_one_more(trial, sample);
    trial->decided = true;
    if (rate >= before - worse)
        return LANE_REST;
    trial->lanes--;
    return LANE_CLOSE;
}

/* A lane that already brings most of what lanes can has nothing to be waited for. */
static bool trial_is_settled(struct lane_trial *trial, const struct lane_sample *sample)
{
    uint64_t share = trial->before_rate / max_u64(trial->lanes - 1, 1);
    uint64_t rate = clock_rate(sample->moved_bytes, sample->took_ns);
    if (share > 0 && rate >= trial->before_rate + share / 3 * 2) {
        trial->settle_ms = 0;
        return true;
    }
    trial->settle_ms -= (uint32_t)min_u64(trial->settle_ms, sample->took_ns / NS_PER_MS);
    if (trial->settle_ms == 0)
        trial->look_ms = num_u32(clamp_u64(trial->line_ms, MEASURE_MS, SETTLE_MS_MAX / 2));
    return false;
}

/* A copy gets up to speed as well: what a second lane is compared with is measured when the rate
 * grows no more. Measured sooner, that of one lane was a third of what it became, and a third one
 * was opened since the second seemed to have brought the rest. */
static bool trial_is_steady(struct lane_trial *trial, const struct lane_sample *sample)
{
    uint64_t before = trial_rate(trial);
    uint64_t rate = clock_rate(sample->moved_bytes, sample->took_ns);
    bool grows = before == 0 || rate > before + before / 1000 * DOUBT_PERMILLE;
    trial->grown_ms += before > 0 ? num_u32(sample->took_ns / NS_PER_MS) : 0;
    trial->steady = !grows || trial->grown_ms >= STEADY_MS_MAX;
    if (grows)
        trial->took_ns = trial->moved_bytes = 0;
    return trial->steady;
}

static void trial_count(struct lane_trial *trial, const struct lane_sample *sample)
{
    trial->took_ns += sample->took_ns;
    trial->moved_bytes += sample->moved_bytes;
}

enum lane_move lane_trial_next(struct lane_trial *trial, const struct lane_sample *sample)
{
    assert(trial->lanes >= 1 && trial->lanes <= trial->lanes_most && !trial->decided);
    trial->asof_ns = sample->ended_ns;
    bool measures = trial->before_rate > 0 || trial->steady;
    if (trial->settle_ms > 0 && !trial_is_settled(trial, sample)) {
        if (!measures)
            trial_count(trial, sample);
        return LANE_LOOK;
    }
    measures = measures || trial_is_steady(trial, sample);
    trial_count(trial, sample);
    if (trial->moved_bytes == 0) /* over a long line the first bytes take their time */
        trial->took_ns = 0;
    if (trial->moved_bytes == 0 || !measures)
        return LANE_LOOK;
    return trial->before_rate > 0 ? trial_judge(trial, sample) : trial_one_more(trial, sample);
}
