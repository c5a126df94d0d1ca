#!/usr/bin/env bats
# Goal: --files-from copies what a list names beneath a folder, with the folders on the way to it, as rsync does; here, by
# push, by pull and from far to far; what is named and not there is told, a line each.
load ../lib/common

setup() {
    scratch_open
    requires rsync
    far_is_here
    there="h:$SCRATCH/"
}

tree() { # PATH
    mkdir -p "$1"/{a/b,c,d/e/f,empty}
    touch "$1"/{top,a/f,a/b/g,c/x,c/y.o,d/h,d/e/i,d/e/f/j.o,.hidden}
    ln -s top "$1/link"
    find "$1" -print0 | xargs -0 touch -hd '2020-01-02 03:04:05.678'
    chmod 750 "$1/a" "$1/d/e"
}

# What is below a folder: names, kinds, modes, times, links.
what_is() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %T@ %l\n' | sort); }

# A list of some names, some of which are not there, in any order and form. Not "a/" with "a/b/", nor "." with "a/" where that
# is not recursive: rsync takes one of them.
random_list() {
    local i names=(a a/ a/b a/b/g a/f c c/ c/x d d/ d/e d/e/f d/e/f/ d/e/f/j.o d/e/i d/h empty empty/ link top . ./c/x
        /d/h none none/x a/f/x a/f/ c//y.o d/../top .hidden '# no name' '')
    for ((i = RANDOM % 6 + 1; i > 0; i--)); do
        printf '%s\n' "${names[RANDOM % ${#names[@]}]}"
    done
}

from_list() { # WAY ARGS... (source/ to target/)
    local way=$1
    shift
    case $way in
    here) copy "$@" source target ;;
    push) copy "${far[@]}" "$@" source "${there}target" ;;
    pull) copy "${far[@]}" "$@" "${there}source" target ;;
    far) copy "${far[@]}" "$@" "${there}source" "${there}target" ;;
    esac
}

@test "lists of all kinds: the same is there, and the same exit code, as with rsync" {
    local round args ways=(here here push pull far) forms=(-a -ar '-ad --delete' '-ar --delete' '-ar --exclude=*.o' '-a --exclude=a/ --delete'
        '-ar --delete --exclude=e/' '-ar --delete --exclude=/d/e -f+,*')
    tree source
    RANDOM=${HAUL_LIST_SEED:-7}
    for ((round = 0; round < ${HAUL_LIST_ROUNDS:-40}; round++)); do
        read -ra args <<<"${forms[RANDOM % ${#forms[@]}]}"
        random_list >list
        [[ ${args[0]} = -ar ]] || ! grep -q '/$' list || sed -i '/^\.$/d' list
        case "${args[*]}" in # rsync deletes before it has seen that something is missing
        *--delete*) sed -i '/none/d; /\/f\/x/d' list ;;
        esac
        rm -rf expected target
        mkdir target
        if ((RANDOM % 2)); then
            mkdir -p target/{d/e,a,gone}
            touch target/{d/e/gone,d/gone.o,a/gone,gone/x}
            touch -d '2019-01-01' target/a/f
        fi
        cp -a target expected
        status=0
        rsync --files-from=list "${args[@]}" source expected >/dev/null 2>rsync.err || status=$?
        local want=$status way=${ways[RANDOM % ${#ways[@]}]}
        from_list "$way" --files-from=list "${args[@]}"
        if [ "$status" != "$want" ] || ! diff <(what_is expected) <(what_is target); then
            echo "round $round, $way, ${args[*]}: $status, rsync $want; list:"
            cat list rsync.err
            show_run
            return 1
        fi
    done
}

@test "what is named and not there: one line each, 23, and nothing is deleted; a folder behind a link is not entered" {
    tree source
    mkdir -p target/c
    touch target/c/gone
    ln -s d source/behind
    printf '%s\n' none c none/x behind/h behind top >list
    from_list push -ar --delete --files-from=list
    expect_status 23
    [ -e target/c/gone ]
    from_list pull -ar --delete --files-from=list
    expect_status 23
    grep -q "^haul: h: $SCRATCH/source/none/x: it is in the list, .*No such file" err
    from_list here -ar --delete --files-from=list
    expect_status 23
    expect "lines" "$(grep -c '^haul: source/' err)" 3
    grep -q '^haul: source/none/x: it is in the list, .*No such file' err
    grep -q '^haul: source/behind/h: it is in the list, and behind a symbolic link' err
    [ -L target/behind ] && [ -e target/top ] && [ -e target/c/gone ] && [ ! -e target/none ]
}

@test "a target's folder that nothing comes into has the time at which it was made" {
    mkdir there
    : >began
    echo none >names
    copy --files-from=names there/ new
    expect_status 23
    copy -r none-of-it nor-this newer
    expect_status 23
    copied --files-from=/dev/null there/ newest
    for folder in new newer newest; do
        [ -d $folder ] && [ ! $folder -ot began ] || { stat $folder; return 1; }
    done
}

@test "from standard input, with zero bytes, and a second run copies nothing" {
    tree source
    mkdir "source/new"$'\n'"line"
    touch "source/#no" "source/new"$'\n'"line/ x "
    copy -a -0 --files-from=- source/ target < <(cd source && find . -print0)
    expect_status 0
    diff <(what_is source) <(what_is target)
    copy -a -0 --files-from=- source target < <(printf '%s\0' '#no' 'a/b/')
    expect_status 0
    expect "copied again" "$(grep -c '"event":"\(file\|made\)"' out)" 2
    expect "that were up to date" "$(grep -c '"event":"file".*"up_to_date":true' out)" 2
}

@test "100,000 names, most of them not there, and what a list may not say" {
    mkdir -p source/many
    touch source/many/{10000..10999}
    seq -f 'many/%.0f' 10000 109999 >list
    copy -a --json --files-from=list source target 2>/dev/null
    expect_status 23
    expect "copied" "$(find target/many -type f | wc -l)" 1000
    expect "errors" "$(grep -c '"event":"error"' out)" 99000
    for name in ../x a/./b a/../../x; do
        printf '%s\n' "$name" >list
        copy -a --files-from=list source other
        expect_status 1
        expect_clear_error
        grep -q 'list, line 1: ' err
    done
    copy -d source/ other
    expect_status 1
    expect_words "name folders in a list"
    copy -a --files-from=h:list source other
    expect_status 1
    grep -q 'ssh h cat list' err
    echo many/10000 >list
    copy -a --files-from=list source source/many other
    expect_status 1
    grep -q 'beneath one folder, and there are 2 sources' err
    copy verify --files-from=list source other
    expect_status 1
    grep -q 'verify compares what it is given: leave out .*--files-from' err
    [ ! -e other ]
    # A command is no operand.
    copy prove -a --files-from=list source other
    expect_status 0
    [ -e other/many/10000 ]
}

@test "standard input is one list, or the source; no line is lost behind a carriage return or a zero byte" {
    local words text
    mkdir source
    touch source/{a,b,c}
    printf 'a\n' >list
    for words in '--files-from=- --exclude-from=- source' '--exclude-from=- --include-from=- source' '--ranges-from=- --exclude-from=- list' \
        '--exclude-from=list -f._- --files-from=- source' '--exclude-from=- -' '-f._- /dev/stdin' '--ranges-from=- -'; do
        [[ $words = *ranges* ]] && text=1,1 || text='- x'
        # shellcheck disable=SC2086
        copy $words target < <(printf '%s\n' "$text")
        expect_status 1
        expect_clear_error
        grep -q 'standard input was read' err
        [ ! -e target ]
    done
    copy -a --files-from=- --exclude-from=list source target < <(printf 'a\r\nb\rc')
    expect_status 0
    expect "copied" "$(ls target)" "$(printf 'b\nc')"
    copy -a --files-from=- source other < <(printf 'b\nc\0a\0')
    expect_status 1
    grep -q 'standard input, line 2: a zero byte' err
    [ ! -e other ]
}
