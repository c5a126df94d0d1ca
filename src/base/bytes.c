/* bytes.c - bounded reading and writing of fields.
 *
 * A failure sticks: every later call does nothing too, so that no field is ever coded or decoded
 * at the place of another one. */
#include "haul/base/bytes.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

struct bytes bytes_writer(void *data, size_t capacity)
{
    return (struct bytes){.data = data, .capacity = capacity};
}

struct bytes bytes_reader(const void *data, size_t length)
{
    /* The cast gives away no more than the type: with length == capacity every write fails. */
    return (struct bytes){.data = (uint8_t *)(uintptr_t)data, .length = length, .capacity = length};
}

/* Room for `count` more bytes at the end, or NULL and `failed`. */
static uint8_t *extend(struct bytes *bytes, size_t count)
{
    assert(bytes->length <= bytes->capacity);
    if (bytes->failed || count > bytes->capacity - bytes->length) {
        bytes->failed = true;
        return NULL;
    }

    uint8_t *at = bytes->data + bytes->length;

    bytes->length += count;
    return at;
}

/* The next `count` bytes to read, or NULL and `failed`. */
static const uint8_t *advance(struct bytes *bytes, size_t count)
{
    if (bytes->failed || count > bytes_left(bytes)) {
        bytes->failed = true;
        return NULL;
    }

    const uint8_t *at = bytes->data + bytes->position;

    bytes->position += count;
    return at;
}

/* One load or store for each size that there is: a message has more than 50 numbers. */
static void copy_number(void *to, const void *from, size_t count)
{
    switch (count) {
    case sizeof(uint8_t):
        memcpy(to, from, sizeof(uint8_t));
        break;
    case sizeof(uint16_t):
        memcpy(to, from, sizeof(uint16_t));
        break;
    case sizeof(uint32_t):
        memcpy(to, from, sizeof(uint32_t));
        break;
    default:
        assert(count == sizeof(uint64_t));
        memcpy(to, from, sizeof(uint64_t));
    }
}

void bytes_put_number(struct bytes *bytes, uint64_t value, size_t count)
{
    uint8_t *at = extend(bytes, count);
    value = htole64(value); /* its lowest bytes are the first ones */

    if (at)
        copy_number(at, &value, count);
}

uint64_t bytes_get_number(struct bytes *bytes, size_t count)
{
    const uint8_t *at = advance(bytes, count);
    uint64_t value = 0;

    if (at)
        copy_number(&value, at, count);
    return le64toh(value);
}

void bytes_put_u8(struct bytes *bytes, uint8_t value)
{
    bytes_put_number(bytes, value, sizeof(value));
}

void bytes_put_u16(struct bytes *bytes, uint16_t value)
{
    bytes_put_number(bytes, value, sizeof(value));
}

void bytes_put_u32(struct bytes *bytes, uint32_t value)
{
    bytes_put_number(bytes, value, sizeof(value));
}

void bytes_put_u64(struct bytes *bytes, uint64_t value)
{
    bytes_put_number(bytes, value, sizeof(value));
}

void bytes_put_raw(struct bytes *bytes, const void *data, size_t length)
{
    /* Nothing to copy is legal with NULL on either side, but not for memcpy. */
    if (length == 0)
        return;

    uint8_t *at = extend(bytes, length);

    if (at)
        memcpy(at, data, length);
}

void bytes_put_string(struct bytes *bytes, const char *text)
{
    /* One byte too many is enough to know; a string without end is not walked. */
    size_t length = strnlen(text, (size_t)UINT16_MAX + 1);

    assert(bytes->length <= bytes->capacity);
    if (length > UINT16_MAX || sizeof(uint16_t) + length > bytes->capacity - bytes->length)
        bytes->failed = true; /* before the length is written: all of the string or nothing */
    bytes_put_u16(bytes, (uint16_t)length);
    bytes_put_raw(bytes, text, length);
}

uint8_t bytes_get_u8(struct bytes *bytes)
{
    return (uint8_t)bytes_get_number(bytes, sizeof(uint8_t));
}

uint16_t bytes_get_u16(struct bytes *bytes)
{
    return (uint16_t)bytes_get_number(bytes, sizeof(uint16_t));
}

uint32_t bytes_get_u32(struct bytes *bytes)
{
    return (uint32_t)bytes_get_number(bytes, sizeof(uint32_t));
}

uint64_t bytes_get_u64(struct bytes *bytes)
{
    return bytes_get_number(bytes, sizeof(uint64_t));
}

void bytes_get_raw(struct bytes *bytes, void *data, size_t length)
{
    if (length == 0)
        return;

    const uint8_t *at = advance(bytes, length);

    if (at)
        memcpy(data, at, length);
    else
        memset(data, 0, length);
}

void bytes_get_string(struct bytes *bytes, char *out, size_t capacity)
{
    size_t start = bytes->position;
    size_t length = bytes_get_u16(bytes);

    if (capacity > 0)
        out[0] = '\0';
    if (!bytes->failed && length < capacity) {
        const uint8_t *at = advance(bytes, length);
        /* A NUL inside would make two names of one: what is checked and what is opened. */
        if (at && memchr(at, '\0', length) == NULL) {
            memcpy(out, at, length);
            out[length] = '\0';
            return;
        }
    }
    bytes->failed = true;
    bytes->position = start;
}

size_t bytes_left(const struct bytes *bytes)
{
    assert(bytes->position <= bytes->length);
    return bytes->length - bytes->position;
}
