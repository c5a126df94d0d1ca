/* tour_link.c - files with several names: remembered from the first one that is seen to the last.
 */
#include "tour_state.h"

#include <stdlib.h>

static struct tour_link **link_bucket(struct tour *tour, uint64_t device, uint64_t inode)
{
    uint64_t mixed = (inode ^ device << 32) * UINT64_C(0x9e3779b97f4a7c15);
    return &tour->links[mixed >> 54];
}

struct tour_link *link_see(struct tour *tour, const struct facts *facts)
{
    struct tour_link **bucket = link_bucket(tour, facts->device, facts->inode);
    struct tour_link *link = *bucket;
    while (link && (link->device != facts->device || link->inode != facts->inode))
        link = link->next;
    if (!link && (link = calloc(1, sizeof(*link)))) {
        *link = (struct tour_link){
            .next = *bucket,
            .device = facts->device,
            .inode = facts->inode,
            .left = facts->links,
        };
        *bucket = link;
    }
    if (!link)
        return NULL;
    if (link->left > 0)
        link->left--;
    link->users++;
    return link;
}

static void link_forget(struct tour *tour, struct tour_link *link)
{
    struct tour_link **at = link_bucket(tour, link->device, link->inode);
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    free(link->path);
    free(link);
}

void link_release(struct tour *tour, struct tour_link *link)
{
    if (link && --link->users == 0 && link->left == 0)
        link_forget(tour, link);
}

void link_close_all(struct tour *tour)
{
    for (int i = 0; i < TOUR_LINKS_BUCKETS; i++) {
        while (tour->links[i])
            link_forget(tour, tour->links[i]);
    }
}
