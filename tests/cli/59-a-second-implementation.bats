#!/usr/bin/env bats
# Goal: haul-protocol(7) and haul-journal(5) are enough to write another implementation. tests/lib/protocol is one, in
# Python, written from the pages and not from the source: each of the two programs is client to the other's server, and
# each goes on with the other's journal. A server that lies in well-formed frames never gets an exit code of 0 for wrong
# bytes.
load ../lib/common

PROTOCOL=$HAUL_ROOT/tests/lib/protocol

setup() {
    scratch_open
    /usr/bin/python3 -c 'import xxhash' 2>/dev/null || skip "needs python3-xxhash"
    export PYTHONDONTWRITEBYTECODE=1 HAUL_LIED=$SCRATCH/lied
    far_is_here
    random_file source $((3 * MIB + 12345))
    touch -d '2020-02-02 02:02:02.123456789' source
    truncate -s $((9 * MIB + 1)) holes
    random_file piece $MIB 2
    dd if=piece of=holes bs=64K seek=75 conv=notrunc status=none
    touch -d '2021-01-01 01:01:01.5' holes
}

# haul as the client of the other implementation's server.
by_haul() {
    copy -e "$SCRATCH/here" --remote-path="$PROTOCOL/server" "$@"
}

# The other implementation as the client of haul's server, or of its own.
by_other() { # push|pull|verify [OPTION...] SOURCE TARGET
    run "$PROTOCOL/client" "${@:1:$#-2}" "$OTHER_SERVER" "${@:$#-1}"
}

OTHER_SERVER="$HAUL --server"

other_says() { # STATUS WORDS
    [ "$status" = "$1" ] && [ "${lines[-1]}" = "$2" ] && return
    echo "exit code $status, expected $1; expected: $2"
    echo "$output"
    return 1
}

chunks_of() { # FILE CHUNK-BYTES
    echo $((($(stat -c %s "$1") + $2 - 1) / $2))
}

@test "haul pushes to the other server and pulls from it: files, holes, an old target, an empty one" {
    local file
    : >empty
    for file in source holes empty; do
        by_haul "$file" "far:$SCRATCH/pushed"
        expect_status 0
        same "$file" pushed
        expect "modification time" "$(stat -c %y pushed)" "$(stat -c %y "$file")"
        ln -f pushed generation
        by_haul --no-inplace -I "$file" "far:$SCRATCH/pushed"
        expect_status 0
        same "$file" pushed
        [ ! pushed -ef generation ]
        by_haul "far:$SCRATCH/$file" pulled
        expect_status 0
        same "$file" pulled
    done
    [ -z "$(ls -A | grep haul)" ]
}

@test "the other client pushes to haul's server and pulls from it: files, holes, an old target, an empty one" {
    local file
    : >empty
    for file in source holes empty; do
        by_other push "$file" pushed
        [ "$status" = 0 ]
        [[ "${lines[-1]}" == committed* ]]
        same "$file" pushed
        expect "modification time" "$(stat -c %y pushed)" "$(stat -c %y "$file")"
        by_other pull "$file" pulled
        [ "$status" = 0 ]
        [[ "${lines[-1]}" == committed* ]]
        same "$file" pulled
    done
    [ -z "$(ls -A | grep haul)" ]
    by_other verify source pushed
    [ "$status" = 3 ]
}

@test "what the other client left behind haul's server, it goes on with; and so does haul" {
    local stop=$((20 + RANDOM % 20)) all
    all=$(chunks_of source 65536)
    by_other push --chunk=65536 --stop-after=$stop source target
    other_says 0 "stopped $stop 0 0"
    cp --sparse=always target twin
    "$HAUL" journal .target.haul | grep "durable .*, $stop chunks in $stop entries"
    by_other push source target
    other_says 0 "committed $((all - stop)) $stop $stop"
    same source target
    by_other push --chunk=65536 --stop-after=$stop source second
    copy source second
    expect_status 0
    expect_receipt .resumed true
    expect_receipt .bytes_kept $((stop * 65536))
    same source second
}

@test "what the other server has journalled, haul goes on with, there and here; and the other way round" {
    OTHER_SERVER=$PROTOCOL/server
    by_other push --chunk=65536 --stop-after=20 source target
    by_haul source "far:$SCRATCH/target"
    expect_status 0
    expect_receipt .resumed true
    expect_receipt .bytes_kept $((20 * 65536))
    same source target
    by_other push --chunk=65536 --stop-after=20 source local
    copy source local
    expect_status 0
    expect_receipt .bytes_kept $((20 * 65536))
    same source local
    OTHER_SERVER="$HAUL --server"
    by_other push --chunk=65536 --stop-after=20 source mixed
    OTHER_SERVER=$PROTOCOL/server
    by_other push source mixed
    other_says 0 "committed $(($(chunks_of source 65536) - 20)) 20 20"
    same source mixed
}

@test "both are the other implementation: it does not need haul to be right" {
    OTHER_SERVER=$PROTOCOL/server
    by_other push holes pushed
    other_says 0 "committed 10 0 0"
    same holes pushed
    by_other pull source pulled
    same source pulled
}

@test "haul verifies against the other server" {
    cp source equal
    cp source other
    printf x | dd of=other bs=1 seek=$((2 * MIB)) conv=notrunc status=none
    "$HAUL" verify -e "$SCRATCH/here" --remote-path="$PROTOCOL/server" source "far:$SCRATCH/equal"
    run "$HAUL" verify -e "$SCRATCH/here" --remote-path="$PROTOCOL/server" source "far:$SCRATCH/other"
    [ "$status" = 40 ]
}

@test "what an older server does not know is refused by its name" {
    HAUL_LIE=older by_haul --strict --no-preallocate source "far:$SCRATCH/target"
    expect_status 1
    expect_words "haul there is older and does not know this: --strict"
    [ ! -e target ]
}

# What breaks the protocol: refused in words, exit code 12, and never taken for a copy.
violation() { # LIE push|pull
    rm -f lied target
    cp old target
    if [ "$2" = push ]; then
        HAUL_LIE=$1 by_haul source "far:$SCRATCH/target"
    else
        HAUL_LIE=$1 by_haul "far:$SCRATCH/holes" target
    fi
    [ -e lied ] || { echo "$1, $2: the lie was not told"; return 1; }
    expect_status 12 || { echo "$1, $2"; return 1; }
    expect_clear_error
    expect_words "protocol error: ."
    rm -f .target.haul
}

@test "a server that breaks the protocol is refused in words" {
    local lie
    random_file old $((4 * MIB)) 3
    for lie in slot twice checksum status tally; do
        violation $lie push
        violation $lie pull
    done
    violation opened-chunk push
    for lie in fetch-short map-empty; do
        violation $lie pull
    done
}

@test "a journal of the other server that lists what cannot be is refused in words" {
    local lie
    for lie in recall-more recall-count; do
        rm -f target .target.haul lied
        OTHER_SERVER=$PROTOCOL/server by_other push --chunk=65536 --stop-after=20 source target
        HAUL_LIE=$lie by_haul source "far:$SCRATCH/target"
        [ -e lied ]
        expect_status 12
        expect_words "protocol error: .|the journal lists chunk"
    done
}

# Whatever else is said: an exit code of 0 only for right bytes.
never_wrong() { # LIE ARGS
    rm -f lied
    HAUL_LIE=$1 by_haul "${@:2}"
    [ -e lied ] || { echo "$1: the lie was not told"; return 1; }
    [ "$status" != 0 ] || cmp source target || { echo "$1"; show_run; return 1; }
    [ "$status" = 0 ] || expect_clear_error
    rm -f .target.haul
}

@test "pipes: out of one to the other server, and out of a fifo there" {
    local size
    mkfifo fifo
    for size in 0 $MIB $((5 * MIB + 3)); do
        random_file part "$size"
        random_file pushed 7M 3
        by_haul - "far:$SCRATCH/pushed" < <(cat part)
        expect_status 0
        same part pushed
        cat part >fifo &
        by_haul "far:$SCRATCH/fifo" pulled
        expect_status 0
        same part pulled
    done
    [ -z "$(ls -A | grep haul)" ]
}

@test "a server that lies in well-formed frames: never 0 for wrong bytes" {
    random_file old $((4 * MIB)) 3
    cp source nearly
    printf x | dd of=nearly bs=1 seek=$MIB conv=notrunc status=none
    for old in old nearly; do
        for lie in examine silent; do
            cp $old target
            never_wrong $lie -I source "far:$SCRATCH/target"
        done
    done
    for lie in fetch-digest fetch-matched silent opened-chunk; do
        cp nearly target
        never_wrong $lie -I "far:$SCRATCH/source" target
    done
    rm target
    never_wrong store --verify source "far:$SCRATCH/target"
    expect_status 40
}

# The replies of a server that does one thing after the other cannot show that it was asked two at once.
@test "what the page forbids is a violation to either server, what it just allows is done" {
    mkdir probed
    run "$PROTOCOL/probe" "$HAUL --server" probed
    echo "$output"
    [ "$status" = 0 ]
    [ "$(grep -c ': violation$' <<<"$output")" -ge 14 ]
    run "$PROTOCOL/probe" "$PROTOCOL/server" probed
    echo "$output"
    [ "$(grep 'expected' <<<"$output")" = "two syncs at once: done, expected violation" ]
}
