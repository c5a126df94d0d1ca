/* evidence.h - how much the facts of a file prove about its content.
 *
 * Facts (file.h) are what stat tells; evidence says what may be concluded from them. It is made
 * once, with the facts, by whoever describes or opens a file, and travels with them. Nobody else
 * compares times, inodes or devices: "up to date", "the same file", "changed meanwhile" and a
 * journal's fit are questions to the functions below, so that whoever adds one gets the same
 * answer. Where the answer is not EVIDENCE_STRONG, the content has to be compared. */
#ifndef HAUL_EVIDENCE_H
#define HAUL_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

struct facts;
struct stat;

enum evidence_grade {
    EVIDENCE_NONE,   /* the content may move and no fact with it: devices, files of /proc */
    EVIDENCE_WEAK,   /* what is the same here may be chance: compare */
    EVIDENCE_STRONG, /* as good as having compared */
};

/* All zeros: nothing is known. */
struct evidence {
    uint8_t grade; /* enum evidence_grade: what equal facts of this file prove at most */
    /* The object, whatever its name and wherever it is mounted: file system, inode, birth time and
     * generation; of a device the disk behind the node. 0: it cannot be recognised (nothing was
     * opened, or an old kernel does not tell). */
    uint64_t identity;
    /* Another value after each change: the time of status change in ns; of a device its counters
     * of writes. 0: a change would not be seen. */
    uint64_t change;
    /* Of change and of modification times. 1: as fine as the kernel's clock; 0: not known, see the
     * times themselves. */
    uint32_t granularity_ns;
    bool keeps_change; /* its time of status change is its own, not its modification time's */
    /* Whose clock and whose device numbers these are (0: not known), and that clock when the facts
     * were taken. */
    uint64_t machine;
    int64_t seen_ns;
    /* Where the bytes lie: the inode of a file; the whole disk of a device and where it begins
     * there; for a loop device the file behind it. */
    uint64_t medium_device, medium_inode, medium_offset;
};

/* Fill facts->evidence, from a descriptor (O_PATH will do: then there is no identity) and what
 * fstat said of it. Never fails: what cannot be found out is 0. Reads a few files of /sys; blocks
 * no longer than that. */
void evidence_take(struct facts *facts, int fd, const struct stat *st);

/* The same of a regular file that stays open, on a file system of this type, in a third of the
 * time: its identity is not found out. */
void evidence_take_open(struct facts *facts, int fd, const struct stat *st, uint64_t filesystem);

/* How finely the file system of `fd` keeps times, of anything in it, into its facts: asked only
 * where its time looks as if it had been cut. */
void evidence_take_coarseness(struct facts *facts, int fd);

/* Only whose it is and where its bytes lie, of what is no device: from fstat alone. */
void evidence_take_place(struct facts *facts, const struct stat *st);

/* May a time of status change that is this young still stand for two contents? Wait until it may
 * not: until the clock has left the granule that it lies in, so that whatever changes the file from
 * now on moves it. About 2 s on FAT, most often not at all. false: that would be further away than
 * patience_ns, or the clock is wrong; the evidence is weak then. */
#define EVIDENCE_PATIENCE_NS ((uint64_t)4000000000)
bool evidence_settle(const struct facts *facts, uint64_t patience_ns);

/* The same before a target is written for the first time: no write to it may get the modification
 * time of its source, with which it would pass for finished. */
void evidence_settle_target(const struct facts *source, const struct facts *target);

/* The quick check. NONE: other size or time, or nothing that time could prove. WEAK: they look
 * alike; *why says in a few words why that is not enough. STRONG: up to date. Times are compared as
 * coarse as the target keeps them, or within window_ns (--modify-window). */
enum evidence_grade evidence_up_to_date(const struct facts *source, const struct facts *target,
                                        uint64_t window_ns, const char **why);

/* Has the target the source's modification time, as finely as it keeps one? */
bool evidence_same_time(const struct facts *source, const struct facts *target);

/* Both modification times in ns from an even second that they are near: in any year, and whole
 * there in each unit that file systems keep times in. false: they are more than two seconds apart.
 */
bool evidence_near_times(const struct facts *a, const struct facts *b, int64_t *a_ns,
                         int64_t *b_ns);

/* The same object, looked at twice: while it was copied, or by two lanes. */
enum evidence_change {
    EVIDENCE_UNCHANGED, /* nothing was written to it in between */
    EVIDENCE_TOUCHED,   /* its status has changed (a new name, mode or link), perhaps more */
    EVIDENCE_CHANGED,   /* it was written, or is another one */
    EVIDENCE_UNSEEN,    /* the same as far as one can see, which is not far */
};
enum evidence_change evidence_compare(const struct facts *then, const struct facts *now);

/* Is it the same file, or do they share bytes: hard links, nodes of one disk, a disk and its
 * partition, a loop device and the file behind it. false where that is not known. */
bool evidence_overlap(const struct facts *a, const struct facts *b);

/* For a journal: identity and change as one number that is equal again only for the same object,
 * not written since. 0: not to be had. */
uint64_t evidence_seal(const struct facts *facts);

/* When the object was made, as the kernel lays it out. false: the file system does not keep it. */
enum { EVIDENCE_BIRTH_BYTES = 16 };
bool evidence_birth(int fd, uint8_t out[EVIDENCE_BIRTH_BYTES]);

/* A time as a file system of that granularity keeps it, in ns since 1970. */
int64_t evidence_floor(int64_t time_ns, uint32_t granularity_ns);

#endif
