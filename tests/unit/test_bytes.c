/* Unit tests of bytes.c: layout byte by byte, every cut of a record, and failures that stick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/bytes.h"

static void put_of_each_width_is_little_endian(void **state)
{
    static const uint8_t expected[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0xff,
                                       0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 'r',
                                       'a',  'w',  2,    0,    'h',  'i',  0,    0};
    uint8_t data[sizeof(expected)];
    struct bytes b = bytes_writer(data, sizeof(data));

    (void)state;
    bytes_put_u8(&b, 0x01);
    bytes_put_u16(&b, 0x0203);
    bytes_put_u32(&b, 0x04050607);
    bytes_put_u64(&b, 0x8899aabbccddeeff);
    bytes_put_raw(&b, "raw", 3);
    bytes_put_string(&b, "hi");
    bytes_put_string(&b, "");
    assert_false(b.failed);
    assert_int_equal(b.length, sizeof(expected));
    assert_memory_equal(data, expected, sizeof(expected));
}

/* One record of every kind of field. */
static void put_record(struct bytes *b)
{
    bytes_put_u8(b, 0xff);
    bytes_put_u16(b, 0xfffe);
    bytes_put_u32(b, 0xfffffffd);
    bytes_put_string(b, "name");
    bytes_put_u64(b, UINT64_MAX - 3);
    bytes_put_raw(b, "0123456789abcdef", 16);
}

enum { RECORD_BYTES = 1 + 2 + 4 + 6 + 8 + 16 };

static void get_of_what_was_put_gives_it_back(void **state)
{
    uint8_t data[RECORD_BYTES];
    char name[8], raw[16];
    struct bytes w = bytes_writer(data, sizeof(data));

    (void)state;
    put_record(&w);
    assert_false(w.failed);
    assert_int_equal(w.length, RECORD_BYTES);

    struct bytes r = bytes_reader(data, w.length);
    assert_int_equal(bytes_left(&r), RECORD_BYTES);
    assert_true(bytes_get_u8(&r) == 0xff);
    assert_true(bytes_get_u16(&r) == 0xfffe);
    assert_true(bytes_get_u32(&r) == 0xfffffffd);
    bytes_get_string(&r, name, sizeof(name));
    assert_string_equal(name, "name");
    assert_true(bytes_get_u64(&r) == UINT64_MAX - 3);
    bytes_get_raw(&r, raw, sizeof(raw));
    assert_memory_equal(raw, "0123456789abcdef", 16);
    assert_int_equal(bytes_left(&r), 0);
    assert_false(r.failed);
}

static void put_into_every_smaller_buffer_fails_and_stays_inside(void **state)
{
    uint8_t whole[RECORD_BYTES];
    struct bytes reference = bytes_writer(whole, sizeof(whole));

    (void)state;
    put_record(&reference);
    for (size_t capacity = 0; capacity < RECORD_BYTES; capacity++) {
        /* Of exactly this size, so that a sanitizer sees a byte too many. */
        uint8_t *data = malloc(capacity ? capacity : 1);
        assert_non_null(data);
        struct bytes b = bytes_writer(data, capacity);
        put_record(&b);
        assert_true(b.failed);
        assert_true(b.length <= capacity);
        /* Whole fields before the failure, and none behind it that would have fitted. */
        assert_memory_equal(data, whole, b.length);
        free(data);
    }
}

static void get_from_every_cut_record_fails_with_zeros(void **state)
{
    uint8_t whole[RECORD_BYTES];
    struct bytes reference = bytes_writer(whole, sizeof(whole));

    (void)state;
    put_record(&reference);
    for (size_t length = 0; length < RECORD_BYTES; length++) {
        uint8_t *data = malloc(length ? length : 1);
        char name[8] = "before", raw[16];
        assert_non_null(data);
        memcpy(data, whole, length);
        memset(raw, 'x', sizeof(raw));
        struct bytes r = bytes_reader(data, length);
        assert_true(bytes_get_u8(&r) == (length >= 1 ? 0xff : 0));
        assert_true(bytes_get_u16(&r) == (length >= 3 ? 0xfffe : 0));
        assert_true(bytes_get_u32(&r) == (length >= 7 ? 0xfffffffd : 0));
        bytes_get_string(&r, name, sizeof(name));
        assert_string_equal(name, length >= 13 ? "name" : "");
        assert_true(bytes_get_u64(&r) == (length >= 21 ? UINT64_MAX - 3 : 0));
        bytes_get_raw(&r, raw, sizeof(raw));
        for (size_t i = 0; i < sizeof(raw); i++)
            assert_int_equal(raw[i], 0);
        assert_true(r.failed);
        free(data);
    }
}

static void get_after_a_failure_reads_nothing_more(void **state)
{
    static const uint8_t data[] = {1, 2, 3};
    struct bytes r = bytes_reader(data, sizeof(data));

    (void)state;
    assert_true(bytes_get_u32(&r) == 0);
    assert_true(r.failed);
    /* One byte would be there, but at the place of another field. */
    assert_true(bytes_get_u8(&r) == 0);
    assert_int_equal(bytes_left(&r), 3);
}

static void put_after_a_failure_writes_nothing_more(void **state)
{
    uint8_t data[3] = {9, 9, 9};
    struct bytes b = bytes_writer(data, sizeof(data));

    (void)state;
    bytes_put_u32(&b, 1);
    assert_true(b.failed);
    bytes_put_u8(&b, 1);
    bytes_put_string(&b, "");
    bytes_put_raw(&b, "a", 1);
    assert_int_equal(b.length, 0);
    assert_int_equal(data[0], 9);
}

static void put_of_a_string_that_does_not_fit_writes_no_length(void **state)
{
    uint8_t data[4] = {9, 9, 9, 9};
    struct bytes b = bytes_writer(data, sizeof(data));

    (void)state;
    bytes_put_string(&b, "abc");
    assert_true(b.failed);
    assert_int_equal(b.length, 0);
    assert_int_equal(data[0], 9);
}

static void put_of_the_longest_string_fits_and_one_more_fails(void **state)
{
    size_t capacity = 2 + (size_t)UINT16_MAX + 10;
    uint8_t *data = malloc(capacity);
    char *text = malloc((size_t)UINT16_MAX + 2);
    char *back = malloc((size_t)UINT16_MAX + 1);

    (void)state;
    assert_true(data && text && back);
    memset(text, 'y', (size_t)UINT16_MAX + 1);
    text[UINT16_MAX + 1] = '\0';
    struct bytes b = bytes_writer(data, capacity);
    bytes_put_string(&b, text);
    assert_true(b.failed);
    assert_int_equal(b.length, 0);

    text[UINT16_MAX] = '\0';
    b = bytes_writer(data, capacity);
    bytes_put_string(&b, text);
    assert_false(b.failed);
    assert_int_equal(b.length, 2 + UINT16_MAX);
    bytes_get_string(&b, back, (size_t)UINT16_MAX + 1);
    assert_false(b.failed);
    assert_string_equal(back, text);
    free(data);
    free(text);
    free(back);
}

static void get_string_into_exact_and_short_room_fits_and_fails(void **state)
{
    static const uint8_t data[] = {3, 0, 'a', 'b', 'c'};
    char out[4] = "zzz";
    struct bytes r = bytes_reader(data, sizeof(data));

    (void)state;
    bytes_get_string(&r, out, 4);
    assert_false(r.failed);
    assert_string_equal(out, "abc");

    r = bytes_reader(data, sizeof(data));
    bytes_get_string(&r, out, 3);
    assert_true(r.failed);
    assert_string_equal(out, "");
    assert_int_equal(bytes_left(&r), sizeof(data));

    out[0] = 'z';
    r = bytes_reader(data, sizeof(data));
    bytes_get_string(&r, out, 0);
    assert_true(r.failed);
    assert_int_equal(out[0], 'z');
}

static void get_string_with_a_nul_inside_fails(void **state)
{
    static const uint8_t data[] = {3, 0, 'a', 0, 'c', 7};
    char out[8] = "before";
    struct bytes r = bytes_reader(data, sizeof(data));

    (void)state;
    bytes_get_string(&r, out, sizeof(out));
    assert_true(r.failed);
    assert_string_equal(out, "");
    assert_true(bytes_get_u8(&r) == 0);
}

static void get_string_longer_than_the_data_fails(void **state)
{
    static const uint8_t data[] = {0xff, 0xff, 'a'};
    static char out[70000];
    struct bytes r = bytes_reader(data, sizeof(data));

    (void)state;
    bytes_get_string(&r, out, sizeof(out));
    assert_true(r.failed);
    assert_string_equal(out, "");
}

static void writing_into_a_reader_fails_and_leaves_the_data(void **state)
{
    static const uint8_t data[] = {1, 2, 3, 4}; /* read-only memory: a write would be a crash */
    struct bytes r = bytes_reader(data, sizeof(data));

    (void)state;
    bytes_put_u8(&r, 9);
    assert_true(r.failed);
}

static void empty_buffers_and_fields_are_legal(void **state)
{
    struct bytes w = bytes_writer(NULL, 0);
    struct bytes r = bytes_reader(NULL, 0);

    (void)state;
    bytes_put_raw(&w, NULL, 0);
    bytes_get_raw(&r, NULL, 0);
    assert_false(w.failed);
    assert_false(r.failed);
    assert_int_equal(bytes_left(&r), 0);
    bytes_put_u8(&w, 1);
    assert_true(bytes_get_u8(&r) == 0);
    assert_true(w.failed);
    assert_true(r.failed);
}

static void raw_of_huge_length_does_not_wrap(void **state)
{
    uint8_t data[8] = {0};
    struct bytes w = bytes_writer(data, sizeof(data));

    (void)state;
    bytes_put_u32(&w, 1);
    bytes_put_raw(&w, data, SIZE_MAX - 1);
    assert_true(w.failed);
    assert_int_equal(w.length, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_of_each_width_is_little_endian),
        cmocka_unit_test(get_of_what_was_put_gives_it_back),
        cmocka_unit_test(put_into_every_smaller_buffer_fails_and_stays_inside),
        cmocka_unit_test(get_from_every_cut_record_fails_with_zeros),
        cmocka_unit_test(get_after_a_failure_reads_nothing_more),
        cmocka_unit_test(put_after_a_failure_writes_nothing_more),
        cmocka_unit_test(put_of_a_string_that_does_not_fit_writes_no_length),
        cmocka_unit_test(put_of_the_longest_string_fits_and_one_more_fails),
        cmocka_unit_test(get_string_into_exact_and_short_room_fits_and_fails),
        cmocka_unit_test(get_string_with_a_nul_inside_fails),
        cmocka_unit_test(get_string_longer_than_the_data_fails),
        cmocka_unit_test(writing_into_a_reader_fails_and_leaves_the_data),
        cmocka_unit_test(empty_buffers_and_fields_are_legal),
        cmocka_unit_test(raw_of_huge_length_does_not_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
