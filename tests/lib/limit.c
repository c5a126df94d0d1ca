/*
 * limit: env(1) and timeout(1) in one, which begins in a fraction of their time.
 *
 *   limit SECONDS [NAME=VALUE]... COMMAND [ARGUMENT]...
 *
 * With these in its environment the command has so many seconds; then it and its process group get
 * TERM, and KILL ten seconds later: 124. Else its own status, 128 and a signal's number. SECONDS 0:
 * as many as it takes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_SECONDS = 10, STATUS_LATE = 124, STATUS_CANNOT = 126, STATUS_MISSING = 127 };

static void become(char **words)
{
    execvp(words[0], words);
    int status = errno == ENOENT ? STATUS_MISSING : STATUS_CANNOT;
    fprintf(stderr, "limit: %s: %s\n", words[0], strerror(errno));
    _exit(status);
}

/* A signal, or 0 when the time is over. */
static int next_signal(const sigset_t *set, time_t end_seconds)
{
    struct timespec now;
    int got = -1;

    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        struct timespec left = {.tv_sec = end_seconds - now.tv_sec};
        if (left.tv_sec <= 0)
            return 0;
        got = sigtimedwait(set, NULL, &left);
    } while (got < 0);
    return got;
}

/* Without a limit to the seconds, once it has been said that they are over. */
static int watch(pid_t child, const sigset_t *set, time_t seconds)
{
    struct timespec now;
    int late = 0, status;

    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end_seconds = now.tv_sec + seconds + 1;
    for (;;) {
        int got = next_signal(set, end_seconds);
        if (got == 0) {
            kill(child, late > 0 ? SIGKILL : SIGTERM);
            kill(0, late > 0 ? SIGKILL : SIGTERM); /* ours is blocked */
            late++;
            end_seconds += GRACE_SECONDS;
        } else if (got != SIGCHLD) {
            if (late == 0)
                kill(child, got); /* meant for it */
        } else if (waitpid(child, &status, WNOHANG) == child) {
            if (late > 0)
                return STATUS_LATE;
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
}

int main(int count, char **words)
{
    long seconds = count > 2 ? strtol(words[1], NULL, 10) : -1;
    sigset_t set, before;

    for (words += 2; seconds >= 0 && *words && strchr(*words, '='); words++)
        putenv(*words);
    if (seconds < 0 || !*words) {
        fputs("usage: limit SECONDS [NAME=VALUE]... COMMAND [ARGUMENT]...\n", stderr);
        return STATUS_CANNOT;
    }
    if (seconds == 0)
        become(words);
    setpgid(0, 0); /* what is killed is the command and its children, and nobody else */
    sigemptyset(&set);
    for (const int *next = (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, 0}; *next;
         next++)
        sigaddset(&set, *next);
    sigprocmask(SIG_BLOCK, &set, &before);
    pid_t child = vfork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        become(words);
    }
    return child < 0 ? STATUS_CANNOT : watch(child, &set, (time_t)seconds);
}
