/* test_outcome.c - a success is only made of what proves it: every way to none is a failure with
 * words. */
#include "haul/side/outcome.h"

#include "haul/base/cleanup.h"
#include "haul/cli/exit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void assert_failed(const struct outcome *outcome, const struct error *err)
{
    assert_int_equal(outcome->kind, OUTCOME_FAILED);
    assert_false(outcome_good(outcome));
    assert_true(error_is_set(err));
    assert_true(strlen(err->text) > 0);
    assert_int_equal(outcome->class, err->class);
    assert_true(exit_of_outcome(outcome) > 0);
}

static void outcome_of_zeros_is_no_success(void **state)
{
    (void)state;
    const struct outcome none = {.kind = OUTCOME_NONE};
    assert_false(outcome_good(&none));
    assert_true(exit_of_outcome(&none) > 0);
    struct error err = {0};
    struct outcome settled = outcome_settle(none, 0, &err);
    assert_failed(&settled, &err);
}

static void outcome_durable_needs_each_part_of_the_proof(void **state)
{
    (void)state;
    for (unsigned int parts = 0; parts < 16; parts++) {
        struct error err = {0};
        const struct outcome_proof proof = {
            .complete = parts & 1,
            .source_unchanged = parts & 2,
            .target_committed = parts & 4,
            .options_kept = parts & 8,
        };
        struct outcome outcome = outcome_durable(&proof, &err);
        if (parts < 15) {
            assert_failed(&outcome, &err);
            continue;
        }
        assert_int_equal(outcome.kind, OUTCOME_DURABLE);
        assert_int_equal(exit_of_outcome(&outcome), 0);
        assert_false(error_is_set(&err));
    }
}

static void outcome_equal_needs_every_chunk_and_no_difference(void **state)
{
    (void)state;
    struct error differs = {0}, part = {0}, none = {0};
    struct outcome outcome = outcome_equal(true, 1, &differs);
    assert_failed(&outcome, &differs);
    assert_int_equal(exit_of_outcome(&outcome), 40);
    outcome = outcome_equal(false, 0, &part);
    assert_failed(&outcome, &part);
    outcome = outcome_equal(true, 0, &none);
    assert_int_equal(exit_of_outcome(&outcome), 0);
}

static void outcome_settle_believes_neither_a_bad_result_nor_an_error(void **state)
{
    (void)state;
    const struct outcome claims[] = {{.kind = OUTCOME_DURABLE},
                                     {.kind = OUTCOME_UP_TO_DATE},
                                     {.kind = OUTCOME_SKIPPED},
                                     {.kind = OUTCOME_EQUAL}};
    for (size_t i = 0; i < COUNT_OF(claims); i++) {
        struct error wordless = {0}, set = {0}, none = {0};
        struct outcome outcome = outcome_settle(claims[i], -EIO, &wordless);
        assert_failed(&outcome, &wordless);
        error_set_class(&set, ERROR_CHANGED, ESTALE, "changed");
        outcome = outcome_settle(claims[i], 0, &set);
        assert_failed(&outcome, &set);
        assert_int_equal(exit_of_outcome(&outcome), 41);
        outcome = outcome_settle(claims[i], 0, &none);
        assert_int_equal(outcome.kind, claims[i].kind);
        assert_int_equal(exit_of_outcome(&outcome), 0);
    }
}

static void outcome_dry_has_the_code_that_the_run_would_begin_with(void **state)
{
    (void)state;
    struct error none = {0}, refused = {0};
    struct outcome outcome = outcome_dry(&none);
    assert_int_equal(exit_of_outcome(&outcome), 0);
    error_set_class(&refused, ERROR_USAGE, EINVAL, "is a device");
    outcome = outcome_settle(outcome_dry(&refused), -EINVAL, &refused);
    assert_int_equal(outcome.kind, OUTCOME_DRY);
    assert_false(outcome_good(&outcome));
    assert_int_equal(exit_of_outcome(&outcome), 1);
    outcome = outcome_settle((struct outcome){.kind = OUTCOME_DRY}, -EIO, &none);
    assert_true(exit_of_outcome(&outcome) > 0);
}

static void outcome_add_is_good_only_where_each_was(void **state)
{
    (void)state;
    for (int a = OUTCOME_NONE; a <= OUTCOME_FAILED; a++) {
        for (int b = OUTCOME_NONE; b <= OUTCOME_FAILED; b++) {
            const struct outcome one = {.kind = (enum outcome_kind)a};
            const struct outcome other = {.kind = (enum outcome_kind)b};
            struct outcome sum = outcome_add(one, other);
            assert_int_equal(outcome_good(&sum), outcome_good(&one) && outcome_good(&other));
        }
    }
    const struct outcome fine = {.kind = OUTCOME_DURABLE};
    const struct outcome lacking = {.kind = OUTCOME_UP_TO_DATE, .lacking = true};
    struct outcome sum = outcome_add(fine, lacking);
    assert_int_equal(sum.kind, OUTCOME_DURABLE);
    assert_int_equal(exit_of_outcome(&sum), EXIT_CODE_PARTIAL);
    const struct outcome refused = {.kind = OUTCOME_DRY, .class = ERROR_FILE};
    sum = outcome_add(fine, refused);
    assert_false(outcome_good(&sum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcome_of_zeros_is_no_success),
        cmocka_unit_test(outcome_durable_needs_each_part_of_the_proof),
        cmocka_unit_test(outcome_equal_needs_every_chunk_and_no_difference),
        cmocka_unit_test(outcome_settle_believes_neither_a_bad_result_nor_an_error),
        cmocka_unit_test(outcome_dry_has_the_code_that_the_run_would_begin_with),
        cmocka_unit_test(outcome_add_is_good_only_where_each_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
