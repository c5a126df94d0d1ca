#!/usr/bin/env bats
# Goal: who is at the other end is settled before anything is said: an unknown or changed host key is refused, in one clear
# line, before a password is sent or even asked for; and ssh and haul agree about every known_hosts file.
load ../lib/login

@test "an unknown host key is refused without a terminal, with its SHA-256 fingerprint" {
    server_start "LogLevel DEBUG2"
    : >"$SSH/known_hosts"
    via+=(-o BatchMode=yes)
    refused 10 "SHA256:"
    grep -qF "$(ssh-keygen -lf "$SSH/host_key.pub" | cut -d' ' -f2)" err
    not server_saw publickey
}

@test "an unknown host key, accepted at the terminal, is remembered" {
    requires script
    server_start
    : >"$SSH/known_hosts"
    sed -i '/StrictHostKeyChecking/d' "$SSH/ssh_config"
    printf -v line '%q ' "$HAUL" -q "${via[@]}" here/file "$FAR:$THERE/file"
    (waits_until 10 grep -qs SHA256 typed; echo yes; waits_until 10 cmp -s here/file there/file) | env "$TEST_ID" script -qefc "$line" typed >/dev/null
    same here/file there/file
    [ -s "$SSH/known_hosts" ]
    works
}

@test "a changed host key is refused with the offending line" {
    server_start
    sshd_change_host_key "$SSH"
    server_stop
    server_start "LogLevel DEBUG2"
    refused 10 "known_hosts:[0-9]+|line [0-9]+"
    not server_saw publickey
}

@test "hashed known_hosts are read" {
    server_start
    ssh-keygen -q -H -f "$SSH/known_hosts"
    rm -f "$SSH/known_hosts.old"
    not grep -q 127.0.0.1 "$SSH/known_hosts"
    works
    sshd_change_host_key "$SSH"
    server_stop
    server_start
    copy "${via[@]}" -I here/file "$FAR:$THERE/file"
    expect_status 10
}

# Each question is a process, which may take as long as the rest of a login.
@test "ssh-keygen is asked once about a host, and nothing about a file that is empty" {
    server_start
    mkdir own
    printf '#!/bin/sh\necho "$*" >>%q\nexec %q "$@"\n' "$PWD/asked" "$(type -P ssh-keygen)" >own/ssh-keygen
    chmod +x own/ssh-keygen
    PATH=$PWD/own:$PATH works
    [ "$(grep -c . asked)" = 1 ]
    grep -qF "$SSH/known_hosts" asked
}

# The server that records: sshd logs every method that is tried. With the right key it sees the password (so the test can
# see), with a changed or unknown key it sees no login at all, and nobody was asked.
@test "a password is never sent, nor asked for, before the host key is accepted" {
    server_start "LogLevel DEBUG2" "PasswordAuthentication yes" "PubkeyAuthentication no"
    askpass_make wrong
    refused 10 "password|denied|login|authent"
    server_saw password
    [ -s asked ]
    sshd_change_host_key "$SSH"
    server_stop
    : >asked
    server_start "LogLevel DEBUG2" "PasswordAuthentication yes" "PubkeyAuthentication no"
    refused 10 "known_hosts|host key"
    not grep -q userauth-request "$SSH/sshd.log"
    [ ! -s asked ]
    : >"$SSH/known_hosts"
    refused 10 "SHA256"
    not grep -q userauth-request "$SSH/sshd.log"
    [ ! -s asked ]
}

# The verdict of ssh about the host's key, and that of haul: known, unknown, changed or revoked.
verdict_ssh() {
    ssh -F "$server_config" -T "$FAR" true >/dev/null 2>ssh.err </dev/null && { echo known; return; }
    case $(cat ssh.err) in
    *"IDENTIFICATION HAS CHANGED"*) echo changed ;;
    *"REVOKED HOST KEY"* | *"revoked by file"* | *"in revoked keys file"*) echo revoked ;;
    *"host key is known for"*) echo unknown ;;
    *) cat ssh.err ;;
    esac
}

verdict_haul() {
    rm -f there/file
    copy "${via[@]}" "$@" here/file "$FAR:$THERE/file"
    case $status-$(cat err) in
    0-*) cmp here/file there/file && echo known ;;
    10-*"has changed"*) echo changed ;;
    10-*"is revoked"* | 10-*"list of revoked keys"*) echo revoked ;;
    10-*"is not known"*) echo unknown ;;
    *) cat err ;;
    esac
}

# agree EXPECTED [FILE LINE]...: these lines in known_hosts files a, b (the user's), c, d (the machine's), and r (revoked
# keys); in LINE, _N stands for the name, _K for the host's key, _X and _Y for others, of the same type and of another one.
agree() {
    local expected=$1 said="$*" line
    shift
    for line in a b c d r; do : >"known.$line"; done
    while [ $# -gt 0 ]; do
        line=$2
        line=${line//_N/$name}
        line=${line//_K/$key} line=${line//_X/$other} line=${line//_Y/$third}
        printf '%b\n' "$line" >>"known.$1"
        shift 2
    done
    line="$(verdict_ssh) $(verdict_haul)"
    [ "$line" = "$expected $expected" ] || { echo "$said: ssh and haul say: $line"; bad=1; }
}

keys_make() {
    server_start
    name="[127.0.0.1]:$SSHD_PORT"
    key=$(cut -d' ' -f1,2 "$SSH/host_key.pub")
    ssh-keygen -q -t ed25519 -N '' -f other
    ssh-keygen -q -t ecdsa -N '' -f third
    other=$(cut -d' ' -f1,2 other.pub) third=$(cut -d' ' -f1,2 third.pub)
    bad=0
    sed -i '/KnownHosts/d' "$SSH/ssh_config"
    client_config "UserKnownHostsFile $PWD/known.a $PWD/known.b" "GlobalKnownHostsFile $PWD/known.c $PWD/known.d"
}

@test "ssh and haul agree about a host's key: each of the files, revoked keys, patterns, hashed names" {
    keys_make
    agree unknown
    agree known d "_N _K"
    agree changed b "_N _X"
    agree changed d "_N _Y"
    agree known a "_N _X" d "_N _K"
    agree revoked a "_N _K" b "@revoked _N _K"
    agree revoked a "_N _K" d "@revoked * _K"
    agree revoked a "_N _K" a "@revoked   _N \t _K"
    agree known a "_N _K" b "@revoked _N _X"
    agree unknown a "@cert-authority _N _X"
    agree known a "  \t _N   _K comment of it"
    agree unknown a "# _N _K" b "_N" c "_N ssh-ed25519"
    agree unknown a "_N ssh-ed25519 AAAAgarbage" c "@other _N _K"
    agree unknown a "*,!_N,!127.0.0.1 _K"
    agree known a "*,!_N _K" # by the name without its port
    agree known a "*,!_N _X" b "[127.0.0.?]:* _K"
    agree revoked a "_N _K" b "@revoked *,!other _K"
    agree known a "127.0.0.1 _K"
    agree unknown a "127.0.0.1 _X"
    agree changed a "_N _X" b "127.0.0.1 _K"
    ssh-keygen -q -H -f known.b >/dev/null 2>&1
    printf '%s %s\n' "$name" "$other" >hashed
    ssh-keygen -q -H -f hashed 2>/dev/null
    agree changed b "$(cat hashed)"
    agree revoked a "_N _K" b "@revoked $(sed "s|ssh-ed25519 .*|$key|" hashed)"
    agree known a "_N _K" c "@revoked\\t_N _K" # a mark with a tab behind it is none to ssh
    [ "$bad" = 0 ]
}

@test "ssh and haul agree about RevokedHostKeys, a list or a KRL, and about HostKeyAlias" {
    keys_make
    base=$server_config
    client_config_from() { { printf '%s\n' "$@"; cat "$base"; } >"$SSH/ssh_config.r"; server_config=$SSH/ssh_config.r; via_libssh; }
    client_config_from "RevokedHostKeys $PWD/known.r"
    agree known a "_N _K"
    agree known a "_N _K" r "# list" r "_X comment"
    agree revoked a "_N _K" r "_Y" r "_K comment"
    agree revoked a "_N _K" r "_X" r "garbage" # nobody knows whose key that was
    agree revoked a "_N _K" r "ssh-ed25519 AAAAgarbage"
    agree revoked a "_N _K" r "some words of text"
    ssh-keygen -q -k -f krl other.pub
    client_config_from "RevokedHostKeys $PWD/krl"
    agree known a "_N _K"
    ssh-keygen -q -k -u -f krl "$SSH/host_key.pub"
    agree revoked a "_N _K"
    client_config_from "RevokedHostKeys $PWD/no-such-file"
    agree revoked a "_N _K"
    client_config_from "RevokedHostKeys $PWD"
    agree revoked a "_N _K"
    client_config_from "HostKeyAlias Storage"
    agree known a "storage _K"
    agree unknown a "_N _K"
    agree changed a "storage _X" b "_N _K"
    [ "$bad" = 0 ]
}

@test "a server with several host keys shows the one that is known, whichever file has it" {
    ssh-keygen -q -t ecdsa -N '' -f host_ecdsa
    server_start "HostKey $PWD/host_ecdsa"
    printf '[127.0.0.1]:%s %s\n' "$SSHD_PORT" "$(cut -d' ' -f1,2 host_ecdsa.pub)" >known.b
    sed -i '/KnownHosts/d' "$SSH/ssh_config"
    client_config "UserKnownHostsFile /dev/null" "GlobalKnownHostsFile /dev/null $PWD/known.b"
    works
    : >"$SSH/sshd.log"
    printf '[127.0.0.1]:%s %s\n' "$SSHD_PORT" "$(cut -d' ' -f1,2 "$SSH/host_key.pub")" >known.b
    works
}

asked_again() { # TIMES
    [ "$(grep -o 'Please type' typed | wc -l)" -ge "$1" ]
}

@test "an answer that is neither yes nor no is asked for again" {
    requires script
    server_start
    : >"$SSH/known_hosts"
    sed -i '/StrictHostKeyChecking/d' "$SSH/ssh_config"
    printf -v line '%q ' "$HAUL" -q "${via[@]}" here/file "$FAR:$THERE/file"
    (waits_until 10 grep -qs SHA256 typed; echo y; waits_until 10 asked_again 1; echo; waits_until 10 asked_again 2; echo yes
        waits_until 10 cmp -s here/file there/file) |
        env "$TEST_ID" script -qefc "$line" typed >/dev/null
    same here/file there/file
    : >"$SSH/known_hosts"
    rm -f there/file
    (waits_until 10 grep -qs SHA256 typed.no; echo no; waits_until 10 grep -q "not accepted" typed.no) | env "$TEST_ID" script -qefc "$line" typed.no >/dev/null || true
    [ ! -e there/file ]
    grep -q "was not accepted" typed.no
}
