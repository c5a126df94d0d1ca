/* wire.c - the layout of what two hauls say to each other; the only file that knows it.
 *
 * Each message is described once, by a function that codes its fields in order, and serves both
 * directions: so writer and reader cannot disagree. Ranges are in the same place: out of range is a
 * mistake of ours when writing (assert) and a violation when reading. */
#include "haul/wire.h"

#include "haul/bytes.h"
#include "haul/cleanup.h"
#include "haul/num.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Largest values of the enums of other layers; wire_slot.c asserts that they are these. */
enum {
    ROLE_MAX = 1,
    FILE_KIND_MAX = 4,
    POLICY_MAX = 3,
    ENGINE_MAX = 4,
    JOURNAL_STATE_MAX = 5,
    LOG_LEVEL_MAX = 4,
    ERROR_CLASS_MAX = ERROR_TIMEOUT,
    ERRNO_MAX = 4095, /* MAX_ERRNO of the kernel */
    MODE_MAX = 07777,
    EVIDENCE_MAX = 2,
    GRANULARITY_NS_MAX = 2000000000,
    ATTRIBUTE_SET_MAX = (1 << WIRE_ATTRIBUTES_COUNT) - 1,
    NANOSECONDS_MAX = 999999999,
};

/* A seed for each direction, so that an echo, or zeros, never validate. "haul" and a number. */
static const uint64_t seeds[] = {
    [WIRE_CLIENT] = UINT64_C(0x6861756c00000001),
    [WIRE_SERVER] = UINT64_C(0x6861756c00000002),
};

/* Their numbers are the protocol's: a new class goes to the end. */
static_assert(ERROR_USAGE == 1 && ERROR_FILE == 2 && ERROR_MEMORY == 3 && ERROR_CHANGED == 4 &&
                  ERROR_VANISHED == 5 && ERROR_MISMATCH == 6 && ERROR_CACHE == 7 &&
                  ERROR_BUSY == 8 && ERROR_INTERRUPTED == 9 && ERROR_PROTOCOL == 10 &&
                  ERROR_VERSION == 11 && ERROR_START == 12 && ERROR_NOT_FOUND == 13 &&
                  ERROR_SOCKET == 14 && ERROR_CONNECT == 15 && ERROR_TIMEOUT == 16,
              "the wire names classes by these numbers");

struct coder {
    struct bytes bytes;
    bool writing;
    struct wire_texts *texts; /* reading: where texts go */
    uint32_t texts_count;
};

/* A value that must be in [least, most]. */
static void check(struct coder *coder, uint64_t value, uint64_t least, uint64_t most)
{
    bool good = value >= least && value <= most;
    assert(good || !coder->writing);
    if (!good)
        coder->bytes.failed = true;
}

static void code_u8(struct coder *coder, uint8_t *value, uint8_t most)
{
    if (coder->writing)
        bytes_put_u8(&coder->bytes, *value);
    else
        *value = bytes_get_u8(&coder->bytes);
    check(coder, *value, 0, most);
}

static void code_bool(struct coder *coder, bool *value)
{
    uint8_t byte = *value;
    code_u8(coder, &byte, 1);
    *value = byte == 1;
}

static void code_u32(struct coder *coder, uint32_t *value)
{
    if (coder->writing)
        bytes_put_u32(&coder->bytes, *value);
    else
        *value = bytes_get_u32(&coder->bytes);
}

static void code_u64(struct coder *coder, uint64_t *value)
{
    if (coder->writing)
        bytes_put_u64(&coder->bytes, *value);
    else
        *value = bytes_get_u64(&coder->bytes);
}

static void code_count(struct coder *coder, uint32_t *value, uint32_t least, uint32_t most)
{
    code_u32(coder, value);
    check(coder, *value, least, most);
}

/* A size or position in a file. */
static void code_offset(struct coder *coder, uint64_t *value)
{
    code_u64(coder, value);
    check(coder, *value, 0, WIRE_OFFSET_MAX);
}

/* Two's complement, as int64_t is everywhere (C11 7.20.1.1). */
static void code_i64(struct coder *coder, int64_t *value)
{
    uint64_t bits = (uint64_t)*value;
    code_u64(coder, &bits);
    memcpy(value, &bits, sizeof(bits));
}

static void code_chunk_bytes(struct coder *coder, uint32_t *value)
{
    code_count(coder, value, WIRE_CHUNK_BYTES_MIN, WIRE_CHUNK_BYTES_MAX);
    check(coder, is_power_of_two(*value), 1, 1);
}

static void code_digest(struct coder *coder, struct digest *digest)
{
    if (coder->writing)
        bytes_put_raw(&coder->bytes, digest->bytes, DIGEST_BYTES);
    else
        bytes_get_raw(&coder->bytes, digest->bytes, DIGEST_BYTES);
}

static void code_text(struct coder *coder, const char **text, size_t capacity)
{
    if (coder->writing) {
        if (strnlen(*text, capacity) >= capacity)
            coder->bytes.failed = true;
        else
            bytes_put_string(&coder->bytes, *text);
        return;
    }
    assert(coder->texts_count < COUNT_OF(coder->texts->text) && capacity <= ERROR_TEXT_BYTES);
    char *room = coder->texts->text[coder->texts_count++];
    bytes_get_string(&coder->bytes, room, capacity);
    *text = room;
}

static void code_hello(struct coder *coder, struct wire_hello *hello)
{
    code_u64(coder, &hello->capabilities);
    code_u64(coder, &hello->choices);
    code_u64(coder, &hello->session);
    code_u8(coder, &hello->role, ROLE_MAX);
    code_u8(coder, &hello->engine, ENGINE_MAX);
    code_u8(coder, &hello->log_level, LOG_LEVEL_MAX);
    code_count(coder, &hello->lanes, 1, WIRE_LANES_MAX);
    code_count(coder, &hello->slots_count, 0, WIRE_SLOTS_MAX);
    code_count(coder, &hello->control_count, 0, WIRE_SLOTS_MAX);
    check(coder, (uint64_t)hello->slots_count + hello->control_count, 0, WIRE_SLOTS_MAX);
    code_count(coder, &hello->jobs_max, 1, WIRE_JOBS_MAX);
    code_count(coder, &hello->chunk_bytes, 0, WIRE_CHUNK_BYTES_MAX);
    bool buffer =
        is_power_of_two(hello->chunk_bytes) && hello->chunk_bytes >= WIRE_BUFFER_BYTES_MIN;
    check(coder, hello->chunk_bytes == 0 || buffer, 1, 1);
    code_u64(coder, &hello->memory_bytes);
    code_count(coder, &hello->ping_ms, WIRE_PING_MS_MIN, WIRE_PING_MS_MAX);
}

static void code_evidence(struct coder *coder, struct wire_evidence *evidence)
{
    code_u8(coder, &evidence->grade, EVIDENCE_MAX);
    code_u64(coder, &evidence->identity);
    code_u64(coder, &evidence->change);
    code_count(coder, &evidence->granularity_ns, 0, GRANULARITY_NS_MAX);
    code_bool(coder, &evidence->keeps_change);
    code_u64(coder, &evidence->machine);
    code_i64(coder, &evidence->seen_ns);
    code_u64(coder, &evidence->medium_device);
    code_u64(coder, &evidence->medium_inode);
    code_u64(coder, &evidence->medium_offset);
}

static void code_facts(struct coder *coder, struct wire_facts *facts)
{
    code_u8(coder, &facts->kind, FILE_KIND_MAX);
    code_offset(coder, &facts->size_bytes);
    code_u64(coder, &facts->allocated_bytes);
    code_count(coder, &facts->mode, 0, MODE_MAX);
    code_u32(coder, &facts->uid);
    code_u32(coder, &facts->gid);
    code_i64(coder, &facts->mtime_seconds);
    code_count(coder, &facts->mtime_ns, 0, NANOSECONDS_MAX);
    code_i64(coder, &facts->ctime_seconds);
    code_count(coder, &facts->ctime_ns, 0, NANOSECONDS_MAX);
    code_u64(coder, &facts->device);
    code_u64(coder, &facts->inode);
    code_evidence(coder, &facts->evidence);
}

/* Wishes that are a choice of few, as one u64: a new one takes the next bits. The names are for the
 * one who wished it. */
struct choice {
    const char *name;
    uint16_t offset; /* of a byte in struct wire_wish */
    uint8_t shift, bits;
};

#define CHOICE(field, shift, bits, name)                                                           \
    {                                                                                              \
        name, offsetof(struct wire_wish, field), shift, bits                                       \
    }

static const struct choice choices[] = {
    CHOICE(cache, 0, 2, "--cache"),
    CHOICE(resume, 2, 2, "--append"),
    CHOICE(strict, 4, 1, "--strict"),
    CHOICE(cache_max_set, 5, 1, "--cache-max"),
    CHOICE(write_devices, 6, 1, "--write-devices"),
    CHOICE(preallocate, 7, 1, "preallocation"),
    CHOICE(join, 8, 1, "several lanes"),
    CHOICE(attributes[0], 9, 2, "--owner"),
    CHOICE(attributes[1], 11, 2, "--group"),
    CHOICE(attributes[2], 13, 2, "--perms"),
    CHOICE(attributes[3], 15, 2, "--times"),
    CHOICE(set_id, 17, 1, "set-id bits"),
    CHOICE(journal, 18, 1, "a journal"),
    CHOICE(journal_early, 19, 1, "a journal from the beginning"),
    CHOICE(compare_only, 20, 1, "haul verify"),
    CHOICE(dry, 21, 1, "--dry-run"),
};

static uint64_t choice_mask(const struct choice *choice)
{
    return (((uint64_t)1 << choice->bits) - 1) << choice->shift;
}

uint64_t wire_choices_known(void)
{
    uint64_t known = 0;
    for (size_t i = 0; i < COUNT_OF(choices); i++)
        known |= choice_mask(&choices[i]);
    return known;
}

static uint64_t choices_of(const struct wire_wish *wish)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        uint64_t value = ((const uint8_t *)wish)[choices[i].offset];
        assert(value >> choices[i].bits == 0);
        bits |= value << choices[i].shift & choice_mask(&choices[i]);
    }
    return bits;
}

const char *wire_choice_unknown(const struct wire_wish *wish, uint64_t known)
{
    uint64_t unknown = choices_of(wish) & ~known;
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        if (unknown & choice_mask(&choices[i]))
            return choices[i].name;
    }
    return NULL;
}

static void code_wish(struct coder *coder, struct wire_wish *wish)
{
    uint64_t bits = choices_of(wish);
    code_u64(coder, &bits);
    check(coder, bits & ~wire_choices_known(), 0, 0);
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        uint64_t value = (bits & choice_mask(&choices[i])) >> choices[i].shift;
        ((uint8_t *)wish)[choices[i].offset] = (uint8_t)value;
    }
    code_u64(coder, &wish->cache_max_bytes);
    code_u64(coder, &wish->session);
    code_text(coder, &wish->journal_path, WIRE_PATH_BYTES_MAX);
    code_text(coder, &wish->chown, WIRE_CHOWN_BYTES);
}

/* DESCRIBE, OPEN, COMMIT, ADJUST. */
static void code_job(struct coder *coder, struct wire_request *request)
{
    code_chunk_bytes(coder, &request->chunk_bytes);
    code_text(coder, &request->path, WIRE_PATH_BYTES_MAX);
    code_wish(coder, &request->wish);
    code_facts(coder, &request->source);
}

static void code_range(struct coder *coder, struct wire_request *request)
{
    uint64_t end;
    code_offset(coder, &request->offset);
    code_count(coder, &request->length, 1, WIRE_CHUNK_BYTES_MAX);
    check(coder, add_u64(request->offset, request->length, &end) && end <= WIRE_OFFSET_MAX, 1, 1);
}

static void code_condition(struct coder *coder, struct wire_request *request)
{
    code_bool(coder, &request->conditional);
    code_digest(coder, &request->digest);
}

static void code_op(struct coder *coder, enum wire_op *op)
{
    uint8_t byte = (uint8_t)*op;
    code_u8(coder, &byte, WIRE_ADJUST);
    *op = coder->bytes.failed ? WIRE_DESCRIBE : (enum wire_op)byte;
}

static void code_request(struct coder *coder, struct wire_request *request)
{
    code_op(coder, &request->op);
    code_u32(coder, &request->job);
    switch (request->op) {
    case WIRE_DESCRIBE:
    case WIRE_OPEN:
    case WIRE_COMMIT:
    case WIRE_ADJUST:
        code_job(coder, request);
        break;
    case WIRE_MAP:
        code_offset(coder, &request->offset);
        break;
    case WIRE_FETCH:
        code_range(coder, request);
        code_condition(coder, request);
        break;
    case WIRE_EXAMINE:
        code_range(coder, request);
        code_condition(coder, request);
        code_bool(coder, &request->from_medium);
        break;
    case WIRE_STORE:
        code_range(coder, request);
        code_bool(coder, &request->blank);
        code_digest(coder, &request->digest);
        break;
    case WIRE_KEEP:
        code_range(coder, request);
        code_digest(coder, &request->digest);
        break;
    case WIRE_RECALL:
    case WIRE_ERASE:
        code_range(coder, request);
        break;
    case WIRE_SYNC:
    case WIRE_ABANDON:
        break;
    }
}

static void code_report(struct coder *coder, struct wire_report *report)
{
    code_u8(coder, &report->policy, POLICY_MAX);
    code_u8(coder, &report->engine, ENGINE_MAX);
    code_text(coder, &report->policy_why, WIRE_WHY_BYTES);
    code_text(coder, &report->engine_why, WIRE_WHY_BYTES);
    code_u64(coder, &report->resident_before_bytes);
    code_u64(coder, &report->resident_peak_bytes);
    code_u64(coder, &report->resident_after_bytes);
    code_u64(coder, &report->memory_peak_bytes);
    code_u8(coder, &report->attributes_changed, ATTRIBUTE_SET_MAX);
    code_u8(coder, &report->attributes_lost, ATTRIBUTE_SET_MAX);
    code_u8(coder, &report->attributes_asked, ATTRIBUTE_SET_MAX);
    code_u64(coder, &report->reread_cached_bytes);
}

static void code_failure(struct coder *coder, enum error_class *class, uint32_t *errnum,
                         const char **words)
{
    uint8_t byte = (uint8_t) * class;
    code_u8(coder, &byte, ERROR_CLASS_MAX);
    *class = coder->bytes.failed ? ERROR_PROTOCOL : (enum error_class)byte;
    code_count(coder, errnum, 0, ERRNO_MAX);
    code_text(coder, words, ERROR_TEXT_BYTES);
}

static void code_outcome(struct coder *coder, struct wire_reply *reply)
{
    switch (reply->op) {
    case WIRE_DESCRIBE:
        code_facts(coder, &reply->facts);
        code_bool(coder, &reply->journal_present);
        break;
    case WIRE_OPEN:
        code_facts(coder, &reply->facts);
        code_bool(coder, &reply->target_fresh);
        code_bool(coder, &reply->target_readable);
        code_u8(coder, &reply->journal, JOURNAL_STATE_MAX);
        code_offset(coder, &reply->old_bytes);
        code_bool(coder, &reply->journal_source_proven);
        code_bool(coder, &reply->journal_target_proven);
        code_chunk_bytes(coder, &reply->chunk_bytes);
        break;
    case WIRE_MAP:
        code_offset(coder, &reply->extent_start);
        code_offset(coder, &reply->extent_end);
        check(coder, reply->extent_start <= reply->extent_end, 1, 1);
        break;
    case WIRE_RECALL:
        code_offset(coder, &reply->extent_start);
        code_count(coder, &reply->count, 0, WIRE_PAYLOAD_BYTES_MAX / WIRE_ENTRY_BYTES);
        code_digest(coder, &reply->digest);
        break;
    case WIRE_FETCH:
        code_bool(coder, &reply->matched);
        code_digest(coder, &reply->digest);
        break;
    case WIRE_EXAMINE:
        code_count(coder, &reply->count, 0, WIRE_CHUNK_BYTES_MAX);
        code_digest(coder, &reply->digest);
        break;
    case WIRE_STORE:
    case WIRE_KEEP:
    case WIRE_ERASE:
    case WIRE_SYNC:
    case WIRE_COMMIT: /* these three: below */
    case WIRE_ABANDON:
    case WIRE_ADJUST:
        break;
    }
}

bool wire_op_reports(enum wire_op op)
{
    return op == WIRE_COMMIT || op == WIRE_ABANDON || op == WIRE_ADJUST;
}

static void code_reply(struct coder *coder, struct wire_reply *reply)
{
    uint8_t status = (uint8_t)reply->status;
    code_op(coder, &reply->op);
    code_u8(coder, &status, reply->op == WIRE_STORE ? WIRE_DAMAGED : WIRE_FAILED);
    reply->status = coder->bytes.failed ? WIRE_FAILED : (enum wire_status)status;
    if (reply->status == WIRE_FAILED) {
        code_failure(coder, &reply->class, &reply->errnum, &reply->words);
        check(coder, reply->class != ERROR_NONE && reply->errnum > 0, 1, 1);
    } else if (reply->status == WIRE_DONE) {
        code_outcome(coder, reply);
    }
    if (wire_op_reports(reply->op)) {
        code_report(coder, &reply->report);
        code_u64(coder, &reply->tally.bytes);
        code_u64(coder, &reply->tally.sum);
    }
}

static void code_note(struct coder *coder, struct wire_note *note)
{
    code_u8(coder, &note->level, LOG_LEVEL_MAX);
    code_text(coder, &note->line, WIRE_NOTE_BYTES);
}

static void code_message(struct coder *coder, struct wire_message *message)
{
    switch (message->type) {
    case WIRE_HELLO:
        code_hello(coder, &message->hello);
        break;
    case WIRE_REQUEST:
        code_request(coder, &message->request);
        break;
    case WIRE_REPLY:
        code_reply(coder, &message->reply);
        break;
    case WIRE_NOTE:
        code_note(coder, &message->note);
        break;
    case WIRE_PING:
    case WIRE_PONG:
        code_u64(coder, &message->arrived_bytes);
        break;
    case WIRE_BYE:
        code_failure(coder, &message->bye.class, &message->bye.errnum, &message->bye.words);
        break;
    }
}

/* What the message says about its payload. */
static bool payload_agrees(const struct wire_message *message)
{
    const struct wire_reply *reply = &message->reply;
    uint32_t payload_bytes = message->payload_bytes;
    if (message->type == WIRE_REQUEST && message->request.op == WIRE_STORE)
        return payload_bytes > 0 && payload_bytes <= message->request.length;
    if (message->type != WIRE_REPLY || reply->status != WIRE_DONE)
        return payload_bytes == 0;
    if (reply->op == WIRE_FETCH)
        return (payload_bytes == 0) == reply->matched;
    if (reply->op == WIRE_RECALL)
        return payload_bytes == reply->count * WIRE_ENTRY_BYTES;
    return payload_bytes == 0;
}

/* Who may say what, and which tag belongs to it. */
static bool sender_agrees(const struct wire_message *message, enum wire_side from)
{
    bool tagged = message->type == WIRE_REQUEST || message->type == WIRE_REPLY;
    if (message->type == WIRE_REQUEST && from != WIRE_CLIENT)
        return false;
    if ((message->type == WIRE_REPLY || message->type == WIRE_NOTE) && from != WIRE_SERVER)
        return false;
    return tagged ? message->tag < WIRE_SLOTS_MAX : message->tag == WIRE_TAG_NONE;
}

enum { HEADER_SUMMED_BYTES = 12 };

static uint32_t frame_checksum(const uint8_t *frame, size_t length, enum wire_side from)
{
    uint64_t seed = checksum_of(frame, HEADER_SUMMED_BYTES, seeds[from]);
    return (uint32_t)checksum_of(frame + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES, seed);
}

int wire_encode(uint8_t out[WIRE_FRAME_BYTES_MAX], const struct wire_message *message,
                enum wire_side from)
{
    struct wire_message copy = *message; /* the coder's fields are not const: it reads, too */
    struct coder coder = {
        .bytes = bytes_writer(out + WIRE_HEADER_BYTES, WIRE_BODY_BYTES_MAX),
        .writing = true,
    };
    assert(sender_agrees(message, from) && payload_agrees(message));
    code_message(&coder, &copy);
    if (coder.bytes.failed)
        return -ENAMETOOLONG;

    size_t length = WIRE_HEADER_BYTES + coder.bytes.length;
    struct bytes header = bytes_writer(out, WIRE_HEADER_BYTES);
    bytes_put_u8(&header, (uint8_t)message->type);
    bytes_put_u8(&header, 0);
    bytes_put_u16(&header, (uint16_t)coder.bytes.length);
    bytes_put_u32(&header, message->tag);
    bytes_put_u32(&header, message->payload_bytes);
    bytes_put_u32(&header, frame_checksum(out, length, from));
    assert(!header.failed && header.length == WIRE_HEADER_BYTES);
    return (int)length;
}

/* false: not a header. */
static bool header_take(struct bytes *header, uint8_t *type, uint32_t *body_bytes,
                        struct wire_message *message)
{
    *type = bytes_get_u8(header);
    uint8_t zero = bytes_get_u8(header);
    *body_bytes = bytes_get_u16(header);
    message->tag = bytes_get_u32(header);
    message->payload_bytes = bytes_get_u32(header);
    return !header->failed && zero == 0 && *type >= WIRE_HELLO && *type <= WIRE_BYE &&
           *body_bytes <= WIRE_BODY_BYTES_MAX && message->payload_bytes <= WIRE_PAYLOAD_BYTES_MAX;
}

int wire_decode_header(const uint8_t header[WIRE_HEADER_BYTES], uint32_t *body_bytes,
                       uint32_t *payload_bytes)
{
    struct bytes bytes = bytes_reader(header, WIRE_HEADER_BYTES);
    struct wire_message message;
    uint8_t type;
    bool good = header_take(&bytes, &type, body_bytes, &message);
    *payload_bytes = message.payload_bytes;
    return good ? 0 : -EPROTO;
}

/* NULL, or what is wrong. */
static const char *decode(const uint8_t *frame, size_t length, enum wire_side from,
                          struct wire_message *message, struct wire_texts *texts)
{
    struct bytes header = bytes_reader(frame, min_size(length, WIRE_HEADER_BYTES));
    uint32_t body_bytes;
    uint8_t type;
    if (!header_take(&header, &type, &body_bytes, message))
        return "what should be the head of a frame is none";
    if (length != WIRE_HEADER_BYTES + body_bytes)
        return "a frame's length is not what its head says";
    if (bytes_get_u32(&header) != frame_checksum(frame, length, from))
        return "the checksum of a frame's head is wrong";
    message->type = (enum wire_type)type;

    struct coder coder = {
        .bytes = bytes_reader(frame + WIRE_HEADER_BYTES, body_bytes),
        .texts = texts,
    };
    code_message(&coder, message);
    if (coder.bytes.failed)
        return "a field is missing or out of its range";
    if (bytes_left(&coder.bytes) > 0)
        return "a frame has more fields than it should";
    if (!sender_agrees(message, from))
        return "a frame came from the wrong side, or with a tag that cannot be";
    return payload_agrees(message) ? NULL : "the payload's length contradicts its frame";
}

int wire_decode(const uint8_t *frame, size_t length, enum wire_side from,
                struct wire_message *message, struct wire_texts *texts, struct error *err)
{
    memset(message, 0, sizeof(*message));
    const char *why = decode(frame, length, from, message, texts);
    if (!why)
        return 0;
    return error_set_class(err, ERROR_PROTOCOL, EPROTO, "protocol error: %s", why);
}

/* CR LF shows a terminal in between that changes line ends. The sides differ, so that an echo is
 * recognised. */
static const char magics[][WIRE_MAGIC_BYTES + 1] = {
    [WIRE_CLIENT] = "haul>\r\n",
    [WIRE_SERVER] = "haul<\r\n",
};

void wire_encode_preamble(uint8_t out[WIRE_PREAMBLE_BYTES], const char *program,
                          enum wire_side from)
{
    struct bytes bytes = bytes_writer(out, WIRE_PREAMBLE_BYTES);
    char name[WIRE_PROGRAM_BYTES] = "";
    memcpy(name, program, strnlen(program, sizeof(name) - 1));
    bytes_put_raw(&bytes, magics[from], WIRE_MAGIC_BYTES);
    bytes_put_u16(&bytes, WIRE_VERSION);
    bytes_put_u16(&bytes, 0);
    bytes_put_u32(&bytes, 0);
    bytes_put_raw(&bytes, name, sizeof(name));
    assert(!bytes.failed && bytes.length == WIRE_PREAMBLE_BYTES);
}

bool wire_is_magic(const uint8_t *data, size_t length, enum wire_side from)
{
    return memcmp(data, magics[from], min_size(length, WIRE_MAGIC_BYTES)) == 0;
}

uint16_t wire_decode_preamble(const uint8_t preamble[WIRE_PREAMBLE_BYTES],
                              char program[WIRE_PROGRAM_BYTES])
{
    struct bytes bytes =
        bytes_reader(preamble + WIRE_MAGIC_BYTES, WIRE_PREAMBLE_BYTES - WIRE_MAGIC_BYTES);
    uint16_t version = bytes_get_u16(&bytes);
    (void)bytes_get_u16(&bytes); /* of later versions */
    (void)bytes_get_u32(&bytes);
    bytes_get_raw(&bytes, program, WIRE_PROGRAM_BYTES);
    program[WIRE_PROGRAM_BYTES - 1] = '\0';
    return version;
}

void wire_entries(void *entries, uint32_t count)
{
    uint8_t *at = entries;
    for (uint32_t i = 0; i < count; i++, at += WIRE_ENTRY_BYTES) {
        struct bytes bytes = bytes_writer(at, sizeof(uint64_t));
        uint64_t chunk;
        memcpy(&chunk, at, sizeof(chunk));
        bytes_put_u64(&bytes, chunk); /* on a big-endian machine this swaps, in either direction */
    }
}

void wire_tally_add(struct wire_tally *tally, uint64_t offset, uint32_t length,
                    const struct digest *digest)
{
    uint8_t record[sizeof(offset) + sizeof(length) + DIGEST_BYTES];
    struct bytes bytes = bytes_writer(record, sizeof(record));
    bytes_put_u64(&bytes, offset);
    bytes_put_u32(&bytes, length);
    bytes_put_raw(&bytes, digest->bytes, DIGEST_BYTES);
    tally->bytes += length;
    tally->sum += checksum_of(record, bytes.length, seeds[WIRE_CLIENT]);
}

const char *wire_op_name(enum wire_op op)
{
    static const char *const names[] = {
        [WIRE_DESCRIBE] = "describe", [WIRE_OPEN] = "open",     [WIRE_MAP] = "map",
        [WIRE_RECALL] = "recall",     [WIRE_FETCH] = "fetch",   [WIRE_EXAMINE] = "examine",
        [WIRE_STORE] = "store",       [WIRE_KEEP] = "keep",     [WIRE_ERASE] = "erase",
        [WIRE_SYNC] = "sync",         [WIRE_COMMIT] = "commit", [WIRE_ABANDON] = "abandon",
        [WIRE_ADJUST] = "adjust",
    };
    assert(op < COUNT_OF(names));
    return names[op];
}
