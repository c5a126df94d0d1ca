/* lie.h - well-formed lies: which field of which message is told otherwise, and how.
 *
 * In a fuzz input a lie is five bytes: operation (bit 7: of the request, else of the reply), the
 * how manieth of its kind (255: each), what is done, which field, a value. */
#ifndef HAUL_TESTS_FUZZ_LIE_H
#define HAUL_TESTS_FUZZ_LIE_H

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/wire/codec.h"

#include <string.h>

enum { LIE_BYTES = 5, LIES_MAX = 16, LIE_EACH = 255, LIE_OPS = SIDE_OPS_COUNT };

enum lie_deed {
    LIE_FIELD,     /* a field has another value */
    LIE_FIELD_TOO, /* as often again: most of what there is to find is found by this one */
    LIE_OLD,       /* the whole message is the one before of its operation */
    LIE_TWICE,     /* it comes twice */
    LIE_LATE,      /* behind the next one, where that is there already */
    LIE_EARLY,     /* the reply before comes once more when the request has hardly been sent */
    LIE_FAILED,    /* it failed, with words, or without */
    LIE_STATUS,    /* any other status */
    LIE_PAYLOAD,   /* a flipped bit, which its digest does not know of */
    LIE_LENGTH,    /* the payload is longer or shorter */
    LIE_ENTRIES,   /* of RECALL: other chunks are listed, under a good digest */
    LIE_CUT,       /* the connection ends */
    LIE_RECORDS,   /* of DETAIL and DRESS: a record says something else, under a good digest */
    LIE_DEEDS
};

struct lie {
    bool request;
    uint8_t op, number, deed, field, value;
};

/* believed: the client has nothing to hold against it. What is in a source only the source's side
 * knows, and whether a target was empty only the target's. Of details that is about details. */
struct lie_field {
    enum side_op op;
    uint16_t offset, bytes;
    bool truth; /* a bool */
    bool believed;
};

#define LIE_OF(op, member, believed)                                                               \
    {                                                                                              \
        op, offsetof(struct wire_message, member), sizeof(((struct wire_message *)0)->member),     \
            _Generic(((struct wire_message *)0)->member, bool                                      \
                     : true, default                                                               \
                     : false),                                                                     \
            believed                                                                               \
    }
#define LIE_OF_ENUM(op, member, believed) /* its lowest byte: little-endian machines only */       \
    {                                                                                              \
        op, offsetof(struct wire_message, member), 1, false, believed                              \
    }
#define LIE_OF_FACTS(op)                                                                           \
    LIE_OF_ENUM(op, facts.kind, false), LIE_OF(op, facts.size_bytes, true),                        \
        LIE_OF(op, facts.allocated_bytes, true), LIE_OF(op, facts.mode, false),                    \
        LIE_OF(op, facts.mtime_seconds, false), LIE_OF(op, facts.mtime_ns, false),                 \
        LIE_OF(op, facts.ctime_seconds, false), LIE_OF(op, facts.device, false),                   \
        LIE_OF(op, facts.inode, false), LIE_OF(op, facts.evidence.grade, true),                    \
        LIE_OF(op, facts.evidence.identity, true), LIE_OF(op, facts.evidence.change, true),        \
        LIE_OF(op, facts.evidence.machine, false)

static const struct lie_field lie_reply_fields[] = {
    LIE_OF_FACTS(SIDE_DESCRIBE),
    LIE_OF(SIDE_DESCRIBE, job.journal_present, false),
    LIE_OF_FACTS(SIDE_OPEN),
    LIE_OF(SIDE_OPEN, job.target_fresh, true),
    LIE_OF(SIDE_OPEN, job.target_readable, false),
    LIE_OF_ENUM(SIDE_OPEN, job.journal, true),
    LIE_OF(SIDE_OPEN, job.old_bytes, true),
    LIE_OF(SIDE_OPEN, job.journal_source_proven, true),
    LIE_OF(SIDE_OPEN, job.journal_target_proven, true),
    LIE_OF(SIDE_OPEN, job.chunk_bytes, false),
    LIE_OF(SIDE_MAP, slot.extent_start, true),
    LIE_OF(SIDE_MAP, slot.extent_end, true),
    LIE_OF(SIDE_RECALL, slot.extent_start, false),
    LIE_OF(SIDE_RECALL, slot.count, false),
    LIE_OF(SIDE_RECALL, slot.digest, false),
    LIE_OF(SIDE_FETCH, slot.matched, true),
    LIE_OF(SIDE_FETCH, slot.count, false),
    LIE_OF(SIDE_FETCH, slot.held, false),
    LIE_OF(SIDE_FETCH, slot.broken, false),
    LIE_OF_ENUM(SIDE_FETCH, set, true),
    LIE_OF(SIDE_FETCH, slot.digest, false),
    LIE_OF(SIDE_EXAMINE, slot.count, false),
    LIE_OF(SIDE_EXAMINE, slot.digest, false),
    LIE_OF(SIDE_BLOCKS, slot.count, false),
    LIE_OF(SIDE_BLOCKS, slot.digest, false),
    LIE_OF(SIDE_DIFFER, slot.partial, false),
    LIE_OF_ENUM(SIDE_DIFFER, set, false),
    LIE_OF(SIDE_DIFFER, slot.digest, false),
    LIE_OF(SIDE_PUT, job.kept_bytes, true),
    LIE_OF(SIDE_DELIVER, job.kept_bytes, true),
    LIE_OF(SIDE_DELIVER, tally.bytes, false),
    LIE_OF(SIDE_DELIVER, tally.sum, false),
    LIE_OF_ENUM(SIDE_COMMIT, report.policy, false),
    LIE_OF(SIDE_COMMIT, report.resident_after_bytes, false),
    LIE_OF(SIDE_COMMIT, tally.bytes, false),
    LIE_OF(SIDE_COMMIT, tally.sum, false),
    LIE_OF(SIDE_ABANDON, tally.sum, false),
    LIE_OF(SIDE_COMMIT, report.reread_cached_bytes, false),
    LIE_OF(SIDE_COMMIT, report.attributes_lost, true),
    LIE_OF(SIDE_DETAIL, slot.extent_start, true),
    LIE_OF(SIDE_DETAIL, slot.count, false),
    LIE_OF(SIDE_DETAIL, slot.digest, false),
    LIE_OF(SIDE_DRESS, report.attributes_changed, true),
    LIE_OF(SIDE_DRESS, report.attributes_lost, true),
};

/* A request that is changed on its way is another wish, and what comes of it is nobody's lie; only
 * what the tally covers must be noticed. Paths stay: nothing outside of the folder is touched. */
static const struct lie_field lie_request_fields[] = {
    LIE_OF(SIDE_DESCRIBE, job.number, true),
    LIE_OF(SIDE_OPEN, job.number, true),
    LIE_OF(SIDE_OPEN, job.chunk_bytes, true),
    LIE_OF_ENUM(SIDE_OPEN, job.wish.cache, true),
    LIE_OF_ENUM(SIDE_OPEN, job.wish.resume, true),
    LIE_OF(SIDE_OPEN, job.wish.preallocate, true),
    LIE_OF(SIDE_OPEN, job.wish.join, true),
    LIE_OF(SIDE_OPEN, job.wish.journal, true),
    LIE_OF(SIDE_OPEN, job.wish.journal_early, true),
    LIE_OF(SIDE_OPEN, job.wish.compare_only, true),
    LIE_OF(SIDE_OPEN, job.wish.session, true),
    LIE_OF_ENUM(SIDE_OPEN, job.facts[SIDE_SOURCE].kind, true),
    LIE_OF(SIDE_OPEN, job.facts[SIDE_SOURCE].size_bytes, true),
    LIE_OF(SIDE_OPEN, job.facts[SIDE_SOURCE].mtime_seconds, true),
    LIE_OF(SIDE_MAP, slot.offset, true),
    LIE_OF(SIDE_RECALL, slot.offset, true),
    LIE_OF(SIDE_RECALL, slot.length, true),
    LIE_OF(SIDE_FETCH, slot.offset, true),
    LIE_OF(SIDE_FETCH, slot.length, true),
    LIE_OF(SIDE_FETCH, slot.conditional, true),
    LIE_OF(SIDE_FETCH, slot.expected, true),
    LIE_OF(SIDE_EXAMINE, slot.offset, true),
    LIE_OF(SIDE_EXAMINE, slot.length, true),
    LIE_OF(SIDE_EXAMINE, slot.from_medium, false),
    LIE_OF(SIDE_STORE, job.number, false),
    LIE_OF(SIDE_STORE, slot.offset, false),
    LIE_OF(SIDE_STORE, slot.length, false),
    LIE_OF(SIDE_STORE, slot.digest, false),
    LIE_OF(SIDE_STORE, slot.blank, true),
    LIE_OF(SIDE_STORE, slot.broken, false),
    LIE_OF(SIDE_KEEP, slot.offset, false),
    LIE_OF(SIDE_KEEP, slot.digest, false),
    LIE_OF(SIDE_ERASE, slot.offset, true),
    LIE_OF(SIDE_ERASE, slot.length, true),
    LIE_OF(SIDE_SYNC, job.number, true),
    LIE_OF(SIDE_COMMIT, job.number, true),
    LIE_OF(SIDE_COMMIT, job.facts[SIDE_SOURCE].size_bytes, false),
    LIE_OF(SIDE_COMMIT, job.facts[SIDE_SOURCE].mtime_seconds, true),
    LIE_OF(SIDE_COMMIT, job.wish.attributes[ATTRIBUTE_TIMES], true),
    LIE_OF(SIDE_DESCRIBE, job.wish.dry, true),
    LIE_OF(SIDE_DETAIL, job.number, true),
    LIE_OF(SIDE_DETAIL, slot.offset, true),
    LIE_OF(SIDE_DETAIL, slot.length, true),
    LIE_OF_ENUM(SIDE_DETAIL, job.wish.attributes[ATTRIBUTE_XATTRS], true),
    LIE_OF_ENUM(SIDE_DETAIL, job.wish.attributes[ATTRIBUTE_ACLS], true),
    LIE_OF(SIDE_DRESS, job.number, true),
    LIE_OF(SIDE_DRESS, slot.length, false),
    LIE_OF(SIDE_DRESS, slot.digest, false),
    LIE_OF_ENUM(SIDE_DRESS, job.wish.attributes[ATTRIBUTE_XATTRS], true),
    LIE_OF_ENUM(SIDE_DRESS, job.wish.attributes[ATTRIBUTE_MODE], true),
};

/* The field-th of an operation, modulo how many there are; NULL: it has none. */
static inline const struct lie_field *lie_field_of(const struct lie *lie)
{
    const struct lie_field *fields = lie->request ? lie_request_fields : lie_reply_fields;
    uint32_t all = lie->request ? sizeof(lie_request_fields) / sizeof(*fields)
                                : sizeof(lie_reply_fields) / sizeof(*fields);
    uint32_t count = 0, wanted = 0;
    for (uint32_t i = 0; i < all; i++)
        count += fields[i].op == lie->op;
    for (uint32_t i = 0; count > 0 && i < all; i++) {
        if (fields[i].op == lie->op && wanted++ == lie->field % count)
            return &fields[i];
    }
    return NULL;
}

static inline bool lie_is_of_details(uint32_t op)
{
    return op == SIDE_DETAIL || op == SIDE_DRESS;
}

/* Another number in place of the old one, among them those that programs stumble over. */
static inline uint64_t lie_number(uint64_t old, uint8_t value)
{
    switch (value % 8) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return old + 1;
    case 3:
        return old - 1;
    case 4:
        return old ^ (uint64_t)1 << (value / 8);
    case 5:
        return (uint64_t)1 << (value / 4);
    case 6:
        return old + (uint64_t)(value / 8) * 64 * 1024;
    default:
        return value / 8;
    }
}

static inline void lie_about_field(struct wire_message *message, const struct lie_field *field,
                                   uint8_t value)
{
    uint8_t *at = (uint8_t *)message + field->offset;
    uint64_t number = 0;
    if (field->truth) {
        *at = !*at;
        return;
    }
    if (field->bytes > sizeof(number)) { /* a digest */
        at[value % field->bytes] ^= (uint8_t)(1 + value / field->bytes);
        return;
    }
    memcpy(&number, at, field->bytes);
    number = field->bytes == 1 ? value % 6u : lie_number(number, value);
    memcpy(at, &number, field->bytes); /* the lower bytes: little-endian machines only */
}

#endif
