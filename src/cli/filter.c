/* filter.c - rules from the command line, and from files of rules: line by line, and what they
 * merge in its place. */
#include "haul/cli/filter.h"

#include "haul/cli/lines.h"

#include <ctype.h>
#include <errno.h>

struct filter {
    struct rules *rules;
    bool zeros;
    uint32_t depth; /* of files that are open */
};

static int filter_file(struct filter *filter, const char *path, uint32_t form, struct error *err);

static int filter_rule(struct filter *filter, const char *text, uint32_t form, struct error *err)
{
    struct rules_merge merge;
    int result = rules_parse(filter->rules, text, form, &merge, err);
    return result == 1 ? filter_file(filter, merge.path, merge.form, err) : result;
}

/* Where the piece that begins at `text` ends: a file with zero bytes has no other ends of lines. */
static size_t piece_length(const struct lines *lines, const char *text, bool words)
{
    size_t length = 0;
    if (!words)
        return lines_length(lines, text);
    while (text[length] && !isspace((unsigned char)text[length]))
        length++;
    return length;
}

/* A line, or its words. Empty ones and comments are none. */
static int filter_line(struct filter *filter, const struct lines *lines, char *line, size_t length,
                       uint32_t form, struct error *err)
{
    bool words = form & RULES_WORDS;
    char *end = line + length;
    for (char *text = line; text < end;) {
        size_t piece = piece_length(lines, text, words);
        text[piece] = '\0';
        bool comment = !words && (text[0] == '#' || text[0] == ';');
        int result = piece > 0 && !comment ? filter_rule(filter, text, form, err) : 0;
        if (result < 0)
            return result;
        text += piece + 1;
    }
    return 0;
}

static int filter_lines(struct filter *filter, struct lines *lines, uint32_t form,
                        struct error *err)
{
    char *line;
    size_t length;
    int result;
    while ((result = lines_next(lines, &line, &length, err)) > 0) {
        result = filter_line(filter, lines, line, length, form, err);
        if (result < 0 && result != -ELOOP) /* else the same for each that is open */
            error_prefix(err, "%s, line %lu", lines->path, lines->number);
        if (result < 0)
            return result;
    }
    return result;
}

static int filter_file(struct filter *filter, const char *path, uint32_t form, struct error *err)
{
    struct lines lines;
    if (filter->depth == FILTER_DEPTH_MAX)
        return error_set_class(
            err, ERROR_USAGE, ELOOP,
            "%s: files of rules merge each other %d deep: does one merge itself?", path,
            FILTER_DEPTH_MAX);
    int result = lines_open(&lines, path, filter->zeros, "file of filter rules", err);
    if (result < 0)
        return result;
    filter->depth++;
    result = filter_lines(filter, &lines, form, err);
    filter->depth--;
    lines_close(&lines);
    return result;
}

static int filter_word(struct filter *filter, const struct filter_word *word, struct error *err)
{
    switch (word->kind) {
    case FILTER_EXCLUDE:
        return filter_rule(filter, word->text, RULES_EXCLUDE, err);
    case FILTER_INCLUDE:
        return filter_rule(filter, word->text, RULES_INCLUDE, err);
    case FILTER_EXCLUDE_FROM:
        return filter_file(filter, word->text, RULES_EXCLUDE, err);
    case FILTER_INCLUDE_FROM:
        return filter_file(filter, word->text, RULES_INCLUDE, err);
    default:
        return filter_rule(filter, word->text, RULES_FILTER, err);
    }
}

int filter_read(struct rules **out, const struct filter_word *words, uint32_t words_count,
                bool delete_excluded, bool zeros, struct error *err)
{
    struct filter filter = {.rules = rules_open(delete_excluded), .zeros = zeros};
    *out = NULL;
    if (!filter.rules)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for filter rules");
    for (uint32_t i = 0; i < words_count; i++) {
        int result = filter_word(&filter, &words[i], err);
        if (result < 0) {
            rules_close(filter.rules);
            return result;
        }
    }
    if (rules_count(filter.rules) == 0) {
        rules_close(filter.rules);
        filter.rules = NULL;
    }
    *out = filter.rules;
    return 0;
}
