/* pockets.h - small buffers that control slots borrow for small files, the one that was used last
 * first: so no more memory is touched than is in use at one time. One thread's. */
#ifndef HAUL_POCKETS_H
#define HAUL_POCKETS_H

#include "haul/side/slot.h"

#include <stdbool.h>
#include <stdint.h>

/* All zeros: there are none. */
struct pockets {
    uint8_t *memory; /* owned */
    uint8_t **free;  /* owned: those that no slot has */
    uint32_t free_count, pocket_bytes;
};

/* -ENOMEM: there are none. */
int pockets_open(struct pockets *pockets, uint32_t count, uint32_t pocket_bytes);
void pockets_close(struct pockets *pockets);

/* For a slot without a buffer that may have one: pockets_offer(). false: all are lent. */
bool pocket_lend(struct slot *slot);

/* Whoever has the slot may lend it one, of this size. */
void pockets_offer(struct pockets *pockets, struct slot *slot);

/* Whoever has the slot does not need it any more. A slot that has none is legal. */
void pocket_give_back(struct slot *slot);

#endif
