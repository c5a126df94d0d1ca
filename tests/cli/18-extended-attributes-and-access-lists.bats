#!/usr/bin/env bats
# Goal: with -A and -X what a file has beside its data and facts is the source's and nothing else, whoever is far away and
# whether or not there are data to be copied; where it cannot be, the data are durable all the same, and it is exit 23.
# rsync finds nothing to do afterwards.
load ../lib/common

FAR=(-e 'env -u %h' --remote-path="$HAUL") # a far side without ssh

dressed_source() {
    requires root rsync setfattr setfacl
    random_file source 1M
    setfattr -n user.nul -v 0x6100620a source
    setfattr -n user.empty source
    setfattr -n trusted.ours -v x source
    setfacl -m u:65534:rw,g:1234:r,m::rwx source
    chown 12:34 source
    chmod 2750 source
    touch -d '2001-02-03 04:05:06.7' source
}

details() { # PATH
    getfattr --absolute-names -d -m - -e hex "$1" | grep -v '^#'
    getfacl --absolute-names -cn "$1"
    stat -c '%u %g %a %.9Y' "$1"
}

itemizes() { # LINE OPTION...
    local line=$1
    shift
    run haul --itemize-changes "$@"
    expect "lines of changes" "$(grep -E '^[.<>]f' <<<"$output")" "$line"
}

dressed() { # TARGET
    same source "$1"
    expect "what is beside it" "$(details "$1")" "$(details source)"
    expect "what rsync would do" "$(rsync -aAXni source "$1")" ""
}

@test "here, there and from there, and what was there before is gone" {
    dressed_source
    local target
    for target in new old; do
        [ "$target" = new ] || for name in here pushed pulled; do
            random_file $name 1M 2
            setfattr -n user.surplus -v y $name
            setfacl -m u:77:r $name
        done
        copied -aAX source here
        copied -aAX "${FAR[@]}" source "far:$PWD/pushed"
        copied -aAX "${FAR[@]}" "far:$PWD/source" pulled
        dressed here
        dressed pushed
        dressed pulled
        rm here pushed pulled
    done
}

@test "of a file whose data are right already; what differs is itemized, and -n changes nothing" {
    dressed_source
    copied -aAX source target
    itemizes '' -aAX source target
    setfattr -n user.more -v y target
    setfacl -b target
    chmod 2750 target
    local before
    before=$(details target)
    itemizes '.f.......ax source' -naAX source target
    expect "what is beside it" "$(details target)" "$before"
    itemizes '.f.......ax source' -aAX source target
    dressed target
    setfattr -x user.nul source
    copied -aAX "${FAR[@]}" source "far:$PWD/target"
    dressed target
}

@test "without -A and -X they are left as they are, and -a is without" {
    dressed_source
    random_file target 1M 2
    setfattr -n user.mine -v y target
    copied -a source target
    expect "extended attributes" "$(getfattr --absolute-names -d -m - target | grep -c =)" 1
    same source target
}

@test "a file system that has none: durable, a line, exit 23" {
    dressed_source
    FUSE_FAULTS=()
    on_fs fuse 64M
    copy -AX --no-owner --no-group --no-perms source "$FS/target"
    expect_status 23
    expect_receipt .durable true
    expect_words 'target: extended attributes, access control list not kept, which was asked for'
    expect_receipt '.attributes_lost|join(",")' xattrs,acls
    same source "$FS/target"
}

@test "somebody who is not root gets those of users, and no line about the rest" {
    dressed_source
    requires setpriv
    mkdir -m 777 theirs
    chmod 644 source
    setfacl -b source
    cp "$HAUL" nobodys-haul && chmod 755 nobodys-haul
    setpriv --reuid=65534 --regid=65534 --clear-groups ./nobodys-haul -q -aX source theirs/target
    expect "what is there" "$(getfattr --absolute-names -d -m - theirs/target | grep -c =)" 2
    same source theirs/target
}

@test "owners and the users of lists go by their names there, or by number" {
    dressed_source
    requires unshare
    sed 's/^nobody:x:65534:/nobody:x:4242:/' /etc/passwd >passwd
    cat >elsewhere <<END
#!/bin/sh
shift
exec "$HAUL_ROOT/tests/lib/own_mounts" 'mount --bind "$PWD/passwd" /etc/passwd' "\$@"
END
    chmod +x elsewhere
    chown 65534:34 source
    copied -aA -e './elsewhere %h' --remote-path="$HAUL" source "far:$PWD/target"
    expect owner "$(stat -c %u target)" 4242
    getfacl --absolute-names -cn target | grep -q '^user:4242:rw-'
    itemizes '' -aA -e './elsewhere %h' --remote-path="$HAUL" source "far:$PWD/target"
    copied -aA --numeric-ids -e './elsewhere %h' --remote-path="$HAUL" source "far:$PWD/target"
    expect owner "$(stat -c %u target)" 65534
    getfacl --absolute-names -cn target | grep -q '^user:65534:rw-'
}
