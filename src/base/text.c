/* text.c - numbers and names as people write and read them.
 *
 * All arithmetic is in integers: a decimal point does not depend on the locale, and a size of
 * 2^63 keeps its last byte. Fractions are rounded up where they are read ("0.1B" is one byte), so
 * that a small limit never becomes 0, which would mean none; they are rounded to the nearest where
 * they are shown. */
#include "haul/base/text.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers, written ---- */

/* whole + fraction / 2^32 with three significant digits. */
static void print_scaled(char out[TEXT_NUMBER_BYTES], uint64_t whole, uint64_t fraction,
                         const char *unit)
{
    const uint64_t half = (uint64_t)1 << 31;
    uint64_t hundredths = whole * 100 + ((fraction * 100 + half) >> 32);
    uint64_t tenths = whole * 10 + ((fraction * 10 + half) >> 32);

    /* Chosen after rounding, so that 9.996 is "10.0" and not "10.00". */
    if (hundredths < 1000)
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 ".%02" PRIu64 " %s", hundredths / 100,
                 hundredths % 100, unit);
    else if (tenths < 1000)
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
                 unit);
    else
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 " %s", whole + (fraction >= half), unit);
}

static void print_size(char out[TEXT_NUMBER_BYTES], uint64_t bytes, const char *const units[7])
{
    if (bytes < KIB) {
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 " %s", bytes, units[0]);
        return;
    }
    for (unsigned power = 1; power <= 6; power++) {
        unsigned shift = 10 * power;
        uint64_t whole = bytes >> shift;
        uint64_t rest = bytes & (((uint64_t)1 << shift) - 1);
        uint64_t fraction = shift <= 32 ? rest << (32 - shift) : rest >> (shift - 32);
        /* 1023.5 would be shown as 1024: then it is 1.00 of the next unit. */
        if (power == 6 || whole + (fraction >> 31) < 1024) {
            print_scaled(out, whole, fraction, units[power]);
            return;
        }
    }
}

static const char *print_unknown(char out[TEXT_NUMBER_BYTES])
{
    snprintf(out, TEXT_NUMBER_BYTES, "unknown");
    return out;
}

const char *text_size(char out[TEXT_NUMBER_BYTES], uint64_t bytes)
{
    static const char *const units[7] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    if (bytes == NUM_UNKNOWN)
        return print_unknown(out);
    print_size(out, bytes, units);
    return out;
}

const char *text_fd_link(char out[TEXT_NUMBER_BYTES], int fd)
{
    snprintf(out, TEXT_NUMBER_BYTES, "/proc/self/fd/%d", fd);
    return out;
}

const char *text_rate(char out[TEXT_NUMBER_BYTES], uint64_t bytes_per_second)
{
    static const char *const units[7] = {"B/s",   "KiB/s", "MiB/s", "GiB/s",
                                         "TiB/s", "PiB/s", "EiB/s"};

    if (bytes_per_second == NUM_UNKNOWN)
        return print_unknown(out);
    print_size(out, bytes_per_second, units);
    return out;
}

/* Tenths below a minute, hours above; the border is judged after rounding: never "60.0 s". */
const char *text_seconds(char out[TEXT_NUMBER_BYTES], uint64_t duration_ns)
{
    const uint64_t tenth = NS_PER_SECOND / 10;

    if (duration_ns == NUM_UNKNOWN)
        return print_unknown(out);

    uint64_t tenths = duration_ns / tenth + (duration_ns % tenth >= tenth / 2);
    uint64_t seconds =
        duration_ns / NS_PER_SECOND + (duration_ns % NS_PER_SECOND >= NS_PER_SECOND / 2);

    if (tenths < 600)
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 ".%" PRIu64 " s", tenths / 10, tenths % 10);
    else
        snprintf(out, TEXT_NUMBER_BYTES, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
                 seconds / 60 % 60, seconds % 60);
    return out;
}

/* ---- numbers, read ---- */

/* Independent of the locale, unlike isdigit and tolower. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* A decimal number as it stands in the text: digits, and digits behind a point. */
struct decimal {
    const char *whole;
    const char *whole_end;
    const char *fraction;
    const char *fraction_end;
};

/* Finds the number at the start of `text`; returns what follows it, NULL when there is none.
 * At least one digit, on either side of the point. */
static const char *split_decimal(const char *text, struct decimal *number)
{
    number->whole = text;
    while (is_digit(*text))
        text++;
    number->whole_end = text;
    if (*text == '.')
        text++;
    number->fraction = text;
    while (is_digit(*text))
        text++;
    number->fraction_end = text;
    if (number->whole_end == number->whole && number->fraction_end == number->fraction)
        return NULL;
    return text;
}

/* number * unit, rounded up. unit is at most 2^60. false: more than UINT64_MAX. */
static bool scale_decimal(const struct decimal *number, uint64_t unit, uint64_t *out)
{
    uint64_t value = 0;
    uint64_t part = 0;
    bool inexact = false;

    for (const char *at = number->whole; at < number->whole_end; at++)
        if (!mul_u64(value, 10, &value) || !add_u64(value, (uint64_t)(*at - '0'), &value))
            return false;
    /* The fraction from its last digit to its first, exact for any number of digits: part stays
     * below unit, so digit * unit + part stays below 10 * 2^60, which fits. */
    for (const char *at = number->fraction_end; at > number->fraction; at--) {
        uint64_t sum = (uint64_t)(at[-1] - '0') * unit + part;
        part = sum / 10;
        inexact |= sum % 10 != 0;
    }
    if (!mul_u64(value, unit, &value) || !add_u64(value, part, &value) ||
        !add_u64(value, inexact, &value))
        return false;
    *out = value;
    return true;
}

/* The unit that a suffix names: K, KiB (1024), KB (1000) and so on to E in either case, or B.
 * A lone b is refused: bytes for rsync, blocks of 512 for dd. 0: no such unit. */
static uint64_t parse_unit(const char *suffix)
{
    static const char letters[] = "KMGTPE";

    if (strcmp(suffix, "B") == 0)
        return 1;

    const char *letter = *suffix ? strchr(letters, to_upper(*suffix)) : NULL;

    if (!letter)
        return 0;

    char first = to_upper(suffix[1]);
    char second = first ? to_upper(suffix[2]) : '\0';
    bool binary = !first || (first == 'I' && second == 'B' && !suffix[3]);
    bool decimal = first == 'B' && !second;

    if (!binary && !decimal)
        return 0;

    uint64_t unit = 1;

    for (const char *at = letters; at <= letter; at++)
        unit *= binary ? 1024 : 1000;
    return unit;
}

/* A number with an optional suffix; without one it is in units of `unit_bare`. */
static bool parse_scaled(const char *text, uint64_t unit_bare, uint64_t *out)
{
    struct decimal number;
    const char *suffix = split_decimal(text, &number);

    if (!suffix)
        return false;

    uint64_t unit = *suffix ? parse_unit(suffix) : unit_bare;

    return unit != 0 && scale_decimal(&number, unit, out);
}

bool text_parse_size(const char *text, uint64_t *bytes)
{
    return parse_scaled(text, 1, bytes);
}

bool text_parse_rate(const char *text, uint64_t *bytes_per_second)
{
    return parse_scaled(text, KIB, bytes_per_second);
}

bool text_parse_duration(const char *text, uint64_t *duration_ns)
{
    struct decimal number;
    const char *suffix = split_decimal(text, &number);

    if (!suffix)
        return false;
    if (*suffix == '\0' || strcmp(suffix, "s") == 0)
        return scale_decimal(&number, NS_PER_SECOND, duration_ns);
    if (strcmp(suffix, "m") == 0)
        return scale_decimal(&number, 60 * NS_PER_SECOND, duration_ns);
    if (strcmp(suffix, "h") == 0)
        return scale_decimal(&number, 3600 * NS_PER_SECOND, duration_ns);
    return false;
}

/* ---- names ---- */

enum { PIECE_BYTES = 8 }; /* the longest escape is \u00XX and a NUL */

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at `text`, 0 where there is none. The table of RFC 3629: no
 * overlong forms, no surrogates, nothing above U+10FFFF. Stops at a NUL like any wrong byte. */
static size_t utf8_length(const uint8_t *text)
{
    uint8_t lead = text[0];
    uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4 || text[1] < least || text[1] > most)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (!is_continuation(text[2]))
        return 0;
    if (lead < 0xf0)
        return 3;
    return is_continuation(text[3]) ? 4 : 0;
}

/* The letter of a two-character escape, '\0' where there is none. */
static char short_escape(uint8_t byte, const char *bytes, const char *letters)
{
    const char *found = byte ? strchr(bytes, byte) : NULL;

    return found ? letters[found - bytes] : '\0';
}

/* One character of `text` for a terminal, into `piece`; returns how many bytes of text it was. */
static size_t escape_piece(char piece[PIECE_BYTES], const uint8_t *text)
{
    char letter = short_escape(*text, "\n\t\\", "nt\\");
    size_t length = utf8_length(text);
    /* U+0080 to U+009F are control characters too: 0x9b is CSI for many terminals. */
    bool control = *text < 0x20 || *text == 0x7f || (*text == 0xc2 && text[1] < 0xa0);

    if (letter) {
        snprintf(piece, PIECE_BYTES, "\\%c", letter);
        return 1;
    }
    if (length == 0 || control) {
        snprintf(piece, PIECE_BYTES, "\\%03o", (unsigned)*text);
        return 1;
    }
    memcpy(piece, text, length);
    piece[length] = '\0';
    return length;
}

/* The same for the inside of a JSON string. */
static size_t json_piece(char piece[PIECE_BYTES], const uint8_t *text)
{
    char letter = short_escape(*text, "\"\\\b\f\n\r\t", "\"\\bfnrt");
    size_t length = utf8_length(text);

    if (letter) {
        snprintf(piece, PIECE_BYTES, "\\%c", letter);
        return 1;
    }
    /* RFC 8259 allows the others, but somebody may look at it on a terminal. */
    if (length == 2 && *text == 0xc2 && text[1] < 0xa0) {
        snprintf(piece, PIECE_BYTES, "\\u%04x", (unsigned)text[1]);
        return length;
    }
    if (length == 0 || *text < 0x20 || *text == 0x7f) {
        snprintf(piece, PIECE_BYTES, "\\u%04x", (unsigned)*text);
        return 1;
    }
    memcpy(piece, text, length);
    piece[length] = '\0';
    return length;
}

static size_t json_piece_exact(char piece[PIECE_BYTES], const uint8_t *text)
{
    if (utf8_length(text) > 0)
        return json_piece(piece, text);
    snprintf(piece, PIECE_BYTES, "\\u%04x", 0xdc00u | *text);
    return 1;
}

typedef size_t escape_function(char piece[PIECE_BYTES], const uint8_t *text);

/* Piece by piece, as far as they fit; dots: so many take the place of what does not. */
static const char *escape(char *out, size_t capacity, const char *text,
                          escape_function *escape_next, size_t dots)
{
    const uint8_t *at = (const uint8_t *)text;
    char piece[PIECE_BYTES];
    size_t used = 0;
    size_t kept = 0; /* the last length behind which the dots still fit */

    if (capacity == 0)
        return out;
    while (*at) {
        size_t consumed = escape_next(piece, at);
        size_t length = strlen(piece);
        if (length > capacity - 1 - used) {
            dots = min_size(dots, capacity - 1);
            memset(out + kept, '.', dots);
            used = dots > 0 ? kept + dots : used;
            break;
        }
        memcpy(out + used, piece, length);
        used += length;
        if (used + dots < capacity)
            kept = used;
        at += consumed;
    }
    out[used] = '\0';
    return out;
}

const char *text_escape(char *out, size_t capacity, const char *text)
{
    return escape(out, capacity, text, escape_piece, strlen("..."));
}

const char *text_json(char *out, size_t capacity, const char *text)
{
    return escape(out, capacity, text, json_piece, 0);
}

const char *text_json_exact(char *out, size_t capacity, const char *text)
{
    return escape(out, capacity, text, json_piece_exact, 0);
}

static int hex_digit(char letter)
{
    return letter >= '0' && letter <= '9'   ? letter - '0'
           : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
                                            : -1;
}

/* Of those escapes the ones that json_piece() makes. 0: none. */
static size_t json_unescape(char out[2], const char *escape)
{
    static const char letters[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
    const char *letter = *escape ? strchr(letters, *escape) : NULL;
    int value = 0;
    if (letter) {
        out[0] = meant[letter - letters];
        return 1;
    }
    for (int i = 1; *escape == 'u' && i <= 4 && value >= 0; i++) {
        int digit = hex_digit(escape[i]);
        value = digit < 0 ? -1 : value * 16 + digit;
    }
    bool byte = value > 0xdc7f && value <= 0xdcff, two = value > 0x7f && value <= 0x9f;
    if (!byte && !two && (value <= 0 || value > 0x7f))
        return 0;
    out[0] = two ? (char)0xc2 : (char)(value & 0xff);
    out[1] = (char)(value & 0xff);
    return two ? 2 : 1;
}

char *text_json_take(char **text)
{
    char *begin = *text, *to = begin, *at = begin;
    while (*at && *at != '"') {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        size_t width = at[1] == 'u' ? 6 : 2, length = json_unescape(to, at + 1);
        if (length == 0)
            return NULL;
        to += length;
        at += width;
    }
    if (*at != '"')
        return NULL;
    *to = '\0';
    *text = at + 1;
    return begin;
}

/* ---- words that are meant ---- */

enum { WORD_LETTERS_MAX = 63 };

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Three rows of the table of distances: of the word so far, and of one and two letters less. */
uint32_t text_distance(const char *a, const char *b)
{
    uint32_t rows[3][WORD_LETTERS_MAX + 1];
    size_t a_length = strnlen(a, WORD_LETTERS_MAX), b_length = strnlen(b, WORD_LETTERS_MAX);
    for (uint32_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (uint32_t i = 1; i <= a_length; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= b_length; j++) {
            uint32_t changed = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least_of(changed, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least_of(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

bool text_split_path(const char *path, char **folder, char **name)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    const char *slash = memrchr(path, '/', length);
    const char *last = slash ? slash + 1 : path;
    size_t folder_length = slash ? (size_t)(slash - path) : 0;
    while (folder_length > 1 && path[folder_length - 1] == '/')
        folder_length--;
    *folder = !slash               ? strdup(".")
              : folder_length == 0 ? strdup("/")
                                   : strndup(path, folder_length);
    *name = strndup(last, (size_t)(path + length - last));
    return *folder && *name;
}

char *text_join_path(const char *folder, const char *name)
{
    size_t name_length = strlen(name);
    size_t folder_length = name_length > 0 && strcmp(folder, ".") == 0 ? 0 : strlen(folder);
    bool slash = name_length > 0 && folder_length > 0 && folder[folder_length - 1] != '/';
    char *path = malloc(folder_length + slash + name_length + 1);
    if (!path)
        return NULL;
    memcpy(path, folder, folder_length);
    if (slash)
        path[folder_length] = '/';
    memcpy(path + folder_length + slash, name, name_length + 1);
    return path;
}

bool text_path_holds(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return length == 0 ||
           (strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/'));
}
