#!/usr/bin/env bats
# Goal: the Debian packages, installed into a clean system: version, a copy, a push to where haul is missing, the manual, what bash,
# zsh and fish offer at a terminal; purged, nothing of them is left. For `make check-packages`, which makes the system by debootstrap: HAUL_CLEAN; the packages are in
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
    inside "apt-get -q update && apt-get install -y -q --no-install-recommends bash-completion zsh fish libssh-4 liburing2"
    inside "find /usr /etc -xdev | sort" >before
    inside "apt-get install -y -q --no-install-recommends /tmp/haul_*.deb /tmp/haul-agents_*.deb"
}

inside() { # WORDS
    chroot root env DEBIAN_FRONTEND=noninteractive sh -c "$1"
}

# Each finds by itself what the package has brought.
in_bash() { # TYPED SHOWN
    printf '. /usr/share/bash-completion/bash_completion\ncd /tmp\nPS1="ready> "\n' >root/tmp/bashrc
    "$HAUL_ROOT/tests/packages/typed" "$1" "$2" chroot root bash --rcfile /tmp/bashrc -i
}

in_zsh() { # TYPED SHOWN
    printf 'autoload -Uz compinit\ncompinit -u -D\ncd /tmp\nPS1="ready> "\n' >root/tmp/.zshrc
    ZDOTDIR=/tmp "$HAUL_ROOT/tests/packages/typed" "$1" "$2" chroot root zsh -i
}

in_fish() { # WORDS OFFERED
    inside "cd /tmp && HOME=/tmp fish -c 'complete -C \"$1\"'" | cut -f 1 | grep -F -e "$2"
}

@test "installed, used, and purged without a trace" {
    inside "haul -V" | grep -q "^haul [0-9]"
    random_file root/tmp/file 3M
    inside "haul /tmp/file /tmp/copy && cmp /tmp/file /tmp/copy"
    inside 'mkdir /tmp/bin && for p in sh cat chmod mkdir rm uname; do ln -s $(command -v $p) /tmp/bin/; done'
    inside 'printf "#!/bin/sh\nshift\nPATH=/tmp/bin exec \"\$@\"\n" >/tmp/far && chmod 755 /tmp/far'
    inside "haul --bootstrap -e /tmp/far /tmp/file there:/tmp/pushed && cmp /tmp/file /tmp/pushed"
    [ -s root/usr/share/man/man1/haul.1.gz ]
    touch root/tmp/disk.img
    in_bash 'haul --cac\t\t\t' 'cache-max= '
    in_bash 'haul --engine=ur\t' 'uring '
    in_bash 'haul ver\t' 'verify '
    in_bash 'haul --manifest=di\t' 'disk\.img '
    in_zsh 'haul --eng\t' 'engine='
    in_zsh 'haul --cache=\t\t' 'window'
    in_zsh 'haul ver\t' 'verify'
    in_fish "haul --cac" --cache
    in_fish "haul --cac" --cache-max
    in_fish "haul --cache=di" --cache=direct
    in_fish "haul --manifest=di" disk.img
    in_fish "haul ver" verify
    inside "apt-get purge -y -q haul haul-agents"
    inside "find /usr /etc -xdev | sort" >after
    diff before after
}
