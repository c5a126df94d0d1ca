/* options.c - the table of options, and the parser and the --help that are driven by it.
 *
 * Deliberately not getopt_long(3): its messages cannot be had as one line in our own words, and it
 * keeps global state. The rules are the same: "--name=value", "--name value", abbreviations that
 * are unambiguous, "-nvP", "-Tvalue", options after operands, "--". */
#include "haul/cli/options.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/pack.h"
#include "haul/base/text.h"
#include "haul/cli/elsewhere.h"
#include "haul/cli/exit.h"
#include "haul/copy/lane.h"
#include "haul/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct option_word cache_words[] = {{"auto", POLICY_AUTO},
                                                 {"direct", POLICY_DIRECT},
                                                 {"window", POLICY_WINDOW},
                                                 {"plain", POLICY_PLAIN},
                                                 {NULL, 0}};
static const struct option_word engine_words[] = {{"auto", ENGINE_AUTO},
                                                  {"uring", ENGINE_URING},
                                                  {"threads", ENGINE_THREADS},
                                                  {"sync", ENGINE_SYNC},
                                                  {NULL, 0}};
static const struct option_word whole_words[] = {
    {"sha256", WHOLE_SHA256}, {"xxh128", WHOLE_XXH128}, {NULL, 0}};
static const struct option_word reflink_words[] = {
    {"auto", REFLINK_AUTO}, {"always", REFLINK_ALWAYS}, {"never", REFLINK_NEVER}, {NULL, 0}};
static const struct option_word read_errors_words[] = {
    {"stop", READ_ERRORS_STOP}, {"skip", READ_ERRORS_SKIP}, {NULL, 0}};
static const struct option_word digest_words[] = {
    {"auto", 1}, {"xxh128", 1}, {"xxh3-128", 1}, {"xxh3", 0}, {"xxh64", 0}, {"xxhash", 0},
    {"sha1", 0}, {"md5", 0},    {"md4", 0},      {"none", 0}, {NULL, 0}};

#define AT(field) offsetof(struct options, field)

/* One macro a kind, so that a row says only what is its own. */
#define FLAG(name, letter, field, help)                                                            \
    {                                                                                              \
        name, letter, OPTION_FLAG, NULL, help, AT(field), 0, 0, NULL                               \
    }
#define CLEAR(name, letter, field, help)                                                           \
    {                                                                                              \
        name, letter, OPTION_CLEAR, NULL, help, AT(field), 0, 0, NULL                              \
    }
#define COUNT(name, letter, field, help)                                                           \
    {                                                                                              \
        name, letter, OPTION_COUNT, NULL, help, AT(field), 0, 0, NULL                              \
    }
#define SET(name, letter, field, value, help)                                                      \
    {                                                                                              \
        name, letter, OPTION_SET, NULL, help, AT(field), 0, value, NULL                            \
    }
#define WORD(name, argument, field, words, help)                                                   \
    {                                                                                              \
        name, 0, OPTION_WORD, argument, help, AT(field), 0, 0, words                               \
    }
#define VALUE(kind, name, argument, at, given, help)                                               \
    {                                                                                              \
        name, 0, OPTION_##kind, argument, help, at, given, 0, NULL                                 \
    }
/* The same with a letter. */
#define LETTER(kind, name, letter, argument, field, help)                                          \
    {                                                                                              \
        name, letter, OPTION_##kind, argument, help, AT(field), 0, 0, NULL                         \
    }
#define FILTER(name, letter, argument, kind, help)                                                 \
    {                                                                                              \
        name, letter, OPTION_FILTER, argument, help, 0, 0, FILTER_##kind, NULL                     \
    }
#define DIGEST(name, help)                                                                         \
    {                                                                                              \
        name, 0, OPTION_DIGEST, "NAME", help, 0, 0, 0, digest_words                                \
    }
#define ALREADY(name, letter, help)                                                                \
    {                                                                                              \
        name, letter, OPTION_ALREADY, NULL, help, 0, 0, 0, NULL                                    \
    }
#define ATTRIBUTE(name, letter, which, wished, help)                                               \
    SET(name, letter, wish.attributes[ATTRIBUTE_##which], ATTRIBUTE_##wished, help)
#define ARCHIVE(name, letter, help)                                                                \
    {                                                                                              \
        name, letter, OPTION_ARCHIVE, NULL, help, AT(wish.attributes), 0, 0, NULL                  \
    }
#define NODES(name, letter, taken, help)                                                           \
    {                                                                                              \
        name, letter, OPTION_NODES, NULL, help, 0, 0, taken, NULL                                  \
    }

static const struct option_row table[] = {
    FLAG("help", 0, help, "print this text (so does -h alone)"),
    COUNT("version", 'V', version, "print version, engines and libraries; -VV as JSON"),
    COUNT("verbose", 'v', verbose, "say what is decided and why; -vv for debugging"),
    FLAG("quiet", 'q', quiet, "only errors"),
    ALREADY("secluded-args", 's', "names pass no shell over there (always so)"),
    ALREADY("human-readable", 'h', "numbers for people (always so)"),
    FLAG("dry-run", 'n', wish.dry_run, "say what would be done, and change nothing"),
    FLAG("no-target-directory", 'T', target_is_file,
         "TARGET is a file, never a folder to copy into"),

    FLAG("ignore-times", 'I', wish.ignore_times, "do not skip files of the same size and time"),
    LETTER(TIME, "modify-window", '@', "SECONDS", wish.modify_window_ns,
           "times that are no further apart are equal"),
    FLAG("size-only", 0, wish.choice.size_only,
         "skip files of the same size, whatever their times"),
    FLAG("update", 'u', wish.choice.update, "skip files whose target is newer"),
    FLAG("existing", 0, wish.choice.existing, "make nothing new at the target"),
    FLAG("ignore-non-existing", 0, wish.choice.existing, "the same as --existing"),
    FLAG("ignore-existing", 0, wish.choice.ignore_existing, "leave what is at the target already"),
    VALUE(SIZE, "max-size", "SIZE", AT(wish.choice.max_size_bytes), AT(wish.choice.max_size_set),
          "skip files that are larger"),
    VALUE(SIZE, "min-size", "SIZE", AT(wish.choice.min_size_bytes), 0,
          "skip files that are smaller"),
    FILTER("exclude", 0, "PATTERN", EXCLUDE, "leave out names that match"),
    FILTER("include", 0, "PATTERN", INCLUDE, "but not these; the first one that matches decides"),
    FILTER("filter", 'f', "RULE", RULE, "a rule of rsync's: - + P R H S ! and merge"),
    FILTER("exclude-from", 0, "FILE", EXCLUDE_FROM, "as --exclude, a pattern a line"),
    FILTER("include-from", 0, "FILE", INCLUDE_FROM, "as --include, a pattern a line"),
    VALUE(TEXT, "files-from", "FILE", AT(files_from), 0,
          "copy only what FILE names beneath SOURCE, a name a line"),
    FLAG("dirs", 'd', dirs, "with --files-from: folders, not what is in them (always so)"),
    FLAG("from0", '0', from_zeros, "lines of these files end with a zero byte"),
    FLAG("checksum", 'c', wish.checksum, "compare by content, not by size and time"),
    FLAG("fuzzy", 0, wish.fuzzy, "copy a source that changes meanwhile, as it was found"),
    FLAG("verify", 0, wish.verify, "read the target back from the medium and compare"),
    DIGEST("checksum-choice", "xxh128 or auto (there is only this one)"),
    DIGEST("cc", "the same as --checksum-choice"),
    VALUE(TEXT, "manifest", "FILE", AT(wish.manifest_path), 0,
          "write the digests of all chunks to FILE"),
    VALUE(TEXT, "base-manifest", "FILE", AT(wish.base_path), 0,
          "keep the same in FILE, so that the next run need not read TARGET"),
    VALUE(TEXT, "digest-file", "FILE", AT(wish.digest_path), 0,
          "write the digest of the whole to FILE, for sha256sum -c"),
    WORD("digest", "NAME", wish.digest, whole_words, "of --digest-file: sha256, xxh128"),

    CLEAR("inplace", 0, wish.file.no_inplace, "write into the target itself (the default)"),
    FLAG("no-inplace", 0, wish.file.no_inplace, "write beside the target, and rename when durable"),
    ALREADY("partial", 0, "keep what an interrupted copy wrote (always so)"),
    SET("append", 0, wish.file.resume, RESUME_APPEND, "resume, trusting the journal"),
    SET("append-verify", 0, wish.file.resume, RESUME_APPEND_VERIFY,
        "resume, comparing the old part with the source, too"),
    SET("restart", 0, wish.file.resume, RESUME_RESTART, "begin again, whatever is there"),
    WORD("read-errors", "WHAT", wish.file.read_errors, read_errors_words,
         "stop where SOURCE cannot be read, or skip that place"),
    VALUE(TEXT, "journal", "FILE", AT(wish.file.journal_path), 0,
          "keep the journal in FILE, not beside the target"),
    VALUE(SIZE, "sync-every", "SIZE", AT(wish.sync_every_bytes), AT(wish.sync_every_set),
          "make the target durable every SIZE; 0: only at the end"),

    WORD("cache", "HOW", wish.file.cache, cache_words,
         "keep out of the page cache: auto, direct, window, plain"),
    SET("direct-io", 0, wish.file.cache, POLICY_DIRECT, "the same as --cache=direct"),
    SET("drop-cache", 0, wish.file.cache, POLICY_WINDOW, "the same as --cache=window"),
    VALUE(SIZE, "cache-max", "SIZE", AT(wish.file.cache_max_bytes), AT(wish.file.cache_max_set),
          "most page cache that the copy may build up"),
    FLAG("strict", 0, wish.file.strict, "fail (exit 42) rather than exceed the cache budget"),
    VALUE(SIZE, "memory", "SIZE", AT(wish.memory_bytes), 0, "most memory for buffers"),
    VALUE(CHUNK, "chunk-size", "SIZE", AT(wish.chunk_bytes), 0,
          "unit of copying, 64K to 16M, rounded up to a power of 2"),
    WORD("engine", "WHICH", wish.engine, engine_words, "auto, uring, threads, sync"),
    VALUE(RATE, "bwlimit", "RATE", AT(wish.bandwidth_bytes), 0,
          "most KiB a second, or with a suffix; 0: no limit"),
    FLAG("own-cgroup", 0, wish.own_cgroup, "empty our memory cgroup of names, if it is ours alone"),
    FLAG("nice", 0, wish.nice, "let other programs go first, at the processors and the disks"),

    LETTER(TEXT, "rsh", 'e', "CMD", wish.link.transport,
           "reach the other machine by CMD: 'ssh -C', 'docker exec -i'"),
    VALUE(TEXT, "remote-path", "CMD", AT(wish.remote_path), 0, "how haul is called over there"),
    VALUE(TEXT, "rsync-path", "CMD", AT(wish.remote_path), 0, "the same as --remote-path"),
    FLAG("bootstrap", 0, wish.link.bootstrap,
         "bring haul along where it is missing there, for this copy"),
    LETTER(LANES, "lanes", 'j', "N", wish.lanes, "ssh sessions at the same time; 0: automatic"),
    FLAG("compress", 'z', wish.compress, "compress on the link, by zstd, what shrinks"),
    VALUE(TIME, "timeout", "SECONDS", AT(wish.timeout_ns), 0,
          "most silence of the other side; 0: no limit"),
    VALUE(TIME, "contimeout", "SECONDS", AT(wish.link.connect_timeout_ns), 0,
          "most time for connecting"),
    VALUE(NUMBER, "retries", "N", AT(wish.retries), AT(wish.retries_set),
          "dial a lost link again so often in a row (5), and go on"),
    VALUE(PORT, "port", "PORT", AT(wish.link.port), 0, "port of the ssh server"),
    LETTER(LIST, "identity", 'i', "FILE", identities, "private key; may be given again"),
    LETTER(TEXT, "ssh-config", 'F', "FILE", wish.link.config_file, "ssh's configuration; or none"),
    LETTER(TEXT, "jump", 'J', "HOST", wish.link.proxy_jump, "go through HOST, as ssh -J"),
    VALUE(TEXT, "ciphers", "LIST", AT(wish.link.ciphers), 0, "ssh's ciphers, the best first"),
    VALUE(SETTING, "ssh-option", "KEY=VALUE", AT(settings), 0, "as ssh -o; so is -o KEY=VALUE"),
    SET("ipv4", '4', wish.link.family, LINK_FAMILY_IPV4, "connect by IPv4 only"),
    SET("ipv6", '6', wish.link.family, LINK_FAMILY_IPV6, "connect by IPv6 only"),
    FLAG("server", 0, server, "be the other side, on standard input and output"),
    VALUE(TEXT, "restrict", "DIR[,ro|,wo]", AT(restrict_to), 0, "of --server: nothing outside DIR"),

    VALUE(LIST, "range", "OFFSET,LENGTH", AT(ranges), 0,
          "copy only these bytes of the file; may be given again"),
    VALUE(TEXT, "ranges-from", "FILE", AT(ranges_from), 0, "the same, a line of FILE each"),
    VALUE(SIZE, "unit-size", "SIZE", AT(unit_bytes), 0, "of haul plan: most bytes of a unit (1G)"),
    VALUE(NUMBER, "unit", "N", AT(unit), AT(unit_given), "of haul run: which unit of PLAN, from 1"),
    VALUE(SIZE, "size", "SIZE", AT(wish.file.size_bytes), 0,
          "what a pipe is to bring: less or more is an error"),
    FLAG("sparse", 'S', wish.sparse, "make holes of zeros"),
    CLEAR("preallocate", 0, wish.no_preallocate, "reserve the target's space first (the default)"),
    FLAG("no-preallocate", 0, wish.no_preallocate, "do not reserve the target's space first"),
    WORD("reflink", "WHEN", wish.file.reflink, reflink_words,
         "share the source's blocks, here: auto, always, never (the default)"),
    FLAG("write-devices", 0, wish.file.write_devices, "TARGET may be a block device"),

    FLAG("recursive", 'r', wish.tour.recursive, "copy folders, with all that is in them"),
    FLAG("links", 'l', wish.tour.links, "copy symbolic links as what they are"),
    FLAG("devices", 0, wish.tour.devices, "make devices in a tree anew, as root"),
    FLAG("specials", 0, wish.tour.specials, "make fifos and sockets in a tree anew"),
    NODES(NULL, 'D', true, "the same as --devices --specials"),
    FLAG("hard-links", 'H', wish.tour.hard_links, "keep hard links among what is copied"),
    FLAG("one-file-system", 'x', wish.tour.one_filesystem, "leave out what is mounted in a tree"),
    FLAG("delete", 0, wish.tour.delete, "remove from the target what the source has not"),
    FLAG("del", 0, wish.tour.delete, "the same as --delete"),
    FLAG("delete-during", 0, wish.tour.delete, "the same as --delete"),
    VALUE(NUMBER, "max-delete", "N", AT(wish.tour.max_delete), AT(wish.tour.max_delete_set),
          "remove no more than N names; where more would go: exit 25"),
    FLAG("ignore-errors", 0, wish.tour.ignore_errors, "--delete also after an error"),
    FLAG("delete-excluded", 0, wish.tour.delete_excluded,
         "--delete, and what filter rules leave out"),
    FLAG("force", 0, wish.tour.force, "a folder in the way of something else goes"),
    FLAG("remove-source-files", 0, wish.tour.remove_source,
         "remove from the source each file that is durable now"),
    FLAG("mkpath", 0, wish.tour.mkpath, "make all folders on the way to TARGET"),

    ARCHIVE("archive", 'a', "the same as -rlptgoD; owner and group only as root"),
    ATTRIBUTE("perms", 'p', MODE, ASKED, "keep permissions, or exit 23; also set-id bits"),
    ATTRIBUTE("times", 't', TIMES, ASKED, "keep the modification time, or exit 23"),
    ATTRIBUTE("owner", 'o', OWNER, ASKED, "keep the owner, or exit 23; but see --ssh-option"),
    ATTRIBUTE("group", 'g', GROUP, ASKED, "keep the group, or exit 23"),
    ATTRIBUTE("no-perms", 0, MODE, LEAVE, "leave the target's permissions as they are"),
    ATTRIBUTE("no-p", 0, MODE, LEAVE, "the same as --no-perms"),
    ATTRIBUTE("no-times", 0, TIMES, LEAVE, "do not set the modification time"),
    ATTRIBUTE("no-t", 0, TIMES, LEAVE, "the same as --no-times"),
    ATTRIBUTE("no-owner", 0, OWNER, LEAVE, "do not set the owner"),
    ATTRIBUTE("no-o", 0, OWNER, LEAVE, "the same as --no-owner"),
    ATTRIBUTE("no-group", 0, GROUP, LEAVE, "do not set the group"),
    ATTRIBUTE("no-g", 0, GROUP, LEAVE, "the same as --no-group"),
    VALUE(CHMOD, "chmod", "MODES", AT(wish.chmod), 0, "change permissions, as chmod or rsync"),
    VALUE(TEXT, "chown", "USER:GROUP", AT(wish.file.chown), 0, "give the target to these"),
    FLAG("numeric-ids", 0, wish.file.numeric_ids, "owner and group go by number, not by name"),
    ATTRIBUTE("acls", 'A', ACLS, ASKED, "keep access control lists, and permissions, or exit 23"),
    ATTRIBUTE("xattrs", 'X', XATTRS, ASKED, "keep extended attributes, or exit 23"),
    ATTRIBUTE("no-acls", 0, ACLS, LEAVE, "leave access control lists as they are (the default)"),
    ATTRIBUTE("no-A", 0, ACLS, LEAVE, "the same as --no-acls"),
    ATTRIBUTE("no-xattrs", 0, XATTRS, LEAVE, "leave extended attributes as they are (the default)"),
    ATTRIBUTE("no-X", 0, XATTRS, LEAVE, "the same as --no-xattrs"),

    FLAG("progress", 0, progress, "show progress, also when not on a terminal"),
    FLAG(NULL, 'P', progress, "the same as --partial --progress"),
    VALUE(INFO, "info", "progress2", AT(progress), 0, "the same as --progress"),
    FLAG("itemize-changes", 0, itemize, "a line for each file that differs, as rsync -i"),
    FLAG("stats", 0, stats, "print the whole receipt"),
    FLAG("json", 0, json, "progress and receipt as JSON, one event a line"),
};

/* The parts of the table, by their first options, as haul(1) calls them. */
static const struct {
    const char *first, *title;
} sections[] = {
    {"help", "General"},
    {"ignore-times", "What is compared"},
    {"inplace", "Going on after an interruption"},
    {"cache", "Cache, memory and speed"},
    {"rsh", "Other machines"},
    {"range", "The target"},
    {"recursive", "Trees"},
    {"archive", "Owner, group, permissions, time"},
    {"progress", "What is printed"},
};

const struct option_row *options_table(uint32_t *rows_count)
{
    *rows_count = COUNT_OF(table);
    return table;
}

enum log_level options_log_level(const struct options *options)
{
    if (options->quiet)
        return LOG_ERROR;
    if (options->verbose >= 2)
        return LOG_DEBUG;
    return options->verbose == 1 ? LOG_VERBOSE : LOG_NOTE;
}

/* A list of the words that exist, "auto, direct, window, plain", for messages. */
static const char *join_words(char *out, size_t capacity, const struct option_word *words)
{
    size_t used = 0;
    out[0] = '\0';
    for (; words->name; words++) {
        int written =
            snprintf(out + used, capacity - used, "%s%s", used > 0 ? ", " : "", words->name);
        assert(written > 0 && (size_t)written < capacity - used);
        used += (size_t)written;
    }
    return out;
}

static const struct option_word *find_word(const struct option_word *words, const char *name)
{
    for (; words->name; words++)
        if (strcmp(words->name, name) == 0)
            return words;
    return NULL;
}

/* Fields of an enum are written as uint32_t. */
static_assert(sizeof(enum policy_kind) == sizeof(uint32_t), "enum in the table");
static_assert(sizeof(enum engine_kind) == sizeof(uint32_t), "enum in the table");
static_assert(sizeof(enum whole_kind) == sizeof(uint32_t), "enum in the table");
static_assert(sizeof(enum reflink_wish) == sizeof(uint32_t), "enum in the table");
static_assert(sizeof(enum resume_wish) == sizeof(uint32_t), "enum in the table");
static_assert(sizeof(enum read_errors) == sizeof(uint32_t), "enum in the table");
static_assert(sizeof(enum link_family) == sizeof(uint32_t), "enum in the table");

static int store_word(uint32_t *field, const struct option_row *row, const char *text,
                      struct error *err)
{
    char names[128];
    const struct option_word *word = find_word(row->words, text);
    if (!word)
        return error_usage(err, "--%s=%s: it is one of %s", row->name, text,
                           join_words(names, sizeof(names), row->words));
    *field = word->value;
    return 0;
}

/* Not refused for being odd: rounded up to the next power of two in range. */
static int store_chunk(uint32_t *field, const struct option_row *row, const char *text,
                       struct error *err)
{
    uint64_t bytes;
    if (!text_parse_size(text, &bytes) || bytes == 0)
        return error_usage(err, "--%s=%s: not a size", row->name, text);
    if (bytes > CHUNK_BYTES_MAX)
        return error_usage(err, "--%s=%s: 16M is the most", row->name, text);
    uint32_t chunk = CHUNK_BYTES_MIN;
    while (chunk < bytes)
        chunk *= 2;
    *field = chunk;
    return 0;
}

static int check_digest(const struct option_row *row, const char *text, struct error *err)
{
    const struct option_word *word = find_word(row->words, text);
    if (word && word->value)
        return 0;
    return error_usage(err, "--%s=%s: %s; xxh128 (xxh3-128) and auto exist", row->name, text,
                       word ? "rsync has it, haul does not" : "no such digest");
}

static int store_info(bool *field, const char *text, struct error *err)
{
    if (strcmp(text, "progress2") != 0 && strcmp(text, "progress") != 0)
        return error_usage(err, "--info=%s: only progress2 exists", text);
    *field = true;
    return 0;
}

static int store_number(uint64_t *field, const struct option_row *row, const char *text,
                        struct error *err)
{
    bool rate = row->kind == OPTION_RATE;
    if (rate ? text_parse_rate(text, field) : text_parse_size(text, field))
        return 0;
    return error_usage(err, "--%s=%s: not a %s", row->name, text, rate ? "rate" : "size");
}

/* rsync's timeouts are whole seconds; fractions and suffixes do no harm. */
static int store_time(uint64_t *field, const struct option_row *row, const char *text,
                      struct error *err)
{
    if (text_parse_duration(text, field))
        return 0;
    return error_usage(err, "--%s=%s: not a number of seconds", row->name, text);
}

static int store_port(uint16_t *field, const struct option_row *row, const char *text,
                      struct error *err)
{
    uint64_t port;
    if (!num_parse_u64(text, &port) || port == 0 || port > UINT16_MAX)
        return error_usage(err, "--%s=%s: not a port, 1 to 65535", row->name, text);
    *field = (uint16_t)port;
    return 0;
}

static int store_count(uint32_t *field, const struct option_row *row, const char *text,
                       struct error *err)
{
    uint64_t count;
    if (!num_parse_u64(text, &count) || count > UINT32_MAX)
        return error_usage(err, "--%s=%s: not a number", row->name, text);
    *field = (uint32_t)count;
    return 0;
}

static int store_lanes(uint32_t *field, const struct option_row *row, const char *text,
                       struct error *err)
{
    uint64_t lanes;
    if (!num_parse_u64(text, &lanes) || lanes > LANES_MAX)
        return error_usage(err, "--%s=%s: not a number from 0 (automatic) to %d", row->name, text,
                           LANES_MAX);
    *field = (uint32_t)lanes;
    return 0;
}

/* A keyword of ssh_config(5), which is letters and digits, and a value. */
static bool is_setting(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    return length > 0 && text[length] == '=' && text[length + 1] != '\0';
}

/* There is room for every word of the command line. */
static int store_item(struct option_list *list, const struct option_row *row, const char *text,
                      struct error *err)
{
    if (row->kind == OPTION_SETTING && !is_setting(text))
        return error_usage(err, "--%s=%s: not KEY=VALUE", row->name, text);
    list->items[list->count++] = text;
    return 0;
}

static int store_chmod(struct mode_changes *field, const char *text, struct error *err)
{
    if (mode_changes_parse(field, text))
        return 0;
    return error_usage(err, "--chmod=%s: not permissions such as 644 or u=rw,go=r", text);
}

/* A value that is more than a word of argv. */
static int store_value(void *field, const struct option_row *row, const char *text,
                       struct error *err)
{
    switch (row->kind) {
    case OPTION_WORD:
        return store_word(field, row, text, err);
    case OPTION_SIZE:
    case OPTION_RATE:
        return store_number(field, row, text, err);
    case OPTION_CHUNK:
        return store_chunk(field, row, text, err);
    case OPTION_LIST:
    case OPTION_SETTING:
        return store_item(field, row, text, err);
    case OPTION_TIME:
        return store_time(field, row, text, err);
    case OPTION_PORT:
        return store_port(field, row, text, err);
    case OPTION_NUMBER:
        return store_count(field, row, text, err);
    case OPTION_LANES:
        return store_lanes(field, row, text, err);
    case OPTION_INFO:
        return store_info(field, text, err);
    case OPTION_DIGEST:
        return check_digest(row, text, err);
    case OPTION_CHMOD:
        return store_chmod(field, text, err);
    default:
        assert(false && "a kind without a case");
        return -EINVAL;
    }
}

static void store_archive(struct options *options)
{
    struct tour_wish *tour = &options->wish.tour;
    for (int i = 0; i < ATTRIBUTES_COUNT; i++) {
        if (i != ATTRIBUTE_XATTRS && i != ATTRIBUTE_ACLS)
            options->wish.attributes[i] = ATTRIBUTE_ARCHIVE;
    }
    options->archive = true; /* folders, too: see finish() */
    tour->links = tour->devices = tour->specials = true;
}

/* There is room for every word of the command line. */
static int store_filter(struct options *options, const struct option_row *row, const char *text)
{
    options->filters[options->filters_count++] = (struct filter_word){row->value, text};
    return 0;
}

/* Put one option's value where its row says. `shown` is the option as it was typed. */
static int store(struct options *options, const struct option_row *row, const char *shown,
                 const char *text, struct error *err)
{
    void *field = (char *)options + row->offset;
    /* Most often a variable of a script that is not set: the option would count for nothing. */
    bool words = row->kind == OPTION_TEXT || row->kind == OPTION_LIST || row->kind == OPTION_FILTER;
    if (words && text[0] == '\0')
        return error_usage(err, "%s: nothing is given for it", shown);
    if (row->given)
        *(bool *)((char *)options + row->given) = true;
    switch (row->kind) {
    case OPTION_FLAG:
    case OPTION_CLEAR:
        *(bool *)field = row->kind == OPTION_FLAG;
        return 0;
    case OPTION_COUNT:
        ++*(uint32_t *)field;
        return 0;
    case OPTION_SET:
        *(uint32_t *)field = row->value;
        return 0;
    case OPTION_ARCHIVE:
        store_archive(options);
        return 0;
    case OPTION_NODES:
        options->wish.tour.devices = options->wish.tour.specials = row->value;
        return 0;
    case OPTION_TEXT:
        *(const char **)field = text;
        return 0;
    case OPTION_FILTER:
        return store_filter(options, row, text);
    case OPTION_ALREADY:
        return 0;
    default:
        return store_value(field, row, text, err);
    }
}

static const struct option_row *find_exact(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (table[i].name && strncmp(table[i].name, name, length) == 0 && !table[i].name[length])
            return &table[i];
    }
    return NULL;
}

/* No such option: the nearest, where there is one that could be meant. */
static void refuse_long(const char *name, size_t length, struct error *err)
{
    char word[64];
    const char *elsewhere = elsewhere_long(name, length);
    const struct option_row *nearest = NULL;
    uint32_t least = 3;
    snprintf(word, sizeof(word), "%.*s", (int)length, name);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        uint32_t distance = table[i].name ? text_distance(word, table[i].name) : least;
        if (distance < least && distance < length) {
            least = distance;
            nearest = &table[i];
        }
    }
    if (elsewhere)
        error_usage(err, "--%s: haul has no such option: %s", word, elsewhere);
    else if (nearest)
        error_usage(err, "--%s: no such option; is --%s meant?", word, nearest->name);
    else
        error_usage(err, "--%.*s: no such option", (int)length, name);
}

/* The row of a long name: exact, or the only one that begins so. NULL with words. */
static const struct option_row *find_long(const char *name, size_t length, struct error *err)
{
    const struct option_row *found = find_exact(name, length);
    if (found)
        return found;
    if (elsewhere_long(name, length)) {
        refuse_long(name, length, err);
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (!table[i].name || strncmp(table[i].name, name, length) != 0)
            continue;
        if (found) {
            error_usage(err, "--%.*s: could be --%s or --%s", (int)length, name, found->name,
                        table[i].name);
            return NULL;
        }
        found = &table[i];
    }
    if (!found)
        refuse_long(name, length, err);
    return found;
}

static const struct option_row *find_letter(char letter)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].letter == letter)
            return &table[i];
    return NULL;
}

static const struct option_row *find_short(char letter, struct error *err)
{
    const struct option_row *row = find_letter(letter);
    if (row)
        return row;
    const char *elsewhere = elsewhere_short(letter);
    if (elsewhere)
        error_usage(err, "-%c: haul has no such option: %s", letter, elsewhere);
    else
        error_usage(err, "-%c: no such option", letter);
    return NULL;
}

/* argv, and how far it is read. */
struct arguments {
    int count;
    int next;
    char **values;
};

/* The value of an option that takes one: what was attached, else the next argument. */
static int take_value(struct arguments *arguments, const char *attached, const char *shown,
                      const char **text, struct error *err)
{
    if (attached) {
        *text = attached;
        return 0;
    }
    if (arguments->next >= arguments->count)
        return error_usage(err, "%s: a value is missing", shown);
    *text = arguments->values[arguments->next++];
    return 0;
}

static int parse_long(struct options *options, struct arguments *arguments, const char *word,
                      struct error *err)
{
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_row *row = find_long(name, length, err);
    if (!row)
        return -EINVAL;
    char shown[48];
    snprintf(shown, sizeof(shown), "--%s", row->name);
    const char *text = NULL;
    if (!row->argument && equals)
        return error_usage(err, "%s: takes no value", shown);
    if (row->argument) {
        int rc = take_value(arguments, equals ? equals + 1 : NULL, shown, &text, err);
        if (rc < 0)
            return rc;
    }
    return store(options, row, shown, text, err);
}

/* "-o" of two worlds: "-oPort=22" and "-o Port=22" are ssh's, "-o" alone and "-ptgo" are rsync's.
 */
static bool means_setting(const struct arguments *arguments, const char *letter)
{
    if (*letter != 'o')
        return false;
    if (letter[1])
        return is_setting(letter + 1);
    return arguments->next < arguments->count && is_setting(arguments->values[arguments->next]);
}

/* "-i" of two worlds: "-i FILE" and "-iFILE" are ssh's key, "-avi" and "-iv" are rsync's changes.
 */
static bool means_changes(const char *word, const char *letter)
{
    if (*letter != 'i')
        return false;
    if (letter == word + 1 && (!letter[1] || access(letter + 1, F_OK) == 0))
        return false;
    for (letter++; *letter; letter++)
        if (!find_letter(*letter))
            return false;
    return true;
}

/* The row of a letter where it stands. */
static const struct option_row *row_of_letter(const struct arguments *arguments, const char *word,
                                              const char *letter, struct error *err)
{
    static const char setting[] = "ssh-option", changes[] = "itemize-changes";
    if (means_changes(word, letter))
        return find_long(changes, strlen(changes), err);
    if (means_setting(arguments, letter))
        return find_long(setting, strlen(setting), err);
    return find_short(*letter, err);
}

/* "-nvP", or "-Xvalue" and "-X value" of a letter that takes one. */
static int parse_cluster(struct options *options, struct arguments *arguments, const char *word,
                         struct error *err)
{
    for (const char *letter = word + 1; *letter; letter++) {
        const struct option_row *row = row_of_letter(arguments, word, letter, err);
        if (!row)
            return -EINVAL;
        const char shown[3] = {'-', *letter, '\0'};
        const char *text = NULL;
        if (row->argument) {
            int rc = take_value(arguments, letter[1] ? letter + 1 : NULL, shown, &text, err);
            if (rc < 0)
                return rc;
        }
        int rc = store(options, row, shown, text, err);
        if (rc < 0 || row->argument)
            return rc;
    }
    return 0;
}

/* Without a list rsync's would be the folder alone, or what is right in it, and cp's something
 * else.
 */
static int check_dirs(const struct options *options, struct error *err)
{
    if (!options->dirs || options->files_from || options->help || options->version > 0)
        return 0;
    return error_usage(err, "-d: name folders in a list, for --files-from; cp's -d is -l");
}

/* Words of haul plan, run and finish. */
static int check_units(const struct options *options, struct error *err)
{
    static const char *const names[] = {"plan", "run", "finish"};
    bool given = options->unit_given || options->unit_bytes > 0;
    for (size_t i = 0; i < COUNT_OF(names) && given && options->operands_count > 0; i++)
        given = strcmp(options->operands[0], names[i]) != 0;
    if (!given || options->help || options->version > 0)
        return 0;
    return error_usage(err,
                       "%s: belongs to haul plan, run and finish; bytes of one file are "
                       "--range=OFFSET,LENGTH",
                       options->unit_given ? "--unit" : "--unit-size");
}

static const char changes_words[] =
    "; or is --itemize-changes meant? -i alone takes a key's FILE, as with ssh";

static const char force_words[] =
    "; or is cp's -f meant? -f takes a filter rule, as rsync's; what is "
    "in the way is replaced anyway, and folders with --force";

/* What was meant where TARGET is missing, as a short option took another word than was thought. */
static const char *taken_words(const struct options *options)
{
    if (options->identities.count > 0)
        return changes_words;
    for (uint32_t i = 0; i < options->filters_count; i++) {
        if (options->filters[i].kind == FILTER_RULE)
            return force_words;
    }
    return "";
}

/* What the client decides would be passed over in silence. */
static int check_server(const struct options *options, struct error *err)
{
    const struct copy_wish *wish = &options->wish;
    const char *given = wish->bandwidth_bytes > 0         ? "--bwlimit"
                        : wish->nice                      ? "--nice (nice haul is possible there)"
                        : wish->own_cgroup                ? "--own-cgroup"
                        : wish->engine != ENGINE_AUTO     ? "--engine"
                        : wish->chunk_bytes > 0           ? "--chunk-size"
                        : wish->file.cache != POLICY_AUTO ? "--cache"
                        : wish->file.cache_max_set        ? "--cache-max"
                        : wish->file.strict               ? "--strict"
                                                          : NULL;
    if (!options->server || !given)
        return 0;
    return error_usage(err,
                       "--server does what its client wishes, so %s does nothing here: it is "
                       "an option of the client's command",
                       given);
}

static int check_operands(const struct options *options, struct error *err)
{
    if (options->help || options->version > 0)
        return 0;
    if (options->restrict_to && !options->server)
        return error_usage(err, "--restrict belongs to --server");
    if (options->wish.link.bootstrap && (options->wish.remote_path || options->server))
        return error_usage(err, "--bootstrap brings haul along: leave out %s",
                           options->server ? "--server" : "--remote-path");
    if (options->server && options->operands_count > 0)
        return error_usage(err, "--server takes no files: %s", options->operands[0]);
    if (options->server)
        return 0;
    if (options->wish.file.chown && (options->wish.file.chown[0] == '\0' ||
                                     strlen(options->wish.file.chown) >= WIRE_CHOWN_BYTES))
        return error_usage(err, "--chown=%.64s: not USER:GROUP", options->wish.file.chown);
    if (options->operands_count == 0)
        return error_usage(err, "SOURCE and TARGET are missing");
    if (options->operands_count == 1 && strcmp(options->operands[0], "doctor") != 0)
        return error_usage(err, "%s: TARGET is missing%s", options->operands[0],
                           taken_words(options));
    for (uint32_t i = 0; i < options->operands_count; i++)
        if (options->operands[i][0] == '\0')
            return error_usage(err, "an empty name is no file");
    return 0;
}

/* What is for libssh would be passed over in silence beside another transport: a key that is not
 * used, a port that is not taken. --port is known to both. */
static int check_transport(const struct options *options, struct error *err)
{
    const struct link_options *link = &options->wish.link;
    const char *given = link->identities_count > 0         ? "-i"
                        : link->config_file                ? "-F"
                        : link->proxy_jump                 ? "-J"
                        : link->ciphers                    ? "--ciphers"
                        : link->settings_count > 0         ? "-o"
                        : link->family == LINK_FAMILY_IPV4 ? "-4"
                        : link->family != LINK_FAMILY_ANY  ? "-6"
                                                           : NULL;
    if (!link->transport || !given || options->help || options->version > 0)
        return 0;
    return error_usage(err, "%s: say it in the command of -e or HAUL_RSH (which is: %s)", given,
                       link->transport);
}

/* Each lists all chunks, and one is written at a time. */
static int check_manifests(const struct options *options, struct error *err)
{
    if (!options->wish.base_path || !options->wish.manifest_path)
        return 0;
    return error_usage(err, "--base-manifest writes a manifest, too (haul verify --manifest reads "
                            "it): leave out --manifest");
}

/* What is by reference was neither read nor written. */
static int check_reflink(const struct options *options, struct error *err)
{
    const struct copy_wish *wish = &options->wish;
    const char *given = wish->verify          ? "--verify"
                        : wish->manifest_path ? "--manifest"
                        : wish->base_path     ? "--base-manifest"
                        : wish->digest_path   ? "--digest-file"
                        : wish->sparse        ? "--sparse"
                                              : NULL;
    if (wish->file.reflink != REFLINK_ALWAYS || !given)
        return 0;
    return error_usage(err,
                       "--reflink=always reads and writes no data, and %s wants that: leave "
                       "out one of them, or --reflink=auto copies",
                       given);
}

/* All bytes pass here, one after the other. */
static int check_digest_file(const struct options *options, struct error *err)
{
    const struct copy_wish *wish = &options->wish;
    bool skips = wish->file.read_errors == READ_ERRORS_SKIP;
    const char *given = wish->file.resume == RESUME_APPEND ? "--append, which reads nothing of it"
                        : skips           ? "--read-errors=skip, which leaves out what nobody knows"
                        : wish->lanes > 1 ? "-j, which has no order"
                                          : NULL;
    if (!wish->digest_path)
        return 0;
    if (given)
        return error_usage(err, "--digest-file does not go with %s", given);
    return whole_check(wish->digest, err);
}

static int check_built_in(const struct options *options, struct error *err)
{
    if (!options->wish.compress || pack_version() || options->help || options->version > 0)
        return 0;
    return error_set_class(err, ERROR_USAGE, ENOTSUP,
                           "-z needs zstd (libzstd.so.1), which is not here, or not built in: "
                           "install it, or leave it out");
}

/* When every word is read: the lists, and what the environment says. */
static void finish(struct options *options)
{
    struct link_options *link = &options->wish.link;
    /* As with rsync, a list of names says itself what of a folder is meant. */
    options->wish.tour.recursive |= options->archive && !options->files_from;
    options->wish.tour.delete |= options->wish.tour.delete_excluded;
    const char *transport = getenv("HAUL_RSH");
    if (!link->transport && transport && transport[0] != '\0')
        link->transport = transport;
    if (options->wish.chmod.count > 0 || options->wish.tour.recursive || options->files_from ||
        options->wish.tour.mkpath) {
        options->wish.umask_bits = umask(0);
        umask(options->wish.umask_bits);
    }
    if (options->identities.count > 0)
        link->identity_files = options->identities.items;
    link->identities_count = options->identities.count;
    if (options->settings.count > 0)
        link->settings = options->settings.items;
    link->settings_count = options->settings.count;
}

/* Each list has room for every word of the command line. All are in one piece of memory, so that of
 * thousands of words no page is touched but those of the lists that they are in. */
static int open_lists(struct options *options, int argc, struct error *err)
{
    const char ***const lists[] = {&options->operands, &options->words, &options->identities.items,
                                   &options->settings.items, &options->ranges.items};
    size_t room = argc > 0 ? (size_t)argc : 1;
    options->filters = calloc(room, sizeof(*options->filters) + COUNT_OF(lists) * sizeof(**lists));
    if (!options->filters)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the command line");
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        *lists[i] = (const char **)(void *)(options->filters + room) + i * room;
    return 0;
}

/* Other people's habits: scp's -P and ssh's -p are ports there, and -c of both names ciphers. Here
 * they take no value, so it would be a file's name. */
static int refuse_habit(const struct arguments *arguments, const char *word, struct error *err)
{
    const char *next = arguments->next < arguments->count ? arguments->values[arguments->next] : "";
    char letter = word[strlen(word) - 1];
    bool attached = (word[1] == 'P' || word[1] == 'p') && word[2] != '\0';
    const char *value = attached ? word + 2 : next;
    uint64_t port;
    if (word[1] == '-' || (!attached && access(value, F_OK) == 0))
        return 0;
    if (attached)
        letter = word[1];
    if ((letter == 'P' || letter == 'p') && num_parse_u64(value, &port) && port <= UINT16_MAX)
        return error_usage(err, "-%c %s: -%c is %s here, as with rsync; a port is --port=%s",
                           letter, value, letter,
                           letter == 'P' ? "--partial --progress" : "--perms", value);
    if (letter == 'c' && (strncmp(value, "aes", 3) == 0 || strncmp(value, "3des", 4) == 0 ||
                          strncmp(value, "chacha20", 8) == 0))
        return error_usage(err,
                           "-c %s: -c is --checksum here, as with rsync; ciphers are "
                           "--ciphers=%s",
                           value, value);
    return 0;
}

/* An option, with its value if that is the next word. */
static int parse_option(struct options *options, struct arguments *arguments, const char *word,
                        struct error *err)
{
    int first = arguments->next - 1;
    int rc = word[1] == '-' ? parse_long(options, arguments, word, err)
                            : refuse_habit(arguments, word, err);
    if (rc == 0 && word[1] != '-')
        rc = parse_cluster(options, arguments, word, err);
    for (int i = first; i < arguments->next; i++)
        options->words[options->words_count++] = arguments->values[i];
    return rc;
}

static int parse_words(struct options *options, struct arguments *arguments, struct error *err)
{
    bool ended = false;
    while (arguments->next < arguments->count) {
        const char *word = arguments->values[arguments->next++];
        int rc = 0;
        if (ended || word[0] != '-' || word[1] == '\0')
            options->operands[options->operands_count++] = word;
        else if (strcmp(word, "--") == 0)
            ended = true;
        else
            rc = parse_option(options, arguments, word, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int options_parse(struct options *options, int argc, char **argv, struct error *err)
{
    memset(options, 0, sizeof(*options));
    struct arguments arguments = {.count = argc, .next = 1, .values = argv};
    int rc = open_lists(options, argc, err);
    if (rc < 0)
        return rc;
    if (argc == 2 && strcmp(argv[1], "-h") == 0) {
        options->help = true;
        return 0;
    }
    rc = parse_words(options, &arguments, err);
    if (rc < 0)
        return rc;
    finish(options);
    rc = check_operands(options, err);
    if (rc == 0)
        rc = check_server(options, err);
    if (rc == 0)
        rc = check_dirs(options, err);
    if (rc == 0)
        rc = check_units(options, err);
    if (rc == 0)
        rc = check_transport(options, err);
    if (rc == 0)
        rc = check_reflink(options, err);
    if (rc == 0)
        rc = check_manifests(options, err);
    if (rc == 0)
        rc = check_digest_file(options, err);
    return rc < 0 ? rc : check_built_in(options, err);
}

struct options options_rest(const struct options *options)
{
    struct options rest = *options;
    rest.operands++;
    rest.operands_count--;
    return rest;
}

void options_close(struct options *options)
{
    if (!options)
        return;
    free(options->filters); /* and all other lists */
    memset(options, 0, sizeof(*options));
}

void options_help(FILE *out)
{
    fputs(
        "usage: haul [OPTIONS] SOURCE... TARGET\n"
        "       haul verify [OPTIONS] SOURCE TARGET\n"
        "       haul verify --manifest=FILE TARGET\n"
        "       haul journal [-v] FILE\n"
        "       haul doctor [PATH|HOST:]...\n"
        "       haul prove [OPTIONS] SOURCE... TARGET\n"
        "       haul plan [OPTIONS] SOURCE TARGET >PLAN\n"
        "       haul run [OPTIONS] PLAN --unit=N\n"
        "       haul finish [OPTIONS] PLAN\n\n"
        "Copies very large files without building up page cache, here and to and from other\n"
        "machines: [user@]host:PATH, ssh://[user@]host[:port]/PATH; from and to a pipe: -.\n\n"
        "  haul -P disk.img /mnt/backup/          here, with progress\n"
        "  haul -P disk.img me@store:backup/      by ssh; --bootstrap: haul need not be there\n\n"
        "Interrupted? The same command goes on. Exit code 0: the target is on the medium, or was\n"
        "up to date. The receipt (--stats: all of it) says what is left in the page cache.\n",
        out);
    for (size_t i = 0, section = 0; i < COUNT_OF(table); i++) {
        const struct option_row *row = &table[i];
        char left[48];
        const char letter[5] = {'-', row->letter, row->name ? ',' : '\0', ' ', '\0'};
        if (section < COUNT_OF(sections) && row->name &&
            strcmp(row->name, sections[section].first) == 0)
            fprintf(out, "\n%s:\n", sections[section++].title);
        snprintf(left, sizeof(left), "%s%s%s%s%s", row->letter ? letter : "    ",
                 row->name ? "--" : "", row->name ? row->name : "", row->argument ? "=" : "",
                 row->argument ? row->argument : "");
        fprintf(out, "  %-26s  %s\n", left, row->help);
    }
    fputs("\nExit codes:\n", out);
    uint32_t codes_count;
    const struct exit_row *codes = exit_table(&codes_count);
    for (uint32_t i = 0; i < codes_count; i++)
        fprintf(out, "  %3d  %s\n", codes[i].code, codes[i].text);
    fputs("\nSizes: K and KiB are 1024, KB is 1000. The whole story: man haul\n", out);
}
