# login.bash - a server, a file to copy, and what becomes of a login, for the bats files about ssh. `load ../lib/login` in
# place of ../lib/remote, which it brings along, and whose setup() it is.

# shellcheck source=tests/lib/remote.bash
. "${BASH_SOURCE[0]%/*}/remote.bash"

setup() {
    remote_open
    requires root ssh ssh-keygen
    folders
    random_file here/file 300K
}

# A program that answers every question, and notes that it was asked.
askpass_make() { # ANSWER
    printf '#!/bin/sh\nprintf "%%s\\n" "$1" >>%q\necho %q\n' "$SCRATCH/asked" "$1" >askpass
    chmod 755 askpass
    : >asked
    under+=("SSH_ASKPASS=$SCRATCH/askpass" SSH_ASKPASS_REQUIRE=force)
}

# Another configuration: LINES first.
client_config() { # LINES
    {
        printf '%s\n' "$@"
        cat "$SSH/ssh_config"
    } >"$SSH/ssh_config.new"
    server_config=$SSH/ssh_config.new
    via_libssh
}

works() {
    rm -f there/file
    copied "${via[@]}" "$@" here/file "$FAR:$THERE/file"
    same here/file there/file
}

# No haul was started there, nothing written, one clear error.
refused() { # CODES WORDS [OPTIONS]
    rm -f there/file agent.pids
    copy --contimeout=$PATIENCE "${via[@]}" "${@:3}" here/file "$FAR:$THERE/file"
    [[ " $1 " == *" $status "* ]] || { expect_status "$1"; return 1; }
    expect_clear_error
    expect_words "$2"
    [ -z "$(ls -A there)" ]
    [ ! -e "$SCRATCH/agent.pids" ]
    nothing_left
}

# Did the server see a login attempt by that method? (LogLevel DEBUG1 says "userauth-request for user ... method ...")
server_saw() { # METHOD
    grep -q "userauth-request.* method $1" "$SSH/sshd.log"
}
