#!/usr/bin/env bats
# Goal: the options that users of rsync, scp and cp expect are taken, wrong ones are refused in one clear line with exit
# code 1, and what is printed can be read by people and by programs.
load ../lib/common

@test "--help shows the usage on standard output" {
    run haul --help
    [ "$status" = 0 ]
    [[ $output == *haul*SOURCE*TARGET* ]]
    haul --help 2>/dev/null | grep -q -- --engine
    local longest
    longest=$(haul --help | awk '{ if (length($0) > n) n = length($0) } END { print n }')
    [ "$longest" -le 100 ]
}

@test "-V lists version, engines and libraries; -VV is JSON" {
    run haul -V
    [ "$status" = 0 ]
    [[ ${lines[0]} == haul* ]]
    [[ $output == *uring* && $output == *threads* && $output == *sync* ]]
    [[ $output == *xxhash\ [0-9]* && $output == *zstd\ [0-9]* && $output == *glibc\ [0-9]* ]]
    haul -VV >out
    jq -e '.libraries | .hash and .zstd and .libc' out
}

usage_error() {
    copy "$@"
    expect_status 1
    expect_clear_error
    [ ! -e target ]
}

@test "wrong command lines are usage errors" {
    random_file source 10K
    usage_error
    usage_error source
    usage_error --no-such-option source target
    expect_words 'no-such-option'
    usage_error --engine=steam source target
    expect_words 'steam'
    usage_error --cache=sometimes source target
    expect_words 'sometimes'
    usage_error --memory=lots source target
    usage_error --bwlimit=fast source target
    usage_error --cache-max=-1 source target
    usage_error --memory
    usage_error --verify=perhaps source target
}

@test "rsync daemons are refused by name" {
    random_file source 10K
    local side
    for side in rsync://host/module host::module user@host::module/file; do
        usage_error source "$side"
        expect_words 'rsync'
        usage_error "$side" target
        expect_words 'rsync'
    done
}

@test "the same file as source and target is refused and unharmed" {
    random_file source 100K
    cp source before
    ln source hard
    ln -s source soft
    local other
    for other in source ./source hard soft; do
        copy source $other
        [ "$status" != 0 ]
        expect_clear_error
        expect_words 'same file'
        same source before
    done
}

@test "every line of --json is valid, has \"v\":1, and the last is the receipt" {
    random_file source 3M
    copied source target
    jq -es 'all(.v == 1) and (.[-1].event == "receipt")' out
    jq -es '.[-1] | [.exit, .durable, .files, .bytes_total, .bytes_copied, .bytes_kept, .bytes_repaired,
        .chunks_repaired, .seconds, .lanes, .memory_peak_bytes, .memory_budget_bytes,
        .wire_bytes_sent, .wire_bytes_received] | length == 14 and all(. != null)' out
    jq -es '.[-1] | .source, .target | (.path | type == "string") and has("host") and .host == null
        and (.policy | test("direct|window|plain")) and (.why | length > 0) and (.engine | test("uring|threads|sync"))
        and has("resident_before_bytes") and has("resident_peak_bytes") and (.resident_after_bytes == 0)' out
    expect_receipt .exit 0
    expect "digest" "$(receipt '.digest | test("^[0-9a-f]{32}$")')" true
    [ ! -s err ]
}

@test "the digest depends on the bytes alone" {
    random_file source 2500000
    copied source first
    local digest
    digest=$(receipt .digest)
    copied --engine=sync --cache=window source second
    expect_receipt .digest "$digest"
    random_file source 2500000 2
    copied source third
    [ "$(receipt .digest)" != "$digest" ]
}

@test "the receipt in words names the bytes, the cache and durability" {
    random_file source 3M
    run haul source target
    [ "$status" = 0 ]
    [[ $output == *"3.00 MiB"* || $output == *"3 MiB"* ]]
    [[ $output == *direct* ]]
    [[ $output == *durable* || $output == *"on the disk"* || $output == *"on disk"* ]]
}

@test "-q says nothing, -v says more" {
    random_file source 1M
    run haul -q source target
    [ "$status" = 0 ]
    [ -z "$output" ]
    rm target
    run haul source target
    local plain=${#output}
    rm target
    run haul -v source target
    [ "$status" = 0 ]
    [ "${#output}" -gt "$plain" ]
}

@test "no progress bar where there is no terminal, unless --progress" {
    random_file source 1M
    run haul source target
    [[ $output != *$'\r'* ]]
    rm target
    run haul --progress source target
    [ "$status" = 0 ]
    [[ $output == *%* ]]
}

@test "-n changes nothing and says what would be done" {
    random_file source 1M
    run haul -n source target
    [ "$status" = 0 ]
    [ ! -e target ]
    [[ $output == *would* ]]
    random_file target 1M 2
    cp target before
    local time
    time=$(stat -c %Y.%Z target)
    run haul -n source target
    [ "$status" = 0 ]
    same target before
    [ "$(stat -c %Y.%Z target)" = "$time" ]
}

@test "options that are true anyway are accepted: --inplace --partial -P" {
    random_file source 1M
    run haul --inplace --partial -P source target
    [ "$status" = 0 ]
    same source target
}

@test "options may stand after the files, -- ends them" {
    random_file ./-source 10K
    run haul -- -source target
    [ "$status" = 0 ]
    same ./-source target
    run haul ./-source target2 --engine=sync
    [ "$status" = 0 ]
    same ./-source target2
}

@test "a standard output that is full is an error, not a crash" {
    random_file source 10K
    run sh -c '"$0" --json source target >/dev/full' "$HAUL"
    [ "$status" != 0 ]
    [ "$status" -lt 124 ]
}

@test "a standard output that was closed asks for no words: the copy is good" {
    random_file source 10K
    run sh -c '"$0" source target >&-' "$HAUL"
    [ "$status" = 0 ] || { echo "$output"; false; }
    same source target
    run sh -c '"$0" --json -I source target >&- 2>&-' "$HAUL"
    [ "$status" = 0 ]
}

@test "what is only there to be printed is not done into a standard output that was closed" {
    random_file source 10K
    haul --manifest=list source target
    local words
    for words in "plan source other" "journal list" "doctor ."; do
        run sh -c '"$0" $1 >&-' "$HAUL" "$words"
        [ "$status" = 11 ]
        [[ "$output" == *"standard output is closed"*"haul ${words%% *}"* ]]
    done
}

@test "a wrong command line ends with a receipt, too, where JSON was wanted" {
    random_file source 10K
    local words
    for words in "--no-such-option source target" "source" "--memory=x source target" "-T source source target" \
        "verify source" "journal" "nowhere target"; do
        copy $words
        [ "$status" != 0 ]
        expect_receipt .exit "$status"
        [ "$(receipt '.error|length')" -gt 10 ] || { echo "no words: $words"; show_run; return 1; }
    done
}

@test "a mistyped option or command: the nearest is named" {
    random_file source 10K
    run haul --bwlmit=3 source target
    [ "$status" = 1 ]
    [[ $output == *"--bwlmit: no such option; is --bwlimit meant?"* ]]
    run haul --porgress source target
    [[ $output == *"is --progress meant?"* ]]
    run haul verfy source target
    [ "$status" != 0 ]
    [[ $output == *'is the command "haul verify" meant?'* ]]
}

@test "-l 1000 of scp, -f of cp: what they are here is said, and nothing is copied" {
    random_file source 10K
    run haul -l 1000 source target
    expect "exit code" "$status" 1
    [[ $output == *"scp's -l is --bwlimit here"* ]]
    run haul -f source target
    expect "exit code" "$status" 1
    [[ $output == *"or is cp's -f meant?"* ]]
    [ ! -e target ]
    echo x >1000
    mkdir folder
    haul -l 1000 source folder
    cmp 1000 folder/1000
}

@test "on a terminal: one line that fits, with name, phase and figures, redrawn when the size changes" {
    requires script stty
    local rate
    random_file source 12M
    for rate in 4 1 0.25; do # on a busy machine the copy may be over before it is told
        rm -f target
        cat >run <<END
stty cols 40
"$HAUL" --bwlimit=${rate}M source target &
until grep -aq copying typescript; do kill -0 \$! || exit; sleep 0.02; done
stty cols 100
kill -WINCH \$!
wait \$!
END
        script -qefc "TERM=screen bash run" typescript </dev/null >/dev/null || continue
        same source target
        # Each drawing begins with a carriage return; the receipt is left out.
        tr '\r' '\n' <typescript | grep -a copying | sed 's/\x1b\[K.*//' >lines
        [ "$(awk '{ if (length > most) most = length } END { print most }' lines)" -le 40 ] || break
    done
    grep -qE '^source copying [0-9]+% ' lines
    grep -qE '^source copying +[0-9]+% \[.*\] .*MiB of 12\.0 MiB, .* durable|^source copying +[0-9]+% \[.*\] .*/12\.0M ' lines
    [ "$(head -n 1 lines | wc -c)" -le 40 ]
    [ "$(awk '{ if (length > most) most = length } END { print most }' lines)" -le 99 ]
}

@test "verify --json names each range that differs" {
    random_file source 6M
    cp source target
    printf X | dd of=target conv=notrunc bs=1 seek=3000000 status=none
    copy verify source target
    expect_status 40
    expect "the range" "$(jq -c 'select(.event == "difference") | [.offset, .length]' out)" "[2097152,1048576]"
    expect "the phase" "$(jq -r 'select(.event == "progress") | .phase' out | grep -cE 'copying|syncing')" 0
    printf tail >>target
    copy verify source target
    expect "the ranges" "$(jq -c 'select(.event == "difference") | [.offset, .length]' out | tr '\n' ' ')" \
        "[2097152,1048576] [6291456,4] "
}

@test "the rate of a resumed copy is that of what it wrote" {
    random_file source 8M
    copied source target
    touch -d '2001-01-01' target
    run haul source target # compares, and writes nothing
    [[ $output == *"0 B copied, 8.00 MiB kept, durable after"* ]] || { echo "$output"; false; }
    [[ $output != *"/s"* ]]
}

# Several processes may share a standard output, as those of xargs -P do.
@test "each line on standard output is written in one go" {
    requires strace
    local i long
    long=$(printf 'n%.0s' {1..200})
    mkdir many
    for ((i = 0; i < 20; i++)); do echo "$i" >"many/$long$i"; done
    strace -f -qq -s 100000 -e trace=write -e write=none -o trace "$HAUL" --json -r many made >lines 3>&-
    [ "$(wc -l <lines)" -ge 21 ]
    expect "writes" "$(grep -c ' write(1, "{.*}\\n", ' trace)" "$(wc -l <lines)"
    expect "other writes" "$(grep ' write(1, ' trace | grep -vc ' write(1, "{.*}\\n", ')" 0
}
