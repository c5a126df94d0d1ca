/* pages - how many pages of a file are in the page cache, as the tests measure it.
 *
 * Stands alone: it must not share haul's mistakes. cachestat(2) (Linux 6.5) where it tells the
 * truth; mincore(2) on overlayfs, where cachestat reads 0 always, and on older kernels. Everything
 * is counted in pages of the system unless --bytes is given.
 *
 * --kept is for what nobody may have dropped. The kernel may reclaim a clean page at any moment:
 * machines with DAMON's pageout scheme (Documentation/admin-guide/mm/damon) do so every few seconds
 * in spite of free memory. Reclaim leaves a shadow entry behind, which cachestat counts as evicted;
 * FADV_DONTNEED, a direct write and truncation leave none. So it counts both, and tells a page that
 * the kernel took from one that a program dropped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    SYSCALL_CACHESTAT = 451
}; /* the same on every architecture; glibc 2.36 has no name for it */
enum { OVERLAYFS_MAGIC = 0x794c7630 };
enum { EVICT_ATTEMPTS_MAX = 50 };

struct cachestat_range {
    uint64_t offset, length;
};

struct cachestat_result {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* A mapping of at most this much at a time, so that a 32-bit build can measure large files. */
static const uint64_t map_bytes_max = UINT64_C(256) << 20;

static uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool on_overlayfs(int fd)
{
    struct statfs facts;
    return fstatfs(fd, &facts) == 0 && (uint32_t)facts.f_type == OVERLAYFS_MAGIC;
}

static int count_by_mincore(int fd, uint64_t size, uint64_t *pages)
{
    *pages = 0;
    for (uint64_t offset = 0; offset < size; offset += map_bytes_max) {
        uint64_t length = size - offset < map_bytes_max ? size - offset : map_bytes_max;
        size_t count = (size_t)((length + page_bytes() - 1) / page_bytes());
        unsigned char *map = malloc(count);
        void *at = mmap(NULL, (size_t)length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
        if (!map || at == MAP_FAILED || mincore(at, (size_t)length, map) != 0) {
            return -errno;
        }
        for (size_t i = 0; i < count; i++) {
            *pages += map[i] & 1;
        }
        munmap(at, (size_t)length);
        free(map);
    }
    return 0;
}

static int count(int fd, bool kept, uint64_t *pages)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return -errno;
    }
    struct cachestat_range range = {0, 0}; /* length 0: to the end */
    struct cachestat_result result = {0};
    if (!on_overlayfs(fd) && syscall(SYSCALL_CACHESTAT, fd, &range, &result, 0) == 0) {
        *pages = result.cached + (kept ? result.evicted : 0);
        return 0;
    }
    return count_by_mincore(fd, (uint64_t)facts.st_size, pages);
}

/* Dirty pages cannot be dropped, and a page under writeback or in another CPU's batch stays for a
 * moment: so sync, drop, look, and try again a few times. */
static int evict(int fd)
{
    uint64_t pages = 0;
    for (int attempt = 0; attempt < EVICT_ATTEMPTS_MAX; attempt++) {
        if (fsync(fd) != 0) {
            return -errno;
        }
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        int rc = count(fd, false, &pages);
        if (rc != 0 || pages == 0) {
            return rc;
        }
        usleep(20000);
    }
    return -EBUSY;
}

static int warm(int fd)
{
    static char buffer[1 << 20];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
    }
    return got < 0 ? -errno : 0;
}

/* What the kernel's reclaim does: MADV_PAGEOUT (Linux 5.4) takes those that are mapped. */
static int reclaim(int fd)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return -errno;
    }
    size_t length = (size_t)facts.st_size;
    volatile const char *base = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return -errno;
    }
    for (size_t at = 0; at < length; at += (size_t)page_bytes()) {
        (void)base[at];
    }
    int rc = madvise((void *)(uintptr_t)base, length, MADV_PAGEOUT) == 0 ? 0 : -errno;
    munmap((void *)(uintptr_t)base, length);
    return rc;
}

static int usage(void)
{
    fputs(
        "usage: pages [--bytes|--kept|--evict|--reclaim|--warm] FILE...\n"
        "prints the resident pages (or bytes) of each FILE; --kept, in bytes, with those that the\n"
        "kernel itself reclaimed; --evict drops them, --reclaim has the kernel take them, --warm\n"
        "reads the file through the cache\n",
        stderr);
    return 2;
}

static int print_count(int fd, const char *mode, const char *name)
{
    uint64_t pages;
    int rc = count(fd, strcmp(mode, "--kept") == 0, &pages);
    if (rc == 0) {
        uint64_t unit = strcmp(mode, "--pages") == 0 ? 1 : page_bytes();
        printf(name ? "%" PRIu64 "\t%s\n" : "%" PRIu64 "\n", pages * unit, name);
    }
    return rc;
}

static int handle(const char *mode, const char *path, bool named)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : 0;
    if (rc == 0 && strcmp(mode, "--evict") == 0) {
        rc = evict(fd);
    } else if (rc == 0 && strcmp(mode, "--reclaim") == 0) {
        rc = reclaim(fd);
    } else if (rc == 0 && strcmp(mode, "--warm") == 0) {
        rc = warm(fd);
    } else if (rc == 0) {
        rc = print_count(fd, mode, named ? path : NULL);
    }
    if (rc != 0) {
        fprintf(stderr, "pages: %s: %s\n", path, strerror(-rc));
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static bool known(const char *mode)
{
    static const char *const modes[] = {"--pages", "--bytes",   "--kept",
                                        "--evict", "--reclaim", "--warm"};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(mode, modes[i]) == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    const char *mode = "--pages";
    int first = 1;
    if (argc > 1 && strncmp(argv[1], "--", 2) == 0) {
        mode = argv[first++];
    }
    if (!known(mode) || first >= argc) {
        return usage();
    }
    int failed = 0;
    for (int i = first; i < argc; i++) {
        failed |= handle(mode, argv[i], argc - first > 1) != 0;
    }
    return failed;
}
