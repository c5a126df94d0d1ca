/* filter - runs a command whose standard input and output pass through here and are spoiled.
 *
 *   filter [--in=N[:MASK]] [--out=N[:MASK]] [--flood-out=N] [--stall-out=N] COMMAND [ARGUMENT...]
 *
 * As a --remote-path it sits between the SSH server and haul's agent, where no cipher hides what is
 * changed and no checksum of SSH finds it:
 *
 *   --in=N --out=N    byte N (from 0) of what the command reads, or writes, is XORed with MASK (1)
 *   --flood-out=N     after N bytes of output: noise without end
 *   --stall-out=N     after N bytes of output: silence; input is still taken
 *
 * Ends with the command's exit status; when its standard output is closed, without waiting. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 * 1024 };

#define NEVER UINT64_MAX

struct flow {
    int in, out; /* in -1: ended */
    uint64_t passed, spoil_at, stop_at;
    uint8_t mask;
    bool flood;
    uint8_t data[BUFFER_BYTES];
};

static void die(const char *what)
{
    fprintf(stderr, "filter: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* False: nobody reads any more. */
static bool write_all(int fd, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && errno != EINTR)
            return false;
        data += put > 0 ? put : 0;
        length -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

/* xorshift: what looks like nothing, and is not zero. */
static void flood(int fd)
{
    static uint64_t words[BUFFER_BYTES / 8];
    uint64_t word = 88172645463325252u;
    do
        for (size_t i = 0; i < sizeof(words) / 8; i++) {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            words[i] = word;
        }
    while (write_all(fd, (const uint8_t *)words, sizeof(words)));
    exit(0);
}

static void flow_end(struct flow *flow)
{
    close(flow->in);
    close(flow->out);
    flow->in = -1;
}

static void flow_pass(struct flow *flow)
{
    ssize_t got = read(flow->in, flow->data, sizeof(flow->data));
    if (got <= 0) {
        if (got == 0 || errno != EINTR)
            flow_end(flow);
        return;
    }
    size_t length = (size_t)got;
    if (flow->spoil_at >= flow->passed && flow->spoil_at - flow->passed < length)
        flow->data[flow->spoil_at - flow->passed] ^= flow->mask;
    if (length > flow->stop_at - flow->passed)
        length = (size_t)(flow->stop_at - flow->passed);
    if (!write_all(flow->out, flow->data, length)) {
        flow_end(flow);
        return;
    }
    flow->passed += length;
    if (flow->passed == flow->stop_at && flow->flood)
        flood(flow->out);
}

/* Each direction waits for itself alone: a command may stop reading until what it wrote is taken.
 */
static void *flow_run(void *argument)
{
    struct flow *flow = argument;
    while (flow->in >= 0)
        flow_pass(flow);
    return NULL;
}

static pid_t command_start(char **command, struct flow *in, struct flow *out)
{
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(down[0], 0);
        dup2(up[1], 1);
        execvp(command[0], command);
        fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    in->in = 0;
    in->out = down[1];
    out->in = up[0];
    out->out = 1;
    return pid;
}

static void spoil_read(struct flow *flow, const char *text)
{
    char *rest;
    flow->spoil_at = strtoull(text, &rest, 10);
    flow->mask = *rest == ':' ? (uint8_t)strtoul(rest + 1, NULL, 0) : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"in", 1, NULL, 'i'},
                                            {"out", 1, NULL, 'o'},
                                            {"flood-out", 1, NULL, 'f'},
                                            {"stall-out", 1, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    static struct flow in = {.spoil_at = NEVER, .stop_at = NEVER};
    static struct flow out = {.spoil_at = NEVER, .stop_at = NEVER};
    pthread_t thread; /* ends with the process: nobody may ever close our input */
    int option, status;
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (option == '?')
            return 125;
        if (option == 'i' || option == 'o')
            spoil_read(option == 'i' ? &in : &out, optarg);
        else
            out.stop_at = strtoull(optarg, NULL, 10);
        out.flood = out.flood || option == 'f';
    }
    if (optind == argc) {
        fprintf(stderr, "usage: filter [OPTION...] COMMAND [ARGUMENT...]\n");
        return 125;
    }
    signal(SIGPIPE, SIG_IGN);
    pid_t pid = command_start(argv + optind, &in, &out);
    if (out.stop_at == 0 && out.flood)
        flood(1);
    if (pthread_create(&thread, NULL, flow_run, &in) != 0)
        die("pthread_create");
    flow_run(&out);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
