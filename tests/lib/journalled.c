/*
 * journalled: waits until a journal names so many bytes of its file, or a file has so much data.
 *
 *   journalled [--data] PATH BYTES PID [SIGNAL]
 *
 * 0: it does, and process PID was sent SIGNAL, a number; 1: it ended before; 2: wrong words.
 * --data: PATH is the file itself; space that is only allocated does not count.
 *
 * It looks each millisecond, without another process for a look, and with a priority above all
 * others where it may: on a busy machine a loop of commands comes seconds late, when the copy that
 * was to be interrupted is over. Read after haul-journal(5), and not by haul's own reader;
 * checksums are not looked at, and what is not whole yet ends the reading.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 128,
    SIZE_AT = 24,
    CHUNK_BYTES_AT = 32,
    BATCH_BYTES = 32,
    COUNT_AT = 12,
    ENTRY_BYTES = 24,
    JOURNAL_BYTES_MAX = 1 << 22,
    CHUNKS_MAX = 1 << 17,
};

static uint64_t number(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

/* A chunk may be named twice, for one that was repaired. */
static uint64_t named_bytes(const uint8_t *data, size_t length, uint8_t *seen)
{
    uint64_t size = number(data + SIZE_AT, 8), chunk_bytes = number(data + CHUNK_BYTES_AT, 4);
    uint64_t bytes = 0;
    size_t at = HEADER_BYTES;
    memset(seen, 0, CHUNKS_MAX);
    while (chunk_bytes > 0 && at + BATCH_BYTES <= length) {
        uint64_t count = number(data + at + COUNT_AT, 4);
        const uint8_t *entry = data + at + BATCH_BYTES;
        at += BATCH_BYTES + (size_t)count * ENTRY_BYTES;
        for (uint64_t i = 0; i < count && at <= length; i++, entry += ENTRY_BYTES) {
            uint64_t chunk = number(entry, 8);
            if (chunk >= CHUNKS_MAX || seen[chunk] || chunk * chunk_bytes >= size)
                continue;
            seen[chunk] = 1;
            uint64_t rest = size - chunk * chunk_bytes;
            bytes += rest < chunk_bytes ? rest : chunk_bytes;
        }
    }
    return bytes;
}

static uint64_t journal_names(const char *path, uint8_t *data, uint8_t *seen)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, data, JOURNAL_BYTES_MAX);
    if (fd >= 0)
        close(fd);
    return length < HEADER_BYTES ? 0 : named_bytes(data, (size_t)length, seen);
}

static uint64_t data_bytes(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t bytes = 0;
    off_t hole = 0, data = 0;
    while (fd >= 0 && (data = lseek(fd, hole, SEEK_DATA)) >= 0) {
        hole = lseek(fd, data, SEEK_HOLE);
        bytes += (uint64_t)(hole - data);
    }
    if (fd >= 0)
        close(fd);
    return bytes;
}

/* Before everybody else, where that is allowed. */
static void hurry(void)
{
    const struct sched_param first = {.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_FIFO, &first) != 0)
        (void)setpriority(PRIO_PROCESS, 0, -20);
}

int main(int count, char **arguments)
{
    static uint8_t data[JOURNAL_BYTES_MAX], seen[CHUNKS_MAX];
    bool of_data = count > 1 && strcmp(arguments[1], "--data") == 0;
    arguments += of_data;
    count -= of_data;
    if (count < 4 || count > 5) {
        fputs("usage: journalled [--data] PATH BYTES PID [SIGNAL]\n", stderr);
        return 2;
    }
    const char *path = arguments[1];
    uint64_t wanted = strtoull(arguments[2], NULL, 10);
    pid_t process = (pid_t)atoi(arguments[3]);
    int number = count == 5 ? atoi(arguments[4]) : 0;
    /* A pidfd tells of the end also where nobody has waited for the process yet. */
    int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    hurry();
    while (pidfd >= 0 && poll(&ended, 1, 1) == 0) {
        uint64_t bytes = of_data ? data_bytes(path) : journal_names(path, data, seen);
        if (bytes >= wanted)
            return kill(process, number) == 0 ? 0 : 1;
    }
    return 1;
}
