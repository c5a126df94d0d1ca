/* bootstrap.c - brings haul to where it is missing: a conversation with a shell script, then the
 * link is an agent's like any other.
 *
 *   there                           here
 *   haul-agent have                                    this very version is there, and begins
 *   haul-agent machine x86_64       3558               as uname -m says; the blocks that will come
 *   haul-agent send                 the program, and one byte
 *   haul-agent sent                                    its folder is gone again
 *   the program                     run                if it is the same
 *
 * or at any time "haul-agent cannot ..." with the reason. */
#include "haul/net/bootstrap.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/net/agent.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    BLOCK_BYTES = 512, /* of ulimit -f (POSIX) */
    LINE_BYTES = 1024,
    PIECE_BYTES = 64 * 1024,
    SCRIPT_BYTES = 4096,
    STEP_SECONDS = 30, /* for each answer and each piece */
};

static const char mark[] = "haul-agent ";

/* Its words reach a login shell of any kind within '...': no quotes of that kind, no backslashes.
 *
 * cat cannot count, and its input does not end here: so the file may not grow beyond the blocks
 * that were announced, and the byte too much ends cat, whose complaint ("File too large") is the
 * sign that all has come. Nobody reads ahead: we say nothing more until we are answered. */
static const char script_format[] =
    "sh -c '"
    "LC_ALL=C; export LC_ALL; umask 077; set -Cf; d=; "
    "say() { echo haul-agent $*; }; "
    "no() { say cannot $*; exit 1; }; "
    "drop() { if [ -n \"$d\" ]; then rm -rf \"$d\"; d=; fi; }; "
    "trap drop 0; trap \"exit 1\" 1 2 13 15; "
    "set -- `haul -V 2>/dev/null`; "
    "if [ \"$1 $2\" = \"haul %s\" ]; then say have; exec haul --server; fi; "
    "m=`uname -m 2>&1` || no say what machine it is: $m; "
    "e=; "
    "for t in \"${TMPDIR:-/tmp}\" /var/tmp \"${HOME:-/}\"; do "
    "f=$t/haul-agent.%016llx; "
    "if w=`mkdir -m 700 \"$f\" 2>&1`; then "
    "d=$f; "
    "if w=`{ cat </dev/null >\"$d/haul\" && chmod 700 \"$d/haul\"; } 2>&1`; then "
    "if [ -x \"$d/haul\" ]; then break; fi; "
    "w=\"no program may run in $t\"; "
    "fi; drop; "
    "fi; "
    "e=\"$e${e:+, }$w\"; "
    "done; "
    "[ -n \"$d\" ] || no find a folder for it: $e; "
    "say machine $m; read -r n || exit 1; say send; "
    "e=`{ trap \"\" XFSZ; ulimit -c 0; ulimit -f $n; cat >>\"$d/haul\"; } 2>&1`; "
    "case $e in *large*) ;; *) no take it: $e ;; esac; "
    "exec 3<\"$d/haul\"; drop; "
    "[ -x /proc/self/fd/3 ] || no run it without /proc; "
    "say sent; cat <&3; read -r r; [ \"$r\" = run ] || exit 1; "
    "exec /proc/self/fd/3 --server 3<&3'";

struct bootstrap {
    struct link *link;
    struct agent agent;
    char line[LINE_BYTES]; /* the last, without its end */
    uint8_t piece[PIECE_BYTES];
};

static uint64_t step_ns(void)
{
    return STEP_SECONDS * NS_PER_SECOND;
}

/* What the other side said is no answer of the script's. */
static int refuse_foreign(const struct bootstrap *bootstrap, struct error *err)
{
    char words[LINE_BYTES];
    const char *peer = bootstrap->link->peer;

    if (strcmp(bootstrap->line, "haul<\r") == 0) /* the magic of a server, see codec.c */
        return error_set_class(err, ERROR_START, EPERM,
                               "%s: --bootstrap needs a shell there, and this login may only start "
                               "the haul that is there: leave it out",
                               peer);
    text_escape(words, sizeof(words), bootstrap->line);
    return error_set_class(err, ERROR_START, EPROTO,
                           "%s: --bootstrap needs a shell there, and something else answers (a "
                           "restricted key, a login script?): %s",
                           peer, words);
}

/* The link has ended: why, as far as is known. */
static int refuse_ended(struct bootstrap *bootstrap, struct error *err)
{
    struct error why = {.class = ERROR_NONE};

    if (link_shutdown(bootstrap->link, step_ns(), &why) < 0)
        return error_take(err, &why);
    return error_set_class(err, ERROR_START, EPROTO,
                           "%s: --bootstrap needs a shell there, and nothing answers",
                           bootstrap->link->peer);
}

/* One line, byte by byte: what follows it may be the agent's. */
static int read_line(struct bootstrap *bootstrap, struct error *err)
{
    size_t length = 0;

    for (;;) {
        char c;
        int result = link_recv_all(bootstrap->link, &c, 1, step_ns(), err);
        bootstrap->line[length] = '\0';
        if (result == LINK_EOF)
            return length > 0 ? refuse_foreign(bootstrap, err) : refuse_ended(bootstrap, err);
        if (result < 0)
            return result;
        if (c == '\n')
            return 0;
        if (length + 1 == LINE_BYTES)
            return refuse_foreign(bootstrap, err);
        bootstrap->line[length++] = c;
    }
}

/* The next answer; *said points behind the mark. */
static int listen(struct bootstrap *bootstrap, const char **said, struct error *err)
{
    static const char cannot[] = "cannot ";
    char words[LINE_BYTES];
    int result = read_line(bootstrap, err);

    if (result < 0)
        return result;
    if (strncmp(bootstrap->line, mark, strlen(mark)) != 0)
        return refuse_foreign(bootstrap, err);
    *said = bootstrap->line + strlen(mark);
    if (strncmp(*said, cannot, strlen(cannot)) != 0)
        return 0;
    text_escape(words, sizeof(words), *said);
    return error_set_class(err, ERROR_START, ECHILD, "%s: --bootstrap: the shell there %s",
                           bootstrap->link->peer, words);
}

/* The next answer is this one. */
static int expect(struct bootstrap *bootstrap, const char *answer, struct error *err)
{
    const char *said = NULL;
    int result = listen(bootstrap, &said, err);

    if (result == 0 && strcmp(said, answer) != 0)
        result = refuse_foreign(bootstrap, err);
    return result;
}

static int say(struct bootstrap *bootstrap, const char *words, struct error *err)
{
    return link_send_all(bootstrap->link, words, strlen(words), step_ns(), err);
}

/* Send the program, and the byte too much. A shell that could not take it has told why. */
static int send_agent(struct bootstrap *bootstrap, struct error *err)
{
    const struct agent *agent = &bootstrap->agent;
    struct error unsent = {.class = ERROR_NONE}, unheard = {.class = ERROR_NONE};
    int result = 0;

    for (size_t at = 0; result == 0 && at < agent->length; at += PIECE_BYTES)
        result = link_send_all(bootstrap->link, agent->bytes + at,
                               min_size(PIECE_BYTES, agent->length - at), step_ns(), &unsent);
    if (result == 0)
        result = say(bootstrap, "\n", &unsent);
    int heard = expect(bootstrap, "sent", &unheard);
    if (heard < 0 && (result == 0 || bootstrap->line[0] != '\0'))
        return error_take(err, &unheard);
    return result < 0 ? error_take(err, &unsent) : 0;
}

/* What is there now comes back. Nothing runs that is not the very same. */
static int compare_agent(struct bootstrap *bootstrap, struct error *err)
{
    const struct agent *agent = &bootstrap->agent;

    for (size_t at = 0; at < agent->length; at += PIECE_BYTES) {
        size_t length = min_size(PIECE_BYTES, agent->length - at);
        int result = link_recv_all(bootstrap->link, bootstrap->piece, length, step_ns(), err);
        if (result == LINK_EOF)
            return refuse_ended(bootstrap, err);
        if (result < 0)
            return result;
        if (memcmp(bootstrap->piece, agent->bytes + at, length) != 0)
            return error_set_class(err, ERROR_START, EBADMSG,
                                   "%s: --bootstrap: what is there is not what was sent: it was "
                                   "not started",
                                   bootstrap->link->peer);
    }
    return 0;
}

/* The machine is known: its agent is read here, sent, compared and started. */
static int bring(struct bootstrap *bootstrap, const char *machine, struct error *err)
{
    char blocks[32], size[TEXT_NUMBER_BYTES];
    struct link *link = bootstrap->link;
    int result = agent_open(&bootstrap->agent, machine, BLOCK_BYTES, err);

    if (result < 0) {
        error_prefix(err, "%s: --bootstrap", link->peer);
        return result;
    }
    snprintf(blocks, sizeof(blocks), "%zu\n", bootstrap->agent.length / BLOCK_BYTES);
    result = say(bootstrap, blocks, err);
    if (result == 0)
        result = expect(bootstrap, "send", err);
    if (result == 0)
        result = send_agent(bootstrap, err);
    if (result == 0)
        result = compare_agent(bootstrap, err);
    if (result == 0)
        result = say(bootstrap, "run\n", err);
    if (result == 0)
        log_verbose("%s: %s was brought there and compared, %s", link->peer, bootstrap->agent.name,
                    text_size(size, bootstrap->agent.length));
    snprintf(link->program, sizeof(link->program), "%s", bootstrap->agent.name);
    return result;
}

static int converse(struct bootstrap *bootstrap, struct error *err)
{
    static const char machine[] = "machine ";
    char name[AGENT_MACHINE_BYTES];
    const char *said = NULL;
    int result = listen(bootstrap, &said, err);

    if (result < 0)
        return result;
    if (strcmp(said, "have") == 0)
        return 0;
    if (strncmp(said, machine, strlen(machine)) != 0)
        return refuse_foreign(bootstrap, err);
    text_escape(name, sizeof(name), said + strlen(machine));
    return bring(bootstrap, name, err);
}

int bootstrap_open(struct link **out, const struct link_options *options, struct error *err)
{
    char script[SCRIPT_BYTES];
    unsigned long long name;
    struct link_options shell = *options;
    struct bootstrap *bootstrap = calloc(1, sizeof(*bootstrap));

    *out = NULL;
    if (!bootstrap || getrandom(&name, sizeof(name), 0) != sizeof(name)) {
        free(bootstrap);
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a link");
    }
    int length = snprintf(script, sizeof(script), script_format, HAUL_VERSION, name);
    assert(length > 0 && length < (int)sizeof(script));
    shell.remote_command = script;
    int result = link_open_direct(&bootstrap->link, &shell, err);
    if (result == 0) {
        bootstrap->link->brought = true;
        result = converse(bootstrap, err);
    }
    if (result == 0)
        *out = bootstrap->link;
    else
        link_close(bootstrap->link);
    agent_close(&bootstrap->agent);
    free(bootstrap);
    return result;
}
