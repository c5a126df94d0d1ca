/* clock.c - reads the kernel's clocks; nothing here depends on the date. */
#include "haul/base/clock.h"

#include "haul/base/num.h"

#include <assert.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);

    /* clock_gettime(2): EINVAL for an unknown clock and EFAULT only; both clocks are since 2.6. */
    assert(rc == 0);
    (void)rc;
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

/* bytes * 10^9 / duration by long division, one decimal digit at a time: the product does not fit
 * 64 bits above 18 GB, and 32-bit targets have no 128-bit integers. */
uint64_t clock_rate(uint64_t bytes, uint64_t duration_ns)
{
    /* Above this (58 years) remainder * 10 would not fit; four bits less change no digit shown. */
    if (duration_ns > UINT64_MAX / 10) {
        duration_ns >>= 4;
        bytes >>= 4;
    }
    if (duration_ns == 0)
        return 0;

    uint64_t rate = bytes / duration_ns;
    uint64_t remainder = bytes % duration_ns;

    for (int digit = 0; digit < 9; digit++) {
        remainder *= 10;
        if (!mul_u64(rate, 10, &rate) || !add_u64(rate, remainder / duration_ns, &rate))
            return NUM_UNKNOWN; /* more than 18 EB/s is a duration that was not measured */
        remainder %= duration_ns;
    }
    return rate;
}
