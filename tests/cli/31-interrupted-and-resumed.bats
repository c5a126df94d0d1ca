#!/usr/bin/env bats
# Goal: INT, TERM and HUP make durable what was written, say how to go on, and end with 20; the same command again writes
# what was missing and no more, at once, while the old part is read from the medium beside it.

load ../lib/common
load ../lib/resume

# 4 GiB under STRESS=1, where the interruption at 99 % has its usual checkpoint.
SIZE_MIB=64 STEP=("${SLICE[@]}")
[ "${STRESS:-0}" != 1 ] || SIZE_MIB=4096 STEP=(--sync-every=32M)
BYTES=$((SIZE_MIB * MIB))

# All that has to be so after a signal.
stopped_well() {
    expect_status 20
    expect_receipt .exit 20
    expect_receipt .durable false
    expect_words 'target: interrupted'
    expect_words 'the same command again goes on: .* of .* are there'
    expect_clear_error
    journal_true "$JOURNAL" target
}

# What was missing is written, everything else kept, and both files stay out of the cache.
resumed_well() { # OPTIONS...
    pages --evict source
    pages --evict target
    copied "$@" source target
    expect_receipt .resumed true
    expect_receipt .bytes_kept "$journalled_bytes"
    expect_receipt .bytes_copied $(($(stat -c %s source) - journalled_bytes))
    expect_receipt .chunks_repaired 0
    uncached source target
    same source target
    [ ! -e "$JOURNAL" ]
}

# interrupted_at PERCENT SIGNAL: a moment too late is no failure of haul, so it has a few attempts. Near the end it goes
# slowly, from a first interruption a little before.
interrupted_at() {
    local attempt rate step
    for attempt in 1 2 3 4 5; do
        rm -f target "$JOURNAL"
        rate=$((SIZE_MIB / 2)) step=("${STEP[@]}")
        if [ "$1" -gt 90 ]; then
            interrupt $((BYTES / 100 * 90)) INT "${step[@]}" --bwlimit=${rate}M source target || continue
            rate=$((SIZE_MIB / 16)) step=(--sync-every=$((BYTES / 256)))
        fi
        if interrupt $((BYTES / 100 * $1)) "$2" "${step[@]}" --bwlimit=${rate}M source target && [ "$status" = 20 ]; then
            break
        fi
    done
    stopped_well
    # What was in flight is written too, but not the rest of the file.
    local most=$((BYTES - 1))
    [ "$1" -lt 90 ] || most=$BYTES # near the end, what was in flight may be all of it
    [ "$journalled_bytes" -ge $((BYTES / 100 * ($1 - 3))) ] && [ "$journalled_bytes" -le "$most" ] && return
    echo "interrupted at $journalled_bytes of $BYTES bytes, not at $1 %"
    return 1
}

setup() {
    scratch_open
    JOURNAL=.target.haul
}

@test "interrupted at half by INT, TERM and HUP: the rest is written, and nothing else" {
    local signal
    random_file source ${SIZE_MIB}M
    for signal in INT TERM HUP; do
        interrupted_at 50 $signal
        resumed_well "${STEP[@]}"
    done
    # Chunks are those of the journal, whatever the second command says.
    rm target
    interrupted_at 50 INT
    local chunk
    chunk=$(journal_figure .chunk_bytes "$JOURNAL")
    resumed_well --chunk-size=4M
    expect_receipt .chunk_bytes "$chunk"
}

@test "the digest of a resumed copy is that of a whole one" {
    random_file source 20M
    copied --chunk-size=256K source whole
    local digest
    digest=$(receipt .digest)
    partial 9
    copied --chunk-size=256K source target
    expect_receipt .digest "$digest"
}

@test "interrupted at 99 %" {
    random_file source ${SIZE_MIB}M
    interrupted_at 99 INT
    resumed_well "${STEP[@]}"
}

# The last checkpoint before a kill is what a resume starts from: no more than one is written twice.
@test "killed: at most one checkpoint is written again" {
    random_file source 64M
    local log=$SCRATCH/log written wanted
    under=("$TOOLS/iotrace" "$log" "$SCRATCH/target")
    begin --engine=threads --chunk-size=256K --sync-every=4M --bwlimit=30M source target
    local tracer=$running
    # The command, not iotrace, which goes on and ends by itself.
    waits_until 60 grep -q . "/proc/$tracer/task/$tracer/children"
    running=$(cat "/proc/$tracer/task/$tracer/children")
    wait_for_journal 20000000 KILL
    running=$tracer
    finished
    expect_status 137
    under=()
    # The last sync may not have come to its end; the one before it has. What was in flight when it began is not its.
    written=$(awk '$1 == "write" { writes++ } $1 == "sync" { before = last; last = writes } END { print before + 0 }' log)
    [ "$written" -gt 0 ]
    journal_true "$JOURNAL" target
    wanted=$((64 * MIB - written * 262144 + 4 * MIB))
    copied --chunk-size=256K source target
    same source target
    expect_under "bytes written by the resume" "$(receipt .bytes_copied)" $((wanted + 1))
}

@test "a second signal ends at once" {
    FUSE_FAULTS=(--slow=300 --no-fallocate)
    on_fs fuse 0
    random_file source 16M
    under=()
    begin --engine=threads source "$FS/target"
    # One chunk is written; what is in flight behind it takes seconds.
    until [ -e "$FUSE_BACKING/target" ] && [ "$(stat -c %b "$FUSE_BACKING/target")" -gt 0 ]; do
        kill -0 "$running"
        nap 0.01
    done
    kill -INT "$running"
    until grep -q 'once more' begun.err; do
        kill -0 "$running"
        nap 0.01
    done
    kill -TERM "$running"
    finished
    expect_status 20
    # It did not wait for the drain: nothing was said or claimed after that.
    run grep -E 'interrupted|goes on' err
    [ "$status" = 1 ]
    run grep '"event":"receipt"' out
    [ "$status" = 1 ]
}

@test "HUP that is ignored, as under nohup, is ignored" {
    random_file source 8M
    under=(nohup)
    begin --bwlimit=8M "${SLICE[@]}" source target
    wait_for_journal 1048576 HUP
    finished
    expect_status 0
    same source target
}

@test "interrupted again and again" {
    random_file source 48M
    local had=0 turn
    JOURNAL=.target.haul
    for turn in 1 2 3 4; do
        # More than it begins with: else the signal could come before haul has begun.
        interrupt $((had + 2 * MIB)) TERM "${SLICE[@]}" --bwlimit=16M source target
        stopped_well
        [ "$journalled_bytes" -gt "$had" ]
        had=$journalled_bytes
    done
    resumed_well
}

@test "progress of a resume starts from what is durable" {
    random_file source 32M
    partial 16
    copied --progress --bwlimit=8M source target
    local first
    first=$(jq -r 'select(.event == "progress") | .bytes_durable' out | head -n 1)
    [ "$first" -ge "$journalled_bytes" ] || { echo "$first, the journal had $journalled_bytes"; false; }
    same source target
}

# Reads of the old part and writes of the new one, in the order in which they began.
traced_resume() { # OPTIONS...
    local log=$SCRATCH/log
    jq 'select(.event == "chunk") | .offset' journal.json | sort -nu >listed
    [ -s listed ]
    under=("$TOOLS/iotrace" "$log" "$SCRATCH/source,$SCRATCH/target")
    copied "$@" source target
    under=()
    same source target
    # The reads of the target at offsets that were in the journal; where the writes are among them.
    awk 'NR == FNR { listed[$1] = 1; next }
        $1 == "read" && $2 ~ /target$/ && ($3 in listed) { reads++; if (writes && !after) after = reads; if (writes) last = reads }
        $1 == "write" && $2 ~ /target$/ { if (!writes++) before = reads + 0; between = reads }
        END { print reads + 0, before + 0, between + 0, writes + 0 }' listed log >order
    read -r audited before_first_write before_last_write writes <order
}

@test "the old part is read while new data is already being written" {
    random_file source 64M
    partial 32
    partial_save
    local policy
    for policy in direct window; do
        partial_restore
        pages --evict target
        traced_resume --cache=$policy --engine=threads
        # Each old chunk once; the first new byte is written when only what fits into the slots was read.
        expect "chunks audited" "$audited" "$(wc -l <listed)"
        expect_under "old chunks read before the first new one was written" "$before_first_write" 33
        [ "$before_last_write" -gt $((before_first_write + audited / 5)) ] || { echo "the audit ran after the copy: $before_last_write of $audited"; false; }
        # Nothing old is read from the source.
        expect "reads of the source at old offsets" \
            "$(awk 'NR == FNR { listed[$1] = 1; next } $1 == "read" && $2 ~ /source$/ && ($3 in listed)' listed log | wc -l)" 0
    done
}

@test "--append reads nothing of the old part, --append-verify both sides of it" {
    random_file source 32M
    partial 16
    partial_save
    traced_resume --append --engine=threads
    expect "chunks audited" "$audited" 0
    expect_receipt .bytes_kept "$journalled_bytes"
    partial_restore
    traced_resume --append-verify --engine=threads
    expect "chunks audited" "$audited" "$(wc -l <listed)"
    expect "reads of the source at old offsets" \
        "$(awk 'NR == FNR { listed[$1] = 1; next } $1 == "read" && $2 ~ /source$/ && ($3 in listed)' listed log | wc -l)" "$audited"
    expect_receipt .bytes_kept "$journalled_bytes"
}

@test "a sparse source, interrupted and resumed" {
    truncate -s 300M source
    "$TOOLS/fill" --offset=1M source 8M
    "$TOOLS/fill" --offset=100000001 source 8M
    "$TOOLS/fill" --offset=250M source 20M
    partial 20
    resumed_well_sparse() {
        copied "$@" source target
        same source target
        expect_receipt .bytes_kept "$journalled_bytes"
        expect_under "blocks of the target" "$(stat -c %b target)" $((40 * MIB / 512))
        [ ! -e "$JOURNAL" ]
    }
    resumed_well_sparse
    expect_receipt .resumed true
}

@test "--verify with a resume reads back all of it: what was written now, and the old part by its audit" {
    random_file source 32M
    partial 16
    pages --evict target
    copied --verify source target
    uncached source target
    expect_receipt .bytes_verified $((32 * MIB))
    expect_receipt .bytes_kept "$journalled_bytes"
    same source target
}

@test "resumed with each engine and policy, from each other's journals" {
    random_file source 16M
    local engine policy
    for engine in uring threads sync; do
        for policy in direct window plain; do
            rm -f target
            partial 8 --engine=$engine --cache=$policy
            copied --engine=sync --cache=window source target
            same source target
            expect_receipt .bytes_kept "$journalled_bytes"
            rm -f target
            partial 8 --engine=sync --cache=direct
            copied --engine=$engine --cache=$policy source target
            same source target
            expect_receipt .bytes_kept "$journalled_bytes"
        done
    done
}
