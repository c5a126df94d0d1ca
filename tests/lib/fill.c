/* fill - write incompressible, repeatable bytes without leaving any of them in the page cache.
 *
 *   fill [--offset=N] [--seed=N] FILE SIZE [FILE SIZE]...
 *       writes SIZE bytes at the offset (default 0: the file is made anew; an offset leaves the
 *       rest of it alone); each further file by the next seed
 *   fill --flip=OFFSET FILE
 *       inverts one byte
 *
 * Sizes take K, M, G, T (1024). The byte at an offset depends on the offset and the seed only.
 * Written with O_DIRECT where the filesystem takes it, else through the cache; at the end synced
 * and dropped. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK = 4096, BUFFER_BYTES = 2 << 20 }; /* a huge page, where there are any */

static bool parse_size(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    int shift = 0;
    if (*end != '\0') {
        const char *units = "KMGT";
        const char *unit = strchr(units, *end);
        shift = unit ? (int)(unit - units + 1) * 10 : 0;
        end += unit ? 1 : 0;
    }
    *out = value << shift;
    return errno == 0 && end != text && *end == '\0' && *text != '-' && *out >> shift == value;
}

/* splitmix64 of the counter: fast, seekable, and zstd finds nothing in it. */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
    uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed * UINT64_C(0xd1b54a32d192ed03);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void generate(unsigned char *buffer, size_t length, uint64_t offset, uint64_t seed)
{
    size_t i = 0;
    for (; i < length && ((offset + i) & 7) != 0; i++) {
        buffer[i] = (unsigned char)(word_at(seed, (offset + i) >> 3) >> (((offset + i) & 7) * 8));
    }
    for (; i + 8 <= length; i += 8) {
        uint64_t word = word_at(seed, (offset + i) >> 3);
        memcpy(buffer + i, &word, 8);
    }
    for (; i < length; i++) {
        buffer[i] = (unsigned char)(word_at(seed, (offset + i) >> 3) >> (((offset + i) & 7) * 8));
    }
}

static int write_all(int fd, const unsigned char *data, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t put = pwrite(fd, data, length, (off_t)offset);
        if (put <= 0) {
            return put == 0 ? -EIO : -errno;
        }
        data += put;
        offset += (uint64_t)put;
        length -= (size_t)put;
    }
    return 0;
}

static int clean(int fd)
{
    if (fdatasync(fd) != 0) {
        return -errno;
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

/* Whole blocks go through `direct` (-1: none), the rest through `buffered`. */
static int fill(int direct, int buffered, uint64_t offset, uint64_t length, uint64_t seed)
{
    static unsigned char *buffer;
    if (!buffer && !(buffer = aligned_alloc(BUFFER_BYTES, BUFFER_BYTES))) {
        return -ENOMEM;
    }
    if (length > BUFFER_BYTES / 4) {
        madvise(buffer, BUFFER_BYTES, MADV_HUGEPAGE);
    }
    int rc = 0;
    while (length > 0 && rc == 0) {
        size_t part = length < BUFFER_BYTES ? (size_t)length : BUFFER_BYTES;
        bool aligned = offset % BLOCK == 0 && part >= BLOCK;
        if (!aligned && offset % BLOCK != 0 && part > BLOCK - offset % BLOCK) {
            part = BLOCK - (size_t)(offset % BLOCK);
        }
        part = aligned ? part - part % BLOCK : part;
        generate(buffer, part, offset, seed);
        rc = aligned && direct >= 0 ? write_all(direct, buffer, part, offset) : -EINVAL;
        if (rc == -EINVAL) {
            rc = write_all(buffered, buffer, part, offset);
            rc = rc == 0 && part >= BLOCK ? clean(buffered) : rc;
        }
        offset += part;
        length -= part;
    }
    return rc;
}

static int flip(int fd, uint64_t offset)
{
    unsigned char byte;
    if (pread(fd, &byte, 1, (off_t)offset) != 1) {
        return -EIO;
    }
    byte = (unsigned char)~byte;
    return write_all(fd, &byte, 1, offset);
}

static int usage(void)
{
    fputs("usage: fill [--offset=N] [--seed=N] FILE SIZE... | fill --flip=OFFSET FILE\n", stderr);
    return 2;
}

struct wish {
    uint64_t offset, seed, flip_offset, size;
    bool partly, flip;
    int files_at;
};

static bool parse(struct wish *wish, int argc, char **argv)
{
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        bool valid = false;
        if (strncmp(argv[at], "--offset=", 9) == 0) {
            wish->partly = valid = parse_size(argv[at] + 9, &wish->offset);
        } else if (strncmp(argv[at], "--seed=", 7) == 0) {
            valid = parse_size(argv[at] + 7, &wish->seed);
        } else if (strncmp(argv[at], "--flip=", 7) == 0) {
            wish->flip = valid = parse_size(argv[at] + 7, &wish->flip_offset);
        }
        if (!valid) {
            return false;
        }
    }
    wish->files_at = at;
    for (; !wish->flip && at + 1 < argc; at += 2) {
        if (!parse_size(argv[at + 1], &wish->size)) {
            return false;
        }
    }
    return wish->flip ? argc - at == 1 : at == argc && at > wish->files_at;
}

static bool fill_file(const struct wish *wish, const char *path)
{
    int flags = O_RDWR | O_CLOEXEC | (wish->flip ? 0 : O_CREAT) |
                (wish->flip || wish->partly ? 0 : O_TRUNC);
    int buffered = open(path, flags, 0644);
    int direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    int rc = buffered < 0 ? -errno : 0;
    if (rc == 0) {
        rc = wish->flip ? flip(buffered, wish->flip_offset)
                        : fill(direct, buffered, wish->offset, wish->size, wish->seed);
    }
    rc = rc == 0 ? clean(buffered) : rc;
    if (rc != 0) {
        fprintf(stderr, "fill: %s: %s\n", path, strerror(-rc));
    }
    close(direct);
    close(buffered);
    return rc == 0;
}

int main(int argc, char **argv)
{
    struct wish wish = {0};
    if (!parse(&wish, argc, argv)) {
        return usage();
    }
    if (wish.flip) {
        return !fill_file(&wish, argv[wish.files_at]);
    }
    for (int at = wish.files_at; at < argc; at += 2, wish.seed++) {
        if (!parse_size(argv[at + 1], &wish.size) || !fill_file(&wish, argv[at])) {
            return 1;
        }
    }
    return 0;
}
