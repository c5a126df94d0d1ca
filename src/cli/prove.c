/* prove.c - `haul prove`: the process that counts beside a copy, and its account. */
#include "haul/cli/prove.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/proc.h"
#include "haul/base/text.h"
#include "haul/cli/output.h"
#include "haul/disk/insertions.h"
#include "haul/disk/tracing.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel's buffer holds what a copy can bring in within a tenth of a second. */
enum { LOOK_MS = 20, THREADS_KNOWN = 64 };

/* One datagram each. To the counter: a file that has ended. From it: first whether it counts (why),
 * then each file of which pages have entered, then LAST, with the figures of all. */
enum letter_kind { LETTER_FILE, LETTER_STARTED, LETTER_LAST };

struct letter {
    enum letter_kind kind;
    uint32_t role; /* enum side_role */
    uint64_t device, inode;
    struct insertions_figures figures; /* pages */
    uint64_t lost_count;
    char text[PATH_MAX]; /* the path, or why nothing is counted; sent as far as it goes */
};

static bool letter_send(int fd, const struct letter *letter)
{
    size_t length = offsetof(struct letter, text) + strlen(letter->text) + 1;
    return send(fd, letter, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* false: there will be none any more. */
static bool letter_receive(int fd, struct letter *letter)
{
    ssize_t got;
    do
        got = recv(fd, letter, sizeof(*letter), 0);
    while (got < 0 && errno == EINTR);
    return got > (ssize_t)offsetof(struct letter, text);
}

/* ---- the process that counts ---- */

struct named {
    struct named *next;
    struct letter letter;
};

struct counter {
    int fd;
    uint64_t process; /* whose insertions are counted */
    bool can_tell;    /* whose a thread is */
    struct {
        uint32_t thread;
        bool others;
    } known[THREADS_KNOWN];
    struct tracing tracing;
    struct insertions insertions;
    struct named *named;
};

/* The events have the numbers of the first namespace of processes, which may not be ours. */
static bool namespace_is_first(void)
{
    char text[64];
    ssize_t length = readlink("/proc/self/ns/pid", text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    return strcmp(text, "pid:[4026531836]") == 0;
}

/* Only who is certainly another program: not the kernel's threads, which work for us, too, and
 * nobody who is gone. */
static bool look_at_thread(const struct counter *counter, uint32_t thread)
{
    char path[64];
    uint64_t process, bytes;
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/status", thread);
    return proc_figure(path, "Tgid:", &process) == 0 && process != counter->process &&
           proc_figure(path, "VmSize:", &bytes) == 0;
}

static bool is_others(struct counter *counter, uint32_t thread)
{
    size_t place = thread % THREADS_KNOWN;
    if (!counter->can_tell)
        return false;
    if (counter->known[place].thread != thread) {
        counter->known[place].thread = thread;
        counter->known[place].others = look_at_thread(counter, thread);
    }
    return counter->known[place].others;
}

static void catch_up(struct counter *counter)
{
    struct tracing_event event;
    while (tracing_next(&counter->tracing, &event))
        insertions_add(&counter->insertions, &event, !is_others(counter, event.thread));
}

static struct insertions_figures figures_of(const struct counter *counter,
                                            const struct letter *letter)
{
    return insertions_of(&counter->insertions, letter->device, letter->inode);
}

/* Its name is kept only if there is something to tell. */
static void count_file(struct counter *counter, const struct letter *letter)
{
    struct insertions_figures figures = figures_of(counter, letter);
    if (figures.entered == 0 && figures.by_others == 0)
        return;
    struct named *named = malloc(sizeof(*named));
    if (!named) {
        counter->insertions.memory_short = true;
        return;
    }
    named->next = counter->named;
    named->letter = *letter;
    counter->named = named;
}

/* What was counted, to whoever still listens. */
static void tell(struct counter *counter)
{
    struct letter last = {.kind = LETTER_LAST, .figures = counter->insertions.all};
    last.lost_count =
        counter->insertions.memory_short ? NUM_UNKNOWN : tracing_lost(&counter->tracing);
    bool listens = true;
    for (struct named *named = counter->named, *next; named; named = next) {
        next = named->next;
        named->letter.figures = figures_of(counter, &named->letter);
        listens = listens && letter_send(counter->fd, &named->letter);
        free(named);
    }
    (void)letter_send(counter->fd, &last);
}

static void count_all(struct counter *counter)
{
    struct letter letter;
    struct pollfd wanted = {.fd = counter->fd, .events = POLLIN};
    bool copies = true;
    while (copies) {
        int ready = poll(&wanted, 1, LOOK_MS);
        catch_up(counter);
        if (ready > 0 && (copies = letter_receive(counter->fd, &letter)))
            count_file(counter, &letter);
    }
    tracing_stop(&counter->tracing);
    catch_up(counter);
}

/* Signals are for the copy, whose end is ours. A session of its own: what is typed at the terminal
 * or sent to the group does not reach us. */
static void counter_run(int fd, uint64_t process)
{
    static const int theirs[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGPIPE};
    struct counter counter = {.fd = fd, .process = process, .can_tell = namespace_is_first()};
    struct letter started = {.kind = LETTER_STARTED};
    struct error err = {0};
    setsid();
    for (size_t i = 0; i < COUNT_OF(theirs); i++)
        signal(theirs[i], SIG_IGN);
    insertions_open(&counter.insertions);
    if (tracing_open(&counter.tracing, "/", &err) < 0)
        snprintf(started.text, sizeof(started.text), "%.*s", PATH_MAX - 1, err.text);
    bool counts = letter_send(fd, &started) && started.text[0] == '\0';
    if (counts) {
        count_all(&counter);
        tell(&counter);
    }
    tracing_close(&counter.tracing);
    insertions_close(&counter.insertions);
}

/* ---- the copy's side of it ---- */

static void proof_wait(struct proof *proof)
{
    while (proof->pid > 0 && waitpid(proof->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void proof_open(struct proof *proof, uint64_t at_once_max_bytes)
{
    int fds[2] = {-1, -1};
    struct letter letter;
    pid_t process = getpid();
    *proof = (struct proof){.fd = -1, .at_once_max_bytes = at_once_max_bytes};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0 ||
        (proof->pid = fork()) < 0) {
        snprintf(proof->why, sizeof(proof->why), "no process that counts: %s", strerror(errno));
        proof->pid = 0;
        cleanup_close(&fds[0]);
        cleanup_close(&fds[1]);
        return;
    }
    if (proof->pid == 0) {
        close(fds[0]);
        counter_run(fds[1], (uint64_t)process);
        _exit(0);
    }
    close(fds[1]);
    proof->fd = fds[0];
    if (!letter_receive(proof->fd, &letter))
        snprintf(letter.text, sizeof(letter.text), "the process that counts has ended");
    snprintf(proof->why, sizeof(proof->why), "%s", letter.text);
}

static void name_file(struct proof *proof, enum side_role role, const char *path, const char *host)
{
    struct letter letter = {.kind = LETTER_FILE, .role = role};
    if (host || !path)
        return;
    if (strlen(path) >= sizeof(letter.text) ||
        insertions_name(path, &letter.device, &letter.inode) < 0) {
        proof->sides[role].unwatched_count++;
        return;
    }
    strcpy(letter.text, path);
    if (letter_send(proof->fd, &letter))
        proof->sides[role].watched_count++;
}

void proof_file(struct proof *proof, const struct receipt *receipt)
{
    if (proof->why[0] != '\0')
        return;
    name_file(proof, SIDE_SOURCE, receipt->source_path, receipt->source_host);
    name_file(proof, SIDE_TARGET, receipt->target_path, receipt->target_host);
}

static const char *const role_names[] = {[SIDE_SOURCE] = "source", [SIDE_TARGET] = "target"};

static void print_bytes(const char *before, uint64_t bytes, const char *after)
{
    char size[TEXT_NUMBER_BYTES];
    printf("%s%s%s", before, text_size(size, bytes), after);
}

static void print_figures(const struct proof_side *side, const char *at_once)
{
    if (side->entered_bytes == 0)
        printf("nothing entered");
    else {
        print_bytes("", side->entered_bytes, " entered");
        print_bytes(", ", side->at_once_bytes, at_once);
        print_bytes(", ", side->left_bytes, " left");
    }
    if (side->by_others_bytes > 0)
        print_bytes("; ", side->by_others_bytes, " by other programs");
    printf("\n");
}

static void json_figures(const struct proof_side *side)
{
    output_json_number(stdout, "entered_bytes", side->entered_bytes);
    output_json_number(stdout, "at_once_bytes", side->at_once_bytes);
    output_json_number(stdout, "left_bytes", side->left_bytes);
    output_json_number(stdout, "by_others_bytes", side->by_others_bytes);
}

static void print_file(const struct letter *letter, const struct proof_side *one, bool json)
{
    char shown[4 * PATH_MAX];
    if (!json) {
        printf("%s    %s: ", role_names[letter->role],
               text_escape(shown, sizeof(shown), letter->text));
        print_figures(one, " at once");
        return;
    }
    fputs("{\"v\":1,\"event\":\"entered\"", stdout);
    output_json_string(stdout, "path", letter->text);
    output_json_string(stdout, "side", role_names[letter->role]);
    json_figures(one);
    fputs("}\n", stdout);
}

static struct proof_side add_file(struct proof *proof, const struct letter *letter, uint64_t page)
{
    const struct insertions_figures *pages = &letter->figures;
    const struct proof_side one = {.entered_bytes = pages->entered * page,
                                   .at_once_bytes = pages->most * page,
                                   .left_bytes = pages->now * page,
                                   .by_others_bytes = pages->by_others * page};
    struct proof_side *sum = &proof->sides[letter->role];
    sum->entered_count += pages->entered > 0;
    sum->entered_bytes += one.entered_bytes;
    sum->at_once_bytes = max_u64(sum->at_once_bytes, one.at_once_bytes);
    sum->left_bytes += one.left_bytes;
    sum->by_others_bytes += one.by_others_bytes;
    return one;
}

/* Was nothing left, and never too much there? 1: yes; 0: no; -1: it is not known. */
static int proof_kept_out(const struct proof *proof)
{
    const struct proof_side *source = &proof->sides[SIDE_SOURCE];
    const struct proof_side *target = &proof->sides[SIDE_TARGET];
    if (proof->why[0] != '\0')
        return -1;
    if (source->left_bytes + target->left_bytes > 0 ||
        max_u64(source->at_once_bytes, target->at_once_bytes) > proof->at_once_max_bytes)
        return 0;
    bool all = source->unwatched_count + target->unwatched_count == 0 &&
               source->watched_count + target->watched_count > 0;
    return proof->lost_count == 0 && all ? 1 : -1;
}

int proof_end(struct proof *proof, bool json, uint32_t lines_max, struct error *err)
{
    struct letter letter = {.kind = LETTER_STARTED};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), lines_count = 0;
    char left[TEXT_NUMBER_BYTES];
    bool several =
        proof->sides[SIDE_SOURCE].watched_count > 1 || proof->sides[SIDE_TARGET].watched_count > 1;
    if (proof->fd >= 0)
        shutdown(proof->fd, SHUT_WR);
    while (proof->why[0] == '\0' && letter.kind != LETTER_LAST &&
           letter_receive(proof->fd, &letter)) {
        if (letter.kind != LETTER_FILE)
            continue;
        struct proof_side one = add_file(proof, &letter, page);
        if (json || (several && lines_count++ < lines_max))
            print_file(&letter, &one, json);
    }
    if (lines_count > lines_max)
        printf("... and %" PRIu64 " more files\n", lines_count - lines_max);
    if (proof->why[0] == '\0' && letter.kind != LETTER_LAST) {
        snprintf(proof->why, sizeof(proof->why), "the process that counts was ended");
        tracing_remove("/", (uint32_t)proof->pid);
    }
    bool counted = letter.kind == LETTER_LAST;
    proof->process_entered_bytes = counted ? letter.figures.entered * page : NUM_UNKNOWN;
    proof->process_at_once_bytes = counted ? letter.figures.most * page : NUM_UNKNOWN;
    proof->lost_count = counted ? letter.lost_count : NUM_UNKNOWN;
    proof_wait(proof);
    cleanup_close(&proof->fd);
    if (proof_kept_out(proof) != 0)
        return 0;
    uint64_t left_bytes =
        proof->sides[SIDE_SOURCE].left_bytes + proof->sides[SIDE_TARGET].left_bytes;
    if (left_bytes == 0)
        return error_set_class(err, ERROR_CACHE, EFBIG,
                               "more was in the page cache at once than --cache-max allows");
    return error_set_class(err, ERROR_CACHE, EFBIG,
                           "%s of what the copy has brought into the page cache are left there",
                           text_size(left, left_bytes));
}

/* ---- the account ---- */

static void print_json(const struct proof *proof)
{
    int kept_out = proof_kept_out(proof);
    fputs("{\"v\":1,\"event\":\"proof\"", stdout);
    output_json_string(stdout, "by", proof->why[0] == '\0' ? "tracepoint" : "receipt");
    output_json_string(stdout, "why", proof->why[0] == '\0' ? NULL : proof->why);
    if (kept_out < 0)
        output_json_string(stdout, "kept_out", NULL);
    else
        output_json_bool(stdout, "kept_out", kept_out);
    for (int role = 0; role < 2; role++) {
        const struct proof_side *side = &proof->sides[role];
        printf(",\"%s\":{\"files\":%" PRIu64, role_names[role], side->watched_count);
        output_json_number(stdout, "files_unwatched", side->unwatched_count);
        output_json_number(stdout, "files_entered", side->entered_count);
        json_figures(side);
        fputs("}", stdout);
    }
    output_json_number(stdout, "process_entered_bytes", proof->process_entered_bytes);
    output_json_number(stdout, "process_at_once_bytes", proof->process_at_once_bytes);
    output_json_number(stdout, "lost_events", proof->lost_count);
    fputs("}\n", stdout);
}

static void print_counted(const struct proof *proof)
{
    printf("page cache, counted by the kernel's tracepoint\n");
    for (int role = 0; role < 2; role++) {
        const struct proof_side *side = &proof->sides[role];
        printf("%s    ", role_names[role]);
        if (side->watched_count == 0) {
            printf("NOT watched: %s\n", side->unwatched_count > 0
                                            ? "the kernel does not tell of devices and tmpfs"
                                            : "on another machine");
            continue;
        }
        printf("%" PRIu64 " file%s: ", side->watched_count, side->watched_count == 1 ? "" : "s");
        print_figures(side, side->watched_count == 1 ? " at once" : " of one of them at once");
    }
    print_bytes("process   ", proof->process_entered_bytes, " entered");
    print_bytes(", ", proof->process_at_once_bytes, " at once, of all files, libraries too\n");
    if (proof->lost_count == NUM_UNKNOWN)
        printf("NOT all of it could be counted: more may have entered\n");
    else if (proof->lost_count > 0)
        printf("NOT counted: %" PRIu64 " events were lost, more may have entered\n",
               proof->lost_count);
}

static void print_looked(const struct proof *proof, const struct receipt *sum)
{
    char shown[4 * ERROR_TEXT_BYTES];
    const struct side_report *reports[] = {&sum->source, &sum->target};
    printf("NOT proven: %s\nmeasured instead, now and then, by cachestat or mincore:\n",
           text_escape(shown, sizeof(shown), proof->why));
    for (int role = 0; role < 2; role++) {
        printf("%s    cached", role_names[role]);
        print_bytes(" ", reports[role]->resident_before_bytes, " before");
        print_bytes(", ", reports[role]->resident_peak_bytes, " peak");
        print_bytes(", ", reports[role]->resident_after_bytes, " after\n");
    }
}

void proof_print(const struct proof *proof, const struct receipt *sum, bool json)
{
    if (json)
        print_json(proof);
    else if (proof->why[0] == '\0')
        print_counted(proof);
    else
        print_looked(proof, sum);
}
