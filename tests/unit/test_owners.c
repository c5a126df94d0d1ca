/* Goal: users and groups that two machines have in common go by their names, others and root by
 * their numbers, and nothing that a peer calls somebody makes him root. */
#include "haul/base/cleanup.h"
#include "haul/disk/file.h"
#include "haul/disk/owners.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOBODY = 65534, NO_SUCH_ID = 3999999999u };

static struct owners *owners;

static void name_of_a_number(void **state)
{
    char name[OWNER_NAME_BYTES];
    (void)state;
    for (int again = 0; again < 2; again++) { /* looked up, and remembered */
        owners_name(owners, OWNERS_USER, NOBODY, name);
        assert_string_equal(name, "nobody");
        owners_name(owners, OWNERS_GROUP, NOBODY, name);
        assert_string_equal(name, "nogroup");
        owners_name(owners, OWNERS_USER, NO_SUCH_ID, name);
        assert_string_equal(name, "");
    }
}

/* As with rsync: 0 is 0, whatever it is called. */
static void name_of_zero_is_never_said_nor_asked(void **state)
{
    char name[OWNER_NAME_BYTES];
    (void)state;
    owners_name(owners, OWNERS_USER, 0, name);
    assert_string_equal(name, "");
    assert_int_equal(owners_id(owners, OWNERS_USER, 0, "nobody"), 0);
}

static void number_of_a_name(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(owners_id(owners, OWNERS_USER, 77, "nobody"), NOBODY);
        assert_int_equal(owners_id(owners, OWNERS_GROUP, 77, "nogroup"), NOBODY);
        assert_int_equal(owners_id(owners, OWNERS_GROUP, 77, "nobody-is-called-so"), 77);
        assert_int_equal(owners_id(owners, OWNERS_USER, 78, "nobody-is-called-so"), 78);
    }
}

/* An empty name once was mapped to root by rsync. */
static void number_stands_without_a_name_that_could_be(void **state)
{
    char name[OWNER_NAME_BYTES + 1];
    (void)state;
    memset(name, 'x', sizeof(name));
    name[OWNER_NAME_BYTES] = '\0';
    assert_int_equal(owners_id(owners, OWNERS_USER, 77, ""), 77);
    assert_int_equal(owners_id(owners, OWNERS_USER, 77, name), 77);
}

/* More of them than are remembered: what takes another one's place is never taken for it. */
static void number_of_many_that_share_a_place(void **state)
{
    char name[OWNER_NAME_BYTES];
    (void)state;
    for (uint32_t id = NO_SUCH_ID - 5 * OWNERS_KEPT; id < NO_SUCH_ID; id++) {
        owners_name(owners, OWNERS_GROUP, id, name);
        assert_string_equal(name, "");
        owners_name(owners, OWNERS_GROUP, NOBODY, name);
        assert_string_equal(name, "nogroup");
    }
}

static void both_of_a_file_and_back(void **state)
{
    struct owner_names names = {{"old", "old"}};
    struct facts facts = {.uid = NOBODY, .gid = NOBODY};
    (void)state;
    owners_name_both(owners, &facts, &names);
    assert_string_equal(names.of[OWNERS_USER], "nobody");
    assert_string_equal(names.of[OWNERS_GROUP], "nogroup");
    facts.uid = facts.gid = 5;
    owners_map_both(owners, &names, &facts);
    assert_int_equal(facts.uid, NOBODY);
    assert_int_equal(facts.gid, NOBODY);
}

static void differ_by_name_where_both_have_one(void **state)
{
    const struct facts facts[2] = {{.uid = 5, .gid = 5}, {.uid = 5, .gid = 6}};
    struct owner_names names[2] = {{{"us", "them"}}, {{"we", "them"}}};
    (void)state;
    assert_false(owners_differ(OWNERS_USER, facts, NULL));
    assert_true(owners_differ(OWNERS_GROUP, facts, NULL));
    assert_true(owners_differ(OWNERS_USER, facts, names));
    assert_false(owners_differ(OWNERS_GROUP, facts, names));
    names[1] = (struct owner_names){{"", ""}};
    assert_false(owners_differ(OWNERS_USER, facts, names));
    assert_true(owners_differ(OWNERS_GROUP, facts, names));
}

static void parse_what_chown_takes(void **state)
{
    static const struct {
        const char *text;
        int given; /* -1: refused */
        uint32_t uid, gid;
    } cases[] = {
        {"root", 1, 0, 9},   {"5:6", 3, 5, 6},  {":6", 2, 9, 6}, {"5:", 1, 5, 9},
        {"root:0", 3, 0, 0}, {"", -1, 0, 0},    {":", -1, 0, 0}, {"4294967295", -1, 0, 0},
        {"-1", -1, 0, 0},    {"a b", -1, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct facts facts = {.uid = 9, .gid = 9};
        struct error err = {.class = ERROR_NONE};
        bool given[2];
        int result = owners_parse(cases[i].text, &facts, given, &err);
        if (cases[i].given < 0) {
            assert_true(result < 0 && err.class == ERROR_USAGE);
            continue;
        }
        assert_int_equal(result, 0);
        assert_int_equal(given[OWNERS_USER] + 2 * given[OWNERS_GROUP], cases[i].given);
        assert_int_equal(facts.uid, cases[i].uid);
        assert_int_equal(facts.gid, cases[i].gid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_of_a_number),
        cmocka_unit_test(name_of_zero_is_never_said_nor_asked),
        cmocka_unit_test(number_of_a_name),
        cmocka_unit_test(number_stands_without_a_name_that_could_be),
        cmocka_unit_test(number_of_many_that_share_a_place),
        cmocka_unit_test(both_of_a_file_and_back),
        cmocka_unit_test(differ_by_name_where_both_have_one),
        cmocka_unit_test(parse_what_chown_takes),
    };
    owners = owners_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    owners_close(owners);
    return failed;
}
