/* signals.h - signals as events that one thread waits for; no handler runs while the copy does, but
 * for an empty one by which signals_wake() takes another thread out of a system call.
 *
 * INT, TERM and HUP ask the copy to stop, USR1 asks for a status line (INFO, too, where there is
 * one: Linux has none), WINCH tells of a new size of the terminal, PIPE is ignored (a write then
 * fails with EPIPE). */
#ifndef HAUL_SIGNALS_H
#define HAUL_SIGNALS_H

#include "haul/base/error.h"

#include <pthread.h>

enum signals_event { SIGNALS_NONE, SIGNALS_STOP, SIGNALS_STATUS, SIGNALS_RESIZED };

/* Block the signals in this thread and all that it starts from now on, and make them readable. A
 * HUP that was ignored when the program started stays so (nohup): as a blocked signal it would be
 * queued although its action is to be ignored. INT is always taken, as rsync does, also where a
 * script's shell ignores it for its background jobs. Returns a descriptor for poll(2), which the
 * caller closes, or -errno with words. */
int signals_open(struct error *err);

/* The next event; SIGNALS_NONE when none waits. Does not block. */
enum signals_event signals_next(int fd);

/* The work is over and only a goodbye is left, which another machine may keep waiting: from now on
 * INT, TERM and HUP end the process at once, with the exit code that the receipt has told. Those
 * that came before are forgotten. To be called by the thread that called signals_open(). */
void signals_release(int code);

/* A thread that waits in a system call (for a password, for a connection) gets EINTR. When it does
 * not wait just now nothing happens: call again. */
void signals_wake(pthread_t thread);

#endif
