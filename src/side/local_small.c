/* local_small.c - whole small files: one call, one buffer. */
#include "local_state.h"

#include <errno.h>

static int small_refuse(struct work *work)
{
    return error_set_class(&work->slot->error, ERROR_USAGE, ENOTSUP,
                           "this haul does not copy trees yet");
}

int local_take(struct local *self, struct work *work)
{
    (void)self;
    return small_refuse(work);
}

int local_put(struct local *self, struct work *work)
{
    (void)self;
    return small_refuse(work);
}
