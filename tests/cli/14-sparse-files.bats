#!/usr/bin/env bats
# Goal: holes stay holes, cost no time and no space, and read as zeros.
load ../lib/common

blocks() {
    stat -c %b "$1"
}

@test "a sparse file keeps its holes" {
    truncate -s 100M source
    "$TOOLS/fill" --offset=0 source 1M
    "$TOOLS/fill" --offset=30M source 3M
    "$TOOLS/fill" --offset=70000001 source 12345
    copied source target
    uncached source target
    same source target
    # 1 MiB + 3 MiB + 12 KiB of data; one chunk of slack for each piece. In 512-byte blocks.
    expect_under "blocks of the target" "$(blocks target)" $((8 * MIB / 512))
}

@test "a file that is one hole" {
    truncate -s 1G source
    copied source target
    expect "size" "$(stat -c %s target)" $((1024 * MIB))
    expect_under "blocks of the target" "$(blocks target)" 64
    expect_receipt .bytes_total $((1024 * MIB))
}

@test "a hole at the end, of odd length" {
    random_file source 1M
    truncate -s 5000003 source
    copied source target
    same source target
}

@test "holes of the source replace data of an old target" {
    truncate -s 10M source
    "$TOOLS/fill" --offset=4M source 1M
    random_file target 10M 5
    touch -d '2001-01-01' target
    copied source target
    same source target
}

@test "sparse files with the window policy and without io_uring" {
    truncate -s 20M source
    "$TOOLS/fill" --offset=7M source 100000
    copied --cache=window --engine=threads source target
    same source target
    expect_under "blocks of the target" "$(blocks target)" $((3 * MIB / 512))
}

@test "-S makes holes of zeros" {
    head -c 20M /dev/zero >source
    "$TOOLS/fill" --offset=5M source 1M
    copied -S source target
    same source target
    expect_under "blocks of the target" "$(blocks target)" $((3 * MIB / 512))
}

# Direct writes keep to it, also around zeros that are left out.
@test "a disk with blocks of 8 KiB" {
    requires root loop
    truncate -s 400M image
    LOOP=$(losetup --find --show --direct-io=on --sector-size 8192 image) || skip "needs loop devices of 8 KiB sectors"
    cleanup_fn loop_detach "$LOOP"
    mkdir disk
    mkfs.xfs -q -f -K -s size=8192 -b size=8192 "$LOOP"
    mount "$LOOP" disk || skip "needs a kernel that mounts it"
    cleanup_fn unmount "$SCRATCH/disk"
    truncate -s 20M source
    "$TOOLS/fill" --offset=12K source 4K
    "$TOOLS/fill" --offset=1204K source 12K
    "$TOOLS/fill" --offset=20M source 5000003
    local option
    for option in --verify --cache=window -S; do
        rm -f disk/target back
        copied $option source disk/target
        same source disk/target
        copied $option disk/target back
        same source back
    done
}

@test "a sparse file of 2 TiB takes seconds and the memory of a small one" {
    requires root
    on_fs xfs 1G # ext4 with 4 KiB blocks ends at 16 TiB as well; xfs keeps a large hole in no metadata at all
    truncate -s 2T "$FS/source"
    "$TOOLS/fill" --offset=1T "$FS/source" 5M
    random_file small 20M
    copied small "$FS/small"
    local memory
    memory=$(receipt .memory_peak_bytes)
    HAUL_TIMEOUT=150 copied "$FS/source" "$FS/target"
    expect "size" "$(stat -c %s "$FS/target")" $((2 * 1024 * 1024 * MIB))
    cmp -n 6000000 -i 1T "$FS/source" "$FS/target"
    expect_under "blocks of the target" "$(blocks "$FS/target")" $((8 * MIB / 512))
    sanitized || expect_under "memory beside that for a small file" "$(receipt .memory_peak_bytes)" $((memory + 2 * MIB))
}

# Data around the places where a number has one bit more, and at the very end: in one file each, here and by a pipe, and
# again where the last byte of the target is another.
@test "4 GiB and 2 TiB, a byte less and a byte more, and 5 TiB: every byte in its place" {
    local size at way
    on_fs xfs 1G
    printf '#!/bin/sh\nshift\nexec "$@"\n' >far
    chmod +x far
    for size in 4294967295 4294967296 4294967297 2199023255551 2199023255552 2199023255553 5497558138880; do
        rm -f "$FS"/*
        truncate -s "$size" "$FS/source"
        for at in 4293967296 2199022255552 $((size - 70000)); do
            [ "$at" -ge "$size" ] || "$TOOLS/fill" --seed="$at" --offset="$at" "$FS/source" $((size - at < 2 * MIB ? size - at : 2 * MIB))
        done
        expect "size of the source" "$(stat -c %s "$FS/source")" "$size"
        copied "$FS/source" "$FS/here"
        copied -e ./far --remote-path="$HAUL" "$FS/source" "far:$FS/there"
        for way in here there; do spread_same "$FS/source" "$FS/$way"; done
        [ "$size" -lt 2000000000000 ] || continue # a hole is compared as fast as memory is read
        for way in here there; do "$TOOLS/fill" --flip=$((size - 1)) "$FS/$way"; done
        copied -I "$FS/source" "$FS/here"
        copied -I -e ./far --remote-path="$HAUL" "$FS/source" "far:$FS/there"
        expect_receipt .bytes_copied $((size % 4096 ? size % 4096 : 4096))
        for way in here there; do spread_same "$FS/source" "$FS/$way"; done
    done
}

spread_same() { # SOURCE TARGET
    local at size
    size=$(stat -c %s "$1")
    expect "size of $2" "$(stat -c %s "$2")" "$size"
    for at in 4293967296 2199022255552 $((size - 70000)); do
        [ "$at" -ge "$size" ] || cmp -n $((2 * MIB + 4096)) -i "$at" "$1" "$2"
    done
    expect_under "blocks of $2" "$(blocks "$2")" $((12 * MIB / 512))
}
