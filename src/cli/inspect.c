/* inspect.c - `haul journal FILE`: prints a journal. */
#include "haul/cli/inspect.h"

#include "haul/base/cleanup.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/exit.h"
#include "haul/cli/output.h"
#include "haul/cli/receipt.h"
#include "haul/disk/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

/* One bit for each chunk that a header claims: 8 PiB in chunks of 1 MiB are counted with 1 GiB, of
 * which only the pages that are written to are ever there. */
enum { ENTRIES_AT_ONCE = 256, SEEN_BYTES_MAX = 1 << 30 };

/* What a first pass over the journal finds. */
struct inspection {
    const char *path;
    struct journal_reader *reader;
    struct journal_header header;
    uint64_t entries_count;
    uint64_t chunks_count;   /* of the file */
    uint64_t chunks_durable; /* listed at least once */
    uint64_t bytes_durable;
    uint64_t good_bytes;
    bool damaged;
};

static uint64_t chunk_offset(const struct inspection *inspection, uint64_t chunk)
{
    return journal_chunk_range(&inspection->header, chunk).start;
}

/* The last chunk of a file may be shorter. */
static uint64_t chunk_length(const struct inspection *inspection, uint64_t chunk)
{
    const struct range range = journal_chunk_range(&inspection->header, chunk);
    return range.end - range.start;
}

/* One bit a chunk: what is listed twice counts once. */
static void count_entry(struct inspection *inspection, uint8_t *seen, uint64_t chunk)
{
    uint64_t index = chunk - journal_first_chunk(&inspection->header);
    uint8_t bit = (uint8_t)(1u << (index % 8));
    inspection->entries_count++;
    if (seen[index / 8] & bit)
        return;
    seen[index / 8] |= bit;
    inspection->chunks_durable++;
    inspection->bytes_durable += chunk_length(inspection, chunk);
}

static int count_entries(struct inspection *inspection, struct error *err)
{
    struct journal_entry entries[ENTRIES_AT_ONCE];
    uint64_t seen_bytes = inspection->chunks_count / 8 + 1;
    AUTO_FREE uint8_t *seen = seen_bytes > SEEN_BYTES_MAX ? NULL : calloc(1, (size_t)seen_bytes);
    int count;
    if (!seen)
        return error_set_class(err, ERROR_MEMORY, ENOMEM,
                               "%s: no memory to count %" PRIu64 " chunks", inspection->path,
                               inspection->chunks_count);
    while ((count = journal_reader_next(inspection->reader, entries, ENTRIES_AT_ONCE, err)) > 0)
        for (int i = 0; i < count; i++)
            count_entry(inspection, seen, entries[i].chunk);
    inspection->good_bytes = journal_reader_good_bytes(inspection->reader);
    inspection->damaged = journal_reader_damaged(inspection->reader);
    return count;
}

/* ---- as text ---- */

static void print_identity(const char *label, const struct journal_identity *identity)
{
    printf("%-9s inode %" PRIu64 ", %" PRIu64 " bytes", label, identity->inode,
           identity->size_bytes);
    if (identity->mtime_seconds != 0 || identity->mtime_ns != 0)
        printf(", changed at %" PRId64 " s and %" PRIu32 " ns", identity->mtime_seconds,
               identity->mtime_ns);
    putchar('\n');
}

static void print_words(const struct inspection *inspection)
{
    const struct journal_header *header = &inspection->header;
    char size[TEXT_NUMBER_BYTES], chunk[TEXT_NUMBER_BYTES], durable[TEXT_NUMBER_BYTES];
    printf("%-9s %d, session %016" PRIx64 "\n", header->manifest ? "manifest" : "journal",
           JOURNAL_VERSION, header->session);
    printf("%-9s %s (%" PRIu64 " bytes), %" PRIu64 " chunks of %s\n", "file",
           text_size(size, header->size_bytes), header->size_bytes, inspection->chunks_count,
           text_size(chunk, header->chunk_bytes));
    if (header->part_end > 0)
        printf("%-9s %" PRIu64 " bytes from byte %" PRIu64 " on\n", "part",
               header->part_end - header->part_start, header->part_start);
    print_identity("source", &header->source);
    print_identity("target", &header->target);
    printf("%-9s %s\n", "before",
           header->compare ? "the target had content: chunks that are not listed may be right, too"
                           : "the target was empty");
    printf("%-9s %s (%" PRIu64 " bytes), %" PRIu64 " chunks in %" PRIu64 " entries\n", "durable",
           text_size(durable, inspection->bytes_durable), inspection->bytes_durable,
           inspection->chunks_durable, inspection->entries_count);
    printf("%-9s %s at %" PRIu64 " bytes\n", "end",
           inspection->damaged ? "torn or damaged" : "whole", inspection->good_bytes);
}

static void print_entry_words(const struct inspection *inspection,
                              const struct journal_entry *entry)
{
    char digest[DIGEST_TEXT_BYTES];
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n", entry->chunk,
           chunk_offset(inspection, entry->chunk), chunk_length(inspection, entry->chunk),
           digest_text(digest, &entry->digest));
}

/* ---- as JSON ---- */

static void print_identity_json(const char *key, const struct journal_identity *identity)
{
    printf(",\"%s\":{\"inode\":%" PRIu64, key, identity->inode);
    output_json_number(stdout, "size_bytes", identity->size_bytes);
    printf(",\"mtime_seconds\":%" PRId64 ",\"mtime_ns\":%" PRIu32 "}", identity->mtime_seconds,
           identity->mtime_ns);
}

static void print_json(const struct inspection *inspection)
{
    const struct journal_header *header = &inspection->header;
    fputs("{\"v\":1,\"event\":\"journal\"", stdout);
    output_json_string(stdout, "path", inspection->path);
    output_json_number(stdout, "version", JOURNAL_VERSION);
    output_json_bool(stdout, "manifest", header->manifest);
    output_json_bool(stdout, "compare", header->compare);
    printf(",\"session\":\"%016" PRIx64 "\"", header->session);
    output_json_number(stdout, "chunk_bytes", header->chunk_bytes);
    output_json_number(stdout, "size_bytes", header->size_bytes);
    if (header->part_end > 0) {
        output_json_number(stdout, "part_offset", header->part_start);
        output_json_number(stdout, "part_length", header->part_end - header->part_start);
    }
    print_identity_json("source", &header->source);
    print_identity_json("target", &header->target);
    output_json_number(stdout, "chunks", inspection->chunks_count);
    output_json_number(stdout, "entries", inspection->entries_count);
    output_json_number(stdout, "chunks_durable", inspection->chunks_durable);
    output_json_number(stdout, "bytes_durable", inspection->bytes_durable);
    output_json_number(stdout, "good_bytes", inspection->good_bytes);
    output_json_bool(stdout, "damaged", inspection->damaged);
    fputs("}\n", stdout);
}

static void print_entry_json(const struct inspection *inspection, const struct journal_entry *entry)
{
    char digest[DIGEST_TEXT_BYTES];
    fputs("{\"v\":1,\"event\":\"chunk\"", stdout);
    output_json_number(stdout, "chunk", entry->chunk);
    output_json_number(stdout, "offset", chunk_offset(inspection, entry->chunk));
    output_json_number(stdout, "length", chunk_length(inspection, entry->chunk));
    output_json_string(stdout, "digest", digest_text(digest, &entry->digest));
    fputs("}\n", stdout);
}

/* ---- the command ---- */

static int print_entries(const struct inspection *inspection, bool json, struct error *err)
{
    struct journal_entry entries[ENTRIES_AT_ONCE];
    int count;
    journal_reader_rewind(inspection->reader);
    while ((count = journal_reader_next(inspection->reader, entries, ENTRIES_AT_ONCE, err)) > 0)
        for (int i = 0; i < count; i++)
            (json ? print_entry_json : print_entry_words)(inspection, &entries[i]);
    return count;
}

static int inspect(struct inspection *inspection, const struct options *options, struct error *err)
{
    int rc = journal_reader_open(&inspection->reader, AT_FDCWD, inspection->path,
                                 &inspection->header, err);
    if (rc == -ENOENT)
        return error_set(err, ENOENT, "%s", inspection->path);
    if (rc < 0)
        return rc;
    inspection->chunks_count =
        journal_end_chunk(&inspection->header) - journal_first_chunk(&inspection->header);
    rc = count_entries(inspection, err);
    if (rc < 0)
        return rc;
    if (options->json)
        print_json(inspection);
    else
        print_words(inspection);
    if (options->json || options->verbose > 0)
        rc = print_entries(inspection, options->json, err);
    return rc;
}

int inspect_journal(const struct options *options)
{
    struct error err = {0};
    int rc;
    if (options->operands_count != 2) {
        rc = error_usage(&err, "haul journal takes one FILE (to copy a file of that name, say "
                               "./journal)");
    } else {
        struct inspection inspection = {.path = options->operands[1]};
        rc = inspect(&inspection, options, &err);
        journal_reader_close(inspection.reader);
    }
    if (rc == 0)
        return EXIT_CODE_DONE;
    /* A wrong command line has a receipt, whatever the command; a file that is no journal has none.
     */
    return receipt_refused(options->json && err.class == ERROR_USAGE, &err);
}
