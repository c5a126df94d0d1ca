/* known_hosts.h - lines of known_hosts files, taken apart as sshd(8) describes them.
 *
 * Text only: hashed names and keys are others' to judge. Knows no libssh. */
#ifndef HAUL_KNOWN_HOSTS_H
#define HAUL_KNOWN_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

enum known_marker { KNOWN_PLAIN, KNOWN_REVOKED, KNOWN_AUTHORITY };

struct known_line {
    enum known_marker marker;
    const char *names; /* patterns with commas between them, or one hashed name, "|1|..." */
    const char *type;  /* of the key */
    const char *key;   /* in base64 */
};

/* Take a line apart, in place. False: blank, a comment, or none that ssh would read. */
bool known_hosts_split(char *line, struct known_line *out);

/* The same for a line that begins with the key, as in a .pub file: `type` and `key` are set. */
bool known_hosts_split_key(char *line, struct known_line *out);

/* Whether the patterns are about the name, which is in lower case: '*' and '?', in any case, and
 * one that matches behind a '!' excludes, wherever it stands. Not for hashed names. */
bool known_hosts_match(const char *names, const char *name);

#endif
