/* fuzz_wire_client.c - any bytes as what a server says to a client that works through every
 * operation. What must hold, whatever the bytes: every slot comes back, nothing is written outside
 * of the slots' buffers (the sanitizer), a chunk that came back well has the digest it says, and
 * lists and extents stay within what was asked for. */
#include "fuzz_wire.h"

#include "haul/disk/journal.h"
#include "haul/wire/peer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { SIZE_BYTES = 3 * FUZZ_CHUNK_BYTES + 1000 };

struct client {
    struct side *side;
    struct slot slots[FUZZ_SLOTS + 1];
    struct error errors[FUZZ_SLOTS + 1];
    uint8_t sets[FUZZ_SLOTS][BLOCKS_SET_BYTES];
    struct job job;
    struct owner_names names[2];
};

static void client_init(struct client *client)
{
    *client = (struct client){
        .job =
            {
                .number = 1,
                .source_path = "source",
                .target_path = "target",
                .chunk_bytes = FUZZ_CHUNK_BYTES,
                .wish = {.journal = true, .session = 1},
                .facts = {{.kind = FILE_REGULAR, .size_bytes = SIZE_BYTES}},
            },
    };
    client->job.names = client->names;
    for (uint32_t i = 0; i <= FUZZ_SLOTS; i++) {
        bool control = i == FUZZ_SLOTS;
        client->slots[i] = (struct slot){
            .index = i,
            .error = &client->errors[i],
            .buffer = control ? NULL : malloc(FUZZ_CHUNK_BYTES),
            .capacity = control ? 0 : FUZZ_CHUNK_BYTES,
            .set = control ? NULL : client->sets[i],
            .job = &client->job,
        };
        if (client->slots[i].buffer)
            memset(client->slots[i].buffer, 0, FUZZ_CHUNK_BYTES);
    }
}

static void check_outcome(const struct slot *slot)
{
    const struct journal_entry *entries = (const void *)slot->buffer;
    uint64_t sum = 0;
    if (slot->result < 0)
        return;
    if (slot->op == SIDE_FETCH && !slot->matched) {
        struct digest digest = digest_of(slot->buffer, slot->length);
        assert(digest_equal(&digest, &slot->digest));
    }
    if (slot->op == SIDE_FETCH || slot->op == SIDE_EXAMINE)
        assert(!slot->matched ||
               (slot->conditional && digest_equal(&slot->digest, &slot->expected)));
    if (slot->op == SIDE_EXAMINE)
        assert(slot->count <= slot->length);
    if (slot->op == SIDE_MAP)
        assert(slot->extent_start >= slot->offset && slot->extent_end > slot->offset);
    if (slot->op == SIDE_RECALL) {
        assert(slot->count * sizeof(*entries) <= slot->length);
        for (uint32_t i = 0; i < slot->count; i++)
            sum += entries[i].chunk;
    }
    (void)sum;
}

static void drain(struct client *client)
{
    struct slot *done[4];
    /* The link ends, so this does, too. */
    while (client->side->inflight > 0) {
        int count = side_reap(client->side, done, 4, true);
        assert(count >= 0);
        for (int i = 0; i < count; i++)
            check_outcome(done[i]);
    }
}

static void start(struct client *client, uint32_t index, enum side_op op, bool conditional)
{
    struct slot *slot = &client->slots[index];
    slot->offset = index * (uint64_t)FUZZ_CHUNK_BYTES;
    slot->length = FUZZ_CHUNK_BYTES;
    slot->conditional = conditional;
    slot->expected = digest_of("", 0);
    slot->digest = digest_of(slot->buffer, slot->buffer ? FUZZ_CHUNK_BYTES : 0);
    side_start(client->side, slot, op);
}

static void work(struct client *client, enum side_role role)
{
    static const enum side_op ops[2][5] = {
        {SIDE_MAP, SIDE_FETCH, SIDE_FETCH, SIDE_FETCH, SIDE_FETCH},
        {SIDE_RECALL, SIDE_EXAMINE, SIDE_STORE, SIDE_KEEP, SIDE_ERASE},
    };
    start(client, FUZZ_SLOTS, SIDE_DESCRIBE, false);
    drain(client);
    start(client, FUZZ_SLOTS, SIDE_OPEN, false);
    drain(client);
    for (int i = 0; i < 5; i++) {
        start(client, 0, ops[role][i], i % 2);
        start(client, 1, ops[role][i], i < 2);
        if (role == SIDE_TARGET && i == 4)
            start(client, FUZZ_SLOTS, SIDE_SYNC, false);
        drain(client);
    }
    start(client, FUZZ_SLOTS, SIDE_COMMIT, false);
    drain(client);
    start(client, FUZZ_SLOTS, SIDE_ABANDON, false);
    drain(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct client client;
    struct error err = {.class = ERROR_NONE};
    if (length == 0)
        return 0;
    enum side_role role = data[0] & FUZZ_TARGET ? SIDE_TARGET : SIDE_SOURCE;
    struct fuzz_link *fuzz = fuzz_link_open(data, length, WIRE_SERVER);
    const struct peer_config config = {
        .link = &fuzz->link,
        .hello = fuzz_hello(data[0]),
    };
    client_init(&client);
    if (peer_open(&client.side, &config, &err) == 0) {
        const struct wire_hello *limits = peer_agreed(client.side);
        assert(limits->slots_count <= FUZZ_SLOTS && limits->chunk_bytes <= FUZZ_CHUNK_BYTES);
        if (limits->slots_count == FUZZ_SLOTS && limits->chunk_bytes == FUZZ_CHUNK_BYTES)
            work(&client, role);
        side_close(client.side);
    } else {
        assert(error_is_set(&err));
        link_close(&fuzz->link);
    }
    for (uint32_t i = 0; i < FUZZ_SLOTS; i++)
        free(client.slots[i].buffer);
    return 0;
}
