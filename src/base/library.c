/* library.c - the loader's calls. */
#include "haul/base/library.h"

#include <stdio.h>
#include <string.h>

#if WITH_SSH

#include <dlfcn.h>

bool library_load(const char *const *names, const struct library_function *functions, size_t count,
                  void *pointers, char why[LIBRARY_WHY_BYTES])
{
    void *library = NULL;
    for (; !library && *names; names++) {
        /* NODELETE: what is below it (OpenSSL) leaves exit handlers and thread data, which must
         * stay mapped. */
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library)
            snprintf(why, LIBRARY_WHY_BYTES, "%s", dlerror());
    }
    for (size_t i = 0; library && i < count; i++) {
        void *address = dlsym(library, functions[i].name);
        if (!address) {
            snprintf(why, LIBRARY_WHY_BYTES, "%s has no %s", names[-1], functions[i].name);
            return false;
        }
        memcpy((char *)pointers + functions[i].offset, &address, sizeof(address));
    }
    return library != NULL;
}

#else

bool library_load(const char *const *names, const struct library_function *functions, size_t count,
                  void *pointers, char why[LIBRARY_WHY_BYTES])
{
    (void)names, (void)functions, (void)count, (void)pointers;
    snprintf(why, LIBRARY_WHY_BYTES, "this haul was built to load no libraries");
    return false;
}

#endif
