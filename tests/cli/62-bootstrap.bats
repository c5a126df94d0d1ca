#!/usr/bin/env bats
# Goal: --bootstrap brings haul to a machine that has a shell, cat, chmod, mkdir, rm and uname, and nothing else: it copies, and
# leaves nothing there, however it ends. Nothing runs that was not compared; whatever stands in the way is one line.
load ../lib/bootstrap

# refused WORDS: one line, nothing was started, nothing is there.
refused() { # [CODE] WORDS
    local code=5
    [ $# = 1 ] || { code=$1; shift; }
    copy "${via[@]}" here/file "there:$THERE/file"
    expect_status "$code"
    expect "lines of the error" "$(wc -l <err)" 1
    expect_clear_error
    expect_words "$1"
    expect "what is there" "$(ls -A there)" ""
    leaves_nothing
}

@test "onto a machine with a shell and cat only: copies both ways, and leaves nothing" {
    works
}

@test "onto a 32-bit machine" {
    far_is i386
    works
    far_program uname "echo i686"
    rm here/back there/file
    works
}

@test "over ssh, by libssh with two lanes and by -e ssh" {
    requires root ssh ssh-keygen
    [ -x /usr/sbin/sshd ] || skip "needs /usr/sbin/sshd"
    server_start "SetEnv PATH=$SCRATCH/bin TMPDIR=$SCRATCH/tmp"
    random_file here/file $((40 * MIB)) # less has one lane
    proxy_start "--gate-up=$((4 * MIB)):2"
    copied -F "$server_config" --bootstrap -j 2 here/file "$FAR:$THERE/file"
    proxy_stop
    expect_receipt .lanes 2
    same here/file there/file
    rm there/file
    copied -e "ssh -F $SSH/ssh_config" --bootstrap here/file "$FAR:$THERE/file"
    same here/file there/file
    leaves_nothing
}

@test "by any shell" {
    local shell
    for shell in dash bash busybox mksh yash; do
        command -v $shell >/dev/null || continue
        rm -f bin/sh there/file here/back
        ln -s "$(type -P $shell)" bin/sh
        works
    done
}

@test "a haul of this version is there: it is used; one of another version is not" {
    ln -s "$HAUL" bin/haul
    rm bin/chmod # so that none could be brought
    copied -v "${via[@]}" here/file "there:$THERE/file"
    not grep -q "was brought there" err
    same here/file there/file
    ln -s "$(type -P chmod)" bin/
    rm there/file bin/haul
    far_program haul "echo haul 0.0.9; touch $SCRATCH/ran"
    works
}

@test "without --bootstrap 'not found' says both ways on: 127" {
    via=(-e "$SCRATCH/far")
    refused 127 "haul was not found there; install haul .*--remote-path.*--bootstrap"
}

# --- nothing runs that was not compared ---------------------------------------------------------------------------------

# A haul with agents of its own, to be tampered with.
haul_copy() {
    mkdir -p bin.here
    cp "$HAUL" bin.here/haul
    cp "$HAUL_BUILD"/haul-agent-"$(uname -m)" "$HAUL_BUILD/haul-agents.sums" bin.here/
    HAUL=$SCRATCH/bin.here/haul
}

@test "an agent that was tampered with here is not sent" {
    haul_copy
    works
    rm there/file
    printf 'X' | dd of="bin.here/haul-agent-$(uname -m)" bs=1 seek=4000 conv=notrunc status=none
    refused "haul-agent-$(uname -m): is not what haul-agents.sums beside it says: it is not sent"
    rm bin.here/haul-agents.sums
    refused "haul-agents.sums beside it has no digest of it"
    rm bin.here/haul-agent-*
    refused "no agent for $(uname -m): .* is neither in $SCRATCH/bin.here nor in $SCRATCH/lib/haul"
}

@test "agents are found in ../lib/haul, too" {
    haul_copy
    mkdir -p lib/haul
    mv bin.here/haul-agent* lib/haul/
    works
}

@test "an agent that was tampered with on the way, or over there, does not run" {
    # Behind the cat that stores it: the only one that reads a pipe.
    far_cat "/bin/cat; printf X | $(type -P dd) of=\$(echo $SCRATCH/tmp/haul-agent.*/haul) bs=1 seek=4000 conv=notrunc"
    refused "what is there is not what was sent: it was not started"
}

# LINE in place of the cat that takes the program.
far_cat() { # LINE
    far_program cat "if [ -p /proc/self/fd/0 ]; then $1; else exec /bin/cat; fi"
}

# --- what stands in the way -----------------------------------------------------------------------------------------------

@test "a machine that there is no agent for" {
    far_program uname "echo riscv64"
    refused "no agent for riscv64: haul-agent-riscv64 is neither in .* nor in .*make agent"
    far_program uname "echo ../../etc"
    refused "no agent"
    rm bin/uname
    refused "cannot say what machine it is: .*uname"
}

@test "no program may run there" {
    requires root unshare
    far_make "mount -t tmpfs -o noexec haul-test /var/tmp"
    refused "cannot find a folder for it: no program may run in /var/tmp"
}

@test "no room there; a folder that may not be written" {
    requires root unshare
    far_make "mount -t tmpfs -o size=1M haul-test /var/tmp"
    refused "cannot take it: .*No space left on device"
    far_make "mount -t tmpfs -o ro haul-test /var/tmp"
    refused "cannot find a folder for it: .*Read-only file system"
}

@test "no /proc there" {
    requires root unshare
    far_make "mount -t tmpfs haul-test /proc"
    refused "cannot run it without /proc"
}

@test "a tool that is missing there" {
    rm bin/chmod
    refused "cannot find a folder for it: .*chmod.*not found"
}

@test "a key that may only start one command: haul, or another" {
    printf '#!/bin/sh\nexec %q --server\n' "$HAUL" >far
    refused "this login may only start the haul that is there"
    printf '#!/bin/sh\necho This key is for backups only.\n' >far
    refused "a shell there, and something else answers.*This key is for backups only"
    printf '#!/bin/sh\nexit 0\n' >far
    refused "needs a shell there, and nothing answers"
}

@test "no shell there" {
    rm bin/sh
    refused "sh could not be started there"
}

@test "an agent that does not start" {
    haul_copy
    far_program uname "echo odd"
    printf '#!/no/such/interpreter\n' >bin.here/haul-agent-odd
    copied --chunk-size=16M bin.here/haul-agent-odd odd
    echo "$(receipt .digest)  haul-agent-odd" >>bin.here/haul-agents.sums
    refused "haul-agent-odd could not be started there"
}

@test "--remote-path and --bootstrap exclude each other: 1" {
    via+=(--remote-path=/opt/haul)
    refused 1 "leave out --remote-path"
}

# --- however it ends ------------------------------------------------------------------------------------------------------

@test "the client is killed while its agent is on the way: nothing stays there" {
    far_cat ": >$SCRATCH/reached; while [ ! -e $SCRATCH/go ]; do $(type -P sleep) 0.05; done; exec /bin/cat"
    copy_start "${via[@]}" here/file "there:$THERE/file"
    waits_until 10 test -e reached
    [ -n "$(ls -A tmp)" ]
    kill -9 "$CLIENT"
    touch go
    waits_until 10 nobody
    leaves_nothing
}

@test "the client is killed in the middle of a copy: the agent ends, nothing stays there but the partial" {
    random_file here/large 64M
    copy_start "${via[@]}" --bwlimit=4M here/large "there:$THERE/large"
    waits_until 20 test -s there/large
    expect "what is there while it copies" "$(ls -A tmp)" ""
    kill -9 "$CLIENT"
    leaves_nothing
}
