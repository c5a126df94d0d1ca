/* serve_rig.h - a client's side and a server over a connected pair of links, a job, its files, and
 * what tests do with them. */
#ifndef HAUL_TESTS_SERVE_RIG_H
#define HAUL_TESTS_SERVE_RIG_H

#include "scratch.h"
#include "served.h"

#include "haul/base/num.h"
#include "haul/disk/budget.h"
#include "haul/disk/journal.h"
#include "haul/wire/stream.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { SLOTS = 4 };

struct rig {
    struct pair_link *links[2];
    struct served served;
    struct side *side;
    struct error error;
    struct wire_hello limits;
    struct progress progress;
    struct slab slab;
    struct slot slots[SLOTS + 1]; /* the last one has no buffer */
    struct job job;
    char folder[64], source[96], target[96];
};

static inline void rig_job(struct rig *rig)
{
    rig->job = (struct job){
        .number = 7,
        .source_path = rig->source,
        .target_path = rig->target,
        .chunk_bytes = CHUNK,
        .wish =
            {
                .attributes = {ATTRIBUTE_LEAVE, ATTRIBUTE_LEAVE},
                .preallocate = true,
                .journal = true,
                .session = SESSION,
            },
    };
}

static inline struct rig *rig_make(void)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    strcpy(rig->folder, "/var/tmp/haul-serve-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->source, sizeof(rig->source), "%s/source", rig->folder);
    snprintf(rig->target, sizeof(rig->target), "%s/target", rig->folder);
    client_slots(&rig->slab, rig->slots, SLOTS, &rig->job);
    rig_job(rig);
    pair_open(rig->links);
    return rig;
}

static inline struct peer_config rig_config(struct rig *rig, enum side_role role)
{
    struct peer_config config = client_config(rig->links[0], role, SLOTS);
    config.progress = &rig->progress;
    return config;
}

static inline int rig_connect(struct rig *rig, enum side_role role)
{
    const struct peer_config config = rig_config(rig, role);
    int result = peer_open(&rig->side, &config, &rig->error);
    if (result == 0)
        rig->limits = *peer_agreed(rig->side);
    else
        link_close(&rig->links[0]->link);
    return result;
}

/* What is wrong with the links is said before: from here on the server's thread uses one. */
static inline void rig_begin(struct rig *rig, enum side_role role)
{
    served_start(&rig->served, rig->links[1]);
    if (rig_connect(rig, role) != 0)
        fail_msg("%s", rig->error.text);
}

static inline struct rig *rig_open(enum side_role role)
{
    struct rig *rig = rig_make();
    rig_begin(rig, role);
    return rig;
}

static inline void rig_remove_folder(const struct rig *rig)
{
    DIR *folder = opendir(rig->folder);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(rig->folder);
}

/* Ends the session; what came of the server stays in rig->served until rig_free(). */
static inline void rig_hang_up(struct rig *rig)
{
    side_close(rig->side);
    rig->side = NULL;
    served_end(&rig->served);
}

static inline void rig_free(struct rig *rig)
{
    slab_close(&rig->slab);
    rig_remove_folder(rig);
    free(rig);
}

static inline void rig_close(struct rig *rig)
{
    rig_hang_up(rig);
    if (rig->served.result != 0)
        fail_msg("%s", rig->served.error.text);
    rig_free(rig);
}

static inline struct slot *control(struct rig *rig)
{
    return &rig->slots[SLOTS];
}

static inline int call(struct rig *rig, struct slot *slot, enum side_op op)
{
    rig->error.class = ERROR_NONE;
    return side_call(rig->side, slot, op, &rig->error);
}

static inline void must(struct rig *rig, struct slot *slot, enum side_op op)
{
    if (call(rig, slot, op) != 0)
        fail_msg("operation %d: %s", op, rig->error.text);
}

static inline void range(struct rig *rig, struct slot *slot, uint64_t chunk)
{
    uint64_t size_bytes = rig->job.facts[SIDE_SOURCE].size_bytes;
    slot->offset = chunk * CHUNK;
    slot->length = (uint32_t)min_u64(CHUNK, size_bytes - slot->offset);
    slot->conditional = slot->from_medium = false;
}

/* The slot gets the chunk's content (of a file with that seed) and digest. */
static inline void chunk_of(struct rig *rig, struct slot *slot, uint64_t chunk, uint64_t seed)
{
    size_t size_bytes = (size_t)rig->job.facts[SIDE_SOURCE].size_bytes;
    AUTO_FREE uint8_t *data = filled(size_bytes, seed);
    range(rig, slot, chunk);
    memcpy(slot->buffer, data + slot->offset, slot->length);
    slot->digest = digest_of(slot->buffer, slot->length);
}

static inline void pretend_source(struct rig *rig, uint64_t size_bytes)
{
    rig->job.facts[SIDE_SOURCE] = (struct facts){
        .kind = FILE_REGULAR,
        .size_bytes = size_bytes,
        .allocated_bytes = size_bytes,
        .mode = 0640,
        .mtime_seconds = 1234567890,
        .mtime_ns = 123456789,
        .inode = 99,
    };
}

/* Wait until every slot in flight has come back. Returns the first failure. */
static inline int drain(struct rig *rig)
{
    struct slot *done;
    int result = 0;
    while (rig->side->inflight > 0) {
        int count = side_reap(rig->side, &done, 1, true);
        assert_true(count >= 0);
        if (count > 0 && done->result < 0 && result == 0)
            result = error_take(&rig->error, done->error);
    }
    return result;
}

/* Push a file of this size, all slots at work. The first failure. */
static inline int push(struct rig *rig, uint64_t size_bytes, uint64_t seed)
{
    int result;
    pretend_source(rig, size_bytes);
    result = call(rig, control(rig), SIDE_OPEN);
    if (result < 0)
        return result;
    uint64_t chunks = div_ceil(size_bytes, CHUNK);
    for (uint64_t first = 0; first < chunks && result == 0; first += SLOTS) {
        for (uint64_t i = first; i < first + SLOTS && i < chunks; i++) {
            chunk_of(rig, &rig->slots[i % SLOTS], i, seed);
            side_start(rig->side, &rig->slots[i % SLOTS], SIDE_STORE);
        }
        result = drain(rig);
    }
    if (result == 0)
        result = call(rig, control(rig), SIDE_SYNC);
    return result == 0 ? call(rig, control(rig), SIDE_COMMIT) : result;
}

/* Pull the rig's source and compare it with what it should be. */
static inline int pull(struct rig *rig, uint64_t size_bytes, uint64_t seed)
{
    AUTO_FREE uint8_t *expected = filled(size_bytes, seed);
    int result = call(rig, control(rig), SIDE_OPEN);
    if (result < 0)
        return result;
    assert_int_equal(rig->job.facts[SIDE_SOURCE].size_bytes, size_bytes);
    uint64_t chunks = div_ceil(size_bytes, CHUNK);
    for (uint64_t first = 0; first < chunks && result == 0; first += SLOTS) {
        for (uint64_t i = first; i < first + SLOTS && i < chunks; i++) {
            range(rig, &rig->slots[i % SLOTS], i);
            memset(rig->slots[i % SLOTS].buffer, 0xee, CHUNK);
            side_start(rig->side, &rig->slots[i % SLOTS], SIDE_FETCH);
        }
        result = drain(rig);
        for (uint64_t i = first; result == 0 && i < first + SLOTS && i < chunks; i++) {
            const struct slot *slot = &rig->slots[i % SLOTS];
            struct digest digest = digest_of(expected + slot->offset, slot->length);
            assert_memory_equal(slot->buffer, expected + slot->offset, slot->length);
            assert_true(digest_equal(&slot->digest, &digest));
        }
    }
    return result == 0 ? call(rig, control(rig), SIDE_COMMIT) : result;
}

#endif
