/* delay - a long line between two network namespaces, for machines without netem.
 *
 *   delay --ready=FILE [--delay=MS] [--rate=BYTES] [--queue=BYTES] [--mtu=BYTES] NETNS_A NETNS_B
 *
 * Makes a TUN device "haul0" in each of the namespaces (names as of `ip netns add`), with the
 * addresses 10.99.0.1 (A) and 10.99.0.2 (B), and carries packets between them: each direction has
 * --rate bytes a second (default: no limit), a queue in front of it (default 4 MiB; what does not
 * fit is dropped, as a router does), and then takes --delay milliseconds (default 25: a round trip
 * of 50). It stays in the foreground; --ready is written when the line stands. SIGTERM ends it, and
 * the devices with it.
 *
 * Packets are read as soon as they are there: the kernel's own queue of the device would otherwise
 * be part of the line, and be dropped from unseen. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
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

enum { PACKET_BYTES_MAX = 16 * 1024, PACKETS_MAX = 64 * 1024, TUN_QUEUE_PACKETS = 20000 };

#define NS_PER_MS      INT64_C(1000000)
#define NS_PER_SECOND  INT64_C(1000000000)
#define STORE_BYTES    ((size_t)256 << 20)
#define BATCH_PACKETS  64
#define QUEUE_DEFAULT  ((uint64_t)4 << 20)
#define RATE_UNLIMITED 0

struct packet {
    int64_t arrival_ns; /* at the other side */
    size_t offset;      /* in the store */
    uint32_t length;
};

/* Packets under way, oldest first: both are rings. */
struct line {
    struct packet *packets;
    uint8_t *store;
    uint32_t first, count;
    size_t store_next;
    int64_t free_ns; /* when the line has sent the last packet */
    uint64_t dropped;
};

struct settings {
    int64_t delay_ns;
    uint64_t rate_bytes, queue_bytes;
    int mtu_bytes;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* ---- the devices ---- */

static void device_set(int control, unsigned long request, struct ifreq *wish, const char *what)
{
    if (ioctl(control, request, wish) != 0)
        die(what);
}

/* Address, size and state, by the ioctls of netdevice(7). We are in the device's namespace. */
static void device_configure(const char *own, const struct settings *settings)
{
    struct ifreq wish = {.ifr_name = "haul0"};
    struct sockaddr_in address = {.sin_family = AF_INET};
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0)
        die("socket");
    inet_pton(AF_INET, own, &address.sin_addr);
    memcpy(&wish.ifr_addr, &address, sizeof(address));
    device_set(control, SIOCSIFADDR, &wish, "SIOCSIFADDR");
    inet_pton(AF_INET, "255.255.255.0", &address.sin_addr);
    memcpy(&wish.ifr_netmask, &address, sizeof(address));
    device_set(control, SIOCSIFNETMASK, &wish, "SIOCSIFNETMASK");
    wish.ifr_mtu = settings->mtu_bytes;
    device_set(control, SIOCSIFMTU, &wish, "SIOCSIFMTU");
    wish.ifr_qlen = TUN_QUEUE_PACKETS;
    device_set(control, SIOCSIFTXQLEN, &wish, "SIOCSIFTXQLEN");
    wish.ifr_flags = IFF_UP | IFF_RUNNING;
    device_set(control, SIOCSIFFLAGS, &wish, "SIOCSIFFLAGS");
    /* sshd also listens on loopback, and waits for nothing else. */
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    device_set(control, SIOCSIFFLAGS, &loopback, "lo");
    close(control);
}

static int device_open(const char *netns, const char *own, const struct settings *settings)
{
    struct ifreq wish = {.ifr_name = "haul0", .ifr_flags = IFF_TUN | IFF_NO_PI};
    char path[256];
    snprintf(path, sizeof(path), "/run/netns/%s", netns);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0)
        die(path);
    close(space);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &wish) != 0)
        die("/dev/net/tun");
    device_configure(own, settings);
    return fd;
}

/* ---- the line ---- */

/* Bytes that wait for their turn, from the time that the line needs for them. */
static bool queue_full(const struct line *line, const struct settings *settings, int64_t now)
{
    if (settings->rate_bytes == RATE_UNLIMITED || line->free_ns <= now)
        return false;
    double waiting = (double)(line->free_ns - now) / 1e9 * (double)settings->rate_bytes;
    return waiting > (double)settings->queue_bytes;
}

static bool store_full(const struct line *line)
{
    if (line->count == 0)
        return false;
    size_t oldest = line->packets[line->first].offset;
    size_t room = (oldest + STORE_BYTES - line->store_next) % STORE_BYTES;
    /* Behind the newest and the oldest there is always room for a packet that wraps. */
    return line->count == PACKETS_MAX || (room > 0 && room < 3 * PACKET_BYTES_MAX);
}

/* Takes one packet from the device. False: there is none. */
static bool line_read(struct line *line, int fd, const struct settings *settings)
{
    if (line->store_next + PACKET_BYTES_MAX > STORE_BYTES)
        line->store_next = 0;
    ssize_t got = read(fd, line->store + line->store_next, PACKET_BYTES_MAX);
    if (got <= 0)
        return false;
    int64_t now = now_ns();
    if (queue_full(line, settings, now) || store_full(line)) {
        line->dropped++;
        return true;
    }
    if (line->free_ns < now)
        line->free_ns = now;
    if (settings->rate_bytes != RATE_UNLIMITED)
        line->free_ns += (int64_t)((double)got * 1e9 / (double)settings->rate_bytes);
    line->packets[(line->first + line->count++) % PACKETS_MAX] =
        (struct packet){.arrival_ns = line->free_ns + settings->delay_ns,
                        .offset = line->store_next,
                        .length = (uint32_t)got};
    line->store_next += (size_t)got;
    return true;
}

/* Gives out what has arrived. */
static void line_write(struct line *line, int fd)
{
    int64_t now = now_ns();
    while (line->count > 0 && line->packets[line->first].arrival_ns <= now) {
        const struct packet *packet = &line->packets[line->first];
        if (write(fd, line->store + packet->offset, packet->length) < 0 && errno != EAGAIN)
            die("write");
        line->first = (line->first + 1) % PACKETS_MAX;
        line->count--;
    }
}

static void line_open(struct line *line)
{
    line->packets = calloc(PACKETS_MAX, sizeof(*line->packets));
    line->store = malloc(STORE_BYTES); /* touched as far as it is used */
    if (!line->packets || !line->store)
        die("memory");
}

static void lines_run(struct line lines[2], const int fds[2], const struct settings *settings)
{
    while (!ended) {
        struct pollfd polls[2] = {{.fd = fds[0], .events = POLLIN},
                                  {.fd = fds[1], .events = POLLIN}};
        int64_t next = INT64_MAX;
        for (int way = 0; way < 2; way++)
            if (lines[way].count > 0 && lines[way].packets[lines[way].first].arrival_ns < next)
                next = lines[way].packets[lines[way].first].arrival_ns;
        int64_t wait = next == INT64_MAX ? NS_PER_SECOND : next - now_ns();
        wait = wait < 0 ? 0 : wait;
        struct timespec timeout = {.tv_sec = (time_t)(wait / NS_PER_SECOND),
                                   .tv_nsec = (long)(wait % NS_PER_SECOND)};
        ppoll(polls, 2, &timeout, NULL);
        for (int way = 0; way < 2; way++) {
            for (int i = 0; i < BATCH_PACKETS && line_read(&lines[way], fds[way], settings); i++)
                ;
            line_write(&lines[way], fds[1 - way]);
        }
    }
}

static void options_read(struct settings *settings, const char **ready, int argc, char **argv)
{
    static const struct option options[] = {{"delay", 1, NULL, 'd'}, {"rate", 1, NULL, 'r'},
                                            {"queue", 1, NULL, 'q'}, {"mtu", 1, NULL, 'm'},
                                            {"ready", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            settings->delay_ns = (int64_t)(strtod(optarg, NULL) * (double)NS_PER_MS);
            break;
        case 'r':
            settings->rate_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'q':
            settings->queue_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'm':
            settings->mtu_bytes = atoi(optarg);
            break;
        case 'f':
            *ready = optarg;
            break;
        default:
            exit(1);
        }
    }
    if (optind + 2 != argc || !*ready || settings->mtu_bytes > PACKET_BYTES_MAX) {
        fprintf(stderr, "usage: delay --ready=FILE [OPTION...] NETNS_A NETNS_B\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .delay_ns = 25 * NS_PER_MS, .queue_bytes = QUEUE_DEFAULT, .mtu_bytes = 1500};
    static struct line lines[2];
    const struct sigaction action = {.sa_handler = on_signal};
    const char *ready = NULL;
    options_read(&settings, &ready, argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int fds[2] = {device_open(argv[optind], "10.99.0.1", &settings),
                  device_open(argv[optind + 1], "10.99.0.2", &settings)};
    line_open(&lines[0]);
    line_open(&lines[1]);
    FILE *file = fopen(ready, "we");
    if (!file || fclose(file) != 0)
        die(ready);
    lines_run(lines, fds, &settings);
    fprintf(stderr, "delay: %ju and %ju packets dropped\n", (uintmax_t)lines[0].dropped,
            (uintmax_t)lines[1].dropped);
    return 0;
}
