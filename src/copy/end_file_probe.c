/* end_file_probe.c - --dry-run: would OPEN succeed here? Looks at what it looks at, and changes
 * nothing. */
#include "end_file.h"

#include "haul/cleanup.h"
#include "haul/num.h"
#include "haul/probe.h"
#include "haul/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/vfs.h>

enum {
    WINDOW_BYTES_MIN = 2 * 1024 * 1024
}; /* of a large folio: dropping half of one does nothing */

uint32_t end_file_window_bytes(const struct end_file *self, const struct job *job, bool reading,
                               uint32_t *windows_limit)
{
    uint32_t window_bytes = (uint32_t)max_u64(self->config.window_bytes, job->chunk_bytes);
    uint32_t least = (uint32_t)min_u64(max_u64(WINDOW_BYTES_MIN, job->chunk_bytes), window_bytes);
    uint64_t most = job->wish.cache_max_set ? job->wish.cache_max_bytes : NUM_UNKNOWN;
    /* Being filled, being written back, being dropped. */
    *windows_limit = self->config.windows_count ? self->config.windows_count : 3;
    while (window_bytes > least && (uint64_t)*windows_limit * window_bytes > most)
        window_bytes /= 2;
    if ((uint64_t)*windows_limit * window_bytes > most)
        *windows_limit = 2;
    if (reading && window_bytes > least) { /* nothing is gained by dropping more at a time */
        *windows_limit =
            num_u32(min_u64(*windows_limit * (window_bytes / least), POLICY_WINDOWS_MAX));
        window_bytes = least;
    }
    return window_bytes;
}

int end_file_refuse_cache(const struct end_file *self, const struct job *job,
                          const struct cache_need *need, struct error *err)
{
    char size[TEXT_NUMBER_BYTES];
    uint32_t windows_limit,
        window_bytes = end_file_window_bytes(self, job, need->reading, &windows_limit);
    uint64_t windows = (uint64_t)windows_limit * window_bytes, most_bytes = 0;
    uint64_t budget_bytes = job->wish.cache_max_set ? job->wish.cache_max_bytes
                                                    : self->config.in_flight_bytes + windows;
    if (need->kind == POLICY_PLAIN)
        most_bytes = need->size_bytes;
    else if (need->kind == POLICY_WINDOW)
        most_bytes = min_u64(need->size_bytes, windows);
    if (need->kind == POLICY_WINDOW && self->config.windows_do_not_fit)
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "%s: not enough memory for windows of the page cache (%s); %u of %s "
                               "do not fit beside the buffers",
                               need->path, need->why, windows_limit, text_size(size, window_bytes));
    if (!job->wish.strict || most_bytes <= budget_bytes)
        return 0;
    return error_set_class(err, ERROR_CACHE, ENOBUFS,
                           "%s: %s would %s in the page cache (%s), and --strict forbids it",
                           need->path, text_size(size, most_bytes),
                           need->kind == POLICY_PLAIN ? "stay" : "be at a time", need->why);
}

/* What is asked for, or the file system is. What a file system makes of O_DIRECT is found out by
 * doing it. */
static int probe_cache(const struct end_file *self, const struct job *job, const char *path,
                       uint64_t filesystem, struct error *err)
{
    bool memory = file_is_memory_filesystem(filesystem);
    const struct cache_need need = {
        .path = path,
        .why = memory ? "the filesystem is itself page cache" : "as asked for",
        .kind = memory ? POLICY_PLAIN : job->wish.cache,
        .size_bytes = job->facts[END_SOURCE].size_bytes,
        .reading = self->end.role == END_SOURCE || job->wish.compare_only,
    };
    return end_file_refuse_cache(self, job, &need, err);
}

static int probe_reading(const struct end_file *self, const struct job *job, const char *path,
                         struct error *err)
{
    struct file file;
    int result = file_open_source_in(&file, self->config.place, path, err);
    if (result == 0 && file.facts.kind == FILE_REGULAR)
        result = probe_cache(self, job, path, file.filesystem, err);
    file_close(&file);
    return result;
}

static int probe_writing(const struct end_file *self, const struct job *job, struct error *err)
{
    struct statfs fs;
    const struct facts *source = &job->facts[END_SOURCE], *target = &job->facts[END_TARGET];
    const struct probe_wish wish = {
        .size_bytes = source->size_bytes,
        .room_bytes = job->wish.preallocate ? source->size_bytes
                                            : min_u64(source->allocated_bytes, source->size_bytes),
        .write_devices = job->wish.write_devices,
    };
    int result = probe_target(self->config.place, job->target_path, &wish, err);
    if (result < 0 || target->kind == FILE_DEVICE)
        return result;
    AUTO_CLOSE int fd = place_reach_folder(self->config.place, job->target_path, O_PATH);
    bool known = fd >= 0 && fstatfs(fd, &fs) == 0;
    uint64_t filesystem = known ? (uint64_t)fs.f_type & UINT32_MAX : 0;
    return probe_cache(self, job, job->target_path, filesystem, err);
}

int end_file_probe(const struct end_file *self, const struct job *job, struct error *err)
{
    if (self->end.role == END_SOURCE)
        return probe_reading(self, job, job->source_path, err);
    if (job->wish.compare_only)
        return probe_reading(self, job, job->target_path, err);
    int result = probe_writing(self, job, err);
    return result < 0 ? result : ledger_probe(self->config.place, job, err);
}
