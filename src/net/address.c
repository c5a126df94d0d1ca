/* address.c - takes the names of sources and targets apart. Text only: looks nothing up. */
#include "haul/net/address.h"

#include "haul/base/num.h"
#include "haul/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int refuse(struct error *err, const char *text, const char *why)
{
    char shown[256];

    return error_set_class(err, ERROR_USAGE, EINVAL, "%s: %s",
                           text_escape(shown, sizeof(shown), text), why);
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Length of "scheme" in front of "://" (RFC 3986, 3.1), or 0. */
static size_t scheme_length(const char *text)
{
    size_t length = 0;

    if (!is_alpha(text[0]))
        return 0;
    while (is_alpha(text[length]) || is_digit(text[length]) ||
           (text[length] != '\0' && strchr("+-.", text[length])))
        length++;
    return strncmp(text + length, "://", 3) == 0 ? length : 0;
}

/* Hosts and users are handed to ssh, to ProxyCommand's shell and to config patterns. */
static const char *name_fault(const char *name, bool host)
{
    if (name[0] == '\0')
        return host ? "the host's name is empty" : "the user's name is empty";
    if (name[0] == '-')
        return host ? "a host may not begin with '-'" : "a user may not begin with '-'";
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("'\"`$\\;&<>|(){}!*?#,", *c)) {
            if (!host && *c == '\\' && c[1] != '\0')
                continue; /* DOMAIN\user */
            return host ? "the host's name has a character that is not allowed"
                        : "the user's name has a character that is not allowed";
        }
        if (host && strchr("/@[]=", *c))
            return "the host's name has a character that is not allowed";
    }
    return NULL;
}

/* Copy `length` bytes; false when they do not fit. */
static bool take(char *out, size_t capacity, const char *text, size_t length)
{
    if (length >= capacity)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

/* "user@host", or "user@[v6]", of `length` bytes. The last '@' separates, as in ssh. */
static const char *take_peer(struct address *address, const char *text, size_t length)
{
    const char *at = memrchr(text, '@', length);
    const char *host = at ? at + 1 : text;
    size_t host_length = length - (size_t)(host - text);
    const char *fault = NULL;

    address->user[0] = '\0';
    if (at) {
        if (!take(address->user, sizeof(address->user), text, (size_t)(at - text)))
            return "the user's name is too long";
        fault = name_fault(address->user, false);
    }
    if (host_length >= 2 && host[0] == '[' && host[host_length - 1] == ']') {
        host++;
        host_length -= 2;
    }
    if (!take(address->host, sizeof(address->host), host, host_length))
        return "the host's name is too long";
    return fault ? fault : name_fault(address->host, true);
}

/* Remote paths never pass a shell, so the home is spelled here: ~ and ~/x. Other people's homes are
 * the shell's to know. */
static const char *take_path(struct address *address, const char *path)
{
    if (strcmp(path, "~") == 0)
        path = "";
    else if (strncmp(path, "~/", 2) == 0)
        path += 2;
    else if (path[0] == '~')
        return "~user is not known, as no shell looks at the path: write the home in full, or ./~ "
               "for a name that begins so";
    if (path[0] == '\0')
        path = ".";
    return take(address->path, sizeof(address->path), path, strlen(path)) ? NULL
                                                                          : "the path is too long";
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Percent-decode into out. NULL, or what is wrong. */
static const char *decode(char *out, size_t capacity, const char *text)
{
    size_t length = 0;

    for (; *text; text++) {
        char c = *text;
        if (c == '%') {
            int high = hex_value(text[1]);
            int low = high < 0 ? -1 : hex_value(text[2]);
            if (low < 0 || high + low == 0)
                return "bad % escape in the URL";
            c = (char)(high * 16 + low);
            text += 2;
        }
        if (length + 1 >= capacity)
            return "the path is too long";
        out[length++] = c;
    }
    out[length] = '\0';
    return NULL;
}

/* The port behind the host of a URL; cuts it off *length. */
static const char *take_port(struct address *address, const char *peer, size_t *length)
{
    const char *bracket = memrchr(peer, ']', *length);
    const char *from = bracket ? bracket : peer;
    const char *at = memrchr(peer, '@', *length);

    if (at && memchr(peer, ':', (size_t)(at - peer)))
        return "a password does not belong in a URL";
    if (at && at > from)
        from = at;
    const char *colon = memchr(from, ':', *length - (size_t)(from - peer));
    if (!colon)
        return NULL;

    char digits[8];
    uint64_t port = 0;
    size_t digits_length = *length - (size_t)(colon + 1 - peer);

    if (!take(digits, sizeof(digits), colon + 1, digits_length) || !num_parse_u64(digits, &port) ||
        port == 0 || port > UINT16_MAX)
        return "the port is not a number from 1 to 65535 (IPv6 addresses need [brackets])";
    address->port = (uint16_t)port;
    *length = (size_t)(colon - peer);
    return NULL;
}

/* What stands behind "ssh://". */
static const char *parse_url(struct address *address, const char *rest)
{
    size_t length = strcspn(rest, "/");
    const char *slash = rest + length;
    char path[ADDRESS_PATH_BYTES];
    const char *fault = take_port(address, rest, &length);

    if (!fault)
        fault = take_peer(address, rest, length);
    if (!fault)
        fault = decode(path, sizeof(path), slash);
    if (fault)
        return fault;
    return take_path(address, strncmp(path, "/~/", 3) == 0 ? path + 1 : path);
}

/* The colon that ends the host of "[user@]host:path", or NULL: a local path. */
static const char *host_colon(const char *text)
{
    if (text[0] == ':')
        return NULL; /* part of a file's name, as in scp */

    const char *slash = strchr(text, '/');
    const char *colon = strchr(text, ':');
    const char *bracket = strchr(text, '[');

    /* A bracket opens an IPv6 address at the start or behind '@'. */
    if (bracket && (bracket == text || bracket[-1] == '@') && (!slash || bracket < slash) &&
        (!colon || bracket < colon)) {
        const char *closing = strstr(bracket, "]:");
        if (closing && (!slash || closing < slash))
            return closing + 1;
        return NULL;
    }
    return colon && (!slash || colon < slash) ? colon : NULL;
}

static int parse_local(struct address *address, const char *text, struct error *err)
{
    address->kind = ADDRESS_LOCAL;
    if (text[0] == '\0')
        return error_set_class(err, ERROR_USAGE, EINVAL, "an empty name is not a file");
    if (!take(address->path, sizeof(address->path), text, strlen(text)))
        return refuse(err, text, "the path is too long");
    if (strcmp(text, "-") == 0)
        address->kind = ADDRESS_PIPE;
    return 0;
}

int address_parse(struct address *address, const char *text, struct error *err)
{
    *address = (struct address){.kind = ADDRESS_REMOTE};

    size_t scheme = scheme_length(text);
    const char *fault = NULL;

    if (scheme == 5 && strncasecmp(text, "rsync", scheme) == 0)
        return refuse(err, text, "rsync daemons speak another protocol; name it as host:path");
    if (scheme == 3 && strncasecmp(text, "ssh", scheme) == 0) {
        fault = parse_url(address, text + scheme + 3);
        return fault ? refuse(err, text, fault) : 0;
    }
    if (scheme > 0)
        return refuse(err, text, "of all URLs, only ssh:// is known");

    const char *colon = host_colon(text);

    if (!colon)
        return parse_local(address, text, err);
    if (colon[1] == ':')
        return refuse(err, text,
                      "rsync modules (host::module) are not known; name it as host:path");
    fault = take_peer(address, text, (size_t)(colon - text));
    if (!fault)
        fault = take_path(address, colon + 1);
    return fault ? refuse(err, text, fault) : 0;
}

const char *address_peer(char *out, size_t capacity, const struct address *address)
{
    bool v6 = strchr(address->host, ':') != NULL;

    snprintf(out, capacity, "%s%s%s%s%s", address->user, address->user[0] ? "@" : "", v6 ? "[" : "",
             address->host, v6 ? "]" : "");
    return out;
}

const char *address_text(char *out, size_t capacity, const struct address *address)
{
    char peer[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + 4] = "";

    if (address->kind == ADDRESS_REMOTE)
        address_peer(peer, sizeof(peer), address);
    snprintf(out, capacity, "%s%s%s", peer, address->kind == ADDRESS_REMOTE ? ":" : "",
             address->path);
    return out;
}

bool address_same_machine(const struct address *a, const struct address *b)
{
    return a->kind == b->kind && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
