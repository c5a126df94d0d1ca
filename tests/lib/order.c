/*
 * order: the smallest program that journals what it has made durable, to try the power-cut rig on.
 *
 *   order write DIR CHUNKS direct|buffered MARK   write DIR/data, journal each chunk in DIR/journal
 *   order check DIR                               does the data hold every chunk that the journal
 * names?
 *
 * The order is haul's: data, fdatasync(data), journal record, fdatasync(journal), with the folder
 * synced after both files were created. After each record it writes "acknowledged COUNT" to MARK,
 * the rig's mark file: from then on the record may not be lost. The wrong order is this program
 * under nosync(1). `check` prints the records it found, exits 1 when a chunk differs, and takes a
 * missing file as an empty one: a cut may come before either file exists.
 *
 * The journal's kind decides whether a missing sync of *direct* writes can be seen. Such data is
 * on the disk when the write returns; what a cut takes away is the note that its extents are
 * written. A growing journal changes its own size, so that syncing it commits the file system's
 * log, and on ext4 and xfs with it that note (btrfs logs the one file only). A journal of fixed
 * size, written in place, commits nothing but itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024, CHUNK_WORDS = CHUNK_BYTES / 8, CHUNKS_MAX = 1 << 20 };

struct record {
    uint64_t chunk;
    uint64_t check; /* Of the chunk's number, seeded: a record of zeros is not valid. */
};

static void must(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "order: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static uint64_t record_check(uint64_t chunk)
{
    return mix(chunk + UINT64_C(0x6861756c));
}

static void chunk_fill(uint64_t *words, uint64_t chunk)
{
    for (uint64_t i = 0; i < CHUNK_WORDS; i++)
        words[i] = mix(chunk * CHUNK_WORDS + i + 1);
}

static uint64_t *chunk_buffer(void)
{
    uint64_t *words = aligned_alloc(4096, CHUNK_BYTES);
    must(words != NULL, "memory");
    return words;
}

static void acknowledge(int mark_fd, uint64_t records)
{
    char line[64];
    int length = snprintf(line, sizeof(line), "acknowledged %" PRIu64, records);
    must(write(mark_fd, line, (size_t)length) == length, "mark");
}

static void chunk_write(int data_fd, int journal_fd, const uint64_t *words, uint64_t chunk)
{
    struct record record = {.chunk = chunk, .check = record_check(chunk)};
    must(pwrite(data_fd, words, CHUNK_BYTES, (off_t)(chunk * CHUNK_BYTES)) == CHUNK_BYTES, "data");
    must(fdatasync(data_fd) == 0, "sync of the data");
    off_t place = (off_t)(chunk * sizeof(record));
    must(pwrite(journal_fd, &record, sizeof(record), place) == sizeof(record), "journal");
    must(fdatasync(journal_fd) == 0, "sync of the journal");
}

/* A journal of fixed size is full of zeros on the disk before the first record. */
static int journal_open(uint64_t chunks, bool fixed)
{
    int journal_fd = open("journal", O_WRONLY | O_CREAT | O_EXCL, 0600);
    must(journal_fd >= 0, "journal");
    struct record empty = {0};
    for (uint64_t i = 0; fixed && i < chunks; i++)
        must(write(journal_fd, &empty, sizeof(empty)) == sizeof(empty), "journal");
    must(fsync(journal_fd) == 0, "sync of the journal");
    return journal_fd;
}

static int write_all(uint64_t chunks, bool direct, bool fixed, int mark_fd)
{
    int data_fd = open("data", O_WRONLY | O_CREAT | O_EXCL | (direct ? O_DIRECT : 0), 0600);
    must(data_fd >= 0, "data");
    must(fallocate(data_fd, 0, 0, (off_t)(chunks * CHUNK_BYTES)) == 0, "preallocation");
    int journal_fd = journal_open(chunks, fixed);
    int folder_fd = open(".", O_RDONLY | O_DIRECTORY);
    must(folder_fd >= 0 && fsync(folder_fd) == 0, "sync of the folder");
    uint64_t *words = chunk_buffer();
    for (uint64_t chunk = 0; chunk < chunks; chunk++) {
        chunk_fill(words, chunk);
        chunk_write(data_fd, journal_fd, words, chunk);
        acknowledge(mark_fd, chunk + 1);
    }
    return 0;
}

static bool chunk_held(int data_fd, uint64_t chunk, uint64_t *wanted, uint64_t *found)
{
    chunk_fill(wanted, chunk);
    return pread(data_fd, found, CHUNK_BYTES, (off_t)(chunk * CHUNK_BYTES)) == CHUNK_BYTES &&
           memcmp(wanted, found, CHUNK_BYTES) == 0;
}

static int check_all(void)
{
    int data_fd = open("data", O_RDONLY);
    FILE *journal = fopen("journal", "rb");
    uint64_t *wanted = chunk_buffer();
    uint64_t *found = chunk_buffer();
    struct record record;
    uint64_t records = 0;
    uint64_t wrong = 0;
    while (journal != NULL && fread(&record, sizeof(record), 1, journal) == 1) {
        if (record.chunk >= CHUNKS_MAX || record.check != record_check(record.chunk))
            break;
        records++;
        if (chunk_held(data_fd, record.chunk, wanted, found))
            continue;
        wrong++;
        fprintf(stderr, "order: chunk %" PRIu64 " is in the journal and not in the data\n",
                record.chunk);
    }
    printf("%" PRIu64 "\n", records);
    return wrong == 0 ? 0 : 1;
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "check") == 0) {
        must(chdir(arguments[2]) == 0, arguments[2]);
        return check_all();
    }
    if (count == 7 && strcmp(arguments[1], "write") == 0) {
        int mark_fd = open(arguments[6], O_WRONLY);
        must(mark_fd >= 0, arguments[6]);
        must(chdir(arguments[2]) == 0, arguments[2]);
        uint64_t chunks = strtoull(arguments[3], NULL, 10);
        return write_all(chunks < CHUNKS_MAX ? chunks : CHUNKS_MAX,
                         strcmp(arguments[4], "direct") == 0, strcmp(arguments[5], "fixed") == 0,
                         mark_fd);
    }
    fputs("usage: order write DIR CHUNKS direct|buffered growing|fixed MARK | order check DIR\n",
          stderr);
    return 2;
}
