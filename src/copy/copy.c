/* copy.c - one run: memory, lanes, and the files that are under way in them. What a file does next
 * is its life's business, chunks are the pump's; here is who gets room, which lanes help, and what
 * becomes of the files of a lane that is lost. */
#include "haul/copy/copy.h"

#include "haul/copy/lane.h"
#include "haul/copy/life.h"
#include "haul/copy/tour.h"
#include "haul/net/ask.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/pack.h"
#include "haul/base/text.h"
#include "haul/disk/cache.h"
#include "haul/disk/kernel_memory.h"
#include "haul/disk/pipe.h"
#include "haul/disk/pressure.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    /* A libssh session: 1.25 MB, 6 MB of shared libraries (measured), what a peer may send ahead.
     */
    SSH_LIBRARY_BYTES = 6 * 1024 * 1024,
    SSH_SESSION_BYTES = 3 * 1024 * 1024,
    LANE_CHUNK_BYTES_MIN = 256 * 1024,
    RETRIES_DEFAULT = 5,
    RETRY_SECONDS_MAX = 30,
    PAUSE_MS = 100, /* how soon a request to stop is noticed */
};

/* A file that has its turn. */
struct copy_file {
    bool ended;          /* for good: it waits to be collected */
    enum side_role role; /* LOOK */
    char *path;          /* LOOK: its own copy */
    struct lane *lane;   /* it has begun in */
    uint32_t attempts;   /* that were before this one */
    bool stranded;       /* its link was lost: it begins again with the next one */
    char changes[12];    /* of the target as it was found */
    struct life life;
    struct error *error, *first; /* its failure, and that of the first attempt */
};

struct copy {
    struct copy_wish wish;
    struct address addresses[2]; /* by role */
    struct budget budget;
    struct control *control;
    struct progress progress; /* of the run: only what went over the links */
    struct {
        uint64_t sent_bytes, received_bytes;
    } wire_told; /* by the receipts of earlier files */
    uint64_t session;
    uint32_t jobs_count;
    uint64_t removed_count; /* by --delete */
    struct kernel_memory kernel;
    struct attributes_told told;
    struct ask_memory *memory; /* remote sides: what was answered, for the next lane */
    struct lane_config lane_config;
    struct lane_pool pool;
    struct life_run run;
    struct lane *lanes[LANES_MAX];          /* files live in the first one */
    struct lane_team *team;                 /* while it is there the other lanes are its threads' */
    struct lane_trial trial;                /* ... and so is this */
    struct copy_file files[COPY_FILES_MAX]; /* ring, in the order in which they were begun */
    uint32_t files_first, files_count;
    bool stranded;                        /* one of them may be */
    struct life *ended;                   /* of them: has come back, and copy_end() is to see it */
    uint32_t open_max;                    /* files that may be open ... */
    uint32_t small_max;                   /* ... and small ones, that go as a whole */
    bool takes_small, shares;             /* see life.h ... */
    uint32_t targets_absent, sources_fit; /* ... and so are these */
    uint32_t roots_count;
    bool redials;         /* a lost link is dialled again ... */
    uint32_t dials_count; /* ... and was, so often since something was made last */
    struct tour *tour;
    struct tour_links *links;    /* -H: of all tours */
    struct spill *moved;         /* --remove-source-files: of all sources, where that matters */
    struct spill *shared;        /* of all sources, where there are several */
    struct spill *spelled;       /* of all tours */
    struct life_nearest nearest; /* -n: what would be made first; its path is owned, or NULL */
    struct progress tour_progress;
    char *shown[2];                               /* by role: paths of its last event */
    struct error errors[2 * COPY_FILES_MAX];      /* of the files; no page before a failure */
    struct side_words words[2 * COPY_FILES_MAX];  /* the same of small ones */
    struct owner_names names[2 * COPY_FILES_MAX]; /* the same where both sides are here ... */
    struct life_start starts[COPY_FILES_MAX];     /* ... and how they begin with another link */
};

static bool copy_remote(const struct copy *copy, enum side_role role)
{
    return copy->addresses[role].kind == ADDRESS_REMOTE;
}

static bool copy_any_remote(const struct copy *copy)
{
    return copy_remote(copy, SIDE_SOURCE) || copy_remote(copy, SIDE_TARGET);
}

/* Local copies have one lane: a second could only compete for the same disk. */
static uint32_t copy_lanes(const struct copy *copy)
{
    if (!copy_any_remote(copy))
        return 1;
    return copy->wish.lanes ? (uint32_t)min_u64(copy->wish.lanes, LANES_MAX) : LANES_AUTO_MAX;
}

static uint64_t copy_reserved_bytes(const struct copy *copy, uint32_t lanes)
{
    uint32_t chunk_bytes = copy->wish.chunk_bytes ? copy->wish.chunk_bytes : CHUNK_BYTES_DEFAULT;
    uint32_t links = copy_remote(copy, SIDE_SOURCE) + copy_remote(copy, SIDE_TARGET);
    uint64_t pack_bytes =
        copy->wish.compress ? (uint64_t)lanes * links * pack_memory(chunk_bytes) : 0;
    if (!copy_any_remote(copy))
        return 0;
    if (copy->wish.link.transport)
        return pack_bytes;
    return SSH_LIBRARY_BYTES + (uint64_t)lanes * SSH_SESSION_BYTES + pack_bytes;
}

static struct budget_wish copy_memory_wish(const struct copy *copy, uint32_t lanes)
{
    return (struct budget_wish){
        .memory_bytes = copy->wish.memory_bytes,
        .chunk_bytes = copy->wish.chunk_bytes,
        .bytes_most = copy->wish.bytes_most,
        .lanes = lanes,
        .reserved_bytes = copy_reserved_bytes(copy, lanes),
        .windows = copy->wish.file.cache == POLICY_WINDOW,
    };
}

/* --cache-max is for all lanes together. Where it leaves one of them two windows, the fewest, it
 * leaves each as many. */
static bool copy_windows_fit(const struct copy *copy, uint32_t lanes)
{
    const struct job_wish *file = &copy->wish.file;
    uint64_t least = 2 * max_u64(CACHE_WINDOW_BYTES_MIN, copy->budget.chunk_bytes);
    return !file->cache_max_set || file->cache_max_bytes < least ||
           file->cache_max_bytes / lanes >= least;
}

/* As many as may be opened, but fewer where that leaves chunks that are worth the round trips. */
static int copy_decide_lanes(struct copy *copy, uint32_t *lanes, struct error *err)
{
    if (copy->wish.digest_path) /* the bytes come in order */
        copy->wish.lanes = 1;
    bool fixed = copy->wish.lanes > 0;
    struct budget_facts facts;
    struct budget_wish wish;
    struct error why;
    int result = 0;
    budget_read(&facts, &copy->kernel.cgroup);
    for (*lanes = copy_lanes(copy);; (*lanes)--) {
        why.class = ERROR_NONE;
        wish = copy_memory_wish(copy, *lanes);
        result = budget_decide(&copy->budget, &facts, &wish, &why);
        /* A wish of 0 is none, and one less than that the largest number. */
        bool good = result == 0 && copy->budget.chunk_bytes >=
                                       min_u64(LANE_CHUNK_BYTES_MIN, copy->wish.chunk_bytes - 1);
        good = good && copy_windows_fit(copy, *lanes);
        if (good || fixed || *lanes == 1)
            break;
    }
    if (result < 0)
        return error_take(err, &why);
    copy->wish.file.cache_max_bytes /= *lanes;
    log_verbose("memory: budget=%llu slots=%u chunk=%u window=%u lanes=%u limited_by=%s",
                (unsigned long long)copy->budget.memory_bytes, copy->budget.slots_count,
                copy->budget.chunk_bytes, copy->budget.window_bytes, *lanes,
                budget_limited_by(&copy->budget, &facts, &wish));
    return 0;
}

/* As our own descriptors allow, and those of a server, which has told how many it has room for: a
 * fifth of them are for files in chunks. */
static void copy_limit_files(struct copy *copy)
{
    const struct budget_files own = budget_files(copy_any_remote(copy));
    const struct lane *lane = copy->lanes[0];
    uint32_t most = lane->jobs_most;
    uint64_t small = min_u64(own.small, lane->small_most);
    small = min_u64(small, most - max_u64(most / 5, 1));
    copy->open_max = (uint32_t)min_u64(min_u64(own.open, LANE_JOBS_MAX), most - small);
    copy->small_max = (uint32_t)max_u64(small, copy->takes_small);
}

static int copy_open_lead(struct copy *copy, struct error *err)
{
    uint32_t lanes;
    int result = copy_decide_lanes(copy, &lanes, err);
    if (result == 0 && copy_any_remote(copy) && !(copy->memory = ask_memory_open()))
        result = error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with");
    if (result < 0)
        return result;
    copy->lane_config = (struct lane_config){
        .wish = &copy->wish,
        .addresses = {&copy->addresses[SIDE_SOURCE], &copy->addresses[SIDE_TARGET]},
        .budget = &copy->budget,
        .lanes = lanes,
        .session = copy->session,
        .progress = &copy->progress,
        .control = copy->control,
        .kernel = &copy->kernel,
        .told = &copy->told,
        .memory = copy->memory,
        .pool = &copy->pool,
    };
    result = lane_open(&copy->lanes[0], &copy->lane_config, err);
    if (result == 0)
        copy->lane_config.chunk_bytes = copy->lanes[0]->chunk_bytes;
    if (result == 0)
        copy_limit_files(copy);
    copy->takes_small = copy->small_max > 0;
    copy->shares = copy->wish.file.reflink != REFLINK_NEVER;
    copy->run = (struct life_run){
        .wish = &copy->wish,
        .budget = &copy->budget,
        .addresses = copy->addresses,
        .control = copy->control,
        .session = copy->session,
        .lanes = lanes,
        .takes_small = &copy->takes_small,
        .shares = &copy->shares,
        .carries = !copy_any_remote(copy) && copy->wish.chmod.count == 0 && !copy->wish.file.chown,
        .delivers = copy_remote(copy, SIDE_TARGET),
        .targets_absent = &copy->targets_absent,
        .sources_fit = &copy->sources_fit,
    };
    copy->targets_absent = copy->sources_fit = copy->run.carries ? LIFE_ROW_COUNT : 0;
    return result;
}

int copy_open(struct copy **out, const struct copy_wish *wish, const struct address *source,
              const struct address *target, struct control *control, struct error *err)
{
    struct copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with");
    copy->wish = *wish;
    if (!wish->retries_set)
        copy->wish.retries = RETRIES_DEFAULT;
    copy->redials = copy->wish.retries > 0;
    copy->control = control;
    control->bandwidth_bytes = wish->bandwidth_bytes;
    control->slots_halved = control->nice = wish->nice;
    if (wish->nice)
        pressure_be_nice();
    if (source)
        copy->addresses[SIDE_SOURCE] = *source;
    if (target)
        copy->addresses[SIDE_TARGET] = *target;
    if (getrandom(&copy->session, sizeof(copy->session), 0) != sizeof(copy->session))
        copy->session = clock_now_ns() ^ (uint64_t)getpid() << 32;
    kernel_memory_open(&copy->kernel, "/");
    int result = wish->own_cgroup ? kernel_memory_own(&copy->kernel, err) : 0;
    if (result == 0)
        result = copy_open_lead(copy, err);
    control->slots_bytes = copy->budget.memory_bytes;
    if (result < 0) {
        copy_close(copy);
        return result;
    }
    *out = copy;
    return 0;
}

static struct copy_file *copy_file(struct copy *copy, uint32_t number)
{
    return &copy->files[(copy->files_first + number) % COPY_FILES_MAX];
}

/* The first one has its place no more. */
static void copy_let_go(struct copy *copy)
{
    struct copy_file *file = copy_file(copy, 0);
    life_close(&file->life);
    free(file->path);
    file->path = NULL;
    copy->files_first = (copy->files_first + 1) % COPY_FILES_MAX;
    copy->files_count--;
}

static void copy_close_trees(struct copy *copy)
{
    tour_close(copy->tour);
    tour_links_close(copy->links);
    spill_close(copy->moved);
    spill_close(copy->shared);
    spill_close(copy->spelled);
}

void copy_close(struct copy *copy)
{
    if (!copy)
        return;
    lane_close_all(copy->lanes);
    slab_close(&copy->pool.slab);
    while (copy->files_count > 0)
        copy_let_go(copy);
    /* Else their code is not in memory, either. */
    if (copy->tour || copy->links || copy->moved || copy->shared || copy->spelled)
        copy_close_trees(copy);
    free(copy->shown[SIDE_SOURCE]);
    free(copy->shown[SIDE_TARGET]);
    free((char *)copy->nearest.path);
    if (copy->memory)
        ask_memory_close(copy->memory);
    kernel_memory_close(&copy->kernel);
    free(copy);
}

struct progress *copy_progress(struct copy *copy)
{
    if (copy->tour)
        return &copy->tour_progress;
    uint32_t back = copy->files_count > 0 ? 0 : COPY_FILES_MAX - 1;
    return &copy->files[(copy->files_first + back) % COPY_FILES_MAX].life.counters;
}

bool copy_broken(const struct copy *copy)
{
    return lane_broken(copy->lanes[0]);
}

/* ---- lanes ---- */

/* Those that live in a lane that this thread runs. */
static struct life *copy_lane_lives(const struct copy *copy, uint32_t number)
{
    bool ours = (number == 0 || !copy->team) && copy->lanes[number];
    return ours ? copy->lanes[number]->pump.lives.first : NULL;
}

/* The files of a first lane that was lost go on in another, and so do those that come. */
static void copy_promote(struct copy *copy)
{
    struct lane **lanes = copy->lanes;
    for (uint32_t i = 1; i < LANES_MAX && !copy->team && lane_broken(lanes[0]); i++) {
        struct lane *other = lanes[i];
        if (!other || lane_lost(other))
            continue;
        lanes[i] = lanes[0];
        lanes[0] = other;
    }
}

/* The lane that commits is lost, and another one has all that is needed for it. */
static void copy_hand_over(struct copy *copy, struct life *life, uint32_t number)
{
    struct lane *lost = copy->lanes[0], *lane = copy->lanes[number];
    pump_remove(&lost->pump, life);
    life_take_over(life, &lane->helper);
    pump_add(&lane->pump, life); /* its helper has ended, and leaves by itself */
    copy->lanes[0] = lane;
    copy->lanes[number] = lost;
}

/* No lane runs any more. Any that is whole can commit, when every chunk is done. */
static void copy_gather(struct copy *copy, struct life *life)
{
    ERROR_UNSET(err);
    bool complete = plan_ended(life->plan), whole = life->result == 0;
    uint32_t number = life->job.number;
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        struct lane *lane = copy->lanes[i];
        if (i > 0 && !lane_helps(lane, number))
            continue;
        life->lanes += i > 0;
        life->job.sent_bytes += i > 0 ? lane->helper.job.sent_bytes : 0;
        life->job.received_bytes += i > 0 ? lane->helper.job.received_bytes : 0;
        const struct life *one = i == 0 ? life : &lane->helper;
        if (one->result == 0)
            continue;
        if (complete)
            log_note("lane %u was lost, the others did its work: %s", i + 1, one->error->text);
        else
            (void)error_take(&err, one->error);
    }
    for (uint32_t i = 1; complete && !whole && i < LANES_MAX; i++) {
        struct lane *lane = copy->lanes[i];
        if (!lane_helps(lane, number) || lane->helper.result < 0 || !lane->helper.open[SIDE_TARGET])
            continue;
        copy_hand_over(copy, life, i);
        whole = true;
    }
    if (complete && whole)
        life_gathered(life, 0, NULL);
    else
        life_gathered(
            life,
            error_settle(&err, -EIO, "%s: not every chunk of it was copied", life->job.target_path),
            &err);
}

/* The further lanes of a file: so many of them are not yet where they should be. */
static uint32_t copy_lanes_behind(const struct copy *copy, const struct life *life,
                                  enum life_state wanted)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < LANES_MAX; i++)
        count +=
            lane_helps(copy->lanes[i], life->job.number) && copy->lanes[i]->helper.state != wanted;
    return count;
}

static void copy_release(struct copy *copy, const struct life *life)
{
    for (uint32_t i = 1; i < LANES_MAX; i++) {
        if (lane_helps(copy->lanes[i], life->job.number) &&
            copy->lanes[i]->helper.state == LIFE_PARKED)
            life_release(&copy->lanes[i]->helper);
    }
}

/* In files that wait until the one that is copied has ended, and are large enough for lanes. */
static uint64_t copy_waiting_bytes(const struct copy *copy)
{
    uint64_t sum_bytes = 0;
    for (struct life *life = copy_lane_lives(copy, 0); life; life = life->next) {
        if (life->state == LIFE_WAITING && life_wants_team(life))
            sum_bytes += min_u64(life->job.facts[SIDE_SOURCE].size_bytes, INT64_MAX - sum_bytes);
    }
    return sum_bytes;
}

static void copy_start_team(struct copy *copy, struct life *life)
{
    ERROR_UNSET(err);
    const struct lane_team_config config = {
        .lane = &copy->lane_config,
        .lanes = copy->lanes,
        .lanes_wish = copy->wish.lanes,
        .trial = &copy->trial,
        .waiting_bytes = copy_waiting_bytes(copy),
        .lead = life,
    };
    int result = lane_team_start(&copy->team, &config, &err);
    life->helped = result == 0;
    if (result < 0)
        life_note_failure(life, result, &err, false);
}

static bool copy_piped(const struct life *life)
{
    return life_pipes(life, SIDE_SOURCE) || life_pipes(life, SIDE_TARGET);
}

/* A pipe stops when its other end does: nobody shares the slots with it. Nor are two parts of a
 * device written at once, as who writes it claims all of it. */
static uint64_t copy_size(const struct life *life)
{
    const struct job *job = &life->job;
    bool part = job->wish.part_end > 0;
    if (copy_piped(life) || (part && job->facts[SIDE_TARGET].kind == FILE_DEVICE))
        return NUM_UNKNOWN;
    return part ? job->wish.part_end - job->wish.part_start : job->facts[SIDE_SOURCE].size_bytes;
}

/* Of files that were admitted and have not ended. */
struct copy_load {
    uint32_t open_count, small_count;
    uint64_t open_bytes;
};

static void copy_load_add(struct copy_load *load, const struct life *life, uint64_t bytes)
{
    load->small_count += life->small;
    load->open_count += !life->small;
    if (!life->small)
        load->open_bytes += min_u64(bytes, NUM_UNKNOWN - load->open_bytes);
}

/* Files that are open at the same time have together no more bytes than the slots, so that nothing
 * that is bounded by the slots grows with their number, and large ones do not share the disk. Those
 * that go as a whole are bounded by the target's batch. */
static bool copy_has_room(const struct copy *copy, struct copy_load load, const struct life *life)
{
    const struct control *control = copy->control;
    copy_load_add(&load, life, copy_size(life));
    if (life->small)
        return load.small_count <= control_share(control, copy->small_max, 1);
    return load.open_count == 1 ||
           (load.open_count <= control_share(control, copy->open_max, 1) &&
            load.open_bytes <= control_share(control, copy->budget.memory_bytes, 1));
}

/* In their order, those that are open and those that go as a whole each by itself. true: one more.
 */
static bool copy_admit(struct copy *copy)
{
    struct copy_load load = {0};
    bool moved = false, full[2] = {false, false};
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        if ((i == 0 || !copy->team) && copy->lanes[i])
            load.small_count += pump_small_count(&copy->lanes[i]->pump);
        for (struct life *life = copy_lane_lives(copy, i); life; life = life->next) {
            if (life->admitted && life->state != LIFE_WAITING)
                copy_load_add(&load, life, life->admitted_bytes);
        }
    }
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        for (struct life *life = copy_lane_lives(copy, i); life; life = life->next) {
            if (life->state != LIFE_WAITING)
                continue;
            full[life->small] = full[life->small] || !copy_has_room(copy, load, life);
            if (full[life->small])
                continue;
            life->admitted = moved = true;
            life->admitted_bytes = copy_size(life);
            copy_load_add(&load, life, life->admitted_bytes);
            life_admit(life);
        }
    }
    return moved;
}

/* Lanes for a file that wants them, and back from it. true: something has changed. */
static bool copy_tend(struct copy *copy, struct life *life)
{
    switch (life->state) {
    case LIFE_COPYING:
        if (!life->helped && life->compare_count == 0 && !copy->team && life_wants_team(life))
            copy_start_team(copy, life);
        return false;
    case LIFE_GATHERING:
        if (copy->team && !lane_team_over(copy->team))
            return false;
        lane_team_finish(copy->team);
        copy->team = NULL;
        if (copy_lanes_behind(copy, life, LIFE_PARKED) > 0)
            return false;
        copy_gather(copy, life);
        return true;
    case LIFE_RELEASING:
        copy_release(copy, life);
        if (copy_lanes_behind(copy, life, LIFE_DONE) > 0)
            return false;
        (void)lane_lend(copy->lanes[0], UINT32_MAX);
        life_released(life);
        return true;
    default:
        return false;
    }
}

/* ---- files ---- */

static void copy_live(struct copy *copy, struct copy_file *file, const struct life_start *start)
{
    struct life_start this = *start;
    copy_promote(copy);
    if (!this.numbered)
        this.number = copy_job_number(copy);
    this.chunk_bytes = copy->lanes[0]->chunk_bytes;
    this.error = file->error;
    this.words = &copy->words[2 * (file - copy->files)];
    if (copy_any_remote(copy))
        this.names = &copy->names[2 * (file - copy->files)];
    file->ended = false;
    file->lane = copy->lanes[0];
    life_begin(&file->life, &copy->run, &this);
    file->life.bin = &copy->ended;
    pump_add(&file->lane->pump, &file->life);
}

/* The first lane was lost before any other had joined it, and its server lets go of the file: who
 * has logged in meanwhile finds nobody to join. It leads instead, and goes on from the journal. So
 * long as something is left of a lost lane's server it holds the file: an open waits a second. */
static bool copy_goes_on(struct copy *copy, const struct copy_file *file)
{
    const struct error *err = file->life.error;
    bool lost = err->class == ERROR_SOCKET || err->class == ERROR_TIMEOUT;
    bool held = err->class == ERROR_BUSY && file->attempts > 0;
    if (file->life.kind != LIFE_COPY || file->life.result == 0 || copy->control->stop ||
        copy_piped(&file->life) || file->attempts >= LIFE_HELD_MAX)
        return false;
    copy_promote(copy);
    return lost ? copy->lanes[0] != file->lane : held && !lane_lost(copy->lanes[0]);
}

/* No lane is left, but there may be another link. What came from a pipe does not come again. */
static bool copy_is_stranded(const struct copy *copy, const struct copy_file *file)
{
    const struct life *life = &file->life;
    return (life->kind == LIFE_COPY || life->kind == LIFE_LOOK) && life->result < 0 && life->lost &&
           copy->redials && !copy->control->stop && !copy_piped(life) &&
           lane_may_redial(copy->lanes[0]);
}

static void copy_again(struct copy *copy, struct copy_file *file)
{
    const struct life *life = &file->life;
    if (!error_is_set(file->first))
        *file->first = *life->error;
    file->attempts++;
    file->stranded = false;
    struct life_start *start = &copy->starts[file - copy->files];
    life_count_attempt(life, &start->earlier);
    copy_live(copy, file, start);
}

/* Its life has ended: for good, or is there another lane for it? */
static void copy_end(struct copy *copy, struct copy_file *file)
{
    const struct life *life = &file->life;
    if (!file->changes[0])
        memcpy(file->changes, life->changes, sizeof(file->changes));
    if (copy_goes_on(copy, file)) {
        if (life->error->class != ERROR_BUSY)
            log_note("the lane that led was lost, another goes on: %s", life->error->text);
        copy_again(copy, file);
        return;
    }
    file->stranded = copy_is_stranded(copy, file);
    copy->stranded |= file->stranded;
    file->ended = !file->stranded;
    copy_promote(copy);
}

/* ---- lost links ---- */

/* The link that is left, of two, is kept alive. false: we are to stop. */
static bool copy_pause(struct copy *copy, uint32_t seconds)
{
    uint64_t end_ns = clock_now_ns() + seconds * NS_PER_SECOND;
    while (!copy->control->stop && clock_now_ns() < end_ns) {
        (void)poll(NULL, 0, PAUSE_MS);
        (void)lane_lost(copy->lanes[0]);
    }
    return !copy->control->stop;
}

/* A login that was refused will be again, and nobody is asked twice. What was started there before,
 * and ends now, may be back soon: a container that begins anew. */
static bool copy_may_succeed(const struct error *err)
{
    bool refused = err->errnum == EACCES || err->errnum == EPERM || err->errnum == ENOTTY ||
                   err->errnum == ECANCELED;
    bool ended = err->class == ERROR_START && err->errnum == ECHILD;
    return (err->class == ERROR_SOCKET || err->class == ERROR_CONNECT ||
            err->class == ERROR_TIMEOUT || ended) &&
           !refused;
}

static const char *copy_lost_words(const struct copy *copy)
{
    struct side *const *sides = copy->lanes[0]->pump.sides;
    return sides[sides[SIDE_SOURCE]->broken ? SIDE_SOURCE : SIDE_TARGET]->error.text;
}

/* Blocks. false: there is no link, and will be none. */
static bool copy_redial(struct copy *copy)
{
    struct lane *lane = copy->lanes[0];
    ERROR_UNSET(err);
    uint32_t *count = &copy->dials_count, most = copy->wish.retries;
    *count = lane->pump.made_count > 0 ? 0 : *count;
    lane->pump.made_count = 0;
    if (*count < most)
        log_note("%s", copy_lost_words(copy));
    while (*count < most) {
        uint32_t seconds = num_u32(min_u64(UINT64_C(1) << min_u64(*count, 5), RETRY_SECONDS_MAX));
        log_note("the link is dialled again in %u s (%u of %u)", seconds, ++*count, most);
        if (!copy_pause(copy, seconds))
            return false;
        err.class = ERROR_NONE;
        copy->control->dialling = true;
        int result = lane_redial(lane, &copy->lane_config, &err);
        copy->control->dialling = false;
        if (result == 0)
            copy_limit_files(copy);
        if (result == 0)
            return true;
        log_note("%s", err.text);
        if (!copy_may_succeed(&err))
            break;
    }
    return false;
}

static bool copy_is_idle(const struct copy *copy)
{
    bool idle = !copy->team;
    for (uint32_t i = 0; i < LANES_MAX && idle; i++)
        idle = !copy->lanes[i] || pump_is_empty(&copy->lanes[i]->pump);
    return idle;
}

/* Another lane that is whole has other servers. */
static void copy_connect(struct copy *copy, bool lost[2])
{
    struct lane *lane = copy->lanes[0];
    for (int role = 0; role < 2; role++)
        lost[role] = lane->remote[role] && lane->pump.sides[role]->broken;
    copy_promote(copy);
    if (copy->lanes[0] == lane)
        copy->redials = copy_redial(copy);
    else
        memcpy(lost, lane->remote, sizeof(lane->remote));
}

/* Who was to stop while it waited for a link is not failed by that. */
static void copy_give_up(const struct copy *copy, struct copy_file *file)
{
    if (!copy->control->stop)
        return;
    error_clear(file->error);
    error_set_class(file->error, ERROR_INTERRUPTED, EINTR,
                    "%s: interrupted, and the link to go on with is lost",
                    pipe_shown(file->life.job.target_path));
    file->life.outcome = outcome_failed(file->error);
}

/* What was under way has come to its end with the link, and begins again with another, or has
 * failed. true: that. */
static bool copy_reconnect(struct copy *copy)
{
    bool cut_off = copy->tour && tour_is_cut_off(copy->tour), lost[2];
    if ((!copy->stranded && !cut_off) || !copy_is_idle(copy))
        return false;
    copy_connect(copy, lost);
    copy->stranded = false;
    for (uint32_t i = 0; i < copy->files_count; i++) {
        struct copy_file *file = copy_file(copy, i);
        if (file->stranded && copy->redials)
            copy_again(copy, file);
        if (file->stranded)
            copy_give_up(copy, file);
        file->ended |= file->stranded;
        file->stranded = false;
    }
    if (copy->tour)
        tour_go_on(copy->tour, &copy->lanes[0]->pump, copy->lanes[0]->chunk_bytes, lost);
    return true;
}

/* Lanes for those that want them, one at a time: what changes may be in another lane then. */
static bool copy_tend_all(struct copy *copy)
{
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        for (struct life *life = copy_lane_lives(copy, i); life; life = life->next) {
            if (copy_tend(copy, life))
                return true;
        }
    }
    return false;
}

static bool copy_end_all(struct copy *copy)
{
    struct life *life = copy->ended;
    bool moved = life != NULL;
    copy->ended = NULL;
    while (life) {
        struct life *next = life->next;
        copy_end(copy,
                 (struct copy_file *)(void *)((char *)life - offsetof(struct copy_file, life)));
        life = next;
    }
    return moved;
}

/* One round over all that this thread runs: the first lane always, the others while they are idle
 * or let go of a file. */
static void copy_turn(struct copy *copy)
{
    struct pump *pumps[LANES_MAX];
    uint32_t count = 0;
    bool moved = pump_turn(&copy->lanes[0]->pump);
    moved |= copy_tend_all(copy);
    moved |= copy->tour && tour_turn(copy->tour, &copy->lanes[0]->pump);
    moved |= copy_admit(copy);
    for (uint32_t i = 0; i < LANES_MAX; i++) {
        if ((i == 0 || !copy->team) && copy->lanes[i])
            pumps[count++] = &copy->lanes[i]->pump;
    }
    for (uint32_t i = 1; i < count; i++)
        moved |= (pumps[i]->lives.first || !moved) && pump_turn(pumps[i]);
    moved |= !copy->team && copy_end_all(copy);
    moved |= copy_reconnect(copy);
    if (!moved)
        pump_wait(pumps, count);
}

bool copy_is_full(const struct copy *copy)
{
    return copy->files_count == COPY_FILES_MAX;
}

static bool copy_start(struct copy *copy, const struct life_start *start)
{
    if (copy_is_full(copy))
        return false;
    struct copy_file *file = copy_file(copy, copy->files_count++);
    file->role = start->role;
    file->attempts = 0;
    file->stranded = false;
    if (copy_any_remote(copy))
        copy->starts[file - copy->files] = *start;
    file->error = &copy->errors[2 * (file - copy->files)];
    file->first = file->error + 1;
    error_clear(file->first);
    file->changes[0] = '\0';
    copy_live(copy, file, start);
    return true;
}

bool copy_begin(struct copy *copy, bool verify, const char *source_path, const char *target_path)
{
    return copy_start(copy, &(struct life_start){
                                .kind = verify ? LIFE_COMPARE : LIFE_COPY,
                                .source_path = source_path,
                                .target_path = target_path,
                            });
}

bool copy_begin_part(struct copy *copy, const struct copy_part *part)
{
    return copy_start(copy, &(struct life_start){
                                .kind = LIFE_COPY,
                                .roots = {part->roots[SIDE_SOURCE], part->roots[SIDE_TARGET]},
                                .source_path = part->source_path,
                                .target_path = part->target_path,
                                .part_start = part->start,
                                .part_end = part->end,
                                .there = part->there,
                                .unjournalled = part->unjournalled,
                                .spelled = part->spelled,
                                .target_absent = part->target_absent,
                                .nearest = part->target_absent ? copy_nearest(copy) : NULL,
                            });
}

/* What went over the links beside payloads is told with the last of files that are under way
 * together, so that the sum is right. */
static void copy_fill_wire(struct copy *copy, const struct job *job, struct receipt *receipt)
{
    bool last = !job || (copy->files_count == 1 && !copy->tour);
    receipt->wire_bytes_sent =
        last ? copy->progress.wire_bytes_sent - copy->wire_told.sent_bytes : job->sent_bytes;
    receipt->wire_bytes_received =
        last ? copy->progress.wire_bytes_received - copy->wire_told.received_bytes
             : job->received_bytes;
    copy->wire_told.sent_bytes += receipt->wire_bytes_sent;
    copy->wire_told.received_bytes += receipt->wire_bytes_received;
}

static void copy_fill_hosts(const struct copy *copy, struct receipt *receipt)
{
    if (copy_remote(copy, SIDE_SOURCE))
        receipt->source_host = copy->addresses[SIDE_SOURCE].host;
    if (copy_remote(copy, SIDE_TARGET))
        receipt->target_host = copy->addresses[SIDE_TARGET].host;
}

static void copy_fill_receipt(struct copy *copy, const struct life *life, const char *changes,
                              struct receipt *receipt)
{
    const struct job *job = &life->job;
    const struct progress *progress = life->progress;
    bool compare = life->kind == LIFE_COMPARE;
    *receipt = (struct receipt){
        .outcome = life->outcome,
        .resumed = life->resumed,
        .source_changed = life->source_changed,
        .piped = copy_piped(life),
        .dry_run = copy->wish.dry_run && !compare, /* nothing is changed anyway */
        .would = life->would,
        .compared = compare,
        .skipped = life->error->errnum == EISDIR && job->facts[SIDE_SOURCE].kind == FILE_FOLDER &&
                   life->result < 0,
        .files = 1,
        .duration_ns = life->duration_ns,
        .part_start = job->wish.part_start,
        .part_end = job->wish.part_end,
        .digest_known = life->digest_known,
        .digest = life->digest,
        .chunk_bytes = job->chunk_bytes,
        .lanes = life->lanes,
        .memory_peak_bytes = budget_memory_peak_lately(),
        .memory_budget_bytes = copy->budget.memory_bytes,
        .slots_halved_most = copy->control->halved_most,
        .pressure = copy->control->pressure,
        .kernel = kernel_memory_tell(&copy->kernel),
        .source_path = job->source_path ? pipe_shown(job->source_path) : copy->wish.manifest_path,
        .target_path = pipe_shown(job->target_path),
        .source = job->reports[SIDE_SOURCE],
        .target = job->reports[SIDE_TARGET],
    };
    if (job->words)
        memcpy(receipt->words, job->words, sizeof(receipt->words));
    receipt_count(receipt, progress);
    receipt->whole = copy->wish.digest;
    memcpy(receipt->whole_text, life->whole_text, sizeof(receipt->whole_text));
    attributes_count(receipt->lost_counts, receipt->target.attributes_lost);
    copy_fill_wire(copy, job, receipt);
    copy_fill_hosts(copy, receipt);
    memcpy(receipt->changes, changes, sizeof(receipt->changes));
}

/* The one that was begun first, once it has ended. */
static const struct copy_file *copy_first(struct copy *copy)
{
    const struct copy_file *file = copy_file(copy, 0);
    while (!file->ended)
        copy_turn(copy);
    return file;
}

/* The whole path, with that of its root. */
static const char *copy_show(struct copy *copy, enum side_role role, const struct job_root *root,
                             const char *path)
{
    free(copy->shown[role]);
    copy->shown[role] = text_join_path(root->path, path);
    return copy->shown[role] ? copy->shown[role] : path;
}

/* Its folder takes several names for one, and of several files another may have that name. */
static int copy_refuse_spelling(const struct life *life, const char *path, struct error *err)
{
    return error_set_class(err, ERROR_FILE, ENOTUNIQ,
                           "%s: is left out: its folder takes it for %s, which may be another one "
                           "of the sources; copy it alone to replace that",
                           path, life->error->text[0] ? life->error->text : "another name");
}

/* What holds a target that is busy after the first attempt is of our own session. */
int copy_collect(struct copy *copy, struct receipt *receipt, struct error *err)
{
    const struct copy_file *file = copy_first(copy);
    const struct life *life = &file->life;
    const struct job *job = &life->job;
    copy_fill_receipt(copy, life, file->changes, receipt);
    if (job->roots[SIDE_TARGET].number > 0) {
        receipt->source_path =
            copy_show(copy, SIDE_SOURCE, &job->roots[SIDE_SOURCE], job->source_path);
        receipt->target_path =
            copy_show(copy, SIDE_TARGET, &job->roots[SIDE_TARGET], job->target_path);
    }
    copy_let_go(copy);
    if (outcome_good(&life->outcome))
        return 0;
    if (life->result == -ENOTUNIQ)
        return copy_refuse_spelling(life, receipt->target_path, err);
    bool busy = life->error->class == ERROR_BUSY && error_is_set(file->first);
    return error_take(err, busy ? file->first : life->error);
}

bool copy_ask(struct copy *copy, bool target, const char *path)
{
    char *own = copy_is_full(copy) ? NULL : strdup(path);
    if (!own)
        return false;
    (void)copy_start(copy, &(struct life_start){
                               .kind = LIFE_LOOK,
                               .role = target ? SIDE_TARGET : SIDE_SOURCE,
                               .source_path = own,
                               .target_path = own,
                           });
    copy_file(copy, copy->files_count - 1)->path = own;
    return true;
}

int copy_told(struct copy *copy, struct facts *facts, struct error *err)
{
    if (copy->files_count == 0) /* there was no memory to ask */
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a name");
    const struct copy_file *file = copy_first(copy);
    int result = file->life.result < 0 ? error_take(err, file->life.error) : 0;
    *facts = file->life.job.facts[file->role];
    copy_let_go(copy);
    return result;
}

int copy_look(struct copy *copy, bool target, const struct job_root *root, const char *path,
              struct facts *facts, struct error *err)
{
    const enum side_role role = target ? SIDE_TARGET : SIDE_SOURCE;
    struct life_start start = {
        .kind = LIFE_LOOK,
        .role = role,
        .source_path = path,
        .target_path = path,
    };
    start.roots[role] = *root;
    (void)copy_start(copy, &start);
    return copy_told(copy, facts, err);
}

int copy_describe(struct copy *copy, bool target, const char *path, struct facts *facts,
                  struct error *err)
{
    *facts = (struct facts){.kind = FILE_NONE};
    if (!copy_ask(copy, target, path))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    return copy_told(copy, facts, err);
}

/* ---- trees ---- */

uint32_t copy_root_number(struct copy *copy)
{
    return ++copy->roots_count;
}

uint32_t copy_job_number(struct copy *copy)
{
    return copy->jobs_count++;
}

int copy_ask_source(struct copy *copy, struct life_call *call, const struct job_root *root,
                    const char *path, uint32_t job, struct error *err)
{
    const struct life_start start = {
        .kind = LIFE_CALL,
        .role = SIDE_SOURCE,
        .numbered = true,
        .number = job,
        .source_path = path,
        .target_path = path,
        .roots = {*root},
        .call = call,
    };
    call->role = SIDE_SOURCE;
    (void)copy_start(copy, &start);
    return copy_told(copy, &(struct facts){0}, err);
}

/* One operation on a name beneath a root of its side, from its beginning to its end. */
static int copy_call(struct copy *copy, struct life_call *call, const struct job_root *root,
                     const char *name, const struct facts *facts, struct error *err)
{
    struct life_start start = {
        .kind = LIFE_CALL,
        .dry = copy->wish.dry_run,
        .role = call->role,
        .source_path = name,
        .target_path = name,
        .source = facts,
        .call = call,
    };
    start.roots[call->role] = *root;
    (void)copy_start(copy, &start);
    return copy_told(copy, &(struct facts){0}, err);
}

struct copy_left copy_leaves(const struct copy *copy)
{
    const struct copy_file *last =
        &copy->files[(copy->files_first + COPY_FILES_MAX - 1) % COPY_FILES_MAX];
    const struct job *job = &last->life.job;
    return (struct copy_left){
        .source = job->facts[SIDE_SOURCE],
        .target_device = job->facts[SIDE_TARGET].device,
        .kind = last->life.outcome.kind,
        .believed = last->life.outcome.believed,
    };
}

/* What was there before is durable when the file system of its folder is, which is synced: of
 * another one errors would not be told. */
static int copy_settle(struct copy *copy, const struct copy_left *left, const char *path,
                       struct error *err)
{
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *name = NULL;
    struct life_call sync = {.role = SIDE_TARGET, .op = SIDE_SYNC, .earlier = true};
    struct facts facts;
    if (!text_split_path(path, &folder, &name))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    int result = copy_describe(copy, true, folder, &facts, err);
    if (result == 0 && facts.device != left->target_device)
        return error_set_class(err, ERROR_FILE, EXDEV,
                               "%s: is on another file system than its folder, so it is not known "
                               "to be durable, and its source stays",
                               path);
    const struct job_root root = {.number = copy_root_number(copy), .path = folder};
    return result < 0 ? result : copy_call(copy, &sync, &root, "", NULL, err);
}

int copy_leave(struct copy *copy, const struct copy_left *left, const char *source_path,
               const char *target_path, struct error *err)
{
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *name = NULL;
    struct life_call remove = {.role = SIDE_SOURCE, .op = SIDE_REMOVE};
    if (left->kind == OUTCOME_SKIPPED || left->believed)
        return 0;
    if (left->source.kind != FILE_REGULAR || left->kind == OUTCOME_HANDED_OVER) {
        log_note("%s: stays: --remove-source-files is for files that are durable as files",
                 pipe_shown(source_path));
        return 0;
    }
    bool settles = left->kind == OUTCOME_UP_TO_DATE && !copy->wish.dry_run;
    int result = settles ? copy_settle(copy, left, target_path, err) : 0;
    if (result == 0 && !text_split_path(source_path, &folder, &name))
        result =
            error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", source_path);
    if (result < 0)
        return result;
    const struct job_root root = {.number = copy_root_number(copy), .path = folder};
    return copy_call(copy, &remove, &root, name, &left->source, err);
}

/* With the mode that any new folder gets, MAKE leaves it closed for others; and with its time, as
 * nothing may come into it. */
static int copy_make_one(struct copy *copy, const char *folder, const char *name, struct error *err)
{
    const struct job_root root = {.number = copy_root_number(copy), .path = folder};
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    const struct facts facts = {
        .kind = FILE_FOLDER,
        .mode = 0777 & ~copy->wish.umask_bits,
        .mtime_seconds = now.tv_sec,
        .mtime_ns = (uint32_t)now.tv_nsec,
    };
    struct life_call make = {.role = SIDE_TARGET, .op = SIDE_MAKE};
    struct life_call adjust = {.role = SIDE_TARGET, .op = SIDE_ADJUST};
    int result = copy_call(copy, &make, &root, name, &facts, err);
    if (result == 0 && !copy->wish.dry_run)
        result = copy_call(copy, &adjust, &root, name, &facts, err);
    return result < 0 ? result : 1;
}

const struct life_nearest *copy_nearest(const struct copy *copy)
{
    return copy->nearest.path ? &copy->nearest : NULL;
}

/* What is to be in it is asked about by its name, once it could be made. */
static int copy_note_nearest(struct copy *copy, const char *folder, const char *name,
                             struct error *err)
{
    free((char *)copy->nearest.path);
    copy->nearest.path = text_join_path(folder, name);
    return copy->nearest.path
               ? 0
               : error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", name);
}

int copy_make_way(struct copy *copy, const struct job_root *root, const char *path,
                  struct error *err)
{
    const struct facts facts = {.kind = FILE_FOLDER};
    struct life_call make = {.role = SIDE_TARGET, .op = SIDE_MAKE};
    AUTO_FREE char *way = strdup(path);
    int result = 0;
    if (!way)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    for (char *slash = strchr(way, '/'); result == 0 && slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        result = copy_call(copy, &make, root, way, &facts, err);
        *slash = '/';
    }
    return result;
}

int copy_make_folder(struct copy *copy, const char *path, bool parents, struct facts *facts,
                     struct error *err)
{
    AUTO_FREE char *folder = NULL;
    AUTO_FREE char *name = NULL;
    struct facts above;
    int result = copy_describe(copy, true, path, facts, err);
    if (result < 0 || facts->kind == FILE_FOLDER)
        return result;
    if (facts->kind != FILE_NONE)
        return error_set_class(err, ERROR_FILE, ENOTDIR, "%s: is not a folder", path);
    if (!text_split_path(path, &folder, &name))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    result = copy_describe(copy, true, folder, &above, err);
    if (result == 0 && above.kind == FILE_NONE && parents)
        result = copy_make_folder(copy, folder, true, &above, err);
    else if (result == 0 && above.kind != FILE_FOLDER)
        result = error_set_class(err, ERROR_FILE, ENOENT,
                                 "%s: no such folder (--mkpath makes all of them)", folder);
    if (result < 0 || (result > 0 && copy->wish.dry_run)) /* nor is the one that it would be in */
        return result;
    if (copy->wish.dry_run)
        result = copy_note_nearest(copy, folder, name, err);
    return result < 0 ? result : copy_make_one(copy, folder, name, err);
}

static struct spill *copy_notes_moved(struct copy *copy)
{
    if (!copy->moved)
        copy->moved = spill_open();
    return copy->moved;
}

int copy_will_leave(struct copy *copy, const char *name, uint32_t source, struct error *err)
{
    return copy_notes_moved(copy)
               ? tour_moved_add(copy->moved, name, source, err)
               : error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", name);
}

int copy_tour(struct copy *copy, const struct tour_start *start, struct error *err)
{
    const struct tour_wish *wish = &copy->wish.tour;
    if (wish->hard_links && !copy->links)
        copy->links = tour_links_open();
    bool notes = wish->delete || (wish->remove_source && (wish->force || start->sources_count > 1));
    if (!copy->spelled)
        copy->spelled = spill_open();
    if (!copy->spelled || (notes && !copy_notes_moved(copy)))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with a tree");
    if (start->sources_count > 1 && !copy->shared)
        copy->shared = spill_open();
    const struct tour_config config = {
        .run = &copy->run,
        .chunk_bytes = copy->lanes[0]->chunk_bytes,
        .numbers = &copy->jobs_count,
        .links = copy->links,
        .moved = copy->moved,
        .shared = copy->shared,
        .spelled = copy->spelled,
        .removed_count = &copy->removed_count,
        .progress = &copy->tour_progress,
        .redials = &copy->redials,
    };
    tour_close(copy->tour);
    copy->tour = tour_open(&config, start);
    return copy->tour
               ? 0
               : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to begin with a tree");
}

/* What belongs to no file of its own. */
static void copy_fill_rest(struct copy *copy, const struct tour_event *event,
                           struct receipt *receipt)
{
    *receipt = (struct receipt){
        .outcome = event->outcome,
        .dry_run = copy->wish.dry_run,
        .chunk_bytes = copy->lanes[0]->chunk_bytes,
        .lanes = 1,
        .memory_peak_bytes = budget_memory_peak_lately(),
        .memory_budget_bytes = copy->budget.memory_bytes,
        .slots_halved_most = copy->control->halved_most,
        .pressure = copy->control->pressure,
        .kernel = kernel_memory_tell(&copy->kernel),
        .source = life_no_report,
        .target = life_no_report,
    };
    if (event->kind == TOUR_OVER) {
        copy_fill_wire(copy, NULL, receipt);
        memcpy(receipt->lost_counts, event->lost_counts, sizeof(receipt->lost_counts));
    }
    copy_fill_hosts(copy, receipt);
}

void copy_tour_next(struct copy *copy, struct tour_event *event, struct receipt *receipt)
{
    while (!tour_event(copy->tour, event))
        copy_turn(copy);
    if (event->kind == TOUR_FILE)
        copy_fill_receipt(copy, event->life, event->changes, receipt);
    else
        copy_fill_rest(copy, event, receipt);
    const struct tour_start *start = tour_started(copy->tour);
    receipt->source_path = copy_show(copy, SIDE_SOURCE, &start->roots[SIDE_SOURCE], event->path);
    receipt->target_path = copy_show(copy, SIDE_TARGET, &start->roots[SIDE_TARGET], event->path);
    if (event->kind != TOUR_OVER)
        return;
    tour_close(copy->tour);
    copy->tour = NULL;
}
