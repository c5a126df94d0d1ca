/* folder.h - a folder of a fuzz target's own, in memory where there is room, and what a target may
 * leave open. */
#ifndef HAUL_TESTS_FUZZ_FOLDER_H
#define HAUL_TESTS_FUZZ_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_PATH_BYTES = 64 };

static inline void folder_open(char path[FOLDER_PATH_BYTES])
{
    strcpy(path, "/dev/shm/haul-fuzz.XXXXXX");
    if (mkdtemp(path))
        return;
    strcpy(path, "/tmp/haul-fuzz.XXXXXX");
    if (!mkdtemp(path))
        abort();
}

static inline void folder_empty(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
}

static inline uint32_t open_files(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

#endif
