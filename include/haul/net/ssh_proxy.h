/* ssh_proxy.h - the process that carries an ssh connection: ProxyJump or ProxyCommand. Knows no
 * libssh. */
#ifndef HAUL_SSH_PROXY_H
#define HAUL_SSH_PROXY_H

#include "haul/net/child.h"
#include "haul/net/ssh_config.h"

/* Start `ssh -W` for ProxyJump as ssh itself does, or ProxyCommand by the user's shell;
 * child->output_fd is the socket. `file` is that of -F, for the ssh of a jump; NULL: the default.
 * -EINVAL (ERROR_USAGE), or the errors of child_open(). */
int ssh_proxy_open(struct child *child, const struct ssh_config *config, const char *file,
                   struct error *err);

#endif
