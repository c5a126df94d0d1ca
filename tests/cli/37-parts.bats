#!/usr/bin/env bats
# Goal: ranges of one file are copied in place, at the same time and by whoever comes, each durable and resumable by itself;
# the target is never cut by one of them, and does not look finished before it is.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    far_is_here
    random_file source $((5 * MIB + 1234))
    touch -d 2001-01-01 source
}

ways=(here push pull)

# The words of that way, into $words.
way() { # WAY
    case $1 in
    here) words=(source target) ;;
    push) words=("${far[@]}" source "far:$SCRATCH/target") ;;
    pull) words=("${far[@]}" "far:$SCRATCH/source" target) ;;
    esac
}

same_bytes() { # OFFSET LENGTH
    cmp -i "$1" -n "$2" source target || { show_run; return 1; }
}

@test "ranges anywhere, here, pushed and pulled: these bytes, the full size, no time of a finished file, no journal" {
    local one range
    for one in "${ways[@]}"; do
        way "$one"
        rm -f target
        for range in 1M,1M 1000,5000 0,1000 2097151,1M 3145727,1K 5M,1234; do
            copied --range="$range" "${words[@]}"
            expect_receipt .durable true
            [ "$(stat -c %s,%a target)" = $((5 * MIB + 1234)),600 ]
            [ "$(stat -c %Y target)" -gt "$(stat -c %Y source)" ]
            [ -z "$(find . -name '.*haul*')" ]
            uncached target
        done
        same_bytes 0 6000
        same_bytes $MIB $((2 * MIB + 1023))
        same_bytes $((5 * MIB)) 1234
        cmp -s -i 6000:0 -n 4096 target /dev/zero # nothing else was written
        copied "${words[@]}"
        same source target
        [ "$(stat -c %Y,%a target)" = "$(stat -c %Y,%a source)" ]
        expect_under "bytes copied to finish it" "$(receipt .bytes_copied)" $((3 * MIB))
        copied --range=0,1M "${words[@]}"
        expect_receipt .outcome "up to date"
    done
}

@test "every policy and engine, read back, over old content and into holes; a longer target is cut by its copy only" {
    local how
    fallocate -p -o $((2 * MIB)) -l $MIB source
    for how in "--cache=window --engine=uring" "--cache=plain --engine=threads" "--cache=direct --engine=sync --verify" \
        "--verify --sparse" "--restart"; do
        head -c $((6 * MIB)) /dev/zero | tr '\0' x >target
        # shellcheck disable=SC2086
        copied $how --range=5000,$((3 * MIB + 1)) source target
        [ "$(stat -c %s target)" = $((6 * MIB)) ]
        same_bytes 5000 $((3 * MIB + 1))
        [ "$(head -c 5000 target | tr -d x | wc -c)" = 0 ]
        [ "$(tail -c +$((3 * MIB + 5002)) target | tr -d x | wc -c)" = 0 ]
        # shellcheck disable=SC2086
        copied $how --range=0,5000 --range=$((3 * MIB + 5001)),1G source target
        same_bytes 0 $((5 * MIB + 1234))
    done
    copied source target
    same source target
}

@test "a list of ranges: they are put together, from a file and from standard input; what is none is refused" {
    local range
    printf '%s\n' '# what has changed' '' 3M,100 0,1000 1000,2K 500,600 >list
    copied --ranges-from=list source target
    expect_receipt .files 2
    expect_receipt .bytes_copied 3148
    same_bytes 0 3048
    same_bytes $((3 * MIB)) 100
    rm target
    copied --ranges-from=- source target <list
    expect_receipt .bytes_copied 3148
    rm target
    copied -0 --ranges-from=- source target < <(printf '%s\0' 0,1000 1000,2K)
    expect_receipt .bytes_copied 3048
    copy --ranges-from=- source other < <(printf '%s\0' 0,1000 1000,2K)
    expect_status 1
    expect_words 'standard input, line 1: a zero byte: is -0 meant'
    copied --range=5M,1G source target
    expect_receipt .bytes_copied 1234
    expect_words 'ends at byte 5244114, and so does the range'
    for range in 5 -1,3 1,-3 3,0 a,1 1,b , 6M,1 1,99999999999999999999; do
        copy --range="$range" source other
        expect_status 1
        expect_clear_error
        [ ! -e other ]
    done
    echo 1,x >list
    copy --ranges-from=list source other
    expect_status 1
    expect_words 'list, line 1: 1,x: not a size'
    copy --range=1,1 -u source other
    expect_status 1
    copy --range=1,1 - other < <(cat source)
    expect_status 1
    expect_words 'is not possible with a pipe'
    copy verify --range=1,1 source target
    expect_status 1
}

@test "six ranges at once, here and pushed, into one new file" {
    local one i pids
    for one in here push; do
        way "$one"
        rm -f target
        pids=()
        for i in 0 1 2 3 4 5; do
            haul -q --range=$((i * 900001)),900001 "${words[@]}" 3>&- &
            pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        same source target
        [ -z "$(find . -name '.*haul*')" ]
    done
}

@test "while a range is copied its bytes are nobody else's, nor is the whole file; killed, it goes on where it was" {
    local one
    for one in here push; do
        way "$one"
        JOURNAL=.target.haul-1000000-4000000
        rm -f target
        interrupt_while() { # what the others may and may not
            copied --range=0,1000000 "${words[@]}"
            copy --range=999999,2 "${words[@]}"
            expect_status 43
            expect_words 'another transfer writes to these bytes'
            copy "${words[@]}"
            expect_status 43
            expect_words 'a transfer to a part of it is running'
        }
        begin "${SLICE[@]}" --bwlimit=2M --range=1000000,4000000 "${words[@]}"
        wait_for_journal $MIB STOP
        interrupt_while
        kill -KILL "$running"
        finished
        journal_true "$JOURNAL" target
        jq -e -n 'any(inputs; .event == "chunk" and .offset == 1000000 and .length == 48576)' "$SCRATCH/journal.json"
        count_there 1000000 5000000
        copied --range=1000000,4000000 "${words[@]}"
        expect_receipt .resumed true
        expect_receipt .bytes_kept "$there_bytes"
        same_bytes 0 5000000
        [ ! -e "$JOURNAL" ]
        rm target
        begin --bwlimit=1M "${words[@]}"
        wait_for_data target 1 STOP
        copy --range=0,100 "${words[@]}"
        expect_status 43
        kill -KILL "$running"
        finished
    done
}
