#!/usr/bin/env bats
# Goal: files that only look like journals cost nobody anything, and what a resume says is true.

load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    random_file source $((16 * MIB + 1234))
    JOURNAL=.target.haul
}

# To 34. journal.h: "--journal=disk.img must not cost anybody a disk image".
@test "--journal=FILE never removes a file that is not a journal" {
    echo precious >file
    copy --journal=file source target
    expect_status 11
    expect_clear_error
    expect_words 'file: is there and is not a journal'
    expect "content" "$(cat file)" precious
}

@test "what lies where the journal belongs and is in the way is named, with what can be done" {
    mkdir folder folder/.target.haul
    copy source folder/target
    expect_status 11
    expect_clear_error
    expect_words 'folder/target: .target.haul: is there and is not a journal.*remove it, or name another one by --journal=FILE'
    [ ! -e folder/target ]
    [ -d folder/.target.haul ]
    copy --journal=folder source target
    expect_status 11
    expect_clear_error
    expect_words 'haul: folder: is there and is not a journal.*--journal has to name another file'
    copied --journal=journal source folder/target
    same source folder/target
}

@test "--journal=SOURCE and --journal=TARGET are refused" {
    cp source before
    copy --journal=source source target
    [ "$status" != 0 ]
    cmp source before
    cp source target
    touch -d '2001-01-01' target
    copy --journal=target source target
    [ "$status" != 0 ]
    cmp target before
}

# It said "it was left alone", and then the failed copy took its manifest away again: that file.
@test "--manifest=FILE never removes a file that is not a manifest, nor an older one when the copy fails" {
    echo precious >file
    copy --manifest=file source target
    expect_status 11
    expect_clear_error
    expect_words 'file: is there and is not a journal'
    expect "content" "$(cat file)" precious
    copy --manifest=file missing target
    expect_status 11
    expect "content" "$(cat file)" precious
    copied --manifest=manifest source other
    cp manifest before
    copy --manifest=manifest missing another
    expect_status 24
    cmp manifest before
    haul verify --manifest=manifest other
}

# To 34. The first one's journal is unlinked under it, so that its durable chunks are forgotten.
@test "--journal=FILE in use by another copy is refused" {
    JOURNAL=journal
    begin "${SLICE[@]}" --journal=journal --bwlimit=8M source target
    wait_for_journal $((2 * MIB)) STOP
    local pid=$running
    copy "${SLICE[@]}" --journal=journal source other
    expect_status 43
    [ -e journal ]
    kill -KILL "$pid"
}

# To 32. Issue 3: "its journal damaged in any byte: noticed, said, checked, repaired".
@test "damage behind the header of the journal is said" {
    partial 8
    "$TOOLS/fill" --flip=150 "$JOURNAL"
    copied source target
    expect_words 'journal.*(damaged|torn)'
}

# To 32. The chunk is found right against the source, but the journal keeps the old digest for it.
@test "the digest after an audit that found target and source changed alike" {
    partial 8
    touch -r source reference
    "$TOOLS/fill" --flip=1000 source
    "$TOOLS/fill" --flip=1000 target
    touch -r reference source
    copied source target
    local digest
    digest=$(receipt .digest)
    same source target
    copied --chunk-size=256K source whole
    expect_receipt .digest "$digest"
}

# To 31. What is in the journal and was not audited yet counts for nothing in the line that says how to go on.
@test "a resume that is interrupted early says what is there" {
    random_file source 64M
    partial 48
    partial_save
    local had=$journalled_bytes
    # One slow fetch after the other; the audit has hardly begun.
    begin --bwlimit=64K source target
    waits_until 60 grep -q '"bytes_durable":[1-9]' begun.out
    kill -INT "$running"
    finished
    expect_status 20
    local said
    said=$(sed -n 's/.*goes on: \([0-9]*\)[.0-9]* MiB of.*/\1/p' err)
    [ "${said:-0}" -ge $((had / MIB)) ] || { echo "said $said MiB, the journal had $((had / MIB))"; show_run; false; }
}

# To 31. The target is not fresh then, and the zeros are written.
@test "zeros made into holes by -S, interrupted and resumed" {
    random_file source 8M
    head -c 50M /dev/zero >>source
    "$TOOLS/fill" --offset=60M source 4M
    partial 30 -S
    copied -S source target
    same source target
    expect_receipt .bytes_kept "$journalled_bytes"
    expect_under "blocks of the target" "$(stat -c %b target)" $((20 * MIB / 512))
}
