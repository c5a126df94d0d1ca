/*
 * replay: rebuilds the disk that a power cut would have left, from a block log (blocklog.h).
 *
 *   replay list LOG                              one line a record: number, kind, offset, length or
 * name replay record LOG MARK                       the number of the first record after the mark
 * MARK replay points LOG FROM TO COUNT SEED         COUNT seeded cuts: "RECORD MODE SEED" a line
 *   replay points LOG FROM TO flushes SEED       a cut right before and right after every flush
 *   replay last LOG RECORD PREFIX                 the rest of the last mark before RECORD that
 *                                                 begins with PREFIX; nothing: there is none
 *   replay build LOG RECORD MODE SEED IMAGE [KEEP_OFFSET]
 *
 * A cut at RECORD, a number or `end`: the records before it happened. What the last flush among
 * them promised is on the disk. Of the writes since then MODE keeps `none`, a random `half` or
 * `all`. With `+torn` the write that was under way, the last one before the cut, keeps a random
 * half of its 512-byte sectors. A write to KEEP_OFFSET is never torn: the btrfs superblock is one
 * 4096-byte write that btrfs itself takes to be atomic, so tearing it only shows that such a disk
 * cannot be mounted.
 *
 * Everything is a function of the log and SEED, so a failing cut can be built again.
 */
#include "blocklog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
    struct blocklog_record record;
    off_t payload_offset;
};

struct log {
    FILE *file;
    uint64_t disk_bytes;
    struct entry *entries;
    uint64_t count;
};

struct cut {
    uint64_t record;
    uint64_t random_state;
    uint64_t untorn_offset_bytes; /* UINT64_MAX: every write may be torn. */
    unsigned int keep_of_two;     /* Of two unflushed writes, how many survive: 0, 1 or 2. */
    bool torn;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("replay: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-')
        die("%s: not a number", text);
    return value;
}

/* splitmix64: small, seeded, the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static bool is_write(const struct entry *entry)
{
    return entry->record.kind == BLOCKLOG_WRITE || entry->record.kind == BLOCKLOG_ZERO;
}

static void log_check(const struct log *log, const struct blocklog_record *record)
{
    if (record->magic != BLOCKLOG_RECORD_MAGIC)
        die("record %" PRIu64 ": not a record", log->count);
    bool fits = record->offset_bytes <= log->disk_bytes &&
                record->length_bytes <= log->disk_bytes - record->offset_bytes &&
                record->length_bytes <= BLOCKLOG_WRITE_BYTES_MAX;
    if (record->kind < BLOCKLOG_WRITE || record->kind > BLOCKLOG_MARK || !fits)
        die("record %" PRIu64 ": kind %" PRIu32 ", %" PRIu64 " bytes at %" PRIu64, log->count,
            record->kind, record->length_bytes, record->offset_bytes);
}

/* Reads the index of records; payloads stay in the file. */
static struct log log_open(const char *path)
{
    struct log log = {.file = fopen(path, "rbe")};
    struct blocklog_header header;
    if (log.file != NULL)
        setvbuf(log.file, NULL, _IONBF,
                0); /* from one record to the next, and not what is between */
    if (log.file == NULL || fread(&header, sizeof(header), 1, log.file) != 1 ||
        header.magic != BLOCKLOG_MAGIC)
        die("%s: not a block log", path);
    log.disk_bytes = header.disk_bytes;
    struct blocklog_record record;
    uint64_t room = 0;
    while (fread(&record, sizeof(record), 1, log.file) == 1) {
        log_check(&log, &record);
        if (log.count == room) {
            room = room == 0 ? 4096 : room * 2;
            log.entries = reallocarray(log.entries, (size_t)room, sizeof(*log.entries));
            if (log.entries == NULL)
                die("out of memory");
        }
        log.entries[log.count++] =
            (struct entry){.record = record, .payload_offset = ftello(log.file)};
        bool payload = record.kind == BLOCKLOG_WRITE || record.kind == BLOCKLOG_MARK;
        if (payload && fseeko(log.file, (off_t)record.length_bytes, SEEK_CUR) != 0)
            die("%s: %s", path, strerror(errno));
    }
    return log;
}

static void payload_read(const struct log *log, const struct entry *entry, char *data)
{
    size_t length_bytes = (size_t)entry->record.length_bytes;
    if (pread(fileno(log->file), data, length_bytes, entry->payload_offset) !=
        (ssize_t)length_bytes)
        die("the log ends inside a record");
}

/* The mark's name without the newline that echo leaves. */
static void mark_name(const struct log *log, const struct entry *entry,
                      char name[static BLOCKLOG_MARK_BYTES_MAX + 1])
{
    if (entry->record.length_bytes > BLOCKLOG_MARK_BYTES_MAX)
        die("a mark of %" PRIu64 " bytes", entry->record.length_bytes);
    payload_read(log, entry, name);
    name[entry->record.length_bytes] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

static void list(const struct log *log)
{
    const char *kinds[] = {"", "write", "zero", "flush", "mark"};
    char name[BLOCKLOG_MARK_BYTES_MAX + 1];
    for (uint64_t i = 0; i < log->count; i++) {
        const struct entry *entry = &log->entries[i];
        printf("%" PRIu64 " %s", i, kinds[entry->record.kind]);
        if (is_write(entry))
            printf(" %" PRIu64 " %" PRIu64, entry->record.offset_bytes, entry->record.length_bytes);
        if (entry->record.kind == BLOCKLOG_MARK) {
            mark_name(log, entry, name);
            printf(" %s", name);
        }
        putchar('\n');
    }
}

static uint64_t mark_find(const struct log *log, const char *wanted)
{
    char name[BLOCKLOG_MARK_BYTES_MAX + 1];
    for (uint64_t i = 0; i < log->count; i++) {
        if (log->entries[i].record.kind != BLOCKLOG_MARK)
            continue;
        mark_name(log, &log->entries[i], name);
        if (strcmp(name, wanted) == 0)
            return i + 1;
    }
    die("no mark named %s", wanted);
}

static void last_mark(const struct log *log, uint64_t end, const char *prefix)
{
    char name[BLOCKLOG_MARK_BYTES_MAX + 1];
    for (uint64_t i = end < log->count ? end : log->count; i > 0; i--) {
        if (log->entries[i - 1].record.kind != BLOCKLOG_MARK)
            continue;
        mark_name(log, &log->entries[i - 1], name);
        if (strncmp(name, prefix, strlen(prefix)) == 0) {
            puts(name + strlen(prefix));
            return;
        }
    }
}

static const char *mode_random(uint64_t *random_state)
{
    const char *modes[] = {"none",      "half", "all",      "half",
                           "none+torn", "half", "all+torn", "half+torn"};
    return modes[random_next(random_state) % 8];
}

static void point_print(uint64_t record, uint64_t *random_state)
{
    const char *mode = mode_random(random_state);
    printf("%" PRIu64 " %s %" PRIu64 "\n", record, mode, random_next(random_state) >> 32);
}

/*
 * Half of the sampled cuts are right before a flush: that is where most is at stake, and between
 * two flushes there may be hundreds of data writes and two records of interest.
 */
static void points_sample(const struct log *log, uint64_t from, uint64_t to, uint64_t count,
                          uint64_t random_state)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t record = from + random_next(&random_state) % (to - from + 1);
        if (i % 2 == 0)
            while (record < to && log->entries[record].record.kind != BLOCKLOG_FLUSH)
                record++;
        point_print(record, &random_state);
    }
}

static void points_flushes(const struct log *log, uint64_t from, uint64_t to, uint64_t random_state)
{
    for (uint64_t i = from; i < to; i++) {
        if (log->entries[i].record.kind != BLOCKLOG_FLUSH)
            continue;
        point_print(i, &random_state);
        printf("%" PRIu64 " none 0\n", i + 1);
    }
}

/* The record after the last flush before `record`; records before it are promised. */
static uint64_t promised_end(const struct log *log, uint64_t record)
{
    while (record > 0 && log->entries[record - 1].record.kind != BLOCKLOG_FLUSH)
        record--;
    return record;
}

static void image_write(int image_fd, const char *data, size_t length_bytes, uint64_t offset)
{
    if (pwrite(image_fd, data, length_bytes, (off_t)offset) != (ssize_t)length_bytes)
        die("image: %s", strerror(errno));
}

/* Zeros become a hole where possible: the image stays small and quick to make. */
static void image_zero(int image_fd, uint64_t length_bytes, uint64_t offset)
{
    if (fallocate(image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)length_bytes) == 0)
        return;
    static const char zeros[BLOCKLOG_SECTOR_BYTES];
    for (uint64_t done = 0; done < length_bytes; done += sizeof(zeros)) {
        uint64_t rest = length_bytes - done;
        image_write(image_fd, zeros, rest < sizeof(zeros) ? (size_t)rest : sizeof(zeros),
                    offset + done);
    }
}

/* Applies one write; torn, only those of its sectors that the coin keeps. */
static void entry_apply(const struct log *log, const struct entry *entry, int image_fd,
                        uint64_t *tear_state)
{
    static char data[BLOCKLOG_WRITE_BYTES_MAX];
    uint64_t length_bytes = entry->record.length_bytes;
    uint64_t offset = entry->record.offset_bytes;
    if (tear_state == NULL && entry->record.kind == BLOCKLOG_ZERO) {
        image_zero(image_fd, length_bytes, offset);
        return;
    }
    if (entry->record.kind == BLOCKLOG_ZERO)
        memset(data, 0, (size_t)length_bytes);
    else
        payload_read(log, entry, data);
    if (tear_state == NULL) {
        image_write(image_fd, data, (size_t)length_bytes, offset);
        return;
    }
    for (uint64_t done = 0; done < length_bytes; done += BLOCKLOG_SECTOR_BYTES)
        if (random_next(tear_state) % 2 == 0)
            image_write(image_fd, data + done, BLOCKLOG_SECTOR_BYTES, offset + done);
}

/* The write that was under way at the cut, or UINT64_MAX when the last flush promised them all. */
static uint64_t torn_record(const struct log *log, const struct cut *cut, uint64_t promised)
{
    if (!cut->torn)
        return UINT64_MAX;
    for (uint64_t i = cut->record; i > promised; i--) {
        const struct entry *entry = &log->entries[i - 1];
        if (!is_write(entry))
            continue;
        bool whole = entry->record.offset_bytes == cut->untorn_offset_bytes ||
                     entry->record.length_bytes % BLOCKLOG_SECTOR_BYTES != 0;
        return whole ? UINT64_MAX : i - 1;
    }
    return UINT64_MAX;
}

/*
 * Zeros, and so big. What an image of the same size has of memory it keeps, with zeros in it: new
 * pages are what takes the time.
 */
static int image_empty(const struct log *log, const char *image)
{
    static const char zeros[1 << 16];
    int image_fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t end = image_fd < 0 ? -1 : lseek(image_fd, 0, SEEK_END);
    bool emptied = end >= 0 && ((uint64_t)end == log->disk_bytes || ftruncate(image_fd, 0) == 0) &&
                   ftruncate(image_fd, (off_t)log->disk_bytes) == 0;
    for (off_t at = 0; emptied && (at = lseek(image_fd, at, SEEK_DATA)) >= 0;) {
        off_t hole = lseek(image_fd, at, SEEK_HOLE);
        for (; at < hole; at += (off_t)sizeof(zeros)) {
            off_t rest = hole - at;
            image_write(image_fd, zeros, rest < (off_t)sizeof(zeros) ? (size_t)rest : sizeof(zeros),
                        (uint64_t)at);
        }
        at = hole;
    }
    if (!emptied || errno != ENXIO)
        die("%s: %s", image, strerror(errno));
    return image_fd;
}

static void build(const struct log *log, struct cut *cut, const char *image)
{
    if (cut->record > log->count)
        die("the log has %" PRIu64 " records", log->count);
    int image_fd = image_empty(log, image);
    uint64_t promised = promised_end(log, cut->record);
    uint64_t torn = torn_record(log, cut, promised);
    for (uint64_t i = 0; i < cut->record; i++) {
        const struct entry *entry = &log->entries[i];
        if (!is_write(entry))
            continue;
        bool kept = i < promised || random_next(&cut->random_state) % 2 < cut->keep_of_two;
        if (i == torn)
            entry_apply(log, entry, image_fd, &cut->random_state);
        else if (cut->keep_of_two == 2 || kept)
            entry_apply(log, entry, image_fd, NULL);
    }
    if (close(image_fd) != 0)
        die("%s: %s", image, strerror(errno));
}

static struct cut cut_parse(const struct log *log, char **arguments, bool untorn)
{
    struct cut cut = {.record =
                          strcmp(arguments[0], "end") == 0 ? log->count : number(arguments[0]),
                      .random_state = number(arguments[2]),
                      .untorn_offset_bytes = untorn ? number(arguments[4]) : UINT64_MAX};
    char *mode = arguments[1];
    char *plus = strchr(mode, '+');
    if (plus != NULL && strcmp(plus, "+torn") != 0)
        die("%s: modes are none, half, all, each alone or with +torn", mode);
    cut.torn = plus != NULL;
    size_t length = strcspn(mode, "+");
    const char *modes[] = {"none", "half", "all"};
    for (cut.keep_of_two = 0; cut.keep_of_two < 3; cut.keep_of_two++)
        if (strlen(modes[cut.keep_of_two]) == length &&
            strncmp(mode, modes[cut.keep_of_two], length) == 0)
            return cut;
    die("%s: modes are none, half, all, each alone or with +torn", mode);
}

static void points(const struct log *log, char **arguments)
{
    uint64_t from = number(arguments[0]);
    uint64_t to = number(arguments[1]);
    if (from > to || to > log->count)
        die("the log has %" PRIu64 " records", log->count);
    if (strcmp(arguments[2], "flushes") == 0)
        points_flushes(log, from, to, number(arguments[3]));
    else
        points_sample(log, from, to, number(arguments[2]), number(arguments[3]));
}

int main(int count, char **arguments)
{
    const char *verb = count > 2 ? arguments[1] : "";
    if (strcmp(verb, "list") == 0 && count == 3) {
        struct log log = log_open(arguments[2]);
        list(&log);
    } else if (strcmp(verb, "record") == 0 && count == 4) {
        struct log log = log_open(arguments[2]);
        printf("%" PRIu64 "\n", mark_find(&log, arguments[3]));
    } else if (strcmp(verb, "last") == 0 && count == 5) {
        struct log log = log_open(arguments[2]);
        last_mark(&log, number(arguments[3]), arguments[4]);
    } else if (strcmp(verb, "points") == 0 && count == 7) {
        struct log log = log_open(arguments[2]);
        points(&log, arguments + 3);
    } else if (strcmp(verb, "build") == 0 && (count == 7 || count == 8)) {
        struct log log = log_open(arguments[2]);
        struct cut cut = cut_parse(&log, arguments + 3, count == 8);
        build(&log, &cut, arguments[6]);
    } else {
        fputs("usage: replay list LOG | record LOG MARK | last LOG RECORD PREFIX |\n"
              "       points LOG FROM TO COUNT|flushes SEED |\n"
              "       build LOG RECORD MODE SEED IMAGE [KEEP_OFFSET]\n",
              stderr);
        return 2;
    }
    return 0;
}
