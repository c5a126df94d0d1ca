/* serve_state.h - private to serve*.c: one session with a client. */
#ifndef HAUL_COPY_SERVE_STATE_H
#define HAUL_COPY_SERVE_STATE_H

#include "haul/base/log.h"
#include "haul/disk/budget.h"
#include "haul/disk/kernel_memory.h"
#include "haul/disk/pressure.h"
#include "haul/disk/slab.h"
#include "haul/side/pockets.h"
#include "haul/side/side.h"
#include "haul/wire/serve.h"
#include "haul/wire/session.h"

enum serve_step {
    SERVE_IDLE,      /* the client may use this tag */
    SERVE_RECEIVING, /* its payload is arriving */
    SERVE_WORKING,   /* the end has it */
    SERVE_ANSWERING, /* its reply waits, or is being sent */
};

/* What is searched, apart from what is large. */
struct serve_name {
    uint32_t number; /* of the job, for the client */
    uint32_t next;   /* its place + 1, in the same row, or of those that were left; 0: none */
    bool used;
    bool passing; /* goes with its reply, and is in no row */
};

/* A file, from its OPEN to its COMMIT or ABANDON; or what a DESCRIBE is about (passing). */
struct serve_job {
    struct serve_name *name;
    bool open;      /* chunks may be asked for */
    bool touring;   /* entries of its walk may */
    bool exclusive; /* OPEN, COMMIT or ABANDON is under way */
    bool syncing;
    uint32_t inflight;
    struct job job;
    struct owner_names names[2];
    struct side_words words[2];
    struct wire_tally tally;
    char *texts; /* owned; its path, and those of its wish */
};

/* What a slot's buffer has, for who goes on with it. */
struct serve_held {
    enum side_op op; /* SIDE_OPS_COUNT: nothing */
    uint32_t number; /* of the job */
    uint32_t length;
    uint64_t offset;
    bool blocks; /* and its digests are those of its blocks */
};

struct serve_slot {
    struct slot slot;
    enum serve_step step;
    enum side_op op; /* as asked: the side may change slot.op */
    struct serve_job *job;
    struct serve_held held;
    bool damaged;
    struct serve_slot *making; /* MAKE: the next of those under way */
    struct serve_slot *behind; /* that MAKE is of the folder that this is in: it begins then */
};

enum { SERVE_NOTES_MAX = 16, SERVE_REAP_MAX = 16, SERVE_TAKES_MAX = 64, SERVE_FRESH_MAX = 64 };

struct serve {
    const struct serve_config *config;
    struct session session;
    struct wire_hello agreed;
    struct kernel_memory kernel;
    struct pressure pressure; /* looked at from the second second on */
    uint64_t began_ns;
    uint32_t doubts;   /* that the client was asked about ... */
    uint64_t asked_ns; /* ... then */
    uint64_t hello_ns; /* we have said it */
    uint64_t round_ns; /* the shortest way there and back; UINT64_MAX: not known yet */
    struct budget budget;
    struct slab slab;
    struct side *side;
    struct serve_slot *slots; /* those with a buffer, then those without */
    struct error *errors;     /* of the slots */
    uint32_t slots_total;
    struct serve_name *names; /* of the jobs, by the same index */
    struct serve_job *jobs;
    uint32_t jobs_count;
    uint32_t jobs_end;      /* those behind this were never used */
    uint32_t jobs_left;     /* the last one that was let go of: as serve_name.next */
    uint32_t jobs_open;     /* that are not passing */
    uint32_t *rows;         /* of these, by number % jobs_count: the first one, in the same way */
    uint8_t *digests;       /* of the slots with a buffer */
    uint8_t *sets;          /* the same */
    struct pockets pockets; /* for the others, one each; few of them are in use */
    struct queue lacking;   /* slots: TAKEs that wait for one */
    struct queue answers;   /* slots */
    uint32_t putting_count; /* DELIVERs that are not at their COMMIT yet */
    struct serve_slot *pressing;     /* the PRESS behind them; NULL: none */
    struct serve_slot *making;       /* MAKEs under way, and those that wait for one; by `making` */
    uint32_t behind_count;           /* slots that wait for one */
    uint64_t fresh[SERVE_FRESH_MAX]; /* folders that were made last, and were not there before */
    uint32_t fresh_next;
    bool leaving; /* nothing is begun any more */
    bool bye;     /* the client has said it */
};

static inline struct serve_slot *serve_slot_of(struct slot *slot)
{
    return (struct serve_slot *)((char *)slot - offsetof(struct serve_slot, slot));
}

/* serve_request.c: what a client asks, checked and started; and the replies. */

/* A request came; and its payload, if it has one. ERROR_PROTOCOL: what is not allowed about it. */
int serve_request(struct serve *self, const struct wire_message *request, struct error *err);
void serve_payload(struct serve *self, struct slot *slot, bool damaged);
/* Collect what the end has done. 0 or the side's own failure. */
int serve_reap(struct serve *self, bool wait, struct error *err);
/* The next reply becomes a frame; false: there is none. It has been sent. */
bool serve_put_answer(struct serve *self);
void serve_answer_sent(struct serve *self, struct slot *slot);
/* Nothing is in flight at the end any more: sync and abandon what is open. */
void serve_abandon_all(struct serve *self);

/* serve_notes.c: lines of the log on their way to the client. */
struct serve_notes;
struct serve_notes *serve_notes_open(enum log_level level);
/* The oldest line; false: none. */
bool serve_notes_take(struct serve_notes *notes, enum log_level *level, char line[WIRE_NOTE_BYTES]);
void serve_notes_close(struct serve_notes *notes);

#endif
