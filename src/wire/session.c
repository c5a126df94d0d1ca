/* session.c - one conversation over a link; what client and server have in common. */
#include "haul/wire/session.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

void session_init(struct session *session, struct link *link, enum wire_side side)
{
    size_t begin = offsetof(struct session, pack);
    memset((char *)session + begin, 0, sizeof(*session) - begin);
    session->ping_ns = WIRE_PING_MS * NS_PER_MS;
    stream_init(&session->stream, link, side);
}

void session_close(struct session *session)
{
    pack_close(session->pack);
    session->pack = NULL;
}

/* ---- the greeting ---- */

static uint64_t hello_timeout(uint64_t timeout_ns)
{
    return timeout_ns ? timeout_ns : WIRE_HELLO_MS * NS_PER_MS;
}

int session_greet(struct session *session, uint64_t timeout_ns, struct error *err)
{
    return stream_greet(&session->stream, HAUL_VERSION, hello_timeout(timeout_ns), err);
}

int session_say_hello(struct session *session, const struct wire_hello *hello, uint64_t timeout_ns,
                      struct error *err)
{
    struct wire_message message;
    codec_message(&message, WIRE_HELLO, WIRE_TAG_NONE);
    message.hello = *hello;
    return stream_send_now(&session->stream, &message, hello_timeout(timeout_ns), err);
}

int session_agree(struct session *session, const struct wire_hello *hello, struct error *err)
{
    bool packs = hello->capabilities & WIRE_CAN_PACK;
    session->agreed = true;
    session->ping_ns = hello->ping_ms * NS_PER_MS;
    session->stream.payload_bytes_max = hello->chunk_bytes;
    if (packs && !(session->pack = pack_open(hello->chunk_bytes)))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to pack payloads");
    return 0;
}

/* ---- what is heard ---- */

/* More than WIRE_NOTES_* allow? */
static bool session_is_flood(struct session *session)
{
    uint64_t now_ns = clock_now_ns();
    if (session->talk_count++ == 0)
        session->talk_ns = now_ns;
    uint64_t seconds = (now_ns - session->talk_ns) / NS_PER_SECOND;
    return session->talk_count > WIRE_NOTES_BURST + seconds * WIRE_NOTES_A_SECOND;
}

/* A message has come: is it one for the caller? SESSION_LATER: it is not. */
static int session_hear(struct session *session, const struct wire_message *message,
                        struct error *err)
{
    switch (message->type) {
    case WIRE_HELLO:
        return session->agreed ? stream_violation(&session->stream, err, "it says hello again")
                               : SESSION_MESSAGE;
    case WIRE_REQUEST:
    case WIRE_REPLY:
        session->talk_count = 0;
        return session->agreed ? SESSION_MESSAGE
                               : stream_violation(&session->stream, err, "there was no hello yet");
    case WIRE_BYE:
        session->told = true;
        return SESSION_MESSAGE;
    case WIRE_NOTE:
    case WIRE_PING:
    case WIRE_PONG:
        break;
    }
    if (session_is_flood(session))
        return stream_violation(&session->stream, err, "it floods us with messages");
    session->pong_due |= message->type == WIRE_PING;
    if (message->type == WIRE_PONG) {
        session->idle = message->idle;
        session->far_halved = message->halved;
        session->pongs_count++;
    }
    return message->type == WIRE_NOTE ? SESSION_MESSAGE : SESSION_LATER;
}

int session_hear_now(struct session *session, struct wire_message *message, uint64_t timeout_ns,
                     struct error *err)
{
    uint64_t deadline_ns = clock_now_ns() + hello_timeout(timeout_ns);
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        int event = stream_recv_now(&session->stream, message,
                                    deadline_ns > now_ns ? deadline_ns - now_ns : 0, err);
        if (event == STREAM_MESSAGE)
            event = session_hear(session, message, err);
        if (event != SESSION_LATER)
            return event < 0 ? event : 0;
    }
}

/* What arrives: a server has requests, a client replies. */
static struct codec_payload incoming(const struct session *session, const struct slot *slot)
{
    return codec_payload(slot->op, slot,
                         session->stream.side == WIRE_SERVER ? WIRE_CLIENT : WIRE_SERVER);
}

const char *session_receive(struct session *session, struct slot *slot, uint32_t payload_bytes)
{
    const struct codec_payload payload = incoming(session, slot);
    bool packed = session->pack && payload.packs && payload_bytes < payload.bytes;
    if (payload_bytes != payload.bytes && !packed)
        return "a payload that has not the length of its chunk";
    assert(payload.data && payload.bytes <= slot->capacity);
    session->receiving = slot;
    session->receiving_bytes = payload_bytes;
    slot->job->received_bytes += payload_bytes;
    stream_payload_into(&session->stream, packed ? pack_incoming(session->pack) : payload.data,
                        payload_bytes);
    if (payload.set)
        stream_payload_runs(&session->stream, payload.set, slot->length);
    return NULL;
}

/* The digest is that of all that lies there, in parts or as a whole. */
static int session_payload(struct session *session, struct slot **out)
{
    struct slot *slot = session->receiving;
    const struct codec_payload payload = incoming(session, slot);
    uint32_t bytes = session->receiving_bytes;
    session->receiving = NULL;
    *out = slot;
    if (bytes != payload.bytes && !pack_expand(session->pack, bytes, payload.data, payload.bytes))
        return SESSION_DAMAGED;
    struct digest digest = digest_of(payload.data, payload.set ? slot->length : payload.bytes);
    return digest_equal(&digest, &slot->digest) ? SESSION_PAYLOAD : SESSION_DAMAGED;
}

int session_get(struct session *session, struct wire_message *message, struct slot **slot,
                struct error *err)
{
    for (;;) {
        int event = stream_get(&session->stream, message, err);
        switch (event) {
        case STREAM_LATER:
            return SESSION_LATER;
        case STREAM_PAYLOAD:
            return session_payload(session, slot);
        case STREAM_MESSAGE:
            event = session_hear(session, message, err);
            if (event != SESSION_LATER)
                return event;
            break;
        case LINK_EOF:
            return error_set_class(err, ERROR_SOCKET, ECONNRESET,
                                   "%s: the connection ended without a goodbye",
                                   session->stream.link->peer);
        default:
            return event;
        }
    }
}

/* ---- what is said ---- */

static void session_put_alive(struct session *session, enum wire_type type)
{
    struct wire_message message;
    codec_message(&message, type, WIRE_TAG_NONE);
    if (type == WIRE_PONG) {
        message.idle = (struct wire_idle){proc_idle_ns(""), clock_now_ns()};
        message.halved = session->halved;
    }
    int result = stream_put(&session->stream, &message, (struct stream_payload){.data = NULL});
    assert(result == 0); /* it has no text */
    (void)result;
    if (type != WIRE_PING || !session->asking)
        return;
    session->asking = false;
    session->asked_bytes = session->stream.put_bytes;
}

void session_ask(struct session *session)
{
    session->asking = session->ping_due = true;
}

bool session_is_answered(const struct session *session)
{
    return !session->asking && session->stream.told_bytes >= session->asked_bytes;
}

int session_send(struct session *session, struct slot **sent, struct error *err)
{
    *sent = NULL;
    for (;;) {
        int result = stream_flush(&session->stream, err);
        if (result <= 0)
            return result;
        if (session->sending)
            *sent = session->sending;
        session->sending = NULL;
        if (session->left || (!session->pong_due && !session->ping_due))
            return 1;
        session_put_alive(session, session->pong_due ? WIRE_PONG : WIRE_PING);
        if (session->pong_due)
            session->pong_due = false;
        else
            session->ping_due = false;
    }
}

bool session_has_room(const struct session *session)
{
    return stream_has_room(&session->stream);
}

bool session_has_more(const struct session *session)
{
    return stream_has_more(&session->stream);
}

int session_put(struct session *session, struct wire_message *message, struct slot *slot)
{
    struct codec_payload payload = {.data = NULL};
    const void *data = NULL, *packed;
    uint32_t length = 0;
    if (message->payload_bytes > 0) { /* of the slot: the message is gone before all is sent */
        assert(slot);
        payload = codec_payload(message->op, slot, session->stream.side);
        data = payload.data;
    }
    if (data && session->pack && payload.packs)
        length = pack_shrink(session->pack, data, message->payload_bytes, &packed);
    if (length > 0) {
        message->payload_bytes = length;
        data = packed;
    }
    const struct stream_payload sent = {data, payload.set, slot ? slot->length : 0};
    int result = stream_put(&session->stream, message, sent);
    if (result < 0)
        return result;
    if (result > 0)
        session->sending = slot;
    if (slot && slot->job) /* a note has no slot */
        slot->job->sent_bytes += message->payload_bytes;
    return result;
}

static uint64_t session_ping_at_ns(const struct session *session)
{
    uint64_t told_ns = max_u64(session->stream.delivered_ns, session->pinged_ns);
    return min_u64(session->stream.sent_ns, told_ns) + session->ping_ns;
}

bool session_keep_alive(struct session *session)
{
    uint64_t now_ns = clock_now_ns();
    if (session->left || now_ns < session_ping_at_ns(session))
        return false;
    session->pinged_ns = now_ns;
    session_put_alive(session, WIRE_PING);
    return true;
}

void session_say_bye(struct session *session, const struct error *why, uint64_t timeout_ns)
{
    struct stream *stream = &session->stream;
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;
    struct wire_message message;
    int sent;
    codec_message(&message, WIRE_BYE, WIRE_TAG_NONE);
    if (error_is_set(why))
        message.failure = (struct wire_failure){why->class, (uint32_t)why->errnum, why->text};
    while ((sent = stream_flush(stream, NULL)) == 0 && clock_now_ns() < deadline_ns)
        (void)link_wait(stream->link, LINK_SEND, timeout_ns, NULL);
    if (sent > 0)
        (void)stream_send_now(stream, &message, timeout_ns, NULL);
    session->left = true;
}

/* ---- waiting ---- */

int session_watch(const struct session *session, uint64_t since_ns, uint64_t silence_ns,
                  struct error *err)
{
    uint64_t alive_ns = max_u64(stream_alive_ns(&session->stream), since_ns);
    if (silence_ns == 0 || clock_now_ns() < alive_ns + silence_ns)
        return 0;
    return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: silent for %.3g s",
                           session->stream.link->peer, (double)silence_ns / (double)NS_PER_SECOND);
}

unsigned int session_wanted(const struct session *session, bool more)
{
    bool due = !session->left && (session->pong_due || session->ping_due);
    bool sending = stream_sending(&session->stream) || due || more;
    return LINK_RECV | (sending ? LINK_SEND : 0u);
}

uint64_t session_wait_ns(const struct session *session, uint64_t most_ns)
{
    uint64_t now_ns = clock_now_ns(), ping_at_ns = session_ping_at_ns(session);
    if (stream_sending(&session->stream) || session->left) /* a ping has to wait, too */
        return most_ns;
    return ping_at_ns > now_ns ? min_u64(ping_at_ns - now_ns, most_ns) : 0;
}
