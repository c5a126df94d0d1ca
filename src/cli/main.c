/* main.c - reads the command line and runs the command that it names. */
#include "haul/base/text.h"
#include "haul/cli/doctor.h"
#include "haul/cli/exit.h"
#include "haul/cli/inspect.h"
#include "haul/cli/options.h"
#include "haul/cli/output.h"
#include "haul/cli/planning.h"
#include "haul/cli/receipt.h"
#include "haul/cli/server.h"
#include "haul/cli/transfer.h"
#include "haul/cli/version.h"
#include "haul/disk/budget.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE_BYTES = 32 * 1024 };

/* Commands by their first operand; the one without a name is the rest. */
struct command {
    const char *name;
    int (*run)(const struct options *options);
    bool prints; /* what it is for goes to standard output, and nowhere else */
};

static const struct command commands[] = {
    {"doctor", doctor_command, true},   {"finish", planning_finish, false},
    {"journal", inspect_journal, true}, {"plan", planning_plan, true},
    {"prove", transfer_prove, false},   {"run", planning_run, false},
    {"verify", transfer_verify, false}, {NULL, transfer_command, false},
};

/* "haul verfy a b" would say that verfy is not there, which is true and no help. */
static void hint_command(const char *word)
{
    for (const struct command *command = commands; command->name; command++) {
        size_t most = strlen(command->name) / 3; /* letters that may be other ones */
        if (text_distance(word, command->name) <= most && access(word, F_OK) != 0)
            log_note("%s: is no file here; is the command \"haul %s\" meant?", word, command->name);
    }
}

static int run_named(const struct options *options)
{
    const struct command *command = commands;
    while (command->name && strcmp(command->name, options->operands[0]) != 0)
        command++;
    if (!command->name)
        hint_command(options->operands[0]);
    if (command->prints && output_stands_in(STDOUT_FILENO)) {
        log_error("standard output is closed, and it is all that haul %s is for", command->name);
        return exit_code(ERROR_FILE);
    }
    return command->run(options);
}

static int run(const struct options *options)
{
    if (options->help)
        options_help(stdout);
    else if (options->version >= 2)
        version_json(stdout);
    else if (options->version == 1)
        version_words(stdout);
    else if (options->server)
        return server_command(options);
    else
        return run_named(options);
    return EXIT_CODE_DONE;
}

/* A command line that is none. Whoever wants JSON gets it all the same. */
static int refuse(int argc, char **argv, const struct error *err)
{
    int code = exit_code(err->class);
    bool json = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        json = json || strcmp(argv[i], "--json") == 0;
    log_error("%s (haul --help lists the options)", err->text);
    if (json)
        receipt_json_refused(stdout, code, err->text);
    return code;
}

/* What is large has pages of its own: of zeros, until they are used, and given back when it is
 * freed. glibc's own limit is 128 KiB, becomes what was freed last, up to 32 MiB, and holds only
 * where no room is left on the heap, which has as much of that. And all threads share one heap:
 * what they ask for is little, and each has some of it at hand. */
static void settle_memory(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TOP_PAD, LARGE_BYTES / 2);
    (void)mallopt(M_ARENA_MAX, 1);
#endif
}

int main(int argc, char **argv)
{
    struct options options;
    ERROR_UNSET(err);
    int code;
    settle_memory();
    budget_raise_files();
    if (output_guard() < 0)
        return exit_code(ERROR_FILE);
    log_init(LOG_NOTE, output_log);
    if (options_parse(&options, argc, argv, &err) < 0)
        code = refuse(argc, argv, &err);
    else
        code = run(&options);
    if (output_flush(&err) < 0) {
        log_error("%s", err.text);
        code = code != 0 ? code : exit_code(err.class);
    }
    options_close(&options);
    return code;
}
