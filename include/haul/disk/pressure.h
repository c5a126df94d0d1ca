/* pressure.h - does memory get scarce while we copy? Of our own cgroup and of the machine, looked
 * at each second; how many slots stay in flight follows from it.
 *
 * Signs: somebody waited for memory for a tenth of the time (PSI), our cgroup was held at
 * memory.high, or ran into its limit with little to reclaim, and on 32-bit machines low memory of
 * less than eight times what is in flight. */
#ifndef HAUL_PRESSURE_H
#define HAUL_PRESSURE_H

#include "haul/base/control.h"
#include "haul/disk/cgroup.h"

#include <stdbool.h>
#include <stdint.h>

enum { PRESSURE_LOOK_MS = 1000, PRESSURE_HALVED_MAX = CONTROL_HALVED_MAX, PRESSURE_CALM_LOOKS = 5 };

struct pressure {
    const struct cgroup *cgroup; /* ours; NULL: not opened yet */
    uint64_t looked_ns;
    uint64_t stalled_us[2]; /* by PSI: of the cgroup, of the machine; NUM_UNKNOWN: not told */
    uint64_t hits;          /* of memory.high, or of the limit (v1) */
    uint32_t halved;        /* so many times are the slots halved now, */
    uint32_t calm_looks;    /* since so many looks without a sign */
    const char *why;        /* the last sign, in words; NULL: there was none */
};

/* Nothing is scarce yet; what comes is compared with now. The cgroup stays the caller's. */
void pressure_open(struct pressure *pressure, const struct cgroup *cgroup, uint64_t now_ns);

/* Look, when it is time: true when `halved` has changed. One step more with each look that has a
 * sign, at most PRESSURE_HALVED_MAX; one less after PRESSURE_CALM_LOOKS without. Reads a few small
 * files of the kernel's. in_flight_bytes: of all slots together. */
bool pressure_look(struct pressure *pressure, uint64_t in_flight_bytes, uint64_t now_ns);

/* This thread, and those that it starts from now on, let others go first: at the processors as with
 * nice(1), and without taking one from whoever is within its slice of time (SCHED_BATCH); and at a
 * disk whose scheduler knows priorities. */
void pressure_be_nice(void);

#endif
