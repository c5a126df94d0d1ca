/* codec.h - messages as frames, and back: the only module that knows the layout.
 *
 * Whatever arrives is checked here as far as one message alone can be (lengths, ranges, sums,
 * checksums); what depends on the state of the session is checked by its users. Nothing blocks. */
#ifndef HAUL_CODEC_H
#define HAUL_CODEC_H

#include "haul/wire/wire.h"

#include <stddef.h>

/* A message that says nothing yet. And a slot's operation into another slot, which keeps its own
 * memory for words and for a set. */
void codec_message(struct wire_message *message, enum wire_type type, uint32_t tag);
void codec_slot(struct slot *to, const struct slot *from);

/* Where the texts of a decoded message lie: each had its length before it, so there is room for the
 * NULs of all. */
struct codec_texts {
    char room[WIRE_BODY_BYTES_MAX];
};

/* One message as a frame, its payload not included, as sent by `from`. Returns its length;
 * -ENAMETOOLONG: a text is too long; -EINVAL: it says what the protocol does not allow, a mistake
 * of ours. */
int codec_encode(uint8_t out[WIRE_FRAME_BYTES_MAX], const struct wire_message *message,
                 enum wire_side from);

/* What a header says, before anything behind it is read. 0, or -EPROTO. */
int codec_decode_header(const uint8_t header[WIRE_HEADER_BYTES], uint32_t *body_bytes,
                        uint32_t *payload_bytes);

/* A whole frame, header and body. The texts of the message point into `texts`; a field that does
 * not travel is zero. 0, or -EPROTO (ERROR_PROTOCOL) with a reason; the message is unspecified
 * then. */
int codec_decode(const uint8_t *frame, size_t length, enum wire_side from,
                 struct wire_message *message, struct codec_texts *texts, struct error *err);

/* From a reply to slot->op into the slot, and into its job what a target tells of it: the fields
 * that travel, and no others; of one that has failed only the report. */
void codec_take_reply(struct slot *slot, enum side_role role, const struct wire_message *reply);

/* What either side sends before its first frame, so that versions can differ. is_magic: the first
 * `length` bytes could be (or are) `from`'s. decode: the version; everything else may be of a later
 * one. */
void codec_encode_preamble(uint8_t out[WIRE_PREAMBLE_BYTES], const char *program,
                           enum wire_side from);
bool codec_is_magic(const uint8_t *data, size_t length, enum wire_side from);
uint16_t codec_decode_preamble(const uint8_t preamble[WIRE_PREAMBLE_BYTES],
                               char program[WIRE_PROGRAM_BYTES]);

/* Journal entries of a RECALL, in place: from the machine's own layout (uint64_t, digest) to the
 * wire's and back. Nothing to do on little-endian machines. */
void codec_entries(void *entries, uint32_t count);

/* Adds what was settled by an operation that codec_op_stores(). */
void codec_tally_add(struct wire_tally *tally, const struct slot *slot);

/* Does the request describe a file? */
bool codec_op_describes(enum side_op op);

/* Does it begin a job that is open: until COMMIT or ABANDON, or until DELIVER is done? */
bool codec_op_begins(enum side_op op);

/* Is its job no longer open behind it? `done`: it has succeeded. */
bool codec_op_ends(enum side_op op, bool done);

/* Is it about a whole small file, so that a pocket is buffer enough? */
bool codec_op_is_whole(enum side_op op);

/* Does the tally count what it has settled? */
bool codec_op_stores(enum side_op op);

/* Do bytes go with the request? How many, unless packed; and with the reply. */
bool codec_op_gives(enum side_op op);
uint32_t codec_op_brings(enum side_op op, const struct slot *slot);
uint32_t codec_op_takes(enum side_op op, const struct slot *slot);

/* What of a slot goes with a message of its operation. */
struct codec_payload {
    uint8_t *data;
    uint32_t bytes;
    const uint8_t *set; /* of the chunk in `data` only these blocks; NULL: all of `data` */
    bool packs;         /* it may be packed */
};
struct codec_payload codec_payload(enum side_op op, const struct slot *slot, enum wire_side from);
/* The reply has `count` bytes, and their digest is whoever's who sends them. */
bool codec_op_counts(enum side_op op);

/* The bits of wishes that this haul knows; and the name of a wish that is not among `known`, or
 * NULL. */
uint64_t codec_choices_known(void);
const char *codec_choice_unknown(const struct job_wish *wish, uint64_t known);

#endif
