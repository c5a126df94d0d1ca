/* beneath.h - where in a folder something lies that was reached by another way: through symbolic
 * links, or through another mount of the same file system (bind mounts, volumes of containers). */
#ifndef HAUL_BENEATH_H
#define HAUL_BENEATH_H

#include <stdbool.h>
#include <sys/types.h>

/* Paths beneath the folder, which is told by device and inode, of what `path` is, and of what is
 * mounted in that, if `crosses`: none, one, or several. *places: they, and a NULL behind them; NULL
 * where there is none. The caller's: beneath_free(). What cannot be looked at is not found.
 * -ENOMEM. Asks the file systems of these paths, which may block. */
int beneath_find(const char *path, bool crosses, dev_t device, ino_t inode, char ***places);

/* The same by the letters of both paths, where they cannot be looked at. */
int beneath_by_name(const char *path, const char *folder, char ***places);

/* NULL is legal. */
void beneath_free(char **places);

#endif
