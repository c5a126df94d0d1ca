/* filesystem.h - kinds of file systems, by the numbers of statfs(2). */
#ifndef HAUL_FILESYSTEM_H
#define HAUL_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* linux/magic.h names the others. */
enum { FILESYSTEM_XFS = 0x58465342 };

/* Of what is open; 0: it is not told. */
uint64_t filesystem_type(int fd);

/* "ext4", "overlayfs", ...; "filesystem 0x..." otherwise. Into out, which it returns. */
const char *filesystem_name(uint64_t type, char *out, uint32_t capacity);

/* tmpfs, ramfs: it is page cache. */
bool filesystem_is_memory(uint64_t type);

/* Does a read of it bring in pages behind what was read, whatever POSIX_FADV_RANDOM says? squashfs
 * unpacks whole blocks, and one more (fs/squashfs/file.c, squashfs_readahead: Linux 6.0), and EROFS
 * whole clusters. */
bool filesystem_overreads(uint64_t type);

/* Does syncfs(2) say what was lost? Overlayfs, FUSE and network file systems do not tell of what
 * was lost below them. */
bool filesystem_tells(uint64_t type);

/* Is what was written back, and waited for, on the medium before anything that was changed behind
 * it is? So do the journals of xfs and btrfs, and that of ext4 on the device where it has one
 * (/sys/fs/ext4/NAME/journal_task). Reads a file of /sys. */
bool filesystem_orders(uint64_t type, uint64_t device);

/* Before Linux 5.8 none does. */
bool filesystem_kernel_tells(void);

/* Does the kernel write back what was written with RWF_DONTCACHE by itself, and drop it then, where
 * the file system takes that? Before Linux 6.16 it could drop a page that had been written again.
 */
bool filesystem_kernel_drops(void);

#endif
