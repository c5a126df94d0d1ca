/* end_peer_state.h - private to end_peer*.c: one session with a server. */
#ifndef HAUL_COPY_END_PEER_STATE_H
#define HAUL_COPY_END_PEER_STATE_H

#include "haul/end_peer.h"
#include "haul/pack.h"
#include "haul/stream.h"

enum peer_step {
    PEER_IDLE,      /* the caller has the slot, or it waits to be reaped */
    PEER_QUEUED,    /* its request is not sent, or not completely */
    PEER_ASKED,     /* the other side works on it */
    PEER_RECEIVING, /* its payload is arriving */
};

struct peer_work {
    struct slot *slot;
    enum peer_step step;
    uint32_t resends;
};

/* Linked by slot->next. */
struct peer_list {
    struct slot *first, *last;
};

struct peer_job {
    bool used;
    uint32_t number;
    struct wire_tally tally;
};

struct end_peer {
    struct end end;
    struct end_peer_config config;
    struct end_peer_limits limits;
    struct stream stream;
    uint64_t ping_ns;
    struct peer_work *works; /* by slot index */
    uint32_t works_count;
    struct peer_job *jobs; /* limits.jobs_max */
    struct peer_list queue, ready;
    struct slot *sending, *receiving;
    uint32_t receiving_bytes; /* of that payload; less than the chunk: it is packed */
    struct pack *pack;        /* NULL: payloads go as they are */
    bool pong_due;
    bool told;   /* the other side has said BYE */
    bool broken; /* nothing is sent or received any more */
    struct error why;
    uint64_t asked_ns;              /* since when we have been waiting without a break */
    uint64_t stopped_ns;            /* since when we are to stop; 0: we are not */
    uint64_t moved_ns, moved_bytes; /* when WIRE_SIGN_BYTES more were sent or received, and how many
                                       there were then */
    uint64_t resent;
    uint64_t counted_sent_bytes, counted_received_bytes;
    struct stream_chatter chatter; /* since the last reply */
};

static inline struct end_peer *end_peer_of(struct end *end)
{
    return (struct end_peer *)end;
}

/* end_peer.c */
extern const struct end_ops end_peer_ops;
void end_peer_break(struct end_peer *self, const struct error *why);
void end_peer_message(struct end_peer *self, const struct wire_message *message);
bool end_peer_turn(struct end_peer *self);
void end_peer_wait(struct end_peer *self);

/* end_peer_session.c */
void end_peer_close(struct end *end);

#endif
