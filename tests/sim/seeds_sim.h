/* seeds_sim.h - the seeds of a simulation, one after another in a few worker processes, so that one
 * that crashes or hangs is named, and the others go on.
 *
 *   SEEDS=100000 build/tests/sim/NAME     more of them
 *   FIRST=5000 build/tests/sim/NAME       others: from this one on
 *   SEED=1234 build/tests/sim/NAME        this one, in this process, with all it does */
#ifndef HAUL_TESTS_SEEDS_SIM_H
#define HAUL_TESTS_SEEDS_SIM_H

#include "random_sim.h"
#include "say_sim.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEEDS_WORKERS_MAX = 4, SEEDS_FAILURES_MAX = 20 };

struct seeds {
    const char *program; /* to be called again with a seed that failed */
    uint64_t count;      /* unless SEEDS says otherwise */
    uint64_t found[8];   /* beyond these: seeds that have found a fault; 0 ends them */
    unsigned watchdog_seconds;
    void (*begin)(uint32_t worker); /* before its first seed */
    void (*run)(uint64_t seed);     /* ends the process where something is wrong */
    void (*end)(uint32_t worker);   /* behind its last, or when one has died, by another process */
    bool (*reach_everything)(void); /* so many seeds would prove nothing else */
};

static struct {
    _Atomic uint32_t passed;
    struct {
        _Atomic uint64_t seed;
        pid_t pid;
    } workers[SEEDS_WORKERS_MAX];
} * seeds_shared; /* by all workers */
static const struct seeds *seeds_settings;

/* Zeroed memory that the workers share: what they count. */
static void *seeds_share(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return memory;
}

/* Of this process. */
static uint32_t count_fds(void)
{
    uint32_t count = 0;
    DIR *fds = opendir("/proc/self/fd");
    while (fds && readdir(fds))
        count++;
    if (fds)
        closedir(fds);
    return count;
}

static void seeds_hang(int number)
{
    char text[96];
    (void)number;
    int length = snprintf(text, sizeof(text), "seed %llu: hangs (%u s)\n",
                          (unsigned long long)sim_current_seed, seeds_settings->watchdog_seconds);
    _exit(write(STDOUT_FILENO, text, (size_t)length) < 0 ? 2 : 1);
}

/* From now on, in this process: another one that it starts has to ask for itself. */
static void seeds_watch(void)
{
    alarm(seeds_settings->watchdog_seconds);
}

static void seeds_run_one(uint64_t seed)
{
    sim_current_seed = seed;
    sim_seed(seed);
    seeds_watch();
    seeds_settings->run(seed);
    alarm(0);
}

static pid_t seeds_start_worker(uint32_t index, uint64_t first, uint64_t end, uint32_t step)
{
    fflush(stdout);
    seeds_shared->workers[index].seed = first;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    seeds_settings->begin(index);
    for (uint64_t seed = first; seed < end; seed += step) {
        seeds_shared->workers[index].seed = seed;
        seeds_run_one(seed);
        seeds_shared->passed++;
    }
    seeds_settings->end(index);
    exit(0);
}

/* A worker that died failed at its seed; another goes on behind it. Returns how many failed. */
static uint32_t seeds_run_workers(uint64_t first, uint64_t end, uint32_t workers_count)
{
    uint32_t failed_count = 0, running_count = 0;
    for (uint32_t i = 0; i < workers_count && first + i < end; i++, running_count++)
        seeds_shared->workers[i].pid = seeds_start_worker(i, first + i, end, workers_count);
    while (running_count > 0) {
        int status;
        pid_t pid = wait(&status);
        uint32_t index = 0;
        while (index < workers_count && seeds_shared->workers[index].pid != pid)
            index++;
        if (index == workers_count)
            continue;
        running_count--;
        if (status == 0)
            continue;
        uint64_t seed = seeds_shared->workers[index].seed;
        printf("seed %llu failed (%s %d); again with: SEED=%llu %s\n", (unsigned long long)seed,
               WIFSIGNALED(status) ? "signal" : "exit code",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
               (unsigned long long)seed, seeds_settings->program);
        seeds_settings->end(index);
        if (++failed_count < SEEDS_FAILURES_MAX && seed + workers_count < end) {
            seeds_shared->workers[index].pid =
                seeds_start_worker(index, seed + workers_count, end, workers_count);
            running_count++;
        }
    }
    return failed_count;
}

static int seeds_run_all(void)
{
    uint64_t first = number_from("FIRST", 1), count = number_from("SEEDS", seeds_settings->count);
    long processors_count = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t failed =
        seeds_run_workers(first, first + count,
                          (uint32_t)clamp_u64((uint64_t)processors_count, 1, SEEDS_WORKERS_MAX));
    for (uint32_t i = 0; i < 8 && seeds_settings->found[i] && !getenv("FIRST"); i++)
        failed += seeds_run_workers(seeds_settings->found[i], seeds_settings->found[i] + 1, 1);
    bool enough = seeds_settings->reach_everything() || count < seeds_settings->count;
    if (!enough)
        printf("these seeds do not reach everything\n");
    printf("%u passed, %u failed, 0 skipped\n", seeds_shared->passed, failed);
    return failed > 0 || !enough || seeds_shared->passed == 0;
}

/* What the environment asks for; the program's exit code. */
static int seeds_main(const struct seeds *seeds)
{
    seeds_settings = seeds;
    seeds_shared = seeds_share(sizeof(*seeds_shared));
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, seeds_hang);
    if (!getenv("SEED"))
        return seeds_run_all();
    sim_verbose = true;
    seeds->begin(0);
    seeds_run_one(number_from("SEED", 0));
    seeds->end(0);
    printf("1 passed, 0 failed, 0 skipped\n");
    return 0;
}

#endif
