#!/usr/bin/env bats
# Goal: in a memory cgroup of 32 or 12 MiB a file many times as large is copied without hitting the limit once.
# The sanitizers' own memory does not fit into such a cgroup: there, the same copies run in one of 1 GiB, and the
# peaks are not judged (a note says so); all else is.
load ../lib/common

SIZE=$((256 * MIB + 1111))

# copied_within LIMIT-MIB PEAK-MIB OPTIONS SOURCE TARGET
copied_within() {
    local limit=$1 peak=$2
    shift 2
    requires cgroup
    if sanitized; then
        note "note: $BATS_TEST_DESCRIPTION: sanitizers are in; limit 1 GiB in place of $limit MiB, peak not judged"
        under=(in_cgroup $((1024 * MIB)))
        copied "$@"
        expect "failcnt" "$(cgroup_figure failcnt)" 0
        return
    fi
    under=(in_cgroup $((limit * MIB)))
    copied "$@"
    expect "failcnt" "$(cgroup_figure failcnt)" 0
    expect_under "peak" "$(cgroup_figure peak)" $((peak * MIB))
}

@test "32 MiB, ext4" {
    on_fs ext4 600M
    random_file "$FS/source" $SIZE
    copied_within 32 28 "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "12 MiB, ext4" {
    on_fs ext4 600M
    random_file "$FS/source" $SIZE
    copied_within 12 11 "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, ext4, --cache=window" {
    on_fs ext4 600M
    random_file "$FS/source" $SIZE
    copied_within 32 28 --cache=window "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, ext4, without io_uring" {
    on_fs ext4 600M
    random_file "$FS/source" $SIZE
    copied_within 32 28 --engine=threads "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, overlayfs" {
    on_fs overlay 600M
    random_file "$FS/source" $SIZE
    copied_within 32 28 "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, overlayfs, --cache=window" {
    on_fs overlay 600M
    random_file "$FS/source" $SIZE
    copied_within 32 28 --cache=window "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, ext4 data=journal" {
    on_fs ext4-journal 600M
    random_file "$FS/source" $SIZE
    copied_within 32 28 "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, btrfs with checksums" {
    on_fs btrfs 800M
    random_file "$FS/source" $SIZE
    copied_within 32 28 "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, an update in place" {
    random_file source $SIZE
    random_file target $SIZE
    "$TOOLS/fill" --flip=100000000 target
    touch -d '2001-01-01' target
    copied_within 32 28 source target
    expect_receipt .bytes_kept $((255 * MIB + 1111))
    uncached source target
    same source target
}

@test "32 MiB, --verify" {
    random_file source $SIZE
    copied_within 32 28 --verify source target
    uncached source target
    same source target
}

@test "resident memory does not depend on the size of the file" {
    random_file small 10M
    random_file large $SIZE
    copied small target1
    local memory
    memory=$(receipt .memory_peak_bytes)
    copied large target2
    sanitized && { note "note: memory not judged: sanitizers are in"; return; }
    local more=$(($(receipt .memory_peak_bytes) - memory))
    expect_under "memory more than for a small file" "${more#-}" $((MIB + 1))
    expect_under "memory" "$(receipt .memory_peak_bytes)" $((28 * MIB))
}
