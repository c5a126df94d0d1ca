/* serve_request.c - what a client asks: checked against the state of the session, started at the
 * end, answered.
 *
 * The end trusts its caller (asserts), a client is not to be trusted: so whatever the end takes for
 * granted is checked here first. */
#include "serve_state.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/disk/journal.h"
#include "haul/disk/pipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which operations a role has, and which of them need a buffer. */
struct op_rule {
    bool source, target, buffer, chunk;
};

static const struct op_rule rules[] = {
    [SIDE_DESCRIBE] = {.source = true, .target = true},
    [SIDE_OPEN] = {.source = true, .target = true},
    [SIDE_MAP] = {.source = true},
    [SIDE_RECALL] = {.target = true, .buffer = true},
    [SIDE_FETCH] = {.source = true, .buffer = true, .chunk = true},
    [SIDE_EXAMINE] = {.target = true, .buffer = true, .chunk = true},
    [SIDE_STORE] = {.target = true, .buffer = true, .chunk = true},
    [SIDE_KEEP] = {.target = true, .chunk = true},
    [SIDE_ERASE] = {.target = true, .buffer = true, .chunk = true},
    [SIDE_SYNC] = {.target = true},
    [SIDE_COMMIT] = {.source = true, .target = true},
    [SIDE_ABANDON] = {.source = true, .target = true},
    [SIDE_ADJUST] = {.target = true},
    [SIDE_TOUR] = {.source = true, .buffer = true},
    [SIDE_WALK] = {.source = true, .buffer = true},
    [SIDE_MAKE] = {.target = true},
    [SIDE_DETAIL] = {.source = true, .buffer = true},
    [SIDE_DRESS] = {.target = true, .buffer = true},
    [SIDE_LIST] = {.target = true, .buffer = true},
    [SIDE_MISSING] = {.source = true, .buffer = true},
    [SIDE_REMOVE] = {.source = true, .target = true},
    [SIDE_TAKE] = {.source = true, .buffer = true},
    [SIDE_PUT] = {.target = true, .buffer = true},
    [SIDE_CANCEL] = {.source = true, .target = true},
    [SIDE_BLOCKS] = {.target = true, .buffer = true, .chunk = true},
    [SIDE_DIFFER] = {.source = true, .buffer = true, .chunk = true},
    [SIDE_PRESS] = {.target = true},
    [SIDE_NAMES] = {.source = true, .buffer = true},
    [SIDE_DELIVER] = {.target = true, .buffer = true},
};

/* Says all of a job, which is not open before. */
static bool op_names_file(enum side_op op)
{
    return codec_op_describes(op) && op != SIDE_COMMIT;
}

/* Of a whole job: nothing else of it may be under way. */
static bool op_is_exclusive(enum side_op op)
{
    return codec_op_begins(op) || op == SIDE_WALK || op == SIDE_NAMES || op == SIDE_COMMIT ||
           op == SIDE_ABANDON;
}

/* ---- jobs ---- */

/* Of small files there are hundreds at a time, and each is asked for. */
static uint32_t *job_row(const struct serve *self, uint32_t number)
{
    return &self->rows[number % self->jobs_count];
}

static struct serve_job *job_find(const struct serve *self, uint32_t number)
{
    uint32_t next = *job_row(self, number);
    while (next && self->names[next - 1].number != number)
        next = self->names[next - 1].next;
    return next ? &self->jobs[next - 1] : NULL;
}

static const struct side_report nothing_known = {
    .resident_before_bytes = NUM_UNKNOWN,
    .resident_peak_bytes = NUM_UNKNOWN,
    .resident_after_bytes = NUM_UNKNOWN,
    .memory_peak_bytes = NUM_UNKNOWN,
    .kernel_bytes = NUM_UNKNOWN,
};

/* Always finds a place: there are as many as slots and open files together. */
static struct serve_job *job_place(struct serve *self, uint32_t number, bool passing)
{
    uint32_t place = self->jobs_left;
    if (place)
        self->jobs_left = self->names[place - 1].next;
    else
        place = ++self->jobs_end;
    assert(place <= self->jobs_count);
    struct serve_job *job = &self->jobs[place - 1];
    struct serve_name *name = &self->names[place - 1];
    free(job->texts);
    memset(job, 0, sizeof(*job));
    *name = (struct serve_name){.number = number, .used = true, .passing = passing};
    if (!passing) {
        uint32_t *row = job_row(self, number);
        name->next = *row;
        *row = place;
        self->jobs_open++;
    }
    job->name = name;
    job->job.number = number;
    job->job.names = job->names;
    job->job.words = job->words;
    job->job.target_readable = true;
    job->job.reports[SIDE_SOURCE] = job->job.reports[SIDE_TARGET] = nothing_known;
    return job;
}

/* Its texts stay, for who still reads them, until the place is taken again. */
static void job_leave(struct serve *self, struct serve_name *name)
{
    const uint32_t place = (uint32_t)(name - self->names) + 1;
    uint32_t *link = job_row(self, name->number);
    while (!name->passing && *link != place)
        link = &self->names[*link - 1].next;
    if (!name->passing) {
        *link = name->next;
        self->jobs_open--;
    }
    name->used = false;
    name->next = self->jobs_left;
    self->jobs_left = place;
}

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *text_keep(char **room, const char *text)
{
    char *kept = *room;
    if (!text)
        return NULL;
    *room = stpcpy(kept, text) + 1;
    return kept;
}

/* The texts of a message live until the next one: keep them. false: there is no memory. */
static bool job_take(struct serve *self, struct serve_job *job, const struct wire_message *request)
{
    const struct job_wish *wish = &request->job.wish;
    char *room = malloc(text_bytes(request->path) + text_bytes(request->root.path) +
                        text_bytes(request->job.link_text) + text_bytes(wish->journal_path) +
                        text_bytes(wish->chown) + 1);
    if (!room)
        return false;
    job->texts = room;
    const char *path = text_keep(&room, request->path);
    job->job.roots[self->agreed.role] = (struct job_root){
        .number = request->root.number,
        .path = text_keep(&room, request->root.path),
    };
    job->job.link_text = text_keep(&room, request->job.link_text);
    job->job.hard_link = request->job.hard_link;
    job->names[SIDE_SOURCE] = request->names;
    job->job.chunk_bytes = request->job.chunk_bytes;
    job->job.wish = request->job.wish;
    job->job.facts[SIDE_SOURCE] = request->job.facts[SIDE_SOURCE];
    path = path ? path : ""; /* of a SYNC */
    job->job.source_path = self->agreed.role == SIDE_SOURCE ? path : "";
    job->job.target_path = self->agreed.role == SIDE_TARGET ? path : "";
    job->job.wish.journal_path = text_keep(&room, request->job.wish.journal_path);
    job->job.wish.chown = text_keep(&room, request->job.wish.chown);
    return true;
}

/* Its source has a size only once it has ended. */
static bool is_piped(const struct serve_job *job)
{
    return pipe_is_kind(job->job.facts[SIDE_SOURCE].kind);
}

/* COMMIT repeats what OPEN said; only what the metadata needs may have changed. */
static const char *job_commit(struct serve_job *job, const struct job *now)
{
    if (!is_piped(job) &&
        now->facts[SIDE_SOURCE].size_bytes != job->job.facts[SIDE_SOURCE].size_bytes)
        return "a commit with another size than the file was opened with";
    job->job.facts[SIDE_SOURCE] = now->facts[SIDE_SOURCE];
    memcpy(job->job.wish.attributes, now->wish.attributes, sizeof(now->wish.attributes));
    job->job.wish.set_id = now->wish.set_id;
    return NULL;
}

/* ---- checks ---- */

/* Of a target that is opened. */
static const char *check_part(const struct job *job)
{
    const struct job_wish *wish = &job->wish;
    if (wish->part_end == 0)
        return wish->part_start == 0 ? NULL : "a part without an end";
    if (wish->part_start >= wish->part_end || wish->part_end > job->facts[SIDE_SOURCE].size_bytes)
        return "a part that is not in the file";
    return wish->join || wish->compare_only || wish->no_inplace ? "a part of what is no target"
                                                                : NULL;
}

static const char *check_job(const struct serve *self, const struct wire_message *request)
{
    if (request->path[0] == '\0' && request->root.number == 0)
        return "an empty path";
    if (request->op == SIDE_COMMIT)
        return NULL;
    if (request->job.chunk_bytes > self->budget.chunk_bytes ||
        request->job.chunk_bytes < CHUNK_BYTES_MIN)
        return "chunks of a size that was not agreed on";
    if (request->job.wish.journal && request->job.wish.session == 0)
        return "a journal without a session";
    if (request->job.wish.join && request->job.wish.session != self->agreed.session)
        return "a lane that joins another session";
    if (self->agreed.role == SIDE_TARGET && request->op == SIDE_OPEN)
        return check_part(&request->job);
    return NULL;
}

/* A source gives any piece that is as aligned as the smallest chunk: which chunks there are is
 * settled with the target, and it may have been told before. */
static const char *check_piece(const struct serve_job *job, const struct slot *asked)
{
    const struct job_wish *wish = &job->job.wish;
    uint64_t size_bytes = is_piped(job) ? WIRE_OFFSET_MAX : job->job.facts[SIDE_SOURCE].size_bytes;
    uint64_t end = asked->offset + asked->length;
    bool begins = asked->offset % CHUNK_BYTES_MIN == 0;
    if ((!begins && (wish->part_end == 0 || asked->offset != wish->part_start)) ||
        asked->offset >= size_bytes || asked->length > job->job.chunk_bytes ||
        asked->length > size_bytes - asked->offset)
        return "a range that is not in the file";
    if (asked->offset % job->job.chunk_bytes + asked->length > job->job.chunk_bytes)
        return "a range that is in two chunks";
    if (end % CHUNK_BYTES_MIN != 0 && end != size_bytes && end != wish->part_end)
        return "a range that ends within a chunk";
    return NULL;
}

/* Whole chunks of the file, and nothing beyond its end. */
static const char *check_chunk(const struct serve_job *job, const struct slot *asked,
                               enum side_op op)
{
    uint64_t size_bytes = job->job.facts[SIDE_SOURCE].size_bytes;
    uint32_t chunk_bytes = job->job.chunk_bytes;
    bool writes = op == SIDE_STORE || op == SIDE_ERASE;
    if (is_piped(job)) /* where it ends, COMMIT says */
        size_bytes = min_u64(asked->offset + asked->length, WIRE_OFFSET_MAX);
    uint64_t most =
        job->job.wish.part_end > 0 ? min_u64(size_bytes, job->job.wish.part_end) : size_bytes;
    uint64_t first = align_down(asked->offset, chunk_bytes);
    uint64_t start = max_u64(first, job->job.wish.part_start);
    uint64_t end = min_u64(first + chunk_bytes, most);
    if (op == SIDE_ERASE) /* several in a row */
        end = min_u64(align_up(asked->offset + asked->length, chunk_bytes), most);
    if (asked->offset != start || start >= end || asked->length != end - start)
        return "a range that is not a chunk of the file, or of the part of it";
    if (writes && job->job.wish.compare_only)
        return "a write to a file that is only compared";
    return NULL;
}

static const char *check_order(const struct serve_job *job, enum side_op op, uint32_t root)
{
    if (op == SIDE_SYNC && !job && root > 0)
        return NULL;
    switch (op) {
    case SIDE_DESCRIBE:
    case SIDE_PRESS:
        return NULL;
    case SIDE_ADJUST:
        return job ? "the attributes of a file that is open" : NULL;
    case SIDE_MAKE:
    case SIDE_LIST:
    case SIDE_MISSING:
    case SIDE_REMOVE:
    case SIDE_TAKE:
        return job ? "the number of a file that is open" : NULL;
    case SIDE_OPEN:
    case SIDE_TOUR:
    case SIDE_PUT:
    case SIDE_DELIVER:
        return job ? "a file is opened twice" : NULL;
    case SIDE_WALK:
    case SIDE_NAMES:
        return job && job->touring && !job->exclusive ? NULL : "a walk that was not begun";
    case SIDE_DETAIL:
    case SIDE_DRESS:
        return job && job->exclusive ? "a file is dressed while it is opened or committed" : NULL;
    case SIDE_ABANDON:
        return job && job->inflight > 0 ? "a file is abandoned while it is worked on" : NULL;
    case SIDE_COMMIT:
        if (!job || !job->open)
            return "a commit of a file that is not open";
        return job->inflight > 0 ? "a file is committed while it is worked on" : NULL;
    default:
        if (!job || !job->open || job->exclusive)
            return "an operation on a file that is not open";
        return op == SIDE_SYNC && job->syncing ? "two syncs of a file at once" : NULL;
    }
}

/* Is what the request is about still in the buffer? */
static const char *check_held(const struct serve_slot *slot, const struct wire_message *request)
{
    const struct serve_held *held = &slot->held;
    bool partial = request->op == SIDE_STORE && request->slot.partial;
    enum side_op before = request->op == SIDE_DIFFER ? SIDE_FETCH : SIDE_EXAMINE;
    if (request->op != SIDE_BLOCKS && request->op != SIDE_DIFFER && !partial)
        return NULL;
    bool there = held->op == before && held->number == request->job.number &&
                 held->offset == request->slot.offset && held->length == request->slot.length;
    return there && (request->op != SIDE_BLOCKS || held->blocks)
               ? NULL
               : "blocks of a chunk that was not read before";
}

static const char *check(const struct serve *self, const struct serve_slot *slot,
                         const struct serve_job *job, const struct wire_message *request)
{
    const struct op_rule *rule = &rules[request->op];
    const char *wrong = check_order(job, request->op, request->root.number);
    if (wrong)
        return wrong;
    if (!(self->agreed.role == SIDE_SOURCE ? rule->source : rule->target))
        return "an operation that this role does not have";
    if (rule->buffer && !codec_op_is_whole(request->op) && request->tag >= self->agreed.slots_count)
        return "data in a slot without a buffer";
    if (codec_op_gives(request->op) && request->slot.length > slot->slot.capacity)
        return "more bytes than a buffer has room for";
    if (op_names_file(request->op) || request->op == SIDE_COMMIT)
        return check_job(self, request);
    if (request->op == SIDE_RECALL && request->slot.length < sizeof(struct journal_entry))
        return "a recall without room for an answer";
    if (request->op == SIDE_MAP && request->slot.offset >= job->job.facts[SIDE_SOURCE].size_bytes)
        return "a map beyond the end of the file";
    if (!rule->chunk)
        return NULL;
    wrong = check_held(slot, request);
    if (wrong)
        return wrong;
    return self->agreed.role == SIDE_SOURCE ? check_piece(job, &request->slot)
                                            : check_chunk(job, &request->slot, request->op);
}

/* ---- answers ---- */

static void serve_answer(struct serve *self, struct serve_slot *slot)
{
    slot->step = SERVE_ANSWERING;
    queue_put(&self->answers, &slot->slot.link);
}

/* The reply is a frame now, which has copies of everything. */
static void serve_job_answered(struct serve *self, struct serve_slot *slot)
{
    struct serve_job *job = slot->job;
    bool done = slot->slot.result == 0;
    assert(job->inflight > 0);
    job->inflight--;
    job->exclusive = false;
    if (slot->op == SIDE_SYNC)
        job->syncing = false;
    if (slot->op == SIDE_OPEN || slot->op == SIDE_PUT)
        job->open = done;
    if (slot->op == SIDE_TOUR)
        job->touring = done;
    if (slot->op == SIDE_COMMIT)
        job->open = false; /* one that failed waits to be abandoned */
    if (job->name->passing || codec_op_ends(slot->op, done))
        job_leave(self, job->name);
    slot->job = NULL;
}

static void answer_failed(struct wire_message *message, const struct slot *slot)
{
    bool words = error_is_set(slot->error);
    message->status = WIRE_FAILED;
    message->failure = (struct wire_failure){
        .class = words ? slot->error->class : ERROR_FILE,
        .errnum = (uint32_t)-slot->result,
        .words = words ? slot->error->text : strerror(-slot->result),
    };
}

static void answer_done(struct wire_message *message, const struct slot *slot)
{
    message->slot.matched = slot->conditional && slot->matched;
    message->slot.held = message->op == SIDE_FETCH && slot->sparing && !slot->broken &&
                         !message->slot.matched && slot->count > 0;
    message->payload_bytes = codec_op_takes(message->op, &message->slot);
}

bool serve_put_answer(struct serve *self)
{
    struct wire_message message;
    struct slot *answer = queue_take(&self->answers);
    if (!answer)
        return false;
    struct serve_slot *slot = serve_slot_of(answer);
    codec_message(&message, WIRE_REPLY, answer->index);
    codec_slot(&message.slot, answer);
    message.op = slot->op;
    message.job = slot->job->job;
    message.facts = message.job.facts[self->agreed.role];
    message.names = slot->job->names[self->agreed.role];
    message.report = message.job.reports[self->agreed.role];
    message.words = slot->job->words[self->agreed.role];
    message.tally = slot->job->tally;
    if (slot->damaged)
        message.status = WIRE_DAMAGED;
    else if (answer->result < 0)
        answer_failed(&message, answer);
    else
        answer_done(&message, answer);
    int result = session_put(&self->session, &message, answer);
    assert(result >= 0); /* every text of ours is short enough */
    serve_job_answered(self, slot);
    if (result == 0)
        serve_answer_sent(self, answer);
    return true;
}

/* Into a pocket. Answers may wait long for a line: what is read for them is bounded. */
static void serve_take(struct serve *self, struct serve_slot *slot)
{
    if (self->agreed.control_count - self->pockets.free_count >= SERVE_TAKES_MAX) {
        queue_put(&self->lacking, &slot->slot.link);
        return;
    }
    (void)pocket_lend(&slot->slot);
    side_start(self->side, &slot->slot, slot->op);
}

void serve_answer_sent(struct serve *self, struct slot *slot)
{
    pocket_give_back(slot);
    serve_slot_of(slot)->step = SERVE_IDLE;
    if (self->lacking.first)
        serve_take(self, serve_slot_of(queue_take(&self->lacking)));
}

/* ---- start and completion ---- */

/* What the buffer has when it is done: until then, and after anything else, nothing. */
static void serve_hold(struct serve_slot *slot)
{
    const struct slot *done = &slot->slot;
    slot->held = (struct serve_held){.op = SIDE_OPS_COUNT};
    if (done->result == 0 && (slot->op == SIDE_FETCH || slot->op == SIDE_EXAMINE) &&
        done->count == done->length)
        slot->held = (struct serve_held){
            .op = slot->op,
            .number = slot->job->job.number,
            .offset = done->offset,
            .length = done->length,
            .blocks = done->blocks && !done->matched,
        };
}

/* Too soon: others came behind it, or there is another one. */
static void serve_press_no_more(struct serve *self)
{
    if (self->pressing)
        serve_answer(self, self->pressing);
    self->pressing = NULL;
}

/* Of the folder in a path. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* The MAKE of the folder that a name of a tree is in, if that is under way; else NULL. */
static struct serve_slot *serve_folder_of(const struct serve *self, const struct serve_slot *slot)
{
    const struct job *job = &slot->job->job;
    const char *path = job->target_path;
    if (job->roots[SIDE_TARGET].number == 0 || !op_names_file(slot->op) || path[0] == '\0')
        return NULL;
    size_t length = folder_length(path);
    for (struct serve_slot *at = self->making; at; at = at->making) {
        const struct job *folder = &at->job->job;
        if (at != slot && folder->roots[SIDE_TARGET].number == job->roots[SIDE_TARGET].number &&
            strncmp(folder->target_path, path, length) == 0 && folder->target_path[length] == '\0')
            return at;
    }
    return NULL;
}

static uint64_t fresh_key(const struct job *job, size_t length)
{
    return checksum_of(job->target_path, length, job->roots[SIDE_TARGET].number) | 1; /* 0: none */
}

/* A folder was made; or it was there, and something may be in it. */
static void serve_note_folder(struct serve *self, const struct job *job)
{
    uint64_t key = fresh_key(job, strlen(job->target_path));
    if (job->roots[SIDE_TARGET].number == 0 || job->facts[SIDE_SOURCE].kind != FILE_FOLDER)
        return;
    for (uint32_t i = 0; i < SERVE_FRESH_MAX; i++)
        self->fresh[i] = self->fresh[i] == key ? 0 : self->fresh[i];
    if (job->made == JOB_CREATED)
        self->fresh[self->fresh_next++ % SERVE_FRESH_MAX] = key;
}

/* Whoever has sent it behind the folder's MAKE could not know that nothing is in that. */
static bool serve_is_fresh(const struct serve *self, const struct slot *slot)
{
    const struct job *job = slot->job;
    if ((slot->op != SIDE_DELIVER && slot->op != SIDE_PUT) || !slot->conditional ||
        job->roots[SIDE_TARGET].number == 0)
        return false;
    uint64_t key = fresh_key(job, folder_length(job->target_path));
    for (uint32_t i = 0; i < SERVE_FRESH_MAX; i++) {
        if (self->fresh[i] == key)
            return true;
    }
    return false;
}

static void serve_go(struct serve *self, struct serve_slot *slot)
{
    slot->slot.conditional &= !serve_is_fresh(self, &slot->slot);
    side_start(self->side, &slot->slot, slot->op == SIDE_DELIVER ? SIDE_PUT : slot->op);
}

/* A PRESS is about those that are put only now, too, so it waits for them. */
static void serve_start(struct serve *self, struct serve_slot *slot)
{
    bool delivers = slot->op == SIDE_DELIVER, presses = slot->op == SIDE_PRESS;
    slot->step = SERVE_WORKING;
    slot->slot.asked_ns = clock_now_ns(); /* whatever it waits for here */
    if (delivers || presses)
        serve_press_no_more(self);
    self->putting_count += delivers;
    slot->behind = serve_folder_of(self, slot);
    self->behind_count += slot->behind != NULL;
    if (slot->op == SIDE_MAKE) {
        slot->making = self->making;
        self->making = slot;
    }
    if (presses && self->putting_count > 0)
        self->pressing = slot;
    else if (slot->op == SIDE_TAKE && slot->slot.pockets)
        serve_take(self, slot);
    else if (!slot->behind)
        serve_go(self, slot);
}

/* A part of a DELIVER is done. true: all of it, well or not; a COMMIT that fails has closed its
 * file. */
static bool serve_delivered(struct serve *self, struct serve_slot *slot)
{
    struct slot *done = &slot->slot;
    if (done->op == SIDE_COMMIT)
        return true;
    self->putting_count--;
    pocket_give_back(done);
    bool goes_on = done->result == 0 && !self->leaving; /* else it is abandoned, as after a PUT */
    if (goes_on)
        side_start(self->side, done, SIDE_COMMIT);
    if (self->putting_count == 0 && self->pressing)
        side_start(self->side, &self->pressing->slot, SIDE_PRESS);
    if (self->putting_count == 0)
        self->pressing = NULL;
    return !goes_on;
}

/* A file too many is the client's mistake about its limits, but a harmless one. */
static bool serve_refuse_open(struct serve *self, struct serve_slot *slot)
{
    if (!codec_op_begins(slot->op) || self->jobs_open <= self->agreed.jobs_max)
        return false;
    slot->slot.result = -EMFILE;
    error_set(slot->slot.error, EMFILE, "%s: too many files at once", slot->job->texts);
    serve_answer(self, slot);
    return true;
}

static struct serve_job *serve_job_for(struct serve *self, struct serve_job *job,
                                       const struct wire_message *request)
{
    bool known = job && request->op != SIDE_DESCRIBE && request->op != SIDE_PRESS;
    if (!known)
        job = job_place(self, request->job.number, !codec_op_begins(request->op));
    bool named = !known && (op_names_file(request->op) || request->op == SIDE_SYNC);
    if (named && !job_take(self, job, request))
        return NULL;
    job->inflight++;
    if (op_is_exclusive(request->op))
        job->exclusive = true;
    if (request->op == SIDE_SYNC)
        job->syncing = true;
    return job;
}

static void slot_take(struct slot *slot, const struct wire_message *request, struct job *job)
{
    uint32_t capacity = slot->capacity;
    uint8_t *buffer = slot->buffer, *digests = slot->digests;
    if (slot->result < 0) /* as in side_start() */
        error_clear(slot->error);
    codec_slot(slot, &request->slot);
    slot->pockets = NULL;
    slot->digests = digests;
    slot->index = request->tag;
    slot->buffer = buffer;
    slot->capacity = capacity;
    slot->op = request->op;
    slot->job = job;
}

int serve_request(struct serve *self, const struct wire_message *request, struct error *err)
{
    const struct stream *stream = &self->session.stream;
    struct serve_slot *slot = request->tag < self->slots_total ? &self->slots[request->tag] : NULL;
    if (!slot || slot->step != SERVE_IDLE)
        return stream_violation(stream, err, "a slot that is not there, or not free");
    struct serve_job *job = job_find(self, request->job.number);
    const char *wrong = check(self, slot, job, request);
    if (!wrong && request->op == SIDE_COMMIT)
        wrong = job_commit(job, &request->job);
    if (wrong)
        return stream_violation(stream, err, "%s", wrong);
    slot->job = serve_job_for(self, job, request);
    if (!slot->job)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a request");
    slot->op = request->op;
    slot_take(&slot->slot, request, &slot->job->job);
    if (codec_op_is_whole(slot->op) && !slot->slot.buffer)
        pockets_offer(&self->pockets, &slot->slot);
    if (slot->slot.pockets && slot->op != SIDE_TAKE)
        (void)pocket_lend(&slot->slot); /* there is one for each */
    if (slot->op == SIDE_RECALL || codec_op_counts(slot->op))
        slot->slot.length = num_u32(min_u64(slot->slot.length, slot->slot.capacity));
    slot->damaged = false;
    if (request->payload_bytes > 0) {
        slot->step = SERVE_RECEIVING;
        wrong = session_receive(&self->session, &slot->slot, request->payload_bytes);
        return wrong ? stream_violation(stream, err, "%s", wrong) : 0;
    }
    if (!serve_refuse_open(self, slot))
        serve_start(self, slot);
    return 0;
}

void serve_payload(struct serve *self, struct slot *slot, bool damaged)
{
    struct serve_slot *own = serve_slot_of(slot);
    own->damaged = damaged;
    if (damaged)
        serve_answer(self, own);
    else if (!serve_refuse_open(self, own))
        serve_start(self, own);
}

static void serve_done(struct serve *self, struct serve_slot *slot);

/* What was asked for in this folder begins, or fails with it. */
static void serve_made(struct serve *self, const struct serve_slot *folder)
{
    struct serve_slot **at = &self->making;
    while (*at != folder)
        at = &(*at)->making;
    *at = folder->making;
    if (folder->slot.result == 0)
        serve_note_folder(self, &folder->job->job);
    for (uint32_t i = 0; self->behind_count > 0 && i < self->slots_total; i++) {
        struct serve_slot *slot = &self->slots[i];
        if (slot->behind != folder)
            continue;
        slot->behind = NULL;
        self->behind_count--;
        if (folder->slot.result == 0) {
            serve_go(self, slot);
            continue;
        }
        slot->slot.result =
            error_set(slot->slot.error, -folder->slot.result,
                      "%s: the folder that it is in could not be made", slot->job->job.target_path);
        serve_done(self, slot);
    }
}

static void serve_done(struct serve *self, struct serve_slot *slot)
{
    struct slot *done = &slot->slot;
    if (slot->op == SIDE_DELIVER && !serve_delivered(self, slot))
        return;
    if (slot->op == SIDE_MAKE)
        serve_made(self, slot);
    if (done->result == 0 && codec_op_stores(slot->op)) {
        codec_tally_add(&slot->job->tally, done);
    } else if (done->result == 0 && codec_op_counts(slot->op)) {
        done->digest = digest_of(done->buffer, done->count);
    } else if (done->result == 0 && slot->op == SIDE_RECALL) {
        codec_entries(done->buffer, done->count);
        done->digest = digest_of(done->buffer, done->count * (size_t)WIRE_ENTRY_BYTES);
    }
    if (slot->op != SIDE_BLOCKS && slot->op != SIDE_DIFFER)
        serve_hold(slot);
    if (slot->op == SIDE_BLOCKS)
        done->digest = digest_of(done->digests, done->count);
    serve_answer(self, slot);
}

int serve_reap(struct serve *self, bool wait, struct error *err)
{
    struct slot *done[SERVE_REAP_MAX];
    int count;
    while ((count = side_reap(self->side, done, SERVE_REAP_MAX, wait)) > 0) {
        for (int i = 0; i < count; i++)
            serve_done(self, serve_slot_of(done[i]));
        wait = false;
    }
    if (count < 0)
        error_take(err, &self->side->error);
    return count;
}

/* ---- the side ---- */

static void serve_abandon(struct serve *self, struct serve_job *job)
{
    struct slot *slot = &self->slots[0].slot;
    ERROR_UNSET(ignored);
    slot->job = &job->job;
    if (job->open && self->agreed.role == SIDE_TARGET && !job->job.wish.compare_only)
        (void)side_call(self->side, slot, SIDE_SYNC, &ignored);
    (void)side_call(self->side, slot, SIDE_ABANDON, &ignored);
}

void serve_abandon_all(struct serve *self)
{
    for (uint32_t i = 0; i < self->jobs_count; i++) {
        if (self->names[i].used && !self->names[i].passing)
            serve_abandon(self, &self->jobs[i]);
    }
}
