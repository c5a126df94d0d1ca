/* test_session.c - a session, from both of its sides: who greets, damage, cuts, silence. */
#include "fake_server.h"

#include "haul/side/pockets.h"
#include "haul/wire/session.h"

/* ---- somebody else is there ---- */

static int greet_by(const void *words, size_t length, bool end, struct error *err)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    config.hello_timeout_ns = 2 * NS_PER_SECOND;
    assert_int_equal(link_send_all(&rig->links[1]->link, words, length, NS_PER_SECOND, NULL), 0);
    if (end)
        shutdown(rig->links[1]->fd, SHUT_RDWR);
    int result = peer_open(&rig->side, &config, &rig->error);
    *err = rig->error;
    link_close(&rig->links[0]->link);
    link_close(&rig->links[1]->link);
    rig_free(rig);
    return result;
}

static void greeting_of_somebody_else_is_shown(void **state)
{
    static const char banner[] = "Welcome to farhost!\nYou have mail.\n";
    uint8_t preamble[WIRE_PREAMBLE_BYTES];
    struct error err;
    (void)state;
    for (int end = 0; end < 2; end++) {
        memset(&err, 0, sizeof(err));
        assert_int_equal(greet_by(banner, sizeof(banner) - 1, end, &err), -EPROTO);
        assert_int_equal(err.class, ERROR_PROTOCOL);
        assert_non_null(strstr(err.text, "Welcome to farhost!\\nYou have mail."));
    }
    assert_int_equal(greet_by("no", 2, true, &err), -EPROTO);
    codec_encode_preamble(preamble, "1.0", WIRE_CLIENT);
    assert_int_equal(greet_by(preamble, sizeof(preamble), false, &err), -EPROTO);
    assert_non_null(strstr(err.text, "echo"));
    codec_encode_preamble(preamble, "9.9", WIRE_SERVER);
    preamble[WIRE_MAGIC_BYTES] = WIRE_VERSION + 1;
    assert_int_equal(greet_by(preamble, sizeof(preamble), false, &err), -EPROTONOSUPPORT);
    assert_int_equal(err.class, ERROR_VERSION);
    assert_non_null(strstr(err.text, "9.9"));
    assert_true(greet_by("", 0, true, &err) < 0);
    assert_int_equal(err.class, ERROR_SOCKET);
}

/* ---- damage ---- */

/* The first bits of the payload of the first STORE, or FETCH. */
static void flip_once(enum side_role role)
{
    struct rig *rig = rig_make();
    struct pair_link *link = rig->links[role == SIDE_TARGET ? 0 : 1];
    uint64_t sent;
    link->flip_at = 2 * CHUNK; /* past every head: within the second or third chunk */
    rig_begin(rig, role);
    if (role == SIDE_SOURCE)
        write_filled(rig->source, 9 * CHUNK, 4);
    rig->job.wish.journal = false;
    pretend_source(rig, 9 * CHUNK);
    int result = role == SIDE_TARGET ? push(rig, 9 * CHUNK, 4) : pull(rig, 9 * CHUNK, 4);
    if (result != 0)
        fail_msg("%s", rig->error.text);
    assert_int_equal(link->flip_at, UINT64_MAX);
    assert_int_equal(peer_resent(rig->side), 1);
    if (role == SIDE_TARGET)
        assert_filled(rig->target, 9 * CHUNK, 4);
    sent = role == SIDE_TARGET ? rig->progress.wire_bytes_sent : rig->progress.wire_bytes_received;
    assert_true(sent > 10 * CHUNK && sent < 11 * CHUNK); /* that chunk again, nothing else */
    rig_close(rig);
}

/* A message is gone as soon as it is put; what travels is in the slot, or packed, until it is sent,
 * and nothing else is put meanwhile. */
struct late {
    struct session session;
    struct stream far;
    struct rig *rig;
    struct slot *slot;
    uint8_t room[CHUNK];
};

static void late_begin(struct late *late, enum wire_side side, enum side_op op)
{
    late->rig = rig_make();
    late->slot = &late->rig->slots[0];
    session_init(&late->session, &late->rig->links[0]->link, side);
    stream_init(&late->far, &late->rig->links[1]->link,
                side == WIRE_CLIENT ? WIRE_SERVER : WIRE_CLIENT);
    late->far.payload_bytes_max = CHUNK;
    late->rig->links[0]->send_most = CHUNK / 4; /* not all at once */
    late->slot->length = late->slot->count = CHUNK;
    late->slot->op = op;
}

/* How many bytes have arrived in the room. */
static uint32_t late_sent(struct late *late, uint32_t payload_bytes)
{
    bool client = late->session.stream.side == WIRE_CLIENT;
    struct wire_message message, heard;
    struct slot *sent = NULL;
    codec_message(&message, client ? WIRE_REQUEST : WIRE_REPLY, late->slot->index);
    message.op = late->slot->op;
    codec_slot(&message.slot, late->slot);
    message.payload_bytes = payload_bytes;
    assert_int_equal(session_put(&late->session, &message, late->slot), 1);
    memset(&message, 0xff, sizeof(message));
    assert_false(session_has_room(&late->session));
    while (!sent)
        assert_true(session_send(&late->session, &sent, NULL) >= 0);
    assert_ptr_equal(sent, late->slot);
    assert_true(session_has_room(&late->session));
    assert_int_equal(stream_get(&late->far, &heard, NULL), STREAM_MESSAGE);
    uint32_t bytes = heard.payload_bytes;
    stream_payload_into(&late->far, late->room, bytes);
    assert_int_equal(stream_get(&late->far, &heard, NULL), STREAM_PAYLOAD);
    return bytes;
}

static void late_end(struct late *late)
{
    session_close(&late->session);
    link_close(&late->rig->links[0]->link);
    link_close(&late->rig->links[1]->link);
    rig_free(late->rig);
}

/* Either side: what is stored, and what a source answers that differs. */
static void blocks_of_a_chunk_are_sent_after_their_message_is_gone(void **state)
{
    enum { AT = 3 * BLOCKS_SIZE, BYTES = 2 * BLOCKS_SIZE };
    static struct late late;
    (void)state;
    for (int i = 0; i < 2; i++) {
        late_begin(&late, i ? WIRE_SERVER : WIRE_CLIENT, i ? SIDE_DIFFER : SIDE_STORE);
        late.slot->partial = true;
        memset(late.slot->buffer, 1, CHUNK);
        memset(late.slot->buffer + AT, 2, BYTES);
        blocks_add(late.slot->set, AT, AT + BYTES);
        assert_int_equal(late_sent(&late, BYTES), BYTES);
        assert_memory_equal(late.room, late.slot->buffer + AT, BYTES);
        late_end(&late);
    }
}

/* There is one buffer for what is packed. */
static void packed_payload_waits_alone_until_it_is_sent(void **state)
{
    const struct wire_hello hello = {.capabilities = WIRE_CAN_PACK, .chunk_bytes = CHUNK};
    static struct late late;
    static uint8_t expanded[CHUNK];
    (void)state;
    if (!pack_version())
        skip();
    for (int i = 0; i < 2; i++) {
        AUTO_FREE uint8_t *data = filled(CHUNK / 2, 3);
        late_begin(&late, i ? WIRE_SERVER : WIRE_CLIENT, i ? SIDE_FETCH : SIDE_STORE);
        assert_int_equal(session_agree(&late.session, &hello, NULL), 0);
        memset(late.slot->buffer, 0, CHUNK);
        memcpy(late.slot->buffer, data, CHUNK / 2);
        uint32_t bytes = late_sent(&late, CHUNK);
        assert_true(bytes > STREAM_COPY_BYTES && bytes < CHUNK);
        memcpy(pack_incoming(late.session.pack), late.room, bytes);
        assert_true(pack_expand(late.session.pack, bytes, expanded, CHUNK));
        assert_memory_equal(expanded, late.slot->buffer, CHUNK);
        late_end(&late);
    }
}

static void stored_payload_with_a_flipped_bit_is_sent_again_once(void **state)
{
    (void)state;
    flip_once(SIDE_TARGET);
}

static void fetched_payload_with_a_flipped_bit_is_sent_again_once(void **state)
{
    (void)state;
    flip_once(SIDE_SOURCE);
}

/* It has been given back when the answer comes: what is in it then is another file's. */
static void what_is_delivered_from_a_pocket_is_not_sent_again(void **state)
{
    enum { BYTES = 9000 };
    struct rig *rig = rig_open(SIDE_TARGET);
    struct slot *slot = control(rig);
    struct pockets pockets = {.memory = NULL};
    (void)state;
    assert_int_equal(pockets_open(&pockets, 2, WIRE_POCKET_BYTES), 0);
    pretend_source(rig, BYTES);
    for (int damaged = 1; damaged >= 0; damaged--) {
        pockets_offer(&pockets, slot);
        assert_true(pocket_lend(slot));
        chunk_of(rig, slot, 0, 5);
        slot->conditional = true;
        if (damaged) /* past the message itself */
            rig->links[0]->flip_at = rig->links[0]->sent + BYTES * 2 / 3;
        int result = call(rig, slot, SIDE_DELIVER);
        assert_true(damaged ? result == -EAGAIN : result != -EEXIST);
        assert_true(!damaged || strstr(rig->error.text, "damaged"));
        assert_null(slot->buffer);
        assert_int_equal(pockets.free_count, 2);
    }
    rig_close(rig);
    pockets_close(&pockets);
}

static void payload_that_is_always_damaged_ends_with_that_slot(void **state)
{
    struct rig *rig = rig_open(SIDE_TARGET);
    struct slot *slot = &rig->slots[0];
    (void)state;
    pretend_source(rig, CHUNK);
    must(rig, control(rig), SIDE_OPEN);
    chunk_of(rig, slot, 0, 9);
    rig->links[0]->flip_at = rig->links[0]->sent + CHUNK / 2;
    rig->links[0]->flip_every = CHUNK;
    assert_int_equal(call(rig, slot, SIDE_STORE), -EBADMSG);
    assert_int_equal(rig->error.class, ERROR_PROTOCOL);
    assert_non_null(strstr(rig->error.text, "damaged"));
    assert_int_equal(peer_resent(rig->side), WIRE_RESENDS_MAX);
    rig->links[0]->flip_at = UINT64_MAX;
    must(rig, slot, SIDE_STORE); /* the session is in order */
    must(rig, control(rig), SIDE_COMMIT);
    assert_filled(rig->target, CHUNK, 9);
    rig_close(rig);
}

/* Every byte of what is said without payloads: no flipped bit of it is ever taken for something
 * else, and nobody waits for ever. */
static void flipped_bit_outside_of_payloads_ends_the_session(void **state)
{
    uint64_t lengths[2];
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct rig *whole = rig_open(SIDE_TARGET);
        assert_int_equal(push(whole, 0, 0), 0);
        rig_hang_up(whole);
        lengths[side] =
            side == 0 ? whole->progress.wire_bytes_sent : whole->progress.wire_bytes_received;
        rig_free(whole);
        for (uint64_t at = 0; at < lengths[side]; at++) {
            struct rig *rig = rig_make();
            struct peer_config config = rig_config(rig, SIDE_TARGET);
            config.timeout_ns = config.hello_timeout_ns = 40 * NS_PER_MS;
            rig->served.config.hello_timeout_ns = rig->served.config.silence_ns = 40 * NS_PER_MS;
            rig->links[side]->flip_at = at;
            served_start(&rig->served, rig->links[1]);
            int result = peer_open(&rig->side, &config, &rig->error);
            bool opened = result == 0;
            if (opened)
                result = push(rig, 0, 0);
            bool committed = result == 0;
            if (opened)
                side_close(rig->side);
            else
                link_close(&rig->links[0]->link);
            served_end(&rig->served);
            /* Only the goodbye, and the words of a version, do not matter any more. */
            if (committed && at < lengths[side] - 40 && !(at >= 10 && at < 32))
                fail_msg("byte %llu of side %d was flipped and nobody saw it",
                         (unsigned long long)at, side);
            rig_free(rig);
        }
    }
}

/* ---- cuts ---- */

static uint32_t open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* One small session, cut after `at` bytes of one side. true: it was committed. */
static bool cut_session(int side, uint64_t at, uint64_t *sent_bytes)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    rig->links[side]->cut_at = at;
    served_start(&rig->served, rig->links[1]);
    int result = peer_open(&rig->side, &config, &rig->error);
    bool opened = result == 0;
    if (opened)
        result = push(rig, 100, 6);
    if (result == 0)
        assert_filled(rig->target, 100, 6);
    else
        assert_true(error_is_set(&rig->error));
    if (opened && result < 0) { /* it is final, and harmless */
        assert_true(peer_broken(rig->side));
        assert_true(call(rig, control(rig), SIDE_ABANDON) < 0);
    }
    if (sent_bytes)
        *sent_bytes = side == 0 ? rig->progress.wire_bytes_sent : rig->progress.wire_bytes_received;
    if (opened)
        side_close(rig->side);
    else
        link_close(&rig->links[0]->link);
    served_end(&rig->served);
    assert_true(rig->served.result == 0 || error_is_set(&rig->served.error));
    rig_free(rig);
    return result == 0;
}

static void link_cut_at_every_byte_ends_both_sides_in_order(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        uint64_t length;
        assert_true(cut_session(side, UINT64_MAX, &length));
        uint32_t files = open_files();
        for (uint64_t at = 1; at < length; at++) {
            if (cut_session(side, at, NULL))
                fail_msg("cut after %llu bytes of side %d, and yet committed",
                         (unsigned long long)at, side);
        }
        assert_int_equal(open_files(), files);
    }
}

static void cut_in_mid_copy_leaves_a_journal_of_what_was_stored(void **state)
{
    struct rig *rig = rig_open(SIDE_TARGET);
    (void)state;
    pretend_source(rig, 5 * CHUNK);
    must(rig, control(rig), SIDE_OPEN);
    for (uint64_t chunk = 0; chunk < 3; chunk++) {
        chunk_of(rig, &rig->slots[0], chunk, 1);
        must(rig, &rig->slots[0], SIDE_STORE);
    }
    shutdown(rig->links[0]->fd, SHUT_RDWR); /* no SYNC was asked for */
    served_end(&rig->served);
    assert_int_equal(rig->served.error.class, ERROR_SOCKET);
    side_close(rig->side);

    slab_close(&rig->slab);
    pair_open(rig->links);
    client_slots(&rig->slab, rig->slots, SLOTS, &rig->job);
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, SIDE_TARGET), 0);
    must(rig, control(rig), SIDE_OPEN);
    assert_int_equal(rig->job.journal, JOURNAL_FITS);
    rig->slots[0].offset = 0;
    rig->slots[0].length = CHUNK;
    must(rig, &rig->slots[0], SIDE_RECALL);
    assert_int_equal(rig->slots[0].count, 3);
    rig_close(rig);
}

/* ---- silence ---- */

static void silent_peer_at_the_greeting_is_a_timeout(void **state)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    (void)state;
    config.hello_timeout_ns = 50 * NS_PER_MS;
    assert_int_equal(peer_open(&rig->side, &config, &rig->error), -ETIMEDOUT);
    assert_int_equal(rig->error.class, ERROR_TIMEOUT);
    link_close(&rig->links[0]->link);
    link_close(&rig->links[1]->link);
    rig_free(rig);
}

static void silent_server_is_a_timeout(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(against(await_the_end, IMPATIENCE_NS, SIDE_TARGET, SIDE_DESCRIBE, &err),
                     -ETIMEDOUT);
    assert_int_equal(err.class, ERROR_TIMEOUT);
    assert_memory_equal(err.text, "farhost: silent", 15);
}

/* So many times, 60 ms after each other. false: there was no request meanwhile. */
static bool fake_ping(struct fake *fake, int times, bool listening, struct wire_message *request)
{
    struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE}, message;
    bool asked = false;
    for (int i = 0; i < times; i++) {
        poll(NULL, 0, 60);
        while (listening && stream_get(&fake->stream, &message, NULL) == STREAM_MESSAGE) {
            asked |= message.type == WIRE_REQUEST;
            if (message.type == WIRE_REQUEST)
                *request = message;
        }
        if (stream_send_now(&fake->stream, &ping, NS_PER_SECOND, NULL) < 0)
            return false; /* the client has had enough */
    }
    return asked;
}

/* Alive, but nothing that we say arrives. */
static void ping_without_listening(struct fake *fake)
{
    struct wire_message message;
    (void)fake_ping(fake, 30, false, &message);
    await_the_end(fake);
}

/* The head of a frame, a byte at a time. */
static void trickle(struct fake *fake)
{
    static const uint8_t head[WIRE_HEADER_BYTES] = {WIRE_PING, 0, 8};
    for (size_t i = 0; i < sizeof(head); i++) {
        poll(NULL, 0, 60);
        if (link_send_all(fake->stream.link, head + i, 1, NS_PER_SECOND, NULL) < 0)
            break;
    }
    await_the_end(fake);
}

static void no_more_than_a_trickle_is_a_timeout(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(against(trickle, IMPATIENCE_NS, SIDE_TARGET, SIDE_DESCRIBE, &err), -ETIMEDOUT);
    assert_memory_equal(err.text, "farhost: silent", 15);
}

static void server_that_nothing_arrives_at_is_a_timeout(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(
        against(ping_without_listening, IMPATIENCE_NS, SIDE_TARGET, SIDE_DESCRIBE, &err),
        -ETIMEDOUT);
    assert_memory_equal(err.text, "farhost: silent", 15);
}

static void silent_server_is_left_alone_after_a_request_to_stop(void **state)
{
    struct rig *rig = rig_make();
    struct fake fake = {.rig = rig, .act = await_the_end};
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    struct control stopped = {.stop = false};
    (void)state;
    config.control = &stopped; /* and no timeout */
    assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fake), 0);
    assert_int_equal(peer_open(&rig->side, &config, &rig->error), 0);
    stopped.stop = true;
    assert_int_equal(call(rig, control(rig), SIDE_DESCRIBE), -EINTR);
    assert_int_equal(rig->error.class, ERROR_INTERRUPTED);
    assert_true(peer_broken(rig->side));
    rig_hang_up(rig);
    rig_free(rig);
}

static void tell_halved(struct fake *fake, uint8_t halved)
{
    struct wire_message message = {.type = WIRE_PONG, .tag = WIRE_TAG_NONE, .halved = halved};
    stream_send_now(&fake->stream, &message, PATIENCE_NS, NULL);
    await_the_end(fake);
}

static void tell_scarce_memory(struct fake *fake)
{
    tell_halved(fake, 2);
}

static void tell_enough_memory(struct fake *fake)
{
    tell_halved(fake, 0);
}

/* Each lane has a server, and of those of one machine one may see what another does not. */
static void of_several_servers_the_one_counts_that_is_short_of_memory(void **state)
{
    struct control shared = {.stop = false};
    struct rig *rigs[2];
    struct fake fakes[2] = {{.act = tell_scarce_memory}, {.act = tell_enough_memory}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig *rig = rigs[i] = fakes[i].rig = rig_make();
        struct peer_config config = rig_config(rig, SIDE_TARGET);
        struct slot *none[1];
        config.control = &shared;
        config.hello_timeout_ns = PATIENCE_NS;
        assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fakes[i]), 0);
        assert_int_equal(peer_open(&rig->side, &config, &rig->error), 0);
        while (peer_idle(rig->side).answers_count == 0)
            assert_int_equal(side_reap(rig->side, none, 1, true), 0);
        assert_int_equal(control_far_halved(&shared), 2);
    }
    rig_hang_up(rigs[0]);
    assert_int_equal(control_far_halved(&shared), 0);
    rig_hang_up(rigs[1]);
    rig_free(rigs[0]);
    rig_free(rigs[1]);
}

/* Who lives is heard in time, unless the machine is busy: then once more with more time. */
static const uint64_t alive_ns[] = {NS_PER_SECOND, 4 * NS_PER_SECOND, 20 * NS_PER_SECOND};

static int pings_count; /* for longer than that */

static void ping_then_reply(struct fake *fake)
{
    struct wire_message message;
    if (!fake_ping(fake, pings_count, true, &message))
        return;
    message = (struct wire_message){.type = WIRE_REPLY, .tag = message.tag, .op = message.op};
    message.facts.size_bytes = 77;
    stream_send_now(&fake->stream, &message, NS_PER_SECOND, NULL);
    await_the_end(fake);
}

static void slow_server_that_says_ping_is_waited_for(void **state)
{
    struct error err;
    int result = -ETIMEDOUT;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(alive_ns) && result == -ETIMEDOUT; i++) {
        pings_count = (int)(alive_ns[i] / (60 * NS_PER_MS)) + 4;
        result = against(ping_then_reply, alive_ns[i], SIDE_TARGET, SIDE_DESCRIBE, &err);
    }
    assert_int_equal(result, 0);
}

static void silent_client_is_given_up(void **state)
{
    struct rig *rig = NULL;
    int result = -ETIMEDOUT;
    (void)state;
    for (size_t i = 0; result < 0; i++) {
        assert_true(i < COUNT_OF(alive_ns));
        rig = rig_make();
        rig->served.config.silence_ns = alive_ns[i] / 2; /* enough to connect in */
        served_start(&rig->served, rig->links[1]);
        result = rig_connect(rig, SIDE_TARGET);
        if (result == 0)
            break;
        served_end(&rig->served);
        rig_free(rig);
    }
    struct pollfd goodbye = {.fd = rig->links[0]->fd, .events = POLLIN};
    assert_int_equal(poll(&goodbye, 1, -1), 1);
    assert_true(call(rig, control(rig), SIDE_DESCRIBE) < 0);
    assert_int_equal(rig->error.class, ERROR_TIMEOUT); /* it said why */
    rig_hang_up(rig);
    assert_int_equal(rig->served.result, -ETIMEDOUT);
    assert_int_equal(rig->served.error.class, ERROR_TIMEOUT);
    rig_free(rig);
}

/* It is only a reply that tells a client what has arrived: a server that replies all the time asks.
 */
static void busy_server_asks_what_has_arrived(void **state)
{
    struct rig *rig = rig_make();
    struct session session;
    (void)state;
    session_init(&session, &rig->links[0]->link, WIRE_SERVER);
    session.ping_ns = 3600 * NS_PER_SECOND;
    session.stream.sent_ns = clock_now_ns();
    assert_false(session_keep_alive(&session));
    session.stream.delivered_ns -= session.ping_ns;
    assert_true(session_keep_alive(&session));
    assert_false(session_keep_alive(&session)); /* once, until it is answered */
    session_close(&session);
    link_close(&rig->links[0]->link);
    link_close(&rig->links[1]->link);
    rig_free(rig);
}

static void hear_what_is_there(struct session *session)
{
    struct wire_message message;
    struct slot *slot;
    struct error err = {.class = ERROR_NONE};
    assert_int_equal(link_wait(session->stream.link, LINK_RECV, PATIENCE_NS, &err), 0);
    assert_int_equal(session_get(session, &message, &slot, &err), SESSION_LATER);
}

/* However long an answer to an earlier one was on its way. */
static void question_is_answered_only_by_who_has_heard_it(void **state)
{
    struct rig *rig = rig_make();
    struct wire_message pong = {.type = WIRE_PONG, .tag = WIRE_TAG_NONE}, message;
    struct error err = {.class = ERROR_NONE};
    struct session session;
    struct stream client;
    struct slot *sent;
    (void)state;
    session_init(&session, &rig->links[0]->link, WIRE_SERVER);
    stream_init(&client, &rig->links[1]->link, WIRE_CLIENT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stream_send_now(&client, &pong, PATIENCE_NS, &err), 0);
        session_ask(&session);
        assert_false(session_is_answered(&session));
        assert_int_equal(session_send(&session, &sent, &err), 1);
        hear_what_is_there(&session);
        assert_false(session_is_answered(&session));
        assert_int_equal(stream_recv_now(&client, &message, PATIENCE_NS, &err), STREAM_MESSAGE);
        assert_int_equal(message.type, WIRE_PING);
        assert_int_equal(stream_send_now(&client, &pong, PATIENCE_NS, &err), 0);
        hear_what_is_there(&session);
        assert_true(session_is_answered(&session));
    }
    session_close(&session);
    link_close(&rig->links[0]->link);
    link_close(&rig->links[1]->link);
    rig_free(rig);
}

/* Whoever has said it hears on, and is asked: he says nothing more. */
static void behind_goodbye_nothing_is_said(void **state)
{
    struct rig *rig = rig_make();
    struct wire_message ping = {.type = WIRE_PING, .tag = WIRE_TAG_NONE}, message;
    struct error err = {.class = ERROR_NONE};
    struct session session;
    struct stream server;
    struct slot *sent;
    (void)state;
    session_init(&session, &rig->links[0]->link, WIRE_CLIENT);
    stream_init(&server, &rig->links[1]->link, WIRE_SERVER);
    session_say_bye(&session, NULL, PATIENCE_NS);
    assert_int_equal(stream_send_now(&server, &ping, PATIENCE_NS, &err), 0);
    hear_what_is_there(&session);
    assert_true(session.pong_due);
    session.ping_due = true;
    session.ping_ns = 0;
    assert_false(session_keep_alive(&session));
    assert_int_equal(session_wanted(&session, false), LINK_RECV);
    assert_int_equal(session_wait_ns(&session, 5), 5);
    assert_int_equal(session_send(&session, &sent, &err), 1);
    link_close(&rig->links[0]->link);
    assert_int_equal(stream_recv_now(&server, &message, PATIENCE_NS, &err), STREAM_MESSAGE);
    assert_int_equal(message.type, WIRE_BYE);
    assert_int_equal(stream_recv_now(&server, &message, PATIENCE_NS, &err), LINK_EOF);
    session_close(&session);
    link_close(&rig->links[1]->link);
    rig_free(rig);
}

/* As a copy that --bwlimit holds back between two chunks. */
static int idle_client(uint64_t silence_ns)
{
    struct rig *rig = rig_make();
    struct peer_config config = rig_config(rig, SIDE_TARGET);
    struct slot *none;
    config.timeout_ns = silence_ns; /* pings after a quarter */
    config.hello_timeout_ns = PATIENCE_NS;
    rig->served.config.silence_ns = silence_ns;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(peer_open(&rig->side, &config, &rig->error), 0);
    for (uint64_t end_ns = clock_now_ns() + 2 * silence_ns; clock_now_ns() < end_ns;) {
        (void)side_reap(rig->side, &none, 1, false);
        poll(NULL, 0, 10);
    }
    int result = call(rig, control(rig), SIDE_DESCRIBE);
    rig_hang_up(rig);
    result = result < 0 ? result : rig->served.result;
    rig_free(rig);
    return result;
}

static void idle_client_that_is_reaped_is_not_silent(void **state)
{
    int result = -ETIMEDOUT;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(alive_ns) && result < 0; i++)
        result = idle_client(alive_ns[i]);
    assert_int_equal(result, 0);
}

static void told_to_stop_the_server_says_so(void **state)
{
    struct rig *rig = rig_make();
    atomic_bool stop = false;
    (void)state;
    rig->served.config.stop = &stop;
    served_start(&rig->served, rig->links[1]);
    assert_int_equal(rig_connect(rig, SIDE_TARGET), 0);
    stop = true;
    while (call(rig, control(rig), SIDE_DESCRIBE) == 0)
        ;
    assert_int_equal(rig->error.class, ERROR_INTERRUPTED);
    rig_hang_up(rig);
    assert_int_equal(rig->served.error.class, ERROR_INTERRUPTED);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_several_servers_the_one_counts_that_is_short_of_memory),
        cmocka_unit_test(blocks_of_a_chunk_are_sent_after_their_message_is_gone),
        cmocka_unit_test(packed_payload_waits_alone_until_it_is_sent),
        cmocka_unit_test(stored_payload_with_a_flipped_bit_is_sent_again_once),
        cmocka_unit_test(fetched_payload_with_a_flipped_bit_is_sent_again_once),
        cmocka_unit_test(what_is_delivered_from_a_pocket_is_not_sent_again),
        cmocka_unit_test(payload_that_is_always_damaged_ends_with_that_slot),
        cmocka_unit_test(flipped_bit_outside_of_payloads_ends_the_session),
        cmocka_unit_test(link_cut_at_every_byte_ends_both_sides_in_order),
        cmocka_unit_test(cut_in_mid_copy_leaves_a_journal_of_what_was_stored),
        cmocka_unit_test(silent_peer_at_the_greeting_is_a_timeout),
        cmocka_unit_test(silent_server_is_a_timeout),
        cmocka_unit_test(no_more_than_a_trickle_is_a_timeout),
        cmocka_unit_test(silent_server_is_left_alone_after_a_request_to_stop),
        cmocka_unit_test(server_that_nothing_arrives_at_is_a_timeout),
        cmocka_unit_test(behind_goodbye_nothing_is_said),
        cmocka_unit_test(question_is_answered_only_by_who_has_heard_it),
        cmocka_unit_test(slow_server_that_says_ping_is_waited_for),
        cmocka_unit_test(silent_client_is_given_up),
        cmocka_unit_test(busy_server_asks_what_has_arrived),
        cmocka_unit_test(idle_client_that_is_reaped_is_not_silent),
        cmocka_unit_test(told_to_stop_the_server_says_so),
        cmocka_unit_test(greeting_of_somebody_else_is_shown),
    };
    if (getenv("TEST_FILTER")) /* one of them, by a pattern */
        cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
