/* ssh_config.c - asks `ssh -G`, and looks up what it has answered. */
#include "haul/net/ssh_config.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/net/ask.h"
#include "haul/net/child.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { ANSWER_BYTES = 256 * 1024 /* 5 KiB without any configuration */ };

/* ---- asking ---- */

struct question {
    const char *argv[CHILD_ARGUMENTS_MAX];
    uint32_t count;
};

static void add(struct question *question, const char *word)
{
    if (question->count + 1 < CHILD_ARGUMENTS_MAX)
        question->argv[question->count++] = word;
}

static void add_pair(struct question *question, const char *option, const char *value)
{
    if (value && value[0] != '\0') {
        add(question, option);
        add(question, value);
    }
}

/* Other programs of that name do not know -G, and would connect. */
static bool is_openssh(void)
{
    static const char *const argv[] = {"ssh", "-V", NULL};
    struct child_words words = {.length = 0};
    char out[8];

    return child_ask(argv, NULL, out, sizeof(out), &words) == 0 &&
           strncmp(words.text, "OpenSSH_", 8) == 0;
}

/* Take `out` apart into lines that end with NUL. */
static void split(char *text)
{
    for (; *text; text++)
        if (*text == '\n')
            *text = '\0';
}

/* What ssh said, its first line. */
static void keep_words(char *out, size_t capacity, struct child_words *words)
{
    words->text[strcspn(words->text, "\r\n")] = '\0';
    text_escape(out, capacity, words->text);
}

/* Ask, or take what was answered for an earlier lane: `key` names the question. */
static int ask(char **text, const struct question *question, struct ask_memory *memory,
               const char *key, struct child_words *words)
{
    char *out = calloc(1, ANSWER_BYTES);
    int status = 0;

    if (!out)
        return -ENOMEM;
    assert(question->argv[question->count] == NULL);
    if (!ask_memory_get(memory, key, out, ANSWER_BYTES - 1))
        status = child_ask(question->argv, NULL, out, ANSWER_BYTES - 1, words);
    if (status != 0 || strncmp(out, "host", 4) != 0) {
        free(out);
        return status < 0 ? status : -EINVAL;
    }
    ask_memory_put(memory, key, out);
    split(out);
    *text = out;
    return 0;
}

/* -T: no word about a terminal. */
static void begin(struct question *question, const char *file)
{
    *question = (struct question){.count = 0};
    add(question, "ssh");
    add(question, "-GT");
    add_pair(question, "-F", file);
}

/* The command line, in pairs. */
static void put_options(struct question *question, const struct link_options *options, char port[8])
{
    static const char *const families[] = {
        [LINK_FAMILY_ANY] = NULL,
        [LINK_FAMILY_IPV4] = "AddressFamily=inet",
        [LINK_FAMILY_IPV6] = "AddressFamily=inet6",
    };
    unsigned int number = options->port ? options->port : options->address->port;

    snprintf(port, 8, "%u", number);
    add_pair(question, "-p", number ? port : NULL);
    add_pair(question, "-l", options->address->user);
    add_pair(question, "-J", options->proxy_jump);
    add_pair(question, "-c", options->ciphers);
    add_pair(question, "-o", families[options->family]);
    for (uint32_t i = 0; i < options->identities_count; i++)
        add_pair(question, "-i", options->identity_files[i]);
    for (uint32_t i = 0; i < options->settings_count; i++)
        add_pair(question, "-o", options->settings[i]);
}

static bool speaks_for_itself(const struct ssh_config *config, const struct link_options *options);

/* But without the lines of `key`. NULL: no memory. */
static char *copy_text(const char *text, const char *key)
{
    size_t bytes = 1, key_length = strlen(key);
    for (const char *line = text; *line; line += strlen(line) + 1)
        bytes += strlen(line) + 1;
    char *out = calloc(1, bytes), *end = out;
    for (const char *line = text; out && *line; line += strlen(line) + 1) {
        if (strncmp(line, key, key_length) != 0 || line[key_length] != ' ')
            end = stpcpy(end, line) + 1;
    }
    return out;
}

/* What ssh does without any configuration. It is asked for that only where something depends on it:
 * each question is a process. */
static int ask_standard(struct ssh_config *config, const struct link_options *options,
                        const char *peer)
{
    struct question question;
    struct child_words unused = {.length = 0};
    char key[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + 36];

    if (speaks_for_itself(config, options)) {
        config->standard = copy_text(config->text, options->ciphers ? "ciphers" : "");
        return config->standard ? 0 : -ENOMEM;
    }
    snprintf(key, sizeof(key), "ssh -F none -G/%s", peer);
    begin(&question, "none");
    add_pair(&question, "--", options->address->host);
    int result = ask(&config->standard, &question, options->memory, key, &unused);
    return result == -ENOENT ? -EINVAL : result;
}

static int ask_both(struct ssh_config *config, const struct link_options *options,
                    struct child_words *words)
{
    struct question question;
    char port[8], peer[ADDRESS_HOST_BYTES + ADDRESS_USER_BYTES + 4], key[sizeof(peer) + 32];

    address_peer(peer, sizeof(peer), options->address);
    snprintf(key, sizeof(key), "ssh -G/%s", peer);
    if (!ask_memory_get(options->memory, key, NULL, 0) && !is_openssh())
        return -ENOENT;
    begin(&question, options->config_file);
    put_options(&question, options, port);
    add_pair(&question, "--", options->address->host);
    int result = ask(&config->text, &question, options->memory, key, words);
    if (result == 0)
        result = ask_standard(config, options, peer);
    return result == -ENOENT ? -EINVAL : result;
}

int ssh_config_ask(struct ssh_config *config, const struct link_options *options, struct error *err)
{
    struct child_words words = {.length = 0};
    const char *host = options->address->host;

    *config = (struct ssh_config){.host = host};
    int result = ask_both(config, options, &words);
    keep_words(config->warning, sizeof(config->warning), &words);
    if (result == 0 || result == -ENOENT)
        return result;
    if (result == -EINTR)
        return error_set_class(err, ERROR_INTERRUPTED, EINTR, "%s: interrupted while ssh was asked",
                               host);
    return error_set_class(err, result == -ENOMEM ? ERROR_MEMORY : ERROR_USAGE, -result,
                           "%s: ssh's configuration: %s", host,
                           config->warning[0] ? config->warning : strerror(-result));
}

/* ---- by hand ---- */

int ssh_config_put(struct ssh_config *config, const char *key, const char *value)
{
    size_t used = 0;

    for (const char *line = config->text; line && *line; line += strlen(line) + 1)
        used += strlen(line) + 1;
    size_t length = strlen(key) + 1 + strlen(value);
    char *text = realloc(config->text, used + length + 2);
    if (!text)
        return -ENOMEM;
    char *line = text + used;
    snprintf(line, length + 1, "%s %s", key, value);
    line[length + 1] = '\0';
    for (; *line && *line != ' '; line++)
        *line = (char)(*line >= 'A' && *line <= 'Z' ? *line - 'A' + 'a' : *line);
    config->text = text;
    return 0;
}

/* "Key=Value" or "Key Value". -EINVAL: neither. */
static int put_setting(struct ssh_config *config, const char *setting)
{
    char key[64];
    size_t length = strcspn(setting, " \t=");
    const char *value = setting + length + strspn(setting + length, " \t=");

    if (length == 0 || length >= sizeof(key) || !*value || strchr(setting, '\n'))
        return -EINVAL;
    snprintf(key, sizeof(key), "%.*s", (int)length, setting);
    return ssh_config_put(config, key, value);
}

/* What a pair of the command line means. */
static int put_pair(struct ssh_config *config, const char *option, const char *value)
{
    switch (option[1]) {
    case 'p':
        return ssh_config_put(config, "port", value);
    case 'l':
        return ssh_config_put(config, "user", value);
    case 'J':
        return ssh_config_put(config, "proxyjump", value);
    case 'c':
        return ssh_config_put(config, "ciphers", value);
    case 'i':
        return ssh_config_put(config, "identityfile", value);
    default:
        return put_setting(config, value);
    }
}

int ssh_config_put_options(struct ssh_config *config, const struct link_options *options,
                           struct error *err)
{
    struct question question = {.count = 0};
    char port[8];

    put_options(&question, options, port);
    for (uint32_t i = 0; i < question.count; i += 2) {
        int result = put_pair(config, question.argv[i], question.argv[i + 1]);
        if (result == -EINVAL)
            return error_set_class(err, ERROR_USAGE, EINVAL, "-o %s: not Key=Value",
                                   question.argv[i + 1]);
        if (result < 0)
            return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for ssh's options");
    }
    return 0;
}

void ssh_config_close(struct ssh_config *config)
{
    free(config->text);
    free(config->standard);
    *config = (struct ssh_config){.text = NULL};
}

/* ---- looking up ---- */

/* The value of a line, when it is the key's. */
static const char *value_of(const char *line, const char *key)
{
    size_t length = strlen(key);

    return strncmp(line, key, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

/* The value of the key's first line; NULL: there is none. */
static const char *find(const char *line, const char *key)
{
    const char *value = NULL;

    for (; line && *line && !value; line += strlen(line) + 1)
        value = value_of(line, key);
    return value;
}

static const char *unless_none(const char *value)
{
    return value && strcasecmp(value, "none") != 0 ? value : NULL;
}

const char *ssh_config_get(const struct ssh_config *config, const char *key)
{
    return unless_none(find(config->text, key));
}

const char *ssh_config_chosen(const struct ssh_config *config, const char *key)
{
    const char *value = ssh_config_get(config, key);
    const char *standard = find(config->standard, key);

    return value && (!standard || strcmp(value, standard) != 0) ? value : NULL;
}

bool ssh_config_none(const struct ssh_config *config, const char *key)
{
    const char *value = find(config->text, key);

    return value && !unless_none(value);
}

const char *ssh_config_next(const char *key, const char *value)
{
    return unless_none(find(value + strlen(value) + 1, key));
}

bool ssh_config_flag(const struct ssh_config *config, const char *key, bool otherwise)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = {{"yes", true},     {"true", true}, {"on", true},     {"host-bound", true},
                 {"unbound", true}, {"no", false},  {"false", false}, {"off", false}};
    const char *value = ssh_config_get(config, key);

    for (size_t i = 0; value && i < COUNT_OF(words); i++)
        if (strcasecmp(value, words[i].word) == 0)
            return words[i].on;
    return otherwise;
}

uint64_t ssh_config_number(const struct ssh_config *config, const char *key, uint64_t otherwise)
{
    const char *value = ssh_config_get(config, key);
    uint64_t number;

    return value && num_parse_u64(value, &number) ? number : otherwise;
}

bool ssh_config_file(const char **rest, char *out, size_t capacity)
{
    const char *begin_at = *rest + strspn(*rest, " ");
    size_t length = strcspn(begin_at, " "), taken = length;

    if (length == 0)
        return false;
    /* The longest name that exists, else the first word. */
    for (;; length += 1 + strcspn(begin_at + length + 1, " ")) {
        if (length < capacity) {
            memcpy(out, begin_at, length);
            out[length] = '\0';
            if (access(out, F_OK) == 0)
                taken = length;
        }
        if (begin_at[length] == '\0')
            break;
    }
    taken = taken < capacity ? taken : capacity - 1;
    memcpy(out, begin_at, taken);
    out[taken] = '\0';
    *rest = begin_at + taken;
    return true;
}

/* ---- names of files ---- */

/* ~ and ~user in front; NULL in *home: there is none. How much of `text` it stands for. */
static size_t home_of(const char *text, const char **home)
{
    char name[64];
    size_t length = text[0] == '~' ? strcspn(text, "/") : 0;

    *home = NULL;
    if (length == 0 || length >= sizeof(name))
        return 0;
    snprintf(name, sizeof(name), "%.*s", (int)length - 1, text + 1);
    const struct passwd *user = name[0] ? getpwnam(name) : getpwuid(getuid());
    *home = user ? user->pw_dir : NULL;
    return *home ? length : 0;
}

/* The value of one token; NULL: not known here. `store` has room for what is not elsewhere. */
static const char *token(const struct ssh_config *config, char letter, char store[256])
{
    static const char letters[] = "hprkj";
    static const char *const keys[] = {"hostname", "port", "user", "hostkeyalias", "proxyjump"};
    const struct passwd *user = getpwuid(getuid());
    const char *place = letter ? strchr(letters, letter) : NULL;
    const char *value = place ? ssh_config_get(config, keys[place - letters]) : NULL;

    switch (letter) {
    case '%':
        return "%";
    case 'd':
        return user ? user->pw_dir : NULL;
    case 'u':
        return user ? user->pw_name : NULL;
    case 'i':
        snprintf(store, 256, "%u", (unsigned int)getuid());
        return store;
    case 'l':
    case 'L':
        if (gethostname(store, 256) < 0)
            return NULL;
        store[letter == 'L' ? strcspn(store, ".") : 255] = '\0';
        return store;
    case 'n':
        return config->host;
    case 'k':
        return value ? value : config->host;
    case 'j':
        return value ? value : "";
    default:
        return value;
    }
}

/* "${NAME}": its value and how long it stood there. */
static const char *variable(const char *text, size_t *length)
{
    char name[128];
    size_t end = strcspn(text, "}");

    if (text[0] != '$' || text[1] != '{' || text[end] != '}' || end - 2 >= sizeof(name))
        return NULL;
    snprintf(name, sizeof(name), "%.*s", (int)end - 2, text + 2);
    *length = end + 1;
    return getenv(name);
}

int ssh_config_tokens(const struct ssh_config *config, const char *text, bool variables, char *out,
                      size_t capacity)
{
    char store[256];
    size_t length, used = 0;

    out[0] = '\0';
    for (; *text; text += length) {
        char one[2] = {text[0], '\0'};
        const char *value = one;
        length = 1;
        if (text[0] == '%') {
            value = token(config, text[1], store);
            length = 2;
        } else if (variables && text[0] == '$' && text[1] == '{') {
            value = variable(text, &length);
        }
        if (!value)
            return -EINVAL;
        used += (size_t)snprintf(out + used, capacity - used, "%s", value);
        if (used >= capacity)
            return -ENAMETOOLONG;
    }
    return 0;
}

int ssh_config_expand(const struct ssh_config *config, const char *text, char *out, size_t capacity)
{
    const char *home;
    size_t length = home_of(text, &home);
    size_t used = (size_t)snprintf(out, capacity, "%s", home ? home : "");

    return used >= capacity
               ? -ENAMETOOLONG
               : ssh_config_tokens(config, text + length, true, out + used, capacity - used);
}

/* ---- what was asked for ---- */

/* Without meaning for a copy: they are about terminals, forwarding, logs, connections that are
 * shared or kept for later sessions, and about methods of login that a message names when the login
 * fails. The rest is honoured; an ssh of tomorrow with other keys makes haul say so. */
static const char *const known_keys[] = {
    /* honoured */
    "host", "user", "hostname", "port", "addressfamily", "batchmode", "bindaddress",
    "certificatefile", "checkhostip", "ciphers", "compression", "connecttimeout",
    "globalknownhostsfile", "hashknownhosts", "hostkeyalgorithms", "hostkeyalias", "identitiesonly",
    "identityagent", "identityfile", "kbdinteractiveauthentication", "kexalgorithms", "macs",
    "numberofpasswordprompts", "passwordauthentication", "preferredauthentications", "proxycommand",
    "proxyjump", "pubkeyacceptedalgorithms", "pubkeyauthentication", "rekeylimit",
    "requiredrsasize", "revokedhostkeys", "serveralivecountmax", "serveraliveinterval",
    "stricthostkeychecking", "userknownhostsfile",
    /* done by ssh itself before it answers */
    "canonicaldomains", "canonicalizefallbacklocal", "canonicalizehostname", "canonicalizemaxdots",
    "canonicalizepermittedcnames", "ignoreunknown", "include", "tag", "versionaddendum",
    /* without meaning for a copy */
    "addkeystoagent", "channeltimeout", "clearallforwardings", "dynamicforward",
    "enableescapecommandline", "enablesshkeysign", "escapechar", "exitonforwardfailure",
    "forkafterauthentication", "forwardagent", "forwardx11", "forwardx11timeout",
    "forwardx11trusted", "gatewayports", "gssapiauthentication", "gssapidelegatecredentials",
    "gssapikexalgorithms", "hostbasedacceptedalgorithms", "localcommand", "localforward",
    "loglevel", "logverbose", "obscurekeystroketiming", "permitlocalcommand", "permitremoteopen",
    "remotecommand", "remoteforward", "requesttty", "sendenv", "sessiontype", "setenv", "stdinnull",
    "streamlocalbindmask", "streamlocalbindunlink", "syslogfacility", "tcpkeepalive", "tunnel",
    "tunneldevice", "updatehostkeys", "visualhostkey", "xauthlocation"};

/* Without these somebody else would be trusted, or nobody reached. */
static const char *const refused_keys[] = {"knownhostscommand", "proxyusefdpass"};

static bool has_line(const char *text, const char *line)
{
    for (; *text; text += strlen(text) + 1)
        if (strcasecmp(text, line) == 0)
            return true;
    return false;
}

static bool is_among(const char *const *keys, size_t count, const char *line, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(keys[i]) == length && strncasecmp(keys[i], line, length) == 0)
            return true;
    return false;
}

/* What OpenSSH says by itself of the ciphers (since 6.7, since 10.0), and of what is in no table
 * above. */
static const char *const standard_lines[] = {
    "ciphers chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,"
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com",
    "ciphers chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
    "aes128-ctr,aes192-ctr,aes256-ctr",
    "casignaturealgorithms ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,"
    "ecdsa-sha2-nistp521,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,"
    "rsa-sha2-512,rsa-sha2-256",
    "connectionattempts 1",
    "controlmaster false",
    "controlpersist no",
    "fingerprinthash SHA256",
    "gssapikeyexchange no",
    "gssapirenewalforcesrekey no",
    "gssapitrustdns no",
    "hostbasedauthentication no",
    "ipqos lowdelay throughput",
    "ipqos af21 cs1",
    "nohostauthenticationforlocalhost no",
    "proxyusefdpass no",
    "securitykeyprovider internal",
    "verifyhostkeydns false",
};

/* No key would be told as unknown, and the ciphers are ssh's own, or were given with the command:
 * of nothing else anybody asks whether it was chosen. */
static bool speaks_for_itself(const struct ssh_config *config, const struct link_options *options)
{
    for (const char *line = config->text; *line; line += strlen(line) + 1) {
        size_t length = strcspn(line, " ");
        bool ciphers = strncmp(line, "ciphers ", 8) == 0;
        bool standard = (ciphers && options->ciphers) ||
                        (!ciphers && is_among(known_keys, COUNT_OF(known_keys), line, length));
        for (size_t i = 0; i < COUNT_OF(standard_lines) && !standard; i++)
            standard = strcmp(line, standard_lines[i]) == 0;
        if (!standard)
            return false;
    }
    return true;
}

/* Not what ssh does without any configuration. */
static bool is_asked(const struct ssh_config *config, const char *line)
{
    return !config->standard || !has_line(config->standard, line);
}

bool ssh_config_unknown(const struct ssh_config *config, char *out, size_t capacity)
{
    size_t used = 0;

    out[0] = '\0';
    for (const char *line = config->text; line && *line; line += strlen(line) + 1) {
        size_t length = strcspn(line, " ");
        if (!is_asked(config, line) || used + length + 3 > capacity ||
            is_among(known_keys, COUNT_OF(known_keys), line, length))
            continue;
        used += (size_t)snprintf(out + used, capacity - used, "%s%.*s", used > 0 ? ", " : "",
                                 (int)length, line);
    }
    return used > 0;
}

const char *ssh_config_refused(const struct ssh_config *config)
{
    for (size_t i = 0; i < COUNT_OF(refused_keys); i++) {
        const char *value = ssh_config_get(config, refused_keys[i]);
        if (value && strcasecmp(value, "no") != 0)
            return refused_keys[i];
    }
    return NULL;
}
