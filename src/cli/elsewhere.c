/* elsewhere.c - a table of other programs' options. Only what haul does not have itself is in it;
 * tests/unit/test_options.c sees to that. */
#include "haul/cli/elsewhere.h"

#include "haul/base/cleanup.h"

#include <string.h>

#define FOLLOWED                                                                                   \
    "symbolic links are copied as links (-l) and never followed: name what they point to"
#define OLD    "haul keeps no old versions: make a snapshot, or a copy with cp --reflink, before"
#define OTHERS "haul compares with the target alone"
#define DURING                                                                                     \
    "--delete removes from each folder when it comes to it, and nothing more after an error"
#define PLACED                                                                                     \
    "haul writes in place, with a journal, or with --no-inplace under a name of its own: leave "   \
    "it out"
#define STAMPS  "only modification times are kept: leave it out"
#define NOBODY  "there is no rsync daemon at either end: give a path that ssh reaches, host:path"
#define MAPPED  "owners go by their names, by number with --numeric-ids, or all to one with --chown"
#define PACKED  "-z compresses what shrinks, and chooses by itself"
#define WRITTEN "--json tells all of it, an event a line"
#define LIMITED "say it around haul: timeout 2h haul ... (TERM makes what is there durable)"

static const struct {
    const char *name; /* NULL: only a letter */
    char letter;
    const char *words;
} table[] = {
    {"copy-links", 'L', FOLLOWED},
    {"dereference", 0, FOLLOWED},
    {"copy-dirlinks", 'k', FOLLOWED},
    {"copy-unsafe-links", 0, FOLLOWED},
    {"safe-links", 0,
     "every symbolic link is copied as what it is: --exclude those that you do not want"},
    {"munge-links", 0, "every symbolic link is copied as what it is"},
    {"keep-dirlinks", 'K',
     "nothing beneath TARGET is followed: name the folder that the link points to"},
    {"relative", 'R',
     "rsync's -R is --files-from here, which keeps the paths of the names in a list; cp's -R is "
     "-r"},
    {"parents", 0, "--files-from keeps the paths of the names in a list"},
    {"no-relative", 0, "names of --files-from keep their paths"},
    {"no-implied-dirs", 0, "folders on the way to a name get what they have at the source"},
    {"backup", 'b', OLD},
    {"backup-dir", 0, OLD},
    {"suffix", 0, OLD},
    {"link-dest", 0, OTHERS ", and makes no hard links to another: copy into a snapshot"},
    {"compare-dest", 0, OTHERS},
    {"copy-dest", 0, OTHERS},
    {"delete-before", 0, DURING},
    {"delete-after", 0, DURING},
    {"delete-delay", 0, DURING},
    {"delete-missing-args", 0, "what is named and not there is an error, a line each"},
    {"ignore-missing-args", 0, "what is named and not there is an error, a line each"},
    {"prune-empty-dirs", 'm', "folders are copied whether they are empty or not: --exclude them"},
    {"delay-updates", 0, PLACED},
    {"partial-dir", 0, PLACED},
    {"temp-dir", 0, PLACED},
    {"whole-file", 'W',
     "what is there already is compared by chunk where that saves writes: leave it out"},
    {"block-size", 'B', "the unit of comparing and writing is --chunk-size"},
    {"checksum-seed", 0, "leave it out"},
    {"executability", 'E', "permissions are kept as a whole: -p, or --no-perms"},
    {"atimes", 'U', STAMPS},
    {"crtimes", 'N', STAMPS},
    {"open-noatime", 0, "leave it out"},
    {"omit-dir-times", 'O', "folders get their times when all in them is done; --no-times for all"},
    {"omit-link-times", 0, "symbolic links get their times as all else; --no-times for all"},
    {"super", 0, "run it as root, over there by ssh root@host"},
    {"fake-super", 0, "owners that may not be set are told, and not kept"},
    {"copy-as", 0, MAPPED},
    {"usermap", 0, MAPPED},
    {"groupmap", 0, MAPPED},
    {"copy-devices", 0, "a block device that is named is read as a file is"},
    {"no-devices", 0, "write out what you want of -a: -rlptgo"},
    {"no-specials", 0, "write out what you want of -a: -rlptgo"},
    {"no-links", 0, "write out what you want of -a: -rptgoD"},
    {"no-recursive", 0, "write out what you want of -a: -lptgoD"},
    {"cvs-exclude", 'C', "rsync's -C: give its patterns with --exclude; scp's and ssh's -C is -z"},
    {"compress-level", 0, PACKED},
    {"zl", 0, PACKED},
    {"compress-choice", 0, PACKED},
    {"zc", 0, PACKED},
    {"skip-compress", 0, PACKED},
    {"out-format", 0, WRITTEN},
    {"log-file", 0, WRITTEN},
    {"log-file-format", 0, WRITTEN},
    {"list-only", 0, "-n -v names what would be copied"},
    {"stop-after", 0, LIMITED},
    {"stop-at", 0, LIMITED},
    {"time-limit", 0, LIMITED},
    {"max-alloc", 0, "--memory bounds what buffers take"},
    {"iconv", 0, "names are bytes, and stay what they are"},
    {"daemon", 0, NOBODY},
    {"protect-args", 0, "names never pass a shell over there: leave it out"},
    {"password-file", 0, NOBODY},
    {"no-motd", 0, NOBODY},
    {"address", 0, "say it to ssh: -o BindAddress=ADDRESS"},
    {"sockopts", 0, "say it to ssh, with -e"},
    {"protocol", 0, "both ends are haul"},
    {"remote-option", 'M', "what haul is called over there is --remote-path"},
    {"no-clobber", 0, "--ignore-existing"},
    {"target-directory", 0, "TARGET comes last"},
    {"preserve", 0, "-p, -t, -o and -g keep permissions, times, owner and group; -a all of them"},
    {"no-dereference", 0, "-l copies symbolic links as links"},
    {"strip-trailing-slashes", 0, "write the name without the slash"},
    {NULL, '3', "what goes between two other machines goes through this one: leave it out"},
};

const char *elsewhere_long(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        const char *known = table[i].name;
        if (known && strlen(known) == length && memcmp(known, name, length) == 0)
            return table[i].words;
    }
    return NULL;
}

const char *elsewhere_short(char letter)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].letter == letter)
            return table[i].words;
    return NULL;
}
