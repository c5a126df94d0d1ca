#!/usr/bin/env bats
# Goal: the power-cut rig passes a program that syncs in the right order, at every sampled cut, and catches each way of
# doing it wrong. A rig that cannot fail would make the test of haul (40-power-cut.bats) worthless. The program is
# tests/lib/order.c; the wrong order is the same program with one file's syncs swallowed (tests/lib/nosync.c).

load ../lib/common
load ../lib/powercut

CHUNKS=150
CUTS=12
SEED=1

setup() {
    requires root loop fuse mkfs.ext4 mkfs.xfs mkfs.btrfs
    scratch_open
    powercut_open "$TOOLS"
    cleanup_fn powercut_close
    under=()
}

size_of() {
    case $1 in xfs) echo 300 ;; *) echo 192 ;; esac
}

# record_order FS direct|buffered growing|fixed: under the words in `under`.
record_order() {
    powercut_record "$1" "$(size_of "$1")" ordered "$2" "$3"
}

ordered() {
    "${under[@]/#@/$POWERCUT_MOUNT/}" "$TOOLS/order" write "$POWERCUT_MOUNT" "$CHUNKS" "$1" "$2" "$POWERCUT_MARK"
}

# What the journal names is there; and what was acknowledged before the cut is in the journal.
order_kept() {
    local records acknowledged
    records=$("$TOOLS/order" check "$POWERCUT_MOUNT" 2>"$SCRATCH/err") || { head -n 1 "$SCRATCH/err"; return 1; }
    acknowledged=$(powercut_last_mark "$POWERCUT_RECORD" "acknowledged ")
    records_seen=$((records_seen + records))
    [ "$records" -ge "${acknowledged:-0}" ] && return
    echo "lost: $acknowledged were acknowledged, $records are there"
    return 2
}

cuts_pass() {
    records_seen=0
    powercut_points "$CUTS" "$SEED" >"$SCRATCH/points"
    powercut_each order_kept <"$SCRATCH/points"
    # Cuts that all fall before the first record would pass too.
    [ "$records_seen" -gt "$CUTS" ] || { echo "only $records_seen records seen"; return 1; }
}

# cuts_fail WORDS [MODE]: for the reason in WORDS at half of the cuts or more; a few fall before the first record.
cuts_fail() {
    local status=0
    powercut_points "$CUTS" "$SEED" | sed "s/ [a-z+]* / ${2:-&} /" >"$SCRATCH/points"
    powercut_each order_kept <"$SCRATCH/points" >"$SCRATCH/said" || status=$?
    [ "$status" = 1 ] && [ "$(grep -c "$1" "$SCRATCH/said")" -ge $((CUTS / 2)) ] && return
    echo "the rig saw nothing, or something else: $status"
    cat "$SCRATCH/said"
    return 1
}

@test "the right order survives every cut, direct and buffered, on ext4, xfs and btrfs" {
    for fs in ext4 xfs btrfs; do
        for way in direct buffered; do
            record_order $fs $way growing
            cuts_pass
        done
    done
}

@test "without fdatasync of the data, buffered writes are caught on ext4, xfs and btrfs" {
    under=("$TOOLS/nosync" @data)
    for fs in ext4 xfs btrfs; do
        record_order $fs buffered growing
        cuts_fail "in the journal and not in the data"
    done
}

# Direct data is on the disk, but the note that its extents are written is not: order.c says when that shows.
@test "without fdatasync of the data, direct writes are caught on ext4, xfs and btrfs" {
    under=("$TOOLS/nosync" @data)
    for fs in ext4 xfs btrfs; do
        record_order $fs direct fixed
        cuts_fail "in the journal and not in the data"
    done
    record_order btrfs direct growing
    cuts_fail "in the journal and not in the data"
}

@test "without fdatasync of the journal, records that were acknowledged are missed" {
    under=("$TOOLS/nosync" @journal)
    for fs in ext4 xfs btrfs; do
        record_order $fs direct fixed
        cuts_fail "were acknowledged"
    done
}

@test "a filesystem that sends no flushes loses what was acknowledged: the disk's cache is volatile" {
    POWERCUT_OPTIONS=barrier=0 record_order ext4 direct growing
    cuts_fail "were acknowledged" none
}

@test "the disk takes direct I/O, refuses fallocate, and one cut built twice is one image" {
    powercut_disk_new $((64 * MIB))
    run fallocate --offset 0 --length 4096 "$POWERCUT_DIR/fuse/disk"
    [ "$status" != 0 ]
    [[ $output == *"not supported"* ]]
    run fallocate --punch-hole --offset 0 --length 4096 "$POWERCUT_DIR/fuse/disk"
    [ "$status" != 0 ]
    dd if=/dev/urandom of="$POWERCUT_LOOP" bs=1M count=8 oflag=direct status=none
    powercut_mark here
    dd if=/dev/urandom of="$POWERCUT_DIR/fuse/disk" bs=4096 count=64 oflag=direct conv=notrunc status=none
    powercut_log_whole
    expect "mark" "$(powercut_last_mark 1000000 he)" re
    local record image
    record=$("$TOOLS/replay" record "$POWERCUT_LOG" here)
    for image in one two; do
        "$TOOLS/replay" build "$POWERCUT_LOG" $((record + 40)) half+torn 7 "$POWERCUT_DIR/$image"
    done
    "$TOOLS/replay" build "$POWERCUT_LOG" $((record + 40)) half+torn 8 "$POWERCUT_DIR/three"
    cmp "$POWERCUT_DIR/one" "$POWERCUT_DIR/two"
    run cmp -s "$POWERCUT_DIR/one" "$POWERCUT_DIR/three"
    expect "other seed, other cut" "$status" 1
    "$TOOLS/replay" build "$POWERCUT_LOG" 0 all 8 "$POWERCUT_DIR/three" # nothing of an image stays in the next one
    cmp -n $((64 * MIB)) "$POWERCUT_DIR/three" /dev/zero
    "$TOOLS/replay" build "$POWERCUT_LOG" $((record + 40)) half+torn 7 "$POWERCUT_DIR/three"
    cmp "$POWERCUT_DIR/one" "$POWERCUT_DIR/three"
}

@test "a disk whose device somebody looks at is closed when he has gone" {
    powercut_disk_new $((8 * MIB))
    local device=$POWERCUT_LOOP
    (exec <"$device"; touch held; sleep 0.5) 3>&- &
    waits_until 10 test -e held
    powercut_loop_detach
    [[ $(losetup -n -O BACK-FILE "$device" 2>/dev/null) != "$POWERCUT_DIR"/* ]]
}

# As a container or a chroot that is started meanwhile has it, and keeps it for as long as it runs.
copied_mounts() {
    mkdir "$SCRATCH/bound"
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount --rbind "$0" bound && touch there && exec sleep 1000' "${POWERCUT_DIR%/*}" 3>&- &
    cleanup_fn kill $!
    waits_until 10 test -e there
}

@test "a disk that somebody has a copy of, in a mount namespace of his own, is closed all the same" {
    requires unshare nsenter lsns
    powercut_record ext4 64 copied_mounts
}
