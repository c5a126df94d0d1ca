#!/usr/bin/env bats
# Goal: the power may go at any moment of a run of many files, by name, some over older ones, and as a tree, which share their
# syncs. Afterwards every file that was reported durable is there and right; whatever looks finished is; after the end all of
# the tree is as it should be; and the same command again ends equal, with nothing left beside it. The rig must fail when the
# syncs are taken away. A seeded cut and the moment after the end for each of ext4, xfs and btrfs; with STRESS=1 around every
# flush and 200 more.

load ../lib/common
load ../lib/powercut

SEED=${SEED:-1}
MANY=${POWERCUT_FILES:-80}
PAST=1000000000 # the time of every source

setup() {
    local i files=() others=()
    requires root loop fuse rsync mkfs.ext4 mkfs.xfs mkfs.btrfs
    scratch_open
    powercut_open "$TOOLS"
    cleanup_fn powercut_close
    mkdir -p many tree/a/b tree/c
    for ((i = 0; i < MANY; i++)); do
        files+=("many/f$i" $((1 + i * i % 50000)))
        others+=("tree/a/g$i" $((1 + i * 37 % 9000)))
    done
    random_files 0 "${files[@]}"
    random_files 1000 "${others[@]}"
    random_file tree/c/large 3M
    ln -s ../a/g1 tree/a/b/link
    ln tree/a/g1 tree/a/b/hard
    mkfifo tree/c/fifo
    chmod 2750 tree/a/b
    find many tree -exec touch -h -d @$PAST {} +
    (cd many && sha256sum -- *) >sums
    find tree -type f -exec sha256sum {} + >>sums
    under=()
}

# Other files of the names of some are there, longer, shorter, and equal but for a byte.
many_older() {
    local i files=() equal=()
    for ((i = 0; i < MANY; i += 4)); do
        equal+=("many/f$i")
        files+=("$POWERCUT_MOUNT/f$((i + 2))" $((1 + (i + 2) * (i + 2) * 7 % 50000)))
    done
    cp "${equal[@]}" "$POWERCUT_MOUNT" && random_files 2000 "${files[@]}"
    for ((i = 0; i < MANY; i += 4)); do
        printf '%s' "$((i % 10))" 1<>"$POWERCUT_MOUNT/f$i"
    done
    sync -f "$POWERCUT_MOUNT" && "$TOOLS/pages" --evict "$POWERCUT_MOUNT"/f* >"$SCRATCH/evicted"
}

# Two runs, one behind the other. Each report becomes a mark, a little later than it was true.
many_marked() {
    many_older && run_marked many/* "$POWERCUT_MOUNT" && grep -q '/f10".*"target":{[^}]*"policy":"batch"' "$SCRATCH/out" &&
        run_marked -rlptgoDH tree "$POWERCUT_MOUNT" && powercut_mark done
}

run_marked() {
    local event
    "${under[@]}" timeout -k 10 $PATIENCE "$HAUL" --json --engine=threads --sync-every=1M --chunk-size=256K "$@" 2>"$SCRATCH/err" |
        tee "$SCRATCH/out" | while IFS= read -r event; do
            [[ $event == *'"event":"file"'*'"durable":true'*'"target":{"path":"'* ]] || continue
            event=${event##*\"target\":\{\"path\":\"}
            event=${event%%\"*}
            powercut_mark "file ${event#"$POWERCUT_MOUNT/"}"
        done
    status=${PIPESTATUS[0]}
    expect_status 0 && expect_receipt .durable true
}

# right WHAT <NAMES: files of the target are what their sources are; by the digests that setup has taken.
right() {
    awk 'NR == FNR { names[$0]; next } substr($0, 67) in names' - "$SCRATCH/sums" >"$SCRATCH/some"
    (cd "$POWERCUT_MOUNT" && sha256sum --quiet --check "$SCRATCH/some") || { echo "$1"; return 1; }
}

reported_true() {
    "$TOOLS/replay" list "$POWERCUT_LOG" |
        awk -v end="$POWERCUT_RECORD" '$1 + 0 >= end + 0 { exit } $2 == "mark" && $3 == "file" { print $4 }' >"$SCRATCH/reported"
    files_seen=$((files_seen + $(wc -l <"$SCRATCH/reported")))
    [ ! -s "$SCRATCH/reported" ] || right "was reported durable" <"$SCRATCH/reported"
}

finished_true() {
    find "$POWERCUT_MOUNT" -type f -newermt "@$((PAST - 1))" ! -newermt "@$PAST" -printf '%P\n' >"$SCRATCH/finished"
    [ ! -s "$SCRATCH/finished" ] || right "looks finished" <"$SCRATCH/finished"
}

# Times of folders included.
tree_equal() {
    local changes
    changes=$(rsync -aHni --checksum --delete tree "$POWERCUT_MOUNT/") && [ -z "$changes" ] && return
    echo "$changes"
    return 1
}

many_true() {
    reported_true || return 1
    finished_true || return 2
    [ "$POWERCUT_RECORD" -lt "$record_done" ] || tree_equal || return 3
    copied many/* "$POWERCUT_MOUNT" && copied -rlptgoDH tree "$POWERCUT_MOUNT" || return 4
    tree_equal && diff -r -x lost+found -x tree many "$POWERCUT_MOUNT" || return 5
}

# Sets record_done.
many_recorded() { # FS
    powercut_record "$1" "$(powercut_mib "$1")" many_marked
    record_done=$("$TOOLS/replay" record "$POWERCUT_LOG" done)
    files_seen=0
}

survives() { # FS
    many_recorded "$1"
    powercut_points_of_test 1 >"$SCRATCH/points"
    powercut_each many_true <"$SCRATCH/points"
    [ "$files_seen" -ge $MANY ] || { echo "only $files_seen files were reported before a cut"; return 1; }
    note "$1: $POWERCUT_CUTS cuts, $files_seen files reported before them"
}

@test "a power cut in the middle of many files loses none that was reported: ext4" { survives ext4; }
@test "a power cut in the middle of many files loses none that was reported: xfs" { survives xfs; }
@test "a power cut in the middle of many files loses none that was reported: btrfs" { survives btrfs; }

@test "without the syncs the rig fails" {
    requires strace
    POWERCUT_OPTIONS=commit=3600 # else ext4 itself commits each five seconds, and on a busy machine that is after the last report
    export ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS"
    under=(strace -f -qq -o "$SCRATCH/trace" -e trace=syncfs,fsync,fdatasync -e inject=syncfs,fsync,fdatasync:retval=0)
    many_recorded ext4
    grep -q 'syncfs.*INJECTED' "$SCRATCH/trace"
    echo "$record_done none 0" >"$SCRATCH/points"
    powercut_each reported_true <"$SCRATCH/points" >"$SCRATCH/said" && { echo "the rig saw nothing"; return 1; }
    grep -q 'was reported durable' "$SCRATCH/said"
}
