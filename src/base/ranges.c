/* ranges.c - a few ranges of one file, in order, in a fixed place. */
#include "haul/base/ranges.h"

#include "haul/base/num.h"

#include <string.h>

static void ranges_remove(struct ranges *ranges, uint32_t index)
{
    ranges->count--;
    memmove(&ranges->all[index], &ranges->all[index + 1],
            (ranges->count - index) * sizeof(ranges->all[0]));
}

bool ranges_add(struct ranges *ranges, uint64_t start, uint64_t end)
{
    uint32_t at = 0;
    assert(start < end);
    while (at < ranges->count && ranges->all[at].end < start)
        at++;
    /* From `at` on: those that touch the new one become part of it. */
    while (at < ranges->count && ranges->all[at].start <= end) {
        start = min_u64(start, ranges->all[at].start);
        end = max_u64(end, ranges->all[at].end);
        ranges_remove(ranges, at);
    }
    if (ranges->count == RANGES_MAX)
        return false;
    memmove(&ranges->all[at + 1], &ranges->all[at], (ranges->count - at) * sizeof(ranges->all[0]));
    ranges->all[at] = (struct range){.start = start, .end = end};
    ranges->count++;
    return true;
}

void ranges_add_blurred(struct ranges *ranges, uint64_t start, uint64_t end)
{
    if (ranges_add(ranges, start, end))
        return;
    uint32_t nearest = 0;
    for (uint32_t i = 1; i + 1 < ranges->count; i++) {
        uint64_t gap = ranges->all[i + 1].start - ranges->all[i].end;
        if (gap < ranges->all[nearest + 1].start - ranges->all[nearest].end)
            nearest = i;
    }
    ranges->all[nearest].end = ranges->all[nearest + 1].end;
    ranges_remove(ranges, nearest + 1);
    (void)ranges_add(ranges, start, end);
}

bool ranges_hold(const struct ranges *ranges, uint64_t start, uint64_t end)
{
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (ranges->all[i].start <= start && end <= ranges->all[i].end)
            return true;
    }
    return false;
}
