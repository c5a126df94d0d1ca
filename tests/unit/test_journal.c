/* test_journal.c - journals that are written: identities, batches, notes, lanes. */
#include "journal_tests.h"

/* ---- identities ---- */

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
    int result = -EBUSY;
    for (int i = 0; i < 10 && result == -EBUSY; i++) { /* the child may have its turn too late */
        struct journal *dead = create(place, &header_usual);
        pid_t child = fork();
        if (child == 0) { /* has inherited the lock */
            usleep(100 * 1000);
            _exit(0);
        }
        journal_close(dead);
        struct journal *journal = opened(&header_usual);
        result = journal_continue(journal, place->fd, NAME, 128, NULL);
        journal_close(journal);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    assert_int_equal(result, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity_of_a_source_sees_each_change),
        TEST(identity_of_a_target_has_the_final_size_and_no_time),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
