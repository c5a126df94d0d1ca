#!/usr/bin/env bats
# Goal: a target that fails in the middle of a copy (quota, read-only, stale, a lost page) is said in one line, nothing is called
# durable that is not, and the same command goes on when it works again. A wall clock that jumps changes nothing.
load ../lib/common
load ../lib/resume

failing() {
    requires root fuse
    FUSE_FAULTS=(--uncached --fails="$SCRATCH/fails")
    on_fs fuse 0
    target=$FS/target
    random_file source 6M
    touch -d 2001-01-01 source # the journal is good for later
}

# What is in the journal is in the target, it does not look finished, and the copy ends well when it may.
expect_goes_on() {
    rm -f fails
    [ ! -e "$JOURNAL" ] || journal_true "$JOURNAL" "$target"
    [ "$(receipt .durable)" = false ] || { show_run; false; }
    [ "$(stat -c %Y "$target")" != "$(stat -c %Y source)" ]
    copied source "$target"
    same source "$target"
    [ ! -e "$JOURNAL" ]
}

@test "a quota, a file system that becomes read-only, a stale handle, an error: 11, and on from there" {
    local fault
    failing
    JOURNAL=$FS/.target.haul
    for fault in "122 changes:quota exceeded.*make room|make room.*quota exceeded" "30 changes:read-only file system" \
        "116 all:stale file handle" "5 changes:input/output error"; do
        rm -f "$target"
        begin --chunk-size=64K --sync-every=256K --bwlimit=6M --memory=1M source "$target"
        meanwhile "$target" $((2 * MIB)) sh -c 'echo "$1" >fails' - "${fault%%:*}"
        finished
        expect_status 11
        expect_words "target: .*(${fault#*:})|(${fault#*:}).*target"
        expect_goes_on
    done
}

@test "a sync that fails once, as the kernel tells of a lost page, is not believed by any later one" {
    local sync
    failing
    JOURNAL=$SCRATCH/journal
    for sync in 0 256K; do # in the end; at a checkpoint, with others behind it
        rm -f "$target"
        echo "5 sync" >fails
        copy --cache=window --journal="$JOURNAL" --chunk-size=64K --sync-every=$sync --bwlimit=12M source "$target"
        expect_status 11
        expect_words 'target: sync to the disk failed: input/output error'
        [ ! -e fails ]
        [ ! -e "$JOURNAL" ] || expect "durable by the journal" "$(journal_figure .bytes_durable "$JOURNAL")" 0
        copied --journal="$JOURNAL" source "$target"
        same source "$target"
    done
}

@test "a clock that jumps an hour at each look: times are the source's, and no time runs out" {
    ! sanitized || skip "what is preloaded comes before the sanitizer"
    random_file source 2M
    touch -d '2001-01-01 00:00:00.123456789' source
    mkdir tree
    random_file tree/one 100
    random_file tree/two 1M
    far_is_here
    under=(env LD_PRELOAD="$TOOLS/preload/clock_jumps.so")
    copied --bwlimit=4M --sync-every=256K source target
    same source target
    expect "the time" "$(stat -c %.9Y target)" "$(stat -c %.9Y source)"
    copied source target
    expect_receipt .up_to_date true
    random_file target 2M 2
    copied "${far[@]}" --timeout=$PATIENCE --bwlimit=4M source "far:$SCRATCH/target"
    same source target
    copied -r "${far[@]}" --timeout=$PATIENCE "far:$SCRATCH/tree" copy
    diff -r tree copy/tree
}
