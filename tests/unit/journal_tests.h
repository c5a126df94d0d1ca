/* journal_tests.h - journals of a target in a folder of its own: what their tests share. */
#ifndef HAUL_TESTS_JOURNAL_TESTS_H
#define HAUL_TESTS_JOURNAL_TESTS_H

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNKS = 20000, ENTRIES_MAX = 64 * 1024, FILE_MAX = 4 * 1024 * 1024 };

static const char NAME[] = ".disk.img.haul";

/* A folder for each test, and what a test reads back. */
struct place {
    char path[64];
    int fd;
    struct journal_entry *entries;
    uint32_t count;
    uint8_t *file;
    size_t file_bytes;
};

static inline int place_open(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    strcpy(place->path, "/tmp/haul-journal.XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->entries = calloc(ENTRIES_MAX, sizeof(*place->entries));
    place->file = calloc(FILE_MAX, 1);
    assert_true(place->fd >= 0 && place->entries && place->file);
    *state = place;
    return 0;
}

static inline int place_close(void **state)
{
    struct place *place = *state;
    static const char *const names[] = {NAME, "other", "link", "folder"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (unlinkat(place->fd, names[i], 0) != 0)
            unlinkat(place->fd, names[i], AT_REMOVEDIR);
    close(place->fd);
    assert_int_equal(rmdir(place->path), 0);
    free(place->entries);
    free(place->file);
    free(place);
    return 0;
}

static const struct journal_header header_usual = {
    .session = 0x1122334455667788,
    .chunk_bytes = 1 << 20,
    .size_bytes = CHUNKS * MIB - 5,
    .compare = true,
    .source = {.inode = 12, .size_bytes = CHUNKS * MIB - 5, .mtime_seconds = -3, .mtime_ns = 999},
    .target = {.inode = UINT64_MAX, .size_bytes = CHUNKS * MIB - 5},
    .source_seal = UINT64_C(0x8000000000000001),
    .target_identity = 23,
};

static inline struct digest digest_for(uint64_t chunk)
{
    return digest_of(&chunk, sizeof(chunk));
}

static inline void note(struct journal *journal, uint64_t chunk)
{
    struct digest digest = digest_for(chunk);
    assert_int_equal(journal_note(journal, chunk, &digest), 0);
}

static inline void note_range(struct journal *journal, uint64_t first, uint64_t count)
{
    for (uint64_t chunk = first; chunk < first + count; chunk++)
        note(journal, chunk);
}

/* A data sync as an engine gives it back. */
static inline struct request datasync(int result)
{
    return (struct request){.kind = REQUEST_DATASYNC, .fd = 999, .result = result};
}

static inline struct journal_proof prove(struct journal *journal, int result)
{
    struct request request = datasync(result);
    return journal_prove(journal, &request);
}

/* Everything that is noted, durable. */
static inline uint32_t checkpoint(struct journal *journal)
{
    const void *data;
    uint32_t sealed = journal_seal(journal);
    struct journal_proof proof = prove(journal, 0);
    uint32_t length = journal_batch(journal, proof, &data);
    assert_int_equal(length == 0, sealed == 0);
    if (length > 0) {
        assert_int_equal(write(journal_fd(journal), data, length), length);
        assert_int_equal(fdatasync(journal_fd(journal)), 0);
    }
    assert_int_equal(journal_recorded(journal, proof, 0), sealed);
    return sealed;
}

static inline struct journal *create(const struct place *place, const struct journal_header *header)
{
    struct journal *journal = NULL;
    struct error err = {0};
    assert_int_equal(journal_open(&journal, header, &err), 0);
    assert_int_equal(journal_fd(journal), -1);
    if (journal_create(journal, place->fd, NAME, &err) != 0)
        fail_msg("%s", err.text);
    return journal;
}

/* A journal of `batches` batches of 1, 2, 3... entries, chunks from 100 on. */
static inline void create_small(const struct place *place, uint32_t batches)
{
    struct journal *journal = create(place, &header_usual);
    uint64_t chunk = 100;
    for (uint32_t i = 1; i <= batches; i++) {
        note_range(journal, chunk, i);
        chunk += i;
        assert_int_equal(checkpoint(journal), i);
    }
    journal_close(journal);
}

static inline void load_file(struct place *place)
{
    AUTO_CLOSE int fd = openat(place->fd, NAME, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, place->file, FILE_MAX);
    assert_true(got >= 0);
    place->file_bytes = (size_t)got;
}

static inline void store_file(const struct place *place, const void *data, size_t length)
{
    AUTO_CLOSE int fd = openat(place->fd, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
}

/* What the reader says of the file: 0 or -errno of open; entries, damaged, good bytes. */
struct replay {
    struct journal_header header;
    bool damaged;
    uint64_t good_bytes;
};

static inline uint32_t read_entries(struct journal_reader *reader, struct journal_entry *entries,
                                    uint32_t step)
{
    uint32_t count = 0;
    for (;;) {
        assert_true(count + step <= ENTRIES_MAX);
        int got = journal_reader_next(reader, entries + count, step, NULL);
        assert_true(got >= 0 && (uint32_t)got <= step);
        if (got == 0)
            return count;
        count += (uint32_t)got;
    }
}

static inline int replay_steps(struct place *place, struct replay *replay, uint32_t step)
{
    struct journal_reader *reader = NULL;
    struct error err = {0};
    place->count = 0;
    int rc = journal_reader_open(&reader, place->fd, NAME, &replay->header, &err);
    if (rc < 0) {
        assert_int_equal(rc, -EBADMSG);
        assert_int_equal(err.class, ERROR_FILE);
        assert_non_null(strstr(err.text, NAME));
        return rc;
    }
    assert_false(error_is_set(&err));
    place->count = read_entries(reader, place->entries, step);
    replay->damaged = journal_reader_damaged(reader);
    replay->good_bytes = journal_reader_good_bytes(reader);
    journal_reader_close(reader);
    return 0;
}

static inline int replay_file(struct place *place, struct replay *replay)
{
    return replay_steps(place, replay, 1000);
}

static inline void assert_entries_are(const struct place *place, uint64_t first, uint32_t count)
{
    assert_int_equal(place->count, count);
    for (uint32_t i = 0; i < count; i++) {
        struct digest digest = digest_for(first + i);
        assert_int_equal(place->entries[i].chunk, first + i);
        assert_true(digest_equal(&place->entries[i].digest, &digest));
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, place_open, place_close)

#endif
