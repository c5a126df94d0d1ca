/* wire_stream.c - frames over a link, without blocking: what is half sent or half received is kept
 * as state, payloads go straight from and to the caller's memory. Knows no fields. */
#include "haul/wire.h"

#include "haul/clock.h"
#include "haul/num.h"
#include "haul/text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    FOREIGN_BYTES = 160, /* shown of what somebody else said */
    FOREIGN_WAIT_MS = 300,
};

void wire_init(struct wire *wire, struct link *link, enum wire_side side)
{
    *wire = (struct wire){.link = link, .side = side};
    wire->sent_ns = wire->heard_ns = wire->delivered_ns = clock_now_ns();
}

int wire_violation(const struct wire *wire, struct error *err, const char *format, ...)
{
    char why[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    return error_set_class(err, ERROR_PROTOCOL, EPROTO, "%s: protocol error: %s", wire->link->peer,
                           why);
}

static enum wire_side other(enum wire_side side)
{
    return side == WIRE_CLIENT ? WIRE_SERVER : WIRE_CLIENT;
}

/* ---- sending ---- */

bool wire_sending(const struct wire *wire)
{
    return wire->out_length > 0;
}

int wire_put(struct wire *wire, const struct wire_message *message, const void *payload)
{
    assert(!wire_sending(wire));
    assert(payload || message->payload_bytes == 0);
    struct wire_message telling = *message;
    if (message->type == WIRE_PING || message->type == WIRE_PONG)
        telling.arrived_bytes = wire->arrived_bytes;
    int length = wire_encode(wire->out, &telling, wire->side);
    if (length < 0)
        return length;
    wire->put_bytes += (uint32_t)length + (uint64_t)message->payload_bytes;
    wire->out_length = (uint32_t)length;
    wire->out_sent = 0;
    wire->payload_out = payload;
    wire->payload_out_left = message->payload_bytes;
    return 0;
}

/* The next piece that is to go out. */
static const void *wire_piece(const struct wire *wire, size_t *length)
{
    if (wire->out_sent < wire->out_length) {
        *length = wire->out_length - wire->out_sent;
        return wire->out + wire->out_sent;
    }
    *length = wire->payload_out_left;
    return wire->payload_out;
}

int wire_flush(struct wire *wire, struct error *err)
{
    size_t length;
    while (wire_sending(wire)) {
        const void *piece = wire_piece(wire, &length);
        if (length == 0) {
            wire->out_length = wire->out_sent = 0;
            wire->payload_out = NULL;
            break;
        }
        ssize_t sent = link_send(wire->link, piece, length, err);
        if (sent <= 0)
            return (int)sent;
        wire->sent_ns = clock_now_ns();
        if (wire->out_sent < wire->out_length) {
            wire->out_sent += (uint32_t)sent;
        } else {
            wire->payload_out += sent;
            wire->payload_out_left -= (uint32_t)sent;
        }
    }
    return 1;
}

/* ---- receiving ---- */

void wire_payload_into(struct wire *wire, void *buffer, uint32_t length)
{
    assert(wire->payload_in_left == length && !wire->payload_in);
    wire->payload_in = buffer;
}

/* Where the next bytes go, and how many are still missing there. */
static void *wire_room(struct wire *wire, size_t *length)
{
    if (wire->payload_in_left > 0) {
        assert(wire->payload_in);
        *length = wire->payload_in_left;
        return wire->payload_in;
    }
    uint32_t length_bytes = wire->in_length > 0 ? wire->in_length : WIRE_HEADER_BYTES;
    *length = length_bytes - wire->in_filled;
    return wire->in + wire->in_filled;
}

/* The header is complete: how much is to follow? */
static int wire_take_header(struct wire *wire, struct error *err)
{
    uint32_t body_bytes, payload_bytes;
    if (wire_decode_header(wire->in, &body_bytes, &payload_bytes) < 0)
        return wire_violation(wire, err, "what should be the head of a frame is none");
    if (payload_bytes > wire->payload_bytes_max)
        return wire_violation(wire, err, "a payload of %u bytes, where %u is the most",
                              payload_bytes, wire->payload_bytes_max);
    wire->in_length = WIRE_HEADER_BYTES + body_bytes;
    return 0;
}

/* ---- signs of life ---- */

static void wire_heard(struct wire *wire)
{
    wire->heard_ns = clock_now_ns();
    wire->heard_bytes = wire->arrived_bytes;
}

static void wire_delivered(struct wire *wire, uint64_t told_bytes)
{
    wire->delivered_ns = clock_now_ns();
    wire->delivered_bytes = told_bytes;
    wire->wanted_bytes = wire->put_bytes;
}

/* What a frame tells of our own ones. */
static int wire_told(struct wire *wire, const struct wire_message *message, struct error *err)
{
    uint64_t told_bytes = message->arrived_bytes;
    if (message->type == WIRE_REPLY)
        wire_delivered(wire, wire->delivered_bytes);
    if (message->type != WIRE_PING && message->type != WIRE_PONG)
        return 0;
    if (told_bytes > wire->put_bytes || told_bytes < wire->delivered_bytes)
        return wire_violation(wire, err, "it counts other bytes than were sent");
    if (told_bytes >= wire->wanted_bytes || told_bytes - wire->delivered_bytes >= WIRE_SIGN_BYTES)
        wire_delivered(wire, told_bytes);
    return 0;
}

uint64_t wire_alive_ns(const struct wire *wire)
{
    bool can_tell = wire->payload_in_left == 0;
    return can_tell ? min_u64(wire->heard_ns, wire->delivered_ns) : wire->heard_ns;
}

static int wire_take_frame(struct wire *wire, struct wire_message *message, struct error *err)
{
    struct error why = {.class = ERROR_NONE};
    int result =
        wire_decode(wire->in, wire->in_length, other(wire->side), message, &wire->texts, &why);
    wire->in_filled = wire->in_length = 0;
    if (result < 0) {
        error_prefix(&why, "%s", wire->link->peer);
        error_take(err, &why);
        return result;
    }
    wire->payload_in = NULL;
    wire->payload_in_left = message->payload_bytes;
    wire_heard(wire);
    result = wire_told(wire, message, err);
    return result < 0 ? result : WIRE_MESSAGE;
}

/* `count` bytes have come. WIRE_LATER: go on. */
static int wire_took(struct wire *wire, uint32_t count, struct wire_message *message,
                     struct error *err)
{
    if (wire->payload_in_left > 0) {
        wire->payload_in += count;
        wire->payload_in_left -= count;
        if (wire->payload_in_left > 0)
            return WIRE_LATER;
        wire_heard(wire);
        wire_delivered(wire, wire->delivered_bytes); /* it could not tell meanwhile */
        return WIRE_PAYLOAD;
    }
    wire->in_filled += count;
    if (wire->in_length == 0 && wire->in_filled == WIRE_HEADER_BYTES) {
        int result = wire_take_header(wire, err);
        if (result < 0)
            return result;
    }
    return wire->in_filled == wire->in_length ? wire_take_frame(wire, message, err) : WIRE_LATER;
}

int wire_get(struct wire *wire, struct wire_message *message, struct error *err)
{
    for (;;) {
        size_t length;
        void *room = wire_room(wire, &length);
        ssize_t count = link_recv(wire->link, room, length, err);
        if (count == 0)
            return WIRE_LATER;
        if (count < 0)
            return (int)count;
        wire->arrived_bytes += (uint64_t)count;
        if (wire->arrived_bytes - wire->heard_bytes >= WIRE_SIGN_BYTES)
            wire_heard(wire);
        int event = wire_took(wire, (uint32_t)count, message, err);
        if (event != WIRE_LATER)
            return event;
    }
}

/* ---- blocking: the first and the last words ---- */

static int wire_wait(struct wire *wire, unsigned int wanted, uint64_t deadline_ns,
                     struct error *err)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= deadline_ns)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: haul does not answer",
                               wire->link->peer);
    int result = link_wait(wire->link, wanted, min_u64(deadline_ns - now_ns, NS_PER_SECOND), NULL);
    if (result == -ETIMEDOUT || result == -EINTR)
        return 0; /* the caller looks at the deadline again */
    if (result < 0)
        error_set_class(err, ERROR_SOCKET, -result, "%s: poll: %s", wire->link->peer,
                        strerror(-result));
    return result;
}

int wire_send_now(struct wire *wire, const struct wire_message *message, uint64_t timeout_ns,
                  struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    int result = wire_put(wire, message, NULL);
    if (result < 0)
        return error_set(err, -result, "%s: a message to it", wire->link->peer);
    for (;;) {
        result = wire_flush(wire, err);
        if (result == 0)
            result = wire_wait(wire, LINK_SEND, deadline_ns, err);
        else
            return result < 0 ? result : 0;
        if (result < 0)
            return result;
    }
}

int wire_recv_now(struct wire *wire, struct wire_message *message, uint64_t timeout_ns,
                  struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    for (;;) {
        int event = wire_get(wire, message, err);
        if (event != WIRE_LATER)
            return event;
        int result = wire_wait(wire, LINK_RECV, deadline_ns, err);
        if (result < 0)
            return result;
    }
}

/* ---- the greeting ---- */

/* The other side's first bytes are not haul's. Take a little more of them, so that a person can see
 * who is talking. */
static int wire_foreign(struct wire *wire, uint8_t *data, size_t filled, struct error *err)
{
    char words[4 * FOREIGN_BYTES + 1], line[FOREIGN_BYTES + 1];
    uint64_t deadline_ns = clock_now_ns() + FOREIGN_WAIT_MS * NS_PER_MS;
    while (filled < FOREIGN_BYTES) {
        ssize_t count = link_recv(wire->link, data + filled, FOREIGN_BYTES - filled, NULL);
        if (count < 0 || (count == 0 && wire_wait(wire, LINK_RECV, deadline_ns, NULL) < 0))
            break;
        filled += (size_t)count;
    }
    if (filled >= WIRE_MAGIC_BYTES && wire_is_magic(data, filled, wire->side))
        return error_set_class(err, ERROR_PROTOCOL, EPROTO,
                               "%s: our own words come back: no haul is there, but an echo",
                               wire->link->peer);
    memcpy(line, data, filled);
    line[filled] = '\0';
    text_escape(words, sizeof(words), line);
    return error_set_class(err, ERROR_PROTOCOL, EPROTO,
                           "%s: something else than haul is talking there (a login script?): %s",
                           wire->link->peer, words);
}

static int wire_greeting(struct wire *wire, uint64_t deadline_ns, struct error *err)
{
    uint8_t data[FOREIGN_BYTES];
    char program[WIRE_PROGRAM_BYTES], words[4 * WIRE_PROGRAM_BYTES];
    size_t filled = 0;
    while (filled < WIRE_PREAMBLE_BYTES) {
        ssize_t count = link_recv(wire->link, data + filled, WIRE_PREAMBLE_BYTES - filled, err);
        if (count == LINK_EOF && filled > 0)
            return wire_foreign(wire, data, filled, err);
        int result = count == 0  ? wire_wait(wire, LINK_RECV, deadline_ns, err)
                     : count < 0 ? (int)count
                                 : 0;
        if (result < 0)
            return result;
        filled += (size_t)count;
        if (!wire_is_magic(data, filled, other(wire->side)))
            return wire_foreign(wire, data, filled, err);
    }
    wire->heard_ns = wire->delivered_ns = clock_now_ns();
    uint16_t version = wire_decode_preamble(data, program);
    if (version == WIRE_VERSION)
        return 0;
    return error_set_class(err, ERROR_VERSION, EPROTONOSUPPORT,
                           "%s: haul %s there speaks protocol %u, here it is %d", wire->link->peer,
                           text_escape(words, sizeof(words), program), version, WIRE_VERSION);
}

int wire_greet(struct wire *wire, const char *program, uint64_t timeout_ns, struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    uint8_t preamble[WIRE_PREAMBLE_BYTES];
    struct error unsent = {.class = ERROR_NONE}, unheard = {.class = ERROR_NONE};
    wire_encode_preamble(preamble, program, wire->side);
    int sent = link_send_all(wire->link, preamble, sizeof(preamble), timeout_ns, &unsent);
    wire->sent_ns = clock_now_ns();
    /* Nobody who listens any more may have said something before that explains it. */
    int heard = wire_greeting(wire, deadline_ns, &unheard);
    bool explained = unheard.class == ERROR_PROTOCOL || unheard.class == ERROR_VERSION;
    if (sent < 0 && !explained)
        return error_take(err, &unsent);
    if (error_is_set(&unheard))
        return error_take(err, &unheard);
    return heard;
}

bool wire_chatter_allowed(struct wire_chatter *chatter, uint64_t now_ns)
{
    if (chatter->count++ == 0)
        chatter->started_ns = now_ns;
    uint64_t seconds = (now_ns - chatter->started_ns) / NS_PER_SECOND;
    return chatter->count <= WIRE_NOTES_BURST + seconds * WIRE_NOTES_A_SECOND;
}
