/* test_engine_open.c - which engine is opened, and what is left when the kernel refuses one. */
#include "engine_tests.h"

#include "haul/base/proc.h"

/* A real short write: the first 16 KiB fit, the rest is tried and refused. */
static int write_to_a_small_filesystem(const struct variant *variant)
{
    uint8_t *data = calloc(1, SLOT_BYTES);
    if (!child_own_mounts() || mount("none", "/var/tmp", "tmpfs", 0, "size=16k") < 0)
        return 2;
    AUTO_CLOSE int fd = open("/var/tmp/small", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct engine *engine;
    struct engine_config config = {.kind = variant->kind, .depth = DEPTH};
    if (!data || fd < 0 || engine_open(&engine, &config, NULL) < 0)
        return 3;
    struct request request = transfer(REQUEST_WRITE, fd, 0, data, SLOT_BYTES), *out[1];
    int count = engine_submit(engine, &request);
    while (count == 0)
        count = engine_reap(engine, out, 1, true);
    struct stat facts;
    bool right =
        count == 1 && request.result == -ENOSPC && fstat(fd, &facts) == 0 && facts.st_size == 16384;
    engine_close(engine);
    free(data);
    return right ? 0 : 4;
}

static void engine_write_filesystem_fills_enospc(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: mounting a tmpfs needs root\n");
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        if (WITH_URING || variants[i].kind != ENGINE_URING)
            IN_CHILD(write_to_a_small_filesystem(&variants[i]));
    }
}

/* ---- refusals ---- */

struct wish {
    enum engine_kind asked;
    enum engine_kind expected; /* AUTO: uring, or threads and a reason */
    const char *why;
    uint32_t system_call; /* refused by a filter with `errnum`; 0: none */
    uint32_t errnum;
};

/* Writes and reads back through whatever opens; 0 when that works and it is what was expected. */
static int use_engine(const struct wish *wish, int fd)
{
    struct slab slab;
    struct engine *engine;
    static struct error err;
    if (slab_open(&slab, DEPTH, SLOT_BYTES, &err) < 0)
        return 2;
    fill(slab_buffer(&slab, 0), SLOT_BYTES, 5);
    struct engine_config config = {wish->asked, DEPTH, slab.base, slab.length_bytes};
    if (engine_open(&engine, &config, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    bool right = engine->ops->kind == wish->expected && strcmp(engine->why, wish->why) == 0;
    if (wish->expected == ENGINE_AUTO)
        right = (engine->ops->kind == ENGINE_URING) == (engine->why[0] == '\0');
    if (!right)
        fprintf(stderr, "%s: %s\n", engine_name(engine->ops->kind), engine->why);
    bool works = round_trip(engine, &slab, fd);
    engine_close(engine);
    slab_close(&slab);
    return !right ? 4 : !works ? 5 : 0;
}

static int refuse(uint32_t system_call, uint32_t errnum)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT_OF(filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int open_refused(const struct wish *wish)
{
    AUTO_CLOSE int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 || refuse(wish->system_call, wish->errnum) < 0)
        return 10;
    return use_engine(wish, fd);
}

static void engine_open_auto_refused_threads_and_why(void **state)
{
    (void)state;
    static struct wish wishes[] = {
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Operation not permitted",
         SYS_io_uring_setup, EPERM},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Function not implemented",
         SYS_io_uring_setup, ENOSYS},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Cannot allocate memory",
         SYS_io_uring_setup, ENOMEM},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Invalid argument", SYS_io_uring_setup,
         EINVAL},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Operation not permitted",
         SYS_io_uring_enter, EPERM},
        {ENGINE_AUTO, ENGINE_THREADS, "io_uring refused: Function not implemented",
         SYS_io_uring_register, EPERM},
    };
    for (size_t i = 0; i < COUNT_OF(wishes); i++) {
        if (!WITH_URING)
            wishes[i].why = "io_uring is not built in";
        IN_CHILD(open_refused(&wishes[i]));
    }
}

static int open_uring_refused(void)
{
    struct engine *engine = NULL;
    static struct error err;
    struct engine_config config = {.kind = ENGINE_URING, .depth = DEPTH};
    if (refuse(SYS_io_uring_setup, EPERM) < 0)
        return 10;
    int status = engine_open(&engine, &config, &err);
    int expected = WITH_URING ? -EPERM : -ENOSYS;
    const char *text =
        WITH_URING ? "io_uring refused: Operation not permitted" : "io_uring is not built in";
    return status == expected && !engine && err.errnum == -expected && strcmp(err.text, text) == 0
               ? 0
               : 1;
}

static void engine_open_uring_refused_error(void **state)
{
    (void)state;
    IN_CHILD(open_uring_refused());
}

/* Becomes a user whom nobody else is, by the number of this process: threads and locked memory are
 * counted by user, and other tests may be nobody at the same time. Those of a ring that was closed
 * count for a moment yet. */
static bool be_alone(void)
{
    enum { FIRST = 1 << 30 };
    uid_t user = (uid_t)(FIRST + getpid());
    return setgid(user) == 0 && setuid(user) == 0;
}

struct limited {
    struct wish wish;
    bool processes; /* RLIMIT_NPROC, else RLIMIT_MEMLOCK */
    rlim_t limit;
};

static int open_limited(const struct limited *limited)
{
    struct rlimit limit = {limited->limit, limited->limit};
    AUTO_CLOSE int fd = open("/var/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    int status =
        limited->processes ? setrlimit(RLIMIT_NPROC, &limit) : setrlimit(RLIMIT_MEMLOCK, &limit);
    if (fd < 0 || status < 0 || !be_alone())
        return 10;
    return use_engine(&limited->wish, fd);
}

static struct wish auto_wish(void)
{
    struct wish wish = {ENGINE_AUTO, ENGINE_URING, "", 0, 0};
    if (!WITH_URING) {
        wish.expected = ENGINE_THREADS;
        wish.why = "io_uring is not built in";
    }
    return wish;
}

static void engine_open_unprivileged_without_memlock_works(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    /* Enough for the ring, not for the buffers. */
    struct limited limited = {auto_wish(), false, 64 * 1024};
    IN_CHILD(open_limited(&limited));
    /* Not enough for the ring either: 6.18 refuses it. */
    limited.limit = 0;
    limited.wish.expected = ENGINE_AUTO;
    IN_CHILD(open_limited(&limited));
    limited.wish = (struct wish){ENGINE_THREADS, ENGINE_THREADS, "", 0, 0};
    IN_CHILD(open_limited(&limited));
}

/* Linux then has no worker thread for what io_uring cannot do at once, and cancels it. */
static void engine_uring_no_worker_threads_does_it_itself(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    if (!WITH_URING)
        return; /* threads do need one */
    struct limited limited = {auto_wish(), true, 0};
    IN_CHILD(open_limited(&limited));
}

static int open_threads_without_processes(void)
{
    struct rlimit none = {0, 0};
    struct engine *engine = NULL;
    static struct error err;
    struct engine_config config = {.kind = ENGINE_THREADS, .depth = DEPTH};
    if (setrlimit(RLIMIT_NPROC, &none) < 0 || !be_alone())
        return 10;
    int status = engine_open(&engine, &config, &err);
    return status == -EAGAIN && !engine && err.errnum == EAGAIN ? 0 : 1;
}

static void engine_open_threads_without_a_thread_error(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    IN_CHILD(open_threads_without_processes());
}

static uint64_t threads_now(void)
{
    uint64_t threads_count = 0;
    return proc_figure("/proc/self/status", "Threads:", &threads_count) == 0 ? threads_count : 0;
}

/* Those of an engine that is closed may count for a moment yet. */
static bool threads_are_gone(uint64_t before)
{
    for (int i = 0; i < 20000 && threads_now() != before; i++)
        poll(NULL, 0, 1);
    return threads_now() == before;
}

static bool reap_until(struct engine *engine, uint32_t inflight)
{
    struct request *out[DEPTH];
    while (engine->inflight > inflight) {
        struct pollfd ready = {.fd = engine_wait_fd(engine), .events = POLLIN};
        if (poll(&ready, 1, 300000) != 1 || engine_reap(engine, out, DEPTH, false) < 0)
            return false;
    }
    return true;
}

/* Two threads, and a third that cannot be started. One has a call that does not return, and tries
 * to start the third one for what is behind that; the other one is done with it meanwhile, and does
 * all that comes later. */
static int calls_with_two_threads(const struct variant *variant)
{
    enum { BOTH = 2, SHORT = BOTH, LONG, BEHIND };
    struct engine_config config = {.kind = variant->kind, .depth = DEPTH};
    struct errand errands[DEPTH] = {{.runs = 0}};
    struct request requests[DEPTH];
    struct engine *engine;
    int short_fds[2], long_fds[2];
    CHECK(pipe(short_fds) == 0 && pipe(long_fds) == 0);
    CHECK(engine_open(&engine, &config, NULL) == 0);
    for (uint32_t i = 0; i < DEPTH; i++) {
        errands[i].pipe_fd = i == SHORT ? short_fds[0] : i == LONG ? long_fds[0] : -1;
        requests[i] = call_of(&errands[i]);
        CHECK(engine_submit(engine, &requests[i]) == 0);
        CHECK(i != BOTH - 1 || reap_until(engine, 0));
        CHECK(i != BEHIND || write(short_fds[1], "x", 1) == 1);
        CHECK(i < BEHIND || reap_until(engine, 1));
    }
    CHECK(errands[LONG].runs == 0 && write(long_fds[1], "x", 1) == 1 && reap_until(engine, 0));
    for (uint32_t i = 0; i < DEPTH; i++)
        CHECK(errands[i].runs == 1);
    engine_close(engine);
    for (int i = 0; i < 2; i++)
        CHECK(close(short_fds[i]) == 0 && close(long_fds[i]) == 0);
    return 0;
}

/* One: what is behind a call waits for it, and is done then. */
static int calls_with_one_thread(const struct variant *variant)
{
    struct engine_config config = {.kind = variant->kind, .depth = DEPTH};
    struct errand errands[DEPTH];
    struct request requests[DEPTH], *out[DEPTH];
    struct engine *engine;
    int pipe_fds[2];
    CHECK(pipe(pipe_fds) == 0 && engine_open(&engine, &config, NULL) == 0);
    for (uint32_t i = 0; i < DEPTH; i++) {
        errands[i] = (struct errand){.pipe_fd = i == 0 ? pipe_fds[0] : -1};
        requests[i] =
            (struct request){.kind = REQUEST_CALL, .call = run_errand, .argument = &errands[i]};
        CHECK(engine_submit(engine, &requests[i]) == 0);
    }
    CHECK(write(pipe_fds[1], "x", 1) == 1);
    while (engine->inflight > DEPTH / 2)
        CHECK(engine_reap(engine, out, 1, true) >= 0);
    engine_close(engine);
    for (uint32_t i = 0; i < DEPTH; i++)
        CHECK(errands[i].runs == 1);
    return close(pipe_fds[0]) == 0 && close(pipe_fds[1]) == 0 ? 0 : __LINE__;
}

enum { ROUNDS_OF_TWO = 200 };

static int calls_among_few_threads(const struct variant *variant)
{
    const uint64_t before = threads_now();
    const struct rlimit two_more = {before + 2, before + 2}, one_more = {before + 1, before + 1};
    CHECK(be_alone());
    CHECK(setrlimit(RLIMIT_NPROC, &two_more) == 0);
    for (int round = 0; round < ROUNDS_OF_TWO; round++) {
        int failed = calls_with_two_threads(variant);
        CHECK(threads_are_gone(before) || failed);
        if (failed)
            return failed;
    }
    return setrlimit(RLIMIT_NPROC, &one_more) == 0 ? calls_with_one_thread(variant) : __LINE__;
}

static void engine_calls_no_more_threads_all_run(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__ /* it starts one of its own at some time */
    skip();
#endif
    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    for (size_t i = 1; i < COUNT_OF(variants); i++) {
        if (WITH_URING || variants[i].kind != ENGINE_URING)
            IN_CHILD(calls_among_few_threads(&variants[i]));
    }
}

static void engine_open_sim_refused(void **state)
{
    (void)state;
    struct engine *engine;
    struct error err = {0};
    struct engine_config config = {.kind = ENGINE_SIM, .depth = 1};
    assert_int_equal(engine_open(&engine, &config, &err), -ENOTSUP);
    assert_true(error_is_set(&err));
}

static void engine_name_every_kind_its_word(void **state)
{
    (void)state;
    assert_string_equal(engine_name(ENGINE_AUTO), "auto");
    assert_string_equal(engine_name(ENGINE_URING), "uring");
    assert_string_equal(engine_name(ENGINE_THREADS), "threads");
    assert_string_equal(engine_name(ENGINE_SYNC), "sync");
    assert_string_equal(engine_name(ENGINE_SIM), "sim");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_open_auto_refused_threads_and_why),
        cmocka_unit_test(engine_open_uring_refused_error),
        cmocka_unit_test(engine_open_unprivileged_without_memlock_works),
        cmocka_unit_test(engine_uring_no_worker_threads_does_it_itself),
        cmocka_unit_test(engine_open_threads_without_a_thread_error),
        cmocka_unit_test(engine_calls_no_more_threads_all_run),
        cmocka_unit_test(engine_write_filesystem_fills_enospc),
        cmocka_unit_test(engine_open_sim_refused),
        cmocka_unit_test(engine_open_close_leaves_no_descriptor),
        cmocka_unit_test(engine_name_every_kind_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
