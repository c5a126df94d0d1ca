/* local_tests.h - a source and a target on this machine, and an engine that does what it is
 * told: what the tests of a local side share. */
#ifndef HAUL_TESTS_LOCAL_TESTS_H
#define HAUL_TESTS_LOCAL_TESTS_H

#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/side/side.h"

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

static inline int scripted_submit(struct engine *engine, struct request *request)
{
    struct scripted *scripted = (struct scripted *)engine;
    if (scripted->early_kinds & 1u << request->kind)
        request->result = scripted_result(scripted, request);
    queue_put(&scripted->queued, &request->link);
    return 0;
}

/* The range comes into the cache, and nothing around it. */
static inline void scripted_cache(const struct request *request)
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

static inline int scripted_result(struct scripted *scripted, const struct request *request)
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
static inline struct request *scripted_take(struct scripted *scripted)
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

static inline int scripted_reap(struct engine *engine, struct request **out, uint32_t max,
                                bool wait)
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

static inline int scripted_wait_fd(struct engine *engine)
{
    (void)engine;
    return -1;
}

static inline void scripted_close(struct engine *engine)
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

static inline struct scripted *scripted_open(void)
{
    struct scripted *scripted = calloc(1, sizeof(*scripted));
    assert_non_null(scripted);
    scripted->engine = (struct engine){.ops = &scripted_ops, .depth = ENGINE_DEPTH_MAX};
    scripted->refuse_direct_after = UINT32_MAX;
    return scripted;
}

struct bench {
    char folder[64], source_path[128], target_path[128];
    uint8_t *content;
    uint64_t size_bytes;
    bool blank; /* said of what is stored */
    uint8_t *memory;
    struct slot slots[SLOTS + 1];
    struct error errors[SLOTS + 1];
    uint8_t sets[SLOTS][BLOCKS_SET_BYTES];
    struct job job;
    struct owner_names names[2];
    struct side_words words[2];
    struct side *source, *target;
    uint64_t doubt_ns; /* of sides that are opened */
    struct error err;
};

static inline int bench_setup(void **state)
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
            .error = &bench->errors[i],
            .buffer = i < SLOTS ? bench->memory + (size_t)i * CHUNK : NULL,
            .capacity = i < SLOTS ? CHUNK : 0,
            .set = i < SLOTS ? bench->sets[i] : NULL,
            .job = &bench->job,
        };
    }
    bench->job = (struct job){
        .number = 7,
        .source_path = bench->source_path,
        .target_path = bench->target_path,
        .chunk_bytes = CHUNK,
        .wish = {.preallocate = true},
        .names = bench->names,
        .words = bench->words,
    };
    *state = bench;
    return 0;
}

static inline int bench_teardown(void **state)
{
    struct bench *bench = *state;
    side_close(bench->source);
    side_close(bench->target);
    unlink(bench->source_path);
    unlink(bench->target_path);
    int result = rmdir(bench->folder); /* nothing else may have been left there */
    free(bench->content);
    free(bench->memory);
    free(bench);
    return result;
}

static inline void bench_source(struct bench *bench, uint64_t size_bytes)
{
    free(bench->content);
    bench->size_bytes = size_bytes;
    bench->content = filled(size_bytes, 1);
    write_file(bench->source_path, bench->content, size_bytes, MODE);
}

static inline struct side *bench_open_end(struct bench *bench, enum side_role role,
                                          enum engine_kind kind, struct scripted *given)
{
    struct side *side = NULL;
    const struct local_config config = {
        .role = role,
        .engine = {.kind = kind, .slab = bench->memory, .slab_bytes = (size_t)SLOTS * CHUNK},
        .slots_count = SLOTS + 1,
        .window_bytes = WINDOW,
        .in_flight_bytes = (uint64_t)SLOTS * CHUNK,
        .jobs_max = 2,
        .small_max = 2,
        .doubt_ns = bench->doubt_ns,
        .given = given ? &given->engine : NULL,
    };
    assert_int_equal(local_open(&side, &config, &bench->err), 0);
    assert_int_equal(side->role, role);
    return side;
}

static inline void bench_open_ends(struct bench *bench, enum engine_kind kind)
{
    bench->source = bench_open_end(bench, SIDE_SOURCE, kind, NULL);
    bench->target = bench_open_end(bench, SIDE_TARGET, kind, NULL);
}

static inline struct slot *control(struct bench *bench)
{
    return &bench->slots[SLOTS];
}

static inline int call(struct bench *bench, struct side *side, struct slot *slot, enum side_op op)
{
    bench->err = (struct error){.class = ERROR_NONE};
    int result = side_call(side, slot, op, &bench->err);
    assert_int_equal(result < 0, error_is_set(&bench->err));
    assert_int_equal(side->inflight, 0);
    return result;
}

static inline void must(struct bench *bench, struct side *side, struct slot *slot, enum side_op op)
{
    int result = call(bench, side, slot, op);
    if (result < 0)
        print_message("operation %d: %s\n", op, bench->err.text);
    assert_int_equal(result, 0);
}

static inline void bench_open_files(struct bench *bench)
{
    must(bench, bench->source, control(bench), SIDE_OPEN);
    must(bench, bench->target, control(bench), SIDE_OPEN);
}

static inline void aim(const struct bench *bench, struct slot *slot, uint64_t offset)
{
    slot->offset = offset;
    slot->length = num_u32(min_u64(CHUNK, bench->size_bytes - offset));
    slot->conditional = slot->from_medium = false;
    slot->blank = bench->blank;
}

static inline void copy_chunk(struct bench *bench, struct slot *slot, uint64_t offset)
{
    aim(bench, slot, offset);
    memset(slot->buffer, 0xee, CHUNK);
    must(bench, bench->source, slot, SIDE_FETCH);
    must(bench, bench->target, slot, SIDE_STORE);
}

static inline void copy_all(struct bench *bench)
{
    for (uint64_t offset = 0; offset < bench->size_bytes; offset += CHUNK)
        copy_chunk(bench, &bench->slots[offset / CHUNK % SLOTS], offset);
}

static inline void commit(struct bench *bench)
{
    must(bench, bench->source, control(bench), SIDE_COMMIT);
    must(bench, bench->target, control(bench), SIDE_COMMIT);
}

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

static inline void copy_one_size(struct bench *bench, uint64_t size_bytes)
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
static inline void store_every_size_is_equal_and_leaves_no_cache(void **state)
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
                    assert_true(strlen(bench->words[role].policy) > 0);
                    if (caches[j] != POLICY_PLAIN && report->resident_after_bytes != 0)
                        fail_msg("role %d, policy %d, %llu bytes: %llu of them resident, before "
                                 "%llu",
                                 role, (int)report->policy, (unsigned long long)sizes[k],
                                 (unsigned long long)report->resident_after_bytes,
                                 (unsigned long long)report->resident_before_bytes);
                }
            }
        }
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

static inline void fetch_source_became_shorter_is_changed(void **state)
{
    struct bench *bench = *state;
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW};
    bench_open_ends(bench, ENGINE_SYNC);
    for (size_t i = 0; i < COUNT_OF(caches); i++) {
        bench->job.number++;
        bench->job.wish.cache = caches[i];
        bench_source(bench, 2 * CHUNK);
        must(bench, bench->source, control(bench), SIDE_OPEN);
        assert_int_equal(truncate(bench->source_path, CHUNK + 5000), 0);
        aim(bench, &bench->slots[0], CHUNK);
        assert_true(call(bench, bench->source, &bench->slots[0], SIDE_FETCH) < 0);
        assert_int_equal(bench->err.class, ERROR_CHANGED);
        assert_non_null(strstr(bench->err.text, bench->source_path));
        must(bench, bench->source, control(bench), SIDE_ABANDON);
    }
}

/* Twelve slots at once, each in a window of its own: more than may be open. */
static inline void store_more_windows_than_allowed_all_get_in(void **state)
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
                side_start(bench->target, slot, SIDE_STORE);
            }
            for (uint32_t turn = 0; turn < 10000 && count < SLOTS; turn++) {
                int reaped = side_reap(bench->target, done, SLOTS, true);
                assert_true(reaped >= 0);
                for (int j = 0; j < reaped; j++)
                    assert_int_equal(done[j]->result, 0);
                count += (uint32_t)reaped;
            }
            assert_int_equal(count, SLOTS);
        }
        commit(bench);
        assert_content(bench->target_path, bench->content, bench->size_bytes);
        assert_int_equal(bench->job.reports[SIDE_TARGET].resident_after_bytes, 0);
        assert_int_equal(unlink(bench->target_path), 0);
        side_close(bench->source);
        side_close(bench->target);
        bench->source = bench->target = NULL;
    }
}

static inline void examine_digests_what_the_target_has(void **state)
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
            must(bench, bench->target, slot, SIDE_EXAMINE);
            assert_int_equal(slot->count, slot->length);
            assert_true(digest_equal(&slot->digest, &expected));
            assert_true(slot->matched);
            slot->expected.bytes[0] ^= 1;
            must(bench, bench->target, slot, SIDE_EXAMINE);
            assert_false(slot->matched);
        }
        must(bench, bench->source, control(bench), SIDE_ABANDON);
        must(bench, bench->target, control(bench), SIDE_ABANDON);
    }
}

static inline void examine_after_store_finds_what_was_stored(void **state)
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
            must(bench, bench->target, slot, SIDE_EXAMINE);
            assert_true(slot->matched);
        }
        commit(bench);
        assert_int_equal(unlink(bench->target_path), 0);
    }
}

/* Zeros in whole blocks are left out of a new file: at the sides of a chunk, in its middle, all. */
static inline void store_sparse_leaves_out_zeros(void **state)
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

static inline struct scripted *bench_scripted(struct bench *bench, enum side_role role)
{
    struct scripted *scripted = scripted_open();
    bench->source =
        bench_open_end(bench, SIDE_SOURCE, ENGINE_SYNC, role == SIDE_SOURCE ? scripted : NULL);
    bench->target =
        bench_open_end(bench, SIDE_TARGET, ENGINE_SYNC, role == SIDE_TARGET ? scripted : NULL);
    return scripted;
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

#endif
