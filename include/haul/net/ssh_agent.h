/* ssh_agent.h - the keys of an ssh-agent in ssh's order.
 *
 * libssh tries all keys of an agent in the agent's order. ssh tries those first that the
 * configuration names, and with IdentitiesOnly no others; a server ends the login after a few. So
 * libssh talks to a stand-in, which shows it the keys in that order and passes on what is to be
 * signed. The agent protocol is draft-ietf-sshm-ssh-agent; only its list is looked into. Knows no
 * libssh. */
#ifndef HAUL_SSH_AGENT_H
#define HAUL_SSH_AGENT_H

#include <stdbool.h>
#include <stdint.h>

struct ssh_agent;

struct ssh_agent_wish {
    const char *path;         /* of the agent's socket */
    const char *const *named; /* public keys in base64, as in a .pub file: these first; NULL ones
                                 are no agent's */
    bool *present;            /* out: which of them the agent has */
    uint32_t count;
    bool named_only;
};

/* Connect to the agent and read its list. *fd is for ssh_set_agent_socket(), the caller's to close.
 * -errno: no agent. Blocks as long as the agent does. */
int ssh_agent_open(struct ssh_agent **out, const struct ssh_agent_wish *wish, int *fd);

/* NULL is legal. The descriptor that was given out reads as closed afterwards. */
void ssh_agent_close(struct ssh_agent *agent);

#endif
