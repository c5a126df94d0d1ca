/* test_codec.c - every message round trip, every truncation, every limit. */
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/wire/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct facts facts = {
    .kind = FILE_OTHER,
    .size_bytes = WIRE_OFFSET_MAX,
    .allocated_bytes = UINT64_MAX,
    .mode = 07777,
    .uid = 1000,
    .gid = UINT32_MAX,
    .mtime_seconds = INT64_MIN,
    .mtime_ns = 999999999,
    .ctime_seconds = -1,
    .ctime_ns = 1,
    .device = 0x0123456789abcdef,
    .inode = UINT64_MAX,
    .rdev = 0x801,
    .links = UINT32_MAX,
    .evidence = {.grade = EVIDENCE_STRONG,
                 .identity = UINT64_MAX,
                 .change = 1,
                 .granularity_ns = 2000000000,
                 .keeps_change = true,
                 .machine = 2,
                 .seen_ns = INT64_MIN,
                 .medium_device = 3,
                 .medium_inode = 4,
                 .medium_offset = 5},
};

static struct wire_message request_of(enum side_op op)
{
    return (struct wire_message){
        .type = WIRE_REQUEST,
        .op = op,
        .root = {.number = 3, .path = "/a root"},
        .path = "a path\n\xff",
        .job =
            {
                .number = UINT32_MAX,
                .chunk_bytes = WIRE_CHUNK_BYTES_MAX,
                .link_text = "../where",
                .hard_link = true,
                .wish =
                    {
                        .cache = POLICY_PLAIN,
                        .resume = RESUME_RESTART,
                        .strict = true,
                        .preallocate = true,
                        .attributes = {3, 0, 2, 1},
                        .set_id = true,
                        .chown = "me:us",
                        .compare_only = true,
                        .cache_max_bytes = 12345678901,
                        .session = UINT64_MAX,
                        .journal_path = "/j",
                    },
                .facts = {facts},
            },
        .slot =
            {
                .offset = WIRE_OFFSET_MAX - 512,
                .length = 512,
                .conditional = true,
                .from_medium = true,
                .blank = true,
                .digest = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                .expected = {{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
            },
        .payload_bytes = op == SIDE_DIFFER    ? BLOCKS_DIGEST_BYTES
                         : codec_op_gives(op) ? 512
                                              : 0,
    };
}

static struct wire_message reply_of(enum side_op op, enum wire_status status)
{
    bool done = status == WIRE_DONE;
    return (struct wire_message){
        .type = WIRE_REPLY,
        .op = op,
        .status = status,
        .failure = {.class = ERROR_TIMEOUT, .errnum = 4095, .words = "no space left"},
        .facts = facts,
        .job = {.journal_present = true,
                .target_fresh = true,
                .old_bytes = WIRE_OFFSET_MAX,
                .journal = JOURNAL_CHUNKS,
                .chunk_bytes = WIRE_CHUNK_BYTES_MIN,
                .made = JOB_CREATED},
        .slot = {.extent_start = 5,
                 .extent_end = WIRE_OFFSET_MAX,
                 .count = 3,
                 .digest = {{16, 15, 14}}},
        .report = {.policy = POLICY_PLAIN,
                   .engine = ENGINE_SYNC,
                   .resident_before_bytes = UINT64_MAX,
                   .memory_peak_bytes = 7,
                   .kernel_bytes = 9},
        .words = {.policy = "because", .engine = ""},
        .tally = {.bytes = 1, .sum = UINT64_MAX},
        .payload_bytes = done && op == SIDE_FETCH      ? WIRE_PAYLOAD_BYTES_MAX
                         : done && op == SIDE_RECALL   ? 3 * WIRE_ENTRY_BYTES
                         : done && codec_op_counts(op) ? 2
                         : done && op == SIDE_DIFFER   ? 1
                                                       : 0,
    };
}

enum { MESSAGES_MAX = 128 };

struct example {
    struct wire_message message;
    enum wire_side from;
};

static uint32_t add(struct example *all, uint32_t count, struct wire_message message,
                    enum wire_side from)
{
    assert_true(count < MESSAGES_MAX);
    bool tagged = message.type == WIRE_REQUEST || message.type == WIRE_REPLY;
    message.tag = tagged ? WIRE_SLOTS_MAX - 1 : WIRE_TAG_NONE;
    all[count] = (struct example){message, from};
    return count + 1;
}

/* One of every kind. */
static uint32_t examples(struct example *all)
{
    uint32_t count = 0;
    struct wire_message message = {
        .type = WIRE_HELLO,
        .hello = {.capabilities = 1,
                  .choices = UINT64_MAX,
                  .session = UINT64_MAX,
                  .role = 1,
                  .engine = 3,
                  .log_level = 4,
                  .lanes = WIRE_LANES_MAX,
                  .slots_count = WIRE_SLOTS_MAX - 1,
                  .control_count = 1,
                  .jobs_max = WIRE_JOBS_MAX,
                  .chunk_bytes = 65536,
                  .memory_bytes = UINT64_MAX,
                  .ping_ms = WIRE_PING_MS_MAX},
    };
    count = add(all, count, message, WIRE_CLIENT);
    count = add(all, count, message, WIRE_SERVER);
    for (enum side_op op = SIDE_DESCRIBE; op < SIDE_OPS_COUNT; op++) {
        count = add(all, count, request_of(op), WIRE_CLIENT);
        for (enum wire_status status = WIRE_DONE; status <= WIRE_DAMAGED; status++) {
            if (status != WIRE_DAMAGED || codec_op_gives(op))
                count = add(all, count, reply_of(op, status), WIRE_SERVER);
        }
    }
    message = reply_of(SIDE_FETCH, WIRE_DONE);
    message.slot.matched = true;
    message.payload_bytes = 0;
    count = add(all, count, message, WIRE_SERVER);
    message = request_of(SIDE_STORE); /* blocks 1, 2 and 19 of 20, the last one short */
    message.slot.offset = 0;
    message.slot.length = 19 * BLOCKS_SIZE + 5;
    message.slot.partial = true;
    message.set[0] = 6;
    message.set[2] = 8;
    message.payload_bytes = 2 * BLOCKS_SIZE + 5;
    count = add(all, count, message, WIRE_CLIENT);
    message = (struct wire_message){.type = WIRE_NOTE, .note = {.level = 4, .line = "a line"}};
    count = add(all, count, message, WIRE_SERVER);
    for (enum wire_side from = WIRE_CLIENT; from <= WIRE_SERVER; from++) {
        message = (struct wire_message){.type = WIRE_PING};
        count = add(all, count, message, from);
        message.type = WIRE_PONG;
        message.halved = 2;
        count = add(all, count, message, from);
        message = (struct wire_message){
            .type = WIRE_BYE, .failure = {.class = ERROR_PROTOCOL, .errnum = 71, .words = "why"}};
        count = add(all, count, message, from);
    }
    return count;
}

static void every_message_comes_back_the_same(void **state)
{
    struct example all[MESSAGES_MAX];
    uint32_t count = examples(all);
    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t frame[WIRE_FRAME_BYTES_MAX], again[WIRE_FRAME_BYTES_MAX];
        struct wire_message message;
        struct codec_texts texts;
        struct error err = {.class = ERROR_NONE};
        int length = codec_encode(frame, &all[i].message, all[i].from);
        assert_true(length >= WIRE_HEADER_BYTES);
        if (codec_decode(frame, (size_t)length, all[i].from, &message, &texts, &err) != 0)
            fail_msg("message %u: %s", i, err.text);
        assert_int_equal(message.type, all[i].message.type);
        assert_int_equal(message.tag, all[i].message.tag);
        assert_int_equal(message.payload_bytes, all[i].message.payload_bytes);
        /* Whatever was decoded must say the same again; single fields are compared below. */
        assert_int_equal(codec_encode(again, &message, all[i].from), length);
        assert_memory_equal(again, frame, (size_t)length);
    }
}

static void decode(const struct wire_message *message, enum wire_side from,
                   struct wire_message *out, struct codec_texts *texts)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    int length = codec_encode(frame, message, from);
    assert_true(length > 0);
    assert_int_equal(codec_decode(frame, (size_t)length, from, out, texts, NULL), 0);
}

static void fields_of_an_open_arrive(void **state)
{
    struct wire_message message = request_of(SIDE_OPEN);
    struct wire_message out;
    struct codec_texts texts;
    const struct job_wish *wish = &out.job.wish;
    const struct facts *source = &out.job.facts[SIDE_SOURCE];
    (void)state;
    decode(&message, WIRE_CLIENT, &out, &texts);
    assert_int_equal(out.op, SIDE_OPEN);
    assert_int_equal(out.job.number, UINT32_MAX);
    assert_int_equal(out.job.chunk_bytes, WIRE_CHUNK_BYTES_MAX);
    assert_string_equal(out.path, message.path);
    assert_int_equal(out.root.number, 3);
    assert_string_equal(out.root.path, "/a root");
    assert_string_equal(out.job.link_text, "../where");
    assert_true(out.job.hard_link);
    assert_string_equal(wish->journal_path, "/j");
    assert_true(wish->strict && wish->preallocate && wish->set_id && wish->compare_only);
    assert_false(wish->cache_max_set || wish->write_devices || wish->join || wish->dry ||
                 wish->journal || wish->journal_early);
    assert_memory_equal(wish->attributes, message.job.wish.attributes, ATTRIBUTES_COUNT);
    assert_string_equal(wish->chown, "me:us");
    assert_int_equal(wish->cache_max_bytes, 12345678901);
    assert_int_equal(source->mtime_seconds, INT64_MIN);
    assert_int_equal(source->ctime_seconds, -1);
    assert_int_equal(source->device, facts.device);
    assert_int_equal(source->mode, 07777);
    assert_int_equal(source->rdev, 0x801);
    assert_int_equal(source->links, UINT32_MAX);
}

static void choices_that_are_not_known_there_are_named(void **state)
{
    struct job_wish wish = {.cache = 3, .attributes = {3, 3, 3, 3}, .strict = true, .dry = true};
    uint64_t known = codec_choices_known();
    (void)state;
    assert_null(codec_choice_unknown(&wish, known));
    assert_string_equal(codec_choice_unknown(&wish, known & ~(UINT64_C(1) << 4)), "--strict");
    assert_string_equal(codec_choice_unknown(&wish, known & ~(UINT64_C(1) << 21)), "--dry-run");
    wish.strict = wish.dry = false;
    assert_null(codec_choice_unknown(&wish, known & ~(UINT64_C(1) << 4) & ~(UINT64_C(1) << 21)));
}

static void fields_of_a_chunk_arrive(void **state)
{
    struct wire_message message = request_of(SIDE_EXAMINE);
    struct wire_message out;
    struct codec_texts texts;
    (void)state;
    decode(&message, WIRE_CLIENT, &out, &texts);
    assert_int_equal(out.slot.offset, WIRE_OFFSET_MAX - 512);
    assert_int_equal(out.slot.length, 512);
    assert_true(out.slot.conditional && out.slot.from_medium);
    assert_memory_equal(&out.slot.expected, &message.slot.expected, DIGEST_BYTES);
}

static void fields_of_replies_arrive(void **state)
{
    struct wire_message message = reply_of(SIDE_COMMIT, WIRE_FAILED);
    struct wire_message out;
    struct codec_texts texts;
    (void)state;
    decode(&message, WIRE_SERVER, &out, &texts);
    assert_int_equal(out.failure.class, ERROR_TIMEOUT);
    assert_int_equal(out.failure.errnum, 4095);
    assert_string_equal(out.failure.words, "no space left");
    assert_string_equal(out.words.policy, "because");
    assert_string_equal(out.words.engine, "");
    assert_int_equal(out.report.resident_before_bytes, UINT64_MAX);
    assert_int_equal(out.report.memory_peak_bytes, 7);
    assert_int_equal(out.report.kernel_bytes, 9);
    assert_int_equal(out.tally.sum, UINT64_MAX);
    message = reply_of(SIDE_OPEN, WIRE_DONE);
    decode(&message, WIRE_SERVER, &out, &texts);
    assert_true(out.job.target_fresh && out.job.old_bytes == WIRE_OFFSET_MAX);
    assert_false(out.job.target_readable);
    assert_int_equal(out.job.journal, 5);
    assert_int_equal(out.job.chunk_bytes, WIRE_CHUNK_BYTES_MIN);
    assert_int_equal(out.facts.inode, UINT64_MAX);
    const struct evidence *evidence = &out.facts.evidence;
    assert_int_equal(evidence->grade, 2);
    assert_int_equal(evidence->identity, UINT64_MAX);
    assert_int_equal(evidence->change, 1);
    assert_int_equal(evidence->granularity_ns, 2000000000);
    assert_true(evidence->keeps_change);
    assert_int_equal(evidence->machine, 2);
    assert_int_equal(evidence->seen_ns, INT64_MIN);
    assert_int_equal(evidence->medium_device, 3);
    assert_int_equal(evidence->medium_inode, 4);
    assert_int_equal(evidence->medium_offset, 5);
}

static void reply_takes_its_fields_and_no_others(void **state)
{
    struct job job = {.chunk_bytes = 65536, .journal = JOURNAL_FITS, .facts = {facts, facts}};
    struct slot slot = {.op = SIDE_OPEN, .job = &job, .offset = 7, .count = 8};
    struct wire_message reply = reply_of(SIDE_OPEN, WIRE_FAILED);
    (void)state;
    codec_take_reply(&slot, SIDE_TARGET, &reply);
    assert_int_equal(job.chunk_bytes, 65536); /* it may be opened again */
    assert_int_equal(job.journal, JOURNAL_FITS);
    reply = reply_of(SIDE_OPEN, WIRE_DONE);
    reply.facts.inode = 5;
    codec_take_reply(&slot, SIDE_SOURCE, &reply);
    assert_int_equal(job.facts[SIDE_SOURCE].inode, 5);
    assert_int_equal(job.chunk_bytes, 65536); /* that is for the target to say */
    codec_take_reply(&slot, SIDE_TARGET, &reply);
    assert_int_equal(job.facts[SIDE_TARGET].inode, 5);
    assert_int_equal(job.chunk_bytes, WIRE_CHUNK_BYTES_MIN);
    assert_int_equal(job.journal, JOURNAL_CHUNKS);
    assert_true(slot.offset == 7 && slot.count == 8);
    slot.op = SIDE_ABANDON;
    reply = reply_of(SIDE_ABANDON, WIRE_FAILED);
    codec_take_reply(&slot, SIDE_TARGET, &reply);
    assert_int_equal(job.reports[SIDE_TARGET].memory_peak_bytes, 7);
}

/* The layout is a promise to other implementations: haul-protocol(7). */
static void layout_is_that_of_the_manual(void **state)
{
    static const uint8_t head[] = {2, 0, 17, 0, 9, 0, 0, 0, 0, 0, 0, 0}; /* then the checksum */
    static const uint8_t body[] = {8, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    struct wire_message message = {
        .type = WIRE_REQUEST,
        .tag = 9,
        .op = SIDE_ERASE,
        .job = {.number = 7},
        .slot = {.offset = 0x10000, .length = 0x10000},
    };
    uint8_t frame[WIRE_FRAME_BYTES_MAX], preamble[WIRE_PREAMBLE_BYTES];
    (void)state;
    assert_int_equal(codec_encode(frame, &message, WIRE_CLIENT), 16 + sizeof(body));
    assert_memory_equal(frame, head, sizeof(head));
    assert_memory_equal(frame + 16, body, sizeof(body));
    uint64_t seed = checksum_of(head, 12, UINT64_C(0x6861756c00000001));
    uint64_t sum = checksum_of(body, sizeof(body), seed);
    for (int i = 0; i < 4; i++)
        assert_int_equal(frame[12 + i], (sum >> (8 * i)) & 0xff);
    codec_encode_preamble(preamble, "1.2.3", WIRE_SERVER);
    assert_memory_equal(preamble, "haul<\r\n\0\2\0\0\0\0\0\0\0", 16);
    assert_memory_equal(preamble + 16, "1.2.3\0\0\0\0\0\0\0\0\0\0", 16);
}

static void every_truncation_is_refused(void **state)
{
    struct example all[MESSAGES_MAX];
    uint32_t count = examples(all);
    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t frame[WIRE_FRAME_BYTES_MAX];
        struct wire_message message;
        struct codec_texts texts;
        int length = codec_encode(frame, &all[i].message, all[i].from);
        for (int cut = 0; cut < length; cut++) {
            AUTO_FREE uint8_t *copy = malloc((size_t)cut + 1); /* for the sanitizer */
            struct error err = {.class = ERROR_NONE};
            memcpy(copy, frame, (size_t)cut);
            assert_int_equal(codec_decode(copy, (size_t)cut, all[i].from, &message, &texts, &err),
                             -EPROTO);
            assert_int_equal(err.class, ERROR_PROTOCOL);
        }
    }
}

static void every_flipped_bit_is_refused(void **state)
{
    struct example all[MESSAGES_MAX];
    uint32_t count = examples(all);
    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t frame[WIRE_FRAME_BYTES_MAX];
        struct wire_message message;
        struct codec_texts texts;
        int length = codec_encode(frame, &all[i].message, all[i].from);
        for (int bit = 0; bit < length * 8; bit++) {
            frame[bit / 8] ^= (uint8_t)(1 << (bit % 8));
            assert_int_equal(
                codec_decode(frame, (size_t)length, all[i].from, &message, &texts, NULL), -EPROTO);
            frame[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        }
        /* and the other side's checksum */
        assert_int_equal(
            codec_decode(frame, (size_t)length, 1 - all[i].from, &message, &texts, NULL), -EPROTO);
    }
}

/* A frame with this body, and a right checksum: what somebody who means harm would send. */
static int decode_forged(uint8_t *frame, size_t length, enum wire_side from)
{
    struct wire_message message;
    struct codec_texts texts;
    uint64_t seeds[] = {UINT64_C(0x6861756c00000001), UINT64_C(0x6861756c00000002)};
    uint64_t sum = checksum_of(frame + 16, length - 16, checksum_of(frame, 12, seeds[from]));
    for (int i = 0; i < 4; i++)
        frame[12 + i] = (uint8_t)(sum >> (8 * i));
    return codec_decode(frame, length, from, &message, &texts, NULL);
}

/* Where a field of a message lies, and what it must not be. */
struct forgery {
    const char *what;
    struct wire_message message;
    enum wire_side from;
    uint32_t at; /* in the frame */
    uint32_t width;
    uint64_t value;
};

static void assert_refused(const struct forgery *forgery)
{
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    int length = codec_encode(frame, &forgery->message, forgery->from);
    assert_true(length > 0);
    assert_int_equal(decode_forged(frame, (size_t)length, forgery->from), 0);
    for (uint32_t byte = 0; byte < forgery->width; byte++)
        frame[forgery->at + byte] = (uint8_t)(forgery->value >> (8 * byte));
    if (decode_forged(frame, (size_t)length, forgery->from) != -EPROTO)
        fail_msg("%s was believed", forgery->what);
}

static void values_out_of_range_are_refused_with_a_right_checksum(void **state)
{
    const struct wire_message hello = {
        .type = WIRE_HELLO,
        .tag = WIRE_TAG_NONE,
        .hello = {.lanes = 1, .jobs_max = 1, .ping_ms = 1000, .chunk_bytes = 65536},
    };
    const struct wire_message fetch = request_of(SIDE_FETCH);
    const struct wire_message store = request_of(SIDE_STORE), open = request_of(SIDE_OPEN);
    const struct wire_message map = reply_of(SIDE_MAP, WIRE_DONE);
    const struct wire_message walk = reply_of(SIDE_WALK, WIRE_DONE);
    const struct wire_message recall = reply_of(SIDE_RECALL, WIRE_DONE);
    const struct wire_message failed = reply_of(SIDE_SYNC, WIRE_FAILED);
    (void)state;
    const struct forgery forgeries[] = {
        {"type 0", hello, WIRE_CLIENT, 0, 1, 0},
        {"type 8", hello, WIRE_CLIENT, 0, 1, 8},
        {"reserved byte", hello, WIRE_CLIENT, 1, 1, 1},
        {"tag of a hello", hello, WIRE_CLIENT, 4, 4, 0},
        {"payload of a hello", hello, WIRE_CLIENT, 8, 4, 1},
        {"role 2", hello, WIRE_CLIENT, 40, 1, 2},
        {"engine 5", hello, WIRE_CLIENT, 41, 1, 5},
        {"log level 5", hello, WIRE_CLIENT, 42, 1, 5},
        {"no lanes", hello, WIRE_CLIENT, 43, 4, 0},
        {"65 lanes", hello, WIRE_CLIENT, 43, 4, WIRE_LANES_MAX + 1},
        {"a slot too many", hello, WIRE_CLIENT, 47, 4, WIRE_SLOTS_MAX + 1},
        {"2^32 - 1 control slots", hello, WIRE_CLIENT, 51, 4, UINT32_MAX},
        {"no jobs", hello, WIRE_CLIENT, 55, 4, 0},
        {"odd chunks", hello, WIRE_CLIENT, 59, 4, 65537},
        {"chunks of 32 MiB", hello, WIRE_CLIENT, 59, 4, 32 << 20},
        {"chunks of 32 KiB", hello, WIRE_CLIENT, 59, 4, 32 << 10},
        {"chunks of 32 KiB given", hello, WIRE_SERVER, 59, 4, 32 << 10},
        {"pings without a pause", hello, WIRE_CLIENT, 71, 4, 0},
        {"a choice that is not known", open, WIRE_CLIENT, 48, 8, codec_choices_known() + 1},
        {"a root without a number", open, WIRE_CLIENT, 25, 4, 0},
        {"more than the buffer said", walk, WIRE_SERVER, 26, 4, 1},
        {"nothing, and a payload", walk, WIRE_SERVER, 26, 4, 0},
        {"a tag too high", fetch, WIRE_CLIENT, 4, 4, WIRE_SLOTS_MAX},
        {"operation 23", fetch, WIRE_CLIENT, 16, 1, SIDE_OPS_COUNT},
        {"offset too far", fetch, WIRE_CLIENT, 21, 8, WIRE_OFFSET_MAX + 1},
        {"offset and length too far", fetch, WIRE_CLIENT, 21, 8, WIRE_OFFSET_MAX - 511},
        {"length 0", fetch, WIRE_CLIENT, 29, 4, 0},
        {"length 32 MiB", fetch, WIRE_CLIENT, 29, 4, 32 << 20},
        {"condition 2", fetch, WIRE_CLIENT, 33, 1, 2},
        {"payload of a fetch", fetch, WIRE_CLIENT, 8, 4, 512},
        {"payload of a store missing", store, WIRE_CLIENT, 8, 4, 0},
        {"payload of a store too long", store, WIRE_CLIENT, 8, 4, 513},
        {"payload over all limits", store, WIRE_CLIENT, 8, 4, WIRE_PAYLOAD_BYTES_MAX + 1},
        {"status 3", map, WIRE_SERVER, 17, 1, 3},
        {"a map that is damaged", map, WIRE_SERVER, 17, 1, WIRE_DAMAGED},
        {"extent that ends first", map, WIRE_SERVER, 26, 8, 4},
        {"count that contradicts", recall, WIRE_SERVER, 26, 4, 4},
        {"count that overflows", recall, WIRE_SERVER, 26, 4, UINT32_MAX / 24 + 4},
        {"class 17", failed, WIRE_SERVER, 18, 1, 17},
        {"class 0", failed, WIRE_SERVER, 18, 1, 0},
        {"errno 0", failed, WIRE_SERVER, 19, 4, 0},
        {"errno 4096", failed, WIRE_SERVER, 19, 4, 4096},
        {"words that are longer than the frame", failed, WIRE_SERVER, 23, 2, 14},
        {"words that are shorter than the frame", failed, WIRE_SERVER, 23, 2, 12},
        {"words with a NUL", failed, WIRE_SERVER, 27, 1, 0},
    };
    for (size_t i = 0; i < COUNT_OF(forgeries); i++)
        assert_refused(&forgeries[i]);
}

static void requests_of_a_server_and_replies_of_a_client_are_refused(void **state)
{
    struct example all[MESSAGES_MAX];
    uint32_t count = examples(all);
    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t frame[WIRE_FRAME_BYTES_MAX];
        enum wire_type type = all[i].message.type;
        bool either = type == WIRE_HELLO || type >= WIRE_PING;
        int length = codec_encode(frame, &all[i].message, all[i].from);
        assert_int_equal(decode_forged(frame, (size_t)length, 1 - all[i].from),
                         either ? 0 : -EPROTO);
    }
}

static void texts_that_are_too_long_are_not_sent(void **state)
{
    static char path[WIRE_PATH_BYTES_MAX + 1];
    uint8_t frame[WIRE_FRAME_BYTES_MAX];
    struct wire_message message = request_of(SIDE_OPEN);
    (void)state;
    memset(path, 'x', WIRE_PATH_BYTES_MAX - 1);
    message.path = message.job.link_text = path;
    message.root.path = message.job.wish.journal_path =
        path + WIRE_PATH_BYTES_MAX - WIRE_ROOT_BYTES_MAX;
    assert_true(codec_encode(frame, &message, WIRE_CLIENT) >
                2 * (WIRE_PATH_BYTES_MAX - 1) + 2 * (WIRE_ROOT_BYTES_MAX - 1));
    message.root.path--;
    assert_int_equal(codec_encode(frame, &message, WIRE_CLIENT), -ENAMETOOLONG);
    message.root.path++;
    path[WIRE_PATH_BYTES_MAX - 1] = 'x';
    assert_int_equal(codec_encode(frame, &message, WIRE_CLIENT), -ENAMETOOLONG);
}

static void header_limits_hold_before_the_body_is_read(void **state)
{
    uint8_t header[WIRE_HEADER_BYTES] = {WIRE_PING, 0, 0, 0xf0}; /* 61440: the most */
    uint32_t body_bytes, payload_bytes;
    (void)state;
    assert_int_equal(codec_decode_header(header, &body_bytes, &payload_bytes), 0);
    assert_int_equal(body_bytes, WIRE_BODY_BYTES_MAX);
    header[2] = 1;
    assert_int_equal(codec_decode_header(header, &body_bytes, &payload_bytes), -EPROTO);
    header[2] = 0;
    header[11] = 1; /* 16 MiB: the most */
    assert_int_equal(codec_decode_header(header, &body_bytes, &payload_bytes), 0);
    assert_int_equal(payload_bytes, WIRE_PAYLOAD_BYTES_MAX);
    header[8] = 1;
    assert_int_equal(codec_decode_header(header, &body_bytes, &payload_bytes), -EPROTO);
}

static void entries_keep_their_numbers(void **state)
{
    struct {
        uint64_t chunk;
        struct digest digest;
    } entries[3] = {{1, {{1}}}, {UINT64_MAX - 1, {{2}}}, {0x0102030405060708, {{3}}}};
    static const uint8_t last[] = {8, 7, 6, 5, 4, 3, 2, 1, 3};
    (void)state;
    codec_entries(entries, 3);
    assert_memory_equal(&entries[2], last, sizeof(last));
    codec_entries(entries, 3);
    assert_int_equal(entries[0].chunk, 1);
    assert_int_equal(entries[1].chunk, UINT64_MAX - 1);
    assert_int_equal(entries[2].chunk, 0x0102030405060708);
}

static void tally_does_not_depend_on_the_order(void **state)
{
    struct wire_tally a = {0, 0}, b = {0, 0}, c = {0, 0};
    const struct slot first[] = {{.length = 10, .digest = {{1}}}, {.length = 10, .digest = {{2}}}};
    const struct slot second[] = {{.offset = 10, .length = 10, .digest = {{1}}},
                                  {.offset = 10, .length = 10, .digest = {{2}}}};
    (void)state;
    codec_tally_add(&a, &first[0]);
    codec_tally_add(&a, &second[1]);
    codec_tally_add(&b, &second[1]);
    codec_tally_add(&b, &first[0]);
    codec_tally_add(&c, &first[1]);
    codec_tally_add(&c, &second[0]);
    assert_int_equal(a.bytes, 20);
    assert_int_equal(a.sum, b.sum);
    assert_int_not_equal(a.sum, c.sum);
    codec_tally_add(&b, &first[0]);
    assert_int_not_equal(a.sum, b.sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_the_same),
        cmocka_unit_test(fields_of_an_open_arrive),
        cmocka_unit_test(choices_that_are_not_known_there_are_named),
        cmocka_unit_test(fields_of_a_chunk_arrive),
        cmocka_unit_test(fields_of_replies_arrive),
        cmocka_unit_test(reply_takes_its_fields_and_no_others),
        cmocka_unit_test(layout_is_that_of_the_manual),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(values_out_of_range_are_refused_with_a_right_checksum),
        cmocka_unit_test(requests_of_a_server_and_replies_of_a_client_are_refused),
        cmocka_unit_test(texts_that_are_too_long_are_not_sent),
        cmocka_unit_test(header_limits_hold_before_the_body_is_read),
        cmocka_unit_test(entries_keep_their_numbers),
        cmocka_unit_test(tally_does_not_depend_on_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
