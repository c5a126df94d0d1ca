#!/usr/bin/env bats
# Goal: haul doctor says for each path and host what haul would do there and why, as words and as JSON, and changes nothing.
load ../lib/bootstrap

# found NAME FIELD EXPECTED: of the event about it, in the last `doctor`.
found() {
    expect "$2 of $1" "$(jq -r "select(.name == \"$1\") | .$2" "$SCRATCH/out")" "$3"
}

doctor() {
    status=0
    "${under[@]}" timeout $PATIENCE "$HAUL" doctor --json "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" || status=$?
    jq -e .v out >/dev/null
}

@test "this machine: engine, cgroup, memory" {
    doctor
    expect_status 0
    [[ $(jq -r '[.event, .kind, .engine] | join(" ")' out) =~ ^doctor\ machine\ (uring|threads) ]]
    doctor --engine=sync
    found "this machine" engine sync
    "$HAUL" doctor | grep -q "^  memory "
}

@test "files, and new ones in folders, on ext4, btrfs, tmpfs, overlayfs" {
    local kind
    requires root
    for kind in ext4 btrfs tmpfs overlay; do
        on_fs $kind 128M
        random_file "$FS/file" 1M
        doctor "$FS/file" "$FS"
        expect_status 0
        case $kind in
        ext4) found "$FS/file" cache "direct (O_DIRECT on ext4, alignment from statx)" ;;
        btrfs) [[ $(jq -r "select(.name == \"$FS/file\").syncfs" out) == "tells"* ]] ;;
        tmpfs) found "$FS/file" cache "plain (the filesystem is itself page cache)" ;;
        overlay) [[ $(jq -r "select(.name == \"$FS/file\").syncfs" out) == "not used"* ]]; found "$FS/file" writeback fdatasync; found "$FS/file" measured mincore ;;
        esac
        expect "what is there" "$(ls -A "$FS" | grep -vE 'lost.found|lower|upper|work')" file
    done
    doctor --cache=window "$SCRATCH"
    [[ $(jq -r 'select(.kind == "path").cache' out) == window* ]]
}

@test "what is not there has its words, and the rest is told: 24" {
    random_file file 1M
    doctor no-such-file file
    expect_status 24
    found no-such-file error "no-such-file: there is no such file"
    found file kind path
}

@test "a host without haul, and the agent that would be brought; one with it" {
    doctor -e "$SCRATCH/far" there:
    expect_status 0
    found there haul none
    found there agent "haul-agent-$(uname -m)"
    [ "$(jq 'select(.kind == "host") | .round_trip_ns > 0 and .link_bytes_per_second > 0' out)" = true ]
    leaves_nothing
    ln -s "$HAUL" bin/haul
    doctor -e "$SCRATCH/far" there:
    [[ $(jq -r 'select(.kind == "host").haul' out) == "haul "*engines* ]]
}

@test "a host that is dead, one that is no shell: their words and codes" {
    doctor -o BatchMode=yes -o ConnectTimeout=5 --port=1 127.0.0.1:
    expect_status 10
    [ -n "$(jq -r 'select(.kind == "host").error // empty' out)" ]
    printf '#!/bin/sh\nexit 3\n' >far
    doctor -e "$SCRATCH/far" there:
    expect_status 5
}

# captured NAME PATH: what the manual shows of NAME is what doctor says of PATH, line by line; but for figures of the link, the kind
# of machine, and by what an older kernel measures.
captured() {
    local figures='s/^(  (round|link|measured) +).*/\1/; s/^(  machine +|  agent +haul-agent-).*/\1/'
    sed -n '/^\.Sh DOCTOR/,/^\.Sh PROVE/p' "$HAUL_ROOT/man/haul.1" | sed -nE "$figures; \\|^$1\$|,/^[^ ]/p" | grep '^ ' >shown
    sed -nE "$figures; \\|^$2\$|,/^[^ ]/p" doctored | grep '^ ' >said
    [ -s shown ] && diff shown said
}

@test "what the manual shows is what it says: ext4, btrfs, overlayfs, tmpfs, a host without haul, one that is dead" {
    local kind
    requires root
    for kind in ext4 btrfs overlay tmpfs; do
        on_fs $kind 128M
        random_file "$FS/disk.img" 1M
        "$HAUL" doctor "$FS/disk.img" >doctored
        captured "$([ $kind = ext4 ] || echo "/$kind/")disk.img" "$FS/disk.img"
    done
    "$HAUL" doctor -e "$SCRATCH/far" store: >doctored
    captured store store
    "$HAUL" doctor -o BatchMode=yes -o ConnectTimeout=5 --port=1 127.0.0.1: >doctored || status=$?
    expect_status 10
    captured 127.0.0.1 127.0.0.1
}

@test "a host by libssh: its cipher, too" {
    server_start
    doctor "${via[@]}" "$FAR:"
    expect_status 0
    [[ $(jq -r 'select(.kind == "host").cipher' out) =~ ^(aes|chacha) ]]
}
