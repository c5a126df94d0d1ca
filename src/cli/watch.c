/* watch.c - waits for signals and for the end of the copy, and draws the progress between. */
#include "haul/cli/watch.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/cli/exit.h"
#include "haul/cli/progress.h"
#include "haul/cli/receipt.h"
#include "haul/cli/signals.h"
#include "haul/disk/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { TICK_MS = 100, PACE_MS = 1000, COLUMNS_DEFAULT = 80 };

/* A login that was asked to stop and still waits, for a name server say, is left after this. */
#define OPENING_NS_MAX (2 * NS_PER_SECOND)

enum watch_style watch_choose(bool json, bool quiet, bool asked)
{
    const char *terminal = getenv("TERM");
    bool can_wipe = isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    if (quiet)
        return WATCH_SILENT;
    if (json)
        return WATCH_JSON;
    if (can_wipe)
        return WATCH_BAR;
    return asked ? WATCH_LINES : WATCH_SILENT;
}

static uint32_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

/* The state of the loop that nobody else sees. */
struct watching {
    struct watch *watch;
    void (*work)(void *argument);
    void *argument;
    pthread_t thread; /* the work's */
    int fd_signals, fd_done;
    struct progress_meter meter;
    struct progress_view view;
    bool known;        /* view holds something */
    bool resized;      /* the terminal, since then */
    uint64_t drawn_ns; /* when progress was shown last */
    struct cgroup cgroup;
    struct pressure pressure; /* looked at from the second second on */
    uint64_t began_ns;
    bool stopping;
    uint64_t stopping_ns;    /* since then */
    struct termios terminal; /* as it was in the beginning */
    bool terminal_known;
};

/* Questions are asked on /dev/tty, with its echo off, in the copy's thread. */
static void remember_terminal(struct watching *state)
{
    AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    state->terminal_known = tty >= 0 && tcgetattr(tty, &state->terminal) == 0;
}

/* Not from the background: that would stop the process (SIGTTOU). */
static void restore_terminal(const struct watching *state)
{
    AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (state->terminal_known && tty >= 0 && tcgetpgrp(tty) == getpgrp())
        tcsetattr(tty, TCSANOW, &state->terminal);
}

/* The end, whatever the other threads are waiting for. */
static void quit(const struct watching *state)
{
    if (state->watch->style == WATCH_BAR)
        fputs("\r\033[K", stderr);
    restore_terminal(state);
    _exit(EXIT_CODE_INTERRUPTED);
}

static void measure(struct watching *state)
{
    const struct progress *progress = atomic_load(&state->watch->progress);
    if (!progress)
        return;
    progress_read(&state->view, progress);
    state->view.name = atomic_load(&state->watch->name);
    state->view.number = atomic_load(&state->watch->number);
    state->view.count = state->watch->count;
    state->view.slots_halved = state->watch->control.slots_halved;
    progress_measure(&state->meter, &state->view, clock_now_ns());
    state->known = true;
}

/* Whoever has sent us into the background wants the line for something else. */
static bool in_foreground(void)
{
    pid_t group = tcgetpgrp(STDERR_FILENO);
    return group < 0 || group == getpgrp();
}

/* A bar stays one column away from the edge: some terminals wrap at the last one. */
static void draw(struct watching *state)
{
    char line[PROGRESS_LINE_BYTES];
    switch (state->watch->style) {
    case WATCH_SILENT:
    case WATCH_SERVER:
        break;
    case WATCH_BAR:
        if (!in_foreground())
            break;
        fprintf(stderr, "\r%s\033[K",
                progress_line(line, &state->view, &state->meter, terminal_columns() - 1));
        break;
    case WATCH_LINES:
        fprintf(stderr, "%s\n", progress_line(line, &state->view, &state->meter, 0));
        break;
    case WATCH_JSON:
        progress_json(stdout, &state->view, &state->meter);
        fflush(stdout);
        break;
    }
}

static void print_status(const struct watching *state)
{
    char line[PROGRESS_LINE_BYTES];
    fprintf(stderr, "%shaul: %s\n", state->watch->style == WATCH_BAR ? "\r\033[K" : "",
            state->known ? progress_line(line, &state->view, &state->meter, 0) : "opening");
}

/* What is known here: the copy's thread is left where it is, and prints nothing any more. */
static void print_receipt(const struct watching *state, const char *why)
{
    const struct progress *progress = atomic_load(&state->watch->progress);
    struct receipt receipt;
    if (!state->watch->json)
        return;
    flockfile(stdout); /* for good */
    receipt_init(&receipt);
    if (progress) /* a link was dialled again in the middle of it */
        receipt_count(&receipt, progress);
    receipt_json(stdout, &receipt, "receipt", EXIT_CODE_INTERRUPTED, why);
    fflush(stdout);
}

static void end_opening(const struct watching *state)
{
    static const char why[] = "interrupted while connecting";
    log_error("%s", why);
    signals_release(EXIT_CODE_INTERRUPTED); /* whoever should read the receipt may not */
    print_receipt(state, why);
    quit(state);
}

static void request_stop(struct watching *state)
{
    if (state->stopping && state->watch->asks && !atomic_load(&state->watch->progress))
        end_opening(state); /* the first one had nothing to say */
    if (state->stopping)
        quit(state);
    state->stopping = true;
    state->stopping_ns = clock_now_ns();
    atomic_store(&state->watch->control.stop, true);
    if (atomic_load(&state->watch->progress) && state->watch->style != WATCH_SERVER)
        log_note("stopping%s (once more stops at once)",
                 state->watch->writes ? ": what is written is being made durable" : "");
}

/* Nothing is written yet while both sides are being opened, so there is nothing to wait for. */
static void wake_opener(const struct watching *state)
{
    const struct watch *watch = state->watch;
    bool opening = !atomic_load(&watch->progress) || atomic_load(&watch->control.dialling);
    if (!state->stopping || !watch->asks || !opening)
        return;
    if (clock_now_ns() - state->stopping_ns >= OPENING_NS_MAX)
        end_opening(state);
    signals_wake(state->thread);
}

static void handle_signals(struct watching *state)
{
    /* Bounded: equal signals do not queue, so there are at most six. */
    for (int i = 0; i < 6; i++) {
        switch (signals_next(state->fd_signals)) {
        case SIGNALS_NONE:
            return;
        case SIGNALS_STOP:
            request_stop(state);
            break;
        case SIGNALS_RESIZED:
            state->resized = state->watch->style == WATCH_BAR;
            break;
        case SIGNALS_STATUS:
            if (state->watch->style != WATCH_SERVER)
                print_status(state);
            break;
        }
    }
}

/* Where memory is scarce less of it is in flight; from the second second on, so that short copies
 * look at nothing. */
static void ease(struct watching *state, uint64_t now_ns)
{
    struct control *control = &state->watch->control;
    struct pressure *pressure = &state->pressure;
    if (state->watch->style == WATCH_SERVER || control->slots_bytes == 0 ||
        now_ns - state->began_ns < PRESSURE_LOOK_MS * NS_PER_MS)
        return;
    if (!pressure->cgroup) {
        cgroup_find(&state->cgroup, "/");
        pressure_open(pressure, &state->cgroup, now_ns);
    }
    (void)pressure_look(pressure, control->slots_bytes, now_ns);
    uint32_t far = control_far_halved(control);
    uint32_t halved = (uint32_t)max_u64(pressure->halved, far);
    uint32_t before = control->slots_halved - control->nice;
    if (halved == before)
        return;
    const char *why =
        far > pressure->halved ? "the other machine is short of memory" : pressure->why;
    if (halved > before)
        control->pressure = why;
    if (halved > control->halved_most)
        control->halved_most = halved;
    control->slots_halved = halved + control->nice;
    log_verbose("%s: 1/%u of the slots are used now",
                halved < before ? "memory is there again" : why, 1u << control->slots_halved);
}

/* The write to an eventfd that is 0 cannot fail. */
static void *work_thread(void *argument)
{
    struct watching *state = argument;
    state->work(state->argument);
    eventfd_write(state->fd_done, 1);
    return NULL;
}

static void watch_work(struct watching *state)
{
    struct pollfd fds[2] = {{.fd = state->fd_signals, .events = POLLIN},
                            {.fd = state->fd_done, .events = POLLIN}};
    while (fds[1].revents == 0) {
        int ready = poll(fds, 2, TICK_MS);
        measure(state);
        if (ready > 0 && fds[0].revents != 0)
            handle_signals(state);
        if (fds[1].revents == 0)
            wake_opener(state);
        /* Signals may wake us at any pace; the display keeps its own. */
        uint64_t now_ns = clock_now_ns();
        ease(state, now_ns);
        if (state->known && (state->resized || now_ns - state->drawn_ns >= PACE_MS * NS_PER_MS)) {
            draw(state);
            state->drawn_ns = now_ns;
            state->resized = false;
        }
    }
    if (state->watch->style == WATCH_BAR)
        fputs("\r\033[K", stderr);
    else if (state->known && state->view.phase != PHASE_OPENING)
        draw(state); /* the end is always shown, however short the copy was */
}

int watch_run(struct watch *watch, void (*work)(void *argument), void *argument, struct error *err)
{
    struct watching state = {.watch = watch, .work = work, .argument = argument};
    AUTO_CLOSE int fd_signals = signals_open(err);
    if (fd_signals < 0)
        return fd_signals;
    AUTO_CLOSE int fd_done = eventfd(0, EFD_CLOEXEC);
    if (fd_done < 0)
        return error_set(err, errno, "eventfd");
    state.fd_signals = fd_signals;
    state.fd_done = fd_done;
    state.began_ns = state.drawn_ns = clock_now_ns();
    if (watch->asks)
        remember_terminal(&state);
    int errnum = pthread_create(&state.thread, NULL, work_thread, &state);
    if (errnum != 0)
        return error_set(err, errnum, "start a thread");
    watch_work(&state);
    pthread_join(state.thread, NULL);
    return 0;
}
