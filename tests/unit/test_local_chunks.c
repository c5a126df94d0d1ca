/* test_local_chunks.c - chunks of local files. */
#include "local_tests.h"

/* ---- chunks: fetch and store ---- */

static void fetch_conditional_says_whether_it_is_the_same(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK + 100);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_OPEN);
    struct slot *slot = &bench->slots[0];
    aim(bench, slot, CHUNK); /* the tail, too */
    slot->conditional = true;
    slot->expected = digest_of(bench->content + CHUNK, 100);
    must(bench, bench->source, slot, SIDE_FETCH);
    assert_true(slot->matched);
    slot->expected = digest_of(bench->content, 100);
    must(bench, bench->source, slot, SIDE_FETCH);
    assert_false(slot->matched);
    assert_memory_equal(slot->buffer, bench->content + CHUNK, 100);
    slot->conditional = false;
    slot->expected = digest_of(bench->content + CHUNK, 100);
    must(bench, bench->source, slot, SIDE_FETCH);
    assert_false(slot->matched); /* nobody asked */
}

/* ---- erase, holes, sparse targets ---- */

static void erase_range_reads_as_zeros_and_no_more(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 4 * CHUNK + 100);
    write_file(bench->target_path, bench->content, bench->size_bytes, 0600);
    bench_open_ends(bench, ENGINE_SYNC);
    bench->job.wish.preallocate = false;
    bench_open_files(bench);
    struct stat before = stat_of(bench->target_path);
    static const struct {
        uint64_t offset;
        uint32_t length;
    } erased[] = {{CHUNK, CHUNK}, {4 * CHUNK, 100}, {2 * CHUNK, 2 * CHUNK + 100}};
    for (size_t i = 0; i < COUNT_OF(erased); i++) {
        aim(bench, &bench->slots[0], erased[i].offset);
        bench->slots[0].length = erased[i].length;
        must(bench, bench->target, &bench->slots[0], SIDE_ERASE);
        memset(bench->content + erased[i].offset, 0, erased[i].length);
    }
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
    assert_true(stat_of(bench->target_path).st_blocks <= before.st_blocks - CHUNK / 512);
}

static void map_finds_data_between_holes(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 0);
    AUTO_CLOSE int fd = open(bench->source_path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 10 * CHUNK), 0);
    assert_int_equal(pwrite(fd, "data", 4, 4 * CHUNK), 4);
    assert_int_equal(fsync(fd), 0);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), SIDE_OPEN);
    control(bench)->offset = 0;
    must(bench, bench->source, control(bench), SIDE_MAP);
    assert_int_equal(control(bench)->extent_start, 4 * CHUNK);
    assert_true(control(bench)->extent_end > 4 * CHUNK);
    assert_true(control(bench)->extent_end <= 5 * CHUNK);
    control(bench)->offset = 5 * CHUNK;
    must(bench, bench->source, control(bench), SIDE_MAP);
    assert_int_equal(control(bench)->extent_start, 10 * CHUNK);
    assert_int_equal(control(bench)->extent_end, 10 * CHUNK);
}

/* Zeros are data, unless this very range is said to be blank. */
static void store_into_a_range_that_is_not_blank_writes_zeros(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    write_file(bench->target_path, bench->content, bench->size_bytes, 0600);
    memset(bench->content, 0, CHUNK);
    write_file(bench->source_path, bench->content, bench->size_bytes, MODE);
    bench_open_ends(bench, ENGINE_SYNC);
    bench->job.wish.preallocate = false;
    bench_open_files(bench);
    assert_int_equal(bench->job.old_bytes, bench->size_bytes);
    copy_all(bench);
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(store_every_size_is_equal_and_leaves_no_cache),
        ON_BENCH(fetch_conditional_says_whether_it_is_the_same),
        ON_BENCH(fetch_source_became_shorter_is_changed),
        ON_BENCH(store_more_windows_than_allowed_all_get_in),
        ON_BENCH(examine_digests_what_the_target_has),
        ON_BENCH(examine_after_store_finds_what_was_stored),
        ON_BENCH(erase_range_reads_as_zeros_and_no_more),
        ON_BENCH(map_finds_data_between_holes),
        ON_BENCH(store_sparse_leaves_out_zeros),
        ON_BENCH(store_into_a_range_that_is_not_blank_writes_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
