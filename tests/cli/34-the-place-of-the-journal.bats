#!/usr/bin/env bats
# Goal: the journal is beside the target or where --journal says, is gone after success, keeps a second haul out, and
# where none can be kept, that is said and the copy is made all the same.

load ../lib/common
load ../lib/resume

BYTES=$((16 * MIB + 1234))

setup() {
    scratch_open
    random_file source $BYTES
    JOURNAL=.target.haul
}

# --- two at a time ----------------------------------------------------------------------------------------------------

@test "a second haul to the same target is refused in one line, and the first is unharmed" {
    begin "${SLICE[@]}" --bwlimit=8M source target
    wait_for_journal $((2 * MIB)) STOP # on a busy machine it could be over before the others begin
    local pid=$running words number=0 status
    ln -s target link
    ln target hard
    random_file other $BYTES 2
    # All at once: each waits a second for a lock that may be about to end.
    local -a runs=("source target" "--restart source target" "--append source target" "-I source target"
        "-c source target" "other target" "other link" "other hard") pids=()
    for words in "${runs[@]}"; do
        number=$((number + 1))
        # shellcheck disable=SC2086
        "$HAUL" --json $words >out.$number 2>err.$number 3>&- &
        pids+=($!)
    done
    for number in "${!pids[@]}"; do
        status=0
        wait "${pids[number]}" || status=$?
        mv out.$((number + 1)) out
        mv err.$((number + 1)) err
        expect_status 43
        expect_clear_error
        expect "lines" "$(wc -l <err)" 1
        expect_words 'another transfer to it is running; wait for it or stop it'
        expect_receipt .durable false
    done
    journal_true "$JOURNAL" target
    kill -CONT "$pid"
    # It goes on to a good end.
    running=$pid
    finished
    expect_status 0
    same source target
    [ ! -e "$JOURNAL" ]
}

@test "two that make the same target at once: one copies, the other copies after it or is refused as busy" {
    local round first second
    random_file source $MIB
    for round in {1..40}; do
        rm -f target
        "$HAUL" -q source target 2>one 3>&- &
        first=0 second=0
        "$HAUL" -q source target 2>two 3>&- || second=$?
        wait $! || first=$?
        case $first-$second in
        0-0 | 0-43 | 43-0) ;;
        *) echo "exit codes $first and $second"; cat one two; false ;;
        esac
        same source target
    done
}

# The first makes the target, and the second has filled it before the first holds the lock. What the first knew of the
# target before is not true any more: taken for new, it would keep the other's bytes in its holes.
@test "another copy that is over between making the target and locking it leaves nothing behind" {
    requires strace
    random_file source 2M
    truncate -s 2M holes
    "$TOOLS/fill" --offset=1M holes 256K
    # So long that a busy machine does not take longer for the other. The leak checker cannot run below a tracer.
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 strace -f -qq -o trace -e trace=flock \
        -e inject=flock:delay_enter=20000000:when=1 "$HAUL" -q holes target 3>&- &
    local pid=$!
    cleanup_fn end_quietly "$pid"
    waits_until 60 test -e target
    copied source target
    same source target
    wait "$pid"
    same holes target
}

# Whenever it is killed, what has the name of a journal has a header: the name comes last.
@test "a journal gets its name when its header is on the medium" {
    requires strace
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 strace -ff -qq -o trace -e trace=openat,fdatasync,linkat \
        "$HAUL" -q "${SLICE[@]}" source target 3>&-
    same source target
    # A file for each thread. In the one that links: the last call but one is the sync of the header.
    local thread
    thread=$(grep -lE 'linkat\(.*"\.target\.haul"' trace.*)
    run grep -E 'openat\(.*"\.target\.haul".*O_CREAT' trace.*
    [ "$status" = 1 ]
    grep -E '^(fdatasync|linkat)\(' "$thread" | grep -B 1 -m 1 '^linkat(' | head -n 1 | grep 'fdatasync(.*= 0'
}

@test "the lock is gone with a process that was killed" {
    interrupt $((4 * MIB)) KILL "${SLICE[@]}" --bwlimit=10M source target
    expect_status 137
    copied source target
    same source target
}

@test "two copies of one source to two targets in one folder" {
    begin "${SLICE[@]}" --bwlimit=16M source one
    local pid=$running
    copied "${SLICE[@]}" --bwlimit=20M source two
    wait "$pid"
    same source one
    same source two
    expect "journals" "$(find . -name '.*.haul' | wc -l)" 0
}

# --- --journal --------------------------------------------------------------------------------------------------------

@test "--journal=FILE: there and not beside the target, used by the next run, gone after success" {
    mkdir -p elsewhere
    JOURNAL=$SCRATCH/elsewhere/journal
    partial 8 --journal="$JOURNAL"
    [ ! -e .target.haul ]
    partial_save
    copied --journal=elsewhere/journal source target
    same source target
    expect_receipt .bytes_kept "$journalled_bytes"
    expect_receipt .resumed true
    expect "files there" "$(find elsewhere -type f | wc -l)" 0
    # Not named the second time: not found, so all is compared.
    partial_restore
    copied --chunk-size=256K source target
    same source target
    expect_receipt .resumed false
    expect_receipt .bytes_kept "$journalled_bytes"
    [ -e "$JOURNAL" ]
}

@test "--journal=FILE in a folder that is not there: said, and copied without" {
    copied "${SLICE[@]}" --journal=nowhere/journal source target
    same source target
    expect_words 'nowhere/journal.*no journal is kept'
}

# As on a disk that the target fills: no space for the journal, but for its beginning.
@test "no room for the journal to grow: said, and copied without; a resume that needs it says what to do" {
    local rate
    on_fs tmpfs 4K
    for rate in 16 2; do # what is not recorded yet when all is copied never needs to be: on a busy disk it takes longer
        rm -f target
        copied --chunk-size=64K --sync-every=64K --bwlimit=${rate}M --journal="$FS/journal" source target
        same source target
        expect "files there" "$(find "$FS" -type f | wc -l)" 0
        ! grep -q 'cannot be written' err || break
    done
    expect_words 'target: its journal cannot be written: No space left.*no journal is kept'
    expect "files there" "$(find "$FS" -type f | wc -l)" 0
    rm target
    JOURNAL=$FS/journal
    interrupt $MIB INT --chunk-size=64K --sync-every=512K --bwlimit=4M --journal="$FS/journal" source target
    expect_status 20
    copy --sync-every=64K --journal="$FS/journal" source target
    expect_status 11
    expect_words 'target: its journal cannot be written; make room there and run it again'
    expect_receipt .durable false
    mount -o remount,size=1M "$FS"
    copied --journal="$FS/journal" source target
    same source target
}

@test "a read-only folder: said, copied, and with --journal resumed" {
    requires root
    mkdir -m 755 closed
    mkdir -m 777 open
    : >closed/target
    chown 65534 closed/target
    chmod 644 source
    become_nobody
    copied "${SLICE[@]}" source closed/target
    expect_words 'no journal is kept: after an interruption every chunk will be compared'
    same source closed/target
    # Interrupted without a journal: compared. With one elsewhere: resumed.
    : >closed/target
    JOURNAL=open/journal
    HAUL=$SCRATCH/haul interrupt $((8 * MIB)) INT "${SLICE[@]}" --bwlimit=10M --journal=open/journal source closed/target
    expect_status 20
    journal_true open/journal closed/target
    HAUL=$SCRATCH/haul copied --journal=open/journal source closed/target
    same source closed/target
    expect_receipt .bytes_kept "$journalled_bytes"
    [ ! -e open/journal ]
    expect "files in the folder" "$(find closed -type f)" closed/target
}

@test "a block device: interrupted, resumed from --journal, never cut or extended" {
    requires root loop
    truncate -s 20M image
    local device
    device=$(losetup --find --show --direct-io=on image)
    cleanup_fn loop_detach "$device"
    JOURNAL=$SCRATCH/journal
    interrupt $((8 * MIB)) INT "${SLICE[@]}" --bwlimit=10M --write-devices --journal=journal source "$device"
    expect_status 20
    journal_true journal "$device"
    # The old part is audited here, too.
    dd if=/dev/zero of="$device" bs=4096 count=1 seek=10 oflag=direct conv=notrunc status=none
    copied --write-devices --journal=journal source "$device"
    cmp -n $BYTES source "$device"
    expect_receipt .chunks_repaired 1
    expect_receipt .bytes_kept $((journalled_bytes - 4096)) # the block is repaired, not its chunk
    [ ! -e journal ]
    expect "size of the image" "$(stat -c %s image)" $((20 * MIB))
    expect "bytes behind the copy" "$(tail -c +$((BYTES + 1)) image | tr -d '\0' | wc -c)" 0
}

@test "from a block device to a file, interrupted and resumed" {
    requires root loop
    local device
    truncate -s 17M source
    device=$(losetup --find --show --direct-io=on source)
    cleanup_fn loop_detach "$device"
    interrupt $((8 * MIB)) INT "${SLICE[@]}" --bwlimit=10M "$device" target
    expect_status 20
    journal_true "$JOURNAL" target
    copied "$device" target
    cmp source target
    [ "$(receipt .bytes_kept)" -ge "$journalled_bytes" ] || { echo "$journalled_bytes were journalled"; show_run; false; }
}

# --- names ------------------------------------------------------------------------------------------------------------

@test "names of 249, 250 and 255 bytes, with spaces, newlines and bytes that are not UTF-8" {
    local name long odd
    long=$(printf 'n%.0s' {1..255})
    printf -v odd ' -a\nb\xff"\x27*'
    for name in "${long:0:249}" "${long:0:250}" "$long" "$odd"; do
        begin "${SLICE[@]}" --bwlimit=8M source "./$name"
        until JOURNAL=$(find . -name '.*haul*' -type f -print0 | tr -d '\0'; printf x) && JOURNAL=${JOURNAL%x} &&
            [ -n "$JOURNAL" ]; do
            kill -0 "$running"
            nap 0.01
        done
        wait_for_journal $((4 * MIB)) INT
        finished
        expect_status 20
        journal_true "$JOURNAL" "./$name"
        copied source "./$name"
        cmp source "./$name"
        expect_receipt .bytes_kept "$journalled_bytes"
        [ ! -e "$JOURNAL" ]
        rm "./$name"
    done
}

# --- trouble ----------------------------------------------------------------------------------------------------------

# A full disk for the journal alone: its header, or its first batch, does not fit.
@test "no room for the journal" {
    on_fs tmpfs 16k
    head -c 16K /dev/zero >"$FS/full" || true
    copied "${SLICE[@]}" --journal="$FS/journal" source target
    same source target
    expect_words 'journal: .*No space left on device; no journal is kept'
    [ ! -e "$FS/journal" ]
    # One page, for the header and the first batches.
    rm target
    truncate -s 8K "$FS/full"
    head -c 4096 /dev/zero >"$FS/more"
    copy --chunk-size=64K --sync-every=64K --bwlimit=200M --journal="$FS/journal" source target
    if [ "$status" != 0 ]; then
        expect_status 11
        expect_clear_error
        expect_words 'journal.*No space left on device'
        rm "$FS/more"
        journal_true "$FS/journal" target
        copied --journal="$FS/journal" source target
    fi
    same source target
    [ ! -e "$FS/journal" ]
}

@test "a disk that gets full in the middle: what is durable is in the journal, and it goes on when there is room" {
    FUSE_FAULTS=(--no-fallocate --file=target --write-enospc=$((9 * MIB)))
    on_fs fuse 0
    copy "${SLICE[@]}" source "$FS/target"
    expect_status 11
    expect_clear_error
    JOURNAL=$FUSE_BACKING/.target.haul
    journal_true "$JOURNAL" "$FUSE_BACKING/target"
    [ "$journalled_bytes" -gt $((6 * MIB)) ]
    copied --chunk-size=256K source "$FUSE_BACKING/target"
    same source "$FUSE_BACKING/target"
    expect_receipt .bytes_kept "$journalled_bytes"
}

@test "an error of the data's sync: nothing that was not synced is in the journal" {
    FUSE_FAULTS=(--fsync-eio)
    on_fs fuse 0
    copy "${SLICE[@]}" source "$FS/target"
    expect_status 11
    expect_clear_error
    if [ -e "$FUSE_BACKING/.target.haul" ]; then
        expect "chunks in the journal" "$(journal_figure .chunks_durable "$FUSE_BACKING/.target.haul")" 0
    fi
}

@test "a journal is for its owner only, and the target's folder has nothing else of haul's" {
    partial 8
    expect "mode" "$(stat -c %a "$JOURNAL")" 600
    expect "files of haul" "$(find . -maxdepth 1 -name '*haul*' | wc -l)" 1
}

# --- a journal that cannot be read now ------------------------------------------------------------------------------------

@test "few descriptors: the journal is read, or it stays" {
    local limit refused=0 code saved
    random_file source 8M
    partial 4
    saved=$(sha256sum <"$JOURNAL")
    partial_save
    for limit in {5..24}; do
        code=0
        (ulimit -n "$limit" && exec "$HAUL" --engine=sync source target) >out 2>err 3>&- || code=$?
        run grep -E 'damaged|cannot be used|too short|is not a journal' err
        [ "$status" = 1 ] || { echo "with $limit descriptors: $output"; false; }
        if [ "$code" = 0 ]; then
            same source target
            break
        fi
        refused=$((refused + 1))
        expect "the journal, with $limit descriptors" "$(sha256sum <"$JOURNAL")" "$saved"
        expect "lines, with $limit descriptors" "$(wc -l <err)" 1
    done
    [ "$refused" -gt 0 ]
    [ "$code" = 0 ]
}

@test "a journal of somebody else: the run is refused in one line, and --restart begins anew" {
    requires root
    local saved
    chmod 777 .
    random_file source 8M
    chmod 644 source
    partial 4
    chmod 666 target
    saved=$(sha256sum <"$JOURNAL")
    become_nobody
    copy source target
    under=()
    expect_status 11
    expect "lines" "$(wc -l <err)" 1
    expect_words 'cannot be read now \(Permission denied\) and was left alone'
    expect "the journal" "$(sha256sum <"$JOURNAL")" "$saved"
    copied source target
    expect_receipt .resumed true
    same source target
}
