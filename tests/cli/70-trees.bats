#!/usr/bin/env bats
# Goal: haul -a copies whole trees as rsync -a does, here, by push and by pull: rsync finds nothing between source and result,
# a second run copies nothing, errors are their names' own, and --delete, -n and -i tell the truth.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    requires rsync
    far_is_here
}

# A tree with every kind of entry that this user can make.
tree() { # PATH
    mkdir -p "$1"/{d/e,empty,closed,new$'\n'line}
    random_file "$1/small" 5000
    random_file "$1/d/large" 3M
    : >"$1/d/nothing"
    ln -s nowhere "$1/dangling"
    ln -s ../small "$1/d/link"
    ln "$1/small" "$1/d/e/other-name"
    ln "$1/dangling" "$1/d/other-link"
    mkfifo "$1/fifo"
    truncate -s 2M "$1/holes"
    echo data >>"$1/holes"
    echo x >"$1/-n"
    echo x >"$1/trailing "
    echo x >"$1/"$'\xff\xfe'
    printf x >"$1/$(printf 'n%.0s' {1..255})"
    chmod 750 "$1/d"
    chmod 640 "$1/d/large"
    touch -d '1955-11-05 06:00:00.123456789' "$1/d/e/other-name"
    touch -d '2262-01-01 00:00:00.5' "$1/d/e"
    touch -h -d '2001-02-03 04:05:06.7' "$1/dangling"
    chmod 555 "$1/closed"
    [ "$(id -u)" != 0 ] || {
        mknod "$1/device" c 1 3
        chown 12:34 "$1/d/large"
        chmod 4755 "$1/d/large"
    }
}

# Runs copy -a source target, and a file goes away when the walk has told of it (a link in a folder that comes later is
# made) and long before it is opened: the last one in the order of inodes, and the copy is slow, and stands still meanwhile.
# Its name is in ./gone.
copy_and_vanish() {
    local name
    mkdir -p source/zz
    ln -sf x source/zz/link
    name=$(find source -name 'f*' -perm 600 -printf '%i %p\n' | sort -rn | head -n 1 | cut -d' ' -f2)
    begin -a --memory=2M --bwlimit=2M source target
    waits_until 20 test -L target/source/zz/link
    kill -STOP "$running"
    [ ! -e "target/$name" ] || { echo "$name was there already"; return 1; }
    rm "$name"
    kill -CONT "$running"
    finished
    echo "$name" >gone
}

# rsync would do nothing.
equal() { # SOURCE TARGET [OPTION]...
    local found
    found=$(rsync -aHSn --checksum --delete --itemize-changes "${@:3}" "$1/" "$2/")
    [ -z "$found" ] || { printf '%s\n' "$found"; show_run; return 1; }
}

again() { # ARGUMENT...
    copied "$@"
    expect_receipt .bytes_copied 0
    expect_receipt .outcome "up to date"
    [ "$(wc -l <out)" -lt 40 ]
    not grep -q '"event":"made"' out
}

@test "a tree is copied as rsync would, and a second run does nothing" {
    tree source
    copied -aH source target
    uncached target/source/d/large
    equal source target/source
    again -aH source target
    copied -aH source/ flat
    equal source flat
    copied -aHT source named
    equal source named
    again -aHT source named
}

@test "a tree to another machine, and from there" {
    tree source
    copied "${far[@]}" -aH source "far:$SCRATCH/pushed"
    equal source pushed/source
    again "${far[@]}" -aH source "far:$SCRATCH/pushed"
    copied "${far[@]}" -aH "far:$SCRATCH/source/" pulled
    equal source pulled
    again "${far[@]}" -aH "far:$SCRATCH/source/" pulled
    copied "${far[@]}" -aHz "far:$SCRATCH/source" "far:$SCRATCH/both"
    equal source both/source
}

@test "trees, files, links and what is not there beside each other, into a folder that is made" {
    tree source
    echo x >file
    ln -s file link
    copied -aH source file link into
    equal source into/source
    same file into/file
    expect "link" "$(readlink into/link)" file
    copy -a source nowhere into
    expect_status 23
    expect_words 'nowhere'
    copy -a source file
    expect_status 23
    expect_words 'file: is not a folder'
    copy -a source deep/er/into
    expect_status 23
    expect_words 'deep/er: no such folder .*--mkpath'
    copied -aH --mkpath source deep/er/into
    equal source deep/er/into/source
    copied --mkpath file deep/file/in/here
    same file deep/file/in/here
}

@test "what changes is brought up to date, whatever kind it is now" {
    tree source
    copied -aH source/ target
    rm -r source/d/e source/fifo source/d/link source/small
    mkdir source/fifo
    echo x >source/fifo/in
    echo x >source/d/e
    random_file source/d/link 10K
    ln -sfn elsewhere source/dangling
    chmod 700 source/empty
    touch -d '2011-11-11 11:11:11' source/d
    echo more >>source/d/large
    copy -aH source/ target
    expect_status 23
    expect_words 'target/d/e: .*folder'
    copied -aH --force source/ target
    [ -e target/small ]
    copied -aH --delete source/ target
    equal source target
}

@test "--delete removes what the source has not, and nothing after an error there" {
    tree source
    copied -a source/ target
    mkdir -p target/gone/deep/er target/d/also
    echo x | tee target/old target/gone/deep/er/file target/d/also/file >/dev/null
    chmod 500 target/gone/deep
    copied -a source/ target
    [ -e target/old ]
    copied -a -n --delete source/ target
    [ -e target/old ]
    expect "told" "$(grep -c '"event":"removed"' out)" 3
    copied -aH --delete source/ target
    equal source target
    expect "told" "$(grep -c '"event":"removed"' out)" 3
}

@test "--delete with several sources takes what none of them has, as rsync; hard links go across them" {
    local way
    mkdir -p a/both/deep b/both/deep x/named y/named
    touch a/both/from-a b/both/from-b a/top-a b/top-b a/both/deep/from-a
    echo file | tee file x/named/from-x y/named/from-y >/dev/null
    mkdir a/named && touch a/named/from-a
    ln a/top-a b/linked
    ln a/top-a y/named/linked
    ln a/top-a linked-file
    find a b x y -exec touch -d @1000000000 {} + # of a folder that several have one decides
    for way in target "far:$SCRATCH/target"; do
        rm -rf target expected
        mkdir -p target/{gone,both/{deep,gone},named/gone} target/both/deep/gone
        touch target/{surplus,both/surplus,named/surplus,both/deep/surplus}
        cp -a target expected
        rsync -aH --delete a/ b/ file linked-file x/named y/named expected
        copied "${far[@]}" -aHn --delete a/ b/ file linked-file x/named y/named "$way"
        expect "what would go" "$(jq -r 'select(.event == "removed") | .path' out | xargs -n1 basename | sort | uniq -c | xargs)" \
            "4 gone 4 surplus"
        copied "${far[@]}" -aH --delete a/ b/ file linked-file x/named y/named "$way"
        equal expected target
        expect "names of one file" "$(find target -samefile target/top-a | wc -l)" 4
        copied "${far[@]}" -aH --delete a/ b/ file linked-file x/named y/named "$way"
        expect_receipt .bytes_copied 0
        expect "told" "$(grep -c '"event":"removed"' out)" 0
    done
}

@test "--delete leaves a source that is in the target, what leads to it and what is in it, and says so; a rule that protects it is enough" {
    tree target/on/the/way
    mkdir -p target/surplus target/on/the/more
    cp -a target/on/the/way expected
    "$HAUL" -rn --delete target/on/the/way/ target >out 2>&1 && return 1 || expect "exit code" $? 23
    "$HAUL" -aH --delete target/on/the/way/ target >out 2>&1 && return 1 || expect "exit code" $? 23
    expect "said" "$(grep -c "target/on: not deleted, as a source is there" out)" 1
    [ ! -e target/surplus ]
    [ -e target/on/the/more ]
    equal expected target/on/the/way
    equal expected target --exclude=/on
    copied -aH --delete --exclude=/on target/on/the/way/ target
    copied -aH --delete target/on/the/way/ elsewhere
    equal expected elsewhere
}

@test "--delete and --force leave a folder in the way of a file in which a source is" {
    local how
    mkdir -p target/on/d
    random_files 1 target/on/on 3000 target/on/d/large 3M
    cp -a target/on expected
    for how in --delete --force --delete --force; do
        copy -an $how target/on/ target
        expect_status 23
        copy -a $how target/on/ target
        expect_status 23
        expect_words "target/on: a folder that is not empty is in its place"
        equal expected target/on
        equal expected/d target/d
    done
}

# Their names do not tell that these are one: a folder that is mounted twice, as a volume and a part of it in containers are.
@test "--delete leaves a source that is in the target by another mount, and what is mounted in a source from there" {
    requires root
    mkdir -p target/on/the/way target/gone part whole source/within
    random_files 1 target/on/the/way/a 3000 target/on/the/way/b 3M target/gone/d 3000 source/e 3000
    cp -a target/on/the/way expected
    cp -a target/gone gone
    mount --bind target/gone source/within
    cleanup_fn umount "$PWD/source/within"
    copy -a --delete --exclude=/on source/ target
    expect_status 23
    expect_words "target/gone: not deleted, as a source is there"
    equal gone target/gone
    equal gone target/within
    copied -ax --delete source/ target --exclude=/on
    [ ! -e target/gone ]
    mount --bind target/on/the/way part
    cleanup_fn umount "$PWD/part"
    mount --bind target whole
    cleanup_fn umount "$PWD/whole"
    set -- part/ target whole/on/the/way/ target target/on/the/way/ whole part/ whole
    while [ $# -gt 0 ]; do
        mkdir target/surplus
        copy -a --delete "$1" "$2"
        expect_status 23
        expect_words "$2/on: not deleted, as a source is there"
        [ ! -e target/surplus ]
        equal expected target/on/the/way
        shift 2
    done
}

@test "--delete leaves a source that is in the target by way of another host, which is this one" {
    mkdir -p target/on/the/way
    random_files 1 target/on/the/way/a 3000 target/on/the/way/b 3M
    cp -a target/on/the/way expected
    local from to
    for from in target/on/the/way/ "h:$PWD/target/on/the/way/"; do
        for to in target "h:$PWD/target"; do
            mkdir target/surplus
            copy "${far[@]}" -a --delete "$from" "$to"
            expect_words "target/on: not deleted, as a source is there"
            expect_status 23
            [ ! -e target/surplus ]
            equal expected target/on/the/way
        done
    done
}

@test "--delete: a journal goes with what it is of; a file of the source that only has such a name stays" {
    local way
    mkdir source
    random_file source/file 5000
    echo mine >source/.named.haul
    for way in target "h:$SCRATCH/target"; do
        rm -rf target
        mkdir target
        echo x | tee target/{gone,keep,.gone.haul,.keep.haul,.file.haul,.named.haul} \
            target/{.gone.haul-new,..gone.haul-new.haul,.keep.haul-new,..keep.haul-new.haul} >/dev/null
        copied "${far[@]}" -a --delete --filter='P keep' source/ "$way"
        expect "what is there, $way" "$(cd target && echo ..[a-z]* .[a-z]* *)" \
            "..keep.haul-new.haul .keep.haul .keep.haul-new .named.haul file keep"
        expect "its content" "$(cat target/.named.haul)" mine
    done
}

# Of these files the one would be written over by what haul keeps beside the other, or removed with that.
@test "what has the name of what haul keeps beside a file that is copied, too, is left out: one line each, 23" {
    local option way
    mkdir -p source/folder other
    random_file source/file 3M
    ln -s one source/link
    echo mine | tee source/{.file.haul,.file.haul-new,..file.haul-new.haul,.link.haul-new} source/{.alone.haul,.hidden.haul} \
        source/{hidden,.haul-0123456789abcdef} source/folder/{a,.a.haul-0-9} >/dev/null
    for option in -aH --no-inplace --dry-run; do
        for way in target "h:$SCRATCH/target"; do
            rm -rf target
            copy "${far[@]}" -a "$option" --exclude=/hidden source/ "$way"
            expect_status 23
            expect "lines, $option $way" "$(grep -c ': is left out: haul may need this name for what it keeps beside ' err)" 6
            grep -q 'target/\.file\.haul: is left out: .* beside file$' err
            [ "$option" != --dry-run ] || continue
            equal source target --exclude='/.file.haul*' --exclude='/..file*' --exclude=/.link.haul-new --exclude='/folder/.a.*' \
                --exclude='/.haul-0*' --exclude=/hidden
            expect "what is there, $option $way" "$(cd target && echo .[a-z]* ..[a-z]* * folder/.[a-z]*)" \
                ".alone.haul .hidden.haul ..[a-z]* file folder link folder/.[a-z]*"
        done
    done
    mv source/.file.haul other
    copy -a source/ other/ merged # the file is another source's
    expect_status 23
    expect_words 'merged/\.file\.haul: is left out'
    same source/file merged/file
    copied -a other/ apart
    expect "alone" "$(cat apart/.file.haul)" mine
}

@test "an unreadable folder: its content stays at the target, and --delete goes no further" {
    become_nobody
    mkdir -p source/shut source/open
    echo x | tee source/shut/a source/open/b source/c >/dev/null
    chown -R 65534:65534 source .
    copied -a source/ target
    chmod 0 source/shut
    rm source/open/b
    copy -a --delete --exclude=/on source/ target
    expect_status 23
    expect_words 'source/shut'
    [ -e target/shut/a ]
}

@test "a folder that is not there any more has no names, and takes none from the target" {
    mkdir source target
    echo x >target/file
    cd source
    rmdir ../source
    copy -a --delete . ../target
    cd ..
    expect_status 24
    expect_words 'cannot be listed'
    [ -e target/file ]
}

@test "100 files of which 3 cannot be read and one vanishes: 96 are there, one line each, 23; only one vanishing is 24" {
    become_nobody
    local i files=()
    mkdir source
    for ((i = 0; i < 100; i++)); do files+=(source/f$i 40K); done
    random_files 1 "${files[@]}"
    chmod 600 source/f*
    chown -R 65534:65534 source .
    chmod 0 source/f{3,50,99}
    copy_and_vanish
    expect_status 23
    expect "files that are there" "$(find target/source -type f ! -size 0 | wc -l)" 96
    expect "lines" "$(grep -c '^haul: source/f[0-9]' err)" 4
    expect "events that failed" \
        "$(jq -r 'select(.event == "file" and .exit != 0) | .source.path' out | sort)" \
        "$(printf '%s\n' source/f{3,50,99} "$(cat gone)" | sort)"
    expect_receipt .files 96
    rm -r target
    rm -f source/f{3,50,99}
    copy_and_vanish
    expect_status 24
}

# As fast as it goes, early and late; 77 has copies that are slowed down, their other sides and their links.
@test "killed at once and soon after, and run again: equal, and nothing is left behind" {
    local i moment files=()
    tree source
    for ((i = 0; i < 40; i++)); do files+=(source/d/e/f$i $((i * 1000))); done
    random_files 1 "${files[@]}"
    for moment in 0 0.01 0.02 0.04 0.08; do
        rm -rf target
        "$HAUL" -aH source/ target >/dev/null 2>&1 &
        sleep $moment
        kill -9 $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        copied -aH source/ target
        equal source target
        [ -z "$(find target -name '.*.haul')" ]
    done
}

@test "-n changes nothing and tells, with -i in rsync's letters, what a run would do" {
    tree source
    copied -aH source/ target
    random_file source/added 1000
    mkdir source/folder
    touch -d '2011-11-11 11:11:11' source/d/nothing
    chmod 711 source/empty
    ln -sfn elsewhere source/dangling
    echo x >target/extra
    mkdir -p source/turned/in
    echo x | tee source/turned/in/file target/turned >/dev/null
    cp -a target before
    "$HAUL" -aHn --delete --itemize-changes source/ target >told
    equal before target
    "$HAUL" -aH --delete --itemize-changes source/ target >did
    diff <(sort told | grep -v ' files\?') <(sort did | grep -v ' files\?')
    grep -qx '>f+++++++++ added' did
    grep -qx 'cd+++++++++ folder/' did
    grep -qx '\*deleting   extra' did
    grep -q '^c\?\.\?L.* dangling -> elsewhere$' did
    grep -q '^\.d\.\.\.p\.\.\.\.\. empty/$' did
    copied -aHn source new
    [ ! -e new ]
    ln -sfn x source/fifo
    "$HAUL" -aH --itemize-changes source/ target >did
    grep -qx 'cL+++++++++ fifo -> x' did
    "$HAUL" -aHc --itemize-changes source/ target >did # read, and nothing differs, but perhaps where holes are
    expect "lines" "$(grep -vE ' holes$|^[0-9]+ files[:,]' did)" ""
    "$HAUL" -aH --itemize-changes source/ new >did
    grep -qx 'cd+++++++++ ./' did
}

@test "without -r, -l, -D what is no file is skipped and said; -r alone takes folders and files" {
    tree source
    copy -p source target
    expect_status 23
    copied -r source/ target
    expect_words 'source/dangling: skipped, it is a symbolic link'
    expect_words 'source/fifo: skipped, it is a fifo'
    [ ! -L target/dangling ]
    [ ! -e target/fifo ]
    [ -d target/empty ]
    same source/d/large target/d/large
}

# Also where one machine has two names.
@test "a tree is never copied into itself" {
    local way there target
    far_is_here
    for way in here push pull; do
        case $way in
        here) there='' target='' ;;
        push) there='' target=far:$PWD/ ;;
        pull) there=far:$PWD/ target='' ;;
        esac
        rm -rf source && mkdir -p source/in
        echo x >source/file
        copy "${far[@]}" -a "${there}source" "${target}source/in"
        expect_status 23
        expect_words 'source/in: .*itself'
        [ -e source/in/source/file ] && [ ! -e source/in/source/in ] || { echo "$way"; return 1; }
        copy "${far[@]}" -a "${there}source/" "${target}source/new"
        expect_status 23
        expect_words 'source/new: .*itself'
        [ ! -e source/new/new ] || { echo "$way"; return 1; }
        copy "${far[@]}" -a "${there}source/" "${target}source"
        expect_status 23
    done
}

@test "--remove-source-files takes what is durable, and leaves folders" {
    tree source
    cp -a source kept
    copied -aH --mkpath source/d/ target/d # there already
    copied -aH --remove-source-files source/ target
    equal kept target
    [ -z "$(find source ! -type d)" ]
    [ -d source/d/e ]
}

@test "--remove-source-files leaves what lies up to date on another file system, and says so" {
    on_fs tmpfs 1M
    local inside=${FS##*/}
    mkdir -p "source/$inside"
    printf one >one && printf other >"source/$inside/other"
    touch -d 2020-01-01 one "source/$inside/other" # not in the moment in which the target is written
    cp -p one source/one && cp -p "source/$inside/other" "$FS/"
    copied -r --remove-source-files source/ "$SCRATCH"
    expect "left" "$(find source -type f)" "source/$inside/other"
    grep -q "$inside/other: stays at the source" err
}

# a/ and b/ have some of the same names, c/ has one of them.
same_names() {
    rm -rf a b c target
    mkdir -p a/d b/d/in c target
    printf first >a/both && printf second >b/both && printf third >c/both
    printf 'in first' >a/d/both && printf 'in second' >b/d/both
    printf own >a/own && printf other >b/d/in/own
    ln b/d/in/own b/linked
    ln b/both b/another
    ln -s there b/link
    cp -a b/d/in target/ # up to date
    mkdir -p target/d && mv target/in target/d/
}

# rsync leaves what another source has under the same name, too: the first one counts, and of the other's only copy would be gone.
@test "--remove-source-files leaves what is one thing at source and target, of every kind" {
    local target
    requires root
    mkdir -p source/sub target/sub
    ln -s nowhere target/sub/link
    ln target/sub/link target/sub/other
    mkfifo target/sub/fifo
    mknod target/sub/device c 1 3
    echo x >target/sub/file
    mount --bind target/sub source/sub
    cleanup_fn unmount "$SCRATCH/source/sub"
    for target in target "h:$SCRATCH/target"; do
        copy "${far[@]}" -aH --remove-source-files source/ "$target"
        expect_status 23
        expect "lines" "$(grep -c 'source/sub/.* are the same' err)" 5
        expect "what is there" "$(cd target/sub && echo *)" "device fifo file link other"
    done
}

@test "--remove-source-files of several sources with the same names: the first one's are moved, the others stay" {
    local way there target options
    far_is_here
    for way in here push pull; do
        same_names
        case $way in
        here) there='' target='' options=(--delete) ;;
        push) there='' target=far: options=(--force) ;;
        pull) there=far:$PWD/ target='' options=() ;;
        esac
        copied "${far[@]}" "${options[@]}" -aH --remove-source-files "${there}a/" "${there}b/" "${there}c/" "$target$PWD/target/"
        expect "what stays ($way)" "$(find a b c ! -type d -printf '%p ' -exec cat {} \; | sort)" "b/both secondb/d/both in secondc/both third"
        grep -q 'both: stays at the source: .*a/* has this name, too' err
        expect "moved ($way)" "$(cat target/both target/d/both target/own target/d/in/own target/another)" "firstin firstownothersecond"
        same target/linked target/d/in/own
        [ "$(readlink target/link)" = there ]
    done
}

@test "--remove-source-files of a file and of trees that have its name: what is named is moved, the others stay" {
    mkdir -p c sub/deep target x/deep
    printf file >name && printf tree >c/name && printf other >other && printf deep >sub/deep/name
    touch -r name c/name # of the same size, too
    copied -a --remove-source-files name other c/ sub target/
    expect "what stays" "$(find name other c sub ! -type d -exec cat {} + 2>/dev/null)" tree
    grep -q 'name: stays at the source: .* has this name, too' err
    expect "moved" "$(cat target/name target/other target/sub/deep/name)" fileotherdeep
    # A folder has that name: nothing of it can be copied, and nothing goes.
    printf again >deep && printf inside >x/deep/inside
    copy -a --remove-source-files deep x/deep target/
    expect_status 23
    expect_words 'deep: is left out: what is there at the target leaves another source'
    expect "there" "$(cat target/deep x/deep/inside)" againinside
}

# It is a folder that has nothing but its only copy; and a folder counts before a file, as with rsync.
@test "--remove-source-files: what leaves its source is not replaced by what another source has in the place of its folder" {
    mkdir -p a b/d/e target
    printf moved >b/d/e/x
    printf file >a/d
    copied -a --force --delete --remove-source-files a/ b/ target/
    grep -q 'd: stays at the source: b/* has this name, too, and counts' err
    expect "there" "$(cat target/d/e/x a/d)" movedfile
    [ ! -e b/d/e/x ]
}

@test "--remove-source-files with --delete: what is moved while names are compared stays at the target" {
    local i
    mkdir -p source/d target/d
    for ((i = 0; i < 300; i++)); do
        echo "$i" >"source/d/s$i"
    done
    (cd target/d && seq -f 'old%0100g' 600 | xargs touch)
    cp -r source kept
    copied -a --delete --remove-source-files source/ target/
    diff -r kept target
    [ -z "$(find source -type f)" ]
}

# The removal of the first one takes a second, and the far side ends within it.
@test "--remove-source-files takes all that is durable, also when the link is lost behind the last file" {
    requires strace
    local name status=0
    printf '#!/bin/sh\necho $$ >%q\nexec %q --server\n' "$SCRATCH/pid" "$HAUL" >here
    chmod 755 here
    mkdir target
    for name in a b c; do random_file "$name" 5000; done
    env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o trace -e trace=unlinkat -e inject=unlinkat:delay_exit=1000000 \
        "$HAUL" -q -e "$SCRATCH/here" --remove-source-files a b c "far:$PWD/target/" 2>err 3>&- &
    waits_until 60 eval '[ ! -e a ]'
    kill -9 "$(cat pid)"
    wait $! || status=$?
    expect_status 0
    expect "what is at the source" "$(ls a b c 2>/dev/null)" ""
    expect "what is at the target" "$(ls target | xargs)" "a b c"
    expect "what was said" "$(cat err)" ""
}

# Here, there, and from there: renamed, several in a folder, and what is up to date.
@test "--remove-source-files takes files that are named, too, and nothing that is no file" {
    local way there target loop
    far_is_here
    for way in here push pull; do
        rm -rf target && mkdir target
        printf one >one && printf two >two && printf three >three
        case $way in
        here) there='' target='' ;;
        push) there='' target=far: ;;
        pull) there=far:$PWD/ target='' ;;
        esac
        copied "${far[@]}" -n --remove-source-files "${there}one" "${target}$PWD/target/first"
        copied "${far[@]}" --remove-source-files "${there}one" "${target}$PWD/target/first"
        expect "first ($way)" "$(cat target/first) $(ls one* 2>/dev/null)" "one "
        cp -p two target/
        copied "${far[@]}" -r --remove-source-files "${there}two" "${there}three" "${target}$PWD/target/"
        expect "others ($way)" "$(cat target/two target/three) $(ls two three 2>/dev/null)" "twothree "
    done
    # What was written to meanwhile is another file; what failed or was left out has no copy.
    printf old >stays && printf new >target/stays && touch -d 2030-01-01 target/stays
    copied -u --remove-source-files stays target/
    [ -e stays ]
    ln -s stays link
    copy --remove-source-files link target/link
    expect_status 41
    expect_words 'link: has changed since it was copied, and was not removed'
    [ -e stays ]
    [ -L link ]
    copied --remove-source-files stays null:
    grep -q 'stays: stays' err
    [ -e stays ]
}

# Names that are at the target and not at the source.
extra() { # FOLDER
    mkdir -p "$1"/gone/deep
    touch "$1"/{1,2,3,4,5} "$1"/gone/{6,deep/7}
}

@test "--max-delete removes so many and says 25, each name in a folder counted; -n, too" {
    mkdir source target
    touch source/{a,b}
    extra target
    copy -n -r --delete --max-delete=3 source/ target
    expect_status 25
    expect "would go" "$(grep -c '"event":"removed"' out)" 3
    copy -r --delete --max-delete=3 source/ target
    expect_status 25
    grep -q 'max-delete=3' err
    expect "left" "$(find target -mindepth 1 | wc -l)" 8
    copy -r --delete --max-delete=0 source/ target
    expect_status 25
    expect "left" "$(find target -mindepth 1 | wc -l)" 8
    copy -r --delete --max-delete=6 source/ target
    expect_status 0
    diff -r source target
    extra target
    copy -r --delete --max-delete=1 source/ source/none target
    expect_status 23
    expect "left after an error" "$(find target -mindepth 1 | wc -l)" 11
    copy -r --delete --ignore-errors source/ source/none target
    expect_status 23
    diff -r source target
    copy -r --delete --max-delete=no source/ target
    expect_status 1
}

@test "--ignore-errors removes after an error what the source has not, and only that" {
    become_nobody
    mkdir -p source/{shut,open} target
    touch source/shut/x source/open/y
    cp -r source/. target
    extra target
    touch target/{shut,open}/gone
    chown -R 65534:65534 source target .
    chmod 0 source/shut
    copy -r --delete source/ target
    expect_status 23
    [ -e target/shut/gone ]
    copy -r --delete --ignore-errors source/ target
    expect_status 23
    [ -e target/shut/x ] && [ -e target/shut/gone ] && [ ! -e target/open/gone ] && [ ! -e target/1 ] && [ ! -e target/gone ]
}

# Two files of the source whose names at the target are one, and an older copy of the tree by hard links.
@test "a hard link that cannot be made at the target is a copy, which is told: 23" {
    requires root
    mkdir -p source/mounted target/mounted
    random_file source/file 5000
    ln source/file source/mounted/file
    ln -s x source/link
    ln source/link source/mounted/link
    mount -t tmpfs haul-test target/mounted
    cleanup_fn unmount "$SCRATCH/target/mounted"
    copy -aH -n source/ target
    expect_status 23
    copy -aH source/ target
    expect_status 23
    expect "lines" "$(grep -c 'target/.*: hard link to .* not kept, which was asked for: ' err)" 1
    rsync -acni source/ target/ | diff /dev/null -
    copy -aHv source/ target
    expect_status 23
    expect "lines" "$(grep -c 'hard link to .* not kept' err)" 2
    copied -a source/ target
}

@test "a file that has other names at the target gets one of its own, and they stay what they were" {
    local way size
    far_is_here
    for way in here push pull; do
        for size in 5000 700000; do
            rm -rf source target before kept
            mkdir source target
            random_file source/a $size 1
            random_file source/b $size 2
            random_file target/a $((size + 1)) 3
            touch -d 2020-01-01 target/a
            ln target/a target/b
            cp -al target before
            cp -a target kept
            case $way in
            here) copied -a source/ target ;;
            push) copied "${far[@]}" -a source/ "far:$PWD/target" ;;
            pull) copied "${far[@]}" -a "far:$PWD/source/" target ;;
            esac
            equal source target
            equal kept before -H
            again -a source/ target
            expect "left" "$(ls -A target)" "$(printf 'a\nb')"
            # With -H they are one again where the source's are.
            ln -f source/a source/b
            copied -aH source/ target
            equal source target
        done
    done
}

# The same size and time, as in an older copy of the tree by hard links: only the content tells.
@test "-c and -I write nothing into other names of a file, and what is equal stays one" {
    local way size option
    for way in here push pull; do
        for size in 5000 700000; do
            for option in -c -I; do
                rm -rf source target before kept
                mkdir source target
                random_file source/a $size 1
                random_file source/b $size 2
                random_file target/a $size 3
                cp source/b target/b
                touch -d 2020-01-01 source/* target/*
                chmod 600 target/b
                cp -al target before
                cp -a target kept
                case $way in
                here) copied -a $option source/ target ;;
                push) copied "${far[@]}" -a $option source/ "far:$PWD/target" ;;
                pull) copied "${far[@]}" -a $option "far:$PWD/source/" target ;;
                esac
                equal source target
                cmp kept/a before/a
                expect "told of what differs" "$(cat out err | grep -c 'differ\>\|"difference"')" 0
                expect "names" "$(stat -c %h target/a before/a target/b | xargs)" "1 1 2"
                expect "left" "$(ls -A target)" "$(printf 'a\nb')"
            done
        done
    done
}

# They are open for us as long as something is done in them.
@test "a folder at the target has its own mode again without -p, and the source's with it, however closed" {
    local way name
    become_nobody
    far_is_here
    for way in here push; do
        rm -rf source target
        mkdir -p source/{closed,sticky,new,other} target/{closed,sticky}
        mkfifo -m 600 target/other # a folder in its place is a new one
        for name in closed sticky new; do random_file source/$name/file 3000; done
        echo old | tee target/closed/old >target/sticky/old
        chmod 2550 source/new
        chmod 500 target/closed
        chmod 1577 target/sticky
        chown -R 65534:65534 .
        case $way in
        here) copied -a --no-perms source/ target ;;
        push) copied "${far[@]}" -a --no-perms source/ "far:$PWD/target" ;;
        esac
        diff source/closed/file target/closed/file
        expect "modes" "$(cd target && stat -c %a closed sticky new other | xargs)" "500 1577 550 755"
        chmod 500 source/closed source/sticky
        copied -a source/ target
        expect "modes" "$(cd target && stat -c %a closed sticky new | xargs)" "500 500 2550"
        copied -a source/ target # nothing is to be done
        expect "modes" "$(cd target && stat -c %a closed sticky new | xargs)" "500 500 2550"
        chmod -R u+w source target
    done
}

# A list's mask is a part of the mode, and comes with it.
@test "a folder has its own mode with -A and without -p, but for what a list brings" {
    requires setfacl getfacl
    local who
    for who in root nobody; do
        [ "$who" = root ] || become_nobody
        rm -rf source target
        mkdir -p source/{new,closed,listed} target/closed
        for name in new closed listed; do random_file source/$name/file 300; done
        setfacl -m u:1:rwx source/listed || skip "needs access control lists"
        chmod 500 source/new target/closed
        chown -R "$(id -u $who)" .
        copied -a --no-perms -A source/ target
        expect "modes" "$(cd target && stat -c %a closed new | xargs)" "500 500"
        diff <(cd source && getfacl -cn listed) <(cd target && getfacl -cn listed)
        copied -a --no-perms -A source/ target
        expect "modes" "$(cd target && stat -c %a closed new | xargs)" "500 500"
        diff <(cd source && getfacl -cn listed) <(cd target && getfacl -cn listed)
    done
}

@test "a folder that a killed run has left open has the source's mode after the next one" {
    become_nobody
    mkdir -p source/{closed,new} target/closed
    random_file source/closed/file 400000
    random_file source/new/file 400000
    chmod 550 source/closed source/new
    chmod 500 target/closed
    chown -R 65534 .
    "${under[@]}" "$HAUL" -a --bwlimit=100K source/ target 3>&- &
    local pid=$!
    cleanup_fn kill -KILL "$pid"
    waits_until 60 test -s target/new/file
    kill -KILL "$pid"
    wait "$pid" || true
    [ "$(stat -c %a target/new)" != 550 ]
    copied -a source/ target
    expect "modes" "$(cd target && stat -c %a closed new | xargs)" "550 550"
    diff -r source target
}
