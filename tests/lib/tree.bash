# tree.bash - trees whose copy is disturbed, and what is to be there in the end. Source it after remote.bash.
#
#   make_tree FOLDER         small files, three that have journals, links, hard links, folders of odd modes and times
#   sides WAY                push, pull, both (far to far), here: sets from, to, and source, target as haul names them
#   tree_ready WAY           the same, with a new tree and a target that has some names too many
#   equal_trees OPTION...    $from and $to, times of folders included; nothing is beside a name

make_tree() {
    local i root=$1 files=()
    mkdir -p "$root/a/b/c" "$root/many" "$root/empty" "$root/closed"
    for ((i = 0; i < 60; i++)); do files+=("$root/many/f$i" $((i * 37 % 9000))); done
    for ((i = 0; i < 3; i++)); do files+=("$root/a/large$i" $((2 * MIB + i * 12345))); done
    random_files 0 "${files[@]}"
    random_file "$root/a/b/c/deep" 70000 7
    ln -s ../many/f1 "$root/a/link"
    ln "$root/many/f1" "$root/a/b/hard"
    ln "$root/a/large0" "$root/hard"
    mkfifo "$root/fifo"
    chmod 2750 "$root/a/b"
    chmod 0555 "$root/closed"
    find "$root" -depth -exec touch -h -d @1000000000 {} +
}

sides() {
    folders
    case $1 in
    push) from=$HERE/tree to=$THERE/copy source=$HERE/tree/ target=$FAR:$THERE/copy ;;
    pull) from=$THERE/tree to=$HERE/copy source=$FAR:$THERE/tree/ target=$HERE/copy ;;
    both) from=$THERE/tree to=$THERE/copy source=$FAR:$THERE/tree/ target=$FAR:$THERE/copy ;;
    here) from=$HERE/tree to=$HERE/copy source=$HERE/tree/ target=$HERE/copy ;;
    esac
}

tree_ready() {
    sides "$1"
    rm -rf "$from" "$to"
    make_tree "$from"
    surplus_make
}

surplus_make() {
    mkdir -p "$to/gone/deep" "$to/many"
    random_file "$to/gone/deep/file" 5000
    random_file "$to/many/other" 5000
}

equal_trees() {
    local changes
    changes=$(rsync -aHni --checksum --delete "$@" "$from/" "$to/") || return 1
    [ -z "$changes" ] || { echo "$changes"; show_run; return 1; }
    [ -z "$(find "$to" -name '.*haul*')" ] || { find "$to" -name '.*haul*'; return 1; }
}
