/* pump.c - the copy loop: one switch, one case a state (the picture is in pump.h). */
#include "haul/copy/pump.h"

#include "haul/base/clock.h"
#include "haul/base/control.h"
#include "haul/base/num.h"
#include "haul/side/pockets.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

enum {
    PUMP_REAP_MAX = 16,
    PUMP_WAIT_MS_MAX = 200, /* how soon a request to stop is noticed */
    PUMP_IDLE_MS = 5,
    PUMP_UNSYNCED_MAX = JOURNAL_NOTES_MAX / 2, /* the journal's memory is bounded */
    PUMP_POLLS_MAX = 32,
};

static struct life *life_of(const struct slot *slot)
{
    return (struct life *)(void *)slot->job;
}

/* ---- lists ---- */

static void list_put(struct life_list *list, struct life *life)
{
    life->next = NULL;
    life->before = list->last;
    *(list->last ? &list->last->next : &list->first) = life;
    list->last = life;
}

static void list_take(struct life_list *list, struct life *life)
{
    *(life->before ? &life->before->next : &list->first) = life->next;
    *(life->next ? &life->next->before : &list->last) = life->before;
    life->next = life->before = NULL;
}

/* ---- slots ---- */

/* The side that has it. */
static enum side_role pump_role(const struct slot *slot)
{
    if (slot->state == SLOT_STEPPING)
        return life_of(slot)->role;
    if (slot->state == SLOT_CANCELLING)
        return slot->role;
    return slot->op == SIDE_FETCH || slot->op == SIDE_MAP || slot->op == SIDE_DIFFER ? SIDE_SOURCE
                                                                                     : SIDE_TARGET;
}

static void pump_returned(struct pump *pump, struct slot *slot);

static void pump_start(struct pump *pump, struct slot *slot, enum slot_state state, enum side_op op)
{
    bool idle = slot->state == SLOT_FREE || slot->state == SLOT_LENT;
    slot->state = state;
    slot->op = op;
    slot->index = (uint32_t)(slot - pump->slots);
    if (idle)
        pump->busy_count++;
    if (idle && state != SLOT_PRESSING)
        life_of(slot)->slots_count++;
    struct side *side = pump->sides[pump_role(slot)];
    if (!pump->broken[side->role]) {
        side_start(side, slot, op);
        return;
    }
    *slot->error = side->error;
    slot->result = -side->error.errnum;
    pump_returned(pump, slot);
}

static void pump_free(struct pump *pump, struct slot *slot)
{
    if (slot->state == SLOT_PRESSING) {
        slot->state = SLOT_FREE;
        pump->busy_count--;
        return;
    }
    assert(slot->state != SLOT_FREE && pump->busy_count > 0 && life_of(slot)->slots_count > 0);
    slot->state = SLOT_FREE;
    pump->busy_count--;
    life_of(slot)->slots_count--;
}

static struct slot *pump_find(struct pump *pump, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        if (pump->slots[i].state == SLOT_FREE)
            return &pump->slots[i];
    }
    return NULL;
}

/* Those with buffers that may be used: two always, where memory is scarce not all. */
static uint32_t pump_own_count(const struct pump *pump)
{
    uint32_t own = pump->slots_count - (uint32_t)max_u64(pump->lend_count, pump->lent_count);
    return (uint32_t)control_share(pump->control, own, 2);
}

/* Another lane wants buffers of ours, or has given them back. */
static void pump_share(struct pump *pump)
{
    uint32_t lend_count = pump->lend_count;
    assert(lend_count == 0 || lend_count + 2 <= pump->slots_count);
    for (uint32_t i = pump->lent_count; i < lend_count; i++) {
        if (pump->slots[pump->slots_count - 1 - i].state != SLOT_FREE)
            return;
    }
    pump->lent_count = lend_count;
}

/* Those for CARRY are the last that others take. Most are taken in a row, and come back so. */
static struct slot *pump_control(struct pump *pump)
{
    uint32_t first = pump->slots_count + pump->carries_count;
    uint32_t end = pump->slots_count + pump->control_count;
    uint32_t next =
        pump->control_next < first || pump->control_next >= end ? first : pump->control_next;
    struct slot *slot = pump_find(pump, next, end - next);
    if (!slot)
        slot = pump_find(pump, first, next - first);
    if (!slot)
        slot = pump_find(pump, pump->slots_count, pump->carries_count);
    if (slot)
        pump->control_next = (uint32_t)(slot - pump->slots) + 1;
    return slot;
}

/* ---- checkpoints ---- */

static void pump_settled(const struct slot *slot, uint32_t bytes)
{
    struct life_sync *sync = &life_of(slot)->sync;
    sync->settled_bytes += bytes;
    sync->chunks_count++;
}

static void pump_sync_begun(struct life *life)
{
    struct life_sync *sync = &life->sync;
    sync->under_way = true;
    sync->chunks_count = 0;
    sync->started_bytes = sync->settled_bytes;
}

static void pump_sync_ended(struct life *life, bool good)
{
    struct life_sync *sync = &life->sync;
    sync->under_way = false;
    if (!good)
        return;
    life->progress->bytes_durable += sync->started_bytes - sync->synced_bytes;
    sync->synced_bytes = sync->started_bytes;
    sync->synced_at_ns = clock_now_ns();
}

/* A checkpoint, beside the copy: what was stored before it was started becomes durable. */
static void pump_checkpoint(struct pump *pump, struct life *life)
{
    const struct life_sync *sync = &life->sync;
    uint64_t waiting_bytes = sync->settled_bytes - sync->synced_bytes;
    if (life->want != LIFE_WANTS_CHUNKS || life->result < 0 || waiting_bytes == 0 ||
        sync->under_way || life_pipes(life, SIDE_TARGET)) /* which keeps nothing */
        return;
    bool due =
        pump->sync_every_bytes > 0 && (waiting_bytes >= pump->sync_every_bytes ||
                                       clock_now_ns() - sync->synced_at_ns >= pump->sync_every_ns);
    if (!due && sync->chunks_count < PUMP_UNSYNCED_MAX)
        return;
    struct slot *slot = pump_control(pump);
    if (!slot)
        return;
    slot->job = &life->job;
    slot->conditional = false;
    pump_sync_begun(life);
    pump_start(pump, slot, SLOT_SYNCING, SIDE_SYNC);
}

/* ---- pipes ---- */

/* The file has failed, and a slot of it may wait for the other end of a pipe: for ever. */
static void pump_cancel(struct pump *pump, struct life *life)
{
    if (life->result == 0 || life->state != LIFE_COPYING || life->slots_count == 0)
        return;
    for (int role = 0; role < 2; role++) {
        bool waits = life_pipes(life, (enum side_role)role) && !life->cancelled[role];
        struct slot *slot = waits ? pump_control(pump) : NULL;
        if (!slot)
            continue;
        life->cancelled[role] = true;
        slot->job = &life->job;
        slot->role = (enum side_role)role;
        slot->offset = slot->length = 0;
        pump_start(pump, slot, SLOT_CANCELLING, SIDE_CANCEL);
    }
}

/* A pipe tells only now how much of the chunk there is. false: nothing; the slot is free. */
static bool pump_arrived(struct pump *pump, struct slot *slot)
{
    ERROR_UNSET(why);
    struct life *life = life_of(slot);
    int result = plan_arrived(life->plan, &slot->item, slot->count, &why);
    if (result < 0) {
        life_note_failure(life, result, &why, false);
        plan_returned(life->plan, &slot->item);
    }
    slot->length = slot->count;
    if (result == 0 && slot->count > 0)
        return true;
    pump_free(pump, slot);
    return false;
}

/* ---- chunks ---- */

static void pump_fetch(struct pump *pump, struct slot *slot, const struct digest *unless)
{
    slot->conditional = unless != NULL;
    if (unless)
        slot->expected = *unless;
    control_spend(pump->control, slot->length);
    pump_start(pump, slot, SLOT_FETCHING, SIDE_FETCH);
}

static void pump_begin(struct pump *pump, struct slot *slot, struct life *life,
                       const struct plan_item *item)
{
    slot->item = *item;
    slot->job = &life->job;
    slot->offset = item->offset;
    slot->length = item->length;
    slot->conditional = slot->from_medium = slot->sparing = slot->partial = slot->broken = false;
    bool compares = item->action == PLAN_CHECK || item->action == PLAN_AUDIT;
    slot->blocks = compares && life->deltas && slot->digests;
    slot->blank = item->blank;
    switch ((enum plan_action)item->action) {
    case PLAN_COPY:
        pump_fetch(pump, slot, NULL);
        break;
    case PLAN_BASE:
        pump_fetch(pump, slot, &item->expected);
        break;
    case PLAN_VERIFY:
    case PLAN_AUDIT:
        slot->conditional = true;
        slot->from_medium = true;
        slot->expected = item->expected;
        pump_start(pump, slot, item->action == PLAN_VERIFY ? SLOT_VERIFYING : SLOT_EXAMINING,
                   SIDE_EXAMINE);
        break;
    case PLAN_CHECK:
        slot->from_medium = true; /* a good copy in the cache says nothing of what is below */
        pump_start(pump, slot, SLOT_EXAMINING, SIDE_EXAMINE);
        break;
    case PLAN_ERASE:
        pump_start(pump, slot, SLOT_ERASING, SIDE_ERASE);
        break;
    case PLAN_MAP:
        pump_start(pump, slot, SLOT_MAPPING, SIDE_MAP);
        break;
    case PLAN_RECALL:
        slot->length = PLAN_RECALL_MAX * (uint32_t)sizeof(struct journal_entry);
        pump_start(pump, slot, SLOT_RECALLING, SIDE_RECALL);
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
        pump_start(pump, slot, SLOT_KEEPING, SIDE_KEEP);
        return;
    }
    plan_kept(life_of(slot)->plan, &slot->item, &slot->digest);
    if (slot->item.action != PLAN_AUDIT) /* was counted as durable from the start */
        pump_settled(slot, slot->length);
    pump_free(pump, slot);
}

static void pump_mismatch(const struct slot *slot)
{
    ERROR_UNSET(cause);
    error_set_class(&cause, ERROR_MISMATCH, EBADMSG,
                    "%s: bytes %llu to %llu read back differently from what was written",
                    slot->job->target_path, (unsigned long long)slot->offset,
                    (unsigned long long)(slot->offset + slot->length - 1));
    life_note_failure(life_of(slot), -EBADMSG, &cause, false);
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
        plan_differs(life_of(slot)->plan, &slot->item, &slot->item.expected);
        pump_free(pump, slot);
    } else if (control_wait_ns(pump->control) > 0) {
        slot->state = SLOT_HOLDING;
    } else {
        slot->sparing =
            slot->blocks && whole && !slot->matched; /* else it has no digests of them */
        pump_fetch(pump, slot, whole ? &have : NULL);
    }
}

/* What could be read of the chunk is at the target; what could not is told, and left open. */
static void pump_left_out(struct pump *pump, struct slot *slot, uint32_t written)
{
    uint32_t start, end = 0;
    while (blocks_next_missing(slot->set, slot->length, end, &start, &end))
        life_unreadable(life_of(slot), slot->offset + start, slot->offset + end);
    plan_broken(life_of(slot)->plan, &slot->item, slot->set, written);
    pump_settled(slot, blocks_bytes(slot->set, slot->length));
    pump_free(pump, slot);
}

/* A chunk before this one is still to come: items are yielded in order, so a slot has it. */
static bool pump_has_earlier(const struct pump *pump, const struct slot *slot)
{
    for (uint32_t i = 0; i < pump->slots_count; i++) {
        const struct slot *other = &pump->slots[i];
        bool coming = other->state == SLOT_EXAMINING || other->state == SLOT_HOLDING ||
                      other->state == SLOT_FETCHING || other->state == SLOT_ASKING ||
                      other->state == SLOT_DIFFERING || other->state == SLOT_ORDERING;
        if (coming && other->job == slot->job && other->item.chunk < slot->item.chunk)
            return true;
    }
    return false;
}

/* The source's chunk is in the buffer: into the digest of the whole, when it is its turn. What lies
 * between it and the one before are holes. */
static bool pump_digest(struct pump *pump, struct slot *slot)
{
    struct whole *whole = life_of(slot)->whole;
    if (!whole)
        return true;
    if (pump_has_earlier(pump, slot) || !whole_fill(whole, slot->offset))
        return false;
    whole_add(whole, slot->buffer, slot->length);
    return true;
}

/* It is at hand: the target has it, too, or gets it. */
static void pump_hand_on(struct pump *pump, struct slot *slot)
{
    if (!pump_digest(pump, slot))
        slot->state = SLOT_ORDERING;
    else if (slot->op == SIDE_FETCH && slot->conditional && slot->matched)
        pump_kept(pump, slot);
    else
        pump_start(pump, slot, SLOT_STORING, SIDE_STORE);
}

/* It is with no side. true: it goes on, or not at all. */
static bool pump_go_on(struct pump *pump, struct slot *slot)
{
    if (life_of(slot)->result < 0) {
        plan_returned(life_of(slot)->plan, &slot->item);
        pump_free(pump, slot);
        return true;
    }
    if (slot->state == SLOT_HOLDING) {
        pump_examined(pump, slot);
        return slot->state != SLOT_HOLDING;
    }
    if (pump_has_earlier(pump, slot))
        return false;
    pump_hand_on(pump, slot);
    return true;
}

/* Those whose turn has come, or will never. true: there was one, or zeros were digested. */
static bool pump_order(struct pump *pump)
{
    bool moved = false;
    for (uint32_t i = 0; i < pump->slots_count; i++) {
        struct slot *slot = &pump->slots[i];
        if (slot->state == SLOT_ORDERING || slot->state == SLOT_HOLDING)
            moved |= pump_go_on(pump, slot);
    }
    return moved;
}

/* It is another chunk than the target has: of which blocks, only that knows. */
static void pump_examine(struct pump *pump, struct slot *slot)
{
    struct plan_item item = slot->item;
    item.action = PLAN_CHECK;
    pump_begin(pump, slot, life_of(slot), &item);
}

/* Fetched: the same as the target has, or to be stored; or only to be told. */
static void pump_fetched(struct pump *pump, struct slot *slot)
{
    if (life_pipes(life_of(slot), SIDE_SOURCE) && !pump_arrived(pump, slot))
        return;
    bool there = slot->conditional && slot->matched;
    if (slot->broken && (there || blocks_bytes(slot->set, slot->length) == 0)) {
        pump_left_out(pump, slot, 0);
    } else if (there) {
        pump_hand_on(pump, slot);
    } else if (slot->job->wish.compare_only) {
        plan_differs(life_of(slot)->plan, &slot->item, &slot->digest);
        pump_free(pump, slot);
    } else if (slot->item.action == PLAN_BASE && !slot->broken) {
        pump_examine(pump, slot);
    } else if (slot->sparing && !slot->broken) {
        slot->item.expected = slot->digest;
        pump_start(pump, slot, SLOT_ASKING, SIDE_BLOCKS);
    } else {
        pump_hand_on(pump, slot);
    }
}

static uint32_t pump_written(const struct slot *slot)
{
    return slot->partial || slot->broken ? blocks_bytes(slot->set, slot->length) : slot->length;
}

static void pump_stored(struct pump *pump, struct slot *slot)
{
    if (slot->broken) {
        pump_left_out(pump, slot, pump_written(slot));
        return;
    }
    plan_copied(life_of(slot)->plan, &slot->item, &slot->digest, pump_written(slot));
    pump_settled(slot, slot->length);
    pump_free(pump, slot);
}

/* A slot came back from a side and its operation succeeded: what next? */
static void pump_advance(struct pump *pump, struct slot *slot)
{
    struct plan *plan = life_of(slot)->plan;
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
    case SLOT_ASKING:
        slot->digest = slot->item.expected; /* the source's */
        pump_start(pump, slot, SLOT_DIFFERING, SIDE_DIFFER);
        break;
    case SLOT_DIFFERING:
        pump_hand_on(pump, slot);
        break;
    case SLOT_STORING:
        pump_stored(pump, slot);
        break;
    case SLOT_ERASING:
        plan_erased(plan, &slot->item);
        pump_free(pump, slot);
        break;
    case SLOT_VERIFYING:
        plan_verified(plan, &slot->item);
        if (!slot->matched)
            pump_mismatch(slot);
        pump_free(pump, slot);
        break;
    case SLOT_SYNCING:
        pump_sync_ended(life_of(slot), true);
        pump_free(pump, slot);
        break;
    case SLOT_CANCELLING:
        pump_free(pump, slot);
        break;
    case SLOT_FREE:
    case SLOT_HOLDING:
    case SLOT_ORDERING:
    case SLOT_PRESSING:
    case SLOT_STEPPING:
    case SLOT_LENT:
    case SLOT_LOST:
        assert(false && "a slot came back that moves no chunk");
    }
}

/* ---- a file's steps ---- */

static bool pump_needs_buffers(const struct life *life)
{
    return life->want == LIFE_WANTS_BUFFER || life->want == LIFE_WANTS_WHOLE;
}

static bool pump_keeps_buffers(const struct life *life)
{
    return pump_needs_buffers(life) || life->errand;
}

static int pump_buffers_count(const struct life *life)
{
    return life->kind == LIFE_CALL || life->want == LIFE_WANTS_WHOLE ? 1 : 2;
}

static bool pump_has_buffers(const struct life *life)
{
    return life->buffers[pump_buffers_count(life) - 1];
}

static void pump_take_back(struct life *life)
{
    for (int i = 0; i < 2; i++) {
        struct slot *slot = life->buffers[i];
        life->buffers[i] = NULL;
        if (!slot || slot->state != SLOT_LENT)
            continue;
        slot->state = SLOT_FREE;
        pocket_give_back(slot);
    }
}

/* A later file that has one of two gives it to this one: else each could wait for the other's. */
static void pump_claim(struct life *first)
{
    for (struct life *life = first->next; life; life = life->next) {
        if (pump_needs_buffers(life) && !pump_has_buffers(life))
            pump_take_back(life);
    }
}

/* A small file that is so small, as is known or guessed, goes in a pocket: over a long line as many
 * are under way as there are buffers for, and where both sides are here more than have a thread. */
static struct slot *pump_pocket(struct pump *pump, const struct life *life)
{
    uint32_t carries_count = (uint32_t)control_share(pump->control, pump->carries_count, 1);
    if (life->op == SIDE_CARRY)
        return pump_find(pump, pump->slots_count, carries_count);
    struct slot *slot = pump->pockets ? pump_control(pump) : NULL;
    if (!slot)
        return NULL;
    pockets_offer(pump->pockets, slot);
    if ((life->op == SIDE_TAKE && pump->source_lends) || pocket_lend(slot))
        return slot;
    pocket_give_back(slot);
    return NULL;
}

/* The bytes of a small file, all in one. */
static bool pump_takes(enum side_op op)
{
    return op == SIDE_TAKE || op == SIDE_CARRY;
}

/* Two slots with buffers for the files that need them, one for a call or a small file, the first
 * one first, so that no two of them wait for each other; who has them goes on. false: they have to
 * be waited for. */
static bool pump_lend(struct pump *pump, struct life *life)
{
    int count = pump_buffers_count(life);
    bool fits = life->want == LIFE_WANTS_WHOLE && life_fits_pocket(life);
    if (pump_takes(life->op) && control_wait_ns(pump->control) > 0)
        return false;
    if (count == 2)
        pump_claim(life);
    for (int i = 0; i < count; i++) {
        if (life->buffers[i])
            continue;
        life->buffers[i] = fits ? pump_pocket(pump, life) : NULL;
        if (!life->buffers[i] && !(fits && pump->pockets)) /* where there are some it waits */
            life->buffers[i] = pump_find(pump, 0, pump_own_count(pump));
        if (!life->buffers[i])
            return false;
        life->buffers[i]->state = SLOT_LENT;
    }
    return true;
}

/* A CARRY's, without a buffer, which leaves nothing in it. */
static bool pump_is_bare(const struct slot *slot)
{
    return slot && !slot->buffer;
}

static bool pump_commits(enum side_op op)
{
    return op == SIDE_COMMIT || op == SIDE_DELIVER;
}

static void pump_step(struct pump *pump, struct life *life, struct slot *slot)
{
    life_prepare(life, slot);
    if (pump_takes(life->op)) {
        life->spent_bytes = life_guess_bytes(life);
        control_spend(pump->control, life->spent_bytes);
    }
    if (life->op == SIDE_SYNC)
        pump_sync_begun(life);
    if (pump_commits(life->op))
        pump->pressed = false;
    pump_start(pump, slot, SLOT_STEPPING, life->op);
}

/* Small files that are with a side have nothing to do but to wait: nobody looks at them. */
static void pump_send_away(struct pump *pump, struct life *life)
{
    list_take(&pump->lives, life);
    list_put(&pump->away, life);
    pump->away_count++;
    life->away = true;
    life->batched = life_is_batched(life);
    pump->batched_count += life->batched;
}

static void pump_bring_back(struct pump *pump, struct life *life)
{
    if (!life->away)
        return;
    pump->batched_count -= life->batched;
    life->away = life->batched = false;
    pump->away_count--;
    list_take(&pump->away, life);
    list_put(&pump->lives, life);
}

/* Of these hundreds wait for one of some dozens of buffers: in a row of their own, so that nobody
 * looks at all of them again and again. */
static bool pump_lines_up(const struct life *life)
{
    return life->want == LIFE_WANTS_WHOLE && !pump_has_buffers(life) && life_fits_pocket(life);
}

static void pump_line_up(struct pump *pump, struct life *life)
{
    list_take(&pump->lives, life);
    list_put(&pump->row, life);
    pump->row_count++;
}

static void pump_leave_row(struct pump *pump, struct life *life)
{
    list_take(&pump->row, life);
    list_put(&pump->lives, life);
    pump->row_count--;
}

/* The first one first. */
static void pump_serve_row(struct pump *pump)
{
    struct life *life;
    while ((life = pump->row.first) && pump_lend(pump, life)) {
        pump_leave_row(pump, life);
        pump_step(pump, life, life->buffers[0]);
        if (life_is_away(life))
            pump_send_away(pump, life);
    }
}

static void pump_steps(struct pump *pump)
{
    bool lending = true;
    struct life *next;
    for (struct life *life = pump->lives.first; life; life = next) {
        struct slot *slot = NULL;
        next = life->next;
        if (pump_lines_up(life)) {
            pump_line_up(pump, life);
            continue;
        }
        if (life->want == LIFE_WANTS_STEP)
            slot = pump_control(pump);
        else if (pump_needs_buffers(life) &&
                 (pump_has_buffers(life) || (lending && (lending = pump_lend(pump, life)))))
            slot = life->buffers[0];
        if (slot)
            pump_step(pump, life, slot);
        if (life_is_away(life))
            pump_send_away(pump, life);
    }
    pump_serve_row(pump);
}

static void pump_stepped(struct pump *pump, struct slot *slot)
{
    struct life *life = life_of(slot);
    bool lost = pump->sides[life->role]->broken;
    if (pump_takes(slot->op))
        control_spend(pump->control,
                      (int64_t)(slot->result == 0 ? slot->count : 0) - (int64_t)life->spent_bytes);
    if (slot->op == SIDE_SYNC)
        pump_sync_ended(life, slot->result == 0);
    pump_free(pump, slot);
    if (slot == life->buffers[0])
        slot->state = SLOT_LENT;
    if (pump_commits(slot->op))
        pump->pressed = false;
    pump_bring_back(pump, life);
    life_returned(life, slot, lost);
    if (pump_is_bare(life->buffers[0]) || !pump_keeps_buffers(life))
        pump_take_back(life);
}

/* Small files that are at the target become durable together, once there are enough of them: or
 * when all that could come is there, which only we know. Not before what has come back makes room
 * for others: while nothing happens. */
static void pump_press(struct pump *pump)
{
    const struct life *one = pump->away_count == pump->batched_count ? pump->away.first : NULL;
    if (pump->row.first)
        one = NULL;
    for (const struct life *life = pump->lives.first; life && one; life = life->next) {
        if (life->state != LIFE_WAITING)
            one = NULL;
    }
    struct slot *slot = one && !pump->pressed ? pump_control(pump) : NULL;
    if (!slot)
        return;
    pump->pressed = true;
    pump->pressing = one->job;
    pump->pressing.source_path = pump->pressing.target_path = ""; /* they are not ours */
    slot->job = &pump->pressing;
    slot->offset = 0;
    slot->length = 0;
    pump_start(pump, slot, SLOT_PRESSING, SIDE_PRESS);
}

/* ---- the loop ---- */

/* What is not done again after a link was lost. */
static bool pump_makes(enum side_op op)
{
    return op == SIDE_SYNC || pump_commits(op) || op == SIDE_MAKE || op == SIDE_REMOVE;
}

/* After a failure a slot goes no further: what it did is not counted, its item is somebody else's.
 */
static void pump_returned(struct pump *pump, struct slot *slot)
{
    struct life *life = life_of(slot);
    if (slot->state == SLOT_PRESSING) { /* what comes of the files themselves is what counts */
        pump_free(pump, slot);
        return;
    }
    if (slot->result < 0 && life->result == 0)
        life->lost = pump->sides[pump_role(slot)]->lost;
    pump->made_count += slot->result == 0 && pump_makes(slot->op);
    if (slot->state == SLOT_STEPPING) {
        pump_stepped(pump, slot);
        return;
    }
    if (slot->op == SIDE_ERASE && slot->result == -EOPNOTSUPP && side_erases_many(slot)) {
        plan_erases_alone(life->plan, &slot->item);
        pump_free(pump, slot);
        return;
    }
    if (slot->result < 0)
        life_note_failure(life, slot->result, slot->error, pump->sides[pump_role(slot)]->broken);
    bool half = slot->state == SLOT_FETCHING || slot->state == SLOT_EXAMINING ||
                slot->state == SLOT_ASKING || slot->state == SLOT_DIFFERING;
    bool done = slot->result == 0 && !half;
    if (life->result == 0 || done) {
        pump_advance(pump, slot);
        return;
    }
    if (slot->state == SLOT_SYNCING)
        pump_sync_ended(life, false);
    else if (slot->state != SLOT_CANCELLING)
        plan_returned(life->plan, &slot->item);
    pump_free(pump, slot);
}

/* Its engine gives nothing back any more: what it has is lost until it is closed. */
static void pump_lose(struct pump *pump, enum side_role role, int result)
{
    pump->broken[role] = pump->sides[role]->broken = true;
    for (uint32_t i = 0; i < pump->slots_count + pump->control_count; i++) {
        struct slot *slot = &pump->slots[i];
        bool there = slot->state != SLOT_FREE && slot->state != SLOT_LENT &&
                     slot->state != SLOT_ORDERING && slot->state != SLOT_HOLDING &&
                     slot->state != SLOT_LOST && pump_role(slot) == role;
        if (!there)
            continue;
        slot->result = result;
        *slot->error = pump->sides[role]->error;
        pump_returned(pump, slot);
        slot->state = SLOT_LOST;
    }
}

static int pump_reap(struct pump *pump, enum side_role role, bool wait)
{
    struct slot *done[PUMP_REAP_MAX];
    if (pump->broken[role])
        return 0;
    int count = side_reap(pump->sides[role], done, PUMP_REAP_MAX, wait);
    if (count < 0)
        pump_lose(pump, role, count);
    for (int i = 0; i < count; i++)
        pump_returned(pump, done[i]);
    return count;
}

/* false: nothing for this file now. */
static bool pump_fill_slot(struct pump *pump, struct slot *slot, struct life *life)
{
    struct plan_item item;
    if (life->want != LIFE_WANTS_CHUNKS || life->result < 0)
        return false;
    /* The sync under way is slower than the copy: wait for it before the notes overflow. */
    if (life->sync.chunks_count + life->slots_count >= PUMP_UNSYNCED_MAX - 1 &&
        life->sync.under_way)
        return false;
    enum plan_answer answer = pump->retired ? PLAN_END : plan_next(life->plan, &item);
    life->plan_ended = answer == PLAN_END;
    if (answer != PLAN_ITEM)
        return false;
    pump_begin(pump, slot, life, &item);
    return true;
}

/* The file that came first has the first claim, so that files end one by one, and what is
 * interrupted is not a little of each. */
static bool pump_fill_next(struct pump *pump, struct slot *slot)
{
    for (struct life *life = pump->lives.first; life; life = life->next) {
        if (pump_fill_slot(pump, slot, life))
            return true;
    }
    return false;
}

static void pump_fill(struct pump *pump)
{
    for (uint32_t i = 0; pump->lives.first && i < pump_own_count(pump); i++) {
        struct slot *slot = &pump->slots[i];
        if (slot->state != SLOT_FREE)
            continue;
        if (control_wait_ns(pump->control) > 0 || !pump_fill_next(pump, slot))
            return;
    }
}

void pump_add(struct pump *pump, struct life *life)
{
    list_put(&pump->lives, life);
}

void pump_remove(struct pump *pump, struct life *life)
{
    assert(life->slots_count == 0 && !life->buffers[0] && !life->away);
    list_take(&pump->lives, life);
}

bool pump_is_empty(const struct pump *pump)
{
    return !pump->lives.first && !pump->row.first && !pump->away.first && pump->busy_count == 0;
}

/* A hole at its end. false: not all of it yet. */
static bool pump_digest_end(const struct life *life)
{
    return !life->whole || whole_fill(life->whole, plan_size(life->plan));
}

/* Files that have all their chunks, and those that have ended. true: there was one. */
static bool pump_look(struct pump *pump)
{
    bool moved = false;
    struct life *next;
    for (struct life *life = pump->lives.first; life; life = next) {
        next = life->next;
        if (errand_done(life->errand)) {
            life_errand_ended(life);
            if (!pump_keeps_buffers(life))
                pump_take_back(life);
            moved = true;
        }
        if (life->state == LIFE_COPYING)
            life_feed(life);
        if (life->state == LIFE_COPYING && life->slots_count == 0 &&
            (life->plan_ended || life->result < 0)) {
            if (life->result < 0 || pump_digest_end(life))
                life_copied(life);
            moved = true;
        }
        if (life_ended(life)) {
            pump_remove(pump, life);
            life->admitted = false;
            if (life->bin) {
                life->next = *life->bin;
                *life->bin = life;
            }
            moved = true;
        }
    }
    return moved;
}

/* Also those that wait for a buffer: it may be long until one has its turn. */
static void pump_interrupt(struct pump *pump)
{
    while (pump->row.first)
        pump_leave_row(pump, pump->row.first);
    for (struct life *life = pump->lives.first; life; life = life->next)
        life_interrupt(life);
}

bool pump_turn(struct pump *pump)
{
    if (pump->control->stop)
        pump_interrupt(pump);
    pump_share(pump);
    pump_steps(pump);
    bool ordered = pump_order(pump); /* what --bwlimit has held comes before what is new */
    pump_fill(pump);
    for (struct life *life = pump->lives.first; life; life = life->next) {
        pump_checkpoint(pump, life);
        pump_cancel(pump, life);
    }
    int count = pump_reap(pump, SIDE_SOURCE, false);
    int more = pump_reap(pump, SIDE_TARGET, false);
    bool moved = pump_look(pump) || count != 0 || more != 0 || ordered;
    if (!moved)
        pump_press(pump);
    return moved;
}

static uint64_t pump_wait_ns(const struct pump *pump)
{
    uint64_t wait_ns = PUMP_WAIT_MS_MAX * NS_PER_MS, held_ns = control_wait_ns(pump->control);
    if (held_ns > 0)
        wait_ns = min_u64(wait_ns, held_ns);
    /* Another lane has the last chunks, or an errand is run; no descriptor tells when it is done.
     */
    if (pump->busy_count == 0 && (pump->lives.first || pump->row.first))
        wait_ns = min_u64(wait_ns, PUMP_IDLE_MS * NS_PER_MS);
    return wait_ns;
}

/* Wait for either side, never for one after the other. A side without a descriptor does its work in
 * reap. */
void pump_wait(struct pump *const *pumps, uint32_t count)
{
    struct pollfd polls[PUMP_POLLS_MAX];
    nfds_t polls_count = 0;
    uint64_t wait_ns = PUMP_WAIT_MS_MAX * NS_PER_MS;
    assert(2 * count <= PUMP_POLLS_MAX);
    for (uint32_t i = 0; i < 2 * count; i++) {
        struct pump *pump = pumps[i / 2];
        enum side_role role = i % 2 == 0 ? SIDE_SOURCE : SIDE_TARGET;
        wait_ns = min_u64(wait_ns, pump_wait_ns(pump));
        if (pump->sides[role]->inflight == 0 || pump->broken[role])
            continue;
        int fd = side_wait_fd(pump->sides[role], &polls[polls_count].events);
        if (fd < 0) {
            pump_reap(pump, role, true);
            return;
        }
        polls[polls_count++].fd = fd;
    }
    (void)poll(polls, polls_count, (int)div_ceil(wait_ns, NS_PER_MS));
}
