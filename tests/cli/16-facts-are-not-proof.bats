#!/usr/bin/env bats
# Goal: size, time and name of a file say what it may be, not what is in it. Where they prove nothing (devices, times that
# are coarse, just now or put back, files that tell no size) the content is compared, and what cannot be compared is
# refused; so exit 0 is said of a target that has the source's bytes, and of no other.

load ../lib/common
load ../lib/resume

MAKE_EXT4="mkfs.ext4 -q -F -E nodiscard"

# A loop device of ./image: LOOP.
loop_of() { # IMAGE [OPTIONS...]
    requires root loop
    LOOP=$(losetup --find --show "${@:2}" "$1")
    cleanup_fn loop_detach "$LOOP"
}

# Another image behind a device that may only be read; detached in between, it could be somebody else's at once.
loop_change() { # DEVICE IMAGE
    /usr/bin/python3 -c 'import fcntl, os, sys
LOOP_CHANGE_FD = 0x4C06
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), LOOP_CHANGE_FD, os.open(sys.argv[2], os.O_RDONLY))' "$1" "$2"
}

# A mounted file system on a loop device: LOOP and its folder ./mounted.
mounted_loop() { # SIZE [MKFS-OPTIONS...]
    truncate -s "$1" image
    loop_of image --direct-io=on
    $MAKE_EXT4 "${@:2}" "$LOOP"
    mkdir -p mounted
    mount "$LOOP" mounted
    cleanup_fn unmount_if "$SCRATCH/mounted"
}

unmount_if() {
    ! mountpoint -q "$1" || unmount "$1"
}

delete_partition() {
    waits_until 60 partx --delete --nr "$2" "$1" 2>/dev/null # it may be closed in a moment
}

# Changes the device as a user does: through the file system on it.
change_by_mount() { # FILE
    mount "$LOOP" mounted
    head -c 1M /dev/urandom >"mounted/$1"
    unmounted mounted "$LOOP"
    sync "$LOOP"
}

# Stops a copy that runs slowly, when it has some of the target in its journal.
half_copied() { # OPTIONS... SOURCE TARGET
    interrupt $((4 * MIB)) INT "${SLICE[@]}" --bwlimit=12M "$@"
    expect_status 20
}

kept_all() {
    expect_receipt .bytes_copied 0
    expect_receipt .up_to_date false
}

# --- devices: never up to date ----------------------------------------------------------------------------------------

@test "a device is compared by content, whatever the times say, by each of its names" {
    local option name
    requires root loop
    truncate -s 16M image
    loop_of image --direct-io=on
    $MAKE_EXT4 "$LOOP"
    mkdir mounted
    ln -s "$LOOP" link
    mknod node b $((0x$(stat -c %t "$LOOP"))) $((0x$(stat -c %T "$LOOP")))
    copied "$LOOP" target
    for option in "" --append --append-verify --modify-window=3; do
        for name in "$LOOP" link node; do
            touch -r "$name" target
            change_by_mount "file$RANDOM"
            copied $option "$name" target
            same image target
            expect_receipt .up_to_date false
        done
    done
}

@test "another medium behind the node of a half copied device: no mixture" {
    local option
    random_file one 16M 1
    random_file two 16M 2
    JOURNAL=.target.haul
    for option in "" --append --append-verify; do
        rm -f target
        loop_of one -r
        half_copied "$LOOP" target
        loop_change "$LOOP" two
        copied $option "$LOOP" target
        same two target
        losetup -d "$LOOP"
    done
}

# An image of EROFS with one file, as any builder makes it who gives each image the same times: the rest is the same.
erofs_with() { # IMAGE FILE
    /usr/bin/python3 - "$@" <<'END'
import struct, sys
image, data = open(sys.argv[1], "wb"), open(sys.argv[2], "rb").read()
names = [(b".", 0, 2), (b"..", 0, 2), (b"data", 1, 1)]
entries, text = b"", b""
for name, nid, kind in names:
    entries += struct.pack("<QHBB", nid, 12 * len(names) + len(text), kind, 0)
    text += name
def inode(mode, links, size, block, number):
    return struct.pack("<HHHHIIIIHHI", 0, 0, mode, links, size, 0, block, number, 0, 0, 0)
blocks = 3 + len(data) // 4096
image.write(struct.pack("<1024xIIIBBHQQIIII", 0xE0F5E1E2, 0, 0, 12, 0, 0, 2, 10**9, 0, blocks, 1, 0).ljust(4096, b"\0"))
image.write((inode(0o40755, 2, len(entries + text), 2, 1) + inode(0o100644, 1, len(data), 3, 2)).ljust(4096, b"\0"))
image.write((entries + text).ljust(4096, b"\0") + data)
END
}

@test "two images of a file system that has only one time for each file: the journal of one is not taken for the other's" {
    requires root loop
    local which option
    JOURNAL=.target.haul
    mkdir mounted
    for which in 1 2; do
        random_file data 12M "$which"
        erofs_with "$which.img" data
    done
    for option in "" --append; do
        mount -t erofs -o loop 1.img mounted
        cleanup_fn unmount_if "$SCRATCH/mounted"
        half_copied mounted/data target
        umount mounted
        mount -t erofs -o loop 2.img mounted
        copied $option mounted/data target
        same mounted/data target
        umount mounted
        rm target
    done
}

@test "a device that was written between two runs: what the journal lists is compared, --append too" {
    local option
    random_file image 16M
    loop_of image --direct-io=on
    mknod node b $((0x$(stat -c %t "$LOOP"))) $((0x$(stat -c %T "$LOOP")))
    JOURNAL=.target.haul
    for option in "" --append; do
        rm -f target
        half_copied "$LOOP" target
        dd if=/dev/urandom of=node bs=4096 count=1 seek=3 oflag=direct conv=notrunc status=none
        copied $option "$LOOP" target
        same image target
    done
}

@test "two file systems with files of the same inode, size and time: the journal of one is not taken for the other's" {
    local which
    requires root loop
    JOURNAL=.target.haul
    for which in one two; do
        mkdir "$which"
        truncate -s 24M "$which.img"
        $MAKE_EXT4 "$which.img"
        mount -o loop "$which.img" "$which"
        cleanup_fn unmount "$SCRATCH/$which"
        random_file "$which/data" 12M "$(stat -c %s "$which.img")"
        touch -d '2001-01-01' "$which/data"
    done
    "$TOOLS/fill" --seed=7 two/data 12M
    touch -d '2001-01-01' two/data
    expect "inode" "$(stat -c %i one/data)" "$(stat -c %i two/data)"
    half_copied one/data target
    copied two/data target
    same two/data target
}

# --- devices that change in mid-copy ----------------------------------------------------------------------------------

# The copy is slow, and stands still when some of the target is there; then CHANGE is run.
changed_meanwhile() { # SOURCE CHANGE...
    rm -f target
    begin --bwlimit=8M --memory=1M --chunk-size=256K "$1" target
    meanwhile target $MIB "${@:2}"
    finished
}

write_and_sync() {
    head -c 100K /dev/urandom >mounted/new
    sync -f mounted
}

@test "a device that is changed through its file system in mid-copy: 41; one that is only read: 0" {
    mounted_loop 16M
    changed_meanwhile "$LOOP" write_and_sync
    expect_status 41
    expect_clear_error
    mount -o remount,ro mounted
    changed_meanwhile "$LOOP" ls mounted
    expect_status 0
    same image target
}

# A DOS table of two partitions of 16 MiB, in the last 66 bytes of the first sector: type 0x83, first sector, sectors.
table_write() { # FILE
    printf '\0\0\0\0\x83\0\0\0\0\x08\0\0\0\x80\0\0\0\0\0\0\x83\0\0\0\0\x88\0\0\0\x80\0\0' |
        dd of="$1" bs=1 seek=446 conv=notrunc status=none
    printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
}

# partx tells the kernel of them, which need not know such tables.
@test "a partition that is changed in mid-copy: 41; its neighbour may be" {
    requires partx
    truncate -s 40M image
    table_write image
    loop_of image --direct-io=on
    local number # they outlive the loop device unless they are taken away
    for number in 1 2; do
        partx --delete --nr $number "$LOOP" 2>/dev/null || : # of a test that was killed
        partx --add --nr $number "$LOOP"
        cleanup_fn delete_partition "$LOOP" $number
    done
    $MAKE_EXT4 "${LOOP}p1"
    $MAKE_EXT4 "${LOOP}p1"
    mkdir mounted
    mount "${LOOP}p1" mounted
    cleanup_fn unmount "$SCRATCH/mounted"
    changed_meanwhile "${LOOP}p1" write_and_sync
    expect_status 41
    changed_meanwhile "${LOOP}p2" write_and_sync
    expect_status 0
    changed_meanwhile "$LOOP" write_and_sync
    expect_status 41
    copy --write-devices target "$LOOP" # a partition of it is mounted
    expect_status 43
    expect_words 'mounted on'
}

@test "a loop device whose file is written beside it in mid-copy: 41" {
    random_file image 12M
    loop_of image
    changed_meanwhile "$LOOP" dd if=/dev/urandom of=image bs=4096 count=1 seek=5 conv=notrunc status=none
    expect_status 41
}

# --- devices that are written -----------------------------------------------------------------------------------------

@test "a device that is mounted or swap is not written: one line, before the first byte" {
    mounted_loop 16M
    echo content >mounted/file
    sync -f mounted
    random_file source 1M
    ln -s "$LOOP" link
    for target in "$LOOP" link; do
        copy --write-devices source "$target"
        expect_status 43
        expect_clear_error
        expect_words "mounted on $SCRATCH/mounted"
    done
    [ "$(cat mounted/file)" = content ]
    mount -o remount,ro mounted
    copy --write-devices source "$LOOP"
    expect_status 43
    unmounted mounted "$LOOP"
    e2fsck -fn "$LOOP" >fsck
    mkswap "$LOOP" >/dev/null
    if swapon "$LOOP" 2>/dev/null; then
        cleanup_fn swapoff "$LOOP"
        copy --write-devices source "$LOOP"
        expect_status 43
        expect_words 'used as swap'
        swapoff "$LOOP"
    fi
    copied --write-devices source "$LOOP"
    cmp -n 1M source image
}

# A flush is counted as a write of no sectors, and whoever closes a device flushes it.
@test "two copies from one device beside each other: both 0" {
    random_file image 4M
    loop_of image
    "$HAUL" -q --bwlimit=4M "$LOOP" slow 3>&- &
    local slow=$!
    cleanup_fn end_quietly "$slow"
    until [ -e slow ]; do
        kill -0 "$slow"
        nap 0.01
    done
    copied "$LOOP" quick
    blockdev --flushbufs "$LOOP"
    wait "$slow"
    same image quick
    same image slow
}

@test "verify and a copy from it need no device for themselves" {
    mounted_loop 8M
    mount -o remount,ro mounted
    copied "$LOOP" target
    haul verify target "$LOOP"
    haul verify "$LOOP" target
}

@test "a disk is not copied onto itself by another name, nor onto what lies behind it" {
    random_file image 8M
    cp image before
    loop_of image
    mknod node b $((0x$(stat -c %t "$LOOP"))) $((0x$(stat -c %T "$LOOP")))
    ln image other
    local pair
    for pair in "$LOOP node" "node $LOOP" "$LOOP image" "image $LOOP" "image other"; do
        # shellcheck disable=SC2086
        copy -I --write-devices $pair
        expect_status 1
        expect_words 'same'
    done
    same image before
}

# --- sizes ------------------------------------------------------------------------------------------------------------

@test "a file of /proc that tells no size is copied with its content, and never empties the target" {
    local file
    for file in /proc/version /proc/filesystems /sys/kernel/mm/transparent_hugepage/enabled; do
        [ -r "$file" ] || continue
        random_file target 1M
        copied "$file" target
        cmp "$file" target
        expect_receipt .bytes_total "$(cat "$file" | wc -c)"
        haul verify "$file" target
        copied "$file" target
        cmp "$file" target
        expect_receipt .up_to_date false
    done
    : >empty
    copied empty target
    [ -e target ] && [ ! -s target ]
}

@test "a device without a medium empties nothing" {
    requires root loop
    random_file target 1M
    cp target before
    : >nothing
    loop_of nothing
    copy "$LOOP" target
    expect_status 11
    expect_clear_error
    expect_words 'no medium'
    same target before
}

# --- times ------------------------------------------------------------------------------------------------------------

@test "whole seconds: a copy that is killed within the second of its source is not finished" {
    local attempt
    mounted_loop 64M -I 128
    for attempt in 1 2 3; do
        rm -f mounted/source mounted/target mounted/.target.haul
        random_file mounted/source 12M "$attempt"
        begin --bwlimit=16M mounted/source mounted/target
        wait_for_data mounted/target $((3 * MIB)) KILL
        finished
        chmod 644 mounted/target 2>/dev/null || : # another status change, long after
        copied mounted/source mounted/target
        same mounted/source mounted/target
    done
    copied mounted/source mounted/target
    expect_receipt .up_to_date true
}

@test "whole seconds: a source that is written in the second of its copy is seen" {
    mounted_loop 32M -I 128
    random_file mounted/source 8M
    changed_meanwhile mounted/source "$TOOLS/fill" --flip=7000000 mounted/source
    expect_status 41
}

@test "whole seconds: folders, links and nodes are up to date, too, and differ by seconds" {
    local target
    far_is_here
    mounted_loop 32M -I 128
    mkdir -p source/folder/in
    ln -s nowhere source/folder/link
    mkfifo source/fifo
    echo x >source/folder/file
    find source -depth -exec touch -h -d '2001-02-03 04:05:06.789' {} +
    for target in mounted/here "far:$SCRATCH/mounted/there"; do
        copied "${far[@]}" -aX source/ "$target"
        copied "${far[@]}" -aX source/ "$target"
        expect_receipt .outcome "up to date"
        expect "what would be done" "$(haul "${far[@]}" -aXni source/ "$target" | grep '^[.<>ch]')" ""
    done
    touch -h -d '2001-02-03 04:05:13.5' source/folder/in source/folder/link source/fifo
    touch -h -d '2001-02-03 04:05:06.789' source/folder source
    for target in mounted/here "far:$SCRATCH/mounted/there"; do
        expect "what is done" "$(haul "${far[@]}" -aXi source/ "$target" | grep '^[.<>ch]' | sort)" \
            $'.L..t...... folder/link -> nowhere\n.S..t...... fifo\n.d..t...... folder/in/'
    done
}

@test "coarse times: up to date as finely as the target keeps them, and no finer" {
    local fault
    random_file source 3M
    for fault in --time-unit=100 --time-unit=1000000000 "--time-unit=2000000000 --no-change-time"; do
        read -r -a FUSE_FAULTS <<<"$fault"
        on_fs fuse 1M
        touch -d '2001-02-03 04:05:07.123456789' source
        copied source "$FS/target"
        expect_receipt .up_to_date false
        copied source "$FS/target"
        expect_receipt .up_to_date true
        touch -d '2001-02-03 04:05:09.123456789' source
        copied source "$FS/target"
        kept_all
        # From there: exactly.
        rm -f back
        copied "$FS/target" back
        copied "$FS/target" back
        expect_receipt .up_to_date true
    done
}

@test "FAT: a copy that is killed within the two seconds of its source is not finished" {
    FUSE_FAULTS=(--time-unit=2000000000 --no-change-time)
    on_fs fuse 1M
    local attempt
    for attempt in 1 2; do
        rm -f "$FS/target" "$FS/.target.haul"
        random_file source 6M "$attempt"
        begin --bwlimit=8M source "$FS/target"
        wait_for_data "$FUSE_BACKING/target" $((2 * MIB)) KILL # FUSE does not tell data from space
        finished
        copied source "$FS/target"
        same source "$FS/target"
    done
}

@test "a file that was changed from another machine: what this one remembers of it does not count" {
    FUSE_FAULTS=(--remember=600)
    on_fs fuse
    random_file "$FUSE_BACKING/source" 1M
    copied "$FS/source" target
    "$TOOLS/fill" --flip=1000 "$FUSE_BACKING/source"
    copied "$FS/source" target
    same "$FUSE_BACKING/source" target
    copied "$FS/source" target
    expect_receipt .up_to_date true
}

@test "--modify-window takes times for equal that are near" {
    random_file source 1M
    touch -d '2001-02-03 04:05:06.7' source
    copied source target
    touch -d '2001-02-03 04:05:09' target
    copied --modify-window=3 source target
    expect_receipt .up_to_date true
    copied -@ 2 source target
    kept_all
    copy --modify-window=x source target
    expect_status 1
}

@test "--modify-window does not take an unfinished copy, nor what was just written, for the source" {
    random_file source 1M
    cp source target # as a copy that was killed: its time is that of its last write
    "$TOOLS/fill" --flip=1000 target
    copied --modify-window=86400 source target
    same source target
    expect_words 'killed .* comparing'
    copied --modify-window=86400 source target
    expect_receipt .up_to_date true
}

@test "a time that was put back proves nothing: compared, and said" {
    random_file source 4M
    copied source target
    copied source target
    expect_receipt .up_to_date true
    touch -r source reference
    "$TOOLS/fill" --flip=3000000 source
    touch -r reference source
    copied source target
    same source target
    expect_words 'comparing'
    mv source renamed # might be another one as well
    copied renamed target
    kept_all
    copied renamed target
    expect_receipt .up_to_date true
    # Years that nanoseconds since 1970 do not reach are years, too.
    touch -d 2300-01-01 renamed
    copied renamed target
    "$TOOLS/fill" --flip=3000000 target
    touch -d 2400-01-01 target
    copied renamed target
    same renamed target
}

# Two files that were written within one tick of the clock have one time, and nothing else in common.
@test "files that were written in one moment are compared, and not up to date" {
    local i
    for ((i = 0; i < 500; i++)); do
        rm -f source target
        printf '%s' source >source
        printf '%s' target >target
        [ "$(stat -c %y source)" != "$(stat -c %y target)" ] || break
    done
    expect "modification time" "$(stat -c %y source)" "$(stat -c %y target)"
    copied source target
    expect_words 'comparing'
    same source target
    copied source target
    expect_receipt .up_to_date true
}

write_and_put_back() {
    touch -r source reference
    "$TOOLS/fill" --flip=100000 source
    touch -r reference source
}

give_another_name() {
    ln source "name.$RANDOM"
}

@test "written in mid-copy and the time put back, or only renamed: compared again, and right" {
    local change
    for change in write_and_put_back give_another_name; do
        random_file source 6M
        touch -d '2001-01-01' source
        changed_meanwhile source "$change"
        expect_status 0
        same source target
        expect_words 'status changed while it was copied'
        expect_receipt .bytes_total $((6 * MIB))
        expect_receipt .bytes_copied $((6 * MIB))
    done
    touch -d '2001-01-01' source
    changed_meanwhile source "$TOOLS/fill" --flip=100000 source
    expect_status 41
}

@test "a commit that fails leaves nothing that says finished" {
    requires strace
    local when
    for when in 1 2 3 4; do
        rm -f target .target.haul
        random_file source 3M "$when"
        status=0
        strace -f -qq -o /dev/null -e inject=fsync:error=EIO:when="$when" "$HAUL" source target >out 2>err || status=$?
        [ "$status" != 0 ] || continue
        expect_status 11
        copied source target
        expect_receipt .up_to_date false
        same source target
    done
    [ "$when" != 1 ]
}

# --- --append ---------------------------------------------------------------------------------------------------------

@test "a run that is refused leaves an old copy as it is: set-id bits, and no younger change than its source has" {
    requires root
    random_file source 1M
    chmod 4755 source
    copied source target
    write_and_put_back
    chmod 4755 source
    mkdir -p .target.haul/in-the-way
    copy source target
    expect_status 11
    expect "mode" "$(stat -c %a target)" 4755
    rm -r .target.haul
    copied source target
    same source target
}

@test "a source in memory that somebody has mapped is written and no time moves: an interrupted copy compares with it" {
    on_fs tmpfs 64M
    random_file "$FS/source" 16M
    JOURNAL=.target.haul
    /usr/bin/python3 -c 'import mmap, os, sys, time
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), 0)
def when(name):
    while not os.path.exists(name): time.sleep(0.01)
memory[5] ^= 1
open("mapped", "w")
when("interrupted")
memory[5] ^= 1
open("written", "w")
when("over")' "$FS/source" 3>&- &
    cleanup_fn touch "$SCRATCH/over"
    waits_until 10 test -e mapped
    half_copied "$FS/source" target
    touch interrupted
    waits_until 10 test -e written
    copied "$FS/source" target
    same "$FS/source" target
    expect_words 'source: is open for writing in another program'
    touch over
}

@test "on overlayfs a target of the whole second is not the source of that second" {
    on_fs overlay 64M
    random_file source 100K
    random_file "$FS/target" 100K 2
    touch -d '2001-02-03 04:05:06.7' source
    touch -d '2001-02-03 04:05:06' "$FS/target"
    copied source "$FS/target"
    same source "$FS/target"
}

@test "--append does not believe a journal that a copy under another name has made untrue" {
    local name
    random_file source 16M
    random_file other 16M 2
    JOURNAL=journal
    for name in symbolic hard; do
        rm -f target symbolic hard journal
        half_copied --journal=journal source target
        ln -s target symbolic
        ln target hard
        copied other "$name"
        copied --append --journal=journal source target
        same source target
        rm -f target symbolic hard
        half_copied --journal=journal source target
        ln -s target symbolic
        ln target hard
        cp journal saved
        copied other "$name"
        cp saved journal
        copied --journal=journal source target
        same source target
    done
}

@test "--append goes on without reading where nothing was touched" {
    random_file source 16M
    JOURNAL=.target.haul
    half_copied source target
    journal_true "$JOURNAL" target
    copied --append source target
    same source target
    expect_receipt .bytes_kept "$journalled_bytes"
    not grep -q 'comparing' err
}

# --- the same from another machine ------------------------------------------------------------------------------------

@test "pull and push by a pipe: devices, files of /proc, times that were put back, one disk by two names" {
    requires root loop
    far_is_here
    truncate -s 8M image
    loop_of image --direct-io=on
    $MAKE_EXT4 "$LOOP"
    mkdir mounted
    copied "${far[@]}" "h:$LOOP" target
    touch -r "$LOOP" target
    change_by_mount file
    copied "${far[@]}" "h:$LOOP" target
    same image target
    copy "${far[@]}" -I --write-devices image "h:$LOOP"
    expect_status 1
    mount "$LOOP" mounted
    cleanup_fn unmount_if "$SCRATCH/mounted"
    random_file source 1M
    copy "${far[@]}" --write-devices source "h:$LOOP"
    expect_status 43
    expect_words 'mounted on'
    copied "${far[@]}" h:/proc/version pulled
    cmp /proc/version pulled
    copied "${far[@]}" source "h:$SCRATCH/pushed"
    copied "${far[@]}" source "h:$SCRATCH/pushed"
    expect_receipt .up_to_date true
    write_and_put_back
    copied "${far[@]}" source "h:$SCRATCH/pushed"
    same source pushed
}
