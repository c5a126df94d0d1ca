/* Items of a queue: in order, taken out of the middle, put in again. */
#include "haul/base/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    struct queue_link link;
    int number;
};

static struct item items[] = {{.number = 0}, {.number = 1}, {.number = 2}};

static struct queue filled(void)
{
    struct queue queue = {NULL, NULL};

    for (size_t i = 0; i < 3; i++)
        queue_put(&queue, &items[i].link);
    return queue;
}

static void take_gives_the_oldest_first(void **state)
{
    struct queue queue = filled();

    (void)state;
    for (int round = 0; round < 2; round++) { /* an empty one is as a new one */
        for (size_t i = 0; i < 3; i++)
            assert_ptr_equal(queue_take(&queue), &items[i]);
        assert_null(queue_take(&queue));
        queue = filled();
    }
}

static void remove_leaves_the_others_in_order(void **state)
{
    (void)state;
    for (size_t gone = 0; gone < 3; gone++) {
        struct queue queue = filled();
        queue_remove(&queue, &items[gone].link);
        queue_put(&queue, &items[gone].link); /* behind the new last one */
        for (size_t i = 0; i < 3; i++)
            if (i != gone)
                assert_ptr_equal(queue_take(&queue), &items[i]);
        assert_ptr_equal(queue_take(&queue), &items[gone]);
        assert_null(queue_take(&queue));
    }
}

static void remove_of_the_only_one_leaves_nothing(void **state)
{
    struct queue queue = {NULL, NULL};

    (void)state;
    queue_put(&queue, &items[0].link);
    queue_remove(&queue, &items[0].link);
    assert_null(queue.first);
    queue_put(&queue, &items[1].link);
    queue_put(&queue, &items[2].link);
    assert_ptr_equal(queue_take(&queue), &items[1]);
    assert_ptr_equal(queue_take(&queue), &items[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_gives_the_oldest_first),
        cmocka_unit_test(remove_leaves_the_others_in_order),
        cmocka_unit_test(remove_of_the_only_one_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
