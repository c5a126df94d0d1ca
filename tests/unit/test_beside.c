/* Goal: each name has its own beside it, none is too long, and whose it is can be told back. */
#include "scratch.h"

#include "haul/disk/beside.h"

static void name_of_length(char out[256], size_t length, char filler)
{
    memset(out, filler, length);
    out[length] = '\0';
}

static void name_of_each_length_fits_and_is_known_again(void **state)
{
    (void)state;
    static const char *const suffixes[] = {BESIDE_JOURNAL, BESIDE_NEW, "0-1073741824"};
    char name[256], other[256], own[BESIDE_NAME_BYTES], last[BESIDE_NAME_BYTES];
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        size_t around =
            strlen(".") + strlen(".haul") + (suffixes[i][0] ? 1 : 0) + strlen(suffixes[i]);
        last[0] = '\0';
        for (size_t length = 1; length <= 255; length++) {
            size_t told;
            name_of_length(name, length, 'x');
            name_of_length(other, length, 'y');
            beside_name(own, name, suffixes[i]);
            assert_true(strlen(own) <= 255);
            assert_string_not_equal(own, last);
            assert_true(beside_is_name(own, &told));
            assert_int_equal(told, length + around <= 255 ? length : 0);
            assert_true(beside_is_of(own, name));
            assert_false(beside_is_of(own, other));
            strcpy(last, own);
        }
    }
}

static void name_is_as_documented(void **state)
{
    (void)state;
    char name[256], own[BESIDE_NAME_BYTES];
    beside_name(own, "disk.img", BESIDE_JOURNAL);
    assert_string_equal(own, ".disk.img.haul");
    beside_name(own, "link", BESIDE_NEW);
    assert_string_equal(own, ".link.haul-new");
    name_of_length(name, 255, 'a');
    beside_name(own, name, BESIDE_JOURNAL);
    assert_string_equal(own, ".haul-a582b761e1e78c49");
    beside_name(own, name, BESIDE_NEW);
    assert_string_equal(own, ".haul-a582b761e1e78c49-new");
}

static void name_of_somebody_else_is_none_of_ours(void **state)
{
    (void)state;
    static const struct {
        const char *own, *of; /* NULL: nobody's */
    } rows[] = {
        {"x.haul", NULL},
        {".haul", NULL},
        {".haul-", NULL},
        {".haul-new", NULL},
        {".haul-0123", NULL},
        {".haul-0123456789ABCDEF", NULL},
        {".x.haulx", NULL},
        {".x.haul-", NULL},
        {".x.haul-New", NULL},
        {".x.haul-new~", NULL},
        {".haul-0123456789abcdefg", NULL},
        {"", NULL},
        {".", NULL},
        {".x.haul", "x"},
        {".x.haul-new", "x"},
        {".x.haul.haul", "x.haul"},
        {".x.haul-new.haul", "x.haul-new"},
        {"..x.haul", ".x"},
        {". .haul", " "},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t length;
        assert_int_equal(beside_is_name(rows[i].own, &length), rows[i].of != NULL);
        if (rows[i].of)
            assert_true(beside_is_of(rows[i].own, rows[i].of));
        assert_false(beside_is_of(rows[i].own, "other"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_of_each_length_fits_and_is_known_again),
        cmocka_unit_test(name_is_as_documented),
        cmocka_unit_test(name_of_somebody_else_is_none_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
