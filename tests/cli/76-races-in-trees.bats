#!/usr/bin/env bats
# Goal: while somebody swaps a folder of a tree for a symbolic link, at the source or at the target, nothing outside of the
# trees is read, written, made, removed or given other attributes: locally, by push and by pull, to a server that is
# restricted to a folder, with openat2(2) and without. And a target below a link of one's own works.
# HAUL_RACE_SECONDS: how long each race lasts; else it is some rounds.
load ../lib/remote

ROUNDS=2

setup() {
    remote_open
    requires root
    trees_make
}

# The source S and, at a target, T: with a folder "sub" and in it "deep". The same names are outside, with another content.
trees_make() {
    local name
    mkdir -p S/sub/deep S/other T/sub/deep outside/deep
    chmod 755 S T outside
    local folder
    for name in a b c d e; do
        for folder in S/sub S/sub/deep S/other; do echo "inside $name" >"$folder/$name"; done
        for folder in outside outside/deep; do echo "SECRET $name" >"$folder/$name"; done
    done
    random_files 1 S/sub/big 600K outside/big 500K
    echo SECRET >outside/only
    echo SECRET >outside/deep/only
    ln -s a S/sub/link
    ln -s b outside/link
    mkfifo S/sub/deep/fifo outside/deep/fifo
    chmod 711 S/sub
    chmod 750 S/sub/deep
    chmod 640 S/sub/a
    chmod 700 outside outside/deep
    "$TOOLS/tree" facts outside >outside.before
}

# The change times say that nothing was even touched.
intact() {
    "$TOOLS/tree" facts outside outside.before || { echo "something outside has changed"; return 1; }
    ! grep -rqs SECRET S T jail || { echo "something from outside is in a tree:"; grep -rls SECRET S T jail; return 1; }
}

# Everything has to be copied again.
sources_change() { # FOLDER
    stamp=$((${stamp:-1500000000} + 1))
    find "$1" \( -type f -o -type d \) -exec touch -d "@$stamp" {} +
}

# Names that --delete has to take.
extras_make() { # FOLDER
    mkdir -p "$1/extra/inner"
    touch "$1/extra/inner/file" "$1/extra-file"
    [ ! -d "$1/sub" ] || touch "$1/sub/only" "$1/sub/extra"
    [ ! -d "$1/sub/deep" ] || touch "$1/sub/deep/only"
}

racer_start() { # FOLDER LINK SEED
    "$TOOLS/race" "$1" "$SCRATCH/aside" "$2" "$3" >racer.out 2>racer.err 3>&- &
    racer=$!
    waits_until 60 grep -qs racing racer.out # else the copy could be over before
}

racer_stop() {
    kill "$racer" 2>/dev/null || :
    wait "$racer" || { cat racer.err racer.out; return 1; }
    rm -rf aside aside.*
}

# race FOLDER LINK SOURCES ARGUMENTS...: copies while FOLDER is a link now and then. What the copy comes to is open.
race() {
    local folder=$1 link=$2 sources=$3 round=0 end=$((SECONDS + ${HAUL_RACE_SECONDS:-0}))
    shift 3
    cleanup_fn eval 'kill "$racer" 2>/dev/null || :'
    while ((round < ROUNDS || SECONDS < end)); do
        round=$((round + 1))
        sources_change "$sources"
        [ -z "$prepare" ] || $prepare
        racer_start "$folder" "$link" "$round"
        copy "$@"
        racer_stop
        case $status in
        0 | 11 | 23 | 24 | 25) ;;
        *) expect_status 0 || return 1 ;;
        esac
        intact
    done
}

prepare=

races_at_target() { # ARGUMENTS before source and target...
    prepare='extras_make T'
    race T/sub ../outside S "$@"
    race T/sub/deep ../../outside/deep S "$@"
    prepare=
    copied "$@"
    same_trees S T
}

same_trees() { # SOURCE TARGET
    expect "the difference" "$(diff -r --no-dereference "$1" "$2" 2>&1 | grep -v 'is a fifo')" ""
}

source_refill() {
    local name
    mkdir -p S/sub/deep
    for name in a b c d e; do
        [ -e "S/sub/$name" ] || echo "inside $name" >"S/sub/$name"
        [ -e "S/sub/deep/$name" ] || echo "inside $name" >"S/sub/deep/$name"
    done
}

races_at_source() { # ARGUMENTS...
    race S/sub "$SCRATCH/outside" S "$@"
    race S/sub/deep ../../outside/deep S "$@"
    copied "$@"
}

old_kernel() {
    under=("$TOOLS/deny" --errno=ENOSYS --old-kernel)
}

# --- here -------------------------------------------------------------------------------------------------------------

@test "a local target" {
    races_at_target -a --delete S/ T/
}

@test "a local target, without openat2" {
    old_kernel
    races_at_target -a --delete S/ T/
}

@test "a local target with lists and attributes" {
    requires setfacl setfattr
    setfacl -R -m u:4000:rx S 2>/dev/null || skip "needs access control lists"
    setfattr -n user.mark -v inside S/sub S/sub/a S/sub/deep
    races_at_target -aAX --delete S/ T/
}

@test "a local source" {
    races_at_source -a --delete S/ T/
    same_trees S T
}

@test "a local source, without openat2" {
    old_kernel
    races_at_source -a --delete S/ T/
    same_trees S T
}

@test "a local source whose files go" {
    local name
    prepare=source_refill
    races_at_source -a --remove-source-files S/ T/
    for name in a b c d e; do
        cmp T/sub/deep/$name <(echo "inside $name")
    done
}

# --- there ------------------------------------------------------------------------------------------------------------

@test "push and pull" {
    requires ssh ssh-keygen
    server_start
    races_at_target "${via[@]}" -a --delete S/ "$FAR:$SCRATCH/T/"
    races_at_source "${via[@]}" -a --delete "$FAR:$SCRATCH/S/" T/
    prepare=source_refill
    races_at_source "${via[@]}" -a --remove-source-files "$FAR:$SCRATCH/S/" T/
}

@test "push and pull, without openat2 there" {
    requires ssh ssh-keygen
    agent_make before="$TOOLS/deny --errno=ENOSYS --old-kernel"
    server_start
    races_at_target "${via[@]}" -a --delete S/ "$FAR:$SCRATCH/T/"
    races_at_source "${via[@]}" -a --delete "$FAR:$SCRATCH/S/" T/
}

@test "a server that is restricted to a folder" {
    requires ssh ssh-keygen
    server_start
    mkdir jail
    mv T jail/T
    ln -s jail/T T
    printf 'command="%s --server --restrict=%s/jail",restrict %s\n' "$AGENT" "$SCRATCH" "$(cat "$SSH/user_key.pub")" \
        >"$SSH/authorized_keys"
    prepare='extras_make jail/T'
    race jail/T/sub ../../outside S "${via[@]}" -a --delete S/ "$FAR:T/"
    race jail/T ../outside S "${via[@]}" -a --delete S/ "$FAR:T/"
    prepare=
    copied "${via[@]}" -a --delete S/ "$FAR:T/"
    same_trees S jail/T
    mkdir back
    race jail/T/sub ../../outside jail/T "${via[@]}" -a --delete "$FAR:T/" back/
    not grep -rqs SECRET back
}

# --- the operator's own path ------------------------------------------------------------------------------------------

@test "a target, and a source, below a link of one's own" {
    mkdir real real/T
    ln -s real mine
    ln -s "$SCRATCH/S" source
    copied -a source/ mine/T/
    same_trees S real/T
    copied -a S mine
    same_trees S real/S
    become_nobody
    chown -R 65534 real S
    chown -h 65534 mine
    copied -a --delete S/ mine/T/ # root's is followed, too: see below
    same_trees S real/T
}

@test "a target below a link of another user's is refused, in words" {
    mkdir real real/T
    ln -s real theirs
    chown -h 4000 theirs
    copy -a S/ theirs/T/
    [ "$status" != 0 ]
    expect_words 'symbolic link of another user'
    expect "what is there" "$(ls -A real/T)" ""
}
