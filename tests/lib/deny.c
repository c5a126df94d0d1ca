/* deny - run a command as if the kernel, or a container's seccomp profile, refused some calls.
 *
 *   deny [--errno=EPERM|ENOSYS] [--old-kernel] [--only-cachestat] COMMAND...
 *
 * io_uring_setup, _enter and _register always fail with the errno (EPERM is what Docker's and
 * containerd's default profiles answer). --old-kernel answers ENOSYS to every system call that is
 * younger than Linux 3.2, which is the oldest kernel that glibc 2.36 runs on: statx,
 * preadv2/pwritev2, cachestat, copy_file_range, openat2, faccessat2, close_range, getrandom, clone3
 * and the rest. newfstatat (2.6.16) stays. --only-cachestat refuses that alone, as kernels before
 * 6.5 do. A plain BPF program, without libseccomp, for x86-64 and
 * i386 alike. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { IO_URING_FIRST = 425, IO_URING_LAST = 427 }; /* one number on all architectures since 5.1 */
enum { CACHESTAT = 451 };
/* The first system call after Linux 3.2: kcmp (3.5), in both tables. */
enum { X86_64_YOUNG = 312, I386_YOUNG = 349 };

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))

/* The calls that are refused with the errno. */
struct refused {
    uint32_t first, last;
};

static int install(struct refused refused, uint32_t refused_errno, bool old_kernel)
{
    uint32_t never = UINT32_MAX;
    const struct sock_filter program[] = {
        /* 0 */ LOAD(nr),
        /* 1 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, refused.first, 0, 1),
        /* 2 */ BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, refused.last, 0, 9),
        /* 3 */ LOAD(arch),
        /* 4 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        /* 5 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 2, 4),
        /* 6: x86-64 */ LOAD(nr),
        /* 7 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, old_kernel ? X86_64_YOUNG : never, 3, 2),
        /* 8: i386 */ LOAD(nr),
        /* 9 */ BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, old_kernel ? I386_YOUNG : never, 1, 0),
        /* 10: allowed, also under another architecture */ RETURN(SECCOMP_RET_ALLOW),
        /* 11 */ RETURN(SECCOMP_RET_ERRNO | ENOSYS),
        /* 12 */ RETURN(SECCOMP_RET_ERRNO | refused_errno),
    };
    struct sock_fprog filter = {sizeof(program) / sizeof(program[0]),
                                (struct sock_filter *)(uintptr_t)program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0 ? -errno : 0;
}

static int usage(void)
{
    fputs("usage: deny [--errno=EPERM|ENOSYS] [--old-kernel] [--only-cachestat] COMMAND...\n",
          stderr);
    return 125;
}

int main(int argc, char **argv)
{
    struct refused refused = {IO_URING_FIRST, IO_URING_LAST};
    uint32_t uring_errno = 0;
    bool old_kernel = false;
    int at = 1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--errno=EPERM") == 0) {
            uring_errno = EPERM;
        } else if (strcmp(argv[at], "--errno=ENOSYS") == 0) {
            uring_errno = ENOSYS;
        } else if (strcmp(argv[at], "--old-kernel") == 0) {
            old_kernel = true;
        } else if (strcmp(argv[at], "--only-cachestat") == 0) {
            refused = (struct refused){CACHESTAT, CACHESTAT};
            uring_errno = ENOSYS;
        } else {
            return usage();
        }
    }
    if (at >= argc) {
        return usage();
    }
    if (uring_errno == 0) {
        uring_errno = old_kernel ? ENOSYS : EPERM;
    }
    int rc = install(refused, uring_errno, old_kernel);
    if (rc != 0) {
        fprintf(stderr, "deny: seccomp: %s\n", strerror(-rc));
        return 125;
    }
    execvp(argv[at], argv + at);
    fprintf(stderr, "deny: %s: %s\n", argv[at], strerror(errno));
    return 127;
}
