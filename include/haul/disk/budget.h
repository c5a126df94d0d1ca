/* budget.h - how much memory this run may use, found before the first byte is allocated.
 *
 * The least of: the memory cgroup and all its ancestors (v1 and v2, nested, in namespaces),
 * MemAvailable, LowFree on 32-bit, RLIMIT_AS, RLIMIT_DATA, what --memory says. Rule:
 * budget = clamp((min(room, available) - reserved) / 4, 1 MiB, 64 MiB), at most LowFree /
 * 8; chunks of 1 MiB, 256 KiB below 4 MiB, 64 KiB below 1 MiB; at most 16 slots. Never more than
 * half of what there is, whatever is wished. */
#ifndef HAUL_BUDGET_H
#define HAUL_BUDGET_H

#include "haul/base/error.h"
#include "haul/disk/cgroup.h"

#include <stdbool.h>
#include <stdint.h>

/* What the machine says. The cgroup is the one, of ours and its ancestors, with the least room
 * (limit less usage) left, which need not be the one with the least limit. */
struct budget_facts {
    uint64_t cgroup_limit_bytes;  /* NUM_UNKNOWN: none */
    uint64_t cgroup_usage_bytes;  /* of the cgroup that has that limit; page cache of others can be
                                     reclaimed, so this is usage without inactive file pages */
    uint64_t available_bytes;     /* MemAvailable, or MemFree + Cached - Shmem on old kernels */
    uint64_t low_free_bytes;      /* LowFree; NUM_UNKNOWN on 64-bit */
    uint64_t address_space_bytes; /* least of RLIMIT_AS and RLIMIT_DATA; NUM_UNKNOWN: unlimited */
    char limited_by[64]; /* "cgroup /a/b", "MemAvailable", ...: the one that decides, for -v */
};

/* Read the facts of our cgroup and of the machine, below the root that it was found in (the rlimits
 * are always the process's own). What cannot be read is NUM_UNKNOWN. Reads a few small files. */
void budget_read(struct budget_facts *facts, const struct cgroup *cgroup);

struct budget {
    uint64_t limit_bytes;  /* what was allowed for slots. The windows come on top: 8 and 4 MiB only
                              where slots and 3 windows a side stay below 7/8 of the room */
    uint32_t chunk_bytes;  /* of a slot */
    uint32_t slots_count;  /* of all lanes together: the same number, at least 2, for each */
    uint32_t window_bytes; /* of one window of the policy `window`: a chunk to 8 MiB */
    uint32_t
        windows_count; /* of one side at a time: 3, or 2 where even windows of a chunk are many */
    bool windows_fit;  /* false: not even these, the kernel would end us */
    uint64_t memory_bytes; /* slots_count * chunk_bytes */
};

struct budget_wish {
    uint64_t memory_bytes; /* --memory: most memory for slots; 0: automatic (16 MiB, or 4 slots) */
    uint32_t chunk_bytes;  /* 0: automatic; otherwise a power of two, 64 KiB to 16 MiB */
    uint32_t chunk_bytes_most; /* the same, and less where 4 slots of it are too much; with
                                  chunk_bytes 0. 0: not given */
    uint64_t bytes_most; /* of all that is copied, 0: not known: no more slots than it has chunks,
                            but for two a lane and the rest of a huge page */
    uint32_t lanes;      /* the slots are divided among them; 0 is 1. Over 8 lanes get 2 each */
    uint64_t reserved_bytes; /* for SSH and the like, taken off first */
    bool windows; /* the policy `window` is asked for: the slots leave half of the room to them */
};

enum {
    CHUNK_BYTES_MIN = 64 * 1024,
    CHUNK_BYTES_DEFAULT = 1024 * 1024,
    CHUNK_BYTES_MAX = 16 * 1024 * 1024
};
enum { SLOTS_MAX = 16 };

/* Pure arithmetic. 0, or -ENOMEM (class ERROR_MEMORY) when not even two slots a lane fit, of the
 * smallest size, or of the wished one: says how much there is and how much is needed. budget is
 * then unchanged. */
int budget_decide(struct budget *budget, const struct budget_facts *facts,
                  const struct budget_wish *wish, struct error *err);

/* What has decided it, in words: --memory, what is built in, or facts->limited_by. */
const char *budget_limited_by(const struct budget *budget, const struct budget_facts *facts,
                              const struct budget_wish *wish);

/* How many lanes there is memory for, each a process with as many slots as this one and three of
 * the smallest windows; at least 1, at most `most`. The facts are from before the slots were taken.
 */
uint32_t budget_lanes(const struct budget_facts *facts, uint64_t slots_bytes,
                      uint64_t reserved_bytes, uint32_t most);

/* How many files this process may have open at the same time, by its limit on descriptors: those
 * that are copied in chunks, at least one, and small ones that go as a whole and need one each. Of
 * those more are under way where a side is far away, and one of both is in this process. */
struct budget_files {
    uint32_t open, small;
};
struct budget_files budget_files(bool far);

/* More of them, as far as this process may: as many as over a line are under way at one time. */
void budget_raise_files(void);

/* Peak resident memory of this process so far (VmHWM), bytes; NUM_UNKNOWN when /proc does not tell.
 * The kernel counts by CPU and folds lazily: a later call may give some 100 KiB less (Linux 6.18).
 */
uint64_t budget_memory_peak(void);

/* The same, as it was a tenth of a second ago at most: for what is told of each of many small
 * files. The kernel writes 60 lines to tell this one figure. */
uint64_t budget_memory_peak_lately(void);

#endif
