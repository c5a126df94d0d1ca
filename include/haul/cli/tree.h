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

/* One of them: where it is, in texts that tree_end() frees. All zeros is none. */
struct tree {
    char *source_root, *path, *target_root;
};

/* Begin with it; its target's folder is made where it is not there. broken: an error came before
 * it, so that it removes nothing. */
int tree_begin(struct tree *tree, struct copy *copy, const struct operands *operands,
               const struct copy_wish *wish, const char *source, bool broken, struct error *err);
void tree_end(struct tree *tree);

/* What is said about an event of it: as JSON, or with -v or -i in words. Failures are the caller's
 * to tell. */
void tree_print(const struct options *options, const struct tour_event *event,
                const struct receipt *receipt);

#endif
