/* glob.c - patterns of names: compiled to a row of tokens, and matched by the set of the tokens
 * that the text may have come to (a nondeterministic automaton). */
#include "haul/base/glob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A token: a byte, or one of these; from CLASS on a class of the table. */
enum { TOKEN_ANY = 256, TOKEN_STAR, TOKEN_STARS, TOKEN_CLASS };

enum { WORD_BITS = 64, WORDS_MAX = (GLOB_BYTES_MAX + 1 + WORD_BITS - 1) / WORD_BITS };

struct class
{
    uint64_t bytes[256 / WORD_BITS];
};

struct glob {
    bool never; /* it makes no sense */
    uint32_t count;
    uint32_t words; /* of a set of tokens and the end */
    uint32_t classes_count;
    struct class *classes;
    uint16_t tokens[];
};

/* A pattern that is read. */
struct reader {
    const char *at, *end;
};

bool glob_is_wild(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] == '*' || text[i] == '?' || text[i] == '[')
            return true;
    return false;
}

static void class_add(struct class *class, unsigned from, unsigned to)
{
    for (unsigned byte = from; byte <= to; byte++)
        class->bytes[byte / WORD_BITS] |= UINT64_C(1) << byte % WORD_BITS;
}

static bool class_has(const struct class *class, unsigned char byte)
{
    return class->bytes[byte / WORD_BITS] >> byte % WORD_BITS & 1;
}

/* The ranges of ASCII that a name stands for; what a locale would add is not asked. */
static bool class_add_named(struct class *class, const char *name, size_t length)
{
    static const struct {
        const char *name, *ranges;
    } table[] = {
        {"alnum", "09AZaz"},   {"alpha", "AZaz"},   {"blank", "\t\t  "}, {"cntrl", "\1\37\177\177"},
        {"digit", "09"},       {"graph", "!~"},     {"lower", "az"},     {"print", " ~"},
        {"punct", "!/:@[`{~"}, {"space", "\t\r  "}, {"upper", "AZ"},     {"xdigit", "09AFaf"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strlen(table[i].name) != length || memcmp(table[i].name, name, length) != 0)
            continue;
        for (const char *range = table[i].ranges; *range; range += 2)
            class_add(class, (unsigned char)range[0], (unsigned char)range[1]);
        return true;
    }
    return false;
}

/* "[:name:]" where the reader stands. 1: read; 0: not one, the bracket is a byte as others; -1: it
 * makes no sense. */
static int read_named(struct class *class, struct reader *reader)
{
    const char *name = reader->at + 2;
    if (reader->end - reader->at < 2 || reader->at[1] != ':')
        return 0;
    const char *close = memchr(name, ']', (size_t)(reader->end - name));
    if (!close)
        return -1;
    if (close == name || close[-1] != ':')
        return 0;
    if (!class_add_named(class, name, (size_t)(close - 1 - name)))
        return -1;
    reader->at = close + 1;
    return 1;
}

/* One byte, that may have a backslash before it; -1: the pattern ends. */
static int read_byte(struct reader *reader)
{
    if (reader->at < reader->end && *reader->at == '\\')
        reader->at++;
    return reader->at < reader->end ? (unsigned char)*reader->at++ : -1;
}

/* A byte, or a range of them. */
static bool read_range(struct class *class, struct reader *reader)
{
    int from = read_byte(reader);
    if (from < 0)
        return false;
    class_add(class, (unsigned)from, (unsigned)from);
    if (reader->end - reader->at < 2 || reader->at[0] != '-' || reader->at[1] == ']')
        return true;
    reader->at++;
    int to = read_byte(reader);
    if (to >= from)
        class_add(class, (unsigned)from, (unsigned)to);
    return to >= 0;
}

/* Behind the bracket that opens it, to behind the one that closes it, which as the first one is a
 * byte of the class. false: it makes no sense. */
static bool read_class(struct class *class, struct reader *reader)
{
    bool negated = reader->at < reader->end && (*reader->at == '!' || *reader->at == '^');
    reader->at += negated;
    for (bool first = true;; first = false) {
        if (reader->at == reader->end)
            return false;
        if (*reader->at == ']' && !first)
            break;
        int named = *reader->at == '[' ? read_named(class, reader) : 0;
        if (named < 0 || (named == 0 && !read_range(class, reader)))
            return false;
    }
    reader->at++;
    for (size_t i = 0; negated && i < 256 / WORD_BITS; i++)
        class->bytes[i] = ~class->bytes[i];
    class->bytes['/' / WORD_BITS] &= ~(UINT64_C(1) << '/' % WORD_BITS);
    return true;
}

/* The next token. false: the pattern makes no sense. */
static bool read_token(struct glob *glob, struct reader *reader, uint16_t *token)
{
    char first = *reader->at;
    if (first == '*') {
        const char *start = reader->at;
        while (reader->at < reader->end && *reader->at == '*')
            reader->at++;
        *token = reader->at - start == 1 ? TOKEN_STAR : TOKEN_STARS;
        return true;
    }
    if (first == '[') {
        reader->at++;
        *token = (uint16_t)(TOKEN_CLASS + glob->classes_count);
        return read_class(&glob->classes[glob->classes_count++], reader);
    }
    int byte = read_byte(reader);
    *token = first == '?' ? TOKEN_ANY : (uint16_t)byte;
    return byte >= 0;
}

static void compile(struct glob *glob, struct reader *reader)
{
    while (reader->at < reader->end && !glob->never)
        glob->never = !read_token(glob, reader, &glob->tokens[glob->count++]);
}

struct glob *glob_open(const char *pattern, size_t length)
{
    assert(length <= GLOB_BYTES_MAX);
    struct reader reader = {pattern, pattern + length};
    size_t brackets = 0;
    bool wild = glob_is_wild(pattern, length);
    for (size_t i = 0; i < length; i++)
        brackets += pattern[i] == '[';
    struct glob *glob = calloc(1, sizeof(*glob) + length * sizeof(glob->tokens[0]));
    if (!glob)
        return NULL;
    glob->classes = brackets > 0 ? calloc(brackets, sizeof(*glob->classes)) : NULL;
    if (brackets > 0 && !glob->classes) {
        free(glob);
        return NULL;
    }
    if (wild)
        compile(glob, &reader);
    for (; !wild && glob->count < length; glob->count++)
        glob->tokens[glob->count] = (unsigned char)pattern[glob->count];
    glob->words = glob->count / WORD_BITS + 1;
    return glob;
}

void glob_close(struct glob *glob)
{
    if (!glob)
        return;
    free(glob->classes);
    free(glob);
}

/* The text may have come to this token; a star may stand for nothing. */
static void reach(const struct glob *glob, uint64_t *set, uint32_t token)
{
    set[token / WORD_BITS] |= UINT64_C(1) << token % WORD_BITS;
    if (token == glob->count ||
        (glob->tokens[token] != TOKEN_STAR && glob->tokens[token] != TOKEN_STARS))
        return;
    token++; /* no star follows a star */
    set[token / WORD_BITS] |= UINT64_C(1) << token % WORD_BITS;
}

static bool token_takes(const struct glob *glob, uint16_t token, unsigned char byte)
{
    if (token < TOKEN_ANY)
        return token == byte;
    if (token < TOKEN_CLASS)
        return token == TOKEN_STARS || byte != '/';
    return class_has(&glob->classes[token - TOKEN_CLASS], byte);
}

/* From where the text may have come to, by one more byte of it. false: there is no way. */
static bool step(const struct glob *glob, const uint64_t *from, uint64_t *to, unsigned char byte)
{
    uint64_t any = 0;
    memset(to, 0, glob->words * sizeof(*to));
    for (uint32_t word = 0; word < glob->words; word++) {
        for (uint64_t left = from[word]; left; left &= left - 1) {
            uint32_t at = word * WORD_BITS + (uint32_t)__builtin_ctzll(left);
            if (at == glob->count || !token_takes(glob, glob->tokens[at], byte))
                continue;
            uint16_t token = glob->tokens[at];
            reach(glob, to, token == TOKEN_STAR || token == TOKEN_STARS ? at : at + 1);
            any = 1;
        }
    }
    return any;
}

/* Most patterns end in bytes (*.o) that most names do not end in. */
static bool ends_otherwise(const struct glob *glob, const struct glob_part *last)
{
    uint16_t token = glob->count > 0 ? glob->tokens[glob->count - 1] : TOKEN_ANY;
    return token < TOKEN_ANY && last->length > 0 &&
           token != (unsigned char)last->text[last->length - 1];
}

bool glob_match(const struct glob *glob, const struct glob_part *parts, uint32_t parts_count,
                bool after_slashes)
{
    uint64_t sets[2][WORDS_MAX];
    uint32_t now = 0;
    if (glob->never || (parts_count > 0 && ends_otherwise(glob, &parts[parts_count - 1])))
        return false;
    memset(sets[now], 0, glob->words * sizeof(sets[now][0]));
    reach(glob, sets[now], 0);
    for (uint32_t part = 0; part < parts_count; part++) {
        for (size_t i = 0; i < parts[part].length; i++) {
            unsigned char byte = (unsigned char)parts[part].text[i];
            bool alive = step(glob, sets[now], sets[!now], byte);
            now = !now;
            if (!alive && !after_slashes)
                return false;
            if (byte == '/' && after_slashes)
                reach(glob, sets[now], 0);
        }
    }
    return sets[now][glob->count / WORD_BITS] >> glob->count % WORD_BITS & 1;
}
