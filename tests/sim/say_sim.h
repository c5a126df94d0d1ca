/* say_sim.h - what a simulation says: that a seed fails, and when, and all it does where it is
 * asked for. */
#ifndef HAUL_TESTS_SAY_SIM_H
#define HAUL_TESTS_SAY_SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t sim_current_seed;
static bool sim_verbose;

/* The simulation's own: how far it is, as "17.250000 s" or "step 1200". */
static void sim_print_when(void);

static __attribute__((noreturn, format(printf, 1, 2))) void sim_fatal(const char *format, ...)
{
    va_list args;
    printf("seed %llu, ", (unsigned long long)sim_current_seed);
    sim_print_when();
    printf(": ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

static __attribute__((format(printf, 1, 2))) void sim_trace(const char *format, ...)
{
    va_list args;
    if (!sim_verbose)
        return;
    sim_print_when();
    printf("  ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

#endif
