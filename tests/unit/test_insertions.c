/* test_insertions.c - the kernel's lines about the page cache, and the account that is kept of
 * them.
 */
#include "fake_root.h"

#include "haul/disk/insertions.h"

static const char line[] =
    "            haul-29819   [000] ..... 35265.828862: mm_filemap_add_to_page_cache: "
    "dev 254:3 ino 54a097 pfn=0x18490a ofs=8192 order=2";

static void parse_line_tells_pages_thread_and_file(void **state)
{
    struct tracing_event event = {.pages_count = 0};
    (void)state;
    assert_int_equal(tracing_parse(line, &event), 1);
    assert_true(event.added);
    assert_int_equal(event.thread, 29819);
    assert_int_equal(event.device, 254 << 20 | 3);
    assert_int_equal(event.inode, 0x54a097);
    assert_int_equal(event.page, 8192 / sysconf(_SC_PAGESIZE));
    assert_int_equal(event.pages_count, 4);
}

/* Linux 5.10: no order. A program's name may look like a part of the line. */
static void parse_line_of_an_old_kernel_and_an_odd_name(void **state)
{
    struct tracing_event event = {.pages_count = 0};
    (void)state;
    assert_int_equal(
        tracing_parse(" a-1 [b] dev 1:-77      [011] d..1  7.1: mm_filemap_delete_from_page_cache: "
                      "dev 8:1 ino c page=000000001 pfn=12 ofs=0",
                      &event),
        1);
    assert_false(event.added);
    assert_int_equal(event.thread, 77);
    assert_int_equal(event.inode, 12);
    assert_int_equal(event.pages_count, 1);
}

static void parse_line_of_something_else_is_told(void **state)
{
    static const char *const broken[] = {
        "what is this", "haul-1 [0] mm_filemap_add_to_page_cache: dev 1:2 ino",
        "haul-1 [0] mm_filemap_add_to_page_cache: dev 1:2 ino 3 pfn=0x1 order=0",
        "haul-1 [0] mm_filemap_add_to_page_cache: dev 1:2 ino 3 pfn=0x1 ofs=0 order=99",
        "haul [0] mm_filemap_add_to_page_cache: dev 1:2 ino 3 pfn=0x1 ofs=0 order=0"};
    struct tracing_event event;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        assert_int_equal(tracing_parse(broken[i], &event), -EPROTO);
    assert_int_equal(tracing_parse("# tracer: nop", &event), 0);
    assert_int_equal(tracing_parse("CPU:1 [LOST 17 EVENTS]", &event), 0);
}

static void open_without_a_tracefs_says_how_to_have_one(void **state)
{
    struct tracing *tracing = calloc(1, sizeof *tracing);
    struct error err = {0};
    assert_non_null(tracing);
    assert_int_equal(tracing_open(tracing, *state, &err), -ENOENT);
    assert_non_null(strstr(err.text, "mount -t tracefs"));
    tracing_close(tracing);
    free(tracing);
}

static void add(struct insertions *insertions, bool added, uint64_t page, uint64_t count, bool ours)
{
    const struct tracing_event event = {
        .added = added, .device = 5, .inode = 7, .page = page, .pages_count = count};
    insertions_add(insertions, &event, ours);
}

static void expect_figures(const struct insertions *insertions, uint64_t entered, uint64_t most,
                           uint64_t now)
{
    struct insertions_figures figures = insertions_of(insertions, 5, 7);
    assert_int_equal(figures.entered, entered);
    assert_int_equal(figures.most, most);
    assert_int_equal(figures.now, now);
}

static void add_counts_each_page_while_it_is_there(void **state)
{
    struct insertions insertions;
    (void)state;
    insertions_open(&insertions);
    add(&insertions, true, 510, 4, true); /* in two pieces */
    add(&insertions, true, 2048, 1024, true);
    expect_figures(&insertions, 1028, 1028, 1028);
    add(&insertions, false, 511, 2, true); /* a folio that was split */
    add(&insertions, false, 2048, 1024, true);
    expect_figures(&insertions, 1028, 1028, 2);
    add(&insertions, true, 511, 1, true);
    expect_figures(&insertions, 1029, 1028, 3);
    assert_int_equal(insertions.all.now, 3);
    assert_int_equal(insertions_of(&insertions, INSERTIONS_ANY_DEVICE, 7).now, 3);
    assert_int_equal(insertions_of(&insertions, 6, 7).now, 0);
    insertions_close(&insertions);
}

static void add_of_what_others_had_there_is_not_ours(void **state)
{
    struct insertions insertions;
    (void)state;
    insertions_open(&insertions);
    add(&insertions, false, 0, 100, true); /* was there before */
    add(&insertions, true, 1000, 8, false);
    add(&insertions, true, 0, 1, true);
    add(&insertions, false, 1000, 8, true); /* evicted by us */
    expect_figures(&insertions, 1, 1, 1);
    assert_int_equal(insertions_of(&insertions, 5, 7).by_others, 8);
    assert_int_equal(insertions.all.entered, 1);
    insertions_close(&insertions);
}

/* More than the tables begin with. */
static void add_of_many_files_and_pieces_finds_each(void **state)
{
    enum { MANY = 5000 };
    struct insertions insertions;
    (void)state;
    insertions_open(&insertions);
    for (uint64_t i = 0; i < MANY; i++) {
        const struct tracing_event event = {
            .added = true, .device = 1, .inode = i, .page = i * 512, .pages_count = 3};
        insertions_add(&insertions, &event, true);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        const struct tracing_event event = {
            .device = 1, .inode = i, .page = i * 512 + 1, .pages_count = 1};
        assert_int_equal(insertions_of(&insertions, 1, i).now, 3);
        insertions_add(&insertions, &event, false);
        assert_int_equal(insertions_of(&insertions, 1, i).now, 2);
    }
    assert_int_equal(insertions.all.most, 3 * MANY);
    assert_int_equal(insertions.all.now, 2 * MANY);
    assert_false(insertions.memory_short);
    insertions_close(&insertions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_line_tells_pages_thread_and_file),
        cmocka_unit_test(parse_line_of_an_old_kernel_and_an_odd_name),
        cmocka_unit_test(parse_line_of_something_else_is_told),
        cmocka_unit_test_setup_teardown(open_without_a_tracefs_says_how_to_have_one, tree_setup,
                                        tree_teardown),
        cmocka_unit_test(add_counts_each_page_while_it_is_there),
        cmocka_unit_test(add_of_what_others_had_there_is_not_ours),
        cmocka_unit_test(add_of_many_files_and_pieces_finds_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
