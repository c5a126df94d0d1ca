/* text_columns.c - how wide a text is on a terminal. Independent of the locale, as the rest of
 * text.h: names are shown as UTF-8, which text_escape() has made sure of. */
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#include <stdio.h>
#include <string.h>

struct range {
    uint32_t first, last;
};

/* Marks that are drawn over the character before, and characters that are not drawn. */
static const struct range narrow[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},   {0x064b, 0x065f},
    {0x06d6, 0x06dc}, {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff},   {0x1dc0, 0x1dff},
    {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20ff},   {0x3099, 0x309a},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
};

/* East Asian width W and F, and emoji. */
static const struct range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},
    {0x2614, 0x2615},   {0x2648, 0x2653},   {0x26a1, 0x26a1},   {0x2705, 0x2705},
    {0x270a, 0x270b},   {0x2728, 0x2728},   {0x274c, 0x274c},   {0x2795, 0x2797},
    {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
    {0x3400, 0x4dbf},   {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe10, 0xfe19},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
    {0xffe0, 0xffe6},   {0x16fe0, 0x18cff}, {0x1b000, 0x1b2ff}, {0x1f004, 0x1f004},
    {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f320},
    {0x1f32d, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f7e0, 0x1f7eb}, {0x1f90c, 0x1faff},
    {0x20000, 0x3fffd},
};

static bool in_ranges(const struct range *ranges, size_t count, uint32_t character)
{
    for (size_t i = 0; i < count; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    }
    return false;
}

/* The character at text, which is UTF-8 and not at its end; its length in bytes. */
static size_t decode(const uint8_t *text, uint32_t *character)
{
    size_t length = *text < 0xc0 ? 1 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
    *character = length == 1 ? *text : *text & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* cut off */
            return i;
        *character = *character << 6 | (text[i] & 0x3fu);
    }
    return length;
}

static uint32_t character_columns(uint32_t character)
{
    if (in_ranges(narrow, COUNT_OF(narrow), character))
        return 0;
    return in_ranges(wide, COUNT_OF(wide), character) ? 2 : 1;
}

uint32_t text_columns(const char *text)
{
    uint32_t columns = 0, character;
    for (const uint8_t *at = (const uint8_t *)text; *at; at += decode(at, &character)) {
        decode(at, &character);
        columns += character_columns(character);
    }
    return columns;
}

/* How many bytes of the beginning fit into so many columns, marks of the last character included.
 */
static size_t head_bytes(const char *text, uint32_t columns)
{
    const uint8_t *start = (const uint8_t *)text, *at = start;
    uint32_t used = 0, character;
    while (*at) {
        size_t length = decode(at, &character);
        uint32_t more = character_columns(character);
        if (used + more > columns)
            break;
        used += more;
        at += length;
    }
    return (size_t)(at - start);
}

/* Where the end begins that fits. */
static const char *tail_of(const char *text, uint32_t columns)
{
    uint32_t character, left = text_columns(text);
    const uint8_t *at = (const uint8_t *)text;
    while (*at && left > columns) {
        size_t length = decode(at, &character);
        left -= character_columns(character);
        at += length;
    }
    return (const char *)at;
}

const char *text_fit(char *out, size_t capacity, const char *text, uint32_t columns)
{
    enum { DOTS_FROM = 10 };
    const char *gap = columns >= DOTS_FROM ? "..." : "~";
    uint32_t rest = columns - (uint32_t)min_u64(columns, strlen(gap));
    size_t all = strlen(text);
    if (text_columns(text) <= columns && all < capacity) {
        memcpy(out, text, all + 1);
        return out;
    }
    size_t head = head_bytes(text, (rest + 1) / 2);
    const char *tail = tail_of(text, rest / 2);
    if (columns == 0 || head + strlen(gap) + strlen(tail) >= capacity)
        out[0] = '\0';
    else
        snprintf(out, capacity, "%.*s%s%s", (int)head, text, gap, tail);
    return out;
}
