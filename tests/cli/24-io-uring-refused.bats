#!/usr/bin/env bats
# Goal: where io_uring is refused, as in most containers, and on kernels as old as 3.2, the copy runs all the same with
# the same promises, and the receipt says which engine and why.
load ../lib/common

refused() { # DENY-OPTIONS...
    random_file source $((24 * MIB + 99))
    local policy
    for policy in auto direct window; do
        rm -f target
        under=("$TOOLS/deny" "$@")
        copied --cache=$policy source target
        expect_receipt .source.engine threads
        expect_receipt .target.engine threads
        uncached source target
        same source target
        pages --evict source
    done
}

@test "a container's seccomp profile: EPERM" { refused --errno=EPERM; }
@test "a kernel without io_uring: ENOSYS" { refused --errno=ENOSYS; }
@test "a kernel 3.2: no statx, preadv2, cachestat, copy_file_range, openat2 either" { refused --old-kernel; }

@test "-v says why" {
    random_file source 1M
    run timeout $PATIENCE "$TOOLS/deny" --errno=EPERM "$HAUL" -v source target
    [ "$status" = 0 ]
    [[ $output == *io_uring* || $output == *uring* ]]
    [[ $output == *permitted* || $output == *EPERM* ]]
}

@test "--engine=uring where it is refused is an error, not a silent change" {
    random_file source 1M
    under=("$TOOLS/deny" --errno=EPERM)
    copy --engine=uring source target
    [ "$status" != 0 ]
    expect_clear_error
    expect_words 'uring'
}

@test "old kernel on each filesystem" {
    local kind
    under=("$TOOLS/deny" --old-kernel)
    for kind in ext4-4k ext4-journal xfs btrfs overlay; do
        on_fs $kind 400M
        random_file "$FS/source" $((8 * MIB + 99))
        copied "$FS/source" "$FS/target"
        uncached "$FS/source" "$FS/target"
        same "$FS/source" "$FS/target"
    done
}

cached_source_is_kept() {
    rm -f target
    pages --evict source
    cat source >/dev/null
    copied --cache=window source target || return
    kept source $((16 * MIB)) && uncached target
}

@test "a cached source stays cached on an old kernel" {
    random_file source 16M
    under=("$TOOLS/deny" --old-kernel)
    unless_reclaimed cached_source_is_kept
}

@test "no memory may be locked" {
    requires root setpriv
    cp "$HAUL" haul
    chmod 755 haul
    mkdir -m 777 open
    random_file source 8M
    run setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'ulimit -l 0 && exec ./haul -q source open/target'
    [ "$status" = 0 ] || { echo "$output"; false; }
    same source open/target
}
