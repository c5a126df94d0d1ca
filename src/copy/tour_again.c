/* tour_again.c - a link was lost under a tour. What was under way waits and does its step again
 * with the next link: all of them may be done twice. The walk, if it was told through that link, is
 * told from its beginning, and what was taken of it is skipped: when it is the same row of names,
 * the tour is where it was. Else the source has changed, and all of it is looked at again, where
 * what was copied is found up to date. */
#include "tour_state.h"

#include "haul/base/hash.h"

#include <string.h>

bool tour_strands(struct tour *tour, struct life *life)
{
    const bool *redials = tour->config.redials;
    if (life->result == 0 || !life->lost || !redials || !*redials || tour->stopped)
        return false;
    tour->cut_off = true;
    if (life == &tour->walk) {
        tour->walk_busy = false;
        tour->walk_stranded = true;
    } else if (life != &tour->sync) {
        task_of(life)->next = tour->stranded;
        tour->stranded = task_of(life);
    }
    return true;
}

/* ---- the walk ---- */

static uint64_t row_sum(uint64_t before, const struct entry *entry)
{
    const char *name = entry->name ? entry->name : "";
    return checksum_of(name, strlen(name), before + entry->type);
}

bool tour_takes(struct tour *tour, const struct entry *entry)
{
    if (entry->type == ENTRY_USER || entry->type == ENTRY_GROUP)
        return true;
    if (tour->skip_count == 0) {
        tour->taken_count++;
        tour->taken_sum = row_sum(tour->taken_sum, entry);
        return true;
    }
    tour->skipped_sum = row_sum(tour->skipped_sum, entry);
    tour->astray = --tour->skip_count == 0 && tour->skipped_sum != tour->taken_sum;
    return false;
}

bool tour_has_told(struct tour *tour, const struct life *life)
{
    if (life->outcome.kind == OUTCOME_UP_TO_DATE && tour->untold_count > 0) {
        tour->untold_count--;
        return true;
    }
    tour->told_count += outcome_good(&life->outcome) && !tour->wish->tour.remove_source;
    return false;
}
