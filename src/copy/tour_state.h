/* tour_state.h - private to tour*.c: the tasks of a tour, its folders and its hard links. */
#ifndef HAUL_COPY_TOUR_STATE_H
#define HAUL_COPY_TOUR_STATE_H

#include "haul/base/bytes.h"
#include "haul/copy/tour.h"
#include "haul/disk/entry.h"
#include "haul/disk/owners.h"

enum {
    TOUR_NAMES_BYTES = 16 * 1024,
    TOUR_REMOVALS_MAX = 4,
    TOUR_LINKS_BUCKETS = 1024,
    TOUR_LINKS_IDLE_MAX = 1024, /* in memory, beside those of tasks; the others are spilled */
    TOUR_OWNERS_BUCKETS = 64
};

/* A folder that is walked, or in which something is under way. */
struct tour_folder {
    struct tour_folder *parent; /* NULL: it lies in the root, or is it */
    char *name;                 /* owned */
    struct facts facts;         /* the source's; without -p its mode is the target's own */
    uint32_t pending;           /* tasks and folders in it that have not ended ... */
    uint32_t ahead;             /* ... and of these, so many that it need not wait for */
    enum {
        FOLDER_MAKING,
        FOLDER_COMING, /* a side that is far away is asked to make it: what is in it may be sent
                          behind that */
        FOLDER_MADE,
        FOLDER_LOST, /* it could not be made, and is left out with all that is in it */
    } state;
    bool whole;               /* all that is in it is told */
    bool fresh;               /* there was none before */
    bool folds;               /* it may take several names for one; MADE: else it does not */
    bool touched;             /* made or changed, or something in it; or it has to be looked at */
    bool told;                /* that it was made or changed */
    bool left;                /* the walk has left it */
    bool finished;            /* its attributes are under way, or there is nothing to be done */
    bool holds;               /* something in it leaves its source, and that was noted */
    struct tour_folder *next; /* of those that wait for a task to be finished by */
    const struct life_nearest *nearest; /* -n: it is not there; who is asked about what is in it */
    struct life_nearest first; /* that, if it is the first that is not; its path is owned */
};

/* A file with several names. */
struct tour_link {
    struct tour_link *next; /* in its bucket */
    uint64_t device, inode;
    uint64_t stamp;  /* of its size and time: with others it is another file */
    uint32_t walk;   /* the last one that has seen a name of it */
    uint32_t left;   /* names that were not seen yet ... */
    uint32_t before; /* ... before the tour of that walk; 0: it was not known then ... */
    bool led;        /* ... and whether there was a path then */
    uint32_t users;  /* tasks that know it */
    enum {
        LINK_NOWHERE, /* the next name leads */
        LINK_COMING,  /* one is under way */
        LINK_THERE,   /* the others become links to `path` */
    } state;
    char *path;   /* owned */
    bool anew;    /* -n: in a run it would be another file than the one that has its names now */
    bool spilled; /* it was in the spill, and is there still, as it was then */
};

struct tour_links {
    struct tour_link *buckets[TOUR_LINKS_BUCKETS];
    uint32_t walk, first;  /* the walk that is told, and the first one of its tour */
    bool moved;            /* what walks of this tour before it have seen may be gone */
    uint32_t idle;         /* that no task knows */
    uint32_t next;         /* the bucket to be spilled next */
    struct spill *spill;   /* NULL: none was needed yet, or ... */
    bool spill_impossible; /* ... none can be made or filled, and that was said */
    bool apart;            /* some are files of their own at the target, and that was said */
};

/* What the source calls a user or a group. */
struct tour_owner {
    struct tour_owner *next; /* in its bucket */
    enum owners_kind kind;
    uint32_t id;
    char *name; /* owned */
};

enum tour_step {
    STEP_FREE,
    STEP_BLOCKED,   /* its folder, or the first of its names, is under way */
    STEP_COPYING,   /* a regular file */
    STEP_LOOKING,   /* is there anything at the target? */
    STEP_MAKING,    /* anything else, a hard link, a folder */
    STEP_CLEARING,  /* what was in the way of it goes */
    STEP_DRESSING,  /* it gets its owner, mode and times */
    STEP_SHARING,   /* -n: has a tour before told already what goes from this folder? */
    STEP_LISTING,   /* a folder: names at the target ... */
    STEP_MISSING,   /* ... that the source has not ... */
    STEP_REMOVING,  /* ... go */
    STEP_MISSED,    /* ... did it, before a link was lost? */
    STEP_FINISHING, /* a folder gets its attributes */
    STEP_YIELDING,  /* has another source this name, too, and counts? */
    STEP_SPELLING,  /* has a source the name that the target has it by? */
    STEP_OWNING,    /* has a source the file that haul would have this name for? */
    STEP_SETTLING,  /* --remove-source-files: what it is at the target becomes durable ... */
    STEP_LEAVING,   /* ... and the source goes */
    STEP_TELLING,   /* an event waits to be taken */
};

/* A folder whose names go one by one, as some of them may be protected. */
struct tour_level {
    uint64_t cookie;       /* that the names in hand were listed from */
    uint32_t kept;         /* of those that may go, so many at their beginning are still there */
    uint32_t parent_bytes; /* of the path, without its last part */
    bool keeps;            /* something in it stays, so it does, too */
    bool long_list;        /* it takes more than one LIST ... */
    bool thinned;          /* ... and something was removed in between ... */
    bool again;            /* ... so it is listed once more from the beginning */
    bool looks;            /* is it empty now? */
};

/* Names of a folder that may have to go. */
struct tour_removal {
    bool used;
    char *folder;    /* owned: that they are in: the task's own, or one that goes from it */
    struct bytes in; /* those that are missing, as far as they were taken */
    uint32_t asked;  /* other sources, whether they have these */
    uint32_t held;   /* back by --max-delete, and counted */
    uint64_t cookie; /* where the list goes on; 0: it has ended */
    struct tour_level now;
    struct tour_level *above; /* owned: of the folders on the way, but for the last */
    uint32_t depth;           /* of `above` */
    uint8_t bytes[TOUR_NAMES_BYTES];
};

/* What is done about one name, an operation after another. There are hundreds of them, and what
 * comes back for one finds its memory cold: so all that is touched while nothing goes wrong lies in
 * one page. What its errors say comes behind that. */
enum { TOUR_PAGE_BYTES = 4096 };
struct tour_task {
    _Alignas(TOUR_PAGE_BYTES) struct life life; /* first: what is under way for it */
    struct life_call call;
    enum tour_step step;
    enum tour_step after;       /* TELLING: what follows; FREE: nothing */
    struct tour_folder *folder; /* that it is in; NULL: the root */
    struct tour_folder *own;    /* of a folder: itself */
    struct tour_link *link;     /* one of several names, with -H; leads: the first */
    bool leads, hard;           /* hard: becomes a link to link->path */
    bool early;                 /* its folder was COMING as it began ... */
    bool late;                  /* ... and it has failed so: now that has to be MADE */
    bool ahead;                 /* its folder does not wait for it: folder_send_ahead() */
    bool alone;                 /* no source has the file that haul would have this name for */
    struct tour_removal *removal;
    char *path, *link_text; /* owned */
    char *gone;             /* owned: what is being removed; SPELLING, OWNING: asked for */
    struct facts facts;     /* the source's */
    struct facts before;    /* the target's */
    enum job_made made;
    bool attributes;    /* all that was another one */
    uint32_t asked;     /* of all sources, whether they bring it, too */
    uint32_t spellings; /* SPELLING, OWNING: the same, of that name */
    bool spelled;       /* no source has that: what is there is this one's */
    enum tour_event_kind event;
    enum file_kind gone_kind;
    char changes[12];
    uint32_t attempts; /* of this step, before a link was lost; or at a target that is held */
    struct life_earlier earlier; /* in them */
    struct tour_task *next;
    struct side_words words[2];  /* of its life */
    struct owner_names names[2]; /* the same, where names count */
    struct error life_error, error;
};
_Static_assert(offsetof(struct tour_task, life_error.text) < TOUR_PAGE_BYTES, "more than a page");

enum tour_state {
    TOUR_BEGINNING,
    TOUR_WALKING,
    TOUR_LEAVING, /* all is done: the source's side lets go */
    TOUR_SYNCING, /* what was made becomes durable */
    TOUR_ENDING,  /* the last event */
    TOUR_ENDED,
};

struct tour {
    struct tour_config config;
    struct tour_start start;
    const struct copy_wish *wish;
    struct pump *pump; /* of this turn */
    enum tour_state state;
    bool dry, stopped;
    uint32_t source;    /* which of the run's it is */
    bool shares;        /* another one may bring the same names */
    bool broken;        /* something of the source is not known: nothing is deleted any more */
    bool broken_told;   /* that */
    uint64_t held_back; /* names that stay because of --max-delete */
    bool touched;       /* something was made, changed or removed */
    struct outcome outcome;
    struct life *ended; /* lives that have come back */

    /* After a lost link. */
    bool cut_off;               /* nothing begins before there is another */
    bool earlier;               /* some of what was made was so through a link that is lost */
    bool renewing;              /* the walk is about to begin anew */
    bool walk_stranded;         /* its operation has failed with the link ... */
    struct tour_task *stranded; /* ... and theirs, by next */
    uint64_t taken_count;       /* entries of the walk, and a checksum of their row */
    uint64_t taken_sum;
    uint64_t skip_count; /* so many come once more, and are nothing new if they are those */
    uint64_t skipped_sum;
    bool astray;           /* they were not ... */
    bool over_again;       /* ... and once all is done the walk begins once more */
    uint64_t told_count;   /* files */
    uint64_t untold_count; /* of these, so many are not told again */

    uint64_t lost_counts[ATTRIBUTES_COUNT]; /* of what is no file */

    /* The walk. */
    struct life walk;
    struct error walk_error;
    struct life_call walk_call;
    bool walk_busy, walk_over;
    bool walk_lists;   /* it wants further names of the list ... */
    size_t names_next; /* ... from this number on */
    uint8_t *bytes[2];
    bool filled[2]; /* waits to be taken */
    uint32_t filled_bytes[2];
    uint32_t reading;           /* which of them is taken */
    struct bytes in;            /* what is left of it */
    bool in_hand;               /* there is one */
    struct tour_folder *folder; /* that we are in; NULL: none */

    struct tour_task *tasks; /* tasks_most, of which the first tasks_used were ever begun */
    uint32_t tasks_most, tasks_used;
    void *tasks_memory;
    struct tour_task *own; /* of no name: always there, so that a failure can be told */
    struct tour_task *free;
    struct tour_task *blocked, **blocked_end;
    struct tour_task *told, **told_end; /* events, in order */
    struct tour_task *telling;          /* the event that is with the caller */
    uint32_t tasks_count;               /* not free */
    bool unblock;                       /* somebody may go on */
    struct tour_folder *due;            /* folders to be finished */
    uint32_t folders_count;
    struct tour_removal removals[TOUR_REMOVALS_MAX];
    struct tour_task *settling, *settled; /* wait for the next sync, and for the one under way */
    uint32_t settling_count;
    struct life sync;
    struct error sync_error;
    struct life_call sync_call;
    struct tour_task *removing;           /* wait for one of them, by next */
    struct tour_links *links, *own_links; /* of the run, or our own */
    struct tour_owner *owners[TOUR_OWNERS_BUCKETS];
    struct progress counted; /* files that have ended */
    uint64_t measured_ns;
};

/* A side is: then more is on its way at one time. */
static inline bool tour_is_far(const struct tour *tour)
{
    const struct address *addresses = tour->config.run->addresses;
    return addresses[SIDE_SOURCE].kind == ADDRESS_REMOTE ||
           addresses[SIDE_TARGET].kind == ADDRESS_REMOTE;
}

/* The target is: what depends on something is sent behind it, and the far side keeps that order. */
static inline bool tour_sends_ahead(const struct tour *tour)
{
    return tour->config.run->addresses[SIDE_TARGET].kind == ADDRESS_REMOTE && !tour->dry;
}

/* tour_folder.c: folders, as a list of what is in them */

/* Is a folder of the source, by its facts, on the target's machine? Then one device and inode are
 * one thing. */
bool folder_is_at_target(const struct tour *tour, const struct facts *facts);
/* The path of `name` in a folder, to be freed; NULL: no memory. */
char *folder_path(const struct tour_folder *folder, const char *name);
/* Without -p: folders are open for us until all in them is done, and have their own mode again
 * then, that MAKE has told of one that was there, or of what a new one is given. */
bool folder_keeps_mode(const struct tour *tour);
/* The walk enters a folder, in the one that it is in (NULL: no memory), and leaves it. */
struct tour_folder *folder_enter(struct tour *tour, const struct entry *entry);
void folder_leave(struct tour *tour);
/* One thing less is under way in it; the last one makes it due to be finished. */
void folder_release(struct tour *tour, struct tour_folder *folder);
void folder_free_texts(struct tour_folder *folder);
/* A folder in it is being finished, by a task: nothing of that depends on what is done to it. */
void folder_send_ahead(struct tour *tour, struct tour_folder *folder, struct tour_task *task);
void folder_catch_up(struct tour_folder *folder, struct tour_task *task); /* that has ended */

/* tour_link.c: files with several names */

/* A tour begins: what was made by those before it is there. */
void links_begin(struct tour_links *links);
/* No task knows one, and the walk of this tour begins once more: its names are seen again, those
 * that were not moved if `moved`. */
void links_again(struct tour_links *links, bool moved);
/* The one that has this device and inode, one name of it less to be seen. -ENOMEM, or whatever has
 * kept it from being read back. */
int link_see(struct tour_links *links, const struct facts *facts, struct tour_link **out);
void link_release(struct tour_links *links, struct tour_link *link);

/* tour_owner.c: what the source calls those that own its files */

/* Owners go by their names, and the walk is to tell them. */
bool tour_maps_owners(const struct tour *tour);
bool tour_wants_details(const struct tour *tour);
/* What is there, and right by its facts, may still be wrong: only its side can tell. */
bool tour_looks(const struct tour *tour);
/* It has told one. -ENOMEM. */
int owner_see(struct tour *tour, const struct entry *entry);
/* The names of the owners of these facts, as far as they were told; NULL: nobody wants them. */
void owner_names_of(const struct tour *tour, const struct facts *facts, struct owner_names *names);
void owner_close_all(struct tour *tour);

/* tour_task.c: one name, its place and its operations */

struct tour_task *task_of(struct life *life);
bool task_is_free(const struct tour *tour);
/* A free one, for what is called `name` in `folder`; NULL: none is free, or no memory. */
struct tour_task *task_new(struct tour *tour, struct tour_folder *folder, const char *name);
void task_end(struct tour *tour, struct tour_task *task);
/* Does a source lie at a path of the target, in it, or on the way to it? NULL: anywhere there. */
bool tour_has_source(const struct tour *tour, const char *path);
/* What a life of it begins with; it has begun. */
struct life_start task_start(const struct tour *tour, struct tour_task *task, enum life_kind kind);
void task_live(struct tour *tour, struct tour_task *task, enum tour_step step);
/* Start an operation of a side for it. */
void task_call(struct tour *tour, struct tour_task *task, enum tour_step step, enum side_role role,
               enum side_op op);
/* The same: it gets all that the source has beside data. */
void task_adjust(struct tour *tour, struct tour_task *task, enum tour_step step);
/* Extended attributes or access control lists are carried over, too. */
/* Its event waits; then it goes on, or is free. */
void task_tell(struct tour *tour, struct tour_task *task, enum tour_event_kind event,
               enum tour_step after);
/* Something that is about no name of its own, as an event: the first of them. */
void tour_fail(struct tour *tour, const struct error *err);
void tour_fail_memory(struct tour *tour);
/* Whoever waits for its being there, or for its name, need not. */
void task_lost(struct tour *tour, struct tour_task *task);
/* A failure becomes its event. */
void task_fail(struct tour *tour, struct tour_task *task, const struct error *err);

/* tour_remove.c: --delete */

/* A folder that was made: does anything go from it? Then its task goes on so. */
bool folder_removes(struct tour *tour, struct tour_task *task);
/* Those that wait for memory to list names in. */
void folder_remove_waiting(struct tour *tour);
/* From the first name on. */
void folder_remove_again(struct tour *tour, struct tour_task *task);
/* The same after a link was lost in its step. */
void folder_restart(struct tour *tour, struct tour_task *task);
/* Its steps have come back. */
void folder_shared(struct tour *tour, struct tour_task *task);
void folder_listed(struct tour *tour, struct tour_task *task);
void folder_missed(struct tour *tour, struct tour_task *task);
void folder_removed(struct tour *tour, struct tour_task *task);
void folder_looked_after(struct tour *tour, struct tour_task *task);
void folder_remove_next(struct tour *tour, struct tour_task *task);
/* The event of one was taken. */
void folder_told(struct tour *tour, struct tour_task *task);

/* tour_moved.c: --remove-source-files, and what else could come upon a name */

/* Which source it is, and whether it shares names with others. */
void moved_begin(struct tour *tour);
/* What is there may be the only copy, or be on the way to one. */
bool moved_holds(const struct tour *tour, const char *path);
/* May it begin? If not, it has failed, or another source is asked for its name. */
bool task_claim(struct tour *tour, struct tour_task *task);
/* Which has it, so this one stays; or that is not known, and it has failed. false: go on. */
bool task_yields(struct tour *tour, struct tour_task *task);

/* Have they task->gone? Its own root is asked first, then the others that bring something there. */
enum sources_asked {
    SOURCES_ASKED,       /* the next one is */
    SOURCES_NAMED,       /* one is just that, on the command line */
    SOURCES_HAVE_IT_NOT, /* all were */
};
enum sources_asked task_ask_sources(struct tour *tour, struct tour_task *task, enum tour_step step);
/* The answer, where it is no failure. What rules leave out is not brought. */
bool task_source_has_it(const struct tour *tour, const struct tour_task *task);

/* tour_beside.c: names that haul gives to what it keeps beside a file */

/* Is it such a name? Then it has failed, or the sources are asked for that file. */
bool task_is_beside(struct tour *tour, struct tour_task *task);
/* An answer. true: no source has it, so it goes on. */
bool task_owned(struct tour *tour, struct tour_task *task);

/* tour_spelled.c: folders that take several names for one */

/* Its step has come back: it meets something that is called otherwise. */
bool task_is_spelled_otherwise(const struct tour_task *task);
/* Whose is that? And the next answer to it. true: its own, so it begins once more. */
bool task_ask_spelling(struct tour *tour, struct tour_task *task);
bool task_spelled(struct tour *tour, struct tour_task *task);

/* tour_shared.c: folders that several sources bring */

/* What a path is noted by in a spill (tour_moved.c). */
void tour_key(const char *path, uint64_t key[2]);

/* An earlier tour has told what became of it; this one tells it. */
bool shared_was_told(const struct tour *tour, const char *path);
void shared_tell(const struct tour *tour, const char *path);

/* tour_settle.c: one sync for many names */

/* --remove-source-files: it is there, and has to be durable before its source goes. */
void settle_add(struct tour *tour, struct tour_task *task);
/* When many wait, or nothing else is to be done. */
void settle_look(struct tour *tour);
/* For those that it is under way for. */
void settle_sync(struct tour *tour);
void settle_returned(struct tour *tour);

/* tour_again.c: what a lost link must not do twice */

/* A life that has failed with its link, and is kept until there is another. */
bool tour_strands(struct tour *tour, struct life *life);
/* An entry of the walk. false: it was taken before a link was lost; `astray`: others were. */
bool tour_takes(struct tour *tour, const struct entry *entry);
/* A file that is up to date may be so since we have copied it, and said so. */
bool tour_has_told(struct tour *tour, const struct life *life);

/* tour_entry.c: what follows what */

/* Its step again. */
void task_restart(struct tour *tour, struct tour_task *task);

/* What the walk has told becomes a task. -ENOMEM. */
int task_of_entry(struct tour *tour, const struct entry *entry);
/* Its life has come back; its event was taken. */
void task_returned(struct tour *tour, struct tour_task *task);
void task_told(struct tour *tour, struct tour_task *task);
/* Those that can go on do. */
void task_unblock(struct tour *tour);
/* Folders that have everything get their attributes, as far as there are tasks. */
void folder_finish_due(struct tour *tour);

#endif
