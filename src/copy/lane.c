/* lane.c - one thread's worth of a copy: opens the ends of a lane, here or over a link, and runs
 * its pump. */
#include "haul/lane.h"

#include "haul/clock.h"
#include "haul/end_peer.h"
#include "haul/log.h"
#include "haul/num.h"
#include "haul/pump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const uint64_t sync_every_bytes_default = 256 * MIB;
static const uint64_t sync_every_ns_default = 5 * NS_PER_SECOND;

struct slot *lane_control(struct lane *lane)
{
    return &lane->slots[lane->slots_count];
}

/* Memory for what one SSH session may send ahead: little of it in a small budget. */
static uint32_t lane_window_bytes(const struct lane_config *config)
{
    uint64_t share_bytes = config->budget->limit_bytes / config->lanes / 2;
    return num_u32(clamp_u64(share_bytes, LINK_WINDOW_BYTES_MIN, LINK_WINDOW_BYTES));
}

static int lane_open_peer(struct lane *lane, const struct lane_config *config, enum end_role role,
                          struct error *err)
{
    const struct copy_wish *wish = config->wish;
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
    const struct end_peer_config peer = {
        .link = link,
        .hello =
            {
                .capabilities = wish->compress ? WIRE_CAN_PACK : 0,
                .session = config->session,
                .role = role,
                .engine = wish->engine,
                .log_level = log_level(),
                .lanes = config->lanes,
                .slots_count = lane->slots_count,
                .control_count = LANE_CONTROL_SLOTS,
                .jobs_max = LANE_JOBS_MAX,
                .chunk_bytes = lane->chunk_bytes,
            },
        .timeout_ns = wish->timeout_ns,
        .hello_timeout_ns =
            wish->link.connect_timeout_ns ? wish->link.connect_timeout_ns : wish->timeout_ns,
        .progress = config->progress,
        .control = config->control,
    };
    result = end_peer_open(&lane->ends[role], &peer, err);
    if (result < 0) {
        link_close(link);
        return result;
    }
    const struct wire_hello *agreed = end_peer_agreed(lane->ends[role]);
    lane->slots_count = (uint32_t)min_u64(lane->slots_count, agreed->slots_count);
    if (wish->chunk_bytes > agreed->chunk_bytes && lane->chunk_bytes > agreed->chunk_bytes)
        log_note("%s: chunks of %u bytes, there is no memory for larger ones",
                 config->addresses[role]->host, agreed->chunk_bytes);
    lane->chunk_bytes = (uint32_t)min_u64(lane->chunk_bytes, agreed->chunk_bytes);
    lane->lanes_most = (uint32_t)min_u64(lane->lanes_most, agreed->lanes);
    return 0;
}

static int lane_open_file(struct lane *lane, const struct lane_config *config, enum end_role role,
                          struct error *err)
{
    const struct end_file_config file = {
        .role = role,
        .engine =
            {
                .kind = config->wish->engine,
                .slab = lane->slab.base,
                .slab_bytes = lane->slab.length_bytes,
            },
        .slots_count = lane->slots_count + LANE_CONTROL_SLOTS,
        .window_bytes = config->budget->window_bytes,
        .windows_count = config->budget->windows_count,
        .windows_do_not_fit = !config->budget->windows_fit,
        .in_flight_bytes = (uint64_t)lane->slots_count * lane->chunk_bytes,
        .jobs_max = LANE_JOBS_MAX,
    };
    return end_file_open(&lane->ends[role], &file, err);
}

static int lane_open_slots(struct lane *lane, struct error *err)
{
    int result = slab_open(&lane->slab, lane->slots_count, lane->chunk_bytes, err);
    for (uint32_t i = 0; result == 0 && i <= lane->slots_count; i++) {
        bool control = i == lane->slots_count;
        lane->slots[i] = (struct slot){
            .index = i,
            .buffer = control ? NULL : slab_buffer(&lane->slab, i),
            .capacity = control ? 0 : lane->chunk_bytes,
        };
    }
    return result;
}

/* Peers first: what they can hold decides how large our own slots are. */
static int lane_open_ends(struct lane *lane, const struct lane_config *config, struct error *err)
{
    int result = 0;
    for (int role = 0; result == 0 && role < 2; role++) {
        if (lane->remote[role])
            result = lane_open_peer(lane, config, (enum end_role)role, err);
    }
    if (result == 0)
        result = lane_open_slots(lane, err);
    for (int role = 0; result == 0 && role < 2; role++) {
        if (!lane->remote[role])
            result = lane_open_file(lane, config, (enum end_role)role, err);
    }
    return result;
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
    lane->slots_count = config->budget->slots_count / config->lanes;
    lane->chunk_bytes = config->chunk_bytes ? config->chunk_bytes : config->budget->chunk_bytes;
    assert(lane->slots_count > 0 && lane->slots_count <= SLOTS_MAX);
    int result = lane_open_ends(lane, config, err);
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
    end_close(lane->ends[END_SOURCE]);
    end_close(lane->ends[END_TARGET]);
    slab_close(&lane->slab);
    free(lane);
}

int lane_call(struct lane *lane, enum end_role role, enum end_op op, struct error *err)
{
    struct slot *control = lane_control(lane);
    control->job = &lane->job;
    control->offset = 0;
    control->length = 0;
    return end_call(lane->ends[role], lane->ends[1 - role], control, op, err);
}

int lane_join(struct lane *lane, const struct job *lead, struct error *err)
{
    lane->job = *lead;
    lane->job.wish.join = true;
    lane->result = 0;
    lane->error.class = ERROR_NONE;
    lane->source_open = lane->target_open = false;
    lane->retired = false;
    if (lane->chunk_bytes < lead->chunk_bytes)
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "there is no memory for another lane on the other side");
    int result = lane_call(lane, END_SOURCE, END_OPEN, err);
    lane->source_open = result == 0;
    lane->job.facts[END_SOURCE].mode = lead->facts[END_SOURCE].mode; /* as it is wanted */
    if (result == 0 && evidence_compare(&lead->facts[END_SOURCE], &lane->job.facts[END_SOURCE]) ==
                           EVIDENCE_CHANGED)
        result = error_set_class(err, ERROR_CHANGED, ESTALE, "%s: changed while it was copied",
                                 lead->source_path);
    if (result == 0)
        result = lane_call(lane, END_TARGET, END_OPEN, err);
    lane->target_open = result == 0;
    return result;
}

bool lane_broken(const struct lane *lane)
{
    for (int role = 0; role < 2; role++) {
        if (lane->remote[role] && end_peer_broken(lane->ends[role]))
            return true;
    }
    return false;
}

bool lane_lost(struct lane *lane)
{
    struct slot *none;
    for (int role = 0; role < 2; role++) {
        if (lane->remote[role])
            (void)end_reap(lane->ends[role], &none, 1, false);
    }
    return lane_broken(lane);
}

void lane_run(struct lane *lane, struct plan *plan, const struct copy_wish *wish,
              struct progress *progress, struct control *control)
{
    uint64_t unsynced_bytes = 0;
    const struct pump_config config = {
        .source = lane->ends[END_SOURCE],
        .target = lane->ends[END_TARGET],
        .slots = lane->slots,
        .slots_count = lane->slots_count,
        .control_slot = lane_control(lane),
        .job = &lane->job,
        .plan = plan,
        .progress = progress,
        .control = control,
        .sync_every_bytes =
            wish->sync_every_set ? wish->sync_every_bytes : sync_every_bytes_default,
        .sync_every_ns = sync_every_ns_default,
        .retired = &lane->retired,
        .unsynced_bytes = &unsynced_bytes,
    };
    struct error ignored = {.class = ERROR_NONE};
    lane->error.class = ERROR_NONE;
    lane->result = pump_run(&config, &lane->error);
    /* What this lane's end has stored must not depend on another lane's sync: it is in no other
     * journal. */
    bool sync = !lane->job.wish.compare_only && (lane->job.wish.join || lane->result < 0);
    if (sync &&
        lane_call(lane, END_TARGET, END_SYNC, lane->result < 0 ? &ignored : &lane->error) == 0)
        progress->bytes_durable += unsynced_bytes;
    if (lane->result == 0 && error_is_set(&lane->error))
        lane->result = -lane->error.errnum;
    /* A lost link is this lane's own trouble; everything else is everybody's. */
    if (lane->result < 0 && !lane_broken(lane))
        plan_cancel(plan);
}

void lane_abandon(struct lane *lane)
{
    struct error ignored = {.class = ERROR_NONE};
    (void)lane_call(lane, END_SOURCE, END_ABANDON, &ignored);
    (void)lane_call(lane, END_TARGET, END_ABANDON, &ignored);
    lane->source_open = lane->target_open = false;
}
