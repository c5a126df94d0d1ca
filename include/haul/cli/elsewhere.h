/* elsewhere.h - options that rsync, cp and scp have and haul has not: what to do instead. */
#ifndef HAUL_ELSEWHERE_H
#define HAUL_ELSEWHERE_H

#include <stddef.h>

/* The way on, for a message; NULL: nobody has such an option that we know of. */
const char *elsewhere_long(const char *name, size_t length);
const char *elsewhere_short(char letter);

#endif
