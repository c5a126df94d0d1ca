/* hash_xxhash.h - private to hash*.c: the only file that includes xxhash.h, and what hash.c has of
 * hash_choice.c. */
#ifndef HAUL_BASE_HASH_XXHASH_H
#define HAUL_BASE_HASH_XXHASH_H

#define XXH_STATIC_LINKING_ONLY /* for the size and alignment of XXH3_state_t */
#include <xxhash.h>

#include <stddef.h>

/* XXH3_128bits and XXH3_128bits_update by the best vectors of this processor. */
void hash_choice_128bits(XXH128_hash_t *out, const void *data, size_t length);
XXH_errorcode hash_choice_update(XXH3_state_t *state, const void *data, size_t length);
/* Is there a choice at run time, or was it made when this was compiled? */
int hash_choice_at_run_time(void);

#endif
