#!/usr/bin/env bats
# Goal: what goes wrong is said in one clear line with rsync's exit code, and no success is claimed.
load ../lib/common
load ../lib/resume

failed_with() { # EXIT-CODE WORDS
    expect_status "$1"
    expect_clear_error
    expect_words "$2"
    [ "$(receipt .durable)" != true ] || { echo "durable is claimed"; show_run; false; }
}

@test "a source that is not there" {
    copy missing target
    [ "$status" = 23 ] || [ "$status" = 24 ] || expect_status 23
    expect_clear_error
    expect_words 'missing: .*no such file|no such file.*missing|missing'
    [ ! -e target ]
}

@test "a target folder that is not there" {
    random_file source 10K
    copy source nowhere/target
    expect_status 11
    expect_clear_error
    expect_words 'nowhere'
}

@test "no permission to read the source, or to write the target" {
    requires root setpriv
    cp "$HAUL" haul
    chmod 755 haul
    mkdir -m 777 open
    random_file source 10K
    chmod 600 source
    local user=(setpriv --reuid=65534 --regid=65534 --clear-groups ./haul --json)
    status=0
    "${user[@]}" source open/target >out 2>err || status=$?
    [ "$status" = 23 ] || expect_status 11
    expect_clear_error
    expect_words 'source.*permission|permission.*source'
    [ ! -e open/target ]
    chmod 644 source
    status=0
    "${user[@]}" source target >out 2>err || status=$?
    failed_with 11 'target.*permission|permission.*target'
    [ ! -e target ]
}

@test "a full disk" {
    on_fs ext4 16M
    random_file source 40M
    copy source "$FS/target"
    failed_with 11 'target.*no space|no space.*target'
    copy --cache=window source "$FS/target"
    failed_with 11 'no space'
    copy --preallocate source "$FS/target"
    failed_with 11 'no space'
    random_file small 1M
    rm -f "$FS/target"
    copied small "$FS/small"
}

@test "a disk that gets full in mid-copy" {
    FUSE_FAULTS=(--no-fallocate --write-enospc=3000000)
    on_fs fuse 0
    random_file source 8M
    local policy
    for policy in direct window plain; do
        copy --cache=$policy source "$FS/target"
        failed_with 11 'target.*no space|no space.*target'
    done
}

@test "a read error in the source" {
    FUSE_FAULTS=(--file=bad --read-eio=5000000)
    on_fs fuse 0
    random_file "$FUSE_BACKING/bad" 8M
    local policy engine
    for policy in direct window plain; do
        for engine in uring threads sync; do
            rm -f target
            copy --cache=$policy --engine=$engine "$FS/bad" target
            failed_with 11 'bad.*input/output error|input/output error.*bad'
        done
    done
}

@test "a write error in the target" {
    FUSE_FAULTS=(--write-eio=2000000)
    on_fs fuse 0
    random_file source 8M
    local policy engine
    for policy in direct window; do
        for engine in uring threads sync; do
            rm -f "$FS/target"
            copy --cache=$policy --engine=$engine source "$FS/target"
            failed_with 11 'target.*input/output error|input/output error.*target'
        done
    done
}

@test "an error of fdatasync is an error of the copy" {
    FUSE_FAULTS=(--fsync-eio)
    on_fs fuse 0
    random_file source 2M
    copy source "$FS/target"
    failed_with 11 'target.*input/output error|input/output error.*target'
    expect "mtime of a copy that failed is not the source's" \
        "$([ "$(stat -c %Y "$FS/target")" = "$(stat -c %Y source)" ] && [ "$(stat -c %.9Y "$FS/target")" = "$(stat -c %.9Y source)" ] && echo same)" ""
    random_file source 6M
    copy --chunk-size=64K --sync-every=64K --bwlimit=20M source "$FS/other" # at a checkpoint
    failed_with 11 'other: sync to the disk failed: input/output error'
}

@test "a failing source among several does not stop the others, exit 23" {
    mkdir folder
    random_file one 10K 1
    random_file two 10K 2
    copy one missing two folder
    [ "$status" = 23 ] || [ "$status" = 24 ] || expect_status 23
    same one folder/one
    same two folder/two
}

# The source is changed when a part of the target is written, and the copy stands still.
change_while_copied() { # CHANGE...
    [ -e source ] || random_file source 6M
    touch -d '2001-01-01' source
    begin --bwlimit=6M --memory=1M "${options[@]}" source target
    meanwhile target 65537 "$@"
    finished
}

@test "a source that shrinks while it is copied: exit 41" {
    options=()
    change_while_copied truncate -s 1M source
    failed_with 41 'source.*(chang|shrank|shrunk|smaller|shorter)'
}

@test "a source that grows while it is copied: exit 41" {
    options=()
    change_while_copied sh -c 'head -c 100000 /dev/zero >>source'
    failed_with 41 'source.*(chang|grew|grown|larger)'
}

@test "a source that is written to while it is copied: exit 41" {
    options=(--cache=window)
    change_while_copied "$TOOLS/fill" --flip=5 source
    failed_with 41 'source.*chang'
    expect "mtime of a copy that failed is not the source's" "$([ "$(stat -c %.9Y target)" = "$(stat -c %.9Y source)" ] && echo same)" ""
}

# As it was found, and never longer than at the start; the next run finds another time, and copies it.
@test "--fuzzy: a log that grows and an image that is written: 0, said; one that shrinks is 41 all the same" {
    local way
    far_is_here
    options=(--fuzzy)
    for way in grow write; do
        rm -f source target
        random_file source 6M
        if [ $way = grow ]; then
            change_while_copied sh -c 'cp source before; head -c 3000000 /dev/zero >>source'
        else
            change_while_copied sh -c 'cp source before; "$1" --flip=5 source; "$1" --flip=6291455 source' - "$TOOLS/fill"
        fi
        expect_status 0
        expect_words 'source: changed while it was copied; the target has what was read of it'
        expect_receipt '[.outcome, .source_changed, .bytes_total]' "$(jq -n '["durable", true, 6291456]')"
        expect "size" "$(stat -c %s target)" 6291456
        expect "time" "$(stat -c %Y target)" "$(date -d 2001-01-01 +%s)"
        [ $way = write ] || same before target
        copied "${far[@]}" source "far:$SCRATCH/target"
        expect_receipt .source_changed false
        same source target
    done
    rm -f source target
    change_while_copied truncate -s 1M source
    failed_with 41 'source.*(chang|shrank|shrunk|smaller|shorter)'
}

# What was a hole and has data now is in no journal: it is the source that has changed, not the target that is wrong.
@test "a hole of the source that is filled while it is copied, with --manifest: exit 41" {
    truncate -s 2M source
    "$TOOLS/fill" --offset=2M source 4M
    options=(--manifest=manifest)
    change_while_copied "$TOOLS/fill" --offset=0 source 64K
    failed_with 41 'source.*chang'
    [ ! -e manifest ]
}

@test "a limit on the size of files (ulimit -f) is an error, not a death, and nothing is left" {
    random_file source 4M
    under=(bash -c 'ulimit -f 1024; exec "$@"' -)
    copy source target
    failed_with 11 'target: .*too large'
    [ ! -e target ]
    copy -S source target # no space is asked for in advance
    failed_with 11 'target: .*too large'
}

@test "a target that is removed, replaced or cut while it is written: 11, and nothing else is touched" {
    options=()
    change_while_copied rm target
    failed_with 11 'target: was removed or replaced while it was written'
    [ ! -e target ]
    random_file other 10K 2
    cp other another
    change_while_copied mv other target
    failed_with 11 'target: was removed or replaced while it was written'
    same another target
    rm -f target
    change_while_copied truncate -s 7M target
    failed_with 11 'target: its size was changed while it was written, to 7340032 bytes'
    # Below what is written by then: the writes that follow would give it its size back.
    rm -f target
    change_while_copied truncate -s 64K target
    failed_with 11 'target: its size was changed while it was written'
    # At the next write, not at the end; and what is gone is not in the journal.
    rm -f target
    options=(--chunk-size=64K --sync-every=256K)
    change_while_copied truncate -s 0 target
    failed_with 11 'target: its size was changed while it was written'
    copied source target
    same source target
}

@test "--memory that is too small is refused in words" {
    random_file source 1M
    copy --memory=4K source target
    [ "$status" = 22 ] || expect_status 1
    expect_clear_error
}

@test "a file that another program has a lease on, as Samba takes, is waited for" {
    random_file source 100K
    random_file target 100K 2
    local file
    for file in source target; do
        /usr/bin/python3 -c 'import fcntl, signal, sys, time
done = []
def let_go(*_): done.append(fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK))
file = open(sys.argv[1], "r+b")
signal.signal(signal.SIGIO, let_go)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
open("leased", "w")
while not done: time.sleep(0.01)' "$file" 3>&- &
        waits_until 10 test -e leased
        copied source target
        same source target
        wait "$!"
        rm leased
        random_file target 100K 2
    done
}

@test "a disk that is too small keeps its room, also where the target was there and had holes" {
    local kind free
    random_file source 320M
    for kind in ext4 xfs; do
        on_fs $kind 300M
        truncate -s 320M "$FS/target"
        free=$(stat -f -c %f "$FS")
        copy source "$FS/target"
        expect_status 11
        expect_words 'needs 320 MiB, free there: [1-9]'
        expect "blocks of the target" "$(stat -c %b "$FS/target")" 0
        expect "free blocks" "$(stat -f -c %f "$FS")" "$free"
        copy source "$FS/other"
        expect_status 11
        [ ! -e "$FS/other" ]
    done
}
