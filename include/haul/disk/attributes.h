/* attributes.h - what a file is besides its data: whose it is, who may do what, from when it is.
 *
 * One table, one order (owner, group, extended attributes, access control lists, mode, times), one
 * look afterwards: what counts is what the file then has, not what a call answered. Of every kind
 * of file, by its descriptor: nothing is followed. It does not know why they are set, nor syncs
 * them.
 */
#ifndef HAUL_ATTRIBUTES_H
#define HAUL_ATTRIBUTES_H

#include "haul/base/error.h"
#include "haul/disk/details.h"
#include "haul/disk/file.h"
#include "haul/disk/owners.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct stat;

/* In the order in which they are set: a new owner clears set-id bits and capabilities, which are an
 * extended attribute; an access control list changes the mode, and the mode its mask; everything
 * may change the times. */
enum attribute {
    ATTRIBUTE_OWNER,
    ATTRIBUTE_GROUP,
    ATTRIBUTE_XATTRS, /* -X; these two not by default */
    ATTRIBUTE_ACLS,   /* -A */
    ATTRIBUTE_MODE,
    ATTRIBUTE_TIMES,
    ATTRIBUTES_COUNT,
};

enum attribute_wish {
    ATTRIBUTE_DEFAULT, /* kept where that is possible; XATTRS, ACLS: left as they are */
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
    const char *why_no_set_id;       /* without set_id: completes "...: set-id bits not kept: " */
    const char *chown;               /* --chown: "USER:GROUP" of this machine; NULL: of `facts` */
    struct facts facts;              /* kind, uid, gid, mode and mtime are wanted */
    const struct owner_names *names; /* whose these are at the source; NULL: numbers count */
    struct owners *owners;           /* with names: those of this machine */
    const struct details *details;   /* what XATTRS and ACLS are to be; NULL: they are left */
    const struct stat *seen; /* what fstat has just told of the file; NULL: it is asked first */
    bool foretells; /* with `look`: what may not be set, as far as that can be seen, is lost */
};

struct attributes_outcome {
    uint8_t changed; /* were other ones, and are now as wanted; with `look`: would be changed */
    uint8_t lost;    /* wanted, tried, and not so; MODE also when only set-id bits are missing */
    uint8_t asked;   /* the part of `lost` that somebody asked for */
    int errnum;      /* why the first of them is lost; 0: the call said yes */
};

/* Give them to an open file (O_PATH is enough), which is left alone when it is of another kind than
 * `facts`. A symbolic link has an owner and times, and no mode. Nothing is attempted for what is
 * right already; each that was set is looked at again. With `look` nothing is changed. What cannot
 * be had is no error: it is in *outcome. -errno with words: the file could not be looked at, or
 * there is no such owner. */
int attributes_apply(int fd, const char *path, const struct attributes *wanted, bool look,
                     struct attributes_outcome *outcome, struct error *err);

/* Both came to this together; `sum` may have been zeros. */
void attributes_add(struct attributes_outcome *sum, const struct attributes_outcome *one);

/* What of it was told already, of any file. */
struct attributes_told {
    _Atomic uint32_t errors, notes; /* sets; and set-id bits alone, which are no attribute */
};

/* One line in the log for all that is lost, of which what was asked for makes an error. Of many
 * files that lack the same only the first is told, and the others to whoever wants to hear all. */
void attributes_tell(const char *path, const struct attributes *wanted,
                     const struct attributes_outcome *outcome, struct attributes_told *told);

/* One more name has lost these. */
void attributes_count(uint64_t counts[ATTRIBUTES_COUNT], uint8_t lost);

/* "owner, permissions" of a set. Returns out. */
enum { ATTRIBUTES_TEXT_BYTES = 128 };
const char *attributes_text(char out[ATTRIBUTES_TEXT_BYTES], uint8_t set);

/* ---- details ---- */

/* Which sets of details (details.h) are asked for, by how these two attributes are wished for. */
unsigned attributes_detail_sets(uint32_t xattrs, uint32_t acls);

/* What the pieces of these sets, of a file of that kind, are about together: enum piece_flags. */
unsigned attributes_detail_pieces(unsigned sets, enum file_kind kind);

/* ---- --chmod ---- */

enum { MODE_CHANGES_MAX = 32 };

/* One clause of chmod(1), compiled. */
struct mode_change {
    uint32_t who;        /* permission bits that it is about; 0: all, less the umask */
    uint32_t bits;       /* to be set, cleared, or made equal; of 07777 */
    uint32_t copied;     /* "g=u": the 3 bits of this class are copied; 0400, 0040, 0004 or 0 */
    bool execute_kept;   /* X: only where somebody may execute already */
    char operation;      /* '+', '-', '=' */
    bool files, folders; /* which it is for */
};

/* What --chmod said, all of it in order. All zeros: nothing. */
struct mode_changes {
    struct mode_change items[MODE_CHANGES_MAX];
    uint32_t count;
};

/* Add the clauses of rsync's or chmod's text: "644", "u+x,go-w", "Fg=u,D755": D is for folders
 * only, F for all others. False: it is none, or too much. */
bool mode_changes_parse(struct mode_changes *changes, const char *text);

/* The mode (07777) of a file or folder with that mode. */
uint32_t mode_changes_apply(const struct mode_changes *changes, uint32_t mode, uint32_t umask_bits,
                            bool folder);

#endif
