/* tree.h - operands that are trees: which they are, where they go, and what is said about what
 * becomes of them. */
#ifndef HAUL_TREE_H
#define HAUL_TREE_H

#include "haul/cli/operands.h"
#include "haul/copy/copy.h"
#include "haul/copy/tour.h"

/* Look at the sources, of another machine through `copy`, and put those that are trees behind the
 * files: folders with -r; links, fifos and the like where options take them as what they are.
 * -errno with words: two files of one name, no memory. */
int trees_find(struct operands *operands, const struct copy_wish *wish, struct copy *copy,
               struct error *err);

/* All sources, as the tours of those that are trees have to know of each other. What it is opened
 * with outlives it. */
struct trees {
    struct copy *copy;
    const struct operands *operands;
    const struct copy_wish *wish;
    struct tour_source *sources; /* in the order of the operands; owned, as are their texts */
    uint32_t count;
    bool made; /* the target's folder, for one of them */
};
int trees_open(struct trees *trees, struct copy *copy, const struct operands *operands,
               const struct copy_wish *wish, struct error *err);
void trees_close(struct trees *trees);

/* Begin with that one of them; its target's folder is made where it is not there. broken: an error
 * came before it, so that it removes nothing. 1: it has begun; 0: it is left out, as nothing is
 * there (--existing); -errno with words. */
int trees_begin(struct trees *trees, uint32_t at, bool broken, struct error *err);

/* What is said about an event of it: as JSON, or with -v or -i in words. Failures are the caller's
 * to tell. */
void tree_print(const struct options *options, const struct tour_event *event,
                const struct receipt *receipt);

#endif
