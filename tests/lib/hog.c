/* hog - the neighbour in a memory cgroup: keeps a file hot and tells whether anybody took its
 * pages.
 *
 *   hog FILE [SECONDS]
 *
 * Drops FILE from the cache and reads it in again, so that its pages are charged to the cgroup that
 * hog runs in, and prints "ready". Then touches every page 50 times a second; before each round it
 * asks mincore(2) which pages are gone, because touching brings them back: a page that was lost for
 * a moment is counted for good. On SIGUSR1, and at the end (SIGTERM, SIGINT or SECONDS), prints
 *   resident=R total=T lost=L
 * all in pages. R is measured before the touch. */
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
#include <time.h>
#include <unistd.h>

enum { ROUNDS_PER_SECOND = 50 };

struct hog {
    volatile const char *base;
    size_t length, page_bytes, pages;
    unsigned char *map;
    uint64_t lost;
};

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
    close(fd);
    return 0;
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

static void report(struct hog *hog)
{
    printf("resident=%zu total=%zu lost=%ju\n", resident(hog), hog->pages, (uintmax_t)hog->lost);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fputs("usage: hog FILE [SECONDS]\n", stderr);
        return 2;
    }
    /* Signals are taken by sigtimedwait, which is also the pause between two rounds. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    struct hog hog = {0};
    int rc = load(&hog, argv[1]);
    if (rc != 0) {
        fprintf(stderr, "hog: %s: %s\n", argv[1], strerror(-rc));
        return 1;
    }
    touch(&hog);
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
        hog.lost += hog.pages - resident(&hog);
        touch(&hog);
        rounds -= rounds > 0;
    }
    hog.lost += hog.pages - resident(&hog);
    report(&hog);
    return 0;
}
