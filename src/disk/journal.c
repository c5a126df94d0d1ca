/* journal.c - writes the journal; journal_reader.c reads it, haul-journal(5) specifies it.
 *
 * Makes no data system call of its own once the file is open: batches are bytes that an engine
 * writes. Knows nothing of the copy. The notes are coded where they will be written from, behind
 * the room for a batch's header: the sealed ones first, the waiting ones behind them, so that a
 * seal that failed needs only to be forgotten for its notes to wait again, in their old order. */
#include "haul/disk/journal.h"

#include "journal_layout.h"

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/residency.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Where the one seal is; each journal_* call of the order asserts the step before it. */
enum journal_stage {
    STAGE_OPEN,   /* no seal: notes only */
    STAGE_SEALED, /* a data sync is under way */
    STAGE_PROVED, /* it succeeded */
    STAGE_BATCHED /* the batch is being written and synced */
};

struct journal {
    struct journal_header header;
    uint64_t seal; /* number of the current seal, from 1 */
    enum journal_stage stage;
    uint32_t sealed_count; /* the first of the notes */
    uint32_t noted_count;  /* sealed and waiting */
    int fd;
    bool spoiled;           /* an append failed */
    uint64_t dropped_bytes; /* of the file: what was appended up to there is not cached any more */
    uint64_t stamp;
    uint32_t notes_max;
    uint8_t batch[]; /* room for so many */
};

struct journal_identity journal_identity_source(const struct facts *facts)
{
    if (facts->kind == FILE_DEVICE)
        return (struct journal_identity){.size_bytes = facts->size_bytes};
    return (struct journal_identity){
        .inode = facts->inode,
        .size_bytes = facts->size_bytes,
        .mtime_seconds = facts->mtime_seconds,
        .mtime_ns = facts->mtime_ns,
    };
}

struct journal_identity journal_identity_target(const struct facts *facts, uint64_t size_bytes)
{
    uint64_t inode = facts->kind == FILE_DEVICE ? 0 : facts->inode;
    return (struct journal_identity){.inode = inode, .size_bytes = size_bytes};
}

bool journal_identity_equal(const struct journal_identity *a, const struct journal_identity *b)
{
    return a->inode == b->inode && a->size_bytes == b->size_bytes &&
           a->mtime_seconds == b->mtime_seconds && a->mtime_ns == b->mtime_ns;
}

uint64_t journal_first_chunk(const struct journal_header *header)
{
    return header->part_start / header->chunk_bytes;
}

uint64_t journal_end_chunk(const struct journal_header *header)
{
    return div_ceil(header->part_end > 0 ? header->part_end : header->size_bytes,
                    header->chunk_bytes);
}

struct range journal_chunk_range(const struct journal_header *header, uint64_t chunk)
{
    uint64_t start = chunk * header->chunk_bytes;
    uint64_t end = header->part_end > 0 ? header->part_end : header->size_bytes;
    return (struct range){.start = max_u64(start, header->part_start),
                          .end = min_u64(start + header->chunk_bytes, end)};
}

/* ---- the file ---- */

/* Of a part's journal the target's fields say which. */
static struct journal_identity target_fields(const struct journal_header *header)
{
    struct journal_identity target = header->target;
    if (header->part_end > 0) {
        target.size_bytes = header->part_end;
        target.mtime_seconds = (int64_t)header->part_start;
    }
    return target;
}

static void put_identity(struct bytes *bytes, const struct journal_identity *identity)
{
    bytes_put_u64(bytes, identity->inode);
    bytes_put_u64(bytes, identity->size_bytes);
    bytes_put_u64(bytes, (uint64_t)identity->mtime_seconds);
    bytes_put_u32(bytes, identity->mtime_ns);
    bytes_put_u32(bytes, 0);
}

static void encode_header(uint8_t out[JOURNAL_HEADER_BYTES], const struct journal_header *header)
{
    const struct journal_identity target = target_fields(header);
    struct bytes bytes = bytes_writer(out, JOURNAL_HEADER_BYTES);
    bytes_put_raw(&bytes, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES);
    bytes_put_u32(&bytes, JOURNAL_VERSION);
    bytes_put_u32(&bytes, (header->compare ? JOURNAL_FLAG_COMPARE : 0u) |
                              (header->manifest ? JOURNAL_FLAG_MANIFEST : 0u) |
                              (header->part_end > 0 ? JOURNAL_FLAG_PART : 0u));
    bytes_put_u64(&bytes, header->session);
    bytes_put_u64(&bytes, header->size_bytes);
    bytes_put_u32(&bytes, header->chunk_bytes);
    bytes_put_u32(&bytes, 0);
    put_identity(&bytes, &header->source);
    put_identity(&bytes, &target);
    bytes_put_u64(&bytes, header->source_seal);
    bytes_put_u64(&bytes, header->target_identity);
    assert(bytes.length == JOURNAL_HEADER_SUM_AT);
    bytes_put_u64(&bytes, checksum_of(out, JOURNAL_HEADER_SUM_AT, JOURNAL_HEADER_SEED));
    assert(!bytes.failed && bytes.length == JOURNAL_HEADER_BYTES);
}

int journal_open(struct journal **out, const struct journal_header *header, struct error *err)
{
    assert(journal_layout_sane(header));
    uint64_t chunks_count = journal_end_chunk(header) - journal_first_chunk(header);
    /* A chunk may be noted more than once: audited, repaired, verified. */
    uint32_t notes_max = (uint32_t)(min_u64(chunks_count, JOURNAL_NOTES_MAX / 4 - 4) * 4 + 16);
    struct journal *journal =
        calloc(1, sizeof(*journal) + JOURNAL_BATCH_HEADER_BYTES + notes_max * JOURNAL_ENTRY_BYTES);
    if (!journal)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a journal");
    journal->header = *header;
    journal->notes_max = notes_max;
    journal->fd = -1;
    *out = journal;
    return 0;
}

/* The folder that holds `path`. */
static int open_folder(int fd_folder, const char *path, struct error *err)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= sizeof(folder))
            return error_set(err, ENAMETOOLONG, "%s", path);
        memcpy(folder, path, length);
        folder[length] = '\0';
    }
    int fd = openat(fd_folder, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, errno, "%s: its folder cannot be opened", path);
}

/* Without this the file's name may not survive. */
static int sync_folder(int fd_folder, const char *path, struct error *err)
{
    AUTO_CLOSE int fd = open_folder(fd_folder, path, err);
    if (fd < 0)
        return fd;
    /* EINVAL, EROFS: filesystems without synchronisable folders, as in file_sync_folder(). */
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        return error_set(err, errno, "%s: sync of its folder", path);
    return 0;
}

static bool name_is_ours(const char *path)
{
    const char *slash = strrchr(path, '/');
    return beside_is_name(slash ? slash + 1 : path, &(size_t){0});
}

/* Empty, or begins like a journal: up to two bytes of the magic may be damaged. */
static bool content_is_ours(int fd_folder, const char *path)
{
    uint8_t magic[JOURNAL_MAGIC_BYTES];
    uint32_t same = 0;
    AUTO_CLOSE int fd = openat(fd_folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : pread(fd, magic, sizeof(magic), 0);
    for (ssize_t i = 0; i < got; i++)
        same += magic[i] == (uint8_t)JOURNAL_MAGIC[i];
    return got == 0 || same + 2 >= JOURNAL_MAGIC_BYTES;
}

/* One run at a time: LOCK_EX for whoever begins with the file, then LOCK_SH for each of its lanes,
 * which may outlive the first one and its lock on the target. Held as long as fd is open.
 * Filesystems without locks are used without. */
static int lock_journal(int fd, int how, const char *path, struct error *err)
{
    if (file_flock(fd, how) != -EWOULDBLOCK)
        return 0;
    return error_set_class(err, ERROR_BUSY, EBUSY, "%s: is the journal of a copy that is running",
                           path);
}

int journal_check_replaceable(int fd_folder, const char *path, struct error *err)
{
    struct stat st;
    if (fstatat(fd_folder, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "%s: cannot be looked at", path);
    bool ours = name_is_ours(path);
    /* A symbolic link by our name: only the link goes, whatever it points to. */
    bool regular = S_ISREG(st.st_mode) || (S_ISLNK(st.st_mode) && ours);
    if (!regular || (!ours && !content_is_ours(fd_folder, path)))
        return error_set_class(err, ERROR_FILE, EEXIST,
                               "%s: is there and is not a journal; it was left alone", path);
    return 0;
}

int journal_discard(int fd_folder, const char *path, struct error *err)
{
    int rc = journal_check_replaceable(fd_folder, path, err);
    if (rc < 0)
        return rc;
    AUTO_CLOSE int fd = openat(fd_folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    rc = fd < 0 ? 0 : lock_journal(fd, LOCK_EX, path, err);
    return rc < 0 ? rc : journal_remove(fd_folder, path, err);
}

static int write_header(int fd, const uint8_t *data, const char *path, struct error *err)
{
    size_t done = 0;
    while (done < JOURNAL_HEADER_BYTES) {
        ssize_t wrote = write(fd, data + done, JOURNAL_HEADER_BYTES - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return error_set(err, wrote < 0 ? errno : EIO, "%s: header of the journal", path);
        done += (size_t)wrote;
    }
    if (fdatasync(fd) != 0)
        return error_set(err, errno, "%s: sync of the journal", path);
    return 0;
}

static int begin_file(int fd, const uint8_t *header, const char *path, struct error *err)
{
    int rc = lock_journal(fd, LOCK_EX, path, err);
    return rc < 0 ? rc : write_header(fd, header, path, err);
}

/* A file that gets its name when it is locked and its header is on the medium: whenever we are
 * killed, what has the name of a journal is one. -1: not here (O_TMPFILE is Linux 3.11 and not of
 * every filesystem, open(2); the name needs /proc), or for a reason that create_named() meets and
 * tells. */
static int create_nameless(int fd_folder, const char *path, const uint8_t *header)
{
    ERROR_UNSET(ignored);
    char link[TEXT_NUMBER_BYTES];
    AUTO_CLOSE int fd_parent = open_folder(fd_folder, path, &ignored);
    AUTO_CLOSE int fd = -1;
    if (fd_parent >= 0)
        fd = openat(fd_parent, ".", O_RDWR | O_APPEND | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 || begin_file(fd, header, path, &ignored) < 0)
        return -1;
    bool named = linkat(AT_FDCWD, text_fd_link(link, fd), fd_folder, path, AT_SYMLINK_FOLLOW) == 0;
    return named ? take_fd(&fd) : -1;
}

static int create_named(int fd_folder, const char *path, const uint8_t *header, struct error *err)
{
    AUTO_CLOSE int fd =
        openat(fd_folder, path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, errno, "%s: the journal cannot be created", path);
    int rc = begin_file(fd, header, path, err);
    if (rc == 0)
        return take_fd(&fd);
    unlinkat(fd_folder, path, 0);
    return rc;
}

int journal_create(struct journal *journal, int fd_folder, const char *path, struct error *err)
{
    uint8_t header[JOURNAL_HEADER_BYTES];
    assert(journal->fd < 0);
    int rc = journal_discard(fd_folder, path, err);
    if (rc < 0)
        return rc;
    encode_header(header, &journal->header);
    AUTO_CLOSE int fd = create_nameless(fd_folder, path, header);
    if (fd < 0)
        fd = create_named(fd_folder, path, header, err);
    if (fd < 0)
        return fd;
    rc = sync_folder(fd_folder, path, err);
    if (rc == 0)
        rc = lock_journal(fd, LOCK_SH, path, err);
    if (rc < 0) {
        unlinkat(fd_folder, path, 0);
        return rc;
    }
    journal->fd = take_fd(&fd);
    return 0;
}

/* Open the file of this very header for appending. */
static int open_again(const struct journal *journal, int fd_folder, const char *path,
                      struct error *err)
{
    uint8_t wanted[JOURNAL_HEADER_BYTES], found[JOURNAL_HEADER_BYTES];
    AUTO_CLOSE int fd =
        openat(fd_folder, path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, errno, "%s: the journal cannot be opened", path);
    bool untouched = residency_untouched(fd);
    ssize_t got = pread(fd, found, sizeof(found), 0);
    if (got < 0)
        return error_set(err, errno, "%s: header of the journal", path);
    if (untouched)
        residency_drop(fd, 0);
    encode_header(wanted, &journal->header);
    if (got != sizeof(found) || memcmp(wanted, found, sizeof(found)) != 0)
        return error_set_class(err, ERROR_FILE, EBADMSG, "%s: is the journal of another copy",
                               path);
    return take_fd(&fd);
}

int journal_continue(struct journal *journal, int fd_folder, const char *path, uint64_t good_bytes,
                     struct error *err)
{
    struct stat st;
    assert(journal->fd < 0);
    assert(good_bytes >= JOURNAL_HEADER_BYTES);
    AUTO_CLOSE int fd = open_again(journal, fd_folder, path, err);
    if (fd < 0)
        return fd;
    int rc = lock_journal(fd, LOCK_EX, path, err);
    if (rc < 0)
        return rc;
    if (fstat(fd, &st) != 0)
        return error_set(err, errno, "%s: cannot be looked at", path);
    if (good_bytes > (uint64_t)st.st_size)
        return error_set_class(err, ERROR_FILE, EBADMSG,
                               "%s: the journal became shorter while it was read", path);
    if (good_bytes < (uint64_t)st.st_size && ftruncate(fd, num_off(good_bytes)) != 0)
        return error_set(err, errno, "%s: the journal's torn end cannot be cut off", path);
    if (fdatasync(fd) != 0)
        return error_set(err, errno, "%s: sync of the journal", path);
    rc = sync_folder(fd_folder, path, err);
    if (rc == 0)
        rc = lock_journal(fd, LOCK_SH, path, err);
    if (rc < 0)
        return rc;
    journal->dropped_bytes = good_bytes;
    journal->fd = take_fd(&fd);
    return 0;
}

int journal_join(struct journal *journal, int fd_folder, const char *path, struct error *err)
{
    assert(journal->fd < 0);
    struct stat st;
    AUTO_CLOSE int fd = open_again(journal, fd_folder, path, err);
    int rc = fd < 0 ? fd : lock_journal(fd, LOCK_SH, path, err);
    if (rc < 0)
        return rc;
    journal->dropped_bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    journal->fd = take_fd(&fd);
    return 0;
}

int journal_fd(const struct journal *journal)
{
    return journal->fd;
}

int journal_remove(int fd_folder, const char *path, struct error *err)
{
    if (unlinkat(fd_folder, path, 0) == 0 || errno == ENOENT)
        return 0;
    return error_set(err, errno, "%s: the journal cannot be removed", path);
}

void journal_stamp(struct journal *journal, uint64_t target_change)
{
    journal->stamp = target_change;
}

void journal_drop_cached(struct journal *journal)
{
    struct stat st;
    if (journal->fd < 0)
        return;
    residency_drop(journal->fd, journal->dropped_bytes);
    if (fstat(journal->fd, &st) == 0)
        journal->dropped_bytes = (uint64_t)st.st_size;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    journal_drop_cached(journal);
    cleanup_close(&journal->fd);
    free(journal);
}

/* ---- notes, and the order in which they become durable ---- */

static uint8_t *note_at(struct journal *journal, uint32_t index)
{
    return journal->batch + JOURNAL_BATCH_HEADER_BYTES + (size_t)index * JOURNAL_ENTRY_BYTES;
}

int journal_note(struct journal *journal, uint64_t chunk, const struct digest *digest)
{
    assert(chunk >= journal_first_chunk(&journal->header) &&
           chunk < journal_end_chunk(&journal->header));
    if (journal->noted_count == journal->notes_max)
        return -ENOBUFS;
    struct bytes bytes = bytes_writer(note_at(journal, journal->noted_count), JOURNAL_ENTRY_BYTES);
    bytes_put_u64(&bytes, chunk);
    bytes_put_raw(&bytes, digest->bytes, DIGEST_BYTES);
    assert(!bytes.failed && bytes.length == JOURNAL_ENTRY_BYTES);
    journal->noted_count++;
    return 0;
}

uint32_t journal_noted(const struct journal *journal)
{
    return journal->noted_count;
}

void journal_forget(struct journal *journal)
{
    assert(journal->stage == STAGE_OPEN);
    journal->noted_count = 0;
}

uint32_t journal_seal(struct journal *journal)
{
    assert(journal->stage == STAGE_OPEN);
    journal->stage = STAGE_SEALED;
    journal->seal++;
    journal->sealed_count = journal->spoiled ? 0 : journal->noted_count;
    return journal->sealed_count;
}

/* The seal is over; what it held waits again. */
static void unseal(struct journal *journal)
{
    journal->stage = STAGE_OPEN;
    journal->sealed_count = 0;
}

struct journal_proof journal_prove(struct journal *journal, const struct request *datasync)
{
    assert(journal->stage == STAGE_SEALED);
    assert(datasync->kind == REQUEST_DATASYNC);
    assert(journal->fd < 0 || datasync->fd != journal->fd);
    if (datasync->result < 0) {
        unseal(journal);
        return (struct journal_proof){.seal = 0};
    }
    journal->stage = STAGE_PROVED;
    return (struct journal_proof){.seal = journal->seal};
}

uint32_t journal_batch(struct journal *journal, struct journal_proof proof, const void **data)
{
    assert(journal->stage == STAGE_PROVED);
    assert(proof.seal == journal->seal);
    journal->stage = STAGE_BATCHED;
    *data = journal->batch;
    if (journal->sealed_count == 0)
        return 0;
    assert(journal->fd >= 0);
    uint32_t length = JOURNAL_BATCH_HEADER_BYTES + journal->sealed_count * JOURNAL_ENTRY_BYTES;
    uint8_t *summed = journal->batch + JOURNAL_BATCH_SUM_BYTES;
    struct bytes bytes = bytes_writer(summed, JOURNAL_BATCH_HEADER_BYTES - JOURNAL_BATCH_SUM_BYTES);
    bytes_put_raw(&bytes, JOURNAL_BATCH_MAGIC, JOURNAL_BATCH_MAGIC_BYTES);
    bytes_put_u32(&bytes, journal->sealed_count);
    bytes_put_u64(&bytes, journal->header.session);
    bytes_put_u64(&bytes, journal->stamp);
    assert(!bytes.failed && bytes.length == bytes.capacity);
    struct bytes sum = bytes_writer(journal->batch, JOURNAL_BATCH_SUM_BYTES);
    bytes_put_u64(&sum, checksum_of(summed, length - JOURNAL_BATCH_SUM_BYTES,
                                    journal->header.session ^ JOURNAL_BATCH_SEED));
    return length;
}

uint32_t journal_recorded(struct journal *journal, struct journal_proof proof, int result)
{
    assert(journal->stage == STAGE_BATCHED);
    assert(proof.seal == journal->seal);
    uint32_t durable_count = journal->sealed_count;
    if (result < 0) {
        journal->spoiled = journal->spoiled || durable_count > 0;
        unseal(journal);
        return 0;
    }
    journal->noted_count -= durable_count;
    memmove(note_at(journal, 0), note_at(journal, durable_count),
            (size_t)journal->noted_count * JOURNAL_ENTRY_BYTES);
    unseal(journal);
    return durable_count;
}
