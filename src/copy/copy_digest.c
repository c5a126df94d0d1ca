/* copy_digest.c - what the target's journal knows of all chunks, read back through the end: which
 * are there (for a resume), the digest of digests, and the manifest. */
#include "copy_state.h"

#include "haul/journal.h"
#include "haul/num.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A journal without end, from a peer, does not keep anybody from stopping. */
static int copy_stopped(const struct copy *copy, struct error *err)
{
    return copy->control->stop ? error_set_class(err, ERROR_INTERRUPTED, EINTR, "%s: interrupted",
                                                 copy->lead->job.target_path)
                               : 0;
}

int copy_list_journal(struct copy *copy, struct plan *plan, struct error *err)
{
    struct slot *slot = &copy->lead->slots[0];
    slot->job = &copy->lead->job;
    slot->offset = 0;
    do {
        slot->length = slot->capacity;
        int result = end_call(copy->lead->ends[END_TARGET], copy->lead->ends[END_SOURCE], slot,
                              END_RECALL, err);
        if (result == 0)
            result = copy_stopped(copy, err);
        if (result == 0)
            result = plan_listed(plan, (const struct journal_entry *)(const void *)slot->buffer,
                                 slot->count, err);
        if (result < 0)
            return result;
        slot->offset = slot->extent_start;
    } while (slot->extent_start > 0);
    return 0;
}

/* Is the slot's chunk a hole of the source? *data_start is where its next data begin, as far as the
 * last answer tells; 0 at first. 1, 0 or -errno. */
static int copy_is_hole(struct copy *copy, struct slot *slot, uint64_t *data_start,
                        struct error *err)
{
    if (*data_start < slot->offset + slot->length) {
        int result = end_call(copy->lead->ends[END_SOURCE], copy->lead->ends[END_TARGET], slot,
                              END_MAP, err);
        if (result < 0)
            return result;
        *data_start = slot->extent_start;
    }
    return *data_start >= slot->offset + slot->length;
}

/* If the source has changed meanwhile, that is what is to be said. */
static int copy_unlisted_differs(struct copy *copy, uint64_t offset, struct error *err)
{
    struct lane *lane = copy->lead;
    int result = lane_call(lane, END_SOURCE, END_COMMIT, err);
    lane->source_open = false; /* a commit closes it, however it ends */
    if (result < 0)
        return result;
    return error_set_class(err, ERROR_MISMATCH, EIO,
                           "%s: byte %llu on is in no journal and not what the source has; run it "
                           "again",
                           lane->job.target_path, (unsigned long long)offset);
}

/* A chunk that no entry lists is a hole. Or a lost lane has stored it since its last sync: its
 * server makes the entry when it knows of the loss, and that may be long after us. Or the journal
 * was damaged meanwhile. So what the target has there is compared with the source. */
static int copy_unlisted(struct copy *copy, uint64_t chunk, uint64_t *data_start,
                         struct digest *digest, struct error *err)
{
    const struct job *job = &copy->lead->job;
    struct slot *slot = &copy->lead->slots[0];
    slot->offset = chunk * job->chunk_bytes;
    slot->length =
        num_u32(min_u64(job->chunk_bytes, job->facts[END_SOURCE].size_bytes - slot->offset));
    *digest = digest_of_zeros(slot->length);
    int hole = copy_is_hole(copy, slot, data_start, err);
    if (hole != 0)
        return hole < 0 ? hole : 0;
    slot->conditional = slot->from_medium = false;
    int result = end_call(copy->lead->ends[END_TARGET], copy->lead->ends[END_SOURCE], slot,
                          END_EXAMINE, err);
    if (result < 0)
        return result;
    *digest = slot->expected = slot->digest;
    slot->conditional = true;
    result =
        end_call(copy->lead->ends[END_SOURCE], copy->lead->ends[END_TARGET], slot, END_FETCH, err);
    if (result == 0 && !slot->matched)
        result = copy_unlisted_differs(copy, slot->offset, err);
    return result;
}

/* The chunks [first, first + count) with their digests, into the second slot's buffer. */
static int copy_recall_part(struct copy *copy, uint64_t first, uint64_t count, struct error *err)
{
    uint64_t data_start = 0;
    static const struct digest unlisted;
    struct slot *slot = &copy->lead->slots[0];
    struct digest *digests = (struct digest *)(void *)copy->lead->slots[1].buffer;
    for (uint64_t i = 0; i < count; i++)
        digests[i] = unlisted;
    slot->job = &copy->lead->job;
    slot->offset = 0;
    do {
        slot->length = slot->capacity;
        int result = end_call(copy->lead->ends[END_TARGET], copy->lead->ends[END_SOURCE], slot,
                              END_RECALL, err);
        if (result == 0)
            result = copy_stopped(copy, err);
        if (result < 0)
            return result;
        const struct journal_entry *entries = (const void *)slot->buffer;
        for (uint32_t i = 0; i < slot->count; i++) {
            if (entries[i].chunk >= first && entries[i].chunk < first + count)
                digests[entries[i].chunk - first] = entries[i].digest;
        }
        slot->offset = slot->extent_start;
    } while (slot->extent_start > 0);
    for (uint64_t i = 0; i < count; i++) {
        int result = digest_equal(&digests[i], &unlisted)
                         ? copy_unlisted(copy, first + i, &data_start, &digests[i], err)
                         : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

/* A batch of a manifest goes out at once: it is a record of what was synced, and is synced itself
 * at the end. */
static int manifest_write(struct journal *manifest)
{
    const struct request synced = {.kind = REQUEST_DATASYNC}; /* the target's END_SYNC before us */
    const void *data;
    if (journal_seal(manifest) == 0)
        return 0;
    struct journal_proof proof = journal_prove(manifest, &synced);
    uint32_t length = journal_batch(manifest, proof, &data);
    const struct request write = {
        .kind = REQUEST_WRITE,
        .fd = journal_fd(manifest),
        .length = length,
        .need = length,
        .block = 1,
        .buffer = (void *)(uintptr_t)data, /* only read */
    };
    int64_t written = engine_execute(&write);
    int result = written == length ? 0 : written < 0 ? (int)written : -ENOSPC;
    journal_recorded(manifest, proof, result);
    return result;
}

static int manifest_add(struct journal *manifest, uint64_t first, const struct digest *digests,
                        uint64_t count)
{
    int result = 0;
    for (uint64_t i = 0; result == 0 && i < count; i++) {
        if (journal_noted(manifest) == JOURNAL_NOTES_MAX)
            result = manifest_write(manifest);
        if (result == 0)
            result = journal_note(manifest, first + i, &digests[i]);
    }
    return result;
}

/* All chunks in order, as many at a time as a buffer has room for. manifest may be NULL. */
static int copy_recall_all(struct copy *copy, const struct job *job, struct journal *manifest,
                           struct digest *out, struct error *err)
{
    uint64_t chunks_count = div_ceil(job->facts[END_SOURCE].size_bytes, job->chunk_bytes);
    uint64_t room = copy->lead->slots[1].capacity / sizeof(struct digest);
    const struct digest *digests = (const struct digest *)(void *)copy->lead->slots[1].buffer;
    struct digest_fold *fold = digest_fold_open();
    int result = fold ? 0 : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a digest");
    for (uint64_t first = 0; result == 0 && first < chunks_count; first += room) {
        uint64_t count = min_u64(room, chunks_count - first);
        result = copy_recall_part(copy, first, count, err);
        for (uint64_t i = 0; result == 0 && i < count; i++)
            digest_fold_add(fold, &digests[i]);
        if (result == 0 && manifest)
            result = manifest_add(manifest, first, digests, count);
    }
    if (result == 0 && manifest)
        result = manifest_write(manifest);
    if (result < 0 && !error_is_set(err))
        error_set(err, -result,
                  "%s: the manifest cannot be written; make room there and run it again",
                  copy->wish.manifest_path);
    if (result == 0)
        *out = digest_fold_value(fold);
    digest_fold_close(fold);
    return result;
}

/* The manifest is bound to what the target will be after the commit: its inode, the source's size
 * and time. */
static int manifest_open(struct journal **out, struct copy *copy, const struct job *job,
                         struct error *err)
{
    const struct facts *source = &job->facts[END_SOURCE];
    struct journal_header header = {
        .session = copy->session,
        .chunk_bytes = job->chunk_bytes,
        .size_bytes = source->size_bytes,
        .manifest = true,
        .source = journal_identity_source(source),
        .target = journal_identity_source(source),
    };
    header.target.inode = job->facts[END_TARGET].inode;
    int result = journal_open(out, &header, err);
    if (result == 0)
        result = journal_create(*out, AT_FDCWD, copy->wish.manifest_path, err);
    copy->manifest_made = result == 0;
    return result;
}

int copy_digest(struct copy *copy, struct plan *plan, struct receipt *receipt, struct error *err)
{
    const struct job *job = &copy->lead->job;
    struct journal *manifest = NULL;
    bool wished = copy->wish.manifest_path != NULL;
    if (job->journal != JOURNAL_FITS && !wished) {
        receipt->digest_known = plan_digest(plan, &receipt->digest);
        return 0;
    }
    int result = lane_call(copy->lead, END_TARGET, END_SYNC, err);
    if (result == 0 && wished)
        result = manifest_open(&manifest, copy, job, err);
    if (result == 0 && job->facts[END_SOURCE].size_bytes > 0)
        result = copy_recall_all(copy, job, manifest, &receipt->digest, err);
    if (result == 0 && manifest && fsync(journal_fd(manifest)) != 0)
        result = error_set(err, errno, "%s: sync to the disk", copy->wish.manifest_path);
    if (job->facts[END_SOURCE].size_bytes == 0)
        (void)plan_digest(plan, &receipt->digest);
    receipt->digest_known = result == 0;
    journal_close(manifest);
    return result;
}

void copy_digest_undo(const struct copy *copy)
{
    struct error ignored = {.class = ERROR_NONE};
    if (copy->manifest_made)
        (void)journal_remove(AT_FDCWD, copy->wish.manifest_path, &ignored);
}
