/* device.c - finds in /proc and /sys by what a block device is in use. Knows nothing of opening or
 * copying one. */
#include "haul/disk/device.h"

#include "haul/base/cleanup.h"
#include "haul/disk/mountinfo.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static void close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

static void close_folder(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* The disk that a partition belongs to; the device itself when it is none. */
static dev_t disk_of(dev_t device)
{
    char path[96];
    unsigned major_number, minor_number;
    struct stat st;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(device), minor(device));
    if (stat(path, &st) != 0)
        return device;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(device), minor(device));
    FILE *file __attribute__((cleanup(close_file))) = fopen(path, "re");
    bool known = file && fscanf(file, "%u:%u", &major_number, &minor_number) == 2;
    return known ? makedev(major_number, minor_number) : device;
}

/* Claiming a disk claims its partitions, and the other way round. */
static bool related(dev_t a, dev_t b)
{
    return a == b || disk_of(a) == b || disk_of(b) == a;
}

/* By what was mounted for file systems with device numbers of their own (btrfs). */
static bool line_mounts(const struct mountinfo *mount, dev_t device)
{
    unsigned major_number, minor_number;
    struct stat st;
    if (sscanf(mount->device, "%u:%u", &major_number, &minor_number) != 2)
        return false;
    if (major_number != 0)
        return related(makedev(major_number, minor_number), device);
    return mount->source[0] == '/' && stat(mount->source, &st) == 0 && S_ISBLK(st.st_mode) &&
           related(st.st_rdev, device);
}

static bool is_mounted(dev_t device, char *out, size_t capacity)
{
    AUTO_FREE char *line = NULL;
    size_t room = 0;
    struct mountinfo mount;
    FILE *file __attribute__((cleanup(close_file))) = fopen("/proc/self/mountinfo", "re");
    while (file && getline(&line, &room, file) > 0) {
        if (!mountinfo_take(line, &mount) || !line_mounts(&mount, device))
            continue;
        snprintf(out, capacity, "mounted on %s", mount.point);
        return true;
    }
    return false;
}

static bool is_swap(dev_t device, char *out, size_t capacity)
{
    AUTO_FREE char *line = NULL;
    size_t room = 0;
    struct stat st;
    FILE *file __attribute__((cleanup(close_file))) = fopen("/proc/swaps", "re");
    while (file && getline(&line, &room, file) > 0) {
        line[strcspn(line, " \t")] = '\0';
        mountinfo_unescape(line);
        if (line[0] != '/' || stat(line, &st) != 0 || !S_ISBLK(st.st_mode) ||
            !related(st.st_rdev, device))
            continue;
        snprintf(out, capacity, "used as swap");
        return true;
    }
    return false;
}

static bool is_member(dev_t device, char *out, size_t capacity)
{
    char path[96];
    const struct dirent *entry;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(device), minor(device));
    DIR *folder __attribute__((cleanup(close_folder))) = opendir(path);
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(out, capacity, "part of %.200s", entry->d_name);
        return true;
    }
    return false;
}

bool device_use(dev_t device, char *out, size_t capacity)
{
    return is_mounted(device, out, capacity) || is_swap(device, out, capacity) ||
           is_member(device, out, capacity);
}
