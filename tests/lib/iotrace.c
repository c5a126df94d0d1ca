/*
 * iotrace: runs a command and lists its reads, writes and syncs of some files, in the order in
 * which they were started.
 *
 *   iotrace LOG /PATH[,/PATH...] COMMAND [ARGUMENT...]
 *
 * A line of LOG is "read|write|sync PATH OFFSET LENGTH". By a seccomp user notification, as in
 * nosync.c (which says why): each pread64, pwrite64, fsync and fdatasync stops until it is noted,
 * then goes on, so the order in LOG is the order in which they began. io_uring would go round it
 * and is answered with EPERM.
 *
 * Ends with the command's exit status; 128 + its signal; 125 when it could not set this up or saw
 * nothing: a trace of nothing must not look like one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NOT_DONE = 125 };

#define LOAD(field)                                                                                \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(action)      BPF_STMT(BPF_RET | BPF_K, (action))
#define SKIP_UNLESS(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1)

static int filter_install(void)
{
    struct sock_filter code[] = {
        LOAD(nr),
        SKIP_UNLESS(SYS_pread64),
        RETURN(SECCOMP_RET_USER_NOTIF),
        SKIP_UNLESS(SYS_pwrite64),
        RETURN(SECCOMP_RET_USER_NOTIF),
        SKIP_UNLESS(SYS_fsync),
        RETURN(SECCOMP_RET_USER_NOTIF),
        SKIP_UNLESS(SYS_fdatasync),
        RETURN(SECCOMP_RET_USER_NOTIF),
        SKIP_UNLESS(SYS_io_uring_setup),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        RETURN(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* In the child: tells the parent its listener's number, waits until the parent has it, and goes. */
__attribute__((noreturn)) static void child_run(const int told[2], const int go_on[2],
                                                char **command)
{
    char go = 0;
    close(go_on[1]); /* Or the read below would never see that the parent gave up. */
    int listener = filter_install();
    if (write(told[1], &listener, sizeof(listener)) == sizeof(listener) && listener >= 0 &&
        read(go_on[0], &go, 1) == 1) {
        execvp(command[0], command);
        perror(command[0]);
    }
    _exit(EXIT_NOT_DONE);
}

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
    char link[64];
    char path[PATH_MAX];
    bool sync = strcmp(call_word(call->data.nr), "sync") == 0;
    snprintf(link, sizeof(link), "/proc/%u/fd/%d", call->pid, (int)call->data.args[0]);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0)
        return false;
    path[length] = '\0';
    if (!is_listed(path, list))
        return false;
    fprintf(log, "%s %s %llu %llu\n", call_word(call->data.nr), path,
            sync ? 0ULL : (unsigned long long)call->data.args[3],
            sync ? 0ULL : (unsigned long long)call->data.args[2]);
    return true;
}

/* A caller that died meanwhile is no error. */
static uint64_t call_answer(int listener, const char *list, FILE *log)
{
    struct seccomp_notif call = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
        return 0;
    bool noted = call_note(&call, list, log);
    struct seccomp_notif_resp answer = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    return noted;
}

static uint64_t calls_serve(int listener, int pidfd, const char *list, FILE *log)
{
    uint64_t noted = 0;
    struct pollfd events[2] = {{.fd = listener, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    while ((events[1].revents & POLLIN) == 0) {
        if (poll(events, 2, -1) < 0 && errno != EINTR)
            break;
        if ((events[0].revents & POLLIN) != 0)
            noted += call_answer(listener, list, log);
        else if (events[0].revents != 0)
            events[0].fd = -1; /* Hung up: the last thread is ending. */
    }
    return noted;
}

static int run(FILE *log, const char *list, char **command)
{
    int told[2];
    int go[2];
    int number = -1;
    if (pipe2(told, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)
        return EXIT_NOT_DONE;
    pid_t child = fork();
    if (child == 0)
        child_run(told, go, command);
    int pidfd = child > 0 ? pidfd_open(child, 0) : -1;
    int listener = -1;
    if (pidfd >= 0 && read(told[0], &number, sizeof(number)) == sizeof(number) && number >= 0)
        listener = pidfd_getfd(pidfd, number, 0);
    if (listener < 0)
        perror("iotrace: seccomp listener");
    uint64_t noted = 0;
    if (listener >= 0 && write(go[1], "", 1) == 1)
        noted = calls_serve(listener, pidfd, list, log);
    close(go[1]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || listener < 0)
        return EXIT_NOT_DONE;
    if (noted == 0 || fclose(log) != 0) {
        fprintf(stderr, "iotrace: no call on %s was seen\n", list);
        return EXIT_NOT_DONE;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
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
