/* image_sim.h - what a file holds, in memory: as large as the largest, and as cheap as what is no
 * zeros in it. */
#ifndef HAUL_TESTS_SIM_IMAGE_H
#define HAUL_TESTS_SIM_IMAGE_H

#include "tasks_sim.h"

#include <fcntl.h>
#include <sys/mman.h>

enum {
    IMAGE_BYTES_MAX = 36 * 1024 * 1024,
    IMAGE_SMALL_BYTES = 1024 * 1024,
    IMAGE_PART_BYTES = 64 * 1024,
    IMAGE_PARTS = IMAGE_BYTES_MAX / IMAGE_PART_BYTES,
};

struct image {
    uint8_t *bytes;
    bool touched[IMAGE_PARTS]; /* the others are zeros */
};

static void image_open(struct image *image)
{
    if (!image->bytes)
        image->bytes = mmap(NULL, IMAGE_BYTES_MAX, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (image->bytes == MAP_FAILED)
        sim_fatal("no memory");
}

/* Where to put so many bytes. */
static uint8_t *image_at(struct image *image, uint64_t offset, uint64_t length)
{
    if (offset + length > IMAGE_BYTES_MAX)
        sim_fatal("a file is too large for the model");
    for (uint64_t i = offset / IMAGE_PART_BYTES; i * IMAGE_PART_BYTES < offset + length; i++)
        image->touched[i] = true;
    return image->bytes + offset;
}

static void image_zero(struct image *image, uint64_t offset, uint64_t length)
{
    uint64_t end = min_u64(offset + length, IMAGE_BYTES_MAX);
    for (uint64_t i = offset / IMAGE_PART_BYTES; i * IMAGE_PART_BYTES < end; i++) {
        uint64_t start = max_u64(offset, i * IMAGE_PART_BYTES);
        uint64_t part = min_u64(end, (i + 1) * IMAGE_PART_BYTES) - start;
        if (image->touched[i])
            memset(image->bytes + start, 0, (size_t)part);
        if (part == IMAGE_PART_BYTES)
            image->touched[i] = false;
    }
}

/* That range becomes what the file holds there. */
static void image_read(struct image *image, int fd, uint64_t offset, uint64_t length)
{
    off_t start = num_off(offset), end, limit = num_off(offset + length);
    image_zero(image, offset, length);
    if (length <= IMAGE_SMALL_BYTES) { /* holes or not */
        if (length > 0 && pread(fd, image_at(image, offset, length), (size_t)length, start) < 0)
            sim_fatal("a file cannot be read: %s", strerror(errno));
        return;
    }
    while (start < limit && (start = lseek(fd, start, SEEK_DATA)) >= 0 && start < limit &&
           (end = lseek(fd, start, SEEK_HOLE)) >= 0) {
        uint64_t part = (uint64_t)((end < limit ? end : limit) - start);
        if (pread(fd, image_at(image, (uint64_t)start, part), (size_t)part, start) < 0)
            sim_fatal("a file cannot be read: %s", strerror(errno));
        start = end;
    }
}

static void image_write(const struct image *image, int fd, uint64_t length)
{
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, num_off(length)) != 0)
        sim_fatal("a file cannot be written: %s", strerror(errno));
    for (uint64_t i = 0; i * IMAGE_PART_BYTES < length; i++) {
        uint64_t offset = i * IMAGE_PART_BYTES;
        size_t part = (size_t)min_u64(IMAGE_PART_BYTES, length - offset);
        if (image->touched[i] &&
            pwrite(fd, image->bytes + offset, part, num_off(offset)) != (ssize_t)part)
            sim_fatal("a file cannot be written: %s", strerror(errno));
    }
}

static bool image_equals(const struct image *a, const struct image *b, uint64_t length)
{
    for (uint64_t i = 0; i * IMAGE_PART_BYTES < length; i++) {
        uint64_t offset = i * IMAGE_PART_BYTES;
        size_t part = (size_t)min_u64(IMAGE_PART_BYTES, length - offset);
        if ((a->touched[i] || b->touched[i]) &&
            memcmp(a->bytes + offset, b->bytes + offset, part) != 0)
            return false;
    }
    return true;
}

#endif
