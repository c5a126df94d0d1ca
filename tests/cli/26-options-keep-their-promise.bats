#!/usr/bin/env bats
# Goal: an option that was given is heeded or refused before the first byte, and no two files of a command are one.
load ../lib/common
load ../lib/remote

setup() {
    scratch_open
    random_file source $((3 * MIB + 77))
}

# The exit code of the process is the one that the receipt tells.
agreed() {
    expect_status "$1"
    expect_receipt .exit "$1"
}

same_and_untouched() { # FILE BEFORE: nothing was written to FILE
    cmp -- "$1" "$2" || { show_run; return 1; }
}

# --- what is up to date ---------------------------------------------------------------------------------------------

@test "--manifest of a file that is up to date is written, and right" {
    copied source target
    copied --manifest=sums source target
    [ -s sums ]
    expect_receipt .bytes_kept $((3 * MIB + 77))
    haul verify --manifest=sums target
    printf x | dd of=target bs=1 seek=100 conv=notrunc status=none
    run haul verify --manifest=sums target
    [ "$status" = 40 ]
}

@test "--verify of a file that is up to date reads the target, and mends it" {
    copied source target
    copied --verify source target
    expect_receipt .bytes_verified $((3 * MIB + 77))
    expect_receipt .bytes_copied 0
    touch -r target time
    printf x | dd of=target bs=1 seek=100 conv=notrunc status=none
    touch -r time target
    copied --verify source target
    same source target
    [ "$(receipt .bytes_copied)" -gt 0 ]
    expect_receipt .bytes_verified $((3 * MIB + 77))
}

@test "--append with --verify reads the old part, too" {
    copied source target
    cp source before
    copied --append --verify -I source target
    expect_receipt .bytes_verified $((3 * MIB + 77))
}

# --- one file each --------------------------------------------------------------------------------------------------

@test "--manifest and --journal of several sources are refused before the first byte" {
    cp source other
    mkdir folder
    local option
    for option in --manifest --journal; do
        copy $option=F source other folder/
        agreed 1
        expect_clear_error
        expect_words "${option#--} is about one file"
        [ ! -e F ]
        [ -z "$(ls -A folder)" ]
    done
}

@test "a manifest that would be written over a source, a target, a journal or something else is refused first" {
    mkdir folder
    cp source before
    copy --manifest=source source folder/
    agreed 1
    expect_clear_error
    same_and_untouched source before
    ln source link
    copy --manifest=link source folder/
    agreed 1
    copy --manifest=folder/source source folder/
    agreed 1
    copy --manifest=./folder/../folder/source source folder/
    agreed 1
    copy --manifest=folder/.source.haul source folder/
    agreed 1
    [ -z "$(ls -A folder)" ]
    echo precious >file
    copy --manifest=file source folder/
    agreed 11
    [ "$(cat file)" = precious ]
    copy --manifest=nowhere/sums source folder/
    agreed 11
    expect_clear_error
    expect_words 'nowhere/sums'
    mkdir sums
    copy --manifest=sums source folder/
    agreed 11
    [ -z "$(ls -A folder)" ]
    same_and_untouched source before
}

@test "a manifest in a folder that may not be written is refused first" {
    requires root chattr
    mkdir folder fixed
    chattr +i fixed || skip "needs chattr +i"
    cleanup_fn chattr -i "$SCRATCH/fixed"
    copy --manifest=fixed/sums source folder/
    agreed 11
    expect_clear_error
    [ -z "$(ls -A folder)" ]
}

@test "targets that are one file are refused before the first byte: hard links, symbolic links, other spellings" {
    mkdir x y hl sl
    random_file x/a $MIB 2
    random_file y/b $MIB 3
    echo old >hl/a
    ln hl/a hl/b
    copy x/a y/b hl/
    agreed 1
    expect_clear_error
    [ "$(cat hl/a)" = old ]
    echo old >there
    ln -s ../there sl/a
    ln -s ../there sl/b
    copy x/a y/b sl/
    agreed 1
    [ "$(cat there)" = old ]
}

@test "a target that is another operand's source is refused before the first byte" {
    mkdir dir
    random_file a $MIB 2
    random_file b $MIB 3
    cp b before
    ln b dir/a
    copy a b dir/
    agreed 1
    expect_clear_error
    same_and_untouched b before
}

@test "a source that is the journal of a target is refused before the first byte" {
    mkdir dir
    cp source file
    cp source before
    cp source .file.haul
    copy file .file.haul dir/
    agreed 1
    [ -z "$(ls -A dir)" ]
    copy .file.haul file
    agreed 1
    same_and_untouched .file.haul before
    same_and_untouched file before
}

@test "two sources of one name into one folder are refused before the first byte" {
    mkdir x dir
    cp source x/source
    copy source x/source dir/
    agreed 1
    copy source ./source dir/
    agreed 1
    [ -z "$(ls -A dir)" ]
}

@test "through a bind mount a target is the same file" {
    requires root
    mkdir here there
    cp source here/a
    mount --bind here there
    cleanup_fn umount "$SCRATCH/there"
    cp source b
    cp source before
    mkdir x
    ln here/a here/b
    cp source x/b
    copy here/a x/b there/
    agreed 1
    same_and_untouched here/a before
}

@test "a device and the file behind it are one, and two links to a device" {
    requires root loop
    local device
    random_file a $MIB 2
    random_file b $MIB 3
    cp b before
    device=$(losetup -f --show b)
    cleanup_fn loop_detach "$device"
    mkdir dir
    ln -s "$device" dir/a
    copy --write-devices a b dir/
    agreed 1
    expect_clear_error
    random_file c $MIB 4
    ln -s "$device" dir/c
    copy --write-devices a c dir/
    agreed 1
    same_and_untouched b before
}

@test "standard output or standard error in the target, the source or the manifest is refused" {
    local file
    for file in target source; do
        cp source kept
        cp source target
        touch -d 2001-01-01 target
        run bash -c '"$1" --json source target >>"$2"' - "$HAUL" "$file"
        [ "$status" = 1 ]
        [ "$(stat -c %s target)" = $((3 * MIB + 77)) ] || [ "$file" = target ]
        cmp -n $((3 * MIB + 77)) kept "$file"
        cp kept source
        run bash -c '"$1" -v source target 2>>"$2"' - "$HAUL" "$file"
        [ "$status" = 1 ]
        cmp -n $((3 * MIB + 77)) kept "$file"
        cp kept source
    done
    run bash -c '"$1" --json verify source target >>target' - "$HAUL"
    [ "$status" = 1 ]
}

@test "push and pull: targets that are one file, and a source that is a target, are refused as well" {
    local far=$SCRATCH/far via=(-e "sh -c 'shift; exec \"\$@\"' -" --remote-path="$HAUL")
    mkdir far near x
    random_file near/a $MIB 2
    random_file x/b $MIB 3
    echo old >far/a
    ln far/a far/b
    copy "${via[@]}" near/a x/b "h:$far/"
    agreed 1
    expect_clear_error
    [ "$(cat far/a)" = old ]
    copy "${via[@]}" "h:$far/a" "h:$SCRATCH/x/b" near/
    agreed 0
    rm near/*
    echo old >near/a
    ln near/a near/b
    copy "${via[@]}" "h:$far/a" "h:$SCRATCH/x/b" near/
    agreed 1
    cp far/a before
    copy "${via[@]}" "h:$far/a" "h:$SCRATCH/x/b" "h:$far/"
    agreed 1
    same_and_untouched far/a before
    copy --manifest=near/a "${via[@]}" "h:$SCRATCH/x/b" near/a
    agreed 1
    copy --manifest=nowhere/sums "${via[@]}" "h:$SCRATCH/x/b" near/c
    agreed 11
    [ ! -e near/c ]
    copied --manifest=sums "${via[@]}" near/a "h:$far/c"
    copied --manifest=sums2 "${via[@]}" near/a "h:$far/c"
    haul verify --manifest=sums2 far/c
    copied --verify "${via[@]}" near/a "h:$far/c"
    expect_receipt .bytes_verified "$(stat -c %s near/a)"
    run bash -c '"$1" --json "${@:2}" >>"$0"' "$far/c" "$HAUL" "${via[@]}" near/a "h:$far/c"
    [ "$status" = 1 ]
    cmp -n 4 near/a far/c
}
