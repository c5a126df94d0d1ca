/* operands.h - SOURCE... TARGET of the command line: which file goes where, as cp and rsync do it.
 *
 * Only this machine's paths are built so far; everything else is refused in one clear line. */
#ifndef HAUL_OPERANDS_H
#define HAUL_OPERANDS_H

#include "haul/error.h"
#include "haul/options.h"

#include <stdbool.h>
#include <stdint.h>

struct operands {
    const char **sources; /* options->operands; not owned */
    uint32_t sources_count;
    const char *target;
    bool target_folder; /* the files go inside, under their names */
};

/* Look at the operands before anything is touched. Errors (ERROR_USAGE unless said): a side that is
 * not built yet, several sources without a folder or with -T, two sources of one name; ERROR_FILE:
 * a target that ends in "/" and is no folder, a folder with -T. */
int operands_resolve(struct operands *operands, const struct options *options, struct error *err);

/* Where a source goes, in memory that the caller frees; NULL: no memory. */
char *operands_target(const struct operands *operands, const char *source);

#endif
