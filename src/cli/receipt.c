/* receipt.c - what a run did, in words for people and as one line of JSON. */
#include "haul/cli/receipt.h"

#include "haul/base/clock.h"
#include "haul/base/num.h"
#include "haul/base/text.h"
#include "haul/cli/exit.h"
#include "haul/cli/output.h"
#include "haul/disk/attributes.h"

#include <inttypes.h>
#include <string.h>

enum { SHOWN_BYTES = 4 * 4096 }; /* a path, each byte of which may become four */

static void side_init(struct side_report *side)
{
    side->resident_before_bytes = NUM_UNKNOWN;
    side->resident_peak_bytes = NUM_UNKNOWN;
    side->resident_after_bytes = NUM_UNKNOWN;
    side->memory_peak_bytes = NUM_UNKNOWN;
    side->kernel_bytes = NUM_UNKNOWN;
}

void receipt_init(struct receipt *receipt)
{
    memset(receipt, 0, sizeof(*receipt));
    side_init(&receipt->source);
    side_init(&receipt->target);
    receipt->bytes_total = NUM_UNKNOWN;
    receipt->memory_peak_bytes = NUM_UNKNOWN;
    receipt->memory_budget_bytes = NUM_UNKNOWN;
    receipt->kernel = kernel_memory_tell(NULL);
    receipt->lanes = 1;
}

/* ---- words ---- */

static void print_size(FILE *out, const char *before, uint64_t bytes, const char *after)
{
    char size[TEXT_NUMBER_BYTES];
    fprintf(out, "%s%s%s", before, text_size(size, bytes), after);
}

static void print_path(FILE *out, const char *host, const char *path)
{
    char shown[SHOWN_BYTES];
    if (host)
        fprintf(out, strchr(host, ':') ? "[%s]:" : "%s:", text_escape(shown, sizeof(shown), host));
    fputs(text_escape(shown, sizeof(shown), path ? path : "?"), out);
}

/* Reasons come from the kernel's words, a file's name or, later, from a peer: escaped as paths. */
static void print_why(FILE *out, const char *why)
{
    char shown[4 * POLICY_WHY_BYTES];
    if (why[0] != '\0')
        fprintf(out, " (%s)", text_escape(shown, sizeof(shown), why));
}

static void print_durable(FILE *out, const struct receipt *receipt)
{
    char seconds[TEXT_NUMBER_BYTES], rate[TEXT_NUMBER_BYTES];
    /* What an earlier run has written is no speed of this one. */
    bool equal = receipt->outcome.kind == OUTCOME_EQUAL;
    uint64_t bytes = equal ? receipt->bytes_kept : receipt->bytes_copied;
    text_seconds(seconds, receipt->duration_ns);
    text_rate(rate, clock_rate(bytes, receipt->duration_ns));
    if (equal)
        fprintf(out, "equal, compared in %s, %s", seconds, rate);
    else if (receipt_durable(receipt) && bytes == 0)
        fprintf(out, "durable after %s", seconds);
    else if (receipt_durable(receipt))
        fprintf(out, "durable after %s, %s", seconds, rate);
    else if (receipt->outcome.kind == OUTCOME_HANDED_OVER)
        fprintf(out, "handed over in %s, %s", seconds, rate);
    else
        fprintf(out, "NOT durable, ended after %s", seconds);
}

/* What this copy left behind: pages that were not there before it came. */
static void print_left(FILE *out, const struct side_report *side)
{
    uint64_t after = side->resident_after_bytes;
    uint64_t before = side->resident_before_bytes == NUM_UNKNOWN ? 0 : side->resident_before_bytes;
    if (after == NUM_UNKNOWN)
        fputs("what is left is unknown", out);
    else if (after <= before)
        fputs("nothing left", out);
    else
        print_size(out, "", after - before, " left");
}

/* A comparison with what the cache holds says little of the medium. */
static void print_reread(FILE *out, const struct side_report *side)
{
    if (side->reread_cached_bytes > 0)
        print_size(out, ", ", side->reread_cached_bytes, " read from the page cache");
}

static const char *const side_names[] = {[SIDE_SOURCE] = "source", [SIDE_TARGET] = "target"};

static const struct side_report *side_of(const struct receipt *receipt, enum side_role role)
{
    return role == SIDE_SOURCE ? &receipt->source : &receipt->target;
}

/* Of small files no side says what is the same for each of them. */
static const char *policy_why(const struct receipt *receipt, enum side_role role)
{
    if (side_of(receipt, role)->policy != POLICY_BATCH)
        return receipt->words[role].policy;
    return role == SIDE_SOURCE ? "a small file, read as a whole"
                               : "small files, written back and dropped many at a time";
}

/* A pipe has no cache to be kept out of. */
static bool is_pipe(const struct receipt *receipt, enum side_role role)
{
    return side_of(receipt, role)->policy == POLICY_AUTO && policy_why(receipt, role)[0] != '\0';
}

static void side_compact(FILE *out, const struct receipt *receipt, enum side_role role)
{
    const struct side_report *side = side_of(receipt, role);
    fprintf(out, "%s", side_names[role]);
    if (is_pipe(receipt, role)) {
        print_why(out, policy_why(receipt, role));
        return;
    }
    fprintf(out, " %s", policy_name(side->policy));
    if (side->policy != POLICY_DIRECT)
        print_why(out, policy_why(receipt, role));
    fputs(", ", out);
    print_left(out, side);
    print_reread(out, side);
}

static void side_full(FILE *out, const struct receipt *receipt, enum side_role role)
{
    const struct side_report *side = side_of(receipt, role);
    bool pipe = is_pipe(receipt, role);
    fprintf(out, "%s    %s", side_names[role], pipe ? "no cache" : policy_name(side->policy));
    print_why(out, policy_why(receipt, role));
    fprintf(out, ", %s", engine_name(side->engine));
    print_why(out, receipt->words[role].engine);
    print_size(out, "; cached ", side->resident_before_bytes, " before");
    print_size(out, ", ", side->resident_peak_bytes, " peak");
    print_size(out, ", ", side->resident_after_bytes, " after");
    print_reread(out, side);
    fputs("\n", out);
}

/* The parts of the whole that are not simply copied, where there are any. */
static void print_parts(FILE *out, const struct receipt *receipt)
{
    if (receipt->bytes_kept > 0)
        print_size(out, ", ", receipt->bytes_kept, " kept");
    if (receipt->bytes_unread > 0)
        print_size(out, ", ", receipt->bytes_unread, " of it unread, by --base-manifest");
    if (receipt->chunks_repaired > 0) {
        print_size(out, ", ", receipt->bytes_repaired, " of it repaired");
        fprintf(out, " in %" PRIu64 " chunk%s", receipt->chunks_repaired,
                receipt->chunks_repaired == 1 ? "" : "s");
    }
    if (receipt->bytes_referenced > 0)
        print_size(out, ", ", receipt->bytes_referenced,
                   " by reference, not a second copy on the medium");
    if (receipt->bytes_holes > 0)
        print_size(out, ", ", receipt->bytes_holes, " holes");
    if (receipt->bytes_unreadable > 0)
        print_size(out, ", ", receipt->bytes_unreadable, " unreadable");
    if (receipt->bytes_verified > 0)
        print_size(out, ", ", receipt->bytes_verified,
                   receipt->target.reread_cached_bytes > 0 ? " read back"
                                                           : " read back from the medium");
}

/* What changed of the source without the data. */
static void print_carried_over(FILE *out, const struct receipt *receipt)
{
    char names[ATTRIBUTES_TEXT_BYTES];
    uint8_t set = receipt->target.attributes_changed;
    if (set && receipt->bytes_copied == 0)
        fprintf(out, ", %s %s", attributes_text(names, set),
                receipt->dry_run ? "would be carried over" : "carried over");
}

static void print_part(FILE *out, const struct receipt *receipt)
{
    if (receipt->part_end == 0)
        return;
    print_size(out, ", ", receipt->part_end - receipt->part_start, "");
    fprintf(out, " from byte %" PRIu64 " on", receipt->part_start);
}

static void words_compact(FILE *out, const struct receipt *receipt)
{
    print_path(out, receipt->source_host, receipt->source_path);
    print_part(out, receipt);
    fputs(": ", out);
    if (!receipt->compared) {
        print_size(out, "", receipt->bytes_copied, " copied");
        print_parts(out, receipt);
        print_carried_over(out, receipt);
        fputs(", ", out);
    }
    print_durable(out, receipt);
    fputs("\ncache: ", out);
    /* A manifest has no cache to keep clean. */
    if (receipt->source.policy != POLICY_AUTO || is_pipe(receipt, SIDE_SOURCE)) {
        side_compact(out, receipt, SIDE_SOURCE);
        fputs("; ", out);
    }
    side_compact(out, receipt, SIDE_TARGET);
    fputs("\n", out);
    enum side_role told = receipt->words[SIDE_SOURCE].engine[0] != '\0' ? SIDE_SOURCE : SIDE_TARGET;
    if (receipt->words[told].engine[0] != '\0') {
        fprintf(out, "engine: %s", engine_name(side_of(receipt, told)->engine));
        print_why(out, receipt->words[told].engine);
        fputs("\n", out);
    }
}

static void print_there(FILE *out, const char *host, uint64_t bytes, const char *most_on)
{
    char shown[SHOWN_BYTES];
    if (!host)
        return;
    print_size(out, "; ", bytes, most_on);
    fputs(text_escape(shown, sizeof(shown), host), out);
}

/* Memory of every process that took part, and what went between them. */
static void print_memory(FILE *out, const struct receipt *receipt)
{
    print_size(out, "memory    ", receipt->memory_peak_bytes, " peak");
    print_size(out, ", budget ", receipt->memory_budget_bytes, "");
    print_size(out, ", chunks of ", receipt->chunk_bytes, "");
    print_there(out, receipt->source_host, receipt->source.memory_peak_bytes, " peak on ");
    print_there(out, receipt->target_host, receipt->target.memory_peak_bytes, " peak on ");
    if (receipt->pressure)
        fprintf(out, "; %s: 1/%u of it", receipt->pressure, 1u << receipt->slots_halved_most);
    fputs("\n", out);
    if (!receipt->source_host && !receipt->target_host)
        return;
    print_size(out, "link      ", receipt->wire_bytes_sent, " sent");
    print_size(out, ", ", receipt->wire_bytes_received, " received");
    fprintf(out, ", %" PRIu32 " lane%s\n", receipt->lanes, receipt->lanes == 1 ? "" : "s");
}

/* What names and inodes cost, with what anybody else did there meanwhile. */
static void print_kernel(FILE *out, const struct receipt *receipt)
{
    const struct kernel_memory_told *kernel = &receipt->kernel;
    const char *name = kernel_memory_name(kernel->of);
    if (name) {
        print_size(out, "names     ", kernel->most_bytes, "");
        print_size(out, " peak, ", kernel->left_bytes, " now");
        fprintf(out, " (%s)", name);
    } else {
        fputs("names     what they cost the kernel is unknown", out);
    }
    if (kernel->low_before_bytes != NUM_UNKNOWN) {
        print_size(out, "; LowFree ", kernel->low_before_bytes, " before");
        print_size(out, ", ", kernel->low_least_bytes, " at least");
    }
    if (kernel->emptied_count > 0)
        fprintf(out, "; emptied %" PRIu32 " times", kernel->emptied_count);
    print_there(out, receipt->source_host, receipt->source.kernel_bytes, " peak on ");
    print_there(out, receipt->target_host, receipt->target.kernel_bytes, " peak on ");
    fputs("\n", out);
}

static void words_full(FILE *out, const struct receipt *receipt)
{
    char digest[DIGEST_TEXT_BYTES];
    print_path(out, receipt->source_host, receipt->source_path);
    fputs(" -> ", out);
    print_path(out, receipt->target_host, receipt->target_path);
    print_part(out, receipt);
    print_size(out, "\ncopied    ", receipt->bytes_copied, "");
    print_size(out, " of ", receipt->bytes_total, receipt->resumed ? " (resumed)" : "");
    print_parts(out, receipt);
    fputs("\nresult    ", out);
    print_durable(out, receipt);
    fputs("\n", out);
    side_full(out, receipt, SIDE_SOURCE);
    side_full(out, receipt, SIDE_TARGET);
    print_memory(out, receipt);
    print_kernel(out, receipt);
    fprintf(out, "digest    %s\n",
            receipt->digest_known ? digest_text(digest, &receipt->digest) : "unknown");
    if (receipt->whole_text[0])
        fprintf(out, "%s    %s\n", whole_name(receipt->whole), receipt->whole_text);
}

static void print_would(FILE *out, const struct receipt *receipt)
{
    fputs(" -> ", out);
    print_path(out, receipt->target_host, receipt->target_path);
    print_part(out, receipt);
    fprintf(out, ": would %s, ", receipt->would ? receipt->would : "be copied");
    print_size(out, "", receipt->bytes_total, " (dry run)\n");
}

void receipt_words(FILE *out, const struct receipt *receipt, bool full)
{
    if (receipt_up_to_date(receipt) || receipt_skipped(receipt) || receipt->dry_run) {
        print_path(out, receipt->source_host, receipt->source_path);
        if (receipt_skipped(receipt)) {
            fprintf(out, ": skipped, %s\n", receipt->outcome.evidence);
        } else if (receipt_up_to_date(receipt)) {
            fputs(": up to date", out);
            print_carried_over(out, receipt);
            fputs("\n", out);
        } else {
            print_would(out, receipt);
        }
        return;
    }
    if (full)
        words_full(out, receipt);
    else
        words_compact(out, receipt);
}

void receipt_words_changes(FILE *out, const struct receipt *receipt)
{
    char shown[SHOWN_BYTES];
    const char *path = receipt->source_path ? receipt->source_path : "";
    const char *slash = strrchr(path, '/');
    if (receipt->changes[0] != '\0')
        fprintf(out, "%s %s\n", receipt->changes,
                text_escape(shown, sizeof(shown), slash ? slash + 1 : path));
}

/* What the target cannot hold, or was not ours to set. */
static void print_lost(FILE *out, const struct receipt *sum)
{
    char name[ATTRIBUTES_TEXT_BYTES];
    const char *before = "not kept: ";
    for (int i = 0; i < ATTRIBUTES_COUNT; i++) {
        if (sum->lost_counts[i] == 0)
            continue;
        fprintf(out, "%s%s of %" PRIu64, before, attributes_text(name, ATTRIBUTE_BIT(i)),
                sum->lost_counts[i]);
        before = ", ";
    }
    fputs(before[0] == ',' ? "\n" : "", out);
}

static void print_sum(FILE *out, const struct receipt *sum, const struct receipt_tally *tally,
                      bool full)
{
    struct receipt worked = *sum; /* without what was only looked at */
    fprintf(out, "%" PRIu32 " file%s", sum->files, sum->files == 1 ? "" : "s");
    if (tally->failed_count > 0)
        fprintf(out, " and %" PRIu32 " failed", tally->failed_count);
    bool up_to_date = receipt_up_to_date(sum);
    if (tally->made_count > 0)
        fprintf(out, ", %" PRIu32 "%s", tally->made_count,
                tally->made_count == 1 ? " folder or link" : " folders and links");
    if (tally->removed_count > 0)
        fprintf(out, ", %" PRIu32 " removed", tally->removed_count);
    if (tally->skipped_count > 0)
        fprintf(out, ", %" PRIu32 " skipped", tally->skipped_count);
    if (tally->up_to_date_count > 0 && !up_to_date)
        fprintf(out, ", %" PRIu32 " up to date", tally->up_to_date_count);
    if (sum->files == 0 || sum->dry_run || up_to_date || receipt_skipped(sum)) {
        bool nothing = up_to_date && tally->failed_count == 0;
        fputs(nothing ? ": up to date\n" : sum->dry_run ? " (dry run)\n" : "\n", out);
        return;
    }
    worked.bytes_kept -= min_u64(worked.bytes_kept, tally->bytes_up_to_date);
    print_size(out, ": ", worked.bytes_copied, " copied");
    print_parts(out, &worked);
    fputs(", ", out);
    print_durable(out, &worked);
    fputs("\n", out);
    if (full && sum->source.policy != POLICY_AUTO && sum->target.policy != POLICY_AUTO) {
        fputs("cache     source: ", out);
        print_left(out, &sum->source);
        fputs("; target: ", out);
        print_left(out, &sum->target);
        fputs("\n", out);
    }
    if (full || sum->kernel.emptied_count > 0)
        print_kernel(out, sum);
}

void receipt_words_sum(FILE *out, const struct receipt *sum, const struct receipt_tally *tally,
                       bool full)
{
    print_sum(out, sum, tally, full);
    print_lost(out, sum);
}

/* ---- JSON ---- */

static const char *const json_names[ATTRIBUTES_COUNT] = {"owner", "group", "xattrs",
                                                         "acls",  "mode",  "mtime"};

static void json_attributes(FILE *out, const char *key, uint8_t set)
{
    const char *comma = "";
    fprintf(out, ",\"%s\":[", key);
    for (int i = 0; i < ATTRIBUTES_COUNT; i++) {
        if (!(set & ATTRIBUTE_BIT(i)))
            continue;
        fprintf(out, "%s\"%s\"", comma, json_names[i]);
        comma = ",";
    }
    fputs("]", out);
}

static void json_lost_counts(FILE *out, const struct receipt *receipt)
{
    fputs(",\"attributes_lost_counts\":{", out);
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        fprintf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", json_names[i], receipt->lost_counts[i]);
    fputs("}", out);
}

/* A choice that was never made is unknown: null. */
static void json_side(FILE *out, const struct receipt *receipt, enum side_role role)
{
    const struct side_report *side = side_of(receipt, role);
    const char *why = policy_why(receipt, role), *engine_why = receipt->words[role].engine;
    fprintf(out, ",\"%s\":{\"path\":", side_names[role]);
    output_json_text(out, role == SIDE_SOURCE ? receipt->source_path : receipt->target_path);
    output_json_string(out, "host",
                       role == SIDE_SOURCE ? receipt->source_host : receipt->target_host);
    output_json_string(out, "policy",
                       side->policy == POLICY_AUTO ? NULL : policy_name(side->policy));
    output_json_string(out, "why", why[0] ? why : NULL);
    output_json_string(out, "engine",
                       side->engine == ENGINE_AUTO ? NULL : engine_name(side->engine));
    output_json_string(out, "engine_why", engine_why[0] ? engine_why : NULL);
    output_json_number(out, "resident_before_bytes", side->resident_before_bytes);
    output_json_number(out, "resident_peak_bytes", side->resident_peak_bytes);
    output_json_number(out, "resident_after_bytes", side->resident_after_bytes);
    output_json_number(out, "memory_peak_bytes", side->memory_peak_bytes);
    output_json_number(out, "kernel_memory_most_bytes", side->kernel_bytes);
    output_json_number(out, "reread_cached_bytes", side->reread_cached_bytes);
    fputs("}", out);
}

static void json_counts(FILE *out, const struct receipt *receipt)
{
    char digest[DIGEST_TEXT_BYTES];
    output_json_number(out, "files", receipt->files);
    output_json_number(out, "bytes_total", receipt->bytes_total);
    output_json_number(out, "bytes_copied", receipt->bytes_copied);
    output_json_number(out, "bytes_kept", receipt->bytes_kept);
    output_json_number(out, "bytes_unread", receipt->bytes_unread);
    output_json_number(out, "bytes_holes", receipt->bytes_holes);
    output_json_number(out, "bytes_referenced", receipt->bytes_referenced);
    output_json_number(out, "bytes_repaired", receipt->bytes_repaired);
    output_json_number(out, "chunks_repaired", receipt->chunks_repaired);
    output_json_number(out, "bytes_verified", receipt->bytes_verified);
    output_json_number(out, "bytes_unreadable", receipt->bytes_unreadable);
    output_json_seconds(out, "seconds", receipt->duration_ns);
    output_json_string(out, "digest",
                       receipt->digest_known ? digest_text(digest, &receipt->digest) : NULL);
    for (int i = 0; i < WHOLE_KINDS_COUNT; i++)
        output_json_string(out, whole_name((enum whole_kind)i),
                           receipt->whole_text[0] && (int)receipt->whole == i ? receipt->whole_text
                                                                              : NULL);
    output_json_number(out, "chunk_bytes",
                       receipt->chunk_bytes > 0 ? receipt->chunk_bytes : NUM_UNKNOWN);
    output_json_number(out, "lanes", receipt->lanes);
    output_json_number(out, "memory_peak_bytes", receipt->memory_peak_bytes);
    output_json_number(out, "memory_budget_bytes", receipt->memory_budget_bytes);
    output_json_number(out, "slots_halved_most", receipt->slots_halved_most);
    output_json_string(out, "pressure", receipt->pressure);
    output_json_string(out, "kernel_memory_of", kernel_memory_name(receipt->kernel.of));
    output_json_number(out, "kernel_memory_most_bytes", receipt->kernel.most_bytes);
    output_json_number(out, "kernel_memory_left_bytes", receipt->kernel.left_bytes);
    output_json_number(out, "low_free_before_bytes", receipt->kernel.low_before_bytes);
    output_json_number(out, "low_free_least_bytes", receipt->kernel.low_least_bytes);
    output_json_number(out, "cgroup_emptied", receipt->kernel.emptied_count);
    output_json_number(out, "wire_bytes_sent", receipt->wire_bytes_sent);
    output_json_number(out, "wire_bytes_received", receipt->wire_bytes_received);
}

void receipt_json(FILE *out, const struct receipt *receipt, const char *event, int exit_code,
                  const char *error)
{
    /* As of a signal that came between two names: none of them has failed. */
    if (exit_code != EXIT_CODE_DONE && !error)
        error = exit_text(exit_code);
    flockfile(out); /* the other thread may print its events */
    fprintf(out, "{\"v\":1,\"event\":\"%s\",\"exit\":%d", event, exit_code);
    output_json_string(out, "error", error);
    output_json_string(out, "outcome", outcome_name(receipt->outcome.kind));
    output_json_bool(out, "durable", receipt_durable(receipt));
    output_json_number(out, "bytes_durable", receipt->bytes_durable);
    output_json_bool(out, "compared", receipt->compared);
    output_json_number(out, "bytes_differing", receipt->bytes_differing);
    output_json_bool(out, "dry_run", receipt->dry_run);
    output_json_string(out, "would", receipt->would);
    output_json_string(out, "changes", receipt->changes[0] ? receipt->changes : NULL);
    output_json_bool(out, "up_to_date", receipt_up_to_date(receipt));
    output_json_string(out, "skipped", receipt_skipped(receipt) ? receipt->outcome.evidence : NULL);
    output_json_bool(out, "resumed", receipt->resumed);
    output_json_bool(out, "source_changed", receipt->source_changed);
    output_json_number(out, "part_offset",
                       receipt->part_end > 0 ? receipt->part_start : NUM_UNKNOWN);
    output_json_number(out, "part_length",
                       receipt->part_end > 0 ? receipt->part_end - receipt->part_start
                                             : NUM_UNKNOWN);
    json_counts(out, receipt);
    json_attributes(out, "attributes_changed", receipt->target.attributes_changed);
    json_attributes(out, "attributes_lost", receipt->target.attributes_lost);
    json_lost_counts(out, receipt);
    json_side(out, receipt, SIDE_SOURCE);
    json_side(out, receipt, SIDE_TARGET);
    fputs("}\n", out);
    funlockfile(out);
}

void receipt_json_refused(FILE *out, int exit_code, const char *error)
{
    struct receipt receipt;
    receipt_init(&receipt);
    receipt_json(out, &receipt, "receipt", exit_code, error);
}

int receipt_refused(bool json, const struct error *err)
{
    int code = exit_code(err->class);
    log_error("%s", err->text);
    if (json)
        receipt_json_refused(stdout, code, err->text);
    return code;
}

void receipt_json_range(enum log_range_kind kind, const char *path, unsigned long long offset,
                        unsigned long long length)
{
    flockfile(stdout);
    printf("{\"v\":1,\"event\":\"%s\"", kind == LOG_DIFFERS ? "difference" : "unreadable");
    output_json_string(stdout, "path", path);
    output_json_number(stdout, "offset", offset);
    output_json_number(stdout, "length", length);
    fputs("}\n", stdout);
    funlockfile(stdout);
}
