/* probe.h - what could be done with a path, found out without doing it: for --dry-run, and for
 * files that are only written at the end. Nothing is created, opened for writing or changed. What
 * only the attempt would tell (a quota, a program that is running) is not found. */
#ifndef HAUL_PROBE_H
#define HAUL_PROBE_H

#include "haul/base/error.h"
#include "haul/disk/file.h"

/* Could a file be created (and another one there be removed) in the folder that holds `path`: is it
 * there, may it be written, and is it neither immutable nor of a read-only mount? -errno with the
 * words of file_open_target(). */
int probe_folder(const struct place *place, const char *path, struct error *err);

struct probe_wish {
    uint64_t size_bytes; /* of the finished target */
    uint64_t room_bytes; /* what of it needs room: less where there are holes */
    bool write_devices;
    bool aside; /* it is written under another name beside it */
};

/* Would file_open_target() and file_preallocate() succeed: folder, kind, permissions, attributes,
 * read-only mounts and devices, size of the device, who uses it, a transfer that is running, room?
 * 0, or -errno with their class and, about, their words. Beneath a place that may not be read it
 * tells no more than whether the folder is there. May block for a second (a lock) and on the
 * filesystem. */
int probe_target(const struct place *place, const char *path, const struct probe_wish *wish,
                 struct error *err);

#endif
