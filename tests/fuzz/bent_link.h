/* bent_link.h - a link to a real server, on which well-formed lies are told: each frame is taken
 * apart, changed, and put together again with its checksum right. For fuzz_copy.c. */
#ifndef HAUL_TESTS_FUZZ_BENT_LINK_H
#define HAUL_TESTS_FUZZ_BENT_LINK_H

#include "../unit/link_pair.h"
#include "lie.h"

#include <assert.h>

enum { BENT_PAYLOAD_MAX = 128 * 1024, BENT_FRAME_MAX = WIRE_FRAME_BYTES_MAX + BENT_PAYLOAD_MAX };

/* One direction. */
struct bent_way {
    enum wire_side from;
    bool greeted;
    uint8_t in[2 * BENT_FRAME_MAX]; /* what has come */
    size_t in_filled;
    uint8_t out[4 * BENT_FRAME_MAX]; /* what is to go on */
    size_t out_filled, out_sent;
    uint32_t counts[LIE_OPS];
    uint8_t old[LIE_OPS][BENT_FRAME_MAX]; /* the last frame of each operation, as it really was */
    uint32_t old_length[LIE_OPS];
};

struct bent_link {
    struct link link;
    struct pair_link *pair;
    const struct lie *lies;
    uint32_t lies_count;
    struct bent_way up, down; /* requests, replies */
    bool cut;
    bool *believed;      /* a lie was told that nobody can find out */
    bool *about_details; /* one was told of them */
};

/* ---- frames ---- */

/* The length of the frame at the beginning, payload included; 0: it is not whole. */
static size_t bent_whole(const struct bent_way *way, const uint8_t *data, size_t length)
{
    uint32_t body_bytes, payload_bytes;
    if (!way->greeted)
        return length >= WIRE_PREAMBLE_BYTES ? WIRE_PREAMBLE_BYTES : 0;
    if (length < WIRE_HEADER_BYTES)
        return 0;
    if (codec_decode_header(data, &body_bytes, &payload_bytes) < 0 ||
        payload_bytes > BENT_PAYLOAD_MAX)
        abort(); /* both sides are real */
    size_t whole = (size_t)WIRE_HEADER_BYTES + body_bytes + payload_bytes;
    return length >= whole ? whole : 0;
}

static void bent_put(struct bent_way *way, const void *data, size_t length)
{
    assert(length <= sizeof(way->out) - way->out_filled);
    memcpy(way->out + way->out_filled, data, length);
    way->out_filled += length;
}

/* false: a field is out of its range, so that it is no well-formed lie; nothing was put. */
static bool bent_put_message(struct bent_way *way, const struct wire_message *message,
                             const uint8_t *payload)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    int length = codec_encode(frame, message, way->from);
    if (length < 0)
        return false;
    bent_put(way, frame, (size_t)length);
    bent_put(way, payload, message->payload_bytes);
    return true;
}

static bool bent_decode(const struct bent_way *way, const uint8_t *frame, size_t length,
                        struct wire_message *message, struct codec_texts *texts, uint8_t *payload)
{
    uint32_t body_bytes, payload_bytes;
    struct error ignored = {.class = ERROR_NONE};
    codec_decode_header(frame, &body_bytes, &payload_bytes);
    if (codec_decode(frame, length - payload_bytes, way->from, message, texts, &ignored) < 0)
        return false;
    memcpy(payload, frame + length - payload_bytes, payload_bytes);
    return true;
}

/* ---- lies ---- */

/* Of RECALL: chunks are listed by other numbers. */
static void bent_other_entries(struct wire_message *message, uint8_t *payload, uint8_t value)
{
    uint32_t count = message->payload_bytes / WIRE_ENTRY_BYTES;
    for (uint32_t i = 0; i < count; i++)
        if (value % 4 == 0 || i % (value % 4 + 1u) == 0)
            payload[i * WIRE_ENTRY_BYTES] =
                (uint8_t)(payload[i * WIRE_ENTRY_BYTES] + 1 + value / 4);
    if (value % 8 == 7 && count > 1) {
        message->payload_bytes -= WIRE_ENTRY_BYTES;
        message->slot.count--;
    }
    message->slot.digest = digest_of(payload, message->payload_bytes);
}

/* A message that failed needs words, a class and a number to be well-formed. */
static void bent_status(struct wire_message *message, const struct lie *lie)
{
    static const uint32_t numbers[] = {EIO, ENOSPC, EAGAIN, EINTR, EPROTO, ENOENT, ESTALE, ENODATA};
    message->status = lie->deed == LIE_FAILED ? WIRE_FAILED : (enum wire_status)(lie->value % 3);
    message->failure.class = (enum error_class)(1 + lie->value % 16);
    message->failure.errnum = numbers[lie->value % COUNT_OF(numbers)];
    message->failure.words = lie->field % 2 ? "" : "a lie";
    message->payload_bytes = 0;
}

static void bent_payload(struct wire_message *message, uint8_t *payload, const struct lie *lie)
{
    uint32_t length = message->payload_bytes;
    if (length == 0)
        return;
    if (lie->deed == LIE_PAYLOAD)
        payload[(lie->value * UINT32_C(257) + lie->field) % length] ^= 1;
    else
        message->payload_bytes = lie->value % 2 ? length / 2 : length - 1;
}

/* Near the beginning, where the head of the first record is, or near the end, where a piece says
 * what it is about. */
static void bent_records(struct wire_message *message, uint8_t *payload, const struct lie *lie)
{
    uint32_t length = message->payload_bytes, at = lie->field % 128;
    if (length == 0 || !lie_is_of_details(lie->op))
        return;
    at = at % length;
    at = lie->field < 128 ? at : length - 1 - at;
    payload[at] = payload[at] == lie->value ? (uint8_t)~lie->value : lie->value;
    message->slot.digest = digest_of(payload, length);
}

static void bent_tell(struct bent_link *bent, const struct lie *lie, struct wire_message *message,
                      uint8_t *payload)
{
    const struct lie_field *field = lie_field_of(lie);
    switch ((enum lie_deed)lie->deed) {
    case LIE_FIELD:
    case LIE_FIELD_TOO:
        if (field) {
            lie_about_field(message, field, lie->value);
            *bent->believed |= field->believed && !lie_is_of_details(lie->op);
            if (!lie->request && lie->op == SIDE_FETCH &&
                (message->slot.matched || message->slot.held))
                message->payload_bytes = 0;
        }
        break;
    case LIE_FAILED:
    case LIE_STATUS:
        if (!lie->request)
            bent_status(message, lie);
        break;
    case LIE_PAYLOAD:
    case LIE_LENGTH:
        bent_payload(message, payload, lie);
        break;
    case LIE_ENTRIES:
        if (!lie->request && lie->op == SIDE_RECALL)
            bent_other_entries(message, payload, lie->value);
        break;
    case LIE_RECORDS:
        bent_records(message, payload, lie);
        break;
    default:
        break; /* of whole frames: bent_pass */
    }
}

/* Of details: one that cannot remain unsaid; what they are nobody but their source knows. Where the
 * next piece is told to be: then one is left out, or comes twice. */
static bool bent_is_told(const struct lie *lie)
{
    const struct lie_field *field = lie_field_of(lie);
    bool whole = lie->deed == LIE_FAILED || lie->deed == LIE_STATUS || lie->deed == LIE_PAYLOAD ||
                 lie->deed == LIE_LENGTH || lie->deed == LIE_CUT;
    bool next = !lie->request && lie->op == SIDE_DETAIL && field &&
                field->offset == offsetof(struct wire_message, slot.extent_start);
    return whole || ((lie->deed == LIE_FIELD || lie->deed == LIE_FIELD_TOO) && field &&
                     (!field->believed || next));
}

/* Is a whole answer of before one that nobody can find out? Those of a source are; a digest of
 * another chunk may be the source's where both are zeros. No data hang on details. */
static bool bent_old_is_believed(bool request, uint32_t op)
{
    return !lie_is_of_details(op) &&
           (request ? op != SIDE_STORE && op != SIDE_KEEP
                    : op != SIDE_RECALL && op != SIDE_STORE && op != SIDE_KEEP &&
                          op != SIDE_ERASE && op != SIDE_SYNC);
}

static bool bent_hits(const struct lie *lie, bool request, uint32_t op, uint32_t number)
{
    return lie->request == request && lie->op == op &&
           (lie->number == LIE_EACH || lie->number == number);
}

/* The reply that a request like this had before, under the tag of this one. */
static void bent_early(struct bent_link *bent, uint32_t op, uint32_t tag)
{
    static uint8_t payload[BENT_PAYLOAD_MAX];
    struct bent_way *way = &bent->down;
    struct wire_message message;
    struct codec_texts texts;
    if (way->old_length[op] > 0 &&
        bent_decode(way, way->old[op], way->old_length[op], &message, &texts, payload)) {
        message.tag = tag;
        bent_put_message(way, &message, payload);
        *bent->believed |= bent_old_is_believed(false, op);
    }
}

/* One REQUEST or REPLY that has come: tell the lies that are for it. */
static void bent_pass(struct bent_link *bent, struct bent_way *way, const uint8_t *frame,
                      size_t length)
{
    static uint8_t payload[BENT_PAYLOAD_MAX];
    struct wire_message message;
    struct codec_texts texts;
    bool request = way == &bent->up;
    uint32_t times = 1;
    bool good = bent_decode(way, frame, length, &message, &texts, payload);
    if (!good || (message.type != WIRE_REQUEST && message.type != WIRE_REPLY)) {
        bent_put(way, frame, length);
        return;
    }
    uint32_t op = message.op, tag = message.tag;
    uint32_t number = way->counts[op]++;
    for (uint32_t i = 0; i < bent->lies_count; i++) {
        const struct lie *lie = &bent->lies[i];
        if (!bent_hits(lie, request, op, number))
            continue;
        bent_tell(bent, lie, &message, payload);
        *bent->about_details |= lie_is_of_details(op) && !bent_is_told(lie);
        if (lie->deed == LIE_TWICE) { /* the second one answers what is asked next */
            times++;
            *bent->believed |= bent_old_is_believed(request, op);
        }
        bent->cut |= lie->deed == LIE_CUT;
        if (lie->deed == LIE_OLD && way->old_length[op] > 0 &&
            bent_decode(way, way->old[op], way->old_length[op], &message, &texts, payload)) {
            message.tag = tag;
            *bent->believed |= bent_old_is_believed(request, op);
        }
        if (lie->deed == LIE_EARLY && request)
            bent_early(bent, op, tag);
    }
    for (uint32_t i = 0; i < times && !bent->cut; i++)
        if (!bent_put_message(way, &message, payload))
            bent_put(way, frame, length);
    memcpy(way->old[op], frame, length);
    way->old_length[op] = (uint32_t)length;
}

static bool bent_is_late(const struct bent_link *bent, const struct bent_way *way,
                         const uint8_t *frame)
{
    struct wire_message message;
    struct codec_texts texts;
    uint32_t body_bytes, payload_bytes;
    codec_decode_header(frame, &body_bytes, &payload_bytes);
    if (codec_decode(frame, WIRE_HEADER_BYTES + body_bytes, way->from, &message, &texts, NULL) <
            0 ||
        message.type != WIRE_REPLY)
        return false;
    for (uint32_t i = 0; i < bent->lies_count; i++) {
        const struct lie *lie = &bent->lies[i];
        if (lie->deed == LIE_LATE && bent_hits(lie, false, message.op, way->counts[message.op]))
            return true;
    }
    return false;
}

/* What is whole goes on, as long as there is room. */
static void bent_work(struct bent_link *bent, struct bent_way *way)
{
    size_t first, second;
    while (way->out_filled == 0 && !bent->cut &&
           (first = bent_whole(way, way->in, way->in_filled)) > 0) {
        if (!way->greeted) {
            bent_put(way, way->in, first);
            way->greeted = true;
        } else {
            second = bent_whole(way, way->in + first, way->in_filled - first);
            if (second > 0 && bent_is_late(bent, way, way->in))
                bent_pass(bent, way, way->in + first, second);
            else
                second = 0;
            bent_pass(bent, way, way->in, first);
            first += second;
        }
        memmove(way->in, way->in + first, way->in_filled - first);
        way->in_filled -= first;
    }
    if (bent->cut)
        shutdown(bent->pair->fd, SHUT_RDWR);
}

/* ---- the link ---- */

static void bent_push(struct bent_link *bent)
{
    struct bent_way *way = &bent->up;
    bent_work(bent, way);
    while (way->out_sent < way->out_filled) {
        ssize_t sent = pair_send(&bent->pair->link, way->out + way->out_sent,
                                 way->out_filled - way->out_sent, NULL);
        if (sent <= 0)
            return;
        way->out_sent += (size_t)sent;
    }
    way->out_sent = way->out_filled = 0;
}

static ssize_t bent_send(struct link *link, const void *data, size_t length, struct error *err)
{
    struct bent_link *bent = (struct bent_link *)link;
    struct bent_way *way = &bent->up;
    if (bent->cut)
        return error_set_class(err, ERROR_SOCKET, EPIPE, "%s: send: cut", link->peer);
    bent_push(bent);
    size_t room = way->out_filled > 0 ? 0 : sizeof(way->in) - way->in_filled;
    size_t taken = length < room ? length : room;
    memcpy(way->in + way->in_filled, data, taken);
    way->in_filled += taken;
    bent_push(bent);
    return (ssize_t)taken;
}

static ssize_t bent_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct bent_link *bent = (struct bent_link *)link;
    struct bent_way *way = &bent->down;
    ssize_t got = 0;
    bent_push(bent);
    if (way->out_filled == 0 && !bent->cut) {
        got = pair_recv(&bent->pair->link, way->in + way->in_filled,
                        sizeof(way->in) - way->in_filled, err);
        way->in_filled += got > 0 ? (size_t)got : 0;
        bent_work(bent, way);
    }
    size_t there = way->out_filled - way->out_sent;
    size_t given = capacity < there ? capacity : there;
    memcpy(buffer, way->out + way->out_sent, given);
    way->out_sent += given;
    if (way->out_sent == way->out_filled)
        way->out_sent = way->out_filled = 0;
    return given > 0 ? (ssize_t)given : bent->cut ? LINK_EOF : got > 0 ? 0 : got;
}

static int bent_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    struct bent_link *bent = (struct bent_link *)link;
    *events = (short)(wanted & LINK_RECV ? POLLIN : 0);
    if (bent->up.out_filled > 0 || wanted & LINK_SEND)
        *events |= POLLOUT;
    bool there = bent->down.out_filled > 0 || bent->cut ||
                 bent_whole(&bent->down, bent->down.in, bent->down.in_filled) > 0;
    return there && wanted & LINK_RECV ? -1 : bent->pair->fd;
}

static int bent_send_eof(struct link *link, struct error *err)
{
    struct bent_link *bent = (struct bent_link *)link;
    bent_push(bent);
    return bent->up.out_filled > 0 && !bent->cut ? -EAGAIN : pair_send_eof(&bent->pair->link, err);
}

static void bent_close(struct link *link)
{
    pair_close(&((struct bent_link *)link)->pair->link);
    free(link);
}

static const struct link_ops bent_ops = {
    .name = "bent",
    .send = bent_send,
    .recv = bent_recv,
    .wait_fd = bent_wait_fd,
    .send_eof = bent_send_eof,
    .status = pair_status,
    .last_words = pair_last_words,
    .close = bent_close,
};

/* The client's side; it closes the pair's. */
static struct bent_link *bent_open(struct pair_link *pair, const struct lie *lies, uint32_t count,
                                   bool *believed, bool *about_details)
{
    struct bent_link *bent = calloc(1, sizeof(*bent));
    if (!bent)
        abort();
    bent->link = pair->link;
    bent->link.ops = &bent_ops;
    bent->pair = pair;
    bent->lies = lies;
    bent->lies_count = count;
    bent->believed = believed;
    bent->about_details = about_details;
    bent->up.from = WIRE_CLIENT;
    bent->down.from = WIRE_SERVER;
    return bent;
}

#endif
