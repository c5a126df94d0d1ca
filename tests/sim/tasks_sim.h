/* tasks_sim.h - threads and time of a simulated machine park. Every thread is a
 * task with a stack of its own, one runs at a time, and which one is the next follows from the
 * seed. They give way where the real ones would wait, and wherever an engine or a link is asked for
 * anything. The clock only moves when nobody can run. */
#ifndef HAUL_TESTS_SIM_TASKS_H
#define HAUL_TESTS_SIM_TASKS_H

#include "random_sim.h"
#include "say_sim.h"

#include "haul/base/clock.h"
#include "haul/base/control.h"
#include "haul/base/num.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    TASKS_MAX = 24,
    TASK_STACK_BYTES = 256 * 1024,
    FD_FIRST = 1000000, /* descriptors that only poll() knows: engines, links */
    TURNS_MAX = 2000000,
    CLOCK_READ_NS = 200,
};
static const uint64_t run_ns_max = 3600 * NS_PER_SECOND;

struct task {
    ucontext_t context;
    uint8_t *stack;
    bool used, done, waits;
    uint64_t wake_ns;
    const struct pollfd *polls; /* of poll(), while it waits */
    nfds_t polls_count;
    const struct task *joins;
    void *(*function)(void *);
    void *argument;
};

static struct {
    uint64_t now_ns, stop_ns, cut_ns, turns;
    bool on;
    struct control *control;
    struct task tasks[TASKS_MAX];
    struct task *current;
    ucontext_t scheduler;
    uint32_t threads_count; /* that were started, servers among them */
} sim;

static void sim_print_when(void)
{
    printf("%12.6f s %2d", (double)sim.now_ns / 1e9,
           sim.current ? (int)(sim.current - sim.tasks) : -1);
}

/* ---- tasks ---- */

/* Of memory that outlasts the run (memory_sim.h). */
void *__real_malloc(size_t bytes);
void *__real_realloc(void *memory, size_t bytes);

static short sim_ready(int fd, short events); /* of the engines and links */
static uint64_t sim_next_event_ns(void);      /* after now */

static void task_switch(void)
{
    struct task *task = sim.current;
    swapcontext(&task->context, &sim.scheduler);
}

/* Let others run, perhaps. */
static void sim_preempt(void)
{
    if (sim.on && sim_chance(100))
        task_switch();
}

static void task_main(void)
{
    struct task *task = sim.current;
    task->function(task->argument);
    task->done = true;
    task_switch();
}

static struct task *task_start(void *(*function)(void *), void *argument)
{
    struct task *task = sim.tasks;
    while (task < sim.tasks + TASKS_MAX && task->used)
        task++;
    if (task == sim.tasks + TASKS_MAX)
        sim_fatal("more than %d tasks", TASKS_MAX);
    uint8_t *stack = task->stack ? task->stack : __real_malloc(TASK_STACK_BYTES);
    *task = (struct task){.used = true, .stack = stack, .function = function, .argument = argument};
    if (!stack || getcontext(&task->context) != 0)
        sim_fatal("no memory for a task");
    task->context.uc_stack.ss_sp = stack;
    task->context.uc_stack.ss_size = TASK_STACK_BYTES;
    makecontext(&task->context, task_main, 0);
    return task;
}

static bool polls_ready(const struct task *task)
{
    for (nfds_t i = 0; i < task->polls_count; i++) {
        if (sim_ready(task->polls[i].fd, task->polls[i].events))
            return true;
    }
    return false;
}

static bool task_runs(const struct task *task)
{
    if (!task->used || task->done)
        return false;
    if (task->joins)
        return task->joins->done;
    return !task->waits || task->wake_ns <= sim.now_ns || polls_ready(task);
}

/* One that can go on, any; NULL: all wait. */
static struct task *task_pick(void)
{
    uint32_t first = (uint32_t)sim_below(TASKS_MAX);
    for (uint32_t i = 0; i < TASKS_MAX; i++) {
        struct task *task = &sim.tasks[(first + i) % TASKS_MAX];
        if (task_runs(task))
            return task;
    }
    return NULL;
}

static void clock_advance(void)
{
    uint64_t next_ns = sim_next_event_ns();
    for (uint32_t i = 0; i < TASKS_MAX; i++) {
        const struct task *task = &sim.tasks[i];
        if (task->used && !task->done && task->waits && !task->joins)
            next_ns = min_u64(next_ns, task->wake_ns);
    }
    if (next_ns == UINT64_MAX)
        sim_fatal("hangs: everybody waits, and for nothing");
    sim.now_ns = max_u64(sim.now_ns, next_ns);
}

static bool sim_happens(uint64_t *when_ns)
{
    if (sim.now_ns < *when_ns)
        return false;
    *when_ns = UINT64_MAX;
    return true;
}

static bool tasks_left(void)
{
    bool left = false;
    for (uint32_t i = 0; i < TASKS_MAX; i++)
        left |= sim.tasks[i].used && !sim.tasks[i].done;
    return left;
}

/* Whatever they were about. */
static void tasks_forget(void)
{
    for (uint32_t i = 0; i < TASKS_MAX; i++)
        sim.tasks[i].used = false;
}

/* Run the task and all that it starts to their ends. false: the power was cut before. */
static bool sim_run(void *(*function)(void *), void *argument)
{
    (void)task_start(function, argument);
    sim.on = true;
    while (tasks_left()) {
        if (++sim.turns > TURNS_MAX || sim.now_ns > run_ns_max)
            sim_fatal("hangs: no end after %llu turns", (unsigned long long)sim.turns);
        if (sim_happens(&sim.stop_ns))
            sim.control->stop = true;
        if (sim_happens(&sim.cut_ns)) {
            sim.on = false;
            return false;
        }
        struct task *task = task_pick();
        if (!task) {
            clock_advance();
            continue;
        }
        task->waits = false;
        task->joins = NULL;
        sim.current = task;
        swapcontext(&sim.scheduler, &task->context);
    }
    sim.on = false;
    tasks_forget();
    return true;
}

/* ---- what the C library would do ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                   void *argument)
{
    (void)attributes;
    if (!sim.on)
        sim_fatal("a thread outside of a run");
    *thread = (pthread_t)(uintptr_t)task_start(function, argument);
    sim.threads_count++;
    return 0;
}

int pthread_join(pthread_t thread, void **out)
{
    struct task *task = (struct task *)(uintptr_t)thread;
    (void)out;
    while (!task->done) {
        sim.current->waits = true;
        sim.current->joins = task;
        task_switch();
    }
    task->used = false;
    return 0;
}

int poll(struct pollfd *polls, nfds_t count, int timeout_ms)
{
    struct task *task = sim.current;
    int ready_count = 0;
    task->polls = polls;
    task->polls_count = count;
    task->waits = true;
    task->wake_ns = timeout_ms < 0 ? UINT64_MAX : sim.now_ns + (uint64_t)timeout_ms * NS_PER_MS;
    task_switch();
    task->polls_count = 0;
    for (nfds_t i = 0; i < count; i++) {
        polls[i].revents = sim_ready(polls[i].fd, polls[i].events);
        ready_count += polls[i].revents != 0;
    }
    return ready_count;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    /* Wall time is far behind all stamps of files, which the real kernel makes. */
    uint64_t base_s = clock == CLOCK_MONOTONIC ? 1 : 2000000000;
    sim.now_ns += sim.on ? CLOCK_READ_NS : 0;
    out->tv_sec = (time_t)(base_s + sim.now_ns / NS_PER_SECOND);
    out->tv_nsec = (long)(sim.now_ns % NS_PER_SECOND);
    return 0;
}

int nanosleep(const struct timespec *duration, struct timespec *rest)
{
    (void)rest;
    sim.now_ns += (uint64_t)duration->tv_sec * NS_PER_SECOND + (uint64_t)duration->tv_nsec;
    return 0;
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
    uint64_t word = sim_random();
    (void)flags;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)(word >> (i % 8 * 8));
    return (ssize_t)length;
}

#endif
