/* wire.h - what two hauls say to each other over a link: haul-protocol(7), in C. No behaviour.
 *
 * A message carries the very structures that it is about, slots and jobs; which of their fields
 * travel, codec.c has a table of. */
#ifndef HAUL_WIRE_H
#define HAUL_WIRE_H

#include "haul/base/error.h"
#include "haul/base/log.h"
#include "haul/disk/small.h"
#include "haul/side/slot.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WIRE_VERSION = 2,
    WIRE_PREAMBLE_BYTES = 32,
    WIRE_MAGIC_BYTES = 8,
    WIRE_HEADER_BYTES = 16,
    WIRE_BODY_BYTES_MAX = 60 * 1024, /* four paths, and what else there is */
    WIRE_FRAME_BYTES_MAX = WIRE_HEADER_BYTES + WIRE_BODY_BYTES_MAX, /* without the payload */
    WIRE_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024,
    WIRE_CHUNK_BYTES_MIN = 512, /* journals may have such chunks; haul makes none under 64 KiB */
    WIRE_BUFFER_BYTES_MIN = 64 * 1024,
    WIRE_CHUNK_BYTES_MAX = WIRE_PAYLOAD_BYTES_MAX,
    WIRE_POCKET_BYTES = SMALL_POCKET_BYTES, /* of a control slot, for whole files only */
    WIRE_SLOTS_MAX = 1024,                  /* of one session, those without a buffer included */
    WIRE_JOBS_MAX = 960,                    /* files open at the same time */
    WIRE_LANES_MAX = 64,
    WIRE_PATH_BYTES_MAX = 24 * 1024, /* with its NUL; beneath a root they may exceed PATH_MAX */
    WIRE_ROOT_BYTES_MAX = 4096,      /* of one that stands by itself, as PATH_MAX */
    WIRE_PROGRAM_BYTES = 16,         /* a version such as "1.0.2", with its NUL */
    WIRE_CHOWN_BYTES = 512,
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
#define WIRE_OWN_CGROUP ((uint64_t)1 << 1) /* empty the memory cgroup, where it is ours alone */
#define WIRE_TELLS      ((uint64_t)1 << 2) /* what is at the target decides, so that is told */
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

enum wire_status {
    WIRE_DONE,
    WIRE_FAILED,
    WIRE_DAMAGED, /* a request's payload has not the digest that was announced; send it again */
};

/* The client says what it wishes, the server what it gives: never more, except where 0 ("as you
 * like") was wished. */
struct wire_hello {
    uint64_t
        capabilities; /* WIRE_CAN_*; unknown bits are ignored. The server repeats what it will do */
    uint64_t choices; /* that a file's wishes may have, as bits: each says those that it knows */
    uint64_t session; /* random; the same for all lanes of a run. The server repeats it */
    enum side_role role;      /* of the server. Repeated */
    enum engine_kind engine;  /* wish for the server's engine. Repeated; which one it has, and
                                 why, comes with each report */
    enum log_level log_level; /* notes up to this level. Repeated */
    uint32_t lanes;           /* how many sessions share the server's memory. Repeated */
    uint32_t slots_count;     /* with a buffer: tags 0 .. slots_count - 1 */
    uint32_t control_count;   /* without one, but for a pocket: tags that follow */
    uint32_t jobs_max;
    uint32_t chunk_bytes;  /* the most in one payload; client: 0 is automatic */
    uint64_t memory_bytes; /* for the slots; client: 0 is automatic */
    uint32_t ping_ms;      /* whoever has been silent for so long says PING. Repeated */
};

/* What a server has settled of a job in this session, so that an acknowledged COMMIT can be
 * compared with what the client believes: bytes of STORE and KEEP, and the sum (mod 2^64) of a
 * checksum of each one's offset, length and digest. The order does not matter. */
struct wire_tally {
    uint64_t bytes;
    uint64_t sum;
};

struct wire_failure {
    enum error_class class; /* BYE: ERROR_NONE is "all is well" */
    uint32_t errnum;
    const char *words;
};

struct wire_note {
    enum log_level level;
    const char *line;
};

/* How long the sender's processors have been idle, all together (NUM_UNKNOWN: nobody knows), by its
 * own clock. Two of them tell how many are idle now. */
struct wire_idle {
    uint64_t idle_ns;
    uint64_t clock_ns;
};

/* Begun with codec_message(). */
struct wire_message {
    enum wire_type type;
    uint32_t tag;           /* REQUEST, REPLY: the slot */
    uint32_t payload_bytes; /* less than what it is the bytes of: packed (WIRE_CAN_PACK) */
    /* REQUEST, REPLY */
    enum side_op op;
    struct job job;       /* number, wish, the source's facts; what OPEN answers */
    struct job_root root; /* of the server's role, and so is the path */
    const char *path;
    struct owner_names names; /* of the source's owner; DESCRIBE, OPEN, TAKE: of the file's there */
    /* REPLY */
    enum wire_status status;
    struct facts facts; /* DESCRIBE, OPEN, TAKE, MAKE: of the server's role */
    struct side_report
        report; /* COMMIT, ABANDON, ADJUST, MAKE, DRESS: the same, also when it has failed */
    struct side_words words; /* with it */
    struct wire_tally tally; /* the same */
    /* others */
    struct wire_failure failure; /* REPLY that has FAILED; BYE */
    struct wire_hello hello;
    struct wire_note note;
    uint64_t arrived_bytes; /* PING, PONG: of the other's frames and payloads, at the sender.
                               stream_put() sets it */
    struct wire_idle idle;  /* PONG */
    uint8_t halved;         /* PONG: as struct pressure has it, at the sender */

    struct slot slot; /* REQUEST, REPLY about a chunk: what is asked, what is answered; ... */
    uint8_t set[BLOCKS_SET_BYTES]; /* ... its set: slot.set is here */
};

#endif
