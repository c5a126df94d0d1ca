/* cache_direct.c - the watch over the page cache where there are no windows: what was there
 * before a range was moved and what is there behind it, and the trial of direct I/O that is said
 * not to be direct.
 *
 * Pages that came into the cache with a direct transfer prove nothing: somebody else may have read
 * them in that moment. So they only raise a doubt. While there is one, transfers are preceded by
 * probes: a block out of the chunk, moved by direct I/O where nothing was cached, and looked for at
 * once. Where direct I/O is honest the block is not there, whatever others read nearby, and the
 * doubt is over. Where it is there, and what surrounds it is not, it was us. */
#include "cache_parts.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>

enum {
    PROBES_A_CHUNK = 4,
    CRUMBS_PART = 4,  /* of a chunk */
    PROBES_PROVE = 4, /* that many blocks that stayed, and none that did not */
    /* A compressed extent comes in as a whole (btrfs: 128 KiB). */
    PROBE_SURROUNDINGS_BYTES = 512 * 1024,
    /* 64 MiB are further than anybody reads while a write is under way. */
    FOLLOWED_STEPS = 4,
    FOLLOWED_STEP_BYTES = 16 * 1024 * 1024,
    FOLLOWED_BYTES = FOLLOWED_STEPS * FOLLOWED_STEP_BYTES,
};

/* Resident bytes of a part of the file; NUM_UNKNOWN. */
uint64_t cache_direct_resident(const struct cache *cache, uint64_t offset, uint64_t length)
{
    uint64_t bytes;
    int result = residency_measure(&cache->residency, cache->file->fd, offset, length, &bytes);
    return result == 0 ? bytes : NUM_UNKNOWN;
}

/* The same of a chunk that direct I/O reads, or has moved. Where it writes, others' pages would be
 * lost: then each page counts. */
static uint64_t resident_chunk(const struct cache *cache, uint64_t offset, uint64_t length)
{
    uint64_t bytes;
    int result =
        residency_measure_likely_none(&cache->residency, cache->file->fd, offset, length, &bytes);
    return result == 0 ? bytes : NUM_UNKNOWN;
}

/* Bytes of [start, end) that are there because of us, outside of windows. */
uint64_t cache_direct_resident_ours(const struct cache *cache, uint64_t start, uint64_t end)
{
    uint64_t sum_bytes = 0;
    for (uint32_t i = 0; i < cache->ours.count; i++) {
        uint64_t first = max_u64(cache->ours.all[i].start, start);
        uint64_t last = min_u64(cache->ours.all[i].end, end);
        uint64_t bytes = first < last ? cache_direct_resident(cache, first, last - first) : 0;
        sum_bytes += bytes == NUM_UNKNOWN ? 0 : bytes;
    }
    return sum_bytes;
}

/* How far pages are cached from `edge` on, forwards or backwards, as far as a transfer can spill. 0
 * when it is further: then it is another's. */
static uint64_t spill(const struct cache *cache, uint64_t edge, bool forwards)
{
    uint64_t page_bytes = cache->residency.page_bytes, spill_bytes = 0;
    while (spill_bytes < CACHE_SPILL_BYTES_MAX && (forwards || edge >= spill_bytes + page_bytes)) {
        uint64_t at = forwards ? edge + spill_bytes : edge - spill_bytes - page_bytes;
        uint64_t bytes = cache_direct_resident(cache, at, page_bytes);
        if (bytes == 0 || bytes == NUM_UNKNOWN)
            return spill_bytes;
        spill_bytes += page_bytes;
    }
    return 0;
}

/* Found out to be ours: with what direct I/O that lies has brought in around it, but not where
 * others had pages of what was moved beside it. */
static void own(struct cache *cache, uint64_t start, uint64_t end)
{
    if (start > 0 && !ranges_hold(&cache->met, start - 1, start))
        start -= spill(cache, start, false);
    if (!ranges_hold(&cache->met, end, end + 1))
        end += spill(cache, end, true);
    (void)ranges_add(&cache->ours, start, end);
}

/* Where statx does not tell whether direct I/O is direct, it is tried from the first block on. */
void cache_direct_start(struct cache *cache)
{
    bool doubted = cache->kind == POLICY_DIRECT && !cache->file->dio_known;
    cache->trials[0].doubted = cache->trials[1].doubted = doubted;
    /* Choosing has tried a read there, where statx does not tell. */
    if (!cache->file->dio_known && cache->begin_bytes == 0 &&
        cache_direct_resident(cache, 0, CACHE_SPILL_BYTES_MAX) > 0)
        own(cache, 0, cache->residency.page_bytes);
}

/* Reading may be direct where writing is not. */
static struct cache_trial *trial_of(struct cache *cache, const struct cache_transfer *transfer)
{
    return &cache->trials[transfer->writes];
}

static uint64_t close_behind(uint64_t end)
{
    return end - min_u64(end, FOLLOWED_BYTES);
}

/* What is cached where it is about to be written: one question, as a rule, for that and for what is
 * close behind. */
static uint64_t resident_before_write(const struct cache *cache, struct cache_transfer *transfer)
{
    uint64_t start = close_behind(transfer->offset), end = transfer->offset + transfer->length;
    transfer->alone = cache->residency.method == RESIDENCY_CACHESTAT &&
                      cache_direct_resident(cache, start, end - start) == 0;
    return transfer->alone ? 0 : cache_direct_resident(cache, transfer->offset, transfer->length);
}

/* The little that is there may come from the transfer of the chunk before, if that is under way or
 * suspected: all of it lies right behind that one, and does not fill this one. */
static bool may_be_spilled(struct cache *cache, const struct cache_transfer *transfer)
{
    uint64_t start = transfer->offset, page_bytes = cache->residency.page_bytes;
    uint64_t there_bytes = cache_direct_resident(cache, start, transfer->length);
    if (start > 0 && ranges_hold(&cache->met, start - 1, start)) /* they may go on here */
        return false;
    if (there_bytes >= align_down(transfer->length, page_bytes) ||
        spill(cache, start, true) != there_bytes)
        return false;
    for (const struct queue_link *item = cache->transfers.first; item; item = item->next) {
        const struct cache_transfer *other = (const struct cache_transfer *)item;
        if (other->direct && other->offset + other->length == start)
            return true;
    }
    return start > 0 && ranges_hold(&trial_of(cache, transfer)->suspects, start - 1, start);
}

void cache_direct_before(struct cache *cache, struct cache_transfer *transfer)
{
    transfer->absent = false;
    transfer->before_bytes = NUM_UNKNOWN; /* windows look for themselves */
    transfer->probes_count = transfer->probes_stayed = 0;
    if (cache->kind == POLICY_DIRECT)
        transfer->before_bytes = transfer->writes
                                     ? resident_before_write(cache, transfer)
                                     : resident_chunk(cache, transfer->offset, transfer->length);
    if (transfer->before_bytes == NUM_UNKNOWN)
        return;
    uint64_t end = transfer->offset + transfer->length;
    if (transfer->before_bytes > 0)
        transfer->before_bytes -= min_u64(transfer->before_bytes,
                                          cache_direct_resident_ours(cache, transfer->offset, end));
    cache_account_others(&cache->account, transfer->offset, end, transfer->before_bytes);
    transfer->absent =
        transfer->before_bytes == 0 ||
        (transfer->before_bytes <= CACHE_SPILL_BYTES_MAX && may_be_spilled(cache, transfer));
    if (!transfer->absent)
        ranges_add_blurred(&cache->met, transfer->offset, end);
}

static bool others_within(const struct cache *cache, uint64_t start, uint64_t end)
{
    uint64_t bytes = resident_chunk(cache, start, end - start);
    if (bytes <= CACHE_SPILL_BYTES_MAX || bytes == NUM_UNKNOWN)
        return false;
    uint64_t ours_bytes = cache->account.ours_bytes + cache->account.left_bytes +
                          cache_direct_resident_ours(cache, start, end);
    return bytes > ours_bytes && bytes - ours_bytes > CACHE_SPILL_BYTES_MAX;
}

/* A direct write throws out what a reader brings in while it is under way, and nobody sees it. So
 * where direct I/O is known to leave nothing, what is cached close behind tells of a reader. */
static bool is_followed(const struct cache *cache, const struct cache_transfer *transfer)
{
    uint64_t end = align_down(transfer->offset, cache->residency.page_bytes);
    if (end == 0 || !cache->file->dio_known || cache->trials[1].doubted || transfer->alone)
        return false;
    /* One question more. mincore looks at some places of a range only, so there it is four. */
    if (cache->residency.method == RESIDENCY_CACHESTAT &&
        !others_within(cache, close_behind(end), end))
        return false;
    for (uint32_t i = 0; i < FOLLOWED_STEPS && end > 0; i++) {
        uint64_t start = end - min_u64(end, FOLLOWED_STEP_BYTES);
        if (others_within(cache, start, end))
            return true;
        end = start;
    }
    return false;
}

bool cache_direct_meets_others(const struct cache *cache, const struct cache_transfer *transfer)
{
    return transfer->before_bytes != NUM_UNKNOWN &&
           (transfer->before_bytes > 0 || is_followed(cache, transfer));
}

/* A direct write of btrfs goes through the cache and cleans up behind itself inside the call, and
 * now and then misses some pages (9 and 30 of 65,537 were seen). A reader would have brought in
 * more of the chunk, and more since. true: they are ours now, to be swept. */
static bool own_crumbs(struct cache *cache, const struct cache_trial *trial)
{
    bool writes = trial == &cache->trials[1];
    bool crumbs =
        writes && cache->file->filesystem == BTRFS_SUPER_MAGIC && trial->suspects.count > 0;
    for (uint32_t i = 0; crumbs && i < trial->suspects.count; i++) {
        const struct range *range = &trial->suspects.all[i];
        uint64_t there = cache_direct_resident(cache, range->start, range->end - range->start);
        crumbs = there != NUM_UNKNOWN && there <= trial->suspected_bytes &&
                 there <= (range->end - range->start) / CRUMBS_PART;
    }
    for (uint32_t i = 0; crumbs && i < trial->suspects.count; i++)
        (void)ranges_add(&cache->ours, trial->suspects.all[i].start, trial->suspects.all[i].end);
    return crumbs;
}

/* What was suspected is another's after all. */
static void acquit(struct cache *cache, struct cache_trial *trial)
{
    if (!own_crumbs(cache, trial))
        cache->account.others_bytes += trial->suspected_bytes;
    *trial = (struct cache_trial){.doubted = false};
}

void cache_direct_finish(struct cache *cache)
{
    for (size_t i = 0; i < COUNT_OF(cache->trials); i++) {
        if (own_crumbs(cache, &cache->trials[i]))
            cache->trials[i] = (struct cache_trial){.doubted = false};
    }
}

/* Under strict: more of ours in the cache than the budget allows, now or in windows. */
static void check_budget(struct cache *cache)
{
    uint64_t windows_bytes = (uint64_t)cache->windows_limit * cache->window_bytes;
    cache->over_budget = cache->strict && max_u64(cache->account.ours_peak_bytes,
                                                  min_u64(windows_bytes, cache->size_bytes)) >
                                              cache->cache_max_bytes;
}

/* All that is suspected is ours: what buffers the one direction is not believed in the other. */
static void own_suspects(struct cache *cache)
{
    for (size_t i = 0; i < COUNT_OF(cache->trials); i++) {
        struct cache_trial *trial = &cache->trials[i];
        for (uint32_t j = 0; j < trial->suspects.count; j++)
            own(cache, trial->suspects.all[j].start, trial->suspects.all[j].end);
        *trial = (struct cache_trial){.doubted = false};
    }
}

/* What it has left so far is dropped at once: only ranges of which nothing was cached when we came
 * to them. */
static void convict(struct cache *cache)
{
    char size[TEXT_NUMBER_BYTES], why[POLICY_WHY_BYTES];
    uint64_t left_bytes = cache->trials[0].suspected_bytes + cache->trials[1].suspected_bytes;
    text_size(size, left_bytes);
    snprintf(why, sizeof(why), "O_DIRECT was accepted but left %s in the cache (%s)", size,
             residency_name(cache->residency.method));
    cache_window_become(cache, why);
    log_note("%s: direct I/O leaves data in the page cache here (%s); going on in windows",
             cache->file->path, size);
    cache_account_ours(&cache->account, left_bytes, 0);
    check_budget(cache);
    cache_account_ours(&cache->account, 0, left_bytes);
    own_suspects(cache);
    cache->sweep_next = 0;
    cache->sweep_end = UINT32_MAX; /* and what comes to it */
}

/* Nothing of the chunk was cached, and now something is. Whether that was us is not known yet,
 * unless direct I/O has been found out already. */
static void suspect(struct cache *cache, const struct cache_transfer *transfer, uint64_t bytes)
{
    struct cache_trial *trial = trial_of(cache, transfer);
    uint64_t start = transfer->offset, end = start + transfer->length;
    if (cache->kind == POLICY_WINDOW) {
        own(cache, start, end);
        return;
    }
    trial->doubted |= bytes >= transfer->length / 2;
    /* What was there before has been counted: others' so far. */
    if (!ranges_hold(&trial->suspects, start, end) && ranges_add(&trial->suspects, start, end))
        trial->suspected_bytes += bytes - min_u64(bytes, transfer->before_bytes);
}

void cache_direct_after(struct cache *cache, struct cache_transfer *transfer)
{
    uint64_t end = transfer->offset + transfer->length;
    if (transfer->writes) /* the tail is written through the cache */
        end = align_down(end, transfer->block);
    if (!transfer->direct || transfer->before_bytes == NUM_UNKNOWN || end <= transfer->offset)
        return;
    uint64_t after_bytes = resident_chunk(cache, transfer->offset, end - transfer->offset);
    if (after_bytes == NUM_UNKNOWN)
        return;
    if (after_bytes > 0) /* as before: the tail's page is no news */
        after_bytes -=
            min_u64(after_bytes, cache_direct_resident_ours(cache, transfer->offset, end));
    if (after_bytes < transfer->before_bytes)
        cache->account.others_lost_bytes += transfer->before_bytes - after_bytes;
    else if (after_bytes > 0 && transfer->absent)
        suspect(cache, transfer, after_bytes);
}

/* A file that is compressed here and there lies here and there; a reader who keeps step with us is
 * met now and then. A small file proves with the blocks that it has. */
static bool is_proven(const struct cache *cache, const struct cache_trial *trial)
{
    uint64_t blocks = clamp_u64(div_ceil(cache->size_bytes, cache->block), 1, PROBES_PROVE);
    return trial->doubted && trial->stayed >= blocks && trial->honest < 2 * trial->stayed;
}

static bool is_refuted(const struct cache_trial *trial)
{
    return trial->doubted && trial->honest >= PROBES_PROVE + 8 * trial->stayed;
}

/* A block of the chunk for the next probe: somewhere in its part of the chunk, so that who reads
 * with a pattern does not meet it each time. */
static uint64_t probe_offset(const struct cache *cache, const struct cache_transfer *transfer)
{
    uint32_t block = cache->block;
    uint64_t part = transfer->length / PROBES_A_CHUNK;
    uint64_t scatter =
        (transfer->offset / block + transfer->probes_count) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t within = part > block ? (scatter >> 16) % (part - block) : 0;
    return transfer->offset + align_down(part * transfer->probes_count + within, block);
}

bool cache_direct_try(struct cache *cache, struct cache_transfer *transfer, struct request *request)
{
    uint32_t block = cache->block;
    if (!trial_of(cache, transfer)->doubted || !transfer->direct || transfer->before_bytes != 0 ||
        cache->kind != POLICY_DIRECT || transfer->offset % block != 0)
        return false;
    for (; transfer->probes_count < PROBES_A_CHUNK; transfer->probes_count++) {
        uint64_t offset = probe_offset(cache, transfer), end = transfer->offset + transfer->length;
        uint64_t need = min_u64(block, end - offset);
        uint8_t *data = transfer->buffer + (offset - transfer->offset);
        /* A tail is written through the cache. */
        if (transfer->writes && (need < block || transfer->gaps))
            return false;
        if (cache_direct_resident(cache, offset, need) != 0)
            continue;
        *request = (struct request){
            .kind = transfer->writes ? REQUEST_WRITE : REQUEST_READ,
            .fd = cache->file->fd_direct,
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
static void count_probes(struct cache *cache, struct cache_transfer *transfer)
{
    struct cache_trial *trial = trial_of(cache, transfer);
    uint64_t there = cache_direct_resident(cache, transfer->offset, transfer->length);
    bool alone = transfer->length <= PROBE_SURROUNDINGS_BYTES || there <= transfer->length / 4 * 3;
    if (alone && there != NUM_UNKNOWN)
        trial->stayed += transfer->probes_stayed;
    transfer->probes_stayed = 0;
    if (there != 0 && there != NUM_UNKNOWN)
        suspect(cache, transfer, there);
}

bool cache_direct_tried(struct cache *cache, struct cache_transfer *transfer,
                        struct request *request)
{
    struct cache_trial *trial = trial_of(cache, transfer);
    bool tried = request->done == request->need; /* else the file has become shorter */
    uint64_t there = NUM_UNKNOWN;
    if (tried)
        there = cache_direct_resident(cache, request->offset, request->need);
    if (there == 0)
        trial->honest++;
    else if (there != NUM_UNKNOWN)
        transfer->probes_stayed++;
    transfer->probes_count = tried ? transfer->probes_count + 1 : PROBES_A_CHUNK;
    if (cache_direct_try(cache, transfer, request))
        return true;
    count_probes(cache, transfer);
    if (is_proven(cache, trial))
        convict(cache);
    else if (is_refuted(trial))
        acquit(cache, trial);
    return false;
}

bool cache_direct_unresolved(struct cache *cache)
{
    bool unresolved = false;
    for (size_t i = 0; i < COUNT_OF(cache->trials); i++) {
        unresolved |= cache->trials[i].suspected_bytes > 0 && !cache->file->dio_known;
        acquit(cache, &cache->trials[i]);
    }
    return unresolved;
}
