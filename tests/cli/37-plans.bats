#!/usr/bin/env bats
# Goal: a copy in units that anybody runs, in any order, anywhere and again and again: together they are the whole, each byte is
# copied once, and nothing passes for done that is not.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >here # in place of ssh: the other machine is this one
    chmod 755 here
    far=(-e "$SCRATCH/here" --remote-path="$HAUL")
}

# SOURCE and TARGET of a way, into $words.
way() { # WAY SOURCE TARGET
    case $1 in
    here) words=("$2" "$3") ;;
    push) words=("${far[@]}" "$2" "far:$SCRATCH/$3") ;;
    pull) words=("${far[@]}" "far:$SCRATCH/$2" "$3") ;;
    esac
}

planned() { # OPTION... SOURCE TARGET: into ./plan
    haul plan "$@" >plan 2>err || { cat err; return 1; }
    units=$(tail -n 1 plan | jq .units)
}

# Standard output of all that xargs runs is one file: each line of it is written at once.
in_parallel() { # UNIT...
    printf '%s\n' "$@" | xargs -P 4 -I{} "$HAUL" run --json plan --unit={} >events.json 2>err 3>&- || { cat err; return 1; }
}

run_all() {
    local i
    for ((i = 1; i <= units; i++)); do
        copied run plan --unit="$i"
    done
}

nothing_left() {
    expect "left beside" "$(find . -name '.*haul*' -o -name 'plan.*.receipt')" ""
}

source_of() { # BYTES
    random_file source "$1"
    touch -d 2001-01-01 source
    chmod 640 source
}

@test "one file in units, here, pushed and pulled, at once: equal, and finished by its commit alone" {
    source_of $((7 * MIB + 1234))
    for one in here push pull; do
        rm -rf target plan*
        way "$one" source target
        planned --unit-size=1M "${words[@]}"
        [ "$units" = 8 ]
        [ ! -e target ]
        in_parallel 1 2 3 4 5 6 7 8
        expect "bytes copied" "$(jq -s 'map(.bytes_copied) | add' plan.*.receipt)" $((7 * MIB + 1234))
        [ "$(stat -c %a target)" = 600 ]
        [ "$(stat -c %Y target)" -gt "$(stat -c %Y source)" ]
        copied finish plan
        expect_receipt .durable true
        expect_receipt .bytes_copied 0
        expect_receipt .bytes_kept $((7 * MIB + 1234))
        expect "what finish tells of the units" "$(jq 'select(.event == "units").bytes_copied' out)" $((7 * MIB + 1234))
        same source target
        [ "$(stat -c %Y,%a target)" = "$(stat -c %Y,%a source)" ]
        nothing_left
        copied finish plan
        expect_receipt .outcome "up to date"
        copied run plan --unit=3
        expect_receipt .outcome "up to date"
        planned --unit-size=1M "${words[@]}"
        [ "$units" = 0 ]
    done
}

# Of every kind, and names that are none.
tree() {
    mkdir -p "tree/a/b" tree/empty "tree/new"$'\n'"line"
    random_file tree/a/b/big $((5 * MIB + 321)) 1
    random_file "tree/big"$'\n'$'\xff"\\' $((3 * MIB)) 2
    local i files=()
    for ((i = 0; i < 40; i++)); do files+=("tree/a/f$i" $((1 + i * 997))); done
    random_files 0 "${files[@]}"
    random_file $'tree/new\nline/\xe9\xc2\x80\x01 ' 777 3
    : >tree/nothing
    ln -s nowhere tree/a/link
    ln tree/a/f1 tree/a/b/f1
    mkfifo tree/a/fifo
    chmod 2751 tree/a/b
    chmod 500 tree/empty
    find tree -exec touch -h -d 2002-02-02 {} +
}

@test "a tree in units of two nodes at once, here, pushed and pulled: all of it is as after one copy" {
    tree
    mkdir one
    copied -aH tree/ one/
    for one in here push pull; do
        rm -rf two plan*
        mkdir two
        : >two/gone
        way "$one" tree/ two/
        planned -aH --delete --unit-size=1M "${words[@]}"
        [ "$units" -ge 9 ]
        in_parallel $(seq "$units")
        expect "bytes of the units" "$(jq -s 'map(.bytes_copied) | add' plan.*.receipt)" \
            "$(find tree -type f -size +0 -not -path tree/a/b/f1 -printf '%s\n' | awk '{ sum += $1 } END { print sum }')"
        [ -e two/gone ]
        [ ! -e two/empty ]
        copied finish plan
        expect_receipt .bytes_copied 0
        nothing_left
        diff <(cd one && find . -printf '%p %y %s %m %T@ %l %n\n' | sort) <(cd two && find . -printf '%p %y %s %m %T@ %l %n\n' | sort)
        diff -r --no-dereference -x fifo tree two
        [ two/a/f1 -ef two/a/b/f1 ]
    done
}

@test "what has other names at the target leaves them what they were, and a folder in the way goes, as in one copy" {
    mkdir -p tree two
    random_file tree/large 3M 1
    random_file tree/small 3K 2
    random_file old 2M 3
    for one in here push pull; do
        rm -rf two plan*
        mkdir -p two/small/full
        cp old two/large
        ln two/large two/name
        way "$one" tree/ two/
        planned -a --delete --exclude=/name --unit-size=1M "${words[@]}"
        run_all
        same old two/name
        copied finish plan
        nothing_left
        same old two/name
        diff -r -x name tree two
    done
}

@test "without a slash behind its name, into a folder that is not there, and what has come since" {
    tree
    planned -a tree new/
    in_parallel $(seq "$units")
    echo late >tree/late
    copied finish plan
    diff -r --no-dereference -x fifo tree new/tree
    nothing_left
}

@test "a file of a list that has gone is 24, and no reason to do the unit again; what cannot be looked at is" {
    local one
    for one in here push pull; do
        rm -rf tree target plan*
        mkdir -p tree/a tree/b
        random_file tree/a/one 1000 1
        random_file tree/b/two 1000 2
        way "$one" tree/ target
        planned -a "${words[@]}"
        [ "$units" = 1 ]
        mv tree/b away
        : >tree/b # ENOTDIR: nobody knows what is in it
        copy run plan --unit=1
        expect_status 23
        [ ! -e plan.1.receipt ]
        rm tree/b
        copy run plan --unit=1
        expect_status 24
        same tree/a/one target/a/one
        copied run plan --unit=1
        expect_receipt .outcome "up to date"
        copied finish plan
        diff -r tree target
        nothing_left
        mv away tree/b
        rm -rf target plan*
        planned -a "${words[@]}"
        rm tree/a/one tree/b/two
        copy run plan --unit=1
        expect_status 24
        copied finish plan
        diff -r tree target
    done
}

@test "a unit that was left out, or its receipt lost, is named with the command that does it" {
    source_of $((4 * MIB))
    planned --unit-size=1M source target
    copied run -n plan --unit=2
    [ ! -e target ]
    [ ! -e plan.2.receipt ]
    in_parallel 1 3 4
    copy finish plan
    expect_status 23
    expect_words "1 of 4 units is not done: 2; haul run $SCRATCH/plan --unit=2"
    [ "$(stat -c %Y target)" -gt "$(stat -c %Y source)" ]
    copied run plan --unit=2
    rm plan.3.receipt plan.4.receipt
    copy finish plan
    expect_status 23
    expect_words '2 of 4 units are not done: 3, 4;'
    copied run plan --unit=3
    expect_receipt .bytes_copied 0
    copied run plan --unit=4
    copied finish plan
    same source target
    for one in 0 5 x; do
        copy run plan --unit=$one
        expect_status 1
    done
}

@test "killed units go on where they were, and none is done twice in full" {
    local i
    source_of $((12 * MIB))
    planned --unit-size=4M "${SLICE[@]}" source target
    [ "$units" = 3 ]
    for i in 1 2 3; do
        JOURNAL=.target.haul-$(((i - 1) * 4 * MIB))-$((4 * MIB))
        begin run --bwlimit=2M plan --unit=$i
        wait_for_journal $MIB KILL
        finished
        [ ! -e "plan.$i.receipt" ]
        journal_true "$JOURNAL" target
        count_there $(((i - 1) * 4 * MIB)) $((i * 4 * MIB))
        copied run plan --unit=$i
        expect_receipt .resumed true
        expect_receipt .bytes_kept "$there_bytes"
        expect "bytes" $(($(receipt .bytes_kept) + $(receipt .bytes_copied))) $((4 * MIB))
        [ -e "plan.$i.receipt" ]
    done
    copied finish plan
    same source target
    nothing_left
}

@test "a source that has changed, been touched or gone is refused by the unit and by the end" {
    local how
    source_of $((2 * MIB))
    for how in "printf x | dd of=source conv=notrunc status=none" "chmod 600 source" "touch source" "mv source away"; do
        rm -rf plan* target
        planned --unit-size=1M source target
        copied run plan --unit=1
        eval "$how"
        copy run plan --unit=2
        expect_status 41
        expect_words 'since the plan was made'
        [ ! -e plan.2.receipt ]
        [ "$(stat -c %Y target)" != 978307200 ]
    done
    mv away source
    rm -rf plan* target
    planned --unit-size=1M source target
    in_parallel 1 2
    touch -d 2003-03-03 source
    copy finish plan
    expect_status 41
    [ "$(stat -c %Y target)" != "$(stat -c %Y source)" ]
}

@test "what was to be quiet when it was planned is, to its end" {
    local words
    source_of $MIB
    haul plan -q source target >plan
    for words in "run plan --unit=1" "run plan --unit=1" "finish plan" "finish plan"; do
        haul $words >out 2>err
        expect "words of haul $words" "$(cat out err)" ""
    done
    same source target
}

@test "a plan that was cut off or changed, and receipts of another one, are refused" {
    source_of $((2 * MIB))
    planned --unit-size=1M source target
    cp plan whole
    head -n -1 whole >plan
    copy run plan --unit=1
    expect_status 11
    expect_words 'its end is missing'
    sed '1s/"target":"target"/"target":"source"/' whole >plan
    copy run plan --unit=1
    expect_status 11
    sed '2s/"offset":0/"offset":1/' whole >plan
    copy run plan --unit=1
    expect_status 11
    expect_words 'a line of it was changed'
    sed 2d whole >plan
    copy run plan --unit=1
    expect_status 11
    copied run plan --unit=2
    copy finish plan
    expect_status 11
    [ "$(stat -c %s target)" = $((2 * MIB)) ]
    cp whole plan
    copied run plan --unit=1
    planned --unit-size=1M source target # which is another one
    copy run plan --unit=1
    expect_status 11
    expect_words 'the receipt of another plan'
    copy finish plan
    expect_status 11
    expect_words 'the receipt of another plan'
    for one in source /dev/null .; do
        copy run "$one" --unit=1
        expect_status 11
        expect_clear_error
    done
}

@test "whoever writes to the target behind its units is found out, and it is compared" {
    source_of $((2 * MIB))
    planned --unit-size=1M source target
    in_parallel 1 2
    printf damage | dd of=target bs=1 seek=5000 conv=notrunc status=none
    copied finish plan
    expect_words 'changed after its units were done; comparing'
    expect_receipt .bytes_copied 4096
    same source target
    planned --unit-size=1M -I source target
    in_parallel 1 2
    rm target
    copied finish plan
    same source target
}

@test "what does not go with a plan is refused, and so are its words elsewhere" {
    local words
    source_of $MIB
    refuses() { # CODE WORDS...
        copy "${@:2}"
        expect_status "$1"
        expect_clear_error
        [ ! -e target ]
    }
    refuses_to_plan() { # WORDS-OF-THE-MESSAGE WORDS...: without --json, which is refused itself
        run haul plan "${@:2}"
        expect "exit code of $*" "$status" 1
        [[ $output == *"$1"* && $output != *'"plan"'* ]] || { echo "$output"; false; }
        [ ! -e target ]
    }
    for words in -n --manifest=m --base-manifest=b --digest-file=d --journal=j --no-inplace -u --existing --max-size=1K --size=$MIB --range=0,1 \
        --ranges-from=/dev/null --remove-source-files --reflink=always --json; do
        refuses_to_plan "haul plan does not go with --" "$words" source target
    done
    refuses_to_plan "1M is the least" --unit-size=1K source target
    refuses_to_plan "one SOURCE and one TARGET" source source target
    for words in - /dev/stdin zero:1M; do
        refuses_to_plan "$words: has no ranges" "$words" target
    done
    for words in - /dev/stdout null:; do
        refuses_to_plan "$words: has no ranges" source "$words"
    done
    refuses 1 --unit=1 source target
    refuses 1 verify --unit-size=1M source target
    refuses 1 run plan
    refuses 11 run plan --unit=1
    planned source target
    for words in --manifest=m --base-manifest=b --digest-file=d --journal=j --no-inplace --size=$MIB --range=0,1 --ranges-from=/dev/null \
        --existing --ignore-existing --size-only --max-size=10 -u --remove-source-files --reflink=always; do
        refuses 1 run plan --unit=1 "$words"
        expect_words "haul run does not go with --"
        refuses 1 finish plan "$words"
        expect_words "haul finish does not go with --"
    done
    for words in --exclude=source --files-from=/dev/null; do
        refuses 1 run plan --unit=1 "$words"
        refuses 1 finish plan "$words"
        expect_words 'those of haul plan count'
    done
    [ ! -e plan.1.receipt ]
    [ ! -e plan.receipt ]
    planned --unit-size=1535K source target # which is no more than that
    expect "most bytes of a unit" "$(head -n 1 plan | jq .unit_bytes)" $MIB
    haul plan -a --files-from=- . target <<<source >plan 2>err && false
    [ ! -s plan ]
    grep 'put it into a file' err
}
