/* tour.c - a tree: the walk is asked for, its entries become tasks, and in the end what was made is
 * made durable. */
#include "tour_state.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/names.h"
#include "haul/base/num.h"
#include "haul/base/rules.h"
#include "haul/disk/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEASURE_NS (NS_PER_SECOND / 10)

/* ---- open and close ---- */

/* The first whole page of it; NULL of NULL. */
static struct tour_task *tasks_of(void *memory)
{
    uintptr_t first = (uintptr_t)memory;
    uint32_t behind = first ? (uint32_t)(-first % TOUR_PAGE_BYTES) : 0;
    return (struct tour_task *)(void *)((uint8_t *)memory + behind);
}

struct tour *tour_open(const struct tour_config *config, const struct tour_start *start)
{
    struct tour *tour = calloc(1, sizeof(*tour));
    if (!tour)
        return NULL;
    tour->config = *config;
    tour->start = *start;
    tour->wish = config->run->wish;
    tour->dry = tour->wish->dry_run;
    tour->broken = start->broken;
    tour->config.progress->bytes_total = NUM_UNKNOWN;
    tour->blocked_end = &tour->blocked;
    tour->told_end = &tour->told;
    const size_t most = tour->tasks_most = tour_is_far(tour) ? TOUR_TASKS_MAX : TOUR_TASKS_HERE;
    tour->tasks_memory = calloc(1, (most + 1) * sizeof(*tour->tasks) + TOUR_PAGE_BYTES - 1);
    tour->tasks = tasks_of(tour->tasks_memory);
    tour->own = tour->tasks + most;
    for (int i = 0; i < 2; i++)
        tour->bytes[i] = malloc(TOUR_BYTES);
    if (!config->links)
        tour->own_links = tour_links_open();
    tour->links = config->links ? config->links : tour->own_links;
    if (!tour->tasks || !tour->bytes[0] || !tour->bytes[1] || !tour->links) {
        tour_close(tour);
        return NULL;
    }
    links_begin(tour->links);
    moved_begin(tour);
    return tour;
}

static void task_close(struct tour_task *task)
{
    if (task->step == STEP_FREE)
        return;
    life_close(&task->life);
    free(task->path);
    free(task->link_text);
    free(task->gone);
}

void tour_close(struct tour *tour)
{
    if (!tour)
        return;
    for (uint32_t i = 0; i < tour->tasks_used; i++)
        task_close(&tour->tasks[i]);
    while (tour->folder) { /* others are left only where a run was broken off */
        struct tour_folder *folder = tour->folder;
        tour->folder = folder->parent;
        folder_free_texts(folder);
        free(folder);
    }
    tour_links_close(tour->own_links);
    owner_close_all(tour);
    free(tour->tasks_memory);
    free(tour->bytes[0]);
    free(tour->bytes[1]);
    free(tour);
}

/* ---- figures ---- */

/* How much there will be is not known before the walk is over. */
static void tour_measure(struct tour *tour)
{
    struct progress sum = {.lanes = 1}, *shown = tour->config.progress;
    uint64_t now_ns = clock_now_ns();
    if (now_ns - tour->measured_ns < MEASURE_NS)
        return;
    tour->measured_ns = now_ns;
    progress_add(&sum, &tour->counted);
    for (uint32_t i = 0; i < tour->tasks_used; i++) {
        if (tour->tasks[i].step == STEP_COPYING)
            progress_add(&sum, &tour->tasks[i].life.counters);
    }
    shown->phase = tour->state >= TOUR_SYNCING ? PHASE_SYNCING : PHASE_COPYING;
    shown->bytes_total = tour->walk_over ? sum.bytes_total : NUM_UNKNOWN;
    progress_show(shown, &sum);
    shown->lanes = 1;
}

const struct tour_start *tour_started(const struct tour *tour)
{
    return &tour->start;
}

/* ---- operations of the tour itself ---- */

static void tour_call(struct tour *tour, enum side_role role, enum side_op op)
{
    uint32_t number = tour->walk.job.number; /* a walk has one from its beginning to its end */
    if (op == SIDE_TOUR)
        number = (*tour->config.numbers)++;
    tour->walk_call.role = role;
    tour->walk_call.op = op;
    const struct life_start start = {
        .kind = LIFE_CALL,
        .number = number,
        .chunk_bytes = tour->config.chunk_bytes,
        .source_path = tour->start.path,
        .target_path = op == SIDE_SYNC ? "" : tour->start.path,
        .roots = {tour->start.roots[SIDE_SOURCE], tour->start.roots[SIDE_TARGET]},
        .call = &tour->walk_call,
        .error = &tour->walk_error,
    };
    life_begin(&tour->walk, tour->config.run, &start);
    tour->walk.bin = &tour->ended;
    tour->walk_busy = true;
    pump_add(tour->pump, &tour->walk);
}

/* What the walk is to tell. */
static int tour_pack_wish(const struct tour *tour, uint8_t *bytes, uint32_t *length,
                          struct error *err)
{
    const struct tour_wish *wish = &tour->wish->tour;
    struct bytes out = bytes_writer(bytes, min_size(TOUR_BYTES, tour->config.chunk_bytes));
    bytes_put_u32(&out, (wish->recursive ? TOUR_RECURSIVE : 0u) |
                            (wish->one_filesystem ? TOUR_ONE_FILESYSTEM : 0u) |
                            (wish->links ? TOUR_LINKS : 0u) | (wish->devices ? TOUR_DEVICES : 0u) |
                            (wish->specials ? TOUR_SPECIALS : 0u) |
                            (wish->names ? TOUR_LISTED : 0u) |
                            (tour_maps_owners(tour) ? TOUR_NAMES : 0u));
    if (wish->rules)
        rules_pack(wish->rules, &out);
    *length = (uint32_t)out.length;
    return out.failed ? error_set_class(err, ERROR_USAGE, E2BIG, "too many rules for one message")
                      : 0;
}

static void tour_begin(struct tour *tour)
{
    ERROR_UNSET(err);
    uint32_t length;
    tour->state = TOUR_WALKING;
    tour->walk_lists = false; /* it is told from its beginning */
    tour->names_next = 0;
    if (tour_pack_wish(tour, tour->bytes[0], &length, &err) < 0) {
        tour_fail(tour, &err);
        tour->walk_over = true;
        return;
    }
    tour->walk_call = (struct life_call){.bytes = tour->bytes[0], .length = length};
    tour_call(tour, SIDE_SOURCE, SIDE_TOUR);
}

/* ---- the walk ---- */

static void tour_cut(struct tour *tour)
{
    tour->walk_over = true;
    tour->in_hand = tour->filled[0] = tour->filled[1] = false;
    while (tour->folder)
        folder_leave(tour);
}

static void tour_walked(struct tour *tour)
{
    uint32_t which = tour->walk_call.bytes == tour->bytes[1];
    tour->filled[which] = true;
    tour->filled_bytes[which] = tour->walk_call.count;
    tour->walk_over = tour->walk_call.offset == WALK_OVER;
    tour->walk_lists = tour->walk_call.offset == WALK_NAMES;
}

/* All is done, but for what a changed source may have: then once more from the beginning. */
static void tour_left(struct tour *tour)
{
    tour->over_again &= !tour->stopped;
    tour->state = tour->over_again ? TOUR_BEGINNING : TOUR_SYNCING;
    if (!tour->over_again)
        return;
    tour->over_again = tour->walk_over = false;
    tour->taken_count = tour->taken_sum = 0;
    tour->held_back = 0;
    tour->untold_count = tour->told_count;
    links_again(tour->links, tour->wish->tour.remove_source);
}

static void tour_restart(struct tour *tour);

static void tour_returned(struct tour *tour)
{
    struct life *walk = &tour->walk;
    tour->walk_busy = false;
    if (tour->state == TOUR_LEAVING) {
        tour_left(tour);
        return;
    }
    if (tour->renewing)
        tour_restart(tour);
    if (walk->result < 0) {
        struct error err = *walk->error;
        tour_cut(tour);
        tour_fail(tour, &err);
    } else if (tour->walk_call.op == SIDE_WALK && !tour->stopped) {
        tour_walked(tour);
    }
}

/* The next names for the walk, or that there are no more. */
static void tour_tell_names(struct tour *tour, uint8_t *bytes)
{
    struct bytes out = bytes_writer(bytes, min_size(TOUR_BYTES, tour->config.chunk_bytes));
    if (tour->wish->tour.names)
        names_pack(tour->wish->tour.names, &tour->names_next, &out);
    tour->walk_lists = false;
    tour->walk_call = (struct life_call){.bytes = bytes, .length = (uint32_t)out.length};
    tour_call(tour, SIDE_SOURCE, SIDE_NAMES);
}

/* A buffer is filled while the other one is taken. */
static void tour_ask(struct tour *tour)
{
    uint32_t which = tour->reading;
    if (tour->filled[which] || tour->in_hand)
        which = 1 - which;
    if (tour->walk_over || tour->walk_busy || tour->filled[which] ||
        (tour->in_hand && which == tour->reading))
        return;
    if (tour->walk_lists) {
        tour_tell_names(tour, tour->bytes[which]);
        return;
    }
    tour->walk_call = (struct life_call){.bytes = tour->bytes[which], .room = TOUR_BYTES};
    tour_call(tour, SIDE_SOURCE, SIDE_WALK);
}

static bool tour_take_in_hand(struct tour *tour)
{
    if (!tour->in_hand && tour->filled[tour->reading]) {
        tour->in = bytes_reader(tour->bytes[tour->reading], tour->filled_bytes[tour->reading]);
        tour->filled[tour->reading] = false;
        tour->in_hand = true;
    }
    return tour->in_hand;
}

/* Names may come in folders only, and one at the top. */
static bool tour_fits(const struct tour *tour, const struct entry *entry)
{
    return entry->type != ENTRY_LEAVE || tour->folder;
}

static bool tour_take_entry(struct tour *tour)
{
    ERROR_UNSET(err);
    struct entry entry;
    if (!tour_take_in_hand(tour))
        return false;
    int result = entry_unpack(&tour->in, &entry, &err);
    if (result == 0) {
        tour->in_hand = false;
        tour->reading = 1 - tour->reading;
        return true;
    }
    if (result > 0 && !tour_takes(tour, &entry))
        return true;
    if (result > 0 && !tour_fits(tour, &entry))
        result = error_set_class(&err, ERROR_PROTOCOL, EPROTO,
                                 "a walk leaves a folder that it was not in");
    if (result > 0)
        result = task_of_entry(tour, &entry);
    if (result < 0 && !error_is_set(&err))
        error_set(&err, -result, "what is known of hard links cannot be read back");
    if (result < 0)
        tour_cut(tour);
    if (result == -ENOMEM)
        tour_fail_memory(tour);
    else if (result < 0)
        tour_fail(tour, &err);
    return true;
}

/* What came instead of what was taken before is another row, or a shorter one. */
static void tour_start_over(struct tour *tour)
{
    log_note("%s: has changed since the link was lost, all of it is looked at again",
             tour->start.roots[SIDE_SOURCE].path);
    tour->skip_count = 0;
    tour->astray = false;
    tour->over_again = true;
    tour_cut(tour);
}

/* What was not taken yet comes again. */
static void tour_walk_again(struct tour *tour)
{
    tour->walk_over &= !tour->in_hand && !tour->filled[0] && !tour->filled[1];
    tour->in_hand = tour->filled[0] = tour->filled[1] = false;
    tour->skip_count = tour->walk_over ? 0 : tour->taken_count;
    tour->skipped_sum = 0;
    tour->renewing = true;
    tour_begin(tour);
}

/* ---- the end ---- */

static bool tour_is_walked(const struct tour *tour)
{
    return tour->walk_over && !tour->walk_busy && !tour->in_hand && !tour->filled[0] &&
           !tour->filled[1];
}

static bool tour_is_drained(const struct tour *tour)
{
    return tour_is_walked(tour) && tour->tasks_count == 0 && tour->folders_count == 0;
}

static void tour_settle(struct tour *tour)
{
    ERROR_UNSET(err);
    bool lacking = tour->outcome.lacking;
    const struct outcome_proof proof = {true, true, true, true};
    if (tour->touched && tour->walk.result < 0)
        tour->outcome = outcome_failed(tour->walk.error);
    else if (tour->dry)
        tour->outcome = outcome_dry(&err);
    else if (tour->touched)
        tour->outcome = outcome_durable(&proof, &err);
    else
        tour->outcome = outcome_up_to_date("nothing differs");
    tour->outcome.lacking = lacking;
    tour->state = TOUR_ENDING;
}

static void tour_end(struct tour *tour)
{
    if (tour->walk_busy)
        return;
    switch (tour->state) {
    case TOUR_WALKING:
        tour->astray |= tour->skip_count > 0 && tour_is_walked(tour) && !tour->stopped;
        if (tour->astray)
            tour_start_over(tour);
        if (tour_is_drained(tour)) {
            tour->state = TOUR_LEAVING;
            tour->walk_call = (struct life_call){.bytes = NULL};
            tour_call(tour, SIDE_SOURCE, SIDE_ABANDON);
        }
        break;
    case TOUR_SYNCING:
        if (tour->touched && !tour->dry && tour->walk_call.op != SIDE_SYNC) {
            tour->walk_call = (struct life_call){.earlier = tour->earlier};
            tour_call(tour, SIDE_TARGET, SIDE_SYNC);
        } else {
            tour_settle(tour);
        }
        break;
    default:
        break;
    }
}

/* ---- after a lost link ---- */

/* Of the tour itself: the source's side may let go by itself, what is to be durable is synced anew.
 */
static void tour_call_restart(struct tour *tour)
{
    if (tour->state == TOUR_LEAVING)
        tour->state = TOUR_SYNCING;
    else if (tour->state == TOUR_SYNCING)
        tour->walk_call.op = SIDE_ABANDON;
}

static void tour_restart(struct tour *tour)
{
    struct tour_task *task = tour->stranded, *next;
    const bool back = *tour->config.redials, walk = tour->walk_stranded;
    tour->stranded = NULL;
    tour->cut_off = tour->renewing = tour->walk_stranded = false;
    if (walk && back)
        tour_call_restart(tour);
    else if (walk)
        tour_returned(tour);
    for (; task; task = next) {
        next = task->next;
        if (back)
            task_restart(tour, task);
        else
            task_returned(tour, task);
    }
    if (tour->settled && back)
        settle_sync(tour);
    else if (tour->settled)
        settle_returned(tour);
}

/* Whatever was under way at a target that is lost may have been done there. */
void tour_go_on(struct tour *tour, struct pump *pump, uint32_t chunk_bytes, const bool lost[2])
{
    const bool back = *tour->config.redials;
    tour->pump = pump;
    tour->config.chunk_bytes = chunk_bytes;
    tour->earlier |= back && lost[SIDE_TARGET];
    tour->touched |= back && lost[SIDE_TARGET];
    if (back && lost[SIDE_SOURCE] && tour->state == TOUR_WALKING)
        tour_walk_again(tour);
    else
        tour_restart(tour);
}
bool tour_is_cut_off(const struct tour *tour)
{
    return tour->cut_off;
}

/* ---- a turn ---- */

static bool tour_collect(struct tour *tour)
{
    struct life *ended = tour->ended;
    bool moved = ended != NULL;
    tour->ended = NULL;
    while (ended) {
        struct life *life = ended;
        ended = life->next;
        if (tour_strands(tour, life))
            continue;
        if (life == &tour->walk)
            tour_returned(tour);
        else if (life == &tour->sync)
            settle_returned(tour);
        else
            task_returned(tour, task_of(life));
    }
    return moved;
}

static void tour_stop(struct tour *tour)
{
    tour->stopped = tour->unblock = true;
    tour_cut(tour);
}

bool tour_turn(struct tour *tour, struct pump *pump)
{
    bool moved;
    tour->pump = pump;
    if (tour->state == TOUR_BEGINNING)
        tour_begin(tour);
    moved = tour_collect(tour);
    if (tour->cut_off)
        return moved;
    if (tour->config.run->control->stop && !tour->stopped)
        tour_stop(tour);
    task_unblock(tour);
    folder_finish_due(tour);
    folder_remove_waiting(tour);
    settle_look(tour);
    /* One stays free for what is no name's. */
    while (tour->tasks_count + 1 < tour->tasks_most && !tour->astray && tour_take_entry(tour)) {
        moved = true;
        task_unblock(tour);
    }
    if (tour->state == TOUR_WALKING && !tour->stopped)
        tour_ask(tour);
    tour_end(tour);
    tour_measure(tour);
    return moved;
}

/* ---- events ---- */

bool tour_event(struct tour *tour, struct tour_event *event)
{
    struct tour_task *task = tour->telling;
    tour->telling = NULL;
    if (task)
        task_told(tour, task);
    task = tour->told;
    if (!task && tour->state == TOUR_ENDING) {
        tour->state = TOUR_ENDED;
        *event = (struct tour_event){
            .kind = TOUR_OVER,
            .path = tour->start.path,
            .outcome = tour->outcome,
            .held_back = tour->held_back,
            .lost_counts = tour->lost_counts,
            .error = tour->walk.error,
        };
        return true;
    }
    if (!task)
        return false;
    tour->told = task->next;
    if (!tour->told)
        tour->told_end = &tour->told;
    tour->telling = task;
    *event = (struct tour_event){
        .kind = task->event,
        .path = task->gone   ? task->gone
                : task->path ? task->path
                             : tour->start.path,
        .file_kind = task->gone ? task->gone_kind : task->facts.kind,
        .link_text = task->hard ? task->link->path : task->link_text,
        .hard_link = task->hard,
        .made = task->made,
        .changes = task->event == TOUR_FILE ? task->life.changes : task->changes,
        .life = task->event == TOUR_FILE ? &task->life : NULL,
        .error = task->event == TOUR_FAILED ? &task->error
                 : task->event == TOUR_FILE ? task->life.error
                                            : NULL,
    };
    return true;
}
