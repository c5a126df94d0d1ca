/* life_base.c - --base-manifest: what the run before has left of the target's chunks, so that they
 * need not be read. It is believed while the target is what it was then, by evidence alone: the
 * last batch carries evidence_seal() of the target behind its commit. It is written beside its
 * name with the digests of this run, and takes the name when the target is durable. */
#include "life_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* What its errand does. */
enum base_errand { BASE_IDLE, BASE_CHECKING, BASE_FEEDING, BASE_KEEPING };

struct life_base {
    enum base_errand errand;
    struct journal_reader *reader;
    bool fits;
    struct error why; /* it does not */
    int count;        /* of entries that were read; -errno */
    struct journal_entry entries[PLAN_RECALL_MAX];
};

/* Something else than the base has to tell what is there. */
static const char *base_overruled(const struct life *life)
{
    const struct copy_wish *wish = life->run->wish;
    return life->whole ? "--digest-file" : wish->verify ? "--verify" : wish->checksum ? "-c" : NULL;
}

/* Every chunk, in order, and nothing behind it. 0 or -errno with words. */
static int base_scan(struct life_base *base, const char *path, uint64_t chunks_count,
                     struct error *err)
{
    uint64_t next = 0;
    int count;
    while ((count = journal_reader_next(base->reader, base->entries, PLAN_RECALL_MAX, err)) > 0) {
        for (int i = 0; i < count; i++)
            next += base->entries[i].chunk == next;
    }
    if (count < 0)
        return count;
    if (next == chunks_count && !journal_reader_damaged(base->reader))
        return 0;
    return error_set_class(err, ERROR_FILE, EBADMSG, "%s: is damaged, or was not finished", path);
}

static int base_compare(struct life_base *base, const struct job *job, const char *path,
                        const struct journal_header *header, struct error *err)
{
    const struct facts *target = &job->facts[SIDE_TARGET];
    if (!header->manifest)
        return error_set_class(err, ERROR_FILE, EEXIST, "%s: is a journal, and no manifest", path);
    if (header->chunk_bytes != job->chunk_bytes)
        return error_set_class(err, ERROR_FILE, EINVAL,
                               "%s: lists chunks of %u bytes, and they have %u now "
                               "(--chunk-size=%u)",
                               path, header->chunk_bytes, job->chunk_bytes, header->chunk_bytes);
    int result = base_scan(base, path, journal_end_chunk(header), err);
    if (result < 0)
        return result;
    uint64_t seal = target->kind == FILE_REGULAR ? evidence_seal(target) : 0;
    if (seal == 0)
        return error_set_class(err, ERROR_FILE, ESTALE,
                               "%s: nothing proves there that the target is what it was", path);
    if (seal == journal_reader_stamp(base->reader) && header->size_bytes == target->size_bytes)
        return 0;
    return error_set_class(err, ERROR_FILE, ESTALE,
                           "%s: is of another file, or the target has changed since", path);
}

static int base_check(void *argument, struct error *err)
{
    struct life *life = argument;
    struct life_base *base = life->base;
    struct journal_header header;
    const char *path = life->run->wish->base_path;
    AUTO_FREE char *real = replace_find(path);
    (void)err;
    if (!real)
        return error_set_class(&base->why, ERROR_MEMORY, ENOMEM, "no memory for a name");
    int result = journal_reader_open(&base->reader, AT_FDCWD, real, &header, &base->why);
    if (result == 0)
        result = base_compare(base, &life->job, path, &header, &base->why);
    if (result == 0)
        journal_reader_rewind(base->reader);
    base->fits = result == 0;
    return 0;
}

static int base_begin(struct life *life, enum base_errand errand,
                      int (*run)(void *argument, struct error *err), struct error *err)
{
    int result = errand_begin(&life->errand, run, life, err);
    if (result == 0)
        life->base->errand = errand;
    return result;
}

int life_base_begin(struct life *life, struct error *err)
{
    const struct copy_wish *wish = life->run->wish;
    const struct job *job = &life->job;
    const char *overruled = base_overruled(life);
    char shown[LIFE_SHOWN_BYTES];
    if (!wish->base_path || life->kind != LIFE_COPY)
        return 0;
    life->base = calloc(1, sizeof(*life->base));
    if (!life->base)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a manifest");
    bool reads = job->old_bytes > 0 && job->target_readable && !life->resumed &&
                 job->wish.resume != RESUME_RESTART;
    if (reads && overruled)
        log_note("%s: is read all the same: %s", life_shown(life, SIDE_TARGET, shown), overruled);
    if (!reads || overruled)
        return 0;
    int result = base_begin(life, BASE_CHECKING, base_check, err);
    return result < 0 ? result : 1;
}

/* The next entries, in an errand. */
static int base_read(void *argument, struct error *err)
{
    struct life_base *base = ((struct life *)argument)->base;
    base->count = journal_reader_next(base->reader, base->entries, PLAN_RECALL_MAX, err);
    return base->count;
}

void life_feed(struct life *life)
{
    ERROR_UNSET(err);
    if (!life->base || !life->base->fits || life->errand || life->result < 0 ||
        !plan_wants_base(life->plan))
        return;
    if (base_begin(life, BASE_FEEDING, base_read, &err) == 0)
        return;
    log_note("%s; the rest of the target is read", err.text);
    plan_based(life->plan, NULL, 0);
}

static void base_checked(struct life *life)
{
    struct life_base *base = life->base;
    char shown[LIFE_SHOWN_BYTES];
    if (base->fits)
        base->fits = plan_use_base(life->plan);
    else if (error_is_set(&base->why)) /* else there is none yet */
        log_note("%s; %s is read as usual", base->why.text, life_shown(life, SIDE_TARGET, shown));
}

/* The file was whole when it was checked. */
static void base_fed(struct life *life, int result, const struct error *err)
{
    if (life->state != LIFE_COPYING) /* it has failed meanwhile */
        return;
    if (result < 0)
        log_note("%s; the rest of the target is read", err->text);
    plan_based(life->plan, life->base->entries, result > 0 ? (uint32_t)result : 0);
}

/* Behind the commit: its last batch says of which target it is. */
static int base_keep(void *argument, struct error *err)
{
    struct life *life = argument;
    const struct job *job = &life->job;
    int result = life_digest_finish(life, job->seal, err);
    return result < 0 ? result : replace_end(&life->digesting->replace, err);
}

static void base_lost(struct life *life, const struct error *err)
{
    log_error("%s", err->text);
    replace_undo(&life->digesting->replace);
    life->manifest_made = false;
    life->base_lost = true;
}

bool life_base_keep(struct life *life)
{
    ERROR_UNSET(err);
    if (!life->digesting || !life->digesting->manifest)
        return false;
    if (base_begin(life, BASE_KEEPING, base_keep, &err) == 0)
        return true;
    base_lost(life, &err);
    return false;
}

bool life_base_errand_ended(struct life *life)
{
    ERROR_UNSET(err);
    enum base_errand errand = life->base ? life->base->errand : BASE_IDLE;
    if (errand == BASE_IDLE)
        return false;
    int result = errand_end(life->errand, &err);
    life->errand = NULL;
    life->base->errand = BASE_IDLE;
    if (errand == BASE_CHECKING)
        base_checked(life);
    else if (errand == BASE_FEEDING)
        base_fed(life, result, &err);
    else if (result < 0)
        base_lost(life, &err);
    return true;
}

void life_base_close(struct life *life)
{
    if (life->base)
        journal_reader_close(life->base->reader);
    free(life->base);
    life->base = NULL;
}
