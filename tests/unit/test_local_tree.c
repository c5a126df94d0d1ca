/* test_local_tree.c - the operations of a local side that walk, list and remove beneath a root. */
#include "walk_tests.h"

#include "haul/base/names.h"
#include "haul/side/side.h"

enum { SLOT_BYTES = 64 * 1024 };

/* "root" is the source's tree, "target" the target's. */
struct bench {
    struct grove *grove; /* its working folder */
    struct side *sides[2];
    struct slot slot;
    struct error slot_error;
    struct job job;
    struct error err;
};

static struct side *open_side(enum side_role role, const struct place *place)
{
    struct side *side;
    struct error err = {.class = ERROR_NONE};
    const struct local_config config = {
        .role = role,
        .engine = {.kind = ENGINE_THREADS},
        .slots_count = 2,
        .window_bytes = MIB,
        .jobs_max = 2,
        .place = place,
    };
    assert_int_equal(local_open(&side, &config, &err), 0);
    return side;
}

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    void *grove = NULL;
    assert_non_null(bench);
    assert_int_equal(grove_setup(&grove), 0);
    bench->grove = grove;
    make_folder("target");
    bench->sides[SIDE_SOURCE] = open_side(SIDE_SOURCE, NULL);
    bench->sides[SIDE_TARGET] = open_side(SIDE_TARGET, NULL);
    bench->slot = (struct slot){
        .buffer = malloc(SLOT_BYTES), .capacity = SLOT_BYTES, .error = &bench->slot_error};
    bench->slot.job = &bench->job;
    bench->job = (struct job){
        .number = 1,
        .roots = {{1, "root"}, {2, "target"}},
        .source_path = "",
        .target_path = "",
        .facts[SIDE_SOURCE].kind = FILE_FOLDER,
    };
    *state = bench;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;
    void *grove = bench->grove;
    side_close(bench->sides[SIDE_SOURCE]);
    side_close(bench->sides[SIDE_TARGET]);
    free(bench->slot.buffer);
    free(bench);
    return grove_teardown(&grove);
}

static int call(struct bench *bench, enum side_role role, enum side_op op)
{
    bench->err = (struct error){.class = ERROR_NONE};
    int result = side_call(bench->sides[role], &bench->slot, op, &bench->err);
    assert_int_equal(result < 0, error_is_set(&bench->err));
    return result;
}

static void must(struct bench *bench, enum side_role role, enum side_op op)
{
    if (call(bench, role, op) < 0)
        fail_msg("%s", bench->err.text);
}

static int tour_begin(struct bench *bench, uint32_t number, uint32_t flags, struct rules *rules)
{
    struct bytes wish = bytes_writer(bench->slot.buffer, SLOT_BYTES);
    bench->job.number = number;
    bytes_put_u32(&wish, flags);
    if (rules)
        rules_pack(rules, &wish);
    assert_false(wish.failed);
    bench->slot.length = num_u32(wish.length);
    return call(bench, SIDE_SOURCE, SIDE_TOUR);
}

static void hear_buffer(struct bench *bench)
{
    struct entry entry;
    struct bytes in = bytes_reader(bench->slot.buffer, bench->slot.count);
    while (entry_unpack(&in, &entry, &bench->err) > 0)
        hear(bench->grove, &entry);
    assert_false(error_is_set(&bench->err));
}

static const char *tour_walk(struct bench *bench)
{
    struct grove *grove = bench->grove;
    grove->lines_length = 0;
    grove->lines[0] = grove->path[0] = '\0';
    do {
        bench->slot.length = ENTRY_BYTES_MAX;
        must(bench, SIDE_SOURCE, SIDE_WALK);
        assert_true(bench->slot.count <= ENTRY_BYTES_MAX);
        hear_buffer(bench);
    } while (bench->slot.extent_start != 0);
    return grove->lines;
}

/* ---- tours ---- */

static void walk_of_a_tour_tells_the_tree(void **state)
{
    struct bench *bench = *state;
    touch("root/file");
    make_folder("root/sub");
    touch("root/sub/inner");
    assert_int_equal(tour_begin(bench, 7, TOUR_RECURSIVE | TOUR_LINKS, NULL), 0);
    assert_string_equal(tour_walk(bench), "/\n/file\n/sub/\n/sub/inner\n-/sub/\n-/\n");
    must(bench, SIDE_SOURCE, SIDE_ABANDON);
    bench->slot.length = SLOT_BYTES;
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_WALK), -EBADF);
    bench->job.source_path = "sub";
    assert_int_equal(tour_begin(bench, 8, TOUR_RECURSIVE, NULL), 0);
    assert_string_equal(tour_walk(bench), "sub/\nsub/inner\n-sub/\n"); /* and is left at the end */
}

static void walk_of_two_tours_tells_each_its_own(void **state)
{
    struct bench *bench = *state;
    make_folder("root/a");
    make_folder("root/b");
    bench->job.source_path = "a";
    assert_int_equal(tour_begin(bench, 1, TOUR_RECURSIVE, NULL), 0);
    bench->job.source_path = "b";
    assert_int_equal(tour_begin(bench, 2, TOUR_RECURSIVE, NULL), 0);
    bench->job.number = 1;
    assert_string_equal(tour_walk(bench), "a/\n-a/\n");
    must(bench, SIDE_SOURCE, SIDE_ABANDON);
    bench->job.number = 2;
    assert_string_equal(tour_walk(bench), "b/\n-b/\n");
    must(bench, SIDE_SOURCE, SIDE_ABANDON);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(tour_begin(bench, 10 + i, 0, NULL), 0);
    assert_int_equal(tour_begin(bench, 30, 0, NULL), -EMFILE);
}

/* The next names of a list, by their texts; none: that was all. */
static int give_names(struct bench *bench, const char *const *texts)
{
    struct bytes out = bytes_writer(bench->slot.buffer, SLOT_BYTES);
    size_t next = 0;
    struct names *names = names_open();
    for (; *texts; texts++)
        assert_int_equal(names_add(names, *texts, &bench->err), 0);
    assert_int_equal(names_settle(names, &bench->err), 0);
    names_pack(names, &next, &out);
    names_close(names);
    bench->slot.length = num_u32(out.length);
    return call(bench, SIDE_SOURCE, SIDE_NAMES);
}

/* Lists, one after another, and what is told of them. */
static const char *listed(struct bench *bench, uint32_t flags, const char *const *const *lists)
{
    struct grove *grove = bench->grove;
    uint64_t next;
    grove->lines_length = 0;
    grove->lines[0] = grove->path[0] = '\0';
    assert_int_equal(tour_begin(bench, 1, TOUR_LISTED | flags, NULL), 0);
    do {
        bench->slot.length = ENTRY_BYTES_MAX;
        must(bench, SIDE_SOURCE, SIDE_WALK);
        hear_buffer(bench);
        next = bench->slot.extent_start;
        if (next == WALK_NAMES)
            assert_int_equal(give_names(bench, *lists++), 0);
    } while (next != WALK_OVER);
    must(bench, SIDE_SOURCE, SIDE_ABANDON);
    return grove->lines;
}

static void walk_of_a_list_tells_what_is_named(void **state)
{
    struct bench *bench = *state;
    make_folder("root/a");
    make_folder("root/a/b");
    touch("root/a/b/deep");
    touch("root/a/file");
    touch("root/top");
    assert_int_equal(symlink("a", "root/link"), 0);
    static const char *const none[] = {NULL}, *const root[] = {".", NULL};
    static const char *const first[] = {"a/b/deep", "a/file", "a/none/x", "link/file", NULL};
    static const char *const second[] = {"nothing", "top", NULL}, *const whole[] = {"a", NULL};
    static const char *const inner[] = {"a/b/", "a/b/deep", "a/b/gone", NULL};
    static const char *const content[] = {"a/", "a/b/deep", "a/file", "a/gone", NULL};
    assert_string_equal(listed(bench, 0, (const char *const *const[]){none}), "");
    assert_string_equal(listed(bench, 0, (const char *const *const[]){first, second, none}),
                        "a/\na/b/\na/b/deep\n-a/b/\na/file\n?a/none/x 2\n!a/\n?link/file 40\n"
                        "?nothing 2\ntop\n");
    assert_string_equal(listed(bench, 0, (const char *const *const[]){whole, none}), "a/\n-a/\n");
    assert_string_equal(listed(bench, TOUR_RECURSIVE, (const char *const *const[]){whole, none}),
                        "a/\na/file\na/b/\na/b/deep\n-a/b/\n-a/\n");
    assert_string_equal(listed(bench, 0, (const char *const *const[]){inner, none}),
                        "a/\na/b/\n?a/b/gone 2\na/b/deep\n!a/b/\n-a/\n");
    assert_string_equal(listed(bench, TOUR_RECURSIVE, (const char *const *const[]){content, none}),
                        "a/\n?a/gone 2\na/file\na/b/\na/b/deep\n-a/b/\n!a/\n");
    assert_non_null(strstr(listed(bench, 0, (const char *const *const[]){root, none}), "/top\n"));
}

static void names_that_nobody_wants_are_refused(void **state)
{
    struct bench *bench = *state;
    static const char *const some[] = {"a", NULL}, *const root[] = {".", NULL};
    static const uint8_t bad[][6] = {{0, 2, 0, '.', '.', 0}, {0, 2, 0, '/', 'a', 0}};
    assert_int_equal(tour_begin(bench, 1, 0, NULL), 0);
    assert_int_equal(give_names(bench, some), -EPROTO); /* it has no list */
    must(bench, SIDE_SOURCE, SIDE_ABANDON);
    assert_int_equal(tour_begin(bench, 1, TOUR_LISTED, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        memcpy(bench->slot.buffer, bad[i], sizeof(bad[i]));
        bench->slot.length = sizeof(bad[i]);
        assert_int_equal(call(bench, SIDE_SOURCE, SIDE_NAMES), -EPROTO);
    }
    assert_int_equal(give_names(bench, some), 0);
    assert_int_equal(give_names(bench, some), -EPROTO); /* not yet */
    bench->slot.length = ENTRY_BYTES_MAX;
    must(bench, SIDE_SOURCE, SIDE_WALK);
    assert_int_equal(bench->slot.extent_start, WALK_NAMES);
    assert_int_equal(give_names(bench, root), -EPROTO); /* not first */
    touch("root/file");
    bench->job.source_path = "file";
    assert_int_equal(tour_begin(bench, 2, TOUR_LISTED, NULL), -ENOTDIR);
}

static void tour_of_nonsense_is_refused(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(tour_begin(bench, 1, TOUR_FLAGS + 1, NULL), -EPROTO);
    bench->slot.length = 3;
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_TOUR), -EPROTO);
    memset(bench->slot.buffer, 0xff, SLOT_BYTES);
    memset(bench->slot.buffer, 0, 4);
    bench->slot.length = 100;
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_TOUR), -EPROTO);
    bench->job.source_path = "none";
    assert_int_equal(tour_begin(bench, 1, 0, NULL), -ENOENT);
    assert_int_equal(bench->err.class, ERROR_VANISHED);
    bench->job.source_path = "";
    bench->job.roots[SIDE_SOURCE].number = 0;
    assert_int_equal(tour_begin(bench, 1, 0, NULL), -EINVAL);
    bench->job.roots[SIDE_SOURCE].number = 1;
    assert_int_equal(tour_begin(bench, 1, 0, NULL), 0);
    bench->slot.length = ENTRY_BYTES_MAX - 1;
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_WALK), -EINVAL);
}

/* ---- lists and what is missing ---- */

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the buffer in their order, "name " or, of folders, "name/ ". */
static const char *names_in(const uint8_t *buffer, uint32_t length)
{
    static char texts[4096][32], all[4096 * 33];
    char *lines[4096], *end = all;
    struct entry entry;
    struct error err = {.class = ERROR_NONE};
    struct bytes in = bytes_reader(buffer, length);
    size_t count = 0;
    while (entry_unpack(&in, &entry, &err) > 0) {
        assert_int_equal(entry.type, ENTRY_NAME);
        assert_true(count < COUNT_OF(texts));
        snprintf(texts[count], sizeof(texts[0]), "%.28s%s ", entry.name,
                 entry.facts.kind == FILE_FOLDER ? "/" : "");
        lines[count] = texts[count];
        count++;
    }
    assert_false(error_is_set(&err));
    qsort(lines, count, sizeof(lines[0]), compare_lines);
    all[0] = '\0';
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, lines[i]);
    return all;
}

static const char *list(struct bench *bench)
{
    bench->slot.offset = 0;
    bench->slot.length = SLOT_BYTES;
    must(bench, SIDE_TARGET, SIDE_LIST);
    assert_int_equal(bench->slot.extent_start, 0);
    return names_in(bench->slot.buffer, bench->slot.count);
}

static void list_tells_all_names(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(list(bench), "");
    touch("target/file");
    make_folder("target/folder");
    make_folder("target/folder/inner");
    assert_int_equal(symlink("folder", "target/link"), 0);
    assert_string_equal(list(bench), "file folder/ link ");
    bench->job.target_path = "folder";
    assert_string_equal(list(bench), "inner/ ");
    static const struct {
        const char *path;
        int result;
    } rows[] = {{"link", -ELOOP}, {"none", -ENOENT}, {"file", -ENOTDIR}, {"../root", -EXDEV}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bench->job.target_path = rows[i].path;
        int result = call(bench, SIDE_TARGET, SIDE_LIST);
        assert_true(result == rows[i].result || (i == 0 && result == -ENOTDIR));
    }
}

static void list_of_many_goes_on_where_it_was(void **state)
{
    struct bench *bench = *state;
    static uint8_t all[MIB], seen[3000];
    char name[32];
    size_t length = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "target/%d", i);
        touch(name);
    }
    bench->slot.offset = 0;
    uint32_t calls = 0;
    do {
        bench->slot.length = ENTRY_BYTES_MAX;
        must(bench, SIDE_TARGET, SIDE_LIST);
        memcpy(all + length, bench->slot.buffer, bench->slot.count);
        length += bench->slot.count;
        bench->slot.offset = bench->slot.extent_start;
        calls++;
    } while (bench->slot.extent_start != 0);
    assert_true(calls > 3);
    memset(seen, 0, sizeof(seen));
    const char *at = names_in(all, num_u32(length));
    for (char *end; *at; at = end + 1)
        seen[strtoul(at, &end, 10)]++;
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        assert_int_equal(seen[i], 1);
}

/* What of these names, folders with a slash, is missing. */
static const char *missing(struct bench *bench, const char *const *names)
{
    struct bytes out = bytes_writer(bench->slot.buffer, SLOT_BYTES);
    for (; *names; names++) {
        char name[32];
        size_t length = strlen(*names);
        struct entry entry = {.type = ENTRY_NAME, .name = name, .facts.kind = FILE_REGULAR};
        strcpy(name, *names);
        if (name[length - 1] == '/') {
            name[length - 1] = '\0';
            entry.facts.kind = FILE_FOLDER;
        }
        assert_true(entry_pack(&out, &entry));
    }
    bench->slot.length = num_u32(out.length);
    bench->job.number = 99; /* of its own */
    must(bench, SIDE_SOURCE, SIDE_MISSING);
    return names_in(bench->slot.buffer, bench->slot.count);
}

static void missing_tells_what_the_source_has_not(void **state)
{
    struct bench *bench = *state;
    char longest[5 + 255 + 1] = "root/";
    memset(longest + 5, 'a', 255);
    touch(longest);
    touch("root/file");
    touch("root/unfinished");
    touch("root/.named.haul"); /* like a journal, and a file of the source */
    make_folder("root/sub");
    touch("root/sub/inner");
    assert_int_equal(symlink("nowhere", "root/dangling"), 0);
    assert_int_equal(symlink("sub", "root/link"), 0);
    const char *const names[] = {"file",
                                 "sub/",
                                 "dangling",
                                 "old",
                                 "older/",
                                 "link",
                                 ".unfinished.haul",
                                 ".gone.haul",
                                 ".x.haulx",
                                 ".named.haul",
                                 ".gone.haul/",
                                 ".dangling.haul-new",
                                 ".gone.haul-new",
                                 ".haul-0123456789abcdef",     /* of nothing that is there */
                                 ".haul-a582b761e1e78c49-new", /* of the long one */
                                 NULL};
    assert_int_equal(tour_begin(bench, 1, TOUR_RECURSIVE, NULL), 0);
    assert_string_equal(missing(bench, names),
                        ".gone.haul .gone.haul-new .gone.haul/ .haul-0123456789abcdef .x.haulx old "
                        "older/ ");
    const char *const inner[] = {"inner", "other", NULL};
    bench->job.source_path = "sub";
    assert_string_equal(missing(bench, inner), "other ");
    bench->job.facts[SIDE_SOURCE].kind = FILE_NONE; /* it goes from the target */
    assert_string_equal(missing(bench, inner), "inner other ");
    bench->job.facts[SIDE_SOURCE].kind = FILE_FOLDER;
    bench->job.source_path = "none"; /* with all that was in it */
    assert_string_equal(missing(bench, inner), "inner other ");
    bench->job.source_path = "link";
    bench->slot.length = 0;
    assert_true(call(bench, SIDE_SOURCE, SIDE_MISSING) < 0);
}

static void missing_keeps_what_rules_protect(void **state)
{
    struct bench *bench = *state;
    static const char *const texts[] = {"- *.o", "P keep", "H hidden", "- /sub/cache/"};
    touch("root/x.o");
    touch("root/hidden");
    make_folder("root/sub");
    const char *const names[] = {"x.o", "y.o",        "keep",         "hidden",
                                 "old", ".keep.haul", ".hidden.haul", NULL};
    const char *const inner[] = {"cache/", "cache", "keep", NULL};
    for (int excluded = 0; excluded < 2; excluded++) {
        struct rules *rules = rules_open(excluded);
        for (size_t i = 0; i < COUNT_OF(texts); i++)
            assert_int_equal(
                rules_parse(rules, texts[i], RULES_FILTER, &(struct rules_merge){0}, &bench->err),
                0);
        bench->job.source_path = "";
        assert_int_equal(tour_begin(bench, 1, TOUR_RECURSIVE, rules), 0);
        rules_close(rules);
        assert_string_equal(missing(bench, names), excluded ? ".hidden.haul hidden old x.o y.o "
                                                            : ".hidden.haul hidden old ");
        bench->job.source_path = "sub";
        assert_string_equal(missing(bench, inner), excluded ? "cache cache/ " : "cache ");
        bench->job.number = 1;
        must(bench, SIDE_SOURCE, SIDE_ABANDON);
    }
    bench->slot.length = 0;
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_MISSING), -EBADF);
}

static void missing_of_nonsense_is_refused(void **state)
{
    struct bench *bench = *state;
    const struct entry entry = {.type = ENTRY_LEAVE};
    assert_int_equal(tour_begin(bench, 1, 0, NULL), 0);
    struct bytes out = bytes_writer(bench->slot.buffer, SLOT_BYTES);
    assert_true(entry_pack(&out, &entry));
    bench->slot.length = num_u32(out.length);
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_MISSING), -EPROTO);
    memset(bench->slot.buffer, 0xff, 64);
    bench->slot.length = 64;
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_MISSING), -EPROTO);
}

/* ---- removals ---- */

static void remove_of_a_target_takes_all_in_it(void **state)
{
    struct bench *bench = *state;
    make_folder("target/folder");
    touch("target/folder/file");
    touch("target/file");
    const char *const paths[] = {"folder", "file", "none"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        bench->job.target_path = paths[i];
        must(bench, SIDE_TARGET, SIDE_REMOVE);
    }
    assert_int_equal(rmdir("target"), 0);
}

static void describe_source(struct bench *bench, const char *path)
{
    bench->job.source_path = path;
    must(bench, SIDE_SOURCE, SIDE_DESCRIBE);
}

static void remove_of_a_source_takes_only_what_was_copied(void **state)
{
    struct bench *bench = *state;
    static const char *const changes[] = {
        "echo more >>root/file", "chmod 0600 root/file", "cp root/file x && mv x root/file",
        "rm root/file && mkdir root/file", "rmdir root/file && ln -s y root/file"};
    write_filled("root/file", 100, 1);
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        describe_source(bench, "file");
        assert_int_equal(system(changes[i]), 0);
        assert_int_equal(call(bench, SIDE_SOURCE, SIDE_REMOVE), -ESTALE);
        assert_int_equal(bench->err.class, ERROR_CHANGED);
        assert_int_equal(access("root", F_OK), 0);
        assert_int_equal(faccessat(AT_FDCWD, "root/file", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    }
    describe_source(bench, "file"); /* a link */
    must(bench, SIDE_SOURCE, SIDE_REMOVE);
    must(bench, SIDE_SOURCE, SIDE_REMOVE); /* it is gone */
    write_filled("root/one", 100, 1);
    assert_int_equal(link("root/one", "root/two"), 0);
    describe_source(bench, "two");
    assert_int_equal(unlink("root/one"), 0); /* as we do, one after the other */
    must(bench, SIDE_SOURCE, SIDE_REMOVE);
    make_folder("root/folder");
    describe_source(bench, "folder");
    assert_int_equal(call(bench, SIDE_SOURCE, SIDE_REMOVE), -ESTALE);
    assert_int_equal(rmdir("root/folder"), 0);
    assert_int_equal(rmdir("root"), 0);
}

static void remove_and_list_keep_to_the_rights(void **state)
{
    struct bench *bench = *state;
    static const char *const texts[] = {"target,ro", "target,wo"};
    touch("target/file");
    bench->job.roots[SIDE_TARGET] = (struct job_root){2, "."};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct place place;
        assert_int_equal(place_open(&place, texts[i], &bench->err), 0);
        side_close(bench->sides[SIDE_TARGET]);
        bench->sides[SIDE_TARGET] = open_side(SIDE_TARGET, &place);
        bench->job.target_path = "file";
        assert_int_equal(call(bench, SIDE_TARGET, SIDE_REMOVE), -EACCES);
        bench->job.target_path = "";
        bench->slot.length = SLOT_BYTES;
        assert_int_equal(call(bench, SIDE_TARGET, SIDE_LIST), i == 0 ? 0 : -EACCES);
        side_close(bench->sides[SIDE_TARGET]);
        bench->sides[SIDE_TARGET] = open_side(SIDE_TARGET, NULL);
        place_close(&place);
    }
    assert_true(is_there("target/file"));
}

static void sync_of_a_root_needs_no_open_file(void **state)
{
    struct bench *bench = *state;
    must(bench, SIDE_TARGET, SIDE_SYNC);
    bench->job.facts[SIDE_SOURCE].kind = FILE_FOLDER;
    bench->job.target_path = "new";
    must(bench, SIDE_TARGET, SIDE_MAKE);
    must(bench, SIDE_TARGET, SIDE_SYNC);
    bench->job.roots[SIDE_TARGET].path = "none";
    bench->job.roots[SIDE_TARGET].number = 9;
    assert_int_equal(call(bench, SIDE_TARGET, SIDE_SYNC), -ENOENT);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(walk_of_a_tour_tells_the_tree),
        ON_BENCH(walk_of_two_tours_tells_each_its_own),
        ON_BENCH(walk_of_a_list_tells_what_is_named),
        ON_BENCH(names_that_nobody_wants_are_refused),
        ON_BENCH(tour_of_nonsense_is_refused),
        ON_BENCH(list_tells_all_names),
        ON_BENCH(list_of_many_goes_on_where_it_was),
        ON_BENCH(missing_tells_what_the_source_has_not),
        ON_BENCH(missing_keeps_what_rules_protect),
        ON_BENCH(missing_of_nonsense_is_refused),
        ON_BENCH(remove_of_a_target_takes_all_in_it),
        ON_BENCH(remove_of_a_source_takes_only_what_was_copied),
        ON_BENCH(remove_and_list_keep_to_the_rights),
        ON_BENCH(sync_of_a_root_needs_no_open_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
