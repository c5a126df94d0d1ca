/* address.h - one side of a copy, as it is named on the command line.
 *
 *   path                       local; so are /a:b and ./a:b (a colon behind a slash), and :a
 *   -                          standard input or output
 *   [user@]host:path           remote; [user@][::1]:path for an IPv6 address
 *   ssh://[user@]host[:port]/path   remote, percent-decoded, absolute; /~/path is below the home
 *
 * Knows text only: nothing is looked up, opened or resolved here. */
#ifndef HAUL_ADDRESS_H
#define HAUL_ADDRESS_H

#include "haul/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum address_kind { ADDRESS_LOCAL, ADDRESS_PIPE, ADDRESS_REMOTE };

enum {
    ADDRESS_HOST_BYTES = 256, /* 253 characters of a name (RFC 1035), or an IPv6 address and zone */
    ADDRESS_USER_BYTES = 128,
    ADDRESS_PATH_BYTES = 4096, /* PATH_MAX */
    ADDRESS_TEXT_BYTES = ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + ADDRESS_PATH_BYTES + 16
};

struct address {
    enum address_kind kind;
    uint16_t port;                 /* REMOTE: 0 when not named */
    char user[ADDRESS_USER_BYTES]; /* REMOTE: empty when not named */
    char host[ADDRESS_HOST_BYTES]; /* REMOTE: without brackets */
    char path[ADDRESS_PATH_BYTES]; /* LOCAL: as given. REMOTE: absolute, or relative to the login's
                                      home ("." for `host:`). PIPE: "-" */
};

/* Parse what stands on the command line. Errors, all -EINVAL of class ERROR_USAGE: rsync modules
 * (host::module, rsync://), other schemes, a password or a bad port in a URL, a host or user that
 * begins with '-' (ssh would take it for an option) or has characters that a shell would interpret
 * (they reach ProxyCommand), anything too long. *address is then unspecified. */
int address_parse(struct address *address, const char *text, struct error *err);

/* For messages: "user@host:path", or the path. Returns out; truncates. */
const char *address_text(char *out, size_t capacity, const struct address *address);

/* The same without the path: "user@host", "host". */
const char *address_peer(char *out, size_t capacity, const struct address *address);

/* By host and port, whoever logs in: an inode there is one inode. */
bool address_same_machine(const struct address *a, const struct address *b);

#endif
