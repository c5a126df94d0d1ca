/* test_serve_lies.c - servers and clients that say what the protocol does not allow, or what is not
 * so: found by the other side, in words. */
#include "fake_server.h"

/* ---- servers that lie ---- */

static void flood_pings(struct fake *fake)
{
    struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE};
    for (int i = 0; i < 100000; i++) {
        if (stream_send_now(&fake->stream, &ping, NS_PER_SECOND, NULL) < 0)
            break;
    }
}

static void flood_notes(struct fake *fake)
{
    struct wire_message note = {
        .type = WIRE_NOTE, .tag = WIRE_TAG_NONE, .note = {.level = LOG_NOTE, .line = "again"}};
    for (int i = 0; i < 100000; i++) {
        if (stream_send_now(&fake->stream, &note, NS_PER_SECOND, NULL) < 0)
            break;
    }
}

/* Answers the first request with what `change` makes of an honest reply. */
static void answer(struct fake *fake,
                   void (*change)(struct wire_message *, const struct wire_message *))
{
    static const uint8_t payload[2 * CHUNK];
    struct wire_message message, reply;
    do {
        if (!fake_await(fake, &message))
            return;
    } while (message.type != WIRE_REQUEST);
    reply = (struct wire_message){.type = WIRE_REPLY, .tag = message.tag, .op = message.op};
    reply.slot.digest = digest_of(payload, CHUNK);
    reply.job.chunk_bytes = CHUNK;
    change(&reply, &message);
    const struct stream_payload bytes = {.data = reply.payload_bytes ? payload : NULL};
    if (stream_put(&fake->stream, &reply, bytes) >= 0) {
        while (stream_flush(&fake->stream, NULL) == 0)
            poll(NULL, 0, 1);
    }
    await_the_end(fake);
}

static void change_tag(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->tag = 2;
}

static void change_tag_beyond(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->tag = 200;
}

static void change_op(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->op = SIDE_SYNC;
}

static void change_length(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = request->slot.length;
    reply->payload_bytes = CHUNK - 1;
}

/* As of a pipe, which this is not. */
static void change_part(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = reply->payload_bytes = request->slot.length - 1;
}

static void change_matched(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = request->slot.length;
    reply->slot.matched = true;
}

static void change_map(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.extent_start = reply->slot.extent_end = request->slot.offset;
}

static void change_count(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = request->slot.length + 1;
}

/* Where to go on is where it was: for ever. */
static void change_recall(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.extent_start = request->slot.offset;
}

static void change_entries(struct wire_message *reply, const struct wire_message *request)
{
    reply->slot.count = request->slot.length / WIRE_ENTRY_BYTES + 1;
    reply->payload_bytes = reply->slot.count * WIRE_ENTRY_BYTES;
}

static void change_tally(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->tally.bytes = CHUNK;
}

static void change_chunks(struct wire_message *reply, const struct wire_message *request)
{
    reply->job.chunk_bytes = request->job.chunk_bytes * 2;
}

static void change_chunks_small(struct wire_message *reply, const struct wire_message *request)
{
    (void)request;
    reply->job.chunk_bytes = CHUNK / 2;
}

static void answer_tag(struct fake *fake)
{
    answer(fake, change_tag);
}

static void answer_tag_beyond(struct fake *fake)
{
    answer(fake, change_tag_beyond);
}

static void answer_op(struct fake *fake)
{
    answer(fake, change_op);
}

static void answer_length(struct fake *fake)
{
    answer(fake, change_length);
}

static void answer_part(struct fake *fake)
{
    answer(fake, change_part);
}

static void answer_matched(struct fake *fake)
{
    answer(fake, change_matched);
}

static void answer_map(struct fake *fake)
{
    answer(fake, change_map);
}

static void answer_count(struct fake *fake)
{
    answer(fake, change_count);
}

static void answer_recall(struct fake *fake)
{
    answer(fake, change_recall);
}

static void answer_entries(struct fake *fake)
{
    answer(fake, change_entries);
}

static void answer_tally(struct fake *fake)
{
    answer(fake, change_tally);
}

static void answer_chunks(struct fake *fake)
{
    answer(fake, change_chunks);
}

static void answer_chunks_small(struct fake *fake)
{
    answer(fake, change_chunks_small);
}

/* A commit that acknowledges other bytes: the file has to be open for it. */
static void answer_open_then_tally(struct fake *fake)
{
    struct wire_message message, reply = {.type = WIRE_REPLY};
    if (!fake_await(fake, &message) || message.op != SIDE_OPEN)
        return;
    reply.tag = message.tag;
    reply.op = SIDE_OPEN;
    reply.job.chunk_bytes = CHUNK;
    stream_send_now(&fake->stream, &reply, NS_PER_SECOND, NULL);
    answer_tally(fake);
}

static void servers_that_lie_end_the_session(void **state)
{
    static const struct {
        void (*act)(struct fake *);
        enum side_role role;
        enum side_op op;
    } lies[] = {
        {flood_pings, SIDE_TARGET, SIDE_DESCRIBE},
        {flood_notes, SIDE_TARGET, SIDE_DESCRIBE},
        {answer_tag, SIDE_TARGET, SIDE_DESCRIBE},
        {answer_tag_beyond, SIDE_TARGET, SIDE_DESCRIBE},
        {answer_op, SIDE_TARGET, SIDE_DESCRIBE},
        {answer_length, SIDE_SOURCE, SIDE_FETCH},
        {answer_part, SIDE_SOURCE, SIDE_FETCH},
        {answer_matched, SIDE_SOURCE, SIDE_FETCH},
        {answer_map, SIDE_SOURCE, SIDE_MAP},
        {answer_count, SIDE_TARGET, SIDE_EXAMINE},
        {answer_recall, SIDE_TARGET, SIDE_RECALL},
        {answer_entries, SIDE_TARGET, SIDE_RECALL},
        {answer_recall, SIDE_SOURCE, SIDE_DETAIL},
        {answer_chunks, SIDE_TARGET, SIDE_OPEN},
        {answer_chunks_small, SIDE_TARGET, SIDE_OPEN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct error err;
        int result = against(lies[i].act, PATIENCE_NS, lies[i].role, lies[i].op, &err);
        if (result != -EPROTO || err.class != ERROR_PROTOCOL)
            fail_msg("lie %zu: %d, %s", i, result, error_is_set(&err) ? err.text : "believed");
    }
}

static void commit_of_other_bytes_is_not_believed(void **state)
{
    struct rig *rig = rig_make();
    struct fake fake = {.rig = rig, .act = answer_open_then_tally};
    (void)state;
    assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fake), 0);
    assert_int_equal(rig_connect(rig, SIDE_TARGET), 0);
    pretend_source(rig, CHUNK);
    must(rig, control(rig), SIDE_OPEN);
    assert_int_equal(call(rig, control(rig), SIDE_COMMIT), -EPROTO);
    assert_int_equal(rig->error.class, ERROR_PROTOCOL);
    rig_hang_up(rig);
    rig_free(rig);
}

/* ---- clients that lie ---- */

enum lie_word {
    LIE_END,
    LIE_OPEN,
    LIE_OPENED, /* await the answer */
    LIE_STORE,  /* chunk 0, right */
    LIE_ANSWER, /* await one */
    LIE_COMMIT,
    LIE_ABANDON,
    LIE_SYNC,
    LIE_FETCH,
    LIE_KEEP,
    LIE_ERASE_CONTROL,   /* in a slot without a buffer */
    LIE_STORE_UNALIGNED, /* not at a chunk's place */
    LIE_STORE_SHORT,     /* not a whole chunk */
    LIE_STORE_BEYOND,    /* behind the end */
    LIE_STORE_LONG,      /* a payload that was not agreed on */
    LIE_TAG,             /* no such slot */
    LIE_TWICE,           /* the same slot again */
    LIE_OPEN_CHUNKS,     /* chunks that were not agreed on */
    LIE_NO_PATH,
    LIE_NO_SESSION,
    LIE_REPLY, /* what only a server says */
    LIE_PINGS,
    LIE_OTHER_SIZE,
    LIE_RECALL_SMALL,
    LIE_HELLO,
};

struct liar {
    struct rig *rig;
    struct stream stream;
    bool over;
};

static void liar_send(struct liar *liar, struct wire_message *message)
{
    static const uint8_t payload[WIRE_PAYLOAD_BYTES_MAX];
    const struct stream_payload bytes = {.data = payload};
    if (stream_sending(&liar->stream) || stream_put(&liar->stream, message, bytes) < 0)
        fail_msg("cannot lie");
    for (;;) {
        int sent = stream_flush(&liar->stream, NULL);
        if (sent != 0) {
            liar->over = sent < 0;
            return;
        }
        (void)link_wait(liar->stream.link, LINK_SEND, NS_PER_SECOND, NULL);
    }
}

static void liar_job(struct liar *liar, struct wire_message *message)
{
    message->path = liar->rig->target;
    message->job.chunk_bytes = CHUNK;
    message->job.wish.journal = true;
    message->job.wish.session = 1;
    message->job.facts[SIDE_SOURCE].kind = FILE_REGULAR;
    message->job.facts[SIDE_SOURCE].size_bytes = 3 * CHUNK + 5;
}

static const enum side_op lie_ops[] = {
    [LIE_OPEN] = SIDE_OPEN,
    [LIE_STORE] = SIDE_STORE,
    [LIE_COMMIT] = SIDE_COMMIT,
    [LIE_ABANDON] = SIDE_ABANDON,
    [LIE_SYNC] = SIDE_SYNC,
    [LIE_FETCH] = SIDE_FETCH,
    [LIE_KEEP] = SIDE_KEEP,
    [LIE_ERASE_CONTROL] = SIDE_ERASE,
    [LIE_STORE_UNALIGNED] = SIDE_STORE,
    [LIE_STORE_SHORT] = SIDE_STORE,
    [LIE_STORE_BEYOND] = SIDE_STORE,
    [LIE_STORE_LONG] = SIDE_STORE,
    [LIE_TAG] = SIDE_SYNC,
    [LIE_TWICE] = SIDE_SYNC,
    [LIE_OPEN_CHUNKS] = SIDE_OPEN,
    [LIE_NO_PATH] = SIDE_OPEN,
    [LIE_NO_SESSION] = SIDE_OPEN,
    [LIE_OTHER_SIZE] = SIDE_COMMIT,
    [LIE_RECALL_SMALL] = SIDE_RECALL,
};

static struct wire_message liar_message(struct liar *liar, enum lie_word word)
{
    static const uint8_t zeros[CHUNK];
    struct wire_message message = {.type = WIRE_REQUEST, .tag = 0};
    struct job *job = &message.job;
    struct slot *slot = &message.slot;
    message.op = lie_ops[word];
    job->number = 3;
    slot->length = CHUNK;
    slot->digest = digest_of(zeros, CHUNK);
    if (message.op == SIDE_OPEN || message.op == SIDE_COMMIT)
        liar_job(liar, &message);
    if (message.op != SIDE_STORE)
        message.tag = 1;
    switch (word) {
    case LIE_ERASE_CONTROL:
        message.tag = SLOTS;
        break;
    case LIE_STORE_UNALIGNED:
        slot->offset = 4096;
        break;
    case LIE_STORE_SHORT:
        slot->length = 4096;
        break;
    case LIE_STORE_BEYOND:
        slot->offset = 4 * CHUNK;
        break;
    case LIE_STORE_LONG:
        slot->length = 2 * CHUNK;
        break;
    case LIE_TAG:
        message.tag = SLOTS + 1;
        break;
    case LIE_OPEN_CHUNKS:
        job->chunk_bytes = 2 * CHUNK;
        break;
    case LIE_NO_PATH:
        message.path = "";
        break;
    case LIE_NO_SESSION:
        job->wish.session = 0;
        break;
    case LIE_OTHER_SIZE:
        job->facts[SIDE_SOURCE].size_bytes++;
        break;
    case LIE_RECALL_SMALL:
        message.tag = 0;
        slot->length = 23;
        break;
    default:
        break;
    }
    message.payload_bytes = message.op == SIDE_STORE ? slot->length : 0;
    return message;
}

static void liar_say(struct liar *liar, enum lie_word word)
{
    struct wire_message message;
    if (liar->over)
        return;
    if (word == LIE_OPENED || word == LIE_ANSWER) {
        if (stream_recv_now(&liar->stream, &message, 300 * NS_PER_SECOND, NULL) != STREAM_MESSAGE ||
            message.type != WIRE_REPLY || message.status != WIRE_DONE)
            fail_msg("no answer to a right question");
        return;
    }
    if (word == LIE_PINGS) {
        struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE};
        for (int i = 0; i < 100000 && !liar->over; i++)
            liar_send(liar, &ping);
        return;
    }
    if (word == LIE_HELLO) {
        message = (struct wire_message){
            .type = WIRE_HELLO,
            .tag = WIRE_TAG_NONE,
            .hello = {.lanes = 1, .jobs_max = 1, .ping_ms = WIRE_PING_MS},
        };
        liar_send(liar, &message);
        return;
    }
    if (word == LIE_REPLY) { /* with the checksum of a client, or it would be noticed earlier */
        static const uint8_t junk[WIRE_HEADER_BYTES] = {WIRE_REPLY, 0, 0, 0, 1};
        (void)link_send_all(liar->stream.link, junk, sizeof(junk), NS_PER_SECOND, NULL);
        return;
    }
    message = liar_message(liar, word);
    liar_send(liar, &message);
    if (word == LIE_TWICE)
        liar_send(liar, &message);
}

static bool lie_is_said(enum lie_word word)
{
    return word != LIE_END && word != LIE_OPENED && word != LIE_ANSWER;
}

/* Says the words one after the other; what the server makes of it. */
static int lie(const enum lie_word *words, struct error *err)
{
    struct rig *rig = rig_make();
    struct liar liar = {.rig = rig};
    struct wire_message message = {
        .type = WIRE_HELLO,
        .tag = WIRE_TAG_NONE,
        .hello =
            {
                .session = 1,
                .role = SIDE_TARGET,
                .lanes = 1,
                .slots_count = SLOTS,
                .control_count = 1,
                .jobs_max = 2,
                .chunk_bytes = CHUNK,
                .ping_ms = WIRE_PING_MS,
            },
    };
    served_start(&rig->served, rig->links[1]);
    stream_init(&liar.stream, &rig->links[0]->link, WIRE_CLIENT);
    assert_int_equal(stream_greet(&liar.stream, "0.0", NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_send_now(&liar.stream, &message, NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_recv_now(&liar.stream, &message, 300 * NS_PER_SECOND, NULL),
                     STREAM_MESSAGE);
    for (size_t i = 0; words[i] != LIE_END; i++) {
        bool followed = lie_is_said(words[i]) && lie_is_said(words[i + 1]);
        /* What is forbidden beside a request must be there before that is over. */
        if (followed || words[i] == LIE_TWICE)
            rig->links[1]->held = true;
        liar_say(&liar, words[i]);
        if (!followed)
            rig->links[1]->held = false;
    }
    (void)link_shutdown(&rig->links[0]->link, 300 * NS_PER_SECOND, NULL);
    link_close(&rig->links[0]->link);
    served_end(&rig->served);
    *err = rig->served.error;
    int result = rig->served.result;
    rig_free(rig);
    return result;
}

static void clients_that_lie_are_sent_away(void **state)
{
    static const enum lie_word lies[][8] = {
        {LIE_STORE},
        {LIE_COMMIT},
        {LIE_SYNC},
        {LIE_FETCH},
        {LIE_TAG},
        {LIE_OPEN_CHUNKS},
        {LIE_NO_PATH},
        {LIE_NO_SESSION},
        {LIE_REPLY},
        {LIE_HELLO},
        {LIE_PINGS},
        {LIE_OPEN, LIE_OPENED, LIE_OPEN},
        {LIE_OPEN, LIE_OPENED, LIE_FETCH},
        {LIE_OPEN, LIE_OPENED, LIE_ERASE_CONTROL},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_UNALIGNED},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_SHORT},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_BEYOND},
        {LIE_OPEN, LIE_OPENED, LIE_STORE_LONG},
        {LIE_OPEN, LIE_OPENED, LIE_OTHER_SIZE},
        {LIE_OPEN, LIE_OPENED, LIE_RECALL_SMALL},
        {LIE_OPEN, LIE_OPENED, LIE_TWICE},
        {LIE_OPEN, LIE_OPENED, LIE_STORE, LIE_COMMIT},
        {LIE_OPEN, LIE_OPENED, LIE_STORE, LIE_ABANDON},
        {LIE_OPEN, LIE_OPENED, LIE_STORE, LIE_ANSWER, LIE_COMMIT, LIE_ANSWER, LIE_STORE},
        {LIE_OPEN, LIE_OPENED, LIE_ABANDON, LIE_ANSWER, LIE_KEEP},
    };
    static const enum lie_word truth[] = {LIE_OPEN,    LIE_OPENED, LIE_STORE, LIE_ANSWER,
                                          LIE_KEEP,    LIE_ANSWER, LIE_SYNC,  LIE_ANSWER,
                                          LIE_ABANDON, LIE_ANSWER, LIE_END};
    struct error err;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        int result = lie(lies[i], &err);
        if (result != -EPROTO || err.class != ERROR_PROTOCOL)
            fail_msg("lie %zu: %d, %s", i, result, error_is_set(&err) ? err.text : "believed");
    }
    assert_int_equal(lie(truth, &err), -ECONNRESET); /* no goodbye, but all was right */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_that_lie_end_the_session),
        cmocka_unit_test(commit_of_other_bytes_is_not_believed),
        cmocka_unit_test(clients_that_lie_are_sent_away),
    };
    if (getenv("TEST_FILTER")) /* one of them, by a pattern */
        cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
