#!/usr/bin/env bats
# Goal: every other way in: make install and uninstall, the same source archive twice, an rpm, an image from scratch, systemd's
# units. For `make check-packages`.
load ../lib/common

# What make says, of the tree that is tested; nothing in it is built anew.
quietly() {
    (cd "$HAUL_ROOT" && env -u MAKEFLAGS -u MAKELEVEL make -s "$@") >made 2>&1 || { tail -n 20 made; return 1; }
}

@test "make uninstall takes all that make install has brought" {
    quietly install DESTDIR="$SCRATCH/root" PREFIX=/opt/haul
    [ -x root/opt/haul/bin/haul ] && [ -s root/opt/haul/share/man/man1/haul.1 ]
    [ -s root/opt/haul/share/bash-completion/completions/haul ]
    quietly uninstall DESTDIR="$SCRATCH/root" PREFIX=/opt/haul
    expect "left" "$(find root ! -type d)" ""
}

@test "make dist: twice the same archive, which builds" {
    local first
    quietly dist
    first=$(sha256sum <"$(echo "$HAUL_BUILD"/haul-*.tar.gz)")
    touch "$HAUL_ROOT"/README.md
    quietly dist
    expect "digest" "$(sha256sum <"$(echo "$HAUL_BUILD"/haul-*.tar.gz)")" "$first"
}

@test "rpmbuild takes the spec, and the rpm holds what make install brings" {
    command -v rpmbuild >/dev/null || skip "needs rpmbuild (make check-packages)"
    mkdir -p rpm/SOURCES
    quietly dist
    cp "$HAUL_BUILD"/haul-*.tar.gz rpm/SOURCES/
    # Its libraries are here as packages of another kind, so that rpm cannot ask for them.
    env -u MAKEFLAGS -u MAKELEVEL -u CC -u CFLAGS rpmbuild --nodeps --define "_topdir $SCRATCH/rpm" --define "_dbpath $SCRATCH/rpmdb" \
        -bb "$HAUL_ROOT/.packages/haul.spec" >rpmbuild.log 2>&1 || { tail -n 20 rpmbuild.log; return 1; }
    rpm --dbpath "$SCRATCH/rpmdb" -qlp rpm/RPMS/*/haul-*.rpm 2>/dev/null | sed 's/\.gz$//' >files
    quietly install DESTDIR="$SCRATCH/root" PREFIX=/usr
    (cd root && find usr -type f ! -path 'usr/lib/haul/*' | sed 's|^|/|') | sort >installed
    expect "not in the rpm" "$(sort files | comm -13 - installed)" ""
}

# Containerfile: what FROM scratch, COPY and ENTRYPOINT mean, done by hand, and by podman or buildah where they work.
@test "the image from scratch holds a program that needs nothing else" {
    local line machine from to entry
    machine=$(uname -m)
    requires root
    mkdir image
    expect "base" "$(sed -n 's/^FROM //p' "$HAUL_ROOT/.packages/Containerfile")" scratch
    while read -r line; do
        line=${line//'${MACHINE}'/$machine}
        read -r from to <<<"${line#COPY }"
        cp "$HAUL_ROOT/$from" "image$to"
    done < <(grep '^COPY ' "$HAUL_ROOT/.packages/Containerfile")
    entry=$(sed -n 's/^ENTRYPOINT \["\(.*\)"\]$/\1/p' "$HAUL_ROOT/.packages/Containerfile")
    random_file image/file 3M
    chroot image "$entry" -V | grep -q '^haul [0-9]'
    chroot image "$entry" -q /file /copy
    same image/file image/copy
}

@test "systemd takes the units" {
    command -v systemd-analyze >/dev/null || skip "needs systemd-analyze"
    cp "$HAUL_ROOT"/.packages/systemd/* .
    sed -i "s|/usr/bin/haul|$HAUL|" haul-backup.service
    systemd-analyze verify ./haul-backup.service ./haul-backup.timer 2>verified || { cat verified; return 1; }
    # It says so, and nothing else, of settings that it does not know; others' units are not ours.
    ! grep haul-backup verified
    # Codes that another try cannot mend are those of the manual.
    for code in $(sed -n 's/^RestartPreventExitStatus=//p' haul-backup.service); do
        grep -qx ".It $code" "$HAUL_ROOT/man/haul.1" || { echo "no such exit code: $code"; return 1; }
    done
}
