/* tour_link.c - files with several names: remembered from the first one that is seen to the last,
 * and to the end of that one's tour, whose walk may begin once more. Those that no task knows are
 * in memory so far as they are few, and in a temporary file. */
#include "tour_state.h"

#include "haul/base/clock.h"
#include "haul/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- in memory ---- */

static struct tour_link **link_bucket(struct tour_links *links, uint64_t device, uint64_t inode)
{
    uint64_t mixed = (inode ^ device << 32) * UINT64_C(0x9e3779b97f4a7c15);
    return &links->buckets[mixed >> 54];
}

/* An inode may come back as another file, and one that was written to is not what was copied. */
static uint64_t link_stamp(const struct facts *facts)
{
    uint64_t mtime_ns = (uint64_t)facts->mtime_seconds * NS_PER_SECOND + facts->mtime_ns;
    return facts->size_bytes * UINT64_C(0x9e3779b97f4a7c15) ^ mtime_ns;
}

static struct tour_link *link_find(struct tour_links *links, const struct facts *facts)
{
    struct tour_link *link = *link_bucket(links, facts->device, facts->inode);
    uint64_t stamp = link_stamp(facts);
    while (link &&
           (link->device != facts->device || link->inode != facts->inode || link->stamp != stamp))
        link = link->next;
    return link;
}

static void link_free(struct tour_links *links, struct tour_link *link)
{
    struct tour_link **at = link_bucket(links, link->device, link->inode);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    free(link->path);
    free(link);
}

/* ---- in the temporary file ---- */

/* Its numbers, and the path with its NUL; without one the next name leads. */
static int link_put(struct tour_links *links, const struct tour_link *link)
{
    const uint64_t key[2] = {link->device, link->inode};
    uint8_t bytes[SPILL_BYTES_MAX];
    struct bytes out = bytes_writer(bytes, sizeof(bytes));
    bytes_put_u64(&out, link->stamp);
    bytes_put_u32(&out, link->walk);
    bytes_put_u32(&out, link->left);
    bytes_put_u32(&out, link->before);
    bytes_put_u32(&out, link->led);
    bytes_put_u32(&out, link->anew);
    if (link->path)
        bytes_put_raw(&out, link->path, strlen(link->path) + 1);
    return out.failed ? -EMSGSIZE : spill_put(links->spill, key, bytes, (uint32_t)out.length);
}

static int link_get(struct tour_links *links, const struct facts *facts, struct tour_link *link)
{
    const uint64_t key[2] = {facts->device, facts->inode};
    uint8_t bytes[SPILL_BYTES_MAX];
    int length = links->spill ? spill_get(links->spill, key, bytes, sizeof(bytes)) : 0;
    if (length <= 0)
        return length;
    struct bytes in = bytes_reader(bytes, (uint32_t)length);
    link->spilled = true;
    uint64_t stamp = bytes_get_u64(&in);
    if (stamp != link->stamp)
        return in.failed ? -EIO : 0;
    link->walk = bytes_get_u32(&in);
    link->left = bytes_get_u32(&in);
    link->before = bytes_get_u32(&in);
    link->led = bytes_get_u32(&in) != 0;
    link->anew = bytes_get_u32(&in) != 0;
    if (in.failed || (uint32_t)length == in.position)
        return in.failed ? -EIO : 0;
    link->path = strdup((const char *)bytes + in.position);
    link->state = LINK_THERE;
    return link->path ? 0 : -ENOMEM;
}

static void link_cannot_spill(struct tour_links *links, int result)
{
    log_note("-H: files with several names are remembered in memory, however many there are: a "
             "temporary file (TMPDIR, or /var/tmp) cannot be had: %s",
             strerror(-result));
    links->spill_impossible = true;
}

/* The idle ones of the next buckets, until there are few again. */
static void link_spill(struct tour_links *links)
{
    if (!links->spill)
        links->spill = spill_open();
    int result = links->spill ? 0 : -ENOMEM;
    while (result == 0 && links->idle > TOUR_LINKS_IDLE_MAX / 2) {
        struct tour_link *link = links->buckets[links->next], *next;
        links->next = (links->next + 1) % TOUR_LINKS_BUCKETS;
        for (; link && result == 0; link = next) {
            next = link->next;
            if (link->users > 0)
                continue;
            result = link_put(links, link);
            if (result < 0)
                break;
            links->idle--;
            link_free(links, link);
        }
    }
    if (result < 0)
        link_cannot_spill(links, result);
}

/* ---- seen and released ---- */

/* A new one has no names left, as one that is complete. */
static int link_new(struct tour_links *links, const struct facts *facts, struct tour_link **out)
{
    struct tour_link **bucket = link_bucket(links, facts->device, facts->inode);
    struct tour_link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    *link = (struct tour_link){
        .device = facts->device, .inode = facts->inode, .stamp = link_stamp(facts)};
    int result = link_get(links, facts, link);
    if (result < 0) {
        free(link->path);
        free(link);
        return result;
    }
    link->next = *bucket;
    *bucket = *out = link;
    return 0;
}

static void link_unlead(struct tour_link *link)
{
    free(link->path);
    link->path = NULL;
    link->state = LINK_NOWHERE;
}

/* No task knows it. What a walk that began once more has learnt of it is forgotten; not where it
 * is, if names of it have gone there. */
static void link_recall(const struct tour_links *links, struct tour_link *link,
                        const struct facts *facts)
{
    if (link->walk < links->first) {
        link->before = link->left;
        link->led = link->path != NULL;
    } else if (link->walk < links->walk && links->moved) {
        link->left = facts->links;
    } else if (link->walk < links->walk) {
        link->left = link->before;
        if (!link->led)
            link_unlead(link);
    }
    link->walk = links->walk;
}

int link_see(struct tour_links *links, const struct facts *facts, struct tour_link **out)
{
    struct tour_link *link = link_find(links, facts);
    int result = 0;
    if (!link)
        result = link_new(links, facts, &link);
    else if (link->users == 0)
        links->idle--;
    if (result < 0)
        return result;
    if (link->users == 0) {
        link_recall(links, link, facts);
        if (link->left == 0) {
            link_unlead(link);
            link->before = 0;
            link->left = facts->links;
        }
    }
    if (link->left > 0)
        link->left--;
    link->users++;
    *out = link;
    return 0;
}

/* What is complete is forgotten everywhere. */
static void link_forget(struct tour_links *links, struct tour_link *link)
{
    const uint64_t key[2] = {link->device, link->inode};
    if (link->spilled)
        (void)spill_put(links->spill, key, NULL, 0);
    link_free(links, link);
}

void link_release(struct tour_links *links, struct tour_link *link)
{
    if (!link || --link->users > 0)
        return;
    if (link->left == 0 && link->before == 0) {
        link_forget(links, link);
        return;
    }
    links->idle++;
    if (links->idle > TOUR_LINKS_IDLE_MAX && !links->spill_impossible)
        link_spill(links);
}

/* ---- all of them ---- */

void links_begin(struct tour_links *links)
{
    links->first = ++links->walk;
    links->moved = false;
}

void links_again(struct tour_links *links, bool moved)
{
    links->walk++;
    links->moved = moved;
}

struct tour_links *tour_links_open(void)
{
    return calloc(1, sizeof(struct tour_links));
}

void tour_links_close(struct tour_links *links)
{
    for (int i = 0; links && i < TOUR_LINKS_BUCKETS; i++) {
        while (links->buckets[i])
            link_free(links, links->buckets[i]);
    }
    if (links)
        spill_close(links->spill);
    free(links);
}
