/* policy_window.c - the policy `window`: which parts of a file are in the cache because of us, and
 * the requests that get them out again, while the copy goes on.
 *
 * A window is opened by the first transfer in it and closed when transfers have moved on to a newer
 * one. Closing a clean window is a drop. A dirty one is first written back: started when a newer
 * window is open, waited for when a newer one has been started, then dropped.
 * Measured: lagged like this, windows of 8, 4 or 1 MiB leave 0 pages and peak at 15, 7 or 1 MiB,
 * while dropping without waiting, or waiting without dropping, leaves the whole file. Dropping half
 * of a large folio does nothing, hence whole windows aligned to 2 MiB. */
#include "haul/cleanup.h"
#include "haul/num.h"
#include "haul/policy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Where nobody tells what a drop has missed, it goes back over the windows before its own, which
 * costs nothing when they are empty. Where it can be seen, the pages are dropped so many times. */
enum { WINDOWS_DROPPED_AGAIN = 4, WINDOW_DROPS_MAX = 5 };

static struct policy_window *policy_window_find(struct policy *policy, uint64_t number)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        if (policy->windows[i].open && policy->windows[i].number == number)
            return &policy->windows[i];
    }
    return NULL;
}

/* A free place, unless the limit is reached. */
static struct policy_window *policy_window_place(struct policy *policy)
{
    struct policy_window *place = NULL;
    uint32_t open_count = 0;
    assert(policy->windows_limit >= 2 && policy->windows_limit <= POLICY_WINDOWS_MAX);
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        struct policy_window *window = &policy->windows[i];
        open_count += window->open && !window->lingering;
        if (!window->open && !place)
            place = window;
    }
    return open_count < policy->windows_limit ? place : NULL;
}

/* A window that has pages of ours from elsewhere drops them with its own. */
static void policy_mask_ours(const struct policy *policy, struct policy_cached *cached)
{
    uint64_t page_bytes = policy->residency.page_bytes;
    uint64_t first = cached->number * (policy->window_bytes / page_bytes);
    uint64_t pages = policy->window_bytes / page_bytes;
    for (uint32_t i = 0; i < policy->ours.count; i++) {
        uint64_t start = max_u64(policy->ours.all[i].start / page_bytes, first);
        uint64_t end = min_u64(div_ceil(policy->ours.all[i].end, page_bytes), first + pages);
        for (uint64_t page = start; page < end; page++)
            cached->pages[(page - first) / 8] &= (uint8_t) ~(1u << (page - first) % 8);
    }
}

typedef int policy_measure(const struct residency *residency, int fd, uint64_t offset,
                           uint64_t length, uint64_t *bytes);

static void policy_look_by(const struct policy *policy, const struct file *file, uint64_t number,
                           policy_measure *measure, struct policy_cached *cached)
{
    uint64_t offset = number * policy->window_bytes, bytes = 0;
    *cached = (struct policy_cached){.number = number};
    if (policy->residency.method == RESIDENCY_NONE ||
        offset > NUM_OFFSET_MAX - policy->window_bytes)
        return;
    cached->known =
        measure(&policy->residency, file->fd, offset, policy->window_bytes, &bytes) == 0;
    if (!cached->known || bytes == 0)
        return;
    cached->known = residency_map(&policy->residency, file->fd, offset, policy->window_bytes,
                                  cached->pages, sizeof(cached->pages) * 8) == 0;
    if (policy->ours.count > 0)
        policy_mask_ours(policy, cached);
    for (size_t i = 0; i < sizeof(cached->pages); i++)
        cached->pages_count += (uint32_t)__builtin_popcount(cached->pages[i]);
}

static void policy_look(const struct policy *policy, const struct file *file, uint64_t number,
                        struct policy_cached *cached)
{
    policy_look_by(policy, file, number, residency_measure, cached);
}

static struct policy_cached *policy_ahead_find(struct policy *policy, uint64_t number)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->ahead); i++) {
        if (policy->ahead[i].known && policy->ahead[i].number == number)
            return &policy->ahead[i];
    }
    return NULL;
}

/* How many windows ahead our own read-ahead has not been yet. */
static uint32_t policy_horizon(const struct policy *policy)
{
    return num_u32(clamp_u64(POLICY_HORIZON_BYTES / policy->window_bytes, 1, POLICY_HORIZON_MAX));
}

/* So many pages of the file are in a window. */
static uint64_t policy_window_pages(const struct policy *policy, uint64_t number)
{
    uint64_t offset = number * policy->window_bytes;
    if (offset >= policy->size_bytes)
        return 0;
    return div_ceil(min_u64(policy->size_bytes - offset, policy->window_bytes),
                    policy->residency.page_bytes);
}

/* Was next to nothing there, and is nearly all there now? Of the part that the file has. */
static bool policy_filled(const struct policy *policy, const struct policy_cached *then,
                          const struct policy_cached *now)
{
    uint64_t pages = policy_window_pages(policy, now->number);
    if (!then || !now->known || pages == 0)
        return false;
    return then->pages_count <= pages / 4 && now->pages_count >= pages - pages / 4;
}

/* Somebody reads through the file and has just overtaken us: the pages of the open windows, which
 * we brought in, he has read. They are his now. He may also have come alongside only: what we
 * bring in in the next few windows he is about to read. */
static void policy_overtaken(struct policy *policy, const struct policy_window *opened)
{
    uint64_t start = NUM_UNKNOWN, end = 0;
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        struct policy_window *window = &policy->windows[i];
        if (!window->open || !window->before.known)
            continue;
        window->shared |= window != opened;
        start = min_u64(start, window->number);
        end = max_u64(end, window->number + 1);
    }
    policy->company_start = start;
    policy->company_end = end + max_u64(POLICY_COMPANY_BYTES / policy->window_bytes, 1);
}

static uint64_t *policy_emptied_find(struct policy *policy, uint64_t number)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->emptied); i++) {
        if (policy->emptied[i] == number + 1)
            return &policy->emptied[i];
    }
    return NULL;
}

static void policy_emptied_add(struct policy *policy, uint64_t number)
{
    policy->emptied[policy->emptied_next] = number + 1;
    policy->emptied_next = (policy->emptied_next + 1) % COUNT_OF(policy->emptied);
}

/* A window is about to be dropped. We have left nothing in the one behind it: if that is full,
 * somebody has read through it since, and what he found in this one he has read as well. */
static void policy_look_behind(struct policy *policy, struct policy_window *window,
                               const struct file *file)
{
    window->shared |= window->before.known && window->number >= policy->company_start &&
                      window->number < policy->company_end;
    uint64_t *emptied = NULL;
    uint64_t bytes = 0;
    if (window->number > 0 && window->before.known && !window->shared)
        emptied = policy_emptied_find(policy, window->number - 1);
    if (!emptied || residency_measure_likely_none(&policy->residency, file->fd,
                                                  (window->number - 1) * policy->window_bytes,
                                                  policy->window_bytes, &bytes) != 0)
        return;
    uint64_t pages = policy_window_pages(policy, window->number - 1);
    if (bytes / policy->residency.page_bytes < pages - pages / 8)
        return;
    *emptied = 0;
    policy_overtaken(policy, NULL);
}

/* Whatever is in the cache and was not brought in by us is another's. Not so where our own
 * read-ahead may have run: there, what was seen when the window was opened counts. */
static bool policy_is_exact(const struct policy *policy)
{
    return policy->kind == POLICY_DIRECT || policy->around_block > 0;
}

/* Up to the horizon, each window once and before anything of ours can be in it. Where our own
 * read-ahead does not run, it only matters whether a window is nearly full. */
static void policy_look_ahead(struct policy *policy, const struct file *file, uint64_t number)
{
    policy_measure *measure =
        policy_is_exact(policy) ? residency_measure_likely_none : residency_measure;
    for (uint64_t i = number + 1; i <= number + policy_horizon(policy); i++) {
        if (i * policy->window_bytes >= policy->size_bytes || policy_window_find(policy, i) ||
            policy_ahead_find(policy, i))
            continue;
        policy_look_by(policy, file, i, measure, &policy->ahead[policy->ahead_next]);
        policy->ahead_next = (policy->ahead_next + 1) % COUNT_OF(policy->ahead);
    }
}

/* Which pages of a window are another's: those that are there when it is opened. But behind a
 * window with pages of others, what has come in since it was seen from afar may be ours: a page
 * that somebody's read-ahead has marked starts read-ahead again when we come by, whatever
 * POSIX_FADV_RANDOM says (mm/filemap.c, filemap_readahead), and that marks a further page. There,
 * what was seen from afar counts. */
static void policy_window_note_others(struct policy *policy, struct policy_window *window,
                                      const struct file *file)
{
    uint64_t number = window->number;
    struct policy_cached *ahead = policy_ahead_find(policy, number);
    policy_look(policy, file, number, &window->before);
    if (!window->before.known)
        return;
    bool marked = window->before.pages_count > 0 && !policy_is_exact(policy);
    if (ahead && number > 0 && policy->chain_number == number - 1) /* never when exact */
        window->before = *ahead;
    else if (policy_filled(policy, ahead, &window->before))
        policy_overtaken(policy, window);
    if (ahead)
        ahead->known = false; /* from now on there are pages of ours in it */
    if (marked)
        policy->chain_number = number;
    policy_look_ahead(policy, file, number);
    if (policy->kind == POLICY_WINDOW) /* else each transfer is counted */
        policy_account_others(&policy->account, number * policy->window_bytes,
                              (number + 1) * policy->window_bytes,
                              window->before.pages_count * policy->residency.page_bytes);
}

/* A window with pages that a drop has missed is used again: they are ours, what else is there is
 * not. */
static void policy_window_reopen(struct policy *policy, struct policy_window *window,
                                 const struct file *file)
{
    struct policy_cached spared = window->before;
    policy_look(policy, file, window->number, &window->before);
    window->before.pages_count = 0;
    for (size_t i = 0; i < sizeof(spared.pages); i++) {
        window->before.pages[i] &= spared.pages[i];
        window->before.pages_count += (uint32_t)__builtin_popcount(window->before.pages[i]);
    }
    window->lingering = false;
    window->drops_count = 0;
}

/* The pages of the transfer, as pages of its window: [*first, *end). */
static void policy_pages(const struct policy *policy, const struct policy_transfer *transfer,
                         uint32_t *first, uint32_t *end)
{
    uint64_t page_bytes = policy->residency.page_bytes;
    uint64_t within = transfer->offset % policy->window_bytes;
    *first = num_u32(within / page_bytes);
    *end = num_u32(div_ceil(within + transfer->length, page_bytes));
}

/* Pages that came in since the window was opened. One chunk that is full now and had nothing tells
 * of a reader who has just gone through. */
static void policy_note_arrivals(struct policy *policy, struct policy_window *window,
                                 const struct file *file, const struct policy_transfer *transfer)
{
    struct policy_cached now;
    uint32_t first, end, arrivals = 0, untouched = 0;
    uint64_t bytes = 0;
    if (!window->before.known || !policy_is_exact(policy) ||
        residency_measure(&policy->residency, file->fd, transfer->offset, transfer->length,
                          &bytes) != 0 ||
        bytes == 0)
        return;
    policy_look(policy, file, window->number, &now);
    policy_pages(policy, transfer, &first, &end);
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
    policy->account.others_bytes +=
        policy->kind == POLICY_WINDOW ? arrivals * policy->residency.page_bytes : 0;
    if (arrivals > 0 && arrivals == untouched && arrivals == end - first)
        policy_overtaken(policy, NULL);
}

static bool policy_others_in(const struct policy *policy, const struct policy_window *window,
                             const struct policy_transfer *transfer)
{
    uint32_t first, end;
    if (!window->before.known || window->before.pages_count == 0)
        return false;
    policy_pages(policy, transfer, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (window->before.pages[i / 8] >> (i % 8) & 1)
            return true;
    }
    return false;
}

/* What of a window can be ours, at most. */
static void policy_window_touch(struct policy *policy, struct policy_window *window,
                                const struct policy_transfer *transfer)
{
    uint32_t first, end, ours = 0;
    if (!window->before.known) {
        ours =
            num_u32(min_u64((uint64_t)window->ours_bytes + transfer->length, policy->window_bytes));
    } else {
        policy_pages(policy, transfer, &first, &end);
        for (uint32_t i = first; i < end; i++)
            window->touched[i / 8] |= (uint8_t)(1u << i % 8);
        for (size_t i = 0; i < sizeof(window->touched); i++)
            ours += (uint32_t)__builtin_popcount(window->touched[i] &
                                                 (uint8_t)~window->before.pages[i]);
        ours *= (uint32_t)policy->residency.page_bytes;
    }
    policy_account_ours(&policy->account, ours, window->ours_bytes);
    window->ours_bytes = ours;
}

bool policy_begin(struct policy *policy, const struct file *file, const struct residency *residency,
                  struct policy_transfer *transfer)
{
    uint64_t number = transfer->offset / policy->window_bytes;
    uint64_t last = transfer->offset + transfer->length - 1;
    assert(transfer->length > 0 && last / policy->window_bytes == number);

    struct policy_window *window = policy_window_find(policy, number);
    if (window && window->step >= WINDOW_WAITING)
        return false; /* it is being closed; it opens anew afterwards */
    policy->residency = *residency;
    if (!window) {
        window = policy_window_place(policy);
        if (!window)
            return false;
        *window = (struct policy_window){.open = true, .number = number};
        uint64_t *emptied = policy_emptied_find(policy, number);
        if (emptied)
            *emptied = 0;
        policy_window_note_others(policy, window, file);
    } else if (window->lingering) {
        policy_window_reopen(policy, window, file);
    } else {
        policy_note_arrivals(policy, window, file, transfer);
    }
    window->inflight++;
    window->used = ++policy->clock;
    window->drop_offset = 0;
    transfer->others = policy_others_in(policy, window, transfer);
    transfer->around = !transfer->writes && policy->around_block > 0 &&
                       (transfer->others || transfer->from_medium);
    if (!transfer->around)
        policy_window_touch(policy, window, transfer);
    return true;
}

bool policy_run_of_ours(const struct policy *policy, uint64_t *offset, uint64_t end,
                        uint64_t *length)
{
    const struct policy_window *window =
        policy_window_find((struct policy *)(uintptr_t)policy, *offset / policy->window_bytes);
    uint64_t page_bytes = policy->residency.page_bytes;
    uint64_t base = align_down(*offset, policy->window_bytes);
    uint64_t first = (*offset - base) / page_bytes, last = div_ceil(end - base, page_bytes);
    assert(window);
    while (first < last && (window->before.pages[first / 8] >> (first % 8) & 1))
        first++;
    uint64_t behind = first;
    while (behind < last && !(window->before.pages[behind / 8] >> (behind % 8) & 1))
        behind++;
    *offset = base + first * page_bytes;
    *length = (behind - first) * page_bytes;
    return first < behind;
}

bool policy_is_open(const struct policy *policy, uint64_t offset)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        if (policy->windows[i].open && policy->windows[i].number == offset / policy->window_bytes)
            return true;
    }
    return false;
}

void policy_end(struct policy *policy, uint64_t offset, uint32_t length, bool wrote)
{
    struct policy_window *window = policy_window_find(policy, offset / policy->window_bytes);
    (void)length;
    assert(window && window->inflight > 0);
    window->inflight--;
    if (wrote) {
        window->dirty = true;
        if (window->step == WINDOW_STARTED)
            window->step = WINDOW_IDLE; /* what was written since has to be started as well */
    }
}

static bool policy_window_is_newer(const struct policy_window *a, const struct policy_window *than)
{
    return a->open && a->used > than->used;
}

/* Has the work moved on? Another window was used later; one that is already being written back, if
 * `started`. */
static bool policy_window_passed(const struct policy *policy, const struct policy_window *window,
                                 bool started)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        const struct policy_window *other = &policy->windows[i];
        if (policy_window_is_newer(other, window) &&
            (!started || !other->dirty || other->step != WINDOW_IDLE))
            return true;
    }
    return false;
}

static struct request *policy_window_request(const struct policy *policy,
                                             struct policy_window *window, const struct file *file,
                                             enum request_kind kind)
{
    void *owner = window->request.owner;
    window->request = (struct request){
        .kind = kind,
        .fd = file->fd,
        .offset = window->number * policy->window_bytes,
        .length = policy->window_bytes,
        .owner = owner,
    };
    return &window->request;
}

/* The next run of pages that are ours to drop, from drop_offset on. NULL: the window is done. */
static struct request *policy_window_drop(const struct policy *policy, struct policy_window *window,
                                          const struct file *file)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t pages = policy->window_bytes / page_bytes, first = window->drop_offset / page_bytes;
    struct request *request = policy_window_request(policy, window, file, REQUEST_DROP);
    if (window->shared)
        return NULL;
    if (!window->before.known) { /* once more what an earlier drop may have missed */
        uint64_t again = min_u64(window->number, WINDOWS_DROPPED_AGAIN) * policy->window_bytes;
        if (window->drop_offset > 0)
            return NULL;
        window->drop_offset = policy->window_bytes;
        request->offset -= again;
        request->length += again;
        return request;
    }
    while (first < pages && (window->before.pages[first / 8] >> (first % 8) & 1))
        first++;
    uint64_t last = first;
    while (last < pages && !(window->before.pages[last / 8] >> (last % 8) & 1))
        last++;
    window->drop_offset = last * page_bytes;
    if (first >= pages)
        return NULL;
    request->offset += first * page_bytes;
    request->length = (last - first) * page_bytes;
    return request;
}

static void policy_window_close(struct policy *policy, struct policy_window *window)
{
    policy_account_ours(&policy->account, 0, window->ours_bytes);
    window->open = false;
    policy->closed_count++;
}

/* Is somebody else in this part of the file? Then what a drop has missed may be his. */
static bool policy_others_near(const struct policy *policy, const struct policy_window *window)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        const struct policy_window *other = &policy->windows[i];
        if (other->open && !other->lingering && other->before.pages_count > 0)
            return true;
    }
    return !window->lingering && window->before.pages_count > 0;
}

static bool policy_may_linger(const struct policy *policy, const struct policy_window *window)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++)
        count += policy->windows[i].open && policy->windows[i].lingering;
    return window->drops_count < WINDOW_DROPS_MAX &&
           (window->lingering || count < POLICY_LINGERING_MAX);
}

/* Dropped: look what is there still. A drop misses a folio that somebody else looks at in that
 * moment (measured: one 2 MiB window in 500 when a checkpoint's fdatasync walked over it). These
 * pages, and only these, are dropped again: at once, then when other windows have been closed. */
static void policy_window_dropped(struct policy *policy, struct policy_window *window,
                                  const struct file *file)
{
    struct policy_cached now;
    uint32_t missed_count = 0, lost_count = 0;
    policy_look(policy, file, window->number, &now);
    for (size_t i = 0; now.known && i < sizeof(now.pages); i++) {
        uint8_t before = window->before.pages[i];
        missed_count += (uint32_t)__builtin_popcount(now.pages[i] & (uint8_t)~before);
        lost_count += (uint32_t)__builtin_popcount(before & (uint8_t)~now.pages[i]);
        now.pages[i] = (uint8_t) ~(now.pages[i] & (uint8_t)~before); /* spared next time */
    }
    if (window->drops_count == 0 && !window->shared)
        policy->account.others_lost_bytes += lost_count * policy->residency.page_bytes;
    window->drops_count++;
    bool theirs = window->shared || (window->drops_count > 1 && policy_others_near(policy, window));
    if (theirs || missed_count == 0) {
        if (theirs)
            policy->account.others_bytes += missed_count * policy->residency.page_bytes;
        else if (now.known && now.pages_count == 0)
            policy_emptied_add(policy, window->number);
        policy_window_close(policy, window);
    } else if (policy_may_linger(policy, window)) {
        window->before = now;
        window->lingering = true;
        window->step = WINDOW_IDLE;
        window->drop_offset = 0;
        window->again_after = policy->closed_count + (window->drops_count > 1);
    } else {
        policy->account.left_bytes += missed_count * policy->residency.page_bytes;
        policy_window_close(policy, window);
    }
}

/* One step of one window towards being closed, or NULL when it is not its time. */
static struct request *policy_window_step(struct policy *policy, struct policy_window *window,
                                          const struct file *file, bool pressed)
{
    if (window->dirty && window->step == WINDOW_IDLE && policy->range_writeback &&
        (pressed || policy_window_passed(policy, window, false))) {
        window->step = WINDOW_STARTING;
        return policy_window_request(policy, window, file, REQUEST_WRITEBACK_START);
    }
    bool idle = window->step == WINDOW_IDLE;
    if (window->dirty && (window->step == WINDOW_STARTED || (idle && !policy->range_writeback)) &&
        (pressed || policy_window_passed(policy, window, policy->range_writeback))) {
        window->step = WINDOW_WAITING;
        window->dirty = false;
        return policy_window_request(policy, window, file,
                                     policy->range_writeback ? REQUEST_WRITEBACK_WAIT
                                                             : REQUEST_DATASYNC);
    }
    if (!window->dirty && idle &&
        (pressed || window->lingering || policy_window_passed(policy, window, false))) {
        if (window->drop_offset == 0)
            policy_look_behind(policy, window, file);
        window->step = WINDOW_DROPPING;
        return policy_window_drop(policy, window, file);
    }
    return NULL;
}

/* The oldest window without transfers and without a request of its own. */
static struct policy_window *policy_window_oldest(struct policy *policy, uint64_t after,
                                                  bool finish)
{
    struct policy_window *oldest = NULL;
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        struct policy_window *window = &policy->windows[i];
        bool resting = window->step == WINDOW_IDLE || window->step == WINDOW_STARTED;
        bool later = window->lingering && !finish && policy->closed_count < window->again_after;
        if (window->open && window->inflight == 0 && resting && !later && window->used > after &&
            (!oldest || window->used < oldest->used))
            oldest = window;
    }
    return oldest;
}

/* What came back since: close it, or find out what is left. */
static void policy_close_dropped(struct policy *policy, const struct file *file)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        struct policy_window *window = &policy->windows[i];
        if (window->open && window->step == WINDOW_DROPPED)
            policy_window_dropped(policy, window, file);
    }
}

struct request *policy_next(struct policy *policy, const struct file *file,
                            enum policy_urgency urgency)
{
    bool finish = urgency == POLICY_FINISH;
    policy_close_dropped(policy, file);
    struct policy_window *window = policy_window_oldest(policy, 0, finish);
    /* Pressed: only the oldest must go; the others take their time. */
    bool pressed = urgency != POLICY_RELAXED;
    while (window) {
        uint64_t used = window->used;
        struct request *request = policy_window_step(policy, window, file, pressed);
        if (request)
            return request;
        if (window->step == WINDOW_DROPPING) { /* nothing in it is ours to drop, or no more */
            policy_window_dropped(policy, window, file);
            window = policy_window_oldest(policy, 0, finish);
            continue;
        }
        pressed = finish;
        window = policy_window_oldest(policy, used, finish);
    }
    return NULL;
}

int policy_reaped(struct policy *policy, struct request *request)
{
    struct policy_window *window =
        (struct policy_window *)((char *)request - offsetof(struct policy_window, request));
    assert(window >= policy->windows && window < policy->windows + COUNT_OF(policy->windows));
    switch (window->step) {
    case WINDOW_STARTING:
        window->step = WINDOW_STARTED;
        break;
    case WINDOW_WAITING:
        window->step = WINDOW_IDLE; /* clean now; the next step drops it */
        break;
    case WINDOW_DROPPING:
        window->step = WINDOW_IDLE;
        if (window->drop_offset < policy->window_bytes)
            break;
        if (window->before.known)
            window->step = WINDOW_DROPPED;
        else
            policy_window_close(policy, window);
        break;
    case WINDOW_IDLE:
    case WINDOW_STARTED:
    case WINDOW_DROPPED:
        assert(false && "a window without a request gave one back");
    }
    return request->kind == REQUEST_DROP ? 0 : request->result;
}

bool policy_idle(const struct policy *policy)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->windows); i++) {
        if (policy->windows[i].open)
            return false;
    }
    return true;
}
