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

@test "of many names it is told once, and summed; of each with -v" {
    dressed_source
    FUSE_FAULTS=()
    on_fs fuse 64M
    mkdir -p tree/folder
    ln -s nowhere tree/link
    cp -a source tree/one
    cp -a source tree/folder/two
    setfattr -n user.mark -v x tree/folder
    copy -rlX --no-perms tree/ "$FS/target"
    expect_status 23
    expect "lines" "$(grep -c 'not kept' err)" 1
    expect_receipt '.attributes_lost_counts|"\(.xattrs) \(.acls)"' "3 0"
    rm -r "$FS/target"
    run haul -rlXv --no-perms tree/ "$FS/target"
    expect "exit code" "$status" 23
    expect "lines" "$(grep -c 'attributes not kept' <<<"$output")" 3
    [[ $output == *$'\nnot kept: extended attributes of 3'* ]]
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
    far_has_other_numbers
    chown 65534:34 source
    copied -aA "${far[@]}" source "far:$PWD/target"
    expect owner "$(stat -c %u target)" 4242
    getfacl --absolute-names -cn target | grep -q '^user:4242:rw-'
    itemizes '' -aA "${far[@]}" source "far:$PWD/target"
    copied -aA --numeric-ids "${far[@]}" source "far:$PWD/target"
    expect owner "$(stat -c %u target)" 65534
    getfacl --absolute-names -cn target | grep -q '^user:65534:rw-'
}

# 22 values of 64 KiB, and a list of 3,000 users; in chunks of 64 KiB a piece holds less than one value.
@test "more than fits in a buffer goes in pieces" {
    requires root setfattr setfacl python3 mkfs.xfs
    on_fs xfs 320M
    mkdir "$FS/tree" "$FS/tree/folder"
    random_file "$FS/tree/file" 100K
    large_details "$FS/tree/file" "$FS/tree/folder"
    mkdir -p "$FS/pulled/folder" # with what has to go
    random_file "$FS/pulled/file" 100K 2
    setfattr -n user.large-3-surplus -v x "$FS/pulled/file"
    setfattr -n user.large-7 -v other "$FS/pulled/file"
    setfattr -n user.zz -v x "$FS/pulled/folder"
    copied -aAX "$FS/tree/" "$FS/here"
    copied -aAX --chunk-size=64K "$FS/tree/" "$FS/small"
    copied -aAX "${FAR[@]}" "far:$FS/tree/" "$FS/pulled"
    local target name
    for name in file folder; do
        details "$FS/tree/$name" >wanted
        for target in here small pulled; do
            details "$FS/$target/$name" | cmp wanted -
        done
    done
    setfattr -n user.large-9 -v other "$FS/here/folder"
    expect "what would be done" "$(haul -aAXni "$FS/tree/" "$FS/here" | grep '^[.]')" ".d........x folder/"
    copied -aAX "$FS/tree/" "$FS/here"
    expect "what would be done" "$(haul -aAXni "$FS/tree/" "$FS/here" | grep '^[.]')" ""
}

@test "what XFS shows of its access control lists is no extended attribute" {
    requires root setfacl getfattr mkfs.xfs
    on_fs xfs 320M
    mkdir -p "$FS/source/folder" other "$FS/target"
    echo x | tee "$FS/source/file" other/file >"$FS/target/file"
    setfacl -m u:4242:rw "$FS/source/file" "$FS/target/file"
    setfacl -d -m u:4242:rwx "$FS/source/folder"
    copied -aX "$FS/source/" elsewhere
    expect "attributes" "$(getfattr -R -m - -d elsewhere 2>&1)" ""
    copied -rX other/ "$FS/target"
    getfacl --absolute-names -cn "$FS/target/file" | grep -q '^user:4242:rw-'
    copied -aAX "$FS/source/" "$FS/copy"
    copied -aAX elsewhere/ "$FS/target"
    for target in "$FS/source/ $FS/copy" "elsewhere/ $FS/target"; do
        # shellcheck disable=SC2086
        expect "what would be done" "$(haul -aAXni $target | grep '^[.<>c]')" ""
    done
}

large_details() { # PATH...
    /usr/bin/python3 - "$@" <<'EOF'
import os, random, struct, sys
random.seed(5)
users = [(2, 5, 10000 + i) for i in range(3000)]
rows = [(1, 7, 0xffffffff), *users, (4, 5, 0xffffffff), (16, 5, 0xffffffff), (32, 5, 0xffffffff)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
for path in sys.argv[1:]:
    for i in range(22):
        os.setxattr(path, f"user.large-{i}", random.randbytes(65536))
        os.setxattr(path, f"user.small-{i}", random.randbytes(i))
    os.setxattr(path, "system.posix_acl_access", acl)
    if os.path.isdir(path):
        os.setxattr(path, "system.posix_acl_default", acl)
EOF
}

# Its content is read at once, into memory: the rest is the file's all the same. FUSE tells no size of empty files either.
@test "of a file that tells no size: a cgroup's" {
    requires root cgroup
    local folder file copy
    folder=$(cgroup_make "haul-test.$$.$RANDOM" $((64 * MIB)))
    cleanup_fn cgroup_remove "$folder"
    file=$(find "$folder" -maxdepth 1 -type f -name 'memory.*' -perm 644 | sort | head -n 1)
    setfattr -n trusted.of -v "a cgroup" "$file"
    far_is_here
    copied -X "$file" one
    copied -X "${far[@]}" "$file" "far:$SCRATCH/two"
    copied -aX "$file" three
    for copy in one two three; do
        expect "its attribute in $copy" "$(getfattr --only-values -n trusted.of "$copy")" "a cgroup"
        cmp "$file" "$copy"
    done
}
