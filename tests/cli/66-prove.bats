#!/usr/bin/env bats
# Goal: haul prove counts by the kernel's own tracepoint what a copy brings into the page cache, finds the copy that fills
# it, tells what it could not count, and leaves no instance of tracefs behind, however it ends.
load ../lib/common

# A mount namespace with a tracefs, where the machine has none at its place.
with_tracefs=("$HAUL_ROOT/tests/lib/own_mounts"
    'mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing')

# The same; at the end it is said what instances are left.
traced() {
    "${with_tracefs[@]}" sh -c '"$@"; code=$?; ls /sys/kernel/tracing/instances; exit $code' - "$@"
}

traced_setup() {
    requires root unshare jq
    mkdir tracing
    mount -t tracefs nodev tracing || skip "needs tracefs"
    cleanup_fn unmount "$SCRATCH/tracing"
    traced true >instances
    random_file source 24M
    under=(traced)
}

proof() {
    jq -r "select(.event == \"proof\") | $1" <(grep '^{' "$SCRATCH/out")
}

# Beside `haul prove` in the background: its instance, which has the name of the process that counts. Other tests have some, too.
instance() {
    for COUNTED in "/proc/$1/root/sys/kernel/tracing/instances"/haul-*; do
        counter=${COUNTED##*/haul-}
        ! grep -qsx "PPid:[[:blank:]]*$1" "/proc/$counter/status" || return 0
    done
    return 1
}

# A slow copy, under its own tracefs: $copy is haul.
slowly() { # OPTION...
    "${with_tracefs[@]}" "$HAUL" prove --json --bwlimit=2M "$@" source target >out 2>err &
    copy=$!
    cleanup_fn eval "kill -9 $copy 2>/dev/null || true"
    waits_until 30 instance "$copy"
    waits_until 30 grep -q '"phase":"copying"' out
}

removed() {
    [ ! -d "$SCRATCH/tracing/instances/haul-$counter" ]
}

# Afterwards as much of it is in the cache as the tracepoint says.
left_is_told() { # TARGET
    rm -f "$1"
    copy prove --cache=plain source "$1"
    expect_status 42 && expect "$1: in the cache by the tracepoint" "$(proof .target.left_bytes)" "$(pages --bytes "$1")"
}

@test "what enters: nothing but a tail by direct, windows at a time, everything by plain, which is 42" {
    traced_setup
    copied prove source direct
    [ "$(proof '[.by, .kept_out, .lost_events, .source.entered_bytes] | join(" ")')" = "tracepoint true 0 0" ]
    [ "$(proof .target.entered_bytes)" -le 65536 ]
    copied prove --cache=window source window
    [ "$(proof '[.kept_out, .source.left_bytes, .target.left_bytes] | join(" ")')" = "true 0 0" ]
    [ "$(proof .target.entered_bytes)" -ge $((24 * MIB)) ]
    copy prove --cache=window --cache-max=64K source limited
    expect_status 42
    unless_reclaimed left_is_told plain
    [ "$(proof .kept_out)" = false ]
    [ "$(jq -r 'select(.event == "entered" and .path == "plain") | .at_once_bytes' <(grep '^{' out))" -ge $((24 * MIB)) ]
    [ "$(jq -r 'select(.event == "receipt") | "\(.exit) \(.durable)"' <(grep '^{' out))" = "42 true" ]
    expect "instances" "$(ls -A "$SCRATCH"/instances; grep haul- out || true)" "$SCRATCH/instances"
}

@test "files of btrfs and overlayfs are found again by their inode, those of a tree by name; of tmpfs nothing is told" {
    traced_setup
    local kind
    on_fs tmpfs 32M
    copied prove source "$FS/plain"
    [ "$(proof '[.kept_out, .target.files_unwatched] | join(" ")')" = " 1" ]
    for kind in btrfs overlay; do
        on_fs $kind 200M
        unless_reclaimed left_is_told "$FS/plain"
    done
    mkdir tree && for kind in 1 2 3; do random_file tree/$kind 5K $kind; done
    copied prove -r tree copied
    [ "$(proof '[.kept_out, .source.files, .target.files, .target.files_entered, .target.left_bytes] | join(" ")')" = "true 3 3 3 0" ]
    [ "$(jq -r 'select(.event == "entered" and .side == "target") | .path' <(grep '^{' out) | sort | paste -sd' ')" = "copied/tree/1 copied/tree/2 copied/tree/3" ]
    traced "$HAUL" prove -r tree words >out
    grep -q '^target    words/tree/2: 8.00 KiB entered' out
    grep -q '^target    3 files: 24.0 KiB entered, 8.00 KiB of one of them at once, 0 B left' out
}

source_is_cached() {
    [ "$(pages --bytes source)" -ge "$(stat -c %s source)" ]
}

@test "another program that reads the source is told apart" {
    traced_setup
    slowly
    pages --evict source
    tail -c +1 -f source >/dev/null 3>&- & # whose it was is looked up while it lives
    local reader=$!
    cleanup_fn kill "$reader"
    waits_until 30 source_is_cached
    kill -TERM "$copy"
    wait "$copy" || status=$?
    expect_status 20
    [ "$(proof .source.entered_bytes)" = 0 ]
    [ "$(proof .source.by_others_bytes)" -gt 0 ]
    removed
}

@test "events that the kernel could not keep are told, and nothing is proven" {
    traced_setup
    slowly --cache=window
    kill -STOP "$counter"
    cleanup_fn kill -CONT "$counter"
    echo 4 >"$COUNTED/buffer_size_kb"
    waits_until 60 grep -q '^overrun: [1-9]' "$COUNTED"/per_cpu/cpu*/stats
    kill -CONT "$counter"
    kill -TERM "$copy"
    wait "$copy" || true
    [ "$(proof .lost_events)" -gt 0 ]
    [ "$(proof .kept_out)" != true ]
}

@test "the instance goes when the copy is killed, and when the counter is" {
    traced_setup
    slowly
    kill -9 "$copy"
    waits_until 30 removed
    rm -f target .target.haul
    slowly
    kill -9 "$counter"
    waits_until 30 grep -q '"phase":"done"' out
    wait "$copy" || true
    removed
    [ "$(proof '[.by, .why, .kept_out] | join(" ")')" = "receipt the process that counts was ended " ]
}

@test "where tracefs may not be read: said, and what was measured instead" {
    random_file source 3M
    requires root unshare
    "$HAUL_ROOT/tests/lib/own_mounts" 'umount /sys/kernel/tracing /sys/kernel/debug 2>/dev/null || :' "$HAUL" prove source target >out 2>err
    grep -q '^NOT proven: /sys/kernel/tracing: .*mount -t tracefs' out
    grep -qE '^target    cached 0 B before, [0-9. KMiB]+ peak, 0 B after' out
    same source target
    become_nobody
    chmod 777 .
    copied prove source "$SCRATCH/of-nobody"
    [ "$(proof '[.by, .kept_out] | join(" ")')" = "receipt " ]
    copy prove -n source target
    expect_status 1
    copy prove --own-cgroup source target
    expect_status 1
}
