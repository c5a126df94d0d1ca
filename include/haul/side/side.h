/* side.h - one side of the copy. The wire is this interface, serialised.
 *
 * A side starts work on a slot and hands the slot back when the work is done; it never calls
 * anybody back. `local` works on local files, `peer` on another process's side. The side
 * obeys: which chunk, whether it is wanted, when to sync, are decisions of the pump and the plan
 * (the client). A slot names its job, so that many files can be in flight; opening, syncing and
 * committing a file are slot operations like fetching and storing.
 *
 * A check reads the target's chunk *first* and fetches the source's only into the same buffer
 * afterwards, on the condition that its digest differs. So a check needs one buffer, not two, and
 * costs one round trip in either direction of a remote copy. */
#ifndef HAUL_SIDE_H
#define HAUL_SIDE_H

#include "haul/base/error.h"
#include "haul/side/slot.h"

#include <stdbool.h>
#include <stdint.h>

struct side;
struct place;           /* place.h */
struct attributes_told; /* attributes.h */
struct kernel_memory;   /* kernel_memory.h */

struct side_ops {
    /* Start slot->op. May not block for data I/O. Always takes the slot; failures come back with
     * it. */
    void (*start)(struct side *side, struct slot *slot);
    /* Up to max slots that are done. wait: block until something happened (0 slots are possible
     * then, too). Also asked with nothing in flight, without wait: a connection is kept alive.
     * Returns the count, or -errno: the side is broken and gives back nothing more by itself. */
    int (*reap)(struct side *side, struct slot **out, uint32_t max, bool wait);
    /* What to poll for: a descriptor and POLLIN/POLLOUT; -1: reap has work now or does it itself.
     */
    int (*wait_fd)(struct side *side, short *events);
    /* Waits for everything in flight, then frees. What is not committed is abandoned. */
    void (*close)(struct side *side);
};

/* Implementations put this first. */
struct side {
    const struct side_ops *ops;
    enum side_role role;
    uint32_t inflight;  /* slots with this side */
    bool broken;        /* for good: whatever is started fails */
    bool lost;          /* that, since the link to it ended or fell silent: another may be made */
    struct error error; /* in words why it is broken: reap has failed */
};

/* Start `op` on the slot, which is the side's until reap gives it back; returns at once. reap: how
 * many came back, waiting for one if asked; -errno: the side is broken, `error` says why. wait_fd:
 * what to poll for; -1: reap has something now. */
void side_start(struct side *side, struct slot *slot, enum side_op op);
int side_reap(struct side *side, struct slot **out, uint32_t max, bool wait);
int side_wait_fd(struct side *side, short *events);
void side_close(struct side *side); /* NULL is legal */

/* Of an ERASE: does it lie in more than one chunk? */
bool side_erases_many(const struct slot *slot);

/* One operation from start to finish, for whoever has nothing else to do: a server that lets go of
 * its files. Nothing else may be in flight at this side: -EIO when something was left behind in a
 * broken one. Returns slot->result or the side's failure; the words are put into err. Blocks. */
int side_call(struct side *side, struct slot *slot, enum side_op op, struct error *err);

/* A local side. The engine's depth is set here; `slab` is the slots' memory, for registration.
 * in_flight_bytes is what the slots can hold: the cache may grow by so much, and no more, before
 * O_DIRECT is called a lie. */
struct local_config {
    enum side_role role;
    struct engine_config engine;
    uint32_t slots_count; /* control slots included */
    uint32_t window_bytes;
    uint32_t windows_count;  /* open at a time; 0: 3 */
    bool windows_do_not_fit; /* into the memory there is: a file that needs them is refused */
    uint64_t in_flight_bytes;
    uint32_t jobs_max;  /* files open at the same time ... */
    uint32_t small_max; /* ... and small ones that were put and not committed */
    /* Where the jobs' paths are resolved, and what may be done there; NULL: on the whole machine.
     * A role that the place does not allow: -EACCES. Beneath a place --journal is refused, devices
     * are, and no set-id bits are set. Where it may not be read, a target tells nothing of itself:
     * DESCRIBE tells only folders, OPEN empties the file and always calls it fresh and not
     * readable, there is no journal, and operations that read are refused. */
    const struct place *place;
    /* A target: the source of the same lane, where it is a local one, for CARRY. It is closed after
     * this one. Else NULL. */
    struct side *source;
    struct kernel_memory *kernel; /* the run's; NULL: nobody asks what names cost */
    struct attributes_told *told; /* the run's; NULL: the side's own */
    /* A server's: see local_doubts(); so long an operation takes without one. 0: there are none. */
    uint64_t doubt_ns;
    bool is_server; /* our own standard input and output are a link, and no pipes to be copied */
    struct engine
        *given; /* use this one (the tests' simulation) and close it with the side; else NULL */
};
int local_open(struct side **out, const struct local_config *config, struct error *err);

/* Nobody waits for what was begun any more, and perhaps somebody else does the same again: of that,
 * what resolves a path and has not begun fails instead, since what it would find may be another's
 * finished file by then; pipes are cancelled. What is open stays locked, and its steps go on. All
 * of it comes back by reap. */
void local_desert(struct side *side);

/* Operations that change what is at a path of the target, and come to that so long after they were
 * asked for that the client may be lost, though nobody has told us, and somebody else have written
 * and finished the same meanwhile. Nothing is changed before the client has given a sign that it
 * has not had before. What is locked by then is found so by who comes later; what has no lock is
 * changed in time, counted from that sign, or asks again. 0: there are none; else the number of the
 * last one, which is told to local_assure() with the sign that was asked for then, and when the
 * client has lived at least. */
uint32_t local_doubts(const struct side *side);
void local_assure(struct side *side, uint32_t doubts, uint64_t alive_ns);

#endif
