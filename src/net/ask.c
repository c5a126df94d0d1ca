/* ask.c - puts questions on /dev/tty, or to SSH_ASKPASS, and remembers answers that worked. */
#include "haul/net/ask.h"

#include "haul/base/cleanup.h"
#include "haul/base/text.h"
#include "haul/net/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void ask_wipe(void *data, size_t length)
{
    explicit_bzero(data, length);
}

/* Wait for input. poll is the one call that SA_RESTART never restarts (signal(7)), so that Ctrl-C
 * at a prompt always gets here and the terminal gets its echo back. */
static int await_input(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    return poll(&item, 1, -1) < 0 ? -errno : 0;
}

/* One line, without its newline. A longer one is refused as a whole. */
static int read_line(int fd, char *out, size_t capacity)
{
    size_t length = 0;

    for (;;) {
        char c;
        int result = await_input(fd);
        if (result < 0)
            return result;
        ssize_t got = read(fd, &c, 1);
        if (got < 0 && errno == EINTR)
            return -EINTR;
        if (got < 0)
            return -errno;
        if (got == 0 && length == 0)
            return -ECANCELED;
        if (got == 0 || c == '\n')
            break;
        if (length + 1 >= capacity)
            return -E2BIG;
        out[length++] = c;
    }
    if (length > 0 && out[length - 1] == '\r')
        length--;
    out[length] = '\0';
    return 0;
}

static int write_text(int fd, const char *text)
{
    size_t length = strlen(text);

    return write(fd, text, length) == (ssize_t)length ? 0 : -EIO;
}

static int ask_terminal(int tty, char *out, size_t capacity, const char *prompt, bool echo)
{
    struct termios before;
    bool changed = false;

    if (!echo && tcgetattr(tty, &before) == 0) {
        struct termios silent = before;
        silent.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK | ECHONL);
        changed = tcsetattr(tty, TCSAFLUSH, &silent) == 0;
        if (!changed)
            return -EIO; /* never show a secret */
    }
    int result = write_text(tty, prompt);
    if (result == 0)
        result = read_line(tty, out, capacity);
    if (changed) {
        tcsetattr(tty, TCSANOW, &before);
        write_text(tty, "\n");
    }
    return result;
}

/* The first line of what the program prints is the answer; a failure status means "cancelled", and
 * so does nothing at all. */
static int ask_program(const char *program, char *out, size_t capacity, const char *prompt)
{
    const char *argv[] = {program, prompt, NULL};
    struct child_words words;
    int result = child_ask(argv, NULL, out, capacity, &words);

    if (result > 0 || (result == 0 && out[0] == '\0'))
        return -ECANCELED;
    if (result == 0)
        out[strcspn(out, "\r\n")] = '\0';
    return result;
}

/* As ssh(1): SSH_ASKPASS without a terminal, or as SSH_ASKPASS_REQUIRE (never, prefer, force). */
static const char *askpass_program(bool terminal)
{
    const char *program = getenv("SSH_ASKPASS");
    const char *require = getenv("SSH_ASKPASS_REQUIRE");

    if (!program || program[0] == '\0')
        return NULL;
    if (require && strcmp(require, "never") == 0)
        return NULL;
    if (require && (strcmp(require, "force") == 0 || strcmp(require, "prefer") == 0))
        return program;
    return terminal ? NULL : program;
}

static int ask_error(int result, const char *prompt, struct error *err)
{
    if (result == -EINTR)
        return error_set_class(err, ERROR_INTERRUPTED, EINTR, "interrupted at a question: %s",
                               prompt);
    if (result == -ECANCELED)
        return error_set_class(err, ERROR_SOCKET, ECANCELED, "not answered: %s", prompt);
    if (result == -ENOTTY)
        return error_set_class(err, ERROR_SOCKET, ENOTTY, "no terminal to ask on: %s", prompt);
    return error_set_class(err, ERROR_SOCKET, -result, "no answer (%s): %s", strerror(-result),
                           prompt);
}

int ask_line(char *out, size_t capacity, const char *prompt, bool echo, struct error *err)
{
    char shown[ASK_PROMPT_BYTES];
    AUTO_CLOSE int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    const char *program = echo ? NULL : askpass_program(tty >= 0);
    int result = -ENOTTY;

    text_escape(shown, sizeof(shown), prompt);
    if (program)
        result = ask_program(program, out, capacity, shown);
    else if (tty >= 0)
        result = ask_terminal(tty, out, capacity, shown, echo);
    if (result == 0)
        return 0;
    ask_wipe(out, capacity);
    return ask_error(result, shown, err);
}

struct answer {
    char key[512];
    char *text;
};

struct ask_memory {
    pthread_mutex_t lock; /* lanes may be opened from their own threads */
    struct answer answers[ASK_MEMORY_MAX];
};

struct ask_memory *ask_memory_open(void)
{
    struct ask_memory *memory = calloc(1, sizeof(*memory));

    if (memory)
        pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

static struct answer *find(struct ask_memory *memory, const char *key)
{
    for (size_t i = 0; i < ASK_MEMORY_MAX; i++)
        if (strcmp(memory->answers[i].key, key) == 0)
            return &memory->answers[i];
    return NULL;
}

bool ask_memory_get(struct ask_memory *memory, const char *key, char *out, size_t capacity)
{
    if (!memory || key[0] == '\0')
        return false;
    pthread_mutex_lock(&memory->lock);
    const struct answer *answer = find(memory, key);
    bool fits = answer && (!out || strlen(answer->text) < capacity);
    if (fits && out)
        strcpy(out, answer->text);
    pthread_mutex_unlock(&memory->lock);
    return fits;
}

static void drop(struct answer *answer)
{
    if (answer->text)
        ask_wipe(answer->text, strlen(answer->text));
    free(answer->text);
    ask_wipe(answer, sizeof(*answer));
}

/* Full, or no memory: then the next lane asks again, that is all. */
void ask_memory_put(struct ask_memory *memory, const char *key, const char *answer)
{
    if (!memory || key[0] == '\0' || strlen(key) >= sizeof(memory->answers[0].key))
        return;
    pthread_mutex_lock(&memory->lock);
    struct answer *place = find(memory, key);
    if (!place && answer)
        place = find(memory, "");
    if (place) {
        drop(place);
        place->text = answer ? strdup(answer) : NULL;
        if (place->text)
            strcpy(place->key, key);
    }
    pthread_mutex_unlock(&memory->lock);
}

void ask_memory_close(struct ask_memory *memory)
{
    if (!memory)
        return;
    pthread_mutex_destroy(&memory->lock);
    for (size_t i = 0; i < ASK_MEMORY_MAX; i++)
        drop(&memory->answers[i]);
    ask_wipe(memory, sizeof(*memory));
    free(memory);
}
