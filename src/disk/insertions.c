/* insertions.c - which pages of which files are in the cache by us: two tables, of files and of the
 * 2 MiB pieces of them that hold such pages. */
#include "haul/disk/insertions.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/disk/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { PIECE_PAGES = 512, TABLE_ROOM = 1024 };

struct insertions_entry {
    struct insertions_entry *next;
    uint64_t hash;
};

struct file_pages {
    struct insertions_entry entry; /* the first member */
    uint64_t device, inode;
    struct insertions_figures figures;
};

struct piece {
    struct insertions_entry entry; /* the first member */
    struct file_pages *file;
    uint64_t number;
    uint64_t bits[PIECE_PAGES / 64];
};

/* ---- the tables ---- */

/* Where those of a hash begin; NULL: there is no table yet. */
static struct insertions_entry **table_at(const struct insertions_table *table, uint64_t hash)
{
    return table->room > 0 ? &table->buckets[hash & (table->room - 1)] : NULL;
}

static void table_put(struct insertions_table *table, struct insertions_entry *entry)
{
    struct insertions_entry **at = table_at(table, entry->hash);
    entry->next = *at;
    *at = entry;
}

/* false: no memory for the first. A table that cannot grow is slower, and right. */
static bool table_grow(struct insertions_table *table)
{
    struct insertions_table old = *table;
    uint32_t room = old.room > 0 ? 2 * old.room : TABLE_ROOM;
    struct insertions_entry **buckets = calloc(room, sizeof(struct insertions_entry *));
    if (!buckets)
        return old.room > 0;
    *table = (struct insertions_table){.buckets = buckets, .count = old.count, .room = room};
    for (uint32_t i = 0; i < old.room; i++)
        for (struct insertions_entry *entry = old.buckets[i], *next; entry; entry = next) {
            next = entry->next;
            table_put(table, entry);
        }
    free(old.buckets);
    return true;
}

/* A new entry of so many bytes, all else zeros. NULL: no memory. */
static void *table_make(struct insertions *insertions, struct insertions_table *table,
                        uint64_t hash, size_t bytes)
{
    struct insertions_entry *entry = NULL;
    if (table->count < table->room || table_grow(table))
        entry = calloc(1, bytes);
    if (!entry) {
        insertions->memory_short = true;
        return NULL;
    }
    entry->hash = hash;
    table->count++;
    table_put(table, entry);
    return entry;
}

static void table_free(struct insertions_table *table)
{
    for (uint32_t i = 0; i < table->room; i++)
        for (struct insertions_entry *entry = table->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free(entry);
        }
    free(table->buckets);
}

static uint64_t mixed(uint64_t value)
{
    value *= UINT64_C(0x9e3779b97f4a7c15);
    return value ^ value >> 32;
}

/* The inode alone says where a file is, so that one can be looked for without its device. */
static struct file_pages *find_file(const struct insertions *insertions, uint64_t device,
                                    uint64_t inode)
{
    struct insertions_entry **at = table_at(&insertions->files, mixed(inode));
    for (struct insertions_entry *entry = at ? *at : NULL; entry; entry = entry->next) {
        struct file_pages *file = (struct file_pages *)entry;
        if (file->inode == inode && (device == INSERTIONS_ANY_DEVICE || file->device == device))
            return file;
    }
    return NULL;
}

static struct file_pages *make_file(struct insertions *insertions, uint64_t device, uint64_t inode)
{
    struct file_pages *file = find_file(insertions, device, inode);
    if (file || !(file = table_make(insertions, &insertions->files, mixed(inode), sizeof(*file))))
        return file;
    file->device = device;
    file->inode = inode;
    return file;
}

static uint64_t piece_hash(const struct file_pages *file, uint64_t number)
{
    return mixed((uint64_t)(uintptr_t)file + mixed(number));
}

/* Where the table points to the piece. NULL: there is none. */
static struct insertions_entry **find_piece(const struct insertions *insertions,
                                            const struct file_pages *file, uint64_t number)
{
    struct insertions_entry **at = table_at(&insertions->pieces, piece_hash(file, number));
    for (; at && *at; at = &(*at)->next) {
        const struct piece *piece = (const struct piece *)*at;
        if (piece->file == file && piece->number == number)
            return at;
    }
    return NULL;
}

static struct piece *make_piece(struct insertions *insertions, struct file_pages *file,
                                uint64_t number)
{
    struct insertions_entry **at = find_piece(insertions, file, number);
    if (at)
        return (struct piece *)*at;
    struct piece *piece =
        table_make(insertions, &insertions->pieces, piece_hash(file, number), sizeof(*piece));
    if (piece) {
        piece->file = file;
        piece->number = number;
    }
    return piece;
}

/* ---- the account ---- */

static void count(struct insertions_figures *figures, bool added)
{
    if (!added) {
        figures->now--;
        return;
    }
    figures->now++;
    figures->most = max_u64(figures->most, figures->now);
}

/* Pages from `first` on, all of one piece; which are not yet (any more) as the event says. */
static void change(struct insertions *insertions, struct piece *piece, uint32_t first,
                   uint32_t pages_count, bool added)
{
    for (uint32_t page = first; page < first + pages_count; page++) {
        uint64_t bit = UINT64_C(1) << (page % 64);
        bool in = piece->bits[page / 64] & bit;
        if (in == added)
            continue;
        piece->bits[page / 64] ^= bit;
        count(&piece->file->figures, added);
        count(&insertions->all, added);
    }
}

static void release_empty(struct insertions *insertions, struct insertions_entry **at)
{
    static const uint64_t none[PIECE_PAGES / 64] = {0};
    struct piece *piece = (struct piece *)*at;
    if (memcmp(piece->bits, none, sizeof(none)) != 0)
        return;
    *at = piece->entry.next;
    insertions->pieces.count--;
    free(piece);
}

static void each_piece(struct insertions *insertions, struct file_pages *file,
                       const struct tracing_event *event)
{
    uint64_t page = event->page, rest = event->pages_count;
    while (rest > 0) {
        uint32_t first = (uint32_t)(page % PIECE_PAGES);
        uint32_t pages_count = (uint32_t)min_u64(rest, PIECE_PAGES - first);
        uint64_t number = page / PIECE_PAGES;
        if (event->added) {
            struct piece *piece = make_piece(insertions, file, number);
            if (piece)
                change(insertions, piece, first, pages_count, true);
        } else {
            struct insertions_entry **at = find_piece(insertions, file, number);
            if (at) {
                change(insertions, (struct piece *)*at, first, pages_count, false);
                release_empty(insertions, at);
            }
        }
        page += pages_count;
        rest -= pages_count;
    }
}

void insertions_open(struct insertions *insertions)
{
    *insertions = (struct insertions){.memory_short = false};
}

void insertions_add(struct insertions *insertions, const struct tracing_event *event, bool ours)
{
    bool mine = event->added && ours;
    struct file_pages *file = event->added ? make_file(insertions, event->device, event->inode)
                                           : find_file(insertions, event->device, event->inode);
    if (!file)
        return;
    if (mine) {
        file->figures.entered += event->pages_count;
        insertions->all.entered += event->pages_count;
    } else if (event->added) {
        file->figures.by_others += event->pages_count;
    }
    if (mine || !event->added)
        each_piece(insertions, file, event);
}

struct insertions_figures insertions_of(const struct insertions *insertions, uint64_t device,
                                        uint64_t inode)
{
    const struct file_pages *file = find_file(insertions, device, inode);
    return file ? file->figures : (struct insertions_figures){.entered = 0};
}

void insertions_close(struct insertions *insertions)
{
    table_free(&insertions->pieces);
    table_free(&insertions->files);
    insertions_open(insertions);
}

/* ---- names ---- */

/* The superblock's own number, which btrfs does not tell by stat(2): "ID PARENT MAJOR:MINOR ...".
 */
static uint64_t mounted_device(uint64_t mount_id)
{
    AUTO_PROC_LINES(lines, PROC_LINE_BYTES);
    const char *line;
    if (proc_lines_open(&lines, "", "/proc/self/mountinfo") != 0)
        return INSERTIONS_ANY_DEVICE;
    while ((line = proc_lines_next(&lines))) {
        uint64_t id, major, minor;
        if (sscanf(line, "%" SCNu64 " %*u %" SCNu64 ":%" SCNu64, &id, &major, &minor) == 3 &&
            id == mount_id)
            return major << 20 | minor;
    }
    return INSERTIONS_ANY_DEVICE;
}

int insertions_name(const char *path, uint64_t *device, uint64_t *inode)
{
    struct stat st;
    char name[64];
    uint64_t mount_id;
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -errno;
    uint64_t filesystem = filesystem_type(fd);
    if (!S_ISREG(st.st_mode) || filesystem == 0 || filesystem_is_memory(filesystem))
        return -EINVAL;
    *inode = st.st_ino;
    *device = (uint64_t)major(st.st_dev) << 20 | minor(st.st_dev);
    snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
    if (filesystem == OVERLAYFS_SUPER_MAGIC)
        *device = INSERTIONS_ANY_DEVICE;
    else if (proc_figure(name, "mnt_id:", &mount_id) == 0)
        *device = mounted_device(mount_id);
    return 0;
}
