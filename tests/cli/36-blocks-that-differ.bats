#!/usr/bin/env bats
# Goal: of a chunk that differs only the blocks that do are sent and written, here, pushed and pulled; so what shares blocks
# with something else goes on sharing the rest. DELTA_MIB: the file's size (default 32).
load ../lib/common

DELTA_MIB=${DELTA_MIB:-32}

setup() {
    scratch_open
    far_is_here
}

# Every 100th block of FILE, from the third on, gets another byte; $changed are the bytes of those blocks.
change() { # FILE
    local block blocks=$(($(stat -c %s "$1") / 4096))
    changed=0
    for ((block = 3; block < blocks; block += 100)); do
        "$TOOLS/fill" --flip=$((block * 4096 + 77)) "$1"
        changed=$((changed + 4096))
    done
    touch -d 2001-01-01 "$1"
}

# What went over the link is 1.3 times the changed bytes at most, and so much was written.
expect_spared() {
    expect_receipt .bytes_copied $changed
    expect_receipt .bytes_kept $(($(stat -c %s source) - changed))
    same source target
}

@test "1 % of the blocks changed: so many bytes are written, and 1.3 times as many sent" {
    local way words
    random_file source $((DELTA_MIB * MIB + 100))
    cp source old
    change old
    for way in here push pull; do
        cp old target
        pages --evict source target >/dev/null
        case $way in
        here) words=(source target) ;;
        push) words=("${far[@]}" source "far:$SCRATCH/target") ;;
        pull) words=("${far[@]}" "far:$SCRATCH/source" target) ;;
        esac
        copied "${words[@]}"
        expect_spared
        [ $way = here ] ||
            expect_under "bytes on the link" $(($(receipt .wire_bytes_sent) + $(receipt .wire_bytes_received))) $((changed * 13 / 10))
    done
}

@test "every policy and engine, the last short block, all blocks of a chunk, none but the first; packed; damaged chunks" {
    local engine policy
    random_file source $((3 * MIB + 5000))
    for policy in direct window plain; do
        for engine in uring threads sync; do
            cp source target
            dd if=/dev/zero of=target bs=1M count=1 conv=notrunc status=none
            "$TOOLS/fill" --flip=$((MIB + 5)) target
            "$TOOLS/fill" --flip=$((3 * MIB + 4999)) target
            touch -d 2001-01-01 target
            cp target far
            changed=$((MIB + 4096 + 904))
            copied --cache=$policy --engine=$engine source target
            expect_spared
            mv far target
            copied -z "${far[@]}" --cache=$policy --engine=$engine source "far:$SCRATCH/target"
            expect_spared
        done
    done
}

# Blocks of FILE that it shares with others, in bytes.
shared() {
    filefrag -v "$1" | awk '/shared/ { gsub("[.:]", " "); sum += $6 } END { print sum * 4096 }'
}

@test "a reflinked target goes on sharing what is equal, a sparse one keeps its holes" {
    requires filefrag
    on_fs xfs 600M
    random_file "$FS/source" 8M
    cp "$FS/source" "$FS/base"
    change "$FS/base"
    cp --reflink=always "$FS/base" "$FS/target"
    touch -d 2001-01-01 "$FS/target"
    sync -f "$FS"
    expect "shared before" "$(shared "$FS/target")" 8388608
    copied "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
    expect "shared behind it" "$(shared "$FS/target")" $((8388608 - changed))
    truncate -s 8M "$FS/holes"
    fallocate -p -o 4096 -l 1M "$FS/source"
    fallocate -i -o 0 -l 4096 "$FS/source" 2>/dev/null || true
    copied "$FS/source" "$FS/holes"
    same "$FS/source" "$FS/holes"
}
