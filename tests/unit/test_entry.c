/* test_entry.c - entries of a walk: there and back, no room, and what is not believed. */
#include "facts_tests.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/disk/entry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct facts facts = {
    .kind = FILE_LINK,
    .size_bytes = FILE_BYTES_MAX,
    .allocated_bytes = UINT64_MAX,
    .mode = 07777,
    .uid = UINT32_MAX,
    .gid = 2,
    .mtime_seconds = INT64_MIN,
    .mtime_ns = 999999999,
    .ctime_seconds = -1,
    .ctime_ns = 1,
    .device = 3,
    .inode = UINT64_MAX,
    .rdev = 259,
    .links = 7,
    .evidence = {.grade = EVIDENCE_STRONG,
                 .identity = 8,
                 .change = 9,
                 .granularity_ns = 2000000000,
                 .keeps_change = true,
                 .machine = 10,
                 .seen_ns = INT64_MIN,
                 .medium_device = 11,
                 .medium_inode = 12,
                 .medium_offset = 13},
};

enum { EXAMPLES = 9 };

static void examples(struct entry all[EXAMPLES])
{
    struct facts folder = facts, file = facts;
    folder.kind = FILE_FOLDER;
    file.kind = FILE_REGULAR;
    const struct entry these[EXAMPLES] = {
        {.type = ENTRY_USER, .id = 1000, .text = "me"},
        {.type = ENTRY_GROUP, .id = 0, .text = ""},
        {.type = ENTRY_ENTER, .name = "", .facts = folder},
        {.type = ENTRY_FOUND, .name = "a\nname\xff ", .facts = file},
        {.type = ENTRY_FOUND, .name = "-link", .text = "to ../there/", .facts = facts},
        {.type = ENTRY_ERROR, .name = "shut", .errnum = EACCES, .text = "Permission denied"},
        {.type = ENTRY_NAME, .name = "...", .facts = {.kind = FILE_FOLDER}},
        {.type = ENTRY_PAST, .name = "f", .facts = {.kind = FILE_FIFO}},
        {.type = ENTRY_LEAVE, .complete = true},
    };
    memcpy(all, these, sizeof(these));
}

static void assert_text(const char *is, const char *should)
{
    if (should)
        assert_string_equal(is, should);
    else
        assert_null(is);
}

static void what_is_packed_comes_back(void **state)
{
    uint8_t data[4096];
    struct bytes out = bytes_writer(data, sizeof(data));
    struct entry all[EXAMPLES], entry;
    (void)state;
    examples(all);
    for (int i = 0; i < EXAMPLES; i++)
        assert_true(entry_pack(&out, &all[i]));
    struct bytes in = bytes_reader(data, out.length);
    for (int i = 0; i < EXAMPLES; i++) {
        assert_int_equal(entry_unpack(&in, &entry, NULL), 1);
        assert_int_equal(entry.type, all[i].type);
        assert_text(entry.name, all[i].name);
        assert_text(entry.text, all[i].text);
        assert_same_facts(&entry.facts, &all[i].facts);
        assert_int_equal(entry.errnum, all[i].errnum);
        assert_int_equal(entry.id, all[i].id);
        assert_int_equal(entry.complete, all[i].complete);
    }
    assert_int_equal(entry_unpack(&in, &entry, NULL), 0);
}

static void what_does_not_fit_changes_nothing(void **state)
{
    struct entry all[EXAMPLES], entry;
    uint8_t data[1024];
    (void)state;
    examples(all);
    struct bytes whole = bytes_writer(data, sizeof(data));
    assert_true(entry_pack(&whole, &all[3]));
    for (size_t room = 0; room < whole.length; room++) {
        struct bytes out = bytes_writer(data, room);
        assert_false(entry_pack(&out, &all[3]));
        assert_true(out.length == 0 && !out.failed);
    }
    struct bytes in = bytes_reader(data, 0);
    assert_int_equal(entry_unpack(&in, &entry, NULL), 0);
}

static void the_longest_has_room(void **state)
{
    static char name[ENTRY_NAME_MAX + 1], text[ENTRY_TEXT_MAX + 1];
    static uint8_t data[ENTRY_BYTES_MAX];
    struct bytes out = bytes_writer(data, sizeof(data));
    (void)state;
    memset(name, 'n', ENTRY_NAME_MAX);
    memset(text, 't', ENTRY_TEXT_MAX);
    const struct entry entry = {.type = ENTRY_FOUND, .name = name, .text = text, .facts = facts};
    assert_true(entry_pack(&out, &entry));
}

static void every_truncation_is_refused(void **state)
{
    struct entry all[EXAMPLES], entry;
    (void)state;
    examples(all);
    for (int i = 0; i < EXAMPLES; i++) {
        uint8_t data[1024];
        struct bytes out = bytes_writer(data, sizeof(data));
        assert_true(entry_pack(&out, &all[i]));
        for (size_t cut = 1; cut < out.length; cut++) {
            AUTO_FREE uint8_t *copy = malloc(cut); /* for the sanitizer */
            struct error err = {.class = ERROR_NONE};
            memcpy(copy, data, cut);
            struct bytes in = bytes_reader(copy, cut);
            assert_int_equal(entry_unpack(&in, &entry, &err), -EPROTO);
            assert_int_equal(err.class, ERROR_PROTOCOL);
        }
    }
}

static int unpack_bent(const struct entry *entry, size_t at, uint8_t value)
{
    uint8_t data[1024];
    struct entry back;
    struct bytes out = bytes_writer(data, sizeof(data));
    assert_true(entry_pack(&out, entry) && at < out.length);
    data[at] = value;
    struct bytes in = bytes_reader(data, out.length);
    return entry_unpack(&in, &back, NULL);
}

static void what_cannot_be_is_refused(void **state)
{
    static const char *const no_names[] = {".", "..", "a/b", "/"};
    struct entry all[EXAMPLES];
    (void)state;
    examples(all);
    const struct entry *file = &all[3], *failed = &all[5], *leave = &all[8];
    assert_int_equal(unpack_bent(file, 0, ENTRY_TYPES), -EPROTO);
    assert_int_equal(unpack_bent(file, 0, ENTRY_ENTER), -EPROTO); /* and is no folder */
    assert_int_equal(unpack_bent(file, 1, FILE_FOLDER), -EPROTO); /* and is not entered */
    assert_int_equal(unpack_bent(file, 1, FILE_NONE), -EPROTO);
    assert_int_equal(unpack_bent(file, 1, FILE_CHARACTER + 1), -EPROTO);
    assert_int_equal(unpack_bent(file, 9, 0xff), -EPROTO);  /* a size of 2^64 */
    assert_int_equal(unpack_bent(file, 19, 0xff), -EPROTO); /* a mode */
    assert_int_equal(unpack_bent(failed, 2, 0xff), -EPROTO);
    assert_int_equal(unpack_bent(leave, 1, 2), -EPROTO);
    struct bytes out = bytes_writer((uint8_t[1024]){0}, 1024);
    assert_true(entry_pack(&out, file));
    assert_int_equal(unpack_bent(file, out.length - 2, '\0'), -EPROTO); /* a NUL in a name */
    assert_int_equal(unpack_bent(file, out.length - 1, 'x'), -EPROTO);  /* and none behind it */
    for (size_t i = 0; i < COUNT_OF(no_names); i++) {
        const struct entry entry = {
            .type = ENTRY_NAME, .name = no_names[i], .facts = {.kind = FILE_REGULAR}};
        assert_int_equal(unpack_bent(&entry, 0, ENTRY_NAME), -EPROTO);
    }
    const struct entry nameless = {.type = ENTRY_NAME, .name = "", .facts = {.kind = FILE_REGULAR}};
    assert_int_equal(unpack_bent(&nameless, 0, ENTRY_NAME), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_back),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
        cmocka_unit_test(the_longest_has_room),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
