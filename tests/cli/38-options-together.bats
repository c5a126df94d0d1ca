#!/usr/bin/env bats
# Goal: options that change how a file is read, written or listed go together, or are refused in words before anything is
# written: each pair of them here and over links, as a dry run, killed in the middle and run again; none ends with 0 over wrong
# bytes, or leaves anything. The table is what is refused; ALL_WAYS=1 takes every pair every way.
load ../lib/common
load ../lib/resume

# By name, so that a row of the table is short.
declare -gA OPTION=([skip]=--read-errors=skip [aside]=--no-inplace [fuzzy]=--fuzzy [digest]=--digest-file=sums
    [range]=--range=100000,300000 [base]=--base-manifest=base)
NAMES=(skip aside fuzzy digest range base)

# Pairs that contradict each other; and what one of these machines would have to know.
REFUSED=" skip+digest aside+range digest+range range+base "
REFUSED_FAR=" digest "

setup() {
    scratch_open
    far_is_here
    random_file good 700000
    random_file old 800000 2
}

# The way number N: SOURCE TARGET, with what leads there.
way() { # N
    case $1 in
        0) echo "source target" ;;
        1) echo "${far[*]} source far:$SCRATCH/target" ;;
        2) echo "${far[*]} far:$SCRATCH/source target" ;;
        3) echo "${far[*]} far:$SCRATCH/source far:$SCRATCH/target" ;;
    esac
}

is_refused() { # NAME NAME WAY
    [[ $REFUSED == *" $1+$2 "* ]] || { [ "$3" = 3 ] && [[ $REFUSED_FAR == *" $1 "* || $REFUSED_FAR == *" $2 "* ]]; }
}

# What the target has to be: with a range, the old one but for that.
expect_target() { # OPTIONS
    local wanted=good
    if [[ $1 == *--range* ]]; then
        cp old wanted
        dd if=good of=wanted iflag=skip_bytes,count_bytes oflag=seek_bytes skip=100000 seek=100000 count=300000 conv=notrunc \
            bs=100000 status=none
        wanted=wanted
    fi
    cmp "$wanted" target
}

expect_nothing_left() {
    expect "what is left" "$(ls -A | grep '^\..*haul')" ""
}

# One pair, one way.
together() { # NAME NAME WAY
    local options="${OPTION[$1]} ${OPTION[$2]} --chunk-size=64K" words before
    words="$options $(way "$3")"
    echo "$words"
    rm -f target sums base
    cp good source
    cp old target
    : >out
    : >err
    before=$(ls -A)
    # shellcheck disable=SC2086
    copy -n $words
    expect "what a dry run leaves" "$(ls -A)" "$before"
    cmp old target
    if is_refused "$@"; then
        expect_status 1
        expect_clear_error
        # shellcheck disable=SC2086
        copy $words
        expect_status 1
        expect_clear_error
        cmp old target
        return
    fi
    expect_status 0
    # shellcheck disable=SC2086
    begin --bwlimit=1M --sync-every=64K $words
    "$TOOLS/journalled" .target.haul 65536 "$running" 9 2>/dev/null || kill -KILL "$running" 2>/dev/null || true
    finished
    # shellcheck disable=SC2086
    copied $words
    expect_target "$options"
    expect_nothing_left
    [[ $options != *digest* ]] || sha256sum --status -c sums
    [[ $options != *base* ]] || [ -s base ]
}

@test "each pair, as a dry run, killed in the middle, and run again" {
    local i j number=0 ways
    for ((i = 0; i < ${#NAMES[@]}; i++)); do
        for ((j = i + 1; j < ${#NAMES[@]}; j++)); do
            ways=($((number++ % 4)))
            [ -z "${ALL_WAYS:-}" ] || ways=(0 1 2 3)
            for way in "${ways[@]}"; do
                together "${NAMES[i]}" "${NAMES[j]}" "$way"
            done
        done
    done
}

@test "of trees and lists of names: what is about one file is refused, the rest goes" {
    local name words way
    mkdir -p tree/sub
    cp good tree/a
    cp old tree/sub/b
    printf 'a\nsub/b\n' >list
    for name in "${NAMES[@]}"; do
        for words in -r "-a --delete" "-a --files-from=list"; do
            for way in "tree/ target/" "${far[*]} far:$SCRATCH/tree/ target/"; do
                rm -rf target sums base
                echo "$name $words $way"
                # shellcheck disable=SC2086
                copy "${OPTION[$name]}" $words $way
                if [[ " digest range base " == *" $name "* ]]; then
                    expect_status 1
                    expect_clear_error
                    [ ! -e target ]
                else
                    expect_status 0
                    diff -r tree target
                    expect_nothing_left
                fi
            done
        done
    done
}

@test "a source that cannot be read everywhere: what is good is there, or beside, and all of it when it is mended" {
    local name way
    requires root fuse
    : >bad
    FUSE_FAULTS=(--file=disk --bad="$SCRATCH/bad")
    on_fs fuse 0
    cp good "$FUSE_BACKING/disk"
    ln -s "$FS/disk" source
    for name in skip aside fuzzy range base; do
        for way in 0 2; do
            echo "$name, way $way"
            rm -f target base
            cp old target
            echo "200000 5000" >bad
            # shellcheck disable=SC2046
            copy --read-errors=skip "${OPTION[$name]}" --chunk-size=64K $(way $way)
            expect_status 23
            expect_receipt .bytes_unreadable 12288
            if [ "$name" = aside ]; then
                cmp old target
                expect_words 'which stays what it was'
            fi
            [ ! -e base ]
            : >bad
            # shellcheck disable=SC2046
            copied --read-errors=skip "${OPTION[$name]}" --chunk-size=64K $(way $way)
            expect_receipt .bytes_copied 12288
            expect_target "${OPTION[$name]}"
            expect_nothing_left
        done
    done
}
