/* tour_owner.c - the names of users and groups that a walk has told. There are as many as there are
 * owners of files, whatever the number of files is. */
#include "tour_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tour_maps_owners(const struct tour *tour)
{
    return tour_is_far(tour) && !tour->wish->file.numeric_ids;
}

static const char *owner_name(const struct tour *tour, enum owners_kind kind, uint32_t id)
{
    const struct tour_owner *owner = tour->owners[id % TOUR_OWNERS_BUCKETS];
    while (owner && (owner->id != id || owner->kind != kind))
        owner = owner->next;
    return owner ? owner->name : NULL;
}

int owner_see(struct tour *tour, const struct entry *entry)
{
    struct tour_owner **bucket = &tour->owners[entry->id % TOUR_OWNERS_BUCKETS];
    enum owners_kind kind = entry->type == ENTRY_USER ? OWNERS_USER : OWNERS_GROUP;
    if (owner_name(tour, kind, entry->id))
        return 0;
    struct tour_owner *owner = malloc(sizeof(*owner));
    char *name = strdup(entry->text);
    if (!owner || !name) {
        free(owner);
        free(name);
        return -ENOMEM;
    }
    *owner = (struct tour_owner){.next = *bucket, .kind = kind, .id = entry->id, .name = name};
    *bucket = owner;
    return 0;
}

void owner_names_of(const struct tour *tour, const struct facts *facts, struct owner_names *names)
{
    if (!names)
        return;
    *names = (struct owner_names){{"", ""}};
    const char *user = owner_name(tour, OWNERS_USER, facts->uid);
    const char *group = owner_name(tour, OWNERS_GROUP, facts->gid);
    if (user && strlen(user) < OWNER_NAME_BYTES)
        strcpy(names->of[OWNERS_USER], user);
    if (group && strlen(group) < OWNER_NAME_BYTES)
        strcpy(names->of[OWNERS_GROUP], group);
}

void owner_close_all(struct tour *tour)
{
    for (int i = 0; i < TOUR_OWNERS_BUCKETS; i++) {
        while (tour->owners[i]) {
            struct tour_owner *owner = tour->owners[i];
            tour->owners[i] = owner->next;
            free(owner->name);
            free(owner);
        }
    }
}

/* ---- what only a target's side can tell ---- */

bool tour_wants_details(const struct tour *tour)
{
    const uint32_t *wish = tour->wish->attributes;
    return attributes_detail_sets(wish[ATTRIBUTE_XATTRS], wish[ATTRIBUTE_ACLS]) != 0;
}

bool tour_looks(const struct tour *tour)
{
    return tour_wants_details(tour) || tour_maps_owners(tour);
}
