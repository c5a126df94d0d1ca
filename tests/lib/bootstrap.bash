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
        ln -s "$(command -v $program)" bin/
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

far_is() { # MACHINE
    [ -e "$HAUL_BUILD/haul-agent-$1" ] || skip "needs the agent for $1, hence a way to Debian's archive"
    far_program uname "echo $1"
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
