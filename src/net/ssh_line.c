/* ssh_line.c - where libssh reads a line of an ssh configuration otherwise than ssh does. */
#include "haul/ssh_line.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The next word of a line of a configuration, between blanks, '=' or quotes; NULL: no more. */
static const char *next_word(const char **rest, size_t *length)
{
    const char *word = *rest + strspn(*rest, " \t\r\n=");
    bool quoted = *word == '"';

    word += quoted ? 1 : 0;
    *length = strcspn(word, quoted ? "\"\n" : " \t\r\n=");
    *rest = word + *length + (word[*length] != '\0');
    return *length > 0 || quoted ? word : NULL;
}

static bool word_is(const char *word, size_t length, const char *expected)
{
    return length == strlen(expected) && strncasecmp(word, expected, length) == 0;
}

/* What follows the word Match: whether it asks for the HostName so far. `originalhost` becomes
 * `host`, of the name as given, unless there are both; *original is where it stands, or NULL. */
static bool read_match(const char *rest, const char **original)
{
    bool asks_host = false, asks_exec = false;
    size_t length;

    for (const char *word = next_word(&rest, &length); word; word = next_word(&rest, &length)) {
        size_t negated = *word == '!';
        word += negated;
        length -= negated;
        if (word_is(word, length, "originalhost"))
            *original = word;
        asks_host |= word_is(word, length, "host");
        asks_exec |= word_is(word, length, "exec"); /* its %h */
        if (!word_is(word, length, "all") && !word_is(word, length, "final") &&
            !word_is(word, length, "canonical"))
            next_word(&rest, &length); /* its pattern, user or command */
    }
    if (*original && asks_host)
        *original = NULL;
    return asks_host || (asks_exec && !*original);
}

enum ssh_line_name ssh_line_read(char *line)
{
    static const char host[] = "host        ", originalhost[] = "originalhost";
    const char *rest = line, *original = NULL;
    size_t length;
    const char *word = next_word(&rest, &length);

    static_assert(sizeof(host) == sizeof(originalhost), "one takes the place of the other");
    if (word && word_is(word, length, "Host"))
        return SSH_LINE_GIVEN;
    if (!word || !word_is(word, length, "Match"))
        return SSH_LINE_EITHER;
    bool so_far = read_match(rest, &original);
    if (original)
        memcpy(line + (original - line), host, sizeof(host) - 1);
    return so_far ? SSH_LINE_SO_FAR : SSH_LINE_GIVEN;
}

/* What follows the word Host, patterns with '!' in front: in ssh one that matches excludes,
 * wherever it stands; in 0.10.6 the first pattern that matches decides. */
static void put_host(FILE *file, const char *rest)
{
    const char *const patterns = rest;
    size_t length;

    fwrite("Host", 4, 1, file);
    for (int negated = 1; negated >= 0; negated--) {
        rest = patterns;
        for (const char *word = next_word(&rest, &length); word; word = next_word(&rest, &length))
            if ((*word == '!') == negated) {
                fwrite(" ", 1, 1, file);
                fwrite(word, length, 1, file);
            }
    }
    fwrite("\n", 1, 1, file);
}

/* What follows the word ProxyJump, the last hop in front: it is the one next to the host, and
 * 0.10.6 takes the first for it, reached through the rest. */
static void put_jumps(FILE *file, const char *rest)
{
    size_t length;
    const char *jumps = next_word(&rest, &length);
    const char *comma = jumps ? memrchr(jumps, ',', length) : NULL;

    fwrite("ProxyJump ", 10, 1, file);
    if (comma) {
        fwrite(comma + 1, (size_t)(jumps + length - comma - 1), 1, file);
        fwrite(",", 1, 1, file);
        length = (size_t)(comma - jumps);
    }
    if (jumps)
        fwrite(jumps, length, 1, file);
    fwrite("\n", 1, 1, file);
}

void ssh_line_put(FILE *file, const char *line)
{
    const char *rest = line;
    size_t length;
    const char *word = next_word(&rest, &length);

    if (word && word_is(word, length, "Host"))
        put_host(file, rest);
    else if (word && word_is(word, length, "ProxyJump"))
        put_jumps(file, rest);
    else
        fwrite(line, strlen(line), 1, file);
}
