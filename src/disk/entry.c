/* entry.c - entries of a walk as bytes, and back. What arrives is believed only as far as one entry
 * alone can be. */
#include "haul/disk/entry.h"

#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { ERRNO_MAX = 4095, NANOSECONDS_MAX = 999999999, GRANULARITY_NS_MAX = 2000000000 };

bool entry_is_name(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

bool entry_is_path(const char *path)
{
    char name[ENTRY_NAME_MAX + 1];
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length > ENTRY_NAME_MAX || (path[length] == '/' && !path[length + 1]))
            return false;
        memcpy(name, path, length);
        name[length] = '\0';
        if (!entry_is_name(name))
            return false;
        path += length + (path[length] == '/');
    }
    return true;
}

/* ---- what an entry of each type has ---- */

enum entry_part {
    PART_NAME = 1 << 0,
    PART_ANY_NAME = 1 << 1, /* that may be "" */
    PART_FACTS = 1 << 2,
    PART_KIND = 1 << 3,
    PART_TEXT = 1 << 4,
    PART_ERRNUM = 1 << 5,
    PART_ID = 1 << 6,
    PART_COMPLETE = 1 << 7,
    PART_PATH = 1 << 8, /* the name may be one */
};

static const uint16_t parts[ENTRY_TYPES] = {
    [ENTRY_ENTER] = PART_NAME | PART_ANY_NAME | PART_FACTS | PART_COMPLETE,
    [ENTRY_FOUND] = PART_NAME | PART_FACTS, /* a link: and text */
    [ENTRY_LEAVE] = PART_COMPLETE,
    [ENTRY_ERROR] = PART_NAME | PART_PATH | PART_ERRNUM | PART_TEXT | PART_COMPLETE,
    [ENTRY_USER] = PART_ID | PART_TEXT,
    [ENTRY_GROUP] = PART_ID | PART_TEXT,
    [ENTRY_NAME] = PART_NAME | PART_KIND,
    [ENTRY_PAST] = PART_NAME | PART_ANY_NAME | PART_KIND,
};

static bool entry_has_text(const struct entry *entry)
{
    return parts[entry->type] & PART_TEXT ||
           (entry->type == ENTRY_FOUND && entry->facts.kind == FILE_LINK);
}

/* ---- facts ---- */

static void put_evidence(struct bytes *out, const struct evidence *evidence)
{
    bytes_put_u8(out, evidence->grade);
    bytes_put_u8(out, evidence->keeps_change);
    bytes_put_u32(out, evidence->granularity_ns);
    bytes_put_u64(out, evidence->identity);
    bytes_put_u64(out, evidence->change);
    bytes_put_u64(out, evidence->machine);
    bytes_put_u64(out, (uint64_t)evidence->seen_ns);
    bytes_put_u64(out, evidence->medium_device);
    bytes_put_u64(out, evidence->medium_inode);
    bytes_put_u64(out, evidence->medium_offset);
}

static bool get_evidence(struct bytes *in, struct evidence *evidence)
{
    evidence->grade = bytes_get_u8(in);
    uint8_t keeps_change = bytes_get_u8(in);
    evidence->keeps_change = keeps_change;
    evidence->granularity_ns = bytes_get_u32(in);
    evidence->identity = bytes_get_u64(in);
    evidence->change = bytes_get_u64(in);
    evidence->machine = bytes_get_u64(in);
    evidence->seen_ns = (int64_t)bytes_get_u64(in);
    evidence->medium_device = bytes_get_u64(in);
    evidence->medium_inode = bytes_get_u64(in);
    evidence->medium_offset = bytes_get_u64(in);
    return evidence->grade <= EVIDENCE_STRONG && keeps_change <= 1 &&
           evidence->granularity_ns <= GRANULARITY_NS_MAX;
}

static void put_facts(struct bytes *out, const struct facts *facts)
{
    bytes_put_u8(out, (uint8_t)facts->kind);
    bytes_put_u64(out, facts->size_bytes);
    bytes_put_u64(out, facts->allocated_bytes);
    bytes_put_u16(out, (uint16_t)facts->mode);
    bytes_put_u32(out, facts->uid);
    bytes_put_u32(out, facts->gid);
    bytes_put_u64(out, (uint64_t)facts->mtime_seconds);
    bytes_put_u32(out, facts->mtime_ns);
    bytes_put_u64(out, (uint64_t)facts->ctime_seconds);
    bytes_put_u32(out, facts->ctime_ns);
    bytes_put_u64(out, facts->device);
    bytes_put_u64(out, facts->inode);
    bytes_put_u64(out, facts->rdev);
    bytes_put_u32(out, facts->links);
    put_evidence(out, &facts->evidence);
}

static bool get_kind(struct bytes *in, struct facts *facts)
{
    uint8_t kind = bytes_get_u8(in);
    facts->kind = (enum file_kind)kind;
    return kind > FILE_NONE && kind <= FILE_CHARACTER;
}

static bool get_facts(struct bytes *in, struct facts *facts)
{
    bool good = get_kind(in, facts);
    facts->size_bytes = bytes_get_u64(in);
    facts->allocated_bytes = bytes_get_u64(in);
    facts->mode = bytes_get_u16(in);
    facts->uid = bytes_get_u32(in);
    facts->gid = bytes_get_u32(in);
    facts->mtime_seconds = (int64_t)bytes_get_u64(in);
    facts->mtime_ns = bytes_get_u32(in);
    facts->ctime_seconds = (int64_t)bytes_get_u64(in);
    facts->ctime_ns = bytes_get_u32(in);
    facts->device = bytes_get_u64(in);
    facts->inode = bytes_get_u64(in);
    facts->rdev = bytes_get_u64(in);
    facts->links = bytes_get_u32(in);
    good = get_evidence(in, &facts->evidence) && good;
    return good && facts->size_bytes <= FILE_BYTES_MAX && facts->mode <= 07777 &&
           facts->mtime_ns <= NANOSECONDS_MAX && facts->ctime_ns <= NANOSECONDS_MAX;
}

/* ---- texts: with their NUL, so that they can be used where they lie ---- */

static void put_text(struct bytes *out, const char *text)
{
    size_t length = strlen(text);
    bytes_put_u16(out, (uint16_t)length);
    bytes_put_raw(out, text, length + 1);
}

/* NULL: it is none, or too long. */
static const char *get_text(struct bytes *in, size_t most)
{
    size_t length = bytes_get_u16(in);
    if (in->failed || length > most || bytes_left(in) < length + 1)
        return NULL;
    const char *text = (const char *)in->data + in->position;
    in->position += length + 1;
    return strnlen(text, length + 1) == length ? text : NULL;
}

/* ---- entries ---- */

bool entry_pack(struct bytes *out, const struct entry *entry)
{
    const struct bytes before = *out;
    uint16_t has = parts[entry->type];
    bytes_put_u8(out, (uint8_t)entry->type);
    if (has & PART_FACTS)
        put_facts(out, &entry->facts);
    if (has & PART_KIND)
        bytes_put_u8(out, (uint8_t)entry->facts.kind);
    if (has & PART_ERRNUM)
        bytes_put_u16(out, (uint16_t)entry->errnum);
    if (has & PART_ID)
        bytes_put_u32(out, entry->id);
    if (has & PART_COMPLETE)
        bytes_put_u8(out, entry->complete);
    if (has & PART_NAME) {
        assert(entry->name && strlen(entry->name) <= ENTRY_NAME_MAX);
        put_text(out, entry->name);
    }
    if (entry_has_text(entry)) {
        assert(entry->text && strlen(entry->text) <= ENTRY_TEXT_MAX);
        put_text(out, entry->text);
    }
    if (!out->failed)
        return true;
    *out = before;
    return false;
}

static bool entry_get(struct bytes *in, struct entry *entry)
{
    uint8_t type = bytes_get_u8(in);
    if (type >= ENTRY_TYPES)
        return false;
    entry->type = (enum entry_type)type;
    uint16_t has = parts[type];
    if (has & PART_FACTS && !get_facts(in, &entry->facts))
        return false;
    if (type <= ENTRY_FOUND && (entry->facts.kind == FILE_FOLDER) != (type == ENTRY_ENTER))
        return false;
    if (has & PART_KIND && !get_kind(in, &entry->facts))
        return false;
    if (has & PART_ERRNUM)
        entry->errnum = bytes_get_u16(in);
    if (has & PART_ID)
        entry->id = bytes_get_u32(in);
    uint8_t complete = has & PART_COMPLETE ? bytes_get_u8(in) : 0;
    entry->complete = complete;
    if (has & PART_NAME && !(entry->name = get_text(in, ENTRY_NAME_MAX)))
        return false;
    if (entry_has_text(entry) && !(entry->text = get_text(in, ENTRY_TEXT_MAX)))
        return false;
    bool named = !entry->name || entry_is_name(entry->name) ||
                 (has & PART_ANY_NAME && entry->name[0] == '\0') ||
                 (has & PART_PATH && entry_is_path(entry->name));
    bool failed = has & PART_ERRNUM ? entry->errnum > 0 && entry->errnum <= ERRNO_MAX : true;
    return !in->failed && named && failed && complete <= 1;
}

int entry_unpack(struct bytes *in, struct entry *entry, struct error *err)
{
    *entry = (struct entry){.type = ENTRY_ENTER};
    if (bytes_left(in) == 0)
        return 0;
    if (entry_get(in, entry))
        return 1;
    return error_set_class(err, ERROR_PROTOCOL, EPROTO, "what was told of a folder makes no sense");
}
