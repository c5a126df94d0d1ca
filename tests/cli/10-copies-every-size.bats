#!/usr/bin/env bats
# Goal: a copy is equal for every size around the edges of blocks and chunks, with each engine and each policy, and
# nothing of either file stays in the page cache.
load ../lib/common

SIZES="0 1 511 512 513 4095 4096 4097 65535 65537 $((MIB - 1)) $MIB $((MIB + 1)) $((10 * MIB + 123))"

every_size() { # OPTIONS...
    local size
    for size in $SIZES; do
        random_file source "$size" "$size"
        rm -f target
        copied "$@" source target
        expect_receipt .bytes_total "$size"
        expect_receipt .bytes_copied "$size"
        expect_receipt .durable true
        uncached source target
        same source target
        expect "size of the target" "$(stat -c %s target)" "$size"
    done
}

@test "every size, as it comes" { every_size; }
@test "every size, engine uring" { every_size --engine=uring; }
@test "every size, engine threads" { every_size --engine=threads; }
@test "every size, engine sync" { every_size --engine=sync; }
@test "every size, window policy" { every_size --cache=window; }
@test "every size, window policy, engine sync" { every_size --cache=window --engine=sync; }
@test "every size, direct policy, engine threads" { every_size --cache=direct --engine=threads; }

@test "the engine and policy that were asked for are the ones in the receipt" {
    random_file source 3M
    local engine policy
    for engine in uring threads sync; do
        for policy in direct window plain; do
            rm -f target
            copied --engine=$engine --cache=$policy source target
            expect_receipt .source.engine $engine
            expect_receipt .target.engine $engine
            expect_receipt .source.policy $policy
            expect_receipt .target.policy $policy
            same source target
        done
    done
}

@test "with the smallest memory the copy is equal too" {
    random_file source 5000001
    copied --memory=1M source target
    uncached source target
    same source target
}

@test "a target under --cache=plain is in the cache, and the receipt says so" {
    random_file source 4M
    copied --cache=plain source target
    [ "$(pages target)" -gt 0 ]
    expect_receipt .target.resident_after_bytes "$(pages --bytes target)"
}

@test "--bwlimit slows the copy down to its rate" {
    random_file source 4M
    copied --bwlimit=2M source target
    same source target
    # 4 MiB at 2 MiB/s; the first chunks may go at once. Only the lower bound is certain.
    [ "$(receipt '.seconds > 0.9')" = true ] || { receipt .seconds; false; }
}
