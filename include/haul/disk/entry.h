/* entry.h - what a walk tells, and lists of names, as bytes in a buffer: packed by the side that
 * looks, unpacked by whoever asked, perhaps on another machine.
 *
 * A walk is a row of entries, folders in folders: ENTER (a folder begins), its files, links and
 * nodes as ENTRY, its folders as ENTER ... LEAVE, then its LEAVE. The first one is what the walk
 * began at; its name is the last part of that path, "" where that was the root itself. Names are
 * single names, so that the path is that of the folders that are entered. Nothing blocks, nothing
 * is allocated; texts of an unpacked entry point into the buffer. */
#ifndef HAUL_ENTRY_H
#define HAUL_ENTRY_H

#include "haul/base/bytes.h"
#include "haul/base/error.h"
#include "haul/disk/file.h"

#include <stdbool.h>
#include <stdint.h>

enum entry_type {
    ENTRY_ENTER, /* name, facts: a folder begins; complete: all that is in it will be told */
    ENTRY_FOUND, /* name, facts, text: anything that is no folder */
    ENTRY_LEAVE, /* complete: nothing in this folder was left out by a failure */
    ENTRY_ERROR, /* name, errnum, text: it could not be looked at, or not be entered; "" is the
                    folder that we are in, and of what was named a path beneath it may be told.
                    complete: it has just gone, so that nothing is missing */
    ENTRY_USER,  /* id, text: the name that a number has there; once for each, before it is used */
    ENTRY_GROUP,
    ENTRY_NAME, /* name, kind in facts: of LIST and MISSING */
    ENTRY_PAST, /* name, kind in facts: it is there, and left out as it was asked for: told so that
                   a person hears of it ("skipping folder") */
    ENTRY_TYPES,
};

/* What a walk tells, the first bytes of TOUR's: u32, and behind it packed rules (rules.h), or
 * nothing. */
enum tour_flag {
    TOUR_RECURSIVE = 1 << 0,
    TOUR_ONE_FILESYSTEM = 1 << 1,
    TOUR_LINKS = 1 << 2,
    TOUR_DEVICES = 1 << 3,
    TOUR_SPECIALS = 1 << 4, /* fifos and sockets */
    TOUR_NAMES = 1 << 5,    /* of users and groups */
    TOUR_LISTED = 1 << 6,   /* nothing but what NAMES names */
    TOUR_FLAGS = (1 << 7) - 1,
};

enum {
    ENTRY_NAME_MAX = 1023, /* bytes of a name; NAME_MAX, but FUSE has more */
    ENTRY_TEXT_MAX = 4096, /* bytes of a link, of words */
    ENTRY_BYTES_MAX = ENTRY_NAME_MAX + ENTRY_TEXT_MAX + 256, /* of one entry, packed */
};

struct entry {
    enum entry_type type;
    const char *name;   /* NULL where it has none */
    const char *text;   /* FOUND of a symbolic link: what is in it; words; else NULL */
    struct facts facts; /* evidence included: a life may begin with them */
    uint32_t errnum;
    uint32_t id;
    bool complete;
};

/* Behind what is in the buffer. false: there is no room for it, and nothing has changed. A name or
 * text that is too long, or no name, is a mistake of the caller's (assert). */
bool entry_pack(struct bytes *out, const struct entry *entry);

/* The next one. 1: *entry is there; 0: that was all; -EPROTO with words: it cannot be, whatever
 * follows. What does not travel with its type is zero. */
int entry_unpack(struct bytes *in, struct entry *entry, struct error *err);

/* Could this be the name of something in a folder: not empty, no slash, not "." nor ".."? */
bool entry_is_name(const char *name);
/* The same of a path beneath a folder, "" included, whose parts are not longer than a name may be.
 */
bool entry_is_path(const char *path);

#endif
