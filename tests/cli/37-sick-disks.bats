#!/usr/bin/env bats
# Goal: a source that cannot be read everywhere is read around the bad places. --read-errors=stop keeps what is good and goes on
# from there; skip copies all the rest, names the ranges, ends with 23, and leaves exactly them to the next run.
load ../lib/common
load ../lib/resume

# $disk is a file of SIZE bytes on a disk whose bad places are in the file `bad`; its true bytes are `good`. The far side is
# this machine, without ssh.
sick() { # SIZE
    requires root fuse
    : >bad
    FUSE_FAULTS=(--file=disk --bad="$SCRATCH/bad")
    on_fs fuse 0
    random_file "$FUSE_BACKING/disk" "$1"
    disk=$FS/disk good=$FUSE_BACKING/disk
    far_is_here
}

# From here on these cannot be read: OFFSET LENGTH pairs.
bad() {
    printf '%s %s\n' "$@" >bad
    rm -f bad.tried
}

mended() { : >bad; }

# What was told of them, in order, as OFFSET LENGTH pairs: a range that ends with its chunk and goes on in the next may be told in
# two parts.
left_out() {
    jq -r 'select(.event == "unreadable") | "\(.offset) \(.length)"' out | sort -n | awk '
        NR > 1 && $1 == end { end += $2; next } NR > 1 { print start, end - start } { start = $1; end = $1 + $2 } END { if (NR) print start, end - start }' |
        tr '\n' ' '
}

# TARGET is the source but for these ranges, which are as in OLD; /dev/zero: zeros.
expect_rest() { # OLD TARGET OFFSET LENGTH...
    local old=$1 target=$2
    shift 2
    cp "$good" expected
    while [ $# -gt 0 ]; do
        dd if="$old" of=expected iflag=skip_bytes,count_bytes oflag=seek_bytes skip="$1" seek="$1" count="$2" conv=notrunc status=none
        shift 2
    done
    same expected "$target"
}

# No byte was asked for more than N times.
expect_spared() { # N
    expect "the most reads that failed at one byte" "$(awk -v most="$1" '
        { for (block = int($1 / 4096); block * 4096 < $1 + $2; block++) if (++times[block] > most) bad = block } END { print bad + 0 }' bad.tried)" 0 || { sort -n bad.tried; false; }
}

@test "stop: an error that names the place, what is good stays, and the same command goes on from there" {
    local policy
    sick 6M
    for policy in direct window plain; do
        bad 5242881 1
        rm -f target
        copy --cache=$policy --chunk-size=64K --memory=1M "$disk" target
        expect_status 11
        expect_words 'disk: bytes 5242880 to 5246975 cannot be read.*--read-errors=skip.*input/output error'
        [ $policy != direct ] || expect_spared 3 # else the kernel tries pages by itself
        journal_true .target.haul "$good" target
        [ "$journalled_bytes" -ge $((4 * MIB)) ] # all but what was under way
        mended
        copied --cache=$policy "$disk" target
        same "$good" target
        expect_under "bytes copied" "$(receipt .bytes_copied)" $((6 * MIB - journalled_bytes + 1))
    done
}

@test "skip, here, pushed and pulled: ranges in words and JSON, 23, the rest is copied, old bytes stay; mended, exactly the ranges follow" {
    local way engine=uring
    local ranges=(0 4096 1196032 4096 2998272 12288 5238784 8192 6295552 1448)
    sick $((6 * MIB + 5544))
    for way in here push pull; do
        case $way in
        here) words=("$disk" target) ;;
        push) words=("${far[@]}" "$disk" "far:$SCRATCH/target") ;;
        pull) words=("${far[@]}" "far:$disk" target) engine=threads ;;
        esac
        for old in /dev/zero other; do
            bad 0 1 1200000 100 3000000 9000 $((5 * MIB - 1)) 2 6296999 1
            rm -f target .target.haul
            [ $old = /dev/zero ] || random_file target $((6 * MIB + 5544)) 2
            [ $old = /dev/zero ] || cp target other
            touch -d 2001-01-01 "$good"
            copy --engine=$engine --read-errors=skip "${words[@]}"
            expect_status 23
            expect_words 'disk: bytes 2998272 to 3010559 cannot be read, and are left out'
            expect_words 'disk: 30120 bytes could not be read'
            expect "the ranges" "$(left_out)" "${ranges[*]} "
            expect_receipt .bytes_unreadable 30120
            expect_receipt .bytes_copied $((6 * MIB + 5544 - 30120))
            expect_receipt .durable false
            expect_spared 3
            expect_rest $old target "${ranges[@]}"
            [ -e .target.haul ]
            # However little is looked at, it is not finished; nor is it by another try.
            copy --read-errors=skip --size-only "${words[@]}"
            expect_status 23
            expect_rest $old target "${ranges[@]}"
            mended
            copied --read-errors=skip "${words[@]}"
            expect_receipt .bytes_copied 30120
            same "$good" target
            [ ! -e .target.haul ]
        done
    done
}

@test "skip from a device, whatever it says of its bad sectors; each byte is tried a few times, and less where all is bad" {
    sick 24M
    requires loop
    losetup=$(losetup --find --show --direct-io=on "$disk")
    cleanup_fn loop_detach "$losetup"
    disk=$losetup
    bad 1000000 1 $((9 * MIB)) $((12 * MIB))
    copy --read-errors=skip --chunk-size=64K --memory=1M "$disk" target
    expect_status 23
    expect "the ranges" "$(left_out)" "999424 4096 $((9 * MIB)) $((12 * MIB)) "
    expect_rest /dev/zero target 999424 4096 $((9 * MIB)) $((12 * MIB))
    expect_under "blocks that were tried alone" "$(awk '$2 <= 4096' bad.tried | wc -l)" $((12 * 256 / 2))
    expect_spared 4
    mended
    copied --read-errors=skip "$disk" target
    expect_receipt .bytes_copied $((12 * MIB + 4096))
    same "$good" target
    # What the kernel calls a bad sector where it is asked directly, a wrong checksum, a sick target: no data, EILSEQ, EREMOTEIO.
    for errnum in 61 84 121; do
        printf '1000000 1 %s\n' $errnum >bad
        rm target
        copy --read-errors=skip "$FS/disk" target
        expect_status 23
        expect "the range" "$(left_out)" "999424 4096 "
    done
    copy verify --read-errors=skip "$disk" target
    expect_status 1
}

@test "skip in a tree, with lanes, far to far, sparse files, a small file; what is bad in one file is no matter of others" {
    sick 40M
    bad 33000000 1
    copy "${far[@]}" -j3 --read-errors=skip "far:$disk" target
    expect_status 23
    expect "the range" "$(left_out)" "32997376 4096 "
    expect_rest /dev/zero target 32997376 4096
    rm target
    bad 33000000 1
    copy "${far[@]}" --read-errors=skip "far:$disk" "far:$SCRATCH/target"
    expect_status 23
    expect_rest /dev/zero target 32997376 4096
    mended
    copied "${far[@]}" --read-errors=skip "far:$disk" "far:$SCRATCH/target"
    expect_receipt .bytes_copied $MIB # nobody compares blocks there
    same "$good" target
    fallocate -p -o 4M -l 20M "$good"
    random_file "$FS/a" 100K
    random_file "$FS/b" 3M
    mkdir "$FS/small"
    random_file "$FS/small/disk" 30000 # of the same name: bad, too
    bad 8192 1 33000000 1
    copy -r --read-errors=skip "$FS/" tree
    expect_status 23
    same "$FS/a" tree/a
    same "$FS/b" tree/b
    expect_rest /dev/zero tree/disk 8192 4096 32997376 4096
    expect_under "blocks of it" "$(stat -c %b tree/disk)" $((21 * 2048))
    good=$FUSE_BACKING/small/disk
    expect_rest /dev/zero tree/small/disk 8192 4096
    mended
    copy -r --read-errors=skip "$FS/" tree
    expect_status 0
    diff -r "$FS" tree
}

@test "skip in a unit of a plan: no receipt while something is left out, and the end names it; mended, exactly that follows" {
    sick 2M
    bad 1200000 1
    haul plan -q --read-errors=skip --unit-size=1M "$disk" target >plan
    copied run plan --unit=1
    copy run plan --unit=2
    expect_status 23
    expect "left out" "$(left_out)" "1196032 4096 "
    [ -e plan.1.receipt ]
    [ ! -e plan.2.receipt ]
    copy finish plan
    expect_status 23
    expect_words '1 of 2 units is not done: 2;'
    mended
    copied run plan --unit=2
    expect_receipt .bytes_copied 4096
    copied finish plan
    same "$good" target
    expect "left beside" "$(find . -name '.*haul*')" ""
}

@test "a range that begins anywhere in a block, of a filesystem's file: of what is read around it no page stays, and all of others" {
    local range=5000,$((2 * MIB)) file block mode
    sick 32M
    requires loop mkfs.ext4 filefrag
    losetup=$(losetup --find --show --direct-io=on "$disk")
    cleanup_fn loop_detach "$losetup"
    mkfs.ext4 -q -F -E nodiscard -b 4096 "$losetup"
    mkdir mounted
    mount "$losetup" mounted
    cleanup_fn unmount "$SCRATCH/mounted"
    file=$SCRATCH/mounted/file good=$SCRATCH/good
    random_file "$file" 4M
    cp --reflink=never "$file" good
    sync -f "$file"
    pages --evict "$file"
    block=$(filefrag -v -b4096 "$file" | awk '$1 == "0:" { gsub("[.:]", " "); print $4 + 10; exit }')
    for mode in skip stop; do
        rm -f target .target.haul*
        bad $((block * 4096)) 1
        copy --cache=direct --read-errors=$mode --range=$range "$file" target
        [ "$status" != 0 ]
        uncached "$file"
        dd if="$file" of=other bs=4096 skip=5 count=1 status=none
        expect "pages of another" "$(pages "$file")" 1
        rm -f target .target.haul*
        copy --cache=direct --read-errors=$mode --range=$range "$file" target
        [ "$status" != 0 ]
        expect "pages behind it" "$(pages "$file")" 1
        pages --evict "$file"
    done
    copy --cache=direct --read-errors=skip --range=$range "$file" target
    expect_status 23
    expect "the range" "$(left_out)" "37768 8192 "
    expect_receipt .source.policy direct
    expect_receipt .source.resident_after_bytes 0
    mended
    copied --cache=direct --range=$range "$file" target
    cmp -i 5000 -n $((2 * MIB)) good target
    uncached "$file"
}

# Where statx does not tell of direct I/O it is tried: by a block of the chunk, which must not be one that could not be read.
@test "skip to a target whose direct I/O is tried: old bytes stay all the same" {
    local ranges=(4096 921600 1052672 921600 2101248 921600 3149824 921600)
    sick 4M
    random_file "$FS/target" 4M 2
    cp "$FS/target" other
    pages --evict "$FS/target"
    touch -d 2001-01-01 "$good"
    bad "${ranges[@]}"
    copy --cache=direct --read-errors=skip "$disk" "$FS/target"
    expect_status 23
    expect_receipt .target.policy direct
    expect "the ranges" "$(left_out)" "${ranges[*]} "
    expect_rest other "$FS/target" "${ranges[@]}"
}
