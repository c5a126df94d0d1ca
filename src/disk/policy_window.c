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

/* A drop misses a folio that somebody else looks at in that moment: measured, one 2 MiB window in
 * 500 stayed when a checkpoint's fdatasync walked over it. So a drop goes back over the windows
 * before its own, which costs nothing when they are empty. */
enum { WINDOWS_DROPPED_AGAIN = 4 };

static struct policy_window *policy_window_find(struct policy *policy, uint64_t number)
{
    for (uint32_t i = 0; i < POLICY_WINDOWS_MAX; i++) {
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
    for (uint32_t i = 0; i < POLICY_WINDOWS_MAX; i++) {
        open_count += policy->windows[i].open;
        if (!policy->windows[i].open && !place)
            place = &policy->windows[i];
    }
    return open_count < policy->windows_limit ? place : NULL;
}

/* Where nobody can tell (not the owner, mincore lies), keeping our own promise comes first and all
 * is dropped. */
static void policy_measure_cached(const struct policy *policy, struct policy_cached *cached,
                                  const struct file *file, const struct residency *residency,
                                  uint64_t number)
{
    uint64_t offset = number * policy->window_bytes, resident_bytes = 0;
    cached->known = true;
    cached->any = false;
    cached->number = number;
    if (residency->method == RESIDENCY_CGROUP || offset >= file->facts.size_bytes ||
        residency_measure(residency, file->fd, offset, policy->window_bytes, &resident_bytes) !=
            0 ||
        resident_bytes == 0)
        return;
    memset(cached->pages, 0, sizeof(cached->pages));
    cached->any = residency_map(residency, file->fd, offset, policy->window_bytes, cached->pages,
                                sizeof(cached->pages) * 8) == 0;
}

static struct policy_cached *policy_ahead_find(struct policy *policy, uint64_t number)
{
    for (uint32_t i = 0; i < COUNT_OF(policy->ahead); i++) {
        if (policy->ahead[i].known && policy->ahead[i].number == number)
            return &policy->ahead[i];
    }
    return NULL;
}

/* Other programs' pages are spared: remember which pages of the window were cached before its first
 * transfer. The next window is looked at as well, before ours is read: a page that somebody's
 * read-ahead has marked starts read-ahead again when we come by, whatever POSIX_FADV_RANDOM says
 * (mm/filemap.c, filemap_readahead), and those pages are ours. */
static void policy_window_note_cached(struct policy *policy, struct policy_window *window,
                                      const struct file *file, const struct residency *residency)
{
    if (!policy->spare)
        return;
    struct policy_cached *ahead = policy_ahead_find(policy, window->number);
    if (ahead) {
        window->before = *ahead;
        ahead->known = false; /* from now on there are pages of ours in it */
    } else {
        policy_measure_cached(policy, &window->before, file, residency, window->number);
        policy->ahead_last = 1 - policy->ahead_last;
        ahead = &policy->ahead[policy->ahead_last];
    }
    /* Never while it is open: its pages are ours. Nor again: our read-ahead may be in it. */
    if (!policy_window_find(policy, window->number + 1) &&
        !policy_ahead_find(policy, window->number + 1))
        policy_measure_cached(policy, ahead, file, residency, window->number + 1);
}

bool policy_begin(struct policy *policy, const struct file *file, const struct residency *residency,
                  uint64_t offset, uint32_t length)
{
    uint64_t number = offset / policy->window_bytes;
    assert(policy->kind == POLICY_WINDOW && length > 0);
    assert((offset + length - 1) / policy->window_bytes == number);

    struct policy_window *window = policy_window_find(policy, number);
    if (window && (window->step == WINDOW_WAITING || window->step == WINDOW_DROPPING))
        return false; /* it is being closed; it opens anew afterwards */
    if (!window) {
        window = policy_window_place(policy);
        if (!window)
            return false;
        *window = (struct policy_window){.open = true, .number = number};
        policy_window_note_cached(policy, window, file, residency);
    }
    window->inflight++;
    window->used = ++policy->clock;
    window->drop_offset = 0;
    return true;
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
    for (uint32_t i = 0; i < POLICY_WINDOWS_MAX; i++) {
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
    if (!window->before.any) {
        if (window->drop_offset > 0)
            return NULL;
        window->drop_offset = policy->window_bytes;
        if (!policy->spare) { /* once more what an earlier drop may have missed */
            uint64_t again = min_u64(window->number, WINDOWS_DROPPED_AGAIN) * policy->window_bytes;
            request->offset -= again;
            request->length += again;
        }
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
    if (!window->dirty && idle && (pressed || policy_window_passed(policy, window, false))) {
        window->step = WINDOW_DROPPING;
        return policy_window_drop(policy, window, file);
    }
    return NULL;
}

/* The oldest window without transfers and without a request of its own. */
static struct policy_window *policy_window_oldest(struct policy *policy, uint64_t after)
{
    struct policy_window *oldest = NULL;
    for (uint32_t i = 0; i < POLICY_WINDOWS_MAX; i++) {
        struct policy_window *window = &policy->windows[i];
        bool resting = window->step == WINDOW_IDLE || window->step == WINDOW_STARTED;
        if (window->open && window->inflight == 0 && resting && window->used > after &&
            (!oldest || window->used < oldest->used))
            oldest = window;
    }
    return oldest;
}

struct request *policy_next(struct policy *policy, const struct file *file,
                            enum policy_urgency urgency)
{
    struct policy_window *window = policy_window_oldest(policy, 0);
    /* Pressed: only the oldest must go; the others take their time. */
    bool pressed = urgency != POLICY_RELAXED;
    while (window) {
        struct request *request = policy_window_step(policy, window, file, pressed);
        if (request)
            return request;
        if (window->step == WINDOW_DROPPING) { /* nothing in it is ours to drop */
            window->open = false;
            window = policy_window_oldest(policy, 0);
            continue;
        }
        pressed = urgency == POLICY_FINISH;
        window = policy_window_oldest(policy, window->used);
    }
    return NULL;
}

int policy_reaped(struct policy *policy, struct request *request)
{
    struct policy_window *window =
        (struct policy_window *)((char *)request - offsetof(struct policy_window, request));
    assert(window >= policy->windows && window < policy->windows + POLICY_WINDOWS_MAX);
    switch (window->step) {
    case WINDOW_STARTING:
        window->step = WINDOW_STARTED;
        break;
    case WINDOW_WAITING:
        window->step = WINDOW_IDLE; /* clean now; the next step drops it */
        break;
    case WINDOW_DROPPING:
        window->step = WINDOW_IDLE;
        if (!window->before.any || window->drop_offset >= policy->window_bytes)
            window->open = false;
        break;
    case WINDOW_IDLE:
    case WINDOW_STARTED:
        assert(false && "a window without a request gave one back");
    }
    return request->kind == REQUEST_DROP ? 0 : request->result;
}

bool policy_idle(const struct policy *policy)
{
    for (uint32_t i = 0; i < POLICY_WINDOWS_MAX; i++) {
        if (policy->windows[i].open)
            return false;
    }
    return true;
}
