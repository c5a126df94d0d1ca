/* journal_layout.h - the numbers of haul-journal(5) that writer and reader share. */
#ifndef JOURNAL_LAYOUT_H
#define JOURNAL_LAYOUT_H

#include "haul/disk/journal.h"

/* The header: its first bytes (not text, so that no editor's file begins so), where its checksum
 * stands, and that checksum's seed. */
#define JOURNAL_MAGIC       "haulJNL\x1a"
#define JOURNAL_HEADER_SEED UINT64_C(0x6861756c2d686472) /* "haul-hdr" */
#define JOURNAL_BATCH_MAGIC "BTCH"
#define JOURNAL_BATCH_SEED  UINT64_C(0x6861756c2d626174) /* "haul-bat", XOR the session */

enum {
    JOURNAL_MAGIC_BYTES = 8,
    JOURNAL_HEADER_SUM_AT = JOURNAL_HEADER_BYTES - 8,
    JOURNAL_BATCH_STAMP_AT = 24,
    JOURNAL_FLAG_COMPARE = 1,
    JOURNAL_FLAG_MANIFEST = 2,
    JOURNAL_FLAG_PART = 4,
    JOURNAL_BATCH_MAGIC_BYTES = 4,
    JOURNAL_BATCH_SUM_BYTES = 8, /* the checksum stands first and covers all that follows */
};

/* Whether the fields can belong together: asserted before a header is written, checked after one is
 * read. */
static inline bool journal_layout_sane(const struct journal_header *header)
{
    uint32_t chunk_bytes = header->chunk_bytes;
    bool part = header->part_end > 0;
    if (part && (header->manifest || header->part_start >= header->part_end ||
                 header->part_end > header->size_bytes))
        return false;
    return header->session != 0 && chunk_bytes >= JOURNAL_CHUNK_BYTES_MIN &&
           chunk_bytes <= JOURNAL_CHUNK_BYTES_MAX && (chunk_bytes & (chunk_bytes - 1)) == 0 &&
           header->size_bytes <= (uint64_t)INT64_MAX && header->source.mtime_ns < 1000000000 &&
           header->target.mtime_ns < 1000000000;
}

#endif
