/* cutproxy - a TCP proxy on loopback that counts bytes and breaks connections.
 *
 *   cutproxy --ready=FILE [--count=FILE] [OPTION...] PORT
 *
 * Listens on a free port of 127.0.0.1, writes its number to --ready once it does, and forwards to
 * 127.0.0.1:PORT. "Up" is from the client to PORT, "down" the other way; N counts the bytes of one
 * direction of all connections together, or of one connection with --only.
 *
 *   --cut-up=N --cut-down=N      exactly N bytes pass, then both directions are reset
 *   --flip-up=N --flip-down=N    the lowest bit of byte N (from 0) is inverted
 *   --stall-up=N --stall-down=N  after N bytes nothing passes any more, and nobody is told
 *   --lose-up=N --lose-down=N    after N bytes the client's end is reset, and the server is not
 * told
 *   --mark-up=N --mark-down=N    --count tells how long after the first connection N bytes had
 *                                passed
 *   --only=K                     all of this for the K-th connection (from 1) alone; others pass
 *   --gate-up=N:K[:M[:FROM]]     from when FROM bytes (0) have passed in all, each connection
 * passes N
 *   --gate-down=N:K[:M[:FROM]]   more and waits, until K connections have passed M (N) more each;
 * so who carries how much is not left to who is faster. Several may be given
 *
 * Each happens once; connections made later pass. SIGUSR1 resets all connections, SIGUSR2 stalls
 * them, SIGHUP opens the gates, SIGTERM ends. --count is one line, kept up to date:
 *
 *   up=BYTES down=BYTES connections=COUNT open=COUNT mark=SECONDS  (mark=- : not yet)
 *
 * Knows nothing of what passes. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_MAX = 64, GATES_MAX = 4, BUFFER_BYTES = 128 * 1024 };
enum { UP, DOWN, WAYS };

#define NEVER UINT64_MAX

/* One direction of one connection: from[way] is read, the other socket written. */
struct flow {
    uint8_t data[BUFFER_BYTES];
    size_t start, end; /* read and not yet written */
    bool read_ended, write_ended;
};

struct pair {
    int fds[WAYS]; /* UP: the client's socket, DOWN: the server's; -1: free */
    uint32_t number;
    bool stalled;
    struct flow flows[WAYS];
    uint64_t passed[WAYS];
    struct {
        uint64_t from; /* what this pair had passed when the gate was shut */
        bool through;  /* it has passed enough since */
    } gates[GATES_MAX];
};

/* Stands open at first, is shut, and is opened for good. */
struct gate {
    int way;
    uint64_t most, enough, from;
    uint32_t count;
    uint32_t through_count;
    bool shut, opened;
};

struct proxy {
    int listener;
    uint16_t target_port;
    const char *count_path;
    uint32_t only;
    uint64_t cut_at[WAYS], flip_at[WAYS], stall_at[WAYS], lose_at[WAYS], mark_at[WAYS];
    struct gate gates[GATES_MAX];
    uint32_t gates_count;

    uint64_t passed[WAYS];  /* of all connections */
    uint64_t watched[WAYS]; /* of those that the options are for */
    uint32_t connections_count;
    int64_t first_ns, mark_ns; /* -1: not yet */
    bool changed;
    struct pair pairs[PAIRS_MAX];
};

static volatile sig_atomic_t wishes; /* bits of the signals that came */

static bool wished(int number)
{
    return wishes >> number & 1;
}

/* One at a time: each blocks the others. */
static void on_signal(int number)
{
    wishes |= 1 << number;
}

static void die(const char *what)
{
    fprintf(stderr, "cutproxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- figures ---- */

static void count_write(struct proxy *proxy)
{
    char line[160], mark[32] = "-";
    uint32_t open_count = 0;
    if (!proxy->changed || !proxy->count_path)
        return;
    proxy->changed = false;
    for (uint32_t i = 0; i < PAIRS_MAX; i++)
        open_count += proxy->pairs[i].fds[UP] >= 0;
    if (proxy->mark_ns >= 0)
        snprintf(mark, sizeof(mark), "%.3f", (double)(proxy->mark_ns - proxy->first_ns) / 1e9);
    int length = snprintf(
        line, sizeof(line), "up=%" PRIu64 " down=%" PRIu64 " connections=%u open=%u mark=%s\n",
        proxy->passed[UP], proxy->passed[DOWN], proxy->connections_count, open_count, mark);
    /* One write, padded: whoever reads at the same time sees the old line or the new one. */
    memset(line + length - 1, ' ', sizeof(line) - (size_t)length);
    line[sizeof(line) - 1] = '\n';
    int fd = open(proxy->count_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || pwrite(fd, line, sizeof(line), 0) != (ssize_t)sizeof(line))
        die(proxy->count_path);
    close(fd);
}

/* ---- connections ---- */

/* SO_LINGER 0: a reset, as a dying link gives, and no socket in TIME_WAIT. */
static void pair_reset(struct proxy *proxy, struct pair *pair)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int way = 0; way < WAYS; way++) {
        setsockopt(pair->fds[way], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(pair->fds[way]);
        pair->fds[way] = -1;
    }
    proxy->changed = true;
}

static void pair_close(struct proxy *proxy, struct pair *pair)
{
    close(pair->fds[UP]);
    close(pair->fds[DOWN]);
    pair->fds[UP] = pair->fds[DOWN] = -1;
    proxy->changed = true;
}

static int target_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void pair_prepare(int fd)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* ---- bytes ---- */

/* How many of `length` bytes may pass before a cut or a stall. */
static size_t allowed(const struct proxy *proxy, int way, size_t length)
{
    uint64_t limit =
        proxy->cut_at[way] < proxy->stall_at[way] ? proxy->cut_at[way] : proxy->stall_at[way];
    limit = proxy->lose_at[way] < limit ? proxy->lose_at[way] : limit;
    uint64_t room = limit > proxy->watched[way] ? limit - proxy->watched[way] : 0;
    return limit == NEVER || length < room ? length : (size_t)room;
}

/* How many bytes a pair may still pass before a gate. */
static uint64_t gates_room(const struct proxy *proxy, const struct pair *pair, int way)
{
    uint64_t room = NEVER;
    for (uint32_t i = 0; i < proxy->gates_count; i++) {
        const struct gate *gate = &proxy->gates[i];
        uint64_t passed = pair->passed[way] - pair->gates[i].from;
        if (gate->way != way || !gate->shut || gate->opened)
            continue;
        uint64_t left = gate->most > passed ? gate->most - passed : 0;
        room = left < room ? left : room;
    }
    return room;
}

/* All that are open stand at what they have passed. */
static void gate_shut(struct proxy *proxy, uint32_t number)
{
    struct gate *gate = &proxy->gates[number];
    for (uint32_t i = 0; i < PAIRS_MAX; i++)
        proxy->pairs[i].gates[number].from = proxy->pairs[i].passed[gate->way];
    gate->shut = true;
}

/* After bytes of this pair have passed, or none yet. */
static void gates_turn(struct proxy *proxy, struct pair *pair)
{
    for (uint32_t i = 0; i < proxy->gates_count; i++) {
        struct gate *gate = &proxy->gates[i];
        if (!gate->shut && proxy->passed[gate->way] >= gate->from)
            gate_shut(proxy, i);
        uint64_t passed = pair->passed[gate->way] - pair->gates[i].from;
        if (!gate->shut || pair->gates[i].through || passed < gate->enough)
            continue;
        pair->gates[i].through = true;
        gate->through_count++;
        gate->opened |= gate->through_count >= gate->count;
    }
}

/* Gives what was written time to arrive: a reset throws away what is under way, and may overtake
 * the rest in the peer's buffers. */
static void flow_arrives(int fd)
{
    const struct timespec moment = {.tv_nsec = 20000000};
    int waiting = 1;
    for (int i = 0; i < 100 && ioctl(fd, SIOCOUTQ, &waiting) == 0 && waiting > 0; i++)
        nanosleep(&moment, NULL);
    nanosleep(&moment, NULL);
}

/* The server's socket stays, and nobody looks at it any more. */
static void pair_lose(struct proxy *proxy, struct pair *pair, int way)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    proxy->lose_at[way] = NEVER;
    flow_arrives(pair->fds[1 - way]);
    setsockopt(pair->fds[UP], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(pair->fds[UP]);
    pair->fds[UP] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pair->stalled = true;
}

/* After bytes have been written, or none yet: what is due now? False: the connection is gone. */
static bool pair_due(struct proxy *proxy, struct pair *pair, int way)
{
    if (proxy->mark_ns < 0 && proxy->watched[way] >= proxy->mark_at[way])
        proxy->mark_ns = now_ns();
    if (proxy->watched[way] >= proxy->stall_at[way]) {
        proxy->stall_at[way] = NEVER;
        pair->stalled = true;
    }
    if (proxy->watched[way] >= proxy->lose_at[way])
        pair_lose(proxy, pair, way);
    if (proxy->watched[way] < proxy->cut_at[way])
        return true;
    proxy->cut_at[way] = NEVER;
    flow_arrives(pair->fds[1 - way]);
    pair_reset(proxy, pair);
    return false;
}

/* Reads what there is room for. False: the connection broke. */
static bool flow_read(struct proxy *proxy, struct pair *pair, int way)
{
    struct flow *flow = &pair->flows[way];
    bool watched = proxy->only == 0 || proxy->only == pair->number;
    size_t room = watched ? allowed(proxy, way, BUFFER_BYTES) : BUFFER_BYTES;
    uint64_t gates = gates_room(proxy, pair, way);
    if (flow->end != 0 || flow->read_ended || gates == 0)
        return true;
    ssize_t got = read(pair->fds[way], flow->data, room < gates ? room : (size_t)gates);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    flow->read_ended = got == 0;
    flow->end = (size_t)got;
    if (watched) {
        uint64_t flip = proxy->flip_at[way], first = proxy->watched[way];
        if (flip != NEVER && flip >= first && flip - first < flow->end)
            flow->data[flip - first] ^= 1;
    }
    return true;
}

/* Writes what was read. False: the connection broke, or was cut. */
static bool flow_write(struct proxy *proxy, struct pair *pair, int way)
{
    struct flow *flow = &pair->flows[way];
    int out = pair->fds[1 - way];
    if (flow->start == flow->end) {
        if (flow->read_ended && !flow->write_ended)
            shutdown(out, SHUT_WR);
        flow->write_ended = flow->read_ended;
        return true;
    }
    ssize_t put = send(out, flow->data + flow->start, flow->end - flow->start, MSG_NOSIGNAL);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    flow->start += (size_t)put;
    if (flow->start == flow->end)
        flow->start = flow->end = 0;
    proxy->passed[way] += (uint64_t)put;
    pair->passed[way] += (uint64_t)put;
    proxy->changed = true;
    gates_turn(proxy, pair);
    if (proxy->only != 0 && proxy->only != pair->number)
        return true;
    proxy->watched[way] += (uint64_t)put;
    return pair_due(proxy, pair, way);
}

static void pair_run(struct proxy *proxy, struct pair *pair)
{
    for (int way = 0; way < WAYS; way++) {
        if (pair->stalled)
            return;
        bool good = flow_read(proxy, pair, way) && flow_write(proxy, pair, way);
        if (pair->fds[UP] < 0)
            return;
        if (!good) {
            pair_reset(proxy, pair);
            return;
        }
    }
    if (pair->flows[UP].write_ended && pair->flows[DOWN].write_ended)
        pair_close(proxy, pair);
}

/* Too many, or no server: the client is turned away. */
static void pair_accept(struct proxy *proxy)
{
    int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
    struct pair *pair = NULL;
    for (uint32_t i = 0; i < PAIRS_MAX && !pair; i++)
        pair = proxy->pairs[i].fds[UP] < 0 ? &proxy->pairs[i] : NULL;
    int server = client >= 0 && pair ? target_connect(proxy->target_port) : -1;
    if (server < 0) {
        close(client);
        return;
    }
    memset(pair, 0, sizeof(*pair));
    pair->fds[UP] = client;
    pair->fds[DOWN] = server;
    pair->number = ++proxy->connections_count;
    pair_prepare(client);
    pair_prepare(server);
    if (proxy->first_ns < 0)
        proxy->first_ns = now_ns();
    proxy->changed = true;
    gates_turn(proxy, pair);
    bool watched = proxy->only == 0 || proxy->only == pair->number;
    for (int way = 0; way < WAYS && watched && pair_due(proxy, pair, way); way++)
        ;
}

/* ---- the loop ---- */

/* What a pair waits for: a stalled one for nothing, not even for errors; at a gate just so. */
static void pair_poll(const struct proxy *proxy, const struct pair *pair, struct pollfd polls[WAYS])
{
    bool idle = pair->fds[UP] < 0 || pair->stalled;
    for (int way = 0; way < WAYS; way++) {
        const struct flow *in = &pair->flows[way], *out = &pair->flows[1 - way];
        bool reads = in->end == 0 && !in->read_ended && gates_room(proxy, pair, way) > 0;
        int events = (reads ? POLLIN : 0) | (out->end > 0 ? POLLOUT : 0);
        polls[way] =
            (struct pollfd){.fd = idle || !events ? -1 : pair->fds[way], .events = (short)events};
    }
}

static void wishes_fulfil(struct proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->gates_count && wished(SIGHUP); i++)
        proxy->gates[i].shut = proxy->gates[i].opened = true;
    for (uint32_t i = 0; i < PAIRS_MAX; i++) {
        struct pair *pair = &proxy->pairs[i];
        if (pair->fds[UP] < 0)
            continue;
        if (wished(SIGUSR1))
            pair_reset(proxy, pair);
        else if (wished(SIGUSR2))
            pair->stalled = true;
    }
}

/* Signals come only while it waits, so none is lost between looking and waiting. */
static void proxy_run(struct proxy *proxy)
{
    static struct pollfd polls[1 + PAIRS_MAX * WAYS];
    sigset_t open_mask;
    sigemptyset(&open_mask);
    for (;;) {
        count_write(proxy);
        polls[0] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
        for (uint32_t i = 0; i < PAIRS_MAX; i++)
            pair_poll(proxy, &proxy->pairs[i], &polls[1 + i * WAYS]);
        int ready = ppoll(polls, 1 + PAIRS_MAX * WAYS, NULL, &open_mask);
        if (wished(SIGTERM))
            return;
        if (wishes != 0) {
            wishes_fulfil(proxy);
            wishes = 0;
            continue;
        }
        if (ready < 0)
            continue;
        for (uint32_t i = 0; i < PAIRS_MAX; i++)
            if (polls[1 + i * WAYS].revents || polls[2 + i * WAYS].revents)
                pair_run(proxy, &proxy->pairs[i]);
        if (polls[0].revents)
            pair_accept(proxy);
    }
}

static void listen_and_say(struct proxy *proxy, const char *ready_path)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    char temporary[4096];
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->listener < 0 ||
        bind(proxy->listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(proxy->listener, PAIRS_MAX) != 0 ||
        getsockname(proxy->listener, (struct sockaddr *)&address, &length) != 0)
        die("listen");
    count_write(proxy);
    snprintf(temporary, sizeof(temporary), "%s.new", ready_path);
    FILE *ready = fopen(temporary, "we");
    if (!ready || fprintf(ready, "%u\n", ntohs(address.sin_port)) < 0 || fclose(ready) != 0 ||
        rename(temporary, ready_path) != 0)
        die(ready_path);
}

static void signals_take(void)
{
    const int numbers[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM};
    struct sigaction action = {.sa_handler = on_signal};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(&action.sa_mask, numbers[i]);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
    sigprocmask(SIG_BLOCK, &action.sa_mask, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* N:K[:M[:FROM]] */
static void gate_read(struct proxy *proxy, int way, const char *text)
{
    if (proxy->gates_count == GATES_MAX)
        exit(1);
    struct gate *gate = &proxy->gates[proxy->gates_count++];
    *gate = (struct gate){.way = way};
    int count = sscanf(text, "%" SCNu64 ":%" SCNu32 ":%" SCNu64 ":%" SCNu64, &gate->most,
                       &gate->count, &gate->enough, &gate->from);
    if (count < 2) {
        fprintf(stderr, "cutproxy: no gate: %s\n", text);
        exit(1);
    }
    gate->enough = count < 3 ? gate->most : gate->enough;
    gate->shut = gate->from == 0;
}

/* The ready file's path. Options of two directions are numbered 2 * row + direction. */
static const char *options_read(struct proxy *proxy, int argc, char **argv)
{
    uint64_t *const rows[] = {proxy->cut_at, proxy->flip_at, proxy->stall_at, proxy->mark_at,
                              proxy->lose_at};
    static const struct option options[] = {
        {"cut-up", 1, NULL, 0},      {"cut-down", 1, NULL, 1},  {"flip-up", 1, NULL, 2},
        {"flip-down", 1, NULL, 3},   {"stall-up", 1, NULL, 4},  {"stall-down", 1, NULL, 5},
        {"lose-up", 1, NULL, 8},     {"lose-down", 1, NULL, 9}, {"mark-up", 1, NULL, 6},
        {"mark-down", 1, NULL, 7},   {"only", 1, NULL, 'o'},    {"gate-up", 1, NULL, 'u'},
        {"gate-down", 1, NULL, 'd'}, {"ready", 1, NULL, 'r'},   {"count", 1, NULL, 'c'},
        {NULL, 0, NULL, 0}};
    const char *ready_path = NULL;
    int option;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        rows[i][UP] = rows[i][DOWN] = NEVER;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            exit(1);
        if (option == 'u' || option == 'd')
            gate_read(proxy, option == 'u' ? UP : DOWN, optarg);
        else if (option == 'o')
            proxy->only = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'r')
            ready_path = optarg;
        else if (option == 'c')
            proxy->count_path = optarg;
        else
            rows[option / WAYS][option % WAYS] = strtoull(optarg, NULL, 10);
    }
    if (optind + 1 != argc || !ready_path) {
        fprintf(stderr, "usage: cutproxy --ready=FILE [--count=FILE] [OPTION...] PORT\n");
        exit(1);
    }
    proxy->target_port = (uint16_t)strtoul(argv[optind], NULL, 10);
    return ready_path;
}

int main(int argc, char **argv)
{
    static struct proxy proxy = {.first_ns = -1, .mark_ns = -1, .changed = true};
    for (uint32_t i = 0; i < PAIRS_MAX; i++)
        proxy.pairs[i].fds[UP] = proxy.pairs[i].fds[DOWN] = -1;
    const char *ready_path = options_read(&proxy, argc, argv);
    signals_take();
    listen_and_say(&proxy, ready_path);
    proxy_run(&proxy);
    proxy.changed = true;
    count_write(&proxy);
    return 0;
}
