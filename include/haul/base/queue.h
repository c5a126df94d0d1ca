/* queue.h - first in, first out, of items that carry their own link: nothing is allocated, and an
 * item is in one queue at a time. Knows no locks. */
#ifndef HAUL_QUEUE_H
#define HAUL_QUEUE_H

/* The first member of an item. */
struct queue_link {
    struct queue_link *next;
};

/* Empty when it is all zero. */
struct queue {
    struct queue_link *first; /* the item that queue_take() gives; NULL: none */
    struct queue_link *last;  /* while there is a first */
};

/* Behind all others. */
void queue_put(struct queue *queue, struct queue_link *item);

/* The first item, which is not in the queue any more; NULL: it is empty. */
void *queue_take(struct queue *queue);

/* Take out an item, wherever it stands; it must be there. */
void queue_remove(struct queue *queue, struct queue_link *item);

#endif
