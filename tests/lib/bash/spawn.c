/*
 * spawn - what bash loads (enable -f) for the bats files, so that most programs begin without a
 * fork of bash: of what that takes, all is page faults of two processes that then have their pages
 * to themselves.
 *
 *   spawn [.../limit SECONDS [NAME=VALUE]...]... COMMAND [ARGUMENT]...
 *
 * is COMMAND, waited for. What limit(1) would do it does itself: see tests/lib/limit.c. mkdir, rm,
 * ln, touch, chmod and mkfifo are done here, too, as far as they are simple and nothing fails: the
 * program does the rest, beginning with the name that failed, and says what is wrong. The other
 * names are those of programs that no test has in the background, where there is a shell around a
 * builtin.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Of bash, whose headers are not everywhere; the same since bash 2. */
struct word {
    char *text;
    int flags;
};

struct words {
    struct words *next;
    struct word *word;
};

struct builtin {
    const char *name;
    int (*run)(struct words *);
    int flags;
    char *const *long_doc;
    const char *short_doc;
    char *handle;
};

enum { BUILTIN_ENABLED = 1 };

extern char **export_env;
void maybe_make_export_env(void);
char *search_for_command(const char *name, int flags);

enum {
    GRACE_SECONDS = 10,
    STATUS_LATE = 124,
    STATUS_CANNOT = 126,
    STATUS_MISSING = 127,
    STATUS_SIGNAL = 128
};

static const char limit_tail[] = "/limit";

/* --- programs --------------------------------------------------------------------------------- */

struct start {
    char **words;
    long seconds; /* 0: as many as it takes */
    char **more;  /* NAME=VALUE, of which a later one wins */
    size_t more_count;
};

static bool is_limit(const char *word)
{
    size_t length = strlen(word), tail = strlen(limit_tail);
    return length >= tail && strcmp(word + length - tail, limit_tail) == 0;
}

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=") + 1;
    return strncmp(a, b, length) == 0;
}

/* What is said here comes in place of what bash exports. */
static char **environment(const struct start *start)
{
    size_t count = 0;

    maybe_make_export_env();
    while (export_env[count])
        count++;
    char **all = calloc(count + start->more_count + 1, sizeof(*all));
    for (size_t i = 0, to = 0; all && i < count + start->more_count; i++) {
        char *entry = i < count ? export_env[i] : start->more[i - count];
        bool replaced = false;
        for (size_t later = i < count ? 0 : i - count + 1; later < start->more_count; later++)
            replaced = replaced || same_name(entry, start->more[later]);
        if (!replaced)
            all[to++] = entry;
    }
    return all;
}

/* Until the child has ended or the time is over; SIGCHLD is blocked. */
static bool ended_in_time(pid_t child, int *status, long seconds)
{
    struct timespec now, left = {0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end_seconds = now.tv_sec + seconds + 1;
    while (waitpid(child, status, WNOHANG) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        left.tv_sec = end_seconds - now.tv_sec;
        if (left.tv_sec <= 0)
            return false;
        (void)sigtimedwait(&set, NULL, &left);
    }
    return true;
}

static int wait_for(pid_t child, long seconds)
{
    int status = 0;
    bool late = false;

    if (seconds == 0) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    } else {
        for (int number = SIGTERM; !ended_in_time(child, &status, seconds); number = SIGKILL) {
            kill(child, number);
            kill(-child, number);
            late = true;
            seconds = GRACE_SECONDS;
        }
        raise(SIGCHLD); /* those of others may have been taken here: bash looks at all of its
                           children */
    }
    if (late)
        return STATUS_LATE;
    return WIFSIGNALED(status) ? STATUS_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int start_child(pid_t *child, const char *path, const struct start *start,
                       const sigset_t *mask)
{
    posix_spawnattr_t how;
    char **env = environment(start);

    if (!env)
        return ENOMEM;
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, mask);
    posix_spawnattr_setflags(&how,
                             POSIX_SPAWN_SETSIGMASK | (start->seconds ? POSIX_SPAWN_SETPGROUP : 0));
    int error = posix_spawn(child, path, NULL, &how, start->words, env);
    posix_spawnattr_destroy(&how);
    free(env);
    return error;
}

/* bash takes the end of a child for its own business, unless it does not hear of it before this one
 * has been waited for. */
static int run(const struct start *start)
{
    sigset_t block, before;
    pid_t child = -1;
    char *path = search_for_command(start->words[0], 1);

    if (!path) {
        fprintf(stderr, "%s: command not found\n", start->words[0]);
        return STATUS_MISSING;
    }
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &before);
    int error = start_child(&child, path, start, &before);
    int status = error == 0        ? wait_for(child, start->seconds)
                 : error == ENOENT ? STATUS_MISSING
                                   : STATUS_CANNOT;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        fprintf(stderr, "%s: %s\n", start->words[0], strerror(error));
    free(path);
    return status;
}

/* The words of a list, behind so many places. */
static char **list_words(struct words *list, size_t before, size_t *count)
{
    *count = before;
    for (struct words *next = list; next; next = next->next)
        ++*count;
    char **words = calloc(*count + 1, sizeof(*words));
    for (size_t i = before; words && list; list = list->next)
        words[i++] = list->word->text;
    return words;
}

static int spawn(struct words *list)
{
    size_t count;
    char **words = list_words(list, 0, &count);
    char **more = calloc(count + 1, sizeof(*more));
    struct start start = {.words = words, .more = more};
    int status = STATUS_CANNOT;

    if (!words || !more)
        fputs("spawn: no memory\n", stderr);
    while (words && more && start.words[0] && start.words[1] && is_limit(start.words[0])) {
        long seconds = strtol(start.words[1], NULL, 10);
        start.seconds = seconds ? seconds : start.seconds;
        for (start.words += 2; *start.words && strchr(*start.words, '='); start.words++)
            more[start.more_count++] = *start.words;
    }
    if (words && more && start.words[0])
        status = run(&start);
    else
        fputs("usage: spawn [limit SECONDS [NAME=VALUE]...] COMMAND [ARGUMENT]...\n", stderr);
    free(more);
    free(words);
    return status;
}

/* --- what needs no program -------------------------------------------------------------------- */

/* These do what the program of that name does to words[*operand] and those behind it, and return
 * the first word that is not done. *operand: 1 at first, then behind the options. 0 is returned for
 * what is not simple. */
typedef size_t do_words(char **words, size_t count, size_t *operand);

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool parents_made(const char *path)
{
    char *copy = strdup(path);
    bool made = copy;

    for (char *at = copy; made && (at = strchr(at + 1, '/'));) {
        *at = '\0';
        made = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *at = '/';
    }
    free(copy);
    return made;
}

static bool octal(const char *word, mode_t *mode)
{
    size_t length = strspn(word, "01234567");
    *mode = (mode_t)strtoul(word, NULL, 8);
    return length > 0 && length <= 4 && !word[length];
}

static size_t do_mkdir(char **words, size_t count, size_t *operand)
{
    size_t first = *operand;
    bool parents = false, exact = false;
    mode_t mode = 0777, umask_now = umask(0);

    umask(umask_now);
    for (; first < count && words[first][0] == '-'; first++)
        if (strcmp(words[first], "-p") == 0)
            parents = true;
        else if (strcmp(words[first], "-m") == 0 && first + 1 < count &&
                 octal(words[first + 1], &mode) && mode <= 0777)
            exact = ++first;
        else
            return 0;
    if (umask_now & 0300)
        return 0;
    *operand = first;
    for (; first < count; first++) {
        const char *path = words[first];
        if (mkdir(path, mode) == 0) {
            if (exact && (umask_now & mode) && chmod(path, mode) != 0)
                return first;
        } else if (!parents || (errno == EEXIST && !is_directory(path)) ||
                   (errno != EEXIST && errno != ENOENT)) {
            return first;
        } else if (errno == ENOENT && (!parents_made(path) ||
                                       (mkdir(path, mode) != 0 && !is_directory(path)) || exact)) {
            return first;
        }
    }
    return first;
}

/* No link is followed, and nothing of another filesystem than the first is touched. */
static bool removed(int folder, const char *name, dev_t device)
{
    struct stat st;
    bool good = true;

    if (unlinkat(folder, name, 0) == 0)
        return true;
    if (errno != EISDIR)
        return errno == ENOENT;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries =
        fd >= 0 && fstat(fd, &st) == 0 && (!device || st.st_dev == device) ? fdopendir(fd) : NULL;
    if (!entries) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *entry; good && (entry = readdir(entries));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            good = removed(fd, entry->d_name, st.st_dev);
    closedir(entries);
    return good && unlinkat(folder, name, AT_REMOVEDIR) == 0;
}

static size_t do_rm(char **words, size_t count, size_t *operand)
{
    size_t first = *operand;
    bool recursive = false, force = false;

    for (; first < count && words[first][0] == '-'; first++) {
        const char *option = words[first];
        if (strcmp(option, "--one-file-system") == 0)
            continue;
        if (!option[1] || option[1 + strspn(option + 1, "rf")])
            return 0;
        recursive = recursive || strchr(option, 'r');
        force = force || strchr(option, 'f');
    }
    *operand = first;
    for (; first < count; first++) {
        const char *path = words[first], *slash = strrchr(path, '/'),
                   *last = slash ? slash + 1 : path;
        if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
            return first;
        if (unlink(path) == 0 || (force && errno == ENOENT))
            continue;
        if (errno != EISDIR || !recursive || !removed(AT_FDCWD, path, 0))
            return first;
    }
    return first;
}

static size_t do_ln(char **words, size_t count, size_t *operand)
{
    size_t first = *operand;
    bool symbolic = first < count && strcmp(words[first], "-s") == 0;
    first += symbolic;
    if (count - first != 2 || words[first][0] == '-' || words[first + 1][0] == '-')
        return 0;
    return (symbolic ? symlink(words[first], words[first + 1])
                     : link(words[first], words[first + 1])) == 0
               ? count
               : 0;
}

static size_t do_touch(char **words, size_t count, size_t *operand)
{
    size_t first = *operand;
    if (first == count || words[first][0] == '-')
        return 0;
    for (; first < count; first++) {
        int fd = open(words[first], O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0666);
        bool good = fd >= 0 && futimens(fd, NULL) == 0;
        if (fd >= 0)
            close(fd);
        if (!good)
            return first;
    }
    return first;
}

static size_t do_chmod(char **words, size_t count, size_t *operand)
{
    size_t first = *operand;
    mode_t mode;
    if (first == count || !octal(words[first], &mode))
        return 0;
    *operand = ++first;
    for (; first < count; first++)
        if (is_directory(words[first]) || chmod(words[first], mode) != 0)
            return first;
    return first;
}

static size_t do_mkfifo(char **words, size_t count, size_t *operand)
{
    size_t first = *operand;
    if (first == count || words[first][0] == '-')
        return 0;
    while (first < count && mkfifo(words[first], 0666) == 0)
        first++;
    return first;
}

/* --- names ------------------------------------------------------------------------------------ */

/* The program gets the options and what is not done. */
static int named(const char *name, do_words *work, struct words *list)
{
    size_t count, operand = 1;
    char **words = list_words(list, 1, &count);
    struct start start = {.words = words};
    int status = 0;

    if (!words) {
        fprintf(stderr, "%s: no memory\n", name);
        return STATUS_CANNOT;
    }
    words[0] = (char *)name;
    size_t done = work && count > 1 ? work(words, count, &operand) : 0;
    if (done > operand)
        memmove(&words[operand], &words[done], (count - done + 1) * sizeof(*words));
    if (done != count || operand == count)
        status = run(&start);
    free(words);
    return status;
}

static char *const no_doc[] = {NULL};

#define NAME(name, work)                                                                           \
    static int name##_run(struct words *list)                                                      \
    {                                                                                              \
        return named(#name, work, list);                                                           \
    }                                                                                              \
    struct builtin name##_struct = {#name, name##_run, BUILTIN_ENABLED, no_doc, #name, NULL}

struct builtin spawn_struct = {
    "spawn", spawn, BUILTIN_ENABLED, no_doc, "spawn COMMAND [ARGUMENT]...", NULL};

extern struct builtin mkdir_struct, rm_struct, ln_struct, touch_struct, chmod_struct, cp_struct,
    mv_struct, cmp_struct, chown_struct, truncate_struct, dd_struct, grep_struct, sync_struct,
    mount_struct, umount_struct, mkfifo_struct, setfattr_struct, setfacl_struct, diff_struct,
    install_struct;

NAME(mkdir, do_mkdir);
NAME(rm, do_rm);
NAME(ln, do_ln);
NAME(touch, do_touch);
NAME(chmod, do_chmod);
NAME(cp, NULL);
NAME(mv, NULL);
NAME(cmp, NULL);
NAME(chown, NULL);
NAME(truncate, NULL);
NAME(dd, NULL);
NAME(grep, NULL);
NAME(sync, NULL);
NAME(mount, NULL);
NAME(umount, NULL);
NAME(mkfifo, do_mkfifo);
NAME(setfattr, NULL);
NAME(setfacl, NULL);
NAME(diff, NULL);
NAME(install, NULL);
