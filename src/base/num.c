/* num.c - the part of num.h that is too long for a header. */
#include "haul/base/num.h"

bool num_parse_u64(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (!mul_u64(value, 10, &value) || !add_u64(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

uint64_t num_take(const char **at, uint32_t base)
{
    uint64_t value = 0;
    for (;; ++*at) {
        char c = **at;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                                                : base;
        if (digit >= base)
            return value;
        if (!mul_u64(value, base, &value) || !add_u64(value, digit, &value))
            value = NUM_UNKNOWN;
    }
}
