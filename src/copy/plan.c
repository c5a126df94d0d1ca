/* plan.c - what to do next with one file. Walks the chunks in order, asks for the source's holes
 * where it has any, keeps verification a few chunks behind the writer, and folds the digests in
 * order although chunks end in any. */
#include "haul/copy/plan.h"

#include "haul/base/log.h"
#include "haul/base/num.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PLAN_RETURNED_MAX = 256 };
/* Chunks of a hole that are counted in one call, some 0.1 s: a peer is to be answered, and its
 * silence noticed, however large the source is, or says that it is. */
enum { PLAN_HOLES_MAX = 1024 * 1024 };

/* A chunk's digest that waits for its predecessors. */
struct plan_digest {
    bool present;
    bool differs;
    struct digest digest;
};

struct plan_stored {
    uint64_t chunk;
    struct digest digest;
};

struct plan {
    pthread_mutex_t lock;
    struct plan_config config;
    struct progress *progress;
    const struct control *control;
    uint64_t first_chunk, end_chunk; /* end: behind the last one */
    uint64_t next_chunk;

    /* The data extent found last; everything before its end is known. */
    uint64_t extent_start, extent_end;
    bool map_pending;
    bool erases_alone; /* the target cannot erase several chunks at once */
    bool cancelled;

    uint32_t outstanding; /* items yielded and not ended */

    uint64_t arrived_bytes; /* of a pipe: the end of the last chunk of which something came */

    struct plan_item *returned;
    uint32_t returned_count;

    struct plan_stored *stored; /* ring: written, not read back yet */
    uint32_t stored_first, stored_count;

    /* Resume: bit i of `listed`: chunk i is in the journal; of `audited`: its audit has been
     * yielded. */
    uint8_t *listed, *audited;
    struct journal_entry *recalled; /* entries to be audited */
    uint32_t recalled_first, recalled_count;
    uint64_t recall_next;
    bool recall_pending, recall_ended;
    uint64_t listed_count, audited_count;
    uint64_t forgotten_next; /* all listed chunks before it are audited */
    bool audit_turn;         /* old and new chunks take turns */

    struct journal_entry *base; /* the target's chunks as they were told; NULL: they are not */
    uint32_t base_first, base_count;
    bool base_wanted, base_ended;

    uint64_t done_chunks;
    uint64_t broken_chunks;      /* of them */
    struct plan_digest *waiting; /* ring over chunk % reorder_count */
    uint32_t reorder_count;
    uint64_t folded_chunks;
    struct digest_fold *fold;
    uint64_t differs_start, differs_end; /* compare only: the range under way */
};

/* A bit for each chunk. More of them than this machine can address are no memory either. */
static uint8_t *plan_bits(uint64_t chunks_count)
{
    return chunks_count / 8 < PTRDIFF_MAX ? calloc(1, (size_t)(chunks_count / 8) + 1) : NULL;
}

/* As much as the file's chunks can ever need: for a small one that is next to nothing. */
static bool plan_make_room(struct plan *plan)
{
    const struct plan_config *config = &plan->config;
    uint64_t chunks_count = max_u64(plan->end_chunk - plan->first_chunk, 1);
    plan->reorder_count = (uint32_t)min_u64(chunks_count, PLAN_REORDER);
    plan->fold = digest_fold_open();
    plan->waiting = calloc(plan->reorder_count, sizeof(*plan->waiting));
    plan->returned =
        calloc((size_t)min_u64(chunks_count, PLAN_RETURNED_MAX), sizeof(*plan->returned));
    if (config->verify)
        plan->stored = calloc(PLAN_VERIFY_MAX, sizeof(*plan->stored));
    if (config->resume) {
        plan->recalled = calloc(PLAN_RECALL_MAX, sizeof(*plan->recalled));
        plan->listed = plan_bits(plan->end_chunk);
        plan->audited = plan_bits(plan->end_chunk);
    }
    return plan->fold && plan->waiting && plan->returned && (!config->verify || plan->stored) &&
           (!config->resume || (plan->recalled && plan->listed && plan->audited));
}

int plan_open(struct plan **out, const struct plan_config *config, struct progress *progress,
              const struct control *control, struct error *err)
{
    assert(is_power_of_two(config->chunk_bytes));
    assert(config->verify_lag < PLAN_VERIFY_MAX / 2);
    struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the plan");
    pthread_mutex_init(&plan->lock, NULL);
    plan->config = *config;
    plan->progress = progress;
    plan->control = control;
    assert(config->start_bytes == 0 || config->start_bytes < config->size_bytes);
    plan->first_chunk = plan->next_chunk = plan->folded_chunks =
        config->start_bytes / config->chunk_bytes;
    plan->end_chunk = div_ceil(config->size_bytes, config->chunk_bytes);
    if (!plan_make_room(plan)) {
        plan_close(plan);
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the plan");
    }
    if (!config->sparse)
        plan->extent_end = config->size_bytes;
    *out = plan;
    return 0;
}

void plan_close(struct plan *plan)
{
    if (!plan)
        return;
    digest_fold_close(plan->fold);
    free(plan->listed);
    free(plan->audited);
    free(plan->base);
    free(plan->recalled);
    free(plan->stored);
    free(plan->returned);
    free(plan->waiting);
    pthread_mutex_destroy(&plan->lock);
    free(plan);
}

static uint64_t plan_offset(const struct plan *plan, uint64_t chunk)
{
    return max_u64(chunk * plan->config.chunk_bytes, plan->config.start_bytes);
}

static uint32_t plan_length(const struct plan *plan, uint64_t chunk)
{
    uint64_t offset = plan_offset(plan, chunk);
    uint64_t end = chunk * plan->config.chunk_bytes + plan->config.chunk_bytes;
    assert(offset < plan->config.size_bytes);
    return num_u32(min_u64(end, plan->config.size_bytes) - offset);
}

static void plan_item_set(const struct plan *plan, struct plan_item *item, enum plan_action action,
                          uint64_t chunk)
{
    *item = (struct plan_item){
        .action = (uint8_t)action,
        .chunk = chunk,
        .offset = plan_offset(plan, chunk),
        .length = plan_length(plan, chunk),
    };
}

static bool bit_is_set(const uint8_t *bits, uint64_t index)
{
    return bits[index / 8] >> (index % 8) & 1;
}

static void bit_set(uint8_t *bits, uint64_t index)
{
    bits[index / 8] = (uint8_t)(bits[index / 8] | 1u << (index % 8));
}

static void plan_tell_difference(struct plan *plan)
{
    if (plan->differs_end > plan->differs_start && plan->config.compare_only[0])
        log_range(LOG_DIFFERS, plan->config.compare_only, plan->differs_start,
                  plan->differs_end - plan->differs_start);
    plan->differs_start = plan->differs_end = 0;
}

/* The next chunk in order, while ranges that differ are put together. */
static void plan_fold(struct plan *plan, const struct plan_digest *next)
{
    uint64_t offset = plan_offset(plan, plan->folded_chunks);
    digest_fold_add(plan->fold, &next->digest);
    if (next->differs && plan->differs_end == plan->differs_start)
        plan->differs_start = offset;
    if (next->differs)
        plan->differs_end = offset + plan_length(plan, plan->folded_chunks);
    plan->folded_chunks++;
    if (!next->differs || plan->folded_chunks == plan->end_chunk)
        plan_tell_difference(plan);
}

/* A chunk is done. Its digest joins the fold as soon as all before it have; a resumed file's chunks
 * end in no order, and its digests are all in the journal at the end. */
static void plan_done(struct plan *plan, uint64_t chunk, const struct digest *digest, bool differs)
{
    plan->done_chunks++;
    assert(plan->done_chunks <= plan->end_chunk - plan->first_chunk);
    if (plan->config.resume && !plan->config.compare_only)
        return;
    struct plan_digest *place = &plan->waiting[chunk % plan->reorder_count];
    assert(chunk >= plan->folded_chunks && chunk - plan->folded_chunks < plan->reorder_count);
    assert(!place->present);
    *place = (struct plan_digest){.present = true, .differs = differs, .digest = *digest};
    for (;;) {
        place = &plan->waiting[plan->folded_chunks % plan->reorder_count];
        if (!place->present)
            break;
        place->present = false;
        plan_fold(plan, place);
    }
}

/* The next chunk's place among the source's data. */
enum plan_place { PLACE_UNKNOWN, PLACE_DATA, PLACE_HOLE };

static enum plan_place plan_place(const struct plan *plan, uint64_t chunk)
{
    uint64_t start = plan_offset(plan, chunk);
    uint64_t end = start + plan_length(plan, chunk);
    if (start < plan->extent_end && end > plan->extent_start)
        return PLACE_DATA;
    return end <= plan->extent_start ? PLACE_HOLE : PLACE_UNKNOWN;
}

static enum plan_answer plan_verify_item(struct plan *plan, struct plan_item *item)
{
    const struct plan_stored *stored = &plan->stored[plan->stored_first];
    plan_item_set(plan, item, PLAN_VERIFY, stored->chunk);
    item->expected = stored->digest;
    plan->stored_first = (plan->stored_first + 1) % PLAN_VERIFY_MAX;
    plan->stored_count--;
    plan->outstanding++;
    return PLAN_ITEM;
}

static void plan_hole(struct plan *plan, uint64_t chunk)
{
    uint32_t length = plan_length(plan, chunk);
    struct digest zeros = digest_of_zeros(length);
    plan_done(plan, chunk, &zeros, false);
    plan->progress->bytes_holes += length;
}

static enum plan_answer plan_map_item(struct plan *plan, struct plan_item *item)
{
    if (plan->map_pending)
        return PLAN_LATER;
    plan->map_pending = true;
    plan_item_set(plan, item, PLAN_MAP, plan->next_chunk);
    plan->outstanding++;
    return PLAN_ITEM;
}

static bool plan_is_old(const struct plan *plan, uint64_t chunk)
{
    return plan_offset(plan, chunk) < plan->config.compare_bytes;
}

static bool plan_is_blank(const struct plan *plan, uint64_t chunk)
{
    return plan->config.blank && !plan_is_old(plan, chunk);
}

/* The audit's, not ours. */
static bool plan_is_listed(const struct plan *plan, uint64_t chunk)
{
    return plan->listed && bit_is_set(plan->listed, chunk);
}

static bool plan_is_far_ahead(const struct plan *plan, uint64_t chunk)
{
    return !plan->config.resume && chunk >= plan->folded_chunks + plan->reorder_count;
}

/* What is told of a chunk goes to *item. false: it may be told yet. */
static bool plan_base_of(struct plan *plan, uint64_t chunk, struct plan_item *item)
{
    const struct journal_entry *entry = NULL;
    while (plan->base_first < plan->base_count && plan->base[plan->base_first].chunk < chunk)
        plan->base_first++;
    if (plan->base_first < plan->base_count)
        entry = &plan->base[plan->base_first];
    plan->base_wanted = !entry && !plan->base_ended;
    if (!entry || entry->chunk != chunk)
        return !plan->base_wanted;
    item->action = PLAN_BASE;
    item->expected = entry->digest;
    return true;
}

/* What follows and has to be erased, too. */
static void plan_erase_more(struct plan *plan, struct plan_item *item)
{
    while (!plan->erases_alone && plan->next_chunk < plan->end_chunk) {
        uint64_t chunk = plan->next_chunk;
        if (plan_place(plan, chunk) != PLACE_HOLE || plan_is_blank(plan, chunk) ||
            plan_is_listed(plan, chunk) || plan_is_far_ahead(plan, chunk) ||
            plan_length(plan, chunk) > SIDE_ERASE_BYTES_MAX - item->length)
            break;
        item->length += plan_length(plan, chunk);
        plan->next_chunk++;
    }
}

static enum plan_answer plan_chunk_item(struct plan *plan, struct plan_item *item)
{
    uint32_t holes_count = 0;
    while (plan->next_chunk < plan->end_chunk) {
        uint64_t chunk = plan->next_chunk;
        if (plan_is_listed(plan, chunk)) {
            plan->next_chunk++;
            continue;
        }
        if (plan_is_far_ahead(plan, chunk))
            return PLAN_LATER;
        if (plan->control->stop) /* the next item may be hours of holes away */
            return PLAN_LATER;
        enum plan_place place = plan_place(plan, chunk);
        if (place == PLACE_UNKNOWN)
            return plan_map_item(plan, item);
        if (holes_count == PLAN_HOLES_MAX)
            return PLAN_LATER;
        bool check = plan_is_old(plan, chunk) && !plan->config.rewrite;
        plan_item_set(plan, item,
                      place == PLACE_HOLE ? PLAN_ERASE
                      : check             ? PLAN_CHECK
                                          : PLAN_COPY,
                      chunk);
        if (item->action == PLAN_CHECK && plan->base && !plan_base_of(plan, chunk, item))
            return PLAN_LATER;
        plan->next_chunk++;
        bool blank = plan_is_blank(plan, chunk);
        if (place == PLACE_HOLE && blank) {
            plan_hole(plan, chunk);
            holes_count++;
            continue;
        }
        item->blank = blank;
        if (place == PLACE_HOLE)
            plan_erase_more(plan, item);
        plan->outstanding++;
        return PLAN_ITEM;
    }
    return PLAN_END;
}

static void plan_audit_begin(struct plan *plan, struct plan_item *item, uint64_t chunk)
{
    plan->audited_count++;
    bit_set(plan->audited, chunk);
    plan_item_set(plan, item, PLAN_AUDIT, chunk);
    if (plan->next_chunk == plan->end_chunk &&
        !plan->config.compare_only) /* nothing new is left to copy */
        plan->progress->phase = PHASE_AUDITING;
    plan->outstanding++;
}

/* What the journal listed at first and not when it was read again: it was damaged in between, or
 * the other side is. Nobody knows a digest of it now, so the source decides. */
static enum plan_answer plan_forgotten_item(struct plan *plan, struct plan_item *item)
{
    while (plan->audited_count < plan->listed_count && plan->forgotten_next < plan->end_chunk) {
        uint64_t chunk = plan->forgotten_next++;
        if (!bit_is_set(plan->listed, chunk) || bit_is_set(plan->audited, chunk))
            continue;
        plan_audit_begin(plan, item, chunk);
        item->against_source = true;
        return PLAN_ITEM;
    }
    return PLAN_END;
}

/* The old part of a resumed file: its chunks are taken from the journal, a bufferful at a time. */
static enum plan_answer plan_audit_item(struct plan *plan, struct plan_item *item)
{
    while (plan->recalled_count > 0) {
        const struct journal_entry *entry = &plan->recalled[plan->recalled_first];
        plan->recalled_first++;
        plan->recalled_count--;
        if (bit_is_set(plan->audited, entry->chunk))
            continue; /* listed twice: it was repaired once */
        if (plan->config.compare_only && entry->chunk != plan->audited_count)
            continue; /* a manifest lists all in order, or it will not come out complete */
        plan_audit_begin(plan, item, entry->chunk);
        item->expected = entry->digest;
        item->against_source = plan->config.against_source;
        return PLAN_ITEM;
    }
    if (!plan->config.resume || plan->config.trust)
        return PLAN_END;
    if (plan->recall_ended) /* a manifest has no source behind it */
        return plan->config.compare_only ? PLAN_END : plan_forgotten_item(plan, item);
    if (plan->recall_pending)
        return PLAN_LATER;
    plan->recall_pending = true;
    *item = (struct plan_item){.action = PLAN_RECALL, .offset = plan->recall_next};
    plan->outstanding++;
    return PLAN_ITEM;
}

/* New and old chunks in turns, so that the first new byte moves at once and the audit runs beside.
 */
static enum plan_answer plan_either_item(struct plan *plan, struct plan_item *item)
{
    enum plan_answer first, second;
    plan->audit_turn = !plan->audit_turn;
    first = plan->audit_turn ? plan_audit_item(plan, item) : plan_chunk_item(plan, item);
    if (first == PLAN_ITEM)
        return first;
    second = plan->audit_turn ? plan_chunk_item(plan, item) : plan_audit_item(plan, item);
    if (second == PLAN_ITEM)
        return second;
    return first == PLAN_END && second == PLAN_END ? PLAN_END : PLAN_LATER;
}

/* Of an erasure of several chunks that cannot be done at once the first one. */
static void plan_take_returned(struct plan *plan, struct plan_item *item)
{
    struct plan_item *last = &plan->returned[plan->returned_count - 1];
    *item = *last;
    if (item->action == PLAN_ERASE && plan->erases_alone)
        item->length = plan_length(plan, item->chunk);
    if (item->length == last->length) {
        plan->returned_count--;
        return;
    }
    last->chunk++;
    last->offset += item->length;
    last->length -= item->length;
}

static enum plan_answer plan_next_locked(struct plan *plan, struct plan_item *item)
{
    if (plan->cancelled)
        return PLAN_END;
    if (plan->returned_count > 0) {
        plan_take_returned(plan, item);
        plan->outstanding++;
        return PLAN_ITEM;
    }
    if (plan->stored_count > plan->config.verify_lag)
        return plan_verify_item(plan, item);
    enum plan_answer answer = plan_either_item(plan, item);
    if (answer != PLAN_END)
        return answer;
    if (plan->stored_count > 0) {
        plan->progress->phase = PHASE_VERIFYING;
        return plan_verify_item(plan, item);
    }
    return plan->outstanding > 0 ? PLAN_LATER : PLAN_END;
}

enum plan_answer plan_next(struct plan *plan, struct plan_item *item)
{
    pthread_mutex_lock(&plan->lock);
    enum plan_answer answer = plan_next_locked(plan, item);
    pthread_mutex_unlock(&plan->lock);
    return answer;
}

int plan_listed(struct plan *plan, const struct journal_entry *entries, uint32_t count,
                struct error *err)
{
    assert(plan->config.resume && plan->next_chunk == plan->first_chunk);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t chunk = entries[i].chunk;
        if (chunk < plan->first_chunk || chunk >= plan->end_chunk)
            return error_set_class(err, ERROR_PROTOCOL, EPROTO,
                                   "the journal lists chunk %llu of %llu",
                                   (unsigned long long)chunk, (unsigned long long)plan->end_chunk);
        if (bit_is_set(plan->listed, chunk))
            continue;
        bit_set(plan->listed, chunk);
        plan->listed_count++;
        plan->progress->bytes_durable += plan_length(plan, chunk);
        if (!plan->config.trust)
            continue;
        plan->progress->bytes_kept += plan_length(plan, chunk);
        plan->done_chunks++;
    }
    return 0;
}

bool plan_use_base(struct plan *plan)
{
    assert(!plan->config.resume && plan->next_chunk == plan->first_chunk);
    plan->base = calloc(PLAN_RECALL_MAX, sizeof(*plan->base));
    return plan->base != NULL;
}

bool plan_wants_base(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    bool wanted = plan->base_wanted;
    pthread_mutex_unlock(&plan->lock);
    return wanted;
}

void plan_based(struct plan *plan, const struct journal_entry *entries, uint32_t count)
{
    pthread_mutex_lock(&plan->lock);
    assert(plan->base_wanted && count <= PLAN_RECALL_MAX);
    plan->base_wanted = false;
    plan->base_ended = count == 0;
    plan->base_first = 0;
    plan->base_count = count;
    if (count > 0)
        memcpy(plan->base, entries, count * sizeof(*entries));
    pthread_mutex_unlock(&plan->lock);
}

static void plan_lock_outcome(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    assert(plan->outstanding > 0);
    plan->outstanding--;
}

/* Chunks arrive in order, but their slots come back in any. */
static bool plan_ends_twice(const struct plan *plan, const struct plan_item *item, uint32_t bytes)
{
    uint64_t end = item->offset + bytes;
    bool within = bytes > 0 && bytes < item->length;
    if (bytes == item->length)
        return end > plan->config.size_bytes;
    return plan->arrived_bytes > end || (within && end > plan->config.size_bytes);
}

int plan_arrived(struct plan *plan, struct plan_item *item, uint32_t bytes, struct error *err)
{
    int result = 0;
    pthread_mutex_lock(&plan->lock);
    if (plan_ends_twice(plan, item, bytes)) {
        result = error_set_class(err, ERROR_PROTOCOL, EPROTO,
                                 "the source has ended at byte %llu, and once more elsewhere",
                                 (unsigned long long)(item->offset + bytes));
    } else {
        if (bytes < item->length) {
            plan->config.size_bytes = min_u64(plan->config.size_bytes, item->offset + bytes);
            plan->end_chunk = div_ceil(plan->config.size_bytes, plan->config.chunk_bytes);
        }
        if (bytes > 0)
            plan->arrived_bytes = max_u64(plan->arrived_bytes, item->offset + bytes);
        item->length = bytes;
    }
    if (bytes == 0 && result == 0)
        plan->outstanding--;
    pthread_mutex_unlock(&plan->lock);
    return result;
}

uint64_t plan_size(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    uint64_t size_bytes = plan->config.size_bytes;
    pthread_mutex_unlock(&plan->lock);
    return size_bytes;
}

void plan_copied(struct plan *plan, const struct plan_item *item, const struct digest *digest,
                 uint32_t written)
{
    plan_lock_outcome(plan);
    plan_done(plan, item->chunk, digest, false);
    plan->progress->bytes_copied += written;
    plan->progress->bytes_kept += item->length - written;
    if (item->action == PLAN_AUDIT) {
        plan->progress->bytes_repaired += written;
        plan->progress->chunks_repaired++;
        plan->progress->bytes_durable -= item->length; /* it was counted, and was wrong */
    }
    if (plan->config.verify) {
        assert(plan->stored_count < PLAN_VERIFY_MAX);
        uint32_t last = (plan->stored_first + plan->stored_count) % PLAN_VERIFY_MAX;
        plan->stored[last] = (struct plan_stored){.chunk = item->chunk, .digest = *digest};
        plan->stored_count++;
    }
    pthread_mutex_unlock(&plan->lock);
}

void plan_broken(struct plan *plan, const struct plan_item *item,
                 const uint8_t set[BLOCKS_SET_BYTES], uint32_t written)
{
    static const struct digest unknown;
    uint32_t good = blocks_bytes(set, item->length);
    plan_lock_outcome(plan);
    plan_done(plan, item->chunk, &unknown, false);
    plan->broken_chunks++;
    plan->progress->bytes_copied += written;
    plan->progress->bytes_kept += good - written;
    plan->progress->bytes_unreadable += item->length - good;
    if (item->action == PLAN_AUDIT) /* it was counted, and nobody knows now whether it is right */
        plan->progress->bytes_durable -= item->length;
    pthread_mutex_unlock(&plan->lock);
}

void plan_kept(struct plan *plan, const struct plan_item *item, const struct digest *digest)
{
    plan_lock_outcome(plan);
    plan_done(plan, item->chunk, digest, false);
    plan->progress->bytes_kept += item->length;
    if (item->action == PLAN_BASE)
        plan->progress->bytes_unread += item->length;
    if (plan->config.verify) /* it was read from the medium to find that */
        plan->progress->bytes_verified += item->length;
    pthread_mutex_unlock(&plan->lock);
}

void plan_differs(struct plan *plan, const struct plan_item *item, const struct digest *digest)
{
    plan_lock_outcome(plan);
    assert(plan->config.compare_only);
    plan_done(plan, item->chunk, digest, true);
    plan->progress->bytes_differing += item->length;
    pthread_mutex_unlock(&plan->lock);
}

void plan_erased(struct plan *plan, const struct plan_item *item)
{
    plan_lock_outcome(plan);
    uint64_t end = item->offset + item->length;
    for (uint64_t chunk = item->chunk; chunk < plan->end_chunk && plan_offset(plan, chunk) < end;
         chunk++)
        plan_hole(plan, chunk);
    pthread_mutex_unlock(&plan->lock);
}

void plan_verified(struct plan *plan, const struct plan_item *item)
{
    plan_lock_outcome(plan);
    plan->progress->bytes_verified += item->length;
    pthread_mutex_unlock(&plan->lock);
}

void plan_mapped(struct plan *plan, const struct plan_item *item, uint64_t start, uint64_t end)
{
    plan_lock_outcome(plan);
    assert(plan->map_pending && start >= item->offset);
    plan->map_pending = false;
    plan->extent_start = start;
    plan->extent_end = end;
    pthread_mutex_unlock(&plan->lock);
}

void plan_recalled(struct plan *plan, const struct plan_item *item,
                   const struct journal_entry *entries, uint32_t count, uint64_t next)
{
    plan_lock_outcome(plan);
    assert(plan->recall_pending && plan->recalled_count == 0 && count <= PLAN_RECALL_MAX);
    assert(item->offset == plan->recall_next);
    plan->recall_pending = false;
    plan->recall_next = next;
    plan->recall_ended = next == 0;
    plan->recalled_first = 0;
    for (uint32_t i = 0; i < count; i++) {
        /* The journal grows while it is read; what this run appended is not old. */
        if (entries[i].chunk < plan->end_chunk && bit_is_set(plan->listed, entries[i].chunk))
            plan->recalled[plan->recalled_count++] = entries[i];
    }
    pthread_mutex_unlock(&plan->lock);
}

void plan_erases_alone(struct plan *plan, const struct plan_item *item)
{
    pthread_mutex_lock(&plan->lock);
    plan->erases_alone = true;
    pthread_mutex_unlock(&plan->lock);
    plan_returned(plan, item);
}

void plan_returned(struct plan *plan, const struct plan_item *item)
{
    plan_lock_outcome(plan);
    if (item->action == PLAN_MAP) {
        plan->map_pending = false;
    } else if (item->action == PLAN_RECALL) {
        plan->recall_pending = false;
    } else {
        assert(plan->returned_count < PLAN_RETURNED_MAX);
        plan->returned[plan->returned_count] = *item;
        plan->returned[plan->returned_count++].blank = false; /* a part of it may be stored */
    }
    pthread_mutex_unlock(&plan->lock);
}

static bool plan_ended_locked(const struct plan *plan)
{
    return !plan->cancelled && plan->done_chunks == plan->end_chunk - plan->first_chunk &&
           plan->outstanding == 0 && plan->stored_count == 0 && plan->returned_count == 0;
}

void plan_cancel(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    plan->cancelled = true;
    pthread_mutex_unlock(&plan->lock);
}

bool plan_ended(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    bool ended = plan_ended_locked(plan);
    pthread_mutex_unlock(&plan->lock);
    return ended;
}

bool plan_complete(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    bool complete = plan_ended_locked(plan) && plan->broken_chunks == 0;
    pthread_mutex_unlock(&plan->lock);
    return complete;
}

bool plan_digest(struct plan *plan, struct digest *out)
{
    pthread_mutex_lock(&plan->lock);
    bool known = plan->folded_chunks == plan->end_chunk && plan->broken_chunks == 0;
    if (known)
        *out = digest_fold_value(plan->fold);
    pthread_mutex_unlock(&plan->lock);
    return known;
}
