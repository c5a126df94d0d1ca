/* ledger.c - a target's journal from its being found to its being removed. What stands in it is
 * journal.c's to know. */
#include "haul/disk/ledger.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/disk/beside.h"
#include "haul/disk/budget.h"
#include "haul/disk/pipe.h"
#include "haul/disk/place.h"
#include "haul/disk/unfinished.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* From this size on the time that a copy takes is long enough for two syncs more. */
#define SIGNLESS_BYTES    ((uint64_t)32 * 1024 * 1024)
#define STAMP_PATIENCE_NS ((uint64_t)20000000) /* two ticks of the slowest kernel's clock */

/* Each part has its own. */
static void ledger_name(char out[BESIDE_NAME_BYTES], const char *name, const struct job *job)
{
    const struct job_wish *wish = &job->wish;
    char suffix[48] = BESIDE_JOURNAL;
    if (wish->part_end > 0)
        snprintf(suffix, sizeof(suffix), "%" PRIu64 "-%" PRIu64, wish->part_start,
                 wish->part_end - wish->part_start);
    beside_name(out, name, suffix);
}

/* It lies beside the target, or where --journal says. */
void ledger_init(struct ledger *ledger, const struct file *file, const struct job *job)
{
    memset(ledger, 0, offsetof(struct ledger, path));
    ledger->file = file;
    ledger->fd_folder = file->fd_folder;
    ledger->named = !file->created && !file->shared; /* somebody else may just have made it */
    ledger->marks = pipe_is_kind(job->facts[SIDE_SOURCE].kind);
    if (job->wish.journal_path) {
        ledger->fd_folder = AT_FDCWD;
        snprintf(ledger->path, sizeof(ledger->path), "%s", job->wish.journal_path);
    } else {
        ledger_name(ledger->path, file->name, job);
    }
}

/* A journal tells digests of the target: none is kept where that may not be read. */
static bool ledger_wanted(const struct place *place, const struct job *job)
{
    return job->wish.journal && place_may_read(place);
}

static bool means_absent(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ENAMETOOLONG;
}

bool ledger_lies(const struct place *place, const struct job *job)
{
    const char *last = place_name(job->target_path);
    char name[BESIDE_NAME_BYTES];
    struct stat st;
    if (!ledger_wanted(place, job))
        return false;
    /* What cannot be looked at now (no descriptor is left) may be there: then OPEN tells. */
    if (job->wish.journal_path)
        return access(job->wish.journal_path, F_OK) == 0 || !means_absent(errno);
    ledger_name(name, last, job);
    if (!place) { /* most often, and in one call */
        size_t folder_bytes = (size_t)(last - job->target_path);
        AUTO_FREE char *path = malloc(folder_bytes + sizeof(name)); /* stacks are small */
        if (!path)
            return true;
        strcpy(mempcpy(path, job->target_path, folder_bytes), name);
        return lstat(path, &st) == 0 || !means_absent(errno);
    }
    AUTO_CLOSE int fd = place_reach_folder(place, job->target_path, O_PATH);
    if (fd < 0)
        return !means_absent(-fd);
    return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || !means_absent(errno);
}

/* A journal that cannot be read now is not a damaged one: it stays, and so does what it tells of.
 * To go on without it would make it untrue. */
static bool ledger_unreadable(int found, const struct job *job)
{
    return found < 0 && found != -ENOENT && found != -EBADMSG && found != -ELOOP &&
           found != -ENXIO && job->wish.resume != RESUME_RESTART;
}

static int ledger_keep(const char *path, const char *journal_path, int found, struct error *err)
{
    return error_set_class(err, found == -ENOMEM ? ERROR_MEMORY : ERROR_FILE, -found,
                           "%s: its journal %s cannot be read now (%s) and was left alone; run it "
                           "again where it can, or --restart begins anew",
                           path, journal_path, strerror(-found));
}

int ledger_probe(const struct place *place, const struct job *job, struct error *err)
{
    char name[BESIDE_NAME_BYTES];
    struct journal_reader *reader = NULL;
    struct journal_header header;
    ERROR_UNSET(ignored);
    const char *path = job->wish.journal_path ? job->wish.journal_path : name;
    if (!ledger_wanted(place, job))
        return 0;
    AUTO_CLOSE int fd = place_reach_folder(place, job->target_path, O_PATH);
    int fd_folder = job->wish.journal_path ? AT_FDCWD : fd;
    ledger_name(name, place_name(job->target_path), job);
    int result = journal_check_replaceable(fd_folder, path, err);
    if (result < 0)
        return result;
    AUTO_CLOSE int fd_old = openat(fd_folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd_old >= 0 && file_flock(fd_old, LOCK_EX) == -EWOULDBLOCK)
        return error_set_class(err, ERROR_BUSY, EBUSY,
                               "%s: is the journal of a copy that is running", path);
    int found = journal_reader_open(&reader, fd_folder, path, &header, &ignored);
    journal_reader_close(reader);
    if (ledger_unreadable(found, job))
        return ledger_keep(job->target_path, path, found, err);
    if (found == 0 && header.manifest)
        return error_set_class(err, ERROR_FILE, EEXIST, "%s: is a manifest; it was left alone",
                               path);
    return 0;
}

/* Does a journal with this header belong to this very copy? */
static enum journal_state ledger_fits(const struct ledger *ledger, const struct job *job,
                                      const struct journal_header *header)
{
    struct journal_identity source = journal_identity_source(&job->facts[SIDE_SOURCE]);
    struct journal_identity target =
        journal_identity_target(&ledger->file->facts, header->size_bytes);
    if (!journal_identity_equal(&source, &header->source) ||
        header->size_bytes != job->facts[SIDE_SOURCE].size_bytes)
        return JOURNAL_SOURCE_CHANGED;
    if (header->part_start != job->wish.part_start || header->part_end != job->wish.part_end)
        return JOURNAL_DAMAGED; /* or renamed */
    uint64_t identity = ledger->file->facts.evidence.identity;
    bool other =
        header->target_identity != 0 && identity != 0 && header->target_identity != identity;
    uint64_t found_bytes = ledger->file->facts.size_bytes;
    bool resized = found_bytes != header->size_bytes &&
                   !(header->part_end > 0 && found_bytes > header->size_bytes);
    if (other || !journal_identity_equal(&target, &header->target) ||
        (ledger->file->facts.kind == FILE_REGULAR && resized))
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
static int ledger_scan(struct journal_reader *reader, uint8_t *listed, uint64_t *entries_count,
                       struct error *err)
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
static uint64_t ledger_old_bytes(const struct ledger *ledger, const struct journal_header *header,
                                 const uint8_t *listed)
{
    uint64_t limit = header->part_end > 0 ? header->part_end : header->size_bytes;
    uint64_t offset = header->part_start, old_bytes = offset, start, end;
    if (!listed || ledger->file->facts.kind != FILE_REGULAR)
        return limit;
    while (offset < limit) {
        if (file_next_data(ledger->file, offset, &start, &end, NULL) < 0)
            return limit;
        if (start >= end)
            break;
        uint64_t i = div_ceil(min_u64(end, limit), header->chunk_bytes);
        while (i > start / header->chunk_bytes && bit_is_set(listed, i - 1))
            i--;
        if (i > start / header->chunk_bytes)
            old_bytes = min_u64(i * header->chunk_bytes, limit);
        offset = end;
    }
    return old_bytes;
}

/* How much of what the journal says needs no looking. A device is never proven to be what it was;
 * --append is a promise that nobody has written it, and is taken as far as that can be seen. */
static void ledger_judge(const struct ledger *ledger, struct job *job,
                         const struct journal_header *header, uint64_t stamp)
{
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &ledger->file->facts;
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
                 ledger->file->path);
    else if (trusted && !job->journal_target_proven)
        log_note("%s: may have been written since; comparing what the journal lists",
                 ledger->file->path);
}

/* --append trusts what is recognised. */
static int ledger_refuse_append(const struct ledger *ledger, const struct job *job,
                                struct error *err)
{
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &ledger->file->facts;
    bool strange = (source->kind == FILE_DEVICE && source->evidence.identity == 0) ||
                   (target->kind == FILE_DEVICE && target->evidence.identity == 0);
    if (job->wish.resume != RESUME_APPEND || !strange)
        return 0;
    return error_set_class(
        err, ERROR_USAGE, EINVAL,
        "%s: --append is not possible, the kernel does not tell one disk behind a "
        "device from another; --append-verify compares",
        ledger->file->path);
}

static int ledger_resume(struct ledger *ledger, struct job *job,
                         const struct journal_header *header, struct journal_reader *reader,
                         struct error *err)
{
    uint64_t entries_count;
    uint64_t listed_bytes = div_ceil(header->size_bytes, header->chunk_bytes) / 8 + 1;
    AUTO_FREE uint8_t *listed =
        listed_bytes <= PTRDIFF_MAX ? calloc(1, (size_t)listed_bytes) : NULL;
    int result = ledger_scan(reader, listed, &entries_count, err);
    if (result == 0)
        result = journal_open(&ledger->journal, header, err);
    if (result == 0)
        result = journal_continue(ledger->journal, ledger->fd_folder, ledger->path,
                                  journal_reader_good_bytes(reader), err);
    if (result < 0)
        return result;
    job->chunk_bytes = header->chunk_bytes;
    ledger->began_fresh = !header->compare;
    job->old_bytes = ledger_old_bytes(ledger, header, listed);
    ledger_judge(ledger, job, header, journal_reader_stamp(reader));
    /* This run may end before it has audited everything, and a stamp is for all that is listed. */
    ledger->doubted = !job->journal_target_proven;
    if (journal_reader_damaged(reader))
        log_note("%s: the end of its journal is torn or damaged; what it does not list is compared",
                 ledger->file->path);
    log_verbose("%s: journal: entries=%llu chunk=%u old=%llu damaged=%d", ledger->file->path,
                (unsigned long long)entries_count, header->chunk_bytes,
                (unsigned long long)job->old_bytes, journal_reader_damaged(reader));
    return 0;
}

/* --journal names a file of its own, and a part's journal has a name that a file may have: not a
 * manifest, nor what is copied or written. */
static int ledger_refuse(const struct ledger *ledger, const struct job *job, struct error *err)
{
    struct stat st;
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &ledger->file->facts;
    bool named = job->wish.journal_path || job->wish.part_end > 0;
    if (!named || fstatat(ledger->fd_folder, ledger->path, &st, 0) != 0)
        return 0;
    if ((st.st_ino == source->inode && st.st_dev == source->device) ||
        (st.st_ino == target->inode && st.st_dev == target->device))
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "%s: cannot be the journal, it is copied itself", ledger->path);
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
static int ledger_discard(struct ledger *ledger, struct job *job, struct error *err)
{
    if (job->journal != JOURNAL_ABSENT)
        log_note("%s: %s", ledger->file->path, journal_state_words(job->journal));
    int result = journal_discard(ledger->fd_folder, ledger->path, err);
    return result < 0 ? result : file_sync_folder(ledger->file, err);
}

static struct journal_header ledger_header(const struct ledger *ledger, const struct job *job)
{
    uint64_t size_bytes = ledger->marks ? 0 : job->facts[SIDE_SOURCE].size_bytes;
    if (ledger->marks) /* fits nothing that could be gone on with */
        return (struct journal_header){
            .session = job->wish.session,
            .chunk_bytes = job->chunk_bytes,
            .target = journal_identity_target(&ledger->file->facts, 0),
        };
    return (struct journal_header){
        .session = job->wish.session,
        .chunk_bytes = job->chunk_bytes,
        .size_bytes = size_bytes,
        .compare = !job->target_fresh,
        .part_start = job->wish.part_start,
        .part_end = job->wish.part_end,
        .source = journal_identity_source(&job->facts[SIDE_SOURCE]),
        .target = journal_identity_target(&ledger->file->facts, size_bytes),
        .source_seal = evidence_seal(&job->facts[SIDE_SOURCE]),
        .target_identity = ledger->file->facts.evidence.identity,
    };
}

/* No journal can be kept: said once; the copy goes on without. */
static void ledger_give_up(struct ledger *ledger, const struct error *why)
{
    log_warning("%s; no journal is kept: after an interruption every chunk will be compared",
                why->text);
    ledger->refused = true;
}

void ledger_made(struct ledger *ledger)
{
    if (ledger->refused) {
        journal_close(ledger->journal);
        ledger->journal = NULL;
    }
    ledger->refused = false;
}

bool ledger_on_disk(const struct ledger *ledger)
{
    return ledger->journal && journal_fd(ledger->journal) >= 0;
}

/* It syncs its folder, which is the target's, too, where it lies beside it. */
static void ledger_create(struct ledger *ledger)
{
    ERROR_UNSET(why);
    int result = 0;
    bool beside = ledger->fd_folder == ledger->file->fd_folder;
    if (beside && file_marks(ledger->fd_folder, "") & FILE_MARK_APPEND) /* it would stay there */
        result = error_set(&why, EPERM, "%s: its folder may only grow", ledger->path);
    if (result < 0 || journal_create(ledger->journal, ledger->fd_folder, ledger->path, &why) < 0)
        ledger_give_up(ledger, &why);
    else
        ledger->named |= beside;
}

static bool ledger_lacks_journal(const struct ledger *ledger)
{
    return ledger->journal && journal_noted(ledger->journal) > 0 && !ledger_on_disk(ledger);
}

bool ledger_lacks_file(struct ledger *ledger)
{
    ledger->due = ledger_lacks_journal(ledger);
    return ledger->due || !ledger->named;
}

int ledger_make(struct ledger *ledger, struct error *err)
{
    if (ledger->due)
        ledger_create(ledger);
    int result = ledger->named ? 0 : file_sync_folder(ledger->file, err);
    ledger->named = result == 0;
    return result;
}

int ledger_join(struct ledger *ledger, const struct place *place, const struct job *job,
                struct error *err)
{
    struct journal_header header;
    struct journal_reader *reader = NULL;
    ERROR_UNSET(why);
    if (!ledger_wanted(place, job))
        return 0;
    ledger->needed = true;
    ledger->doubted = true; /* only the first lane knows what the journal was found to be worth */
    int result = journal_reader_open(&reader, ledger->fd_folder, ledger->path, &header, &why);
    journal_reader_close(reader);
    if (result == -ENOENT)
        return 0;
    /* Without one this lane's chunks would be in no journal, and nobody would know. */
    if (result < 0)
        return error_take(err, &why);
    if (ledger_fits(ledger, job, &header) != JOURNAL_FITS || header.chunk_bytes != job->chunk_bytes)
        return error_set_class(err, ERROR_FILE, ESTALE, "%s: its journal is that of another copy",
                               ledger->file->path);
    result = journal_open(&ledger->journal, &header, err);
    if (result == 0)
        result = journal_join(ledger->journal, ledger->fd_folder, ledger->path, err);
    return result;
}

/* What is written beside its name is no target yet, and nobody goes by the facts of parts or of
 * devices. */
static bool ledger_is_exposed(const struct ledger *ledger, const struct job *job)
{
    return ledger->file->facts.kind == FILE_REGULAR && !ledger->file->replaces[0] &&
           job->wish.part_end == 0;
}

/* Whoever is killed before the first checkpoint leaves what may have the size of the source, and a
 * later time: a run that goes by these alone must not take it for finished. What was there before
 * is at once what it was no more, and its blocks reach the medium in any order: there the sign has
 * to be first. What is new has neither size nor data on the medium before that.
 *
 * *early: there is to be a journal before the first byte is written. Where there can be no sign, it
 * says the same; of what is new, and soon written, that would cost more than the copy. */
static int ledger_sign(struct ledger *ledger, const struct job *job, bool *early, struct error *err)
{
    uint64_t size_bytes = job->facts[SIDE_SOURCE].size_bytes;
    *early = ledger->marks || (size_bytes > 0 && job->wish.journal_early);
    if (size_bytes == 0 || !ledger_is_exposed(ledger, job))
        return 0;
    int found = unfinished_set(ledger->file->fd, !job->target_fresh && !*early);
    ledger->signed_now = found == 0;
    ledger->unsignable = found == -EIO; /* a journal would be no better */
    if (ledger->unsignable)
        return error_set(err, EIO, "%s: sync to the disk", ledger->file->path);
    if (found < 0)
        *early |= !job->target_fresh || size_bytes >= SIGNLESS_BYTES;
    return 0;
}

/* A journal of our own, in place of whatever lies there. */
static int ledger_begin(struct ledger *ledger, struct job *job, bool found, struct error *err)
{
    const struct journal_header header = ledger_header(ledger, job);
    /* Nothing is done to the target of a run that is refused. */
    int result = found ? journal_check_replaceable(ledger->fd_folder, ledger->path, err) : 0;
    bool early = false;
    if (result == 0)
        result = ledger_sign(ledger, job, &early, err);
    if (job->wish.resume == RESUME_RESTART)
        job->journal = JOURNAL_ABSENT;
    if (result == 0 && found)
        result = ledger_discard(ledger, job, err);
    if (result == 0)
        result = journal_open(&ledger->journal, &header, err);
    if (result == 0 && early) {
        ledger_create(ledger);
        result = ledger_make(ledger, err);
        ledger_made(ledger);
    }
    return result;
}

/* What is wrong with a journal beside the target is said with the target's path, and what can be
 * done about it. */
static void ledger_explain(const struct ledger *ledger, const struct job *job, struct error *err)
{
    const struct error why = *err;
    if (why.class != ERROR_FILE || why.errnum == ENOMEM)
        return;
    err->class = ERROR_NONE;
    error_set_class(err, why.class, why.errnum, "%s%s%s; %s",
                    job->wish.journal_path ? "" : ledger->file->path,
                    job->wish.journal_path ? "" : ": ", why.text,
                    job->wish.journal_path ? "--journal has to name another file"
                                           : "remove it, or name another one by --journal=FILE");
}

int ledger_find(struct ledger *ledger, const struct place *place, struct job *job,
                struct error *err)
{
    struct journal_header header;
    struct journal_reader *reader = NULL;
    ERROR_UNSET(why);
    job->journal = JOURNAL_ABSENT;
    /* What may not be read was emptied when it was opened. */
    if (!place_may_read(place) && ledger_is_exposed(ledger, job))
        (void)unfinished_set(ledger->file->fd, false);
    if (!ledger_wanted(place, job))
        return 0;
    int result = ledger_refuse(ledger, job, err);
    if (result == 0)
        result = ledger_refuse_append(ledger, job, err);
    if (result < 0)
        return result;
    int found = journal_reader_open(&reader, ledger->fd_folder, ledger->path, &header, &why);
    if (ledger_unreadable(found, job))
        return ledger_keep(ledger->file->path, ledger->path, found, err);
    if (found == 0) {
        job->journal = ledger_fits(ledger, job, &header);
    } else if (found != -ENOENT) {
        job->journal = JOURNAL_DAMAGED;
        log_note("%s", why.text);
    }
    if (found == 0 && header.manifest)
        result = error_set_class(err, ERROR_FILE, EEXIST, "%s: is a manifest; it was left alone",
                                 ledger->path);
    else if (job->journal == JOURNAL_FITS && job->wish.resume != RESUME_RESTART)
        result = ledger_resume(ledger, job, &header, reader, err);
    else
        result = ledger_begin(ledger, job, found != -ENOENT, err);
    ledger->needed = job->journal == JOURNAL_FITS || job->wish.journal_early;
    if (result < 0 && !ledger->unsignable)
        ledger_explain(ledger, job, err);
    journal_reader_close(reader);
    return result;
}

void ledger_note(struct ledger *ledger, uint64_t chunk, const struct digest *digest)
{
    if (ledger->journal && !ledger->marks && journal_note(ledger->journal, chunk, digest) < 0)
        /* The pump syncs long before; without this entry the chunk would only be sent once more. */
        log_warning("%s: too many chunks wait for a sync", ledger->file->path);
}

bool ledger_disprove(struct ledger *ledger)
{
    bool first = ledger->journal && !ledger->disproved;
    if (first)
        ledger->doubted = ledger->disproved = true;
    return first;
}

void ledger_seal(struct ledger *ledger)
{
    if (ledger->journal)
        journal_seal(ledger->journal);
}

/* The stamp that goes with a batch: of a target that nobody of us is writing, and whose next change
 * would show. */
static uint64_t ledger_stamp(const struct ledger *ledger, bool quiet)
{
    struct facts now;
    ERROR_UNSET(ignored);
    if (ledger->doubted || !quiet || file_facts(ledger->file, &now, &ignored) < 0 ||
        !evidence_settle(&now, STAMP_PATIENCE_NS))
        return 0;
    return now.evidence.change;
}

bool ledger_prove(struct ledger *ledger, struct request *request, bool quiet)
{
    struct journal *journal = ledger->journal;
    const void *data;
    if (!journal)
        return false;
    ledger->proof = journal_prove(journal, request);
    if (request->result < 0) {
        journal_forget(journal);
        return false;
    }
    journal_stamp(journal, ledger_stamp(ledger, quiet));
    uint32_t length = journal_batch(journal, ledger->proof, &data);
    if (length == 0) {
        journal_recorded(journal, ledger->proof, 0);
        return false;
    }
    *request = (struct request){
        .kind = REQUEST_WRITE,
        .fd = journal_fd(journal),
        .offset = 0, /* O_APPEND: the kernel puts it at the end */
        .length = length,
        .need = length,
        .block = 1,
        .buffer = (void *)(uintptr_t)data, /* only read */
    };
    return true;
}

bool ledger_record(struct ledger *ledger, struct request *request, int *result, struct error *err)
{
    ERROR_UNSET(why);
    *result = request->result;
    if (request->kind == REQUEST_WRITE && *result == 0) {
        *request = (struct request){
            .kind = REQUEST_DATASYNC,
            .fd = journal_fd(ledger->journal),
        };
        return true;
    }
    journal_recorded(ledger->journal, ledger->proof, *result);
    if (*result == 0) {
        journal_drop_cached(ledger->journal);
    } else if (ledger->needed) {
        error_set(err, -*result,
                  "%s: its journal cannot be written; make room there and run it again",
                  ledger->file->path);
    } else {
        /* A disk that is just large enough for the target has no room for its journal: as where
         * none can be created, the copy goes on without. */
        (void)journal_remove(ledger->fd_folder, ledger->path, NULL);
        error_set(&why, -*result, "%s: its journal cannot be written", ledger->file->path);
        ledger_give_up(ledger, &why);
        ledger_made(ledger);
        *result = 0;
    }
    return false;
}

/* From the first entry again. */
static int ledger_recall_open(struct ledger *ledger, struct error *err)
{
    struct journal_header header;
    journal_reader_close(ledger->reader);
    ledger->reader = NULL;
    ledger->recalled_count = 0;
    int result =
        journal_reader_open(&ledger->reader, ledger->fd_folder, ledger->path, &header, err);
    if (result == -ENOENT)
        error_set(err, ENOENT, "%s: its journal", ledger->file->path);
    return result;
}

static int ledger_recall_next(struct ledger *ledger, struct journal_entry *entries, uint64_t max,
                              struct error *err)
{
    int count = journal_reader_next(ledger->reader, entries, num_u32(max), err);
    if (count > 0)
        ledger->recalled_count += (uint64_t)count;
    return count;
}

int ledger_recall(struct ledger *ledger, uint64_t from, struct journal_entry *entries,
                  uint32_t room, uint64_t *next, struct error *err)
{
    uint32_t filled = 0;
    int count = 1;
    if (from == 0 || !ledger->reader || from < ledger->recalled_count)
        count = ledger_recall_open(ledger, err) < 0 ? -err->errnum : 1;
    while (count > 0 && ledger->recalled_count < from)
        count =
            ledger_recall_next(ledger, entries, min_u64(room, from - ledger->recalled_count), err);
    /* The reader gives no more than a batch at a time. */
    while (count > 0 && filled < room) {
        count = ledger_recall_next(ledger, entries + filled, room - filled, err);
        filled += count > 0 ? (uint32_t)count : 0;
    }
    *next = filled > 0 ? ledger->recalled_count : 0;
    return count < 0 ? count : (int)filled;
}

int ledger_remove(struct ledger *ledger, struct error *err)
{
    if (!ledger_on_disk(ledger))
        return 0;
    int result = journal_remove(ledger->fd_folder, ledger->path, err);
    return result < 0 ? result : file_sync_folder(ledger->file, err);
}

/* It says nothing of a target that could not be opened. */
void ledger_undo(struct ledger *ledger, const struct job *job)
{
    ERROR_UNSET(ignored);
    bool begun = ledger->journal && journal_fd(ledger->journal) >= 0 && !job->wish.join;
    if (begun && job->journal != JOURNAL_FITS)
        (void)journal_remove(ledger->fd_folder, ledger->path, &ignored);
    if (ledger->signed_now)
        unfinished_undo(ledger->file->fd, &ledger->file->facts);
}

void ledger_close(struct ledger *ledger)
{
    journal_close(ledger->journal);
    journal_reader_close(ledger->reader);
    ledger->journal = NULL;
    ledger->reader = NULL;
}
