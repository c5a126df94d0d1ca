/* system_sim.h - what the simulated machine answers instead of the kernel: which filesystem this
 * is, what is in the page cache, whether there is room, what time it is, which descriptor is ready.
 *
 * The functions of the C library are replaced by defining them in the program, those of
 * residency.h by defining all of them, so that the library's object is not linked. Outside of a run
 * (world.on false) the C library's do their ordinary work. */
#ifndef HAUL_TESTS_SIM_SYSTEM_H
#define HAUL_TESTS_SIM_SYSTEM_H

#include "engine_sim.h"
#include "world_sim.h"

#include "haul/base/clock.h"
#include "haul/base/proc.h"
#include "haul/disk/cgroup.h"
#include "haul/disk/residency.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

void residency_init(struct residency *residency, int fd)
{
    const struct sim_file *file = sim_file_of(fd);
    residency->page_bytes = SIM_PAGE_BYTES;
    residency->method = !file || file->residency_unknown ? RESIDENCY_NONE : RESIDENCY_CACHESTAT;
}

const char *residency_name(enum residency_method method)
{
    return method == RESIDENCY_NONE ? "none" : "the model";
}

void residency_release(struct residency_view *view)
{
    (void)view;
}

int residency_measure(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                      uint64_t *bytes)
{
    const struct sim_file *file = sim_file_of(fd);
    if (residency->method == RESIDENCY_NONE || !file)
        return -ENODATA;
    uint64_t end = length == 0 ? SIM_SIZE_BYTES_MAX : offset + length;
    uint64_t pages = 0;
    for (uint64_t i = offset / SIM_PAGE_BYTES; i * SIM_PAGE_BYTES < end && i < SIM_PAGES_MAX; i++)
        pages += file->pages[i] & PAGE_CACHED;
    *bytes = pages * SIM_PAGE_BYTES;
    return 0;
}

int residency_once(int fd, uint64_t length, uint64_t *bytes)
{
    struct residency residency;
    residency_init(&residency, fd);
    return residency_measure(&residency, fd, 0, length, bytes);
}

int residency_map(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                  uint8_t *map, uint32_t map_bits)
{
    const struct sim_file *file = sim_file_of(fd);
    memset(map, 0, (size_t)div_ceil(map_bits, 8));
    if (residency->method == RESIDENCY_NONE || !file)
        return -ENODATA;
    for (uint64_t i = 0; i < length / SIM_PAGE_BYTES; i++) {
        uint64_t page = offset / SIM_PAGE_BYTES + i;
        if (page < SIM_PAGES_MAX && (file->pages[page] & PAGE_CACHED))
            map[i / 8] |= (uint8_t)(1u << i % 8);
    }
    return 0;
}

int residency_measure_likely_none(const struct residency *residency, int fd, uint64_t offset,
                                  uint64_t length, uint64_t *bytes)
{
    return residency_measure(residency, fd, offset, length, bytes);
}

bool residency_untouched(int fd)
{
    (void)fd;
    return false;
}

void residency_drop(int fd, uint64_t offset)
{
    (void)fd;
    (void)offset;
}

void cgroup_find(struct cgroup *cgroup, const char *root)
{
    *cgroup = (struct cgroup){.root = root};
}

int proc_figure(const char *path, const char *key, uint64_t *value)
{
    (void)path;
    (void)key;
    (void)value;
    return -ENOENT;
}

uint64_t proc_figure_in(const char *folder, const char *file, const char *key, uint64_t otherwise)
{
    (void)folder;
    (void)file;
    (void)key;
    return otherwise;
}

uint64_t proc_figure_kb(const char *folder, const char *file, const char *key)
{
    return proc_figure_in(folder, file, key, NUM_UNKNOWN);
}

int proc_lines_open(struct proc_lines *lines, const char *root, const char *path)
{
    (void)root;
    (void)path;
    lines->fd = -1;
    return -ENOENT;
}

char *proc_lines_next(struct proc_lines *lines)
{
    (void)lines;
    return NULL;
}

void proc_lines_close(struct proc_lines *lines)
{
    (void)lines;
}

bool proc_join(char *out, const char *root, const char *path)
{
    (void)out;
    (void)root;
    (void)path;
    return false;
}

/* The filesystem's type decides on policies and write-back; its room is the real one's. */
int fstatfs(int fd, struct statfs *out)
{
    const struct sim_file *file = sim_file_of(fd);
    struct statvfs real;
    if (fstatvfs(fd, &real) != 0)
        return -1;
    memset(out, 0, sizeof(*out));
    out->f_bsize = (__typeof__(out->f_bsize))real.f_bsize;
    out->f_bfree = real.f_bfree;
    out->f_bavail = real.f_bavail;
    if (file)
        out->f_type = (__typeof__(out->f_type))file->filesystem;
    return 0;
}

static int real_fallocate(int fd, int mode, off_t offset, off_t length)
{
    int (*real)(int, int, off_t, off_t);
    *(void **)&real = dlsym(RTLD_NEXT, "fallocate64");
    if (!real)
        sim_fatal("the C library has no fallocate");
    return real(fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    struct sim_file *file = world.on ? sim_file_of(fd) : NULL;
    if (!file)
        return real_fallocate(fd, mode, offset, length);
    if (file->no_fallocate) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if (mode == 0 && file->full) {
        sim_cause(ERROR_FILE, ENOSPC);
        errno = ENOSPC;
        return -1;
    }
    int result = real_fallocate(fd, mode, offset, length);
    if (result == 0 && mode != 0) {
        sim_pages_clear(file, (uint64_t)offset, (uint64_t)length, UINT8_MAX);
        memset(file->live + offset, 0, (size_t)length);
        sim_unsynced_add(file, (uint64_t)offset, (uint64_t)length);
    }
    return result;
}

/* Nothing is really synced: what a power cut would leave is told by the model. */
int fsync(int fd)
{
    struct sim_file *file = world.on ? sim_file_of(fd) : NULL;
    if (!world.on)
        return (int)syscall(SYS_fsync, fd);
    if (!file)
        return 0;
    if (++file->fsync_count == file->fsync_fails_nth) {
        sim_cause(ERROR_FILE, EIO);
        errno = EIO;
        return -1;
    }
    sim_pages_clear(file, 0, SIM_SIZE_BYTES_MAX, PAGE_DIRTY);
    sim_synced(file, world.step);
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    uint64_t now_ns = NS_PER_SECOND + world.step * SIM_STEP_NS;
    out->tv_sec = (time_t)(now_ns / NS_PER_SECOND);
    out->tv_nsec = (long)(now_ns % NS_PER_SECOND);
    return 0;
}

/* Sleeps in virtual time: until the first completion at one of these descriptors, or the timeout.
 * Nobody may sleep while nothing is under way, unless the bandwidth is limited. */
int poll(struct pollfd *polls, nfds_t count, int timeout_ms)
{
    uint64_t limit = world.step + (uint64_t)timeout_ms * (NS_PER_MS / SIM_STEP_NS);
    uint64_t wake = UINT64_MAX;
    for (nfds_t i = 0; i < count; i++)
        wake = min_u64(wake, sim_engine_next_step(sim_engine_of_fd(polls[i].fd)));
    if (wake == UINT64_MAX && world.bandwidth_bytes == 0 && ++world.idle_polls > 2)
        sim_fatal("hangs: everybody waits and nothing is under way");
    if (wake != UINT64_MAX)
        world.idle_polls = 0;
    uint64_t until = min_u64(min_u64(wake, limit), max_u64(world.step, world.stop_step));
    sim_tick(max_u64(until, world.step + 1) - world.step);
    int ready_count = 0;
    for (nfds_t i = 0; i < count; i++) {
        bool ready = sim_engine_next_step(sim_engine_of_fd(polls[i].fd)) <= world.step;
        polls[i].revents = ready ? POLLIN : 0;
        ready_count += ready;
    }
    return ready_count;
}

#endif
