/* test_ledger.c - a target's journal whose file is made beside the copy: chunks are noted while
 * ledger_make() runs in another thread, and fails. */
#include "file_tests.h"

#include "haul/disk/beside.h"
#include "haul/disk/budget.h"
#include "haul/disk/ledger.h"

enum { CHUNKS = 16 };

static void note(struct ledger *ledger, uint64_t chunk)
{
    struct digest digest = digest_of(&chunk, sizeof(chunk));
    ledger_note(ledger, chunk, &digest);
}

/* A target that is open, with a ledger that has noted a chunk, and no file of it yet. */
static void begin(struct place *place, struct ledger *ledger)
{
    struct job job = {
        .target_path = place->path,
        .chunk_bytes = CHUNK_BYTES_MIN,
        .wish = {.journal = true, .session = 1},
        .target_fresh = true,
        .facts[SIDE_SOURCE] = {.kind = FILE_REGULAR,
                               .size_bytes = (uint64_t)CHUNKS * CHUNK_BYTES_MIN},
    };
    assert_int_equal(open_target(place), 0);
    ledger_init(ledger, &place->file, &job);
    assert_int_equal(ledger_find(ledger, NULL, &job, &place->err), 0);
    note(ledger, 0);
    assert_true(ledger_lacks_file(ledger));
}

/* In the way of the journal: a folder with something in it. */
static void block_name(const struct place *place, char folder[160], char inside[176])
{
    char name[BESIDE_NAME_BYTES];
    beside_name(name, "file", BESIDE_JOURNAL);
    snprintf(folder, 160, "%s/%.60s", place->folder, name);
    snprintf(inside, 176, "%s/x", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    make_file(inside, 1, 0600);
}

static void ledger_make_that_fails_leaves_the_journal_to_who_notes(void **state)
{
    struct place *place = *state;
    struct ledger ledger = {0};
    struct request request;
    char folder[160], inside[176];
    begin(place, &ledger);
    block_name(place, folder, inside);
    assert_int_equal(ledger_make(&ledger, &place->err), 0); /* the copy goes on without */
    assert_true(ledger.refused);
    for (uint64_t chunk = 1; chunk < CHUNKS; chunk++) /* noted before it is told of that */
        note(&ledger, chunk);
    ledger_made(&ledger);
    assert_null(ledger.journal);
    assert_false(ledger.refused);
    note(&ledger, 3); /* and later ones */
    assert_false(ledger_lacks_file(&ledger));
    ledger_seal(&ledger);
    assert_false(ledger_prove(&ledger, &request, true));
    assert_false(ledger_on_disk(&ledger));
    ledger_close(&ledger);
    assert_int_equal(unlink(inside), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void ledger_make_keeps_what_is_noted_meanwhile(void **state)
{
    struct place *place = *state;
    struct ledger ledger = {0};
    begin(place, &ledger);
    assert_int_equal(ledger_make(&ledger, &place->err), 0);
    note(&ledger, 1);
    ledger_made(&ledger);
    assert_true(ledger_on_disk(&ledger));
    assert_int_equal(journal_noted(ledger.journal), 2);
    assert_false(ledger_lacks_file(&ledger));
    assert_int_equal(ledger_remove(&ledger, &place->err), 0);
    ledger_close(&ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(ledger_make_that_fails_leaves_the_journal_to_who_notes),
        IN_PLACE(ledger_make_keeps_what_is_noted_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
