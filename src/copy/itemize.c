/* itemize.c - rsync's letters for what differs. */
#include "haul/copy/itemize.h"

#include "haul/disk/evidence.h"

#include <stdio.h>
#include <string.h>

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

static bool differs(const struct itemize *about, enum owners_kind kind)
{
    const struct facts facts[2] = {about->source, about->target};
    return owners_differ(kind, facts, about->names);
}

void itemize(char out[ITEMIZE_BYTES], const struct itemize *about)
{
    const struct facts *source = &about->source, *target = &about->target;
    const uint8_t *wish = about->wish;
    bool moves = about->update != '.';
    bool regular = source->kind == FILE_REGULAR;
    bool size = regular && source->size_bytes != target->size_bytes;
    bool times = wish[ATTRIBUTE_TIMES] != ATTRIBUTE_LEAVE && !evidence_same_time(source, target);
    bool mode = wish[ATTRIBUTE_MODE] != ATTRIBUTE_LEAVE && source->kind != FILE_LINK &&
                source->mode != target->mode;
    bool owner = wish[ATTRIBUTE_OWNER] != ATTRIBUTE_LEAVE && differs(about, OWNERS_USER);
    bool group = wish[ATTRIBUTE_GROUP] != ATTRIBUTE_LEAVE && differs(about, OWNERS_GROUP);
    char kind = itemize_kind(source->kind);
    out[0] = '\0';
    if (target->kind == FILE_NONE)
        snprintf(out, ITEMIZE_BYTES, "%c%c+++++++++", about->update, kind);
    else if (moves || mode || owner || group || (about->times && times))
        snprintf(out, ITEMIZE_BYTES, "%c%c.%c%c%c%c%c...", about->update, kind, size ? 's' : '.',
                 times ? 't' : '.', mode ? 'p' : '.', owner ? 'o' : '.', group ? 'g' : '.');
}

void itemize_changed(char out[ITEMIZE_BYTES], enum file_kind kind, uint8_t looked, uint8_t changed)
{
    static const struct {
        char letter;
        uint8_t at;
    } letters[ATTRIBUTES_COUNT] = {
        [ATTRIBUTE_OWNER] = {'o', 6}, [ATTRIBUTE_GROUP] = {'g', 7}, [ATTRIBUTE_XATTRS] = {'x', 10},
        [ATTRIBUTE_ACLS] = {'a', 9},  [ATTRIBUTE_MODE] = {'p', 5},  [ATTRIBUTE_TIMES] = {'t', 4},
    };
    if (strchr(out, '+'))
        return;
    if (!out[0])
        snprintf(out, ITEMIZE_BYTES, ".%c.........", itemize_kind(kind));
    for (int i = 0; i < ATTRIBUTES_COUNT; i++) {
        if (looked & ATTRIBUTE_BIT(i))
            out[letters[i].at] = changed & ATTRIBUTE_BIT(i) ? letters[i].letter : '.';
    }
    if (out[0] == '.' && strspn(out + 2, ".") == strlen(out + 2))
        out[0] = '\0';
}
