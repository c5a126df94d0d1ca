/* kernel_memory.c - figures of the kernel's own memory, and the files by which a cgroup is emptied.
 */
#include "haul/disk/kernel_memory.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/disk/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MEASURE_LOOKS = 256, /* these read some 50 lines of the kernel's, those one number */
    USAGE_LOOKS = 8,     /* where there is little room; up to so many times as seldom: */
    USAGE_SELDOM = 8,
    PARENTS_MAX = 8,
};

static const uint64_t lately_ns = NS_PER_SECOND / 10;

/* More than this is not left to grow, whatever the limit: it is low memory on 32-bit machines. */
static const uint64_t allowance_bytes_max = 64 * MIB;
static const uint64_t allowance_bytes_min = 256 * KIB;

/* Room in a cgroup is made so much at a time, as large as a huge page on x86 and most others, and
 * when less than that is left. */
static const uint64_t room_bytes = 2 * MIB;
static const uint64_t room_bytes_least = 1 * MIB;

/* ---- figures ---- */

static uint64_t kernel_read(const struct kernel_memory *memory)
{
    switch (memory->of) {
    case KERNEL_MEMORY_SLAB:
        return proc_figure_in(memory->cgroup.path, "/memory.stat", "slab_reclaimable ",
                              NUM_UNKNOWN);
    case KERNEL_MEMORY_CGROUP:
        return proc_figure_in(memory->cgroup.path, "/memory.kmem.usage_in_bytes", "", NUM_UNKNOWN);
    case KERNEL_MEMORY_MACHINE:
        return proc_figure_kb(memory->cgroup.root, "/proc/meminfo", "SReclaimable:");
    case KERNEL_MEMORY_UNKNOWN:
        break;
    }
    return NUM_UNKNOWN;
}

static uint64_t low_free_read(const struct kernel_memory *memory)
{
    return proc_figure_kb(memory->cgroup.root, "/proc/meminfo", "LowFree:");
}

/* The first that tells. Of an ancestor the figure is not ours, and no cgroup of v1 that does not
 * account for kernel memory (before Linux 4.5) has any. */
static uint64_t choose(struct kernel_memory *memory)
{
    bool own = memory->cgroup.version != 0 && memory->cgroup.own;
    enum kernel_memory_of of =
        own && memory->cgroup.version == 2 ? KERNEL_MEMORY_SLAB : KERNEL_MEMORY_CGROUP;
    if (!own)
        of = KERNEL_MEMORY_MACHINE;
    for (; of <= KERNEL_MEMORY_MACHINE; of++) {
        memory->of = of;
        uint64_t bytes = kernel_read(memory);
        if (bytes != NUM_UNKNOWN && (bytes > 0 || of != KERNEL_MEMORY_CGROUP))
            return bytes;
    }
    memory->of = KERNEL_MEMORY_UNKNOWN;
    return NUM_UNKNOWN;
}

static void raise_to(_Atomic uint64_t *most, uint64_t value)
{
    uint64_t before = atomic_load(most);
    while (before < value && !atomic_compare_exchange_weak(most, &before, value))
        ;
}

static void lower_to(_Atomic uint64_t *least, uint64_t value)
{
    uint64_t before = atomic_load(least);
    while (before > value && !atomic_compare_exchange_weak(least, &before, value))
        ;
}

static void measure(struct kernel_memory *memory)
{
    uint64_t bytes = kernel_read(memory);
    memory->measured_ns = clock_now_ns();
    memory->now_bytes = bytes;
    if (bytes != NUM_UNKNOWN)
        raise_to(&memory->most_bytes, bytes);
    if (memory->low_before_bytes != NUM_UNKNOWN)
        lower_to(&memory->low_least_bytes, low_free_read(memory));
}

static uint64_t usage_read(const struct kernel_memory *memory)
{
    bool old = memory->cgroup.version == 1;
    return proc_figure_in(memory->cgroup.path, old ? "/memory.usage_in_bytes" : "/memory.current",
                          "", NUM_UNKNOWN);
}

/* Of our cgroup, or of an ancestor that has less room. */
static uint64_t limit_read(const struct kernel_memory *memory)
{
    const char *folder = memory->cgroup.path;
    bool old = memory->cgroup.version == 1;
    uint64_t limit =
        proc_figure_in(folder, old ? "/memory.limit_in_bytes" : "/memory.max", "", NUM_UNKNOWN);
    struct budget_facts facts;
    if (!old)
        limit = min_u64(limit, proc_figure_in(folder, "/memory.high", "", NUM_UNKNOWN));
    budget_read(&facts, &memory->cgroup);
    if (facts.cgroup_limit_bytes == NUM_UNKNOWN)
        return limit;
    uint64_t usage = min_u64(facts.cgroup_usage_bytes, facts.cgroup_limit_bytes);
    return min_u64(limit, usage_read(memory) + (facts.cgroup_limit_bytes - usage));
}

void kernel_memory_open(struct kernel_memory *memory, const char *root)
{
    *memory = (struct kernel_memory){.of = KERNEL_MEMORY_UNKNOWN};
    pthread_mutex_init(&memory->lock, NULL); /* the default kind cannot fail in glibc */
    memory->due_bytes = memory->full_bytes = NUM_UNKNOWN;
    cgroup_find(&memory->cgroup, root);
    uint64_t limit = memory->cgroup.version != 0 ? limit_read(memory) : NUM_UNKNOWN;
    if (limit != NUM_UNKNOWN)
        memory->full_bytes = limit - min_u64(limit, room_bytes_least);
    memory->before_bytes = choose(memory);
    memory->most_bytes = memory->before_bytes;
    memory->now_bytes = memory->before_bytes;
    memory->low_before_bytes = low_free_read(memory);
    memory->low_least_bytes = memory->low_before_bytes;
    memory->measured_ns = clock_now_ns();
}

void kernel_memory_close(struct kernel_memory *memory)
{
    pthread_mutex_destroy(&memory->lock);
}

struct kernel_memory_told kernel_memory_tell(struct kernel_memory *memory)
{
    struct kernel_memory_told told = {
        KERNEL_MEMORY_UNKNOWN, NUM_UNKNOWN, NUM_UNKNOWN, NUM_UNKNOWN, NUM_UNKNOWN, 0, 0};
    if (!memory)
        return told;
    if (clock_now_ns() - memory->measured_ns >= lately_ns)
        measure(memory);
    uint64_t before = memory->before_bytes, now = memory->now_bytes;
    told.of = memory->of;
    if (before != NUM_UNKNOWN && now != NUM_UNKNOWN) {
        told.most_bytes = memory->most_bytes - before;
        told.left_bytes = now - min_u64(now, before);
    }
    told.low_before_bytes = memory->low_before_bytes;
    told.low_least_bytes = memory->low_least_bytes;
    told.emptied_count = memory->emptied_count;
    told.rooms_count = memory->rooms_count;
    return told;
}

const char *kernel_memory_name(enum kernel_memory_of of)
{
    static const char *const names[] = {
        [KERNEL_MEMORY_UNKNOWN] = NULL,
        [KERNEL_MEMORY_SLAB] = "reclaimable slab of the cgroup",
        [KERNEL_MEMORY_CGROUP] = "kernel memory of the cgroup",
        [KERNEL_MEMORY_MACHINE] = "reclaimable slab of the machine",
    };
    return names[of];
}

/* ---- a cgroup of our own ---- */

/* We ourselves, or what we have started: an ssh, say. */
static bool is_ours(const struct kernel_memory *memory, uint64_t process)
{
    char path[64];
    for (uint32_t i = 0; i < PARENTS_MAX && process > 1; i++) {
        if (process == (uint64_t)getpid())
            return true;
        snprintf(path, sizeof(path), "/proc/%" PRIu64 "/status", process);
        process = proc_figure_in(memory->cgroup.root, path, "PPid:", NUM_UNKNOWN);
        if (process == NUM_UNKNOWN)
            return false;
    }
    return false;
}

/* The first process in it that is not ours, or NUM_UNKNOWN where that cannot be told; 0: there is
 * none. */
static uint64_t stranger(const struct kernel_memory *memory)
{
    AUTO_PROC_LINES(lines, PROC_SHORT_BYTES);
    char *line;
    if (proc_lines_open(&lines, memory->cgroup.path, "/cgroup.procs") < 0)
        return NUM_UNKNOWN;
    while ((line = proc_lines_next(&lines))) {
        uint64_t process;
        if (!num_parse_u64(line, &process) || process == 0) /* 0: of another PID namespace */
            return NUM_UNKNOWN;
        if (!is_ours(memory, process))
            return process;
    }
    return 0;
}

/* Folders of the kernel's have as many links as they have folders in them, and two. */
static bool has_children(const struct kernel_memory *memory)
{
    struct stat st;
    return stat(memory->cgroup.path, &st) != 0 || st.st_nlink > 2;
}

/* EAGAIN: there was less to be reclaimed than was asked for. */
static int put(int fd, const char *text)
{
    return write(fd, text, strlen(text)) > 0 || errno == EAGAIN ? 0 : -errno;
}

/* All that can be reclaimed (v1), or what has come since the last time (v2), which is told to leave
 * our own buffers out of the swap, where it knows that word (Linux 6.9). */
static int empty(const struct kernel_memory *memory, uint64_t grown_bytes)
{
    bool old = memory->cgroup.version == 1;
    char path[PATH_MAX], text[64];
    if (!proc_join(path, memory->cgroup.path, old ? "/memory.force_empty" : "/memory.reclaim"))
        return -ENAMETOOLONG;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (old)
        return put(fd, "0");
    snprintf(text, sizeof(text), "%" PRIu64 " swappiness=0", grown_bytes);
    int result = put(fd, text);
    *strchr(text, ' ') = '\0';
    return result == -EINVAL ? put(fd, text) : result;
}

/* Half of what is between now and the limit. */
static void set_due(struct kernel_memory *memory)
{
    memory->base_bytes = usage_read(memory);
    if (memory->base_bytes == NUM_UNKNOWN)
        return;
    uint64_t room = memory->limit_bytes - min_u64(memory->base_bytes, memory->limit_bytes);
    memory->due_bytes =
        memory->base_bytes + clamp_u64(room / 2, allowance_bytes_min, allowance_bytes_max);
}

static int refuse(const struct kernel_memory *memory, uint64_t process, struct error *err)
{
    if (process != NUM_UNKNOWN && process > 0)
        return error_set_class(err, ERROR_USAGE, EBUSY,
                               "--own-cgroup: process %" PRIu64
                               " is in our memory cgroup, too, and "
                               "what it has cached is not ours to drop: start haul in a cgroup of "
                               "its own (systemd-run --scope -p MemoryMax=...)",
                               process);
    return error_set_class(err, ERROR_USAGE, EBUSY,
                           "--own-cgroup: our memory cgroup (%s) is not known to be ours alone: "
                           "start haul in one of its own (systemd-run --scope -p MemoryMax=...)",
                           memory->cgroup.version != 0 ? memory->cgroup.path : "there is none");
}

int kernel_memory_own(struct kernel_memory *memory, struct error *err)
{
    uint64_t process = NUM_UNKNOWN;
    if (memory->cgroup.version != 0 && memory->cgroup.own && !has_children(memory))
        process = stranger(memory);
    if (process != 0)
        return refuse(memory, process, err);
    int result = empty(memory, 1);
    if (result < 0)
        return error_set_class(err, ERROR_USAGE, -result,
                               "--own-cgroup: %s cannot be emptied (%s): memory.reclaim came with "
                               "Linux 5.19, and only its owner may write it",
                               memory->cgroup.path, strerror(-result));
    memory->limit_bytes = limit_read(memory);
    set_due(memory);
    return memory->due_bytes != NUM_UNKNOWN ? 0 : refuse(memory, NUM_UNKNOWN, err);
}

/* With the lock held. */
static void give_back(struct kernel_memory *memory)
{
    uint64_t usage = usage_read(memory);
    if (usage == NUM_UNKNOWN || usage < memory->due_bytes)
        return;
    measure(memory);
    uint64_t process = has_children(memory) ? NUM_UNKNOWN : stranger(memory);
    int result = process == 0 ? empty(memory, usage - memory->base_bytes) : -EBUSY;
    if (result < 0) {
        log_note("--own-cgroup: %s is emptied no more: %s", memory->cgroup.path,
                 process == 0 ? strerror(-result) : "others have come into it");
        memory->due_bytes = NUM_UNKNOWN;
        return;
    }
    memory->emptied_count++;
    set_due(memory);
}

/* ---- room in any cgroup ---- */

/* The kernel charges an inode where it may reclaim no inodes (GFP_NOFS). In a cgroup that is full
 * of them and has no page cache, the OOM killer comes then (met within 16 MiB, Linux 6.18). For a
 * page of a process it may. A huge one is charged all at once, and never to the death of a process:
 * where there is no room for it, or none to be had, it is a small one. Given back, its room is
 * left. false: there are no huge pages. */
static bool take_and_give_back(void)
{
    const size_t bytes = (size_t)room_bytes;
    uint8_t *mapping = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return false;
    uint8_t *start = mapping + (-(uintptr_t)mapping & (bytes - 1));
    bool huge = madvise(start, bytes, MADV_HUGEPAGE) == 0;
    if (huge)
        *(volatile uint8_t *)start = 1;
    munmap(mapping, 2 * bytes);
    return huge;
}

/* With the lock held. Only while names of ours are there in its place, and not again and again
 * where it does not help. */
static void make_room(struct kernel_memory *memory, uint32_t number)
{
    uint64_t before = memory->before_bytes, now = memory->now_bytes;
    uint64_t names_bytes =
        before == NUM_UNKNOWN || now == NUM_UNKNOWN ? 0 : now - min_u64(now, before);
    if (names_bytes < room_bytes || number < memory->room_looks ||
        usage_read(memory) < memory->full_bytes)
        return;
    if (!take_and_give_back()) {
        memory->full_bytes = NUM_UNKNOWN;
        return;
    }
    memory->rooms_count++;
    measure(memory);
    if (usage_read(memory) >= memory->full_bytes)
        memory->room_looks = number + MEASURE_LOOKS;
}

/* Each look is about a file of at most 256 KiB: those until the next reading fill no more than a
 * small part of the room that is left. */
static uint32_t usage_looks(uint64_t room_bytes_left)
{
    uint64_t times = 1 + room_bytes_left / (USAGE_LOOKS * room_bytes);
    return USAGE_LOOKS * num_u32(min_u64(times, USAGE_SELDOM));
}

void kernel_memory_look(struct kernel_memory *memory)
{
    if (!memory)
        return;
    uint32_t number = atomic_fetch_add(&memory->looks, 1);
    if (number % MEASURE_LOOKS == MEASURE_LOOKS - 1)
        measure(memory);
    bool own = memory->due_bytes != NUM_UNKNOWN;
    uint64_t due_bytes = own ? memory->due_bytes : memory->full_bytes;
    if (due_bytes == NUM_UNKNOWN || (int32_t)(number - memory->usage_due) < 0)
        return;
    uint64_t usage = usage_read(memory);
    memory->usage_due = number + usage_looks(due_bytes - min_u64(usage, due_bytes));
    if (usage < due_bytes)
        return;
    pthread_mutex_lock(&memory->lock);
    if (own)
        give_back(memory);
    else
        make_room(memory, number);
    pthread_mutex_unlock(&memory->lock);
}
