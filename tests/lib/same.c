/*
 * same: are two files equal, byte for byte? As cmp(1) says it, and without bringing them into the
 * page cache.
 *
 *   same [--evict] FILE FILE
 *
 * What of a file is cached is read there, where every reader finds it; the rest comes from the disk
 * past the cache, whose pages would be most of the time that the comparison takes. --evict: nothing
 * of them is cached afterwards. Exit 1: they differ; 2: one cannot be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { SYSCALL_CACHESTAT = 451, OVERLAYFS_MAGIC = 0x794c7630 };
enum {
    BLOCK_BYTES = 4096,
    PIECE_BYTES = 1 << 20,
    HUGE_PAGE_BYTES = 2 << 20,
    EVICT_ATTEMPTS_MAX = 50
};

struct side {
    const char *path;
    int fd, direct_fd; /* -1: the second is not to be had, or not to be believed */
    char *piece;
    size_t got_bytes;
    uint64_t size_bytes;
};

__attribute__((noreturn)) static void die(const char *path)
{
    fprintf(stderr, "same: %s: %s\n", path, strerror(errno));
    exit(2);
}

static void side_open(struct side *side, const char *path, char *piece)
{
    struct statfs facts;
    struct stat size;

    *side =
        (struct side){.path = path, .fd = open(path, O_RDONLY), .direct_fd = -1, .piece = piece};
    if (side->fd < 0 || fstat(side->fd, &size) != 0)
        die(path);
    side->size_bytes = (uint64_t)size.st_size;
    /* cachestat(2) is always 0 there. */
    if (fstatfs(side->fd, &facts) == 0 && (uint32_t)facts.f_type != OVERLAYFS_MAGIC)
        side->direct_fd = open(path, O_RDONLY | O_DIRECT);
}

/* Linux 6.5. */
static bool is_cached(int fd, uint64_t offset, uint64_t length_bytes)
{
    uint64_t range[2] = {offset, length_bytes}, result[5] = {0};

    return syscall(SYSCALL_CACHESTAT, fd, range, result, 0) != 0 || result[0] > 0;
}

/* A whole piece, or what there is before the end. */
static void piece_read(struct side *side, uint64_t offset)
{
    bool direct = side->direct_fd >= 0 && !is_cached(side->fd, offset, PIECE_BYTES);
    size_t wanted_bytes = PIECE_BYTES;

    /* A direct read takes all pages of its buffer, whatever there is to read. */
    if (side->size_bytes < offset + PIECE_BYTES)
        wanted_bytes = side->size_bytes <= offset
                           ? 1
                           : ((size_t)(side->size_bytes - offset) | (BLOCK_BYTES - 1)) + 1;
    side->got_bytes = 0;
    while (side->got_bytes < wanted_bytes) {
        ssize_t got = pread(direct ? side->direct_fd : side->fd, side->piece + side->got_bytes,
                            wanted_bytes - side->got_bytes, (off_t)(offset + side->got_bytes));
        if (got < 0 && errno == EINVAL && direct) { /* no such reads here, or not behind the end */
            direct = false;
            continue;
        }
        if (got < 0)
            die(side->path);
        if (got == 0)
            return;
        side->got_bytes += (size_t)got;
    }
}

static bool pieces_equal(const struct side *a, const struct side *b, uint64_t offset)
{
    size_t both = a->got_bytes < b->got_bytes ? a->got_bytes : b->got_bytes, at = 0;

    if (a->got_bytes == b->got_bytes && memcmp(a->piece, b->piece, both) == 0)
        return true;
    while (at < both && a->piece[at] == b->piece[at])
        at++;
    if (at < both)
        printf("%s %s differ: byte %" PRIu64 "\n", a->path, b->path, offset + at + 1);
    else
        printf("%s ends before %s, after byte %" PRIu64 "\n",
               a->got_bytes < b->got_bytes ? a->path : b->path,
               a->got_bytes < b->got_bytes ? b->path : a->path, offset + at);
    return false;
}

/* A page under writeback, or in another processor's batch, stays for a moment. */
static void evict(const struct side *side)
{
    struct stat facts;

    for (int attempt = 0; attempt < EVICT_ATTEMPTS_MAX; attempt++) {
        if (fsync(side->fd) != 0 || fstat(side->fd, &facts) != 0)
            die(side->path);
        posix_fadvise(side->fd, 0, 0, POSIX_FADV_DONTNEED);
        if (!is_cached(side->fd, 0, 0))
            return;
        usleep(20000);
    }
}

/* Of large files in one huge page: the processor has one fault and not 512 of them. */
static char *pieces_make(const char *path)
{
    struct stat facts;
    char *memory = aligned_alloc(HUGE_PAGE_BYTES, HUGE_PAGE_BYTES);

    if (!memory)
        die("memory");
    if (stat(path, &facts) == 0 && facts.st_size > PIECE_BYTES / 4)
        (void)madvise(memory, HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    return memory;
}

int main(int count, char **arguments)
{
    bool evicts = count == 4 && strcmp(arguments[1], "--evict") == 0;
    struct side a, b;
    bool equal = true;

    if (count != 3 + evicts) {
        fputs("usage: same [--evict] FILE FILE\n", stderr);
        return 2;
    }
    char *pieces = pieces_make(arguments[count - 1]);
    side_open(&a, arguments[count - 2], pieces);
    side_open(&b, arguments[count - 1], pieces + PIECE_BYTES);
    for (uint64_t offset = 0; equal; offset += PIECE_BYTES) {
        piece_read(&a, offset);
        piece_read(&b, offset);
        equal = pieces_equal(&a, &b, offset);
        if (a.got_bytes < PIECE_BYTES)
            break;
    }
    if (evicts && equal) {
        evict(&a);
        evict(&b);
    }
    return equal ? 0 : 1;
}
