/* test_tour.c - trees between two sides that only keep a list of what they were asked: what comes
 * before what, what waits for what, and what becomes of failures. They give back in any order. */
#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/copy/tour.h"
#include "haul/disk/entry.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SLOTS = 4, CONTROLS = 32, CHUNK_BYTES = 64 * 1024, LINES_MAX = 32768, NAMES_MAX = 64 };

struct world;

struct fake {
    struct side side;
    struct world *world;
    struct slot *pending[SLOTS + CONTROLS];
    uint32_t pending_count;
};

struct world {
    struct fake sides[2];
    struct slot slots[SLOTS + CONTROLS];
    struct error errors[SLOTS + CONTROLS];
    uint8_t *memory;
    struct pump pump;
    struct control control;
    struct copy_wish wish;
    struct budget budget;
    struct address addresses[2];
    struct life_run run;
    struct progress progress;
    uint32_t numbers;
    struct tour *tour;
    unsigned int seed;

    /* The script. */
    uint8_t walk[1 << 20];
    struct bytes told; /* entries, all of them */
    uint32_t told_bytes;
    uint32_t told_ns;    /* the time of linked ones */
    uint32_t walk_bytes; /* given in one WALK */
    uint32_t scripts[4]; /* where a telling of them begins, of which each walk takes the next ... */
    uint32_t scripts_count; /* ... or the last once more: that has this number */
    uint32_t scripts_told;
    uint32_t cut_after;           /* operations of the source its link is lost; 0: it is not ... */
    enum side_role cut_role;      /* ... or of the target ... */
    bool cut_done;                /* ... and what the last one has done is not told */
    uint32_t stop_after;          /* operations in all we are to stop; 0: we are not */
    bool far;                     /* the target: what is asked of it before its folder is there
                                     fails, as there is no order here */
    uint32_t early_count;         /* ... and so many were */
    struct tour_links *links;     /* of several tours; or NULL */
    const char *there[NAMES_MAX]; /* at the target */
    uint32_t there_count;
    uint32_t list_names; /* at a time, and a cookie counts those that are there; 0: all at once */
    uint64_t removed_count;
    struct tour_source sources[3]; /* of the run */
    uint32_t sources_count, root;  /* 0: that of the first */
    struct spill *moved;
    const char *elsewhere[NAMES_MAX]; /* the last one has these */
    uint32_t elsewhere_count;
    int elsewhere_errno;   /* it cannot say whether it has */
    char *gone[LINES_MAX]; /* from the source */
    uint32_t gone_count;
    const char *fails[NAMES_MAX]; /* "make PATH": that fails, with fail_errno */
    int fail_errno;
    uint32_t fail_count;

    /* What came of it: "make a", "adjust a", "copy a/b" ..., and events "! error a". */
    char *lines[LINES_MAX];
    uint32_t lines_count;
    uint32_t files_count, failed_count, removed_told_count;
    uint64_t held_back;
    struct outcome outcome;
};

static void note(struct world *world, const char *what, const char *path)
{
    assert_true(world->lines_count < LINES_MAX);
    assert_true(asprintf(&world->lines[world->lines_count++], "%s %s", what, path) > 0);
}

/* Where a line is; LINES_MAX: nowhere. */
static uint32_t line_of(const struct world *world, const char *line)
{
    for (uint32_t i = 0; i < world->lines_count; i++) {
        if (strcmp(world->lines[i], line) == 0)
            return i;
    }
    return LINES_MAX;
}

static bool said(const struct world *world, const char *line)
{
    return line_of(world, line) < LINES_MAX;
}

static void assert_before(const struct world *world, const char *first, const char *then)
{
    if (!said(world, first) || !said(world, then) ||
        line_of(world, first) >= line_of(world, then)) {
        for (uint32_t i = 0; i < world->lines_count; i++)
            print_message("%s\n", world->lines[i]);
        fail_msg("not first \"%s\", then \"%s\"", first, then);
    }
}

static bool is_one_of(const char *const *paths, uint32_t count, const char *path)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(paths[i], path) == 0)
            return true;
    }
    return false;
}

static bool target_has(const struct world *world, const char *path)
{
    return is_one_of(world->there, world->there_count, path);
}

/* ---- the sides ---- */

static const char *op_word(enum side_op op)
{
    switch (op) {
    case SIDE_MAKE:
        return "make";
    case SIDE_ADJUST:
        return "adjust";
    case SIDE_REMOVE:
        return "remove";
    case SIDE_COMMIT:
        return "commit";
    case SIDE_OPEN:
        return "open";
    case SIDE_SYNC:
        return "sync";
    case SIDE_ABANDON:
        return "abandon";
    case SIDE_LIST:
        return "list";
    case SIDE_DESCRIBE:
        return "describe";
    default:
        return "ask";
    }
}

static void fake_list(struct world *world, struct slot *slot)
{
    struct bytes out = bytes_writer(slot->buffer, slot->length);
    const char *folder = slot->job->target_path;
    size_t length = strlen(folder);
    uint64_t number = 0;
    for (uint32_t i = 0; i < world->there_count; i++) {
        const char *name = world->there[i];
        if (world->list_names > 0 && (number++ < slot->offset || !name[0]))
            continue;
        if (world->list_names > 0 && number > slot->offset + world->list_names) {
            slot->extent_start = number - 1;
            break;
        }
        if (length > 0 && (strncmp(name, folder, length) != 0 || name[length] != '/'))
            continue;
        name += length > 0 ? length + 1 : 0;
        const struct entry entry = {
            .type = ENTRY_NAME, .name = name, .facts = {.kind = FILE_REGULAR}};
        if (!strchr(name, '/') && name[0])
            assert_true(entry_pack(&out, &entry));
    }
    slot->count = (uint32_t)out.length;
}

/* As a file system that counts: those behind it move up. */
static void fake_remove(struct world *world, const char *path)
{
    uint32_t i = 0;
    while (i < world->there_count && strcmp(world->there[i], path) != 0)
        i++;
    if (world->list_names == 0 || i == world->there_count)
        return;
    world->there_count--;
    memmove(world->there + i, world->there + i + 1,
            (world->there_count - i) * sizeof(*world->there));
}

/* The source has what begins with s and has not left it. */
static void fake_missing(const struct world *world, struct slot *slot)
{
    const char *const *gone = (const char *const *)world->gone;
    static uint8_t kept[CHUNK_BYTES];
    struct bytes in = bytes_reader(slot->buffer, slot->length);
    struct bytes out = bytes_writer(kept, sizeof(kept));
    struct entry entry;
    while (entry_unpack(&in, &entry, NULL) > 0) {
        AUTO_FREE char *path = text_join_path(slot->job->source_path, entry.name);
        if (entry.name[0] != 's' || is_one_of(gone, world->gone_count, path))
            assert_true(entry_pack(&out, &entry));
    }
    memcpy(slot->buffer, kept, out.length);
    slot->count = (uint32_t)out.length;
}

static void fake_walk(struct world *world, struct slot *slot)
{
    uint32_t first = (uint32_t)world->told.position;
    uint32_t end = (uint32_t)min_u64(first + world->walk_bytes, world->told.length);
    struct bytes in = bytes_reader(world->walk, world->told.length);
    struct entry entry;
    in.position = first;
    do /* whole ones */
        assert_true(entry_unpack(&in, &entry, NULL) >= 0);
    while (in.position < end);
    assert_true(in.position - first <= slot->length);
    slot->count = (uint32_t)(in.position - first);
    memcpy(slot->buffer, world->walk + first, slot->count);
    world->told.position = in.position;
    slot->extent_start = in.position < world->told.length;
}

static void fake_tour(struct world *world)
{
    uint32_t which = (uint32_t)min_u64(world->scripts_told++, world->scripts_count);
    world->told.position = world->scripts[which];
    world->told.length =
        which < world->scripts_count ? world->scripts[which + 1] : world->told_bytes;
}

/* All that it is asked for comes to nothing. */
static bool fake_is_cut(struct fake *fake, struct slot *slot)
{
    struct world *world = fake->world;
    if (fake->side.role != world->cut_role || world->cut_after == 0)
        return false;
    if (!fake->side.broken && --world->cut_after > 0)
        return false;
    if (world->cut_done && !fake->side.broken && slot->op == SIDE_REMOVE)
        fake_remove(world, slot->job->target_path);
    world->cut_after = 1;
    fake->side.broken = fake->side.lost = true;
    slot->result = error_set_class(slot->error, ERROR_SOCKET, EPIPE, "the link is lost");
    return true;
}

static bool fake_is_early(struct world *world, const struct slot *slot)
{
    char made[512];
    const char *path = slot->job->target_path, *slash = strrchr(path, '/');
    snprintf(made, sizeof(made), "make %.*s", slash ? (int)(slash - path) : 0, path);
    bool early = world->far && slash && (slot->op == SIDE_MAKE || slot->op == SIDE_OPEN) &&
                 !said(world, made);
    world->early_count += early;
    return early;
}

static const char *done_word(const struct slot *slot)
{
    const struct job *job = slot->job;
    if (slot->result < 0)
        return "failed";
    if (job->wish.dry && slot->op == SIDE_MAKE)
        return "would make";
    if (job->wish.dry && slot->op == SIDE_REMOVE)
        return "would remove";
    return job->hard_link ? "link" : op_word(slot->op);
}

static void fake_do(struct fake *fake, struct slot *slot)
{
    struct world *world = fake->world;
    struct job *job = slot->job;
    bool target = fake->side.role == SIDE_TARGET;
    char line[512];
    if (world->stop_after > 0 && --world->stop_after == 0)
        world->control.stop = true;
    if (fake_is_cut(fake, slot))
        return;
    snprintf(line, sizeof(line), "%s %s", op_word(slot->op),
             target ? job->target_path : job->source_path);
    for (uint32_t i = 0; i < world->fail_count; i++) {
        if (strcmp(world->fails[i], line) == 0)
            slot->result = error_set(slot->error, world->fail_errno, "%s", line);
    }
    if (target && slot->result == 0 && fake_is_early(world, slot))
        slot->result = error_set(slot->error, ENOENT, "%s", line);
    if (target && slot->op != SIDE_DESCRIBE && slot->op != SIDE_OPEN)
        note(world, done_word(slot), job->target_path);
    if (slot->result < 0)
        return;
    switch (slot->op) {
    case SIDE_TOUR:
        fake_tour(world);
        break;
    case SIDE_WALK:
        fake_walk(world, slot);
        break;
    case SIDE_LIST:
        fake_list(world, slot);
        break;
    case SIDE_MISSING:
        fake_missing(world, slot);
        break;
    case SIDE_MAKE:
        job->made = target_has(world, job->target_path) ? JOB_UNCHANGED : JOB_CREATED;
        job->facts[SIDE_TARGET] = job->facts[SIDE_SOURCE];
        job->facts[SIDE_TARGET].inode += 1000000; /* it looks the same, and is not */
        if (job->made == JOB_CREATED)
            job->facts[SIDE_TARGET].kind = FILE_NONE;
        break;
    case SIDE_REMOVE:
        if (target && !job->wish.dry)
            fake_remove(world, job->target_path);
        else if (!target)
            assert_non_null(world->gone[world->gone_count++] = strdup(job->source_path));
        break;
    case SIDE_DESCRIBE:
        job->facts[fake->side.role] = (struct facts){.kind = FILE_NONE};
        if (target && world->list_names > 0 && target_has(world, job->target_path))
            job->facts[SIDE_TARGET].kind = FILE_REGULAR;
        if (!target && job->roots[SIDE_SOURCE].number == 3 && world->elsewhere_errno != 0)
            slot->result = error_set(slot->error, world->elsewhere_errno, "%s", line);
        if (!target && job->roots[SIDE_SOURCE].number == 3 &&
            is_one_of(world->elsewhere, world->elsewhere_count, job->source_path))
            job->facts[SIDE_SOURCE].kind = FILE_REGULAR;
        break;
    case SIDE_OPEN:
        job->facts[fake->side.role] = (struct facts){.kind = FILE_REGULAR};
        job->target_fresh = job->target_readable = true;
        break;
    default:
        break;
    }
}

static void fake_start(struct side *side, struct slot *slot)
{
    struct fake *fake = (struct fake *)side;
    assert_true(fake->pending_count < SLOTS + CONTROLS);
    fake->pending[fake->pending_count++] = slot;
}

static int fake_reap(struct side *side, struct slot **out, uint32_t max, bool wait)
{
    struct fake *fake = (struct fake *)side;
    (void)wait;
    if (fake->pending_count == 0 || max == 0)
        return 0;
    uint32_t which = (uint32_t)rand_r(&fake->world->seed) % fake->pending_count;
    out[0] = fake->pending[which];
    fake->pending[which] = fake->pending[--fake->pending_count];
    fake_do(fake, out[0]);
    return 1;
}

static int fake_wait_fd(struct side *side, short *events)
{
    (void)side;
    *events = POLLIN;
    return -1;
}

static void fake_close(struct side *side)
{
    (void)side;
}

static const struct side_ops fake_ops = {fake_start, fake_reap, fake_wait_fd, fake_close};

/* ---- the script ---- */

static void tell(struct world *world, enum entry_type type, const char *name, enum file_kind kind)
{
    const struct entry entry = {
        .type = type,
        .name = name,
        .text = kind == FILE_LINK ? "there" : "words",
        .errnum = EACCES,
        .complete = type != ENTRY_ERROR,
        .facts = {.kind = kind,
                  .mode = kind == FILE_FOLDER ? 0755 : 0644,
                  .mtime_seconds = 1,
                  .links = 1,
                  .inode = 1000 + world->told.length},
    };
    assert_true(entry_pack(&world->told, &entry));
}

static void tell_linked(struct world *world, const char *name, uint64_t inode, uint32_t links)
{
    const struct entry entry = {
        .type = ENTRY_FOUND,
        .name = name,
        .facts = {.kind = FILE_REGULAR, .inode = inode, .links = links, .mtime_ns = world->told_ns},
    };
    assert_true(entry_pack(&world->told, &entry));
}

static struct world *world_open(unsigned int seed)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->memory = calloc(SLOTS, CHUNK_BYTES);
    for (uint32_t i = 0; i < SLOTS; i++) {
        world->slots[i].buffer = world->memory + i * (size_t)CHUNK_BYTES;
        world->slots[i].capacity = CHUNK_BYTES;
    }
    for (int role = 0; role < 2; role++) {
        world->sides[role].side = (struct side){.ops = &fake_ops, .role = (enum side_role)role};
        world->sides[role].world = world;
        world->pump.sides[role] = &world->sides[role].side;
    }
    for (size_t i = 0; i < COUNT_OF(world->slots); i++)
        world->slots[i].error = &world->errors[i];
    world->pump.slots = world->slots;
    world->pump.slots_count = SLOTS;
    world->pump.control_count = CONTROLS;
    world->pump.control = &world->control;
    world->budget.memory_bytes = SLOTS * CHUNK_BYTES;
    world->run = (struct life_run){.wish = &world->wish,
                                   .budget = &world->budget,
                                   .addresses = world->addresses,
                                   .control = &world->control,
                                   .lanes = 1};
    world->wish.tour = (struct tour_wish){.recursive = true, .links = true, .hard_links = true};
    world->told = bytes_writer(world->walk, sizeof(world->walk));
    world->walk_bytes = 1;
    world->seed = seed;
    return world;
}

static void world_close(struct world *world)
{
    tour_close(world->tour);
    tour_links_close(world->links);
    spill_close(world->moved);
    for (uint32_t i = 0; i < world->gone_count; i++)
        free(world->gone[i]);
    for (uint32_t i = 0; i < world->lines_count; i++)
        free(world->lines[i]);
    free(world->memory);
    free(world);
}

static void world_event(struct world *world, const struct tour_event *event)
{
    static const char *const words[] = {
        [TOUR_FILE] = "! file", [TOUR_MADE] = "! made",    [TOUR_REMOVED] = "! removed",
        [TOUR_PAST] = "! past", [TOUR_FAILED] = "! error", [TOUR_OVER] = "! over",
    };
    bool failed = event->kind == TOUR_FILE && !outcome_good(&event->life->outcome);
    note(world, failed ? "! failed" : words[event->kind], event->path);
    world->files_count += event->kind == TOUR_FILE && !failed;
    world->removed_told_count += event->kind == TOUR_REMOVED;
    world->failed_count += failed || event->kind == TOUR_FAILED;
    if (event->kind == TOUR_OVER)
        world->outcome = event->outcome;
    world->held_back += event->held_back;
}

/* What follows is told the next time. */
static void tell_again(struct world *world)
{
    world->scripts[++world->scripts_count] = (uint32_t)world->told.length;
}

/* There is a link again, and what had come of the old one has come. */
static void world_go_on(struct world *world)
{
    struct side *side = &world->sides[world->cut_role].side;
    bool lost[2] = {false, false};
    if (!tour_is_cut_off(world->tour) || !pump_is_empty(&world->pump))
        return;
    side->broken = side->lost = false;
    lost[world->cut_role] = true;
    world->cut_after = 0;
    tour_go_on(world->tour, &world->pump, CHUNK_BYTES, lost);
}

static void world_run(struct world *world, const char *path)
{
    const bool redials = true;
    const struct tour_config config = {
        .run = &world->run,
        .chunk_bytes = CHUNK_BYTES,
        .numbers = &world->numbers,
        .progress = &world->progress,
        .removed_count = &world->removed_count,
        .links = world->links,
        .moved = world->moved,
        .redials = &redials,
    };
    const struct tour_start start = {
        .roots = {{world->root > 0 ? world->root : 1, "/source"}, {9, "/target"}},
        .path = path,
        .sources = world->sources,
        .sources_count = world->sources_count,
    };
    struct tour_event event = {.kind = TOUR_FILE};
    if (world->told_bytes == 0) {
        world->told_bytes = (uint32_t)world->told.length;
        world->told = bytes_reader(world->walk, world->told.length);
    }
    tour_close(world->tour);
    world->tour = tour_open(&config, &start);
    assert_non_null(world->tour);
    for (uint32_t turns = 0; event.kind != TOUR_OVER; turns++) {
        assert_true(turns < 1000000);
        tour_turn(world->tour, &world->pump);
        world_go_on(world);
        pump_turn(&world->pump);
        for (struct life *life = world->pump.lives.first; life; life = life->next) {
            if (life->state == LIFE_WAITING)
                life_admit(life);
        }
        while (event.kind != TOUR_OVER && tour_event(world->tour, &event))
            world_event(world, &event);
    }
    assert_int_equal(world->pump.busy_count, 0);
    assert_null(world->pump.lives.first);
}

/* Whatever does that ("make PATH") fails so, besides what was said before. */
static void world_fails(struct world *world, const char *line, int errnum)
{
    assert_true(world->fail_count < NAMES_MAX);
    world->fails[world->fail_count++] = line;
    world->fail_errno = errnum;
}

static void world_go_far(struct world *world)
{
    world->far = true;
    world->addresses[SIDE_TARGET].kind = ADDRESS_REMOTE;
}

enum { SEEDS = 40 };

/* ---- the tests ---- */

static void folders_come_first_and_are_finished_last(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "file", FILE_REGULAR);
        tell(world, ENTRY_FOUND, "link", FILE_LINK);
        tell(world, ENTRY_ENTER, "b", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "deep", FILE_REGULAR);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_ENTER, "c", FILE_FOLDER);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world->walk_bytes = seed % 2 == 0 ? 1 : 4096;
        world_run(world, "a");
        assert_before(world, "make a", "make a/link");
        assert_before(world, "make a", "commit a/file");
        assert_before(world, "make a", "make a/b");
        assert_before(world, "make a/b", "commit a/b/deep");
        assert_before(world, "commit a/b/deep", "adjust a/b");
        assert_before(world, "adjust a/b", "adjust a");
        assert_before(world, "adjust a/c", "adjust a");
        assert_before(world, "commit a/file", "adjust a");
        assert_before(world, "make a/link", "adjust a/link");
        assert_before(world, "adjust a/link", "adjust a");
        assert_before(world, "adjust a", "sync ");
        assert_int_equal(world->files_count, 2);
        assert_int_equal(world->failed_count, 0);
        assert_int_equal(world->outcome.kind, OUTCOME_DURABLE);
        world_close(world);
    }
}

static void what_is_there_already_is_left_alone(void **state)
{
    struct world *world = world_open(1);
    (void)state;
    tell(world, ENTRY_ENTER, "", FILE_FOLDER);
    tell(world, ENTRY_FOUND, "link", FILE_LINK);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world->there[0] = "";
    world->there[1] = "link";
    world->there_count = 2;
    world_run(world, "");
    assert_false(said(world, "adjust ") || said(world, "adjust link"));
    assert_false(said(world, "sync "));
    assert_int_equal(world->outcome.kind, OUTCOME_UP_TO_DATE);
    world_close(world);
}

static void a_folder_that_cannot_be_made_is_left_out(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell(world, ENTRY_ENTER, "bad", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "in", FILE_REGULAR);
        tell(world, ENTRY_ENTER, "deeper", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "in", FILE_LINK);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_FOUND, "good", FILE_REGULAR);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world_fails(world, "make a/bad", EACCES);
        world_run(world, "a");
        assert_true(said(world, "! error a/bad"));
        assert_int_equal(world->failed_count, 1); /* and nothing of what is in it */
        assert_int_equal(world->files_count, 1);
        assert_false(said(world, "make a/bad/deeper"));
        world_close(world);
    }
}

static void tell_nested(struct world *world)
{
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    tell(world, ENTRY_FOUND, "link", FILE_LINK);
    tell_linked(world, "n0", 7, 2);
    tell(world, ENTRY_ENTER, "b", FILE_FOLDER);
    tell_linked(world, "n1", 7, 2);
    tell(world, ENTRY_ENTER, "c", FILE_FOLDER);
    tell(world, ENTRY_FOUND, "deep", FILE_REGULAR);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
}

/* Over a line it is sent behind its folder's MAKE, and where that has not been done yet once more;
 * and a folder is finished beside the one in it. Every third time the link is lost on the way. */
static void what_is_in_a_folder_does_not_wait_for_a_far_side(void **state)
{
    uint32_t early_count = 0;
    (void)state;
    for (unsigned int seed = 0; seed < 6 * SEEDS; seed++) {
        struct world *world = world_open(seed);
        world_go_far(world);
        tell_nested(world);
        world->walk_bytes = seed % 2 == 0 ? 1 : 4096;
        world->cut_role = SIDE_TARGET;
        world->cut_after = seed % 3 == 0 ? 1 + seed % 18 : 0;
        world_run(world, "a");
        assert_before(world, "make a/b/c", "commit a/b/c/deep");
        assert_before(world, "commit a/b/c/deep", "adjust a/b/c");
        assert_true(said(world, "make a/link"));
        assert_true(said(world, "link a/b/n1") || said(world, "link a/n0"));
        assert_int_equal(world->files_count, 2);
        assert_int_equal(world->failed_count, 0);
        early_count += world->early_count;
        world_close(world);
    }
    assert_true(early_count > SEEDS);
}

/* More of them than there are places: what is in one ends while that waits for a place, too. */
static void far_folders_are_finished_once_each(void **state)
{
    enum { PAIRS = 2 * TOUR_TASKS_MAX };
    char name[16];
    (void)state;
    for (unsigned int seed = 0; seed < 3; seed++) {
        struct world *world = world_open(seed);
        world_go_far(world);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        for (uint32_t i = 0; i < PAIRS; i++) {
            snprintf(name, sizeof(name), "p%u", i);
            tell(world, ENTRY_ENTER, name, FILE_FOLDER);
            tell(world, ENTRY_ENTER, "c", FILE_FOLDER);
            tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
            tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        }
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world->walk_bytes = 4096;
        world_run(world, "a");
        uint32_t adjusted_count = 0;
        for (uint32_t i = 0; i < world->lines_count; i++)
            adjusted_count += strncmp(world->lines[i], "adjust ", 7) == 0;
        assert_int_equal(adjusted_count, 2 * PAIRS + 1);
        assert_int_equal(world->failed_count, 0);
        world_close(world);
    }
}

static void a_far_folder_that_cannot_be_made_is_left_out(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        world_go_far(world);
        tell_nested(world);
        world->walk_bytes = 4096;
        world_fails(world, "make a/b", EACCES);
        world_run(world, "a");
        assert_true(said(world, "! error a/b"));
        assert_int_equal(world->failed_count, 1); /* and nothing of what is in it */
        assert_int_equal(world->files_count, 1);
        world_close(world);
    }
}

/* The first name of a file began to lead before its folder was lost, and the next one has since. */
static void a_name_in_a_far_folder_that_is_lost_leads_nobody(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < 4 * SEEDS; seed++) {
        struct world *world = world_open(seed);
        world_go_far(world);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell(world, ENTRY_ENTER, "b", FILE_FOLDER);
        tell_linked(world, "n0", 7, 3);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell_linked(world, "n1", 7, 3);
        tell_linked(world, "n2", 7, 3);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world->walk_bytes = 4096;
        world_fails(world, "make a/b", EACCES);
        world_run(world, "a");
        assert_int_equal(world->failed_count, 1);
        assert_int_equal(world->files_count, 1);
        assert_true(said(world, "link a/n1") || said(world, "link a/n2"));
        world_close(world);
    }
}

static void what_fails_is_told_and_the_others_go_on(void **state)
{
    struct world *world = world_open(3);
    (void)state;
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    tell(world, ENTRY_ERROR, "shut", FILE_NONE);
    tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
    tell(world, ENTRY_FOUND, "s2", FILE_REGULAR);
    tell(world, ENTRY_PAST, "fifo", FILE_FIFO);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world_fails(world, "open a/s1", EACCES);
    world_run(world, "a");
    assert_true(said(world, "! error a/shut") && said(world, "! failed a/s1"));
    assert_true(said(world, "! past a/fifo") && said(world, "! file a/s2"));
    assert_int_equal(world->failed_count, 2);
    world_close(world);
}

static void names_of_one_file_become_links_to_the_first(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        for (int i = 0; i < 10; i++)
            tell_linked(world, (char[3]){'n', (char)('0' + i), '\0'}, 7, 10);
        tell_linked(world, "alone", 8, 1);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world_run(world, "a");
        assert_int_equal(world->files_count, 2);
        assert_before(world, "commit a/n0", "link a/n1");
        assert_before(world, "commit a/n0", "link a/n9");
        assert_before(world, "link a/n9", "adjust a");
        world_close(world);
    }
}

/* What was moved is a name less when the others are told. */
static void names_of_one_file_that_are_moved_become_links(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell_linked(world, "n0", 7, 3);
        tell_linked(world, "n1", 7, 2);
        tell_linked(world, "n2", 7, 1);
        tell_linked(world, "alone", 8, 1);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world->wish.tour.remove_source = true;
        world_run(world, "a");
        assert_int_equal(world->files_count, 2);
        assert_before(world, "commit a/n0", "link a/n1");
        assert_before(world, "commit a/n0", "link a/n2");
        world_close(world);
    }
}

/* The number of an inode comes back, before all names of the old one were seen. */
static void another_file_of_the_same_number_is_no_name_of_the_first(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell_linked(world, "old0", 7, 3);
        tell_linked(world, "old1", 7, 3);
        world->told_ns = 1;
        tell_linked(world, "new0", 7, 2);
        tell_linked(world, "new1", 7, 2);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world_run(world, "a");
        assert_int_equal(world->files_count, 2);
        assert_before(world, "commit a/old0", "link a/old1");
        assert_before(world, "commit a/new0", "link a/new1");
        world_close(world);
    }
}

/* More than are kept in memory: the second names come when all the first ones have been seen. */
static void many_files_of_two_names_are_all_linked(void **state)
{
    enum { PAIRS = 1500 };
    char name[16];
    (void)state;
    struct world *world = world_open(1);
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        tell_linked(world, name, i % PAIRS + 1, 2);
    }
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world_run(world, "a");
    assert_int_equal(world->files_count, PAIRS);
    assert_before(world, "commit a/n0", "link a/n1500");
    assert_before(world, "commit a/n700", "link a/n2200");
    assert_before(world, "link a/n2999", "adjust a");
    world_close(world);
}

/* The second source's link is lost after any operation, and what it tells then is another row. */
static void names_across_sources_are_linked_after_a_lost_link(void **state)
{
    uint32_t again_count = 0;
    (void)state;
    for (unsigned int seed = 0; seed < 2 * SEEDS; seed++) {
        struct world *world = world_open(seed);
        world->links = tour_links_open();
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell_linked(world, "x", 7, 3);
        tell_linked(world, "x2", 8, 2);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        for (int telling = 0; telling < 2; telling++) {
            tell_again(world);
            tell(world, ENTRY_ENTER, "b", FILE_FOLDER);
            tell_linked(world, "y", 7, 3);
            if (telling > 0)
                tell(world, ENTRY_FOUND, "new", FILE_REGULAR);
            tell_linked(world, "y2", 8, 2);
            tell_linked(world, "own", 9, 2);
            tell_linked(world, "own2", 9, 2);
            tell_linked(world, "z", 7, 3);
            tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        }
        world_run(world, "a");
        world->cut_after = 1 + seed % 12;
        world_run(world, "b");
        again_count += said(world, "commit b/new");
        assert_before(world, "commit a/x", "link b/y");
        assert_before(world, "commit a/x", "link b/z");
        assert_before(world, "commit a/x2", "link b/y2");
        assert_before(world, "commit b/own", "link b/own2");
        for (uint32_t i = 0; i < 3; i++)
            assert_false(
                said(world, (const char *[]){"commit b/y", "commit b/y2", "commit b/z"}[i]));
        assert_int_equal(world->failed_count, 0);
        world_close(world);
    }
    assert_true(again_count >= SEEDS / 2 && again_count < 2 * SEEDS);
}

/* The same, with more than are kept in memory. */
static void many_names_across_sources_are_linked_after_a_lost_link(void **state)
{
    enum { PAIRS = 1300 };
    char name[16];
    (void)state;
    struct world *world = world_open(1);
    world->links = tour_links_open();
    for (int telling = 0; telling < 3; telling++) {
        if (telling > 0)
            tell_again(world);
        tell(world, ENTRY_ENTER, telling > 0 ? "b" : "a", FILE_FOLDER);
        if (telling == 2)
            tell(world, ENTRY_FOUND, "new", FILE_REGULAR);
        for (uint32_t i = 0; i < PAIRS; i++) {
            snprintf(name, sizeof(name), "n%u", i);
            tell_linked(world, name, i + 1, 2);
        }
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    }
    world->walk_bytes = 4096;
    world_run(world, "a");
    world->cut_after = 12;
    world_run(world, "b");
    assert_true(said(world, "commit b/new"));
    for (uint32_t i = 0; i < PAIRS; i++) {
        char link[32], commit[32];
        snprintf(link, sizeof(link), "link b/n%u", i);
        snprintf(commit, sizeof(commit), "commit b/n%u", i);
        assert_true(said(world, link) && !said(world, commit));
    }
    assert_int_equal(world->files_count, PAIRS + 1);
    world_close(world);
}

static void when_the_first_name_fails_the_next_one_leads(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell_linked(world, "n0", 7, 3);
        tell_linked(world, "n1", 7, 3);
        tell_linked(world, "n2", 7, 3);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        world_fails(world, "open a/n0", EIO);
        world_run(world, "a");
        assert_before(world, "commit a/n1", "link a/n2");
        assert_int_equal(world->failed_count, 1);
        world_close(world);
    }
}

static void what_cannot_be_linked_is_copied(void **state)
{
    struct world *world = world_open(5);
    (void)state;
    tell(world, ENTRY_ENTER, "", FILE_FOLDER);
    tell_linked(world, "n0", 7, 2);
    tell_linked(world, "n1", 7, 2);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world_fails(world, "make n1", EMLINK);
    world_run(world, "");
    assert_int_equal(world->failed_count, 0);
    assert_int_equal(world->files_count, 2);
    world_close(world);
}

static void delete_removes_what_the_source_has_not(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
        tell(world, ENTRY_ENTER, "s2", FILE_FOLDER);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_ENTER, "s3", FILE_FOLDER);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        static const char *const there[] = {"", "s1", "s2", "old", "s2/gone", "s2/s4"};
        memcpy(world->there, there, sizeof(there));
        world->there_count = COUNT_OF(there);
        world->wish.tour.delete = true;
        world_run(world, "");
        assert_before(world, "remove old", "adjust ");
        assert_before(world, "remove s2/gone", "adjust s2");
        assert_false(said(world, "remove s1") || said(world, "remove s2") ||
                     said(world, "remove s2/s4"));
        assert_false(said(world, "list s3")); /* it is new */
        assert_true(said(world, "! removed old"));
        world_close(world);
    }
}

static void delete_in_a_folder_of_several_lists_looks_again(void **state)
{
    struct world *world = world_open(1);
    (void)state;
    tell(world, ENTRY_ENTER, "", FILE_FOLDER);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    static const char *const there[] = {"", "s0", "1", "2", "3", "s4", "5", "6", "7"};
    memcpy(world->there, there, sizeof(there));
    world->there_count = COUNT_OF(there);
    world->list_names = 4;
    world->wish.tour.delete = true;
    world_run(world, "");
    assert_int_equal(world->removed_count, 6);
    assert_int_equal(world->there_count, 3);
    world_close(world);
}

/* Of what was under way when a link was lost it is not known whether it was done. */
static void max_delete_counts_once_after_a_lost_link(void **state)
{
    static const char *const there[] = {"", "s0", "1", "2", "3", "sd", "sd/4", "sd/5", "6", "7"};
    uint32_t cut_count = 0;
    (void)state;
    for (unsigned int seed = 0; seed < 4 * SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "", FILE_FOLDER);
        tell(world, ENTRY_ENTER, "sd", FILE_FOLDER);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        memcpy(world->there, there, sizeof(there));
        world->there_count = COUNT_OF(there);
        world->list_names = 100;
        world->wish.tour.delete = world->wish.tour.max_delete_set = true;
        world->wish.tour.max_delete = 3;
        world->cut_role = seed % 3 == 0 ? SIDE_SOURCE : SIDE_TARGET;
        world->cut_done = seed % 3 == 1;
        world->cut_after = 1 + seed / 3 % 20;
        world_run(world, "");
        cut_count += world->cut_after == 0;
        assert_int_equal(world->there_count, COUNT_OF(there) - 3);
        assert_int_equal(world->removed_count, 3);
        assert_int_equal(world->removed_told_count, 3);
        assert_int_equal(world->held_back, 4);
        world_close(world);
    }
    assert_true(cut_count > SEEDS);
}

static void nothing_is_deleted_after_an_error_of_the_source(void **state)
{
    struct world *world = world_open(1);
    (void)state;
    tell(world, ENTRY_ERROR, "", FILE_NONE);
    tell(world, ENTRY_ENTER, "", FILE_FOLDER);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world->there[0] = "";
    world->there[1] = "old";
    world->there_count = 2;
    world->wish.tour.delete = true;
    world_run(world, "");
    assert_false(said(world, "remove old"));
    world_close(world);
}

static void a_dry_run_makes_and_removes_nothing(void **state)
{
    struct world *world = world_open(1);
    (void)state;
    tell(world, ENTRY_ENTER, "", FILE_FOLDER);
    tell(world, ENTRY_ENTER, "new", FILE_FOLDER);
    tell(world, ENTRY_FOUND, "link", FILE_LINK);
    tell(world, ENTRY_FOUND, "file", FILE_REGULAR);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world->there[0] = "";
    world->there[1] = "old";
    world->there_count = 2;
    world->wish.tour.delete = world->wish.dry_run = true;
    world_run(world, "");
    assert_true(said(world, "! removed old") && said(world, "! made new/link"));
    assert_true(said(world, "! file new/file"));
    assert_true(said(world, "would remove old"));
    assert_true(
        said(world, "would make new")); /* of the link in it: there is no place for it yet */
    assert_false(said(world, "remove old") || said(world, "make new/link") ||
                 said(world, "would make new/link") || said(world, "sync ") ||
                 said(world, "adjust "));
    assert_int_equal(world->outcome.kind, OUTCOME_DRY);
    world_close(world);
}

static void the_source_goes_only_after_the_commit(void **state)
{
    struct world *world = world_open(9);
    (void)state;
    tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
    world->wish.tour.remove_source = true;
    world_fails(world, "remove s1", EBUSY);
    world_run(world, "s1");
    assert_before(world, "commit s1", "! error s1");
    world_close(world);
}

/* Of what has no commit of its own, after a sync: one for many. */
static void links_go_from_the_source_after_a_sync(void **state)
{
    struct world *world = world_open(9);
    (void)state;
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    for (int i = 0; i < 2 * TOUR_TASKS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "l%d", i);
        tell(world, ENTRY_FOUND, name, FILE_LINK);
    }
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world->wish.tour.remove_source = true;
    world_fails(world, "remove a/l0", EBUSY);
    world_fails(world, "remove a/l255", EBUSY);
    world_run(world, "a");
    assert_before(world, "make a/l0", "sync ");
    assert_before(world, "sync ", "! error a/l0");
    assert_true(said(world, "! error a/l255"));
    uint32_t syncs_count = 0;
    for (uint32_t i = 0; i < world->lines_count; i++)
        syncs_count += strcmp(world->lines[i], "sync ") == 0;
    assert_true(syncs_count > 1 && syncs_count < 16);
    world_close(world);
}

/* Two more sources come later, the last one with the same names. */
static void tell_of_others(struct world *world)
{
    for (uint32_t i = 0; i < 3; i++)
        world->sources[i] = (struct tour_source){
            .name = i == 1 ? "ab" : "a",
            .root = {i + 1, "/source"},
        };
    world->sources_count = 3;
    world->elsewhere[world->elsewhere_count++] = "a/both";
    world->moved = spill_open();
    world->wish.tour.remove_source = true;
}

/* What a source that comes later brings is written over this one's, which stays. Over what has left
 * nothing is written, should that one have it after all. A link is lost after any operation. */
static void what_another_source_brings_stays(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < 2 * SEEDS; seed++) {
        struct world *world = world_open(seed);
        for (int telling = 0; telling < 2; telling++) {
            tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
            tell(world, ENTRY_FOUND, "both", FILE_REGULAR);
            tell(world, ENTRY_FOUND, "own", FILE_REGULAR);
            tell(world, ENTRY_FOUND, "link", FILE_LINK);
            tell(world, ENTRY_ENTER, "in", FILE_FOLDER);
            tell(world, ENTRY_FOUND, "own", FILE_REGULAR);
            tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
            tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
            tell_again(world);
        }
        tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "both", FILE_REGULAR);
        tell(world, ENTRY_ENTER, "own", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "lost", FILE_REGULAR);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell(world, ENTRY_FOUND, "link", FILE_REGULAR);
        tell(world, ENTRY_FOUND, "in", FILE_LINK);
        tell(world, ENTRY_FOUND, "new", FILE_REGULAR);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        tell_of_others(world);
        world->cut_after = 1 + seed % 28;
        world_run(world, "a");
        const char *const *gone = (const char *const *)world->gone;
        assert_false(is_one_of(gone, world->gone_count, "a/both") || said(world, "open a/both"));
        assert_true(is_one_of(gone, world->gone_count, "a/own"));
        assert_true(is_one_of(gone, world->gone_count, "a/link"));
        assert_true(is_one_of(gone, world->gone_count, "a/in/own"));
        assert_int_equal(world->failed_count, 0);
        world->root = 3;
        world->scripts_told = 2;
        world_run(world, "a");
        assert_int_equal(world->failed_count, 3);
        assert_true(said(world, "! error a/own") && said(world, "! error a/link"));
        assert_true(said(world, "! error a/in") && !said(world, "commit a/own/lost"));
        assert_true(is_one_of(gone, world->gone_count, "a/both"));
        assert_true(is_one_of(gone, world->gone_count, "a/new"));
        world_close(world);
    }
}

/* Where it is not known whether another source has it, or where it cannot be noted, it stays. */
static void in_doubt_the_source_stays(void **state)
{
    (void)state;
    for (int doubt = 0; doubt < 2; doubt++) {
        struct world *world = world_open(1);
        const char *folder = getenv("TMPDIR");
        AUTO_FREE char *before = folder ? strdup(folder) : NULL;
        tell(world, ENTRY_FOUND, "a", FILE_REGULAR);
        tell_of_others(world);
        world->elsewhere_errno = doubt == 0 ? EACCES : 0;
        if (doubt > 0)
            setenv("TMPDIR", "/nowhere", 1);
        world_run(world, "a");
        if (before)
            setenv("TMPDIR", before, 1);
        else
            unsetenv("TMPDIR");
        assert_true(said(world, "! error a"));
        assert_int_equal(world->gone_count, 0);
        world_close(world);
    }
}

/* It was missing at the source when the target's names were compared. */
static void what_was_moved_is_not_deleted(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < SEEDS; seed++) {
        struct world *world = world_open(seed);
        tell(world, ENTRY_ENTER, "", FILE_FOLDER);
        tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
        tell(world, ENTRY_FOUND, "s2", FILE_LINK);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        static const char *const there[] = {"", "old", "s1", "s2", "old2"};
        memcpy(world->there, there, sizeof(there));
        world->there_count = COUNT_OF(there);
        world->moved = spill_open();
        world->wish.tour.delete = world->wish.tour.remove_source = true;
        world_run(world, "");
        assert_int_equal(world->gone_count, 2);
        assert_true(said(world, "remove old") && said(world, "remove old2"));
        assert_false(said(world, "remove s1") || said(world, "remove s2"));
        world_close(world);
    }
}

/* More names than there are tasks, of which each waits for the first folder. */
static void more_than_there_is_room_for(void **state)
{
    struct world *world = world_open(2);
    (void)state;
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    for (int i = 0; i < 3 * TOUR_TASKS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d%d", i);
        tell(world, ENTRY_ENTER, name, FILE_FOLDER);
        tell(world, ENTRY_FOUND, "link", FILE_LINK);
        tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    }
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world->walk_bytes = 4096;
    world_run(world, "a");
    assert_int_equal(world->failed_count, 0);
    assert_before(world, "make a/d383/link", "adjust a");
    world_close(world);
}

static void stopped_in_the_middle_nothing_more_begins(void **state)
{
    struct world *world = world_open(2);
    (void)state;
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    world->control.stop = true;
    world_run(world, "a");
    assert_false(said(world, "make a") || said(world, "commit a/s1"));
    world_close(world);
}

/* Its row was another one after the link was lost, and it would be told once more. */
static void stopped_after_a_lost_link_it_ends(void **state)
{
    (void)state;
    for (unsigned int seed = 0; seed < 4 * SEEDS; seed++) {
        struct world *world = world_open(seed);
        for (int telling = 0; telling < 2; telling++) {
            if (telling > 0)
                tell_again(world);
            tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
            tell(world, ENTRY_FOUND, telling > 0 ? "new" : "old", FILE_REGULAR);
            tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
            tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
        }
        world->cut_after = 6;
        world->stop_after = 6 + seed % 40;
        world_run(world, "a");
        world_close(world);
    }
}

static void a_walk_that_makes_no_sense_ends_it(void **state)
{
    struct world *world = world_open(2);
    (void)state;
    tell(world, ENTRY_ENTER, "a", FILE_FOLDER);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    tell(world, ENTRY_LEAVE, NULL, FILE_NONE);
    tell(world, ENTRY_FOUND, "s1", FILE_REGULAR);
    world->walk_bytes = 4096;
    world_run(world, "a");
    assert_int_equal(world->failed_count, 1);
    assert_int_equal(world->files_count, 0);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_come_first_and_are_finished_last),
        cmocka_unit_test(what_is_there_already_is_left_alone),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_left_out),
        cmocka_unit_test(what_is_in_a_folder_does_not_wait_for_a_far_side),
        cmocka_unit_test(far_folders_are_finished_once_each),
        cmocka_unit_test(a_far_folder_that_cannot_be_made_is_left_out),
        cmocka_unit_test(a_name_in_a_far_folder_that_is_lost_leads_nobody),
        cmocka_unit_test(what_fails_is_told_and_the_others_go_on),
        cmocka_unit_test(names_of_one_file_become_links_to_the_first),
        cmocka_unit_test(names_of_one_file_that_are_moved_become_links),
        cmocka_unit_test(another_file_of_the_same_number_is_no_name_of_the_first),
        cmocka_unit_test(many_files_of_two_names_are_all_linked),
        cmocka_unit_test(names_across_sources_are_linked_after_a_lost_link),
        cmocka_unit_test(many_names_across_sources_are_linked_after_a_lost_link),
        cmocka_unit_test(when_the_first_name_fails_the_next_one_leads),
        cmocka_unit_test(what_cannot_be_linked_is_copied),
        cmocka_unit_test(delete_removes_what_the_source_has_not),
        cmocka_unit_test(delete_in_a_folder_of_several_lists_looks_again),
        cmocka_unit_test(max_delete_counts_once_after_a_lost_link),
        cmocka_unit_test(nothing_is_deleted_after_an_error_of_the_source),
        cmocka_unit_test(a_dry_run_makes_and_removes_nothing),
        cmocka_unit_test(the_source_goes_only_after_the_commit),
        cmocka_unit_test(links_go_from_the_source_after_a_sync),
        cmocka_unit_test(what_another_source_brings_stays),
        cmocka_unit_test(in_doubt_the_source_stays),
        cmocka_unit_test(what_was_moved_is_not_deleted),
        cmocka_unit_test(more_than_there_is_room_for),
        cmocka_unit_test(stopped_in_the_middle_nothing_more_begins),
        cmocka_unit_test(stopped_after_a_lost_link_it_ends),
        cmocka_unit_test(a_walk_that_makes_no_sense_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
