/* wire_slot.c - the only place that knows both slots (end.h) and messages (wire.h). Decides
 * nothing; the checks here are those that need to know what was asked. */
#include "wire_slot.h"

#include "haul/budget.h"
#include "haul/cleanup.h"
#include "haul/journal.h"
#include "haul/num.h"

#include <string.h>

/* The wire has its own numbers for these; that they are the same saves a table each. */
static_assert((int)WIRE_DESCRIBE == END_DESCRIBE && (int)WIRE_OPEN == END_OPEN &&
                  (int)WIRE_MAP == END_MAP && (int)WIRE_RECALL == END_RECALL &&
                  (int)WIRE_FETCH == END_FETCH && (int)WIRE_EXAMINE == END_EXAMINE &&
                  (int)WIRE_STORE == END_STORE && (int)WIRE_KEEP == END_KEEP &&
                  (int)WIRE_ERASE == END_ERASE && (int)WIRE_SYNC == END_SYNC &&
                  (int)WIRE_COMMIT == END_COMMIT && (int)WIRE_ABANDON == END_ABANDON &&
                  (int)WIRE_ADJUST == END_ADJUST,
              "operations");
static_assert(END_SOURCE == 0 && END_TARGET == 1, "roles");
static_assert(FILE_NONE == 0 && FILE_REGULAR == 1 && FILE_FOLDER == 2 && FILE_DEVICE == 3 &&
                  FILE_OTHER == 4,
              "kinds of files");
static_assert(EVIDENCE_NONE == 0 && EVIDENCE_WEAK == 1 && EVIDENCE_STRONG == 2, "grades");
static_assert(FILE_BYTES_MAX <= WIRE_OFFSET_MAX, "sizes of files");
static_assert(POLICY_AUTO == 0 && POLICY_DIRECT == 1 && POLICY_WINDOW == 2 && POLICY_PLAIN == 3,
              "policies");
static_assert(ENGINE_AUTO == 0 && ENGINE_URING == 1 && ENGINE_THREADS == 2 && ENGINE_SYNC == 3 &&
                  ENGINE_SIM == 4,
              "engines");
static_assert(RESUME_AUTO == 0 && RESUME_APPEND == 1 && RESUME_APPEND_VERIFY == 2 &&
                  RESUME_RESTART == 3,
              "wishes to resume");
static_assert((int)ATTRIBUTES_COUNT == WIRE_ATTRIBUTES_COUNT && ATTRIBUTE_OWNER == 0 &&
                  ATTRIBUTE_GROUP == 1 && ATTRIBUTE_MODE == 2 && ATTRIBUTE_TIMES == 3,
              "attributes");
static_assert(ATTRIBUTE_DEFAULT == 0 && ATTRIBUTE_LEAVE == 1 && ATTRIBUTE_ARCHIVE == 2 &&
                  ATTRIBUTE_ASKED == 3,
              "wishes for attributes");
static_assert(JOURNAL_ABSENT == 0 && JOURNAL_FITS == 1 && JOURNAL_SOURCE_CHANGED == 2 &&
                  JOURNAL_TARGET_CHANGED == 3 && JOURNAL_DAMAGED == 4 && JOURNAL_CHUNKS == 5,
              "states of a journal");
static_assert(sizeof(struct journal_entry) == WIRE_ENTRY_BYTES &&
                  offsetof(struct journal_entry, digest) == sizeof(uint64_t),
              "entries travel as they lie in memory, but for the order of bytes");

void wire_slot_no_report(struct side_report *report)
{
    *report = (struct side_report){
        .resident_before_bytes = NUM_UNKNOWN,
        .resident_peak_bytes = NUM_UNKNOWN,
        .resident_after_bytes = NUM_UNKNOWN,
        .memory_peak_bytes = NUM_UNKNOWN,
    };
}

/* Fields that have the same name and type on both sides, listed once for both directions. */
#define SAME(field) .field = from->field
#define SAME_FACTS                                                                                 \
    SAME(size_bytes), SAME(allocated_bytes), SAME(mode), SAME(uid), SAME(gid),                     \
        SAME(mtime_seconds), SAME(mtime_ns), SAME(ctime_seconds), SAME(ctime_ns), SAME(device),    \
        SAME(inode), SAME(evidence.grade), SAME(evidence.identity), SAME(evidence.change),         \
        SAME(evidence.granularity_ns), SAME(evidence.keeps_change), SAME(evidence.machine),        \
        SAME(evidence.seen_ns), SAME(evidence.medium_device), SAME(evidence.medium_inode),         \
        SAME(evidence.medium_offset)
#define SAME_WISH                                                                                  \
    SAME(strict), SAME(cache_max_set), SAME(write_devices), SAME(preallocate), SAME(join),         \
        SAME(set_id), SAME(journal), SAME(journal_early), SAME(compare_only), SAME(dry),           \
        SAME(cache_max_bytes), SAME(session)
#define SAME_ATTRIBUTES                                                                            \
    .attributes = {from->attributes[0], from->attributes[1], from->attributes[2],                  \
                   from->attributes[3]}

static struct wire_facts facts_out(const struct facts *from)
{
    return (struct wire_facts){.kind = (uint8_t)from->kind, SAME_FACTS};
}

static struct facts facts_in(const struct wire_facts *from)
{
    return (struct facts){.kind = (enum file_kind)from->kind, SAME_FACTS};
}

static struct wire_wish wish_out(const struct job_wish *from)
{
    return (struct wire_wish){
        .cache = (uint8_t)from->cache,
        .resume = (uint8_t)from->resume,
        .journal_path = from->journal_path ? from->journal_path : "",
        .chown = from->chown ? from->chown : "",
        SAME_WISH,
        SAME_ATTRIBUTES,
    };
}

static struct job_wish wish_in(const struct wire_wish *from)
{
    return (struct job_wish){
        .cache = (enum policy_kind)from->cache,
        .resume = (enum resume_wish)from->resume,
        .journal_path = from->journal_path[0] ? from->journal_path : NULL,
        .chown = from->chown[0] ? from->chown : NULL,
        SAME_WISH,
        SAME_ATTRIBUTES,
    };
}

/* ---- the client ---- */

static void job_out(struct wire_request *request, const struct job *job, enum end_role role)
{
    request->chunk_bytes = job->chunk_bytes;
    request->path = role == END_SOURCE ? job->source_path : job->target_path;
    request->wish = wish_out(&job->wish);
    request->source = facts_out(&job->facts[END_SOURCE]);
}

static void range_out(struct wire_request *request, const struct slot *slot)
{
    request->offset = slot->offset;
    request->length = slot->length;
}

void wire_slot_request(struct wire_message *message, const struct slot *slot, enum end_role role)
{
    struct wire_request *request = &message->request;
    *message = (struct wire_message){.type = WIRE_REQUEST, .tag = slot->index};
    request->op = (enum wire_op)slot->op;
    request->job = slot->job->number;
    switch (slot->op) {
    case END_DESCRIBE:
    case END_OPEN:
    case END_COMMIT:
    case END_ADJUST:
        job_out(request, slot->job, role);
        break;
    case END_MAP:
        request->offset = slot->offset;
        break;
    case END_RECALL:
        request->offset = slot->offset;
        request->length = slot->length;
        break;
    case END_FETCH:
    case END_EXAMINE:
        range_out(request, slot);
        request->conditional = slot->conditional;
        request->from_medium = slot->from_medium;
        if (slot->conditional)
            request->digest = slot->expected;
        break;
    case END_STORE:
        message->payload_bytes = slot->length;
        range_out(request, slot);
        request->blank = slot->blank;
        request->digest = slot->digest;
        break;
    case END_KEEP:
        range_out(request, slot);
        request->digest = slot->digest;
        break;
    case END_ERASE:
        range_out(request, slot);
        break;
    case END_SYNC:
    case END_ABANDON:
        break;
    }
}

static void report_in(struct side_report *report, const struct wire_report *wire)
{
    report->policy = (enum policy_kind)wire->policy;
    report->engine = (enum engine_kind)wire->engine;
    strncpy(report->policy_why, wire->policy_why, sizeof(report->policy_why) - 1);
    strncpy(report->engine_why, wire->engine_why, sizeof(report->engine_why) - 1);
    report->policy_why[sizeof(report->policy_why) - 1] = '\0';
    report->engine_why[sizeof(report->engine_why) - 1] = '\0';
    report->resident_before_bytes = wire->resident_before_bytes;
    report->resident_peak_bytes = wire->resident_peak_bytes;
    report->resident_after_bytes = wire->resident_after_bytes;
    report->memory_peak_bytes = wire->memory_peak_bytes;
    report->attributes_changed = wire->attributes_changed;
    report->attributes_lost = wire->attributes_lost;
    report->attributes_asked = wire->attributes_asked;
    report->reread_cached_bytes = wire->reread_cached_bytes;
}

static const char *opened_in(struct job *job, enum end_role role, const struct wire_reply *reply)
{
    job->facts[role] = facts_in(&reply->facts);
    if (reply->op == WIRE_DESCRIBE) {
        if (role == END_TARGET)
            job->journal_present = reply->journal_present;
        return NULL;
    }
    if (role == END_TARGET) {
        if (reply->chunk_bytes > job->chunk_bytes)
            return "it wants larger chunks than there is room for";
        /* Each has its bit in our memory. */
        if (reply->chunk_bytes < CHUNK_BYTES_MIN)
            return "it wants smaller chunks than there are";
        job->chunk_bytes = reply->chunk_bytes;
        job->target_fresh = reply->target_fresh;
        job->target_readable = reply->target_readable;
        job->journal = (enum journal_state)reply->journal;
        job->old_bytes = reply->old_bytes;
        job->journal_source_proven = reply->journal_source_proven;
        job->journal_target_proven = reply->journal_target_proven;
    } else if (reply->facts.kind != FILE_REGULAR && reply->facts.kind != FILE_DEVICE) {
        return "it opened what is no file";
    }
    return NULL;
}

/* A chunk that was fetched or examined. That a digest matches is for us to find. */
static const char *chunk_in(struct slot *slot, const struct wire_reply *reply)
{
    bool whole = true;
    slot->digest = reply->digest;
    if (reply->op == WIRE_EXAMINE) {
        if (reply->count > slot->length)
            return "it examined more than was asked for";
        slot->count = reply->count;
        whole = reply->count == slot->length;
    } else {
        slot->count = slot->length;
    }
    slot->matched = slot->conditional && whole && digest_equal(&slot->digest, &slot->expected);
    if (reply->op == WIRE_FETCH && reply->matched && !slot->matched)
        return "it kept back a chunk that is needed";
    return NULL;
}

static const char *map_in(struct slot *slot, const struct wire_reply *reply)
{
    /* The end behind the offset: else the plan would ask the same again, for ever. */
    if (reply->extent_start < slot->offset || reply->extent_end <= slot->offset)
        return "it found data before the place that was asked for";
    slot->extent_start = reply->extent_start;
    slot->extent_end = reply->extent_end;
    return NULL;
}

static const char *recall_in(struct slot *slot, const struct wire_reply *reply)
{
    if (reply->count > slot->length / WIRE_ENTRY_BYTES)
        return "it recalled more than there is room for";
    if (reply->extent_start != 0 &&
        (reply->count == 0 || reply->extent_start != slot->offset + reply->count))
        return "it recalls in a circle";
    slot->count = reply->count;
    slot->extent_start = reply->extent_start;
    slot->digest = reply->digest;
    return NULL;
}

const char *wire_slot_take_reply(struct slot *slot, enum end_role role,
                                 const struct wire_reply *reply)
{
    switch (slot->op) {
    case END_DESCRIBE:
    case END_OPEN:
        return opened_in(slot->job, role, reply);
    case END_MAP:
        return map_in(slot, reply);
    case END_RECALL:
        return recall_in(slot, reply);
    case END_FETCH:
    case END_EXAMINE:
        return chunk_in(slot, reply);
    case END_COMMIT:
    case END_ABANDON:
    case END_ADJUST:
        report_in(&slot->job->reports[role], &reply->report);
        return NULL;
    case END_STORE:
    case END_KEEP:
    case END_ERASE:
    case END_SYNC:
        return NULL;
    }
    return "it answers what nobody asks";
}

/* ---- the server ---- */

void wire_slot_take_request(struct slot *slot, const struct wire_request *request)
{
    slot->offset = request->offset;
    slot->length = request->length;
    slot->conditional = request->conditional;
    slot->from_medium = request->from_medium;
    slot->blank = request->blank;
    if (request->op == WIRE_STORE || request->op == WIRE_KEEP)
        slot->digest = request->digest;
    else
        slot->expected = request->digest;
}

void wire_slot_take_job(struct job *job, const struct wire_request *request)
{
    job->number = request->job;
    job->chunk_bytes = request->chunk_bytes;
    job->wish = wish_in(&request->wish);
    job->facts[END_SOURCE] = facts_in(&request->source);
}

static struct wire_report report_out(const struct side_report *report)
{
    return (struct wire_report){
        .policy = (uint8_t)report->policy,
        .engine = (uint8_t)report->engine,
        .policy_why = report->policy_why,
        .engine_why = report->engine_why,
        .resident_before_bytes = report->resident_before_bytes,
        .resident_peak_bytes = report->resident_peak_bytes,
        .resident_after_bytes = report->resident_after_bytes,
        .memory_peak_bytes = report->memory_peak_bytes,
        .attributes_changed = report->attributes_changed,
        .attributes_lost = report->attributes_lost,
        .attributes_asked = report->attributes_asked,
        .reread_cached_bytes = report->reread_cached_bytes,
    };
}

static void failure_out(struct wire_reply *reply, const struct slot *slot, const struct error *why)
{
    bool words = error_is_set(why);
    reply->status = WIRE_FAILED;
    reply->class = words ? why->class : ERROR_FILE;
    reply->errnum = (uint32_t)-slot->result;
    reply->words = words ? why->text : strerror(-slot->result);
}

static void outcome_out(struct wire_message *message, const struct slot *slot, enum end_op op,
                        enum end_role role)
{
    struct wire_reply *reply = &message->reply;
    const struct job *job = slot->job;
    reply->status = WIRE_DONE;
    switch (op) {
    case END_DESCRIBE:
    case END_OPEN:
        reply->facts = facts_out(&job->facts[role]);
        reply->journal_present = job->journal_present;
        reply->target_fresh = job->target_fresh;
        reply->target_readable = job->target_readable;
        reply->journal = (uint8_t)job->journal;
        reply->old_bytes = job->old_bytes;
        reply->journal_source_proven = job->journal_source_proven;
        reply->journal_target_proven = job->journal_target_proven;
        reply->chunk_bytes = job->chunk_bytes;
        break;
    case END_FETCH:
        reply->matched = slot->conditional && slot->matched;
        message->payload_bytes = reply->matched ? 0 : slot->length;
        break;
    case END_RECALL:
        message->payload_bytes = slot->count * WIRE_ENTRY_BYTES;
        break;
    default:
        break;
    }
    reply->extent_start = slot->extent_start;
    reply->extent_end = slot->extent_end;
    reply->count = slot->count;
    reply->digest = slot->digest;
}

void wire_slot_reply(struct wire_message *message, const struct slot *slot, enum end_op op,
                     enum end_role role, const struct error *why)
{
    struct wire_reply *reply = &message->reply;
    *message = (struct wire_message){.type = WIRE_REPLY, .tag = slot->index};
    reply->op = (enum wire_op)op;
    if (slot->result < 0)
        failure_out(reply, slot, why);
    else
        outcome_out(message, slot, op, role);
    if (wire_op_reports(reply->op))
        reply->report = report_out(&slot->job->reports[role]);
}

/* ---- payloads ---- */

const void *wire_slot_pack(struct wire_message *message, const struct slot *slot, struct pack *pack)
{
    const void *packed;
    bool chunk = (message->type == WIRE_REQUEST && message->request.op == WIRE_STORE) ||
                 (message->type == WIRE_REPLY && message->reply.op == WIRE_FETCH);
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
