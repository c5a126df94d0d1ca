#!/usr/bin/env bats
# Goal: pipes at either end of a link are what they are here: all of it or an error, within memory, and nobody waits for
# ever. REMOTE_MIB: what goes through the small cgroup (default 64).
load ../lib/remote

words() {
    yes 'all work and no play' | head -c "${REMOTE_MIB}M"
}

limit_mib() { # MIB
    if sanitized; then echo 2048; else echo "$1"; fi
}

@test "pushed out of a pipe, pulled into one, each side in 48 MiB" {
    server_start
    folders
    words >sent
    agent_within "$(limit_mib 48)"
    client_within "$(limit_mib 48)"
    copied "${via[@]}" - "$FAR:$THERE/file" < <(words)
    uncached there/file
    same sent there/file
    expect "the client's failcnt" "$(cgroup_figure failcnt)" 0
    pages --evict there/file
    copied "${via[@]}" "$FAR:$THERE/file" /dev/fd/9 9> >(sha256sum >sum)
    uncached there/file
    expect "the client's failcnt" "$(cgroup_figure failcnt)" 0
    expect "the agent's failcnt" "$(agent_figure failcnt)" 0
    waits_until 10 test -s sum
    cmp sum <(sha256sum <sent)
    expect_receipt .durable false
    nothing_left
}

@test "tar through a pipe to another machine, fifos and devices there, over a line that is compressed" {
    server_start
    folders
    mkdir tree
    random_file tree/a 3M
    random_file tree/b 100000 2
    copied "${via[@]}" -z - "$FAR:$THERE/x.tar" < <(tar c tree)
    tar d -f there/x.tar
    mkfifo there/fifo
    cat tree/a >there/fifo &
    copied "${via[@]}" -z "$FAR:$THERE/fifo" out-of
    same tree/a out-of
    cat there/fifo >into &
    copied "${via[@]}" tree/a "$FAR:$THERE/fifo"
    wait $!
    same tree/a into
    copied "${via[@]}" zero:20M "$FAR:/dev/null"
    copied "${via[@]}" --size=20M "$FAR:/dev/zero" null:
    copy "${via[@]}" "$FAR:/dev/stdin" x
    expect_status 1
    expect_words 'carries what haul says'
    copy "${via[@]}" --size=4M - "$FAR:$THERE/short" < <(cat tree/a)
    expect_status 11
    [ -e there/.short.haul ]
    copied "${via[@]}" - "$FAR:$THERE/short" < <(cat tree/a)
    same tree/a there/short
    [ ! -e there/.short.haul ]
    nothing_left
}

@test "nobody waits for ever: interrupted, the link cut, while nothing comes out of a fifo there or goes into one" {
    local direction words
    server_start
    folders
    random_file source 3M
    mkfifo there/fifo
    exec 9<>there/fifo
    for direction in from into; do
        words=("$FAR:$THERE/fifo" target)
        [ $direction = from ] || words=(source "$FAR:$THERE/fifo")
        copy_start "${via[@]}" "${words[@]}" 9>&-
        waits_until 10 agent_has_fifo
        kill -INT "$CLIENT"
        copy_wait
        expect_status 20
        nothing_left
        copy_start "${via[@]}" "${words[@]}" 9>&-
        waits_until 10 agent_has_fifo
        kill -KILL "$CLIENT"
        copy_wait
        nothing_left
    done
    exec 9>&-
}

# The last agent has it open.
agent_has_fifo() {
    ls -l "/proc/$(tail -n 1 agent.pids 2>/dev/null)/fd" 2>/dev/null | grep -q there/fifo
}
