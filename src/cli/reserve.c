/* reserve.c - the paths of one command, put into a reservation. */
#include "haul/cli/reserve.h"

#include "haul/base/cleanup.h"
#include "haul/cli/digest_file.h"
#include "haul/copy/reservation.h"
#include "haul/disk/journal.h"
#include "haul/disk/probe.h"
#include "haul/disk/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct reserve {
    struct copy *copy;
    const struct operands *operands;
    const struct copy_wish *wish;
    struct reservation *reservation;
    uint32_t machines[2]; /* of sources and target */
    bool asks;            /* another machine, too */
    bool verify;
    uint32_t asked_count; /* questions to another machine, two a file */
};

static bool remote(const struct address *address)
{
    return address->kind == ADDRESS_REMOTE;
}

/* Trees come last, and what they write is beneath their target. */
static uint32_t reserve_files(const struct reserve *self)
{
    return self->operands->sources_count - self->operands->trees_count;
}

/* The questions of the files from this one on, in the order in which add_file() looks, as far as
 * there is room: each is a round trip. */
static void ask_ahead(struct reserve *self)
{
    const struct operands *operands = self->operands;
    for (; self->asked_count < 2 * reserve_files(self); self->asked_count++) {
        bool target = self->asked_count % 2 == 1;
        const char *source = operands->sources[self->asked_count / 2];
        AUTO_FREE char *path = target ? operands_target(operands, source, NULL) : NULL;
        if (self->machines[target] == 0)
            continue;
        if (target && !path)
            return;
        if (!copy_ask(self->copy, target, target ? path : source))
            return;
    }
}

/* What is there; nothing where nobody tells. Another machine, which may be this one by another
 * name, is asked only where several files could be one: each question is a round trip. What is
 * wrong with a path is the copy's to say. */
static struct facts look(struct reserve *self, bool target, const char *path)
{
    struct facts facts = {.kind = FILE_NONE};
    ERROR_UNSET(ignored);
    if (target && self->operands->target_empty)
        return facts;
    if (self->machines[target] == 0)
        file_recognise(path, &facts);
    if (self->machines[target] == 0 || !self->asks)
        return facts;
    ask_ahead(self);
    (void)copy_told(self->copy, &facts, &ignored);
    return facts;
}

static int add_path(struct reserve *self, enum reservation_use use, const char *path,
                    uint32_t number, struct error *err)
{
    bool target = use != RESERVATION_SOURCE;
    const struct reservation_entry entry = {
        .use = use,
        .path = path,
        .lasts = use == RESERVATION_SOURCE, /* it is the command's own */
        .number = number,
        .machine = self->machines[target],
        .facts = look(self, target, path),
    };
    return reservation_add(self->reservation, &entry, err);
}

/* By their names only; what lies there is looked at when it is opened: its journal, and what is
 * written aside. */
static int add_names(const struct reserve *self, struct error *err)
{
    int result = 0;
    if (!self->wish->file.journal_path)
        result = reservation_add_beside(self->reservation, RESERVATION_JOURNAL, err);
    if (result == 0 && self->wish->file.no_inplace)
        result = reservation_add_beside(self->reservation, RESERVATION_ASIDE, err);
    return result;
}

/* A file that an option names. */
static int add_own(struct reserve *self, const char *what, const char *path, bool there,
                   struct error *err)
{
    struct reservation_entry entry = {
        .use = self->verify ? RESERVATION_COMPARED : RESERVATION_OWN,
        .what = what,
        .path = path,
        .number = UINT32_MAX,
        .machine = there ? self->machines[true] : 0,
    };
    if (!path)
        return 0;
    if (entry.machine == 0)
        file_recognise(path, &entry.facts);
    return reservation_add(self->reservation, &entry, err);
}

/* Before the other machine is called nothing is known of what is there. */
static bool is_within_reach(const struct reserve *self, bool target)
{
    return self->copy || self->machines[target] == 0;
}

static int add_file(struct reserve *self, uint32_t number, struct error *err)
{
    const char *source = self->operands->sources[number];
    AUTO_FREE char *target = operands_target(self->operands, source, err);
    if (!target)
        return -ENOMEM;
    int result = 0;
    if (is_within_reach(self, false))
        result = add_path(self, RESERVATION_SOURCE, source, number, err);
    if (result < 0 || !is_within_reach(self, true))
        return result;
    result = add_path(self, self->verify ? RESERVATION_COMPARED : RESERVATION_TARGET, target,
                      number, err);
    if (result == 0 && !self->verify)
        result = add_names(self, err);
    return result;
}

/* A manifest is written at the end of the copy: what would keep it from being written is found now.
 */
static int check_manifest(const char *path, struct error *err)
{
    struct journal_reader *reader = NULL;
    struct journal_header header;
    ERROR_UNSET(ignored);
    int result = journal_check_replaceable(AT_FDCWD, path, err);
    if (result == 0)
        result = probe_folder(NULL, path, err);
    if (result < 0)
        return result;
    bool old = journal_reader_open(&reader, AT_FDCWD, path, &header, &ignored) == 0;
    journal_reader_close(reader);
    if (old && !header.manifest)
        return error_set_class(err, ERROR_FILE, EEXIST,
                               "%s: is the journal of an unfinished copy, and no manifest; it was "
                               "left alone",
                               path);
    return 0;
}

/* The same of one that is written through a link. */
static int check_base(const char *path, struct error *err)
{
    AUTO_FREE char *real = replace_find(path);
    if (!real)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for its name", path);
    return access(real, F_OK) == 0 ? check_manifest(real, err) : probe_folder(NULL, real, err);
}

static int add_all(struct reserve *self, struct error *err)
{
    const struct copy_wish *wish = self->wish;
    const struct operands *operands = self->operands;
    int result = reservation_add_output(self->reservation, STDOUT_FILENO, "standard output", err);
    if (result == 0)
        result = reservation_add_output(self->reservation, STDERR_FILENO, "standard error", err);
    if (result == 0)
        result = add_own(self, "--manifest", wish->manifest_path, false, err);
    if (result == 0)
        result = add_own(self, "--base-manifest", wish->base_path, false, err);
    if (result == 0 && !self->verify)
        result = add_own(self, "--digest-file", wish->digest_path, false, err);
    if (result == 0 && !self->verify)
        result = add_own(self, "--journal", wish->file.journal_path, true, err);
    self->asks =
        self->copy && (operands->sources_count > 1 || reservation_count(self->reservation) > 0);
    for (uint32_t i = 0; result == 0 && i < reserve_files(self); i++)
        result = add_file(self, i, err);
    if (result == 0 && operands->sources_count == 0 && is_within_reach(self, true))
        result = add_path(self, RESERVATION_COMPARED, operands->target.path, 0, err);
    if (result == 0 && !self->verify && wish->manifest_path)
        result = check_manifest(wish->manifest_path, err);
    if (result == 0 && !self->verify && wish->base_path)
        result = check_base(wish->base_path, err);
    if (result == 0 && !self->verify && wish->digest_path)
        result = digest_file_check(wish->digest_path, err);
    return result;
}

int reserve_paths(struct copy *copy, const struct operands *operands, const struct copy_wish *wish,
                  bool verify, struct error *err)
{
    struct reserve self = {.copy = copy, .operands = operands, .wish = wish, .verify = verify};
    bool there = remote(&operands->target);
    self.machines[false] = operands->sources_count > 0 && remote(&operands->source) ? 1 : 0;
    self.machines[true] = !there ? 0 : operands_one_machine(operands) ? 1 : 2;
    int result = reservation_open(&self.reservation, err);
    if (result == 0)
        result = add_all(&self, err);
    reservation_close(self.reservation);
    return result;
}
