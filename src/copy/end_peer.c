/* end_peer.c - an end on the other side of a link: sends slots' operations as they are started,
 * takes the answers, keeps watch over the link. Decides nothing about the copy; its own only choice
 * is to transfer a damaged payload again. How a session begins and ends is in end_peer_session.c.
 */
#include "end_peer_state.h"

#include "wire_slot.h"

#include "haul/clock.h"
#include "haul/num.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

static const uint64_t explain_timeout_ns = 2 * NS_PER_SECOND;
static const uint64_t wait_ns_max = NS_PER_SECOND / 5; /* how soon a request to stop is noticed */
/* When we are to stop, a side that neither takes nor says anything for so long is left alone: it
 * finds the end of the link and makes its journal right by itself. */
static const uint64_t stop_silence_ns = NS_PER_SECOND, stop_ping_ns = NS_PER_SECOND / 4;

static void list_add(struct peer_list *list, struct slot *slot)
{
    slot->next = NULL;
    if (list->first)
        list->last->next = slot;
    else
        list->first = slot;
    list->last = slot;
}

static struct slot *list_take(struct peer_list *list)
{
    struct slot *slot = list->first;
    if (slot)
        list->first = slot->next;
    return slot;
}

static struct peer_work *work_of(struct end_peer *self, const struct slot *slot)
{
    return &self->works[slot->index];
}

static struct wire_tally *tally_of(struct end_peer *self, uint32_t job)
{
    for (uint32_t i = 0; i < self->limits.jobs_max; i++) {
        if (self->jobs[i].used && self->jobs[i].number == job)
            return &self->jobs[i].tally;
    }
    return NULL;
}

/* false: so many files are open already as the other side allows. */
static bool tally_begin(struct end_peer *self, uint32_t job)
{
    for (uint32_t i = 0; i < self->limits.jobs_max; i++) {
        if (!self->jobs[i].used) {
            self->jobs[i] = (struct peer_job){.used = true, .number = job};
            return true;
        }
    }
    return false;
}

static void tally_end(struct end_peer *self, uint32_t job)
{
    for (uint32_t i = 0; i < self->limits.jobs_max; i++) {
        if (self->jobs[i].number == job)
            self->jobs[i].used = false;
    }
}

/* The slot is done: note what the session has settled. */
static void peer_finish(struct end_peer *self, struct slot *slot, int result)
{
    struct wire_tally *tally = tally_of(self, slot->job->number);
    slot->result = result;
    work_of(self, slot)->step = PEER_IDLE;
    if (result == 0 && tally && (slot->op == END_STORE || slot->op == END_KEEP))
        codec_tally_add(tally, slot);
    if (slot->op == END_ABANDON || (slot->op == END_COMMIT && result == 0) ||
        (slot->op == END_OPEN && result < 0))
        tally_end(self, slot->job->number);
    list_add(&self->ready, slot);
}

/* ---- the link is gone ---- */

/* Why did the link end? How the command there ended says more than "end of file" does. */
static void peer_explain(struct end_peer *self, struct error *why)
{
    struct error ended = {.class = ERROR_NONE};
    (void)link_shutdown(self->stream.link, explain_timeout_ns, &ended);
    if (!error_is_set(&ended) || ended.class == ERROR_TIMEOUT || why->class == ERROR_TIMEOUT)
        return;
    *why = ended;
    /* It had been started and found; that it ended in mid-sentence is another matter. */
    if (ended.class == ERROR_START || ended.class == ERROR_NOT_FOUND)
        why->class = ERROR_PROTOCOL;
}

static void peer_tell_violation(struct end_peer *self)
{
    struct wire_message bye = {
        .type = WIRE_BYE,
        .tag = WIRE_TAG_NONE,
        .failure = {.class = ERROR_PROTOCOL, .errnum = EPROTO, .words = self->why.text},
    };
    if (!stream_sending(&self->stream) && stream_put(&self->stream, &bye, NULL) == 0)
        (void)stream_flush(&self->stream, NULL);
}

/* Every slot comes back with the reason, now and from now on. */
void end_peer_break(struct end_peer *self, const struct error *why)
{
    if (self->broken)
        return;
    self->broken = true;
    self->why = *why;
    if (why->class == ERROR_PROTOCOL && !self->told)
        peer_tell_violation(self);
    else if (why->class == ERROR_SOCKET)
        peer_explain(self, &self->why);
    self->queue.first = NULL;
    self->sending = self->receiving = NULL;
    for (uint32_t i = 0; i < self->works_count; i++) {
        struct slot *slot = self->works[i].slot;
        if (self->works[i].step != PEER_IDLE)
            peer_finish(self, slot, error_take(&slot->error, &self->why));
    }
}

static void peer_violated(struct end_peer *self, const char *what)
{
    struct error why = {.class = ERROR_NONE};
    stream_violation(&self->stream, &why, "%s", what);
    end_peer_break(self, &why);
}

static void peer_ended(struct end_peer *self, const struct wire_failure *bye)
{
    struct error why = {.class = ERROR_NONE};
    self->told = true;
    if (bye->class == ERROR_NONE)
        error_set_class(&why, ERROR_PROTOCOL, EPROTO, "%s: ended before it was asked to",
                        self->stream.link->peer);
    else
        error_set_class(&why, bye->class, bye->errnum ? (int)bye->errnum : EPROTO, "%s: %s",
                        self->stream.link->peer, bye->words);
    end_peer_break(self, &why);
}

/* ---- sending ---- */

/* Before it is asked, so that the one who wished it learns what there is no doing without. */
static int peer_check_wish(const struct end_peer *self, struct slot *slot)
{
    const char *unknown = codec_op_describes(slot->op)
                              ? codec_choice_unknown(&slot->job->wish, self->limits.choices)
                              : NULL;
    if (!unknown)
        return 0;
    return error_set_class(&slot->error, ERROR_USAGE, ENOTSUP,
                           "%s: haul there is older and does not know this: %s",
                           self->stream.link->peer, unknown);
}

static void peer_put_request(struct end_peer *self, struct slot *slot)
{
    struct wire_message message;
    wire_slot_request(&message, slot, self->end.role);
    const void *payload = wire_slot_pack(&message, slot, self->pack);
    int result = peer_check_wish(self, slot);
    if (result < 0) {
        peer_finish(self, slot, result);
        return;
    }
    result = stream_put(&self->stream, &message, payload);
    if (result < 0) {
        error_set(&slot->error, -result, "%s: a path", self->stream.link->peer);
        peer_finish(self, slot, result);
        return;
    }
    self->sending = slot;
}

static uint64_t peer_ping_ns(const struct end_peer *self)
{
    return self->stopped_ns ? min_u64(self->ping_ns, stop_ping_ns) : self->ping_ns;
}

/* false: there is nothing to say. */
static bool peer_put_next(struct end_peer *self)
{
    struct wire_message message = {.tag = WIRE_TAG_NONE};
    if (!self->pong_due && self->queue.first) {
        peer_put_request(self, list_take(&self->queue));
        return true;
    }
    if (!self->pong_due && clock_now_ns() - self->stream.sent_ns < peer_ping_ns(self))
        return false;
    message.type = self->pong_due ? WIRE_PONG : WIRE_PING;
    self->pong_due = false;
    return stream_put(&self->stream, &message, NULL) == 0;
}

/* 0, or -errno of the link. */
static int peer_send(struct end_peer *self, struct error *err)
{
    for (;;) {
        int sent = stream_flush(&self->stream, err);
        if (sent <= 0)
            return sent;
        if (self->sending)
            work_of(self, self->sending)->step = PEER_ASKED;
        self->sending = NULL;
        if (!peer_put_next(self))
            return 0;
    }
}

/* ---- receiving ---- */

/* A payload was damaged on its way, in either direction. */
static void peer_again(struct end_peer *self, struct slot *slot)
{
    struct peer_work *work = work_of(self, slot);
    if (work->resends == WIRE_RESENDS_MAX) {
        error_set_class(
            &slot->error, ERROR_PROTOCOL, EBADMSG,
            "%s: bytes %llu to %llu of %s arrived damaged %d times", self->stream.link->peer,
            (unsigned long long)slot->offset, (unsigned long long)(slot->offset + slot->length - 1),
            self->end.role == END_SOURCE ? slot->job->source_path : slot->job->target_path,
            WIRE_RESENDS_MAX + 1);
        peer_finish(self, slot, -EBADMSG);
        return;
    }
    work->resends++;
    self->resent++;
    log_note("%s: bytes %llu to %llu arrived damaged; sending them again", self->stream.link->peer,
             (unsigned long long)slot->offset,
             (unsigned long long)(slot->offset + slot->length - 1));
    work->step = PEER_QUEUED;
    list_add(&self->queue, slot);
}

static void peer_failed(struct end_peer *self, struct slot *slot, const struct wire_message *reply)
{
    error_set_class(&slot->error, reply->failure.class, (int)reply->failure.errnum, "%s: %s",
                    self->stream.link->peer, reply->failure.words);
    (void)wire_slot_take_reply(slot, self->end.role, reply);
    peer_finish(self, slot, -(int)reply->failure.errnum);
}

/* Success is an acknowledged COMMIT of just what we had it store. NULL, or what is wrong. */
static const char *peer_check_commit(struct end_peer *self, const struct slot *slot,
                                     const struct wire_message *reply)
{
    const struct wire_tally *tally = tally_of(self, slot->job->number);
    if (slot->op != END_COMMIT || !tally)
        return NULL;
    bool same = tally->bytes == reply->tally.bytes && tally->sum == reply->tally.sum;
    return same ? NULL : "it commits something else than was stored";
}

static void peer_done(struct end_peer *self, struct slot *slot, const struct wire_message *message)
{
    const char *wrong = wire_slot_take_reply(slot, self->end.role, message);
    if (!wrong)
        wrong = peer_check_commit(self, slot, message);
    if (!wrong && slot->op == END_FETCH && message->payload_bytes > 0 &&
        message->payload_bytes != slot->length &&
        (!self->pack || message->payload_bytes > slot->length))
        wrong = "it sends another length than was asked for";
    if (wrong) {
        peer_violated(self, wrong);
    } else if (message->payload_bytes > 0) {
        assert(slot->buffer && message->payload_bytes <= slot->capacity);
        work_of(self, slot)->step = PEER_RECEIVING;
        self->receiving = slot;
        self->receiving_bytes = message->payload_bytes;
        stream_payload_into(&self->stream,
                            wire_slot_incoming(slot, message->payload_bytes, self->pack),
                            message->payload_bytes);
    } else {
        peer_finish(self, slot, 0);
    }
}

static void peer_reply(struct end_peer *self, const struct wire_message *message)
{
    struct peer_work *work = message->tag < self->works_count ? &self->works[message->tag] : NULL;
    if (!work || work->step != PEER_ASKED || work->slot->op != message->op) {
        peer_violated(self, "it answers what was not asked");
        return;
    }
    self->chatter = (struct stream_chatter){0};
    switch (message->status) {
    case WIRE_DONE:
        peer_done(self, work->slot, message);
        break;
    case WIRE_FAILED:
        peer_failed(self, work->slot, message);
        break;
    case WIRE_DAMAGED:
        peer_again(self, work->slot);
        break;
    }
}

static void peer_note(const struct end_peer *self, const struct wire_note *note)
{
    const char *peer = self->stream.link->peer;
    if (note->level > self->config.log_level)
        return;
    switch (note->level) {
    case LOG_ERROR:
        log_error("%s: %s", peer, note->line);
        break;
    case LOG_WARNING:
        log_warning("%s: %s", peer, note->line);
        break;
    case LOG_NOTE:
        log_note("%s: %s", peer, note->line);
        break;
    case LOG_VERBOSE:
        log_verbose("%s: %s", peer, note->line);
        break;
    case LOG_DEBUG:
        log_debug("%s: %s", peer, note->line);
        break;
    }
}

static void peer_small_talk(struct end_peer *self, const struct wire_message *message)
{
    if (!stream_chatter_allowed(&self->chatter, clock_now_ns())) {
        peer_violated(self, "it floods us with messages");
        return;
    }
    if (message->type == WIRE_NOTE)
        peer_note(self, &message->note);
    if (message->type == WIRE_PING)
        self->pong_due = true;
}

void end_peer_message(struct end_peer *self, const struct wire_message *message)
{
    switch (message->type) {
    case WIRE_REPLY:
        peer_reply(self, message);
        break;
    case WIRE_NOTE:
    case WIRE_PING:
    case WIRE_PONG:
        peer_small_talk(self, message);
        break;
    case WIRE_BYE:
        peer_ended(self, &message->failure);
        break;
    case WIRE_HELLO:
    case WIRE_REQUEST:
        peer_violated(self, "it says what a server does not say here");
        break;
    }
}

static void peer_payload(struct end_peer *self)
{
    struct slot *slot = self->receiving;
    uint32_t length =
        slot->op == END_RECALL ? slot->count * (uint32_t)WIRE_ENTRY_BYTES : slot->length;
    self->receiving = NULL;
    if (!wire_slot_unpack(slot, self->receiving_bytes, self->pack)) {
        peer_again(self, slot);
        return;
    }
    struct digest digest = digest_of(slot->buffer, length);
    if (!digest_equal(&digest, &slot->digest)) {
        peer_again(self, slot);
        return;
    }
    if (slot->op == END_RECALL)
        codec_entries(slot->buffer, slot->count);
    peer_finish(self, slot, 0);
}

/* Until nothing more is there, or a slot has its payload: where the link is faster than we are,
 * all slots would fill before the first is stored, and nothing be asked for meanwhile. */
static void peer_receive(struct end_peer *self)
{
    struct wire_message message;
    struct error why = {.class = ERROR_NONE};
    int event = STREAM_MESSAGE;
    while (!self->broken && event != STREAM_PAYLOAD) {
        event = stream_get(&self->stream, &message, &why);
        if (event == STREAM_LATER)
            return;
        if (event == STREAM_MESSAGE)
            end_peer_message(self, &message);
        else if (event == STREAM_PAYLOAD)
            peer_payload(self);
        else if (event == LINK_EOF && !error_is_set(&why))
            error_set_class(&why, ERROR_SOCKET, ECONNRESET, "%s: the connection ended",
                            self->stream.link->peer);
        if (error_is_set(&why))
            end_peer_break(self, &why);
    }
}

/* ---- the table ---- */

static void peer_count_bytes(struct end_peer *self)
{
    const struct link *link = self->stream.link;
    struct progress *progress = self->config.progress;
    if (progress) {
        progress->wire_bytes_sent += link->sent_bytes - self->counted_sent_bytes;
        progress->wire_bytes_received += link->received_bytes - self->counted_received_bytes;
    }
    self->counted_sent_bytes = link->sent_bytes;
    self->counted_received_bytes = link->received_bytes;
}

/* We are to stop: whoever is waited for has to move now. */
static void peer_watch_stop(struct end_peer *self)
{
    const struct link *link = self->stream.link;
    uint64_t now_ns = clock_now_ns(), bytes = link->sent_bytes + link->received_bytes;
    struct error why = {.class = ERROR_NONE};
    if (bytes - self->moved_bytes >= WIRE_SIGN_BYTES) {
        self->moved_bytes = bytes;
        self->moved_ns = now_ns;
    }
    if (!self->config.control || !self->config.control->stop)
        return;
    if (self->stopped_ns == 0)
        self->stopped_ns = now_ns;
    uint64_t since_ns = max_u64(self->stopped_ns, max_u64(self->stream.heard_ns, self->moved_ns));
    if (self->broken || self->end.inflight == 0 || now_ns < since_ns + stop_silence_ns)
        return;
    error_set_class(&why, ERROR_INTERRUPTED, EINTR, "interrupted, and %s does not answer",
                    self->stream.link->peer);
    end_peer_break(self, &why);
}

static void peer_watch(struct end_peer *self)
{
    uint64_t since_ns = max_u64(stream_alive_ns(&self->stream), self->asked_ns);
    struct error why = {.class = ERROR_NONE};
    if (self->broken || self->config.timeout_ns == 0 || self->end.inflight == 0 ||
        clock_now_ns() - since_ns < self->config.timeout_ns)
        return;
    error_set_class(&why, ERROR_TIMEOUT, ETIMEDOUT, "%s: silent for %.3g s",
                    self->stream.link->peer,
                    (double)self->config.timeout_ns / (double)NS_PER_SECOND);
    end_peer_break(self, &why);
}

/* What is possible now, one payload at most. true: something was. */
bool end_peer_turn(struct end_peer *self)
{
    const struct link *link = self->stream.link;
    uint64_t before_bytes = link->sent_bytes + link->received_bytes;
    struct error why = {.class = ERROR_NONE};
    if (!self->broken) {
        int sent = peer_send(self, &why);
        peer_receive(self); /* after a failed send, too: it may have said why it ends */
        if (sent < 0)
            end_peer_break(self, &why);
        else if (!self->broken && !stream_sending(&self->stream) && self->pong_due)
            (void)peer_send(self, NULL);
        peer_watch(self);
        peer_watch_stop(self);
    }
    peer_count_bytes(self);
    return link->sent_bytes + link->received_bytes != before_bytes;
}

static unsigned int peer_wanted(const struct end_peer *self)
{
    bool sending = stream_sending(&self->stream) || self->queue.first || self->pong_due;
    return LINK_RECV | (sending ? LINK_SEND : 0u);
}

void end_peer_wait(struct end_peer *self)
{
    uint64_t now_ns = clock_now_ns(), ping_at_ns = self->stream.sent_ns + peer_ping_ns(self);
    uint64_t wait_ns = ping_at_ns > now_ns ? ping_at_ns - now_ns : 0;
    if (stream_sending(&self->stream))
        wait_ns = wait_ns_max; /* a ping has to wait, too */
    if (self->config.timeout_ns > 0)
        wait_ns = min_u64(wait_ns, self->config.timeout_ns);
    (void)link_wait(self->stream.link, peer_wanted(self), min_u64(wait_ns, wait_ns_max), NULL);
}

static void peer_start(struct end *end, struct slot *slot)
{
    struct end_peer *self = end_peer_of(end);
    assert(slot->index < self->works_count);
    struct peer_work *work = work_of(self, slot);
    assert(work->step == PEER_IDLE);
    *work = (struct peer_work){.slot = slot, .step = PEER_QUEUED};
    if (end->inflight == 1)
        self->asked_ns = clock_now_ns(); /* silence counts from the first question on */
    if (self->broken) {
        peer_finish(self, slot, error_take(&slot->error, &self->why));
    } else if (slot->op == END_OPEN && !tally_begin(self, slot->job->number)) {
        error_set(&slot->error, EMFILE, "%s: too many files at once", self->stream.link->peer);
        peer_finish(self, slot, -EMFILE);
    } else {
        list_add(&self->queue, slot);
    }
}

static uint32_t peer_take_ready(struct end_peer *self, struct slot **out, uint32_t max)
{
    uint32_t count = 0;
    while (count < max && self->ready.first)
        out[count++] = list_take(&self->ready);
    return count;
}

static int peer_reap(struct end *end, struct slot **out, uint32_t max, bool wait)
{
    struct end_peer *self = end_peer_of(end);
    bool moved = end_peer_turn(self);
    /* With half a chunk arrived it is better to let the other end work than to wait for the rest.
     */
    if (wait && !moved && !self->ready.first && !self->broken) {
        end_peer_wait(self);
        end_peer_turn(self);
    }
    return (int)peer_take_ready(self, out, max);
}

static int peer_wait_fd(struct end *end, short *events)
{
    struct end_peer *self = end_peer_of(end);
    *events = POLLIN;
    if (self->ready.first || self->broken)
        return -1;
    return link_wait_fd(self->stream.link, peer_wanted(self), events);
}

const struct end_ops end_peer_ops = {
    .start = peer_start,
    .reap = peer_reap,
    .wait_fd = peer_wait_fd,
    .close = end_peer_close,
};
