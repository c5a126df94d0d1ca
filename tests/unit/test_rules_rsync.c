/* Unit test of rules.c against rsync: small trees and rules of all kinds, by a seed. What rsync
 * lists is what is not hidden, and what it leaves of a target without source is what is kept.
 *
 *   test_rules_rsync [ROUNDS [SEED]] */
#include "scratch.h"

#include "haul/base/rules.h"

#include <errno.h>
#include <ftw.h>
#include <sys/wait.h>

enum { ENTRIES = 40, RULES = 5, TEXT_BYTES = 80, ROUNDS = 20 };

struct entry {
    char path[TEXT_BYTES];
    uint32_t parent; /* its number; ENTRIES: the root */
    bool folder;
    bool there; /* by our rules */
};

struct world {
    char root[64];
    char here[192];
    struct entry entries[ENTRIES];
    uint32_t count;
    char texts[RULES][TEXT_BYTES];
    uint32_t rules_count;
};

static uint64_t rounds = ROUNDS, seed = 1, state;

static uint32_t random_below(uint32_t limit)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % limit;
}

/* One of the words, which a blank separates. */
static const char *random_word(const char *words)
{
    static char word[16];
    uint32_t count = 1;
    for (const char *at = words; *at; at++)
        count += *at == ' ';
    uint32_t left = random_below(count);
    for (; left > 0; words++)
        left -= *words == ' ';
    size_t length = strcspn(words, " ");
    memcpy(word, words, length);
    word[length] = '\0';
    return word;
}

static bool is_known(const struct world *world, const char *path)
{
    for (uint32_t i = 0; i < world->count; i++)
        if (strcmp(world->entries[i].path, path) == 0)
            return true;
    return false;
}

static void make_entries(struct world *world)
{
    world->count = 0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct entry entry = {.parent = ENTRIES, .folder = random_below(2) == 0};
        uint32_t parent = random_below(world->count + 3);
        if (parent < world->count && world->entries[parent].folder) {
            entry.parent = parent;
            snprintf(entry.path, 40, "%.37s/", world->entries[parent].path);
        }
        for (uint32_t letters = 1 + random_below(2); letters > 0; letters--)
            strcat(entry.path, random_word("a b c .o ] - [a * a\\"));
        if (strlen(entry.path) < 36 && !is_known(world, entry.path))
            world->entries[world->count++] = entry;
    }
}

static void make_rules(struct world *world)
{
    world->rules_count = 1 + random_below(RULES);
    for (uint32_t i = 0; i < world->rules_count; i++) {
        char *text = world->texts[i];
        strcpy(text, random_word("- - - + + H S P R -! +! -/ +/ -s -r +r -p -sr! Pp"));
        strcat(text, " ");
        size_t pattern = strlen(text);
        if (random_below(4) == 0)
            strcat(text, "/");
        for (uint32_t words = 1 + random_below(5); words > 0; words--)
            strcat(text, random_word("a b c a b .o ] - * * ? ** *** / / /** **/ [ab] [!a] [^b] "
                                     "[[:alpha:]] []-] [a-c] [\\]] \\ \\* \\\\ [[] /***"));
        /* Part of the path to the root, for the absolute ones. */
        if (strchr(text, '/') < text + pattern && strchr(text, '/') && random_below(2) == 0)
            strcat(strcpy(text + pattern, random_below(2) ? "/**/tree/" : "tree/"),
                   random_word("a b * ** ?"));
        if (random_below(4) == 0)
            strcat(text, "/");
    }
}

static void make_tree(const struct world *world)
{
    char path[256];
    assert_int_equal(mkdir(world->here, 0755), 0);
    for (uint32_t i = 0; i < world->count; i++) {
        snprintf(path, sizeof(path), "%s/%s", world->here, world->entries[i].path);
        if (world->entries[i].folder)
            assert_int_equal(mkdir(path, 0755), 0);
        else
            assert_int_equal(close(creat(path, 0644)), 0);
    }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static void remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static struct rules *read_rules(const struct world *world)
{
    struct rules *rules = rules_open(false);
    struct rules_merge merge;
    struct error err = {0};
    for (uint32_t i = 0; i < world->rules_count; i++)
        if (rules_parse(rules, world->texts[i], RULES_FILTER, &merge, &err) != 0)
            fail_msg("%s", err.text);
    assert_true(rules_set_root(rules, world->here));
    return rules;
}

/* rsync with the rules, `options`, from -> to; what it says goes into the file `out`. */
static void run_rsync(const struct world *world, const char *option, const char *from,
                      const char *to)
{
    char out[96], filters[RULES][TEXT_BYTES + 16];
    const char *argv[16] = {"rsync", "-r", option, "--out-format=%n"};
    uint32_t count = 4;
    snprintf(out, sizeof(out), "%s/out", world->root);
    for (uint32_t i = 0; i < world->rules_count; i++) {
        snprintf(filters[i], sizeof(filters[i]), "--filter=%s", world->texts[i]);
        argv[count++] = filters[i];
    }
    argv[count++] = from;
    argv[count++] = to;
    pid_t child = fork();
    if (child == 0) {
        int fd = creat(out, 0600);
        int null = open("/dev/null", O_WRONLY);
        dup2(fd, STDOUT_FILENO);
        dup2(null, STDERR_FILENO); /* "cannot delete non-empty directory" */
        setenv("LC_ALL", "C", 1);
        execvp("rsync", (char **)argv);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void differ(const struct world *world, const struct entry *entry, const char *what)
{
    for (uint32_t i = 0; i < world->rules_count; i++)
        print_error("  \"%s\"\n", world->texts[i]);
    fail_msg("seed %llu: %s%s is %s for rsync, and not for haul", (unsigned long long)seed,
             entry->path, entry->folder ? "/" : "", what);
}

/* Is there a line of this path, with a slash behind a folder's? */
static bool is_listed(const char *list, const struct entry *entry)
{
    char line[TEXT_BYTES + 4];
    snprintf(line, sizeof(line), "\n%s%s\n", entry->path, entry->folder ? "/" : "");
    return strstr(list, line) != NULL;
}

static void compare_hidden(struct world *world)
{
    static char list[ENTRIES * TEXT_BYTES] = "\n";
    char path[256], out[96];
    struct rules *rules = read_rules(world);
    snprintf(path, sizeof(path), "%s/", world->here);
    snprintf(out, sizeof(out), "%s/out", world->root);
    run_rsync(world, "-n", path, "/nowhere/");
    AUTO_CLOSE int fd = open(out, O_RDONLY);
    ssize_t length = read(fd, list + 1, sizeof(list) - 2);
    assert_true(length >= 0);
    list[1 + length] = '\0';
    for (uint32_t i = 0; i < world->count; i++) {
        struct entry *entry = &world->entries[i];
        bool reached = entry->parent == ENTRIES || world->entries[entry->parent].there;
        entry->there = reached && !rules_hide(rules, entry->path, entry->folder);
        if (is_listed(list, entry) != entry->there)
            differ(world, entry, entry->there ? "hidden" : "shown");
    }
    rules_close(rules);
}

/* What a folder is deleted with, from its end on: it stays when anything in it stays. */
static void compare_protected(struct world *world)
{
    char path[256], empty[96];
    struct rules *rules = read_rules(world);
    snprintf(path, sizeof(path), "%s/", world->here);
    snprintf(empty, sizeof(empty), "%s/empty/", world->root);
    run_rsync(world, "--delete", empty, path);
    for (uint32_t i = 0; i < world->count; i++) {
        struct entry *entry = &world->entries[i];
        const struct entry *parent =
            entry->parent < ENTRIES ? &world->entries[entry->parent] : NULL;
        /* What is protected is not looked into. */
        entry->there = (parent && parent->there) ||
                       rules_protect(rules, entry->path, entry->folder, parent != NULL);
    }
    for (uint32_t i = world->count; i-- > 0;)
        if (world->entries[i].there && world->entries[i].parent < ENTRIES)
            world->entries[world->entries[i].parent].there = true;
    for (uint32_t i = 0; i < world->count; i++) {
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", world->here, world->entries[i].path);
        if ((lstat(path, &st) == 0) != world->entries[i].there)
            differ(world, &world->entries[i], world->entries[i].there ? "deleted" : "kept");
    }
    rules_close(rules);
}

static void rules_hide_and_protect_what_they_do_for_rsync(void **unused)
{
    struct world world = {.root = "/tmp/haul-rules-XXXXXX"};
    char path[96];

    (void)unused;
    assert_non_null(mkdtemp(world.root));
    snprintf(world.here, sizeof(world.here), "%s/tree", world.root);
    snprintf(path, sizeof(path), "%s/empty", world.root);
    assert_int_equal(mkdir(path, 0755), 0);
    for (uint64_t end = seed + rounds; seed < end; seed++) {
        state = seed * UINT64_C(0x9e3779b97f4a7c15);
        make_entries(&world);
        make_rules(&world);
        make_tree(&world);
        compare_hidden(&world);
        compare_protected(&world);
        remove_tree(world.here);
    }
    remove_tree(world.root);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hide_and_protect_what_they_do_for_rsync),
    };
    if (argc > 1)
        rounds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    if (system("rsync --version >/dev/null 2>&1") != 0) {
        puts("needs rsync");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
