/* limit_small.c - how fast this machine can copy many small files without leaving page cache: the
 * yardstick of `make bench-small`.
 *
 *   limit_small SOURCE TARGET [THREADS]      folders; TARGET is there, and empty
 *   limit_small SOURCE - | ssh HOST limit_small - TARGET
 *
 * The calls that such a copy cannot do without, and nothing else: each source is opened, looked at,
 * read past the page cache and closed; each target is made, written, written back, given its time,
 * and dropped; 256 of them share one syncfs(2), behind their times. Nothing is checked that a copy
 * has to check: whether a file has changed meanwhile, what was there before, what has stayed in the
 * cache, whose it is. Through a pipe each file is a record, of which several are written at a time;
 * nothing is told of what has arrived. It shares no line with haul. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BATCH_FILES = 256, THREADS_MAX = 64, BLOCK_BYTES = 4096, FILE_BYTES_MAX = 256 * 1024 };
enum { PIPE_BYTES = 64 * 1024, NAME_BYTES_MAX = 4096 };

/* In front of what is in a file; its name follows, with its NUL. */
struct record {
    struct timespec times[2];
    uint32_t name_bytes, bytes;
    bool folder;
};

struct made {
    int fd;
    struct timespec times[2];
};

struct batch {
    struct made files[BATCH_FILES];
    uint32_t count;
};

static int fd_source = -1, fd_target = -1; /* -1: the pipe */
static char **names;
static size_t names_count, names_room, top_length;
static atomic_size_t name_next;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards filling, and the pipes */
static struct batch *filling;

static void die(const char *what)
{
    fprintf(stderr, "limit_small: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the pipe ---- */

static void put_record(const char *name, const struct record *record, const uint8_t *data)
{
    pthread_mutex_lock(&lock);
    if (fwrite(record, sizeof(*record), 1, stdout) != 1 ||
        fwrite(name, record->name_bytes, 1, stdout) != 1 ||
        fwrite(data, 1, record->bytes, stdout) != record->bytes)
        die("the pipe");
    pthread_mutex_unlock(&lock);
}

/* false: that was all. */
static bool get_record(char name[NAME_BYTES_MAX], struct record *record, uint8_t *data)
{
    pthread_mutex_lock(&lock);
    bool more = fread(record, sizeof(*record), 1, stdin) == 1;
    if (more && (record->name_bytes > NAME_BYTES_MAX || record->bytes >= FILE_BYTES_MAX ||
                 fread(name, record->name_bytes, 1, stdin) != 1 ||
                 fread(data, 1, record->bytes, stdin) != record->bytes))
        die("the pipe");
    if (more && record->folder && mkdirat(fd_target, name, 0755) != 0)
        die(name);
    pthread_mutex_unlock(&lock);
    return more;
}

static int put_folder(const char *name)
{
    const struct record record = {.name_bytes = (uint32_t)strlen(name) + 1, .folder = true};
    if (fd_target >= 0)
        return mkdirat(fd_target, name, 0755);
    put_record(name, &record, NULL);
    return 0;
}

/* ---- files ---- */

static int take_name(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    const char *name = path + top_length;
    (void)st;
    if (where->level == 0)
        return 0;
    if (kind == FTW_D)
        return put_folder(name) == 0 ? 0 : -1;
    if (names_count == names_room) {
        names_room = names_room > 0 ? 2 * names_room : 1024;
        names = realloc(names, names_room * sizeof(*names));
    }
    if (!names || !(names[names_count++] = strdup(name)))
        die("memory");
    return kind == FTW_F ? 0 : -1;
}

static uint32_t read_source(const char *name, uint8_t *buffer, struct timespec times[2])
{
    struct stat st;
    int fd = openat(fd_source, name, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size >= FILE_BYTES_MAX)
        die(name);
    size_t room = ((size_t)st.st_size + BLOCK_BYTES) / BLOCK_BYTES * BLOCK_BYTES;
    if (st.st_size > 0 && pread(fd, buffer, room, 0) != st.st_size)
        die(name);
    close(fd);
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    return (uint32_t)st.st_size;
}

/* What is asked of the disk first is on its way while the next files are made. */
static void make_target(const char *name, const uint8_t *buffer, uint32_t bytes, struct made *made)
{
    made->fd = openat(fd_target, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (made->fd < 0 || write(made->fd, buffer, bytes) != (ssize_t)bytes ||
        sync_file_range(made->fd, 0, 0, SYNC_FILE_RANGE_WRITE) != 0)
        die(name);
}

static void end_batch(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        int fd = batch->files[i].fd;
        if (sync_file_range(fd, 0, 0,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                SYNC_FILE_RANGE_WAIT_AFTER) != 0 ||
            futimens(fd, batch->files[i].times) != 0)
            die("a target");
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    if (batch->count > 0 && syncfs(batch->files[0].fd) != 0)
        die("syncfs");
    for (uint32_t i = 0; i < batch->count; i++)
        close(batch->files[i].fd);
    free(batch);
}

/* A full batch, for whoever has filled it. */
static struct batch *put_made(const struct made *made)
{
    struct batch *full = NULL;
    pthread_mutex_lock(&lock);
    if (!filling && !(filling = calloc(1, sizeof(*filling))))
        die("memory");
    filling->files[filling->count++] = *made;
    if (filling->count == BATCH_FILES) {
        full = filling;
        filling = NULL;
    }
    pthread_mutex_unlock(&lock);
    return full;
}

/* The next file, of the folder or from the pipe. false: that was all. */
static bool take_next(char **name, struct record *record, uint8_t *buffer)
{
    static _Thread_local char received[NAME_BYTES_MAX];
    if (fd_source >= 0) {
        size_t number = atomic_fetch_add(&name_next, 1);
        if (number >= names_count)
            return false;
        *name = names[number];
        record->bytes = read_source(*name, buffer, record->times);
        record->name_bytes = (uint32_t)strlen(*name) + 1;
        return true;
    }
    *name = received;
    do {
        if (!get_record(received, record, buffer))
            return false;
    } while (record->folder);
    return true;
}

static void *copy_some(void *unused)
{
    uint8_t *buffer = aligned_alloc(BLOCK_BYTES, FILE_BYTES_MAX);
    struct record record = {.bytes = 0};
    char *name;
    if (!buffer)
        die("memory");
    while (take_next(&name, &record, buffer)) {
        if (fd_target < 0) {
            put_record(name, &record, buffer);
            continue;
        }
        struct made made = {.times = {record.times[0], record.times[1]}};
        make_target(name, buffer, record.bytes, &made);
        struct batch *full = put_made(&made);
        if (full)
            end_batch(full);
    }
    free(buffer);
    return unused;
}

static int open_folder(const char *path)
{
    int fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0 && strcmp(path, "-") != 0)
        die(path);
    return fd;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    int threads_count = argc == 4 ? atoi(argv[3]) : 4;
    if (argc < 3 || argc > 4 || threads_count < 1 || threads_count > THREADS_MAX) {
        fputs("usage: limit_small SOURCE TARGET [THREADS], of which one may be -\n", stderr);
        return 2;
    }
    fd_source = open_folder(argv[1]);
    fd_target = open_folder(argv[2]);
    setvbuf(fd_source < 0 ? stdin : stdout, NULL, _IOFBF, PIPE_BYTES);
    top_length = strlen(argv[1]) + 1;
    if (fd_source >= 0 && nftw(argv[1], take_name, 32, FTW_PHYS) != 0)
        die(argv[1]);
    for (int i = 0; i < threads_count; i++) {
        if ((errno = pthread_create(&threads[i], NULL, copy_some, NULL)) != 0)
            die("a thread");
    }
    for (int i = 0; i < threads_count; i++)
        pthread_join(threads[i], NULL);
    if (filling)
        end_batch(filling);
    if (fd_target < 0 ? fflush(stdout) != 0 : syncfs(fd_target) != 0)
        die(argv[2]);
    return 0;
}
