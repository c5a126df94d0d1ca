#!/usr/bin/env bats
# Goal: what an option leaves out is left alone, and that is said; as with rsync.
load ../lib/common
load ../lib/resume

setup() {
    scratch_open
    random_file source 70000
    touch -d '2020-01-02' source
}

# ... of these arguments, with exit code 0, and the target is what it was before.
skipped() { # WHY ARGS...
    local why=$1
    shift
    cp -p target before 2>/dev/null || rm -f before
    copied "$@" source target
    expect_receipt .outcome skipped
    expect_receipt .durable false
    expect_receipt .bytes_copied 0
    [[ $(receipt .skipped) == *"$why"* ]]
    if [ -e before ]; then
        cmp target before
        [ "$(stat -c %Y.%y target)" = "$(stat -c %Y.%y before)" ]
    else
        [ ! -e target ]
    fi
}

taken() { # ARGS...
    copied "$@" source target
    same source target
    expect_receipt .skipped null
}

@test "--update leaves a target that is newer, and writes one that is older" {
    random_file target 70000
    touch -d '2021-01-02' target
    skipped "newer" --update
    run haul -u source target
    [ "$status" = 0 ]
    [[ $output == "source: skipped, the target is newer (--update)" ]]
    touch -d '2019-01-02' target
    taken -u
    taken -u
    expect_receipt .up_to_date true
}

@test "what was killed is neither a newer target nor one that exists or has the size" {
    local option
    random_file source 512K # of eight chunks, each of which is four seconds of this rate
    for option in --update --ignore-existing --size-only; do
        rm -f target .target.haul
        begin "$option" --sync-every=0 --chunk-size=64K --bwlimit=16K source target
        waits_until 10 test -e .target.haul
        kill -KILL "$running"
        finished
        [ "$status" = 137 ]
        not cmp -s source target
        taken "$option"
    done
}

# A copy without these options, killed in the middle of its writes and before its first checkpoint.
killed_within() { # STRACE-WORDS... -- OPTIONS...
    local words=()
    while [ "$1" != -- ]; do words+=("$1") && shift; done
    under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o "$SCRATCH/trace" -e trace=pwrite64,fsetxattr
        -e inject=pwrite64:signal=KILL:when=5 "${words[@]}")
    copy --engine=sync --chunk-size=256K "${@:2}" large target
    expect_status 137
    under=()
    not cmp -s large target
}

old_target() {
    random_files 7 target 2M
    touch -d '2019-01-02' target
}

@test "what a copy without these options had begun when it was killed is no such target, either" {
    requires strace
    local option old
    random_file large 2M
    touch -d '2020-01-02' large
    for old in true old_target; do
        for option in --update --ignore-existing --size-only; do
            rm -f target
            $old
            killed_within --
            [ ! -e .target.haul ]
            copied "$option" large target
            same large target
            copied "$option" large target # it is finished, and nothing is left that says something else
            expect_receipt .bytes_copied 0
        done
    done
    ! command -v getfattr >/dev/null || [ -z "$(getfattr -d target)" ]
}

@test "what may only be read is finished, too" {
    requires getfattr
    become_nobody
    mkdir -m 777 open
    random_file large 2M
    chmod 444 large
    copied large open/target
    random_files 7 open/old 2M
    chown 65534 open/old
    copied large open/old
    copied --no-perms large open/plain
    expect "attributes" "$(getfattr -d open/*)" ""
}

@test "where there can be no sign on an old target a journal says that it is unfinished" {
    requires strace
    random_file large 2M
    touch -d '2020-01-02' large
    old_target
    killed_within -e inject=fsetxattr:error=EOPNOTSUPP --
    [ -e .target.haul ]
    copied --size-only large target
    same large target
}

@test "a disk that fails when the sign is synced has failed, and nothing is written" {
    requires strace
    random_file large 2M
    old_target
    cp -p target before
    under=(env ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS" strace -f -qq -o "$SCRATCH/trace" -e trace=fsync -e inject=fsync:error=EIO:when=1)
    copy --engine=sync large target
    under=()
    expect_status 11
    expect_clear_error
    expect_words "target: sync to the disk: Input/output error$"
    same before target
    copied large target
}

@test "of a push and a pull that were killed as early the other side tells, too" {
    local from to
    random_file large 2M
    touch -d '2020-01-02' large
    far_is_here
    for from in large "h:$SCRATCH/large"; do
        to=target
        [ "$from" != large ] || to=h:$SCRATCH/target
        old_target
        begin "${far[@]}" -j1 --sync-every=0 --chunk-size=64K --bwlimit=128K "$from" "$to"
        waits_until 10 cmp -s -n 4096 large target
        kill -KILL "$running"
        finished
        [ "$status" = 137 ]
        not cmp -s large target
        copied "${far[@]}" --size-only "$from" "$to"
        same large target
    done
}

@test "and of a push to where haul may only write, which keeps no journal" {
    requires strace
    local option
    random_file large 2M
    touch -d '2020-01-02' large
    mkdir open
    far_is_here
    for option in --update --ignore-existing --size-only; do
        random_files 7 open/target 2M
        export ASAN_OPTIONS="detect_leaks=0:$ASAN_OPTIONS"
        copy -e "strace -f -qq -o $SCRATCH/trace -e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=2 $SCRATCH/here" --retries=0 \
            --remote-path="$HAUL --server --restrict=$SCRATCH/open,wo" -j1 --engine=sync --chunk-size=256K large h:target
        [ "$status" != 0 ]
        grep -q 'killed by SIGKILL' trace
        expect "size" "$(stat -c %s open/target)" "$(stat -c %s large)"
        copied "$option" large open/target
        same large open/target
    done
}

@test "--existing makes nothing new, --ignore-existing leaves what is there" {
    skipped "no such target" --existing
    skipped "no such target" --ignore-non-existing
    taken --ignore-existing
    printf other >target
    skipped "exists" --ignore-existing
    taken --existing
}

@test "--existing does not make the folder that the target names, either" {
    local operands
    mkdir tree
    echo a >tree/file
    for operands in "tree new" "tree/ new/" "-T tree new" "tree/file new/" "tree/file tree new" "--mkpath tree new/er" \
        "--mkpath tree/file new/er/"; do
        # shellcheck disable=SC2086
        copied -a --existing $operands
        [ ! -e new ]
    done
    mkdir -p new/tree
    copied -a --existing -T tree new
    copied -a --existing tree new
    [ -z "$(find new -type f)" ]
}

@test "--max-size and --min-size leave out what is larger, and smaller" {
    skipped "larger" --max-size=68K
    skipped "smaller" --min-size=69K
    skipped "larger" --max-size=0
    taken --max-size=70000 --min-size=70000
}

@test "--size-only takes the same size for the same file, and leaves its time" {
    random_file target 70000
    touch -d '2021-01-02' target
    cp -p target before
    copied --size-only source target
    expect_receipt .up_to_date true
    cmp target before
    [ "$(stat -c %Y target)" = "$(stat -c %Y before)" ]
    mkdir tree made && cp -p source tree/ && cp -p before made/source
    copied --size-only --remove-source-files source target # what has only its size there is not there
    grep -q 'source: stays: .*only the size was compared' err
    copied --size-only --remove-source-files -r tree/ made
    grep -q 'source: stays: .*only the size was compared' err
    same source tree/source
    truncate -s 69999 target
    taken --size-only
}

@test "of several files each is told, and the sum counts them" {
    mkdir folder
    cp -p source small
    truncate -s 10 small
    run haul --min-size=1K source small folder/
    [ "$status" = 0 ]
    [[ $output == *"small: skipped, it is smaller than --min-size"* && $output == *"2 files, 1 skipped: "* ]]
    same source folder/source && [ ! -e folder/small ]
    run haul --min-size=1K source small folder/
    [[ $output == *"2 files, 1 skipped, 1 up to date"* ]]
    run haul -n --max-size=1 source small folder/
    [ "$status" = 0 ]
    [[ $output == *"2 files, 2 skipped"* ]]
}

@test "verify compares what it is given" {
    cp -p source target
    run haul verify --update source target
    [ "$status" = 1 ]
    [[ $output == *"leave out"* ]]
    local option
    for option in --digest-file=sums --remove-source-files --delete --reflink=always; do
        run haul verify "$option" source target
        expect "$option" "$status" 1
        [[ $output == *"leave out"* ]]
    done
}

@test "filter rules leave files out that are named, too, in the order of the command line" {
    local name
    mkdir folder
    for name in a.c b.o c.o d.tmp; do cp source $name; done
    printf '# comment\n\n- *.tmp\n' >rules
    run haul --include=b.o --exclude='*.o' --filter='merge rules' a.c b.o c.o d.tmp folder/
    [ "$status" = 0 ]
    [[ $output == *"c.o: skipped, a filter rule leaves it out"*"4 files, 2 skipped: "* ]]
    [ "$(ls folder | tr '\n' ' ')" = "a.c b.o " ]
    printf 'a.c\0c.o\0' >names
    run haul -0 --exclude-from=names -f'clear' -f'- b*' a.c b.o folder/
    [[ $output == *"b.o: skipped"*"2 files, 1 skipped"* ]]
    run haul -0 --exclude-from=names a.c b.o folder/
    [[ $output == *"a.c: skipped"*"2 files, 1 skipped"* ]]
}

@test "a rule that makes no sense, or is not supported, is refused before the first byte" {
    local rule
    for rule in nonsense '- ' 'dir-merge .rules' ':C' '-x user.*' '. absent'; do
        copy -f "$rule" source target
        [ "$status" != 0 ]
        expect_clear_error
        [ ! -e target ]
    done
    copy -f '. absent' source target
    expect_status 11
    copy --exclude= source target
    expect_status 1
    copy verify --exclude=x source source
    expect_status 1
}
