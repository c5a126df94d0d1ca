/* cleanup.h - resources that give themselves back when a scope ends (GNU C `cleanup`). */
#ifndef HAUL_CLEANUP_H
#define HAUL_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* For AUTO_CLOSE: a descriptor that is open; -1 is left alone. errno stays. */
static inline void cleanup_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

/* For AUTO_FREE. */
static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))
#define AUTO_FREE  __attribute__((cleanup(cleanup_free)))

/* Visible hand-over: the caller's variable no longer owns the descriptor. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
