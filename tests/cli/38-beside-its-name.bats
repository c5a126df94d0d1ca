#!/usr/bin/env bats
# Goal: with --no-inplace whoever opens the target has all of the old file or all of the new one, whenever the copy is
# killed, and hard links to the old one keep it; an interrupted copy is gone on with, and nothing is left in the end.
# ASIDE_KILLS: how many (default 12), SEED: other moments.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    far_is_here
}

nothing_but() { # NAMES, sorted
    expect "what is there" "$(ls -A folder | tr '\n' ' ')" "$* "
}

@test "two hard-linked generations stay two: here, push, pull, in trees; permissions and owner stay" {
    local way source=$SCRATCH/new target=$SCRATCH/folder/file
    random_file new 5M
    random_file old 3M 2
    chmod 0611 new
    for way in "new folder/file" "${far[*]} new far:$target" "${far[*]} far:$source folder/file" "--restrict"; do
        rm -rf folder
        mkdir folder
        cp old folder/file
        chmod 0640 folder/file
        [ "$(id -u)" != 0 ] || chown 1234:2345 folder/file
        ln folder/file folder/generation
        if [ "$way" = --restrict ]; then
            printf '#!/bin/sh\nexec %s --server --restrict=%s/folder\n' "$HAUL" "$SCRATCH" >jail
            chmod 755 jail
            way="-e $SCRATCH/jail new far:file"
        fi
        pages --evict new >/dev/null
        # shellcheck disable=SC2086
        copied --no-inplace --no-p --no-o --no-g $way
        uncached new folder/file
        same new folder/file
        same old folder/generation
        nothing_but file generation
        expect "mode and owner" "$(stat -c '%a %u %g' folder/file)" "$(stat -c '%a %u %g' folder/generation)"
        # shellcheck disable=SC2086
        copied --no-inplace $way
        expect_receipt .up_to_date true
    done
    mkdir -p tree/sub other/sub
    cp new tree/sub/file
    cp old other/sub/file
    ln other/sub/file generation
    random_file tree/small 3K
    for way in other "far:$SCRATCH/other"; do
        copied "${far[@]}" -a --no-inplace tree/ "$way"
        diff -r tree other
        same old generation
        cp -p old other/sub/file
        ln -f other/sub/file generation
        rm other/small
    done
}

@test "--no-perms: of a file of a tree that has other names the new one has the old one's permissions, too" {
    local way size
    for size in 3K 5M; do
        for way in "tree/ other" "${far[*]} tree/ far:$SCRATCH/other" "${far[*]} far:$SCRATCH/tree/ other"; do
            rm -rf tree other
            mkdir tree other
            random_file tree/file $size 1
            random_file other/file 4K 2
            ln other/file other/name
            cp other/file old
            chmod 0711 tree/file
            chmod 0664 other/file
            # shellcheck disable=SC2086
            copied -a --no-perms $way
            same tree/file other/file
            same old other/name
            expect "permissions" "$(stat -c '%a' other/file other/name | tr '\n' ' ')" "664 664 "
        done
    done
}

# What an older one gives comes before all of the new one's own: a change of the owner takes capabilities away, and one of the
# mode is one of the list.
@test "capabilities and access control lists come with what is written beside an older one" {
    local way list size
    requires root setfattr setfacl
    for size in 3K 5M; do
        random_file new $size
        chmod 0640 new
        setfacl -m u:4242:rwx,m::rx new
        list=$(getfacl -cn new)
        setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 new
        for way in "new folder/file" "${far[*]} new far:$SCRATCH/folder/file" "${far[*]} far:$SCRATCH/new folder/file"; do
            rm -rf folder
            mkdir folder
            random_file folder/file 4K 2
            chmod 0604 folder/file
            chown 1234 folder/file
            # shellcheck disable=SC2086
            copied -a -A -X --no-perms --no-owner --no-inplace $way
            same new folder/file
            expect "owner" "$(stat -c %u folder/file)" 1234
            expect "list" "$(getfacl -cn folder/file)" "$list"
            getfattr -e hex -n security.capability folder/file | grep -qi =0x0100000200200000000000000000000000000000
        done
    done
}

# Every source that is tried is either of two; so is what a reader finds, all the time.
@test "a reader of the name finds old or new, at kills at any moment" {
    local number drawn began took reader source
    RANDOM=${SEED:-1}
    mkdir folder
    random_file a 8M 1
    random_file b 7M 2
    cp a folder/file
    began=${EPOCHREALTIME/[.,]/}
    copied --no-inplace b folder/file
    took=$((${EPOCHREALTIME/[.,]/} - began))
    whole=$(sha256sum a b | cut -c 1-64)
    (
        while [ ! -e stop ]; do
            sum=$(sha256sum <folder/file)
            [[ $whole == *${sum:0:64}* ]] || echo "${sum:0:64}" >>neither
            : >looked
        done
    ) 3>&- &
    reader=$!
    cleanup_fn end_quietly "$reader"
    for ((number = 0; number < ${ASIDE_KILLS:-12}; number++)); do
        source=a
        [ $((RANDOM % 2)) = 0 ] || source=b
        drawn=$(((RANDOM * 32768 + RANDOM) % (took + took / 2)))
        begin --no-inplace --sync-every=1M -I $source folder/file
        sleep "$(printf '%d.%06d' $((drawn / 1000000)) $((drawn % 1000000)))"
        kill -KILL "$running" 2>/dev/null || true
        finished 2>/dev/null
        [ "$status" = 137 ] || expect_status 0
        cmp -s folder/file a || same folder/file b
        [ "$(ls -A folder | grep -vcxE 'file|\.file\.haul-new|\.\.file\.haul-new\.haul')" = 0 ]
    done
    copied --no-inplace -I a folder/file
    same a folder/file
    nothing_but file
    waits_until 10 test -e looked
    : >stop
    wait "$reader"
    [ ! -e neither ] || { cat neither; return 1; }
}

@test "it goes on where it was killed, and what an unfinished copy in place has left goes" {
    mkdir folder
    random_file new 16M
    random_file folder/file 16M 2
    cp folder/file old
    : >folder/.file.haul # of a copy in place
    begin --no-inplace --sync-every=1M --bwlimit=8M new folder/file
    JOURNAL=folder/..file.haul-new.haul
    wait_for_journal $((2 * MIB)) KILL
    finished 2>/dev/null
    expect_status 137
    same old folder/file
    copied --no-inplace new folder/file
    expect_receipt .resumed true
    [ "$(receipt .bytes_kept)" -ge $((2 * MIB)) ]
    same new folder/file
    nothing_but file
}

@test "what others put where it is written is not written to; a link stays, and leads to the new file" {
    requires root
    mkdir folder
    chmod 1777 folder
    random_file new 1M
    echo secret >secret
    cp secret before
    ln -s ../secret folder/.file.haul-new
    copied --no-inplace new folder/file
    same before secret
    ln secret folder/.file.haul-new
    copied --no-inplace -I new folder/file
    same before secret
    : >folder/.file.haul-new
    chown 1234 folder/.file.haul-new
    exec 5<folder/.file.haul-new
    copied --no-inplace -I new folder/file
    expect "what its owner has" "$(wc -c <&5)" 0
    exec 5<&-
    nothing_but file
    ln -s folder/file link
    touch -d 2001-01-01 folder/file
    copied --no-inplace new link
    [ -L link ]
    nothing_but file
}

@test "what cannot be replaced is refused before the first byte, and -n says so: mounted, fixed, another's in a sticky folder" {
    local what mode
    requires root unshare setpriv chattr
    mkdir folder && chmod 1777 folder
    chmod 755 . && random_file new 1M && chmod 644 new
    for what in mounted fixed growing others; do
        echo old >folder/file && echo below >below
        for mode in -n -q; do
            case $what in
            mounted) under=("$HAUL_ROOT/tests/lib/own_mounts" "mount --bind below folder/file") ;;
            fixed) chattr +i folder/file || skip "needs chattr" ;;
            growing) chattr +a folder ;;
            others) become_nobody && chown 4321 folder folder/file ;;
            esac
            copy "$mode" --no-inplace new folder/file
            chattr -i folder/file && chattr -a folder && under=()
            expect_status 11
            expect_clear_error
            expect_words 'folder/file: cannot be replaced'
            nothing_but file
            expect "$what" "$(cat folder/file below | xargs)" "old below"
        done
    done
    rm folder/file && chattr +a folder
    cleanup_fn chattr -a "$SCRATCH/folder"
    for mode in -n -q; do
        copy "$mode" --no-inplace new folder/file
        expect_status 11
        expect_clear_error
        expect_words 'folder/file: its folder may only grow'
    done
    copy --sync-every=64K --chunk-size=64K -u new folder/file # nor is there a journal that would stay
    chattr -a folder
    expect_status 0
    nothing_but file
    printf '%064d  x\n' 0 >sums
    under=("$HAUL_ROOT/tests/lib/own_mounts" "touch sums && mount --bind sums sums")
    copy --digest-file=sums new folder/new
    expect_status 11
    expect_words 'sums: cannot be replaced'
    nothing_but file
}

@test "what is no regular file is refused" {
    random_file new 1M
    mkfifo fifo
    copy --no-inplace new fifo
    expect_status 1
    expect_clear_error
    copy -n --no-inplace new fifo
    expect_status 1
    copy --no-inplace new /dev/null
    expect_status 1
    requires root loop
    truncate -s 4M image
    LOOP=$(losetup --find --show image)
    cleanup_fn loop_detach "$LOOP"
    copy --no-inplace --write-devices new "$LOOP"
    expect_status 1
    expect_words 'is no regular file, and --no-inplace is for those'
    [ -b "$LOOP" ]
}
