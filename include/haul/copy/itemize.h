/* itemize.h - what differs between source and target by their facts, in rsync's eleven letters
 * (YXcstpoguax of --itemize-changes). Content is not compared here, so c never stands there. */
#ifndef HAUL_ITEMIZE_H
#define HAUL_ITEMIZE_H

#include "haul/disk/job.h"

#include <stdbool.h>

enum { ITEMIZE_BYTES = 12 };

struct itemize {
    char update; /* Y: '<' sent, '>' received, 'c' made, 'h' a hard link, '.' its attributes only */
    const uint8_t *wish; /* attributes, enum attribute_wish */
    bool times;          /* a time that differs is told even of what is left as it is */
    struct facts source, target;
    const struct owner_names *names; /* of their owners, by role; NULL: they go by number */
};

/* "" where nothing differs. */
void itemize(char out[ITEMIZE_BYTES], const struct itemize *about);

/* The same, corrected by what the target has found: of the attributes that were `looked` at (bits)
 * these have `changed`. What is new stays so. */
void itemize_changed(char out[ITEMIZE_BYTES], enum file_kind kind, uint8_t looked, uint8_t changed);

#endif
