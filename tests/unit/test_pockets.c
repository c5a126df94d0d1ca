/* test_pockets.c - buffers that a client lends to what comes from a server, where there are too few
 * of them. */
#include "serve_rig.h"

#include "haul/side/pockets.h"

#include <sys/syscall.h>

static _Atomic uint64_t later_seconds;

int clock_gettime(clockid_t clock, struct timespec *out)
{
#ifdef SYS_clock_gettime64 /* where seconds have 64 bits and the machine 32 */
    int result = (int)syscall(SYS_clock_gettime64, clock, out);
#else
    int result = (int)syscall(SYS_clock_gettime, clock, out);
#endif
    out->tv_sec += (time_t)later_seconds;
    return result;
}

/* Two files are asked for, and there is one pocket. */
static void begin(struct rig *rig, struct pockets *pockets, struct job *second)
{
    assert_int_equal(pockets_open(pockets, 1, WIRE_POCKET_BYTES), 0);
    write_filled(rig->source, WIRE_POCKET_BYTES, 3);
    *second = rig->job;
    second->number = 8;
    rig->slots[1].job = second;
    for (int i = 0; i < 2; i++) {
        struct slot *slot = &rig->slots[i];
        slot->buffer = NULL;
        pockets_offer(pockets, slot);
        slot->offset = 0;
        slot->length = WIRE_POCKET_BYTES;
        slot->conditional = false;
        side_start(rig->side, slot, SIDE_TAKE);
    }
}

/* The next one, of which nothing is left. false: this file system takes no files as a whole. */
static bool take(struct rig *rig)
{
    AUTO_FREE uint8_t *expected = filled(WIRE_POCKET_BYTES, 3);
    struct slot *slot = NULL;
    while (side_reap(rig->side, &slot, 1, true) == 0)
        ;
    assert_non_null(slot);
    if (slot->result == -EAGAIN)
        return false;
    if (slot->result != 0)
        fail_msg("%s", slot->error->text);
    assert_memory_equal(slot->buffer, expected, WIRE_POCKET_BYTES);
    pocket_give_back(slot);
    return true;
}

static void end(struct rig *rig, struct pockets *pockets)
{
    (void)drain(rig);
    rig_close(rig);
    assert_int_equal(pockets->free_count, 1);
    pockets_close(pockets);
}

static void what_came_damaged_keeps_no_pocket(void **state)
{
    struct rig *rig = rig_make();
    struct pockets pockets = {.memory = NULL};
    struct job second;
    (void)state;
    rig->links[1]->flip_at =
        WIRE_POCKET_BYTES / 2; /* of the first payload, whatever is before it */
    rig_begin(rig, SIDE_SOURCE);
    begin(rig, &pockets, &second);
    if (take(rig)) {
        assert_true(take(rig));
        assert_int_equal(peer_resent(rig->side), 1);
    }
    end(rig, &pockets);
}

/* Our own disk is slow, and has the pocket: nothing is received meanwhile. */
static void who_does_not_listen_hears_no_silence(void **state)
{
    struct rig *rig = rig_open(SIDE_SOURCE);
    struct pockets pockets = {.memory = NULL};
    struct job second;
    struct slot *first = NULL, *none;
    (void)state;
    begin(rig, &pockets, &second);
    while (side_reap(rig->side, &first, 1, true) == 0)
        ;
    if (first->result == 0) {
        assert_non_null(first->buffer);
        later_seconds += 90; /* of the 60 that are allowed */
        for (int i = 0; i < 3; i++)
            assert_int_equal(side_reap(rig->side, &none, 1, false), 0);
        assert_false(peer_broken(rig->side));
        pocket_give_back(first);
        assert_true(take(rig));
    }
    end(rig, &pockets);
}

/* So long that the other side would give us up: what comes is heard, and asked for once more. */
static void who_has_no_pocket_for_long_listens_all_the_same(void **state)
{
    struct rig *rig = rig_open(SIDE_SOURCE);
    struct pockets pockets = {.memory = NULL};
    struct job second;
    struct slot *first = NULL;
    (void)state;
    begin(rig, &pockets, &second);
    while (side_reap(rig->side, &first, 1, true) == 0)
        ;
    if (first->result == 0) {
        struct slot *asked = control(rig), *done = NULL;
        for (int i = 0; i < 4; i++) { /* in steps that are no silence */
            later_seconds += 20;
            assert_int_equal(side_reap(rig->side, &done, 1, false), 0);
        }
        side_start(rig->side, asked, SIDE_DESCRIBE); /* answered behind what has no pocket */
        for (int i = 0; i < 12000 && !done; i++) {
            assert_true(side_reap(rig->side, &done, 1, false) >= 0);
            poll(NULL, 0, 5);
        }
        assert_ptr_equal(done, asked);
        assert_false(peer_broken(rig->side));
        pocket_give_back(first);
        assert_true(take(rig));
        assert_int_equal(peer_resent(rig->side), 0);
    }
    end(rig, &pockets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_damaged_keeps_no_pocket),
        cmocka_unit_test(who_does_not_listen_hears_no_silence),
        cmocka_unit_test(who_has_no_pocket_for_long_listens_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
