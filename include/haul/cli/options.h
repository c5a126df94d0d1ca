/* options.h - the command line: one table of options, from which parsing, --help and the checks of
 * the man page come.
 *
 * Knows nothing about copying; it fills a struct. To add an option, add a row to the table in
 * options.c (and its paragraph to man/haul.1: test_options compares them). */
#ifndef HAUL_OPTIONS_H
#define HAUL_OPTIONS_H

#include "haul/base/error.h"
#include "haul/base/log.h"
#include "haul/cli/filter.h"
#include "haul/copy/copy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What an option that may be given again and again has gathered, in order; argv's strings. */
struct option_list {
    const char **items;
    uint32_t count;
};

struct options {
    struct copy_wish wish; /* wish.link points into the lists below */
    const char **operands; /* SOURCE... TARGET in their order; the strings are argv's */
    uint32_t operands_count;
    const char **words; /* all the others, in their order: options and their values */
    uint32_t words_count;
    struct option_list identities; /* -i */
    struct option_list settings;   /* -o KEY=VALUE */
    struct filter_word *filters;   /* --filter, --exclude ..., in their order */
    uint32_t filters_count;
    struct option_list ranges; /* --range */
    const char *ranges_from;   /* --ranges-from */
    const char *files_from;    /* --files-from; NULL: all */
    uint64_t unit_bytes;       /* --unit-size; 0: as the plan chooses */
    uint32_t unit;             /* --unit ... */
    bool unit_given;           /* ... of haul run */
    bool archive;              /* -a */
    bool dirs;                 /* -d: as a list has it anyway */
    bool from_zeros;           /* -0: lines of files that are read end with a zero byte */
    uint32_t verbose;          /* -v, -vv */
    uint32_t version;          /* -V, -VV */
    bool quiet;
    bool help;
    bool progress; /* --progress, -P, --info=progress2: also when not on a terminal */
    bool json;
    bool stats;
    bool itemize;            /* --itemize-changes: a line for each file that differs */
    bool target_is_file;     /* -T: never a folder to put things into */
    bool server;             /* --server: the other side of somebody's copy */
    const char *restrict_to; /* --restrict=DIR[,ro|,wo], of --server; NULL: not restricted */
};

/* How a row's argument is read and where it goes. */
enum option_kind {
    OPTION_FLAG,    /* bool: true */
    OPTION_CLEAR,   /* bool: false */
    OPTION_COUNT,   /* uint32_t: one more */
    OPTION_SET,     /* an enum: the row's value */
    OPTION_WORD,    /* an enum: by the argument, one of the row's words */
    OPTION_SIZE,    /* uint64_t: text_parse_size */
    OPTION_RATE,    /* uint64_t: text_parse_rate */
    OPTION_CHUNK,   /* uint32_t: a size, rounded up to what a chunk may be */
    OPTION_TEXT,    /* const char *: argv's string */
    OPTION_LIST,    /* struct option_list: one more of argv's strings */
    OPTION_SETTING, /* the same, and it must look like KEY=VALUE */
    OPTION_FILTER,  /* one more of options->filters, of the kind that is the row's value */
    OPTION_TIME,    /* uint64_t: seconds, into nanoseconds */
    OPTION_PORT,    /* uint16_t: 1 to 65535 */
    OPTION_NUMBER,  /* uint32_t */
    OPTION_LANES,   /* uint32_t: 0 to LANES_MAX */
    OPTION_INFO,    /* bool: --info=progress2 */
    OPTION_DIGEST,  /* nothing stored: only one digest exists */
    OPTION_CHMOD,   /* struct mode_changes: more of them */
    OPTION_ARCHIVE, /* all that -a wishes */
    OPTION_NODES,   /* devices and special files at once: the row's value */
    OPTION_ALREADY, /* nothing stored: accepted, because it is always so */
};

struct option_word {
    const char *name;
    uint32_t value;
};

struct option_row {
    const char *name; /* long name, without the dashes */
    char letter;      /* short name; 0: none */
    enum option_kind kind;
    const char *argument; /* as --help names it; NULL: none is taken */
    const char *help;
    size_t offset;                   /* of the field in struct options */
    size_t given;                    /* of a bool that says that it was given; 0: none */
    uint32_t value;                  /* SET */
    const struct option_word *words; /* WORD; ends with a NULL name */
};

/* Fill `options` from argv: long options with "=value" or the next argument, unambiguous
 * abbreviations, short ones in clusters, options and operands in any order, "--" ends the options.
 * "-h" alone is --help, as in rsync. "-o" is rsync's owner, and ssh's option where KEY=VALUE is
 * attached or the next word. HAUL_RSH of the environment stands for --rsh. Without --help,
 * --version and --server there are at least two operands on success. Errors: -EINVAL, ERROR_USAGE,
 * one line; -ENOMEM. The caller closes in either case. */
int options_parse(struct options *options, int argc, char **argv, struct error *err);

/* The same without the first operand, which is the command's name. What was parsed outlives it. */
struct options options_rest(const struct options *options);

/* Frees the lists; NULL is legal. */
void options_close(struct options *options);

/* The rows of the table, in the order of --help. */
const struct option_row *options_table(uint32_t *rows_count);

/* The text of --help. */
void options_help(FILE *out);

/* How much the log may say, from -q and -v. */
enum log_level options_log_level(const struct options *options);

#endif
