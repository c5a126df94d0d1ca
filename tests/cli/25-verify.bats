#!/usr/bin/env bats
# Goal: --verify reads the target again from the medium, not from the cache, and tells when it is not the source.
load ../lib/common
load ../lib/resume

@test "--verify of a good copy, with each policy and engine" {
    random_file source $((20 * MIB + 5))
    local policy engine
    for policy in direct window plain; do
        for engine in uring threads sync; do
            rm -f target
            copied --verify --cache=$policy --engine=$engine source target
            [ $policy = plain ] || uncached source target
            [ $policy = plain ] || expect_receipt .target.resident_after_bytes 0
            same source target
            pages --evict source
        done
    done
}

@test "--verify of sizes around a block and of a sparse file" {
    local size
    for size in 0 1 4095 4097 $((MIB + 1)); do
        rm -f target
        random_file source $size
        copied --verify source target
        same source target
    done
    truncate -s 30M source
    "$TOOLS/fill" --offset=9M source 2M
    copied --verify -I source target
    same source target
}

# A filesystem that loses writes: what is read back is not what was written.
@test "--verify finds that the medium holds other bytes: exit 40" {
    FUSE_FAULTS=(--lose-write=5000000)
    on_fs fuse 0
    random_file source $((8 * MIB))
    copied source "$FS/unseen"
    run cmp -s source "$FUSE_BACKING/unseen"
    [ "$status" = 1 ]
    local policy
    for policy in direct window; do
        rm -f "$FS/target"
        copy --verify --cache=$policy source "$FS/target"
        expect_status 40
        expect_clear_error
        expect_words 'target'
    done
}

@test "verify of an image on a larger device compares up to the image's end, and says what lies behind" {
    requires root loop
    local device size=$((3 * MIB + 512)) via=(-e "sh -c 'shift; exec \"\$@\"' -" --remote-path="$HAUL")
    random_file source $size
    random_file behind $((8 * MIB)) 7
    device=$(losetup -f --show behind)
    cleanup_fn loop_detach "$device"
    copied --manifest=sums --write-devices source "$device"
    run haul verify source "$device"
    [ "$status" = 0 ]
    [[ $output == *"$((8 * MIB - size)) bytes behind"* ]]
    run haul verify --manifest=sums "$device"
    [ "$status" = 0 ]
    [[ $output == *"$((8 * MIB - size)) bytes behind"* ]]
    copy "${via[@]}" verify source "h:$device"
    expect_status 0
    expect_receipt .exit 0
    expect_receipt .outcome equal
    printf x | dd of="$device" bs=1 seek=$((size - 1)) conv=notrunc oflag=sync status=none
    run haul verify source "$device"
    [ "$status" = 40 ]
    run haul verify --manifest=sums "$device"
    [ "$status" = 40 ]
}

@test "verify of a longer file, and of an image that is cut off, is no match" {
    local device
    random_file source $((2 * MIB))
    random_file target $((2 * MIB + 1))
    run haul verify source target
    [ "$status" = 40 ]
    run haul verify target source
    [ "$status" = 40 ]
    requires root loop
    device=$(losetup -f --show --sizelimit=$MIB source)
    cleanup_fn loop_detach "$device"
    run haul verify source "$device"
    [ "$status" = 40 ]
    losetup -d "$device"
    device=$(losetup -f --show source)
    cleanup_fn loop_detach "$device"
    head -c $MIB source >image
    run haul verify "$device" image
    [ "$status" = 40 ]
}

# One byte of FILE on $FS is another on the disk than in the cache.
rot_below_the_cache() { # FILE OFFSET
    local block
    sync -f "$FS"
    cat "$FS/$1" >/dev/null
    block=$(filefrag -v -b4096 "$FS/$1" | awk -v at=$(($2 / 4096)) '
        $1 ~ /^[0-9]+:$/ { first = $2 + 0; last = $3 + 0; physical = $4 + 0
            if (at >= first && at <= last) print physical + at - first }')
    printf '\377\000\377' | dd of="$FS.img" bs=1 seek=$((block * 4096 + $2 % 4096)) conv=notrunc,fsync status=none
    [ "$(pages "$FS/$1")" -gt 0 ]
}

@test "rot below the cache is seen by verify, -c and --verify, whatever the policy" {
    requires filefrag
    on_fs ext4 64M
    local policy
    random_file source $((3 * MIB))
    for policy in direct window plain; do
        cp source "$FS/target"
        touch -r source "$FS/target"
        rot_below_the_cache target $((MIB + 12345))
        cmp source "$FS/target" # the cache has it right
        run haul verify --cache=$policy source "$FS/target"
        [ "$status" = 40 ]
        [[ $output == *"bytes 1048576 to 2097151 differ"* ]]
        run haul verify --cache=$policy "$FS/target" source
        [ "$status" = 40 ]
        copied -c --cache=$policy source "$FS/target"
        expect_receipt .bytes_copied 4096
        run haul verify --cache=direct source "$FS/target"
        [ "$status" = 0 ]
        rot_below_the_cache target $((MIB + 12345))
        copied --verify --cache=$policy source "$FS/target"
        expect_receipt .bytes_copied 4096
        expect_receipt .target.reread_cached_bytes 0
        rm "$FS/target"
    done
}

# Rot while it is copied: --verify finds it, behind a batch of the journal whose stamp is right.
@test "what --verify has read back wrong is not believed by --append" {
    requires filefrag
    on_fs ext4 64M
    random_file source $((4 * MIB))
    JOURNAL=$FS/.target.haul
    begin --verify --chunk-size=256K --sync-every=1M --bwlimit=1M --engine=sync source "$FS/target"
    wait_for_journal $((2 * MIB)) STOP
    rot_below_the_cache target 12345
    pages --evict "$FS/target"
    kill -CONT "$running"
    finished
    expect_status 40
    copied --append source "$FS/target"
    expect_receipt .chunks_repaired 1
    pages --evict "$FS/target"
    cmp source "$FS/target"
}

@test "what is read back from the cache is not called the medium" {
    on_fs tmpfs 64M
    random_file source $((2 * MIB))
    run haul --verify --cache=plain source target
    [ "$status" = 0 ]
    [[ $output == *"2.00 MiB read back from the medium"* ]]
    run haul --verify source "$FS/target"
    [ "$status" = 0 ]
    [[ $output == *"2.00 MiB read back"* ]]
    [[ $output != *"from the medium"* ]]
    [[ $output == *"2.00 MiB read from the page cache"* ]]
    copied --verify -I source "$FS/target"
    expect_receipt .target.reread_cached_bytes $((2 * MIB))
    run haul verify source "$FS/target"
    [ "$status" = 0 ]
    [[ $output == *"2.00 MiB read from the page cache"* ]]
}
