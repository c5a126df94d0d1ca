/*
 * digests: does a file hold the chunks that somebody says it holds?
 *
 *   digests FILE <CHUNKS      a line each: OFFSET LENGTH XXH3-128 (32 hexadecimal digits)
 *
 * Prints how many lines it checked. Exit 1: a chunk differs or is not there; 2: not such a list.
 * Has the hash from xxhash's header, not from haul: a test must not share its subject's mistakes.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LENGTH_BYTES_MAX = 16 << 20, LINE_BYTES = 256, DIGEST_DIGITS = 32 };

static void digest_of(const void *data, size_t length_bytes, char out[static DIGEST_DIGITS + 1])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length_bytes));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        sprintf(out + 2 * i, "%02x", canonical.digest[i]);
}

/* Reads the whole range or as much as the file has. */
static size_t range_read(int fd, char *data, size_t length_bytes, uint64_t offset)
{
    size_t done_bytes = 0;
    while (done_bytes < length_bytes) {
        ssize_t got =
            pread(fd, data + done_bytes, length_bytes - done_bytes, (off_t)(offset + done_bytes));
        if (got <= 0)
            break;
        done_bytes += (size_t)got;
    }
    return done_bytes;
}

static bool chunk_held(int fd, char *data, uint64_t offset, uint64_t length_bytes,
                       const char *wanted)
{
    char found[DIGEST_DIGITS + 1];
    size_t got_bytes = range_read(fd, data, (size_t)length_bytes, offset);
    digest_of(data, got_bytes, found);
    if (got_bytes == length_bytes && strcmp(found, wanted) == 0)
        return true;
    fprintf(stderr, "digests: %" PRIu64 " bytes at %" PRIu64 ": %s, not %s\n", length_bytes, offset,
            found, wanted);
    return false;
}

int main(int count, char **arguments)
{
    int fd = count == 2 ? open(arguments[1], O_RDONLY) : -1;
    char *data = malloc(LENGTH_BYTES_MAX);
    if (fd < 0 || data == NULL) {
        fprintf(stderr, "digests: %s: %s\n", count == 2 ? arguments[1] : "usage: digests FILE",
                strerror(errno));
        return 2;
    }
    char line[LINE_BYTES];
    char wanted[DIGEST_DIGITS + 1];
    uint64_t checked = 0;
    bool equal = true;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        uint64_t offset = 0;
        uint64_t length_bytes = 0;
        if (sscanf(line, "%" SCNu64 " %" SCNu64 " %32[0-9a-f]", &offset, &length_bytes, wanted) !=
                3 ||
            length_bytes > LENGTH_BYTES_MAX) {
            fprintf(stderr, "digests: not a chunk: %s", line);
            return 2;
        }
        equal = chunk_held(fd, data, offset, length_bytes, wanted) && equal;
        checked++;
    }
    printf("%" PRIu64 "\n", checked);
    return equal ? 0 : 1;
}
