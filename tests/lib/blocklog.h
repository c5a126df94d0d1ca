/*
 * blocklog.h: the block log's layout, shared by its writer (fuse_blocklog.c) and its reader
 * (replay.c).
 *
 * A log is one header, then records in the order in which the disk *finished* them; a WRITE and a
 * MARK are followed by `length` bytes. The host's byte order: a log never leaves the machine.
 */
#ifndef TESTS_LIB_BLOCKLOG_H
#define TESTS_LIB_BLOCKLOG_H

#include <stdint.h>

#define BLOCKLOG_MAGIC           UINT64_C(0x31474f4c4b4c4248)
#define BLOCKLOG_RECORD_MAGIC    UINT32_C(0x44524342)
#define BLOCKLOG_SECTOR_BYTES    512u
#define BLOCKLOG_MARK_BYTES_MAX  256u
#define BLOCKLOG_WRITE_BYTES_MAX (16u << 20)

enum blocklog_kind {
    BLOCKLOG_WRITE = 1,
    BLOCKLOG_ZERO =
        2, /* A write of nothing but zeros (mkfs.xfs writes 64 MiB of them): no payload. */
    BLOCKLOG_FLUSH = 3,
    BLOCKLOG_MARK = 4, /* A name that the test wrote; it changes nothing on the disk. */
};

struct blocklog_header {
    uint64_t magic;
    uint64_t disk_bytes;
};

struct blocklog_record {
    uint32_t magic;
    uint32_t kind;
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

#endif
