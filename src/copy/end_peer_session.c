/* end_peer_session.c - how a session with a server begins (greeting, limits) and ends. */
#include "end_peer_state.h"

#include "haul/clock.h"
#include "haul/num.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const uint64_t explain_timeout_ns = 3 * NS_PER_SECOND;

static uint64_t peer_hello_timeout_ns(const struct end_peer_config *config)
{
    return config->hello_timeout_ns ? config->hello_timeout_ns : WIRE_HELLO_MS * NS_PER_MS;
}

static struct wire_hello peer_hello(const struct end_peer_config *config)
{
    uint64_t ping_ms = WIRE_PING_MS;
    if (config->timeout_ns > 0)
        ping_ms = clamp_u64(config->timeout_ns / 4 / NS_PER_MS, WIRE_PING_MS_MIN, WIRE_PING_MS);
    return (struct wire_hello){
        .capabilities = config->compress ? WIRE_CAN_PACK : 0,
        .choices = codec_choices_known(),
        .session = config->session,
        .role = config->role,
        .engine = config->engine,
        .log_level = config->log_level,
        .lanes = config->lanes ? config->lanes : 1,
        .slots_count = config->slots_count,
        .control_count = config->control_count,
        .jobs_max = config->jobs_max,
        .chunk_bytes = config->chunk_bytes,
        .memory_bytes = config->memory_bytes,
        .ping_ms = num_u32(ping_ms),
    };
}

/* What a server may answer to our wishes. */
static bool peer_hello_fits(const struct wire_hello *wish, const struct wire_hello *given)
{
    return given->session == wish->session && given->role == wish->role &&
           given->engine == wish->engine && given->log_level == wish->log_level &&
           given->lanes <= wish->lanes && given->ping_ms == wish->ping_ms &&
           given->slots_count > 0 &&
           (wish->slots_count == 0 || given->slots_count <= wish->slots_count) &&
           given->control_count == wish->control_count && given->jobs_max <= wish->jobs_max &&
           given->chunk_bytes > 0 &&
           (wish->chunk_bytes == 0 || given->chunk_bytes <= wish->chunk_bytes);
}

/* The limits are known: make room for the slots' states. */
static int peer_settle(struct end_peer *self, const struct wire_hello *given, struct error *err)
{
    self->limits = (struct end_peer_limits){
        .slots_count = given->slots_count,
        .control_count = given->control_count,
        .jobs_max = given->jobs_max,
        .chunk_bytes = given->chunk_bytes,
        .memory_bytes = given->memory_bytes,
        .lanes = given->lanes,
        .choices = given->choices,
    };
    self->ping_ns = given->ping_ms * NS_PER_MS;
    self->works_count = given->slots_count + given->control_count;
    self->works = calloc(self->works_count, sizeof(*self->works));
    self->jobs = calloc(given->jobs_max, sizeof(*self->jobs));
    self->stream.payload_bytes_max = given->chunk_bytes;
    if (self->config.compress && !(given->capabilities & WIRE_CAN_PACK))
        return error_set_class(err, ERROR_USAGE, ENOTSUP,
                               "%s: haul there was built without zstd: leave out -z",
                               self->stream.link->peer);
    if (self->config.compress && !(self->pack = pack_open(given->chunk_bytes)))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to pack payloads");
    if (self->works && self->jobs)
        return 0;
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
}

/* Notes may come before its HELLO. */
static int peer_await_hello(struct end_peer *self, struct wire_message *message, struct error *err)
{
    uint64_t timeout_ns = peer_hello_timeout_ns(&self->config);
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    do {
        int event = stream_recv_now(&self->stream, message, timeout_ns, err);
        if (event < 0)
            return event;
        if (message->type == WIRE_HELLO)
            return 0;
        end_peer_message(self, message);
    } while (!self->broken && clock_now_ns() < deadline_ns);
    if (self->broken)
        return error_take(err, &self->why);
    return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: haul does not answer",
                           self->stream.link->peer);
}

static int peer_greet(struct end_peer *self, struct error *err)
{
    const struct wire_hello wish = peer_hello(&self->config);
    struct wire_message message = {.type = WIRE_HELLO, .tag = WIRE_TAG_NONE, .hello = wish};
    uint64_t timeout_ns = peer_hello_timeout_ns(&self->config);
    int result = stream_greet(&self->stream, HAUL_VERSION, timeout_ns, err);
    if (result == 0)
        result = stream_send_now(&self->stream, &message, timeout_ns, err);
    if (result == 0)
        result = peer_await_hello(self, &message, err);
    if (result < 0)
        return result;
    if (!peer_hello_fits(&wish, &message.hello))
        return stream_violation(&self->stream, err,
                                "its limits are not an answer to what was asked");
    return peer_settle(self, &message.hello, err);
}

/* A link that ends, or talks something else, during the greeting: most often there is no haul, or
 * no login. How the command ended tells. */
static int peer_explain(struct end_peer *self, int result, struct error *why, struct error *err)
{
    struct error ended = {.class = ERROR_NONE};
    bool look = result == LINK_EOF || why->class == ERROR_SOCKET || why->class == ERROR_PROTOCOL;
    if (look && !self->told)
        (void)link_shutdown(self->stream.link, explain_timeout_ns, &ended);
    /* What arrived says more than that a haul behind it gave up in turn. */
    bool heard = why->class == ERROR_PROTOCOL && ended.class == ERROR_START;
    if (error_is_set(&ended) && ended.class != ERROR_TIMEOUT && !heard)
        return error_take(err, &ended);
    if (error_is_set(why))
        return error_take(err, why);
    return error_set_class(err, ERROR_SOCKET, ECONNRESET,
                           "%s: the connection ended before haul "
                           "answered",
                           self->stream.link->peer);
}

static void peer_free(struct end_peer *self)
{
    pack_close(self->pack);
    free(self->works);
    free(self->jobs);
    free(self);
}

int end_peer_open(struct end **out, const struct end_peer_config *config, struct error *err)
{
    struct end_peer *self = calloc(1, sizeof(*self));
    struct error why = {.class = ERROR_NONE};
    *out = NULL;
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    assert(config->jobs_max > 0 && config->jobs_max <= WIRE_JOBS_MAX);
    self->end = (struct end){.ops = &end_peer_ops, .role = config->role};
    self->config = *config;
    stream_init(&self->stream, config->link, WIRE_CLIENT);
    int result = peer_greet(self, &why);
    if (result < 0) {
        result = peer_explain(self, result, &why, err);
        peer_free(self);
        return result;
    }
    *out = &self->end;
    return 0;
}

void end_peer_limits(const struct end *end, struct end_peer_limits *limits)
{
    *limits = ((const struct end_peer *)end)->limits;
}

bool end_peer_broken(const struct end *end)
{
    return ((const struct end_peer *)end)->broken;
}

uint64_t end_peer_resent(const struct end *end)
{
    return ((const struct end_peer *)end)->resent;
}

/* Turn until the condition holds or time is up. */
static bool peer_drained(struct end_peer *self)
{
    for (uint32_t i = 0; i < self->works_count; i++) {
        if (self->works[i].step != PEER_IDLE)
            return false;
    }
    return !stream_sending(&self->stream);
}

/* What is in flight comes back first; then the other side lets go of its files and says BYE, too.
 */
static void peer_goodbye(struct end_peer *self)
{
    uint64_t seconds = self->stopped_ns ? 1 : END_PEER_CLOSE_SECONDS;
    uint64_t deadline_ns = clock_now_ns() + seconds * NS_PER_SECOND;
    struct wire_message message = {.type = WIRE_BYE, .tag = WIRE_TAG_NONE, .failure.words = ""};
    while (!self->broken && !peer_drained(self) && clock_now_ns() < deadline_ns) {
        if (!end_peer_turn(self))
            end_peer_wait(self);
    }
    if (!self->broken && peer_drained(self))
        (void)stream_put(&self->stream, &message, NULL);
    while (!self->broken && clock_now_ns() < deadline_ns) {
        if (!end_peer_turn(self))
            end_peer_wait(self);
    }
    uint64_t now_ns = clock_now_ns();
    if (self->told && now_ns < deadline_ns)
        (void)link_shutdown(self->stream.link, deadline_ns - now_ns, NULL);
}

void end_peer_close(struct end *end)
{
    struct end_peer *self = end_peer_of(end);
    self->config.progress = NULL; /* may be gone already */
    if (!self->broken)
        peer_goodbye(self);
    link_close(self->stream.link);
    peer_free(self);
}
