#!/usr/bin/env bats
# Goal: the Debian packages, installed into a clean system: version, a copy, a push to where haul is missing, completions; purged,
# nothing of them is left. For `make check-packages`, which makes the system by debootstrap: HAUL_CLEAN; the packages are in
# HAUL_BUILD.
load ../lib/common

# A system of its own over the clean one, gone afterwards.
setup() {
    scratch_open
    [ -n "${HAUL_CLEAN:-}" ] || skip "needs a clean system (make check-packages)"
    requires root
    mkdir root
    on_fs ext4 2G
    mkdir "$FS/upper" "$FS/work"
    mount -t overlay -o "lowerdir=$HAUL_CLEAN,upperdir=$FS/upper,workdir=$FS/work" haul-test root
    cleanup_fn unmount "$SCRATCH/root"
    mount --bind /proc root/proc
    cleanup_fn unmount "$SCRATCH/root/proc"
    cp "$HAUL_BUILD"/haul_*.deb "$HAUL_BUILD"/haul-agents_*.deb root/tmp/
    inside "apt-get -q update && apt-get install -y -q --no-install-recommends bash-completion libssh-4 liburing2"
    inside "find /usr /etc -xdev | sort" >before
    inside "apt-get install -y -q --no-install-recommends /tmp/haul_*.deb /tmp/haul-agents_*.deb"
}

inside() { # WORDS
    chroot root env DEBIAN_FRONTEND=noninteractive sh -c "$1"
}

@test "installed, used, and purged without a trace" {
    inside "haul -V" | grep -q "^haul [0-9]"
    random_file root/tmp/file 3M
    inside "haul /tmp/file /tmp/copy && cmp /tmp/file /tmp/copy"
    inside 'mkdir /tmp/bin && for p in sh cat chmod mkdir rm uname; do ln -s $(command -v $p) /tmp/bin/; done'
    inside 'printf "#!/bin/sh\nshift\nPATH=/tmp/bin exec \"\$@\"\n" >/tmp/far && chmod 755 /tmp/far'
    inside "haul --bootstrap -e /tmp/far /tmp/file there:/tmp/pushed && cmp /tmp/file /tmp/pushed"
    inside "bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader haul; complete -p haul'" | grep _haul
    inside "apt-get purge -y -q haul haul-agents"
    inside "find /usr /etc -xdev | sort" >after
    diff before after
}
