#!/usr/bin/env bats
# Goal: between an interruption and the resume anything may have happened to the old part of the target, to the journal
# and to the source. It is noticed and repaired, only what is wrong is written again, and nothing damaged is trusted.

load ../lib/common
load ../lib/resume

CHUNK=262144
BYTES=$((16 * MIB + 1234))

setup() {
    scratch_open
    random_file source $BYTES
    JOURNAL=.target.haul
}

# Half a copy, to be damaged again and again.
half() {
    partial 8
    partial_save
}

# Resumed in spite of all: equal, nothing left, and the words (extended regular expression) were said.
mended() { # WORDS OPTIONS...
    copied --chunk-size=256K "${@:2}" source target
    same source target
    [ ! -e "$JOURNAL" ] || { echo "the journal is still there"; return 1; }
    [ -z "$1" ] || expect_words "$1"
}

# The same, and with every chunk that was right kept.
mended_and_kept() { # WORDS OPTIONS...
    mended "$@"
    expect_receipt .bytes_kept "$journalled_bytes"
    expect_receipt .bytes_copied $((BYTES - journalled_bytes))
}

# --- the old part -----------------------------------------------------------------------------------------------------

@test "one flipped byte in the old part: that block is rewritten, and no other" {
    half
    local at engine=sync
    for at in 0 262143 262144 $((5 * MIB + 77)); do
        partial_restore
        "$TOOLS/fill" --flip="$at" target
        mended "" --engine=$engine
        engine=uring
        expect_receipt .exit 0
        expect_receipt .durable true
        expect_receipt .chunks_repaired 1
        expect_receipt .bytes_repaired 4096
        expect_receipt .bytes_kept $((journalled_bytes - 4096))
        expect_receipt .bytes_copied $((BYTES - journalled_bytes + 4096))
    done
}

@test "one flipped byte is found by --append-verify, by a whole-file receipt in words, and by --append, as it was written" {
    half
    "$TOOLS/fill" --flip=1000000 target
    mended "" --append-verify
    expect_receipt .chunks_repaired 1
    partial_restore
    "$TOOLS/fill" --flip=1000000 target
    haul source target >words
    grep -q '4.00 KiB of it repaired in 1 chunk\b' words || { cat words; false; }
    cmp source target
    partial_restore
    "$TOOLS/fill" --flip=1000000 target
    copied --append source target
    expect_receipt .chunks_repaired 1
    expect_words 'may have been written since'
    same source target
}

# Audited in turns with what is new: an interruption comes before the last of it.
@test "one flipped byte, and a resume that ends before it is found: --append does not believe the old part either" {
    half
    "$TOOLS/fill" --flip=$((journalled_bytes - CHUNK / 2)) target
    begin --chunk-size=256K --sync-every=256K --bwlimit=1M --engine=sync source target
    wait_for_journal $((journalled_bytes + CHUNK)) INT
    finished
    expect_status 20
    copied --append source target
    expect_words 'may have been written since'
    same source target
}

@test "a flipped byte in the new part does not matter" {
    half
    "$TOOLS/fill" --flip=$((BYTES - 1)) target
    mended_and_kept ""
    expect_receipt .chunks_repaired 0
}

@test "the whole old part is zeros: all of it is repaired" {
    half
    head -c $BYTES /dev/zero >target
    mended ""
    expect_receipt .bytes_repaired "$journalled_bytes"
    expect_receipt .bytes_copied $BYTES
}

@test "a flipped byte, and killed in the middle of the repair" {
    half
    "$TOOLS/fill" --flip=100 target
    "$TOOLS/fill" --flip=3000000 target
    interrupt $((10 * MIB)) KILL "${SLICE[@]}" --bwlimit=4M source target
    expect_status 137
    mended ""
}

# --- the journal ------------------------------------------------------------------------------------------------------

# Is nothing of the journal believed from the batch on that stands at offset $2?
distrusted() { # FLIPPED-OFFSET BATCH-OFFSET
    if [ "$1" -lt 128 ]; then
        run "$HAUL" journal --json "$JOURNAL"
        expect "haul journal of a damaged header" "$status" 11
        return
    fi
    expect "damaged" "$(journal_figure .damaged "$JOURNAL")" true
    expect "good bytes" "$(journal_figure .good_bytes "$JOURNAL")" "$2"
}

# Offsets of the batches, from the format: sum 8, magic 4, count 4, session 8, stamp 8, then 24 bytes an entry.
batches() {
    local at=128 length count
    length=$(stat -c %s "$JOURNAL")
    while [ "$at" -lt "$length" ]; do
        echo "$at"
        count=$(od -An -t u4 -j $((at + 12)) -N 4 "$JOURNAL")
        at=$((at + 32 + count * 24))
    done
    [ "$at" = "$length" ]
}

@test "one flipped byte in the header of the journal: every chunk is compared, none written that was right" {
    half
    local at
    # magic, version, flags, session, size, chunk size, zeros, source, target, spare, checksum
    for at in 0 7 8 11 12 16 23 24 31 32 35 36 40 48 56 64 71 72 80 103 104 119 120 127; do
        partial_restore
        "$TOOLS/fill" --flip=$at "$JOURNAL"
        distrusted $at
        mended_and_kept "journal"
        expect_receipt .resumed false
        partial_restore
        "$TOOLS/fill" --flip=$at "$JOURNAL"
        mended_and_kept "the journal cannot be used; comparing every chunk" --append
    done
}

@test "one flipped byte in each region of a batch: nothing from there on is trusted" {
    half
    local batch at option entries
    batches >batches
    [ "$(wc -l <batches)" -ge 2 ] # a slow disk makes fewer and larger ones
    for batch in $(sed -n '1,2p;$p' batches | sort -n -u); do
        entries=$(od -An -t u4 -j $((batch + 12)) -N 4 journal.saved)
        # checksum, magic, count, session, stamp, number of a chunk, its digest, the second entry
        for at in 0 7 8 11 12 15 16 23 24 31 32 39 40 55 56 64; do
            [ $at -lt $((32 + entries * 24)) ] || continue # it has one entry only
            partial_restore
            "$TOOLS/fill" --flip=$((batch + at)) "$JOURNAL"
            distrusted $((batch + at)) "$batch"
            # --append would believe what it reads: then a wrong number or digest would show.
            option=--append
            [ "$at" != 40 ] || option=--progress
            mended_and_kept "" $option
        done
    done
}

@test "the last byte of the journal, and bytes behind it" {
    half
    local last length
    length=$(stat -c %s "$JOURNAL")
    batches >batches
    last=$(tail -n 1 batches)
    "$TOOLS/fill" --flip=$((length - 1)) "$JOURNAL"
    distrusted $((length - 1)) "$last"
    mended_and_kept ""
    local tail
    for tail in 1 31 32 4096; do
        partial_restore
        head -c $tail /dev/zero >>"$JOURNAL"
        distrusted "$length" "$length"
        mended_and_kept ""
        partial_restore
        head -c $tail /dev/urandom >>"$JOURNAL"
        mended_and_kept "" --append
    done
    # A batch of this very journal once more: true, and harmless.
    partial_restore
    tail -c +$((last + 1)) journal.saved >>"$JOURNAL"
    expect "damaged" "$(journal_figure .damaged "$JOURNAL")" false
    mended_and_kept ""
}

@test "a journal cut off at any length" {
    half
    local length cut
    length=$(stat -c %s "$JOURNAL")
    for cut in 0 1 8 127 128 129 159 160 161 184 $((length / 2)) $((length - 25)) $((length - 1)); do
        partial_restore
        truncate -s "$cut" "$JOURNAL"
        mended ""
        # Whatever it still lists: the rest is compared.
        expect_receipt .bytes_kept "$journalled_bytes"
    done
}

@test "a journal made longer by a hole, a folder, a fifo and a symbolic link in its place" {
    half
    truncate -s 1T "$JOURNAL"
    mended_and_kept ""
    partial_restore
    ln -sf "$PWD/journal.saved" "$JOURNAL"
    cp journal.saved before
    copy source target
    [ "$status" = 0 ] || { expect_status 11; expect_clear_error; }
    cmp journal.saved before
    rm -f "$JOURNAL"
    partial_restore
    rm "$JOURNAL"
    mkfifo "$JOURNAL"
    copy source target
    [ "$status" = 0 ] || { expect_status 11; expect_clear_error; }
    rm -f "$JOURNAL"
    mkdir "$JOURNAL"
    copy source target
    [ "$status" = 0 ] || { expect_status 11; expect_clear_error; }
    rmdir "$JOURNAL"
    copied source target
    same source target
}

@test "the journal of another copy" {
    half
    random_file source $BYTES 7
    rm target "$JOURNAL"
    partial 4
    cp journal.saved "$JOURNAL"
    mended "has changed|replaced"
    expect_receipt .resumed false
    # The same source, another target.
    rm -f target
    partial 8
    cp target other
    cp "$JOURNAL" .other.haul
    "$TOOLS/fill" --flip=100 other
    copied source other
    same source other
    expect_words "the target was replaced or resized since"
    [ ! -e .other.haul ]
    # The old one's is still there, and still right.
    journal_true "$JOURNAL" target
    mended_and_kept ""
}

# --- the target and the source ----------------------------------------------------------------------------------------

@test "the target was replaced, truncated, extended or removed since" {
    half
    cp target copy
    mv copy target
    mended_and_kept "the target was replaced or resized since; comparing every chunk"
    partial_restore
    half
    truncate -s 3M target
    mended "replaced or resized"
    expect_receipt .bytes_kept $((3 * MIB))
    partial_restore
    truncate -s 3M target
    mended "replaced or resized" --append
    expect_receipt .bytes_kept $((3 * MIB))
    partial_restore
    head -c 1M /dev/urandom >>target
    mended_and_kept "replaced or resized"
    partial_restore
    rm target
    mended ""
    expect_receipt .bytes_copied $BYTES
    rm target
    partial 8
    : >target
    mended ""
    expect_receipt .bytes_copied $BYTES
}

# The journal knows a target by its inode, which a new file gets again, and its size.
@test "another file with the old one's inode and size: nothing of it stays in the holes of the source" {
    truncate -s 48M source
    "$TOOLS/fill" --offset=0 source 8M
    "$TOOLS/fill" --offset=30000001 source 8M
    random_file other 48M 7
    local option
    for option in "" --append-verify -S; do
        rm -f target
        partial 10 $option
        cat other >target # the same inode for certain
        copied $option source target
        same source target
    done
}

@test "the source has changed since: size, time, content" {
    half
    touch source
    mended_and_kept "the source has changed since; comparing every chunk with it"
    partial_restore
    "$TOOLS/fill" --flip=5 source
    mended "the source has changed since"
    expect_receipt .bytes_kept $((journalled_bytes - 4096))
    touch -d '2001-01-01' source
    rm target
    partial 8
    partial_save
    head -c 100000 /dev/urandom >>source
    touch -d '2001-01-01' source
    mended "the source has changed since" --append
    expect_receipt .bytes_kept "$journalled_bytes"
    truncate -s 5M source
    partial_restore
    mended "the source has changed since"
    expect_receipt .bytes_copied 0
    # Replaced by another file of the same size and time.
    rm target
    random_file source $BYTES
    partial 8
    random_file other $BYTES 9
    touch -r source other
    mv other source
    mended "the source has changed since"
    expect_receipt .bytes_copied $BYTES
}

@test "the source has other content behind the same size and time: --append-verify finds it" {
    half
    touch -r source reference
    "$TOOLS/fill" --flip=1000000 source
    touch -r reference source
    mended "" --append-verify
    expect_receipt .bytes_kept $((journalled_bytes - CHUNK))
    expect_receipt .chunks_repaired 1
    # The digest is that of what is there now.
    local digest
    digest=$(receipt .digest)
    copied --chunk-size=256K source whole
    expect_receipt .digest "$digest"
}

# --- zeros that come later ----------------------------------------------------------------------------------------------

# Pieces of the old part become zeros in the source, stored ones and a hole, at the same size and time.
zeros_later() {
    touch -r source reference
    dd if=/dev/zero of=source bs=256K seek=3 count=2 conv=notrunc status=none
    dd if=/dev/zero of=source bs=4K seek=650 count=3 conv=notrunc status=none
    fallocate -p -o 5M -l 256K source
    touch -r reference source
}

@test "zeros in the old part of a sparse file: --append-verify writes them" {
    local option
    for option in "" -S --cache=window --chunk-size=1M --memory=1M; do
        random_file source $BYTES
        truncate -s 24M source
        rm -f target
        partial 8
        zeros_later
        mended "" --append-verify $option
        expect_receipt .chunks_repaired 4
    done
}

@test "zeros in the old part of a device: -S --append-verify writes them" {
    requires root loop
    local option
    truncate -s 20M image
    LOOP=$(losetup --find --show image)
    cleanup_fn loop_detach "$LOOP"
    JOURNAL=$SCRATCH/journal
    for option in -S --sparse; do
        random_file source $((16 * MIB))
        random_file image $((20 * MIB)) 9
        blockdev --flushbufs "$LOOP"
        rm -f "$JOURNAL"
        interrupt $((8 * MIB)) INT --chunk-size=256K --sync-every=1M --bwlimit=10M --write-devices --journal="$JOURNAL" source "$LOOP"
        expect_status 20
        zeros_later
        copied --write-devices --journal="$JOURNAL" $option --append-verify source "$LOOP"
        cmp -n $((16 * MIB)) source "$LOOP"
    done
}

# Old content stands everywhere on a device, also where the source has holes.
@test "a source with holes onto a device that is full of something else" {
    requires root loop
    truncate -s 20M image source
    "$TOOLS/fill" --offset=3M source 5000001
    "$TOOLS/fill" --offset=12M source 4K
    LOOP=$(losetup --find --show image)
    cleanup_fn loop_detach "$LOOP"
    local option
    for option in "" -S --restart --cache=window; do
        random_file image $((20 * MIB)) 9
        blockdev --flushbufs "$LOOP"
        copied --write-devices $option source "$LOOP"
        cmp source "$LOOP"
    done
}

# --- killed before a checkpoint -----------------------------------------------------------------------------------------

# What was written stays written though the journal names nothing, so a copy that is killed again and again arrives. What
# the interrupted run left blank costs nothing: only where the target has data is anything compared.
@test "killed before the first checkpoint: what was written is kept, and the rest is not read" {
    local turn had log=$SCRATCH/log
    random_file source $((32 * MIB))
    for turn in 1 2; do
        begin --chunk-size=256K --sync-every=0 --bwlimit=16M --manifest=sums source target
        wait_for_data target $((8 * turn * MIB)) KILL
        finished
        expect_status 137
        expect "chunks in the journal" "$(journal_figure .chunks_durable "$JOURNAL")" 0
    done
    sync target
    had=$(/usr/bin/python3 -c 'import os
fd, at, sum = os.open("target", os.O_RDONLY), 0, 0
try:
    while True:
        start = os.lseek(fd, at, os.SEEK_DATA)
        at = os.lseek(fd, start, os.SEEK_HOLE)
        sum += at - start
except OSError:
    print(sum)')
    [ "$had" -ge $((16 * MIB)) ] || { echo "only $had bytes were written"; false; }
    under=("$TOOLS/iotrace" "$log" "$SCRATCH/target")
    copied --engine=threads --chunk-size=256K --manifest=sums source target
    under=()
    same source target
    [ "$(receipt .bytes_kept)" -ge $((had - 2 * MIB)) ] || { echo "$had bytes were there"; show_run; false; }
    expect_under "reads of the target" "$(grep -c '^read' log)" $((had / 262144 + 20))
}
