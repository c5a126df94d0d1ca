#!/usr/bin/env bats
# Goal: --reflink=always lets the target have the source's blocks, in no time and without a page, and says that it is no
# second copy; where that cannot be it refuses, and auto copies. REFLINK_SIZE: how large (default 48M; 8G by hand).
load ../lib/common

REFLINK_SIZE=${REFLINK_SIZE:-48M}

# Bytes of FILE that others have, too.
shared() {
    sync "$1"
    filefrag -v "$1" | awk '/shared/ { gsub("[.:]", " "); sum += $6 } END { printf "%d\n", sum * 4096 }'
}

by_reference_on() { # KIND
    requires filefrag
    on_fs "$1" 12G
    random_file "$FS/source" "$REFLINK_SIZE"
    local bytes
    bytes=$(stat -c %s "$FS/source")
    truncate -s +1234567 "$FS/source" # a hole at its end
    chmod 4750 "$FS/source"
    touch -d '2020-02-02 02:02:02.123456789' "$FS/source"
    sync -f "$FS"
    pages --evict "$FS/source" >/dev/null
    copied -a --reflink=always "$FS/source" "$FS/target"
    uncached "$FS/source" "$FS/target"
    expect_receipt .bytes_referenced $((bytes + 1234567))
    expect_receipt '[.durable, .bytes_copied, .digest, .source.resident_after_bytes]' "$(jq -n '[true, 0, null, 0]')"
    expect "mode and time" "$(stat -c '%a %y' "$FS/target")" "$(stat -c '%a %y' "$FS/source")"
    expect "bytes that both have" "$(shared "$FS/target")" "$bytes"
    same "$FS/source" "$FS/target"
    note "$1: $REFLINK_SIZE in $(receipt .seconds) s"
    rm "$FS/target"

    # What was there is longer, and has a journal: of another file, then of this one.
    random_file "$FS/target" 50M 3
    : >"$FS/.target.haul"
    copied --reflink=auto "$FS/source" "$FS/target"
    expect "bytes that both have" "$(shared "$FS/target")" "$bytes"
    [ ! -e "$FS/.target.haul" ]
    same "$FS/source" "$FS/target"
    rm "$FS/target"

    # A tree: one way for all its files. And what was not asked for is a copy.
    mkdir "$FS/tree"
    mv "$FS/source" "$FS/tree/large"
    random_file "$FS/tree/small" 20K
    copied -a --reflink=auto "$FS/tree/" "$FS/other"
    expect_receipt .bytes_referenced $((bytes + 1234567 + 20480))
    diff -r "$FS/tree" "$FS/other"
    expect "bytes that both have" "$(shared "$FS/other/small")" 20480
    copied "$FS/tree/small" "$FS/copy"
    expect_receipt '[.bytes_copied, .bytes_referenced]' "$(jq -n '[20480, 0]')"
    haul --reflink=always "$FS/tree/small" "$FS/words" >words
    grep -q '20.0 KiB by reference, not a second copy on the medium, durable' words
}

@test "xfs: by reference" { by_reference_on xfs; }
@test "btrfs: by reference" { by_reference_on btrfs; }

@test "where blocks cannot be shared always refuses, and auto copies" {
    on_fs tmpfs 20M
    random_file "$FS/source" 300K
    copy --reflink=always "$FS/source" "$FS/target"
    expect_status 11
    expect_words 'target: cannot share the blocks of .*source: .*; --reflink=auto copies where that cannot be'
    expect_clear_error
    expect "what is there" "$(ls -A "$FS")" source
    random_file "$FS/old" 400K 2
    cp "$FS/old" old
    copy --reflink=always "$FS/source" "$FS/old"
    expect_status 11
    same "$FS/old" old
    copied --reflink=auto "$FS/source" "$FS/target"
    expect_receipt '[.bytes_copied, .bytes_referenced]' "$(jq -n '[307200, 0]')"
    same "$FS/source" "$FS/target"
    mkdir "$FS/tree"
    random_file "$FS/tree/small" 5K
    copy -r --reflink=always "$FS/tree" "$FS/other"
    expect_status 23
    copy --reflink=always - "$FS/piped" < <(cat "$FS/source")
    expect_status 11
    expect_words 'only files of this machine can be had by reference'
    [ ! -e "$FS/piped" ]
}

@test "what wants the data to be read, or to go somewhere else, does not go with always" {
    local words
    random_file source 10K
    for words in --verify --manifest=sums -S; do
        copy --reflink=always "$words" source target
        expect_status 1
        expect_clear_error
        [ ! -e target ]
        copied --reflink=auto "$words" source target
        expect_receipt .bytes_copied 10240
        rm target
    done
    copy --reflink=always source host:target
    expect_status 1
    expect_words 'is for files of this machine'
}
