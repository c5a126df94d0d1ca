/* replay.c - main() of a fuzz target in an ordinary build.
 *
 *   fuzz_NAME FILE|FOLDER...                        run the target on each file, once
 *   fuzz_NAME --random=COUNT [--seed=N] FOLDER      and then on COUNT mutations of them
 *
 * A finding is a crash (assert, sanitizer). The number of the input is printed before the program
 * dies, and with the same seed and files it is the same input again. With clang the same target
 * links against -fsanitize=fuzzer in place of this file. Exit code 77: no input was found. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum {
    INPUTS_MAX = 10000,
    INPUT_BYTES_MAX = 1 << 20,
    PATH_BYTES_MAX = 4096,
    CHANGES_MAX = 8,
    SHOWN_BYTES = 200
};

struct input {
    uint8_t *data;
    size_t length;
};

struct corpus {
    struct input inputs[INPUTS_MAX];
    size_t count;
};

/* For the signal handler: what is being run. */
static char current[PATH_BYTES_MAX + 64];
static const uint8_t *current_data;
static size_t current_length;

/* Short inputs as bytes for `xxd -r -p`. */
static void print_bytes(void)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * SHOWN_BYTES + 1];
    size_t length = 0;
    if (!current_data || current_length > SHOWN_BYTES)
        return;
    for (size_t i = 0; i < current_length; i++) {
        text[length++] = digits[current_data[i] >> 4];
        text[length++] = digits[current_data[i] & 15];
    }
    text[length++] = '\n';
    (void)!write(STDERR_FILENO, text, length);
}

static void on_crash(int number)
{
    static const char before[] = "replay: crash on ";
    (void)!write(STDERR_FILENO, before, sizeof(before) - 1);
    (void)!write(STDERR_FILENO, current, strlen(current));
    (void)!write(STDERR_FILENO, "\n", 1);
    print_bytes();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const uint8_t *data, size_t length)
{
    /* A buffer of exactly this size, so that the sanitizer sees a read past its end. */
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy) {
        abort();
    }
    if (length) {
        memcpy(copy, data, length);
    }
    current_data = copy;
    current_length = length;
    LLVMFuzzerTestOneInput(copy, length);
    current_data = NULL;
    free(copy);
}

static void add_file(struct corpus *corpus, const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_BYTES_MAX);
    if (!file || !data || corpus->count == INPUTS_MAX) {
        fprintf(stderr, "replay: %s: %s\n", path, file ? "too many inputs" : strerror(errno));
        exit(1);
    }
    size_t length = fread(data, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    snprintf(current, sizeof(current), "%s", path);
    corpus->inputs[corpus->count++] = (struct input){data, length};
    run(data, length);
}

static void add(struct corpus *corpus, const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        add_file(corpus, path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort); /* sorted: a seed means the same */
    for (int i = 0; i < count; i++) {
        char name[PATH_BYTES_MAX];
        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            add_file(corpus, name);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* One change: flip a bit, set a telling byte, cut, repeat a piece, or splice in another input. */
static size_t change(uint8_t *data, size_t length, const struct corpus *corpus, uint64_t *state)
{
    static const uint8_t telling[] = {0x00, 0xff, 0x7f, 0x80, '\n', '.', '-', '9'};
    uint64_t kind = next_random(state) % 5;
    size_t at = length ? (size_t)(next_random(state) % length) : 0;
    if (kind == 0 && length) {
        data[at] ^= (uint8_t)(1u << (next_random(state) % 8));
    } else if (kind == 1 && length) {
        data[at] = telling[next_random(state) % sizeof(telling)];
    } else if (kind == 2) {
        length = at;
    } else if (kind == 3 && length && length < INPUT_BYTES_MAX) {
        size_t piece = length - at;
        piece = piece < INPUT_BYTES_MAX - length ? piece : INPUT_BYTES_MAX - length;
        memmove(data + length, data + at, piece);
        length += piece;
    } else if (kind == 4) {
        const struct input *other = &corpus->inputs[next_random(state) % corpus->count];
        size_t piece = other->length < INPUT_BYTES_MAX - at ? other->length : INPUT_BYTES_MAX - at;
        memcpy(data + at, other->data, piece);
        length = at + piece > length ? at + piece : length;
    }
    return length;
}

/* Returns how many. */
static uint64_t mutate(const struct corpus *corpus, uint64_t count, time_t seconds, uint64_t seed)
{
    time_t end = time(NULL) + seconds;
    uint64_t i;
    uint8_t *data = malloc(INPUT_BYTES_MAX);
    if (!data) {
        abort();
    }
    for (i = 0; i < count || (seconds > 0 && time(NULL) < end); i++) {
        uint64_t state = seed * UINT64_C(0x2545f4914f6cdd1d) + i;
        const struct input *base = &corpus->inputs[next_random(&state) % corpus->count];
        size_t length = base->length;
        memcpy(data, base->data, length);
        for (uint64_t n = next_random(&state) % CHANGES_MAX + 1; n > 0; n--) {
            length = change(data, length, corpus, &state);
        }
        snprintf(current, sizeof(current), "mutation %" PRIu64 " of seed %" PRIu64, i, seed);
        run(data, length);
    }
    free(data);
    return i;
}

int main(int argc, char **argv)
{
    static struct corpus corpus;
    uint64_t count = 0, seed = 1;
    time_t seconds = 0;
    const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        signal(crashes[i], on_crash);
    }
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--random=", 9) == 0) {
            count = strtoull(argv[i] + 9, NULL, 10);
        } else if (strncmp(argv[i], "--seconds=", 10) == 0) {
            seconds = (time_t)strtoul(argv[i] + 10, NULL, 10);
        } else if (strncmp(argv[i], "--seed=", 7) == 0) {
            seed = strtoull(argv[i] + 7, NULL, 10);
        } else {
            add(&corpus, argv[i]);
        }
    }
    if (corpus.count == 0) {
        fputs("replay: no inputs\n", stderr);
        return 77;
    }
    count = mutate(&corpus, count, seconds, seed);
    printf("%zu inputs, %" PRIu64 " mutations\n", corpus.count, count);
    for (size_t i = 0; i < corpus.count; i++) {
        free(corpus.inputs[i].data);
    }
    return 0;
}
