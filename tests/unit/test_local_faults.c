/* test_local_faults.c - local files when something is refused or fails. */
#include "local_tests.h"

#include "haul/base/clock.h"

/* ---- strict ---- */

static void open_strict_memory_filesystem_is_refused_and_nothing_left(void **state)
{
    struct bench *bench = *state;
    char path[] = "/dev/shm/haul_end_XXXXXX";
    bench_source(bench, 3 * WINDOW);
    bench_open_ends(bench, ENGINE_SYNC);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    bench->job.target_path = path;
    bench->job.wish.strict = bench->job.wish.cache_max_set = true;
    bench->job.wish.cache_max_bytes = MIB;
    must(bench, bench->source, control(bench), SIDE_OPEN);
    assert_true(call(bench, bench->target, control(bench), SIDE_OPEN) < 0);
    assert_int_equal(bench->err.class, ERROR_CACHE);
    assert_int_equal(access(path, F_OK), -1);
    /* Within the budget it is fine. */
    bench->job.wish.cache_max_bytes = 3 * WINDOW;
    must(bench, bench->target, control(bench), SIDE_OPEN);
    must(bench, bench->target, control(bench), SIDE_ABANDON);
    unlink(path);
}

static void store_strict_cache_grows_beyond_the_budget_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 20 * MIB);
    bench_open_ends(bench, ENGINE_SYNC);
    bench->job.wish.cache = POLICY_WINDOW;
    bench->job.wish.strict = bench->job.wish.cache_max_set = true;
    bench->job.wish.cache_max_bytes = 0; /* no window can keep to that */
    must(bench, bench->target, control(bench), SIDE_DESCRIBE);
    bench->job.facts[SIDE_SOURCE].size_bytes = bench->size_bytes;
    int result = call(bench, bench->target, control(bench), SIDE_OPEN);
    for (uint64_t offset = 0; result == 0 && offset < bench->size_bytes; offset += CHUNK) {
        struct slot *slot = &bench->slots[0];
        aim(bench, slot, offset);
        memcpy(slot->buffer, bench->content + offset, slot->length);
        slot->digest = digest_of(slot->buffer, slot->length);
        result = call(bench, bench->target, slot, SIDE_STORE);
    }
    assert_true(result < 0);
    assert_int_equal(bench->err.class, ERROR_CACHE);
    must(bench, bench->target, control(bench), SIDE_ABANDON);
    assert_int_equal(bench->job.reports[SIDE_TARGET].resident_after_bytes, 0);
}

/* ---- an engine that refuses, fails, breaks ---- */

/* O_DIRECT was accepted at open and is refused at work, from the first or from a later transfer. */
static void direct_refused_at_work_goes_on_in_windows(void **state)
{
    struct bench *bench = *state;
    for (uint32_t after = 0; after < 4; after += 3) {
        for (int role = 0; role < 2; role++) {
            bench_source(bench, 6 * CHUNK + 4099);
            struct scripted *scripted = bench_scripted(bench, (enum side_role)role);
            scripted->refuse_direct_after = after;
            bench->job.number++;
            bench_open_files(bench);
            copy_all(bench);
            commit(bench);
            assert_content(bench->target_path, bench->content, bench->size_bytes);
            const struct side_report *report = &bench->job.reports[role];
            assert_int_equal(report->policy, POLICY_WINDOW);
            assert_non_null(strstr(bench->words[role].policy, "refused at work"));
            assert_int_equal(report->engine, ENGINE_SIM);
            assert_int_equal(report->resident_after_bytes, 0);
            assert_int_equal(bench->job.reports[1 - role].policy, POLICY_DIRECT);
            assert_int_equal(unlink(bench->target_path), 0);
            side_close(bench->source);
            side_close(bench->target);
            bench->source = bench->target = NULL;
        }
    }
}

/* Each chunk is in the cache behind its transfer, as if direct I/O had left it there; what the
 * probes move is not. So it was somebody else, and all of it stays. */
static void direct_beside_a_reader_is_not_blamed(void **state)
{
    struct bench *bench = *state;
    for (int role = 0; role < 2; role++) {
        bench_source(bench, 40 * CHUNK);
        struct scripted *scripted = bench_scripted(bench, (enum side_role)role);
        scripted->neighbour = true;
        bench->job.number++;
        bench->job.wish.strict = true;
        bench_open_files(bench);
        copy_all(bench);
        commit(bench);
        const struct side_report *report = &bench->job.reports[role];
        assert_int_equal(report->policy, POLICY_DIRECT);
        assert_int_equal(report->resident_after_bytes, 40 * CHUNK);
        assert_true(report->resident_after_bytes <= report->resident_before_bytes);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        assert_int_equal(unlink(bench->target_path), 0);
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* A direct write throws out what a reader brings in while it is under way. So close before one who
 * comes from behind nothing is written directly; further on all is as before. */
static void direct_before_a_reader_goes_through_windows(void **state)
{
    enum { NEAR = 20, FAR = 1100, CHUNKS = 1101 };
    struct bench *bench = *state;
    static uint8_t data[NEAR * CHUNK];
    bench_source(bench, CHUNKS * CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
    bench_open_files(bench);
    for (uint64_t i = 0; i < NEAR; i++)
        copy_chunk(bench, &bench->slots[0], i * CHUNK);
    assert_true(scripted->direct_seen >= NEAR);
    AUTO_CLOSE int fd = open(bench->target_path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    assert_int_equal(pread(fd, data, sizeof(data), 0), sizeof(data));
    uint32_t seen = scripted->direct_seen;
    copy_chunk(bench, &bench->slots[0], NEAR * CHUNK);
    assert_int_equal(scripted->direct_seen, seen);
    copy_chunk(bench, &bench->slots[0], FAR * CHUNK);
    assert_true(scripted->direct_seen > seen);
    for (uint64_t i = NEAR + 1; i < CHUNKS; i++)
        copy_chunk(bench, &bench->slots[0], i * CHUNK);
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
    const struct side_report *report = &bench->job.reports[SIDE_TARGET];
    assert_int_equal(report->policy, POLICY_DIRECT);
    assert_true(report->resident_after_bytes <= report->resident_before_bytes);
}

/* The same, but the probes stay, too: then it is a lie, and what it left goes. */
static void direct_that_lies_is_found_out_and_swept(void **state)
{
    struct bench *bench = *state;
    for (int role = 0; role < 2; role++) {
        bench_source(bench, 40 * CHUNK);
        struct scripted *scripted = bench_scripted(bench, (enum side_role)role);
        scripted->lies = true;
        bench->job.number++;
        bench_open_files(bench);
        copy_all(bench);
        commit(bench);
        const struct side_report *report = &bench->job.reports[role];
        assert_int_equal(report->policy, POLICY_WINDOW);
        assert_non_null(strstr(bench->words[role].policy, "left"));
        assert_int_equal(report->resident_after_bytes, 0);
        assert_true(report->resident_peak_bytes > 0);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        assert_int_equal(unlink(bench->target_path), 0);
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* Twelve direct transfers are under way when the first is refused: each is done again. */
static void direct_refused_many_under_way_all_are_done_again(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, (uint64_t)SLOTS * CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_SOURCE);
    scripted->refuse_direct_after = 2;
    must(bench, bench->source, control(bench), SIDE_OPEN);
    for (uint32_t i = 0; i < SLOTS; i++) {
        aim(bench, &bench->slots[i], (uint64_t)i * CHUNK);
        side_start(bench->source, &bench->slots[i], SIDE_FETCH);
    }
    struct slot *done[SLOTS];
    for (uint32_t turn = 0; turn < 1000 && bench->source->inflight > 0; turn++)
        assert_true(side_reap(bench->source, done, SLOTS, true) >= 0);
    assert_int_equal(bench->source->inflight, 0);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(bench->slots[i].result, 0);
        assert_memory_equal(bench->slots[i].buffer, bench->content + (uint64_t)i * CHUNK, CHUNK);
    }
    must(bench, bench->source, control(bench), SIDE_COMMIT);
    assert_int_equal(bench->job.reports[SIDE_SOURCE].policy, POLICY_WINDOW);
}

/* A buffered transfer that is EINVAL is an error, not a reason to try for ever. */
static void buffered_refused_is_an_error(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
    scripted->fail_kinds = 1u << REQUEST_WRITE;
    scripted->fail_errno = EINVAL;
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 0);
    must(bench, bench->source, &bench->slots[0], SIDE_FETCH);
    assert_int_equal(call(bench, bench->target, &bench->slots[0], SIDE_STORE), -EINVAL);
    must(bench, bench->target, control(bench), SIDE_ABANDON);
}

static void fetch_read_error_names_file_and_place(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_SOURCE);
    scripted->fail_kinds = 1u << REQUEST_READ;
    scripted->fail_errno = EIO;
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 2 * CHUNK);
    assert_int_equal(call(bench, bench->source, &bench->slots[0], SIDE_FETCH), -EIO);
    assert_int_equal(bench->err.class, ERROR_FILE);
    assert_non_null(strstr(bench->err.text, bench->source_path));
    assert_non_null(strstr(bench->err.text, "131072"));
    scripted->fail_kinds = 0;
    copy_all(bench); /* an error of one chunk does not spoil the file */
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

static void store_no_space_says_what_to_do(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
    scripted->fail_kinds = 1u << REQUEST_WRITE;
    scripted->fail_errno = ENOSPC;
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 0);
    must(bench, bench->source, &bench->slots[0], SIDE_FETCH);
    assert_int_equal(call(bench, bench->target, &bench->slots[0], SIDE_STORE), -ENOSPC);
    assert_int_equal(bench->err.errnum, ENOSPC);
    assert_non_null(strstr(bench->err.text, "make room"));
}

/* The last chunk would give a target that was cut its size back, with zeros in it. */
static void store_into_a_target_that_was_cut_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    bench_open_ends(bench, ENGINE_AUTO);
    bench_open_files(bench);
    for (uint32_t i = 0; i < 2; i++) {
        aim(bench, &bench->slots[i], (uint64_t)i * CHUNK);
        must(bench, bench->source, &bench->slots[i], SIDE_FETCH);
    }
    must(bench, bench->target, &bench->slots[0], SIDE_STORE);
    assert_int_equal(truncate(bench->target_path, CHUNK / 2), 0);
    assert_int_equal(call(bench, bench->target, &bench->slots[1], SIDE_STORE), -ESTALE);
    assert_non_null(strstr(bench->err.text, "its size was changed"));
    bench->err.class = ERROR_NONE;
    assert_int_equal(truncate(bench->target_path, 2 * CHUNK), 0);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_SYNC), -ESTALE);
}

/* A write-back that failed lost data: neither sync nor commit may call it durable. */
static void writeback_failed_is_never_durable(void **state)
{
    struct bench *bench = *state;
    static const enum request_kind kinds[] = {REQUEST_WRITEBACK_WAIT, REQUEST_DATASYNC};
    for (size_t i = 0; i < 4 * COUNT_OF(kinds); i++) {
        enum request_kind kind = kinds[i / 2 % 2];
        bench_source(bench, 4 * WINDOW);
        struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
        scripted->fail_kinds = 1u << kind;
        scripted->early_kinds = i / 4 ? 1u << kind : 0;
        scripted->fail_errno = EIO;
        bench->job.number++;
        bench->job.wish.cache = POLICY_WINDOW;
        bench_open_files(bench);
        copy_all(bench);
        assert_true(kind == REQUEST_DATASYNC || scripted->fail_seen > 0);
        enum side_op op = i % 2 ? SIDE_SYNC : SIDE_COMMIT;
        assert_int_equal(call(bench, bench->target, control(bench), op), -EIO);
        assert_non_null(strstr(bench->err.text, bench->target_path));
        struct stat st = stat_of(bench->target_path);
        assert_true(st.st_mtim.tv_sec != MTIME);
        (void)call(bench, bench->target, control(bench), SIDE_ABANDON);
        assert_int_equal(unlink(bench->target_path), 0);
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* Linux tells of a failed write-back once and may have dropped the pages (fsync(2), NOTES): that a
 * later sync succeeds proves nothing about what was stored before. */
static void sync_failed_once_commit_claims_nothing(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    copy_all(bench);
    scripted->fail_kinds = 1u << REQUEST_DATASYNC;
    scripted->fail_errno = EIO;
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_SYNC), -EIO);
    scripted->fail_kinds = 0;
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_COMMIT), -EIO);
    assert_true(stat_of(bench->target_path).st_mtim.tv_sec != MTIME);
}

/* The error of a page that is lost goes to whoever waits for it first; when that is a window, the
 * data sync beside it succeeds, and may be back before the window. */
static void sync_beside_a_failing_writeback_is_never_durable(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 4 * WINDOW);
    struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
    scripted->late_kinds = scripted->fail_kinds = 1u << REQUEST_WRITEBACK_WAIT;
    scripted->fail_errno = EIO;
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    for (uint64_t offset = 0; offset < 3 * WINDOW; offset += WINDOW)
        copy_chunk(bench, &bench->slots[0], offset);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_SYNC), -EIO);
    assert_int_equal(scripted->fail_seen, 1);
}

/* Reading back writes back first: the error that this meets is the one report of it. */
static void examine_writeback_failed_is_never_durable(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_TARGET);
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    copy_all(bench);
    aim(bench, &bench->slots[0], 0);
    bench->slots[0].from_medium = true;
    scripted->fail_kinds = 1u << REQUEST_WRITEBACK_WAIT | 1u << REQUEST_READ; /* a direct one */
    scripted->fail_errno = EIO;
    assert_int_equal(call(bench, bench->target, &bench->slots[0], SIDE_EXAMINE), -EIO);
    scripted->fail_kinds = 0;
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_SYNC), -EIO);
    assert_int_equal(call(bench, bench->target, control(bench), SIDE_COMMIT), -EIO);
    assert_true(stat_of(bench->target_path).st_mtim.tv_sec != MTIME);
}

static void engine_broken_is_told_by_reap(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    struct scripted *scripted = bench_scripted(bench, SIDE_SOURCE);
    struct slot *done;
    must(bench, bench->source, control(bench), SIDE_OPEN);
    scripted->broken = true;
    aim(bench, &bench->slots[0], 0);
    side_start(bench->source, &bench->slots[0], SIDE_FETCH);
    assert_int_equal(side_reap(bench->source, &done, 1, true), -EBADF);
    assert_true(error_is_set(&bench->source->error));
    scripted->broken = false; /* so that close can drain */
}

/* The link was lost while a call waited for a slow disk; by another link the same copy has ended.
 */
static void deserted_what_goes_by_name_touches_nothing(void **state)
{
    struct bench *bench = *state;
    const enum side_op ops[] = {SIDE_OPEN, SIDE_PUT, SIDE_MAKE};
    struct slot *done;
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        struct slot *slot = ops[i] == SIDE_PUT ? &bench->slots[0] : control(bench);
        bench_source(bench, 2 * CHUNK);
        bench_open_ends(bench, ENGINE_SYNC); /* a call is made by reap */
        must(bench, bench->target, control(bench), SIDE_DESCRIBE);
        bench->job.facts[SIDE_SOURCE] = (struct facts){
            .kind = ops[i] == SIDE_MAKE ? FILE_FIFO : FILE_REGULAR,
            .size_bytes = CHUNK, /* an older source was shorter */
        };
        slot->length = ops[i] == SIDE_PUT ? CHUNK : 0;
        side_start(bench->target, slot, ops[i]);
        local_desert(bench->target);
        write_file(bench->target_path, bench->content, bench->size_bytes, MODE);
        struct stat before = stat_of(bench->target_path), after;
        while (bench->target->inflight > 0)
            assert_true(side_reap(bench->target, &done, 1, true) >= 0);
        assert_true(slot->result == -ECANCELED ||
                    (ops[i] == SIDE_PUT && slot->result == -EOPNOTSUPP)); /* not here at all */
        assert_true(error_is_set(slot->error));
        error_clear(slot->error);
        after = stat_of(bench->target_path);
        assert_int_equal(after.st_ino, before.st_ino);
        assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        unlink(bench->target_path);
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

static void deserted_what_is_open_is_ended_and_let_go(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    copy_chunk(bench, &bench->slots[0], 0);
    local_desert(bench->target);
    must(bench, bench->target, control(bench), SIDE_ABANDON);
    side_close(bench->target);
    bench->target = bench_open_end(bench, SIDE_TARGET, ENGINE_SYNC, NULL);
    must(bench, bench->target, control(bench), SIDE_OPEN);
    copy_all(bench);
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

/* Reaped until nothing is under way any more, or so many times. */
static bool comes_back(struct bench *bench)
{
    struct slot *done;
    for (int i = 0; i < 100 && bench->target->inflight > 0; i++)
        assert_true(side_reap(bench->target, &done, 1, false) >= 0);
    return bench->target->inflight == 0;
}

/* The link is lost, and nobody has told this side. Opening has taken long, and meanwhile another
 * session has finished the target: who is asked for a sign, and gives none, has it touched no more.
 */
static void open_that_took_long_waits_for_a_sign_of_the_client(void **state)
{
    struct bench *bench = *state;
    bench->doubt_ns = 1;
    for (int lost = 0; lost < 2; lost++) {
        bench_source(bench, 2 * CHUNK);
        bench_open_ends(bench, ENGINE_SYNC);
        write_file(bench->target_path, bench->content, bench->size_bytes, MODE);
        bench->job.facts[SIDE_SOURCE] = (struct facts){.kind = FILE_REGULAR, .size_bytes = CHUNK};
        struct stat before = stat_of(bench->target_path);
        assert_int_equal(local_doubts(bench->target), 0);
        side_start(bench->target, control(bench), SIDE_OPEN);
        assert_false(comes_back(bench));
        uint32_t doubts = local_doubts(bench->target);
        assert_int_equal(doubts, 1);
        local_assure(bench->target, doubts - 1, clock_now_ns()); /* a sign from before */
        assert_false(comes_back(bench));
        assert_int_equal(stat_of(bench->target_path).st_ctim.tv_nsec, before.st_ctim.tv_nsec);
        if (lost)
            local_desert(bench->target);
        else
            local_assure(bench->target, doubts, clock_now_ns());
        assert_true(comes_back(bench));
        assert_int_equal(control(bench)->result, lost ? -ECANCELED : 0);
        error_clear(control(bench)->error);
        assert_int_equal(local_doubts(bench->target), lost ? doubts : 0);
        if (lost)
            assert_content(bench->target_path, bench->content, bench->size_bytes);
        else
            must(bench, bench->target, control(bench), SIDE_ABANDON);
        unlink(bench->target_path);
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* What an operation of a name finds there, and what it makes of it. */
static void old_target(struct bench *bench)
{
    write_file(bench->target_path, bench->content, bench->size_bytes / 2, 0600);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, bench->target_path, times, 0), 0);
    AUTO_CLOSE int fd = open(bench->target_path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fdatasync(fd) | posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static bool is_old(const struct bench *bench)
{
    struct stat st;
    return lstat(bench->target_path, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtim.tv_sec == 1 &&
           (uint64_t)st.st_size == bench->size_bytes / 2 && (st.st_mode & 07777) == 0600;
}

/* The same of all that changes what is at a name of the target without having it open before. */
static void one_comes_late(struct bench *bench, enum side_op op, bool lost)
{
    struct slot *slot = op == SIDE_PUT || op == SIDE_DRESS ? &bench->slots[0] : control(bench);
    bench_source(bench, 1000);
    bench_open_ends(bench, ENGINE_SYNC);
    old_target(bench);
    bench->job.roots[SIDE_TARGET] = (struct job_root){1, bench->folder};
    bench->job.target_path = "target";
    bench->job.facts[SIDE_SOURCE] = (struct facts){
        .kind = op == SIDE_MAKE ? FILE_FOLDER : FILE_REGULAR, .size_bytes = 1000, .mode = 0640};
    bench->job.wish.attributes[ATTRIBUTE_MODE] = ATTRIBUTE_ASKED;
    memcpy(bench->slots[0].buffer, bench->content, (size_t)bench->size_bytes);
    slot->length = op == SIDE_PUT ? (uint32_t)bench->size_bytes : 0;
    slot->conditional = false;
    slot->asked_ns = 1; /* so long ago */
    side_start(bench->target, slot, op);
    assert_false(comes_back(bench));
    const uint32_t doubts = local_doubts(bench->target);
    assert_int_equal(doubts, 1);
    local_assure(bench->target, doubts - 1, clock_now_ns());
    assert_false(comes_back(bench));
    assert_true(is_old(bench));
    if (lost)
        local_desert(bench->target);
    else
        local_assure(bench->target, doubts, clock_now_ns());
    assert_true(comes_back(bench));
    slot->asked_ns = 0;
    bool nowhere = op == SIDE_PUT && slot->result == -EOPNOTSUPP; /* on this file system */
    assert_int_equal(slot->result, lost ? -ECANCELED : nowhere ? -EOPNOTSUPP : 0);
    assert_int_equal(is_old(bench), lost || nowhere);
    if (op == SIDE_PUT && slot->result == 0)
        must(bench, bench->target, slot, SIDE_ABANDON);
    error_clear(slot->error);
    side_close(bench->source);
    side_close(bench->target);
    bench->source = bench->target = NULL;
    (void)(op == SIDE_MAKE && !lost ? rmdir(bench->target_path) : unlink(bench->target_path));
}

static void what_comes_late_to_a_name_waits_for_a_sign_of_the_client(void **state)
{
    static const enum side_op ops[] = {SIDE_PUT, SIDE_MAKE, SIDE_ADJUST, SIDE_DRESS, SIDE_REMOVE};
    struct bench *bench = *state;
    bench->doubt_ns = 3600 * NS_PER_SECOND;
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        one_comes_late(bench, ops[i], false);
        one_comes_late(bench, ops[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(what_comes_late_to_a_name_waits_for_a_sign_of_the_client),
        ON_BENCH(open_strict_memory_filesystem_is_refused_and_nothing_left),
        ON_BENCH(store_strict_cache_grows_beyond_the_budget_is_refused),
        ON_BENCH(direct_refused_at_work_goes_on_in_windows),
        ON_BENCH(direct_beside_a_reader_is_not_blamed),
        ON_BENCH(direct_before_a_reader_goes_through_windows),
        ON_BENCH(direct_that_lies_is_found_out_and_swept),
        ON_BENCH(direct_refused_many_under_way_all_are_done_again),
        ON_BENCH(buffered_refused_is_an_error),
        ON_BENCH(fetch_read_error_names_file_and_place),
        ON_BENCH(store_no_space_says_what_to_do),
        ON_BENCH(store_into_a_target_that_was_cut_is_refused),
        ON_BENCH(writeback_failed_is_never_durable),
        ON_BENCH(sync_failed_once_commit_claims_nothing),
        ON_BENCH(sync_beside_a_failing_writeback_is_never_durable),
        ON_BENCH(examine_writeback_failed_is_never_durable),
        ON_BENCH(engine_broken_is_told_by_reap),
        ON_BENCH(deserted_what_goes_by_name_touches_nothing),
        ON_BENCH(deserted_what_is_open_is_ended_and_let_go),
        ON_BENCH(open_that_took_long_waits_for_a_sign_of_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
