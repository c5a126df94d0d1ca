/* test_pipe.c - what has an order and no places: read, written, and copied from and to. */
#include "run_one.h"
#include "scratch.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/copy/copy.h"
#include "haul/copy/plan.h"
#include "haul/disk/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNK = 64 * 1024, LARGE_BYTES = 66 * 1024 * 1024 + 5 };

/* ---- a plan of unknown size ---- */

struct planned {
    struct plan *plan;
    struct progress progress;
    struct control control;
};

static void plan_begin(struct planned *planned)
{
    const struct plan_config config = {.size_bytes = PLAN_SIZE_UNKNOWN, .chunk_bytes = CHUNK};
    struct error err = {0};
    *planned = (struct planned){0};
    assert_int_equal(
        plan_open(&planned->plan, &config, &planned->progress, &planned->control, &err), 0);
}

static struct plan_item plan_take(struct planned *planned)
{
    struct plan_item item;
    assert_int_equal(plan_next(planned->plan, &item), PLAN_ITEM);
    assert_int_equal(item.length, CHUNK);
    return item;
}

static int plan_tell(struct planned *planned, struct plan_item *item, uint32_t bytes)
{
    struct error err = {.class = ERROR_NONE};
    int result = plan_arrived(planned->plan, item, bytes, &err);
    assert_int_equal(result < 0, error_is_set(&err));
    if (result == 0 && bytes > 0) {
        const struct digest digest = digest_of(item, sizeof(item->chunk));
        plan_copied(planned->plan, item, &digest, bytes);
    }
    return result;
}

static void plan_learns_its_size_in_any_order(void **state)
{
    (void)state;
    struct planned planned;
    struct plan_item items[6], none;
    struct digest digest;
    plan_begin(&planned);
    for (int i = 0; i < 6; i++)
        items[i] = plan_take(&planned);
    assert_int_equal(plan_tell(&planned, &items[1], CHUNK), 0);
    assert_int_equal(plan_tell(&planned, &items[5], 0), 0);
    assert_int_equal(plan_tell(&planned, &items[3], 100), 0);
    assert_int_equal(plan_tell(&planned, &items[4], 0), 0);
    assert_int_equal(plan_tell(&planned, &items[0], CHUNK), 0);
    assert_int_equal(plan_next(planned.plan, &none), PLAN_LATER);
    assert_false(plan_complete(planned.plan));
    assert_int_equal(plan_tell(&planned, &items[2], CHUNK), 0);
    assert_int_equal(plan_next(planned.plan, &none), PLAN_END);
    assert_true(plan_complete(planned.plan));
    assert_int_equal(plan_size(planned.plan), 3 * CHUNK + 100);
    assert_int_equal(planned.progress.bytes_copied, 3 * CHUNK + 100);
    assert_true(plan_digest(planned.plan, &digest));
    plan_close(planned.plan);
}

static void plan_of_nothing_is_complete(void **state)
{
    (void)state;
    struct planned planned;
    struct plan_item items[2], none;
    plan_begin(&planned);
    items[0] = plan_take(&planned);
    items[1] = plan_take(&planned);
    assert_int_equal(plan_tell(&planned, &items[1], 0), 0);
    assert_int_equal(plan_tell(&planned, &items[0], 0), 0);
    assert_int_equal(plan_next(planned.plan, &none), PLAN_END);
    assert_true(plan_complete(planned.plan));
    assert_int_equal(plan_size(planned.plan), 0);
    plan_close(planned.plan);
}

/* What a peer may say, and cannot be. */
static void plan_has_one_end(void **state)
{
    (void)state;
    static const uint32_t lies[][2] = {
        {0, CHUNK}, /* the end, and then something behind it */
        {100, CHUNK},
        {100, 50},
        {0, 1},
    };
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        for (int turned = 0; turned < 2; turned++) {
            struct planned planned;
            struct plan_item items[2];
            plan_begin(&planned);
            items[0] = plan_take(&planned);
            items[1] = plan_take(&planned);
            assert_int_equal(plan_tell(&planned, &items[turned], lies[i][turned]), 0);
            assert_int_equal(plan_tell(&planned, &items[1 - turned], lies[i][1 - turned]), -EPROTO);
            plan_close(planned.plan);
        }
    }
}

/* ---- one end ---- */

static void fifo_without_a_writer_is_not_at_its_end(void **state)
{
    (void)state;
    char path[] = "/var/tmp/haul_fifo_XXXXXX";
    struct file file;
    struct error err = {0};
    uint8_t buffer[10];
    uint32_t moved = 0;
    close(mkstemp(path));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pipe_open_source(&file, path, 0, &err), 0);
    assert_int_equal(file.facts.kind, FILE_FIFO);
    assert_int_equal(pipe_read(&file, buffer, 10, &moved), -EAGAIN);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(pipe_read(&file, buffer, 10, &moved), -EAGAIN);
    assert_int_equal(moved, 3);
    assert_int_equal(write(fd, "defghijk", 8), 8);
    assert_int_equal(pipe_read(&file, buffer, 10, &moved), 1);
    assert_memory_equal(buffer, "abcdefghij", 10);
    close(fd);
    moved = 0;
    assert_int_equal(pipe_read(&file, buffer, 10, &moved), 0);
    assert_int_equal(moved, 1);
    file_close(&file);
    unlink(path);
}

/* A socket cannot be opened anew; what else has it goes on blocking. */
static void shared_descriptor_is_left_as_it_is(void **state)
{
    (void)state;
    int fds[2];
    char path[32];
    struct file file;
    struct error err = {0};
    uint32_t moved = 0;
    uint8_t buffer[8];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    snprintf(path, sizeof(path), "/dev/fd/%d", fds[0]);
    assert_int_equal(pipe_open_source(&file, path, 0, &err), 0);
    assert_int_equal(file.facts.kind, FILE_SOCKET);
    assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(write(fds[1], "12345678", 8), 8);
    assert_int_equal(pipe_read(&file, buffer, 8, &moved), 1);
    file_close(&file);
    assert_int_equal(pipe_open_target(&file, path, false, &err), 0);
    uint8_t *large = filled(1000000, 3);
    moved = 0; /* nobody reads: no more than fits, and it comes back */
    assert_int_equal(pipe_write(&file, large, 1000000, &moved), -EAGAIN);
    assert_true(moved > 0 && moved < 1000000);
    file_close(&file);
    free(large);
    close(fds[0]);
    close(fds[1]);
}

static void devices_are_told_apart(void **state)
{
    (void)state;
    struct file file;
    struct error err = {0};
    assert_int_equal(pipe_open_source(&file, "/dev/zero", 0, &err), -EINVAL);
    assert_int_equal(err.class, ERROR_USAGE);
    assert_int_equal(pipe_open_source(&file, "/dev/zero", 5, &err), 0);
    assert_true(pipe_is_endless(&file));
    assert_int_equal(file.facts.size_bytes, 5);
    file_close(&file);
    assert_int_equal(pipe_open_source(&file, "/dev/null", 0, &err), 0);
    assert_false(pipe_is_endless(&file));
    file_close(&file);
    assert_int_equal(pipe_open_target(&file, "/dev/null", false, &err), 0);
    file_close(&file);
    assert_int_equal(pipe_descriptor("/dev/stdin"), 0);
    assert_int_equal(pipe_descriptor("/dev/stdout"), 1);
    assert_int_equal(pipe_descriptor("/dev/fd/17"), 17);
    assert_int_equal(pipe_descriptor("/proc/self/fd/4"), 4);
    assert_int_equal(pipe_descriptor("/dev/fd/"), -1);
    assert_int_equal(pipe_descriptor("/dev/null"), -1);
}

/* ---- copies ---- */

struct place {
    char folder[64], path[128], end_path[32];
    int fds[2]; /* of the pipe; the other end is the thread's */
    uint8_t *content, *got;
    uint32_t size_bytes;
    uint32_t got_bytes;
    struct copy_wish wish;
    struct control control;
    struct receipt receipt;
    struct error err;
    pthread_t thread;
};

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    signal(SIGPIPE, SIG_IGN);
    if (!place)
        return -1;
    strcpy(place->folder, "/var/tmp/haul_pipe_XXXXXX");
    if (!mkdtemp(place->folder))
        return -1;
    snprintf(place->path, sizeof(place->path), "%s/file", place->folder);
    place->wish = (struct copy_wish){.chunk_bytes = CHUNK, .memory_bytes = 8 * CHUNK};
    *state = place;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    char journal[160];
    snprintf(journal, sizeof(journal), "%s/.file.haul", place->folder);
    unlink(journal);
    unlink(place->path);
    int result = rmdir(place->folder);
    free(place->content);
    free(place->got);
    free(place);
    return result;
}

static bool journal_lies(const struct place *place)
{
    char journal[160];
    snprintf(journal, sizeof(journal), "%s/.file.haul", place->folder);
    return access(journal, F_OK) == 0;
}

/* end: the one that haul has. */
static void make_pipe(struct place *place, int end, uint32_t size_bytes)
{
    assert_int_equal(pipe2(place->fds, O_CLOEXEC), 0);
    snprintf(place->end_path, sizeof(place->end_path), "/dev/fd/%d", place->fds[end]);
    free(place->content);
    place->size_bytes = size_bytes;
    place->content = filled(size_bytes + 1, 7);
}

static void *produce(void *argument)
{
    struct place *place = argument;
    uint32_t sent = 0, step = 1;
    while (sent < place->size_bytes) {
        uint32_t length = (uint32_t)min_u64(step, place->size_bytes - sent);
        ssize_t count = write(place->fds[1], place->content + sent, length);
        assert_true(count > 0);
        sent += (uint32_t)count;
        step = step < 3000000 ? step * 3 : step;
    }
    close(place->fds[1]);
    return NULL;
}

static void *consume(void *argument)
{
    struct place *place = argument;
    ssize_t count;
    free(place->got);
    place->got = malloc(place->size_bytes + 1);
    place->got_bytes = 0;
    while ((count = read(place->fds[0], place->got + place->got_bytes,
                         place->size_bytes + 1 - place->got_bytes)) > 0)
        place->got_bytes += (uint32_t)count;
    return NULL;
}

static int run(struct place *place, const char *source, const char *target)
{
    struct copy *copy = NULL;
    place->err = (struct error){.class = ERROR_NONE};
    assert_int_equal(copy_open(&copy, &place->wish, NULL, NULL, &place->control, &place->err), 0);
    int result = run_one(copy, source, target, &place->receipt, &place->err);
    copy_close(copy);
    assert_int_equal(result < 0, error_is_set(&place->err));
    return result;
}

static int run_from(struct place *place, uint32_t size_bytes)
{
    make_pipe(place, 0, size_bytes);
    assert_int_equal(pthread_create(&place->thread, NULL, produce, place), 0);
    int result = run(place, place->end_path, place->path);
    close(place->fds[0]);
    pthread_join(place->thread, NULL);
    return result;
}

static void assert_arrived(const struct place *place, uint32_t size_bytes)
{
    assert_content(place->path, place->content, size_bytes);
    assert_int_equal(place->receipt.outcome.kind, OUTCOME_DURABLE);
    assert_int_equal(place->receipt.bytes_total, size_bytes);
    assert_int_equal(place->receipt.bytes_copied, size_bytes);
    assert_int_equal(place->receipt.bytes_durable, size_bytes);
    assert_true(place->receipt.digest_known);
    assert_false(journal_lies(place));
}

static void pipe_of_every_size_becomes_a_file(void **state)
{
    static const uint32_t sizes[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK, 21 * CHUNK + 9};
    static const enum engine_kind engines[] = {ENGINE_AUTO, ENGINE_THREADS, ENGINE_SYNC};
    static const enum policy_kind caches[] = {POLICY_AUTO, POLICY_WINDOW};
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(engines) * COUNT_OF(caches); i++) {
        uint32_t size_bytes = sizes[i % COUNT_OF(sizes)];
        place->wish.engine = engines[i / COUNT_OF(sizes) % COUNT_OF(engines)];
        place->wish.file.cache = caches[i / COUNT_OF(sizes) / COUNT_OF(engines)];
        place->wish.verify = i % 2 == 0;
        place->wish.file.size_bytes = i % 3 == 0 ? size_bytes : 0;
        assert_int_equal(run_from(place, size_bytes), 0); /* over what the last one has left */
        assert_arrived(place, size_bytes);
    }
}

/* The target is given more size ahead of the chunks, and cut in the end. */
static void pipe_larger_than_a_step_of_growth(void **state)
{
    struct place *place = *state;
    place->wish.chunk_bytes = 1024 * 1024;
    place->wish.memory_bytes = 8 * 1024 * 1024;
    assert_int_equal(run_from(place, LARGE_BYTES), 0);
    assert_arrived(place, LARGE_BYTES);
    place->wish.sparse = true; /* zeros are left out, and the size is right all the same */
    place->wish.file.size_bytes = LARGE_BYTES;
    assert_int_equal(run(place, "/dev/zero", place->path), 0);
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_size, LARGE_BYTES);
    assert_true(st.st_blocks < 100);
}

static void new_file_is_as_any_other(void **state)
{
    struct place *place = *state;
    mode_t umask_before = umask(027);
    assert_int_equal(run_from(place, 100), 0);
    umask(umask_before);
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(chmod(place->path, 0604), 0); /* an old one keeps its mode */
    assert_int_equal(run_from(place, 50), 0);
    assert_int_equal(stat(place->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0604);
}

static void less_or_more_than_announced_is_no_finished_file(void **state)
{
    struct place *place = *state;
    write_file(place->path, (const uint8_t *)"old content", 11, 0600);
    place->wish.file.size_bytes = 5 * CHUNK;
    assert_int_equal(run_from(place, 5 * CHUNK - 1), -ENODATA);
    assert_true(journal_lies(place));
    assert_true(place->receipt.piped);
    struct stat st;
    assert_int_equal(stat(place->path, &st), 0);
    assert_true(st.st_size <= 4 * CHUNK);
    place->wish.file.size_bytes = CHUNK / 2;
    assert_int_equal(run_from(place, CHUNK / 2 + 1), -EFBIG);
    assert_true(journal_lies(place));
    place->wish.file.size_bytes = 0; /* what is left is in nobody's way */
    assert_int_equal(run_from(place, 1000), 0);
    assert_arrived(place, 1000);
}

static void file_goes_into_a_pipe(void **state)
{
    static const uint32_t sizes[] = {0, 1, CHUNK, 33 * CHUNK + 5};
    static const enum engine_kind engines[] = {ENGINE_AUTO, ENGINE_THREADS, ENGINE_SYNC};
    struct place *place = *state;
    for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(engines); i++) {
        uint32_t size_bytes = sizes[i % COUNT_OF(sizes)];
        place->wish.engine = engines[i / COUNT_OF(sizes)];
        make_pipe(place, 1, size_bytes);
        write_file(place->path, place->content, size_bytes, 0600);
        assert_int_equal(pthread_create(&place->thread, NULL, consume, place), 0);
        assert_int_equal(run(place, place->path, place->end_path), 0);
        close(place->fds[1]);
        pthread_join(place->thread, NULL);
        close(place->fds[0]);
        assert_int_equal(place->got_bytes, size_bytes);
        assert_memory_equal(place->got, place->content, size_bytes);
        assert_int_equal(place->receipt.outcome.kind, OUTCOME_HANDED_OVER);
        assert_int_equal(place->receipt.bytes_durable, 0);
    }
}

static void holes_of_the_source_go_into_a_pipe_as_zeros(void **state)
{
    struct place *place = *state;
    make_pipe(place, 1, 10 * CHUNK);
    memset(place->content, 0, 10 * CHUNK);
    memset(place->content + 7 * CHUNK, 5, 10);
    AUTO_CLOSE int fd = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 10 * CHUNK), 0);
    assert_int_equal(pwrite(fd, place->content + 7 * CHUNK, 10, 7 * CHUNK), 10);
    assert_int_equal(pthread_create(&place->thread, NULL, consume, place), 0);
    assert_int_equal(run(place, place->path, place->end_path), 0);
    close(place->fds[1]);
    pthread_join(place->thread, NULL);
    close(place->fds[0]);
    assert_int_equal(place->got_bytes, 10 * CHUNK);
    assert_memory_equal(place->got, place->content, 10 * CHUNK);
}

static void reader_that_leaves_is_an_error(void **state)
{
    struct place *place = *state;
    make_pipe(place, 1, 40 * CHUNK);
    write_file(place->path, place->content, 40 * CHUNK, 0600);
    close(place->fds[0]);
    assert_int_equal(run(place, place->path, place->end_path), -EPIPE);
    assert_int_equal(place->receipt.outcome.kind, OUTCOME_FAILED);
    close(place->fds[1]);
}

static void *stop_later(void *argument)
{
    struct place *place = argument;
    poll(NULL, 0, 50);
    place->control.stop = true;
    return NULL;
}

static void nobody_waits_for_ever_when_told_to_stop(void **state)
{
    static const enum engine_kind engines[] = {ENGINE_AUTO, ENGINE_THREADS, ENGINE_SYNC};
    struct place *place = *state;
    for (size_t i = 0; i < 2 * COUNT_OF(engines); i++) {
        int end = i % 2 == 0 ? 0 : 1;
        place->wish.engine = engines[i / 2];
        place->control.stop = false;
        make_pipe(place, end, 40 * CHUNK);
        write_file(place->path, place->content, 40 * CHUNK, 0600);
        assert_int_equal(write(place->fds[1], "begun", 5), 5);
        assert_int_equal(pthread_create(&place->thread, NULL, stop_later, place), 0);
        assert_int_equal(end == 0 ? run(place, place->end_path, place->path)
                                  : run(place, place->path, place->end_path),
                         -EINTR);
        assert_int_equal(place->err.class, ERROR_INTERRUPTED);
        pthread_join(place->thread, NULL);
        close(place->fds[0]);
        close(place->fds[1]);
        unlink(place->path);
    }
}

static void what_needs_to_look_twice_is_refused(void **state)
{
    struct place *place = *state;
    const struct copy_wish plain = place->wish;
    write_file(place->path, (const uint8_t *)"old", 3, 0600);
    for (int i = 0; i < 5; i++) {
        place->wish = plain;
        place->wish.checksum = i == 0;
        place->wish.file.resume = i == 1   ? RESUME_APPEND
                                  : i == 2 ? RESUME_APPEND_VERIFY
                                           : RESUME_AUTO;
        place->wish.manifest_path = i == 3 ? "/nowhere/manifest" : NULL;
        place->wish.verify = i == 4;
        bool target = i == 4; /* what was written can be read, what was read cannot be again */
        assert_int_equal(target ? run(place, place->path, "/dev/null")
                                : run(place, "/dev/null", place->path),
                         -EINVAL);
        assert_int_equal(place->err.class, ERROR_USAGE);
        assert_content(place->path, (const uint8_t *)"old", 3);
    }
    place->wish = plain;
    place->wish.file.size_bytes = 3;
    assert_int_equal(run(place, place->path, "/dev/null"), -EINVAL);
    place->wish = plain;
    place->wish.dry_run = true; /* nothing is taken out of it, nor emptied */
    assert_int_equal(run_from(place, 0), 0);
    assert_content(place->path, (const uint8_t *)"old", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_learns_its_size_in_any_order),
        cmocka_unit_test(plan_of_nothing_is_complete),
        cmocka_unit_test(plan_has_one_end),
        cmocka_unit_test(fifo_without_a_writer_is_not_at_its_end),
        cmocka_unit_test(shared_descriptor_is_left_as_it_is),
        cmocka_unit_test(devices_are_told_apart),
        cmocka_unit_test_setup_teardown(pipe_of_every_size_becomes_a_file, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(pipe_larger_than_a_step_of_growth, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(new_file_is_as_any_other, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(less_or_more_than_announced_is_no_finished_file,
                                        place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(file_goes_into_a_pipe, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(holes_of_the_source_go_into_a_pipe_as_zeros, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(reader_that_leaves_is_an_error, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(nobody_waits_for_ever_when_told_to_stop, place_setup,
                                        place_teardown),
        cmocka_unit_test_setup_teardown(what_needs_to_look_twice_is_refused, place_setup,
                                        place_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
