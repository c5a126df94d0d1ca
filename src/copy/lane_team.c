/* lane_team.c - further lanes of one file: opened one after the other by a thread of its own, each
 * then run in its own thread. And the end of all lanes. */
#include "haul/copy/lane.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    TEAM_STACK_BYTES = 512 * 1024, /* libssh's handshake wants more than an engine's worker */
    TEAM_LOOK_MS = 50,             /* how soon the end of the copy is noticed */
    TEAM_SETTLE_MS_MAX = 5000,
    TEAM_MEASURE_MS = 250,              /* a rate is measured over so long */
    TEAM_WORTH_SECONDS = 1,             /* no new lane for less work than this */
    TEAM_ANSWERS_MAX = 20,              /* looks, until the other machine has answered */
    IDLE_PERMILLE = 300,                /* of a processor: always enough to try a lane ... */
    LANE_BYTES_A_PERMILLE = 330 * 1000, /* ... which takes 3 seconds of it a GB (measured) */
    CHEAP_PERMILLE = 200, /* what takes less is not held up by processors, but by its line */
    HELP_DIVISOR = 20,    /* a lane that brings less than this part is closed */
};

struct team_member {
    struct lane_team *team;
    uint32_t number;
    bool present; /* its slots are its own */
    pthread_t thread;
    bool running;
};

struct lane_team {
    struct lane_team_config config;
    pthread_t thread;
    atomic_bool finish;
    uint64_t idle_permille[2]; /* of one processor, when last measured: here, far away */
    struct {
        uint32_t count;
        uint64_t sent_bytes, received_bytes;
    } closed;                       /* lanes, and what went over their links */
    uint32_t settle_ms;             /* how long a new lane takes to get up to speed */
    _Atomic uint32_t running_count; /* threads, this one's included */
    struct team_member members[LANES_MAX];
};

static void *team_member_run(void *argument)
{
    struct team_member *member = argument;
    struct lane_team *team = member->team;
    lane_run(team->config.lanes[member->number]);
    team->config.lead->progress->lanes--;
    team->running_count--;
    return NULL;
}

static bool team_over(const struct lane_team *team)
{
    return team->finish || team->config.lane->control->stop;
}

/* false: the copy is over. */
static bool team_wait(const struct lane_team *team, uint32_t duration_ms)
{
    for (uint32_t waited_ms = 0; waited_ms < duration_ms && !team_over(team);
         waited_ms += TEAM_LOOK_MS)
        (void)poll(NULL, 0, TEAM_LOOK_MS);
    return !team_over(team);
}

static uint64_t team_moved_bytes(const struct lane_team *team)
{
    const struct progress *progress = team->config.lead->progress;
    return progress->bytes_copied + progress->bytes_kept;
}

static int team_thread(pthread_t *thread, void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, TEAM_STACK_BYTES);
    int errnum = pthread_create(thread, &attributes, function, argument);
    pthread_attr_destroy(&attributes);
    return errnum;
}

/* The first lane has the slots that no other one has. false: not all of them yet. */
static bool team_lend(struct lane_team *team)
{
    struct lane *const *lanes = team->config.lanes;
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 1; i < LANES_MAX; i++) {
        if (team->members[i].present)
            first = (uint32_t)min_u64(first, lanes[i]->slots_first);
    }
    return lane_lend(lanes[0], first);
}

/* false: the copy is over. */
static bool team_borrow(struct lane_team *team)
{
    while (!team_lend(team)) {
        if (!team_wait(team, 1))
            return false;
    }
    return !team_over(team);
}

/* One more lane. A lane that cannot be opened is not the copy's failure: it goes on with those
 * that it has. */
static bool team_add(struct lane_team *team, uint32_t number)
{
    const struct lane_team_config *config = &team->config;
    struct team_member *member = &team->members[number];
    struct error err = {.class = ERROR_NONE};
    struct lane **lane = &config->lanes[number];
    uint64_t started_ns = clock_now_ns();
    int result = 0;
    if (*lane && lane_lost(*lane)) { /* with an earlier file, or since */
        lane_close(*lane);
        *lane = NULL;
    }
    if (!*lane)
        result = lane_open(lane, config->lane, &err);
    *member = (struct team_member){.team = team, .number = number, .present = result == 0};
    if (result == 0 && team_borrow(team))
        result = lane_join(*lane, config->lead, &err);
    if (result == 0 && !team_over(team)) {
        team->running_count++;
        int errnum = team_thread(&member->thread, team_member_run, member);
        member->running = errnum == 0;
        team->running_count -= errnum != 0;
        /* A login takes some ten round trips, TCP's slow start about as many. Judged sooner, over
         * 50 ms, a lane that would have doubled the rate was taken for useless. */
        uint64_t login_ms = (clock_now_ns() - started_ns) / NS_PER_MS;
        team->settle_ms = num_u32(clamp_u64(2 * login_ms, TEAM_MEASURE_MS, TEAM_SETTLE_MS_MAX));
        if (member->running) {
            config->lead->progress->lanes++;
            log_verbose("lane %u: running", number + 1);
            return true;
        }
        error_set(&err, errnum, "start a thread");
    }
    if (error_is_set(&err) && !lane_helps(*lane, config->lead->job.number)) {
        member->present = false;
        (void)team_lend(team);
    }
    if (error_is_set(&err))
        log_note("lane %u could not be opened, going on with %u: %s", number + 1, number, err.text);
    return false;
}

/* Since the look before this one, when so many answers had come. Both are waited for, for a while.
 */
static uint64_t team_far_idle(const struct lane_team *team, uint32_t answers_count)
{
    struct lane *lead = team->config.lanes[0];
    lane_look(lead);
    for (uint32_t i = 0; i < TEAM_ANSWERS_MAX; i++) {
        struct peer_idle idle = lane_far_idle(lead);
        if (idle.answers_count - answers_count >= 2)
            return idle.permille;
        if (!team_wait(team, TEAM_LOOK_MS))
            break;
    }
    return NUM_UNKNOWN;
}

/* Bytes a second now, and how much of a processor nobody has used meanwhile; 0 when the copy ended
 * meanwhile. */
static uint64_t team_rate(struct lane_team *team)
{
    uint64_t bytes = team_moved_bytes(team), started_ns = clock_now_ns();
    uint64_t idle_ns = proc_idle_ns("");
    uint32_t answers_count = lane_far_idle(team->config.lanes[0]).answers_count;
    lane_look(team->config.lanes[0]);
    if (!team_wait(team, (uint32_t)max_u64(TEAM_MEASURE_MS, team->settle_ms / 2)))
        return 0;
    uint64_t took_ns = clock_now_ns() - started_ns;
    uint64_t rate = clock_rate(team_moved_bytes(team) - bytes, took_ns);
    team->idle_permille[0] = NUM_UNKNOWN;
    if (idle_ns != NUM_UNKNOWN)
        team->idle_permille[0] = (proc_idle_ns("") - idle_ns) / (took_ns / 1000 + 1);
    team->idle_permille[1] = team_far_idle(team, answers_count);
    return rate;
}

/* Over a fast line a lane takes about as much as one processor gives, at either side. Where none is
 * idle it takes that from the others: with both sides on two processors a push by several made 0.77
 * of the rate of one. Where it is not known, or a lane is slow for another reason, the rate has to
 * tell. */
static bool team_has_processor(const struct lane_team *team, uint64_t lane_rate)
{
    uint64_t permille = min_u64(team->idle_permille[0], team->idle_permille[1]);
    uint64_t needed = min_u64(lane_rate / LANE_BYTES_A_PERMILLE, IDLE_PERMILLE);
    if (permille >= needed || needed < CHEAP_PERMILLE)
        return true;
    log_verbose("no further lane: %u permille of a processor are idle %s, of %u",
                (uint32_t)permille, permille == team->idle_permille[0] ? "here" : "there",
                (uint32_t)needed);
    return false;
}

static bool team_worth_it(const struct lane_team *team, uint64_t rate)
{
    const struct progress *progress = team->config.lead->progress;
    uint64_t total = progress->bytes_total, moved = team_moved_bytes(team);
    return total > moved && (total - moved) / TEAM_WORTH_SECONDS > rate;
}

/* A lane more can cost more than it brings: with both sides of two on four processors a push made
 * 0.87 of the rate of one. What it has stored becomes durable, and its slots go back. One that has
 * failed stays until the copy hears of it. */
static void team_close(struct lane_team *team, uint32_t number)
{
    struct team_member *member = &team->members[number];
    struct lane **lane = &team->config.lanes[number];
    log_verbose("lane %u: closed, it did not help", number + 1);
    (*lane)->pump.retired = true;
    pthread_join(member->thread, NULL);
    member->running = false;
    if ((*lane)->helper.result < 0)
        return;
    team->closed.count++;
    team->closed.sent_bytes += (*lane)->helper.job.sent_bytes;
    team->closed.received_bytes += (*lane)->helper.job.received_bytes;
    lane_leave(*lane);
    lane_close(*lane);
    *lane = NULL;
    member->present = false;
    (void)team_lend(team);
}

/* As many as were wished; automatic: while each more brings a tenth. */
static void team_grow(struct lane_team *team)
{
    uint32_t wish = team->config.lanes_wish;
    uint32_t most = wish ? wish : LANES_AUTO_MAX, given = team->config.lanes[0]->lanes_most;
    if (wish > given)
        log_note("there is memory for %u lanes, not for %u", given, wish);
    most = (uint32_t)min_u64(most, given);
    uint64_t before = 0;
    while (wish == 0 && before == 0 &&
           !team_over(team)) /* over a long line the first bytes take their time */
        before = team_rate(team);
    for (uint32_t number = 1; number < most && !team_over(team); number++) {
        if (wish == 0 && (before == 0 || !team_worth_it(team, before) ||
                          !team_has_processor(team, before / number)))
            break;
        if (!team_add(team, number))
            break;
        if (wish > 0)
            continue;
        if (!team_wait(team, team->settle_ms))
            break;
        uint64_t after = team_rate(team);
        if (after > 0 && after < before + before / HELP_DIVISOR)
            team_close(team, number);
        if (after < before + before / 10)
            break;
        before = after;
    }
}

static void *team_run(void *argument)
{
    struct lane_team *team = argument;
    team_grow(team);
    team->running_count--;
    return NULL;
}

int lane_team_start(struct lane_team **out, const struct lane_team_config *config,
                    struct error *err)
{
    struct lane_team *team = calloc(1, sizeof(*team));
    *out = NULL;
    if (!team)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the lanes");
    team->config = *config;
    team->running_count = 1;
    int errnum = team_thread(&team->thread, team_run, team);
    if (errnum != 0) {
        free(team);
        return error_set(err, errnum, "start a thread");
    }
    *out = team;
    return 0;
}

bool lane_team_over(struct lane_team *team)
{
    team->finish = true;
    return team->running_count == 0;
}

void lane_team_finish(struct lane_team *team)
{
    if (!team)
        return;
    team->finish = true;
    pthread_join(team->thread, NULL);
    for (uint32_t i = 1; i < LANES_MAX; i++) {
        if (team->members[i].running)
            pthread_join(team->members[i].thread, NULL);
    }
    struct life *lead = team->config.lead;
    lead->lanes += team->closed.count;
    lead->job.sent_bytes += team->closed.sent_bytes;
    lead->job.received_bytes += team->closed.received_bytes;
    free(team);
}

/* ---- the end of all lanes ---- */

static void *team_part(void *lane)
{
    lane_close(lane);
    return NULL;
}

void lane_close_all(struct lane **lanes)
{
    pthread_t threads[LANES_MAX];
    bool running[LANES_MAX] = {false};
    for (uint32_t i = 1; i < LANES_MAX; i++)
        running[i] = lanes[i] && team_thread(&threads[i], team_part, lanes[i]) == 0;
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        if (running[i])
            pthread_join(threads[i], NULL);
        else
            lane_close(lanes[i]);
        lanes[i] = NULL;
    }
}
