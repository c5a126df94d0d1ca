/* owners.c - names and numbers of users and groups. It does not know whose file it is about. */
#include "haul/disk/owners.h"

#include "haul/base/cleanup.h"
#include "haul/base/hash.h"
#include "haul/base/num.h"
#include "haul/disk/file.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef WITH_NSS
#define WITH_NSS 1
#endif

/* Members of a group are in it, too. */
enum { RECORD_BYTES = 256 * 1024 };

/* ---- this machine's ---- */

static bool name_keep(char out[OWNER_NAME_BYTES], const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= OWNER_NAME_BYTES)
        return false;
    memcpy(out, name, length + 1);
    return true;
}

#if WITH_NSS

static bool look_up_name(enum owners_kind kind, const char *name, uint32_t *id)
{
    AUTO_FREE char *room = malloc(RECORD_BYTES);
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    if (!room)
        return false;
    if (kind == OWNERS_USER && getpwnam_r(name, &user, room, RECORD_BYTES, &found_user) == 0 &&
        found_user)
        *id = found_user->pw_uid;
    if (kind == OWNERS_GROUP && getgrnam_r(name, &group, room, RECORD_BYTES, &found_group) == 0 &&
        found_group)
        *id = found_group->gr_gid;
    return found_user || found_group;
}

static bool look_up_id(enum owners_kind kind, uint32_t id, char out[OWNER_NAME_BYTES])
{
    AUTO_FREE char *room = malloc(RECORD_BYTES);
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;
    if (!room)
        return false;
    if (kind == OWNERS_USER && getpwuid_r(id, &user, room, RECORD_BYTES, &found_user) == 0 &&
        found_user)
        return name_keep(out, found_user->pw_name);
    if (kind == OWNERS_GROUP && getgrgid_r(id, &group, room, RECORD_BYTES, &found_group) == 0 &&
        found_group)
        return name_keep(out, found_group->gr_name);
    return false;
}

#else

/* A static program must not load the name services of a machine whose C library is another: it
 * knows the files only, whose lines are "name:password:id:...". The next one, cut into its parts.
 */
static bool next_line(FILE *file, char line[RECORD_BYTES], uint32_t *id)
{
    uint64_t number;
    while (file && fgets(line, RECORD_BYTES, file)) {
        char *password = strchr(line, ':');
        char *digits = password ? strchr(password + 1, ':') : NULL;
        if (!digits)
            continue;
        digits++;
        *password = '\0';
        digits[strcspn(digits, ":\n")] = '\0';
        if (!num_parse_u64(digits, &number) || number >= UINT32_MAX)
            continue;
        *id = (uint32_t)number;
        return true;
    }
    return false;
}

/* The line of that name or, where it is NULL, of that number. */
static bool find_line(enum owners_kind kind, const char *name, uint32_t *id,
                      char out[OWNER_NAME_BYTES])
{
    AUTO_FREE char *line = malloc(RECORD_BYTES);
    FILE *file = line ? fopen(kind == OWNERS_USER ? "/etc/passwd" : "/etc/group", "re") : NULL;
    bool found = false;
    uint32_t number;
    while (!found && next_line(file, line, &number))
        found = name ? strcmp(line, name) == 0 : number == *id;
    if (found)
        *id = number;
    if (found && out)
        found = name_keep(out, line);
    if (file)
        fclose(file);
    return found;
}

static bool look_up_name(enum owners_kind kind, const char *name, uint32_t *id)
{
    return find_line(kind, name, id, NULL);
}

static bool look_up_id(enum owners_kind kind, uint32_t id, char out[OWNER_NAME_BYTES])
{
    return find_line(kind, NULL, &id, out);
}

#endif

/* ---- what was looked up before ---- */

struct owner_entry {
    bool used, found;
    enum owners_kind kind;
    uint32_t id;
    char name[OWNER_NAME_BYTES];
};

struct owners {
    pthread_mutex_t lock;
    struct owner_entry by_id[OWNERS_KEPT], by_name[OWNERS_KEPT];
};

struct owners *owners_open(void)
{
    struct owners *owners = calloc(1, sizeof(*owners)); /* no page before it is used */
    if (owners)
        pthread_mutex_init(&owners->lock, NULL);
    return owners;
}

void owners_close(struct owners *owners)
{
    if (owners)
        pthread_mutex_destroy(&owners->lock);
    free(owners);
}

static bool entry_take(struct owners *owners, struct owner_entry *kept, struct owner_entry *out)
{
    pthread_mutex_lock(&owners->lock);
    bool is_it = kept->used && kept->kind == out->kind &&
                 (out->name[0] ? strcmp(kept->name, out->name) == 0 : kept->id == out->id);
    if (is_it)
        *out = *kept;
    pthread_mutex_unlock(&owners->lock);
    return is_it;
}

static void entry_keep(struct owners *owners, struct owner_entry *kept,
                       const struct owner_entry *entry)
{
    pthread_mutex_lock(&owners->lock);
    *kept = *entry;
    pthread_mutex_unlock(&owners->lock);
}

void owners_name(struct owners *owners, enum owners_kind kind, uint32_t id,
                 char out[OWNER_NAME_BYTES])
{
    struct owner_entry entry = {.used = true, .kind = kind, .id = id};
    struct owner_entry *kept = &owners->by_id[(id * 2 + kind) % OWNERS_KEPT];
    out[0] = '\0';
    if (id == 0)
        return;
    if (!entry_take(owners, kept, &entry)) {
        entry.found = look_up_id(kind, id, entry.name);
        entry_keep(owners, kept, &entry);
    }
    if (entry.found)
        memcpy(out, entry.name, sizeof(entry.name));
}

uint32_t owners_id(struct owners *owners, enum owners_kind kind, uint32_t id, const char *name)
{
    struct owner_entry entry = {.used = true, .kind = kind};
    if (id == 0 || !name_keep(entry.name, name))
        return id;
    struct owner_entry *kept =
        &owners->by_name[checksum_of(name, strlen(name), kind) % OWNERS_KEPT];
    if (!entry_take(owners, kept, &entry)) {
        entry.found = look_up_name(kind, name, &entry.id);
        entry_keep(owners, kept, &entry);
    }
    return entry.found ? entry.id : id;
}

void owners_name_both(struct owners *owners, const struct facts *facts, struct owner_names *names)
{
    owners_name(owners, OWNERS_USER, facts->uid, names->of[OWNERS_USER]);
    owners_name(owners, OWNERS_GROUP, facts->gid, names->of[OWNERS_GROUP]);
}

void owners_map_both(struct owners *owners, const struct owner_names *names, struct facts *facts)
{
    facts->uid = owners_id(owners, OWNERS_USER, facts->uid, names->of[OWNERS_USER]);
    facts->gid = owners_id(owners, OWNERS_GROUP, facts->gid, names->of[OWNERS_GROUP]);
}

bool owners_differ(enum owners_kind kind, const struct facts *facts,
                   const struct owner_names *names)
{
    if (names && names[0].of[kind][0] && names[1].of[kind][0])
        return strcmp(names[0].of[kind], names[1].of[kind]) != 0;
    return kind == OWNERS_USER ? facts[0].uid != facts[1].uid : facts[0].gid != facts[1].gid;
}

/* ---- --chown ---- */

/* A number, or a name of this machine. */
static bool find_id(enum owners_kind kind, const char *text, uint32_t *id)
{
    uint64_t number;
    if (!num_parse_u64(text, &number) || number >= UINT32_MAX)
        return look_up_name(kind, text, id);
    *id = (uint32_t)number;
    return true;
}

int owners_parse(const char *text, struct facts *facts, bool given[2], struct error *err)
{
    char user[OWNER_NAME_BYTES];
    const char *colon = strchr(text, ':');
    const char *group = colon ? colon + 1 : "";
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    given[OWNERS_USER] = given[OWNERS_GROUP] = false;
    if (length >= sizeof(user) || (length == 0 && group[0] == '\0'))
        return error_set_class(err, ERROR_USAGE, EINVAL, "--chown=%s: not USER:GROUP", text);
    memcpy(user, text, length);
    user[length] = '\0';
    if (length > 0 && !find_id(OWNERS_USER, user, &facts->uid))
        return error_set_class(err, ERROR_USAGE, EINVAL, "--chown=%s: there is no user %s", text,
                               user);
    if (group[0] && !find_id(OWNERS_GROUP, group, &facts->gid))
        return error_set_class(err, ERROR_USAGE, EINVAL, "--chown=%s: there is no group %s", text,
                               group);
    given[OWNERS_USER] = length > 0;
    given[OWNERS_GROUP] = group[0] != '\0';
    return 0;
}
