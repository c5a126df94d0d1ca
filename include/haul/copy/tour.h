/* tour.h - a tree, from the source's side to the target's: what the source's walk tells becomes
 * files that are copied (lives), folders, links and nodes that are made, and names that are
 * removed.
 *
 * Nothing of it waits: whoever runs the pump gives a tour its turn, and takes its events, of which
 * each holds up to one of TOUR_TASKS_MAX places, or of TOUR_TASKS_HERE where no side is far away,
 * until it is taken. So memory depends neither on how
 * many names there are nor on how many are in one folder; the folders above the one that is walked
 * are kept, and those in which something is still under way.
 *
 * A folder is made before anything in it, and gets its mode and times when all in it is done. What
 * cannot be made is left out with all that is in it. An error is a name's, and the others go on. */
#ifndef HAUL_TOUR_H
#define HAUL_TOUR_H

#include "haul/copy/life.h"
#include "haul/copy/pump.h"
#include "haul/disk/spill.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOUR_TASKS_HERE = 320, TOUR_TASKS_MAX = 896, TOUR_BYTES = 256 * 1024 };

/* A source of the run that brings something into the same folder of the target: what it has is not
 * taken away by the tour of another. */
struct tour_source {
    const char *name; /* beneath both; "": its content is meant. A tree is a folder, or is not */
    struct job_root root; /* number 0: it is no tree */
    char **inside;        /* where it lies itself beneath the target's root; NULL: it does not, or
                             nothing is deleted */
};

/* One operand. The texts stay the caller's. */
struct tour_start {
    struct job_root roots[2]; /* by role; the target's folder is there, unless target_absent */
    const char *path;         /* beneath both of them; "": the source's root itself */
    bool target_absent;       /* --dry-run: a run would make it */
    bool target_fresh;        /* it was made for this, and nothing is in it */
    bool target_made;         /* by this run, for this source or others */
    const struct life_nearest *nearest; /* target_absent: who is asked about what is in it */
    bool broken; /* an error of the source came before it: nothing is deleted */
    const struct tour_source *sources; /* all of the run, its own too */
    uint32_t sources_count;
    struct facts target; /* of the target's root, where it is there: it is never copied into
                            itself */
};

enum tour_event_kind {
    TOUR_FILE,    /* a regular file has ended: life */
    TOUR_MADE,    /* anything else is as it should be */
    TOUR_REMOVED, /* of the target, by --delete */
    TOUR_PAST,    /* left out as it was asked for */
    TOUR_FAILED,  /* could not be looked at, made, removed: error */
    TOUR_OVER,    /* the last one: outcome, of all but files */
};

/* Until the next one is taken. */
struct tour_event {
    enum tour_event_kind kind;
    const char *path; /* beneath the roots; "": the root itself */
    enum file_kind file_kind;
    const char *link_text; /* of a symbolic link, or the other name of a hard link */
    bool hard_link;
    enum job_made made;
    const char *changes;     /* as rsync itemizes them; "": none */
    const struct life *life; /* FILE */
    const struct error *error;
    struct outcome outcome;      /* OVER */
    uint64_t held_back;          /* OVER: names at least that --max-delete has left */
    const uint64_t *lost_counts; /* OVER: as of receipts, of all that are no files */
};

/* Files with several names, from one tour to the next into the same folder of the target. NULL: no
 * memory; NULL is legal. */
struct tour_links;
struct tour_links *tour_links_open(void);
void tour_links_close(struct tour_links *links);

/* `moved` has the names beneath the target whose sources have gone, or go, in a run: nothing else
 * is written in their place, and --delete leaves them. This is one, of that source. Beneath its
 * folder; with folders on the way it is a tour's to tell. -errno with words: its source has to
 * stay. */
int tour_moved_add(struct spill *moved, const char *path, uint32_t source, struct error *err);

struct tour;

/* NULL: no memory. run and pump: as far as a life needs them; numbers: those of jobs. */
struct tour_config {
    const struct life_run *run;
    uint32_t chunk_bytes;
    uint32_t *numbers;         /* of jobs: the next one */
    struct tour_links *links;  /* NULL: the tour's own */
    struct spill *moved;       /* NULL: nothing leaves its source that others could come upon */
    struct spill *shared;      /* folders of several sources that were told of; NULL: one source */
    struct spill *spelled;     /* what older spellings were taken for, of all tours */
    uint64_t *removed_count;   /* names that --delete has taken from the target, of all tours */
    struct progress *progress; /* live figures of all its files */
    const bool *redials;       /* a lost link is dialled again; NULL: it is not */
};
struct tour *tour_open(const struct tour_config *config, const struct tour_start *start);

/* All that can be done now; does not wait. Lives are put into `pump`. true: something was done. */
bool tour_turn(struct tour *tour, struct pump *pump);

/* The next event. false: none now. After OVER there is none. */
bool tour_event(struct tour *tour, struct tour_event *event);

/* What it was opened with. */
const struct tour_start *tour_started(const struct tour *tour);

/* A link was lost: once nothing of it is in flight it waits for tour_go_on(). */
bool tour_is_cut_off(const struct tour *tour);

/* Where it was: there are new links at the sides that are lost, by role; or, where *redials is not
 * set any more, none, and what was under way has failed. */
void tour_go_on(struct tour *tour, struct pump *pump, uint32_t chunk_bytes, const bool lost[2]);

/* Nothing of it may be in flight any more. NULL is legal. */
void tour_close(struct tour *tour);

#endif
