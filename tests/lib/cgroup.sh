# cgroup.sh - memory cgroups, v1 and v2, for the tests and the demo. POSIX sh; sourced.
#
#   cgroup_find                 sets cgroup_kind (v1, v2, or empty) and cgroup_home, the folder below which
#                               children may be made; without one, cgroup_why says why
#   cgroup_make NAME BYTES      makes a child with that limit and prints its folder
#   cgroup_limit FOLDER BYTES   gives it another one
#   cgroup_exec FOLDER CMD...   runs CMD with the process inside from its first instruction
#   cgroup_failcnt FOLDER       how often the limit was hit
#   cgroup_peak FOLDER          most bytes ever charged; "unknown" where the kernel does not say
#   cgroup_remove FOLDER

# The mount of a hierarchy: prints "ROOT MOUNTPOINT". The optional fields of mountinfo end at "-".
cgroup_mount() { # cgroup|cgroup2 WORD-IN-THE-SUPER-OPTIONS
    awk -v type="$1" -v word="$2" '{
        for (i = 7; i <= NF && $i != "-"; i++) ;
        if ($(i + 1) == type && (word == "" || index("," $(i + 3) ",", "," word ","))) { print $4, $5; exit }
    }' /proc/self/mountinfo
}

# The folder of our own cgroup. Below a mount whose root is not "/" (containers) the path is relative to that root.
cgroup_folder() { # MOUNT-ROOT MOUNTPOINT PATH
    local_path=$3
    case $1 in
    /) ;;
    *) case $3 in "$1" | "$1"/*) local_path=${3#"$1"} ;; esac ;;
    esac
    if [ -d "$2/${local_path#/}" ]; then
        local_path=$2/${local_path#/}
        echo "${local_path%/}"
    else
        echo "$2"
    fi
}

cgroup_find_v1() {
    mount=$(cgroup_mount cgroup memory)
    path=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { sub(/^[^:]*:[^:]*:/, ""); print; exit }' /proc/self/cgroup)
    [ -n "$mount" ] && [ -n "$path" ] || return 1
    cgroup_home=$(cgroup_folder "${mount%% *}" "${mount#* }" "$path")
    [ -w "$cgroup_home" ] && [ -e "$cgroup_home/memory.limit_in_bytes" ] || return 1
    cgroup_kind=v1
}

# Children of a v2 cgroup have memory.max only if it says +memory in cgroup.subtree_control, which it may not while
# it holds processes itself: so look upwards for one that has.
cgroup_find_v2() {
    mount=$(cgroup_mount cgroup2 "")
    path=$(sed -n 's/^0:://p' /proc/self/cgroup)
    [ -n "$mount" ] && [ -n "$path" ] || return 1
    top=${mount#* }
    cgroup_home=$(cgroup_folder "${mount%% *}" "$top" "$path")
    while :; do
        if [ -w "$cgroup_home/cgroup.procs" ] &&
            { grep -qw memory "$cgroup_home/cgroup.subtree_control" 2>/dev/null ||
                { [ "$cgroup_home" = "$top" ] && echo +memory 2>/dev/null >"$cgroup_home/cgroup.subtree_control"; }; }; then
            cgroup_kind=v2
            return 0
        fi
        [ "$cgroup_home" != "$top" ] || return 1
        cgroup_home=${cgroup_home%/*}
    done
}

cgroup_find() {
    cgroup_kind=
    cgroup_home=
    cgroup_why=
    if [ "$(id -u)" != 0 ]; then
        cgroup_why="not root"
    elif ! cgroup_find_v1 && ! cgroup_find_v2; then
        cgroup_why="no memory cgroup, v1 or v2, below which a child can be made"
    fi
    [ -n "$cgroup_kind" ]
}

cgroup_limit() {
    if [ "$cgroup_kind" = v1 ]; then echo "$2" >"$1/memory.limit_in_bytes"; else echo "$2" >"$1/memory.max"; fi
}

cgroup_make() {
    mkdir "$cgroup_home/$1" || return 1
    cgroup_limit "$cgroup_home/$1" "$2" || return 1
    if [ "$cgroup_kind" = v2 ]; then
        [ ! -e "$cgroup_home/$1/memory.swap.max" ] || echo 0 >"$cgroup_home/$1/memory.swap.max"
    fi
    echo "$cgroup_home/$1"
}

cgroup_exec() {
    # shellcheck disable=SC2016
    sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$@"
}

cgroup_failcnt() {
    if [ -e "$1/memory.failcnt" ]; then cat "$1/memory.failcnt"; else sed -n 's/^max //p' "$1/memory.events"; fi
}

cgroup_peak() {
    cat "$1/memory.max_usage_in_bytes" 2>/dev/null || cat "$1/memory.peak" 2>/dev/null || echo unknown
}

# A process that has just ended may still be counted for a moment.
cgroup_remove() {
    attempt=0
    while ! rmdir "$1" 2>/dev/null; do
        attempt=$((attempt + 1))
        [ $attempt -lt 2000 ] || { echo "cgroup: $1 cannot be removed" >&2; return 1; }
        sleep 0.05
    done
}
