/* sim_copies.c - the seeded simulation of whole runs: many files, several lanes with their threads,
 * client and servers over lines between them, as they are (copy.c, lanes, lives, pumps, peers,
 * sessions, servers, local sides), on simulated engines, lines, threads and clocks.
 *
 * From the seed follow the files, the side that is far away, delays, orders, failures, a request to
 * stop, lines that are cut, and a cut of the power. Whatever happens: it ends; nothing fails
 * without a cause, and with one only what it concerns; what is reported durable is right and would
 * be there after a cut; after a cut what looks finished is right; the run after it has no failure,
 * makes all targets equal, and leaves nothing behind. (The cache of one file is sim_pump's
 * business.) seeds_sim.h says how to ask for
 * some of its seeds. */
#include <sys/syscall.h>

#include "disk_sim.h"
#include "link_sim.h"
#include "memory_sim.h"
#include "seeds_sim.h"
#include "tasks_sim.h"

#include "haul/base/log.h"
#include "haul/copy/copy.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SEEDS_DEFAULT = 1000 }; /* each takes several times as long */
#else
enum { SEEDS_DEFAULT = 10000 };
#endif

enum {
    FILES_MAX = 16,
    CHUNK_BYTES = 64 * 1024,
    BLOCK_BYTES = 4096,
    SMALL_BYTES_MAX = 4 * CHUNK_BYTES,
    LARGE_BYTES = 33 * 1024 * 1024, /* worth several lanes; mostly holes */
    FDS_MAX = 4096,
};

enum old_target { OLD_NONE, OLD_PARTLY, OLD_OTHER, OLD_ENDS_MAX };

struct sample {
    uint64_t size_bytes;
    uint32_t data_chunks; /* of a large one; the rest is holes */
    enum old_target old;
};

struct scenario {
    uint32_t files_count;
    struct sample samples[FILES_MAX];
    int far; /* 0: none; 1: the target; 2: the source */
    struct copy_wish wish;
    uint64_t delay_ns_max, call_delay_ns_max, line_delay_ns;
    bool fails, stops, cut_lines, cut_power;
};

/* Counted by all workers. */
struct tally {
    _Atomic uint32_t good, failed, interrupted, cut, lines_cut, resumed, lanes;
};

struct run {
    struct scenario scenario;
    struct control control;
    uint32_t number;
    bool calm; /* nothing happens: all has to succeed */
};

static struct tally *tally;
static char base[] = "/dev/shm/haul-sim.XXXXXX"; /* of all workers */
static char folder[64], manifest[96];
static struct image content, scratch;

static void file_path(char out[192], bool target, uint32_t number)
{
    snprintf(out, 192, "%s/%s/file%u", folder, target ? "target" : "source", number);
}

/* ---- the scenario ---- */

static void draw_sample(struct sample *sample, bool large)
{
    static const uint64_t corners[] = {0, 1, 4095, 4096, CHUNK_BYTES, CHUNK_BYTES + 1};
    *sample = (struct sample){
        .size_bytes = sim_chance(300) ? corners[sim_below(sizeof(corners) / sizeof(corners[0]))]
                                      : sim_scaled(1, SMALL_BYTES_MAX),
        .old = sim_chance(600) ? OLD_NONE : (enum old_target)sim_below(OLD_ENDS_MAX),
    };
    if (large) {
        sample->size_bytes = LARGE_BYTES + sim_below(3 * CHUNK_BYTES);
        sample->data_chunks = (uint32_t)sim_scaled(1, 60);
    }
}

static void draw_wish(struct scenario *scenario)
{
    static const enum policy_kind policies[] = {POLICY_AUTO, POLICY_WINDOW, POLICY_PLAIN};
    scenario->wish = (struct copy_wish){
        .engine = ENGINE_THREADS,
        .chunk_bytes = CHUNK_BYTES,
        .memory_bytes = (6 + sim_below(5)) * CHUNK_BYTES,
        .verify = sim_chance(200),
        .checksum = sim_chance(200),
        .sparse = sim_chance(200),
        .no_preallocate = sim_chance(200),
        .sync_every_set = sim_chance(300),
        .sync_every_bytes = sim_scaled(1, 4 * CHUNK_BYTES),
        .lanes = (uint32_t)sim_below(4),
        .compress = false,
        .timeout_ns = sim_chance(500) ? 0 : 30 * NS_PER_SECOND,
        .umask_bits = 022,
        .file.cache = policies[sim_below(3)],
        .file.resume = sim_chance(200) ? RESUME_APPEND_VERIFY : RESUME_AUTO,
        .link.transport = "simulated",
    };
}

static void draw_scenario(struct scenario *scenario)
{
    bool large = sim_chance(60);
    *scenario = (struct scenario){
        .files_count = large ? (uint32_t)sim_scaled(1, 3) : (uint32_t)sim_scaled(1, FILES_MAX),
        .far = large ? 1 + (int)sim_below(2) : (int)sim_below(3),
        .delay_ns_max = sim_scaled(0, (large ? 500 : 50) * NS_PER_MS),
        .call_delay_ns_max = sim_chance(100) ? 10 * NS_PER_SECOND : sim_scaled(0, 100 * NS_PER_MS),
        .line_delay_ns = sim_scaled(0, 50 * NS_PER_MS),
        .fails = sim_chance(250),
        .stops = sim_chance(150),
        .cut_lines = sim_chance(250),
        .cut_power = sim_chance(250),
    };
    for (uint32_t i = 0; i < scenario->files_count; i++)
        draw_sample(&scenario->samples[i], large && i == 0);
    draw_wish(scenario);
    scenario->wish.many = scenario->files_count > 1 && sim_chance(700);
    scenario->wish.alone = scenario->files_count == 1;
    if (scenario->files_count == 1 && sim_chance(500))
        scenario->wish.manifest_path = manifest;
}

/* ---- files ---- */

/* With runs of zeros in it, of which some are whole blocks. */
static void fill(uint8_t *data, uint64_t length, uint64_t seed)
{
    for (uint64_t i = 0; i < length; i += sizeof(uint64_t)) {
        uint64_t word = (seed + i) * 0x9e3779b97f4a7c15;
        word ^= word >> 29;
        memcpy(data + i, &word, (size_t)min_u64(sizeof(word), length - i));
    }
    for (uint64_t i = seed % 3; i > 0 && length > 0; i--) {
        uint64_t start = seed * i * 7919 % length, run = (seed + i) * 104729 % (3 * BLOCK_BYTES);
        memset(data + start, 0, (size_t)min_u64(run, length - start));
    }
}

/* What source `number` holds, into `content`. */
static void content_make(const struct scenario *scenario, uint32_t number)
{
    const struct sample *sample = &scenario->samples[number];
    uint64_t chunks = div_ceil(sample->size_bytes, CHUNK_BYTES);
    image_zero(&content, 0, IMAGE_BYTES_MAX);
    if (sample->data_chunks == 0)
        fill(image_at(&content, 0, sample->size_bytes), sample->size_bytes,
             sim_current_seed + number);
    for (uint32_t i = 0; i < sample->data_chunks; i++) {
        uint64_t offset = (sim_current_seed + i * UINT64_C(7919)) % chunks * CHUNK_BYTES;
        if (i == 0)
            offset = (chunks - 1) * CHUNK_BYTES;
        uint64_t part = min_u64(CHUNK_BYTES, sample->size_bytes - offset);
        fill(image_at(&content, offset, part), part, offset + i);
    }
}

static void write_content(const char *path, uint64_t length, time_t time)
{
    const struct timespec times[2] = {{.tv_sec = time}, {.tv_sec = time}};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        sim_fatal("%s: %s", path, strerror(errno));
    image_write(&content, fd, length);
    futimens(fd, times);
    close(fd);
}

static time_t time_of(uint32_t number)
{
    return 1000000000 + (time_t)number;
}

static void make_files(const struct scenario *scenario)
{
    char path[192];
    for (uint32_t i = 0; i < scenario->files_count; i++) {
        const struct sample *sample = &scenario->samples[i];
        content_make(scenario, i);
        file_path(path, false, i);
        write_content(path, sample->size_bytes, time_of(i));
        uint64_t old_bytes = sim_chance(500) ? sample->size_bytes : sim_below(SMALL_BYTES_MAX);
        for (uint32_t k = 0; sample->old == OLD_PARTLY && k < 3 && sample->size_bytes > 0; k++)
            *image_at(&content, sim_below(sample->size_bytes), 1) ^= 0x55;
        file_path(path, true, i);
        if (sample->old == OLD_OTHER)
            fill(image_at(&content, 0, old_bytes), old_bytes, sim_current_seed ^ i);
        if (sample->old != OLD_NONE)
            write_content(path, sample->old == OLD_OTHER ? old_bytes : sample->size_bytes, 999);
    }
}

/* The file as it is, into `scratch`; NUM_UNKNOWN: there is none. */
static uint64_t read_file(const char *path, time_t *time)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return NUM_UNKNOWN;
    image_zero(&scratch, 0, IMAGE_BYTES_MAX);
    image_read(&scratch, fd, 0, (uint64_t)st.st_size);
    close(fd);
    *time = st.st_mtim.tv_sec;
    return (uint64_t)st.st_size;
}

static bool equals_content(const struct image *image, uint64_t got_bytes, uint64_t size_bytes)
{
    return got_bytes == size_bytes && image_equals(image, &content, size_bytes);
}

/* ---- what must hold ---- */

/* It was reported durable: right, finished, and no cut can undo that. */
static void check_durable(const struct run *run, uint32_t number)
{
    uint64_t size_bytes = run->scenario.samples[number].size_bytes;
    char path[192];
    time_t time = 0;
    file_path(path, true, number);
    content_make(&run->scenario, number);
    uint64_t got = read_file(path, &time);
    if (!equals_content(&scratch, got, size_bytes) || time != time_of(number))
        sim_fatal("%s: is not the source, and is reported durable", path);
    const struct name *name = name_find(disk.names, disk.names_count, strrchr(path, '/') + 1);
    const struct node *node = name ? node_of_inode(name->inode) : NULL;
    struct stat st;
    if (!node || stat(path, &st) != 0 || st.st_ino != name->inode)
        sim_fatal("%s: its name is not durable", path);
    if (!equals_content(&node->durable, node->durable_bytes, size_bytes) ||
        node->durable_time.tv_sec != time)
        sim_fatal("%s: is not durable, and is reported so", path);
}

/* After a cut: what the next run would take for finished is. */
static void check_finished(const struct run *run)
{
    char path[192];
    for (uint32_t i = 0; i < run->scenario.files_count; i++) {
        uint64_t size_bytes = run->scenario.samples[i].size_bytes;
        time_t time = 0;
        file_path(path, true, i);
        uint64_t got = read_file(path, &time);
        content_make(&run->scenario, i);
        if (got == size_bytes && time == time_of(i) && !equals_content(&scratch, got, size_bytes))
            sim_fatal("%s: looks finished after the cut, and is not", path);
    }
}

static void check_nothing_left(const struct run *run)
{
    struct name names[NODES_MAX];
    uint32_t count = names_now(names);
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(names[i].text, "file", 4) != 0)
            sim_fatal("%s is left behind", names[i].text);
    }
    if (count != run->scenario.files_count)
        sim_fatal("%u files, and not %u", count, run->scenario.files_count);
}

/* ---- a run ---- */

static void check_outcome(struct run *run, uint32_t number, int result,
                          const struct receipt *receipt, const struct error *err)
{
    sim_trace("file %u: %d %s", number, result, result < 0 ? err->text : "");
    if (result == 0) {
        check_durable(run, number);
        if (run->scenario.wish.manifest_path && access(manifest, R_OK) != 0)
            sim_fatal("there is no manifest");
        tally->good++;
        tally->resumed += receipt->resumed;
        tally->lanes += receipt->lanes > 1;
        return;
    }
    tally->failed++;
    tally->interrupted += err->class == ERROR_INTERRUPTED;
    if (receipt->outcome.kind == OUTCOME_DURABLE)
        sim_fatal("file %u has failed, and claims to be durable", number);
    if (!error_is_set(err))
        sim_fatal("file %u has failed without a word", number);
    if (disk.causes_count == 0 && !run->control.stop)
        sim_fatal("file %u has failed, and nothing was wrong: %s", number, err->text);
}

static void copy_files(struct run *run, struct copy *copy)
{
    static char paths[FILES_MAX][2][192];
    uint32_t begun = 0, count = run->scenario.files_count;
    for (uint32_t i = 0; i < count; i++) {
        struct receipt receipt;
        struct error err = {.class = ERROR_NONE};
        for (; begun < count; begun++) {
            file_path(paths[begun][0], false, begun);
            file_path(paths[begun][1], true, begun);
            if (!copy_begin(copy, false, paths[begun][0], paths[begun][1]))
                break;
        }
        int result = copy_collect(copy, &receipt, &err);
        check_outcome(run, i, result, &receipt, &err);
    }
}

/* The copy's thread, as transfer.c has it. */
static void *client_main(void *argument)
{
    struct run *run = argument;
    static struct address addresses[2];
    struct copy *copy = NULL;
    struct error err = {.class = ERROR_NONE};
    for (int role = 0; role < 2; role++) {
        bool far = run->scenario.far == 2 - role;
        addresses[role] = (struct address){.kind = far ? ADDRESS_REMOTE : ADDRESS_LOCAL};
        strcpy(addresses[role].host, far ? "far" : "");
    }
    int result =
        copy_open(&copy, &run->scenario.wish, &addresses[0], &addresses[1], &run->control, &err);
    if (result == 0)
        copy_files(run, copy);
    else if (disk.causes_count == 0 && !run->control.stop)
        sim_fatal("it does not begin: %s", err.text);
    copy_close(copy);
    return NULL;
}

static uint64_t sometime_ns(const struct scenario *scenario)
{
    return sim.now_ns + sim_scaled(1, (uint64_t)4 * scenario->files_count *
                                          (scenario->delay_ns_max + scenario->line_delay_ns +
                                           scenario->call_delay_ns_max / 4 + NS_PER_MS));
}

static void draw_events(struct run *run)
{
    const struct scenario *scenario = &run->scenario;
    static const uint32_t kinds[] = {1 << REQUEST_READ, 1 << REQUEST_WRITE, 1 << REQUEST_DATASYNC,
                                     1 << REQUEST_SYNC};
    disk.fault.kinds = 0;
    disk.fsync_fails_nth = disk.cut_at_sync = 0;
    sim.stop_ns = sim.cut_ns = net.cut_after_bytes = UINT64_MAX;
    if (run->calm)
        return;
    if (scenario->fails && sim_chance(500))
        disk.fsync_fails_nth = (uint32_t)sim_scaled(1, 40);
    else if (scenario->fails)
        disk.fault = (struct fault){
            .kinds = kinds[sim_below(4)],
            .nth = (uint32_t)sim_scaled(1, 60),
            .errnum = sim_chance(500) ? EIO : ENOSPC,
        };
    if (scenario->stops)
        sim.stop_ns = sometime_ns(scenario);
    if (scenario->cut_lines)
        net.cut_after_bytes = sim_scaled(100, (uint64_t)scenario->files_count * SMALL_BYTES_MAX);
    if (scenario->cut_power && sim_chance(500))
        disk.cut_at_sync = (uint32_t)sim_scaled(1, 60);
    else if (scenario->cut_power)
        sim.cut_ns = sometime_ns(scenario);
}

/* false: the power was cut. */
static bool run_once(struct run *run)
{
    unlink(manifest);
    run->control.stop = false;
    sim.control = &run->control;
    sim.turns = 0;
    sim.now_ns = 0;
    disk.causes_count = disk.fsync_count = disk.fault.seen = 0;
    disk.delay_ns_max = run->scenario.delay_ns_max;
    disk.call_delay_ns_max = run->scenario.call_delay_ns_max;
    net.delay_ns = run->scenario.line_delay_ns;
    net.moved_bytes = 0;
    net.cut_count = 0;
    disk_settle();
    draw_events(run);
    bool ended = sim_run(client_main, run);
    tally->lines_cut += net.cut_count;
    if (ended) {
        heap_check();
        memory_forget();
        return true;
    }
    disk_cut();
    tally->cut++;
    return false;
}

/* In a process of its own, which a cut of the power ends as it is. */
static void run_in_child(struct run *run)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        seeds_watch();
        (void)run_once(run);
        fflush(stdout);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        exit(1);
}

/* A process, and page faults for all that it writes to, would take longer than the run: here it is
 * forgotten instead what a cut has left behind, and what follows from the seed goes on as if it had
 * been another process. A sanitizer would miss what is forgotten. */
static void run_to_the_cut(struct run *run)
{
    struct control control = run->control;
    uint64_t random_state = sim_random_state;
    if (!MEMORY_IS_OURS) {
        run_in_child(run);
        return;
    }
    if (!run_once(run)) {
        tasks_forget();
        links_forget();
        disk_forget();
        memory_forget();
    }
    run->control = control;
    sim_random_state = random_state;
}

static void remove_files(void)
{
    char path[256];
    struct name names[NODES_MAX];
    uint32_t count = names_now(names);
    for (uint32_t i = 0; i < count; i++) {
        name_path(path, &names[i]);
        unlink(path);
    }
    disk_settle();
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        file_path(path, false, i);
        unlink(path);
    }
}

static void run_seed(uint64_t seed)
{
    static struct run run;
    uint32_t fds_count = count_fds();
    (void)seed;
    memset(&run, 0, sizeof(run));
    draw_scenario(&run.scenario);
    disk.no_fallocate = sim_chance(100);
    make_files(&run.scenario);
    if (run.scenario.cut_power) {
        run_to_the_cut(&run);
        check_finished(&run);
    } else if (run.scenario.fails || run.scenario.stops || run.scenario.cut_lines) {
        (void)run_once(&run);
    }
    run.calm = true;
    (void)run_once(&run);
    check_nothing_left(&run);
    remove_files();
    if (count_fds() != fds_count)
        sim_fatal("%u descriptors are open, %u were before", count_fds(), fds_count);
}

/* ---- all seeds ---- */

static void worker_begin(uint32_t worker)
{
    struct stat st;
    char path[192];
    snprintf(folder, sizeof(folder), "%s/%u", base, worker);
    snprintf(disk.folder, sizeof(disk.folder), "%s/target", folder);
    snprintf(path, sizeof(path), "%s/source", folder);
    snprintf(manifest, sizeof(manifest), "%s/manifest", folder);
    close_fds(); /* a cut does it, too, and must not find more than the run's */
    mkdir(folder, 0700);
    mkdir(path, 0700);
    mkdir(disk.folder, 0700);
    image_open(&content);
    image_open(&scratch);
    if (stat(disk.folder, &st) != 0)
        sim_fatal("no folder");
    disk.device = st.st_dev;
    disk.folder_inode = st.st_ino;
}

/* Another process may have died before it could remove anything. */
static void worker_end(uint32_t worker)
{
    char command[160];
    snprintf(command, sizeof(command), "rm -rf -- '%s/%u'", base, worker);
    if (system(command) != 0)
        printf("%s/%u is left\n", base, worker);
}

/* Seeds that never meet a failure, a lane or a cut would prove nothing. */
static bool reaches_everything(void)
{
    printf("%u files copied, %u failed, %u of them interrupted; %u went on from a journal, %u by "
           "several lanes; %u cuts of the power, %u of a line\n",
           tally->good, tally->failed, tally->interrupted, tally->resumed, tally->lanes, tally->cut,
           tally->lines_cut);
    return tally->good > 0 && tally->failed > 0 && tally->interrupted > 0 && tally->resumed > 0 &&
           tally->lanes > 0 && tally->cut > 0 && tally->lines_cut > 0;
}

static void tell(enum log_level level, const char *line)
{
    (void)level;
    sim_trace("%s", line);
}

int main(int count, char **args)
{
    const struct seeds seeds = {
        .program = args[0],
        .count = SEEDS_DEFAULT,
        .watchdog_seconds = 120,
        .begin = worker_begin,
        .run = run_seed,
        .end = worker_end,
        .reach_everything = reaches_everything,
    };
    (void)count;
#ifdef __SANITIZE_THREAD__ /* it does not know that tasks have stacks of their own */
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
#endif
    tally = seeds_share(sizeof(*tally));
    if (!mkdtemp(base))
        return 2;
    log_init(LOG_DEBUG, tell);
    int result = seeds_main(&seeds);
    rmdir(base);
    return result;
}
