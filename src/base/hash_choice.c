/* hash_choice.c - which code hashes; measured, not assumed: 1 MiB buffers, best of 9 x 1 GiB, GB/s
 * with one buffer (in cache) and with 64 in turn; an EPYC with AVX-512, Debian 12, xxhash 0.8.1:
 *
 *   shared library, XXH3_128bits (SSE2)             20   18-19
 *   XXH_INLINE_ALL, gcc 12 -O2 (SSE2)               20   19-20
 *   XXH_INLINE_ALL, clang 14 -O2 (SSE2)             31   26-28
 *   XXH_INLINE_ALL, gcc 12 -O2 -mavx2               57   30-35   (dies on a CPU without AVX2)
 *   shared library, XXH3_128bits_dispatch           56   22-36   (asks the CPU at run time)
 *
 * The second column is memory's as much as the hash's: the ranges are a quiet day and one with the
 * other cores busy.
 *
 * So the library's own run-time choice is used where the library has it: Debian's libxxhash.so for
 * amd64 does, its libxxhash.a does not. A weak reference finds out when the program is linked or
 * loaded, without a test in the Makefile.
 *
 * A 32-bit program that takes no SSE2 for granted has a choice of its own: the library's code does
 * 2.2 GB/s there, with SSE2 it is 11.9. By gcc only: clang knows no such pragma. */

#if defined(__i386__) && !defined(__SSE2__) && !defined(__clang__) && !defined(XXH_INLINE_ALL)

#include <stddef.h>

/* The library's code, which every processor runs. Its names mean the copies below. */
struct halves {
    unsigned long long low, high;
};
struct halves plain_128bits(const void *data, size_t length) __asm__("XXH3_128bits");
int plain_update(void *state, const void *data, size_t length) __asm__("XXH3_128bits_update");

/* Whatever is declared here may use SSE2. */
#pragma GCC push_options
#pragma GCC target("sse2")
#define XXH_INLINE_ALL
#define hash_choice_128bits sse2_128bits
#define hash_choice_update  sse2_update
#include "hash_xxhash.h"

__attribute__((noinline)) void sse2_128bits(XXH128_hash_t *out, const void *data, size_t length)
{
    *out = XXH3_128bits(data, length);
}

__attribute__((noinline)) XXH_errorcode sse2_update(XXH3_state_t *state, const void *data,
                                                    size_t length)
{
    return XXH3_128bits_update(state, data, length);
}
#undef hash_choice_128bits
#undef hash_choice_update
#pragma GCC pop_options

void hash_choice_128bits(XXH128_hash_t *out, const void *data, size_t length);
XXH_errorcode hash_choice_update(XXH3_state_t *state, const void *data, size_t length);

void hash_choice_128bits(XXH128_hash_t *out, const void *data, size_t length)
{
    if (__builtin_cpu_supports("sse2")) {
        sse2_128bits(out, data, length);
        return;
    }
    struct halves halves = plain_128bits(data, length);
    out->low64 = halves.low;
    out->high64 = halves.high;
}

XXH_errorcode hash_choice_update(XXH3_state_t *state, const void *data, size_t length)
{
    return __builtin_cpu_supports("sse2") ? sse2_update(state, data, length)
                                          : (XXH_errorcode)plain_update(state, data, length);
}

int hash_choice_at_run_time(void)
{
    return 1;
}

#else

#include "hash_xxhash.h"

/* From xxh_x86dispatch.h, which is not installed on every architecture. The library sets each of
 * its own function pointers to the same value whoever comes first, so threads may race to it. */
XXH128_hash_t XXH3_128bits_dispatch(const void *data, size_t length) __attribute__((weak));
XXH_errorcode XXH3_128bits_update_dispatch(XXH3_state_t *state, const void *data, size_t length)
    __attribute__((weak));

void hash_choice_128bits(XXH128_hash_t *out, const void *data, size_t length)
{
    *out = XXH3_128bits_dispatch ? XXH3_128bits_dispatch(data, length) : XXH3_128bits(data, length);
}

XXH_errorcode hash_choice_update(XXH3_state_t *state, const void *data, size_t length)
{
    return XXH3_128bits_update_dispatch ? XXH3_128bits_update_dispatch(state, data, length)
                                        : XXH3_128bits_update(state, data, length);
}

int hash_choice_at_run_time(void)
{
    return XXH3_128bits_dispatch != NULL;
}

#endif
