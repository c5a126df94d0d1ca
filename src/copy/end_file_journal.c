/* end_file_journal.c - the target's journal: found at open, fed by stores, written by syncs in the
 * only order that is true (journal.h), read back for a resume, removed by the commit. */
#include "end_file.h"

#include "haul/budget.h"
#include "haul/cleanup.h"
#include "haul/log.h"
#include "haul/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAMP_PATIENCE_NS ((uint64_t)20000000) /* two ticks of the slowest kernel's clock */

/* Where this file's journal lies: beside the target, or where --journal says. */
void end_file_journal_place(struct open_file *open, const struct job *job)
{
    if (job->wish.journal_path)
        snprintf(open->journal_path, sizeof(open->journal_path), "%s", job->wish.journal_path);
    else
        journal_name(open->journal_path, open->file.name);
}

static int journal_folder(const struct open_file *open, const struct job *job)
{
    return job->wish.journal_path ? AT_FDCWD : open->file.fd_folder;
}

/* A journal tells digests of the target: none is kept where that may not be read. */
static bool end_file_journal_wanted(const struct end_file *self, const struct job *job)
{
    return job->wish.journal && place_may_read(self->config.place);
}

static bool means_absent(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ENAMETOOLONG;
}

bool end_file_journal_present(const struct end_file *self, const struct job *job)
{
    char name[JOURNAL_NAME_BYTES];
    struct stat st;
    if (!end_file_journal_wanted(self, job))
        return false;
    /* What cannot be looked at now (no descriptor is left) may be there: then OPEN tells. */
    if (job->wish.journal_path)
        return access(job->wish.journal_path, F_OK) == 0 || !means_absent(errno);
    AUTO_CLOSE int fd = place_reach_folder(self->config.place, job->target_path, O_PATH);
    journal_name(name, place_name(job->target_path));
    if (fd < 0)
        return !means_absent(-fd);
    return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || !means_absent(errno);
}

/* A journal that cannot be read now is not a damaged one: it stays, and so does what it tells of.
 * To go on without it would make it untrue. */
static bool end_file_journal_unreadable(int found)
{
    return found < 0 && found != -ENOENT && found != -EBADMSG && found != -ELOOP && found != -ENXIO;
}

static int end_file_journal_keep(const char *path, const char *journal_path, int found,
                                 struct error *err)
{
    return error_set_class(err, found == -ENOMEM ? ERROR_MEMORY : ERROR_FILE, -found,
                           "%s: its journal %s cannot be read now (%s) and was left alone; run it "
                           "again where it can, or --restart begins anew",
                           path, journal_path, strerror(-found));
}

int end_file_journal_probe(const struct end_file *self, const struct job *job, struct error *err)
{
    char name[JOURNAL_NAME_BYTES];
    struct journal_reader *reader = NULL;
    struct journal_header header;
    struct error ignored = {.class = ERROR_NONE};
    const char *path = job->wish.journal_path ? job->wish.journal_path : name;
    if (!end_file_journal_wanted(self, job))
        return 0;
    AUTO_CLOSE int fd = place_reach_folder(self->config.place, job->target_path, O_PATH);
    int fd_folder = job->wish.journal_path ? AT_FDCWD : fd;
    journal_name(name, place_name(job->target_path));
    int result = journal_check_replaceable(fd_folder, path, err);
    if (result < 0)
        return result;
    AUTO_CLOSE int fd_old = openat(fd_folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd_old >= 0 && file_flock(fd_old, LOCK_EX) == -EWOULDBLOCK)
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: is the journal of a copy that is running", path);
    int found = journal_reader_open(&reader, fd_folder, path, &header, &ignored);
    journal_reader_close(reader);
    if (end_file_journal_unreadable(found) && job->wish.resume != RESUME_RESTART)
        return end_file_journal_keep(job->target_path, path, found, err);
    if (found == 0 && header.manifest)
        return error_set_class(err, ERROR_FILE, EEXIST, "%s: is a manifest; it was left alone",
                               path);
    return 0;
}

/* Does a journal with this header belong to this very copy? */
static enum journal_state end_file_journal_fits(const struct open_file *open, const struct job *job,
                                                const struct journal_header *header)
{
    struct journal_identity source = journal_identity_source(&job->facts[END_SOURCE]);
    struct journal_identity target = journal_identity_target(&open->file.facts, header->size_bytes);
    if (!journal_identity_equal(&source, &header->source) ||
        header->size_bytes != job->facts[END_SOURCE].size_bytes)
        return JOURNAL_SOURCE_CHANGED;
    uint64_t identity = open->file.facts.evidence.identity;
    bool other =
        header->target_identity != 0 && identity != 0 && header->target_identity != identity;
    if (other || !journal_identity_equal(&target, &header->target) ||
        (open->file.facts.kind == FILE_REGULAR &&
         open->file.facts.size_bytes != header->size_bytes))
        return JOURNAL_TARGET_CHANGED;
    if (!is_power_of_two(header->chunk_bytes) || header->manifest)
        return JOURNAL_DAMAGED;
    /* Larger chunks than this run's buffers hold cannot be audited one by one, and smaller ones
     * than anybody makes would cost a round trip each. */
    bool fits = header->chunk_bytes >= CHUNK_BYTES_MIN && header->chunk_bytes <= job->chunk_bytes;
    return fits ? JOURNAL_FITS : JOURNAL_CHUNKS;
}

static bool bit_is_set(const uint8_t *bits, uint64_t index)
{
    return bits[index / 8] >> (index % 8) & 1;
}

/* Read all of it once: how far it is good, and which chunks it lists (listed may be NULL). */
static int end_file_journal_scan(struct journal_reader *reader, uint8_t *listed,
                                 uint64_t *entries_count, struct error *err)
{
    struct journal_entry entries[64];
    int count;
    *entries_count = 0;
    while ((count = journal_reader_next(reader, entries, COUNT_OF(entries), err)) > 0) {
        *entries_count += (uint64_t)count;
        for (int i = 0; listed && i < count; i++)
            listed[entries[i].chunk / 8] |= (uint8_t)(1u << (entries[i].chunk % 8));
    }
    return count;
}

/* Where the last data ends that no listed chunk covers: a run was killed before its checkpoint, or
 * something was there before it, or another file has got that inode number. Behind it are holes. */
static uint64_t end_file_journal_old_bytes(const struct open_file *open,
                                           const struct journal_header *header,
                                           const uint8_t *listed)
{
    uint64_t offset = 0, old_bytes = 0, start, end;
    if (!listed || open->file.facts.kind != FILE_REGULAR)
        return header->size_bytes;
    while (offset < header->size_bytes) {
        if (file_next_data(&open->file, offset, &start, &end, NULL) < 0)
            return header->size_bytes;
        uint64_t i = div_ceil(end, header->chunk_bytes);
        while (start < end && i > start / header->chunk_bytes && bit_is_set(listed, i - 1))
            i--;
        if (start < end && i > start / header->chunk_bytes)
            old_bytes = min_u64(i * header->chunk_bytes, header->size_bytes);
        offset = max_u64(end, offset + 1);
    }
    return old_bytes;
}

/* How much of what the journal says needs no looking. A device is never proven to be what it was;
 * --append is a promise that nobody has written it, and is taken as far as that can be seen. */
static void end_file_journal_judge(const struct open_file *open, struct job *job,
                                   const struct journal_header *header, uint64_t stamp)
{
    const struct facts *source = &job->facts[END_SOURCE], *target = &open->file.facts;
    bool trusted = job->wish.resume == RESUME_APPEND;
    uint64_t seal = evidence_seal(source);
    job->journal_source_proven =
        seal != 0 && seal == header->source_seal && (source->kind == FILE_REGULAR || trusted);
    job->journal_target_proven = header->target_identity != 0 &&
                                 header->target_identity == target->evidence.identity &&
                                 stamp != 0 && stamp == target->evidence.change;
    if (!job->journal_source_proven)
        log_note("%s: nothing proves that the source is what it was; what the journal lists is "
                 "compared with it",
                 open->file.path);
    else if (trusted && !job->journal_target_proven)
        log_note("%s: may have been written since; comparing what the journal lists",
                 open->file.path);
}

/* --append trusts what is recognised. */
static int end_file_journal_refuse_append(const struct open_file *open, const struct job *job,
                                          struct error *err)
{
    const struct facts *source = &job->facts[END_SOURCE], *target = &open->file.facts;
    bool strange = (source->kind == FILE_DEVICE && source->evidence.identity == 0) ||
                   (target->kind == FILE_DEVICE && target->evidence.identity == 0);
    if (job->wish.resume != RESUME_APPEND || !strange)
        return 0;
    return error_set_class(
        err, ERROR_USAGE, EINVAL,
        "%s: --append is not possible, the kernel does not tell one disk behind a "
        "device from another; --append-verify compares",
        open->file.path);
}

static int end_file_journal_resume(struct open_file *open, struct job *job,
                                   const struct journal_header *header,
                                   struct journal_reader *reader, struct error *err)
{
    uint64_t entries_count;
    uint64_t listed_bytes = div_ceil(header->size_bytes, header->chunk_bytes) / 8 + 1;
    AUTO_FREE uint8_t *listed =
        listed_bytes <= PTRDIFF_MAX ? calloc(1, (size_t)listed_bytes) : NULL;
    int result = end_file_journal_scan(reader, listed, &entries_count, err);
    if (result == 0)
        result = journal_open(&open->journal, header, err);
    if (result == 0)
        result = journal_continue(open->journal, journal_folder(open, job), open->journal_path,
                                  journal_reader_good_bytes(reader), err);
    if (result < 0)
        return result;
    job->chunk_bytes = header->chunk_bytes;
    open->began_fresh = !header->compare;
    job->old_bytes = end_file_journal_old_bytes(open, header, listed);
    end_file_journal_judge(open, job, header, journal_reader_stamp(reader));
    /* This run may end before it has audited everything, and a stamp is for all that is listed. */
    open->doubted = !job->journal_target_proven;
    if (journal_reader_damaged(reader))
        log_note("%s: the end of its journal is torn or damaged; what it does not list is compared",
                 open->file.path);
    log_verbose("%s: journal: entries=%llu chunk=%u old=%llu damaged=%d", open->file.path,
                (unsigned long long)entries_count, header->chunk_bytes,
                (unsigned long long)job->old_bytes, journal_reader_damaged(reader));
    return 0;
}

/* --journal names a file of its own: not a manifest, nor what is copied or written. */
static int end_file_journal_refuse(const struct open_file *open, const struct job *job,
                                   struct error *err)
{
    struct stat st;
    const struct facts *source = &job->facts[END_SOURCE], *target = &open->file.facts;
    if (!job->wish.journal_path || stat(open->journal_path, &st) != 0)
        return 0;
    if ((st.st_ino == source->inode && st.st_dev == source->device) ||
        (st.st_ino == target->inode && st.st_dev == target->device))
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: cannot be the journal, it is copied itself",
                               open->journal_path);
    return 0;
}

static const char *journal_state_words(enum journal_state state)
{
    switch (state) {
    case JOURNAL_SOURCE_CHANGED:
        return "the source has changed since; comparing every chunk with it";
    case JOURNAL_TARGET_CHANGED:
        return "the target was replaced or resized since; comparing every chunk";
    case JOURNAL_CHUNKS:
        return "the journal's chunks do not fit into the buffers of this run; comparing every "
               "chunk";
    default:
        return "the journal cannot be used; comparing every chunk";
    }
}

/* A journal that does not fit is removed before the first byte is written: should its source ever
 * come back, it would tell lies about this target. */
static int end_file_journal_discard(struct open_file *open, struct job *job, struct error *err)
{
    if (job->journal != JOURNAL_ABSENT)
        log_note("%s: %s", open->file.path, journal_state_words(job->journal));
    int result = journal_discard(journal_folder(open, job), open->journal_path, err);
    return result < 0 ? result : file_sync_folder(&open->file, err);
}

static struct journal_header end_file_journal_header(const struct open_file *open,
                                                     const struct job *job)
{
    uint64_t size_bytes = job->facts[END_SOURCE].size_bytes;
    return (struct journal_header){
        .session = job->wish.session,
        .chunk_bytes = job->chunk_bytes,
        .size_bytes = size_bytes,
        .compare = !job->target_fresh,
        .source = journal_identity_source(&job->facts[END_SOURCE]),
        .target = journal_identity_target(&open->file.facts, size_bytes),
        .source_seal = evidence_seal(&job->facts[END_SOURCE]),
        .target_identity = open->file.facts.evidence.identity,
    };
}

/* No journal can be kept: said once; the copy goes on without. */
static void end_file_journal_give_up(struct open_file *open, const struct error *why)
{
    log_warning("%s; no journal is kept: after an interruption every chunk will be compared",
                why->text);
    journal_close(open->journal);
    open->journal = NULL;
}

/* Early, at OPEN. */
static void end_file_journal_make(struct open_file *open, const struct job *job)
{
    struct error why = {.class = ERROR_NONE};
    if (journal_create(open->journal, journal_folder(open, job), open->journal_path, &why) < 0)
        end_file_journal_give_up(open, &why);
}

/* A further lane appends to the journal that the first one keeps; it has none when that one could
 * not keep it. */
int end_file_journal_join(const struct end_file *self, struct open_file *open, struct job *job,
                          struct error *err)
{
    struct journal_header header;
    struct journal_reader *reader = NULL;
    struct error why = {.class = ERROR_NONE};
    if (!end_file_journal_wanted(self, job))
        return 0;
    end_file_journal_place(open, job);
    open->doubted = true; /* only the first lane knows what the journal was found to be worth */
    int result =
        journal_reader_open(&reader, journal_folder(open, job), open->journal_path, &header, &why);
    journal_reader_close(reader);
    if (result == -ENOENT)
        return 0;
    /* Without one this lane's chunks would be in no journal, and nobody would know. */
    if (result < 0)
        return error_take(err, &why);
    if (end_file_journal_fits(open, job, &header) != JOURNAL_FITS ||
        header.chunk_bytes != job->chunk_bytes)
        return error_set_class(err, ERROR_FILE, ESTALE, "%s: its journal is that of another copy",
                               open->file.path);
    result = journal_open(&open->journal, &header, err);
    if (result == 0)
        result = journal_join(open->journal, journal_folder(open, job), open->journal_path, err);
    return result;
}

/* A journal of our own, in place of whatever lies there. */
static int end_file_journal_begin(struct open_file *open, struct job *job, bool found,
                                  struct error *err)
{
    const struct journal_header header = end_file_journal_header(open, job);
    if (job->wish.resume == RESUME_RESTART)
        job->journal = JOURNAL_ABSENT;
    int result = found ? end_file_journal_discard(open, job, err) : 0;
    if (result == 0)
        result = journal_open(&open->journal, &header, err);
    if (result == 0 && job->wish.journal_early && header.size_bytes > 0)
        end_file_journal_make(open, job);
    return result;
}

/* What is wrong with a journal beside the target is said with the target's path, and what can be
 * done about it. */
static void end_file_journal_explain(const struct open_file *open, const struct job *job,
                                     struct error *err)
{
    const struct error why = *err;
    if (why.class != ERROR_FILE || why.errnum == ENOMEM)
        return;
    err->class = ERROR_NONE;
    error_set_class(err, why.class, why.errnum, "%s%s%s; %s",
                    job->wish.journal_path ? "" : open->file.path,
                    job->wish.journal_path ? "" : ": ", why.text,
                    job->wish.journal_path ? "--journal has to name another file"
                                           : "remove it, or name another one by --journal=FILE");
}

int end_file_journal_find(const struct end_file *self, struct open_file *open, struct job *job,
                          struct error *err)
{
    struct journal_header header;
    struct journal_reader *reader = NULL;
    struct error why = {.class = ERROR_NONE};
    job->journal = JOURNAL_ABSENT;
    if (!end_file_journal_wanted(self, job))
        return 0;
    end_file_journal_place(open, job);
    int result = end_file_journal_refuse(open, job, err);
    if (result == 0)
        result = end_file_journal_refuse_append(open, job, err);
    if (result < 0)
        return result;
    int found =
        journal_reader_open(&reader, journal_folder(open, job), open->journal_path, &header, &why);
    if (end_file_journal_unreadable(found) && job->wish.resume != RESUME_RESTART)
        return end_file_journal_keep(open->file.path, open->journal_path, found, err);
    if (found == 0) {
        job->journal = end_file_journal_fits(open, job, &header);
    } else if (found != -ENOENT) {
        job->journal = JOURNAL_DAMAGED;
        log_note("%s", why.text);
    }
    if (found == 0 && header.manifest)
        result = error_set_class(err, ERROR_FILE, EEXIST, "%s: is a manifest; it was left alone",
                                 open->journal_path);
    else if (job->journal == JOURNAL_FITS && job->wish.resume != RESUME_RESTART)
        result = end_file_journal_resume(open, job, &header, reader, err);
    else
        result = end_file_journal_begin(open, job, found != -ENOENT, err);
    if (result < 0)
        end_file_journal_explain(open, job, err);
    journal_reader_close(reader);
    return result;
}

void end_file_journal_note(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    const struct slot *slot = work->slot;
    if (!open->journal)
        return;
    if (journal_note(open->journal, slot->offset / slot->job->chunk_bytes, &slot->digest) < 0)
        /* The pump syncs long before; without this entry the chunk would only be sent once more. */
        log_warning("%s: too many chunks wait for a sync", open->file.path);
    (void)self;
}

static void end_file_sync_data(struct end_file *self, struct work *work)
{
    if (work->open->journal)
        journal_seal(work->open->journal);
    end_file_whole(self, work, REQUEST_DATASYNC, WORK_DATASYNC);
}

/* A step: the file of the journal is made with the first batch, so that a short copy never has one.
 */
static int end_file_journal_make_late(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    (void)self;
    return journal_create(open->journal, journal_folder(open, work->slot->job), open->journal_path,
                          &work->slot->error);
}

/* Chunks that were stored meanwhile are noted, and are in the sync that follows. */
static void end_file_journal_made(struct end_file *self, struct work *work, int result)
{
    if (result < 0)
        end_file_journal_give_up(work->open, &work->slot->error);
    work->slot->error.class = ERROR_NONE;
    end_file_sync_data(self, work);
}

void end_file_sync(struct end_file *self, struct work *work)
{
    const struct journal *journal = work->open->journal;
    if (journal && journal_noted(journal) > 0 && journal_fd(journal) < 0)
        end_file_call(self, work, end_file_journal_make_late, end_file_journal_made);
    else
        end_file_sync_data(self, work);
}

/* The stamp that goes with a batch: of a target that nobody of us is writing, and whose next change
 * would show. */
static uint64_t end_file_journal_change(const struct open_file *open)
{
    struct facts now;
    struct error ignored = {.class = ERROR_NONE};
    if (open->doubted || open->transfer_bytes > 0 || file_facts(&open->file, &now, &ignored) < 0 ||
        !evidence_settle(&now, STAMP_PATIENCE_NS))
        return 0;
    return now.evidence.change;
}

int end_file_journal_disprove(struct end_file *self, struct work *work)
{
    (void)self;
    file_take_back(&work->open->file);
    return 0;
}

/* The data sync of SYNC has come back well: append the batch. false: there is none. */
static bool end_file_journal_append(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    const void *data;
    open->proof = journal_prove(open->journal, &work->request);
    journal_stamp(open->journal, end_file_journal_change(open));
    uint32_t length = journal_batch(open->journal, open->proof, &data);
    if (length == 0) {
        journal_recorded(open->journal, open->proof, 0);
        return false;
    }
    work->request = (struct request){
        .kind = REQUEST_WRITE,
        .fd = journal_fd(open->journal),
        .offset = 0, /* O_APPEND: the kernel puts it at the end */
        .length = length,
        .need = length,
        .block = 1,
        .buffer = (void *)(uintptr_t)data, /* only read */
    };
    work->step = WORK_JOURNAL_WRITE;
    end_file_submit(self, work);
    return true;
}

/* What it lists is asked for in the end, or other lanes append to it, too. */
static bool end_file_journal_needed(const struct job *job)
{
    return job->journal == JOURNAL_FITS || job->wish.journal_early || job->wish.join;
}

/* A disk that is just large enough for the target has no room for its journal: as where none can be
 * created, the copy goes on without. */
static void end_file_journal_recorded(struct end_file *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    struct error why = {.class = ERROR_NONE};
    journal_recorded(open->journal, open->proof, result);
    if (result < 0 && end_file_journal_needed(work->slot->job)) {
        error_set(&work->slot->error, -result,
                  "%s: its journal cannot be written; make room there and run it again",
                  open->file.path);
    } else if (result < 0) {
        (void)journal_remove(journal_folder(open, work->slot->job), open->journal_path, NULL);
        error_set(&why, -result, "%s: its journal cannot be written", open->file.path);
        end_file_journal_give_up(open, &why);
        result = 0;
    } else {
        journal_drop_cached(open->journal);
    }
    end_file_finish(self, work, result);
}

/* The steps of SYNC; each request's return leads to the next. */
void end_file_sync_done(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    int result = work->request.result;
    switch (work->step) {
    case WORK_DATASYNC:
        open->epoch = 1 - open->epoch;
        work->step = WORK_HEARING;
        __attribute__((fallthrough)); /* most often there is none */
    case WORK_HEARING:
        if (open->writebacks[1 - open->epoch] > 0)
            return; /* asked again when one has come back */
        if (result == 0 && open->writeback_result < 0)
            work->request.result = result = open->writeback_result;
        if (result == 0) /* what was cut off since is nowhere, durable or not */
            work->request.result = result =
                file_check_in_place(&open->file, open->size_bytes, &work->slot->error);
        if (result < 0 && open->journal) {
            /* Linux reports a failed write-back once and may have dropped the pages: a later sync
             * that succeeds proves nothing about these chunks. */
            (void)journal_prove(open->journal, &work->request);
            journal_forget(open->journal);
        }
        if (result < 0) {
            open->writeback_result = result; /* nor may a later sync or commit claim them */
            end_file_fail(self, work, -result, "sync to the disk failed");
        } else if (!open->journal || !end_file_journal_append(self, work)) {
            end_file_finish(self, work, 0);
        }
        break;
    case WORK_JOURNAL_WRITE:
        if (result < 0) {
            end_file_journal_recorded(self, work, result);
            break;
        }
        work->request = (struct request){
            .kind = REQUEST_DATASYNC,
            .fd = journal_fd(open->journal),
        };
        work->step = WORK_JOURNAL_SYNC;
        end_file_submit(self, work);
        break;
    default:
        assert(work->step == WORK_JOURNAL_SYNC);
        end_file_journal_recorded(self, work, result);
    }
}

/* From the first entry again. */
static int end_file_recall_open(struct work *work)
{
    struct open_file *open = work->open;
    struct journal_header header;
    journal_reader_close(open->reader);
    open->reader = NULL;
    open->recalled_count = 0;
    int result = journal_reader_open(&open->reader, journal_folder(open, work->slot->job),
                                     open->journal_path, &header, &work->slot->error);
    if (result == -ENOENT)
        error_set(&work->slot->error, ENOENT, "%s: its journal", open->file.path);
    return result;
}

static int end_file_recall_next(struct work *work, uint64_t count_max)
{
    struct open_file *open = work->open;
    struct slot *slot = work->slot;
    uint64_t room = slot->length / sizeof(struct journal_entry);
    struct journal_entry *entries = (struct journal_entry *)(void *)slot->buffer;
    assert(room > slot->count);
    int count =
        journal_reader_next(open->reader, entries + slot->count,
                            num_u32(min_u64(room - slot->count, count_max)), &work->slot->error);
    if (count > 0)
        open->recalled_count += (uint64_t)count;
    return count;
}

/* The reader gives no more than a batch at a time: as many as there is room for. */
static int end_file_recall_fill(struct work *work)
{
    struct slot *slot = work->slot;
    int count;
    do {
        count = end_file_recall_next(work, UINT32_MAX);
        slot->count += count > 0 ? (uint32_t)count : 0;
    } while (count > 0 && (slot->count + 1) * sizeof(struct journal_entry) <= slot->length);
    return count < 0 ? count : 0;
}

/* Entries for the client, one buffer after the other. Lanes take turns at it: one that was not
 * asked for the entries before reads over them. */
int end_file_recall(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    struct slot *slot = work->slot;
    int result = 0;
    (void)self;
    if (slot->length < sizeof(struct journal_entry))
        result =
            error_set(&work->slot->error, EINVAL, "%s: no room for its journal", open->file.path);
    else if (slot->offset == 0 || !open->reader || slot->offset < open->recalled_count)
        result = end_file_recall_open(work);
    while (result >= 0 && open->recalled_count < slot->offset) {
        result = end_file_recall_next(work, slot->offset - open->recalled_count);
        if (result == 0)
            break; /* there are not so many */
    }
    if (result >= 0)
        result = end_file_recall_fill(work);
    slot->extent_start = slot->count > 0 ? open->recalled_count : 0;
    return result < 0 ? result : 0;
}

/* The last step of a commit. */
int end_file_journal_end(struct work *work)
{
    struct open_file *open = work->open;
    if (!open->journal || journal_fd(open->journal) < 0)
        return 0;
    int result = journal_remove(journal_folder(open, work->slot->job), open->journal_path,
                                &work->slot->error);
    return result < 0 ? result : file_sync_folder(&open->file, &work->slot->error);
}

/* The target could not be opened after all: a journal that was begun for it says nothing. */
void end_file_journal_undo(const struct open_file *open, const struct job *job)
{
    struct error ignored = {.class = ERROR_NONE};
    bool begun = open->journal && journal_fd(open->journal) >= 0 && !job->wish.join;
    if (begun && job->journal != JOURNAL_FITS)
        (void)journal_remove(journal_folder(open, job), open->journal_path, &ignored);
}

void end_file_journal_close(struct open_file *open)
{
    journal_close(open->journal);
    journal_reader_close(open->reader);
    open->journal = NULL;
    open->reader = NULL;
}
