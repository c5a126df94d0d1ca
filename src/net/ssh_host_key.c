/* ssh_host_key.c - is it the host's key? Judged by every file that ssh would read: known_hosts of
 * the user and of the machine, and the keys that are revoked.
 *
 * What a known_hosts file says about a name (patterns, hashed names, marks, keys of any kind) is
 * ssh-keygen's to tell. Where there is none libssh tells, which knows no negated pattern, and a key
 * that is marked as revoked is so for every name. */
#include "ssh_link.h"

#if WITH_SSH

#include "haul/base/cleanup.h"
#include "haul/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    TOLD_BYTES = 256 * 1024, /* about a name, by one file: a thousand lines */
    ANSWERS_MAX = 16,        /* to one question, until one is right */
    NAME_BYTES = ADDRESS_HOST_BYTES + 16,
    QUESTION_BYTES = NAME_BYTES + ADDRESS_PATH_BYTES + 192,
};

/* In ssh's order of weight: a key that is known is right, whatever other lines say of the host,
 * unless it is revoked. A key of a type that is not known is a change, too: the types that are
 * known are asked for first, so a server that has such a key shows it. */
enum verdict { KEY_UNKNOWN, KEY_CHANGED, KEY_KNOWN, KEY_REVOKED };

struct host_key {
    const char *type;
    char *base64, *fingerprint; /* libssh's strings */
    char name[NAME_BYTES];      /* as known_hosts has it: host, or [host]:port, or HostKeyAlias */
    enum verdict verdict;
    char file[ADDRESS_PATH_BYTES];       /* that has the line that decided */
    char where[ADDRESS_PATH_BYTES + 32]; /* the same in words, with the line if it is known */
    bool authority;                      /* a line trusts whoever is certified */
};

/* ---- names ---- */

static void put_name(char out[NAME_BYTES], const char *host, unsigned int port)
{
    if (port == 22)
        snprintf(out, NAME_BYTES, "%s", host);
    else
        snprintf(out, NAME_BYTES, "[%s]:%u", host, port);
    for (; *out; out++)
        *out = (char)(*out >= 'A' && *out <= 'Z' ? *out - 'A' + 'a' : *out);
}

static void name_host(const struct ssh_link *ssh, char out[NAME_BYTES])
{
    const char *alias = ssh_config_get(&ssh->config, "hostkeyalias");

    put_name(out, alias ? alias : ssh->host, alias ? 22 : ssh->port);
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)(const void *)address;

    return address->ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&ipv6->sin6_addr)
                                          : ntohl(ipv4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* The address that the host has, where CheckHostIP wants it to be looked up, too; as with ssh not
 * this machine's own. */
static bool name_address(const struct ssh_link *ssh, char out[NAME_BYTES])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    char text[ADDRESS_HOST_BYTES];

    if (!ssh_config_flag(&ssh->config, "checkhostip", false) ||
        ssh_config_get(&ssh->config, "hostkeyalias") || ssh->proxy.pid > 0 ||
        getpeername(ssh->fd, (struct sockaddr *)&address, &length) < 0 || is_loopback(&address) ||
        getnameinfo((struct sockaddr *)&address, length, text, sizeof(text), NULL, 0,
                    NI_NUMERICHOST) != 0 ||
        strcmp(text, ssh->host) == 0)
        return false;
    put_name(out, text, ssh->port);
    return true;
}

/* ---- the files ---- */

/* known_hosts files, one after another: the user's, then the machine's. Zero at first. */
struct known_files {
    uint32_t kind;
    const char *rest; /* of the names of this kind */
    char path[ADDRESS_PATH_BYTES];
};

static bool next_file(const struct ssh_link *ssh, struct known_files *files)
{
    static const struct {
        const char *key, *without_ssh; /* what ssh reads by default */
    } kinds[] = {
        {"userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"},
        {"globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
    };
    char name[ADDRESS_PATH_BYTES];

    while (!files->rest || !ssh_config_file(&files->rest, name, sizeof(name))) {
        if (files->kind == COUNT_OF(kinds))
            return false;
        files->rest = ssh_config_get(&ssh->config, kinds[files->kind].key);
        if (!files->rest && !ssh_config_none(&ssh->config, kinds[files->kind].key))
            files->rest = kinds[files->kind].without_ssh;
        files->kind++;
    }
    if (ssh_config_expand(&ssh->config, name, files->path, sizeof(files->path)) < 0)
        strcpy(files->path, name);
    return true;
}

/* ---- what ssh-keygen tells of a name ---- */

/* One line after another: "# Host NAME found: line N MARK", and "NAME TYPE FINGERPRINT" behind. */
struct told {
    char *text;
    char *rest;
    unsigned int line;
    char mark[16]; /* REVOKED, CA; "" */
    char type[32]; /* ED25519, RSA ... */
    char fingerprint[128];
};

/* /dev/null, say. */
static bool is_empty(const struct stat *st)
{
    bool null = S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);

    return null || (S_ISREG(st->st_mode) && st->st_size == 0);
}

/* What was told of a name stands as long as the file is the same. */
static void put_question(char out[QUESTION_BYTES], const char *name, const char *path,
                         const struct stat *st)
{
    snprintf(out, QUESTION_BYTES, "ssh-keygen/%s/%ju/%ju/%jd/%jd.%09ld/%jd.%09ld/%s", name,
             (uintmax_t)st->st_dev, (uintmax_t)st->st_ino, (intmax_t)st->st_size,
             (intmax_t)st->st_mtim.tv_sec, (long)st->st_mtim.tv_nsec, (intmax_t)st->st_ctim.tv_sec,
             (long)st->st_ctim.tv_nsec, path);
}

/* -ENOENT: there is no ssh-keygen; other errors: not all was told. A file that is not there, or
 * that does not know the name, has nothing to tell. The caller frees told->text in any case. Each
 * question is a process, so none is put twice. */
static int ask_keygen(const struct ssh_link *ssh, struct told *told, const char *name,
                      const char *path)
{
    const char *argv[] = {"ssh-keygen", "-lF", name, "-f", path, NULL};
    struct child_words words = {.length = 0};
    char question[QUESTION_BYTES];
    struct stat st;

    *told = (struct told){.text = calloc(1, TOLD_BYTES)};
    told->rest = told->text;
    if (!told->text)
        return -ENOMEM;
    if (access(path, R_OK) != 0 || stat(path, &st) != 0 || is_empty(&st))
        return 0;
    put_question(question, name, path, &st);
    if (ask_memory_get(ssh->options->memory, question, told->text, TOLD_BYTES))
        return 0;
    int status = child_ask(argv, NULL, told->text, TOLD_BYTES, &words);
    if (status >= 0 && S_ISREG(st.st_mode))
        ask_memory_put(ssh->options->memory, question, told->text);
    return status < 0 ? status : 0;
}

static bool next_told(struct told *told)
{
    char *line, *found;

    told->line = 0;
    while ((line = strsep(&told->rest, "\n"))) {
        if (told->line > 0 && sscanf(line, "%*s %31s %127s", told->type, told->fingerprint) == 2)
            return true;
        told->mark[0] = '\0';
        if (line[0] == '#' && (found = strstr(line, " found: line ")))
            (void)sscanf(found, " found: line %u %15s", &told->line, told->mark);
    }
    return false;
}

/* Whether a line says, for any name, that nobody may trust the key. */
static bool is_marked(const char *path, const char *base64)
{
    AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    FILE *stream = fopen(path, "re");
    bool found = false;

    while (stream && !found && getline(&line, &capacity, stream) >= 0)
        found = strncmp(line + strspn(line, " \t"), "@revoked", 8) == 0 && strstr(line, base64);
    if (stream)
        fclose(stream);
    return found;
}

/* Without an ssh-keygen. */
static enum verdict ask_libssh(const struct ssh_link *ssh, const struct host_key *host,
                               const char *path)
{
    const char *alias = ssh_config_get(&ssh->config, "hostkeyalias");
    unsigned int port = 22;

    if (is_marked(path, host->base64))
        return KEY_REVOKED;
    if (alias && (ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_HOST, alias) != SSH_OK ||
                  ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_PORT, &port) != SSH_OK))
        return KEY_UNKNOWN;
    if (ssh->api.ssh_options_set(ssh->session, SSH_OPTIONS_KNOWNHOSTS, path) != SSH_OK)
        return KEY_UNKNOWN;
    switch (ssh->api.ssh_session_is_known_server(ssh->session)) {
    case SSH_KNOWN_HOSTS_OK:
        return KEY_KNOWN;
    case SSH_KNOWN_HOSTS_CHANGED:
    case SSH_KNOWN_HOSTS_OTHER:
        return KEY_CHANGED;
    default:
        return KEY_UNKNOWN;
    }
}

/* ---- types ---- */

/* Whether a known_hosts file has a key of the algorithm's type; a type is written as a part of the
 * algorithm's name, in capitals. */
static bool is_known(const char *types, const char *algorithm)
{
    char type[32];
    int used = 0;

    for (; sscanf(types, "%31s%n", type, &used) == 1; types += used)
        if (strcasestr(algorithm, type))
            return true;
    return false;
}

void ssh_host_key_sort(const struct ssh_link *ssh, const char *algorithms, char *out,
                       size_t capacity)
{
    char name[NAME_BYTES], types[512] = "", word[128];
    struct known_files files = {.kind = 0};
    size_t used = 0;

    name_host(ssh, name);
    while (next_file(ssh, &files)) {
        struct told told;
        if (ask_keygen(ssh, &told, name, files.path) == 0)
            while (next_told(&told) && used + sizeof(told.type) + 2 < sizeof(types))
                if (told.mark[0] == '\0' && !is_known(types, told.type))
                    used += (size_t)sprintf(types + used, "%s ", told.type);
        free(told.text);
    }
    used = 0;
    out[0] = '\0';
    for (int known = 1; known >= 0; known--) {
        for (const char *next = algorithms; *next; next += *next == ',') {
            size_t length = strcspn(next, ",");
            snprintf(word, sizeof(word), "%.*s", (int)length, next);
            next += length;
            /* Certificates of hosts are nothing that libssh can verify. */
            if (!strstr(word, "-cert-v") && is_known(types, word) == known &&
                used + length + 2 < capacity)
                used += (size_t)sprintf(out + used, "%s%s", used > 0 ? "," : "", word);
        }
    }
}

/* ---- judging ---- */

static int get_host_key(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    unsigned char *hash = NULL;
    size_t hash_bytes = 0;
    ssh_key key = NULL;

    if (ssh->api.ssh_get_server_publickey(ssh->session, &key) == SSH_OK &&
        ssh->api.ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &hash_bytes) ==
            SSH_OK &&
        ssh->api.ssh_pki_export_pubkey_base64(key, &host->base64) == SSH_OK)
        host->fingerprint =
            ssh->api.ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, hash_bytes);
    if (hash)
        ssh->api.ssh_clean_pubkey_hash(&hash);
    if (key) {
        host->type = ssh->api.ssh_key_type_to_char(ssh->api.ssh_key_type(key));
        ssh->api.ssh_key_free(key);
    }
    if (!host->fingerprint)
        return error_set_class(err, ERROR_SOCKET, EPROTO, "%s: the host's key cannot be read",
                               ssh->base.peer);
    name_host(ssh, host->name);
    return 0;
}

static enum verdict judge_told(const struct told *told, const struct host_key *host)
{
    bool same = strcmp(told->fingerprint, host->fingerprint) == 0;

    if (strcmp(told->mark, "REVOKED") == 0)
        return same ? KEY_REVOKED : KEY_UNKNOWN;
    if (told->mark[0])
        return KEY_UNKNOWN;
    return same ? KEY_KNOWN : KEY_CHANGED;
}

/* The line that weighs most decides. */
static void weigh(struct host_key *host, enum verdict verdict, const char *path, unsigned int line)
{
    if (verdict <= host->verdict)
        return;
    host->verdict = verdict;
    snprintf(host->file, sizeof(host->file), "%s", path);
    if (line > 0)
        snprintf(host->where, sizeof(host->where), "line %u of %s", line, path);
    else
        snprintf(host->where, sizeof(host->where), "%s", path);
}

/* What the files say of the key under `name`. */
static int judge_name(const struct ssh_link *ssh, struct host_key *host, const char *name,
                      struct error *err)
{
    struct known_files files = {.kind = 0};
    int result = 0;

    while (result == 0 && next_file(ssh, &files)) {
        struct told told;
        result = ask_keygen(ssh, &told, name, files.path);
        while (result == 0 && next_told(&told)) {
            host->authority |= strcmp(told.mark, "CA") == 0;
            weigh(host, judge_told(&told, host), files.path, told.line);
        }
        free(told.text);
        if (result == -ENOENT) {
            weigh(host, ask_libssh(ssh, host, files.path), files.path, 0);
            result = 0;
        }
    }
    return result == 0 ? 0
                       : error_set_class(err, result == -EINTR ? ERROR_INTERRUPTED : ERROR_SOCKET,
                                         -result, "%s: what %s says of the host is not known: %s",
                                         ssh->base.peer, files.path, strerror(-result));
}

/* A name without its port counts for other ports as well, when the key is the same (ssh does so,
 * too); a key that is revoked there is no key for any port. With CheckHostIP an address that is
 * known by another key is as bad as a name. */
static int judge_other_names(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    struct host_key other = *host;
    int result = 0;

    other.verdict = KEY_UNKNOWN;
    if (host->verdict == KEY_UNKNOWN && host->name[0] == '[') {
        put_name(other.name, ssh->host, 22);
        result = judge_name(ssh, &other, other.name, err);
        if (other.verdict == KEY_KNOWN || other.verdict == KEY_REVOKED)
            *host = other;
    }
    other.verdict = KEY_UNKNOWN;
    if (result == 0 && host->verdict <= KEY_KNOWN && name_address(ssh, other.name)) {
        result = judge_name(ssh, &other, other.name, err);
        if (other.verdict == KEY_CHANGED || other.verdict == KEY_REVOKED)
            *host = other;
    }
    return result;
}

static int refuse_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    if (host->verdict == KEY_REVOKED)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the host's key is revoked: it shows %s %s, and %s says that "
                               "nobody may trust it",
                               ssh->base.peer, host->type, host->fingerprint, host->where);
    return error_set_class(
        err, ERROR_SOCKET, EPERM,
        "%s: the host's key has changed: it shows %s %s, %s says otherwise; if that is right, "
        "remove the line (ssh-keygen -f '%s' -R '%s')",
        ssh->base.peer, host->type, host->fingerprint, host->where, host->file, host->name);
}

/* ---- RevokedHostKeys ---- */

/* Such a list has keys, one a line, or OpenSSH's binary form, which ssh-keygen makes of the other
 * and looks into. 0; 1: revoked; -EINVAL: nobody knows, and `said` says why. */
static int ask_list(const struct host_key *host, const char *file, char said[256])
{
    static const char script[] =
        "set -e; d=$(mktemp -d /tmp/haul-revoked-XXXXXX); trap \"rm -rf $d\" EXIT\n"
        "cat >$d/key; cat \"$1\" >$d/list\n"
        "[ \"$(head -n 1 $d/list)\" = SSHKRL ] ||"
        " { mv $d/list $d/keys; ssh-keygen -qkf $d/list $d/keys >&2; }\n"
        "ssh-keygen -Qf $d/list $d/key";
    const char *argv[] = {"sh", "-c", script, "sh", file, NULL};
    struct child_words words = {.length = 0};
    char input[16 * 1024], out[1024];

    snprintf(input, sizeof(input), "%s %s\n", host->type, host->base64);
    int status = child_ask(argv, input, out, sizeof(out), &words);
    if (status >= 0 && strstr(out, "REVOKED"))
        return 1;
    snprintf(said, 256, "%s", status < 0 ? strerror(-status) : child_words_last(&words));
    return status == 0 ? 0 : -EINVAL;
}

/* A list that cannot be read might have this key: then nobody is trusted. */
static int check_revoked(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    const char *file = ssh_config_get(&ssh->config, "revokedhostkeys");
    char path[ADDRESS_PATH_BYTES], said[256];

    if (!file)
        return 0;
    if (ssh_config_expand(&ssh->config, file, path, sizeof(path)) < 0)
        snprintf(path, sizeof(path), "%s", file);
    int found = ask_list(host, path, said);
    if (found < 0)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the list of revoked keys, %s, cannot be read: %s",
                               ssh->base.peer, path, said);
    if (found > 0)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the host's key is revoked: it shows %s %s, which is in %s",
                               ssh->base.peer, host->type, host->fingerprint, path);
    return 0;
}

/* ---- a new key ---- */

/* The name in `line` is hashed by ssh-keygen, which does so to a whole file only. False, and
 * nothing is changed: it is not there. */
static bool hash_name(char *line, size_t capacity)
{
    static const char script[] =
        "umask 077 && d=$(mktemp -d /tmp/haul-known-XXXXXX) && "
        "cat >$d/k && ssh-keygen -qHf $d/k >$d/said && cat $d/k; rm -rf $d";
    const char *argv[] = {"sh", "-c", script, NULL};
    struct child_words words = {.length = 0};
    char hashed[4096];

    if (child_ask(argv, line, hashed, sizeof(hashed), &words) != 0 || hashed[0] != '|')
        return false;
    snprintf(line, capacity, "%s", hashed);
    return true;
}

/* Its folder may not be there yet: ~/.ssh. */
static int add_line(const char *file, const char *line)
{
    char folder[ADDRESS_PATH_BYTES];
    const char *slash = strrchr(file, '/');

    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - file) : 0, file);
    if (folder[0])
        (void)mkdir(folder, 0700);
    int fd = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "a+");
    if (!stream)
        return -errno;
    if (fseek(stream, -1, SEEK_END) == 0 && fgetc(stream) != '\n')
        fputc('\n', stream);
    fwrite(line, 1, strlen(line), stream);
    return fclose(stream) == 0 ? 0 : -errno;
}

static void remember_key(const struct ssh_link *ssh, const struct host_key *host)
{
    struct known_files files = {.kind = 0};
    char line[16 * 1024];

    if (!next_file(ssh, &files) || files.kind > 1)
        return; /* UserKnownHostsFile is none */
    snprintf(line, sizeof(line), "%s %s %s\n", host->name, host->type, host->base64);
    bool in_clear =
        ssh_config_flag(&ssh->config, "hashknownhosts", false) && !hash_name(line, sizeof(line));
    int result = add_line(files.path, line);
    if (result < 0)
        log_warning("%s: the key could not be written to %s: %s", host->name, files.path,
                    strerror(-result));
    else
        log_note("%s: %s key %s is known from now on, in %s%s", host->name, host->type,
                 host->fingerprint, files.path,
                 in_clear ? " (by its name: it takes ssh-keygen to hash it)" : "");
}

static int ask_about_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    char prompt[ASK_PROMPT_BYTES];
    char answer[128] = "";

    snprintf(prompt, sizeof(prompt),
             "%s: the host is not known. Its %s key has the fingerprint %s. Connect (yes/no, or "
             "the fingerprint)? ",
             host->name, host->type, host->fingerprint);
    for (int i = 0; i < ANSWERS_MAX; i++) {
        int result = ask_line(answer, sizeof(answer), prompt, true, err);
        if (result == -E2BIG)
            err->class = ERROR_NONE;
        else if (result < 0)
            return result;
        if (strcasecmp(answer, "yes") == 0 || strcmp(answer, host->fingerprint) == 0)
            return 0;
        if (strcasecmp(answer, "no") == 0)
            break;
        snprintf(prompt, sizeof(prompt), "Please type yes, no or the fingerprint: ");
    }
    return error_set_class(err, ERROR_SOCKET, EPERM, "%s: the host's key %s was not accepted",
                           ssh->base.peer, host->fingerprint);
}

static int refuse_unknown(const struct ssh_link *ssh, const struct host_key *host, const char *why,
                          struct error *err)
{
    return error_set_class(
        err, ERROR_SOCKET, EPERM,
        "%s: the host is not known, and %s; its %s key has the "
        "fingerprint %s%s",
        ssh->base.peer, why, host->type, host->fingerprint,
        host->authority ? "; known_hosts trusts an authority for it (@cert-authority), which is "
                          "nothing that libssh can verify: -e ssh can"
                        : "");
}

/* Ask a person whether a key that nobody knows is right. */
static int confirm_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    struct error why = {.class = ERROR_NONE};

    if (ssh_config_flag(&ssh->config, "batchmode", false))
        return refuse_unknown(ssh, host, "BatchMode is yes: nobody is asked", err);
    int result = ask_about_key(ssh, host, &why);
    if (result == -ENOTTY)
        return refuse_unknown(ssh, host, "there is no terminal to ask on", err);
    return result < 0 ? error_take(err, &why) : 0;
}

static bool is_word(const char *value, const char *word)
{
    return value && strcasecmp(value, word) == 0;
}

static int accept_unknown(const struct ssh_link *ssh, const struct host_key *host,
                          struct error *err)
{
    const char *strict = ssh_config_get(&ssh->config, "stricthostkeychecking");
    char key[NAME_BYTES + 128];

    /* Another lane has asked; known_hosts may be /dev/null. */
    snprintf(key, sizeof(key), "%s/%s", host->name, host->fingerprint);
    if (ask_memory_get(ssh->options->memory, key, NULL, 0))
        return 0;
    if (is_word(strict, "yes") || is_word(strict, "true"))
        return refuse_unknown(ssh, host, "StrictHostKeyChecking is yes", err);
    bool accepted = is_word(strict, "accept-new") ||
                    !ssh_config_flag(&ssh->config, "stricthostkeychecking", true);
    int result = accepted ? 0 : confirm_key(ssh, host, err);
    if (result < 0)
        return result;
    ask_memory_put(ssh->options->memory, key, "yes");
    remember_key(ssh, host);
    return 0;
}

static int judge_key(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    int result = check_revoked(ssh, host, err);

    if (result == 0)
        result = judge_name(ssh, host, host->name, err);
    if (result == 0)
        result = judge_other_names(ssh, host, err);
    if (result < 0 || host->verdict == KEY_KNOWN)
        return result;
    return host->verdict == KEY_UNKNOWN ? accept_unknown(ssh, host, err)
                                        : refuse_key(ssh, host, err);
}

int ssh_host_key_verify(struct ssh_link *ssh, struct error *err)
{
    struct host_key host = {.type = NULL};
    int result = get_host_key(ssh, &host, err);

    if (result == 0)
        result = judge_key(ssh, &host, err);
    ssh->api.ssh_string_free_char(host.fingerprint);
    ssh->api.ssh_string_free_char(host.base64);
    return result;
}

#endif
