/* reservation.h - every path that a run will write, and those that it reads, held against each
 * other before the first byte: two that are one file are refused, whatever they are called.
 *
 * A path stands for the file that is there (by device and inode) and for its name in its folder
 * (by the folder's device and inode): so hard links, symbolic links, bind mounts and other
 * spellings of a path are seen, and so is a file that two of them would create. On another machine
 * folders are told apart by their names only. Reserves nothing in the file system. One thread. */
#ifndef HAUL_RESERVATION_H
#define HAUL_RESERVATION_H

#include "haul/base/error.h"
#include "haul/disk/file.h"

#include <stdbool.h>
#include <stdint.h>

enum reservation_use {
    RESERVATION_SOURCE,
    RESERVATION_TARGET,
    RESERVATION_JOURNAL,  /* beside a target; only its name counts ... */
    RESERVATION_ASIDE,    /* ... and so does that of what takes its place later */
    RESERVATION_OWN,      /* --journal, --manifest: a file of its own */
    RESERVATION_COMPARED, /* haul verify: a target or a manifest that is only read */
    RESERVATION_OUTPUT,   /* standard output and standard error: may be one file */
};

struct reservation_entry {
    enum reservation_use use;
    const char *what;   /* for messages, a constant: "--manifest"; NULL: the use says it */
    const char *path;   /* NULL: no path is known */
    bool lasts;         /* that: it outlives the reservation, and is not copied */
    uint32_t number;    /* of the operand: source, target and journal of one file */
    uint32_t machine;   /* 0: this one; else any number that is the same for the same machine */
    struct facts facts; /* of what is there; FILE_NONE: nothing, or nobody tells */
};

struct reservation;

/* Nothing is reserved yet. -ENOMEM. */
int reservation_open(struct reservation **out, struct error *err);

/* Add one. -EINVAL (ERROR_USAGE) with both names: it is one file with another entry, and one of
 * them will be written. A file's own source and target are copy_collect()'s to refuse. May look at
 * the folder of a path on this machine. */
int reservation_add(struct reservation *reservation, const struct reservation_entry *entry,
                    struct error *err);

/* The same for what lies beside the target that was added last: JOURNAL or ASIDE. */
int reservation_add_beside(struct reservation *reservation, enum reservation_use use,
                           struct error *err);

/* The same for a descriptor that is open already, where it leads to a file or a device. */
int reservation_add_output(struct reservation *reservation, int fd, const char *what,
                           struct error *err);

/* How many. */
uint32_t reservation_count(const struct reservation *reservation);

void reservation_close(struct reservation *reservation); /* NULL is legal */

#endif
