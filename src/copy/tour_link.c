/* tour_link.c - files with several names: remembered from the first one that is seen to the last.
 * Those that no task knows are in memory so far as they are few, and in a temporary file.
 */
#include "tour_state.h"

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

static struct tour_link *link_find(struct tour_links *links, const struct facts *facts)
{
    struct tour_link *link = *link_bucket(links, facts->device, facts->inode);
    while (link && (link->device != facts->device || link->inode != facts->inode))
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

/* How many names are left, and the path with its NUL; without one the next name leads. */
static int link_put(struct tour_links *links, const struct tour_link *link)
{
    const uint64_t key[2] = {link->device, link->inode};
    uint8_t bytes[SPILL_BYTES_MAX];
    struct bytes out = bytes_writer(bytes, sizeof(bytes));
    bytes_put_u32(&out, link->left);
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
    link->left = bytes_get_u32(&in);
    if (in.failed || length == sizeof(uint32_t))
        return in.failed ? -EIO : 0;
    link->path = strdup((const char *)bytes + sizeof(uint32_t));
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
    int result = links->spill ? 0 : spill_open(&links->spill);
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

static int link_new(struct tour_links *links, const struct facts *facts, struct tour_link **out)
{
    struct tour_link **bucket = link_bucket(links, facts->device, facts->inode);
    struct tour_link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    *link = (struct tour_link){
        .device = facts->device,
        .inode = facts->inode,
        .left = facts->links,
    };
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
    if (link->left > 0)
        link->left--;
    link->users++;
    *out = link;
    return 0;
}

/* An inode may come back as another file: what is complete is forgotten everywhere. */
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
    if (link->left == 0) {
        link_forget(links, link);
        return;
    }
    links->idle++;
    if (links->idle > TOUR_LINKS_IDLE_MAX && !links->spill_impossible)
        link_spill(links);
}

void link_forget_all(struct tour_links *links)
{
    for (int i = 0; i < TOUR_LINKS_BUCKETS; i++) {
        while (links->buckets[i])
            link_free(links, links->buckets[i]);
    }
    spill_close(links->spill);
    *links = (struct tour_links){.spill_impossible = links->spill_impossible};
}

struct tour_links *tour_links_open(void)
{
    return calloc(1, sizeof(struct tour_links));
}

void tour_links_close(struct tour_links *links)
{
    if (links)
        link_forget_all(links);
    free(links);
}
