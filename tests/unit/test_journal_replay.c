/* test_journal_replay.c - journals that are read: torn, changed, of another session, impossible. */
#include "journal_tests.h"

/* ---- round trips ---- */

static void replay_of_several_batches_gives_header_and_entries_back(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 20);
    static const uint32_t steps[] = {1, 2, 7, 20, 8192};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        assert_int_equal(replay_steps(place, &replay, steps[i]), 0);
        assert_entries_are(place, 100, 210);
        assert_false(replay.damaged);
        assert_int_equal(replay.good_bytes, 128 + 20 * 32 + 210 * 24);
        assert_true(replay.header.session == header_usual.session);
        assert_int_equal(replay.header.chunk_bytes, header_usual.chunk_bytes);
        assert_int_equal(replay.header.size_bytes, header_usual.size_bytes);
        assert_true(replay.header.compare);
        assert_false(replay.header.manifest);
        assert_true(journal_identity_equal(&replay.header.source, &header_usual.source));
        assert_true(journal_identity_equal(&replay.header.target, &header_usual.target));
        assert_true(replay.header.source_seal == header_usual.source_seal);
        assert_int_equal(replay.header.target_identity, 23);
    }
}

static void replay_of_a_header_alone_has_no_entries(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal_header header = header_usual;
    header.compare = false;
    header.manifest = true;
    journal_close(create(place, &header));
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 0);
    assert_false(replay.damaged);
    assert_int_equal(replay.good_bytes, JOURNAL_HEADER_BYTES);
    assert_true(replay.header.manifest);
    assert_false(replay.header.compare);
}

static void replay_of_the_largest_batches_gives_all_entries(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal *journal = create(place, &header_usual);
    struct digest digest = digest_for(1);
    note_range(journal, 0, JOURNAL_NOTES_MAX);
    assert_int_equal(journal_note(journal, 0, &digest), -ENOBUFS);
    assert_int_equal(journal_noted(journal), JOURNAL_NOTES_MAX);
    assert_int_equal(checkpoint(journal), JOURNAL_NOTES_MAX);
    assert_int_equal(journal_noted(journal), 0);
    note_range(journal, JOURNAL_NOTES_MAX, JOURNAL_NOTES_MAX);
    assert_int_equal(checkpoint(journal), JOURNAL_NOTES_MAX);
    assert_int_equal(checkpoint(journal), 0);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_entries_are(place, 0, 2 * JOURNAL_NOTES_MAX);
    assert_int_equal(replay.good_bytes, 128 + 2 * (32 + 8192 * 24));
}

static void replay_of_a_chunk_noted_twice_gives_both_in_order(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct digest first = digest_of("first", 5), second = digest_of("second", 6);
    struct journal *journal = create(place, &header_usual);
    assert_int_equal(journal_note(journal, 9, &first), 0);
    assert_int_equal(checkpoint(journal), 1);
    assert_int_equal(journal_note(journal, 9, &second), 0);
    assert_int_equal(checkpoint(journal), 1);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 2);
    assert_true(digest_equal(&place->entries[0].digest, &first));
    assert_true(digest_equal(&place->entries[1].digest, &second));
}

static void rewind_gives_the_same_again_and_not_what_came_since(void **state)
{
    struct place *place = *state;
    struct journal_header header;
    struct journal_reader *reader = NULL;
    struct journal *journal = create(place, &header_usual);
    note_range(journal, 0, 10);
    assert_int_equal(checkpoint(journal), 10);
    assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, NULL), 0);
    assert_int_equal(journal_reader_next(reader, place->entries, 3, NULL), 3);
    note_range(journal, 10, 10);
    assert_int_equal(checkpoint(journal), 10);
    for (int round = 0; round < 3; round++) {
        journal_reader_rewind(reader);
        place->count = read_entries(reader, place->entries, 4);
        assert_entries_are(place, 0, 10);
        assert_false(journal_reader_damaged(reader));
    }
    journal_reader_close(reader);
    journal_close(journal);
}

/* ---- damage ---- */

/* Where each of the three batches of create_small(3) ends, and how many entries there are then. */
static const size_t ends[] = {128, 128 + 56, 128 + 56 + 80, 128 + 56 + 80 + 104};
static const uint32_t ends_entries[] = {0, 1, 3, 6};

static size_t batches_before(size_t bytes)
{
    size_t batches = 0;
    while (batches < 3 && ends[batches + 1] <= bytes)
        batches++;
    return batches;
}

static void replay_of_a_file_torn_at_each_byte_keeps_the_batches_before(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    assert_int_equal(place->file_bytes, ends[3]);
    for (size_t length = 0; length <= ends[3]; length++) {
        store_file(place, place->file, length);
        int rc = replay_file(place, &replay);
        assert_int_equal(rc, length < 128 ? -EBADMSG : 0);
        if (rc < 0)
            continue;
        size_t batches = batches_before(length);
        assert_entries_are(place, 100, ends_entries[batches]);
        assert_int_equal(replay.good_bytes, ends[batches]);
        assert_int_equal(replay.damaged, length != ends[batches]);
    }
}

static void replay_after_one_changed_byte_keeps_only_the_batches_before(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    for (size_t at = 0; at < ends[3]; at++) {
        uint8_t old = place->file[at];
        for (int bit = 0; bit <= 8; bit++) {
            unsigned flips = bit < 8 ? 1u << bit : 0xff;
            place->file[at] = (uint8_t)(old ^ flips);
            store_file(place, place->file, ends[3]);
            int rc = replay_file(place, &replay);
            assert_int_equal(rc, at < 128 ? -EBADMSG : 0);
            if (rc < 0)
                continue;
            assert_entries_are(place, 100, ends_entries[batches_before(at)]);
            assert_int_equal(replay.good_bytes, ends[batches_before(at)]);
            assert_true(replay.damaged);
        }
        place->file[at] = old;
    }
}

static void replay_of_zeros_never_finds_a_batch(void **state)
{
    struct place *place = *state;
    struct replay replay;
    create_small(place, 3);
    load_file(place);
    for (size_t zeros = 1; zeros < 300000; zeros += 1 + zeros / 3) {
        memset(place->file + ends[3], 0, zeros);
        store_file(place, place->file, ends[3] + zeros);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_entries_are(place, 100, 6);
        assert_true(replay.damaged);
        assert_int_equal(replay.good_bytes, ends[3]);
    }
    for (size_t i = 0; i < 3; i++) { /* a batch that never reached the disk, later ones did */
        load_file(place);
        memset(place->file + ends[i], 0, ends[i + 1] - ends[i]);
        store_file(place, place->file, ends[3]);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_entries_are(place, 100, ends_entries[i]);
        create_small(place, 3);
    }
    memset(place->file, 0, 4096);
    store_file(place, place->file, 4096);
    assert_int_equal(replay_file(place, &replay), -EBADMSG);
}

/* Little-endian, as haul-journal(5) says; on purpose not the code under test. */
static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Give a batch at `at` of the file the checksum that belongs to it. */
static void seal_batch(uint8_t *at, size_t length, uint64_t session)
{
    put(at, checksum_of(at + 8, length - 8, session ^ 0x6861756c2d626174), 8);
}

static void seal_header(uint8_t *at)
{
    put(at + 120, checksum_of(at, 120, 0x6861756c2d686472), 8);
}

static void replay_of_batches_of_another_session_stops_there(void **state)
{
    struct place *place = *state;
    struct replay replay;
    uint8_t foreign[56];
    struct journal_header header = header_usual;
    header.session++;
    struct journal *journal = create(place, &header);
    note(journal, 100);
    assert_int_equal(checkpoint(journal), 1);
    journal_close(journal);
    load_file(place);
    memcpy(foreign, place->file + 128, sizeof(foreign));
    for (int claim = 0; claim < 2; claim++) { /* 1: it says that it is of this session */
        if (claim)
            put(foreign + 16, header_usual.session, 8);
        create_small(place, 3);
        load_file(place);
        for (size_t i = 0; i < 4; i++) {
            memmove(place->file + ends[i] + 56, place->file + ends[i], ends[3] - ends[i]);
            memcpy(place->file + ends[i], foreign, sizeof(foreign));
            store_file(place, place->file, ends[3] + 56);
            assert_int_equal(replay_file(place, &replay), 0);
            assert_entries_are(place, 100, ends_entries[i]);
            assert_true(replay.damaged);
            create_small(place, 3);
            load_file(place);
        }
    }
    seal_batch(foreign, sizeof(foreign), header_usual.session); /* and the other way round */
    memcpy(place->file + ends[3], foreign, sizeof(foreign));
    store_file(place, place->file, ends[3] + 56);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 7);
    assert_false(replay.damaged);
}

/* A batch whose checksum is right and whose fields are not. */
static void replay_of_impossible_batches_with_right_checksums_stops_there(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct {
        size_t at, bytes;
        uint64_t value;
    } lies[] = {
        {32, 8, CHUNKS},     {32, 8, UINT64_MAX}, {12, 4, 0}, {12, 4, 2}, {12, 4, 8193},
        {12, 4, UINT32_MAX}, {12, 4, 0x0aaaaaaa}, {8, 4, 0},  {16, 8, 1},
    };
    create_small(place, 1);
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        load_file(place);
        put(place->file + 128 + lies[i].at, lies[i].value, lies[i].bytes);
        seal_batch(place->file + 128, 56, header_usual.session);
        store_file(place, place->file, 128 + 56);
        assert_int_equal(replay_file(place, &replay), 0);
        assert_int_equal(place->count, 0);
        assert_true(replay.damaged);
        create_small(place, 1);
    }
    load_file(place);
    put(place->file + 128 + 32, CHUNKS - 1, 8); /* the last chunk is possible */
    seal_batch(place->file + 128, 56, header_usual.session);
    store_file(place, place->file, 128 + 56);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 1);
}

static void open_of_impossible_headers_with_right_checksums_refuses(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct {
        size_t at, bytes;
        uint64_t value;
    } lies[] = {
        {0, 8, 0},           {8, 4, 0},           {8, 4, 2},           {12, 4, 8},
        {12, 4, 0x80000000}, {16, 8, 0},          {24, 8, UINT64_MAX}, {24, 8, (uint64_t)1 << 63},
        {32, 4, 0},          {32, 4, 256},        {32, 4, 3 << 19},    {32, 4, 0x80000000},
        {36, 4, 1},          {64, 4, 1000000000}, {68, 4, 1},          {96, 4, UINT32_MAX},
        {100, 4, 1},         {12, 4, 6},
    };
    create_small(place, 1);
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        load_file(place);
        put(place->file + lies[i].at, lies[i].value, lies[i].bytes);
        seal_header(place->file);
        store_file(place, place->file, place->file_bytes);
        if (replay_file(place, &replay) != -EBADMSG)
            fail_msg("header %zu of the list was believed", i);
        create_small(place, 1);
    }
    load_file(place); /* the checksum itself was not what refused them */
    put(place->file + 12, 3, 4);
    seal_header(place->file);
    store_file(place, place->file, place->file_bytes);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_true(replay.header.manifest && replay.header.compare);
}

/* The chunks are those of the whole file: 3 of 5, of which the first and last are in it in parts.
 */
static void replay_of_a_part_knows_its_chunks_and_no_others(void **state)
{
    struct place *place = *state;
    struct replay replay;
    struct journal_header header = header_usual;
    header.part_start = header.chunk_bytes + 7;
    header.part_end = 3 * (uint64_t)header.chunk_bytes + 1;
    header.size_bytes = header.target.size_bytes = 5 * (uint64_t)header.chunk_bytes;
    struct journal *journal = create(place, &header);
    note_range(journal, 1, 3);
    assert_int_equal(checkpoint(journal), 3);
    journal_close(journal);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 3);
    assert_false(replay.damaged);
    assert_int_equal(replay.header.part_start, header.part_start);
    assert_int_equal(replay.header.part_end, header.part_end);
    assert_true(journal_identity_equal(&replay.header.target, &header.target));
    const struct range first = journal_chunk_range(&replay.header, 1);
    const struct range last = journal_chunk_range(&replay.header, 3);
    assert_int_equal(first.start, header.part_start);
    assert_int_equal(first.end, 2 * (uint64_t)header.chunk_bytes);
    assert_int_equal(last.end - last.start, 1);
    load_file(place);
    put(place->file + 80, header.chunk_bytes + 8, 8); /* it ends in the first chunk */
    seal_header(place->file);
    store_file(place, place->file, place->file_bytes);
    assert_int_equal(replay_file(place, &replay), 0);
    assert_int_equal(place->count, 0);
    assert_true(replay.damaged);
    put(place->file + 80, header.part_start, 8); /* it is empty */
    seal_header(place->file);
    store_file(place, place->file, place->file_bytes);
    assert_int_equal(replay_file(place, &replay), -EBADMSG);
}

static void open_says_what_is_wrong(void **state)
{
    struct place *place = *state;
    static const struct {
        size_t at;
        uint8_t value;
        const char *words;
    } wrong[] = {{0, 'x', "is not a journal"}, {8, 2, "version 2"}, {50, 1, "header is damaged"}};
    struct journal_header header;
    struct journal_reader *reader = NULL;
    struct error err = {0};
    assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, &err), -ENOENT);
    assert_false(error_is_set(&err));
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        create_small(place, 1);
        load_file(place);
        place->file[wrong[i].at] = wrong[i].value;
        store_file(place, place->file, place->file_bytes);
        err = (struct error){0};
        assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, &err), -EBADMSG);
        assert_non_null(strstr(err.text, wrong[i].words));
    }
    assert_int_equal(mkfifoat(place->fd, "other", 0600), 0); /* does not hang */
    assert_int_equal(journal_reader_open(&reader, place->fd, "other", &header, NULL), -EBADMSG);
    assert_int_equal(mkdirat(place->fd, "folder", 0700), 0);
    assert_int_equal(journal_reader_open(&reader, place->fd, "folder", &header, NULL), -EBADMSG);
    assert_int_equal(symlinkat(NAME, place->fd, "link"), 0);
    assert_int_equal(journal_reader_open(&reader, place->fd, "link", &header, NULL), -ELOOP);
    assert_null(reader);
}

static void replay_of_a_file_cut_while_it_is_read_ends(void **state)
{
    struct place *place = *state;
    struct journal_header header;
    struct journal_reader *reader = NULL;
    create_small(place, 3);
    assert_int_equal(journal_reader_open(&reader, place->fd, NAME, &header, NULL), 0);
    load_file(place);
    store_file(place, place->file, ends[2] - 1);
    place->count = read_entries(reader, place->entries, 100);
    assert_entries_are(place, 100, 1);
    assert_true(journal_reader_damaged(reader));
    journal_reader_close(reader);
    journal_reader_close(NULL);
    journal_close(NULL);
}

/* The example of haul-journal(5), byte for byte; 41-journal-command.bats has the page's own copy
 * read by the program. */
static void file_of_the_manual_page_is_what_is_written(void **state)
{
    struct place *place = *state;
    const struct journal_header header = {
        .session = 0x0123456789abcdef,
        .chunk_bytes = 1 << 20,
        .size_bytes = 2500000,
        .source = {.inode = 77, .size_bytes = 2500000, .mtime_seconds = 1700000000, .mtime_ns = 5},
        .target = {.inode = 99, .size_bytes = 2500000},
    };
    struct journal *journal = create(place, &header);
    struct digest zeros = digest_of_zeros(1 << 20), tail = digest_of_zeros(2500000 - (2 << 20));
    assert_int_equal(journal_note(journal, 0, &zeros), 0);
    assert_int_equal(journal_note(journal, 2, &tail), 0);
    assert_int_equal(checkpoint(journal), 2);
    journal_close(journal);
    load_file(place);
    /* clang-format off: half a line of hexdump a line */
    static const uint8_t expected[] = {
        0x68, 0x61, 0x75, 0x6c, 0x4a, 0x4e, 0x4c, 0x1a, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0xa0, 0x25, 0x26, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4d, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0xa0, 0x25, 0x26, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf1, 0x53, 0x65,
        0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x63, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x25, 0x26, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x87, 0xa1, 0x8c, 0x4a, 0x4b, 0x58, 0x1e, 0x63, 0x0f, 0xf5, 0x8c, 0xa5, 0xc7, 0xc9, 0x8e,
        0xfa, 0x42, 0x54, 0x43, 0x48, 0x02, 0x00, 0x00, 0x00, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45,
        0x23, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0xb6, 0xef, 0x17, 0xa3, 0x44, 0x84, 0x92, 0xb6, 0x91, 0x87, 0x80, 0xb9,
        0x05, 0x50, 0xbf, 0x34, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xbb, 0xf8, 0x5b,
        0x25, 0x6d, 0x4d, 0x28, 0x76, 0x1f, 0x73, 0xff, 0x67, 0x95, 0x21, 0xdc, 0x04,
    };
    /* clang-format on */
    assert_int_equal(place->file_bytes, sizeof(expected));
    assert_memory_equal(place->file, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(replay_of_several_batches_gives_header_and_entries_back),
        TEST(replay_of_a_header_alone_has_no_entries),
        TEST(replay_of_the_largest_batches_gives_all_entries),
        TEST(replay_of_a_chunk_noted_twice_gives_both_in_order),
        TEST(rewind_gives_the_same_again_and_not_what_came_since),
        TEST(replay_of_a_file_torn_at_each_byte_keeps_the_batches_before),
        TEST(replay_after_one_changed_byte_keeps_only_the_batches_before),
        TEST(replay_of_zeros_never_finds_a_batch),
        TEST(replay_of_batches_of_another_session_stops_there),
        TEST(replay_of_impossible_batches_with_right_checksums_stops_there),
        TEST(open_of_impossible_headers_with_right_checksums_refuses),
        TEST(replay_of_a_part_knows_its_chunks_and_no_others),
        TEST(open_says_what_is_wrong),
        TEST(replay_of_a_file_cut_while_it_is_read_ends),
        TEST(file_of_the_manual_page_is_what_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
