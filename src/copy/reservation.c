/* reservation.c - which paths are one file. A table over two keys of each entry: the medium of what
 * is there, and the name in its folder. */
#include "haul/copy/reservation.h"

#include "haul/base/hash.h"
#include "haul/disk/evidence.h"
#include "haul/disk/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 2, BUCKETS_MIN = 64, FOLDERS = 2 };

/* What is kept of an entry: there are three for each file of a run. */
struct held {
    char *path;       /* owned; may be NULL */
    const char *what; /* as in the entry, and so are these */
    uint32_t number;
    uint16_t machine;
    uint8_t use, kind;
    uint64_t size_bytes;
    uint64_t media[4];   /* of the evidence: machine, device, inode, offset */
    uint64_t keys[KEYS]; /* of the file, of the name; 0: none */
};

struct reservation {
    struct held *held;
    uint32_t count, capacity;
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
    for (uint32_t i = 0; i < self->count; i++)
        free(self->held[i].path);
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
    char folder[PATH_MAX] = ".";
    const char *name = place_name(entry->path);
    size_t length = (size_t)(name - entry->path);
    if (length >= sizeof(folder))
        return 0;
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

static struct facts facts_of(const struct held *held)
{
    return (struct facts){
        .kind = (enum file_kind)held->kind,
        .size_bytes = held->size_bytes,
        .evidence = {.machine = held->media[0],
                     .medium_device = held->media[1],
                     .medium_inode = held->media[2],
                     .medium_offset = held->media[3]},
    };
}

static bool are_one(const struct held *a, const struct held *b)
{
    bool named = a->keys[1] != 0 && a->keys[1] == b->keys[1];
    bool filed = a->keys[0] != 0 && a->keys[0] == b->keys[0];
    if (named && a->machine == b->machine)
        return true;
    const struct facts facts[] = {facts_of(a), facts_of(b)};
    return filed && evidence_overlap(&facts[0], &facts[1]);
}

static const char *what_is(const struct held *entry)
{
    static const char *const names[] = {
        [RESERVATION_SOURCE] = "a source",
        [RESERVATION_TARGET] = "a target",
        [RESERVATION_JOURNAL] = "the journal of a target",
        [RESERVATION_OWN] = "a file of its own",
        [RESERVATION_COMPARED] = "what is compared",
        [RESERVATION_OUTPUT] = "what is printed",
    };
    return entry->what ? entry->what : names[entry->use];
}

static int refuse(const struct held *a, const struct held *b, struct error *err)
{
    const char *first = a->path ? a->path : what_is(a), *second = b->path ? b->path : what_is(b);
    return error_set_class(err, ERROR_USAGE, EINVAL,
                           "%s (%s) and %s (%s) are one file, and it would be written over", first,
                           what_is(a), second, what_is(b));
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

static int check(const struct held *old, const struct held *new, struct error *err)
{
    if (may_share(old, new) || !are_one(old, new))
        return 0;
    return refuse(new, old, err);
}

/* Against those that have a key with it. */
static int check_all(const struct reservation *self, const struct held *new, struct error *err)
{
    for (int i = 0; i < KEYS; i++) {
        uint32_t link = new->keys[i] ? self->buckets[new->keys[i] % self->buckets_count] : 0;
        while (link > 0) {
            uint32_t index = link / KEYS - 1;
            if (check(&self->held[index], new, err) < 0)
                return -EINVAL;
            link = self->chained[link % KEYS][index];
        }
    }
    return 0;
}

int reservation_add(struct reservation *self, const struct reservation_entry *entry,
                    struct error *err)
{
    const struct evidence *evidence = &entry->facts.evidence;
    struct held new = {
        .path = entry->path ? strdup(entry->path) : NULL,
        .what = entry->what,
        .number = entry->number,
        .machine = (uint16_t)entry->machine,
        .use = (uint8_t)entry->use,
        .kind = (uint8_t)entry->facts.kind,
        .size_bytes = entry->facts.size_bytes,
        .media = {evidence->machine, evidence->medium_device, evidence->medium_inode,
                  evidence->medium_offset},
    };
    new.keys[0] = entry->use == RESERVATION_JOURNAL ? 0 : key_of_file(entry);
    new.keys[1] = key_of_name(self, entry);
    int result = (entry->path && !new.path) ? -ENOMEM : grow(self);
    if (result < 0)
        error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    else
        result = check_all(self, &new, err);
    if (result < 0) {
        free(new.path);
        return result;
    }
    self->held[self->count] = new;
    chain(self, self->count++);
    return 0;
}

int reservation_add_output(struct reservation *self, int fd, const char *what, struct error *err)
{
    char name[] = "standard output";
    const struct file file = {.fd = fd, .path = name};
    struct reservation_entry entry = {.use = RESERVATION_OUTPUT, .what = what};
    struct error ignored = {.class = ERROR_NONE};
    if (file_facts(&file, &entry.facts, &ignored) < 0)
        return 0;
    if (entry.facts.kind != FILE_REGULAR && entry.facts.kind != FILE_DEVICE)
        return 0;
    return reservation_add(self, &entry, err);
}
