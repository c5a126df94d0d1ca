#!/usr/bin/env bats
# Goal: `haul journal` shows a journal for people and for programs, says where a damaged one ends, and the example in
# haul-journal(5) is a real one.
load ../lib/common

PAGE=$HAUL_ROOT/man/haul-journal.5

# The page's example as a file; its words about it.
example() {
    sed -nE 's/^[0-9a-f]{8}  (([0-9a-f]{2} +){15}[0-9a-f]{2})$/\1/p' "$PAGE" | tr -d ' \n' >hex
    [ "$(wc -c <hex)" = 416 ] || { echo "no example in $PAGE"; return 1; }
    printf "$(sed 's/../\\x&/g' hex)" >journal.bin
}

field() { # FILTER: of the first line of ./out
    head -n 1 out | jq -r "$1"
}

@test "the manual page's example is read as the page says" {
    example
    "$HAUL" journal -v journal.bin >words
    sed -n '/^journal   1, session/,/^\.Ed/p' "$PAGE" | grep -v '^\.Ed' >expected
    [ -s expected ]
    diff expected words
    "$HAUL" journal journal.bin | diff <(head -n 7 expected) -
}

@test "--json: one event a line, the journal first, then each entry" {
    example
    "$HAUL" journal --json journal.bin >out
    [ "$(jq -c .v out | sort -u)" = 1 ]
    [ "$(jq -r .event out | tr '\n' ' ')" = "journal chunk chunk " ]
    [ "$(field '[.entries, .chunks, .chunks_durable, .bytes_durable, .good_bytes, .damaged] | @csv')" = \
        '2,3,2,1451424,208,false' ]
    [ "$(field '[.version, .manifest, .compare, .session, .chunk_bytes, .size_bytes] | @csv')" = \
        '1,false,false,"0123456789abcdef",1048576,2500000' ]
    [ "$(field '.source | [.inode, .size_bytes, .mtime_seconds, .mtime_ns] | @csv')" = 77,2500000,1700000000,5 ]
    [ "$(field '.target | [.inode, .size_bytes, .mtime_seconds, .mtime_ns] | @csv')" = 99,2500000,0,0 ]
    sed -n 3p out | jq -e '.chunk == 2 and .offset == 2097152 and .length == 402848 and
        .digest == "bbf85b256d4d28761f73ff679521dc04"'
}

@test "a chunk that is listed twice counts once, and is listed twice" {
    "$HAUL" journal --json "$HAUL_ROOT/tests/fuzz/corpus/journal/three-batches" >out
    [ "$(field '[.entries, .chunks_durable, .bytes_durable] | @csv')" = 4,3,2500000 ]
    [ "$(jq -r 'select(.event == "chunk") | .chunk' out | tr '\n' ' ')" = "0 1 2 0 " ]
}

@test "a torn or damaged end is said, with what stands before it" {
    example
    truncate -s 200 journal.bin
    "$HAUL" journal --json journal.bin >out
    [ "$(field '[.entries, .bytes_durable, .good_bytes, .damaged] | @csv')" = 0,0,128,true ]
    "$HAUL" journal journal.bin | grep -qx 'end       torn or damaged at 128 bytes'
    example
    truncate -s 5000 journal.bin
    "$HAUL" journal --json journal.bin >out
    [ "$(field '[.entries, .good_bytes, .damaged] | @csv')" = 2,208,true ]
}

@test "what is no journal, or not there, is exit code 11 and one clear line" {
    local file
    example
    printf 'x' | dd of=journal.bin bs=1 seek=50 conv=notrunc status=none
    echo "a text" >text
    mkdir folder
    for file in journal.bin text folder missing "$HAUL_ROOT/tests/fuzz/corpus/journal/other-version"; do
        status=0
        "$HAUL" journal --json "$file" >out 2>err || status=$?
        expect_status 11
        [ ! -s out ]
        [ "$(wc -l <err)" = 1 ]
        grep -q "^haul: ${file}" err
    done
    status=0
    "$HAUL" journal a b >out 2>err || status=$?
    expect_status 1
}

@test "a header that claims an absurd file is an error, not an exhausted machine" {
    status=0
    "$HAUL" journal "$HAUL_ROOT/tests/fuzz/corpus/journal/size-largest" >out 2>err || status=$?
    expect_status 22
    grep -q 'no memory to count' err
}

@test "a file called journal is copied as ./journal" {
    random_file journal 5000
    "$HAUL" ./journal target >/dev/null
    same journal target
}
