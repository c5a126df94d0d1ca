/* local_tree.c - walks, lists and removals beneath a root. */
#include "local_state.h"

#include <errno.h>

static int tree_refuse(struct work *work)
{
    return error_set_class(&work->slot->error, ERROR_USAGE, ENOTSUP,
                           "this haul does not copy trees yet");
}

int local_tour(struct local *self, struct work *work)
{
    (void)self;
    return tree_refuse(work);
}

int local_walk(struct local *self, struct work *work)
{
    (void)self;
    return tree_refuse(work);
}

int local_list(struct local *self, struct work *work)
{
    (void)self;
    return tree_refuse(work);
}

int local_missing(struct local *self, struct work *work)
{
    (void)self;
    return tree_refuse(work);
}

int local_remove(struct local *self, struct work *work)
{
    (void)self;
    return tree_refuse(work);
}

int local_sync_root(struct local *self, struct work *work)
{
    (void)self;
    return tree_refuse(work);
}
