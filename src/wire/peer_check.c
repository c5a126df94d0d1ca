/* peer_check.c - a reply beside what was asked: the server is not to be trusted. What one
 * message alone can say wrong, the codec has found already. */
#include "peer_check.h"

#include "haul/disk/budget.h"
#include "haul/disk/pipe.h"

static const char *check_opened(const struct job *job, enum side_role role,
                                const struct wire_message *reply)
{
    if (role == SIDE_SOURCE) {
        bool file = reply->facts.kind == FILE_REGULAR || reply->facts.kind == FILE_DEVICE;
        return file || pipe_is_kind(reply->facts.kind) ? NULL : "it opened what is no file";
    }
    if (reply->job.chunk_bytes > job->chunk_bytes)
        return "it wants larger chunks than there is room for";
    /* Each has its bit in our memory. */
    return reply->job.chunk_bytes < CHUNK_BYTES_MIN ? "it wants smaller chunks than there are"
                                                    : NULL;
}

static const char *check_recalled(const struct slot *slot, const struct slot *answer)
{
    if (answer->count > slot->length / WIRE_ENTRY_BYTES)
        return "it recalled more than there is room for";
    if (answer->extent_start != 0 &&
        (answer->count == 0 || answer->extent_start != slot->offset + answer->count))
        return "it recalls in a circle";
    return NULL;
}

/* That a digest matches is for us to find. */
static bool answer_matches(const struct slot *slot, const struct slot *answer)
{
    bool whole = answer->count == slot->length;
    return slot->conditional && whole && digest_equal(&answer->digest, &slot->expected);
}

/* Less than the chunk only of a pipe. */
static const char *check_fetched(const struct slot *slot, const struct slot *answer)
{
    bool piped = pipe_is_kind(slot->job->facts[SIDE_SOURCE].kind);
    if (answer->count != slot->length && (!piped || answer->count > slot->length))
        return "it sends another part than was asked for";
    if (answer->held && (!slot->sparing || answer->matched || answer->broken))
        return "it kept back what was asked for";
    if (answer->broken && (slot->job->wish.read_errors != READ_ERRORS_SKIP || piped))
        return "it left out what was asked for";
    if (answer->broken && blocks_bytes(answer->set, slot->length) == slot->length)
        return "it left out nothing";
    return answer->matched && !answer_matches(slot, answer) ? "it kept back a chunk that is needed"
                                                            : NULL;
}

/* The digest is known since FETCH: that of the same chunk. */
static const char *check_differing(const struct slot *slot, const struct wire_message *reply)
{
    const struct slot *answer = &reply->slot;
    /* A whole chunk may be packed. */
    bool fits = answer->partial ? reply->payload_bytes == blocks_bytes(answer->set, slot->length)
                                : reply->payload_bytes <= slot->length;
    return fits && digest_equal(&answer->digest, &slot->digest)
               ? NULL
               : "it gives the blocks of another chunk";
}

const char *peer_check(const struct slot *slot, enum side_role role,
                       const struct wire_message *reply)
{
    const struct slot *answer = &reply->slot;
    switch (slot->op) {
    case SIDE_OPEN:
        return check_opened(slot->job, role, reply);
    case SIDE_MAP:
        /* The end behind the offset: else the plan would ask the same again, for ever. */
        return answer->extent_start < slot->offset || answer->extent_end <= slot->offset
                   ? "it found data before the place that was asked for"
                   : NULL;
    case SIDE_RECALL:
        return check_recalled(slot, answer);
    case SIDE_FETCH:
        return check_fetched(slot, answer);
    case SIDE_DIFFER:
        return check_differing(slot, reply);
    case SIDE_BLOCKS:
        return answer->count != blocks_count(slot->length) * BLOCKS_DIGEST_BYTES
                   ? "it tells the digests of another chunk"
                   : NULL;
    case SIDE_PUT:
    case SIDE_DELIVER:
        return reply->job.kept_bytes > slot->length ? "it had more of a file than there is" : NULL;
    case SIDE_DETAIL:
        if (answer->extent_start != 0 && answer->extent_start <= slot->offset)
            return "it tells attributes in a circle";
        return answer->count > slot->length ? "it tells more than there is room for" : NULL;
    case SIDE_EXAMINE:
        return answer->count > slot->length ? "it examined more than was asked for" : NULL;
    default:
        return codec_op_counts(slot->op) && answer->count > slot->length
                   ? "it answers with more than there is room for"
                   : NULL;
    }
}

void peer_take(struct slot *slot, enum side_role role, const struct wire_message *reply)
{
    codec_take_reply(slot, role, reply);
    if (slot->op == SIDE_FETCH || slot->op == SIDE_EXAMINE)
        slot->matched = answer_matches(slot, &reply->slot);
}
