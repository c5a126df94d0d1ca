/* test_end_file.c - a local end on real files, through end.h only: fetch, examine, store, erase,
 * sync, commit, abandon; and with an engine of the test's own that refuses, fails or breaks. */
#include "scratch.h"

#include "haul/cleanup.h"
#include "haul/end.h"
#include "haul/num.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    CHUNK = 64 * 1024,
    SLOTS = 12, /* with buffers */
    WINDOW = 2 * 1024 * 1024,
    MODE = 0640,
};

/* ---- an engine that does what it is told ---- */

struct scripted {
    struct engine engine; /* first */
    struct queue queued;  /* requests */
    uint32_t
        refuse_direct_after; /* EINVAL for direct transfers beyond so many; UINT32_MAX: never */
    uint32_t direct_seen;
    uint32_t fail_kinds; /* bits of enum request_kind */
    int fail_errno;
    uint32_t fail_after, fail_seen;
    uint32_t late_kinds;  /* these wait as long as there are others */
    bool lies;            /* direct I/O leaves its range in the cache */
    bool neighbour;       /* somebody reads each whole chunk in that moment, too, but no less */
    uint32_t early_kinds; /* these are done before submit has returned, as by a quick thread */
    bool broken;
    uint32_t seen[REQUEST_CALL + 1];
};

static int scripted_result(struct scripted *scripted, const struct request *request);

static int scripted_submit(struct engine *engine, struct request *request)
{
    struct scripted *scripted = (struct scripted *)engine;
    if (scripted->early_kinds & 1u << request->kind)
        request->result = scripted_result(scripted, request);
    queue_put(&scripted->queued, &request->link);
    return 0;
}

/* The range comes into the cache, and nothing around it. */
static void scripted_cache(const struct request *request)
{
    static uint8_t data[CHUNK];
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", request->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    assert_true(pread(fd, data, (size_t)request->length, num_off(request->offset)) >= 0);
    close(fd);
}

static int scripted_result(struct scripted *scripted, const struct request *request)
{
    bool transfers = request->kind == REQUEST_READ || request->kind == REQUEST_WRITE;
    scripted->seen[request->kind]++;
    if (transfers && (fcntl(request->fd, F_GETFL) & O_DIRECT) &&
        ++scripted->direct_seen > scripted->refuse_direct_after)
        return -EINVAL;
    if (scripted->fail_kinds & 1u << request->kind && ++scripted->fail_seen > scripted->fail_after)
        return -scripted->fail_errno;
    int result = (int)engine_execute(request);
    bool direct = transfers && (fcntl(request->fd, F_GETFL) & O_DIRECT);
    if (direct && (scripted->lies || (scripted->neighbour && request->length == CHUNK)))
        scripted_cache(request);
    return result;
}

/* The first that is not late, else the first. */
static struct request *scripted_take(struct scripted *scripted)
{
    for (struct queue_link *item = scripted->queued.first; item; item = item->next) {
        struct request *request = (struct request *)item;
        if (scripted->late_kinds & 1u << request->kind)
            continue;
        queue_remove(&scripted->queued, item);
        return request;
    }
    return queue_take(&scripted->queued);
}

static int scripted_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    struct scripted *scripted = (struct scripted *)engine;
    (void)max;
    (void)wait;
    if (scripted->broken)
        return -EBADF;
    struct request *request = scripted_take(scripted);
    if (!request)
        return 0;
    if (!(scripted->early_kinds & 1u << request->kind))
        request->result = scripted_result(scripted, request);
    out[0] = request;
    return 1;
}

static int scripted_wait_fd(struct engine *engine)
{
    (void)engine;
    return -1;
}

static void scripted_close(struct engine *engine)
{
    free(engine);
}

static const struct engine_ops scripted_ops = {
    .kind = ENGINE_SIM,
    .submit = scripted_submit,
    .reap = scripted_reap,
    .wait_fd = scripted_wait_fd,
    .close = scripted_close,
};

static struct scripted *scripted_open(void)
{
    struct scripted *scripted = calloc(1, sizeof(*scripted));
    assert_non_null(scripted);
    scripted->engine = (struct engine){.ops = &scripted_ops, .depth = ENGINE_DEPTH_MAX};
    scripted->refuse_direct_after = UINT32_MAX;
    return scripted;
}

/* ---- two ends, a source file and a target ---- */

struct bench {
    char folder[64], source_path[128], target_path[128];
    uint8_t *content;
    uint64_t size_bytes;
    bool blank; /* said of what is stored */
    uint8_t *memory;
    struct slot slots[SLOTS + 1];
    struct job job;
    struct end *source, *target;
    struct error err;
};

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench || posix_memalign((void **)&bench->memory, WINDOW, (size_t)SLOTS * CHUNK) != 0)
        return -1;
    memset(bench->memory, 0, (size_t)SLOTS * CHUNK);
    strcpy(bench->folder, "/var/tmp/haul_end_XXXXXX");
    if (!mkdtemp(bench->folder))
        return -1;
    snprintf(bench->source_path, sizeof(bench->source_path), "%s/source", bench->folder);
    snprintf(bench->target_path, sizeof(bench->target_path), "%s/target", bench->folder);
    for (uint32_t i = 0; i <= SLOTS; i++) {
        bench->slots[i] = (struct slot){
            .index = i,
            .buffer = i < SLOTS ? bench->memory + (size_t)i * CHUNK : NULL,
            .capacity = i < SLOTS ? CHUNK : 0,
            .job = &bench->job,
        };
    }
    bench->job = (struct job){
        .number = 7,
        .source_path = bench->source_path,
        .target_path = bench->target_path,
        .chunk_bytes = CHUNK,
        .wish = {.preallocate = true},
    };
    *state = bench;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;
    end_close(bench->source);
    end_close(bench->target);
    unlink(bench->source_path);
    unlink(bench->target_path);
    int result = rmdir(bench->folder); /* nothing else may have been left there */
    free(bench->content);
    free(bench->memory);
    free(bench);
    return result;
}

static void bench_source(struct bench *bench, uint64_t size_bytes)
{
    free(bench->content);
    bench->size_bytes = size_bytes;
    bench->content = filled(size_bytes, 1);
    write_file(bench->source_path, bench->content, size_bytes, MODE);
}

static struct end *bench_open_end(struct bench *bench, enum end_role role, enum engine_kind kind,
                                  struct scripted *given)
{
    struct end *end = NULL;
    const struct end_file_config config = {
        .role = role,
        .engine = {.kind = kind, .slab = bench->memory, .slab_bytes = (size_t)SLOTS * CHUNK},
        .slots_count = SLOTS + 1,
        .window_bytes = WINDOW,
        .in_flight_bytes = (uint64_t)SLOTS * CHUNK,
        .jobs_max = 2,
        .given = given ? &given->engine : NULL,
    };
    assert_int_equal(end_file_open(&end, &config, &bench->err), 0);
    assert_int_equal(end->role, role);
    return end;
}

static void bench_open_ends(struct bench *bench, enum engine_kind kind)
{
    bench->source = bench_open_end(bench, END_SOURCE, kind, NULL);
    bench->target = bench_open_end(bench, END_TARGET, kind, NULL);
}

static struct slot *control(struct bench *bench)
{
    return &bench->slots[SLOTS];
}

static int call(struct bench *bench, struct end *end, struct slot *slot, enum end_op op)
{
    bench->err = (struct error){.class = ERROR_NONE};
    int result = end_call(end, slot, op, &bench->err);
    assert_int_equal(result < 0, error_is_set(&bench->err));
    assert_int_equal(end->inflight, 0);
    return result;
}

static void must(struct bench *bench, struct end *end, struct slot *slot, enum end_op op)
{
    int result = call(bench, end, slot, op);
    if (result < 0)
        print_message("operation %d: %s\n", op, bench->err.text);
    assert_int_equal(result, 0);
}

static void bench_open_files(struct bench *bench)
{
    must(bench, bench->source, control(bench), END_OPEN);
    must(bench, bench->target, control(bench), END_OPEN);
}

static void aim(const struct bench *bench, struct slot *slot, uint64_t offset)
{
    slot->offset = offset;
    slot->length = num_u32(min_u64(CHUNK, bench->size_bytes - offset));
    slot->conditional = slot->from_medium = false;
    slot->blank = bench->blank;
}

static void copy_chunk(struct bench *bench, struct slot *slot, uint64_t offset)
{
    aim(bench, slot, offset);
    memset(slot->buffer, 0xee, CHUNK);
    must(bench, bench->source, slot, END_FETCH);
    must(bench, bench->target, slot, END_STORE);
}

static void copy_all(struct bench *bench)
{
    for (uint64_t offset = 0; offset < bench->size_bytes; offset += CHUNK)
        copy_chunk(bench, &bench->slots[offset / CHUNK % SLOTS], offset);
}

static void commit(struct bench *bench)
{
    must(bench, bench->source, control(bench), END_COMMIT);
    must(bench, bench->target, control(bench), END_COMMIT);
}

/* ---- describe, open ---- */

static void describe_missing_is_no_error(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_DESCRIBE);
    must(bench, bench->target, control(bench), END_DESCRIBE);
    assert_int_equal(bench->job.facts[END_SOURCE].kind, FILE_NONE);
    assert_int_equal(bench->job.facts[END_TARGET].kind, FILE_NONE);
    assert_int_equal(access(bench->target_path, F_OK), -1); /* changes nothing */
}

static void describe_file_gives_its_facts(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 12345);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_DESCRIBE);
    assert_int_equal(bench->job.facts[END_SOURCE].kind, FILE_REGULAR);
    assert_int_equal(bench->job.facts[END_SOURCE].size_bytes, 12345);
    assert_int_equal(bench->job.facts[END_SOURCE].mtime_seconds, MTIME);
}

static void open_source_missing_vanished(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    assert_int_equal(call(bench, bench->source, control(bench), END_OPEN), -ENOENT);
    assert_int_equal(bench->err.class, ERROR_VANISHED);
    assert_non_null(strstr(bench->err.text, bench->source_path));
}

static void open_target_new_is_fresh_and_has_its_final_size(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK + 5);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    assert_true(bench->job.target_fresh);
    assert_true(bench->job.target_readable);
    assert_int_equal(bench->job.facts[END_TARGET].size_bytes, 0);
    struct stat st = stat_of(bench->target_path);
    assert_int_equal(st.st_size, 3 * CHUNK + 5);
    assert_true((uint64_t)st.st_blocks * 512 >= 3 * CHUNK); /* preallocated */
    assert_int_equal(st.st_mode & 07777, 0600);             /* nobody else sees half a file */
}

static void open_target_old_tells_its_facts_from_before(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    write_file(bench->target_path, bench->content, 1000, 0644);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    assert_false(bench->job.target_fresh);
    assert_int_equal(bench->job.facts[END_TARGET].size_bytes, 1000);
    assert_int_equal(stat_of(bench->target_path).st_size, CHUNK);
}

/* The teardown finds nothing left. */
static void open_target_without_room_leaves_neither_file_nor_journal(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_OPEN);
    bench->job.facts[END_SOURCE].size_bytes = (uint64_t)1 << 54; /* of no disk */
    bench->job.wish.session = 1;
    bench->job.wish.journal = bench->job.wish.journal_early = true;
    assert_true(call(bench, bench->target, control(bench), END_OPEN) < 0);
    assert_int_equal(access(bench->target_path, F_OK), -1);
}

static void open_target_held_by_another_end_is_busy(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    struct end *second = bench_open_end(bench, END_TARGET, ENGINE_SYNC, NULL);
    assert_int_equal(call(bench, second, control(bench), END_OPEN), -EBUSY);
    assert_int_equal(bench->err.class, ERROR_BUSY);
    end_close(second);
    copy_all(bench); /* the first goes on unharmed */
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

/* ---- chunks: fetch and store ---- */

static const uint64_t sizes[] = {
    0,
    1,
    511,
    4095,
    4096,
    4097,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    3 * CHUNK,
    3 * CHUNK + 4096,
    5 * CHUNK - 4095,
    7 * CHUNK + 3,
    WINDOW + CHUNK + 77,
};

static void copy_one_size(struct bench *bench, uint64_t size_bytes)
{
    bench_source(bench, size_bytes);
    bench_open_files(bench);
    for (uint64_t offset = 0; offset < size_bytes; offset += CHUNK) {
        struct slot *slot = &bench->slots[offset / CHUNK % SLOTS];
        copy_chunk(bench, slot, offset);
        struct digest expected = digest_of(bench->content + offset, slot->length);
        assert_true(digest_equal(&slot->digest, &expected));
        assert_memory_equal(slot->buffer, bench->content + offset, slot->length);
        /* Never longer than the source, at no moment. */
        assert_int_equal(stat_of(bench->target_path).st_size, size_bytes);
    }
    struct stat before = stat_of(bench->target_path);
    assert_int_equal(before.st_mode & 07777, 0600); /* metadata: never before the data is durable */
    assert_true(before.st_mtim.tv_sec != MTIME);
    commit(bench);
    assert_content(bench->target_path, bench->content, size_bytes);
    struct stat st = stat_of(bench->target_path);
    assert_int_equal(st.st_mode & 07777, MODE);
    assert_int_equal(st.st_mtim.tv_sec, MTIME);
    assert_int_equal(st.st_mtim.tv_nsec, MTIME_NS);
    assert_int_equal(unlink(bench->target_path), 0);
}

/* Every policy that the disk has, every engine, every kind of tail. */
static void store_every_size_is_equal_and_leaves_no_cache(void **state)
{
    struct bench *bench = *state;
    static const enum engine_kind engines[] = {ENGINE_SYNC, ENGINE_THREADS, ENGINE_URING};
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW, POLICY_PLAIN};
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        bench_open_ends(bench, engines[i]);
        for (size_t j = 0; j < COUNT_OF(caches); j++) {
            for (size_t k = 0; k < COUNT_OF(sizes); k++) {
                bench->job.number++;
                bench->job.wish.cache = caches[j];
                copy_one_size(bench, sizes[k]);
                for (int role = 0; role < 2; role++) {
                    const struct side_report *report = &bench->job.reports[role];
                    assert_int_equal(report->engine, engines[i]);
                    assert_int_equal(report->policy,
                                     caches[j] == POLICY_AUTO ? POLICY_DIRECT : caches[j]);
                    assert_true(strlen(report->policy_why) > 0);
                    if (caches[j] != POLICY_PLAIN)
                        assert_int_equal(report->resident_after_bytes, 0);
                }
            }
        }
        end_close(bench->source);
        end_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

static void fetch_conditional_says_whether_it_is_the_same(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK + 100);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_OPEN);
    struct slot *slot = &bench->slots[0];
    aim(bench, slot, CHUNK); /* the tail, too */
    slot->conditional = true;
    slot->expected = digest_of(bench->content + CHUNK, 100);
    must(bench, bench->source, slot, END_FETCH);
    assert_true(slot->matched);
    slot->expected = digest_of(bench->content, 100);
    must(bench, bench->source, slot, END_FETCH);
    assert_false(slot->matched);
    assert_memory_equal(slot->buffer, bench->content + CHUNK, 100);
    slot->conditional = false;
    slot->expected = digest_of(bench->content + CHUNK, 100);
    must(bench, bench->source, slot, END_FETCH);
    assert_false(slot->matched); /* nobody asked */
}

static void fetch_source_became_shorter_is_changed(void **state)
{
    struct bench *bench = *state;
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW};
    bench_open_ends(bench, ENGINE_SYNC);
    for (size_t i = 0; i < COUNT_OF(caches); i++) {
        bench->job.number++;
        bench->job.wish.cache = caches[i];
        bench_source(bench, 2 * CHUNK);
        must(bench, bench->source, control(bench), END_OPEN);
        assert_int_equal(truncate(bench->source_path, CHUNK + 5000), 0);
        aim(bench, &bench->slots[0], CHUNK);
        assert_true(call(bench, bench->source, &bench->slots[0], END_FETCH) < 0);
        assert_int_equal(bench->err.class, ERROR_CHANGED);
        assert_non_null(strstr(bench->err.text, bench->source_path));
        must(bench, bench->source, control(bench), END_ABANDON);
    }
}

static void commit_source_changed_while_copied_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    for (int how = 0; how < 3; how++) {
        bench->job.number++;
        bench_source(bench, CHUNK);
        must(bench, bench->source, control(bench), END_OPEN);
        const struct timespec times[2] = {{MTIME, 0}, {MTIME, MTIME_NS + 1}};
        if (how == 0)
            assert_int_equal(truncate(bench->source_path, CHUNK + 1), 0);
        else if (how == 1)
            assert_int_equal(utimensat(AT_FDCWD, bench->source_path, times, 0), 0);
        int result = call(bench, bench->source, control(bench), END_COMMIT);
        assert_int_equal(result < 0, how < 2);
        if (how < 2)
            assert_int_equal(bench->err.class, ERROR_CHANGED);
    }
}

/* Twelve slots at once, each in a window of its own: more than may be open. */
static void store_more_windows_than_allowed_all_get_in(void **state)
{
    struct bench *bench = *state;
    static const enum engine_kind engines[] = {ENGINE_SYNC, ENGINE_THREADS, ENGINE_URING};
    bench_source(bench, (uint64_t)SLOTS * WINDOW);
    for (size_t i = 0; i < COUNT_OF(engines); i++) {
        bench->job.number++;
        bench->job.wish.cache = POLICY_WINDOW;
        bench_open_ends(bench, engines[i]);
        bench_open_files(bench);
        for (uint32_t round = 0; round < WINDOW / CHUNK; round++) {
            struct slot *done[SLOTS];
            uint32_t count = 0;
            for (uint32_t j = 0; j < SLOTS; j++) {
                struct slot *slot = &bench->slots[j];
                aim(bench, slot, (uint64_t)j * WINDOW + (uint64_t)round * CHUNK);
                memcpy(slot->buffer, bench->content + slot->offset, CHUNK);
                slot->digest = digest_of(slot->buffer, CHUNK);
                end_start(bench->target, slot, END_STORE);
            }
            for (uint32_t turn = 0; turn < 10000 && count < SLOTS; turn++) {
                int reaped = end_reap(bench->target, done, SLOTS, true);
                assert_true(reaped >= 0);
                for (int j = 0; j < reaped; j++)
                    assert_int_equal(done[j]->result, 0);
                count += (uint32_t)reaped;
            }
            assert_int_equal(count, SLOTS);
        }
        commit(bench);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        assert_int_equal(bench->job.reports[END_TARGET].resident_after_bytes, 0);
        assert_int_equal(unlink(bench->target_path), 0);
        end_close(bench->source);
        end_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* ---- examine ---- */

static void examine_digests_what_the_target_has(void **state)
{
    struct bench *bench = *state;
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW, POLICY_PLAIN};
    bench_source(bench, 2 * CHUNK + 77);
    write_file(bench->target_path, bench->content, bench->size_bytes, 0600);
    bench_open_ends(bench, ENGINE_SYNC);
    for (size_t i = 0; i < 2 * COUNT_OF(caches); i++) {
        bench->job.number++;
        bench->job.wish.cache = caches[i / 2];
        bench_open_files(bench);
        for (uint64_t offset = 0; offset < bench->size_bytes; offset += CHUNK) {
            struct slot *slot = &bench->slots[1];
            aim(bench, slot, offset);
            struct digest expected = digest_of(bench->content + offset, slot->length);
            slot->from_medium = i % 2;
            slot->conditional = true;
            slot->expected = expected;
            must(bench, bench->target, slot, END_EXAMINE);
            assert_int_equal(slot->count, slot->length);
            assert_true(digest_equal(&slot->digest, &expected));
            assert_true(slot->matched);
            slot->expected.bytes[0] ^= 1;
            must(bench, bench->target, slot, END_EXAMINE);
            assert_false(slot->matched);
        }
        must(bench, bench->source, control(bench), END_ABANDON);
        must(bench, bench->target, control(bench), END_ABANDON);
    }
}

static void examine_after_store_finds_what_was_stored(void **state)
{
    struct bench *bench = *state;
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW};
    bench_source(bench, 4 * CHUNK + 4097);
    bench_open_ends(bench, ENGINE_SYNC);
    for (size_t i = 0; i < COUNT_OF(caches); i++) {
        bench->job.number++;
        bench->job.wish.cache = caches[i];
        bench_open_files(bench);
        copy_all(bench);
        for (uint64_t offset = 0; offset < bench->size_bytes; offset += CHUNK) {
            struct slot *slot = &bench->slots[2];
            aim(bench, slot, offset);
            slot->from_medium = slot->conditional = true;
            slot->expected = digest_of(bench->content + offset, slot->length);
            must(bench, bench->target, slot, END_EXAMINE);
            assert_true(slot->matched);
        }
        commit(bench);
        assert_int_equal(unlink(bench->target_path), 0);
    }
}

/* ---- erase, holes, sparse targets ---- */

static void erase_range_reads_as_zeros_and_no_more(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 4 * CHUNK + 100);
    write_file(bench->target_path, bench->content, bench->size_bytes, 0600);
    bench_open_ends(bench, ENGINE_SYNC);
    bench->job.wish.preallocate = false;
    bench_open_files(bench);
    struct stat before = stat_of(bench->target_path);
    static const uint64_t erased[] = {CHUNK, 4 * CHUNK}; /* one in the middle, and the tail */
    for (size_t i = 0; i < COUNT_OF(erased); i++) {
        aim(bench, &bench->slots[0], erased[i]);
        must(bench, bench->target, &bench->slots[0], END_ERASE);
        memset(bench->content + erased[i], 0, bench->slots[0].length);
    }
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
    assert_true(stat_of(bench->target_path).st_blocks <= before.st_blocks - CHUNK / 512);
}

static void map_finds_data_between_holes(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 0);
    AUTO_CLOSE int fd = open(bench->source_path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 10 * CHUNK), 0);
    assert_int_equal(pwrite(fd, "data", 4, 4 * CHUNK), 4);
    assert_int_equal(fsync(fd), 0);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_OPEN);
    control(bench)->offset = 0;
    must(bench, bench->source, control(bench), END_MAP);
    assert_int_equal(control(bench)->extent_start, 4 * CHUNK);
    assert_true(control(bench)->extent_end > 4 * CHUNK);
    assert_true(control(bench)->extent_end <= 5 * CHUNK);
    control(bench)->offset = 5 * CHUNK;
    must(bench, bench->source, control(bench), END_MAP);
    assert_int_equal(control(bench)->extent_start, 10 * CHUNK);
    assert_int_equal(control(bench)->extent_end, 10 * CHUNK);
}

/* Zeros in whole blocks are left out of a new file: at the ends of a chunk, in its middle, all. */
static void store_sparse_leaves_out_zeros(void **state)
{
    struct bench *bench = *state;
    static const struct {
        uint32_t at, length;
    } zeros[] = {{0, 8192},          {CHUNK + 8192, 16384}, {2 * CHUNK - 4096, 4096},
                 {2 * CHUNK, CHUNK}, {3 * CHUNK + 1, 8192}, {4 * CHUNK, 4096}};
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW};
    bench_open_ends(bench, ENGINE_SYNC);
    for (size_t i = 0; i < COUNT_OF(caches); i++) {
        bench->job.number++;
        bench->job.wish.cache = caches[i];
        bench->blank = true;
        bench->job.wish.preallocate = false;
        bench_source(bench, 4 * CHUNK + 4096 + 10);
        for (size_t j = 0; j < COUNT_OF(zeros); j++)
            memset(bench->content + zeros[j].at, 0, zeros[j].length);
        write_file(bench->source_path, bench->content, bench->size_bytes, MODE);
        bench_open_files(bench);
        copy_all(bench);
        commit(bench);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        uint64_t stored = (uint64_t)stat_of(bench->target_path).st_blocks * 512;
        assert_true(stored <= bench->size_bytes + 4096 - (8192 + 16384 + 4096 + CHUNK + 4096));
        assert_int_equal(unlink(bench->target_path), 0);
    }
}

/* Zeros are data, unless this very range is said to be blank. */
static void store_into_a_range_that_is_not_blank_writes_zeros(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    write_file(bench->target_path, bench->content, bench->size_bytes, 0600);
    memset(bench->content, 0, CHUNK);
    write_file(bench->source_path, bench->content, bench->size_bytes, MODE);
    bench_open_ends(bench, ENGINE_SYNC);
    bench->job.wish.preallocate = false;
    bench_open_files(bench);
    assert_int_equal(bench->job.old_bytes, bench->size_bytes);
    copy_all(bench);
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

/* ---- sync, commit, abandon ---- */

static void sync_then_more_then_commit(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK + 1);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    must(bench, bench->target, control(bench), END_SYNC); /* nothing stored yet */
    copy_chunk(bench, &bench->slots[0], 0);
    must(bench, bench->target, control(bench), END_SYNC);
    copy_all(bench);
    commit(bench);
    assert_content(bench->target_path, bench->content, bench->size_bytes);
}

static void abandon_leaves_what_was_stored_and_lets_go(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    bench_open_files(bench);
    copy_chunk(bench, &bench->slots[0], CHUNK);
    memset(bench->job.reports, 0, sizeof(bench->job.reports));
    must(bench, bench->source, control(bench), END_ABANDON);
    must(bench, bench->target, control(bench), END_ABANDON);
    assert_int_equal(bench->job.reports[END_SOURCE].policy, POLICY_DIRECT);
    assert_int_equal(bench->job.reports[END_TARGET].policy, POLICY_DIRECT);
    memset(bench->content, 0, CHUNK);
    memset(bench->content + 2 * CHUNK, 0, CHUNK);
    assert_content(bench->target_path, bench->content, 3 * CHUNK);
    struct stat st = stat_of(bench->target_path);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_mtim.tv_sec != MTIME); /* it must not look finished */
    bench->job.number++;
    must(bench, bench->target, control(bench), END_OPEN); /* the lock is gone */
    assert_false(bench->job.target_fresh);
}

static void abandon_before_open_is_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_ABANDON);
    must(bench, bench->target, control(bench), END_ABANDON);
}

static void close_with_files_open_abandons_them(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_THREADS);
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 0);
    end_start(bench->source, &bench->slots[0], END_FETCH); /* under way */
    end_close(bench->source);
    end_close(bench->target);
    bench->source = bench->target = NULL;
    struct end *again = bench_open_end(bench, END_TARGET, ENGINE_SYNC, NULL);
    must(bench, again, control(bench), END_OPEN);
    end_close(again);
}

static void open_two_files_at_once_are_apart(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    bench_open_ends(bench, ENGINE_SYNC);
    must(bench, bench->source, control(bench), END_OPEN);
    struct job other = bench->job;
    char other_path[160];
    snprintf(other_path, sizeof(other_path), "%s/other", bench->folder);
    uint8_t *content = malloc(CHUNK);
    assert_non_null(content);
    fill(content, CHUNK, 2);
    write_file(other_path, content, CHUNK, MODE);
    other.number++;
    other.source_path = other_path;
    bench->slots[1].job = &other;
    must(bench, bench->source, &bench->slots[1], END_OPEN);
    for (uint32_t i = 0; i < 2; i++) {
        aim(bench, &bench->slots[i], 0);
        must(bench, bench->source, &bench->slots[i], END_FETCH);
    }
    assert_memory_equal(bench->slots[0].buffer, bench->content, CHUNK);
    assert_memory_equal(bench->slots[1].buffer, content, CHUNK);
    must(bench, bench->source, &bench->slots[1], END_COMMIT);
    must(bench, bench->source, &bench->slots[0], END_FETCH); /* still open */
    free(content);
    unlink(other_path);
}

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
    must(bench, bench->source, control(bench), END_OPEN);
    assert_true(call(bench, bench->target, control(bench), END_OPEN) < 0);
    assert_int_equal(bench->err.class, ERROR_CACHE);
    assert_int_equal(access(path, F_OK), -1);
    /* Within the budget it is fine. */
    bench->job.wish.cache_max_bytes = 3 * WINDOW;
    must(bench, bench->target, control(bench), END_OPEN);
    must(bench, bench->target, control(bench), END_ABANDON);
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
    must(bench, bench->target, control(bench), END_DESCRIBE);
    bench->job.facts[END_SOURCE].size_bytes = bench->size_bytes;
    int result = call(bench, bench->target, control(bench), END_OPEN);
    for (uint64_t offset = 0; result == 0 && offset < bench->size_bytes; offset += CHUNK) {
        struct slot *slot = &bench->slots[0];
        aim(bench, slot, offset);
        memcpy(slot->buffer, bench->content + offset, slot->length);
        slot->digest = digest_of(slot->buffer, slot->length);
        result = call(bench, bench->target, slot, END_STORE);
    }
    assert_true(result < 0);
    assert_int_equal(bench->err.class, ERROR_CACHE);
    must(bench, bench->target, control(bench), END_ABANDON);
    assert_int_equal(bench->job.reports[END_TARGET].resident_after_bytes, 0);
}

/* ---- an engine that refuses, fails, breaks ---- */

static struct scripted *bench_scripted(struct bench *bench, enum end_role role)
{
    struct scripted *scripted = scripted_open();
    bench->source =
        bench_open_end(bench, END_SOURCE, ENGINE_SYNC, role == END_SOURCE ? scripted : NULL);
    bench->target =
        bench_open_end(bench, END_TARGET, ENGINE_SYNC, role == END_TARGET ? scripted : NULL);
    return scripted;
}

/* O_DIRECT was accepted at open and is refused at work, from the first or from a later transfer. */
static void direct_refused_at_work_goes_on_in_windows(void **state)
{
    struct bench *bench = *state;
    for (uint32_t after = 0; after < 4; after += 3) {
        for (int role = 0; role < 2; role++) {
            bench_source(bench, 6 * CHUNK + 4099);
            struct scripted *scripted = bench_scripted(bench, (enum end_role)role);
            scripted->refuse_direct_after = after;
            bench->job.number++;
            bench_open_files(bench);
            copy_all(bench);
            commit(bench);
            assert_content(bench->target_path, bench->content, bench->size_bytes);
            const struct side_report *report = &bench->job.reports[role];
            assert_int_equal(report->policy, POLICY_WINDOW);
            assert_non_null(strstr(report->policy_why, "refused at work"));
            assert_int_equal(report->engine, ENGINE_SIM);
            assert_int_equal(report->resident_after_bytes, 0);
            assert_int_equal(bench->job.reports[1 - role].policy, POLICY_DIRECT);
            assert_int_equal(unlink(bench->target_path), 0);
            end_close(bench->source);
            end_close(bench->target);
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
        struct scripted *scripted = bench_scripted(bench, (enum end_role)role);
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
        end_close(bench->source);
        end_close(bench->target);
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
    struct scripted *scripted = bench_scripted(bench, END_TARGET);
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
    const struct side_report *report = &bench->job.reports[END_TARGET];
    assert_int_equal(report->policy, POLICY_DIRECT);
    assert_true(report->resident_after_bytes <= report->resident_before_bytes);
}

/* The same, but the probes stay, too: then it is a lie, and what it left goes. */
static void direct_that_lies_is_found_out_and_swept(void **state)
{
    struct bench *bench = *state;
    for (int role = 0; role < 2; role++) {
        bench_source(bench, 40 * CHUNK);
        struct scripted *scripted = bench_scripted(bench, (enum end_role)role);
        scripted->lies = true;
        bench->job.number++;
        bench_open_files(bench);
        copy_all(bench);
        commit(bench);
        const struct side_report *report = &bench->job.reports[role];
        assert_int_equal(report->policy, POLICY_WINDOW);
        assert_non_null(strstr(report->policy_why, "left"));
        assert_int_equal(report->resident_after_bytes, 0);
        assert_true(report->resident_peak_bytes > 0);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        assert_int_equal(unlink(bench->target_path), 0);
        end_close(bench->source);
        end_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* Twelve direct transfers are under way when the first is refused: each is done again. */
static void direct_refused_many_under_way_all_are_done_again(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, (uint64_t)SLOTS * CHUNK);
    struct scripted *scripted = bench_scripted(bench, END_SOURCE);
    scripted->refuse_direct_after = 2;
    must(bench, bench->source, control(bench), END_OPEN);
    for (uint32_t i = 0; i < SLOTS; i++) {
        aim(bench, &bench->slots[i], (uint64_t)i * CHUNK);
        end_start(bench->source, &bench->slots[i], END_FETCH);
    }
    struct slot *done[SLOTS];
    for (uint32_t turn = 0; turn < 1000 && bench->source->inflight > 0; turn++)
        assert_true(end_reap(bench->source, done, SLOTS, true) >= 0);
    assert_int_equal(bench->source->inflight, 0);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(bench->slots[i].result, 0);
        assert_memory_equal(bench->slots[i].buffer, bench->content + (uint64_t)i * CHUNK, CHUNK);
    }
    must(bench, bench->source, control(bench), END_COMMIT);
    assert_int_equal(bench->job.reports[END_SOURCE].policy, POLICY_WINDOW);
}

/* A buffered transfer that is EINVAL is an error, not a reason to try for ever. */
static void buffered_refused_is_an_error(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    struct scripted *scripted = bench_scripted(bench, END_TARGET);
    scripted->fail_kinds = 1u << REQUEST_WRITE;
    scripted->fail_errno = EINVAL;
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 0);
    must(bench, bench->source, &bench->slots[0], END_FETCH);
    assert_int_equal(call(bench, bench->target, &bench->slots[0], END_STORE), -EINVAL);
    must(bench, bench->target, control(bench), END_ABANDON);
}

static void fetch_read_error_names_file_and_place(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 3 * CHUNK);
    struct scripted *scripted = bench_scripted(bench, END_SOURCE);
    scripted->fail_kinds = 1u << REQUEST_READ;
    scripted->fail_errno = EIO;
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 2 * CHUNK);
    assert_int_equal(call(bench, bench->source, &bench->slots[0], END_FETCH), -EIO);
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
    struct scripted *scripted = bench_scripted(bench, END_TARGET);
    scripted->fail_kinds = 1u << REQUEST_WRITE;
    scripted->fail_errno = ENOSPC;
    bench_open_files(bench);
    aim(bench, &bench->slots[0], 0);
    must(bench, bench->source, &bench->slots[0], END_FETCH);
    assert_int_equal(call(bench, bench->target, &bench->slots[0], END_STORE), -ENOSPC);
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
        must(bench, bench->source, &bench->slots[i], END_FETCH);
    }
    must(bench, bench->target, &bench->slots[0], END_STORE);
    assert_int_equal(truncate(bench->target_path, CHUNK / 2), 0);
    assert_int_equal(call(bench, bench->target, &bench->slots[1], END_STORE), -ESTALE);
    assert_non_null(strstr(bench->err.text, "its size was changed"));
    bench->err.class = ERROR_NONE;
    assert_int_equal(truncate(bench->target_path, 2 * CHUNK), 0);
    assert_int_equal(call(bench, bench->target, control(bench), END_SYNC), -ESTALE);
}

/* A write-back that failed lost data: neither sync nor commit may call it durable. */
static void writeback_failed_is_never_durable(void **state)
{
    struct bench *bench = *state;
    static const enum request_kind kinds[] = {REQUEST_WRITEBACK_WAIT, REQUEST_DATASYNC};
    for (size_t i = 0; i < 4 * COUNT_OF(kinds); i++) {
        enum request_kind kind = kinds[i / 2 % 2];
        bench_source(bench, 4 * WINDOW);
        struct scripted *scripted = bench_scripted(bench, END_TARGET);
        scripted->fail_kinds = 1u << kind;
        scripted->early_kinds = i / 4 ? 1u << kind : 0;
        scripted->fail_errno = EIO;
        bench->job.number++;
        bench->job.wish.cache = POLICY_WINDOW;
        bench_open_files(bench);
        copy_all(bench);
        assert_true(kind == REQUEST_DATASYNC || scripted->fail_seen > 0);
        enum end_op op = i % 2 ? END_SYNC : END_COMMIT;
        assert_int_equal(call(bench, bench->target, control(bench), op), -EIO);
        assert_non_null(strstr(bench->err.text, bench->target_path));
        struct stat st = stat_of(bench->target_path);
        assert_true(st.st_mtim.tv_sec != MTIME);
        (void)call(bench, bench->target, control(bench), END_ABANDON);
        assert_int_equal(unlink(bench->target_path), 0);
        end_close(bench->source);
        end_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

/* Linux tells of a failed write-back once and may have dropped the pages (fsync(2), NOTES): that a
 * later sync succeeds proves nothing about what was stored before. */
static void sync_failed_once_commit_claims_nothing(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    struct scripted *scripted = bench_scripted(bench, END_TARGET);
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    copy_all(bench);
    scripted->fail_kinds = 1u << REQUEST_DATASYNC;
    scripted->fail_errno = EIO;
    assert_int_equal(call(bench, bench->target, control(bench), END_SYNC), -EIO);
    scripted->fail_kinds = 0;
    assert_int_equal(call(bench, bench->target, control(bench), END_COMMIT), -EIO);
    assert_true(stat_of(bench->target_path).st_mtim.tv_sec != MTIME);
}

/* The error of a page that is lost goes to whoever waits for it first; when that is a window, the
 * data sync beside it succeeds, and may be back before the window. */
static void sync_beside_a_failing_writeback_is_never_durable(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 4 * WINDOW);
    struct scripted *scripted = bench_scripted(bench, END_TARGET);
    scripted->late_kinds = scripted->fail_kinds = 1u << REQUEST_WRITEBACK_WAIT;
    scripted->fail_errno = EIO;
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    for (uint64_t offset = 0; offset < 3 * WINDOW; offset += WINDOW)
        copy_chunk(bench, &bench->slots[0], offset);
    assert_int_equal(call(bench, bench->target, control(bench), END_SYNC), -EIO);
    assert_int_equal(scripted->fail_seen, 1);
}

/* Reading back writes back first: the error that this meets is the one report of it. */
static void examine_writeback_failed_is_never_durable(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, 2 * CHUNK);
    struct scripted *scripted = bench_scripted(bench, END_TARGET);
    bench->job.wish.cache = POLICY_WINDOW;
    bench_open_files(bench);
    copy_all(bench);
    aim(bench, &bench->slots[0], 0);
    bench->slots[0].from_medium = true;
    scripted->fail_kinds = 1u << REQUEST_WRITEBACK_WAIT | 1u << REQUEST_READ; /* a direct one */
    scripted->fail_errno = EIO;
    assert_int_equal(call(bench, bench->target, &bench->slots[0], END_EXAMINE), -EIO);
    scripted->fail_kinds = 0;
    assert_int_equal(call(bench, bench->target, control(bench), END_SYNC), -EIO);
    assert_int_equal(call(bench, bench->target, control(bench), END_COMMIT), -EIO);
    assert_true(stat_of(bench->target_path).st_mtim.tv_sec != MTIME);
}

static void engine_broken_is_told_by_reap(void **state)
{
    struct bench *bench = *state;
    bench_source(bench, CHUNK);
    struct scripted *scripted = bench_scripted(bench, END_SOURCE);
    struct slot *done;
    must(bench, bench->source, control(bench), END_OPEN);
    scripted->broken = true;
    aim(bench, &bench->slots[0], 0);
    end_start(bench->source, &bench->slots[0], END_FETCH);
    assert_int_equal(end_reap(bench->source, &done, 1, true), -EBADF);
    assert_true(error_is_set(&bench->source->error));
    scripted->broken = false; /* so that close can drain */
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(describe_missing_is_no_error),
        ON_BENCH(describe_file_gives_its_facts),
        ON_BENCH(open_source_missing_vanished),
        ON_BENCH(open_target_new_is_fresh_and_has_its_final_size),
        ON_BENCH(open_target_old_tells_its_facts_from_before),
        ON_BENCH(open_target_without_room_leaves_neither_file_nor_journal),
        ON_BENCH(open_target_held_by_another_end_is_busy),
        ON_BENCH(store_every_size_is_equal_and_leaves_no_cache),
        ON_BENCH(fetch_conditional_says_whether_it_is_the_same),
        ON_BENCH(fetch_source_became_shorter_is_changed),
        ON_BENCH(commit_source_changed_while_copied_is_refused),
        ON_BENCH(store_more_windows_than_allowed_all_get_in),
        ON_BENCH(examine_digests_what_the_target_has),
        ON_BENCH(examine_after_store_finds_what_was_stored),
        ON_BENCH(erase_range_reads_as_zeros_and_no_more),
        ON_BENCH(map_finds_data_between_holes),
        ON_BENCH(store_sparse_leaves_out_zeros),
        ON_BENCH(store_into_a_range_that_is_not_blank_writes_zeros),
        ON_BENCH(sync_then_more_then_commit),
        ON_BENCH(abandon_leaves_what_was_stored_and_lets_go),
        ON_BENCH(abandon_before_open_is_nothing),
        ON_BENCH(close_with_files_open_abandons_them),
        ON_BENCH(open_two_files_at_once_are_apart),
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
