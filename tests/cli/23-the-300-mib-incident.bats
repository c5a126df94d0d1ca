#!/usr/bin/env bats
# Goal: what killed a container of 300 MB with 500 MB of dd from /dev/zero: haul copies 500 MB there, with a neighbour that
# keeps 20 MB hot in the same cgroup, and neither the limit is hit nor one page of the neighbour lost. cp, for the
# contrast, hits the limit. The same with a tree of small files. `make bench-neighbour` measures it, at full length.
load ../lib/common

ROUNDS=${HAUL_INCIDENT_ROUNDS:-3}

neighbour_start() {
    random_file hot 20M 5
    mkfifo report
    # Not by cgroup_exec: $! has to be the neighbour itself, not a shell that runs a function. Without bats' descriptor 3,
    # for which bats would wait. It ends by itself after 300 s, should nobody
    # end it.
    sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$folder" "$TOOLS/hog" hot 300 >report 3>&- &
    neighbour=$!
    exec {heard}<report
    local line
    read -r -t 30 line <&"$heard"
    [ "$line" = ready ]
}

neighbour_report() {
    kill -USR1 "$neighbour"
    read -r -t 30 -u "$heard" "$1"
}

cleanup_neighbour() {
    kill "$neighbour" 2>/dev/null || true
    wait "$neighbour" 2>/dev/null || true
    cgroup_remove "$folder"
}

setup() {
    scratch_open
    requires cgroup
    limit=$((300 * MIB))
    if sanitized; then
        note "note: sanitizers are in; the cgroup has 1300 MiB in place of 300"
        limit=$((1300 * MIB))
    fi
    folder=$(cgroup_make "haul-test.$$.$RANDOM" $limit)
    neighbour=
    cleanup_fn cleanup_neighbour
    neighbour_start
}

@test "500 MB in 300 MiB beside a neighbour" {
    local round line
    random_file source 500M
    under=(cgroup_exec "$folder")
    for ((round = 1; round <= ROUNDS; round++)); do
        rm -f target
        copied source target
        expect "failcnt in round $round" "$(cgroup_failcnt "$folder")" 0
        neighbour_report line
        expect "the neighbour in round $round" "$line" "resident=5120 total=5120 lost=0"
        uncached source target
    done
    kill -0 "$neighbour"
    same source target
}

@test "the same under the window policy" {
    local line
    random_file source 500M
    under=(cgroup_exec "$folder")
    copied --cache=window source target
    expect "failcnt" "$(cgroup_failcnt "$folder")" 0
    neighbour_report line
    expect "the neighbour" "$line" "resident=5120 total=5120 lost=0"
    same source target
}

@test "a tree of 2,000 small files, 18 MB at each side, in 60 MiB; cp, for the contrast, hits the limit there" {
    local line
    sanitized && skip "a sanitizer's own memory is larger"
    on_fs ext4 128M
    mkdir "$FS/many"
    "$TOOLS/fill" all 18M
    (cd "$FS/many" && split -b 9000 -a 4 "$SCRATCH/all")
    unmounted "$FS" "$LOOP" # names, too, are read in the cgroup
    mount "$LOOP" "$FS"
    cgroup_limit "$folder" $((60 * MIB))
    under=(cgroup_exec "$folder")
    copied -a "$FS/many/" "$FS/made"
    expect_receipt .files 2098
    expect "failcnt" "$(cgroup_failcnt "$folder")" 0
    neighbour_report line
    expect "the neighbour" "$line" "resident=5120 total=5120 lost=0"
    cgroup_exec "$folder" cp -a "$FS/many" "$FS/copied"
    [ "$(cgroup_failcnt "$folder")" -gt 0 ]
    diff -r "$FS/many" "$FS/made"
}

@test "for the contrast, cp hits the limit" {
    random_file source 500M
    sanitized && { note "note: nothing of haul's runs here"; cgroup_limit "$folder" $((300 * MIB)); }
    cgroup_exec "$folder" cp source target
    [ "$(cgroup_failcnt "$folder")" -gt 0 ]
    note "note: cp hit the limit $(cgroup_failcnt "$folder") times"
}
