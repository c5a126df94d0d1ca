/* roots.h - the roots of trees that a side holds open, by their numbers.
 *
 * As many trees may be asked for as a command line names; a few roots are held at a time, those
 * that were used last. One that is opened again has to be the folder that it was. Any thread; calls
 * may block on the filesystem. */
#ifndef HAUL_ROOTS_H
#define HAUL_ROOTS_H

#include "haul/disk/job.h"
#include "haul/disk/place.h"

#include <pthread.h>

/* Open at a time: more than there are threads that can be in one of them. Known: identities that
 * are remembered after their root was closed. */
enum { ROOTS_OPEN_MAX = 32, ROOTS_KNOWN_MAX = 256 };

struct root {
    uint32_t number;
    uint32_t users;
    uint64_t used; /* the last time, as a count */
    struct place place;
    uint64_t device, inode;
};

struct roots {
    pthread_mutex_t lock;
    const struct place *within; /* all lie in this --restrict place; NULL: on the whole machine */
    uint64_t uses;
    uint32_t known_count;
    struct root known[ROOTS_KNOWN_MAX];
};

/* An empty table. `within` has to live as long as it. Nobody may be in a root when it is closed. */
void roots_init(struct roots *roots, const struct place *within);
void roots_close(struct roots *roots);

/* The place of a job's path: that of its root, which is the caller's until roots_release(), or
 * `within` where the job has none. 0 or -errno with words, as place_open_tree(); -ESTALE: another
 * folder has taken its name since it was first seen. */
int roots_hold(struct roots *roots, const struct job_root *root, const struct place **place,
               struct error *err);
/* Of what roots_hold() has given. */
void roots_release(struct roots *roots, const struct place *place);

#endif
