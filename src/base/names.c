/* names.c - paths in one piece of memory, and where each begins in it. */
#include "haul/base/names.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_FIRST = 64 * 1024, COUNT_FIRST = 1024 };

enum { NAME_CONTENT = 1, NAME_LEFT_OUT = 2 };

/* A name: a byte of those, and the path with its NUL. */
struct names {
    char *text;
    size_t text_bytes, text_room;
    char **all; /* after names_settle() */
    size_t count;
};

struct names *names_open(void)
{
    return calloc(1, sizeof(struct names));
}

void names_close(struct names *names)
{
    if (!names)
        return;
    free(names->text);
    free(names->all);
    free(names);
}

/* ---- as they were written ---- */

static bool is_part(const char *part, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(part, word, length) == 0;
}

/* Without its last part. false: there is none. */
static bool path_ascend(char *path, size_t *length)
{
    if (*length == 0)
        return false;
    while (*length > 0 && path[*length - 1] != '/')
        --*length;
    *length -= *length > 0;
    return true;
}

static void path_descend(char *path, size_t *length, const char *part, size_t part_length)
{
    if (*length > 0)
        path[(*length)++] = '/';
    memcpy(path + *length, part, part_length);
    *length += part_length;
}

/* The path of a text that has room in it. */
static int path_of(char *path, size_t *length, bool *content, const char *text, struct error *err)
{
    *length = 0;
    *content = true;
    for (const char *part = text; *part;) {
        size_t part_length = strcspn(part, "/");
        const char *next = part + part_length + strspn(part + part_length, "/");
        bool dot = is_part(part, part_length, "."), up = is_part(part, part_length, "..");
        if (dot && *length > 0 && *next)
            return error_set_class(err, ERROR_USAGE, EINVAL,
                                   "%s: rsync cuts a name at \"/./\", haul does not: write it "
                                   "without",
                                   text);
        if (up && !path_ascend(path, length))
            return error_set_class(err, ERROR_USAGE, EINVAL, "%s: leads out of the source's folder",
                                   text);
        if (part_length > 0 && !dot && !up)
            path_descend(path, length, part, part_length);
        *content = dot || up || next > part + part_length;
        part = next;
    }
    path[*length] = '\0';
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for so many names");
}

static bool names_grow(struct names *names, size_t bytes)
{
    size_t room = names->text_room > 0 ? names->text_room : TEXT_BYTES_FIRST;
    while (room - names->text_bytes < bytes) {
        if (room > SIZE_MAX / 2)
            return false;
        room *= 2;
    }
    char *text = room > names->text_room ? realloc(names->text, room) : names->text;
    if (!text)
        return false;
    names->text = text;
    names->text_room = room;
    return true;
}

int names_add(struct names *names, const char *text, struct error *err)
{
    size_t length = strlen(text);
    bool content;
    if (length >= NAMES_PATH_BYTES)
        return error_set_class(err, ERROR_USAGE, ENAMETOOLONG, "%.64s...: is too long for a name",
                               text);
    if (!names_grow(names, length + 2))
        return no_memory(err);
    char *name = names->text + names->text_bytes;
    int result = path_of(name + 1, &length, &content, text, err);
    if (result < 0)
        return result;
    name[0] = content ? NAME_CONTENT : 0;
    names->text_bytes += length + 2;
    names->count++;
    return 0;
}

/* ---- in order ---- */

/* What is in a folder comes behind it and before everything else. */
static unsigned rank(char letter)
{
    return letter == '\0' ? 0 : letter == '/' ? 1 : (unsigned char)letter + 2u;
}

static int path_compare(const char *one, const char *other)
{
    while (*one && *one == *other) {
        one++;
        other++;
    }
    return (int)rank(*one) - (int)rank(*other);
}

static int by_path(const void *a, const void *b)
{
    return path_compare(*(char *const *)a + 1, *(char *const *)b + 1);
}

static int path_of_name(const void *path, const void *name)
{
    return path_compare(path, *(char *const *)name + 1);
}

int names_settle(struct names *names, struct error *err)
{
    size_t kept = 0;
    char *at = names->text;
    names->all = names->count > 0 ? calloc(names->count, sizeof(*names->all)) : NULL;
    if (names->count > 0 && !names->all)
        return no_memory(err);
    for (size_t i = 0; i < names->count; i++) {
        names->all[i] = at;
        at += strlen(at + 1) + 2;
    }
    if (names->count > 0)
        qsort(names->all, names->count, sizeof(*names->all), by_path);
    for (size_t i = 0; i < names->count; i++) {
        char *name = names->all[i];
        if (kept > 0 && strcmp(names->all[kept - 1] + 1, name + 1) == 0)
            names->all[kept - 1][0] |= name[0];
        else
            names->all[kept++] = name;
    }
    names->count = kept;
    return 0;
}

size_t names_count(const struct names *names)
{
    return names->count;
}

void names_leave_out(struct names *names, const char *path)
{
    char **name = NULL;
    if (names->count > 0)
        name = bsearch(path, names->all, names->count, sizeof(*names->all), path_of_name);
    if (name)
        (*name)[0] |= NAME_LEFT_OUT;
}

/* ---- as bytes ---- */

void names_pack(const struct names *names, size_t *next, struct bytes *out)
{
    for (; *next < names->count; ++*next) {
        const struct bytes before = *out;
        const char *name = names->all[*next];
        size_t length = strlen(name + 1);
        if (name[0] & NAME_LEFT_OUT)
            continue;
        bytes_put_u8(out, (uint8_t)name[0]);
        bytes_put_u16(out, (uint16_t)length);
        bytes_put_raw(out, name + 1, length + 1);
        if (out->failed) {
            *out = before;
            return;
        }
    }
}

int names_unpack(struct bytes *in, const char **path, bool *content)
{
    if (bytes_left(in) == 0)
        return 0;
    uint8_t flag = bytes_get_u8(in);
    size_t length = bytes_get_u16(in);
    if (in->failed || flag > 1 || length >= NAMES_PATH_BYTES || bytes_left(in) < length + 1)
        return -EPROTO;
    *path = (const char *)in->data + in->position;
    *content = flag;
    in->position += length + 1;
    return strnlen(*path, length + 1) == length ? 1 : -EPROTO;
}
