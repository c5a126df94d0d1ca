#!/usr/bin/env bats
# Goal: command="haul --server --restrict=DIR[,ro|,wo]" in authorized_keys holds: nothing outside DIR is read, written or
# told of, by .., an absolute path, a symbolic link or a race; ro writes nothing; wo reads and reveals nothing.
load ../lib/remote

setup() {
    remote_open
    requires root ssh ssh-keygen
    folders
    mkdir jail outside
    chmod 755 jail
    random_file here/file 3M 1
    random_file jail/inside 3M 2
    random_file outside/secret 3M 3
    cp outside/secret secret.before
    cp jail/inside inside.before
}

# jail OPTIONS: the key may do this and nothing else.
jail() {
    server_start
    printf 'command="%s --server --restrict=%s/jail%s",restrict %s\n' "$AGENT" "$SCRATCH" "$1" \
        "$(cat "$SSH/user_key.pub")" >"$SSH/authorized_keys"
}

# Nothing outside has changed, and nothing of it came here.
intact() {
    cmp outside/secret secret.before
    expect "what is outside" "$(ls -A outside)" secret
    local file
    for file in here/*; do
        not cmp -s "$file" secret.before
    done
}

refused_to() { # SOURCE TARGET
    copy "${via[@]}" "$@"
    [ "$status" != 0 ] || { echo "not refused: $*"; show_run; return 1; }
    expect_clear_error
    intact
    nothing_left
}

# Every way to name something outside, as the client says it.
outside_names() { # NAME
    printf '%s\n' "../outside/$1" "$SCRATCH/outside/$1" "sub/../../outside/$1" "link/$1" "absolute/$1" "./../jail/../outside/$1"
}

links_make() {
    mkdir jail/sub
    ln -s ../outside jail/link
    ln -s "$SCRATCH/outside" jail/absolute
    ln -s ../outside/secret jail/secret
    ln -s "$SCRATCH/outside/new" jail/new
    ln -s /proc/self/root jail/root
}

@test "inside DIR all is as without, relative to DIR" {
    jail ''
    copied "${via[@]}" here/file "$FAR:file"
    same here/file jail/file
    copied "${via[@]}" "$FAR:inside" here/back
    same jail/inside here/back
    mkdir jail/sub
    copied "${via[@]}" here/file "$FAR:sub/"
    same here/file jail/sub/file
    nothing_left
}

@test "the client's command does not matter" {
    jail ''
    copied -F "$server_config" --remote-path="/bin/sh -c 'touch $SCRATCH/outside/bad'" here/file "$FAR:file"
    same here/file jail/file
    intact
    ssh -F "$server_config" "$FAR" "touch $SCRATCH/outside/bad; cat $SCRATCH/outside/secret" >here/leak </dev/null || :
    [ ! -e outside/bad ]
    intact
}

@test "no reading outside: .., absolute paths, links" {
    local name
    links_make
    jail ''
    while read -r name; do
        refused_to "$FAR:$name" here/leak
    done < <(outside_names secret; echo secret; echo "root$SCRATCH/outside/secret")
}

@test "links inside: relative ones are followed, absolute ones are not" {
    ln -s inside jail/relative
    ln -s "$SCRATCH/jail/inside" jail/absolute
    jail ''
    copied "${via[@]}" "$FAR:relative" here/back
    same jail/inside here/back
    refused_to "$FAR:absolute" here/leak
    expect_words "link with an absolute path"
}

@test "no writing outside: .., absolute paths, links" {
    local name
    links_make
    jail ''
    while read -r name; do
        refused_to here/file "$FAR:$name"
    done < <(outside_names new; outside_names secret; echo secret; echo new; echo "root$SCRATCH/outside/new")
}

@test "no journal outside" {
    jail ''
    copy --journal="$SCRATCH/outside/journal" "${via[@]}" here/file "$FAR:file"
    intact
    copy --journal="../outside/journal" "${via[@]}" here/file "$FAR:file"
    intact
    ln -s ../outside/journal jail/.file2.haul
    copy "${via[@]}" here/file "$FAR:file2"
    intact
}

# Somebody inside swaps a folder for a link, all the time. Whatever wins, it is never the outside.
@test "a race: a folder that becomes a link" {
    local i racer
    mkdir jail/race
    cp inside.before jail/race/secret
    jail ''
    "$TOOLS/race" jail/race aside ../outside >turns 3>&- &
    racer=$!
    cleanup_fn kill_quietly $racer
    waits_until 60 test -s turns
    for ((i = 0; i < 20; i++)); do
        rm -f here/back
        copy "${via[@]}" "$FAR:race/secret" here/back
        intact
        copy "${via[@]}" here/file "$FAR:race/new$i"
        intact
    done
    kill $racer
    wait $racer
}

@test "ro: reads, and writes nothing, no journal and no change of a mode or time" {
    local before
    jail ,ro
    copied "${via[@]}" "$FAR:inside" here/back
    same jail/inside here/back
    before=$(stat -c '%n %a %Y %Z %s' jail jail/*)
    refused_to here/file "$FAR:file"
    refused_to here/file "$FAR:inside"
    refused_to --restart here/file "$FAR:inside"
    cmp jail/inside inside.before
    expect "the folder" "$(stat -c '%n %a %Y %Z %s' jail jail/*)" "$before"
    [ -z "$(ls -A jail | grep -vx inside)" ]
}

compared() { # SOURCE TARGET
    status=0
    "${under[@]}" "$HAUL" verify "${via[@]}" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
}

@test "ro: verify compares a file of here with one of there, and writes nothing" {
    local before
    jail ,ro
    cp jail/inside here/same
    before=$(stat -c '%n %a %X %Y %Z %s' jail jail/*)
    compared here/same "$FAR:inside"
    expect_status 0
    printf x | dd of=here/same bs=1 seek=1000 conv=notrunc status=none
    compared here/same "$FAR:inside"
    expect_status 40
    compared here/same "$FAR:missing"
    [ "$status" = 24 ] || expect_status 11
    refused_to here/same "$FAR:inside"
    refused_to -n here/same "$FAR:inside"
    cmp jail/inside inside.before
    [ -z "$(ls -A jail | grep -vx inside)" ]
}

@test "wo: writes, and reveals neither content nor existence" {
    jail ,wo
    copied "${via[@]}" here/file "$FAR:file"
    same here/file jail/file
    refused_to "$FAR:inside" here/back
    [ ! -s here/back ]
    cp err err.there
    copy "${via[@]}" "$FAR:missing" here/back
    [ "$status" != 0 ]
    # The same answer whether it is there or not, but for the name.
    diff <(sed 's/inside/X/g' err.there) <(sed 's/missing/X/g' err)
    [ ! -e here/back ]
}

# A client that may only write must not learn what is there by asking for digests.
@test "wo: an update sends all, whatever is there already" {
    jail ,wo
    copied "${via[@]}" here/file "$FAR:file"
    touch -d '2001-01-01' here/file
    copied -I "${via[@]}" here/file "$FAR:file"
    same here/file jail/file
    expect_receipt .bytes_kept 0
    [ "$(receipt .wire_bytes_sent)" -ge $((3 * MIB)) ]
}

# Nor is it told, so what would go by it is refused: else what is there is written over, or taken for missing.
@test "wo: what goes by what is there already is refused" {
    local option
    jail ,wo
    cp jail/inside inside.before
    touch -d 2030-01-01 jail/inside
    for option in --update --existing --ignore-existing --size-only; do
        copy "$option" "${via[@]}" here/file "$FAR:inside"
        expect_status 1
        expect_words 'restricted to writing there and does not tell'
        cmp jail/inside inside.before
    done
    copied --max-size=1G --min-size=1 "${via[@]}" here/file "$FAR:inside"
    same here/file jail/inside
    jail ,ro
    copied --update "${via[@]}" "$FAR:inside" here/back
}

@test "wo: an interrupted push can be resumed" {
    jail ,wo
    random_file here/large 24M
    proxy_start --cut-up=$((12 * MIB))
    copy --sync-every=4M "${via[@]}" here/large "$FAR:large"
    [[ " 10 12 30 " == *" $status "* ]]
    copied "${via[@]}" here/large "$FAR:large"
    same here/large jail/large
    nothing_left
}

# A kernel before 5.6 has no openat2: the walk with O_NOFOLLOW must hold as well.
@test "without openat2" {
    local name
    links_make
    agent_make before="$TOOLS/deny --old-kernel"
    jail ''
    copied "${via[@]}" here/file "$FAR:sub/file"
    same here/file jail/sub/file
    copied "${via[@]}" "$FAR:inside" here/back
    same jail/inside here/back
    while read -r name; do
        refused_to "$FAR:$name" here/leak
        refused_to here/file "$FAR:$name"
    done < <(outside_names secret; echo secret)
}

@test "a DIR that is not there, or is no folder: a clear refusal" {
    server_start
    printf 'command="%s --server --restrict=%s/none" %s\n' "$AGENT" "$SCRATCH" "$(cat "$SSH/user_key.pub")" \
        >"$SSH/authorized_keys"
    refused_to here/file "$FAR:file"
}
