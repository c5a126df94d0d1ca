/* test_serve.c - a client's end and a server over a connected pair of links: every operation gives
 * what a local end gives; damage, cuts, silence, floods and lies are found. */
#include "scratch.h"
#include "served.h"

#include "haul/budget.h"
#include "haul/journal.h"
#include "haul/num.h"
#include "haul/stream.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { SLOTS = 4 };

/* ---- the rig ---- */

struct rig {
    struct pair_link *links[2];
    struct served served;
    struct end *end;
    struct error error;
    struct wire_hello limits;
    struct progress progress;
    struct slab slab;
    struct slot slots[SLOTS + 1]; /* the last one has no buffer */
    struct job job;
    char folder[64], source[96], target[96];
};

static void rig_job(struct rig *rig)
{
    rig->job = (struct job){
        .number = 7,
        .source_path = rig->source,
        .target_path = rig->target,
        .chunk_bytes = CHUNK,
        .wish =
            {
                .attributes = {ATTRIBUTE_LEAVE, ATTRIBUTE_LEAVE},
                .preallocate = true,
                .journal = true,
                .session = SESSION,
            },
    };
}

static struct rig *rig_make(void)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    strcpy(rig->folder, "/var/tmp/haul-serve-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->source, sizeof(rig->source), "%s/source", rig->folder);
    snprintf(rig->target, sizeof(rig->target), "%s/target", rig->folder);
    client_slots(&rig->slab, rig->slots, SLOTS, &rig->job);
    rig_job(rig);
    pair_open(rig->links);
    return rig;
}

static struct end_peer_config rig_config(struct rig *rig, enum end_role role)
{
    struct end_peer_config config = client_config(rig->links[0], role, SLOTS);
    config.progress = &rig->progress;
    return config;
}

static int rig_connect(struct rig *rig, enum end_role role)
{
    const struct end_peer_config config = rig_config(rig, role);
    int result = end_peer_open(&rig->end, &config, &rig->error);
    if (result == 0)
        rig->limits = *end_peer_agreed(rig->end);
    else
        link_close(&rig->links[0]->link);
    return result;
}

static struct rig *rig_open(enum end_role role)
{
    struct rig *rig = rig_make();
    served_start(&rig->served, rig->links[1]);
    if (rig_connect(rig, role) != 0)
        fail_msg("%s", rig->error.text);
    return rig;
}

static void rig_remove_folder(const struct rig *rig)
{
    DIR *folder = opendir(rig->folder);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(rig->folder);
}

/* Ends the session; what came of the server stays in rig->served until rig_free(). */
static void rig_hang_up(struct rig *rig)
{
    end_close(rig->end);
    rig->end = NULL;
    served_end(&rig->served);
}

static void rig_free(struct rig *rig)
{
    slab_close(&rig->slab);
    rig_remove_folder(rig);
    free(rig);
}

static void rig_close(struct rig *rig)
{
    rig_hang_up(rig);
    if (rig->served.result != 0)
        fail_msg("%s", rig->served.error.text);
    rig_free(rig);
}

static struct slot *control(struct rig *rig)
{
    return &rig->slots[SLOTS];
}

static int call(struct rig *rig, struct slot *slot, enum end_op op)
{
    rig->error.class = ERROR_NONE;
    return end_call(rig->end, NULL, slot, op, &rig->error);
}

static void must(struct rig *rig, struct slot *slot, enum end_op op)
{
    if (call(rig, slot, op) != 0)
        fail_msg("operation %d: %s", op, rig->error.text);
}

static void range(struct rig *rig, struct slot *slot, uint64_t chunk)
{
    uint64_t size_bytes = rig->job.facts[END_SOURCE].size_bytes;
    slot->offset = chunk * CHUNK;
    slot->length = (uint32_t)min_u64(CHUNK, size_bytes - slot->offset);
    slot->conditional = slot->from_medium = false;
}

/* The slot gets the chunk's content (of a file with that seed) and digest. */
static void chunk_of(struct rig *rig, struct slot *slot, uint64_t chunk, uint64_t seed)
{
    size_t size_bytes = (size_t)rig->job.facts[END_SOURCE].size_bytes;
    AUTO_FREE uint8_t *data = filled(size_bytes, seed);
    range(rig, slot, chunk);
    memcpy(slot->buffer, data + slot->offset, slot->length);
    slot->digest = digest_of(slot->buffer, slot->length);
}

static void pretend_source(struct rig *rig, uint64_t size_bytes)
{
    rig->job.facts[END_SOURCE] = (struct facts){
        .kind = FILE_REGULAR,
        .size_bytes = size_bytes,
        .allocated_bytes = size_bytes,
        .mode = 0640,
        .mtime_seconds = 1234567890,
        .mtime_ns = 123456789,
        .inode = 99,
    };
}

/* Wait until every slot in flight has come back. Returns the first failure. */
static int drain(struct rig *rig)
{
    struct slot *done;
    int result = 0;
    while (rig->end->inflight > 0) {
        int count = end_reap(rig->end, &done, 1, true);
        assert_true(count >= 0);
        if (count > 0 && done->result < 0 && result == 0)
            result = error_take(&rig->error, &done->error);
    }
    return result;
}

/* Push a file of this size, all slots at work. The first failure. */
static int push(struct rig *rig, uint64_t size_bytes, uint64_t seed)
{
    int result;
    pretend_source(rig, size_bytes);
    result = call(rig, control(rig), END_OPEN);
    if (result < 0)
        return result;
    uint64_t chunks = div_ceil(size_bytes, CHUNK);
    for (uint64_t first = 0; first < chunks && result == 0; first += SLOTS) {
        for (uint64_t i = first; i < first + SLOTS && i < chunks; i++) {
            chunk_of(rig, &rig->slots[i % SLOTS], i, seed);
            end_start(rig->end, &rig->slots[i % SLOTS], END_STORE);
        }
        result = drain(rig);
    }
    if (result == 0)
        result = call(rig, control(rig), END_SYNC);
    return result == 0 ? call(rig, control(rig), END_COMMIT) : result;
}

/* Pull the rig's source and compare it with what it should be. */
static int pull(struct rig *rig, uint64_t size_bytes, uint64_t seed)
{
    AUTO_FREE uint8_t *expected = filled(size_bytes, seed);
    int result = call(rig, control(rig), END_OPEN);
    if (result < 0)
        return result;
    assert_int_equal(rig->job.facts[END_SOURCE].size_bytes, size_bytes);
    uint64_t chunks = div_ceil(size_bytes, CHUNK);
    for (uint64_t first = 0; first < chunks && result == 0; first += SLOTS) {
        for (uint64_t i = first; i < first + SLOTS && i < chunks; i++) {
            range(rig, &rig->slots[i % SLOTS], i);
            memset(rig->slots[i % SLOTS].buffer, 0xee, CHUNK);
            end_start(rig->end, &rig->slots[i % SLOTS], END_FETCH);
        }
        result = drain(rig);
        for (uint64_t i = first; result == 0 && i < first + SLOTS && i < chunks; i++) {
            const struct slot *slot = &rig->slots[i % SLOTS];
            struct digest digest = digest_of(expected + slot->offset, slot->length);
            assert_memory_equal(slot->buffer, expected + slot->offset, slot->length);
            assert_true(digest_equal(&slot->digest, &digest));
        }
    }
    return result == 0 ? call(rig, control(rig), END_COMMIT) : result;
}

/* ---- operations ---- */

static const uint64_t sizes[] = {
    0, 1, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 511, 9 * CHUNK, 17 * CHUNK + 4097};

static void push_every_size_arrives(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct rig *rig = rig_open(END_TARGET);
        struct stat facts;
        if (push(rig, sizes[i], i) != 0)
            fail_msg("%llu bytes: %s", (unsigned long long)sizes[i], rig->error.text);
        assert_filled(rig->target, sizes[i], i);
        assert_int_equal(stat(rig->target, &facts), 0);
        assert_int_equal(facts.st_mode & 07777, 0640);
        assert_int_equal(facts.st_mtim.tv_sec, 1234567890);
        assert_int_equal(facts.st_mtim.tv_nsec, 123456789);
        assert_true(rig->progress.wire_bytes_sent > sizes[i]);
        assert_true(rig->progress.wire_bytes_received > 0);
        rig_close(rig);
    }
}

static void pull_every_size_arrives(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct rig *rig = rig_open(END_SOURCE);
        write_filled(rig->source, sizes[i], i);
        if (pull(rig, sizes[i], i) != 0)
            fail_msg("%llu bytes: %s", (unsigned long long)sizes[i], rig->error.text);
        assert_true(rig->progress.wire_bytes_received > sizes[i]);
        rig_close(rig);
    }
}

/* The same operations at a local end, for comparison. */
static struct end *local_end(struct rig *rig, enum end_role role)
{
    const struct end_file_config config = {
        .role = role,
        .slots_count = SLOTS + 1,
        .window_bytes = 2 * 1024 * 1024,
        .in_flight_bytes = SLOTS * CHUNK,
        .jobs_max = 2,
    };
    struct end *end;
    assert_int_equal(end_file_open(&end, &config, &rig->error), 0);
    return end;
}

static void assert_facts(const struct facts *a, const struct facts *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->size_bytes, b->size_bytes);
    assert_int_equal(a->allocated_bytes, b->allocated_bytes);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_int_equal(a->mtime_seconds, b->mtime_seconds);
    assert_int_equal(a->mtime_ns, b->mtime_ns);
    assert_int_equal(a->ctime_seconds, b->ctime_seconds);
    assert_int_equal(a->ctime_ns, b->ctime_ns);
    assert_int_equal(a->device, b->device);
    assert_int_equal(a->inode, b->inode);
    assert_int_equal(a->evidence.grade, b->evidence.grade);
    assert_int_equal(a->evidence.identity, b->evidence.identity);
    assert_int_equal(a->evidence.change, b->evidence.change);
    assert_int_equal(a->evidence.machine, b->evidence.machine);
    assert_int_equal(a->evidence.medium_inode, b->evidence.medium_inode);
}

static void assert_report(const struct side_report *a, const struct side_report *b)
{
    assert_int_equal(a->policy, b->policy);
    assert_int_equal(a->engine, b->engine);
    assert_string_equal(a->policy_why, b->policy_why);
    assert_string_equal(a->engine_why, b->engine_why);
    assert_int_equal(a->resident_before_bytes, b->resident_before_bytes);
    assert_int_equal(a->resident_after_bytes, b->resident_after_bytes);
    assert_int_not_equal(a->memory_peak_bytes, NUM_UNKNOWN);
}

/* Everything of a source: facts, holes, chunks with and without a condition. `seen` is a digest of
 * all outcomes. */
static void walk_source(struct rig *rig, struct digest *seen, struct job *job)
{
    struct slot *slot = &rig->slots[1];
    struct digest_fold *fold = digest_fold_open();
    must(rig, control(rig), END_DESCRIBE);
    must(rig, control(rig), END_OPEN);
    slot->offset = 0;
    while (slot->offset < rig->job.facts[END_SOURCE].size_bytes) {
        struct digest extent = {{0}};
        must(rig, slot, END_MAP);
        memcpy(extent.bytes, &slot->extent_start, 8);
        memcpy(extent.bytes + 8, &slot->extent_end, 8);
        digest_fold_add(fold, &extent);
        slot->offset = slot->extent_end;
    }
    for (uint64_t chunk = 0; chunk * CHUNK < rig->job.facts[END_SOURCE].size_bytes; chunk++) {
        range(rig, slot, chunk);
        must(rig, slot, END_FETCH);
        struct digest content = digest_of(slot->buffer, slot->length);
        assert_true(digest_equal(&content, &slot->digest));
        assert_false(slot->matched);
        digest_fold_add(fold, &slot->digest);
        slot->conditional = true;
        slot->expected = slot->digest;
        must(rig, slot, END_FETCH);
        assert_true(slot->matched);
        slot->expected.bytes[3] ^= 1;
        memset(slot->buffer, 0, CHUNK);
        must(rig, slot, END_FETCH);
        assert_false(slot->matched);
        content = digest_of(slot->buffer, slot->length);
        digest_fold_add(fold, &content);
    }
    must(rig, control(rig), END_COMMIT);
    *job = rig->job;
    *seen = digest_fold_value(fold);
    digest_fold_close(fold);
}

static void source_operations_equal_those_of_a_local_end(void **state)
{
    struct rig *rig = rig_open(END_SOURCE);
    struct digest far, near;
    struct job far_job, near_job;
    (void)state;
    write_filled(rig->source, CHUNK, 5);
    assert_int_equal(truncate(rig->source, 4 * CHUNK), 0);
    AUTO_CLOSE int fd = open(rig->source, O_WRONLY);
    assert_int_equal(pwrite(fd, "end", 3, 5 * CHUNK + 17), 3);
    assert_int_equal(fsync(fd), 0);

    walk_source(rig, &far, &far_job);
    struct end *peer = rig->end;
    rig->end = local_end(rig, END_SOURCE);
    walk_source(rig, &near, &near_job);
    end_close(rig->end);
    rig->end = peer;
    assert_true(digest_equal(&far, &near));
    assert_facts(&far_job.facts[END_SOURCE], &near_job.facts[END_SOURCE]);
    assert_report(&far_job.reports[END_SOURCE], &near_job.reports[END_SOURCE]);
    rig_close(rig);
}

static uint32_t recall(struct rig *rig, struct slot *slot, struct digest_fold *fold)
{
    uint32_t count = 0;
    slot->offset = 0;
    do {
        slot->length = 5 * sizeof(struct journal_entry); /* several rounds */
        must(rig, slot, END_RECALL);
        const struct journal_entry *entries = (const void *)slot->buffer;
        for (uint32_t i = 0; i < slot->count; i++) {
            assert_true(entries[i].chunk < 11);
            digest_fold_add(fold, &entries[i].digest);
        }
        count += slot->count;
        slot->offset = slot->extent_start;
    } while (slot->extent_start > 0);
    return count;
}

/* Everything of a target that had content before: examine, keep, store, erase, sync, abandon; then
 * the journal is found and recalled, and the file committed. */
static void walk_target(struct rig *rig, struct digest *seen, struct job *job)
{
    struct slot *slot = &rig->slots[2];
    struct digest_fold *fold = digest_fold_open();
    rig_job(rig);
    write_filled(rig->target, 10 * CHUNK, 1);
    pretend_source(rig, 10 * CHUNK + 100);
    must(rig, control(rig), END_DESCRIBE);
    assert_false(rig->job.journal_present);
    must(rig, control(rig), END_OPEN);
    assert_false(rig->job.target_fresh);
    assert_true(rig->job.target_readable);
    assert_int_equal(rig->job.journal, JOURNAL_ABSENT);
    for (uint64_t chunk = 0; chunk < 11; chunk++) {
        range(rig, slot, chunk);
        slot->from_medium = chunk % 2;
        must(rig, slot, END_EXAMINE);
        digest_fold_add(fold, &slot->digest);
        if (chunk % 3 == 0) {
            must(rig, slot, END_KEEP);
        } else if (chunk % 3 == 1) {
            chunk_of(rig, slot, chunk, 2);
            must(rig, slot, END_STORE);
        } else {
            must(rig, slot, END_ERASE);
        }
    }
    must(rig, control(rig), END_SYNC);
    must(rig, control(rig), END_ABANDON);
    must(rig, control(rig), END_DESCRIBE);
    assert_true(rig->job.journal_present);
    must(rig, control(rig), END_OPEN);
    assert_int_equal(rig->job.journal, JOURNAL_FITS);
    uint32_t listed = recall(rig, slot, fold);
    assert_true(listed >= 8);
    must(rig, control(rig), END_SYNC);
    must(rig, control(rig), END_COMMIT);
    *job = rig->job;
    *seen = digest_fold_value(fold);
    digest_fold_close(fold);
}

static void target_operations_equal_those_of_a_local_end(void **state)
{
    struct rig *rig = rig_open(END_TARGET);
    struct digest far, near;
    struct job far_job, near_job;
    (void)state;
    walk_target(rig, &far, &far_job);
    AUTO_FREE uint8_t *first = filled(10 * CHUNK + 100, 0), *second = filled(10 * CHUNK + 100, 0);
    AUTO_CLOSE int fd = open(rig->target, O_RDONLY);
    assert_int_equal(read(fd, first, 10 * CHUNK + 101), 10 * CHUNK + 100);

    struct end *peer = rig->end;
    rig->end = local_end(rig, END_TARGET);
    unlink(rig->target);
    walk_target(rig, &near, &near_job);
    end_close(rig->end);
    rig->end = peer;
    AUTO_CLOSE int fd_near = open(rig->target, O_RDONLY);
    assert_int_equal(read(fd_near, second, 10 * CHUNK + 101), 10 * CHUNK + 100);
    assert_memory_equal(first, second, 10 * CHUNK + 100);
    assert_true(digest_equal(&far, &near));
    assert_int_equal(far_job.old_bytes, near_job.old_bytes);
    assert_int_equal(far_job.journal_source_proven, near_job.journal_source_proven);
    assert_int_equal(far_job.journal_target_proven, near_job.journal_target_proven);
    assert_int_equal(far_job.chunk_bytes, near_job.chunk_bytes);
    assert_int_equal(far_job.target_fresh, near_job.target_fresh);
    assert_int_equal(far_job.facts[END_TARGET].size_bytes, near_job.facts[END_TARGET].size_bytes);
    assert_int_equal(far_job.reports[END_TARGET].policy, near_job.reports[END_TARGET].policy);
    assert_int_equal(far_job.reports[END_TARGET].engine, near_job.reports[END_TARGET].engine);
    rig_close(rig);
}

static void failures_come_with_the_hosts_name_and_class(void **state)
{
    struct rig *rig = rig_open(END_SOURCE);
    (void)state;
    assert_int_equal(call(rig, control(rig), END_OPEN), -ENOENT);
    assert_int_equal(rig->error.class, ERROR_VANISHED);
    assert_int_equal(rig->error.errnum, ENOENT);
    assert_memory_equal(rig->error.text, "farhost: ", 9);
    assert_non_null(strstr(rig->error.text, rig->source));
    rig->job.source_path = "/";
    assert_int_equal(call(rig, control(rig), END_OPEN), -EISDIR);
    must(rig, control(rig), END_DESCRIBE); /* the session goes on */
    assert_int_equal(rig->job.facts[END_SOURCE].kind, FILE_FOLDER);
    rig_close(rig);
}

static void commit_of_a_changed_source_fails_and_reports(void **state)
{
    struct rig *rig = rig_open(END_SOURCE);
    (void)state;
    write_filled(rig->source, 2 * CHUNK, 3);
    must(rig, control(rig), END_OPEN);
    write_filled(rig->source, 2 * CHUNK + 1, 3);
    rig->job.reports[END_SOURCE].policy = POLICY_AUTO;
    assert_int_equal(call(rig, control(rig), END_COMMIT), -ESTALE);
    assert_int_equal(rig->error.class, ERROR_CHANGED);
    assert_int_not_equal(rig->job.reports[END_SOURCE].policy, POLICY_AUTO);
    must(rig, control(rig), END_ABANDON);
    must(rig, control(rig), END_OPEN); /* the place is free again */
    must(rig, control(rig), END_ABANDON);
    rig_close(rig);
}

static void open_beyond_the_agreed_number_of_files_fails_alone(void **state)
{
    struct rig *rig = rig_open(END_TARGET);
    char paths[3][128];
    struct job jobs[3];
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        pretend_source(rig, 100);
        jobs[i] = rig->job;
        jobs[i].number = i;
        snprintf(paths[i], sizeof(paths[i]), "%s%u", rig->target, i);
        jobs[i].target_path = paths[i];
        control(rig)->job = &jobs[i];
        assert_int_equal(call(rig, control(rig), END_OPEN), i < 2 ? 0 : -EMFILE);
    }
    control(rig)->job = &jobs[0];
    must(rig, control(rig), END_ABANDON);
    control(rig)->job = &jobs[2];
    must(rig, control(rig), END_OPEN);
    rig_close(rig); /* what is open is abandoned */
}

static void small_sends_still_carry_everything(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->links[0]->send_most = 7;
    rig->links[1]->send_most = 5;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, END_TARGET), 0);
    assert_int_equal(push(rig, CHUNK + 10, 8), 0);
    assert_filled(rig->target, CHUNK + 10, 8);
    rig_close(rig);
}

static void engines_of_every_kind_serve(void **state)
{
    static const enum engine_kind kinds[] = {ENGINE_URING, ENGINE_THREADS, ENGINE_SYNC};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct rig *rig = rig_make();
        struct end_peer_config config = rig_config(rig, END_TARGET);
        config.hello.engine = kinds[i];
        served_start(&rig->served, rig->links[1]);
        if (end_peer_open(&rig->end, &config, &rig->error) != 0)
            fail_msg("%s", rig->error.text);
        assert_int_equal(push(rig, 9 * CHUNK + 1, i), 0);
        assert_int_equal(rig->job.reports[END_TARGET].engine, kinds[i]);
        assert_filled(rig->target, 9 * CHUNK + 1, i);
        rig_close(rig);
    }
}

/* ---- limits ---- */

static void limits_are_never_more_than_wished(void **state)
{
    struct rig *rig = rig_open(END_TARGET);
    (void)state;
    assert_int_equal(rig->limits.slots_count, SLOTS);
    assert_int_equal(rig->limits.control_count, 1);
    assert_int_equal(rig->limits.jobs_max, 2);
    assert_int_equal(rig->limits.chunk_bytes, CHUNK);
    assert_true(rig->limits.memory_bytes >= SLOTS * CHUNK);
    rig_close(rig);
}

static void limits_of_the_server_bound_its_memory(void **state)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    (void)state;
    config.hello.slots_count = 0;
    config.hello.chunk_bytes = 0;
    rig->served.config.memory_bytes = 1024 * 1024;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(end_peer_open(&rig->end, &config, &rig->error), 0);
    rig->limits = *end_peer_agreed(rig->end);
    assert_true(rig->limits.slots_count >= 2);
    assert_true(rig->limits.memory_bytes <= 1024 * 1024);
    assert_true((uint64_t)rig->limits.slots_count * rig->limits.chunk_bytes <= 1024 * 1024);
    rig_close(rig);
}

/* What the client says is the most; and the lanes behind this one may never come. */
static void hello_that_wishes_for_too_much_gets_what_there_is(void **state)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    (void)state;
    config.hello.chunk_bytes = 16 * 1024 * 1024;
    config.hello.lanes = WIRE_LANES_MAX;
    rig->served.config.memory_bytes = 1024 * 1024;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(end_peer_open(&rig->end, &config, &rig->error), 0);
    rig->limits = *end_peer_agreed(rig->end);
    assert_int_equal(rig->limits.chunk_bytes, 256 * 1024);
    assert_int_equal(rig->limits.memory_bytes,
                     (uint64_t)rig->limits.slots_count * rig->limits.chunk_bytes);
    assert_true(rig->limits.lanes >= 1 && rig->limits.lanes <= WIRE_LANES_MAX);
    rig_close(rig);
}

static void hello_that_needs_too_much_memory_is_refused_in_words(void **state)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    (void)state;
    rig->served.config.memory_bytes = CHUNK; /* and it takes two buffers */
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(end_peer_open(&rig->end, &config, &rig->error), -ENOMEM);
    assert_int_equal(rig->error.class, ERROR_MEMORY);
    assert_memory_equal(rig->error.text, "farhost: ", 9);
    link_close(&rig->links[0]->link);
    served_end(&rig->served);
    assert_int_equal(rig->served.error.class, ERROR_MEMORY);
    rig_free(rig);
}

/* ---- damage ---- */

/* The first bits of the payload of the first STORE, or FETCH. */
static void flip_once(enum end_role role)
{
    struct rig *rig = rig_open(role);
    struct pair_link *link = rig->links[role == END_TARGET ? 0 : 1];
    uint64_t sent;
    if (role == END_SOURCE)
        write_filled(rig->source, 9 * CHUNK, 4);
    rig->job.wish.journal = false;
    pretend_source(rig, 9 * CHUNK);
    link->flip_at = link->sent + 2 * CHUNK; /* past every head: within the second or third chunk */
    int result = role == END_TARGET ? push(rig, 9 * CHUNK, 4) : pull(rig, 9 * CHUNK, 4);
    if (result != 0)
        fail_msg("%s", rig->error.text);
    assert_int_equal(link->flip_at, UINT64_MAX);
    assert_int_equal(end_peer_resent(rig->end), 1);
    if (role == END_TARGET)
        assert_filled(rig->target, 9 * CHUNK, 4);
    sent = role == END_TARGET ? rig->progress.wire_bytes_sent : rig->progress.wire_bytes_received;
    assert_true(sent > 10 * CHUNK && sent < 11 * CHUNK); /* that chunk again, nothing else */
    rig_close(rig);
}

static void stored_payload_with_a_flipped_bit_is_sent_again_once(void **state)
{
    (void)state;
    flip_once(END_TARGET);
}

static void fetched_payload_with_a_flipped_bit_is_sent_again_once(void **state)
{
    (void)state;
    flip_once(END_SOURCE);
}

static void payload_that_is_always_damaged_ends_with_that_slot(void **state)
{
    struct rig *rig = rig_open(END_TARGET);
    struct slot *slot = &rig->slots[0];
    (void)state;
    pretend_source(rig, CHUNK);
    must(rig, control(rig), END_OPEN);
    chunk_of(rig, slot, 0, 9);
    rig->links[0]->flip_at = rig->links[0]->sent + CHUNK / 2;
    rig->links[0]->flip_every = CHUNK;
    assert_int_equal(call(rig, slot, END_STORE), -EBADMSG);
    assert_int_equal(rig->error.class, ERROR_PROTOCOL);
    assert_non_null(strstr(rig->error.text, "damaged"));
    assert_int_equal(end_peer_resent(rig->end), WIRE_RESENDS_MAX);
    rig->links[0]->flip_at = UINT64_MAX;
    must(rig, slot, END_STORE); /* the session is in order */
    must(rig, control(rig), END_COMMIT);
    assert_filled(rig->target, CHUNK, 9);
    rig_close(rig);
}

/* Every byte of what is said without payloads: no flipped bit of it is ever taken for something
 * else, and nobody waits for ever. */
static void flipped_bit_outside_of_payloads_ends_the_session(void **state)
{
    uint64_t lengths[2];
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct rig *whole = rig_open(END_TARGET);
        assert_int_equal(push(whole, 0, 0), 0);
        rig_hang_up(whole);
        lengths[side] =
            side == 0 ? whole->progress.wire_bytes_sent : whole->progress.wire_bytes_received;
        rig_free(whole);
        for (uint64_t at = 0; at < lengths[side]; at++) {
            struct rig *rig = rig_make();
            struct end_peer_config config = rig_config(rig, END_TARGET);
            config.timeout_ns = config.hello_timeout_ns = 40 * NS_PER_MS;
            rig->served.config.hello_timeout_ns = rig->served.config.silence_ns = 40 * NS_PER_MS;
            rig->links[side]->flip_at = at;
            served_start(&rig->served, rig->links[1]);
            int result = end_peer_open(&rig->end, &config, &rig->error);
            bool opened = result == 0;
            if (opened)
                result = push(rig, 0, 0);
            bool committed = result == 0;
            if (opened)
                end_close(rig->end);
            else
                link_close(&rig->links[0]->link);
            served_end(&rig->served);
            /* Only the goodbye, and the words of a version, do not matter any more. */
            if (committed && at < lengths[side] - 40 && !(at >= 10 && at < 32))
                fail_msg("byte %llu of side %d was flipped and nobody saw it",
                         (unsigned long long)at, side);
            rig_free(rig);
        }
    }
}

/* ---- cuts ---- */

static uint32_t open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* One small session, cut after `at` bytes of one side. true: it was committed. */
static bool cut_session(int side, uint64_t at, uint64_t *sent_bytes)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    rig->links[side]->cut_at = at;
    served_start(&rig->served, rig->links[1]);
    int result = end_peer_open(&rig->end, &config, &rig->error);
    bool opened = result == 0;
    if (opened)
        result = push(rig, 100, 6);
    if (result == 0)
        assert_filled(rig->target, 100, 6);
    else
        assert_true(error_is_set(&rig->error));
    if (opened && result < 0) { /* it is final, and harmless */
        assert_true(end_peer_broken(rig->end));
        assert_true(call(rig, control(rig), END_ABANDON) < 0);
    }
    if (sent_bytes)
        *sent_bytes = side == 0 ? rig->progress.wire_bytes_sent : rig->progress.wire_bytes_received;
    if (opened)
        end_close(rig->end);
    else
        link_close(&rig->links[0]->link);
    served_end(&rig->served);
    assert_true(rig->served.result == 0 || error_is_set(&rig->served.error));
    rig_free(rig);
    return result == 0;
}

static void link_cut_at_every_byte_ends_both_sides_in_order(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        uint64_t length;
        assert_true(cut_session(side, UINT64_MAX, &length));
        uint32_t files = open_files();
        for (uint64_t at = 1; at < length; at++) {
            if (cut_session(side, at, NULL))
                fail_msg("cut after %llu bytes of side %d, and yet committed",
                         (unsigned long long)at, side);
        }
        assert_int_equal(open_files(), files);
    }
}

static void cut_in_mid_copy_leaves_a_journal_of_what_was_stored(void **state)
{
    struct rig *rig = rig_open(END_TARGET);
    (void)state;
    pretend_source(rig, 5 * CHUNK);
    must(rig, control(rig), END_OPEN);
    for (uint64_t chunk = 0; chunk < 3; chunk++) {
        chunk_of(rig, &rig->slots[0], chunk, 1);
        must(rig, &rig->slots[0], END_STORE);
    }
    shutdown(rig->links[0]->fd, SHUT_RDWR); /* no SYNC was asked for */
    served_end(&rig->served);
    assert_int_equal(rig->served.error.class, ERROR_SOCKET);
    end_close(rig->end);

    slab_close(&rig->slab);
    pair_open(rig->links);
    client_slots(&rig->slab, rig->slots, SLOTS, &rig->job);
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, END_TARGET), 0);
    must(rig, control(rig), END_OPEN);
    assert_int_equal(rig->job.journal, JOURNAL_FITS);
    rig->slots[0].offset = 0;
    rig->slots[0].length = CHUNK;
    must(rig, &rig->slots[0], END_RECALL);
    assert_int_equal(rig->slots[0].count, 3);
    rig_close(rig);
}

/* ---- silence ---- */

static void silent_peer_at_the_greeting_is_a_timeout(void **state)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    (void)state;
    config.hello_timeout_ns = 50 * NS_PER_MS;
    assert_int_equal(end_peer_open(&rig->end, &config, &rig->error), -ETIMEDOUT);
    assert_int_equal(rig->error.class, ERROR_TIMEOUT);
    link_close(&rig->links[0]->link);
    link_close(&rig->links[1]->link);
    rig_free(rig);
}

/* A server of the test's own: greets, then does what the test wants. */
struct fake {
    struct rig *rig;
    struct stream stream;
    void (*act)(struct fake *fake);
};

static void *fake_serve(void *argument)
{
    struct fake *fake = argument;
    struct wire_message message;
    stream_init(&fake->stream, &fake->rig->links[1]->link, WIRE_SERVER);
    fake->stream.payload_bytes_max = CHUNK;
    if (stream_greet(&fake->stream, "0.0", NS_PER_SECOND, NULL) == 0 &&
        stream_recv_now(&fake->stream, &message, NS_PER_SECOND, NULL) == STREAM_MESSAGE) {
        message.hello.memory_bytes = CHUNK;
        stream_send_now(&fake->stream, &message, NS_PER_SECOND, NULL);
        fake->act(fake);
    }
    link_close(fake->stream.link);
    return NULL;
}

/* The next message, of any length of time. */
static bool fake_await(struct fake *fake, struct wire_message *message)
{
    return stream_recv_now(&fake->stream, message, 30 * NS_PER_SECOND, NULL) == STREAM_MESSAGE;
}

static void await_the_end(struct fake *fake)
{
    struct wire_message message;
    while (fake_await(fake, &message) && message.type != WIRE_BYE) {
        static uint8_t dropped[CHUNK];
        if (message.payload_bytes > 0) {
            stream_payload_into(&fake->stream, dropped, message.payload_bytes);
            fake_await(fake, &message);
        }
    }
}

/* Connect to a fake server and run one operation. The error is in rig->error. */
static int against(void (*act)(struct fake *), enum end_role role, enum end_op op,
                   struct error *err)
{
    struct rig *rig = rig_make();
    struct fake fake = {.rig = rig, .act = act};
    struct end_peer_config config = rig_config(rig, role);
    config.timeout_ns = 200 * NS_PER_MS;
    assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fake), 0);
    int result = end_peer_open(&rig->end, &config, &rig->error);
    if (result != 0)
        fail_msg("%s", rig->error.text);
    pretend_source(rig, 3 * CHUNK);
    range(rig, &rig->slots[0], 1);
    result = call(rig,
                  op == END_FETCH || op == END_MAP || op == END_RECALL || op == END_EXAMINE
                      ? &rig->slots[0]
                      : control(rig),
                  op);
    *err = rig->error;
    rig_hang_up(rig);
    rig_free(rig);
    return result;
}

static void silent_server_is_a_timeout(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(against(await_the_end, END_TARGET, END_DESCRIBE, &err), -ETIMEDOUT);
    assert_int_equal(err.class, ERROR_TIMEOUT);
    assert_memory_equal(err.text, "farhost: silent", 15);
}

/* So many times, 60 ms after each other. false: there was no request meanwhile. */
static bool fake_ping(struct fake *fake, int times, bool listening, struct wire_message *request)
{
    struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE}, message;
    bool asked = false;
    for (int i = 0; i < times; i++) {
        poll(NULL, 0, 60);
        while (listening && stream_get(&fake->stream, &message, NULL) == STREAM_MESSAGE) {
            asked |= message.type == WIRE_REQUEST;
            if (message.type == WIRE_REQUEST)
                *request = message;
        }
        if (stream_send_now(&fake->stream, &ping, NS_PER_SECOND, NULL) < 0)
            return false; /* the client has had enough */
    }
    return asked;
}

/* Alive, but nothing that we say arrives. */
static void ping_without_listening(struct fake *fake)
{
    struct wire_message message;
    (void)fake_ping(fake, 30, false, &message);
    await_the_end(fake);
}

/* The head of a frame, a byte at a time. */
static void trickle(struct fake *fake)
{
    static const uint8_t head[WIRE_HEADER_BYTES] = {WIRE_PING, 0, 8};
    for (size_t i = 0; i < sizeof(head); i++) {
        poll(NULL, 0, 60);
        if (link_send_all(fake->stream.link, head + i, 1, NS_PER_SECOND, NULL) < 0)
            break;
    }
    await_the_end(fake);
}

static void no_more_than_a_trickle_is_a_timeout(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(against(trickle, END_TARGET, END_DESCRIBE, &err), -ETIMEDOUT);
    assert_memory_equal(err.text, "farhost: silent", 15);
}

static void server_that_nothing_arrives_at_is_a_timeout(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(against(ping_without_listening, END_TARGET, END_DESCRIBE, &err), -ETIMEDOUT);
    assert_memory_equal(err.text, "farhost: silent", 15);
}

static void silent_server_is_left_alone_after_a_request_to_stop(void **state)
{
    struct rig *rig = rig_make();
    struct fake fake = {.rig = rig, .act = await_the_end};
    struct end_peer_config config = rig_config(rig, END_TARGET);
    struct control stopped = {.stop = false};
    (void)state;
    config.control = &stopped; /* and no timeout */
    assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fake), 0);
    assert_int_equal(end_peer_open(&rig->end, &config, &rig->error), 0);
    stopped.stop = true;
    assert_int_equal(call(rig, control(rig), END_DESCRIBE), -EINTR);
    assert_int_equal(rig->error.class, ERROR_INTERRUPTED);
    assert_true(end_peer_broken(rig->end));
    rig_hang_up(rig);
    rig_free(rig);
}

static void ping_then_reply(struct fake *fake)
{
    struct wire_message message;
    if (!fake_ping(fake, 6, true, &message))
        return;
    message = (struct wire_message){.type = WIRE_REPLY, .tag = message.tag, .op = message.op};
    message.facts.size_bytes = 77;
    stream_send_now(&fake->stream, &message, NS_PER_SECOND, NULL);
    await_the_end(fake);
}

static void slow_server_that_says_ping_is_waited_for(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(against(ping_then_reply, END_TARGET, END_DESCRIBE, &err), 0);
}

static void silent_client_is_given_up(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->served.config.silence_ns = 50 * NS_PER_MS;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, END_TARGET), 0);
    struct pollfd goodbye = {.fd = rig->links[0]->fd, .events = POLLIN};
    assert_int_equal(poll(&goodbye, 1, -1), 1);
    assert_true(call(rig, control(rig), END_DESCRIBE) < 0);
    assert_int_equal(rig->error.class, ERROR_TIMEOUT); /* it said why */
    rig_hang_up(rig);
    assert_int_equal(rig->served.result, -ETIMEDOUT);
    assert_int_equal(rig->served.error.class, ERROR_TIMEOUT);
    rig_free(rig);
}

/* As a copy that --bwlimit holds back between two chunks. */
static void idle_client_that_is_reaped_is_not_silent(void **state)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    struct slot *none;
    (void)state;
    config.timeout_ns = 400 * NS_PER_MS; /* pings after a quarter */
    rig->served.config.silence_ns = 400 * NS_PER_MS;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(end_peer_open(&rig->end, &config, &rig->error), 0);
    for (uint64_t end_ns = clock_now_ns() + NS_PER_SECOND; clock_now_ns() < end_ns;) {
        assert_int_equal(end_reap(rig->end, &none, 1, false), 0);
        poll(NULL, 0, 10);
    }
    if (call(rig, control(rig), END_DESCRIBE) != 0)
        fail_msg("%s", rig->error.text);
    rig_close(rig);
}

static void told_to_stop_the_server_says_so(void **state)
{
    struct rig *rig = rig_make();
    atomic_bool stop = false;
    (void)state;
    rig->served.config.stop = &stop;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, END_TARGET), 0);
    stop = true;
    while (call(rig, control(rig), END_DESCRIBE) == 0)
        ;
    assert_int_equal(rig->error.class, ERROR_INTERRUPTED);
    rig_hang_up(rig);
    assert_int_equal(rig->served.error.class, ERROR_INTERRUPTED);
    rig_free(rig);
}

/* ---- servers that lie ---- */

static void flood_pings(struct fake *fake)
{
    struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE};
    for (int i = 0; i < 100000; i++) {
        if (stream_send_now(&fake->stream, &ping, NS_PER_SECOND, NULL) < 0)
            break;
    }
}

static void flood_notes(struct fake *fake)
{
    struct wire_message note = {
        .type = WIRE_NOTE, .tag = WIRE_TAG_NONE, .note = {.level = LOG_NOTE, .line = "again"}};
    for (int i = 0; i < 100000; i++) {
        if (stream_send_now(&fake->stream, &note, NS_PER_SECOND, NULL) < 0)
            break;
    }
}

/* Answers the first request with what `change` makes of an honest reply. */
static void answer(struct fake *fake,
                   void (*change)(struct wire_message *, const struct wire_message *))
{
    static const uint8_t payload[CHUNK];
    struct wire_message message, reply;
    do {
        if (!fake_await(fake, &message))
            return;
    } while (message.type != WIRE_REQUEST);
    reply = (struct wire_message){.type = WIRE_REPLY, .tag = message.tag, .op = message.op};
    reply.slot.digest = digest_of(payload, CHUNK);
    reply.job.chunk_bytes = CHUNK;
    change(&reply, &message);
    if (stream_put(&fake->stream, &reply, reply.payload_bytes ? payload : NULL) == 0) {
        while (stream_flush(&fake->stream, NULL) == 0)
            poll(NULL, 0, 1);
    }
    await_the_end(fake);
}

static void change_tag(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->tag = 2;
}

static void change_tag_beyond(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->tag = 200;
}

static void change_op(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->op = END_SYNC;
}

static void change_length(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->payload_bytes = CHUNK - 1;
}

static void change_matched(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->slot.matched = true;
}

static void change_map(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.extent_start = reply->slot.extent_end = request->slot.offset;
}

static void change_count(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = request->slot.length + 1;
}

static void change_recall(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.extent_start = request->slot.offset;
}

static void change_entries(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = request->slot.length / WIRE_ENTRY_BYTES + 1;
    reply->payload_bytes = reply->slot.count * WIRE_ENTRY_BYTES;
}

static void change_tally(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->tally.bytes = CHUNK;
}

static void change_chunks(struct wire_message *reply, const struct wire_message *request)
{
    reply->job.chunk_bytes = request->job.chunk_bytes * 2;
}

static void change_chunks_small(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->job.chunk_bytes = CHUNK / 2;
}

static void answer_tag(struct fake *fake)
{
    answer(fake, change_tag);
}

static void answer_tag_beyond(struct fake *fake)
{
    answer(fake, change_tag_beyond);
}

static void answer_op(struct fake *fake)
{
    answer(fake, change_op);
}

static void answer_length(struct fake *fake)
{
    answer(fake, change_length);
}

static void answer_matched(struct fake *fake)
{
    answer(fake, change_matched);
}

static void answer_map(struct fake *fake)
{
    answer(fake, change_map);
}

static void answer_count(struct fake *fake)
{
    answer(fake, change_count);
}

static void answer_recall(struct fake *fake)
{
    answer(fake, change_recall);
}

static void answer_entries(struct fake *fake)
{
    answer(fake, change_entries);
}

static void answer_tally(struct fake *fake)
{
    answer(fake, change_tally);
}

static void answer_chunks(struct fake *fake)
{
    answer(fake, change_chunks);
}

static void answer_chunks_small(struct fake *fake)
{
    answer(fake, change_chunks_small);
}

/* A commit that acknowledges other bytes: the file has to be open for it. */
static void answer_open_then_tally(struct fake *fake)
{
    struct wire_message message, reply = {.type = WIRE_REPLY};
    if (!fake_await(fake, &message) || message.op != END_OPEN)
        return;
    reply.tag = message.tag;
    reply.op = END_OPEN;
    reply.job.chunk_bytes = CHUNK;
    stream_send_now(&fake->stream, &reply, NS_PER_SECOND, NULL);
    answer_tally(fake);
}

static void servers_that_lie_end_the_session(void **state)
{
    static const struct {
        void (*act)(struct fake *);
        enum end_role role;
        enum end_op op;
    } lies[] = {
        {flood_pings, END_TARGET, END_DESCRIBE},     {flood_notes, END_TARGET, END_DESCRIBE},
        {answer_tag, END_TARGET, END_DESCRIBE},      {answer_tag_beyond, END_TARGET, END_DESCRIBE},
        {answer_op, END_TARGET, END_DESCRIBE},       {answer_length, END_SOURCE, END_FETCH},
        {answer_matched, END_SOURCE, END_FETCH},     {answer_map, END_SOURCE, END_MAP},
        {answer_count, END_TARGET, END_EXAMINE},     {answer_recall, END_TARGET, END_RECALL},
        {answer_entries, END_TARGET, END_RECALL},    {answer_chunks, END_TARGET, END_OPEN},
        {answer_chunks_small, END_TARGET, END_OPEN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct error err;
        int result = against(lies[i].act, lies[i].role, lies[i].op, &err);
        if (result != -EPROTO || err.class != ERROR_PROTOCOL)
            fail_msg("lie %zu: %d, %s", i, result, error_is_set(&err) ? err.text : "believed");
    }
}

static void commit_of_other_bytes_is_not_believed(void **state)
{
    struct rig *rig = rig_make();
    struct fake fake = {.rig = rig, .act = answer_open_then_tally};
    (void)state;
    assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fake), 0);
    assert_int_equal(rig_connect(rig, END_TARGET), 0);
    pretend_source(rig, CHUNK);
    must(rig, control(rig), END_OPEN);
    assert_int_equal(call(rig, control(rig), END_COMMIT), -EPROTO);
    assert_int_equal(rig->error.class, ERROR_PROTOCOL);
    rig_hang_up(rig);
    rig_free(rig);
}

/* ---- clients that lie ---- */

enum lie_word {
    LIE_END,
    LIE_OPEN,
    LIE_OPENED, /* await the answer */
    LIE_STORE,  /* chunk 0, right */
    LIE_ANSWER, /* await one */
    LIE_COMMIT,
    LIE_ABANDON,
    LIE_SYNC,
    LIE_FETCH,
    LIE_KEEP,
    LIE_ERASE_CONTROL,   /* in a slot without a buffer */
    LIE_STORE_UNALIGNED, /* not at a chunk's place */
    LIE_STORE_SHORT,     /* not a whole chunk */
    LIE_STORE_BEYOND,    /* behind the end */
    LIE_STORE_LONG,      /* a payload that was not agreed on */
    LIE_TAG,             /* no such slot */
    LIE_TWICE,           /* the same slot again */
    LIE_OPEN_CHUNKS,     /* chunks that were not agreed on */
    LIE_NO_PATH,
    LIE_NO_SESSION,
    LIE_REPLY, /* what only a server says */
    LIE_PINGS,
    LIE_OTHER_SIZE,
    LIE_RECALL_SMALL,
    LIE_HELLO,
};

struct liar {
    struct rig *rig;
    struct stream stream;
    bool over;
};

static void liar_send(struct liar *liar, struct wire_message *message)
{
    static const uint8_t payload[WIRE_PAYLOAD_BYTES_MAX];
    if (stream_sending(&liar->stream) || stream_put(&liar->stream, message, payload) != 0)
        fail_msg("cannot lie");
    for (;;) {
        int sent = stream_flush(&liar->stream, NULL);
        if (sent != 0) {
            liar->over = sent < 0;
            return;
        }
        (void)link_wait(liar->stream.link, LINK_SEND, NS_PER_SECOND, NULL);
    }
}

static void liar_job(struct liar *liar, struct wire_message *message)
{
    message->path = liar->rig->target;
    message->job.chunk_bytes = CHUNK;
    message->job.wish.journal = true;
    message->job.wish.session = 1;
    message->job.facts[END_SOURCE].kind = FILE_REGULAR;
    message->job.facts[END_SOURCE].size_bytes = 3 * CHUNK + 5;
}

static const enum end_op lie_ops[] = {
    [LIE_OPEN] = END_OPEN,
    [LIE_STORE] = END_STORE,
    [LIE_COMMIT] = END_COMMIT,
    [LIE_ABANDON] = END_ABANDON,
    [LIE_SYNC] = END_SYNC,
    [LIE_FETCH] = END_FETCH,
    [LIE_KEEP] = END_KEEP,
    [LIE_ERASE_CONTROL] = END_ERASE,
    [LIE_STORE_UNALIGNED] = END_STORE,
    [LIE_STORE_SHORT] = END_STORE,
    [LIE_STORE_BEYOND] = END_STORE,
    [LIE_STORE_LONG] = END_STORE,
    [LIE_TAG] = END_SYNC,
    [LIE_TWICE] = END_SYNC,
    [LIE_OPEN_CHUNKS] = END_OPEN,
    [LIE_NO_PATH] = END_OPEN,
    [LIE_NO_SESSION] = END_OPEN,
    [LIE_OTHER_SIZE] = END_COMMIT,
    [LIE_RECALL_SMALL] = END_RECALL,
};

static struct wire_message liar_message(struct liar *liar, enum lie_word word)
{
    static const uint8_t zeros[CHUNK];
    struct wire_message message = {.type = WIRE_REQUEST, .tag = 0};
    struct job *job = &message.job;
    struct slot *slot = &message.slot;
    message.op = lie_ops[word];
    job->number = 3;
    slot->length = CHUNK;
    slot->digest = digest_of(zeros, CHUNK);
    if (message.op == END_OPEN || message.op == END_COMMIT)
        liar_job(liar, &message);
    if (message.op != END_STORE)
        message.tag = 1;
    switch (word) {
    case LIE_ERASE_CONTROL:
        message.tag = SLOTS;
        break;
    case LIE_STORE_UNALIGNED:
        slot->offset = 4096;
        break;
    case LIE_STORE_SHORT:
        slot->length = 4096;
        break;
    case LIE_STORE_BEYOND:
        slot->offset = 4 * CHUNK;
        break;
    case LIE_STORE_LONG:
        slot->length = 2 * CHUNK;
        break;
    case LIE_TAG:
        message.tag = SLOTS + 1;
        break;
    case LIE_OPEN_CHUNKS:
        job->chunk_bytes = 2 * CHUNK;
        break;
    case LIE_NO_PATH:
        message.path = "";
        break;
    case LIE_NO_SESSION:
        job->wish.session = 0;
        break;
    case LIE_OTHER_SIZE:
        job->facts[END_SOURCE].size_bytes++;
        break;
    case LIE_RECALL_SMALL:
        message.tag = 0;
        slot->length = 23;
        break;
    default:
        break;
    }
    message.payload_bytes = message.op == END_STORE ? slot->length : 0;
    return message;
}

static void liar_say(struct liar *liar, enum lie_word word)
{
    struct wire_message message;
    if (liar->over)
        return;
    if (word == LIE_OPENED || word == LIE_ANSWER) {
        if (stream_recv_now(&liar->stream, &message, 10 * NS_PER_SECOND, NULL) != STREAM_MESSAGE ||
            message.type != WIRE_REPLY || message.status != WIRE_DONE)
            fail_msg("no answer to a right question");
        return;
    }
    if (word == LIE_PINGS) {
        struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE};
        for (int i = 0; i < 100000 && !liar->over; i++)
            liar_send(liar, &ping);
        return;
    }
    if (word == LIE_HELLO) {
        message = (struct wire_message){
            .type = WIRE_HELLO,
            .tag = WIRE_TAG_NONE,
            .hello = {.lanes = 1, .jobs_max = 1, .ping_ms = WIRE_PING_MS},
        };
        liar_send(liar, &message);
        return;
    }
    if (word == LIE_REPLY) { /* with the checksum of a client, or it would be noticed earlier */
        static const uint8_t junk[WIRE_HEADER_BYTES] = {WIRE_REPLY, 0, 0, 0, 1};
        (void)link_send_all(liar->stream.link, junk, sizeof(junk), NS_PER_SECOND, NULL);
        return;
    }
    message = liar_message(liar, word);
    liar_send(liar, &message);
    if (word == LIE_TWICE)
        liar_send(liar, &message);
}

static bool lie_is_said(enum lie_word word)
{
    return word != LIE_END && word != LIE_OPENED && word != LIE_ANSWER;
}

/* Says the words one after the other; what the server makes of it. */
static int lie(const enum lie_word *words, struct error *err)
{
    struct rig *rig = rig_make();
    struct liar liar = {.rig = rig};
    struct wire_message message = {
        .type = WIRE_HELLO,
        .tag = WIRE_TAG_NONE,
        .hello =
            {
                .session = 1,
                .role = END_TARGET,
                .lanes = 1,
                .slots_count = SLOTS,
                .control_count = 1,
                .jobs_max = 2,
                .chunk_bytes = CHUNK,
                .ping_ms = WIRE_PING_MS,
            },
    };
    served_start(&rig->served, rig->links[1]);
    stream_init(&liar.stream, &rig->links[0]->link, WIRE_CLIENT);
    assert_int_equal(stream_greet(&liar.stream, "0.0", NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_send_now(&liar.stream, &message, NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_recv_now(&liar.stream, &message, 10 * NS_PER_SECOND, NULL),
                     STREAM_MESSAGE);
    for (size_t i = 0; words[i] != LIE_END; i++) {
        bool followed = lie_is_said(words[i]) && lie_is_said(words[i + 1]);
        /* What is forbidden beside a request must be there before that is over. */
        if (followed || words[i] == LIE_TWICE)
            rig->links[1]->held = true;
        liar_say(&liar, words[i]);
        if (!followed)
            rig->links[1]->held = false;
    }
    (void)link_shutdown(&rig->links[0]->link, 10 * NS_PER_SECOND, NULL);
    link_close(&rig->links[0]->link);
    served_end(&rig->served);
    *err = rig->served.error;
    int result = rig->served.result;
    rig_free(rig);
    return result;
}

static void clients_that_lie_are_sent_away(void **state)
{
    static const enum lie_word lies[][8] = {
        {LIE_STORE},
        {LIE_COMMIT},
        {LIE_SYNC},
        {LIE_FETCH},
        {LIE_TAG},
        {LIE_OPEN_CHUNKS},
        {LIE_NO_PATH},
        {LIE_NO_SESSION},
        {LIE_REPLY},
        {LIE_HELLO},
        {LIE_PINGS},
        {LIE_OPEN, LIE_OPENED, LIE_OPEN},
        {LIE_OPEN, LIE_OPENED, LIE_FETCH},
        {LIE_OPEN, LIE_OPENED, LIE_ERASE_CONTROL},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_UNALIGNED},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_SHORT},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_BEYOND},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_LONG},
        {LIE_OPEN, LIE_OPENED, LIE_OTHER_SIZE},
        {LIE_OPEN, LIE_OPENED, LIE_RECALL_SMALL},
        {LIE_OPEN, LIE_OPENED, LIE_TWICE},
        {LIE_OPEN, LIE_OPENED, LIE_STORE, LIE_COMMIT},
        {LIE_OPEN, LIE_OPENED, LIE_STORE, LIE_ABANDON},
        {LIE_OPEN, LIE_OPENED, LIE_STORE, LIE_ANSWER, LIE_COMMIT, LIE_ANSWER, LIE_STORE},
        {LIE_OPEN, LIE_OPENED, LIE_ABANDON, LIE_ANSWER, LIE_KEEP},
    };
    static const enum lie_word truth[] = {LIE_OPEN,    LIE_OPENED, LIE_STORE, LIE_ANSWER,
                                          LIE_KEEP,    LIE_ANSWER, LIE_SYNC,  LIE_ANSWER,
                                          LIE_ABANDON, LIE_ANSWER, LIE_END};
    struct error err;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        int result = lie(lies[i], &err);
        if (result != -EPROTO || err.class != ERROR_PROTOCOL)
            fail_msg("lie %zu: %d, %s", i, result, error_is_set(&err) ? err.text : "believed");
    }
    assert_int_equal(lie(truth, &err), -ECONNRESET); /* no goodbye, but all was right */
}

/* ---- somebody else is there ---- */

static int greet_by(const void *words, size_t length, bool end, struct error *err)
{
    struct rig *rig = rig_make();
    struct end_peer_config config = rig_config(rig, END_TARGET);
    config.hello_timeout_ns = 2 * NS_PER_SECOND;
    assert_int_equal(link_send_all(&rig->links[1]->link, words, length, NS_PER_SECOND, NULL), 0);
    if (end)
        shutdown(rig->links[1]->fd, SHUT_RDWR);
    int result = end_peer_open(&rig->end, &config, &rig->error);
    *err = rig->error;
    link_close(&rig->links[0]->link);
    link_close(&rig->links[1]->link);
    rig_free(rig);
    return result;
}

static void greeting_of_somebody_else_is_shown(void **state)
{
    static const char banner[] = "Welcome to farhost!\nYou have mail.\n";
    uint8_t preamble[WIRE_PREAMBLE_BYTES];
    struct error err;
    (void)state;
    for (int end = 0; end < 2; end++) {
        memset(&err, 0, sizeof(err));
        assert_int_equal(greet_by(banner, sizeof(banner) - 1, end, &err), -EPROTO);
        assert_int_equal(err.class, ERROR_PROTOCOL);
        assert_non_null(strstr(err.text, "Welcome to farhost!\\nYou have mail."));
    }
    assert_int_equal(greet_by("no", 2, true, &err), -EPROTO);
    codec_encode_preamble(preamble, "1.0", WIRE_CLIENT);
    assert_int_equal(greet_by(preamble, sizeof(preamble), false, &err), -EPROTO);
    assert_non_null(strstr(err.text, "echo"));
    codec_encode_preamble(preamble, "9.9", WIRE_SERVER);
    preamble[WIRE_MAGIC_BYTES] = WIRE_VERSION + 1;
    assert_int_equal(greet_by(preamble, sizeof(preamble), false, &err), -EPROTONOSUPPORT);
    assert_int_equal(err.class, ERROR_VERSION);
    assert_non_null(strstr(err.text, "9.9"));
    assert_true(greet_by("", 0, true, &err) < 0);
    assert_int_equal(err.class, ERROR_SOCKET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_every_size_arrives),
        cmocka_unit_test(pull_every_size_arrives),
        cmocka_unit_test(source_operations_equal_those_of_a_local_end),
        cmocka_unit_test(target_operations_equal_those_of_a_local_end),
        cmocka_unit_test(failures_come_with_the_hosts_name_and_class),
        cmocka_unit_test(commit_of_a_changed_source_fails_and_reports),
        cmocka_unit_test(open_beyond_the_agreed_number_of_files_fails_alone),
        cmocka_unit_test(small_sends_still_carry_everything),
        cmocka_unit_test(engines_of_every_kind_serve),
        cmocka_unit_test(limits_are_never_more_than_wished),
        cmocka_unit_test(limits_of_the_server_bound_its_memory),
        cmocka_unit_test(hello_that_wishes_for_too_much_gets_what_there_is),
        cmocka_unit_test(hello_that_needs_too_much_memory_is_refused_in_words),
        cmocka_unit_test(stored_payload_with_a_flipped_bit_is_sent_again_once),
        cmocka_unit_test(fetched_payload_with_a_flipped_bit_is_sent_again_once),
        cmocka_unit_test(payload_that_is_always_damaged_ends_with_that_slot),
        cmocka_unit_test(flipped_bit_outside_of_payloads_ends_the_session),
        cmocka_unit_test(link_cut_at_every_byte_ends_both_sides_in_order),
        cmocka_unit_test(cut_in_mid_copy_leaves_a_journal_of_what_was_stored),
        cmocka_unit_test(silent_peer_at_the_greeting_is_a_timeout),
        cmocka_unit_test(silent_server_is_a_timeout),
        cmocka_unit_test(no_more_than_a_trickle_is_a_timeout),
        cmocka_unit_test(silent_server_is_left_alone_after_a_request_to_stop),
        cmocka_unit_test(server_that_nothing_arrives_at_is_a_timeout),
        cmocka_unit_test(slow_server_that_says_ping_is_waited_for),
        cmocka_unit_test(silent_client_is_given_up),
        cmocka_unit_test(idle_client_that_is_reaped_is_not_silent),
        cmocka_unit_test(told_to_stop_the_server_says_so),
        cmocka_unit_test(servers_that_lie_end_the_session),
        cmocka_unit_test(commit_of_other_bytes_is_not_believed),
        cmocka_unit_test(clients_that_lie_are_sent_away),
        cmocka_unit_test(greeting_of_somebody_else_is_shown),
    };
    if (getenv("TEST_FILTER")) /* one of them, by a pattern */
        cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
