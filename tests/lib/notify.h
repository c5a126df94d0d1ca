/* notify.h - runs a command that stops in some of its system calls until it is answered: what
 * iotrace.c and nosync.c share.
 *
 * By a seccomp user notification (Linux 5.5, for SECCOMP_USER_NOTIF_FLAG_CONTINUE) rather than by
 * LD_PRELOAD: it works in static binaries, under sanitizers (which must be first in the preload
 * list) and for raw system calls. io_uring would go round it, so io_uring_setup is answered with
 * EPERM, as Docker does. */
#ifndef HAUL_TESTS_NOTIFY_H
#define HAUL_TESTS_NOTIFY_H

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

enum { NOTIFY_CALLS_MAX = 8, EXIT_NOT_DONE = 125, NOTIFY_LINK_BYTES = 64 };

struct notify {
    pid_t child;
    int pidfd;
    int listener; /* -1: it could not be set up */
};

#define NOTIFY_IS(number)     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1)
#define NOTIFY_RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))

/* The filter's listener, or -1. */
static int notify_install(const uint32_t *numbers, uint32_t numbers_count)
{
    struct sock_filter code[2 * NOTIFY_CALLS_MAX + 4];
    struct sock_fprog program = {.len = 0, .filter = code};
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                       (uint32_t)offsetof(struct seccomp_data, nr));
    for (uint32_t i = 0; i < numbers_count && i < NOTIFY_CALLS_MAX; i++) {
        code[program.len++] = (struct sock_filter)NOTIFY_IS(numbers[i]);
        code[program.len++] = (struct sock_filter)NOTIFY_RETURN(SECCOMP_RET_USER_NOTIF);
    }
    code[program.len++] = (struct sock_filter)NOTIFY_IS(SYS_io_uring_setup);
    code[program.len++] = (struct sock_filter)NOTIFY_RETURN(SECCOMP_RET_ERRNO | EPERM);
    code[program.len++] = (struct sock_filter)NOTIFY_RETURN(SECCOMP_RET_ALLOW);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &program);
}

/* In the child: tells the parent its listener's number, waits until the parent has it, and goes. */
__attribute__((noreturn)) static void notify_child(int listener, int told_fd, int go_fd,
                                                   char **command)
{
    char go = 0;
    if (write(told_fd, &listener, sizeof(listener)) == sizeof(listener) && listener >= 0 &&
        read(go_fd, &go, 1) == 1) {
        execvp(command[0], command);
        perror(command[0]);
    }
    _exit(EXIT_NOT_DONE);
}

/* The child's listener, as our own descriptor; -1 when there is none. */
static int notify_take(int pidfd, int told_fd)
{
    int number = -1;
    if (read(told_fd, &number, sizeof(number)) != sizeof(number) || number < 0)
        return -1;
    return pidfd_getfd(pidfd, number, 0);
}

/* Starts the command, which stops in these system calls. notify_end() must follow. */
static void notify_start(struct notify *notify, const uint32_t *numbers, uint32_t numbers_count,
                         char **command)
{
    int told[2], go[2];
    *notify = (struct notify){.child = -1, .pidfd = -1, .listener = -1};
    if (pipe2(told, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)
        return;
    notify->child = fork();
    if (notify->child == 0) {
        close(go[1]); /* Or the child would never see that the parent gave up. */
        notify_child(notify_install(numbers, numbers_count), told[1], go[0], command);
    }
    close(told[1]); /* Or the parent would never see that the child died. */
    notify->pidfd = notify->child > 0 ? pidfd_open(notify->child, 0) : -1;
    if (notify->pidfd >= 0)
        notify->listener = notify_take(notify->pidfd, told[0]);
    if (notify->listener >= 0 && write(go[1], "", 1) != 1)
        notify->listener = -1;
    if (notify->listener < 0)
        perror("seccomp listener");
    close(go[1]);
}

/* Waits for the next call. false: the command has ended. Every call must be answered. */
static bool notify_next(const struct notify *notify, struct seccomp_notif *call)
{
    struct pollfd events[2] = {{.fd = notify->listener, .events = POLLIN},
                               {.fd = notify->pidfd, .events = POLLIN}};
    while (notify->listener >= 0 && (events[1].revents & POLLIN) == 0) {
        if (poll(events, 2, -1) < 0 && errno != EINTR)
            return false;
        memset(call, 0, sizeof(*call));
        if ((events[0].revents & POLLIN) != 0) {
            if (ioctl(notify->listener, SECCOMP_IOCTL_NOTIF_RECV, call) == 0)
                return true; /* Else the caller died meanwhile, which is no error. */
        } else if (events[0].revents != 0) {
            events[0].fd = -1; /* Hung up: the last thread is ending. */
        }
    }
    return false;
}

/* The call goes on, or returns 0 without having been made. false: the caller died meanwhile. */
static bool notify_answer(const struct notify *notify, const struct seccomp_notif *call, bool go_on)
{
    struct seccomp_notif_resp answer = {
        .id = call->id,
        .flags = go_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0,
    };
    return ioctl(notify->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
}

/* The link in /proc that stands for the descriptor that is the call's first argument. */
static inline void notify_link(const struct seccomp_notif *call, char link[NOTIFY_LINK_BYTES])
{
    snprintf(link, NOTIFY_LINK_BYTES, "/proc/%u/fd/%d", call->pid, (int)call->data.args[0]);
}

/* The file of that descriptor; "": unknown. */
static inline void notify_path(const struct seccomp_notif *call, char path[PATH_MAX])
{
    char link[NOTIFY_LINK_BYTES];
    notify_link(call, link);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = '\0';
}

/* Waits for the command: its exit status, 128 + its signal, EXIT_NOT_DONE. */
static int notify_end(const struct notify *notify)
{
    int status = 0;
    if (notify->child < 0 || waitpid(notify->child, &status, 0) != notify->child ||
        notify->listener < 0)
        return EXIT_NOT_DONE;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
