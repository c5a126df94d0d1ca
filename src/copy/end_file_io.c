/* end_file_io.c - chunks of a local file: fetch, examine, store, erase. A chunk is one read, or a
 * few writes: whole blocks through the policy's descriptor, the tail (less than a block) buffered,
 * runs of zeros left out of a sparse file. */
#include "end_file.h"

#include "haul/hash.h"
#include "haul/log.h"
#include "haul/num.h"

#include <errno.h>
#include <string.h>

/* Zeros are looked for in blocks of this size, as holes are kept by the common filesystems. */
enum { ZERO_BLOCK_BYTES = 4096 };

static work_then end_file_read_done, end_file_write_done, end_file_settled;

/* The slot waits, in order of arrival, until a window has been closed. */
static void end_file_hold(struct end_file *self, struct work *work)
{
    struct slot **last = &self->held;
    while (*last)
        last = &(*last)->next;
    *last = work->slot;
    work->slot->next = NULL;
    self->held_count++;
    end_file_tend(self, work->open, POLICY_PRESSED);
}

/* Others have this part of the target in their cache: a direct write would throw it out. Beside a
 * window that is written direct writes are not safe (the kernel fails the next sync with EIO when
 * it cannot throw out a folio that reaches into both), so a window's chunks go one way. */
static bool end_file_others_write(const struct work *work)
{
    const struct slot *slot = work->slot;
    if (work->open->policy.kind != POLICY_DIRECT || slot->op != END_STORE ||
        work->before_bytes == NUM_UNKNOWN)
        return false;
    return work->before_bytes > 0 || policy_is_open(&work->open->policy, slot->offset) ||
           end_file_is_followed(work);
}

/* Is a direct write under way in the window that this one is to open? */
static bool end_file_direct_beside(const struct end_file *self, const struct work *work)
{
    uint64_t number = work->slot->offset / work->open->policy.window_bytes;
    for (uint32_t i = 0; i < self->config.slots_count; i++) {
        const struct work *other = &self->works[i];
        if (other != work && other->open == work->open && other->direct && other->counted &&
            other->slot->op == END_STORE &&
            other->slot->offset / work->open->policy.window_bytes == number)
            return true;
    }
    return false;
}

static bool end_file_begin(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    struct slot *slot = work->slot;
    if (!work->counted)
        end_file_watch_before(self, work); /* what a held slot was told may be old */
    bool windows = open->policy.kind == POLICY_WINDOW || end_file_others_write(work);
    struct policy_transfer transfer = {
        .offset = slot->offset,
        .length = slot->length,
        .writes = slot->op == END_STORE,
        .from_medium = end_file_wants_medium(work),
    };
    if (windows && !work->windowed) {
        if (end_file_direct_beside(self, work) ||
            !policy_begin(&open->policy, &open->file, &open->residency, &transfer)) {
            end_file_hold(self, work);
            return false;
        }
        work->windowed = true;
    }
    bool direct = open->policy.kind == POLICY_DIRECT && !work->windowed;
    work->direct = direct || transfer.around;
    work->block = direct ? open->policy.block : transfer.around ? open->policy.around_block : 1;
    if (!work->counted) {
        open->transfer_bytes += slot->length;
        work->counted = true;
    }
    return true;
}

static void end_file_end(struct work *work)
{
    struct slot *slot = work->slot;
    if (work->windowed)
        policy_end(&work->open->policy, slot->offset, slot->length, slot->op == END_STORE);
    if (work->counted)
        work->open->transfer_bytes -= slot->length;
    work->windowed = work->counted = false;
}

/* A chunk's transfer is over: look at the cache, let the windows go on, give the slot back. */
static void end_file_io_finish(struct end_file *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    bool windowed = work->windowed;
    end_file_watch_after(work);
    end_file_end(work);
    if (windowed)
        end_file_tend(self, open, POLICY_RELAXED);
    if (result == 0 && open->over_budget) {
        error_set_class(&work->slot->error, ERROR_CACHE, ENOBUFS,
                        "%s: more page cache than --cache-max allows, and --strict forbids it",
                        open->file.path);
        result = -ENOBUFS;
    }
    work_finish(self, work, result);
}

static void end_file_io_fail(struct end_file *self, struct work *work, int errnum,
                             const char *doing)
{
    end_file_end(work);
    work_fail(self, work, errnum, doing);
}

static void end_file_read(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    uint32_t block = work->block;
    int fd = work->direct ? open->file.fd_direct : open->file.fd;
    if (!work->direct && end_file_wants_medium(work)) {
        if (end_file_medium_direct(open, &block)) {
            fd = open->file.fd_direct;
        } else {
            block = work->block;
            end_file_medium_cached(work);
        }
    }
    work->request = (struct request){
        .kind = REQUEST_READ,
        .fd = fd,
        .offset = slot->offset,
        .length = align_up(slot->length, block),
        .need = slot->length,
        .block = block,
        .buffer = slot->buffer,
    };
    assert(work->request.length <= slot->capacity);
    work_submit(self, work, end_file_read_done);
}

/* Examine from the medium, under window and where no direct I/O can do it: what is dirty is written
 * back, what is cached and not others' is dropped, then it is read. */
static void end_file_settle(struct end_file *self, struct work *work)
{
    const struct policy *policy = &work->open->policy;
    work->request = (struct request){
        .kind = policy->range_writeback ? REQUEST_WRITEBACK_WAIT : REQUEST_DATASYNC,
        .fd = work->open->file.fd,
        .offset = align_down(work->slot->offset, policy->window_bytes),
        .length = policy->window_bytes,
    };
    end_file_writeback_begun(work->open, &work->owner);
    work_submit(self, work, end_file_settled);
}

static void end_file_evict(struct end_file *self, struct work *work, int result)
{
    uint64_t length, end = work->slot->offset + work->slot->length;
    (void)result; /* a drop that failed is no failure */
    if (work->direct || work->cursor >= end ||
        !policy_run_of_ours(&work->open->policy, &work->cursor, end, &length)) {
        end_file_read(self, work);
        return;
    }
    work->request = (struct request){
        .kind = REQUEST_DROP,
        .fd = work->open->file.fd,
        .offset = work->cursor,
        .length = length,
    };
    work->cursor += length;
    work_submit(self, work, end_file_evict);
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

/* Where the file's last block begins, if it is not whole and this transfer is direct. */
static uint64_t end_file_tail(const struct work *work)
{
    return work->direct ? align_down(work->open->size_bytes, work->block) : work->open->size_bytes;
}

/* The next part of the chunk to be written: from the cursor to the returned end, less than or equal
 * to the cursor when nothing is left. */
static uint64_t end_file_next_part(struct work *work)
{
    const struct slot *slot = work->slot;
    uint64_t limit = slot->offset + slot->length;
    if (slot->blank) {
        /* What is written between zeros must keep to the alignment of direct writes. */
        uint32_t block = (uint32_t)max_u64(ZERO_BLOCK_BYTES, work->block);
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
    uint64_t tail = end_file_tail(work);
    return work->cursor < tail ? min_u64(limit, tail) : limit;
}

static void end_file_write(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    uint64_t end = end_file_next_part(work);
    /* Before and behind each write: one at the end of a file that somebody has cut gives it its
     * size back, and what was cut off is zeros then. */
    int result = file_check_uncut(&open->file, open->size_bytes, &work->slot->error);
    if (result < 0) {
        open->writeback_result = result; /* nor may a sync claim what was stored before */
        end_file_io_fail(self, work, -result, "write error");
        return;
    }
    if (work->cursor >= end) {
        end_file_note(work);
        end_file_io_finish(self, work, 0);
        return;
    }
    bool tail = work->cursor >= end_file_tail(work);
    uint32_t length = num_u32(end - work->cursor);
    if (work->direct && tail)
        end_file_watch_page(open, work->cursor);
    work->request = (struct request){
        .kind = REQUEST_WRITE,
        .fd = work->direct && !tail ? open->file.fd_direct : open->file.fd,
        .offset = work->cursor,
        .length = length,
        .need = length,
        .block = tail ? 1 : work->block,
        .buffer = work->slot->buffer + (work->cursor - work->slot->offset),
    };
    assert(end <= open->size_bytes); /* the target is never longer than the source, at no moment */
    work_submit(self, work, end_file_write_done);
}

/* O_DIRECT was accepted at open and refused at work: from now on windows, for this file. true:
 * start the chunk over. */
static bool end_file_refused(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    if (work->request.result != -EINVAL || work->request.block == 1)
        return false;
    if (open->policy.kind != POLICY_DIRECT)
        open->medium = MEDIUM_BUFFERED;
    if (open->policy.kind == POLICY_DIRECT) {
        policy_switch(&open->policy, &open->file,
                      "O_DIRECT was accepted at open and refused at work");
        log_note("%s: direct I/O is refused here; going on in windows", open->file.path);
    }
    open->policy.around_block = 0;
    if (work->probes_stayed > 0)
        end_file_watch_after(work);
    end_file_end(work);
    end_file_transfer(self, work);
    return true;
}

/* Is it the first chunk that is not what was written? The journal may list it by a batch whose
 * stamp is still right. */
static bool end_file_disproves(struct work *work)
{
    const struct slot *slot = work->slot;
    return slot->op == END_EXAMINE && slot->conditional && !slot->matched &&
           ledger_disprove(&work->open->ledger);
}

static void end_file_read_done(struct end_file *self, struct work *work, int result)
{
    struct slot *slot = work->slot;
    const struct request *request = &work->request;
    if (result < 0) {
        if (end_file_refused(self, work))
            return;
        /* A direct read writes back first what is dirty there; its error may have been that. */
        if (!work->open->reading && end_file_wants_medium(work) &&
            work->open->policy.kind != POLICY_DIRECT)
            work->open->writeback_result = result;
        end_file_io_fail(self, work, -result, "read error");
        return;
    }
    slot->count = request->done;
    slot->digest = digest_of(slot->buffer, request->done);
    if (slot->op == END_FETCH && request->done < slot->length) {
        error_set_class(&work->slot->error, ERROR_CHANGED, ESTALE,
                        "%s: became shorter while it was copied; the target is not complete",
                        work->open->file.path);
        end_file_io_finish(self, work, -ESTALE);
        return;
    }
    slot->matched = slot->conditional && request->done == slot->length &&
                    digest_equal(&slot->digest, &slot->expected);
    if (end_file_disproves(work)) {
        work_call(self, work, end_file_disprove, end_file_io_finish);
        return;
    }
    end_file_io_finish(self, work, 0);
}

static void end_file_write_done(struct end_file *self, struct work *work, int result)
{
    const struct request *request = &work->request;
    if (result < 0) {
        if (!end_file_refused(self, work))
            end_file_io_fail(self, work, -result, "write error");
        return;
    }
    assert(request->done == request->need);
    work->cursor += request->done;
    end_file_write(self, work);
}

static void end_file_settled(struct end_file *self, struct work *work, int result)
{
    end_file_writeback_over(work->open, &work->owner);
    if (result < 0) {
        /* What was stored there is lost, and a later sync is not told of it again. */
        work->open->writeback_result = result;
        end_file_io_fail(self, work, -result, "write-back error");
        return;
    }
    end_file_evict(self, work, 0);
}

static void end_file_transfer_go(struct end_file *self, struct work *work)
{
    const struct slot *slot = work->slot;
    work->cursor = slot->offset;
    if (slot->op == END_STORE)
        end_file_write(self, work);
    else if (slot->op == END_EXAMINE && end_file_wants_medium(work) && work->windowed &&
             !(work->direct && work->open->reading))
        end_file_settle(self, work);
    else
        end_file_read(self, work);
}

static void end_file_probed(struct end_file *self, struct work *work, int result)
{
    if (result < 0) {
        if (!end_file_refused(self, work))
            end_file_io_fail(self, work, -result,
                             work->slot->op == END_STORE ? "write error" : "read error");
    } else if (end_file_tried(self, work)) {
        work_submit(self, work, end_file_probed);
    } else {
        end_file_transfer_go(self, work);
    }
}

void end_file_transfer(struct end_file *self, struct work *work)
{
    assert(work->slot->length > 0 && work->slot->length <= work->slot->capacity);
    if (!end_file_begin(self, work))
        return;
    if (end_file_try_direct(work))
        work_submit(self, work, end_file_probed);
    else
        end_file_transfer_go(self, work);
}

/* Filesystems without holes get zeros, through the ordinary store. */
static void end_file_punched(struct end_file *self, struct work *work, int result)
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
    assert(slot->buffer && slot->length <= slot->capacity);
    memset(slot->buffer, 0, slot->length);
    slot->op = END_STORE;
    slot->digest = digest_of_zeros(slot->length);
    slot->blank = false;
    end_file_transfer(self, work);
}

static int end_file_punch(struct end_file *self, struct work *work)
{
    (void)self;
    return file_punch(&work->open->file, work->slot->offset, work->slot->length);
}

/* Old data under a hole of the source. */
void end_file_erase(struct end_file *self, struct work *work)
{
    end_file_watch_edge(work->open, work->slot->offset + work->slot->length);
    work_call(self, work, end_file_punch, end_file_punched);
}
