#!/usr/bin/env bats
# Goal: what is no data of a file (owner, group, permissions, modification time) is kept where that is possible; where it is
# not, the data are durable all the same, one line says so, and it is exit 23 only for those who asked for it.
load ../lib/common

# A copy as somebody else (65534), who may read and write here but owns nothing.
as_nobody() {
    requires root setpriv
    [ -e nobodys-haul ] || { cp "$HAUL" nobodys-haul && chmod 755 nobodys-haul; }
    status=0
    setpriv --reuid=65534 --regid=65534 --clear-groups ./nobodys-haul --json "$@" >out 2>err || status=$?
}

expect_note() { # WORDS: one line, with these
    expect "lines on standard error" "$(wc -l <err)" 1
    expect_words "$1"
}

durable_and_same() { # STATUS
    expect_status "$1"
    expect_receipt .durable true
    same source target
}

mode() { stat -c %a "$1"; }

far() { # a far side without ssh
    FAR=(-e 'env -u %h' --remote-path="$HAUL")
}

@test "a target of somebody else: durable, one note, exit 0; exit 23 where the mode was asked for" {
    random_file source 1M
    chmod 644 source
    random_file target 1M 2
    chmod 666 target
    as_nobody source target
    durable_and_same 0
    expect_note 'target: permissions, modification time not kept: Operation not permitted'
    expect_receipt '.attributes_lost|join(",")' mode,mtime
    as_nobody -I --perms source target
    durable_and_same 23
    expect_note 'target: permissions, modification time not kept, which was asked for'
    expect_receipt .error 'some of what was asked for could not be kept'
    as_nobody -I -a --no-times --no-perms source target
    durable_and_same 0
    expect "standard error" "$(cat err)" ""
}

@test "what is right already is not attempted, and is no note" {
    random_file source 1M
    random_file target 1M 2
    chmod 666 source target
    as_nobody --no-times -p source target
    durable_and_same 0
    expect "standard error" "$(cat err)" ""
}

@test "a file system that refuses chmod, chown or utimens" {
    local fault name
    random_file source 1M
    chmod 640 source
    chown 12:34 source
    touch -d '2001-02-03 04:05:06.7' source
    for fault in chmod-deny:perms chown-deny:owner utimens-deny:times chmod-ignore:perms utimens-ignore:times; do
        name=${fault#*:} fault=${fault%:*}
        FUSE_FAULTS=(--"$fault")
        on_fs fuse 64M
        copied source "$FS/one"
        expect_note "one: .*not kept"
        copy --"$name" source "$FS/two"
        expect_status 23
        expect_receipt .durable true
        expect_note 'two: .*not kept, which was asked for'
        copied --no-perms --no-owner --no-group --no-times source "$FS/three"
        expect "standard error with $fault" "$(cat err)" ""
        same source "$FS/one"
        same source "$FS/two"
        same source "$FS/three"
    done
}

@test "a file system that takes UTIME_OMIT for a time gets both times in numbers" {
    FUSE_FAULTS=(--omit-is-zero)
    on_fs fuse 64M
    random_file source 1M
    touch -d '2001-02-03 04:05:06.7' source
    copied source "$FS/target"
    expect "standard error" "$(cat err)" ""
    expect "modification time" "$(stat -c %.9Y "$FS/target")" "$(stat -c %.9Y source)"
    [ "$(stat -c %X "$FS/target")" -gt 1000000000 ]
}

@test "coarser times are no loss" {
    local unit
    random_file source 100K
    touch -d '2001-02-03 04:05:07.123456789' source
    for unit in 100 10000000 1000000000 2000000000; do
        FUSE_FAULTS=(--time-unit="$unit")
        on_fs fuse 64M
        copied --times source "$FS/target"
        expect "standard error with $unit" "$(cat err)" ""
    done
}

@test "mode and owner that changed at the source are carried over without the data" {
    requires root
    random_file source 1M
    chmod 600 source
    copied source target
    chmod 751 source
    chown 12:34 source
    copied source target
    expect_receipt .bytes_copied 0
    expect_receipt '.attributes_changed|join(",")' owner,group,mode
    expect "mode" "$(mode target)" 751
    expect "owner" "$(stat -c %u:%g target)" 12:34
    copied source target
    expect_receipt '.attributes_changed|length' 0
    chmod 640 source
    run haul source target
    [[ $output == *"permissions carried over"* ]] || { echo "$output"; false; }
    expect "mode" "$(mode target)" 640
    chmod 600 source
    copied --no-perms source target
    expect "mode with --no-perms" "$(mode target)" 640
}

@test "an up-to-date target gets its mode and owner back, here and over there; -n only says so" {
    requires root
    random_file source 1M
    chown 12:34 source
    chmod 4751 source
    copied source target
    chmod 600 target
    chown 0:0 target
    copied -n source target
    expect_receipt .up_to_date true
    expect_receipt '.attributes_changed|join(",")' owner,group,mode
    expect "mode after -n" "$(mode target)" 600
    run haul source target
    [[ $output == "source: up to date, owner, group, permissions carried over" ]] || { echo "$output"; false; }
    expect "mode" "$(mode target)" 4751
    expect "owner" "$(stat -c %u:%g target)" 12:34
    far
    chmod 600 target
    copied "${FAR[@]}" source "far:$PWD/target"
    expect_receipt .up_to_date true
    expect "mode on the far side" "$(mode target)" 751
    copied "${FAR[@]}" -a source "far:$PWD/target"
    expect "mode on the far side with -a" "$(mode target)" 4751
    copied "${FAR[@]}" --chmod=go= --chown=0:0 source "far:$PWD/target"
    expect_receipt .up_to_date true
    expect "mode on the far side with --chmod" "$(mode target)" 700
    expect "owner on the far side with --chown" "$(stat -c %u:%g target)" 0:0
}

@test "set-id bits of another machine are taken with -p or -a only, and not silently" {
    requires root
    local with
    far
    random_file source 100K
    chmod 6755 source
    mkdir pulled pushed
    copied "${FAR[@]}" "far:$PWD/source" pulled/default
    expect_note 'pulled/default: set-user-ID and set-group-ID bits not kept: .*-p takes them'
    expect "mode" "$(mode pulled/default)" 755
    copied "${FAR[@]}" source "far:$PWD/pushed/default"
    expect_words 'set-user-ID and set-group-ID bits not kept'
    expect "mode" "$(mode pushed/default)" 755
    for with in -p -a -avP --perms; do
        copied "${FAR[@]}" "$with" "far:$PWD/source" "pulled/taken$with"
        expect "mode" "$(mode "pulled/taken$with")" 6755
    done
    copied source here
    expect "mode of a copy on this machine" "$(mode here)" 6755
    copied --chown=12:34 source given
    expect "mode of a copy for somebody else" "$(mode given)" 755
}

@test "--no-perms leaves an existing target's mode, and gives a new one the source's less the umask" {
    random_file source 100K
    chmod 666 source
    umask 027
    copied --no-p source new
    expect "mode of a new target" "$(mode new)" 640
    chmod 444 source
    copied --no-perms source newer
    expect "mode of a new target" "$(mode newer)" 440
    : >there
    chmod 604 there
    copied --no-p source there
    expect "mode of an existing target" "$(mode there)" 604
    same source there
}

@test "--no-times, --no-owner and --no-group leave these" {
    requires root
    random_file source 100K
    touch -d 2001-01-01 source
    chown 12:34 source
    copied --no-t --no-o --no-g source target
    expect "owner" "$(stat -c %u:%g target)" 0:0
    [ "$(stat -c %Y target)" -gt 1000000000 ]
    copied --no-owner source target2
    expect "owner" "$(stat -c %u:%g target2)" 0:34
}

@test "-a, -r, -avP and -rlptgo copy a file" {
    local with
    random_file source 100K
    for with in -a -r -avP -rlptgo; do
        rm -f target
        copied "$with" source target
        same source target
    done
    mkdir folder into
    copy -p folder source into
    expect_status 23
    expect_words 'folder: skipped, it is a folder'
    same source into/source
}

@test "--chmod and --chown" {
    requires root
    far
    random_file source 100K
    chmod 640 source
    copied --chmod=F604,u+x --chown=12:daemon source target
    expect "mode" "$(mode target)" 704
    expect "owner" "$(stat -c %u:%G target)" 12:daemon
    copied "${FAR[@]}" --chmod=+r --chown=:34 source "far:$PWD/target2"
    expect "mode" "$(mode target2)" 644
    expect "owner" "$(stat -c %u:%g target2)" 0:34
    copy --chown=nobody-of-this-name source target3
    expect_status 1
    expect_note 'no user nobody-of-this-name'
    [ ! -e target3 ]
    mkdir -m 777 open
    as_nobody --chown=root source open/target
    [ "$status" = 11 ] # it may not even be read
    chmod 644 source
    as_nobody --chown=root source open/target
    expect_status 23
    expect_receipt .durable true
}
