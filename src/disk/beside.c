/* beside.c - names for what lies beside a file. */
#include "haul/disk/beside.h"

#include "haul/base/hash.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MARK   ".haul"
#define HASHED MARK "-"
enum { MARK_BYTES = sizeof(MARK) - 1, HASHED_BYTES = sizeof(HASHED) - 1, HASH_DIGITS = 16 };

/* The checksum's seed is 0, as in `xxhsum -H3`. */
static void hash_digits(char out[HASH_DIGITS + 1], const char *name)
{
    snprintf(out, HASH_DIGITS + 1, "%016" PRIx64, checksum_of(name, strlen(name), 0));
}

void beside_name(char out[BESIDE_NAME_BYTES], const char *name, const char *suffix)
{
    char digits[HASH_DIGITS + 1];
    const char *dash = suffix[0] ? "-" : "";
    int bytes = snprintf(out, BESIDE_NAME_BYTES, ".%s" MARK "%s%s", name, dash, suffix);
    if (bytes >= 0 && bytes < BESIDE_NAME_BYTES)
        return;
    hash_digits(digits, name);
    snprintf(out, BESIDE_NAME_BYTES, HASHED "%s%s%.*s", digits, dash, BESIDE_SUFFIX_BYTES_MAX,
             suffix);
}

/* "", or a dash and a suffix. */
static bool suffix_follows(const char *rest)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t length = strspn(rest, allowed);
    return rest[length] == '\0' && (length == 0 || (rest[0] == '-' && length > 1));
}

static bool name_is_hashed(const char *own)
{
    const char *digits = own + HASHED_BYTES;
    return strncmp(own, HASHED, HASHED_BYTES) == 0 &&
           strspn(digits, "0123456789abcdef") >= HASH_DIGITS &&
           suffix_follows(digits + HASH_DIGITS);
}

bool beside_is_name(const char *own, size_t *length)
{
    const char *mark = NULL;
    *length = 0;
    if (own[0] != '.' || name_is_hashed(own))
        return own[0] == '.';
    /* The name itself may have the mark in it: the last one counts. */
    for (const char *next = strstr(own + 1, MARK); next; next = strstr(next + 1, MARK))
        mark = next;
    if (!mark || mark == own + 1 || !suffix_follows(mark + MARK_BYTES))
        return false;
    *length = (size_t)(mark - own) - 1;
    return true;
}

bool beside_is_of(const char *own, const char *name)
{
    char digits[HASH_DIGITS + 1];
    size_t length;
    if (!beside_is_name(own, &length))
        return false;
    if (length > 0)
        return strlen(name) == length && strncmp(own + 1, name, length) == 0;
    hash_digits(digits, name);
    return strncmp(own + HASHED_BYTES, digits, HASH_DIGITS) == 0;
}
