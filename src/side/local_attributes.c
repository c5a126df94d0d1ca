/* local_attributes.c - a target's owner, group, details, mode and times: at a commit, and of a
 * target whose data are left alone, or that has none. What is set, and how, is attributes.c's to
 * know. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

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
        .names = wish->numeric_ids || !job->names ? NULL : &job->names[SIDE_SOURCE],
        .owners = self->owners,
    };
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wanted.wish[i] = wish->attributes[i];
    return wanted;
}

/* --no-perms: a new file was made with what its folder and the umask gave it; what its owner needs
 * to resume it and the source has not goes now. */
static void local_new_mode(const struct stat *now, struct attributes *wanted)
{
    if (wanted->wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE)
        return;
    wanted->facts.mode &= now->st_mode & 0777;
    wanted->wish[ATTRIBUTE_MODE] = ATTRIBUTE_DEFAULT;
}

/* What is written aside gets those of an older one before all of its own: a change of the owner
 * takes capabilities away, and one of the mode is one of its list. */
static void local_inherit(struct open_file *open)
{
    if (!open->inherited)
        file_inherit(&open->file);
    open->inherited = true;
}

/* That older one's mode is its own by now. */
static bool local_is_new(const struct open_file *open)
{
    return (open->file.created || open->ledger.began_fresh) &&
           open->file.replaced.kind != FILE_REGULAR;
}

int local_set_attributes(const struct local *self, struct open_file *open, const struct job *job,
                         struct error *err)
{
    struct attributes wanted = local_wanted(self, job);
    struct attributes_outcome outcome = {.changed = 0};
    struct stat now;
    local_inherit(open);
    wanted.facts.kind = FILE_REGULAR; /* whatever the source is; a device keeps its own */
    wanted.seen = &now;
    int result = fstat(open->file.fd, &now) == 0
                     ? 0
                     : error_set(err, errno, "%s: cannot be looked at", open->file.path);
    if (result == 0 && local_is_new(open))
        local_new_mode(&now, &wanted);
    if (result == 0)
        result = attributes_apply(open->file.fd, open->file.path, &wanted, false, &outcome, err);
    if (result == 0)
        attributes_tell(open->file.path, &wanted, &outcome, self->told);
    attributes_add(&open->attributes, &outcome);
    /* Of a new file everything is new, and the time comes with every copy. */
    open->attributes.changed &= open->file.created ? 0 : (uint8_t)~ATTRIBUTE_BIT(ATTRIBUTE_TIMES);
    return result;
}

/* All of a new file is new: nothing of it has changed. And the time comes with every copy. */
static int local_put_some(const struct local *self, struct work *work,
                          const struct attributes *wanted, struct error *err)
{
    struct batch_file *small = work->small;
    const char *path = small->shown;
    struct attributes_outcome outcome;
    int result = attributes_apply(small->file.fd, path, wanted, false, &outcome, err);
    if (result < 0)
        return result;
    attributes_tell(path, wanted, &outcome, self->told);
    outcome.changed &= small->file.replaced ? (uint8_t)~ATTRIBUTE_BIT(ATTRIBUTE_TIMES) : 0;
    attributes_add(&small->attributes, &outcome);
    return 0;
}

int local_put_attributes(const struct local *self, struct work *work, const struct stat *seen,
                         struct error *err)
{
    const struct job *job = work->slot->job;
    struct attributes wanted = local_wanted(self, job);
    wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE;
    wanted.seen = seen;
    local_new_mode(seen, &wanted);
    return local_put_some(self, work, &wanted, err);
}

int local_replace_attributes(const struct local *self, struct work *work, const struct stat *seen,
                             struct error *err)
{
    struct attributes wanted = local_wanted(self, work->slot->job);
    wanted.seen = seen;
    return local_put_some(self, work, &wanted, err);
}

int local_put_times(const struct local *self, struct work *work, const struct stat *seen,
                    struct error *err)
{
    const struct job *job = work->slot->job;
    struct attributes wanted = {.facts = job->facts[SIDE_SOURCE], .seen = seen};
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        wanted.wish[i] = i == ATTRIBUTE_TIMES ? job->wish.attributes[i] : ATTRIBUTE_LEAVE;
    return local_put_some(self, work, &wanted, err);
}

/* By O_PATH, which starts nothing, whatever is there by now, and needs no right to read it. Only
 * the operator's own path to a file may end in a symbolic link. */
static int local_reach(const struct work *work, const char *shown, struct error *err)
{
    const struct place *place = work->place;
    const struct job *job = work->slot->job;
    bool follow = !place && job->facts[SIDE_SOURCE].kind != FILE_LINK;
    int fd = place_may_read(place) && place_may_write(place)
                 ? place_reach(place, job->target_path, O_PATH | (follow ? 0 : O_NOFOLLOW))
                 : -EACCES;
    return fd >= 0 ? fd : error_set(err, -fd, "%s: cannot be looked at", shown);
}

static int local_open_path(int fd_path, int access)
{
    char link[TEXT_NUMBER_BYTES];
    return open(text_fd_link(link, fd_path), access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* Of a regular file. What overlayfs copies up for it goes through the page cache: as at an open for
 * writing that is dropped, and told. Where nothing was copied up nothing was moved, and nothing is
 * told. What cannot be synced by us the system syncs; in a tree everything is, at its end. */
static int local_change(struct work *work, int fd_path, const char *path,
                        const struct attributes *wanted, struct attributes_outcome *outcome)
{
    struct side_report *report = &work->slot->job->reports[SIDE_TARGET];
    struct error *err = work->slot->error;
    bool tree = work->slot->job->roots[SIDE_TARGET].number > 0;
    AUTO_CLOSE int before = local_open_path(fd_path, O_RDONLY);
    struct copy_up *copy_up = before >= 0 ? copy_up_expect(before) : NULL;
    int result = attributes_apply(fd_path, path, wanted, false, outcome, err);
    AUTO_CLOSE int after = local_open_path(fd_path, O_RDONLY); /* the upper file */
    if (after < 0)
        after = local_open_path(fd_path, O_WRONLY);
    if (result == 0 && !tree && after >= 0 && fsync(after) != 0)
        result = error_set(err, errno, "%s: sync to the disk", path);
    struct copy_up_left left = copy_up_finish(copy_up, after, true);
    if (left.peak_bytes > 0 && left.left_bytes != NUM_UNKNOWN) {
        report->resident_before_bytes = left.before_bytes;
        report->resident_peak_bytes = left.before_bytes + left.peak_bytes;
        report->resident_after_bytes = left.before_bytes + left.left_bytes;
    }
    return result;
}

/* Beneath a root something else may have taken the name meanwhile. */
static int local_check_kind(const struct work *work, int fd, const char *path, struct error *err)
{
    const struct job *job = work->slot->job;
    struct stat now;
    if (fstat(fd, &now) != 0)
        return error_set(err, errno, "%s: cannot be looked at", path);
    if (job->roots[SIDE_TARGET].number == 0 ||
        file_kind_of(now.st_mode) == job->facts[SIDE_SOURCE].kind)
        return 0;
    return error_set_class(err, ERROR_FILE, ESTALE, "%s: something else has taken its place", path);
}

static int local_adjust_to(const struct local *self, struct work *work, const char *path,
                           const struct details *details)
{
    struct job *job = work->slot->job;
    struct error *err = work->slot->error;
    struct attributes wanted = local_wanted(self, job);
    struct attributes_outcome outcome;
    struct side_report *report = &job->reports[SIDE_TARGET];
    bool regular = job->facts[SIDE_SOURCE].kind == FILE_REGULAR;
    AUTO_CLOSE int fd = local_reach(work, path, err);
    int result = fd < 0 ? fd : local_check_kind(work, fd, path, err);
    if (result < 0)
        return result;
    if (work->place && !job->wish.dry) {
        local_system_changes(work->self, work->place->fd); /* most often it is this one */
        local_system_changes(work->self, fd);
    }
    wanted.details = details;
    wanted.foretells = job->wish.dry;
    if (details && details_go_on(details->packed, details->packed_bytes)) /* behind all pieces */
        wanted.wish[ATTRIBUTE_MODE] = wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE;
    if (regular && !job->wish.dry) /* else they were asked for: it would be copied */
        wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE; /* they are what said that it is finished */
    if (regular || job->wish.dry)
        result = attributes_apply(fd, path, &wanted, true, &outcome, err);
    if (result == 0 && regular && !job->wish.dry && outcome.changed)
        result = local_change(work, fd, path, &wanted, &outcome);
    else if (result == 0 && !regular && !job->wish.dry)
        result = attributes_apply(fd, path, &wanted, false, &outcome, err);
    if (result < 0)
        return result;
    report->attributes_changed = outcome.changed;
    report->attributes_lost = outcome.lost;
    report->attributes_asked = outcome.asked;
    /* What cannot be kept by default was told when the file was copied. */
    if (outcome.asked || outcome.changed)
        attributes_tell(path, &wanted, &outcome, self->told);
    return 0;
}

/* What comes before the commit: the owner, whose change would take capabilities away again, and
 * the details. The rest is the commit's. */
static int local_dress_open(const struct local *self, struct work *work,
                            const struct details *details)
{
    const uint8_t own = ATTRIBUTE_BIT(ATTRIBUTE_XATTRS) | ATTRIBUTE_BIT(ATTRIBUTE_ACLS);
    struct open_file *open = work->open;
    struct attributes wanted = local_wanted(self, work->slot->job);
    struct attributes_outcome outcome;
    local_inherit(open);
    wanted.facts.kind = FILE_REGULAR;
    wanted.details = details;
    wanted.wish[ATTRIBUTE_MODE] = wanted.wish[ATTRIBUTE_TIMES] = ATTRIBUTE_LEAVE;
    int result = attributes_apply(open->file.fd, open->file.path, &wanted, false, &outcome,
                                  work->slot->error);
    outcome.lost &= own; /* the commit tells of the owner */
    outcome.asked &= own;
    if (result == 0)
        attributes_tell(open->file.path, &wanted, &outcome, self->told);
    attributes_add(&open->attributes, &outcome);
    return result;
}

int local_give(const struct local *self, struct work *work, const struct details *details)
{
    AUTO_FREE char *path = place_shown(work->place, work->slot->job->target_path);
    if (!path)
        return error_set_class(work->slot->error, ERROR_MEMORY, ENOMEM, "no memory for a name");
    return work->open ? local_dress_open(self, work, details)
                      : local_adjust_to(self, work, path, details);
}

int local_adjust(struct local *self, struct work *work)
{
    return local_give(self, work, NULL);
}
