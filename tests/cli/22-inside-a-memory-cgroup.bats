#!/usr/bin/env bats
# Goal: in a memory cgroup of 32 or 12 MiB a file many times as large is copied without hitting the limit once.
# The sanitizers' own memory does not fit into such a cgroup: there, the same copies run in one of 1 GiB, and the
# peaks are not judged (a note says so); all else is. COPY_MIB: the file's size (default 256).
# SMALL_FILES, SMALL_LIMIT_MIB: those of the tree (3000, 10).
load ../lib/common

COPY_MIB=${COPY_MIB:-256}
SIZE=$((COPY_MIB * MIB + 1111))

# copied_within LIMIT-MIB PEAK-MIB OPTIONS SOURCE TARGET
copied_within() {
    local limit=$1 peak=$2
    shift 2
    requires cgroup
    if sanitized; then
        note "note: $BATS_TEST_DESCRIPTION: sanitizers are in; limit 1 GiB in place of $limit MiB, peak not judged"
        under=(in_cgroup $((1024 * MIB)))
        copied "$@"
        expect "failcnt" "$(cgroup_figure failcnt)" 0
        return
    fi
    under=(in_cgroup $((limit * MIB)))
    copied "$@"
    expect "failcnt" "$(cgroup_figure failcnt)" 0
    note "note: $BATS_TEST_DESCRIPTION: peak $(($(cgroup_figure peak) / 1024)) KiB"
    expect_under "peak" "$(cgroup_figure peak)" $((peak * MIB))
}

# On a filesystem of its own: equal, and not a page of either file left.
copied_on() { # FILESYSTEM LIMIT-MIB PEAK-MIB OPTIONS
    on_fs "$1" $((COPY_MIB * 23 / 10 + 200))M
    random_file "$FS/source" $SIZE
    copied_within "${@:2}" "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
}

@test "32 MiB, ext4" { copied_on ext4 32 28; }
@test "12 MiB, ext4" { copied_on ext4 12 11; }
@test "32 MiB, ext4, --cache=window" { copied_on ext4 32 28 --cache=window; }
@test "32 MiB, ext4, without io_uring" { copied_on ext4 32 28 --engine=threads; }
@test "32 MiB, overlayfs" { copied_on overlay 32 28; }
@test "32 MiB, overlayfs, --cache=window" { copied_on overlay 32 28 --cache=window; }
@test "32 MiB, ext4 data=journal" { copied_on ext4-journal 32 28; }
@test "32 MiB, btrfs with checksums" { copied_on btrfs 32 28; }

@test "windows on both sides shrink to fit 4 and 3 MiB; in 2 MiB they do not, and that is said" {
    requires cgroup
    sanitized && skip "the sanitizers' own memory does not fit"
    local limit
    random_file source 24M
    for limit in 4 3; do
        rm -f target
        pages --evict source
        under=(in_cgroup $((limit * MIB)))
        copied --cache=window source target
        expect "hits of the limit" "$(cgroup_figure failcnt)" 0
        uncached source target
        same source target
    done
    rm target
    under=(in_cgroup $((2 * MIB)))
    copy --cache=window source target
    expect_status 22
    expect_clear_error
    [ ! -e target ]
}

# Names and inodes of a tree cost about 1.3 KiB each, twice: more than there is.
@test "10 MiB, a tree of 3,000 small files: --own-cgroup does not hit the limit, and says what names cost" {
    requires cgroup python3
    sanitized && skip "the sanitizers' own memory does not fit"
    small_tree tree "${SMALL_FILES:-3000}"
    status=0
    # Without timeout(1) before it, which would be another process in the cgroup.
    in_cgroup $((${SMALL_LIMIT_MIB:-10} * MIB)) "$HAUL" --json -a --own-cgroup tree/ target >out 2>err || status=$?
    events out
    expect_status 0
    expect "failcnt" "$(cgroup_figure failcnt)" 0
    [ "$(receipt .cgroup_emptied)" -ge 1 ]
    [ "$(receipt .kernel_memory_most_bytes)" -gt $((MIB / 2)) ]
    diff -r tree target
}

# Where the kernel may not reclaim inodes to make room for another one, a full cgroup would be the end of us.
@test "16 MiB, a tree of 6,000 small files: room for names is made before the limit is hit" {
    requires cgroup python3
    sanitized && skip "the sanitizers' own memory does not fit"
    grep -q '\[always\]\|\[madvise\]' /sys/kernel/mm/transparent_hugepage/enabled || skip "there are no huge pages"
    small_tree tree 6000
    status=0
    in_cgroup $((${SMALL_LIMIT_MIB:-16} * MIB)) "$HAUL" --json -a tree/ target >out 2>err || status=$?
    events out
    expect_status 0
    [ "$(cgroup_figure failcnt)" -lt 500 ] || { echo "failcnt $(cgroup_figure failcnt)"; return 1; }
    expect_receipt .files 6000
}

@test "--own-cgroup: refused where another process is in the cgroup" {
    requires cgroup
    random_file source 1M
    under=(in_cgroup $((64 * MIB))) # with tests/lib/limit
    copy --own-cgroup source target
    expect_status 1
    expect_clear_error
    grep -q 'process [0-9]* is in our memory cgroup' err
    [ ! -e target ]
}

small_tree() { # FOLDER COUNT
    /usr/bin/python3 - "$@" <<'EOF'
import os, random, sys
folder, count = sys.argv[1], int(sys.argv[2])
random.seed(7)
blob = random.randbytes(20000)
for i in range(count):
    place = f"{folder}/{i // 100}"
    os.makedirs(place, exist_ok=True)
    begin = random.randrange(10000)
    with open(f"{place}/{i}", "wb") as file:
        file.write(blob[begin:begin + random.randrange(9001)])
EOF
}

@test "32 MiB, an update in place" {
    random_file source $SIZE
    random_file target $SIZE
    "$TOOLS/fill" --flip=100000000 target
    touch -d '2001-01-01' target
    copied_within 32 28 source target
    expect_receipt .bytes_kept $((SIZE - 4096))
    uncached source target
    same source target
}

@test "32 MiB, --verify" {
    random_file source $SIZE
    copied_within 32 28 --verify source target
    uncached source target
    same source target
}

@test "resident memory does not depend on the size of the file" {
    random_file tiny 3M
    copied tiny target0
    [ "$(receipt .memory_budget_bytes)" = $((4 * MIB)) ]
    random_file small 20M # what has less than 16 MiB has fewer slots
    random_file large $SIZE
    copied small target1
    local memory
    memory=$(receipt .memory_peak_bytes)
    copied large target2
    sanitized && { note "note: memory not judged: sanitizers are in"; return; }
    local more=$(($(receipt .memory_peak_bytes) - memory))
    expect_under "memory more than for a small file" "${more#-}" $((MIB + 1))
    expect_under "memory" "$(receipt .memory_peak_bytes)" $((28 * MIB))
}
