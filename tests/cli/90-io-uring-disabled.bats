#!/usr/bin/env bats
# Goal: with io_uring switched off for the whole machine (kernel.io_uring_disabled=2) the copy runs on threads.
# Alone: changes a setting of the whole machine, for a moment, and restores it.
load ../lib/common

@test "kernel.io_uring_disabled=2" {
    requires root
    local setting=/proc/sys/kernel/io_uring_disabled
    [ -w $setting ] || skip "needs $setting"
    random_file source $((8 * MIB + 99))
    cleanup_fn write_setting "$(cat $setting)"
    write_setting 2
    copied source target
    expect_receipt .target.engine threads
    uncached source target
    same source target
    copy --engine=uring source target2
    [ "$status" != 0 ]
    expect_clear_error
}

write_setting() {
    echo "$1" >/proc/sys/kernel/io_uring_disabled
}
