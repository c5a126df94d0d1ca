/* server.c - the far side's process: a link on standard input and output, signals, an exit code. */
#include "haul/cli/server.h"

#include "haul/cli/exit.h"
#include "haul/cli/output.h"
#include "haul/cli/watch.h"
#include "haul/disk/place.h"
#include "haul/net/link.h"
#include "haul/wire/serve.h"

#include <errno.h>
#include <unistd.h>

struct server {
    struct serve_config config;
    struct watch watch;
    int result;
    struct error err;
};

static void serve_all(void *argument)
{
    struct server *server = argument;
    server->result = serve_run(&server->config, &server->err);
}

static int run(struct server *server, struct error *err)
{
    server->config.stop = &server->watch.control.stop;
    int result = watch_run(&server->watch, serve_all, server, err);
    if (result < 0)
        return result;
    return server->result < 0 ? error_take(err, &server->err) : 0;
}

/* A person who types this, or `ssh -t`, which would garble the protocol. */
static int refuse_terminal(struct error *err)
{
    if (!isatty(STDIN_FILENO))
        return 0;
    return error_usage(err, "--server talks to another haul on standard input and output, and that "
                            "is a terminal here");
}

/* With the link open: from here on nothing else can be written to the client's stream. */
static int serve(const struct options *options, struct link *link, struct error *err)
{
    struct server server = {.watch = {.style = WATCH_SERVER}};
    struct place place;
    server.config = (struct serve_config){
        .link = link,
        .memory_bytes = options->wish.memory_bytes,
        .silence_ns = options->wish.timeout_ns,
        .notes = true,
    };
    if (!options->restrict_to)
        return run(&server, err);
    int rc = place_open(&place, options->restrict_to, err);
    if (rc < 0)
        return rc;
    server.config.place = &place;
    rc = run(&server, err);
    place_close(&place);
    return rc;
}

int server_command(const struct options *options)
{
    struct link *link = NULL;
    struct error err = {0};
    int rc = refuse_terminal(&err);
    if (rc == 0)
        rc = link_open_stdio(&link, &err);
    if (rc == 0)
        rc = serve(options, link, &err);
    link_close(link);
    if (rc == 0)
        return EXIT_CODE_DONE;
    /* The client was told, if it still listens; this is for whoever reads standard error. */
    log_init(LOG_ERROR, output_log);
    log_error("server: %s", err.text);
    return exit_code(err.class);
}
