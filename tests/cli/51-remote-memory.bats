#!/usr/bin/env bats
# Goal: the receiving machine is the one that died. Whoever receives lives in a memory cgroup of 32 MiB (-j 1), of 64
# (-j 4) and of 16 (-j 1), never hits its limit, and no page of source or target is cached on either side. The sender
# likewise. With sanitizers the cgroup is 2 GiB: their own memory would not fit. REMOTE_MIB: size of the file.
load ../lib/remote

SIZE=$((REMOTE_MIB * 5 / 2 * MIB + 1111))

limit_mib() { # MIB
    if sanitized; then echo 2048; else echo "$1"; fi
}

# A push, by libssh or ssh, to agents within MIB, all together.
pushed_into() { # WAY MIB OPTIONS...
    local mib=$2
    server_start
    "via_$1"
    shift 2
    folders
    random_file here/file $SIZE
    agent_within "$(limit_mib "$mib")"
    copied "$@" "${via[@]}" here/file "$FAR:$THERE/file"
    judged "the agent's" agent_figure
}

# The client receives: it, libssh (or ssh) and all are within MIB.
pulled_into() { # WAY MIB OPTIONS...
    local mib=$2
    server_start
    "via_$1"
    shift 2
    folders
    random_file there/file $SIZE
    client_within "$(limit_mib "$mib")"
    copied "$@" "${via[@]}" "$FAR:$THERE/file" here/file
    judged "the client's" cgroup_figure
}

judged() { # WHOSE FIGURE
    expect "$1 failcnt" "$($2 failcnt)" 0
    note "note: $BATS_TEST_DESCRIPTION: peak $(($($2 peak) / 1024)) KiB"
    uncached here/file there/file
    same here/file there/file
    expect_receipt .source.resident_after_bytes 0
    expect_receipt .target.resident_after_bytes 0
    nothing_left
}

@test "push by libssh, the agent in 32 MiB, -j 1" { pushed_into libssh 32 -j 1; }
@test "push by libssh, the agents in 64 MiB, -j 4" { pushed_into libssh 64 -j 4; }
@test "push by libssh, the agent in 16 MiB, -j 1" { pushed_into libssh 16 -j 1; }
@test "pull by libssh, the client in 32 MiB, -j 1" { pulled_into libssh 32 -j 1; }
@test "pull by libssh, the client in 64 MiB, -j 4" { pulled_into libssh 64 -j 4; }
@test "pull by libssh, the client in 16 MiB, -j 1" { pulled_into libssh 16 -j 1; }
@test "push by ssh, the agent in 32 MiB, -j 1" { pushed_into ssh 32 -j 1; }
@test "push by ssh, the agents in 64 MiB, -j 4" { pushed_into ssh 64 -j 4; }
@test "push by ssh, the agent in 16 MiB, -j 1" { pushed_into ssh 16 -j 1; }
@test "pull by ssh, the client in 32 MiB, -j 1" { pulled_into ssh 32 -j 1; }
@test "pull by ssh, the client in 64 MiB, -j 4" { pulled_into ssh 64 -j 4; }
@test "pull by ssh, the client in 16 MiB, -j 1" { pulled_into ssh 16 -j 1; }

# The sender is bounded just so: what it reads ahead waits for the wire.
@test "pull by libssh, the agent that sends in 16 MiB" {
    server_start
    folders
    random_file there/file $SIZE
    agent_within "$(limit_mib 16)"
    copied -j 1 "${via[@]}" "$FAR:$THERE/file" here/file
    judged "the agent's" agent_figure
}

@test "push by libssh, the client that sends in 16 MiB" {
    server_start
    folders
    random_file here/file $SIZE
    client_within "$(limit_mib 16)"
    copied -j 1 "${via[@]}" here/file "$FAR:$THERE/file"
    judged "the client's" cgroup_figure
}

@test "both ends remote: the client between them in 32 MiB" {
    server_start
    folders
    random_file here/file $SIZE
    client_within "$(limit_mib 32)"
    copied -j 1 "${via[@]}" "$FAR:$HERE/file" "$FAR:$THERE/file"
    judged "the client's" cgroup_figure
}

@test "push into 32 MiB onto overlayfs and btrfs there" {
    local kind
    server_start
    folders
    random_file here/file $SIZE
    agent_within "$(limit_mib 32)"
    for kind in overlay btrfs; do
        on_fs $kind $((SIZE / MIB * 2 + 300))M
        copied -j 1 "${via[@]}" here/file "$FAR:$FS/file"
        expect "$kind: failcnt" "$(agent_figure failcnt)" 0
        uncached here/file "$FS/file"
        same here/file "$FS/file"
    done
}

# Whatever the far side has, with default options: the chunks and lanes are those that there is memory for.
default_within() { # MIB push|pull
    local way=$2 from to
    server_start
    folders
    [ "$way" = push ] && from=here/file to=$FAR:$THERE/file || from=$FAR:$THERE/file to=here/file
    random_file "$([ "$way" = push ] && echo here || echo there)/file" $SIZE
    agent_within "$(limit_mib "$1")"
    copied "${via[@]}" "$from" "$to"
    judged "the agents'" agent_figure
}

@test "default push, the agents in 16 MiB" { default_within 16 push; }
@test "default pull, the agents in 16 MiB" { default_within 16 pull; }
@test "default push, the agents in 12 MiB" { default_within 12 push; }
@test "default pull, the agents in 12 MiB" { default_within 12 pull; }
@test "default push, the agents in 8 MiB" { default_within 8 push; }
@test "default pull, the agents in 8 MiB" { default_within 8 pull; }

# sshd itself is charged, too: the machine's view, not ours.
@test "push by libssh, sshd and agent together in 64 MiB" {
    requires cgroup
    folders
    random_file here/file $SIZE
    AGENT_CGROUP=$(cgroup_make "haul-agent.$$.$RANDOM" $(($(limit_mib 64) * MIB)))
    cleanup_fn cgroup_remove "$AGENT_CGROUP"
    # shellcheck disable=SC2016
    sshd_environment=() sshd_options=() # as everybody's
    sshd_under=(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$AGENT_CGROUP")
    server_start
    copied -j 1 "${via[@]}" here/file "$FAR:$THERE/file"
    judged "sshd's and the agent's" agent_figure
}
