#!/usr/bin/env bats
# Goal: what cp, dd, rsync or an earlier haul without a journal left behind is used: every chunk is compared, only what
# differs is written, and a size never passes for progress. --append, --append-verify and --restart mean what they say.

load ../lib/common
load ../lib/resume

BYTES=$((16 * MIB + 1234))

setup() {
    scratch_open
    random_file source $BYTES
    touch -d '2001-01-01' source
    JOURNAL=.target.haul
}

# Completed from what is there: so much was right, and the rest was written.
completed() { # KEPT OPTIONS...
    pages --evict target
    copied "${@:2}" source target
    uncached target
    same source target
    expect_receipt .bytes_kept "$1"
    expect_receipt .bytes_copied $((BYTES - $1))
    expect_receipt .resumed false
    expect "mtime" "$(stat -c %.9Y target)" "$(stat -c %.9Y source)"
    [ ! -e "$JOURNAL" ]
}

@test "a partial of cp, cut in the middle of a chunk" {
    head -c $((5 * MIB + 5)) source >target
    completed $((5 * MIB))
}

@test "a partial of dd with a hole in its middle" {
    dd if=source of=target bs=1M count=3 status=none
    dd if=source of=target bs=1M count=4 skip=8 seek=8 conv=notrunc status=none
    completed $((7 * MIB))
}

@test "a partial of rsync --inplace that was killed" {
    mkfifo told
    cat told 3>&- &
    local listener=$!
    rsync --inplace --bwlimit=10M source target 2>told 3>&- &
    running=$!
    cleanup_fn end_quietly $running
    wait_for_data target $((6 * MIB)) KILL
    wait $running || true
    wait $listener # its receiver, too, which goes on writing what it has been sent
    local size
    size=$(stat -c %s target)
    [ "$size" -lt "$BYTES" ]
    completed $((size / 4096 * 4096))
}

@test "a partial of rsync --partial, with the source's own time" {
    head -c 9M source >target
    touch -r source target
    completed $((9 * MIB))
}

@test "files of zeros with the final size are no copies" {
    local how
    for how in "truncate -s" "fallocate -l"; do
        rm -f target
        $how $BYTES target
        completed 0
        rm target
        $how $BYTES target
        dd if=source of=target bs=1M count=2 skip=4 seek=4 conv=notrunc status=none
        completed $((2 * MIB)) --append
    done
}

@test "a partial that is longer than the source" {
    head -c $((4 * MIB)) source >target
    truncate -s 30M target
    completed $((4 * MIB)) --append
    expect "size" "$(stat -c %s target)" $BYTES
}

@test "chunks that are right, at another place, are not taken for right" {
    tail -c +1048577 source >target
    completed 0
}

@test "only the blocks that differ, in a partial with wrong chunks" {
    cp source target
    "$TOOLS/fill" --flip=0 target
    "$TOOLS/fill" --flip=$((7 * MIB - 1)) target
    "$TOOLS/fill" --flip=$((BYTES - 1)) target
    completed $((BYTES - 2 * 4096 - BYTES % 4096))
}

@test "comparing can be interrupted, too: what was found right is in the journal" {
    cp source target
    touch -d '2002-02-02' target
    "$TOOLS/fill" --flip=$((15 * MIB)) target
    # The comparison fetches each chunk from the source, so it is held up by --bwlimit.
    interrupt $((6 * MIB)) INT "${SLICE[@]}" --bwlimit=10M source target
    expect_status 20
    journal_true "$JOURNAL" target
    expect "the journal knows of old content" "$(journal_figure .compare "$JOURNAL")" true
    copied source target
    same source target
    expect_receipt .resumed true
    expect_receipt .bytes_copied 4096
    expect_receipt .bytes_kept $((BYTES - 4096))
}

@test "an update in place, killed: old chunks that are not in the journal are compared" {
    cp source target
    "$TOOLS/fill" --flip=100 target
    "$TOOLS/fill" --flip=$((14 * MIB + 5)) target
    touch -d '2002-02-02' target
    interrupt $((6 * MIB)) KILL "${SLICE[@]}" --bwlimit=10M source target
    expect_status 137
    journal_true "$JOURNAL" target
    copied source target
    same source target
    expect_receipt .bytes_copied 4096
    expect_receipt .bytes_kept $((BYTES - 4096))
}

@test "--append and --append-verify without a journal compare; --restart writes all" {
    local option
    for option in --append --append-verify; do
        head -c $((5 * MIB)) source >target
        "$TOOLS/fill" --flip=100 target
        completed $((5 * MIB - 4096)) $option
    done
    cp source target
    touch -d '2002-02-02' target
    completed 0 --restart
    # Also when size and time say that nothing is to be done.
    copied source target
    expect_receipt .up_to_date true
    completed 0 --restart
}

@test "--restart takes no notice of a journal" {
    partial 8
    completed 0 --restart
    expect "lines about a journal" "$(grep -c journal err)" 0
    # And after an interruption of it, the old journal is not believed.
    partial 8
    partial_save
    "$TOOLS/fill" --flip=100 target
    local session
    session=$(journal_figure .session "$JOURNAL")
    begin "${SLICE[@]}" --restart --bwlimit=3M source target
    until [ -e "$JOURNAL" ] && [ "$(journal_figure .session "$JOURNAL" 2>/dev/null)" != "$session" ]; do
        kill -0 "$running"
        nap 0.01
    done
    wait_for_journal $((3 * MIB)) KILL
    finished
    expect_status 137
    journal_true "$JOURNAL" target
    copied source target
    same source target
}

@test "a copy that was never interrupted leaves no journal, and one with an error does" {
    copied "${SLICE[@]}" source target
    [ ! -e "$JOURNAL" ]
    expect "files" "$(find . -name '*haul*' | wc -l)" 0
    FUSE_FAULTS=(--file=source --read-eio=$((12 * MIB)))
    on_fs fuse 0
    cp source "$FUSE_BACKING/source"
    rm target
    copy --chunk-size=256K "$FS/source" target
    expect_status 11
    expect_clear_error
    journal_true "$JOURNAL" target
    [ "$journalled_bytes" -gt $((8 * MIB)) ]
    # From another copy of the source: its identity is another, so all is compared, and nothing written twice.
    copied --chunk-size=256K source target
    same source target
    expect_receipt .bytes_kept "$journalled_bytes"
}

@test "a dry run touches neither the partial nor its journal" {
    partial 8
    partial_save
    copied -n source target
    cmp target target.saved
    cmp "$JOURNAL" journal.saved
}

@test "an interrupted copy is never up to date, even with the source's time" {
    partial 8
    touch -r source target
    copied source target
    expect_receipt .up_to_date false
    expect_receipt .bytes_kept "$journalled_bytes"
    same source target
}
