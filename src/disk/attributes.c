/* attributes.c - owner, group, details, mode and times of a file of any kind: one table for setting
 * and comparing. */
#include "haul/disk/attributes.h"

#include "haul/base/cleanup.h"
#include "haul/base/log.h"
#include "haul/base/num.h"
#include "haul/base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SET_ID_BITS = S_ISUID | S_ISGID,
    GROUPS_MAX = 65536,
    SYS_FCHMODAT2 = 452, /* glibc 2.39 */
};

/* ---- details ---- */

unsigned attributes_detail_sets(uint32_t xattrs, uint32_t acls)
{
    return (xattrs >= ATTRIBUTE_ARCHIVE ? DETAILS_XATTRS : 0u) |
           (acls >= ATTRIBUTE_ARCHIVE ? DETAILS_ACLS : 0u);
}

unsigned attributes_detail_pieces(unsigned sets, enum file_kind kind)
{
    bool lists = sets & DETAILS_ACLS && kind != FILE_LINK;
    return (sets & DETAILS_XATTRS ? PIECE_XATTRS : 0u) | (lists ? PIECE_ACCESS : 0u) |
           (lists && kind == FILE_FOLDER ? PIECE_DEFAULT : 0u);
}

/* ---- the table ---- */

/* right: has it what is wanted? set: 0, or -1 with errno. */
struct attribute_row {
    const char *name;
    bool (*right)(int fd, const struct stat *now, const struct attributes *wanted);
    int (*set)(int fd, const struct stat *now, const struct attributes *wanted);
};

static bool owner_right(int fd, const struct stat *now, const struct attributes *wanted)
{
    (void)fd;
    return now->st_uid == wanted->facts.uid;
}

static int owner_set(int fd, const struct stat *now, const struct attributes *wanted)
{
    (void)now;
    return fchownat(fd, "", wanted->facts.uid, (gid_t)-1, AT_EMPTY_PATH);
}

static bool group_right(int fd, const struct stat *now, const struct attributes *wanted)
{
    (void)fd;
    return now->st_gid == wanted->facts.gid;
}

static int group_set(int fd, const struct stat *now, const struct attributes *wanted)
{
    (void)now;
    return fchownat(fd, "", (uid_t)-1, wanted->facts.gid, AT_EMPTY_PATH);
}

/* Without /proc by fchmodat2(2), Linux 6.6. */
static int set_mode(int fd, uint32_t mode)
{
    char link[TEXT_NUMBER_BYTES];
    int result = fchmod(fd, mode);
    if (result != 0 && errno == EBADF)
        result = chmod(text_fd_link(link, fd), mode);
    if (result != 0 && errno == ENOENT)
        result = (int)syscall(SYS_FCHMODAT2, fd, "", mode, AT_EMPTY_PATH);
    return result;
}

static bool xattrs_right(int fd, const struct stat *now, const struct attributes *wanted)
{
    return details_right(fd, now->st_mode, DETAILS_XATTRS, wanted->details);
}

/* Who may not write to a file may not change those of users, either, and its owner may let himself
 * do so for a moment: as rsync does. */
static int xattrs_set(int fd, const struct stat *now, const struct attributes *wanted)
{
    mode_t mode = now->st_mode & 07777;
    int result = details_set(fd, now->st_mode, DETAILS_XATTRS, wanted->details);
    if (result == -EACCES && !(mode & S_IWUSR) && set_mode(fd, mode | S_IWUSR) == 0) {
        result = details_set(fd, now->st_mode, DETAILS_XATTRS, wanted->details);
        (void)set_mode(fd, mode);
    }
    errno = -result;
    return result < 0 ? -1 : 0;
}

static bool acls_right(int fd, const struct stat *now, const struct attributes *wanted)
{
    return details_right(fd, now->st_mode, DETAILS_ACLS, wanted->details);
}

static int acls_set(int fd, const struct stat *now, const struct attributes *wanted)
{
    int result = details_set(fd, now->st_mode, DETAILS_ACLS, wanted->details);
    errno = -result;
    return result < 0 ? -1 : 0;
}

static bool mode_right(int fd, const struct stat *now, const struct attributes *wanted)
{
    (void)fd;
    return (now->st_mode & 07777) == wanted->facts.mode;
}

static int mode_set(int fd, const struct stat *now, const struct attributes *wanted)
{
    (void)now;
    return set_mode(fd, wanted->facts.mode);
}

/* What a file system keeps of a time: down to units of 100 ns (NTFS), 1 us, 1 ms, 10 ms (exFAT), a
 * second (ext3), two (FAT). It may round up. */
static bool time_kept(int64_t seen_ns, int64_t wanted_ns)
{
    static const int64_t units_ns[] = {1, 100, 1000, 1000000, 10000000, 1000000000, 2000000000};
    for (size_t i = 0; i < COUNT_OF(units_ns); i++) {
        int64_t apart_ns = seen_ns > wanted_ns ? seen_ns - wanted_ns : wanted_ns - seen_ns;
        if (seen_ns % units_ns[i] == 0 && apart_ns < units_ns[i])
            return true;
    }
    return false;
}

static bool times_right(int fd, const struct stat *now, const struct attributes *attributes)
{
    const struct facts seen = {.mtime_seconds = now->st_mtim.tv_sec,
                               .mtime_ns = (uint32_t)now->st_mtim.tv_nsec};
    int64_t seen_ns, wanted_ns;
    (void)fd;
    return evidence_near_times(&attributes->facts, &seen, &wanted_ns, &seen_ns) &&
           time_kept(seen_ns, wanted_ns);
}

static bool times_exact(const struct stat *now, const struct facts *wanted)
{
    return now->st_mtim.tv_sec == wanted->mtime_seconds &&
           (uint32_t)now->st_mtim.tv_nsec == wanted->mtime_ns;
}

/* Both times in numbers: file systems of libfuse 2 take UTIME_OMIT for one, and answer yes. */
static int times_set(int fd, const struct stat *now, const struct attributes *wanted)
{
    char link[TEXT_NUMBER_BYTES];
    const struct facts *facts = &wanted->facts;
    const struct timespec times[2] = {
        now->st_atim,
        {.tv_sec = (time_t)facts->mtime_seconds, .tv_nsec = (long)facts->mtime_ns},
    };
    int result = futimens(fd, times);
    if (result != 0 && errno == EBADF)
        result = utimensat(fd, "", times, AT_EMPTY_PATH); /* Linux 5.8 */
    if (result != 0 && errno == EINVAL)
        result = utimensat(AT_FDCWD, text_fd_link(link, fd), times, 0);
    return result;
}

static const struct attribute_row table[ATTRIBUTES_COUNT] = {
    [ATTRIBUTE_OWNER] = {"owner", owner_right, owner_set},
    [ATTRIBUTE_GROUP] = {"group", group_right, group_set},
    [ATTRIBUTE_XATTRS] = {"extended attributes", xattrs_right, xattrs_set},
    [ATTRIBUTE_ACLS] = {"access control list", acls_right, acls_set},
    [ATTRIBUTE_MODE] = {"permissions", mode_right, mode_set},
    [ATTRIBUTE_TIMES] = {"modification time", times_right, times_set},
};

const char *attributes_text(char out[ATTRIBUTES_TEXT_BYTES], uint8_t set)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < ATTRIBUTES_COUNT; i++) {
        if (!(set & ATTRIBUTE_BIT(i)))
            continue;
        int length = snprintf(out + used, ATTRIBUTES_TEXT_BYTES - used, "%s%s",
                              used > 0 ? ", " : "", table[i].name);
        assert(length > 0 && (size_t)length < ATTRIBUTES_TEXT_BYTES - used);
        used += (size_t)length;
    }
    return out;
}

/* ---- what is wanted of whom ---- */

static bool in_group(gid_t group)
{
    if (group == getegid())
        return true;
    int count = getgroups(0, NULL);
    AUTO_FREE gid_t *groups =
        count > 0 && count <= GROUPS_MAX ? calloc((size_t)count, sizeof(*groups)) : NULL;
    count = groups ? getgroups(count, groups) : 0;
    for (int i = 0; i < count; i++) {
        if (groups[i] == group)
            return true;
    }
    return false;
}

/* Only root gives files away, and with -a others give them to their own groups, as with rsync. By
 * default an ordinary user's target has the group that its folder gives it, as with cp: that is no
 * failure, unless just this was asked for. */
static bool attempted(enum attribute attribute, const struct attributes *wanted,
                      const struct stat *now)
{
    enum attribute_wish wish = (enum attribute_wish)wanted->wish[attribute];
    bool link = S_ISLNK(now->st_mode);
    if (attribute == ATTRIBUTE_XATTRS || attribute == ATTRIBUTE_ACLS)
        return wish >= ATTRIBUTE_ARCHIVE && wanted->details &&
               !(link && attribute == ATTRIBUTE_ACLS);
    if (wish == ATTRIBUTE_LEAVE || (link && attribute == ATTRIBUTE_MODE))
        return false;
    if (attribute > ATTRIBUTE_GROUP || wish == ATTRIBUTE_ASKED || geteuid() == 0)
        return true;
    return attribute == ATTRIBUTE_GROUP && wish == ATTRIBUTE_ARCHIVE && now->st_uid == geteuid() &&
           in_group(wanted->facts.gid);
}

/* Set-id bits mean another owner's rights: as with cp -p never without the owner, unless they were
 * asked for. Those that are there already give nothing away, nor do a folder's. */
static uint32_t mode_wanted(int fd, const struct attributes *wanted, const struct stat *now)
{
    bool owned = owner_right(fd, now, wanted) && group_right(fd, now, wanted);
    bool asked = wanted->wish[ATTRIBUTE_MODE] >= ATTRIBUTE_ARCHIVE;
    bool all = S_ISDIR(now->st_mode) || (wanted->set_id && (owned || asked));
    return wanted->facts.mode & ~(all ? 0 : SET_ID_BITS & ~now->st_mode);
}

/* Nobody has asked for this mode: it is the one that the file has itself, and its list, which comes
 * before it, has brought another one. */
static bool mode_is_the_lists(int fd, const struct attributes *wanted)
{
    return wanted->wish[ATTRIBUTE_MODE] == ATTRIBUTE_DEFAULT &&
           wanted->wish[ATTRIBUTE_ACLS] >= ATTRIBUTE_ARCHIVE && details_has_list(fd);
}

static bool asked_for(enum attribute attribute, const struct attributes *wanted)
{
    return wanted->wish[attribute] >= ATTRIBUTE_ARCHIVE;
}

/* A read-only mount, or what chattr(1) has fixed: no call changes anything there. */
static int fixed(int fd)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY)
        return EROFS;
    return file_marks(fd, "") & (FILE_MARK_IMMUTABLE | FILE_MARK_APPEND) ? EPERM : 0;
}

/* Would the call be refused? 0, or its error. */
static int refused(int fd, enum attribute attribute, const struct attributes *wanted,
                   const struct stat *now)
{
    char link[TEXT_NUMBER_BYTES];
    bool root = geteuid() == 0, ours = root || now->st_uid == geteuid();
    int errnum = fixed(fd);
    if (errnum)
        return errnum;
    switch (attribute) {
    case ATTRIBUTE_OWNER:
        return root ? 0 : EPERM;
    case ATTRIBUTE_GROUP:
        return root || (ours && in_group(wanted->facts.gid)) ? 0 : EPERM;
    case ATTRIBUTE_XATTRS:
        return ours || faccessat(AT_FDCWD, text_fd_link(link, fd), W_OK, 0) == 0 ? 0 : errno;
    default:
        return ours ? 0 : EPERM;
    }
}

/* What setting it does, without doing it: another owner's program is not one that runs as him. */
static void pretend(struct stat *now, enum attribute attribute, const struct attributes *wanted)
{
    bool owner = attribute == ATTRIBUTE_OWNER, group = attribute == ATTRIBUTE_GROUP;
    if (owner)
        now->st_uid = wanted->facts.uid;
    if (group)
        now->st_gid = wanted->facts.gid;
    if ((owner || group) && S_ISREG(now->st_mode))
        now->st_mode &= ~(mode_t)(S_ISUID | (now->st_mode & S_IXGRP ? S_ISGID : 0));
    if (attribute == ATTRIBUTE_ACLS)
        now->st_mode = details_mode(now->st_mode, wanted->details);
}

/* A file that is being given its attributes. */
struct attribute_file {
    int fd;
    const char *path;
    bool look;
    struct stat now; /* as it was seen last */
};

static int look_at(struct attribute_file *file, struct error *err)
{
    return fstat(file->fd, &file->now) == 0
               ? 0
               : error_set(err, errno, "%s: cannot be looked at", file->path);
}

/* One row: set what is wrong, look again. */
static int attribute_apply(struct attribute_file *file, enum attribute attribute,
                           const struct attributes *given, struct attributes_outcome *outcome,
                           struct error *err)
{
    const struct attribute_row *row = &table[attribute];
    const struct stat *now = &file->now;
    int fd = file->fd;
    bool owner = attribute == ATTRIBUTE_OWNER || attribute == ATTRIBUTE_GROUP;
    if ((owner && row->right(fd, now, given)) || !attempted(attribute, given, now))
        return 0;
    if (attribute == ATTRIBUTE_MODE && mode_is_the_lists(fd, given))
        return 0;
    struct attributes wanted = *given;
    if (attribute == ATTRIBUTE_MODE)
        wanted.facts.mode = mode_wanted(fd, given, now);
    bool withheld = attribute == ATTRIBUTE_MODE && wanted.facts.mode != given->facts.mode;
    /* A time is only left alone when it is the very one: what the target got by being written may
     * be near. */
    bool near = row->right(fd, now, &wanted), lost = false;
    if (!near ||
        (!file->look && attribute == ATTRIBUTE_TIMES && !times_exact(now, &wanted.facts))) {
        int errnum = 0;
        if (given->foretells)
            errnum = refused(fd, attribute, &wanted, now);
        else if (!file->look && row->set(fd, now, &wanted) != 0)
            errnum = errno;
        int result = file->look ? 0 : look_at(file, err);
        if (result < 0)
            return result;
        if (file->look && errnum == 0)
            pretend(&file->now, attribute, &wanted);
        bool right = file->look ? errnum == 0 : row->right(fd, now, &wanted);
        if (right && !near)
            outcome->changed |= ATTRIBUTE_BIT(attribute);
        if (!right && outcome->lost == 0)
            outcome->errnum = errnum;
        lost = !right;
    }
    if (lost || withheld)
        outcome->lost |= ATTRIBUTE_BIT(attribute);
    if ((lost || (withheld && given->set_id_asked)) && asked_for(attribute, given))
        outcome->asked |= ATTRIBUTE_BIT(attribute);
    return 0;
}

/* By the names of the source, and --chown over them. */
static int map_owners(struct attributes *wanted, struct error *err)
{
    bool given[2];
    if (wanted->names && wanted->owners)
        owners_map_both(wanted->owners, wanted->names, &wanted->facts);
    int result = wanted->chown ? owners_parse(wanted->chown, &wanted->facts, given, err) : 0;
    if (wanted->chown && given[OWNERS_USER])
        wanted->wish[ATTRIBUTE_OWNER] = ATTRIBUTE_ASKED;
    if (wanted->chown && given[OWNERS_GROUP])
        wanted->wish[ATTRIBUTE_GROUP] = ATTRIBUTE_ASKED;
    return result;
}

int attributes_apply(int fd, const char *path, const struct attributes *given, bool look,
                     struct attributes_outcome *outcome, struct error *err)
{
    struct attributes wanted = *given;
    struct attribute_file file = {.fd = fd, .path = path, .look = look};
    *outcome = (struct attributes_outcome){.changed = 0};
    int result = 0;
    if (given->seen)
        file.now = *given->seen;
    else
        result = look_at(&file, err);
    if (result < 0 || file_kind_of(file.now.st_mode) != given->facts.kind)
        return result;
    result = map_owners(&wanted, err);
    for (int i = 0; result == 0 && i < ATTRIBUTES_COUNT; i++)
        result = attribute_apply(&file, (enum attribute)i, &wanted, outcome, err);
    return result;
}

void attributes_add(struct attributes_outcome *sum, const struct attributes_outcome *one)
{
    sum->errnum = sum->lost ? sum->errnum : one->errnum;
    sum->changed |= one->changed;
    sum->lost |= one->lost;
    sum->asked |= one->asked;
}

/* ---- words ---- */

static const char *lost_why(const struct attributes *wanted,
                            const struct attributes_outcome *outcome, bool set_id_only)
{
    if (outcome->errnum)
        return strerror(outcome->errnum);
    if (!set_id_only)
        return "the file system has it otherwise";
    return wanted->set_id ? "the owner is another one (-p keeps them all the same)"
                          : wanted->why_no_set_id;
}

void attributes_tell(const char *path, const struct attributes *wanted,
                     const struct attributes_outcome *outcome, struct attributes_told *told)
{
    char names[ATTRIBUTES_TEXT_BYTES];
    bool set_id_only = outcome->lost == ATTRIBUTE_BIT(ATTRIBUTE_MODE) && outcome->errnum == 0 &&
                       wanted->facts.mode & SET_ID_BITS;
    if (outcome->lost == 0)
        return;
    attributes_text(names, outcome->lost);
    const char *what = set_id_only ? "set-user-ID and set-group-ID bits" : names;
    const char *why = lost_why(wanted, outcome, set_id_only);
    const uint32_t set = set_id_only ? ATTRIBUTE_BIT(ATTRIBUTES_COUNT) : outcome->lost;
    bool asked = outcome->asked;
    bool heard = !(set & ~atomic_fetch_or(asked ? &told->errors : &told->notes, set));
    log_line(heard   ? LOG_VERBOSE
             : asked ? LOG_ERROR
                     : LOG_NOTE,
             "%s: %s not kept%s: %s", path, what, asked ? ", which was asked for" : "", why);
}

void attributes_count(uint64_t counts[ATTRIBUTES_COUNT], uint8_t lost)
{
    for (int i = 0; i < ATTRIBUTES_COUNT; i++)
        counts[i] += lost & ATTRIBUTE_BIT(i) ? 1 : 0;
}

/* ---- --chmod ---- */

/* "644", up to "7777". */
static bool parse_octal(const char *clause, size_t length, struct mode_change *change)
{
    uint32_t bits = 0;
    if (length == 0 || length > 5)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (clause[i] < '0' || clause[i] > '7')
            return false;
        bits = bits * 8 + (uint32_t)(clause[i] - '0');
    }
    *change = (struct mode_change){.who = 07777, .bits = bits, .operation = '='};
    return bits <= 07777;
}

/* One letter behind the operation. */
static bool parse_right(char letter, struct mode_change *change)
{
    static const struct {
        char letter;
        uint32_t bits, copied;
    } rights[] = {{'r', 0444, 0},
                  {'w', 0222, 0},
                  {'x', 0111, 0},
                  {'X', 0, 0},
                  {'s', S_ISUID | S_ISGID, 0},
                  {'t', S_ISVTX, 0},
                  {'u', 0, 0400},
                  {'g', 0, 0040},
                  {'o', 0, 0004}};
    for (size_t i = 0; i < COUNT_OF(rights); i++) {
        if (rights[i].letter != letter)
            continue;
        change->bits |= rights[i].bits;
        change->copied |= rights[i].copied;
        change->execute_kept |= letter == 'X';
        return true;
    }
    return false;
}

static uint32_t who_bits(char letter)
{
    switch (letter) {
    case 'u':
        return 04700;
    case 'g':
        return 02070;
    case 'o':
        return 00007;
    default:
        return letter == 'a' ? 06777 : 0;
    }
}

/* "ugo+rwx", and more operations behind it: "u=rw-x". Adds them; false: it is none. */
static bool parse_symbolic(struct mode_changes *changes, const char *clause, size_t length)
{
    uint32_t who = 0;
    size_t at = 0;
    while (at < length && who_bits(clause[at]))
        who |= who_bits(clause[at++]);
    if (at == length)
        return false;
    while (at < length) {
        struct mode_change change = {.who = who, .operation = clause[at]};
        if (!strchr("+-=", clause[at++]))
            return false;
        while (at < length && !strchr("+-=", clause[at])) {
            if (!parse_right(clause[at++], &change))
                return false;
        }
        if (changes->count == MODE_CHANGES_MAX)
            return false;
        changes->items[changes->count++] = change;
    }
    return true;
}

bool mode_changes_parse(struct mode_changes *changes, const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ",");
        struct mode_changes parsed = {.count = 0};
        bool folders = text[0] == 'D', files = text[0] == 'F';
        size_t mark = folders || files ? 1 : 0;
        if (parse_octal(text + mark, length - mark, &parsed.items[0]))
            parsed.count = 1;
        else if (!parse_symbolic(&parsed, text + mark, length - mark))
            return false;
        if (parsed.count > MODE_CHANGES_MAX - changes->count)
            return false;
        for (uint32_t i = 0; i < parsed.count; i++) {
            parsed.items[i].files = !folders;
            parsed.items[i].folders = !files;
            changes->items[changes->count++] = parsed.items[i];
        }
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

/* The three bits of one class (0400, 0040, 0004 say which), for all three. */
static uint32_t class_everywhere(uint32_t mode, uint32_t class)
{
    uint32_t shift = class == 0400 ? 6 : class == 0040 ? 3 : 0;
    return (mode >> shift & 7) * 0111;
}

static uint32_t mode_change_apply(const struct mode_change *change, uint32_t mode,
                                  uint32_t umask_bits, bool folder)
{
    uint32_t who = change->who ? change->who : 07777 & ~umask_bits;
    uint32_t bits = change->bits;
    for (uint32_t class = 0400; class; class >>= 3)
        bits |= change->copied & class ? class_everywhere(mode, class) : 0;
    if (change->execute_kept && (folder || mode & 0111))
        bits |= 0111;
    /* The sticky bit belongs to nobody: it goes with "a", and with no letter at all. */
    if (who & 0777 && (bits & S_ISVTX) && (!change->who || (change->who & 0777) == 0777))
        who |= S_ISVTX;
    switch (change->operation) {
    case '+':
        return mode | (bits & who);
    case '-':
        return mode & ~(bits & who);
    default:
        return (mode & ~who) | (bits & who);
    }
}

uint32_t mode_changes_apply(const struct mode_changes *changes, uint32_t mode, uint32_t umask_bits,
                            bool folder)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        const struct mode_change *change = &changes->items[i];
        if (folder ? change->folders : change->files)
            mode = mode_change_apply(change, mode, umask_bits, folder);
    }
    return mode & 07777;
}
