/* details.c - extended attributes and access control lists, read, compared and set. It does not
 * know who wants them, nor in which order they come with a file's other attributes. */
#include "haul/disk/details.h"

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/base/hash.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/disk/unfinished.h"

#include <assert.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SMALL_BYTES = 1024 };

#define ACCESS_NAME  "system.posix_acl_access"
#define DEFAULT_NAME "system.posix_acl_default"

/* ---- of an open file: O_PATH descriptors are refused (EBADF), their names in /proc are not ----
 */

static ssize_t xattr_list(int fd, char *names, size_t room)
{
    char link[TEXT_NUMBER_BYTES];
    ssize_t length = flistxattr(fd, names, room);
    return length < 0 && errno == EBADF ? listxattr(text_fd_link(link, fd), names, room) : length;
}

static ssize_t xattr_get(int fd, const char *name, void *value, size_t room)
{
    char link[TEXT_NUMBER_BYTES];
    ssize_t length = fgetxattr(fd, name, value, room);
    return length < 0 && errno == EBADF ? getxattr(text_fd_link(link, fd), name, value, room)
                                        : length;
}

static int xattr_set(int fd, const char *name, const void *value, size_t length)
{
    char link[TEXT_NUMBER_BYTES];
    int result = fsetxattr(fd, name, value, length, 0);
    if (result != 0 && errno == EBADF)
        result = setxattr(text_fd_link(link, fd), name, value, length, 0);
    return result == 0 ? 0 : -errno;
}

static int xattr_remove(int fd, const char *name)
{
    char link[TEXT_NUMBER_BYTES];
    int result = fremovexattr(fd, name);
    if (result != 0 && errno == EBADF)
        result = removexattr(text_fd_link(link, fd), name);
    return result == 0 || errno == ENODATA ? 0 : -errno;
}

/* The value of at most `room` bytes; its length, or -errno. The kernel takes memory for the room
 * that it is offered: most values are small. */
static ssize_t read_value(int fd, const char *name, void *value, size_t room)
{
    size_t small = min_size(room, SMALL_BYTES);
    ssize_t length = xattr_get(fd, name, value, small);
    if (length < 0 && errno == ERANGE && room > small)
        length = xattr_get(fd, name, value, min_size(room, DETAIL_VALUE_MAX));
    return length < 0 ? -errno : length;
}

static bool is_absent(ssize_t result)
{
    return result == -ENODATA || result == -EOPNOTSUPP;
}

/* ---- names of extended attributes ---- */

struct names {
    char small[SMALL_BYTES];
    char *more; /* owned; NULL: small */
    size_t length;
};

static void names_close(struct names *names)
{
    free(names->more);
}

#define AUTO_NAMES __attribute__((cleanup(names_close)))

/* Each ends with a NUL. 0 or -errno. */
static int names_read(int fd, struct names *names)
{
    ssize_t length = xattr_list(fd, names->small, sizeof(names->small));
    names->more = NULL;
    names->length = 0;
    if (length < 0 && errno == ERANGE) {
        names->more = malloc(DETAIL_LIST_MAX);
        length = names->more ? xattr_list(fd, names->more, DETAIL_LIST_MAX) : -1;
    }
    if (length >= 0)
        names->length = (size_t)length;
    return length >= 0 || errno == EOPNOTSUPP ? 0 : -errno;
}

/* The one behind `name`, the first behind NULL; NULL: there is none. */
static const char *names_next(const struct names *names, const char *name)
{
    const char *first = names->more ? names->more : names->small;
    const char *next = name ? name + strlen(name) + 1 : first;
    return next < first + names->length ? next : NULL;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* As with rsync -X. XFS shows its access control lists once more, by names of its own; and what
 * says that a target is unfinished is not the file's. */
static bool name_is_sent(const char *name)
{
    return !has_prefix(name, "system.") && !has_prefix(name, "trusted.SGI_ACL_") &&
           strcmp(name, UNFINISHED_NAME) != 0;
}

static bool name_is_set(const struct details *wanted, const char *name)
{
    bool all = geteuid() == 0 && !wanted->users_only;
    return name_is_sent(name) && (all || has_prefix(name, "user."));
}

/* The label that a module gives every file is no surplus. */
static bool name_is_removed(const struct details *wanted, const char *name)
{
    return name_is_set(wanted, name) &&
           (!has_prefix(name, "security.") || strcmp(name, "security.capability") == 0);
}

/* ---- packing ---- */

static int pack_xattr(int fd, const char *name, struct bytes *out)
{
    struct bytes before = *out;
    bytes_put_u8(out, DETAIL_XATTR);
    bytes_put_string(out, name);
    struct bytes length_at = *out;
    bytes_put_u32(out, 0);
    if (out->failed || out->length == out->capacity)
        return -E2BIG;
    ssize_t length = read_value(fd, name, out->data + out->length, out->capacity - out->length);
    if (is_absent(length))
        *out = before; /* removed meanwhile */
    if (is_absent(length))
        return 0;
    if (length < 0)
        return length == -ERANGE ? -E2BIG : (int)length;
    bytes_put_u32(&length_at, (uint32_t)length);
    out->length += (size_t)length;
    return 0;
}

static int pack_xattrs(int fd, struct bytes *out)
{
    AUTO_NAMES struct names names;
    int result = names_read(fd, &names);
    for (const char *name = names_next(&names, NULL); result == 0 && name;
         name = names_next(&names, name)) {
        if (name_is_sent(name))
            result = pack_xattr(fd, name, out);
    }
    return result;
}

/* One entry of the kernel's form. */
struct acl_entry {
    uint16_t tag, rights;
    uint32_t id;
};

/* A list in the kernel's form; NULL-safe to close. */
struct acl {
    struct acl_entry *entries; /* owned; in the order of their tags and numbers */
    uint32_t count;            /* 0: there is no list */
};

static void acl_close(struct acl *acl)
{
    free(acl->entries);
}

#define AUTO_ACL __attribute__((cleanup(acl_close)))

static int entry_order(const void *a, const void *b)
{
    const struct acl_entry *one = a, *other = b;
    if (one->tag != other->tag)
        return one->tag < other->tag ? -1 : 1;
    return one->id == other->id ? 0 : one->id < other->id ? -1 : 1;
}

static bool has_id(uint16_t tag)
{
    return tag == ACL_USER || tag == ACL_GROUP;
}

static enum owners_kind kind_of_tag(uint16_t tag)
{
    return tag == ACL_USER ? OWNERS_USER : OWNERS_GROUP;
}

/* The file's list; none is no error. */
static int acl_read(int fd, const char *name, struct acl *acl)
{
    uint8_t small[SMALL_BYTES], *value = small;
    AUTO_FREE uint8_t *large = NULL;
    *acl = (struct acl){.count = 0};
    ssize_t length = read_value(fd, name, small, sizeof(small));
    if (length == -ERANGE) {
        value = large = malloc(DETAIL_VALUE_MAX);
        length = large ? read_value(fd, name, large, DETAIL_VALUE_MAX) : -ENOMEM;
    }
    if (length <= 0)
        return is_absent(length) ? 0 : (int)length;
    struct bytes bytes = bytes_reader(value, (size_t)length);
    if (bytes_get_u32(&bytes) != POSIX_ACL_XATTR_VERSION || bytes_left(&bytes) % 8 != 0)
        return -EINVAL;
    uint32_t count = (uint32_t)(bytes_left(&bytes) / 8);
    acl->entries = calloc(count + 1, sizeof(*acl->entries));
    if (!acl->entries)
        return -ENOMEM;
    acl->count = count;
    for (struct acl_entry *entry = acl->entries; entry < acl->entries + count; entry++) {
        entry->tag = bytes_get_u16(&bytes);
        entry->rights = bytes_get_u16(&bytes);
        entry->id = bytes_get_u32(&bytes);
    }
    qsort(acl->entries, count, sizeof(*acl->entries), entry_order);
    return 0;
}

static int pack_acl(int fd, enum detail_kind kind, struct owners *owners, struct bytes *out)
{
    AUTO_ACL struct acl acl;
    char name[OWNER_NAME_BYTES];
    int result = acl_read(fd, kind == DETAIL_ACCESS ? ACCESS_NAME : DEFAULT_NAME, &acl);
    if (result < 0 || acl.count == 0)
        return result;
    bytes_put_u8(out, (uint8_t)kind);
    bytes_put_u16(out, (uint16_t)acl.count);
    for (uint32_t i = 0; i < acl.count; i++) {
        const struct acl_entry *entry = &acl.entries[i];
        bytes_put_u16(out, entry->tag);
        bytes_put_u16(out, entry->rights);
        bytes_put_u32(out, entry->id);
        name[0] = '\0';
        if (owners && has_id(entry->tag))
            owners_name(owners, kind_of_tag(entry->tag), entry->id, name);
        bytes_put_string(out, name);
    }
    return out->failed ? -E2BIG : 0;
}

static int pack_all(int fd, mode_t mode, const struct details_wish *wish, struct bytes *out)
{
    int result = wish->sets & DETAILS_XATTRS ? pack_xattrs(fd, out) : 0;
    if (!(wish->sets & DETAILS_ACLS) || S_ISLNK(mode))
        return result;
    if (result == 0)
        result = pack_acl(fd, DETAIL_ACCESS, wish->owners, out);
    if (result == 0 && S_ISDIR(mode))
        result = pack_acl(fd, DETAIL_DEFAULT, wish->owners, out);
    return result;
}

/* ---- packing in pieces ---- */

/* A position is the number of a name among all, in their order, or one of these, and, in the lower
 * half, of how many bytes of its value went before. */
enum { AT_ACCESS = 1 << 30, AT_DEFAULT, AT_END };
#define POSITION_NEXT ((uint64_t)1 << 32)

/* At the end of each piece. */
enum { PIECE_BYTES_MAX = 2 + 2 * (2 + DETAIL_NAME_MAX) };

struct piece {
    uint8_t flags;
    char from[DETAIL_NAME_MAX + 1], to[DETAIL_NAME_MAX + 1];
};

static void piece_put(struct bytes *out, const struct piece *piece)
{
    bytes_put_u8(out, DETAIL_PIECE);
    bytes_put_u8(out, piece->flags);
    bytes_put_string(out, piece->from);
    bytes_put_string(out, piece->to);
    assert(!out->failed);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those that are sent, in order. Their number, or -errno; *sorted is the caller's. */
static int names_sort(const struct names *names, const char ***sorted)
{
    int count = 0;
    *sorted = calloc(names->length / 2 + 1, sizeof(**sorted));
    for (const char *name = names_next(names, NULL); *sorted && name;
         name = names_next(names, name)) {
        if (name_is_sent(name))
            (*sorted)[count++] = name;
    }
    if (*sorted)
        qsort(*sorted, (size_t)count, sizeof(**sorted), name_order);
    return *sorted ? count : -ENOMEM;
}

/* As much of the value as fits, from *offset on, which becomes where to go on; 0: that was the end.
 */
static int pack_part(int fd, const char *name, uint32_t *offset, struct bytes *out)
{
    AUTO_FREE uint8_t *value = malloc(DETAIL_VALUE_MAX);
    ssize_t length = value ? read_value(fd, name, value, DETAIL_VALUE_MAX) : -ENOMEM;
    uint32_t start = *offset;
    *offset = 0;
    if (is_absent(length) || (length >= 0 && length < (ssize_t)start)) /* changed meanwhile */
        return 0;
    if (length < 0)
        return (int)length;
    struct bytes head = *out;
    bytes_put_u8(&head, DETAIL_PART);
    bytes_put_string(&head, name);
    bytes_put_u32(&head, (uint32_t)length);
    bytes_put_u32(&head, start);
    size_t room = head.capacity - head.length, left = (size_t)length - start;
    if (head.failed || room <= sizeof(uint32_t))
        return -E2BIG;
    uint32_t part = (uint32_t)min_size(left, room - sizeof(uint32_t));
    bytes_put_u32(&head, part);
    bytes_put_raw(&head, value + start, part);
    *out = head;
    *offset = part < left ? start + part : 0;
    return 0;
}

/* Of the names from `at` on as many as fit, one at least, be it a part of its value. *offset: how
 * much of that went before, and has gone now. The first that is left, or -errno. */
static int pack_names(int fd, const char **sorted, int count, int at, uint32_t *offset,
                      struct bytes *out)
{
    int result = 0;
    for (; result == 0 && at < count; at += result == 0 && *offset == 0) {
        struct bytes before = *out;
        result = *offset > 0 ? -E2BIG : pack_xattr(fd, sorted[at], out);
        if (result == -E2BIG)
            *out = before;
        if (result == -E2BIG && before.length == 0)
            result = pack_part(fd, sorted[at], offset, out);
        if (result == 0 && *offset > 0)
            break;
    }
    return result == 0 || (result == -E2BIG && out->length > 0) ? at : result;
}

static int pack_piece_xattrs(int fd, struct details_wish *wish, struct piece *piece,
                             struct bytes *out)
{
    AUTO_FREE const char **sorted = NULL;
    AUTO_NAMES struct names names;
    int result = names_read(fd, &names);
    int count = result < 0 ? result : names_sort(&names, &sorted);
    int first = (int)min_u64(wish->position >> 32, count < 0 ? 0 : (uint64_t)count);
    uint32_t offset = (uint32_t)wish->position;
    int at = count < 0 ? count : pack_names(fd, sorted, count, first, &offset, out);
    if (at < 0)
        return at;
    piece->flags |= PIECE_XATTRS;
    snprintf(piece->from, sizeof(piece->from), "%s", first > 0 ? sorted[first - 1] : "");
    if (at < count)
        snprintf(piece->to, sizeof(piece->to), "%s", sorted[offset > 0 ? at : at - 1]);
    wish->position = (uint64_t)(at < count ? at : AT_ACCESS) << 32 | offset;
    return 0;
}

/* The next list, if it fits. */
static int pack_piece_list(int fd, struct details_wish *wish, struct piece *piece,
                           struct bytes *out)
{
    bool access = wish->position >> 32 == AT_ACCESS;
    struct bytes before = *out;
    int result = pack_acl(fd, access ? DETAIL_ACCESS : DETAIL_DEFAULT, wish->owners, out);
    if (result == -E2BIG)
        *out = before;
    if (result == -E2BIG && before.length > 0)
        return 0;
    piece->flags |= access ? PIECE_ACCESS : PIECE_DEFAULT;
    wish->position += POSITION_NEXT;
    return result;
}

static int pack_piece(int fd, mode_t mode, struct details_wish *wish, struct bytes *out)
{
    struct piece piece = {.flags = 0};
    bool lists = wish->sets & DETAILS_ACLS && !S_ISLNK(mode);
    uint64_t end = (lists ? S_ISDIR(mode) ? AT_END : AT_DEFAULT : AT_ACCESS) * POSITION_NEXT;
    int result = 0;
    if (out->capacity - out->length <= PIECE_BYTES_MAX)
        return -E2BIG;
    out->capacity -= PIECE_BYTES_MAX;
    if (!(wish->sets & DETAILS_XATTRS))
        wish->position = max_u64(wish->position, AT_ACCESS * POSITION_NEXT);
    if (wish->position < AT_ACCESS * POSITION_NEXT)
        result = pack_piece_xattrs(fd, wish, &piece, out);
    for (uint64_t at = 0; result == 0 && wish->position >= AT_ACCESS * POSITION_NEXT &&
                          wish->position < end && wish->position != at;) {
        at = wish->position;
        result = pack_piece_list(fd, wish, &piece, out);
    }
    if (wish->position < end)
        piece.flags |= PIECE_MORE;
    else
        wish->position = 0;
    out->capacity += PIECE_BYTES_MAX;
    if (result == 0)
        piece_put(out, &piece);
    return result;
}

int details_read(int fd, mode_t mode, struct details_wish *wish, struct bytes *out)
{
    struct bytes before = *out;
    int result = wish->position > 0 ? -E2BIG : pack_all(fd, mode, wish, out);
    if (result != -E2BIG)
        return result;
    *out = before;
    return pack_piece(fd, mode, wish, out);
}

/* ---- unpacking ---- */

struct record {
    enum detail_kind kind;
    char name[DETAIL_NAME_MAX + 1]; /* XATTR, PART */
    const uint8_t *value;           /* `length` bytes of `total`, from `offset` on */
    uint32_t length, total, offset;
    struct bytes entries; /* a list: from the first one on */
    uint32_t count;
    struct piece piece; /* PIECE */
};

static void record_entry(struct bytes *bytes, struct acl_entry *entry, char name[OWNER_NAME_BYTES])
{
    entry->tag = bytes_get_u16(bytes);
    entry->rights = bytes_get_u16(bytes);
    entry->id = bytes_get_u32(bytes);
    bytes_get_string(bytes, name, OWNER_NAME_BYTES);
}

static void record_value(struct bytes *bytes, struct record *record)
{
    bool part = record->kind == DETAIL_PART;
    bytes_get_string(bytes, record->name, sizeof(record->name));
    record->total = part ? bytes_get_u32(bytes) : 0;
    record->offset = part ? bytes_get_u32(bytes) : 0;
    record->length = bytes_get_u32(bytes);
    record->value = bytes->data + bytes->position;
    if (!part)
        record->total = record->length;
    bytes->failed |= record->name[0] == '\0' || record->total > DETAIL_VALUE_MAX ||
                     record->offset > record->total ||
                     record->length > record->total - record->offset ||
                     record->length > bytes_left(bytes);
    bytes->position += bytes->failed ? 0 : record->length;
}

static void record_list(struct bytes *bytes, struct record *record)
{
    char name[OWNER_NAME_BYTES];
    struct acl_entry entry;
    record->count = bytes_get_u16(bytes);
    record->entries = *bytes;
    bytes->failed |= record->count == 0 || record->count > DETAIL_ENTRIES_MAX;
    for (uint32_t i = 0; i < record->count && !bytes->failed; i++)
        record_entry(bytes, &entry, name);
}

static void record_piece(struct bytes *bytes, struct piece *piece)
{
    piece->flags = bytes_get_u8(bytes);
    bytes_get_string(bytes, piece->from, sizeof(piece->from));
    bytes_get_string(bytes, piece->to, sizeof(piece->to));
    bytes->failed |= piece->flags > PIECE_FLAGS_ALL;
}

/* false: there is none, or (bytes->failed) none that could be. */
static bool record_next(struct bytes *bytes, struct record *record)
{
    if (bytes->failed || bytes_left(bytes) == 0)
        return false;
    record->kind = (enum detail_kind)bytes_get_u8(bytes);
    if (record->kind == DETAIL_XATTR || record->kind == DETAIL_PART)
        record_value(bytes, record);
    else if (record->kind == DETAIL_ACCESS || record->kind == DETAIL_DEFAULT)
        record_list(bytes, record);
    else if (record->kind == DETAIL_PIECE)
        record_piece(bytes, &record->piece);
    else
        bytes->failed = true;
    return !bytes->failed;
}

bool details_good(const void *packed, uint32_t packed_bytes)
{
    struct bytes bytes = bytes_reader(packed, packed_bytes);
    struct record record;
    while (record_next(&bytes, &record))
        continue;
    return !bytes.failed;
}

/* Without one the text is all. */
static struct piece piece_of(const void *packed, uint32_t packed_bytes)
{
    struct bytes bytes = bytes_reader(packed, packed_bytes);
    struct record record;
    while (record_next(&bytes, &record)) {
        if (record.kind == DETAIL_PIECE)
            return record.piece;
    }
    return (struct piece){.flags = PIECE_XATTRS | PIECE_ACCESS | PIECE_DEFAULT};
}

bool details_go_on(const void *packed, uint32_t packed_bytes)
{
    return piece_of(packed, packed_bytes).flags & PIECE_MORE;
}

/* Behind the name `from`; or within the value of a part, which comes next behind it. */
static uint64_t row_place(const char *from, const struct record *part, uint32_t offset)
{
    uint64_t place = checksum_of(from, strlen(from), 1);
    if (part && offset > 0) {
        const uint32_t numbers[2] = {part->total, offset};
        place = checksum_of(part->name, strlen(part->name), place);
        place = checksum_of(numbers, sizeof(numbers), place);
    }
    return place;
}

/* Its names: where they begin has to be where those before have ended. */
static bool row_takes_names(struct details_row *row, const struct piece *piece,
                            const struct record *part)
{
    uint64_t wanted = row->seen & PIECE_XATTRS ? row->next : row_place("", NULL, 0);
    uint64_t place = row_place(piece->from, part, part ? part->offset : 0);
    uint32_t end = part ? part->offset + part->length : 0;
    if (part && end < part->total)
        row->next = row_place(piece->from, part, end);
    else
        row->next = piece->to[0] ? row_place(piece->to, NULL, 0) : 0;
    return place == wanted && row->next != place;
}

bool details_follow(struct details_row *row, unsigned about, const void *packed,
                    uint32_t packed_bytes)
{
    struct bytes bytes = bytes_reader(packed, packed_bytes);
    const struct piece piece = piece_of(packed, packed_bytes);
    const unsigned of = piece.flags & ~(unsigned)PIECE_MORE, lists = PIECE_ACCESS | PIECE_DEFAULT;
    struct record first;
    bool part = record_next(&bytes, &first) && first.kind == DETAIL_PART;
    if (of == 0 || row->seen & of & lists ||
        (of & PIECE_XATTRS && !row_takes_names(row, &piece, part ? &first : NULL)) ||
        (of & lists && row->next != 0))
        return false;
    row->seen |= of;
    return piece.flags & PIECE_MORE || (row->next == 0 && (row->seen & about) == about);
}

static bool is_about(const struct piece *piece, const char *name)
{
    return piece->flags & PIECE_XATTRS && strcmp(name, piece->from) > 0 &&
           (piece->to[0] == '\0' || strcmp(name, piece->to) <= 0);
}

static bool wants_name(const struct details *wanted, const char *name)
{
    struct bytes bytes = bytes_reader(wanted->packed, wanted->packed_bytes);
    struct record record;
    while (record_next(&bytes, &record)) {
        if ((record.kind == DETAIL_XATTR || record.kind == DETAIL_PART) &&
            strcmp(record.name, name) == 0)
            return true;
    }
    return false;
}

static bool find_acl(const struct details *wanted, enum detail_kind kind, struct record *record)
{
    struct bytes bytes = bytes_reader(wanted->packed, wanted->packed_bytes);
    while (record_next(&bytes, record)) {
        if (record->kind == kind)
            return true;
    }
    return false;
}

/* The list of that kind that is wanted, with the numbers of this machine. */
static int acl_wanted(const struct details *wanted, enum detail_kind kind, struct acl *acl)
{
    char name[OWNER_NAME_BYTES];
    struct record record;
    *acl = (struct acl){.count = 0};
    if (!find_acl(wanted, kind, &record))
        return 0;
    acl->entries = calloc(record.count, sizeof(*acl->entries));
    if (!acl->entries)
        return -ENOMEM;
    acl->count = record.count;
    for (uint32_t i = 0; i < record.count; i++) {
        struct acl_entry *entry = &acl->entries[i];
        record_entry(&record.entries, entry, name);
        if (wanted->owners && has_id(entry->tag))
            entry->id = owners_id(wanted->owners, kind_of_tag(entry->tag), entry->id, name);
    }
    qsort(acl->entries, acl->count, sizeof(*acl->entries), entry_order);
    return 0;
}

/* ---- access control lists ---- */

static bool acl_equal(const struct acl *a, const struct acl *b)
{
    bool equal = a->count == b->count;
    for (uint32_t i = 0; equal && i < a->count; i++)
        equal = entry_order(&a->entries[i], &b->entries[i]) == 0 &&
                a->entries[i].rights == b->entries[i].rights;
    return equal;
}

/* In the kernel's form. */
static int acl_write(int fd, const char *name, const struct acl *acl)
{
    size_t length = sizeof(uint32_t) + (size_t)acl->count * 8;
    AUTO_FREE uint8_t *value = malloc(length);
    if (!value)
        return -ENOMEM;
    struct bytes bytes = bytes_writer(value, length);
    bytes_put_u32(&bytes, POSIX_ACL_XATTR_VERSION);
    for (uint32_t i = 0; i < acl->count; i++) {
        bytes_put_u16(&bytes, acl->entries[i].tag);
        bytes_put_u16(&bytes, acl->entries[i].rights);
        bytes_put_u32(&bytes, acl->entries[i].id);
    }
    return xattr_set(fd, name, value, length);
}

/* 1: it is, or has just become right; 0: it is not; or -errno. With `look` nothing is set. */
static int acl_settle(int fd, enum detail_kind kind, const struct details *wanted, bool look)
{
    const char *name = kind == DETAIL_ACCESS ? ACCESS_NAME : DEFAULT_NAME;
    AUTO_ACL struct acl now = {.count = 0}, right;
    int result = acl_wanted(wanted, kind, &right);
    if (result < 0)
        return result;
    result = acl_read(fd, name, &now);
    if (result == 0 && acl_equal(&now, &right))
        return 1;
    if (look)
        return result;
    result = right.count > 0 ? acl_write(fd, name, &right) : xattr_remove(fd, name);
    return result < 0 ? result : 1;
}

/* ---- extended attributes ---- */

/* The same of one that is wanted; `room` for DETAIL_VALUE_MAX bytes. A part is right where the
 * value ends with it, too: the next one comes behind it, and what was behind it is none. */
static int xattr_settle(int fd, const struct record *record, uint8_t *room, bool look)
{
    ssize_t length = read_value(fd, record->name, room, DETAIL_VALUE_MAX);
    uint32_t end = record->offset + record->length;
    if ((length == (ssize_t)record->total || length == (ssize_t)end) &&
        memcmp(room + record->offset, record->value, record->length) == 0)
        return 1;
    if (look)
        return 0;
    if (record->offset > 0 && length < (ssize_t)record->offset)
        return -ESTALE;
    memcpy(room + record->offset, record->value, record->length);
    int result = xattr_set(fd, record->name, room, end);
    return result < 0 ? result : 1;
}

/* What is too much goes first: there may be no room for both. */
static int surplus_settle(int fd, const struct details *wanted, bool look)
{
    const struct piece piece = piece_of(wanted->packed, wanted->packed_bytes);
    AUTO_NAMES struct names names;
    int result = names_read(fd, &names), first = result < 0 ? result : 1;
    for (const char *name = names_next(&names, NULL); result == 0 && name;
         name = names_next(&names, name)) {
        if (!name_is_removed(wanted, name) || !is_about(&piece, name) || wants_name(wanted, name))
            continue;
        int removed = look ? 0 : xattr_remove(fd, name);
        if (first == 1 && (look || removed < 0))
            first = removed;
    }
    return first;
}

static int xattrs_settle(int fd, const struct details *wanted, bool look)
{
    struct bytes bytes = bytes_reader(wanted->packed, wanted->packed_bytes);
    AUTO_FREE uint8_t *room = NULL;
    struct record record;
    int first = surplus_settle(fd, wanted, look);
    while (record_next(&bytes, &record)) {
        bool value = record.kind == DETAIL_XATTR || record.kind == DETAIL_PART;
        if (!value || !name_is_set(wanted, record.name))
            continue;
        if (!room && !(room = malloc(DETAIL_VALUE_MAX)))
            return -ENOMEM;
        int settled = xattr_settle(fd, &record, room, look);
        if (first == 1)
            first = settled;
    }
    return first;
}

/* ---- a set of them ---- */

static int settle(int fd, mode_t mode, enum details_set set, const struct details *wanted,
                  bool look)
{
    if (set == DETAILS_XATTRS)
        return xattrs_settle(fd, wanted, look);
    if (S_ISLNK(mode))
        return 1;
    uint8_t about = piece_of(wanted->packed, wanted->packed_bytes).flags;
    int access = about & PIECE_ACCESS ? acl_settle(fd, DETAIL_ACCESS, wanted, look) : 1;
    int inherited =
        S_ISDIR(mode) && about & PIECE_DEFAULT ? acl_settle(fd, DETAIL_DEFAULT, wanted, look) : 1;
    return access == 1 ? inherited : access;
}

bool details_right(int fd, mode_t mode, enum details_set set, const struct details *wanted)
{
    return settle(fd, mode, set, wanted, true) == 1;
}

bool details_has_list(int fd)
{
    return xattr_get(fd, ACCESS_NAME, NULL, 0) > 0;
}

/* As in linux/posix_acl_xattr.h. The mask is in the place of the group's rights. */
mode_t details_mode(mode_t mode, const struct details *wanted)
{
    enum { USER_OBJ = 0x01, GROUP_OBJ = 0x04, MASK = 0x10, OTHER = 0x20 };
    AUTO_ACL struct acl list;
    uint32_t rights[OTHER + 1] = {0};
    bool masked = false;
    if (acl_wanted(wanted, DETAIL_ACCESS, &list) < 0 || list.count == 0)
        return mode;
    for (uint32_t i = 0; i < list.count; i++) {
        const struct acl_entry *entry = &list.entries[i];
        masked |= entry->tag == MASK;
        if (entry->tag <= OTHER)
            rights[entry->tag] = entry->rights & 7u;
    }
    uint32_t group = rights[masked ? MASK : GROUP_OBJ];
    return (mode & ~(mode_t)0777) | rights[USER_OBJ] << 6 | group << 3 | rights[OTHER];
}

int details_set(int fd, mode_t mode, enum details_set set, const struct details *wanted)
{
    int result = settle(fd, mode, set, wanted, false);
    return result == 1 ? 0 : result;
}
