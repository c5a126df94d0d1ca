/* hog - the neighbour in a memory cgroup: keeps a file hot and tells whether anybody took its
 * pages.
 *
 *   hog [--random] FILE [SECONDS]
 *
 * Drops FILE from the cache and reads it in again, so that its pages are charged to the cgroup that
 * hog runs in, and prints "ready". Then touches every page 50 times a second; before each round it
 * asks mincore(2) which pages are gone, because touching brings them back: a page that was lost for
 * a moment is counted for good. On SIGUSR1, and at the end (SIGTERM, SIGINT or SECONDS), prints
 *   resident=R total=T lost=L
 * all in pages. R is measured before the touch.
 *
 * --random: as a database would, it reads single pages at random places by read calls, 50,000 a
 * second, and maps nothing. The report has then, of what was since the report before,
 *   resident=R total=T least=L reads=N missed=M p50_ns=P p99_ns=P queued_permille=Q
 * L being the fewest resident pages at any look, five a second, M the reads that had to wait for
 * the disk, P what half and 99 % of the reads took at most, to a thirty-second of it, and Q how
 * much of the time hog wanted a processor and had none, of which a read feels a part only. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS_PER_SECOND = 50,
    READS_PER_ROUND = 1000,
    ROUNDS_PER_LOOK = 10,
    PAGE_BYTES_MAX = 65536
};

/* Of times in ns: 32 classes for each power of two. */
enum { CLASS_BITS = 5, CLASSES_COUNT = 40 << CLASS_BITS };

/* --random, since the last report. */
struct reads {
    uint64_t count, missed, times[CLASSES_COUNT];
    uint64_t began_ns, queued_ns; /* the last report's clock, and what was queued until then */
    size_t resident_least;
};

struct hog {
    volatile const char *base;
    size_t length, page_bytes, pages;
    unsigned char *map;
    uint64_t lost;
    bool random;
    int fd;
    uint64_t seed;
    struct reads reads;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* All of it since the start; 0 where the kernel does not count it. */
static uint64_t queued_ns(void)
{
    uintmax_t ns = 0;
    FILE *file = fopen("/proc/self/schedstat", "re");
    if (file && fscanf(file, "%*u %ju", &ns) != 1) {
        ns = 0;
    }
    if (file) {
        fclose(file);
    }
    return ns;
}

static struct reads reads_since_now(const struct hog *hog)
{
    return (struct reads){
        .resident_least = hog->pages, .began_ns = now_ns(), .queued_ns = queued_ns()};
}

static int load(struct hog *hog, const char *path)
{
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0 || fsync(fd) != 0) {
        return -errno;
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    hog->length = (size_t)facts.st_size;
    hog->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    hog->pages = (hog->length + hog->page_bytes - 1) / hog->page_bytes;
    hog->map = malloc(hog->pages);
    void *base = mmap(NULL, hog->length, PROT_READ, MAP_SHARED, fd, 0);
    if (!hog->map || base == MAP_FAILED) {
        return -errno;
    }
    hog->base = base;
    static char buffer[1 << 16];
    while (read(fd, buffer, sizeof(buffer)) > 0) {
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* what is read now brings nothing else along */
    hog->fd = fd;
    hog->seed = 88172645463325252;
    hog->reads = reads_since_now(hog);
    return hog->page_bytes <= PAGE_BYTES_MAX ? 0 : -ENOSYS;
}

static size_t resident(struct hog *hog)
{
    size_t here = 0;
    if (mincore((void *)(uintptr_t)hog->base, hog->length, hog->map) != 0) {
        return 0;
    }
    for (size_t i = 0; i < hog->pages; i++) {
        here += hog->map[i] & 1;
    }
    return here;
}

static void touch(const struct hog *hog)
{
    for (size_t i = 0; i < hog->pages; i++) {
        (void)hog->base[i * hog->page_bytes];
    }
}

/* ---- --random ---- */

static unsigned class_of(uint64_t ns)
{
    ns |= 1 << CLASS_BITS;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    unsigned class = ((power - CLASS_BITS) << CLASS_BITS) + (unsigned)(ns >> (power - CLASS_BITS));
    return class < CLASSES_COUNT ? class : CLASSES_COUNT - 1;
}

/* The largest time of a class. */
static uint64_t ns_of(unsigned class)
{
    unsigned power = (class >> CLASS_BITS) - (class >> CLASS_BITS > 0);
    uint64_t steps = class - (power << CLASS_BITS);
    return ((steps + 1) << power) - 1;
}

static uint64_t percentile(const struct reads *reads, unsigned percent)
{
    uint64_t seen = 0;
    unsigned class = 0;
    while (class < CLASSES_COUNT - 1 &&
           (seen += reads->times[class]) * 100 < reads->count * percent) {
        class ++;
    }
    return ns_of(class);
}

/* What is not in the cache is asked for twice: RWF_NOWAIT only says so. */
static void read_one(struct hog *hog)
{
    static char buffer[PAGE_BYTES_MAX];
    struct iovec place = {buffer, hog->page_bytes};
    hog->seed ^= hog->seed << 13;
    hog->seed ^= hog->seed >> 7;
    hog->seed ^= hog->seed << 17;
    off_t offset = (off_t)(hog->seed % hog->pages * hog->page_bytes);
    uint64_t began = now_ns();
    if (preadv2(hog->fd, &place, 1, offset, RWF_NOWAIT) < 0) {
        hog->reads.missed++;
        (void)!preadv(hog->fd, &place, 1, offset);
    }
    hog->reads.times[class_of(now_ns() - began)]++;
    hog->reads.count++;
}

static void look(struct hog *hog)
{
    size_t here = resident(hog);
    if (here < hog->reads.resident_least) {
        hog->reads.resident_least = here;
    }
}

static void read_some(struct hog *hog, long round)
{
    for (int i = 0; i < READS_PER_ROUND; i++) {
        read_one(hog);
    }
    if (round % ROUNDS_PER_LOOK == 0) {
        look(hog);
    }
}

/* ---- */

static void report(struct hog *hog)
{
    struct reads *reads = &hog->reads;
    printf("resident=%zu total=%zu ", resident(hog), hog->pages);
    if (hog->random) {
        look(hog);
        printf("least=%zu reads=%ju missed=%ju p50_ns=%ju p99_ns=%ju queued_permille=%ju\n",
               reads->resident_least, (uintmax_t)reads->count, (uintmax_t)reads->missed,
               (uintmax_t)percentile(reads, 50), (uintmax_t)percentile(reads, 99),
               (uintmax_t)((queued_ns() - reads->queued_ns) * 1000 /
                           (now_ns() - reads->began_ns + 1)));
        *reads = reads_since_now(hog);
    } else {
        printf("lost=%ju\n", (uintmax_t)hog->lost);
    }
    fflush(stdout);
}

static void keep_hot(struct hog *hog, long round)
{
    if (hog->random) {
        read_some(hog, round);
        return;
    }
    hog->lost += hog->pages - resident(hog);
    touch(hog);
}

int main(int argc, char **argv)
{
    struct hog hog = {.random = argc > 1 && strcmp(argv[1], "--random") == 0};
    argc -= hog.random;
    argv += hog.random;
    if (argc < 2 || argc > 3) {
        fputs("usage: hog [--random] FILE [SECONDS]\n", stderr);
        return 2;
    }
    /* Signals are taken by sigtimedwait, which is also the pause between two rounds. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int rc = load(&hog, argv[1]);
    if (rc != 0) {
        fprintf(stderr, "hog: %s: %s\n", argv[1], strerror(-rc));
        return 1;
    }
    if (!hog.random) {
        touch(&hog);
    }
    puts("ready");
    fflush(stdout);
    long rounds = argc == 3 ? atol(argv[2]) * ROUNDS_PER_SECOND : -1;
    const struct timespec pause = {0, 1000000000 / ROUNDS_PER_SECOND};
    while (rounds != 0) {
        int number = sigtimedwait(&signals, NULL, &pause);
        if (number == SIGTERM || number == SIGINT) {
            break;
        }
        if (number == SIGUSR1) {
            report(&hog);
            continue;
        }
        keep_hot(&hog, rounds);
        rounds -= rounds != 0;
    }
    hog.lost += hog.pages - resident(&hog);
    report(&hog);
    return 0;
}
