/* settings.c - ssh's -o options as text, and the proxy processes that -J and ProxyCommand name. */
#include "haul/settings.h"

#include "haul/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

enum { LINE_BYTES = 1024 /* MAX_LINE_SIZE of libssh's config.c, 0.10.6 */ };

/* "Key=Value", "Key Value", "Key = Value": the length of the key, and where the value begins. */
static size_t key_length(const char *setting, const char **value)
{
    size_t length = strcspn(setting, " \t=");
    const char *rest = setting + length;

    rest += strspn(rest, " \t");
    if (*rest == '=')
        rest++;
    *value = rest + strspn(rest, " \t");
    return length;
}

const char *settings_find(const struct link_options *options, const char *key)
{
    for (uint32_t i = 0; i < options->settings_count; i++) {
        const char *value;
        size_t length = key_length(options->settings[i], &value);
        if (length == strlen(key) && strncasecmp(options->settings[i], key, length) == 0)
            return value;
    }
    return NULL;
}

bool settings_are(const struct link_options *options, const char *key, const char *value)
{
    const char *found = settings_find(options, key);

    return found && strcasecmp(found, value) == 0;
}

static int write_line(int fd, const char *key, size_t key_bytes, const char *value,
                      struct error *err)
{
    char line[LINE_BYTES];
    int length = snprintf(line, sizeof(line), "%.*s %s\n", (int)key_bytes, key, value);

    if (key_bytes == 0 || value[0] == '\0')
        return error_set_class(err, ERROR_USAGE, EINVAL, "-o %.*s: not Key=Value", (int)key_bytes,
                               key);
    if (length >= (int)sizeof(line))
        return error_set_class(err, ERROR_USAGE, EINVAL, "-o %.*s: too long", (int)key_bytes, key);
    if (memchr(line, '\n', (size_t)length - 1))
        return error_set_class(err, ERROR_USAGE, EINVAL, "-o %.*s: has a line break",
                               (int)key_bytes, key);
    if (write(fd, line, (size_t)length) != length)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the ssh options");
    return 0;
}

int settings_nameless(void)
{
    char name[] = "/tmp/haul-options-XXXXXX";
    int fd = memfd_create("haul-ssh-options", MFD_CLOEXEC);

    if (fd >= 0 || errno != ENOSYS)
        return fd;
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

int settings_file(int *fd, const struct link_options *options, struct error *err)
{
    AUTO_CLOSE int file = settings_nameless();
    int result = 0;

    if (file < 0)
        return error_set_class(err, ERROR_MEMORY, errno, "ssh options: %s", strerror(errno));
    for (uint32_t i = 0; i < options->settings_count && result == 0; i++) {
        const char *value;
        size_t length = key_length(options->settings[i], &value);
        /* libssh would build a command line of its own, without -F and known_hosts. */
        if (length == strlen("ProxyJump") &&
            strncasecmp(options->settings[i], "ProxyJump", length) == 0)
            continue;
        result = write_line(file, options->settings[i], length, value, err);
    }
    if (result == 0)
        *fd = take_fd(&file);
    return result;
}

/* ---- proxies ---- */

struct arguments {
    const char *argv[CHILD_ARGUMENTS_MAX];
    uint32_t count;
};

static void add(struct arguments *arguments, const char *word)
{
    if (arguments->count + 1 < CHILD_ARGUMENTS_MAX) {
        arguments->argv[arguments->count++] = word;
        arguments->argv[arguments->count] = NULL;
    }
}

static void add_pair(struct arguments *arguments, const char *option, const char *value)
{
    add(arguments, option);
    add(arguments, value);
}

/* Options that are about the person and the machine are the hop's, too; Port, User, HostName and
 * the like belong to the target alone (ssh(1), -J). */
static bool is_shared(const char *setting)
{
    static const char *const shared[] = {
        "UserKnownHostsFile", "GlobalKnownHostsFile", "StrictHostKeyChecking",
        "IdentityFile",       "IdentitiesOnly",       "IdentityAgent",
        "BatchMode",          "ConnectTimeout",
    };
    const char *value;
    size_t length = key_length(setting, &value);

    for (size_t i = 0; i < COUNT_OF(shared); i++)
        if (strlen(shared[i]) == length && strncasecmp(setting, shared[i], length) == 0)
            return true;
    return false;
}

/* "[user@]host[:port]" as an address. */
static int parse_hop(struct address *hop, const char *text, size_t length, struct error *err)
{
    char url[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + 32];

    if (length + sizeof("ssh:///") > sizeof(url))
        return error_set_class(err, ERROR_USAGE, EINVAL, "-J %s: too long", text);
    snprintf(url, sizeof(url), "%s%.*s", strncmp(text, "ssh://", 6) == 0 ? "" : "ssh://",
             (int)length, text);
    int result = address_parse(hop, url, err);
    if (result < 0)
        error_prefix(err, "-J");
    return result;
}

/* ssh -W: the last hop of the list is next to the target, and is reached through those before it
 * (the order of ssh(1), -J). */
static int open_jump(struct child *child, const struct link_options *options, const char *jumps,
                     const struct settings_proxy *proxy, struct error *err)
{
    struct arguments arguments = {.count = 0};
    const char *comma = strrchr(jumps, ',');
    const char *last = comma ? comma + 1 : jumps;
    AUTO_FREE char *before = comma ? strndup(jumps, (size_t)(comma - jumps)) : NULL;
    struct address hop;
    char target[ADDRESS_HOST_BYTES + 16];
    char port[8];
    int result = parse_hop(&hop, last, strlen(last), err);

    if (result < 0)
        return result;
    add(&arguments, "ssh");
    if (options->config_file)
        add_pair(&arguments, "-F", options->config_file);
    for (uint32_t i = 0; i < options->identities_count; i++)
        add_pair(&arguments, "-i", options->identity_files[i]);
    for (uint32_t i = 0; i < options->settings_count; i++)
        if (is_shared(options->settings[i]))
            add_pair(&arguments, "-o", options->settings[i]);
    if (options->family != LINK_FAMILY_ANY)
        add(&arguments, options->family == LINK_FAMILY_IPV4 ? "-4" : "-6");
    if (before)
        add_pair(&arguments, "-J", before);
    if (hop.user[0] != '\0')
        add_pair(&arguments, "-l", hop.user);
    if (hop.port != 0) {
        snprintf(port, sizeof(port), "%u", (unsigned int)hop.port);
        add_pair(&arguments, "-p", port);
    }
    snprintf(target, sizeof(target), "[%s]:%u", proxy->host, (unsigned int)proxy->port);
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

static bool expand(char *out, size_t capacity, const char *text, const struct settings_proxy *proxy,
                   const char *original)
{
    char port[8];

    snprintf(port, sizeof(port), "%u", (unsigned int)proxy->port);
    for (; *text; text++) {
        const char *value = NULL;
        if (text[0] == '%' && text[1] == 'h')
            value = proxy->host;
        else if (text[0] == '%' && text[1] == 'p')
            value = port;
        else if (text[0] == '%' && text[1] == 'r')
            value = proxy->user;
        else if (text[0] == '%' && text[1] == 'n')
            value = original;
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
static int open_command(struct child *child, const struct link_options *options,
                        const struct settings_proxy *proxy, struct error *err)
{
    static const char jump[] = "ssh ";
    const char *shell = getenv("SHELL");
    const char *text = proxy->command;
    char line[8192] = "exec ";
    bool fits = true;

    if (strncmp(text, "exec ", 5) == 0)
        text += 5;
    /* libssh 0.10.6 makes this of ProxyJump in a configuration file, and forgets -F. */
    if (options->config_file && strncmp(text, jump, strlen(jump)) == 0 &&
        strstr(text, " -W '[%h]:%p' ") && !strchr(options->config_file, '\'')) {
        fits = append(line, sizeof(line), "ssh -F '", 8) &&
               append(line, sizeof(line), options->config_file, strlen(options->config_file)) &&
               append(line, sizeof(line), "' ", 2);
        text += strlen(jump);
    }
    if (!fits || !expand(line, sizeof(line), text, proxy, options->address->host))
        return error_set_class(err, ERROR_USAGE, EINVAL, "ProxyCommand is too long");

    const char *argv[] = {shell && shell[0] ? shell : "/bin/sh", "-c", line, NULL};
    return child_open(child, argv, CHILD_SOCKET, err);
}

int settings_proxy_open(struct child *child, const struct link_options *options,
                        const struct settings_proxy *proxy, struct error *err)
{
    const char *jumps =
        options->proxy_jump ? options->proxy_jump : settings_find(options, "ProxyJump");

    if (jumps && strcasecmp(jumps, "none") != 0)
        return open_jump(child, options, jumps, proxy, err);
    return open_command(child, options, proxy, err);
}
