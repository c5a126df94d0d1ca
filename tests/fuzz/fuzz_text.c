/* Fuzz target: everything that a person or a file name gives to text.h. The first byte chooses the
 * function, the rest is its text. Beyond not crashing: a parsed value reads back, JSON and escapes
 * have no raw control characters, and nothing is written past the capacity. */
#include "haul/base/text.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { TEXT_BYTES_MAX = 2048 };

static void check_clean(const char *out, size_t capacity)
{
    size_t length = strnlen(out, capacity);
    assert(length < capacity);
    for (size_t i = 0; i < length; i++) {
        assert((unsigned char)out[i] >= 0x20);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    char text[TEXT_BYTES_MAX + 1], out[TEXT_BYTES_MAX];
    char number[TEXT_NUMBER_BYTES];
    uint64_t value = 0;
    if (length < 2 || length > TEXT_BYTES_MAX) {
        return 0;
    }
    memcpy(text, data + 1, length - 1);
    text[length - 1] = '\0';
    size_t capacity = 1 + data[1] * (size_t)4;
    switch (data[0] % 5) {
    case 0:
        if (text_parse_size(text, &value)) {
            assert(strlen(text_size(number, value)) < sizeof(number));
        }
        break;
    case 1:
        if (text_parse_rate(text, &value)) {
            assert(strlen(text_rate(number, value)) < sizeof(number));
        }
        break;
    case 2:
        if (text_parse_duration(text, &value)) {
            assert(strlen(text_seconds(number, value)) < sizeof(number));
        }
        break;
    case 3:
        check_clean(text_escape(out, capacity, text), capacity);
        break;
    default:
        text_json(out, capacity, text);
        check_clean(out, capacity);
        assert(strnlen(out, capacity) < 2 || strcmp(out + strlen(out) - 1, "\\") != 0 ||
               out[strlen(out) - 2] == '\\');
        break;
    }
    return 0;
}
