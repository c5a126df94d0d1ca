/* ssh_setup.c - what ssh's configuration says becomes libssh's options; then the connection.
 *
 * Where there is an ssh, it has read the configuration and libssh reads none. Where there is none,
 * libssh's own parser reads the files, and the little that it tells again is put beside -o. */
#include "ssh_link.h"

#if WITH_SSH

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/net/dial.h"
#include "haul/net/ssh_proxy.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- libssh's options ---- */

/* libssh's and ssh's first choice is chacha20: 170 MB/s where AES-GCM makes 300 (measured). */
static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
    /* Not __builtin_cpu_supports(), which comes with a constructor that looks in every run. */
    unsigned int a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_AES) != 0;
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (1UL << 3)) != 0; /* HWCAP_AES */
#elif defined(__arm__)
    return (getauxval(AT_HWCAP2) & 1UL) != 0; /* HWCAP2_AES */
#else
    return false;
#endif
}

static void set_quick_ciphers(struct ssh_link *ssh)
{
    static const char quick[] = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
                                "chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr";

    /* A library in FIPS mode may know fewer: then its own list is right. */
    if (cpu_has_aes()) {
        ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_C_S, quick);
        ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_S_C, quick);
    }
}

/* Without brackets 0.10.6 would cut an IPv6 address at its last colon. */
static void put_host(char out[ADDRESS_HOST_BYTES + 2], const char *name)
{
    bool v6 = strchr(name, ':') != NULL;

    snprintf(out, ADDRESS_HOST_BYTES + 2, "%s%s%s", v6 ? "[" : "", name, v6 ? "]" : "");
}

struct setting {
    const char *name;
    enum ssh_options_e option;
    const void *value; /* NULL: as libssh does without */
};

static int set(struct ssh_link *ssh, const struct setting *settings, size_t count,
               struct error *err)
{
    char words[256];

    for (size_t i = 0; i < count; i++)
        if (settings[i].value &&
            ssh->api.ssh_options_set(ssh->session, settings[i].option, settings[i].value) != SSH_OK)
            return error_set_class(err, ERROR_USAGE, EINVAL,
                                   "%s: %s is not accepted by libssh: %s; -e ssh may do it",
                                   ssh->base.peer, settings[i].name, ssh_link_reason(ssh, words));
    return 0;
}

/* Lists go to libssh as they are: it passes over what it does not know. */
static int set_algorithms(struct ssh_link *ssh, struct error *err)
{
    char sorted[4096];
    const struct ssh_config *config = &ssh->config;
    const char *keys = ssh_config_get(config, "hostkeyalgorithms");
    const char *ciphers = ssh_config_chosen(config, "ciphers");
    const char *macs = ssh_config_get(config, "macs");
    const struct setting settings[] = {
        {"ciphers", SSH_OPTIONS_CIPHERS_C_S, ciphers},
        {"ciphers", SSH_OPTIONS_CIPHERS_S_C, ciphers},
        {"kexalgorithms", SSH_OPTIONS_KEY_EXCHANGE, ssh_config_get(config, "kexalgorithms")},
        {"macs", SSH_OPTIONS_HMAC_C_S, macs},
        {"macs", SSH_OPTIONS_HMAC_S_C, macs},
        {"pubkeyacceptedalgorithms", SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES,
         ssh_config_get(config, "pubkeyacceptedalgorithms")},
        {"hostkeyalgorithms", SSH_OPTIONS_HOSTKEYS, keys ? sorted : NULL},
    };

    if (config->standard) /* else they are set before the files are read */
        set_quick_ciphers(ssh);
    if (keys)
        ssh_host_key_sort(ssh, keys, sorted, sizeof(sorted));
    return set(ssh, settings, COUNT_OF(settings), err);
}

/* What libssh would read by itself is ours to read: its configuration, known_hosts, a proxy (0.10.6
 * would stumble over its %n). */
static int set_options(struct ssh_link *ssh, struct error *err)
{
    const struct ssh_config *config = &ssh->config;
    const char *rekey = ssh_config_get(config, "rekeylimit"); /* bytes, seconds; 0: the default */
    char host[ADDRESS_HOST_BYTES + 2];
    bool reads = false;
    int quiet = SSH_LOG_NOLOG; /* LogLevel in a configuration would print to stderr */
    long seconds = (long)div_ceil(ssh_link_timeout_ns(ssh), NS_PER_SECOND);
    int bits = (int)ssh_config_number(config, "requiredrsasize", 0);
    uint64_t rekey_bytes = 0;
    uint32_t rekey_seconds = 0;
    const struct setting settings[] = {
        {"no configuration", SSH_OPTIONS_PROCESS_CONFIG, &reads},
        {"no known_hosts", SSH_OPTIONS_KNOWNHOSTS, "/dev/null"},
        {"no known_hosts", SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null"},
        {"this host name", SSH_OPTIONS_HOST, host},
        {"this user", SSH_OPTIONS_USER, ssh->user},
        {"this port", SSH_OPTIONS_PORT, &ssh->port},
        {"this timeout", SSH_OPTIONS_TIMEOUT, &seconds},
        {"quiet", SSH_OPTIONS_LOG_VERBOSITY, &quiet},
        {"requiredrsasize", SSH_OPTIONS_RSA_MIN_SIZE, bits > 0 ? &bits : NULL},
        {"compression", SSH_OPTIONS_COMPRESSION,
         ssh_config_flag(config, "compression", false) ? "yes" : NULL},
        {"rekeylimit", SSH_OPTIONS_REKEY_DATA, rekey ? &rekey_bytes : NULL},
        {"rekeylimit", SSH_OPTIONS_REKEY_TIME, rekey ? &rekey_seconds : NULL},
    };

    if (rekey)
        (void)sscanf(rekey, "%" SCNu64 " %" SCNu32, &rekey_bytes, &rekey_seconds);
    put_host(host, ssh->host);
    ssh->api.ssh_set_log_level(quiet);
    (void)ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_PROXYCOMMAND, "none");
    return set(ssh, settings, COUNT_OF(settings), err);
}

/* ---- without an ssh ---- */

static int parse_files(struct ssh_link *ssh, struct error *err)
{
    const char *file = ssh->options->config_file;
    char host[ADDRESS_HOST_BYTES + 2], words[256];
    const struct setting setting = {"this host name", SSH_OPTIONS_HOST, host};

    put_host(host, ssh->options->address->host);
    int result = set(ssh, &setting, 1, err);
    set_quick_ciphers(ssh); /* the files may say otherwise */
    if (result < 0 || (file && strcmp(file, "none") == 0))
        return result;
    if (file && access(file, R_OK) < 0)
        return error_set_class(err, ERROR_USAGE, errno, "-F %s: %s", file, strerror(errno));
    if (ssh->api.ssh_options_parse_config(ssh->session, file) != SSH_OK)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s: ssh configuration: %s",
                               ssh->base.peer, ssh_link_reason(ssh, words));
    return 0;
}

/* Tell what libssh has read of the files again. In its own names of keys, the first of which is all
 * that it tells, "%d" is another folder. */
static int put_back(struct ssh_link *ssh)
{
    static const struct {
        const char *key;
        enum ssh_options_e option;
    } back[] = {
        {"hostname", SSH_OPTIONS_HOST},
        {"user", SSH_OPTIONS_USER},
        {"proxycommand", SSH_OPTIONS_PROXYCOMMAND},
        {"userknownhostsfile", SSH_OPTIONS_KNOWNHOSTS},
        {"globalknownhostsfile", SSH_OPTIONS_GLOBAL_KNOWNHOSTS},
        {"identityfile", SSH_OPTIONS_IDENTITY},
    };
    static const char *const keys[] = {"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"};
    const struct passwd *user = getpwuid(getuid());
    unsigned int port = 22;
    char digits[16];
    int result = 0;

    for (size_t i = 0; i < COUNT_OF(back) && result == 0; i++) {
        char *value = NULL;
        if (ssh->api.ssh_options_get(ssh->session, back[i].option, &value) == SSH_OK && value &&
            strncmp(value, "%d/", 3) != 0)
            result = ssh_config_put(&ssh->config, back[i].key, value);
        ssh->api.ssh_string_free_char(value);
    }
    for (size_t i = 0; i < COUNT_OF(keys) && result == 0; i++)
        result = ssh_config_put(&ssh->config, "identityfile", keys[i]);
    if (result == 0 && user)
        result = ssh_config_put(&ssh->config, "user", user->pw_name);
    ssh->api.ssh_options_get_port(ssh->session, &port);
    snprintf(digits, sizeof(digits), "%u", port);
    return result < 0 ? result : ssh_config_put(&ssh->config, "port", digits);
}

static int read_without_ssh(struct ssh_link *ssh, struct error *err)
{
    int result = ssh_config_put_options(&ssh->config, ssh->options, err);

    if (result == 0)
        result = parse_files(ssh, err);
    if (result == 0 && put_back(ssh) < 0)
        result = error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory", ssh->base.peer);
    if (result == 0 && ssh_link_first(ssh, "configuration"))
        log_warning(
            "%s: there is no ssh to ask what its configuration means; libssh reads it, and "
            "passes over what it does not know (RevokedHostKeys, StrictHostKeyChecking ...)",
            ssh->base.peer);
    return result;
}

/* ---- configuration ---- */

static int check_config(struct ssh_link *ssh, struct error *err)
{
    char keys[512];
    const char *refused = ssh_config_refused(&ssh->config);

    if (refused)
        return error_set_class(err, ERROR_USAGE, ENOTSUP,
                               "%s: ssh's configuration has %s, which libssh cannot do; use -e ssh",
                               ssh->base.peer, refused);
    if (!ssh_link_first(ssh, "options"))
        return 0;
    if (ssh->config.warning[0])
        log_warning("%s: ssh says: %s", ssh->base.peer, ssh->config.warning);
    if (ssh_config_unknown(&ssh->config, keys, sizeof(keys)))
        log_warning("%s: of ssh's configuration these are not honoured: %s; -e ssh does",
                    ssh->base.peer, keys);
    return 0;
}

static int take_names(struct ssh_link *ssh, struct error *err)
{
    const char *host = ssh_config_get(&ssh->config, "hostname");
    const char *user = ssh_config_get(&ssh->config, "user");

    ssh->port = (unsigned int)ssh_config_number(&ssh->config, "port", 22);
    snprintf(ssh->host, sizeof(ssh->host), "%s", host ? host : ssh->options->address->host);
    snprintf(ssh->user, sizeof(ssh->user), "%s", user ? user : "");
    if (ssh->user[0] == '\0' || ssh->port == 0 || ssh->port > UINT16_MAX)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s: no user, or no port, to log in",
                               ssh->base.peer);
    return 0;
}

int ssh_setup_configure(struct ssh_link *ssh, struct error *err)
{
    static int (*const steps[])(struct ssh_link *, struct error *) = {
        check_config,
        take_names,
        set_options,
        set_algorithms,
    };
    int result = 0;

    if (ssh->config.standard)
        log_verbose("%s: ssh's configuration: asked of `ssh -G`", ssh->base.peer);
    else
        result = read_without_ssh(ssh, err);
    for (size_t i = 0; i < COUNT_OF(steps) && result == 0; i++)
        result = steps[i](ssh, err);
    return result;
}

/* ---- connection ---- */

static int address_family(const struct ssh_link *ssh)
{
    const char *family = ssh_config_get(&ssh->config, "addressfamily");

    if (family && strcasecmp(family, "inet") == 0)
        return AF_INET;
    return family && strcasecmp(family, "inet6") == 0 ? AF_INET6 : AF_UNSPEC;
}

/* What ServerAliveInterval is for: our own pings keep the link alive, and the kernel ends it when
 * nobody acknowledges anything for as long as ssh would wait. */
static uint64_t silence_ns(const struct ssh_link *ssh)
{
    uint64_t interval = ssh_config_number(&ssh->config, "serveraliveinterval", 0);
    uint64_t count = ssh_config_number(&ssh->config, "serveralivecountmax", 3);

    if (ssh->options->silence_timeout_ns > 0)
        return ssh->options->silence_timeout_ns;
    return min_u64(interval, 24 * 3600) * min_u64(count, 1000) * NS_PER_SECOND;
}

/* The bytes below SSH: a TCP connection, or a process that carries them. */
static int connect_stream(struct ssh_link *ssh, struct error *err)
{
    const struct dial_target target = {
        .host = ssh->host,
        .bind_address = ssh_config_get(&ssh->config, "bindaddress"),
        .port = (uint16_t)ssh->port,
        .family = address_family(ssh),
        .timeout_ns = ssh_link_timeout_ns(ssh),
        .silence_timeout_ns = silence_ns(ssh),
    };

    if (!ssh_config_get(&ssh->config, "proxyjump") && !ssh_config_get(&ssh->config, "proxycommand"))
        return dial_open(&ssh->fd, &target, err);
    int result = ssh_proxy_open(&ssh->proxy, &ssh->config, ssh->options->config_file, err);
    if (result == 0)
        ssh->fd = take_fd(&ssh->proxy.output_fd);
    return result;
}

/* SSH over the stream: versions and keys are exchanged. */
static int handshake(struct ssh_link *ssh, struct error *err)
{
    uint64_t begin_ns = clock_now_ns();
    uint64_t timeout_ns = ssh_link_timeout_ns(ssh);
    socket_t given = fcntl(ssh->fd, F_DUPFD_CLOEXEC, 3);

    if (given < 0)
        return error_set_class(err, ERROR_SOCKET, errno, "%s: %s", ssh->base.peer, strerror(errno));
    const struct setting setting = {"the socket", SSH_OPTIONS_FD, &given};
    int result = set(ssh, &setting, 1, err);
    if (result < 0) {
        close(given);
        return result;
    }
    if (ssh->api.ssh_connect(ssh->session) != SSH_OK) {
        if (clock_now_ns() - begin_ns >= timeout_ns)
            return error_set_class(err, ERROR_CONNECT, ETIMEDOUT,
                                   "%s: no answer to the SSH greeting within %.3g s",
                                   ssh->base.peer, (double)timeout_ns / (double)NS_PER_SECOND);
        return ssh_link_lost(ssh, "connection", err);
    }
    /* 0.10.6 makes the socket blocking again when it gets it. It polls before every read and write,
     * so a non-blocking one is never asked in vain. */
    (void)fcntl(ssh->fd, F_SETFL, fcntl(ssh->fd, F_GETFL) | O_NONBLOCK);
    return 0;
}

int ssh_setup_connect(struct ssh_link *ssh, struct error *err)
{
    int result = connect_stream(ssh, err);

    return result < 0 ? result : handshake(ssh, err);
}

#endif
