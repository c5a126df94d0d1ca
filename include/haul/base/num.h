/* num.h - arithmetic on numbers that a file, a peer or a person gave us.
 *
 * File offsets and sizes are uint64_t, counts and chunk lengths uint32_t, memory size_t. off_t
 * appears only in a system call's argument, through num_off(). */
#ifndef HAUL_NUM_H
#define HAUL_NUM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* A figure that is not known. Never shown as a number: "unknown" in words, null in JSON. */
#define NUM_UNKNOWN UINT64_MAX

/* Rounded up. */
static inline uint64_t div_ceil(uint64_t value, uint64_t divisor)
{
    assert(divisor > 0);
    return value / divisor + (value % divisor != 0);
}

/* Alignments are powers of two everywhere in haul. */
static inline bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* To a multiple of `alignment`; align_up() may not overflow. */
static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
    assert(is_power_of_two(alignment));
    return value & ~(alignment - 1);
}

/* See align_down(). */
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
    assert(is_power_of_two(alignment));
    assert(value <= UINT64_MAX - (alignment - 1));
    return align_down(value + alignment - 1, alignment);
}

/* The smaller, the larger, and the nearest within limits. */
static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* For lengths in memory. */
static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* See min_u64(). */
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* `least` may not be more than `most`. */
static inline uint64_t clamp_u64(uint64_t value, uint64_t least, uint64_t most)
{
    assert(least <= most);
    return min_u64(max_u64(value, least), most);
}

/* false when the sum or product does not fit; *out is then the wrapped value. */
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* See add_u64(). */
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Largest file offset that the kernel's signed loff_t holds. */
#define NUM_OFFSET_MAX ((uint64_t)INT64_MAX)

/* For system call arguments. The caller has checked the range; a violation is our own mistake. */
static inline off_t num_off(uint64_t value)
{
    static_assert(sizeof(off_t) == 8, "build with -D_FILE_OFFSET_BITS=64");
    assert(value <= NUM_OFFSET_MAX);
    return (off_t)value;
}

/* For counts and chunk lengths; as num_off(). */
static inline uint32_t num_u32(uint64_t value)
{
    assert(value <= UINT32_MAX);
    return (uint32_t)value;
}

/* The whole of `text` as a decimal number without sign or blanks. false: not one, or too large. */
bool num_parse_u64(const char *text, uint64_t *out);

/* The digits at *at, of base 10 or 16 (small letters), and *at behind them. NUM_UNKNOWN: they are
 * more than that. Each of the C library's ways to do that is 64 KiB of it in memory, as is each to
 * divide a line: what every run does goes by this. */
uint64_t num_take(const char **at, uint32_t base);

#endif
