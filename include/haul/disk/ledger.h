/* ledger.h - a target's journal as one object: found at open, fed by stores, written by syncs in
 * the only order that is true (journal.h), read back for a resume, removed by the commit. A run has
 * no other way to say "durable" of a chunk.
 *
 * It knows a file and what is wished of it; slots, engines and ends it does not know: requests are
 * handed out to be executed, and come back. One thread at a time. */
#ifndef HAUL_LEDGER_H
#define HAUL_LEDGER_H

#include "haul/disk/job.h"
#include "haul/disk/journal.h"

struct ledger {
    const struct file *file; /* the target; a source's, where a manifest is compared with */
    int fd_folder;           /* where `path` begins */
    struct journal *journal; /* NULL: none is kept */
    bool named;              /* the target's name survives a power cut, too */
    bool due;                /* the next ledger_make() is to make the journal's file */
    bool refused;            /* it could not: ledger_made() lets go of the journal */
    bool signed_now;         /* the target has got its sign, see unfinished.h, and is as it was */
    bool unsignable;         /* the disk has failed when it got it */
    bool marks;              /* it lists nothing, and says of the target that it is not finished */
    bool needed;             /* what it lists is asked for in the end, or other lanes append, too */
    /* What it lists, by this run or those before, may be wrong: no stamp of ours may say that
     * nobody has touched the target. */
    bool doubted;
    bool disproved;             /* a chunk was read back wrong */
    bool began_fresh;           /* the journal that is gone on with began with an empty target */
    struct journal_proof proof; /* of the sync under way */
    struct journal_reader *reader;
    uint64_t recalled_count;
    char path[4096]; /* behind all that is set to zeros */
};

/* ---- without an open file ---- */

/* Does a journal lie beside the job's target? true also where that cannot be seen now. Blocks. */
bool ledger_lies(const struct place *place, const struct job *job);

/* --dry-run: is something in the way of a journal? -errno with words. Blocks. */
int ledger_probe(const struct place *place, const struct job *job, struct error *err);

/* ---- open ---- */

/* The ledger of this open file, which stays where it is: nothing is looked for yet. */
void ledger_init(struct ledger *ledger, const struct file *file, const struct job *job);

/* Go on with the journal that fits, or begin one in place of what does not; fills the job's journal
 * state, chunk size and old_bytes. -errno with words: it cannot be read now, or what lies there is
 * no journal; it was left alone. Blocks. */
int ledger_find(struct ledger *ledger, const struct place *place, struct job *job,
                struct error *err);

/* A further lane appends to the journal that the first one keeps; it has none when that one could
 * not keep it. Blocks. */
int ledger_join(struct ledger *ledger, const struct place *place, const struct job *job,
                struct error *err);

/* The target could not be opened after all: a journal that was begun for it goes. Blocks. */
void ledger_undo(struct ledger *ledger, const struct job *job);

/* ---- chunks become durable ---- */

/* A chunk was stored, or found to be right. */
void ledger_note(struct ledger *ledger, uint64_t chunk, const struct digest *digest);

/* A chunk was read back, and is not what was written. true: it is the first, and a stamp that holds
 * must not: take back the file's times. */
bool ledger_disprove(struct ledger *ledger);

/* Before a data sync. true: there is something to record and no file for it, or nothing could be
 * durable, as the target's name is not; ledger_make() comes first. A short copy needs neither. */
bool ledger_lacks_file(struct ledger *ledger);

/* Blocks; chunks may be noted meanwhile by another thread, which calls ledger_made() behind it.
 * Where no journal can be made the copy goes on without, which is said. -errno with words: the
 * target's folder cannot be synced. */
int ledger_make(struct ledger *ledger, struct error *err);

/* Behind ledger_make(), in the thread that notes. */
void ledger_made(struct ledger *ledger);

/* What was noted up to here belongs to the data sync that is submitted next. */
void ledger_seal(struct ledger *ledger);

/* That sync has come back; a result below 0, also of write-backs beside it: no later sync may claim
 * what was noted so far (Linux tells of a lost page once). `quiet`: nothing of ours is being
 * written. true: *request is now to be executed and passed to ledger_record(). */
bool ledger_prove(struct ledger *ledger, struct request *request, bool quiet);

/* true: one more. false: the sealed chunks are durable, or *result is below 0, with words: the
 * journal is needed, and cannot be written. Where it is not needed the copy goes on without. */
bool ledger_record(struct ledger *ledger, struct request *request, int *result, struct error *err);

/* ---- the side ---- */

/* Entries from number `from` on, as many as there is room for, and *next, where to go on (0 at the
 * end). Lanes take turns: one that was not asked for the entries before reads over them. Returns
 * how many, or -errno with words. Blocks. */
int ledger_recall(struct ledger *ledger, uint64_t from, struct journal_entry *entries,
                  uint32_t room, uint64_t *next, struct error *err);

/* There is a file of it. */
bool ledger_on_disk(const struct ledger *ledger);

/* The last step of a commit: the journal goes, and that is durable. Blocks. */
int ledger_remove(struct ledger *ledger, struct error *err);

/* The journal stays. All zeros are legal. */
void ledger_close(struct ledger *ledger);

#endif
