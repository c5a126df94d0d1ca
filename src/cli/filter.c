/* filter.c - rules from the command line, and from files of rules: line by line, and what they
 * merge in its place. */
#include "haul/cli/filter.h"

#include "haul/cli/lines.h"

#include <errno.h>
#include <string.h>

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

/* A line, or its words. Comments are none. */
static int filter_line(struct filter *filter, char *line, uint32_t form, struct error *err)
{
    static const char spaces[] = " \t\n\v\f\r";
    char *rest = NULL;
    int result = 0;
    if (!(form & RULES_WORDS))
        return line[0] == '#' || line[0] == ';' ? 0 : filter_rule(filter, line, form, err);
    for (char *word = strtok_r(line, spaces, &rest); word && result == 0;
         word = strtok_r(NULL, spaces, &rest))
        result = filter_rule(filter, word, form, err);
    return result;
}

static int filter_lines(struct filter *filter, struct lines *lines, uint32_t form,
                        struct error *err)
{
    char *line;
    int result;
    while ((result = lines_next(lines, &line, err)) > 0) {
        result = filter_line(filter, line, form, err);
        if (result == -ELOOP) /* else the same for each that is open */
            return result;
        if (result < 0)
            return lines_wrong(lines, result, err);
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
