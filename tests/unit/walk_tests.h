/* walk_tests.h - a tree in a folder of its own, and what a walk tells of it as lines: "dir/" is
 * entered, "-dir/" left ("!dir/": not complete), "~name" left out, "?name NUMBER" an error, others
 * are found. */
#ifndef HAUL_TESTS_WALK_H
#define HAUL_TESTS_WALK_H

#include "scratch.h"

#include "haul/base/num.h"
#include "haul/disk/descent.h"
#include "haul/disk/entry.h"
#include "haul/disk/walk.h"

#include <errno.h>

enum { LINES_BYTES = 8 * 1024 * 1024 };

/* The working folder is one of our own. "root" is the tree. */
struct grove {
    char base[32];
    int fd_before;
    struct place root;
    struct walk_wish wish;
    struct walk *walk;
    size_t room; /* for entries, each time */
    uint8_t *buffer;
    bool over;
    char path[DESCENT_PATH_BYTES + ENTRY_NAME_MAX + 1];
    uint32_t depth, depth_max, entries_count, calls_count;
    char *lines; /* what was told so far */
    size_t lines_length;
    uint64_t inode_last; /* of what was found */
    uint32_t inode_falls;
    struct facts facts; /* of what was found, or left out, last */
    struct error err;
};

static inline void touch(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
}

static inline void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static inline void remove_all(const char *path)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static inline int grove_setup_in(void **state, const char *where)
{
    bool walks = *state && *(const bool *)*state;
    struct grove *grove = calloc(1, sizeof(*grove));
    assert_non_null(grove);
    snprintf(grove->base, sizeof(grove->base), "%s/haul-walk-XXXXXX", where);
    grove->fd_before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_non_null(mkdtemp(grove->base));
    assert_int_equal(chdir(grove->base), 0);
    assert_int_equal(chmod(".", 0755), 0);
    make_folder("root");
    assert_int_equal(place_open_tree(&grove->root, NULL, "root", &grove->err), 0);
    grove->root.walks_only |= walks;
    grove->wish =
        (struct walk_wish){.recursive = true, .links = true, .devices = true, .specials = true};
    grove->room = 64 * 1024;
    grove->buffer = malloc(MIB);
    grove->lines = malloc(LINES_BYTES);
    assert_true(grove->buffer && grove->lines);
    *state = grove;
    return 0;
}

static inline int grove_setup(void **state)
{
    return grove_setup_in(state, "/var/tmp");
}

static inline int grove_teardown(void **state)
{
    struct grove *grove = *state;
    walk_close(grove->walk);
    place_close(&grove->root);
    assert_int_equal(fchdir(grove->fd_before), 0);
    close(grove->fd_before);
    remove_all(grove->base);
    free(grove->buffer);
    free(grove->lines);
    free(grove);
    return 0;
}

/* ---- what is told ---- */

static inline void line(struct grove *grove, const char *before, const char *name,
                        const char *after)
{
    size_t left = LINES_BYTES - grove->lines_length;
    int length = snprintf(grove->lines + grove->lines_length, left, "%s%s%s%s\n", before,
                          grove->path, name, after);
    assert_true(length > 0 && (size_t)length < left);
    grove->lines_length += (size_t)length;
}

static inline void hear_enter(struct grove *grove, const struct entry *entry)
{
    size_t length = strlen(grove->path);
    assert_int_equal(entry->facts.kind, FILE_FOLDER);
    assert_true(length + strlen(entry->name) + 2 <= sizeof(grove->path));
    sprintf(grove->path + length, "%s/", entry->name);
    line(grove, "", "", "");
    grove->depth++;
    grove->depth_max = (uint32_t)max_u64(grove->depth_max, grove->depth);
    grove->inode_last = 0;
}

static inline void hear_leave(struct grove *grove, const struct entry *entry)
{
    assert_true(grove->depth > 0);
    line(grove, entry->complete ? "-" : "!", "", "");
    grove->path[strlen(grove->path) - 1] = '\0';
    char *slash = strrchr(grove->path, '/');
    *(slash ? slash + 1 : grove->path) = '\0';
    grove->depth--;
    grove->inode_last = 0;
}

static inline void hear(struct grove *grove, const struct entry *entry)
{
    char number[32];
    grove->entries_count++;
    switch (entry->type) {
    case ENTRY_ENTER:
        hear_enter(grove, entry);
        break;
    case ENTRY_LEAVE:
        hear_leave(grove, entry);
        break;
    case ENTRY_FOUND:
        line(grove, "", entry->name, "");
        grove->inode_falls += entry->facts.inode < grove->inode_last;
        grove->inode_last = entry->facts.inode;
        break;
    case ENTRY_PAST:
        line(grove, "~", entry->name, "");
        break;
    case ENTRY_ERROR:
        snprintf(number, sizeof(number), " %u", entry->errnum);
        assert_true(strlen(entry->text) > 0);
        line(grove, "?", entry->name, number);
        break;
    case ENTRY_USER:
    case ENTRY_GROUP:
        snprintf(number, sizeof(number), "%s %u ", entry->type == ENTRY_USER ? "user" : "group",
                 entry->id);
        line(grove, number, entry->text, "");
        break;
    default:
        fail();
    }
    if (entry->type == ENTRY_FOUND || entry->type == ENTRY_PAST)
        grove->facts = entry->facts;
}

/* ---- walks ---- */

static inline void walk_from(struct grove *grove, const char *path)
{
    walk_close(grove->walk);
    grove->walk = NULL;
    grove->over = false;
    grove->depth = grove->depth_max = grove->entries_count = grove->calls_count = 0;
    grove->inode_last = grove->inode_falls = 0;
    grove->path[0] = grove->lines[0] = '\0';
    grove->lines_length = 0;
    int result = walk_open(&grove->walk, &grove->wish, &grove->root, path, &grove->err);
    if (result < 0)
        fail_msg("%s", grove->err.text);
}

/* One buffer of it. */
static inline void walk_on(struct grove *grove)
{
    struct entry entry;
    struct bytes out = bytes_writer(grove->buffer, grove->room);
    enum walk_next next = walk_next(grove->walk, &grove->root, &out);
    assert_true(next == WALK_OVER || next == WALK_ON);
    grove->over = next == WALK_OVER;
    grove->calls_count++;
    struct bytes in = bytes_reader(grove->buffer, out.length);
    int result;
    while ((result = entry_unpack(&in, &entry, &grove->err)) > 0)
        hear(grove, &entry);
    assert_int_equal(result, 0);
}

static inline const char *walk_all(struct grove *grove, const char *path)
{
    walk_from(grove, path);
    while (!grove->over)
        walk_on(grove);
    assert_int_equal(grove->depth, 0);
    return grove->lines;
}

/* Until this line was told, entry by entry where room is small. */
static inline void walk_until(struct grove *grove, const char *text)
{
    while (!strstr(grove->lines, text)) {
        assert_false(grove->over);
        walk_on(grove);
    }
}

static inline void walk_rest(struct grove *grove)
{
    while (!grove->over)
        walk_on(grove);
}

static inline uint32_t count_descriptors(void)
{
    uint32_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

#endif
