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
            assert_int_equal(stream_put(&client, &message, payload), 0);
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
    assert_int_equal(stream_put(&client, &message, payload), 0);
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
    assert_int_equal(link_send_all(&links[0]->link, preamble, 32, NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_greet(&server, "0", NS_PER_SECOND, NULL), 0);
    assert_int_equal(stream_greet(&client, "0", NS_PER_SECOND, NULL), 0);
    link_close(&links[0]->link);
    link_close(&links[1]->link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_delivers_in_pieces_of_every_size),
        cmocka_unit_test(stream_refuses_payloads_that_were_not_agreed_on),
        cmocka_unit_test(greeting_succeeds_between_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
