/* watch.h - the main thread's part while the copy runs: signals, progress, stopping. */
#ifndef HAUL_WATCH_H
#define HAUL_WATCH_H

#include "haul/base/control.h"
#include "haul/side/report.h"

#include <stdatomic.h>
#include <stdbool.h>

enum watch_style {
    WATCH_SILENT,
    WATCH_BAR,    /* one line of a terminal, drawn anew each second, and when its size changes */
    WATCH_LINES,  /* a line a second on standard error */
    WATCH_JSON,   /* an event a second on standard output */
    WATCH_SERVER, /* nothing at all: whoever is there reads a protocol */
};

struct watch {
    enum watch_style style;
    bool asks; /* its thread logs in and asks questions: a signal that comes before there is
                  progress wakes it from them */
    _Atomic(struct progress *) progress; /* set by the copy's thread as soon as there is one */
    _Atomic(const char *) name; /* of the file at work; lives until watch_run() has returned */
    _Atomic uint32_t number;    /* which one of so many */
    uint32_t count;
    bool writes;            /* what is written has to be made durable, if it is stopped */
    bool json;              /* a receipt is owed, however this ends */
    struct control control; /* of the run: a signal sets `stop` */
};

/* Which style the options and the terminal ask for. */
enum watch_style watch_choose(bool json, bool quiet, bool asked);

/* Do the work, a copy or a server's, in a thread of its own, and return when it is over; or -errno
 * with words, and nothing was begun. The first INT, TERM or HUP asks the copy to stop, the second
 * ends the process at once with exit code 20; so does the first when what is asked is a login that
 * will not end, with a receipt where one is owed. The terminal is then left as it was found, a
 * password's prompt has changed it. USR1 (and INFO, where there is one) prints one line of status.
 */
int watch_run(struct watch *watch, void (*work)(void *argument), void *argument, struct error *err);

#endif
