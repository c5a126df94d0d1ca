/* local_probe.c - --dry-run: would OPEN succeed here? Looks at what it looks at, and changes
 * nothing. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/filesystem.h"
#include "haul/disk/pipe.h"
#include "haul/disk/probe.h"

#include <errno.h>
#include <fcntl.h>

/* What is asked for, or the file system is. What a file system makes of O_DIRECT is found out by
 * doing it. */
static int probe_cache(const struct local *self, const struct job *job, const char *path,
                       uint64_t filesystem, struct error *err)
{
    bool memory = filesystem_is_memory(filesystem);
    const struct cache_need need = {
        .path = path,
        .why = memory ? "the filesystem is itself page cache" : "as asked for",
        .kind = memory ? POLICY_PLAIN : job->wish.cache,
        .size_bytes = job->facts[SIDE_SOURCE].size_bytes,
        .reading = self->side.role == SIDE_SOURCE || job->wish.compare_only,
    };
    return cache_refuse(&self->pool, job, &need, err);
}

static int probe_reading(const struct local *self, const struct place *place, const struct job *job,
                         struct error *err)
{
    struct file file;
    const char *path = self->side.role == SIDE_SOURCE ? job->source_path : job->target_path;
    if (pipe_is_kind(job->facts[self->side.role].kind)) /* what is opened has begun */
        return 0;
    int result = file_open_source_in(&file, place, path, err);
    if (result == 0 && file.facts.kind == FILE_REGULAR)
        result = probe_cache(self, job, file.path, file.filesystem, err);
    file_close(&file);
    return result;
}

static int probe_writing(const struct local *self, const struct place *place, const struct job *job,
                         struct error *err)
{
    const struct facts *source = &job->facts[SIDE_SOURCE], *target = &job->facts[SIDE_TARGET];
    const struct probe_wish wish = {
        .size_bytes = source->size_bytes,
        .room_bytes = job->wish.preallocate ? source->size_bytes
                                            : min_u64(source->allocated_bytes, source->size_bytes),
        .write_devices = job->wish.write_devices,
        .aside = job->wish.no_inplace,
    };
    int result = probe_target(place, job->target_path, &wish, err);
    if (result < 0 || target->kind == FILE_DEVICE || pipe_is_kind(target->kind))
        return result;
    AUTO_CLOSE int fd = place_reach_folder(place, job->target_path, O_PATH);
    uint64_t filesystem = fd >= 0 ? filesystem_type(fd) : 0;
    AUTO_FREE char *shown = place_shown(place, job->target_path);
    return probe_cache(self, job, shown ? shown : job->target_path, filesystem, err);
}

int local_probe(const struct local *self, const struct place *place, const struct job *job,
                struct error *err)
{
    if (self->side.role == SIDE_SOURCE || job->wish.compare_only)
        return probe_reading(self, place, job, err);
    int result = probe_writing(self, place, job, err);
    return result < 0 ? result : ledger_probe(place, job, err);
}
