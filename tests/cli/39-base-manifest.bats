#!/usr/bin/env bats
# Goal: --base-manifest spares reading the target while evidence says that it is what the run before has left, here, pushed and
# pulled; whatever lies (another target, a changed one with its time put back, a damaged or foreign file, chunks of another
# size) is told in words, and the target is read. Never a wrong byte, and a run that is killed leaves the old file.
load ../lib/common
load ../lib/resume

CHUNK=$((64 * 1024))

setup() {
    scratch_open
    printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >here # in place of ssh: the other machine is this one
    chmod 755 here
    far=(-e "$SCRATCH/here" --remote-path="$HAUL" --retries=0)
    random_file source 4M
    options=(--base-manifest=base --chunk-size=64K)
}

# A byte in each of these chunks of the source.
change() { # CHUNK...
    local chunk
    for chunk; do
        "$TOOLS/fill" --flip=$((chunk * CHUNK + 77)) source
    done
}

# haul with --base-manifest; $1: how many bytes of the target were known by it, or "read": all of it was read, and said.
based() { # BYTES|read WAY...
    local bytes=$1
    shift
    copied "${options[@]}" "$@"
    cmp source target
    if [ "$bytes" = read ]; then
        expect_receipt .bytes_unread 0
        expect_words "$(basename "${target:-target}") is read as usual"
    else
        expect_receipt .bytes_unread "$bytes"
    fi
    [ -z "$(ls -A | grep '^\.')" ]
}

@test "chunks that are equal are not read, here, pushed, pulled, far to far; each run keeps one for the next" {
    local way words whole=$((4 * MIB))
    for way in "source target" "HERE source far:$SCRATCH/target" "HERE far:$SCRATCH/source target" \
        "HERE a:$SCRATCH/source b:$SCRATCH/target"; do
        rm -f target base
        words=${way/#HERE/${far[*]}}
        # shellcheck disable=SC2086
        copied "${options[@]}" $words
        # shellcheck disable=SC2086
        based $whole -I $words
        change 3 17 18 40
        # shellcheck disable=SC2086
        based $((whole - 4 * CHUNK)) $words
        expect "as many as asked" "$(("$(receipt .bytes_copied)" <= 4 * CHUNK))" 1
        # shellcheck disable=SC2086
        based $whole -I $words
        haul verify --manifest=base target
    done
}

@test "a target that is up to date is left alone; where there is no base yet it is read for one" {
    copied source target
    copied "${options[@]}" source target
    [ -s base ]
    expect_receipt .bytes_copied 0
    based $((4 * MIB)) -I source target
    copied "${options[@]}" source target
    expect_receipt .up_to_date true
}

@test "longer, shorter, with holes, empty: what was there is known" {
    copied "${options[@]}" source target
    random_file more 300K
    cat more >>source
    based $((4 * MIB)) source target
    truncate -s 3M source
    copied "${options[@]}" source target
    cmp source target
    fallocate -p -o 1M -l 1M source
    touch source
    copied "${options[@]}" source target
    cmp source target
    based $((2 * MIB)) -I source target
    : >source
    copied "${options[@]}" source target
    random_file source 1M
    copied "${options[@]}" source target
    cmp source target
    based $MIB -I source target
}

@test "lies: a target that was changed with its time put back, replaced, or touched is read" {
    local what before
    copied "${options[@]}" source target
    for what in flip replace chmod; do
        touch -r target stamp
        case $what in
            flip) "$TOOLS/fill" --flip=$((5 * CHUNK)) target ;;
            replace) cp target other && "$TOOLS/fill" --flip=$((5 * CHUNK)) other && mv other target ;;
            chmod) chmod 600 target ;;
        esac
        touch -r stamp target
        based read -I source target
        expect_words 'is of another file, or the target has changed since'
        based $((4 * MIB)) -I source target
    done
}

# What is written before that gets the source's time with all the rest, and nobody can tell.
@test "lies: a target that others write to between its time and the end of its commit is not sealed" {
    local late option
    ! sanitized || skip "what is preloaded comes before the sanitizer"
    touch -d 2001-01-01 source
    for option in "" --no-inplace; do
        rm -f target base
        late=$SCRATCH/target
        [ -z "$option" ] || late=$SCRATCH/.target.haul-new
        under=(env LATE_WRITE="$late" LD_PRELOAD="$TOOLS/preload/late_write.so")
        copied $option "${options[@]}" source target
        under=()
        run cmp -s source target
        expect "what cmp says" "$status" 1
        based read -I source target
        based $((4 * MIB)) -I source target
    done
}

@test "lies: a base that is damaged, cut, of another file, of other chunks, or no base is told" {
    local bytes
    copied "${options[@]}" source target
    cp base good
    bytes=$(stat -c %s base)
    for at in 20 200 $((bytes - 5)); do
        cp good base
        "$TOOLS/fill" --flip=$at base
        based read -I source target
        cp base good
    done
    head -c $((bytes / 2)) good >base
    based read -I source target
    : >base
    based read -I source target
    # Of another one, of the same content.
    cp source source2
    copied --base-manifest=base2 --chunk-size=64K source2 target2
    cp base2 base
    based read -I source target
    # An ordinary manifest says nothing of the target's evidence.
    copied -I --manifest=base3 --chunk-size=64K source target
    cp base3 base
    based read -I source target
    options[1]=--chunk-size=128K
    based read -I source target
    expect_words '--chunk-size=65536'
    based $((4 * MIB)) -I source target
    echo mine >base
    copy "${options[@]}" -I source target
    expect_status 11
    expect "what was there" "$(cat base)" mine
}

@test "who asks for all to be read gets that, and a base" {
    local option
    copied "${options[@]}" source target
    for option in -c --verify --digest-file=sums; do
        "$TOOLS/fill" --flip=$((9 * CHUNK)) source
        copied "${options[@]}" -I $option source target
        cmp source target
        expect_receipt .bytes_unread 0
        expect_words "is read all the same: ${option%=*}"
        based $((4 * MIB)) -I source target
    done
}

@test "killed, or failed, at any moment: the old base is there, and the next run is right" {
    local signal
    copied "${options[@]}" source target
    for signal in KILL INT; do
        change 1 2 3 30
        touch source
        begin --bwlimit=256K "${options[@]}" source target
        wait_for_data target $((2 * CHUNK)) "$signal" || true # it has that much from the start
        finished # or it was over before the signal came: what follows holds in any case
        [ -s base ]
        copied "${options[@]}" source target
        cmp source target
        based $((4 * MIB)) -I source target
    done
}

@test "the base is written through a link, and what cannot be is refused in words" {
    local words
    mkdir elsewhere
    ln -s elsewhere/real base
    copied "${options[@]}" source target
    [ -L base ]
    [ -s elsewhere/real ]
    based $((4 * MIB)) -I source target
    [ -L base ]
    for words in "--manifest=m" "--range=0,64K" "--reflink=always"; do
        copy "${options[@]}" $words -I source target
        expect_status 1
        expect_clear_error
    done
    copy --base-manifest=target source target
    expect_status 1
    copy --base-manifest=nowhere/base source target
    [ "$status" != 0 ]
    run haul verify --base-manifest=base source target
    expect_status 1
    mkdir tree
    copy -r "${options[@]}" tree other
    expect_status 1
    expect_words 'tree: is a folder'
    copy "${options[@]}" source source2 elsewhere/
    [ "$status" != 0 ]
}
