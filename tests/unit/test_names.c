/* Unit test of names.c: what somebody has written becomes a sorted list of paths. */
#include "scratch.h"

#include "haul/base/names.h"

#include <errno.h>

/* What is packed in pieces of `room` bytes, a path each line, "/" behind those whose content is
 * meant. */
static const char *told(const struct names *names, size_t room)
{
    static char out[4096];
    uint8_t buffer[256];
    size_t next = 0, length = 0;
    out[0] = '\0';
    while (next < names_count(names)) {
        const char *path;
        bool content;
        int result;
        struct bytes in = bytes_writer(buffer, room);
        names_pack(names, &next, &in);
        in = bytes_reader(buffer, in.length);
        assert_true(bytes_left(&in) > 0);
        while ((result = names_unpack(&in, &path, &content)) > 0)
            length += (size_t)sprintf(out + length, "%s%s\n", path, content ? "/" : "");
        assert_int_equal(result, 0);
    }
    return out;
}

static struct names *names_of(const char *const *texts)
{
    struct error err = {.class = ERROR_NONE};
    struct names *names = names_open();
    assert_non_null(names);
    for (; *texts; texts++)
        assert_int_equal(names_add(names, *texts, &err), 0);
    assert_int_equal(names_settle(names, &err), 0);
    return names;
}

static void names_are_sorted_with_what_is_in_a_folder_behind_it(void **state)
{
    (void)state;
    const char *const texts[] = {"b",     "a-b", "a/c",       "a",     "a/b/d",  "a\x01", "/b/",
                                 "./a/c", ".",   "x//y/../z", "a/b/.", "q/r/..", NULL};
    struct names *names = names_of(texts);
    static const char expected[] = "/\na\na/b/\na/b/d\na/c\na\x01\na-b\nb/\nq/\nx/z\n";
    for (size_t room = 16; room <= 256; room += 80)
        assert_string_equal(told(names, room), expected);
    names_close(names);
}

static void leave_out_takes_this_path_and_no_other(void **state)
{
    (void)state;
    const char *const texts[] = {"a/", "a/b", "a/c", "d", "e/", NULL};
    struct names *names = names_of(texts);
    names_leave_out(names, "a/b");
    names_leave_out(names, "a/b/x");
    names_leave_out(names, "a-");
    names_leave_out(names, "");
    assert_string_equal(told(names, 16), "a/\na/c\nd\ne/\n");
    names_leave_out(names, "a");
    names_leave_out(names, "d");
    names_leave_out(names, "d");
    assert_string_equal(told(names, 256), "a/c\ne/\n");
    names_close(names);
    names = names_of(&(const char *){NULL});
    names_leave_out(names, "a");
    names_close(names);
}

static void names_of_an_empty_list_are_none(void **state)
{
    (void)state;
    struct names *names = names_of(&(const char *){NULL});
    assert_int_equal(names_count(names), 0);
    names_close(names);
    names_close(NULL);
}

static void names_that_lead_out_or_are_cut_are_refused(void **state)
{
    (void)state;
    const char *const texts[] = {"..", "../a", "a/../..", "/..", "a/./b", "a/b/././c"};
    struct names *names = names_open();
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct error err = {.class = ERROR_NONE};
        assert_int_equal(names_add(names, texts[i], &err), -EINVAL);
        assert_int_equal(err.class, ERROR_USAGE);
    }
    char *longest = malloc(NAMES_PATH_BYTES + 1);
    struct error err = {.class = ERROR_NONE};
    memset(longest, 'x', NAMES_PATH_BYTES);
    longest[NAMES_PATH_BYTES] = '\0';
    assert_int_equal(names_add(names, longest, &err), -ENAMETOOLONG);
    longest[NAMES_PATH_BYTES - 1] = '\0';
    assert_int_equal(names_add(names, longest, &err), 0);
    assert_int_equal(names_settle(names, &err), 0);
    assert_int_equal(names_count(names), 1);
    free(longest);
    names_close(names);
}

static void names_that_arrive_are_not_believed(void **state)
{
    (void)state;
    static const uint8_t good[] = {1, 2, 0, 'a', 'b', 0};
    const char *path;
    bool content;
    struct bytes in = bytes_reader(good, sizeof(good));
    assert_int_equal(names_unpack(&in, &path, &content), 1);
    assert_string_equal(path, "ab");
    assert_true(content);
    assert_int_equal(names_unpack(&in, &path, &content), 0);
    for (size_t length = 1; length < sizeof(good); length++) {
        in = bytes_reader(good, length);
        assert_int_equal(names_unpack(&in, &path, &content), -EPROTO);
    }
    static const uint8_t bad[][6] = {
        {2, 2, 0, 'a', 'b', 0}, {0, 2, 0, 'a', 0, 0}, {0, 2, 0, 'a', 'b', 'c'}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        in = bytes_reader(bad[i], sizeof(bad[i]));
        assert_int_equal(names_unpack(&in, &path, &content), -EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_sorted_with_what_is_in_a_folder_behind_it),
        cmocka_unit_test(leave_out_takes_this_path_and_no_other),
        cmocka_unit_test(names_of_an_empty_list_are_none),
        cmocka_unit_test(names_that_lead_out_or_are_cut_are_refused),
        cmocka_unit_test(names_that_arrive_are_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
