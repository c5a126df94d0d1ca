/* local_attributes.c - a target's owner, group, mode and times: at a commit, and of a target
 * whose data are left alone. What is set, and how, is attributes.c's to know. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct attributes local_wanted(const struct local *self, const struct job *job)
{
    const struct job_wish *wish = &job->wish;
    bool placed = self->config.place != NULL;
    struct attributes wanted = {
        /* Who may only put files here gets no program that runs with our rights. */
        .set_id = wish->set_id && !placed,
        .set_id_asked = wish->set_id,
        .why_no_set_id =
            placed ? "haul is restricted to a folder there"
                   : "they come from another machine, or get another owner (-p takes them)",
        .chown = wish->chown,
        .facts = job->facts[SIDE_SOURCE],
    };
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wanted.wish[i] = wish->attributes[i];
    return wanted;
}

/* --no-perms: a new file was made with what its folder and the umask gave it; what its owner needs
 * to resume it and the source has not goes now. */
static int local_new_mode(const struct open_file *open, const struct job *job,
                          struct attributes *wanted, struct error *err)
{
    struct facts now;
    bool ours = open->file.created || open->ledger.began_fresh;
    if (job->wish.attributes[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE || !ours)
        return 0;
    int result = file_facts(&open->file, &now, err);
    wanted->facts.mode &= now.mode & 0777;
    wanted->wish[ATTRIBUTE_MODE] = ATTRIBUTE_DEFAULT;
    return result;
}

int local_set_attributes(const struct local *self, struct open_file *open, const struct job *job,
                         struct error *err)
{
    struct attributes wanted = local_wanted(self, job);
    wanted.facts.kind = FILE_REGULAR; /* whatever the source is; a device keeps its own */
    int result = local_new_mode(open, job, &wanted, err);
    if (result == 0)
        result = attributes_apply(open->file.fd, open->file.path, &wanted, false, &open->attributes,
                                  err);
    if (result == 0)
        attributes_tell(open->file.path, &wanted, &open->attributes);
    /* Of a new file everything is new, and the time comes with every copy. */
    open->attributes.changed &= open->file.created ? 0 : (uint8_t)~ATTRIBUTE_BIT(ATTRIBUTE_TIMES);
    return result;
}

/* By O_PATH, which starts nothing, whatever is there by now, and needs no right to read it. */
static int local_reach(const struct place *place, const char *path, const char *shown,
                       struct error *err)
{
    int fd = place_may_read(place) && place_may_write(place)
                 ? place_reach(place, path, O_PATH | O_CLOEXEC | (place ? O_NOFOLLOW : 0))
                 : -EACCES;
    return fd >= 0 ? fd : error_set(err, -fd, "%s: cannot be looked at", shown);
}

static int local_open_path(int fd_path, int access)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd_path);
    return open(link, access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* What overlayfs copies up for it goes through the page cache: as at an open for writing that is
 * dropped, and told. Where nothing was copied up nothing was moved, and nothing is told. What
 * cannot be synced by us the system syncs. */
static int local_change(int fd_path, const char *path, const struct attributes *wanted,
                        struct attributes_outcome *outcome, struct side_report *report,
                        struct error *err)
{
    AUTO_CLOSE int before = local_open_path(fd_path, O_RDONLY);
    struct copy_up *copy_up = before >= 0 ? copy_up_expect(before) : NULL;
    int result = attributes_apply(fd_path, path, wanted, false, outcome, err);
    AUTO_CLOSE int after = local_open_path(fd_path, O_RDONLY); /* the upper file */
    if (after < 0)
        after = local_open_path(fd_path, O_WRONLY);
    if (result == 0 && after >= 0 && fsync(after) != 0)
        result = error_set(err, errno, "%s: sync to the disk", path);
    struct copy_up_left left = copy_up_finish(copy_up, after, true);
    if (left.peak_bytes > 0 && left.left_bytes != NUM_UNKNOWN) {
        report->resident_before_bytes = left.before_bytes;
        report->resident_peak_bytes = left.before_bytes + left.peak_bytes;
        report->resident_after_bytes = left.before_bytes + left.left_bytes;
    }
    return result;
}

int local_adjust(struct local *self, struct work *work)
{
    struct job *job = work->slot->job;
    AUTO_FREE char *path = place_shown(work->place, job->target_path);
    struct attributes wanted = local_wanted(self, job);
    struct attributes_outcome outcome;
    struct side_report *report = &job->reports[SIDE_TARGET];
    if (!path)
        return error_set_class(&work->slot->error, ERROR_MEMORY, ENOMEM, "no memory for a name");
    AUTO_CLOSE int fd = local_reach(work->place, job->target_path, path, &work->slot->error);
    if (fd < 0)
        return fd;
    wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE; /* they are what said that it is finished */
    int result = attributes_apply(fd, path, &wanted, true, &outcome, &work->slot->error);
    if (result == 0 && !job->wish.dry && outcome.changed)
        result = local_change(fd, path, &wanted, &outcome, report, &work->slot->error);
    if (result < 0)
        return result;
    report->attributes_changed = outcome.changed;
    report->attributes_lost = outcome.lost;
    report->attributes_asked = outcome.asked;
    /* What cannot be kept by default was told when the file was copied. */
    if (outcome.asked || outcome.changed)
        attributes_tell(path, &wanted, &outcome);
    return 0;
}
