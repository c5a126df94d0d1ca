#!/usr/bin/env bats
# Goal: the target is where a user of cp expects it, under any name that a filesystem takes, with the source's mode, owner
# and times.
load ../lib/common

@test "a folder as the target takes the file under its name" {
    random_file source 10K
    mkdir folder "folder with a slash"
    copied source folder
    same source folder/source
    copied source "folder with a slash/"
    same source "folder with a slash/source"
}

@test "-T treats a folder as the target itself and refuses it" {
    random_file source 10K
    mkdir folder
    copy -T source folder
    [ "$status" != 0 ]
    expect_clear_error
    [ -z "$(ls folder)" ]
}

@test "several sources go into a folder" {
    mkdir folder
    random_file one 10K 1
    random_file two 3M 2
    random_file three 0
    copied one two three folder
    uncached one two three folder/*
    same one folder/one
    same two folder/two
    same three folder/three
    expect_receipt .files 3
    copy one two three
    expect_status 1
}

@test "a folder as the source without -r is skipped with a message, exit 23" {
    mkdir folder
    copy folder target
    expect_status 23
    expect_words 'folder|directory'
    [ ! -e target ]
}

@test "mode and modification time are the source's" {
    random_file source 1M
    local mode
    for mode in 600 644 755 400 666; do
        rm -f target
        chmod $mode source
        touch -d '2001-02-03 04:05:06.123456789' source
        copied source target
        expect "mode" "$(stat -c %a target)" $mode
        expect "mtime" "$(stat -c %.9Y target)" "$(stat -c %.9Y source)"
    done
}

@test "as root, the owner is the source's and set-id bits survive" {
    requires root
    random_file source 100K
    chown 1234:2345 source
    chmod 4750 source
    copied source target
    expect "owner" "$(stat -c %u:%g target)" 1234:2345
    expect "mode" "$(stat -c %a target)" 4750
}

@test "as another user, the copy belongs to that user and has no set-id bits" {
    requires root setpriv
    mkdir -m 777 open
    cp "$HAUL" haul
    chmod 755 haul
    random_file source 100K
    chmod 4755 source
    run setpriv --reuid=65534 --regid=65534 --clear-groups ./haul -q source open/target
    [ "$status" = 0 ] || { echo "$output"; false; }
    expect "owner" "$(stat -c %u:%g open/target)" 65534:65534
    expect "mode" "$(stat -c %a open/target)" 755
    uncached open/target
    same source open/target
}

@test "odd names" {
    local name names=("two words" $'new\nline' "-dash" '$(touch x)' '*' "quote'\"s" $'tab\tand\\back' "ümläut" $'\xff\xfe not utf8' \
        "$(printf '%0255d' 7)" "a:b" $'\e[31mred' "%s%n")
    random_file plain 5000
    for name in "${names[@]}"; do
        cp plain "./$name"
        copied -- "./$name" "./copy"
        same plain ./copy
        rm -f ./copy
        mkdir d
        copied -- "./$name" d
        same plain "d/$name"
        expect "files in the folder" "$(find d -type f -printf x)" x
        rm -rf d
        copied -- plain "./other"
        rm -f "./$name" ./other
        copied -- plain "./$name"
        same plain "./$name"
        jq -es 'all(.v == 1)' out >/dev/null
        rm -f "./$name"
    done
    [ ! -e x ]
}

@test "terminal escapes in names are not sent to the terminal" {
    run haul $'missing\e[31mred' target
    [ "$status" != 0 ]
    [[ $output != *$'\e'* ]]
}

@test "a symlink as the source is followed, as cp does" {
    random_file real 1M
    ln -s real source
    copied source target
    [ ! -L target ]
    uncached real target
    same real target
}

@test "a symlink as the target is written through, as cp does" {
    random_file source 100K
    random_file real 200K 2
    ln -s real target
    copied source target
    [ -L target ]
    same source real
}

@test "a broken symlink as the target is reported, and nothing is made behind it" {
    random_file source 10K
    ln -s nowhere link
    copy source link
    expect_status 11
    expect_clear_error
    expect_words 'link: is a symbolic link to a file that is not there; remove the link, or make the file'
    [ ! -e nowhere ]
}

@test "a broken symlink as the source is reported" {
    ln -s nowhere source
    copy source target
    [ "$status" = 23 ] || [ "$status" = 24 ] || expect_status 23
    expect_clear_error
    [ ! -e target ]
}

@test "hard links to the target see the new bytes, in place" {
    random_file source 100K
    random_file target 100K 2
    touch -d '2001-01-01' target # two files may be made within one tick of the kernel's clock
    ln target other
    copied source target
    same source other
}

@test "writing to a device needs --write-devices" {
    requires root loop
    random_file source 1M
    truncate -s 2M image
    local device
    device=$(losetup --find --show image)
    cleanup_fn loop_detach "$device"
    copy source "$device"
    [ "$status" != 0 ]
    expect_clear_error
    expect "bytes on the device" "$(tr -d '\0' <"$device" | wc -c)" 0
}

@test "a device that is not there does not become a file in memory, nor does one that was made so before" {
    local way
    requires root
    [ "$(stat -c %d /dev)" != "$(stat -c %d /)" ] || skip "/dev is no file system of its own"
    random_file source 1M
    for way in -n --write-devices; do
        copy "$way" source "/dev/haul-test.$$"
        expect_status 11
        expect_clear_error
        expect_words "/dev/haul-test.$$: there is no such device"
        [ ! -e "/dev/haul-test.$$" ]
    done
    : >"/dev/haul-test.$$"
    cleanup_fn rm -f "/dev/haul-test.$$"
    copy --write-devices source "/dev/haul-test.$$"
    expect_status 11
    [ ! -s "/dev/haul-test.$$" ]
}

@test "nothing else is left beside the target" {
    mkdir folder
    random_file source 1M
    copied source folder/target
    expect "files in the folder" "$(find folder -type f | wc -l)" 1
}
