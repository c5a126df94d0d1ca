/* evidence_take.c - finds out what evidence.h asks for: of files from statx, statfs and two ioctls,
 * of block devices from /sys. */
#include "haul/disk/evidence.h"

#include "haul/base/bytes.h"
#include "haul/base/cleanup.h"
#include "haul/base/clock.h"
#include "haul/base/hash.h"
#include "haul/disk/file.h"
#include "haul/disk/filesystem.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>

/* statx(2) as the kernel lays it out, as in file.c. */
enum { STATX_BYTES = 256, STATX_BTIME_AT = 0x50, STATX_WANT_BTIME = 0x800 };

/* Not in the headers of older kernels: Linux 6.9, include/uapi/linux/fs.h; Linux 5.15. */
struct filesystem_uuid {
    uint8_t length;
    uint8_t bytes[16];
};
#define IOCTL_FILESYSTEM_UUID _IOR(0x15, 0, struct filesystem_uuid)
#define IOCTL_DISK_SEQUENCE   _IOR(0x12, 128, uint64_t)

#define IDENTITY_SEED UINT64_C(0x6861756c2d696464) /* "haul-idd" */
#define CHANGE_SEED   UINT64_C(0x6861756c2d636867) /* "haul-chg" */
#define MACHINE_SEED  UINT64_C(0x6861756c2d6d6163) /* "haul-mac" */

enum { EXT_TYPE = 0xEF53, BTRFS_TYPE = 0x9123683e, FUSE_TYPE = 0x65735546 };
enum { NS_NTFS = 100, NS_UDF = 1000, NS_EXFAT = 10 * 1000 * 1000, NS_SECOND = 1000 * 1000 * 1000 };
#define NS_FAT 2000000000u

/* What kinds of file systems keep. Those that are not listed: nobody tells (network, FUSE,
 * overlay); the times themselves show it. */
static const struct filesystem_rule {
    uint32_t type;
    uint32_t granularity_ns; /* 0: the content moves and no time does */
    bool keeps_change;
} rules[] = {
    {EXT_TYPE, 1, true}, /* with small inodes: see below */
    {FILESYSTEM_XFS, 1, true},
    {BTRFS_TYPE, 1, true},         /* btrfs */
    {0x01021994, 1, true},         /* tmpfs */
    {0x858458f6, 1, true},         /* ramfs */
    {0xF2F52010, 1, true},         /* f2fs */
    {0x2fc12fc1, 1, true},         /* ZFS */
    {0xca451a4e, 1, true},         /* bcachefs */
    {0x3153464a, 1, true},         /* jfs */
    {0x794c7630, 1, true},         /* overlayfs, of one of these */
    {0x4d44, NS_FAT, false},       /* FAT: its change time is its modification time */
    {0x2011BAB0, NS_EXFAT, false}, /* exFAT: the same */
    {0x5346544e, NS_NTFS, true},   /* NTFS, both drivers of the kernel */
    {0x7366746e, NS_NTFS, true},   /* */
    {0x15013346, NS_UDF, true},    /* UDF */
    {0x52654973, NS_SECOND, true}, /* reiserfs */
    {0x482b, NS_SECOND, true},     /* HFS+ */
    {0x72b6, NS_SECOND, true},     /* JFFS2 */
    /* What is made as a whole, with one time for each file; and another image of the same name,
     * with the same numbers of inodes, may be mounted the next time. */
    {0x9660, NS_SECOND, false},     /* ISO 9660 */
    {0x73717368, NS_SECOND, false}, /* squashfs */
    {0xe0f5e1e2, 1, false},         /* EROFS */
    {0x28cd3d45, NS_SECOND, false}, /* cramfs */
    {0x7275, NS_SECOND, false},     /* romfs */
    {0x9fa0, 0, false},             /* /proc */
    {0x62656572, 0, false},         /* /sys */
    {0x64626720, 0, false},         /* debugfs */
    {0x74726163, 0, false},         /* tracefs */
    {0x73636673, 0, false},         /* securityfs */
    {0x27e0eb, 0, false},           /* cgroup */
    {0x63677270, 0, false},         /* cgroup2 */
    {0x62656570, 0, false},         /* configfs */
    {0xde5e81e4, 0, false},         /* efivarfs */
    {0x6165676c, 0, false},         /* pstore */
    {0xf97cff8c, 0, false},         /* selinuxfs */
    {0xcafe4a11, 0, false},         /* bpf */
};

static const struct filesystem_rule *rule_of(uint32_t type)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (rules[i].type == type)
            return &rules[i];
    return NULL;
}

/* A small file of /sys or /proc, or as much of it as fits. Its length; 0: there is none. */
static size_t read_small(const char *path, void *out, size_t capacity)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd < 0 ? -1 : read(fd, out, capacity);
    return got > 0 ? (size_t)got : 0;
}

/* A constant, as long as the machine runs: it is read once, by whoever comes first. */
static uint64_t machine_id(void)
{
    static _Atomic uint64_t known;
    char boot[64];
    uint64_t machine = known;
    if (machine != 0)
        return machine;
    size_t length = read_small("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
    known = machine = length > 0 ? checksum_of(boot, length, MACHINE_SEED) : 0;
    return machine;
}

/* 0 means "not known", so a checksum never is. */
static uint64_t number_of(const struct bytes *bytes, uint64_t seed)
{
    uint64_t value = checksum_of(bytes->data, bytes->length, seed);
    return value != 0 ? value : 1;
}

/* ---- files ---- */

bool evidence_birth(int fd, uint8_t out[EVIDENCE_BIRTH_BYTES])
{
    _Alignas(8) uint8_t raw[STATX_BYTES] = {0};
    uint32_t mask;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_WANT_BTIME, raw) != 0)
        return false;
    memcpy(&mask, raw, sizeof(mask));
    memcpy(out, raw + STATX_BTIME_AT, EVIDENCE_BIRTH_BYTES);
    return (mask & STATX_WANT_BTIME) != 0;
}

/* The file system's name for itself, which a mount on another device does not change; where it does
 * not tell (before Linux 6.9), the number that statfs gives. Both for btrfs, whose subvolumes count
 * their inodes alike. */
static void put_filesystem(struct bytes *bytes, int fd, const struct statfs *fs)
{
    struct filesystem_uuid uuid = {0};
    bool told = ioctl(fd, IOCTL_FILESYSTEM_UUID, &uuid) == 0 && uuid.length > 0 &&
                uuid.length <= sizeof(uuid.bytes);
    if (told)
        bytes_put_raw(bytes, uuid.bytes, uuid.length);
    if (!told || (uint32_t)fs->f_type == BTRFS_TYPE)
        bytes_put_raw(bytes, &fs->f_fsid, sizeof(fs->f_fsid));
}

static uint64_t file_identity(int fd, const struct stat *st, const struct statfs *fs,
                              const uint8_t birth[EVIDENCE_BIRTH_BYTES])
{
    uint8_t data[64];
    struct bytes bytes = bytes_writer(data, sizeof(data));
    long generation = 0;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_PATH)) /* no ioctl: half of it would be another identity */
        return 0;
    (void)ioctl(fd, FS_IOC_GETVERSION, &generation);
    put_filesystem(&bytes, fd, fs);
    bytes_put_u64(&bytes, st->st_ino);
    bytes_put_raw(&bytes, birth, EVIDENCE_BIRTH_BYTES);
    bytes_put_u32(&bytes, (uint32_t)generation);
    return number_of(&bytes, IDENTITY_SEED);
}

static uint64_t change_time(const struct facts *facts)
{
    uint64_t seconds = (uint64_t)facts->ctime_seconds * NS_PER_SECOND; /* mod 2^64 is as good */
    return seconds + facts->ctime_ns;
}

/* Inodes of 128 bytes, as ext3 makes them, have room for whole seconds only, and none for the time
 * of birth (fs/ext4/ext4.h: EXT4_FITS_IN_INODE). 0: nobody tells. */
static uint32_t granularity_of(const struct filesystem_rule *rule, bool born)
{
    if (rule && rule->type == EXT_TYPE && !born)
        return NS_SECOND;
    return rule ? rule->granularity_ns : 0;
}

/* What its times prove, on a file system of this type. */
static void take_times(struct facts *facts, uint32_t type, bool born)
{
    struct evidence *evidence = &facts->evidence;
    const struct filesystem_rule *rule = rule_of(type);
    if (rule && rule->granularity_ns == 0)
        return;
    bool same_stamp = facts_mtime_is_ctime(facts);
    /* Some FUSE servers give the modification time for both (sshfs, exfat-fuse). */
    bool unsure = type == FUSE_TYPE && same_stamp;
    evidence->granularity_ns = granularity_of(rule, born);
    evidence->keeps_change = rule ? rule->keeps_change : !unsure;
    evidence->change = evidence->keeps_change ? change_time(facts) : 0;
    evidence->grade = evidence->keeps_change ? EVIDENCE_STRONG : EVIDENCE_WEAK;
    if (type == FUSE_TYPE && facts->size_bytes == 0)
        evidence->grade = EVIDENCE_NONE; /* perhaps only not known yet */
    /* Whoever has mapped a file of these writes it, and no time moves after the first page fault:
     * nothing is ever written back from there. */
    if (filesystem_is_memory(type) && evidence->grade == EVIDENCE_STRONG)
        evidence->grade = EVIDENCE_WEAK;
}

static void take_file(struct facts *facts, int fd, const struct stat *st)
{
    struct evidence *evidence = &facts->evidence;
    uint8_t birth[EVIDENCE_BIRTH_BYTES] = {0};
    struct statfs fs = {0};
    evidence->medium_device = st->st_dev;
    evidence->medium_inode = st->st_ino;
    if (fstatfs(fd, &fs) != 0)
        return;
    bool born = evidence_birth(fd, birth);
    evidence->identity = file_identity(fd, st, &fs, birth);
    take_times(facts, (uint32_t)fs.f_type, born);
}

/* ---- block devices ---- */

/* Where /sys describes a device; for a partition, its disk is the folder above. */
struct sys_device {
    char own[64];
    char disk[80];
    bool partition;
};

static void sys_find(struct sys_device *sys, const struct stat *st)
{
    char path[128];
    uint8_t number[8];
    snprintf(sys->own, sizeof(sys->own), "/sys/dev/block/%u:%u", major(st->st_rdev),
             minor(st->st_rdev));
    snprintf(path, sizeof(path), "%s/partition", sys->own);
    sys->partition = read_small(path, number, sizeof(number)) > 0;
    snprintf(sys->disk, sizeof(sys->disk), "%s%s", sys->own, sys->partition ? "/.." : "");
}

static size_t sys_read(const char *folder, const char *name, char *out, size_t capacity)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    size_t length = read_small(path, out, capacity - 1);
    out[length] = '\0';
    return length;
}

static uint64_t sys_number(const char *folder, const char *name)
{
    char text[64];
    return sys_read(folder, name, text, sizeof(text)) > 0 ? strtoull(text, NULL, 10) : 0;
}

/* Counts the disks and media that came since the machine was started (Linux 5.15). */
static uint64_t disk_sequence(int fd, const struct sys_device *sys)
{
    uint64_t sequence = 0;
    if (ioctl(fd, IOCTL_DISK_SEQUENCE, &sequence) == 0 && sequence != 0)
        return sequence;
    return sys_number(sys->disk, "diskseq");
}

/* By what is behind the node: the same for every name of it, another one for another stick, image
 * or table. */
static uint64_t device_identity(const struct facts *facts, int fd, const struct sys_device *sys)
{
    static const char *const names[] = {
        "serial",          "wwid",    "device/serial", "device/wwid",       "device/cid",
        "device/vpd_pg80", "dm/uuid", "md/uuid",       "loop/backing_file", "loop/offset"};
    uint8_t data[COUNT_OF(names) * 256 + 64];
    struct bytes bytes = bytes_writer(data, sizeof(data));
    uint64_t sequence = disk_sequence(fd, sys);
    bool known = sequence != 0;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char text[256];
        size_t length = sys_read(sys->disk, names[i], text, sizeof(text));
        bytes_put_raw(&bytes, text, length);
        known |= length > 0;
    }
    if (!known || facts->evidence.machine == 0)
        return 0;
    bytes_put_u64(&bytes, sequence);
    bytes_put_u64(&bytes, facts->evidence.machine); /* the sequence begins anew with each start */
    bytes_put_u64(&bytes, facts->size_bytes);
    bytes_put_u64(&bytes, facts->evidence.medium_offset);
    return number_of(&bytes, IDENTITY_SEED);
}

/* Where the bytes lie: a loop device's in its file. */
static void device_medium(struct evidence *evidence, const struct stat *st,
                          const struct sys_device *sys, struct stat *behind)
{
    char text[4096];
    unsigned major_number, minor_number;
    evidence->medium_device = st->st_rdev;
    if (sys->partition) {
        evidence->medium_offset = sys_number(sys->own, "start") * 512;
        if (sys_read(sys->disk, "dev", text, sizeof(text)) > 0 &&
            sscanf(text, "%u:%u", &major_number, &minor_number) == 2)
            evidence->medium_device = makedev(major_number, minor_number);
    }
    size_t length = sys_read(sys->disk, "loop/backing_file", text, sizeof(text));
    text[length > 0 ? length - 1 : 0] = '\0'; /* the line's end */
    if (length == 0 || stat(text, behind) != 0)
        return;
    evidence->medium_device = behind->st_dev;
    evidence->medium_inode = behind->st_ino;
    evidence->medium_offset += sys_number(sys->disk, "loop/offset");
}

/* Writes and discards that went through the device since the machine was started, through whatever
 * node or mounted file system (Documentation/block/stat.rst); and the file behind a loop device,
 * which may be written beside it (not for a partition: its neighbours write that file, too). 0:
 * nobody counts. */
static uint64_t device_change(const struct sys_device *sys, const struct stat *behind)
{
    char text[512];
    uint8_t data[128];
    unsigned long long figures[15] = {0};
    struct bytes bytes = bytes_writer(data, sizeof(data));
    char *at = text;
    if (sys_read(sys->own, "stat", text, sizeof(text)) == 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(figures); i++)
        figures[i] = strtoull(at, &at, 10);
    char counted[8] = "1";
    (void)sys_read(sys->disk, "queue/iostats", counted, sizeof(counted));
    if (counted[0] == '0' && behind->st_ino == 0)
        return 0;
    /* Sectors written and discarded, not how many times: a flush counts as a write of none. */
    static const uint8_t wanted[] = {6, 13};
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        bytes_put_u64(&bytes, figures[wanted[i]]);
    bytes_put_u64(&bytes, (uint64_t)behind->st_mtim.tv_sec);
    bytes_put_u64(&bytes, (uint64_t)behind->st_mtim.tv_nsec);
    bytes_put_u64(&bytes, (uint64_t)behind->st_ctim.tv_sec);
    bytes_put_u64(&bytes, (uint64_t)behind->st_ctim.tv_nsec);
    return number_of(&bytes, CHANGE_SEED);
}

static void take_device(struct facts *facts, int fd, const struct stat *st)
{
    struct sys_device sys;
    struct stat behind = {0};
    sys_find(&sys, st);
    device_medium(&facts->evidence, st, &sys, &behind);
    facts->evidence.identity = device_identity(facts, fd, &sys);
    if (sys.partition)
        behind = (struct stat){0};
    facts->evidence.change = device_change(&sys, &behind);
}

static void take_moment(struct evidence *evidence)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* cannot fail on Linux */
    *evidence = (struct evidence){
        .machine = machine_id(),
        .seen_ns = (int64_t)now.tv_sec * (int64_t)NS_PER_SECOND + now.tv_nsec,
    };
}

void evidence_take_place(struct facts *facts, const struct stat *st)
{
    take_moment(&facts->evidence);
    facts->evidence.medium_device = st->st_dev;
    facts->evidence.medium_inode = st->st_ino;
}

void evidence_take_coarseness(struct facts *facts, int fd)
{
    uint8_t birth[EVIDENCE_BIRTH_BYTES];
    facts->evidence.granularity_ns = 1;
    if (facts->mtime_ns % NS_NTFS != 0)
        return;
    const struct filesystem_rule *rule = rule_of((uint32_t)filesystem_type(fd));
    bool born =
        !rule || rule->type != EXT_TYPE || facts->ctime_ns != 0 || evidence_birth(fd, birth);
    facts->evidence.granularity_ns = granularity_of(rule, born);
}

void evidence_take_open(struct facts *facts, int fd, const struct stat *st, uint64_t filesystem)
{
    uint8_t birth[EVIDENCE_BIRTH_BYTES];
    evidence_take_place(facts, st);
    /* Whether it was born is asked only where that tells how fine its times are, and they do not
     * tell it by themselves. */
    bool born = filesystem != EXT_TYPE || facts->ctime_ns != 0 || evidence_birth(fd, birth);
    take_times(facts, (uint32_t)filesystem, born);
}

void evidence_take(struct facts *facts, int fd, const struct stat *st)
{
    take_moment(&facts->evidence);
    if (facts->kind == FILE_REGULAR)
        take_file(facts, fd, st);
    else if (facts->kind == FILE_DEVICE)
        take_device(facts, fd, st);
}
