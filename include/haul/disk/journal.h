/* journal.h - remembers which chunks of a target are durable, and their digests: haul-journal(5).
 *
 * Append-only. A header, then batches of (chunk, digest), each with a checksum seeded by the
 * session, so that zeros, stale blocks or another journal's batches never validate. Replay accepts
 * batches in any order and stops at the first bad one. Of a chunk that is listed twice the later
 * entry holds.
 *
 * The order that makes it true (tests/cli/40-power-cut.bats shows that it is needed) is enforced by
 * the types: a batch can only be had for a `struct journal_proof`, and a proof can only be made of
 * a data sync that succeeded after the chunks were sealed:
 *
 *   journal_note()...           a chunk has been written; nothing is known of its durability
 *   journal_seal()              what was noted up to here belongs to the next data sync
 *   REQUEST_DATASYNC            of the data, by an engine
 *   journal_prove()             its outcome becomes a proof, or nothing
 *   journal_batch()             proof -> the bytes to append
 *   REQUEST_WRITE, REQUEST_DATASYNC of the journal, by an engine
 *   journal_recorded()          only this says "durable"
 *
 * Memory is fixed at open. What names a path blocks (small reads, writes and syncs of a local
 * file), and so does the reader; nothing else does. One thread. */
#ifndef HAUL_JOURNAL_H
#define HAUL_JOURNAL_H

#include "haul/base/error.h"
#include "haul/base/hash.h"
#include "haul/base/ranges.h"
#include "haul/disk/engine.h"
#include "haul/disk/file.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_HEADER_BYTES = 128,
    JOURNAL_ENTRY_BYTES = 24,
    JOURNAL_BATCH_HEADER_BYTES = 32,
    JOURNAL_NOTES_MAX = 8192, /* noted and not recorded yet; also the most entries in a batch */
    JOURNAL_BATCH_BYTES_MAX = JOURNAL_BATCH_HEADER_BYTES + JOURNAL_NOTES_MAX * JOURNAL_ENTRY_BYTES,
    /* What a header may say; who goes on with it looks whether a slot holds such a chunk. */
    JOURNAL_CHUNK_BYTES_MIN = 512,
    JOURNAL_CHUNK_BYTES_MAX = 1 << 30,
};

/* By what a file is recognised in a later run, as far as facts alone tell. Not the device number:
 * it changes with every mount of a loop device. Of block devices only the size: their nodes say
 * nothing. What proves more is in the header's source_seal and target_identity. */
struct journal_identity {
    uint64_t inode;
    uint64_t size_bytes;
    int64_t mtime_seconds; /* of the source only: the target's moves with every write */
    uint32_t mtime_ns;
};

struct journal_header {
    uint64_t session; /* random, seeds the checksums */
    uint32_t chunk_bytes;
    uint64_t size_bytes; /* of the finished target */
    bool compare;  /* the target had content before: chunks that are not listed may be right, too */
    bool manifest; /* complete, and kept after the copy: --manifest */
    /* Of a part of the file only; part_end 0: of all of it. What of its first and last chunk lies
     * in the part is what their digests are of. */
    uint64_t part_start, part_end;
    struct journal_identity source, target;
    uint64_t source_seal;     /* evidence_seal() when the journal was begun; 0: there is none */
    uint64_t target_identity; /* evidence.identity; 0: not known */
};

struct journal_entry {
    uint64_t chunk;
    struct digest digest;
};

/* What a journal keeps of a file, to know it again: the source; the target as it will be. */
struct journal_identity journal_identity_source(const struct facts *facts);
struct journal_identity journal_identity_target(const struct facts *facts, uint64_t size_bytes);

/* What its first chunk is, and which is behind the last; and of one of them the bytes that it is
 * about. */
uint64_t journal_first_chunk(const struct journal_header *header);
uint64_t journal_end_chunk(const struct journal_header *header);
struct range journal_chunk_range(const struct journal_header *header, uint64_t chunk);

/* Of two headers' identities. */
bool journal_identity_equal(const struct journal_identity *a, const struct journal_identity *b);

/* ---- writing ---- */

struct journal;

/* A journal that is not on the disk yet: memory only. header->session must be set. -ENOMEM. */
int journal_open(struct journal **out, const struct journal_header *header, struct error *err);

/* Create the file (O_EXCL, 0600) in the folder fd_folder (or by path when path is absolute), write
 * the header, fdatasync it and fsync the folder: afterwards batches may be appended. An old file of
 * that name is removed first, but under another name than beside_name()'s only one that is empty
 * or begins like a journal: --journal=disk.img must not cost anybody a disk image (-EEXIST). -EBUSY
 * (ERROR_BUSY): a running copy holds it. Blocks. The fd for appending is O_APPEND and kept in the
 * journal: journal_fd(). */
int journal_create(struct journal *journal, int fd_folder, const char *path, struct error *err);

/* Go on with an existing file that journal_reader has found fitting: batches are appended behind
 * its last good one (good_bytes, after reading to the end); what lies behind that is cut off first.
 * What is there is synced: a killed run's last batch may not have been. The file's header must be
 * the one given to journal_open(), field for field (the reader's: session and all), else -EBADMSG.
 * Blocks. Nobody else may be appending: a further lane joins. */
int journal_continue(struct journal *journal, int fd_folder, const char *path, uint64_t good_bytes,
                     struct error *err);

/* A further lane of the same session, while another one holds the file: append to it, too, cut
 * nothing. The header must be the same one, else -EBADMSG; -EBUSY (ERROR_BUSY): meanwhile another
 * copy has it. Blocks. Whole batches of several lanes
 * stay whole where O_APPEND is atomic: every local filesystem, not NFS (open(2)). */
int journal_join(struct journal *journal, int fd_folder, const char *path, struct error *err);

/* -1 while there is no file. */
int journal_fd(const struct journal *journal);

/* A chunk was stored (or found to be right). -ENOBUFS: JOURNAL_NOTES_MAX are waiting, or of a small
 * file each chunk four times: sync first. */
int journal_note(struct journal *journal, uint64_t chunk, const struct digest *digest);

/* How many are noted and not recorded yet, sealed ones included. */
uint32_t journal_noted(const struct journal *journal);

/* Take back every note that is not recorded. For buffered data after a data sync that failed: the
 * kernel reports such an error once and may have dropped the data (fsync(2), NOTES), so that the
 * next sync succeeds and proves nothing. Not between seal and prove or between batch and recorded
 * (assert). */
void journal_forget(struct journal *journal);

/* Start of a data sync: everything noted so far is sealed. One seal at a time (assert). Returns how
 * many chunks; 0 also after an append to the journal has failed: what stands at its end is unknown
 * then, and nothing that is put behind it would ever be read. */
uint32_t journal_seal(struct journal *journal);

/* What a successful data sync of the sealed chunks' file proves. Opaque: only journal_prove() makes
 * one that is valid. */
struct journal_proof {
    uint64_t seal; /* 0: proves nothing */
};

/* `datasync` has been reaped: a REQUEST_DATASYNC of the target that was submitted after
 * journal_seal(). With a result below 0 the proof proves nothing, and the chunks are noted again
 * for the next seal. */
struct journal_proof journal_prove(struct journal *journal, const struct request *datasync);

/* The batch of the sealed chunks, to be appended by one write. The memory is the journal's, valid
 * until journal_recorded(), which must follow even then; one write, O_APPEND (the offset of the
 * request does not matter). Asserts a valid proof of the current seal. Returns its length; 0 when
 * no chunk was sealed: there is nothing to write or sync. */
uint32_t journal_batch(struct journal *journal, struct journal_proof proof, const void **data);

/* The batch was written and `datasync` of journal_fd() reaped with result 0: the sealed chunks are
 * durable. result < 0 of either: pass it as `result`; the chunks are noted again. Returns how many
 * chunks became durable. */
uint32_t journal_recorded(struct journal *journal, struct journal_proof proof, int result);

/* The target's evidence.change, to go with the next batches: 0 is "not known". A reader that finds
 * it in the last batch, and in the target, knows that nobody has written since. */
void journal_stamp(struct journal *journal, uint64_t target_change);

/* What was appended so far and is synced leaves the page cache. Does not wait for a disk. */
void journal_drop_cached(struct journal *journal);

/* Frees memory and closes the file; the file stays, but not in the cache. NULL is legal. */
void journal_close(struct journal *journal);

/* May a journal take the place of what lies there? 0 also where nothing does; -EEXIST as below.
 * Changes nothing. */
int journal_check_replaceable(int fd_folder, const char *path, struct error *err);

/* Remove an old file before a new journal takes its place: only what is a journal by its beginning,
 * or by a name of beside_name()'s form; -EEXIST for anything else, which is left alone: a journal
 * must not cost anybody a disk image. -EBUSY (ERROR_BUSY): a running copy holds it. -ENOENT is
 * success. */
int journal_discard(int fd_folder, const char *path, struct error *err);

/* Remove the file (by the path given to create or continue). The caller syncs the folder. -ENOENT
 * is success. */
int journal_remove(int fd_folder, const char *path, struct error *err);

/* ---- reading ---- */

struct journal_reader;

/* Open and check the header. -ENOENT: there is none (err stays unset). -EBADMSG, class ERROR_FILE
 * with words: not a journal, or damaged, or of another version (says which). Never trusts a length
 * from the file before it is checked against the file's size and the named limits. */
int journal_reader_open(struct journal_reader **out, int fd_folder, const char *path,
                        struct journal_header *header, struct error *err);

/* The next entries, at most max. 0: the end, see damaged. A batch is only given out after its
 * checksum and all chunk numbers have been checked. -errno: a read failed. */
int journal_reader_next(struct journal_reader *reader, struct journal_entry *entries, uint32_t max,
                        struct error *err);

/* From the first batch again. */
void journal_reader_rewind(struct journal_reader *reader);

/* Something that is not a good batch stands behind the last good one (a torn append, or damage). */
bool journal_reader_damaged(const struct journal_reader *reader);

/* Length of the file up to the last good batch that was read. */
uint64_t journal_reader_good_bytes(const struct journal_reader *reader);

/* The stamp of the last good batch that was read. */
uint64_t journal_reader_stamp(const struct journal_reader *reader);

/* The journal itself stays open. NULL is legal. */
void journal_reader_close(struct journal_reader *reader);

#endif
