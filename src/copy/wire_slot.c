/* wire_slot.c - slots as messages, and back. Decides nothing; the checks here are those that need
 * to know what was asked. */
#include "wire_slot.h"

#include "haul/budget.h"
#include "haul/codec.h"
#include "haul/num.h"

#include <string.h>

void wire_slot_no_report(struct side_report *report)
{
    *report = (struct side_report){
        .resident_before_bytes = NUM_UNKNOWN,
        .resident_peak_bytes = NUM_UNKNOWN,
        .resident_after_bytes = NUM_UNKNOWN,
        .memory_peak_bytes = NUM_UNKNOWN,
    };
}

/* ---- the client ---- */

void wire_slot_request(struct wire_message *message, const struct slot *slot, enum end_role role)
{
    codec_message(message, WIRE_REQUEST, slot->index);
    codec_slot(&message->slot, slot);
    message->op = slot->op;
    message->job = *slot->job;
    message->path = role == END_SOURCE ? slot->job->source_path : slot->job->target_path;
    message->payload_bytes = slot->op == END_STORE ? slot->length : 0;
    if (!slot->conditional)
        message->slot.expected = (struct digest){{0}};
}

static const char *check_opened(const struct job *job, enum end_role role,
                                const struct wire_message *reply)
{
    if (role == END_SOURCE) {
        bool file = reply->facts.kind == FILE_REGULAR || reply->facts.kind == FILE_DEVICE;
        return file ? NULL : "it opened what is no file";
    }
    if (reply->job.chunk_bytes > job->chunk_bytes)
        return "it wants larger chunks than there is room for";
    /* Each has its bit in our memory. */
    return reply->job.chunk_bytes < CHUNK_BYTES_MIN ? "it wants smaller chunks than there are"
                                                    : NULL;
}

static const char *check_recalled(const struct slot *slot, const struct slot *answer)
{
    if (answer->count > slot->length / WIRE_ENTRY_BYTES)
        return "it recalled more than there is room for";
    if (answer->extent_start != 0 &&
        (answer->count == 0 || answer->extent_start != slot->offset + answer->count))
        return "it recalls in a circle";
    return NULL;
}

/* That a digest matches is for us to find. */
static bool answer_matches(const struct slot *slot, const struct slot *answer)
{
    bool whole = slot->op == END_FETCH || answer->count == slot->length;
    return slot->conditional && whole && digest_equal(&answer->digest, &slot->expected);
}

static const char *check_reply(const struct slot *slot, enum end_role role,
                               const struct wire_message *reply)
{
    const struct slot *answer = &reply->slot;
    switch (slot->op) {
    case END_OPEN:
        return check_opened(slot->job, role, reply);
    case END_MAP:
        /* The end behind the offset: else the plan would ask the same again, for ever. */
        return answer->extent_start < slot->offset || answer->extent_end <= slot->offset
                   ? "it found data before the place that was asked for"
                   : NULL;
    case END_RECALL:
        return check_recalled(slot, answer);
    case END_FETCH:
        return answer->matched && !answer_matches(slot, answer)
                   ? "it kept back a chunk that is needed"
                   : NULL;
    case END_EXAMINE:
        return answer->count > slot->length ? "it examined more than was asked for" : NULL;
    default:
        return NULL;
    }
}

const char *wire_slot_take_reply(struct slot *slot, enum end_role role,
                                 const struct wire_message *reply)
{
    const char *wrong = reply->status == WIRE_DONE ? check_reply(slot, role, reply) : NULL;
    if (wrong)
        return wrong;
    codec_take_reply(slot, role, reply);
    if (slot->op == END_FETCH || slot->op == END_EXAMINE)
        slot->matched = answer_matches(slot, &reply->slot);
    if (slot->op == END_FETCH)
        slot->count = slot->length;
    return NULL;
}

/* ---- the server ---- */

void wire_slot_reply(struct wire_message *message, const struct slot *slot, enum end_op op,
                     enum end_role role, const struct error *why)
{
    codec_message(message, WIRE_REPLY, slot->index);
    codec_slot(&message->slot, slot);
    message->op = op;
    message->job = *slot->job;
    message->facts = slot->job->facts[role];
    message->report = slot->job->reports[role];
    if (slot->result < 0) {
        bool words = error_is_set(why);
        message->status = WIRE_FAILED;
        message->failure = (struct wire_failure){
            .class = words ? why->class : ERROR_FILE,
            .errnum = (uint32_t)-slot->result,
            .words = words ? why->text : strerror(-slot->result),
        };
        return;
    }
    message->slot.matched = slot->conditional && slot->matched;
    if (op == END_FETCH && !message->slot.matched)
        message->payload_bytes = slot->length;
    else if (op == END_RECALL)
        message->payload_bytes = slot->count * WIRE_ENTRY_BYTES;
}

/* ---- payloads ---- */

const void *wire_slot_pack(struct wire_message *message, const struct slot *slot, struct pack *pack)
{
    const void *packed;
    bool chunk = (message->type == WIRE_REQUEST && message->op == END_STORE) ||
                 (message->type == WIRE_REPLY && message->op == END_FETCH);
    if (message->payload_bytes == 0)
        return NULL;
    uint32_t length =
        pack && chunk ? pack_shrink(pack, slot->buffer, message->payload_bytes, &packed) : 0;
    if (length == 0)
        return slot->buffer;
    message->payload_bytes = length;
    return packed;
}

static bool wire_slot_packed(const struct slot *slot, uint32_t payload_bytes,
                             const struct pack *pack)
{
    bool chunk = slot->op == END_STORE || slot->op == END_FETCH;
    return pack && chunk && payload_bytes < slot->length;
}

void *wire_slot_incoming(const struct slot *slot, uint32_t payload_bytes, struct pack *pack)
{
    return wire_slot_packed(slot, payload_bytes, pack) ? pack_incoming(pack) : slot->buffer;
}

bool wire_slot_unpack(const struct slot *slot, uint32_t payload_bytes, struct pack *pack)
{
    return !wire_slot_packed(slot, payload_bytes, pack) ||
           pack_expand(pack, payload_bytes, slot->buffer, slot->length);
}
