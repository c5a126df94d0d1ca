#!/usr/bin/env bats
# Goal: -n looks at all that a run would meet, names the target, changes nothing, and ends with the exit code that the run
# would begin with.
load ../lib/common
load ../lib/remote
load ../lib/resume

setup() {
    scratch_open
    random_file source $((2 * MIB + 77))
}

# What there is, its times and sizes, but for what `copy` itself writes, and the images of mounted filesystems.
state() {
    find . "$@" -not -name out -not -name err -not -name '*.img' -not -path './state*' -printf '%p %i %s %T@ %C@ %M\n' 2>/dev/null | sort
}

# -n ARGS ends with the code of ARGS, and changes nothing; of both the messages are clear.
foretells() { # EXIT-CODE ARGS...
    local code=$1
    shift
    state >"$SCRATCH/state.before"
    copy -n "$@"
    expect_status "$code"
    expect_receipt .exit "$code"
    expect_receipt .dry_run true
    [ "$code" = 0 ] || expect_clear_error
    state >"$SCRATCH/state.after"
    grep -v ' \./ \|^\. ' "$SCRATCH/state.before" >"$SCRATCH/state.a"
    grep -v ' \./ \|^\. ' "$SCRATCH/state.after" >"$SCRATCH/state.b"
    diff "$SCRATCH/state.a" "$SCRATCH/state.b" || { show_run; return 1; }
    copy "$@"
    expect_status "$code"
}

@test "-n names the target and what would become of it" {
    run haul -n source target
    [ "$status" = 0 ]
    [[ $output == *"source -> target: would be created, 2.00 MiB"* ]]
    [ ! -e target ]
    echo old >target
    run haul -n source target
    [[ $output == *"target: would be compared"* ]]
    run haul -n --restart source target
    [[ $output == *"target: would be written anew"* ]]
    mkdir folder
    run haul -n source folder
    [[ $output == *"source -> folder/source: would be created"* ]]
    copied source folder
    run haul -n source folder
    [ "$status" = 0 ]
    [[ $output == *"up to date"* ]]
    copy -n source folder
    expect_receipt .up_to_date true
    expect_receipt .would null
}

@test "-n of a folder that is missing, of a source that is missing or a folder" {
    foretells 11 source nowhere/target
    foretells 11 source nowhere/
    foretells 24 missing target
    mkdir folder
    foretells 23 folder target
    foretells 11 -T source folder
}

@test "-n of targets that cannot be written: link to nothing, what is in the journal's place" {
    ln -s nothing link
    foretells 11 source link
    mkdir .target.haul
    foretells 11 source target
    rmdir .target.haul
    copied --manifest=sums source other
    cp sums .target.haul
    foretells 11 source target
    echo precious >file
    foretells 11 --journal=file source target
    foretells 11 --manifest=file source target
}

@test "-n to a socket is refused as the run is" {
    random_file image 64K
    /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
    for option in -n --restart; do
        copy $option image socket
        expect_status 11
        expect_words 'socket: nobody reads it'
    done
}

@test "-n of what is immutable, may only be appended to, or is mounted read-only" {
    requires root chattr
    mkdir fixed
    touch file log
    chattr +i fixed file && chattr +a log || skip "needs chattr"
    cleanup_fn chattr -i "$SCRATCH/fixed" "$SCRATCH/file"
    cleanup_fn chattr -a "$SCRATCH/log"
    foretells 11 source fixed/target
    foretells 11 source file
    foretells 11 source log
    mkdir here
    cp -p source here/same
    echo old >here/old
    mount --bind here here
    cleanup_fn umount "$SCRATCH/here"
    mount -o remount,ro,bind here
    foretells 11 source here/target
    foretells 11 source here/old
    copy -n source here/same
    expect_status "$(copy source here/same && echo "$status")"
}

@test "-n as a user who may not write, or not read" {
    requires root setpriv
    chmod 777 .
    mkdir closed
    echo old >closed/old
    cp "$HAUL" haul
    cp "$LIMIT" limit
    chmod 755 haul limit
    local HAUL=$SCRATCH/haul LIMIT=$SCRATCH/limit
    under=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod 644 source
    foretells 11 source closed/target
    foretells 11 source closed/old
    chmod 600 source
    foretells 11 source target
    chmod 644 source
    cp source target
    chmod 666 target
    (umask 077 && echo another >.target.haul) # a journal that may not be read stays
    foretells 11 source target
}

@test "-n of devices: without --write-devices, too small, read-only, mounted" {
    requires root loop
    local device small
    truncate -s 8M disk.img # whose times the kernel changes when it likes
    truncate -s 1M tiny.img
    device=$(losetup -f --show disk.img)
    cleanup_fn loop_detach "$device"
    small=$(losetup -f --show tiny.img)
    cleanup_fn loop_detach "$small"
    foretells 1 source "$device"
    foretells 11 --write-devices source "$small"
    blockdev --setro "$device"
    foretells 11 --write-devices source "$device"
    blockdev --setrw "$device"
    run haul -n --write-devices source "$device"
    [ "$status" = 0 ]
    [[ $output == *"$device: would be compared"* ]]
    mkfs.ext4 -q "$device"
    mkdir mounted
    mount "$device" mounted
    cleanup_fn umount "$SCRATCH/mounted"
    foretells 43 --write-devices source "$device"
    expect_words "$device.*mounted"
}

@test "-n where there is no room" {
    requires getfattr setfattr
    on_fs ext4 8M
    random_file "$SCRATCH/large" $((16 * MIB))
    foretells 11 large "$FS/target"
    expect_words 'make room'
    random_file "$FS/old" $MIB
    touch -d '2019-01-02' "$FS/old"
    setfattr -n user.own -v mine "$FS/old"
    foretells 11 large "$FS/old" # and nothing of the old one has changed
    expect "time" "$(stat -c %Y "$FS/old")" "$(date -d '2019-01-02' +%s)"
    expect "attributes" "$(getfattr --only-values -d "$FS/old")" mine
    rm "$FS/old"
    truncate -s 1G "$SCRATCH/sparse"
    foretells 0 sparse "$FS/sparse"
    rm "$FS/sparse"
    seq -f "$FS/%.0f" 4096 | xargs touch 2>/dev/null || true # until no inode is left
    foretells 11 source "$FS/target"
    expect_words 'no inode|no space'
}

@test "-n where files may not become so large" {
    random_file source 1M
    under=(prlimit --fsize=100000)
    foretells 11 source target
}

@test "-n with --strict where only the cache could hold it, and of verify" {
    random_file source $((80 * MIB))
    foretells 42 --strict --cache=plain source target
    foretells 42 --strict --cache=window --cache-max=1M source target
    on_fs tmpfs 128M
    foretells 42 --strict source "$FS/target"
    foretells 0 --strict source target
    run haul -n verify source target
    [ "$status" = 0 ]
    [[ $output == *equal* ]]
}

@test "-n beside a transfer that is running" {
    random_file source $((16 * MIB))
    begin "${SLICE[@]}" --bwlimit=2M source target
    JOURNAL=.target.haul
    wait_for_journal $MIB STOP
    local pid=$running
    copy -n source target
    expect_status 43
    kill -KILL "$pid"
    wait "$pid" || true
    run haul -n source target
    [ "$status" = 0 ]
    [[ $output == *"gone on with from its journal"* ]]
    copied source target
    same source target
}

@test "-n of several: 23 where one of them would fail, 0 where none would" {
    cp source other
    mkdir folder
    foretells 23 source missing other folder/
    rm folder/*
    copy -n source other folder/
    expect_status 0
    [ -z "$(ls -A folder)" ]
}

@test "-n by push and by pull tells the same" {
    local via=(-e "sh -c 'shift; exec \"\$@\"' -" --remote-path="$HAUL") far="h:$SCRATCH"
    foretells 11 "${via[@]}" source "$far/nowhere/target"
    mkdir .file.haul
    foretells 11 "${via[@]}" source "$far/file"
    foretells 24 "${via[@]}" "$far/missing" target
    foretells 11 "${via[@]}" "$far/source" nowhere/target
    run haul -n "${via[@]}" source "$far/target"
    [ "$status" = 0 ]
    [[ $output == *"h:$SCRATCH/target: would be created"* ]]
    [ ! -e target ]
    copied "${via[@]}" source "$far/target"
    copy -n "${via[@]}" "$far/source" target
    expect_receipt .up_to_date true
}

@test "--itemize-changes tells in rsync's letters what differs, with -n what would" {
    run haul -n --itemize-changes source target
    [[ $output == *">f+++++++++ source"* ]]
    run haul --itemize-changes source target
    [[ $output == *">f+++++++++ source"* ]]
    run haul -n --itemize-changes source target
    [[ $output != *f[.+]* ]]
    touch -d 2001-01-01 target
    run haul -n --itemize-changes source target
    [[ $output == *">f..t...... source"* ]]
    echo old >target
    chmod 600 target
    touch -d 2001-01-01 target
    run haul -n --itemize-changes source target
    [[ $output == *">f.stp..... source"* ]]
    copy -n source target
    expect_receipt .changes '>f.stp.....'
    copied source target
    sleep 0.1
    chmod 640 target
    run haul -n --itemize-changes source target
    [[ $output == *".f...p..... source"* ]]
    run haul -n --itemize-changes -e "sh -c 'shift; exec \"\$@\"' -" --remote-path="$HAUL" source "h:$SCRATCH/new"
    [[ $output == *"<f+++++++++ source"* ]]
}
