#!/usr/bin/env bats
# Goal: haul is brought to a machine of another kind: aarch64, by qemu-user where this one is none. For `make check-agents`, which
# fetches it; HAUL_QEMU is its folder.
load ../lib/bootstrap

# Programs of MACHINE run there: qemu-user is the kernel's interpreter for them, in a user namespace of the far side's own.
far_emulates() { # MACHINE CLASS NUMBER: of its ELF header
    local zeros ones
    zeros=$(printf '\\x00%.0s' {1..9}) ones=$(printf '\\xff%.0s' {1..8})
    printf '%s' ":haul:M::\\x7fELF$2\\x01\\x01$zeros\\x02\\x00$3\\x00:" \
        "$ones\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$HAUL_QEMU/qemu-$1-static:F" >binfmt
    printf '#!/bin/sh\n%q -t binfmt_misc x /proc/sys/fs/binfmt_misc && cat %q >/proc/sys/fs/binfmt_misc/register && exec "$@"\n' \
        "$(command -v mount)" "$SCRATCH/binfmt" >emulated
    chmod 755 emulated
    sed -i "s|^exec |exec $(command -v unshare) -U -r -m $SCRATCH/emulated |" far
}

@test "onto an aarch64 machine" {
    [ -n "${HAUL_QEMU:-}" ] || [ "$(uname -m)" = aarch64 ] || skip "needs qemu-user (make check-agents)"
    far_is aarch64
    [ "$(uname -m)" = aarch64 ] || far_emulates aarch64 '\x02' '\xb7'
    works
}
