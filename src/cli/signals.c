/* signals.c - signals by signalfd(2). */
#include "haul/cli/signals.h"

#include "haul/base/cleanup.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void nothing(int number)
{
    (void)number;
}

/* USR2, because nothing else uses it. Without SA_RESTART, or the call would go on. */
static void open_wake(void)
{
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGUSR2, &action, NULL);
}

void signals_wake(pthread_t thread)
{
    pthread_kill(thread, SIGUSR2);
}

/* A handler has no other way to it. */
static volatile sig_atomic_t code_released;

static void side_at_once(int number)
{
    (void)number;
    _exit(code_released);
}

void signals_release(int code)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = side_at_once};
    sigset_t set;
    code_released = code;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(ending); i++) {
        if (ending[i] == SIGHUP && is_ignored(SIGHUP))
            continue;
        signal(ending[i], SIG_IGN); /* forgets one that is pending (POSIX, sigaction) */
        sigaction(ending[i], &action, NULL);
        sigaddset(&set, ending[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int signals_open(struct error *err)
{
    static const int wanted[] = {
        SIGINT,  SIGTERM, SIGHUP, SIGUSR1, SIGWINCH,
#ifdef SIGINFO
        SIGINFO,
#endif
    };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        if (wanted[i] != SIGHUP || !is_ignored(SIGHUP))
            sigaddset(&set, wanted[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files (setrlimit(2)) is EFBIG then */
    open_wake();
    int errnum = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (errnum != 0)
        return error_set(err, errnum, "block signals");
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "signalfd");
    return fd;
}

enum signals_event signals_next(int fd)
{
    struct signalfd_siginfo info;
    ssize_t length = read(fd, &info, sizeof(info));
    if (length != (ssize_t)sizeof(info))
        return SIGNALS_NONE;
    switch (info.ssi_signo) {
    case SIGUSR1:
        return SIGNALS_STATUS;
    case SIGWINCH:
        return SIGNALS_RESIZED;
    case SIGINT:
    case SIGTERM:
    case SIGHUP:
        return SIGNALS_STOP;
    default:
        return SIGNALS_STATUS; /* INFO */
    }
}
