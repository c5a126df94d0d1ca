/* job.h - one file to be copied: what is wished of it, and what both sides tell of it. No
 * behaviour: the codec codes these very structures. */
#ifndef HAUL_JOB_H
#define HAUL_JOB_H

#include "haul/disk/attributes.h"
#include "haul/disk/engine.h"
#include "haul/disk/file.h"
#include "haul/disk/policy.h"

#include <stdbool.h>
#include <stdint.h>

enum side_role { SIDE_SOURCE, SIDE_TARGET };

enum journal_state {
    JOURNAL_ABSENT,         /* none, or not asked for */
    JOURNAL_FITS,           /* of this very source and target */
    JOURNAL_SOURCE_CHANGED, /* the source is another one, or has changed since */
    JOURNAL_TARGET_CHANGED, /* the target was replaced or truncated since */
    JOURNAL_DAMAGED,        /* its content makes no sense; it was not trusted */
    JOURNAL_CHUNKS,         /* fits, but its chunks are larger than the buffers of either side */
};

enum resume_wish {
    RESUME_AUTO,          /* go on where a journal fits; audit the old part */
    RESUME_APPEND,        /* trust the journal */
    RESUME_APPEND_VERIFY, /* audit the old part against the source, too */
    RESUME_RESTART,       /* ignore what is there */
};

/* May a target have the source's own blocks, instead of a second copy of them on the medium? */
enum reflink_wish {
    REFLINK_NEVER,
    REFLINK_AUTO, /* where that can be; else it is copied */
    REFLINK_ALWAYS,
};

/* What becomes of a source that cannot be read everywhere. */
enum read_errors {
    READ_ERRORS_STOP, /* it fails at the first place */
    READ_ERRORS_SKIP, /* it is read around it; the rest is copied */
};

/* What MAKE came to. */
enum job_made { JOB_UNCHANGED, JOB_CHANGED, JOB_CREATED };

/* What the client wishes of one file, for both sides. It travels over the wire in OPEN and COMMIT.
 */
struct job_wish {
    enum policy_kind cache;
    bool strict;
    bool cache_max_set;
    uint64_t cache_max_bytes;
    bool write_devices;
    bool preallocate;
    bool join; /* another lane of this session has the file open and locked */
    uint8_t attributes[ATTRIBUTES_COUNT]; /* enum attribute_wish, of facts[SIDE_SOURCE] */
    bool set_id;                          /* set-id bits may be set, too */
    const char *chown;                    /* USER:GROUP of the target's machine; NULL */
    bool numeric_ids;                     /* owners go by their numbers, not by their names */
    enum resume_wish resume;
    enum read_errors read_errors;
    bool journal;       /* keep one */
    bool journal_early; /* create it at OPEN, not with the first checkpoint: it will be recalled, or
                           shared by lanes */
    const char *journal_path;  /* NULL: beside the target */
    uint64_t session;          /* random; the same for all lanes of a run */
    bool compare_only;         /* haul verify: the target is only read */
    bool seals;                /* COMMIT of the target: tell job.seal */
    enum reflink_wish reflink; /* OPEN of the target, where source_file is: does not travel */
    uint64_t size_bytes; /* --size: what a pipe is to bring, or what is taken of an endless device;
                            0: nobody knows */
    /* --range: only these bytes, in a file whose others may be written by others at the same time;
     * part_end is behind the last one. 0: all of the file. A part leaves size and attributes of the
     * target alone: it makes it as large as it has to be, and never smaller. */
    uint64_t part_start, part_end;
    bool dry; /* DESCRIBE: is OPEN possible? ADJUST, MAKE: what would be changed? Nothing else is
                 asked, or done */
    bool no_inplace; /* the target is written under another name beside it, and takes its own at
                        COMMIT */
    bool replace_folders; /* MAKE: a folder in the way of something else goes, with all in it */
    bool spelled; /* DESCRIBE, OPEN, PUT, MAKE: what is found by target_path, and called otherwise
                     in its folder (see spelling.h), is another one's: -ENOTUNIQ */
};

/* One side's own account of one file. It travels over the wire. */
struct side_report {
    enum policy_kind policy;
    enum engine_kind engine;
    uint64_t resident_before_bytes;
    uint64_t resident_peak_bytes;
    uint64_t resident_after_bytes;
    uint64_t memory_peak_bytes; /* of that side's process */
    uint64_t kernel_bytes;      /* its names and inodes, at the most: see kernel_memory.h */
    /* Of a target: sets of attributes.h. Changed ones are those that an older target had
     * otherwise. */
    uint8_t attributes_changed, attributes_lost, attributes_asked;
    /* Read to be compared with the medium, and may have come from the cache all the same. */
    uint64_t reread_cached_bytes;
};

/* Why that policy and that engine; "": nothing is to be said, as of small files, and of an engine
 * that was wished. */
struct side_words {
    char policy[POLICY_WHY_BYTES];
    char engine[POLICY_WHY_BYTES];
};

/* The root of a tree: a folder that a side opens when it first sees it, and holds. Names in the
 * tree are resolved beneath it and follow no symbolic link (place.h). */
struct job_root {
    uint32_t number;  /* one folder has one number in a run; 0: there is none, the job's path stands
                         by itself */
    const char *path; /* as the operator has named it */
};

/* One file to be copied. Owned by the client; sides may read it while a slot of it is with them,
 * and write only what is said here. */
struct job {
    uint32_t number;
    struct job_root roots[2];              /* by enum side_role */
    const char *source_path, *target_path; /* relative to their root; "": the root itself */
    const char *link_text; /* MAKE of a symbolic link: what is in it; of a hard link: the path of a
                              name that it has already, beneath the same root; else NULL */
    bool hard_link;
    uint32_t chunk_bytes;
    struct job_wish wish;
    /* By role: of facts[role]'s owner, there; "" where numbers are wished. DESCRIBE, OPEN and TAKE
     * tell them, and walks by themselves. NULL: they need not. The memory is the job's owner's. */
    struct owner_names *names;

    /* OPEN of the source, in this process: the file, until the source is closed. Does not travel.
     */
    const struct file *source_file;
    /* DESCRIBE and OPEN fill facts[role]; OPEN of the target leaves its facts from before it was
     * changed. */
    struct facts facts[2];
    /* OPEN of the target. */
    bool target_fresh;    /* created now, or was empty: nothing to compare with */
    bool target_cloned;   /* its blocks are the source's: nothing is left to be copied */
    bool target_readable; /* else nothing can be compared, and all is written */
    enum journal_state journal;
    uint64_t old_bytes; /* chunks from before here may hold old content, right or wrong, unless the
                           journal lists them. A file, or the part, reads as zeros from here on */
    /* FITS: the source is what it was when the journal was begun; the target has not been written
     * since its last batch. Else what the journal lists is compared. */
    bool journal_source_proven, journal_target_proven;
    bool journal_present; /* DESCRIBE of the target: a journal lies beside it, so it is not finished
                           */
    enum job_made made;   /* MAKE */
    bool folds;           /* MAKE of a folder: it may take several names for one */
    uint64_t seal; /* COMMIT of the target: evidence_seal() of what it is from now on; 0: nothing
                      proves it, or nobody has asked */
    bool unjournalled; /* CARRY: no journal lies beside the target, as is known: does not travel */
    uint64_t kept_bytes; /* PUT, CARRY: of the file, that were there already */
    /* COMMIT, ABANDON, ADJUST, MAKE, DRESS. */
    struct side_report reports[2];
    /* By role, with the reports. NULL: nobody asks. The memory is the job's owner's, and untouched
     * where nothing is to be said. */
    struct side_words *words;
    /* Payloads that went over links for it, as they went: the last, see life_help(). */
    uint64_t sent_bytes, received_bytes;
};

#endif
