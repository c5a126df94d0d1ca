/* measure.c - runs a command and says what it cost: time, CPU, memory, page cache.
 *
 *     measure [-c FILE]... [-o OUT] [-t TIMES] COMMAND [ARGUMENT]...
 *
 * Adds one line to OUT (default: standard error), fields separated by tabs:
 *
 *     wall_s  cpu_s  memory_peak_bytes  cache_before_bytes  cache_peak_bytes  cache_left_bytes
 *
 * and exits with the command's status. Wall time is from fork to exit, so a command that must be
 * durable syncs by itself. CPU time is user and system time of the command and of all descendants
 * that were waited for; kernel threads that write dirty pages back later are not in it. Memory is
 * the resident peak of the largest single process. The cache is what the FILEs (-c) hold in the
 * page cache, all together; peak and left are what came on top of `before`. A FILE need not exist
 * yet. A field that cannot be known is "-", never 0. Into TIMES goes a line for each look at the
 * cache: seconds since the start, a tab, bytes.
 *
 * It knows nothing about what it runs: local copies and remote ones are measured alike. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A sample of a fully cached 4 GiB file takes milliseconds: the pause grows with it, so that the
 * sampler never takes more than a twentieth of one processor from what it measures. */
enum { FILES_MAX = 16, PAUSE_MS_MIN = 5, PAUSE_PER_SAMPLE = 20 };

#define CACHE_UNKNOWN    UINT64_MAX
#define OVERLAY_MAGIC    0x794c7630
#define MAP_BYTES        ((uint64_t)256 * 1024 * 1024)
#define CACHESTAT_NUMBER 451 /* glibc 2.36 does not name it */

struct file {
    const char *path;
    int fd; /* -1: not there yet */
};

struct sampler {
    struct file files[FILES_MAX];
    uint32_t files_count;
    int stop; /* an eventfd */
    uint64_t before_bytes, peak_bytes, last_bytes;
    bool unknown; /* a sample failed: nothing is claimed */
    double start; /* of the command, by seconds_now() */
    FILE *times;  /* NULL: not wanted */
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- page cache ---- */

/* For kernels before 6.5, and overlayfs, where cachestat always says 0. */
static uint64_t mincore_bytes(int fd, uint64_t size)
{
    static uint8_t resident[MAP_BYTES / 4096];
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE), pages_count = 0;
    for (uint64_t offset = 0; offset < size; offset += MAP_BYTES) {
        size_t length = (size_t)(size - offset < MAP_BYTES ? size - offset : MAP_BYTES);
        void *area = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
        if (area == MAP_FAILED)
            return CACHE_UNKNOWN;
        bool known = mincore(area, length, resident) == 0;
        munmap(area, length);
        if (!known)
            return CACHE_UNKNOWN;
        for (size_t i = 0; i < (length + page_bytes - 1) / page_bytes; i++)
            pages_count += resident[i] & 1;
    }
    return pages_count * page_bytes;
}

static uint64_t file_cache_bytes(int fd)
{
    struct {
        uint64_t offset, length;
    } range = {0, 0}; /* length 0: to the end */
    struct {
        uint64_t cache, dirty, writeback, evicted, recently_evicted;
    } pages = {0};
    struct statfs facts;
    bool overlay = fstatfs(fd, &facts) == 0 && facts.f_type == OVERLAY_MAGIC;
    if (!overlay && syscall(CACHESTAT_NUMBER, fd, &range, &pages, 0) == 0)
        return pages.cache * (uint64_t)sysconf(_SC_PAGESIZE);
    /* Neither owner nor writer: mincore would claim that everything is resident. */
    struct stat status;
    if ((!overlay && errno == EPERM) || fstat(fd, &status) != 0)
        return CACHE_UNKNOWN;
    return mincore_bytes(fd, (uint64_t)status.st_size);
}

static void sampler_sample(struct sampler *sampler)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sampler->files_count; i++) {
        struct file *file = &sampler->files[i];
        if (file->fd < 0)
            file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
        if (file->fd < 0)
            continue;
        uint64_t bytes = file_cache_bytes(file->fd);
        if (bytes == CACHE_UNKNOWN)
            sampler->unknown = true;
        else
            sum += bytes;
    }
    sampler->last_bytes = sum;
    if (sum > sampler->peak_bytes)
        sampler->peak_bytes = sum;
    if (sampler->times)
        fprintf(sampler->times, "%.4f\t%ju\n", seconds_now() - sampler->start, (uintmax_t)sum);
}

static void *sampler_main(void *argument)
{
    struct sampler *sampler = argument;
    struct pollfd stop = {.fd = sampler->stop, .events = POLLIN};
    int pause_ms = PAUSE_MS_MIN;
    while (poll(&stop, 1, pause_ms) == 0) {
        double start = seconds_now();
        sampler_sample(sampler);
        pause_ms = PAUSE_MS_MIN + (int)((seconds_now() - start) * 1e3 * PAUSE_PER_SAMPLE);
    }
    return NULL;
}

/* ---- the command ---- */

/* In a process group of its own, so that a signal reaches whatever it started. -1 when fork
 * fails. */
static pid_t command_start(char **command, const sigset_t *signals)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    setpgid(0, 0);
    sigprocmask(SIG_UNBLOCK, signals, NULL);
    execvp(command[0], command);
    fprintf(stderr, "measure: %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

/* Waits for the end and passes on signals that ask us to stop. The wait status. */
static int command_wait(pid_t child, const sigset_t *signals, struct rusage *usage)
{
    int status = 0;
    for (;;) {
        int number = sigwaitinfo(signals, NULL);
        if (number > 0 && number != SIGCHLD)
            kill(-child, number);
        if (wait4(child, &status, WNOHANG, usage) == child)
            return status;
    }
}

static double cpu_seconds(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static void print_result(FILE *out, double wall, const struct rusage *usage,
                         const struct sampler *sampler)
{
    fprintf(out, "%.4f\t%.4f\t%ju\t", wall, cpu_seconds(usage),
            (uintmax_t)usage->ru_maxrss * 1024); /* KiB, getrusage(2) */
    if (sampler->unknown || sampler->files_count == 0) {
        fputs("-\t-\t-\n", out);
        return;
    }
    uint64_t before = sampler->before_bytes, left = sampler->last_bytes;
    fprintf(out, "%ju\t%ju\t%ju\n", (uintmax_t)before, (uintmax_t)(sampler->peak_bytes - before),
            (uintmax_t)(left > before ? left - before : 0));
}

/* Runs the command with the sampler beside it. The exit status, or 125 when it could not be
 * run. */
static int measure(char **command, struct sampler *sampler, FILE *out)
{
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < 4; i++)
        sigaddset(&signals, (const int[]){SIGCHLD, SIGINT, SIGTERM, SIGHUP}[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    sampler->start = seconds_now();
    sampler_sample(sampler);
    sampler->before_bytes = sampler->peak_bytes;
    sampler->stop = eventfd(0, EFD_CLOEXEC);
    pthread_t thread;
    if (sampler->stop < 0 || pthread_create(&thread, NULL, sampler_main, sampler) != 0)
        return 125;

    double start = sampler->start = seconds_now();
    pid_t child = command_start(command, &signals);
    struct rusage usage = {0};
    int status = child > 0 ? command_wait(child, &signals, &usage) : -1;
    double wall = seconds_now() - start;

    eventfd_write(sampler->stop, 1);
    pthread_join(thread, NULL);
    sampler_sample(sampler);
    if (child < 0)
        return 125;
    print_result(out, wall, &usage, sampler);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    struct sampler sampler = {0};
    FILE *out = stderr;
    bool usage = false;
    for (int option; (option = getopt(argc, argv, "+c:o:t:")) != -1;) {
        if (option == 'c' && sampler.files_count < FILES_MAX)
            sampler.files[sampler.files_count++] = (struct file){.path = optarg, .fd = -1};
        else if (option == 't')
            usage |= !(sampler.times = fopen(optarg, "we"));
        else if (option != 'o' || !(out = fopen(optarg, "ae")))
            usage = true;
    }
    if (usage || optind >= argc) {
        fputs("usage: measure [-c FILE]... [-o OUT] [-t TIMES] COMMAND [ARGUMENT]...\n", stderr);
        return 125;
    }
    int status = measure(argv + optind, &sampler, out);
    if (fflush(out) != 0 || (sampler.times && fclose(sampler.times) != 0))
        return 125;
    return status;
}
