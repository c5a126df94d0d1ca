/* report.c - receipts added up. */
#include "haul/side/report.h"

#include "haul/base/num.h"

#include <stdio.h>
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

/* Words that are none already are not written: most pages of them are never touched. */
static void say(char words[POLICY_WHY_BYTES], const char *text)
{
    if (words[0] || text[0])
        snprintf(words, POLICY_WHY_BYTES, "%s", text);
}

void side_say(struct job *job, enum side_role role, const char *policy, const char *engine)
{
    if (!job->words)
        return;
    say(job->words[role].policy, policy);
    say(job->words[role].engine, engine);
}

void side_unsay(struct side_words *words)
{
    say(words->policy, "");
    say(words->engine, "");
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

/* What earlier files have left is there while the next one is copied. */
static uint64_t peak_of_both(const struct side_report *sum, const struct side_report *one)
{
    return max_known(sum->resident_peak_bytes,
                     sum_known(sum->resident_after_bytes, one->resident_peak_bytes));
}

/* Of a file that was up to date nothing was opened, and nothing is to be added. true: policy and
 * reason are those of this one now. */
static bool side_report_add(struct side_report *sum, const struct side_report *one)
{
    const struct side_report old = *sum;
    uint8_t changed = old.attributes_changed | one->attributes_changed;
    uint8_t lost = old.attributes_lost | one->attributes_lost;
    uint8_t asked = old.attributes_asked | one->attributes_asked;
    if (one->policy != POLICY_AUTO)
        *sum = *one;
    if (one->policy != POLICY_AUTO && old.policy != POLICY_AUTO) {
        sum->resident_before_bytes =
            sum_known(old.resident_before_bytes, one->resident_before_bytes);
        sum->resident_after_bytes = sum_known(old.resident_after_bytes, one->resident_after_bytes);
        sum->resident_peak_bytes = peak_of_both(&old, one);
        sum->memory_peak_bytes = max_known(old.memory_peak_bytes, one->memory_peak_bytes);
        sum->kernel_bytes = max_known(old.kernel_bytes, one->kernel_bytes);
        sum->reread_cached_bytes += old.reread_cached_bytes;
    }
    sum->attributes_changed = changed;
    sum->attributes_lost = lost;
    sum->attributes_asked = asked;
    return one->policy != POLICY_AUTO;
}

#define ADD_FIGURE(name)  sum->name += one->name;
#define SHOW_FIGURE(name) shown->name = sum->name;
#define TAKE_FIGURE(name) receipt->name = progress->name;

void progress_add(struct progress *sum, const struct progress *one)
{
    uint64_t total_bytes = one->bytes_total;
    sum->bytes_total += total_bytes == NUM_UNKNOWN ? 0 : total_bytes;
    PROGRESS_FIGURES(ADD_FIGURE)
}

void progress_show(struct progress *shown, const struct progress *sum)
{
    PROGRESS_FIGURES(SHOW_FIGURE)
}

void receipt_count(struct receipt *receipt, const struct progress *progress)
{
    receipt->bytes_total = progress->bytes_total;
    PROGRESS_FIGURES(TAKE_FIGURE)
}

void receipt_add_wire(struct receipt *sum, const struct receipt *one)
{
    sum->wire_bytes_sent += one->wire_bytes_sent;
    sum->wire_bytes_received += one->wire_bytes_received;
}

void receipt_add(struct receipt *sum, const struct receipt *one)
{
    const struct receipt failed = {
        .wire_bytes_sent = sum->wire_bytes_sent,
        .wire_bytes_received = sum->wire_bytes_received,
    };
    uint64_t lost_counts[ATTRIBUTES_COUNT];
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        lost_counts[i] = sum->lost_counts[i] + one->lost_counts[i];
    if (sum->files == 0) {
        *sum = *one;
        memcpy(sum->lost_counts, lost_counts, sizeof(lost_counts));
        receipt_add_wire(sum, &failed);
        return;
    }
    sum->outcome = outcome_add(sum->outcome, one->outcome);
    sum->resumed = sum->resumed || one->resumed;
    sum->source_changed = sum->source_changed || one->source_changed;
    sum->files += one->files;
    sum->bytes_total = sum_known(sum->bytes_total, one->bytes_total);
    PROGRESS_FIGURES(ADD_FIGURE)
    sum->duration_ns += one->duration_ns;
    sum->digest_known = false;
    sum->whole_text[0] = '\0';
    sum->lanes = (uint32_t)max_u64(sum->lanes, one->lanes);
    sum->memory_peak_bytes = max_known(sum->memory_peak_bytes, one->memory_peak_bytes);
    sum->kernel = one->kernel; /* these are of the run so far */
    sum->slots_halved_most = one->slots_halved_most;
    sum->pressure = one->pressure;
    receipt_add_wire(sum, one);
    memcpy(sum->lost_counts, lost_counts, sizeof(lost_counts));
    if (side_report_add(&sum->source, &one->source))
        sum->words[SIDE_SOURCE] = one->words[SIDE_SOURCE];
    if (side_report_add(&sum->target, &one->target))
        sum->words[SIDE_TARGET] = one->words[SIDE_TARGET];
}
