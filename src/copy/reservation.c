/* reservation.c - which paths are one file. A table over two keys of each entry: the medium of what
 * is there, and the name in its folder. */
#include "haul/copy/reservation.h"

#include "haul/base/hash.h"
#include "haul/disk/beside.h"
#include "haul/disk/evidence.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 2, BUCKETS_MIN = 64, FOLDERS = 2 };

/* What is kept of an entry, in few bytes: there are three for each file of a run. */
struct held {
    char *path;          /* NULL: none; of what is beside a target: the target's */
    uint64_t keys[KEYS]; /* of the file, of the name; 0: none */
    uint32_t number;
    uint32_t rare; /* index + 1; 0: nothing more is known of it */
    uint16_t machine;
    uint8_t use;
    bool owns_path;
};

/* What most have not: a name of their own, a place on a device. */
struct rare {
    const char *what; /* as in the entry */
    bool device;
    struct facts facts; /* of a device */
};

struct reservation {
    struct held *held;
    uint32_t count, capacity;
    struct rare *rares;
    uint32_t rares_count;
    uint32_t *buckets; /* by key: index + 1 of the last one; 0: none */
    uint32_t *chained[KEYS];
    uint32_t buckets_count;
    /* Of the folders on this machine that were looked at last: most often names come by folders,
     * and sources and targets in turn. */
    struct {
        char path[PATH_MAX];
        uint64_t key;
    } folders[FOLDERS];
    uint32_t folders_next;
};

int reservation_open(struct reservation **out, struct error *err)
{
    struct reservation *self = calloc(1, sizeof(*self));
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    *out = self;
    return 0;
}

void reservation_close(struct reservation *self)
{
    if (!self)
        return;
    for (int i = 0; i < KEYS; i++)
        free(self->chained[i]);
    for (uint32_t i = 0; i < self->count; i++) {
        if (self->held[i].owns_path)
            free(self->held[i].path);
    }
    free(self->rares);
    free(self->buckets);
    free(self->held);
    free(self);
}

uint32_t reservation_count(const struct reservation *self)
{
    return self->count;
}

/* ---- keys ---- */

static uint64_t key_of(const void *data, size_t length, uint64_t seed)
{
    return checksum_of(data, length, seed) | 1; /* 0 is none */
}

static uint64_t key_of_file(const struct reservation_entry *entry)
{
    const struct evidence *evidence = &entry->facts.evidence;
    const uint64_t words[] = {evidence->machine, evidence->medium_device, evidence->medium_inode};
    bool known = entry->facts.kind != FILE_NONE && words[0] != 0 && words[1] != 0;
    return known ? key_of(words, sizeof(words), 1) : 0;
}

static uint64_t key_of_folder_here(struct reservation *self, const char *folder)
{
    struct facts facts;
    for (uint32_t i = 0; i < FOLDERS; i++) {
        if (strcmp(self->folders[i].path, folder) == 0)
            return self->folders[i].key;
    }
    if (file_describe(folder, &facts, NULL) < 0 || facts.kind != FILE_FOLDER)
        return 0;
    const uint64_t words[] = {facts.device, facts.inode};
    uint32_t next = self->folders_next++ % FOLDERS;
    strcpy(self->folders[next].path, folder);
    self->folders[next].key = key_of(words, sizeof(words), 2);
    return self->folders[next].key;
}

/* The folder of a path on this machine is looked at; elsewhere its name has to do. */
static uint64_t key_of_folder(struct reservation *self, const struct reservation_entry *entry)
{
    char folder[PATH_MAX]; /* most of it is not touched */
    const char *name = place_name(entry->path);
    size_t length = (size_t)(name - entry->path);
    if (length >= sizeof(folder))
        return 0;
    strcpy(folder, ".");
    if (length > 0) {
        memcpy(folder, entry->path, length);
        folder[length] = '\0';
    }
    if (entry->machine > 0)
        return key_of(folder, strlen(folder), entry->machine);
    return key_of_folder_here(self, folder);
}

static uint64_t key_of_name(struct reservation *self, const struct reservation_entry *entry)
{
    uint64_t folder = entry->path ? key_of_folder(self, entry) : 0;
    const char *name = entry->path ? place_name(entry->path) : "";
    return folder != 0 && *name ? key_of(name, strlen(name), folder) : 0;
}

/* ---- who may be one file ---- */

static bool is_written(const struct held *entry)
{
    return entry->use != RESERVATION_SOURCE && entry->use != RESERVATION_COMPARED;
}

static bool may_share(const struct held *a, const struct held *b)
{
    if (!is_written(a) && !is_written(b))
        return true;
    if (a->use == RESERVATION_OUTPUT && b->use == RESERVATION_OUTPUT)
        return true;
    bool pair = (a->use == RESERVATION_SOURCE && b->use == RESERVATION_TARGET) ||
                (a->use == RESERVATION_TARGET && b->use == RESERVATION_SOURCE);
    return pair && a->number == b->number;
}

static const struct rare *rare_of(const struct reservation *self, const struct held *held)
{
    static const struct rare none;
    return held->rare ? &self->rares[held->rare - 1] : &none;
}

/* The key of the file says what lies where; of two devices not every place is the same. */
static bool are_one(const struct reservation *self, const struct held *a, const struct held *b)
{
    const struct rare *x = rare_of(self, a), *y = rare_of(self, b);
    bool named = a->keys[1] != 0 && a->keys[1] == b->keys[1];
    bool filed = a->keys[0] != 0 && a->keys[0] == b->keys[0];
    if (named && a->machine == b->machine)
        return true;
    return filed && (!x->device || !y->device || evidence_overlap(&x->facts, &y->facts));
}

static const char *what_is(const struct reservation *self, const struct held *entry)
{
    static const char *const names[] = {
        [RESERVATION_SOURCE] = "a source",
        [RESERVATION_TARGET] = "a target",
        [RESERVATION_JOURNAL] = "the journal of a target",
        [RESERVATION_ASIDE] = "what takes the place of a target",
        [RESERVATION_OWN] = "a file of its own",
        [RESERVATION_COMPARED] = "what is compared",
        [RESERVATION_OUTPUT] = "what is printed",
    };
    const char *what = rare_of(self, entry)->what;
    return what ? what : names[entry->use];
}

enum { SHOWN_BYTES = PATH_MAX + BESIDE_NAME_BYTES };

/* Of what lies beside a target. */
static void path_beside(char out[SHOWN_BYTES], const char *target, uint8_t use)
{
    char name[BESIDE_NAME_BYTES];
    const char *last = place_name(target);
    beside_name(name, last, use == RESERVATION_JOURNAL ? BESIDE_JOURNAL : BESIDE_NEW);
    snprintf(out, SHOWN_BYTES, "%.*s%s", (int)(last - target), target, name);
}

static const char *path_of(const struct reservation *self, const struct held *held,
                           char out[SHOWN_BYTES])
{
    if (!held->path)
        return what_is(self, held);
    if (held->use != RESERVATION_JOURNAL && held->use != RESERVATION_ASIDE)
        return held->path;
    path_beside(out, held->path, held->use);
    return out;
}

static int refuse(const struct reservation *self, const struct held *a, const struct held *b,
                  struct error *err)
{
    char first[SHOWN_BYTES], second[SHOWN_BYTES];
    return error_set_class(
        err, ERROR_USAGE, EINVAL, "%s (%s) and %s (%s) are one file, and it would be written over",
        path_of(self, a, first), what_is(self, a), path_of(self, b, second), what_is(self, b));
}

/* ---- the table ---- */

static void chain(struct reservation *self, uint32_t index)
{
    for (int i = 0; i < KEYS; i++) {
        uint64_t key = self->held[index].keys[i];
        uint32_t *bucket = &self->buckets[key % self->buckets_count];
        self->chained[i][index] = 0;
        if (key == 0)
            continue;
        self->chained[i][index] = *bucket;
        *bucket = (index + 1) * KEYS + (uint32_t)i;
    }
}

static int grow(struct reservation *self)
{
    if (self->count < self->capacity)
        return 0;
    uint32_t capacity = self->capacity ? self->capacity * 2 : BUCKETS_MIN;
    struct held *held = realloc(self->held, capacity * sizeof(*held));
    if (held)
        self->held = held;
    free(self->buckets);
    self->buckets = calloc(capacity, sizeof(*self->buckets));
    bool all = held && self->buckets;
    for (int i = 0; i < KEYS; i++) {
        free(self->chained[i]);
        self->chained[i] = calloc(capacity, sizeof(*self->chained[i]));
        all = all && self->chained[i];
    }
    if (!all)
        return -ENOMEM;
    self->capacity = self->buckets_count = capacity;
    for (uint32_t index = 0; index < self->count; index++)
        chain(self, index);
    return 0;
}

static int check(const struct reservation *self, const struct held *old, const struct held *new,
                 struct error *err)
{
    if (may_share(old, new) || !are_one(self, old, new))
        return 0;
    return refuse(self, new, old, err);
}

/* Against those that have a key with it. */
static int check_all(const struct reservation *self, const struct held *new, struct error *err)
{
    for (int i = 0; i < KEYS; i++) {
        uint32_t link = new->keys[i] ? self->buckets[new->keys[i] % self->buckets_count] : 0;
        while (link > 0) {
            uint32_t index = link / KEYS - 1;
            if (check(self, &self->held[index], new, err) < 0)
                return -EINVAL;
            link = self->chained[link % KEYS][index];
        }
    }
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
}

/* Keeps it where nothing speaks against it; what it owns goes otherwise. */
static int keep(struct reservation *self, struct held *new, struct error *err)
{
    int result = grow(self) < 0 ? no_memory(err) : check_all(self, new, err);
    if (result < 0 && new->owns_path)
        free(new->path);
    if (result < 0)
        return result;
    self->held[self->count] = *new;
    chain(self, self->count++);
    return 0;
}

static int keep_rare(struct reservation *self, struct held *new,
                     const struct reservation_entry *entry)
{
    const struct rare rare = {
        .what = entry->what,
        .device = entry->facts.kind == FILE_DEVICE,
        .facts = entry->facts,
    };
    if (!rare.what && !rare.device)
        return 0;
    struct rare *rares = realloc(self->rares, (self->rares_count + 1) * sizeof(*rares));
    if (!rares)
        return -ENOMEM;
    self->rares = rares;
    rares[self->rares_count++] = rare;
    new->rare = self->rares_count;
    return 0;
}

int reservation_add(struct reservation *self, const struct reservation_entry *entry,
                    struct error *err)
{
    struct held new = {
        .path = (char *)(uintptr_t)entry->path,
        .number = entry->number,
        .machine = (uint16_t)entry->machine,
        .use = (uint8_t)entry->use,
        .keys = {key_of_file(entry), key_of_name(self, entry)},
    };
    if (keep_rare(self, &new, entry) < 0)
        return no_memory(err);
    if (entry->path && !entry->lasts) {
        new.owns_path = (new.path = strdup(entry->path)) != NULL;
        if (!new.owns_path)
            return no_memory(err);
    }
    return keep(self, &new, err);
}

int reservation_add_beside(struct reservation *self, enum reservation_use use, struct error *err)
{
    char path[SHOWN_BYTES];
    uint32_t at = self->count - 1;
    while (self->held[at].use != RESERVATION_TARGET)
        at--;
    const struct held *target = &self->held[at];
    path_beside(path, target->path, (uint8_t)use);
    const struct reservation_entry entry = {.path = path, .machine = target->machine};
    struct held new = {
        .path = target->path,
        .number = target->number,
        .machine = target->machine,
        .use = (uint8_t)use,
        .keys = {0, key_of_name(self, &entry)},
    };
    return keep(self, &new, err);
}

int reservation_add_output(struct reservation *self, int fd, const char *what, struct error *err)
{
    char name[] = "standard output";
    const struct file file = {.fd = fd, .path = name};
    struct reservation_entry entry = {.use = RESERVATION_OUTPUT, .what = what};
    ERROR_UNSET(ignored);
    if (file_facts(&file, &entry.facts, &ignored) < 0)
        return 0;
    if (entry.facts.kind != FILE_REGULAR && entry.facts.kind != FILE_DEVICE)
        return 0;
    return reservation_add(self, &entry, err);
}
