/* ssh_login.c - the login: keys of the agent and of files, questions, passwords.
 *
 * The order of methods and of keys is ssh's. Nothing here waits inside libssh: 0.10.6 goes on
 * waiting for an answer when the server has said that it is over. */
#include "ssh_link.h"

#if WITH_SSH

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/net/ssh_agent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    QUESTIONS_MAX = 3,      /* unless NumberOfPasswordPrompts says otherwise */
    LOGIN_ROUNDS_MAX = 6,   /* of partial successes */
    KBDINT_ROUNDS_MAX = 16, /* requests of the server within one try */
    PROMPTS_MAX = 8,        /* in one request */
    IDENTITIES_MAX = 100,   /* ssh's SSH_MAX_IDENTITY_FILES */
    BANNER_LINES_MAX = 200
};

/* ---- waiting ---- */

/* Wait for more of the answer. False: the session is over, a signal came, or it takes too long. */
static bool login_wait(struct ssh_link *ssh, uint64_t deadline_ns)
{
    struct pollfd item = {.fd = ssh->fd, .events = POLLIN};
    uint64_t now_ns = clock_now_ns();

    if (!ssh->api.ssh_is_connected(ssh->session) || now_ns >= deadline_ns)
        return false;
    if (ssh->api.ssh_get_status(ssh->session) & SSH_WRITE_PENDING)
        item.events |= POLLOUT;
    ssh->login_mark = ssh->packets.in_packets;
    if (poll(&item, 1, (int)min_u64(div_ceil(deadline_ns - now_ns, NS_PER_MS), INT32_MAX)) >= 0)
        return true;
    error_set_class(&ssh->refused, ERROR_INTERRUPTED, errno, "%s: interrupted at login",
                    ssh->base.peer);
    return false;
}

/* SSH_AUTH_*, of a call that begins something or goes on with it; AGAIN: no answer came. */
#define AWAIT(ssh, call)                                                                           \
    ({                                                                                             \
        uint64_t await_until_ns = clock_now_ns() + ssh_link_timeout_ns(ssh);                       \
        int await_result;                                                                          \
        do                                                                                         \
            await_result = (call);                                                                 \
        while (await_result == SSH_AUTH_AGAIN && login_wait(ssh, await_until_ns));                 \
        await_result;                                                                              \
    })

/* Nothing further is to be tried. */
static bool is_final(const struct ssh_link *ssh, int result)
{
    return result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL || result == SSH_AUTH_AGAIN ||
           error_is_set(&ssh->refused) || !ssh->api.ssh_is_connected(ssh->session);
}

/* ---- questions ---- */

static int questions_max(const struct ssh_link *ssh)
{
    uint64_t count = ssh_config_number(&ssh->config, "numberofpasswordprompts", QUESTIONS_MAX);

    return (int)min_u64(count, 100);
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
        ask_memory_put(ssh->options->memory, ssh->answer_key, NULL);
    else if (ask_memory_get(ssh->options->memory, ssh->answer_key, ssh->answer,
                            sizeof(ssh->answer)))
        return 0;
    if (ssh_config_flag(&ssh->config, "batchmode", false))
        return -ENOTTY;
    return ask_line(ssh->answer, sizeof(ssh->answer), prompt, echo, &ssh->refused);
}

/* The login has gone on: keep the answer for the next lane, and wipe it here. */
static void settle_answer(struct ssh_link *ssh, int result)
{
    if (result == SSH_AUTH_SUCCESS || result == SSH_AUTH_PARTIAL)
        ask_memory_put(ssh->options->memory, ssh->answer_key, ssh->answer);
    ask_wipe(ssh->answer, sizeof(ssh->answer));
    ask_wipe(ssh->answer_key, sizeof(ssh->answer_key));
}

/* ---- keys ---- */

/* A file that the configuration names, and what is known of it. */
struct identity {
    char path[ADDRESS_PATH_BYTES];
    ssh_key public; /* NULL: the private one must be opened to know it */
    char *base64;   /* of `public` */
};

struct keys {
    struct ssh_link *ssh;
    struct identity *identities;
    uint32_t count;
    bool in_agent[IDENTITIES_MAX];
    struct ssh_agent *agent; /* NULL: none */
};

static void load_public(const struct ssh_link *ssh, struct identity *identity)
{
    char path[ADDRESS_PATH_BYTES + 4];

    snprintf(path, sizeof(path), "%s.pub", identity->path);
    if (ssh->api.ssh_pki_import_pubkey_file(identity->path, &identity->public) != SSH_OK &&
        ssh->api.ssh_pki_import_pubkey_file(path, &identity->public) != SSH_OK)
        identity->public = NULL;
    if (identity->public &&
        ssh->api.ssh_pki_export_pubkey_base64(identity->public, &identity->base64) != SSH_OK)
        identity->base64 = NULL;
}

/* Those that are there. */
static void find_identities(struct keys *keys)
{
    struct ssh_link *ssh = keys->ssh;

    for (const char *value = ssh_config_get(&ssh->config, "identityfile");
         value && keys->count < IDENTITIES_MAX; value = ssh_config_next("identityfile", value)) {
        struct identity *identity = &keys->identities[keys->count];
        int result = ssh_config_expand(&ssh->config, value, identity->path, sizeof(identity->path));
        if (result < 0)
            log_warning("%s: IdentityFile %s: %s; -e ssh knows it", ssh->base.peer, value,
                        result == -EINVAL ? "has a token that is not known" : "is too long");
        if (result < 0)
            continue;
        load_public(ssh, identity);
        if (identity->public || access(identity->path, R_OK) == 0)
            keys->count++;
    }
}

static const char *agent_path(const struct ssh_link *ssh, char *out, size_t capacity)
{
    const char *path = ssh_config_get(&ssh->config, "identityagent");

    if (ssh_config_none(&ssh->config, "identityagent"))
        return NULL;
    if (!path || strcmp(path, "SSH_AUTH_SOCK") == 0)
        return getenv("SSH_AUTH_SOCK");
    if (path[0] == '$' && path[1] != '{')
        return getenv(path + 1);
    return ssh_config_expand(&ssh->config, path, out, capacity) < 0 ? NULL : out;
}

static void open_agent(struct keys *keys)
{
    struct ssh_link *ssh = keys->ssh;
    char store[ADDRESS_PATH_BYTES];
    const char *named[IDENTITIES_MAX];
    const struct ssh_agent_wish wish = {
        .path = agent_path(ssh, store, sizeof(store)),
        .named = named,
        .present = keys->in_agent,
        .count = keys->count,
        .named_only = ssh_config_flag(&ssh->config, "identitiesonly", false),
    };
    int fd = -1;

    if (!wish.path || wish.path[0] == '\0')
        return;
    for (uint32_t i = 0; i < keys->count; i++)
        named[i] = keys->identities[i].base64;
    int result = ssh_agent_open(&keys->agent, &wish, &fd);
    if (result < 0)
        log_verbose("%s: no agent at %s: %s", ssh->base.peer, wish.path, strerror(-result));
    if (result == 0 && ssh->api.ssh_set_agent_socket(ssh->session, fd) != SSH_OK) {
        close(fd); /* else the session closes it */
        ssh_agent_close(keys->agent);
        keys->agent = NULL;
    }
}

/* libssh wants the passphrase of a key. `owner` is the link; the question has its identity. */
struct passphrase {
    struct ssh_link *ssh;
    const char *path;
    bool again;
};

static int give_passphrase(const char *prompt, char *out, size_t capacity, int echo, int verify,
                           void *owner)
{
    const struct passphrase *passphrase = owner;
    struct ssh_link *ssh = passphrase->ssh;
    char question[ASK_PROMPT_BYTES];

    (void)prompt;
    (void)echo;
    (void)verify;
    ssh->asked = true;
    snprintf(question, sizeof(question), "Passphrase for key %s: ", passphrase->path);
    if (ask_secret(ssh, "key", question, false, passphrase->again) < 0 ||
        strlen(ssh->answer) >= capacity)
        return -1;
    strcpy(out, ssh->answer);
    return 0;
}

/* A private key of ours that others may read: ssh does not use it. */
static bool is_exposed(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && st.st_uid == getuid() && (st.st_mode & 077) != 0;
}

/* The private key, asking for its passphrase where it has one. NULL: not to be had; whoever would
 * have taken it is told why when the login fails. */
static ssh_key open_private(struct ssh_link *ssh, const char *path)
{
    struct passphrase passphrase = {.ssh = ssh, .path = path};
    ssh_key key = NULL;
    int result = SSH_ERROR;

    if (is_exposed(path)) {
        error_set_class(&ssh->unusable, ERROR_SOCKET, EACCES,
                        "%s: others may read this private key, so it is not used (chmod 600)",
                        path);
        return NULL;
    }
    for (int i = 0; i < questions_max(ssh) && !error_is_set(&ssh->refused); i++) {
        ssh->asked = false;
        result =
            ssh->api.ssh_pki_import_privkey_file(path, NULL, give_passphrase, &passphrase, &key);
        if (result == SSH_OK || !ssh->asked)
            break;
        settle_answer(ssh, SSH_AUTH_DENIED);
        passphrase.again = true;
    }
    if (result == SSH_OK)
        return key;
    error_set_class(&ssh->unusable, ERROR_SOCKET, EACCES, "%s: %s", path,
                    ssh->asked ? "no right passphrase was given"
                    : result == SSH_EOF
                        ? "the private key is not there"
                        : "the private key cannot be used by libssh (a security key "
                          "works by an agent, or by -e ssh)");
    return NULL;
}

/* A key that lies in a file, with `certificate` or without. */
static int try_file(struct ssh_link *ssh, const struct identity *identity, ssh_key certificate)
{
    ssh_key shown = certificate ? certificate : identity->public;
    int result = shown ? AWAIT(ssh, ssh->api.ssh_userauth_try_publickey(ssh->session, NULL, shown))
                       : SSH_AUTH_SUCCESS;

    if (result != SSH_AUTH_SUCCESS)
        return result;
    ssh_key private = open_private(ssh, identity->path);
    if (!private)
        return SSH_AUTH_DENIED;
    result = SSH_AUTH_DENIED;
    if (!certificate || ssh->api.ssh_pki_copy_cert_to_privkey(certificate, private) == SSH_OK)
        result = AWAIT(ssh, ssh->api.ssh_userauth_publickey(ssh->session, NULL, private));
    settle_answer(ssh, result);
    ssh->api.ssh_key_free(private);
    return result;
}

/* The fingerprint of the key in a file; a certificate's is that of its key. "": not known. */
static void ask_fingerprint(const char *path, char out[128])
{
    const char *argv[] = {"ssh-keygen", "-lf", path, NULL};
    struct child_words words = {.length = 0};
    char told[1024];

    out[0] = '\0';
    if (child_ask(argv, NULL, told, sizeof(told), &words) == 0)
        (void)sscanf(told, "%*s %127s", out);
}

/* With the certificate in `path`, when it is of the identity's key: neither libssh nor the host
 * says so before the login fails by it. */
static int try_certificate(struct ssh_link *ssh, const struct identity *identity, const char *path)
{
    ssh_key certificate = NULL;
    char of_certificate[128], of_key[128];
    int result = SSH_AUTH_DENIED;

    if (!identity->public || ssh->api.ssh_pki_import_cert_file(path, &certificate) != SSH_OK)
        return result;
    ask_fingerprint(path, of_certificate);
    ask_fingerprint(identity->path, of_key);
    bool ours = strcmp(of_certificate, of_key) == 0;
    if (ours && access(identity->path, R_OK) == 0)
        result = try_file(ssh, identity, certificate);
    else if (ours)
        log_verbose("%s: %s: its private key is not in a file; ssh-add can give the agent the "
                    "certificate, too",
                    ssh->base.peer, path);
    ssh->api.ssh_key_free(certificate);
    return result;
}

static int try_certificates(struct ssh_link *ssh, const struct identity *identity)
{
    char path[ADDRESS_PATH_BYTES + 16];
    int result = SSH_AUTH_DENIED;

    for (const char *value = ssh_config_get(&ssh->config, "certificatefile");
         value && !is_final(ssh, result); value = ssh_config_next("certificatefile", value))
        if (ssh_config_expand(&ssh->config, value, path, sizeof(path)) == 0)
            result = try_certificate(ssh, identity, path);
    snprintf(path, sizeof(path), "%s-cert.pub", identity->path);
    return is_final(ssh, result) ? result : try_certificate(ssh, identity, path);
}

/* ssh's order: certificates, the agent's keys as ssh_agent.h sorts them, keys that lie in files
 * only. */
static int try_keys(struct keys *keys)
{
    struct ssh_link *ssh = keys->ssh;
    int result = SSH_AUTH_DENIED;

    for (uint32_t i = 0; i < keys->count && !is_final(ssh, result); i++)
        result = try_certificates(ssh, &keys->identities[i]);
    if (keys->agent && !is_final(ssh, result))
        result = AWAIT(ssh, ssh->api.ssh_userauth_agent(ssh->session, NULL));
    for (uint32_t i = 0; i < keys->count && !is_final(ssh, result); i++)
        if (!keys->in_agent[i])
            result = try_file(ssh, &keys->identities[i], NULL);
    return result;
}

static int login_by_key(struct ssh_link *ssh)
{
    struct keys keys = {
        .ssh = ssh,
        .identities = calloc(IDENTITIES_MAX, sizeof(struct identity)),
    };

    if (!keys.identities)
        return SSH_AUTH_ERROR;
    find_identities(&keys);
    open_agent(&keys);
    int result = try_keys(&keys);
    for (uint32_t i = 0; i < keys.count; i++) {
        ssh->api.ssh_key_free(keys.identities[i].public);
        ssh->api.ssh_string_free_char(keys.identities[i].base64);
    }
    ssh_agent_close(keys.agent);
    free(keys.identities);
    return result;
}

/* ---- questions of the server ---- */

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
            settle_answer(ssh, SSH_AUTH_DENIED);
    }
    return SSH_AUTH_SUCCESS;
}

static int login_by_prompts(struct ssh_link *ssh)
{
    int result = SSH_AUTH_DENIED;

    for (int i = 0; i < questions_max(ssh) && !error_is_set(&ssh->refused); i++) {
        bool asked = false;
        result = AWAIT(ssh, ssh->api.ssh_userauth_kbdint(ssh->session, NULL, NULL));
        for (int round = 0; round < KBDINT_ROUNDS_MAX && result == SSH_AUTH_INFO; round++) {
            if (answer_prompts(ssh, i > 0, &asked) != SSH_AUTH_SUCCESS)
                return SSH_AUTH_DENIED;
            result = AWAIT(ssh, ssh->api.ssh_userauth_kbdint(ssh->session, NULL, NULL));
        }
        settle_answer(ssh, asked ? result : SSH_AUTH_DENIED);
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
    for (int i = 0; i < questions_max(ssh) && !error_is_set(&ssh->refused); i++) {
        if (ask_secret(ssh, "password", prompt, false, i > 0) < 0)
            break;
        result = AWAIT(ssh, ssh->api.ssh_userauth_password(ssh->session, NULL, ssh->answer));
        settle_answer(ssh, result);
        if (result != SSH_AUTH_DENIED)
            break;
    }
    return result;
}

/* ---- methods ---- */

static const struct login_method {
    int bit;
    const char *name;
    const char *setting; /* "no" forbids it */
    int (*run)(struct ssh_link *ssh);
} login_methods[] = {
    {SSH_AUTH_METHOD_PUBLICKEY, "publickey", "pubkeyauthentication", login_by_key},
    {SSH_AUTH_METHOD_INTERACTIVE, "keyboard-interactive", "kbdinteractiveauthentication",
     login_by_prompts},
    {SSH_AUTH_METHOD_PASSWORD, "password", "passwordauthentication", login_by_password},
};

static const struct login_method *find_method(const char *name, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(login_methods); i++)
        if (strlen(login_methods[i].name) == length &&
            strncasecmp(login_methods[i].name, name, length) == 0)
            return &login_methods[i];
    return NULL;
}

/* Try each method that the server offers, in the order of PreferredAuthentications. SSH_AUTH_*;
 * *tried collects names. */
static int login_round(struct ssh_link *ssh, char *tried, size_t capacity)
{
    const char *names = ssh_config_get(&ssh->config, "preferredauthentications");
    int offered = ssh->api.ssh_userauth_list(ssh->session, NULL);
    int result = SSH_AUTH_DENIED;

    tried[0] = '\0';
    for (names = names ? names : "publickey,keyboard-interactive,password"; *names;
         names += *names == ',') {
        size_t length = strcspn(names, ",");
        const struct login_method *method = find_method(names, length);
        names += length;
        if (!method || !(offered & method->bit) ||
            !ssh_config_flag(&ssh->config, method->setting, true))
            continue;
        size_t used = strlen(tried);
        snprintf(tried + used, capacity - used, "%s%s", used ? ", " : "", method->name);
        result = method->run(ssh);
        if (is_final(ssh, result))
            break;
    }
    return result;
}

/* What was in the way, or would have been possible. */
static const char *hint(const struct ssh_link *ssh)
{
    unsigned int offered = (unsigned int)ssh->api.ssh_userauth_list(ssh->session, NULL);

    if (error_is_set(&ssh->refused))
        return ssh->refused.text;
    if (error_is_set(&ssh->unusable))
        return ssh->unusable.text;
    if (offered & SSH_AUTH_METHOD_GSSAPI_MIC &&
        ssh_config_flag(&ssh->config, "gssapiauthentication", false))
        return "the host offers gssapi-with-mic: -e ssh can";
    return "";
}

/* Did the host say that it is over? That is a packet: the last thing that came. Libssh's own words
 * for it may be others by then, those of the socket's end. Without one the line is lost, whoever
 * has cut it, and the next login may go well. */
static int login_ended(const struct ssh_link *ssh, const char *tried, struct error *err)
{
    bool said = ssh->packets.in_packets > ssh->login_mark;
    char words[256];

    return error_set_class(
        err, ERROR_SOCKET, said ? EACCES : ECONNRESET, "%s: %s as %s (%s): %s%s", ssh->base.peer,
        said ? "the host ended the login" : "the connection was lost at the login", ssh->user,
        tried[0] ? tried : "no method", ssh_link_reason(ssh, words),
        tried[0] ? "; where an agent has many keys, IdentitiesOnly=yes offers only those that are "
                   "named"
                 : "");
}

static int login_error(struct ssh_link *ssh, int result, const char *tried, struct error *err)
{
    if (ssh->refused.class == ERROR_INTERRUPTED)
        return error_take(err, &ssh->refused);
    if (!ssh->api.ssh_is_connected(ssh->session))
        return login_ended(ssh, tried, err);
    if (result == SSH_AUTH_AGAIN)
        return error_set_class(err, ERROR_TIMEOUT, ETIMEDOUT, "%s: the host is silent at login",
                               ssh->base.peer);
    const char *more = hint(ssh);
    return error_set_class(err, ERROR_SOCKET, EACCES, "%s: login as %s refused (tried %s)%s%s",
                           ssh->base.peer, ssh->user, tried[0] ? tried : "nothing: none offered",
                           more[0] ? "; " : "", more);
}

/* What the host has to say to whoever logs in. */
static void show_banner(struct ssh_link *ssh)
{
    char *banner = ssh->api.ssh_get_issue_banner(ssh->session);
    char line[512], shown[1024];
    const char *next = banner;

    if (!banner)
        return;
    if (ssh_link_first(ssh, "banner")) {
        for (int i = 0; i < BANNER_LINES_MAX && *next; i++) {
            size_t length = strcspn(next, "\r\n");
            snprintf(line, sizeof(line), "%.*s", (int)length, next);
            if (length > 0)
                log_note("%s: %s", ssh->base.peer, text_escape(shown, sizeof(shown), line));
            next += length;
            next += strspn(next, "\r\n");
        }
    }
    ssh->api.ssh_string_free_char(banner);
}

int ssh_login(struct ssh_link *ssh, struct error *err)
{
    char tried[128] = "";

    ssh->api.ssh_set_blocking(ssh->session, 0);
    ssh->api.ssh_set_counters(ssh->session, &ssh->socket, &ssh->packets);
    int result = AWAIT(ssh, ssh->api.ssh_userauth_none(ssh->session, NULL));
    show_banner(ssh);
    for (int round = 0; round < LOGIN_ROUNDS_MAX && !error_is_set(&ssh->refused); round++) {
        bool more = round == 0 ? result == SSH_AUTH_DENIED || result == SSH_AUTH_ERROR ||
                                     result == SSH_AUTH_PARTIAL
                               : result == SSH_AUTH_PARTIAL;
        if (!more || !ssh->api.ssh_is_connected(ssh->session))
            break;
        result = login_round(ssh, tried, sizeof(tried));
    }
    settle_answer(ssh, SSH_AUTH_DENIED);
    if (result != SSH_AUTH_SUCCESS)
        return login_error(ssh, result, tried, err);
    ssh->api.ssh_set_blocking(ssh->session, 1);
    return 0;
}

#endif
