/* local_entry.c - what is made whole (folders, links, nodes), and what belongs to a file beside
 * its data. */
#include "local_state.h"

#include <errno.h>

static int entry_refuse(struct work *work)
{
    return error_set_class(&work->slot->error, ERROR_USAGE, ENOTSUP,
                           "this haul does not copy trees yet");
}

int local_make(struct local *self, struct work *work)
{
    (void)self;
    return entry_refuse(work);
}

int local_detail(struct local *self, struct work *work)
{
    (void)self;
    return entry_refuse(work);
}

int local_dress(struct local *self, struct work *work)
{
    (void)self;
    return entry_refuse(work);
}
