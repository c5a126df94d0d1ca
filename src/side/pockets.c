/* pockets.c - small buffers, lent to slots. */
#include "haul/side/pockets.h"

#include "haul/disk/slab.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int pockets_open(struct pockets *pockets, uint32_t count, uint32_t pocket_bytes)
{
    pockets->pocket_bytes = pocket_bytes;
    pockets->memory = slab_pockets(count, pocket_bytes);
    pockets->free = calloc(count ? count : 1, sizeof(*pockets->free));
    if (!pockets->memory || !pockets->free) {
        pockets_close(pockets);
        return -ENOMEM;
    }
    while (pockets->free_count < count) { /* the first one is the last, so it goes first */
        uint32_t number = count - 1 - pockets->free_count;
        pockets->free[pockets->free_count++] = pockets->memory + (size_t)number * pocket_bytes;
    }
    return 0;
}

void pockets_close(struct pockets *pockets)
{
    free(pockets->memory);
    free(pockets->free);
    *pockets = (struct pockets){.memory = NULL};
}

void pockets_offer(struct pockets *pockets, struct slot *slot)
{
    assert(!slot->buffer);
    slot->capacity = pockets->pocket_bytes;
    slot->pockets = pockets;
}

bool pocket_lend(struct slot *slot)
{
    struct pockets *pockets = slot->pockets;
    assert(!slot->buffer);
    if (pockets->free_count == 0)
        return false;
    slot->buffer = pockets->free[--pockets->free_count];
    return true;
}

void pocket_give_back(struct slot *slot)
{
    struct pockets *pockets = slot->pockets;
    if (pockets && slot->buffer)
        pockets->free[pockets->free_count++] = slot->buffer;
    if (pockets)
        slot->buffer = NULL;
    slot->pockets = NULL;
}
