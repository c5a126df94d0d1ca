/* test_operands.c - which file goes where, on real folders. */
#include "haul/base/cleanup.h"
#include "haul/cli/operands.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A working folder with the files a, sub/a and the folder sub; the tests name them relatively. */
static int enter_folder(void **state)
{
    char folder[] = "/tmp/haul-operands-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) < 0 || mkdir("sub", 0700) < 0)
        return -1;
    static const char *const files[] = {"a", "sub/a"};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        close(open(files[i], O_CREAT | O_WRONLY, 0600));
    *state = strdup(folder);
    return 0;
}

static int leave_folder(void **state)
{
    int rc = unlink("a") | unlink("sub/a") | rmdir("sub") | chdir("/") | rmdir(*state);
    free(*state);
    return rc;
}

static int resolve(struct operands *operands, struct error *err, bool file, const char **words)
{
    struct options options = {.operands = words, .target_is_file = file};
    while (words[options.operands_count])
        options.operands_count++;
    memset(err, 0, sizeof(*err));
    return operands_resolve(operands, &options, err);
}

#define WORDS(...) ((const char *[]){__VA_ARGS__, NULL})

static void refuse(bool file, const char **words, enum error_class class, const char *part)
{
    struct operands operands;
    struct error err;
    assert_true(resolve(&operands, &err, file, words) < 0);
    assert_int_equal(err.class, class);
    if (!strstr(err.text, part))
        print_error("'%s' is not in '%s'\n", part, err.text);
    assert_non_null(strstr(err.text, part));
    operands_close(&operands);
}

static void goes_to(bool file, const char **words, const char *target)
{
    struct operands operands;
    struct error err;
    assert_int_equal(resolve(&operands, &err, file, words), 0);
    AUTO_FREE char *path = operands_target(&operands, operands.sources[0], NULL);
    assert_string_equal(path, target);
    operands_close(&operands);
}

static void operands_file_target_is_taken_as_it_is(void **state)
{
    (void)state;
    goes_to(false, WORDS("a", "b"), "b");
    goes_to(false, WORDS("a", "sub/a"), "sub/a");
    goes_to(true, WORDS("a", "b"), "b");
    goes_to(false, WORDS("a", "./x:y"), "./x:y");
}

static void operands_folder_target_gets_the_name_inside(void **state)
{
    (void)state;
    goes_to(false, WORDS("a", "sub"), "sub/a");
    goes_to(false, WORDS("a", "sub/"), "sub/a");
    goes_to(false, WORDS("./sub/../a", "sub"), "sub/a");
    goes_to(false, WORDS("/x/y//", "sub"), "sub/y");
    goes_to(false, WORDS("a", "b", "sub"), "sub/a");
}

static void operands_folder_where_a_file_must_be_is_refused(void **state)
{
    (void)state;
    refuse(true, WORDS("a", "sub"), ERROR_FILE, "sub: is a folder, and -T was given");
    refuse(false, WORDS("a", "none/"), ERROR_FILE, "none/: no such folder");
}

static void operands_several_sources_need_a_folder(void **state)
{
    (void)state;
    refuse(false, WORDS("a", "b", "c"), ERROR_USAGE, "c: not a folder");
    refuse(true, WORDS("a", "b", "sub"), ERROR_USAGE, "-T takes one source");
}

static void operands_two_sources_of_one_name_are_refused(void **state)
{
    (void)state;
    refuse(false, WORDS("a", "b", "sub/a", "sub"), ERROR_USAGE, "same name in sub");
    refuse(false, WORDS("x/n", "n/", "sub"), ERROR_USAGE, "same name in sub");
    goes_to(false, WORDS("a", "aa", "sub"), "sub/a");
}

static void operands_what_is_not_built_says_so(void **state)
{
    (void)state;
    refuse(false, WORDS("host::module/a", "b"), ERROR_USAGE, "rsync modules");
    refuse(false, WORDS("rsync://host/a", "b"), ERROR_USAGE, "rsync");
}

static void operands_remote_side_is_taken_apart(void **state)
{
    (void)state;
    struct operands operands;
    struct error err;
    assert_int_equal(resolve(&operands, &err, false, WORDS("u@h:x/a", "u@H:~/b", "sub")), 0);
    assert_int_equal(operands.source.kind, ADDRESS_REMOTE);
    assert_string_equal(operands.source.user, "u");
    assert_string_equal(operands_host(&operands.source), "h");
    assert_null(operands_host(&operands.target));
    assert_string_equal(operands.sources[0], "x/a");
    assert_string_equal(operands.sources[1], "b");
    assert_true(operands.target_folder);
    operands_close(&operands);
    goes_to(false, WORDS("ssh://h:99/d%20e/f", "sub"), "sub/f");
}

static void operands_sources_of_two_machines_are_refused(void **state)
{
    (void)state;
    refuse(false, WORDS("a", "h:b", "sub"), ERROR_USAGE, "on this machine and h");
    refuse(false, WORDS("u@h:a", "h:b", "sub"), ERROR_USAGE, "on u@h and h");
    refuse(false, WORDS("h:a", "i:b", "sub"), ERROR_USAGE, "on h and i");
    refuse(false, WORDS("ssh://h:1/a", "ssh://h:2/b", "sub"), ERROR_USAGE, "on one machine");
    refuse(false, WORDS("h:a", "-", "h:"), ERROR_USAGE, "on h and this machine");
}

static void operands_that_are_no_files(void **state)
{
    (void)state;
    struct operands operands;
    struct error err;
    assert_int_equal(resolve(&operands, &err, false, WORDS("zero:2K", "null:")), 0);
    assert_string_equal(operands.sources[0], "/dev/zero");
    assert_int_equal(operands.source_bytes, 2048);
    assert_string_equal(operands.target.path, "/dev/null");
    assert_int_equal(operands.target.kind, ADDRESS_LOCAL);
    operands_close(&operands);
    refuse(false, WORDS("zero:", "b"), ERROR_USAGE, "a size is missing");
    refuse(false, WORDS("zero:0", "b"), ERROR_USAGE, "a size is missing");
    refuse(false, WORDS("zero:1K", "sub"), ERROR_USAGE, "has no name");
    refuse(false, WORDS("a", "zero:1K"), ERROR_USAGE, "is a source");
    refuse(false, WORDS("null:", "b"), ERROR_USAGE, "is a target");
    refuse(false, WORDS("-", "-"), ERROR_USAGE, "is the source already");
    refuse(false, WORDS("a", "/dev/stdin"), ERROR_USAGE, "the other one");
    assert_int_equal(resolve(&operands, &err, false, WORDS("zero:1K", "h:sub")), 0);
    const struct facts folder = {.kind = FILE_FOLDER};
    assert_int_equal(operands_settle(&operands, &folder, &err), -EISDIR);
    operands_close(&operands);
}

/* What the other machine says of the target, after the words alone were found right. */
static int settle(const char **words, bool file, enum file_kind kind, struct operands *operands,
                  struct error *err)
{
    const struct facts facts = {.kind = kind};
    assert_int_equal(resolve(operands, err, file, words), 0);
    assert_false(operands->target_folder);
    return operands_settle(operands, &facts, err);
}

static void settles_at(const char **words, enum file_kind kind, const char *target)
{
    struct operands operands;
    struct error err;
    assert_int_equal(settle(words, false, kind, &operands, &err), 0);
    AUTO_FREE char *path = operands_target(&operands, operands.sources[0], NULL);
    assert_string_equal(path, target);
    operands_close(&operands);
}

static void refuse_there(const char **words, bool file, enum file_kind kind, const char *text)
{
    struct operands operands;
    struct error err;
    assert_true(settle(words, file, kind, &operands, &err) < 0);
    assert_string_equal(err.text, text);
    operands_close(&operands);
}

static void operands_remote_target_is_settled_by_its_facts(void **state)
{
    (void)state;
    settles_at(WORDS("a", "h:sub"), FILE_NONE, "sub"); /* a folder here says nothing of one there */
    settles_at(WORDS("a", "h:sub"), FILE_FOLDER, "sub/a");
    settles_at(WORDS("a", "h:"), FILE_FOLDER, "./a");
    settles_at(WORDS("a", "ssh://h/"), FILE_FOLDER, "/a");
    settles_at(WORDS("x:p/q", "x:r"), FILE_REGULAR, "r");
    refuse_there(WORDS("a", "u@h:x/"), false, FILE_NONE, "u@h:x/: no such folder");
    refuse_there(WORDS("a", "b", "h:x"), false, FILE_REGULAR,
                 "h:x: not a folder, and there are several sources");
    refuse_there(WORDS("a", "h:x"), true, FILE_FOLDER, "h:x: is a folder, and -T was given");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_file_target_is_taken_as_it_is),
        cmocka_unit_test(operands_folder_target_gets_the_name_inside),
        cmocka_unit_test(operands_folder_where_a_file_must_be_is_refused),
        cmocka_unit_test(operands_several_sources_need_a_folder),
        cmocka_unit_test(operands_two_sources_of_one_name_are_refused),
        cmocka_unit_test(operands_what_is_not_built_says_so),
        cmocka_unit_test(operands_remote_side_is_taken_apart),
        cmocka_unit_test(operands_sources_of_two_machines_are_refused),
        cmocka_unit_test(operands_remote_target_is_settled_by_its_facts),
        cmocka_unit_test(operands_that_are_no_files),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
