/* test_operands.c - which file goes where, on real folders. */
#include "haul/cleanup.h"
#include "haul/operands.h"

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
    memset(operands, 0, sizeof(*operands));
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
}

static void goes_to(bool file, const char **words, const char *target)
{
    struct operands operands;
    struct error err;
    assert_int_equal(resolve(&operands, &err, file, words), 0);
    AUTO_FREE char *path = operands_target(&operands, words[0]);
    assert_string_equal(path, target);
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
    refuse(false, WORDS("a", "host:b"), ERROR_USAGE,
           "host:b: other machines are not supported yet");
    refuse(false, WORDS("u@host:b", "a"), ERROR_USAGE, "not supported yet");
    refuse(false, WORDS("ssh://host/b", "a"), ERROR_USAGE, "not supported yet");
    refuse(false, WORDS("-", "b"), ERROR_USAGE, "pipes are not supported yet");
    refuse(false, WORDS("a", "-"), ERROR_USAGE, "pipes are not supported yet");
    refuse(false, WORDS("host::module/a", "b"), ERROR_USAGE, "rsync modules");
    refuse(false, WORDS("rsync://host/a", "b"), ERROR_USAGE, "rsync");
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
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
