/* units.h - what a transfer asks when it is about a plan: one that is made, a unit that is done, or
 * what is left when all are.
 *
 * The transfer copies as always; this says of what, sees that the source is the one of the plan
 * before and after, and writes down what came of it. */
#ifndef HAUL_UNITS_H
#define HAUL_UNITS_H

#include "haul/base/error.h"
#include "haul/cli/operands.h"
#include "haul/cli/plan_lines.h"
#include "haul/copy/copy.h"
#include "haul/copy/tour.h"

#include <stdbool.h>
#include <stdint.h>

enum units_task {
    UNITS_PLAN,   /* a dry run, whose files become units */
    UNITS_RUN,    /* the unit that plan->unit is */
    UNITS_FINISH, /* large files are committed, and all the rest is done */
};

struct units {
    enum units_task task;
    /* PLAN: the command's words and folder; the rest comes with the operands */
    struct plan_header header;
    struct plan_writer writer;
    bool began; /* its first line is written */
    /* RUN, FINISH */
    struct plan_file *plan;
    struct unit_receipt receipt; /* RUN: of the unit; FINISH: the sum of all */

    bool dry;                 /* nothing is to be changed */
    struct job_root roots[2]; /* of a tree, by role */
    char *name;          /* owned: of the file that is under way, beneath them; "": the only one */
    struct facts source; /* of the plan */
    struct facts target; /* FINISH: as it is now */
    bool one;            /* FINISH: all receipts are of one target ... */
    bool last;           /* ... and after one of them nobody has written to it */
};

/* RUN and FINISH: instead of those of the command line, where that is not the same, what this one
 * copies, and how. -errno with words. */
int units_place(struct units *units, struct operands *operands, struct copy_wish *wish,
                struct error *err);

/* Both sides are there, nothing is copied yet. RUN: the source is still what it was: else -ESTALE
 * (ERROR_CHANGED). FINISH: the same of each large file, and of a tree they are committed now. */
int units_begin(struct units *units, struct copy *copy, struct error *err);

/* The file that is copied: all that is not set yet. */
void units_part(const struct units *units, struct copy_part *part);

/* RUN: all is copied; the source is looked at again, and the target for the receipt. */
int units_end(struct units *units, struct copy *copy, struct error *err);

/* RUN, FINISH: that was durable; the receipt is, then. */
int units_write(struct units *units, const struct receipt *sum, struct error *err);

/* PLAN: the only file, that would be copied, is up to date, or else; the tree that is walked; an
 * event of it; its end. */
int units_plan_file(struct units *units, struct copy *copy, const struct receipt *receipt,
                    struct error *err);
int units_plan_tree(struct units *units, const char *from, const char *to, struct error *err);
int units_plan_event(struct units *units, const struct tour_event *event,
                     const struct receipt *receipt, struct error *err);
int units_plan_end(struct units *units, struct error *err);

/* What it owns; all zeros are legal. */
void units_close(struct units *units);

#endif
