/* rules.c - a list of filter rules: evaluated for a path, and packed for the wire. */
#include "haul/base/rules.h"

#include "haul/base/glob.h"
#include "rules_list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)RULES_PATTERN_BYTES_MAX == (int)GLOB_BYTES_MAX, "a pattern is a glob");

struct rules *rules_open(bool delete_excluded)
{
    struct rules *rules = calloc(1, sizeof(*rules));
    if (rules)
        rules->delete_excluded = delete_excluded;
    return rules;
}

void rules_clear(struct rules *rules)
{
    for (uint32_t i = 0; i < rules->count; i++) {
        glob_close(rules->items[i].glob);
        free(rules->items[i].pattern);
    }
    rules->count = 0;
}

void rules_close(struct rules *rules)
{
    if (!rules)
        return;
    rules_clear(rules);
    free(rules->items);
    free(rules->root);
    free(rules);
}

static bool make_room(struct rules *rules)
{
    if (rules->count < rules->capacity)
        return true;
    uint32_t capacity = rules->capacity == 0 ? 16 : 2 * rules->capacity;
    struct rule *items = realloc(rules->items, capacity * sizeof(*items));
    if (!items)
        return false;
    rules->items = items;
    rules->capacity = capacity;
    return true;
}

/* What of the pattern decides how it is compared. */
static void look_at_pattern(struct rule *rule)
{
    size_t length = rule->length;
    const char *stars = strstr(rule->pattern, "**");
    for (size_t i = 0; i < length; i++)
        rule->slashes += rule->pattern[i] == '/';
    rule->anchored = rule->pattern[0] == '/';
    rule->stars = stars != NULL;
    rule->stars_first = stars == rule->pattern;
    rule->stars_last = length >= 3 && strcmp(rule->pattern + length - 3, "***") == 0;
}

int rules_add(struct rules *rules, uint32_t flags, const char *pattern, size_t length)
{
    if ((flags & ~(uint32_t)RULE_FLAGS) != 0 || (flags & (RULE_SOURCE | RULE_TARGET)) == 0 ||
        length == 0 || memchr(pattern, '\0', length))
        return -EINVAL;
    if (rules->count == RULES_MAX || length > RULES_PATTERN_BYTES_MAX)
        return -E2BIG;
    if (!make_room(rules))
        return -ENOMEM;
    struct rule *rule = &rules->items[rules->count];
    *rule = (struct rule){.flags = flags, .length = (uint32_t)length};
    rule->pattern = strndup(pattern, length);
    rule->glob = glob_open(pattern + (pattern[0] == '/'), length - (pattern[0] == '/'));
    rules->count++;
    if (!rule->pattern || !rule->glob) {
        rules->count--;
        glob_close(rule->glob);
        free(rule->pattern);
        return -ENOMEM;
    }
    look_at_pattern(rule);
    return 0;
}

uint32_t rules_count(const struct rules *rules)
{
    return rules ? rules->count : 0;
}

bool rules_set_root(struct rules *rules, const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    size_t before = strspn(path, "/");
    before = before < length ? before : length;
    free(rules->root);
    rules->root = strndup(path + before, length - before);
    return rules->root != NULL;
}

/* With what stands before and behind the path for this rule.
 *
 * A pattern without slashes is compared with the last name alone, an anchored one with the whole
 * path, any other one with what follows any slash, too: that are as many names as it has, where it
 * has no **. */
static bool matches_path(const struct rules *rules, const struct rule *rule, const char *path,
                         bool folder)
{
    struct glob_part parts[4];
    uint32_t count = 0;
    bool whole = rule->slashes > 0 || rule->stars;
    const char *last = whole ? NULL : strrchr(path, '/');
    const char *from = last ? last + 1 : path;
    if (whole && (rule->flags & RULE_ABSOLUTE) && rules->root && rules->root[0] != '\0') {
        parts[count++] = (struct glob_part){rules->root, strlen(rules->root)};
        parts[count++] = (struct glob_part){"/", 1};
    } else if (rule->stars_first) {
        parts[count++] = (struct glob_part){"/", 1}; /* so that "**" and a slash match no folder */
    }
    parts[count++] = (struct glob_part){from, strlen(from)};
    if (folder && rule->stars_last)
        parts[count++] = (struct glob_part){"/", 1};
    return glob_match(rule->glob, parts, count, whole && !rule->anchored);
}

static bool rule_matches(const struct rules *rules, const struct rule *rule, const char *path,
                         bool folder)
{
    bool matches =
        (folder || !(rule->flags & RULE_FOLDER)) && matches_path(rules, rule, path, folder);
    return matches != ((rule->flags & RULE_NEGATED) != 0);
}

/* The first rule of those with all the `wanted` and none of the `unwanted` flags; NULL: none. */
static const struct rule *find_rule(const struct rules *rules, const char *path, bool folder,
                                    uint32_t wanted, uint32_t unwanted)
{
    for (uint32_t i = 0; rules && i < rules->count && path[0] != '\0'; i++) {
        const struct rule *rule = &rules->items[i];
        if ((rule->flags & wanted) == wanted && !(rule->flags & unwanted) &&
            rule_matches(rules, rule, path, folder))
            return rule;
    }
    return NULL;
}

bool rules_hide(const struct rules *rules, const char *path, bool folder)
{
    const struct rule *rule = find_rule(rules, path, folder, RULE_SOURCE, 0);
    return rule && !(rule->flags & RULE_INCLUDE);
}

bool rules_protect(const struct rules *rules, const char *path, bool folder, bool in_removed)
{
    uint32_t unwanted = in_removed ? RULE_PERISHABLE : 0;
    const struct rule *rule = find_rule(rules, path, folder, RULE_TARGET, unwanted);
    return rule && !(rule->flags & RULE_INCLUDE);
}

bool rules_protect_any(const struct rules *rules)
{
    for (uint32_t i = 0; rules && i < rules->count; i++)
        if ((rules->items[i].flags & (RULE_TARGET | RULE_INCLUDE)) == RULE_TARGET)
            return true;
    return false;
}

/* A rule is its flags and its pattern. */
enum { PACKED_LIST_BYTES = 4, PACKED_RULE_BYTES = 2 + 2 };

size_t rules_packed_bytes(const struct rules *rules)
{
    size_t bytes = PACKED_LIST_BYTES;
    for (uint32_t i = 0; rules && i < rules->count; i++)
        bytes += PACKED_RULE_BYTES + rules->items[i].length;
    return bytes;
}

void rules_pack(const struct rules *rules, struct bytes *bytes)
{
    bytes_put_u32(bytes, rules_count(rules));
    for (uint32_t i = 0; rules && i < rules->count; i++) {
        bytes_put_u16(bytes, (uint16_t)rules->items[i].flags);
        bytes_put_string(bytes, rules->items[i].pattern);
    }
}

int rules_unpack(struct rules **out, struct bytes *bytes)
{
    char pattern[RULES_PATTERN_BYTES_MAX + 1];
    uint32_t count = bytes_get_u32(bytes);
    struct rules *rules = rules_open(false);
    int result = rules ? 0 : -ENOMEM;
    *out = NULL;
    for (uint32_t i = 0; i < count && result == 0 && !bytes->failed; i++) {
        uint16_t flags = bytes_get_u16(bytes);
        bytes_get_string(bytes, pattern, sizeof(pattern));
        if (!bytes->failed)
            result = rules_add(rules, flags, pattern, strlen(pattern));
    }
    if (bytes->failed || result < 0) {
        rules_close(rules);
        return result == -ENOMEM ? result : -EPROTO;
    }
    *out = rules;
    return 0;
}
