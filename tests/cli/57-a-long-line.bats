#!/usr/bin/env bats
# Goal: over a round trip of 50 ms and more a copy is equal, resumes, keeps its memory, and does not wait a round trip for each
# chunk. The line is tests/lib/delay.c between two network namespaces. How fast it is: bench/run-remote.
load ../lib/remote
load ../lib/resume

setup() {
    remote_open
    requires root ssh ssh-keygen nsenter
    folders
}

@test "push and pull, one lane and automatic" {
    line_start --delay=25
    local size=$((REMOTE_MIB / 2 * MIB + 99)) lanes began
    random_file here/file $size
    for lanes in 1 0; do
        rm -f there/file here/back
        began=${EPOCHREALTIME/./}
        copied -j $lanes --timeout=$PATIENCE "${via[@]}" here/file "$FAR:$THERE/file"
        same here/file there/file
        note "note: push -j $lanes: $((size / (${EPOCHREALTIME/./} - began))) MB/s, $(receipt .lanes) lanes"
        began=${EPOCHREALTIME/./}
        copied -j $lanes --timeout=$PATIENCE "${via[@]}" "$FAR:$THERE/file" here/back
        note "note: pull -j $lanes: $((size / (${EPOCHREALTIME/./} - began))) MB/s, $(receipt .lanes) lanes"
        uncached there/file here/back
        same here/file here/back
        sanitized || expect_under "memory" "$(receipt .memory_peak_bytes)" $((64 * MIB))
    done
    nothing_left
}

# Of a far side that stands still nothing comes back: one by one, one more chunk would pass after those that it has told to be
# stored. What it has stored without telling, perhaps all that is in flight, does not count.
@test "many small chunks are in flight at once" {
    local agent stored events
    memory_is_plenty
    server_start
    proxy_start --gate-up=0:99:1:2000000
    random_file here/file 16M
    copy_start --chunk-size=64K -j 1 --no-preallocate "${via[@]}" here/file "$FAR:$THERE/file"
    waits_until 60 stored_more_than 1000000
    agent=$(cat agent.pids)
    kill -STOP "$agent"
    waits_until 60 stands_still "$agent"
    events=$(grep -c '"event":"progress"' out || true)
    waits_until 60 told_more_than $((events + 1)) # answers that were on their way have come
    stored=$(stored_as_told)
    kill -HUP "$PROXY_PID"
    waits_until 60 proxy_passed up $((stored + 8 * 65536)) || { echo "stored $stored, passed $(proxy_count up)"; return 1; }
    kill -CONT "$agent"
    copy_wait
    expect_status 0
    same here/file there/file
}

stored_more_than() { # BYTES
    [ $(($(stat -c %b there/file 2>/dev/null || echo 0) * 512)) -gt "$1" ]
}

told_more_than() { # EVENTS
    [ "$(grep -c '"event":"progress"' out)" -gt "$1" ]
}

stored_as_told() {
    sed -n 's/.*"event":"progress".*"bytes_copied":\([0-9]*\).*/\1/p' out | tail -n 1
}

stands_still() { # PID: all threads
    ! grep -hs ^State: "/proc/$1"/task/*/status | grep -qv 'T (stopped)'
}

@test "the client in 32 MiB and the agent in 32 MiB" {
    line_start --delay=25
    requires cgroup
    local mib=32
    ! sanitized || mib=2048
    random_file here/file $((REMOTE_MIB * MIB))
    agent_within $mib
    under=(in_cgroup $((mib * MIB)) "${near[@]}" env "$TEST_ID")
    copied -j 1 "${via[@]}" here/file "$FAR:$THERE/file"
    expect "the agent's failcnt" "$(agent_figure failcnt)" 0
    expect "the client's failcnt" "$(cgroup_figure failcnt)" 0
    same here/file there/file
    copied -j 1 "${via[@]}" "$FAR:$THERE/file" here/back
    expect "the agent's failcnt" "$(agent_figure failcnt)" 0
    expect "the client's failcnt" "$(cgroup_figure failcnt)" 0
    same here/file here/back
}

@test "the line goes away: --timeout, and the same command goes on when it is back" {
    line_start --delay=25
    random_file here/file $((REMOTE_MIB * MIB))
    copy_start -j 1 --timeout=10 --sync-every=4M --bwlimit=16M "${via[@]}" here/file "$FAR:$THERE/file"
    running=$CLIENT JOURNAL=there/.file.haul wait_for_journal $((8 * MIB))
    kill -STOP "$LINE_PID"
    copy_wait 120
    kill -CONT "$LINE_PID"
    [[ " 30 10 " == *" $status "* ]] || expect_status 30
    expect_clear_error
    waits_until 60 no_agent
    local durable
    durable=$(durable_bytes there/file)
    copied --timeout=120 "${via[@]}" here/file "$FAR:$THERE/file"
    same here/file there/file
    [ "$(receipt .bytes_kept)" -ge "$durable" ]
    nothing_left 30
}
