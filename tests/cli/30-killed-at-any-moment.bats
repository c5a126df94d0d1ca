#!/usr/bin/env bats
# Goal: kill -9 at any moment of a copy loses nothing that the journal names. After each kill every chunk in the journal
# reads back from the target with its digest, what had been reported durable is in the journal, the next run keeps all
# of it, and in the end the target is equal and the journal gone.
#
# 256 MiB, on ext4, xfs and btrfs, 30 kills in all; STRESS_KILLS sets how many, SEED other moments. Moments are drawn
# evenly from the time that an undisturbed copy takes, or rather the rest of one, so that they fall into every phase.

load ../lib/common
load ../lib/resume

SEED=${SEED:-1}
KILLS=$(((${STRESS_KILLS:-30} + 2) / 3))
SIZE_MIB=256
BYTES=$((SIZE_MIB * MIB))

# How haul is run, in turns: small checkpoints, the defaults, the other engines and policies. A rate makes time for
# reports of progress, which come once a second, and for the checkpoints of every 5 s no sooner than there are any.
WAYS=(
    "--sync-every=16M"
    "--sync-every=16M --engine=threads"
    ""
    "--sync-every=4M --chunk-size=256K"
    "--sync-every=16M --cache=window"
    "--sync-every=8M --bwlimit=110M --progress"
    "--sync-every=16M --engine=sync"
    "--sync-every=1M --cache=plain"
)

now_us() {
    echo "${EPOCHREALTIME/[.,]/}"
}

# A number from 0 to LIMIT - 1, repeatable.
draw() { # LIMIT
    drawn=$(((RANDOM * 32768 + RANDOM) % $1))
}

# The copy under $way, killed after $1 microseconds; sets status, 137 when it was killed.
killed_after() {
    local seconds
    printf -v seconds '%d.%06d' $(($1 / 1000000)) $(($1 % 1000000))
    begin "${way[@]}" "$FS/source" "$FS/target"
    sleep "$seconds"
    kill -KILL "$running" 2>/dev/null || true
    finished 2>/dev/null
    [ "$status" = 137 ] || expect_status 0
}

# After a kill: is the journal true, and has it all that was reported? Sets journalled_bytes, 0 without a journal.
left_true() {
    local durable
    durable=$(sed -n 's/.*"event":"progress".*"bytes_durable":\([0-9]*\).*/\1/p' out | tail -n 1)
    journalled_bytes=0
    if [ -e "$JOURNAL" ]; then
        journal_true "$JOURNAL" "$FS/target" || return 1
        with_journal=$((with_journal + 1))
    elif [ -e "$FS/target" ] && cmp -s "$FS/source" "$FS/target"; then
        return 0
    fi
    [ "${durable:-0}" -le "$journalled_bytes" ] && return 0
    echo "$durable bytes were reported durable, the journal has $journalled_bytes"
    return 1
}

# To the end. What the journal named is kept, and no more is written than it did not name.
resumed_to_the_end() {
    local kept copied
    copied "${way[@]}" "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
    [ ! -e "$JOURNAL" ] || { echo "the journal is still there"; return 1; }
    kept=$(receipt .bytes_kept) copied=$(receipt .bytes_copied)
    expect "kept and copied" $((kept + copied)) $BYTES
    [ "$journalled_bytes" = 0 ] || expect_receipt .chunks_repaired 0
    [ "$kept" -ge "$journalled_bytes" ] && return
    echo "the journal had $journalled_bytes bytes, $kept were kept"
    return 1
}

# One copy, killed again and again until a run gets through or three were killed. A kill that fails is repeated with
# SEED and its number.
kill_once_more() {
    local began took moment
    rm -f "$FS/target" "$JOURNAL"
    began=$(now_us)
    copied "${way[@]}" "$FS/source" "$FS/target"
    took=$(($(now_us) - began))
    rm -f "$FS/target"
    status=137
    local attempt
    for attempt in 1 2 3; do
        [ "$kills" -lt "$KILLS" ] || break
        draw "$took"
        moment=$drawn
        killed_after "$moment"
        [ "$status" = 137 ] || break
        kills=$((kills + 1))
        left_true || { echo "$kind: kill $kills of seed $SEED, ${way[*]}, after $moment us"; return 1; }
    done
    [ "$status" = 0 ] || resumed_to_the_end || { echo "$kind: kill $kills of seed $SEED, ${way[*]}"; return 1; }
    cmp "$FS/source" "$FS/target"
}

killed_on() { # KIND
    local kind=$1 kills=0 with_journal=0 turn=0
    on_fs "$kind" 1400M # xfs takes its time to give back what was removed
    JOURNAL=$FS/.target.haul
    random_file "$FS/source" ${SIZE_MIB}M
    RANDOM=$SEED
    while [ "$kills" -lt "$KILLS" ]; do
        # shellcheck disable=SC2206 # a list of words
        way=(${WAYS[turn % ${#WAYS[@]}]})
        turn=$((turn + 1))
        [ "$turn" -le $((KILLS * 4 + 20)) ] || { echo "the kills come too late: $kills of $turn"; return 1; }
        kill_once_more
    done
    # Kills that all come before the first checkpoint would pass, too.
    [ "$with_journal" -ge $((KILLS / 5)) ] || { echo "only $with_journal kills found a journal"; return 1; }
    note "note: $kind: $kills kills, $with_journal of them found a journal"
}

@test "kill -9 at random moments on ext4" { killed_on ext4; }
@test "kill -9 at random moments on xfs" { killed_on xfs; }
@test "kill -9 at random moments on btrfs" { killed_on btrfs; }
