#!/usr/bin/env bats
# Goal: many small files go as a whole and share their syncs; each is what it was, durable when it is reported, and nothing
# of it stays in the page cache. What is unusual about one of them goes the ordinary way, beside the others.
load ../lib/common
load ../lib/resume

MANY=120

setup() {
    scratch_open
    mkdir many made
    far_is_here
    local i files=()
    for ((i = 0; i < MANY; i++)); do
        files+=("many/f$i" $((i * i * 17 % 150000)))
    done
    random_files 0 "${files[@]}"
    touch -d '2020-02-02 02:02:02.123456789' many/*
    chmod 640 many/f1
    sync -f many
    cold many/*
    case $(stat -f -c %T .) in ext2/ext3 | xfs | btrfs) ;; *) skip "small files go as a whole on ext4, xfs and btrfs" ;; esac
}

cold() {
    "$TOOLS/pages" --evict "$@" >/dev/null
}

are_equal() {
    diff -r --exclude=lost+found many "$1"
    expect "times, modes and owners" "$(cd "$1" && stat -c '%n %y %a %U %G' f*)" "$(cd many && stat -c '%n %y %a %U %G' f*)"
    [ -z "$(find "$1" -name '.*.haul')" ]
    cold many/* # what was read here: of what the kernel takes a part of goes another way
}

# Files whose target's account says: as a whole.
batched() {
    grep -c '"event":"file".*"target":{[^}]*"policy":"batch"' "$SCRATCH/out"
}

# Where a sync of many took seconds, for whatever others write, the files behind it go each by itself: so that it is the files
# that decide and not the disk, from here on no sync waits for it. What is called is in ./trace.
without_disk() {
    under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -e trace=syncfs,fsync,fdatasync,sync_file_range
        -e inject=syncfs,sync_file_range:retval=0 -o "$SCRATCH/trace")
}

@test "one sync of many that takes long was not the last: the files behind it go as a whole, too" {
    local i
    requires root loop
    mkdir tiny memory # a disk in memory: no other sync may take long
    mount -t tmpfs -o size=96M haul-test memory
    cleanup_fn unmount "$SCRATCH/memory"
    truncate -s 64M memory/disk
    mkfs.ext4 -q -F memory/disk
    mount -o loop memory/disk made
    cleanup_fn unmount "$SCRATCH/made"
    for ((i = 0; i < 600; i++)); do echo "$i" >"tiny/$i"; done
    under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -e trace=syncfs -e inject=syncfs:delay_exit=5500000:when=1 -o "$SCRATCH/trace")
    copied -v --engine=sync tiny/* made # one thread, as strace counts each one's calls
    [ "$(grep -c syncfs trace)" -gt 1 ]
    grep -q DELAYED trace
    [ "$(grep -c "each by itself" err)" = 0 ]
    expect "as a whole" "$(batched)" 600
}

@test "all arrive, with few syncs, nothing of them stays cached, and once more there is nothing to do" {
    copy many/* made
    expect_status 0
    are_equal made
    expect_receipt .durable true
    expect_receipt .source.resident_after_bytes 0
    expect_receipt .target.resident_after_bytes 0
    copy many/* made
    expect_status 0
    expect_receipt .bytes_copied 0
    rm made/*
    without_disk
    copied many/* made
    are_equal made
    expect "as a whole" "$(batched)" "$MANY"
    [ "$(grep -c 'syncfs(\|fsync(\|fdatasync(' "$SCRATCH/trace")" -le $((MANY / 4)) ]
}

# Linux 6.16 writes a new file back, and drops it, by itself (RWF_DONTCACHE), where the file system takes that. Where a filter of
# system calls or an older kernel does not, whatever it says, all is done as ever, and few are asked.
@test "what the kernel does not write and drop by itself is written and dropped, and nothing stays cached" {
    local refused
    requires strace
    for refused in EOPNOTSUPP ENOSYS EPERM EINVAL; do
        rm -f made/*
        under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -e trace=pwritev2 -e inject=pwritev2:error=$refused -o "$SCRATCH/trace")
        copied many/* made
        are_equal made
        expect_receipt .target.resident_after_bytes 0
        expect "as a whole" "$(batched)" "$MANY"
        [ "$(grep -c 'pwritev2(' "$SCRATCH/trace")" -le 16 ] # a thread each, before one of them knows
    done
}

# A part of it is written, or there is no room: said as ever.
@test "a file that cannot be written is named, whoever was to drop it" {
    requires strace
    under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -e trace=pwritev2,pwrite64 -e inject=pwritev2,pwrite64:error=ENOSPC -o "$SCRATCH/trace")
    copy --engine=threads many/f1 many/f2 made
    expect_status 23
    expect_words 'made/f1: make room and run it again to go on: No space left'
    [ ! -e made/f1 ]
    [ ! -e made/f2 ]
    unset under
    copied many/* made
    are_equal made
}

@test "a journal is looked for beside each of them, but not where the folder was empty" {
    without_disk
    under=("${under[@]/trace=syncfs/trace=file,syncfs}")
    copied many/* made
    [ "$(grep -c '\.haul"' "$SCRATCH/trace")" -lt $((MANY / 2)) ]
    rm made/*
    echo >made/other
    copied many/* made
    [ "$(grep -c '\.haul"' "$SCRATCH/trace")" -ge "$MANY" ]
    rm made/other
    are_equal made
}

@test "what is unusual about some goes the ordinary way, and arrives as well" {
    random_file many/large $((300 * 1024)) 7
    truncate -s 200000 many/hole
    : >many/empty
    cp many/f5 made/f5 # is there, and has another time
    head -c 1000 many/f50 >made/f50
    without_disk
    copied many/* made
    diff -r many made
    [ "$(batched)" -ge $((MANY - 3)) ]
    [ "$(batched)" -lt $((MANY + 3)) ]
    rm made/*
    copy --cache=window many/f1 many/f2 many/f3 made
    expect_status 0
    [ "$(batched)" = 0 ]
}

# As the ordinary way has it: in place, only what differs, and what is cached, which some may still be, goes that way.
@test "over older files they go as a whole, too, in place, and share their syncs" {
    local i
    cp -p many/* made
    chmod 600 made/f7
    for ((i = 0; i < MANY; i++)); do
        case $((i % 4)) in
        0) printf 'longer' >>many/f$i ;;
        1) [ ! -s many/f$i ] || printf 'X' | dd of=many/f$i conv=notrunc bs=1 seek=$(($(stat -c %s many/f$i) / 2)) status=none ;;
        2) truncate -s $(($(stat -c %s many/f$i) / 2)) many/f$i ;;
        esac
    done
    touch -d '2021-02-02 02:02:02.123456789' many/*
    stat -c %i made/* >inodes
    cp -a made pushed
    sync -f made
    cold many/* made/* pushed/*
    without_disk
    copied many/* made
    are_equal made
    expect "as a whole" "$(batched)" "$MANY"
    [ "$(grep -c 'syncfs(\|fsync(\|fdatasync(' "$SCRATCH/trace")" -le $((MANY / 4)) ]
    expect "the files" "$(stat -c %i made/*)" "$(cat inodes)"
    [ "$(receipt .bytes_kept)" -gt "$(cat many/f*[37] | wc -c)" ]
    copied "${far[@]}" many/* "h:$SCRATCH/pushed"
    are_equal pushed
    expect "as a whole" "$(batched)" "$MANY"
}

@test "an older file that was killed half written is not taken for done by its size" {
    local i files=()
    for ((i = 0; i < MANY; i++)); do files+=(made/f$i 150000); done
    random_files 1000 "${files[@]}"
    sync -f made
    cold made/*
    under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o "$SCRATCH/trace"
        -e trace=ftruncate,pwrite64,pwritev2,io_uring_enter -e inject=pwrite64:signal=KILL)
    copy --engine=threads --size-only many/* made
    expect_status 137
    unset under
    copied --size-only many/* made
    diff -r many made # an empty one has all of its content as soon as it has its size
}

@test "nor by its size or age, where the run that was killed did not go by these" {
    local i wish files=() names=()
    for ((i = 1; i < 9; i++)); do files+=(made/f$i 150000) names+=(many/f$i); done
    random_files 2000 "${files[@]}"
    for ((i = 1; i < 9; i++)); do files[2 * i - 2]=many/f$i; done
    random_files 3000 "${files[@]}"
    touch -d 2020-01-01 many/f?
    cp -r made older
    for wish in --size-only --update --ignore-existing; do
        cp older/* made
        touch -d 2019-01-01 made/*
        sync -f made
        cold made/*
        under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o "$SCRATCH/trace"
            -e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=3)
        copy --engine=threads "${names[@]}" made
        expect_status 137
        unset under
        for i in made/*; do # what nobody has begun stays
            cmp -s "$i" "older/${i#*/}" && rm "$i"
        done
        [ -n "$(ls made)" ]
        copied "$wish" "${names[@]}" made
        for i in made/*; do cmp "$i" "many/${i#*/}"; done
    done
}

@test "what is left out is left out of small files, too, here and there" {
    local where wish
    for where in made "h:$SCRATCH/made"; do
        for wish in --exclude='f?' --max-size=4K --existing; do
            rm -f made/*
            cp -p many/f50 made/f50
            copy "${far[@]}" "$wish" many/f[1-9] many/f50 "$where"
            expect_status 0
            case $wish in
            --max-size=*) find many -name 'f[1-9]' -size -4097c -printf '%f\n' | sort >expected ;;
            *) : >expected ;;
            esac
            expect "$wish, $where" "$(cd made && echo *)" "$(echo $(sort expected <(echo f50)))"
        done
    done
}

@test "under --bwlimit they have their turns, and none begins any more after a signal: here, pushed and pulled" {
    local way from to there names begun_us milliseconds bytes
    for way in here push pull; do
        from='' to=made there=()
        [ "$way" = here ] || there=("${far[@]}" -j1)
        [ "$way" != push ] || to=h:$SCRATCH/made
        [ "$way" != pull ] || from=h:$SCRATCH/
        names=(many/f*)
        rm -rf made && mkdir made
        begun_us=${EPOCHREALTIME/[.,]/}
        begin --bwlimit=64K "${there[@]}" "${names[@]/#/$from}" "$to" # over a minute for all of them
        waits_until "$PATIENCE" has_files
        kill -TERM "$running"
        finished
        expect_status 20
        [ "$(find made -name 'f*' | wc -l)" -lt "$MANY" ] || { echo "$way: all of them"; return 1; }
        milliseconds=$(((${EPOCHREALTIME/[.,]/} - begun_us) / 1000))
        bytes=$(find made -name 'f*' -printf '%s+')0
        expect_under "$way: bytes in $milliseconds ms" $((bytes)) $((64 * (milliseconds + 100) * 1024 / 1000 + 2 * 150000))
    done
}

has_files() {
    [ -n "$(ls made)" ]
}

@test "pushed and pulled they go as a whole, too" {
    without_disk
    copy "${far[@]}" many/* "h:$SCRATCH/made"
    expect_status 0
    are_equal made
    expect "as a whole" "$(batched)" "$MANY"
    mkdir back
    local i names=()
    for i in many/*; do names+=("h:$SCRATCH/$i"); done
    copy "${far[@]}" "${names[@]}" back
    expect_status 0
    are_equal back
    expect "as a whole" "$(batched)" "$MANY"
    mkdir matched # one operand, of which only the other side knows that it stands for many
    copy "${far[@]}" "h:$SCRATCH/many/*" matched
    expect_status 0
    are_equal matched
    expect "as a whole" "$(batched)" "$MANY"
}

# A time that is set behind the write-back of the data is behind them on the disk, too, by the journal's commit. Where there is
# no journal, a file could have the time of a finished one without its data.
@test "no time before its data: a sync comes first where no journal keeps the order" {
    local kind
    for kind in ext4 ext4-plain; do
        on_fs $kind 64M
        strace -f -qq -e trace=syncfs,utimensat -o "$SCRATCH/trace" "$HAUL" -q many/f? "$FS"
        grep -o 'syncfs\|utimensat' "$SCRATCH/trace" | uniq >"$SCRATCH/order.$kind"
        cmp "$FS/f7" many/f7
    done
    expect "with a journal" "$(head -n 1 "$SCRATCH/order.ext4")" utimensat
    expect "without one" "$(head -n 1 "$SCRATCH/order.ext4-plain")" syncfs
    expect "at the end" "$(tail -q -n 1 "$SCRATCH"/order.* | uniq)" syncfs
}

# Each thread's first syncfs fails, and its fifth fsync behind that.
lost_are_named() { # SOURCES
    local path
    strace -f -qq -e inject=syncfs:error=EIO:when=1 -e inject=fsync:error=EIO:when=5 -o /dev/null \
        "$HAUL" --json "$@" made >"$SCRATCH/out" 2>"$SCRATCH/err" && return 1
    grep '"event":"file".*"durable":false' "$SCRATCH/out" | sed 's/.*"target":{"path":"\([^"]*\)".*/\1/' >lost
    [ -s lost ]
    [ "$(wc -l <lost)" -lt $((MANY / 5)) ]
    while read -r path; do
        grep -q "^haul: $path: sync to the disk" "$SCRATCH/err"
        [ "$(stat -c %y "$path")" != "$(stat -c %y "many/${path##*/}")" ] # it does not look finished
        rm "$path"
        cp -p "many/${path##*/}" "$path"
    done <lost
    are_equal made
}

@test "files whose sync is lost are named, and no others" { lost_are_named many/*; }
@test "files of a tree whose sync is lost are named, and no others" { lost_are_named -rpt many/; }

# What the client could hold open, not what the other machine could, used to decide: "Too many open files" there for most of
# them, and 23.
# Whoever writes is stopped behind the wait for the data, before it looks at the file again.
renamed_meanwhile() { # HAUL-ARGUMENT...
    local pid
    rm -rf made trace && mkdir made
    status=0
    env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o trace -e trace=sync_file_range,pwritev2 -e inject=pwritev2:error=EOPNOTSUPP \
        -e inject=sync_file_range:signal=STOP:when=2 \
        "$HAUL" -q --engine=sync -r many/ "$@" 2>err 3>&- &
    waits_until 60 grep -qs 'stopped by SIGSTOP' trace
    mv made/one made/other
    pid=$(awk '/stopped by SIGSTOP/ {print $1; exit}' trace)
    kill -CONT "$pid"
    wait $! || status=$?
}

@test "one that is renamed before it is durable is no copy" {
    local tries
    requires strace
    rm -rf many && mkdir many
    random_file many/one 5000
    renamed_meanwhile made/
    expect_status 23
    grep -q 'made/one: was removed or replaced while it was written' err || { cat err; return 1; }
    # What was sent ahead of its folder is tried again. A machine with much to do may have the folder first.
    for tries in {1..8}; do
        renamed_meanwhile "${far[@]}" "far:$PWD/made/"
        [ "$status" != 0 ] || break
        expect_status 23
        grep -q 'made/one: was removed or replaced while it was written' err || { cat err; return 1; }
    done
    expect_status 0
    same many/one made/one
}

@test "few descriptors, here or there: slower, and all of them" {
    local i limit where way files=() under=()
    mkdir -p source/sub
    for ((i = 0; i < 60; i++)); do files+=("source/sub/$i" $((i * 50))); done
    for ((i = 0; i < 8; i++)); do files+=("source/large$i" $((300000 + i))); done
    random_files 0 "${files[@]}"
    for limit in 32 100; do
        printf '#!/bin/sh\nshift\nexec prlimit --nofile=%s sh -c "exec $*"\n' $limit >there
        chmod 755 there
        for way in "source/ h:$SCRATCH/target" "g:$SCRATCH/source/ h:$SCRATCH/target"; do
            rm -rf target
            # shellcheck disable=SC2086
            copied -a -e "$SCRATCH/there" --remote-path="$HAUL" --retries=0 $way
            diff -r source target
        done
        rm -rf target
        under=(prlimit --nofile=$limit)
        copied -a source/ target
        diff -r source target
        under=()
    done
}
