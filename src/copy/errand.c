/* errand.c - one function on one thread. */
#include "haul/copy/errand.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ERRAND_STACK_BYTES = 256 * 1024 };

struct errand {
    pthread_t thread;
    int (*run)(void *argument, struct error *err);
    void *argument;
    int result;
    atomic_bool done;
    struct error err;
};

static void *errand_thread(void *argument)
{
    struct errand *self = argument;
    self->result = self->run(self->argument, &self->err);
    self->done = true;
    return NULL;
}

int errand_begin(struct errand **out, int (*run)(void *argument, struct error *err), void *argument,
                 struct error *err)
{
    struct errand *self = calloc(1, sizeof(*self));
    pthread_attr_t attributes;
    if (!self)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a thread");
    self->run = run;
    self->argument = argument;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, ERRAND_STACK_BYTES);
    int errnum = pthread_create(&self->thread, &attributes, errand_thread, self);
    pthread_attr_destroy(&attributes);
    if (errnum != 0) {
        free(self);
        return error_set(err, errnum, "start a thread");
    }
    *out = self;
    return 0;
}

bool errand_done(const struct errand *errand)
{
    return errand && errand->done;
}

int errand_end(struct errand *errand, struct error *err)
{
    if (!errand)
        return 0;
    pthread_join(errand->thread, NULL);
    int result = errand->result < 0 ? error_take(err, &errand->err) : errand->result;
    free(errand);
    return result;
}
