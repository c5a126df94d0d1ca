/* signals.c - signals by signalfd(2). */
#include "haul/signals.h"

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

int signals_open(struct error *err)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (wanted[i] != SIGHUP || !is_ignored(SIGHUP))
            sigaddset(&set, wanted[i]);
    signal(SIGPIPE, SIG_IGN);
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
    return info.ssi_signo == SIGUSR1 ? SIGNALS_STATUS : SIGNALS_STOP;
}
