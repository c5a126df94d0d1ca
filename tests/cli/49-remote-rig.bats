#!/usr/bin/env bats
# Goal: the tools that the remote tests stand on do what they say: the proxy counts and cuts at the byte, and holds back who
# is ahead, the filter spoils the byte, the long line is long, and what is left behind is seen. No haul runs here.
load ../lib/remote

# What arrives when 300,000 bytes are sent through ssh, the server's cat, and back.
echoed() { # [FILE]
    ssh -F "$server_config" "$FAR" cat <noise >"${1:-echo}" 2>err
}

setup() {
    remote_open
    requires root ssh ssh-keygen
    random_file noise 300000
}

# Of this name, so that the numbers are these.
@test "random numbers" {
    local number drawn=()
    for ((number = 0; number < 8; number++)); do drawn+=("$(SEED=1 random_below 1000 $number)"); done
    expect "numbers" "${drawn[*]}" "499 692 626 313 142 786 170 292"
}

@test "sshd, by the proxy: bytes are counted, and all pass" {
    server_start
    proxy_start --mark-up=200000
    echoed
    cmp noise echo
    # sshd closes its end a little after the client has gone.
    waits_until 60 none_open
    proxy_stop
    [ "$(proxy_count connections)" = 1 ]
    none_open
    [ "$(proxy_count up)" -gt 300000 ]
    expect_under "up" "$(proxy_count up)" 320000
    expect_under "down" "$(proxy_count down)" 320000
    [[ "$(proxy_count mark)" =~ ^[0-9]+\.[0-9]+$ ]]
}

none_open() {
    [ "$(proxy_count open)" = 0 ]
}

@test "a cut is exactly there, once" {
    server_start
    proxy_start --cut-up=123456
    status=0
    echoed || status=$?
    [ "$status" = 255 ]
    [ "$(proxy_count up)" = 123456 ]
    echoed
    cmp noise echo
    proxy_start --cut-down=0
    status=0
    echoed || status=$?
    [ "$status" = 255 ]
    [ "$(proxy_count down)" = 0 ]
}

@test "a flipped bit is found by SSH; only the connection that was meant" {
    server_start
    proxy_start --only=2 --flip-up=100000
    echoed
    cmp noise echo
    status=0
    echoed || status=$?
    [ "$status" = 255 ]
    grep -qi 'corrupted\|incorrect' "$SSH/sshd.log"
}

@test "a stall is silent, and a signal cuts" {
    server_start
    proxy_start --stall-up=50000
    echoed &
    local client=$!
    waits_until 10 proxy_passed up 50000
    sleep 0.3
    [ "$(proxy_count up)" = 50000 ]
    [ "$(proxy_count open)" = 1 ]
    kill -USR1 "$PROXY_PID"
    status=0
    wait "$client" || status=$?
    [ "$status" = 255 ]
}

@test "a connection that the client alone has lost: the server goes on waiting" {
    server_start
    proxy_start --lose-up=50000
    status=0
    echoed || status=$?
    [ "$status" = 255 ]
    expect "passed" "$(proxy_count up)" 50000
    expect "open" "$(proxy_count open)" 1
    [ "$(sessions_now)" -ge 1 ]
    proxy_stop
    nothing_left
}

@test "a gate: each connection passes so much and waits for the others, then all pass; a signal opens it" {
    server_start
    proxy_start --gate-up=100000:2 --only=1 --cut-up=250000
    echoed one &
    local first=$!
    waits_until 10 proxy_passed up 100000
    sleep 0.3
    expect "passed" "$(proxy_count up)" 100000
    echoed two
    cmp noise two
    status=0
    wait $first || status=$?
    expect_status 255 # the first was cut behind the gate
    proxy_start --gate-down=100000:2
    echoed one &
    first=$!
    waits_until 10 proxy_passed down 100000
    kill -HUP "$PROXY_PID"
    wait $first
    cmp noise one
}

@test "a gate that is shut later: what has passed before does not count" {
    server_start
    proxy_start --gate-up=50000:2:40000:400000
    echoed one
    cmp noise one
    echoed two &
    local second=$!
    waits_until 10 proxy_passed up 450000
    sleep 0.3
    expect_under "passed" "$(proxy_count up)" $((400000 + 2 * 128 * 1024 + 50000)) # two buffers may be full when it is shut
    kill -0 $second
    echoed three
    cmp noise three
    wait $second
    cmp noise two
}

@test "the filter spoils one byte, floods, falls silent, and passes the status on" {
    expect "in" "$(printf hello | "$TOOLS/filter" --in=0:0x20 cat)" Hello
    expect "out" "$(printf hello | "$TOOLS/filter" --out=4 cat)" helln
    expect "stall" "$(printf hello | "$TOOLS/filter" --stall-out=3 cat)" hel
    "$TOOLS/filter" --flood-out=2 echo hello | head -c 100000 >flood
    [ "$(head -c 2 flood)" = he ]
    [ "$(stat -c %s flood)" = 100000 ]
    "$TOOLS/filter" cat <noise | cmp - noise
    status=0
    "$TOOLS/filter" sh -c 'exit 7' </dev/null || status=$?
    [ "$status" = 7 ]
}

@test "the line's round trip is 50 ms and more, and its rate is kept" {
    line_start --delay=25 --rate=4000000
    random_file large 4M
    local began=${EPOCHREALTIME/./} took
    "${near[@]}" ssh -F "$server_config" "$FAR" 'cat >/dev/null' <large
    took=$((${EPOCHREALTIME/./} - began))
    [ $took -gt $((4 * MIB * 1000000 / 4000000)) ] # and some round trips for the login
    "${near[@]}" ssh -F "$server_config" "$FAR" cat <noise | cmp - noise
}

# Before that it is what it was forked from.
sleeps() { # PID
    [ "$(tr '\0' ' ' <"/proc/$1/cmdline")" = "sleep 100 " ]
}

@test "what is left behind is seen, on either side" {
    server_start
    nothing_left
    env "$TEST_ID" sleep 100 3>&- &
    local left=$!
    waits_until 10 sleeps $left
    run nothing_left 0
    [ "$status" = 1 ]
    [[ "$output" == *"sleep 100"* ]]
    kill $left
    wait $left || :
    nothing_left
    ssh -F "$server_config" "$FAR" 'sleep 100' 3>&- &
    left=$!
    waits_until 10 sessions_there
    run nothing_left 0
    [ "$status" = 1 ]
    kill $left
    wait $left || :
    kill $(sshd_descendants "$SSHD_PID") 2>/dev/null || :
    nothing_left
}

sessions_there() {
    [ "$(sessions_now)" -gt 1 ]
}

@test "the agent's cgroup counts what runs in it" {
    server_start
    agent_within 32
    sed -i "s|^exec.*|exec sh -c 'head -c 60M /dev/zero >$SCRATCH/file'|" "$AGENT"
    ssh -F "$server_config" "$FAR" "$AGENT"
    [ "$(agent_figure failcnt)" -gt 0 ]
}

@test "a server ends with its test, however that ends, and when another is started in its place" {
    server_start
    local first=$SSHD_PID
    server_start
    [ "$first" != "$SSHD_PID" ]
    process_ended "$first"
    (sshd_start "$SCRATCH/other" 3>&- && kill -KILL "$BASHPID") || :
    waits_until 10 process_ended "$(cat other/pid)"
}
