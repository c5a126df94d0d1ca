/* test_engine_rules.c - the rules of short transfers, against a scripted engine. */
#include "engine_tests.h"

/* ---- the rules, against a script ---- */

enum { SCRIPT_MAX = 2 * ENGINE_ATTEMPTS_MAX + 8 };

/* Answers with the results of the script, one a call, and keeps what it was asked. */
struct scripted {
    struct engine engine;
    const int *script;
    uint32_t script_count;
    int repeated;     /* what it answers after the script */
    int submit_error; /* what submit returns, submit_errors_count times */
    uint32_t submit_errors_count;
    uint32_t calls;
    uint64_t offsets[SCRIPT_MAX];
    uint64_t lengths[SCRIPT_MAX];
    struct request *pending;
    bool closed;
};

static int scripted_submit(struct engine *engine, struct request *request)
{
    struct scripted *scripted = (struct scripted *)engine;
    if (scripted->submit_errors_count > 0) {
        scripted->submit_errors_count--;
        return scripted->submit_error;
    }
    assert_null(scripted->pending);
    assert_true(scripted->calls < SCRIPT_MAX);
    scripted->offsets[scripted->calls] = request->offset + request->done;
    scripted->lengths[scripted->calls] = request->length - request->done;
    scripted->pending = request;
    return 0;
}

static int scripted_reap(struct engine *engine, struct request **out, uint32_t max, bool wait)
{
    (void)max;
    (void)wait;
    struct scripted *scripted = (struct scripted *)engine;
    uint32_t call = scripted->calls++;
    out[0] = scripted->pending;
    out[0]->result = call < scripted->script_count ? scripted->script[call] : scripted->repeated;
    scripted->pending = NULL;
    return 1;
}

static int scripted_wait_fd(struct engine *engine)
{
    (void)engine;
    return -1;
}

static void scripted_close(struct engine *engine)
{
    struct scripted *scripted = (struct scripted *)engine;
    assert_null(scripted->pending);
    scripted->closed = true;
}

static const struct engine_ops scripted_ops = {
    .kind = ENGINE_SIM,
    .submit = scripted_submit,
    .reap = scripted_reap,
    .wait_fd = scripted_wait_fd,
    .close = scripted_close,
};

static void scripted_init(struct scripted *scripted, const int *script, uint32_t count,
                          int repeated)
{
    memset(scripted, 0, sizeof(*scripted));
    scripted->engine.ops = &scripted_ops;
    scripted->engine.depth = 1;
    scripted->script = script;
    scripted->script_count = count;
    scripted->repeated = repeated;
}

/* One row: a request, what the system calls answer, what the caller gets. A call too many answers
 * EDOM. */
struct rule {
    const char *name;
    enum request_kind kind;
    uint32_t length, need, block;
    int script[6];
    uint32_t script_count;
    int result;
    uint32_t done;
    uint32_t last_offset; /* of the last call, relative to the request */
};

static const struct rule rules[] = {
    {"whole", REQUEST_READ, 8192, 8192, 4096, {8192}, 1, 0, 8192, 0},
    {"more than needed", REQUEST_READ, 8192, 5000, 4096, {8192}, 1, 0, 5000, 0},
    {"the tail, unaligned", REQUEST_READ, 8192, 5000, 4096, {5000}, 1, 0, 5000, 0},
    {"enough, less than all", REQUEST_WRITE, 8192, 5000, 4096, {6000}, 1, 0, 5000, 0},
    {"goes on at the block", REQUEST_READ, 16384, 16384, 4096, {5000, 12288}, 2, 0, 16384, 4096},
    {"goes on twice", REQUEST_WRITE, 16384, 16384, 4096, {4097, 8191, 8192}, 3, 0, 16384, 8192},
    {"end at a block", REQUEST_READ, 16384, 16384, 4096, {8192, 0}, 2, 0, 8192, 8192},
    {"end inside a block", REQUEST_READ, 16384, 16384, 4096, {5000, 904}, 2, 0, 5000, 4096},
    {"end inside the first block", REQUEST_READ, 8192, 8192, 4096, {100}, 1, 0, 100, 0},
    {"end at once", REQUEST_READ, 8192, 8192, 4096, {0}, 1, 0, 0, 0},
    {"bytes count when buffered", REQUEST_READ, 1000, 1000, 1, {1, 998, 1}, 3, 0, 1000, 999},
    {"end when buffered", REQUEST_READ, 1000, 1000, 1, {10, 0}, 2, 0, 10, 10},
    {"write without progress", REQUEST_WRITE, 8192, 8192, 4096, {0}, 1, -EIO, 0, 0},
    {"write of half a block", REQUEST_WRITE, 8192, 8192, 4096, {4096, 512}, 2, -EIO, 4608, 4096},
    {"an error", REQUEST_READ, 8192, 8192, 4096, {-EIO}, 1, -EIO, 0, 0},
    {"an error later", REQUEST_WRITE, 8192, 8192, 4096, {4096, -ENOSPC}, 2, -ENOSPC, 4096, 4096},
    {"interrupted", REQUEST_READ, 4096, 4096, 4096, {-EINTR, -EAGAIN, 4096}, 3, 0, 4096, 0},
    {"interrupted half way", REQUEST_WRITE, 8192, 8192, 1, {99, -EINTR, 8093}, 3, 0, 8192, 99},
    {"nothing needed", REQUEST_READ, 4096, 0, 4096, {0}, 1, 0, 0, 0},
    {"sync interrupted", REQUEST_DATASYNC, 0, 0, 0, {-EINTR, 0}, 2, 0, 0, 0},
    {"sync failed", REQUEST_DATASYNC, 0, 0, 0, {-EIO}, 1, -EIO, 0, 0},
    {"range", REQUEST_WRITEBACK_WAIT, 8192, 0, 0, {-EAGAIN, 0}, 2, 0, 0, 0},
};

static void engine_reap_every_rule_as_designed(void **state)
{
    (void)state;
    static uint8_t buffer[16384];
    static struct scripted scripted;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        const struct rule *rule = &rules[i];
        scripted_init(&scripted, rule->script, rule->script_count, -EDOM);
        struct request request = {.kind = rule->kind,
                                  .offset = 1 * MIB,
                                  .length = rule->length,
                                  .need = rule->need,
                                  .block = rule->block,
                                  .buffer = buffer,
                                  .done = 77, /* left from another use */
                                  .attempts = 5000};
        run(&scripted.engine, &request);
        uint32_t last = rule->script_count - 1;
        if (request.result != rule->result || request.done != rule->done ||
            scripted.calls != rule->script_count ||
            scripted.offsets[last] != 1 * MIB + rule->last_offset ||
            scripted.lengths[last] != rule->length - rule->last_offset)
            fail_msg("rule \"%s\": result %d, done %u, %u calls, the last at %ju", rule->name,
                     request.result, request.done, scripted.calls,
                     (uintmax_t)scripted.offsets[last]);
    }
}

/* With wait or without: a storm of interruptions ends in the error, and does not last. */
static void engine_reap_interrupted_for_ever_gives_up(void **state)
{
    (void)state;
    static const int storms[] = {-EINTR, -EAGAIN};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    for (size_t i = 0; i < COUNT_OF(storms); i++) {
        scripted_init(&scripted, NULL, 0, storms[i]);
        struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK);
        run(&scripted.engine, &request);
        assert_int_equal(request.result, storms[i]);
        assert_int_equal(scripted.calls, ENGINE_ATTEMPTS_MAX + 1);
    }
}

/* Attempts are counted without progress: a byte in between starts them again. */
static void engine_reap_progress_between_storms_counts_anew(void **state)
{
    (void)state;
    static int script[SCRIPT_MAX];
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    for (uint32_t i = 0; i < SCRIPT_MAX; i++)
        script[i] = -EINTR;
    script[ENGINE_ATTEMPTS_MAX] = 1;
    script[2 * ENGINE_ATTEMPTS_MAX + 1] = BLOCK - 1;
    scripted_init(&scripted, script, SCRIPT_MAX, -EDOM);
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK);
    run(&scripted.engine, &request);
    assert_int_equal(request.result, 0);
    assert_int_equal(request.done, BLOCK);
    assert_int_equal(scripted.calls, 2 * ENGINE_ATTEMPTS_MAX + 2);
}

static void engine_reap_without_wait_going_on_0(void **state)
{
    (void)state;
    static const int script[] = {-EINTR, 10, BLOCK - 10};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    scripted_init(&scripted, script, 3, -EDOM);
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK), *out[1];
    assert_int_equal(engine_submit(&scripted.engine, &request), 0);
    assert_int_equal(engine_reap(&scripted.engine, out, 1, false), 0);
    assert_int_equal(engine_reap(&scripted.engine, out, 1, false), 0);
    assert_int_equal(scripted.engine.inflight, 1);
    assert_int_equal(engine_reap(&scripted.engine, out, 1, false), 1);
    assert_int_equal(request.done, BLOCK);
}

static void engine_submit_refused_stays_the_callers(void **state)
{
    (void)state;
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK);
    scripted_init(&scripted, NULL, 0, BLOCK);
    scripted.submit_error = -EFAULT;
    scripted.submit_errors_count = 1;
    assert_int_equal(engine_submit(&scripted.engine, &request), -EFAULT);
    assert_int_equal(scripted.engine.inflight, 0);
    scripted.submit_error = -EAGAIN;
    scripted.submit_errors_count = UINT32_MAX;
    assert_int_equal(engine_submit(&scripted.engine, &request), -EAGAIN);
    scripted.submit_errors_count = 3; /* passes */
    run(&scripted.engine, &request);
    assert_int_equal(request.result, 0);
}

static void engine_reap_going_on_refused_is_the_result(void **state)
{
    (void)state;
    static const int script[] = {10};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    scripted_init(&scripted, script, 1, -EDOM);
    struct request request = transfer(REQUEST_READ, -1, 0, buffer, BLOCK), *out[1];
    assert_int_equal(engine_submit(&scripted.engine, &request), 0);
    scripted.submit_error = -ENOMEM;
    scripted.submit_errors_count = 1;
    assert_int_equal(engine_reap(&scripted.engine, out, 1, true), 1);
    assert_int_equal(request.result, -ENOMEM);
    assert_int_equal(scripted.engine.inflight, 0);
}

static void engine_close_finishes_what_is_short(void **state)
{
    (void)state;
    static const int script[] = {-EINTR, 10, BLOCK - 10};
    static uint8_t buffer[BLOCK];
    static struct scripted scripted;
    scripted_init(&scripted, script, 3, -EDOM);
    struct request request = transfer(REQUEST_WRITE, -1, 0, buffer, BLOCK);
    assert_int_equal(engine_submit(&scripted.engine, &request), 0);
    engine_close(&scripted.engine);
    assert_true(scripted.closed);
    assert_int_equal(scripted.calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_reap_every_rule_as_designed),
        cmocka_unit_test(engine_reap_interrupted_for_ever_gives_up),
        cmocka_unit_test(engine_reap_progress_between_storms_counts_anew),
        cmocka_unit_test(engine_reap_without_wait_going_on_0),
        cmocka_unit_test(engine_submit_refused_stays_the_callers),
        cmocka_unit_test(engine_reap_going_on_refused_is_the_result),
        cmocka_unit_test(engine_close_finishes_what_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
