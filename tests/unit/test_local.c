/* test_local.c - local files: describe, open, sync, commit, abandon. */
#include "local_tests.h"

/* ---- describe, open ---- */

static void describe_missing_is_no_error(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_DESCRIBE);
    must(bench, bench->target, control(bench), SIDE_DESCRIBE);
    assert_int_equal(bench->job.facts[SIDE_SOURCE].kind, FILE_NONE);
    assert_int_equal(bench->job.facts[SIDE_TARGET].kind, FILE_NONE);
    assert_int_equal(access(bench->target_path, F_OK), -1); /* changes nothing */
}

static void describe_file_gives_its_facts(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 12345);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_DESCRIBE);
    assert_int_equal(bench->job.facts[SIDE_SOURCE].kind, FILE_REGULAR);
    assert_int_equal(bench->job.facts[SIDE_SOURCE].size_bytes, 12345);
    assert_int_equal(bench->job.facts[SIDE_SOURCE].mtime_seconds, MTIME);
}

static void open_source_missing_vanished(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    assert_int_equal(call(bench, bench->source, control(bench), SIDE_OPEN), -ENOENT);
    assert_int_equal(bench->err.class, ERROR_VANISHED);
    assert_non_null(strstr(bench->err.text, bench->source_path));
}

static void open_target_new_is_fresh_and_has_its_final_size(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK + 5);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    assert_true(bench->job.target_fresh);
    assert_true(bench->job.target_readable);
    assert_int_equal(bench->job.facts[SIDE_TARGET].size_bytes, 0);
    struct stat st = stat_of(bench->target_path);
    assert_int_equal(st.st_size, 3 * CHUNK + 5);
    assert_true((uint64_t)st.st_blocks * 512 >= 3 * CHUNK); /* preallocated */
    assert_int_equal(st.st_mode & 07777, 0600);             /* nobody else sees half a file */
}

static void open_target_old_tells_its_facts_from_before(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    write_file(bench->target_path, bench->content, 1000, 0644);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    assert_false(bench->job.target_fresh);
    assert_int_equal(bench->job.facts[SIDE_TARGET].size_bytes, 1000);
    assert_int_equal(stat_of(bench->target_path).st_size, CHUNK);
}

/* The teardown finds nothing left. */
static void open_target_without_room_leaves_neither_file_nor_journal(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_OPEN);
    bench->job.facts[SIDE_SOURCE].size_bytes = (uint64_t)1 << 54; /* of no disk */
    bench->job.wish.session = 1;
    bench->job.wish.journal = bench->job.wish.journal_early = true;
    assert_true(call(bench, bench->target, control(bench), SIDE_OPEN) < 0);
    assert_int_equal(access(bench->target_path, F_OK), -1);
}

static void open_target_held_by_another_end_is_busy(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    struct side *second = bench_open_end(bench, SIDE_TARGET, ENGINE_SYNC, NULL);
    assert_int_equal(call(bench, second, control(bench), SIDE_OPEN), -EBUSY);
    assert_int_equal(bench->err.class, ERROR_BUSY);
    side_close(second);
    copy_all(bench); /* the first goes on unharmed */
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

/* ---- chunks: fetch and store ---- */

static void commit_source_changed_while_copied_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    for (int how = 0; how < 3; how++) {
        bench->job.number++;
        bench_source(bench, CHUNK);
        must(bench, bench->source, control(bench), SIDE_OPEN);
        const struct timespec times[2] = {{MTIME, 0}, {MTIME, MTIME_NS + 1}};
        if (how == 0)
            assert_int_equal(truncate(bench->source_path, CHUNK + 1), 0);
        else if (how == 1)
            assert_int_equal(utimensat(AT_FDCWD, bench->source_path, times, 0), 0);
        int result = call(bench, bench->source, control(bench), SIDE_COMMIT);
        assert_int_equal(result < 0, how < 2);
        if (how < 2)
            assert_int_equal(bench->err.class, ERROR_CHANGED);
    }
}

/* ---- sync, commit, abandon ---- */

static void sync_then_more_then_commit(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK + 1);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    must(bench, bench->target, control(bench), SIDE_SYNC); /* nothing stored yet */
    copy_chunk(bench, &bench->slots[0], 0);
    must(bench, bench->target, control(bench), SIDE_SYNC);
    copy_all(bench);
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

static void abandon_leaves_what_was_stored_and_lets_go(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    copy_chunk(bench, &bench->slots[0], CHUNK);
    memset(bench->job.reports, 0, sizeof(bench->job.reports));
    must(bench, bench->source, control(bench), SIDE_ABANDON);
    must(bench, bench->target, control(bench), SIDE_ABANDON);
    assert_int_equal(bench->job.reports[SIDE_SOURCE].policy, POLICY_DIRECT);
    assert_int_equal(bench->job.reports[SIDE_TARGET].policy, POLICY_DIRECT);
    memset(bench->content, 0, CHUNK);
    memset(bench->content + 2 * CHUNK, 0, CHUNK);
    assert_content(bench->target_path, bench->content, 3 * CHUNK);
    struct stat st = stat_of(bench->target_path);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_mtim.tv_sec != MTIME); /* it must not look finished */
    bench->job.number++;
    must(bench, bench->target, control(bench), SIDE_OPEN); /* the lock is gone */
    assert_false(bench->job.target_fresh);
}

static void abandon_before_open_is_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_ABANDON);
    must(bench, bench->target, control(bench), SIDE_ABANDON);
}

static void close_with_files_open_abandons_them(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_THREADS);
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 0);
    side_start(bench->source, &bench->slots[0], SIDE_FETCH); /* under way */
    side_close(bench->source);
    side_close(bench->target);
    bench->source = bench->target = NULL;
    struct side *again = bench_open_end(bench, SIDE_TARGET, ENGINE_SYNC, NULL);
    must(bench, again, control(bench), SIDE_OPEN);
    side_close(again);
}

static void open_two_files_at_once_are_apart(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_OPEN);
    struct job other = bench->job;
    char other_path[160];
    snprintf(other_path, sizeof(other_path), "%s/other", bench->folder);
    uint8_t *content = malloc(CHUNK);
    assert_non_null(content);
    fill(content, CHUNK, 2);
    write_file(other_path, content, CHUNK, MODE);
    other.number++;
    other.source_path = other_path;
    bench->slots[1].job = &other;
    must(bench, bench->source, &bench->slots[1], SIDE_OPEN);
    for (uint32_t i = 0; i < 2; i++) {
        aim(bench, &bench->slots[i], 0);
        must(bench, bench->source, &bench->slots[i], SIDE_FETCH);
    }
    assert_memory_equal(bench->slots[0].buffer, bench->content, CHUNK);
    assert_memory_equal(bench->slots[1].buffer, content, CHUNK);
    must(bench, bench->source, &bench->slots[1], SIDE_COMMIT);
    must(bench, bench->source, &bench->slots[0], SIDE_FETCH); /* still open */
    free(content);
    unlink(other_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(describe_missing_is_no_error),
        ON_BENCH(describe_file_gives_its_facts),
        ON_BENCH(open_source_missing_vanished),
        ON_BENCH(open_target_new_is_fresh_and_has_its_final_size),
        ON_BENCH(open_target_old_tells_its_facts_from_before),
        ON_BENCH(open_target_without_room_leaves_neither_file_nor_journal),
        ON_BENCH(open_target_held_by_another_end_is_busy),
        ON_BENCH(commit_source_changed_while_copied_is_refused),
        ON_BENCH(sync_then_more_then_commit),
        ON_BENCH(abandon_leaves_what_was_stored_and_lets_go),
        ON_BENCH(abandon_before_open_is_nothing),
        ON_BENCH(close_with_files_open_abandons_them),
        ON_BENCH(open_two_files_at_once_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
