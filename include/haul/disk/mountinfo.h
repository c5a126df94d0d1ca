/* mountinfo.h - what a line of /proc/self/mountinfo says of a mount (proc_pid_mountinfo(5)). */
#ifndef HAUL_MOUNTINFO_H
#define HAUL_MOUNTINFO_H

#include <stdbool.h>

struct mountinfo {
    const char *device; /* "8:1": of the file system */
    const char *root;   /* what of that is mounted */
    const char *point;  /* where */
    const char *type;
    const char *source;  /* a device, or anything else */
    const char *options; /* of the file system */
};
/* Takes a line apart, in place, where its parts then are. false: it is none. */
bool mountinfo_take(char *line, struct mountinfo *mount);

/* Names in it, and in other files of /proc, have blanks and the like as \040; in place. */
void mountinfo_unescape(char *text);

#endif
