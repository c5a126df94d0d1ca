/* tour_shared.c - folders that several sources bring: what becomes of one is told once, by the
 * first tour of the run that makes or changes it, as with rsync; noted in a temporary file, by a
 * digest of its path. A dry run so tells of what another tour of it would have made. */
#include "tour_state.h"

bool shared_was_told(const struct tour *tour, const char *path)
{
    uint64_t key[2];
    uint8_t mark;
    if (!tour->shares || !tour->config.shared)
        return false;
    tour_key(path, key);
    return spill_get(tour->config.shared, key, &mark, sizeof(mark)) > 0;
}

void shared_tell(const struct tour *tour, const char *path)
{
    const uint8_t mark = 1;
    uint64_t key[2];
    if (!tour->shares || !tour->config.shared)
        return;
    tour_key(path, key);
    (void)spill_put(tour->config.shared, key, &mark, sizeof(mark));
}
