/* no_memory - to be preloaded: of all that a process asks malloc and its like for, piece
 * NO_MEMORY_AT is refused, counted from 1, if the program is called haul and has NO_MEMORY_OF among
 * its arguments. The file NO_MEMORY_SAID is made when it was so. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNASKED = -2, NEVER = -1 };

static atomic_long refused_at = UNASKED, asked_count;

static bool has_word(const char *word)
{
    char words[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t count = read(fd, words, sizeof(words) - 1);
    close(fd);
    words[count > 0 ? count : 0] = '\0';
    for (const char *at = words; at < words + count; at += strlen(at) + 1)
        if (strcmp(at, word) == 0)
            return true;
    return false;
}

static long first_look(void)
{
    const char *at = getenv("NO_MEMORY_AT"), *of = getenv("NO_MEMORY_OF");
    bool meant = at && of && strcmp(program_invocation_short_name, "haul") == 0 && has_word(of);
    return meant ? atol(at) : NEVER;
}

static bool is_refused(void)
{
    const char *said = getenv("NO_MEMORY_SAID");
    if (refused_at == UNASKED)
        refused_at = first_look();
    if (refused_at == NEVER || ++asked_count != refused_at)
        return false;
    if (said)
        close(open(said, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    errno = ENOMEM;
    return true;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

void *malloc(size_t bytes)
{
    REAL(malloc);
    return is_refused() ? NULL : real(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    REAL(calloc);
    return is_refused() ? NULL : real(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    REAL(realloc);
    return is_refused() ? NULL : real(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    REAL(aligned_alloc);
    return is_refused() ? NULL : real(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    REAL(posix_memalign);
    return is_refused() ? ENOMEM : real(out, alignment, bytes);
}
