/* end_file_sync.c - SYNC: the data, then what the ledger makes of it; and the journal's entries for
 * the client. */
#include "end_file.h"

#include "haul/num.h"

#include <errno.h>

void end_file_note(struct work *work)
{
    const struct slot *slot = work->slot;
    ledger_note(&work->open->ledger, slot->offset / slot->job->chunk_bytes, &slot->digest);
}

int end_file_disprove(struct end_file *self, struct work *work)
{
    (void)self;
    file_take_back(&work->open->file);
    return 0;
}

static void end_file_recorded(struct end_file *self, struct work *work, int result)
{
    if (ledger_record(&work->open->ledger, &work->request, &result, &work->slot->error))
        work_submit(self, work, end_file_recorded);
    else
        work_finish(self, work, result);
}

/* The data sync and all write-backs beside it are over. */
static void end_file_synced(struct end_file *self, struct work *work, int result)
{
    struct open_file *open = work->open;
    if (result == 0)
        result = open->lost_result;
    if (result == 0) /* what was cut off since is nowhere, durable or not */
        result = file_check_in_place(&open->file, open->size_bytes, &work->slot->error);
    work->request.result = result;
    if (ledger_prove(&open->ledger, &work->request, !open->cache.transfers.first)) {
        work_submit(self, work, end_file_recorded);
    } else if (result < 0) {
        open->lost_result = result; /* nor may a later sync or commit claim them */
        work_fail(self, work, -result, "sync to the disk failed");
    } else {
        work_finish(self, work, 0);
    }
}

/* Most often there is none. */
static void end_file_hear(struct end_file *self, struct work *work, int result)
{
    const struct open_file *open = work->open;
    work->waiting = !cache_heard(&open->cache);
    if (!work->waiting)
        end_file_synced(self, work, result);
}

static void end_file_data_synced(struct end_file *self, struct work *work, int result)
{
    (void)result; /* asked for with the write-backs' */
    cache_synced(&work->open->cache);
    work_wait(self, work, end_file_hear);
}

/* Chunks that were stored while the journal was made are noted, and are in the sync. */
static void end_file_sync_data(struct end_file *self, struct work *work, int result)
{
    if (result < 0) {
        work_finish(self, work, result);
        return;
    }
    ledger_seal(&work->open->ledger);
    work_whole(self, work, REQUEST_DATASYNC, end_file_data_synced);
}

static int end_file_sync_make(struct end_file *self, struct work *work)
{
    (void)self;
    return ledger_make(&work->open->ledger, &work->slot->error);
}

void end_file_sync(struct end_file *self, struct work *work)
{
    if (ledger_lacks_file(&work->open->ledger))
        work_call(self, work, end_file_sync_make, end_file_sync_data);
    else
        end_file_sync_data(self, work, 0);
}

int end_file_recall(struct end_file *self, struct work *work)
{
    struct slot *slot = work->slot;
    uint32_t room = slot->length / sizeof(struct journal_entry);
    struct journal_entry *entries = (struct journal_entry *)(void *)slot->buffer;
    (void)self;
    if (room == 0)
        return error_set(&slot->error, EINVAL, "%s: no room for its journal",
                         work->open->file.path);
    int count = ledger_recall(&work->open->ledger, slot->offset, entries, room, &slot->extent_start,
                              &slot->error);
    slot->count = count > 0 ? (uint32_t)count : 0;
    return count < 0 ? count : 0;
}
