/* journal_reader.c - reads a journal back: haul-journal(5).
 *
 * Every byte may be damaged, torn or somebody's invention. Nothing is used before a checksum that
 * covers it has been checked, no length before it is known to lie inside the file. It is read in
 * pieces of the size of the largest batch, however small its batches are: each read may wait for a
 * slow disk. */
#include "haul/disk/journal.h"

#include "journal_layout.h"

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/residency.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct journal_reader {
    int fd;
    uint64_t size_bytes; /* of the file, when it was opened: what is appended later is not read */
    uint64_t good_bytes; /* the header and the good batches read so far; the next one stands here */
    uint64_t session;
    uint64_t first_chunk, end_chunk; /* it may list these, without the last */
    uint32_t entries_count;          /* of the batch in memory */
    uint32_t entries_given;          /* of these */
    bool damaged;
    bool untouched;       /* nothing of it was cached before we read it */
    uint64_t stamp;       /* of the batch in memory */
    const uint8_t *batch; /* that, in the piece */
    uint64_t piece_start; /* of the file's bytes in memory ... */
    uint32_t piece_bytes; /* ... so many */
    uint8_t piece[JOURNAL_BATCH_BYTES_MAX];
};

/* As many of `length` bytes as there are before the file ends; -errno. */
static ssize_t read_most(int fd, void *data, size_t length, uint64_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t got = pread(fd, (uint8_t *)data + done, length - done, num_off(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* The batch at good_bytes has `length` bytes at least: they are in memory. 1; 0: the file ends
 * before; -errno. */
static int batch_reach(struct journal_reader *reader, size_t length)
{
    uint64_t start = reader->good_bytes, have = reader->piece_start + reader->piece_bytes;
    assert(length <= sizeof(reader->piece));
    if (start < reader->piece_start || have < start + length) {
        uint64_t most = min_u64(sizeof(reader->piece), reader->size_bytes - start);
        ssize_t got = read_most(reader->fd, reader->piece, num_u32(most), start);
        reader->piece_start = start;
        reader->piece_bytes = got > 0 ? (uint32_t)got : 0;
        if (got < 0)
            return (int)got;
    }
    reader->batch = reader->piece + (start - reader->piece_start);
    return reader->piece_start + reader->piece_bytes >= start + length;
}

/* false: bytes that must be zero are not. */
static bool get_identity(struct bytes *bytes, struct journal_identity *identity)
{
    identity->inode = bytes_get_u64(bytes);
    identity->size_bytes = bytes_get_u64(bytes);
    identity->mtime_seconds = (int64_t)bytes_get_u64(bytes);
    identity->mtime_ns = bytes_get_u32(bytes);
    return bytes_get_u32(bytes) == 0;
}

/* The fields behind magic and version, of a header whose checksum is right. */
static bool decode_fields(struct bytes *bytes, struct journal_header *header)
{
    uint32_t flags = bytes_get_u32(bytes);
    header->compare = flags & JOURNAL_FLAG_COMPARE;
    header->manifest = flags & JOURNAL_FLAG_MANIFEST;
    header->session = bytes_get_u64(bytes);
    header->size_bytes = bytes_get_u64(bytes);
    header->chunk_bytes = bytes_get_u32(bytes);
    bool good = bytes_get_u32(bytes) == 0;
    good = get_identity(bytes, &header->source) && good;
    good = get_identity(bytes, &header->target) && good;
    if (flags & JOURNAL_FLAG_PART) {
        header->part_start = (uint64_t)header->target.mtime_seconds;
        header->part_end = header->target.size_bytes;
        header->target.size_bytes = header->size_bytes;
        header->target.mtime_seconds = 0;
        good = good && header->part_end > 0;
    }
    header->source_seal = bytes_get_u64(bytes);
    header->target_identity = bytes_get_u64(bytes);
    assert(!bytes->failed && bytes->position == JOURNAL_HEADER_SUM_AT);
    const uint32_t known = JOURNAL_FLAG_COMPARE | JOURNAL_FLAG_MANIFEST | JOURNAL_FLAG_PART;
    return good && (flags & ~known) == 0 && journal_layout_sane(header);
}

static int decode_header(const uint8_t data[JOURNAL_HEADER_BYTES], struct journal_header *header,
                         const char *path, struct error *err)
{
    struct bytes bytes = bytes_reader(data, JOURNAL_HEADER_BYTES);
    struct bytes sum = bytes_reader(data + JOURNAL_HEADER_SUM_AT, 8);
    uint8_t magic[JOURNAL_MAGIC_BYTES];
    bytes_get_raw(&bytes, magic, sizeof(magic));
    if (memcmp(magic, JOURNAL_MAGIC, sizeof(magic)) != 0)
        return error_set_class(err, ERROR_FILE, EBADMSG, "%s: is not a journal", path);
    uint32_t version = bytes_get_u32(&bytes);
    bool whole =
        bytes_get_u64(&sum) == checksum_of(data, JOURNAL_HEADER_SUM_AT, JOURNAL_HEADER_SEED);
    if (version != JOURNAL_VERSION)
        return error_set_class(err, ERROR_FILE, EBADMSG,
                               "%s: is a journal of version %u, and %d is the one known here%s",
                               path, version, JOURNAL_VERSION, whole ? "" : "; or it is damaged");
    if (!whole)
        return error_set_class(err, ERROR_FILE, EBADMSG, "%s: the journal's header is damaged",
                               path);
    if (!decode_fields(&bytes, header))
        return error_set_class(err, ERROR_FILE, EBADMSG, "%s: the journal's header makes no sense",
                               path);
    return 0;
}

static int read_header(struct journal_reader *reader, struct journal_header *header,
                       const char *path, struct error *err)
{
    uint8_t data[JOURNAL_HEADER_BYTES];
    struct stat st;
    if (fstat(reader->fd, &st) != 0)
        return error_set(err, errno, "%s: cannot be looked at", path);
    if (!S_ISREG(st.st_mode))
        return error_set_class(err, ERROR_FILE, EBADMSG, "%s: is not a regular file", path);
    reader->size_bytes = (uint64_t)st.st_size;
    ssize_t got = read_most(reader->fd, data, sizeof(data), 0);
    if (got < 0)
        return error_set(err, (int)-got, "%s: header of the journal", path);
    if (got < JOURNAL_HEADER_BYTES)
        return error_set_class(err, ERROR_FILE, EBADMSG,
                               "%s: is shorter than the header of a journal", path);
    int rc = decode_header(data, header, path, err);
    if (rc < 0)
        return rc;
    reader->session = header->session;
    reader->first_chunk = journal_first_chunk(header);
    reader->end_chunk = journal_end_chunk(header);
    return 0;
}

int journal_reader_open(struct journal_reader **out, int fd_folder, const char *path,
                        struct journal_header *header, struct error *err)
{
    memset(header, 0, sizeof(*header));
    /* O_NONBLOCK: a FIFO of that name must not hang; it changes nothing for regular files. */
    AUTO_CLOSE int fd = openat(fd_folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT
                               : error_set(err, errno, "%s: the journal cannot be opened", path);
    struct journal_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to read a journal");
    reader->fd = take_fd(&fd);
    reader->untouched = residency_untouched(reader->fd);
    int rc = read_header(reader, header, path, err);
    if (rc < 0) {
        journal_reader_close(reader);
        return rc;
    }
    journal_reader_rewind(reader);
    *out = reader;
    return 0;
}

/* The chunk number of an entry of the batch in memory, and its digest. */
static struct journal_entry entry_at(const struct journal_reader *reader, uint32_t index)
{
    struct journal_entry entry;
    struct bytes bytes = bytes_reader(reader->batch + JOURNAL_BATCH_HEADER_BYTES +
                                          (size_t)index * JOURNAL_ENTRY_BYTES,
                                      JOURNAL_ENTRY_BYTES);
    entry.chunk = bytes_get_u64(&bytes);
    bytes_get_raw(&bytes, entry.digest.bytes, DIGEST_BYTES);
    assert(!bytes.failed);
    return entry;
}

/* How many entries the batch whose header is in memory says it has; 0: it is no batch of this
 * journal, or it would not fit into the file. */
static uint32_t claimed_entries(const struct journal_reader *reader, uint64_t left_bytes)
{
    struct bytes bytes = bytes_reader(reader->batch + JOURNAL_BATCH_SUM_BYTES,
                                      JOURNAL_BATCH_HEADER_BYTES - JOURNAL_BATCH_SUM_BYTES);
    uint8_t magic[JOURNAL_BATCH_MAGIC_BYTES];
    bytes_get_raw(&bytes, magic, sizeof(magic));
    uint32_t count = bytes_get_u32(&bytes);
    uint64_t session = bytes_get_u64(&bytes);
    assert(!bytes.failed);
    if (memcmp(magic, JOURNAL_BATCH_MAGIC, sizeof(magic)) != 0 || session != reader->session ||
        count > JOURNAL_NOTES_MAX)
        return 0;
    return JOURNAL_BATCH_HEADER_BYTES + (uint64_t)count * JOURNAL_ENTRY_BYTES <= left_bytes ? count
                                                                                            : 0;
}

static bool batch_valid(const struct journal_reader *reader, uint32_t count)
{
    struct bytes sum = bytes_reader(reader->batch, JOURNAL_BATCH_SUM_BYTES);
    size_t length = JOURNAL_BATCH_HEADER_BYTES + (size_t)count * JOURNAL_ENTRY_BYTES;
    if (bytes_get_u64(&sum) != checksum_of(reader->batch + JOURNAL_BATCH_SUM_BYTES,
                                           length - JOURNAL_BATCH_SUM_BYTES,
                                           reader->session ^ JOURNAL_BATCH_SEED))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (entry_at(reader, i).chunk < reader->first_chunk ||
            entry_at(reader, i).chunk >= reader->end_chunk)
            return false;
    return true;
}

/* The next batch into memory. 1; 0: there is none, or none that is good; -errno. */
static int load_batch(struct journal_reader *reader)
{
    uint64_t left_bytes =
        reader->size_bytes > reader->good_bytes ? reader->size_bytes - reader->good_bytes : 0;
    if (reader->damaged || left_bytes == 0)
        return 0;
    reader->damaged = true; /* until it has been shown to be good */
    if (left_bytes < JOURNAL_BATCH_HEADER_BYTES)
        return 0;
    int got = batch_reach(reader, JOURNAL_BATCH_HEADER_BYTES);
    uint32_t count = got == 1 ? claimed_entries(reader, left_bytes) : 0;
    size_t entries_bytes = (size_t)count * JOURNAL_ENTRY_BYTES;
    if (count > 0)
        got = batch_reach(reader, JOURNAL_BATCH_HEADER_BYTES + entries_bytes);
    if (got < 0)
        return got;
    if (got == 0 || count == 0 || !batch_valid(reader, count))
        return 0;
    reader->damaged = false;
    reader->good_bytes += JOURNAL_BATCH_HEADER_BYTES + entries_bytes;
    reader->entries_count = count;
    reader->entries_given = 0;
    struct bytes stamp = bytes_reader(reader->batch + JOURNAL_BATCH_STAMP_AT, 8);
    reader->stamp = bytes_get_u64(&stamp);
    return 1;
}

int journal_reader_next(struct journal_reader *reader, struct journal_entry *entries, uint32_t max,
                        struct error *err)
{
    assert(max > 0 && max <= INT32_MAX);
    if (reader->entries_given == reader->entries_count) {
        int rc = load_batch(reader);
        if (rc < 0)
            return error_set(err, -rc, "the journal cannot be read");
        if (rc == 0)
            return 0;
    }
    uint32_t count = reader->entries_count - reader->entries_given;
    count = count < max ? count : max;
    for (uint32_t i = 0; i < count; i++)
        entries[i] = entry_at(reader, reader->entries_given + i);
    reader->entries_given += count;
    return (int)count;
}

void journal_reader_rewind(struct journal_reader *reader)
{
    reader->good_bytes = JOURNAL_HEADER_BYTES;
    reader->piece_bytes = 0; /* it may have changed since */
    reader->entries_count = 0;
    reader->entries_given = 0;
    reader->damaged = false;
    reader->stamp = 0;
}

uint64_t journal_reader_stamp(const struct journal_reader *reader)
{
    return reader->stamp;
}

bool journal_reader_damaged(const struct journal_reader *reader)
{
    return reader->damaged;
}

uint64_t journal_reader_good_bytes(const struct journal_reader *reader)
{
    return reader->good_bytes;
}

void journal_reader_close(struct journal_reader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0 && reader->untouched)
        residency_drop(reader->fd, 0);
    cleanup_close(&reader->fd);
    free(reader);
}
