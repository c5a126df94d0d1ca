/* plan.c - what to do next with one file. Walks the chunks in order, asks for the source's holes
 * where it has any, keeps verification a few chunks behind the writer, and folds the digests in
 * order although chunks end in any. */
#include "haul/plan.h"

#include "haul/num.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { PLAN_RETURNED_MAX = 256 };

/* A chunk's digest that waits for its predecessors. */
struct plan_digest {
    bool present;
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
    uint64_t chunks_count;
    uint64_t next_chunk;

    /* The data extent found last; everything before its end is known. */
    uint64_t extent_start, extent_end;
    bool map_pending;

    uint32_t outstanding; /* items yielded and not ended */

    struct plan_item returned[PLAN_RETURNED_MAX];
    uint32_t returned_count;

    struct plan_stored stored[PLAN_VERIFY_MAX]; /* ring: written, not read back yet */
    uint32_t stored_first, stored_count;

    struct plan_digest waiting[PLAN_REORDER]; /* ring over chunk % PLAN_REORDER */
    uint64_t folded_chunks;
    struct digest_fold *fold;
};

int plan_open(struct plan **out, const struct plan_config *config, struct progress *progress,
              struct error *err)
{
    assert(is_power_of_two(config->chunk_bytes));
    assert(config->verify_lag < PLAN_VERIFY_MAX / 2);
    struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan || !(plan->fold = digest_fold_open())) {
        free(plan);
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the plan");
    }
    pthread_mutex_init(&plan->lock, NULL);
    plan->config = *config;
    plan->progress = progress;
    plan->chunks_count = div_ceil(config->size_bytes, config->chunk_bytes);
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
    pthread_mutex_destroy(&plan->lock);
    free(plan);
}

static uint32_t plan_length(const struct plan *plan, uint64_t chunk)
{
    uint64_t offset = chunk * plan->config.chunk_bytes;
    assert(offset < plan->config.size_bytes);
    return num_u32(min_u64(plan->config.chunk_bytes, plan->config.size_bytes - offset));
}

static void plan_item_set(const struct plan *plan, struct plan_item *item, enum plan_action action,
                          uint64_t chunk)
{
    *item = (struct plan_item){
        .action = (uint8_t)action,
        .chunk = chunk,
        .offset = chunk * plan->config.chunk_bytes,
        .length = plan_length(plan, chunk),
    };
}

static void plan_fold(struct plan *plan, uint64_t chunk, const struct digest *digest)
{
    struct plan_digest *place = &plan->waiting[chunk % PLAN_REORDER];
    assert(chunk >= plan->folded_chunks && chunk < plan->folded_chunks + PLAN_REORDER);
    assert(!place->present);
    *place = (struct plan_digest){.present = true, .digest = *digest};
    for (;;) {
        place = &plan->waiting[plan->folded_chunks % PLAN_REORDER];
        if (!place->present)
            break;
        digest_fold_add(plan->fold, &place->digest);
        place->present = false;
        plan->folded_chunks++;
    }
}

/* The next chunk's place among the source's data. */
enum plan_place { PLACE_UNKNOWN, PLACE_DATA, PLACE_HOLE };

static enum plan_place plan_place(const struct plan *plan, uint64_t chunk)
{
    uint64_t start = chunk * plan->config.chunk_bytes;
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
    plan_fold(plan, chunk, &zeros);
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

static enum plan_answer plan_chunk_item(struct plan *plan, struct plan_item *item)
{
    while (plan->next_chunk < plan->chunks_count) {
        uint64_t chunk = plan->next_chunk;
        bool old = chunk * plan->config.chunk_bytes < plan->config.compare_bytes;
        if (chunk >= plan->folded_chunks + PLAN_REORDER)
            return PLAN_LATER;
        enum plan_place place = plan_place(plan, chunk);
        if (place == PLACE_UNKNOWN)
            return plan_map_item(plan, item);
        plan->next_chunk++;
        if (place == PLACE_HOLE && !old) {
            plan_hole(plan, chunk);
            continue;
        }
        bool check = old && !plan->config.rewrite;
        plan_item_set(plan, item,
                      place == PLACE_HOLE ? PLAN_ERASE
                      : check             ? PLAN_CHECK
                                          : PLAN_COPY,
                      chunk);
        plan->outstanding++;
        return PLAN_ITEM;
    }
    return PLAN_END;
}

static enum plan_answer plan_next_locked(struct plan *plan, struct plan_item *item)
{
    if (plan->returned_count > 0) {
        *item = plan->returned[--plan->returned_count];
        plan->outstanding++;
        return PLAN_ITEM;
    }
    if (plan->stored_count > plan->config.verify_lag)
        return plan_verify_item(plan, item);
    enum plan_answer answer = plan_chunk_item(plan, item);
    if (answer != PLAN_END)
        return answer;
    if (plan->stored_count > 0)
        return plan_verify_item(plan, item);
    return plan->outstanding > 0 ? PLAN_LATER : PLAN_END;
}

enum plan_answer plan_next(struct plan *plan, struct plan_item *item)
{
    pthread_mutex_lock(&plan->lock);
    enum plan_answer answer = plan_next_locked(plan, item);
    pthread_mutex_unlock(&plan->lock);
    return answer;
}

static void plan_lock_outcome(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    assert(plan->outstanding > 0);
    plan->outstanding--;
}

void plan_copied(struct plan *plan, const struct plan_item *item, const struct digest *digest)
{
    plan_lock_outcome(plan);
    plan_fold(plan, item->chunk, digest);
    plan->progress->bytes_copied += item->length;
    if (item->action == PLAN_AUDIT) {
        plan->progress->bytes_repaired += item->length;
        plan->progress->chunks_repaired++;
    }
    if (plan->config.verify) {
        assert(plan->stored_count < PLAN_VERIFY_MAX);
        uint32_t last = (plan->stored_first + plan->stored_count) % PLAN_VERIFY_MAX;
        plan->stored[last] = (struct plan_stored){.chunk = item->chunk, .digest = *digest};
        plan->stored_count++;
    }
    pthread_mutex_unlock(&plan->lock);
}

void plan_kept(struct plan *plan, const struct plan_item *item, const struct digest *digest)
{
    plan_lock_outcome(plan);
    plan_fold(plan, item->chunk, digest);
    plan->progress->bytes_kept += item->length;
    pthread_mutex_unlock(&plan->lock);
}

void plan_erased(struct plan *plan, const struct plan_item *item)
{
    plan_lock_outcome(plan);
    plan_hole(plan, item->chunk);
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

void plan_returned(struct plan *plan, const struct plan_item *item)
{
    plan_lock_outcome(plan);
    if (item->action == PLAN_MAP) {
        plan->map_pending = false;
    } else {
        assert(plan->returned_count < PLAN_RETURNED_MAX);
        plan->returned[plan->returned_count++] = *item;
    }
    pthread_mutex_unlock(&plan->lock);
}

static bool plan_complete_locked(const struct plan *plan)
{
    return plan->folded_chunks == plan->chunks_count && plan->outstanding == 0 &&
           plan->stored_count == 0 && plan->returned_count == 0;
}

bool plan_complete(struct plan *plan)
{
    pthread_mutex_lock(&plan->lock);
    bool complete = plan_complete_locked(plan);
    pthread_mutex_unlock(&plan->lock);
    return complete;
}

bool plan_digest(struct plan *plan, struct digest *out)
{
    pthread_mutex_lock(&plan->lock);
    bool known = plan->folded_chunks == plan->chunks_count;
    if (known)
        *out = digest_fold_value(plan->fold);
    pthread_mutex_unlock(&plan->lock);
    return known;
}
