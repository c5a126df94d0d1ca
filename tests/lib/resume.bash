# resume.bash - what the tests of interrupted copies share. Source it after common.bash.
#
#   journal_of TARGET                 where the journal of a target lies
#   journal_figure FIELD JOURNAL      a field of `haul journal`: .chunks_durable, .damaged
#   journal_true JOURNAL TARGET       every chunk in the journal is in the target; sets journalled_bytes
#   begin OPTIONS...                  haul --json in the background: pid in $running, output in ./begun.out and .err
#   finished                          waits for it: its exit code in status, its output in ./out and ./err as of `copy`
#   wait_for_journal BYTES [SIGNAL]   until $JOURNAL names that many; the signal goes to $running in that moment
#   wait_for_data FILE BYTES [SIGNAL] until the file has that much data; likewise
#   meanwhile FILE BYTES COMMAND...   runs the command while the copy stands still, when the file has that much data
#   interrupt BYTES SIGNAL OPTIONS... begin, and the signal as soon as $JOURNAL names that many bytes; sets status.
#                                     Fails when the copy was over before
#   partial MIB [OPTIONS...]          source copied to target in that way, with a checkpoint for each MiB or so
#   partial_save, partial_restore     target and journal as they are, and again; the target stays the same inode

SLICE=(--chunk-size=256K --sync-every=1M)

journal_of() {
    case $1 in
    */*) echo "${1%/*}/.${1##*/}.haul" ;;
    *) echo ".$1.haul" ;;
    esac
}

# One that is a plain value is found without jq, which takes longer to begin.
journal_figure() {
    local lines
    mapfile lines < <("$HAUL" journal --json "$2")
    if [[ $1 =~ ^\.[a-z_]+$ && ${lines[0]:-} =~ ^\{\"v\":1,\"event\":\"journal\",(.*,)?\"${1#.}\":(\"([^\"\\]*)\"|[a-z0-9]+)[,}] ]]; then
        if [[ ${BASH_REMATCH[2]} == \"* ]]; then echo "${BASH_REMATCH[3]}"; else echo "${BASH_REMATCH[2]}"; fi
    else
        printf %s "${lines[@]}" | jq -r "select(.event == \"journal\") | $1"
    fi
}

journal_true() {
    spawn "$HAUL" journal --json "$1" >"$SCRATCH/journal.json" || { echo "haul journal: $?"; return 1; }
    spawn "$TOOLS/digests" --journal "$2" <"$SCRATCH/journal.json" >"$SCRATCH/bytes" 2>"$SCRATCH/digests" || {
        echo "in the journal and not in the target: $(head -n 1 "$SCRATCH/digests")"
        return 1
    }
    read -r journalled_bytes <"$SCRATCH/bytes"
}

# Without bats' descriptor 3, for which bats would wait.
begin() {
    "${under[@]}" "$HAUL" --json "$@" >"$SCRATCH/begun.out" 2>"$SCRATCH/begun.err" 3>&- &
    running=$!
    cleanup_fn end_quietly "$running"
}

end_quietly() {
    kill -KILL "$1" 2>/dev/null || true
}

finished() {
    status=0
    wait "$running" || status=$?
    mv "$SCRATCH/begun.out" "$SCRATCH/out"
    mv "$SCRATCH/begun.err" "$SCRATCH/err"
    events "$SCRATCH/out"
}

# A signal that came later, from here, could find the copy over on a busy machine.
wait_for_journal() { # BYTES [SIGNAL]
    spawn "$TOOLS/journalled" "$JOURNAL" "$1" "$running" "$(kill -l "${2:-0}")" && return
    echo "over before it had $1 bytes in the journal"
    show_run
    return 1
}

wait_for_data() { # FILE BYTES [SIGNAL]
    spawn "$TOOLS/journalled" --data "$1" "$2" "$running" "$(kill -l "${3:-0}")" && return
    echo "over before $1 had $2 bytes"
    show_run
    return 1
}

meanwhile() { # FILE BYTES COMMAND...
    wait_for_data "$1" "$2" STOP || return 1
    "${@:3}"
    kill -CONT "$running"
}

interrupt() {
    begin "${@:3}"
    wait_for_journal "$1" "$2" || { finished; return 1; }
    finished
}

partial() {
    JOURNAL=${JOURNAL:-.target.haul}
    local rate
    for rate in 40 16 4 1; do # a busy machine may notice too late
        rm -f target "$JOURNAL"
        if interrupt $(($1 * MIB)) INT "${SLICE[@]}" --bwlimit=${rate}M "${@:2}" source target && [ "$status" = 20 ]; then
            break
        fi
    done
    expect_status 20
    [ -e "$JOURNAL" ]
    journal_true "$JOURNAL" target
}

partial_save() {
    cp --sparse=never target target.saved
    cp "$JOURNAL" journal.saved
}

partial_restore() {
    dd if=target.saved of=target bs=1M status=none
    cp journal.saved "$JOURNAL"
}

# What was in flight at a kill may be there besides what the journal lists; of a target that had bytes before it is compared, and
# then kept: all of it, and no more. there_bytes: so much of a range of ./target is ./source's, by chunks of 256 KiB.
count_there() { # FROM TO
    local at end
    there_bytes=0
    for ((at = $1; at < $2; at = end)); do
        end=$(((at / 262144 + 1) * 262144))
        [ $end -le "$2" ] || end=$2
        ! cmp -s -i $at -n $((end - at)) source target || there_bytes=$((there_bytes + end - at))
    done
    [ "$there_bytes" -ge "$journalled_bytes" ]
}
