/* itemize.c - rsync's letters for what differs. */
#include "haul/copy/itemize.h"

#include <stdio.h>

static char itemize_kind(enum file_kind kind)
{
    switch (kind) {
    case FILE_FOLDER:
        return 'd';
    case FILE_LINK:
        return 'L';
    case FILE_DEVICE:
    case FILE_CHARACTER:
        return 'D';
    case FILE_FIFO:
    case FILE_SOCKET:
        return 'S';
    default:
        return 'f';
    }
}

void itemize(char out[ITEMIZE_BYTES], const struct itemize *about)
{
    const struct facts *source = &about->source, *target = &about->target;
    const uint8_t *wish = about->wish;
    bool moves = about->update != '.';
    bool regular = source->kind == FILE_REGULAR;
    bool size = regular && source->size_bytes != target->size_bytes;
    bool times =
        wish[ATTRIBUTE_TIMES] != ATTRIBUTE_LEAVE && source->mtime_seconds != target->mtime_seconds;
    bool mode = wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && source->kind != FILE_LINK &&
                source->mode != target->mode;
    bool owner = wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE && source->uid != target->uid;
    bool group = wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE && source->gid != target->gid;
    char kind = itemize_kind(source->kind);
    out[0] = '\0';
    if (target->kind == FILE_NONE)
        snprintf(out, ITEMIZE_BYTES, "%c%c+++++++++", about->update, kind);
    else if (moves || mode || owner || group || (about->times && times))
        snprintf(out, ITEMIZE_BYTES, "%c%c.%c%c%c%c%c...", about->update, kind, size ? 's' : '.',
                 times ? 't' : '.', mode ? 'p' : '.', owner ? 'o' : '.', group ? 'g' : '.');
}
