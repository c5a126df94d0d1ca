/* session.h - one conversation over a link, the same one for client and server: greeting,
 * keepalive, the payloads of slots, packed or not, and what neither side puts up with: floods and
 * silence.
 *
 * It knows slots as memory that payloads come from and go to, and not what operations do. It starts
 * nothing by itself and never waits, but where it says so: who uses it asks for the next thing that
 * has arrived, and puts a message whenever the last one has been sent. */
#ifndef HAUL_SESSION_H
#define HAUL_SESSION_H

#include "haul/base/pack.h"
#include "haul/wire/stream.h"

struct session {
    struct stream stream;
    struct pack *pack; /* NULL: payloads go as they are */
    uint64_t ping_ns; /* PING after so long without a word of ours, or about what arrives of them */
    uint64_t pinged_ns;
    bool agreed; /* HELLO has been exchanged */
    bool pong_due;
    bool ping_due;         /* PING however much else is said: what PONG tells is wanted */
    bool asking;           /* the next PING is the question of session_ask() ... */
    uint64_t asked_bytes;  /* ... which ends there, among the bytes that we have put */
    struct wire_idle idle; /* of the last PONG */
    uint32_t pongs_count;
    uint8_t halved, far_halved; /* for scarce memory: told by our PONGs; as the last PONG told */
    bool told;                  /* the other side has said BYE */
    bool left;                  /* we have: nothing comes behind it */
    struct slot *sending, *receiving; /* whose message, whose payload is under way */
    uint32_t receiving_bytes;         /* of that payload; less than the chunk: it is packed */
    uint64_t talk_ns, talk_count;     /* notes and pings since the last request or reply */
};

/* The link stays the caller's. */
void session_init(struct session *session, struct link *link, enum wire_side side);
void session_close(struct session *session); /* frees what session_agree() has taken */

/* The first words, one after the other; each blocks for at most timeout_ns (0: WIRE_HELLO_MS).
 * greet: preambles. say_hello: ours. hear_now: the next message that is no keepalive; a server may
 * say NOTE or BYE before HELLO. 0 or -errno with words: ERROR_VERSION, ERROR_PROTOCOL (something
 * else is talking there; says what arrived), ERROR_TIMEOUT, the link's own; LINK_EOF with err
 * unset. */
int session_greet(struct session *session, uint64_t timeout_ns, struct error *err);
int session_say_hello(struct session *session, const struct wire_hello *hello, uint64_t timeout_ns,
                      struct error *err);
int session_hear_now(struct session *session, struct wire_message *message, uint64_t timeout_ns,
                     struct error *err);

/* The server's HELLO is what counts from now on. 0, or ERROR_MEMORY. */
int session_agree(struct session *session, const struct wire_hello *hello, struct error *err);

/* Send what can be sent now; PONG and a PING that is due go before what is put from now on. 1: all
 * is sent; 0: the rest later; -errno with words. *sent: the slot whose message is out now, with its
 * payload, or NULL. */
int session_send(struct session *session, struct slot **sent, struct error *err);

/* May a message be put behind those that wait to be sent? After session_send() has said 1: yes. */
bool session_has_room(const struct session *session);

/* A message, with what is in the slot's buffer behind it where it has a payload. 0: the slot, which
 * may be NULL, is not needed any more; 1: it is with the session until *sent; or -ENAMETOOLONG:
 * nothing has changed. */
int session_put(struct session *session, struct wire_message *message, struct slot *slot);

/* Is the other side there? A question from now on, which is PING; and whether it was answered: not
 * by what was said before it had arrived there, however late that comes. */
void session_ask(struct session *session);
bool session_is_answered(const struct session *session);

/* There is nothing else to say: say PING if nothing has been said for long, or nothing was heard
 * for long of what has arrived there; who replies all the time is not told by what else comes.
 * true: it was put. */
bool session_keep_alive(struct session *session);

enum session_event {
    SESSION_LATER,   /* nothing more now */
    SESSION_MESSAGE, /* *message: REQUEST, REPLY, NOTE or BYE. With payload_bytes:
                        session_receive() must follow */
    SESSION_PAYLOAD, /* the payload of *slot is complete, and right by slot->digest */
    SESSION_DAMAGED, /* it is complete, and something else */
};

/* The next thing that has arrived; keepalive is dealt with. -errno with words: the link's own, its
 * end included (ERROR_SOCKET), or a violation. The texts of the message live until the next call.
 */
int session_get(struct session *session, struct wire_message *message, struct slot **slot,
                struct error *err);

/* There may be more that has arrived, though the link tells of nothing. */
bool session_has_more(const struct session *session);

/* The payload that follows is for this slot, whose op, length, count and digest are set. NULL, or
 * what is wrong with its length. */
const char *session_receive(struct session *session, struct slot *slot, uint32_t payload_bytes);

/* Has there been no sign of life for silence_ns (0: no limit), nor since since_ns? ERROR_TIMEOUT.
 */
int session_watch(const struct session *session, uint64_t since_ns, uint64_t silence_ns,
                  struct error *err);

/* What to wait for on the link, and how long at most until there is a PING to be said. more: there
 * is something to be put. */
unsigned int session_wanted(const struct session *session, bool more);
uint64_t session_wait_ns(const struct session *session, uint64_t most_ns);

/* The last word, and why, unless `why` is not set. A message that is half sent is finished first,
 * or this one could not be read. Blocks for at most timeout_ns; 0: says it if that is possible now.
 */
void session_say_bye(struct session *session, const struct error *why, uint64_t timeout_ns);

#endif
