#!/usr/bin/env bats
# Goal: nothing that was not in the cache before is there afterwards; nothing that was there is gone; and --strict refuses
# rather than exceeding its budget.
load ../lib/common

setup() {
    scratch_open
    random_file source 64M
}

@test "neither source nor target is in the cache after a copy" {
    local policy
    for policy in auto direct window; do
        rm -f target
        copied --cache=$policy source target
        uncached source target
        expect_receipt .source.resident_after_bytes 0
        expect_receipt .target.resident_after_bytes 0
        expect_receipt .source.resident_before_bytes 0
    done
    same source target
}

cached_source_is_kept() { # POLICY ENGINE
    local whole before
    whole=$(stat -c %s source)
    rm -f target
    pages --evict source
    cat source >/dev/null
    kept source "$whole" || return
    before=$(pages --bytes source)
    copied --cache="$1" --engine="$2" source target || return
    kept source "$whole" && uncached target && expect_receipt_kept source source "$before"
}

@test "a source that somebody else has cached stays fully resident, under direct and window" {
    local engine
    for engine in auto sync; do
        cached_source_is_kept auto $engine
        cached_source_is_kept direct $engine
        unless_reclaimed cached_source_is_kept window $engine
    done
    same source target
    random_file source $((2 * MIB + 77824)) # the last chunk's pages count once, too
    cached_source_is_kept direct auto
}

@test "a source that is half in the cache stays so" {
    head -c 32M source >/dev/null # read-ahead takes a little more
    local before
    before=$(pages --kept source)
    [ "$before" -ge $((32 * MIB)) ]
    [ "$before" -lt $((64 * MIB)) ]
    copied --cache=window source target
    uncached target
    # The rest was brought in by us alone; nothing of what was there may be gone. A folio at the border may be either.
    [ "$(pages --kept source)" -ge $((32 * MIB)) ]
    expect_under "resident bytes of the source" "$(pages --bytes source)" $((before + 2 * MIB + 1))
}

@test "a cached target that is updated in place is not dropped from under its readers" {
    cp source target
    "$TOOLS/fill" --flip=$((20 * MIB)) target
    touch -d '2001-01-01' target
    cat target source >/dev/null
    copied --cache=direct source target
    same source target
    # Direct writes drop the pages that they cover, by the kernel's rule; the rest of the file must still be there.
    kept source $((64 * MIB))
}

@test "--strict: exit 42 and clear words where the copy could not stay out of the cache" {
    copy --strict --cache=plain source target
    expect_status 42
    expect_clear_error
    rm -f target
    pages --evict source
    copied --strict source target
    uncached source target
    rm -f target
    copied --strict --cache=window source target
    uncached source target
}

@test "--strict with a budget that the window policy cannot keep" {
    copy --strict --cache=window --cache-max=64K source target
    expect_status 42
    expect_clear_error
    rm -f target
    pages --evict source
    copied --strict --cache=direct --cache-max=64K source target
    uncached source target
    random_file small 3M
    copy --strict --cache=window --cache-max=64K small target
    expect_status 42
    expect_clear_error
}

@test "--strict on tmpfs, which is page cache itself" {
    on_fs tmpfs 128M
    copy --strict source "$FS/target"
    expect_status 42
    expect_clear_error
}

@test "the peak in the receipt is that of a window, not of the file" {
    copied --cache=window source target
    expect_under "peak of the target" "$(receipt .target.resident_peak_bytes)" $((33 * MIB))
    expect_under "peak of the source" "$(receipt .source.resident_peak_bytes)" $((33 * MIB))
    rm target
    copied --cache=direct source target
    expect_under "peak of the target" "$(receipt .target.resident_peak_bytes)" $((2 * MIB))
}

@test "--cache-max bounds the window policy" {
    copied --cache=window --cache-max=8M source target
    expect_under "peak of the target" "$(receipt .target.resident_peak_bytes)" $((8 * MIB + 1))
    same source target
}

@test "the aliases --direct-io and --drop-cache" {
    copied --direct-io source target
    expect_receipt .target.policy direct
    rm target
    copied --drop-cache source target
    expect_receipt .target.policy window
}
