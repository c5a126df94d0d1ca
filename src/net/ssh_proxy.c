/* ssh_proxy.c - starts `ssh -W` for a jump, or a ProxyCommand. */
#include "haul/ssh_proxy.h"

#include "haul/address.h"
#include "haul/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
    const char *argv[24];
    uint32_t count;
};

static void add_pair(struct arguments *arguments, const char *option, const char *value)
{
    if (value && value[0] != '\0') {
        arguments->argv[arguments->count++] = option;
        arguments->argv[arguments->count++] = value;
    }
}

/* "[user@]host[:port]" as an address. */
static int parse_hop(struct address *hop, const char *text, struct error *err)
{
    char url[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + 32];
    const char *scheme = strncmp(text, "ssh://", 6) == 0 ? "" : "ssh://";

    if (snprintf(url, sizeof(url), "%s%s", scheme, text) >= (int)sizeof(url))
        return error_set_class(err, ERROR_USAGE, EINVAL, "jump host %s: too long", text);
    int result = address_parse(hop, url, err);
    if (result < 0)
        error_prefix(err, "jump host");
    return result;
}

/* The last hop of the list is next to the target, and is reached through those before it. The
 * arguments are those that ssh starts itself with: what is said on the command line is about the
 * target, and not about the hops (ssh(1), -J). */
static int open_jump(struct child *child, const struct ssh_proxy *proxy, struct error *err)
{
    struct arguments arguments = {.argv = {"ssh"}, .count = 1};
    const char *comma = strrchr(proxy->jumps, ',');
    AUTO_FREE char *before = comma ? strndup(proxy->jumps, (size_t)(comma - proxy->jumps)) : NULL;
    struct address hop;
    char target[ADDRESS_HOST_BYTES + 16];
    char port[8] = "";
    int result = parse_hop(&hop, comma ? comma + 1 : proxy->jumps, err);

    if (result < 0)
        return result;
    if (hop.port != 0)
        snprintf(port, sizeof(port), "%u", (unsigned int)hop.port);
    snprintf(target, sizeof(target), "[%s]:%u", proxy->host, proxy->port);
    add_pair(&arguments, "-l", hop.user);
    add_pair(&arguments, "-p", port);
    add_pair(&arguments, "-J", before);
    add_pair(&arguments, "-F", proxy->config_file);
    add_pair(&arguments, "-W", target);
    add_pair(&arguments, "--", hop.host);
    return child_open(child, arguments.argv, CHILD_SOCKET, err);
}

/* Append to a bounded text; false when full. */
static bool append(char *out, size_t capacity, const char *text, size_t length)
{
    size_t used = strlen(out);

    if (used + length >= capacity)
        return false;
    memcpy(out + used, text, length);
    out[used + length] = '\0';
    return true;
}

static bool expand(char *out, size_t capacity, const struct ssh_proxy *proxy, const char *text)
{
    char port[16];

    snprintf(port, sizeof(port), "%u", proxy->port);
    for (; *text; text++) {
        const char *value = NULL;
        if (text[0] == '%' && text[1] == 'h')
            value = proxy->host;
        else if (text[0] == '%' && text[1] == 'p')
            value = port;
        else if (text[0] == '%' && text[1] == 'r')
            value = proxy->user;
        else if (text[0] == '%' && text[1] == 'n')
            value = proxy->original;
        else if (text[0] == '%' && text[1] == '%')
            value = "%";
        if (!append(out, capacity, value ? value : text, value ? strlen(value) : 1))
            return false;
        if (value)
            text++;
    }
    return true;
}

/* As ssh does it: the user's shell, `exec` in front so that our signals reach the program. */
static int open_command(struct child *child, const struct ssh_proxy *proxy, struct error *err)
{
    const char *shell = getenv("SHELL");
    const char *text = proxy->command;
    char line[8192] = "exec ";

    if (strncmp(text, "exec ", 5) == 0)
        text += 5;
    if (!expand(line, sizeof(line), proxy, text))
        return error_set_class(err, ERROR_USAGE, EINVAL, "ProxyCommand is too long");

    const char *argv[] = {shell && shell[0] ? shell : "/bin/sh", "-c", line, NULL};
    return child_open(child, argv, CHILD_SOCKET, err);
}

int ssh_proxy_open(struct child *child, const struct ssh_proxy *proxy, struct error *err)
{
    return proxy->jumps ? open_jump(child, proxy, err) : open_command(child, proxy, err);
}
