/* wire.h - what two hauls say to each other over a link: haul-protocol(7), in C.
 *
 * The only module that knows the layout. It knows numbers, texts and digests, not what an end does
 * with them: src/copy translates slots and jobs into these structures and back. Whatever arrives is
 * checked here as far as one message alone can be (lengths, ranges, sums, checksums); what depends
 * on the state of the session is checked by its users, serve.c and end_peer.c.
 *
 * Memory: one frame without its payload in either direction, and the texts of the message that was
 * received last. Payloads go straight from and to the caller's buffers. */
#ifndef HAUL_WIRE_H
#define HAUL_WIRE_H

#include "haul/error.h"
#include "haul/hash.h"
#include "haul/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_VERSION = 2,
    WIRE_PREAMBLE_BYTES = 32,
    WIRE_MAGIC_BYTES = 8,
    WIRE_HEADER_BYTES = 16,
    WIRE_BODY_BYTES_MAX = 12 * 1024,
    WIRE_FRAME_BYTES_MAX = WIRE_HEADER_BYTES + WIRE_BODY_BYTES_MAX, /* without the payload */
    WIRE_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024,
    WIRE_CHUNK_BYTES_MIN = 512, /* journals may have such chunks; haul makes none under 64 KiB */
    WIRE_BUFFER_BYTES_MIN = 64 * 1024,
    WIRE_CHUNK_BYTES_MAX = WIRE_PAYLOAD_BYTES_MAX,
    WIRE_SLOTS_MAX = 256, /* of one session, those without a buffer included */
    WIRE_JOBS_MAX = 256,  /* files open at the same time */
    WIRE_LANES_MAX = 64,
    WIRE_PATH_BYTES_MAX = 4096, /* with its NUL, as PATH_MAX */
    WIRE_PROGRAM_BYTES = 16,    /* a version such as "1.0.2", with its NUL */
    WIRE_WHY_BYTES = 256,
    WIRE_CHOWN_BYTES = 512,
    WIRE_ATTRIBUTES_COUNT = 4,
    WIRE_NOTE_BYTES = 1024,
    WIRE_ENTRY_BYTES = 24,    /* of a RECALL's payload: chunk number and digest */
    WIRE_RESENDS_MAX = 3,     /* of one chunk that arrives damaged */
    WIRE_NOTES_BURST = 1000,  /* notes and pings that may come at once ... */
    WIRE_NOTES_A_SECOND = 20, /* ... and in the long run; more is a flood */
    WIRE_PING_MS = 5000,
    WIRE_PING_MS_MIN = 10,
    WIRE_PING_MS_MAX = 60000,
    WIRE_SILENCE_MS = 120000, /* a server gives up a client that was silent for so long */
    WIRE_HELLO_MS = 30000,    /* for the greeting */
    WIRE_SIGN_BYTES = 1024,   /* less than this within a frame is no sign of life */
};
#define WIRE_CAN_PACK   ((uint64_t)1 << 0) /* payloads of chunks may be packed: see below */
#define WIRE_TAG_NONE   UINT32_MAX
#define WIRE_OFFSET_MAX ((uint64_t)1 << 62) /* rounding up to a block stays below INT64_MAX */

enum wire_side { WIRE_CLIENT, WIRE_SERVER };

enum wire_type {
    WIRE_HELLO = 1, /* both, first */
    WIRE_REQUEST,   /* client */
    WIRE_REPLY,     /* server */
    WIRE_NOTE,      /* server: a line of its log */
    WIRE_PING,      /* both; answered by PONG */
    WIRE_PONG,
    WIRE_BYE, /* both, last; with a reason when something was wrong */
};

/* In the order of enum end_op. */
enum wire_op {
    WIRE_DESCRIBE,
    WIRE_OPEN,
    WIRE_MAP,
    WIRE_RECALL,
    WIRE_FETCH,
    WIRE_EXAMINE,
    WIRE_STORE,
    WIRE_KEEP,
    WIRE_ERASE,
    WIRE_SYNC,
    WIRE_COMMIT,
    WIRE_ABANDON,
    WIRE_ADJUST,
};

enum wire_status {
    WIRE_DONE,
    WIRE_FAILED,
    WIRE_DAMAGED, /* STORE: the payload has not the digest that was announced; send it again */
};

/* The client says what it wishes, the server what it gives: never more, except where 0 ("as you
 * like") was wished. */
struct wire_hello {
    uint64_t
        capabilities; /* WIRE_CAN_*; unknown bits are ignored. The server repeats what it will do */
    uint64_t choices; /* that a file's wishes may have, as bits: each says those that it knows */
    uint64_t session; /* random; the same for all lanes of a run. The server repeats it */
    uint8_t role;     /* of the server: 0 source, 1 target. Repeated */
    uint8_t engine;   /* wish for the server's engine. Repeated; which one it has, and why, comes
                         with each report */
    uint8_t log_level;      /* notes up to this level. Repeated */
    uint32_t lanes;         /* how many sessions share the server's memory. Repeated */
    uint32_t slots_count;   /* with a buffer: tags 0 .. slots_count - 1 */
    uint32_t control_count; /* without one: tags that follow */
    uint32_t jobs_max;
    uint32_t chunk_bytes;  /* the most in one payload; client: 0 is automatic */
    uint64_t memory_bytes; /* for the slots; client: 0 is automatic */
    uint32_t ping_ms;      /* whoever has been silent for so long says PING. Repeated */
};

/* As struct evidence. */
struct wire_evidence {
    uint8_t grade;
    uint64_t identity, change;
    uint32_t granularity_ns;
    bool keeps_change;
    uint64_t machine;
    int64_t seen_ns;
    uint64_t medium_device, medium_inode, medium_offset;
};

struct wire_facts {
    uint8_t kind;
    uint64_t size_bytes, allocated_bytes;
    uint32_t mode, uid, gid;
    int64_t mtime_seconds;
    uint32_t mtime_ns;
    int64_t ctime_seconds;
    uint32_t ctime_ns;
    uint64_t device, inode;
    struct wire_evidence evidence;
};

struct wire_wish {
    uint8_t cache;
    uint8_t resume;
    bool strict, cache_max_set, write_devices, preallocate, join;
    uint8_t attributes[WIRE_ATTRIBUTES_COUNT]; /* owner, group, mode, times: enum attribute_wish */
    bool set_id, journal, journal_early, compare_only, dry;
    uint64_t cache_max_bytes;
    uint64_t session;
    const char *journal_path; /* "": beside the target */
    const char *chown;        /* "USER:GROUP" of the target's machine, or "" */
};

struct wire_request {
    enum wire_op op;
    uint32_t job;
    /* DESCRIBE, OPEN, COMMIT, ADJUST */
    uint32_t chunk_bytes;
    const char *path; /* of the server's role */
    struct wire_wish wish;
    struct wire_facts source;
    /* MAP: offset. The chunk operations: offset and length. RECALL: offset is the number of an
     * entry of the journal, length the room for entries. */
    uint64_t offset;
    uint32_t length;
    bool conditional; /* FETCH, EXAMINE: digest is the expected one */
    bool from_medium; /* EXAMINE */
    bool blank;       /* STORE: the range reads as zeros, whole blocks of them may be left out */
    struct digest digest; /* STORE, KEEP: of the content */
};

struct wire_report {
    uint8_t policy, engine;
    const char *policy_why, *engine_why;
    uint64_t resident_before_bytes, resident_peak_bytes, resident_after_bytes, memory_peak_bytes;
    uint8_t attributes_changed, attributes_lost, attributes_asked; /* bit 0 owner, ... 3 times */
    uint64_t reread_cached_bytes;
};

/* What a server has settled of a job in this session, so that an acknowledged COMMIT can be
 * compared with what the client believes: bytes of STORE and KEEP, and the sum (mod 2^64) of a
 * checksum of each one's offset, length and digest. The order does not matter. */
struct wire_tally {
    uint64_t bytes;
    uint64_t sum;
};

struct wire_reply {
    enum wire_op op;
    enum wire_status status;
    /* FAILED */
    enum error_class class;
    uint32_t errnum;
    const char *words;
    /* DONE, and COMMIT, ABANDON and ADJUST also when FAILED */
    struct wire_facts facts;                           /* DESCRIBE, OPEN */
    bool journal_present;                              /* DESCRIBE */
    bool target_fresh, target_readable;                /* OPEN */
    uint8_t journal;                                   /* OPEN */
    uint64_t old_bytes;                                /* OPEN */
    bool journal_source_proven, journal_target_proven; /* OPEN */
    uint32_t chunk_bytes;      /* OPEN: as asked, or less: that of the journal that fits */
    uint64_t extent_start;     /* MAP, RECALL */
    uint64_t extent_end;       /* MAP */
    uint32_t count;            /* EXAMINE, RECALL */
    struct digest digest;      /* FETCH, EXAMINE: of the content; RECALL: of the payload */
    bool matched;              /* FETCH */
    struct wire_report report; /* COMMIT, ABANDON, ADJUST */
    struct wire_tally tally;   /* the same */
};

struct wire_note {
    uint8_t level; /* enum log_level */
    const char *line;
};

struct wire_bye {
    enum error_class class; /* ERROR_NONE: all is well */
    uint32_t errnum;
    const char *words;
};

struct wire_message {
    enum wire_type type;
    uint32_t tag;           /* REQUEST, REPLY: the slot */
    uint32_t payload_bytes; /* STORE, FETCH: less than the chunk's length: it is packed
                               (WIRE_CAN_PACK) */
    union {
        struct wire_hello hello;
        struct wire_request request;
        struct wire_reply reply;
        struct wire_note note;
        struct wire_bye bye;
        uint64_t arrived_bytes; /* PING, PONG: of the other's frames and payloads, at the sender.
                                   wire_put() sets it */
    };
};

/* Where the texts of a decoded message lie. */
struct wire_texts {
    char text[3][ERROR_TEXT_BYTES];
};

/* One message as a frame, its payload not included, as sent by `from`. Returns its length;
 * -ENAMETOOLONG when a text is too long. Pure. */
int wire_encode(uint8_t out[WIRE_FRAME_BYTES_MAX], const struct wire_message *message,
                enum wire_side from);

/* What a header says, before anything behind it is read. 0, or -EPROTO. */
int wire_decode_header(const uint8_t header[WIRE_HEADER_BYTES], uint32_t *body_bytes,
                       uint32_t *payload_bytes);

/* A whole frame, header and body. The texts of the message point into `texts`. 0, or -EPROTO
 * (ERROR_PROTOCOL) with a reason; the message is unspecified then. */
int wire_decode(const uint8_t *frame, size_t length, enum wire_side from,
                struct wire_message *message, struct wire_texts *texts, struct error *err);

/* What either side sends before its first frame, so that versions can differ. is_magic: the first
 * `length` bytes could be (or are) `from`'s. decode: the version; everything else may be of a later
 * one. */
void wire_encode_preamble(uint8_t out[WIRE_PREAMBLE_BYTES], const char *program,
                          enum wire_side from);
bool wire_is_magic(const uint8_t *data, size_t length, enum wire_side from);
uint16_t wire_decode_preamble(const uint8_t preamble[WIRE_PREAMBLE_BYTES],
                              char program[WIRE_PROGRAM_BYTES]);

/* Journal entries of a RECALL, in place: from the machine's own layout (uint64_t, digest) to the
 * wire's and back. Nothing to do on little-endian machines. */
void wire_entries(void *entries, uint32_t count);

/* Adds one STORE or KEEP. */
void wire_tally_add(struct wire_tally *tally, uint64_t offset, uint32_t length,
                    const struct digest *digest);

/* Does a report come with its reply, also when it has failed? */
bool wire_op_reports(enum wire_op op);

/* The bits of wishes that this haul knows; and the name of a wish that is not among `known`, or
 * NULL. */
uint64_t wire_choices_known(void);
const char *wire_choice_unknown(const struct wire_wish *wish, uint64_t known);

const char *wire_op_name(enum wire_op op); /* "describe", ... */

/* Both directions over one link. */
struct wire {
    struct link *link;
    enum wire_side side;
    uint32_t payload_bytes_max; /* that may arrive */
    uint64_t sent_ns;           /* when bytes last went out */

    /* Signs of life, in either direction; see wire_alive_ns(). All bytes are those of frames and
     * payloads since the preambles. */
    uint64_t heard_ns,
        heard_bytes;          /* a whole frame, or WIRE_SIGN_BYTES, arrived; then so many had */
    uint64_t delivered_ns;    /* the other side has got what it was sent by then */
    uint64_t delivered_bytes; /* it said then that so many had arrived ... */
    uint64_t put_bytes, arrived_bytes; /* ours up to now, the other's */
    uint64_t wanted_bytes;             /* ... and has to say so many to be alive */

    uint8_t in[WIRE_FRAME_BYTES_MAX];
    uint32_t in_filled, in_length; /* in_length: 0 until the header is there */
    uint8_t *payload_in;           /* where it goes */
    uint32_t payload_in_left;
    struct wire_texts texts;

    uint8_t out[WIRE_FRAME_BYTES_MAX];
    uint32_t out_sent, out_length;
    const uint8_t *payload_out;
    uint32_t payload_out_left;
};

/* payload_bytes_max 0 until HELLO has been exchanged. The link stays the caller's. */
void wire_init(struct wire *wire, struct link *link, enum wire_side side);

/* Send our preamble and check the other's. Blocks for at most timeout_ns. Errors, with words:
 * ERROR_VERSION (-EPROTONOSUPPORT), ERROR_PROTOCOL (-EPROTO: something else is talking; says what
 * arrived), ERROR_TIMEOUT, the link's own; LINK_EOF with err unset. */
int wire_greet(struct wire *wire, const char *program, uint64_t timeout_ns, struct error *err);

/* Is a frame not sent completely? Until then wire_put() may not be called (assert). */
bool wire_sending(const struct wire *wire);

/* A message becomes the frame to be sent; its payload stays the caller's, and must stay as it is
 * until it is sent. 0, or -ENAMETOOLONG: nothing has changed. Sends nothing yet. */
int wire_put(struct wire *wire, const struct wire_message *message, const void *payload);

/* Send what can be sent now. 1: all is sent; 0: later; -errno of the link, with words. */
int wire_flush(struct wire *wire, struct error *err);

enum wire_event {
    WIRE_LATER,   /* nothing more now */
    WIRE_MESSAGE, /* *message is there. With payload_bytes: wire_payload_into() must follow */
    WIRE_PAYLOAD, /* the payload of the last message is complete */
};

/* Receive what is there. One of the above, LINK_EOF (err unset; the other side has ended, perhaps
 * within a frame), or -errno with words. The texts of the message live until the next call. */
int wire_get(struct wire *wire, struct wire_message *message, struct error *err);
void wire_payload_into(struct wire *wire, void *buffer, uint32_t length);

/* Since when there has been no sign of life. That bytes trickle in is none, nor that the other side
 * says PING but nothing of ours arrives there: a whole frame must come in, or WIRE_SIGN_BYTES of a
 * payload, and the other side must tell, in PING or PONG, or by a REPLY, that what we said arrives.
 * (While it sends a payload it cannot tell.) */
uint64_t wire_alive_ns(const struct wire *wire);

/* wire_put and wire_flush, wire_get until a message is there; blocking, for HELLO and BYE. PINGs
 * and PONGs are not skipped. */
int wire_send_now(struct wire *wire, const struct wire_message *message, uint64_t timeout_ns,
                  struct error *err);
int wire_recv_now(struct wire *wire, struct wire_message *message, uint64_t timeout_ns,
                  struct error *err);

/* -EPROTO, class ERROR_PROTOCOL: "PEER: protocol error: ...". */
int wire_violation(const struct wire *wire, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The small talk of one side, counted: pings and notes within WIRE_NOTES_*. All zeros is empty. */
struct wire_chatter {
    uint64_t started_ns;
    uint64_t count;
};
bool wire_chatter_allowed(struct wire_chatter *chatter, uint64_t now_ns);

#endif
