/* serve.c - the server's side of a session: greeting, the loop over link and end, and an end that
 * leaves nothing running and the journal right. */
#include "serve_state.h"

#include "haul/clock.h"
#include "haul/log.h"
#include "haul/num.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERVE_JOBS_MAX = 16, /* a file's journal may take 200 KiB */
    SERVE_CONTROL_MAX = 16,
    SERVE_RESERVED_BYTES = 1024 * 1024, /* frames, pipes, stacks */
};

static const uint64_t last_words_ns = 5 * NS_PER_SECOND;
static const uint64_t wait_ns_max = NS_PER_SECOND;

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
        .size_bytes = NUM_UNKNOWN,
        .reserved_bytes = serve_reserved_bytes(hello),
    };
    int result = budget_read(&facts, "/", err);
    if (result == 0)
        result = budget_decide(&self->budget, &facts, &wish, err);
    if (result < 0)
        return result;
    uint32_t slots_count = self->budget.slots_count;
    if (hello->slots_count > 0 && hello->slots_count < slots_count)
        slots_count = hello->slots_count;
    self->slots_count = slots_count;
    self->lanes = budget_lanes(&facts, (uint64_t)slots_count * self->budget.chunk_bytes,
                               wish.reserved_bytes, hello->lanes);
    log_verbose("server: slots=%u chunk=%u window=%u lanes=%u limited_by=%s", slots_count,
                self->budget.chunk_bytes, self->budget.window_bytes, self->lanes,
                budget_limited_by(&self->budget, &facts, &wish));
    return slab_open(&self->slab, slots_count, self->budget.chunk_bytes, err);
}

static int serve_make_slots(struct serve *self, const struct wire_hello *hello, struct error *err)
{
    self->slots_total = self->slots_count + hello->control_count;
    self->jobs_max = num_u32(min_u64(hello->jobs_max, SERVE_JOBS_MAX));
    self->jobs_count = self->slots_total + self->jobs_max;
    self->slots = calloc(self->slots_total, sizeof(*self->slots));
    self->jobs = calloc(self->jobs_count, sizeof(*self->jobs));
    if (!self->slots || !self->jobs)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    for (uint32_t i = 0; i < self->slots_total; i++) {
        bool control = i >= self->slots_count;
        self->slots[i].slot = (struct slot){
            .index = i,
            .buffer = control ? NULL : slab_buffer(&self->slab, i),
            .capacity = control ? 0 : self->budget.chunk_bytes,
        };
    }
    return 0;
}

static int serve_open_end(struct serve *self, const struct wire_hello *hello, struct error *err)
{
    const struct end_file_config config = {
        .role = self->role,
        .engine =
            {
                .kind = hello->engine,
                .slab = self->slab.base,
                .slab_bytes = self->slab.length_bytes,
            },
        .slots_count = self->slots_total,
        .window_bytes = self->budget.window_bytes,
        .windows_count = self->budget.windows_count,
        .windows_do_not_fit = !self->budget.windows_fit,
        .in_flight_bytes = (uint64_t)self->slots_count * self->budget.chunk_bytes,
        .jobs_max = self->jobs_max,
        .place = self->config->place,
        .given = self->config->given,
    };
    return end_file_open(&self->end, &config, err);
}

static int serve_prepare(struct serve *self, const struct wire_hello *hello, struct error *err)
{
    if (hello->control_count > SERVE_CONTROL_MAX || hello->engine == ENGINE_SIM)
        return stream_violation(&self->stream, err, "wishes that cannot be met");
    self->role = hello->role;
    self->session = hello->session;
    self->ping_ns = hello->ping_ms * NS_PER_MS;
    int result = serve_memory(self, hello, err);
    if (result == 0)
        result = serve_make_slots(self, hello, err);
    if (result == 0)
        result = serve_open_end(self, hello, err);
    self->stream.payload_bytes_max = self->budget.chunk_bytes;
    if (result == 0 && (hello->capabilities & WIRE_CAN_PACK) && pack_version() &&
        !(self->pack = pack_open(self->budget.chunk_bytes)))
        result = error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to pack payloads");
    return result;
}

static int serve_greet(struct serve *self, struct wire_hello *hello, struct error *err)
{
    uint64_t timeout_ns =
        self->config->hello_timeout_ns ? self->config->hello_timeout_ns : WIRE_HELLO_MS * NS_PER_MS;
    struct wire_message message;
    int result = stream_greet(&self->stream, HAUL_VERSION, timeout_ns, err);
    if (result == 0)
        result = stream_recv_now(&self->stream, &message, timeout_ns, err);
    if (result == STREAM_MESSAGE && message.type != WIRE_HELLO)
        result = stream_violation(&self->stream, err, "it begins without a hello");
    if (result == LINK_EOF)
        return error_set_class(err, ERROR_SOCKET, ECONNRESET, "%s: ended before it began",
                               self->stream.link->peer);
    if (result < 0)
        return result;
    *hello = message.hello;
    return 0;
}

static int serve_answer_hello(struct serve *self, const struct wire_hello *hello, struct error *err)
{
    struct wire_message message = {.type = WIRE_HELLO, .tag = WIRE_TAG_NONE, .hello = *hello};
    message.hello.capabilities = self->pack ? WIRE_CAN_PACK : 0;
    message.hello.choices = codec_choices_known();
    message.hello.lanes = self->lanes;
    message.hello.slots_count = self->slots_count;
    message.hello.jobs_max = self->jobs_max;
    message.hello.chunk_bytes = self->budget.chunk_bytes;
    message.hello.memory_bytes = self->slab.length_bytes;
    return stream_send_now(&self->stream, &message, last_words_ns, err);
}

/* ---- the loop ---- */

static bool serve_put_next(struct serve *self, struct serve_notes *notes)
{
    struct wire_message message = {.tag = WIRE_TAG_NONE};
    char line[WIRE_NOTE_BYTES];
    enum log_level level;
    if (self->pong_due) {
        message.type = WIRE_PONG;
        self->pong_due = false;
    } else if (serve_put_answer(self)) {
        return true;
    } else if (serve_notes_take(notes, &level, line)) {
        message.type = WIRE_NOTE;
        message.note = (struct wire_note){.level = level, .line = line};
    } else if (clock_now_ns() - self->stream.sent_ns >= self->ping_ns) {
        message.type = WIRE_PING;
    } else {
        return false;
    }
    return stream_put(&self->stream, &message, NULL) == 0;
}

static int serve_send(struct serve *self, struct serve_notes *notes, struct error *err)
{
    for (;;) {
        int sent = stream_flush(&self->stream, err);
        if (sent <= 0)
            return sent;
        serve_answer_sent(self);
        if (!serve_put_next(self, notes))
            return 0;
    }
}

static int serve_message(struct serve *self, const struct wire_message *message, struct error *err)
{
    const char *wrong = NULL;
    switch (message->type) {
    case WIRE_REQUEST:
        wrong = serve_request(self, message);
        break;
    case WIRE_PING:
    case WIRE_PONG:
        self->pong_due = self->pong_due || message->type == WIRE_PING;
        if (!stream_chatter_allowed(&self->chatter, clock_now_ns()))
            wrong = "it floods us with messages";
        break;
    case WIRE_BYE:
        self->bye = true;
        break;
    case WIRE_HELLO:
    case WIRE_REPLY:
    case WIRE_NOTE:
        wrong = "it says what a client does not say here";
        break;
    }
    return wrong ? stream_violation(&self->stream, err, "%s", wrong) : 0;
}

/* At most as many messages as there are slots, then the end has its turn again. */
static int serve_receive(struct serve *self, struct error *err)
{
    struct wire_message message;
    for (uint32_t i = 0; i <= self->slots_total && !self->bye; i++) {
        int result = stream_get(&self->stream, &message, err);
        if (result == STREAM_LATER)
            return 0;
        if (result == LINK_EOF)
            return error_set_class(err, ERROR_SOCKET, ECONNRESET,
                                   "%s: ended without saying goodbye", self->stream.link->peer);
        if (result == STREAM_MESSAGE)
            result = serve_message(self, &message, err);
        else if (result == STREAM_PAYLOAD)
            serve_payload(self);
        if (result < 0)
            return result;
    }
    return 0;
}

static uint64_t serve_silence_ns(const struct serve *self)
{
    return self->config->silence_ns ? self->config->silence_ns : WIRE_SILENCE_MS * NS_PER_MS;
}

/* Wait for link and end, for neither alone. 0 or the end's failure. */
static int serve_wait(struct serve *self, struct error *err)
{
    unsigned int wanted = LINK_RECV | (stream_sending(&self->stream) ? LINK_SEND : 0u);
    struct pollfd polls[2] = {{.fd = -1}, {.fd = -1}};
    uint64_t now_ns = clock_now_ns(), ping_at_ns = self->stream.sent_ns + self->ping_ns;
    uint64_t wait_ns = ping_at_ns > now_ns ? min_u64(ping_at_ns - now_ns, wait_ns_max) : 0;
    if (self->end->inflight > 0) {
        polls[1].fd = end_wait_fd(self->end, &polls[1].events);
        if (polls[1].fd < 0) /* it works when it is asked */
            return serve_reap(self, true, err);
    }
    polls[0].fd = link_wait_fd(self->stream.link, wanted, &polls[0].events);
    if (polls[0].fd < 0)
        return 0;
    if (stream_sending(&self->stream))
        wait_ns = wait_ns_max; /* a ping has to wait, too */
    wait_ns = min_u64(wait_ns, serve_silence_ns(self));
    (void)poll(polls, 2, (int)div_ceil(wait_ns, NS_PER_MS));
    return 0;
}

static int serve_watch(const struct serve *self, struct error *err)
{
    uint64_t silence_ns = serve_silence_ns(self);
    if (self->config->stop && *self->config->stop)
        return error_set_class(err, ERROR_INTERRUPTED, EINTR, "the server was told to stop");
    if (clock_now_ns() - stream_alive_ns(&self->stream) < silence_ns)
        return 0;
    return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: silent for %.3g s",
                           self->stream.link->peer, (double)silence_ns / (double)NS_PER_SECOND);
}

static int serve_loop(struct serve *self, struct serve_notes *notes, struct error *err)
{
    const struct link *link = self->stream.link;
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
        bool can_answer = self->answers && !stream_sending(&self->stream);
        if (link->sent_bytes + link->received_bytes == before_bytes && !can_answer)
            result = serve_wait(self, err);
        if (result < 0)
            return result;
    }
}

/* ---- the end ---- */

/* What the client is told last: why, or nothing but good. A frame that is half sent is finished
 * first, or the client could not read this one. */
static void serve_say_bye(struct serve *self, const struct error *why)
{
    struct wire_message message = {.type = WIRE_BYE, .tag = WIRE_TAG_NONE, .failure.words = ""};
    uint64_t deadline_ns = clock_now_ns() + last_words_ns;
    int sent;
    if (error_is_set(why)) {
        message.failure.class = why->class;
        message.failure.errnum = (uint32_t)why->errnum;
        message.failure.words = why->text;
    }
    while ((sent = stream_flush(&self->stream, NULL)) == 0 && clock_now_ns() < deadline_ns)
        (void)link_wait(self->stream.link, LINK_SEND, last_words_ns, NULL);
    if (sent > 0)
        (void)stream_send_now(&self->stream, &message, last_words_ns, NULL);
}

/* Nothing in flight is left behind, and the journal tells what the disk has. */
static void serve_let_go(struct serve *self)
{
    struct error ignored = {.class = ERROR_NONE};
    while (self->end && self->end->inflight > 0) {
        if (serve_reap(self, true, &ignored) < 0)
            break;
    }
    if (self->end && self->end->inflight == 0)
        serve_abandon_all(self);
}

static void serve_free(struct serve *self)
{
    end_close(self->end);
    slab_close(&self->slab);
    pack_close(self->pack);
    free(self->slots);
    free(self->jobs);
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
        result = serve_answer_hello(self, &hello, err);
    if (result == 0)
        result = serve_loop(self, notes, err);
    serve_notes_close(notes);
    return result;
}

int serve_run(const struct serve_config *config, struct error *err)
{
    struct serve *self = calloc(1, sizeof(*self));
    struct error why = {.class = ERROR_NONE};
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    self->config = config;
    stream_init(&self->stream, config->link, WIRE_SERVER);
    int result = serve_session(self, &why);
    result = error_settle(&why, result, "the session failed");
    if (result < 0) /* the client waits for a reason, and syncing may take long */
        serve_say_bye(self, &why);
    serve_let_go(self);
    if (result == 0)
        serve_say_bye(self, &why);
    (void)link_shutdown(config->link, last_words_ns, NULL);
    serve_free(self);
    return result < 0 ? error_take(err, &why) : 0;
}
