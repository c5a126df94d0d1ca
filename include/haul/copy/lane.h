/* lane.h - one thread's worth of a copy: two sides, the slots between them, and a pump.
 *
 * Lanes share a file's plan and counters, nothing else. Files live in the first lane, which makes
 * their journals; further lanes (remote copies: one SSH session is bounded by one core of sshd)
 * join one that is large. Any lane that is still alive can commit it. */
#ifndef HAUL_LANE_H
#define HAUL_LANE_H

#include "haul/base/control.h"
#include "haul/copy/copy.h"
#include "haul/copy/lane_trial.h"
#include "haul/copy/life.h"
#include "haul/copy/pump.h"
#include "haul/disk/budget.h"
#include "haul/disk/slab.h"
#include "haul/net/address.h"
#include "haul/side/pockets.h"
#include "haul/side/side.h"
#include "haul/wire/peer.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LANE_JOBS_MAX = 64,  /* files open at the same time ... */
    LANE_JOBS_ALONE = 8, /* ... where there is one: what is asked before it is copied, its syncs */
    LANE_SMALL_HERE = 288, /* ... and small ones, that go as a whole: a batch, and a little ... */
    LANE_SMALL_MAX = 832,  /* ... but where a side is far away the next one is on its way while one
                              becomes durable */
    /* A step for each of them: commits share their syncs. */
    LANE_CONTROL_SLOTS = LANE_JOBS_MAX + LANE_SMALL_MAX,
    LANE_POCKETS = 64, /* small buffers, where a side is far away: for what is to be sent, or has
                          come; on the way it needs none */
    LANE_CARRIES = 32, /* else so many are for CARRY without one: threads find something to do */
    LANES_MAX = 8,
    LANES_AUTO_MAX = 4,
};

/* The memory of all slots of a run, in as many parts as there may be lanes. A lane is of one part,
 * but the first of an automatic number, which has all as long as no other takes part. */
struct lane_pool {
    struct slab slab;
    bool taken[LANES_MAX];
};

struct attributes_told;
struct kernel_memory;

struct lane_config {
    const struct copy_wish *wish;
    const struct address *addresses[2]; /* by role; NULL or local: this machine */
    const struct budget *budget;        /* slots_count is for all lanes together */
    uint32_t lanes;                     /* that may share both sides' memory */
    uint32_t chunk_bytes;               /* further lanes: the first one's at most; else 0 */
    uint64_t session;
    struct progress *progress;
    struct control *control;
    struct kernel_memory *kernel;
    struct attributes_told *told;
    struct ask_memory *memory; /* passwords for the next lane */
    struct lane_pool *pool;    /* all zeros before the first lane */
};

struct lane {
    struct pump pump; /* its sides and slots are this lane's */
    bool remote[2];
    struct lane_pool *pool;
    uint32_t part;                                     /* of the pool */
    uint32_t slots_first;                              /* in the pool */
    struct slot slots[SLOTS_MAX + LANE_CONTROL_SLOTS]; /* the control slots are the last in use */
    uint8_t sets[SLOTS_MAX][BLOCKS_SET_BYTES];         /* of blocks: for each slot with a buffer */
    struct pockets pockets;
    uint8_t *digests; /* of the blocks of chunks: some for each slot with a buffer */
    uint32_t slots_count;
    uint32_t control_count; /* a file each ... */
    uint32_t small_most;    /* ... of these so many that go as a whole */
    uint32_t chunk_bytes;   /* the most that both sides take */
    uint32_t lanes_most;    /* that the other sides have memory for */
    uint32_t jobs_most;     /* files open at the same time, as far as both sides go */
    struct life helper;     /* a further lane's view of the file that it has joined */
    struct owner_names helper_names[2];
    struct side_words helper_words[2];
    struct error helper_error,
        errors[SLOTS_MAX + LANE_CONTROL_SLOTS]; /* no page before a failure */
};

/* Open both sides and the slots. Blocks for the logins. On failure nothing is left. */
int lane_open(struct lane **out, const struct lane_config *config, struct error *err);

/* Open the file of `lead` at this lane's ends, too. ERROR_MEMORY: its chunks do not fit in here.
 * Blocks. */
int lane_join(struct lane *lane, const struct life *lead, struct error *err);

/* The joined lane does its part of the copy, until its life is parked. Blocks. */
void lane_run(struct lane *lane);

/* It lets go of the file that it had joined, which is parked and has not failed, without waiting
 * for the others. Blocks. */
void lane_leave(struct lane *lane);

/* Leave the slots from `first` of the pool on to other lanes; UINT32_MAX: have all again. false: it
 * still uses some of them. */
bool lane_lend(struct lane *lane, uint32_t first);

/* peer_look() and peer_idle() of the far sides of this lane, the busier one. */
void lane_look(struct lane *lane);
struct peer_idle lane_far_idle(const struct lane *lane);

/* peer_round_trip_ns() of its far sides, the longer one. */
uint64_t lane_round_trip_ns(const struct lane *lane);

/* Has it joined the file of that number, and not let go of it? */
bool lane_helps(const struct lane *lane, uint32_t number);

/* A link of this lane is gone. */
bool lane_broken(const struct lane *lane);

/* The same of a lane that nobody has looked after for a while: what its peers have said since, a
 * goodbye perhaps, is read first. Nothing may be in flight in it. */
bool lane_lost(struct lane *lane);

/* Its links that are gone have gone by themselves, so they may be dialled again. */
bool lane_may_redial(const struct lane *lane);

/* New links for those that are gone; nothing lives in it. On failure it stays as it was. Blocks for
 * the logins. */
int lane_redial(struct lane *lane, const struct lane_config *config, struct error *err);

void lane_close(struct lane *lane); /* NULL is legal */

/* All of them, LANES_MAX places: a goodbye takes some round trips, which go by for all at once.
 * Blocks. */
void lane_close_all(struct lane **lanes);

/* ---- further lanes of one file ---- */

/* Opens lanes one after the other (sshd's MaxStartups) and runs each in a thread of its own, while
 * the caller runs the first. */
struct lane_team;

struct lane_team_config {
    const struct lane_config *lane;
    struct lane **lanes; /* LANES_MAX places; [0] is the first lane; open ones are used again for
                            the next file */
    uint32_t lanes_wish; /* 0: from 1 to LANES_AUTO_MAX, as this decides: */
    struct lane_trial *trial;
    uint64_t waiting_bytes; /* in files behind this one, as far as they are known */
    struct life *lead;      /* COPYING in the first lane */
};

/* Start the threads. -errno with err: none runs. */
int lane_team_start(struct lane_team **out, const struct lane_team_config *config,
                    struct error *err);

/* No more lanes. The plan has ended or was cancelled. true: none of them runs any more. */
bool lane_team_over(struct lane_team *team);

/* Waits for all threads, gives the first lane its slots back, and counts for the file what closed
 * lanes have done. Frees it; NULL is legal. */
void lane_team_finish(struct lane_team *team);

#endif
