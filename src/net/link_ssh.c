/* link_ssh.c - a link through libssh: connection, host key, login, and one channel.
 *
 * The only file that knows libssh. The library is loaded when the first link is opened and not
 * before: it costs 6 MB of shared libraries, which a small memory cgroup is charged for (measured),
 * and neither a local copy nor the agent needs it.
 *
 * Read against libssh 0.10.6; where it says "0.10.6" below, the statement was found in that source.
 */
#include "haul/link.h"

#ifndef WITH_SSH
#define WITH_SSH 1
#endif

#include <errno.h>

#if !WITH_SSH

int link_ssh_open(struct link **out, const struct link_options *options, struct error *err)
{
    *out = NULL;
    return error_set_class(err, ERROR_START, ENOTSUP,
                           "%s: this haul was built without libssh; use -e ssh",
                           options->address->host);
}

const char *link_ssh_version(void)
{
    return NULL;
}

#else

#include "haul/ask.h"
#include "haul/child.h"
#include "haul/cleanup.h"
#include "haul/clock.h"
#include "haul/dial.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/settings.h"
#include "haul/ssh_line.h"
#include "haul/text.h"

#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
/* ssh_channel_get_exit_status is deprecated in 0.11; its successor is not in 0.10. */
#define SSH_SUPPRESS_DEPRECATED
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <malloc.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define SSH_LIBRARY   "libssh.so.4"
#define SYSTEM_CONFIG "/etc/ssh/ssh_config"

/* Every function of the library that is used. */
#define SSH_FUNCTIONS(X)                                                                           \
    X(ssh_blocking_flush)                                                                          \
    X(ssh_channel_free)                                                                            \
    X(ssh_channel_get_exit_status)                                                                 \
    X(ssh_channel_is_closed)                                                                       \
    X(ssh_channel_is_eof)                                                                          \
    X(ssh_channel_new)                                                                             \
    X(ssh_channel_open_session)                                                                    \
    X(ssh_channel_read_timeout)                                                                    \
    X(ssh_channel_request_exec)                                                                    \
    X(ssh_channel_send_eof)                                                                        \
    X(ssh_channel_write)                                                                           \
    X(ssh_clean_pubkey_hash)                                                                       \
    X(ssh_connect)                                                                                 \
    X(ssh_free)                                                                                    \
    X(ssh_get_cipher_out)                                                                          \
    X(ssh_get_error)                                                                               \
    X(ssh_get_fingerprint_hash)                                                                    \
    X(ssh_get_publickey_hash)                                                                      \
    X(ssh_get_server_publickey)                                                                    \
    X(ssh_get_status)                                                                              \
    X(ssh_is_connected)                                                                            \
    X(ssh_key_cmp)                                                                                 \
    X(ssh_key_free)                                                                                \
    X(ssh_key_type)                                                                                \
    X(ssh_key_type_to_char)                                                                        \
    X(ssh_known_hosts_parse_line)                                                                  \
    X(ssh_knownhosts_entry_free)                                                                   \
    X(ssh_new)                                                                                     \
    X(ssh_options_get)                                                                             \
    X(ssh_options_get_port)                                                                        \
    X(ssh_options_parse_config)                                                                    \
    X(ssh_options_set)                                                                             \
    X(ssh_session_is_known_server)                                                                 \
    X(ssh_session_update_known_hosts)                                                              \
    X(ssh_set_blocking)                                                                            \
    X(ssh_set_callbacks)                                                                           \
    X(ssh_set_counters)                                                                            \
    X(ssh_set_log_level)                                                                           \
    X(ssh_silent_disconnect)                                                                       \
    X(ssh_string_free_char)                                                                        \
    X(ssh_userauth_kbdint)                                                                         \
    X(ssh_userauth_kbdint_getinstruction)                                                          \
    X(ssh_userauth_kbdint_getnprompts)                                                             \
    X(ssh_userauth_kbdint_getprompt)                                                               \
    X(ssh_userauth_kbdint_setanswer)                                                               \
    X(ssh_userauth_list)                                                                           \
    X(ssh_userauth_none)                                                                           \
    X(ssh_userauth_password)                                                                       \
    X(ssh_userauth_publickey_auto)                                                                 \
    X(ssh_userauth_publickey_auto_get_current_identity)                                            \
    X(ssh_version)

/* The library's functions under their own names and with their own types. */
struct ssh_api {
#define MEMBER(name) __typeof__(name) *name;
    SSH_FUNCTIONS(MEMBER)
#undef MEMBER
};

enum {
    QUESTIONS_MAX = 3,        /* tries for each kind of secret, as ssh's NumberOfPasswordPrompts */
    LOGIN_ROUNDS_MAX = 6,     /* of partial successes */
    KBDINT_ROUNDS_MAX = 16,   /* requests of the server within one try */
    PROMPTS_MAX = 8,          /* in one request */
    LINES_MAX = 1000 * 1000,  /* of a known_hosts file */
    GROW_BYTES = 1024 * 1024, /* received before the window is opened again */
    RECV_ROUNDS_MAX = 4096,   /* reads of the socket in one recv */
    WORDS_TAKEN_BYTES = 64 * 1024,   /* of stderr in one recv: more than the packet that it reads */
    BUFFERS_APART_BYTES = 64 * 1024, /* see keep_buffers_apart */
    FINGERPRINT_BYTES = 128
};

#define MARK_NONE UINT64_MAX /* recv or send may get on: nobody has found otherwise */

struct ssh_link {
    struct link base;
    void *library;
    struct ssh_api api;
    ssh_session session;
    ssh_channel channel;
    int fd;             /* our own duplicate of the socket: libssh closes its own when it likes */
    struct child proxy; /* ProxyCommand or -J */
    struct child_words words; /* the far command's stderr */
    uint8_t *scratch;         /* window_bytes of address space, see grow_window */
    uint32_t window_bytes;
    uint64_t grown_at_bytes; /* received when the window was opened last */
    bool eof_sent;
    struct ssh_counter_struct socket;  /* counted by libssh: bytes of the socket */
    struct ssh_counter_struct packets; /* ... and packets */
    uint64_t recv_mark; /* packets.in_packets when recv last found nothing, or MARK_NONE */
    uint64_t send_mark; /* the same for send */

    /* While it is opened. */
    const struct link_options *options;
    ssh_session scout; /* never connected: see configure */
    struct ssh_callbacks_struct callbacks;
    char host[ADDRESS_HOST_BYTES]; /* after the configuration: HostName */
    char user[ADDRESS_USER_BYTES];
    unsigned int port;
    char answer_key[512]; /* of the last answer, to be remembered if it works */
    char answer[ASK_SECRET_BYTES];
    bool key_pending;     /* the server has not answered to a key */
    bool asked;           /* somebody was asked for a passphrase in this try */
    struct error refused; /* why a question could not be put */
};

static struct ssh_link *of(struct link *link)
{
    return (struct ssh_link *)link;
}

/* ---- the library ---- */

/* libssh copies each packet of 32 KiB it receives from a buffer to a string and on to a second
 * buffer. Such buffers are powers of two, so neighbours on the heap are 16 bytes more than whole
 * pages apart, and the payloads in them 6 and 12. With 1 to 15 bytes between source and target,
 * modulo the page size, `rep movsb` of AMD's Zen 3 and later copies 3.5 GB/s instead of 50, and
 * that is glibc's memcpy before 2.39 (its bug 30994): 1 CPU-s/GiB of a pull's 2.5. Buffers with
 * pages of their own are no neighbours; strings are smaller and stay on the heap. The setting is
 * the process's, which allocates nothing of that size but at the start of a lane. */
static void keep_buffers_apart(void)
{
#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, BUFFERS_APART_BYTES);
#endif
}

static int load(struct ssh_link *ssh, struct error *err)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define ENTRY(name) {#name, offsetof(struct ssh_api, name)},
        SSH_FUNCTIONS(ENTRY)
#undef ENTRY
    };

    /* NODELETE: OpenSSL below it leaves exit handlers and thread data that must stay mapped. */
    ssh->library = dlopen(SSH_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!ssh->library)
        return error_set_class(err, ERROR_START, ENOTSUP, "%s; install libssh-4, or use -e ssh",
                               dlerror());
    keep_buffers_apart();
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        void *address = dlsym(ssh->library, functions[i].name);
        if (!address)
            return error_set_class(err, ERROR_START, ENOTSUP, SSH_LIBRARY " has no %s; use -e ssh",
                                   functions[i].name);
        memcpy((char *)&ssh->api + functions[i].offset, &address, sizeof(address));
    }
    return 0;
}

const char *link_ssh_version(void)
{
    void *library = dlopen(SSH_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    __typeof__(ssh_version) *version = NULL;
    void *address = library ? dlsym(library, "ssh_version") : NULL;

    if (!address)
        return NULL;
    memcpy(&version, &address, sizeof(address));
    return version(0); /* a constant of the library, which stays */
}

/* The library's own words, in one line. */
static const char *reason(const struct ssh_link *ssh, char out[256])
{
    const char *text = ssh->api.ssh_get_error(ssh->session);

    return text_escape(out, 256, text && text[0] ? text : "connection lost");
}

/* The session has failed: what the proxy said is better than "disconnected". */
static int lost(struct ssh_link *ssh, const char *doing, struct error *err)
{
    char words[256];
    const char *said = "";

    if (ssh->proxy.pid > 0 || ssh->proxy.words.length > 0) {
        child_listen(&ssh->proxy, "proxy");
        said = child_words_last(&ssh->proxy.words);
    }
    return error_set_class(err, ERROR_SOCKET, ECONNRESET, "%s: %s: %s%s%s", ssh->base.peer, doing,
                           reason(ssh, words), said[0] ? "; the proxy said: " : "", said);
}

/* ---- options and configuration ---- */

static uint64_t connect_timeout_ns(const struct link_options *options)
{
    const char *setting = settings_find(options, "ConnectTimeout");
    uint64_t seconds = LINK_CONNECT_SECONDS;

    if (options->connect_timeout_ns > 0)
        return options->connect_timeout_ns;
    if (!setting || !num_parse_u64(setting, &seconds) || seconds == 0 || seconds > 24 * 3600)
        seconds = LINK_CONNECT_SECONDS;
    return seconds * NS_PER_SECOND;
}

/* libssh's first choice is chacha20: 170 MB/s where AES-GCM makes 300 (measured). */
static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (1UL << 3)) != 0; /* HWCAP_AES */
#elif defined(__arm__)
    return (getauxval(AT_HWCAP2) & 1UL) != 0; /* HWCAP2_AES */
#else
    return false;
#endif
}

static int set(struct ssh_link *ssh, enum ssh_options_e option, const void *value, const char *name,
               struct error *err)
{
    char words[256];

    if (ssh->api.ssh_options_set(ssh->session, option, value) == SSH_OK)
        return 0;
    return error_set_class(err, ERROR_USAGE, EINVAL, "%s: %s is not accepted by libssh: %s",
                           ssh->base.peer, name, reason(ssh, words));
}

/* What Host and Match blocks are compared with. */
static int set_host(struct ssh_link *ssh, ssh_session session, const char *name, struct error *err)
{
    char host[ADDRESS_HOST_BYTES + 2];
    bool v6 = strchr(name, ':') != NULL;

    /* Without brackets 0.10.6 would cut an IPv6 address at its last colon. */
    snprintf(host, sizeof(host), "%s%s%s", v6 ? "[" : "", name, v6 ? "]" : "");
    if (ssh->api.ssh_options_set(session, SSH_OPTIONS_HOST, host) == SSH_OK)
        return 0;
    return error_set_class(err, ERROR_USAGE, EINVAL,
                           "%s: the host name %s is not accepted by libssh", ssh->base.peer, name);
}

/* What the configuration may override: set before it is read. */
static int set_defaults(struct ssh_link *ssh, struct error *err)
{
    static const char ciphers[] = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
                                  "chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr";
    const struct address *address = ssh->options->address;
    long seconds = (long)div_ceil(connect_timeout_ns(ssh->options), NS_PER_SECOND);
    int result = set_host(ssh, ssh->session, address->host, err);

    if (result == 0)
        result = set_host(ssh, ssh->scout, address->host, err);
    if (result == 0 && address->user[0] != '\0')
        result = set(ssh, SSH_OPTIONS_USER, address->user, "this user", err);
    if (result == 0 && address->user[0] != '\0')
        ssh->api.ssh_options_set(ssh->scout, SSH_OPTIONS_USER, address->user);
    if (result == 0)
        result = set(ssh, SSH_OPTIONS_TIMEOUT, &seconds, "this timeout", err);
    if (result == 0 && cpu_has_aes()) {
        /* A library in FIPS mode may know fewer: then its own list is right. */
        ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_C_S, ciphers);
        ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_CIPHERS_S_C, ciphers);
    }
    return result;
}

static void get_option(const struct ssh_link *ssh, ssh_session session, enum ssh_options_e option,
                       char *out, size_t capacity)
{
    char *value = NULL;

    out[0] = '\0';
    if (ssh->api.ssh_options_get(session, option, &value) == SSH_OK && value) {
        snprintf(out, capacity, "%s", value);
        ssh->api.ssh_string_free_char(value);
    }
}

static void get_text(const struct ssh_link *ssh, enum ssh_options_e option, char *out,
                     size_t capacity)
{
    get_option(ssh, ssh->session, option, out, capacity);
}

static int parse_lines(struct ssh_link *ssh, ssh_session session,
                       const struct link_options *options, struct error *err)
{
    AUTO_CLOSE int fd = -1;
    char name[64];
    int result = settings_file(&fd, options, err);

    if (result < 0)
        return result;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (ssh->api.ssh_options_parse_config(session, name) != SSH_OK)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s: the -o options are not right",
                               ssh->base.peer);
    return 0;
}

/* In a configuration the first value wins: so ours come first, then -o, then the files.
 *
 * A HostName that changes nothing makes the session keep the name as given, see configure; and
 * LogLevel would print to stderr. */
static int parse_settings(struct ssh_link *ssh, struct error *err)
{
    static const char *const ours[] = {"LogLevel=QUIET", "HostName=%h"};
    const struct link_options quiet = {.settings = ours, .settings_count = 1};
    const struct link_options quiet_and_kept = {.settings = ours, .settings_count = 2};
    int result = parse_lines(ssh, ssh->scout, &quiet, err);

    if (result == 0)
        result = parse_lines(ssh, ssh->session, &quiet_and_kept, err);
    if (result == 0) /* %h of an IPv6 address has no brackets */
        result = set_host(ssh, ssh->session, ssh->options->address->host, err);
    if (result == 0)
        result = parse_lines(ssh, ssh->scout, ssh->options, err);
    if (result == 0)
        result = parse_lines(ssh, ssh->session, ssh->options, err);
    return result;
}

/* A file for both sessions; `so_far`: compared with the HostName so far, and not with the name as
 * given. */
static int parse_file(struct ssh_link *ssh, const char *file, bool so_far, struct error *err)
{
    char name[ADDRESS_HOST_BYTES];
    char words[256];

    get_option(ssh, ssh->scout, SSH_OPTIONS_HOST, name, sizeof(name));
    int result = set_host(ssh, ssh->session, so_far ? name : ssh->options->address->host, err);
    if (result < 0)
        return result;
    if (ssh->api.ssh_options_parse_config(ssh->session, file) != SSH_OK)
        return error_set_class(err, ERROR_USAGE, EINVAL, "%s: ssh configuration: %s",
                               ssh->base.peer, reason(ssh, words));
    /* The same lines: what is wrong with them has been told. */
    (void)ssh->api.ssh_options_parse_config(ssh->scout, file);
    return 0;
}

/* Lines that are compared with the same name, in a file without a name. */
struct config_part {
    FILE *file;
    uint64_t lines_count;
    bool so_far;
};

static int parse_part(struct ssh_link *ssh, struct config_part *part, struct error *err)
{
    char name[64];

    if (part->lines_count == 0)
        return 0;
    if (fflush(part->file) != 0)
        return error_set_class(err, ERROR_MEMORY, errno, "ssh configuration: %s", strerror(errno));
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fileno(part->file));
    int result = parse_file(ssh, name, part->so_far, err);
    rewind(part->file);
    if (result == 0 && ftruncate(fileno(part->file), 0) < 0)
        result =
            error_set_class(err, ERROR_MEMORY, errno, "ssh configuration: %s", strerror(errno));
    part->lines_count = 0;
    return result;
}

/* Take one line. Those before it are parsed first where it wants another name, or the newest. */
static int parse_line(struct ssh_link *ssh, struct config_part *part, char *line, struct error *err)
{
    enum ssh_line_name name = ssh_line_read(line);

    if (name != SSH_LINE_EITHER) {
        bool so_far = name == SSH_LINE_SO_FAR;
        int result = so_far || part->so_far ? parse_part(ssh, part, err) : 0;
        if (result < 0)
            return result;
        part->so_far = so_far;
    }
    ssh_line_put(part->file, line);
    part->lines_count++;
    if (ferror(part->file))
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for the ssh configuration");
    return 0;
}

static int parse_parts(struct ssh_link *ssh, FILE *stream, struct error *err)
{
    AUTO_CLOSE int fd = settings_nameless();
    struct config_part part = {.file = fd >= 0 ? fdopen(fd, "w+e") : NULL};
    AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    int result = 0;

    if (!part.file)
        return error_set_class(err, ERROR_MEMORY, errno, "ssh configuration: %s", strerror(errno));
    (void)take_fd(&fd); /* the stream has it */
    for (int i = 0; i < LINES_MAX && result == 0 && getline(&line, &capacity, stream) >= 0; i++)
        result = parse_line(ssh, &part, line, err);
    if (result == 0)
        result = parse_part(ssh, &part, err);
    fclose(part.file);
    return result;
}

/* ~/.ssh/config, of the home that ssh and libssh go by. False: there is none. */
static bool user_config(char *out, size_t capacity)
{
    const struct passwd *user = getpwuid(getuid());
    const char *home = user ? user->pw_dir : getenv("HOME");

    return home && snprintf(out, capacity, "%s/.ssh/config", home) < (int)capacity;
}

static int parse_config(struct ssh_link *ssh, struct error *err)
{
    const char *file = ssh->options->config_file;
    char path[ADDRESS_PATH_BYTES];
    struct stat facts;

    if (file && strcmp(file, "none") == 0)
        return 0;
    FILE *stream = NULL;
    if (file || user_config(path, sizeof(path)))
        stream = fopen(file ? file : path, "re");
    if (file && !stream)
        return error_set_class(err, ERROR_USAGE, errno, "-F %s: %s", file, strerror(errno));
    int result = 0;
    /* Nothing else can be read again for the next lane. */
    if (stream && fstat(fileno(stream), &facts) == 0 && S_ISREG(facts.st_mode))
        result = parse_parts(ssh, stream, err);
    if (stream)
        fclose(stream);
    if (result == 0 && !file)
        result = parse_file(ssh, SYSTEM_CONFIG, false, err);
    return result;
}

/* What the command line says and 0.10.6 would let the configuration override (Port), or wants in
 * reverse order (ADD_IDENTITY puts in front). */
static int set_overrides(struct ssh_link *ssh, struct error *err)
{
    const struct link_options *options = ssh->options;
    unsigned int port = options->port ? options->port : options->address->port;
    int quiet = SSH_LOG_NOLOG; /* LogLevel in a configuration would print to stderr */
    int result = 0;

    if (port != 0)
        result = set(ssh, SSH_OPTIONS_PORT, &port, "this port", err);
    /* In a configuration 0.10.6 passes over ciphers that it does not know. */
    if (options->ciphers && result == 0)
        result = set(ssh, SSH_OPTIONS_CIPHERS_C_S, options->ciphers, "--ciphers", err);
    if (options->ciphers && result == 0)
        result = set(ssh, SSH_OPTIONS_CIPHERS_S_C, options->ciphers, "--ciphers", err);
    for (uint32_t i = options->identities_count; i > 0 && result == 0; i--)
        result = set(ssh, SSH_OPTIONS_ADD_IDENTITY, options->identity_files[i - 1], "this identity",
                     err);
    if (result == 0 && settings_are(options, "IdentitiesOnly", "yes"))
        result = set(ssh, SSH_OPTIONS_IDENTITY_AGENT, "/dev/null", "IdentitiesOnly", err);
    if (result == 0)
        result = set(ssh, SSH_OPTIONS_LOG_VERBOSITY, &quiet, "quiet", err);
    ssh->api.ssh_set_log_level(SSH_LOG_NOLOG);
    return result;
}

static void note_ignored(const struct ssh_link *ssh)
{
    static const char *const ignored[] = {"CertificateFile", "HostKeyAlias",   "ControlMaster",
                                          "ControlPath",     "PKCS11Provider", "ProxyUseFdpass"};

    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        if (settings_find(ssh->options, ignored[i]))
            log_warning("%s: libssh does not know %s; -e ssh does", ssh->base.peer, ignored[i]);
}

static int read_configuration(struct ssh_link *ssh, struct error *err)
{
    int result = set_defaults(ssh, err);

    note_ignored(ssh);
    if (result == 0)
        result = parse_settings(ssh, err);
    if (result == 0)
        result = parse_config(ssh, err);
    if (result == 0)
        result = set_overrides(ssh, err);
    get_option(ssh, ssh->scout, SSH_OPTIONS_HOST, ssh->host, sizeof(ssh->host));
    if (result == 0)
        result = set_host(ssh, ssh->session, ssh->host, err);
    return result;
}

/* ssh compares Host with the name as given, and Match host with the HostName so far. 0.10.6 has one
 * name for both, which HostName replaces: a later block for the alias would be passed over. So two
 * sessions read the same. The scout does it in libssh's way, and so learns HostName, whose first
 * one counts; the other one has seen a HostName already, keeps the name that it is given for each
 * part of the file, and in the end gets the scout's. Commands of Match exec run twice. */
static int configure(struct ssh_link *ssh, struct error *err)
{
    ssh->scout = ssh->api.ssh_new();
    if (!ssh->scout)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for a link",
                               ssh->base.peer);
    int result = read_configuration(ssh, err);
    ssh->api.ssh_free(ssh->scout);
    ssh->scout = NULL;
    ssh->port = 22;
    ssh->api.ssh_options_get_port(ssh->session, &ssh->port);
    return result;
}

/* ---- connection ---- */

static int address_family(const struct link_options *options)
{
    if (options->family == LINK_FAMILY_IPV4 || settings_are(options, "AddressFamily", "inet"))
        return AF_INET;
    if (options->family == LINK_FAMILY_IPV6 || settings_are(options, "AddressFamily", "inet6"))
        return AF_INET6;
    return AF_UNSPEC;
}

static int connect_proxy(struct ssh_link *ssh, const char *command, struct error *err)
{
    char user[ADDRESS_USER_BYTES];

    get_text(ssh, SSH_OPTIONS_USER, user, sizeof(user));
    const struct settings_proxy proxy = {
        .command = command, .host = ssh->host, .user = user, .port = (uint16_t)ssh->port};
    int result = settings_proxy_open(&ssh->proxy, ssh->options, &proxy, err);
    if (result == 0)
        ssh->fd = take_fd(&ssh->proxy.output_fd);
    return result;
}

/* The bytes below SSH: a TCP connection, or a process that carries them. */
static int connect_stream(struct ssh_link *ssh, struct error *err)
{
    const struct link_options *options = ssh->options;
    const char *jump =
        options->proxy_jump ? options->proxy_jump : settings_find(options, "ProxyJump");
    char command[4096];

    get_text(ssh, SSH_OPTIONS_PROXYCOMMAND, command, sizeof(command));
    /* It is our affair; 0.10.6 would stumble over its %n. */
    (void)ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_PROXYCOMMAND, "none");
    if (jump ? strcasecmp(jump, "none") != 0 : command[0] != '\0')
        return connect_proxy(ssh, command, err);

    const struct dial_target target = {
        .host = ssh->host,
        .port = (uint16_t)ssh->port,
        .family = address_family(options),
        .timeout_ns = connect_timeout_ns(options),
        .silence_timeout_ns = options->silence_timeout_ns,
    };
    return dial_open(&ssh->fd, &target, err);
}

/* SSH over the stream: versions and keys are exchanged. */
static int handshake(struct ssh_link *ssh, struct error *err)
{
    uint64_t begin_ns = clock_now_ns();
    uint64_t timeout_ns = connect_timeout_ns(ssh->options);
    socket_t given = fcntl(ssh->fd, F_DUPFD_CLOEXEC, 3);

    if (given < 0)
        return error_set_class(err, ERROR_SOCKET, errno, "%s: %s", ssh->base.peer, strerror(errno));
    int result = set(ssh, SSH_OPTIONS_FD, &given, "the socket", err);
    if (result < 0) {
        close(given);
        return result;
    }
    if (ssh->api.ssh_connect(ssh->session) != SSH_OK) {
        if (clock_now_ns() - begin_ns >= timeout_ns)
            return error_set_class(err, ERROR_CONNECT, ETIMEDOUT,
                                   "%s: no answer to the SSH greeting within %.3g s",
                                   ssh->base.peer, (double)timeout_ns / (double)NS_PER_SECOND);
        return lost(ssh, "connection", err);
    }
    /* 0.10.6 makes the socket blocking again when it gets it. It polls before every read and write,
     * so a non-blocking one is never asked in vain. */
    (void)fcntl(ssh->fd, F_SETFL, fcntl(ssh->fd, F_GETFL) | O_NONBLOCK);
    get_text(ssh, SSH_OPTIONS_USER, ssh->user, sizeof(ssh->user));
    return 0;
}

/* ---- the host's key ---- */

enum verdict { KEY_UNKNOWN, KEY_KNOWN, KEY_CHANGED, KEY_REVOKED };

struct host_key {
    ssh_key key;
    const char *type;
    char fingerprint[FINGERPRINT_BYTES];
    char name[ADDRESS_HOST_BYTES + 16]; /* as known_hosts has it: host, or [host]:port */
    enum verdict verdict;
    char file[ADDRESS_PATH_BYTES]; /* of the offending line */
    unsigned int line;             /* counted from 1 */
};

static void close_host_key(const struct ssh_link *ssh, struct host_key *host)
{
    if (host->key)
        ssh->api.ssh_key_free(host->key);
    host->key = NULL;
}

static int get_host_key(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    unsigned char *hash = NULL;
    size_t hash_bytes = 0;
    char *text = NULL;

    if (ssh->api.ssh_get_server_publickey(ssh->session, &host->key) != SSH_OK ||
        ssh->api.ssh_get_publickey_hash(host->key, SSH_PUBLICKEY_HASH_SHA256, &hash, &hash_bytes) !=
            SSH_OK)
        return error_set_class(err, ERROR_SOCKET, EPROTO, "%s: the host's key cannot be read",
                               ssh->base.peer);
    text = ssh->api.ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, hash_bytes);
    snprintf(host->fingerprint, sizeof(host->fingerprint), "%s", text ? text : "?");
    ssh->api.ssh_string_free_char(text);
    ssh->api.ssh_clean_pubkey_hash(&hash);
    host->type = ssh->api.ssh_key_type_to_char(ssh->api.ssh_key_type(host->key));

    char lower[ADDRESS_HOST_BYTES];
    size_t length = strlen(ssh->host);
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)(ssh->host[i] >= 'A' && ssh->host[i] <= 'Z' ? ssh->host[i] - 'A' + 'a'
                                                                     : ssh->host[i]);
    if (ssh->port == 22)
        snprintf(host->name, sizeof(host->name), "%s", lower);
    else
        snprintf(host->name, sizeof(host->name), "[%s]:%u", lower, ssh->port);
    return 0;
}

/* What one line of known_hosts says about this key. A key of another type is a change, too: 0.10.6
 * asks the server for the types that it knows first, so a server that has such a key shows it. */
static enum verdict judge_line(const struct ssh_link *ssh, const struct host_key *host,
                               const char *line)
{
    static const char revoked_mark[] = "@revoked ";
    struct ssh_knownhosts_entry *entry = NULL;
    enum verdict verdict = KEY_UNKNOWN;
    bool revoked = strncmp(line, revoked_mark, strlen(revoked_mark)) == 0;

    if (revoked)
        line += strlen(revoked_mark);
    if (line[0] == '\0' || line[0] == '#' || line[0] == '@' ||
        ssh->api.ssh_known_hosts_parse_line(host->name, line, &entry) != SSH_OK || !entry)
        return KEY_UNKNOWN;

    bool same = ssh->api.ssh_key_cmp(host->key, entry->publickey, SSH_KEY_CMP_PUBLIC) == 0;
    if (revoked)
        verdict = same ? KEY_REVOKED : KEY_UNKNOWN;
    else
        verdict = same ? KEY_KNOWN : KEY_CHANGED;
    ssh->api.ssh_knownhosts_entry_free(entry);
    return verdict;
}

/* Look through one file, keeping the weightiest verdict: revoked, then known, then changed. */
static void scan_known_hosts(const struct ssh_link *ssh, struct host_key *host, const char *file)
{
    FILE *stream = fopen(file, "re");
    AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    ssize_t length;

    if (!stream)
        return;
    for (unsigned int number = 1;
         number < LINES_MAX && (length = getline(&line, &capacity, stream)) >= 0; number++) {
        while (length > 0 && strchr("\r\n", line[length - 1]))
            line[--length] = '\0';
        enum verdict verdict = judge_line(ssh, host, line + strspn(line, " \t"));
        bool weightier = verdict == KEY_REVOKED ||
                         (verdict == KEY_KNOWN && host->verdict != KEY_REVOKED) ||
                         (verdict == KEY_CHANGED && host->verdict == KEY_UNKNOWN);
        if (weightier) {
            host->verdict = verdict;
            host->line = number;
            snprintf(host->file, sizeof(host->file), "%s", file);
        }
    }
    fclose(stream);
}

static int refuse_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    return error_set_class(
        err, ERROR_SOCKET, EPERM,
        "%s: the host's key %s: it shows %s %s, line %u of %s says otherwise; if that is right, "
        "remove the line (ssh-keygen -f '%s' -R '%s')",
        ssh->base.peer, host->verdict == KEY_REVOKED ? "is revoked" : "has changed", host->type,
        host->fingerprint, host->line, host->file, host->file, host->name);
}

static void remember_key(const struct ssh_link *ssh, const struct host_key *host)
{
    char words[256];

    if (ssh->api.ssh_session_update_known_hosts(ssh->session) == SSH_OK)
        log_note("%s: %s key %s is known from now on", host->name, host->type, host->fingerprint);
    else
        log_warning("%s: the key could not be written to known_hosts: %s", host->name,
                    reason(ssh, words));
}

/* Ask a person whether a key that nobody knows is right. */
static int confirm_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    char prompt[ASK_PROMPT_BYTES];
    char answer[FINGERPRINT_BYTES] = "";
    struct error why = {.class = ERROR_NONE};

    snprintf(prompt, sizeof(prompt),
             "%s: the host is not known. Its %s key has the fingerprint %s. Connect (yes/no, or "
             "the fingerprint)? ",
             host->name, host->type, host->fingerprint);
    if (settings_are(ssh->options, "BatchMode", "yes") ||
        ask_line(answer, sizeof(answer), prompt, true, &why) < 0) {
        if (why.class == ERROR_INTERRUPTED)
            return error_take(err, &why);
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the host is not known, and there is no terminal to ask on; its "
                               "%s key has the fingerprint %s",
                               ssh->base.peer, host->type, host->fingerprint);
    }
    if (strcasecmp(answer, "yes") == 0 || strcmp(answer, host->fingerprint) == 0)
        return 0;
    return error_set_class(err, ERROR_SOCKET, EPERM, "%s: the host's key %s was not accepted",
                           ssh->base.peer, host->fingerprint);
}

/* 0.10.6 under `StrictHostKeyChecking no` calls a *changed* key good, and tells nobody that the
 * setting is there. So: our own look at the files decides; the library's verdict must agree for a
 * known key, and only tells, for an unknown one, whether a configuration says "no". */
static int judge_key(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    bool library_knows = ssh->api.ssh_session_is_known_server(ssh->session) == SSH_KNOWN_HOSTS_OK;
    const char *strict = settings_find(ssh->options, "StrictHostKeyChecking");
    bool accept =
        library_knows ||
        (strict && (strcasecmp(strict, "accept-new") == 0 || strcasecmp(strict, "no") == 0));

    switch (host->verdict) {
    case KEY_KNOWN:
        if (library_knows)
            return 0;
        return error_set_class(err, ERROR_SOCKET, EPERM, "%s: libssh does not accept line %u of %s",
                               ssh->base.peer, host->line, host->file);
    case KEY_CHANGED:
    case KEY_REVOKED:
        return refuse_key(ssh, host, err);
    case KEY_UNKNOWN:
        break;
    }
    if (strict && strcasecmp(strict, "yes") == 0)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the host is not known, and StrictHostKeyChecking is yes; its "
                               "%s key has the fingerprint %s",
                               ssh->base.peer, host->type, host->fingerprint);
    int result = accept ? 0 : confirm_key(ssh, host, err);
    if (result == 0)
        remember_key(ssh, host);
    return result;
}

/* Before anything of ours is told to the host. */
static int verify_host(struct ssh_link *ssh, struct error *err)
{
    static const enum ssh_options_e files[] = {SSH_OPTIONS_KNOWNHOSTS,
                                               SSH_OPTIONS_GLOBAL_KNOWNHOSTS};
    struct host_key *host = calloc(1, sizeof(*host));
    char file[ADDRESS_PATH_BYTES];

    if (!host)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory", ssh->base.peer);
    int result = get_host_key(ssh, host, err);
    for (size_t i = 0; i < COUNT_OF(files) && result == 0; i++) {
        get_text(ssh, files[i], file, sizeof(file));
        scan_known_hosts(ssh, host, file);
    }
    if (result == 0)
        result = judge_key(ssh, host, err);
    close_host_key(ssh, host);
    free(host);
    return result;
}

/* ---- login ---- */

static bool may_ask(const struct ssh_link *ssh)
{
    return !settings_are(ssh->options, "BatchMode", "yes");
}

/* Ask, or take what worked for an earlier lane. Whose question it is belongs to the key: an answer
 * for one host never goes to another that asks in the same words. */
static int ask_secret(struct ssh_link *ssh, const char *what, const char *prompt, bool echo,
                      bool again)
{
    int length = snprintf(ssh->answer_key, sizeof(ssh->answer_key), "%s@%s:%u/%s/%s", ssh->user,
                          ssh->host, ssh->port, what, prompt);

    if (length >= (int)sizeof(ssh->answer_key))
        ssh->answer_key[0] = '\0'; /* too long to be told apart: not remembered */
    if (again)
        ask_memory_forget(ssh->options->memory, ssh->answer_key);
    else if (ask_memory_get(ssh->options->memory, ssh->answer_key, ssh->answer,
                            sizeof(ssh->answer)))
        return 0;
    if (!may_ask(ssh))
        return -ENOTTY;
    return ask_line(ssh->answer, sizeof(ssh->answer), prompt, echo, &ssh->refused);
}

/* The login has gone on: keep the answer for the next lane, and wipe it here. */
static void settle_answer(struct ssh_link *ssh, bool worked)
{
    if (worked)
        ask_memory_put(ssh->options->memory, ssh->answer_key, ssh->answer);
    ask_wipe(ssh->answer, sizeof(ssh->answer));
    ask_wipe(ssh->answer_key, sizeof(ssh->answer_key));
}

/* libssh wants the passphrase of the identity that it tries just now. */
static int give_passphrase(const char *prompt, char *out, size_t capacity, int echo, int verify,
                           void *owner)
{
    struct ssh_link *ssh = owner;
    char *identity = NULL;
    char question[ASK_PROMPT_BYTES];

    (void)prompt;
    (void)echo;
    (void)verify;
    ssh->api.ssh_userauth_publickey_auto_get_current_identity(ssh->session, &identity);
    snprintf(question, sizeof(question),
             "Passphrase for key %s: ", identity ? identity : "(unnamed)");
    ssh->api.ssh_string_free_char(identity);

    bool again = ssh->asked;
    ssh->asked = true;
    if (ask_secret(ssh, "key", question, false, again) < 0 || strlen(ssh->answer) >= capacity)
        return -1;
    strcpy(out, ssh->answer);
    return 0;
}

/* The agent's keys, then the identity files (those of -i first). */
static int login_by_key(struct ssh_link *ssh)
{
    int result = SSH_AUTH_DENIED;

    for (int i = 0; i < QUESTIONS_MAX && !error_is_set(&ssh->refused); i++) {
        bool asked_before = ssh->asked;
        result = ssh->api.ssh_userauth_publickey_auto(ssh->session, NULL, NULL);
        ssh->key_pending = result == SSH_AUTH_AGAIN;
        settle_answer(ssh, result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL);
        /* Without a question nothing would be different the next time. */
        if (result != SSH_AUTH_DENIED || !ssh->asked || (asked_before && i == 0))
            break;
    }
    return result;
}

/* Answer one request for information. SSH_AUTH_*. */
static int answer_prompts(struct ssh_link *ssh, bool again, bool *asked)
{
    int prompts = ssh->api.ssh_userauth_kbdint_getnprompts(ssh->session);
    const char *instruction = ssh->api.ssh_userauth_kbdint_getinstruction(ssh->session);
    char shown[512];

    if (instruction && instruction[0] != '\0')
        log_note("%s: %s", ssh->base.peer, text_escape(shown, sizeof(shown), instruction));
    if (prompts > PROMPTS_MAX)
        return SSH_AUTH_DENIED;
    for (int i = 0; i < prompts; i++) {
        char echo = 0;
        const char *prompt =
            ssh->api.ssh_userauth_kbdint_getprompt(ssh->session, (unsigned int)i, &echo);
        char question[ASK_PROMPT_BYTES];

        snprintf(question, sizeof(question), "(%s@%s) %s", ssh->user, ssh->host,
                 prompt ? prompt : "");
        *asked = true;
        if (ask_secret(ssh, "prompt", question, echo != 0, again) < 0)
            return SSH_AUTH_DENIED;
        if (ssh->api.ssh_userauth_kbdint_setanswer(ssh->session, (unsigned int)i, ssh->answer) < 0)
            return SSH_AUTH_ERROR;
        /* Only one answer can be told to be the right one. */
        if (prompts > 1)
            settle_answer(ssh, false);
    }
    return SSH_AUTH_SUCCESS;
}

static int login_by_prompts(struct ssh_link *ssh)
{
    int result = SSH_AUTH_DENIED;

    for (int i = 0; i < QUESTIONS_MAX && !error_is_set(&ssh->refused); i++) {
        bool asked = false;
        result = ssh->api.ssh_userauth_kbdint(ssh->session, NULL, NULL);
        for (int round = 0; round < KBDINT_ROUNDS_MAX && result == SSH_AUTH_INFO; round++) {
            if (answer_prompts(ssh, i > 0, &asked) != SSH_AUTH_SUCCESS)
                return SSH_AUTH_DENIED;
            result = ssh->api.ssh_userauth_kbdint(ssh->session, NULL, NULL);
        }
        settle_answer(ssh, asked && (result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL));
        if (result != SSH_AUTH_DENIED || !asked)
            break;
    }
    return result;
}

static int login_by_password(struct ssh_link *ssh)
{
    char prompt[ASK_PROMPT_BYTES];
    int result = SSH_AUTH_DENIED;

    snprintf(prompt, sizeof(prompt), "%s@%s's password: ", ssh->user, ssh->host);
    for (int i = 0; i < QUESTIONS_MAX && !error_is_set(&ssh->refused); i++) {
        if (ask_secret(ssh, "password", prompt, false, i > 0) < 0)
            break;
        result = ssh->api.ssh_userauth_password(ssh->session, NULL, ssh->answer);
        settle_answer(ssh, result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL);
        if (result != SSH_AUTH_DENIED)
            break;
    }
    return result;
}

static const struct login_method {
    int bit;
    const char *name;
    const char *setting; /* "no" forbids it */
    int (*run)(struct ssh_link *ssh);
} login_methods[] = {
    {SSH_AUTH_METHOD_PUBLICKEY, "publickey", "PubkeyAuthentication", login_by_key},
    {SSH_AUTH_METHOD_INTERACTIVE, "keyboard-interactive", "KbdInteractiveAuthentication",
     login_by_prompts},
    {SSH_AUTH_METHOD_PASSWORD, "password", "PasswordAuthentication", login_by_password},
};

/* Try each method that the server offers. SSH_AUTH_*; *tried collects names. */
static int login_round(struct ssh_link *ssh, char *tried, size_t capacity)
{
    int offered = ssh->api.ssh_userauth_list(ssh->session, NULL);
    int result = SSH_AUTH_DENIED;

    tried[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(login_methods); i++) {
        const struct login_method *method = &login_methods[i];
        if (!(offered & method->bit) || settings_are(ssh->options, method->setting, "no") ||
            error_is_set(&ssh->refused))
            continue;
        size_t used = strlen(tried);
        snprintf(tried + used, capacity - used, "%s%s", used ? ", " : "", method->name);
        result = method->run(ssh);
        if (result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL || result == SSH_AUTH_AGAIN)
            return result;
        /* 0.10.6 gives ERROR for a broken .pub file, too: then the next method may do. */
        if (!ssh->api.ssh_is_connected(ssh->session))
            return SSH_AUTH_ERROR;
    }
    return result;
}

static int login_error(struct ssh_link *ssh, int result, const char *tried, struct error *err)
{
    char words[256];

    if (ssh->refused.class == ERROR_INTERRUPTED)
        return error_take(err, &ssh->refused);
    if (result == SSH_AUTH_AGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: the host is silent at login",
                               ssh->base.peer);
    if (!ssh->api.ssh_is_connected(ssh->session))
        return error_set_class(err, ERROR_SOCKET, EACCES,
                               "%s: the host ended the login as %s (%s): %s", ssh->base.peer,
                               ssh->user, tried[0] ? tried : "no method", reason(ssh, words));
    return error_set_class(err, ERROR_SOCKET, EACCES, "%s: login as %s refused (tried %s)%s%s",
                           ssh->base.peer, ssh->user, tried[0] ? tried : "nothing: none offered",
                           error_is_set(&ssh->refused) ? "; " : "",
                           error_is_set(&ssh->refused) ? ssh->refused.text : "");
}

static int login(struct ssh_link *ssh, struct error *err)
{
    char tried[128] = "";
    int result = ssh->api.ssh_userauth_none(ssh->session, NULL);

    ssh->callbacks = (struct ssh_callbacks_struct){
        .size = sizeof(ssh->callbacks), .userdata = ssh, .auth_function = give_passphrase};
    ssh->api.ssh_set_callbacks(ssh->session, &ssh->callbacks);
    for (int round = 0; round < LOGIN_ROUNDS_MAX; round++) {
        if (result == SSH_AUTH_SUCCESS || result == SSH_AUTH_AGAIN ||
            (result == SSH_AUTH_ERROR && !ssh->api.ssh_is_connected(ssh->session)))
            break;
        if (round > 0 && result != SSH_AUTH_PARTIAL)
            break;
        result = login_round(ssh, tried, sizeof(tried));
    }
    settle_answer(ssh, false);
    return result == SSH_AUTH_SUCCESS ? 0 : login_error(ssh, result, tried, err);
}

/* ---- the channel ---- */

static int start_command(struct ssh_link *ssh, struct error *err)
{
    const char *command = ssh->options->remote_command;
    char words[256];

    ssh->channel = ssh->api.ssh_channel_new(ssh->session);
    if (!ssh->channel)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory", ssh->base.peer);
    int result = ssh->api.ssh_channel_open_session(ssh->channel);
    if (result == SSH_AGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT,
                               "%s: the host is silent when the session is opened", ssh->base.peer);
    if (result != SSH_OK)
        return lost(ssh, "session", err);
    result = ssh->api.ssh_channel_request_exec(ssh->channel, command);
    if (result == SSH_AGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT,
                               "%s: the host is silent when %s is started", ssh->base.peer,
                               ssh->base.program);
    if (result != SSH_OK)
        return error_set_class(err, ERROR_START, EACCES, "%s: %s could not be started there: %s",
                               ssh->base.peer, ssh->base.program, reason(ssh, words));
    ssh->api.ssh_set_blocking(ssh->session, 0);
    ssh->recv_mark = ssh->send_mark = MARK_NONE;
    ssh->api.ssh_set_counters(ssh->session, &ssh->socket, &ssh->packets);
    return 0;
}

/* What has arrived of the far command's stdout or stderr, without waiting. Nothing there is 0, as
 * with 0.10; 0.11 says SSH_AGAIN, which is negative. */
static int read_now(const struct ssh_link *ssh, void *out, uint32_t count, bool is_stderr)
{
    int received = ssh->api.ssh_channel_read_timeout(ssh->channel, out, count, is_stderr, 0);

    return received == SSH_AGAIN ? 0 : received;
}

/* Take the far command's stderr; `count` bytes at most.
 *
 * 0.10.6 grows the window to the `count` of a read, when that is more than it has; a plain reader
 * with small buffers never gets beyond 1.28 MB, 11 MB/s at 50 ms (measured). A read of *stderr*
 * with a large count does it without touching the data. `count` bytes may then be written, so the
 * scratch buffer really has them: address space, of which stderr touches a page or two. */
static int take_words(struct ssh_link *ssh, uint32_t count)
{
    int received = read_now(ssh, ssh->scratch, count, true);

    if (received > 0)
        child_words_add(&ssh->words, (const char *)ssh->scratch, (size_t)received, ssh->base.peer);
    return received;
}

static int grow_window(struct ssh_link *ssh)
{
    ssh->grown_at_bytes = ssh->base.received_bytes;
    return take_words(ssh, ssh->window_bytes);
}

/* Push on what is queued, without waiting. SSH_ERROR, else look at SSH_WRITE_PENDING. */
static int flush(struct ssh_link *ssh)
{
    if (!(ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING))
        return SSH_OK;
    return ssh->api.ssh_blocking_flush(ssh->session, 0);
}

static ssize_t ssh_link_send(struct link *link, const void *data, size_t length, struct error *err)
{
    struct ssh_link *ssh = of(link);
    uint32_t chunk = (uint32_t)min_u64(length, LINK_WRITE_BYTES);

    ssh->send_mark = MARK_NONE;
    /* A non-blocking write queues whatever the peer's window allows, megabytes (measured): so no
     * new one before the last has left. */
    if (flush(ssh) == SSH_ERROR)
        return lost(ssh, "write", err);

    bool pending = ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING;
    /* 0: the peer's window is closed, or keys are being exchanged. The mark is from before: the end
     * of the channel may come in this very call, and only the next one tells. */
    uint64_t mark = ssh->packets.in_packets;
    int sent = pending ? 0 : ssh->api.ssh_channel_write(ssh->channel, data, chunk);
    if (sent < 0)
        return lost(ssh, "write", err);
    if (sent == 0)
        ssh->send_mark = mark;
    return sent;
}

static ssize_t ssh_link_recv(struct link *link, void *buffer, size_t capacity, struct error *err)
{
    struct ssh_link *ssh = of(link);
    uint8_t *next = buffer;
    size_t total = 0;
    int received = 0;

    ssh->recv_mark = MARK_NONE;
    /* 0.10.6 reads 4 KiB of the socket at a time, and a packet has 32: go on while there is more of
     * it. A packet that came and was not for us is stderr's, taken below before the next. */
    for (int round = 0; round < RECV_ROUNDS_MAX && total < capacity; round++) {
        uint32_t count = (uint32_t)min_u64(capacity - total, LINK_WINDOW_BYTES_MIN / 2);
        uint64_t bytes = ssh->socket.in_bytes, packets = ssh->packets.in_packets;
        received = read_now(ssh, next + total, count, false);
        if (received > 0)
            total += (size_t)received;
        else if (received < 0 || ssh->socket.in_bytes == bytes ||
                 ssh->packets.in_packets != packets)
            break;
    }
    if (received == 0) {
        ssh->recv_mark = ssh->packets.in_packets; /* what follows may read more */
        /* The window is opened again only when nothing is buffered: else a slow reader would
         * promise the sum of window and buffer again and again; and not for every few bytes: each
         * is a packet. */
        bool due = ssh->base.received_bytes + total - ssh->grown_at_bytes >= GROW_BYTES;
        received = due ? grow_window(ssh) : take_words(ssh, WORDS_TAKEN_BYTES);
        if (received > 0)
            ssh->recv_mark = MARK_NONE; /* there may be more words, and they fill the window, too */
    }
    if (total > 0)
        return (ssize_t)total; /* an error shows again the next time */
    if (received < 0)
        return lost(ssh, "read", err);
    return ssh->api.ssh_channel_is_eof(ssh->channel) ? LINK_EOF : 0;
}

static int ssh_link_wait_fd(struct link *link, unsigned int wanted, short *events)
{
    struct ssh_link *ssh = of(link);

    /* Every call into libssh may read packets: data for a recv, while we send; a window, new keys
     * or the end for a send, while we receive. They are in memory then, and poll would never tell.
     */
    if (((wanted & LINK_RECV) && ssh->recv_mark != ssh->packets.in_packets) ||
        ((wanted & LINK_SEND) && ssh->send_mark != ssh->packets.in_packets))
        return -1;
    /* A send that was not taken waits for something to leave, or for a window or keys: for
     * something to read. POLLOUT without anything queued would be there always, and poll would
     * never sleep. */
    *events = POLLIN;
    if (ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING)
        *events |= POLLOUT;
    return ssh->fd;
}

static int ssh_link_send_eof(struct link *link, struct error *err)
{
    struct ssh_link *ssh = of(link);

    if (!ssh->eof_sent) {
        if (ssh->api.ssh_channel_is_closed(ssh->channel))
            return 0; /* the peer was faster */
        if (ssh->api.ssh_channel_send_eof(ssh->channel) == SSH_ERROR)
            return lost(ssh, "end", err);
        ssh->eof_sent = true;
    }
    if (flush(ssh) == SSH_ERROR)
        return lost(ssh, "end", err);
    ssh->send_mark = ssh->packets.in_packets;
    return ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING ? -EAGAIN : 0;
}

static int ssh_link_status(struct link *link, int *status)
{
    struct ssh_link *ssh = of(link);

    while (take_words(ssh, WORDS_TAKEN_BYTES) > 0)
        continue; /* its very last words; bounded by the window */
    *status = ssh->api.ssh_channel_get_exit_status(ssh->channel);
    if (*status >= 0)
        return 0;
    if (!ssh->api.ssh_channel_is_closed(ssh->channel))
        return -EAGAIN;
    if (!ssh->api.ssh_is_connected(ssh->session))
        return -ENODATA; /* a lost session closes its channels, too: nothing is known */
    *status =
        128 + SIGKILL; /* closed without a status: ended by a signal, whose name 0.10.6 keeps */
    return 0;
}

static const char *ssh_link_last_words(struct link *link)
{
    return child_words_last(&of(link)->words);
}

static void ssh_link_close(struct link *link)
{
    struct ssh_link *ssh = of(link);

    /* What publickey_auto holds is freed only by its own end, which is sure without a socket. */
    if (ssh->key_pending) {
        shutdown(ssh->fd, SHUT_RDWR);
        (void)ssh->api.ssh_userauth_publickey_auto(ssh->session, NULL, NULL);
    }
    /* Not ssh_disconnect(): 0.10.6 leaves a socket that it was given open. */
    if (ssh->session) {
        ssh->api.ssh_silent_disconnect(ssh->session);
        ssh->api.ssh_free(ssh->session); /* its channel, too */
    }
    if (ssh->fd >= 0)
        close(ssh->fd);
    child_close(&ssh->proxy, NS_PER_SECOND);
    if (ssh->scratch)
        munmap(ssh->scratch, ssh->window_bytes);
    if (ssh->library)
        dlclose(ssh->library);
    ask_wipe(ssh, sizeof(*ssh));
    free(ssh);
}

static const struct link_ops ssh_link_ops = {
    .name = "ssh",
    .send = ssh_link_send,
    .recv = ssh_link_recv,
    .wait_fd = ssh_link_wait_fd,
    .send_eof = ssh_link_send_eof,
    .status = ssh_link_status,
    .last_words = ssh_link_last_words,
    .close = ssh_link_close,
};

/* ---- opening ---- */

static int prepare(struct ssh_link *ssh, struct error *err)
{
    const struct link_options *options = ssh->options;
    uint32_t window = options->window_bytes ? options->window_bytes : LINK_WINDOW_BYTES;

    ssh->base.ops = &ssh_link_ops;
    ssh->fd = -1;
    child_init(&ssh->proxy);
    address_peer(ssh->base.peer, sizeof(ssh->base.peer), options->address);
    snprintf(ssh->base.program, sizeof(ssh->base.program), "%.*s",
             (int)strcspn(options->remote_command, " "), options->remote_command);
    ssh->window_bytes = window > LINK_WINDOW_BYTES_MIN ? window : LINK_WINDOW_BYTES_MIN;
    void *scratch = mmap(NULL, ssh->window_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for a link",
                               ssh->base.peer);
    ssh->scratch = scratch;

    int result = load(ssh, err);
    if (result < 0)
        return result;
    ssh->session = ssh->api.ssh_new();
    if (!ssh->session)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for a link",
                               ssh->base.peer);
    return 0;
}

int link_ssh_open(struct link **out, const struct link_options *options, struct error *err)
{
    static int (*const steps[])(struct ssh_link *, struct error *) = {
        prepare, configure, connect_stream, handshake, verify_host, login, start_command,
    };
    struct ssh_link *ssh = calloc(1, sizeof(*ssh));
    int result = 0;

    *out = NULL;
    if (!ssh)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a link");
    ssh->options = options;
    for (size_t i = 0; i < COUNT_OF(steps) && result == 0; i++)
        result = steps[i](ssh, err);
    if (result == 0 && grow_window(ssh) < 0)
        result = lost(ssh, "start", err);
    if (result < 0) {
        ssh_link_close(&ssh->base);
        return result;
    }
    log_verbose("%s: connected, cipher %s", ssh->base.peer,
                ssh->api.ssh_get_cipher_out(ssh->session));
    ssh->options = NULL;
    *out = &ssh->base;
    return 0;
}

#endif
