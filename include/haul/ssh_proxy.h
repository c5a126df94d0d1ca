/* ssh_proxy.h - the process that carries an ssh connection: ProxyJump or ProxyCommand. Knows no
 * libssh. */
#ifndef HAUL_SSH_PROXY_H
#define HAUL_SSH_PROXY_H

#include "haul/child.h"
#include "haul/error.h"

struct ssh_proxy {
    const char *jumps;       /* of ProxyJump; NULL: none, then `command` counts */
    const char *command;     /* of ProxyCommand, with %h %p %r %n %% */
    const char *config_file; /* -F, for the ssh of a jump; NULL: the default */
    const char *original;    /* the host's name as given */
    const char *host, *user; /* after the configuration has been applied */
    unsigned int port;
};

/* Start `ssh -W` for ProxyJump as ssh itself does, or ProxyCommand by the user's shell;
 * child->output_fd is the socket. -EINVAL (ERROR_USAGE), or the errors of child_open(). */
int ssh_proxy_open(struct child *child, const struct ssh_proxy *proxy, struct error *err);

#endif
