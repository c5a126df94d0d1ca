/* end_file_cache.c - the watch over the page cache where there are no windows: what was there
 * before a range was moved and what is there behind it, and the trial of direct I/O that is said
 * not to be direct.
 *
 * Pages that came into the cache with a direct transfer prove nothing: somebody else may have read
 * them in that moment. So they only raise a doubt. While there is one, transfers are preceded by
 * probes: a block out of the chunk, moved by direct I/O where nothing was cached, and looked for at
 * once. Where direct I/O is honest the block is not there, whatever others read nearby, and the
 * doubt is over. Where it is there, and what surrounds it is not, it was us. */
#include "end_file.h"

#include "haul/budget.h"
#include "haul/cleanup.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/text.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>

enum {
    PLAIN_LOOK_BYTES = 1024 * 1024 * 1024, /* that much can be looked at without anybody waiting */
    PROBES_A_CHUNK = 4,
    CRUMBS_PART = 4,  /* of a chunk */
    PROBES_PROVE = 4, /* that many blocks that stayed, and none that did not */
    /* A compressed extent comes in as a whole (btrfs: 128 KiB). */
    PROBE_SURROUNDINGS_BYTES = 512 * 1024,
    SPILL_BYTES_MAX = 256 * 1024,
    /* 64 MiB are further than anybody reads while a write is under way. */
    FOLLOWED_STEPS = 4,
    FOLLOWED_STEP_BYTES = 16 * 1024 * 1024,
};

/* Resident bytes of a part of the file; NUM_UNKNOWN. */
static uint64_t end_file_resident(const struct open_file *open, uint64_t offset, uint64_t length)
{
    uint64_t bytes;
    int result = residency_measure(&open->residency, open->file.fd, offset, length, &bytes);
    return result == 0 ? bytes : NUM_UNKNOWN;
}

/* The same of a chunk that direct I/O reads, or has moved. Where it writes, others' pages would be
 * lost: then each page counts. */
static uint64_t end_file_resident_chunk(const struct open_file *open, uint64_t offset,
                                        uint64_t length)
{
    uint64_t bytes;
    int result =
        residency_measure_likely_none(&open->residency, open->file.fd, offset, length, &bytes);
    return result == 0 ? bytes : NUM_UNKNOWN;
}

/* Bytes of [start, end) that are there because of us, outside of windows. */
static uint64_t end_file_resident_ours(const struct open_file *open, uint64_t start, uint64_t end)
{
    uint64_t sum_bytes = 0;
    for (uint32_t i = 0; i < open->policy.ours.count; i++) {
        uint64_t first = max_u64(open->policy.ours.all[i].start, start);
        uint64_t last = min_u64(open->policy.ours.all[i].end, end);
        uint64_t bytes = first < last ? end_file_resident(open, first, last - first) : 0;
        sum_bytes += bytes == NUM_UNKNOWN ? 0 : bytes;
    }
    return sum_bytes;
}

void end_file_watch_start(struct open_file *open)
{
    residency_init(&open->residency, open->file.fd);
    open->residency.view = &open->view;
    open->begin_bytes = end_file_resident(open, 0, SPILL_BYTES_MAX);
}

/* How far pages are cached from `edge` on, forwards or backwards, as far as a transfer can spill. 0
 * when it is further: then it is another's. */
static uint64_t end_file_spill(const struct open_file *open, uint64_t edge, bool forwards)
{
    uint64_t page_bytes = open->residency.page_bytes, spill_bytes = 0;
    while (spill_bytes < SPILL_BYTES_MAX && (forwards || edge >= spill_bytes + page_bytes)) {
        uint64_t at = forwards ? edge + spill_bytes : edge - spill_bytes - page_bytes;
        uint64_t bytes = end_file_resident(open, at, page_bytes);
        if (bytes == 0 || bytes == NUM_UNKNOWN)
            return spill_bytes;
        spill_bytes += page_bytes;
    }
    return 0;
}

/* Found out to be ours: with what direct I/O that lies has brought in around it. */
static void end_file_own(struct open_file *open, uint64_t start, uint64_t end)
{
    start -= end_file_spill(open, start, false);
    end += end_file_spill(open, end, true);
    (void)ranges_add(&open->policy.ours, start, end);
}

/* Where statx does not tell whether direct I/O is direct, it is tried from the first block on. */
void end_file_watch_policy(struct open_file *open)
{
    bool doubted = open->policy.kind == POLICY_DIRECT && !open->file.dio_known;
    open->trials[0].doubted = open->trials[1].doubted = doubted;
    /* policy_choose() has tried a read there, where statx does not tell. */
    if (!open->file.dio_known && open->begin_bytes == 0 &&
        end_file_resident(open, 0, SPILL_BYTES_MAX) > 0)
        end_file_own(open, 0, open->residency.page_bytes);
    /* Nothing is done about a cache that is filled: one look before, one behind. */
    if (open->policy.kind == POLICY_PLAIN)
        open->policy.account.others_bytes = end_file_resident(open, 0, PLAIN_LOOK_BYTES);
}

/* Reading may be direct where writing is not. */
static struct trial *end_file_trial(struct work *work)
{
    return &work->open->trials[work->slot->op == END_STORE];
}

/* The little that is there may come from the transfer of the chunk before, if that is under way or
 * suspected. */
static bool end_file_may_be_spilled(const struct end_file *self, struct work *work)
{
    uint64_t start = work->slot->offset;
    for (uint32_t i = 0; i < self->config.slots_count; i++) {
        const struct work *other = &self->works[i];
        if (other->open == work->open && other->counted && other->direct &&
            other->slot->offset + other->slot->length == start)
            return true;
    }
    return start > 0 && ranges_hold(&end_file_trial(work)->suspects, start - 1, start);
}

void end_file_watch_before(const struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    work->absent = false;
    work->before_bytes = NUM_UNKNOWN; /* windows look for themselves */
    work->probes_count = work->probes_stayed = 0;
    if (open->policy.kind == POLICY_DIRECT)
        work->before_bytes = slot->op == END_STORE
                                 ? end_file_resident(open, slot->offset, slot->length)
                                 : end_file_resident_chunk(open, slot->offset, slot->length);
    if (work->before_bytes == NUM_UNKNOWN)
        return;
    uint64_t end = slot->offset + slot->length;
    if (work->before_bytes > 0)
        work->before_bytes -=
            min_u64(work->before_bytes, end_file_resident_ours(open, slot->offset, end));
    policy_account_others(&open->policy.account, slot->offset, end, work->before_bytes);
    work->absent = work->before_bytes == 0 ||
                   (work->before_bytes <= SPILL_BYTES_MAX && end_file_may_be_spilled(self, work));
}

static bool end_file_others_within(const struct open_file *open, uint64_t start, uint64_t end)
{
    uint64_t bytes = end_file_resident_chunk(open, start, end - start);
    if (bytes <= SPILL_BYTES_MAX || bytes == NUM_UNKNOWN)
        return false;
    uint64_t ours_bytes = open->policy.account.ours_bytes + open->policy.account.left_bytes +
                          end_file_resident_ours(open, start, end);
    return bytes > ours_bytes && bytes - ours_bytes > SPILL_BYTES_MAX;
}

/* A direct write throws out what a reader brings in while it is under way, and nobody sees it. So
 * where direct I/O is known to leave nothing, what is cached close behind tells of a reader. */
bool end_file_is_followed(const struct work *work)
{
    const struct open_file *open = work->open;
    uint64_t end = align_down(work->slot->offset, open->residency.page_bytes);
    if (!open->file.dio_known || open->trials[1].doubted)
        return false;
    for (uint32_t i = 0; i < FOLLOWED_STEPS && end > 0; i++) {
        uint64_t start = end - min_u64(end, FOLLOWED_STEP_BYTES);
        if (end_file_others_within(open, start, end))
            return true;
        end = start;
    }
    return false;
}

/* A direct write of btrfs goes through the cache and cleans up behind itself inside the call, and
 * now and then misses some pages (9 and 30 of 65,537 were seen). A reader would have brought in
 * more of the chunk, and more since. true: they are ours now, to be swept. */
static bool end_file_own_crumbs(struct open_file *open, const struct trial *trial)
{
    bool writes = trial == &open->trials[1];
    bool crumbs = writes && open->file.filesystem == BTRFS_SUPER_MAGIC && trial->suspects.count > 0;
    for (uint32_t i = 0; crumbs && i < trial->suspects.count; i++) {
        const struct range *range = &trial->suspects.all[i];
        uint64_t there = end_file_resident(open, range->start, range->end - range->start);
        crumbs = there != NUM_UNKNOWN && there <= trial->suspected_bytes &&
                 there <= (range->end - range->start) / CRUMBS_PART;
    }
    for (uint32_t i = 0; crumbs && i < trial->suspects.count; i++)
        (void)ranges_add(&open->policy.ours, trial->suspects.all[i].start,
                         trial->suspects.all[i].end);
    return crumbs;
}

/* What was suspected is another's after all. */
static void end_file_acquit(struct open_file *open, struct trial *trial)
{
    if (!end_file_own_crumbs(open, trial))
        open->policy.account.others_bytes += trial->suspected_bytes;
    *trial = (struct trial){.doubted = false};
}

void end_file_watch_crumbs(struct open_file *open)
{
    for (size_t i = 0; i < COUNT_OF(open->trials); i++) {
        if (end_file_own_crumbs(open, &open->trials[i]))
            open->trials[i] = (struct trial){.doubted = false};
    }
}

/* Drop what lying direct I/O has left so far, one range after the other: only ranges of which
 * nothing was cached when we came to them. */
void end_file_sweep(struct end_file *self, struct open_file *open)
{
    if (open->sweeping || open->swept_count >= open->policy.ours.count)
        return;
    const struct range *range = &open->policy.ours.all[open->swept_count];
    open->sweep_request = (struct request){
        .kind = REQUEST_DROP,
        .fd = open->file.fd,
        .offset = range->start,
        .length = range->end - range->start,
        .owner = &open->sweep_owner,
    };
    open->swept_count++;
    open->sweeping = engine_submit(self->engine, &open->sweep_request) == 0;
}

/* Under strict: more of ours in the cache than the budget allows, now or in windows. */
static void end_file_check_budget(struct open_file *open)
{
    const struct policy *policy = &open->policy;
    uint64_t windows_bytes = (uint64_t)policy->windows_limit * policy->window_bytes;
    open->over_budget =
        open->strict && max_u64(policy->account.ours_peak_bytes,
                                min_u64(windows_bytes, open->size_bytes)) > open->cache_max_bytes;
}

/* All that is suspected is ours: what buffers the one direction is not believed in the other. */
static void end_file_own_suspects(struct open_file *open)
{
    for (size_t i = 0; i < COUNT_OF(open->trials); i++) {
        struct trial *trial = &open->trials[i];
        for (uint32_t j = 0; j < trial->suspects.count; j++)
            end_file_own(open, trial->suspects.all[j].start, trial->suspects.all[j].end);
        *trial = (struct trial){.doubted = false};
    }
}

static void end_file_convict(struct end_file *self, struct open_file *open)
{
    char size[TEXT_NUMBER_BYTES], why[POLICY_WHY_BYTES];
    uint64_t left_bytes = open->trials[0].suspected_bytes + open->trials[1].suspected_bytes;
    text_size(size, left_bytes);
    snprintf(why, sizeof(why), "O_DIRECT was accepted but left %s in the cache (%s)", size,
             residency_name(open->residency.method));
    policy_switch(&open->policy, &open->file, why);
    log_note("%s: direct I/O leaves data in the page cache here (%s); going on in windows",
             open->file.path, size);
    policy_account_ours(&open->policy.account, left_bytes, 0);
    end_file_check_budget(open);
    policy_account_ours(&open->policy.account, 0, left_bytes);
    end_file_own_suspects(open);
    open->swept_count = 0;
    end_file_sweep(self, open);
}

/* Nothing of the chunk was cached, and now something is. Whether that was us is not known yet,
 * unless direct I/O has been found out already. */
static void end_file_suspect(struct work *work, uint64_t bytes)
{
    struct open_file *open = work->open;
    struct trial *trial = end_file_trial(work);
    uint64_t start = work->slot->offset, end = start + work->slot->length;
    if (open->policy.kind == POLICY_WINDOW) {
        end_file_own(open, start, end);
        return;
    }
    trial->doubted |= bytes >= work->slot->length / 2;
    /* What was there before has been counted: others' so far. */
    if (!ranges_hold(&trial->suspects, start, end) && ranges_add(&trial->suspects, start, end))
        trial->suspected_bytes += bytes - min_u64(bytes, work->before_bytes);
}

void end_file_watch_after(struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    uint64_t end = slot->offset + slot->length;
    if (slot->op == END_STORE) /* the tail is written through the cache */
        end = min_u64(end, align_down(open->size_bytes, work->block));
    if (!work->direct || work->before_bytes == NUM_UNKNOWN || end <= slot->offset)
        return;
    uint64_t after_bytes = end_file_resident_chunk(open, slot->offset, end - slot->offset);
    if (after_bytes == NUM_UNKNOWN)
        return;
    if (after_bytes < work->before_bytes)
        open->policy.account.others_lost_bytes += work->before_bytes - after_bytes;
    else if (after_bytes > 0 && work->absent)
        end_file_suspect(work, after_bytes);
}

/* A file that is compressed here and there lies here and there; a reader who keeps step with us is
 * met now and then. A small file proves with the blocks that it has. */
static bool end_file_proven(const struct open_file *open, const struct trial *trial)
{
    uint64_t blocks = clamp_u64(div_ceil(open->size_bytes, open->policy.block), 1, PROBES_PROVE);
    return trial->doubted && trial->stayed >= blocks && trial->honest < 2 * trial->stayed;
}

static bool end_file_refuted(const struct trial *trial)
{
    return trial->doubted && trial->honest >= PROBES_PROVE + 8 * trial->stayed;
}

/* A block of the chunk for the next probe: somewhere in its part of the chunk, so that who reads
 * with a pattern does not meet it each time. */
static uint64_t end_file_probe_offset(const struct work *work)
{
    const struct slot *slot = work->slot;
    uint32_t block = work->open->policy.block;
    uint64_t part = slot->length / PROBES_A_CHUNK;
    uint64_t scatter = (slot->offset / block + work->probes_count) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t within = part > block ? (scatter >> 16) % (part - block) : 0;
    return slot->offset + align_down(part * work->probes_count + within, block);
}

bool end_file_try_direct(struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    uint32_t block = open->policy.block;
    bool store = slot->op == END_STORE;
    if (!end_file_trial(work)->doubted || !work->direct || work->before_bytes != 0 ||
        open->policy.kind != POLICY_DIRECT)
        return false;
    for (; work->probes_count < PROBES_A_CHUNK; work->probes_count++) {
        uint64_t offset = end_file_probe_offset(work), end = slot->offset + slot->length;
        uint64_t need = min_u64(block, end - offset);
        uint8_t *data = slot->buffer + (offset - slot->offset);
        /* A tail is written through the cache; zeros may have to be left out. */
        if (store && (need < block || slot->blank))
            return false;
        if (end_file_resident(open, offset, need) != 0)
            continue;
        work->request = (struct request){
            .kind = store ? REQUEST_WRITE : REQUEST_READ,
            .fd = open->file.fd_direct,
            .offset = offset,
            .length = block,
            .need = num_u32(need),
            .block = block,
            .buffer = data,
        };
        return true;
    }
    return false;
}

/* All probes of the chunk are done. Where much more came in than they moved, somebody reads here.
 */
static void end_file_probes_count(struct work *work, struct trial *trial)
{
    const struct slot *slot = work->slot;
    uint64_t there = end_file_resident(work->open, slot->offset, slot->length);
    bool alone = slot->length <= PROBE_SURROUNDINGS_BYTES || there <= slot->length / 4 * 3;
    if (alone && there != NUM_UNKNOWN)
        trial->stayed += work->probes_stayed;
    work->probes_stayed = 0;
    if (there != 0 && there != NUM_UNKNOWN)
        end_file_suspect(work, there);
}

bool end_file_tried(struct end_file *self, struct work *work)
{
    struct trial *trial = end_file_trial(work);
    const struct request *request = &work->request;
    bool tried = request->done == request->need; /* else the file has become shorter */
    uint64_t there = NUM_UNKNOWN;
    if (tried)
        there = end_file_resident(work->open, request->offset, request->need);
    if (there == 0)
        trial->honest++;
    else if (there != NUM_UNKNOWN)
        work->probes_stayed++;
    work->probes_count = tried ? work->probes_count + 1 : PROBES_A_CHUNK;
    if (end_file_try_direct(work))
        return true;
    end_file_probes_count(work, trial);
    if (end_file_proven(work->open, trial))
        end_file_convict(self, work->open);
    else if (end_file_refuted(trial))
        end_file_acquit(work->open, trial);
    return false;
}

void end_file_watch_page(struct open_file *open, uint64_t offset)
{
    uint64_t start = align_down(offset, open->residency.page_bytes);
    uint64_t end = start + open->residency.page_bytes;
    uint64_t there = end_file_resident(open, start, end - start);
    if (there == 0 || there == NUM_UNKNOWN) /* where nobody can tell, our own promise comes first */
        (void)ranges_add(&open->policy.ours, start, end);
}

void end_file_watch_edge(struct open_file *open, uint64_t edge)
{
    if (edge % open->residency.page_bytes != 0)
        end_file_watch_page(open, edge);
}

/* Suspects that were never tried. Where statx vouches for direct I/O they are another's; else
 * nobody can tell. */
static bool end_file_unresolved(struct open_file *open)
{
    bool unresolved = false;
    for (size_t i = 0; i < COUNT_OF(open->trials); i++) {
        unresolved |= open->trials[i].suspected_bytes > 0 && !open->file.dio_known;
        end_file_acquit(open, &open->trials[i]);
    }
    return unresolved;
}

void end_file_watch_end(struct end_file *self, struct open_file *open, struct side_report *report)
{
    bool known = open->residency.method != RESIDENCY_NONE && !end_file_unresolved(open);
    const struct policy_account *account = &open->policy.account;
    uint64_t others_bytes = account->others_bytes;
    uint64_t kept_bytes = others_bytes - min_u64(others_bytes, account->others_lost_bytes);
    uint64_t after_bytes =
        kept_bytes + account->left_bytes + end_file_resident_ours(open, 0, NUM_OFFSET_MAX);
    if (open->policy.kind == POLICY_PLAIN) {
        after_bytes = end_file_resident(open, 0, PLAIN_LOOK_BYTES);
        known = known && open->size_bytes <= PLAIN_LOOK_BYTES;
    }
    const struct copy_up_left *copy_up = &open->file.copy_up;
    known = known && copy_up->left_bytes != NUM_UNKNOWN;
    after_bytes += known ? copy_up->left_bytes : 0;
    uint64_t ours_bytes = max_u64(account->ours_peak_bytes, copy_up->peak_bytes);
    *report = (struct side_report){
        .policy = open->policy.kind,
        .engine = self->engine->ops->kind,
        .resident_before_bytes = known ? others_bytes : NUM_UNKNOWN,
        .resident_peak_bytes =
            known ? max_u64(others_bytes + ours_bytes, after_bytes) : NUM_UNKNOWN,
        .resident_after_bytes = known ? after_bytes : NUM_UNKNOWN,
        .memory_peak_bytes = budget_memory_peak(),
        .attributes_changed = open->attributes.changed,
        .attributes_lost = open->attributes.lost,
        .attributes_asked = open->attributes.asked,
        .reread_cached_bytes = open->reread_cached_bytes,
    };
    snprintf(report->policy_why, sizeof(report->policy_why), "%s", open->policy.why);
    snprintf(report->engine_why, sizeof(report->engine_why), "%s", self->engine->why);
}

void end_file_writeback_begun(struct open_file *open, struct owner *owner)
{
    owner->epoch = open->epoch;
    open->writebacks[open->epoch]++;
}

void end_file_writeback_over(struct open_file *open, const struct owner *owner)
{
    assert(open->writebacks[owner->epoch] > 0);
    open->writebacks[owner->epoch]--;
}

static bool waits_for_writeback(const struct request *request)
{
    return request->kind == REQUEST_WRITEBACK_WAIT || request->kind == REQUEST_DATASYNC;
}

void end_file_window_done(struct open_file *open, struct request *request)
{
    if (waits_for_writeback(request))
        end_file_writeback_over(open, request->owner);
    int result = policy_reaped(&open->policy, request);
    if (result < 0 && open->writeback_result == 0)
        open->writeback_result = result;
}

void end_file_tend(struct end_file *self, struct open_file *open, enum policy_urgency urgency)
{
    struct request *request;
    while ((request = policy_next(&open->policy, &open->file, urgency))) {
        struct owner *owner = &open->window_owners[open->epoch];
        request->owner = owner;
        if (waits_for_writeback(request))
            end_file_writeback_begun(open, owner);
        int result = engine_submit(self->engine, request);
        if (result < 0) { /* else it is the engine's, and may be done by now */
            request->result = result;
            end_file_window_done(open, request);
        }
    }
}
