/* ssh_link.h - private to link_ssh.c and ssh_*.c: a link through libssh while it is opened.
 *
 * The only file that includes libssh. The library is loaded when the first link is opened and not
 * before: it costs 6 MB of shared libraries, which a small memory cgroup is charged for (measured),
 * and neither a local copy nor the agent needs it.
 *
 * Read against libssh 0.10.6 and 0.11.5; where it says "0.10.6", the statement was found in that
 * source. */
#ifndef HAUL_NET_SSH_LINK_H
#define HAUL_NET_SSH_LINK_H

#include "haul/net/link.h"

#ifndef WITH_SSH
#define WITH_SSH 1
#endif

#if WITH_SSH

#include "haul/net/ask.h"
#include "haul/net/child.h"
#include "haul/net/ssh_config.h"

/* ssh_channel_get_exit_status is deprecated in 0.11; its successor is not in 0.10. */
#define SSH_SUPPRESS_DEPRECATED
#include <libssh/libssh.h>

#define SSH_LIBRARY "libssh.so.4"

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
    X(ssh_channel_window_size)                                                                     \
    X(ssh_channel_write)                                                                           \
    X(ssh_clean_pubkey_hash)                                                                       \
    X(ssh_connect)                                                                                 \
    X(ssh_free)                                                                                    \
    X(ssh_get_cipher_out)                                                                          \
    X(ssh_get_error)                                                                               \
    X(ssh_get_fingerprint_hash)                                                                    \
    X(ssh_get_issue_banner)                                                                        \
    X(ssh_get_publickey_hash)                                                                      \
    X(ssh_get_server_publickey)                                                                    \
    X(ssh_get_status)                                                                              \
    X(ssh_is_connected)                                                                            \
    X(ssh_key_free)                                                                                \
    X(ssh_key_type)                                                                                \
    X(ssh_key_type_to_char)                                                                        \
    X(ssh_session_is_known_server)                                                                 \
    X(ssh_new)                                                                                     \
    X(ssh_options_get)                                                                             \
    X(ssh_options_get_port)                                                                        \
    X(ssh_options_parse_config)                                                                    \
    X(ssh_options_set)                                                                             \
    X(ssh_pki_copy_cert_to_privkey)                                                                \
    X(ssh_pki_export_pubkey_base64)                                                                \
    X(ssh_pki_import_cert_file)                                                                    \
    X(ssh_pki_import_privkey_file)                                                                 \
    X(ssh_pki_import_pubkey_file)                                                                  \
    X(ssh_set_agent_socket)                                                                        \
    X(ssh_set_blocking)                                                                            \
    X(ssh_set_counters)                                                                            \
    X(ssh_set_log_level)                                                                           \
    X(ssh_silent_disconnect)                                                                       \
    X(ssh_string_free_char)                                                                        \
    X(ssh_userauth_agent)                                                                          \
    X(ssh_userauth_kbdint)                                                                         \
    X(ssh_userauth_kbdint_getinstruction)                                                          \
    X(ssh_userauth_kbdint_getnprompts)                                                             \
    X(ssh_userauth_kbdint_getprompt)                                                               \
    X(ssh_userauth_kbdint_setanswer)                                                               \
    X(ssh_userauth_list)                                                                           \
    X(ssh_userauth_none)                                                                           \
    X(ssh_userauth_password)                                                                       \
    X(ssh_userauth_publickey)                                                                      \
    X(ssh_userauth_try_publickey)                                                                  \
    X(ssh_version)

/* The library's functions under their own names and with their own types. */
struct ssh_api {
#define MEMBER(name) __typeof__(name) *name;
    SSH_FUNCTIONS(MEMBER)
#undef MEMBER
};

struct ssh_link {
    struct link base;
    struct ssh_api api;
    ssh_session session;
    ssh_channel channel;
    int fd;             /* our own duplicate of the socket: libssh closes its own when it likes */
    struct child proxy; /* ProxyCommand or ProxyJump */
    struct child_words words; /* the far command's stderr */
    uint8_t *scratch;         /* window_bytes of address space, see grow_window */
    uint32_t window_bytes;
    uint64_t grown_at_bytes; /* received when the window was opened last */
    uint64_t ahead_bytes;    /* most that is sent and not taken by the far command; see set_ahead */
    uint64_t ahead_more_bytes; /* ... and so many on top of it */
    uint32_t given_bytes;      /* the most that the peer's window ever was ... */
    uint32_t left_bytes;       /* ... and as it was left */
    uint64_t held_ns;          /* since when there is as much; 0: there is not */
    bool eof_sent;
    struct ssh_counter_struct socket;  /* counted by libssh: bytes of the socket */
    struct ssh_counter_struct packets; /* ... and packets */
    uint64_t recv_mark; /* packets.in_packets when recv last found nothing, or MARK_NONE */
    uint64_t send_mark; /* the same for send */

    /* While it is opened. */
    const struct link_options *options;
    struct ssh_config config;
    char host[ADDRESS_HOST_BYTES]; /* after the configuration: HostName */
    char user[ADDRESS_USER_BYTES];
    unsigned int port;
    char answer_key[512]; /* of the last answer, to be remembered if it works */
    char answer[ASK_SECRET_BYTES];
    bool asked;            /* somebody was asked for a passphrase in this try */
    uint64_t login_mark;   /* packets.in_packets when the login began to wait last */
    struct error refused;  /* why a question could not be put: no method goes on */
    struct error unusable; /* what is wrong with a key that the server would have taken */
};

/* ssh_api.c: load the library. */
int ssh_api_load(struct ssh_link *ssh, struct error *err);

/* The library's own words, in one line; an error of the session with them. */
const char *ssh_link_reason(const struct ssh_link *ssh, char out[256]);
int ssh_link_lost(struct ssh_link *ssh, const char *doing, struct error *err);

/* Whether this is the first of the lanes that says or asks `what`; it is remembered. */
bool ssh_link_first(const struct ssh_link *ssh, const char *what);

/* How long the other side may be silent until the login is over. */
uint64_t ssh_link_timeout_ns(const struct ssh_link *ssh);

/* ssh_setup.c: what the configuration says becomes libssh's options; then the connection, up to
 * where the host has shown its key. */
int ssh_setup_configure(struct ssh_link *ssh, struct error *err);
int ssh_setup_connect(struct ssh_link *ssh, struct error *err);

/* ssh_host_key.c: is it the host's key? Before anything of ours is told to the host. */
int ssh_host_key_verify(struct ssh_link *ssh, struct error *err);
/* `algorithms` without those that libssh cannot verify, the types of keys that are known first. */
void ssh_host_key_sort(const struct ssh_link *ssh, const char *algorithms, char *out,
                       size_t capacity);

/* ssh_login.c: the login as the user. */
int ssh_login(struct ssh_link *ssh, struct error *err);

#endif
#endif
