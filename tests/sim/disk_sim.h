/* disk_sim.h - the engine of the simulated machines, and what of the target's folder a power cut
 * would leave.
 *
 * Requests are executed on real files, in memory, late, in any order, and fail as the seed says.
 * Durable is only what a sync has covered: data of a file by fsync and fdatasync, if their write
 * was done before it began; its size and times by the same; names by a sync of the folder; all of
 * it by syncfs. */
#ifndef HAUL_TESTS_SIM_DISK_H
#define HAUL_TESTS_SIM_DISK_H

#include "image_sim.h"

#include "haul/base/error.h"
#include "haul/disk/engine.h"
#include "haul/disk/residency.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum {
    NODES_MAX = 96,
    NODE_FDS_FIRST = 900, /* of ours; those of the run lie before, and few machines have 1,024 */
    ENGINES_MAX = 16,
    NAME_BYTES = 64,
    SECTOR_BYTES = 512,
};

/* Bytes that no sync has covered. */
struct unsynced {
    uint64_t offset, length, done_ns;
    bool written_back; /* waited for: whatever is changed of its file later is not there without it
                        */
};

/* A file of the target's folder, by its inode. */
struct node {
    uint64_t inode;
    int fd; /* our own */
    struct image durable;
    uint64_t durable_bytes; /* the size that a cut leaves */
    struct timespec durable_time;
    struct unsynced *unsynced;
    uint32_t unsynced_count, unsynced_capacity;
};

struct name {
    char text[NAME_BYTES];
    uint64_t inode;
};

/* The nth of these operations fails. */
struct fault {
    uint32_t kinds; /* bits of enum request_kind */
    uint32_t nth, seen;
    int errnum;
};

static struct {
    char folder[128]; /* the target's */
    uint64_t device, folder_inode;
    struct node nodes[NODES_MAX];
    uint32_t nodes_count;
    struct name names[NODES_MAX]; /* durable ones */
    uint32_t names_count;
    struct fault fault;
    uint32_t causes_count; /* failures that were really handed out */
    uint64_t delay_ns_max, call_delay_ns_max;
    uint32_t fsync_fails_nth, cut_at_sync, fsync_count;
    bool no_fallocate;
} disk;

static void cause(const char *what)
{
    sim_trace("cause: %s", what);
    disk.causes_count++;
}

/* ---- the model ---- */

static struct node *node_of_fd(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_dev != disk.device || !S_ISREG(st.st_mode))
        return NULL;
    for (uint32_t i = 0; i < disk.nodes_count; i++) {
        if (disk.nodes[i].inode == st.st_ino)
            return &disk.nodes[i];
    }
    char path[64];
    if (disk.nodes_count == NODES_MAX)
        sim_fatal("more than %d files", NODES_MAX);
    struct node *node = &disk.nodes[disk.nodes_count++];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    image_open(&node->durable);
    node->inode = st.st_ino;
    node->unsynced_count = 0;
    node->durable_bytes = 0;
    node->durable_time = (struct timespec){0};
    int own = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    node->fd = fcntl(own, F_DUPFD_CLOEXEC, NODE_FDS_FIRST);
    if (node->fd < 0)
        sim_fatal("a file cannot be watched: %s", strerror(errno));
    close(own);
    return node;
}

static void node_dirty(struct node *node, uint64_t offset, uint64_t length)
{
    if (!node || length == 0)
        return;
    if (node->unsynced_count == node->unsynced_capacity) {
        node->unsynced_capacity = node->unsynced_capacity * 2 + 16;
        node->unsynced =
            __real_realloc(node->unsynced, node->unsynced_capacity * sizeof(*node->unsynced));
        if (!node->unsynced)
            sim_fatal("no memory");
    }
    node->unsynced[node->unsynced_count++] =
        (struct unsynced){.offset = offset, .length = length, .done_ns = sim.now_ns};
}

/* What was done at `since_ns` is durable. */
static void node_synced(struct node *node, uint64_t since_ns)
{
    struct stat st;
    uint32_t left = 0;
    if (!node || fstat(node->fd, &st) != 0)
        return;
    for (uint32_t i = 0; i < node->unsynced_count; i++) {
        const struct unsynced one = node->unsynced[i];
        if (one.done_ns <= since_ns)
            image_read(&node->durable, node->fd, one.offset, one.length);
        else
            node->unsynced[left++] = one;
    }
    node->unsynced_count = left;
    node->durable_bytes = (uint64_t)st.st_size;
    node->durable_time = st.st_mtim;
}

static void name_path(char out[256], const struct name *name)
{
    snprintf(out, 256, "%.127s/%.63s", disk.folder, name->text);
}

/* The names that are there, into `names`: their count. */
static uint32_t names_now(struct name names[NODES_MAX])
{
    DIR *folder = opendir(disk.folder);
    const struct dirent *entry;
    uint32_t count = 0;
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || !strcmp(entry->d_name, "..")))
            continue;
        if (count == NODES_MAX)
            sim_fatal("more than %d names", NODES_MAX);
        snprintf(names[count].text, NAME_BYTES, "%.63s", entry->d_name);
        names[count++].inode = entry->d_ino;
    }
    if (folder)
        closedir(folder);
    return count;
}

static void all_synced(void)
{
    for (uint32_t i = 0; i < disk.nodes_count; i++)
        node_synced(&disk.nodes[i], sim.now_ns);
    disk.names_count = names_now(disk.names);
}

static void fd_synced(int fd, uint64_t since_ns)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_dev == disk.device && st.st_ino == disk.folder_inode)
        disk.names_count = names_now(disk.names);
    else
        node_synced(node_of_fd(fd), since_ns);
}

static const struct name *name_find(const struct name *names, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i].text, text) == 0)
            return &names[i];
    }
    return NULL;
}

static struct node *node_of_inode(uint64_t inode)
{
    for (uint32_t i = 0; i < disk.nodes_count; i++) {
        if (disk.nodes[i].inode == inode)
            return &disk.nodes[i];
    }
    return NULL;
}

/* Write-back was waited for, which makes nothing durable by itself. The file systems that are known
 * by name commit no change of a file before the data that were written back then. */
static void fd_written_back(int fd)
{
    struct node *node = node_of_fd(fd);
    for (uint32_t i = 0; node && i < node->unsynced_count; i++)
        node->unsynced[i].written_back = true;
}

/* What a cut leaves of this file's content, in place: of each write that was not synced all, some
 * sectors or nothing; the size and the time of then or of now. */
static void node_cut(struct node *node)
{
    struct stat st;
    if (fstat(node->fd, &st) != 0)
        return;
    bool new_time = sim_chance(500);
    for (uint32_t i = 0; i < node->unsynced_count; i++) {
        const struct unsynced *one = &node->unsynced[i];
        bool whole = sim_chance(400) || (new_time && one->written_back);
        uint64_t length = whole             ? one->length
                          : sim_chance(500) ? align_down(sim_below(one->length), SECTOR_BYTES)
                                            : 0;
        if (length > 0)
            image_read(&node->durable, node->fd, one->offset, length);
    }
    uint64_t bytes = new_time || sim_chance(500) ? (uint64_t)st.st_size : node->durable_bytes;
    const struct timespec times[2] = {st.st_atim, new_time ? st.st_mtim : node->durable_time};
    image_write(&node->durable, node->fd, bytes);
    futimens(node->fd, times);
}

static void name_restore(const struct name *name)
{
    char path[256], link[64];
    struct node *node = node_of_inode(name->inode);
    name_path(path, name);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", node ? node->fd : -1);
    FILE *from = node ? fopen(link, "r") : NULL; /* it has no name any more */
    FILE *to = fopen(path, "w");
    int byte;
    while (from && to && (byte = fgetc(from)) != EOF)
        fputc(byte, to);
    if (from)
        fclose(from);
    if (to)
        fclose(to);
}

/* The power is cut: what is there afterwards. */
static void disk_cut(void)
{
    struct name now[NODES_MAX];
    char path[256];
    uint32_t count = names_now(now);
    for (uint32_t i = 0; i < disk.nodes_count; i++)
        node_cut(&disk.nodes[i]);
    for (uint32_t i = 0; i < count; i++) {
        const struct name *kept = name_find(disk.names, disk.names_count, now[i].text);
        name_path(path, &now[i]);
        if (!kept && sim_chance(500))
            unlink(path);
    }
    for (uint32_t i = 0; i < disk.names_count; i++) {
        if (!name_find(now, count, disk.names[i].text) && sim_chance(500))
            name_restore(&disk.names[i]);
    }
}

/* All that is there now has been there for long. */
static void disk_settle(void)
{
    struct name names[NODES_MAX];
    char path[256];
    for (uint32_t i = 0; i < disk.nodes_count; i++) {
        close(disk.nodes[i].fd);
        image_zero(&disk.nodes[i].durable, 0, IMAGE_BYTES_MAX);
    }
    disk.nodes_count = 0;
    uint32_t count = names_now(names);
    for (uint32_t i = 0; i < count; i++) {
        struct stat st;
        name_path(path, &names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct node *node = fd < 0 ? NULL : node_of_fd(fd);
        if (node && fstat(fd, &st) == 0)
            image_read(&node->durable, node->fd, 0, (uint64_t)st.st_size);
        if (fd >= 0)
            close(fd);
    }
    all_synced();
}

/* ---- system calls ---- */

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        sim_fatal("the C library has no %s", name);
    return function;
}

static bool sync_fails(void)
{
    disk.fsync_count++;
    if (disk.fsync_count == disk.cut_at_sync) { /* of the power, before anything is durable by it */
        sim.cut_ns = sim.now_ns;
        task_switch();
    }
    if (disk.fsync_count != disk.fsync_fails_nth)
        return false;
    cause("a sync fails");
    errno = EIO;
    return true;
}

int fsync(int fd)
{
    if (!sim.on)
        return 0;
    sim_trace("fsync %d", fd);
    if (sync_fails())
        return -1;
    fd_synced(fd, sim.now_ns);
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int syncfs(int fd)
{
    (void)fd;
    sim_trace("syncfs");
    if (sync_fails())
        return -1;
    all_synced();
    return 0;
}

int sync_file_range(int fd, off_t offset, off_t length, unsigned int flags)
{
    (void)offset, (void)length;
    if (sim.on && flags & SYNC_FILE_RANGE_WAIT_AFTER)
        fd_written_back(fd);
    return 0;
}

static ssize_t wrote(int fd, ssize_t count, uint64_t offset)
{
    if (sim.on && count > 0)
        node_dirty(node_of_fd(fd), offset, (uint64_t)count);
    return count;
}

ssize_t write(int fd, const void *data, size_t length)
{
    ssize_t count = syscall(SYS_write, fd, data, length);
    off_t end = sim.on ? lseek(fd, 0, SEEK_END) : -1; /* all that is written so is appended */
    return end < 0 ? count
                   : wrote(fd, count, (uint64_t)end - (uint64_t)max_u64(0, (uint64_t)count));
}

/* Small files as a whole; what the engine writes is noted twice. */
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return wrote(fd, syscall(SYS_pwrite64, fd, data, length, offset), (uint64_t)offset);
}

static void dirty_between(int fd, uint64_t a, uint64_t b)
{
    if (sim.on)
        node_dirty(node_of_fd(fd), min_u64(a, b), max_u64(a, b) - min_u64(a, b));
}

int ftruncate(int fd, off_t length)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || syscall(SYS_ftruncate, fd, length) != 0)
        return -1;
    dirty_between(fd, (uint64_t)st.st_size, (uint64_t)length);
    return 0;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (disk.no_fallocate) {
        errno = EOPNOTSUPP;
        return -1;
    }
    long result = syscall(SYS_fallocate, fd, mode, offset, length);
    if (result == 0 && mode != 0)
        dirty_between(fd, (uint64_t)offset, (uint64_t)(offset + length));
    return (int)result;
}

/* Syncs of several files at once need a file system that is known to tell. */
int fstatfs(int fd, struct statfs *out)
{
    static int (*function)(int, struct statfs *);
    if (!function)
        *(void **)&function = real("fstatfs64");
    int result = function(fd, out);
    if (result == 0)
        out->f_type = 0xef53;
    return result;
}

/* Memory and processors are nobody's business here. */
int open(const char *path, int flags, ...)
{
    static const char *const hidden[] = {"/proc/stat", "/proc/meminfo", "/proc/self/cgroup",
                                         "/proc/self/mountinfo", "/proc/self/status"};
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    for (size_t i = 0; sim.on && i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (strcmp(path, hidden[i]) == 0) {
            errno = ENOENT;
            return -1;
        }
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- the engine ---- */

struct late {
    struct request *request;
    uint64_t ready_ns, submit_ns;
};

struct sim_engine {
    struct engine engine; /* first: see engine.h */
    bool waits;           /* no descriptor: reap itself does the work, as `sync` does */
    uint32_t number;
    struct late inflight[ENGINE_DEPTH_MAX];
    uint32_t count;
};

static struct sim_engine *engines[ENGINES_MAX];

static int engine_take(struct engine *engine, struct request *request)
{
    struct sim_engine *self = (struct sim_engine *)engine;
    bool call = request->kind == REQUEST_CALL;
    sim_preempt();
    self->inflight[self->count++] = (struct late){
        .request = request,
        .submit_ns = sim.now_ns,
        .ready_ns = sim.now_ns + sim_scaled(0, call ? disk.call_delay_ns_max : disk.delay_ns_max),
    };
    return 0;
}

static bool request_fails(const struct request *request)
{
    struct fault *fault = &disk.fault;
    if (!(fault->kinds >> request->kind & 1) || ++fault->seen != fault->nth)
        return false;
    cause("a request fails");
    return true;
}

static void engine_work(const struct late *late)
{
    struct request *request = late->request;
    struct stat st;
    switch (request->kind) {
    case REQUEST_CALL:
        request->result = request->call(request->argument);
        return;
    case REQUEST_DATASYNC:
    case REQUEST_SYNC:
        request->result = request_fails(request) || sync_fails() ? -EIO : 0;
        if (request->result == 0)
            fd_synced(request->fd, late->submit_ns);
        return;
    case REQUEST_READ:
    case REQUEST_WRITE:
        request->result =
            request_fails(request) ? -disk.fault.errnum : (int)engine_execute(request);
        if (request->kind == REQUEST_WRITE && request->result > 0) {
            bool appends = fcntl(request->fd, F_GETFL) & O_APPEND;
            (void)fstat(request->fd, &st);
            wrote(request->fd, request->result,
                  appends ? (uint64_t)st.st_size - (uint64_t)request->result
                          : request->offset + request->done);
        }
        return;
    case REQUEST_WRITEBACK_WAIT:
        fd_written_back(request->fd);
        request->result = 0;
        return;
    case REQUEST_WRITEBACK_START:
    case REQUEST_DROP:
        request->result = 0;
    }
}

/* When the first request is done, of those that are not done before `since_ns`. */
static uint64_t engine_after_ns(const struct sim_engine *self, uint64_t since_ns)
{
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; self && i < self->count; i++) {
        if (self->inflight[i].ready_ns >= since_ns)
            next_ns = min_u64(next_ns, self->inflight[i].ready_ns);
    }
    return next_ns;
}

static uint64_t engine_next_ns(const struct sim_engine *self)
{
    return engine_after_ns(self, 0);
}

static int engine_give(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    struct sim_engine *self = (struct sim_engine *)engine;
    uint32_t count = 0;
    sim_preempt();
    if (wait && self->count > 0 && engine_next_ns(self) > sim.now_ns) {
        struct pollfd none = {.fd = FD_FIRST + (int)self->number, .events = POLLIN};
        (void)poll(&none, 1, -1);
    }
    uint32_t first = (uint32_t)sim_below(self->count);
    for (uint32_t i = 0; i < self->count && count < max; i++) {
        uint32_t at = (first + i) % self->count;
        if (self->inflight[at].ready_ns > sim.now_ns)
            continue;
        struct late late = self->inflight[at];
        self->inflight[at] = self->inflight[--self->count];
        engine_work(&late);
        out[count++] = late.request;
        if (sim_chance(300))
            break;
    }
    return (int)count;
}

static int engine_fd(struct engine *engine)
{
    const struct sim_engine *self = (const struct sim_engine *)engine;
    return self->waits ? -1 : FD_FIRST + (int)self->number;
}

static void engine_gone(struct engine *engine)
{
    struct sim_engine *self = (struct sim_engine *)engine;
    struct request *request;
    while (self->count > 0)
        (void)engine_give(engine, &request, 1, true);
    engines[self->number] = NULL;
    free(self);
}

static const struct engine_ops sim_engine_ops = {
    .kind = ENGINE_THREADS,
    .submit = engine_take,
    .reap = engine_give,
    .wait_fd = engine_fd,
    .close = engine_gone,
};

int engine_threads_open(struct engine **out, const struct engine_config *config, struct error *err)
{
    struct sim_engine *self = calloc(1, sizeof(*self));
    uint32_t number = 0;
    (void)err;
    while (number < ENGINES_MAX && engines[number])
        number++;
    if (!self || number == ENGINES_MAX)
        sim_fatal("more than %d engines", ENGINES_MAX);
    self->engine = (struct engine){.ops = &sim_engine_ops, .depth = config->depth};
    self->number = number;
    self->waits = sim_chance(200);
    engines[number] = self;
    *out = &self->engine;
    return 0;
}

/* All descriptors but the standard ones and those of nodes. */
static void close_fds(void)
{
    if (syscall(SYS_close_range, STDERR_FILENO + 1, NODE_FDS_FIRST - 1, 0) == 0) /* Linux 5.9 */
        return;
    for (int fd = STDERR_FILENO + 1; fd < NODE_FDS_FIRST; fd++)
        close(fd);
}

/* The power was cut. */
static void disk_forget(void)
{
    memset(engines, 0, sizeof(engines));
    close_fds();
}

/* ---- nobody can tell what is in the cache ---- */

void residency_init(struct residency *residency, int fd)
{
    (void)fd;
    residency->page_bytes = 4096;
    residency->method = RESIDENCY_NONE;
}

const char *residency_name(enum residency_method method)
{
    (void)method;
    return "none";
}

void residency_release(struct residency_view *view)
{
    (void)view;
}

int residency_measure(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                      uint64_t *bytes)
{
    (void)residency, (void)fd, (void)offset, (void)length, (void)bytes;
    return -ENODATA;
}

int residency_map(const struct residency *residency, int fd, uint64_t offset, uint64_t length,
                  uint8_t *map, uint32_t map_bits)
{
    (void)residency, (void)fd, (void)offset, (void)length;
    memset(map, 0, (size_t)div_ceil(map_bits, 8));
    return -ENODATA;
}

int residency_measure_likely_none(const struct residency *residency, int fd, uint64_t offset,
                                  uint64_t length, uint64_t *bytes)
{
    return residency_measure(residency, fd, offset, length, bytes);
}

/* Small files go as a whole. */
int residency_once(int fd, uint64_t length, uint64_t *bytes)
{
    (void)fd, (void)length;
    *bytes = 0;
    return 0;
}

bool residency_untouched(int fd)
{
    (void)fd;
    return false;
}

void residency_drop(int fd, uint64_t offset)
{
    (void)fd, (void)offset;
}

#endif
