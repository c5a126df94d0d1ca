/* watch.c - waits for signals and for the end of the copy, and draws the progress between. */
#include "haul/watch.h"

#include "haul/clock.h"
#include "haul/exit.h"
#include "haul/log.h"
#include "haul/progress.h"
#include "haul/signals.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TICK_MS = 100, LINE_MS = 1000, COLUMNS_DEFAULT = 80 };

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
    struct progress_meter meter;
    struct progress_view view;
    bool known;        /* view holds something */
    uint64_t drawn_ns; /* when progress was shown last */
    bool stopping;
};

static void measure(struct watching *state)
{
    const struct progress *progress = atomic_load(&state->watch->progress);
    if (!progress)
        return;
    progress_read(&state->view, progress);
    progress_measure(&state->meter, &state->view, clock_now_ns());
    state->known = true;
}

/* A bar stays one column away from the edge: some terminals wrap at the last one. */
static void draw(struct watching *state)
{
    char line[PROGRESS_LINE_BYTES];
    switch (state->watch->style) {
    case WATCH_SILENT:
        break;
    case WATCH_BAR:
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

/* The flag first, then the counters: whoever publishes the counters does it the other way round,
 * so one of the two sees the other. */
static void request_stop(struct watching *state)
{
    if (state->stopping) {
        if (state->watch->style == WATCH_BAR)
            fputs("\r\033[K", stderr);
        _exit(EXIT_CODE_INTERRUPTED);
    }
    state->stopping = true;
    atomic_store(&state->watch->stop, true);
    struct progress *progress = atomic_load(&state->watch->progress);
    if (progress)
        atomic_store(&progress->stop, true);
    log_note("stopping: what is written is being made durable (once more stops at once)");
}

static void handle_signals(struct watching *state)
{
    /* Bounded: equal signals do not queue, so there are at most four. */
    for (int i = 0; i < 4; i++) {
        switch (signals_next(state->watch->fd_signals)) {
        case SIGNALS_NONE:
            return;
        case SIGNALS_STOP:
            request_stop(state);
            break;
        case SIGNALS_STATUS:
            print_status(state);
            break;
        }
    }
}

void watch_run(struct watch *watch)
{
    struct watching state = {.watch = watch, .drawn_ns = clock_now_ns()};
    uint64_t pace_ns = (watch->style == WATCH_BAR ? TICK_MS : LINE_MS) * NS_PER_MS;
    struct pollfd fds[2] = {{.fd = watch->fd_signals, .events = POLLIN},
                            {.fd = watch->fd_done, .events = POLLIN}};
    while (fds[1].revents == 0) {
        int ready = poll(fds, 2, TICK_MS);
        measure(&state);
        if (ready > 0 && fds[0].revents != 0)
            handle_signals(&state);
        /* Signals may wake us at any pace; the display keeps its own. */
        uint64_t now_ns = clock_now_ns();
        if (state.known && now_ns - state.drawn_ns >= pace_ns) {
            draw(&state);
            state.drawn_ns = now_ns;
        }
    }
    if (watch->style == WATCH_BAR)
        fputs("\r\033[K", stderr);
    else if (state.known && state.view.phase != PHASE_OPENING)
        draw(&state); /* the end is always shown, however short the copy was */
}
