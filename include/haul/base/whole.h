/* whole.h - the digest of all of a file's bytes, in their order, as sha256sum(1) and xxhsum(1) tell
 * it. Deliberately not the digest that a copy is sealed with: that one is made of the chunks',
 * which end in any order. Memory is fixed at open; no call blocks but the first one of sha256,
 * which loads libcrypto. One thread. */
#ifndef HAUL_WHOLE_H
#define HAUL_WHOLE_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum whole_kind { WHOLE_SHA256, WHOLE_XXH128 };
#define WHOLE_KINDS_COUNT (WHOLE_XXH128 + 1)

enum { WHOLE_TEXT_BYTES = 65 }; /* with its NUL */

struct whole;

/* -ENOTSUP (ERROR_USAGE) with words: there is no libcrypto here, or its
 * configuration has no sha256. -ENOMEM. */
int whole_open(struct whole **out, enum whole_kind kind, struct error *err);

/* "sha256", "xxh128". */
const char *whole_name(enum whole_kind kind);

/* Can it be had here? As whole_open(). */
int whole_check(enum whole_kind kind, struct error *err);

/* From the first byte again. */
void whole_restart(struct whole *whole);

/* The next bytes. */
void whole_add(struct whole *whole, const void *data, size_t length);

/* Zeros up to this offset, some milliseconds' worth at a time. false: not all of them yet, call
 * again. */
bool whole_fill(struct whole *whole, uint64_t offset);

/* In hexadecimal digits. Nothing can be added afterwards. */
void whole_end(struct whole *whole, char out[WHOLE_TEXT_BYTES]);

/* NULL is legal. */
void whole_close(struct whole *whole);

#endif
