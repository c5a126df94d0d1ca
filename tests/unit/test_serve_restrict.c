/* test_serve_restrict.c - a server that is restricted to a folder, and clients that ask for more:
 * over a connected pair of links, as in test_serve.c. How paths are resolved is in test_place.c. */
#include "facts_tests.h"
#include "scratch.h"
#include "served.h"

#include "haul/base/num.h"
#include "haul/disk/journal.h"
#include "haul/disk/place.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { SLOTS = 2, SIZE = 3 * CHUNK + 511 };

/* ---- the rig ---- */

/* BASE/jail is what the server may use; BASE/outside/secret is what the client is after. */
struct rig {
    struct pair_link *links[2];
    struct served served;
    struct place place;
    struct side *side;
    enum side_role role;
    struct error error;
    struct slab slab;
    struct slot slots[SLOTS + 1]; /* the last one has no buffer */
    struct job job;
    char base[32], jail[48], outside[48];
};

static const char *in(const char *folder, const char *name)
{
    static char paths[8][128];
    static unsigned int next;
    char *path = paths[next++ % COUNT_OF(paths)];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void rig_files(struct rig *rig)
{
    strcpy(rig->base, "/var/tmp/haul-jail-XXXXXX");
    assert_non_null(mkdtemp(rig->base));
    snprintf(rig->jail, sizeof(rig->jail), "%s/jail", rig->base);
    snprintf(rig->outside, sizeof(rig->outside), "%s/outside", rig->base);
    assert_int_equal(mkdir(rig->jail, 0700), 0);
    assert_int_equal(mkdir(rig->outside, 0700), 0);
    assert_int_equal(mkdir(in(rig->jail, "sub"), 0700), 0);
    write_filled(in(rig->outside, "secret"), SIZE, 99);
    write_filled(in(rig->jail, "inside"), SIZE, 1);
    assert_int_equal(symlink("../outside", in(rig->jail, "link")), 0);
    assert_int_equal(symlink("../outside/secret", in(rig->jail, "secret")), 0);
    assert_int_equal(symlink("../outside/new", in(rig->jail, "new")), 0);
}

static void rig_job(struct rig *rig, const char *path)
{
    rig->job = (struct job){
        .number = rig->job.number + 1,
        .source_path = rig->role == SIDE_SOURCE ? path : "x",
        .target_path = rig->role == SIDE_TARGET ? path : "x",
        .chunk_bytes = CHUNK,
        .wish = {.attributes = {ATTRIBUTE_LEAVE, ATTRIBUTE_LEAVE},
                 .preallocate = true,
                 .journal = true,
                 .session = SESSION},
    };
    if (rig->role == SIDE_TARGET)
        rig->job.facts[SIDE_SOURCE] = (struct facts){
            .kind = FILE_REGULAR,
            .size_bytes = SIZE,
            .allocated_bytes = SIZE,
            .mode = 06755,
            .uid = geteuid(),
            .gid = getegid(),
            .mtime_seconds = 1234567890,
            .inode = 99,
        };
}

static int rig_connect(struct rig *rig)
{
    const struct peer_config config = client_config(rig->links[0], rig->role, SLOTS);
    int result = peer_open(&rig->side, &config, &rig->error);
    if (result < 0)
        link_close(&rig->links[0]->link);
    return result;
}

/* A server with --restrict=BASE/jail and the suffix, and a client. rig->error: why there is none.
 */
static struct rig *rig_try(enum side_role role, const char *suffix)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    char text[64];
    assert_non_null(rig);
    rig->role = role;
    rig_files(rig);
    client_slots(&rig->slab, rig->slots, SLOTS, &rig->job);
    snprintf(text, sizeof(text), "%s%s", rig->jail, suffix);
    assert_int_equal(place_open(&rig->place, text, &rig->error), 0);
    rig->served.config.place = &rig->place;
    pair_open(rig->links);
    served_start(&rig->served, rig->links[1]);
    (void)rig_connect(rig);
    return rig;
}

static struct rig *rig_open(enum side_role role, const char *suffix)
{
    struct rig *rig = rig_try(role, suffix);
    if (!rig->side)
        fail_msg("%s", rig->error.text);
    return rig;
}

static void rig_close(struct rig *rig)
{
    char command[64];
    assert_filled(in(rig->outside, "secret"), SIZE, 99);
    side_close(rig->side);
    served_end(&rig->served);
    assert_false(exists(in(rig->outside, "new")));
    assert_false(exists(in(rig->outside, ".new.haul")));
    place_close(&rig->place);
    slab_close(&rig->slab);
    snprintf(command, sizeof(command), "rm -rf '%s'", rig->base);
    assert_int_equal(system(command), 0);
    free(rig);
}

static int call(struct rig *rig, uint32_t slot, enum side_op op)
{
    rig->error.class = ERROR_NONE;
    return side_call(rig->side, &rig->slots[slot], op, &rig->error);
}

static void must(struct rig *rig, uint32_t slot, enum side_op op)
{
    if (call(rig, slot, op) != 0)
        fail_msg("operation %d: %s", op, rig->error.text);
}

/* Refused with -EACCES and words; the session goes on. */
static void refused(struct rig *rig, uint32_t slot, enum side_op op)
{
    int result = call(rig, slot, op);
    if (result != -EACCES)
        fail_msg("operation %d: %d, %s", op, result, rig->error.text);
    assert_int_equal(rig->error.class, ERROR_FILE);
    assert_false(peer_broken(rig->side));
}

static void range(struct rig *rig, uint64_t chunk)
{
    struct slot *slot = &rig->slots[0];
    slot->offset = chunk * CHUNK;
    slot->length = (uint32_t)min_u64(CHUNK, SIZE - slot->offset);
    slot->conditional = slot->from_medium = false;
}

static void store_all(struct rig *rig, uint64_t seed)
{
    AUTO_FREE uint8_t *data = malloc(SIZE);
    assert_non_null(data);
    fill(data, SIZE, seed);
    for (uint64_t chunk = 0; chunk < div_ceil(SIZE, CHUNK); chunk++) {
        range(rig, chunk);
        memcpy(rig->slots[0].buffer, data + rig->slots[0].offset, rig->slots[0].length);
        rig->slots[0].digest = digest_of(rig->slots[0].buffer, rig->slots[0].length);
        must(rig, 0, SIDE_STORE);
    }
}

static void push(struct rig *rig, const char *path, uint64_t seed)
{
    rig_job(rig, path);
    must(rig, SLOTS, SIDE_DESCRIBE);
    must(rig, SLOTS, SIDE_OPEN);
    store_all(rig, seed);
    must(rig, SLOTS, SIDE_SYNC);
    must(rig, SLOTS, SIDE_COMMIT);
}

static const char *const outside_names[] = {
    "../outside/secret", "link/secret", "secret", "/etc/passwd", "sub/../../outside/secret",
    "link/new",          "new",         "..",     "sub/..",      "/proc/self/root/etc/passwd",
};

/* ---- reading and writing ---- */

static void target_in_the_folder_is_written(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    push(rig, "copied", 7);
    assert_filled(in(rig->jail, "copied"), SIZE, 7);
    push(rig, in(rig->jail, "sub/copied"), 8);
    assert_filled(in(rig->jail, "sub/copied"), SIZE, 8);
    rig_close(rig);
}

static void target_in_the_folder_keeps_its_journal_there(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    rig_job(rig, "sub/copied");
    must(rig, SLOTS, SIDE_OPEN);
    store_all(rig, 7);
    must(rig, SLOTS, SIDE_SYNC);
    assert_true(exists(in(rig->jail, "sub/.copied.haul")));
    must(rig, SLOTS, SIDE_DESCRIBE);
    assert_true(rig->job.journal_present);
    must(rig, SLOTS, SIDE_ABANDON);
    rig->job.number++;
    must(rig, SLOTS, SIDE_OPEN);
    assert_int_equal(rig->job.journal, JOURNAL_FITS);
    must(rig, SLOTS, SIDE_COMMIT);
    assert_false(exists(in(rig->jail, "sub/.copied.haul")));
    rig_close(rig);
}

/* Somebody put a link where the journal will be. */
static void target_whose_journal_is_a_link_writes_nothing_outside(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    assert_int_equal(symlink("../outside/new", in(rig->jail, ".copied.haul")), 0);
    assert_int_equal(symlink("../outside/secret", in(rig->jail, ".other.haul")), 0);
    push(rig, "copied", 7);
    push(rig, "other", 8);
    assert_filled(in(rig->jail, "copied"), SIZE, 7);
    rig_close(rig);
}

static void target_outside_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    for (size_t i = 0; i < COUNT_OF(outside_names); i++) {
        rig_job(rig, outside_names[i]);
        if (call(rig, SLOTS, SIDE_DESCRIBE) == 0)
            assert_int_equal(rig->job.facts[SIDE_TARGET].kind, FILE_NONE);
        assert_true(call(rig, SLOTS, SIDE_OPEN) < 0);
        assert_true(error_is_set(&rig->error));
        assert_null(strstr(rig->error.text, rig->base)); /* nor where the folder is */
        assert_false(peer_broken(rig->side));
    }
    rig_close(rig);
}

static void source_outside_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_SOURCE, "");
    for (size_t i = 0; i < COUNT_OF(outside_names); i++) {
        rig_job(rig, outside_names[i]);
        if (call(rig, SLOTS, SIDE_DESCRIBE) == 0)
            assert_int_equal(rig->job.facts[SIDE_SOURCE].kind, FILE_NONE);
        assert_true(call(rig, SLOTS, SIDE_OPEN) < 0);
        assert_false(peer_broken(rig->side));
    }
    rig_close(rig);
}

static void journal_elsewhere_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    const char *const paths[] = {in(rig->outside, "new"), "../outside/new", "journal"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        rig_job(rig, "copied");
        rig->job.wish.journal_path = paths[i];
        rig->job.wish.journal_early = true;
        refused(rig, SLOTS, SIDE_DESCRIBE);
        refused(rig, SLOTS, SIDE_OPEN);
        rig->job.wish.compare_only = true;
        rig->job.target_path = "inside";
        refused(rig, SLOTS, SIDE_OPEN);
    }
    assert_false(exists(in(rig->jail, "copied")));
    assert_false(exists(in(rig->jail, "journal")));
    rig_close(rig);
}

/* A target that was created, and cannot be given its size, goes again. */
static void target_that_can_not_be_begun_is_removed(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    rig_job(rig, "sub/huge");
    rig->job.facts[SIDE_SOURCE].size_bytes = UINT64_C(1) << 61;
    assert_true(call(rig, SLOTS, SIDE_OPEN) < 0);
    assert_false(exists(in(rig->jail, "sub/huge")));
    rig_close(rig);
}

static void target_gets_no_set_id_bits(void **state)
{
    (void)state;
    struct stat st;
    struct rig *rig = rig_open(SIDE_TARGET, "");
    push(rig, "program", 7);
    assert_int_equal(stat(in(rig->jail, "program"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    rig_close(rig);
}

/* ---- ro ---- */

static void ro_gives_files_out(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_SOURCE, ",ro");
    AUTO_FREE uint8_t *data = malloc(SIZE);
    assert_non_null(data);
    fill(data, SIZE, 1);
    rig_job(rig, "inside");
    rig->job.wish.journal_path = "/some/where"; /* the target's, on the client's machine */
    must(rig, SLOTS, SIDE_DESCRIBE);
    must(rig, SLOTS, SIDE_OPEN);
    assert_int_equal(rig->job.facts[SIDE_SOURCE].size_bytes, SIZE);
    for (uint64_t chunk = 0; chunk < div_ceil(SIZE, CHUNK); chunk++) {
        range(rig, chunk);
        must(rig, 0, SIDE_FETCH);
        assert_memory_equal(rig->slots[0].buffer, data + rig->slots[0].offset,
                            rig->slots[0].length);
    }
    must(rig, SLOTS, SIDE_COMMIT);
    rig_close(rig);
}

/* The greeting ends with a clear line. */
static void assert_no_session(struct rig *rig, const char *word)
{
    assert_null(rig->side);
    assert_int_equal(rig->error.class, ERROR_FILE);
    assert_int_equal(rig->error.errnum, EACCES);
    if (!strstr(rig->error.text, word) || strstr(rig->error.text, rig->base))
        fail_msg("%s", rig->error.text);
    assert_filled(in(rig->jail, "inside"), SIZE, 1);
    rig_close(rig);
}

static void ro_compares_a_target_and_writes_none(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",ro");
    rig_job(rig, "inside");
    refused(rig, SLOTS, SIDE_OPEN);
    rig_job(rig, "missing");
    refused(rig, SLOTS, SIDE_OPEN);
    assert_false(exists(in(rig->jail, "missing")));
    rig_job(rig, "inside");
    rig->job.wish.compare_only = true;
    must(rig, SLOTS, SIDE_OPEN);
    must(rig, SLOTS, SIDE_ABANDON);
    assert_filled(in(rig->jail, "inside"), SIZE, 1);
    rig_close(rig);
}

/* ---- wo ---- */

static void wo_gives_no_source(void **state)
{
    (void)state;
    assert_no_session(rig_try(SIDE_SOURCE, ",wo"), ",wo");
}

static void wo_writes_new_and_over_old(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    write_filled(in(rig->jail, "longer"), 2 * SIZE, 2);
    push(rig, "fresh", 7);
    push(rig, "inside", 8);
    push(rig, "longer", 9);
    assert_filled(in(rig->jail, "fresh"), SIZE, 7);
    assert_filled(in(rig->jail, "inside"), SIZE, 8);
    assert_filled(in(rig->jail, "longer"), SIZE, 9);
    rig_close(rig);
}

/* What a client sees of a file that is there is what it sees of one that is not. */
static void wo_tells_nothing_of_old_files(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    const char *const names[] = {"inside", "missing", "partial", "secret"};
    write_filled(in(rig->jail, "partial"), SIZE, 3);
    write_filled(in(rig->jail, ".partial.haul"), 128, 3);
    const struct facts none = {.kind = FILE_NONE}, opened = {.kind = FILE_REGULAR};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        rig_job(rig, names[i]);
        must(rig, SLOTS, SIDE_DESCRIBE);
        assert_same_facts(&rig->job.facts[SIDE_TARGET], &none);
        assert_false(rig->job.journal_present);
        if (strcmp(names[i], "secret") == 0)
            break;
        must(rig, SLOTS, SIDE_OPEN);
        assert_same_facts(&rig->job.facts[SIDE_TARGET], &opened);
        assert_false(rig->job.target_readable);
        assert_true(rig->job.target_fresh);
        assert_int_equal(rig->job.journal, JOURNAL_ABSENT);
        assert_int_equal(rig->job.old_bytes, 0);
        must(rig, SLOTS, SIDE_ABANDON);
        assert_int_equal(rig->job.reports[SIDE_TARGET].resident_before_bytes, 0);
    }
    rig_close(rig);
}

static void join(struct rig *rig, const char *name)
{
    rig_job(rig, name);
    rig->job.wish.join = true;
}

/* What nobody has open was not emptied: its size, what of it is cached and the rest of its content
 * are not a joining lane's. */
static void wo_joins_nothing_that_no_lane_holds(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    join(rig, "inside");
    refused(rig, SLOTS, SIDE_OPEN);
    assert_filled(in(rig->jail, "inside"), SIZE, 1);
    join(rig, "missing");
    refused(rig, SLOTS, SIDE_OPEN);
    assert_false(exists(in(rig->jail, "missing")));
    rig_close(rig);
}

static void wo_tells_nothing_to_a_lane_that_joins(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    const struct facts opened = {.kind = FILE_REGULAR};
    struct file lead;
    const struct file_open_wish wish = {.session = SESSION};
    assert_int_equal(file_open_target(&lead, in(rig->jail, "inside"), &wish, NULL), 0);
    assert_int_equal(ftruncate(lead.fd, SIZE + 1), 0);
    join(rig, "inside");
    refused(rig, SLOTS, SIDE_OPEN);
    assert_int_equal(ftruncate(lead.fd, SIZE), 0);
    join(rig, "inside");
    must(rig, SLOTS, SIDE_OPEN);
    assert_same_facts(&rig->job.facts[SIDE_TARGET], &opened);
    assert_true(rig->job.target_fresh);
    assert_false(rig->job.target_readable);
    range(rig, 0);
    refused(rig, 0, SIDE_EXAMINE);
    must(rig, SLOTS, SIDE_ABANDON);
    file_close(&lead);
    rig_close(rig);
}

/* Digests let a guess be tried. */
static void wo_reads_nothing_back(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    rig_job(rig, "copied");
    rig->job.wish.journal_early = true;
    must(rig, SLOTS, SIDE_OPEN);
    store_all(rig, 7);
    must(rig, SLOTS, SIDE_SYNC);
    assert_false(exists(in(rig->jail, ".copied.haul")));
    range(rig, 0);
    refused(rig, 0, SIDE_EXAMINE);
    rig->slots[0].conditional = true;
    rig->slots[0].from_medium = true;
    refused(rig, 0, SIDE_EXAMINE);
    rig->slots[0].offset = 0;
    rig->slots[0].length = CHUNK;
    refused(rig, 0, SIDE_RECALL);
    must(rig, SLOTS, SIDE_COMMIT);
    assert_filled(in(rig->jail, "copied"), SIZE, 7);
    rig_close(rig);
}

static void wo_compares_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    rig_job(rig, "inside");
    rig->job.wish.compare_only = true;
    rig->job.wish.journal = false;
    refused(rig, SLOTS, SIDE_OPEN);
    assert_filled(in(rig->jail, "inside"), SIZE, 1);
    rig_close(rig);
}

static void wo_refuses_all_names_alike(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET, ",wo");
    const char *const names[] = {"missing/new", "inside/new", "link/new", "link/secret",
                                 "secret",      "new",        "sub",      "../outside/secret",
                                 "/etc/passwd", "/none/new"};
    char words[ERROR_TEXT_BYTES] = "";
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        rig_job(rig, names[i]);
        refused(rig, SLOTS, SIDE_OPEN);
        const char *behind = strstr(rig->error.text, names[i]);
        assert_non_null(behind);
        behind += strlen(names[i]);
        if (i == 0)
            strcpy(words, behind);
        assert_string_equal(behind, words);
    }
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_in_the_folder_is_written),
        cmocka_unit_test(target_in_the_folder_keeps_its_journal_there),
        cmocka_unit_test(target_whose_journal_is_a_link_writes_nothing_outside),
        cmocka_unit_test(target_outside_is_refused),
        cmocka_unit_test(source_outside_is_refused),
        cmocka_unit_test(journal_elsewhere_is_refused),
        cmocka_unit_test(target_that_can_not_be_begun_is_removed),
        cmocka_unit_test(target_gets_no_set_id_bits),
        cmocka_unit_test(ro_gives_files_out),
        cmocka_unit_test(ro_compares_a_target_and_writes_none),
        cmocka_unit_test(wo_gives_no_source),
        cmocka_unit_test(wo_writes_new_and_over_old),
        cmocka_unit_test(wo_tells_nothing_of_old_files),
        cmocka_unit_test(wo_joins_nothing_that_no_lane_holds),
        cmocka_unit_test(wo_tells_nothing_to_a_lane_that_joins),
        cmocka_unit_test(wo_reads_nothing_back),
        cmocka_unit_test(wo_compares_nothing),
        cmocka_unit_test(wo_refuses_all_names_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
