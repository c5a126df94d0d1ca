#!/usr/bin/env bats
# Goal: however long a call to a disk takes, the side that makes it goes on saying that it is there: a --timeout that is
# shorter than the call is never hit, over there or here. Calls are made slow by strace. HAUL_SLOW_SECONDS (3) is how
# slow; the timeout is half of it, rounded up.
load ../lib/common
load ../lib/resume

# Half of it is the timeout: so long the machine itself may stand still.
SLOW=${HAUL_SLOW_SECONDS:-16}
TIMEOUT=$(((SLOW + 1) / 2))

setup() {
    scratch_open
    requires strace
    # The leak checker cannot run below a tracer.
    export ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS"
    far_is_here
    random_file source $((3 * MIB + 123))
}

# The far side makes these calls slowly, the first two of each thread; the engine without io_uring, so that they are system calls.
slow_there() { # CALLS [PATH]: on this path only
    cat >agent <<END
#!/bin/sh
exec strace -f -qq -o '$SCRATCH/trace' ${2:+-P '$SCRATCH/$2'} -e trace=$1 \\
    -e inject=$1:delay_enter=$((SLOW * 1000000)):when=1..2 '$HAUL' "\$@"
END
    chmod 755 agent
    rm -f trace
}

over() {
    copy -e "$SCRATCH/here" --remote-path="$SCRATCH/agent" --timeout=$TIMEOUT --engine=threads "$@"
}

# strace writes its last lines when the far side has ended.
it_was_slow() {
    waits_until 10 test -s trace || { echo "none of the calls was made"; return 1; }
}

@test "a far side whose every sync is slow: push" {
    slow_there fsync,fdatasync
    over source "far:$SCRATCH/target"
    expect_status 0
    it_was_slow
    same source target
}

@test "a far side whose fallocate is slow: push, and a hole over old data" {
    slow_there fallocate
    over source "far:$SCRATCH/target"
    expect_status 0
    it_was_slow
    same source target
    cp source old
    truncate -s $((3 * MIB + 123)) holes
    over holes "far:$SCRATCH/old"
    expect_status 0
    it_was_slow
    same holes old
}

@test "a far side that reads its journal slowly: a resume by push" {
    slow_there pread64,read,openat .target.haul
    JOURNAL=.target.haul
    partial 1
    over source "far:$SCRATCH/target"
    expect_status 0
    it_was_slow
    same source target
}

# Each read may take long, so a journal of many small batches is read in large pieces.
@test "a journal of many batches is read by few calls" {
    JOURNAL=.target.haul
    interrupt $((2 * MIB)) INT --engine=threads --chunk-size=64K --sync-every=64K --bwlimit=8M source target
    strace -f -qq -o trace -P "$SCRATCH/$JOURNAL" -e trace=pread64 "$HAUL" -q --engine=threads source target
    same source target
    reads=$(grep -c pread64 trace)
    [ "$reads" -gt 0 ] && [ "$reads" -le 10 ] || { echo "$reads reads"; return 1; }
}

@test "a far side whose opens are slow: pull, and verify" {
    slow_there openat source
    over "far:$SCRATCH/source" target
    expect_status 0
    it_was_slow
    same source target
    slow_there openat target
    "$HAUL" verify -e "$SCRATCH/here" --remote-path="$SCRATCH/agent" --timeout=$TIMEOUT source "far:$SCRATCH/target"
    it_was_slow
}

# The server gives a client up that says nothing: here after $TIMEOUT.
@test "a slow sync here, between two files that are pulled: both arrive" {
    cp source second
    mkdir into
    printf '#!/bin/sh\nexec "%s" "$@" --timeout=%d\n' "$HAUL" $TIMEOUT >agent
    chmod 755 agent
    strace -f -qq -o trace -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=$((SLOW * 1000000)):when=1..2 \
        "$HAUL" -q -e "$SCRATCH/here" --remote-path="$SCRATCH/agent" --engine=threads --timeout=$TIMEOUT \
        "far:$SCRATCH/source" "far:$SCRATCH/second" into/ 3>&-
    it_was_slow
    same source into/source
    same source into/second
}

# The same: the manifest belongs to no side.
@test "a manifest that is written slowly here, after a push" {
    printf '#!/bin/sh\nexec "%s" "$@" --timeout=%d\n' "$HAUL" $TIMEOUT >agent
    chmod 755 agent
    strace -f -b execve -qq -o trace -e trace=fsync,fdatasync \
        -e inject=fsync,fdatasync:delay_enter=$((SLOW * 1000000)):when=1..2 \
        "$HAUL" -q -e "$SCRATCH/here" --remote-path="$SCRATCH/agent" --engine=threads --timeout=$TIMEOUT \
        --manifest="$SCRATCH/manifest" source "far:$SCRATCH/target" 3>&-
    grep -q DELAYED trace
    same source target
    "$HAUL" verify --manifest="$SCRATCH/manifest" target
}

# Who replies all the time says no PING because nothing was said: only one tells it that its replies arrive.
@test "a pull that never pauses, for longer than the server would wait for a silent client" {
    random_file source 5M
    copied --timeout=$TIMEOUT --bwlimit=$((5120 / SLOW))K --chunk-size=64K -e ./here --remote-path="$HAUL --timeout=$TIMEOUT" "far:$SCRATCH/source" copy
    same source copy
}
