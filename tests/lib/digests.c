/*
 * digests: does a file hold the chunks that somebody says it holds?
 *
 *   digests FILE <CHUNKS              a line each: OFFSET LENGTH XXH3-128 (32 hexadecimal digits)
 *   digests --journal FILE <EVENTS    what `haul journal --json` has printed
 *
 * Prints how many lines it checked, or how many bytes the journal names. Exit 1: a chunk differs or
 * is not there; 2: not such a list. Has the hash from xxhash's header, not from haul: a test must
 * not share its subject's mistakes.
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

enum { LENGTH_BYTES_MAX = 16 << 20, LINE_BYTES = 16384, CHUNKS_MAX = 1 << 16, DIGEST_DIGITS = 32 };

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

struct chunk {
    uint64_t offset, length_bytes;
    char wanted[DIGEST_DIGITS + 1];
};

/* "OFFSET LENGTH DIGEST". */
static bool plain_chunk(const char *line, struct chunk *chunk)
{
    return sscanf(line, "%" SCNu64 " %" SCNu64 " %32[0-9a-f]", &chunk->offset, &chunk->length_bytes,
                  chunk->wanted) == 3;
}

static bool number_in(const char *line, const char *name, uint64_t *value)
{
    const char *at = strstr(line, name);
    return at != NULL && sscanf(at + strlen(name), "%" SCNu64, value) == 1;
}

/* An event of `haul journal --json`. False, and *is_chunk says of which kind: it is none, or
 * another one. */
static bool event_chunk(const char *line, struct chunk *chunk, bool *is_chunk)
{
    const char *digest = strstr(line, "\"digest\":\"");
    *is_chunk = strncmp(line, "{\"v\":1,\"event\":\"journal\"", 24) != 0;
    return strncmp(line, "{\"v\":1,\"event\":\"chunk\"", 22) == 0 &&
           number_in(line, "\"offset\":", &chunk->offset) &&
           number_in(line, "\"length\":", &chunk->length_bytes) && digest != NULL &&
           sscanf(digest + 10, "%32[0-9a-f]", chunk->wanted) == 1;
}

/* A chunk may be listed twice, for one that was repaired: the later entry holds. */
static size_t place_of(const struct chunk *chunks, size_t count, uint64_t offset)
{
    size_t place = count;
    while (place > 0 && chunks[place - 1].offset != offset)
        place--;
    return place > 0 ? place - 1 : count;
}

static size_t read_chunks(struct chunk *chunks, bool events)
{
    static char line[LINE_BYTES];
    size_t count = 0;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct chunk chunk = {.offset = 0};
        bool is_chunk = true;
        bool good = events ? event_chunk(line, &chunk, &is_chunk) : plain_chunk(line, &chunk);
        if (!good && !is_chunk)
            continue;
        if (!good || chunk.length_bytes > LENGTH_BYTES_MAX || count == CHUNKS_MAX) {
            fprintf(stderr, "digests: not a chunk: %s", line);
            exit(2);
        }
        size_t place = events ? place_of(chunks, count, chunk.offset) : count;
        chunks[place] = chunk;
        count += place == count;
    }
    return count;
}

int main(int count, char **arguments)
{
    bool events = count == 3 && strcmp(arguments[1], "--journal") == 0;
    struct chunk *chunks = calloc(CHUNKS_MAX, sizeof(*chunks));
    char *data = malloc(LENGTH_BYTES_MAX);
    if (count != 2 + events || data == NULL || chunks == NULL) {
        fputs("usage: digests [--journal] FILE\n", stderr);
        return 2;
    }
    size_t listed = read_chunks(chunks, events);
    int fd = listed == 0 ? -1 : open(arguments[count - 1], O_RDONLY);
    if (listed > 0 && fd < 0) {
        fprintf(stderr, "digests: %s: %s\n", arguments[count - 1], strerror(errno));
        return 2;
    }
    uint64_t bytes = 0;
    bool equal = true;
    for (size_t i = 0; i < listed; i++) {
        equal = chunk_held(fd, data, chunks[i].offset, chunks[i].length_bytes, chunks[i].wanted) &&
                equal;
        bytes += chunks[i].length_bytes;
    }
    printf("%" PRIu64 "\n", events ? bytes : (uint64_t)listed);
    return equal ? 0 : 1;
}
