/* plan_lines.c - the lines of a plan and of its receipts, written and read. */
#include "haul/cli/plan_lines.h"

#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/output.h"
#include "haul/disk/replace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    LIST_FILES_MAX = 4096, /* in one unit */
    LIST_NAMES_BYTES = 256 * 1024,
    LINE_BYTES_MAX = 16 * 1024 * 1024, /* of the command's words and the names of a list */
    LAST_BYTES_MAX = 512,              /* of the last line and of a receipt there are no texts */
    SEAL_BYTES = 8 + 34 + 2,           /* ,"seal":"..."} and the end of the line */
};

/* Ranges of any chunk size touch only at chunks. */
#define RANGE_ALIGNMENT (16 * MIB)

static int no_memory(struct error *err)
{
    return error_set_class(err, ERROR_MEMORY, ENOMEM, "no memory for a line of the plan");
}

/* ---- lines ---- */

static int put_text(FILE *line, const char *key, const char *text)
{
    size_t room = 6 * strlen(text) + 1;
    AUTO_FREE char *escaped = malloc(room);
    if (!escaped)
        return -ENOMEM;
    fprintf(line, "%s\"%s\"", key, text_json_exact(escaped, room, text));
    return 0;
}

static void put_digest(FILE *line, const char *key, const struct digest *digest)
{
    char text[DIGEST_TEXT_BYTES];
    fprintf(line, ",\"%s\":\"%s\"", key, digest_text(text, digest));
}

static void put_facts(FILE *line, const struct facts *facts)
{
    fprintf(line,
            ",\"file\":{\"device\":%s,\"size_bytes\":%" PRIu64 ",\"mtime_seconds\":%" PRId64
            ",\"mtime_ns\":%" PRIu32 ",\"inode\":%" PRIu64 ",\"identity\":%" PRIu64
            ",\"change\":%" PRIu64 ",\"grade\":%d}",
            facts->kind == FILE_DEVICE ? "true" : "false", facts->size_bytes, facts->mtime_seconds,
            facts->mtime_ns, facts->inode, facts->evidence.identity, facts->evidence.change,
            (int)facts->evidence.grade);
}

/* Of a line that was closed: its seal, and what ends it. */
static char *seal_line(const char *text, size_t length, struct digest *seal, size_t *whole_length)
{
    char shown[DIGEST_TEXT_BYTES], *whole = NULL;
    *seal = digest_of(text, length);
    int written = asprintf(&whole, "%s,\"seal\":\"%s\"}\n", text, digest_text(shown, seal));
    *whole_length = written > 0 ? (size_t)written : 0;
    return written > 0 ? whole : NULL;
}

/* ---- writing ---- */

static FILE *line_begin(struct plan_writer *writer)
{
    free(writer->text);
    writer->text = NULL;
    writer->line = open_memstream(&writer->text, &writer->length);
    return writer->line;
}

static int line_end(struct plan_writer *writer, struct digest *seal, struct error *err)
{
    size_t length;
    bool good = writer->line && output_memory_close(writer->line, &writer->text);
    writer->line = NULL;
    AUTO_FREE char *whole = good ? seal_line(writer->text, writer->length, seal, &length) : NULL;
    if (!whole)
        return no_memory(err);
    digest_fold_bytes(writer->fold, whole, length);
    fwrite(whole, 1, length, writer->out);
    return 0;
}

/* Two plans are never one, whatever else is the same: the target may be another one by now. */
static void put_id(FILE *line)
{
    struct digest id = {{0}};
    uint64_t now_ns = clock_now_ns();
    if (getrandom(id.bytes, sizeof(id.bytes), 0) != sizeof(id.bytes))
        memcpy(id.bytes, &now_ns, sizeof(now_ns));
    fputs("{\"v\":1,\"event\":\"plan\"", line);
    put_digest(line, "id", &id);
}

int plan_lines_begin(struct plan_writer *writer, FILE *out, const struct plan_header *header,
                     struct error *err)
{
    *writer = (struct plan_writer){.out = out, .fold = digest_fold_open()};
    FILE *line = writer->fold ? line_begin(writer) : NULL;
    if (!line)
        return no_memory(err);
    put_id(line);
    fputs(",\"words\":[", line);
    for (uint32_t i = 0; i < header->words_count; i++) {
        if (put_text(line, i > 0 ? "," : "", header->words[i]) < 0)
            return no_memory(err);
    }
    if (put_text(line, "],\"folder\":", header->folder) < 0 ||
        put_text(line, ",\"source\":", header->source) < 0 ||
        put_text(line, ",\"target\":", header->target) < 0)
        return no_memory(err);
    fprintf(line, ",\"tree\":%s", header->tree ? "true" : "false");
    if (put_text(line, ",\"from\":", header->from) < 0 ||
        put_text(line, ",\"to\":", header->to) < 0)
        return no_memory(err);
    fprintf(line, ",\"unit_bytes\":%" PRIu64, header->unit_bytes);
    return line_end(writer, &writer->plan, err);
}

static FILE *unit_begin(struct plan_writer *writer, const char *kind)
{
    FILE *line = line_begin(writer);
    if (!line)
        return NULL;
    fprintf(line, "{\"v\":1,\"event\":\"unit\",\"unit\":%" PRIu32, ++writer->units_count);
    put_digest(line, "plan", &writer->plan);
    fprintf(line, ",\"kind\":\"%s\"", kind);
    return line;
}

static int list_end(struct plan_writer *writer, struct error *err)
{
    struct digest seal;
    if (writer->list_count == 0)
        return 0;
    fprintf(writer->line, "],\"files\":%" PRIu64 ",\"bytes\":%" PRIu64, writer->list_count,
            writer->list_bytes);
    writer->list_count = writer->list_bytes = writer->list_names_bytes = 0;
    return line_end(writer, &seal, err);
}

int plan_lines_add_file(struct plan_writer *writer, const char *name, uint64_t bytes,
                        uint64_t unit_bytes, struct error *err)
{
    size_t length = strlen(name);
    bool full = writer->list_count == LIST_FILES_MAX ||
                writer->list_names_bytes + length > LIST_NAMES_BYTES ||
                bytes > unit_bytes - min_u64(writer->list_bytes, unit_bytes);
    int result = full ? list_end(writer, err) : 0;
    if (result < 0)
        return result;
    bool first = writer->list_count == 0;
    if (first && !unit_begin(writer, "files"))
        return no_memory(err);
    if (put_text(writer->line, first ? ",\"names\":[" : ",", name) < 0)
        return no_memory(err);
    writer->list_count++;
    writer->list_bytes += bytes;
    writer->list_names_bytes += length;
    writer->files_count++;
    writer->bytes += bytes;
    return 0;
}

/* As few as there can be, none of them larger than a unit, of one size as far as that goes. */
static uint64_t range_bytes(uint64_t size_bytes, uint64_t unit_bytes)
{
    bool aligned = unit_bytes >= RANGE_ALIGNMENT;
    uint64_t most_bytes = aligned ? align_down(unit_bytes, RANGE_ALIGNMENT) : unit_bytes;
    uint64_t even_bytes = div_ceil(size_bytes, div_ceil(size_bytes, most_bytes));
    return min_u64(align_up(even_bytes, RANGE_ALIGNMENT), most_bytes);
}

int plan_lines_add_ranges(struct plan_writer *writer, const char *name, const struct facts *facts,
                          uint64_t unit_bytes, struct error *err)
{
    uint64_t size_bytes = facts->size_bytes;
    uint64_t most_bytes = size_bytes > 0 ? range_bytes(size_bytes, unit_bytes) : 0;
    struct digest seal;
    int result = list_end(writer, err);
    for (uint64_t offset = 0; result == 0 && offset < size_bytes; offset += most_bytes) {
        FILE *line = unit_begin(writer, "range");
        if (!line || put_text(line, ",\"name\":", name) < 0)
            return no_memory(err);
        fprintf(line, ",\"offset\":%" PRIu64 ",\"length\":%" PRIu64, offset,
                min_u64(most_bytes, size_bytes - offset));
        put_facts(line, facts);
        result = line_end(writer, &seal, err);
    }
    writer->files_count++;
    writer->bytes += size_bytes;
    return result;
}

int plan_lines_end(struct plan_writer *writer, struct error *err)
{
    struct digest seal;
    int result = list_end(writer, err);
    if (result < 0)
        return result;
    struct digest all = digest_fold_value(writer->fold);
    if (!line_begin(writer))
        return no_memory(err);
    fprintf(writer->line, "{\"v\":1,\"event\":\"planned\",\"units\":%" PRIu32, writer->units_count);
    fprintf(writer->line, ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64, writer->files_count,
            writer->bytes);
    put_digest(writer->line, "plan", &writer->plan);
    put_digest(writer->line, "digest", &all);
    return line_end(writer, &seal, err);
}

void plan_lines_writer_close(struct plan_writer *writer)
{
    if (writer->line)
        fclose(writer->line);
    free(writer->text);
    digest_fold_close(writer->fold);
    *writer = (struct plan_writer){.out = NULL};
}

/* ---- what was written, taken apart ---- */

struct scan {
    char *at;
    bool good; /* so far */
};

static bool take(struct scan *scan, const char *literal)
{
    size_t length = strlen(literal);
    bool same = scan->good && strncmp(scan->at, literal, length) == 0;
    scan->at += same ? length : 0;
    return same;
}

static void expect(struct scan *scan, const char *literal)
{
    scan->good = take(scan, literal);
}

static uint64_t take_number(struct scan *scan, const char *key)
{
    char digits[24];
    uint64_t value = 0;
    expect(scan, key);
    size_t length = scan->good ? strspn(scan->at, "0123456789") : 0;
    snprintf(digits, sizeof(digits), "%.*s", (int)min_size(length, sizeof(digits)), scan->at);
    scan->good = scan->good && length < sizeof(digits) && num_parse_u64(digits, &value);
    scan->at += scan->good ? length : 0;
    return value;
}

static uint32_t take_count(struct scan *scan, const char *key)
{
    uint64_t value = take_number(scan, key);
    scan->good = scan->good && value <= UINT32_MAX;
    return (uint32_t)value;
}

static int64_t take_signed(struct scan *scan, const char *key)
{
    expect(scan, key);
    bool minus = take(scan, "-");
    uint64_t value = take_number(scan, "");
    scan->good = scan->good && value <= INT64_MAX;
    return minus ? -(int64_t)value : (int64_t)value;
}

static bool take_bool(struct scan *scan, const char *key)
{
    expect(scan, key);
    bool value = take(scan, "true");
    if (!value)
        expect(scan, "false");
    return value;
}

static const char *take_text(struct scan *scan, const char *key)
{
    expect(scan, key);
    expect(scan, "\"");
    const char *text = scan->good ? text_json_take(&scan->at) : NULL;
    scan->good = text != NULL;
    return text ? text : "";
}

static struct digest take_digest(struct scan *scan, const char *key)
{
    struct digest digest = {{0}};
    const char *text = take_text(scan, key);
    scan->good = scan->good && digest_parse(text, &digest);
    return digest;
}

static struct facts take_facts(struct scan *scan)
{
    struct facts facts = {.kind = FILE_REGULAR};
    if (take_bool(scan, ",\"file\":{\"device\":"))
        facts.kind = FILE_DEVICE;
    facts.size_bytes = take_number(scan, ",\"size_bytes\":");
    facts.mtime_seconds = take_signed(scan, ",\"mtime_seconds\":");
    facts.mtime_ns = take_count(scan, ",\"mtime_ns\":");
    facts.inode = take_number(scan, ",\"inode\":");
    facts.evidence.identity = take_number(scan, ",\"identity\":");
    facts.evidence.change = take_number(scan, ",\"change\":");
    uint64_t grade = take_number(scan, ",\"grade\":");
    scan->good = scan->good && grade <= EVIDENCE_STRONG && facts.size_bytes <= FILE_BYTES_MAX;
    facts.evidence.grade = (uint8_t)grade;
    expect(scan, "}");
    return facts;
}

/* All of the line was as it should be. */
static bool scan_ended(const struct scan *scan)
{
    return scan->good && *scan->at == '\0';
}

/* Takes the seal off a whole line. false: it is not that of what is before it. */
static bool unseal(char *line, size_t length, struct digest *seal)
{
    if (length <= SEAL_BYTES || memchr(line, '\0', length))
        return false;
    char *end = line + length - SEAL_BYTES;
    struct digest is = digest_of(line, (size_t)(end - line));
    struct scan scan = {.at = end, .good = true};
    *seal = take_digest(&scan, ",\"seal\":");
    expect(&scan, "}\n");
    *end = '\0';
    return scan_ended(&scan) && digest_equal(&is, seal);
}

/* ---- reading ---- */

static int not_a_plan(const struct plan_file *plan, const char *why, struct error *err)
{
    return error_set_class(err, ERROR_FILE, EBADMSG, "%s: is no plan that can be used: %s",
                           plan->path, why);
}

/* The line from here on, with its end. Its length; 0: there is none; -errno with words. */
static ssize_t read_line(struct plan_file *plan, struct error *err)
{
    size_t length = 0;
    int letter = 0;
    while (letter != '\n' && (letter = getc_unlocked(plan->file)) != EOF) {
        if (length + 1 >= plan->line_room) {
            size_t room = plan->line_room > 0 ? 2 * plan->line_room : 4096;
            char *line = length < LINE_BYTES_MAX ? realloc(plan->line, room) : NULL;
            if (!line)
                return length < LINE_BYTES_MAX ? no_memory(err)
                                               : not_a_plan(plan, "a line has no end", err);
            plan->line = line;
            plan->line_room = room;
        }
        plan->line[length++] = (char)letter;
    }
    if (ferror(plan->file))
        return error_set(err, errno ? errno : EIO, "%s: cannot be read", plan->path);
    if (length > 0)
        plan->line[length] = '\0';
    return (ssize_t)length;
}

static int seek(struct plan_file *plan, uint64_t offset, struct error *err)
{
    return fseeko(plan->file, num_off(offset), SEEK_SET) == 0
               ? 0
               : error_set(err, errno, "%s: cannot be read", plan->path);
}

static bool take_words(struct plan_header *header, struct scan *scan)
{
    const char *key = "";
    size_t room = 1;
    for (const char *at = scan->at; *at; at++)
        room += *at == ',';
    header->words = calloc(room, sizeof(*header->words));
    while (header->words && scan->good && !take(scan, "]")) {
        header->words[header->words_count++] = take_text(scan, key);
        key = ",";
    }
    return header->words;
}

static int read_first(struct plan_file *plan, struct error *err)
{
    struct plan_header *header = &plan->header;
    ssize_t length = read_line(plan, err);
    if (length < 0)
        return (int)length;
    plan->units_begin = (uint64_t)length;
    plan->first = plan->line;
    plan->line = NULL;
    plan->line_room = 0;
    struct scan scan = {.at = plan->first, .good = true};
    if (!unseal(plan->first, (size_t)length, &plan->plan))
        return not_a_plan(plan, "its first line is not as haul plan writes it", err);
    expect(&scan, "{\"v\":1,\"event\":\"plan\"");
    (void)take_digest(&scan, ",\"id\":");
    expect(&scan, ",\"words\":[");
    if (!take_words(header, &scan))
        return no_memory(err);
    header->folder = take_text(&scan, ",\"folder\":");
    header->source = take_text(&scan, ",\"source\":");
    header->target = take_text(&scan, ",\"target\":");
    header->tree = take_bool(&scan, ",\"tree\":");
    header->from = take_text(&scan, ",\"from\":");
    header->to = take_text(&scan, ",\"to\":");
    header->unit_bytes = take_number(&scan, ",\"unit_bytes\":");
    return scan_ended(&scan)
               ? 0
               : not_a_plan(plan, "its first line is of another version of haul", err);
}

/* plan->line is the last one. */
static bool take_last(struct plan_file *plan, size_t length)
{
    struct digest seal;
    struct scan scan = {.at = plan->line, .good = true};
    if (!unseal(plan->line, length, &seal))
        return false;
    plan->units_count = take_count(&scan, "{\"v\":1,\"event\":\"planned\",\"units\":");
    plan->files_count = take_number(&scan, ",\"files\":");
    plan->bytes = take_number(&scan, ",\"bytes\":");
    struct digest of = take_digest(&scan, ",\"plan\":");
    plan->digest = take_digest(&scan, ",\"digest\":");
    return scan_ended(&scan) && digest_equal(&of, &plan->plan);
}

static int read_last(struct plan_file *plan, struct error *err)
{
    ssize_t length, last_length = 0;
    int result = fseeko(plan->file, 0, SEEK_END) == 0 ? 0 : error_set(err, errno, "%s", plan->path);
    off_t end = ftello(plan->file);
    uint64_t back = min_u64((uint64_t)(end > 0 ? end : 0) - plan->units_begin, LAST_BYTES_MAX);
    if (result == 0)
        result = seek(plan, (uint64_t)end - back, err);
    if (result < 0)
        return result;
    while ((length = read_line(plan, err)) > 0) {
        last_length = length;
        if (strncmp(plan->line, "{\"v\":1,\"event\":\"planned\"", 24) == 0)
            break;
    }
    if (length < 0)
        return (int)length;
    plan->units_end = (uint64_t)end - (uint64_t)last_length;
    return take_last(plan, (size_t)last_length) && ftello(plan->file) == end
               ? 0
               : not_a_plan(plan, "its end is missing; was haul plan interrupted?", err);
}

int plan_lines_open(struct plan_file *plan, const char *path, struct error *err)
{
    *plan = (struct plan_file){.path = path, .file = fopen(path, "re")};
    if (!plan->file)
        return error_set(err, errno, "%s: the plan cannot be opened", path);
    plan->fold = digest_fold_open();
    int result = plan->fold ? read_first(plan, err) : no_memory(err);
    return result < 0 ? result : read_last(plan, err);
}

static void unit_clear(struct unit *unit)
{
    names_close(unit->names);
    *unit = (struct unit){.names = NULL};
}

static int take_names(struct unit *unit, struct scan *scan, struct error *err)
{
    const char *key = ",\"names\":[";
    int result = 0;
    unit->names = names_open();
    if (!unit->names)
        return no_memory(err);
    do {
        const char *name = take_text(scan, key);
        if (scan->good)
            result = names_add(unit->names, name, err);
        key = ",";
    } while (result == 0 && scan->good && !take(scan, "]"));
    unit->files_count = take_number(scan, ",\"files\":");
    unit->bytes = take_number(scan, ",\"bytes\":");
    return result < 0 ? result : names_settle(unit->names, err);
}

static void take_range(struct unit *unit, struct scan *scan)
{
    uint64_t end;
    unit->name = take_text(scan, ",\"name\":");
    unit->offset = take_number(scan, ",\"offset\":");
    unit->bytes = take_number(scan, ",\"length\":");
    unit->facts = take_facts(scan);
    unit->files_count = unit->offset == 0;
    scan->good = scan->good && unit->bytes > 0 && add_u64(unit->offset, unit->bytes, &end) &&
                 end <= unit->facts.size_bytes;
}

/* plan->line is a unit. */
static int take_unit(struct plan_file *plan, size_t length, struct error *err)
{
    struct unit *unit = &plan->unit;
    struct scan scan = {.at = plan->line, .good = true};
    int result = 0;
    unit_clear(unit);
    if (!unseal(plan->line, length, &unit->seal))
        return not_a_plan(plan, "a line of it was changed", err);
    unit->number = take_count(&scan, "{\"v\":1,\"event\":\"unit\",\"unit\":");
    struct digest of = take_digest(&scan, ",\"plan\":");
    expect(&scan, ",\"kind\":");
    bool files = take(&scan, "\"files\"");
    unit->kind = files ? UNIT_FILES : UNIT_RANGE;
    if (!files)
        expect(&scan, "\"range\"");
    if (files)
        result = take_names(unit, &scan, err);
    else
        take_range(unit, &scan);
    if (result < 0)
        return result;
    return scan_ended(&scan) && digest_equal(&of, &plan->plan)
               ? 0
               : not_a_plan(plan, "a line of it is of another plan, or version of haul", err);
}

/* Of a line that may be no unit: behind all units. */
static uint32_t number_of(const struct plan_file *plan)
{
    static const char begin[] = "{\"v\":1,\"event\":\"unit\",\"unit\":";
    if (strncmp(plan->line, begin, sizeof(begin) - 1) != 0)
        return UINT32_MAX;
    return (uint32_t)strtoul(plan->line + sizeof(begin) - 1, NULL, 10);
}

/* The first line that begins at or behind `offset`: where, in *begin. Its length, or as
 * read_line(). */
static ssize_t line_behind(struct plan_file *plan, uint64_t offset, uint64_t *begin,
                           struct error *err)
{
    uint64_t from = offset > plan->units_begin ? offset - 1 : plan->units_begin;
    int result = seek(plan, from, err);
    ssize_t length = result;
    if (result == 0 && offset > plan->units_begin) {
        length = read_line(plan, err);
        from += length > 0 ? (uint64_t)length : 0;
    }
    *begin = from;
    return length < 0 ? length : read_line(plan, err);
}

/* By halves: each look reads at most two lines. */
int plan_lines_find(struct plan_file *plan, uint32_t number, struct error *err)
{
    uint64_t low = plan->units_begin, high = plan->units_end, begin;
    ssize_t length;
    if (number == 0 || number > plan->units_count)
        return error_usage(err,
                           "--unit=%u: %s has units 1 to %u; the rest is what haul finish does",
                           number, plan->path, plan->units_count);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        length = line_behind(plan, middle, &begin, err);
        if (length < 0)
            return (int)length;
        if (length > 0 && number_of(plan) < number)
            low = begin + (uint64_t)length;
        else
            high = middle;
    }
    length = line_behind(plan, low, &begin, err);
    if (length < 0)
        return (int)length;
    if (length == 0 || number_of(plan) != number)
        return not_a_plan(plan, "a unit of it is missing", err);
    return take_unit(plan, (size_t)length, err);
}

int plan_lines_rewind(struct plan_file *plan, struct error *err)
{
    digest_fold_restart(plan->fold);
    plan->unit.number = 0;
    int result = seek(plan, 0, err);
    ssize_t length = result < 0 ? result : read_line(plan, err);
    if (length > 0)
        digest_fold_bytes(plan->fold, plan->line, (size_t)length);
    return length < 0 ? (int)length : 0;
}

int plan_lines_next(struct plan_file *plan, struct error *err)
{
    uint32_t expected = plan->unit.number + 1;
    ssize_t length = read_line(plan, err);
    if (length < 0)
        return (int)length;
    if (length == 0)
        return not_a_plan(plan, "its end is missing", err);
    if (number_of(plan) == UINT32_MAX) {
        struct digest all = digest_fold_value(plan->fold);
        return expected == plan->units_count + 1 && digest_equal(&all, &plan->digest)
                   ? 0
                   : not_a_plan(plan, "lines of it are missing or were changed", err);
    }
    digest_fold_bytes(plan->fold, plan->line, (size_t)length);
    int result = take_unit(plan, (size_t)length, err);
    if (result == 0 && plan->unit.number != expected)
        result = not_a_plan(plan, "its units are not in their order", err);
    return result < 0 ? result : 1;
}

void plan_lines_close(struct plan_file *plan)
{
    unit_clear(&plan->unit);
    free(plan->header.words);
    free(plan->first);
    free(plan->line);
    digest_fold_close(plan->fold);
    if (plan->file)
        fclose(plan->file);
    *plan = (struct plan_file){.path = NULL};
}

/* ---- receipts ---- */

char *plan_lines_receipt_path(const char *plan_path, uint32_t number)
{
    char *path = NULL;
    int written = number > 0 ? asprintf(&path, "%s.%" PRIu32 ".receipt", plan_path, number)
                             : asprintf(&path, "%s.receipt", plan_path);
    return written > 0 ? path : NULL;
}

int plan_lines_receipt_write(const char *plan_path, const struct unit_receipt *receipt,
                             struct error *err)
{
    AUTO_FREE char *path = plan_lines_receipt_path(plan_path, receipt->number);
    AUTO_FREE char *text = NULL;
    struct digest seal;
    size_t length;
    FILE *line = path ? open_memstream(&text, &length) : NULL;
    if (!line)
        return no_memory(err);
    fprintf(line, "{\"v\":1,\"event\":\"done\",\"unit\":%" PRIu32, receipt->number);
    put_digest(line, "plan", &receipt->plan);
    put_digest(line, "of", &receipt->unit);
    output_json_number(line, "files", receipt->files_count);
    output_json_number(line, "bytes_total", receipt->bytes_total);
    output_json_number(line, "bytes_copied", receipt->bytes_copied);
    output_json_number(line, "bytes_kept", receipt->bytes_kept);
    output_json_number(line, "bytes_holes", receipt->bytes_holes);
    output_json_number(line, "nanoseconds", receipt->duration_ns);
    if (receipt->target.kind != FILE_NONE)
        put_facts(line, &receipt->target);
    if (!output_memory_close(line, &text))
        return no_memory(err);
    AUTO_FREE char *whole = seal_line(text, length, &seal, &length);
    return whole ? replace_file(path, whole, length, err) : no_memory(err);
}

static bool take_receipt(struct unit_receipt *receipt, char *text, size_t length)
{
    struct digest seal;
    struct scan scan = {.at = text, .good = true};
    if (!unseal(text, length, &seal))
        return false;
    *receipt = (struct unit_receipt){.target = {.kind = FILE_NONE}};
    receipt->number = take_count(&scan, "{\"v\":1,\"event\":\"done\",\"unit\":");
    receipt->plan = take_digest(&scan, ",\"plan\":");
    receipt->unit = take_digest(&scan, ",\"of\":");
    receipt->files_count = take_number(&scan, ",\"files\":");
    receipt->bytes_total = take_number(&scan, ",\"bytes_total\":");
    receipt->bytes_copied = take_number(&scan, ",\"bytes_copied\":");
    receipt->bytes_kept = take_number(&scan, ",\"bytes_kept\":");
    receipt->bytes_holes = take_number(&scan, ",\"bytes_holes\":");
    receipt->duration_ns = take_number(&scan, ",\"nanoseconds\":");
    if (scan.good && *scan.at)
        receipt->target = take_facts(&scan);
    return scan_ended(&scan);
}

int plan_lines_receipt_read(const char *plan_path, uint32_t number, struct unit_receipt *receipt,
                            struct error *err)
{
    char text[1024];
    AUTO_FREE char *path = plan_lines_receipt_path(plan_path, number);
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file && path && errno == ENOENT)
        return 0;
    if (!file)
        return path ? error_set(err, errno, "%s: cannot be opened", path) : no_memory(err);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    fclose(file);
    if (take_receipt(receipt, text, length) && receipt->number == number)
        return 1;
    return error_set_class(err, ERROR_FILE, EBADMSG,
                           "%s: is no receipt that can be used; remove it, and do the unit again",
                           path);
}
