/* serve_state.h - private to serve*.c: one session with a client. */
#ifndef HAUL_COPY_SERVE_STATE_H
#define HAUL_COPY_SERVE_STATE_H

#include "haul/budget.h"
#include "haul/end.h"
#include "haul/log.h"
#include "haul/pack.h"
#include "haul/serve.h"
#include "haul/slab.h"
#include "haul/stream.h"

enum serve_step {
    SERVE_IDLE,      /* the client may use this tag */
    SERVE_RECEIVING, /* its payload is arriving */
    SERVE_WORKING,   /* the end has it */
    SERVE_ANSWERING, /* its reply waits, or is being sent */
};

/* A file, from its OPEN to its COMMIT or ABANDON; or what a DESCRIBE is about (passing). */
struct serve_job {
    bool used;
    bool passing;   /* goes with its reply */
    bool open;      /* chunks may be asked for */
    bool exclusive; /* OPEN, COMMIT or ABANDON is under way */
    bool syncing;
    uint32_t inflight;
    struct job job;
    struct wire_tally tally;
    char path[WIRE_PATH_BYTES_MAX], journal_path[WIRE_PATH_BYTES_MAX];
    char chown[WIRE_CHOWN_BYTES];
};

struct serve_slot {
    struct slot slot;
    enum serve_step step;
    enum end_op op; /* as asked: the end may change slot.op */
    struct serve_job *job;
    bool damaged;
};

enum { SERVE_NOTES_MAX = 16, SERVE_REAP_MAX = 16 };

struct serve {
    const struct serve_config *config;
    struct stream stream;
    enum end_role role;
    uint64_t session; /* of HELLO */
    struct budget budget;
    struct slab slab;
    struct end *end;
    struct serve_slot *slots;
    uint32_t lanes;                    /* that there is memory for */
    uint32_t slots_count, slots_total; /* with a buffer; with those without */
    struct serve_job *jobs;
    uint32_t jobs_count, jobs_max;
    struct slot *answers, *answers_last; /* linked by next */
    struct serve_slot *sending, *receiving;
    uint32_t receiving_bytes; /* of that payload; less than the chunk: it is packed */
    struct pack *pack;        /* NULL: payloads go as they are */
    uint64_t ping_ns;
    bool pong_due;
    bool bye;                      /* the client has said it */
    struct stream_chatter chatter; /* since the last request */
};

static inline struct serve_slot *serve_slot_of(struct slot *slot)
{
    return (struct serve_slot *)((char *)slot - offsetof(struct serve_slot, slot));
}

/* serve_request.c: what a client asks, checked and started; and the replies. */

/* A request came. NULL, or what the protocol does not allow about it. */
const char *serve_request(struct serve *self, const struct wire_message *message);
void serve_payload(struct serve *self);
/* Collect what the end has done. 0 or the end's own failure. */
int serve_reap(struct serve *self, bool wait, struct error *err);
/* The next reply becomes a frame. false: there is none. */
bool serve_put_answer(struct serve *self);
void serve_answer_sent(struct serve *self);
/* Nothing is in flight at the end any more: sync and abandon what is open. */
void serve_abandon_all(struct serve *self);

/* serve_notes.c: lines of the log on their way to the client. */
struct serve_notes;
struct serve_notes *serve_notes_open(enum log_level level);
/* The oldest line; false: none. */
bool serve_notes_take(struct serve_notes *notes, enum log_level *level, char line[WIRE_NOTE_BYTES]);
void serve_notes_close(struct serve_notes *notes);

#endif
