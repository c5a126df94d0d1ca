/* local_entry.c - what a tree has besides regular files, made; and what every file has beside its
 * data: extended attributes and access control lists, read and given. How is node.c's and
 * details.c's to know. */
#include "local_state.h"

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/disk/beside.h"
#include "haul/disk/details.h"
#include "haul/disk/evidence.h"
#include "haul/disk/journal.h"
#include "haul/disk/node.h"
#include "haul/disk/spelling.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- MAKE ---- */

static int entry_refuse(const struct place *place, const struct facts *facts, const char *path,
                        struct error *err)
{
    bool device = facts->kind == FILE_DEVICE || facts->kind == FILE_CHARACTER;
    if (!place_may_write(place) || !place_may_read(place))
        return error_set(err, EACCES, "%s: cannot be made there", path);
    if (device && place_restricts(place))
        return error_set_class(err, ERROR_FILE, EACCES,
                               "%s: is a device, and haul is restricted to a folder there", path);
    if (facts->kind == FILE_NONE || facts->kind == FILE_OTHER)
        return error_set_class(err, ERROR_FILE, EINVAL, "%s: is nothing that can be made", path);
    return 0;
}

/* What the user reads; what the tour makes of a link that cannot be is its own. */
static int entry_not_made(const char *path, const struct job *job, int result, struct error *err)
{
    if (error_is_set(err)) /* another one's */
        return result;
    if (result == -ENOTEMPTY)
        return error_set_class(
            err, ERROR_FILE, ENOTEMPTY,
            "%s: a folder that is not empty is in its place (--force or --delete "
            "removes it where no source is in it)",
            path);
    if (job->hard_link)
        return error_set(err, -result, "%s: cannot become another name of %s", path,
                         job->link_text);
    return error_set(err, -result, "%s: cannot be made", path);
}

/* What was there before. Of a new folder, and of one in the place of something else, the mode that
 * the umask and its own folder have given it, for when the source's is not wanted. */
static void entry_tell(int fd_folder, struct job *job, const struct node_made *made)
{
    struct facts *facts = &job->facts[SIDE_TARGET];
    struct stat now;
    *facts = (struct facts){.kind = FILE_NONE};
    job->made = made->made;
    if (made->existed)
        file_facts_from_stat(facts, &made->before);
    if (facts->kind == job->facts[SIDE_SOURCE].kind)
        evidence_take_coarseness(facts, fd_folder);
    else if (fstatat(fd_folder, place_name(job->target_path), &now, AT_SYMLINK_NOFOLLOW) == 0)
        facts->mode = now.st_mode & 07777 & ~(S_IRWXU & ~job->facts[SIDE_SOURCE].mode);
}

/* A file that was not finished is no more: nor is its journal. */
static void entry_end_journal(int fd_folder, const char *name, const struct node_made *made)
{
    char journal[BESIDE_NAME_BYTES];
    if (made->made == JOB_UNCHANGED || !made->existed || !S_ISREG(made->before.st_mode))
        return;
    beside_name(journal, name, BESIDE_JOURNAL);
    (void)journal_discard(fd_folder, journal, NULL);
}

/* What is in it needs no look at its spelling where names are what they are. */
static void entry_tell_folds(const struct work *work)
{
    struct job *job = work->slot->job;
    int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
    AUTO_CLOSE int fd = place_reach(work->place, job->target_path, flags);
    job->folds = fd < 0 || spelling_folds(fd);
}

/* The root itself is there: nothing can be made of it but what it is. */
static int entry_is_root(struct work *work, const char *path)
{
    struct job *job = work->slot->job;
    struct stat now;
    if (job->facts[SIDE_SOURCE].kind != FILE_FOLDER)
        return error_set_class(work->slot->error, ERROR_FILE, EISDIR, "%s: is a folder", path);
    if (fstat(work->place->fd, &now) != 0)
        return error_set(work->slot->error, errno, "%s: cannot be looked at", path);
    file_facts_from_stat(&job->facts[SIDE_TARGET], &now);
    evidence_take_coarseness(&job->facts[SIDE_TARGET], work->place->fd);
    job->made = JOB_UNCHANGED;
    entry_tell_folds(work);
    return 0;
}

static int entry_make(struct local *self, struct work *work, const char *path)
{
    struct job *job = work->slot->job;
    struct node_made made;
    struct node_wish wish = {
        .kind = job->facts[SIDE_SOURCE].kind,
        .link_text = job->link_text ? job->link_text : "",
        .rdev = job->facts[SIDE_SOURCE].rdev,
        .mode = job->wish.attributes[ATTRIBUTE_MODE] == ATTRIBUTE_LEAVE
                    ? job->facts[SIDE_SOURCE].mode
                    : S_IRUSR | S_IWUSR,
        .fd_leader_folder = -1,
        .spelled = job->wish.spelled ? work->slot->error : NULL,
    };
    int flags = O_PATH | O_DIRECTORY;
    AUTO_CLOSE int fd = place_reach_folder(work->place, job->target_path, flags);
    AUTO_CLOSE int fd_leader =
        job->hard_link ? place_reach_folder(work->place, wish.link_text, flags) : -1;
    bool to_come = job->wish.dry && fd_leader == -ENOENT; /* a run would have made it by now */
    if (fd < 0 || (job->hard_link && fd_leader < 0 && !to_come))
        return error_set(work->slot->error, fd < 0 ? -fd : -fd_leader,
                         "%s: its folder cannot be opened", path);
    if (job->hard_link) {
        wish.fd_leader_folder = to_come ? fd : fd_leader;
        wish.leader_name = to_come ? "" : place_name(wish.link_text);
    }
    local_system_changes(self, fd);
    int result = node_make(fd, place_name(job->target_path), &wish, job->wish.dry, &made);
    bool goes = result == -ENOTEMPTY && job->wish.replace_folders;
    if (goes && job->wish.dry)
        result = 0;
    if (result == 0)
        entry_tell(fd, job, &made);
    if (result == 0 && !job->wish.dry)
        entry_end_journal(fd, place_name(job->target_path), &made);
    return result == 0 || goes ? result : entry_not_made(path, job, result, work->slot->error);
}

int local_make(struct local *self, struct work *work)
{
    struct job *job = work->slot->job;
    AUTO_FREE char *path = place_shown(work->place, job->target_path);
    if (!path)
        return error_set_class(work->slot->error, ERROR_MEMORY, ENOMEM, "no memory for a name");
    int result = entry_refuse(work->place, &job->facts[SIDE_SOURCE], path, work->slot->error);
    if (result < 0)
        return result;
    if (work->place && job->target_path[0] == '\0')
        return entry_is_root(work, path);
    result = entry_make(self, work, path);
    if (result == -ENOTEMPTY && job->wish.replace_folders && !job->wish.dry) {
        result = local_remove(self, work);
        result = result != 0 ? result : entry_make(self, work, path);
    }
    if (result == 0 && job->facts[SIDE_SOURCE].kind == FILE_FOLDER)
        entry_tell_folds(work);
    return result;
}

/* ---- DETAIL, DRESS ---- */

/* Of what is open; else by O_PATH, and the caller's. */
static int entry_reach(const struct work *work, int *opened)
{
    const struct job *job = work->slot->job;
    bool follow = !work->place && job->facts[SIDE_SOURCE].kind != FILE_LINK;
    *opened = -1;
    if (work->open)
        return file_itself(&work->open->file);
    *opened = place_reach(work->place, job->source_path, O_PATH | (follow ? 0 : O_NOFOLLOW));
    return *opened;
}

static int entry_not_read(const char *path, int result, uint32_t room, struct error *err)
{
    if (result == -E2BIG)
        return error_set_class(
            err, ERROR_FILE, E2BIG,
            "%s: an access control list of it has more than %u bytes, what fits in a chunk "
            "(--chunk-size)",
            path, room);
    return error_set(err, -result, "%s: its extended attributes or lists cannot be read", path);
}

int local_detail(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    struct job *job = slot->job;
    struct stat st;
    AUTO_FREE char *path = place_shown(work->place, job->source_path);
    AUTO_CLOSE int opened = -1;
    int fd = entry_reach(work, &opened);
    struct bytes out = bytes_writer(slot->buffer, slot->length);
    struct details_wish wish = {
        .sets = attributes_detail_sets(job->wish.attributes[ATTRIBUTE_XATTRS],
                                       job->wish.attributes[ATTRIBUTE_ACLS]),
        .owners = job->wish.numeric_ids ? NULL : self->owners,
        .position = slot->offset,
    };
    int result = fd < 0 ? fd : fstat(fd, &st) == 0 ? 0 : -errno;
    if (result == 0)
        result = details_read(fd, st.st_mode, &wish, &out);
    slot->count = result == 0 ? (uint32_t)out.length : 0;
    slot->extent_start = result == 0 ? wish.position : 0;
    return result == 0 ? 0 : entry_not_read(path ? path : "", result, slot->length, slot->error);
}

int local_dress(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    const struct details details = {
        .packed = slot->buffer,
        .packed_bytes = slot->length,
        .owners = slot->job->wish.numeric_ids ? NULL : self->owners,
        .users_only = place_restricts(work->place),
    };
    if (!details_good(slot->buffer, slot->length))
        return error_set_class(slot->error, ERROR_PROTOCOL, EBADMSG,
                               "%s: what came as its extended attributes cannot be some",
                               slot->job->target_path);
    return local_give(self, work, &details);
}
