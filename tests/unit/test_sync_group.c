/* test_sync_group.c - many files of one local side, committed at the same time: how many syncs that
 * takes, and who fails when the shared one tells of a loss. */
#include "many_files.h"

static void commit_many_files_share_their_syncs(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(all(bench, SIDE_OPEN), 0);
    assert_int_equal(own_count, 0); /* no folder for each */
    assert_int_equal(all(bench, SIDE_STORE), 0);
    assert_int_equal(all(bench, SIDE_COMMIT), 0);
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, true);
    if (!bench->shares)
        skip();
    /* The last one has no company any more. */
    assert_true(shared_count >= 1 && shared_count <= 8);
    assert_true(own_count <= 4);
}

/* What was lost is told once, to all: each file then finds out for itself. */
static void commit_many_files_one_lost_is_named(void **state)
{
    struct bench *bench = *state;
    struct stat st;
    assert_int_equal(all(bench, SIDE_OPEN), 0);
    assert_int_equal(all(bench, SIDE_STORE), 0);
    assert_int_equal(stat(bench->paths[17], &st), 0);
    lost_inode = st.st_ino;
    shared_fails = EIO;
    assert_int_equal(all(bench, SIDE_COMMIT), 1);
    assert_int_equal(bench->slots[17].result, -EIO);
    assert_non_null(strstr(bench->slots[17].error->text, bench->paths[17]));
    assert_int_equal(shared_count, bench->shares);
    assert_true(own_count >= 3 * FILES - 2); /* data, file, folder */
    for (uint32_t i = 0; i < FILES; i++)
        is_there(bench, i, i != 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_many_files_share_their_syncs, bench_setup,
                                        bench_teardown),
        cmocka_unit_test_setup_teardown(commit_many_files_one_lost_is_named, bench_setup,
                                        bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
