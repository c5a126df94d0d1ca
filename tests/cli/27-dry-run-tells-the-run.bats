#!/usr/bin/env bats
# Goal: what -n tells is what the run then does: the same lines of --itemize-changes, the same exit code; and nothing has
# changed before. By many sets of options, operands and ways, each with and without -n.
load ../lib/common

setup() {
    scratch_open
    chmod 755 .
}

# A source with something of every kind, s, another with some of the same names, s2, and an older target, t.
grow() {
    mkdir -p w/s/{new/deep,old,same,closed,sub/a,sub/b,file/deep} w/s2/old w/t/{old,same,closed,extra/deep,link,sub}
    (
        cd w || exit 1
        for name in s/{equal,newer,longer,mode,new/file,new/deep/file,old/file,sub/a/x,sub/b/y,closed/file,file/in,file/deep/in,own}; do
            echo "$name" >"$name"
        done
        cp -a s/{equal,newer,longer,mode,own} t/
        cp -a s/old/file t/old/
        cp -a s/closed/file t/closed/
        touch -d 2001-01-01 t/newer
        echo changed >>s/longer
        chmod 600 t/mode
        ln -s equal s/symlink
        ln -s other t/symlink
        ln -s nowhere s/new/symlink
        mkfifo s/fifo s/new/fifo
        echo a >t/extra/deep/file
        echo b >t/extra-file
        echo c >t/file # is a folder in s
        echo d >s/link # is a folder in t
        echo two >s2/old/two
        echo two >s2/equal
        ln s/sub/a/x s/sub/x
        ln s/sub/a/x s/new/x
        chmod 500 s/closed t/closed
        chmod 700 t/same
        touch -d 2002-02-02 s/same s/old s s2/old
        touch -d 2003-03-03 t/old t
    )
}

# What there is, its times and sizes, but for the access times.
state() {
    find w -printf '%p %i %s %T@ %C@ %M %U:%G\n'
}

cleared() {
    chmod -R u+rwX "$@" 2>/dev/null || true
    rm -rf "$@"
}

# ARGS with -n, and then without; what that was goes to files of the number.
foretold() { # NUMBER ARGS...
    local told=0 done=0
    state >before.$1
    cd w
    "${under[@]}" "$LIMIT" $PATIENCE "$HAUL" -n --itemize-changes "${@:2}" >../told.$1 2>../told.$1.err </dev/null || told=$?
    cd ..
    state >after.$1
    cd w
    "${under[@]}" "$LIMIT" $PATIENCE "$HAUL" --itemize-changes "${@:2}" >../done.$1 2>../done.$1.err </dev/null || done=$?
    cd ..
    echo "$told $done ${*:2}" >case.$1
}

# All of those files at once: a few hundred processes take longer than all that is copied here.
#
# Of a file with several names the one that comes first is copied, and the others are made of it: which one that is depends on
# what was ready first, so of them it is told that they are one. Names that were one at the target already stay so when one of
# them comes first, and are made again when another does: they are told as the first of them.
none_untrue() { # COUNT
    /usr/bin/python3 - "$1" <<'END'
import re, sys

def lines(name):
    with open(name, encoding="utf-8", errors="surrogateescape") as file:
        return file.read().split("\n")

# By each name in t the first of those that are one file there.
def were_one(name):
    at, firsts = {}, {}
    for words in sorted(line.split() for line in lines(name) if line.startswith("w/t/")):
        firsts[words[0][4:]] = at.setdefault(words[1], words[0][4:])
    return firsts

def letters(name, firsts):
    others, told = {}, {}
    for line in filter(re.compile(r"([<>ch.][fdLDS]|\*deleting)").match, lines(name)):
        words = line.split() + [""] * 3
        if words[2] == "=>":
            others.setdefault(words[3], []).append(words[1])
        else:
            told.setdefault(words[1], []).append(line)
    for first, names in others.items():
        for one in [first] + names:
            told.pop(one, None)
        names = sorted({firsts.get(one, one) for one in [first] + names})
        for one in names:
            told[one] = [f"one with {names[0]}: {one}"]
    return sorted(line for all in told.values() for line in all)

untrue = 0
for number in range(1, int(sys.argv[1]) + 1):
    told, done, words = lines(f"case.{number}")[0].split(" ", 2)
    wrong = []
    if sorted(lines(f"before.{number}")) != sorted(lines(f"after.{number}")):
        wrong.append("a dry run has changed something")
        wrong += sorted(set(lines(f"before.{number}")) ^ set(lines(f"after.{number}")))
    firsts = were_one(f"before.{number}")
    first, second = (letters(f"{when}.{number}", firsts) for when in ("told", "done"))
    if told != done or first != second:
        wrong += [f"told: {told}, done: {done}"] + ["< " + line for line in first if line not in second]
        wrong += ["> " + line for line in second if line not in first]
        wrong += lines(f"told.{number}.err") + ["---"] + lines(f"done.{number}.err")
    if wrong:
        untrue += 1
        print(f"{words}:", *wrong, sep="\n")
print(f"{untrue} untrue of {sys.argv[1]}")
sys.exit(untrue > 0)
END
}

# Every one of them from the same beginning; all that are untrue are told.
all_foretold() { # lines of ARGS on standard input
    local line count=0
    cleared w
    grow
    [ "$(type -t after_grow)" != function ] || after_grow
    mv w beginning
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        count=$((count + 1))
        cp -a beginning w
        # shellcheck disable=SC2086
        foretold $count "${ways[@]}" $line
        cleared w
    done
    none_untrue $count
    cleared beginning
}

options() {
    cat <<'END'
-a
-r
-rl
-rlD
-aH
-a --delete
-a --delete --force
-aH --delete --no-inplace
-a --force
-a --max-delete=1 --delete
-a --existing
-a --ignore-existing
-a -u
-a --size-only
-a --max-size=5
-a --min-size=8
-a --chmod=go-rwx
-a --chmod=Du+w,F640
-a --no-perms
-a --no-times --size-only
-a --no-owner --no-group
-a --no-inplace
-a --exclude=sub --delete
-a --exclude=*e --delete-excluded
-a --restart
-a --modify-window=1
-a --mkpath
-aA
-aX
-aAX
-aS
-ax
END
}

@test "of every set of options -n tells the run" {
    options | sed 's,$, s/ t,' | all_foretold
}

@test "and so it does where the target, or the folder that it is in, is made first" {
    all_foretold <<'END'
-a s new
-a s/ new
-a s/ new/
-a -T s new
-a s/equal new
-a s/equal new/
-a s/equal new/file
-a --mkpath s/equal new/er/
-a --mkpath s/equal new/er/file
-a --mkpath s/ new/er
-a s/ new/er
-a s/equal s/newer new
-a s/equal s/newer new/
-a s/equal s/old new/
-a s/equal s/old/ new/
-a s/old s/same new/
-a s/old/ s2/old/ new/
-a s/ s2/ new
-a s2/ s new
-a s2 s/ new
-a s/ s2/ t
-a s2/ s/ t
-a s2 s t
-a s/equal s/ t
-a s/fifo new/
-a s/symlink s/fifo new/
-r s/symlink s/equal new/
-a --existing s new
-a --existing s/ new
-a --existing -T s new
-a --existing s/equal new
-a --existing s/equal new/
-a --existing s/equal s/newer new/
-a --ignore-existing s new
-a --existing s/ t
-a --chmod=a-x s/equal new/
-aH s/ new
-aX s/ new/
END
}

@test "-n tells what may be refused of others: owners, modes, closed folders" {
    become_nobody
    after_grow() {
        chmod -R a+rX w
        chmod 777 w
        chown -R nobody: w/t w/s/own
        rm w/t/own && cp -a w/s/own w/t/own
        chown root: w/t/mode w/t/newer w/t/longer
        chmod 666 w/t/longer w/t/newer
        chmod 600 w/s/new/file
        chmod 755 w/s/new
        mkdir w/t/readonly w/t/readonly/sub w/s/readonly w/s/readonly/made
        echo x >w/t/readonly/gone
        echo x >w/s/readonly/new
        ln -s x w/s/readonly/symlink
        chmod 755 w/t/readonly
        chown root: w/t/readonly w/t/extra
        mkdir w/locked
    }
    all_foretold <<'END'
-a s/ t
-r s/ t
-a --delete s/ t
-a --delete --max-delete=100 s/ t
-a --no-times --size-only s/ t
-a --no-perms s/ t
-a --no-inplace s/ t
-a s/ new
-a s/new new2
-a s/new/ new2/
-a s/new/file s/equal new2/
-a s/equal locked/new/
-a s/ locked/new
-a --mkpath s/ locked/new/er
-a --mkpath s/equal locked/new/er/
-a --remove-source-files s/ t
-a --remove-source-files s/ new
-a --remove-source-files s/equal s/own new/
END
}

@test "-n tells set-id bits, devices, other owners" {
    requires root mknod
    after_grow() {
        mknod w/s/device c 1 3
        mknod w/s/new/device c 1 3
        mknod w/s/other c 1 3
        mknod w/t/other c 1 5
        cp -a w/s/own w/s/set && chmod 6755 w/s/set && cp -a w/s/set w/t/set
        chown 1:2 w/s/set w/s/mode
        chown 3 w/t/equal
    }
    all_foretold <<'END'
-a s/ t
-a s/ new
-rlpt s/ t
-a --chown=1:1 s/ t
-a --chown=1:1 s/ new
-a --chown=nosuchuser s/ t
-a --chown=nosuchuser s/ new
-a --chown=nosuchuser s/equal new/
-a --delete s/ t
-aH s/ t
END
}

@test "-n tells extended attributes and lists that differ, whatever else does" {
    requires setfattr setfacl
    after_grow() {
        setfattr -n user.new -v new w/s/equal w/s/longer w/s/newer w/s/old w/s/new/file
        setfattr -n user.old -v old w/t/equal w/t/mode w/t/longer w/t/old
        setfacl -m u:1:r w/s/newer w/s/mode w/s/longer
        setfacl -m u:2:r w/t/newer w/t/equal
        setfacl -m u:1:rwx w/s/own # whose mask is in the mode
        touch -r w/s/own w/t/own
    }
    all_foretold <<'END'
-aX s/ t
-aA s/ t
-aAX s/ t
-aAX --no-inplace s/ t
-aX s/longer t
-aX s/newer s/longer s/equal t
-rX s/ t
-aAX s/ new
END
}

@test "-n tells what becomes of files with several names" {
    after_grow() {
        ln w/s/equal w/s/equal2
        ln w/t/equal w/t/equal2
        ln w/s/longer w/s/longer2
        ln w/t/longer w/t/longer2
        ln w/s/longer w/s/new/longer3
        cp -a w/s/sub/x w/t/sub/x
        mkdir w/t/sub/a
        ln w/t/sub/x w/t/sub/a/x
        ln w/t/newer w/t/newer2
    }
    all_foretold <<'END'
-aH s/ t
-aH --delete s/ t
-aH --no-inplace s/ t
-aH s/ new
-aH s new
END
}

@test "-n tells it of other machines, and of a server that is restricted" {
    requires root mknod
    far_is_here
    ways=("${far[@]}")
    after_grow() {
        mknod w/s/device c 1 3
        mknod w/s/new/device c 1 3
        mkdir w/s/only && mknod w/s/only/device b 7 200
    }
    all_foretold <<END
-a s/ h:$SCRATCH/w/t
-aHX --delete s/ h:$SCRATCH/w/t
-a s/ h:$SCRATCH/w/new
-a s/equal h:$SCRATCH/w/new/
-a --mkpath s/equal h:$SCRATCH/w/new/er/
-a --mkpath s/ h:$SCRATCH/w/new/er
-a s/equal s/old h:$SCRATCH/w/new/
-a h:$SCRATCH/w/s/ t
-a h:$SCRATCH/w/s/equal new/
-a h:$SCRATCH/w/s/equal h:$SCRATCH/w/s/old new/
END
    printf '#!/bin/sh\nexec "%s" --server --restrict="%s"\n' "$HAUL" "$SCRATCH/w" >here
    # Whether a device was refused before something is deleted depends on what is ready first.
    all_foretold <<END
-a s/ h:t
-a s/ h:new
-a s/new h:new
-a s/new/ h:new/
-a s/new h:t
-a s/only h:new
-a --delete --ignore-errors s/ h:t
-a s/equal h:new/
-aX s/ h:t
-a h:s/ t
END
    printf '#!/bin/sh\nexec "%s" --server --restrict="%s,ro"\n' "$HAUL" "$SCRATCH/w" >here
    all_foretold <<END
-a s/ h:t
-a s/ h:new
-a s/equal h:new/
-a --delete s/ h:t
END
}

@test "-n tells what is read-only, and what has no room" {
    requires root unshare
    after_grow() {
        mkdir w/ro
        cp -a w/t w/ro/t
    }
    under=("$HAUL_ROOT/tests/lib/own_mounts" 'mount --bind ro ro && mount -o remount,bind,ro ro')
    all_foretold <<'END'
-a s/ ro/t
-a --delete s/ ro/t
-a s/ ro/new
-a s/equal ro/new/
-a --mkpath s/ ro/new/er
-a s/mode ro/t
-aX s/ ro/t
END
    under=(prlimit --fsize=6)
    all_foretold <<'END'
-a s/ t
-a s/ new
-a s/equal new/
END
}
