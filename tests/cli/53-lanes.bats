#!/usr/bin/env bats
# Goal: -j N copies over N independent SSH sessions. They are opened one after another, so that sshd's MaxStartups does
# not matter; a lane that dies leaves its chunks to the others; when all are dead the copy can be resumed; and the memory
# of either side stays within its budget, whatever N. (Cgroups: 51-remote-memory.)
load ../lib/remote

SIZE=$((REMOTE_MIB * 5 / 8 * MIB + 777)) # 40 MiB: below 32 there is one lane
JOINED=$((256 * 1024)) # more than logins and requests are: whose bytes are so many has begun to copy

# The file on the side that WAY says, and source, target.
sides() { # WAY
    folders
    case $1 in
    push) source_file=$HERE/file target_file=$THERE/file source=$HERE/file target=$FAR:$THERE/file way=up ;;
    pull) source_file=$THERE/file target_file=$HERE/file source=$FAR:$THERE/file target=$HERE/file way=down ;;
    esac
    random_file "$source_file" $SIZE
}

# Lanes are opened one after another, and a fast one could do all the work before the last has come: so none gets further
# than that until so many have.
lanes_start() { # LANES [CUTPROXY-OPTION...]
    proxy_start "--gate-$way=$JOINED:$1" "${@:2}"
}

in_lanes() { # WAY LANES
    sides "$1"
    lanes_start "$2"
    copied -j "$2" "${via[@]}" "$source" "$target"
    proxy_stop
    uncached "$source_file" "$target_file"
    same "$source_file" "$target_file"
    expect_receipt .lanes "$2"
    expect "logins" "$(sessions_ever)" "$2"
    expect_receipt .bytes_copied $SIZE
    nothing_left
}

@test "push and pull in 1, 2, 4 and 8 lanes, the same digest" {
    local lanes digest=
    server_start
    for lanes in 1 2 4 8; do
        rm -rf here there
        : >"$SSH/sshd.log"
        in_lanes push $lanes
        [ "${digest:-$(receipt .digest)}" = "$(receipt .digest)" ]
        digest=$(receipt .digest)
    done
    for lanes in 1 4; do
        rm -rf here there
        : >"$SSH/sshd.log"
        in_lanes pull $lanes
        expect_receipt .digest "$digest"
    done
}

@test "lanes by -e ssh" {
    server_start
    via_ssh
    in_lanes push 3
    rm -rf here there
    : >"$SSH/sshd.log"
    in_lanes pull 3
}

# Each server's last answer waits until the others have been told, too, that nothing more comes.
@test "lanes say goodbye at the same time" {
    server_start
    agent_make before="sh -c '\"\$@\"; echo >>$SCRATCH/told; for i in \$(seq 3000); do
        test \$(wc -l <$SCRATCH/told) -lt 3 || exit 0; sleep 0.1; done; echo alone >>$SCRATCH/alone' sh"
    in_lanes push 3
    [ ! -e "$SCRATCH/alone" ]
}

@test "MaxStartups 2: eight lanes all the same" {
    server_start "MaxStartups 2"
    in_lanes push 8
    not grep -qi 'drop connection\|past MaxStartups' "$SSH/sshd.log"
}

@test "the automatic number is between 1 and 4" {
    server_start
    sides push
    copied "${via[@]}" "$source" "$target"
    same "$source_file" "$target_file"
    [ "$(receipt .lanes)" -ge 1 ]
    [ "$(receipt .lanes)" -le 4 ]
    # One more may have logged in when there was nothing left for it to do.
    [ "$(sessions_ever)" -ge "$(receipt .lanes)" ]
    [ "$(sessions_ever)" -le 4 ]
}

# Of a slow line, which a further lane is always tried for. None of them takes two seconds.
@test "files that are over soon have lanes together" {
    local i
    server_start
    folders
    for i in 1 2 3 4; do random_file here/$i 33M $i; done
    copied -v --bwlimit=32M "${via[@]}" here/* "$FAR:$THERE/"
    for i in 1 2 3 4; do same here/$i there/$i; done
    expect_words 'lane 2: running'
    nothing_left
}

@test "a small file takes one lane, and no more logins than that" {
    server_start
    folders
    random_file here/file 100K
    copied "${via[@]}" here/file "$FAR:$THERE/file"
    expect "logins" "$(sessions_ever)" 1
}

# The memory that the receipt tells does not grow with the number of lanes beyond the budget.
@test "memory within --memory, whatever the lanes" {
    local lanes
    server_start
    for lanes in 1 4 8; do
        rm -rf here there
        : >"$SSH/sshd.log"
        sides push
        lanes_start $lanes
        copied -j $lanes --memory=8M "${via[@]}" "$source" "$target"
        same "$source_file" "$target_file"
        [ "$(receipt .memory_budget_bytes)" -le $((8 * MIB)) ]
        sanitized || expect_under "memory of $lanes lanes" "$(receipt .memory_peak_bytes)" $(((24 + 2 * lanes) * MIB))
    done
}

# Two windows of 2 MiB are the fewest that a lane does with.
@test "--cache-max is for all lanes together" {
    server_start
    sides push
    copied -j 2 --strict --cache=window --cache-max=8M "${via[@]}" "$source" "$target"
    rm "$target_file"
    copy -j 4 --strict --cache=window --cache-max=8M "${via[@]}" "$source" "$target"
    expect_status 42
    copied --strict --cache=window --cache-max=8M "${via[@]}" "$source" "$target"
    expect_under "lanes" "$(receipt .lanes)" 3
    same "$source_file" "$target_file"
}

# Each of four lanes begins with four chunks, which is 1 MiB: it surely comes to the cut.
lane_dies() { # WAY WHICH
    server_start
    sides "$1"
    lanes_start 4 --only="$2" --cut-$way=$((2 * JOINED))
    copied -j 4 --chunk-size=256K "${via[@]}" "$source" "$target"
    proxy_stop
    same "$source_file" "$target_file"
    expect_receipt .bytes_copied $SIZE
    expect_words "lane $2 was lost, the others did its work"
    expect "connections" "$(proxy_count connections)" 4
    # What was under way in that lane is sent again; no more.
    expect_under "sent" "$(proxy_count $way)" $((SIZE + SIZE / 16))
    nothing_left
}

@test "push: the first lane dies, the others finish" { lane_dies push 1; }
@test "push: the second lane dies, the others finish" { lane_dies push 2; }
@test "pull: the first lane dies, the others finish" { lane_dies pull 1; }
@test "pull: the second lane dies, the others finish" { lane_dies pull 2; }

# The second lane's login, which has begun, takes longer than the first lane lives: it finds nobody to join, and leads.
lane_dies_before_another_has_joined() { # WAY
    server_start
    sides "$1"
    agent_make before="sh -c '[ \$(wc -l <$SCRATCH/agent.pids) -lt 2 ] || while kill -0 \$(head -n 1 $SCRATCH/agent.pids); do sleep 0.1; done 2>&-; exec \"\$@\"' sh"
    proxy_start --gate-$way=$((SIZE / 4)):2:1 --only=1 --cut-$way=$((SIZE / 4 + JOINED))
    copied -j 2 --chunk-size=256K --sync-every=1M "${via[@]}" "$source" "$target"
    proxy_stop
    same "$source_file" "$target_file"
    expect_words 'the lane that led was lost, another goes on'
    expect_receipt .changes "$2"
    expect_receipt .resumed true
    expect "bytes" $(($(receipt .bytes_copied) + $(receipt .bytes_kept))) $SIZE
    expect_under "sent" "$(proxy_count $way)" $((SIZE + SIZE / 16))
    nothing_left
}

@test "push: the first lane dies before another has joined it" { lane_dies_before_another_has_joined push '<f+++++++++'; }
@test "pull: the first lane dies before another has joined it" { lane_dies_before_another_has_joined pull '>f+++++++++'; }

# A lane that dies with the first of two files: the second one is copied, in as many lanes as were asked for. What passes
# for the first is its size, and 1 MiB that is sent again: the second gate is shut in the second one.
lane_dies_before_another_file() { # WHICH
    server_start
    folders
    random_file here/one $SIZE 1
    random_file here/two $SIZE 2
    proxy_start --gate-up=$JOINED:3 --only="$1" --cut-up=$((2 * JOINED)) \
        --gate-up=$JOINED:3:$JOINED:$((SIZE + SIZE / 8))
    copied -j 3 --chunk-size=256K "${via[@]}" here/one here/two "$FAR:$THERE/"
    same here/one there/one
    same here/two there/two
    expect "lanes of the second file" "$(jq -s 'map(select(.event == "file"))[1].lanes' out)" 3
    expect "connections" "$(proxy_count connections)" 4
    nothing_left
}

@test "the first lane dies in the first of two files" { lane_dies_before_another_file 1; }
@test "the second lane dies in the first of two files" { lane_dies_before_another_file 2; }

# What a lane has stored since its last sync is in no journal until its server knows that it is lost, and this one
# will not for two minutes. Digests must not take it for holes.
@test "push: a lane is lost, and its server does not know; digest and manifest are right all the same" {
    local digest part
    server_start
    sides push
    copied -j 2 --chunk-size=1M "${via[@]}" "$source" "$target"
    digest=$(receipt .digest)
    for part in '' some; do # a new file; a resumed one
        rm -f "$target_file" manifest
        [ -z "$part" ] || interrupted_at $((SIZE / 4))
        # Each of two lanes begins with eight chunks, of which four are new.
        lanes_start 2 --only=2 --lose-up=$((3 * MIB))
        copied -j 2 --chunk-size=1M --manifest=manifest "${via[@]}" "$source" "$target"
        proxy_stop
        expect_words 'lane 2 was lost'
        [ -z "$part" ] || expect_receipt .resumed true
        expect_receipt .digest "$digest"
        "$HAUL" verify --manifest=manifest "$target_file"
        same "$source_file" "$target_file"
        server_config=$SSH/ssh_config
        via_libssh
    done
}

interrupted_at() { # BYTES
    proxy_start --cut-up="$1"
    copy -j 1 --chunk-size=1M --sync-every=4M "${via[@]}" "$source" "$target"
    proxy_stop
    [[ " 10 12 30 " == *" $status "* ]] || expect_status 12
    nothing_left
}

# All four have begun, and then nothing passes before the end.
all_lanes_die() { # WAY
    local durable
    server_start
    sides "$1"
    lanes_start 4 "--gate-$way=$JOINED:5:$JOINED:$((SIZE / 2))"
    copy_start -j 4 --sync-every=4M "${via[@]}" "$source" "$target"
    waits_until 30 proxy_passed $way $((SIZE / 2 + 4 * JOINED))
    kill -USR1 "$PROXY_PID"
    copy_wait
    proxy_stop
    [[ " 10 12 30 " == *" $status "* ]] || { expect_status 12; return 1; }
    expect_words 'again|resume|go on'
    nothing_left
    durable=$(durable_bytes "$target_file")
    [ "$durable" -gt 0 ]
    proxy_start
    copied -j 4 "${via[@]}" "$source" "$target"
    proxy_stop
    same "$source_file" "$target_file"
    [ "$(receipt .bytes_kept)" -ge "$durable" ]
    expect_under "sent" "$(proxy_count $way)" $((SIZE - durable + SIZE / 50 + 4 * 65536))
    nothing_left
}

@test "push: all lanes die; it says how to go on, and goes on" { all_lanes_die push; }
@test "pull: all lanes die; it says how to go on, and goes on" { all_lanes_die pull; }

@test "lanes that cannot be opened are done without" {
    server_start "MaxSessions 10" "MaxStartups 100"
    sides push
    # The proxy turns away whoever comes when it is gone: the first lane keeps its connection only if it lives.
    agent_make before="sh -c 'test \$(wc -l <$SCRATCH/agent.pids) -le 2 || exit 1; exec \"\$@\"' sh"
    copied -j 4 "${via[@]}" "$source" "$target"
    same "$source_file" "$target_file"
    [ "$(receipt .lanes)" -le 2 ]
    nothing_left
}

@test "both ends remote in three lanes" {
    server_start
    sides push
    copied -j 3 "${via[@]}" "$FAR:$HERE/file" "$target"
    same "$source_file" "$target_file"
    nothing_left
}
