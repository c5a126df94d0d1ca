#!/usr/bin/env bats
# Goal: an existing target is brought up to date in place: equal files are skipped by size and time, otherwise only chunks
# that differ are written.
load ../lib/common

setup() {
    scratch_open
    random_file source $((8 * MIB + 777))
}

old_copy() { # the source as it was, with another time
    cp source target
    touch -d '2001-01-01' target
}

@test "same size and time: up to date, not read" {
    cp -p source target
    "$TOOLS/fill" --flip=100 target
    touch -r source target
    cp target before
    touch -r source target
    copied source target
    expect_receipt .bytes_copied 0
    same target before
}

@test "-I copies in spite of size and time" {
    cp -p source target
    "$TOOLS/fill" --flip=100 target
    touch -r source target
    copied -I source target
    same source target
    expect_receipt .bytes_copied 4096
}

@test "-c compares by content in spite of size and time" {
    cp -p source target
    "$TOOLS/fill" --flip=5000000 target
    touch -r source target
    copied -c source target
    same source target
    expect_receipt .bytes_copied 4096
}

@test "-c of equal files with other times writes no data" {
    old_copy
    copied -c source target
    expect_receipt .bytes_copied 0
    expect_receipt .bytes_kept $((8 * MIB + 777))
    expect "mtime" "$(stat -c %Y target)" "$(stat -c %Y source)"
}

@test "only the blocks that differ are written" {
    old_copy
    "$TOOLS/fill" --flip=0 target
    "$TOOLS/fill" --flip=$((3 * MIB + 5)) target
    touch -d '2001-01-01' target
    pages --evict target
    pages --evict source
    local inode
    inode=$(stat -c %i target)
    copied source target
    uncached source target
    same source target
    expect_receipt .bytes_copied 8192
    expect_receipt .bytes_kept $((8 * MIB + 777 - 8192))
    expect "inode" "$(stat -c %i target)" "$inode"
}

@test "a difference in the last, short chunk" {
    old_copy
    "$TOOLS/fill" --flip=$((8 * MIB + 776)) target
    touch -d '2001-01-01' target
    copied source target
    same source target
    expect_receipt .bytes_copied 777
}

@test "a target that is longer is cut" {
    cp source target
    "$TOOLS/fill" --offset=$((8 * MIB + 777)) --seed=9 target 3M
    touch -d '2001-01-01' target
    copied source target
    same source target
    expect_receipt .bytes_copied 0
    random_file target 20M 3
    copied source target
    uncached target
    same source target
}

@test "a longer target of an empty source becomes empty" {
    : >empty
    random_file target 1M
    copied empty target
    expect "size" "$(stat -c %s target)" 0
}

@test "a target that is shorter is completed" {
    head -c 3000000 source >target
    touch -d '2001-01-01' target
    copied source target
    same source target
    expect_receipt .bytes_kept $((3000000 / 4096 * 4096))
}

@test "a partial of zeros with the final size is no copy" {
    truncate -s $((8 * MIB + 777)) target
    touch -d '2001-01-01' target
    copied source target
    same source target
    expect_receipt .bytes_copied $((8 * MIB + 777))
}

@test "a second run after a change of the source" {
    copied source target
    "$TOOLS/fill" --flip=$((4 * MIB)) source
    copied source target
    same source target
    expect_receipt .bytes_copied 4096
    copied source target
    expect_receipt .bytes_copied 0
}

@test "updates with each engine and policy" {
    local engine policy
    for engine in uring threads sync; do
        for policy in direct window; do
            old_copy
            "$TOOLS/fill" --flip=$((2 * MIB)) target
            touch -d '2001-01-01' target
            copied --engine=$engine --cache=$policy source target
            same source target
            expect_receipt .bytes_copied 4096
        done
    done
}

@test "a target with more than one name that is changed: one note; none where nothing was written" {
    old_copy
    ln target generation
    copied source target
    [ "$(grep -c names err)" = 0 ]
    "$TOOLS/fill" --flip=100 target
    copied -I source target
    expect_words 'target: has 2 names, and all of them have the new bytes; --no-inplace leaves'
    same source generation
    rm generation
    "$TOOLS/fill" --flip=100 target
    copied -I source target
    [ "$(grep -c names err)" = 0 ]
}
