/* end_file_attributes.c - a target's owner, group, mode and times: at a commit, and of a target
 * whose data are left alone. What is set, and how, is attributes.c's to know. */
#include "end_file.h"

#include "haul/cleanup.h"
#include "haul/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct attributes end_file_wanted(const struct end_file *self, const struct job *job)
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
        .facts = job->facts[END_SOURCE],
    };
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wanted.wish[i] = wish->attributes[i];
    return wanted;
}

/* --no-perms: a new file was made with what its folder and the umask gave it; what its owner needs
 * to resume it and the source has not goes now. */
static int end_file_new_mode(const struct open_file *open, const struct job *job,
                             struct attributes *wanted, struct error *err)
{
    struct facts now;
    bool ours = open->file.created || open->began_fresh;
    if (job->wish.attributes[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE || !ours)
        return 0;
    int result = file_facts(&open->file, &now, err);
    wanted->facts.mode &= now.mode & 0777;
    wanted->wish[ATTRIBUTE_MODE] = ATTRIBUTE_DEFAULT;
    return result;
}

int end_file_set_attributes(const struct end_file *self, struct open_file *open,
                            const struct job *job, struct error *err)
{
    struct attributes wanted = end_file_wanted(self, job);
    int result = end_file_new_mode(open, job, &wanted, err);
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
static int end_file_reach(const struct end_file *self, const char *path, struct error *err)
{
    const struct place *place = self->config.place;
    int fd = place_may_read(place) && place_may_write(place)
                 ? place_reach(place, path, O_PATH | O_CLOEXEC | (place ? O_NOFOLLOW : 0))
                 : -EACCES;
    return fd >= 0 ? fd : error_set(err, -fd, "%s: cannot be looked at", path);
}

/* A file that may neither be read nor written cannot be synced by us: then the system does it. */
static int end_file_sync_path(int fd_path, const char *path, struct error *err)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd_path);
    AUTO_CLOSE int fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        fd = open(link, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fsync(fd) == 0)
        return 0;
    return error_set(err, errno, "%s: sync to the disk", path);
}

int end_file_adjust(struct end_file *self, struct work *work)
{
    struct job *job = work->slot->job;
    const char *path = job->target_path;
    struct attributes wanted = end_file_wanted(self, job);
    struct attributes_outcome outcome;
    AUTO_CLOSE int fd = end_file_reach(self, path, &work->error);
    if (fd < 0)
        return fd;
    wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE; /* they are what said that it is finished */
    int result = attributes_apply(fd, path, &wanted, job->wish.dry, &outcome, &work->error);
    if (result < 0)
        return result;
    struct side_report *report = &job->reports[END_TARGET];
    report->attributes_changed = outcome.changed;
    report->attributes_lost = outcome.lost;
    report->attributes_asked = outcome.asked;
    /* What cannot be kept by default was told when the file was copied. */
    if (outcome.asked || outcome.changed)
        attributes_tell(path, &wanted, &outcome);
    return outcome.changed && !job->wish.dry ? end_file_sync_path(fd, path, &work->error) : 0;
}
