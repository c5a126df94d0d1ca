/* starve - a neighbour that leaves a 32-bit kernel little low memory: fills sockets, whose buffers
 * come from there, until LowFree is less than so many MB, and keeps them until it is killed.
 *
 *   starve MB */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static long low_free_mb(void)
{
    char line[128];
    long kb = -1;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "LowFree: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb / 1024;
}

int main(int argc, char **argv)
{
    static const char words[4096];
    struct rlimit files = {65536, 65536};
    long wanted_mb = argc == 2 ? atol(argv[1]) : 0;
    if (wanted_mb <= 0)
        return 2;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    while (low_free_mb() > wanted_mb) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
            break;
        while (send(pair[0], words, sizeof(words), MSG_DONTWAIT) > 0)
            ;
    }
    printf("LowFree %ld MB\n", low_free_mb());
    fflush(stdout);
    pause();
    return 0;
}
