/* transfer.c - the command that copies: files one after another in a thread of its own, and what is
 * said about them. */
#include "haul/transfer.h"

#include "haul/cleanup.h"
#include "haul/copy.h"
#include "haul/exit.h"
#include "haul/operands.h"
#include "haul/output.h"
#include "haul/receipt.h"
#include "haul/signals.h"
#include "haul/text.h"
#include "haul/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct transfer {
    const struct options *options;
    struct operands operands;
    struct watch watch;
    struct copy *copy;  /* opened by the copy's thread, closed by the main one: it reads progress */
    struct receipt sum; /* of all files; of the only one */
    char *target_path;  /* of the file at work; the receipt points to it */
    uint32_t failed_count;
    bool undurable; /* a file was copied and is not durable; one that is up to date says nothing */
    bool skipped;   /* a folder: some of what was asked for is not done */
    bool interrupted;
    bool verify;      /* compare only */
    struct error err; /* the first failure */
};

static bool single(const struct transfer *transfer)
{
    return transfer->operands.sources_count <= 1;
}

/* One line for each failure; the first is what the whole run failed with. */
static void fail(struct transfer *transfer, const struct error *err)
{
    log_error("%s", err->text);
    transfer->failed_count++;
    transfer->interrupted |= err->class == ERROR_INTERRUPTED;
    error_take(&transfer->err, err);
}

static int transfer_code(const struct transfer *transfer)
{
    if (transfer->interrupted)
        return EXIT_CODE_INTERRUPTED;
    if (transfer->failed_count == 0)
        return exit_code(ERROR_NONE);
    if (transfer->skipped)
        return EXIT_CODE_PARTIAL;
    bool whole = single(transfer) || !transfer->copy || copy_broken(transfer->copy);
    return whole ? exit_code(transfer->err.class) : EXIT_CODE_PARTIAL;
}

static void print_receipt(const struct transfer *transfer, const struct receipt *receipt)
{
    const struct options *options = transfer->options;
    if (options->quiet)
        return;
    output_begin(transfer->watch.style == WATCH_BAR);
    receipt_words(stdout, receipt, options->stats || options->verbose > 0);
    output_end();
}

/* Each of several files has its own account as soon as it is known. */
static void print_one(const struct transfer *transfer, const struct receipt *receipt,
                      const struct error *err)
{
    bool failed = error_is_set(err);
    if (transfer->options->json) {
        receipt_json(stdout, receipt, "file", exit_code(err->class), failed ? err->text : NULL);
        fflush(stdout);
    } else if (!failed) {
        print_receipt(transfer, receipt);
    }
}

/* Folders are skipped with a message, as cp and rsync do. What is wrong with other sources is
 * copy_run()'s to find. */
static bool skip_folder(struct transfer *transfer, const char *source)
{
    struct error err = {0};
    struct facts facts;
    if (copy_describe(transfer->copy, false, source, &facts, &err) < 0 || facts.kind != FILE_FOLDER)
        return false;
    error_set_class(&err, ERROR_FILE, EISDIR, "%s: skipped, it is a folder", source);
    fail(transfer, &err);
    transfer->skipped = true;
    return true;
}

static void copy_one(struct transfer *transfer, const char *source)
{
    struct receipt one;
    struct error err = {0};
    receipt_init(&one);
    free(transfer->target_path);
    transfer->target_path = operands_target(&transfer->operands, source);
    one.source_path = source;
    one.target_path = transfer->target_path;
    if (!transfer->target_path)
        error_set_class(&err, ERROR_MEMORY, ENOMEM, "%s: no memory for the target's name", source);
    else if (transfer->verify)
        copy_verify(transfer->copy, source, transfer->target_path, &one, &err);
    else
        copy_run(transfer->copy, source, transfer->target_path, &one, &err);
    if (error_is_set(&err))
        fail(transfer, &err);
    if (!single(transfer)) {
        print_one(transfer, &one, &err);
        if (error_is_set(&err))
            return;
        receipt_add(&transfer->sum, &one);
        transfer->undurable |= !one.durable && !one.up_to_date && !one.dry_run;
        return;
    }
    transfer->sum = one;
}

/* Against a manifest there is no source. */
static void verify_manifest(struct transfer *transfer)
{
    struct error err = {0};
    copy_verify(transfer->copy, NULL, transfer->operands.target, &transfer->sum, &err);
    if (error_is_set(&err))
        fail(transfer, &err);
}

static void copy_all(struct transfer *transfer)
{
    struct error err = {0};
    if (copy_open(&transfer->copy, &transfer->options->wish, NULL, NULL, &err) < 0) {
        fail(transfer, &err);
        return;
    }
    struct progress *progress = copy_progress(transfer->copy);
    atomic_store(&transfer->watch.progress, progress);
    if (atomic_load(&transfer->watch.stop))
        atomic_store(&progress->stop, true);
    if (transfer->operands.sources_count == 0)
        verify_manifest(transfer);
    for (uint32_t i = 0; i < transfer->operands.sources_count; i++) {
        const char *source = transfer->operands.sources[i];
        if (!skip_folder(transfer, source))
            copy_one(transfer, source);
        /* The signal may have come when the last chunk of this file was already done. */
        bool more = i + 1 < transfer->operands.sources_count;
        transfer->interrupted |= more && atomic_load(&transfer->watch.stop);
        if (transfer->interrupted || copy_broken(transfer->copy))
            break;
    }
}

/* The copy's thread. The write to an eventfd that is 0 can not fail. */
static void *transfer_thread(void *argument)
{
    struct transfer *transfer = argument;
    copy_all(transfer);
    eventfd_write(transfer->watch.fd_done, 1);
    return NULL;
}

/* Run the copy beside the watch; both are over when this returns. */
static int run(struct transfer *transfer, struct error *err)
{
    AUTO_CLOSE int fd_signals = signals_open(err);
    if (fd_signals < 0)
        return fd_signals;
    AUTO_CLOSE int fd_done = eventfd(0, EFD_CLOEXEC);
    if (fd_done < 0)
        return error_set(err, errno, "eventfd");
    transfer->watch.fd_signals = fd_signals;
    transfer->watch.fd_done = fd_done;
    pthread_t thread;
    int errnum = pthread_create(&thread, NULL, transfer_thread, transfer);
    if (errnum != 0)
        return error_set(err, errnum, "start a thread");
    watch_run(&transfer->watch);
    pthread_join(thread, NULL);
    return 0;
}

/* How to go on, and from where. */
static void print_resume(const struct receipt *receipt)
{
    char there[TEXT_NUMBER_BYTES], total[TEXT_NUMBER_BYTES];
    log_note("the same command again goes on: %s of %s are there",
             text_size(there, receipt->bytes_copied + receipt->bytes_kept + receipt->bytes_holes),
             text_size(total, receipt->bytes_total));
}

/* The last words: the receipt of the run. */
static void print_end(struct transfer *transfer, int code)
{
    const struct options *options = transfer->options;
    struct receipt *sum = &transfer->sum;
    bool failed = transfer->failed_count > 0;
    if (!single(transfer)) {
        sum->source_path = NULL;
        sum->target_path = transfer->operands.target;
        sum->durable = sum->files > 0 && !transfer->undurable && !(options->json && failed);
    }
    if (transfer->interrupted)
        print_resume(sum);
    if (options->json)
        receipt_json(stdout, sum, "receipt", code, failed ? transfer->err.text : NULL);
    else if (single(transfer) && !failed)
        print_receipt(transfer, sum);
    else if (!single(transfer) && transfer->copy && !options->quiet)
        receipt_words_sum(stdout, sum, transfer->failed_count);
}

static int transfer_run(struct transfer *at, const struct options *options)
{
    struct transfer transfer = *at;
    struct error err = {0};
    transfer.options = options;
    receipt_init(&transfer.sum);
    transfer.sum.source_path = options->operands_count == 2 ? options->operands[0] : NULL;
    transfer.sum.target_path = options->operands[options->operands_count - 1];
    transfer.watch.style = watch_choose(options->json, options->quiet, options->progress);
    log_init(options_log_level(options),
             transfer.watch.style == WATCH_BAR ? output_log_bar : output_log);
    if (operands_resolve(&transfer.operands, options, &err) < 0 || run(&transfer, &err) < 0)
        fail(&transfer, &err);
    int code = transfer_code(&transfer);
    print_end(&transfer, code);
    copy_close(transfer.copy);
    free(transfer.target_path);
    return code;
}

int transfer_command(const struct options *options)
{
    struct transfer transfer = {.verify = false};
    return transfer_run(&transfer, options);
}

int transfer_verify(const struct options *options)
{
    struct transfer transfer = {.verify = true};
    struct options rest = *options; /* without the command's name */
    rest.operands++;
    rest.operands_count--;
    uint32_t wanted = options->wish.manifest_path ? 1 : 2;
    if (rest.operands_count != wanted) {
        log_error("verify compares %s",
                  wanted == 1 ? "one TARGET with --manifest=FILE" : "a SOURCE with a TARGET");
        return exit_code(ERROR_USAGE);
    }
    return transfer_run(&transfer, &rest);
}
