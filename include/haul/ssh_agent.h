/* ssh_agent.h - the keys of an ssh-agent, one at a time.
 *
 * libssh tries all keys of an agent in the agent's order. ssh tries those first that the
 * configuration names, and with IdentitiesOnly no others; a server ends the login after a few. So
 * libssh talks to a stand-in, which shows it one key of the agent's and passes on what is to be
 * signed. The agent protocol is draft-ietf-sshm-ssh-agent; only its list is looked into. Knows no
 * libssh. */
#ifndef HAUL_SSH_AGENT_H
#define HAUL_SSH_AGENT_H

#include <stddef.h>
#include <stdint.h>

enum { SSH_AGENT_KEY_BYTES = 16 * 1024 /* of a key in base64 */ };

struct ssh_agent;

/* Connect to the agent behind the socket `path` and read its list. *fd is for
 * ssh_set_agent_socket(), the caller's to close. -errno: no agent. */
int ssh_agent_open(struct ssh_agent **out, const char *path, int *fd);

uint32_t ssh_agent_count(const struct ssh_agent *agent);

/* The public key with that index in base64, as in a .pub file; "" when it is too long. */
const char *ssh_agent_key(const struct ssh_agent *agent, uint32_t index,
                          char out[SSH_AGENT_KEY_BYTES]);

/* Whoever asks for the list from now on sees this key only. */
void ssh_agent_show(struct ssh_agent *agent, uint32_t index);

/* NULL is legal. The descriptor that was given out reads as closed afterwards. */
void ssh_agent_close(struct ssh_agent *agent);

#endif
