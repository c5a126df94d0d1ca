/* ssh_config.h - what ssh's configuration means for a host, as `ssh -G` tells it.
 *
 * ssh is asked, and nothing of ssh_config(5) is interpreted here: Host, Match, Include, tokens,
 * defaults and the order of them are ssh's affair. Each key of the answer that differs from ssh's
 * defaults must be in a table here, as honoured, as without meaning for a copy, or as refused;
 * what is in none is told to the person. Knows no libssh. */
#ifndef HAUL_SSH_CONFIG_H
#define HAUL_SSH_CONFIG_H

#include "haul/base/error.h"
#include "haul/net/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lines "key value", keys in lower case, as `ssh -G` prints them. */
struct ssh_config {
    const char *host;  /* as it was given; the caller's */
    char *text;        /* for this host; lines are separated by NUL, two of them end it */
    char *standard;    /* the same without any configuration, or this one, where that is all the
                          same; NULL: ssh was not asked */
    char warning[512]; /* what ssh said, its first line; "" */
};

/* Ask the ssh in PATH. 0; -ENOENT: there is none, or it is not OpenSSH's, and err is not set; other
 * failures with ssh's own words: ERROR_USAGE (the configuration is wrong), ERROR_INTERRUPTED.
 * Blocks as long as commands of Match exec run. ssh_config_close() in any case. */
int ssh_config_ask(struct ssh_config *config, const struct link_options *options,
                   struct error *err);

/* Add a line by hand, where there is no ssh to ask: the first value of a key wins. -ENOMEM. */
int ssh_config_put(struct ssh_config *config, const char *key, const char *value);

/* The command line by hand. -EINVAL (ERROR_USAGE): an -o is not Key=Value, or has a line break;
 * -ENOMEM. */
int ssh_config_put_options(struct ssh_config *config, const struct link_options *options,
                           struct error *err);

void ssh_config_close(struct ssh_config *config); /* also one that is all zero */

/* The value of the key's first line; of the line behind `value`, which is of the same key; NULL:
 * there is none. "none" is no value. */
const char *ssh_config_get(const struct ssh_config *config, const char *key);
const char *ssh_config_next(const char *key, const char *value);

/* The same where it is not what ssh does without any configuration; else NULL. Of "ciphers" only:
 * nobody asks that of others. */
const char *ssh_config_chosen(const struct ssh_config *config, const char *key);

/* Whether the key is there and says "none". */
bool ssh_config_none(const struct ssh_config *config, const char *key);

/* "yes", "no" and their like ("true", "off"); `otherwise` for any other word and for none. */
bool ssh_config_flag(const struct ssh_config *config, const char *key, bool otherwise);

/* A number, or `otherwise`. */
uint64_t ssh_config_number(const struct ssh_config *config, const char *key, uint64_t otherwise);

/* The next of several files in one line; *rest begins as the value. ssh prints names without
 * quotes: of names with blanks those count that exist. False: no more. */
bool ssh_config_file(const char **rest, char *out, size_t capacity);

/* A file's name with ~, ${NAME} and the tokens of ssh_config(5) (but %C) replaced. -EINVAL: another
 * token; -ENAMETOOLONG. */
int ssh_config_expand(const struct ssh_config *config, const char *text, char *out,
                      size_t capacity);

/* The tokens alone, and ${NAME} where `variables` says so. */
int ssh_config_tokens(const struct ssh_config *config, const char *text, bool variables, char *out,
                      size_t capacity);

/* Keys that were asked for and that haul does not honour, with commas between them. False: none. */
bool ssh_config_unknown(const struct ssh_config *config, char *out, size_t capacity);

/* The first key that was asked for and without which haul must not go on; NULL: none. */
const char *ssh_config_refused(const struct ssh_config *config);

#endif
