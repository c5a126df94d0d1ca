/* peer.c - a side on the other side of a link: sends slots' operations as they are started,
 * takes the answers, keeps watch over the link. Decides nothing about the copy; its own only choice
 * is to transfer a damaged payload again. */
#include "haul/wire/peer.h"

#include "peer_check.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/side/pockets.h"
#include "haul/wire/session.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

static const uint64_t explain_timeout_ns = 3 * NS_PER_SECOND;
static const uint64_t wait_ns_max = NS_PER_SECOND / 5; /* how soon a request to stop is noticed */
/* When we are to stop, a side that neither takes nor says anything for so long is left alone: it
 * finds the end of the link and makes its journal right by itself. */
static const uint64_t full_ns_max = WIRE_SILENCE_MS / 4 * NS_PER_MS;
static const uint64_t stop_silence_ns = NS_PER_SECOND, stop_ping_ns = NS_PER_SECOND / 4;

enum peer_step {
    PEER_IDLE,      /* the caller has the slot, or it waits to be reaped */
    PEER_QUEUED,    /* its request is not sent, or not completely */
    PEER_ASKED,     /* the other side works on it */
    PEER_RECEIVING, /* its payload is arriving */
};

struct peer_work {
    struct slot *slot;
    enum peer_step step;
    uint32_t resends;
    bool laid_down; /* what comes for it finds no pocket, and is asked for once more */
};

struct peer_job {
    bool used;
    uint32_t number;
    struct wire_tally tally;
};

struct peer {
    struct side side;
    struct peer_config config;
    struct session session;
    struct wire_hello agreed;
    struct peer_work *works; /* by slot index */
    uint32_t works_count;
    struct peer_job *jobs;     /* agreed.jobs_max ... */
    uint32_t jobs_end;         /* ... of which those behind this were never used */
    struct pockets *pockets;   /* for what comes; NULL: nobody has offered any */
    uint64_t full_ns;          /* since when none of these is free; 0: one is */
    uint8_t *aside;            /* takes what comes when that has been long */
    struct queue laid;         /* slots: it has */
    struct queue queue, ready; /* slots */
    bool broken;               /* nothing is sent or received any more */
    struct error why;
    uint64_t asked_ns;              /* since when we have been waiting without a break */
    uint64_t stopped_ns;            /* since when we are to stop; 0: we are not */
    uint64_t moved_ns, moved_bytes; /* when WIRE_SIGN_BYTES more were sent or received, and how many
                                       there were then */
    uint64_t resent;
    uint64_t round_trip_ns;         /* of the greeting */
    struct wire_idle idle;          /* as the other side has told last */
    atomic_bool idle_wanted;        /* by another thread, ... */
    _Atomic uint64_t idle_permille; /* ... which is told this ... */
    _Atomic uint32_t idle_told;     /* ... so many times */
    uint64_t counted_sent_bytes, counted_received_bytes;
    uint32_t halved; /* of config.control: as this one has wished */
};

static struct peer *peer_of(struct side *side)
{
    return (struct peer *)side;
}

static struct link *link_of(const struct peer *self)
{
    return self->session.stream.link;
}

static struct peer_work *work_of(struct peer *self, const struct slot *slot)
{
    return &self->works[slot->index];
}

/* ---- what the other side should have settled ---- */

static struct peer_job *job_of(struct peer *self, uint32_t number)
{
    for (uint32_t i = 0; i < self->jobs_end; i++) {
        if (self->jobs[i].used && self->jobs[i].number == number)
            return &self->jobs[i];
    }
    return NULL;
}

/* false: so many files are open already as the other side allows. */
static bool job_begin(struct peer *self, uint32_t number)
{
    for (uint32_t i = 0; i < self->agreed.jobs_max; i++) {
        if (!self->jobs[i].used) {
            self->jobs[i] = (struct peer_job){.used = true, .number = number};
            self->jobs_end = (uint32_t)max_u64(self->jobs_end, i + 1);
            return true;
        }
    }
    return false;
}

/* What a DELIVER opens is closed by its answer, and nobody else asks about it. */
static bool peer_opens(enum side_op op)
{
    return codec_op_begins(op) && op != SIDE_DELIVER;
}

/* The slot is done. */
static void peer_finish(struct peer *self, struct slot *slot, int result)
{
    struct peer_job *job = slot->op != SIDE_DELIVER ? job_of(self, slot->job->number) : NULL;
    struct peer_work *work = work_of(self, slot);
    slot->result = result;
    if (work->laid_down)
        slot->buffer = NULL; /* it was ours */
    *work = (struct peer_work){.slot = slot, .step = PEER_IDLE};
    if (result == 0 && job && codec_op_stores(slot->op))
        codec_tally_add(&job->tally, slot);
    if (job && codec_op_ends(slot->op, result == 0))
        job->used = false;
    queue_put(&self->ready, &slot->link);
}

/* Success is an acknowledged COMMIT of just what we had it store. NULL, or what is wrong. */
static const char *peer_check_commit(struct peer *self, const struct slot *slot,
                                     const struct wire_tally *tally)
{
    const struct peer_job *job = slot->op == SIDE_COMMIT ? job_of(self, slot->job->number) : NULL;
    if (slot->op != SIDE_DELIVER && !job)
        return NULL;
    struct wire_tally stored = {.bytes = 0};
    if (slot->op == SIDE_DELIVER) /* all of it in this one */
        codec_tally_add(&stored, slot);
    else
        stored = job->tally;
    bool same = stored.bytes == tally->bytes && stored.sum == tally->sum;
    return same ? NULL : "it commits something else than was stored";
}

/* ---- the link is gone ---- */

/* Why did the link end, or talk something else? How the command there ended says more than "end of
 * file" does; most often, during the greeting, that there is no haul, or no login. */
static void peer_explain(struct peer *self, struct error *why)
{
    ERROR_UNSET(ended);
    bool greeting = !self->session.agreed;
    bool look = why->class == ERROR_SOCKET || (greeting && why->class == ERROR_PROTOCOL);
    if (!look || self->session.told)
        return;
    (void)link_shutdown(link_of(self), explain_timeout_ns, &ended);
    if (!error_is_set(&ended) || ended.class == ERROR_TIMEOUT)
        return;
    /* What arrived says more than that a haul behind it gave up in turn. */
    if (why->class == ERROR_PROTOCOL && ended.class == ERROR_START)
        return;
    *why = ended;
    /* It had been started and found; that it ended in mid-sentence is another matter. */
    if (!greeting && (ended.class == ERROR_START || ended.class == ERROR_NOT_FOUND))
        why->class = ERROR_PROTOCOL;
}

/* How often the other side wants halved what is in flight; 0: not, as when it is gone. */
static void peer_wish(struct peer *self, uint32_t halved)
{
    if (self->config.control)
        control_far_halve(self->config.control, self->halved, halved);
    self->halved = halved;
}

/* Every slot comes back with the reason, now and from now on. */
static void peer_break(struct peer *self, const struct error *why)
{
    if (self->broken)
        return;
    self->broken = self->side.broken = true;
    peer_wish(self, 0);
    self->side.lost =
        !self->session.told && (why->class == ERROR_SOCKET || why->class == ERROR_TIMEOUT);
    self->why = *why;
    if (self->session.agreed && why->class == ERROR_PROTOCOL && !self->session.told)
        session_say_bye(&self->session, why, 0);
    peer_explain(self, &self->why);
    self->queue.first = self->laid.first = NULL;
    error_take(&self->side.error, &self->why);
    for (uint32_t i = 0; i < self->works_count; i++) {
        struct slot *slot = self->works[i].slot;
        if (self->works[i].step != PEER_IDLE)
            peer_finish(self, slot, error_take(slot->error, &self->why));
    }
}

static void peer_violated(struct peer *self, const char *what)
{
    ERROR_UNSET(why);
    stream_violation(&self->session.stream, &why, "%s", what);
    peer_break(self, &why);
}

static void peer_ended(struct peer *self, const struct wire_failure *bye)
{
    ERROR_UNSET(why);
    if (bye->class == ERROR_NONE)
        error_set_class(&why, ERROR_PROTOCOL, EPROTO, "%s: ended before it was asked to",
                        link_of(self)->peer);
    else
        error_set_class(&why, bye->class, bye->errnum ? (int)bye->errnum : EPROTO, "%s: %s",
                        link_of(self)->peer, bye->words);
    peer_break(self, &why);
}

/* ---- sending ---- */

/* Before it is asked, so that the one who wished it learns what there is no doing without. */
static int peer_check_wish(const struct peer *self, struct slot *slot)
{
    const char *unknown = codec_op_describes(slot->op)
                              ? codec_choice_unknown(&slot->job->wish, self->agreed.choices)
                              : NULL;
    if (!unknown)
        return 0;
    return error_set_class(slot->error, ERROR_USAGE, ENOTSUP,
                           "%s: haul there is older and does not know this: %s",
                           link_of(self)->peer, unknown);
}

static void peer_put_request(struct peer *self, struct slot *slot)
{
    struct wire_message message;
    const struct job *job = slot->job;
    codec_message(&message, WIRE_REQUEST, slot->index);
    codec_slot(&message.slot, slot);
    message.op = slot->op;
    message.job = *job;
    if (job->names)
        message.names = job->names[SIDE_SOURCE];
    message.path = self->side.role == SIDE_SOURCE ? job->source_path : job->target_path;
    message.root = job->roots[self->side.role];
    message.payload_bytes = codec_op_gives(slot->op) ? codec_op_brings(slot->op, slot) : 0;
    if (message.payload_bytes > 0 &&
        slot->op != SIDE_STORE) { /* that of a chunk was there before */
        const struct codec_payload payload = codec_payload(slot->op, slot, WIRE_CLIENT);
        message.slot.digest = digest_of(payload.data, payload.bytes);
        if (slot->op != SIDE_DIFFER)
            slot->digest = message.slot.digest;
    }
    if (!slot->conditional)
        message.slot.expected = (struct digest){{0}};
    int result = peer_check_wish(self, slot);
    if (result < 0) {
        peer_finish(self, slot, result);
        return;
    }
    result = session_put(&self->session, &message, slot);
    if (result == 0 && slot->op == SIDE_DELIVER) /* the answer takes long, others want it */
        pocket_give_back(slot);
    if (result == 0)
        work_of(self, slot)->step = PEER_ASKED;
    else if (result < 0)
        peer_finish(self, slot, error_set(slot->error, -result, "%s: a path", link_of(self)->peer));
}

/* 0, or -errno of the link. */
static int peer_send(struct peer *self, struct error *err)
{
    if (atomic_exchange(&self->idle_wanted, false))
        self->session.ping_due = true;
    while (self->laid.first && self->pockets->free_count > 0)
        queue_put(&self->queue, queue_take(&self->laid));
    for (;;) {
        struct slot *sent;
        while (self->queue.first && session_has_room(&self->session))
            peer_put_request(self, queue_take(&self->queue));
        int result = session_send(&self->session, &sent, err);
        if (sent)
            work_of(self, sent)->step = PEER_ASKED;
        if (result <= 0)
            return result;
        if (!self->queue.first && !session_keep_alive(&self->session))
            return 0;
    }
}

/* ---- receiving ---- */

/* What has come comes once more: until then others, which may be before it, have its pocket. */
static void peer_lay_down(struct slot *slot)
{
    struct pockets *pockets = slot->pockets;
    pocket_give_back(slot);
    pockets_offer(pockets, slot);
}

/* There is no pocket for it, and perhaps none for long: it is asked for once there is one. */
static void peer_lay_aside(struct peer *self, struct slot *slot)
{
    struct peer_work *work = work_of(self, slot);
    slot->buffer = NULL;
    work->laid_down = false;
    work->step = PEER_QUEUED;
    queue_put(&self->laid, &slot->link);
}

/* A payload was damaged on its way, in either direction. */
static void peer_again(struct peer *self, struct slot *slot)
{
    struct peer_work *work = work_of(self, slot);
    unsigned long long first = slot->offset, last = slot->offset + slot->length - 1;
    /* What went on there, or was overwritten here, is not asked for twice. */
    bool once = slot->op == SIDE_WALK || slot->op == SIDE_MISSING;
    if (slot->op == SIDE_DELIVER && !slot->buffer) {
        error_set_class(slot->error, ERROR_PROTOCOL, EAGAIN, "%s: %s arrived damaged",
                        link_of(self)->peer, slot->job->target_path);
        peer_finish(self, slot, -EAGAIN);
        return;
    }
    if (once || work->resends == WIRE_RESENDS_MAX) {
        error_set_class(
            slot->error, ERROR_PROTOCOL, EBADMSG,
            "%s: bytes %llu to %llu of %s arrived damaged %u times", link_of(self)->peer, first,
            last, self->side.role == SIDE_SOURCE ? slot->job->source_path : slot->job->target_path,
            work->resends + 1);
        peer_finish(self, slot, -EBADMSG);
        return;
    }
    if (slot->op == SIDE_TAKE && slot->pockets)
        peer_lay_down(slot);
    work->resends++;
    self->resent++;
    slot->partial = false; /* a STORE; and perhaps the other side's buffer is what is wrong */
    log_note("%s: bytes %llu to %llu arrived damaged; sending them again", link_of(self)->peer,
             first, last);
    work->step = PEER_QUEUED;
    queue_put(&self->queue, &slot->link);
}

static void peer_failed(struct peer *self, struct slot *slot, const struct wire_message *reply)
{
    bool name = reply->failure.errnum == ENOTUNIQ; /* is all that it says: see spelling.h */
    error_set_class(slot->error, reply->failure.class, (int)reply->failure.errnum, "%s%s%s",
                    name ? "" : link_of(self)->peer, name ? "" : ": ", reply->failure.words);
    codec_take_reply(slot, self->side.role, reply); /* some report all the same */
    peer_finish(self, slot, -(int)reply->failure.errnum);
}

static void peer_done(struct peer *self, struct slot *slot, const struct wire_message *reply)
{
    const char *wrong = peer_check(slot, self->side.role, reply);
    if (!wrong)
        wrong = peer_check_commit(self, slot, &reply->tally);
    if (!wrong)
        peer_take(slot, self->side.role, reply);
    if (!wrong && reply->payload_bytes > 0) {
        struct peer_work *work = work_of(self, slot);
        work->laid_down = !slot->buffer && slot->pockets && !pocket_lend(slot);
        if (work->laid_down)
            slot->buffer = self->aside;
        work->step = PEER_RECEIVING;
        wrong = session_receive(&self->session, slot, reply->payload_bytes);
    } else if (!wrong) {
        peer_finish(self, slot, 0);
    }
    if (wrong)
        peer_violated(self, wrong);
}

static void peer_reply(struct peer *self, const struct wire_message *reply)
{
    struct peer_work *work = reply->tag < self->works_count ? &self->works[reply->tag] : NULL;
    if (!work || work->step != PEER_ASKED || work->slot->op != reply->op)
        peer_violated(self, "it answers what was not asked");
    else if (reply->status == WIRE_DONE)
        peer_done(self, work->slot, reply);
    else if (reply->status == WIRE_FAILED)
        peer_failed(self, work->slot, reply);
    else
        peer_again(self, work->slot);
}

static void peer_message(struct peer *self, const struct wire_message *message)
{
    if (message->type == WIRE_REPLY)
        peer_reply(self, message);
    else if (message->type == WIRE_NOTE && message->note.level <= self->config.hello.log_level)
        log_line(message->note.level, "%s: %s", link_of(self)->peer, message->note.line);
    else if (message->type == WIRE_BYE)
        peer_ended(self, &message->failure);
}

static void peer_payload(struct peer *self, struct slot *slot)
{
    if (work_of(self, slot)->laid_down) {
        peer_lay_aside(self, slot);
        return;
    }
    if (slot->op == SIDE_RECALL)
        codec_entries(slot->buffer, slot->count);
    peer_finish(self, slot, 0);
}

/* What PONG said of the other side's memory, and of its processors, compared with the one before.
 */
static void peer_note_idle(struct peer *self)
{
    const struct wire_idle now = self->session.idle, before = self->idle;
    if (self->session.pongs_count == self->idle_told)
        return;
    if (!self->broken)
        peer_wish(self, self->session.far_halved);
    /* What is counted as waiting for a disk may become less. */
    uint64_t idle_ns = now.idle_ns - min_u64(before.idle_ns, now.idle_ns);
    bool known =
        self->idle_told > 0 && now.idle_ns != NUM_UNKNOWN && now.clock_ns > before.clock_ns;
    self->idle_permille =
        known ? idle_ns / div_ceil(now.clock_ns - before.clock_ns, 1000) : NUM_UNKNOWN;
    self->idle = now;
    self->idle_told = self->session.pongs_count;
}

/* Without a pocket nothing is taken that may need one: what has come before is on its way to the
 * other side. But not for long: who does not listen cannot tell that what is said arrives, and is
 * given up. */
static bool peer_has_room(const struct peer *self)
{
    bool full = self->pockets && self->pockets->free_count == 0;
    return !full || self->session.receiving ||
           (self->full_ns > 0 && clock_now_ns() - self->full_ns >= full_ns_max);
}

static void peer_note_pockets(struct peer *self)
{
    bool full = self->pockets && self->pockets->free_count == 0;
    if (!full)
        self->full_ns = 0;
    else if (self->full_ns == 0)
        self->full_ns = clock_now_ns();
}

/* Until nothing more is there, or a slot has its payload and nothing is in memory behind it: where
 * the link is faster than we are, all slots would fill before the first is stored, and nothing be
 * asked for meanwhile. */
static void peer_receive(struct peer *self)
{
    struct wire_message message;
    ERROR_UNSET(why);
    int event = SESSION_MESSAGE;
    while (!self->broken && peer_has_room(self) &&
           (event == SESSION_MESSAGE || session_has_more(&self->session))) {
        struct slot *slot;
        event = session_get(&self->session, &message, &slot, &why);
        if (event == SESSION_MESSAGE)
            peer_message(self, &message);
        else if (event == SESSION_PAYLOAD)
            peer_payload(self, slot);
        else if (event == SESSION_DAMAGED && work_of(self, slot)->laid_down)
            peer_lay_aside(self, slot);
        else if (event == SESSION_DAMAGED)
            peer_again(self, slot);
        else if (event < 0)
            peer_break(self, &why);
    }
    peer_note_idle(self);
}

/* ---- the table ---- */

static void peer_count_bytes(struct peer *self)
{
    const struct link *link = link_of(self);
    struct progress *progress = self->config.progress;
    if (progress) {
        progress->wire_bytes_sent += link->sent_bytes - self->counted_sent_bytes;
        progress->wire_bytes_received += link->received_bytes - self->counted_received_bytes;
    }
    self->counted_sent_bytes = link->sent_bytes;
    self->counted_received_bytes = link->received_bytes;
}

/* We are to stop: whoever is waited for has to move now. */
static void peer_watch_stop(struct peer *self)
{
    const struct link *link = link_of(self);
    uint64_t now_ns = clock_now_ns(), bytes = link->sent_bytes + link->received_bytes;
    ERROR_UNSET(why);
    if (bytes - self->moved_bytes >= WIRE_SIGN_BYTES) {
        self->moved_bytes = bytes;
        self->moved_ns = now_ns;
    }
    if (!self->config.control || !self->config.control->stop)
        return;
    if (self->stopped_ns == 0)
        self->stopped_ns = now_ns;
    self->session.ping_ns = min_u64(self->session.ping_ns, stop_ping_ns);
    uint64_t heard_ns = max_u64(self->session.stream.heard_ns, self->moved_ns);
    if (self->side.inflight == 0 || now_ns < max_u64(self->stopped_ns, heard_ns) + stop_silence_ns)
        return;
    error_set_class(&why, ERROR_INTERRUPTED, EINTR, "interrupted, and %s does not answer",
                    link->peer);
    peer_break(self, &why);
}

static void peer_watch(struct peer *self)
{
    ERROR_UNSET(why);
    if (!peer_has_room(self)) /* who does not listen hears no silence */
        self->asked_ns = clock_now_ns();
    if (!self->broken && self->side.inflight > 0 &&
        session_watch(&self->session, self->asked_ns, self->config.timeout_ns, &why) < 0)
        peer_break(self, &why);
    if (!self->broken)
        peer_watch_stop(self);
}

/* What is possible now, one payload at most. true: something was. */
static bool peer_turn(struct peer *self)
{
    const struct link *link = link_of(self);
    uint64_t before_bytes = link->sent_bytes + link->received_bytes;
    ERROR_UNSET(why);
    if (!self->broken) {
        peer_note_pockets(self);
        int sent = peer_send(self, &why);
        peer_receive(self); /* after a failed send, too: it may have said why it ends */
        if (sent < 0)
            peer_break(self, &why);
        else if (!self->broken && self->session.pong_due)
            (void)peer_send(self, NULL);
        peer_watch(self);
    }
    peer_count_bytes(self);
    return link->sent_bytes + link->received_bytes != before_bytes;
}

static unsigned int peer_wanted(const struct peer *self)
{
    unsigned int wanted = session_wanted(&self->session, self->queue.first != NULL);
    return peer_has_room(self) ? wanted : wanted & ~(unsigned int)LINK_RECV;
}

static void peer_wait(struct peer *self)
{
    uint64_t wait_ns = session_wait_ns(&self->session, wait_ns_max);
    if (self->config.timeout_ns > 0)
        wait_ns = min_u64(wait_ns, self->config.timeout_ns);
    (void)link_wait(link_of(self), peer_wanted(self), wait_ns, NULL);
}

static void peer_start(struct side *side, struct slot *slot)
{
    struct peer *self = peer_of(side);
    assert(slot->index < self->works_count);
    struct peer_work *work = work_of(self, slot);
    assert(work->step == PEER_IDLE);
    *work = (struct peer_work){.slot = slot, .step = PEER_QUEUED};
    if (slot->pockets && !slot->buffer)
        self->pockets = slot->pockets;
    if (side->inflight == 1)
        self->asked_ns = clock_now_ns(); /* silence counts from the first question on */
    if (self->broken) {
        peer_finish(self, slot, error_take(slot->error, &self->why));
    } else if (peer_opens(slot->op) && !job_begin(self, slot->job->number)) {
        error_set(slot->error, EMFILE, "%s: too many files at once", link_of(self)->peer);
        peer_finish(self, slot, -EMFILE);
    } else {
        queue_put(&self->queue, &slot->link);
    }
}

static int peer_reap(struct side *side, struct slot **out, uint32_t max, bool wait)
{
    struct peer *self = peer_of(side);
    bool moved = peer_turn(self);
    uint32_t count = 0;
    /* With half a chunk arrived it is better to let the other side work than to wait for the rest.
     */
    if (wait && !moved && !self->ready.first && !self->broken) {
        peer_wait(self);
        peer_turn(self);
    }
    while (count < max && self->ready.first)
        out[count++] = queue_take(&self->ready);
    return (int)count;
}

static int peer_wait_fd(struct side *side, short *events)
{
    struct peer *self = peer_of(side);
    *events = POLLIN;
    if (self->ready.first || self->broken)
        return -1;
    if (peer_has_room(self) && session_has_more(&self->session))
        return -1;
    int fd = link_wait_fd(link_of(self), peer_wanted(self), events);
    if (!peer_has_room(self))
        *events &= ~POLLIN;
    return fd;
}

static bool peer_drained(const struct peer *self)
{
    for (uint32_t i = 0; i < self->works_count; i++) {
        if (self->works[i].step != PEER_IDLE)
            return false;
    }
    return !stream_sending(&self->session.stream);
}

/* What is in flight comes back first; then the other side lets go of its files and says BYE, too.
 */
static void peer_goodbye(struct peer *self)
{
    bool stopped = self->stopped_ns > 0 || (self->config.control && self->config.control->stop);
    uint64_t now_ns = clock_now_ns();
    uint64_t deadline_ns = now_ns + (stopped ? 1 : PEER_CLOSE_SECONDS) * NS_PER_SECOND;
    bool said = false;
    for (; !self->broken && now_ns < deadline_ns; now_ns = clock_now_ns()) {
        if (!said && peer_drained(self)) {
            said = true;
            session_say_bye(&self->session, NULL, deadline_ns - now_ns);
            (void)link_of(self)->ops->send_eof(link_of(self), NULL); /* one round trip less */
        }
        if (!peer_turn(self))
            peer_wait(self);
    }
    if (self->session.told && now_ns < deadline_ns)
        (void)link_shutdown(link_of(self), deadline_ns - now_ns, NULL);
}

static void peer_free(struct peer *self)
{
    session_close(&self->session);
    free(self->aside);
    free(self->works);
    free(self->jobs);
    free(self);
}

static void peer_close(struct side *side)
{
    struct peer *self = peer_of(side);
    self->config.progress = NULL; /* may be gone already */
    if (!self->broken)
        peer_goodbye(self);
    peer_wish(self, 0);
    link_close(link_of(self));
    peer_free(self);
}

static const struct side_ops peer_ops = {
    .start = peer_start,
    .reap = peer_reap,
    .wait_fd = peer_wait_fd,
    .close = peer_close,
};

/* ---- the greeting ---- */

/* What is not the caller's choice. */
static struct wire_hello peer_hello(const struct peer_config *config)
{
    struct wire_hello hello = config->hello;
    uint64_t ping_ms = WIRE_PING_MS;
    if (config->timeout_ns > 0)
        ping_ms = clamp_u64(config->timeout_ns / 4 / NS_PER_MS, WIRE_PING_MS_MIN, WIRE_PING_MS);
    hello.choices = codec_choices_known();
    hello.lanes = hello.lanes ? hello.lanes : 1;
    hello.ping_ms = num_u32(ping_ms);
    return hello;
}

/* What a server may answer to our wishes. */
static bool peer_hello_fits(const struct wire_hello *wish, const struct wire_hello *given)
{
    return given->session == wish->session && given->role == wish->role &&
           given->engine == wish->engine && given->log_level == wish->log_level &&
           given->lanes <= wish->lanes && given->ping_ms == wish->ping_ms &&
           given->slots_count > 0 &&
           (wish->slots_count == 0 || given->slots_count <= wish->slots_count) &&
           given->control_count == wish->control_count && given->jobs_max <= wish->jobs_max &&
           given->chunk_bytes > 0 &&
           (wish->chunk_bytes == 0 || given->chunk_bytes <= wish->chunk_bytes);
}

/* The limits are known: make room for the slots' states. */
static int peer_agree(struct peer *self, const struct wire_hello *given, struct error *err)
{
    self->agreed = *given;
    self->agreed.capabilities &= self->config.hello.capabilities;
    if ((self->agreed.capabilities ^ self->config.hello.capabilities) & WIRE_CAN_PACK)
        return error_set_class(err, ERROR_USAGE, ENOTSUP,
                               "%s: haul there was built without zstd: leave out -z",
                               link_of(self)->peer);
    if ((self->agreed.capabilities ^ self->config.hello.capabilities) & WIRE_TELLS)
        return error_set_class(err, ERROR_USAGE, EACCES,
                               "%s: haul is restricted to writing there and does not tell what is "
                               "there: leave out --update, --existing, --ignore-existing and "
                               "--size-only",
                               link_of(self)->peer);
    self->works_count = given->slots_count + given->control_count;
    self->works = calloc(self->works_count, sizeof(*self->works));
    self->jobs = calloc(given->jobs_max, sizeof(*self->jobs));
    self->aside = malloc(WIRE_POCKET_BYTES); /* no page of it before it is needed */
    if (!self->works || !self->jobs || !self->aside)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    return session_agree(&self->session, &self->agreed, err);
}

/* Notes may come before its HELLO, and a reason why there is none. */
static int peer_await_hello(struct peer *self, struct wire_message *message, struct error *err)
{
    do {
        int result = session_hear_now(&self->session, message, self->config.hello_timeout_ns, err);
        if (result < 0)
            return result;
        peer_message(self, message);
    } while (!self->broken && message->type != WIRE_HELLO);
    return self->broken ? error_take(err, &self->why) : 0;
}

static int peer_greet(struct peer *self, struct error *err)
{
    const struct wire_hello wish = peer_hello(&self->config);
    uint64_t timeout_ns = self->config.hello_timeout_ns;
    struct wire_message message;
    int result = session_greet(&self->session, timeout_ns, err);
    uint64_t said_ns = clock_now_ns();
    if (result == 0)
        result = session_say_hello(&self->session, &wish, timeout_ns, err);
    if (result == 0)
        result = peer_await_hello(self, &message, err);
    if (result < 0)
        return result;
    self->round_trip_ns = clock_now_ns() - said_ns;
    if (!peer_hello_fits(&wish, &message.hello))
        return stream_violation(&self->session.stream, err,
                                "its limits are not an answer to what was asked");
    return peer_agree(self, &message.hello, err);
}

int peer_open(struct side **out, const struct peer_config *config, struct error *err)
{
    struct peer *self = calloc(1, sizeof(*self));
    ERROR_UNSET(why);
    *out = NULL;
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a session");
    assert(config->hello.jobs_max > 0 && config->hello.jobs_max <= WIRE_JOBS_MAX);
    self->side = (struct side){.ops = &peer_ops, .role = config->hello.role};
    self->config = *config;
    session_init(&self->session, config->link, WIRE_CLIENT);
    int result = peer_greet(self, &why);
    if (result == 0) {
        *out = &self->side;
        return 0;
    }
    if (!error_is_set(&why))
        error_set_class(&why, ERROR_SOCKET, ECONNRESET,
                        "%s: the connection ended before haul answered", config->link->peer);
    if (!self->broken)
        peer_explain(self, &why);
    peer_free(self);
    return error_take(err, &why);
}

const struct wire_hello *peer_agreed(const struct side *side)
{
    return &((const struct peer *)side)->agreed;
}

uint64_t peer_round_trip_ns(const struct side *side)
{
    return ((const struct peer *)side)->round_trip_ns;
}

void peer_look(struct side *side)
{
    peer_of(side)->idle_wanted = true;
}

struct peer_idle peer_idle(const struct side *side)
{
    const struct peer *self = (const struct peer *)side;
    return (struct peer_idle){self->idle_permille, self->idle_told};
}

bool peer_broken(const struct side *side)
{
    return ((const struct peer *)side)->broken;
}

uint64_t peer_resent(const struct side *side)
{
    return ((const struct peer *)side)->resent;
}
