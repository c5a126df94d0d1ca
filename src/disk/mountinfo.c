/* mountinfo.c - takes a line apart at its blanks. */
#include "haul/disk/mountinfo.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

void mountinfo_unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in;) {
        bool octal = in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' &&
                     in[2] <= '7' && in[3] >= '0' && in[3] <= '7';
        if (octal) {
            *out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
}

/* What is before the next space; NULL: nothing is left. */
static char *field_next(char **rest)
{
    char *field = *rest, *space = field ? strchr(field, ' ') : NULL;
    if (space)
        *space = '\0';
    *rest = space ? space + 1 : NULL;
    return field;
}

/* "ID PARENT DEVICE ROOT POINT OPTIONS [TAG]... - TYPE SOURCE OPTIONS". */
bool mountinfo_take(char *line, struct mountinfo *mount)
{
    enum { FIELD_DEVICE = 2, FIELD_ROOT, FIELD_POINT, FIELDS_MAX = 64 };
    char *fields[FIELDS_MAX] = {NULL}, *last[3];
    for (uint32_t i = 0; i < FIELDS_MAX; i++) {
        fields[i] = field_next(&line);
        if (!fields[i] || strcmp(fields[i], "-") == 0)
            break;
    }
    for (size_t i = 0; i < 3; i++)
        last[i] = field_next(&line);
    if (!fields[FIELD_POINT] || !last[2])
        return false;
    mountinfo_unescape(fields[FIELD_ROOT]);
    mountinfo_unescape(fields[FIELD_POINT]);
    mountinfo_unescape(last[1]);
    *mount = (struct mountinfo){
        fields[FIELD_DEVICE], fields[FIELD_ROOT], fields[FIELD_POINT], last[0], last[1], last[2]};
    return true;
}
