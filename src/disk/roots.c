/* roots.c - a table of roots, and which of them are open. What a place is, place.c knows. */
#include "haul/disk/roots.h"

#include "haul/base/num.h"

#include <assert.h>
#include <errno.h>

void roots_init(struct roots *roots, const struct place *within)
{
    roots->within = within;
    roots->uses = 0;
    roots->known_count = 0;
    pthread_mutex_init(&roots->lock, NULL); /* cannot fail on Linux */
}

void roots_close(struct roots *roots)
{
    for (uint32_t i = 0; i < roots->known_count; i++)
        place_close(&roots->known[i].place);
    pthread_mutex_destroy(&roots->lock);
}

/* The one that has not been used for the longest time and is in nobody's use; open ones only, or
 * any. NULL: all are in use. */
static struct root *root_oldest(struct roots *roots, bool open)
{
    struct root *oldest = NULL;
    for (uint32_t i = 0; i < roots->known_count; i++) {
        struct root *root = &roots->known[i];
        if (root->users > 0 || (open && root->place.fd < 0))
            continue;
        if (!oldest || root->used < oldest->used)
            oldest = root;
    }
    return oldest;
}

static struct root *root_find(struct roots *roots, uint32_t number)
{
    for (uint32_t i = 0; i < roots->known_count; i++) {
        if (roots->known[i].number == number)
            return &roots->known[i];
    }
    struct root *root = &roots->known[roots->known_count];
    if (roots->known_count < ROOTS_KNOWN_MAX) {
        roots->known_count++;
    } else {
        root = root_oldest(roots, false);
        assert(root); /* more are known than can be in use */
        place_close(&root->place);
    }
    *root = (struct root){.number = number, .place.fd = -1};
    return root;
}

static void roots_make_room(struct roots *roots)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < roots->known_count; i++)
        count += roots->known[i].place.fd >= 0;
    struct root *oldest = count < ROOTS_OPEN_MAX ? NULL : root_oldest(roots, true);
    if (oldest)
        place_close(&oldest->place);
}

/* Whoever has put another folder there meanwhile does not get the rest of the tree. */
static int root_check(struct root *root, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(root->place.fd, &st) != 0)
        return error_set(err, errno, "%s: cannot be looked at", path);
    if (root->inode == 0 && root->device == 0) {
        root->device = st.st_dev;
        root->inode = st.st_ino;
    }
    if (root->device == st.st_dev && root->inode == st.st_ino)
        return 0;
    return error_set_class(err, ERROR_FILE, ESTALE,
                           "%s: another folder has taken its place; run it again", path);
}

static int root_open(struct roots *roots, struct root *root, const char *path, struct error *err)
{
    roots_make_room(roots);
    int result = place_open_tree(&root->place, roots->within, path, err);
    if (result == 0)
        result = root_check(root, path, err);
    if (result < 0)
        place_close(&root->place);
    return result;
}

int roots_hold(struct roots *roots, const struct job_root *wanted, const struct place **place,
               struct error *err)
{
    int result = 0;
    *place = roots->within;
    if (wanted->number == 0)
        return 0;
    pthread_mutex_lock(&roots->lock);
    struct root *root = root_find(roots, wanted->number);
    if (root->place.fd < 0)
        result = root_open(roots, root, wanted->path, err);
    if (result == 0) {
        root->users++;
        root->used = ++roots->uses;
        *place = &root->place;
    }
    pthread_mutex_unlock(&roots->lock);
    return result;
}

void roots_release(struct roots *roots, const struct place *place)
{
    if (!place || place == roots->within)
        return;
    struct root *root = (struct root *)((char *)(uintptr_t)place - offsetof(struct root, place));
    pthread_mutex_lock(&roots->lock);
    assert(root->users > 0);
    root->users--;
    pthread_mutex_unlock(&roots->lock);
}
