#!/usr/bin/env bats
# Goal: what comes out of a pipe, or goes into one, is all of it or an error, and stays out of the page cache and within
# memory like everything else; nothing that looks finished is left by what was not. COPY_MIB: what goes through the small
# cgroup (default 200).
load ../lib/common

COPY_MIB=${COPY_MIB:-200}

digest() {
    sha256sum | cut -d ' ' -f 1
}

@test "- at either end: content, exit code, and not a page of the file" {
    local size
    for size in 0 1 4096 1048576 $((5 * MIB + 777)); do
        random_file source "$size"
        pages --evict source
        "$HAUL" - target < <(cat source)
        uncached target
        same source target
        "$HAUL" source - 2>said | cat >piped
        same source piped
        grep -q 'handed over' said
    done
    pages --evict source
    "$HAUL" source - 2>said | cat >/dev/null
    uncached source
    [ -z "$(ls -A | grep haul)" ]
}

@test "in 24 MiB much more than fits goes through either way, and the limit is not hit" {
    requires cgroup
    local mib=24
    sanitized && mib=2048
    yes 'all work and no play' | head -c "${COPY_MIB}M" >yes
    pages --evict yes
    under=(in_cgroup $((mib * MIB)))
    copied - target < <(yes 'all work and no play' | head -c "${COPY_MIB}M")
    expect "failcnt, into a file" "$(cgroup_figure failcnt)" 0
    uncached target
    same yes target
    pages --evict yes
    rm -f sum
    copied yes /dev/fd/9 9> >(digest >sum)
    expect "failcnt, out of a file" "$(cgroup_figure failcnt)" 0
    uncached yes
    waits_until 10 test -s sum
    expect "digest" "$(cat sum)" "$(digest <yes)"
}

@test "a producer that was killed is noticed by --size, and what came is not finished" {
    local old
    random_file source 3M
    random_file target 5M
    old=$(stat -c %i target)
    copy --size=8M - target < <(cat source; kill -KILL "$BASHPID")
    expect_status 11
    expect_words 'ended after 3145728 bytes, and --size says 8388608'
    [ -e .target.haul ]
    expect "size" "$(stat -c %s target)" 3145728
    expect "inode" "$(stat -c %i target)" "$old"
    copy --size=2M - target < <(cat source)
    expect_status 11
    expect_words 'brings more than'
    [ -e .target.haul ]
    copied --size=3M - target < <(cat source) # what was left is no more than a file to write to
    same source target
    [ ! -e .target.haul ]
    copy --size=8M - target < <(cat source)
    copied source target # nor in the way of another source
    same source target
    [ ! -e .target.haul ]
}

@test "killed itself, it leaves what says of itself that it is not finished" {
    local pid
    mkfifo fifo
    "$HAUL" fifo target &
    pid=$!
    exec 9>fifo
    head -c 3M /dev/zero >&9
    waits_until 10 test -s target
    kill -KILL $pid
    wait $pid || true
    exec 9>&-
    [ -e .target.haul ]
    run "$HAUL" journal .target.haul
    [ "$status" = 0 ]
    [[ "$output" == *"0 chunks"* ]]
    copied - target < <(echo later)
    expect "content" "$(cat target)" later
    [ ! -e .target.haul ]
}

@test "a reader that leaves, a full disk, a full device: errors" {
    copy zero:50M /dev/fd/9 9> >(head -c 1000 >/dev/null)
    expect_status 11
    expect_words 'whoever read it has gone'
    copy zero:1M /dev/full
    expect_status 11
    on_fs ext4 20M
    copy - "$FS/target" < <(head -c 60M /dev/urandom)
    expect_status 11
    expect_words 'no space left on device'
    [ -e "$FS/.target.haul" ]
}

@test "interrupted while the producer is silent, or the reader asleep: 20 at once" {
    local pid
    mkfifo in out
    random_file source 5M
    "$HAUL" in target &
    pid=$!
    exec 9>in
    waits_until 10 test -e .target.haul
    kill -INT $pid
    expect_exit 20 $pid
    exec 9>&-
    exec 9<>out
    "$HAUL" source out &
    pid=$!
    waits_until 10 grep -q out "/proc/$pid/cmdline"
    waits_until 10 bash -c "ls -l /proc/$pid/fd | grep -q /out"
    kill -TERM $pid
    expect_exit 20 $pid
    exec 9>&-
}

expect_exit() { # CODE PID
    local code=0
    wait "$2" || code=$?
    expect "exit code" "$code" "$1"
}

@test "fifos, devices, standard input and output that are files" {
    random_file source 3000001
    mkfifo fifo
    cat source >fifo &
    copied fifo target
    same source target
    cat fifo >target &
    copied source fifo
    wait $!
    same source target
    copied --size=1500000 /dev/zero target
    cmp <(head -c 1500000 /dev/zero) target
    copy /dev/zero target
    expect_status 1
    expect_words '--size=SIZE says how much'
    mkdir tree # small files, which go as a whole, have a size of their own just so
    : >tree/a
    : >tree/b
    copy -r --size=1 tree sized
    expect_status 23
    expect_words 'tree/a: has a size of its own'
    [ ! -e sized/tree/b ]
    copied zero:64M null:
    copy - target2 <source # the file itself, and so it can be gone on with
    expect_status 0
    same source target2
    expect "modification time" "$(stat -c %y target2)" "$(stat -c %y source)"
    "$HAUL" source - >target3 2>said
    same source target3
    grep -q durable said
    "$HAUL" source /proc/self/fd/1 | cmp - source # nothing else is said there, by whatever name
    far_is_here
    for words in source h:"$SCRATCH/source" "-n source"; do # a socket cannot be opened anew
        /usr/bin/python3 -c 'import socket, subprocess, sys
ours, theirs = socket.socketpair()
haul = subprocess.Popen(sys.argv[1:], stdout=theirs)
theirs.close()
sys.stdout.buffer.write(ours.makefile("rb").read())
sys.exit(haul.wait())' "$HAUL" "${far[@]}" -q $words - >target4
        [[ $words == -n* ]] || same source target4
    done
    rm target4
    { head -c 10 >/dev/null; run "$HAUL" - target4; } <source
    [ "$status" = 1 ]
    [[ "$output" == *"name it instead of -"* ]]
    echo old >target4
    run bash -c '"$0" source - >>target4' "$HAUL"
    [ "$status" = 1 ] && [ "$(cat target4)" = old ]
}

@test "what is not possible is said: twice, into a folder, to be compared; a mode is nobody's" {
    mkdir folder
    for words in "- -" "- folder" "zero:1K folder" "- a -c" "- a --append" "- a --manifest=m" "null: a" "a zero:"; do
        copy $words </dev/null
        expect_status 1
    done
    copy - a <&-
    expect_status 11
    grep -q "standard input is closed" err
    copy /dev/fd/0 a <&-
    expect_status 11
    random_file a 100K
    for words in "a -" "-q a /dev/stdout" "a /dev/fd/1" "--json a -" "-n a -"; do # what nobody can have taken is not handed over
        run bash -c '"$0" $1 >&-' "$HAUL" "$words"
        expect "code of $words" "$status" 11
        [[ "$output" == *"standard output is closed"* ]]
    done
    rm a
    [ -z "$(ls -A | grep -vE '^(folder|out|err)$')" ]
    umask 022
    copied - new < <(echo x)
    expect "mode" "$(stat -c %a new)" 644
    copied --chmod=600 - private < <(echo x)
    expect "mode" "$(stat -c %a private)" 600
}

@test "JSON: the total is null until it is known, what goes into a pipe is not durable" {
    copied --json - target < <(head -c 1000000 /dev/zero)
    expect_receipt .bytes_total 1000000
    expect_receipt .durable true
    expect_receipt .source.policy null
    copy --json --size=2M - target < <(head -c 1000000 /dev/zero)
    expect_receipt .exit 11
    copied --json zero:1M null:
    expect_receipt .durable false
    expect_receipt .outcome 'handed over'
    expect_receipt .bytes_durable 0
    "$HAUL" --json --progress target - 2>said | cat >/dev/null
    jq -es 'all(.v == 1) and .[-1].exit == 0' said
}

@test "messages and receipts call them standard input and standard output" {
    random_file image 3M
    "$HAUL" image - 2>err | head -c 10 >/dev/null || true
    grep -q '^haul: standard output: whoever read it has gone' err
    copy - "$SCRATCH/no/such" <image
    expect_status 11
    copy - copy < <(cat image)
    expect_status 0
    grep -q '"source":{"path":"standard input"' out
}
