/* run_one.h - one file copied from start to finish, for tests that have no others. */
#ifndef HAUL_TESTS_RUN_ONE_H
#define HAUL_TESTS_RUN_ONE_H

#include "haul/copy/copy.h"

static inline int run_one(struct copy *copy, const char *source_path, const char *target_path,
                          struct receipt *receipt, struct error *err)
{
    (void)copy_begin(copy, false, source_path, target_path);
    return copy_collect(copy, receipt, err);
}

#endif
