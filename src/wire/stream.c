/* stream.c - frames over a link, without blocking. */
#include "haul/wire/stream.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    FOREIGN_BYTES = 160, /* shown of what somebody else said */
    FOREIGN_WAIT_MS = 300,
};

void stream_init(struct stream *stream, struct link *link, enum wire_side side)
{
    memset(stream, 0, offsetof(struct stream, in));
    stream->link = link;
    stream->side = side;
    stream->sent_ns = stream->heard_ns = stream->delivered_ns = clock_now_ns();
}

int stream_violation(const struct stream *stream, struct error *err, const char *format, ...)
{
    char why[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    return error_set_class(err, ERROR_PROTOCOL, EPROTO, "%s: protocol error: %s",
                           stream->link->peer, why);
}

static enum wire_side other(enum wire_side side)
{
    return side == WIRE_CLIENT ? WIRE_SERVER : WIRE_CLIENT;
}

/* ---- sending ---- */

bool stream_sending(const struct stream *stream)
{
    return stream->out_length > 0;
}

bool stream_has_room(const struct stream *stream)
{
    return !stream->payload_out && stream->out_length <= STREAM_GATHER_BYTES;
}

int stream_put(struct stream *stream, struct wire_message *message, struct stream_payload payload)
{
    uint32_t bytes = message->payload_bytes;
    assert(stream_has_room(stream));
    assert(payload.data || bytes == 0);
    message->arrived_bytes = stream->arrived_bytes; /* of PING and PONG */
    int length = codec_encode(stream->out + stream->out_length, message, stream->side);
    assert(length != -EINVAL);
    if (length < 0)
        return length;
    stream->put_bytes += (uint32_t)length + (uint64_t)bytes;
    stream->out_length += (uint32_t)length;
    if (bytes == 0)
        return 0;
    if (!payload.set && bytes <= STREAM_COPY_BYTES) {
        memcpy(stream->out + stream->out_length, payload.data, bytes);
        stream->out_length += bytes;
        return 0;
    }
    assert(!payload.set || bytes == blocks_bytes(payload.set, payload.length));
    stream->payload_out = payload.data;
    stream->payload_out_left = bytes;
    stream->runs_out = (struct stream_runs){.set = payload.set, .length = payload.length};
    return 1;
}

/* How much can be moved at once, of so much that is left, and where in the buffer it lies. */
static uint32_t runs_piece(struct stream_runs *runs, uint32_t left, uint32_t *length)
{
    *length = left;
    if (!runs->set || left == 0)
        return 0;
    if (runs->start == runs->end)
        (void)blocks_next(runs->set, runs->length, runs->end, &runs->start, &runs->end);
    *length = (uint32_t)min_u64(left, runs->end - runs->start);
    return runs->start;
}

/* So much was moved: where the buffer begins for what is left. */
static uint32_t runs_moved(struct stream_runs *runs, uint32_t count)
{
    runs->start += runs->set ? count : 0;
    return runs->set ? 0 : count;
}

/* The next piece that is to go out. */
static const void *stream_piece(struct stream *stream, size_t *length)
{
    if (stream->out_sent < stream->out_length) {
        *length = stream->out_length - stream->out_sent;
        return stream->out + stream->out_sent;
    }
    uint32_t piece, offset = runs_piece(&stream->runs_out, stream->payload_out_left, &piece);
    *length = piece;
    return stream->payload_out ? stream->payload_out + offset : NULL;
}

int stream_flush(struct stream *stream, struct error *err)
{
    size_t length;
    while (stream_sending(stream)) {
        const void *piece = stream_piece(stream, &length);
        if (length == 0) {
            stream->out_length = stream->out_sent = 0;
            stream->payload_out = NULL;
            break;
        }
        ssize_t sent = link_send(stream->link, piece, length, err);
        if (sent <= 0)
            return (int)sent;
        stream->sent_ns = clock_now_ns();
        if (stream->out_sent < stream->out_length) {
            stream->out_sent += (uint32_t)sent;
        } else {
            stream->payload_out += runs_moved(&stream->runs_out, (uint32_t)sent);
            stream->payload_out_left -= (uint32_t)sent;
        }
    }
    return 1;
}

/* ---- receiving ---- */

void stream_payload_into(struct stream *stream, void *buffer, uint32_t length)
{
    assert(stream->payload_in_left == length && !stream->payload_in);
    stream->payload_in = buffer;
    stream->runs_in.set = NULL;
}

void stream_payload_runs(struct stream *stream, const uint8_t *set, uint32_t length)
{
    assert(stream->payload_in_left == blocks_bytes(set, length));
    stream->runs_in = (struct stream_runs){.set = set, .length = length};
}

/* The header is complete: how much is to follow? */
static int stream_take_header(struct stream *stream, struct error *err)
{
    uint32_t body_bytes, payload_bytes;
    if (codec_decode_header(stream->in + stream->in_start, &body_bytes, &payload_bytes) < 0)
        return stream_violation(stream, err, "what should be the head of a frame is none");
    if (payload_bytes > stream->payload_bytes_max)
        return stream_violation(stream, err, "a payload of %u bytes, where %u is the most",
                                payload_bytes, stream->payload_bytes_max);
    stream->in_length = WIRE_HEADER_BYTES + body_bytes;
    return 0;
}

/* ---- signs of life ---- */

static void stream_heard(struct stream *stream)
{
    stream->heard_ns = clock_now_ns();
    stream->heard_bytes = stream->arrived_bytes;
}

static void stream_delivered(struct stream *stream, uint64_t told_bytes)
{
    stream->delivered_ns = clock_now_ns();
    stream->delivered_bytes = told_bytes;
    stream->wanted_bytes = stream->put_bytes;
}

/* What a frame tells of our own ones. */
static int stream_told(struct stream *stream, const struct wire_message *message, struct error *err)
{
    uint64_t told_bytes = message->arrived_bytes;
    if (message->type == WIRE_REPLY)
        stream_delivered(stream, stream->delivered_bytes);
    if (message->type != WIRE_PING && message->type != WIRE_PONG)
        return 0;
    if (told_bytes > stream->put_bytes || told_bytes < stream->told_bytes)
        return stream_violation(stream, err, "it counts other bytes than were sent");
    stream->told_bytes = told_bytes;
    if (told_bytes >= stream->wanted_bytes ||
        told_bytes - stream->delivered_bytes >= WIRE_SIGN_BYTES)
        stream_delivered(stream, told_bytes);
    return 0;
}

uint64_t stream_alive_ns(const struct stream *stream)
{
    bool can_tell = stream->payload_in_left == 0;
    return can_tell ? min_u64(stream->heard_ns, stream->delivered_ns) : stream->heard_ns;
}

static int stream_take_frame(struct stream *stream, struct wire_message *message, struct error *err)
{
    ERROR_UNSET(why);
    int result = codec_decode(stream->in + stream->in_start, stream->in_length, other(stream->side),
                              message, &stream->texts, &why);
    stream->in_start += stream->in_length;
    stream->in_length = 0;
    if (result < 0) {
        error_prefix(&why, "%s", stream->link->peer);
        error_take(err, &why);
        return result;
    }
    stream->payload_in = NULL;
    stream->payload_in_left = message->payload_bytes;
    stream_heard(stream);
    result = stream_told(stream, message, err);
    return result < 0 ? result : STREAM_MESSAGE;
}

/* Where the next bytes of the payload go, and how many may go there at once. */
static void *stream_payload_room(struct stream *stream, uint32_t *length)
{
    assert(stream->payload_in);
    uint32_t offset = runs_piece(&stream->runs_in, stream->payload_in_left, length);
    return stream->payload_in + offset;
}

/* `count` bytes are there. true: that was all of it. */
static bool stream_payload_took(struct stream *stream, uint32_t count)
{
    stream->payload_in += runs_moved(&stream->runs_in, count);
    stream->payload_in_left -= count;
    if (stream->payload_in_left > 0)
        return false;
    stream_heard(stream);
    stream_delivered(stream, stream->delivered_bytes); /* it could not tell meanwhile */
    return true;
}

/* The payload, from what is here already. */
static int stream_take_payload(struct stream *stream)
{
    uint32_t length;
    while (stream->in_start < stream->in_end) {
        void *room = stream_payload_room(stream, &length);
        length = (uint32_t)min_u64(length, stream->in_end - stream->in_start);
        memcpy(room, stream->in + stream->in_start, length);
        stream->in_start += length;
        if (stream_payload_took(stream, length))
            return STREAM_PAYLOAD;
    }
    return STREAM_LATER;
}

/* The next event of what is here already. */
static int stream_take(struct stream *stream, struct wire_message *message, struct error *err)
{
    uint32_t filled = stream->in_end - stream->in_start;
    if (stream->payload_in_left > 0)
        return stream_take_payload(stream);
    if (stream->in_length == 0 && filled >= WIRE_HEADER_BYTES) {
        int result = stream_take_header(stream, err);
        if (result < 0)
            return result;
    }
    return stream->in_length > 0 && filled >= stream->in_length
               ? stream_take_frame(stream, message, err)
               : STREAM_LATER;
}

/* What is here is the beginning of something: more of it. Of a payload nothing is here, and what is
 * large goes where it belongs. The number of bytes, 0: nothing is there; or -errno, LINK_EOF. */
static ssize_t stream_receive(struct stream *stream, bool *whole, struct error *err)
{
    uint32_t filled = stream->in_end - stream->in_start, length;
    *whole = false;
    if (stream->payload_in_left > STREAM_COPY_BYTES) {
        void *room = stream_payload_room(stream, &length);
        ssize_t count = link_recv(stream->link, room, length, err);
        *whole = count > 0 && stream_payload_took(stream, (uint32_t)count);
        return count;
    }
    memmove(stream->in, stream->in + stream->in_start, filled);
    stream->in_start = 0;
    stream->in_end = filled;
    ssize_t count = link_recv(stream->link, stream->in + filled, sizeof(stream->in) - filled, err);
    stream->in_end += count > 0 ? (uint32_t)count : 0;
    return count;
}

bool stream_has_more(const struct stream *stream)
{
    return stream->in_more;
}

int stream_get(struct stream *stream, struct wire_message *message, struct error *err)
{
    for (;;) {
        bool whole;
        int event = stream_take(stream, message, err);
        stream->in_more = event != STREAM_LATER && stream->in_start < stream->in_end;
        if (event != STREAM_LATER)
            return event;
        ssize_t count = stream_receive(stream, &whole, err);
        if (count == 0)
            return STREAM_LATER;
        if (count < 0)
            return (int)count;
        stream->arrived_bytes += (uint64_t)count;
        if (stream->arrived_bytes - stream->heard_bytes >= WIRE_SIGN_BYTES)
            stream_heard(stream);
        if (whole)
            return STREAM_PAYLOAD;
    }
}

/* ---- blocking: the first and the last words ---- */

static int stream_wait(struct stream *stream, unsigned int wanted, uint64_t deadline_ns,
                       struct error *err)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns >= deadline_ns)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: haul does not answer",
                               stream->link->peer);
    int result =
        link_wait(stream->link, wanted, min_u64(deadline_ns - now_ns, NS_PER_SECOND), NULL);
    if (result == -ETIMEDOUT || result == -EINTR)
        return 0; /* the caller looks at the deadline again */
    if (result < 0)
        error_set_class(err, ERROR_SOCKET, -result, "%s: poll: %s", stream->link->peer,
                        strerror(-result));
    return result;
}

int stream_send_now(struct stream *stream, struct wire_message *message, uint64_t timeout_ns,
                    struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    int result = stream_put(stream, message, (struct stream_payload){.data = NULL});
    if (result < 0)
        return error_set(err, -result, "%s: a message to it", stream->link->peer);
    for (;;) {
        result = stream_flush(stream, err);
        if (result == 0)
            result = stream_wait(stream, LINK_SEND, deadline_ns, err);
        else
            return result < 0 ? result : 0;
        if (result < 0)
            return result;
    }
}

int stream_recv_now(struct stream *stream, struct wire_message *message, uint64_t timeout_ns,
                    struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    for (;;) {
        int event = stream_get(stream, message, err);
        if (event != STREAM_LATER)
            return event;
        int result = stream_wait(stream, LINK_RECV, deadline_ns, err);
        if (result < 0)
            return result;
    }
}

/* ---- the greeting ---- */

/* The other side's first bytes are not haul's. Take a little more of them, so that a person can see
 * who is talking. */
static int stream_foreign(struct stream *stream, uint8_t *data, size_t filled, struct error *err)
{
    char words[4 * FOREIGN_BYTES + 1], line[FOREIGN_BYTES + 1];
    uint64_t deadline_ns = clock_now_ns() + FOREIGN_WAIT_MS * NS_PER_MS;
    while (filled < FOREIGN_BYTES) {
        ssize_t count = link_recv(stream->link, data + filled, FOREIGN_BYTES - filled, NULL);
        if (count < 0 || (count == 0 && stream_wait(stream, LINK_RECV, deadline_ns, NULL) < 0))
            break;
        filled += (size_t)count;
    }
    if (filled >= WIRE_MAGIC_BYTES && codec_is_magic(data, filled, stream->side))
        return error_set_class(err, ERROR_PROTOCOL, EPROTO,
                               "%s: our own words come back: no haul is there, but an echo",
                               stream->link->peer);
    memcpy(line, data, filled);
    line[filled] = '\0';
    text_escape(words, sizeof(words), line);
    return error_set_class(err, ERROR_PROTOCOL, EPROTO,
                           "%s: something else than haul is talking there (a login script?): %s",
                           stream->link->peer, words);
}

static int stream_greeting(struct stream *stream, uint64_t deadline_ns, struct error *err)
{
    uint8_t data[FOREIGN_BYTES];
    char program[WIRE_PROGRAM_BYTES], words[4 * WIRE_PROGRAM_BYTES];
    size_t filled = 0;
    while (filled < WIRE_PREAMBLE_BYTES) {
        ssize_t count = link_recv(stream->link, data + filled, WIRE_PREAMBLE_BYTES - filled, err);
        if (count == LINK_EOF && filled > 0)
            return stream_foreign(stream, data, filled, err);
        int result = count == 0  ? stream_wait(stream, LINK_RECV, deadline_ns, err)
                     : count < 0 ? (int)count
                                 : 0;
        if (result < 0)
            return result;
        filled += (size_t)count;
        if (!codec_is_magic(data, filled, other(stream->side)))
            return stream_foreign(stream, data, filled, err);
    }
    stream->heard_ns = stream->delivered_ns = clock_now_ns();
    uint16_t version = codec_decode_preamble(data, program);
    if (version == WIRE_VERSION)
        return 0;
    return error_set_class(
        err, ERROR_VERSION, EPROTONOSUPPORT, "%s: haul %s there speaks protocol %u, here it is %d",
        stream->link->peer, text_escape(words, sizeof(words), program), version, WIRE_VERSION);
}

int stream_greet(struct stream *stream, const char *program, uint64_t timeout_ns, struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    uint8_t preamble[WIRE_PREAMBLE_BYTES];
    struct error unsent = {.class = ERROR_NONE}, unheard = {.class = ERROR_NONE};
    codec_encode_preamble(preamble, program, stream->side);
    int sent = link_send_all(stream->link, preamble, sizeof(preamble), timeout_ns, &unsent);
    stream->sent_ns = clock_now_ns();
    /* Nobody who listens any more may have said something before that explains it. */
    int heard = stream_greeting(stream, deadline_ns, &unheard);
    bool explained = unheard.class == ERROR_PROTOCOL || unheard.class == ERROR_VERSION;
    if (sent < 0 && !explained)
        return error_take(err, &unsent);
    if (error_is_set(&unheard))
        return error_take(err, &unheard);
    return heard;
}
