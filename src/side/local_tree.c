/* local_tree.c - walks, lists and removals beneath a root. All of it are steps: plain blocking
 * calls in threads; what stays between them are the tours, by the number of their job. */
#include "local_state.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/disk/beside.h"
#include "haul/disk/entry.h"
#include "haul/disk/listing.h"
#include "haul/disk/removal.h"
#include "haul/disk/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Paths in a tree, and what is beneath it, are those of its root. */
static int tree_check(const struct work *work, struct error *err)
{
    const struct place *place = work->place;
    const struct job *job = work->slot->job;
    if (!place || !place->tree)
        return error_set_class(err, ERROR_PROTOCOL, EINVAL, "a tree without a root");
    if (!place_may_read(place))
        return error_set_class(
            err, ERROR_FILE, EACCES,
            "%s%s: haul is restricted to writing there, nothing can be read", place_prefix(place),
            work->self->side.role == SIDE_SOURCE ? job->source_path : job->target_path);
    return 0;
}

static int tree_refused(const struct work *work, const char *path, int result, const char *doing)
{
    return error_set(work->slot->error, -result, "%s%s: %s", place_prefix(work->place), path,
                     doing);
}

static uint32_t tree_room(const struct slot *slot)
{
    return slot->buffer ? num_u32(min_u64(slot->length, slot->capacity)) : 0;
}

/* ---- tours ---- */

struct tour {
    uint32_t job_number, root_number;
    uint32_t users;      /* calls that are in it */
    atomic_bool walking; /* one of them is in its walk */
    bool left;           /* the last one frees it */
    struct rules *rules; /* NULL: none */
    struct walk *walk;
};

static void tour_free(struct tour *tour)
{
    walk_close(tour->walk);
    rules_close(tour->rules);
    free(tour);
}

/* By what it is looked for. */
enum tour_key { TOUR_OF_JOB, TOUR_OF_ROOT, TOUR_OF_ANY };

static bool tour_is(const struct tour *tour, const struct job *job, enum tour_key key)
{
    return tour && (key == TOUR_OF_ANY ||
                    (key == TOUR_OF_ROOT ? tour->root_number == job->roots[SIDE_SOURCE].number
                                         : tour->job_number == job->number));
}

/* Until tour_give(). NULL: there is none. */
static struct tour *tour_take(struct tours *tours, const struct job *job, enum tour_key key)
{
    struct tour *found = NULL;
    pthread_mutex_lock(&tours->lock);
    for (int i = 0; i < TOURS_MAX && !found; i++) {
        if (tour_is(tours->all[i], job, key))
            found = tours->all[i];
    }
    if (found)
        found->users++;
    pthread_mutex_unlock(&tours->lock);
    return found;
}

static void tour_give(struct tours *tours, struct tour *tour)
{
    if (!tour)
        return;
    pthread_mutex_lock(&tours->lock);
    bool last = --tour->users == 0 && tour->left;
    pthread_mutex_unlock(&tours->lock);
    if (last)
        tour_free(tour);
}

void local_tours_init(struct tours *tours)
{
    *tours = (struct tours){.all = {NULL}};
    pthread_mutex_init(&tours->lock, NULL); /* cannot fail on Linux */
}

void local_tours_leave(struct tours *tours, const struct job *job)
{
    struct tour *last[TOURS_MAX] = {NULL};
    pthread_mutex_lock(&tours->lock);
    for (int i = 0; i < TOURS_MAX; i++) {
        struct tour *tour = tours->all[i];
        if (!tour || (job && tour->job_number != job->number))
            continue;
        tours->all[i] = NULL;
        tour->left = true;
        last[i] = tour->users == 0 ? tour : NULL;
    }
    pthread_mutex_unlock(&tours->lock);
    for (int i = 0; i < TOURS_MAX; i++) {
        if (last[i])
            tour_free(last[i]);
    }
}

void local_tours_close(struct tours *tours)
{
    local_tours_leave(tours, NULL);
    pthread_mutex_destroy(&tours->lock);
}

/* false: there are too many. */
static bool tour_keep(struct tours *tours, struct tour *tour)
{
    bool kept = false;
    pthread_mutex_lock(&tours->lock);
    for (int i = 0; i < TOURS_MAX && !kept; i++) {
        kept = !tours->all[i];
        if (kept)
            tours->all[i] = tour;
    }
    pthread_mutex_unlock(&tours->lock);
    return kept;
}

/* The root's own path, from / on, for rules that are compared with that. */
static void tour_root_path(const struct place *place, char out[PATH_MAX])
{
    char link[TEXT_NUMBER_BYTES];
    ssize_t length = readlink(text_fd_link(link, place->fd), out, PATH_MAX - 1);
    out[length > 0 ? length : 0] = '\0';
    if (length <= 0) /* no /proc, or it is too long */
        snprintf(out, PATH_MAX, "%s", place_prefix(place));
}

static int tour_rules(struct tour *tour, const struct place *place, struct bytes *wish,
                      struct error *err)
{
    char path[PATH_MAX];
    if (bytes_left(wish) == 0)
        return 0;
    int result = rules_unpack(&tour->rules, wish);
    if (result == -EPROTO || (result == 0 && bytes_left(wish) > 0))
        return error_set_class(err, ERROR_PROTOCOL, EPROTO, "the rules of a tour make no sense");
    tour_root_path(place, path);
    if (result == 0 && rules_set_root(tour->rules, path))
        return 0;
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the rules of a tour");
}

static int tour_begin(struct tour *tour, const struct work *work, struct error *err)
{
    const struct slot *slot = work->slot;
    struct bytes bytes = bytes_reader(slot->buffer, tree_room(slot));
    uint32_t flags = bytes_get_u32(&bytes);
    if (bytes.failed || flags & ~(uint32_t)TOUR_FLAGS)
        return error_set_class(err, ERROR_PROTOCOL, EPROTO,
                               "a tour was asked for what this haul does not know (%x)", flags);
    int result = tour_rules(tour, work->place, &bytes, err);
    const struct walk_wish wish = {
        .listed = flags & TOUR_LISTED,
        .recursive = flags & TOUR_RECURSIVE,
        .one_filesystem = flags & TOUR_ONE_FILESYSTEM,
        .links = flags & TOUR_LINKS,
        .devices = flags & TOUR_DEVICES,
        .specials = flags & TOUR_SPECIALS,
        .owners = flags & TOUR_NAMES ? work->self->owners : NULL,
        .rules = tour->rules,
    };
    if (result == 0)
        result = walk_open(&tour->walk, &wish, work->place, slot->job->source_path, err);
    return result;
}

int local_tour(struct local *self, struct work *work)
{
    struct error *err = work->slot->error;
    int result = tree_check(work, err);
    struct tour *tour = result == 0 ? calloc(1, sizeof(*tour)) : NULL;
    if (!tour)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a walk");
    tour->job_number = work->slot->job->number;
    tour->root_number = work->slot->job->roots[SIDE_SOURCE].number;
    result = tour_begin(tour, work, err);
    if (result == 0 && !tour_keep(&self->tours, tour))
        result = error_set(err, EMFILE, "too many walks at once");
    if (result < 0)
        tour_free(tour);
    return result;
}

/* Its walk is ours until tour_stand(). NULL, with words. */
static struct tour *tour_walk(struct tours *tours, const struct slot *slot)
{
    struct tour *tour = tour_take(tours, slot->job, TOUR_OF_JOB);
    if (tour && !atomic_exchange(&tour->walking, true))
        return tour;
    tour_give(tours, tour);
    error_set_class(slot->error, ERROR_PROTOCOL, EBADF,
                    "a walk that has not begun, or is under way, was asked to go on");
    return NULL;
}

static void tour_stand(struct tours *tours, struct tour *tour)
{
    atomic_store(&tour->walking, false);
    tour_give(tours, tour);
}

int local_walk(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    struct bytes out = bytes_writer(slot->buffer, tree_room(slot));
    if (out.capacity < ENTRY_BYTES_MAX)
        return error_set_class(slot->error, ERROR_PROTOCOL, EINVAL, "no room for a walk");
    struct tour *tour = tour_walk(&self->tours, slot);
    if (!tour)
        return -EBADF;
    slot->extent_start = walk_next(tour->walk, work->place, &out);
    slot->count = num_u32(out.length);
    tour_stand(&self->tours, tour);
    return 0;
}

int local_names(struct local *self, struct work *work)
{
    const struct slot *slot = work->slot;
    struct tour *tour = tour_walk(&self->tours, slot);
    if (!tour)
        return -EBADF;
    int result = walk_names(tour->walk, slot->buffer, tree_room(slot), slot->error);
    tour_stand(&self->tours, tour);
    return result;
}

/* ---- what is there, and what is not ---- */

/* The file system has not told: look. */
static enum file_kind list_kind(int fd, const char *name)
{
    struct stat st;
    struct facts facts = {.kind = FILE_OTHER};
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        file_facts_from_stat(&facts, &st);
    return facts.kind;
}

/* 1: there are more; 0: those were all. */
static int list_names(int fd, struct slot *slot, struct listing *listing)
{
    struct bytes out = bytes_writer(slot->buffer, tree_room(slot));
    struct listing_name found;
    int result = listing_seek(listing, fd, slot->offset);
    if (result < 0)
        return result;
    while ((result = listing_next(listing, fd, &found)) > 0) {
        struct entry entry = {.type = ENTRY_NAME, .name = found.name, .facts.kind = found.kind};
        if (strlen(found.name) > ENTRY_NAME_MAX)
            return -ENAMETOOLONG;
        if (found.kind == FILE_NONE)
            entry.facts.kind = list_kind(fd, found.name);
        if (!entry_pack(&out, &entry))
            break;
        slot->extent_start = found.cookie;
        slot->count = num_u32(out.length);
    }
    return result;
}

int local_list(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    const char *path = slot->job->target_path;
    struct listing listing = {.capacity = LISTING_BYTES};
    int result = tree_check(work, slot->error);
    (void)self;
    if (result == 0 && tree_room(slot) < ENTRY_BYTES_MAX)
        result = error_set_class(slot->error, ERROR_PROTOCOL, EINVAL, "no room for a list");
    if (result < 0)
        return result;
    AUTO_CLOSE int fd = place_reach(work->place, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (fd < 0)
        return tree_refused(work, path, fd, "this folder cannot be opened");
    AUTO_FREE uint8_t *buffer = malloc(LISTING_BYTES);
    listing.buffer = buffer;
    result = buffer ? list_names(fd, slot, &listing) : -ENOMEM;
    if (result < 0)
        return tree_refused(work, path, result, "this folder cannot be listed");
    if (result == 0)
        slot->extent_start = 0;
    return 0;
}

/* Names of a folder of the target that may have to go, as the source sees them. */
struct missing {
    const struct rules *rules;
    int fd;     /* the folder at the source; -1: it is not there, nor anything in it */
    char *path; /* with room for a name behind `length` */
    size_t length;
};

/* What is hidden at the source counts as not there: unless a rule protects it, too. */
static bool missing_is(const struct missing *missing, const char *name, bool folder)
{
    struct stat st;
    bool gone = missing->fd < 0;
    strcpy(missing->path + missing->length, name);
    if (rules_protect(missing->rules, missing->path, folder, gone))
        return false;
    if (!gone && fstatat(missing->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        gone = errno == ENOENT;
    else if (!gone)
        gone = rules_hide(missing->rules, missing->path, S_ISDIR(st.st_mode));
    return gone;
}

/* Of a name that was too long to be in it: all names of the folder are asked. */
static bool missing_has_owner(const struct missing *missing, const char *own)
{
    struct listing listing = {.capacity = LISTING_BYTES};
    struct listing_name found;
    int result;
    if (missing->fd < 0)
        return false;
    AUTO_CLOSE int fd = openat(missing->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE uint8_t *buffer = malloc(LISTING_BYTES);
    listing.buffer = buffer;
    if (fd < 0 || !buffer)
        return true;
    while ((result = listing_next(&listing, fd, &found)) > 0) {
        if (strlen(found.name) <= ENTRY_NAME_MAX && beside_is_of(own, found.name) &&
            !missing_is(missing, found.name, found.kind == FILE_FOLDER))
            return true;
    }
    return result < 0;
}

/* What lies beside something, a journal or a name that is not renamed yet, stays as long as that
 * does: it may just be copied, or a rule protects it. */
static bool missing_goes(const struct missing *missing, const char *name, enum file_kind kind)
{
    char owner[ENTRY_NAME_MAX + 1];
    size_t length;
    if (!missing_is(missing, name, kind == FILE_FOLDER))
        return false;
    if (kind == FILE_FOLDER)
        return true;
    while (beside_is_name(name, &length)) { /* there may be a journal of what is not renamed yet */
        if (length == 0)
            return !missing_has_owner(missing, name);
        memmove(owner, name + 1, length);
        owner[length] = '\0';
        if (!missing_is(missing, owner, false))
            return false;
        name = owner;
    }
    return true;
}

/* Those that are missing take the place of all. */
static int missing_sift(const struct missing *missing, struct slot *slot)
{
    char name[ENTRY_NAME_MAX + 1];
    struct bytes in = bytes_reader(slot->buffer, tree_room(slot));
    struct bytes out = bytes_writer(slot->buffer, tree_room(slot));
    struct entry entry;
    int result;
    while ((result = entry_unpack(&in, &entry, slot->error)) > 0) {
        if (entry.type != ENTRY_NAME)
            return error_set_class(slot->error, ERROR_PROTOCOL, EPROTO,
                                   "a list of names has something else in it");
        entry.name = strcpy(name, entry.name); /* what is put may lie over it */
        if (missing_goes(missing, name, entry.facts.kind))
            entry_pack(&out, &entry);
    }
    slot->count = num_u32(out.length);
    return result;
}

/* Was it removed, though we hold it? Then all names would be missing in it. */
static bool folder_is_dead(int fd)
{
    _Alignas(8) uint8_t buffer[LISTING_BYTES_MIN];
    struct listing listing = {.buffer = buffer, .capacity = sizeof(buffer)};
    struct listing_name found;
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_nlink > 0)
        return false;
    AUTO_CLOSE int fd_listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return (fd_listed < 0 ? -errno : listing_next(&listing, fd_listed, &found)) == -ENOENT;
}

/* What is in a folder that goes from the target is missing, whatever there is at the source: it may
 * be left out there. What is in one that has gone from the source meanwhile is the next run's to
 * remove. */
int local_missing(struct local *self, struct work *work)
{
    struct slot *slot = work->slot;
    const char *path = slot->job->source_path;
    struct missing missing = {.length = strlen(path)};
    int result = tree_check(work, slot->error);
    if (result < 0)
        return result;
    bool goes = slot->job->facts[SIDE_SOURCE].kind == FILE_NONE;
    AUTO_CLOSE int fd = goes ? -ENOENT : place_reach(work->place, path, O_PATH | O_DIRECTORY);
    if (fd < 0 && fd != -ENOENT)
        return tree_refused(work, path, fd, "this folder cannot be looked at");
    if (fd >= 0 && folder_is_dead(fd)) {
        slot->count = 0;
        return 0;
    }
    AUTO_FREE char *room = malloc(missing.length + 1 + ENTRY_NAME_MAX + 1);
    if (!room)
        return error_set_class(slot->error, ERROR_MEMORY, ENOMEM, "no memory for a path");
    missing.path = stpcpy(room, path) - missing.length;
    if (missing.length > 0)
        missing.path[missing.length++] = '/';
    missing.fd = fd < 0 ? -1 : fd;
    /* All sources of a run have the same rules, and only one of them is walked at a time. */
    struct tour *tour = tour_take(&self->tours, slot->job, TOUR_OF_ROOT);
    if (!tour)
        tour = tour_take(&self->tours, slot->job, TOUR_OF_ANY);
    missing.rules = tour ? tour->rules : NULL;
    result = tour ? missing_sift(&missing, slot)
                  : error_set_class(slot->error, ERROR_PROTOCOL, EBADF,
                                    "names were asked for without a walk");
    tour_give(&self->tours, tour);
    return result;
}

/* ---- what goes ---- */

/* Not written since, and the same one. Of one with several names the change of status says nothing:
 * another one may just have been removed. */
static bool remove_same(const struct facts *then, const struct facts *now)
{
    bool touched = then->ctime_seconds != now->ctime_seconds || then->ctime_ns != now->ctime_ns;
    return then->kind == now->kind && then->device == now->device && then->inode == now->inode &&
           then->size_bytes == now->size_bytes && facts_same_mtime(then, now) &&
           !(touched && then->links == 1);
}

/* --remove-source-files: only what was committed, and nothing that is another one by now. */
static int remove_source(struct work *work)
{
    const struct job *job = work->slot->job;
    const char *path = job->source_path;
    struct error *err = work->slot->error;
    struct facts now;
    AUTO_CLOSE int fd_folder = place_reach_folder(work->place, path, O_PATH | O_DIRECTORY);
    if (fd_folder < 0)
        return tree_refused(work, path, fd_folder, "cannot be removed");
    const char *name = place_name(path);
    AUTO_CLOSE int fd = openat(fd_folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return errno == ENOENT ? 0 : tree_refused(work, path, -errno, "cannot be removed");
    file_facts_from_stat(&now, &st);
    if (now.kind == FILE_FOLDER || !remove_same(&job->facts[SIDE_SOURCE], &now))
        return error_set_class(err, ERROR_CHANGED, ESTALE,
                               "%s%s: has changed since it was copied, and was not removed",
                               place_prefix(work->place), path);
    if (unlinkat(fd_folder, name, 0) != 0 && errno != ENOENT)
        return tree_refused(work, path, -errno, "cannot be removed");
    return 0;
}

/* What takes long may be somebody else's by its end. */
static int remove_target(const struct local *self, struct work *work)
{
    const uint64_t doubt_ns = self->config.doubt_ns;
    const struct removal_leave leave = {
        .over = &self->deserted,
        .until_ns = doubt_ns > 0 ? work->asked_ns + doubt_ns : 0,
    };
    int result = removal_of(work->place, work->slot->job->target_path, &leave, work->slot->error);
    return result == REMOVAL_LATE ? WORK_LATE : result;
}

int local_remove(struct local *self, struct work *work)
{
    struct error *err = work->slot->error;
    const struct job *job = work->slot->job;
    bool source = self->side.role == SIDE_SOURCE;
    int result = tree_check(work, err);
    if (result == 0 && !place_may_write(work->place))
        result = error_set_class(
            err, ERROR_FILE, EACCES,
            "%s%s: haul is restricted to reading there, nothing can be removed",
            place_prefix(work->place), source ? job->source_path : job->target_path);
    if (result < 0)
        return result;
    if (job->wish.dry)
        return removal_probe(work->place, source ? job->source_path : job->target_path, err);
    local_system_changes(self, work->place->fd);
    return source ? remove_source(work) : remove_target(self, work);
}

/* ---- durable ---- */

void local_systems_init(struct systems *systems)
{
    *systems = (struct systems){.count = 0};
    pthread_mutex_init(&systems->lock, NULL); /* cannot fail on Linux */
}

void local_systems_close(struct systems *systems)
{
    for (uint32_t i = 0; i < systems->count; i++)
        cleanup_close(&systems->all[i].fd);
    pthread_mutex_destroy(&systems->lock);
}

static void system_add(struct systems *systems, int fd, uint64_t device)
{
    if (systems->count == SYSTEMS_MAX) {
        systems->others = true;
        return;
    }
    int opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    systems->others |= opened < 0;
    systems->all[systems->count].fd = opened;
    systems->all[systems->count++].device = device;
}

void local_system_changes(struct local *self, int fd)
{
    struct systems *systems = &self->systems;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    pthread_mutex_lock(&systems->lock);
    bool known = false;
    for (uint32_t i = 0; i < systems->count && !known; i++)
        known = systems->all[i].device == st.st_dev;
    if (!known)
        system_add(systems, fd, st.st_dev);
    pthread_mutex_unlock(&systems->lock);
}

/* Those that there are so far, whose table only grows. What could not be opened goes with all; and
 * so does what another session has changed, of which only the root's tells errors. */
int local_sync_root(struct local *self, struct work *work)
{
    struct systems *systems = &self->systems;
    int result = 0;
    if (work->slot->conditional)
        local_system_changes(self, work->place->fd);
    pthread_mutex_lock(&systems->lock);
    uint32_t count = systems->count;
    bool others = systems->others || work->slot->conditional;
    pthread_mutex_unlock(&systems->lock);
    for (uint32_t i = 0; i < count; i++) {
        if (systems->all[i].fd >= 0 && syncfs(systems->all[i].fd) != 0 && result == 0)
            result = -errno;
    }
    if (others)
        sync();
    return result == 0 ? 0 : tree_refused(work, "", result, "sync to the disk");
}
