/* cache_window.c - windows: which parts of a file are in the cache because of us, and
 * the requests that get them out again, while the copy goes on.
 *
 * A window is opened by the first transfer in it and closed when transfers have moved on to a newer
 * one. Closing a clean window is a drop. A dirty one is first written back: started when a newer
 * window is open, waited for when a newer one has been started, then dropped.
 * Measured: lagged like this, windows of 8, 4 or 1 MiB leave 0 pages and peak at 15, 7 or 1 MiB,
 * while dropping without waiting, or waiting without dropping, leaves the whole file. Dropping half
 * of a large folio does nothing, hence whole windows aligned to 2 MiB. */
#include "cache_parts.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/cache.h"
#include "haul/disk/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where nobody tells what a drop has missed, it goes back over the windows before its own, which
 * costs nothing when they are empty. Where it can be seen, the pages are dropped so many times. */
enum { WINDOWS_DROPPED_AGAIN = 4, WINDOW_DROPS_MAX = 5 };

void cache_window_become(struct cache *cache, const char *why)
{
    cache->kind = POLICY_WINDOW;
    cache->block = 1;
    cache->around_block = 0;
    if (why)
        snprintf(cache->why, sizeof(cache->why), "%s", why);
    /* Read-ahead would bring in pages beyond the window; nobody would drop them. */
    (void)posix_fadvise(cache->file->fd, 0, 0, POSIX_FADV_RANDOM);
}

/* The file's windows, one after the other: the first with NULL. */
static struct cache_window *window_each(const struct cache *cache, struct cache_window *window)
{
    struct cache_pool *pool = cache->pool;
    for (uint32_t i = window ? (uint32_t)(window - pool->windows) + 1 : 0;
         cache->windows_open > 0 && i < COUNT_OF(pool->windows); i++) {
        if (pool->windows[i].cache == cache)
            return &pool->windows[i];
    }
    return NULL;
}

static struct cache_window *window_find(const struct cache *cache, uint64_t number)
{
    struct cache_window *window = NULL;
    while ((window = window_each(cache, window)) && window->number != number)
        continue;
    return window;
}

/* So many bytes of the file are in a window. */
static uint32_t window_span(const struct cache *cache, uint64_t number)
{
    uint64_t offset = number * cache->window_bytes;
    uint64_t rest = cache->size_bytes - min_u64(offset, cache->size_bytes);
    return num_u32(min_u64(rest, cache->window_bytes));
}

static bool pool_is_full(const struct cache_pool *pool)
{
    return pool->windows_open == COUNT_OF(pool->windows);
}

/* A window of the pool, unless what this file or all of them may have is open. */
static struct cache_window *window_take(struct cache *cache, uint64_t number)
{
    struct cache_pool *pool = cache->pool;
    struct cache_window *window = NULL, *free = pool->windows;
    uint32_t open_count = 0, span_bytes = window_span(cache, number);
    uint64_t alone_bytes = (uint64_t)cache->windows_limit * cache->window_bytes;
    assert(cache->windows_limit >= 2 && cache->windows_limit <= CACHE_WINDOWS_MAX);
    pool->most_bytes = max_u64(pool->most_bytes, alone_bytes);
    while ((window = window_each(cache, window)))
        open_count += !window->lingering;
    if (pool_is_full(pool) || open_count >= cache->windows_limit ||
        pool->open_bytes + span_bytes > pool->most_bytes)
        return NULL;
    while (free->cache)
        free++;
    *free = (struct cache_window){.cache = cache, .number = number, .span_bytes = span_bytes};
    pool->open_bytes += span_bytes;
    pool->windows_open++;
    cache->windows_open++;
    return free;
}

/* From here on it is not counted: nothing but what a drop has missed is in it. */
static void window_linger(struct cache_window *window)
{
    if (!window->lingering)
        window->cache->pool->open_bytes -= window->span_bytes;
    window->lingering = true;
}

/* A window that has pages of ours from elsewhere drops them with its own. */
static void mask_ours(const struct cache *cache, struct cache_pages *cached)
{
    uint64_t page_bytes = cache->residency.page_bytes;
    uint64_t first = cached->number * (cache->window_bytes / page_bytes);
    uint64_t pages = cache->window_bytes / page_bytes;
    for (uint32_t i = 0; i < cache->ours.count; i++) {
        uint64_t start = max_u64(cache->ours.all[i].start / page_bytes, first);
        uint64_t end = min_u64(div_ceil(cache->ours.all[i].end, page_bytes), first + pages);
        for (uint64_t page = start; page < end; page++)
            cached->pages[(page - first) / 8] &= (uint8_t) ~(1u << (page - first) % 8);
    }
}

/* The next run of pages that are not among these, from *first on and before *end: *first and *end
 * are set to it. false: there is none. */
static bool pages_run(const struct cache_pages *spared, uint64_t *first, uint64_t *end)
{
    while (*first < *end && (spared->pages[*first / 8] >> (*first % 8) & 1))
        ++*first;
    uint64_t last = *first;
    while (last < *end && !(spared->pages[last / 8] >> (last % 8) & 1))
        last++;
    *end = last;
    return *first < last;
}

typedef int measure_function(const struct residency *residency, int fd, uint64_t offset,
                             uint64_t length, uint64_t *bytes);

static void look_by(const struct cache *cache, uint64_t number, measure_function *measure,
                    struct cache_pages *cached)
{
    uint64_t offset = number * cache->window_bytes, bytes = 0;
    *cached = (struct cache_pages){.number = number};
    if (cache->residency.method == RESIDENCY_NONE || offset > NUM_OFFSET_MAX - cache->window_bytes)
        return;
    cached->known =
        measure(&cache->residency, cache->file->fd, offset, cache->window_bytes, &bytes) == 0;
    if (!cached->known || bytes == 0)
        return;
    cached->known = residency_map(&cache->residency, cache->file->fd, offset, cache->window_bytes,
                                  cached->pages, sizeof(cached->pages) * 8) == 0;
    if (cache->ours.count > 0)
        mask_ours(cache, cached);
    for (size_t i = 0; i < sizeof(cached->pages); i++)
        cached->pages_count += (uint32_t)__builtin_popcount(cached->pages[i]);
}

static void look(const struct cache *cache, uint64_t number, struct cache_pages *cached)
{
    look_by(cache, number, residency_measure, cached);
}

static struct cache_pages *ahead_find(struct cache *cache, uint64_t number)
{
    for (uint32_t i = 0; i < COUNT_OF(cache->pool->ahead); i++) {
        struct cache_ahead *ahead = &cache->pool->ahead[i];
        if (ahead->cache == cache && ahead->pages.known && ahead->pages.number == number)
            return &ahead->pages;
    }
    return NULL;
}

/* How many windows ahead our own read-ahead has not been yet. */
static uint32_t horizon(const struct cache *cache)
{
    return num_u32(clamp_u64(CACHE_HORIZON_BYTES / cache->window_bytes, 1, CACHE_HORIZON_MAX));
}

static uint64_t window_pages(const struct cache *cache, uint64_t number)
{
    return div_ceil(window_span(cache, number), cache->residency.page_bytes);
}

/* Was next to nothing there, and is nearly all there now? Of the part that the file has. */
static bool is_filled(const struct cache *cache, const struct cache_pages *then,
                      const struct cache_pages *now)
{
    uint64_t pages = window_pages(cache, now->number);
    if (!then || !now->known || pages == 0)
        return false;
    return then->pages_count <= pages / 4 && now->pages_count >= pages - pages / 4;
}

/* Somebody reads through the file and has just overtaken us: the pages of the open windows, which
 * we brought in, he has read. They are his now. He may also have come alongside only: what we
 * bring in in the next few windows he is about to read. */
static void overtaken(struct cache *cache, const struct cache_window *opened)
{
    uint64_t start = NUM_UNKNOWN, end = 0;
    struct cache_window *window = NULL;
    while ((window = window_each(cache, window))) {
        if (!window->before.known)
            continue;
        window->shared |= window != opened;
        start = min_u64(start, window->number);
        end = max_u64(end, window->number + 1);
    }
    cache->company_start = start;
    cache->company_end = end + max_u64(CACHE_COMPANY_BYTES / cache->window_bytes, 1);
}

static uint64_t *emptied_find(struct cache *cache, uint64_t number)
{
    for (uint32_t i = 0; i < COUNT_OF(cache->emptied); i++) {
        if (cache->emptied[i] == number + 1)
            return &cache->emptied[i];
    }
    return NULL;
}

static void emptied_add(struct cache *cache, uint64_t number)
{
    cache->emptied[cache->emptied_next] = number + 1;
    cache->emptied_next = (cache->emptied_next + 1) % COUNT_OF(cache->emptied);
}

/* A window is about to be dropped. We have left nothing in the one behind it: if that is full,
 * somebody has read through it since, and what he found in this one he has read as well. */
static void look_behind(struct cache *cache, struct cache_window *window)
{
    window->shared |= window->before.known && window->number >= cache->company_start &&
                      window->number < cache->company_end;
    uint64_t *emptied = NULL;
    uint64_t bytes = 0;
    if (window->number > 0 && window->before.known && !window->shared)
        emptied = emptied_find(cache, window->number - 1);
    if (!emptied || residency_measure_likely_none(&cache->residency, cache->file->fd,
                                                  (window->number - 1) * cache->window_bytes,
                                                  cache->window_bytes, &bytes) != 0)
        return;
    uint64_t pages = window_pages(cache, window->number - 1);
    if (bytes / cache->residency.page_bytes < pages - pages / 8)
        return;
    *emptied = 0;
    overtaken(cache, NULL);
}

/* Whatever is in the cache and was not brought in by us is another's. Not so where our own
 * read-ahead may have run: there, what was seen when the window was opened counts. */
static bool is_exact(const struct cache *cache)
{
    return cache->kind == POLICY_DIRECT || cache->around_block > 0;
}

/* Up to the horizon, each window once and before anything of ours can be in it. Where our own
 * read-ahead does not run, it only matters whether a window is nearly full. */
static void look_ahead(struct cache *cache, uint64_t number)
{
    measure_function *measure = is_exact(cache) ? residency_measure_likely_none : residency_measure;
    for (uint64_t i = number + 1; i <= number + horizon(cache); i++) {
        if (i * cache->window_bytes >= cache->size_bytes || window_find(cache, i) ||
            ahead_find(cache, i))
            continue;
        struct cache_pool *pool = cache->pool;
        struct cache_ahead *ahead = &pool->ahead[pool->ahead_next];
        pool->ahead_next = (pool->ahead_next + 1) % COUNT_OF(pool->ahead);
        ahead->cache = cache;
        look_by(cache, i, measure, &ahead->pages);
    }
}

/* Which pages of a window are another's: those that are there when it is opened. But behind a
 * window with pages of others, what has come in since it was seen from afar may be ours: a page
 * that somebody's read-ahead has marked starts read-ahead again when we come by, whatever
 * POSIX_FADV_RANDOM says (mm/filemap.c, filemap_readahead), and that marks a further page. There,
 * what was seen from afar counts; and where the file system itself reads more than it was asked
 * for. */
static void window_note_others(struct cache *cache, struct cache_window *window)
{
    uint64_t number = window->number;
    struct cache_pages *ahead = ahead_find(cache, number);
    look(cache, number, &window->before);
    if (!window->before.known)
        return;
    bool marked = window->before.pages_count > 0 && !is_exact(cache);
    bool chained =
        cache->chain_number == number - 1 || filesystem_overreads(cache->file->filesystem);
    if (ahead && number > 0 && chained) /* never when exact */
        window->before = *ahead;
    else if (is_filled(cache, ahead, &window->before))
        overtaken(cache, window);
    if (ahead)
        ahead->known = false; /* from now on there are pages of ours in it */
    if (marked)
        cache->chain_number = number;
    look_ahead(cache, number);
    if (cache->kind == POLICY_WINDOW) /* else each transfer is counted */
        cache_account_others(&cache->account, number * cache->window_bytes,
                             (number + 1) * cache->window_bytes,
                             window->before.pages_count * cache->residency.page_bytes);
}

/* A window with pages that a drop has missed is used again: they are ours, what else is there is
 * not. */
static void window_reopen(struct cache *cache, struct cache_window *window)
{
    struct cache_pages spared = window->before;
    look(cache, window->number, &window->before);
    window->before.pages_count = 0;
    for (size_t i = 0; i < sizeof(spared.pages); i++) {
        window->before.pages[i] &= spared.pages[i];
        window->before.pages_count += (uint32_t)__builtin_popcount(window->before.pages[i]);
    }
    window->lingering = false;
    cache->pool->open_bytes += window->span_bytes;
    window->drops_count = 0;
}

/* The pages of the transfer, as pages of its window: [*first, *end). */
static void pages_of(const struct cache *cache, const struct cache_transfer *transfer,
                     uint32_t *first, uint32_t *end)
{
    uint64_t page_bytes = cache->residency.page_bytes;
    uint64_t within = transfer->offset % cache->window_bytes;
    *first = num_u32(within / page_bytes);
    *end = num_u32(div_ceil(within + transfer->length, page_bytes));
}

/* Pages that came in since the window was opened. One chunk that is full now and had nothing tells
 * of a reader who has just gone through. */
static void note_arrivals(struct cache *cache, struct cache_window *window,
                          const struct cache_transfer *transfer)
{
    struct cache_pages now;
    uint32_t first, end, arrivals = 0, untouched = 0;
    uint64_t bytes = 0;
    if (!window->before.known || !is_exact(cache) ||
        residency_measure(&cache->residency, cache->file->fd, transfer->offset, transfer->length,
                          &bytes) != 0 ||
        bytes == 0)
        return;
    look(cache, window->number, &now);
    pages_of(cache, transfer, &first, &end);
    for (uint32_t i = first; now.known && i < end; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        bool theirs = (now.pages[i / 8] & bit) && !(window->touched[i / 8] & bit);
        untouched += !(window->touched[i / 8] & bit);
        if (!theirs || (window->before.pages[i / 8] & bit))
            continue;
        window->before.pages[i / 8] |= bit;
        window->before.pages_count++;
        arrivals++;
    }
    cache->account.others_bytes +=
        cache->kind == POLICY_WINDOW ? arrivals * cache->residency.page_bytes : 0;
    if (arrivals > 0 && arrivals == untouched && arrivals == end - first)
        overtaken(cache, NULL);
}

static bool others_in(const struct cache *cache, const struct cache_window *window,
                      const struct cache_transfer *transfer)
{
    uint32_t first, end;
    if (!window->before.known || window->before.pages_count == 0)
        return false;
    pages_of(cache, transfer, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (window->before.pages[i / 8] >> (i % 8) & 1)
            return true;
    }
    return false;
}

/* What of a window can be ours, at most. */
static void window_touch(struct cache *cache, struct cache_window *window,
                         const struct cache_transfer *transfer)
{
    uint32_t first, end, ours = 0;
    if (!window->before.known) {
        ours =
            num_u32(min_u64((uint64_t)window->ours_bytes + transfer->length, cache->window_bytes));
    } else {
        pages_of(cache, transfer, &first, &end);
        for (uint32_t i = first; i < end; i++)
            window->touched[i / 8] |= (uint8_t)(1u << i % 8);
        for (size_t i = 0; i < sizeof(window->touched); i++)
            ours += (uint32_t)__builtin_popcount(window->touched[i] &
                                                 (uint8_t)~window->before.pages[i]);
        ours *= (uint32_t)cache->residency.page_bytes;
    }
    cache_account_ours(&cache->account, ours, window->ours_bytes);
    window->ours_bytes = ours;
}

bool cache_window_begin(struct cache *cache, struct cache_transfer *transfer)
{
    uint64_t number = transfer->offset / cache->window_bytes;
    uint64_t last = transfer->offset + transfer->length - 1;
    assert(transfer->length > 0 && last / cache->window_bytes == number);

    struct cache_window *window = window_find(cache, number);
    if (window && window->step >= WINDOW_WAITING)
        return false; /* it is being closed; it opens anew afterwards */
    if (!window) {
        window = window_take(cache, number);
        if (!window)
            return false;
        uint64_t *emptied = emptied_find(cache, number);
        if (emptied)
            *emptied = 0;
        window_note_others(cache, window);
    } else if (window->lingering) {
        window_reopen(cache, window);
    } else {
        note_arrivals(cache, window, transfer);
    }
    window->inflight++;
    window->used = ++cache->clock;
    window->drop_offset = 0;
    transfer->around = !transfer->writes && cache->around_block > 0 &&
                       (transfer->from_medium || others_in(cache, window, transfer));
    if (!transfer->around)
        window_touch(cache, window, transfer);
    return true;
}

bool cache_window_run_of_ours(const struct cache *cache, uint64_t *offset, uint64_t end,
                              uint64_t *length)
{
    const struct cache_window *window = window_find(cache, *offset / cache->window_bytes);
    uint64_t page_bytes = cache->residency.page_bytes;
    uint64_t base = align_down(*offset, cache->window_bytes);
    uint64_t first = (*offset - base) / page_bytes, behind = div_ceil(end - base, page_bytes);
    assert(window);
    bool found = pages_run(&window->before, &first, &behind);
    *offset = base + first * page_bytes;
    *length = (behind - first) * page_bytes;
    return found;
}

bool cache_window_is_open(const struct cache *cache, uint64_t offset)
{
    return window_find(cache, offset / cache->window_bytes) != NULL;
}

void cache_window_end(struct cache *cache, const struct cache_transfer *transfer)
{
    struct cache_window *window = window_find(cache, transfer->offset / cache->window_bytes);
    assert(window && window->inflight > 0);
    window->inflight--;
    if (transfer->writes) {
        window->dirty = true;
        if (window->step == WINDOW_STARTED)
            window->step = WINDOW_IDLE; /* what was written since has to be started as well */
    }
}

/* Has the work moved on? Another window was used later; one that is already being written back, if
 * `started`. */
static bool window_passed(const struct cache *cache, const struct cache_window *window,
                          bool started)
{
    struct cache_window *other = NULL;
    while ((other = window_each(cache, other))) {
        if (other->used > window->used && (!started || !other->dirty || other->step != WINDOW_IDLE))
            return true;
    }
    return false;
}

static struct request *window_request(const struct cache *cache, struct cache_window *window,
                                      enum request_kind kind)
{
    window->request = (struct request){
        .kind = kind,
        .fd = cache->file->fd,
        .offset = window->number * cache->window_bytes,
        .length = cache->window_bytes,
    };
    return &window->request;
}

/* The next run of pages that are ours to drop, from drop_offset on. NULL: the window is done. */
static struct request *window_drop(const struct cache *cache, struct cache_window *window)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t first = window->drop_offset / page_bytes, end = cache->window_bytes / page_bytes;
    struct request *request = window_request(cache, window, REQUEST_DROP);
    if (window->shared)
        return NULL;
    if (!window->before.known) { /* once more what an earlier drop may have missed */
        uint64_t again = min_u64(window->number, WINDOWS_DROPPED_AGAIN) * cache->window_bytes;
        if (window->drop_offset > 0)
            return NULL;
        window->drop_offset = cache->window_bytes;
        request->offset -= again;
        request->length += again;
        return request;
    }
    bool found = pages_run(&window->before, &first, &end);
    window->drop_offset = end * page_bytes;
    request->offset += first * page_bytes;
    request->length = (end - first) * page_bytes;
    return found ? request : NULL;
}

static void window_close(struct cache *cache, struct cache_window *window)
{
    cache_account_ours(&cache->account, 0, window->ours_bytes);
    window_linger(window);
    window->cache = NULL;
    cache->pool->windows_open--;
    cache->windows_open--;
    cache->closed_count++;
}

/* Is somebody else in this part of the file? Then what a drop has missed may be his. */
static bool others_near(const struct cache *cache, const struct cache_window *window)
{
    struct cache_window *other = NULL;
    while ((other = window_each(cache, other))) {
        if (!other->lingering && other->before.pages_count > 0)
            return true;
    }
    return !window->lingering && window->before.pages_count > 0;
}

static bool may_linger(const struct cache *cache, const struct cache_window *window)
{
    uint32_t count = 0;
    struct cache_window *other = NULL;
    while ((other = window_each(cache, other)))
        count += other->lingering;
    return window->drops_count < WINDOW_DROPS_MAX &&
           (window->lingering || count < CACHE_LINGERING_MAX);
}

/* What drops have missed to the last goes with what of ours is outside of windows, when all is
 * synced: whoever holds a page in one moment has let go of it by then. Without room there it is
 * left. */
static void window_put_off(struct cache *cache, const struct cache_window *window,
                           const struct cache_pages *spared)
{
    uint64_t page_bytes = cache->residency.page_bytes;
    uint64_t base = window->number * cache->window_bytes, pages = cache->window_bytes / page_bytes;
    uint64_t first = 0, end = pages;
    for (; pages_run(spared, &first, &end); first = end, end = pages) {
        if (!ranges_add(&cache->ours, base + first * page_bytes, base + end * page_bytes))
            cache->account.left_bytes += (end - first) * page_bytes;
    }
}

/* It has no transfers any more. A late one may have brought in what lies beside it, where the other
 * window was emptied already, or even the file has ended: at most a block of squashfs, or what a
 * cluster of EROFS has before it. */
static void note_overread(struct cache *cache, uint64_t number)
{
    uint64_t start = number * cache->window_bytes, end = start + cache->window_bytes;
    uint64_t most = min_u64(cache->window_bytes, MIB);
    const uint64_t beside[2] = {start - min_u64(start, most), end};
    const bool nobodys[2] = {number > 0 && emptied_find(cache, number - 1),
                             end >= cache->size_bytes || emptied_find(cache, number + 1)};
    for (int i = 0; i < 2 && filesystem_overreads(cache->file->filesystem); i++) {
        uint64_t bytes = 0;
        if (nobodys[i] &&
            residency_measure(&cache->residency, cache->file->fd, beside[i], most, &bytes) == 0 &&
            bytes > 0 && !ranges_add(&cache->ours, beside[i], beside[i] + most))
            cache->account.left_bytes += bytes;
    }
}

/* Dropped: look what is there still. A drop misses a folio that somebody else looks at in that
 * moment (measured: one 2 MiB window in 500 when a checkpoint's fdatasync walked over it). These
 * pages, and only these, are dropped again: at once, then when other windows have been closed. */
static void window_dropped(struct cache *cache, struct cache_window *window)
{
    struct cache_pages now;
    uint32_t missed_count = 0, lost_count = 0;
    look(cache, window->number, &now);
    for (size_t i = 0; now.known && i < sizeof(now.pages); i++) {
        uint8_t before = window->before.pages[i];
        missed_count += (uint32_t)__builtin_popcount(now.pages[i] & (uint8_t)~before);
        lost_count += (uint32_t)__builtin_popcount(before & (uint8_t)~now.pages[i]);
        now.pages[i] = (uint8_t) ~(now.pages[i] & (uint8_t)~before); /* spared next time */
    }
    if (window->drops_count == 0 && !window->shared)
        cache->account.others_lost_bytes += lost_count * cache->residency.page_bytes;
    window->drops_count++;
    bool theirs = window->shared || (window->drops_count > 1 && others_near(cache, window));
    if (theirs || missed_count == 0) {
        if (theirs)
            cache->account.others_bytes += missed_count * cache->residency.page_bytes;
        else if (now.known && now.pages_count == 0)
            emptied_add(cache, window->number);
        note_overread(cache, window->number);
        window_close(cache, window);
    } else if (may_linger(cache, window)) {
        uint32_t missed_bytes = missed_count * (uint32_t)cache->residency.page_bytes;
        cache_account_ours(&cache->account, missed_bytes, window->ours_bytes);
        window->ours_bytes = missed_bytes;
        window->before = now;
        window_linger(window);
        window->step = WINDOW_IDLE;
        window->drop_offset = 0;
        window->again_after = cache->closed_count + (window->drops_count > 1);
    } else {
        window_put_off(cache, window, &now);
        window_close(cache, window);
    }
}

/* One step of one window towards being closed, or NULL when it is not its time. */
static struct request *window_step(struct cache *cache, struct cache_window *window, bool pressed)
{
    if (window->dirty && window->step == WINDOW_IDLE && cache->range_writeback &&
        (pressed || window_passed(cache, window, false))) {
        window->step = WINDOW_STARTING;
        return window_request(cache, window, REQUEST_WRITEBACK_START);
    }
    bool idle = window->step == WINDOW_IDLE;
    if (window->dirty && (window->step == WINDOW_STARTED || (idle && !cache->range_writeback)) &&
        (pressed || window_passed(cache, window, cache->range_writeback))) {
        window->step = WINDOW_WAITING;
        window->dirty = false;
        return window_request(cache, window,
                              cache->range_writeback ? REQUEST_WRITEBACK_WAIT : REQUEST_DATASYNC);
    }
    if (!window->dirty && idle &&
        (pressed || window->lingering || window_passed(cache, window, false))) {
        if (window->drop_offset == 0)
            look_behind(cache, window);
        window->step = WINDOW_DROPPING;
        return window_drop(cache, window);
    }
    return NULL;
}

/* The oldest window without transfers and without a request of its own. One that lingers has time,
 * unless somebody waits for its place in the pool. */
static struct cache_window *window_oldest(struct cache *cache, uint64_t after, bool finish)
{
    struct cache_window *oldest = NULL, *window = NULL;
    while ((window = window_each(cache, window))) {
        bool resting = window->step == WINDOW_IDLE || window->step == WINDOW_STARTED;
        bool later = window->lingering && !finish && !pool_is_full(cache->pool) &&
                     cache->closed_count < window->again_after;
        if (window->inflight == 0 && resting && !later && window->used > after &&
            (!oldest || window->used < oldest->used))
            oldest = window;
    }
    return oldest;
}

/* What came back since: close it, or find out what is left. */
static void close_dropped(struct cache *cache)
{
    struct cache_window *window = NULL;
    while ((window = window_each(cache, window))) {
        if (window->step == WINDOW_DROPPED)
            window_dropped(cache, window);
    }
}

struct request *cache_window_next(struct cache *cache, enum cache_urgency urgency)
{
    bool finish = urgency == CACHE_FINISH;
    close_dropped(cache);
    struct cache_window *window = window_oldest(cache, 0, finish);
    /* Pressed: only the oldest must go; the others take their time. */
    bool pressed = urgency != CACHE_RELAXED;
    while (window) {
        uint64_t used = window->used;
        struct request *request = window_step(cache, window, pressed);
        if (request)
            return request;
        if (window->step == WINDOW_DROPPING) { /* nothing in it is ours to drop, or no more */
            window_dropped(cache, window);
            window = window_oldest(cache, 0, finish);
            continue;
        }
        pressed = finish;
        window = window_oldest(cache, used, finish);
    }
    return NULL;
}

int cache_window_reaped(struct cache *cache, struct request *request)
{
    struct cache_window *window =
        (struct cache_window *)((char *)request - offsetof(struct cache_window, request));
    assert(window >= cache->pool->windows &&
           window < cache->pool->windows + COUNT_OF(cache->pool->windows) &&
           window->cache == cache);
    switch (window->step) {
    case WINDOW_STARTING:
        window->step = WINDOW_STARTED;
        break;
    case WINDOW_WAITING:
        window->step = WINDOW_IDLE; /* clean now; the next step drops it */
        break;
    case WINDOW_DROPPING:
        window->step = WINDOW_IDLE;
        if (window->drop_offset < cache->window_bytes)
            break;
        if (window->before.known)
            window->step = WINDOW_DROPPED;
        else
            window_close(cache, window);
        break;
    case WINDOW_IDLE:
    case WINDOW_STARTED:
    case WINDOW_DROPPED:
        assert(false && "a window without a request gave one back");
    }
    return request->kind == REQUEST_DROP ? 0 : request->result;
}

void cache_window_close(struct cache *cache)
{
    struct cache_window *window = NULL;
    while ((window = window_each(cache, window)))
        window_close(cache, window);
    for (uint32_t i = 0; i < COUNT_OF(cache->pool->ahead); i++) {
        if (cache->pool->ahead[i].cache == cache)
            cache->pool->ahead[i].cache = NULL;
    }
}
