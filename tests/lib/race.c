/* race - makes one name a folder and a symbolic link by turns, until it is told to end.
 *
 *   race FOLDER ASIDE LINK [SEED]
 *
 * FOLDER is there, ASIDE is where what is not there at the moment is kept, LINK is what the link
 * says. Each state lasts for a moment of random length, up to a millisecond. Others may remove or
 * replace any of them: what has taken the link's place is kept as ASIDE.N, and a folder that is
 * gone is made anew. "racing" is printed when there was a first turn; at SIGTERM a folder is there
 * again, and the count of turns is printed. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t over;

static void end(int number)
{
    (void)number;
    over = 1;
}

/* Mostly short, as the moments are in which something can happen. */
static void wait_a_moment(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t limit_ns = UINT64_C(1) << (8 + *state / (UINT64_C(1) << 60) * 12 / 16);
    const struct timespec moment = {.tv_nsec = (long)((*state >> 20) % limit_ns)};
    nanosleep(&moment, NULL);
}

/* The link, or what has taken its place. */
static void put_away(const char *aside, unsigned long *kept_count)
{
    char kept[4200];
    if (unlink(aside) == 0 || rmdir(aside) == 0 || access(aside, F_OK) != 0)
        return;
    snprintf(kept, sizeof(kept), "%s.%lu", aside, (*kept_count)++);
    (void)rename(aside, kept);
}

int main(int argc, char **argv)
{
    uint64_t state = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    unsigned long turns = 0, kept_count = 0;
    if (argc < 4) {
        fprintf(stderr, "usage: race FOLDER ASIDE LINK [SEED]\n");
        return 2;
    }
    const char *folder = argv[1], *aside = argv[2], *link = argv[3];
    signal(SIGTERM, end);
    while (!over) {
        (void)symlink(link, aside);
        bool away = renameat2(AT_FDCWD, folder, AT_FDCWD, aside, RENAME_EXCHANGE) == 0;
        wait_a_moment(&state);
        bool back = renameat2(AT_FDCWD, folder, AT_FDCWD, aside, RENAME_EXCHANGE) == 0;
        if (away && back && turns++ == 0) {
            puts("racing");
            fflush(stdout);
        }
        if (!back) {
            (void)unlink(folder);
            if (rename(aside, folder) != 0)
                (void)mkdir(folder, 0755);
        }
        put_away(aside, &kept_count);
        wait_a_moment(&state);
    }
    struct stat st;
    if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
        fprintf(stderr, "%s: somebody has taken the folder\n", folder);
    printf("%lu turns\n", turns);
    return turns > 0 ? 0 : 1;
}
