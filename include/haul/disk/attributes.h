/* attributes.h - what a file is besides its data: whose it is, who may do what, from when it is.
 *
 * One table, one order (owner, group, mode, times), one look afterwards: what counts is what the
 * file then has, not what a call answered. It does not know why they are set, nor syncs them. */
#ifndef HAUL_ATTRIBUTES_H
#define HAUL_ATTRIBUTES_H

#include "haul/base/error.h"
#include "haul/disk/file.h"

#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are set: a new owner clears set-id bits, so the mode comes after. */
enum attribute {
    ATTRIBUTE_OWNER,
    ATTRIBUTE_GROUP,
    ATTRIBUTE_MODE,
    ATTRIBUTE_TIMES,
    ATTRIBUTES_COUNT,
};

enum attribute_wish {
    ATTRIBUTE_DEFAULT, /* kept where that is possible */
    ATTRIBUTE_LEAVE,   /* --no-perms ... */
    ATTRIBUTE_ARCHIVE, /* -a: asked for; owner and group only where we are root, as with rsync */
    ATTRIBUTE_ASKED,   /* -p, --chown ...: what is lost is an error */
};

/* Sets of attributes: 1 << enum attribute. */
#define ATTRIBUTE_BIT(attribute) ((uint8_t)(1u << (attribute)))

struct attributes {
    uint8_t wish[ATTRIBUTES_COUNT]; /* enum attribute_wish */
    bool set_id;                    /* set-id bits may be set, too */
    bool set_id_asked; /* whether or not they may: -p was written out, or nothing forbids it */
    const char *why_no_set_id; /* without set_id: completes "...: set-id bits not kept: " */
    const char *chown;         /* --chown: "USER:GROUP" of this machine; NULL: of `facts` */
    struct facts facts;        /* uid, gid, mode and mtime are wanted */
};

struct attributes_outcome {
    uint8_t changed; /* were other ones, and are now as wanted; with `look`: would be changed */
    uint8_t lost;    /* wanted, tried, and not so; MODE also when only set-id bits are missing */
    uint8_t asked;   /* the part of `lost` that somebody asked for */
    int errnum;      /* why the first of them is lost; 0: the call said yes */
};

/* "USER", "USER:GROUP", ":GROUP", names or numbers, into facts->uid and ->gid; *given says which
 * (bits of OWNER and GROUP). ERROR_USAGE: there is no such user or group on this machine, or no
 * text that could be one. */
int attributes_owners(const char *text, struct facts *facts, uint8_t *given, struct error *err);

/* Give them to an open file (O_PATH is enough); regular files only, others are left alone. Nothing
 * is attempted for what is right already. With `look` nothing is changed. What cannot be had is no
 * error: it is in *outcome. -errno with words: the file could not be looked at, or there is no such
 * owner. */
int attributes_apply(int fd, const char *path, const struct attributes *wanted, bool look,
                     struct attributes_outcome *outcome, struct error *err);

/* One line in the log for all that is lost, of which what was asked for makes an error. */
void attributes_tell(const char *path, const struct attributes *wanted,
                     const struct attributes_outcome *outcome);

/* "owner, permissions" of a set. Returns out. */
enum { ATTRIBUTES_TEXT_BYTES = 64 };
const char *attributes_text(char out[ATTRIBUTES_TEXT_BYTES], uint8_t set);

/* ---- --chmod ---- */

enum { MODE_CHANGES_MAX = 32 };

/* One clause of chmod(1), compiled. */
struct mode_change {
    uint32_t who;      /* permission bits that it is about; 0: all, less the umask */
    uint32_t bits;     /* to be set, cleared, or made equal; of 07777 */
    uint32_t copied;   /* "g=u": the 3 bits of this class are copied; 0400, 0040, 0004 or 0 */
    bool execute_kept; /* X: only where somebody may execute already */
    char operation;    /* '+', '-', '=' */
};

/* What --chmod said, all of it in order. All zeros: nothing. */
struct mode_changes {
    struct mode_change items[MODE_CHANGES_MAX];
    uint32_t count;
};

/* Add the clauses of rsync's or chmod's text: "644", "u+x,go-w", "Fg=u,D755"; what is for folders
 * (D) is read and left out. False: it is none, or too much. */
bool mode_changes_parse(struct mode_changes *changes, const char *text);

/* The mode (07777) of a file with that mode. */
uint32_t mode_changes_apply(const struct mode_changes *changes, uint32_t mode, uint32_t umask_bits);

#endif
