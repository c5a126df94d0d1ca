/* codec.c - the layout of what two hauls say to each other; the only file that knows it.
 *
 * Each message is a table of fields, in their order, with what their values may be. Both directions
 * read the same table, so writer and reader cannot disagree. */
#include "haul/wire/codec.h"

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/journal.h"
#include "haul/disk/pressure.h"
#include "haul/side/report.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- what the numbers on the wire are ---- */

/* They are those of the enums, so that saves a table each: a new one goes to the end, and none
 * changes its place. */
static_assert(ERROR_USAGE == 1 && ERROR_BUSY == 8 && ERROR_TIMEOUT == 16, "classes of errors");
static_assert(SIDE_DESCRIBE == 0 && SIDE_STORE == 6 && SIDE_ADJUST == 12 && SIDE_DIFFER == 25 &&
                  SIDE_PRESS == 26 && SIDE_DELIVER == 28,
              "operations");
static_assert(SIDE_SOURCE == 0 && SIDE_TARGET == 1, "roles");
static_assert(FILE_NONE == 0 && FILE_REGULAR == 1 && FILE_OTHER == 4 && FILE_CHARACTER == 8,
              "kinds of files");
static_assert(JOB_UNCHANGED == 0 && JOB_CREATED == 2, "what was made");
static_assert(EVIDENCE_NONE == 0 && EVIDENCE_STRONG == 2, "grades");
static_assert(POLICY_AUTO == 0 && POLICY_DIRECT == 1 && POLICY_BATCH == 4, "policies");
static_assert(ENGINE_AUTO == 0 && ENGINE_URING == 1 && ENGINE_SIM == 4, "engines");
static_assert(RESUME_AUTO == 0 && RESUME_APPEND == 1 && RESUME_RESTART == 3, "wishes to resume");
static_assert(ATTRIBUTE_OWNER == 0 && ATTRIBUTE_TIMES == 5 && ATTRIBUTES_COUNT == 6, "attributes");
static_assert(ATTRIBUTE_DEFAULT == 0 && ATTRIBUTE_ASKED == 3, "wishes for attributes");
static_assert(JOURNAL_ABSENT == 0 && JOURNAL_FITS == 1 && JOURNAL_CHUNKS == 5, "journals");
static_assert(LOG_ERROR == 0 && LOG_DEBUG == 4, "levels of the log");
static_assert(FILE_BYTES_MAX <= WIRE_OFFSET_MAX, "sizes of files");
static_assert(sizeof(struct journal_entry) == WIRE_ENTRY_BYTES &&
                  offsetof(struct journal_entry, digest) == sizeof(uint64_t),
              "entries travel as they lie in memory, but for the order of bytes");

/* A seed for each direction, so that an echo, or zeros, never validate. "haul" and a number. */
static const uint64_t seeds[] = {
    [WIRE_CLIENT] = UINT64_C(0x6861756c00000001),
    [WIRE_SERVER] = UINT64_C(0x6861756c00000002),
};

/* ---- wishes that are a choice of few: bits of one u64 ---- */

/* A new one takes the next bits. The names are for the one who wished it. They are arrays, here and
 * below, so that nothing of these tables is relocated, and touched, where both sides are here. */
struct choice {
    char name[32];
    uint16_t offset; /* in struct job_wish */
    uint8_t memory_bytes, shift, bits;
};

#define CHOICE(member, shift, bits, name)                                                          \
    {                                                                                              \
        name, offsetof(struct job_wish, member), sizeof(((struct job_wish *)0)->member), shift,    \
            bits                                                                                   \
    }

static const struct choice choices[] = {
    CHOICE(cache, 0, 2, "--cache"),
    CHOICE(resume, 2, 2, "--append"),
    CHOICE(strict, 4, 1, "--strict"),
    CHOICE(cache_max_set, 5, 1, "--cache-max"),
    CHOICE(write_devices, 6, 1, "--write-devices"),
    CHOICE(preallocate, 7, 1, "preallocation"),
    CHOICE(join, 8, 1, "several lanes"),
    CHOICE(attributes[ATTRIBUTE_OWNER], 9, 2, "--owner"),
    CHOICE(attributes[ATTRIBUTE_GROUP], 11, 2, "--group"),
    CHOICE(attributes[ATTRIBUTE_MODE], 13, 2, "--perms"),
    CHOICE(attributes[ATTRIBUTE_TIMES], 15, 2, "--times"),
    CHOICE(set_id, 17, 1, "set-id bits"),
    CHOICE(journal, 18, 1, "a journal"),
    CHOICE(journal_early, 19, 1, "a journal from the beginning"),
    CHOICE(compare_only, 20, 1, "haul verify"),
    CHOICE(dry, 21, 1, "--dry-run"),
    CHOICE(replace_folders, 22, 1, "--force"),
    CHOICE(attributes[ATTRIBUTE_XATTRS], 23, 2, "--xattrs"),
    CHOICE(attributes[ATTRIBUTE_ACLS], 25, 2, "--acls"),
    CHOICE(numeric_ids, 27, 1, "--numeric-ids"),
    CHOICE(no_inplace, 28, 1, "--no-inplace"),
    CHOICE(read_errors, 29, 1, "--read-errors"),
    CHOICE(seals, 30, 1, "--base-manifest"),
    CHOICE(spelled, 31, 1, "names in capitals or not"),
};

/* ---- tables of fields ---- */

enum form {
    FORM_NUMBER,   /* little-endian; negative ones are two's complement, as in memory */
    FORM_POWER,    /* a number that is a power of two, or 0 where that is allowed */
    FORM_DIGEST,   /* bytes as they are */
    FORM_TEXT,     /* u16 length and bytes; const char * */
    FORM_OPTIONAL, /* the same, "" is NULL */
    FORM_WORDS,    /* the same, an array of char */
    FORM_SET,      /* of blocks: u16 length and bytes, without those at its end that are zero */
    FORM_CHOICES,  /* of a struct job_wish: a u64, see above */
};

struct field {
    char name[48];
    uint16_t offset, memory_bytes; /* in struct wire_message */
    enum form form;
    uint8_t wire_bytes;   /* of a number */
    uint64_t least, most; /* of a number; most: room for a text, with its NUL */
};

/* offsetof() takes what is between the brackets of an array, too. */
#define FIELD(member, ...)                                                                         \
    {                                                                                              \
#member, offsetof(struct wire_message, member),                                            \
            sizeof(((struct wire_message *)0)->member), __VA_ARGS__                                \
    }
#define U8(member, most)           FIELD(member, FORM_NUMBER, 1, 0, most)
#define BOOL(member)               U8(member, 1)
#define U32(member, least, most)   FIELD(member, FORM_NUMBER, 4, least, most)
#define U64(member, most)          FIELD(member, FORM_NUMBER, 8, 0, most)
#define ANY32(member)              U32(member, 0, UINT32_MAX)
#define ANY64(member)              U64(member, UINT64_MAX)
#define POWER(member, least, most) FIELD(member, FORM_POWER, 4, least, most)
#define DIGEST(member)             FIELD(member, FORM_DIGEST, 0, 0, 0)
#define TEXT(member, room)         FIELD(member, FORM_TEXT, 0, 0, room)
#define OPTIONAL(member, room)     FIELD(member, FORM_OPTIONAL, 0, 0, room)
#define SET(member)                FIELD(member, FORM_SET, 0, 0, 0)
#define WORDS(member)              FIELD(member, FORM_WORDS, 0, 0, 0)

enum {
    ERRNO_MAX = 4095, /* MAX_ERRNO of the kernel */
    MODE_MAX = 07777,
    GRANULARITY_NS_MAX = 2000000000,
    NANOSECONDS_MAX = 999999999,
    ATTRIBUTE_SET_MAX = (1 << ATTRIBUTES_COUNT) - 1,
    ENTRIES_MAX = WIRE_PAYLOAD_BYTES_MAX / WIRE_ENTRY_BYTES,
};

#define FACTS(of)                                                                                  \
    U8(of.kind, FILE_CHARACTER), U64(of.size_bytes, WIRE_OFFSET_MAX), ANY64(of.allocated_bytes),   \
        U32(of.mode, 0, MODE_MAX), ANY32(of.uid), ANY32(of.gid), ANY64(of.mtime_seconds),          \
        U32(of.mtime_ns, 0, NANOSECONDS_MAX), ANY64(of.ctime_seconds),                             \
        U32(of.ctime_ns, 0, NANOSECONDS_MAX), ANY64(of.device), ANY64(of.inode), ANY64(of.rdev),   \
        ANY32(of.links), U8(of.evidence.grade, EVIDENCE_STRONG), ANY64(of.evidence.identity),      \
        ANY64(of.evidence.change), U32(of.evidence.granularity_ns, 0, GRANULARITY_NS_MAX),         \
        BOOL(of.evidence.keeps_change), ANY64(of.evidence.machine), ANY64(of.evidence.seen_ns),    \
        ANY64(of.evidence.medium_device), ANY64(of.evidence.medium_inode),                         \
        ANY64(of.evidence.medium_offset)

static const struct field hello_fields[] = {
    ANY64(hello.capabilities),
    ANY64(hello.choices),
    ANY64(hello.session),
    U8(hello.role, SIDE_TARGET),
    U8(hello.engine, ENGINE_SIM),
    U8(hello.log_level, LOG_DEBUG),
    U32(hello.lanes, 1, WIRE_LANES_MAX),
    U32(hello.slots_count, 0, WIRE_SLOTS_MAX),
    U32(hello.control_count, 0, WIRE_SLOTS_MAX),
    U32(hello.jobs_max, 1, WIRE_JOBS_MAX),
    POWER(hello.chunk_bytes, 0, WIRE_CHUNK_BYTES_MAX),
    ANY64(hello.memory_bytes),
    U32(hello.ping_ms, WIRE_PING_MS_MIN, WIRE_PING_MS_MAX),
};
static const struct field note_fields[] = {
    U8(note.level, LOG_DEBUG),
    TEXT(note.line, WIRE_NOTE_BYTES),
};
static const struct field ping_fields[] = {ANY64(arrived_bytes)};
static const struct field pong_fields[] = {
    ANY64(arrived_bytes),
    ANY64(idle.idle_ns),
    ANY64(idle.clock_ns),
    U8(halved, PRESSURE_HALVED_MAX),
};
static const struct field failure_fields[] = {
    U8(failure.class, ERROR_TIMEOUT),
    U32(failure.errnum, 0, ERRNO_MAX),
    TEXT(failure.words, ERROR_TEXT_BYTES),
};

static const struct field request_fields[] = {U8(op, SIDE_DELIVER), ANY32(job.number)};
#define ROOT         ANY32(root.number), TEXT(root.path, WIRE_ROOT_BYTES_MAX)
#define NAMES(names) WORDS(names.of[OWNERS_USER]), WORDS(names.of[OWNERS_GROUP])
#define FILE_FIELDS                                                                                \
    POWER(job.chunk_bytes, WIRE_CHUNK_BYTES_MIN, WIRE_CHUNK_BYTES_MAX), ROOT,                      \
        TEXT(path, WIRE_PATH_BYTES_MAX), FIELD(job.wish, FORM_CHOICES, 8, 0, 0),                   \
        ANY64(job.wish.cache_max_bytes), ANY64(job.wish.session),                                  \
        U64(job.wish.size_bytes, WIRE_OFFSET_MAX), U64(job.wish.part_start, WIRE_OFFSET_MAX),      \
        U64(job.wish.part_end, WIRE_OFFSET_MAX),                                                   \
        OPTIONAL(job.wish.journal_path, WIRE_ROOT_BYTES_MAX),                                      \
        OPTIONAL(job.wish.chown, WIRE_CHOWN_BYTES), OPTIONAL(job.link_text, WIRE_PATH_BYTES_MAX),  \
        BOOL(job.hard_link), NAMES(names), FACTS(job.facts[SIDE_SOURCE])
/* Bytes: those that go with the request, or room for those of the reply. */
#define BYTES_MAX WIRE_PAYLOAD_BYTES_MAX
#define GIVEN     U32(slot.length, 0, BYTES_MAX), DIGEST(slot.digest)
#define ROOM      U32(slot.length, 1, BYTES_MAX)

static const struct field file_fields[] = {FILE_FIELDS};
static const struct field giving_fields[] = {FILE_FIELDS, GIVEN};
static const struct field putting_fields[] = {FILE_FIELDS, BOOL(slot.conditional), GIVEN};
static const struct field asking_fields[] = {FILE_FIELDS, ROOM};
static const struct field listing_fields[] = {FILE_FIELDS, ANY64(slot.offset), ROOM};
static const struct field walk_fields[] = {ROOM};
static const struct field names_fields[] = {GIVEN};
static const struct field sync_fields[] = {ROOT, BOOL(slot.conditional)};

#define OFFSET    U64(slot.offset, WIRE_OFFSET_MAX)
#define RANGE     OFFSET, U32(slot.length, 1, WIRE_CHUNK_BYTES_MAX)
#define CONDITION BOOL(slot.conditional), DIGEST(slot.expected)

static const struct field map_fields[] = {OFFSET};
static const struct field range_fields[] = {RANGE};
static const struct field erase_fields[] = {OFFSET, U32(slot.length, 1, SIDE_ERASE_BYTES_MAX)};
static const struct field fetch_fields[] = {RANGE, CONDITION, BOOL(slot.sparing)};
static const struct field examine_fields[] = {RANGE, CONDITION, BOOL(slot.from_medium),
                                              BOOL(slot.blocks)};
static const struct field differ_fields[] = {RANGE, DIGEST(slot.digest)};
static const struct field store_fields[] = {
    RANGE, BOOL(slot.blank), BOOL(slot.partial), BOOL(slot.broken), SET(set), DIGEST(slot.digest)};
static const struct field keep_fields[] = {RANGE, DIGEST(slot.digest)};

static const struct field reply_fields[] = {U8(op, SIDE_DELIVER), U8(status, WIRE_DAMAGED)};
static const struct field described_fields[] = {FACTS(facts), NAMES(names),
                                                BOOL(job.journal_present)};
static const struct field opened_fields[] = {
    FACTS(facts),
    NAMES(names),
    BOOL(job.target_fresh),
    BOOL(job.target_readable),
    U8(job.journal, JOURNAL_CHUNKS),
    U64(job.old_bytes, WIRE_OFFSET_MAX),
    BOOL(job.journal_source_proven),
    BOOL(job.journal_target_proven),
    POWER(job.chunk_bytes, WIRE_CHUNK_BYTES_MIN, WIRE_CHUNK_BYTES_MAX),
};
static const struct field committed_fields[] = {ANY64(job.seal)};
static const struct field mapped_fields[] = {
    U64(slot.extent_start, WIRE_OFFSET_MAX),
    U64(slot.extent_end, WIRE_OFFSET_MAX),
};
static const struct field recalled_fields[] = {
    U64(slot.extent_start, WIRE_OFFSET_MAX),
    U32(slot.count, 0, ENTRIES_MAX),
    DIGEST(slot.digest),
};
static const struct field differing_fields[] = {
    BOOL(slot.partial),
    SET(set),
    DIGEST(slot.digest),
};
static const struct field fetched_fields[] = {
    BOOL(slot.matched), BOOL(slot.held), U32(slot.count, 0, WIRE_CHUNK_BYTES_MAX),
    BOOL(slot.broken),  SET(set),        DIGEST(slot.digest),
};
static const struct field examined_fields[] = {
    U32(slot.count, 0, WIRE_CHUNK_BYTES_MAX),
    DIGEST(slot.digest),
};
#define COUNTED U32(slot.count, 0, BYTES_MAX), DIGEST(slot.digest)
static const struct field counted_fields[] = {COUNTED};
static const struct field walked_fields[] = {ANY64(slot.extent_start), COUNTED};
static const struct field taken_fields[] = {FACTS(facts), NAMES(names), COUNTED};
#define PUT U64(job.kept_bytes, WIRE_OFFSET_MAX)
static const struct field put_fields[] = {PUT};
static const struct field delivered_fields[] = {PUT, ANY64(job.seal)};
static const struct field made_fields[] = {U8(job.made, JOB_CREATED), BOOL(job.folds),
                                           FACTS(facts)};
static const struct field report_fields[] = {
    U8(report.policy, POLICY_BATCH),
    U8(report.engine, ENGINE_SIM),
    WORDS(words.policy),
    WORDS(words.engine),
    ANY64(report.resident_before_bytes),
    ANY64(report.resident_peak_bytes),
    ANY64(report.resident_after_bytes),
    ANY64(report.memory_peak_bytes),
    ANY64(report.kernel_bytes),
    U8(report.attributes_changed, ATTRIBUTE_SET_MAX),
    U8(report.attributes_lost, ATTRIBUTE_SET_MAX),
    U8(report.attributes_asked, ATTRIBUTE_SET_MAX),
    ANY64(report.reread_cached_bytes),
    ANY64(tally.bytes),
    ANY64(tally.sum),
};

struct table {
    const struct field *fields;
    size_t count;
};

#define TABLE(fields)                                                                              \
    {                                                                                              \
        fields, COUNT_OF(fields)                                                                   \
    }

/* What an operation asks, behind the fields of every request; what it answers when it is done,
 * behind those of every reply. */
static const struct {
    struct table asked, answered;
    bool describes; /* a file: it asks with file_fields first */
    bool gives;     /* bytes go with the request ... */
    bool counts;    /* ... with the reply */
    bool reports;
} ops[] = {
    [SIDE_DESCRIBE] = {.asked = TABLE(file_fields),
                       .answered = TABLE(described_fields),
                       .describes = true},
    [SIDE_OPEN] = {.asked = TABLE(file_fields),
                   .answered = TABLE(opened_fields),
                   .describes = true},
    [SIDE_MAP] = {.asked = TABLE(map_fields), .answered = TABLE(mapped_fields)},
    [SIDE_RECALL] = {.asked = TABLE(range_fields), .answered = TABLE(recalled_fields)},
    [SIDE_FETCH] = {.asked = TABLE(fetch_fields), .answered = TABLE(fetched_fields)},
    [SIDE_EXAMINE] = {.asked = TABLE(examine_fields), .answered = TABLE(examined_fields)},
    [SIDE_STORE] = {.asked = TABLE(store_fields), .gives = true},
    [SIDE_KEEP] = {.asked = TABLE(keep_fields)},
    [SIDE_ERASE] = {.asked = TABLE(erase_fields)},
    [SIDE_SYNC] = {.asked = TABLE(sync_fields)},
    [SIDE_COMMIT] = {.asked = TABLE(file_fields),
                     .answered = TABLE(committed_fields),
                     .describes = true,
                     .reports = true},
    [SIDE_ABANDON] = {.reports = true},
    [SIDE_ADJUST] = {.asked = TABLE(file_fields), .describes = true, .reports = true},
    [SIDE_TOUR] = {.asked = TABLE(giving_fields), .describes = true, .gives = true},
    [SIDE_WALK] = {.asked = TABLE(walk_fields), .answered = TABLE(walked_fields), .counts = true},
    [SIDE_MAKE] = {.asked = TABLE(file_fields),
                   .answered = TABLE(made_fields),
                   .describes = true,
                   .reports = true},
    [SIDE_DETAIL] = {.asked = TABLE(listing_fields),
                     .answered = TABLE(walked_fields),
                     .describes = true,
                     .counts = true},
    [SIDE_DRESS] = {.asked = TABLE(giving_fields),
                    .describes = true,
                    .gives = true,
                    .reports = true},
    [SIDE_LIST] = {.asked = TABLE(listing_fields),
                   .answered = TABLE(walked_fields),
                   .describes = true,
                   .counts = true},
    [SIDE_MISSING] = {.asked = TABLE(giving_fields),
                      .answered = TABLE(counted_fields),
                      .describes = true,
                      .gives = true,
                      .counts = true},
    [SIDE_REMOVE] = {.asked = TABLE(file_fields), .describes = true},
    [SIDE_TAKE] = {.asked = TABLE(asking_fields),
                   .answered = TABLE(taken_fields),
                   .describes = true,
                   .counts = true,
                   .reports = true},
    [SIDE_PUT] = {.asked = TABLE(putting_fields),
                  .answered = TABLE(put_fields),
                  .describes = true,
                  .gives = true},
    [SIDE_CANCEL] = {.reports = false},
    [SIDE_BLOCKS] = {.asked = TABLE(range_fields),
                     .answered = TABLE(counted_fields),
                     .counts = true},
    [SIDE_DIFFER] = {.asked = TABLE(differ_fields),
                     .answered = TABLE(differing_fields),
                     .gives = true},
    [SIDE_PRESS] = {.reports = false},
    [SIDE_NAMES] = {.asked = TABLE(names_fields), .gives = true},
    [SIDE_DELIVER] = {.asked = TABLE(putting_fields),
                      .answered = TABLE(delivered_fields),
                      .describes = true,
                      .gives = true,
                      .reports = true},
};
static_assert(COUNT_OF(ops) == SIDE_OPS_COUNT, "every operation has its fields");

bool codec_op_describes(enum side_op op)
{
    return ops[op].describes;
}

bool codec_op_begins(enum side_op op)
{
    return op == SIDE_OPEN || op == SIDE_TOUR || op == SIDE_PUT || op == SIDE_DELIVER;
}

bool codec_op_ends(enum side_op op, bool done)
{
    return op == SIDE_ABANDON || op == SIDE_DELIVER || (op == SIDE_COMMIT && done) ||
           (codec_op_begins(op) && !done);
}

bool codec_op_is_whole(enum side_op op)
{
    return op == SIDE_TAKE || op == SIDE_PUT || op == SIDE_DELIVER;
}

bool codec_op_stores(enum side_op op)
{
    return op == SIDE_STORE || op == SIDE_KEEP || op == SIDE_PUT || op == SIDE_DELIVER;
}

bool codec_op_gives(enum side_op op)
{
    return ops[op].gives;
}

bool codec_op_counts(enum side_op op)
{
    return ops[op].counts;
}

/* Of a chunk, what travels. */
static uint32_t moved_bytes(const struct slot *slot)
{
    return slot->partial ? blocks_bytes(slot->set, slot->length) : slot->length;
}

uint32_t codec_op_brings(enum side_op op, const struct slot *slot)
{
    if (op == SIDE_DIFFER)
        return blocks_count(slot->length) * BLOCKS_DIGEST_BYTES;
    return op == SIDE_STORE ? moved_bytes(slot) : slot->length;
}

uint32_t codec_op_takes(enum side_op op, const struct slot *slot)
{
    if (op == SIDE_RECALL)
        return slot->count * (uint32_t)WIRE_ENTRY_BYTES;
    if (op == SIDE_FETCH)
        return slot->matched || slot->held ? 0 : slot->count;
    if (op == SIDE_DIFFER)
        return moved_bytes(slot);
    return ops[op].counts ? slot->count : 0;
}

struct codec_payload codec_payload(enum side_op op, const struct slot *slot, enum wire_side from)
{
    bool client = from == WIRE_CLIENT;
    bool digests = op == (client ? SIDE_DIFFER : SIDE_BLOCKS);
    bool partial = slot->partial && op == (client ? SIDE_STORE : SIDE_DIFFER);
    return (struct codec_payload){
        .data = digests ? slot->digests : slot->buffer,
        .bytes = client ? codec_op_brings(op, slot) : codec_op_takes(op, slot),
        .set = partial ? slot->set : NULL,
        .packs = op != SIDE_RECALL && !digests && !partial,
    };
}

/* ---- fields ---- */

struct coder {
    struct bytes bytes;
    bool writing;
    struct codec_texts *texts; /* reading: where texts go */
    size_t texts_bytes;
    const char *wrong; /* the first field that is missing or out of its range */
};

static uint64_t number_load(const void *at, size_t bytes)
{
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;
    switch (bytes) {
    case sizeof(u8):
        memcpy(&u8, at, sizeof(u8));
        return u8;
    case sizeof(u32):
        memcpy(&u32, at, sizeof(u32));
        return u32;
    default:
        memcpy(&u64, at, sizeof(u64));
        return u64;
    }
}

static void number_store(void *at, size_t bytes, uint64_t value)
{
    uint8_t u8 = (uint8_t)value;
    uint32_t u32 = (uint32_t)value;
    memcpy(at,
           bytes == sizeof(u8)    ? (void *)&u8
           : bytes == sizeof(u32) ? (void *)&u32
                                  : &value,
           bytes);
}

static uint64_t choice_mask(const struct choice *choice)
{
    return (((uint64_t)1 << choice->bits) - 1) << choice->shift;
}

uint64_t codec_choices_known(void)
{
    uint64_t known = 0;
    for (size_t i = 0; i < COUNT_OF(choices); i++)
        known |= choice_mask(&choices[i]);
    return known;
}

static uint64_t choices_load(const struct job_wish *wish)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        const struct choice *choice = &choices[i];
        uint64_t value = number_load((const char *)wish + choice->offset, choice->memory_bytes);
        bits |= value << choice->shift & choice_mask(choice);
    }
    return bits;
}

static void choices_store(struct job_wish *wish, uint64_t bits)
{
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        const struct choice *choice = &choices[i];
        number_store((char *)wish + choice->offset, choice->memory_bytes,
                     (bits & choice_mask(choice)) >> choice->shift);
    }
}

const char *codec_choice_unknown(const struct job_wish *wish, uint64_t known)
{
    uint64_t unknown = choices_load(wish) & ~known;
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        if (unknown & choice_mask(&choices[i]))
            return choices[i].name;
    }
    return NULL;
}

static bool number_fits(const struct field *field, uint64_t value)
{
    if (field->form == FORM_POWER && value != 0 && !is_power_of_two(value))
        return false;
    return value >= field->least && value <= field->most;
}

static bool code_number(struct coder *coder, const struct field *field, void *at)
{
    if (coder->writing) {
        uint64_t value = number_load(at, field->memory_bytes);
        bytes_put_number(&coder->bytes, value, field->wire_bytes);
        return number_fits(field, value);
    }
    uint64_t value = bytes_get_number(&coder->bytes, field->wire_bytes);
    if (!number_fits(field, value))
        return false;
    number_store(at, field->memory_bytes, value);
    return true;
}

static bool code_choices(struct coder *coder, struct job_wish *wish)
{
    if (coder->writing) {
        bytes_put_u64(&coder->bytes, choices_load(wish));
        return true;
    }
    uint64_t bits = bytes_get_u64(&coder->bytes);
    choices_store(wish, bits);
    return (bits & ~codec_choices_known()) == 0;
}

static void put_text(struct bytes *bytes, const char *text, size_t room)
{
    if (text && strnlen(text, room) >= room)
        bytes->failed = true;
    else
        bytes_put_string(bytes, text ? text : "");
}

static const char *get_text(struct coder *coder, const struct field *field)
{
    char *room = coder->texts->room + coder->texts_bytes;
    size_t room_bytes = sizeof(coder->texts->room) - coder->texts_bytes;
    bytes_get_string(&coder->bytes, room, min_size(num_u32(field->most), room_bytes));
    coder->texts_bytes += strlen(room) + 1;
    return field->form == FORM_OPTIONAL && room[0] == '\0' ? NULL : room;
}

static void code_text(struct coder *coder, const struct field *field, const char **text)
{
    if (coder->writing)
        put_text(&coder->bytes, *text, num_u32(field->most));
    else
        *text = get_text(coder, field);
}

static void code_words(struct coder *coder, const struct field *field, char *words)
{
    if (coder->writing)
        put_text(&coder->bytes, words, field->memory_bytes);
    else
        bytes_get_string(&coder->bytes, words, field->memory_bytes);
}

static void code_digest(struct coder *coder, struct digest *digest)
{
    if (coder->writing)
        bytes_put_raw(&coder->bytes, digest->bytes, DIGEST_BYTES);
    else
        bytes_get_raw(&coder->bytes, digest->bytes, DIGEST_BYTES);
}

static bool code_set(struct coder *coder, uint8_t *set)
{
    uint16_t length = BLOCKS_SET_BYTES;
    if (coder->writing) {
        while (length > 0 && set[length - 1] == 0)
            length--;
        bytes_put_u16(&coder->bytes, length);
        bytes_put_raw(&coder->bytes, set, length);
        return true;
    }
    length = bytes_get_u16(&coder->bytes);
    if (length > BLOCKS_SET_BYTES)
        return false;
    memset(set, 0, BLOCKS_SET_BYTES);
    bytes_get_raw(&coder->bytes, set, length);
    return true;
}

static void code_field(struct coder *coder, const struct field *field, struct wire_message *message)
{
    void *at = (char *)message + field->offset;
    bool good = true;
    switch (field->form) {
    case FORM_NUMBER:
    case FORM_POWER:
        good = code_number(coder, field, at);
        break;
    case FORM_DIGEST:
        code_digest(coder, at);
        break;
    case FORM_TEXT:
    case FORM_OPTIONAL:
        code_text(coder, field, at);
        break;
    case FORM_WORDS:
        code_words(coder, field, at);
        break;
    case FORM_SET:
        good = code_set(coder, at);
        break;
    case FORM_CHOICES:
        good = code_choices(coder, at);
        break;
    }
    if (!coder->wrong && (!good || coder->bytes.failed))
        coder->wrong = field->name;
}

static void code_table(struct coder *coder, struct table table, struct wire_message *message)
{
    for (size_t i = 0; i < table.count && !coder->wrong; i++)
        code_field(coder, &table.fields[i], message);
}

#define CODE(coder, fields, message) code_table(coder, (struct table)TABLE(fields), message)

static void code_request(struct coder *coder, struct wire_message *message)
{
    CODE(coder, request_fields, message);
    if (!coder->wrong)
        code_table(coder, ops[message->op].asked, message);
}

static void code_reply(struct coder *coder, struct wire_message *message)
{
    CODE(coder, reply_fields, message);
    if (coder->wrong)
        return;
    if (message->status == WIRE_FAILED)
        CODE(coder, failure_fields, message);
    else if (message->status == WIRE_DONE)
        code_table(coder, ops[message->op].answered, message);
    if (ops[message->op].reports)
        CODE(coder, report_fields, message);
}

static void code_message(struct coder *coder, struct wire_message *message)
{
    switch (message->type) {
    case WIRE_HELLO:
        CODE(coder, hello_fields, message);
        break;
    case WIRE_REQUEST:
        code_request(coder, message);
        break;
    case WIRE_REPLY:
        code_reply(coder, message);
        break;
    case WIRE_NOTE:
        CODE(coder, note_fields, message);
        break;
    case WIRE_PING:
        CODE(coder, ping_fields, message);
        break;
    case WIRE_PONG:
        CODE(coder, pong_fields, message);
        break;
    case WIRE_BYE:
        CODE(coder, failure_fields, message);
        break;
    }
}

static void take(void *out, const struct field *field, size_t begin, size_t size, const void *in)
{
    size_t offset = field->offset - begin;
    if (field->offset >= begin && offset < size)
        memcpy((char *)out + offset, (const char *)in + offset, field->memory_bytes);
}

void codec_take_reply(struct slot *slot, enum side_role role, const struct wire_message *reply)
{
    struct table table = ops[slot->op].answered;
    if (ops[slot->op].reports) {
        slot->job->reports[role] = reply->report;
        side_say(slot->job, role, reply->words.policy, reply->words.engine);
    }
    if (reply->status != WIRE_DONE)
        return;
    for (size_t i = 0; i < table.count; i++) {
        const struct field *field = &table.fields[i];
        take(slot, field, offsetof(struct wire_message, slot), sizeof(*slot), &reply->slot);
        if (field->form == FORM_SET && slot->set)
            memcpy(slot->set, reply->set, BLOCKS_SET_BYTES);
        if (role == SIDE_TARGET)
            take(slot->job, field, offsetof(struct wire_message, job), sizeof(*slot->job),
                 &reply->job);
    }
    bool names = slot->op == SIDE_DESCRIBE || slot->op == SIDE_OPEN || slot->op == SIDE_TAKE;
    if (names || slot->op == SIDE_MAKE)
        slot->job->facts[role] = reply->facts;
    if (names && slot->job->names)
        slot->job->names[role] = reply->names;
}

/* ---- what fields say together ---- */

static bool hello_agrees(const struct wire_hello *hello)
{
    return hello->slots_count + hello->control_count <= WIRE_SLOTS_MAX &&
           (hello->chunk_bytes == 0 || hello->chunk_bytes >= WIRE_BUFFER_BYTES_MIN);
}

static bool set_agrees(const struct slot *slot)
{
    if (slot->partial && slot->broken)
        return false;
    return !(slot->partial || slot->broken) || blocks_bytes(slot->set, slot->length) > 0;
}

/* With the set that it says, whatever copy of a message it is. */
static struct slot slot_of(const struct wire_message *message)
{
    struct slot slot = message->slot;
    slot.set = (uint8_t *)(uintptr_t)message->set; /* only read */
    return slot;
}

static bool request_agrees(const struct wire_message *message)
{
    const struct slot said = slot_of(message), *slot = &said;
    bool ranged =
        (message->op >= SIDE_RECALL && message->op <= SIDE_ERASE) || message->op >= SIDE_BLOCKS;
    if (ranged && slot->offset + slot->length > WIRE_OFFSET_MAX)
        return false;
    if ((message->root.number == 0) != (!message->root.path || message->root.path[0] == '\0'))
        return false;
    if (!ops[message->op].gives)
        return message->payload_bytes == 0;
    uint32_t bytes = codec_op_brings(message->op, slot);
    return set_agrees(slot) && (message->payload_bytes > 0) == (bytes > 0) &&
           message->payload_bytes <= bytes;
}

static bool reply_agrees(const struct wire_message *message)
{
    const struct slot said = slot_of(message), *slot = &said;
    if (message->status == WIRE_DAMAGED)
        return ops[message->op].gives && message->payload_bytes == 0;
    if (message->status == WIRE_FAILED)
        return message->failure.class != ERROR_NONE && message->failure.errnum > 0 &&
               message->payload_bytes == 0;
    if (message->op == SIDE_MAP && slot->extent_start > slot->extent_end)
        return false;
    if (message->op == SIDE_FETCH)
        return (message->payload_bytes == 0) == (slot->matched || slot->held || slot->count == 0);
    if (message->op == SIDE_DIFFER) /* its length is known to who has asked */
        return message->payload_bytes > 0;
    if (message->op == SIDE_RECALL)
        return message->payload_bytes == slot->count * WIRE_ENTRY_BYTES;
    if (ops[message->op].counts)
        return (message->payload_bytes > 0) == (slot->count > 0) &&
               message->payload_bytes <= slot->count;
    return message->payload_bytes == 0;
}

/* Who may say what, which tag belongs to it, and what the fields say about each other. NULL, or
 * what is wrong. */
static const char *contradiction(const struct wire_message *message, enum wire_side from)
{
    bool tagged = message->type == WIRE_REQUEST || message->type == WIRE_REPLY;
    bool good = message->payload_bytes == 0;
    if ((message->type == WIRE_REQUEST && from != WIRE_CLIENT) ||
        ((message->type == WIRE_REPLY || message->type == WIRE_NOTE) && from != WIRE_SERVER))
        return "a frame came from the wrong side";
    if (tagged ? message->tag >= WIRE_SLOTS_MAX : message->tag != WIRE_TAG_NONE)
        return "a frame has a tag that cannot be";
    if (message->type == WIRE_HELLO)
        good = good && hello_agrees(&message->hello);
    else if (message->type == WIRE_REQUEST)
        good = request_agrees(message);
    else if (message->type == WIRE_REPLY)
        good = reply_agrees(message);
    return good ? NULL : "the fields of a frame contradict each other, or its payload's length";
}

/* ---- frames ---- */

void codec_message(struct wire_message *message, enum wire_type type, uint32_t tag)
{
    memset(message, 0, sizeof(*message));
    message->type = type;
    message->tag = tag;
    message->slot.set = message->set;
}

void codec_slot(struct slot *to, const struct slot *from)
{
    struct error *error = to->error;
    uint8_t *set = to->set;
    *to = *from;
    to->error = error;
    to->set = set;
    if (set && (from->partial || from->broken))
        memcpy(set, from->set, BLOCKS_SET_BYTES);
    else if (set) /* what it has is of another chunk */
        memset(set, 0, BLOCKS_SET_BYTES);
}

enum { HEADER_SUMMED_BYTES = 12 };

static uint32_t frame_checksum(const uint8_t *frame, size_t length, enum wire_side from)
{
    uint64_t seed = checksum_of(frame, HEADER_SUMMED_BYTES, seeds[from]);
    return (uint32_t)checksum_of(frame + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES, seed);
}

int codec_encode(uint8_t out[WIRE_FRAME_BYTES_MAX], const struct wire_message *message,
                 enum wire_side from)
{
    struct coder coder = {
        .bytes = bytes_writer(out + WIRE_HEADER_BYTES, WIRE_BODY_BYTES_MAX),
        .writing = true,
    };
    if (contradiction(message, from))
        return -EINVAL;
    code_message(&coder, (struct wire_message *)message); /* it writes to one that it reads only */
    if (coder.bytes.failed)
        return -ENAMETOOLONG;
    if (coder.wrong)
        return -EINVAL;

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
static bool header_take(struct bytes *header, uint8_t *type, uint32_t *body_bytes, uint32_t *tag,
                        uint32_t *payload_bytes)
{
    *type = bytes_get_u8(header);
    uint8_t zero = bytes_get_u8(header);
    *body_bytes = bytes_get_u16(header);
    *tag = bytes_get_u32(header);
    *payload_bytes = bytes_get_u32(header);
    return !header->failed && zero == 0 && *type >= WIRE_HELLO && *type <= WIRE_BYE &&
           *body_bytes <= WIRE_BODY_BYTES_MAX && *payload_bytes <= WIRE_PAYLOAD_BYTES_MAX;
}

int codec_decode_header(const uint8_t header[WIRE_HEADER_BYTES], uint32_t *body_bytes,
                        uint32_t *payload_bytes)
{
    struct bytes bytes = bytes_reader(header, WIRE_HEADER_BYTES);
    uint32_t tag;
    uint8_t type;
    return header_take(&bytes, &type, body_bytes, &tag, payload_bytes) ? 0 : -EPROTO;
}

/* NULL, or what is wrong; *field: where. */
static const char *decode(const uint8_t *frame, size_t length, enum wire_side from,
                          struct wire_message *message, struct codec_texts *texts,
                          const char **field)
{
    struct bytes header = bytes_reader(frame, min_size(length, WIRE_HEADER_BYTES));
    uint32_t body_bytes;
    uint8_t type;
    if (!header_take(&header, &type, &body_bytes, &message->tag, &message->payload_bytes))
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
    *field = coder.wrong;
    if (coder.wrong)
        return "a field is missing, or has a value that is not known here: ";
    if (bytes_left(&coder.bytes) > 0)
        return "a frame has more fields than it should";
    return contradiction(message, from);
}

int codec_decode(const uint8_t *frame, size_t length, enum wire_side from,
                 struct wire_message *message, struct codec_texts *texts, struct error *err)
{
    const char *field = NULL;
    codec_message(message, WIRE_HELLO, WIRE_TAG_NONE);
    const char *why = decode(frame, length, from, message, texts, &field);
    if (!why)
        return 0;
    return error_set_class(err, ERROR_PROTOCOL, EPROTO, "protocol error: %s%s", why,
                           field ? field : "");
}

/* ---- before and beside frames ---- */

/* CR LF shows a terminal in between that changes line ends. The sides differ, so that an echo is
 * recognised. */
static const char magics[][WIRE_MAGIC_BYTES + 1] = {
    [WIRE_CLIENT] = "haul>\r\n",
    [WIRE_SERVER] = "haul<\r\n",
};

void codec_encode_preamble(uint8_t out[WIRE_PREAMBLE_BYTES], const char *program,
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

bool codec_is_magic(const uint8_t *data, size_t length, enum wire_side from)
{
    return memcmp(data, magics[from], min_size(length, WIRE_MAGIC_BYTES)) == 0;
}

uint16_t codec_decode_preamble(const uint8_t preamble[WIRE_PREAMBLE_BYTES],
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

void codec_entries(void *entries, uint32_t count)
{
    uint8_t *at = entries;
    for (uint32_t i = 0; i < count; i++, at += WIRE_ENTRY_BYTES) {
        struct bytes bytes = bytes_writer(at, sizeof(uint64_t));
        uint64_t chunk;
        memcpy(&chunk, at, sizeof(chunk));
        bytes_put_u64(&bytes, chunk); /* on a big-endian machine this swaps, in either direction */
    }
}

void codec_tally_add(struct wire_tally *tally, const struct slot *slot)
{
    uint8_t record[sizeof(slot->offset) + sizeof(slot->length) + DIGEST_BYTES];
    struct bytes bytes = bytes_writer(record, sizeof(record));
    bytes_put_u64(&bytes, slot->offset);
    bytes_put_u32(&bytes, slot->length);
    bytes_put_raw(&bytes, slot->digest.bytes, DIGEST_BYTES);
    tally->bytes += slot->length;
    tally->sum += checksum_of(record, bytes.length, seeds[WIRE_CLIENT]);
}
