#!/usr/bin/env bats
# Goal: haul is brought to a machine of another kind: aarch64, by qemu-user where this one is none. For `make check-agents`, which
# fetches it; HAUL_QEMU is its folder.
load ../lib/bootstrap

@test "onto an aarch64 machine" {
    far_is aarch64
    works
}
