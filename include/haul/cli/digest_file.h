/* digest_file.h - --digest-file: one line, as sha256sum(1) or xxhsum(1) writes and checks it. */
#ifndef HAUL_DIGEST_FILE_H
#define HAUL_DIGEST_FILE_H

#include "haul/base/error.h"

/* Could it be written, and may what is there go: nothing, an empty file, or one that begins like
 * such a list? -errno with words. */
int digest_file_check(const char *path, struct error *err);

/* `digest` of the file `name`, under another name first, synced, and renamed. -errno with words. */
int digest_file_write(const char *path, const char *digest, const char *name, struct error *err);

#endif
