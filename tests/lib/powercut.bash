# powercut.bash - record what a command makes a disk do, then cut the power anywhere in that. Source it, after common.bash.
#
#   powercut_open TOOLS                  TOOLS: the folder of fuse_blocklog and replay
#   powercut_record FS MIB COMMAND...    a new disk, mkfs, mount, COMMAND between the marks "start" and "end", unmount.
#                                        COMMAND finds the mount in $POWERCUT_MOUNT and the file that takes further
#                                        marks in $POWERCUT_MARK. Its exit code, or 99: the rig itself failed
#   powercut_points COUNT|flushes SEED   cuts between the two marks, a line each: RECORD MODE SEED
#   powercut_points_between FROM_MARK TO_MARK COUNT|flushes SEED    the same between any two
#   powercut_points_of_test COUNT [FROM_MARK]    those for a scenario, from "start" unless said: COUNT, or with STRESS=1 around
#                                        every flush and 200 more, by $SEED; and with what the disk has not flushed lost, right
#                                        after the mark "done"
#   powercut_each CHECK [ARGUMENT...]    cuts from standard input; after each the disk is mounted (the filesystem
#                                        recovers) and CHECK runs, with $POWERCUT_RECORD set. Says which cuts fail: that
#                                        line is all that is needed to see one again. Counts in $POWERCUT_CUTS and
#                                        $POWERCUT_FAILED; exit code 1 when one failed, 99 when the rig did
#   powercut_cut RECORD MODE SEED        one cut, mounted; powercut_uncut ends it
#   powercut_last_mark RECORD PREFIX     the rest of the last mark before RECORD that begins with PREFIX
#   powercut_close                       undoes everything, at any moment: for a trap or teardown
#
# POWERCUT_OPTIONS: mount options. POWERCUT_JITTER_US: longest delay of a write (default 300). The log is $POWERCUT_LOG.
# Sizes: xfs needs 300 MiB, btrfs 128, ext4 64; powercut_mib FS has some room above. Every step is checked: a rig that skips a mount shows nothing.

powercut_open() {
    POWERCUT_TOOLS=$1
    POWERCUT_DIR=$(powercut_scratch) || return
    POWERCUT_LOG=$POWERCUT_DIR/log
    POWERCUT_MOUNT=$POWERCUT_DIR/mount
    POWERCUT_MARK=$POWERCUT_DIR/fuse/mark
    POWERCUT_IMAGE=$POWERCUT_DIR/image
    POWERCUT_LOOP=
    mkdir "$POWERCUT_MOUNT" "$POWERCUT_DIR/fuse" || return
    export POWERCUT_MOUNT POWERCUT_MARK
}

# Disk, log and image: in memory where there is room, because elsewhere each flush of a mount would be a real one.
powercut_scratch() {
    local place=/dev/shm free
    free=$(df --output=avail -B 1M "$place" 2>/dev/null | tail -n 1)
    [ "$(stat -f -c %T "$place" 2>/dev/null)" = tmpfs ] && [ "${free:-0}" -gt 1024 ] || place=${TMPDIR:-/var/tmp}
    mktemp -d "$place/haul-powercut.XXXXXX"
}

# --- recording --------------------------------------------------------------------------------------------------------

powercut_record() {
    local fs=$1 mib=$2 code=0
    shift 2
    POWERCUT_FS=$fs
    powercut_disk_new $((mib << 20)) || return 99
    powercut_mkfs "$fs" "$POWERCUT_LOOP" || return 99
    powercut_mount "$fs" "$POWERCUT_LOOP" || return 99
    sync -f "$POWERCUT_MOUNT" || return 99 # what mkfs and mount wrote is not what is being tried
    powercut_mark start || return 99
    "$@" || code=$?
    powercut_mark end || return 99
    powercut_unmount "$POWERCUT_MOUNT" && powercut_quiet && powercut_log_whole && powercut_close_disk || return 99
    return "$code"
}

# The daemon goes to the background once the mount is there, so there is nothing to wait for. fd 3 is bats' own.
powercut_disk_new() {
    "$POWERCUT_TOOLS/fuse_blocklog" "$POWERCUT_DIR/fuse" "$POWERCUT_DIR/backing" "$POWERCUT_LOG" \
        "$1" "${POWERCUT_JITTER_US:-300}" 3>&- || return
    POWERCUT_LOOP=$(losetup --find --show --direct-io=on "$POWERCUT_DIR/fuse/disk") || return
    [ "$(cat "/sys/block/${POWERCUT_LOOP#/dev/}/loop/dio")" = 1 ] && return
    echo "powercut: $POWERCUT_LOOP has no direct I/O: writes would be logged late"
    return 1
}

powercut_mkfs() {
    case $1 in
    ext4) mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$2" ;;
    xfs) mkfs.xfs -q -f -K "$2" ;;
    btrfs) mkfs.btrfs -q -f -K "$2" ;;
    *) echo "powercut: unknown filesystem $1" && return 1 ;;
    esac
}

# nouuid: the image carries the UUID of the recorded disk, and somebody else may have a copy of it mounted.
powercut_mount() {
    local options=${POWERCUT_OPTIONS:-defaults}
    [ "$1" != xfs ] || options=nouuid,$options
    mount -t "$1" -o "$options" "$2" "$POWERCUT_MOUNT"
}

powercut_mark() {
    printf '%s' "$1" >"$POWERCUT_MARK"
}

# The log has seen all: replayed to its end it is the disk, byte for byte.
powercut_log_whole() {
    "$POWERCUT_TOOLS/replay" build "$POWERCUT_LOG" end all 0 "$POWERCUT_IMAGE" &&
        cmp "$POWERCUT_IMAGE" "$POWERCUT_DIR/backing"
}

powercut_mib() {
    case $1 in xfs) echo 384 ;; *) echo 256 ;; esac
}

# --- cutting ----------------------------------------------------------------------------------------------------------

powercut_points() {
    powercut_points_between start end "$@"
}

powercut_points_between() {
    local from to
    from=$("$POWERCUT_TOOLS/replay" record "$POWERCUT_LOG" "$1") || return
    to=$("$POWERCUT_TOOLS/replay" record "$POWERCUT_LOG" "$2") || return
    "$POWERCUT_TOOLS/replay" points "$POWERCUT_LOG" "$from" "$to" "$3" "$4"
}

powercut_points_of_test() {
    local count counts=$1
    [ "${STRESS:-0}" != 1 ] || counts="flushes 200"
    for count in $counts; do
        powercut_points_between "${2:-start}" end "$count" "$SEED"
    done
    echo "$("$POWERCUT_TOOLS/replay" record "$POWERCUT_LOG" done) none 0"
}

powercut_cut() {
    local untorn=
    [ "$POWERCUT_FS" != btrfs ] || untorn=65536 # its superblock: replay.c says why
    "$POWERCUT_TOOLS/replay" build "$POWERCUT_LOG" "$1" "$2" "$3" "$POWERCUT_IMAGE" $untorn || return
    POWERCUT_LOOP=$(losetup --find --show "$POWERCUT_IMAGE") || return
    powercut_mount "$POWERCUT_FS" "$POWERCUT_LOOP"
}

powercut_uncut() {
    powercut_unmount "$POWERCUT_MOUNT" && powercut_loop_detach
}

powercut_each() {
    local record mode seed code
    POWERCUT_CUTS=0 POWERCUT_FAILED=0
    while read -r record mode seed; do
        code=0
        export POWERCUT_RECORD=$record
        if powercut_cut "$record" "$mode" "$seed" </dev/null; then
            "$@" </dev/null || code=$?
        else
            code="no mount"
        fi
        powercut_uncut || return 99
        POWERCUT_CUTS=$((POWERCUT_CUTS + 1))
        [ "$code" != 0 ] || continue
        POWERCUT_FAILED=$((POWERCUT_FAILED + 1))
        echo "$POWERCUT_FS: cut $record $mode $seed fails: $code"
    done
    echo "$POWERCUT_FS: $POWERCUT_CUTS cuts, $POWERCUT_FAILED failed"
    [ "$POWERCUT_CUTS" -gt 0 ] || return 99
    [ "$POWERCUT_FAILED" = 0 ]
}

powercut_last_mark() {
    "$POWERCUT_TOOLS/replay" last "$POWERCUT_LOG" "$1" "$2"
}

# --- undoing ----------------------------------------------------------------------------------------------------------
# A bare `return` in a trap, where bats runs teardown, returns what was current before the trap: always name the code.

# A busy mount or device is somebody looking at it (blkid, a neighbour's lsblk): try again for a minute.
powercut_retry() {
    local tries
    for ((tries = 0; tries < 1200; tries++)); do
        "$@" 2>/dev/null && return 0
        sleep 0.05
    done
    "$@"
}

powercut_mounted() {
    local mounts
    IFS= read -r -d '' mounts </proc/self/mounts || :
    [[ $mounts == *" $1 "* ]]
}

powercut_unmount() {
    ! powercut_mounted "$1" || powercut_retry umount "$1" && return 0
    echo "powercut: who has something of $1:"
    find /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/fd -lname "$1*" -printf '%p %l\n' 2>/dev/null
    return 1
}

powercut_quiet() {
    powercut_retry unclaimed "$POWERCUT_LOOP" "${POWERCUT_DIR##*/}"
}

# Whoever looks at the device keeps it for as long, although losetup has said that it is detached; and when it is gone,
# somebody else may have it.
powercut_loop_detach() {
    [ -z "$POWERCUT_LOOP" ] || powercut_retry powercut_loop_gone || return 1
    POWERCUT_LOOP=
}

powercut_loop_ours() {
    local file=
    { IFS= read -r file <"/sys/block/${POWERCUT_LOOP#/dev/}/loop/backing_file"; } 2>/dev/null || :
    [[ $file == "$POWERCUT_DIR"/* ]]
}

powercut_loop_gone() {
    ! powercut_loop_ours || losetup --detach "$POWERCUT_LOOP" || return 1
    powercut_loop_ours || return 0
    unmount_elsewhere "${POWERCUT_DIR##*/}"
    return 1
}

# Who stands on whom, from the top.
powercut_close_disk() {
    powercut_unmount "$POWERCUT_MOUNT" && powercut_loop_detach && powercut_unmount "$POWERCUT_DIR/fuse" &&
        rm -f "$POWERCUT_DIR/backing"
}

powercut_close() {
    [ -n "${POWERCUT_DIR:-}" ] || return 0
    powercut_close_disk && rmdir "$POWERCUT_MOUNT" "$POWERCUT_DIR/fuse" &&
        rm -rf --one-file-system "$POWERCUT_DIR" && POWERCUT_DIR=
}
