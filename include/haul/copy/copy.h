/* copy.h - one run of haul: what was wished, and files copied beside each other under it.
 *
 * Knows nothing about argv or terminals. Opened once: memory, engine and (remote) sessions are set
 * up before the first file and serve all of them. Files are begun while there is room, and
 * collected in the same order; another thread may watch them through `progress` and stop them
 * through `control`. */
#ifndef HAUL_COPY_H
#define HAUL_COPY_H

#include "haul/base/control.h"
#include "haul/base/error.h"
#include "haul/base/whole.h"
#include "haul/disk/budget.h"
#include "haul/net/address.h"
#include "haul/net/link.h"
#include "haul/side/report.h"
#include "haul/side/side.h"

#include <stdbool.h>
#include <stdint.h>

/* What is left out by its facts alone (choice.h). */
struct choice_wish {
    bool update;          /* -u: leave targets that are newer */
    bool existing;        /* make nothing new */
    bool ignore_existing; /* leave what is there */
    bool size_only;       /* of the same size is up to date */
    bool max_size_set;
    uint64_t max_size_bytes, min_size_bytes;
};

/* What of a tree is copied, and how. */
struct tour_wish {
    bool recursive;            /* -r */
    bool links;                /* -l */
    bool devices, specials;    /* -D */
    bool hard_links;           /* -H */
    bool one_filesystem;       /* -x */
    bool delete;               /* --delete: what the source has not, goes */
    bool delete_excluded;      /* --delete-excluded: and what it leaves out */
    bool ignore_errors;        /* --ignore-errors: also after an error of the source */
    bool max_delete_set;       /* --max-delete ... */
    uint32_t max_delete;       /* ... so many names at most */
    bool force;                /* --force: a folder in the way of something else goes */
    bool remove_source;        /* --remove-source-files */
    bool mkpath;               /* --mkpath: the target's folders are made */
    bool leaves_folders;       /* they are made, and whoever ends the plan gives them the rest */
    const struct rules *rules; /* --filter, --exclude ...; the caller's; NULL: none */
    struct names *names;       /* --files-from: nothing but these; the caller's, and those that are
                                  moved are left out of it; NULL: all */
};

/* Everything that the command line can say about a copy. All zeros is the default. */
struct copy_wish {
    struct job_wish file;      /* of each file; what depends on it is set by its life */
    enum engine_kind engine;   /* --engine */
    uint64_t memory_bytes;     /* --memory; 0: automatic */
    uint32_t chunk_bytes;      /* --chunk-size; 0: automatic */
    uint64_t bandwidth_bytes;  /* --bwlimit, bytes a second; 0: none */
    bool nice;                 /* --nice */
    bool own_cgroup;           /* --own-cgroup */
    bool verify;               /* --verify: re-read the target from the medium */
    bool dry_run;              /* -n */
    bool ignore_times;         /* -I */
    bool checksum;             /* -c */
    bool fuzzy;                /* --fuzzy: a source may change while it is copied */
    uint64_t modify_window_ns; /* --modify-window; 0: as coarse as the file systems keep times */
    struct choice_wish choice; /* -u, --existing ... */
    bool sparse;               /* -S: make holes of zeros */
    bool no_preallocate;       /* --no-preallocate */
    bool many;                 /* there are several files: small ones go as a whole */
    bool alone;                /* there is one file, in one part */
    uint64_t bytes_most;       /* of all files, where both sides are here; 0: not known */
    const char *manifest_path; /* --manifest; NULL: none */
    const char *base_path;     /* --base-manifest; NULL: none */
    bool base_absent;          /* and it is not there yet */
    const char *digest_path;   /* --digest-file: all bytes are digested in order; NULL: no */
    enum whole_kind digest;    /* --digest: how */
    uint32_t attributes[ATTRIBUTES_COUNT]; /* --perms, --no-owner, -a ...: enum attribute_wish */
    struct mode_changes chmod;             /* --chmod */
    uint32_t umask_bits;                   /* of this process */
    uint64_t sync_every_bytes; /* --sync-every; with sync_every_set; 0: only at the end */
    bool sync_every_set;
    struct tour_wish tour;
    uint32_t lanes;      /* -j; 0: automatic */
    bool compress;       /* -z */
    uint64_t timeout_ns; /* --timeout; 0: none */
    uint32_t retries;    /* --retries; with retries_set; 0: a lost link ends the run */
    bool retries_set;
    struct link_options link; /* how to reach another machine; address, remote_command, memory,
                                 silence_timeout_ns and window_bytes are set for each lane */
    const char *remote_path;  /* --remote-path; NULL: "haul" */
};

struct copy;

/* Prepare a run: budget, slots, engines; where a side is on another machine, the link to it, too.
 * An address that is NULL: this machine. The hosts of both serve every file of this run. The
 * control is the caller's, and gets its bandwidth from the wish. */
int copy_open(struct copy **out, const struct copy_wish *wish, const struct address *source,
              const struct address *target, struct control *control, struct error *err);

enum { COPY_FILES_MAX = 288 }; /* begun and not collected */

/* Begin with a file; the paths stay the caller's until it is collected. Nothing is done for it, nor
 * for others, before the next copy_collect(). Small files are open at the same time as far as the
 * run's memory goes, large ones one after the other. verify: compare without changing anything (no
 * source: with the manifest); ranges that differ are handed out by log_range(), and end in
 * ERROR_MISMATCH. false: as many are begun as there is room for, collect one first. */
bool copy_begin(struct copy *copy, bool verify, const char *source_path, const char *target_path);

/* Would copy_begin() say false? */
bool copy_is_full(const struct copy *copy);

/* One file of a plan, or a part of one, whose texts stay the caller's until it is collected. */
struct copy_part {
    struct job_root roots[2]; /* by role: the paths are beneath them; number 0: they are not */
    const char *source_path, *target_path;
    uint64_t start, end; /* these bytes become durable, and the target as large as it has to be; it
                            is finished by a copy of all of it. end 0: all of it */
    bool there; /* all of them are, as somebody has proven: it is only committed. Where it looks
                   otherwise (a journal, a new target) it is compared all the same */
    bool unjournalled;  /* no journal lies beside the target */
    bool spelled;       /* as in job.h */
    bool target_absent; /* a dry run: nor is its folder, which copy_make_folder() would have made */
};

/* The same with such a one. */
bool copy_begin_part(struct copy *copy, const struct copy_part *part);

/* Wait for the file that was begun first. On success everything that the receipt says holds,
 * `durable` first of all. On failure the receipt still tells what is known; what was journalled is
 * kept and a later run goes on from there. -errno with words; the class decides the exit code. The
 * other files of the run are not affected unless copy_broken(). */
int copy_collect(struct copy *copy, struct receipt *receipt, struct error *err);

/* What --remove-source-files goes by: of the file that was collected last. */
struct copy_left {
    struct facts source;
    uint64_t target_device;
    enum outcome_kind kind;
    bool believed;
};
struct copy_left copy_leaves(const struct copy *copy);

/* Take the source away, if it is durable at the target and still what was copied; what is no file,
 * or was not copied, stays. A dry run looks whether it could go. No file may be begun meanwhile.
 * -errno with words: it stays, too. */
int copy_leave(struct copy *copy, const struct copy_left *left, const char *source_path,
               const char *target_path, struct error *err);

/* The same is about to be done with what a source of that number has brought there by that name,
 * beneath the folder that trees go to: none of them writes over it. -errno with words: it has to
 * stay. */
int copy_will_leave(struct copy *copy, const char *name, uint32_t source, struct error *err);

/* A tree: `start` is one operand, whose texts stay the caller's until it is over; no file may be
 * begun meanwhile. -ENOMEM with words. */
struct tour_start;
struct tour_event;
int copy_tour(struct copy *copy, const struct tour_start *start, struct error *err);

/* Wait for the next event; TOUR_OVER is the last one. For TOUR_FILE the receipt is filled as by
 * copy_collect(), with whole paths; else with what belongs to no file. Both hold until the next
 * call. */
void copy_tour_next(struct copy *copy, struct tour_event *event, struct receipt *receipt);

/* Make a folder at the target's side, and with `parents` those above it that are not there; a dry
 * run only looks whether that could be, and keeps which one would be the first. 1: it was made (or
 * would be); 0: it is there, and has these facts; -errno with words. */
int copy_make_folder(struct copy *copy, const char *path, bool parents, struct facts *facts,
                     struct error *err);

/* That one, for what would be in it (life_start). NULL: there is none. */
const struct life_nearest *copy_nearest(const struct copy *copy);

/* The folders on the way to a name beneath a root of the target's side, which only their owner may
 * enter until somebody gives them what they are to have. */
int copy_make_way(struct copy *copy, const struct job_root *root, const char *path,
                  struct error *err);

/* What is at a name beneath a root, where nothing is followed; of one without a number as
 * copy_describe(). */
int copy_look(struct copy *copy, bool target, const struct job_root *root, const char *path,
              struct facts *facts, struct error *err);

/* One operation of the source's side on a name beneath a root, in the job of that number. Blocks.
 */
struct life_call;
int copy_ask_source(struct copy *copy, struct life_call *call, const struct job_root *root,
                    const char *path, uint32_t job, struct error *err);
uint32_t copy_job_number(struct copy *copy); /* a new one */

/* A number for the root of a tree; one for each folder. */
uint32_t copy_root_number(struct copy *copy);

/* Facts of a path on the source's or the target's side (a remote folder, say), before it is copied.
 */
int copy_describe(struct copy *copy, bool target, const char *path, struct facts *facts,
                  struct error *err);

/* The same for many: asked in order, as far as there is room (else false), and told in that order.
 * No file may be begun meanwhile. */
bool copy_ask(struct copy *copy, bool target, const char *path);
int copy_told(struct copy *copy, struct facts *facts, struct error *err);

/* The live figures of the file that will be collected next, or where there is none, of the one that
 * was the last. Valid until copy_close(). */
struct progress *copy_progress(struct copy *copy);

/* The run cannot go on (the link is gone): do not try further files. */
bool copy_broken(const struct copy *copy);

/* Frees everything; NULL is legal. */
void copy_close(struct copy *copy);

#endif
