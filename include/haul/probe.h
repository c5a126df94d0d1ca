/* probe.h - what could be done with a path, found out without doing it: for --dry-run, and for
 * files that are only written at the end. Nothing is created, opened for writing or changed. */
#ifndef HAUL_PROBE_H
#define HAUL_PROBE_H

#include "haul/error.h"
#include "haul/file.h"

/* Could a file be created (and another one there be removed) in the folder that holds `path`: is it
 * there, may it be written, and is it neither immutable nor of a read-only mount? -errno with the
 * words of file_open_target(). */
int probe_folder(const struct place *place, const char *path, struct error *err);

#endif
