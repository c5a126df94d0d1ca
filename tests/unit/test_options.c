/* test_options.c - the command line, its table, and the table of exit codes beside the man page. */
#include "haul/base/cleanup.h"
#include "haul/cli/elsewhere.h"
#include "haul/cli/exit.h"
#include "haul/cli/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 16 };

/* Parse a NULL-terminated list after "haul". */
static int parse(struct options *options, struct error *err, const char *const *words)
{
    char *argv[ARGUMENTS_MAX + 1] = {(char *)"haul"};
    int argc = 1;
    while (*words) {
        assert_true(argc < ARGUMENTS_MAX);
        argv[argc++] = (char *)*words++;
    }
    memset(err, 0, sizeof(*err));
    return options_parse(options, argc, argv, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct options accept(const char *const *words)
{
    struct options options;
    struct error err;
    int rc = parse(&options, &err, words);
    if (rc != 0)
        print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return options;
}

/* Refused as a usage error, whose line contains `part`. */
static void refuse(const char *const *words, const char *part)
{
    struct options options;
    struct error err;
    assert_int_equal(parse(&options, &err, words), -EINVAL);
    assert_int_equal(err.class, ERROR_USAGE);
    if (!strstr(err.text, part))
        print_error("'%s' is not in '%s'\n", part, err.text);
    assert_non_null(strstr(err.text, part));
    assert_null(strchr(err.text, '\n'));
    options_close(&options);
}

static void options_nothing_but_operands_gives_defaults(void **state)
{
    (void)state;
    struct options options = accept(WORDS("a", "b", "c"));
    const struct copy_wish none = {0};
    assert_int_equal(options.operands_count, 3);
    assert_string_equal(options.operands[0], "a");
    assert_string_equal(options.operands[2], "c");
    assert_memory_equal(&options.wish, &none, sizeof(none));
    assert_int_equal(options_log_level(&options), LOG_NOTE);
    options_close(&options);
}

static void options_every_form_of_a_value_is_taken(void **state)
{
    (void)state;
    struct options options = accept(
        WORDS("--memory=1.5M", "a", "--bwlimit", "10", "--engine=threads", "b", "--cache-max=0"));
    assert_int_equal(options.wish.memory_bytes, 1536 * 1024);
    assert_int_equal(options.wish.bandwidth_bytes, 10 * 1024);
    assert_int_equal(options.wish.engine, ENGINE_THREADS);
    assert_true(options.wish.file.cache_max_set);
    assert_int_equal(options.wish.file.cache_max_bytes, 0);
    assert_int_equal(options.operands_count, 2);
    options_close(&options);
}

static void options_cluster_sets_each_letter(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-nvvPITSc", "-ptogh", "a", "b"));
    assert_true(options.wish.dry_run);
    assert_int_equal(options.verbose, 2);
    assert_int_equal(options_log_level(&options), LOG_DEBUG);
    assert_true(options.progress);
    assert_true(options.wish.ignore_times);
    assert_true(options.target_is_file);
    assert_true(options.wish.sparse);
    assert_true(options.wish.checksum);
    assert_false(options.help);
    options_close(&options);
}

static void options_flags_of_rsync_are_already_true(void **state)
{
    (void)state;
    struct options options = accept(WORDS("--inplace", "--partial", "--human-readable", "a", "b"));
    const struct copy_wish none = {0};
    assert_memory_equal(&options.wish, &none, sizeof(none));
    options_close(&options);
}

static void options_the_last_of_inplace_and_its_contrary_holds(void **state)
{
    (void)state;
    struct options options = accept(WORDS("--inplace", "--no-inplace", "a", "b"));
    assert_true(options.wish.file.no_inplace);
    options_close(&options);
    options = accept(WORDS("--no-inplace", "--inplace", "a", "b"));
    assert_false(options.wish.file.no_inplace);
    options_close(&options);
}

static void options_archive_means_trees(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-a", "a", "b"));
    const struct tour_wish *tour = &options.wish.tour;
    assert_true(tour->recursive && tour->links && tour->devices && tour->specials);
    assert_false(tour->hard_links || tour->one_filesystem || tour->delete || tour->force);
    options_close(&options);
    options = accept(
        WORDS("-rlHDx", "--delete", "--force", "--mkpath", "--remove-source-files", "a", "b"));
    assert_true(tour->recursive && tour->links && tour->devices && tour->specials);
    assert_true(tour->hard_links && tour->one_filesystem && tour->delete &&tour->force);
    assert_true(tour->mkpath && tour->remove_source);
    options_close(&options);
}

/* One row for each way to say it: the four wishes that it leaves, in the order owner, group, mode,
 * times. */
static void options_attributes_the_last_word_counts(void **state)
{
    static const struct {
        const char *words[4];
        uint32_t owner, group, mode, times;
    } cases[] = {
        {{"-v"}, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT},
        {{"-ptgo"}, ATTRIBUTE_ASKED, ATTRIBUTE_ASKED, ATTRIBUTE_ASKED, ATTRIBUTE_ASKED},
        {{"-avP"}, ATTRIBUTE_ARCHIVE, ATTRIBUTE_ARCHIVE, ATTRIBUTE_ARCHIVE, ATTRIBUTE_ARCHIVE},
        {{"--no-p"}, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT, ATTRIBUTE_LEAVE, ATTRIBUTE_DEFAULT},
        {{"--no-perms"}, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT, ATTRIBUTE_LEAVE, ATTRIBUTE_DEFAULT},
        {{"--no-o", "--no-g"},
         ATTRIBUTE_LEAVE,
         ATTRIBUTE_LEAVE,
         ATTRIBUTE_DEFAULT,
         ATTRIBUTE_DEFAULT},
        {{"--no-t"}, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT, ATTRIBUTE_DEFAULT, ATTRIBUTE_LEAVE},
        {{"-a", "--no-perms", "--no-times"},
         ATTRIBUTE_ARCHIVE,
         ATTRIBUTE_ARCHIVE,
         ATTRIBUTE_LEAVE,
         ATTRIBUTE_LEAVE},
        {{"--no-owner", "--no-group", "-a"},
         ATTRIBUTE_ARCHIVE,
         ATTRIBUTE_ARCHIVE,
         ATTRIBUTE_ARCHIVE,
         ATTRIBUTE_ARCHIVE},
        {{"--no-perms", "--perms"},
         ATTRIBUTE_DEFAULT,
         ATTRIBUTE_DEFAULT,
         ATTRIBUTE_ASKED,
         ATTRIBUTE_DEFAULT},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const *words = cases[i].words;
        struct options options = accept(
            WORDS(words[0], words[1] ? words[1] : "-v", words[2] ? words[2] : "-v", "a", "b"));
        assert_int_equal(options.wish.attributes[ATTRIBUTE_OWNER], cases[i].owner);
        assert_int_equal(options.wish.attributes[ATTRIBUTE_GROUP], cases[i].group);
        assert_int_equal(options.wish.attributes[ATTRIBUTE_MODE], cases[i].mode);
        assert_int_equal(options.wish.attributes[ATTRIBUTE_TIMES], cases[i].times);
        assert_false(options.wish.no_preallocate);
        options_close(&options);
    }
    struct options options =
        accept(WORDS("--chmod=F644,u+x", "--chmod", "g-w", "--chown=a:b", "a", "b"));
    assert_int_equal(options.wish.chmod.count, 3);
    assert_string_equal(options.wish.file.chown, "a:b");
    options_close(&options);
    refuse(WORDS("--chmod=rw", "a", "b"), "--chmod=rw: not permissions such as");
    refuse(WORDS("--chown=", "a", "b"), "--chown: nothing is given for it");
}

static void options_aliases_mean_the_same(void **state)
{
    (void)state;
    struct options options = accept(WORDS("--direct-io", "a", "b"));
    assert_int_equal(options.wish.file.cache, POLICY_DIRECT);
    options_close(&options);
    options = accept(WORDS("--drop-cache", "a", "b"));
    assert_int_equal(options.wish.file.cache, POLICY_WINDOW);
    options_close(&options);
    options = accept(WORDS("--cache=plain", "--info=progress2", "a", "b"));
    assert_int_equal(options.wish.file.cache, POLICY_PLAIN);
    assert_true(options.progress);
    options_close(&options);
}

static void options_last_one_of_a_kind_wins(void **state)
{
    (void)state;
    struct options options =
        accept(WORDS("--append", "--restart", "--append-verify", "--no-preallocate", "a", "b"));
    assert_int_equal(options.wish.file.resume, RESUME_APPEND_VERIFY);
    assert_true(options.wish.no_preallocate);
    options_close(&options);
    options = accept(WORDS("--no-preallocate", "--preallocate", "--append", "--restart", "a", "b"));
    assert_false(options.wish.no_preallocate);
    assert_int_equal(options.wish.file.resume, RESUME_RESTART);
    options_close(&options);
}

static void options_chunk_size_is_rounded_up_not_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t bytes;
    } cases[] = {{"--chunk-size=1", 65536},      {"--chunk-size=64K", 65536},
                 {"--chunk-size=65537", 131072}, {"--chunk-size=1MB", 1048576},
                 {"--chunk-size=3M", 4194304},   {"--chunk-size=16M", 16777216}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct options options = accept(WORDS(cases[i].text, "a", "b"));
        assert_int_equal(options.wish.chunk_bytes, cases[i].bytes);
        options_close(&options);
    }
    refuse(WORDS("--chunk-size=17M", "a", "b"), "16M is the most");
    refuse(WORDS("--chunk-size=0", "a", "b"), "not a size");
}

static void options_abbreviation_is_taken_where_it_is_unambiguous(void **state)
{
    (void)state;
    struct options options = accept(WORDS("--dry", "--bw=2", "--append", "a", "b"));
    assert_true(options.wish.dry_run);
    assert_int_equal(options.wish.bandwidth_bytes, 2048);
    assert_int_equal(options.wish.file.resume,
                     RESUME_APPEND); /* exact, though a prefix of another */
    options_close(&options);
    refuse(WORDS("--pr", "a", "b"), "could be --preallocate or --progress");
    refuse(WORDS("--ver", "a", "b"), "could be");
}

static void options_double_dash_ends_options(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-n", "--", "-v", "--json"));
    assert_int_equal(options.operands_count, 2);
    assert_string_equal(options.operands[0], "-v");
    assert_string_equal(options.operands[1], "--json");
    assert_false(options.json);
    options_close(&options);
}

static void options_single_dash_is_an_operand(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-", "b"));
    assert_string_equal(options.operands[0], "-");
    options_close(&options);
}

static void options_h_alone_is_help_and_else_not(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-h"));
    assert_true(options.help);
    options_close(&options);
    options = accept(WORDS("--help"));
    assert_true(options.help);
    options_close(&options);
    options = accept(WORDS("-VV"));
    assert_int_equal(options.version, 2);
    options_close(&options);
}

static void options_wrong_line_is_refused_in_one_clear_line(void **state)
{
    (void)state;
    refuse(WORDS("-q"), "SOURCE and TARGET are missing");
    refuse(WORDS("a"), "a: TARGET is missing");
    refuse(WORDS("a", ""), "an empty name");
    refuse(WORDS("--journal=", "a", "b"), "--journal: nothing is given for it");
    refuse(WORDS("-i", "", "a", "h:"), "-i: nothing is given for it");
    refuse(WORDS("--frobnicate", "a", "b"), "--frobnicate: no such option");
    refuse(WORDS("--chekcsum", "a", "b"), "is --checksum meant?");
    refuse(WORDS("--xy", "a", "b"), "--xy: no such option");
    refuse(WORDS("-nZ", "a", "b"), "-Z: no such option");
    refuse(WORDS("-P", "22", "a", "h:"), "a port is --port=22");
    refuse(WORDS("-vP", "2222", "a", "h:"), "a port is --port=2222");
    refuse(WORDS("-p", "22", "a", "h:"), "a port is --port=22");
    refuse(WORDS("-P22", "a", "h:"), "a port is --port=22");
    refuse(WORDS("-p22", "a", "h:"), "a port is --port=22");
    refuse(WORDS("-c", "aes128-ctr", "a", "h:"), "ciphers are --ciphers=aes128-ctr");
    refuse(WORDS("-c", "chacha20-poly1305@openssh.com", "a", "h:"), "ciphers are --ciphers=");
    refuse(WORDS("--dry-run=1", "a", "b"), "--dry-run: takes no value");
    refuse(WORDS("a", "b", "--memory"), "--memory: a value is missing");
    refuse(WORDS("--memory=", "a", "b"), "--memory=: not a size");
    refuse(WORDS("--memory=-1", "a", "b"), "not a size");
    refuse(WORDS("--bwlimit=fast", "a", "b"), "--bwlimit=fast: not a rate");
    refuse(WORDS("--cache=none", "a", "b"), "auto, direct, window, plain");
    refuse(WORDS("--engine=sim", "a", "b"), "auto, uring, threads, sync");
    refuse(WORDS("--info=name", "a", "b"), "only progress2 exists");
}

static void options_digest_of_rsync_is_named(void **state)
{
    (void)state;
    static const char *const known[] = {"--checksum-choice=xxh128", "--checksum-choice=xxh3-128",
                                        "--cc=auto"};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct options options = accept(WORDS(known[i], "a", "b"));
        options_close(&options);
    }
    refuse(WORDS("--checksum-choice=md5", "a", "b"), "rsync has it, haul does not; xxh128");
    refuse(WORDS("--cc=crc32", "a", "b"), "no such digest");
}

static void options_of_ssh_reach_the_link(void **state)
{
    (void)state;
    struct options options =
        accept(WORDS("-i", "k1", "-ik2", "-F", "conf", "-Jhop", "-6", "-j", "3", "--ciphers=x,y",
                     "--port=2222", "--timeout=1.5", "--contimeout=7", "a", "h:b"));
    const struct link_options *link = &options.wish.link;
    assert_int_equal(link->identities_count, 2);
    assert_string_equal(link->identity_files[0], "k1");
    assert_string_equal(link->identity_files[1], "k2");
    assert_string_equal(link->config_file, "conf");
    assert_string_equal(link->proxy_jump, "hop");
    assert_string_equal(link->ciphers, "x,y");
    assert_int_equal(link->family, LINK_FAMILY_IPV6);
    assert_int_equal(link->port, 2222);
    assert_int_equal(options.wish.lanes, 3);
    assert_true(options.wish.timeout_ns == 1500000000);
    assert_true(link->connect_timeout_ns == 7000000000);
    assert_null(link->transport);
    options_close(&options);
    refuse(WORDS("--port=0", "a", "b"), "not a port");
    refuse(WORDS("--port=65536", "a", "b"), "not a port");
    refuse(WORDS("-j9", "a", "b"), "--lanes=9: not a number from 0 (automatic) to 8");
    refuse(WORDS("-j", "many", "a", "b"), "not a number");
    refuse(WORDS("--timeout=soon", "a", "b"), "--timeout=soon: not a number of seconds");
}

static void options_o_is_an_owner_or_a_setting_of_ssh(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-o", "Port=22", "-oUser=me", "-po", "X11=no", "-ptgo",
                                          "a", "-o", "b", "-og", "--ssh-option=A=b=c"));
    assert_int_equal(options.wish.link.settings_count, 4);
    assert_string_equal(options.wish.link.settings[0], "Port=22");
    assert_string_equal(options.wish.link.settings[1], "User=me");
    assert_string_equal(options.wish.link.settings[2], "X11=no");
    assert_string_equal(options.wish.link.settings[3], "A=b=c");
    assert_int_equal(options.operands_count, 2);
    assert_string_equal(options.operands[0], "a");
    options_close(&options);
    options = accept(WORDS("-o", "./a=b", "c")); /* a file, as no keyword has a slash */
    assert_int_equal(options.wish.link.settings_count, 0);
    assert_int_equal(options.operands_count, 2);
    options_close(&options);
    options = accept(WORDS("-o", "--", "a=b", "c"));
    assert_int_equal(options.operands_count, 2);
    options_close(&options);
    refuse(WORDS("--ssh-option=Port", "a", "b"), "not KEY=VALUE");
}

static void options_transport_comes_from_the_option_or_the_environment(void **state)
{
    (void)state;
    setenv("HAUL_RSH", "ssh -v", 1);
    struct options options = accept(WORDS("a", "h:b"));
    assert_string_equal(options.wish.link.transport, "ssh -v");
    options_close(&options);
    options = accept(WORDS("-e", "docker exec -i", "--rsync-path=/opt/haul", "a", "h:b"));
    assert_string_equal(options.wish.link.transport, "docker exec -i");
    assert_string_equal(options.wish.remote_path, "/opt/haul");
    options_close(&options);
    setenv("HAUL_RSH", "", 1);
    options = accept(WORDS("a", "h:b"));
    assert_null(options.wish.link.transport);
    options_close(&options);
    unsetenv("HAUL_RSH");
}

static void options_of_others_are_refused_with_the_way_on(void **state)
{
    uint32_t count;
    const struct option_row *table = options_table(&count);
    (void)state;
    for (uint32_t i = 0; i < count; i++) { /* what is here is not elsewhere */
        assert_true(!table[i].letter || !elsewhere_short(table[i].letter));
        assert_true(!table[i].name || !elsewhere_long(table[i].name, strlen(table[i].name)));
    }
    refuse(WORDS("-aL", "a", "b"), "-L: haul has no such option: symbolic links");
    refuse(WORDS("--copy-links", "a", "b"), "never followed");
    refuse(WORDS("-R", "a", "b"), "--files-from");
    refuse(WORDS("--delete-after", "a", "b"), "--delete removes");
    refuse(WORDS("--backup-dir=x", "a", "b"), "old versions");
    refuse(WORDS("--link-dest=../x", "a", "b"), "target alone");
    refuse(WORDS("--copy-link", "a", "b"), "no such option"); /* no more than a guess */
}

static void options_i_is_a_key_or_the_changes(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-avin", "a", "b"));
    assert_true(options.itemize && options.wish.dry_run && options.identities.count == 0);
    options_close(&options);
    options = accept(WORDS("-iv", "a", "b"));
    assert_true(options.itemize && options.verbose == 1);
    options_close(&options);
    options = accept(WORDS("-i", "key", "a", "h:b"));
    assert_true(!options.itemize && options.identities.count == 1);
    options_close(&options);
    options = accept(WORDS("-vi/key", "a", "h:b"));
    assert_true(!options.itemize && options.identities.count == 1);
    options_close(&options);
    refuse(WORDS("-a", "-i", "a", "b"), "--itemize-changes");
}

static void options_of_libssh_beside_a_transport_are_refused(void **state)
{
    (void)state;
    refuse(WORDS("-e", "ssh", "-i", "key", "a", "h:b"), "-i: say it in the command of -e");
    refuse(WORDS("-e", "ssh", "-F", "none", "a", "h:b"), "-F: ");
    refuse(WORDS("-e", "ssh", "-J", "hop", "a", "h:b"), "-J: ");
    refuse(WORDS("-e", "ssh", "-oPort=1", "a", "h:b"), "-o: ");
    refuse(WORDS("-e", "ssh", "--ciphers=x", "a", "h:b"), "--ciphers: ");
    refuse(WORDS("-4", "-e", "ssh", "a", "h:b"), "-4: ");
    refuse(WORDS("-6", "-e", "ssh", "a", "h:b"), "-6: ");
    struct options options = accept(WORDS("-e", "ssh", "--port=1", "-j2", "a", "h:b"));
    assert_int_equal(options.wish.link.port, 1);
    options_close(&options);
}

static void options_server_takes_no_files(void **state)
{
    (void)state;
    struct options options = accept(WORDS("--server", "--memory=8M"));
    assert_true(options.server);
    assert_int_equal(options.wish.memory_bytes, 8 * 1024 * 1024);
    options_close(&options);
    refuse(WORDS("--server", "a"), "--server takes no files: a");
    options = accept(WORDS("--server", "--restrict=/srv,ro"));
    assert_string_equal(options.restrict_to, "/srv,ro");
    options_close(&options);
    refuse(WORDS("--restrict=/srv", "a", "b"), "--restrict belongs to --server");
    options = accept(WORDS("--server", "--memory=8M", "--timeout=5", "-v"));
    options_close(&options);
    refuse(WORDS("--server", "--bwlimit=1M"), "--bwlimit does nothing here");
    refuse(WORDS("--server", "--nice"), "nice haul is possible there");
    refuse(WORDS("--cache=window", "--server"), "--cache does nothing here");
}

static void options_quiet_leaves_only_errors(void **state)
{
    (void)state;
    struct options options = accept(WORDS("-qv", "a", "b"));
    assert_int_equal(options_log_level(&options), LOG_ERROR);
    options_close(&options);
    options = accept(WORDS("-v", "a", "b"));
    assert_int_equal(options_log_level(&options), LOG_VERBOSE);
    options_close(&options);
}

static void options_table_has_no_name_twice(void **state)
{
    (void)state;
    uint32_t count;
    const struct option_row *rows = options_table(&count);
    assert_true(count > 30);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(rows[i].name || rows[i].letter);
        assert_non_null(rows[i].help);
        for (uint32_t j = 0; j < i; j++) {
            if (rows[i].name && rows[j].name)
                assert_string_not_equal(rows[i].name, rows[j].name);
            if (rows[i].letter)
                assert_int_not_equal(rows[i].letter, rows[j].letter);
        }
    }
}

/* The whole of a file or stream, in memory that the caller frees. */
static char *read_all(FILE *in)
{
    char *text = NULL;
    size_t capacity = 0;
    assert_non_null(in);
    assert_true(getdelim(&text, &capacity, '\0', in) > 0);
    fclose(in);
    return text;
}

static void options_help_lists_what_exists_and_nothing_else(void **state)
{
    (void)state;
    FILE *out = tmpfile();
    options_help(out);
    rewind(out);
    AUTO_FREE char *help = read_all(out);
    uint32_t count;
    const struct option_row *rows = options_table(&count);
    for (uint32_t i = 0; i < count; i++) {
        char shown[64];
        if (!rows[i].name)
            continue;
        snprintf(shown, sizeof(shown), "--%s%s", rows[i].name, rows[i].argument ? "=" : " ");
        assert_non_null(strstr(help, shown));
    }
}

/* The help's headings are those of the manual page, in its order, and its codes are there. */
static void options_help_has_the_sections_of_the_man_page(void **state)
{
    (void)state;
    AUTO_FREE char *page = read_all(fopen("man/haul.1", "r"));
    FILE *out = tmpfile();
    options_help(out);
    rewind(out);
    char line[256], heading[256];
    uint32_t headings_count = 0;
    const char *before = page;
    while (fgets(line, sizeof(line), out) && strcmp(line, "Exit codes:\n") != 0) {
        size_t length = strlen(line);
        if (line[0] == ' ' || length < 2 || line[length - 2] != ':')
            continue;
        snprintf(heading, sizeof(heading), "\n.Ss %.*s\n", (int)length - 2, line);
        before = strstr(before, heading);
        if (!before)
            print_error("man/haul.1 lacks, or has before another: %s", line);
        assert_non_null(before);
        headings_count++;
    }
    assert_int_equal(headings_count, 9);
    uint32_t codes_count;
    const struct exit_row *codes = exit_table(&codes_count);
    for (uint32_t i = 0; i < codes_count; i++) {
        assert_non_null(fgets(line, sizeof(line), out));
        assert_int_equal(strtol(line, NULL, 10), codes[i].code);
        assert_non_null(strstr(line, codes[i].text));
    }
    fclose(out);
}

/* In mdoc an option is ".It Fl v , Fl -verbose" or ".It Fl -memory Ns ...". tests/lib/check runs
 * every test in the project's root. */
static void options_table_is_the_one_of_the_man_page(void **state)
{
    (void)state;
    AUTO_FREE char *page = read_all(fopen("man/haul.1", "r"));
    uint32_t count;
    const struct option_row *rows = options_table(&count);
    for (uint32_t i = 0; i < count; i++) {
        char item[64];
        if (rows[i].letter && rows[i].name)
            snprintf(item, sizeof(item), ".It Fl %c , Fl -%s", rows[i].letter, rows[i].name);
        else if (rows[i].letter)
            snprintf(item, sizeof(item), ".It Fl %c", rows[i].letter);
        else
            snprintf(item, sizeof(item), ".It Fl -%s%s", rows[i].name,
                     rows[i].argument ? " Ns =" : "\n");
        if (!strstr(page, item))
            print_error("man/haul.1 lacks '%s'\n", item);
        assert_non_null(strstr(page, item));
    }
}

static void exit_table_covers_every_class_and_is_in_the_man_page(void **state)
{
    (void)state;
    AUTO_FREE char *page = read_all(fopen("man/haul.1", "r"));
    uint32_t count;
    const struct exit_row *rows = exit_table(&count);
    assert_int_equal(count, ERROR_CLASSES_COUNT);
    for (int class = ERROR_NONE; class < ERROR_CLASSES_COUNT; class ++)
        assert_true(exit_code((enum error_class) class) > 0);
    for (uint32_t i = 0; i < count; i++) {
        char item[160];
        snprintf(item, sizeof(item), ".It %d\n%s", rows[i].code, rows[i].text);
        if (!strstr(page, item))
            print_error("man/haul.1 lacks '%s'\n", item);
        assert_non_null(strstr(page, item));
    }
}

static void exit_codes_are_those_of_rsync_and_ours(void **state)
{
    (void)state;
    static const struct {
        enum error_class class;
        int code;
    } fixed[] = {{ERROR_USAGE, 1},    {ERROR_VERSION, 2},     {ERROR_START, 5},
                 {ERROR_SOCKET, 10},  {ERROR_FILE, 11},       {ERROR_PROTOCOL, 12},
                 {ERROR_MEMORY, 22},  {ERROR_VANISHED, 24},   {ERROR_TIMEOUT, 30},
                 {ERROR_CONNECT, 35}, {ERROR_MISMATCH, 40},   {ERROR_CHANGED, 41},
                 {ERROR_CACHE, 42},   {ERROR_NOT_FOUND, 127}, {ERROR_INTERRUPTED, 20}};
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        assert_int_equal(exit_code(fixed[i].class), fixed[i].code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_nothing_but_operands_gives_defaults),
        cmocka_unit_test(options_every_form_of_a_value_is_taken),
        cmocka_unit_test(options_cluster_sets_each_letter),
        cmocka_unit_test(options_flags_of_rsync_are_already_true),
        cmocka_unit_test(options_the_last_of_inplace_and_its_contrary_holds),
        cmocka_unit_test(options_archive_means_trees),
        cmocka_unit_test(options_attributes_the_last_word_counts),
        cmocka_unit_test(options_aliases_mean_the_same),
        cmocka_unit_test(options_last_one_of_a_kind_wins),
        cmocka_unit_test(options_chunk_size_is_rounded_up_not_refused),
        cmocka_unit_test(options_of_others_are_refused_with_the_way_on),
        cmocka_unit_test(options_i_is_a_key_or_the_changes),
        cmocka_unit_test(options_abbreviation_is_taken_where_it_is_unambiguous),
        cmocka_unit_test(options_double_dash_ends_options),
        cmocka_unit_test(options_single_dash_is_an_operand),
        cmocka_unit_test(options_h_alone_is_help_and_else_not),
        cmocka_unit_test(options_wrong_line_is_refused_in_one_clear_line),
        cmocka_unit_test(options_digest_of_rsync_is_named),
        cmocka_unit_test(options_of_ssh_reach_the_link),
        cmocka_unit_test(options_o_is_an_owner_or_a_setting_of_ssh),
        cmocka_unit_test(options_transport_comes_from_the_option_or_the_environment),
        cmocka_unit_test(options_of_libssh_beside_a_transport_are_refused),
        cmocka_unit_test(options_server_takes_no_files),
        cmocka_unit_test(options_quiet_leaves_only_errors),
        cmocka_unit_test(options_table_has_no_name_twice),
        cmocka_unit_test(options_help_lists_what_exists_and_nothing_else),
        cmocka_unit_test(options_help_has_the_sections_of_the_man_page),
        cmocka_unit_test(options_table_is_the_one_of_the_man_page),
        cmocka_unit_test(exit_table_covers_every_class_and_is_in_the_man_page),
        cmocka_unit_test(exit_codes_are_those_of_rsync_and_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
