# common.bash - what the bats files share. `load ../lib/common`; every test then has its own folder $SCRATCH, removed
# afterwards with all that was registered by cleanup_fn, in reverse order.
#
# HAUL, TOOLS: the program under test and the folder of the test tools (from $HAUL_BUILD, else build/).
# HAUL_TEST_DIR: where scratch folders go (default /var/tmp: a real filesystem, not tmpfs).

HAUL_ROOT=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
HAUL_BUILD=$(cd "${HAUL_BUILD:-$HAUL_ROOT/build}" && pwd)
HAUL=$HAUL_BUILD/haul
TOOLS=$HAUL_BUILD/tests/lib
LIMIT=$TOOLS/limit
MIB=$((1024 * 1024))
# A sanitizer's complaint must never pass for one of haul's own exit codes.
export ASAN_OPTIONS="exitcode=99:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}" UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export LC_ALL=C.UTF-8
unset HAUL_RSH

# Programs begin without a fork of bash, which where page faults are dear takes longer than most of them.
enable -f "$TOOLS/bash/spawn.so" spawn mkdir rm ln touch chmod cp mv cmp chown truncate dd grep sync mount umount mkfifo \
    setfattr setfacl diff install 2>/dev/null || spawn() { "$@"; }

# shellcheck source=tests/lib/cgroup.sh
. "$HAUL_ROOT/tests/lib/cgroup.sh"

scratch_open() {
    SCRATCH=${HAUL_TEST_DIR:-/var/tmp}/haul-test.$$.$RANDOM
    mkdir -m 755 "$SCRATCH" || return 1 # tests run haul as another user too
    CLEANUPS=()
    under=()
    cd "$SCRATCH" || return 1
}

# Lines of --json that a test has got, for tests/lib/events, which the whole check asks about all of them: in a file of the
# folder HAUL_EVENTS. Without a process of its own: there are thousands. A killed program's last line may lack its end. The first NUL
# ends the look: bash would pass over all of a hole.
events() { # FILE...
    local file begin lines
    [ -n "${HAUL_EVENTS:-}" ] || return 0
    for file; do
        [ -f "$file" ] && [ -r "$file" ] && IFS= read -r -d '' -n 5 begin <"$file" && [ "$begin" = '{"v":' ] || continue
        mapfile lines <"$file"
        [[ ${lines[-1]} == *$'\n' ]] || unset 'lines[-1]'
        printf '%s' "$BATS_TEST_FILENAME: $BATS_TEST_DESCRIPTION"$'\n' "${lines[@]}" >>"$HAUL_EVENTS/${SCRATCH##*/}"
    done
}

scratch_close() {
    local i
    events "$SCRATCH"/*
    cd /
    for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
        eval "${CLEANUPS[i]}" || echo "cleanup failed: ${CLEANUPS[i]}"
    done
    [ -z "$SCRATCH" ] || rm -rf --one-file-system "$SCRATCH"
}

setup() { scratch_open; }
teardown() { scratch_close; }

# Run this at the end of the test, whatever happens. Not inside a subshell or `run`.
cleanup_fn() {
    local words
    printf -v words '%q ' "$@"
    CLEANUPS+=("$words")
}

# How long anything may take that is no test's subject: others may have the most of the machine, and it may stand still for
# many seconds. So much for waits, and as the --timeout of what is not to be ended by one.
PATIENCE=300

# However short the wait is said to be: only 0 is meant.
waits_until() { # SECONDS COMMAND...
    local -
    set +T # bats has a trap before each command of a function: it hears of this one, and not of each look
    look_until $((SECONDS + ($1 > 0 ? PATIENCE : 0) + 1)) "${@:2}"
}

look_until() { # END COMMAND...
    until "${@:2}"; do
        [ "$SECONDS" -lt "$1" ] || { echo "in vain: ${*:2}"; return 1; }
        nap 0.02
    done
}

# sleep, without a process, which would take longer to begin than most waits: at a pipe that nobody writes to.
nap() { # SECONDS
    local REPLY pipe=${BATS_FILE_TMPDIR:+$BATS_FILE_TMPDIR/naps}
    if [ -z "$pipe" ]; then
        sleep "$1"
    elif [ -p "$pipe" ] || mkfifo "$pipe" 2>/dev/null || [ -p "$pipe" ]; then
        read -rt "$1" <>"$pipe" || true
    fi
}

# Let go of a loop device that has a file of this test; a test may have done so already, and somebody else may have it
# now.
loop_detach() { # DEVICE
    [[ $(losetup -n -O BACK-FILE "$1" 2>/dev/null) != "$SCRATCH"/* ]] || losetup -d "$1"
}

# From now on `copy` and $HAUL are somebody else's, who owns nothing: a copy of haul, as the tree may lie below a closed
# folder.
become_nobody() {
    requires root setpriv
    [ -e "$SCRATCH/limit" ] || { [ -e "$SCRATCH/haul" ] || cp "$HAUL" "$SCRATCH/haul" && cp "$LIMIT" "$SCRATCH/limit"; }
    chmod 755 "$SCRATCH/haul" "$SCRATCH/limit"
    HAUL=$SCRATCH/haul LIMIT=$SCRATCH/limit
    under=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    # Programs of another kind of machine have their libraries below the tree.
    "${under[@]}" "$LIMIT" $PATIENCE "$HAUL" -V >/dev/null 2>&1 || [ $? != 126 ] || skip "needs $HAUL_BUILD where others reach it"
}

# A kernel may have no 32-bit programs: those of another kind of machine are tried, by the agent for it.
kernel_runs() { # MACHINE
    "$HAUL_BUILD/haul-agent-$1" -V >/dev/null 2>&1 || [ $? != 126 ]
}

# A line for the person who reads the test's output, also when it passes.
note() {
    echo "# $*" >&3
}

requires() {
    local what
    for what in "$@"; do
        case $what in
        root) [ "$EUID" = 0 ] || skip "needs root" ;;
        loop) [ -e /dev/loop-control ] && losetup --find >/dev/null 2>&1 || skip "needs loop devices" ;;
        fuse) [ -c /dev/fuse ] || skip "needs /dev/fuse" ;;
        unshare) unshare -m true 2>/dev/null || skip "needs a mount namespace (in a chroot whose / is no mount there is none)" ;;
        cgroup) cgroup_find || skip "needs a memory cgroup: $cgroup_why" ;;
        *) command -v "$what" >/dev/null || skip "needs $what" ;;
        esac
    done
}

sanitized() {
    [[ $HAUL_BUILD == */san ]] || grep -qa __asan_init "$HAUL"
}

# --- running haul -----------------------------------------------------------------------------------------------------

# A hang is a failure: status 124.
haul() {
    spawn "$LIMIT" "${HAUL_TIMEOUT:-$PATIENCE}" "$HAUL" "$@"
}

# haul --json: standard output in ./out, messages in ./err, exit code in $status. Put words into the array `under`
# first (deny, in_cgroup) to run it under them.
copy() {
    local spawn=spawn
    ! declare -F "${under[0]:-}" >/dev/null || spawn= # it may be a function
    status=0
    $spawn "${under[@]}" "$LIMIT" "${HAUL_TIMEOUT:-$PATIENCE}" "$HAUL" --json "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
    events "$SCRATCH/out"
}

expect_status() {
    [ "$status" = "$1" ] && return
    echo "exit code $status, expected $1"
    show_run
    return 1
}

show_run() {
    [ -e "$SCRATCH/out" ] || return 0
    tail -n 3 "$SCRATCH/out"
    tail -n 20 "$SCRATCH/err"
}

# copy, which has to succeed.
copied() {
    copy "$@"
    expect_status 0
}

# The other machine is this one: what stands in place of ssh, $SCRATCH/here, and the words for it in the array `far`.
far_is_here() {
    printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >"$SCRATCH/here"
    chmod 755 "$SCRATCH/here"
    far=(-e "$SCRATCH/here" --remote-path="$HAUL")
}

# The same, where the user nobody has the number 4242.
far_has_other_numbers() {
    requires unshare
    sed 's/^nobody:x:65534:/nobody:x:4242:/' /etc/passwd >"$SCRATCH/passwd"
    cat >"$SCRATCH/here" <<END
#!/bin/sh
shift
exec "$HAUL_ROOT/tests/lib/own_mounts" 'mount --bind "$SCRATCH/passwd" /etc/passwd' "\$@"
END
    chmod 755 "$SCRATCH/here"
    far=(-e "$SCRATCH/here %h" --remote-path="$HAUL")
}

# A field of the receipt: `receipt .target.policy`. jq takes longer to begin than most copies here: a plain value is found
# without it. In a string a quotation mark has a backslash before it, so `"name":` is a name.
receipt() {
    local value
    receipt_value "$1" && echo "$value"
}

receipt_value() { # FIELD: sets value
    local lines last= line side name=${1##*.}
    mapfile lines <"$SCRATCH/out"
    [ ${#lines[@]} = 0 ] || last=${lines[-1]}
    line=$last
    case $1 in
    .source.* | .target.*) side=${1%.*} line={${line#*\"${side#.}\":\{} ;;
    .*) line=${line%%,\"source\":\{*} line=${line/\"attributes_lost_counts\":\{*\}/} ;;
    esac
    if [[ $last == '{"v":1,"event":"receipt",'* && $1 =~ ^(\.source|\.target)?\.[a-z0-9_]+$ &&
        $line =~ [,\{]\"$name\":(\"([^\"\\]*)\"|-?[0-9]+|true|false|null)[,\}] ]]; then
        value=${BASH_REMATCH[1]}
        [[ $value != \"* ]] || value=${BASH_REMATCH[2]}
    else
        value=$(tail -n 1 "$SCRATCH/out" | jq -r "select(.event == \"receipt\") | $1")
    fi
}

expect() { # WHAT ACTUAL EXPECTED
    [ "$2" = "$3" ] && return
    echo "$1: $2, expected $3"
    show_run
    return 1
}

# A line `! COMMAND` fails no test, nor does what stands before &&: this does. What ends with more than 1 has not looked.
not() { # COMMAND...
    local code=0
    "$@" || code=$?
    [ "$code" = 1 ] && return
    echo "$code, and 1 was expected: $*"
    show_run
    return 1
}

expect_receipt() { # FIELD EXPECTED
    local value
    receipt_value "$1"
    expect "receipt $1" "$value" "$2"
}

expect_under() { # WHAT NUMBER LIMIT
    [ "$2" -lt "$3" ] && return
    echo "$1: $2, expected less than $3"
    show_run
    return 1
}

# Both streams of the last `copy`, or $output of `run`, hold this (extended regular expression, any case).
expect_words() {
    grep -qiE -e "$1" "$SCRATCH/out" "$SCRATCH/err" && return
    echo "no words like: $1"
    show_run
    return 1
}

# An error is for a person: at most three lines, with the program's name or the path, and no trace of a crash.
expect_clear_error() {
    local lines count
    mapfile lines <"$SCRATCH/err"
    count=${#lines[@]}
    [ "$count" = 0 ] || [[ ${lines[-1]} == *$'\n' ]] || count=$((count - 1))
    [ "$count" -ge 1 ] && [ "$count" -le 3 ] && [[ ! ${lines[*],,} =~ assert|sanitizer|segfault|core\ dumped ]] && return
    echo "not a clear error of one to three lines:"
    cat "$SCRATCH/err"
    return 1
}

same() {
    spawn "$TOOLS/same" "$1" "$2" || { show_run; return 1; }
}

# --- files and their pages --------------------------------------------------------------------------------------------

# Incompressible, repeatable, nothing left in the cache.
random_file() { # PATH SIZE [SEED]
    spawn "$TOOLS/fill" --seed="${3:-1}" "$1" "$2"
}

# By one process; the second by the next seed, and so on.
random_files() { # SEED PATH SIZE [PATH SIZE]...
    spawn "$TOOLS/fill" --seed="$1" "${@:2}"
}

pages() {
    spawn "$TOOLS/pages" "$@"
}

# Not one page of these is in the page cache.
uncached() {
    local counts
    counts=$("$TOOLS/pages" /dev/null "$@") || return 1 # of several it tells the names
    [[ $'\n'${counts#*$'\n'} =~ $'\n'[1-9] ]] || return 0
    echo "pages in the cache:"
    echo "$counts"
    show_run
    return 1
}

# No program has dropped a page of PATH, of which so many BYTES were cached; the kernel may have reclaimed some.
kept() { # PATH BYTES
    expect "bytes of $1 that were cached and not dropped" "$(pages --kept "$1")" "$2"
}

# What the receipt says of a SIDE whose FILE had so many BYTES in the cache before: they can only have become fewer, by the
# kernel's own reclaim, so equal bounds leave nothing to choose.
expect_receipt_kept() { # SIDE FILE BYTES
    local before after now
    before=$(receipt ".$1.resident_before_bytes") after=$(receipt ".$1.resident_after_bytes")
    now=$(pages --bytes "$2")
    [ "$before" -le "$3" ] && [ "$after" -le "$before" ] && [ "$now" -le "$after" ] && return
    echo "cached of $2: $3 bytes, then $before and $after in the receipt, then $now"
    return 1
}

# The kernel's own reclaim may take a page just before a window reads it; then it is haul's, and dropped as such. So where
# such a reclaim runs all the time (DAMON's pageout scheme), a copy under --cache=window has three attempts; and so has who
# looks at what is cached after a copy. ATTEMPT is a function that caches the file anew.
unless_reclaimed() { # ATTEMPT [ARGUMENT]...
    if grep -qs '^on' /sys/kernel/mm/damon/admin/kdamonds/*/state; then
        "$@" || "$@" || "$@"
    else
        "$@"
    fi
}

# --- filesystems ------------------------------------------------------------------------------------------------------

# on_fs KIND SIZE: makes the filesystem, mounts it, sets FS to the mount point and LOOP to its device; all is undone at
# the end of the test. KIND: ext4, ext4-4k (4096-byte sectors), ext4-1k (1 KiB blocks), ext4-journal (data=journal),
# ext3, xfs, btrfs, btrfs-nodatasum, btrfs-compressed, overlay, tmpfs, fuse (faults in the array FUSE_FAULTS).
on_fs() {
    local kind=$1 size=$2
    requires root
    FS=$(mktemp -d "$SCRATCH/$kind.XXXXXX")
    chmod 755 "$FS"
    case $kind in
    tmpfs)
        mount -t tmpfs -o "size=$size" haul-test "$FS"
        cleanup_fn unmount "$FS"
        ;;
    fuse)
        requires fuse
        FUSE_BACKING=$FS.backing
        mkdir "$FUSE_BACKING"
        "$TOOLS/fuse_faulty" "${FUSE_FAULTS[@]}" "$FUSE_BACKING" "$FS" -o allow_other
        cleanup_fn unmount "$FS"
        ;;
    overlay)
        local mountpoint=$FS
        on_fs ext4 "$size"
        mkdir "$FS/lower" "$FS/upper" "$FS/work"
        mount -t overlay -o "lowerdir=$FS/lower,upperdir=$FS/upper,workdir=$FS/work" haul-test "$mountpoint"
        FS=$mountpoint
        cleanup_fn unmount "$FS"
        ;;
    *) on_disk "$kind" "$size" ;;
    esac
}

on_disk() {
    local kind=$1 size=$2 image=$FS.img sector=512 mkfs options=defaults
    requires loop
    case $kind in
    ext4) mkfs="mkfs.ext4 -q -F -E nodiscard" ;;
    ext4-4k) mkfs="mkfs.ext4 -q -F -E nodiscard" sector=4096 ;;
    ext4-1k) mkfs="mkfs.ext4 -q -F -E nodiscard -b 1024" ;;
    ext4-journal) mkfs="mkfs.ext4 -q -F -E nodiscard" options=data=journal ;;
    ext4-plain) mkfs="mkfs.ext4 -q -F -E nodiscard -O ^has_journal" ;;
    ext3) mkfs="mkfs.ext3 -q -F -E nodiscard" ;;
    xfs) mkfs="mkfs.xfs -q -f -K" ;;
    btrfs) mkfs="mkfs.btrfs -q -f -K" ;;
    btrfs-nodatasum) mkfs="mkfs.btrfs -q -f -K" options=nodatasum ;;
    btrfs-compressed) mkfs="mkfs.btrfs -q -f -K" options=compress=zstd ;;
    *) echo "on_fs: unknown kind $kind"; return 1 ;;
    esac
    truncate -s "$size" "$image"
    # direct-io: otherwise the image's own pages are cached, and charged to whoever writes.
    LOOP=$(losetup --find --show --direct-io=on --sector-size "$sector" "$image")
    cleanup_fn loop_detach "$LOOP"
    $mkfs "$LOOP"
    mount -o "$options" "$LOOP" "$FS"
    cleanup_fn unmount "$FS"
}

unmount() {
    waits_until 60 umount "$1" >/dev/null 2>&1 && return 0 # a bare return would give the status of the test that failed
    echo "unmount: $1 is busy"
    umount -l "$1"
    return 1
}

# The filesystem goes on writing until a moment after its last mount has gone, and another test's mount namespace may have
# one: only then does the device hold what was written.
unmounted() { # FOLDER DEVICE
    umount "$1"
    waits_until 60 unclaimed "$2" "${SCRATCH##*/}"
}

unclaimed() { # DEVICE NAME-OF-A-FOLDER-ABOVE-ITS-MOUNTS
    /usr/bin/python3 -c 'import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)' "$1" 2>/dev/null && return 0
    unmount_elsewhere "$2"
    return 1
}

# A mount namespace that somebody has made meanwhile (a container, a chroot for an hour) has copies of our mounts, at their
# places and wherever else it has bound these.
unmount_elsewhere() { # NAME
    local pid
    for pid in $(lsns -n -t mnt -o PID); do
        # shellcheck disable=SC2016
        [ "/proc/$pid/ns/mnt" -ef /proc/self/ns/mnt ] || nsenter -m -t "$pid" sh -c '
            for at in $(cut -d" " -f2 /proc/self/mounts | tac); do
                case $at in */"$1"/*) umount -l "$at" ;; esac
            done' sh "$1"
    done
}

# --- memory cgroups ---------------------------------------------------------------------------------------------------

# in_cgroup BYTES CMD...: runs it in a cgroup of its own; afterwards cgroup_figure failcnt|peak tells.
in_cgroup() {
    local folder status=0
    cgroup_find || return 125
    folder=$(cgroup_make "haul-test.$$.$RANDOM" "$1") || return 125
    cgroup_exec "$folder" "${@:2}" || status=$?
    cgroup_failcnt "$folder" >"$SCRATCH/cgroup.failcnt"
    cgroup_peak "$folder" >"$SCRATCH/cgroup.peak"
    cgroup_remove "$folder"
    return "$status"
}

cgroup_figure() {
    cat "$SCRATCH/cgroup.$1"
}
