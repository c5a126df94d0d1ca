#!/usr/bin/env bats
# Goal: where a folder of the target takes several names of the source for one, the first one's bytes stay, the others are left
# out with a line that has both names, and the run ends with 23: no file is written over by another one of its own run.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    far_is_here
}

# A folder that folds, as FS.
folding() {
    FUSE_FAULTS=(--fold-case)
    on_fs fuse 0
}

# All that the target lists are copies of what the source calls so.
true_copies() { # SOURCE TARGET
    local path
    while read -r path; do
        if [ -L "$2/$path" ]; then
            [ "$(readlink "$1/$path")" = "$(readlink "$2/$path")" ]
        elif [ -f "$2/$path" ]; then
            cmp "$1/$path" "$2/$path"
        else
            [ -d "$1/$path" ]
        fi || { echo "$path is nobody's copy"; return 1; }
    done < <(cd "$2" && find . -printf '%P\n')
}

# Each of these pairs is one name, and all but one file of each is told.
told_pairs() { # NAME...
    local name
    for name in "$@"; do
        [ "$(grep -ci "takes it for $name," "$SCRATCH/err")" -ge 1 ] || { echo "$name is not told"; show_run; return 1; }
    done
}

pairs() { # FOLDER
    mkdir -p "$1"
    random_file "$1/one" 3000 1
    random_file "$1/ONE" 3000 2
    random_file "$1/large" 3M 3
    random_file "$1/Large" 3M 4
    random_file "$1/other" 100
    random_file "$1/Many.txt" 10 5
    random_file "$1/many.TXT" 20 6
    random_file "$1/MANY.txt" 30 7
    mkdir "$1/d" "$1/D"
    random_file "$1/d/x" 1000 8
    random_file "$1/D/x" 1000 9
    ln -s here "$1/link"
    ln -s there "$1/LINK"
    random_file "$1/kind" 10
    mkdir "$1/KIND"
    random_file "$1/KIND/y" 10
    # Nothing tells them apart but their bytes.
    touch -h -d 2020-01-01 "$1"/* "$1"/*/*
}

# What came first stays in every later run, and is up to date.
exercise_pairs() { # SOURCE TARGET PATH
    copy -a "${far[@]}" "$1" "$2"
    # The first of two may be made, let go of (another folder, no time left) and come again: whoever has opened it in between is
    # told that it went away, and to run it again.
    ! grep -qE ': (was removed or replaced|cannot be looked at: No such file)' "$SCRATCH/err" || copy -a "${far[@]}" "$1" "$2"
    expect_status 23
    told_pairs one large many.txt d link
    true_copies pairs "$3"
    expect "names" "$(find "$3" -mindepth 1 -maxdepth 1 | wc -l)" 7
    (cd "$3" && find . -exec stat -c '%n %i %Y' {} +) >before
    copy -a "${far[@]}" "$1" "$2"
    expect_status 23
    told_pairs one large many.txt d link
    true_copies pairs "$3"
    (cd "$3" && find . -exec stat -c '%n %i %Y' {} +) >after
    cmp before after
    copy -an "${far[@]}" "$1" "$2"
    expect_status 23
    copy -ac "${far[@]}" "$1" "$2"
    expect_status 23
    true_copies pairs "$3"
    copy -aI "${far[@]}" "$1" "$2"
    expect_status 23
    true_copies pairs "$3"
    copy -a --no-inplace --delete "${far[@]}" "$1" "$2"
    expect_status 23
    true_copies pairs "$3"
}

@test "names of a tree that are one at the target" {
    pairs pairs
    folding
    exercise_pairs pairs/ "$FS/to" "$FS/to"
}

# The file is opened while the folder's making takes two seconds, and that is there before the file has been synced.
@test "a folder gets the name that a file is written beside: the file is left out, and nothing is left of it" {
    mkdir -p pair/KIND
    random_file pair/kind 3M
    folding
    under=(strace -f -qq -o trace -e trace=fsync,fdatasync,mkdirat,renameat2
        -e inject=mkdirat:delay_enter=2000000:when=2 -e inject=fsync,fdatasync:delay_enter=5000000:when=1)
    copy -a --no-inplace --engine=threads pair/ "$FS/to"
    expect_status 23
    under=()
    not grep 'renameat2.* = 0' trace
    true_copies pair "$FS/to"
    expect "names" "$(find "$FS/to" -mindepth 1)" "$FS/to/KIND"
}

@test "the same without an older target's help, and beside their names" {
    pairs pairs
    folding
    copy -a --no-inplace pairs/ "$FS/to"
    expect_status 23
    true_copies pairs "$FS/to"
    copy -a --no-inplace -I pairs/ "$FS/to"
    expect_status 23
    true_copies pairs "$FS/to"
}

@test "the same by push and by pull" {
    pairs pairs
    folding
    exercise_pairs pairs/ "h:$FS/to" "$FS/to"
    exercise_pairs "h:$PWD/pairs/" "$FS/back" "$FS/back"
}

@test "names of a command line that are one at the target" {
    mkdir a b
    random_file a/name 3000 1
    random_file b/NAME 3000 2
    touch -d 2020-01-01 a/name b/NAME
    folding
    mkdir "$FS/to"
    copy a/name b/NAME "$FS/to"
    expect_status 23
    expect_words 'takes it for'
    true_copies <(:) "$FS/to" 2>/dev/null || true
    [ "$(ls "$FS/to")" = name ] && cmp a/name "$FS/to/name" || { [ "$(ls "$FS/to")" = NAME ] && cmp b/NAME "$FS/to/NAME"; }
    # Alone it is what the user says.
    copied -I b/NAME "$FS/to"
    cmp b/NAME "$FS/to/name"
}

@test "trees of a command line that are one at the target" {
    mkdir -p a b
    random_file a/name 3000 1
    random_file b/NAME 3000 2
    folding
    copy -r a/ b/ "$FS/to"
    expect_status 23
    expect_words 'takes it for'
    [ "$(find "$FS/to" -type f | wc -l)" = 1 ]
    cmp a/name "$FS/to/NAME" || cmp b/NAME "$FS/to/NAME"
}

@test "an older spelling of a name is that name, and --delete leaves it" {
    mkdir -p source/folder
    random_file source/name 3000 1
    random_file source/folder/large 3M 2
    folding
    mkdir -p "$FS/to/FOLDER"
    random_file "$FS/to/NAME" 3000 3
    random_file "$FS/to/FOLDER/Large" 3M 4
    copied -a source/ "$FS/to"
    cmp source/name "$FS/to/name"
    cmp source/folder/large "$FS/to/folder/large"
    copied -a --delete source/ "$FS/to"
    cmp source/name "$FS/to/name"
    cmp source/folder/large "$FS/to/folder/large"
    copied -a --delete "${far[@]}" source/ "h:$FS/to"
    cmp source/name "$FS/to/name"
    cmp source/folder/large "$FS/to/folder/large"
}

# As many as there are names in the source have its place in turn, each written over by the next.
@test "an older spelling that no source has is the first one's that comes, and no second one's" {
    mkdir -p source/folder source/Folder
    random_file source/Name.txt 3000 1
    random_file source/name.TXT 3000 2
    random_file source/Large 3M 3
    random_file source/LARGE 3M 4
    random_file source/folder/x 1000 5
    random_file source/Folder/x 1000 6
    ln -s here source/Link
    ln -s there source/LINK
    touch -h -d 2020-01-01 source/* source/*/*
    folding
    mkdir -p "$FS/to/FOLDER"
    random_file "$FS/to/NAME.txt" 3000 7
    random_file "$FS/to/large" 3M 8
    ln -s gone "$FS/to/link"
    local -
    set -- source/ "$FS/to" source/ "h:$FS/to"
    while [ $# -gt 0 ]; do
        copy -a "${far[@]}" "$1" "$2"
        expect_status 23
        told_pairs NAME.txt FOLDER large link
        one_of_each
        copy -an "${far[@]}" "$1" "$2"
        expect_status 23
        told_pairs NAME.txt FOLDER large link
        touch -h -d 2021-01-01 "$FS/to"/*
        shift 2
    done
}

one_of_each() { # each name at the target is one of the two that the source has
    cmp source/Name.txt "$FS/to/NAME.txt" || cmp source/name.TXT "$FS/to/NAME.txt" || return 1
    cmp source/Large "$FS/to/large" || cmp source/LARGE "$FS/to/large" || return 1
    cmp source/Folder/x "$FS/to/folder/x" || cmp source/folder/x "$FS/to/folder/x" || return 1
    [ "$(readlink "$FS/to/link")" = here ] || [ "$(readlink "$FS/to/link")" = there ]
}

@test "of several trees, too, one counts for an older spelling that none of them has" {
    mkdir -p a b
    random_file a/name 3000 1
    random_file b/Name 3000 2
    folding
    mkdir "$FS/to"
    random_file "$FS/to/NAME" 3000 3
    ln a/name first
    ln b/Name second
    copy -r --remove-source-files a/ b/ "$FS/to"
    expect_status 23
    told_pairs NAME
    if [ -e a/name ]; then cmp second "$FS/to/NAME"; else [ -e b/Name ] && cmp first "$FS/to/NAME"; fi
}

@test "a rule that leaves one of them out leaves the other one its name" {
    mkdir source
    random_file source/name 3000 1
    random_file source/NAME 3000 2
    touch -d 2020-01-01 source/name # made in the same tick they would be equal by size and time, which is enough for "up to date"
    folding
    copied -r --exclude=NAME source/ "$FS/to"
    cmp source/name "$FS/to/name"
    copied -r --exclude=name source/ "$FS/to"
    cmp source/NAME "$FS/to/NAME"
}
