#!/usr/bin/env bats
# Goal: what README and manual show can be typed: each example is run, in a folder that has what it names, on devices and
# machines that stand for those of the example. What cannot be run says why, below.
load ../lib/common

# Extended regular expressions, and why.
not_run() {
    case $1 in
    make* | *"sudo make"*) why="tests/check/build, 00-the-rig-itself and make check-packages do" ;;
    *"-J gate"*) why="a jump host: 54-ssh-configuration has one" ;;
    command=*) why="a line of authorized_keys: 56-restrict has one" ;;
    scp\ *) why="scp's own" ;;
    fpsync*) ! command -v fpsync >/dev/null && why="fpart is not here" ;;
    *"| parallel"*) ! command -v parallel >/dev/null && why="GNU parallel is not here" ;;
    *) return 1 ;;
    esac
}

# Programs that stand for others, found first.
stand_ins() {
    mkdir bin
    ln -s "$HAUL" bin/haul
    printf '#!/bin/sh\nexec "$@"\n' >bin/sudo
    printf '#!/bin/sh\nshift\n[ "$1" != -i ] || shift\nshift\ncd "%s/there" && exec "$@"\n' "$SCRATCH" >bin/docker
    printf '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do case $1 in -[oplF]) shift ;; esac; shift; done\nexec far "$@"\n' >bin/ssh
    printf '#!/bin/sh\ncat "%s/here/dump.sql"\n' "$SCRATCH" >bin/pg_dump
    printf '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do [ "$1" != -p ] || shift; shift; done\nexec "$@"\n' >bin/systemd-run
    cp bin/systemd-run bin/srun
    printf '#!/bin/sh\n' >bin/lvcreate # $SCRATCH/file is the snapshot
    cp bin/lvcreate bin/lvremove
    cat >bin/sbatch <<'SBATCH'
#!/bin/bash
for word; do
    case $word in
    --array=*) last=${word#--array=1-} last=${last%\%*} ;;
    --wrap=*) command=${word#--wrap=} ;;
    esac
done
[ -n "${last:-}" ] || exit 0 # that which waits for the others
for ((SLURM_ARRAY_TASK_ID = 1; SLURM_ARRAY_TASK_ID <= last; SLURM_ARRAY_TASK_ID++)); do
    export SLURM_ARRAY_TASK_ID
    sh -c "$command" || exit
done
SBATCH
    # The other machine: its home is there/, whatever its name is.
    printf '#!/bin/sh\nshift\ncd "%s/there" && exec sh -c "$*"\n' "$SCRATCH" >bin/far
    chmod 755 bin/*
    export PATH=$SCRATCH/bin:$PATH HAUL_RSH=far
}

world() { # COMMAND
    rm -rf here there root
    mkdir -p here/folder here/project there/backup there/there root/mnt/backup root/srv/photos there/backup/srv root/tmp
    local name
    for name in disk.img a.img b.img c.img dump.sql source demo.img; do
        cp file "here/$name"
    done
    cp file here/folder/one
    gzip -c file >here/card.img.gz
    cp file there/backup/card.img
    cp file there/backup/disk.img
    cp file root/mnt/backup/disk.img
    cp file root/srv/disk.img
    tar -cf there/backup/folder.tar -C here folder
    ln -s "$HAUL" there/haul
    haul -q --manifest=here/disk.sums -I file root/manifested
    [[ $1 != *plan* ]] || (cd here && haul plan -q --unit-size=1M disk.img "$SCRATCH/root/srv/unit.img" >plan)
}

# What stands in for paths of whole machines, and a size that takes no time; of a line of a crontab the command.
here_is() { # COMMAND
    sed -E "s|^[0-9*/]+ [0-9*-]+ \* \* \* ||; s#(:| )/var/tmp/#\1$SCRATCH/root/tmp/#; s|/run/lock|$SCRATCH|g; s|/dev/(sdb\|mmcblk0)|$LOOP|g; s|/dev/vg0/[a-z-]+|$SCRATCH/file|g; s#(^|[ :=,])/(mnt|srv)#\1$SCRATCH/root/\2#g; s|zero:10G|zero:10M|" <<<"$1"
}

@test "every example of README and manual runs" {
    requires root loop jq gzip
    random_file file 3M
    truncate -s 16M device
    LOOP=$(losetup --find --show device)
    cleanup_fn loop_detach "$LOOP"
    stand_ins
    local place command why ran=0 left=0
    while IFS=$'\t' read -r -u 4 place command; do
        if not_run "$command"; then
            left=$((left + 1))
            continue
        fi
        world "$command"
        (cd here && timeout $PATIENCE bash -o pipefail -c "$(here_is "$command")") >out 2>err </dev/null || {
            echo "$place: $command: exit code $?"
            tail -n 5 err
            return 1
        }
        ran=$((ran + 1))
    done 4< <(cd "$HAUL_ROOT" && tests/lib/examples README.md man/*.[1-9])
    note "$ran examples run, $left not"
    [ "$ran" -gt 30 ]
}
