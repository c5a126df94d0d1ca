#!/usr/bin/env bats
# Goal: the power may go at any moment of a plan. Afterwards a unit that has a receipt is durable to its last byte, and so is all of
# it when the plan has one; whoever does all units once more, which leaves out those, ends equal. A seeded cut on ext4, and the moment
# after the end; with STRESS=1 around every flush and 200 more, on xfs and btrfs, too.

load ../lib/common
load ../lib/powercut

SEED=${SEED:-1}

setup() {
    local i files=()
    requires root loop fuse rsync mkfs.ext4 mkfs.xfs mkfs.btrfs
    scratch_open
    powercut_open "$TOOLS"
    cleanup_fn powercut_close
    mkdir -p tree/a
    random_file tree/a/large $((3 * MIB + 321)) 1
    for ((i = 0; i < 30; i++)); do files+=("tree/f$i" $((1 + i * 1777))); done
    random_files 2 "${files[@]}"
    ln -s f1 tree/a/link
    find tree -exec touch -h -d @1000000000 {} +
    units_seen=0 ends_seen=0
}

# The plan itself is there before anything else.
plan_marked() {
    local i
    haul plan -a --unit-size=1M --chunk-size=256K --sync-every=256K "$SCRATCH/tree/" "$POWERCUT_MOUNT/to/" >"$POWERCUT_MOUNT/plan" 2>err &&
        sync -f "$POWERCUT_MOUNT" && powercut_mark planned || return
    units=$(tail -n 1 "$POWERCUT_MOUNT/plan" | jq .units)
    for ((i = 1; i <= units; i++)); do
        copied run "$POWERCUT_MOUNT/plan" --unit="$i" || return
    done
    copied finish "$POWERCUT_MOUNT/plan" && powercut_mark done
}

# What its line of the plan says.
unit_true() { # NUMBER
    sed -n "$(($1 + 1))p" "$POWERCUT_MOUNT/plan" |
        jq -r 'if .kind == "range" then "\(.offset)\t\(.length)\t\(.name)" else .names[] | "0\t-\t\(.)" end' >unit
    while IFS=$'\t' read -r -u 4 offset length name; do
        [ "$length" != - ] || length=$(stat -c %s "tree/$name")
        cmp -i "$offset" -n "$length" "tree/$name" "$POWERCUT_MOUNT/to/$name" || return
    done 4<unit
}

tree_equal() {
    local changes
    changes=$(rsync -ani --checksum --delete tree/ "$POWERCUT_MOUNT/to/") && [ -z "$changes" ] && return
    echo "$changes"
    return 1
}

plan_true() {
    local receipt i
    for receipt in "$POWERCUT_MOUNT"/plan.*.receipt; do
        [ -e "$receipt" ] || continue
        units_seen=$((units_seen + 1))
        i=${receipt%.receipt} i=${i##*.}
        unit_true "$i" || { echo "unit $i has a receipt"; return 1; }
    done
    if [ -e "$POWERCUT_MOUNT/plan.receipt" ]; then
        ends_seen=$((ends_seen + 1))
        tree_equal || { echo "the plan has a receipt"; return 2; }
    fi
    for ((i = 1; i <= units; i++)); do
        copied run "$POWERCUT_MOUNT/plan" --unit="$i" || return 3
    done
    copied finish "$POWERCUT_MOUNT/plan" && tree_equal || return 4
    expect "left beside" "$(find "$POWERCUT_MOUNT" -name '.*haul*')" ""
}

survives() { # FS
    powercut_record "$1" "$(powercut_mib "$1")" plan_marked
    powercut_points_of_test 1 planned >points
    powercut_each plan_true <points
    [ "$ends_seen" -gt 0 ]
    note "$1: $POWERCUT_CUTS cuts, $units_seen receipts of units and $ends_seen of the plan seen after them"
}

@test "a power cut in the middle of a plan leaves no receipt of what is not durable" {
    local fs
    for fs in ext4 $([ "${STRESS:-0}" != 1 ] || echo xfs btrfs); do
        survives "$fs"
        [ "$units_seen" -gt 0 ]
    done
}
