/*
 * nosync: runs a command whose fsync and fdatasync of one file report success and do nothing, nor
 * do the calls that start to write its pages (sync_file_range, and fadvise, which does so to drop
 * them).
 *
 *   nosync PATH COMMAND [ARGUMENT...]
 *
 * The file is the one that has the name PATH at the moment of the call, told by its inode: one that
 * was made without a name and linked later (O_TMPFILE) is "#12345 (deleted)" in /proc for ever.
 * What is synced before it has the name, as a journal's header is, goes to the medium.
 *
 * This is the mutation of the power-cut test: a rig that does not notice a missing sync of the
 * data proves nothing when it passes. How the calls are caught: notify.h.
 *
 * Ends with the command's exit status; 128 + its signal; 125 when it could not set this up or when
 * not one sync was swallowed: a mutation that did not happen must not look like one.
 */
#include "notify.h"

#include <sys/stat.h>

/* Is the descriptor of the call open on the file that is at PATH now? */
static bool is_of(const struct seccomp_notif *call, const char *path)
{
    struct stat wanted, found;
    char link[NOTIFY_LINK_BYTES];
    notify_link(call, link);
    return stat(path, &wanted) == 0 && stat(link, &found) == 0 && wanted.st_dev == found.st_dev &&
           wanted.st_ino == found.st_ino;
}

static int run(const char *swallowed_path, char **command)
{
    static const uint32_t calls[] = {
        SYS_fsync,           SYS_fdatasync,
#ifdef SYS_sync_file_range
        SYS_sync_file_range,
#endif
#ifdef SYS_fadvise64
        SYS_fadvise64,
#endif
#ifdef SYS_fadvise64_64
        SYS_fadvise64_64,
#endif
    };
    struct notify notify;
    struct seccomp_notif call;
    uint64_t swallowed = 0;
    notify_start(&notify, calls, sizeof(calls) / sizeof(calls[0]), command);
    while (notify_next(&notify, &call)) {
        bool swallow = is_of(&call, swallowed_path);
        swallowed += notify_answer(&notify, &call, !swallow) && swallow;
    }
    int status = notify_end(&notify);
    if (swallowed == 0) {
        fprintf(stderr, "nosync: no sync of %s was seen\n", swallowed_path);
        return EXIT_NOT_DONE;
    }
    return status;
}

int main(int count, char **arguments)
{
    if (count < 3 || arguments[1][0] != '/') {
        fputs("usage: nosync /ABSOLUTE/PATH COMMAND [ARGUMENT...]\n", stderr);
        return EXIT_NOT_DONE;
    }
    return run(arguments[1], arguments + 2);
}
