/*
 * iotrace: runs a command and lists its reads, writes and syncs of some files, in the order in
 * which they were started.
 *
 *   iotrace LOG /PATH[,/PATH...] COMMAND [ARGUMENT...]
 *
 * A line of LOG is "read|write|sync PATH OFFSET LENGTH". Each pread64, pwrite64, fsync and
 * fdatasync stops (notify.h) until it is noted, then goes on, so the order in LOG is the order in
 * which they began.
 *
 * Ends with the command's exit status; 128 + its signal; 125 when it could not set this up or saw
 * nothing: a trace of nothing must not look like one.
 */
#include "notify.h"

static const char *call_word(int number)
{
    switch (number) {
    case SYS_pread64:
        return "read";
    case SYS_pwrite64:
        return "write";
    default:
        return "sync";
    }
}

/* Is this path one of the list, which is separated by commas? */
static bool is_listed(const char *path, const char *list)
{
    size_t length = strlen(path);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, path, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* true: it was of a listed file, and is in the log. */
static bool call_note(const struct seccomp_notif *call, const char *list, FILE *log)
{
    char path[PATH_MAX];
    const char *word = call_word(call->data.nr);
    bool sync = strcmp(word, "sync") == 0;
    notify_path(call, path);
    if (path[0] == '\0' || !is_listed(path, list))
        return false;
    fprintf(log, "%s %s %llu %llu\n", word, path,
            sync ? 0ULL : (unsigned long long)call->data.args[3],
            sync ? 0ULL : (unsigned long long)call->data.args[2]);
    return true;
}

static int run(FILE *log, const char *list, char **command)
{
    static const uint32_t calls[] = {SYS_pread64, SYS_pwrite64, SYS_fsync, SYS_fdatasync};
    struct notify notify;
    struct seccomp_notif call;
    uint64_t noted = 0;
    notify_start(&notify, calls, sizeof(calls) / sizeof(calls[0]), command);
    while (notify_next(&notify, &call)) {
        noted += call_note(&call, list, log);
        (void)notify_answer(&notify, &call, true);
    }
    int status = notify_end(&notify);
    if (noted == 0 || fclose(log) != 0) {
        fprintf(stderr, "iotrace: no call on %s was seen\n", list);
        return EXIT_NOT_DONE;
    }
    return status;
}

int main(int count, char **arguments)
{
    FILE *log = count >= 4 && arguments[2][0] == '/' ? fopen(arguments[1], "we") : NULL;
    if (!log) {
        fputs("usage: iotrace LOG /ABSOLUTE/PATH[,/PATH...] COMMAND [ARGUMENT...]\n", stderr);
        return EXIT_NOT_DONE;
    }
    return run(log, arguments[2], arguments + 3);
}
