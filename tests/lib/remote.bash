# remote.bash - a server, a link and an agent for the bats files about remote copies. `load ../lib/remote` in place of
# ../lib/common, which it brings along.
#
#   server_start [SSHD-CONFIG-LINE...]   a private sshd (sshd.bash) in $SSH, on $FAR; `via` then holds the options that
#                                        lead there
#   via_libssh | via_ssh                 how `via` gets there from now on
#   agent_make [NAME=VALUE...]           the agent that sshd starts (--remote-path): see there
#   proxy_start [CUTPROXY-OPTION...]     `via` goes through cutproxy; proxy_lose, proxy_count up|down|connections|open|mark
#   line_start [DELAY-OPTION...]         two network namespaces, a long line between them, and the server at its end
#   copy_start ARGS, copy_wait [SECONDS] `copy` in the background; its process is $CLIENT
#   nothing_left                         no process of this test is left on either side
#
# haul runs with "$@" after "${via[@]}"; sizes are small unless REMOTE_MIB says otherwise.

# shellcheck source=tests/lib/common.bash
. "${BASH_SOURCE[0]%/*}/common.bash"
# shellcheck source=tests/lib/sshd.bash
. "${BASH_SOURCE[0]%/*}/sshd.bash"

REMOTE_MIB=${REMOTE_MIB:-64}
SEED=${SEED:-1}

# sshd's buffers grow to megabytes by 256 bytes at a time, each time in another place. What malloc gives back to the kernel
# between comes again as new pages, which where page faults are dear is half of the processor time of all.
sshd_environment=(MALLOC_MMAP_THRESHOLD_=67108864 MALLOC_TRIM_THRESHOLD_=67108864)
# Nor is it started anew, with all its libraries, for each login (not in sshd(8); OpenSSH 9.8 and later do so all the same),
# and its keys are made once for all tests of a file.
sshd_options=(-r)
sshd_kept=${BATS_FILE_TMPDIR:+$BATS_FILE_TMPDIR/sshd}

setup() {
    requires root setsid setpriv ssh ssh-keygen
    [ -x /usr/sbin/sshd ] || skip "needs /usr/sbin/sshd"
    remote_open
}

remote_open() {
    scratch_open
    SSH=$SCRATCH/ssh
    FAR=127.0.0.1
    AGENT=$SCRATCH/agent
    # In the environment of every process that we start, and no other: so that nothing_left can find them.
    TEST_ID=HAUL_TEST_ID=$SCRATCH
    under=("$TOOLS/limit" 0 "$TEST_ID")
    unset SSH_AUTH_SOCK SSH_ASKPASS SSH_ASKPASS_REQUIRE DISPLAY
    agent_make
}

# What else runs on this machine may wait for its memory, and then less is in flight: neither side is told of that here.
memory_is_plenty() {
    [ -e /proc/pressure/memory ] || return 0
    sshd_under=("$HAUL_ROOT/tests/lib/own_mounts" 'mount --bind /dev/null /proc/pressure/memory')
    under=("${sshd_under[@]}" "${under[@]}")
}

# --- the server -------------------------------------------------------------------------------------------------------

server_start() {
    # fd 3 is bats' own: a server that holds it open would make bats wait for ever.
    cleanup_fn sshd_stop "$SSH"
    sshd_start "$SSH" "$@" 3>&- || return 1
    server_config=$SSH/ssh_config
    via_libssh
}

server_stop() {
    sshd_stop "$SSH"
}

# Whoever cuts a link wants to see what a copy says of it; what goes on by itself has scenarios of its own.
via_libssh() {
    via=(-F "$server_config" --remote-path="$AGENT" --retries=0)
    via_kind=libssh
}

via_ssh() {
    via=(-e "ssh -F $server_config" --remote-path="$AGENT" --retries=0)
    via_kind=ssh
}

# The sessions that sshd has now, or had in all.
sessions_now() {
    sshd_descendants "$SSHD_PID" | wc -l
}

sessions_ever() {
    grep -cE '^Accepted [a-z-]+ for ' "$SSH/sshd.log"
}

# --- the agent --------------------------------------------------------------------------------------------------------

# agent_make [cgroup=FOLDER] [before=WORDS] [program=WORDS] [user=UID] [say=TEXT]: what sshd starts. It notes its process
# ids in $SCRATCH/agent.pids. before: words in front of haul (a filter); program: in place of haul; say: printed first.
agent_make() {
    local word cgroup='' before='' program='' user='' say=''
    for word; do
        local "$word"
    done
    if [ -n "$user" ]; then # who may not be able to get to the tree
        cp "$HAUL" "$SCRATCH/haul"
        chmod 755 "$SCRATCH/haul"
        program=${program:-$SCRATCH/haul}
    fi
    rm -f "$AGENT" # a new file: the old one may be running
    {
        echo '#!/bin/sh'
        printf 'export %q ASAN_OPTIONS=%q UBSAN_OPTIONS=%q\n' "$TEST_ID" "$ASAN_OPTIONS" "$UBSAN_OPTIONS"
        [ -z "$cgroup" ] || printf 'echo $$ >%q/cgroup.procs || exit 125\n' "$cgroup"
        [ -z "$say" ] || printf 'echo %q\n' "$say"
        printf 'echo $$ >>%q\n' "$SCRATCH/agent.pids"
        [ -z "$user" ] || before="setpriv --reuid=$user --regid=$user --clear-groups $before"
        echo "exec $before ${program:-$HAUL} \"\$@\""
    } >"$AGENT"
    chmod 755 "$AGENT"
}

# agent_within MIB: from now on agents live in a memory cgroup of that size; agent_figure failcnt|peak.
agent_within() {
    requires cgroup
    AGENT_CGROUP=$(cgroup_make "haul-agent.$$.$RANDOM" $(($1 * MIB))) || return 1
    cleanup_fn cgroup_remove "$AGENT_CGROUP"
    agent_make cgroup="$AGENT_CGROUP"
}

agent_figure() {
    "cgroup_$1" "$AGENT_CGROUP"
}

client_within() { # MIB
    requires cgroup
    under=(in_cgroup $(($1 * MIB)) env "$TEST_ID")
}

# --- the link ---------------------------------------------------------------------------------------------------------

# Another way to the same server has another port, hence another line of known_hosts and another configuration.
server_also_at() { # HOST PORT
    local kind key text
    read -r kind key _ <"$SSH/host_key.pub"
    echo "[$1]:$2 $kind $key" >>"$SSH/known_hosts"
    server_config=$SSH/ssh_config.$2
    IFS= read -r -d '' text <"$SSH/ssh_config" || :
    [[ ! $text =~ $'\n    Port '[0-9]+ ]] || text=${text/"${BASH_REMATCH[0]}"/$'\n    Port '$2}
    printf %s "$text" >"$server_config"
    "via_$via_kind"
}

proxy_start() {
    [ ! -e "$SCRATCH/proxy.port" ] || rm -f "$SCRATCH/proxy.port" "$SCRATCH/proxy.count"
    "$TOOLS/cutproxy" --ready="$SCRATCH/proxy.port" --count="$SCRATCH/proxy.count" "$@" "$SSHD_PORT" 3>&- &
    PROXY_PID=$!
    cleanup_fn proxy_stop "$PROXY_PID"
    waits_until 60 test -e "$SCRATCH/proxy.port"
    read -r PROXY_PORT <"$SCRATCH/proxy.port"
    server_also_at 127.0.0.1 "$PROXY_PORT"
}

# Without an argument: the last one, and its last figures are there afterwards.
proxy_stop() { # [PID]
    kill "${1:-$PROXY_PID}" 2>/dev/null
    wait "${1:-$PROXY_PID}" 2>/dev/null
    return 0
}

# The link that there is is lost; whatever a gate has held up goes on by others.
proxy_lose() {
    kill -USR1 "$PROXY_PID"
    kill -HUP "$PROXY_PID"
}

proxy_count() { # up|down|connections|open|mark
    local figure
    proxy_figure "$1" && echo "$figure"
}

proxy_figure() { # up|down|connections|open|mark: sets figure
    local line=
    [ ! -e "$SCRATCH/proxy.count" ] || IFS= read -r line <"$SCRATCH/proxy.count" || :
    [[ " $line" =~ \ $1=([0-9.-]+) ]] && figure=${BASH_REMATCH[1]}
}

proxy_passed() { # up|down BYTES: have so many passed?
    local figure
    proxy_figure "$1" && [ "$figure" -ge "$2" ]
}

# The line's ends are 10.99.0.1 and .2. nsenter and not `ip netns exec`: that would hide the cgroups below /sys.
line_start() {
    requires ip nsenter
    [ -c /dev/net/tun ] || skip "needs /dev/net/tun"
    NEAR_NETNS=haul-near.$$.$RANDOM FAR_NETNS=haul-far.$$.$RANDOM
    local name
    for name in "$NEAR_NETNS" "$FAR_NETNS"; do
        ip netns add "$name" || return 1
        cleanup_fn ip netns del "$name"
    done
    "$TOOLS/delay" --ready="$SCRATCH/line.ready" "$@" "$NEAR_NETNS" "$FAR_NETNS" 3>&- 2>"$SCRATCH/line.err" &
    LINE_PID=$!
    cleanup_fn proxy_stop "$LINE_PID"
    waits_until 60 test -e "$SCRATCH/line.ready"
    sshd_under=(nsenter --net="/run/netns/$FAR_NETNS")
    server_start "ListenAddress 10.99.0.2" || return 1
    FAR=10.99.0.2
    server_also_at "$FAR" "$SSHD_PORT"
    near=(nsenter --net="/run/netns/$NEAR_NETNS")
    under=("${near[@]}" env "$TEST_ID")
}

# --- waiting and processes --------------------------------------------------------------------------------------------

copy_start() {
    "${under[@]}" "$HAUL" --json "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" 3>&- &
    CLIENT=$!
    cleanup_fn kill_quietly "$CLIENT"
}

process_ended() {
    ! sshd_running "$1"
}

copy_wait() { # [SECONDS]
    status=0
    waits_until "${1:-120}" process_ended "$CLIENT" || kill -9 "$CLIENT"
    wait "$CLIENT" || status=$?
    events "$SCRATCH/out"
}

kill_quietly() {
    kill -9 "$@" 2>/dev/null
    return 0
}

# Processes with our mark, without zombies (those have no environment).
marked() {
    grep -lsaz -xF "$TEST_ID" /proc/[0-9]*/environ 2>/dev/null | sed 's|/proc/\([0-9]*\)/.*|\1|'
    return 0
}

no_agent() {
    # shellcheck disable=SC2046
    [ ! -e "$SCRATCH/agent.pids" ] || ! sshd_running $(cat "$SCRATCH/agent.pids")
}

nobody() {
    local family=()
    [ -z "${SSHD_PID:-}" ] || sshd_family "$SSHD_PID" # first, as no process is begun for it
    ! sshd_running "${family[@]}" && ! grep -qsaz -xF "$TEST_ID" /proc/[0-9]*/environ
}

nothing_left() { # [SECONDS]
    local pid
    waits_until "${1:-10}" nobody >/dev/null && return
    echo "left behind:"
    for pid in $(marked) $(sshd_descendants "$SSHD_PID"); do
        echo "$pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
    done
    return 1
}

# --- files ------------------------------------------------------------------------------------------------------------

# here and there: two folders, so that "there" stands for the other machine's disk.
folders() {
    mkdir -p "$SCRATCH/here" "$SCRATCH/there"
    HERE=$SCRATCH/here THERE=$SCRATCH/there
}

# Equal; and out of the cache again, so that a later copy finds cold files. Ask for `uncached` before.
same() {
    spawn "$TOOLS/same" --evict "$1" "$2" || { show_run; return 1; }
}

# What the journal of a target names as durable; 0 without one.
durable_bytes() { # TARGET
    local journal=${1%/*}/.${1##*/}.haul
    [ -e "$journal" ] || { echo 0; return; }
    local line
    mapfile -n 1 line < <("$HAUL" journal --json "$journal" 2>/dev/null)
    [ ${#line[@]} = 0 ] || if [[ ${line[0]} =~ ,\"bytes_durable\":([0-9]+), ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

# A repeatable number below LIMIT; the N-th of this test.
random_below() { # LIMIT N
    local hash file=$BATS_FILE_TMPDIR/$BASHPID
    printf '%s %s %s' "$SEED" "$BATS_TEST_DESCRIPTION" "$2" >"$file"
    hash=$(sha256sum "$file") && echo $((0x${hash:0:12} % $1))
}
