/* tour_shared.c - folders that several sources bring: what becomes of one is told once, by the
 * first tour of the run that makes or changes it, as with rsync; noted in a temporary file, by a
 * digest of its path. A dry run so tells of what another tour of it would have made. */
#include "tour_state.h"

#include <stdlib.h>

struct tour_shared {
    struct spill *spill; /* NULL: nothing was noted yet, or that is not possible */
};

struct tour_shared *tour_shared_open(void)
{
    return calloc(1, sizeof(struct tour_shared));
}

void tour_shared_close(struct tour_shared *shared)
{
    if (shared)
        spill_close(shared->spill);
    free(shared);
}

bool shared_was_told(const struct tour *tour, const char *path)
{
    const struct tour_shared *shared = tour->config.shared;
    uint64_t key[2];
    uint8_t mark;
    tour_key(path, key);
    return tour->shares && shared && shared->spill &&
           spill_get(shared->spill, key, &mark, sizeof(mark)) > 0;
}

void shared_tell(const struct tour *tour, const char *path)
{
    struct tour_shared *shared = tour->config.shared;
    const uint8_t mark = 1;
    uint64_t key[2];
    if (!tour->shares || !shared || (!shared->spill && spill_open(&shared->spill) < 0))
        return;
    tour_key(path, key);
    (void)spill_put(shared->spill, key, &mark, sizeof(mark));
}
