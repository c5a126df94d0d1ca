/* settings.h - the `-o Key=Value` options of ssh, before anybody else sees them.
 *
 * libssh takes them as lines of a configuration file; what it ignores but we can do ourselves
 * is looked up here. Knows no libssh. */
#ifndef HAUL_SETTINGS_H
#define HAUL_SETTINGS_H

#include "haul/child.h"
#include "haul/error.h"
#include "haul/link.h"

/* The value of `key` (any case) in options->settings, the first one; NULL: not there. */
const char *settings_find(const struct link_options *options, const char *key);

/* Whether it is there and is `value` (any case). */
bool settings_are(const struct link_options *options, const char *key, const char *value);

/* All settings but ProxyJump as a configuration file in memory: a descriptor to be closed by the
 * caller. -EINVAL (ERROR_USAGE): not Key=Value, a line break inside, or longer than libssh's line
 * (1023).
 */
int settings_file(int *fd, const struct link_options *options, struct error *err);

/* A file in memory, or in /tmp and without a name where memfd_create(2) (Linux 3.17) is missing: a
 * descriptor to be closed by the caller, or -1 and errno. */
int settings_nameless(void);

/* What a proxy process is started for. */
struct settings_proxy {
    const char *command; /* ProxyCommand with %h %p %r %n %%; not looked at where -J or the setting
                            ProxyJump names a hop */
    const char *host;    /* after the configuration has been applied */
    const char *user;
    uint16_t port;
};

/* Start `ssh -W` for -J, or the ProxyCommand by the user's shell; child->output_fd is the socket.
 */
int settings_proxy_open(struct child *child, const struct link_options *options,
                        const struct settings_proxy *proxy, struct error *err);

#endif
