/* pressure.c - the signs of scarce memory, as differences between two looks. */
#include "haul/disk/pressure.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/disk/budget.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OF_CGROUP, OF_MACHINE };

/* Whoever waits for less is not in need. */
static const uint64_t stalled_share = 10;

/* Less than an eighth of a cgroup's limit that is not page cache: running into it is no longer
 * page cache that makes room for other page cache. */
static const uint64_t room_share = 8;

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123": microseconds. */
static uint64_t stalled_read(const char *root, const char *path)
{
    AUTO_PROC_LINES(lines, PROC_SHORT_BYTES);
    int result = proc_lines_open(&lines, root, path);
    char *line;
    while (result == 0 && (line = proc_lines_next(&lines))) {
        const char *total = strncmp(line, "some ", 5) == 0 ? strrchr(line, ' ') : NULL;
        if (total && strncmp(total, " total=", 7) == 0) {
            total += 7;
            return num_take(&total, 10);
        }
    }
    return NUM_UNKNOWN;
}

static uint64_t cgroup_stalled_read(const struct pressure *pressure)
{
    return pressure->cgroup->version == 0
               ? NUM_UNKNOWN
               : stalled_read(pressure->cgroup->path, "/memory.pressure");
}

static uint64_t hits_read(const struct pressure *pressure)
{
    const bool new = pressure->cgroup->version == 2;
    if (pressure->cgroup->version == 0)
        return 0;
    return proc_figure_in(pressure->cgroup->path, new ? "/memory.events" : "/memory.failcnt",
                          new ? "high " : "", 0);
}

void pressure_open(struct pressure *pressure, const struct cgroup *cgroup, uint64_t now_ns)
{
    *pressure = (struct pressure){.cgroup = cgroup, .looked_ns = now_ns};
    pressure->stalled_us[OF_CGROUP] = cgroup_stalled_read(pressure);
    pressure->stalled_us[OF_MACHINE] = stalled_read(cgroup->root, "/proc/pressure/memory");
    pressure->hits = hits_read(pressure);
}

/* Was there a tenth of the time in which somebody waited? */
static bool has_stalled(uint64_t *before_us, uint64_t now_us, uint64_t since_ns)
{
    bool known = *before_us != NUM_UNKNOWN && now_us != NUM_UNKNOWN && now_us > *before_us;
    bool stalled = known && (now_us - *before_us) * 1000 * stalled_share >= since_ns;
    *before_us = now_us;
    return stalled;
}

static bool is_full(const struct budget_facts *facts)
{
    uint64_t limit = facts->cgroup_limit_bytes, usage = facts->cgroup_usage_bytes;
    return limit != NUM_UNKNOWN && (usage >= limit || limit - usage < limit / room_share);
}

/* All are read, so that each has its difference the next time. */
static const char *sign_of(struct pressure *pressure, uint64_t in_flight_bytes, uint64_t since_ns)
{
    struct budget_facts facts;
    uint64_t hits = hits_read(pressure);
    bool hit = hits > pressure->hits;
    bool cgroup_stalled =
        has_stalled(&pressure->stalled_us[OF_CGROUP], cgroup_stalled_read(pressure), since_ns);
    bool machine_stalled =
        has_stalled(&pressure->stalled_us[OF_MACHINE],
                    stalled_read(pressure->cgroup->root, "/proc/pressure/memory"), since_ns);
    budget_read(&facts, pressure->cgroup);
    pressure->hits = hits;
    if (facts.low_free_bytes != NUM_UNKNOWN && facts.low_free_bytes / 8 < in_flight_bytes)
        return "low memory is scarce";
    if (hit && pressure->cgroup->version == 2)
        return "memory.high holds our cgroup back";
    if (hit && is_full(&facts))
        return "our cgroup runs into its limit";
    if (cgroup_stalled)
        return "our cgroup waits for memory";
    return machine_stalled ? "the machine waits for memory" : NULL;
}

void pressure_be_nice(void)
{
    /* A thread of Linux has a nice value of its own (sched(7)), which may always be raised; above
     * the highest one it is that. */
    const int nicer = 10;
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + nicer);
    /* Threads that read a disk wake up thousands of times a second. The policy protects whoever is
     * within its slice, the weight does behind it: on 6.18 eight of them took a neighbour's
     * processor 998 times, with the policy 920, with the weight 132 (by sched_switch). */
    struct sched_param none;
    int policy, errnum = pthread_getschedparam(pthread_self(), &policy, &none);
    if (errnum == 0 && policy == SCHED_OTHER)
        errnum = pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    if (errnum != 0)
        log_note("nice: processors are taken from programs at work: %s", strerror(errnum));
    const int of_thread = 1, best_effort = 2 << 13, last = 7; /* linux/ioprio.h, since 5.15 */
    if (syscall(SYS_ioprio_set, of_thread, 0, best_effort | last) < 0)
        log_note("nice: the priority of input and output cannot be lowered: %s", strerror(errno));
}

bool pressure_look(struct pressure *pressure, uint64_t in_flight_bytes, uint64_t now_ns)
{
    uint64_t since_ns = now_ns - pressure->looked_ns;
    uint32_t before = pressure->halved;
    if (since_ns < PRESSURE_LOOK_MS * NS_PER_MS)
        return false;
    const char *why = sign_of(pressure, in_flight_bytes >> before, since_ns);
    pressure->looked_ns = now_ns;
    pressure->calm_looks = why ? 0 : pressure->calm_looks + 1;
    if (why) {
        pressure->why = why;
        pressure->halved = (uint32_t)min_u64(before + 1, PRESSURE_HALVED_MAX);
    } else if (before > 0 && pressure->calm_looks >= PRESSURE_CALM_LOOKS) {
        pressure->halved--;
        pressure->calm_looks = 0;
    }
    return pressure->halved != before;
}
