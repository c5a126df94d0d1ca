/* operands.c - which file goes where. */
#include "haul/cli/operands.h"

#include "haul/base/cleanup.h"
#include "haul/cli/pipes.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Large enough for "user@host:path" of any address. */
enum { SHOWN_BYTES = ADDRESS_TEXT_BYTES };

/* A word of ours that is the name of a file is that file only when it is written otherwise. */
static int parse_pipe(struct operands *operands, struct address *address, const char *operand,
                      bool target, struct error *err)
{
    struct stat st;
    if (strchr(operand, ':') && lstat(operand, &st) == 0)
        return error_usage(err, "%s: a file of that name is here: write ./%s for it", operand,
                           operand);
    return pipes_resolve(address, operand, target, &operands->source_bytes, err);
}

static int parse(struct address *address, const char *operand, struct error *err)
{
    struct stat st;
    int rc = address_parse(address, operand, err);
    if (rc < 0)
        return rc;
    if (address->kind == ADDRESS_REMOTE && lstat(operand, &st) == 0)
        return error_usage(err,
                           "%s: a file of that name is here: write ./%s for it, or ssh://%s/~/... "
                           "for the other machine",
                           operand, operand, address->host);
    return 0;
}

/* By what was typed: two names of one machine are two machines here, and two logins. */
static bool same_machine(const struct address *a, const struct address *b)
{
    return a->kind == b->kind && a->port == b->port && strcmp(a->user, b->user) == 0 &&
           strcasecmp(a->host, b->host) == 0;
}

static const char *machine(char out[SHOWN_BYTES], const struct address *address)
{
    bool remote = address->kind == ADDRESS_REMOTE;
    return remote ? address_peer(out, SHOWN_BYTES, address) : "this machine";
}

static int refuse_mixed(const struct address *first, const struct address *other, struct error *err)
{
    char a[SHOWN_BYTES], b[SHOWN_BYTES];
    return error_usage(err, "the sources must be on one machine, and these are on %s and %s",
                       machine(a, first), machine(b, other));
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
int operands_refuse_twins(const struct operands *operands, struct error *err)
{
    uint32_t count = operands->sources_count - operands->trees_count;
    if (count < 2)
        return 0;
    AUTO_FREE const char **sorted = calloc(operands->sources_count, sizeof(*sorted));
    if (!sorted)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    memcpy(sorted, operands->sources, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_names);
    for (uint32_t i = 1; i < count; i++)
        if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
            return error_usage(err, "%s and %s would get the same name in %s", sorted[i - 1],
                               sorted[i], operands->target.path);
    return 0;
}

int operands_settle(struct operands *operands, const struct facts *target, struct error *err)
{
    char shown[SHOWN_BYTES];
    const char *path = operands->target.path;
    bool folder = target->kind == FILE_FOLDER;
    bool slash = path[strlen(path) - 1] == '/';
    address_text(shown, sizeof(shown), &operands->target);
    if (operands->nameless && folder)
        return error_set_class(err, ERROR_USAGE, EISDIR,
                               "%s: is a folder, and what comes out of a pipe has no name: say "
                               "which file it is to be",
                               shown);
    operands->target_missing = target->kind == FILE_NONE;
    operands->target_folder = folder && !operands->target_is_file;
    if (operands->trees && (folder || operands->target_missing)) {
        /* As rsync: it is made for several sources, and where its name ends in a slash. */
        operands->target_folder |= operands->target_missing && !operands->target_is_file &&
                                   (slash || operands->sources_count > 1);
        return 0;
    }
    if (operands->target_is_file && folder)
        return error_set_class(err, ERROR_FILE, EISDIR, "%s: is a folder, and -T was given", shown);
    if (!folder && slash)
        return error_set_class(err, ERROR_FILE, ENOTDIR, "%s: no such folder", shown);
    if (!folder && operands->sources_count > 1)
        return error_set_class(err, ERROR_USAGE, ENOTDIR,
                               "%s: not a folder, and there are several sources", shown);
    return 0;
}

/* Freed in the end; NULL: there is no memory for it. */
static const char *own(struct operands *operands, char *path)
{
    size_t room = (size_t)operands->owned_count + 1;
    char **owned = path ? realloc(operands->owned, room * sizeof(*owned)) : NULL;
    if (!owned) {
        free(path);
        return NULL;
    }
    operands->owned = owned;
    owned[operands->owned_count++] = path;
    return path;
}

/* Of thousands of names none is there twice: the path is the word, or what is behind the host. */
static const char *path_of(struct operands *operands, const char *word, const char *path)
{
    size_t word_length = strlen(word), length = strlen(path);
    const char *tail = word_length >= length ? word + word_length - length : "";
    return strcmp(tail, path) == 0 ? tail : own(operands, strdup(path));
}

static int take_sources(struct operands *operands, const char *const *words, struct error *err)
{
    struct address other;
    operands->sources = calloc(operands->sources_count + 1, sizeof(*operands->sources));
    for (uint32_t i = 0; operands->sources && i < operands->sources_count; i++) {
        struct address *address = i == 0 ? &operands->source : &other;
        operands->nameless |= pipes_know(words[i]);
        int rc = pipes_know(words[i]) ? parse_pipe(operands, address, words[i], false, err)
                                      : parse(address, words[i], err);
        if (rc < 0)
            return rc;
        if (!same_machine(&operands->source, address))
            return refuse_mixed(&operands->source, address, err);
        operands->sources[i] = path_of(operands, words[i], address->path);
        if (!operands->sources[i])
            break;
    }
    bool complete = operands->sources && (operands->sources_count == 0 ||
                                          operands->sources[operands->sources_count - 1]);
    return complete ? 0
                    : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
}

static int settle_here(struct operands *operands, struct error *err)
{
    struct facts facts;
    int rc = file_describe(operands->target.path, &facts, err);
    return rc < 0 ? rc : operands_settle(operands, &facts, err);
}

/* The same pipe at both ends would be somebody's mistake: cat does that. */
static int take_target(struct operands *operands, const struct options *options, struct error *err)
{
    const char *word = options->operands[operands->sources_count];
    if (!pipes_know(word))
        return parse(&operands->target, word, err);
    for (uint32_t i = 0; i < operands->sources_count; i++) {
        if (strcmp(word, "-") == 0 && strcmp(options->operands[i], "-") == 0)
            return error_usage(err, "-: is the source already; one of them has to be a file");
    }
    return parse_pipe(operands, &operands->target, word, true, err);
}

/* -l is rsync's, and takes no value. */
static int refuse_limit(const struct options *options, struct error *err)
{
    const char *word = options->operands[0];
    bool links = options->wish.tour.links && !options->archive;
    struct stat st;
    if (options->operands_count < 3 || !links || word[strspn(word, "0123456789")] != '\0' ||
        lstat(word, &st) == 0)
        return 0;
    return error_usage(
        err, "%s: there is no such file; scp's -l is --bwlimit here, in KiB a second", word);
}

int operands_resolve(struct operands *operands, const struct options *options, struct error *err)
{
    memset(operands, 0, sizeof(*operands));
    operands->sources_count = options->operands_count - 1;
    operands->target_is_file = options->target_is_file;
    operands->trees = options->wish.tour.recursive || options->wish.tour.links ||
                      options->wish.tour.devices || options->wish.tour.specials ||
                      options->files_from;
    int rc = refuse_limit(options, err);
    if (rc == 0)
        rc = take_sources(operands, options->operands, err);
    if (rc == 0)
        rc = take_target(operands, options, err);
    if (rc < 0)
        return rc;
    if (operands->target_is_file && operands->sources_count > 1)
        return error_usage(err,
                           "-T takes one source and one target, and there are several sources");
    if (operands->target.kind == ADDRESS_LOCAL)
        rc = settle_here(operands, err);
    if (rc < 0)
        return rc;
    return operands->trees ? 0 : operands_refuse_twins(operands, err);
}

int operands_replace(struct operands *operands, uint32_t at, char **paths, uint32_t count,
                     struct error *err)
{
    assert(at < operands->sources_count);
    uint32_t behind = operands->sources_count - at - 1;
    size_t room = (size_t)operands->sources_count + count;
    const char **sources = realloc(operands->sources, room * sizeof(*sources));
    if (!sources)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    memmove(sources + at + count, sources + at + 1, behind * sizeof(*sources));
    operands->sources = sources;
    operands->sources_count += count - 1;
    bool complete = true;
    for (uint32_t i = 0; i < count; i++) {
        sources[at + i] = own(operands, paths[i]);
        complete = complete && sources[at + i];
        paths[i] = NULL;
    }
    return complete ? 0
                    : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
}

char *operands_target(const struct operands *operands, const char *source, struct error *err)
{
    const char *target = operands->target.path;
    size_t length, target_length = strlen(target);
    const char *name = last_part(source, &length);
    char *path = malloc(target_length + length + 2);
    if (!path)
        error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for the target's name", source);
    if (!path || !operands->target_folder)
        return path ? strcpy(path, target) : NULL;
    char *end = stpcpy(stpcpy(path, target), target[target_length - 1] == '/' ? "" : "/");
    *(char *)mempcpy(end, name, length) = '\0';
    return path;
}

bool operands_one_machine(const struct operands *operands)
{
    return same_machine(&operands->source, &operands->target);
}

const char *operands_host(const struct address *address)
{
    return address->kind == ADDRESS_REMOTE ? address->host : NULL;
}

void operands_close(struct operands *operands)
{
    if (!operands)
        return;
    for (uint32_t i = 0; i < operands->owned_count; i++)
        free(operands->owned[i]);
    free(operands->owned);
    free(operands->sources);
    operands->owned = NULL;
    operands->sources = NULL;
    operands->sources_count = operands->owned_count = 0;
}
