/* ssh_host_key.c - is it the host's key? Judged by every file that ssh would read: known_hosts of
 * the user and of the machine, and the keys that are revoked. */
#include "ssh_link.h"

#if WITH_SSH

#include "haul/cleanup.h"
#include "haul/known_hosts.h"
#include "haul/log.h"

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
#include <unistd.h>

enum {
    LINES_MAX = 1000 * 1000, /* of a known_hosts file */
    ANSWERS_MAX = 16,        /* to one question, until one is right */
    FINGERPRINT_BYTES = 128,
    NAME_BYTES = ADDRESS_HOST_BYTES + 16,
    TYPES_BYTES = 512
};

/* In ssh's order of weight: a key that is known is right, whatever other lines say of the host,
 * unless it is revoked. A key of a type that is not known is a change, too: the types that are
 * known are asked for first, so a server that has such a key shows it. */
enum verdict { KEY_UNKNOWN, KEY_CHANGED, KEY_KNOWN, KEY_REVOKED };

struct host_key {
    ssh_key key;
    const char *type;
    char fingerprint[FINGERPRINT_BYTES];
    char base64[16 * 1024];
    char name[NAME_BYTES]; /* as known_hosts has it: host, or [host]:port, or HostKeyAlias */
    enum verdict verdict;
    char file[ADDRESS_PATH_BYTES]; /* of the line that decided */
    unsigned int line;             /* counted from 1 */
    bool authority;                /* a line trusts whoever is certified */
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

/* Lines about `name`, in all files. */
struct known_reader {
    const struct ssh_link *ssh;
    const char *name;
    uint32_t kind;    /* of files: the user's, then the machine's */
    const char *rest; /* of their names */
    FILE *stream;
    char file[ADDRESS_PATH_BYTES];
    unsigned int line;
    char *text;
    size_t capacity;
    struct known_line parts;
    ssh_key key; /* NULL: of a type that libssh does not know, and ssh does */
    struct ssh_knownhosts_entry *entry;
};

static const struct {
    const char *key;
    const char *without_ssh; /* what ssh reads by default */
} file_kinds[] = {
    {"userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"},
    {"globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
};

/* "userknownhostsfile": its names, one after another. NULL: none. */
static const char *file_names(const struct ssh_link *ssh, uint32_t kind)
{
    const char *names = ssh_config_get(&ssh->config, file_kinds[kind].key);

    if (!names && !ssh_config_none(&ssh->config, file_kinds[kind].key))
        names = file_kinds[kind].without_ssh;
    return names;
}

static bool expand_name(const struct ssh_link *ssh, const char **rest, char *out, size_t capacity)
{
    char name[ADDRESS_PATH_BYTES];

    if (!ssh_config_file(rest, name, sizeof(name)))
        return false;
    if (ssh_config_expand(&ssh->config, ssh->options->address->host, name, out, capacity) < 0)
        snprintf(out, capacity, "%s", name);
    return true;
}

/* The next file that is there. */
static bool open_next(struct known_reader *reader)
{
    while (!reader->stream) {
        if (reader->rest &&
            expand_name(reader->ssh, &reader->rest, reader->file, sizeof(reader->file))) {
            reader->stream = fopen(reader->file, "re");
            reader->line = 0;
            continue;
        }
        if (reader->kind == COUNT_OF(file_kinds))
            return false;
        reader->rest = file_names(reader->ssh, reader->kind++);
    }
    return true;
}

/* A key of known_hosts or of a list of keys; `name` and `names`: hashed names are compared, too. */
static int parse_key(const struct ssh_link *ssh, const char *name, const char *names,
                     const struct known_line *parts, struct ssh_knownhosts_entry **entry)
{
    size_t length = strlen(names) + strlen(parts->type) + strlen(parts->key) + 3;
    char *line = malloc(length);

    *entry = NULL;
    if (!line)
        return SSH_ERROR;
    snprintf(line, length, "%s %s %s", names, parts->type, parts->key);
    int result = ssh->api.ssh_known_hosts_parse_line(name, line, entry);
    free(line);
    return result;
}

/* Is the line about the host, and has it a key? */
static bool take_line(struct known_reader *reader)
{
    struct known_line *parts = &reader->parts;
    bool hashed;
    int result;

    if (!known_hosts_split(reader->text, parts))
        return false;
    hashed = parts->names[0] == '|';
    if (!hashed && !known_hosts_match(parts->names, reader->name))
        return false;
    result = parse_key(reader->ssh, hashed ? reader->name : NULL, hashed ? parts->names : "x",
                       parts, &reader->entry);
    reader->key = result == SSH_OK ? reader->entry->publickey : NULL;
    return result == SSH_OK || (result == SSH_ERROR && strcmp(parts->type, "ssh-dss") == 0);
}

static void drop_entry(struct known_reader *reader)
{
    if (reader->entry)
        reader->ssh->api.ssh_knownhosts_entry_free(reader->entry);
    reader->entry = NULL;
}

static bool read_next(struct known_reader *reader)
{
    drop_entry(reader);
    while (open_next(reader)) {
        while (reader->line < LINES_MAX &&
               getline(&reader->text, &reader->capacity, reader->stream) >= 0) {
            reader->line++;
            if (take_line(reader))
                return true;
        }
        fclose(reader->stream);
        reader->stream = NULL;
    }
    free(reader->text);
    reader->text = NULL;
    return false;
}

/* ---- types ---- */

/* The type of key that an algorithm signs by. */
static const char *type_of(const char *algorithm)
{
    return strncmp(algorithm, "rsa-sha2-", 9) == 0 ? "ssh-rsa" : algorithm;
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (; *list; list += strcspn(list, ","), list += *list == ',')
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
    return false;
}

static void add_word(char *list, size_t capacity, const char *word)
{
    size_t used = strlen(list);

    if (used + strlen(word) + 2 <= capacity)
        snprintf(list + used, capacity - used, "%s%s", used > 0 ? "," : "", word);
}

void ssh_host_key_sort(const struct ssh_link *ssh, const char *algorithms, char *out,
                       size_t capacity)
{
    char name[NAME_BYTES], types[TYPES_BYTES] = "", word[128];
    struct known_reader reader = {.ssh = ssh, .name = name};

    name_host(ssh, name);
    while (read_next(&reader))
        if (reader.parts.marker == KNOWN_PLAIN && !has_word(types, reader.parts.type))
            add_word(types, sizeof(types), reader.parts.type);
    out[0] = '\0';
    for (int known = 1; known >= 0; known--) {
        for (const char *next = algorithms; *next; next += *next == ',') {
            size_t length = strcspn(next, ",");
            snprintf(word, sizeof(word), "%.*s", (int)length, next);
            next += length;
            /* Certificates of hosts are nothing that libssh can verify. */
            if (!strstr(word, "-cert-v") && has_word(types, type_of(word)) == known)
                add_word(out, capacity, word);
        }
    }
}

/* ---- judging ---- */

static int get_host_key(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    unsigned char *hash = NULL;
    size_t hash_bytes = 0;
    char *text = NULL, *base64 = NULL;

    if (ssh->api.ssh_get_server_publickey(ssh->session, &host->key) != SSH_OK ||
        ssh->api.ssh_pki_export_pubkey_base64(host->key, &base64) != SSH_OK ||
        ssh->api.ssh_get_publickey_hash(host->key, SSH_PUBLICKEY_HASH_SHA256, &hash, &hash_bytes) !=
            SSH_OK) {
        ssh->api.ssh_string_free_char(base64);
        return error_set_class(err, ERROR_SOCKET, EPROTO, "%s: the host's key cannot be read",
                               ssh->base.peer);
    }
    text = ssh->api.ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, hash_bytes);
    snprintf(host->fingerprint, sizeof(host->fingerprint), "%s", text ? text : "?");
    snprintf(host->base64, sizeof(host->base64), "%s", base64);
    ssh->api.ssh_string_free_char(text);
    ssh->api.ssh_string_free_char(base64);
    ssh->api.ssh_clean_pubkey_hash(&hash);
    host->type = ssh->api.ssh_key_type_to_char(ssh->api.ssh_key_type(host->key));
    name_host(ssh, host->name);
    return 0;
}

static enum verdict judge_line(const struct known_reader *reader, const struct host_key *host)
{
    bool same = reader->key &&
                reader->ssh->api.ssh_key_cmp(host->key, reader->key, SSH_KEY_CMP_PUBLIC) == 0;

    switch (reader->parts.marker) {
    case KNOWN_REVOKED:
        return same ? KEY_REVOKED : KEY_UNKNOWN;
    case KNOWN_AUTHORITY:
        return KEY_UNKNOWN;
    case KNOWN_PLAIN:
        break;
    }
    return same ? KEY_KNOWN : KEY_CHANGED;
}

/* What the files say of the key under `name`; the line that weighs most. */
static void judge_name(const struct ssh_link *ssh, struct host_key *host, const char *name)
{
    struct known_reader reader = {.ssh = ssh, .name = name};

    while (read_next(&reader)) {
        enum verdict verdict = judge_line(&reader, host);
        host->authority |= reader.parts.marker == KNOWN_AUTHORITY;
        if (verdict > host->verdict) {
            host->verdict = verdict;
            host->line = reader.line;
            snprintf(host->file, sizeof(host->file), "%s", reader.file);
        }
    }
}

/* A name without its port counts for other ports as well, when the key is the same (ssh does so,
 * too); a key that is revoked there is no key for any port. With CheckHostIP an address that is
 * known by another key is as bad as a name. */
static void judge_other_names(const struct ssh_link *ssh, struct host_key *host)
{
    char name[NAME_BYTES];
    struct host_key other = *host;

    other.verdict = KEY_UNKNOWN;
    put_name(name, ssh->host, 22);
    if (host->verdict == KEY_UNKNOWN && host->name[0] == '[') {
        judge_name(ssh, &other, name);
        if (other.verdict == KEY_KNOWN || other.verdict == KEY_REVOKED)
            *host = other;
    }
    other.verdict = KEY_UNKNOWN;
    if (host->verdict <= KEY_KNOWN && name_address(ssh, name)) {
        judge_name(ssh, &other, name);
        if (other.verdict == KEY_CHANGED || other.verdict == KEY_REVOKED) {
            *host = other;
            snprintf(host->name, sizeof(host->name), "%s", name);
        }
    }
}

static int refuse_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    if (host->verdict == KEY_REVOKED)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the host's key is revoked: it shows %s %s, and line %u of %s "
                               "says that nobody may trust it",
                               ssh->base.peer, host->type, host->fingerprint, host->line,
                               host->file);
    return error_set_class(
        err, ERROR_SOCKET, EPERM,
        "%s: the host's key has changed: it shows %s %s, line %u of %s says otherwise; if that is "
        "right, remove the line (ssh-keygen -f '%s' -R '%s')",
        ssh->base.peer, host->type, host->fingerprint, host->line, host->file, host->file,
        host->name);
}

/* ---- RevokedHostKeys ---- */

static bool is_krl(FILE *stream)
{
    char magic[8] = "";
    bool krl = fread(magic, 1, sizeof(magic), stream) == sizeof(magic) &&
               memcmp(magic, "SSHKRL\n", sizeof(magic)) == 0;

    rewind(stream);
    return krl;
}

/* A list in OpenSSH's binary form is OpenSSH's to read. 0, 1: revoked, -EINVAL: nobody knows. */
static int ask_krl(const struct host_key *host, const char *file, char *said, size_t said_bytes)
{
    const char *argv[] = {"ssh-keygen", "-Q", "-f", file, "/dev/stdin", NULL};
    struct child_words words = {.length = 0};
    char input[sizeof(host->base64) + 64], out[1024];

    snprintf(input, sizeof(input), "%s %s\n", host->type, host->base64);
    int status = child_ask(argv, input, out, sizeof(out), &words);
    if (status == 0)
        return 0;
    if (status > 0 && strstr(out, "REVOKED"))
        return 1;
    snprintf(said, said_bytes, "%s",
             status < 0 ? "it takes ssh-keygen to read it" : child_words_last(&words));
    return -EINVAL;
}

static bool is_key_type(const char *word)
{
    return strncmp(word, "ssh-", 4) == 0 || strncmp(word, "ecdsa-", 6) == 0 ||
           strncmp(word, "sk-", 3) == 0;
}

/* A line of a list of keys, as of a .pub file: what known_hosts has behind its names. 0, 1: it is
 * the host's, -EBADMSG: nobody knows. */
static int look_in_line(const struct ssh_link *ssh, const struct host_key *host, char *line)
{
    struct known_line parts;
    struct ssh_knownhosts_entry *entry = NULL;
    bool empty = strchr("#\r\n", line[strspn(line, " \t")]) != NULL; /* the end, too */

    if (empty)
        return 0;
    if (!known_hosts_split_key(line, &parts) || !is_key_type(parts.type))
        return -EBADMSG;
    if (parse_key(ssh, NULL, "x", &parts, &entry) != SSH_OK) /* libssh does not know every type */
        return strcmp(parts.type, host->type) == 0 ? -EBADMSG : 0;
    int found = ssh->api.ssh_key_cmp(host->key, entry->publickey, SSH_KEY_CMP_PUBLIC) == 0;
    ssh->api.ssh_knownhosts_entry_free(entry);
    return found;
}

static int look_in_list(const struct ssh_link *ssh, const struct host_key *host, FILE *stream)
{
    AUTO_FREE char *text = NULL;
    size_t capacity = 0;
    int found = 0;

    for (int i = 0; found == 0 && i < LINES_MAX && getline(&text, &capacity, stream) >= 0; i++)
        found = look_in_line(ssh, host, text);
    return found == 0 && !feof(stream) ? -EIO : found; /* a folder; or too long */
}

/* A list that cannot be read might have this key: then nobody is trusted. */
static int check_revoked(const struct ssh_link *ssh, struct host_key *host, struct error *err)
{
    const char *file = ssh_config_get(&ssh->config, "revokedhostkeys");
    char path[ADDRESS_PATH_BYTES], said[256] = "";

    if (!file)
        return 0;
    if (ssh_config_expand(&ssh->config, ssh->options->address->host, file, path, sizeof(path)) < 0)
        snprintf(path, sizeof(path), "%s", file);
    FILE *stream = fopen(path, "re");
    int found = -EINVAL;
    if (!stream)
        snprintf(said, sizeof(said), "%s", strerror(errno));
    else if (is_krl(stream))
        found = ask_krl(host, path, said, sizeof(said));
    else
        found = look_in_list(ssh, host, stream);
    if (stream)
        fclose(stream);
    if (found < 0)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the list of revoked keys, %s, cannot be read: %s",
                               ssh->base.peer, path, said[0] ? said : strerror(-found));
    if (found > 0)
        return error_set_class(err, ERROR_SOCKET, EPERM,
                               "%s: the host's key is revoked: it shows %s %s, which is in %s",
                               ssh->base.peer, host->type, host->fingerprint, path);
    return 0;
}

/* ---- a new key ---- */

/* The folder of known_hosts may not be there yet: ~/.ssh. */
static int open_known_hosts(const char *file)
{
    char folder[ADDRESS_PATH_BYTES];
    const char *slash = strrchr(file, '/');

    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - file) : 0, file);
    if (folder[0])
        (void)mkdir(folder, 0700);
    return open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name in `line` is hashed by ssh-keygen, in a folder of its own: it leaves the old file beside
 * the new one. False, and nothing changed: it is not there. */
static bool hash_name(char *line, size_t capacity)
{
    char folder[] = "/tmp/haul-known-XXXXXX", file[64], old[80], out[256];
    const char *argv[] = {"ssh-keygen", "-q", "-H", "-f", file, NULL};
    struct child_words words = {.length = 0};
    size_t length = strlen(line);

    if (!mkdtemp(folder))
        return false;
    snprintf(file, sizeof(file), "%s/hosts", folder);
    snprintf(old, sizeof(old), "%s.old", file);
    AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool hashed = fd >= 0 && write(fd, line, length) == (ssize_t)length &&
                  child_ask(argv, NULL, out, sizeof(out), &words) == 0;
    FILE *stream = hashed ? fopen(file, "re") : NULL;
    hashed = stream && fgetc(stream) == '|';
    if (hashed) {
        rewind(stream);
        hashed = fgets(line, (int)capacity, stream) != NULL;
    }
    if (stream)
        fclose(stream);
    unlink(file);
    unlink(old);
    rmdir(folder);
    return hashed;
}

static int write_line(const char *line, int fd)
{
    char last = '\n';
    size_t length = strlen(line);
    off_t size = lseek(fd, 0, SEEK_END);

    if (size > 0 && pread(fd, &last, 1, size - 1) < 0)
        return -errno;
    if (last != '\n' && write(fd, "\n", 1) < 0)
        return -errno;
    return write(fd, line, length) == (ssize_t)length ? 0 : -errno;
}

static void remember_key(const struct ssh_link *ssh, const struct host_key *host)
{
    const char *names = file_names(ssh, 0);
    char file[ADDRESS_PATH_BYTES], line[sizeof(host->name) + sizeof(host->base64) + 256];

    if (!names || !expand_name(ssh, &names, file, sizeof(file)))
        return;
    snprintf(line, sizeof(line), "%s %s %s\n", host->name, host->type, host->base64);
    bool in_clear =
        ssh_config_flag(&ssh->config, "hashknownhosts", false) && !hash_name(line, sizeof(line));
    AUTO_CLOSE int fd = open_known_hosts(file);
    int result = fd < 0 ? -errno : write_line(line, fd);
    if (result < 0)
        log_warning("%s: the key could not be written to %s: %s", host->name, file,
                    strerror(-result));
    else
        log_note("%s: %s key %s is known from now on, in %s%s", host->name, host->type,
                 host->fingerprint, file,
                 in_clear ? " (by its name: it takes ssh-keygen to hash it)" : "");
}

static int ask_about_key(const struct ssh_link *ssh, const struct host_key *host, struct error *err)
{
    char prompt[ASK_PROMPT_BYTES];
    char answer[FINGERPRINT_BYTES] = "";

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
    char key[NAME_BYTES + FINGERPRINT_BYTES];

    /* Another lane has asked; known_hosts may be /dev/null. */
    snprintf(key, sizeof(key), "%s/%s", host->name, host->fingerprint);
    if (ask_memory_has(ssh->options->memory, key))
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
    judge_name(ssh, host, host->name);
    judge_other_names(ssh, host);
    switch (host->verdict) {
    case KEY_KNOWN:
        return 0;
    case KEY_CHANGED:
    case KEY_REVOKED:
        return refuse_key(ssh, host, err);
    case KEY_UNKNOWN:
        break;
    }
    return accept_unknown(ssh, host, err);
}

int ssh_host_key_verify(struct ssh_link *ssh, struct error *err)
{
    struct host_key *host = calloc(1, sizeof(*host));

    if (!host)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory", ssh->base.peer);
    int result = get_host_key(ssh, host, err);
    if (result == 0)
        result = check_revoked(ssh, host, err);
    if (result == 0)
        result = judge_key(ssh, host, err);
    if (host->key)
        ssh->api.ssh_key_free(host->key);
    free(host);
    return result;
}

#endif
