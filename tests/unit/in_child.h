/* in_child.h - what a process cannot take back (limits, identity, namespaces, filters), done by a
 * child of the test. */
#ifndef HAUL_TESTS_IN_CHILD_H
#define HAUL_TESTS_IN_CHILD_H

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static inline pid_t child_start(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        alarm(600); /* a hang ends the child, not the test */
    return child;
}

__attribute__((noreturn)) static inline void child_end(int failed)
{
    if (failed)
        dprintf(STDERR_FILENO, "the child failed: %d\n", failed);
    _exit(failed != 0);
}

/* The status of waitpid(2), -1: there was no child. */
static inline int child_wait(pid_t child)
{
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* Evaluates `call`, an int that is 0 when all is well, in a child. Only while there are no other
 * threads: a fork among them may copy a lock that is held (the allocator's, of gcc 12's ASan). */
#define IN_CHILD(call)                                                                             \
    do {                                                                                           \
        pid_t child_of_test = child_start();                                                       \
        if (child_of_test == 0)                                                                    \
            child_end(call);                                                                       \
        assert_int_equal(child_wait(child_of_test), 0);                                            \
    } while (0)

/* For such a call: it ends with the line. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)

/* A mount namespace of the child's own, from which nothing reaches others. Where "/" is no mount
 * point, as in a chroot, the mount to make private lies above it: the child goes up there, from a
 * folder outside of a root of its own, and comes back. */
static inline bool child_own_mounts(void)
{
    if (unshare(CLONE_NEWNS) != 0)
        return false;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool up = root >= 0 && here >= 0 && fchdir(root) == 0 && chroot("tmp") == 0;
    for (int i = 0; up && i < 64; i++)
        up = chdir("..") == 0;
    bool private = up && chroot(".") == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    bool back = root >= 0 && fchdir(root) == 0 && chroot(".") == 0 && fchdir(here) == 0;
    close(root);
    close(here);
    return private && back;
}

#endif
