/* names.h - a list of names in a tree: paths beneath one folder, of which nothing else is copied.
 *
 * They are gathered as somebody wrote them, sorted so that what is in one folder stands together
 * and behind it, and go as bytes to whoever walks that folder, in pieces of any size. All of them
 * are in memory: a list has as many bytes as its names, and a pointer's for each. No file is
 * touched. */
#ifndef HAUL_NAMES_H
#define HAUL_NAMES_H

#include "haul/base/bytes.h"
#include "haul/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { NAMES_PATH_BYTES = 24 * 1024 }; /* of one path, with its NUL */

struct names;

/* None yet. NULL: no memory. */
struct names *names_open(void);
void names_close(struct names *names); /* NULL is legal */

/* One more, as it was written: slashes before it, and what ".." and "." come to, do not count. With
 * a slash or a dot behind it, what is in the folder is meant, too. -EINVAL with words: it leads out
 * of the folder, or rsync would cut it ("a/./b"); -ENAMETOOLONG, -ENOMEM. */
int names_add(struct names *names, const char *text, struct error *err);

/* All have been added: they are sorted, and each is there once. -ENOMEM with words. */
int names_settle(struct names *names, struct error *err);
size_t names_count(const struct names *names);

/* This path, if it is one of them, is not packed any more. */
void names_leave_out(struct names *names, const char *path);

/* As many from number *next on as there is room for, behind what is in the buffer; *next: the first
 * that is not in there. */
void names_pack(const struct names *names, size_t *next, struct bytes *out);

/* The next one of packed ones. 1: *path, which is in the buffer ("": the folder itself), and
 * whether what is in it is meant; 0: that was the last; -EPROTO: it is none. */
int names_unpack(struct bytes *in, const char **path, bool *content);

#endif
