#!/usr/bin/env bats
# Goal: a tree with every kind of entry and every kind of name, with everything that stands beside data, is the same at the
# target, by rsync's judgement and by our own: here, pushed, pulled, and from one other machine to another. A second run
# copies nothing, and a target that had something else everywhere gets the same.
load ../lib/common

FAR=(-e 'env -u %h' --remote-path="$HAUL") # a far side without ssh

setup() {
    scratch_open
    requires root rsync setfattr setfacl python3
}

# Each line makes one kind of thing; times last, since making something in a folder moves its time.
every_kind() ( # PATH
    set -e
    mkdir "$1" && cd "$1"
    random_file regular 300K
    : >empty
    mkdir folder folder/deep 'empty folder' readonly default sticky
    mkdir -m 2770 set-gid
    random_file readonly/inside 10
    ln -s regular link
    ln -s nowhere dangling
    ln -s /absolute/nowhere absolute
    ln -s "$(printf 'x%.0s' {1..4000})" long-link
    ln regular hard
    ln link hard-to-link
    ln dangling folder/hard-to-dangling
    mkfifo fifo
    ln fifo folder/hard-to-fifo
    /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
    mknod null c 1 3
    mknod block b 7 200
    random_file set-id 10
    chown 12:34 set-id
    chmod 6755 set-id
    random_file unreadable 10
    chmod 000 unreadable
    chmod 1777 sticky
    echo data >lists
    setfacl -m u:65534:rw,g:1234:r lists
    setfacl -m u:88:rx fifo
    setfacl -m u:88:rx default
    setfacl -d -m u:77:rwx,g::r-x default
    echo data >default/inherits
    setfattr -n user.nul -v 0x610062 regular
    setfattr -n user.empty empty
    setfattr -n user.in-a-folder -v x 'empty folder'
    setfattr -n trusted.ours -v t folder
    setfattr -h -n trusted.ours -v l link
    setfattr -n trusted.ours -v f fifo
    setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 lists
    echo name >"$(printf 'n%.0s' {1..255})"
    echo name >$'new\nline'
    echo name >$'not-utf-8-\xff\xfe'
    echo name >'trailing blank '
    echo name >-leading-dash
    echo name >'*'
    truncate -s 1M holes
    printf x | dd of=holes bs=1 seek=500000 conv=notrunc status=none
    chown -h 55:66 link fifo socket null folder dangling
    touch -d '2001-02-03 04:05:06.123456789' regular
    touch -d '1960-01-01 00:00:00.5' empty
    touch -d '2400-01-01' set-id
    touch -h -d '1999-01-01 01:01:01.000000001' dangling
    touch -d '1998-01-01' fifo null block socket
    touch -d '2002-02-02 02:02:02.2' folder/deep folder 'empty folder' readonly default sticky set-gid .
    chmod 555 readonly
)

# What rsync does not compare: to the nanosecond, and of whom it thinks the same.
facts_of() { # PATH
    (cd "$1" && find . -printf '%P\t%y %m %U %G %n %T@ %l\n' | LC_ALL=C sort -z | LC_ALL=C sort)
    (cd "$1" && getfattr -Rhd -m - -e hex . | LC_ALL=C sort)
    (cd "$1" && getfacl -Rpn . | cksum)
}

# WHAT PATH: equal to the source.
equal() {
    expect "what rsync would do with what was $1" "$(rsync -aHAXSni --checksum --delete source/ "$2")" ""
    facts_of "$2" >found
    diff wanted found
    expect "what was left beside it" "$(find "$2" -name '.*haul*')" ""
}

every_way() { # PREFIX
    copied -aHAXS source/ "$1here"
    copied -aHAXS "${FAR[@]}" source/ "far:$PWD/$1pushed"
    copied -aHAXS "${FAR[@]}" "far:$PWD/source/" "$1pulled"
    copied -aHAXS "${FAR[@]}" "one:$PWD/source/" "other:$PWD/$1between"
}

all_equal() { # PREFIX
    local way
    for way in here pushed pulled between; do
        equal "$way" "$1$way"
    done
}

@test "every kind of entry, by every way; a second run copies nothing" {
    every_kind source
    facts_of source >wanted
    every_way ''
    all_equal ''
    local way before
    for way in here pushed; do
        before=$(find $way -printf '%P %C@\n' | cksum)
        [ $way = here ] || set -- "${FAR[@]}"
        copied -aHAXS "$@" source/ "$([ $way = here ] || echo "far:$PWD/")$way"
        expect_receipt .bytes_copied 0
        expect "what changed $way" "$(find $way -printf '%P %C@\n' | cksum)" "$before"
    done
}

@test "every kind in the place of another one, and details that are too much" {
    every_kind source
    facts_of source >wanted
    local way name
    for way in here pushed; do
        mkdir $way
        for name in regular empty link fifo block lists holes; do
            mkdir $way/$name # empty folders are no hindrance
        done
        for name in folder 'empty folder' socket dangling hard; do
            echo other >"$way/$name"
        done
        ln -s elsewhere $way/default
        ln -s elsewhere $way/null
        mkfifo $way/set-id $way/hard-to-link $way/readonly
        mkdir $way/sticky
        setfattr -n user.surplus -v x $way/sticky
        setfacl -d -m u:99:rwx $way/sticky
    done
    copied -aHAXS source/ here
    copied -aHAXS "${FAR[@]}" source/ "far:$PWD/pushed"
    equal here here
    equal pushed pushed
}

@test "a folder that is not empty is in the way, but for --force and --delete" {
    mkdir source target target/x target/x/y
    mkfifo source/x
    copy -a source/ target
    expect_status 23
    expect_words 'target/x: a folder that is not empty is in its place'
    [ -d target/x/y ]
    copied -a --force source/ target
    [ -p target/x ]
}

@test "somebody who is not root: devices are left out, the rest is his" {
    requires setpriv
    every_kind source
    rm source/unreadable source/set-id
    chmod -R a+rX source
    mkdir -m 777 theirs
    cp "$HAUL" nobodys-haul && chmod 755 nobodys-haul
    status=0
    setpriv --reuid=65534 --regid=65534 --clear-groups ./nobodys-haul -aHS source/ theirs/target >out 2>err || status=$?
    rm -f source/null source/block
    expect "what is not there" "$(diff <(cd source && find . | sort) <(cd theirs/target && find . | sort))" ""
    expect "whose it is" "$(find theirs/target ! -uid 65534)" ""
    [ -z "$(grep -v 'null\|block' err)" ]
}

@test "--chmod by kind, --chown for all of it, and no more names than a filesystem allows" {
    every_kind source
    copied -aH --chmod=D711,F640 --chown=5:6 source/ target
    expect "folders" "$(find target -type d -printf '%m\n' | sort -u)" 711
    expect "files" "$(find target -type f -printf '%m\n' | sort -u)" 640
    expect "whose it is" "$(find target -printf '%U:%G\n' | sort -u)" 5:6
}

@test "60 folders of 200 bytes each: deeper than a path can say" {
    cat >deep.py <<'END'
import os, sys
name, at = "d" * 200, os.open(sys.argv[2], os.O_RDONLY)
for depth in range(60):
    if sys.argv[1] == "make":
        os.mkdir(name, dir_fd=at)
    at = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=at)
    if sys.argv[1] == "make":
        os.symlink("link %d" % depth, "link", dir_fd=at)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=at))
        os.utime(at, ns=(0, depth * 10**9))
    st = os.stat("file", dir_fd=at)
    print(depth, os.readlink("link", dir_fd=at), oct(st.st_mode), os.fstat(at).st_mtime_ns if sys.argv[1] != "make" else depth * 10**9)
END
    mkdir source
    /usr/bin/python3 deep.py make source >wanted
    copied -a source/ here
    copied -a "${FAR[@]}" source/ "far:$PWD/pushed"
    local way
    for way in here pushed; do
        /usr/bin/python3 deep.py look $way >found
        cut -d' ' -f1-4 wanted >one
        cut -d' ' -f1-4 found >other
        diff one other
    done
}

@test "owners of folders, links and files go by their names there, and a second run finds them right" {
    far_has_other_numbers
    mkdir -p source/folder
    echo data >source/folder/file
    ln -s x source/folder/link
    mkfifo source/fifo
    setfacl -m u:65534:r source/folder
    chown -hR 65534:1234 source
    copied -aA "${far[@]}" source/ "far:$PWD/target"
    expect owners "$(find target -printf '%U:%G\n' | sort -u)" 4242:1234
    getfacl -cn target/folder | grep -q '^user:4242:r--'
    local before
    before=$(find target -printf '%P %C@\n' | cksum)
    copied -aA "${far[@]}" source/ "far:$PWD/target"
    expect "what changed" "$(find target -printf '%P %C@\n' | cksum)" "$before"
    copied -aA --numeric-ids "${far[@]}" source/ "far:$PWD/target"
    expect owners "$(find target -printf '%U:%G\n' | sort -u)" 65534:1234
    getfacl -cn target/folder | grep -q '^user:65534:r--'
}
