/* world_sim.h - the world that a simulated run lives in: its time, and a model
 * of the two files, of what of them is in the page cache and of what a power cut would leave.
 *
 * Everything that happens follows from the seed. The files are real ones, so that the bytes are
 * moved by the kernel; cache and medium are models, because only a model can be asked "is this page
 * dirty" after each step. Whoever finds the contract broken calls sim_fatal(), which names the seed
 * and ends the process: the parent counts it and goes on with the next seed. */
#ifndef HAUL_TESTS_SIM_WORLD_H
#define HAUL_TESTS_SIM_WORLD_H

#include "random_sim.h"
#include "say_sim.h"

#include "haul/base/cleanup.h"
#include "haul/base/control.h"
#include "haul/base/num.h"
#include "haul/copy/life.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SIM_PAGE_BYTES = 4096,
    SIM_SIZE_BYTES_MAX = 24 * 1024 * 1024,
    SIM_PAGES_MAX = SIM_SIZE_BYTES_MAX / SIM_PAGE_BYTES,
    SIM_SLOTS_MAX = 17,      /* the control slot included */
    SIM_TURNS_MAX = 1000000, /* a run of 3 MiB takes some thousands */
    SIM_STEP_NS = 1000,
    SIM_CAUSES_MAX = 64,
};

/* OTHERS: it was cached before we came, and should be afterwards. */
enum sim_page { PAGE_CACHED = 1, PAGE_DIRTY = 2, PAGE_OTHERS = 4 };

/* Bytes that were written (or punched) and that no sync has covered yet. */
struct sim_unsynced {
    uint64_t offset, length;
    uint64_t done_step; /* when the writer was told that it is done */
};

struct sim_file {
    enum side_role role;
    char path[256];
    bool known; /* device and inode are those of the file in use */
    uint64_t device, inode;
    uint64_t size_bytes; /* source: at the beginning. target: the final size */
    uint8_t pages[SIM_PAGES_MAX];
    uint8_t *live;    /* target: what the file must hold now */
    uint8_t *durable; /* target: what of it survives a power cut now */
    struct sim_unsynced *unsynced;
    size_t unsynced_count, unsynced_capacity;
    /* What this filesystem is like. */
    uint64_t filesystem;      /* f_type as haul sees it */
    bool plain;               /* nothing is done about the cache */
    bool direct_lies;         /* direct I/O leaves its pages in the cache */
    bool residency_unknown;   /* nobody can tell what is in the cache */
    bool no_fallocate;        /* neither preallocation nor holes can be made */
    bool full;                /* no room to preallocate */
    uint32_t fsync_fails_nth; /* 0: never */
    uint32_t fsync_count;
};

/* A reason for which the run may, and must, fail. */
struct sim_cause {
    enum error_class class;
    int errnum;
    bool heals; /* something else is tried then, and may succeed */
};

struct sim_engine;

struct sim_world {
    uint64_t seed;
    uint64_t step;  /* the virtual clock: one step is SIM_STEP_NS */
    uint64_t turns; /* how often anybody did anything in this attempt */
    bool on;        /* interposed calls answer for the world; else they are the real ones */
    struct sim_file files[2];
    struct sim_engine *engines[2];
    struct sim_cause causes[SIM_CAUSES_MAX];
    uint32_t causes_count;
    bool drop_failed; /* a page could not be dropped because we said so */
    uint32_t idle_polls;

    /* What the run is made of, for the engine's checks. */
    struct slot *slots;
    uint32_t slots_count;
    struct control *control;
    const struct error *err;
    uint32_t window_bytes;
    uint64_t bandwidth_bytes;

    /* Events from outside. */
    uint64_t stop_step, change_step; /* UINT64_MAX: never */
    uint64_t change_size_bytes;      /* shrink to; or the same size: changed in place */
    const struct life *life;         /* its source may change once it is committed */

    uint64_t requests; /* statistics */
};

static struct sim_world world;

static void sim_print_when(void)
{
    printf("step %8llu", (unsigned long long)world.step);
}

static void sim_add_cause(const struct sim_cause *cause)
{
    sim_trace("cause of failure: class %d, %s", (int)cause->class, strerror(cause->errnum));
    if (world.causes_count < SIM_CAUSES_MAX)
        world.causes[world.causes_count++] = *cause;
}

static void sim_cause(enum error_class class, int errnum)
{
    sim_add_cause(&(struct sim_cause){.class = class, .errnum = errnum});
}

static bool sim_caused(enum error_class class, int errnum)
{
    for (uint32_t i = 0; i < world.causes_count; i++) {
        if (world.causes[i].class == class && world.causes[i].errnum == errnum)
            return true;
    }
    return false;
}

/* Stop, and a source that changes, happen at their step, whatever is under way. */
static void sim_events(void)
{
    if (world.step >= world.stop_step) {
        world.stop_step = UINT64_MAX;
        sim_trace("stop");
        sim_cause(ERROR_INTERRUPTED, EINTR);
        world.control->stop = true;
    }
    if (world.step >= world.change_step) {
        struct sim_file *source = &world.files[SIDE_SOURCE];
        bool shrinks = world.change_size_bytes < source->size_bytes;
        world.change_step = UINT64_MAX;
        sim_trace("source %s", shrinks ? "shrinks" : "is changed");
        if (!world.life->proof.source_unchanged)
            sim_cause(ERROR_CHANGED, ESTALE);
        int fd = open(source->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || (shrinks && ftruncate(fd, num_off(world.change_size_bytes)) != 0) ||
            (!shrinks && futimens(fd, NULL) != 0))
            sim_fatal("%s: cannot be changed: %s", source->path, strerror(errno));
        close(fd);
    }
}

static void sim_tick(uint64_t steps)
{
    world.step += steps;
    if (++world.turns > SIM_TURNS_MAX)
        sim_fatal("hangs: no end after %d turns", SIM_TURNS_MAX);
    sim_events();
}

/* Which of the two files is open as fd; NULL: neither. */
static struct sim_file *sim_file_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return NULL;
    for (int role = 0; role < 2; role++) {
        struct sim_file *file = &world.files[role];
        struct stat named;
        if (!file->known && stat(file->path, &named) == 0) {
            file->known = true;
            file->device = named.st_dev;
            file->inode = named.st_ino;
        }
        if (file->known && file->device == st.st_dev && file->inode == st.st_ino)
            return file;
    }
    return NULL;
}

static uint64_t sim_pages_in(const struct sim_file *file, uint8_t set, uint8_t clear)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < div_ceil(file->size_bytes, SIM_PAGE_BYTES); i++)
        count += (file->pages[i] & set) == set && (file->pages[i] & clear) == 0;
    return count;
}

/* Every page that [offset, offset + length) touches. */
static void sim_pages_mark(struct sim_file *file, uint64_t offset, uint64_t length, uint8_t flags)
{
    if (length == 0)
        return;
    for (uint64_t i = offset / SIM_PAGE_BYTES; i <= (offset + length - 1) / SIM_PAGE_BYTES; i++)
        file->pages[i] |= flags;
}

static void sim_pages_clear(struct sim_file *file, uint64_t offset, uint64_t length, uint8_t flags)
{
    uint64_t end = min_u64(offset + length, SIM_SIZE_BYTES_MAX);
    for (uint64_t i = offset / SIM_PAGE_BYTES; i * SIM_PAGE_BYTES < end; i++)
        file->pages[i] &= (uint8_t)~flags;
}

/* posix_fadvise(DONTNEED): clean pages that lie in the range wholly; the file's last page counts as
 * whole. Dirty ones stay, which is why the policy waits for write-back first. */
static void sim_pages_drop(struct sim_file *file, uint64_t offset, uint64_t length)
{
    uint64_t end = length == 0 ? SIM_SIZE_BYTES_MAX : offset + length;
    if (end >= file->size_bytes)
        end = align_up(file->size_bytes, SIM_PAGE_BYTES);
    for (uint64_t i = div_ceil(offset, SIM_PAGE_BYTES); (i + 1) * SIM_PAGE_BYTES <= end; i++) {
        if (file->pages[i] & PAGE_DIRTY)
            continue;
        file->pages[i] &= (uint8_t)~PAGE_CACHED;
    }
}

static void sim_unsynced_add(struct sim_file *file, uint64_t offset, uint64_t length)
{
    if (file->unsynced_count == file->unsynced_capacity) {
        file->unsynced_capacity = file->unsynced_capacity * 2 + 64;
        file->unsynced = realloc(file->unsynced, file->unsynced_capacity * sizeof(*file->unsynced));
        if (!file->unsynced)
            sim_fatal("no memory");
    }
    file->unsynced[file->unsynced_count++] =
        (struct sim_unsynced){.offset = offset, .length = length, .done_step = world.step};
}

/* The crash model: a sync makes durable what was reported as done before it was submitted, and
 * nothing else. Later tests (journal, power cuts) take `durable` as what is there afterwards. */
static void sim_synced(struct sim_file *file, uint64_t submit_step)
{
    size_t left = 0;
    for (size_t i = 0; i < file->unsynced_count; i++) {
        const struct sim_unsynced one = file->unsynced[i];
        if (one.done_step <= submit_step)
            memcpy(file->durable + one.offset, file->live + one.offset, (size_t)one.length);
        else
            file->unsynced[left++] = one;
    }
    file->unsynced_count = left;
}

#endif
