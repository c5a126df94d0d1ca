/* fuzz_wire.h - the input of fuzz_wire_client and fuzz_wire_server: what the other side says, as a
 * link that ends with it.
 *
 *   byte 0   bit 0: the bytes come as they are, greeting and all. Else a good greeting is put
 *            before them, and the checksum of every frame is put right: mutations hardly ever keep
 *            one, and the interesting code stands behind it.
 *            bit 1: the role of the server: source or target
 *            bit 2: payloads may be packed: the other side's greeting offers it, and our client
 *            wishes it
 *   1 ...    frames, with their payloads */
#ifndef HAUL_TESTS_FUZZ_WIRE_H
#define HAUL_TESTS_FUZZ_WIRE_H

#include "haul/base/hash.h"
#include "haul/net/link.h"
#include "haul/wire/codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FUZZ_RAW = 1, FUZZ_TARGET = 2, FUZZ_PACK = 4, FUZZ_CHUNK_BYTES = 64 * 1024, FUZZ_SLOTS = 2 };

struct fuzz_link {
    struct link link;
    uint8_t *data;
    size_t length, position;
    uint32_t pause, paused;
};

static ssize_t fuzz_send(struct link *link, const void *data, size_t length, struct error *err)
{
    (void)link;
    (void)data;
    (void)err;
    return (ssize_t)length;
}

static ssize_t fuzz_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct fuzz_link *fuzz = (struct fuzz_link *)link;
    size_t left = fuzz->length - fuzz->position, count = capacity < left ? capacity : left;
    (void)err;
    /* Before each frame, so that one is worked on before the next one is there. */
    if (capacity == WIRE_HEADER_BYTES && fuzz->paused++ < fuzz->pause)
        return 0;
    fuzz->paused = 0;
    memcpy(buffer, fuzz->data + fuzz->position, count);
    fuzz->position += count;
    return count > 0 ? (ssize_t)count : LINK_EOF;
}

static int fuzz_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    (void)link;
    (void)wanted;
    *events = 0;
    return -1;
}

static int fuzz_send_eof(struct link *link, struct error *err)
{
    (void)link;
    (void)err;
    return 0;
}

static int fuzz_status(struct link *link, int *status)
{
    (void)link;
    *status = 0;
    return -ENODATA;
}

static const char *fuzz_last_words(struct link *link)
{
    (void)link;
    return "";
}

static void fuzz_close(struct link *link)
{
    free(((struct fuzz_link *)link)->data);
    free(link);
}

static const struct link_ops fuzz_ops = {
    .name = "fuzz",
    .send = fuzz_send,
    .recv = fuzz_recv,
    .wait_fd = fuzz_wait_fd,
    .send_eof = fuzz_send_eof,
    .status = fuzz_status,
    .last_words = fuzz_last_words,
    .close = fuzz_close,
};

static void fuzz_put_right(uint8_t *frame, uint32_t body_bytes, enum wire_side from)
{
    const uint64_t seeds[] = {UINT64_C(0x6861756c00000001), UINT64_C(0x6861756c00000002)};
    uint64_t sum = checksum_of(frame + 16, body_bytes, checksum_of(frame, 12, seeds[from]));
    for (int i = 0; i < 4; i++)
        frame[12 + i] = (uint8_t)(sum >> (8 * i));
}

static void fuzz_put_all_right(uint8_t *data, size_t length, enum wire_side from)
{
    size_t position = 0;
    while (length - position >= WIRE_HEADER_BYTES) {
        uint32_t body_bytes, payload_bytes;
        if (codec_decode_header(data + position, &body_bytes, &payload_bytes) < 0 ||
            body_bytes > length - position - WIRE_HEADER_BYTES)
            return;
        fuzz_put_right(data + position, body_bytes, from);
        position += WIRE_HEADER_BYTES + body_bytes;
        if (payload_bytes > length - position)
            return;
        position += payload_bytes;
    }
}

static inline struct wire_hello fuzz_hello(uint8_t flags)
{
    return (struct wire_hello){
        .capabilities = flags & FUZZ_PACK ? 1 : 0,
        .choices = codec_choices_known(),
        .session = 1,
        .role = flags & FUZZ_TARGET ? 1 : 0,
        .engine = 3,
        .lanes = 1,
        .slots_count = FUZZ_SLOTS,
        .control_count = 1,
        .jobs_max = 2,
        .chunk_bytes = FUZZ_CHUNK_BYTES,
        .ping_ms = WIRE_PING_MS,
    };
}

/* `from` says the input. NULL: there is none. */
static inline struct fuzz_link *fuzz_link_open(const uint8_t *data, size_t length,
                                               enum wire_side from)
{
    struct fuzz_link *fuzz = calloc(1, sizeof(*fuzz));
    size_t before = 0;
    if (!fuzz || !(fuzz->data = malloc(length + WIRE_PREAMBLE_BYTES + WIRE_FRAME_BYTES_MAX)))
        abort();
    fuzz->link.ops = &fuzz_ops;
    fuzz->pause = from == WIRE_CLIENT ? 3 : 1; /* a server's loop works, answers, reads */
    strcpy(fuzz->link.peer, "far");
    strcpy(fuzz->link.program, "haul");
    if (!(data[0] & FUZZ_RAW)) {
        const struct wire_message message = {
            .type = WIRE_HELLO, .tag = WIRE_TAG_NONE, .hello = fuzz_hello(data[0])};
        codec_encode_preamble(fuzz->data, "0", from);
        before = WIRE_PREAMBLE_BYTES;
        before += (size_t)codec_encode(fuzz->data + before, &message, from);
    }
    memcpy(fuzz->data + before, data + 1, length - 1);
    fuzz->length = before + length - 1;
    if (!(data[0] & FUZZ_RAW))
        fuzz_put_all_right(fuzz->data + before, length - 1, from);
    return fuzz;
}

#endif
