/* progress.h - what a person sees of a copy under way: which file, phase, how far, rate, time left.
 *
 * Pure: reads the counters of struct progress (report.h), is given the time, writes into buffers.
 * Percent, rate and time left are of what is written (a resume's: written now); how much of it is
 * durable stands beside, and is the solid part of the bar. */
#ifndef HAUL_PROGRESS_H
#define HAUL_PROGRESS_H

#include "haul/side/report.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    PROGRESS_SAMPLES = 16, /* the rate is that of about the last 16 seconds */
    PROGRESS_COLUMNS_MAX = 400,
    PROGRESS_LINE_BYTES = 4096, /* a character may be 4 bytes, an escape is 4 columns */
};

/* The counters at one moment. */
struct progress_view {
    const char *name; /* of the file, as it is; NULL: there is none yet */
    uint32_t number;  /* which one of so many files; 0 or 1 of 1 is not shown */
    uint32_t count;
    enum phase phase;
    uint64_t bytes_total; /* NUM_UNKNOWN: of a device that does not say, or not opened yet */
    uint64_t bytes_durable;
    uint64_t bytes_holes;
    uint64_t bytes_written; /* copied and kept, durable or not; of a comparison: compared */
    uint64_t bytes_copied, bytes_kept, bytes_repaired, bytes_verified;
    uint32_t lanes;
    uint32_t slots_halved; /* as in control.h */
};

struct progress_sample {
    uint64_t at_ns;
    uint64_t bytes_copied;
    uint64_t bytes_read; /* kept, compared, verified */
};

/* Samples, one a second, the oldest overwritten. All zeros is empty. */
struct progress_meter {
    struct progress_sample samples[PROGRESS_SAMPLES];
    uint32_t samples_count;
    uint32_t samples_next;
    enum phase phase; /* to be shown: a copy that only finds what is there right is comparing */
    uint64_t rate; /* bytes a second, written now; while nothing is, read; NUM_UNKNOWN: too early */
    uint64_t left_ns; /* at this rate; NUM_UNKNOWN */
};

/* Name, number and count are left alone. */
void progress_read(struct progress_view *view, const struct progress *progress);

/* Take note of `view` at the time now_ns and work out rate and time left. A counter that went back
 * (the next file) starts the samples anew. Call it as often as you like. */
void progress_measure(struct progress_meter *meter, const struct progress_view *view,
                      uint64_t now_ns);

/* Written bytes and holes in hundredths, rounded down; 100 only in the phase DONE. UINT32_MAX:
 * there is no total. */
uint32_t progress_percent(const struct progress_view *view);

/* One line without its end, for a terminal of so many columns (never wider); columns 0: a plain
 * line of words for a log. On a narrow terminal the bar goes first, then units, durable bytes,
 * written bytes, times; the name is shortened. Returns out. */
const char *progress_line(char out[PROGRESS_LINE_BYTES], const struct progress_view *view,
                          const struct progress_meter *meter, uint32_t columns);

/* One event {"v":1,"event":"progress",...} and the end of the line. */
void progress_json(FILE *out, const struct progress_view *view, const struct progress_meter *meter);

#endif
