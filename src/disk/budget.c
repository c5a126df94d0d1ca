/* budget.c - reads what memory there is and decides how much of it a run may use. It allocates
 * nothing and knows no slots, policies or engines; those get numbers. */
#include "haul/disk/budget.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/base/text.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    FILE_DESCRIPTORS = 8,   /* of one that is open at both sides, and a little */
    OTHER_DESCRIPTORS = 64, /* links, engines, the log */
    DESCRIPTORS_WANTED = 2048,
};

static const uint64_t lately_ns = NS_PER_SECOND / 10;

/* v1 writes "unlimited" as LONG_MAX rounded down to pages: 9223372036854771712 with 4 KiB pages,
 * and on 32-bit 2147483647 pages. No limit from there on matters to anybody. */
static const uint64_t unlimited_from_bytes = (uint64_t)INT32_MAX * 4096;

/* The rule's bounds (budget.h), and what is assumed where nothing at all can be read. */
static const uint64_t limit_bytes_min = 1 * MIB;
static const uint64_t limit_bytes_max = 64 * MIB;
static const uint64_t blind_bytes = 64 * MIB;

/* More in flight gains nothing: depth 4-16 of 1 MiB saturates (measured). Only --memory asks for
 * more. It also keeps the whole process under 28 MiB. */
static const uint64_t slots_bytes_enough = 16 * MIB;

/* The process without its slots: code, libraries that nobody else had loaded, stacks, ring. A
 * cgroup peak of 9.0 MB was measured with 8 MiB of buffers; this is on the safe side.
 */
static const uint64_t process_bytes = 3 * MIB;

/* Where all that is loaded already: measured, 0.8 MB beside the slots. */
static const uint64_t process_bytes_least = 1 * MIB;

/* Closing, closed and being filled, on each of two sides. */
enum { WINDOWS_CACHED_MAX = 6, WINDOWS_COUNT_MIN = 2 };
enum { WINDOW_BYTES_MIN = 2 * 1024 * 1024, WINDOW_BYTES_MAX = 8 * 1024 * 1024 };

static uint64_t less(uint64_t value, uint64_t taken)
{
    return value == NUM_UNKNOWN ? NUM_UNKNOWN : value - min_u64(value, taken);
}

static uint64_t limit_or_none(uint64_t bytes)
{
    return bytes >= unlimited_from_bytes ? NUM_UNKNOWN : bytes;
}

/* One cgroup's own limit, and its usage less what reclaim gets back without hurting anybody.
 * Active file pages count as used: they are somebody's hot file. */
static void level_read(const char *folder, uint32_t version, uint64_t *limit, uint64_t *usage)
{
    uint64_t inactive;
    if (version == 1) {
        *limit = proc_figure_in(folder, "/memory.limit_in_bytes", "", NUM_UNKNOWN);
        *usage = proc_figure_in(folder, "/memory.usage_in_bytes", "", 0);
        inactive = proc_figure_in(folder, "/memory.stat", "inactive_file ", 0);
        inactive = proc_figure_in(folder, "/memory.stat", "total_inactive_file ", inactive);
    } else {
        *limit = min_u64(proc_figure_in(folder, "/memory.max", "", NUM_UNKNOWN),
                         proc_figure_in(folder, "/memory.high", "", NUM_UNKNOWN));
        *usage = proc_figure_in(folder, "/memory.current", "", 0);
        inactive = proc_figure_in(folder, "/memory.stat", "inactive_file ", 0);
    }
    *limit = limit_or_none(*limit);
    *usage = less(*usage, inactive);
}

static void level_name(struct budget_facts *facts, const char *relation, const char *path)
{
    snprintf(facts->limited_by, sizeof facts->limited_by, "cgroup %s%.40s", relation,
             *path ? path : "/");
}

/* Take over a limit when it leaves less room than the one so far. */
static bool level_take(struct budget_facts *facts, uint64_t limit, uint64_t usage)
{
    uint64_t room = less(facts->cgroup_limit_bytes, facts->cgroup_usage_bytes);
    if (limit == NUM_UNKNOWN || less(limit, usage) >= room)
        return false;
    facts->cgroup_limit_bytes = limit;
    facts->cgroup_usage_bytes = usage;
    return true;
}

/* v1 knows the least limit of all ancestors, even of those that we cannot see, and tells it in each
 * cgroup; ours may be hidden, then the nearest one that is not. It is also the judge of which
 * ancestors count: without use_hierarchy they do not. NUM_UNKNOWN: not told. `folder` is the
 * cgroup's, and shortened. */
static uint64_t hierarchical_limit(char *folder, const struct cgroup *cgroup)
{
    uint64_t limit = NUM_UNKNOWN;
    if (cgroup->version != 1)
        return NUM_UNKNOWN;
    for (;;) {
        limit = proc_figure_in(folder, "/memory.stat", "hierarchical_memory_limit ", NUM_UNKNOWN);
        char *slash = strrchr(folder + cgroup->mount_length, '/');
        if (limit != NUM_UNKNOWN || !slash)
            return limit;
        *slash = '\0';
    }
}

/* From our own cgroup up to the mount point. A folder that is hidden from us tells nothing and is
 * passed over. */
static void cgroup_read(struct budget_facts *facts, const struct cgroup *ours)
{
    struct cgroup cgroup = *ours;
    uint64_t limit, usage;
    uint64_t limit_least = NUM_UNKNOWN;
    if (cgroup.version == 0)
        return;
    uint64_t floor = hierarchical_limit(cgroup.path, ours);
    cgroup = *ours;
    bool told = floor != NUM_UNKNOWN;
    for (;;) {
        level_read(cgroup.path, cgroup.version, &limit, &usage);
        if (limit != NUM_UNKNOWN && (!told || limit >= floor)) {
            limit_least = min_u64(limit_least, limit);
            if (level_take(facts, limit, usage))
                level_name(facts, "", cgroup.path + cgroup.mount_length);
        }
        char *slash = strrchr(cgroup.path + cgroup.mount_length, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    /* Some ancestor above the mount has a lower limit. Its usage is at least that of the topmost
     * one that we see, which the loop read last. */
    floor = limit_or_none(floor);
    if (floor < limit_least && level_take(facts, floor, usage))
        level_name(facts, "above ", "");
}

/* MemAvailable came with Linux 3.14. Before: free pages and the page cache, which also counts
 * tmpfs (Shmem), and that cannot be reclaimed. */
static uint64_t available_read(const char *root)
{
    uint64_t available = proc_figure_kb(root, "/proc/meminfo", "MemAvailable:");
    if (available != NUM_UNKNOWN)
        return available;
    uint64_t memory_free = proc_figure_kb(root, "/proc/meminfo", "MemFree:");
    uint64_t cached = proc_figure_kb(root, "/proc/meminfo", "Cached:");
    uint64_t shared = proc_figure_kb(root, "/proc/meminfo", "Shmem:");
    if (memory_free == NUM_UNKNOWN || cached == NUM_UNKNOWN)
        return memory_free;
    cached = less(cached, shared == NUM_UNKNOWN ? 0 : shared);
    return add_u64(memory_free, cached, &available) ? available : memory_free;
}

static uint64_t rlimit_read(void)
{
    uint64_t least = NUM_UNKNOWN;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        least = min_u64(least, limit.rlim_cur);
    if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        least = min_u64(least, limit.rlim_cur);
    return least;
}

/* The least of the quarter of this and the eighth of that decides; the cgroup's name is there
 * already. */
static void limited_by(struct budget_facts *facts)
{
    uint64_t least = less(facts->cgroup_limit_bytes, facts->cgroup_usage_bytes);
    const char *name = NULL;
    if (facts->available_bytes < least) {
        least = facts->available_bytes;
        name = "MemAvailable";
    }
    if (facts->low_free_bytes != NUM_UNKNOWN && facts->low_free_bytes / 2 < least) {
        least = facts->low_free_bytes / 2;
        name = "LowFree";
    }
    if (facts->address_space_bytes < least) {
        least = facts->address_space_bytes;
        name = "RLIMIT_AS or RLIMIT_DATA";
    }
    if (least == NUM_UNKNOWN)
        name = "nothing that is known";
    if (name)
        snprintf(facts->limited_by, sizeof facts->limited_by, "%s", name);
}

void budget_read(struct budget_facts *facts, const struct cgroup *cgroup)
{
    *facts = (struct budget_facts){.cgroup_limit_bytes = NUM_UNKNOWN};
    cgroup_read(facts, cgroup);
    facts->available_bytes = available_read(cgroup->root);
    facts->low_free_bytes = proc_figure_kb(cgroup->root, "/proc/meminfo", "LowFree:");
    facts->address_space_bytes = rlimit_read();
    limited_by(facts);
}

/* What the facts and the wish leave for slots. */
struct allowance {
    uint64_t room_bytes;  /* what there is: of the cgroup, of the machine */
    uint64_t limit_bytes; /* what the rule gives */
    uint64_t most_bytes;  /* what it may be stretched to for a file that needs large chunks */
};

/* Slots that leave 7/8 of the room for the process and three of the smallest windows a side. Where
 * that is impossible (below 20 MiB), an eighth: reclaim then has to help the policy `window`, and
 * `direct` needs no more. */
static uint64_t limit_beside_windows(uint64_t room_bytes, uint64_t reserved_bytes)
{
    uint64_t others =
        process_bytes + (uint64_t)WINDOWS_CACHED_MAX * WINDOW_BYTES_MIN + reserved_bytes;
    return max_u64(less(room_bytes - room_bytes / 8, others),
                   max_u64(room_bytes / 8, limit_bytes_min));
}

/* Where windows were asked for, half of what the process leaves is theirs. */
static uint64_t limit_with_windows(uint64_t room_bytes, uint64_t reserved_bytes)
{
    uint64_t left = less(room_bytes - room_bytes / 8, process_bytes + reserved_bytes);
    return max_u64(left / 2, 4 * CHUNK_BYTES_MIN);
}

static uint64_t room_of(const struct budget_facts *facts)
{
    uint64_t room =
        min_u64(less(facts->cgroup_limit_bytes, facts->cgroup_usage_bytes), facts->available_bytes);
    return room == NUM_UNKNOWN ? blind_bytes : room;
}

static struct allowance allowance_of(const struct budget_facts *facts,
                                     const struct budget_wish *wish)
{
    struct allowance allowance;
    uint64_t room = room_of(facts);
    uint64_t most = less(room, wish->reserved_bytes) / 2;
    if (facts->address_space_bytes != NUM_UNKNOWN)
        most = min_u64(most, facts->address_space_bytes / 4);
    /* Page structures and requests live in low memory; slots themselves need not. So a nearly
     * full one makes us small but does not stop us. */
    if (facts->low_free_bytes != NUM_UNKNOWN)
        most = min_u64(most, max_u64(facts->low_free_bytes / 8, 2 * CHUNK_BYTES_MIN));
    if (wish->memory_bytes > 0)
        most = min_u64(most, wish->memory_bytes);
    /* What is reserved comes off the room, not off the quarter: 1 GiB pulled by libssh within 32
     * MiB took 14.7 s with what was left of the quarter, 2.6 s within 64. */
    uint64_t limit =
        clamp_u64(less(room, wish->reserved_bytes) / 4, limit_bytes_min, limit_bytes_max);
    limit = min_u64(limit, limit_beside_windows(room, wish->reserved_bytes));
    if (wish->windows)
        limit = min_u64(limit, limit_with_windows(room, wish->reserved_bytes));
    allowance.room_bytes = room;
    allowance.most_bytes = most;
    allowance.limit_bytes = min_u64(limit, most);
    return allowance;
}

/* The chunk: as wished, or as the budget allows. */
static uint32_t chunk_choose(uint64_t limit_bytes, const struct budget_wish *wish,
                             uint32_t slots_wanted)
{
    uint32_t chunk = wish->chunk_bytes;
    if (chunk == 0 && wish->chunk_bytes_most > 0) {
        chunk = wish->chunk_bytes_most;
        while (chunk > CHUNK_BYTES_MIN && limit_bytes / chunk < slots_wanted)
            chunk /= 2;
    } else if (chunk == 0) {
        chunk = limit_bytes < 1 * MIB   ? CHUNK_BYTES_MIN
                : limit_bytes < 4 * MIB ? CHUNK_BYTES_DEFAULT / 4
                                        : CHUNK_BYTES_DEFAULT;
        while (chunk > CHUNK_BYTES_MIN && limit_bytes / chunk < slots_wanted)
            chunk /= 4;
    }
    return chunk;
}

/* As large as fits three times a side; then as small as a chunk, and two. */
static void windows_choose(struct budget *budget, const struct allowance *allowance,
                           uint64_t reserved_bytes)
{
    uint64_t most = allowance->room_bytes - allowance->room_bytes / 8;
    uint64_t room = less(most, process_bytes + reserved_bytes + budget->memory_bytes);
    uint32_t least = num_u32(min_u64(budget->chunk_bytes, WINDOW_BYTES_MAX));
    budget->window_bytes = WINDOW_BYTES_MAX;
    budget->windows_count = WINDOWS_CACHED_MAX / 2;
    while (budget->window_bytes > least &&
           (uint64_t)WINDOWS_CACHED_MAX * budget->window_bytes > room)
        budget->window_bytes /= 2;
    if ((uint64_t)WINDOWS_CACHED_MAX * budget->window_bytes > room)
        budget->windows_count = WINDOWS_COUNT_MIN;
    uint64_t needed = 2 * (uint64_t)budget->windows_count * budget->window_bytes;
    budget->windows_fit =
        needed <= less(most, process_bytes_least + reserved_bytes + budget->memory_bytes);
}

/* On whole huge pages: a part of one is touched page by page, and more of them are faster. */
static uint64_t slots_of(uint64_t bytes, uint32_t chunk)
{
    const uint64_t huge_bytes = 2 * MIB;
    return div_ceil(bytes, max_u64(chunk, huge_bytes)) * max_u64(1, huge_bytes / chunk);
}

/* How many slots of one size: within the limit, no more than help, the same for each lane. */
static uint32_t slots_choose(uint64_t limit_bytes, uint32_t chunk, const struct budget_wish *wish,
                             uint32_t lanes)
{
    uint64_t needed = 2 * (uint64_t)lanes;
    uint64_t slots = min_u64(limit_bytes / chunk, max_u64(SLOTS_MAX, needed));
    if (wish->memory_bytes == 0)
        slots = min_u64(slots, max_u64(max_u64(4, needed), slots_bytes_enough / chunk));
    if (wish->bytes_most > 0)
        slots = min_u64(slots, max_u64(slots_of(wish->bytes_most, chunk), needed));
    return num_u32(slots - slots % lanes);
}

int budget_decide(struct budget *budget, const struct budget_facts *facts,
                  const struct budget_wish *wish, struct error *err)
{
    char have[TEXT_NUMBER_BYTES], need[TEXT_NUMBER_BYTES], each[TEXT_NUMBER_BYTES];
    uint32_t lanes = wish->lanes ? wish->lanes : 1;
    assert(lanes <= UINT16_MAX);
    assert(wish->chunk_bytes == 0 ||
           (is_power_of_two(wish->chunk_bytes) && wish->chunk_bytes >= CHUNK_BYTES_MIN &&
            wish->chunk_bytes <= CHUNK_BYTES_MAX));
    struct allowance allowance = allowance_of(facts, wish);
    uint64_t limit = allowance.limit_bytes;
    uint32_t chunk = chunk_choose(limit, wish, lanes > 2 ? 2 * lanes : 4);
    uint64_t needed = 2 * (uint64_t)lanes * chunk;
    if (needed > limit && needed <= allowance.most_bytes)
        limit = needed;
    if (needed > limit) {
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "not enough memory: %s may be used (limited by %s), %s are needed "
                               "for %u buffers of %s",
                               text_size(have, allowance.most_bytes),
                               wish->memory_bytes && wish->memory_bytes <= allowance.most_bytes
                                   ? "--memory"
                                   : facts->limited_by,
                               text_size(need, needed), 2 * lanes, text_size(each, chunk));
    }
    budget->limit_bytes = limit;
    budget->chunk_bytes = chunk;
    budget->slots_count = slots_choose(limit, chunk, wish, lanes);
    budget->memory_bytes = (uint64_t)budget->slots_count * chunk;
    windows_choose(budget, &allowance, wish->reserved_bytes);
    assert(budget->slots_count >= 2 * lanes && budget->memory_bytes <= limit);
    return 0;
}

const char *budget_limited_by(const struct budget *budget, const struct budget_facts *facts,
                              const struct budget_wish *wish)
{
    uint64_t slots = budget->limit_bytes / budget->chunk_bytes;
    uint32_t lanes = wish->lanes ? wish->lanes : 1;
    if (wish->memory_bytes > 0 && wish->memory_bytes <= budget->limit_bytes)
        return "--memory";
    if (slots - slots % lanes > budget->slots_count || budget->limit_bytes == limit_bytes_max)
        return "haul's own choice: more makes no copy faster (--memory allows it)";
    return facts->limited_by;
}

uint32_t budget_lanes(const struct budget_facts *facts, uint64_t slots_bytes,
                      uint64_t reserved_bytes, uint32_t most)
{
    const uint64_t windows_bytes = (uint64_t)WINDOWS_CACHED_MAX / 2 * WINDOW_BYTES_MIN;
    uint64_t lane_bytes = process_bytes + windows_bytes + slots_bytes + reserved_bytes;
    uint64_t room_bytes = room_of(facts);
    uint64_t more = less(room_bytes, slots_bytes + windows_bytes) / lane_bytes;
    return num_u32(min_u64(most, 1 + more));
}

/* A third of the descriptors is for small files. */
void budget_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* else there are fewer files at a time */
}

struct budget_files budget_files(bool far)
{
    struct rlimit limit;
    uint64_t room = UINT32_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < room)
        room = limit.rlim_cur > OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : 0;
    uint64_t small = far ? room * 3 / 5 : room / 3;
    return (struct budget_files){
        .open =
            (uint32_t)max_u64((room - small) / (far ? FILE_DESCRIPTORS / 2u : FILE_DESCRIPTORS), 1),
        .small = (uint32_t)small,
    };
}

/* Not getrusage: ru_maxrss starts with the peak of whoever called execve (getrusage(2)). */
uint64_t budget_memory_peak(void)
{
    return proc_figure_kb("", "/proc/self/status", "VmHWM:");
}

uint64_t budget_memory_peak_lately(void)
{
    static _Atomic uint64_t known_bytes, known_ns;
    uint64_t now_ns = clock_now_ns();
    if (known_ns == 0 || now_ns - known_ns >= lately_ns) {
        known_bytes = budget_memory_peak();
        known_ns = now_ns;
    }
    return known_bytes;
}
