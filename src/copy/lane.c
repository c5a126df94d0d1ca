/* lane.c - one thread's worth of a copy: opens the sides of a lane, here or over a link, and runs
 * its pump. */
#include "haul/copy/lane.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/copy/choice.h"
#include "haul/wire/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A single file needs no room for others ... */
static uint32_t lane_jobs_max(const struct lane_config *config)
{
    return config->wish->alone ? LANE_JOBS_ALONE : LANE_JOBS_MAX;
}

static bool lane_is_far(const struct lane *lane)
{
    return lane->remote[SIDE_SOURCE] || lane->remote[SIDE_TARGET];
}

/* ... and what goes as a whole needs windows. */
static uint32_t lane_small_most(const struct lane *lane, const struct lane_config *config)
{
    if (!config->wish->many || !config->budget->windows_fit)
        return 0;
    return lane_is_far(lane) ? LANE_SMALL_MAX : LANE_SMALL_HERE;
}

static const uint64_t sync_every_bytes_default = 256 * MIB;
static const uint64_t sync_every_ns_default = 5 * NS_PER_SECOND;

/* Memory for what one SSH session may send ahead: little of it in a small budget. */
static uint32_t lane_window_bytes(const struct lane_config *config)
{
    uint64_t share_bytes = config->budget->limit_bytes / config->lanes / 2;
    return num_u32(clamp_u64(share_bytes, LINK_WINDOW_BYTES_MIN, LINK_WINDOW_BYTES));
}

static int lane_open_peer(struct lane *lane, const struct lane_config *config, enum side_role role,
                          struct error *err)
{
    const struct copy_wish *wish = config->wish;
    const bool looks = role == SIDE_TARGET && choice_goes_by_target(&wish->choice);
    struct link *link = NULL;
    char command[4096 + 16];
    int length = snprintf(command, sizeof(command), "%s --server",
                          wish->remote_path ? wish->remote_path : "haul");
    if (length >= (int)sizeof(command)) /* half a command is another command */
        return error_set_class(err, ERROR_USAGE, E2BIG, "--remote-path: too long");
    struct link_options options = wish->link;
    options.address = config->addresses[role];
    options.remote_command = command;
    options.memory = config->memory;
    options.silence_timeout_ns = wish->timeout_ns;
    options.window_bytes = lane_window_bytes(config);
    int result = link_open(&link, &options, err);
    if (result < 0)
        return result;
    const struct peer_config peer = {
        .link = link,
        .hello =
            {
                .capabilities = (wish->compress ? WIRE_CAN_PACK : 0) |
                                (wish->own_cgroup ? WIRE_OWN_CGROUP : 0) | (looks ? WIRE_TELLS : 0),
                .session = config->session,
                .role = role,
                .engine = wish->engine,
                .log_level = log_level(),
                .lanes = config->lanes,
                .slots_count = lane->slots_count,
                .control_count = lane->control_count,
                .jobs_max = lane->control_count,
                .chunk_bytes = lane->chunk_bytes,
            },
        .timeout_ns = wish->timeout_ns,
        /* starting a program on a busy machine is no silence: it is a part of connecting */
        .hello_timeout_ns = wish->link.connect_timeout_ns,
        .progress = config->progress,
        .control = config->control,
    };
    result = peer_open(&lane->pump.sides[role], &peer, err);
    if (result < 0) {
        link_close(link);
        return result;
    }
    const struct wire_hello *agreed = peer_agreed(lane->pump.sides[role]);
    lane->slots_count = (uint32_t)min_u64(lane->slots_count, agreed->slots_count);
    if (lane->slots_count < 2) /* a file's journal is read into one and put in order in another */
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: has room for one chunk only",
                               config->addresses[role]->host);
    if (wish->own_cgroup && !config->pool->slab.base && !(agreed->capabilities & WIRE_OWN_CGROUP))
        log_note("%s: --own-cgroup does nothing there: haul has no memory cgroup to itself (-v "
                 "says why)",
                 config->addresses[role]->host);
    if (wish->chunk_bytes > agreed->chunk_bytes && lane->chunk_bytes > agreed->chunk_bytes)
        log_note("%s: chunks of %u bytes, there is no memory for larger ones",
                 config->addresses[role]->host, agreed->chunk_bytes);
    lane->chunk_bytes = (uint32_t)min_u64(lane->chunk_bytes, agreed->chunk_bytes);
    lane->lanes_most = (uint32_t)min_u64(lane->lanes_most, agreed->lanes);
    lane->jobs_most = (uint32_t)min_u64(lane->jobs_most, agreed->jobs_max);
    return 0;
}

/* The first lane of an automatic number borrows, the others get what is theirs. */
static uint32_t lane_slots_most(const struct lane_config *config)
{
    bool alone = config->wish->lanes == 0 && !config->pool->slab.base;
    return config->budget->slots_count / (alone ? 1 : config->lanes);
}

static int lane_open_file(struct lane *lane, const struct lane_config *config, enum side_role role,
                          struct error *err)
{
    const struct local_config file = {
        .role = role,
        .engine =
            {
                .kind = config->wish->engine,
                .slab = slab_buffer(&lane->pool->slab, lane->slots_first),
                .slab_bytes = (size_t)lane->slots_count * lane->pool->slab.slot_bytes,
            },
        .slots_count = lane->slots_count + lane->control_count,
        .window_bytes = config->budget->window_bytes,
        .windows_count = config->budget->windows_count,
        .windows_do_not_fit = !config->budget->windows_fit,
        .in_flight_bytes = (uint64_t)lane->slots_count * lane->chunk_bytes,
        .jobs_max = lane_jobs_max(config),
        .small_max = lane->small_most,
        .source = role == SIDE_TARGET && !lane->remote[SIDE_SOURCE] ? lane->pump.sides[SIDE_SOURCE]
                                                                    : NULL,
        .kernel = config->kernel,
        .told = config->told,
    };
    return local_open(&lane->pump.sides[role], &file, err);
}

/* The last parts first: the first lane's own are the first ones. */
static uint32_t lane_take_part(struct lane_pool *pool, uint32_t lanes)
{
    uint32_t part = pool->taken[0] ? lanes - 1 : 0;
    while (part > 0 && pool->taken[part])
        part--;
    assert(!pool->taken[part]);
    pool->taken[part] = true;
    return part;
}

static int lane_open_slots(struct lane *lane, const struct lane_config *config, struct error *err)
{
    uint32_t part_slots = config->budget->slots_count / config->lanes;
    struct lane_pool *pool = config->pool;
    if (!pool->slab.base) {
        uint32_t count = config->lanes > 1 ? config->budget->slots_count : lane->slots_count;
        int result = slab_open(&pool->slab, count, lane->chunk_bytes, err);
        if (result < 0)
            return result;
    }
    lane->part = lane_take_part(pool, config->lanes);
    lane->pool = pool;
    lane->slots_first = lane->part * part_slots;
    uint32_t digests_bytes = lane->chunk_bytes / BLOCKS_SIZE * BLOCKS_DIGEST_BYTES;
    lane->digests = malloc((size_t)lane->slots_count * digests_bytes);
    if (!lane->digests)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a lane");
    /* The rest is zeros, and a page of it is not touched before it is needed. */
    for (uint32_t i = 0; i < lane->slots_count + lane->control_count; i++)
        lane->slots[i].error = &lane->errors[i];
    for (uint32_t i = 0; i < lane->slots_count; i++) {
        lane->slots[i].buffer = slab_buffer(&pool->slab, lane->slots_first + i);
        lane->slots[i].capacity = lane->chunk_bytes;
        lane->slots[i].digests = lane->digests + (size_t)i * digests_bytes;
        lane->slots[i].set = lane->sets[i];
    }
    uint32_t pockets = lane->small_most > 0 && lane_is_far(lane) ? LANE_POCKETS : 0;
    return pockets_open(&lane->pockets, pockets, WIRE_POCKET_BYTES) == 0
               ? 0
               : error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a lane");
}

/* Peers first: what they can hold decides how large our own slots are. */
static int lane_open_ends(struct lane *lane, const struct lane_config *config, struct error *err)
{
    int result = 0;
    for (int role = 0; result == 0 && role < 2; role++) {
        if (lane->remote[role])
            result = lane_open_peer(lane, config, (enum side_role)role, err);
    }
    if (result == 0)
        result = lane_open_slots(lane, config, err);
    for (int role = 0; result == 0 && role < 2; role++) {
        if (!lane->remote[role])
            result = lane_open_file(lane, config, (enum side_role)role, err);
    }
    return result;
}

static void lane_set_pump(struct lane *lane, const struct lane_config *config)
{
    const struct copy_wish *wish = config->wish;
    struct pump *pump = &lane->pump;
    pump->slots = lane->slots;
    pump->slots_count = lane->slots_count;
    pump->control_count = lane->control_count;
    pump->carries_count = lane->small_most > 0 && !lane_is_far(lane) ? LANE_CARRIES : 0;
    pump->pockets = lane->pockets.free_count > 0 ? &lane->pockets : NULL;
    pump->source_lends = lane->remote[SIDE_SOURCE];
    pump->control = config->control;
    pump->sync_every_bytes =
        wish->sync_every_set ? wish->sync_every_bytes : sync_every_bytes_default;
    pump->sync_every_ns = sync_every_ns_default;
}

int lane_open(struct lane **out, const struct lane_config *config, struct error *err)
{
    struct lane *lane = calloc(1, sizeof(*lane));
    if (!lane)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a lane");
    for (int role = 0; role < 2; role++) {
        const struct address *address = config->addresses[role];
        lane->remote[role] = address && address->kind == ADDRESS_REMOTE;
    }
    lane->lanes_most = config->lanes;
    lane->small_most = lane_small_most(lane, config);
    lane->control_count = lane->jobs_most = lane_jobs_max(config) + lane->small_most;
    lane->slots_count = lane_slots_most(config);
    lane->chunk_bytes = config->chunk_bytes ? config->chunk_bytes : config->budget->chunk_bytes;
    assert(lane->slots_count >= 2 && lane->slots_count <= SLOTS_MAX);
    int result = lane_open_ends(lane, config, err);
    lane_set_pump(lane, config);
    if (result < 0) {
        lane_close(lane);
        return result;
    }
    *out = lane;
    return 0;
}

void lane_close(struct lane *lane)
{
    if (!lane)
        return;
    side_close(lane->pump.sides[SIDE_TARGET]); /* which may be reading by the source's means */
    side_close(lane->pump.sides[SIDE_SOURCE]);
    life_close(&lane->helper); /* that of a lost lane was not ended, nor was one that took over */
    if (lane->pool)
        lane->pool->taken[lane->part] = false;
    free(lane->digests);
    pockets_close(&lane->pockets);
    free(lane);
}

static void lane_turn(struct lane *lane)
{
    struct pump *pump = &lane->pump;
    if (!pump_turn(pump))
        pump_wait(&pump, 1);
}

int lane_join(struct lane *lane, const struct life *lead, struct error *err)
{
    struct life *helper = &lane->helper;
    const struct life_start room = {
        .names = lane->helper_names,
        .words = lane->helper_words,
        .error = &lane->helper_error,
    };
    life_close(helper);
    life_help(helper, lead, lane->chunk_bytes, &room);
    pump_add(&lane->pump, helper);
    while (helper->state != LIFE_COPYING && helper->state != LIFE_PARKED)
        lane_turn(lane);
    return helper->result < 0 ? error_take(err, helper->error) : 0;
}

void lane_run(struct lane *lane)
{
    while (lane->helper.state != LIFE_PARKED)
        lane_turn(lane);
}

void lane_leave(struct lane *lane)
{
    life_release(&lane->helper);
    while (!life_ended(&lane->helper))
        lane_turn(lane);
}

bool lane_lend(struct lane *lane, uint32_t first)
{
    struct pump *pump = &lane->pump;
    uint32_t end = lane->slots_first + lane->slots_count;
    uint32_t count = first > lane->slots_first && first < end ? end - first : 0;
    pump->lend_count = count;
    return pump->lent_count >= count;
}

void lane_look(struct lane *lane)
{
    for (int role = 0; role < 2; role++) {
        if (lane->remote[role])
            peer_look(lane->pump.sides[role]);
    }
}

struct peer_idle lane_far_idle(const struct lane *lane)
{
    struct peer_idle least = {NUM_UNKNOWN, UINT32_MAX};
    for (int role = 0; role < 2; role++) {
        if (!lane->remote[role])
            continue;
        struct peer_idle idle = peer_idle(lane->pump.sides[role]);
        least.permille = min_u64(least.permille, idle.permille);
        least.answers_count = (uint32_t)min_u64(least.answers_count, idle.answers_count);
    }
    return least;
}

uint64_t lane_round_trip_ns(const struct lane *lane)
{
    uint64_t longer_ns = 0;
    for (int role = 0; role < 2; role++) {
        if (lane->remote[role])
            longer_ns = max_u64(longer_ns, peer_round_trip_ns(lane->pump.sides[role]));
    }
    return longer_ns;
}

bool lane_helps(const struct lane *lane, uint32_t number)
{
    return lane && lane->helper.kind == LIFE_HELP && !life_ended(&lane->helper) &&
           lane->helper.job.number == number;
}

bool lane_broken(const struct lane *lane)
{
    return (lane->remote[SIDE_SOURCE] && lane->pump.sides[SIDE_SOURCE]->broken) ||
           (lane->remote[SIDE_TARGET] && lane->pump.sides[SIDE_TARGET]->broken);
}

bool lane_may_redial(const struct lane *lane)
{
    for (int role = 0; role < 2; role++) {
        const struct side *side = lane->pump.sides[role];
        if (lane->remote[role] && side->broken && !side->lost)
            return false;
    }
    return lane_broken(lane);
}

/* The other side may have less room than before. */
static void lane_fit(struct lane *lane, uint32_t slots_count)
{
    for (uint32_t i = 0; i < slots_count; i++) {
        struct slot *slot = &lane->slots[i];
        bool kept = i < lane->slots_count;
        slot->capacity = kept ? lane->chunk_bytes : 0;
        slot->buffer = kept ? slot->buffer : NULL;
        slot->digests = kept ? slot->digests : NULL;
    }
    lane->pump.slots_count = lane->slots_count;
}

static int lane_redial_one(struct lane *lane, const struct lane_config *config, enum side_role role,
                           struct error *err)
{
    struct side **side = &lane->pump.sides[role], *lost = *side;
    const uint32_t slots_count = lane->slots_count, chunk_bytes = lane->chunk_bytes;
    *side = NULL;
    int result = lane_open_peer(lane, config, role, err);
    if (result == 0) {
        lane_fit(lane, slots_count);
        side_close(lost);
        return 0;
    }
    side_close(*side);
    *side = lost;
    lane->slots_count = slots_count;
    lane->chunk_bytes = chunk_bytes;
    return result;
}

int lane_redial(struct lane *lane, const struct lane_config *config, struct error *err)
{
    int result = 0;
    assert(pump_is_empty(&lane->pump));
    for (int role = 0; result == 0 && role < 2; role++) {
        if (lane->remote[role] && lane->pump.sides[role]->broken)
            result = lane_redial_one(lane, config, (enum side_role)role, err);
    }
    return result;
}

bool lane_lost(struct lane *lane)
{
    struct slot *none;
    for (int role = 0; role < 2; role++) {
        if (lane->remote[role])
            (void)side_reap(lane->pump.sides[role], &none, 1, false);
    }
    return lane_broken(lane);
}
