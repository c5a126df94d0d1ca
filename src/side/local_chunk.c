/* local_chunk.c - chunks of a local file: fetch, examine, store, erase. A chunk is one read, or a
 * few writes: whole blocks through the policy's descriptor, the tail (less than a block) buffered,
 * runs of zeros left out of a sparse file. */
#include "local_state.h"

#include "haul/base/hash.h"
#include "haul/base/log.h"
#include "haul/base/num.h"

#include <errno.h>
#include <string.h>

/* Zeros are looked for in blocks of this size, as holes are kept by the common filesystems. */
enum { ZERO_BLOCK_BYTES = 4096 };

static work_then local_read_done, local_write_done;

void local_tended(struct open_file *open, struct request *request)
{
    int result = cache_reaped(&open->cache, request);
    if (result < 0 && open->lost_result == 0)
        open->lost_result = result;
}

void local_tend(struct local *self, struct open_file *open, enum cache_urgency urgency)
{
    struct request *request;
    while ((request = cache_next(&open->cache, urgency))) {
        request->owner = &open->owner;
        int result = engine_submit(self->engine, request);
        if (result < 0) { /* else it is the engine's, and may be done by now */
            request->result = result;
            local_tended(open, request);
        }
    }
}

void local_tend_all(struct local *self, enum cache_urgency urgency)
{
    uint32_t left = self->opens_count;
    for (uint32_t i = 0; left > 0 && i < self->opens_end; i++) {
        struct open_file *open = &self->opens[i];
        left -= open->used;
        if (open->used && !open->opening && !cache_idle(&open->cache))
            local_tend(self, open, urgency);
    }
}

/* The slot waits, in order of arrival, until a window has been closed: of whatever file. */
static void local_hold(struct local *self, struct work *work)
{
    queue_put(&self->held, &work->slot->link);
    local_tend_all(self, CACHE_PRESSED);
}

/* A chunk's transfer is over: let the windows go on, give the slot back. */
static void local_chunk_finish(struct local *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    cache_end(&open->cache, &work->transfer, true);
    local_tend(self, open, CACHE_RELAXED);
    if (result == 0 && open->cache.over_budget) {
        error_set_class(work->slot->error, ERROR_CACHE, ENOBUFS,
                        "%s: more page cache than --cache-max allows, and --strict forbids it",
                        open->file.path);
        result = -ENOBUFS;
    }
    work_finish(self, work, result);
}

static void local_chunk_fail(struct local *self, struct work *work, int errnum, const char *doing)
{
    cache_end(&work->open->cache, &work->transfer, false);
    work_fail(self, work, errnum, doing);
}

static void local_read(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    uint32_t block;
    int fd = cache_read_fd(&work->open->cache, &work->transfer, &block);
    uint64_t start = align_down(slot->offset, block); /* a part of the file may begin anywhere */
    uint32_t need = num_u32(slot->offset + slot->length - start);
    work->request = (struct request){
        .kind = REQUEST_READ,
        .fd = fd,
        .offset = start,
        .length = align_up(need, block),
        .need = need,
        .block = block,
        .buffer = slot->buffer,
    };
    assert(work->request.length <= slot->capacity);
    work_submit(self, work, local_read_done);
}

/* Examine from the medium, under window and where no direct I/O can do it: what is dirty is written
 * back, what is cached and not others' is dropped, then it is read. */
static void local_evict(struct local *self, struct work *work, int result)
{
    (void)result; /* a drop that failed is no failure */
    if (cache_evict(&work->open->cache, &work->transfer, &work->cursor, &work->request))
        work_submit(self, work, local_evict);
    else
        local_read(self, work);
}

static void local_settled(struct local *self, struct work *work, int result)
{
    cache_settled(&work->open->cache, &work->transfer);
    if (result < 0) {
        /* What was stored there is lost, and a later sync is not told of it again. */
        work->open->lost_result = result;
        local_chunk_fail(self, work, -result, "write-back error");
        return;
    }
    local_evict(self, work, 0);
}

static bool all_zeros(const uint8_t *data, size_t length)
{
    return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

/* The end of the run of blocks from `position` on that are all zeros, or all not. */
static uint32_t run_end(const struct slot *slot, uint32_t position, uint32_t block, bool *zeros)
{
    const uint8_t *data = slot->buffer;
    uint32_t length = slot->length, end = (uint32_t)min_u64(position + block, length);
    *zeros = all_zeros(data + position, end - position);
    while (end < length) {
        uint32_t next = (uint32_t)min_u64(end + block, length);
        if (all_zeros(data + end, next - end) != *zeros)
            break;
        end = next;
    }
    return end;
}

/* Where the chunk's last block begins, if it is not whole, as only the file's last one is, and this
 * transfer is direct. */
static uint64_t local_tail(const struct work *work)
{
    uint64_t end = work->slot->offset + work->slot->length;
    return work->transfer.direct ? align_down(end, work->transfer.block) : end;
}

/* Of a chunk that differs in parts: what is written keeps to the alignment of direct writes. */
static uint64_t local_next_run(struct work *work)
{
    const struct slot *slot = work->slot;
    uint32_t start, end, block = work->transfer.block;
    if (!blocks_next(slot->set, slot->length, (uint32_t)(work->cursor - slot->offset), &start,
                     &end)) {
        work->cursor = slot->offset + slot->length;
        return work->cursor;
    }
    uint64_t from = slot->offset + align_down(start, block);
    work->cursor = max_u64(work->cursor, from);
    return slot->offset + min_u64(align_up(end, block), slot->length);
}

/* The next part of the chunk to be written: from the cursor to the returned end, less than or equal
 * to the cursor when nothing is left. */
static uint64_t local_next_part(struct work *work)
{
    const struct slot *slot = work->slot;
    uint64_t limit = slot->offset + slot->length;
    if (slot->blank) {
        /* What is written between zeros must keep to the alignment of direct writes. */
        uint32_t block = (uint32_t)max_u64(ZERO_BLOCK_BYTES, work->transfer.block);
        bool zeros = true;
        while (work->cursor < limit) {
            uint32_t position = (uint32_t)(work->cursor - slot->offset);
            uint32_t end = run_end(slot, position, block, &zeros);
            if (!zeros) {
                limit = slot->offset + end;
                break;
            }
            work->cursor = slot->offset + end;
        }
    }
    if (slot->partial || slot->broken)
        limit = local_next_run(work);
    uint64_t tail = local_tail(work);
    return work->cursor < tail ? min_u64(limit, tail) : limit;
}

static void local_write(struct local *self, struct work *work)
{
    struct open_file *open = work->open;
    uint64_t end = local_next_part(work);
    bool over = work->cursor >= end;
    /* Behind the writes, and before one at the end: of a file that somebody has cut it makes the
     * size what it was, and what was cut off is zeros then. */
    bool looks = (over || end >= open->size_bytes) && !open->growing;
    int result = looks ? file_check_uncut(&open->file, open->size_bytes, work->slot->error) : 0;
    if (result < 0) {
        open->lost_result = result; /* nor may a sync claim what was stored before */
        local_chunk_fail(self, work, -result, "write error");
        return;
    }
    if (over) {
        open->stored_bytes = max_u64(open->stored_bytes, work->slot->offset + work->slot->length);
        if (!work->slot->broken)
            local_note(work);
        local_chunk_finish(self, work, 0);
        return;
    }
    bool tail = work->cursor >= local_tail(work);
    uint32_t length = num_u32(end - work->cursor);
    if (work->transfer.direct && tail)
        cache_touch(&open->cache, work->cursor);
    work->request = (struct request){
        .kind = REQUEST_WRITE,
        .fd = work->transfer.direct && !tail ? open->file.fd_direct : open->file.fd,
        .offset = work->cursor,
        .length = length,
        .need = length,
        .block = tail ? 1 : work->transfer.block,
        .buffer = work->slot->buffer + (work->cursor - work->slot->offset),
    };
    assert(end <= open->size_bytes); /* the target is never longer than the source, at no moment */
    work_submit(self, work, local_write_done);
}

/* O_DIRECT was accepted at open and refused at work: from now on buffered, for this file. true: the
 * chunk has started over. */
static bool local_refused(struct local *self, struct work *work)
{
    if (work->request.result != -EINVAL || work->request.block == 1)
        return false;
    cache_refused(&work->open->cache, &work->transfer);
    local_transfer(self, work);
    return true;
}

/* Is it the first chunk that is not what was written? The journal may list it by a batch whose
 * stamp is still right. */
static bool local_disproves(struct work *work)
{
    const struct slot *slot = work->slot;
    return slot->op == SIDE_EXAMINE && slot->conditional && !slot->matched &&
           ledger_disprove(&work->open->ledger);
}

/* So many bytes of what FETCH or EXAMINE asks for are in the buffer. */
static void local_chunk_read(struct local *self, struct work *work, uint32_t count)
{
    struct slot *slot = work->slot;
    slot->count = count;
    slot->digest = digest_of(slot->buffer, count);
    if (slot->op == SIDE_FETCH && count < slot->length) {
        error_set_class(work->slot->error, ERROR_CHANGED, ESTALE,
                        "%s: became shorter while it was copied; the target is not complete",
                        work->open->file.path);
        local_chunk_finish(self, work, -ESTALE);
        return;
    }
    slot->matched =
        slot->conditional && count == slot->length && digest_equal(&slot->digest, &slot->expected);
    if (slot->op == SIDE_EXAMINE && slot->blocks && count == slot->length && !slot->matched)
        blocks_digest(slot->digests, slot->buffer, slot->length);
    if (local_disproves(work)) {
        work_call(self, work, local_disprove, local_chunk_finish);
        return;
    }
    local_chunk_finish(self, work, 0);
}

/* Whole blocks were read: what was asked for takes its place in the buffer, and is so many bytes.
 */
static uint32_t local_cut_out(const struct work *work)
{
    const struct slot *slot = work->slot;
    uint32_t before = num_u32(slot->offset - work->request.offset), done = work->request.done;
    uint32_t count = num_u32(min_u64(done - min_u64(done, before), slot->length));
    if (before > 0)
        memmove(slot->buffer, slot->buffer + before, count);
    return count;
}

static void local_salvaged(struct local *self, struct work *work, int result)
{
    if (result == 0)
        local_chunk_read(self, work, work->slot->count);
    else if (!local_refused(self, work))
        local_chunk_fail(self, work, -result, "read error");
}

/* It could not be read: of a source something may be, around the bad place. */
static void local_read_failed(struct local *self, struct work *work, int result)
{
    /* A direct read writes back first what is dirty there; its error may have been that. */
    if (!work->open->reading && work->transfer.from_medium &&
        work->open->cache.kind != POLICY_DIRECT)
        work->open->lost_result = result;
    if (work->slot->offset % work->request.block != 0) { /* pieces of it cannot be read directly */
        work->request.fd = cache_read_beside(&work->open->cache, &work->transfer);
        work->request.block = 1;
    }
    if (work->slot->op == SIDE_FETCH && file_is_unreadable(result))
        local_salvage(self, work, local_salvaged);
    else
        local_chunk_fail(self, work, -result, "read error");
}

static void local_read_done(struct local *self, struct work *work, int result)
{
    if (result == 0) {
        work->open->barren_count = 0;
        local_chunk_read(self, work, local_cut_out(work));
    } else if (!local_refused(self, work)) {
        local_read_failed(self, work, result);
    }
}

static void local_write_done(struct local *self, struct work *work, int result)
{
    const struct request *request = &work->request;
    if (result < 0) {
        if (!local_refused(self, work))
            local_chunk_fail(self, work, -result, "write error");
        return;
    }
    assert(request->done == request->need);
    work->cursor += request->done;
    local_write(self, work);
}

static void local_transfer_go(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    struct cache *cache = &work->open->cache;
    work->cursor = slot->offset;
    if (slot->op == SIDE_STORE)
        local_write(self, work);
    else if (slot->op == SIDE_EXAMINE && cache_settle(cache, &work->transfer, &work->request))
        work_submit(self, work, local_settled);
    else
        local_read(self, work);
}

static void local_probed(struct local *self, struct work *work, int result)
{
    if (result < 0 && !local_refused(self, work)) {
        if (work->slot->op == SIDE_STORE)
            local_chunk_fail(self, work, -result, "write error");
        else
            local_read_failed(self, work, result);
    } else if (result == 0 &&
               cache_direct_tried(&work->open->cache, &work->transfer, &work->request)) {
        work_submit(self, work, local_probed);
    } else if (result == 0) {
        local_transfer_go(self, work);
    }
}

/* EXAMINE where it is asked for, and all that haul verify reads. */
static bool local_wants_medium(const struct slot *slot)
{
    return (slot->op == SIDE_EXAMINE && slot->from_medium) ||
           (slot->op != SIDE_STORE && slot->job->wish.compare_only);
}

void local_transfer(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    struct cache *cache = &work->open->cache;
    assert(slot->length > 0 && slot->length <= slot->capacity);
    work->transfer = (struct cache_transfer){
        .offset = slot->offset,
        .length = slot->length,
        .writes = slot->op == SIDE_STORE,
        .from_medium = local_wants_medium(slot),
        .gaps = slot->blank || slot->broken,
        .buffer = slot->buffer,
    };
    if (!cache_begin(cache, &work->transfer))
        local_hold(self, work);
    else if (cache_direct_try(cache, &work->transfer, &work->request))
        work_submit(self, work, local_probed);
    else
        local_transfer_go(self, work);
}

/* What BLOCKS tells was taken by EXAMINE; and what is in the buffer for DIFFER, by FETCH. Where no
 * block differs, or all do, it is the whole chunk. */
void local_compare_blocks(struct slot *slot)
{
    slot->count = blocks_count(slot->length) * BLOCKS_DIGEST_BYTES;
    if (slot->op == SIDE_BLOCKS)
        return;
    uint32_t bytes = blocks_compare(slot->set, slot->digests, slot->buffer, slot->length);
    slot->partial = bytes > 0 && bytes < slot->length;
    slot->digest = digest_of(slot->buffer, slot->length);
}

/* Filesystems without holes get zeros, through the ordinary store. */
static void local_punched(struct local *self, struct work *work, int result)
{
    struct slot *slot = work->slot;
    if (result == 0) {
        work_finish(self, work, 0);
        return;
    }
    if (result != -EOPNOTSUPP && result != -ENOSYS && result != -EINVAL) {
        work_fail(self, work, -result, "punching a hole");
        return;
    }
    if (side_erases_many(slot)) {
        work_fail(self, work, EOPNOTSUPP, "punching a hole");
        return;
    }
    assert(slot->buffer && slot->length <= slot->capacity);
    memset(slot->buffer, 0, slot->length);
    slot->op = SIDE_STORE;
    slot->digest = digest_of_zeros(slot->length);
    slot->blank = false;
    local_transfer(self, work);
}

static int local_punch(struct local *self, struct work *work)
{
    (void)self;
    return file_punch(&work->open->file, work->slot->offset, work->slot->length);
}

/* Old data under a hole of the source. */
void local_erase(struct local *self, struct work *work)
{
    cache_touch_edge(&work->open->cache, work->slot->offset + work->slot->length);
    work_call(self, work, local_punch, local_punched);
}
