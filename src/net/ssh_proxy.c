/* ssh_proxy.c - starts `ssh -W` for a jump, or a ProxyCommand. */
#include "haul/net/ssh_proxy.h"

#include "haul/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 8192 };

/* The last hop of the list is next to the target, and is reached through those before it. The
 * arguments are those that ssh starts itself with: what is said on the command line is about the
 * target, and not about the hops (ssh(1), -J). */
static int open_jump(struct child *child, const struct ssh_config *config, const char *file,
                     struct error *err)
{
    const char *jumps = ssh_config_get(config, "proxyjump");
    const char *comma = strrchr(jumps, ',');
    const char *last = comma ? comma + 1 : jumps;
    AUTO_FREE char *before = comma ? strndup(jumps, (size_t)(comma - jumps)) : NULL;
    char target[ADDRESS_HOST_BYTES + 16], hop[LINE_BYTES];
    const char *argv[10] = {"ssh", "-W", target};
    int count = 3;

    snprintf(target, sizeof(target), "[%s]:%s", ssh_config_get(config, "hostname"),
             ssh_config_get(config, "port"));
    snprintf(hop, sizeof(hop), "%s%s", strncmp(last, "ssh://", 6) == 0 ? "" : "ssh://", last);
    if (file) {
        argv[count++] = "-F";
        argv[count++] = file;
    }
    if (before) {
        argv[count++] = "-J";
        argv[count++] = before;
    }
    argv[count++] = "--";
    argv[count++] = hop;
    return child_open(child, argv, CHILD_SOCKET, err);
}

/* As ssh does it: the user's shell, `exec` in front so that our signals reach the program. */
static int open_command(struct child *child, const struct ssh_config *config, struct error *err)
{
    const char *shell = getenv("SHELL");
    const char *text = ssh_config_get(config, "proxycommand");
    char line[LINE_BYTES] = "exec ";
    size_t used = strncmp(text, "exec ", 5) == 0 ? 0 : 5;

    if (ssh_config_tokens(config, text, false, line + used, sizeof(line) - used) < 0)
        return error_set_class(err, ERROR_USAGE, EINVAL,
                               "ProxyCommand is too long, or has a token that is not known: %s",
                               text);

    const char *argv[] = {shell && shell[0] ? shell : "/bin/sh", "-c", line, NULL};
    return child_open(child, argv, CHILD_SOCKET, err);
}

int ssh_proxy_open(struct child *child, const struct ssh_config *config, const char *file,
                   struct error *err)
{
    return ssh_config_get(config, "proxyjump") ? open_jump(child, config, file, err)
                                               : open_command(child, config, err);
}
