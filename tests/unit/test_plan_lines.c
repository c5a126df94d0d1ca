/* Unit test of plan_lines.c: what was planned is what is read, whatever the names are, and nothing
 * that was cut off or changed passes for a plan or a receipt. */
#include "scratch.h"

#include "haul/base/num.h"
#include "haul/cli/plan_lines.h"

#include <errno.h>

static const char *const words[] = {"-aH", "--exclude", "a \"b\"\\\n", "--bwlimit=1M"};

static const struct plan_header header = {
    .words = (const char **)words,
    .words_count = COUNT_OF(words),
    .folder = "/a folder",
    .source = "from\xff",
    .target = "h:to",
    .tree = true,
    .from = "from\xff",
    .to = "to/from",
    .unit_bytes = 1 << 20,
};

static const struct facts facts = {
    .kind = FILE_REGULAR,
    .size_bytes = (UINT64_C(5) << 20) / 2,
    .mtime_seconds = -1,
    .mtime_ns = 999999999,
    .inode = UINT64_MAX,
    .evidence = {.grade = EVIDENCE_STRONG, .identity = UINT64_MAX - 1, .change = 1},
};

/* Every byte that a name may have, alone and beside others, and what UTF-8 makes of two. */
static const char *name_of(char out[32], unsigned number)
{
    unsigned byte = number % 256;
    snprintf(out, 32, "%u%c\xc2\x80", number, byte == 0 || byte == '/' ? '_' : (int)byte);
    return out;
}

static void write_plan(const char *path, unsigned files, unsigned large)
{
    struct error err = {.class = ERROR_NONE};
    struct plan_writer writer;
    char name[32];
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(plan_lines_begin(&writer, out, &header, &err), 0);
    for (unsigned i = 0; i < files; i++)
        assert_int_equal(
            plan_lines_add_file(&writer, name_of(name, i), i * 100, header.unit_bytes, &err), 0);
    for (unsigned i = 0; i < large; i++)
        assert_int_equal(
            plan_lines_add_ranges(&writer, name_of(name, i), &facts, header.unit_bytes, &err), 0);
    assert_int_equal(plan_lines_end(&writer, &err), 0);
    plan_lines_writer_close(&writer);
    assert_int_equal(fclose(out), 0);
}

static void names_are(const struct unit *unit, unsigned *next)
{
    char name[32];
    struct names *expected = names_open();
    struct error err = {.class = ERROR_NONE};
    uint8_t packed[2][65536];
    struct bytes bytes[2];
    for (uint64_t i = 0; i < unit->files_count; i++)
        assert_int_equal(names_add(expected, name_of(name, (*next)++), &err), 0);
    assert_int_equal(names_settle(expected, &err), 0);
    assert_int_equal(names_count(expected), names_count(unit->names));
    for (int i = 0; i < 2; i++) {
        size_t first = 0;
        bytes[i] = bytes_writer(packed[i], sizeof(packed[i]));
        names_pack(i == 0 ? expected : unit->names, &first, &bytes[i]);
        assert_int_equal(first, names_count(expected));
    }
    assert_int_equal(bytes[0].length, bytes[1].length);
    assert_memory_equal(packed[0], packed[1], bytes[0].length);
    names_close(expected);
}

static void a_plan_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct error err = {.class = ERROR_NONE};
    struct plan_file plan;
    unsigned files = 0, large = 0;
    uint64_t bytes = 0;
    char name[32];
    write_plan("plan", 600, 3);
    assert_int_equal(plan_lines_open(&plan, "plan", &err), 0);
    assert_int_equal(plan.header.words_count, COUNT_OF(words));
    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_string_equal(plan.header.words[i], words[i]);
    assert_string_equal(plan.header.from, header.from);
    assert_string_equal(plan.header.to, header.to);
    assert_true(plan.header.tree);
    assert_int_equal(plan_lines_rewind(&plan, &err), 0);
    while (plan_lines_next(&plan, &err) > 0) {
        const struct unit *unit = &plan.unit;
        bytes += unit->bytes;
        if (unit->kind == UNIT_FILES) {
            assert_true(unit->bytes <= header.unit_bytes);
            names_are(unit, &files);
            continue;
        }
        assert_string_equal(unit->name, name_of(name, large));
        assert_int_equal(evidence_compare(&unit->facts, &facts), EVIDENCE_UNCHANGED);
        assert_true(unit->bytes > 0 && unit->bytes <= header.unit_bytes);
        large += unit->offset + unit->bytes == facts.size_bytes;
    }
    assert_false(error_is_set(&err));
    assert_int_equal(files, 600);
    assert_int_equal(large, 3);
    assert_int_equal(plan.files_count, 603);
    assert_int_equal(bytes, plan.bytes);
    plan_lines_close(&plan);
}

static void ranges_are_no_larger_than_a_unit_and_follow_each_other(void **state)
{
    (void)state;
    static const uint64_t mib[][2] = {{1, 1},    {100, 1},   {100, 15},  {100, 16},
                                      {100, 17}, {100, 20},  {100, 31},  {100, 32},
                                      {100, 99}, {100, 100}, {100, 120}, {UINT64_C(1) << 20, 1025}};
    for (size_t i = 0; i < COUNT_OF(mib); i++) {
        struct error err = {.class = ERROR_NONE};
        struct plan_writer writer;
        struct plan_file plan;
        struct plan_header own = header;
        struct facts large = facts;
        uint64_t offset = 0;
        FILE *out = fopen("plan", "we");
        assert_non_null(out);
        large.size_bytes = mib[i][0] * MIB - 1;
        own.unit_bytes = mib[i][1] * MIB;
        assert_int_equal(plan_lines_begin(&writer, out, &own, &err), 0);
        assert_int_equal(plan_lines_add_ranges(&writer, "a", &large, own.unit_bytes, &err), 0);
        assert_int_equal(plan_lines_end(&writer, &err), 0);
        plan_lines_writer_close(&writer);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(plan_lines_open(&plan, "plan", &err), 0);
        assert_int_equal(plan_lines_rewind(&plan, &err), 0);
        while (plan_lines_next(&plan, &err) > 0) {
            assert_int_equal(plan.unit.offset, offset);
            assert_int_equal(offset % (mib[i][1] < 16 ? mib[i][1] * MIB : 16 * MIB), 0);
            assert_true(plan.unit.bytes >= 1 && plan.unit.bytes <= own.unit_bytes);
            offset += plan.unit.bytes;
        }
        assert_false(error_is_set(&err));
        assert_int_equal(offset, large.size_bytes);
        plan_lines_close(&plan);
    }
}

static void each_unit_is_found_by_its_number(void **state)
{
    (void)state;
    struct error err = {.class = ERROR_NONE};
    struct plan_file plan;
    write_plan("plan", 20000, 100);
    assert_int_equal(plan_lines_open(&plan, "plan", &err), 0);
    assert_true(plan.units_count > 400);
    for (uint32_t i = 1; i <= plan.units_count; i += 7) {
        assert_int_equal(plan_lines_find(&plan, i, &err), 0);
        assert_int_equal(plan.unit.number, i);
    }
    assert_int_equal(plan_lines_find(&plan, plan.units_count, &err), 0);
    assert_int_equal(plan_lines_find(&plan, 0, &err), -EINVAL);
    assert_int_equal(plan_lines_find(&plan, plan.units_count + 1, &err), -EINVAL);
    plan_lines_close(&plan);
}

/* All of it is read. */
static bool passes(const char *path)
{
    struct error err = {.class = ERROR_NONE};
    struct plan_file plan;
    int result = plan_lines_open(&plan, path, &err);
    if (result == 0)
        result = plan_lines_rewind(&plan, &err);
    while (result == 0 && (result = plan_lines_next(&plan, &err)) > 0)
        result = 0;
    bool good = result == 0 && plan.unit.number == plan.units_count;
    assert_true(good || error_is_set(&err));
    plan_lines_close(&plan);
    return good;
}

static size_t read_back(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = fread(text, 1, room, file);
    fclose(file);
    return length;
}

static void write_back(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    fclose(file);
}

static void a_plan_that_was_cut_off_or_changed_is_refused(void **state)
{
    (void)state;
    static char text[65536];
    write_plan("plan", 3, 1);
    assert_true(passes("plan"));
    size_t length = read_back("plan", text, sizeof(text));
    for (size_t i = 0; i < length; i++) {
        write_back("plan", text, i);
        assert_false(passes("plan"));
        text[i] ^= 1;
        write_back("plan", text, length);
        assert_false(passes("plan"));
        text[i] ^= 1;
    }
    write_back("plan", text, length);
    assert_true(passes("plan"));
    const char *line = memchr(text, '\n', length),
               *next = memchr(line + 1, '\n', length - (size_t)(line - text) - 1);
    memmove(text + (line - text) + 1, next + 1, length - (size_t)(next + 1 - text));
    write_back("plan", text, length - (size_t)(next - line));
    assert_false(passes("plan"));
}

static void receipts_are_read_as_they_were_written_or_refused(void **state)
{
    (void)state;
    char text[1024];
    struct error err = {.class = ERROR_NONE};
    struct unit_receipt back, receipt = {
                                  .number = 7,
                                  .plan = {{1}},
                                  .unit = {{2}},
                                  .files_count = 3,
                                  .bytes_total = UINT64_MAX - 1,
                                  .bytes_copied = 5,
                                  .bytes_kept = 6,
                                  .bytes_holes = 7,
                                  .duration_ns = 8,
                                  .target = facts,
                              };
    assert_int_equal(plan_lines_receipt_read("plan", 7, &back, &err), 0);
    assert_int_equal(plan_lines_receipt_write("plan", &receipt, &err), 0);
    assert_int_equal(plan_lines_receipt_read("plan", 7, &back, &err), 1);
    assert_int_equal(back.bytes_total, receipt.bytes_total);
    assert_int_equal(back.bytes_holes, 7);
    assert_true(digest_equal(&back.plan, &receipt.plan) && digest_equal(&back.unit, &receipt.unit));
    assert_int_equal(evidence_compare(&back.target, &facts), EVIDENCE_UNCHANGED);
    size_t length = read_back("plan.7.receipt", text, sizeof(text));
    for (size_t i = 0; i < length; i++) {
        error_clear(&err);
        write_back("plan.7.receipt", text, i);
        assert_int_equal(plan_lines_receipt_read("plan", 7, &back, &err), -EBADMSG);
        text[i] ^= 4;
        write_back("plan.7.receipt", text, length);
        assert_int_equal(plan_lines_receipt_read("plan", 7, &back, &err), -EBADMSG);
        text[i] ^= 4;
    }
    write_back("plan.8.receipt", text, length); /* another one's */
    assert_int_equal(plan_lines_receipt_read("plan", 8, &back, &err), -EBADMSG);
}

static char folder[] = "/tmp/haul-plan-lines.XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const made[] = {"plan", "plan.7.receipt", "plan.8.receipt"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(made); i++)
        (void)unlink(made[i]);
    return chdir("/") == 0 ? rmdir(folder) : -1; /* nothing else is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_read_as_it_was_written),
        cmocka_unit_test(ranges_are_no_larger_than_a_unit_and_follow_each_other),
        cmocka_unit_test(each_unit_is_found_by_its_number),
        cmocka_unit_test(a_plan_that_was_cut_off_or_changed_is_refused),
        cmocka_unit_test(receipts_are_read_as_they_were_written_or_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
