/* fake_server.h - a server that greets as it should, and then does what a test says. */
#ifndef HAUL_TESTS_FAKE_SERVER_H
#define HAUL_TESTS_FAKE_SERVER_H

#include "serve_rig.h"

#include "haul/wire/stream.h"

/* Of whatever comes for certain: a busy machine is slow. */
static const uint64_t PATIENCE_NS = 300 * NS_PER_SECOND;
/* Of whom nothing comes for. */
static const uint64_t IMPATIENCE_NS = 200 * NS_PER_MS;

/* A server of the test's own: greets, then does what the test wants. */
struct fake {
    struct rig *rig;
    struct stream stream;
    void (*act)(struct fake *fake);
};

static inline void *fake_serve(void *argument)
{
    struct fake *fake = argument;
    struct wire_message message;
    stream_init(&fake->stream, &fake->rig->links[1]->link, WIRE_SERVER);
    fake->stream.payload_bytes_max = CHUNK;
    if (stream_greet(&fake->stream, "0.0", PATIENCE_NS, NULL) == 0 &&
        stream_recv_now(&fake->stream, &message, PATIENCE_NS, NULL) == STREAM_MESSAGE) {
        message.hello.memory_bytes = CHUNK;
        stream_send_now(&fake->stream, &message, PATIENCE_NS, NULL);
        fake->act(fake);
    }
    link_close(fake->stream.link);
    return NULL;
}

/* The next message, of any length of time. */
static inline bool fake_await(struct fake *fake, struct wire_message *message)
{
    return stream_recv_now(&fake->stream, message, PATIENCE_NS, NULL) == STREAM_MESSAGE;
}

static inline void await_the_end(struct fake *fake)
{
    struct wire_message message;
    while (fake_await(fake, &message) && message.type != WIRE_BYE) {
        static uint8_t dropped[CHUNK];
        if (message.payload_bytes > 0) {
            stream_payload_into(&fake->stream, dropped, message.payload_bytes);
            fake_await(fake, &message);
        }
    }
}

/* Connect to a fake server and run one operation. The error is in rig->error. */
static inline int against(void (*act)(struct fake *), uint64_t timeout_ns, enum side_role role,
                          enum side_op op, struct error *err)
{
    struct rig *rig = rig_make();
    struct fake fake = {.rig = rig, .act = act};
    struct peer_config config = rig_config(rig, role);
    config.timeout_ns = timeout_ns;
    config.hello_timeout_ns = PATIENCE_NS;
    assert_int_equal(pthread_create(&rig->served.thread, NULL, fake_serve, &fake), 0);
    int result = peer_open(&rig->side, &config, &rig->error);
    if (result != 0)
        fail_msg("%s", rig->error.text);
    pretend_source(rig, 3 * CHUNK);
    range(rig, &rig->slots[0], 1);
    result = call(rig,
                  op == SIDE_FETCH || op == SIDE_MAP || op == SIDE_RECALL || op == SIDE_EXAMINE ||
                          op == SIDE_DETAIL
                      ? &rig->slots[0]
                      : control(rig),
                  op);
    *err = rig->error;
    rig_hang_up(rig);
    rig_free(rig);
    return result;
}

#endif
