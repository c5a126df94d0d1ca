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
