#!/usr/bin/env bats
# Goal: the tools that the other files rely on do see what they are meant to see. Nothing here runs haul.
load ../lib/common

scene() {
    rm -rf scene
    mkdir -p scene/{folder,full/sub/deep}
    cd scene
    echo text >file
    echo a >full/a
    echo b >full/sub/deep/b
    mkfifo fifo full/fifo
    ln -s "$PWD/full" link
    ln -s nowhere full/dangling
    touch -d 2020-01-01 file
}

# The end of all words on standard output, and all that is there then.
after() { # COMMAND
    scene
    status=0
    eval "$1" </dev/null 2>messages || status=$?
    sed -E 's/^[^ ]*: line [0-9]+: //; s/environment: //' messages
    rm -f messages
    find . -printf '%p %y %m %s %l %n %U %G\n' | sort
    echo "status $status"
}

@test "what bash has of mkdir, rm, ln, touch, chmod and mkfifo does what the programs do" {
    [ "$(type -t mkdir)" = builtin ] || skip "needs a bash that loads builtins"
    local command count=0
    while IFS= read -r command; do
        (after "$command") >loaded
        (enable -n mkdir rm ln touch chmod mkfifo && after "$command") >programs
        diff programs loaded || { echo "of: $command"; return 1; }
        count=$((count + 1))
    done <<'END'
mkdir a && mkdir a/b c
mkdir a a b
mkdir -p a/b/c d//e/ ./f folder
mkdir -m 700 a && mkdir -p -m 755 a b && mkdir -p -m 700 c/d/e
(umask 077 && mkdir -m 755 a && mkdir -p b/c && touch d)
mkdir -p file; mkdir -p file/a; mkdir missing/a b; mkdir --nonsense c; mkdir
rm file fifo && rm -f missing
rm missing file
rm folder; rm -f full; rm -r folder; rm
rm -rf folder missing full file
rm -rf link && rm -rf link/ . .. ''
rm -rf link/
rm -r full/sub
ln -s a b && ln file other && ln link another
ln -s a file; ln missing a; ln folder a; ln file; ln -s a link
ln -s a b c folder
touch new file; touch folder missing/a other; touch -d 2001-01-01 file; touch fifo
chmod 600 file && chmod 4711 file
chmod 2755 folder; chmod 755 folder
chmod 700 file missing fifo; chmod u+x file; chmod 8 file; chmod 600; chmod -R 700 full
mkfifo a b; mkfifo a c; mkfifo; mkfifo -m 600 d; mkfifo missing/a
END
    expect "commands" "$count" 21
}

@test "spawn: status, time, environment and streams of a program are what they would be without" {
    [ "$(type -t spawn)" = builtin ] || skip "needs a bash that loads builtins"
    ends() { # STATUS COMMAND...
        status=0
        "${@:2}" 2>messages || status=$?
        expect "status of ${*:2}" "$status" "$1"
    }
    ends 0 spawn true
    ends 7 spawn sh -c 'exit 7'
    ends 127 spawn missing
    ends 137 spawn sh -c 'kill -9 $$'
    ends 124 spawn "$LIMIT" 1 sleep 1000
    ends 124 spawn "$LIMIT" 0 A=1 "$LIMIT" 1 sh -c 'sleep 1000 & wait'
    expect "environment" "$(A=0 B=0 spawn "$LIMIT" 0 A=1 C=2 "$LIMIT" 9 A=3 env | grep '^[ABC]=' | sort | xargs)" "A=3 B=0 C=2"
    spawn cat <<<text >copied
    expect "copied" "$(<copied)" text
    # bash hears of its own children all the same.
    (exit 3) 3>&- &
    local child=$!
    spawn "$LIMIT" 9 sleep 0.2
    status=0
    wait "$child" || status=$?
    expect "status of a child" "$status" 3
}

@test "fill leaves nothing in the cache, pages counts what cat brought in, and evicts it" {
    random_file file 8M
    uncached file
    cat file >/dev/null
    expect "pages" "$(pages file)" $((8 * MIB / $(getconf PAGESIZE)))
    expect "bytes" "$(pages --bytes file)" $((8 * MIB))
    pages --evict file
    uncached file
    pages --warm file
    expect "bytes" "$(pages --bytes file)" $((8 * MIB))
}

@test "pages --kept counts what the kernel reclaimed, and not what a program dropped" {
    random_file file 8M
    cat file >/dev/null
    kept file $((8 * MIB))
    pages --evict file
    kept file 0
    cat file >/dev/null
    pages --reclaim file
    expect_under "bytes still cached" "$(pages --bytes file)" $MIB
    kept file $((8 * MIB))
    pages --evict file
    kept file 0
}

@test "pages sees the cache on overlayfs, where cachestat does not" {
    on_fs overlay 64M
    random_file "$FS/file" 4M
    cat "$FS/file" >/dev/null
    expect "bytes" "$(pages --bytes "$FS/file")" $((4 * MIB))
}

@test "fill is incompressible and repeatable, and the seed and the offset matter" {
    random_file a 1000003 1
    random_file b 1000003 1
    random_file c 1000003 2
    cmp a b
    run cmp -s a c
    [ "$status" = 1 ]
    expect_over() { [ "$1" -gt "$2" ]; }
    expect_over "$(gzip -1c a | wc -c)" 1000000
    "$TOOLS/fill" --seed=1 --offset=4097 b 5000
    cmp a b
    "$TOOLS/fill" --flip=77 b
    expect "bytes that differ" "$(cmp -l a b | wc -l)" 1
}

@test "journalled waits for data and not for space, sends its signal then, and sees the end" {
    fallocate -l 1M file
    sleep 1000 3>&- &
    local pid=$!
    cleanup_fn kill_quietly "$pid"
    run timeout 0.5 "$TOOLS/journalled" --data file 1 "$pid"
    expect "status" "$status" 124
    head -c 65536 /dev/urandom | dd of=file bs=64K iflag=fullblock conv=notrunc,fsync status=none
    "$TOOLS/journalled" --data file 65536 "$pid" "$(kill -l TERM)"
    status=0
    wait "$pid" || status=$?
    expect "status" "$status" 143
    run "$TOOLS/journalled" --data file 1048577 "$pid"
    expect "status" "$status" 1
}

@test "a plain copy of 40 MiB hits a cgroup's limit of 16 MiB, and one of 4 MiB does not" {
    requires cgroup
    random_file source 40M
    in_cgroup $((16 * MIB)) cp source target
    [ "$(cgroup_figure failcnt)" -gt 0 ]
    [ "$(cgroup_figure peak)" -gt $((15 * MIB)) ]
    pages --evict source
    rm target
    random_file source 4M
    in_cgroup $((16 * MIB)) cp source target
    expect "failcnt" "$(cgroup_figure failcnt)" 0
    [ "$(cgroup_figure peak)" -gt $((4 * MIB)) ]
    run in_cgroup $((16 * MIB)) sh -c 'exit 7'
    expect "status" "$status" 7
    expect "cgroups left" "$(find "$cgroup_home" -maxdepth 1 -name "haul-test.$$.*" | wc -l)" 0
}

# It is asked until it says so. Not by its end: bash closes the pipe of a coprocess that has ended.
hog_reports() { # REGEX
    for _ in {1..2000}; do
        kill -USR1 "$pid"
        read -r line <&"${hog[0]}"
        [[ ! $line =~ $1 ]] || return 0
        nap 0.05
    done
    echo "$line"
    return 1
}

@test "hog notices that its pages were taken" {
    random_file hot 8M
    coproc hog { exec "$TOOLS/hog" hot 1000 3>&-; }
    local line pid=$hog_PID
    cleanup_fn kill_quietly "$pid"
    read -r line <&"${hog[0]}"
    expect "first line" "$line" ready
    kill -USR1 "$pid"
    read -r line <&"${hog[0]}"
    expect "report" "$line" "resident=2048 total=2048 lost=0"
    kill -STOP "$pid"
    # A mapped page is not dropped by fadvise: a hole takes it away.
    fallocate --punch-hole --offset 0 --length 1M hot
    kill -CONT "$pid"
    hog_reports 'lost=[1-9]'
}

@test "hog that reads at random notices it, too, and has to wait for the disk" {
    random_file hot 8M
    coproc hog { exec "$TOOLS/hog" --random hot 1000 3>&-; }
    local line pid=$hog_PID
    cleanup_fn kill_quietly "$pid"
    read -r line <&"${hog[0]}"
    expect "first line" "$line" ready
    kill -USR1 "$pid"
    read -r line <&"${hog[0]}"
    [[ $line =~ ^resident=2048\ total=2048\ least=2048\ reads=[0-9]+\ missed=0\ p50_ns=[0-9]+\ p99_ns=[0-9]+\ queued_permille=[0-9]+$ ]] || { echo "$line"; false; }
    pages --evict hot
    hog_reports 'missed=[1-9]'
}

kill_quietly() {
    kill "$1" 2>/dev/null || true
}

number_of() { # errno of a system call, by number, under deny
    "$TOOLS/deny" "${@:2}" perl -e 'syscall($ARGV[0] + 0, -1, 0, 0, 0, 0, 0); print $! + 0' "$1"
}

@test "deny refuses io_uring, and with --old-kernel what is younger than 3.2" {
    requires perl
    [ "$(uname -m)" = x86_64 ] || skip "the numbers are those of x86-64"
    local call
    expect "io_uring_setup" "$(number_of 425)" 1
    expect "io_uring_setup" "$(number_of 425 --errno=ENOSYS)" 38
    expect "statx" "$(number_of 332)" 14
    for call in 332 327 328 451 326 437 439 436 425; do # statx ... close_range, io_uring_setup
        expect "system call $call" "$(number_of $call --old-kernel)" 38
    done
    expect "newfstatat" "$(number_of 262 --old-kernel)" 14
    "$TOOLS/deny" --old-kernel bash -c 'ls -l / | grep -q tmp && cp "$0" here && cmp "$0" here' "$TOOLS/deny"
}

@test "the FUSE filesystem has the faults that it is asked for, and no other" {
    on_fs fuse 0
    random_file "$FUSE_BACKING/file" 100000
    cp "$FS/file" "$FS/copy"
    cmp "$FUSE_BACKING/file" "$FUSE_BACKING/copy"
    FUSE_FAULTS=(--file=bad --read-eio=70000 --write-enospc=50000 --no-direct --short-reads)
    on_fs fuse 0
    random_file "$FUSE_BACKING/bad" 100000
    random_file "$FUSE_BACKING/good" 100000
    cp "$FS/good" "$FS/other"
    cmp "$FUSE_BACKING/good" "$FUSE_BACKING/other"
    run cat "$FS/bad"
    [ "$status" = 1 ]
    head -c 50000 "$FS/bad" | cmp -n 50000 - "$FUSE_BACKING/bad"
    run dd if="$FS/good" of=/dev/null bs=4096 iflag=direct
    [[ $output == *"Invalid argument"* ]]
    run dd if="$FUSE_BACKING/good" of="$FS/bad" bs=4096
    [[ $output == *"No space left"* ]]
}

@test "a loop device has the sector size of its kind and does not cache its image" {
    on_fs ext4-4k 64M
    expect "sector" "$(blockdev --getss "$LOOP")" 4096
    on_fs ext4 64M
    expect "sector" "$(blockdev --getss "$LOOP")" 512
    random_file "$FS/file" 8M
    sync -f "$FS"
    expect_under "cached bytes of the image" "$(pages --bytes "$FS.img")" $MIB
}

@test "what is unmounted has been written, although another mount namespace had it, too" {
    requires unshare nsenter lsns
    random_file content 1M
    on_fs ext4 64M
    unshare -m sh -c 'touch there && exec sleep 1000' 3>&- &
    cleanup_fn kill $!
    waits_until 10 test -e there
    cp content "$FS/file"
    unmounted "$FS" "$LOOP"
    cp "$FS.img" image
    mount "$LOOP" "$FS"
    debugfs -R "cat /file" image 2>/dev/null | cmp - content
    e2fsck -fn image
}

# --- the runner -------------------------------------------------------------------------------------------------------

# Where bats says nothing of a test, and all that follows is a count that is wrong, scenarios says that it has failed.
@test "scenarios says of a bats file what bats says" {
    requires bats
    # shellcheck disable=SC2016
    printf '%s\n' 'fails() {' '    [ "$1" = 2 ]' '}' 'last_fails() { false; true; }' 'setup() { [ "$BATS_TEST_DESCRIPTION" != "in setup" ]; }' \
        'teardown() { [ -z "${bad:-}" ]; }' >helper.bash
    # shellcheck disable=SC2016
    bodies=(':' 'fails 2; fails 1; fails 2' '[[ 1 = 2 ]]; :' '((0)); :' 'skip' 'skip "for a reason"' 'exit 0' '[ 1 = 2 ] && true; :'
        '[ 1 = 2 ] && true' '(fails 1); true' 'bad=1' 'while read -r x; do fails 1; done < <(echo a); true' ': "${nothing:?}"'
        'no-such-program-anywhere' 'eval if' '! fails 1; if fails 1; then false; fi; fails 1 || last_fails' 'return 3' 'set +e; false'
        'run sh -c "echo a; echo; echo b >&2; exit 3"; [ "$status" = 3 ] && [ "${lines[1]}" = b ] && [ "$output" = "a"$'"'\\n\\nb'"' ]'
        'f() { false; echo on; }; run f; [ "$output" = on ]; run fails 1; [ "$status" = 1 ]; fails 1; :' '[ -d "$BATS_FILE_TMPDIR" ]'
        '[ "${left:-0}" = 0 ]; left=1' '[ "${left:-0}" = 0 ]; echo "# seen" >&3' 'x=$(exit 4); true' 'local x=$(exit 4); true')
    { echo 'load helper'; for body in "${bodies[@]}"; do printf '@test "%s" {\n    %s\n}\n' "${body//[^a-z ]/}" "$body"; done
        printf '@test "in setup" { true; }\n'; } >a.bats
    bats --tap a.bats | grep -E '^(ok|not ok|1\.\.|# seen)' >bats.out || true
    code=0
    "$HAUL_ROOT/tests/lib/scenarios" a.bats >all.out || code=$?
    expect "exit code" $code 1
    grep -E '^(ok|not ok|1\.\.|# seen)' all.out >scenarios.out
    diff bats.out scenarios.out
    expect "tests" "$(grep -c ok bats.out)" $((${#bodies[@]} + 1))
    expect "failed" "$(grep -c '^not ok' bats.out)" 16
    grep -A 3 '^not ok 2 ' all.out | grep -qF '# fails, helper.bash line 2: [ "$1" = 2 ]'
    grep -A 3 '^not ok 2 ' all.out | grep -qF '# the test, a.bats line 6: fails 2; fails 1; fails 2'
    printf '%s\n' '@test "killed" {' '    kill -9 "$BASHPID"' '}' '@test "replaced" {' '    exec true' '}' '@test "fine" { :; }' >b.bats
    "$HAUL_ROOT/tests/lib/scenarios" b.bats >out 2>err || code=$?
    expect "what it says" "$(grep -v '^#' out)" $'1..3\nnot ok 1 killed\nnot ok 2 replaced\nok 3 fine'
    "$HAUL_ROOT/tests/lib/scenarios" -f fine b.bats >out
    expect "what it says of those of a name" "$(cat out)" $'1..1\nok 1 fine'
    for line in 'setup_file() { :; }' '@test missing quotes {' '# bats test_tags=a' 'load nothing' ''; do
        printf '%s\n' "$line" >c.bats
        [ -z "$line" ] || printf '@test "a" { :; }\n' >>c.bats
        not "$HAUL_ROOT/tests/lib/scenarios" c.bats >out 2>err
        not grep '^ok' out
    done
}

# A tree with the runner and one bats file of a test that does BODY; `check_tree NAME &` runs it.
tree_make() { # NAME BODY [LINE]
    mkdir -p "$1/tests/lib" "$1/tests/check" "$1/tests/cli" "$1/build"
    cp "$HAUL_ROOT"/tests/lib/{check,scenarios} "$1/tests/lib/"
    printf '#!/bin/sh\necho nothing to see\n' >"$1/tests/check/none"
    chmod +x "$1/tests/check/none"
    printf '%s\n' "${3:-# Beside others.}" 'teardown() { umount mnt || :; }' '@test "one" {' "cd '$PWD/$1'" "$2" '}' >"$1/tests/cli/one.bats"
}

check_tree() { # NAME
    HAUL_CHECK_LOCKS=$PWD JOBS=2 ONLY='none|bats' exec "$1/tests/lib/check" "$1/build" >"$1/out" 2>&1
}

@test "TERM to a check ends all that it started, wherever that went, and the tests undo what they have mounted" {
    requires root ssh-keygen
    [ -x /usr/sbin/sshd ] || skip "needs /usr/sbin/sshd"
    # shellcheck disable=SC2016
    tree_make tree '
        mkdir mnt && mount -t tmpfs haul-test mnt
        setsid sleep 1000 3>&- & echo $! >pids
        timeout 1000 sleep 1000 3>&- & echo $! >>pids
        bash "'"$HAUL_ROOT"'/tests/lib/sshd.bash" start "$PWD/ssh" 3>&- && cat ssh/pid >>pids
        touch begun && sleep 1000'
    check_tree tree 3>&- &
    local check=$! pid code=0
    cleanup_fn umount -q "$PWD/tree/mnt"
    waits_until 60 test -e tree/begun
    kill -TERM $check
    wait $check || code=$?
    expect "exit code" "$code" 143
    ! mountpoint -q tree/mnt || return 1
    while read -r pid; do
        ps -o stat=,args= -p "$pid" | grep -v '^Z' && return 1 # a zombie may never be reaped in a container
    done <tree/pids
    return 0
}

@test "a file that changes the whole machine never runs beside a file of another check" {
    tree_make a 'echo begin >>../log; sleep 0.5; echo end >>../log'
    tree_make b 'echo begin >>../log; sleep 0.5; echo end >>../log'
    tree_make c 'echo alone >>../log; sleep 0.2; echo over >>../log' "# Alone: in truth it changes nothing."
    local pids=()
    for tree in a c b; do
        check_tree $tree 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    expect "lines" "$(grep -c . log)" 6
    # What is alone is over before anything else begins, and nothing else goes on meanwhile.
    awk '/begin/ { open++ } /end/ { open-- } /alone/ { alone = 1; if (open) exit 1 } /over/ { alone = 0 } alone && /begin|end/ { exit 1 }' log
}
