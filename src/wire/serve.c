/* serve.c - the server's side of a session: greeting, the loop over link and side, and a side that
 * leaves nothing running and the journal right. */
#include "serve_state.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERVE_JOBS_MAX = WIRE_JOBS_MAX, /* each takes memory only when it is opened */
    SERVE_CONTROL_MAX = 960,
    SERVE_POCKETS_MIN = 64,
    SERVE_RESERVED_BYTES = 1024 * 1024, /* frames, pipes, stacks */
};

static const uint64_t last_words_ns = 5 * NS_PER_SECOND;
static const uint64_t wait_ns_max = NS_PER_SECOND;
/* Whoever has lost a link dials the next one after a second. */
static const uint64_t doubt_ns_default = NS_PER_SECOND;

/* ---- the greeting ---- */

/* Packing takes a little more: contexts, and a chunk in either direction. */
static uint64_t serve_reserved_bytes(const struct wire_hello *hello)
{
    bool pack = hello->capabilities & WIRE_CAN_PACK;
    uint32_t chunk_bytes = hello->chunk_bytes ? hello->chunk_bytes : CHUNK_BYTES_DEFAULT;
    return SERVE_RESERVED_BYTES + (pack ? pack_memory(chunk_bytes) : 0);
}

/* Memory for this lane: those before it have theirs, and those behind it may never come. What the
 * client says of chunks is the most. */
static int serve_memory(struct serve *self, const struct wire_hello *hello, struct error *err)
{
    struct budget_facts facts;
    const struct budget_wish wish = {
        /* The lesser one; 0 is no limit, and one less than that the largest number. */
        .memory_bytes = min_u64(self->config->memory_bytes - 1, hello->memory_bytes - 1) + 1,
        .chunk_bytes_most = hello->chunk_bytes,
        .reserved_bytes = serve_reserved_bytes(hello),
    };
    budget_read(&facts, &self->kernel.cgroup);
    int result = budget_decide(&self->budget, &facts, &wish, err);
    if (result < 0)
        return result;
    struct wire_hello *agreed = &self->agreed;
    agreed->slots_count = self->budget.slots_count;
    if (hello->slots_count > 0)
        agreed->slots_count = num_u32(min_u64(hello->slots_count, agreed->slots_count));
    agreed->chunk_bytes = self->budget.chunk_bytes;
    agreed->lanes = budget_lanes(&facts, (uint64_t)agreed->slots_count * agreed->chunk_bytes,
                                 wish.reserved_bytes, hello->lanes);
    log_verbose("server: slots=%u chunk=%u window=%u lanes=%u limited_by=%s", agreed->slots_count,
                agreed->chunk_bytes, self->budget.window_bytes, agreed->lanes,
                budget_limited_by(&self->budget, &facts, &wish));
    result = slab_open(&self->slab, agreed->slots_count, agreed->chunk_bytes, err);
    agreed->memory_bytes = self->slab.length_bytes;
    return result;
}

static int serve_make_slots(struct serve *self, struct error *err)
{
    const struct wire_hello *agreed = &self->agreed;
    self->slots_total = agreed->slots_count + agreed->control_count;
    self->jobs_count = self->slots_total + agreed->jobs_max;
    self->slots = calloc(self->slots_total, sizeof(*self->slots));
    self->errors = calloc(self->slots_total, sizeof(*self->errors)); /* no page before a failure */
    self->names = calloc(self->jobs_count, sizeof(*self->names));
    self->jobs = calloc(self->jobs_count, sizeof(*self->jobs));
    self->rows = calloc(self->jobs_count, sizeof(*self->rows));
    uint32_t digests_bytes = agreed->chunk_bytes / BLOCKS_SIZE * BLOCKS_DIGEST_BYTES;
    self->digests = malloc((size_t)agreed->slots_count * digests_bytes);
    self->sets = calloc(agreed->slots_count, BLOCKS_SET_BYTES);
    int pockets = pockets_open(&self->pockets, agreed->control_count, WIRE_POCKET_BYTES);
    if (pockets < 0 || !self->slots || !self->errors || !self->names || !self->jobs ||
        !self->rows || !self->digests || !self->sets)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    for (uint32_t i = 0; i < self->slots_total; i++)
        self->slots[i].slot.error = &self->errors[i];
    /* The rest is zeros, and a page of it is not touched before it is needed. */
    for (uint32_t i = 0; i < agreed->slots_count; i++) {
        self->slots[i].slot.buffer = slab_buffer(&self->slab, i);
        self->slots[i].slot.capacity = agreed->chunk_bytes;
        self->slots[i].slot.digests = self->digests + (size_t)i * digests_bytes;
        self->slots[i].slot.set = self->sets + (size_t)i * BLOCKS_SET_BYTES;
    }
    for (uint32_t i = 0; i < agreed->control_count; i++)
        self->slots[agreed->slots_count + i].slot.capacity = WIRE_POCKET_BYTES;
    return 0;
}

static int serve_open_end(struct serve *self, struct error *err)
{
    const struct wire_hello *agreed = &self->agreed;
    const struct local_config config = {
        .role = agreed->role,
        .engine =
            {
                .kind = agreed->engine,
                .slab = self->slab.base,
                .slab_bytes = self->slab.length_bytes,
            },
        .slots_count = self->slots_total,
        .window_bytes = self->budget.window_bytes,
        .windows_count = self->budget.windows_count,
        .windows_do_not_fit = !self->budget.windows_fit,
        .in_flight_bytes = (uint64_t)agreed->slots_count * agreed->chunk_bytes,
        .jobs_max = agreed->jobs_max,
        .small_max = agreed->jobs_max,
        .place = self->config->place,
        .kernel = &self->kernel,
        .doubt_ns = self->config->doubt_ns ? self->config->doubt_ns : doubt_ns_default,
        .is_server = true,
        .given = self->config->given,
    };
    return local_open(&self->side, &config, err);
}

/* Where it is not ours alone the client is told, and goes on. */
static bool serve_owns_cgroup(struct serve *self, const struct wire_hello *hello)
{
    ERROR_UNSET(why);
    if (!(hello->capabilities & WIRE_OWN_CGROUP))
        return false;
    if (kernel_memory_own(&self->kernel, &why) == 0)
        return true;
    log_verbose("%s", why.text);
    return false;
}

/* As many as there are descriptors for, and a walk. While the disk is slow each small one has its
 * pocket: of these there are few where there is little memory. */
static uint32_t serve_jobs_max(const struct serve *self)
{
    const struct budget_files files = budget_files(true);
    uint64_t pockets = SERVE_POCKETS_MIN + self->budget.limit_bytes / 4 / WIRE_POCKET_BYTES;
    uint64_t most = min_u64((uint64_t)files.open + files.small + 1, SERVE_JOBS_MAX);
    return (uint32_t)min_u64(most, pockets);
}

/* What the client wishes becomes what it gets. */
static int serve_prepare(struct serve *self, const struct wire_hello *hello, struct error *err)
{
    if (hello->control_count > SERVE_CONTROL_MAX || hello->engine == ENGINE_SIM)
        return stream_violation(&self->session.stream, err, "wishes that cannot be met");
    self->agreed = *hello;
    bool packs = (hello->capabilities & WIRE_CAN_PACK) && pack_version();
    self->agreed.capabilities &= (packs ? WIRE_CAN_PACK : 0) |
                                 (serve_owns_cgroup(self, hello) ? WIRE_OWN_CGROUP : 0) |
                                 (place_may_read(self->config->place) ? WIRE_TELLS : 0);
    self->agreed.choices = codec_choices_known();
    int result = serve_memory(self, hello, err);
    self->agreed.jobs_max = num_u32(min_u64(hello->jobs_max, serve_jobs_max(self)));
    if (result == 0)
        result = serve_make_slots(self, err);
    if (result == 0)
        result = serve_open_end(self, err);
    if (result == 0)
        result = session_agree(&self->session, &self->agreed, err);
    return result;
}

static int serve_greet(struct serve *self, struct wire_hello *hello, struct error *err)
{
    uint64_t timeout_ns = self->config->hello_timeout_ns;
    struct wire_message message;
    int result = session_greet(&self->session, timeout_ns, err);
    if (result == 0)
        result = session_hear_now(&self->session, &message, timeout_ns, err);
    if (result == 0 && message.type != WIRE_HELLO)
        result = stream_violation(&self->session.stream, err, "it begins without a hello");
    if (result == LINK_EOF)
        return error_set_class(err, ERROR_SOCKET, ECONNRESET, "%s: ended before it began",
                               self->config->link->peer);
    if (result == 0)
        *hello = message.hello;
    return result;
}

/* ---- the loop ---- */

static bool serve_put_note(struct serve *self, struct serve_notes *notes)
{
    struct wire_message message;
    char line[WIRE_NOTE_BYTES];
    enum log_level level;
    if (!serve_notes_take(notes, &level, line))
        return false;
    codec_message(&message, WIRE_NOTE, WIRE_TAG_NONE);
    message.note = (struct wire_note){.level = level, .line = line};
    return session_put(&self->session, &message, NULL) == 0;
}

static int serve_send(struct serve *self, struct serve_notes *notes, struct error *err)
{
    for (;;) {
        struct slot *sent;
        while (session_has_room(&self->session) && serve_put_answer(self))
            ;
        int result = session_send(&self->session, &sent, err);
        if (sent)
            serve_answer_sent(self, sent);
        if (result <= 0)
            return result;
        if (!self->answers.first && !serve_put_note(self, notes) &&
            !session_keep_alive(&self->session))
            return 0;
    }
}

static int serve_message(struct serve *self, const struct wire_message *message, struct error *err)
{
    int result = message->type == WIRE_REQUEST ? serve_request(self, message, err) : 0;
    self->bye = message->type == WIRE_BYE;
    if (self->round_ns == UINT64_MAX) /* the first answer to our hello */
        self->round_ns = clock_now_ns() - self->hello_ns;
    return result;
}

/* At most as many messages as there are slots, then the side has its turn again. */
static int serve_receive(struct serve *self, struct error *err)
{
    struct wire_message message;
    struct slot *slot;
    for (uint32_t i = 0; i <= self->slots_total && !self->bye; i++) {
        int result = session_get(&self->session, &message, &slot, err);
        if (result == SESSION_LATER)
            return 0;
        if (result == SESSION_MESSAGE)
            result = serve_message(self, &message, err);
        else if (result >= 0)
            serve_payload(self, slot, result == SESSION_DAMAGED);
        if (result < 0)
            return result;
    }
    return 0;
}

static uint64_t serve_silence_ns(const struct serve *self)
{
    return self->config->silence_ns ? self->config->silence_ns : WIRE_SILENCE_MS * NS_PER_MS;
}

/* Wait for link and side, for neither alone. 0 or the side's failure. */
static int serve_wait(struct serve *self, struct error *err)
{
    struct pollfd polls[2] = {{.fd = -1}, {.fd = -1}};
    uint64_t wait_ns =
        min_u64(session_wait_ns(&self->session, wait_ns_max), serve_silence_ns(self));
    if (self->side->inflight > 0) {
        polls[1].fd = side_wait_fd(self->side, &polls[1].events);
        if (polls[1].fd < 0) /* it works when it is asked */
            return serve_reap(self, true, err);
    }
    polls[0].fd =
        link_wait_fd(self->config->link, session_wanted(&self->session, false), &polls[0].events);
    if (polls[0].fd >= 0)
        (void)poll(polls, 2, (int)div_ceil(wait_ns, NS_PER_MS));
    return 0;
}

/* Where memory is scarce here the client is told, by a PONG that it has not asked for: it decides
 * what is in flight. It tells how that was at its first look, too: what an earlier server said
 * counts no more. */
static void serve_ease(struct serve *self)
{
    struct pressure *pressure = &self->pressure;
    uint64_t now_ns = clock_now_ns();
    if (now_ns - self->began_ns < PRESSURE_LOOK_MS * NS_PER_MS)
        return;
    if (!pressure->cgroup) {
        pressure_open(pressure, &self->kernel.cgroup, now_ns);
        self->session.pong_due = true;
    }
    if (!pressure_look(pressure, self->slab.length_bytes, now_ns))
        return;
    self->session.halved = (uint8_t)pressure->halved;
    self->session.pong_due = true;
    log_verbose("%s: 1/%u of the slots are asked for", pressure->why, 1u << pressure->halved);
}

/* Is the client there? The answer to a question from now. It was there when that had arrived: so
 * long after it was asked as the way there and back takes at least. */
static void serve_assure(struct serve *self)
{
    struct session *session = &self->session;
    uint64_t now_ns = clock_now_ns();
    if (self->doubts > 0 && session_is_answered(session)) {
        self->round_ns = min_u64(self->round_ns, now_ns - self->asked_ns);
        local_assure(self->side, self->doubts, self->asked_ns + self->round_ns);
        self->doubts = 0;
    }
    if (self->doubts > 0)
        return;
    self->doubts = local_doubts(self->side);
    self->asked_ns = now_ns;
    if (self->doubts > 0)
        session_ask(session);
}

static int serve_watch(struct serve *self, struct error *err)
{
    serve_ease(self);
    serve_assure(self);
    if (self->config->stop && *self->config->stop)
        return error_set_class(err, ERROR_INTERRUPTED, EINTR, "the server was told to stop");
    return session_watch(&self->session, 0, serve_silence_ns(self), err);
}

static int serve_loop(struct serve *self, struct serve_notes *notes, struct error *err)
{
    const struct link *link = self->config->link;
    for (;;) {
        uint64_t before_bytes = link->sent_bytes + link->received_bytes;
        int result = serve_reap(self, false, err);
        if (result == 0)
            result = serve_send(self, notes, err);
        if (result == 0)
            result = serve_receive(self, err);
        if (result == 0)
            result = serve_watch(self, err);
        if (result < 0 || self->bye)
            return result;
        bool goes_on = (self->answers.first && session_has_room(&self->session)) ||
                       session_has_more(&self->session);
        if (link->sent_bytes + link->received_bytes == before_bytes && !goes_on)
            result = serve_wait(self, err);
        if (result < 0)
            return result;
    }
}

/* ---- the side ---- */

/* Nothing in flight is left behind, and the journal tells what the disk has. */
static void serve_let_go(struct serve *self)
{
    ERROR_UNSET(ignored);
    while (self->side && self->side->inflight > 0) {
        if (serve_reap(self, true, &ignored) < 0)
            break;
    }
    if (self->side && self->side->inflight == 0)
        serve_abandon_all(self);
}

static void serve_free(struct serve *self)
{
    side_close(self->side);
    slab_close(&self->slab);
    session_close(&self->session);
    kernel_memory_close(&self->kernel);
    for (uint32_t i = 0; self->jobs && i < self->jobs_end; i++)
        free(self->jobs[i].texts);
    free(self->slots);
    free(self->errors);
    free(self->names);
    free(self->jobs);
    free(self->rows);
    free(self->digests);
    free(self->sets);
    pockets_close(&self->pockets);
    free(self);
}

static int serve_session(struct serve *self, struct error *err)
{
    struct serve_notes *notes = NULL;
    struct wire_hello hello;
    int result = serve_greet(self, &hello, err);
    if (result == 0 && self->config->notes)
        notes = serve_notes_open(hello.log_level);
    if (result == 0)
        result = serve_prepare(self, &hello, err);
    if (result == 0)
        result = session_say_hello(&self->session, &self->agreed, last_words_ns, err);
    self->hello_ns = clock_now_ns();
    if (result == 0)
        result = serve_loop(self, notes, err);
    serve_notes_close(notes);
    return result;
}

int serve_run(const struct serve_config *config, struct error *err)
{
    struct serve *self = calloc(1, sizeof(*self));
    ERROR_UNSET(why);
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    self->config = config;
    session_init(&self->session, config->link, WIRE_SERVER);
    kernel_memory_open(&self->kernel, "/");
    self->began_ns = clock_now_ns();
    self->round_ns = UINT64_MAX;
    int result = serve_session(self, &why);
    result = error_settle(&why, result, "the session failed");
    self->leaving = true;
    if (self->side)
        local_desert(self->side);
    if (result < 0) /* the client waits for a reason, and syncing may take long */
        session_say_bye(&self->session, &why, last_words_ns);
    serve_let_go(self);
    if (result == 0)
        session_say_bye(&self->session, &why, last_words_ns);
    (void)link_shutdown(config->link, last_words_ns, NULL);
    serve_free(self);
    return result < 0 ? error_take(err, &why) : 0;
}
