#!/usr/bin/env bats
# Goal: a copy over SSH is interrupted at any byte of the link, or by the end of sshd, of the agent or of the client, and
# the same command again goes on to the end: equal, what was durable is not sent again (the proxy counts), and no process
# stays behind on either side. SEED gives other moments, REMOTE_CUTS (20) more of them, half in a push, half in a pull.
load ../lib/remote
load ../lib/resume

SIZE=$((REMOTE_MIB / 2 * MIB + 12345))
CUTS=${REMOTE_CUTS:-20}
COPY=(-j 1 --chunk-size=256K --sync-every=4M --timeout=$PATIENCE)

# Sets source, target (as haul names them), target_file, source_file. WAY: push or pull.
sides() {
    folders
    case $1 in
    push) source_file=$HERE/file target_file=$THERE/file source=$HERE/file target=$FAR:$THERE/file way=up ;;
    pull) source_file=$THERE/file target_file=$HERE/file source=$FAR:$THERE/file target=$HERE/file way=down ;;
    esac
    [ -e "$source_file" ] || random_file "$source_file" $SIZE
}

# The copy that was interrupted says so: one of the codes, a clear error, and how to go on.
interrupted_well() { # CODES
    [[ " $1 " == *" $status "* ]] || { echo "exit code $status, expected one of $1"; show_run; return 1; }
    expect_clear_error
    nothing_left
}

# A resume is free to have other chunks, memory and lanes than the run before it.
other_settings() {
    resumes=$((${resumes:-0} + 1))
    case $(random_below 4 "again$resumes") in
    0) again=("${COPY[@]}") ;;
    1) again=(-j 1 --memory=1M) ;;
    2) again=(-j 2 --chunk-size=1M) ;;
    3) again=() ;;
    esac
}

# Nothing that the journal names crosses the wire again, in the direction of the data.
resumed_to_the_end() {
    local durable passed
    durable=$(durable_bytes "$target_file")
    proxy_start
    other_settings
    copied "${again[@]}" --timeout=$PATIENCE "${via[@]}" "$source" "$target"
    uncached "$source_file" "$target_file"
    same "$source_file" "$target_file"
    nothing_left
    proxy_stop
    passed=$(proxy_count $way)
    expect_under "durable were $durable; sent again" "$passed" $((SIZE - durable + SIZE / 50 + 65536))
    [ "$(receipt .bytes_kept)" -ge "$durable" ] || { echo "durable were $durable"; show_run; return 1; }
    expect_receipt .chunks_repaired 0
    [ ! -e "${target_file%/*}/.file.haul" ]
}

# Cut when so many bytes have passed: a third of the cuts hits the other direction, within its few bytes.
cut_and_resumed() { # NUMBER
    local at cut=$way
    at=$(random_below $SIZE "$1")
    if [ $(($1 % 3)) = 2 ]; then
        [ $way = up ] && cut=down || cut=up
        at=$(random_below 8000 "$1")
    fi
    rm -f "$target_file" "${target_file%/*}/.file.haul"
    proxy_start "--cut-$cut=$at"
    copy "${COPY[@]}" "${via[@]}" "$source" "$target"
    proxy_stop
    echo "cut $1: $cut at $at, exit code $status, durable $(durable_bytes "$target_file") of $SIZE"
    interrupted_well "10 12 30"
    resumed_to_the_end
    cuts_durable=$((cuts_durable + $(receipt .bytes_kept)))
}

cut_at_random() { # WAY
    local i
    cuts_durable=0
    server_start
    sides "$1"
    for ((i = 0; i < CUTS / 2; i++)); do
        [ $((i % 4)) != 3 ] || via_ssh
        cut_and_resumed $i
        via_kind=libssh
    done
    # Cuts after which nothing was there to be kept would show little.
    [ $cuts_durable -gt $SIZE ] || { echo "only $cuts_durable bytes were kept in all"; return 1; }
}

@test "a push cut at random bytes of the link" { cut_at_random push; }

@test "a pull cut at random bytes of the link" { cut_at_random pull; }

# --- by the end of a process ------------------------------------------------------------------------------------------

# A copy that has passed a third, of which some is durable, and that gets no further for now.
held_start() {
    proxy_start "--gate-$way=$((SIZE / 3)):2"
    copy_start "${COPY[@]}" "${via[@]}" "$source" "$target"
    waits_until 60 proxy_passed $way $((SIZE / 3))
    waits_until 60 eval '[ "$(durable_bytes "$target_file")" -gt 0 ]'
}

held_end() {
    kill -HUP "$PROXY_PID"
    copy_wait
    proxy_stop
}

# ended WAY CODES COMMAND...: the command runs when a third has passed.
ended() {
    local codes=$2
    server_start
    sides "$1"
    shift 2
    held_start
    "$@"
    held_end
    interrupted_well "$codes"
    [ "$(durable_bytes "$target_file")" -gt 0 ]
    resumed_to_the_end
}

kill_agent() { # SIGNAL
    # shellcheck disable=SC2046
    kill "-$1" $(cat agent.pids)
    # shellcheck disable=SC2046
    waits_until 60 signal_is_taken $(cat agent.pids)
}

# None waits to be read, or the process is gone.
signal_is_taken() { # PID
    ! grep -qs '^ShdPnd:.*[1-9a-f]' "/proc/$1/status"
}

# The session's processes; the listener stays. OpenSSH 10 calls them sshd-session.
kill_sessions() { # SIGNAL
    local pid
    for pid in $(sshd_descendants "$SSHD_PID"); do
        case $(cat "/proc/$pid/comm" 2>/dev/null) in sshd*) kill "-$1" "$pid" 2>/dev/null || : ;; esac
    done
}

kill_client() { # SIGNAL
    kill "-$1" "$CLIENT"
    waits_until 60 signal_is_taken "$CLIENT"
}

@test "push: the agent is killed" { ended push "10 12 5" kill_agent KILL; }
@test "push: the agent is asked to end" { ended push "10 12 20" kill_agent TERM; }
@test "push: sshd's session is killed" { ended push "10 12" kill_sessions KILL; }
@test "push: the client is killed" { ended_client push KILL 137; }
@test "push: the client is interrupted" { ended_client push INT 20; }
@test "pull: the agent is killed" { ended pull "10 12 5" kill_agent KILL; }
@test "pull: sshd's session is killed" { ended pull "10 12" kill_sessions KILL; }
@test "pull: the client is killed" { ended_client pull KILL 137; }
@test "pull: the client is interrupted" { ended_client pull TERM 20; }

# What the receipt has said stays so. The other side keeps its pipe open for as long as the signal needs to come.
@test "push: interrupted between the receipt and the end: the exit code is that of the receipt" {
    folders
    random_file here/file 1M
    agent_make program="sh -c '$HAUL \"\$@\"; exec sleep 1000' sh"
    copy_start -e "env -u %h" --remote-path="$AGENT" here/file "anyhost:$THERE/file"
    waits_until 20 grep -q '"event":"receipt","exit":0' out
    waits_until 20 signal_is_handled "$CLIENT"
    kill_client INT
    copy_wait
    kill_agent KILL
    expect_status 0
    same here/file there/file
}

# INT is not blocked (any more), in the form of proc(5).
signal_is_handled() { # PID
    [ $((0x$(sed -n 's/^SigBlk:\t//p' "/proc/$1/status") & 2)) = 0 ]
}

ended_client() { # WAY SIGNAL CODE
    server_start
    sides "$1"
    held_start
    kill_client "$2"
    held_end
    expect_status "$3"
    nothing_left
    [ "$(durable_bytes "$target_file")" -gt 0 ]
    if [ "$2" != KILL ]; then
        expect_clear_error
        expect_words 'again|resume|go on'
    fi
    resumed_to_the_end
}

@test "push: the link falls silent; --timeout ends it, 30, and the agent goes, too" {
    server_start "ClientAliveInterval 1" "ClientAliveCountMax 2"
    sides push
    proxy_start --stall-up=$((SIZE / 2))
    copy "${COPY[@]}" --timeout=2 "${via[@]}" "$source" "$target"
    proxy_stop
    expect_status 30
    expect_clear_error
    nothing_left
    resumed_to_the_end
}

@test "pull: the link falls silent; --timeout ends it, 30" {
    server_start "ClientAliveInterval 1" "ClientAliveCountMax 2"
    sides pull
    proxy_start --stall-down=$((SIZE / 2))
    copy "${COPY[@]}" --timeout=2 "${via[@]}" "$source" "$target"
    proxy_stop
    expect_status 30
    expect_clear_error
    nothing_left
    resumed_to_the_end
}

@test "a push is taken up by a client in another folder, by another transport" {
    server_start
    sides push
    proxy_start --cut-up=$((SIZE / 2))
    copy "${COPY[@]}" "${via[@]}" "$source" "$target"
    proxy_stop
    interrupted_well "10 12 30"
    [ "$(durable_bytes "$target_file")" -gt $((SIZE / 4)) ]
    mkdir elsewhere
    cd elsewhere
    via_ssh
    source=../here/file
    resumed_to_the_end
}

@test "a push is taken up by a local copy on the server, and the other way round" {
    server_start
    sides push
    proxy_start --cut-up=$((SIZE / 2))
    copy "${COPY[@]}" "${via[@]}" "$source" "$target"
    proxy_stop
    interrupted_well "10 12 30"
    local durable
    durable=$(durable_bytes "$target_file")
    [ "$durable" -gt 0 ]
    copied "${COPY[@]}" "$source" "$target_file"
    same "$source_file" "$target_file"
    [ "$(receipt .bytes_kept)" -ge "$durable" ]
}

@test "both ends remote: cut, and resumed" {
    server_start
    sides push
    source=$FAR:$HERE/file
    proxy_start --cut-up=$((SIZE / 2))
    copy "${COPY[@]}" "${via[@]}" "$source" "$target"
    proxy_stop
    interrupted_well "10 12 30"
    local durable
    durable=$(durable_bytes "$target_file")
    proxy_start
    copied "${COPY[@]}" "${via[@]}" "$source" "$target"
    same "$source_file" "$target_file"
    [ "$(receipt .bytes_kept)" -ge "$durable" ]
    nothing_left
}

@test "a second copy to the same remote target is refused, and the first goes on" {
    server_start
    sides push
    held_start
    local code=0
    "${under[@]}" "$HAUL" "${via[@]}" "$source" "$target" >out2 2>err2 || code=$?
    cat err2
    [ "$code" != 0 ]
    [ "$(wc -l <err2)" = 1 ]
    held_end
    expect_status 0
    same "$source_file" "$target_file"
}

# Must show 6: the new data does not wait for the old part's audit, and what is right is not sent.
@test "a resume at the half: new data is on the wire at once, and nothing else" {
    local durable
    server_start
    sides push
    proxy_start --cut-up=$((SIZE / 2))
    copy "${COPY[@]}" "${via[@]}" "$source" "$target"
    proxy_stop
    interrupted_well "10 12 30"
    durable=$(durable_bytes "$target_file")
    [ "$durable" -gt $((SIZE / 4)) ]
    # Login and hello are some 10 KiB; 300 KiB are the first chunk.
    proxy_start --mark-up=$((300 * 1024))
    copied "${COPY[@]}" "${via[@]}" "$source" "$target"
    proxy_stop
    same "$source_file" "$target_file"
    note "note: first chunk $(proxy_count mark) s after connecting, login included"
    # A small file's audit is over at once: only a large one (REMOTE_MIB=8192 for 4 GiB) shows that nothing waits for it.
    [ "$REMOTE_MIB" -lt 4096 ] || [ "$(printf '%.0f' "$(proxy_count mark)e3")" -lt 1500 ]
    expect_under "sent" "$(proxy_count up)" $((SIZE - durable + SIZE / 50 + 65536))
}

# --- other chunks, memory and lanes -------------------------------------------------------------------------------------

# Sets from and to, as haul names them, for DIRECTION: local, push, pull or both.
direction() {
    case $1 in
    local) from=$source_file to=$target_file ;;
    push) from=$source_file to=$FAR:$target_file ;;
    pull) from=$FAR:$source_file to=$target_file ;;
    both) from=$FAR:$source_file to=$FAR:$target_file ;;
    esac
}

# The way that another run goes: options drawn from SEED and N.
drawn_options() { # N
    local chunks=("" "" --chunk-size=64K --chunk-size=256K --chunk-size=1M --chunk-size=4M)
    local memories=("" "" --memory=512K --memory=1M --memory=3M --memory=24M) lanes=("" "" "-j 1" "-j 2" "-j 3")
    local kinds=("" --append-verify -S --cache=window)
    # shellcheck disable=SC2206
    options=(${chunks[$(random_below 6 "c$1")]} ${memories[$(random_below 6 "m$1")]} ${lanes[$(random_below 5 "l$1")]}
        ${kinds[$(random_below 4 "k$1")]})
    # What does not fit together is another test's.
    case "${options[*]}" in
    *4M*512K* | *4M*1M* | *4M*3M* | *chunk-size=1M*=512K* | *chunk-size=1M*=1M* | *chunk-size=1M*=3M*) options=("${options[@]:1:1}") ;;
    *256K*512K* | *256K*1M*-j?[23]*) options=(--chunk-size=64K) ;;
    esac
}

# Must show 5. ROUNDS_RESUMED=40 for all of it; the same SEED draws the same.
@test "interrupted and resumed, with other chunks, memory, lanes and direction each time: nothing durable is sent twice" {
    local i turn name durable sent signal directions=(local push pull both) names=() rounds=${ROUNDS_RESUMED:-6}
    server_start
    folders
    source_file=$HERE/file target_file=$THERE/file
    JOURNAL=$THERE/.file.haul
    for ((i = 0; i < rounds; i++)); do
        rm -f "$source_file" "$target_file" "$JOURNAL"
        random_file "$source_file" $((24 * MIB + $(random_below 300000 "s$i"))) $((i + 1))
        [ "$(random_below 3 "h$i")" != 0 ] || fallocate -p -o $((5 * MIB)) -l $((3 * MIB + 4096)) "$source_file"
        for turn in 1 2 3; do
            name=${directions[$(random_below 4 "d$i.$turn")]}
            direction "$name"
            drawn_options "$i.$turn"
            signal=$([ "$(random_below 3 "g$i.$turn")" = 0 ] && echo KILL || echo INT)
            echo "round $i.$turn: $name ${options[*]} $signal, durable $(durable_bytes "$target_file")"
            copy_start --sync-every=1M --bwlimit=24M "${options[@]}" "${via[@]}" "$from" "$to"
            # So many bytes later, on whatever machine; it may be over before.
            "$TOOLS/journalled" "$JOURNAL" $(($(durable_bytes "$target_file") + $(random_below $((10 * MIB)) "t$i.$turn"))) \
                "$CLIENT" "$(kill -l $signal)" || true
            copy_wait
            [[ " 0 20 137 " == *" $status "* ]] || { echo "exit code $status"; show_run; false; }
            # Or the one before was killed behind its commit.
            [ "$status" != 0 ] || { expect_receipt '(.durable or .up_to_date)' true; break; }
            nothing_left
        done
        durable=$(durable_bytes "$target_file")
        name=${directions[$(random_below 4 "e$i")]}
        direction "$name"
        drawn_options "e$i"
        echo "round $i: $name ${options[*]}, durable $durable"
        copied "${options[@]}" "${via[@]}" "$from" "$to"
        cmp "$source_file" "$target_file"
        [ ! -e "$JOURNAL" ]
        nothing_left
        sent=$(receipt .bytes_copied)
        [ "$sent" -le $(($(stat -c %s "$source_file") - durable)) ] || { echo "sent $sent of $(stat -c %s "$source_file")"; show_run; false; }
        expect_receipt .chunks_repaired 0
    done
}

# The case as it was found, in each direction: a journal of other chunks than this run's.
@test "a journal of smaller or larger chunks is gone on with or set aside in words, in all four directions" {
    local name
    server_start
    folders
    source_file=$HERE/file target_file=$THERE/file
    JOURNAL=$THERE/.file.haul
    random_file "$source_file" $((24 * MIB + 5))
    for name in local push pull both; do
        direction $name
        rm -f "$target_file" "$JOURNAL"
        copy_start -j 1 --memory=1M --sync-every=1M --bwlimit=16M "${via[@]}" "$from" "$to"
        running=$CLIENT wait_for_journal $MIB INT
        copy_wait
        expect_status 20
        local durable
        durable=$(durable_bytes "$target_file")
        [ "$durable" -gt 0 ]
        copied "${via[@]}" "$from" "$to"
        cmp "$source_file" "$target_file"
        expect_receipt .resumed true
        [ "$(receipt .bytes_kept)" -ge "$durable" ]
        # The other way round: 1 MiB and then buffers of 64 KiB.
        rm -f "$target_file"
        copy_start -j 1 --chunk-size=1M --sync-every=1M --bwlimit=16M "${via[@]}" "$from" "$to"
        running=$CLIENT wait_for_journal $MIB INT
        copy_wait
        durable=$(durable_bytes "$target_file")
        copied -j 1 --memory=512K "${via[@]}" "$from" "$to"
        cmp "$source_file" "$target_file"
        expect_words "journal's chunks do not fit"
        expect_receipt .resumed false
        [ "$(receipt .bytes_kept)" -ge "$durable" ]
    done
}

# --- stopped --------------------------------------------------------------------------------------------------------------

@test "a dead link without --timeout: the first INT ends it, push and pull" {
    local name
    server_start
    for name in push pull; do
        sides $name
        proxy_start --stall-$way=$((SIZE / 3))
        copy_start -j 1 --chunk-size=256K "${via[@]}" "$source" "$target"
        waits_until 60 proxy_passed $way $((SIZE / 3))
        sleep 0.5 # now it waits for the link, and without being heard it would for ever
        kill_client INT
        copy_wait
        expect_status 20
        proxy_stop
        nothing_left
    done
}

# The server goes on saying PING, and nothing arrives there any more.
@test "a way that is open in one direction only does not defeat --timeout" {
    folders
    random_file here/file 4M
    printf '#!/bin/sh\n{ dd bs=4096 count=200 status=none; until [ -e over ]; do sleep 0.1; done; } | %q --server\n' "$HAUL" >oneway
    chmod 755 oneway
    copy -e "$SCRATCH/oneway" --retries=0 -j 1 --chunk-size=64K --timeout=2 here/file far:"$THERE/file"
    : >over
    expect_status 30
    expect_clear_error
    nothing_left
}

# It used to end after two seconds without a receipt: the login was still being let go of.
@test "interrupted at a login that will not end, of the first or the second machine: 20, and a receipt" {
    local way
    printf '%s\n' '#!/bin/sh' '[ "$1" = deaf ] || { shift; exec sh -c "exec $*"; }' 'trap "" TERM INT HUP' ': >called' \
        'while [ -e held ]; do sleep 0.1; done' >transport
    chmod 755 transport
    random_file source 64K
    : >held
    cleanup_fn rm -f "$SCRATCH/held"
    for way in "source deaf:$SCRATCH/target" "near:$SCRATCH/source deaf:$SCRATCH/target" "at once"; do
        rm -f called
        # shellcheck disable=SC2086
        begin -e "$SCRATCH/transport" --remote-path="$HAUL" --retries=0 ${way/at once/source deaf:target}
        waits_until 60 test -e called
        kill -TERM "$running"
        [ "$way" != "at once" ] || kill -INT "$running"
        finished
        expect_status 20
        expect_words 'interrupted while connecting'
        expect_receipt .exit 20
        expect_receipt .durable false
    done
}
