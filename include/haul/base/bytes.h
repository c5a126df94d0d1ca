/* bytes.h - a bounded buffer that is written or read field by field, little-endian.
 *
 * The only way in which journal and wire touch their layouts. Never grows: the caller owns the
 * memory and gives its size. A write that does not fit, or a read past the end, sets `failed` and
 * does nothing (reads give zeros); so a whole record is coded first and checked once at its end. */
#ifndef HAUL_BYTES_H
#define HAUL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t length;   /* bytes that are valid: written so far, or given to read */
    size_t capacity; /* of data */
    size_t position; /* next byte to read */
    bool failed;
};

/* An empty buffer to write into; a full one to read from (the data is not changed by reading). */
struct bytes bytes_writer(void *data, size_t capacity);
struct bytes bytes_reader(const void *data, size_t length);

/* Little-endian, behind what is there. What does not fit sets `failed`, and changes nothing.
 * number: the lower `count` bytes of the value, 1 to 8. */
void bytes_put_number(struct bytes *bytes, uint64_t value, size_t count);
void bytes_put_u8(struct bytes *bytes, uint8_t value);
void bytes_put_u16(struct bytes *bytes, uint16_t value);
void bytes_put_u32(struct bytes *bytes, uint32_t value);
void bytes_put_u64(struct bytes *bytes, uint64_t value);
void bytes_put_raw(struct bytes *bytes, const void *data, size_t length);
/* u16 length and the bytes, without NUL. Fails over UINT16_MAX. */
void bytes_put_string(struct bytes *bytes, const char *text);

/* What is next. Beyond the end: 0, and `failed` is set. */
uint64_t bytes_get_number(struct bytes *bytes, size_t count);
uint8_t bytes_get_u8(struct bytes *bytes);
uint16_t bytes_get_u16(struct bytes *bytes);
uint32_t bytes_get_u32(struct bytes *bytes);
uint64_t bytes_get_u64(struct bytes *bytes);
void bytes_get_raw(struct bytes *bytes, void *data, size_t length);
/* Into out, NUL-terminated. Fails if it does not fit or contains a NUL. */
void bytes_get_string(struct bytes *bytes, char *out, size_t capacity);

/* Bytes not read yet. */
size_t bytes_left(const struct bytes *bytes);

#endif
