# bootstrap.bash - another machine without haul, for the bats files about --bootstrap: a shell and next to nothing, in ./far.
# `load ../lib/bootstrap` in place of ../lib/remote, which it brings along.

# shellcheck source=tests/lib/remote.bash
. "${BASH_SOURCE[0]%/*}/remote.bash"

# The other machine: a PATH of its own, a folder for what is temporary, and its own word for what it is.
setup() {
    remote_open
    [ -e "$HAUL_BUILD/haul-agent-$(uname -m)" ] || skip "needs 'make agent'"
    folders
    agents_before=$(agents_there)
    mkdir bin tmp
    for program in sh cat chmod mkdir rm uname; do
        ln -s "$(type -P $program)" bin/
    done
    far_make
    random_file here/file $((3 * MIB + 5))
}

# far_make [WORDS]: -e ./far starts what is asked for there; WORDS are run before it, in a mount namespace.
far_make() {
    {
        echo '#!/bin/sh'
        echo 'shift'
        printf 'export %q TMPDIR=%q HOME=%q PATH=%q\n' "$TEST_ID" "$SCRATCH/tmp" "$SCRATCH/tmp" "$SCRATCH/bin"
        if [ -n "${1:-}" ]; then
            echo "export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/var/tmp HOME=/var/tmp"
            printf 'exec %q %q "$@"\n' "$HAUL_ROOT/tests/lib/own_mounts" "$1"
        else
            echo 'exec "$@"'
        fi
    } >far
    chmod 755 far
    via=(-e "$SCRATCH/far" --bootstrap)
}

# A program of the other machine that is a script of ours.
far_program() { # NAME LINE...
    rm -f "bin/$1"
    printf '%s\n' '#!/bin/sh' "${@:2}" >"bin/$1"
    chmod 755 "bin/$1"
}

# The other machine is one of those. Where this kernel does not run their programs, qemu-user is the interpreter for them, in a
# user namespace of the far side's own.
far_is() { # MACHINE
    [ -e "$HAUL_BUILD/haul-agent-$1" ] || skip "needs the agent for $1, hence a way to Debian's archive"
    far_program uname "echo $1"
    kernel_runs "$1" || far_emulates "$1"
}

far_emulates() { # MACHINE
    local zeros ones header
    [ -n "${HAUL_QEMU:-}" ] || skip "needs qemu-user: this kernel runs no programs of $1"
    case $1 in # the class and the number of its programs' headers
    i386) header=('\x01' '\x03') ;;
    aarch64) header=('\x02' '\xb7') ;;
    esac
    zeros=$(printf '\\x00%.0s' {1..9}) ones=$(printf '\\xff%.0s' {1..8})
    printf '%s' ":haul:M::\\x7fELF${header[0]}\\x01\\x01$zeros\\x02\\x00${header[1]}\\x00:" \
        "$ones\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$HAUL_QEMU/qemu-$1-static:F" >binfmt
    printf '#!/bin/sh\n%q -t binfmt_misc x /proc/sys/fs/binfmt_misc && cat %q >/proc/sys/fs/binfmt_misc/register && exec "$@"\n' \
        "$(type -P mount)" "$SCRATCH/binfmt" >emulated
    chmod 755 emulated
    sed -i "s|^exec |exec $(type -P unshare) -U -r -m $SCRATCH/emulated |" far
}

agents_there() {
    compgen -G "/var/tmp/haul-agent.*" | sort
}

# Those of another check are there for a moment, those of one that was killed for good.
no_more_agents() {
    [ -z "$(comm -13 <(echo "$agents_before") <(agents_there))" ]
}

leaves_nothing() {
    nothing_left
    expect "what is left there" "$(ls -A tmp)" ""
    waits_until 10 no_more_agents
}

works() {
    copied -v "${via[@]}" here/file "there:$THERE/file"
    grep -q "haul-agent-.* was brought there" err
    same here/file there/file
    copied -v "${via[@]}" "there:$THERE/file" here/back
    grep -q "haul-agent-.* was brought there" err
    same here/file here/back
    leaves_nothing
}
