/* descent.c - a stack of folders, of which the upper ones are open. */
#include "haul/disk/descent.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

/* statx(2) as the kernel lays it out, as in file.c. */
enum {
    STATX_BYTES = 256,
    STATX_MOUNT_AT = 0x90,
    STATX_WANT_BASIC = 0x7ff,
    STATX_WANT_MOUNT = 0x1000,
    STATX_ASK_THE_SERVER = 0x2000
};

int descent_open(struct descent *descent, const char *path)
{
    size_t length = strlen(path);
    descent->depth = descent->held_first = 0;
    descent->levels = NULL;
    if (length >= sizeof(descent->path))
        return -ENAMETOOLONG;
    memcpy(descent->path, path, length + 1);
    descent->path_length = num_u32(length);
    descent->levels = calloc(DESCENT_DEPTH_MAX, sizeof(*descent->levels)); /* no page is touched */
    return descent->levels ? 0 : -ENOMEM;
}

void descent_close(struct descent *descent)
{
    for (uint32_t i = descent->held_first; i < descent->depth; i++)
        cleanup_close(&descent->levels[i].fd);
    free(descent->levels);
    descent->levels = NULL;
    descent->depth = 0;
}

void descent_cut(struct descent *descent)
{
    descent->path_length = descent_top(descent)->path_length;
    descent->path[descent->path_length] = '\0';
}

const char *descent_add(struct descent *descent, const char *name)
{
    descent_cut(descent);
    uint32_t slash = descent->path_length > 0;
    size_t length = strlen(name);
    if (length + slash >= sizeof(descent->path) - descent->path_length)
        return NULL;
    if (slash)
        descent->path[descent->path_length] = '/';
    memcpy(descent->path + descent->path_length + slash, name, length + 1);
    descent->path_length += num_u32(length) + slash;
    return descent->path + descent->path_length - length;
}

void descent_enter(struct descent *descent, int fd, const struct stat *st, uint64_t mount)
{
    assert(descent->depth < DESCENT_DEPTH_MAX);
    descent->levels[descent->depth++] = (struct descent_level){
        .fd = fd,
        .path_length = descent->path_length,
        .device = st->st_dev,
        .inode = st->st_ino,
        .mount = mount,
    };
    if (descent->depth - descent->held_first <= DESCENT_HELD_MAX)
        return;
    cleanup_close(&descent->levels[descent->held_first].fd);
    descent->levels[descent->held_first++].fd = -1;
}

void descent_leave(struct descent *descent)
{
    assert(descent->depth > 0);
    cleanup_close(&descent_top(descent)->fd);
    descent->depth--;
    if (descent->held_first > descent->depth)
        descent->held_first = descent->depth;
}

int descent_regain(struct descent *descent, const struct place *root)
{
    struct descent_level *top = descent_top(descent);
    struct stat st;
    if (top->fd >= 0)
        return 0;
    descent_cut(descent);
    AUTO_CLOSE int fd = place_reach(root, descent->path, DESCENT_FLAGS);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (st.st_dev != top->device || st.st_ino != top->inode)
        return -ESTALE;
    top->fd = take_fd(&fd);
    descent->held_first = descent->depth - 1;
    return 1;
}

int descent_look(int fd, const char *name, struct stat *st, uint64_t *mount)
{
    _Alignas(8) uint8_t raw[STATX_BYTES] = {0};
    uint32_t mask;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    (void)syscall(SYS_statx, fd, name, flags | STATX_ASK_THE_SERVER,
                  STATX_WANT_BASIC | STATX_WANT_MOUNT, raw);
    memcpy(&mask, raw, sizeof(mask));
    memcpy(mount, raw + STATX_MOUNT_AT, sizeof(*mount));
    if (!(mask & STATX_WANT_MOUNT))
        *mount = 0;
    return fstatat(fd, name, st, flags) == 0 ? 0 : -errno;
}
