/* library.h - shared libraries that are loaded when they are needed: nobody else has them in
 * memory, or must have them at all. A program that is built without libssh (WITH_SSH=0) loads none.
 */
#ifndef HAUL_LIBRARY_H
#define HAUL_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#ifndef WITH_SSH
#define WITH_SSH 1
#endif

enum { LIBRARY_WHY_BYTES = 256 };

/* A function, and where the pointer to it goes in a structure of such pointers. */
struct library_function {
    const char *name;
    size_t offset;
};

/* The first of `names` (NULL ends them) that is there, for good, and `count` of its functions into
 * `pointers`. false: why[] has the loader's words. Blocks. */
bool library_load(const char *const *names, const struct library_function *functions, size_t count,
                  void *pointers, char why[LIBRARY_WHY_BYTES]);

#endif
