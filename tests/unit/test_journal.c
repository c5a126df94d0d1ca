/* test_journal.c - what is put into a journal comes out of it, in the only order there is; and what
 * was never put there does not, whatever happens to the file. */
#include "haul/cleanup.h"
#include "haul/journal.h"
#include "haul/num.h"

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

static int place_open(void **state)
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

static int place_close(void **state)
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

static struct digest digest_for(uint64_t chunk)
{
    return digest_of(&chunk, sizeof(chunk));
}

static void note(struct journal *journal, uint64_t chunk)
{
    struct digest digest = digest_for(chunk);
    assert_int_equal(journal_note(journal, chunk, &digest), 0);
}

static void note_range(struct journal *journal, uint64_t first, uint64_t count)
{
    for (uint64_t chunk = first; chunk < first + count; chunk++)
        note(journal, chunk);
}

/* A data sync as an engine gives it back. */
static struct request datasync(int result)
{
    return (struct request){.kind = REQUEST_DATASYNC, .fd = 999, .result = result};
}

static struct journal_proof prove(struct journal *journal, int result)
{
    struct request request = datasync(result);
    return journal_prove(journal, &request);
}

/* Everything that is noted, durable. */
static uint32_t checkpoint(struct journal *journal)
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

static struct journal *create(const struct place *place, const struct journal_header *header)
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
static void create_small(const struct place *place, uint32_t batches)
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

static void load_file(struct place *place)
{
    AUTO_CLOSE int fd = openat(place->fd, NAME, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, place->file, FILE_MAX);
    assert_true(got >= 0);
    place->file_bytes = (size_t)got;
}

static void store_file(const struct place *place, const void *data, size_t length)
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

static uint32_t read_entries(struct journal_reader *reader, struct journal_entry *entries,
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

static int replay_steps(struct place *place, struct replay *replay, uint32_t step)
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

static int replay_file(struct place *place, struct replay *replay)
{
    return replay_steps(place, replay, 1000);
}

static void assert_entries_are(const struct place *place, uint64_t first, uint32_t count)
{
    assert_int_equal(place->count, count);
    for (uint32_t i = 0; i < count; i++) {
        struct digest digest = digest_for(first + i);
        assert_int_equal(place->entries[i].chunk, first + i);
        assert_true(digest_equal(&place->entries[i].digest, &digest));
    }
}

/* ---- names and identities ---- */

static void name_of_each_length_fits_and_stays_its_own(void **state)
{
    struct place *place = *state;
    char name[256], out[JOURNAL_NAME_BYTES], wanted[JOURNAL_NAME_BYTES + 8];
    for (size_t length = 1; length <= 255; length++) {
        memset(name, 'x', length);
        name[length] = '\0';
        journal_name(out, name);
        assert_true(strlen(out) <= 255);
        snprintf(wanted, sizeof(wanted), ".%s.haul", name);
        if (length <= 249)
            assert_string_equal(out, wanted);
        else
            assert_int_equal(strlen(out), strlen(".haul-") + 16);
        int fd = openat(place->fd, out, O_CREAT | O_EXCL | O_WRONLY, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    for (size_t length = 1; length <= 255; length++) { /* EXCL: they all differed */
        memset(name, 'x', length);
        name[length] = '\0';
        journal_name(out, name);
        assert_int_equal(unlinkat(place->fd, out, 0), 0);
    }
    memset(name, 'a', 255);
    journal_name(out, name);
    assert_string_equal(out, ".haul-a582b761e1e78c49");
}

static void identity_of_a_source_sees_each_change(void **state)
{
    (void)state;
    const struct facts facts = {
        .inode = 5, .size_bytes = 6, .mtime_seconds = 7, .mtime_ns = 8, .device = 9};
    const struct journal_identity base = journal_identity_source(&facts);
    struct facts changed[5] = {facts, facts, facts, facts, facts};
    changed[0].inode++;
    changed[1].size_bytes++;
    changed[2].mtime_seconds++;
    changed[3].mtime_ns++;
    changed[4].device++; /* moves with every mount of a loop device */
    for (size_t i = 0; i < COUNT_OF(changed); i++) {
        struct journal_identity other = journal_identity_source(&changed[i]);
        assert_int_equal(journal_identity_equal(&base, &other), i == 4);
    }
}

static void identity_of_a_target_has_the_final_size_and_no_time(void **state)
{
    (void)state;
    struct facts facts = {.inode = 5, .size_bytes = 6, .mtime_seconds = 7, .mtime_ns = 8};
    struct journal_identity before = journal_identity_target(&facts, 1000);
    facts.mtime_seconds = 70;
    facts.mtime_ns = 80;
    facts.size_bytes = 1000;
    struct journal_identity after = journal_identity_target(&facts, 1000);
    assert_true(journal_identity_equal(&before, &after));
    assert_int_equal(before.size_bytes, 1000);
}

/* ---- round trips ---- */

static void replay_of_several_batches_gives_header_and_entries_back(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 20);
    static const uint32_t steps[] = {1, 2, 7, 20, 8192};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        assert_int_equal(replay_steps(place, &replay, steps[i]), 0);
        assert_entries_are(place, 100, 210);
        assert_false(replay.damaged);
        assert_int_equal(replay.good_bytes, 128 + 20 * 32 + 210 * 24);
        assert_true(replay.header.session == header_usual.session);
        assert_int_equal(replay.header.chunk_bytes, header_usual.chunk_bytes);
        assert_int_equal(replay.header.size_bytes, header_usual.size_bytes);
        assert_true(replay.header.compare);
        assert_false(replay.header.manifest);
        assert_true(journal_identity_equal(&replay.header.source, &header_usual.source));
        assert_true(journal_identity_equal(&replay.header.target, &header_usual.target));
        assert_true(replay.header.source_seal == header_usual.source_seal);
        assert_int_equal(replay.header.target_identity, 23);
    }
}

static void replay_of_a_header_alone_has_no_entries(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal_header header = header_usual;
    header.compare = false;
    header.manifest = true;
    journal_close(create(place, &header));
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 0);
    assert_false(replay.damaged);
    assert_int_equal(replay.good_bytes, JOURNAL_HEADER_BYTES);
    assert_true(replay.header.manifest);
    assert_false(replay.header.compare);
}

static void replay_of_the_largest_batches_gives_all_entries(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal *journal = create(place, &header_usual);
    struct digest digest = digest_for(1);
    note_range(journal, 0, JOURNAL_NOTES_MAX);
    assert_int_equal(journal_note(journal, 0, &digest), -ENOBUFS);
    assert_int_equal(journal_noted(journal), JOURNAL_NOTES_MAX);
    assert_int_equal(checkpoint(journal), JOURNAL_NOTES_MAX);
    assert_int_equal(journal_noted(journal), 0);
    note_range(journal, JOURNAL_NOTES_MAX, JOURNAL_NOTES_MAX);
    assert_int_equal(checkpoint(journal), JOURNAL_NOTES_MAX);
    assert_int_equal(checkpoint(journal), 0);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 2 * JOURNAL_NOTES_MAX);
    assert_int_equal(replay.good_bytes, 128 + 2 * (32 + 8192 * 24));
}

static void replay_of_a_chunk_noted_twice_gives_both_in_order(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct digest first = digest_of("first", 5), second = digest_of("second", 6);
    struct journal *journal = create(place, &header_usual);
    assert_int_equal(journal_note(journal, 9, &first), 0);
    assert_int_equal(checkpoint(journal), 1);
    assert_int_equal(journal_note(journal, 9, &second), 0);
    assert_int_equal(checkpoint(journal), 1);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 2);
    assert_true(digest_equal(&place->entries[0].digest, &first));
    assert_true(digest_equal(&place->entries[1].digest, &second));
}

static void rewind_gives_the_same_again_and_not_what_came_since(void **state)
{
    struct place *place = *state;
    struct journal_header header;
    struct journal_reader *reader = NULL;
    struct journal *journal = create(place, &header_usual);
    note_range(journal, 0, 10);
    assert_int_equal(checkpoint(journal), 10);
    assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, NULL), 0);
    assert_int_equal(journal_reader_next(reader, place->entries, 3, NULL), 3);
    note_range(journal, 10, 10);
    assert_int_equal(checkpoint(journal), 10);
    for (int round = 0; round < 3; round++) {
        journal_reader_rewind(reader);
        place->count = read_entries(reader, place->entries, 4);
        assert_entries_are(place, 0, 10);
        assert_false(journal_reader_damaged(reader));
    }
    journal_reader_close(reader);
    journal_close(journal);
}

/* Real requests: a write with any offset appends, with each engine. */
static void append_and_sync(struct engine *engine, int fd, const void *data, uint32_t length)
{
    struct request request = {.kind = REQUEST_WRITE,
                              .fd = fd,
                              .length = length,
                              .need = length,
                              .block = 1,
                              .buffer = (void *)(uintptr_t)data};
    struct request *done = NULL;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(engine_submit(engine, &request), 0);
        while (engine_reap(engine, &done, 1, true) == 0)
            ;
        assert_ptr_equal(done, &request);
        assert_int_equal(request.result, 0);
        request = (struct request){.kind = REQUEST_DATASYNC, .fd = fd};
    }
}

static void batches_through_each_engine_are_appended(void **state)
{
    struct place *place = *state;
    struct replay replay;
    static const enum engine_kind kinds[] = {ENGINE_AUTO, ENGINE_THREADS, ENGINE_SYNC};
    struct journal *journal = create(place, &header_usual);
    for (uint32_t i = 0; i < COUNT_OF(kinds); i++) {
        const struct engine_config config = {.kind = kinds[i], .depth = 1};
        struct engine *engine = NULL;
        const void *data;
        assert_int_equal(engine_open(&engine, &config, NULL), 0);
        note_range(journal, 100 * i, 100);
        assert_int_equal(journal_seal(journal), 100);
        struct journal_proof proof = prove(journal, 0);
        uint32_t length = journal_batch(journal, proof, &data);
        append_and_sync(engine, journal_fd(journal), data, length);
        assert_int_equal(journal_recorded(journal, proof, 0), 100);
        engine_close(engine);
    }
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 300);
}

/* ---- files ---- */

static void create_makes_a_private_appending_file_and_replaces_an_old_one(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct stat st;
    store_file(place, "rubbish of a former run", 23);
    struct journal *journal = create(place, &header_usual);
    assert_int_equal(fstat(journal_fd(journal), &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(st.st_size, JOURNAL_HEADER_BYTES);
    assert_int_not_equal(fcntl(journal_fd(journal), F_GETFL) & O_APPEND, 0);
    assert_int_not_equal(fcntl(journal_fd(journal), F_GETFD) & FD_CLOEXEC, 0);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(journal_remove(place->fd, NAME, NULL), 0);
    assert_int_equal(journal_remove(place->fd, NAME, NULL), 0);
    assert_int_equal(faccessat(place->fd, NAME, F_OK, 0), -1);
}

static int create_at(int fd_folder, const char *path, struct error *err)
{
    struct journal *journal = NULL;
    assert_int_equal(journal_open(&journal, &header_usual, NULL), 0);
    int rc = journal_create(journal, fd_folder, path, err);
    assert_int_equal(journal_fd(journal) >= 0, rc == 0);
    journal_close(journal);
    return rc;
}

static void create_by_absolute_and_relative_path_works(void **state)
{
    struct place *place = *state;
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s/other", place->path);
    assert_int_equal(create_at(-1, path, NULL), 0);
    assert_int_equal(create_at(-1, path, NULL), 0); /* over a journal of another name */
    assert_int_equal(mkdirat(place->fd, "folder", 0700), 0);
    assert_int_equal(create_at(place->fd, "folder/j", NULL), 0);
    assert_int_equal(fstatat(place->fd, "folder/j", &st, 0), 0);
    assert_int_equal(unlinkat(place->fd, "folder/j", 0), 0);
    assert_int_equal(create_at(place->fd, "nowhere/j", NULL), -ENOENT);
}

static void create_over_what_is_no_journal_leaves_it_alone(void **state)
{
    struct place *place = *state;
    struct error err = {0};
    struct stat st;
    char image[4096] = {0};
    AUTO_CLOSE int fd = openat(place->fd, "other", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, image, sizeof(image)), sizeof(image));
    assert_int_equal(create_at(place->fd, "other", &err), -EEXIST);
    assert_non_null(strstr(err.text, "other: is there and is not a journal"));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_size, sizeof(image));
    assert_int_equal(pwrite(fd, "haulJN", 6, 0), 6); /* a magic with two bytes lost */
    assert_int_equal(create_at(place->fd, "other", NULL), 0);
    AUTO_CLOSE int fd_new = openat(place->fd, "other", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd_new >= 0); /* empty: a run that was killed just after it made the file */
    assert_int_equal(create_at(place->fd, "other", NULL), 0);
    assert_int_equal(symlinkat("/dev/null", place->fd, "link"), 0);
    assert_int_equal(create_at(place->fd, "link", NULL), -EEXIST);
    assert_int_equal(mkdirat(place->fd, "folder", 0700), 0);
    assert_int_equal(create_at(place->fd, "folder", NULL), -EEXIST);
}

static struct journal *opened(const struct journal_header *header)
{
    struct journal *journal = NULL;
    assert_int_equal(journal_open(&journal, header, NULL), 0);
    return journal;
}

static void continue_cuts_the_torn_end_and_appends_behind_the_good_part(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    size_t whole = place->file_bytes;
    for (size_t torn = 0; torn <= 60; torn += 5) {
        memset(place->file + whole, 0x42, torn);
        store_file(place, place->file, whole + torn);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_int_equal(replay.good_bytes, whole);
        assert_int_equal(replay.damaged, torn > 0);
        struct journal *journal = opened(&replay.header);
        assert_int_equal(journal_continue(journal, place->fd, NAME, replay.good_bytes, NULL), 0);
        note_range(journal, 106, 4);
        assert_int_equal(checkpoint(journal), 4);
        journal_close(journal);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_entries_are(place, 100, 10);
        assert_false(replay.damaged);
    }
}

static void continue_with_another_header_or_length_refuses(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    assert_int_equal(replay_file(place, &replay), 0);
    struct journal_header other[6];
    for (size_t i = 0; i < COUNT_OF(other); i++)
        other[i] = replay.header;
    other[0].session++;
    other[1].size_bytes++;
    other[2].chunk_bytes *= 2;
    other[3].compare = false;
    other[4].source.mtime_ns++;
    other[5].target.inode = 1;
    for (size_t i = 0; i < COUNT_OF(other); i++) {
        struct error err = {0};
        struct journal *journal = opened(&other[i]);
        assert_int_equal(journal_continue(journal, place->fd, NAME, 128, &err), -EBADMSG);
        assert_int_equal(journal_join(journal, place->fd, NAME, NULL), -EBADMSG);
        assert_non_null(strstr(err.text, "another copy"));
        assert_int_equal(journal_fd(journal), -1);
        journal_close(journal);
    }
    struct journal *journal = opened(&replay.header);
    assert_int_equal(journal_continue(journal, place->fd, NAME, replay.good_bytes + 1, NULL),
                     -EBADMSG);
    assert_int_equal(journal_continue(journal, place->fd, "other", 128, NULL), -ENOENT);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 100, 6); /* nothing was cut */
}

/* ---- lanes ---- */

enum { LANES = 6, LANE_BATCHES = 40 };

/* One process: whole batches of different lengths, each one write. */
static void lane(const struct place *place, uint32_t number)
{
    struct journal *journal = opened(&header_usual);
    assert_int_equal(journal_join(journal, place->fd, NAME, NULL), 0);
    for (uint32_t i = 0; i < LANE_BATCHES; i++) {
        note_range(journal, number * 1000 + i * 25, 1 + (i * 7 + number) % 25);
        checkpoint(journal);
    }
    journal_close(journal);
}

/* The ring of a killed process keeps its journal's lock, too. */
static void continue_waits_for_a_lock_that_is_about_to_end(void **state)
{
    struct place *place = *state;
    struct journal *dead = create(place, &header_usual);
    pid_t child = fork();
    if (child == 0) { /* has inherited the lock */
        usleep(100 * 1000);
        _exit(0);
    }
    journal_close(dead);
    struct journal *journal = opened(&header_usual);
    assert_int_equal(journal_continue(journal, place->fd, NAME, 128, NULL), 0);
    journal_close(journal);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* The lock on the target ends with the first lane, while the others still write to it. */
static void lanes_keep_another_copy_out_after_the_first_is_gone(void **state)
{
    struct place *place = *state;
    struct error err = {0};
    struct journal *first = create(place, &header_usual), *second = opened(&header_usual);
    assert_int_equal(journal_join(second, place->fd, NAME, NULL), 0);
    journal_close(first);
    assert_int_equal(journal_discard(place->fd, NAME, &err), -EBUSY);
    assert_int_equal(err.class, ERROR_BUSY);
    struct journal *other = opened(&header_usual);
    assert_int_equal(journal_continue(other, place->fd, NAME, 128, NULL), -EBUSY);
    assert_int_equal(create_at(place->fd, NAME, NULL), -EBUSY);
    journal_close(second);
    assert_int_equal(journal_continue(other, place->fd, NAME, 128, NULL), 0);
    second = opened(&header_usual);
    assert_int_equal(journal_join(second, place->fd, NAME, NULL), 0);
    journal_close(other);
    assert_int_equal(journal_discard(place->fd, NAME, NULL), -EBUSY);
    journal_close(second);
    assert_int_equal(journal_discard(place->fd, NAME, NULL), 0);
}

static void lanes_appending_at_once_replay_to_all(void **state)
{
    struct place *place = *state;
    struct replay replay;
    pid_t children[LANES];
    uint32_t expected = 0, next[LANES] = {0};
    journal_close(create(place, &header_usual));
    for (uint32_t i = 0; i < LANES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            lane(place, i);
            _exit(0);
        }
    }
    for (uint32_t i = 0; i < LANES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        for (uint32_t b = 0; b < LANE_BATCHES; b++)
            expected += 1 + (b * 7 + i) % 25;
    }
    assert_int_equal(replay_file(place, &replay), 0);
    assert_false(replay.damaged);
    assert_int_equal(place->count, expected);
    for (uint32_t i = 0; i < place->count; i++) { /* each lane's own order is kept */
        uint64_t chunk = place->entries[i].chunk;
        struct digest digest = digest_for(chunk);
        assert_true(digest_equal(&place->entries[i].digest, &digest));
        assert_true(chunk / 1000 < LANES && chunk % 1000 >= next[chunk / 1000]);
        next[chunk / 1000] = (uint32_t)(chunk % 1000) + 1;
    }
}

/* ---- failed syncs ---- */

static void notes_after_a_failed_datasync_wait_again_in_order(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal *journal = create(place, &header_usual);
    note_range(journal, 0, 5);
    for (uint32_t round = 1; round <= 3; round++) {
        assert_int_equal(journal_seal(journal), round * 5);
        note_range(journal, round * 5, 5); /* while the sync is under way */
        assert_int_equal(prove(journal, -EINTR).seal, 0);
        assert_int_equal(journal_noted(journal), round * 5 + 5);
    }
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 0);
    assert_int_equal(checkpoint(journal), 20);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 20);
}

static void notes_during_a_sync_are_not_of_its_seal(void **state)
{
    struct place *place = *state;
    struct replay replay;
    const void *data;
    struct journal *journal = create(place, &header_usual);
    note_range(journal, 0, 3);
    assert_int_equal(journal_seal(journal), 3);
    note_range(journal, 3, 1);
    struct journal_proof proof = prove(journal, 0);
    note_range(journal, 4, 1);
    uint32_t length = journal_batch(journal, proof, &data);
    assert_int_equal(length, 32 + 3 * 24);
    memcpy(place->file, data, length);
    note_range(journal, 5, 1);
    assert_memory_equal(place->file, data, length); /* the kernel may be reading it */
    assert_int_equal(write(journal_fd(journal), data, length), length);
    assert_int_equal(journal_noted(journal), 6);
    assert_int_equal(journal_recorded(journal, proof, 0), 3);
    assert_int_equal(journal_noted(journal), 3);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 3);
    assert_int_equal(checkpoint(journal), 3);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 6);
}

static void notes_after_a_failed_append_wait_and_are_never_called_durable(void **state)
{
    struct place *place = *state;
    struct replay replay;
    const void *data;
    struct journal *journal = create(place, &header_usual);
    note_range(journal, 0, 3);
    assert_int_equal(checkpoint(journal), 3);
    note_range(journal, 3, 3);
    assert_int_equal(journal_seal(journal), 3);
    struct journal_proof proof = prove(journal, 0);
    assert_int_equal(journal_batch(journal, proof, &data), 32 + 3 * 24);
    assert_int_equal(write(journal_fd(journal), data, 50), 50); /* then the disk was full */
    assert_int_equal(journal_recorded(journal, proof, -ENOSPC), 0);
    assert_int_equal(journal_noted(journal), 3);
    assert_int_equal(checkpoint(journal), 0); /* behind the torn batch nobody would find it */
    assert_int_equal(journal_noted(journal), 3);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 3);
    assert_true(replay.damaged);
}

static void forgotten_notes_are_never_recorded(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal *journal = create(place, &header_usual);
    note_range(journal, 50, 3);
    assert_int_equal(journal_seal(journal), 3);
    assert_int_equal(prove(journal, -EIO).seal, 0);
    journal_forget(journal);
    assert_int_equal(journal_noted(journal), 0);
    note_range(journal, 7, 2);
    assert_int_equal(checkpoint(journal), 2);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 7, 2);
}

/* ---- the order of calls ---- */

static struct journal *victim; /* of the deaths below; each dies in a child of its own */
static struct journal_proof victim_proof;

static void to_sealed(void)
{
    note_range(victim, 0, 2);
    journal_seal(victim);
}

static void to_proved(void)
{
    to_sealed();
    victim_proof = prove(victim, 0);
}

static void to_batched(void)
{
    const void *data;
    to_proved();
    journal_batch(victim, victim_proof, &data);
}

static void batch_with(uint64_t seal)
{
    const void *data;
    journal_batch(victim, (struct journal_proof){.seal = seal}, &data);
}

static void die_note_of_a_chunk_behind_the_end(void)
{
    note(victim, CHUNKS);
}

static void die_seal_twice(void)
{
    to_sealed();
    journal_seal(victim);
}

static void die_seal_while_proved(void)
{
    to_proved();
    journal_seal(victim);
}

static void die_seal_while_batched(void)
{
    to_batched();
    journal_seal(victim);
}

static void die_prove_without_seal(void)
{
    prove(victim, 0);
}

static void die_prove_twice(void)
{
    to_proved();
    prove(victim, 0);
}

static void die_prove_by_a_write(void)
{
    struct request request = {.kind = REQUEST_WRITE, .fd = 999};
    to_sealed();
    journal_prove(victim, &request);
}

static void die_prove_by_a_sync_of_the_journal(void)
{
    struct request request = {.kind = REQUEST_DATASYNC, .fd = journal_fd(victim)};
    to_sealed();
    journal_prove(victim, &request);
}

static void die_batch_without_seal(void)
{
    batch_with(0);
}

static void die_batch_without_prove(void)
{
    to_sealed();
    batch_with(1);
}

static void die_batch_by_an_empty_proof(void)
{
    to_proved();
    batch_with(0);
}

static void die_batch_by_a_failed_sync(void)
{
    to_sealed();
    batch_with(prove(victim, -EIO).seal);
}

static void die_batch_by_an_old_proof(void)
{
    to_batched();
    journal_recorded(victim, victim_proof, 0);
    struct journal_proof old = victim_proof;
    to_proved();
    batch_with(old.seal);
}

static void die_batch_twice(void)
{
    to_batched();
    batch_with(victim_proof.seal);
}

static void die_recorded_without_batch(void)
{
    to_proved();
    journal_recorded(victim, victim_proof, 0);
}

static void die_recorded_twice(void)
{
    to_batched();
    journal_recorded(victim, victim_proof, 0);
    journal_recorded(victim, victim_proof, 0);
}

static void die_recorded_by_another_proof(void)
{
    to_batched();
    journal_recorded(victim, (struct journal_proof){.seal = victim_proof.seal + 1}, 0);
}

static void die_forget_while_sealed(void)
{
    to_sealed();
    journal_forget(victim);
}

static void die_forget_while_batched(void)
{
    to_batched();
    journal_forget(victim);
}

static void die_batch_without_a_file(void)
{
    victim = opened(&header_usual);
    to_batched();
}

static void die_open_without_session(void)
{
    struct journal_header header = header_usual;
    header.session = 0;
    opened(&header);
}

static void die_create_twice(void)
{
    journal_create(victim, AT_FDCWD, "/nonexistent/journal", NULL);
}

static void live_in_order(void)
{
    to_batched();
    journal_recorded(victim, victim_proof, 0);
    to_batched();
    journal_recorded(victim, victim_proof, -EIO);
}

/* How a child that does `deed` ends: the signal, or 0. */
static int end_of(void (*deed)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        int null = open("/dev/null", O_WRONLY);
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        dup2(null, STDERR_FILENO);
        dup2(null, STDOUT_FILENO);
        deed();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void calls_out_of_order_are_refused_by_assert(void **state)
{
    static void (*const deeds[])(void) = {
        die_note_of_a_chunk_behind_the_end,
        die_seal_twice,
        die_seal_while_proved,
        die_seal_while_batched,
        die_prove_without_seal,
        die_prove_twice,
        die_prove_by_a_write,
        die_prove_by_a_sync_of_the_journal,
        die_batch_without_seal,
        die_batch_without_prove,
        die_batch_by_an_empty_proof,
        die_batch_by_a_failed_sync,
        die_batch_by_an_old_proof,
        die_batch_twice,
        die_recorded_without_batch,
        die_recorded_twice,
        die_recorded_by_another_proof,
        die_forget_while_sealed,
        die_forget_while_batched,
        die_batch_without_a_file,
        die_open_without_session,
        die_create_twice,
    };
    victim = create(*state, &header_usual);
    assert_int_equal(end_of(live_in_order), 0);
    for (size_t i = 0; i < COUNT_OF(deeds); i++)
        if (end_of(deeds[i]) != SIGABRT)
            fail_msg("deed %zu of the list was allowed", i);
    journal_close(victim);
}

/* ---- damage ---- */

/* Where each of the three batches of create_small(3) ends, and how many entries there are then. */
static const size_t ends[] = {128, 128 + 56, 128 + 56 + 80, 128 + 56 + 80 + 104};
static const uint32_t ends_entries[] = {0, 1, 3, 6};

static size_t batches_before(size_t bytes)
{
    size_t batches = 0;
    while (batches < 3 && ends[batches + 1] <= bytes)
        batches++;
    return batches;
}

static void replay_of_a_file_torn_at_each_byte_keeps_the_batches_before(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    assert_int_equal(place->file_bytes, ends[3]);
    for (size_t length = 0; length <= ends[3]; length++) {
        store_file(place, place->file, length);
        int rc = replay_file(place, &replay);
        assert_int_equal(rc, length < 128 ? -EBADMSG : 0);
        if (rc < 0)
            continue;
        size_t batches = batches_before(length);
        assert_entries_are(place, 100, ends_entries[batches]);
        assert_int_equal(replay.good_bytes, ends[batches]);
        assert_int_equal(replay.damaged, length != ends[batches]);
    }
}

static void replay_after_one_changed_byte_keeps_only_the_batches_before(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    for (size_t at = 0; at < ends[3]; at++) {
        uint8_t old = place->file[at];
        for (int bit = 0; bit <= 8; bit++) {
            unsigned flips = bit < 8 ? 1u << bit : 0xff;
            place->file[at] = (uint8_t)(old ^ flips);
            store_file(place, place->file, ends[3]);
            int rc = replay_file(place, &replay);
            assert_int_equal(rc, at < 128 ? -EBADMSG : 0);
            if (rc < 0)
                continue;
            assert_entries_are(place, 100, ends_entries[batches_before(at)]);
            assert_int_equal(replay.good_bytes, ends[batches_before(at)]);
            assert_true(replay.damaged);
        }
        place->file[at] = old;
    }
}

static void replay_of_zeros_never_finds_a_batch(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    for (size_t zeros = 1; zeros < 300000; zeros += 1 + zeros / 3) {
        memset(place->file + ends[3], 0, zeros);
        store_file(place, place->file, ends[3] + zeros);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_entries_are(place, 100, 6);
        assert_true(replay.damaged);
        assert_int_equal(replay.good_bytes, ends[3]);
    }
    for (size_t i = 0; i < 3; i++) { /* a batch that never reached the disk, later ones did */
        load_file(place);
        memset(place->file + ends[i], 0, ends[i + 1] - ends[i]);
        store_file(place, place->file, ends[3]);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_entries_are(place, 100, ends_entries[i]);
        create_small(place, 3);
    }
    memset(place->file, 0, 4096);
    store_file(place, place->file, 4096);
    assert_int_equal(replay_file(place, &replay), -EBADMSG);
}

/* Little-endian, as haul-journal(5) says; on purpose not the code under test. */
static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Give a batch at `at` of the file the checksum that belongs to it. */
static void seal_batch(uint8_t *at, size_t length, uint64_t session)
{
    put(at, checksum_of(at + 8, length - 8, session ^ 0x6861756c2d626174), 8);
}

static void seal_header(uint8_t *at)
{
    put(at + 120, checksum_of(at, 120, 0x6861756c2d686472), 8);
}

static void replay_of_batches_of_another_session_stops_there(void **state)
{
    struct place *place = *state;
    struct replay replay;
    uint8_t foreign[56];
    struct journal_header header = header_usual;
    header.session++;
    struct journal *journal = create(place, &header);
    note(journal, 100);
    assert_int_equal(checkpoint(journal), 1);
    journal_close(journal);
    load_file(place);
    memcpy(foreign, place->file + 128, sizeof(foreign));
    for (int claim = 0; claim < 2; claim++) { /* 1: it says that it is of this session */
        if (claim)
            put(foreign + 16, header_usual.session, 8);
        create_small(place, 3);
        load_file(place);
        for (size_t i = 0; i < 4; i++) {
            memmove(place->file + ends[i] + 56, place->file + ends[i], ends[3] - ends[i]);
            memcpy(place->file + ends[i], foreign, sizeof(foreign));
            store_file(place, place->file, ends[3] + 56);
            assert_int_equal(replay_file(place, &replay), 0);
            assert_entries_are(place, 100, ends_entries[i]);
            assert_true(replay.damaged);
            create_small(place, 3);
            load_file(place);
        }
    }
    seal_batch(foreign, sizeof(foreign), header_usual.session); /* and the other way round */
    memcpy(place->file + ends[3], foreign, sizeof(foreign));
    store_file(place, place->file, ends[3] + 56);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 7);
    assert_false(replay.damaged);
}

/* A batch whose checksum is right and whose fields are not. */
static void replay_of_impossible_batches_with_right_checksums_stops_there(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct {
        size_t at, bytes;
        uint64_t value;
    } lies[] = {
        {32, 8, CHUNKS},     {32, 8, UINT64_MAX}, {12, 4, 0}, {12, 4, 2}, {12, 4, 8193},
        {12, 4, UINT32_MAX}, {12, 4, 0x0aaaaaaa}, {8, 4, 0},  {16, 8, 1},
    };
    create_small(place, 1);
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        load_file(place);
        put(place->file + 128 + lies[i].at, lies[i].value, lies[i].bytes);
        seal_batch(place->file + 128, 56, header_usual.session);
        store_file(place, place->file, 128 + 56);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_int_equal(place->count, 0);
        assert_true(replay.damaged);
        create_small(place, 1);
    }
    load_file(place);
    put(place->file + 128 + 32, CHUNKS - 1, 8); /* the last chunk is possible */
    seal_batch(place->file + 128, 56, header_usual.session);
    store_file(place, place->file, 128 + 56);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 1);
}

static void open_of_impossible_headers_with_right_checksums_refuses(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct {
        size_t at, bytes;
        uint64_t value;
    } lies[] = {
        {0, 8, 0},           {8, 4, 0},           {8, 4, 2},           {12, 4, 4},
        {12, 4, 0x80000000}, {16, 8, 0},          {24, 8, UINT64_MAX}, {24, 8, (uint64_t)1 << 63},
        {32, 4, 0},          {32, 4, 256},        {32, 4, 3 << 19},    {32, 4, 0x80000000},
        {36, 4, 1},          {64, 4, 1000000000}, {68, 4, 1},          {96, 4, UINT32_MAX},
        {100, 4, 1},
    };
    create_small(place, 1);
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        load_file(place);
        put(place->file + lies[i].at, lies[i].value, lies[i].bytes);
        seal_header(place->file);
        store_file(place, place->file, place->file_bytes);
        if (replay_file(place, &replay) != -EBADMSG)
            fail_msg("header %zu of the list was believed", i);
        create_small(place, 1);
    }
    load_file(place); /* the checksum itself was not what refused them */
    put(place->file + 12, 3, 4);
    seal_header(place->file);
    store_file(place, place->file, place->file_bytes);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_true(replay.header.manifest && replay.header.compare);
}

static void open_says_what_is_wrong(void **state)
{
    struct place *place = *state;
    static const struct {
        size_t at;
        uint8_t value;
        const char *words;
    } wrong[] = {{0, 'x', "is not a journal"}, {8, 2, "version 2"}, {50, 1, "header is damaged"}};
    struct journal_header header;
    struct journal_reader *reader = NULL;
    struct error err = {0};
    assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, &err), -ENOENT);
    assert_false(error_is_set(&err));
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        create_small(place, 1);
        load_file(place);
        place->file[wrong[i].at] = wrong[i].value;
        store_file(place, place->file, place->file_bytes);
        err = (struct error){0};
        assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, &err), -EBADMSG);
        assert_non_null(strstr(err.text, wrong[i].words));
    }
    assert_int_equal(mkfifoat(place->fd, "other", 0600), 0); /* does not hang */
    assert_int_equal(journal_reader_open(&reader, place->fd, "other", &header, NULL), -EBADMSG);
    assert_int_equal(mkdirat(place->fd, "folder", 0700), 0);
    assert_int_equal(journal_reader_open(&reader, place->fd, "folder", &header, NULL), -EBADMSG);
    assert_int_equal(symlinkat(NAME, place->fd, "link"), 0);
    assert_int_equal(journal_reader_open(&reader, place->fd, "link", &header, NULL), -ELOOP);
    assert_null(reader);
}

static void replay_of_a_file_cut_while_it_is_read_ends(void **state)
{
    struct place *place = *state;
    struct journal_header header;
    struct journal_reader *reader = NULL;
    create_small(place, 3);
    assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, NULL), 0);
    load_file(place);
    store_file(place, place->file, ends[2] - 1);
    place->count = read_entries(reader, place->entries, 100);
    assert_entries_are(place, 100, 1);
    assert_true(journal_reader_damaged(reader));
    journal_reader_close(reader);
    journal_reader_close(NULL);
    journal_close(NULL);
}

/* The example of haul-journal(5), byte for byte; 41-journal-command.bats has the page's own copy
 * read by the program. */
static void file_of_the_manual_page_is_what_is_written(void **state)
{
    struct place *place = *state;
    const struct journal_header header = {
        .session = 0x0123456789abcdef,
        .chunk_bytes = 1 << 20,
        .size_bytes = 2500000,
        .source = {.inode = 77, .size_bytes = 2500000, .mtime_seconds = 1700000000, .mtime_ns = 5},
        .target = {.inode = 99, .size_bytes = 2500000},
    };
    struct journal *journal = create(place, &header);
    struct digest zeros = digest_of_zeros(1 << 20), tail = digest_of_zeros(2500000 - (2 << 20));
    assert_int_equal(journal_note(journal, 0, &zeros), 0);
    assert_int_equal(journal_note(journal, 2, &tail), 0);
    assert_int_equal(checkpoint(journal), 2);
    journal_close(journal);
    load_file(place);
    /* clang-format off: half a line of hexdump a line */
    static const uint8_t expected[] = {
        0x68, 0x61, 0x75, 0x6c, 0x4a, 0x4e, 0x4c, 0x1a, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0xa0, 0x25, 0x26, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4d, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0xa0, 0x25, 0x26, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf1, 0x53, 0x65,
        0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x63, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x25, 0x26, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x87, 0xa1, 0x8c, 0x4a, 0x4b, 0x58, 0x1e, 0x63, 0x0f, 0xf5, 0x8c, 0xa5, 0xc7, 0xc9, 0x8e,
        0xfa, 0x42, 0x54, 0x43, 0x48, 0x02, 0x00, 0x00, 0x00, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45,
        0x23, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0xb6, 0xef, 0x17, 0xa3, 0x44, 0x84, 0x92, 0xb6, 0x91, 0x87, 0x80, 0xb9,
        0x05, 0x50, 0xbf, 0x34, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xbb, 0xf8, 0x5b,
        0x25, 0x6d, 0x4d, 0x28, 0x76, 0x1f, 0x73, 0xff, 0x67, 0x95, 0x21, 0xdc, 0x04,
    };
    /* clang-format on */
    assert_int_equal(place->file_bytes, sizeof(expected));
    assert_memory_equal(place->file, expected, sizeof(expected));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, place_open, place_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(name_of_each_length_fits_and_stays_its_own),
        TEST(identity_of_a_source_sees_each_change),
        TEST(identity_of_a_target_has_the_final_size_and_no_time),
        TEST(replay_of_several_batches_gives_header_and_entries_back),
        TEST(replay_of_a_header_alone_has_no_entries),
        TEST(replay_of_the_largest_batches_gives_all_entries),
        TEST(replay_of_a_chunk_noted_twice_gives_both_in_order),
        TEST(rewind_gives_the_same_again_and_not_what_came_since),
        TEST(batches_through_each_engine_are_appended),
        TEST(create_makes_a_private_appending_file_and_replaces_an_old_one),
        TEST(create_by_absolute_and_relative_path_works),
        TEST(create_over_what_is_no_journal_leaves_it_alone),
        TEST(continue_cuts_the_torn_end_and_appends_behind_the_good_part),
        TEST(continue_with_another_header_or_length_refuses),
        TEST(continue_waits_for_a_lock_that_is_about_to_end),
        TEST(lanes_keep_another_copy_out_after_the_first_is_gone),
        TEST(lanes_appending_at_once_replay_to_all),
        TEST(notes_after_a_failed_datasync_wait_again_in_order),
        TEST(notes_during_a_sync_are_not_of_its_seal),
        TEST(notes_after_a_failed_append_wait_and_are_never_called_durable),
        TEST(forgotten_notes_are_never_recorded),
        TEST(calls_out_of_order_are_refused_by_assert),
        TEST(replay_of_a_file_torn_at_each_byte_keeps_the_batches_before),
        TEST(replay_after_one_changed_byte_keeps_only_the_batches_before),
        TEST(replay_of_zeros_never_finds_a_batch),
        TEST(replay_of_batches_of_another_session_stops_there),
        TEST(replay_of_impossible_batches_with_right_checksums_stops_there),
        TEST(open_of_impossible_headers_with_right_checksums_refuses),
        TEST(open_says_what_is_wrong),
        TEST(replay_of_a_file_cut_while_it_is_read_ends),
        TEST(file_of_the_manual_page_is_what_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
