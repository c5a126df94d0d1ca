/* stream.h - frames over a link, without blocking: what is half sent or half received is kept as
 * state. Knows no fields.
 *
 * Memory: one frame without its payload in either direction, and the texts of the message that was
 * received last. Payloads go straight from and to the caller's buffers. */
#ifndef HAUL_STREAM_H
#define HAUL_STREAM_H

#include "haul/net/link.h"
#include "haul/wire/codec.h"

/* Which parts of a buffer travel: all, or the blocks of a set. */
struct stream_runs {
    const uint8_t *set;  /* NULL: all */
    uint32_t length;     /* of the buffer */
    uint32_t start, end; /* of the run that is moved, as far as it is not moved yet */
};

/* Both directions over one link. */
struct stream {
    struct link *link;
    enum wire_side side;
    uint32_t payload_bytes_max; /* that may arrive */
    uint64_t sent_ns;           /* when bytes last went out */

    /* Signs of life, in either direction; see stream_alive_ns(). All bytes are those of frames and
     * payloads since the preambles. */
    uint64_t heard_ns,
        heard_bytes;          /* a whole frame, or WIRE_SIGN_BYTES, arrived; then so many had */
    uint64_t delivered_ns;    /* the other side has got what it was sent by then */
    uint64_t delivered_bytes; /* it said then that so many had arrived ... */
    uint64_t put_bytes, arrived_bytes; /* ours up to now, the other's */
    uint64_t wanted_bytes;             /* ... and has to say so many to be alive */

    uint8_t in[WIRE_FRAME_BYTES_MAX];
    uint32_t in_filled, in_length; /* in_length: 0 until the header is there */
    uint8_t *payload_in;           /* where it goes */
    uint32_t payload_in_left;
    struct stream_runs runs_in;
    struct codec_texts texts;

    uint8_t out[WIRE_FRAME_BYTES_MAX];
    uint32_t out_sent, out_length;
    const uint8_t *payload_out;
    uint32_t payload_out_left;
    struct stream_runs runs_out;
};

/* payload_bytes_max 0 until HELLO has been exchanged. The link stays the caller's. */
void stream_init(struct stream *stream, struct link *link, enum wire_side side);

/* Send our preamble and check the other's. Blocks for at most timeout_ns. Errors, with words:
 * ERROR_VERSION (-EPROTONOSUPPORT), ERROR_PROTOCOL (-EPROTO: something else is talking; says what
 * arrived), ERROR_TIMEOUT, the link's own; LINK_EOF with err unset. */
int stream_greet(struct stream *stream, const char *program, uint64_t timeout_ns,
                 struct error *err);

/* Is a frame not sent completely? Until then stream_put() may not be called (assert). */
bool stream_sending(const struct stream *stream);

/* A message becomes the frame to be sent; its payload stays the caller's, and must stay as it is
 * until it is sent. 0, or -ENAMETOOLONG: nothing has changed. Sends nothing yet. */
int stream_put(struct stream *stream, struct wire_message *message, const void *payload);
/* The same, then: of the payload, which has `length` bytes, only the blocks in `set` travel. */
void stream_put_runs(struct stream *stream, const uint8_t *set, uint32_t length);

/* Send what can be sent now. 1: all is sent; 0: later; -errno of the link, with words. */
int stream_flush(struct stream *stream, struct error *err);

enum stream_event {
    STREAM_LATER,   /* nothing more now */
    STREAM_MESSAGE, /* *message is there. With payload_bytes: stream_payload_into() must follow */
    STREAM_PAYLOAD, /* the payload of the last message is complete */
};

/* Receive what is there. One of the above, LINK_EOF (err unset; the other side has ended, perhaps
 * within a frame), or -errno with words. The texts of the message live until the next call. */
int stream_get(struct stream *stream, struct wire_message *message, struct error *err);
void stream_payload_into(struct stream *stream, void *buffer, uint32_t length);
/* The same, then: it has only the blocks in `set` of `length` bytes; others are left alone. */
void stream_payload_runs(struct stream *stream, const uint8_t *set, uint32_t length);

/* Since when there has been no sign of life. That bytes trickle in is none, nor that the other side
 * says PING but nothing of ours arrives there: a whole frame must come in, or WIRE_SIGN_BYTES of a
 * payload, and the other side must tell, in PING or PONG, or by a REPLY, that what we said arrives.
 * (While it sends a payload it cannot tell.) */
uint64_t stream_alive_ns(const struct stream *stream);

/* stream_put and stream_flush, stream_get until a message is there; blocking, for HELLO and BYE.
 * PINGs and PONGs are not skipped. */
int stream_send_now(struct stream *stream, struct wire_message *message, uint64_t timeout_ns,
                    struct error *err);
int stream_recv_now(struct stream *stream, struct wire_message *message, uint64_t timeout_ns,
                    struct error *err);

/* -EPROTO, class ERROR_PROTOCOL: "PEER: protocol error: ...". */
int stream_violation(const struct stream *stream, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
