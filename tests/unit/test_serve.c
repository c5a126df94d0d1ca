/* test_serve.c - a client's side and a server over a connected pair of links: every operation gives
 * what a local side gives, within the limits that were agreed on. */
#include "serve_rig.h"

/* ---- operations ---- */

/* What PONG tells of the other machine's processors, which here is this machine. */
static void peer_look_twice_tells_how_idle_the_other_machine_is(void **state)
{
    (void)state;
    struct rig *rig = rig_open(SIDE_TARGET);
    struct slot *none[1];
    assert_int_equal(peer_idle(rig->side).answers_count, 0);
    for (uint32_t i = 1; i <= 2; i++) {
        peer_look(rig->side);
        while (peer_idle(rig->side).answers_count < i)
            assert_int_equal(side_reap(rig->side, none, 1, true), 0);
    }
    assert_true(peer_idle(rig->side).permille != NUM_UNKNOWN);
    rig_close(rig);
}

static const uint64_t sizes[] = {
    0, 1, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 511, 9 * CHUNK, 17 * CHUNK + 4097};

static void push_every_size_arrives(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct rig *rig = rig_open(SIDE_TARGET);
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
        struct rig *rig = rig_open(SIDE_SOURCE);
        write_filled(rig->source, sizes[i], i);
        if (pull(rig, sizes[i], i) != 0)
            fail_msg("%llu bytes: %s", (unsigned long long)sizes[i], rig->error.text);
        assert_true(rig->progress.wire_bytes_received > sizes[i]);
        rig_close(rig);
    }
}

/* The same operations at a local side, for comparison. */
static struct side *local_end(struct rig *rig, enum side_role role)
{
    const struct local_config config = {
        .role = role,
        .slots_count = SLOTS + 1,
        .window_bytes = 2 * 1024 * 1024,
        .in_flight_bytes = SLOTS * CHUNK,
        .jobs_max = 2,
    };
    struct side *side;
    assert_int_equal(local_open(&side, &config, &rig->error), 0);
    return side;
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

static void assert_report(const struct job *far, const struct job *near, enum side_role role)
{
    const struct side_report *a = &far->reports[role], *b = &near->reports[role];
    assert_int_equal(a->policy, b->policy);
    assert_int_equal(a->engine, b->engine);
    assert_string_equal(far->words[role].policy, near->words[role].policy);
    assert_string_equal(far->words[role].engine, near->words[role].engine);
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
    must(rig, control(rig), SIDE_DESCRIBE);
    must(rig, control(rig), SIDE_OPEN);
    slot->offset = 0;
    while (slot->offset < rig->job.facts[SIDE_SOURCE].size_bytes) {
        struct digest extent = {{0}};
        must(rig, slot, SIDE_MAP);
        memcpy(extent.bytes, &slot->extent_start, 8);
        memcpy(extent.bytes + 8, &slot->extent_end, 8);
        digest_fold_add(fold, &extent);
        slot->offset = slot->extent_end;
    }
    for (uint64_t chunk = 0; chunk * CHUNK < rig->job.facts[SIDE_SOURCE].size_bytes; chunk++) {
        range(rig, slot, chunk);
        must(rig, slot, SIDE_FETCH);
        struct digest content = digest_of(slot->buffer, slot->length);
        assert_true(digest_equal(&content, &slot->digest));
        assert_false(slot->matched);
        digest_fold_add(fold, &slot->digest);
        slot->conditional = true;
        slot->expected = slot->digest;
        must(rig, slot, SIDE_FETCH);
        assert_true(slot->matched);
        slot->expected.bytes[3] ^= 1;
        memset(slot->buffer, 0, CHUNK);
        must(rig, slot, SIDE_FETCH);
        assert_false(slot->matched);
        content = digest_of(slot->buffer, slot->length);
        digest_fold_add(fold, &content);
    }
    must(rig, control(rig), SIDE_COMMIT);
    *job = rig->job;
    *seen = digest_fold_value(fold);
    digest_fold_close(fold);
}

static void source_operations_equal_those_of_a_local_end(void **state)
{
    struct rig *rig = rig_open(SIDE_SOURCE);
    struct digest far, near;
    struct job far_job, near_job;
    struct side_words words[2][2] = {{{.policy = ""}}};
    (void)state;
    write_filled(rig->source, CHUNK, 5);
    assert_int_equal(truncate(rig->source, 4 * CHUNK), 0);
    AUTO_CLOSE int fd = open(rig->source, O_WRONLY);
    assert_int_equal(pwrite(fd, "end", 3, 5 * CHUNK + 17), 3);
    assert_int_equal(fsync(fd), 0);

    rig->job.words = words[0];
    walk_source(rig, &far, &far_job);
    struct side *peer = rig->side;
    rig->side = local_end(rig, SIDE_SOURCE);
    rig->job.words = words[1];
    walk_source(rig, &near, &near_job);
    side_close(rig->side);
    rig->side = peer;
    assert_true(digest_equal(&far, &near));
    assert_facts(&far_job.facts[SIDE_SOURCE], &near_job.facts[SIDE_SOURCE]);
    assert_report(&far_job, &near_job, SIDE_SOURCE);
    rig_close(rig);
}

static uint32_t recall(struct rig *rig, struct slot *slot, struct digest_fold *fold)
{
    uint32_t count = 0;
    slot->offset = 0;
    do {
        slot->length = 5 * sizeof(struct journal_entry); /* several rounds */
        must(rig, slot, SIDE_RECALL);
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
    must(rig, control(rig), SIDE_DESCRIBE);
    assert_false(rig->job.journal_present);
    must(rig, control(rig), SIDE_OPEN);
    assert_false(rig->job.target_fresh);
    assert_true(rig->job.target_readable);
    assert_int_equal(rig->job.journal, JOURNAL_ABSENT);
    for (uint64_t chunk = 0; chunk < 11; chunk++) {
        range(rig, slot, chunk);
        slot->from_medium = chunk % 2;
        must(rig, slot, SIDE_EXAMINE);
        digest_fold_add(fold, &slot->digest);
        if (chunk % 3 == 0) {
            must(rig, slot, SIDE_KEEP);
        } else if (chunk % 3 == 1) {
            chunk_of(rig, slot, chunk, 2);
            must(rig, slot, SIDE_STORE);
        } else {
            must(rig, slot, SIDE_ERASE);
        }
    }
    must(rig, control(rig), SIDE_SYNC);
    must(rig, control(rig), SIDE_ABANDON);
    must(rig, control(rig), SIDE_DESCRIBE);
    assert_true(rig->job.journal_present);
    must(rig, control(rig), SIDE_OPEN);
    assert_int_equal(rig->job.journal, JOURNAL_FITS);
    uint32_t listed = recall(rig, slot, fold);
    assert_true(listed >= 8);
    must(rig, control(rig), SIDE_SYNC);
    must(rig, control(rig), SIDE_COMMIT);
    *job = rig->job;
    *seen = digest_fold_value(fold);
    digest_fold_close(fold);
}

static void target_operations_equal_those_of_a_local_end(void **state)
{
    struct rig *rig = rig_open(SIDE_TARGET);
    struct digest far, near;
    struct job far_job, near_job;
    (void)state;
    walk_target(rig, &far, &far_job);
    AUTO_FREE uint8_t *first = filled(10 * CHUNK + 100, 0), *second = filled(10 * CHUNK + 100, 0);
    AUTO_CLOSE int fd = open(rig->target, O_RDONLY);
    assert_int_equal(read(fd, first, 10 * CHUNK + 101), 10 * CHUNK + 100);

    struct side *peer = rig->side;
    rig->side = local_end(rig, SIDE_TARGET);
    unlink(rig->target);
    walk_target(rig, &near, &near_job);
    side_close(rig->side);
    rig->side = peer;
    AUTO_CLOSE int fd_near = open(rig->target, O_RDONLY);
    assert_int_equal(read(fd_near, second, 10 * CHUNK + 101), 10 * CHUNK + 100);
    assert_memory_equal(first, second, 10 * CHUNK + 100);
    assert_true(digest_equal(&far, &near));
    assert_int_equal(far_job.old_bytes, near_job.old_bytes);
    assert_int_equal(far_job.journal_source_proven, near_job.journal_source_proven);
    assert_int_equal(far_job.journal_target_proven, near_job.journal_target_proven);
    assert_int_equal(far_job.chunk_bytes, near_job.chunk_bytes);
    assert_int_equal(far_job.target_fresh, near_job.target_fresh);
    assert_int_equal(far_job.facts[SIDE_TARGET].size_bytes, near_job.facts[SIDE_TARGET].size_bytes);
    assert_int_equal(far_job.reports[SIDE_TARGET].policy, near_job.reports[SIDE_TARGET].policy);
    assert_int_equal(far_job.reports[SIDE_TARGET].engine, near_job.reports[SIDE_TARGET].engine);
    rig_close(rig);
}

static void failures_come_with_the_hosts_name_and_class(void **state)
{
    struct rig *rig = rig_open(SIDE_SOURCE);
    (void)state;
    assert_int_equal(call(rig, control(rig), SIDE_OPEN), -ENOENT);
    assert_int_equal(rig->error.class, ERROR_VANISHED);
    assert_int_equal(rig->error.errnum, ENOENT);
    assert_memory_equal(rig->error.text, "farhost: ", 9);
    assert_non_null(strstr(rig->error.text, rig->source));
    rig->job.source_path = "/";
    assert_int_equal(call(rig, control(rig), SIDE_OPEN), -EISDIR);
    must(rig, control(rig), SIDE_DESCRIBE); /* the session goes on */
    assert_int_equal(rig->job.facts[SIDE_SOURCE].kind, FILE_FOLDER);
    rig_close(rig);
}

static void commit_of_a_changed_source_fails_and_reports(void **state)
{
    struct rig *rig = rig_open(SIDE_SOURCE);
    (void)state;
    write_filled(rig->source, 2 * CHUNK, 3);
    must(rig, control(rig), SIDE_OPEN);
    write_filled(rig->source, 2 * CHUNK + 1, 3);
    rig->job.reports[SIDE_SOURCE].policy = POLICY_AUTO;
    assert_int_equal(call(rig, control(rig), SIDE_COMMIT), -ESTALE);
    assert_int_equal(rig->error.class, ERROR_CHANGED);
    assert_int_not_equal(rig->job.reports[SIDE_SOURCE].policy, POLICY_AUTO);
    must(rig, control(rig), SIDE_ABANDON);
    must(rig, control(rig), SIDE_OPEN); /* the place is free again */
    must(rig, control(rig), SIDE_ABANDON);
    rig_close(rig);
}

static void open_beyond_the_agreed_number_of_files_fails_alone(void **state)
{
    struct rig *rig = rig_open(SIDE_TARGET);
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
        assert_int_equal(call(rig, control(rig), SIDE_OPEN), i < 2 ? 0 : -EMFILE);
    }
    control(rig)->job = &jobs[0];
    must(rig, control(rig), SIDE_ABANDON);
    control(rig)->job = &jobs[2];
    must(rig, control(rig), SIDE_OPEN);
    rig_close(rig); /* what is open is abandoned */
}

static void small_sends_still_carry_everything(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->links[0]->send_most = 7;
    rig->links[1]->send_most = 5;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, SIDE_TARGET), 0);
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
        struct peer_config config = rig_config(rig, SIDE_TARGET);
        config.hello.engine = kinds[i];
        served_start(&rig->served, rig->links[1]);
        if (peer_open(&rig->side, &config, &rig->error) != 0)
            fail_msg("%s", rig->error.text);
        assert_int_equal(push(rig, 9 * CHUNK + 1, i), 0);
        assert_int_equal(rig->job.reports[SIDE_TARGET].engine, kinds[i]);
        assert_filled(rig->target, 9 * CHUNK + 1, i);
        rig_close(rig);
    }
}

/* ---- limits ---- */

static void limits_are_never_more_than_wished(void **state)
{
    struct rig *rig = rig_open(SIDE_TARGET);
    (void)state;
    assert_int_equal(rig->limits.slots_count, SLOTS);
    assert_int_equal(rig->limits.control_count, 1);
    assert_int_equal(rig->limits.jobs_max, 2);
    assert_int_equal(rig->limits.chunk_bytes, CHUNK);
    assert_true(rig->limits.memory_bytes >= SLOTS * CHUNK);
    rig_close(rig);
}

/* And for nothing else: see test_serve_lies.c. */
static void control_slots_have_room_for_small_files(void **state)
{
    static uint8_t pocket[WIRE_POCKET_BYTES];
    struct rig *rig = rig_open(SIDE_SOURCE);
    struct slot *slot = control(rig);
    (void)state;
    write_filled(rig->source, WIRE_POCKET_BYTES + 1, 3);
    slot->buffer = pocket;
    slot->offset = 0;
    slot->length = slot->capacity = WIRE_POCKET_BYTES;
    assert_int_equal(call(rig, slot, SIDE_TAKE), -EAGAIN);
    write_filled(rig->source, WIRE_POCKET_BYTES, 3);
    slot->length = WIRE_POCKET_BYTES;
    int result = call(rig, slot, SIDE_TAKE);
    if (result != -EAGAIN) { /* this file system is one for small files as a whole */
        assert_int_equal(result, 0);
        assert_int_equal(slot->count, WIRE_POCKET_BYTES);
        AUTO_CLOSE int fd = open(rig->target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, pocket, sizeof(pocket)), sizeof(pocket));
        assert_filled(rig->target, WIRE_POCKET_BYTES, 3);
    }
    rig_close(rig);
}

static bool is_finished(const struct rig *rig, const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mtim.tv_sec == rig->job.facts[SIDE_SOURCE].mtime_seconds;
}

/* A PRESS that overtakes the writes at the server is about their commits, too. */
static void what_is_delivered_is_put_and_committed(void **state)
{
    enum { BYTES = 5000 };
    struct rig *rig = rig_open(SIDE_TARGET);
    char other[128];
    (void)state;
    pretend_source(rig, BYTES);
    rig->job.wish.attributes[ATTRIBUTE_TIMES] = ATTRIBUTE_DEFAULT;
    struct job second = rig->job;
    second.number = 8;
    snprintf(other, sizeof(other), "%s2", rig->target);
    second.target_path = other;
    rig->slots[1].job = &second;
    for (uint32_t i = 0; i < 2; i++) {
        chunk_of(rig, &rig->slots[i], 0, 3);
        rig->slots[i].conditional = true;
        side_start(rig->side, &rig->slots[i], SIDE_DELIVER);
    }
    side_start(rig->side, control(rig), SIDE_PRESS);
    int result = drain(rig);
    if (result != -EAGAIN && result != -EOPNOTSUPP) { /* this file system takes files as a whole */
        assert_int_equal(result, 0);
        assert_filled(rig->target, BYTES, 3);
        assert_filled(other, BYTES, 3);
        assert_true(is_finished(rig, rig->target) && is_finished(rig, other));
        assert_int_equal(call(rig, &rig->slots[0], SIDE_DELIVER), -EEXIST);
        assert_int_equal(unlink(other), 0);
        rig->job.target_path = other;
        must(rig, &rig->slots[0], SIDE_DELIVER); /* neither has left its number open */
        assert_filled(other, BYTES, 3);
    }
    rig_close(rig);
}

/* Sent together: the server sees what is in a folder before that is made, or cannot be. */
static void what_is_in_a_folder_waits_for_its_making(void **state)
{
    struct rig *rig = rig_open(SIDE_TARGET);
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        struct job jobs[3];
        for (uint32_t i = 0; i < 3; i++) {
            static const char *const paths[2][3] = {{"a", "a/b", "a/b/file"},
                                                    {"none/a", "none/a/b", "none/a/b/file"}};
            pretend_source(rig, 5000);
            rig->job.wish.attributes[ATTRIBUTE_TIMES] = ATTRIBUTE_DEFAULT;
            jobs[i] = rig->job;
            jobs[i].number = 20 + i;
            jobs[i].roots[SIDE_TARGET] = (struct job_root){.number = 1, .path = rig->folder};
            jobs[i].target_path = paths[missing][i];
            jobs[i].facts[SIDE_SOURCE].kind = i < 2 ? FILE_FOLDER : FILE_REGULAR;
            jobs[i].facts[SIDE_SOURCE].mode = i < 2 ? 0755 : 0644;
            rig->slots[i].job = &jobs[i];
        }
        chunk_of(rig, &rig->slots[2], 0, 3);
        rig->slots[2].conditional = true;
        rig->slots[0].length = rig->slots[1].length = 0;
        side_start(rig->side, &rig->slots[0], SIDE_MAKE);
        side_start(rig->side, &rig->slots[1], SIDE_MAKE);
        side_start(rig->side, &rig->slots[2], SIDE_DELIVER);
        (void)drain(rig);
        assert_int_equal(rig->slots[0].result, missing ? -ENOENT : 0);
        assert_int_equal(rig->slots[1].result, missing ? -ENOENT : 0);
        if (missing)
            assert_non_null(strstr(rig->slots[2].error->text, "could not be made"));
        else if (rig->slots[2].result != -EAGAIN && rig->slots[2].result != -EOPNOTSUPP)
            assert_int_equal(rig->slots[2].result, 0);
    }
    char path[128];
    const char *const made[] = {"a/b/file", "a/b", "a"};
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        snprintf(path, sizeof(path), "%s/%s", rig->folder, made[i]);
        (void)remove(path);
    }
    rig_close(rig);
}

/* It might have been lost meanwhile: see local_doubts(). */
static void open_that_took_long_goes_on_with_a_sign_of_the_client(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->served.config.doubt_ns = 1;
    rig_begin(rig, SIDE_TARGET);
    for (uint64_t chunks = 3; chunks > 0; chunks--) {
        int result = push(rig, chunks * CHUNK, chunks);
        if (result != 0)
            fail_msg("%s", rig->error.text);
        assert_filled(rig->target, chunks * CHUNK, chunks);
    }
    rig_close(rig);
}

static void limits_of_the_server_bound_its_memory(void **state)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    (void)state;
    config.hello.slots_count = 0;
    config.hello.chunk_bytes = 0;
    config.hello.jobs_max = WIRE_JOBS_MAX;
    rig->served.config.memory_bytes = 1024 * 1024;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(peer_open(&rig->side, &config, &rig->error), 0);
    rig->limits = *peer_agreed(rig->side);
    assert_true(rig->limits.slots_count >= 2);
    assert_true(rig->limits.memory_bytes <= 1024 * 1024);
    assert_true((uint64_t)rig->limits.slots_count * rig->limits.chunk_bytes <= 1024 * 1024);
    assert_true((uint64_t)rig->limits.jobs_max * WIRE_POCKET_BYTES <= 2 * 1024 * 1024);
    rig_close(rig);
}

/* What the client says is the most; and the lanes behind this one may never come. */
static void hello_that_wishes_for_too_much_gets_what_there_is(void **state)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    (void)state;
    config.hello.chunk_bytes = 16 * 1024 * 1024;
    config.hello.lanes = WIRE_LANES_MAX;
    rig->served.config.memory_bytes = 1024 * 1024;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(peer_open(&rig->side, &config, &rig->error), 0);
    rig->limits = *peer_agreed(rig->side);
    assert_int_equal(rig->limits.chunk_bytes, 256 * 1024);
    assert_int_equal(rig->limits.memory_bytes,
                     (uint64_t)rig->limits.slots_count * rig->limits.chunk_bytes);
    assert_true(rig->limits.lanes >= 1 && rig->limits.lanes <= WIRE_LANES_MAX);
    rig_close(rig);
}

static void hello_that_needs_too_much_memory_is_refused_in_words(void **state)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    (void)state;
    rig->served.config.memory_bytes = CHUNK; /* and it takes two buffers */
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(peer_open(&rig->side, &config, &rig->error), -ENOMEM);
    assert_int_equal(rig->error.class, ERROR_MEMORY);
    assert_memory_equal(rig->error.text, "farhost: ", 9);
    link_close(&rig->links[0]->link);
    served_end(&rig->served);
    assert_int_equal(rig->served.error.class, ERROR_MEMORY);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_look_twice_tells_how_idle_the_other_machine_is),
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
        cmocka_unit_test(control_slots_have_room_for_small_files),
        cmocka_unit_test(what_is_delivered_is_put_and_committed),
        cmocka_unit_test(what_is_in_a_folder_waits_for_its_making),
        cmocka_unit_test(open_that_took_long_goes_on_with_a_sign_of_the_client),
        cmocka_unit_test(limits_of_the_server_bound_its_memory),
        cmocka_unit_test(hello_that_wishes_for_too_much_gets_what_there_is),
        cmocka_unit_test(hello_that_needs_too_much_memory_is_refused_in_words),
    };
    if (getenv("TEST_FILTER")) /* one of them, by a pattern */
        cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
