/* expand.c - a pattern, as the rules of a walk and the names that it finds. */
#include "haul/copy/expand.h"

#include "haul/base/cleanup.h"
#include "haul/base/glob.h"
#include "haul/base/log.h"
#include "haul/base/rules.h"
#include "haul/base/text.h"
#include "haul/copy/life.h"
#include "haul/disk/entry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WALK_BYTES = 256 * 1024, PARTS_MAX = 256 };

/* A pattern that is being expanded. */
struct expansion {
    struct copy *copy;
    char *folder;         /* where the walk begins */
    const char *before;   /* the same as it stands in the pattern: nothing, or up to a slash */
    const char *rest;     /* the pattern from there on, without slashes before it */
    uint32_t parts_count; /* names in it */
    bool folders;         /* it ends in a slash */
    struct rules *rules;
    uint8_t *bytes;
    char path[RULES_PATTERN_BYTES_MAX + 1]; /* of the folder that the walk is in */
    size_t lengths[PARTS_MAX + 1];          /* of the path, by depth */
    uint32_t depth;
    size_t found_bytes;
    struct expanded *out;
};

bool expand_is_pattern(const char *path)
{
    return glob_is_wild(path, strlen(path));
}

void expanded_free(struct expanded *expanded)
{
    for (uint32_t i = 0; i < expanded->count; i++)
        free(expanded->paths[i]);
    free(expanded->paths);
    *expanded = (struct expanded){.paths = NULL};
}

static int no_memory(struct error *err)
{
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for what a pattern stands for");
}

/* ---- the rules ---- */

/* Which folder is named as it is: up to the slash before the first part that is a pattern. */
static bool expand_split(struct expansion *self, const char *pattern)
{
    size_t length = strlen(pattern), slash = 0;
    for (size_t i = 0; i < length && !glob_is_wild(pattern + i, 1); i++)
        slash = pattern[i] == '/' ? i + 1 : slash;
    self->folder = slash == 0 ? strdup(".") : strndup(pattern, slash);
    self->before = slash == 0 ? "" : self->folder;
    self->rest = pattern + slash;
    return self->folder != NULL;
}

static int expand_rule(struct expansion *self, uint32_t flags, const char *text, size_t length)
{
    return rules_add(self->rules, flags | RULE_SOURCE, text, length);
}

/* For each part of the pattern: no name that begins with a dot unless the part does, and what
 * matches up to there. Two stars are no more than one. */
static int expand_part(struct expansion *self, char *text, size_t *length, const char *part,
                       size_t part_length)
{
    bool last = part[part_length + strspn(part + part_length, "/")] == '\0';
    text[(*length)++] = '/';
    if (part[0] == '*' || part[0] == '?' || part[0] == '[') {
        memcpy(text + *length, ".*", 2);
        int result = expand_rule(self, 0, text, *length + 2);
        if (result < 0)
            return result;
    }
    for (size_t i = 0; i < part_length; i++)
        if (part[i] != '*' || i == 0 || part[i - 1] != '*')
            text[(*length)++] = part[i];
    self->parts_count++;
    uint32_t folder = !last || self->folders ? RULE_FOLDER : 0;
    return expand_rule(self, RULE_INCLUDE | folder, text, *length);
}

static int expand_rules(struct expansion *self, struct error *err)
{
    char text[RULES_PATTERN_BYTES_MAX + 8];
    size_t length = 0, rest_length = strlen(self->rest);
    int result = rest_length < RULES_PATTERN_BYTES_MAX - 1 ? 0 : -E2BIG;
    self->rules = rules_open(false);
    if (!self->rules)
        return no_memory(err);
    self->folders = rest_length > 0 && self->rest[rest_length - 1] == '/';
    for (const char *part = self->rest; *part && result == 0;) {
        size_t part_length = strcspn(part, "/");
        result = self->parts_count == PARTS_MAX
                     ? -E2BIG
                     : expand_part(self, text, &length, part, part_length);
        part += part_length + strspn(part + part_length, "/");
    }
    if (result == 0)
        result = expand_rule(self, 0, "*", 1);
    if (result == -E2BIG)
        return error_set_class(err, ERROR_USAGE, E2BIG, "%s: is too long for a pattern",
                               self->rest);
    return result < 0 ? no_memory(err) : 0;
}

/* ---- the walk ---- */

static int expand_keep(struct expansion *self, const char *name, struct error *err)
{
    struct expanded *out = self->out;
    size_t length = strlen(self->before) + strlen(self->path) + 1 + strlen(name) + 1;
    char *path = malloc(length + 1);
    if (!path)
        return no_memory(err);
    snprintf(path, length + 1, "%s%s%s%s%s", self->before, self->path, self->path[0] ? "/" : "",
             name, self->folders ? "/" : "");
    self->found_bytes += strlen(path) + 1;
    if (out->count == EXPAND_PATHS_MAX || self->found_bytes > EXPAND_BYTES_MAX) {
        free(path);
        return error_set_class(err, ERROR_USAGE, E2BIG,
                               "%s: stands for more than %d files: name their folder, with "
                               "--include and --exclude",
                               self->rest, EXPAND_PATHS_MAX);
    }
    out->paths[out->count++] = path;
    return 0;
}

/* The walk's own folder is level 0. */
static int expand_enter(struct expansion *self, const char *name, struct error *err)
{
    size_t length = strlen(self->path);
    int result = 0;
    if (self->depth > 0 && self->depth == self->parts_count)
        result = expand_keep(self, name, err);
    if (self->depth > self->parts_count || length + strlen(name) + 2 > sizeof(self->path))
        return error_set_class(err, ERROR_PROTOCOL, EPROTO, "a walk went where it was not sent");
    self->lengths[self->depth++] = length;
    if (self->depth > 1)
        snprintf(self->path + length, sizeof(self->path) - length, "%s%s", length > 0 ? "/" : "",
                 name);
    return result;
}

static int expand_take(struct expansion *self, const struct entry *entry, struct error *err)
{
    switch (entry->type) {
    case ENTRY_ENTER:
        return expand_enter(self, entry->name, err);
    case ENTRY_FOUND:
        return self->depth == self->parts_count ? expand_keep(self, entry->name, err) : 0;
    case ENTRY_LEAVE:
        if (self->depth == 0)
            return error_set_class(err, ERROR_PROTOCOL, EPROTO, "a walk left what it was not in");
        self->path[self->lengths[--self->depth]] = '\0';
        return 0;
    case ENTRY_ERROR:
        log_warning("%s%s%s%s: %s", self->before, self->path, self->path[0] ? "/" : "", entry->name,
                    entry->text);
        return 0;
    default:
        return 0;
    }
}

static int expand_take_all(struct expansion *self, uint32_t length, struct error *err)
{
    struct bytes in = bytes_reader(self->bytes, length);
    struct entry entry;
    int result;
    while ((result = entry_unpack(&in, &entry, err)) > 0) {
        result = expand_take(self, &entry, err);
        if (result < 0)
            return result;
    }
    return result;
}

static int expand_walk(struct expansion *self, struct error *err)
{
    const struct job_root root = {.number = copy_root_number(self->copy), .path = self->folder};
    uint32_t job = copy_job_number(self->copy);
    struct bytes wish = bytes_writer(self->bytes, WALK_BYTES);
    ERROR_UNSET(ignored);
    bytes_put_u32(&wish, TOUR_RECURSIVE | TOUR_LINKS | TOUR_DEVICES | TOUR_SPECIALS);
    rules_pack(self->rules, &wish);
    if (wish.failed)
        return error_set_class(err, ERROR_USAGE, E2BIG, "%s: is too long for a pattern",
                               self->rest);
    struct life_call call = {
        .op = SIDE_TOUR, .bytes = self->bytes, .length = (uint32_t)wish.length};
    int result = copy_ask_source(self->copy, &call, &root, "", job, err);
    if (result < 0)
        return result;
    do {
        call = (struct life_call){.op = SIDE_WALK, .bytes = self->bytes, .room = WALK_BYTES};
        result = copy_ask_source(self->copy, &call, &root, "", job, err);
        if (result == 0)
            result = expand_take_all(self, call.count, err);
    } while (result == 0 && call.offset != 0);
    call = (struct life_call){.op = SIDE_ABANDON};
    (void)copy_ask_source(self->copy, &call, &root, "", job, &ignored);
    return result;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int expand_source(struct copy *copy, const char *pattern, struct expanded *out, struct error *err)
{
    AUTO_FREE struct expansion *self = calloc(1, sizeof(*self));
    AUTO_FREE uint8_t *bytes = malloc(WALK_BYTES);
    *out = (struct expanded){.paths = calloc(EXPAND_PATHS_MAX, sizeof(*out->paths))};
    if (!self || !bytes || !out->paths || !expand_split(self, pattern)) {
        expanded_free(out);
        return no_memory(err);
    }
    self->copy = copy;
    self->bytes = bytes;
    self->out = out;
    ERROR_UNSET(lost);
    int result = expand_rules(self, err);
    if (result == 0)
        result = expand_walk(self, &lost);
    if (result == -ENOENT || result == -ENOTDIR)
        result = 0; /* there is no such folder: nothing matches */
    else if (error_is_set(&lost))
        result = error_take(err, &lost);
    rules_close(self->rules);
    free(self->folder);
    if (result < 0)
        expanded_free(out);
    else
        qsort(out->paths, out->count, sizeof(*out->paths), by_bytes);
    return result;
}
