/* stream.h - frames over a link, without blocking: what is half sent or half received is kept as
 * state. Knows no fields.
 *
 * Memory: one frame without its payload in either direction, and the texts of the message that was
 * received last. Small messages are gathered, with their payloads, and sent together; what arrives
 * is taken in one go, whatever it is made of. Large payloads go straight from and to the caller's
 * buffers. */
#ifndef HAUL_STREAM_H
#define HAUL_STREAM_H

#include "haul/net/link.h"
#include "haul/wire/codec.h"

enum {
    STREAM_GATHER_BYTES = 32 * 1024, /* another message is put only while no more waits */
    STREAM_COPY_BYTES = 16 * 1024,   /* payloads up to this are gathered, too */
    STREAM_OUT_BYTES = STREAM_GATHER_BYTES + WIRE_FRAME_BYTES_MAX + STREAM_COPY_BYTES,
};

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
    uint64_t told_bytes;      /* of ours have arrived there, it has said last */
    uint64_t delivered_bytes; /* it said then that so many had arrived ... */
    uint64_t put_bytes, arrived_bytes; /* ours up to now, the other's */
    uint64_t wanted_bytes;             /* ... and has to say so many to be alive */

    uint32_t in_start, in_end; /* what was received and not taken yet */
    uint32_t in_length;        /* of its first frame; 0 until the header is there */
    bool in_more;              /* some of it may be taken without anything else */
    uint8_t *payload_in;       /* where it goes */
    uint32_t payload_in_left;
    struct stream_runs runs_in;
    uint32_t out_sent, out_length;
    const uint8_t *payload_out; /* behind what is in `out` */
    uint32_t payload_out_left;
    struct stream_runs runs_out;

    /* No page before it is used. */
    uint8_t in[WIRE_FRAME_BYTES_MAX];
    uint8_t out[STREAM_OUT_BYTES];
    struct codec_texts texts;
};

/* payload_bytes_max 0 until HELLO has been exchanged. The link stays the caller's. */
void stream_init(struct stream *stream, struct link *link, enum wire_side side);

/* Send our preamble and check the other's. Blocks for at most timeout_ns. Errors, with words:
 * ERROR_VERSION (-EPROTONOSUPPORT), ERROR_PROTOCOL (-EPROTO: something else is talking; says what
 * arrived), ERROR_TIMEOUT, the link's own; LINK_EOF with err unset. */
int stream_greet(struct stream *stream, const char *program, uint64_t timeout_ns,
                 struct error *err);

/* Is anything not sent yet? */
bool stream_sending(const struct stream *stream);

/* May another message be put behind that? Else it has to be flushed first. */
bool stream_has_room(const struct stream *stream);

/* Which bytes of the payload travel: all where set is NULL, else the blocks in it, of `length`
 * bytes. */
struct stream_payload {
    const void *data;
    const uint8_t *set;
    uint32_t length;
};

/* A message becomes a frame to be sent, where there is room (assert). 0; 1: its payload stays the
 * caller's, and must stay as it is until all is sent; or -ENAMETOOLONG: nothing has changed. Sends
 * nothing yet. */
int stream_put(struct stream *stream, struct wire_message *message, struct stream_payload payload);

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
/* There may be more, though the link has nothing: it is here already. */
bool stream_has_more(const struct stream *stream);
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
