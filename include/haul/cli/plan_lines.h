/* plan_lines.h - a plan as a file: who wants what copied, and the units of it, a JSON line each.
 *
 * The first line says what is to be copied and how, the last one how many units there are, and each
 * line between is a unit. Every line ends in a seal, the digest of what is before it in the line;
 * units name the seal of the first one, the last line has the digest of all before it. So a plan
 * that was cut off or changed is found out, one unit is found without reading the others (their
 * numbers ascend), and nothing that is read or written here grows with how many there are.
 *
 * The same module reads and writes the receipts, which lie beside the plan, and refuses whatever it
 * could not have written itself: the lines are for other programs to read, not to write. */
#ifndef HAUL_PLAN_LINES_H
#define HAUL_PLAN_LINES_H

#include "haul/base/error.h"
#include "haul/base/hash.h"
#include "haul/base/names.h"
#include "haul/disk/file.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What is to be copied: of the first line. The texts belong to whoever filled it. */
struct plan_header {
    const char **words; /* the options, as they were typed */
    uint32_t words_count;
    const char *folder;          /* that they were typed in */
    const char *source, *target; /* as they were typed */
    bool tree;                   /* else one file */
    const char *from, *to; /* paths on the machines of source and target: the folders that names of
                              units are beneath, or the file and what it becomes */
    uint64_t unit_bytes;
};

enum unit_kind { UNIT_RANGE, UNIT_FILES };

struct unit {
    enum unit_kind kind;
    uint32_t number; /* from 1 on */
    struct digest seal;
    uint64_t files_count, bytes; /* in it */
    /* RANGE: of one file; "": of the only one */
    const char *name;
    uint64_t offset;
    struct facts facts; /* of the source, as far as evidence_compare() asks for them */
    /* FILES: the caller's; taken away by whoever sets it to NULL */
    struct names *names;
};

/* ---- writing ---- */

struct plan_writer {
    FILE *out;
    struct digest_fold *fold; /* of all lines so far */
    struct digest plan;       /* the seal of the first one */
    FILE *line;               /* that is being written; into text */
    char *text;
    size_t length;
    uint32_t units_count;
    uint64_t files_count, bytes;
    uint64_t list_count, list_bytes, list_names_bytes; /* of the list that is being written */
};

/* All zeros is none. -ENOMEM with words, as of the others; what the stream makes of it is its
 * owner's to look at. */
int plan_lines_begin(struct plan_writer *writer, FILE *out, const struct plan_header *header,
                     struct error *err);
/* A file: as many ranges as it takes. */
int plan_lines_add_ranges(struct plan_writer *writer, const char *name, const struct facts *facts,
                          uint64_t unit_bytes, struct error *err);
/* A file that is copied with others: their list ends when it has enough of them. */
int plan_lines_add_file(struct plan_writer *writer, const char *name, uint64_t bytes,
                        uint64_t unit_bytes, struct error *err);
/* The last line. */
int plan_lines_end(struct plan_writer *writer, struct error *err);
void plan_lines_writer_close(struct plan_writer *writer); /* all zeros are legal */

/* ---- reading ---- */

struct plan_file {
    const char *path; /* the caller's */
    FILE *file;
    char *first, *line; /* texts point into these */
    size_t line_room;
    struct plan_header header;
    struct digest plan;
    uint64_t units_begin, units_end; /* where the second line begins, and the last one */
    uint32_t units_count;            /* of the last line */
    uint64_t files_count, bytes;
    struct digest digest;     /* the same: of all lines before it */
    struct digest_fold *fold; /* of those that plan_lines_next() has read */
    struct unit unit;         /* the last one */
};

/* The first and the last line. -EBADMSG (ERROR_FILE) with words: it is no plan, or one that was cut
 * off or changed; or what else keeps it from being read. The caller closes in either case. */
int plan_lines_open(struct plan_file *plan, const char *path, struct error *err);

/* Unit `number` into plan->unit: 0, or as above. -EINVAL, ERROR_USAGE: there is none. */
int plan_lines_find(struct plan_file *plan, uint32_t number, struct error *err);

/* All of them, one after the other, into plan->unit, whose names are not kept: plan_lines_rewind()
 * goes before the first. 1; 0: that was the last, and the digest of all is right; or as above. */
int plan_lines_rewind(struct plan_file *plan, struct error *err);
int plan_lines_next(struct plan_file *plan, struct error *err);
void plan_lines_close(struct plan_file *plan); /* all zeros are legal */

/* ---- receipts ---- */

/* That a unit is done, or all of the plan: number 0. */
struct unit_receipt {
    uint32_t number;
    struct digest plan, unit; /* seals; of 0: the plan's, twice */
    uint64_t files_count, bytes_total, bytes_copied, bytes_kept, bytes_holes;
    uint64_t duration_ns;
    struct facts target; /* RANGE: as it was left; NONE: not known */
};

/* "PLAN.N.receipt" or "PLAN.receipt", to be freed; NULL: no memory. */
char *plan_lines_receipt_path(const char *plan_path, uint32_t number);

/* As a whole, and durable (replace.h). */
int plan_lines_receipt_write(const char *plan_path, const struct unit_receipt *receipt,
                             struct error *err);

/* 1: it is there; 0: it is not; -EBADMSG (ERROR_FILE): it is none, or was changed; -errno. All with
 * words. */
int plan_lines_receipt_read(const char *plan_path, uint32_t number, struct unit_receipt *receipt,
                            struct error *err);

#endif
