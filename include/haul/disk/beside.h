/* beside.h - the names of what haul makes beside a file NAME, in its folder, and whose they are:
 * ".NAME.haul" is its journal, ".NAME.haul-SUFFIX" something else of it that is under way. A name
 * that would be longer than the 255 bytes which a name may have is ".haul-", 16 hexadecimal digits
 * of NAME's checksum, and "-SUFFIX". The same in every run: the next one finds what a killed one
 * has left. Whoever makes such a thing asks here for its name, and --delete asks here what it
 * belongs to. Nothing blocks; any thread. */
#ifndef HAUL_BESIDE_H
#define HAUL_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

enum { BESIDE_NAME_BYTES = 256, BESIDE_SUFFIX_BYTES_MAX = 64 };

/* What has the name of a journal: no suffix. */
#define BESIDE_JOURNAL ""
/* What takes the place of another thing, until it is renamed. */
#define BESIDE_NEW "new"

/* `name` is a single one; `suffix` is of small letters, digits and '-'. */
void beside_name(char out[BESIDE_NAME_BYTES], const char *name, const char *suffix);

/* Could beside_name() have made `own`, with any suffix? The name that it is beside begins behind
 * the dot and has this length; 0: it was too long, and beside_is_of() knows it. */
bool beside_is_name(const char *own, size_t *length);

/* Is `own` beside `name`? */
bool beside_is_of(const char *own, const char *name);

#endif
