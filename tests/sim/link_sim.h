/* link_sim.h - a line between two simulated machines, with a server at its other end: late, in
 * pieces, and cut when the seed says so. */
#ifndef HAUL_TESTS_SIM_LINK_H
#define HAUL_TESTS_SIM_LINK_H

#include "disk_sim.h"

#include "haul/base/log.h"
#include "haul/net/link.h"
#include "haul/wire/serve.h"

enum {
    LINES_MAX = 12,
    LINE_BYTES = 300 * 1024, /* on their way in one direction */
    PIECES_MAX = 256,
};

/* One direction. */
struct way {
    uint8_t bytes[LINE_BYTES];
    uint64_t put, got; /* counts; the bytes between them are on their way */
    struct {
        uint64_t end, ready_ns;
    } pieces[PIECES_MAX]; /* ring: what of it arrives when */
    uint32_t first, count;
    bool ended; /* no more comes */
};

struct line_end {
    struct link link; /* first: see link.h */
    struct line *line;
    bool server;
};

struct line {
    bool used, cut, server_done;
    uint32_t number;
    struct line_end ends[2]; /* client, server */
    uint32_t open_count;
    struct way ways[2]; /* by who sends */
};

static struct {
    struct line *lines[LINES_MAX];
    uint64_t delay_ns;
    uint64_t cut_after_bytes; /* of all lines together; UINT64_MAX: never */
    uint64_t moved_bytes;
    uint32_t cut_count;
} net;

static uint64_t way_arrived(const struct way *way)
{
    uint64_t arrived = way->got;
    for (uint32_t i = 0; i < way->count; i++) {
        uint32_t at = (way->first + i) % PIECES_MAX;
        if (way->pieces[at].ready_ns > sim.now_ns)
            break;
        arrived = max_u64(arrived, way->pieces[at].end);
    }
    return arrived;
}

static struct way *way_out(const struct line_end *end)
{
    return &end->line->ways[end->server];
}

static struct way *way_in(const struct line_end *end)
{
    return &end->line->ways[!end->server];
}

static int line_lost(struct line_end *end, struct error *err)
{
    return error_set_class(err, ERROR_SOCKET, ECONNRESET, "%s: connection lost", end->link.peer);
}

static void line_count(struct line *line, uint64_t bytes)
{
    net.moved_bytes += bytes;
    if (net.moved_bytes < net.cut_after_bytes || line->cut)
        return;
    net.cut_after_bytes = UINT64_MAX;
    line->cut = true;
    net.cut_count++;
    cause("a line is cut");
}

static ssize_t line_send(struct link *link, const void *data, size_t length, struct error *err)
{
    struct line_end *end = (struct line_end *)link;
    struct way *way = way_out(end);
    sim_preempt();
    if (end->line->cut)
        return line_lost(end, err);
    size_t room = (size_t)(LINE_BYTES - (way->put - way->got));
    length = min_size(length, room);
    if (length > 1 && sim_chance(200))
        length = (size_t)sim_scaled(1, length);
    if (length == 0 || way->count == PIECES_MAX)
        return 0;
    for (size_t i = 0; i < length;) {
        size_t at = (size_t)(way->put % LINE_BYTES), part = min_size(length - i, LINE_BYTES - at);
        memcpy(way->bytes + at, (const uint8_t *)data + i, part);
        way->put += part;
        i += part;
    }
    uint64_t ready_ns = sim.now_ns + net.delay_ns + sim_scaled(0, net.delay_ns / 4 + 1);
    if (way->count > 0)
        ready_ns =
            max_u64(ready_ns, way->pieces[(way->first + way->count - 1) % PIECES_MAX].ready_ns);
    uint32_t last = (way->first + way->count++) % PIECES_MAX;
    way->pieces[last].end = way->put;
    way->pieces[last].ready_ns = ready_ns;
    line_count(end->line, length);
    return (ssize_t)length;
}

static ssize_t line_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct line_end *end = (struct line_end *)link;
    struct way *way = way_in(end);
    sim_preempt();
    uint64_t arrived = way_arrived(way);
    size_t length = (size_t)min_u64(capacity, arrived - way->got);
    if (length == 0 && end->line->cut)
        return line_lost(end, err);
    if (length == 0)
        return way->ended && way->got == way->put ? LINK_EOF : 0;
    if (length > 1 && sim_chance(200))
        length = (size_t)sim_scaled(1, length);
    for (size_t i = 0; i < length;) {
        size_t at = (size_t)(way->got % LINE_BYTES), part = min_size(length - i, LINE_BYTES - at);
        memcpy((uint8_t *)buffer + i, way->bytes + at, part);
        way->got += part;
        i += part;
    }
    while (way->count > 0 && way->pieces[way->first].end <= way->got) {
        way->first = (way->first + 1) % PIECES_MAX;
        way->count--;
    }
    return (ssize_t)length;
}

static short line_ready(const struct line_end *end, short events)
{
    const struct way *in = way_in(end), *out = way_out(end);
    short ready = 0;
    if (end->line->cut)
        return events;
    if (way_arrived(in) > in->got || (in->ended && in->got == in->put))
        ready |= POLLIN;
    if (out->put - out->got < LINE_BYTES && out->count < PIECES_MAX)
        ready |= POLLOUT;
    return ready & events;
}

static uint64_t line_next_ns(const struct line *line)
{
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; line && i < 2; i++) {
        const struct way *way = &line->ways[i];
        for (uint32_t k = 0; k < way->count; k++) {
            uint64_t ready_ns = way->pieces[(way->first + k) % PIECES_MAX].ready_ns;
            if (ready_ns > sim.now_ns)
                next_ns = min_u64(next_ns, ready_ns);
        }
    }
    return next_ns;
}

static int line_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    const struct line_end *end = (const struct line_end *)link;
    *events = (short)((wanted & LINK_RECV ? POLLIN : 0) | (wanted & LINK_SEND ? POLLOUT : 0));
    return FD_FIRST + ENGINES_MAX + (int)end->line->number * 2 + end->server;
}

static int line_send_eof(struct link *link, struct error *err)
{
    struct line_end *end = (struct line_end *)link;
    (void)err;
    way_out(end)->ended = true;
    return 0;
}

static int line_status(struct link *link, int *status)
{
    const struct line_end *end = (const struct line_end *)link;
    if (end->server)
        return -ENODATA;
    *status = 0;
    return end->line->server_done || end->line->cut ? 0 : -EAGAIN;
}

static const char *line_last_words(struct link *link)
{
    (void)link;
    return "";
}

static void line_close(struct link *link)
{
    struct line_end *end = (struct line_end *)link;
    struct line *line = end->line;
    way_out(end)->ended = true;
    if (--line->open_count > 0)
        return;
    net.lines[line->number] = NULL;
    free(line);
}

static const struct link_ops line_ops = {
    .name = "simulated",
    .send = line_send,
    .recv = line_recv,
    .wait_fd = line_wait_fd,
    .send_eof = line_send_eof,
    .status = line_status,
    .last_words = line_last_words,
    .close = line_close,
};

static void *server_main(void *argument)
{
    struct line_end *end = argument;
    struct error err = {.class = ERROR_NONE};
    const struct serve_config config = {.link = &end->link};
    int result = serve_run(&config, &err);
    sim_trace("a server ends: %d %s", result, result < 0 ? err.text : "");
    end->line->server_done = true;
    line_close(&end->link);
    return NULL;
}

int link_command_open(struct link **out, const struct link_options *options, struct error *err)
{
    struct line *line = calloc(1, sizeof(*line));
    uint32_t number = 0;
    pthread_t thread;
    (void)options, (void)err;
    while (number < LINES_MAX && net.lines[number])
        number++;
    if (!line || number == LINES_MAX)
        sim_fatal("more than %d lines", LINES_MAX);
    net.lines[number] = line;
    line->number = number;
    line->open_count = 2;
    for (int i = 0; i < 2; i++) {
        line->ends[i] = (struct line_end){.link.ops = &line_ops, .line = line, .server = i};
        snprintf(line->ends[i].link.peer, sizeof(line->ends[i].link.peer), i ? "near" : "far");
    }
    (void)poll(NULL, 0, (int)sim_scaled(0, 500)); /* the login */
    (void)pthread_create(&thread, NULL, server_main, &line->ends[1]);
    *out = &line->ends[0].link;
    return 0;
}

/* ---- lines of the log, for the client ---- */

struct serve_notes *__real_serve_notes_open(enum log_level level);
struct serve_notes *__wrap_serve_notes_open(enum log_level level);
void __real_serve_notes_close(struct serve_notes *notes);
void __wrap_serve_notes_close(struct serve_notes *notes);

static struct serve_notes *notes_taken; /* the program's only variable that a cut leaves behind */

struct serve_notes *__wrap_serve_notes_open(enum log_level level)
{
    struct serve_notes *notes = __real_serve_notes_open(level);
    notes_taken = notes ? notes : notes_taken;
    return notes;
}

void __wrap_serve_notes_close(struct serve_notes *notes)
{
    __real_serve_notes_close(notes);
    notes_taken = notes == notes_taken ? NULL : notes_taken;
}

/* The power was cut. */
static void links_forget(void)
{
    __real_serve_notes_close(notes_taken);
    notes_taken = NULL;
    memset(net.lines, 0, sizeof(net.lines));
}

/* ---- what tasks wait for ---- */

static short sim_ready(int fd, short events)
{
    int number = fd - FD_FIRST;
    if (number < 0)
        return 0;
    if (number < ENGINES_MAX)
        return engine_next_ns(engines[number]) <= sim.now_ns ? POLLIN : 0;
    number -= ENGINES_MAX;
    const struct line *line = net.lines[number / 2];
    return line ? line_ready(&line->ends[number % 2], events) : events;
}

static uint64_t sim_next_event_ns(void)
{
    uint64_t next_ns = min_u64(sim.stop_ns, sim.cut_ns);
    for (uint32_t i = 0; i < ENGINES_MAX; i++)
        next_ns = min_u64(next_ns, engine_after_ns(engines[i], sim.now_ns + 1));
    for (uint32_t i = 0; i < LINES_MAX; i++)
        next_ns = min_u64(next_ns, line_next_ns(net.lines[i]));
    return next_ns;
}

#endif
