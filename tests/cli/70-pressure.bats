#!/usr/bin/env bats
# Goal: where memory gets scarce while a copy runs, less of it is in flight, and that is said; --nice lets others go first.
load ../lib/common

# A source, and a cgroup, $folder, in which there is room for a copy, but not for the neighbour as well.
narrow_cgroup() {
    requires root cgroup python3
    [ "$cgroup_kind" = v1 ] || skip "needs a cgroup whose limit is told by failcnt"
    random_file source 64M
    random_file read 32M 2
    folder=$(cgroup_make "haul-test.$$.$RANDOM" $((96 * MIB)))
    cleanup_fn cgroup_remove "$folder"
}

# Memory that cannot be reclaimed, until 8 of the 96 MiB are left, whatever the copy has taken; and then page cache that
# runs into the limit all the time. Without read-ahead: where that is 8 MiB all that is left is locked while it is read, the kernel
# finds nothing to reclaim, and kills this.
neighbour_moves_in() {
    cgroup_exec "$folder" /usr/bin/python3 -c 'import itertools, os, sys
eaten = []
while int(open(sys.argv[1]).read()) < 88 << 20: eaten.append(bytearray(b"1" * (1 << 18)))
fd = os.open("read", os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
open("eaten", "w").close()
for offset in itertools.cycle(range(0, 32 << 20, 1 << 16)): os.pread(fd, 1 << 16, offset)' "$folder/memory.usage_in_bytes" 3>&- &
    waits_until 60 test -e eaten
}

end_all() { # CGROUP
    xargs -r kill <"$1/cgroup.procs" || true
}

# Half of what is in flight is left unused when the limit of the cgroup is hit and what is there cannot be reclaimed.
@test "a neighbour takes the memory of our cgroup: fewer slots, told by -v and in the receipt" {
    local copy_pid haul_pid
    narrow_cgroup
    cgroup_exec "$folder" "$HAUL" --json -v --bwlimit=512K source target >out 2>err 3>&- &
    copy_pid=$!
    cleanup_fn end_all "$folder"
    waits_until 60 grep -q policy err # its memory has been decided, and taken
    haul_pid=$(cat "$folder/cgroup.procs")
    neighbour_moves_in
    waits_until 60 grep -q 'our cgroup runs into its limit: 1/2 of the slots are used now' err
    kill -INT "$haul_pid"
    wait "$copy_pid" || status=$?
    expect_status 20
    expect_receipt .pressure "our cgroup runs into its limit"
    [ "$(receipt .slots_halved_most)" -ge 1 ]
}

# The same over there, told by the server however much else is said: one lane asks for nothing that PONG tells.
@test "a neighbour takes the memory of the server's cgroup: fewer slots here" {
    local copy_pid
    narrow_cgroup
    printf '#!/bin/sh\necho $$ >%s/cgroup.procs\nshift\nexec $*\n' "$folder" >enter
    chmod +x enter
    "$HAUL" --json -v -j 1 --bwlimit=512K -e "$PWD/enter" --remote-path="$HAUL" source "there:$PWD/target" >out 2>err 3>&- &
    copy_pid=$!
    cleanup_fn end_all "$folder"
    waits_until 60 test -e target # its memory has been decided, and taken
    neighbour_moves_in
    waits_until 60 grep -q 'there: our cgroup runs into its limit: 1/[248] of the slots are asked for' err
    waits_until 60 grep -q '"slots_halved":[123]' out
    kill -INT "$copy_pid"
    wait "$copy_pid" || status=$?
    expect_status 20
    [ "$(receipt .slots_halved_most)" -ge 1 ] # the machine may be short of memory as well
}

@test "--nice: 10 nicer than its shell and the lowest best-effort priority, in each thread that does input and output" {
    requires strace
    random_file source 8M
    ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -o trace -e trace=ioprio_set,setpriority,sched_setscheduler "$HAUL" --nice --json source target >out
    grep -q 'ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7)) = 0' trace
    grep -q "setpriority(PRIO_PROCESS, 0, $(($(nice) + 10))) *= 0" trace
    grep -q 'sched_setscheduler([0-9]*, SCHED_BATCH, \[0\]) *= 0' trace
    expect_receipt .pressure null
    same source target
}

# Those that are under way are put between two syncs, at most: 144 of 288.
@test "--nice: half as many small files are under way" {
    local i
    requires strace
    case $(stat -f -c %T .) in ext2/ext3 | xfs | btrfs) ;; *) skip "small files go as a whole on ext4, xfs and btrfs" ;; esac
    mkdir tiny
    for ((i = 0; i < 600; i++)); do echo "$i" >"tiny/$i"; done
    ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o trace -e trace=syncfs,openat,openat2 "$HAUL" --nice --json -r tiny/ made >out
    diff -r tiny made
    awk '/syncfs\(/ { n = 0 } /O_EXCL/ && ++n > most { most = n } END { print most; exit most < 1 || most > 144 }' trace
}
