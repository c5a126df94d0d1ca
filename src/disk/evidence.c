/* evidence.c - what may be concluded from facts. Only judges: where the facts come from is in
 * evidence_take.c, and what is done about the answer is the copy's. */
#include "haul/disk/evidence.h"

#include "haul/base/bytes.h"
#include "haul/base/clock.h"
#include "haul/base/hash.h"
#include "haul/base/num.h"
#include "haul/disk/file.h"

#include <time.h>

/* How coarse file systems keep times: what a value may have been cut to where nobody tells. 100 ns:
 * NTFS; 10 ms: exFAT; 2 s: FAT. */
static const uint32_t granularities_ns[] = {1,         100,         1000,       1000 * 1000,
                                            10000000u, 1000000000u, 2000000000u};

enum { EVIDENCE_COARSE_NS = 100 * 1000 * 1000 }; /* coarser than any kernel's clock ticks */

#define SETTLE_NAP_NS 2000000
#define SEAL_SEED     UINT64_C(0x6861756c2d73656c) /* "haul-sel" */
#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))

/* For what is before or behind: beyond the years 1678 to 2262 all times are one. Whether two
 * are equal is asked of both their numbers. */
static int64_t time_ns(int64_t seconds, uint32_t ns)
{
    int64_t value;
    if (__builtin_mul_overflow(seconds, (int64_t)NS_PER_SECOND, &value) ||
        __builtin_add_overflow(value, (int64_t)ns, &value))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return value;
}

static int64_t modified_ns(const struct facts *facts)
{
    return time_ns(facts->mtime_seconds, facts->mtime_ns);
}

/* When the file was last written, or had its status changed, as far as its file system keeps that.
 */
static int64_t changed_ns(const struct facts *facts)
{
    return facts->evidence.keeps_change ? time_ns(facts->ctime_seconds, facts->ctime_ns)
                                        : modified_ns(facts);
}

int64_t evidence_floor(int64_t value_ns, uint32_t granularity_ns)
{
    int64_t floor_ns, rest = granularity_ns > 1 ? value_ns % (int64_t)granularity_ns : 0;
    if (rest < 0)
        rest += granularity_ns;
    return __builtin_sub_overflow(value_ns, rest, &floor_ns) ? value_ns : floor_ns;
}

/* How coarse a time may have been cut: as the file system tells, else the most that it looks like.
 */
static uint32_t coarseness(const struct facts *facts, int64_t value_ns)
{
    uint32_t coarsest = 1;
    if (facts->evidence.granularity_ns != 0)
        return facts->evidence.granularity_ns;
    for (size_t i = 0; i < COUNT(granularities_ns); i++)
        if (value_ns % (int64_t)granularities_ns[i] == 0)
            coarsest = granularities_ns[i];
    return coarsest;
}

/* The clock that the kernel stamps files with. */
static int64_t stamp_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* cannot fail on Linux */
    return time_ns(now.tv_sec, (uint32_t)now.tv_nsec);
}

/* Until the stamps of new writes are at least `when`; not where that is too far away. */
static bool wait_for_stamp(int64_t when_ns, uint64_t patience_ns)
{
    const struct timespec nap = {.tv_nsec = SETTLE_NAP_NS};
    int64_t now_ns = stamp_clock_ns();
    if (now_ns < when_ns && (uint64_t)when_ns - (uint64_t)now_ns > patience_ns)
        return false;
    for (uint64_t waited_ns = 0; stamp_clock_ns() < when_ns; waited_ns += SETTLE_NAP_NS) {
        if (waited_ns > 2 * EVIDENCE_PATIENCE_NS) /* the clock was put back */
            return false;
        nanosleep(&nap, NULL);
    }
    return true;
}

/* The first stamp behind the granule in which a time lies. */
static int64_t next_granule(int64_t value_ns, uint32_t granularity_ns)
{
    int64_t start_ns = evidence_floor(value_ns, granularity_ns);
    return start_ns > INT64_MAX - (int64_t)granularity_ns ? INT64_MAX
                                                          : start_ns + (int64_t)granularity_ns;
}

bool evidence_settle(const struct facts *facts, uint64_t patience_ns)
{
    int64_t last_ns = changed_ns(facts);
    return facts->kind != FILE_REGULAR ||
           wait_for_stamp(next_granule(last_ns, coarseness(facts, last_ns)), patience_ns);
}

/* By which the first file's clock is behind the second's; known only by when each was looked at. */
static int64_t clock_difference_ns(const struct facts *a, const struct facts *b)
{
    int64_t difference;
    if (a->evidence.machine == b->evidence.machine ||
        __builtin_sub_overflow(b->evidence.seen_ns, a->evidence.seen_ns, &difference))
        return 0;
    return difference;
}

static int64_t shifted(int64_t value_ns, int64_t by_ns)
{
    int64_t result;
    return __builtin_add_overflow(value_ns, by_ns, &result) ? value_ns : result;
}

void evidence_settle_target(const struct facts *source, const struct facts *target)
{
    uint32_t granularity_ns = coarseness(target, changed_ns(target));
    if (target->kind != FILE_REGULAR || source->kind != FILE_REGULAR)
        return;
    /* Its modification time, which the target will get; and the time of its last change, behind
     * which the end of this copy shall be seen to lie. */
    (void)wait_for_stamp(next_granule(modified_ns(source), granularity_ns), EVIDENCE_PATIENCE_NS);
    if (target->evidence.keeps_change && source->evidence.machine == target->evidence.machine)
        (void)wait_for_stamp(next_granule(changed_ns(source), granularity_ns),
                             EVIDENCE_PATIENCE_NS);
}

bool evidence_near_times(const struct facts *a, const struct facts *b, int64_t *a_ns, int64_t *b_ns)
{
    int64_t apart, odd = a->mtime_seconds & 1;
    if (__builtin_sub_overflow(b->mtime_seconds, a->mtime_seconds, &apart) || apart < -2 ||
        apart > 2)
        return false;
    *a_ns = odd * (int64_t)NS_PER_SECOND + a->mtime_ns;
    *b_ns = (odd + apart) * (int64_t)NS_PER_SECOND + b->mtime_ns;
    return true;
}

bool evidence_same_time(const struct facts *source, const struct facts *target)
{
    int64_t wanted_ns, found_ns;
    uint32_t known_ns = target->evidence.granularity_ns;
    if (!evidence_near_times(source, target, &wanted_ns, &found_ns))
        return false;
    for (size_t i = 0; known_ns == 0 && i < COUNT(granularities_ns); i++) {
        if (found_ns % (int64_t)granularities_ns[i] == 0 &&
            evidence_floor(wanted_ns, granularities_ns[i]) == found_ns)
            return true;
    }
    return known_ns != 0 &&
           evidence_floor(wanted_ns, known_ns) == evidence_floor(found_ns, known_ns);
}

/* As rsync: in whole seconds. */
static bool near_time(const struct facts *source, const struct facts *target, uint64_t window_ns)
{
    uint64_t apart = (uint64_t)source->mtime_seconds - (uint64_t)target->mtime_seconds;
    if (source->mtime_seconds < target->mtime_seconds)
        apart = 0 - apart;
    return window_ns > 0 && apart <= window_ns / NS_PER_SECOND;
}

/* Was its modification time that of its last write, which gives both? A finished copy was given the
 * source's, and is finished behind it: evidence_settle_target(). */
static bool time_is_of_write(const struct facts *facts)
{
    return facts->evidence.keeps_change && facts_mtime_is_ctime(facts);
}

/* Was the target finished when the source had already been changed for the last time? A clock's
 * tick holds many changes: equal stamps say nothing. */
static bool finished_behind(const struct facts *source, const struct facts *target)
{
    int64_t last_ns = changed_ns(source);
    uint32_t granule_ns = coarseness(source, last_ns);
    int64_t behind_ns = next_granule(last_ns, granule_ns >= EVIDENCE_COARSE_NS ? granule_ns : 1);
    return behind_ns < INT64_MAX &&
           changed_ns(target) >= shifted(behind_ns, clock_difference_ns(source, target));
}

enum evidence_grade evidence_up_to_date(const struct facts *source, const struct facts *target,
                                        uint64_t window_ns, const char **why)
{
    bool same = evidence_same_time(source, target);
    if (source->kind != FILE_REGULAR || target->kind != FILE_REGULAR ||
        source->size_bytes != target->size_bytes ||
        (!same && !near_time(source, target, window_ns)))
        return EVIDENCE_NONE;
    if (source->evidence.grade == EVIDENCE_NONE || target->evidence.grade == EVIDENCE_NONE)
        return EVIDENCE_NONE;
    if (!same && (!target->evidence.keeps_change || time_is_of_write(target))) {
        *why = "a copy that was killed may have a time that is near";
        return EVIDENCE_WEAK;
    }
    if (same && time_is_of_write(target)) {
        *why = "the target was written in the moment of the source's time, which proves nothing";
        return EVIDENCE_WEAK;
    }
    /* Where the target's file system keeps no status change time there is nothing to compare with;
     * haul does not begin to write there before the source's time has passed. */
    if (!target->evidence.keeps_change || finished_behind(source, target))
        return EVIDENCE_STRONG;
    *why = "the source was changed, or renamed, after the target was finished, or just before";
    return EVIDENCE_WEAK;
}

static bool both_differ(uint64_t a, uint64_t b)
{
    return a != 0 && b != 0 && a != b;
}

enum evidence_change evidence_compare(const struct facts *then, const struct facts *now)
{
    const struct evidence *a = &then->evidence, *b = &now->evidence;
    bool device = then->kind == FILE_DEVICE;
    if (then->kind != now->kind || then->size_bytes != now->size_bytes ||
        both_differ(a->identity, b->identity))
        return EVIDENCE_CHANGED;
    if (!device && (then->inode != now->inode || !facts_same_mtime(then, now)))
        return EVIDENCE_CHANGED;
    if (both_differ(a->change, b->change))
        return device ? EVIDENCE_CHANGED : EVIDENCE_TOUCHED;
    bool blind = a->grade == EVIDENCE_NONE && (a->change == 0 || b->change == 0);
    return blind ? EVIDENCE_UNSEEN : EVIDENCE_UNCHANGED;
}

static uint64_t medium_end(const struct facts *facts)
{
    uint64_t end;
    bool whole = facts->kind == FILE_REGULAR;
    return whole || !add_u64(facts->evidence.medium_offset, facts->size_bytes, &end) ? UINT64_MAX
                                                                                     : end;
}

bool evidence_overlap(const struct facts *a, const struct facts *b)
{
    const struct evidence *x = &a->evidence, *y = &b->evidence;
    return x->machine != 0 && x->machine == y->machine && x->medium_device != 0 &&
           x->medium_device == y->medium_device && x->medium_inode == y->medium_inode &&
           x->medium_offset < medium_end(b) && y->medium_offset < medium_end(a);
}

uint64_t evidence_seal(const struct facts *facts)
{
    const struct evidence *evidence = &facts->evidence;
    uint8_t data[2 * sizeof(uint64_t)];
    bool usable = evidence->grade == EVIDENCE_STRONG || facts->kind == FILE_DEVICE;
    if (!usable || evidence->identity == 0 || evidence->change == 0)
        return 0;
    struct bytes bytes = bytes_writer(data, sizeof(data));
    bytes_put_u64(&bytes, evidence->identity);
    bytes_put_u64(&bytes, evidence->change);
    return checksum_of(data, sizeof(data), SEAL_SEED);
}
