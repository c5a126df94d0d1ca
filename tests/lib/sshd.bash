# sshd.bash - a private sshd for tests, on loopback, with keys and configuration of its own.
#
# Sourced by bats files:
#   load ../lib/sshd                      (or: source tests/lib/sshd.bash)
#   sshd_start DIR [CONFIG-LINE...]       starts it; sets SSHD_PORT, SSHD_PID; the files are below. It ends with whoever has
#                                         sourced this, whatever that dies of; words in the array sshd_under go before it,
#                                         variables in sshd_environment into its environment, options in sshd_options to it;
#                                         folder sshd_kept: what a first one made is used by all that are started with it
#   sshd_stop DIR                         ends it and its sessions
#   sshd_change_host_key DIR              a new host key; takes effect with the next sshd_start
#   sshd_user_add NAME PASSWORD           a throw-away local user (root only); sshd_user_del NAME
#   sshd_agent_start DIR                  an ssh-agent that holds the user's key; sets SSH_AUTH_SOCK;
#   sshd_agent_stop DIR                   ends it
# or run:  bash tests/lib/sshd.bash start DIR [CONFIG-LINE...] | stop DIR | ...
#
# In DIR: host_key[.pub], user_key[.pub], known_hosts (right), authorized_keys, sshd_config, ssh_config
# (for the client's -F: port, keys and known_hosts), port, pid, sshd.log. CONFIG-LINEs come first and so
# win: "MaxStartups 2", "PasswordAuthentication yes", "AuthenticationMethods password".
# Everything in DIR stays until the test removes it. A second start in DIR ends the first one, and keeps keys and port.

# Where this is run and not sourced the process that starts it does not stay.
sshd_ends_with_us=()
[ "${BASH_SOURCE[0]}" = "$0" ] || sshd_ends_with_us=(setpriv --pdeathsig TERM)

SSHD_TRIES=15000 # a moment each: what it waits for comes, unless something is wrong

# A moment. sleep would be a process, which takes longer to begin: this is a pipe that nobody writes to.
sshd_nap() { # DIR
    local REPLY
    [ -p "$1/naps" ] || mkfifo "$1/naps" || return
    read -rt 0.02 <>"$1/naps" || :
}

# sshd writes its title over its environment, where tests/lib/check looks for what it has started: so it is in the title.
sshd_config_file() { # DIR: sets config_file
    config_file=$1/sshd_config${HAUL_CHECK:+.HAUL_CHECK=$HAUL_CHECK}
}

sshd_keys() { # DIR
    local dir=$1 kept=${sshd_kept:-}
    if [ -d "$dir" ]; then chmod 700 "$dir"; else mkdir -p -m 700 "$dir"; fi || return
    [ -z "$kept" ] || [ ! -d "$kept" ] || [ -e "$dir/host_key" ] || { cp -p "$kept"/* "$dir/"; return; }
    [ -e "$dir/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C host -f "$dir/host_key" || return
    [ -e "$dir/user_key" ] || ssh-keygen -q -t ed25519 -N '' -C user -f "$dir/user_key" || return
    [ -e "$dir/authorized_keys" ] || cp "$dir/user_key.pub" "$dir/authorized_keys" || return
    [ -e "$dir/lines" ] || sshd_lines >"$dir/lines"
    [ -z "$kept" ] || [ -d "$kept" ] || { mkdir "$kept" && cp -p "$dir"/{host_key,user_key}{,.pub} "$dir"/{authorized_keys,lines} "$kept/"; }
}

# What not every sshd knows.
sshd_lines() {
    # OpenSSH 9.8 and later: whoever fails at logins is not let in for a while, and tests fail at many.
    ! grep -aqi persourcepenalties /usr/sbin/sshd || echo "PerSourcePenalties no"
    # bash that sshd starts reads .bashrc, which may take a second (pyenv), unless it is told that a shell is above it.
    ! grep -aqi setenv /usr/sbin/sshd || echo "SetEnv SHLVL=1"
}

sshd_config() { # DIR PORT [CONFIG-LINE...]
    local dir=$1 port=$2 lines config_file
    shift 2
    mapfile lines <"$dir/lines"
    sshd_config_file "$dir"
    {
        [ $# -eq 0 ] || printf '%s\n' "$@"
        printf %s "${lines[@]}" "\
Port $port
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey $dir/host_key
AuthorizedKeysFile $dir/authorized_keys
PidFile $dir/sshd.pid
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"
    } >"$config_file"
    printf %s "\
Host *
    Port $port
    IdentityFile $dir/user_key
    IdentitiesOnly yes
    UserKnownHostsFile $dir/known_hosts
    GlobalKnownHostsFile $dir/known_to_all
    StrictHostKeyChecking yes
" >"$dir/ssh_config"
}

# The right answer for every way in which tests name this machine.
sshd_known_hosts() { # DIR PORT
    local kind key
    read -r kind key _ <"$1/host_key.pub"
    printf "[%s]:$2 $kind %s\\n" localhost "$key" 127.0.0.1 "$key" ::1 "$key" >"$1/known_hosts"
}

sshd_try() { # DIR PORT: start, and wait until it listens; 1: the port is taken or it failed
    local dir=$1 pid tries log config_file
    : >"$dir/sshd.log"
    sshd_config_file "$dir"
    {
        [ ${#sshd_environment[@]} = 0 ] || export "${sshd_environment[@]}"
        exec setsid "${sshd_ends_with_us[@]}" "${sshd_under[@]}" /usr/sbin/sshd "${sshd_options[@]}" -D -e -f "$config_file"
    } </dev/null >/dev/null 2>"$dir/sshd.log" &
    pid=$!
    echo "$pid" >"$dir/pid"
    for ((tries = 0; tries < SSHD_TRIES; tries++)); do
        IFS= read -r -d '' log <"$dir/sshd.log" || :
        if [[ $log == *'Server listening on 127'* ]]; then
            sshd_nap "$dir" # "Address already in use" for the other family would come now
            kill -0 "$pid" 2>/dev/null || break
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || break
        sshd_nap "$dir"
    done
    sshd_stop "$dir"
    return 1
}

sshd_start() { # DIR [CONFIG-LINE...]
    local dir=$1 port try
    shift
    sshd_stop "$dir"
    [ -d /run/sshd ] || mkdir -p /run/sshd 2>/dev/null # the privilege separation directory, when root
    sshd_keys "$dir" || return
    for ((try = 1; try <= 20; try++)); do
        port=$((20000 + RANDOM % 12000)) # below the ephemeral ports
        [ "$try" -gt 1 ] || [ ! -e "$dir/port" ] || read -r port <"$dir/port"
        sshd_config "$dir" "$port" "$@"
        if sshd_try "$dir" "$port"; then
            echo "$port" >"$dir/port"
            [ -e "$dir/known_hosts_kept" ] || sshd_known_hosts "$dir" "$port"
            SSHD_PORT=$port
            read -r SSHD_PID <"$dir/pid"
            export SSHD_PORT SSHD_PID
            return 0
        fi
    done
    cat "$dir/sshd.log" >&2
    return 1
}

# They are asked thousands of times, so no process is begun for it.
sshd_descendants() { # PID: all of its descendants, children first
    local family=()
    sshd_family "$1"
    [ ${#family[@]} = 0 ] || printf '%s\n' "${family[@]}"
}

sshd_family() { # PID: adds them to family
    local child children=()
    { read -ra children <"/proc/$1/task/$1/children"; } 2>/dev/null || : # no line, or gone
    for child in "${children[@]}"; do
        sshd_family "$child"
        family+=("$child")
    done
}

# Whether one of these runs. A zombie does not: pid 1 of a container may never reap it.
sshd_running() { # PID...
    local pid state
    for pid; do
        state=
        { IFS= read -r state <"/proc/$pid/stat"; } 2>/dev/null || continue
        [[ ${state##*) } == [ZX]* ]] || return 0
    done
    return 1
}

sshd_stop() { # DIR
    local dir=$1 pid family=() tries
    [ -s "$dir/pid" ] || return 0
    read -r pid <"$dir/pid"
    : >"$dir/pid"
    sshd_family "$pid"
    family+=("$pid")
    kill "${family[@]}" 2>/dev/null
    for ((tries = 0; tries < 500; tries++)); do
        sshd_running "${family[@]}" || return 0
        sshd_nap "$dir"
    done
    kill -9 "${family[@]}" 2>/dev/null
    return 0
}

# The server gets another key; what the client knows stays as it was.
sshd_change_host_key() { # DIR
    rm -f "$1/host_key" "$1/host_key.pub"
    ssh-keygen -q -t ed25519 -N '' -C changed -f "$1/host_key" || return
    : >"$1/known_hosts_kept"
}

# useradd and its like do not wait for each other; another check may be adding its user now.
sshd_users_lock() { # COMMAND...
    flock "${TMPDIR:-/tmp}/haul-users.lock" "$@"
}

sshd_user_add() { # NAME PASSWORD
    sshd_users_lock useradd --create-home --shell /bin/sh "$1" && printf '%s:%s\n' "$1" "$2" | sshd_users_lock chpasswd
}

sshd_user_del() { # NAME
    sshd_users_lock userdel --remove "$1" 2>/dev/null
}

sshd_agent_start() { # DIR
    local tries
    rm -f "$1/agent.sock"
    setsid ssh-agent -D -a "$1/agent.sock" </dev/null >/dev/null 2>&1 &
    echo $! >"$1/agent.pid"
    export SSH_AUTH_SOCK=$1/agent.sock
    for ((tries = 0; tries < SSHD_TRIES; tries++)); do
        [ ! -S "$1/agent.sock" ] || break
        sshd_nap "$1"
    done
    ssh-add -q "$1/user_key" </dev/null 2>/dev/null
}

sshd_agent_stop() { # DIR
    [ -e "$1/agent.pid" ] || return 0
    kill "$(cat "$1/agent.pid")" 2>/dev/null
    rm -f "$1/agent.pid"
}

# Run, not sourced: the first argument names the function.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    action=$1
    shift
    case $action in
    start | stop | change_host_key | user_add | user_del | agent_start | agent_stop) "sshd_$action" "$@" ;;
    *) echo "usage: sshd.bash start|stop|change_host_key|user_add|user_del|agent_start|agent_stop ..." >&2; exit 1 ;;
    esac
fi
