/* lane_trial.h - how many lanes an automatic number of them is. Only decides, from what was
 * measured; who measures, opens and closes lanes is lane_team.c. */
#ifndef HAUL_LANE_TRIAL_H
#define HAUL_LANE_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

/* What a copy did in a while. */
struct lane_sample {
    uint64_t took_ns, moved_bytes;
    uint64_t ended_ns;         /* that while */
    uint64_t left_bytes;       /* then: of the file, and of those that wait */
    uint64_t idle_permille[2]; /* of one processor, meanwhile: here, far away; or NUM_UNKNOWN */
};

enum lane_move {
    LANE_LOOK,  /* take a sample of look_ms, and come again */
    LANE_OPEN,  /* open one more, say lane_trial_opened(), take a sample and come again */
    LANE_CLOSE, /* close the last one, it counts no more, and leave it at that */
    LANE_REST,  /* leave it at what there is, in this file at least */
};

/* From 1 lane on. A lane more costs a login, which takes processors from the others, so each is a
 * trial: it is opened where it may help, and closed again when it makes the copy slower. There is
 * no second one for what was closed.
 *
 * One serves all files of a run: what was found out holds for a minute, and what was not is gone on
 * with in the next file. All zeros: no file has begun. */
struct lane_trial {
    uint32_t lanes, lanes_most;
    uint32_t look_ms;              /* of the next sample */
    uint32_t login_ms;             /* of the last lane; 0: none was opened */
    uint32_t line_ms;              /* of that what the line alone took */
    uint32_t settle_ms;            /* so long it still gets up to speed */
    uint64_t before_rate;          /* with one lane less, bytes a second; 0: there is none */
    uint64_t took_ns, moved_bytes; /* by so many lanes, as far as they count */
    uint32_t grown_ms;             /* so long the rate of one lane has grown, ... */
    bool steady;                   /* ... and does no more */
    bool decided;                  /* so many lanes, nothing is to be measured ... */
    uint64_t asof_ns;              /* ... as was found then; else the last sample's end */
};

/* A file begins, with `lanes` of so many at most: one, or as many as earlier files have shown to be
 * worth it. If nothing is decided the first sample is of look_ms, too. */
void lane_trial_begin(struct lane_trial *trial, uint32_t lanes_most, uint64_t now_ns);

/* What to do after a sample of look_ms. */
enum lane_move lane_trial_next(struct lane_trial *trial, const struct lane_sample *sample);

/* What LANE_OPEN asked for is done, and has taken so long. A round trip is of an idle line. */
void lane_trial_opened(struct lane_trial *trial, uint64_t login_ms, uint64_t round_trip_ms);

#endif
