/* owners.h - users and groups by name and by number, of this machine and of another one.
 *
 * Names are what two machines have in common: facts carry the source's numbers and, beside them,
 * its names; where the owner is set a name that is known there gives the number. The number stands
 * where there is no name, and for 0, which is never looked up, as with rsync. */
#ifndef HAUL_OWNERS_H
#define HAUL_OWNERS_H

#include "haul/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct facts;

enum { OWNER_NAME_BYTES = 256 }; /* with its NUL; a longer name is none */

/* By kind, enum owners_kind. */
enum owners_kind { OWNERS_USER, OWNERS_GROUP };
struct owner_names {
    char of[2][OWNER_NAME_BYTES]; /* "": by its number */
};

/* What was looked up before: a name service may be far away. Any thread may use it. */
enum { OWNERS_KEPT = 64 };
struct owners;

/* Nothing is remembered yet. NULL: no memory. */
struct owners *owners_open(void);
/* No thread uses them any more. NULL is legal. */
void owners_close(struct owners *owners);

/* What this machine calls the number; "" where it has no name. Blocks. */
void owners_name(struct owners *owners, enum owners_kind kind, uint32_t id,
                 char out[OWNER_NAME_BYTES]);
/* The number here of what is `id` there, where it is called `name`; `id` where nobody here is
 * called so, and without a name. Blocks. */
uint32_t owners_id(struct owners *owners, enum owners_kind kind, uint32_t id, const char *name);

/* Both of a file, the user and the group. */
void owners_name_both(struct owners *owners, const struct facts *facts, struct owner_names *names);
void owners_map_both(struct owners *owners, const struct owner_names *names, struct facts *facts);

/* Is the target's another one than the source's, both by role? By their names, where both have
 * one; `names` NULL: by number. */
bool owners_differ(enum owners_kind kind, const struct facts *facts,
                   const struct owner_names *names);

/* --chown: "USER", "USER:GROUP", ":GROUP", names or numbers, into facts->uid and ->gid; given[kind]
 * says which. ERROR_USAGE: there is no such user or group on this machine, or no text that could be
 * one. */
int owners_parse(const char *text, struct facts *facts, bool given[2], struct error *err);

#endif
