/* lane_team.c - further lanes of one file: opened one after the other by a thread of its own, each
 * then run in its own thread. And the end of all lanes. */
#include "haul/copy/lane.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/copy/lane_trial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    TEAM_STACK_BYTES = 512 * 1024, /* libssh's handshake wants more than an engine's worker */
    TEAM_LOOK_MS = 50,             /* how soon the end of the copy is noticed */
    TEAM_ANSWER_MS = 10,           /* the same of the other machine's answer, ... */
    TEAM_ANSWERS_MAX = 100,        /* ... which so many looks wait for */
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
    struct {
        uint32_t count;
        uint64_t sent_bytes, received_bytes;
    } closed;                       /* lanes, and what went over their links */
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
        (void)poll(NULL, 0, (int)min_u64(TEAM_LOOK_MS, duration_ms));
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
    ERROR_UNSET(err);
    struct lane **lane = &config->lanes[number];
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
        if (!team_wait(team, TEAM_ANSWER_MS))
            break;
    }
    return NUM_UNKNOWN;
}

/* What the copy does from now on. false: it is over. */
static bool team_look(const struct lane_team *team, uint32_t look_ms, struct lane_sample *sample)
{
    struct lane *lead = team->config.lanes[0];
    uint64_t before_bytes = team_moved_bytes(team), started_ns = clock_now_ns();
    uint64_t idle_ns = proc_idle_ns("");
    uint32_t answers_count = lane_far_idle(lead).answers_count;
    *sample = (struct lane_sample){.idle_permille = {NUM_UNKNOWN, NUM_UNKNOWN}};
    lane_look(lead);
    if (!team_wait(team, look_ms))
        return false;
    sample->idle_permille[1] = team_far_idle(team, answers_count);
    uint64_t moved_bytes = team_moved_bytes(team);
    uint64_t total_bytes = team->config.lead->progress->bytes_total;
    sample->ended_ns = clock_now_ns();
    sample->took_ns = sample->ended_ns - started_ns;
    sample->moved_bytes = moved_bytes - before_bytes;
    sample->left_bytes =
        total_bytes - min_u64(total_bytes, moved_bytes) + team->config.waiting_bytes;
    if (idle_ns != NUM_UNKNOWN)
        sample->idle_permille[0] = (proc_idle_ns("") - idle_ns) / (sample->took_ns / 1000 + 1);
    return !team_over(team);
}

/* What it has stored becomes durable, and its slots go back. One that has failed stays until the
 * copy hears of it. */
static void team_close(struct lane_team *team, uint32_t number)
{
    struct team_member *member = &team->members[number];
    struct lane **lane = &team->config.lanes[number];
    log_verbose("lane %u: closed, the copy was faster without it", number + 1);
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

static void team_try(struct lane_team *team, uint32_t most)
{
    struct lane_trial *trial = team->config.trial;
    struct lane_sample sample;
    lane_trial_begin(trial, most, clock_now_ns());
    for (uint32_t number = 1; number < trial->lanes; number++) {
        if (!team_add(team, number))
            return;
    }
    while (!trial->decided && team_look(team, trial->look_ms, &sample)) {
        enum lane_move move = lane_trial_next(trial, &sample);
        uint64_t started_ns = clock_now_ns();
        if (move == LANE_CLOSE)
            team_close(team, trial->lanes);
        if (move == LANE_REST || (move == LANE_OPEN && !team_add(team, trial->lanes)))
            return;
        if (move == LANE_OPEN)
            lane_trial_opened(trial, (clock_now_ns() - started_ns) / NS_PER_MS,
                              lane_round_trip_ns(team->config.lanes[0]) / NS_PER_MS);
    }
}

static void team_grow(struct lane_team *team)
{
    uint32_t wish = team->config.lanes_wish, given = team->config.lanes[0]->lanes_most;
    if (wish > given)
        log_note("there is memory for %u lanes, not for %u", given, wish);
    if (wish == 0) {
        team_try(team, (uint32_t)min_u64(LANES_AUTO_MAX, given));
        return;
    }
    for (uint32_t number = 1; number < min_u64(wish, given) && !team_over(team); number++) {
        if (!team_add(team, number))
            return;
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
