/* prove.h - `haul prove SOURCE... TARGET`: a copy, and beside it a process of its own that counts
 * what enters the page cache, by the kernel's tracepoint.
 *
 * It ends with the copy, however that ends, and takes its instance of tracefs away. */
#ifndef HAUL_PROVE_H
#define HAUL_PROVE_H

#include "haul/base/error.h"
#include "haul/side/report.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proof_side {
    uint64_t watched_count;   /* files */
    uint64_t unwatched_count; /* on this machine: devices, files of tmpfs */
    uint64_t entered_count;   /* of these have had pages in the cache by us, */
    uint64_t entered_bytes, at_once_bytes /* of one file */, left_bytes, by_others_bytes;
};

struct proof {
    pid_t pid;                                             /* of the process that counts; 0: none */
    int fd;                                                /* to it */
    char why[ERROR_TEXT_BYTES];                            /* nothing is counted; "": it is */
    struct proof_side sides[2];                            /* by enum side_role */
    uint64_t process_entered_bytes, process_at_once_bytes; /* of all files, programs too */
    uint64_t lost_count;        /* events that nobody counted; NUM_UNKNOWN: who knows how many */
    uint64_t at_once_max_bytes; /* that one file may have; NUM_UNKNOWN: not limited */
};

/* Begin to count; where that is not possible `why` says so. To be called before there are threads.
 * Blocks for the start of a process. */
void proof_open(struct proof *proof, uint64_t at_once_max_bytes);

/* A file has had its turn. Blocks while the counting process catches up. */
void proof_file(struct proof *proof, const struct receipt *receipt);

/* The end of counting: fills the figures, and prints what is told of single files; `lines_max` of
 * them, unless as JSON. 0, or -EFBIG with words (ERROR_CACHE): pages were left, or too many were
 * there at once. */
int proof_end(struct proof *proof, bool json, uint32_t lines_max, struct error *err);

/* The account, as words or an event. sum: what is known where nothing was counted. */
void proof_print(const struct proof *proof, const struct receipt *sum, bool json);

#endif
