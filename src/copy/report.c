/* report.c - receipts added up. */
#include "haul/report.h"

#include "haul/num.h"

#include <string.h>

const char *phase_name(enum phase phase)
{
    static const char *const names[] = {
        [PHASE_OPENING] = "opening",     [PHASE_AUDITING] = "auditing",
        [PHASE_COMPARING] = "comparing", [PHASE_COPYING] = "copying",
        [PHASE_VERIFYING] = "verifying", [PHASE_SYNCING] = "syncing",
        [PHASE_DONE] = "done",
    };
    return names[phase];
}

/* Sums and peaks of which one part is not known are not known. */
static uint64_t sum_known(uint64_t a, uint64_t b)
{
    return a == NUM_UNKNOWN || b == NUM_UNKNOWN ? NUM_UNKNOWN : a + b;
}

static uint64_t max_known(uint64_t a, uint64_t b)
{
    return a == NUM_UNKNOWN || b == NUM_UNKNOWN ? NUM_UNKNOWN : max_u64(a, b);
}

static void side_report_add(struct side_report *sum, const struct side_report *one)
{
    uint64_t before = sum_known(sum->resident_before_bytes, one->resident_before_bytes);
    uint64_t peak = max_known(sum->resident_peak_bytes, one->resident_peak_bytes);
    uint64_t after = sum_known(sum->resident_after_bytes, one->resident_after_bytes);
    uint64_t memory = max_known(sum->memory_peak_bytes, one->memory_peak_bytes);
    uint8_t changed = sum->attributes_changed, lost = sum->attributes_lost;
    uint8_t asked = sum->attributes_asked;
    uint64_t cached = sum->reread_cached_bytes + one->reread_cached_bytes;
    *sum = *one; /* policy and reason of the last one */
    sum->resident_before_bytes = before;
    sum->resident_peak_bytes = peak;
    sum->resident_after_bytes = after;
    sum->memory_peak_bytes = memory;
    sum->attributes_changed |= changed;
    sum->attributes_lost |= lost;
    sum->attributes_asked |= asked;
    sum->reread_cached_bytes = cached;
}

void receipt_add(struct receipt *sum, const struct receipt *one)
{
    if (sum->files == 0) {
        *sum = *one;
        return;
    }
    sum->outcome = outcome_add(sum->outcome, one->outcome);
    sum->resumed = sum->resumed || one->resumed;
    sum->files += one->files;
    sum->bytes_total += one->bytes_total;
    sum->bytes_copied += one->bytes_copied;
    sum->bytes_kept += one->bytes_kept;
    sum->bytes_holes += one->bytes_holes;
    sum->bytes_repaired += one->bytes_repaired;
    sum->chunks_repaired += one->chunks_repaired;
    sum->bytes_verified += one->bytes_verified;
    sum->bytes_durable += one->bytes_durable;
    sum->duration_ns += one->duration_ns;
    sum->digest_known = false;
    sum->lanes = (uint32_t)max_u64(sum->lanes, one->lanes);
    sum->memory_peak_bytes = max_known(sum->memory_peak_bytes, one->memory_peak_bytes);
    sum->wire_bytes_sent += one->wire_bytes_sent;
    sum->wire_bytes_received += one->wire_bytes_received;
    side_report_add(&sum->source, &one->source);
    side_report_add(&sum->target, &one->target);
}
