/* progress.c - phase, durable bytes, rate and time left, as a bar, as words and as an event. */
#include "haul/progress.h"

#include "haul/clock.h"
#include "haul/num.h"
#include "haul/output.h"
#include "haul/text.h"

#include <inttypes.h>
#include <string.h>

enum { BAR_COLUMNS_MIN = 8, BAR_COLUMNS_MAX = 20 };

/* Without a step for so long, the copy is slow or stuck rather than between two checkpoints (at
 * most 5 s apart by default). */
#define STEP_NS_MAX (12 * NS_PER_SECOND)

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
    view->bytes_written = view->bytes_copied + view->bytes_kept;
    view->lanes = atomic_load(&progress->lanes);
}

static const struct progress_sample *sample_latest(const struct progress_meter *meter)
{
    return &meter->samples[(meter->samples_next + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES];
}

static const struct progress_sample *sample_oldest(const struct progress_meter *meter)
{
    uint32_t index = meter->samples_next + PROGRESS_SAMPLES - meter->samples_count;
    return &meter->samples[index % PROGRESS_SAMPLES];
}

static void sample_add(struct progress_meter *meter, uint64_t at_ns, uint64_t bytes_durable)
{
    meter->samples[meter->samples_next] = (struct progress_sample){at_ns, bytes_durable};
    meter->samples_next = (meter->samples_next + 1) % PROGRESS_SAMPLES;
    if (meter->samples_count < PROGRESS_SAMPLES)
        meter->samples_count++;
}

/* Bytes that still have to become durable; holes need nothing. */
static uint64_t bytes_left(const struct progress_view *view)
{
    uint64_t settled;
    if (view->bytes_total == NUM_UNKNOWN ||
        !add_u64(view->bytes_durable, view->bytes_holes, &settled))
        return NUM_UNKNOWN;
    return view->bytes_total > settled ? view->bytes_total - settled : 0;
}

/* left / rate without overflow at any size: seconds first, then the rest. */
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

void progress_measure(struct progress_meter *meter, const struct progress_view *view,
                      uint64_t now_ns)
{
    /* Nothing is known before the plan: what a resume finds durable at once is not speed. */
    bool backwards =
        meter->samples_count > 0 && view->bytes_durable < sample_latest(meter)->bytes_durable;
    if (view->phase == PHASE_OPENING || backwards)
        memset(meter, 0, sizeof(*meter));
    meter->rate = NUM_UNKNOWN;
    meter->left_ns = NUM_UNKNOWN;
    if (view->phase == PHASE_OPENING)
        return;
    if (meter->samples_count == 0 || view->bytes_durable > meter->step.bytes_durable)
        meter->step = (struct progress_sample){now_ns, view->bytes_durable};
    if (meter->samples_count == 0 || now_ns - sample_latest(meter)->at_ns >= NS_PER_SECOND)
        sample_add(meter, now_ns, view->bytes_durable);
    /* Up to the last step: until the next one nothing is known, and the rate would only sag. */
    const struct progress_sample *oldest = sample_oldest(meter);
    uint64_t since_ns = now_ns - meter->step.at_ns;
    uint64_t end_ns = since_ns > STEP_NS_MAX ? now_ns : meter->step.at_ns;
    if (end_ns > oldest->at_ns && view->bytes_durable > oldest->bytes_durable)
        meter->rate =
            clock_rate(view->bytes_durable - oldest->bytes_durable, end_ns - oldest->at_ns);
    meter->left_ns = time_left(bytes_left(view), meter->rate);
    if (meter->left_ns != NUM_UNKNOWN && since_ns <= STEP_NS_MAX)
        meter->left_ns -= min_u64(meter->left_ns, since_ns);
}

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

/* "[====>---    ]": = durable, - written and not yet synced. */
static void bar_text(char *out, size_t capacity, const struct progress_view *view, uint32_t columns)
{
    assert(columns + 3 <= capacity);
    uint64_t total = view->bytes_total;
    uint64_t durable = total - bytes_left(view);
    uint64_t written = max_u64(durable, min_u64(view->bytes_written + view->bytes_holes, total));
    uint32_t durable_columns = scale_down(durable, total, columns);
    uint32_t written_columns = scale_down(written, total, columns);
    out[0] = '[';
    for (uint32_t i = 0; i < columns; i++)
        out[i + 1] = i < durable_columns ? '=' : i < written_columns ? '-' : ' ';
    if (durable_columns > 0)
        out[durable_columns] = '>';
    out[columns + 1] = ']';
    out[columns + 2] = '\0';
}

/* Text is appended piece by piece; every piece is bounded, and so is their number. */
struct line {
    char *text;
    size_t capacity;
    size_t length;
};

static void add(struct line *line, const char *before, const char *text, const char *after)
{
    int length = snprintf(line->text + line->length, line->capacity - line->length, "%s%s%s",
                          before, text, after);
    assert(length >= 0 && (size_t)length < line->capacity - line->length);
    line->length += (size_t)length;
}

/* The words behind the bar: durable bytes, rate and time left as far as they are known. */
static void add_figures(struct line *line, const struct progress_view *view,
                        const struct progress_meter *meter, bool written_too)
{
    char number[TEXT_NUMBER_BYTES];
    uint64_t total = view->bytes_total;
    uint64_t settled = total != NUM_UNKNOWN ? total - bytes_left(view) : view->bytes_durable;
    uint64_t written = view->bytes_written + view->bytes_holes;
    add(line, "", text_size(number, settled), "");
    if (total != NUM_UNKNOWN)
        add(line, " of ", text_size(number, total), "");
    add(line, "", " durable", "");
    if (written_too && written > settled)
        add(line, ", ", text_size(number, written), " written");
    if (meter->rate != NUM_UNKNOWN)
        add(line, ", ", text_rate(number, meter->rate), "");
    if (meter->left_ns != NUM_UNKNOWN && meter->left_ns > 0)
        add(line, ", ", text_seconds(number, meter->left_ns), " left");
    if (view->lanes > 1) {
        snprintf(number, sizeof(number), "%" PRIu32, view->lanes);
        add(line, ", ", number, " lanes");
    }
}

const char *progress_line(char out[PROGRESS_LINE_BYTES], const struct progress_view *view,
                          const struct progress_meter *meter, uint32_t columns)
{
    char figures_text[PROGRESS_LINE_BYTES / 2], percent_text[16] = "";
    char bar[BAR_COLUMNS_MAX + 4] = "";
    struct line figures = {.text = figures_text, .capacity = sizeof(figures_text)};
    uint32_t percent = progress_percent(view);
    bool plain = columns == 0;
    add_figures(&figures, view, meter, plain);
    if (percent != UINT32_MAX)
        snprintf(percent_text, sizeof(percent_text), plain ? "%u %%, " : "%3u %% ", percent);
    /* "verifying" is the longest phase; brackets and a blank are three more columns. */
    size_t used = 10 + strlen(percent_text) + figures.length + 3;
    if (percent != UINT32_MAX && view->bytes_total > 0 && columns >= used + BAR_COLUMNS_MIN) {
        bar_text(bar, sizeof(bar), view, num_u32(min_u64(columns - used, BAR_COLUMNS_MAX)));
        strcat(bar, " ");
    }
    snprintf(out, PROGRESS_LINE_BYTES, plain ? "%s: %s%s%s" : "%-9s %s%s%s",
             phase_name(view->phase), percent_text, bar, figures_text);
    if (!plain && columns < PROGRESS_LINE_BYTES)
        out[columns] = '\0';
    return out;
}

void progress_json(FILE *out, const struct progress_view *view, const struct progress_meter *meter)
{
    flockfile(out);
    fprintf(out, "{\"v\":1,\"event\":\"progress\"");
    output_json_string(out, "phase", phase_name(view->phase));
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
    fputs("}\n", out);
    funlockfile(out);
}
