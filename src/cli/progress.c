/* progress.c - name, phase, written and durable bytes, rate and time left, as a bar, as words and
 * as an event. */
#include "haul/cli/progress.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/output.h"

#include <inttypes.h>
#include <string.h>

void progress_read(struct progress_view *view, const struct progress *progress)
{
    view->phase = (enum phase)atomic_load(&progress->phase);
    view->bytes_total = atomic_load(&progress->bytes_total);
    view->bytes_durable = atomic_load(&progress->bytes_durable);
    view->bytes_holes = atomic_load(&progress->bytes_holes);
    view->bytes_copied = atomic_load(&progress->bytes_copied);
    view->bytes_kept = atomic_load(&progress->bytes_kept);
    view->bytes_repaired = atomic_load(&progress->bytes_repaired);
    view->bytes_verified = atomic_load(&progress->bytes_verified);
    view->bytes_written = view->bytes_copied + view->bytes_kept +
                          atomic_load(&progress->bytes_referenced) +
                          atomic_load(&progress->bytes_differing);
    view->lanes = atomic_load(&progress->lanes);
}

/* ---- rate and time left ---- */

static const struct progress_sample *sample_latest(const struct progress_meter *meter)
{
    return &meter->samples[(meter->samples_next + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES];
}

static const struct progress_sample *sample_oldest(const struct progress_meter *meter)
{
    uint32_t index = meter->samples_next + PROGRESS_SAMPLES - meter->samples_count;
    return &meter->samples[index % PROGRESS_SAMPLES];
}

static void sample_add(struct progress_meter *meter, const struct progress_sample *sample)
{
    meter->samples[meter->samples_next] = *sample;
    meter->samples_next = (meter->samples_next + 1) % PROGRESS_SAMPLES;
    if (meter->samples_count < PROGRESS_SAMPLES)
        meter->samples_count++;
}

/* With the holes, which need nothing; of the total at most. */
static uint64_t with_holes(const struct progress_view *view, uint64_t bytes)
{
    uint64_t there;
    if (!add_u64(bytes, view->bytes_holes, &there))
        there = UINT64_MAX;
    return min_u64(there, view->bytes_total);
}

/* Of the total, what is there, durable or not. What a resume has not looked at yet is durable all
 * the same. */
static uint64_t bytes_there(const struct progress_view *view)
{
    return with_holes(view, max_u64(view->bytes_written, view->bytes_durable));
}

static uint64_t bytes_left(const struct progress_view *view)
{
    return view->bytes_total == NUM_UNKNOWN ? NUM_UNKNOWN : view->bytes_total - bytes_there(view);
}

/* left / rate without overflow at any size. */
static uint64_t time_left(uint64_t left, uint64_t rate)
{
    if (left == 0)
        return 0;
    if (left == NUM_UNKNOWN || rate == NUM_UNKNOWN || rate == 0)
        return NUM_UNKNOWN;
    uint64_t time_ns;
    if (!mul_u64(div_ceil(left, rate), NS_PER_SECOND, &time_ns))
        return NUM_UNKNOWN;
    return time_ns;
}

static bool went_back(const struct progress_meter *meter, const struct progress_sample *now)
{
    const struct progress_sample *latest = sample_latest(meter);
    return meter->samples_count > 0 &&
           (now->bytes_copied < latest->bytes_copied || now->bytes_read < latest->bytes_read);
}

/* Since the last sample: what is it really doing? */
static enum phase phase_shown(const struct progress_meter *meter, const struct progress_view *view,
                              const struct progress_sample *now)
{
    const struct progress_sample *latest = sample_latest(meter);
    if (view->phase != PHASE_COPYING || meter->samples_count == 0)
        return view->phase;
    if (now->bytes_copied > latest->bytes_copied)
        return PHASE_COPYING;
    if (now->bytes_read > latest->bytes_read)
        return PHASE_COMPARING;
    return meter->phase == PHASE_COMPARING ? PHASE_COMPARING : PHASE_COPYING;
}

void progress_measure(struct progress_meter *meter, const struct progress_view *view,
                      uint64_t now_ns)
{
    const struct progress_sample now = {
        .at_ns = now_ns,
        .bytes_copied = view->bytes_copied,
        .bytes_read = view->bytes_written - view->bytes_copied + view->bytes_verified,
    };
    /* Nothing is known before the plan: what a resume finds at once is not speed. */
    if (view->phase == PHASE_OPENING || went_back(meter, &now))
        memset(meter, 0, sizeof(*meter));
    meter->phase = phase_shown(meter, view, &now);
    meter->rate = NUM_UNKNOWN;
    meter->left_ns = NUM_UNKNOWN;
    if (view->phase == PHASE_OPENING)
        return;
    if (meter->samples_count == 0 || now_ns - sample_latest(meter)->at_ns >= NS_PER_SECOND)
        sample_add(meter, &now);
    const struct progress_sample *oldest = sample_oldest(meter);
    uint64_t moved = now.bytes_copied > oldest->bytes_copied
                         ? now.bytes_copied - oldest->bytes_copied
                         : now.bytes_read - oldest->bytes_read;
    if (now_ns > oldest->at_ns && moved > 0)
        meter->rate = clock_rate(moved, now_ns - oldest->at_ns);
    meter->left_ns = time_left(bytes_left(view), meter->rate);
}

/* ---- the bar ---- */

/* part / whole of `scale`, rounded down, for any 64-bit numbers. */
static uint32_t scale_down(uint64_t part, uint64_t whole, uint32_t scale)
{
    if (part >= whole)
        return scale;
    while (whole > UINT64_MAX / scale) {
        part >>= 1;
        whole >>= 1;
    }
    return num_u32(part * scale / whole);
}

uint32_t progress_percent(const struct progress_view *view)
{
    uint64_t left = bytes_left(view);
    if (left == NUM_UNKNOWN)
        return UINT32_MAX;
    if (left == 0)
        return view->phase == PHASE_DONE ? 100 : view->bytes_total == 0 ? 0 : 99;
    return scale_down(view->bytes_total - left, view->bytes_total, 100);
}

/* Durable bytes and holes; of a comparison what was compared. */
static uint64_t bytes_solid(const struct progress_view *view)
{
    return view->phase == PHASE_COMPARING ? bytes_there(view)
                                          : with_holes(view, view->bytes_durable);
}

/* " [====>---    ]": = durable, - written and not yet synced. `columns` between the brackets. */
static void bar_text(char *out, size_t capacity, const struct progress_view *view, uint32_t columns)
{
    assert(columns + 4 <= capacity);
    uint64_t total = view->bytes_total, solid = bytes_solid(view);
    uint32_t solid_columns = scale_down(solid, total, columns);
    uint32_t there_columns = scale_down(bytes_there(view), total, columns);
    out[0] = ' ';
    out[1] = '[';
    for (uint32_t i = 0; i < columns; i++)
        out[i + 2] = i < solid_columns ? '=' : i < there_columns ? '-' : ' ';
    if (solid_columns > 0 && solid_columns < columns)
        out[solid_columns + 1] = '>';
    out[columns + 2] = ']';
    out[columns + 3] = '\0';
}

/* ---- pieces of the line ---- */

enum { FIGURE_BYTES = 2 * TEXT_NUMBER_BYTES + 32, FIGURES_BYTES = 5 * FIGURE_BYTES };
enum { NAME_BYTES = 4 * PROGRESS_COLUMNS_MAX, PREFIX_BYTES = 64 };

enum piece {
    PIECE_WRITTEN = 1,
    PIECE_RATE = 2,
    PIECE_LEFT = 4,
    PIECE_DURABLE = 8,
    PIECE_LANES = 16,
    PIECE_NAME = 32,
    PIECE_BAR = 64,
    PIECE_MOST = PIECE_WRITTEN | PIECE_RATE | PIECE_LEFT | PIECE_DURABLE | PIECE_NAME,
};

/* How units are written: "4.30 GiB", "4.30G", "4.3G". */
enum style { STYLE_LONG, STYLE_SHORT, STYLE_TINY };

/* What is shown, from the widest to the narrowest: the first that fits. */
static const struct layout {
    enum style style;
    unsigned int pieces;
    uint32_t name_min; /* columns that a longer name is given at least */
} layouts[] = {
    {STYLE_LONG, PIECE_MOST | PIECE_LANES | PIECE_BAR, 24},
    {STYLE_LONG, PIECE_MOST | PIECE_BAR, 24},
    {STYLE_SHORT, PIECE_MOST | PIECE_LANES | PIECE_BAR, 11},
    {STYLE_SHORT, PIECE_MOST | PIECE_BAR, 11},
    {STYLE_SHORT, PIECE_MOST, 11},
    {STYLE_TINY, PIECE_MOST, 8},
    {STYLE_TINY, PIECE_MOST & ~PIECE_DURABLE, 6},
    {STYLE_TINY, PIECE_RATE | PIECE_LEFT | PIECE_NAME, 6},
    {STYLE_TINY, PIECE_RATE | PIECE_LEFT, 0},
    {STYLE_TINY, PIECE_LEFT, 0},
    {STYLE_TINY, 0, 0},
};

enum { BAR_COLUMNS_MIN = 10, BAR_FRAME_COLUMNS = 3 };

/* "4.30 GiB", "4.30G", and of tiny ones no more than two digits behind a point of one. */
static const char *size_text(char out[TEXT_NUMBER_BYTES], uint64_t bytes, enum style style)
{
    text_size(out, bytes);
    char *blank = strchr(out, ' '), *point = strchr(out, '.');
    if (style == STYLE_LONG || !blank)
        return out;
    if (style == STYLE_TINY && point) {
        char *cut = point == out + 1 ? point + 2 : point;
        memmove(cut, blank, strlen(blank) + 1);
        blank = cut;
    }
    memmove(blank, blank + 1, 1); /* the unit's letter; B of bytes is one, too */
    blank[1] = '\0';
    return out;
}

/* "0:11", "12:03", "1:02:03"; of days "3d 4h". */
static const char *left_text(char out[TEXT_NUMBER_BYTES], uint64_t left_ns)
{
    uint64_t seconds = div_ceil(left_ns, NS_PER_SECOND);
    if (seconds >= 100 * 3600)
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400,
                 seconds / 3600 % 24);
    else if (seconds >= 3600)
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
                 seconds / 60 % 60, seconds % 60);
    else
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
    return out;
}

static void written_text(char out[FIGURE_BYTES], const struct progress_view *view, enum style style)
{
    char there[TEXT_NUMBER_BYTES], total[TEXT_NUMBER_BYTES];
    size_text(there, bytes_there(view), style);
    if (view->bytes_total == NUM_UNKNOWN) {
        snprintf(out, FIGURE_BYTES, "%s", there);
        return;
    }
    size_text(total, view->bytes_total, style);
    char *unit = there + strlen(there) - 1;
    if (style != STYLE_LONG && *unit == total[strlen(total) - 1]) /* "2.00/4.00G" */
        *unit = '\0';
    snprintf(out, FIGURE_BYTES, style == STYLE_LONG ? "%s of %s" : "%s/%s", there, total);
}

static void figures_add(char out[FIGURES_BYTES], enum style style, const char *figure)
{
    size_t used = strlen(out);
    const char *between = used == 0 ? "" : style == STYLE_LONG ? ", " : " ";
    snprintf(out + used, FIGURES_BYTES - used, "%s%s", between, figure);
}

/* Is there anything to say of what is durable? A comparison makes nothing so. */
static bool durable_known(const struct progress_view *view)
{
    return view->phase != PHASE_COMPARING;
}

/* Everything behind the bar, as far as it is known. */
static void figures_text(char out[FIGURES_BYTES], const struct progress_view *view,
                         const struct progress_meter *meter, const struct layout *layout)
{
    char number[TEXT_NUMBER_BYTES], figure[FIGURE_BYTES];
    enum style style = layout->style;
    out[0] = '\0';
    if (layout->pieces & PIECE_WRITTEN) {
        written_text(figure, view, style);
        figures_add(out, style, figure);
    }
    if (layout->pieces & PIECE_RATE && meter->rate != NUM_UNKNOWN) {
        snprintf(figure, sizeof(figure), "%s/s", size_text(number, meter->rate, style));
        figures_add(out, style, figure);
    }
    if (layout->pieces & PIECE_LEFT && meter->left_ns != NUM_UNKNOWN && meter->left_ns > 0) {
        snprintf(figure, sizeof(figure), style == STYLE_TINY ? "%s" : "%s left",
                 left_text(number, meter->left_ns));
        figures_add(out, style, figure);
    }
    if (layout->pieces & PIECE_DURABLE && durable_known(view)) {
        uint64_t solid = view->bytes_total == NUM_UNKNOWN ? view->bytes_durable : bytes_solid(view);
        snprintf(figure, sizeof(figure), "%s durable", size_text(number, solid, style));
        figures_add(out, style, figure);
    }
    if (layout->pieces & PIECE_LANES && view->lanes > 1) {
        snprintf(figure, sizeof(figure), "%" PRIu32 " lanes", view->lanes);
        figures_add(out, style, figure);
    }
}

/* ---- the line ---- */

/* "2/3 ", where there are several. */
static void count_text(char out[PREFIX_BYTES], const struct progress_view *view)
{
    out[0] = '\0';
    if (view->count > 1)
        snprintf(out, PREFIX_BYTES, "%" PRIu32 "/%" PRIu32 " ", view->number, view->count);
}

static void percent_text(char out[PREFIX_BYTES], const struct progress_view *view,
                         const char *format)
{
    uint32_t percent = progress_percent(view);
    out[0] = '\0';
    if (percent != UINT32_MAX)
        snprintf(out, PREFIX_BYTES, format, percent);
}

/* One layout. false: it does not fit. */
static bool line_try(char out[PROGRESS_LINE_BYTES], const struct progress_view *view,
                     const struct progress_meter *meter, const struct layout *layout,
                     uint32_t columns)
{
    char count[PREFIX_BYTES], percent[PREFIX_BYTES], figures[FIGURES_BYTES];
    char escaped[NAME_BYTES] = "", name[NAME_BYTES], bar[PROGRESS_COLUMNS_MAX + 8] = "";
    const char *phase = phase_name(meter->phase);
    count_text(count, view);
    percent_text(percent, view, layout->style == STYLE_TINY ? " %u%%" : " %3u%%");
    figures_text(figures, view, meter, layout);
    if (layout->pieces & PIECE_NAME && view->name)
        text_escape(escaped, sizeof(escaped), view->name);

    /* Everything but name and bar. */
    uint32_t used = (uint32_t)(strlen(count) + strlen(phase) + strlen(percent) + strlen(figures)) +
                    (figures[0] ? 1 : 0) + (escaped[0] ? 1 : 0);
    bool with_bar = layout->pieces & PIECE_BAR && percent[0] && view->bytes_total > 0;
    uint32_t bar_least = with_bar ? BAR_COLUMNS_MIN + BAR_FRAME_COLUMNS : 0;
    uint32_t whole = text_columns(escaped);
    uint32_t least = (uint32_t)min_u64(whole, layout->name_min);
    if (used + least + bar_least > columns)
        return false;
    text_fit(name, sizeof(name), escaped, (uint32_t)min_u64(whole, columns - used - bar_least));
    if (with_bar)
        bar_text(bar, sizeof(bar), view, columns - used - text_columns(name) - BAR_FRAME_COLUMNS);
    snprintf(out, PROGRESS_LINE_BYTES, "%s%s%s%s%s%s%s%s", count, name, name[0] ? " " : "", phase,
             percent, bar, figures[0] ? " " : "", figures);
    return true;
}

/* For a log: "disk.img: copying: 25 %, ...". */
static const char *line_plain(char out[PROGRESS_LINE_BYTES], const struct progress_view *view,
                              const struct progress_meter *meter)
{
    static const struct layout all = {STYLE_LONG, PIECE_MOST | PIECE_LANES, 0};
    char count[PREFIX_BYTES], percent[PREFIX_BYTES], figures[FIGURES_BYTES], name[NAME_BYTES] = "";
    count_text(count, view);
    percent_text(percent, view, "%u %%, ");
    figures_text(figures, view, meter, &all);
    if (view->name)
        text_escape(name, sizeof(name) / 2, view->name);
    snprintf(out, PROGRESS_LINE_BYTES, "%s%s%s%s: %s%s", count, name, name[0] ? ": " : "",
             phase_name(meter->phase), percent, figures);
    return out;
}

const char *progress_line(char out[PROGRESS_LINE_BYTES], const struct progress_view *view,
                          const struct progress_meter *meter, uint32_t columns)
{
    if (columns == 0)
        return line_plain(out, view, meter);
    columns = (uint32_t)min_u64(columns, PROGRESS_COLUMNS_MAX);
    for (size_t i = 0; i < COUNT_OF(layouts); i++) {
        if (line_try(out, view, meter, &layouts[i], columns))
            return out;
    }
    snprintf(out, (size_t)columns + 1, "%s", phase_name(meter->phase));
    return out;
}

void progress_json(FILE *out, const struct progress_view *view, const struct progress_meter *meter)
{
    flockfile(out);
    fprintf(out, "{\"v\":1,\"event\":\"progress\"");
    output_json_string(out, "phase", phase_name(meter->phase));
    output_json_string(out, "name", view->name);
    output_json_number(out, "file", view->number);
    output_json_number(out, "files", view->count);
    output_json_number(out, "bytes_total", view->bytes_total);
    output_json_number(out, "bytes_durable", view->bytes_durable);
    output_json_number(out, "bytes_copied", view->bytes_copied);
    output_json_number(out, "bytes_kept", view->bytes_kept);
    output_json_number(out, "bytes_holes", view->bytes_holes);
    output_json_number(out, "bytes_repaired", view->bytes_repaired);
    output_json_number(out, "bytes_verified", view->bytes_verified);
    output_json_number(out, "bytes_per_second", meter->rate);
    output_json_seconds(out, "seconds_left", meter->left_ns);
    output_json_number(out, "lanes", view->lanes);
    output_json_number(out, "slots_halved", view->slots_halved);
    fputs("}\n", out);
    funlockfile(out);
}
