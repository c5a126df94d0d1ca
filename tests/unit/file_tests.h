/* file_tests.h - local files in a folder of their own: what their tests share. */
#ifndef HAUL_TESTS_FILE_TESTS_H
#define HAUL_TESTS_FILE_TESTS_H

#include "in_child.h"
#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534, BLOCK = 4096 };

struct place {
    char folder[64], path[128], other[128];
    struct file file;
    struct error err;
};

static inline int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    if (!place)
        return -1;
    strcpy(place->folder, "/var/tmp/haul_file_XXXXXX");
    if (!mkdtemp(place->folder) || chmod(place->folder, 0777) != 0)
        return -1;
    snprintf(place->path, sizeof(place->path), "%s/file", place->folder);
    snprintf(place->other, sizeof(place->other), "%s/other", place->folder);
    file_init(&place->file);
    *state = place;
    return 0;
}

static inline int place_teardown(void **state)
{
    struct place *place = *state;
    file_close(&place->file);
    unlink(place->path);
    unlink(place->other);
    int result = rmdir(place->folder);
    free(place);
    return result;
}

static inline void make_file(const char *path, uint64_t size_bytes, mode_t mode)
{
    static const uint8_t block[BLOCK] = {1};
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (uint64_t done = 0; done < size_bytes;) {
        ssize_t wrote = write(fd, block, (size_t)min_u64(BLOCK, size_bytes - done));
        assert_true(wrote > 0);
        done += (uint64_t)wrote;
    }
    assert_int_equal(fchmod(fd, mode), 0);
}

static inline int open_source(struct place *place)
{
    place->err = (struct error){.class = ERROR_NONE};
    return file_open_source(&place->file, place->path, &place->err);
}

static inline int open_target(struct place *place)
{
    const struct file_open_wish wish = {.join = false};
    place->err = (struct error){.class = ERROR_NONE};
    return file_open_target(&place->file, place->path, &wish, &place->err);
}

/* After a refusal nothing is open, and words name the path. */
static inline void assert_refused(struct place *place, int result, int expected,
                                  enum error_class class)
{
    assert_int_equal(result, expected);
    assert_int_equal(place->err.class, class);
    assert_non_null(strstr(place->err.text, place->path));
    assert_int_equal(place->file.fd, -1);
    assert_int_equal(place->file.fd_direct, -1);
    assert_int_equal(place->file.fd_folder, -1);
    assert_null(place->file.path);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_setup, place_teardown)

#endif
