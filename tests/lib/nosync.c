/*
 * nosync: runs a command whose fsync and fdatasync of one file report success and do nothing.
 *
 *   nosync PATH COMMAND [ARGUMENT...]
 *
 * This is the mutation of the power-cut test: a rig that does not notice a missing sync of the
 * data proves nothing when it passes. The calls are caught by a seccomp user notification (Linux
 * 5.5, for SECCOMP_USER_NOTIF_FLAG_CONTINUE) rather than by LD_PRELOAD: it works in static
 * binaries, under sanitizers (which must be first in the preload list) and for raw system calls.
 * io_uring would go round it, so io_uring_setup is answered with EPERM, as Docker does.
 *
 * Ends with the command's exit status; 128 + its signal; 125 when it could not set this up or when
 * not one sync was swallowed: a mutation that did not happen must not look like one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
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

/* The child's listener, as our own descriptor; -1 when there is none. */
static int listener_take(int pidfd, int told_fd)
{
    int number = -1;
    if (read(told_fd, &number, sizeof(number)) != sizeof(number) || number < 0)
        return -1;
    return pidfd_getfd(pidfd, number, 0);
}

static bool is_of_path(const struct seccomp_notif *call, const char *path)
{
    char link[64];
    char target[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/%u/fd/%d", call->pid, (int)call->data.args[0]);
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    return strcmp(target, path) == 0;
}

/* Answers one call; true when it was swallowed. A caller that died meanwhile is no error. */
static bool call_answer(int listener, const char *path)
{
    struct seccomp_notif call = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
        return false;
    struct seccomp_notif_resp answer = {.id = call.id};
    bool swallowed = is_of_path(&call, path);
    if (!swallowed)
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 && swallowed;
}

static uint64_t calls_serve(int listener, int pidfd, const char *path)
{
    uint64_t swallowed = 0;
    struct pollfd events[2] = {{.fd = listener, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    while ((events[1].revents & POLLIN) == 0) {
        if (poll(events, 2, -1) < 0 && errno != EINTR)
            break;
        if ((events[0].revents & POLLIN) != 0)
            swallowed += call_answer(listener, path);
        else if (events[0].revents != 0)
            events[0].fd = -1; /* Hung up: the last thread is ending. */
    }
    return swallowed;
}

static int run(const char *path, char **command)
{
    int told[2];
    int go[2];
    if (pipe2(told, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)
        return EXIT_NOT_DONE;
    pid_t child = fork();
    if (child == 0)
        child_run(told, go, command);
    int pidfd = child > 0 ? pidfd_open(child, 0) : -1;
    int listener = pidfd >= 0 ? listener_take(pidfd, told[0]) : -1;
    if (listener < 0)
        perror("nosync: seccomp listener");
    uint64_t swallowed = 0;
    if (listener >= 0 && write(go[1], "", 1) == 1)
        swallowed = calls_serve(listener, pidfd, path);
    close(go[1]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || listener < 0)
        return EXIT_NOT_DONE;
    if (swallowed == 0)
        fprintf(stderr, "nosync: no sync of %s was seen\n", path);
    if (swallowed == 0)
        return EXIT_NOT_DONE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int count, char **arguments)
{
    if (count < 3 || arguments[1][0] != '/') {
        fputs("usage: nosync /ABSOLUTE/PATH COMMAND [ARGUMENT...]\n", stderr);
        return EXIT_NOT_DONE;
    }
    return run(arguments[1], arguments + 2);
}
