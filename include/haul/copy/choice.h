/* choice.h - what is left out of a run by its facts alone: --update, --existing and their like. */
#ifndef HAUL_CHOICE_H
#define HAUL_CHOICE_H

#include "haul/copy/copy.h"
#include "haul/disk/file.h"

#include <stdbool.h>

/* Why nothing is to be done for this name, a constant that follows "skipped, "; NULL: it may be
 * copied. As rsync: sizes and ages are those of regular files, folders are made and entered
 * whatever is there. unfinished: the target is an earlier copy that has not come to its end, so
 * neither newer nor there. */
const char *choice_skip(const struct copy_wish *wish, const struct facts *source,
                        const struct facts *target, bool unfinished);

/* Are some of these wished that go by what is at the target? */
bool choice_goes_by_target(const struct choice_wish *wish);

/* ... or of all? */
bool choice_any(const struct choice_wish *wish);

#endif
