#!/usr/bin/env bats
# Goal: the power may go at any moment of a copy. Afterwards every chunk that the journal names reads back with its
# digest, nothing that was reported durable is lost, and the same command again ends with an equal target. The rig is
# tests/lib/powercut.bash; 40-power-cut-rig.bats shows that it sees. Here it must fail as well, when haul's sync of the
# data, or of the journal, is taken away.
#
# 14 seeded cuts for each of ext4, xfs and btrfs. With STRESS=1 right before and after every flush and 200 more. SEED
# gives others. A cut that fails is named by its record, mode and seed; the recording itself is not repeatable.

load ../lib/common
load ../lib/powercut

SEED=${SEED:-1}
SIZE_MIB=64
# Small chunks and steps, so that a small copy has many of both. The rate leaves time for progress to be reported.
COPY=(--chunk-size=256K --sync-every=4M --bwlimit=24M --progress)

setup() {
    requires root loop fuse mkfs.ext4 mkfs.xfs mkfs.btrfs
    scratch_open
    powercut_open "$TOOLS"
    cleanup_fn powercut_close
    random_file source ${SIZE_MIB}M
    TARGET=$POWERCUT_MOUNT/target
    JOURNAL=$POWERCUT_MOUNT/.target.haul
    under=()
}

# --- recording --------------------------------------------------------------------------------------------------------

# record_copy FS OPTIONS...: a copy under the words in `under`. What it reports as durable becomes a mark in the log,
# always a little later than it was true; after it has ended comes the mark "done".
record_copy() {
    powercut_record "$1" "$(powercut_mib "$1")" copy_marked "${COPY[@]}" "${@:2}"
}

copy_marked() {
    local event durable
    "${under[@]}" "$LIMIT" $PATIENCE "$HAUL" --json "$@" source "$TARGET" 2>"$SCRATCH/err" | tee "$SCRATCH/out" |
        while IFS= read -r event; do
            [[ $event =~ '"bytes_durable":'([0-9]+) ]] || continue
            durable=${BASH_REMATCH[1]}
            powercut_mark "durable $durable"
        done
    status=${PIPESTATUS[0]}
    expect_status 0 || return 1
    expect_receipt .durable true || return 1
    powercut_mark done
}

# --- checking, after a cut --------------------------------------------------------------------------------------------

# Every chunk in the journal is in the target; sets journalled_bytes. No journal: nothing is. One whose creation or last batch
# the cut tore: what haul makes of it; reports_true and the resume judge whether that is enough.
journal_true() {
    journalled_bytes=0
    [ -e "$JOURNAL" ] || return 0
    "$HAUL" journal --json "$JOURNAL" >"$SCRATCH/journal" 2>"$SCRATCH/journal.err" || :
    "$TOOLS/digests" --journal "$TARGET" <"$SCRATCH/journal" >"$SCRATCH/bytes" 2>"$SCRATCH/digests" || {
        echo "in the journal and not in the target: $(head -n 1 "$SCRATCH/digests")"
        return 1
    }
    read -r journalled_bytes <"$SCRATCH/bytes"
    bytes_seen=$((bytes_seen + journalled_bytes))
}

# What was reported durable before the cut is in the journal; or the journal is gone, because all of it is in the target.
reports_true() {
    local durable
    durable=$(powercut_last_mark "$POWERCUT_RECORD" "durable ")
    if [ ! -e "$JOURNAL" ] && [ -e "$TARGET" ] && "$TOOLS/same" source "$TARGET" >"$SCRATCH/differ"; then
        return 0
    fi
    if [ "$POWERCUT_RECORD" -ge "$record_done" ]; then
        echo "the copy had ended, and the target is not equal"
        return 2
    fi
    [ "${durable:-0}" -le "$journalled_bytes" ] && return 0
    echo "lost: $durable bytes were reported durable, the journal has $journalled_bytes"
    return 2
}

# The same command again: it ends equal, has kept what the journal had, and found nothing of that wrong.
resume_ends_equal() {
    local kept
    copied --chunk-size=256K --sync-every=4M source "$TARGET" || return 3
    "$TOOLS/same" source "$TARGET" || return 3
    [ ! -e "$JOURNAL" ] || { echo "the journal is still there"; return 3; }
    [ "$journalled_bytes" = 0 ] && return 0
    kept=$(receipt .bytes_kept)
    resumed=$((resumed + 1))
    [ "$(receipt .chunks_repaired)" = 0 ] && [ "$kept" -ge "$journalled_bytes" ] && return 0
    echo "the journal had $journalled_bytes bytes, $kept were kept"
    return 3
}

all_kept() {
    journal_true && reports_true && resume_ends_equal
}

durable_kept() {
    journal_true && reports_true
}

record_marks() {
    record_done=$("$TOOLS/replay" record "$POWERCUT_LOG" done)
    bytes_seen=0 resumed=0
}

# --- the tests --------------------------------------------------------------------------------------------------------

survives() { # FS OPTIONS...
    record_copy "$@"
    record_marks
    powercut_points_of_test 14 >"$SCRATCH/points"
    powercut_each all_kept <"$SCRATCH/points"
    # Cuts that all miss the copy would pass, too.
    [ "$resumed" -ge 3 ] || { echo "only $resumed cuts found something in the journal"; return 1; }
    note "$1: $POWERCUT_CUTS cuts, $resumed of them resumed from the journal"
}

# Right behind each report, nothing and all of what the disk had not flushed being there. On a busy machine most of the
# copy may be over before the first.
points_after_reports() {
    "$TOOLS/replay" list "$POWERCUT_LOG" |
        awk '$2 == "mark" && $3 == "durable" && $4 > 0 { print $1 + 1, "none", 1; print $1 + 1, "all", 1 }'
}

# caught WORDS POINTS FS OPTIONS...: the rig fails, for that reason, at a quarter of the cuts or more.
caught() {
    local words=$1 points=$2 cuts status=0
    shift 2
    record_copy "$@"
    record_marks
    $points >"$SCRATCH/points"
    cuts=$(wc -l <"$SCRATCH/points")
    powercut_each durable_kept <"$SCRATCH/points" >"$SCRATCH/said" || status=$?
    [ "$status" = 1 ] && [ "$(grep -c "$words" "$SCRATCH/said")" -ge $(((cuts + 3) / 4)) ] && return
    echo "the rig saw nothing, or something else: $status"
    cat "$SCRATCH/said"
    return 1
}

@test "a power cut loses nothing durable on ext4, and the copy goes on" { survives ext4; }
@test "a power cut loses nothing durable on xfs, and the copy goes on" { survives xfs; }
@test "a power cut loses nothing durable on btrfs, and the copy goes on" { survives btrfs; }
@test "a power cut loses nothing durable under the window policy" { survives ext4 --cache=window --engine=threads; }

# Through the cache nothing but the sync brings the data to the disk. nosync denies io_uring, which would go round it.
@test "without fdatasync of the data, the rig fails on ext4, xfs and btrfs" {
    under=("$TOOLS/nosync" "$TARGET")
    for fs in ext4 xfs btrfs; do
        caught "in the journal and not in the target" "powercut_points 12 $SEED" $fs --engine=sync --cache=plain
    done
}

# On ext4 and xfs syncing a journal that grows commits the direct writes' extents along with it, by luck and not by
# contract (tests/lib/order.c); btrfs syncs one file and no other.
@test "without fdatasync of the data, the rig fails for direct writes on btrfs" {
    under=("$TOOLS/nosync" "$TARGET")
    caught "in the journal and not in the target" "powercut_points 12 $SEED" btrfs --engine=sync --cache=direct
}

@test "without fdatasync of the journal, the rig misses what was reported durable" {
    under=("$TOOLS/nosync" "$JOURNAL")
    for fs in ext4 xfs btrfs; do
        caught "were reported durable" points_after_reports $fs --engine=sync
    done
}
