/* cache.c - one file's data and the page cache: the choice, with its evidence, which way each
 * transfer goes, the requests, the figures. The windows are in cache_window.c, the watch over
 * direct I/O in cache_direct.c. */
#include "cache_parts.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/disk/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Memory, offset and length are aligned to this or more everywhere but the tail. */
    BLOCK_BYTES = 4096,
    BLOCK_BYTES_MAX = 65536,
    PLAIN_LOOK_BYTES = 1024 * 1024 * 1024, /* that much can be looked at without anybody waiting */
};

/* ---- how large ---- */

/* Windows small and few enough for --cache-max, as far as that goes. */
static uint32_t choose_windows(const struct cache_pool *pool, const struct job *job, bool reading,
                               uint32_t *windows_limit)
{
    uint32_t window_bytes = (uint32_t)max_u64(pool->window_bytes, job->chunk_bytes);
    uint32_t least =
        (uint32_t)min_u64(max_u64(CACHE_WINDOW_BYTES_MIN, job->chunk_bytes), window_bytes);
    uint64_t most = job->wish.cache_max_set ? job->wish.cache_max_bytes : NUM_UNKNOWN;
    /* Being filled, being written back, being dropped. */
    *windows_limit = pool->windows_count ? pool->windows_count : 3;
    while (window_bytes > least && (uint64_t)*windows_limit * window_bytes > most)
        window_bytes /= 2;
    if ((uint64_t)*windows_limit * window_bytes > most)
        *windows_limit = 2;
    if (reading && window_bytes > least) { /* nothing is gained by dropping more at a time */
        *windows_limit =
            num_u32(min_u64(*windows_limit * (window_bytes / least), CACHE_WINDOWS_MAX));
        window_bytes = least;
    }
    return window_bytes;
}

static uint64_t choose_max(const struct cache_pool *pool, const struct job *job, uint64_t windows)
{
    return job->wish.cache_max_set ? job->wish.cache_max_bytes : pool->in_flight_bytes + windows;
}

int cache_refuse(const struct cache_pool *pool, const struct job *job,
                 const struct cache_need *need, struct error *err)
{
    char size[TEXT_NUMBER_BYTES];
    uint32_t windows_limit;
    uint32_t window_bytes = choose_windows(pool, job, need->reading, &windows_limit);
    uint64_t windows = (uint64_t)windows_limit * window_bytes, most_bytes = 0;
    if (need->kind == POLICY_PLAIN)
        most_bytes = need->size_bytes;
    else if (need->kind == POLICY_WINDOW)
        most_bytes = min_u64(need->size_bytes, windows);
    if (need->kind == POLICY_WINDOW && pool->windows_do_not_fit)
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "%s: not enough memory for windows of the page cache (%s); %u of %s "
                               "do not fit beside the buffers",
                               need->path, need->why, windows_limit, text_size(size, window_bytes));
    if (!job->wish.strict || most_bytes <= choose_max(pool, job, windows))
        return 0;
    return error_set_class(err, ERROR_CACHE, ENOBUFS,
                           "%s: %s would %s in the page cache (%s), and --strict forbids it",
                           need->path, text_size(size, most_bytes),
                           need->kind == POLICY_PLAIN ? "stay" : "be at a time", need->why);
}

/* ---- which way ---- */

static void because(struct cache *cache, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void because(struct cache *cache, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(cache->why, sizeof(cache->why), format, args);
    va_end(args);
}

/* sync_file_range starts and waits for write-back on these. On overlayfs it returns 0 and does
 * nothing, FUSE has no way to pass it on; of others nothing is known, so they get
 * fdatasync. */
static bool has_range_writeback(uint64_t filesystem)
{
    return filesystem == EXT4_SUPER_MAGIC || filesystem == BTRFS_SUPER_MAGIC ||
           filesystem == FILESYSTEM_XFS || filesystem == F2FS_SUPER_MAGIC;
}

static int open_direct(struct file *file, int access)
{
    int fd = file_reopen(file, access | O_DIRECT);
    if (fd < 0)
        return fd;
    if (file->fd_direct >= 0)
        close(file->fd_direct);
    file->fd_direct = fd;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* should it be buffered after all */
    return 0;
}

/* Other filesystems take the flag and buffer all the same. */
static bool is_vouched(const struct file *file)
{
    return file->dio_known && file->dio_memory_bytes > 0 && file->readable;
}

static uint32_t block_bytes(const struct file *file)
{
    uint64_t wanted = max_u64(file->dio_offset_bytes, file->dio_memory_bytes);
    if (!file->dio_known || !is_power_of_two(wanted) || wanted > BLOCK_BYTES_MAX)
        return BLOCK_BYTES;
    return (uint32_t)max_u64(BLOCK_BYTES, wanted);
}

/* One real aligned read: the only way to know where statx does not tell. 0 or -errno. */
static int probe_read(const struct file *file)
{
    void *buffer;
    if (!file->readable)
        return 0;
    if (posix_memalign(&buffer, BLOCK_BYTES, BLOCK_BYTES) != 0)
        return -ENOMEM;
    ssize_t got = pread(file->fd_direct, buffer, BLOCK_BYTES, 0);
    int result = got < 0 ? -errno : 0;
    free(buffer);
    return file_is_unreadable(result) ? 0 : result; /* that is no refusal */
}

/* What is known before the first transfer. false: it cannot be direct; why is set. */
static bool choose_direct(struct cache *cache)
{
    struct file *file = cache->file;
    char name[32];
    filesystem_name(file->filesystem, name, sizeof(name));
    if (file->facts.kind == FILE_DEVICE)
        snprintf(name, sizeof(name), "block device");
    if (file->dio_known && file->dio_memory_bytes == 0) {
        because(cache, "%s would silently buffer direct I/O (statx)", name);
        return false;
    }
    int access = file->writable ? (file->readable ? O_RDWR : O_WRONLY) : O_RDONLY;
    int result = open_direct(file, access);
    if (result == 0 && !file->dio_known)
        result = probe_read(file);
    if (result == 0) {
        cache->kind = POLICY_DIRECT;
        cache->block = block_bytes(file);
        because(cache, "O_DIRECT on %s, %s", name,
                file->dio_known ? "alignment from statx" : "tried, and measured as it goes");
        return true;
    }
    if (file->fd_direct >= 0)
        close(file->fd_direct);
    file->fd_direct = -1;
    because(cache, "O_DIRECT refused by %s: %s", name, strerror(-result));
    return false;
}

static void choose(struct cache *cache, enum policy_kind wish)
{
    struct file *file = cache->file;
    cache->kind = POLICY_PLAIN;
    if (wish == POLICY_PLAIN) {
        because(cache, "as asked for");
    } else if (file->facts.kind == FILE_REGULAR && filesystem_is_memory(file->filesystem)) {
        because(cache, "the filesystem is itself page cache");
    } else if (wish == POLICY_WINDOW) {
        cache_window_become(cache, "as asked for");
        /* Direct I/O reads what others have cached, and what the cache must not answer. */
        if (is_vouched(file) && open_direct(file, O_RDONLY) == 0)
            cache->around_block = block_bytes(file);
    } else if (!choose_direct(cache)) {
        cache_window_become(cache, NULL);
    }
}

int cache_open(struct cache *cache, struct cache_pool *pool, struct file *file,
               const struct job *job, const struct cache_need *need, struct error *err)
{
    enum policy_kind wish = job->wish.cache;
    *cache = (struct cache){
        .file = file,
        .pool = pool,
        .block = 1,
        .size_bytes = need->size_bytes,
        .reading = need->reading,
        .strict = job->wish.strict,
        .range_writeback = has_range_writeback(file->filesystem),
        .chain_number = NUM_UNKNOWN,
    };
    cache->window_bytes = choose_windows(pool, job, need->reading, &cache->windows_limit);
    uint64_t windows = (uint64_t)cache->windows_limit * cache->window_bytes;
    assert(is_power_of_two(cache->window_bytes) && cache->window_bytes <= CACHE_WINDOW_BYTES_MAX);
    cache->cache_max_bytes = choose_max(pool, job, windows);
    residency_init(&cache->residency, file->fd);
    cache->residency.view = &cache->view;
    cache->begin_bytes = cache_direct_resident(cache, 0, CACHE_SPILL_BYTES_MAX);
    choose(cache, wish);
    cache_direct_start(cache);
    /* Nothing is done about a cache that is filled: one look before, one behind. */
    if (cache->kind == POLICY_PLAIN)
        cache->account.others_bytes = cache_direct_resident(cache, 0, PLAIN_LOOK_BYTES);
    if (wish != POLICY_AUTO && cache->kind != wish)
        log_note("%s: %s was asked for and is not possible, using %s: %s", need->path,
                 policy_name(wish), policy_name(cache->kind), cache->why);
    log_verbose("%s: policy=%s block=%u (%s)", need->path, policy_name(cache->kind), cache->block,
                cache->why);
    struct cache_need found = *need;
    found.kind = cache->kind;
    found.why = cache->why;
    return cache_refuse(pool, job, &found, err);
}

void cache_close(struct cache *cache)
{
    if (cache->pool)
        cache_window_close(cache);
    residency_release(&cache->view);
}

/* ---- transfers ---- */

/* Is a direct write under way in the window that this one is to open? Beside a window that is
 * written direct writes are not safe (the kernel fails the next sync with EIO when it cannot throw
 * out a folio that reaches into both), so a window's chunks go one way. */
static bool direct_beside(const struct cache *cache, const struct cache_transfer *transfer)
{
    uint64_t number = transfer->offset / cache->window_bytes;
    for (const struct queue_link *item = cache->transfers.first; item; item = item->next) {
        const struct cache_transfer *other = (const struct cache_transfer *)item;
        if (other->direct && other->writes && other->offset / cache->window_bytes == number)
            return true;
    }
    return false;
}

static bool goes_by_window(const struct cache *cache, const struct cache_transfer *transfer)
{
    if (cache->kind != POLICY_DIRECT)
        return cache->kind == POLICY_WINDOW;
    return transfer->writes && (cache_window_is_open(cache, transfer->offset) ||
                                cache_direct_meets_others(cache, transfer));
}

/* What goes through the cache beside direct I/O is ours, but for pages that were there before.
 * Where nobody can tell, our own promise comes first. */
static void touch_range(struct cache *cache, uint64_t start, uint64_t end)
{
    uint64_t page_bytes = cache->residency.page_bytes;
    start = align_down(start, page_bytes);
    end = align_up(end, page_bytes);
    uint64_t there = cache_direct_resident(cache, start, end - start);
    bool some = there != 0 && there != NUM_UNKNOWN;
    if (!some)
        (void)ranges_add(&cache->ours, start, end);
    for (uint64_t page = start; some && page < end; page += page_bytes) {
        if (cache_direct_resident(cache, page, page_bytes) == 0)
            (void)ranges_add(&cache->ours, page, page + page_bytes);
    }
}

bool cache_begin(struct cache *cache, struct cache_transfer *transfer)
{
    assert(!transfer->begun);
    cache_direct_before(cache, transfer); /* what a held one was told may be old */
    transfer->around = false;
    transfer->windowed = goes_by_window(cache, transfer);
    if (transfer->windowed &&
        (direct_beside(cache, transfer) || !cache_window_begin(cache, transfer)))
        return false;
    /* A write of a part of the file may begin within a block: that chunk goes through the cache. */
    bool within = transfer->writes && transfer->offset % cache->block != 0;
    bool direct = cache->kind == POLICY_DIRECT && !transfer->windowed && !within;
    if (within && cache->kind == POLICY_DIRECT && !transfer->windowed)
        touch_range(cache, transfer->offset, transfer->offset + transfer->length);
    transfer->direct = direct || transfer->around;
    transfer->block = direct ? cache->block : transfer->around ? cache->around_block : 1;
    transfer->begun = true;
    queue_put(&cache->transfers, &transfer->link);
    return true;
}

void cache_end(struct cache *cache, struct cache_transfer *transfer, bool moved)
{
    assert(transfer->begun);
    if (moved)
        cache_direct_after(cache, transfer);
    if (transfer->windowed)
        cache_window_end(cache, transfer);
    queue_remove(&cache->transfers, &transfer->link);
    transfer->begun = false;
}

void cache_refused(struct cache *cache, struct cache_transfer *transfer)
{
    if (cache->kind != POLICY_DIRECT)
        cache->medium = CACHE_MEDIUM_BUFFERED;
    if (cache->kind == POLICY_DIRECT) {
        cache_window_become(cache, "O_DIRECT was accepted at open and refused at work");
        log_note("%s: direct I/O is refused here; going on in windows", cache->file->path);
    }
    cache->around_block = 0;
    cache_end(cache, transfer, transfer->probes_stayed > 0);
}

/* Direct I/O reads the medium of a file that is copied through the cache as well: the kernel writes
 * back what is dirty in the range, reads below the cache, and drops nothing of anybody. */
static bool medium_is_direct(struct cache *cache)
{
    struct file *file = cache->file;
    if (cache->medium == CACHE_MEDIUM_UNKNOWN) {
        bool possible = is_vouched(file) && file->fd_direct < 0; /* else it was given up */
        if (possible)
            file->fd_direct = file_reopen(file, O_RDONLY | O_DIRECT);
        cache->medium =
            possible && file->fd_direct >= 0 ? CACHE_MEDIUM_DIRECT : CACHE_MEDIUM_BUFFERED;
    }
    return cache->medium == CACHE_MEDIUM_DIRECT;
}

int cache_read_fd(struct cache *cache, const struct cache_transfer *transfer, uint32_t *block)
{
    *block = transfer->block;
    if (transfer->direct)
        return cache->file->fd_direct;
    if (!transfer->from_medium)
        return cache->file->fd;
    if (medium_is_direct(cache)) {
        *block = block_bytes(cache->file);
        return cache->file->fd_direct;
    }
    /* What is ours has been dropped: what is there is counted, so that the receipt does not call it
     * the medium. */
    uint64_t bytes = cache_direct_resident(cache, transfer->offset, transfer->length);
    cache->reread_cached_bytes += min_u64(bytes, transfer->length); /* unknown: all of it */
    return cache->file->fd;
}

int cache_read_beside(struct cache *cache, const struct cache_transfer *transfer)
{
    (void)posix_fadvise(cache->file->fd, 0, 0, POSIX_FADV_RANDOM); /* no pages beyond it */
    if (transfer->direct)
        touch_range(cache, transfer->offset, transfer->offset + transfer->length);
    return cache->file->fd;
}

bool cache_settle(struct cache *cache, struct cache_transfer *transfer, struct request *request)
{
    if (!transfer->from_medium || !transfer->windowed || (transfer->direct && cache->reading))
        return false;
    *request = (struct request){
        .kind = cache->range_writeback ? REQUEST_WRITEBACK_WAIT : REQUEST_DATASYNC,
        .fd = cache->file->fd,
        .offset = align_down(transfer->offset, cache->window_bytes),
        .length = cache->window_bytes,
    };
    transfer->epoch = cache->epoch;
    cache->writebacks[cache->epoch]++;
    return true;
}

void cache_settled(struct cache *cache, const struct cache_transfer *transfer)
{
    assert(cache->writebacks[transfer->epoch] > 0);
    cache->writebacks[transfer->epoch]--;
}

bool cache_evict(const struct cache *cache, const struct cache_transfer *transfer, uint64_t *cursor,
                 struct request *request)
{
    uint64_t length, end = transfer->offset + transfer->length;
    if (transfer->direct || *cursor >= end ||
        !cache_window_run_of_ours(cache, cursor, end, &length))
        return false;
    *request = (struct request){
        .kind = REQUEST_DROP,
        .fd = cache->file->fd,
        .offset = *cursor,
        .length = length,
    };
    *cursor += length;
    return true;
}

void cache_touch(struct cache *cache, uint64_t offset)
{
    touch_range(cache, offset, offset + 1);
}

void cache_touch_edge(struct cache *cache, uint64_t edge)
{
    if (edge % cache->residency.page_bytes != 0)
        cache_touch(cache, edge);
}

/* ---- write-backs and drops ---- */

static bool waits_for_writeback(const struct request *request)
{
    return request->kind == REQUEST_WRITEBACK_WAIT || request->kind == REQUEST_DATASYNC;
}

static struct cache_window *window_of(struct request *request)
{
    return (struct cache_window *)((char *)request - offsetof(struct cache_window, request));
}

/* One range after the other. */
static struct request *next_sweep(struct cache *cache)
{
    uint64_t end = min_u64(cache->sweep_end, cache->ours.count);
    if (cache->sweeping || cache->sweep_next >= end)
        return NULL;
    const struct range *range = &cache->ours.all[cache->sweep_next++];
    cache->sweep = (struct request){
        .kind = REQUEST_DROP,
        .fd = cache->file->fd,
        .offset = range->start,
        .length = range->end - range->start,
    };
    cache->sweeping = true;
    return &cache->sweep;
}

struct request *cache_next(struct cache *cache, enum cache_urgency urgency)
{
    struct request *request = next_sweep(cache);
    if (request)
        return request;
    request = cache_window_next(cache, urgency);
    if (request && waits_for_writeback(request)) {
        window_of(request)->epoch = cache->epoch;
        cache->writebacks[cache->epoch]++;
    }
    return request;
}

int cache_reaped(struct cache *cache, struct request *request)
{
    if (request == &cache->sweep) {
        cache->sweeping = false;
        return 0;
    }
    if (waits_for_writeback(request)) {
        assert(cache->writebacks[window_of(request)->epoch] > 0);
        cache->writebacks[window_of(request)->epoch]--;
    }
    return cache_window_reaped(cache, request);
}

void cache_finish(struct cache *cache)
{
    cache_direct_finish(cache);
    cache->sweep_next = 0;
    cache->sweep_end = cache->ours.count;
}

bool cache_idle(const struct cache *cache)
{
    return cache->windows_open == 0 && !cache->sweeping &&
           cache->sweep_next >= min_u64(cache->sweep_end, cache->ours.count);
}

void cache_synced(struct cache *cache)
{
    cache->epoch = 1 - cache->epoch;
}

bool cache_heard(const struct cache *cache)
{
    return cache->writebacks[1 - cache->epoch] == 0;
}

void cache_report(struct cache *cache, struct side_report *report)
{
    const struct cache_account *account = &cache->account;
    const struct copy_up_left *copy_up = &cache->file->copy_up;
    bool known = cache->residency.method != RESIDENCY_NONE && !cache_direct_unresolved(cache) &&
                 copy_up->left_bytes != NUM_UNKNOWN;
    uint64_t others_bytes = account->others_bytes;
    uint64_t kept_bytes = others_bytes - min_u64(others_bytes, account->others_lost_bytes);
    uint64_t after_bytes =
        kept_bytes + account->left_bytes + cache_direct_resident_ours(cache, 0, NUM_OFFSET_MAX);
    if (cache->kind == POLICY_PLAIN) {
        after_bytes = cache_direct_resident(cache, 0, PLAIN_LOOK_BYTES);
        known = known && cache->size_bytes <= PLAIN_LOOK_BYTES;
    }
    after_bytes += known ? copy_up->left_bytes : 0;
    uint64_t ours_bytes = max_u64(account->ours_peak_bytes, copy_up->peak_bytes);
    report->policy = cache->kind;
    report->resident_before_bytes = known ? others_bytes : NUM_UNKNOWN;
    report->resident_peak_bytes =
        known ? max_u64(others_bytes + ours_bytes, after_bytes) : NUM_UNKNOWN;
    report->resident_after_bytes = known ? after_bytes : NUM_UNKNOWN;
    report->reread_cached_bytes = cache->reread_cached_bytes;
}
