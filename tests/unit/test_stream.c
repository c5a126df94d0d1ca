/* test_stream.c - frames over a link, in pieces of any size; the preambles. */
#include "link_pair.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/wire/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct wire_message store_of(uint32_t length)
{
    return (struct wire_message){
        .type = WIRE_REQUEST,
        .tag = 1,
        .payload_bytes = length,
        .op = SIDE_STORE,
        .slot = {.length = length},
    };
}

static void stream_delivers_in_pieces_of_every_size(void **state)
{
    (void)state;
    for (uint32_t most = 1; most < 40; most++) {
        struct pair_link *links[2];
        struct stream client, server;
        struct wire_message message = store_of(512);
        uint8_t payload[512], room[512];
        pair_open(links);
        links[0]->send_most = most;
        stream_init(&client, &links[0]->link, WIRE_CLIENT);
        stream_init(&server, &links[1]->link, WIRE_SERVER);
        server.payload_bytes_max = 512;
        memset(payload, (int)most, sizeof(payload));
        message.payload_bytes = 512;
        for (int round = 0; round < 3; round++) {
            int event = STREAM_LATER;
            assert_int_equal(
                stream_put(&client, &message, (struct stream_payload){.data = payload}), 0);
            while (event != STREAM_PAYLOAD) {
                struct wire_message out;
                assert_true(stream_flush(&client, NULL) >= 0);
                event = stream_get(&server, &out, NULL);
                assert_true(event >= 0);
                if (event == STREAM_MESSAGE) {
                    assert_int_equal(out.slot.length, 512);
                    stream_payload_into(&server, room, 512);
                }
            }
            assert_false(stream_sending(&client));
            assert_memory_equal(room, payload, 512);
        }
        link_close(&links[0]->link);
        link_close(&links[1]->link);
    }
}

/* Many small ones in one go, large ones from where they lie, all in their order. */
static void stream_gathers_small_messages(void **state)
{
    static const uint32_t sizes[] = {
        512, 1, STREAM_COPY_BYTES, STREAM_COPY_BYTES + 1, 4096, 4096, 100000, 7};
    static uint8_t payload[100000], room[100000];
    struct pair_link *links[2];
    struct stream client, server;
    struct wire_message message, out;
    uint32_t put_count = 0, got_count = 0, rounds = 0;
    (void)state;
    pair_open(links);
    stream_init(&client, &links[0]->link, WIRE_CLIENT);
    stream_init(&server, &links[1]->link, WIRE_SERVER);
    server.payload_bytes_max = sizeof(payload);
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 7 + i / 251);
    while (got_count < 5 * COUNT_OF(sizes)) {
        while (put_count < 5 * COUNT_OF(sizes) && stream_has_room(&client)) {
            uint32_t size = sizes[put_count++ % COUNT_OF(sizes)];
            message = store_of(size);
            message.payload_bytes = size;
            assert_int_equal(
                stream_put(&client, &message, (struct stream_payload){.data = payload}),
                size > STREAM_COPY_BYTES);
        }
        rounds++;
        assert_true(stream_flush(&client, NULL) >= 0);
        for (;;) {
            int event = stream_get(&server, &out, NULL);
            assert_true(event >= 0);
            if (event == STREAM_LATER)
                break;
            uint32_t size = sizes[got_count % COUNT_OF(sizes)];
            if (event == STREAM_MESSAGE) {
                assert_int_equal(out.slot.length, size);
                memset(room, 0, sizeof(room));
                stream_payload_into(&server, room, size);
                continue;
            }
            assert_memory_equal(room, payload, size);
            got_count++;
        }
        assert_false(stream_has_more(&server));
    }
    assert_true(rounds < 5 * COUNT_OF(sizes));
    link_close(&links[0]->link);
    link_close(&links[1]->link);
}

static void stream_refuses_payloads_that_were_not_agreed_on(void **state)
{
    struct pair_link *links[2];
    struct stream client, server;
    struct wire_message message = store_of(512);
    uint8_t payload[512] = {0};
    struct error err = {.class = ERROR_NONE};
    (void)state;
    pair_open(links);
    stream_init(&client, &links[0]->link, WIRE_CLIENT);
    stream_init(&server, &links[1]->link, WIRE_SERVER);
    server.payload_bytes_max = 511;
    assert_int_equal(stream_put(&client, &message, (struct stream_payload){.data = payload}), 0);
    assert_int_equal(stream_flush(&client, NULL), 1);
    assert_int_equal(stream_get(&server, &message, &err), -EPROTO);
    assert_int_equal(err.class, ERROR_PROTOCOL);
    link_close(&links[0]->link);
    link_close(&links[1]->link);
}

static void greeting_succeeds_between_equals(void **state)
{
    struct pair_link *links[2];
    struct stream client, server;
    uint8_t preamble[WIRE_PREAMBLE_BYTES];
    (void)state;
    pair_open(links);
    stream_init(&client, &links[0]->link, WIRE_CLIENT);
    stream_init(&server, &links[1]->link, WIRE_SERVER);
    codec_encode_preamble(preamble, "0", WIRE_CLIENT);
    assert_int_equal(link_send_all(&links[0]->link, preamble, 32, 300 * NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_greet(&server, "0", 300 * NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_greet(&client, "0", 300 * NS_PER_SECOND, NULL), 0);
    link_close(&links[0]->link);
    link_close(&links[1]->link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_delivers_in_pieces_of_every_size),
        cmocka_unit_test(stream_gathers_small_messages),
        cmocka_unit_test(stream_refuses_payloads_that_were_not_agreed_on),
        cmocka_unit_test(greeting_succeeds_between_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
