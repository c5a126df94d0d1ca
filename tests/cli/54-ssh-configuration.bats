#!/usr/bin/env bats
# Goal: what ssh's configuration says counts for haul as for ssh: names, keys, agents, certificates, proxies, prompts; what cannot
# be honoured is said.
load ../lib/login

# alias_works LINES: "far" is reached with LINES in front of what leads astray (port, user, key), by libssh and by ssh alike.
# ssh is the measure: what it does not get to is no case. `setting` is for -o.
alias_works() {
    {
        printf '%s\n' "$@"
        printf '%s\n' "Host *" "Port 1" "User nobodyx" "IdentityFile /dev/null"
        grep -vE ' (Port|IdentityFile) ' "$SSH/ssh_config"
    } >"$SSH/ssh_config.far"
    server_config=$SSH/ssh_config.far
    for by in via_ssh via_libssh; do
        "$by"
        [ -z "$setting" ] || [ "$by" = via_ssh ] || via+=(-o "$setting")
        [ -z "$setting" ] || [ "$by" = via_libssh ] || via[1]+=" -o $setting"
        FAR=far works || { printf '%s with:\n' "$by"; printf '    %s\n' "$@"; return 1; }
    done
}

# The parts of a configuration that leads to the server, each in a block of its own or after HostName.
alias_start() {
    server_start
    mv "$SSH/user_key" "$SSH/key.127.0.0.1"
    setting=
    port="Port $SSHD_PORT" key="IdentityFile $SSH/key.127.0.0.1" name="HostName 127.0.0.1"
}

@test "blocks for the alias hold after its HostName: Port, User, IdentityFile, ProxyJump, ProxyCommand" {
    alias_start
    alias_works "Host far" "$name" "$port" "$key" "Host far" "User root"
    alias_works "Host far" "$name" "User root" "$key" "Host f*" "$port"
    alias_works "Host far" "$name" "User root" "$port" "Host *r !near" "$key"
    alias_works "Host far" "$name" "Host far" "$port" "Host far" "$key" "Host far" "User root"
    alias_works "Host far" "User root" "$port" "$key" "Host far" "$name" "Host far" "HostName no-such-host.invalid"
    # What is for the host's own name is not for the alias.
    alias_works "Host far" "$name" "Host 127.0.0.1" "User nobodyx" "Host far" "User root" "$port" "$key"
    alias_works "Host far" "$name" "Host far" "User root" "$port" "IdentityFile $SSH/key.%h"
    alias_works "Host * !far" "User nobodyx" "Host f* near !far" "Port 1" "Host * !near" "$name" "User root" "$port" "$key"
    printf '%s\n' "Host far" "$name" "Host far" "User root" "Host far" "$port" >"$SSH/included"
    alias_works "Include $SSH/included" "Host far" "$key"
    setting=HostName=127.0.0.1
    alias_works "Host far" "HostName no-such-host.invalid" "Host far" "User root" "$port" "$key"
    setting=

    printf '#!/bin/sh\necho "$*" >>%q\nexec ssh -F %q -i %q -W "[$1]:$2" root@127.0.0.1\n' \
        "$SCRATCH/proxied" "$SSH/ssh_config" "$SSH/key.127.0.0.1" >proxy
    chmod 755 proxy
    alias_works "Host far" "$name" "Host far" "$port" "User root" "$key" "ProxyCommand $SCRATCH/proxy %h %p %n %r"
    expect "what ProxyCommand was told" "$(sort -u proxied)" "127.0.0.1 $SSHD_PORT far root"
    expect "times" "$(wc -l <proxied)" 2
    : >"$SSH/sshd.log"
    alias_works "Host far" "$name" "Host far" "$port" "User root" "$key" "ProxyJump root@hop:$SSHD_PORT" \
        "Host hop" "$name" "$key" "ProxyJump none"
    expect "connections" "$(grep -c 'Connection from' "$SSH/sshd.log")" 4
    # The second hop is reached through the first.
    alias_works "Host far" "$name" "$port" "User root" "$key" "ProxyJump root@one:$SSHD_PORT,root@two:$SSHD_PORT" \
        "Host one two" "$name" "$key" "Host one" "ProxyJump none" "Host two" "ProxyCommand false"
}

@test "Match host is about the HostName so far, Match originalhost about the alias" {
    alias_start
    alias_works "Host far" "$name" "$port" "$key" "Match host 127.0.0.*" "User root"
    alias_works "Host far" "$name" "$port" "$key" "Match host far" "User nobodyx" "Match !host far" "User root"
    alias_works "Match host far" "$name" "Match host far" "User nobodyx" "Host far" "User root" "$port" "$key"
    alias_works "Host far" "$port" "$key" "Match host far" "$name" "Match host 127.0.0.1" "User root"
    alias_works "Host far" "$name" "$port" "$key" "Match originalhost far" "User root"
    alias_works "Host far" "$name" "$port" "$key" "Match !originalhost far" "User nobodyx" "match originalhost=\"f*\"" "User root"
    alias_works "Match originalhost far exec true" "$name" "Match originalhost far exec false" "User nobodyx" \
        "Match exec \"test %h = 127.0.0.1\"" "User root" "Match all" "$port" "Host far" "$key"
}

@test "the cipher that is asked for is used, and AES-GCM otherwise" {
    server_start "LogLevel DEBUG2"
    works
    grep -q 'server->client cipher: aes.*-gcm' "$SSH/sshd.log" || ! grep -qw aes /proc/cpuinfo
    works -o Ciphers=aes256-ctr
    grep -q 'server->client cipher: aes256-ctr' "$SSH/sshd.log"
}

# An agent with the user's key and N others in front of it.
agent_with() { # N
    sshd_agent_start "$SSH"
    cleanup_fn sshd_agent_stop "$SSH"
    ssh-add -q -D 2>/dev/null
    for i in $(seq "$1"); do
        ssh-keygen -q -t ed25519 -N '' -f "foreign.$i"
        ssh-add -q "foreign.$i"
    done
    ssh-add -q "$SSH/user_key"
    under+=("SSH_AUTH_SOCK=$SSH_AUTH_SOCK")
}

@test "nine keys of an agent that the host does not want: it says so at once" {
    server_start
    agent_with 9
    mv "$SSH/user_key" "$SSH/away"
    sed -i '/Identit/d' "$SSH/ssh_config"
    # libssh 0.11 may lose the host's last words, "Too many authentication failures".
    refused 10 "the host ended the login .*many.* keys, IdentitiesOnly=yes"
    # ssh shows the key first that the configuration names.
    client_config "IdentityFile $SSH/user_key.pub"
    works
}

@test "IdentitiesOnly of the file: of an agent's keys those that are named, and no others" {
    server_start "LogLevel DEBUG2"
    agent_with 1
    mv "$SSH/user_key" "$SSH/away"
    sed -i '/Identit/d' "$SSH/ssh_config"
    client_config "IdentitiesOnly yes" "IdentityFile $PWD/foreign.1"
    refused 10 "login as root refused"
    client_config "IdentitiesOnly yes" "IdentityFile $SSH/user_key.pub"
    works
    client_config "IdentityAgent none"
    refused 10 "login as root refused"
}

@test "a certificate, of CertificateFile and beside its key" {
    ssh-keygen -q -t ed25519 -N '' -f ca
    server_start "TrustedUserCAKeys $PWD/ca.pub" "AuthorizedKeysFile none"
    refused 10 "login as root refused"
    ssh-keygen -q -s ca -I test -n root "$SSH/user_key.pub"
    works
    mv "$SSH/user_key-cert.pub" certificate.pub
    client_config "CertificateFile $PWD/certificate.pub"
    works
}

@test "what the file says counts: StrictHostKeyChecking, BatchMode, PreferredAuthentications, prompts, family, timeout" {
    server_start "LogLevel DEBUG2" "PasswordAuthentication yes"
    sed -i '/StrictHostKeyChecking/d' "$SSH/ssh_config"
    cp "$SSH/known_hosts" known
    : >"$SSH/known_hosts"
    client_config "StrictHostKeyChecking yes"
    refused 10 "StrictHostKeyChecking is yes"
    client_config "StrictHostKeyChecking accept-new"
    works
    grep -q '^\[127' "$SSH/known_hosts"
    printf '# no line end' >"$SSH/known_hosts"
    client_config "StrictHostKeyChecking accept-new" "HashKnownHosts yes"
    works
    grep -q '^|1|' "$SSH/known_hosts"
    not grep -q 127 "$SSH/known_hosts"
    client_config "StrictHostKeyChecking yes"
    works
    # No file of it is left; others may be at work there now.
    ! grep -rqsF "$(cut -d' ' -f2 "$SSH/host_key.pub")" /tmp/haul-known-* || return 1

    askpass_make wrong
    : >"$SSH/sshd.log"
    client_config "PreferredAuthentications password" "NumberOfPasswordPrompts 2"
    refused 10 "tried password"
    expect "questions" "$(wc -l <asked)" 2
    not server_saw publickey
    : >asked
    client_config "PubkeyAuthentication no" "BatchMode yes"
    refused 10 "login as root refused"
    not server_saw publickey
    [ ! -s asked ]
    client_config "PasswordAuthentication no" "PubkeyAuthentication no" "KbdInteractiveAuthentication no"
    refused 10 "tried nothing"

    client_config "AddressFamily inet6"
    refused 10 "127.0.0.1"
    client_config "BindAddress 127.0.0.2"
    : >"$SSH/sshd.log"
    works
    grep -q "Connection from 127.0.0.2" "$SSH/sshd.log"
    proxy_start --stall-up=0 --stall-down=0
    client_config "ConnectTimeout 1" "Port $PROXY_PORT"
    copy "${via[@]}" here/file "$FAR:$THERE/file"
    expect_status 35
    expect_words "within 1 s"
}

@test "what cannot be honoured is said, or refused where it is about trust" {
    server_start
    client_config "VerifyHostKeyDNS yes" "IPQoS throughput" "ForwardAgent yes" "SendEnv LANG"
    works
    expect_words "not honoured: verifyhostkeydns, ipqos; -e ssh does"
    expect "warnings" "$(wc -l <err)" 1
    client_config "KnownHostsCommand /bin/true"
    refused 1 "knownhostscommand"
    client_config "ProxyUseFdpass yes" "ProxyCommand true"
    refused 1 "proxyusefdpass"
    client_config "NoSuchKeyword yes"
    refused 1 "nosuchkeyword"
    client_config "Match all"
    works
    expect "words" "$(cat err)" ""
}

@test "what the host has to say before the login is shown, escaped, once; not with -q" {
    printf 'Authorised users only\n\n\033[31mred\033[0m\n' >banner
    server_start "Banner $PWD/banner"
    works -j2
    expect "lines" "$(grep -c 'Authorised users only' err)" 1
    grep -q 'red' err
    not grep -q $'\033' err
    works -q
    not grep -q Authorised err
}

@test "without an ssh libssh reads the configuration, a warning says so, and host keys are judged all the same" {
    server_start
    mkdir bin
    ln -s "$(type -P timeout)" bin/timeout
    under+=("PATH=$PWD/bin")
    works
    expect_words "there is no ssh to ask"
    works -o "UserKnownHostsFile=$PWD/none $SSH/known_hosts"
    printf '@revoked * %s\n' "$(cut -d' ' -f1,2 "$SSH/host_key.pub")" >revoked
    copy "${via[@]}" -o "UserKnownHostsFile=$SSH/known_hosts $PWD/revoked" here/file "$FAR:$THERE/file"
    expect_status 10
    expect_words "revoked"
    : >"$SSH/known_hosts"
    copy "${via[@]}" -o StrictHostKeyChecking=yes here/file "$FAR:$THERE/file"
    expect_status 10
    expect_words "is not known"
    under=("${under[@]::${#under[@]}-1}")
    copied -v -o StrictHostKeyChecking=no "${via[@]}" here/file "$FAR:$THERE/file"
    expect_words "asked of .ssh -G"
}
