/* clock_jumps - to be preloaded: the wall clock is an hour ahead and an hour back in turns, at each
 * look, as far as the program under test sees it. CLOCK_MONOTONIC and the kernel's own stamps go on
 * as ever. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { HOUR = 3600 };

int clock_gettime(clockid_t id, struct timespec *out)
{
    static _Atomic unsigned looks;
    int rc = (int)syscall(SYS_clock_gettime, id, out);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += looks++ % 2 ? -HOUR : HOUR;
    }
    return rc;
}
