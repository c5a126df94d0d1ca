/*
 * tree: what is in a folder, in one process.
 *
 *   tree names FOLDER                 a sorted line each: path, kind
 *   tree facts FOLDER                 besides inode, links, mode, owner, size, both times, where a
 * link leads, XXH3-128 tree names|facts FOLDER LISTING   nothing if LISTING, a file, says the same;
 * else the lines that one of them lacks
 *                                     (-: only there, +: only here), and exit code 1
 *
 * Exit code 2: something cannot be read. Names with line ends are not for it.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 8192, FOLDERS_OPEN = 16 };

struct listing {
    char **lines;
    size_t count;
};

static struct listing here;
static bool with_facts;
static size_t root_length;

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "tree: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void add_line(struct listing *listing, const char *line)
{
    listing->lines = reallocarray(listing->lines, listing->count + 1, sizeof(char *));
    if (listing->lines == NULL || (listing->lines[listing->count++] = strdup(line)) == NULL)
        die("memory");
}

static char kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return 'f';
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFIFO:
        return 'p';
    case S_IFSOCK:
        return 's';
    case S_IFBLK:
        return 'b';
    default:
        return 'c';
    }
}

/* Of a file's bytes; of a link, where it leads. */
static void content_of(const char *path, const struct stat *facts, char *out, size_t capacity)
{
    static char data[1 << 16];
    XXH3_state_t *state = XXH3_createState();
    ssize_t got = 0;

    out[0] = '\0';
    if (S_ISLNK(facts->st_mode)) {
        got = readlink(path, out, capacity - 1);
        out[got < 0 ? 0 : got] = '\0';
    } else if (S_ISREG(facts->st_mode)) {
        int fd = open(path, O_RDONLY);
        XXH3_128bits_reset(state);
        while (fd >= 0 && (got = read(fd, data, sizeof(data))) > 0)
            XXH3_128bits_update(state, data, (size_t)got);
        if (fd < 0 || got < 0)
            die(path);
        close(fd);
        XXH128_hash_t hash = XXH3_128bits_digest(state);
        snprintf(out, capacity, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
                 (uint64_t)hash.low64);
    }
    if (got < 0)
        die(path);
    XXH3_freeState(state);
}

static int visit(const char *path, const struct stat *facts, int flag, struct FTW *place)
{
    char line[LINE_BYTES], content[LINE_BYTES / 2];
    const char *name = path + root_length;

    (void)place;
    if (flag == FTW_DNR || flag == FTW_NS)
        die(path);
    int length = snprintf(line, sizeof(line), ".%s %c", name, kind_of(facts->st_mode));
    if (with_facts && length > 0 && (size_t)length < sizeof(line)) {
        content_of(path, facts, content, sizeof(content));
        snprintf(line + length, sizeof(line) - (size_t)length,
                 " %" PRIu64 " %" PRIu64 " %o %u:%u %" PRId64 " %" PRId64 ".%09ld %" PRId64
                 ".%09ld %s",
                 (uint64_t)facts->st_ino, (uint64_t)facts->st_nlink, facts->st_mode & 07777,
                 facts->st_uid, facts->st_gid, (int64_t)facts->st_size,
                 (int64_t)facts->st_mtim.tv_sec, facts->st_mtim.tv_nsec,
                 (int64_t)facts->st_ctim.tv_sec, facts->st_ctim.tv_nsec, content);
    }
    add_line(&here, line);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_listing(struct listing *listing, const char *path)
{
    char line[LINE_BYTES];
    FILE *file = fopen(path, "re");

    if (file == NULL)
        die(path);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        add_line(listing, line);
    }
    fclose(file);
}

/* Both are sorted. */
static int compare(const struct listing *there)
{
    size_t a = 0, b = 0;
    int differs = 0;

    while (a < there->count || b < here.count) {
        int order = a == there->count ? 1
                    : b == here.count ? -1
                                      : strcmp(there->lines[a], here.lines[b]);
        if (order < 0)
            printf("- %s\n", there->lines[a]);
        else if (order > 0)
            printf("+ %s\n", here.lines[b]);
        differs |= order != 0;
        a += order <= 0;
        b += order >= 0;
    }
    return differs;
}

int main(int count, char **arguments)
{
    struct listing there = {.lines = NULL};

    if (count < 3 || count > 4 ||
        (strcmp(arguments[1], "names") != 0 && strcmp(arguments[1], "facts") != 0)) {
        fputs("usage: tree names|facts FOLDER [LISTING]\n", stderr);
        return 2;
    }
    with_facts = strcmp(arguments[1], "facts") == 0;
    root_length = strlen(arguments[2]);
    if (nftw(arguments[2], visit, FOLDERS_OPEN, FTW_PHYS) != 0)
        die(arguments[2]);
    qsort(here.lines, here.count, sizeof(char *), by_text);
    if (count == 4) {
        read_listing(&there, arguments[3]);
        return compare(&there);
    }
    for (size_t i = 0; i < here.count; i++)
        puts(here.lines[i]);
    return 0;
}
