#!/usr/bin/env bats
# Goal: the copy of a tree ends at any moment, by the end of either side, a signal or the end of its link. Whatever looks
# finished then is right, and the same command again, disturbed or not, comes to the end: equal, and nothing left beside.
# Locally, by push, pull and far to far, with and without lists and attributes (small files as a whole, and by chunks).
# TREE_KILLS sets how many ends there are in all, by every way, up to three of one copy; without it there is one here and one
# of a push. SEED: other moments.
load ../lib/remote
load ../lib/tree

KILLS=${TREE_KILLS:-2}
ATTEMPTS=$((TREE_KILLS > 0 ? 3 : 1))
COPY=(-j 1 -rlptgoDH --delete --sync-every=1M --chunk-size=256K --bwlimit=5M)

details_make() {
    setfattr -n user.mark -v inside "$from/a" "$from/many/f3" "$from/a/large1"
    setfacl -m u:4000:rx "$from/a/b" "$from/many/f4" "$from/a/large2"
    setfacl -d -m u:4001:rx "$from/a/b"
    touch -d @1000000000 "$from/a"
}

# A number from 0 to LIMIT - 1, repeatable.
draw() { # LIMIT
    drawn=$(random_below "$1" "draw$((draws = ${draws:-0} + 1))")
}

started() {
    : >agent.pids
    copy_start "${COPY[@]}" "${details[@]}" "${via[@]}" "$source" "$target"
}

# One of the agents that there are.
agent_end() {
    local all
    mapfile -t all <agent.pids
    [ ${#all[@]} -gt 0 ] || return 0
    draw ${#all[@]}
    kill -KILL "${all[drawn]}" 2>/dev/null || :
}

# Sets status: whatever it is, that run is over, on both sides.
ended_after() { # US HOW
    local seconds
    printf -v seconds '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000))
    started
    sleep "$seconds"
    case $2 in
    killed) kill -KILL "$CLIENT" ;;
    interrupted) kill -INT "$CLIENT" ;;
    server) agent_end ;;
    link) kill -USR1 "$PROXY_PID" ;;
    esac 2>/dev/null || : # it may be over
    copy_wait 60 2>/dev/null
    nothing_left 30
}

# By the time that a source has.
finished_true() {
    find "$to" -type f -newermt @999999999 ! -newermt @1000000000 ! -name '.*haul*' -printf '%P\n' >finished
    awk 'NR == FNR { names[$0]; next } substr($0, 67) in names' finished sums >some
    [ "$(wc -l <some)" = "$(wc -l <finished)" ]
    [ ! -s some ] || (cd "$to" && sha256sum --quiet --check "$SCRATCH/some")
}

undisturbed() {
    local began=${EPOCHREALTIME/[.,]/}
    started
    copy_wait
    expect_status 0
    took=$((${EPOCHREALTIME/[.,]/} - began))
}

# A copy that is ended, and then left alone.
killed_copy() { # HOW...
    local how attempt moment
    rm -rf "$to"
    surplus_make
    for ((attempt = 0; attempt < ATTEMPTS; attempt++)); do
        [ $kills -lt "$KILLS" ] || break
        draw $took
        moment=$drawn
        draw $#
        how=${*:drawn+1:1}
        ended_after $moment "$how"
        finished_true || { echo "$how after $moment us, attempt $attempt"; return 1; }
        [ "$status" != 0 ] || break
        kills=$((kills + 1))
    done
    started
    copy_wait
    expect_status 0
    equal_trees "${details[@]}" || { echo "the last one was $how after $moment us, seed $SEED"; return 1; }
}

trees_killed() { # WAYS...
    requires rsync setfattr setfacl
    local kills=0 turn=0 way ways=("$@")
    server_start
    proxy_start
    for ((turn = 0; kills < KILLS && turn < KILLS * 4 + 8; turn++)); do
        way=${ways[turn % ${#ways[@]}]}
        details=()
        [ $((turn / ${#ways[@]} % 2)) = 0 ] || details=(-AX)
        tree_ready "$way"
        details_make
        (cd "$from" && find . -type f -printf '%P\0' | xargs -0 sha256sum >"$SCRATCH/sums")
        undisturbed
        if [ "$way" = here ]; then
            killed_copy killed killed interrupted
        else
            killed_copy killed server link interrupted
        fi
    done
    [ $kills -ge "$KILLS" ] || { echo "only $kills of $turn ended it"; return 1; }
    note "note: $kills ends of $turn copies"
}

@test "a tree's copy ends at random moments, and the next one comes to the end" {
    trees_killed here push ${TREE_KILLS:+pull both}
}
