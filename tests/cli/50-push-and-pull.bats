#!/usr/bin/env bats
# Goal: `haul FILE host:PATH`, `haul host:PATH FILE` and `haul a:X b:Y` through a real sshd, by libssh and by -e ssh, give
# an equal file with its mode and time, the pages of neither side in the cache, and a receipt with both ends' figures.
# Chunks, tails, holes and updates are as in a local copy. REMOTE_MIB: the large file has 5/8 of it (default 64).
load ../lib/remote

SIZE=$((REMOTE_MIB * 5 / 8 * MIB + 12345)) # 40 MiB: below 32 there is one lane

big_file() { # PATH
    random_file "$1" $SIZE
    chmod 640 "$1"
    touch -d '2020-02-02 02:02:02.123456789' "$1"
}

same_facts() {
    same "$1" "$2"
    expect "mode and time" "$(stat -c '%a %y' "$2")" "$(stat -c '%a %y' "$1")"
}

# What every receipt of a remote copy says. SIDE: the one that is there.
both_ends_told() { # SIDE
    local side other=source
    [ "$1" = target ] || other=target
    expect_receipt .exit 0
    expect_receipt .durable true
    expect_receipt .bytes_total $SIZE
    expect_receipt .bytes_copied $SIZE
    expect_receipt ".$1.host" "$FAR"
    expect_receipt ".$other.host" null
    for side in source target; do
        [[ "$(receipt .$side.policy)" =~ ^(direct|window)$ ]] || { show_run; return 1; }
        [[ "$(receipt .$side.engine)" =~ ^(uring|threads|sync)$ ]] || { show_run; return 1; }
        [ -n "$(receipt .$side.why)" ] || { show_run; return 1; }
        expect_receipt .$side.resident_before_bytes 0
        expect_receipt .$side.resident_after_bytes 0
        [ "$(receipt .$side.resident_peak_bytes)" != null ] || { show_run; return 1; }
    done
}

# The wire carries the file once, and what stands around it is little.
wire_is_lean() { # sent|received
    local bytes
    bytes=$(receipt ".wire_bytes_$1")
    [ "$bytes" -ge $SIZE ]
    expect_under "bytes on the wire" "$bytes" $((SIZE + SIZE / 100 + 64 * 1024))
}

pushed() {
    folders
    big_file here/file
    copied "${via[@]}" here/file "$FAR:$THERE/file"
    uncached here/file there/file
    same_facts here/file there/file
    both_ends_told target
    wire_is_lean sent
    [ -z "$(ls -A there | grep -vx file)" ]
    nothing_left
}

pulled() {
    folders
    big_file there/file
    copied "${via[@]}" "$FAR:$THERE/file" here/file
    uncached here/file there/file
    same_facts there/file here/file
    both_ends_told source
    wire_is_lean received
    [ -z "$(ls -A here | grep -vx file)" ]
    nothing_left
}

@test "push by libssh" {
    server_start
    pushed
}

@test "push by -e ssh" {
    server_start
    via_ssh
    pushed
}

@test "pull by libssh" {
    server_start
    pulled
}

@test "pull by -e ssh" {
    server_start
    via_ssh
    pulled
}

@test "the transport from HAUL_RSH" {
    server_start
    folders
    big_file here/file
    under+=("HAUL_RSH=ssh -F $SSH/ssh_config")
    copied -j 1 --remote-path="$AGENT" here/file "$FAR:$THERE/file" # how many lanes there are is haul's choice
    same here/file there/file
    expect "logins" "$(sessions_ever)" 1
}

@test "a transport that is no ssh: words for a pipe" {
    folders
    big_file here/file
    copied -e "env $TEST_ID env -u %h" --remote-path="$AGENT" here/file "anyhost:$THERE/file"
    same here/file there/file
    nothing_left
}

@test "--rsync-path is --remote-path" {
    server_start
    folders
    random_file here/file 5M
    copied -F "$server_config" --rsync-path="$AGENT" here/file "$FAR:$THERE/file"
    same here/file there/file
}

@test "both ends remote: one server to another through the client" {
    server_start
    folders
    big_file here/file
    copied "${via[@]}" "$FAR:$HERE/file" "root@127.0.0.1:$THERE/file"
    uncached here/file there/file
    same_facts here/file there/file
    expect_receipt .source.host "$FAR"
    expect_receipt .target.host 127.0.0.1
    wire_is_lean sent
    wire_is_lean received
    nothing_left
}

@test "the address in its forms: user, folder as target, URL with port, port by option, IPv6" {
    local port
    server_start
    folders
    random_file here/file 3M
    port=$SSHD_PORT
    sed "s/^    Port .*//" "$SSH/ssh_config" >portless
    via=(-F "$SCRATCH/portless" --remote-path="$AGENT")
    copied "${via[@]}" here/file "ssh://root@$FAR:$port$THERE/url"
    same here/file there/url
    copied "${via[@]}" --port="$port" here/file "root@127.0.0.1:$THERE/"
    same here/file there/file
    copied "${via[@]}" -o "Port=$port" -4 here/file "$FAR:$THERE/four"
    same here/file there/four
    copied "${via[@]}" --port="$port" -6 here/file "[::1]:$THERE/six"
    same here/file there/six
    copied "${via[@]}" --port="$port" "$FAR:$THERE/six" here/
    same here/file here/six
}

@test "a path that is relative to the login's home, and names that a shell would take apart" {
    local home name
    server_start
    folders
    home=$(getent passwd root | cut -d: -f6)
    name=.haul-test.$$.$RANDOM
    cleanup_fn rm -f "$home/$name"
    random_file here/file 1M
    copied "${via[@]}" here/file "$FAR:$name"
    same here/file "$home/$name"
    for name in 'a b' '$(touch bad)' "quo'te\"s" '-dash' '*' ';id' $'new\nline' $'\xff\xfe' "$(printf 'n%.0s' {1..240})"; do
        copied "${via[@]}" here/file "$FAR:$THERE/$name"
        same here/file "$THERE/$name"
        rm -f "$HERE/back"
        copied "${via[@]}" "$FAR:$THERE/$name" here/back
        same here/file here/back
    done
    [ ! -e "$home/bad" ] && [ ! -e bad ]
}

@test "sizes around a block and a chunk, and nothing at all" {
    server_start
    folders
    local size
    for size in 0 1 4095 4096 4097 $((MIB - 1)) $MIB $((MIB + 1)) $((3 * MIB + 511)); do
        random_file here/file $size $((size + 1))
        copied "${via[@]}" here/file "$FAR:$THERE/up.$size"
        uncached here/file "there/up.$size"
        same here/file there/up.$size
        copied "${via[@]}" "$FAR:$THERE/up.$size" here/down.$size
        uncached there/up.$size here/down.$size
        same here/file here/down.$size
    done
}

@test "holes stay holes" {
    server_start
    folders
    truncate -s 40M here/file
    "$TOOLS/fill" --offset=$((8 * MIB)) here/file 2M
    "$TOOLS/fill" --offset=$((30 * MIB)) here/file 1M
    copied "${via[@]}" here/file "$FAR:$THERE/file"
    same here/file there/file
    expect_under "blocks of the target" "$(stat -c %b there/file)" $((5 * MIB / 512))
    expect_under "bytes on the wire" "$(receipt .wire_bytes_sent)" $((4 * MIB))
    copied "${via[@]}" "$FAR:$THERE/file" here/back
    same here/file here/back
    expect_under "blocks of the target" "$(stat -c %b here/back)" $((5 * MIB / 512))
}

@test "an update in place sends what differs; up to date: nothing" {
    server_start
    folders
    big_file here/file
    copied "${via[@]}" here/file "$FAR:$THERE/file"
    copied "${via[@]}" here/file "$FAR:$THERE/file"
    expect_receipt .bytes_copied 0
    expect_under "bytes on the wire" "$(receipt .wire_bytes_sent)" 65536
    "$TOOLS/fill" --flip=$((5 * MIB)) here/file
    copied "${via[@]}" here/file "$FAR:$THERE/file"
    same here/file there/file
    expect_receipt .bytes_copied 4096
    expect_receipt .bytes_kept $((SIZE - 4096))
    expect_under "bytes on the wire" "$(receipt .wire_bytes_sent)" $((2 * MIB))
    "$TOOLS/fill" --flip=$((7 * MIB)) there/file
    copied -c "${via[@]}" "$FAR:$HERE/file" there/file
    same here/file there/file
    expect_under "bytes on the wire" "$(receipt .wire_bytes_received)" $((2 * MIB))
}

@test "several files: what each has cost on the link, and their sum" {
    folders
    local name
    for name in a b c; do random_file "here/$name" 1M; done
    copied -e "sh -c 'shift; exec \"\$@\"' -" --remote-path="$HAUL" here/a here/b here/c "h:$THERE/"
    expect "1 MiB each, and 3 in all" "$(jq -c 'select(.event != "progress") | .wire_bytes_sent / 1048576 | floor' out |
        tr '\n' ' ')" "1 1 1 3 "
    # That of a file that fails, too, whose share is what is told last.
    rm there/b && mkdir there/b
    copy -I -e "sh -c 'shift; exec \"\$@\"' -" --remote-path="$HAUL" here/a here/c here/b "h:$THERE/"
    expect_status 23
    expect_receipt .wire_bytes_sent "$(jq 'select(.event == "file") | .wire_bytes_sent' out | jq -s add)"
}

@test "--verify, -n, --restart and --progress" {
    server_start
    folders
    big_file here/file
    copied "${via[@]}" -n here/file "$FAR:$THERE/file"
    [ -z "$(ls -A there)" ]
    copied "${via[@]}" --verify here/file "$FAR:$THERE/file"
    uncached there/file
    same here/file there/file
    copied "${via[@]}" --restart --progress here/file "$FAR:$THERE/file"
    expect_receipt .bytes_copied $SIZE
    grep -q '"event":"progress"' out
}

@test "--bwlimit holds on the wire, both ways" {
    local began
    server_start
    folders
    random_file here/file 12M
    began=${EPOCHREALTIME/./}
    copied "${via[@]}" --bwlimit=8M here/file "$FAR:$THERE/file"
    [ $((${EPOCHREALTIME/./} - began)) -ge 1100000 ] # 12 MiB at 8 MiB/s are 1.5 s, less a burst
    same here/file there/file
    began=${EPOCHREALTIME/./}
    copied "${via[@]}" --bwlimit=8M "$FAR:$THERE/file" here/back
    [ $((${EPOCHREALTIME/./} - began)) -ge 1100000 ]
    same here/file here/back
}

@test "every engine and policy, on both sides" {
    local option
    server_start
    folders
    random_file here/file $((9 * MIB + 77))
    for option in --engine=sync --engine=threads --engine=uring --cache=direct --cache=window; do
        rm -f there/file here/back
        copied "${via[@]}" $option here/file "$FAR:$THERE/file"
        copied "${via[@]}" $option "$FAR:$THERE/file" here/back
        uncached here/file there/file here/back
        same here/file here/back
        case $option in
        --engine=*) [ "$(receipt '.source.engine + .target.engine')" = "${option#*=}${option#*=}" ] ;;
        *) [ "$(receipt '.source.policy + .target.policy')" = "${option#*=}${option#*=}" ] ;;
        esac
    done
}

@test "the receipt in words names both machines" {
    server_start
    folders
    random_file here/file 3M
    "${under[@]}" "$HAUL" --stats "${via[@]}" here/file "$FAR:$THERE/file" >out 2>err || { cat err; return 1; }
    grep -q "$FAR" out
    cat out
    [ "$(grep -cE 'direct|window' out)" -ge 2 ]
}

@test "files of somebody else's making that were cached before stay cached, there, too" {
    server_start
    folders
    random_file here/file 8M
    cat here/file >/dev/null
    kept here/file $((8 * MIB))
    copied "${via[@]}" here/file "$FAR:$THERE/up"
    kept here/file $((8 * MIB))
    copied "${via[@]}" "$FAR:$HERE/file" there/down
    kept here/file $((8 * MIB))
    uncached there/up there/down
}
