#!/usr/bin/env bats
# Goal: a source on another machine with * ? or [ in it stands for what a shell there would make of it, unless a file has
# just that name.
load ../lib/common

setup() {
    scratch_open
    far_is_here
    mkdir -p far/{one,two,.three}/in near
    for file in far/{a1,a2,b1,.a3,one/x.txt,two/x.txt,two/y.txt,.three/x.txt,one/in/z}; do echo "$file" >"$file"; done
    ln -s one far/link
}

# What the pattern, below far, is for this shell is what arrives.
as_shell() { # PATTERN [OPTION...]
    local pattern=$1
    shift
    rm -rf near expected
    mkdir near expected
    (cd far && eval "cp -a --parents -- $pattern ../expected" && find ../expected -mindepth 1 -maxdepth 9 ! -type d -printf '%f\n' | sort >../names)
    copy "${far[@]}" "$@" "h:$SCRATCH/far/$pattern" near/
    expect_status 0
    diff names <(find near -mindepth 1 ! -type d -printf '%f\n' | sort) || { show_run; return 1; }
}

@test "patterns in any part of a path are what the shell there would make of them" {
    as_shell 'a?'
    as_shell '[ab]1'
    as_shell '[!b]*1'
    as_shell '.a*'
    as_shell '*/y*'
    as_shell 't*/?.txt'
    as_shell '.t*/x*'
    as_shell '*' -a
    as_shell 'o*' -r
    (cd far && copy "${far[@]}" 'h:a*' "$SCRATCH/near/") # relative to where the login begins
    copy "${far[@]}" -a "h:$SCRATCH/far/t*/" near # the content of folders
    expect_status 0
    cmp far/two/y.txt near/y.txt
}

@test "a file of just that name is copied, and what matches nothing is not there" {
    echo literal >'far/a*'
    copied "${far[@]}" "h:$SCRATCH/far/a*" near/
    [ "$(ls near)" = 'a*' ]
    copy "${far[@]}" "h:$SCRATCH/far/none*" near/
    expect_status 24
    expect_words 'none\*: there is no such file'
    copy "${far[@]}" "h:$SCRATCH/nowhere/*" near/
    expect_status 24
}

@test "several files are refused where one is meant" {
    copy "${far[@]}" "h:$SCRATCH/far/a?" near/file
    expect_status 1
    expect_words "several sources"
    copy "${far[@]}" -T "h:$SCRATCH/far/a?" near/file
    expect_status 1
    copy "${far[@]}" --manifest=sums "h:$SCRATCH/far/a?" near/
    expect_status 1
    copy "${far[@]}" "h:$SCRATCH/far/*/x.txt" near/
    expect_status 1
    expect_words "the same name"
    [ -z "$(ls near)" ]
    copied "${far[@]}" "h:$SCRATCH/far/a?" "h:$SCRATCH/far/b?" near/
    [ "$(ls near | tr '\n' ' ')" = "a1 a2 b1 " ]
    copied "${far[@]}" "h:$SCRATCH/far/b*" near/file
    cmp far/b1 near/file
}
