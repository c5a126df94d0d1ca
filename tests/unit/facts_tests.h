/* facts_tests.h - facts of a file are the same in each member; between them may be anything. */
#ifndef HAUL_TESTS_FACTS_TESTS_H
#define HAUL_TESTS_FACTS_TESTS_H

#include "haul/disk/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A member more is one to compare. */
_Static_assert(sizeof(void *) < 8 || sizeof(struct facts) == 176, "the members of facts");

static inline void assert_same_facts(const struct facts *is, const struct facts *should)
{
#define SAME(member) assert_int_equal(is->member, should->member)
    SAME(kind);
    SAME(size_bytes);
    SAME(allocated_bytes);
    SAME(mode);
    SAME(uid);
    SAME(gid);
    SAME(mtime_seconds);
    SAME(mtime_ns);
    SAME(ctime_seconds);
    SAME(ctime_ns);
    SAME(device);
    SAME(inode);
    SAME(rdev);
    SAME(links);
    SAME(evidence.grade);
    SAME(evidence.identity);
    SAME(evidence.change);
    SAME(evidence.granularity_ns);
    SAME(evidence.keeps_change);
    SAME(evidence.machine);
    SAME(evidence.seen_ns);
    SAME(evidence.medium_device);
    SAME(evidence.medium_inode);
    SAME(evidence.medium_offset);
#undef SAME
}

#endif
