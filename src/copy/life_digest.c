/* life_digest.c - what the target's journal knows of all chunks, read back through the end: the
 * digest of digests, and the manifest where one was wished. The chunks are stored and synced. */
#include "life_state.h"

#include "haul/base/num.h"
#include "haul/disk/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const struct digest unlisted;

static struct digest *digests_of(const struct life *life)
{
    return (struct digest *)(void *)life->buffers[1]->buffer;
}

static uint64_t chunks_count(const struct life *life)
{
    return div_ceil(life->job.facts[SIDE_SOURCE].size_bytes, life->job.chunk_bytes);
}

/* The next step; it runs in the buffer that is lent. */
static int digest_step(struct life *life, enum side_role role, enum side_op op)
{
    life->role = role;
    life->op = op;
    life->want = LIFE_WANTS_BUFFER;
    return 0;
}

/* Writing the manifest may wait for a disk. */
static int digest_errand(struct life *life, int (*run)(void *argument, struct error *err),
                         int (*then)(struct life *life, struct error *err), struct error *err)
{
    life->want = LIFE_WANTS_NOTHING;
    life->digesting->then = then;
    return errand_begin(&life->errand, run, life, err);
}

int life_digest_errand_ended(struct life *life, struct error *err)
{
    int result = errand_end(life->errand, err);
    life->errand = NULL;
    return result < 0 ? result : life->digesting->then(life, err);
}

/* A batch of a manifest goes out at once: it is a record of what was synced, and is synced itself
 * at the end. */
static int manifest_write(struct journal *manifest)
{
    const struct request synced = {.kind = REQUEST_DATASYNC}; /* the target's SIDE_SYNC before us */
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

static const char *manifest_path(const struct life *life)
{
    const struct copy_wish *wish = life->run->wish;
    return wish->base_path ? life->digesting->replace.aside : wish->manifest_path;
}

/* The manifest is bound to what the target will be after the commit: its inode, the source's size
 * and time. */
static int manifest_open(void *argument, struct error *err)
{
    struct life *life = argument;
    const struct job *job = &life->job;
    const char *base = life->run->wish->base_path;
    struct journal **manifest = &life->digesting->manifest;
    if (base && replace_begin(&life->digesting->replace, base, err) < 0)
        return -err->errnum;
    const struct facts *source = &job->facts[SIDE_SOURCE];
    struct journal_header header = {
        .session = life->run->session,
        .chunk_bytes = job->chunk_bytes,
        .size_bytes = source->size_bytes,
        .manifest = true,
        .source = journal_identity_source(source),
        .target = journal_identity_source(source),
    };
    header.target.inode = job->facts[SIDE_TARGET].inode;
    int result = journal_open(manifest, &header, err);
    if (result == 0)
        result = journal_create(*manifest, AT_FDCWD, manifest_path(life), err);
    life->manifest_made = result == 0;
    return result;
}

static int manifest_failed(const struct life *life, int result, struct error *err)
{
    return error_set(err, -result,
                     "%s: the manifest cannot be written; make room there and run it again",
                     manifest_path(life));
}

/* The digests of a part. */
static int manifest_part(void *argument, struct error *err)
{
    struct life *life = argument;
    const struct life_digest *self = life->digesting;
    int result = 0;
    for (uint64_t i = 0; result == 0 && i < self->count; i++) {
        if (journal_noted(self->manifest) == JOURNAL_NOTES_MAX)
            result = manifest_write(self->manifest);
        if (result == 0)
            result = journal_note(self->manifest, self->first + i, &digests_of(life)[i]);
    }
    return result < 0 ? manifest_failed(life, result, err) : 0;
}

static int manifest_end(void *argument, struct error *err)
{
    struct life *life = argument;
    struct journal *manifest = life->digesting->manifest;
    int result = manifest_write(manifest);
    if (result < 0)
        return manifest_failed(life, result, err);
    if (fsync(journal_fd(manifest)) != 0)
        return error_set(err, errno, "%s: sync to the disk", manifest_path(life));
    return 0;
}

int life_digest_finish(struct life *life, uint64_t stamp, struct error *err)
{
    journal_stamp(life->digesting->manifest, stamp);
    return manifest_end(life, err);
}

/* A base waits for the target's commit. */
static int digest_ended(struct life *life, struct error *err)
{
    (void)err;
    if (chunks_count(life) > 0) /* else the plan knows it */
        life->digest = digest_fold_value(life->digesting->fold);
    if (!life->run->wish->base_path)
        life_digest_close(life);
    return 1;
}

/* The next part, or the end. */
static int digest_next(struct life *life, struct error *err)
{
    struct life_digest *self = life->digesting;
    self->first += self->count;
    self->count = 0;
    life->offset = 0;
    if (self->first < chunks_count(life))
        return digest_step(life, SIDE_TARGET, SIDE_RECALL);
    return self->manifest && !life->run->wish->base_path
               ? digest_errand(life, manifest_end, digest_ended, err)
               : digest_ended(life, err);
}

int life_digest_begin(struct life *life, struct error *err)
{
    const struct copy_wish *wish = life->run->wish;
    life_digest_close(life); /* of a copy that is compared again */
    life->digesting = calloc(1, sizeof(*life->digesting));
    if (life->digesting)
        life->digesting->fold = digest_fold_open();
    if (!life->digesting || !life->digesting->fold)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a digest");
    return wish->manifest_path || wish->base_path
               ? digest_errand(life, manifest_open, digest_next, err)
               : digest_next(life, err);
}

/* The part whose digests there is room for. */
static void digest_begin_part(struct life *life, const struct slot *slot)
{
    struct life_digest *self = life->digesting;
    uint64_t room = slot->capacity / sizeof(struct digest);
    self->count = min_u64(room, chunks_count(life) - self->first);
    self->index = self->data_start = 0;
    for (uint64_t i = 0; i < self->count; i++)
        digests_of(life)[i] = unlisted;
}

void life_digest_prepare(struct life *life, struct slot *slot)
{
    const struct life_digest *self = life->digesting;
    uint64_t size_bytes = life->job.facts[SIDE_SOURCE].size_bytes;
    if (life->op == SIDE_COMMIT)
        return;
    if (life->op == SIDE_RECALL) {
        slot->offset = life->offset;
        slot->length = slot->capacity;
        if (life->offset == 0)
            digest_begin_part(life, slot);
        return;
    }
    slot->offset = (self->first + self->index) * life->job.chunk_bytes;
    slot->length = num_u32(min_u64(life->job.chunk_bytes, size_bytes - slot->offset));
    slot->conditional = life->op == SIDE_FETCH;
    slot->expected = digests_of(life)[self->index];
}

/* Every chunk of the part has its digest. */
static int digest_end_part(struct life *life, struct error *err)
{
    struct life_digest *self = life->digesting;
    for (uint64_t i = 0; i < self->count; i++)
        digest_fold_add(self->fold, &digests_of(life)[i]);
    return self->manifest ? digest_errand(life, manifest_part, digest_next, err)
                          : digest_next(life, err);
}

/* A chunk that no entry lists is a hole. Or a lost lane has stored it since its last sync: its
 * server makes the entry when it knows of the loss, and that may be long after us. Or the journal
 * was damaged meanwhile. So what the target has there is compared with the source. */
static int digest_look(struct life *life, struct error *err)
{
    struct life_digest *self = life->digesting;
    struct digest *digests = digests_of(life);
    uint64_t size_bytes = life->job.facts[SIDE_SOURCE].size_bytes;
    for (; self->index < self->count; self->index++) {
        uint64_t start = (self->first + self->index) * life->job.chunk_bytes;
        uint64_t end = min_u64(start + life->job.chunk_bytes, size_bytes);
        if (!digest_equal(&digests[self->index], &unlisted))
            continue;
        if (self->data_start < end)
            return digest_step(life, SIDE_SOURCE, SIDE_MAP);
        digests[self->index] = digest_of_zeros(num_u32(end - start));
    }
    return digest_end_part(life, err);
}

static int digest_mapped(struct life *life, const struct slot *slot, struct error *err)
{
    life->digesting->data_start = slot->extent_start;
    if (slot->extent_start < slot->offset + slot->length)
        return digest_step(life, SIDE_TARGET, SIDE_EXAMINE);
    return digest_look(life, err);
}

static int digest_recalled(struct life *life, const struct slot *slot, struct error *err)
{
    const struct life_digest *self = life->digesting;
    const struct journal_entry *entries = (const void *)slot->buffer;
    for (uint32_t i = 0; i < slot->count; i++) {
        if (entries[i].chunk >= self->first && entries[i].chunk - self->first < self->count)
            digests_of(life)[entries[i].chunk - self->first] = entries[i].digest;
    }
    life->offset = slot->extent_start;
    return life->offset > 0 ? digest_step(life, SIDE_TARGET, SIDE_RECALL) : digest_look(life, err);
}

/* If the source has changed meanwhile, that is what its COMMIT says. */
static int digest_differs(const struct life *life, struct error *err)
{
    uint64_t chunk = life->digesting->first + life->digesting->index;
    return error_set_class(err, ERROR_MISMATCH, EIO,
                           "%s: byte %llu on is in no journal and not what the source has; run it "
                           "again",
                           life->job.target_path,
                           (unsigned long long)(chunk * life->job.chunk_bytes));
}

int life_digest_returned(struct life *life, struct slot *slot, struct error *err)
{
    struct life_digest *self = life->digesting;
    switch (slot->op) {
    case SIDE_RECALL:
        return digest_recalled(life, slot, err);
    case SIDE_MAP:
        return digest_mapped(life, slot, err);
    case SIDE_EXAMINE:
        digests_of(life)[self->index] = slot->digest;
        return digest_step(life, SIDE_SOURCE, SIDE_FETCH);
    case SIDE_FETCH:
        if (!slot->matched)
            return digest_step(life, SIDE_SOURCE, SIDE_COMMIT);
        self->index++;
        return digest_look(life, err);
    default:
        assert(slot->op == SIDE_COMMIT);
        return digest_differs(life, err);
    }
}

void life_digest_small(struct life *life, const struct digest *digest)
{
    life->digest = digest_of(digest->bytes, life->small_bytes > 0 ? DIGEST_BYTES : 0);
    life->digest_known = true;
}

int life_digest_undo(void *argument, struct error *err)
{
    const struct life *life = argument;
    if (!life->run->wish->base_path)
        return journal_remove(AT_FDCWD, life->run->wish->manifest_path, err);
    replace_undo(&life->digesting->replace);
    return 0;
}

void life_digest_close(struct life *life)
{
    struct life_digest *self = life->digesting;
    if (!self)
        return;
    digest_fold_close(self->fold);
    journal_close(self->manifest);
    replace_close(&self->replace);
    free(self);
    life->digesting = NULL;
}
