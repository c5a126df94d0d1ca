/* local_sync.c - SYNC: the data, then what the ledger makes of it; and the journal's entries for
 * the client. */
#include "local_state.h"

#include "haul/base/num.h"

#include <errno.h>

void local_note(struct work *work)
{
    const struct slot *slot = work->slot;
    ledger_note(&work->open->ledger, slot->offset / slot->job->chunk_bytes, &slot->digest);
}

int local_disprove(struct local *self, struct work *work)
{
    (void)self;
    file_take_back(&work->open->file);
    return 0;
}

static void local_recorded(struct local *self, struct work *work, int result)
{
    if (ledger_record(&work->open->ledger, &work->request, &result, work->slot->error))
        work_submit(self, work, local_recorded);
    else
        work_finish(self, work, result);
}

/* The data sync and all write-backs beside it are over. */
static void local_synced(struct local *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    if (result == 0)
        result = open->lost_result;
    if (result == 0 && !open->growing) /* what was cut off since is nowhere, durable or not */
        result = file_check_in_place(&open->file, open->size_bytes, work->slot->error);
    work->request.result = result;
    if (ledger_prove(&open->ledger, &work->request, !open->cache.transfers.first)) {
        work_submit(self, work, local_recorded);
    } else if (result < 0) {
        open->lost_result = result; /* nor may a later sync or commit claim them */
        work_fail(self, work, -result, "sync to the disk failed");
    } else {
        work_finish(self, work, 0);
    }
}

/* Most often there is none. */
static void local_hear(struct local *self, struct work *work, int result)
{
    const struct open_file *open = work->open;
    work->waiting = !cache_heard(&open->cache);
    if (!work->waiting)
        local_synced(self, work, result);
}

static void local_data_synced(struct local *self, struct work *work, int result)
{
    (void)result; /* asked for with the write-backs' */
    cache_synced(&work->open->cache);
    work_wait(self, work, local_hear);
}

/* Chunks that were stored while the journal was made are noted, and are in the sync. */
static void local_sync_data(struct local *self, struct work *work, int result)
{
    ledger_made(&work->open->ledger);
    if (result < 0) {
        work_finish(self, work, result);
        return;
    }
    ledger_seal(&work->open->ledger);
    work_whole(self, work, REQUEST_DATASYNC, local_data_synced);
}

static int local_sync_make(struct local *self, struct work *work)
{
    (void)self;
    return ledger_make(&work->open->ledger, work->slot->error);
}

void local_sync(struct local *self, struct work *work)
{
    if (work->open->stream.used) /* a pipe keeps nothing */
        work_finish(self, work, 0);
    else if (ledger_lacks_file(&work->open->ledger))
        work_call(self, work, local_sync_make, local_sync_data);
    else
        local_sync_data(self, work, 0);
}

int local_recall(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    uint32_t room = slot->length / sizeof(struct journal_entry);
    struct journal_entry *entries = (struct journal_entry *)(void *)slot->buffer;
    (void)self;
    if (room == 0)
        return error_set(slot->error, EINVAL, "%s: no room for its journal", work->open->file.path);
    int count = ledger_recall(&work->open->ledger, slot->offset, entries, room, &slot->extent_start,
                              slot->error);
    slot->count = count > 0 ? (uint32_t)count : 0;
    return count < 0 ? count : 0;
}
