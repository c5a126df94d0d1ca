/* control.h - what a run is told while it works: stop, and how fast it may go.
 *
 * It belongs to whoever starts the run, and outlives it. One for all lanes; any thread may use it.
 */
#ifndef HAUL_CONTROL_H
#define HAUL_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { CONTROL_HALVED_MAX = 3 };

/* All zeros: go, as fast as you can. */
struct control {
    /* Set from a signal: drain, sync, journal, end with ERROR_INTERRUPTED. */
    atomic_bool stop;
    atomic_bool dialling;     /* a lost link anew: nothing is under way that a stop waits for */
    uint64_t bandwidth_bytes; /* --bwlimit, a second; 0: no limit. Set before the run */
    _Atomic uint64_t allowed_ns;
    uint32_t nice;                /* 1: --nice, halved once from the beginning */
    _Atomic uint64_t slots_bytes; /* of all lanes together; 0: not known yet */
    /* The servers that want it halved so many times over: there may be several on a machine. */
    _Atomic uint32_t far_halved[CONTROL_HALVED_MAX + 1];
    _Atomic uint32_t slots_halved;  /* see control_share() */
    _Atomic uint32_t halved_most;   /* of all times */
    _Atomic(const char *) pressure; /* why it was last done, a constant; NULL: it was not */
};

/* So many bytes are about to be fetched; fewer than none: of those that were about to be, so many
 * were not. A token bucket that never saves up more than a tenth of a second. */
void control_spend(struct control *control, int64_t bytes);

/* How long nothing more may be fetched; 0: go on. */
uint64_t control_wait_ns(const struct control *control);

/* Of so many things that may be in flight so many are, now: half of them, so many times over, but
 * `least` always, as far as there are as many. The one place that knows: whoever starts something
 * asks it each time. */
uint64_t control_share(const struct control *control, uint64_t count, uint64_t least);

/* A server wants it halved so many times over now, instead of before: 0 is nothing. */
void control_far_halve(struct control *control, uint32_t before, uint32_t now);

/* The most that one of them wants. */
uint32_t control_far_halved(const struct control *control);

#endif
