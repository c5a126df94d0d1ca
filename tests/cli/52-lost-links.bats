#!/usr/bin/env bats
# Goal: a link that is lost is dialled again, and the copy goes on where it was: files and trees, push, pull and far to
# far, at any moment; equal in the end, each name told once, the receipt right, exit 0. What cannot go on says so.
# SEED gives other moments, REMOTE_CUTS (2) more of them a copy, and ways that take longer.
load ../lib/remote
load ../lib/resume
load ../lib/tree

CUTS=${REMOTE_CUTS:-2}
RETRIES=1000

# The ways that take longer.
at_length() {
    [ -z "${REMOTE_CUTS:-}" ] || "$@"
}

retried() {
    via=("${via[@]/--retries=0/--retries=$RETRIES}")
}

bytes_passed() { # BYTES: have so many passed, both ways?
    local figure up
    proxy_figure up && up=$figure && proxy_figure down && [ $((up + figure)) -ge "$1" ]
}

# Cut CUTS times, each when some more has passed, then left alone.
cut_while_copying() {
    local i before
    for ((i = 0; i < CUTS; i++)); do
        before=$(($(proxy_count up) + $(proxy_count down) + 20000 + $(random_below 1500000 "cut$i")))
        until process_ended "$CLIENT" || bytes_passed $before; do
            nap 0.02
        done
        process_ended "$CLIENT" && break
        kill -USR1 "$PROXY_PID"
        cuts=$((cuts + 1))
    done
}

# went_on ARGS: a copy that is cut, and ends well all the same.
went_on() {
    cuts=0
    proxy_start
    retried
    copy_start "$@" "${via[@]}" "$source" "$target"
    cut_while_copying
    copy_wait 120
    proxy_stop
    [ "$status" = 0 ] || { echo "exit code $status after $cuts cuts"; show_run; return 1; }
    [ $cuts -gt 0 ] || { echo "it was not cut"; return 1; }
    grep -q 'dialled again in' "$SCRATCH/err" || { show_run; return 1; }
    expect_receipt .durable true
    expect_receipt '(.seconds >= 1)' true # the pause before the link is dialled is a part of it
    nothing_left
}

# Every regular file was told once, and counted once.
told_once() {
    local files bytes
    files=$(jq -r 'select(.event == "file") | .source.path' <"$SCRATCH/out" | sort)
    [ -z "$(uniq -d <<<"$files")" ] || { uniq -d <<<"$files"; return 1; }
    expect_receipt .files "$(wc -l <<<"$files")"
    bytes=$(jq -s '[.[] | select(.event == "file") | .bytes_total] | add' <"$SCRATCH/out")
    expect_receipt .bytes_total "$bytes"
    [ $(($(receipt .bytes_copied) + $(receipt .bytes_kept))) = "$bytes" ] || { show_run; return 1; }
}

far_tree_ready() { # WAY
    [ -n "${server_config:-}" ] || server_start
    tree_ready "$1"
}

tree_went_on() { # WAY
    far_tree_ready "$1"
    went_on -rlptgoDH --delete --bwlimit=3M --sync-every=1M
    equal_trees
    told_once
}

# Each file is there or here, and in the end there, but for those that the first source has, too.
files_moved() {
    local i files=()
    far_tree_ready pull
    mkdir -p "$THERE/first/many"
    for ((i = 0; i < 10; i++)); do files+=("$THERE/first/many/f$i" 3000); done
    random_files 10 "${files[@]}"
    random_file "$THERE/first/own" 3000 20
    cp -a "$from" "$SCRATCH/was"
    rm "$SCRATCH/was/many"/f?
    cp -a "$THERE/first/." "$SCRATCH/was"
    went_on -rlptgoDH --remove-source-files --bwlimit=3M --sync-every=1M "$FAR:$THERE/first/"
    expect "what stays" "$(cd "$from" && find . ! -type d | sort | xargs)" "$(echo ./many/f{0..9})"
    [ -z "$(find "$THERE/first" ! -type d)" ]
    rm -r "$to/gone" "$to/many/other"
    find "$SCRATCH/was" "$to" -type d -exec touch -d @1000000000 {} + # others than these went away in them
    from=$SCRATCH/was
    equal_trees
    told_once
    rm -r "$THERE/first"
}

# What was moved before the link was lost is in the list, and not missing. Until then less than all files can pass.
listed_files_moved() {
    server_start
    sides pull
    local i files=()
    mkdir -p "$from/few" "$from/long" # more names than are looked ahead
    for ((i = 0; i < 20; i++)); do files+=("$from/few/f$i" 9000); done
    random_files 0 "${files[@]}"
    random_file "$from/few/large" 1000000
    (cd "$from/long" && seq -f "%0200g" 1300 | xargs touch)
    (cd "$from" && find . -type f -printf '%P\n') >"$SCRATCH/list"
    cp -a "$from" "$SCRATCH/was"
    proxy_start --gate-down=0:99:1:1000000
    retried
    copy_start -rt --remove-source-files --files-from="$SCRATCH/list" --chunk-size=64K --bwlimit=512K "${via[@]}" "$source" "$target"
    waits_until 60 eval '[ "$(ls "$THERE/tree/few" | wc -l)" -lt 21 ]'
    proxy_lose
    copy_wait
    proxy_stop
    [ "$status" = 0 ] || { show_run; return 1; }
    grep -q 'dialled again in' "$SCRATCH/err" || { show_run; return 1; }
    [ -z "$(find "$from" ! -type d)" ]
    diff -r "$SCRATCH/was" "$to"
    told_once
}

# More names than are looked ahead.
long_make() {
    mkdir "$from/long"
    (cd "$from/long" && seq -f "%0200g" 6000 | xargs touch -d @1000000000)
}

# What was moved before a cut is in the list, and at the source no more: that is no failure.
listed_moved() {
    far_tree_ready pull
    long_make
    (cd "$from" && find . ! -type d -printf '%P\n') >"$SCRATCH/list"
    cp -a "$from" "$SCRATCH/listed"
    went_on -lptgoDH --remove-source-files --files-from="$SCRATCH/list" --bwlimit=3M --sync-every=1M
    [ -z "$(find "$from" ! -type d)" ]
    rm -r "$to/gone" "$to/many/other"
    expect "the difference" "$(cd "$SCRATCH" && diff -r --no-dereference listed "$to" | grep -v ': empty$\|: closed$\|is a fifo')" ""
}

# What is larger than this stands still behind it until lost_after has had its turn, however late that comes.
HELD=(--gate-up=0:99:1:2000000 --gate-down=0:99:1:2000000)

# lost_after COMMAND...: a copy has passed some, the command runs, and then the link is lost.
lost_after() {
    waits_until 60 bytes_passed 1000001
    "$@"
    proxy_lose 2>/dev/null || : # it may be gone
}

# A far side that starts only when it may.
hold_agents() {
    printf '#!/bin/sh\nuntil [ -e %q ]; do sleep 0.05; done\nexec "$@"\n' "$SCRATCH/go" >"$SCRATCH/hold"
    chmod 755 "$SCRATCH/hold"
    agent_make before="$SCRATCH/hold"
}

# The link is lost, and the source is not what it was: all is well in the end, and told once.
changed_meanwhile() {
    random_file "$from/a/new" 30000
    touch "$SCRATCH/go"
    copy_wait
    [ "$status" = 0 ] || { show_run; return 1; }
    grep -q 'all of it is looked at again' "$SCRATCH/err" || { show_run; return 1; }
    told_once
}

# The walk cannot be gone on with.
source_changed() {
    far_tree_ready pull
    long_make
    proxy_start "${HELD[@]}"
    retried
    copy_start -rlptgoDH --delete --sync-every=1M --bwlimit=3M "${via[@]}" "$source" "$target"
    lost_after hold_agents
    changed_meanwhile
    copied -rlptgoDH --delete "${via[@]}" "$source" "$target"
    expect_receipt .bytes_copied 0
    equal_trees
}

# What the walk of the second source had told is told anew; what the first one has brought is there, and is linked to.
second_source_changed() {
    local links
    far_tree_ready pull
    mkdir "$THERE/first"
    random_file "$THERE/first/of-several" 30000
    ln "$from/many/f2" "$THERE/first/of-both"
    long_make
    mkdir "$from/long/last" # its names come behind all of those
    ln "$THERE/first/of-several" "$from/long/last/one"
    ln "$THERE/first/of-several" "$from/long/last/another"
    touch -d @1000000000 "$from/long/last" "$THERE/first"
    proxy_start "${HELD[@]}"
    retried
    copy_start -rlptgoDH --delete --sync-every=1M --bwlimit=3M "${via[@]}" "$FAR:$THERE/first/" "$source" "$target"
    lost_after hold_agents
    changed_meanwhile
    links=$(jq -r 'select(.event == "made" and (.changes // "" | startswith("h"))) | .path' <"$SCRATCH/out" | sort | uniq -c)
    expect "links that were told, each once" "$(awk '{ print $1 }' <<<"$links" | xargs)" "1 1 1 1 1"
    expect "names of one file" "$(find "$to" -samefile "$to/of-several" | wc -l)" 3
    expect "names of the other" "$(find "$to" -samefile "$to/of-both" | wc -l)" 2
    rsync -aH "$THERE/first/" "$from/" "$SCRATCH/both"
    from=$SCRATCH/both
    copied -rlptgoDH --delete "${via[@]}" "$FAR:$THERE/first/" "$source" "$target"
    expect_receipt .bytes_copied 0
    equal_trees
}

@test "a tree goes on after lost links: push" { tree_went_on push; at_length tree_went_on both; }
@test "a tree goes on after lost links: pull" { tree_went_on pull; at_length files_moved; at_length listed_moved; at_length source_changed; at_length second_source_changed; }

@test "files of a list that are moved go on after a lost link, and none is missed" { listed_files_moved; }

@test "files go on after lost links: several, and a large one by several lanes" {
    server_start
    folders
    random_file "$HERE/one" $((8 * MIB)) 1
    random_file "$HERE/two" $((5 * MIB + 77)) 2
    random_file "$HERE/three" 1000 3
    source="$HERE/one" target=$FAR:$THERE/
    went_on -j 1 --bwlimit=4M --sync-every=1M "$HERE/two" "$HERE/three"
    for name in one two three; do cmp "$HERE/$name" "$THERE/$name"; done
    expect_receipt .files 3
    expect_receipt .bytes_total $((13 * MIB + 77 + 1000))
    # What was stored and not yet told when the link went counts as kept.
    [ $(($(receipt .bytes_copied) + $(receipt .bytes_kept))) = $((13 * MIB + 77 + 1000)) ] || { show_run; return 1; }

    random_file "$THERE/large" $((40 * MIB + 5)) 4
    source=$FAR:$THERE/large target=$HERE/large
    went_on -j 2 --bwlimit=24M --sync-every=2M
    cmp "$HERE/large" "$THERE/large"
    expect_receipt .bytes_total $((40 * MIB + 5))
}

# The server learns nothing of it, and has the file until it gives its client up.
@test "a target that the lost server still holds is waited for" {
    server_start
    folders
    random_file "$HERE/file" $((6 * MIB)) 1
    agent_make program="$HAUL --timeout=3"
    proxy_start --lose-up=3000000
    retried
    copied --sync-every=1M "${via[@]}" "$HERE/file" "$FAR:$THERE/file"
    grep -q 'dialled again' "$SCRATCH/err" || { show_run; return 1; }
    cmp "$HERE/file" "$THERE/file"
    expect_receipt .bytes_total $((6 * MIB))
    proxy_stop
    nothing_left
}

@test "a pipe does not go on, nor does --retries=0; the number is counted" {
    server_start
    folders
    random_file "$HERE/file" $((8 * MIB)) 1
    proxy_start --cut-up=3000000
    retried
    cat "$HERE/file" | "${under[@]}" "$HAUL" --json "${via[@]}" - "$FAR:$THERE/file" >"$SCRATCH/out" 2>"$SCRATCH/err" &&
        { show_run; return 1; }
    ! grep -q 'dialled again' "$SCRATCH/err" || { show_run; return 1; }
    proxy_stop

    proxy_start --cut-up=3000000
    RETRIES=0 && via=("${via[@]/--retries=1000/--retries=0}")
    copy "${via[@]}" "$HERE/file" "$FAR:$THERE/file"
    [[ " 10 12 30 " == *" $status "* ]] || { show_run; return 1; }
    not grep -q 'dialled again' "$SCRATCH/err"
    proxy_stop

    # Nobody answers any more: it is said how often that was tried.
    proxy_start "${HELD[@]}"
    via=("${via[@]/--retries=0/--retries=2}")
    copy_start "${via[@]}" --restart --bwlimit=2M "$HERE/file" "$FAR:$THERE/file"
    lost_after proxy_stop
    copy_wait
    [ "$status" = 10 ] || { show_run; return 1; }
    grep -q '2 of 2' "$SCRATCH/err"
    expect_words 'the same command again'
    nothing_left
}

@test "a signal that comes while a lost link is waited for: 20, a file as a tree" {
    server_start
    folders
    mkdir "$HERE/tree"
    random_file "$HERE/tree/file" $((8 * MIB)) 1
    local what
    for what in tree/file tree; do
        proxy_start "${HELD[@]}"
        retried
        copy_start -r "${via[@]}" --bwlimit=2M "$HERE/$what" "$FAR:$THERE/"
        lost_after :
        waits_until 60 grep -q 'dialled again' "$SCRATCH/err"
        kill -INT "$CLIENT"
        copy_wait
        [ "$status" = 20 ] || { show_run; return 1; }
        expect_receipt .exit 20
        proxy_stop
    done
    nothing_left
}

@test "a login that is refused meanwhile is not tried again" {
    server_start
    folders
    random_file "$HERE/file" $((8 * MIB)) 1
    proxy_start "${HELD[@]}"
    retried
    copy_start "${via[@]}" --bwlimit=2M "$HERE/file" "$FAR:$THERE/file"
    lost_after mv "$SSH/authorized_keys" "$SSH/authorized_keys.away"
    copy_wait
    [ "$status" = 10 ] || { show_run; return 1; }
    grep -q 'refused' "$SCRATCH/err" || { show_run; return 1; }
    not grep -q '2 of' "$SCRATCH/err"
}

# As of a container that begins anew: the command that leads there is refused, or haul ended, before it has said anything. The first
# one is cut after 800 bytes of about 1,070.
@test "a command that ends at once when a link is dialled again is not given up" {
    local number
    random_file source $((8 * MIB)) 1
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' 'shift' "echo >>'$SCRATCH/dials'" "case \$(wc -l <'$SCRATCH/dials') in" '1) sh -c "$*" | dd bs=1 count=800 2>/dev/null ;;' \
        '2) kill -KILL $$ ;;' '3) exit 1 ;;' '*) exec sh -c "$*" ;;' 'esac' >there
    chmod +x there
    copied -e "$SCRATCH/there" --remote-path="$HAUL" -j1 --retries=5 source "h:$SCRATCH/target"
    same source target
    expect_words 'ended by signal 9'
    expect_words 'ended with status 1'
    expect "dials" "$(wc -l <dials)" 4
    number=$(grep -c 'dialled again' err)
    expect "what is told of them" "$number" 3
}

# Whatever of that login has passed by then: see 54-login. A host that says that it is over is another matter.
@test "a link that is lost once more in the next login is dialled again, by libssh and by ssh" {
    local kind at tried least=2 places="1800 1900 1700 1600 2000 1500 2100"
    at_length eval 'places=$(seq 1000 50 2600) least=33'
    server_start
    folders
    random_file "$HERE/file" $((2 * MIB)) 1
    sed -i '1i KexAlgorithms curve25519-sha256' "$SSH/ssh_config"
    for kind in libssh ssh; do
        tried=0
        for at in $places; do
            # Two, and as many more as it takes to meet the login: how much a server has said by then depends on its version.
            [ $((tried++)) -lt $least ] || ! grep -qs 'the connection was lost at the login' "$SCRATCH/said" || break
            server_config=$SSH/ssh_config
            via_kind=$kind
            proxy_start --cut-down=$at --only=2 "${HELD[@]}"
            retried
            copy_start "${via[@]}" --restart --bwlimit=4M "$HERE/file" "$FAR:$THERE/file"
            lost_after :
            copy_wait
            proxy_stop
            [ "$status" = 0 ] || { echo "$kind, cut after $at bytes"; show_run; return 1; }
            grep -q '2 of' "$SCRATCH/err" || { show_run; return 1; }
            same "$HERE/file" "$THERE/file"
            cat "$SCRATCH/err" >>"$SCRATCH/said"
        done
    done
    grep -q 'the connection was lost at the login' "$SCRATCH/said" || { cat "$SCRATCH/said"; return 1; }
    nothing_left
}
