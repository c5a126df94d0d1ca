/* rules_text.c - filter rules as people write them: "- *.o", "protect,p /cache/", "--exclude=*.o".
 */
#include "rules_list.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SIDES = RULE_SOURCE | RULE_TARGET };

/* One rule that is being read. */
struct reading {
    const char *text; /* the whole, for messages */
    const char *at;
    uint32_t form;
    uint32_t flags;
    char kind; /* a letter of the table, or '!' */
    bool side_by_name;
    bool hide_file;      /* merge,e: the file itself is left out */
    uint32_t merge_form; /* of the rules in the file that is merged */
};

static const struct {
    const char *name;
    char letter;
    uint32_t flags;
} kinds[] = {
    {"exclude", '-', 0},
    {"include", '+', RULE_INCLUDE},
    {"hide", 'H', RULE_SOURCE},
    {"show", 'S', RULE_SOURCE | RULE_INCLUDE},
    {"protect", 'P', RULE_TARGET},
    {"risk", 'R', RULE_TARGET | RULE_INCLUDE},
    {"clear", '!', 0},
    {"merge", '.', 0},
    {"dir-merge", ':', 0},
};

static int refuse(const struct reading *reading, const char *why, struct error *err)
{
    return error_set_class(err, ERROR_USAGE, EINVAL, "filter rule \"%s\": %s", reading->text, why);
}

/* Behind the name: a blank, '_' or the end, or modifiers after a comma. */
static size_t name_length(const char *text, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(text, name, length) != 0)
        return 0;
    char next = text[length];
    return next == '\0' || next == ',' || next == '_' || isspace((unsigned char)next) ? length : 0;
}

static int read_kind(struct reading *reading, struct error *err)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = name_length(reading->at, kinds[i].name);
        if (length == 0 && reading->at[0] == kinds[i].letter)
            length = 1;
        if (length == 0)
            continue;
        reading->at += length;
        reading->at += reading->at[0] == ',';
        reading->kind = kinds[i].letter;
        reading->flags |= kinds[i].flags;
        reading->side_by_name = (kinds[i].flags & SIDES) != 0;
        return 0;
    }
    return refuse(reading, "begins with none of + - P R H S ! . and their long names", err);
}

/* What only rules that merge a file may have. */
static bool take_merge_modifier(struct reading *reading, char modifier)
{
    uint32_t only = RULES_ONLY_EXCLUDE | RULES_ONLY_INCLUDE;
    if (reading->kind != '.')
        return false;
    if (modifier == 'e')
        reading->hide_file = true;
    else if (modifier == 'w')
        reading->merge_form |= RULES_WORDS;
    else if (modifier == '-' && !(reading->merge_form & only))
        reading->merge_form |= RULES_ONLY_EXCLUDE;
    else if (modifier == '+' && !(reading->merge_form & only))
        reading->merge_form |= RULES_ONLY_INCLUDE;
    else
        return modifier == 'n'; /* not inherited by folders: there is nothing to inherit */
    return true;
}

static bool take_modifier(struct reading *reading, char modifier)
{
    static const struct {
        char letter;
        uint32_t flag;
    } table[] = {{'/', RULE_ABSOLUTE},
                 {'!', RULE_NEGATED},
                 {'p', RULE_PERISHABLE},
                 {'s', RULE_SOURCE},
                 {'r', RULE_TARGET}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].letter != modifier)
            continue;
        bool side = (table[i].flag & SIDES) != 0;
        reading->flags |= table[i].flag;
        return !(side && reading->side_by_name) && !(modifier == '!' && reading->kind == '.');
    }
    return take_merge_modifier(reading, modifier);
}

/* Up to the blank or '_' before the pattern, and behind that. */
static int read_modifiers(struct reading *reading, struct error *err)
{
    char why[48];
    for (; *reading->at && *reading->at != ' ' && *reading->at != '_'; reading->at++) {
        if (*reading->at == 'C')
            return refuse(reading, "rules of CVS (C) are not supported", err);
        if (*reading->at == 'x')
            return refuse(reading, "rules about extended attributes (x) are not supported", err);
        if (take_modifier(reading, *reading->at))
            continue;
        snprintf(why, sizeof(why), "%c is no modifier of it", *reading->at);
        return refuse(reading, why, err);
    }
    reading->at += *reading->at != '\0';
    return 0;
}

/* --exclude and --include: a prefix may say the contrary, and "!" alone forgets what was before. */
static void read_old_kind(struct reading *reading)
{
    const char *at = reading->at;
    bool prefixed = (at[0] == '-' || at[0] == '+') && at[1] == ' ';
    reading->kind = prefixed ? at[0] : reading->form & RULES_INCLUDE ? '+' : '-';
    if (strcmp(at, "!") == 0)
        reading->kind = '!';
    reading->at += prefixed ? 2 : reading->kind == '!';
    reading->flags |= reading->kind == '+' ? (uint32_t)RULE_INCLUDE : 0;
}

/* Which rule it is; what is left is its pattern. */
static int read_head(struct reading *reading, struct error *err)
{
    if (reading->form & (RULES_EXCLUDE | RULES_INCLUDE)) {
        read_old_kind(reading);
        return 0;
    }
    if (reading->form & (RULES_ONLY_EXCLUDE | RULES_ONLY_INCLUDE)) {
        bool include = reading->form & RULES_ONLY_INCLUDE;
        reading->kind = include ? '+' : '-';
        reading->flags |= include ? (uint32_t)RULE_INCLUDE : 0;
        return 0;
    }
    int result = read_kind(reading, err);
    if (result < 0)
        return result;
    if (reading->kind == ':')
        return refuse(reading,
                      "rules in files of the folders that are copied (dir-merge) are not "
                      "supported: one file for all can be given as \". FILE\"",
                      err);
    if (reading->kind == '!')
        return reading->at[0] == '\0' ? 0 : refuse(reading, "nothing belongs behind it", err);
    return read_modifiers(reading, err);
}

/* Put the rule into the list. */
static int keep(struct rules *rules, const struct reading *reading, const char *pattern,
                struct error *err)
{
    uint32_t flags = reading->flags;
    size_t length = strlen(pattern);
    if ((flags & SIDES) == 0)
        flags |= rules->delete_excluded ? (uint32_t)RULE_SOURCE : (uint32_t)SIDES;
    if (length > 1 && pattern[length - 1] == '/') {
        length--;
        flags |= RULE_FOLDER;
    }
    int result = rules_add(rules, flags, pattern, length);
    if (result == -ENOMEM)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for filter rules");
    if (result == -E2BIG)
        return error_set_class(err, ERROR_USAGE, E2BIG,
                               "filter rule \"%.64s\": there can be %d rules, of %d bytes each",
                               reading->text, RULES_MAX, RULES_PATTERN_BYTES_MAX);
    return result;
}

static int keep_merge(struct rules *rules, struct reading *reading, struct rules_merge *merge,
                      struct error *err)
{
    const char *slash = strrchr(reading->at, '/');
    struct reading file = {.text = reading->text};
    *merge = (struct rules_merge){
        .form = reading->merge_form | reading->flags,
        .path = reading->at,
    };
    int result = reading->hide_file ? keep(rules, &file, slash ? slash + 1 : reading->at, err) : 0;
    return result < 0 ? result : 1;
}

int rules_parse(struct rules *rules, const char *text, uint32_t form, struct rules_merge *merge,
                struct error *err)
{
    struct reading reading = {
        .text = text, .at = text, .form = form, .flags = form & RULE_FLAGS & ~(uint32_t)SIDES};
    int result = read_head(&reading, err);
    if (result < 0)
        return result;
    if ((form & SIDES) && (reading.flags & SIDES))
        return refuse(&reading, "names a side, and so does the rule that merges it", err);
    reading.flags |= form & SIDES;
    if (reading.kind == '!') {
        rules_clear(rules);
        return 0;
    }
    if (reading.at[0] == '\0')
        return refuse(&reading, "the pattern is missing", err);
    return reading.kind == '.' ? keep_merge(rules, &reading, merge, err)
                               : keep(rules, &reading, reading.at, err);
}
