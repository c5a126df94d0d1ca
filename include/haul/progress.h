/* progress.h - what a person sees of a copy under way: phase, durable bytes, rate, time left.
 *
 * Pure: reads the counters of struct progress (report.h), is given the time, writes into buffers.
 * Counts durable bytes only (a copy that "is done" and then flushes for minutes is a lie); what is
 * written and not yet synced is shown in the bar as its own, lighter part. */
#ifndef HAUL_PROGRESS_H
#define HAUL_PROGRESS_H

#include "haul/report.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    PROGRESS_SAMPLES = 16, /* the rate is that of about the last 16 seconds */
    PROGRESS_LINE_BYTES = 512,
};

/* The counters at one moment. */
struct progress_view {
    enum phase phase;
    uint64_t bytes_total; /* NUM_UNKNOWN: of a device that does not say, or not opened yet */
    uint64_t bytes_durable;
    uint64_t bytes_holes;
    uint64_t bytes_written; /* copied and kept, durable or not */
    uint64_t bytes_copied, bytes_kept, bytes_repaired, bytes_verified;
    uint32_t lanes;
};

struct progress_sample {
    uint64_t at_ns;
    uint64_t bytes_durable;
};

/* Samples of the durable bytes, one a second, the oldest overwritten. All zeros is empty. */
struct progress_meter {
    struct progress_sample samples[PROGRESS_SAMPLES];
    uint32_t samples_count;
    uint32_t samples_next;
    struct progress_sample step; /* when durable bytes were last seen to grow: they do in steps */
    uint64_t rate;               /* bytes a second; NUM_UNKNOWN: too early to say */
    uint64_t left_ns;            /* at this rate; NUM_UNKNOWN */
};

void progress_read(struct progress_view *view, const struct progress *progress);

/* Take note of `view` at the time now_ns and work out rate and time left. A counter that went back
 * (the next file) starts the samples anew. Call it as often as you like. */
void progress_measure(struct progress_meter *meter, const struct progress_view *view,
                      uint64_t now_ns);

/* Durable bytes and holes in hundredths, rounded down; 100 only in the phase DONE. UINT32_MAX:
 * there is no total. */
uint32_t progress_percent(const struct progress_view *view);

/* One line without its end, for a terminal of so many columns (never longer); columns 0: a plain
 * line of words for a log. Returns out. */
const char *progress_line(char out[PROGRESS_LINE_BYTES], const struct progress_view *view,
                          const struct progress_meter *meter, uint32_t columns);

/* One event {"v":1,"event":"progress",...} and the end of the line. */
void progress_json(FILE *out, const struct progress_view *view, const struct progress_meter *meter);

#endif
