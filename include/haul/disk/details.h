/* details.h - what a file has beside its facts: extended attributes (-X) and access control lists
 * (-A), as one packed text of bytes that travels from the source to the target.
 *
 * Packed, little-endian, one record behind the other:
 *   u8 kind
 *   DETAIL_XATTR               u16 length and name, u32 length and value
 *   DETAIL_ACCESS, _DEFAULT    u16 count of entries; each: u16 tag, u16 rights, u32 number,
 *                              u16 length and name of the user or group ("": by its number)
 *   DETAIL_PART                of a value: u16 length and name, u32 its whole length, u32 offset,
 *                              u32 length and these bytes
 *   DETAIL_PIECE               u8 enum piece_flags, u16 length and name `from`, the same of `to`
 *
 * What does not fit into one buffer goes in pieces, each a text by itself with a PIECE at its end.
 * A piece is about what its flags name, and of extended attributes about those whose names, as
 * bytes, come behind `from` and not behind `to` ("": the end): of these there is what it says and
 * nothing else, all others are left alone. So nobody has to hold more than one, or to remember any.
 *
 * Tags and rights are those of the kernel's own form (linux/posix_acl_xattr.h), which is the same
 * on every machine; no library has a part in it.
 *
 * Whose are they? Of extended attributes "system." is never touched (lists are in there), by
 * anybody but root only "user." is, and what a security module writes by itself ("security.", but
 * for capabilities) is set and never removed. Files are open, O_PATH is enough, so nothing is
 * followed. All calls may block on the filesystem; any thread. */
#ifndef HAUL_DETAILS_H
#define HAUL_DETAILS_H

#include "haul/disk/owners.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Limits of the kernel's (linux/limits.h), which it may widen one day. */
struct bytes; /* bytes.h */

enum { DETAIL_NAME_MAX = 255, DETAIL_VALUE_MAX = 65536, DETAIL_LIST_MAX = 65536 };
enum { DETAIL_ENTRIES_MAX = (DETAIL_VALUE_MAX - 4) / 8 };

/* What is wanted of them. */
enum details_set { DETAILS_XATTRS = 1, DETAILS_ACLS = 2 };

enum detail_kind {
    DETAIL_XATTR,
    DETAIL_ACCESS,
    DETAIL_DEFAULT,
    DETAIL_PART,
    DETAIL_PIECE,
    DETAIL_KINDS_COUNT
};

/* MORE: another piece follows. The others: what it is about. */
enum piece_flags {
    PIECE_MORE = 1,
    PIECE_ACCESS = 2,
    PIECE_DEFAULT = 4,
    PIECE_XATTRS = 8,
    PIECE_FLAGS_ALL = 15
};

/* Wanted at a target: this and nothing else. */
struct details {
    const void *packed;
    uint32_t packed_bytes;
    struct owners *owners; /* by which names are found; NULL: numbers count */
    bool users_only;       /* "user." only, as for who is not root */
};

/* Which of a file's. */
struct details_wish {
    unsigned sets;         /* enum details_set */
    struct owners *owners; /* the names of users and groups, too; NULL: their numbers */
    uint64_t position;     /* in: 0, or what came out with the piece before; out: 0: that was all */
};

/* Pack them, or the next piece of them where `out` is too small. `mode`: which kind of file it is.
 * What the filesystem does not know the file has not. 0, -E2BIG: a list, or hardly anything, fits
 * in `out`, or -errno. */
int details_read(int fd, mode_t mode, struct details_wish *wish, struct bytes *out);

/* Packed bytes from elsewhere: is each record whole and within the limits? */
bool details_good(const void *packed, uint32_t packed_bytes);

/* They are a piece, and not the last one. */
bool details_go_on(const void *packed, uint32_t packed_bytes);

/* How far the pieces of one file have come; all zeros: nothing has. */
struct details_row {
    uint64_t next; /* where the next one has to begin; 0: nowhere */
    unsigned seen; /* what they were about, enum piece_flags */
};

/* Is it the piece that follows, and, if it is the last one, were all of them about `about` (enum
 * piece_flags)? What goes all together is one, too. false: something between was left out, or has
 * changed meanwhile. */
bool details_follow(struct details_row *row, unsigned about, const void *packed,
                    uint32_t packed_bytes);

/* Has the file exactly these, of one set? What cannot be read is not right. */
bool details_right(int fd, mode_t mode, enum details_set set, const struct details *wanted);

/* Has it a list whose mask is a part of its mode? */
bool details_has_list(int fd);

/* The mode that a file of this mode would have with the list that is wanted. */
mode_t details_mode(mode_t mode, const struct details *wanted);

/* Give it what it lacks of one set and take what is too much, as far as that goes. 0, or -errno of
 * the first that could not be. */
int details_set(int fd, mode_t mode, enum details_set set, const struct details *wanted);

#endif
