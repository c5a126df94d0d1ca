/* Unit tests of hash.c against answers of xxhsum -H2 0.8.1, which is another program. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/hash.h"

/* Lengths on both sides of each border inside XXH3 (16, 128, 240, its 1024-byte blocks), and a
 * chunk. `pattern` is for the first `length` bytes of fill(), `zeros` for as many zeros. */
static const struct known {
    size_t length;
    char pattern[DIGEST_TEXT_BYTES];
    char zeros[DIGEST_TEXT_BYTES];
} known[] = {
    {0, "99aa06d3014798d86001c324468d497f", "99aa06d3014798d86001c324468d497f"},
    {1, "a6cd5e9392000f6ac44bdff4074eecdb", "a6cd5e9392000f6ac44bdff4074eecdb"},
    {3, "20efc49ff02422ea54247382a8d6b94d", "f21da334f2869f1beb5d658bb22f286b"},
    {4, "970d585ac632bf8e2e7d8d6876a39fe9", "2a33816ed7e0c373dbe563c737220b65"},
    {8, "47a7f080d82bb45664c69cab4bb21dc5", "2c0a8a99dc147d5445c3b49d035665b2"},
    {9, "564ef6078950d457ed7ccbc501eb7501", "be637bf2e7ab4aec17dbb924bfd111e6"},
    {16, "c68c368ecf8a9c05562980258a998629", "e5189a9599e3f86205ea23ef06e28b2d"},
    {17, "955fa78643ed3669abbc12d11973d7db", "a3d7e4cef35b1f44c2915ca0df7ad4c1"},
    {128, "39992220e045260aebb15e34a7fb5ab1", "d3c4f706d8fc547f093c29f27ecfcf21"},
    {129, "03815fc91f1b30b686c9e3bc8f0a3b5c", "5dc489d54b6d88d4dd4911635f2c7a91"},
    {240, "aa4202daa2769dc85c9aae94c8ebe5a0", "0550e1dd88b6c17ca499f0a80fd3850a"},
    {241, "99a80ecf0ecfc647c5a639ecd2030e5e", "b9b45065a364c5b95c5b5d5d40c59ce3"},
    {256, "8b1c66091423d28855de574ad89d0ac5", "bb039d71e9630a91a68dfbb1d75c6e8d"},
    {257, "f15fee7f9f457599b17fd5a8ae75bb0b", "041499709caf353bd88dd5c18af72108"},
    {1023, "e8083e4d83214c3c87a8f7b2f2e22496", "bb212fa68a0e60eb44f6e03c93e8df93"},
    {1024, "0d30d24071c64c57dd85c9b5c1109c5c", "0717191e67688313de5f15ab6daf7941"},
    {1025, "fd3ee4fe7f2954c6d870c0fa13211c6a", "29e523d2db09ee9d64ace6654784c523"},
    {65536, "deafbd9df07edb70918f7f0f912ca480", "fd5ee061c8433a0f33b202d302b65caa"},
    {1048576, "6f7444ca6384250b7ade52bbfbd697ba", "b6ef17a3448492b6918780b90550bf34"},
    {1048589, "f391d4ce1ff29b4f4fe0dbdfc8fde8a3", "daa350572bdb5f3e70bb4916635146e7"},
};

enum { KNOWN_COUNT = sizeof(known) / sizeof(known[0]), FILL_BYTES = (1 << 20) + 13 };

/* The pseudo-random bytes that xxHash's own sanity check uses. The caller frees. */
static uint8_t *fill(size_t length)
{
    uint8_t *data = malloc(length ? length : 1);
    uint64_t generator = 2654435761u;

    assert_non_null(data);
    for (size_t i = 0; i < length; i++) {
        data[i] = (uint8_t)(generator >> 56);
        generator *= 11400714785074694797u;
    }
    return data;
}

static void assert_digest(const struct digest *digest, const char *expected)
{
    char text[DIGEST_TEXT_BYTES];

    assert_string_equal(digest_text(text, digest), expected);
}

static void digest_of_known_data_is_what_xxhsum_prints(void **state)
{
    uint8_t *data = fill(FILL_BYTES);

    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        struct digest digest = digest_of(data, known[i].length);
        assert_digest(&digest, known[i].pattern);
    }
    free(data);
}

static void digest_of_data_at_any_address_is_the_same(void **state)
{
    uint8_t *data = fill(4096);
    uint8_t *room = malloc(4096 + 64);
    struct digest expected = digest_of(data, 4096);

    (void)state;
    assert_non_null(room);
    for (size_t shift = 0; shift < 64; shift++) {
        memcpy(room + shift, data, 4096);
        struct digest digest = digest_of(room + shift, 4096);
        assert_true(digest_equal(&digest, &expected));
    }
    free(data);
    free(room);
}

static void digest_of_one_flipped_bit_differs(void **state)
{
    uint8_t *data = fill(2048);
    struct digest expected = digest_of(data, 2048);

    (void)state;
    for (size_t bit = 0; bit < 2048 * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct digest digest = digest_of(data, 2048);
        assert_false(digest_equal(&digest, &expected));
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(data);
}

static void digest_of_zeros_of_known_length_is_what_xxhsum_prints(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        struct digest digest = digest_of_zeros(known[i].length);
        assert_digest(&digest, known[i].zeros);
    }
}

static void digest_of_zeros_of_any_length_is_that_of_real_zeros(void **state)
{
    const size_t most = (size_t)1 << 22;
    uint8_t *zeros = calloc(most, 1);

    (void)state;
    assert_non_null(zeros);
    for (size_t length = 0; length <= 2100; length++) {
        struct digest real = digest_of(zeros, length);
        struct digest quick = digest_of_zeros(length);
        assert_true(digest_equal(&quick, &real));
    }
    /* Around multiples of every power of two, those of the block of zeros among them. */
    for (size_t power = 4096; power <= most; power *= 2) {
        for (size_t length = power - 2; length <= power + 2 && length <= most; length++) {
            struct digest real = digest_of(zeros, length);
            struct digest quick = digest_of_zeros(length);
            assert_true(digest_equal(&quick, &real));
        }
    }
    free(zeros);
}

static void digest_of_zeros_asked_again_is_the_same_and_follows_the_length(void **state)
{
    (void)state;
    /* The remembered answer: repeated, changed, changed back, and 0 in between. */
    static const size_t order[] = {18, 18, 18, 17, 18, 0, 0, 18, 0, 17, 17};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const struct known *k = &known[order[i]];
        struct digest digest = digest_of_zeros(k->length);
        assert_digest(&digest, k->zeros);
    }
}

struct asker {
    pthread_t thread;
    size_t offset; /* into known: each thread asks for other lengths at the same time */
    unsigned wrong;
};

static void *ask_zeros(void *argument)
{
    struct asker *asker = argument;

    for (size_t i = 0; i < 100000; i++) {
        const struct known *k = &known[(i / 3 + asker->offset) % 14];
        char text[DIGEST_TEXT_BYTES];
        struct digest digest = digest_of_zeros(k->length);
        if (strcmp(digest_text(text, &digest), k->zeros) != 0)
            asker->wrong++;
    }
    return NULL;
}

static void digest_of_zeros_from_many_threads_is_right_in_each(void **state)
{
    struct asker askers[8] = {0};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        askers[i].offset = i;
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_zeros, &askers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(askers[i].wrong, 0);
}

static void digest_equal_looks_at_every_byte(void **state)
{
    struct digest a = digest_of("a", 1);

    (void)state;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        struct digest b = a;
        assert_true(digest_equal(&a, &b));
        b.bytes[i] ^= 1;
        assert_false(digest_equal(&a, &b));
    }
}

static void digest_parse_of_its_text_gives_the_digest_back(void **state)
{
    uint8_t *data = fill(2000);

    (void)state;
    for (size_t length = 0; length < 2000; length++) {
        struct digest digest = digest_of(data, length);
        struct digest back;
        char text[DIGEST_TEXT_BYTES];
        assert_true(digest_parse(digest_text(text, &digest), &back));
        assert_true(digest_equal(&digest, &back));
    }
    free(data);
}

static void digest_parse_takes_capitals_too(void **state)
{
    struct digest lower, upper;

    (void)state;
    assert_true(digest_parse("99aa06d3014798d86001c324468d497f", &lower));
    assert_true(digest_parse("99AA06D3014798D86001C324468D497F", &upper));
    assert_true(digest_equal(&lower, &upper));
    assert_int_equal(lower.bytes[0], 0x99);
    assert_int_equal(lower.bytes[15], 0x7f);
}

static void digest_parse_of_anything_else_refuses_and_keeps_out(void **state)
{
    static const char *const wrong[] = {
        "",
        "9",
        "99aa06d3014798d86001c324468d497",
        "99aa06d3014798d86001c324468d497f0",
        "99aa06d3014798d86001c324468d497f ",
        " 9aa06d3014798d86001c324468d497f",
        "0x99aa06d3014798d86001c324468d49",
        "99aa06d3014798d8 6001c324468d497",
        "g9aa06d3014798d86001c324468d497f",
        "9gaa06d3014798d86001c324468d497f",
        "99aa06d3014798d86001c324468d497\xb2",
        "-1aa06d3014798d86001c324468d497f",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct digest out;
        memset(&out, 0x5a, sizeof(out));
        /* A copy of exactly this size, so that a sanitizer sees a byte read too many. */
        char *text = strdup(wrong[i]);
        assert_non_null(text);
        if (digest_parse(text, &out))
            fail_msg("'%s' was accepted", text);
        for (size_t at = 0; at < DIGEST_BYTES; at++)
            assert_int_equal(out.bytes[at], 0x5a);
        free(text);
    }
}

static void fold_of_any_count_is_the_digest_of_the_digests_in_a_row(void **state)
{
    enum { COUNT = 600 }; /* 9600 bytes: every border inside XXH3 is passed */
    uint8_t *row = malloc(COUNT * DIGEST_BYTES);
    struct digest_fold *fold = digest_fold_open();

    (void)state;
    assert_true(row && fold);
    for (uint32_t count = 0; count <= COUNT; count++) {
        struct digest value = digest_fold_value(fold);
        struct digest expected = digest_of(row, count * DIGEST_BYTES);
        assert_true(digest_equal(&value, &expected));
        /* Asking changes nothing. */
        value = digest_fold_value(fold);
        assert_true(digest_equal(&value, &expected));
        if (count == COUNT)
            break;
        struct digest next = digest_of(&count, sizeof(count));
        memcpy(row + count * DIGEST_BYTES, next.bytes, DIGEST_BYTES);
        digest_fold_add(fold, &next);
    }
    digest_fold_close(fold);
    digest_fold_close(NULL);
    free(row);
}

static void fold_in_another_order_differs(void **state)
{
    struct digest a = digest_of("a", 1), b = digest_of("b", 1);
    struct digest_fold *ab = digest_fold_open(), *ba = digest_fold_open();

    (void)state;
    assert_true(ab && ba);
    digest_fold_add(ab, &a);
    digest_fold_add(ab, &b);
    digest_fold_add(ba, &b);
    digest_fold_add(ba, &a);
    struct digest one = digest_fold_value(ab), other = digest_fold_value(ba);
    assert_false(digest_equal(&one, &other));
    digest_fold_close(ab);
    digest_fold_close(ba);
}

static void checksum_of_known_data_is_xxh3_64_with_the_seed(void **state)
{
    /* Published by xxHash in its tests/sanity_test_vectors.h: seed 0, and PRIME64 as the seed. */
    static const struct {
        size_t length;
        uint64_t plain;
        uint64_t seeded;
    } published[] = {
        {0, 0x2d06800538d394c2, 0xa8a6b918b2f0364a},
        {1, 0xc44bdff4074eecdb, 0x032be332dd766ef8},
        {6, 0x27b56a84cd2d7325, 0x84589c116ab59ab9},
        {12, 0xa713daf0dfbb77e7, 0xe7303e1b2336de0e},
        {24, 0xa3fe70bf9d3510eb, 0x850e80fc35bdd690},
        {48, 0x397da259ecba1f11, 0xadc2cbaa44acc616},
        {80, 0xbcdefbbb2c47c90a, 0xc6dd0cb699532e73},
        {195, 0xcd94217ee362ec3a, 0xba68003d370cb3d9},
        {403, 0xcdeb804d65c6dea4, 0x6259f6ecfd6443fd},
        {512, 0x617e49599013cb6b, 0x3ce457de14c27708},
        {2048, 0xdd59e2c3a5f038e0, 0x66f81670669ababc},
        {2240, 0x6e73a90539cf2948, 0x757ba8487d1b5247},
    };
    uint8_t *data = fill(4096);

    (void)state;
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        size_t length = published[i].length;
        assert_true(checksum_of(data, length, 0) == published[i].plain);
        assert_true(checksum_of(data, length, 11400714785074694797u) == published[i].seeded);
    }
    free(data);
}

static void checksum_of_zeros_with_a_seed_is_not_zero_and_depends_on_it(void **state)
{
    static const uint8_t zeros[4096];

    (void)state;
    for (size_t length = 1; length <= sizeof(zeros); length *= 2) {
        uint64_t one = checksum_of(zeros, length, 1);
        uint64_t two = checksum_of(zeros, length, 2);
        assert_true(one != 0 && two != 0 && one != two);
        assert_true(one == checksum_of(zeros, length, 1));
    }
}

static void hash_version_names_library_and_choice(void **state)
{
    (void)state;
    assert_memory_equal(hash_version(), "xxhash 0.", 9);
    assert_non_null(strstr(hash_version(), "vectors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_of_known_data_is_what_xxhsum_prints),
        cmocka_unit_test(digest_of_data_at_any_address_is_the_same),
        cmocka_unit_test(digest_of_one_flipped_bit_differs),
        cmocka_unit_test(digest_of_zeros_of_known_length_is_what_xxhsum_prints),
        cmocka_unit_test(digest_of_zeros_of_any_length_is_that_of_real_zeros),
        cmocka_unit_test(digest_of_zeros_asked_again_is_the_same_and_follows_the_length),
        cmocka_unit_test(digest_of_zeros_from_many_threads_is_right_in_each),
        cmocka_unit_test(digest_equal_looks_at_every_byte),
        cmocka_unit_test(digest_parse_of_its_text_gives_the_digest_back),
        cmocka_unit_test(digest_parse_takes_capitals_too),
        cmocka_unit_test(digest_parse_of_anything_else_refuses_and_keeps_out),
        cmocka_unit_test(fold_of_any_count_is_the_digest_of_the_digests_in_a_row),
        cmocka_unit_test(fold_in_another_order_differs),
        cmocka_unit_test(checksum_of_known_data_is_xxh3_64_with_the_seed),
        cmocka_unit_test(checksum_of_zeros_with_a_seed_is_not_zero_and_depends_on_it),
        cmocka_unit_test(hash_version_names_library_and_choice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
