#!/usr/bin/env bats
# Goal: the programs of `make agent` run anywhere: static, stripped, under 2 MiB, with io_uring, xxhash and zstd; a 32-bit one
# without SSE2, too. `make check` builds those of this machine, `make check-agents` all, and runs the others by qemu-user.
load ../lib/common

setup() {
    scratch_open
    mapfile -t agents < <(ls "$HAUL_BUILD"/haul-agent-*)
    [ ${#agents[@]} -gt 0 ] || skip "needs 'make agent'"
}

# What runs a program of MACHINE here; 1: nothing does.
runner() { # MACHINE
    run_by=()
    kernel_runs "$1" && return
    [ -n "${HAUL_QEMU:-}" ] || return 1
    run_by=("$HAUL_QEMU/qemu-$1-static")
}

@test "each is one file of under 2 MiB that needs no other, and its digest is noted" {
    local agent
    for agent in "${agents[@]}"; do
        expect_under "bytes of $agent" "$(stat -c %s "$agent")" $((2 * MIB + 1))
        readelf -lS "$agent" >headers
        not grep -qE 'INTERP|DYNAMIC|\.symtab|\.debug' headers
        copied --chunk-size=16M "$agent" copy
        expect "digest of $agent" "$(grep " ${agent##*/}\$" "$HAUL_BUILD/haul-agents.sums")" "$(receipt .digest)  ${agent##*/}"
    done
}

@test "each copies, packs, and says that io_uring, xxhash and zstd are in and libssh is not" {
    local agent ran=
    random_file file 3M
    copied file reference
    seq 500000 >words
    for agent in "${agents[@]}"; do
        runner "${agent##*-}" || continue
        ran="$ran ${agent##*-}"
        "${run_by[@]}" "$agent" -V >version
        grep -q "uring" version
        not grep -q "built without io_uring\|no zstd" version
        grep -q "no libssh" version
        "${run_by[@]}" "$agent" --json file copy >out
        "$HAUL" --json -I file reference >out.reference
        expect_receipt .digest "$(tail -n 1 out.reference | jq -r .digest)"
        same file copy
        # Packed and unpacked by it: of zstd it has only what that takes.
        printf '#!/bin/sh\nshift\nexec %s "$@"\n' "${run_by[*]}" >near
        chmod 755 near
        "${run_by[@]}" "$agent" --json -z -e ./near --remote-path="$agent" words "there:$SCRATCH/packed" >out
        expect_under "bytes sent" "$(receipt .wire_bytes_sent)" $(($(stat -c %s words) / 2))
        same words packed
        "${run_by[@]}" "$agent" --json -z -e ./near --remote-path="$agent" "there:$SCRATCH/packed" back >out
        expect_under "bytes received" "$(receipt .wire_bytes_received)" $(($(stat -c %s words) / 2))
        same words back
        rm copy packed back
    done
    [ -n "$ran" ]
}

@test "the 32-bit one runs on a processor without SSE, with the same digests" {
    [ -e "$HAUL_BUILD/haul-agent-i386" ] || skip "needs the agent for i386"
    runner i386 || skip "needs qemu-user: this kernel runs no programs of i386"
    "${run_by[@]}" "$HAUL_BUILD/haul-agent-i386" -V | grep "vectors chosen at run time"
    [ -n "${HAUL_QEMU:-}" ] || return 0 # only `make check-agents` fetches such a processor
    random_file file 3M
    copied file reference
    "$HAUL_QEMU/qemu-i386-static" -cpu pentium2 "$HAUL_BUILD/haul-agent-i386" --json file copy >out
    "$HAUL" --json -I file reference >out.reference
    expect_receipt .digest "$(tail -n 1 out.reference | jq -r .digest)"
}

# The archive of a system like that, as src/fetch has written it down for an apt of its own.
archive_of() { # CODENAME-OF-THE-SYSTEM DEBIAN-VERSION
    printf 'VERSION_CODENAME=%s\n' "$1" >os-release
    echo "$2" >debian_version
    rm -rf fetched
    PATH=$PWD/bin:$PATH unshare -m sh -c 'mount --bind os-release /etc/os-release && mount --bind debian_version /etc/debian_version &&
        "$0/src/fetch" i386 fetched libc6-dev' "$HAUL_ROOT" 2>said && return 1
    sed -E 's/^deb (\[.*\] )?//; s/ main$//' fetched/apt-i386/sources.list 2>/dev/null || cat said
}

@test "what is fetched comes from the archive of this release, whatever its sources call it" {
    requires root unshare apt-get dpkg-deb
    [ -e /etc/debian_version ] && [ -e /etc/os-release ] || skip "needs a Debian system"
    mkdir bin
    # It knows of archives, and fetches nothing.
    cat >bin/apt-get <<'APT'
#!/bin/sh
[ "$1" = indextargets ] || exit 1
while read -r codename release; do
    echo "$3" | sed "s|\$(CODENAME)|$codename|; s|\$(RELEASE)|$release|; s|\$(REPO_URI)|http://of/$codename|"
done <<ARCHIVES
other other
bookworm-updates stable-updates
bookworm stable
trixie trixie
sid unstable
ARCHIVES
APT
    chmod +x bin/apt-get
    expect "stable" "$(archive_of bookworm 12.15)" "http://of/bookworm stable"
    expect "trixie" "$(archive_of trixie 13.8)" "http://of/trixie trixie"
    expect "sid" "$(archive_of forky forky/sid)" "http://of/sid unstable"
    archive_of buster 10.1 | grep 'cannot be fetched: apt-get knows no archive of this release'
}
