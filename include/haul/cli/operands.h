/* operands.h - SOURCE... TARGET of the command line: which machine, and which file goes where, as
 * cp, scp and rsync do it.
 *
 * All sources are on one machine, and the target is on one. What can be said without asking another
 * machine is said by operands_resolve(); whether a target over there is a folder is the caller's to
 * find out, and operands_settle()'s to make something of. */
#ifndef HAUL_OPERANDS_H
#define HAUL_OPERANDS_H

#include "haul/base/error.h"
#include "haul/cli/options.h"
#include "haul/disk/file.h"
#include "haul/net/address.h"

#include <stdbool.h>
#include <stdint.h>

struct operands {
    const char **sources; /* paths on the sources' machine, most of them in the words of options */
    uint32_t sources_count, owned_count;
    char **owned;          /* those that are in no word */
    bool trees;            /* -r, or another option that takes what is no file: some may be trees */
    struct address source; /* of the first; its machine is everybody's */
    struct address target;
    uint64_t source_bytes;     /* by zero:SIZE; else 0 */
    bool nameless;             /* a source of pipes.h: its target has to be named */
    bool target_is_file;       /* -T */
    bool target_folder;        /* the files go inside, under their names */
    bool target_missing;       /* there is nothing; with -r the folder is made */
    bool target_made;          /* the run has made that folder, or the one of the only file; a dry
                                  run would */
    bool target_empty;         /* that folder is here, and there was nothing in it */
    struct facts target_facts; /* of that folder, where it was looked at there; else of nothing */
    uint32_t trees_count;      /* the last so many sources are trees; see trees_find() */
};

/* Look at the operands before anything is touched; a target on this machine is settled, too.
 * Errors (ERROR_USAGE unless said): what is no address (address.h), those of pipes.h, "-" twice,
 * sources of several machines, several sources with -T, two of one name, and those of
 * operands_settle(); ERROR_MEMORY. The words stay the caller's, who closes in either case. */
int operands_resolve(struct operands *operands, const struct options *options, struct error *err);

/* What the target is decides where the files go. Errors: several sources without a folder
 * (ERROR_USAGE); a target that ends in "/" and is no folder, a folder with -T
 * (ERROR_FILE). */
int operands_settle(struct operands *operands, const struct facts *target, struct error *err);

/* Two of the sources that are files would get the same name: ERROR_USAGE. */
int operands_refuse_twins(const struct operands *operands, struct error *err);

/* Other sources in the place of number `at`; the paths are taken over, and NULL afterwards.
 * ERROR_MEMORY. */
int operands_replace(struct operands *operands, uint32_t at, char **paths, uint32_t count,
                     struct error *err);

/* The target's path for a source, in memory that the caller frees; NULL with
 * words: no memory. */
char *operands_target(const struct operands *operands, const char *source, struct error *err);

/* Are the sources and the target on one machine, by what was typed? */
bool operands_one_machine(const struct operands *operands);

/* The host for a receipt; NULL: this machine. */
const char *operands_host(const struct address *address);

void operands_close(struct operands *operands); /* NULL is legal */

#endif
