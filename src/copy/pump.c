/* pump.c - the copy loop: one switch, one case a state (the picture is in pump.h). */
#include "haul/pump.h"

#include "haul/clock.h"
#include "haul/num.h"

#include <errno.h>
#include <poll.h>

enum {
    PUMP_REAP_MAX = 16,
    PUMP_WAIT_MS_MAX = 200, /* how soon a request to stop is noticed */
    PUMP_IDLE_MS = 5,
    PUMP_UNSYNCED_MAX = JOURNAL_NOTES_MAX / 2, /* the journal's memory is bounded */
};

struct pump {
    const struct pump_config *config;
    struct error *err;
    int result; /* the first failure; nothing new is started then */
    bool plan_ended;
    uint32_t busy_count; /* slots that are not free, the control slot included */
    bool broken[2];      /* by role: this end gives nothing back any more */

    uint64_t settled_bytes;      /* stored or kept by this pump */
    uint64_t sync_settled_bytes; /* the same when the sync under way was started */
    uint64_t synced_bytes;       /* the same at the last sync that ended well */
    uint64_t synced_at_ns;
    uint32_t unsynced_chunks; /* stored or kept since the last sync was started */
};

/* The end's first error is the cause, although another slot that failed after it may come back
 * first. */
static void pump_fail(struct pump *pump, int result, const struct error *cause)
{
    if (pump->result != 0)
        return;
    pump->result = error_is_set(cause) ? error_take(pump->err, cause)
                                       : error_settle(pump->err, result, "%s: the copy failed",
                                                      pump->config->job->target_path);
}

static void pump_start(struct pump *pump, struct slot *slot, enum slot_state state, enum end_op op)
{
    struct end *end = pump->config->target;
    if (op == END_FETCH || op == END_MAP)
        end = pump->config->source;
    if (slot->state == SLOT_FREE)
        pump->busy_count++;
    slot->state = state;
    end_start(end, slot, op);
}

static void pump_free(struct pump *pump, struct slot *slot)
{
    assert(slot->state != SLOT_FREE && pump->busy_count > 0);
    slot->state = SLOT_FREE;
    pump->busy_count--;
}

static void pump_settled(struct pump *pump, const struct slot *slot)
{
    pump->settled_bytes += slot->length;
    pump->unsynced_chunks++;
}

static void pump_fetch(struct pump *pump, struct slot *slot, const struct digest *unless)
{
    slot->conditional = unless != NULL;
    if (unless)
        slot->expected = *unless;
    control_spend(pump->config->control, slot->length);
    pump_start(pump, slot, SLOT_FETCHING, END_FETCH);
}

static void pump_begin(struct pump *pump, struct slot *slot, const struct plan_item *item)
{
    slot->item = *item;
    slot->job = pump->config->job;
    slot->offset = item->offset;
    slot->length = item->length;
    slot->conditional = false;
    slot->from_medium = false;
    slot->blank = item->blank;
    switch ((enum plan_action)item->action) {
    case PLAN_COPY:
        pump_fetch(pump, slot, NULL);
        break;
    case PLAN_VERIFY:
    case PLAN_AUDIT:
        slot->conditional = true;
        slot->from_medium = true;
        slot->expected = item->expected;
        pump_start(pump, slot, item->action == PLAN_VERIFY ? SLOT_VERIFYING : SLOT_EXAMINING,
                   END_EXAMINE);
        break;
    case PLAN_CHECK:
        slot->from_medium = true; /* a good copy in the cache says nothing of what is below */
        pump_start(pump, slot, SLOT_EXAMINING, END_EXAMINE);
        break;
    case PLAN_ERASE:
        pump_start(pump, slot, SLOT_ERASING, END_ERASE);
        break;
    case PLAN_MAP:
        pump_start(pump, slot, SLOT_MAPPING, END_MAP);
        break;
    case PLAN_RECALL:
        slot->length = PLAN_RECALL_MAX * (uint32_t)sizeof(struct journal_entry);
        pump_start(pump, slot, SLOT_RECALLING, END_RECALL);
        break;
    }
}

/* The target's chunk was right. The journal learns of it, unless it told us. */
static void pump_kept(struct pump *pump, struct slot *slot)
{
    const struct plan_item *item = &slot->item;
    bool as_journalled = item->action == PLAN_AUDIT && digest_equal(&slot->digest, &item->expected);
    bool noted = as_journalled || !slot->job->wish.journal;
    if (slot->state != SLOT_KEEPING && !noted) {
        pump_start(pump, slot, SLOT_KEEPING, END_KEEP);
        return;
    }
    plan_kept(pump->config->plan, &slot->item, &slot->digest);
    if (slot->item.action != PLAN_AUDIT) /* was counted as durable from the start */
        pump_settled(pump, slot);
    pump_free(pump, slot);
}

static void pump_mismatch(struct pump *pump, const struct slot *slot)
{
    struct error cause = {.class = ERROR_NONE};
    error_set_class(&cause, ERROR_MISMATCH, EBADMSG,
                    "%s: bytes %llu to %llu read back differently from what was written",
                    slot->job->target_path, (unsigned long long)slot->offset,
                    (unsigned long long)(slot->offset + slot->length - 1));
    pump_fail(pump, -EBADMSG, &cause);
}

/* Examined: right as it is, or to be fetched. */
static void pump_examined(struct pump *pump, struct slot *slot)
{
    bool audited = slot->item.action == PLAN_AUDIT && !slot->item.against_source;
    bool whole = slot->count == slot->length;
    struct digest have = slot->digest;
    if (audited && slot->matched) {
        pump_kept(pump, slot);
    } else if (audited && slot->job->wish.compare_only) { /* by a manifest: there is no source */
        plan_differs(pump->config->plan, &slot->item, &slot->item.expected);
        pump_free(pump, slot);
    } else {
        pump_fetch(pump, slot, whole ? &have : NULL);
    }
}

/* Fetched: the same as the target has, or to be stored; or only to be told. */
static void pump_fetched(struct pump *pump, struct slot *slot)
{
    if (slot->conditional && slot->matched) {
        pump_kept(pump, slot);
    } else if (slot->job->wish.compare_only) {
        plan_differs(pump->config->plan, &slot->item, &slot->digest);
        pump_free(pump, slot);
    } else {
        pump_start(pump, slot, SLOT_STORING, END_STORE);
    }
}

/* A slot came back from an end and its operation succeeded: what next? */
static void pump_advance(struct pump *pump, struct slot *slot)
{
    struct plan *plan = pump->config->plan;
    switch (slot->state) {
    case SLOT_MAPPING:
        plan_mapped(plan, &slot->item, slot->extent_start, slot->extent_end);
        pump_free(pump, slot);
        break;
    case SLOT_RECALLING:
        plan_recalled(plan, &slot->item, (const struct journal_entry *)(const void *)slot->buffer,
                      slot->count, slot->extent_start);
        pump_free(pump, slot);
        break;
    case SLOT_EXAMINING:
        pump_examined(pump, slot);
        break;
    case SLOT_FETCHING:
        pump_fetched(pump, slot);
        break;
    case SLOT_KEEPING:
        pump_kept(pump, slot);
        break;
    case SLOT_STORING:
        plan_copied(plan, &slot->item, &slot->digest);
        pump_settled(pump, slot);
        pump_free(pump, slot);
        break;
    case SLOT_ERASING:
        plan_erased(plan, &slot->item);
        pump_free(pump, slot);
        break;
    case SLOT_VERIFYING:
        plan_verified(plan, &slot->item);
        if (!slot->matched)
            pump_mismatch(pump, slot);
        pump_free(pump, slot);
        break;
    case SLOT_SYNCING:
        pump->config->progress->bytes_durable += pump->sync_settled_bytes - pump->synced_bytes;
        pump->synced_bytes = pump->sync_settled_bytes;
        pump->synced_at_ns = clock_now_ns();
        pump_free(pump, slot);
        break;
    case SLOT_FREE:
        assert(false && "a free slot came back");
    }
}

/* After a failure a slot goes no further: what it did is not counted, its item is somebody else's.
 */
static void pump_returned(struct pump *pump, struct slot *slot)
{
    if (slot->result < 0)
        pump_fail(pump, slot->result, &slot->error);
    bool half = slot->state == SLOT_FETCHING || slot->state == SLOT_EXAMINING;
    bool done = slot->result == 0 && !half;
    if (pump->result == 0 || done) {
        pump_advance(pump, slot);
        return;
    }
    if (slot->state != SLOT_SYNCING)
        plan_returned(pump->config->plan, &slot->item);
    pump_free(pump, slot);
}

static int pump_reap(struct pump *pump, struct end *end, bool wait)
{
    struct slot *done[PUMP_REAP_MAX];
    if (pump->broken[end->role])
        return 0;
    int count = end_reap(end, done, PUMP_REAP_MAX, wait);
    if (count < 0) {
        pump->broken[end->role] = true;
        pump_fail(pump, count, &end->error);
    }
    for (int i = 0; i < count; i++)
        pump_returned(pump, done[i]);
    return count;
}

/* A retired lane goes on turning, so that its link stays alive, and is there when all others have
 * been lost. */
static enum plan_answer pump_next(struct pump *pump, struct plan_item *item)
{
    atomic_bool *retired = pump->config->retired;
    if (!retired || !*retired)
        return plan_next(pump->config->plan, item);
    enum plan_answer answer = plan_next_alone(pump->config->plan, item);
    if (answer == PLAN_ITEM)
        *retired = false;
    return answer;
}

static void pump_fill(struct pump *pump)
{
    for (uint32_t i = 0;
         i < pump->config->slots_count && control_wait_ns(pump->config->control) == 0; i++) {
        struct slot *slot = &pump->config->slots[i];
        struct plan_item item;
        if (slot->state != SLOT_FREE)
            continue;
        /* The sync under way is slower than the copy: wait for it before the notes overflow. */
        if (pump->unsynced_chunks + pump->busy_count >= PUMP_UNSYNCED_MAX - 1 &&
            pump->config->control_slot->state != SLOT_FREE)
            return;
        enum plan_answer answer = pump_next(pump, &item);
        pump->plan_ended = answer == PLAN_END;
        if (answer != PLAN_ITEM)
            return;
        pump_begin(pump, slot, &item);
    }
}

/* A checkpoint, beside the copy: what was stored before it was started becomes durable. */
static void pump_checkpoint(struct pump *pump)
{
    const struct pump_config *config = pump->config;
    uint64_t waiting_bytes = pump->settled_bytes - pump->synced_bytes;
    if (waiting_bytes == 0 || config->control_slot->state != SLOT_FREE)
        return;
    bool due = config->sync_every_bytes > 0 &&
               (waiting_bytes >= config->sync_every_bytes ||
                clock_now_ns() - pump->synced_at_ns >= config->sync_every_ns);
    if (!due && pump->unsynced_chunks < PUMP_UNSYNCED_MAX)
        return;
    pump->unsynced_chunks = 0;
    config->control_slot->job = config->job;
    pump->sync_settled_bytes = pump->settled_bytes;
    pump_start(pump, config->control_slot, SLOT_SYNCING, END_SYNC);
}

static int pump_timeout_ms(const struct pump *pump)
{
    uint64_t held_ns = control_wait_ns(pump->config->control);
    uint64_t wait_ns = PUMP_WAIT_MS_MAX * NS_PER_MS;
    if (held_ns > 0)
        wait_ns = min_u64(wait_ns, held_ns);
    if (pump->busy_count ==
        0) /* another lane has the last chunks; no descriptor tells when it is done */
        wait_ns = min_u64(wait_ns, PUMP_IDLE_MS * NS_PER_MS);
    return (int)div_ceil(wait_ns, NS_PER_MS);
}

/* Wait for either end, never for one after the other. An end without a descriptor does its work in
 * reap. */
static void pump_wait(struct pump *pump)
{
    struct end *ends[2] = {pump->config->source, pump->config->target};
    struct pollfd polls[2];
    nfds_t count = 0;
    for (int i = 0; i < 2; i++) {
        if (ends[i]->inflight == 0 || pump->broken[ends[i]->role])
            continue;
        int fd = end_wait_fd(ends[i], &polls[count].events);
        if (fd < 0) {
            pump_reap(pump, ends[i], true);
            return;
        }
        polls[count++].fd = fd;
    }
    (void)poll(polls, count, pump_timeout_ms(pump));
}

/* Slots with a broken end come back when it is closed: nobody can wait for them. */
static uint32_t pump_lost_count(const struct pump *pump)
{
    const struct end *source = pump->config->source, *target = pump->config->target;
    return (pump->broken[END_SOURCE] ? source->inflight : 0) +
           (pump->broken[END_TARGET] ? target->inflight : 0);
}

static void pump_interrupted(struct pump *pump)
{
    struct error cause = {.class = ERROR_NONE};
    error_set_class(&cause, ERROR_INTERRUPTED, EINTR, "%s: interrupted",
                    pump->config->job->target_path);
    pump_fail(pump, -EINTR, &cause);
}

int pump_run(const struct pump_config *config, struct error *err)
{
    struct pump pump = {.config = config, .err = err, .synced_at_ns = clock_now_ns()};
    assert(config->slots_count > 0);
    for (;;) {
        if (config->control->stop)
            pump_interrupted(&pump);
        if (pump.result == 0) {
            pump_fill(&pump);
            pump_checkpoint(&pump);
        }
        if (pump.busy_count == pump_lost_count(&pump) && (pump.plan_ended || pump.result < 0))
            break;
        int count = pump_reap(&pump, config->source, false);
        int more = pump_reap(&pump, config->target, false);
        if (count == 0 && more == 0)
            pump_wait(&pump);
    }
    if (config->unsynced_bytes)
        *config->unsynced_bytes = pump.settled_bytes - pump.synced_bytes;
    return pump.result;
}
