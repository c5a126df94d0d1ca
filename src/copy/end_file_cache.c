/* end_file_cache.c - the watch over the page cache: what was there before, the most that was there,
 * what is left; and the detector of direct I/O that is not. */
#include "end_file.h"

#include "haul/budget.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/text.h"

#include <errno.h>
#include <stdio.h>

enum {
    CHECK_STRICT_BYTES = 1024 * 1024,
    CHECK_FIRST_BYTES = 16 * 1024 * 1024,
    CHECK_LATER_BYTES = 64 * 1024 * 1024,
    /* Beyond the bytes in flight: the tail's page, file system blocks around it, a partial folio.
     */
    CACHE_SLACK_BYTES = 2 * 1024 * 1024,
};

/* When to look again: each look costs time in proportion to what is cached of the file. A budget
 * that must hold is for small files too. */
static uint64_t end_file_check_next(const struct open_file *open)
{
    if (open->moved_bytes >= CHECK_LATER_BYTES)
        return open->moved_bytes + CHECK_LATER_BYTES;
    bool small = open->strict && open->moved_bytes < CHECK_FIRST_BYTES;
    return open->moved_bytes + (small ? CHECK_STRICT_BYTES : CHECK_FIRST_BYTES);
}

static uint64_t end_file_resident(const struct open_file *open)
{
    uint64_t bytes;
    int result = residency_measure(&open->residency, open->file.fd, 0, 0, &bytes);
    return result == 0 ? bytes : NUM_UNKNOWN;
}

void end_file_measure_start(struct open_file *open)
{
    residency_init(&open->residency, open->file.fd);
    open->resident_before_bytes = end_file_resident(open);
    open->resident_peak_bytes = open->resident_before_bytes;
    open->check_at_bytes = end_file_check_next(open);
}

/* What came into the cache since the file was opened; 0 when nobody knows. */
static uint64_t end_file_growth(const struct open_file *open, uint64_t resident_bytes)
{
    if (resident_bytes == NUM_UNKNOWN || open->resident_before_bytes == NUM_UNKNOWN)
        return 0;
    return resident_bytes > open->resident_before_bytes
               ? resident_bytes - open->resident_before_bytes
               : 0;
}

/* Drop what a lying direct I/O has left so far; only when nobody else's pages were there before. */
void end_file_sweep(struct end_file *self, struct open_file *open)
{
    if (open->sweeping || open->resident_before_bytes != 0)
        return;
    open->sweep_request = (struct request){
        .kind = REQUEST_DROP,
        .fd = open->file.fd,
        .owner = &open->sweep_owner,
    };
    open->sweeping = engine_submit(self->engine, &open->sweep_request) == 0;
}

static void end_file_catch_lie(struct end_file *self, struct open_file *open, uint64_t growth_bytes)
{
    char size[TEXT_NUMBER_BYTES], why[POLICY_WHY_BYTES];
    uint64_t allowed_bytes = open->transfer_bytes + CACHE_SLACK_BYTES;
    if (open->policy.kind != POLICY_DIRECT || growth_bytes <= allowed_bytes)
        return;
    text_size(size, growth_bytes);
    snprintf(why, sizeof(why), "O_DIRECT was accepted but left %s in the cache (%s)", size,
             residency_name(open->residency.method));
    policy_switch(&open->policy, &open->file, why);
    log_note("%s: direct I/O leaves data in the page cache here (%s); going on in windows",
             open->file.path, size);
    end_file_sweep(self, open);
}

void end_file_measure(struct end_file *self, struct open_file *open)
{
    uint64_t resident_bytes = end_file_resident(open);
    open->check_at_bytes = end_file_check_next(open);
    if (resident_bytes == NUM_UNKNOWN)
        return;
    if (open->resident_peak_bytes == NUM_UNKNOWN || resident_bytes > open->resident_peak_bytes)
        open->resident_peak_bytes = resident_bytes;
    uint64_t growth_bytes = end_file_growth(open, resident_bytes);
    if (open->strict && growth_bytes > open->cache_max_bytes)
        open->over_budget = true;
    end_file_catch_lie(self, open, growth_bytes);
}

void end_file_measure_end(struct end_file *self, struct open_file *open, struct side_report *report)
{
    uint64_t resident_bytes = end_file_resident(open);
    *report = (struct side_report){
        .policy = open->policy.kind,
        .engine = self->engine->ops->kind,
        .resident_before_bytes = open->resident_before_bytes,
        .resident_peak_bytes = open->resident_peak_bytes,
        .resident_after_bytes = resident_bytes,
        .memory_peak_bytes = budget_memory_peak(),
        .attributes_changed = open->attributes.changed,
        .attributes_lost = open->attributes.lost,
        .attributes_asked = open->attributes.asked,
        .reread_cached_bytes = open->reread_cached_bytes,
    };
    if (resident_bytes != NUM_UNKNOWN && resident_bytes > report->resident_peak_bytes)
        report->resident_peak_bytes = resident_bytes;
    if (open->residency.method ==
        RESIDENCY_CGROUP) /* everybody's cache: nothing is known of this file */
        report->resident_before_bytes = report->resident_peak_bytes = report->resident_after_bytes =
            NUM_UNKNOWN;
    snprintf(report->policy_why, sizeof(report->policy_why), "%s", open->policy.why);
    snprintf(report->engine_why, sizeof(report->engine_why), "%s", self->engine->why);
}
