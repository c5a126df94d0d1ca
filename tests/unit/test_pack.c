/* test_pack.c - chunks made smaller and whole again. */
#include "haul/base/pack.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CHUNK = 1 << 20 };

static void fill_words(uint8_t *data, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        data[i] = (uint8_t)((uint8_t) "row of a table, "[i % 16] + (i / 4096) % 7);
}

static void fill_random(uint8_t *data, uint32_t length)
{
    uint64_t state = 88172645463325252u;
    for (uint32_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data[i] = (uint8_t)state;
    }
}

struct fixture {
    struct pack *pack;
    uint8_t *data, *back;
};

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->pack = pack_open(CHUNK);
    fixture->data = malloc(CHUNK);
    fixture->back = malloc(CHUNK);
    *state = fixture;
    return fixture->pack ? 0 : -1;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    pack_close(fixture->pack);
    free(fixture->data);
    free(fixture->back);
    free(fixture);
    return 0;
}

static void shrink_then_expand_gives_the_same(void **state)
{
    struct fixture *fixture = *state;
    const void *packed_data;
    const uint32_t lengths[] = {64, 4095, 65536, CHUNK - 1, CHUNK};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        fill_words(fixture->data, lengths[i]);
        uint32_t packed = pack_shrink(fixture->pack, fixture->data, lengths[i], &packed_data);
        assert_true(packed > 0 && packed < lengths[i]);
        memcpy(pack_incoming(fixture->pack), packed_data, packed);
        assert_true(pack_expand(fixture->pack, packed, fixture->back, lengths[i]));
        assert_memory_equal(fixture->back, fixture->data, lengths[i]);
    }
}

static void shrink_of_random_data_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const void *packed_data;
    fill_random(fixture->data, CHUNK);
    assert_int_equal(pack_shrink(fixture->pack, fixture->data, CHUNK, &packed_data), 0);
    assert_int_equal(pack_shrink(fixture->pack, fixture->data, 1, &packed_data), 0);
    assert_int_equal(pack_shrink(fixture->pack, fixture->data, 0, &packed_data), 0);
}

static void expand_of_another_length_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const void *packed_data;
    fill_words(fixture->data, 65536);
    uint32_t packed = pack_shrink(fixture->pack, fixture->data, 65536, &packed_data);
    memcpy(pack_incoming(fixture->pack), packed_data, packed);
    assert_false(pack_expand(fixture->pack, packed, fixture->back, 65535));
    assert_false(pack_expand(fixture->pack, packed, fixture->back, 65537));
    assert_false(pack_expand(fixture->pack, packed - 1, fixture->back, 65536));
}

static void expand_of_two_frames_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const void *packed_data;
    fill_words(fixture->data, 65536);
    uint32_t packed = pack_shrink(fixture->pack, fixture->data, 65536, &packed_data);
    uint8_t *incoming = pack_incoming(fixture->pack);
    memcpy(incoming, packed_data, packed);
    memcpy(incoming + packed, packed_data, packed);
    assert_true(pack_expand(fixture->pack, packed, fixture->back, 65536));
    assert_false(pack_expand(fixture->pack, 2 * packed, fixture->back, 2 * 65536));
}

/* 0.1 to 0.7 of zstd, whose code is no part of agents, and a frame that is to be skipped. */
static void expand_of_older_formats_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t begins[][4] = {{0x1e, 0xb5, 0x2f, 0xfd}, {0x22, 0xb5, 0x2f, 0xfd},
                                        {0x25, 0xb5, 0x2f, 0xfd}, {0x26, 0xb5, 0x2f, 0xfd},
                                        {0x27, 0xb5, 0x2f, 0xfd}, {0x50, 0x2a, 0x4d, 0x18}};
    uint8_t *incoming = pack_incoming(fixture->pack);
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        memset(incoming, 0, 64);
        memcpy(incoming, begins[i], sizeof(begins[i]));
        for (uint32_t length = 0; length < 64; length++)
            assert_false(pack_expand(fixture->pack, length, fixture->back, 0));
    }
}

static void expand_of_any_bytes_never_writes_beyond(void **state)
{
    struct fixture *fixture = *state;
    const void *packed_data;
    fill_words(fixture->data, 65536);
    uint32_t packed = pack_shrink(fixture->pack, fixture->data, 65536, &packed_data);
    for (uint32_t i = 0; i < packed * 8; i++) {
        uint8_t *incoming = pack_incoming(fixture->pack);
        memcpy(incoming, packed_data, packed);
        incoming[i / 8] ^= (uint8_t)(1u << i % 8);
        fixture->back[4096] = 0x5a;
        (void)pack_expand(fixture->pack, packed, fixture->back, 4096);
        assert_int_equal(fixture->back[4096], 0x5a);
    }
}

/* Under a sanitizer the allocator's figures are all 0. */
static void takes_no_more_memory_than_it_says(void **state)
{
    static const uint32_t sizes[] = {64 * 1024, CHUNK, 16 * CHUNK};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t length = sizes[i];
        uint8_t *data = malloc(length);
        assert_non_null(data);
        fill_words(data, length);
        struct mallinfo2 before = mallinfo2();
        struct pack *pack = pack_open(length);
        const void *out;
        assert_non_null(pack);
        uint32_t packed = pack_shrink(pack, data, length, &out);
        assert_true(packed > 0);
        memcpy(pack_incoming(pack), out, packed);
        assert_true(pack_expand(pack, packed, data, length));
        struct mallinfo2 after = mallinfo2();
        uint64_t taken = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
        if (taken > pack_memory(length))
            fail_msg("%u: %llu bytes", length, (unsigned long long)taken);
        pack_close(pack);
        free(data);
    }
}

int main(void)
{
    if (!pack_version()) {
        puts("built without zstd");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shrink_then_expand_gives_the_same, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(shrink_of_random_data_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(expand_of_another_length_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(expand_of_two_frames_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(expand_of_older_formats_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(expand_of_any_bytes_never_writes_beyond, open_fixture,
                                        close_fixture),
        cmocka_unit_test(takes_no_more_memory_than_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
