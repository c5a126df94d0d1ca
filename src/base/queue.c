/* queue.c - items in the order in which they came. */
#include "haul/base/queue.h"

#include <assert.h>
#include <stddef.h>

void queue_put(struct queue *queue, struct queue_link *item)
{
    item->next = NULL;
    if (queue->first)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
}

void *queue_take(struct queue *queue)
{
    struct queue_link *item = queue->first;

    if (item)
        queue->first = item->next;
    return item;
}

void queue_remove(struct queue *queue, struct queue_link *item)
{
    struct queue_link **at = &queue->first, *before = NULL;

    while (*at != item) {
        assert(*at);
        before = *at;
        at = &before->next;
    }
    *at = item->next;
    if (queue->last == item)
        queue->last = before;
}
