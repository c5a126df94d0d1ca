/* fuzz_copy.c - whole copies against a well-formed, adversarial other side: a real client and a
 * real server, and between them somebody who tells lies (lie.h) in good frames.
 *
 * An input is a copy of a small file in up to three runs: one that is cut off, so that there is a
 * journal (input[1]); one in which lies are told; and an honest one. What must hold, whatever the
 * lies:
 *   - neither side crashes or hangs, no descriptor and no thread stays, memory is bounded;
 *   - a run that fails says so in words; one that succeeds has made the target what the source is,
 *     but for lies that nobody can find out (lie_field.believed);
 *   - the honest run at the end succeeds, and then the two are equal in any case.
 *
 *   byte 0  bit 0: pull, else push. Bits 1-2: the source is dense, has zeros, has holes. Bits 3-4:
 *           the target before: none, some chunks differ, longer, zeros. Bits 5-6: --append,
 *           --append-verify, --restart. Bit 7: --verify
 *   byte 1  the number of the STORE or FETCH at which the first run is cut off; 0: there is none
 *   byte 2  bits: -z, -S, --manifest, -c, engine threads, no preallocation, extended attributes
 * that go in pieces, of which the target has others before 3 ...   lies, five bytes each */
#include "../unit/run_one.h"
#include "bent_link.h"
#include "folder.h"

#include "haul/base/clock.h"
#include "haul/copy/copy.h"
#include "haul/wire/serve.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);
int __real_link_open(struct link **out, const struct link_options *options, struct error *err);
int __wrap_link_open(struct link **out, const struct link_options *options, struct error *err);

enum {
    CHUNK_BYTES = 64 * 1024,
    CHUNKS = 6,
    SIZE_BYTES = (CHUNKS - 1) * CHUNK_BYTES + 1000,
    SECONDS_MAX = 60,
    PEAK_BYTES_MAX = 256 * 1024 * 1024,
    PATH_BYTES = 96
};

enum { COPY_PULL = 1, COPY_VERIFY = 128 };
enum {
    MORE_PACK = 1,
    MORE_SPARSE = 2,
    MORE_MANIFEST = 4,
    MORE_CHECKSUM = 8,
    MORE_THREADS = 16,
    MORE_LOOSE = 32,
    MORE_DETAILS = 64
};
enum before { BEFORE_NONE, BEFORE_CHANGED, BEFORE_LONGER, BEFORE_ZEROS };
enum content { CONTENT_DENSE, CONTENT_ZEROS, CONTENT_HOLES, CONTENT_DENSE_TOO };

/* The link's opener has no argument of ours, so this is how it learns what to do. */
static struct {
    char folder[FOLDER_PATH_BYTES], source[PATH_BYTES], target[PATH_BYTES], manifest[PATH_BYTES];
    struct lie lies[LIES_MAX + 1];
    uint32_t lies_count;
    bool believed, about_details, lacking;
    pthread_t server;
    struct serve_config serve;
    bool serving;
    char words[ERROR_TEXT_BYTES]; /* of the last run that failed */
} world;

/* ---- the other side ---- */

static void *server_thread(void *argument)
{
    struct error err = {.class = ERROR_NONE};
    int result = serve_run(&world.serve, &err);
    assert((result < 0) == error_is_set(&err));
    link_close(world.serve.link);
    (void)result;
    return argument;
}

int __wrap_link_open(struct link **out, const struct link_options *options, struct error *err)
{
    struct pair_link *pair[2];
    (void)options;
    (void)err;
    assert(!world.serving);
    pair_open(pair);
    world.serve = (struct serve_config){.link = &pair[1]->link, .memory_bytes = 1024 * 1024};
    if (pthread_create(&world.server, NULL, server_thread, NULL) != 0)
        abort();
    world.serving = true;
    *out = &bent_open(pair[0], world.lies, world.lies_count, &world.believed, &world.about_details)
                ->link;
    return 0;
}

/* ---- files ---- */

static void world_remove(void)
{
    folder_empty(world.folder);
    rmdir(world.folder);
}

static void world_open(void)
{
    if (world.folder[0] != '\0')
        return;
    folder_open(world.folder);
    snprintf(world.source, PATH_BYTES, "%s/source", world.folder);
    snprintf(world.target, PATH_BYTES, "%s/target", world.folder);
    snprintf(world.manifest, PATH_BYTES, "%s/manifest", world.folder);
    signal(SIGPIPE, SIG_IGN);
    atexit(world_remove);
}

static void content_make(uint8_t *data, size_t length, uint8_t seed)
{
    uint64_t state = seed;
    for (size_t i = 0; i < length; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        data[i] = (uint8_t)(state >> 56);
    }
}

static void file_write(const char *path, const uint8_t *data, size_t length, bool holes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && ftruncate(fd, (off_t)length) == 0;
    for (size_t at = 0; good && at < length; at += CHUNK_BYTES) {
        size_t part = length - at < CHUNK_BYTES ? length - at : CHUNK_BYTES;
        bool zeros = data[at] == 0 && memcmp(data + at, data + at + 1, part - 1) == 0;
        good = (zeros && holes) || pwrite(fd, data + at, part, (off_t)at) == (ssize_t)part;
    }
    if (!good)
        abort();
    close(fd);
}

static void world_fill(uint8_t shape)
{
    static uint8_t data[SIZE_BYTES + CHUNK_BYTES];
    enum content content = (enum content)(shape >> 1 & 3);
    enum before before = (enum before)(shape >> 3 & 3);
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000, .tv_nsec = 5}};
    unlink(world.target);
    unlink(world.manifest);
    content_make(data, sizeof(data), 1);
    if (content == CONTENT_ZEROS || content == CONTENT_HOLES)
        memset(data + CHUNK_BYTES, 0, 2 * CHUNK_BYTES);
    file_write(world.source, data, SIZE_BYTES, content == CONTENT_HOLES);
    if (utimensat(AT_FDCWD, world.source, old, 0) != 0)
        abort();
    if (before == BEFORE_CHANGED) {
        content_make(data + CHUNK_BYTES, CHUNK_BYTES, 2);
        data[3 * CHUNK_BYTES + 7] ^= 1;
    } else if (before == BEFORE_ZEROS) {
        memset(data, 0, sizeof(data));
    }
    if (before != BEFORE_NONE)
        file_write(world.target, data, before == BEFORE_LONGER ? sizeof(data) : SIZE_BYTES, false);
}

/* ---- their extended attributes ---- */

/* More than one buffer holds, and one of them more than that by itself. Those of the target before:
 * one more, one that is right, one that is another. */
static const struct {
    const char *name;
    uint32_t source_bytes, target_bytes; /* 0: it has none */
} details[] = {
    {"user.a", 60000, 60000}, {"user.b", 65536, 65536}, {"user.c", 0, 100},
    {"user.d", 40000, 10},    {"user.e", 1, 0},
};

/* false: there are none here. */
static bool details_make(const char *path, bool source)
{
    static uint8_t value[65536];
    bool good = true;
    for (size_t i = 0; i < COUNT_OF(details); i++) {
        uint32_t length = source ? details[i].source_bytes : details[i].target_bytes;
        content_make(value, length, (uint8_t)i);
        value[0] ^= !source && i == 1;
        good &= length == 0 || setxattr(path, details[i].name, value, length, 0) == 0;
    }
    return good;
}

static bool details_equal(void)
{
    static uint8_t values[2][65536];
    for (size_t i = 0; i < COUNT_OF(details); i++) {
        ssize_t source = getxattr(world.source, details[i].name, values[0], sizeof(values[0]));
        ssize_t target = getxattr(world.target, details[i].name, values[1], sizeof(values[1]));
        if (source != target || (source > 0 && memcmp(values[0], values[1], (size_t)source) != 0))
            return false;
    }
    return true;
}

/* With them: the wish, where the file system has some. */
static void world_dress(struct copy_wish *wish)
{
    if (!details_make(world.source, true))
        return;
    if (access(world.target, F_OK) == 0 && !details_make(world.target, false))
        abort();
    wish->attributes[ATTRIBUTE_XATTRS] = ATTRIBUTE_ASKED;
}

static bool files_equal(void)
{
    static uint8_t data[2][SIZE_BYTES + CHUNK_BYTES];
    const char *paths[] = {world.source, world.target};
    ssize_t length[2];
    for (int i = 0; i < 2; i++) {
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        length[i] = fd >= 0 ? read(fd, data[i], sizeof(data[i])) : -1;
        close(fd);
    }
    return length[0] == SIZE_BYTES && length[1] == length[0] &&
           memcmp(data[0], data[1], SIZE_BYTES) == 0;
}

/* ---- a run ---- */

static struct copy_wish wish_of(const uint8_t *data)
{
    static const enum resume_wish resumes[] = {RESUME_AUTO, RESUME_APPEND, RESUME_APPEND_VERIFY,
                                               RESUME_RESTART};
    return (struct copy_wish){
        .retries_set = true, /* none: what is lost is seen */
        .engine = data[2] & MORE_THREADS ? ENGINE_THREADS : ENGINE_SYNC,
        .memory_bytes = 4 * CHUNK_BYTES,
        .chunk_bytes = CHUNK_BYTES,
        .verify = data[0] & COPY_VERIFY,
        .ignore_times = true,
        .checksum = data[2] & MORE_CHECKSUM,
        .sparse = data[2] & MORE_SPARSE,
        .no_preallocate = data[2] & MORE_LOOSE,
        .file.resume = resumes[data[0] >> 5 & 3],
        .manifest_path = data[2] & MORE_MANIFEST ? world.manifest : NULL,
        .sync_every_bytes = 2 * CHUNK_BYTES,
        .sync_every_set = true,
        .lanes = 1,
        .compress = data[2] & MORE_PACK,
        .timeout_ns = 20 * NS_PER_SECOND,
        .link = {.transport = "none"},
    };
}

/* Has it succeeded? */
static bool run(const struct copy_wish *wish, bool pull)
{
    const struct address far = {.kind = ADDRESS_REMOTE, .host = "far"};
    struct error err = {.class = ERROR_NONE};
    struct copy *copy = NULL;
    struct control control = {.stop = false};
    struct receipt receipt;
    int result = copy_open(&copy, wish, pull ? &far : NULL, pull ? NULL : &far, &control, &err);
    if (result == 0)
        result = run_one(copy, world.source, world.target, &receipt, &err);
    copy_close(copy);
    if (world.serving)
        pthread_join(world.server, NULL);
    world.serving = false;
    assert((result < 0) == error_is_set(&err));
    assert(result == 0 || err.text[0] != '\0');
    snprintf(world.words, sizeof(world.words), "%s", result < 0 ? err.text : "");
    assert(result < 0 || receipt_durable(&receipt) || receipt_up_to_date(&receipt));
    world.lacking = result == 0 && receipt.outcome.lacking;
    return result == 0;
}

static void lies_read(const uint8_t *data, size_t length)
{
    world.lies_count = 0;
    for (; length >= LIE_BYTES && world.lies_count < LIES_MAX; length -= LIE_BYTES) {
        world.lies[world.lies_count++] = (struct lie){
            .request = data[0] & 128,
            .op = (data[0] & 127) % LIE_OPS,
            .number = data[1],
            .deed = data[2] % LIE_DEEDS,
            .field = data[3],
            .value = data[4],
        };
        data += LIE_BYTES;
    }
}

static void run_cut(struct copy_wish wish, bool pull, uint8_t number)
{
    world.lies[0] = (struct lie){
        .op = pull ? SIDE_FETCH : SIDE_STORE,
        .number = (uint8_t)(number % (CHUNKS + 1)),
        .deed = LIE_CUT,
    };
    world.lies_count = 1;
    wish.manifest_path = NULL;
    (void)run(&wish, pull);
}

/* Lies may have told a journal what is not true of the source: those of a source, and wishes that
 * the server was told otherwise. --append-verify looks there. */
static void run_honest(struct copy_wish wish, bool pull)
{
    bool lied = world.believed || wish.file.resume == RESUME_APPEND;
    for (uint32_t i = 0; i < world.lies_count; i++)
        lied |= world.lies[i].request;
    world.lies_count = 0;
    if (lied)
        wish.file.resume = RESUME_APPEND_VERIFY;
    bool good = run(&wish, pull);
    if (!good)
        fprintf(stderr, "fuzz_copy: honest, and yet: %s\n", world.words);
    assert(good && files_equal());
    assert(wish.attributes[ATTRIBUTE_XATTRS] == ATTRIBUTE_DEFAULT ||
           (details_equal() && !world.lacking));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct rusage usage;
    if (length < 3)
        return 0;
    world_open();
    alarm(SECONDS_MAX);
    uint32_t files = open_files();
    bool pull = data[0] & COPY_PULL;
    struct copy_wish wish = wish_of(data);
    world_fill(data[0]);
    world.believed = world.about_details = false;
    if (data[2] & MORE_DETAILS)
        world_dress(&wish);
    if (data[1] % (CHUNKS + 1) > 0)
        run_cut(wish, pull, data[1]);
    lies_read(data + 3, length - 3);
    bool trusting = wish.file.resume == RESUME_APPEND;
    bool good = run(&wish, pull);
    bool dressed = wish.attributes[ATTRIBUTE_XATTRS] == ATTRIBUTE_ASKED;
    assert(!good || world.believed || trusting || files_equal());
    assert(!good || world.believed || world.about_details || !dressed || world.lacking ||
           details_equal());
    unlink(world.manifest);
    run_honest(wish, pull);
    assert(open_files() == files);
    assert(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss < PEAK_BYTES_MAX / 1024);
    (void)good;
    alarm(0);
    return 0;
}
