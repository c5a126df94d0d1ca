/* swapping.h - a thread that makes one name of two things, by turns: a folder and a symbolic link.
 *
 *     swapping_start(&swapping, one, other);
 *     while (swapping_goes_on(&swapping))
 *         swapping_saw(&swapping, whether the round met the one or the other);
 *     swapping_stop(&swapping); */
#ifndef HAUL_TESTS_SWAPPING_H
#define HAUL_TESTS_SWAPPING_H

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { SWAPPING_ROUNDS = 5000, SWAPPING_ROUNDS_MAX = 2000000 };

struct swapping {
    const char *one, *other;
    uint64_t rounds, rounds_count; /* how many are enough */
    uint64_t seen[2];
    atomic_bool over;
    atomic_uint_fast64_t swaps;
    pthread_t thread;
};

static inline void *swapping_run(void *argument)
{
    struct swapping *swapping = argument;
    while (!atomic_load(&swapping->over)) {
        if (renameat2(AT_FDCWD, swapping->one, AT_FDCWD, swapping->other, RENAME_EXCHANGE) != 0)
            break; /* the test has failed and cleared up already */
        atomic_fetch_add(&swapping->swaps, 1);
    }
    return NULL;
}

static inline void swapping_start(struct swapping *swapping, const char *one, const char *other)
{
    *swapping = (struct swapping){.one = one, .other = other, .rounds_count = SWAPPING_ROUNDS};
    assert_int_equal(pthread_create(&swapping->thread, NULL, swapping_run, swapping), 0);
}

/* Until both were met, so that a race has taken place. */
static inline bool swapping_goes_on(struct swapping *swapping)
{
    uint64_t round = swapping->rounds++;
    bool enough = round >= swapping->rounds_count && swapping->seen[0] > 0 &&
                  swapping->seen[1] > 0 && atomic_load(&swapping->swaps) > swapping->rounds_count;
    return !enough && round < SWAPPING_ROUNDS_MAX;
}

static inline void swapping_saw(struct swapping *swapping, bool one)
{
    swapping->seen[one]++;
}

static inline void swapping_stop(struct swapping *swapping)
{
    atomic_store(&swapping->over, true);
    pthread_join(swapping->thread, NULL);
    assert_true(swapping->seen[0] > 0 && swapping->seen[1] > 0);
}

#endif
