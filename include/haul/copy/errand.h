/* errand.h - a function that may wait for a disk, on a thread of its own: for the client's own
 * files, which belong to no side. */
#ifndef HAUL_ERRAND_H
#define HAUL_ERRAND_H

#include "haul/base/error.h"

#include <stdbool.h>

struct errand;

/* Start run(argument, err), which may touch only what nobody else touches until errand_end(). 0, or
 * -errno with words: it was not started. */
int errand_begin(struct errand **out, int (*run)(void *argument, struct error *err), void *argument,
                 struct error *err);

/* Has it returned? NULL is legal: no. */
bool errand_done(const struct errand *errand);

/* Its result, and its words where that is below 0. Blocks until it has returned; frees it. NULL is
 * legal: 0. */
int errand_end(struct errand *errand, struct error *err);

#endif
