/* served.h - a server in a thread of the test, and what its client is opened with. */
#ifndef HAUL_TESTS_SERVED_H
#define HAUL_TESTS_SERVED_H

#include "link_pair.h"

#include "haul/base/clock.h"
#include "haul/disk/slab.h"
#include "haul/wire/peer.h"
#include "haul/wire/serve.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { CHUNK = 64 * 1024, SESSION = 0x5e551011 };

struct served {
    struct serve_config config;
    pthread_t thread;
    int result; /* both of serve_run(), after served_end() */
    struct error error;
};

static inline void *served_thread(void *argument)
{
    struct served *served = argument;
    served->result = serve_run(&served->config, &served->error);
    link_close(served->config.link);
    return NULL;
}

/* Serves the link, with what else is in served->config, and closes it. */
static inline void served_start(struct served *served, struct pair_link *link)
{
    served->config.link = &link->link;
    assert_int_equal(pthread_create(&served->thread, NULL, served_thread, served), 0);
}

/* The client has gone, or what the test did ends the server. */
static inline void served_end(struct served *served)
{
    pthread_join(served->thread, NULL);
}

static inline struct peer_config client_config(struct pair_link *link, enum side_role role,
                                               uint32_t slots_count)
{
    return (struct peer_config){
        .link = &link->link,
        .hello =
            {
                .session = SESSION,
                .role = role,
                .log_level = LOG_NOTE,
                .slots_count = slots_count,
                .control_count = 1,
                .jobs_max = 2,
                .chunk_bytes = CHUNK,
            },
        .timeout_ns = 60 * NS_PER_SECOND,
    };
}

/* slots_count with buffers of CHUNK from the slab, and one more without. */
static inline void client_slots(struct slab *slab, struct slot *slots, uint32_t slots_count,
                                struct job *job)
{
    static struct error errors[WIRE_SLOTS_MAX];
    static uint8_t sets[WIRE_SLOTS_MAX][BLOCKS_SET_BYTES];
    assert_true(slots_count < WIRE_SLOTS_MAX);
    assert_int_equal(slab_open(slab, slots_count, CHUNK, NULL), 0);
    memset(errors, 0, sizeof(errors));
    for (uint32_t i = 0; i <= slots_count; i++)
        slots[i] = (struct slot){
            .index = i,
            .error = &errors[i],
            .buffer = i < slots_count ? slab_buffer(slab, i) : NULL,
            .capacity = i < slots_count ? CHUNK : 0,
            .set = i < slots_count ? sets[i] : NULL,
            .job = job,
        };
}

#endif
