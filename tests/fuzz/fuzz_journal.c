/* fuzz_journal.c - any bytes as a journal: read to the end, gone on with, read again.
 *
 * Mutations hardly ever keep a checksum right, so each input is also tried with its checksums put
 * right, to reach what stands behind them. What must hold, whatever the bytes: */
#include "haul/base/hash.h"
#include "haul/base/num.h"
#include "haul/disk/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { INPUT_BYTES_MAX = 1 << 20, STEP = 100, BATCHES_MAX = 4096 };

/* One folder for the whole run, in memory where possible; the file is made anew for each input. */
struct scratch {
    char path[64];
    int fd;
};

static struct scratch scratch = {.fd = -1};

static void scratch_remove(void)
{
    unlinkat(scratch.fd, "j", 0);
    rmdir(scratch.path);
}

static void scratch_open(void)
{
    if (scratch.fd >= 0)
        return;
    strcpy(scratch.path, "/dev/shm/haul-fuzz.XXXXXX");
    if (!mkdtemp(scratch.path)) {
        strcpy(scratch.path, "/tmp/haul-fuzz.XXXXXX");
        if (!mkdtemp(scratch.path))
            abort();
    }
    scratch.fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    atexit(scratch_remove);
}

static void store(const uint8_t *data, size_t length)
{
    int fd = openat(scratch.fd, "j", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, length) != (ssize_t)length)
        abort();
    close(fd);
}

/* What a reading gave: everything that must be the same the next time. */
struct reading {
    uint64_t entries_count;
    uint64_t good_bytes;
    struct digest digest; /* of the entries in order */
    bool damaged;
};

static struct reading read_all(struct journal_reader *reader, const struct journal_header *header)
{
    struct journal_entry entries[STEP];
    struct reading reading = {0};
    struct digest_fold *fold = digest_fold_open();
    uint64_t chunks = div_ceil(header->size_bytes, header->chunk_bytes);
    int count;
    while ((count = journal_reader_next(reader, entries, STEP, NULL)) > 0) {
        assert(count <= STEP);
        reading.entries_count += (uint64_t)count;
        for (int i = 0; i < count; i++) {
            struct digest number = digest_of(&entries[i].chunk, sizeof(entries[i].chunk));
            assert(entries[i].chunk < chunks);
            digest_fold_add(fold, &number);
            digest_fold_add(fold, &entries[i].digest);
        }
        assert(journal_reader_good_bytes(reader) >= reading.good_bytes);
        reading.good_bytes = journal_reader_good_bytes(reader);
    }
    assert(count == 0);
    reading.good_bytes = journal_reader_good_bytes(reader);
    reading.damaged = journal_reader_damaged(reader);
    reading.digest = digest_fold_value(fold);
    digest_fold_close(fold);
    return reading;
}

/* false: the header was refused, with words. */
static bool read_file(struct journal_header *header, struct reading *reading, size_t length)
{
    struct journal_reader *reader = NULL;
    struct error err = {0};
    int rc = journal_reader_open(&reader, scratch.fd, "j", header, &err);
    if (rc < 0) {
        assert(rc == -EBADMSG && err.class == ERROR_FILE && !reader);
        return false;
    }
    assert(length >= JOURNAL_HEADER_BYTES && is_power_of_two(header->chunk_bytes));
    assert(header->session != 0 && header->size_bytes <= NUM_OFFSET_MAX);
    *reading = read_all(reader, header);
    assert(reading->good_bytes >= JOURNAL_HEADER_BYTES && reading->good_bytes <= length);
    assert(reading->damaged == (reading->good_bytes < length));
    journal_reader_rewind(reader);
    struct reading again = read_all(reader, header);
    assert(again.entries_count == reading->entries_count && again.damaged == reading->damaged &&
           again.good_bytes == reading->good_bytes &&
           digest_equal(&again.digest, &reading->digest));
    journal_reader_close(reader);
    return true;
}

/* One more chunk behind the good part: what was good stays, what was bad is gone. */
static void go_on(const struct journal_header *header, const struct reading *before)
{
    struct journal *journal = NULL;
    struct request datasync = {.kind = REQUEST_DATASYNC, .fd = -1};
    struct digest digest = digest_of("", 0);
    struct journal_header header_after;
    struct reading after;
    const void *data;
    if (journal_open(&journal, header, NULL) != 0 ||
        journal_continue(journal, scratch.fd, "j", before->good_bytes, NULL) != 0)
        abort();
    uint32_t added = header->size_bytes > 0 && journal_note(journal, 0, &digest) == 0;
    uint32_t sealed = journal_seal(journal);
    struct journal_proof proof = journal_prove(journal, &datasync);
    uint32_t length = journal_batch(journal, proof, &data);
    assert(sealed == added && write(journal_fd(journal), data, length) == (ssize_t)length);
    assert(journal_recorded(journal, proof, 0) == added);
    journal_close(journal);
    bool good = read_file(&header_after, &after, (size_t)before->good_bytes + length);
    assert(good && !after.damaged && after.entries_count == before->entries_count + added);
    (void)good;
}

static void try(const uint8_t *data, size_t length)
{
    struct journal_header header;
    struct reading reading;
    store(data, length);
    if (read_file(&header, &reading, length))
        go_on(&header, &reading);
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void put(uint8_t *at, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Checksums of the header and of what may be batches: haul-journal(5). */
static void put_right(uint8_t *data, size_t length)
{
    if (length < 128)
        return;
    put(data + 120, checksum_of(data, 120, 0x6861756c2d686472));
    uint64_t session = get(data + 16, 8);
    size_t at = 128;
    for (int i = 0; i < BATCHES_MAX && length - at >= 32; i++) {
        uint64_t bytes = 32 + 24 * get(data + at + 12, 4);
        if (bytes > length - at)
            return;
        put(data + at, checksum_of(data + at + 8, (size_t)bytes - 8, session ^ 0x6861756c2d626174));
        at += (size_t)bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    scratch_open();
    if (length > INPUT_BYTES_MAX)
        return 0;
    try(data, length);
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy)
        abort();
    memcpy(copy, data, length);
    put_right(copy, length);
    try(copy, length);
    free(copy);
    return 0;
}
