#!/usr/bin/env bats
# Goal: filter rules decide what of a tree is copied and what --delete leaves, as with rsync; here, by push and by pull.
load ../lib/common

setup() {
    scratch_open
    requires rsync
    far_is_here
}

# Names that the rules below tell apart.
tree() { # PATH
    local folder
    local folders=("$1" "$1"/{cache,src,src/cache,src/deep/er,old}) files=()
    for folder in "${folders[@]}"; do
        files+=("$folder"/{a.c,b.o,keep.o,'x[1]',.hidden})
    done
    mkdir -p "${folders[@]}"
    touch -d '2020-01-02' "${files[@]}"
    ln -s a.c "$1/src/link.o"
}

# haul and rsync leave the same names with these arguments, of the same kinds, in target, which old holds before.
as_rsync() { # ARGS...
    local way
    rm -rf expected
    [ ! -e old ] || cp -a old expected
    rsync -a "$@" "${sources[@]}" expected/ >/dev/null 2>&1 || [ $? = 25 ]
    "$TOOLS/tree" names expected >names
    for way in here push pull; do
        [ ! -e target ] || rm -rf target
        [ ! -e old ] || cp -a old target
        case $way in
        here) copy -a "$@" "${sources[@]}" target ;;
        push) copy "${far[@]}" -a "$@" "${sources[@]}" "h:$SCRATCH/target" ;;
        pull) copy "${far[@]}" -a "$@" "${sources[@]/#/h:$SCRATCH/}" target ;;
        esac
        expect_status 0
        "$TOOLS/tree" names target names || { echo "$way: $*"; show_run; return 1; }
    done
}

@test "rules leave names out, folders with all that is in them" {
    tree source
    sources=(source/)
    as_rsync --exclude='*.o'
    as_rsync --include=keep.o --exclude='*.o' --exclude=/cache/
    as_rsync -f'+ */' -f'+ *.c' -f'- *'
    as_rsync -f'- src/**/er' -f'-! */' -f'- old/***'
    as_rsync --exclude='x\[1]' --exclude='.*' -f'-/ '"$SCRATCH"'/source/src/a.c'
    sources=(source)
    as_rsync --exclude=/source/cache --exclude=/src
    as_rsync --exclude=source
    sources=(source/src source/old/)
    as_rsync --exclude=/src/deep --exclude=/a.c
}

@test "--delete leaves what rules protect, and what they leave out, but with --delete-excluded" {
    tree source
    tree old
    mkdir -p old/gone/deep
    touch old/{gone.c,gone.o,src/gone.o,gone/deep/b.d}
    sources=(source/)
    as_rsync --delete
    as_rsync --delete --exclude='*.o'
    as_rsync --delete-excluded --exclude='*.o'
    as_rsync --delete-excluded --exclude='*.o' -f'P gone.o'
    as_rsync --delete -f'H *.o' -f'P /gone.c' -f'R gone.o'
    as_rsync --delete -f'-s cache'
}

@test "--delete takes folders that hold what a rule protects name by name, and leaves those" {
    tree source
    tree old
    mkdir -p old/gone/{deep/er,empty,kept/in,later}
    touch old/gone/{a.c,b.o,deep/b.c,deep/er/b.o,kept/in/b.o,later/x.c} old/gone/f{1..300}.c
    mkdir -p old/src/{aa,zz/y}
    touch old/src/aa/{1,2}.c old/src/zz/y/3.o
    sources=(source/)
    as_rsync --delete --exclude='*.o'
    as_rsync --delete --exclude=/gone/deep/er/
    as_rsync --delete -f'P b.c' -f'R *'
    as_rsync --delete -f'P kept/'
    as_rsync --delete-excluded --exclude='*.o' -f'P 3.o'
}

@test "a folder that goes is kept with what a rule protects in it" {
    tree source
    tree old
    mkdir -p old/gone/deep old/gone.too
    touch old/{gone/b.o,gone/deep/b.c,gone.too/c.c,gone.too/p.tmp}
    sources=(source/)
    as_rsync --delete --exclude='*.o'
    as_rsync --delete -f'-p *.tmp' -f'- gone/deep/'
    as_rsync --delete -f'P deep' -f'-s cache' -f'-r *.c'
}

@test "what is newer, there, not there, too large or too small is left alone in trees, too" {
    tree source
    tree old
    rm -r old/src/deep old/a.c old/src/link.o
    ln -s other old/src/link.o
    mkdir -p old/old/x
    for file in old/b.o old/cache/b.o source/src/b.o; do echo newer >"$file"; done
    truncate -s 100 source/old/a.c source/src/keep.o
    touch -d '2019-01-01' old/src/b.o
    sources=(source/)
    for option in --update --existing --ignore-existing --max-size=50 --min-size=50 '--existing --ignore-existing'; do
        # shellcheck disable=SC2086
        as_rsync $option
        diff -r --no-dereference expected target
    done
}

@test "what is left out leaves what has its name at the target, whatever that is" {
    local option
    mkdir -p source old/folder/in
    printf x | tee source/{link,fifo,folder} >/dev/null
    ln -s nowhere old/link
    mkfifo old/fifo
    sources=(source/)
    for option in --existing --ignore-existing --max-size=0 --min-size=50 --delete; do
        as_rsync --force $option
    done
}

# With options that go by what is at the target an earlier source must not find there what a later one has brought.
@test "of what several sources have under one name the first one counts, but a folder before a file; as rsync" {
    local option
    mkdir -p a b/folder c old named/folder/in
    printf first >a/same && printf other >b/same && printf third >c/same && printf 4 >a/folder && printf 5 >b/folder/in
    touch -d 2020-01-01 a/same
    touch -d 2021-01-01 b/same
    touch -d 2022-01-01 c/same
    printf older >old/same && touch -d 2019-01-01 old/same
    for option in --checksum --update --ignore-existing --existing --size-only --delete; do
        for sources in "a/ b/" "b/ a/" "c/ b/ a/" "a/ named/folder b/"; do
            # shellcheck disable=SC2206
            sources=($sources)
            as_rsync $option
            diff -r expected target
        done
    done
    mkdir -p old/a
    sources=(b/ a)
    as_rsync --delete-excluded --exclude=/a
    sources=(c b/) # the target's folder itself is done when all is in it
    touch -d 2018-01-01 b
    as_rsync --times
    expect "time of the folder" "$(stat -c %Y target)" "$(stat -c %Y b)"
}
