/* test_cache.c - how a file is kept out of the page cache is chosen by evidence. */
#include "cache_tests.h"

/* ---- choosing ---- */

static bool is_direct(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

static void cache_open_disk_auto_is_direct(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_true(cache.block >= 4096 && is_power_of_two(cache.block));
    assert_true(is_direct(place->file.fd_direct));
    assert_false(is_direct(place->file.fd));
    assert_non_null(strstr(cache.why, "O_DIRECT"));
    assert_true(cache_idle(&cache));
}

static void cache_open_disk_window_wished_is_window(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    open_cache(&cache, &pool, &place->file, POLICY_WINDOW);
    assert_int_equal(cache.kind, POLICY_WINDOW);
    assert_int_equal(cache.block, 1);
    assert_int_equal(cache.window_bytes, WINDOW);
    /* Only to read around what others have cached, and only where statx vouches for it. */
    assert_int_equal(cache.around_block > 0, place->file.dio_known);
    assert_int_equal(place->file.fd_direct >= 0, place->file.dio_known);
    assert_true(cache.around_block == 0 || is_direct(place->file.fd_direct));
    assert_true(strlen(cache.why) > 0);
}

static void cache_open_disk_plain_wished_is_plain(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    open_cache(&cache, &pool, &place->file, POLICY_PLAIN);
    assert_int_equal(cache.kind, POLICY_PLAIN);
    assert_int_equal(cache.block, 1);
}

static void cache_open_larger_alignment_is_kept_to(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    place->file.dio_known = true;
    place->file.dio_memory_bytes = 512;
    place->file.dio_offset_bytes = 16384;
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_int_equal(cache.block, 16384);
}

static void cache_open_statx_silent_tries_it(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    place->file.dio_known = false;
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_non_null(strstr(cache.why, "tried"));
}

/* procfs refuses O_DIRECT at open, whatever the fixture says that the file is. */
static void cache_open_open_refused_is_window(void **state)
{
    (void)state;
    struct error err = {0};
    struct file file;
    struct cache_pool pool;
    struct cache cache;
    file_init(&file);
    file.fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    file.path = strdup("/proc/version");
    assert_true(file.fd >= 0 && file.path);
    assert_int_equal(file_facts(&file, &file.facts, &err), 0);
    open_cache(&cache, &pool, &file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_WINDOW);
    assert_int_equal(file.fd_direct, -1);
    assert_non_null(strstr(cache.why, "refused"));
    assert_non_null(strstr(cache.why, "Invalid argument"));
    file_close(&file);
}

static void cache_open_range_writeback_only_where_it_works(void **state)
{
    struct place *place = *state;
    static const struct {
        uint64_t type;
        bool works;
    } rows[] = {
        {EXT4_SUPER_MAGIC, true},       {0x58465342 /* xfs */, true}, {BTRFS_SUPER_MAGIC, true},
        {OVERLAYFS_SUPER_MAGIC, false}, {FUSE_SUPER_MAGIC, false},    {0x12345678, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct cache_pool pool;
        struct cache cache;
        place->file.filesystem = rows[i].type;
        open_cache(&cache, &pool, &place->file, POLICY_WINDOW);
        assert_int_equal(cache.range_writeback, rows[i].works);
    }
}

static void cache_refused_direct_becomes_window(void **state)
{
    struct place *place = *state;
    struct cache_pool pool;
    struct cache cache;
    struct cache_transfer transfer = {.length = CHUNK};
    open_cache(&cache, &pool, &place->file, POLICY_AUTO);
    assert_int_equal(cache.kind, POLICY_DIRECT);
    assert_true(cache_begin(&cache, &transfer));
    assert_true(transfer.direct);
    int fd_direct = place->file.fd_direct;
    cache_refused(&cache, &transfer);
    assert_int_equal(cache.kind, POLICY_WINDOW);
    assert_int_equal(cache.block, 1);
    assert_non_null(strstr(cache.why, "refused at work"));
    assert_int_equal(cache.window_bytes, WINDOW);
    assert_true(cache_begin(&cache, &transfer));
    assert_false(transfer.direct);
    cache_end(&cache, &transfer, true);
    /* Requests in flight stay as they are: their descriptor is still open. */
    assert_true(is_direct(fd_direct));
    cache_close(&cache);
}

static void policy_name_all_kinds_have_one(void **state)
{
    (void)state;
    assert_string_equal(policy_name(POLICY_AUTO), "auto");
    assert_string_equal(policy_name(POLICY_DIRECT), "direct");
    assert_string_equal(policy_name(POLICY_WINDOW), "window");
    assert_string_equal(policy_name(POLICY_PLAIN), "plain");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(cache_open_disk_auto_is_direct),
        ON_DISK(cache_open_disk_window_wished_is_window),
        ON_DISK(cache_open_disk_plain_wished_is_plain),
        ON_DISK(cache_open_alignment_zero_is_window),
        ON_DISK(cache_open_larger_alignment_is_kept_to),
        ON_DISK(cache_open_statx_silent_tries_it),
        cmocka_unit_test(cache_open_open_refused_is_window),
        IN_MEMORY(cache_open_memory_filesystem_is_plain),
        ON_DISK(cache_open_range_writeback_only_where_it_works),
        ON_DISK(cache_refused_direct_becomes_window),
        cmocka_unit_test(policy_name_all_kinds_have_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
