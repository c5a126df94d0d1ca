/* ranges.h - a few ranges of one file, in a fixed place.
 *
 * They are kept in order and put together where they touch. A copy walks through a file in one or
 * two streams, so few are enough; what is done when they are not is the caller's choice. */
#ifndef HAUL_RANGES_H
#define HAUL_RANGES_H

#include <stdbool.h>
#include <stdint.h>

enum { RANGES_MAX = 16 };

struct range {
    uint64_t start, end; /* bytes; end is behind the last one */
};

struct ranges {
    uint32_t count;
    struct range all[RANGES_MAX];
};

/* Add [start, end), start < end. false: there is no room, nothing was added. */
bool ranges_add(struct ranges *ranges, uint64_t start, uint64_t end);

/* The same, always: without room the two ranges with the least between them become one. So more is
 * held than was added, never less. */
void ranges_add_blurred(struct ranges *ranges, uint64_t start, uint64_t end);

/* Is all of [start, end) in them? */
bool ranges_hold(const struct ranges *ranges, uint64_t start, uint64_t end);

#endif
