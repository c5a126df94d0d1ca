/* clock_jumps - to be preloaded: the wall clock is an hour ahead and an hour back in turns, at each
 * look, as far as the program under test sees it. CLOCK_MONOTONIC and the kernel's own stamps go on
 * as ever. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { HOUR = 3600 };

int clock_gettime(clockid_t id, struct timespec *out)
{
    static _Atomic unsigned looks;
#ifdef SYS_clock_gettime64 /* where seconds have 64 bits and the machine 32 */
    int rc = (int)syscall(SYS_clock_gettime64, id, out);
#else
    int rc = (int)syscall(SYS_clock_gettime, id, out);
#endif
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += looks++ % 2 ? -HOUR : HOUR;
    }
    return rc;
}
