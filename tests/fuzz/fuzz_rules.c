/* Fuzz target: filter rules as a person writes them and as a peer packs them. The first byte says
 * which, and how a text is read; a line is a rule, and the last one the path that they are asked
 * about. Beyond not crashing: what was read can be packed, and unpacked is the same. */
#include "haul/base/rules.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { INPUT_BYTES_MAX = 8192 };

/* The answers of all questions. */
static uint32_t ask(const struct rules *rules, const char *path)
{
    uint32_t answers = 0;
    for (int folder = 0; folder < 2; folder++) {
        answers = 2 * answers + rules_hide(rules, path, folder);
        answers = 2 * answers + rules_protect(rules, path, folder, false);
        answers = 2 * answers + rules_protect(rules, path, folder, true);
    }
    return 2 * answers + rules_protect_any(rules);
}

static void check_packing(struct rules *rules, const char *path)
{
    size_t capacity = rules_packed_bytes(rules);
    uint8_t *packed = malloc(capacity);
    struct rules *again = NULL;
    assert(packed);
    struct bytes bytes = bytes_writer(packed, capacity);
    rules_pack(rules, &bytes);
    assert(!bytes.failed && bytes.length == capacity);
    assert(rules_unpack(&again, &bytes) == 0);
    assert(rules_count(again) == rules_count(rules));
    if (!rules_set_root(again, "/a/b") || !rules_set_root(rules, "/a/b"))
        abort();
    assert(ask(again, path) == ask(rules, path));
    rules_close(again);
    free(packed);
}

static void read_text(uint8_t how, char *text)
{
    static const uint32_t forms[] = {RULES_FILTER,       RULES_EXCLUDE,
                                     RULES_INCLUDE,      RULES_ONLY_EXCLUDE,
                                     RULES_ONLY_INCLUDE, RULE_SOURCE | RULE_PERISHABLE};
    struct rules *rules = rules_open(how & 0x80);
    struct rules_merge merge;
    char *line = text;
    if (!rules)
        abort();
    for (char *end = strchr(line, '\n'); end; end = strchr(line, '\n')) {
        struct error err = {0};
        *end = '\0';
        int result = rules_parse(rules, line, forms[how % 6], &merge, &err);
        assert((result < 0) == error_is_set(&err));
        assert(result != 1 || merge.path[0] != '\0');
        line = end + 1;
    }
    check_packing(rules, line);
    rules_close(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static char text[INPUT_BYTES_MAX + 1];
    if (length < 1 || length > INPUT_BYTES_MAX)
        return 0;
    if ((data[0] & 0x7f) == 0x7f) {
        struct rules *rules = NULL;
        struct bytes bytes = bytes_reader(data + 1, length - 1);
        if (rules_unpack(&rules, &bytes) == 0)
            check_packing(rules, "some/path");
        rules_close(rules);
        return 0;
    }
    memcpy(text, data + 1, length - 1);
    text[length - 1] = '\0';
    read_text(data[0], text);
    return 0;
}
