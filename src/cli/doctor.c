/* doctor.c - `haul doctor`: asks the parts of haul what they would do with a path or a host. */
#include "haul/cli/doctor.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/exit.h"
#include "haul/cli/options.h"
#include "haul/cli/output.h"
#include "haul/disk/budget.h"
#include "haul/disk/cache.h"
#include "haul/disk/engine.h"
#include "haul/disk/filesystem.h"
#include "haul/net/agent.h"
#include "haul/net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEP_SECONDS = 30, /* most silence of a host */
    ECHOES_COUNT = 5,
    RATE_BYTES_MAX = 64 * 1024 * 1024,
    PIECE_BYTES = 256 * 1024,
    LINE_BYTES = 512,
};

/* One finding: a line of words, or a member of the event. */
static void tell(bool json, const char *key, const char *text)
{
    if (json)
        output_json_string(stdout, key, text);
    else
        printf("  %-10s %s\n", key, text);
}

/* The same of a number, which has words for people. */
static void tell_number(bool json, const char *key, uint64_t value, const char *text)
{
    if (json)
        output_json_number(stdout, key, value);
    else
        printf("  %-10.*s %s\n", (int)strcspn(key, "_"), key, text);
}

static void tell_begin(bool json, const char *kind, const char *name)
{
    if (!json) {
        printf("%s\n", name);
        return;
    }
    fputs("{\"v\":1,\"event\":\"doctor\"", stdout);
    output_json_string(stdout, "kind", kind);
    output_json_string(stdout, "name", name);
}

static void tell_end(bool json)
{
    if (json)
        fputs("}\n", stdout);
    fflush(stdout);
}

static void tell_error(bool json, const struct error *err)
{
    tell(json, "error", err->text);
    tell_end(json);
}

/* ---- this machine ---- */

static void tell_engine(const struct options *options)
{
    const struct engine_config config = {.kind = options->wish.engine, .depth = 1};
    struct error err = {0};
    struct engine *engine = NULL;
    char text[256];
    int result = engine_open(&engine, &config, &err);
    if (result == 0)
        snprintf(text, sizeof(text), "%s%s%s%s", engine_name(engine->ops->kind),
                 engine->why[0] ? " (" : "", engine->why, engine->why[0] ? ")" : "");
    engine_close(engine);
    tell(options->json, "engine", result == 0 ? text : err.text);
}

static int look_at_machine(const struct options *options, struct error *err)
{
    struct cgroup cgroup;
    struct budget_facts facts;
    struct budget budget;
    const struct budget_wish wish = {.memory_bytes = options->wish.memory_bytes,
                                     .chunk_bytes = options->wish.chunk_bytes,
                                     .lanes = 1};
    char text[512], limit[TEXT_NUMBER_BYTES], usage[TEXT_NUMBER_BYTES], size[TEXT_NUMBER_BYTES];
    tell_begin(options->json, "machine", "this machine");
    tell_engine(options);
    cgroup_find(&cgroup, "/");
    budget_read(&facts, &cgroup);
    text_size(limit, facts.cgroup_limit_bytes);
    text_size(usage, facts.cgroup_usage_bytes);
    snprintf(text, sizeof(text), "limit %s, used %s", limit, usage);
    if (facts.cgroup_limit_bytes == NUM_UNKNOWN)
        snprintf(text, sizeof(text), "no limit");
    tell(options->json, "cgroup", text);
    int result = budget_decide(&budget, &facts, &wish, err);
    if (result < 0)
        return result;
    text_size(size, budget.memory_bytes);
    text_size(limit, budget.window_bytes);
    snprintf(text, sizeof(text), "%s for %u chunks, windows of %s; limited by %s", size,
             budget.slots_count, limit, budget_limited_by(&budget, &facts, &wish));
    tell(options->json, "memory", text);
    tell_end(options->json);
    return 0;
}

/* ---- a path ---- */

/* How many small files become durable at once. */
static const char *syncs_of(uint64_t filesystem)
{
    if (!filesystem_tells(filesystem))
        return "not used: it would not tell what was lost; each file is synced";
    return filesystem_kernel_tells() ? "tells what was lost: one for many files"
                                     : "not used: before Linux 5.8 it does not tell what was lost";
}

static void tell_file(const struct options *options, const struct cache *cache,
                      const struct file *file)
{
    static const char *const grades[] = {
        [EVIDENCE_NONE] = "none: its content is always compared",
        [EVIDENCE_WEAK] = "weak: the same size and time are not believed",
        [EVIDENCE_STRONG] = "strong: size and times tell a change"};
    char text[POLICY_WHY_BYTES + 64], name[64], memory[TEXT_NUMBER_BYTES], offset[32];
    tell(options->json, "system", filesystem_name(file->filesystem, name, sizeof(name)));
    snprintf(text, sizeof(text), "%s (%s)", policy_name(cache->kind), cache->why);
    tell(options->json, "cache", text);
    snprintf(offset, sizeof(offset), "offset %u", file->dio_offset_bytes);
    snprintf(memory, sizeof(memory), "memory %u", file->dio_memory_bytes);
    snprintf(text, sizeof(text), "%s%s%s", file->dio_known ? memory : "not told by statx",
             file->dio_known ? ", " : "", file->dio_known ? offset : "");
    tell(options->json, "alignment", text);
    tell(options->json, "measured", residency_name(cache->residency.method));
    tell(options->json, "writeback", cache->range_writeback ? "sync_file_range" : "fdatasync");
    tell(options->json, "syncfs", syncs_of(file->filesystem));
    tell(options->json, "evidence", grades[file->facts.evidence.grade]);
}

/* The file of a path; of a folder a new one in it, which has no name and is gone with us. */
static int open_path(struct file *file, const char *path, struct error *err)
{
    struct facts facts;
    char link[TEXT_NUMBER_BYTES];
    int result = file_describe(path, &facts, err);
    if (result < 0 || facts.kind != FILE_FOLDER)
        return result < 0 ? result : file_open_source(file, path, err);
    AUTO_CLOSE int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, errno, "%s: no file without a name can be made there to look at",
                         path);
    return file_open_source(file, text_fd_link(link, fd), err);
}

static int look_at_path(const struct options *options, const char *path, struct error *err)
{
    struct file file;
    struct cache cache = {0};
    struct cache_pool *pool = calloc(1, sizeof(*pool));
    const struct job job = {.wish = options->wish.file};
    tell_begin(options->json, "path", path);
    file_init(&file);
    int result = pool ? open_path(&file, path, err)
                      : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to look at it");
    if (result == 0) {
        pool->window_bytes = 8 * MIB;
        const struct cache_need need = {
            .path = path, .why = "", .size_bytes = file.facts.size_bytes, .reading = true};
        result = cache_open(&cache, pool, &file, &job, &need, err);
    }
    if (result == 0) {
        tell_file(options, &cache, &file);
        tell_end(options->json);
    }
    cache_close(&cache);
    file_close(&file);
    free(pool);
    return result;
}

/* ---- a host ---- */

/* What the shell there does: who it is, which haul; then each line comes back, until the one that
 * begins the measuring. */
static const char host_script[] =
    "sh -c 'uname -m; v=`haul -V 2>/dev/null` || v=none; echo $v; "
    "while read -r x; do if [ \"$x\" = go ]; then break; fi; echo $x; done; "
    "cat >/dev/null; echo end'";

static int host_line(struct link *link, char line[LINE_BYTES], struct error *err)
{
    for (size_t length = 0; length + 1 < LINE_BYTES; length++) {
        int result = link_recv_all(link, line + length, 1, STEP_SECONDS * NS_PER_SECOND, err);
        if (result == LINK_EOF)
            return link_shutdown(link, NS_PER_SECOND, err) < 0
                       ? -ECHILD
                       : error_set_class(err, ERROR_START, EPROTO, "%s: no shell answers there",
                                         link->peer);
        if (result < 0)
            return result;
        if (line[length] == '\n') {
            line[length] = '\0';
            return 0;
        }
    }
    return error_set_class(err, ERROR_START, EPROTO, "%s: something else than a shell answers",
                           link->peer);
}

/* The least of some round trips, in ns. */
static int host_echoes(struct link *link, uint64_t *least_ns, struct error *err)
{
    char line[LINE_BYTES];
    int result = 0;
    *least_ns = NUM_UNKNOWN;
    for (int i = 0; result == 0 && i < ECHOES_COUNT; i++) {
        uint64_t began_ns = clock_now_ns();
        result = link_send_all(link, "x\n", 2, STEP_SECONDS * NS_PER_SECOND, err);
        if (result == 0)
            result = host_line(link, line, err);
        *least_ns = min_u64(*least_ns, clock_now_ns() - began_ns);
    }
    return result;
}

/* Bytes a second that the link alone takes: for a second, or RATE_BYTES_MAX of them. */
static int host_rate(struct link *link, uint64_t *rate, struct error *err)
{
    AUTO_FREE uint8_t *piece = calloc(1, PIECE_BYTES);
    char line[LINE_BYTES];
    uint64_t began_ns = clock_now_ns(), sent_bytes = 0;
    if (!piece)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory to measure the link");
    memset(piece, 'h', PIECE_BYTES);
    int result = link_send_all(link, "go\n", 3, STEP_SECONDS * NS_PER_SECOND, err);
    while (result == 0 && sent_bytes < RATE_BYTES_MAX &&
           clock_now_ns() - began_ns < NS_PER_SECOND) {
        result = link_send_all(link, piece, PIECE_BYTES, STEP_SECONDS * NS_PER_SECOND, err);
        sent_bytes += PIECE_BYTES;
    }
    while (result == 0 && (result = link->ops->send_eof(link, err)) == -EAGAIN)
        result = link_wait(link, LINK_SEND, NS_PER_SECOND, NULL) == -ETIMEDOUT ? -ETIMEDOUT : 0;
    if (result == 0)
        result = host_line(link, line, err);
    uint64_t spent_ns = clock_now_ns() - began_ns;
    *rate = (uint64_t)((double)sent_bytes / ((double)spent_ns / (double)NS_PER_SECOND));
    return result;
}

/* What --bootstrap would bring to such a machine. */
static void tell_agent(const struct options *options, const char *machine)
{
    struct agent agent;
    struct error err = {0};
    int result = agent_open(&agent, machine, 1, &err);
    tell(options->json, "agent", result == 0 ? agent.name : err.text);
    agent_close(&agent);
}

static int look_over_link(const struct options *options, struct link *link, struct error *err)
{
    char line[LINE_BYTES], words[LINE_BYTES], text[TEXT_NUMBER_BYTES];
    uint64_t least_ns, rate = NUM_UNKNOWN;
    int result = host_line(link, line, err);
    if (result < 0)
        return result;
    if (link->cipher)
        tell(options->json, "cipher", link->cipher);
    tell(options->json, "machine", text_escape(words, sizeof(words), line));
    tell_agent(options, line);
    result = host_line(link, line, err);
    if (result < 0)
        return result;
    tell(options->json, "haul", text_escape(words, sizeof(words), line));
    result = host_echoes(link, &least_ns, err);
    if (result < 0)
        return result;
    snprintf(text, sizeof(text), "%.2f ms", (double)least_ns / (double)NS_PER_MS);
    tell_number(options->json, "round_trip_ns", least_ns, text);
    result = host_rate(link, &rate, err);
    if (result == 0)
        tell_number(options->json, "link_bytes_per_second", rate, text_rate(text, rate));
    return result;
}

static int look_at_host(const struct options *options, const struct address *address,
                        struct error *err)
{
    char peer[ADDRESS_TEXT_BYTES];
    struct link *link = NULL;
    struct link_options how = options->wish.link;
    how.address = address;
    how.remote_command = host_script;
    tell_begin(options->json, "host", address_peer(peer, sizeof(peer), address));
    int result = link_open_direct(&link, &how, err);
    if (result == 0)
        result = look_over_link(options, link, err);
    link_close(link);
    if (result == 0)
        tell_end(options->json);
    return result;
}

/* ---- the command ---- */

int doctor_command(const struct options *options)
{
    struct error first = {0};
    for (uint32_t i = 0; i < options->operands_count; i++) {
        struct error err = {0};
        struct address address;
        const char *operand = options->operands[i];
        int result;
        if (i == 0)
            result = look_at_machine(options, &err);
        else if ((result = address_parse(&address, operand, &err)) < 0)
            tell_begin(options->json, "path", operand);
        else if (address.kind == ADDRESS_REMOTE)
            result = look_at_host(options, &address, &err);
        else
            result = look_at_path(options, operand, &err);
        if (result < 0) {
            tell_error(options->json, &err);
            (void)error_take(&first, &err);
        }
    }
    return error_is_set(&first) ? exit_code(first.class) : EXIT_CODE_DONE;
}
