/* test_whole.c - the digest of all bytes in their order. */
#include "scratch.h"

#include "haul/base/hash.h"
#include "haul/base/whole.h"

enum { LENGTH = 300 * 1000 };

static const char *of(enum whole_kind kind, const uint8_t *bytes, size_t length, size_t step,
                      char out[WHOLE_TEXT_BYTES])
{
    struct error err = {.class = ERROR_NONE};
    struct whole *whole = NULL;
    assert_int_equal(whole_open(&whole, kind, &err), 0);
    whole_add(whole, "something else", 14);
    whole_restart(whole);
    for (size_t done = 0; done < length; done += step)
        whole_add(whole, bytes + done, length - done < step ? length - done : step);
    whole_end(whole, out);
    whole_close(whole);
    return out;
}

static void sha256_is_that_of_the_standard(void **state)
{
    char out[WHOLE_TEXT_BYTES];
    struct error err = {.class = ERROR_NONE};
    (void)state;
    if (whole_check(WHOLE_SHA256, &err) < 0) {
        assert_string_not_equal(err.text, "");
        skip();
    }
    assert_string_equal(of(WHOLE_SHA256, (const uint8_t *)"abc", 3, 2, out),
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(of(WHOLE_SHA256, NULL, 0, 1, out),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void xxh128_does_not_depend_on_the_pieces(void **state)
{
    static uint8_t bytes[LENGTH];
    char out[WHOLE_TEXT_BYTES], text[DIGEST_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (uint8_t)(i * 131 >> 3);
    struct digest digest = digest_of(bytes, LENGTH);
    digest_text(text, &digest);
    assert_string_equal(of(WHOLE_XXH128, bytes, LENGTH, 1000, out), text);
    assert_string_equal(of(WHOLE_XXH128, bytes, LENGTH, 65537, out), text);
}

/* However large a hole is, no call takes long: it says when it is not over. */
static void holes_are_zeros_a_part_at_a_time(void **state)
{
    enum { HOLE = 20 * 1024 * 1024 };
    struct error err = {.class = ERROR_NONE};
    struct whole *whole = NULL;
    char out[WHOLE_TEXT_BYTES], text[DIGEST_TEXT_BYTES];
    uint32_t calls = 1;
    (void)state;
    assert_int_equal(whole_open(&whole, WHOLE_XXH128, &err), 0);
    while (!whole_fill(whole, HOLE))
        calls++;
    assert_true(calls > 2);
    assert_true(whole_fill(whole, HOLE));
    whole_end(whole, out);
    struct digest zeros = digest_of_zeros(HOLE);
    assert_string_equal(out, digest_text(text, &zeros));
    whole_close(whole);
    whole_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_that_of_the_standard),
        cmocka_unit_test(xxh128_does_not_depend_on_the_pieces),
        cmocka_unit_test(holes_are_zeros_a_part_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
