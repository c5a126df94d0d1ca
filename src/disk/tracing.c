/* tracing.c - an instance of tracefs that records what enters and leaves the page cache. */
#include "haul/disk/tracing.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS  "events/filemap/mm_filemap_"
#define ADDED   "mm_filemap_add_to_page_cache: "
#define DELETED "mm_filemap_delete_from_page_cache: "

/* Of each processor: 20,000 events. */
#define BUFFER_KIB "1024"

/* The second is where it was before Linux 4.1, and where debugfs still shows it. */
static const char *const places[] = {"/sys/kernel/tracing/instances",
                                     "/sys/kernel/debug/tracing/instances"};

/* ---- the instance ---- */

static int open_instances(const char *root)
{
    char path[PATH_MAX];
    int errnum = ENOENT;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (!proc_join(path, root, places[i]))
            return -ENAMETOOLONG;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno != ENOENT)
            errnum = errno;
    }
    return -errnum;
}

static int put(int fd, const char *path, const char *text)
{
    AUTO_CLOSE int file = openat(fd, path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -errno;
    ssize_t written = write(file, text, strlen(text));
    return written == (ssize_t)strlen(text) ? 0 : written < 0 ? -errno : -EIO;
}

/* One that somebody reads is in use: EBUSY. */
static void remove_left(int instances_fd)
{
    int fd = openat(instances_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(folder)))
        if (strncmp(entry->d_name, "haul-", 5) == 0)
            (void)unlinkat(instances_fd, entry->d_name, AT_REMOVEDIR);
    closedir(folder);
}

/* Words as tracing_parse() knows them, whatever others have chosen for theirs; one clock for all
 * processors, or what is deleted could come before it is added. */
static int prepare(int fd)
{
    static const struct {
        const char *path, *text;
        bool needed;
    } settings[] = {
        {"trace_options", "context-info", false},
        {"trace_options", "norecord-tgid", false},
        {"trace_options", "noraw", false},
        {"trace_options", "nohex", false},
        {"trace_options", "nobin", false},
        {"trace_clock", "mono", false},
        {"buffer_size_kb", BUFFER_KIB, true},
        {EVENTS "delete_from_page_cache/enable", "1", true},
        {EVENTS "add_to_page_cache/enable", "1", true},
    };
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        int result = put(fd, settings[i].path, settings[i].text);
        if (result < 0 && settings[i].needed)
            return result;
    }
    return 0;
}

static int open_instance(struct tracing *tracing)
{
    if (mkdirat(tracing->instances_fd, tracing->name, 0700) != 0) {
        tracing->name[0] = '\0';
        return -errno;
    }
    tracing->instance_fd =
        openat(tracing->instances_fd, tracing->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tracing->instance_fd < 0)
        return -errno;
    tracing->pipe_fd =
        openat(tracing->instance_fd, "trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return tracing->pipe_fd < 0 ? -errno : prepare(tracing->instance_fd);
}

int tracing_open(struct tracing *tracing, const char *root, struct error *err)
{
    tracing->instance_fd = tracing->pipe_fd = -1;
    tracing->unread_count = 0;
    tracing->start = tracing->end = 0;
    tracing->name[0] = '\0';
    tracing->instances_fd = open_instances(root);
    if (tracing->instances_fd < 0)
        return error_set(err, -tracing->instances_fd,
                         "/sys/kernel/tracing: page cache insertions cannot be watched "
                         "(mount -t tracefs nodev /sys/kernel/tracing, as root)");
    remove_left(tracing->instances_fd);
    snprintf(tracing->name, sizeof(tracing->name), "haul-%ju", (uintmax_t)getpid());
    int result = open_instance(tracing);
    return result == 0
               ? 0
               : error_set(err, -result, "%s/haul-%ju: page cache insertions cannot be watched",
                           places[0], (uintmax_t)getpid());
}

void tracing_stop(struct tracing *tracing)
{
    (void)put(tracing->instance_fd, "tracing_on", "0");
}

void tracing_close(struct tracing *tracing)
{
    cleanup_close(&tracing->pipe_fd);
    cleanup_close(&tracing->instance_fd);
    if (tracing->instances_fd >= 0 && tracing->name[0] != '\0')
        (void)unlinkat(tracing->instances_fd, tracing->name, AT_REMOVEDIR);
    cleanup_close(&tracing->instances_fd);
}

void tracing_remove(const char *root, uint32_t pid)
{
    char name[32];
    AUTO_CLOSE int fd = open_instances(root);
    snprintf(name, sizeof(name), "haul-%" PRIu32, pid);
    if (fd >= 0)
        (void)unlinkat(fd, name, AT_REMOVEDIR);
}

/* ---- what it tells ---- */

/* "            haul-29819   [000] ..... 35265.828862: EVENT: dev 254:0 ino 54a097 pfn=0x18490a
 * ofs=4096 order=0"; the order is missing before Linux 5.18, where a folio was a page. The name in
 * front may be anything, but no longer than 15 bytes: no event fits into it. */
int tracing_parse(const char *line, struct tracing_event *event)
{
    const char *added = strstr(line, ADDED), *deleted = strstr(line, DELETED);
    const char *found = added ? added : deleted;
    uint64_t major, minor, offset;
    unsigned order = 0;
    if (!found)
        return line[0] == '#' || line[0] == '\0' || strncmp(line, "CPU:", 4) == 0 ? 0 : -EPROTO;
    const char *at = found + (added ? sizeof(ADDED) : sizeof(DELETED)) - 1;
    if (sscanf(at, "dev %" SCNu64 ":%" SCNu64 " ino %" SCNx64, &major, &minor, &event->inode) != 3)
        return -EPROTO;
    const char *place = strstr(at, " ofs="), *orders = strstr(at, " order=");
    if (!place || sscanf(place, " ofs=%" SCNu64, &offset) != 1)
        return -EPROTO;
    if (orders && (sscanf(orders, " order=%u", &order) != 1 || order > 30))
        return -EPROTO;
    const char *thread = found;
    while (thread > line && *thread != '[')
        thread--;
    while (thread > line && *thread != '-')
        thread--;
    if (sscanf(thread, "-%" SCNu32, &event->thread) != 1)
        return -EPROTO;
    event->added = added != NULL;
    event->device = major << 20 | minor;
    event->page = offset / (uint64_t)sysconf(_SC_PAGESIZE);
    event->pages_count = (uint64_t)1 << order;
    return 1;
}

/* NULL: no whole line is there now. */
static char *next_line(struct tracing *tracing)
{
    for (;;) {
        char *line = tracing->buffer + tracing->start;
        char *newline = memchr(line, '\n', tracing->end - tracing->start);
        if (newline) {
            *newline = '\0';
            tracing->start = (size_t)(newline - tracing->buffer) + 1;
            return line;
        }
        tracing->end -= tracing->start;
        memmove(tracing->buffer, line, tracing->end);
        tracing->start = 0;
        if (tracing->end == sizeof(tracing->buffer)) { /* no line of ours is so long */
            tracing->unread_count++;
            tracing->end = 0;
        }
        ssize_t got = read(tracing->pipe_fd, tracing->buffer + tracing->end,
                           sizeof(tracing->buffer) - tracing->end);
        if (got <= 0)
            return NULL;
        tracing->end += (size_t)got;
    }
}

bool tracing_next(struct tracing *tracing, struct tracing_event *event)
{
    const char *line;
    while ((line = next_line(tracing))) {
        int result = tracing_parse(line, event);
        if (result == 1)
            return true;
        tracing->unread_count += result < 0;
    }
    return false;
}

/* "overrun: 3", "commit overrun: 0", "dropped events: 0" of one processor. */
static bool add_lost(int instance_fd, uint32_t processor, uint64_t *lost)
{
    static const char *const keys[] = {"overrun: ", "commit overrun: ", "dropped events: "};
    char path[64], *line;
    snprintf(path, sizeof(path), "per_cpu/cpu%" PRIu32 "/stats", processor);
    AUTO_PROC_LINES(lines, PROC_SHORT_BYTES);
    lines.fd = openat(instance_fd, path, O_RDONLY | O_CLOEXEC);
    bool told = false;
    while (lines.fd >= 0 && (line = proc_lines_next(&lines))) {
        told = true;
        for (size_t i = 0; i < COUNT_OF(keys); i++) {
            uint64_t value;
            size_t length = strlen(keys[i]);
            if (strncmp(line, keys[i], length) == 0 && num_parse_u64(line + length, &value))
                *lost += value;
        }
    }
    return told;
}

uint64_t tracing_lost(const struct tracing *tracing)
{
    uint64_t lost = tracing->unread_count;
    long processors = sysconf(_SC_NPROCESSORS_CONF);
    bool told = false;
    for (uint32_t i = 0; processors > 0 && i < (uint32_t)processors; i++)
        told |= add_lost(tracing->instance_fd, i, &lost);
    return told ? lost : NUM_UNKNOWN;
}
