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

static void end_file_sync_data(struct end_file *self, struct work *work)
{
    ledger_seal(&work->open->ledger);
    end_file_whole(self, work, REQUEST_DATASYNC, WORK_DATASYNC);
}

static int end_file_sync_make(struct end_file *self, struct work *work)
{
    (void)self;
    ledger_make(&work->open->ledger);
    return 0;
}

/* Chunks that were stored meanwhile are noted, and are in the sync that follows. */
static void end_file_sync_made(struct end_file *self, struct work *work, int result)
{
    (void)result;
    end_file_sync_data(self, work);
}

void end_file_sync(struct end_file *self, struct work *work)
{
    if (ledger_lacks_file(&work->open->ledger))
        end_file_call(self, work, end_file_sync_make, end_file_sync_made);
    else
        end_file_sync_data(self, work);
}

/* The data sync and all write-backs beside it are over. */
static void end_file_synced(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    int *result = &work->request.result;
    if (*result == 0)
        *result = open->writeback_result;
    if (*result == 0) /* what was cut off since is nowhere, durable or not */
        *result = file_check_in_place(&open->file, open->size_bytes, &work->slot->error);
    int synced = *result;
    bool more = ledger_prove(&open->ledger, &work->request, open->transfer_bytes == 0);
    if (synced < 0) {
        open->writeback_result = synced; /* nor may a later sync or commit claim them */
        end_file_fail(self, work, -synced, "sync to the disk failed");
    } else if (more) {
        work->step = WORK_RECORD;
        end_file_submit(self, work);
    } else {
        end_file_finish(self, work, 0);
    }
}

/* The steps of SYNC; each request's return leads to the next. */
void end_file_sync_done(struct end_file *self, struct work *work)
{
    struct open_file *open = work->open;
    int result;
    switch (work->step) {
    case WORK_DATASYNC:
        open->epoch = 1 - open->epoch;
        work->step = WORK_HEARING;
        __attribute__((fallthrough)); /* most often there is none */
    case WORK_HEARING:
        if (open->writebacks[1 - open->epoch] == 0) /* else asked again when one has come back */
            end_file_synced(self, work);
        break;
    default:
        assert(work->step == WORK_RECORD);
        if (ledger_record(&open->ledger, &work->request, &result, &work->slot->error))
            end_file_submit(self, work);
        else
            end_file_finish(self, work, result);
    }
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
