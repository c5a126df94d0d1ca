#!/usr/bin/env bats
# Goal: a target that fails in the middle of a copy (quota, read-only, stale, a lost page) is said in one line, nothing is called
# durable that is not, and the same command goes on when it works again. A wall clock that jumps changes nothing. Memory that is
# refused is said, wherever it is asked for.
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

# A tree of all that takes memory of its own.
tree_that_asks() {
    mkdir -p tree/folder/below
    random_file tree/large 1200K 1
    random_file tree/folder/small 900 2
    random_file tree/folder/below/named 900 3
    random_file tree/replaced 2000 4
    ln tree/folder/small tree/hard
    ln -s folder/small tree/link
    ln tree/link tree/hard-link
    mkfifo tree/fifo
    mkdir -p older/gone/below older/link
    random_file older/replaced 2000 5
    random_file older/gone/file 10 6
}

# Every STEPth piece of memory that the run asks for is refused in its turn: then it has failed, and says why, or all is there;
# and it ends.
pieces_refused() { # STEP WORD-OF-THE-PROCESS CHECK COMMAND...
    local piece step=$1 word=$2 check=$3 refused=0 failed=0
    [ -z "${STRESS:-}" ] || step=1
    for ((piece = 1 + RANDOM % step; ; piece += step)); do
        rm -rf refused target plan*
        cp -a older target
        under=(env LD_PRELOAD="$TOOLS/preload/no_memory.so" NO_MEMORY_AT=$piece NO_MEMORY_OF="$word" NO_MEMORY_SAID="$SCRATCH/refused")
        "${@:4}"
        under=()
        [ -e refused ] || break
        refused=$((refused + 1))
        if [ "$status" = 0 ]; then
            "$check" || { echo "piece $piece"; return 1; }
            continue
        fi
        failed=$((failed + 1))
        [[ $status =~ ^(5|11|22|23)$ ]] && grep -q '^haul: ' err && ! grep -q 'without a reason' err || { echo "piece $piece"; expect_status "5, 11, 22 or 23"; }
    done
    echo "$word: $refused refused, $failed runs have failed"
    expect_status 0
    "$check"
    [ "$refused" -gt 5 ] && [ "$failed" -gt 0 ]
}

tree_is_there() {
    expect "differences" "$(rsync -aHn --checksum --delete --itemize-changes tree/ target)" ""
}

planned() {
    status=0
    spawn "${under[@]}" "$LIMIT" "$PATIENCE" "$HAUL" plan -aH tree/ target >plan 2>err || status=$?
}

plan_is_good() {
    haul run -q plan --unit=1
    haul finish -q plan
    diff -r -x fifo -x gone tree target
}

@test "memory is refused, one piece after the other: said, or all is there, and never a wait without an end" {
    ! sanitized || skip "what is preloaded comes before the sanitizer"
    requires rsync
    tree_that_asks
    far_is_here
    pieces_refused 5 --json tree_is_there copy -aH --delete tree/ target
    pieces_refused 13 --json tree_is_there copy -aH --delete "${far[@]}" tree/ "far:$SCRATCH/target"
    pieces_refused 7 --server tree_is_there copy -aH --delete "${far[@]}" tree/ "far:$SCRATCH/target"
    pieces_refused 7 plan plan_is_good planned
}
