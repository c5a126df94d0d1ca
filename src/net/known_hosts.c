/* known_hosts.c - takes lines of known_hosts apart and compares names with their patterns. */
#include "haul/known_hosts.h"

#include <string.h>

/* The next word; *line goes behind it. NULL: no more. */
static char *next_word(char **line)
{
    static const char blanks[] = " \t\r\n";
    char *word = *line + strspn(*line, blanks);
    size_t length = strcspn(word, blanks);

    *line = word + length + (word[length] != '\0');
    word[length] = '\0';
    return length > 0 ? word : NULL;
}

bool known_hosts_split(char *line, struct known_line *out)
{
    char *word = next_word(&line);

    *out = (struct known_line){.marker = KNOWN_PLAIN};
    if (!word || word[0] == '#')
        return false;
    if (word[0] == '@') {
        if (strcmp(word, "@revoked") == 0)
            out->marker = KNOWN_REVOKED;
        else if (strcmp(word, "@cert-authority") == 0)
            out->marker = KNOWN_AUTHORITY;
        else
            return false;
        word = next_word(&line);
    }
    out->names = word;
    out->type = next_word(&line);
    out->key = next_word(&line);
    return out->key != NULL;
}

bool known_hosts_split_key(char *line, struct known_line *out)
{
    *out = (struct known_line){.marker = KNOWN_PLAIN};
    out->type = next_word(&line);
    out->key = next_word(&line);
    return out->key && out->type[0] != '#';
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* One pattern of `length` bytes. Behind the last '*' that was met everything is tried, and no
 * earlier one needs to be: what they can take, it can. */
static bool match_one(const char *pattern, size_t length, const char *name)
{
    const char *end = pattern + length, *star = NULL, *star_name = NULL;

    while (*name) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            star_name = name;
        } else if (pattern < end && (*pattern == '?' || lower(*pattern) == *name)) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

bool known_hosts_match(const char *names, const char *name)
{
    bool matched = false;

    while (*names) {
        size_t length = strcspn(names, ",");
        bool negated = names[0] == '!';
        if (match_one(names + negated, length - negated, name)) {
            if (negated)
                return false;
            matched = true;
        }
        names += length + (names[length] == ',');
    }
    return matched;
}
