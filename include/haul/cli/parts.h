/* parts.h - --range and --ranges-from: which bytes of the one file are to be copied. */
#ifndef HAUL_PARTS_H
#define HAUL_PARTS_H

#include "haul/base/error.h"
#include "haul/base/ranges.h"
#include "haul/cli/operands.h"
#include "haul/cli/options.h"

#include <stdint.h>

enum { PARTS_MAX = 1024 * 1024 };

/* In the order of their offsets; none overlaps another, those that touch are one. */
struct parts {
    struct range *all;
    uint32_t count; /* 0: the whole file */
};

/* What the options say; a list is read from its file (blocks). -EINVAL, ERROR_USAGE: a range that
 * is none, or more than PARTS_MAX; what cannot go with ranges is refused, too, once the operands
 * are known. The caller closes in either case. */
int parts_read(struct parts *parts, const struct options *options, struct error *err);
int parts_refuse(const struct parts *parts, const struct options *options,
                 const struct operands *operands, struct error *err);
void parts_close(struct parts *parts);

#endif
