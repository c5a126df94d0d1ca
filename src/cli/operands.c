/* operands.c - which file goes where. */
#include "haul/operands.h"

#include "haul/address.h"
#include "haul/cleanup.h"
#include "haul/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A side must be a path of this machine: what else an address can be is not built yet. */
static int require_local(const char *operand, struct error *err)
{
    struct address address;
    int rc = address_parse(&address, operand, err);
    if (rc < 0)
        return rc;
    if (address.kind == ADDRESS_PIPE)
        return error_set_class(err, ERROR_USAGE, EINVAL, "-: pipes are not supported yet");
    if (address.kind == ADDRESS_REMOTE)
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: other machines are not supported yet (a file of this name is "
                               "./%s)",
                               operand, operand);
    return 0;
}

/* The last part of a path and its length, without slashes behind it; all of "/" is empty. */
static const char *last_part(const char *path, size_t *length)
{
    const char *end = path + strlen(path);
    while (end > path && end[-1] == '/')
        end--;
    const char *start = end;
    while (start > path && start[-1] != '/')
        start--;
    *length = (size_t)(end - start);
    return start;
}

static int compare_names(const void *a, const void *b)
{
    size_t a_length, b_length;
    const char *a_name = last_part(*(const char *const *)a, &a_length);
    const char *b_name = last_part(*(const char *const *)b, &b_length);
    int order = memcmp(a_name, b_name, a_length < b_length ? a_length : b_length);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* Two sources of one name would be written over each other; cp refuses, too. */
static int refuse_twins(const struct operands *operands, struct error *err)
{
    AUTO_FREE const char **sorted = calloc(operands->sources_count, sizeof(*sorted));
    if (!sorted)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    memcpy(sorted, operands->sources, operands->sources_count * sizeof(*sorted));
    qsort(sorted, operands->sources_count, sizeof(*sorted), compare_names);
    for (uint32_t i = 1; i < operands->sources_count; i++)
        if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
            return error_set_class(err, ERROR_USAGE, EINVAL,
                                   "%s and %s would get the same name in %s", sorted[i - 1],
                                   sorted[i], operands->target);
    return 0;
}

static int check_target(struct operands *operands, bool target_is_file, struct error *err)
{
    struct facts facts;
    int rc = file_describe(operands->target, &facts, err);
    if (rc < 0)
        return rc;
    bool folder = facts.kind == FILE_FOLDER;
    bool slash = operands->target[strlen(operands->target) - 1] == '/';
    if (target_is_file && folder)
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder, and -T was given",
                               operands->target);
    if (!folder && slash)
        return error_set_class(err, ERROR_FILE, ENOTDIR, "%s: no such folder", operands->target);
    if (!folder && operands->sources_count > 1)
        return error_set_class(err, ERROR_USAGE, ENOTDIR,
                               "%s: not a folder, and there are several sources", operands->target);
    operands->target_folder = folder;
    return 0;
}

int operands_resolve(struct operands *operands, const struct options *options, struct error *err)
{
    operands->sources = options->operands;
    operands->sources_count = options->operands_count - 1;
    operands->target = options->operands[operands->sources_count];
    for (uint32_t i = 0; i < options->operands_count; i++) {
        int rc = require_local(options->operands[i], err);
        if (rc < 0)
            return rc;
    }
    if (options->target_is_file && operands->sources_count > 1)
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "-T takes one source and one target, and there are several sources");
    int rc = check_target(operands, options->target_is_file, err);
    if (rc < 0)
        return rc;
    return operands->sources_count > 1 ? refuse_twins(operands, err) : 0;
}

char *operands_target(const struct operands *operands, const char *source)
{
    if (!operands->target_folder)
        return strdup(operands->target);
    size_t length;
    const char *name = last_part(source, &length);
    size_t target_length = strlen(operands->target);
    bool slash = operands->target[target_length - 1] == '/';
    char *path = NULL;
    if (asprintf(&path, "%s%s%.*s", operands->target, slash ? "" : "/", (int)length, name) < 0)
        return NULL;
    return path;
}
