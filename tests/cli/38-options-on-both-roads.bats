#!/usr/bin/env bats
# Goal: an option means the same for small files, which go as a whole, as for others, which go by steps: whoever adds one says here
# what it is given with, or that it is of no single file, and both roads are compared by all that the target, the source and the
# exit code say.
load ../lib/common

# What an option is tried with, besides those that take nothing and are just given: trials are parted by a slash, words by a blank.
declare -gA WITH=([modify-window]="=1/=100000000" [max-size]="=5K" [min-size]="=5K" [exclude]="=n*" [include]="=n* --exclude=*"
    [filter]="=-_o*" [exclude-from]="=patterns" [include-from]="=patterns --exclude=*" [from0]=" --exclude-from=patterns"
    [checksum-choice]="=xxh128" [manifest]="=side" [base-manifest]="=side" [digest-file]="=side" [digest]="=xxh128 --digest-file=side"
    [read-errors]="=skip" [journal]="=side" [sync-every]="=0/=1K" [cache]="=direct/=plain" [cache-max]="=100M" [memory]="=4M"
    [chunk-size]="=64K" [engine]="=sync/=threads" [bwlimit]="=100M" [range]="=10,20" [ranges-from]="=ranges" [size]="=5000"
    [reflink]="=auto/=always" [chmod]="=u+x,g-r/=F600" [chown]="=55:66" [max-delete]="=1" [timeout]="=300" [retries]="=1")

# Of no single file: other commands, other machines, what is printed, and what only one source can have.
ELSEWHERE=" help version verbose quiet files-from server restrict rsh remote-path bootstrap lanes compress contimeout port identity
    ssh-config jump ciphers ssh-option ipv4 ipv6 unit-size unit progress stats json itemize-changes no-target-directory "
SOURCES=(new older newer believed empty holes shorter longer large)

setup() {
    scratch_open
    mkdir -p first/source first/target
    (cd first/source && random_files 1 new 5000 older 6000 newer 6000 believed 4000 shorter 3000 longer 9000 large 700000)
    (cd first/target && random_files 30 older 6000 newer 6000 believed 4000 shorter 5000 longer 4000 large 700000 other 100)
    : >first/source/empty
    truncate -s 100000 first/source/holes
    dd if=first/source/new of=first/source/holes bs=5000 seek=10 conv=notrunc status=none
    chmod 755 first/source/shorter
    chmod 600 first/source/longer
    chmod 666 first/target/shorter
    if [ "$(id -u)" = 0 ]; then
        chown 1234:1235 first/source/newer
        chown 77:77 first/target/believed
    fi
    setfattr -n user.key -v value first/source/new
    setfattr -n user.old -v value first/target/older
    setfacl -m u:1234:r first/source/older
    setfacl -m u:99:r first/target/longer
    touch -d '2020-01-01 00:00:00.123456789' first/source/* first/target/believed
    touch -d '2019-01-01' first/target/{older,shorter,longer,large,other}
    touch -d '2022-02-02' first/source/newer
    touch -d '2024-01-01' first/target/newer
    printf 'n*\n' >patterns
    printf '10,20\n' >ranges
    started=$EPOCHSECONDS
}

# Which inode it is, and when that was changed, is each run's own; and so is a time that nobody gave it.
facts() {
    local - name kind inode links mode owner size seconds content
    set +T # bats has a trap before each command of a function
    while read -r name kind inode links mode owner size seconds _ content; do
        [ "${seconds%.*}" -lt "$started" ] || seconds=now
        [ "$kind" = d ] || echo "$name $kind $links $mode $owner $size $seconds $content"
    done < <("$TOOLS/tree" facts place)
    getfattr -d -m - place/source/* place/target/* 2>&1 || true
}

by_road() { # ROAD OPTION...
    spawn rm -rf place side
    spawn cp -a first place
    pages --evict place/target/* >/dev/null # what others have cached goes by steps
    status=0
    haul --itemize-changes "${@:2}" "${SOURCES[@]/#/place/source/}" place/target/ >out 2>err || status=$?
    {
        echo "exit code $status"
        facts
        spawn grep -E '^[<>.ch][fdLDS][^ ]{9} ' out | sort
        [ ! -e side ] || echo "--- side"
    } >"$1"
}

# Of --help: neither the second names of others, nor what is always so.
options_of_files() {
    "$HAUL" --help | sed -nE '/(the same as|always so)/d; s/^ +(-., )?--([a-z0-9-]+=?).*/\2/p' | while read -r option; do
        [[ $ELSEWHERE == *[[:space:]]"${option%=}"[[:space:]]* ]] || echo "$option"
    done
}

@test "each option does the same to small files on both roads" {
    local option given words tried=0 failed=0
    by_road whole -v
    grep -qE '^source +batch ' out
    for option in $(options_of_files); do
        [[ $option != *= || -n ${WITH[${option%=}]:-} ]] || { echo "--$option: with what is it to be tried?"; failed=$((failed + 1)); }
        option=${option%=}
        IFS=/ read -ra trials <<<"${WITH[$option]:-}"
        for given in "${trials[@]:-}"; do
            read -ra words <<<"--$option$given"
            by_road whole "${words[@]//_/ }"
            by_road steps "${words[@]//_/ }" --cache=window
            echo "${words[*]}: $(head -n 1 whole)"
            tried=$((tried + 1))
            cmp -s whole steps || { diff whole steps || true; cat err; failed=$((failed + 1)); }
        done
    done
    [ "$tried" -ge 60 ] && [ "$failed" = 0 ]
}
