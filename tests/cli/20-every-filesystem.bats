#!/usr/bin/env bats
# Goal: on each filesystem a copy is equal, in place, sparse and leaves nothing in the cache, and the receipt tells the
# policy that this filesystem allows.
load ../lib/common

# Copies within the filesystem, onto it and off it; an update; a sparse file. $1: size of the file.
exercise() {
    local size=$((24 * MIB + 321)) policy
    random_file "$FS/source" $size 7
    pages --evict "$FS/source"
    for policy in auto direct window; do
        rm -f "$FS/target"
        pages --evict "$FS/source"
        copied --cache=$policy "$FS/source" "$FS/target"
        expect_receipt .bytes_copied $size
        [ -n "$keeps_pages" ] || uncached "$FS/source" "$FS/target"
        same "$FS/source" "$FS/target"
        [ $policy != auto ] || used="$(receipt .source.policy)-$(receipt .target.policy)"
    done

    "$TOOLS/fill" --flip=$((5 * MIB)) "$FS/target"
    touch -d '2001-01-01' "$FS/target"
    [ -n "$keeps_pages" ] || pages --evict "$FS/target"
    pages --evict "$FS/source"
    copied "$FS/source" "$FS/target"
    expect_receipt .bytes_copied 4096
    [ -n "$keeps_pages" ] || uncached "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"

    copied "$FS/source" target
    same "$FS/source" target
    rm "$FS/target"
    copied target "$FS/target"
    expect "mtime" "$(stat -c %.9Y "$FS/target")" "$(stat -c %.9Y target)"
    same target "$FS/target"

    rm "$FS/target"
    truncate -s 30M "$FS/sparse"
    "$TOOLS/fill" --offset=9M "$FS/sparse" 2M
    copied "$FS/sparse" "$FS/target"
    same "$FS/sparse" "$FS/target"
}

uses() { # POLICY: of source and target under --cache=auto
    expect "policies under auto" "$used" "$1-$1"
}

setup() {
    scratch_open
    keeps_pages=
}

@test "ext4, 512-byte sectors" { on_fs ext4 256M; exercise; uses direct; }
@test "ext4, 4096-byte sectors" { on_fs ext4-4k 256M; exercise; uses direct; }
@test "ext4, 1 KiB blocks" { on_fs ext4-1k 256M; exercise; uses direct; }
@test "ext4, data=journal: O_DIRECT would be buffered silently" { on_fs ext4-journal 256M; exercise; uses window; }
@test "ext3 layout: no fallocate" { on_fs ext3 256M; exercise; uses direct; }
@test "xfs" { on_fs xfs 400M; exercise; uses direct; }
@test "btrfs with checksums" { on_fs btrfs 400M; exercise; }
@test "btrfs, nodatasum" { on_fs btrfs-nodatasum 400M; exercise; }
@test "btrfs, compressed" { on_fs btrfs-compressed 400M; exercise; }
@test "overlayfs" { on_fs overlay 256M; exercise; uses direct; }

@test "btrfs, compressed, with data that compresses: direct reads would stay in the cache" {
    on_fs btrfs-compressed 400M
    seq 1 6000000 >"$FS/source"
    sync -f "$FS"
    pages --evict "$FS/source"
    local policy
    for policy in auto window; do
        rm -f "$FS/target"
        copied --cache=$policy "$FS/source" "$FS/target"
        uncached "$FS/source" "$FS/target"
        same "$FS/source" "$FS/target"
        pages --evict "$FS/source"
    done
}

# Only what comes in behind a window because of us goes with the next one: --engine=sync reads in order.
@test "squashfs, which reads a block more than it is asked for" {
    requires root loop mksquashfs
    local policy
    mkdir image squash
    random_file image/source 24M
    mksquashfs image image.squash -noD -noF -quiet -no-progress >/dev/null
    mount -o loop,ro image.squash squash || skip "needs squashfs"
    cleanup_fn umount "$SCRATCH/squash"
    for policy in auto window; do
        rm -f target
        copied --cache=$policy --engine=sync squash/source target
        expect_receipt .source.policy window
        expect_receipt .source.resident_after_bytes 0
        uncached squash/source target
        same image/source target
    done
}

@test "tmpfs is page cache itself: a plain copy, and the receipt says so" {
    on_fs tmpfs 256M
    keeps_pages=yes
    random_file "$FS/source" 5000001
    copied "$FS/source" "$FS/target"
    same "$FS/source" "$FS/target"
    expect_receipt .target.policy plain
    expect_words 'is itself page cache|tmpfs'
    copied "$FS/source" target
    uncached target
    same "$FS/source" target
    truncate -s 30M "$FS/sparse"
    "$TOOLS/fill" --offset=9M "$FS/sparse" 2M
    copied "$FS/sparse" "$FS/copy"
    same "$FS/sparse" "$FS/copy"
}

@test "FUSE that takes O_DIRECT" { on_fs fuse 0; exercise; uses direct; }
@test "FUSE that refuses O_DIRECT and fallocate" { FUSE_FAULTS=(--no-direct --no-fallocate); on_fs fuse 0; exercise_refused; }
@test "FUSE with short reads" { FUSE_FAULTS=(--short-reads); on_fs fuse 0; exercise; }
@test "FUSE with short reads that refuses O_DIRECT" { FUSE_FAULTS=(--short-reads --no-direct); on_fs fuse 0; exercise_refused; }

exercise_refused() { # --cache=direct cannot be had here
    local size=$((24 * MIB + 321)) policy
    random_file "$FS/source" $size 7
    pages --evict "$FS/source"
    for policy in auto window; do
        rm -f "$FS/target"
        copied --cache=$policy "$FS/source" "$FS/target"
        expect_receipt .source.policy window
        expect_receipt .target.policy window
        uncached "$FS/source" "$FS/target"
        same "$FS/source" "$FS/target"
    done
    copy --cache=direct "$FS/source" target
    [ "$status" = 0 ] || expect_clear_error
    [ "$status" != 0 ] || same "$FS/source" target
}
