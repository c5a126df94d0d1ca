/* random_sim.h - what a seed decides, and how a simulation is told which. */
#ifndef HAUL_TESTS_RANDOM_SIM_H
#define HAUL_TESTS_RANDOM_SIM_H

#include "haul/base/num.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t sim_random_state;

static void sim_seed(uint64_t seed)
{
    sim_random_state = seed * 0x2545f4914f6cdd1d;
}

/* splitmix64 */
static uint64_t sim_random(void)
{
    uint64_t z = sim_random_state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t sim_below(uint64_t limit)
{
    return limit == 0 ? 0 : sim_random() % limit;
}

/* `least` to `most`, small ones as likely as large ones. */
static uint64_t sim_scaled(uint64_t least, uint64_t most)
{
    uint64_t span = most - least + 1;
    uint32_t bits = 0;
    while (bits < 63 && span >> bits > 1)
        bits++;
    uint64_t limit = (uint64_t)1 << sim_below(bits + 1);
    return least + sim_below(min_u64(limit, span));
}

static bool sim_chance(uint32_t per_thousand)
{
    return sim_below(1000) < per_thousand;
}

/* A number of the environment. */
static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    uint64_t number = otherwise;
    const char *text = getenv(variable);
    if (text && !num_parse_u64(text, &number)) {
        printf("%s=%s is not a number\n", variable, text);
        exit(2);
    }
    return number;
}

#endif
