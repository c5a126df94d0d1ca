/* parts.c - ranges as users and their tools write them. */
#include "haul/cli/parts.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/lines.h"
#include "haul/copy/choice.h"
#include "haul/disk/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_TEXT_BYTES = 256 };

/* "OFFSET,LENGTH", each a size. NULL, or what is wrong with it. */
static const char *parse_part(const char *text, struct range *part)
{
    char offset[SIZE_TEXT_BYTES];
    const char *comma = strchr(text, ',');
    uint64_t length;
    if (!comma)
        return "a range is OFFSET,LENGTH";
    if ((size_t)(comma - text) >= sizeof(offset))
        return "not a size before the comma";
    snprintf(offset, sizeof(offset), "%.*s", (int)(comma - text), text);
    if (!text_parse_size(offset, &part->start))
        return "not a size before the comma";
    if (!text_parse_size(comma + 1, &length))
        return "not a size behind the comma";
    if (length == 0)
        return "a range of no bytes";
    if (!add_u64(part->start, length, &part->end) || part->end > FILE_BYTES_MAX)
        return "no file is that large";
    return NULL;
}

static int parts_add(struct parts *parts, const char *before, const char *text, struct error *err)
{
    struct range part;
    const char *wrong = parse_part(text, &part);
    if (!wrong && parts->count == PARTS_MAX)
        wrong = "and more than a million of them are too many for one run";
    if (wrong)
        return error_usage(err, "%s%s: %s", before, text, wrong);
    if (is_power_of_two(parts->count) || parts->count == 0) {
        size_t room = parts->count > 0 ? 2 * (size_t)parts->count : 1;
        struct range *all = realloc(parts->all, room * sizeof(*all));
        if (!all)
            return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for so many ranges");
        parts->all = all;
    }
    parts->all[parts->count++] = part;
    return 0;
}

/* Lines that begin with # say nothing. */
static int read_file(struct parts *parts, const char *path, bool zeros, struct error *err)
{
    struct lines lines;
    char *line;
    int result = lines_open(&lines, path, zeros, "list of ranges", err);
    while (result == 0 && (result = lines_next(&lines, &line, err)) > 0) {
        result = line[0] == '#' ? 0 : parts_add(parts, "", line, err);
        if (result < 0)
            lines_wrong(&lines, result, err);
    }
    if (result == 0 && parts->count == 0)
        result =
            error_usage(err, "%s: there is no range in it, so nothing is to be copied", lines.path);
    lines_close(&lines);
    return result;
}

static int compare_parts(const void *a, const void *b)
{
    const struct range *one = a, *other = b;
    return (one->start > other->start) - (one->start < other->start);
}

/* Two of them at the same bytes would wait for each other's lock. */
static void join(struct parts *parts)
{
    uint32_t count = 0;
    qsort(parts->all, parts->count, sizeof(*parts->all), compare_parts);
    for (uint32_t i = 0; i < parts->count; i++) {
        struct range *last = count > 0 ? &parts->all[count - 1] : NULL;
        if (last && parts->all[i].start <= last->end)
            last->end = max_u64(last->end, parts->all[i].end);
        else
            parts->all[count++] = parts->all[i];
    }
    parts->count = count;
}

int parts_read(struct parts *parts, const struct options *options, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < options->ranges.count; i++)
        result = parts_add(parts, "--range=", options->ranges.items[i], err);
    if (result == 0 && options->ranges_from)
        result = read_file(parts, options->ranges_from, options->from_zeros, err);
    if (result == 0 && parts->count > 0)
        join(parts);
    return result;
}

int parts_refuse(const struct parts *parts, const struct options *options,
                 const struct operands *operands, struct error *err)
{
    const struct copy_wish *wish = &options->wish;
    const char *given = wish->manifest_path                             ? "--manifest"
                        : wish->base_path                               ? "--base-manifest"
                        : wish->file.journal_path && parts->count > 1   ? "--journal"
                        : wish->file.reflink == REFLINK_ALWAYS          ? "--reflink=always"
                        : wish->file.no_inplace                         ? "--no-inplace"
                        : wish->digest_path                             ? "--digest-file"
                        : wish->file.chown                              ? "--chown"
                        : wish->chmod.count > 0                         ? "--chmod"
                        : wish->tour.delete || wish->tour.remove_source ? "--delete or "
                                                                          "--remove-source-files"
                        : choice_any(&wish->choice)                     ? "--update, --existing or "
                                                                          "the like"
                        : wish->file.size_bytes > 0                     ? "--size"
                                                                        : NULL;
    if (parts->count == 0)
        return 0;
    if (operands->sources_count != 1 || operands->trees_count > 0)
        return error_usage(err, "--range is about one file");
    if (!given)
        return 0;
    return error_usage(err, "%s is about whole files, and --range about the bytes of one", given);
}

void parts_close(struct parts *parts)
{
    free(parts->all);
}
