/* cache_parts.h - private to cache*.c: what the parts of a cache are to each other. cache.c uses
 * both, cache_direct.c uses the windows. */
#ifndef HAUL_DISK_CACHE_PARTS_H
#define HAUL_DISK_CACHE_PARTS_H

#include "haul/disk/cache.h"

/* A transfer brings in so much around it at most, where direct I/O lies. */
enum { CACHE_SPILL_BYTES_MAX = 256 * 1024 };

/* ---- cache_window.c ---- */

/* From now on windows, because of `why`; NULL: that has been said. Requests in flight stay as they
 * are. */
void cache_window_become(struct cache *cache, const char *why);
/* false: too many windows are open, or this one is just being closed. */
bool cache_window_begin(struct cache *cache, struct cache_transfer *transfer);
void cache_window_end(struct cache *cache, const struct cache_transfer *transfer);
/* Is the window of this offset open? */
bool cache_window_is_open(const struct cache *cache, uint64_t offset);
/* The next run of pages that are not others', from *offset on and before `end`, in an open window:
 * *offset and *length are set to it. false: there is none. */
bool cache_window_run_of_ours(const struct cache *cache, uint64_t *offset, uint64_t end,
                              uint64_t *length);
struct request *cache_window_next(struct cache *cache, enum cache_urgency urgency);
int cache_window_reaped(struct cache *cache, struct request *request);
void cache_window_close(struct cache *cache);

/* ---- cache_direct.c ---- */

/* The kind has been chosen: is it to be doubted? */
void cache_direct_start(struct cache *cache);
/* A transfer is about to begin, and is over. */
void cache_direct_before(struct cache *cache, struct cache_transfer *transfer);
void cache_direct_after(struct cache *cache, struct cache_transfer *transfer);
/* A direct write is to go through windows: others have its range in the cache, or somebody is close
 * behind and will have read what it throws out. */
bool cache_direct_meets_others(const struct cache *cache, const struct cache_transfer *transfer);
/* No more transfers come. */
void cache_direct_finish(struct cache *cache);
/* Suspects that were never tried. Where statx vouches for direct I/O they are another's; else
 * nobody can tell: true. */
bool cache_direct_unresolved(struct cache *cache);
/* Resident bytes of a part of the file; NUM_UNKNOWN. */
uint64_t cache_direct_resident(const struct cache *cache, uint64_t offset, uint64_t length);
/* Bytes of [start, end) that are there because of us, outside of windows. */
uint64_t cache_direct_resident_ours(const struct cache *cache, uint64_t start, uint64_t end);

#endif
