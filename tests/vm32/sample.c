/* sample - what a 32-bit kernel's memory does, a line each so many milliseconds, for
 * tests/vm32/run.
 *
 *   sample MILLISECONDS PHASE-FILE
 *
 * A line: the phase's name, then kB of page cache (without tmpfs), of free low memory and of slabs,
 * buffer heads, how often somebody had to wait for reclaim, OOM kills. The buffer heads are those
 * of each tenth line: for them the kernel counts all its slabs. All its memory is
 * locked and its files stay open: it goes on when there is no memory. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static char text[256 * 1024];

static void read_all(int fd)
{
    size_t have = 0;
    ssize_t got;
    while (have < sizeof(text) - 1 &&
           (got = pread(fd, text + have, sizeof(text) - 1 - have, (off_t)have)) > 0)
        have += (size_t)got;
    text[have] = '\0';
}

/* The number behind a word that begins a line; 0: there is no such line. */
static long number_of(const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, word, length) == 0)
            return atol(at + length);
        if (*at == '\0')
            break;
    }
    return 0;
}

static void phase_read(const char *path, char phase[static 64])
{
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, phase, 63);
    if (fd >= 0)
        close(fd);
    phase[got > 0 ? got : 0] = '\0';
    phase[strcspn(phase, "\n")] = '\0';
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int memory = open("/proc/meminfo", O_RDONLY), events = open("/proc/vmstat", O_RDONLY);
    int slabs = open("/proc/slabinfo", O_RDONLY);
    struct timespec pause = {0, atol(argv[1]) * 1000000};
    long heads = 0;
    unsigned lines = 0; /* of the phase; between phases none is written */
    (void)mlockall(MCL_CURRENT | MCL_FUTURE);
    for (;;) {
        char phase[64];
        phase_read(argv[2], phase);
        read_all(memory);
        long cache_kb = number_of("Cached:") + number_of("Buffers:") - number_of("Shmem:");
        long low_kb = number_of("LowFree:"), slab_kb = number_of("Slab:");
        if (lines % 10 == 0) {
            read_all(slabs);
            heads = number_of("buffer_head ");
        }
        read_all(events);
        long stalls = number_of("allocstall_dma ") + number_of("allocstall_normal ") +
                      number_of("allocstall_high ") + number_of("allocstall_movable ");
        if (*phase)
            dprintf(STDOUT_FILENO, "%s\t%ld\t%ld\t%ld\t%ld\t%ld\t%ld\n", phase, cache_kb, low_kb,
                    slab_kb, heads, stalls, number_of("oom_kill "));
        lines = *phase ? lines + 1 : 0;
        nanosleep(&pause, NULL);
    }
}
