/* Unit tests of text.c. */
#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#define TIB (1024 * GIB)
#define PIB (1024 * TIB)
#define EIB (1024 * PIB)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- written ---- */

static void size_of_any_magnitude_has_three_digits(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1, "1 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {1536, "1.50 KiB"},
        {10 * KIB - 1, "10.0 KiB"}, /* 9.999: not 10.00 */
        {10 * KIB - 6, "9.99 KiB"},
        {10 * KIB, "10.0 KiB"},
        {100 * KIB - 1, "100 KiB"}, /* 99.999: not 100.0 */
        {1000 * KIB, "1000 KiB"},
        {1023 * KIB + 511, "1023 KiB"},
        {1023 * KIB + 512, "1.00 MiB"}, /* 1023.5: not 1024 KiB */
        {MIB - 1, "1.00 MiB"},
        {MIB, "1.00 MiB"},
        {GIB + GIB / 2, "1.50 GiB"},
        {4 * GIB, "4.00 GiB"},
        {GIB - 1, "1.00 GiB"},
        {2 * TIB, "2.00 TiB"},
        {TIB - 1, "1.00 TiB"},
        {PIB + PIB / 4, "1.25 PiB"},
        {EIB - 1, "1.00 EiB"},
        {EIB, "1.00 EiB"},
        {15 * EIB + EIB / 2, "15.5 EiB"},
        {UINT64_MAX - 1, "16.0 EiB"},
        {NUM_UNKNOWN, "unknown"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[TEXT_NUMBER_BYTES];
        assert_ptr_equal(text_size(out, cases[i].bytes), out);
        assert_string_equal(out, cases[i].text);
    }
}

static void rate_has_the_unit_of_a_second(void **state)
{
    char out[TEXT_NUMBER_BYTES];

    (void)state;
    assert_string_equal(text_rate(out, 317 * MIB), "317 MiB/s");
    assert_string_equal(text_rate(out, 0), "0 B/s");
    assert_string_equal(text_rate(out, 3 * GIB / 2), "1.50 GiB/s");
    assert_string_equal(text_rate(out, UINT64_MAX - 1), "16.0 EiB/s");
    assert_string_equal(text_rate(out, NUM_UNKNOWN), "unknown");
}

static void seconds_change_form_at_a_minute(void **state)
{
    static const struct {
        uint64_t duration_ns;
        const char *text;
    } cases[] = {
        {0, "0.0 s"},
        {49 * NS_PER_MS, "0.0 s"},
        {50 * NS_PER_MS, "0.1 s"},
        {12300 * NS_PER_MS, "12.3 s"},
        {59949 * NS_PER_MS, "59.9 s"},
        {59950 * NS_PER_MS, "0:01:00"}, /* not 60.0 s */
        {60 * NS_PER_SECOND, "0:01:00"},
        {3599499 * NS_PER_MS, "0:59:59"},
        {3599500 * NS_PER_MS, "1:00:00"},
        {3723 * NS_PER_SECOND, "1:02:03"},
        {360000 * NS_PER_SECOND, "100:00:00"},
        {UINT64_MAX - 1, "5124095:34:34"},
        {NUM_UNKNOWN, "unknown"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[TEXT_NUMBER_BYTES];
        assert_ptr_equal(text_seconds(out, cases[i].duration_ns), out);
        assert_string_equal(out, cases[i].text);
    }
}

/* ---- read ---- */

struct parsed {
    const char *text;
    uint64_t value;
};

typedef bool parser(const char *text, uint64_t *out);

static void check_parsed(parser *parse, const struct parsed *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t out = 42;
        if (!parse(cases[i].text, &out))
            fail_msg("'%s' was refused", cases[i].text);
        if (out != cases[i].value)
            fail_msg("'%s' gave %ju, not %ju", cases[i].text, (uintmax_t)out,
                     (uintmax_t)cases[i].value);
    }
}

static void check_refused(parser *parse, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t out = 42;
        /* Memory of exactly this size, so that a sanitizer sees a byte read too many. */
        char *text = strdup(texts[i]);
        assert_non_null(text);
        if (parse(text, &out))
            fail_msg("'%s' was accepted", text);
        if (out != 42)
            fail_msg("'%s' changed out", text);
        free(text);
    }
}

static void parse_size_with_each_unit_multiplies(void **state)
{
    static const struct parsed cases[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"64K", 65536},
        {"64k", 65536},
        {"64KiB", 65536},
        {"64kib", 65536},
        {"64KB", 64000},
        {"64kB", 64000},
        {"64kb", 64000},
        {"1M", 1048576},
        {"1MB", 1000000},
        {"1MiB", 1048576},
        {"3g", 3 * GIB},
        {"3GB", 3000000000u},
        {"1T", TIB},
        {"1TB", 1000000000000u},
        {"1P", PIB},
        {"1PB", 1000000000000000u},
        {"1E", EIB},
        {"1EB", 1000000000000000000u},
        {"0E", 0},
        {"007K", 7168},
    };

    (void)state;
    check_parsed(text_parse_size, cases, COUNT(cases));
}

static void parse_size_with_a_fraction_is_exact_and_rounds_up(void **state)
{
    static const struct parsed cases[] = {
        {"1.5G", 3 * GIB / 2},
        {"1.5GB", 1500000000u},
        {".5K", 512},
        {"2.K", 2048},
        {"0.1K", 103}, /* 102.4 */
        {"1.0", 1},
        {"1.5", 2},
        {"0.0001K", 1}, /* a limit, however small, does not become "none" */
        {"0.000K", 0},
        {"0.5B", 1},
        {"0.25E", EIB / 4},
        {"0.0009765625K", 1},
        {"0.00097656250000000000000000000000000000000000001K", 2},
        {"0.33333333333333333333333333333333333333333333333333K", 342},
        {"1.99999999999999999999999999999999999999999999999999E", 2 * EIB},
    };

    (void)state;
    check_parsed(text_parse_size, cases, COUNT(cases));
}

static void parse_size_up_to_the_largest_number_accepts_and_above_refuses(void **state)
{
    static const struct parsed most[] = {
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551615B", UINT64_MAX},
        {"18446744073709551614.5", UINT64_MAX},
        {"18014398509481983K", UINT64_MAX - 1023},
        {"15E", 15 * EIB},
        {"15.5E", 15 * EIB + EIB / 2},
        {"18.446744073709551615EB", UINT64_MAX},
        {"000000000000000000000000000001E", EIB},
    };
    static const char *const over[] = {
        "18446744073709551616",
        "18446744073709551615.1",
        "18014398509481984K",
        "16E",
        "19EB",
        "18.446744073709551616EB",
        "15.99999999999999999999999999E",
        "99999999999999999999999999999999999999999999999",
        "18446744073709551615E",
    };

    (void)state;
    check_parsed(text_parse_size, most, COUNT(most));
    check_refused(text_parse_size, over, COUNT(over));
}

static void parse_size_of_anything_else_refuses_and_keeps_out(void **state)
{
    static const char *const wrong[] = {
        "",      "K",     ".",     ".K",  "B",     "-1",   "+1",       "-0",  " 1",  "1 ",  "1 K",
        "1K ",   "1\n",   "0x10",  "1e3", "1,5K",  "1..5", "1.5.5",    "1KK", "1Ki", "1iB", "1BB",
        "1KBB",  "1KiBB", "1KiBx", "1Z",  "1Y",    "1b",   "1c",       "1w",  "nan", "inf", "auto",
        "1\xb2", "1%",    "1K1",   "--",  "1.-5K", "1K.5", "\xd9\xa1", /* an Arabic digit */
    };

    (void)state;
    check_refused(text_parse_size, wrong, COUNT(wrong));
}

static void parse_rate_without_a_suffix_is_in_kibibytes(void **state)
{
    static const struct parsed cases[] = {
        {"0", 0},
        {"100", 102400},
        {"1.5", 1536},
        {"1.5m", 3 * MIB / 2},
        {"512B", 512},
        {"10MB", 10000000},
        {"10MiB", 10 * MIB},
        {"0.0001", 1},
        {"18014398509481983", UINT64_MAX - 1023},
    };
    static const char *const wrong[] = {"", "-1", "18014398509481984", "1M/s", "fast", "1 M"};

    (void)state;
    check_parsed(text_parse_rate, cases, COUNT(cases));
    check_refused(text_parse_rate, wrong, COUNT(wrong));
}

static void parse_duration_with_each_unit_gives_nanoseconds(void **state)
{
    static const struct parsed cases[] = {
        {"0", 0},
        {"5", 5 * NS_PER_SECOND},
        {"5s", 5 * NS_PER_SECOND},
        {"0.25", NS_PER_SECOND / 4},
        {"1.5m", 90 * NS_PER_SECOND},
        {"2h", 7200 * NS_PER_SECOND},
        {"0.000000001", 1},
        {"0.0000000001", 1},
        {"18446744073.709551615", UINT64_MAX},
    };
    static const char *const wrong[] = {
        "",
        "s",
        "-1",
        "5 s",
        "5S",
        "5ms",
        "5d",
        "1h30m",
        "1:30",
        "5M",
        "5sec",
        "5K",
        "18446744073.709551616",
        "5124096h",
    };

    (void)state;
    check_parsed(text_parse_duration, cases, COUNT(cases));
    check_refused(text_parse_duration, wrong, COUNT(wrong));
}

/* ---- names ---- */

/* Is it UTF-8? Asked of the C library, so that our own table is not its own judge. */
static bool is_utf8(iconv_t converter, const char *text, size_t length)
{
    char *in = (char *)(uintptr_t)text;
    char out[4096];
    char *out_at = out;
    size_t out_left = sizeof(out);

    iconv(converter, NULL, NULL, NULL, NULL);
    return iconv(converter, &in, &length, &out_at, &out_left) != (size_t)-1;
}

static iconv_t open_converter(void)
{
    iconv_t converter = iconv_open("UCS-4LE", "UTF-8");

    assert_true(converter != (iconv_t)-1);
    return converter;
}

static void escape_of_ordinary_names_changes_nothing(void **state)
{
    static const char *const same[] = {
        "",
        "disk.img",
        "a b",
        "-x",
        "~",
        "\"'$`",
        "gr\xc3\xbc\xc3\x9f",
        "\xe6\x97\xa5\xe6\x9c\xac",
        "\xf0\x9f\x92\xbe",
        "\xc2\xa0",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xf4\x8f\xbf\xbf",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(same); i++) {
        char out[64];
        assert_ptr_equal(text_escape(out, sizeof(out), same[i]), out);
        assert_string_equal(out, same[i]);
    }
}

static void escape_of_control_characters_and_wrong_bytes_shows_them(void **state)
{
    static const struct {
        const char *text;
        const char *escaped;
    } cases[] = {
        {"a\nb\tc\\d", "a\\nb\\tc\\\\d"},
        {"\x1b[31m\r\a\x7f", "\\033[31m\\015\\007\\177"},
        {"\x01", "\\001"},
        {"\xff\xfe", "\\377\\376"},
        {"\x80", "\\200"},                   /* a continuation alone */
        {"\xc3", "\\303"},                   /* cut */
        {"\xc3z", "\\303z"},                 /* what follows is kept */
        {"\xe6\x97", "\\346\\227"},          /* cut in a longer one */
        {"\xf0\x9f\x92", "\\360\\237\\222"}, /* and in the longest */
        {"\xc0\xaf", "\\300\\257"},          /* overlong / */
        {"\xe0\x80\xaf", "\\340\\200\\257"}, /* the same in three */
        {"\xf0\x80\x80\xaf", "\\360\\200\\200\\257"},
        {"\xed\xa0\x80", "\\355\\240\\200"},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\\364\\220\\200\\200"}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", "\\365\\200\\200\\200"},
        {"\xc2\x9b", "\\302\\233"}, /* U+009B: CSI, valid UTF-8 */
        {"\xc2\x80", "\\302\\200"},
        {"\xc2\x9f\xc2\xa0", "\\302\\237\xc2\xa0"},
        {"caf\xe9.img", "caf\\351.img"}, /* Latin-1 */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        assert_string_equal(text_escape(out, sizeof(out), cases[i].text), cases[i].escaped);
    }
}

/* Reads escapes back; returns the length. Written without a look at the other direction. */
static size_t unescape(char *out, const char *text)
{
    size_t length = 0;

    while (*text) {
        if (*text != '\\') {
            out[length++] = *text++;
        } else if (text[1] >= '0' && text[1] <= '3') {
            char octal[4] = {text[1], text[2], text[3], '\0'};
            out[length++] = (char)strtol(octal, NULL, 8);
            text += 4;
        } else {
            out[length++] = (char)(text[1] == 'n' ? '\n' : text[1] == 't' ? '\t' : text[1]);
            text += 2;
        }
    }
    return length;
}

/* Random bytes in which UTF-8 and its mistakes are frequent. No NUL. */
static size_t random_name(char *out, size_t most, uint64_t *seed)
{
    static const unsigned char spice[] = {0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
                                          0xc3, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4,
                                          0xf5, 0xff, '\\', '"',  '\n', 0x1f, 0x7f, 'a'};
    size_t length = 0;

    for (; length < most; length++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        unsigned pick = (unsigned)(*seed >> 33);
        unsigned byte = pick & 1 ? spice[pick / 2 % sizeof(spice)] : pick / 2 % 255 + 1;
        out[length] = (char)byte;
        if ((pick >> 8) % 24 == 0)
            break;
    }
    out[length] = '\0';
    return length;
}

static void check_shown(iconv_t converter, const char *name, const char *shown)
{
    char back[256];

    for (const char *at = shown; *at; at++)
        assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
    assert_true(is_utf8(converter, shown, strlen(shown)));
    assert_int_equal(unescape(back, shown), strlen(name));
    assert_memory_equal(back, name, strlen(name));
}

static void escape_of_random_bytes_is_clean_and_can_be_read_back(void **state)
{
    iconv_t converter = open_converter();
    uint64_t seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char name[40], shown[160];
        random_name(name, sizeof(name) - 1, &seed);
        check_shown(converter, name, text_escape(shown, sizeof(shown), name));
    }
    iconv_close(converter);
}

static void escape_of_every_pair_of_bytes_agrees_with_the_c_library(void **state)
{
    iconv_t converter = open_converter();

    (void)state;
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 1; second < 0x100; second++) {
            const char name[3] = {(char)first, (char)second, '\0'};
            char shown[16];
            text_escape(shown, sizeof(shown), name);
            bool control = first == 0xc2 && second < 0xa0;
            bool kept = strcmp(shown, name) == 0;
            assert_int_equal(kept, is_utf8(converter, name, 2) && !control);
        }
    }
    iconv_close(converter);
}

static void escape_into_every_room_stays_inside_and_cuts_whole_pieces(void **state)
{
    static const char name[] = "a\n\xc3\xbc\xff\xf0\x9f\x92\xbe\\z";
    static const char whole[] = "a\\n\xc3\xbc\\377\xf0\x9f\x92\xbe\\\\z";
    iconv_t converter = open_converter();

    (void)state;
    for (size_t capacity = 1; capacity <= sizeof(whole) + 2; capacity++) {
        char *out = malloc(capacity);
        assert_non_null(out);
        text_escape(out, capacity, name);
        size_t length = strlen(out);
        assert_true(length < capacity);
        assert_true(is_utf8(converter, out, length));
        if (capacity >= sizeof(whole)) {
            assert_string_equal(out, whole);
        } else if (capacity >= 4) {
            assert_string_equal(out + length - 3, "...");
            assert_memory_equal(out, whole, length - 3);
            /* As much as fits: the next piece, at most 4 bytes, would not have. */
            assert_true(length + 4 >= capacity);
        } else {
            assert_memory_equal(out, "...", length);
            assert_int_equal(length, capacity - 1);
        }
        free(out);
    }
    iconv_close(converter);
}

static void escape_into_no_room_writes_nothing(void **state)
{
    char out[1] = {'x'};

    (void)state;
    assert_ptr_equal(text_escape(out, 0, "name"), out);
    assert_ptr_equal(text_json(out, 0, "name"), out);
    assert_int_equal(out[0], 'x');
}

static void escape_that_just_fits_has_no_dots(void **state)
{
    char out[5];

    (void)state;
    assert_string_equal(text_escape(out, 5, "abcd"), "abcd");
    assert_string_equal(text_escape(out, 5, "abcde"), "a...");
    assert_string_equal(text_escape(out, 5, "\n\n"), "\\n\\n");
    assert_string_equal(text_escape(out, 5, "\n\n\n"), "...");
    assert_string_equal(text_escape(out, 5, "\xff"), "\\377");
}

static void json_of_special_characters_uses_rfc_8259_escapes(void **state)
{
    static const struct {
        const char *text;
        const char *json;
    } cases[] = {
        {"", ""},
        {"disk.img", "disk.img"},
        {"\"\\/", "\\\"\\\\/"},
        {"\b\f\n\r\t", "\\b\\f\\n\\r\\t"},
        {"\x01\x1f", "\\u0001\\u001f"},
        {"\x7f", "\\u007f"},
        {"\xc2\x9b[31m\xc2\xa0", "\\u009b[31m\xc2\xa0"},
        {"gr\xc3\xbc\xc3\x9f \xf0\x9f\x92\xbe", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x92\xbe"},
        {"caf\xe9", "caf\\u00e9"},
        {"\xff\x80", "\\u00ff\\u0080"},
        {"\xc0\xaf", "\\u00c0\\u00af"},
        {"\xed\xa0\x80", "\\u00ed\\u00a0\\u0080"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        assert_ptr_equal(text_json(out, sizeof(out), cases[i].text), out);
        assert_string_equal(out, cases[i].json);
    }
}

/* Is it the inside of a JSON string? Checks RFC 8259's grammar; returns the characters in it. */
static size_t check_json(iconv_t converter, const char *text)
{
    size_t count = 0;

    assert_true(is_utf8(converter, text, strlen(text)));
    for (; *text; count++) {
        assert_true((unsigned char)*text >= 0x20);
        assert_int_not_equal(*text, '"');
        if (*text++ != '\\')
            continue;
        assert_true(*text != '\0' && strchr("\"\\/bfnrtu", *text) != NULL);
        if (*text++ == 'u') {
            assert_true(strspn(text, "0123456789abcdef") >= 4);
            text += 4;
        }
    }
    return count;
}

static void json_of_random_bytes_is_valid_in_every_room(void **state)
{
    iconv_t converter = open_converter();
    uint64_t seed = 2;

    (void)state;
    for (int round = 0; round < 5000; round++) {
        char name[40], whole[256], cut[256];
        random_name(name, sizeof(name) - 1, &seed);
        text_json(whole, sizeof(whole), name);
        size_t count = check_json(converter, whole);
        assert_true(count <= strlen(name));
        for (size_t capacity = 1; capacity <= 48; capacity++) {
            text_json(cut, capacity, name);
            assert_true(strlen(cut) < capacity);
            assert_true(check_json(converter, cut) <= count);
            assert_memory_equal(cut, whole, strlen(cut));
            /* As much as fits: the next piece, at most 6 bytes, would not have. */
            assert_true(strcmp(cut, whole) == 0 || strlen(cut) + 6 >= capacity);
        }
    }
    iconv_close(converter);
}

/* What is made of any bytes becomes the same bytes again, and the rest of the line is left. */
static void json_exact_of_random_bytes_comes_back(void **state)
{
    iconv_t converter = open_converter();
    uint64_t seed = 3;

    (void)state;
    for (int round = 0; round < 5000; round++) {
        char name[40], line[6 * sizeof(name) + 8];
        random_name(name, sizeof(name) - 1, &seed);
        text_json_exact(line, 6 * strlen(name) + 1, name);
        check_json(converter, line);
        strcat(line, "\": 1");
        char *at = line;
        assert_ptr_equal(text_json_take(&at), line);
        assert_string_equal(line, name);
        assert_string_equal(at, ": 1");
    }
    iconv_close(converter);
}

static void json_take_what_was_not_made_so_is_refused(void **state)
{
    static const char *const lines[] = {
        "",          "no end",    "\\",        "\\\"",      "\\\\",      "\\x\"",     "\\/\"",
        "\\u\"",     "\\u0\"",    "\\u004\"",  "\\u00",     "\\u0000\"", "\\u00g0\"", "\\u00DF\"",
        "\\u00a0\"", "\\ud800\"", "\\udc7f\"", "\\udd00\"", "\\U0041\"", "\\u0041",   "\\u-041\"",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        char *line = strdup(lines[i]), *at = line; /* the sanitizer watches its end */
        assert_non_null(line);
        if (text_json_take(&at))
            fail_msg("taken: %s", lines[i]);
        free(line);
    }
}

/* ---- columns ---- */

static void text_columns_wide_and_combining_characters(void **state)
{
    static const struct {
        const char *text;
        uint32_t columns;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"\xc3\xa4", 1},         /* a with dots */
        {"a\xcc\x88", 1},        /* the same in two characters */
        {"\xe6\x97\xa5", 2},     /* CJK */
        {"\xf0\x9f\x98\x80", 2}, /* emoji */
        {"\xe2\x80\x8f"
         "a",
         1},                 /* a mark of direction */
        {"\xef\xbc\xa1", 2}, /* fullwidth A */
        {"\xe6\x97", 1},     /* cut off: never beyond its end */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(text_columns(cases[i].text), cases[i].columns);
}

static void text_fit_keeps_beginning_and_end(void **state)
{
    char out[64];
    (void)state;
    assert_string_equal(text_fit(out, sizeof(out), "short", 5), "short");
    assert_string_equal(text_fit(out, sizeof(out), "disk-2026-11-28.img", 12), "disk-....img");
    assert_string_equal(text_fit(out, sizeof(out), "disk.img", 6), "dis~mg");
    assert_string_equal(text_fit(out, sizeof(out), "disk.img", 1), "~");
    assert_string_equal(text_fit(out, sizeof(out), "disk.img", 0), "");
    /* Two columns each: what does not fit is left out whole. */
    assert_string_equal(text_fit(out, sizeof(out), "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5),
                        "\xe6\x97\xa5~\xe8\xaa\x9e");
    char small[6];
    assert_string_equal(text_fit(small, sizeof(small), "disk.img", 8), "");
}

/* ---- words that are meant ---- */

static void text_distance_counts_what_must_be_changed(void **state)
{
    static const struct {
        const char *a, *b;
        uint32_t distance;
    } cases[] = {
        {"", "", 0},
        {"verify", "verify", 0},
        {"verfy", "verify", 1},
        {"", "abc", 3},
        {"verifyy", "verify", 1},
        {"vreify", "verify", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abc", "xyz", 3},
    };
    char longer[200];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(text_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(text_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(text_distance(longer, ""), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_of_any_magnitude_has_three_digits),
        cmocka_unit_test(rate_has_the_unit_of_a_second),
        cmocka_unit_test(seconds_change_form_at_a_minute),
        cmocka_unit_test(parse_size_with_each_unit_multiplies),
        cmocka_unit_test(parse_size_with_a_fraction_is_exact_and_rounds_up),
        cmocka_unit_test(parse_size_up_to_the_largest_number_accepts_and_above_refuses),
        cmocka_unit_test(parse_size_of_anything_else_refuses_and_keeps_out),
        cmocka_unit_test(parse_rate_without_a_suffix_is_in_kibibytes),
        cmocka_unit_test(parse_duration_with_each_unit_gives_nanoseconds),
        cmocka_unit_test(escape_of_ordinary_names_changes_nothing),
        cmocka_unit_test(escape_of_control_characters_and_wrong_bytes_shows_them),
        cmocka_unit_test(escape_of_random_bytes_is_clean_and_can_be_read_back),
        cmocka_unit_test(escape_of_every_pair_of_bytes_agrees_with_the_c_library),
        cmocka_unit_test(escape_into_every_room_stays_inside_and_cuts_whole_pieces),
        cmocka_unit_test(escape_into_no_room_writes_nothing),
        cmocka_unit_test(escape_that_just_fits_has_no_dots),
        cmocka_unit_test(json_of_special_characters_uses_rfc_8259_escapes),
        cmocka_unit_test(json_of_random_bytes_is_valid_in_every_room),
        cmocka_unit_test(json_exact_of_random_bytes_comes_back),
        cmocka_unit_test(json_take_what_was_not_made_so_is_refused),
        cmocka_unit_test(text_columns_wide_and_combining_characters),
        cmocka_unit_test(text_fit_keeps_beginning_and_end),
        cmocka_unit_test(text_distance_counts_what_must_be_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
