#!/usr/bin/env bats
# Goal: --digest-file is what sha256sum and xxhsum say of the target, in the pass of the copy: here, push, pull, out of a
# pipe, of holes, of what was there already, of a resumed copy; a copy that fails leaves none.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    far_is_here
    truncate -s 17M source
    "$TOOLS/fill" --offset=2M source 3M
    "$TOOLS/fill" --offset=9M source 2345678
}

# sums holds the line of this target.
lists() { # TARGET
    expect "sums" "$(cat sums)" "$(sha256sum "$1")"
    expect_receipt .sha256 "$(tr -d "\\\\" <sums | cut -c 1-64)"
    rm sums
}

@test "here, pushed, pulled, packed, by every engine; again, when all is there, or a byte of it is another" {
    local way names
    for way in "source target" "--engine=sync source target" "--memory=1M --cache=window source target" \
        "${far[*]} source far:$SCRATCH/target" "${far[*]} -z far:$SCRATCH/source target"; do
        rm -f target
        names=${way##*[ :]}
        # shellcheck disable=SC2086
        copied --digest-file=sums $way
        same source target
        lists "$names"
        # shellcheck disable=SC2086
        copied --digest-file=sums $way
        expect_receipt .bytes_copied 0
        lists "$names"
        "$TOOLS/fill" --flip=$((3 * MIB + 12345)) target
        # shellcheck disable=SC2086
        copied --digest-file=sums $way
        [ "$(receipt .bytes_copied)" -le $MIB ]
        same source target
        lists "$names"
    done
    [ -z "$(ls -A | grep haul)" ]
}

# What lies there is of another run, and whoever reads it has to hear that.
@test "a source that is skipped: the file is not written, which is said, and ends with 23" {
    local option way
    random_file other 3M 2
    touch -d 2020-01-01 source
    for option in --digest-file --manifest; do
        for way in "source target" "-n source target" "${far[*]} source far:$SCRATCH/target" "${far[*]} far:$SCRATCH/source target"; do
            rm -f target sums
            copied $option=sums other target
            cp sums before
            # shellcheck disable=SC2086
            copy -u $option=sums $way
            expect_status 23
            expect_receipt .outcome skipped
            expect_receipt .exit 23
            expect_words 'sums: is not written, as what it was asked about is skipped'
            cmp before sums
            same other target
        done
    done
}

@test "xxh128, a pipe, an empty file, one hole, a name that has to be escaped" {
    local name=$'a\\b\nc'
    copied --digest-file=sums --digest=xxh128 source target
    if /usr/bin/python3 -c 'import xxhash' 2>/dev/null; then
        expect "xxh128" "$(cat sums)" \
            "$(/usr/bin/python3 -c 'import xxhash; print(xxhash.xxh3_128_hexdigest(open("source", "rb").read()))')  target"
    fi
    ! command -v xxhsum >/dev/null || xxhsum -c sums
    expect_receipt .xxh128 "$(cut -c 1-32 sums)"
    copied --digest-file=sums - piped < <(cat source)
    lists piped
    : >empty
    copied --digest-file=sums empty none
    lists none
    truncate -s 30M hole
    copied --digest-file=sums hole other
    lists other
    copied --digest-file=sums source "$name"
    lists "$name"
}

@test "a resumed copy reads what is there for it, and says so" {
    random_file source 12M
    begin --sync-every=1M --bwlimit=8M source target
    JOURNAL=.target.haul
    wait_for_journal $((2 * MIB)) KILL
    finished 2>/dev/null
    expect_status 137
    copied --digest-file=sums source target
    expect_receipt .resumed true
    [ "$(receipt .bytes_kept)" -ge $((2 * MIB)) ]
    expect_words 'what is there is read for --digest-file'
    lists target
}

@test "a copy that fails leaves none, and a list takes the place of lists only" {
    local words
    copied source target
    echo mine >sums
    copy --digest-file=sums source target
    expect_status 11
    expect "what was there" "$(cat sums)" mine
    rm sums target
    random_file source 6M
    begin --bwlimit=6M --memory=1M --digest-file=sums source target
    wait_for_data target 65537 STOP
    "$TOOLS/fill" --flip=5 source
    kill -CONT "$running"
    finished
    expect_status 41
    [ ! -e sums ]
    for words in --append -j2 --reflink=always --read-errors=skip; do
        copy --digest-file=sums $words source target
        expect_status 1
        expect_clear_error
    done
    mkdir folder
    copy -r --digest-file=sums folder other
    expect_status 1
    expect_words 'folder: is a folder'
    copy --digest-file=target source target
    expect_status 1
    copy --digest-file=sums "${far[@]}" "far:$SCRATCH/source" "other:$SCRATCH/target"
    expect_status 1
    copy --digest-file=nowhere/sums source target
    [ "$status" != 0 ]
    [ -z "$(ls -A | grep sums)" ]
}

@test "where OpenSSL's configuration has no sha256 that is said, before anything is written" {
    printf '%s\n' 'openssl_conf = all' '[all]' 'providers = few' '[few]' 'base = base' '[base]' 'activate = 1' >few
    export OPENSSL_CONF=$SCRATCH/few
    copy --digest-file=sums source target
    [ "$status" != 0 ] || skip "needs OpenSSL 3, whose configuration chooses algorithms"
    expect_status 1
    expect_clear_error
    grep -q -- '--digest=xxh128' err
    [ -z "$(ls -A | grep -e sums -e target)" ]
    copied --digest-file=sums --digest=xxh128 source target
    expect "xxh128" "$(cut -c 1-32 sums)" "$(receipt .xxh128)"
}

@test "a list is written through a link, as > does it, also through one that leads nowhere yet" {
    mkdir lists
    ln -s lists/sums sums
    copied --digest-file=sums source target
    [ -L sums ]
    expect "sums" "$(cat lists/sums)" "$(sha256sum target)"
    "$TOOLS/fill" --flip=5 source
    copied --digest-file=sums source target
    [ -L sums ]
    expect "sums" "$(cat lists/sums)" "$(sha256sum target)"
    expect "what is left" "$(ls -A lists)" sums
    ln -s nowhere/sums broken
    copy --digest-file=broken source target
    [ "$status" != 0 ]
}
