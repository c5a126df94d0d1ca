/* clock.h - time that never goes back, in nanoseconds. */
#ifndef HAUL_CLOCK_H
#define HAUL_CLOCK_H

#include <stdint.h>

#define NS_PER_SECOND ((uint64_t)1000000000)
#define NS_PER_MS     ((uint64_t)1000000)

/* CLOCK_MONOTONIC. Cannot fail on Linux. */
uint64_t clock_now_ns(void);

/* Bytes a second over a duration; 0 for a duration of 0, NUM_UNKNOWN for more than 64 bits hold. */
uint64_t clock_rate(uint64_t bytes, uint64_t duration_ns);

#endif
