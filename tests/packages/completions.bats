#!/usr/bin/env bats
# Goal: zsh and fish, the real ones, offer haul's options and their words. For `make check-packages`, which fetches both:
# HAUL_ZSH and HAUL_FISH are the folders where their packages are unpacked.
load ../lib/common

@test "fish" {
    [ -n "${HAUL_FISH:-}" ] || skip "needs fish (make check-packages)"
    "$HAUL_ROOT/src/completions" fish "$HAUL" >haul.fish
    offers() {
        LD_LIBRARY_PATH=$(echo "$HAUL_FISH"/usr/lib/*-linux-gnu) HOME=$SCRATCH "$HAUL_FISH/usr/bin/fish" --no-config \
            -c "set fish_function_path $HAUL_FISH/usr/share/fish/functions; source haul.fish; complete -C '$1'" | cut -f 1
    }
    offers "haul --cac" >offered
    grep -qxF -e --cache offered
    grep -qxF -e --cache-max offered
    [ "$(offers "haul --cache=di")" = --cache=direct ]
    touch disk.img
    offers "haul --manifest=di" | grep -qF disk.img
    offers "haul ver" | grep -qxF verify
}

@test "zsh" {
    [ -n "${HAUL_ZSH:-}" ] || skip "needs zsh (make check-packages)"
    mkdir functions
    "$HAUL_ROOT/src/completions" zsh "$HAUL" >functions/_haul
    local modules
    modules=$(echo "$HAUL_ZSH"/usr/lib/*/zsh/[0-9]*)
    cat >drive <<'ZSH'
module_path=($MODULES)
zmodload zsh/zpty
zpty shell "$ZSH -f -i"
zpty -w shell "module_path=($MODULES); fpath=($FUNCTIONS $SHARED); autoload -Uz compinit; compinit -u -D; PS1=; cd $PLACE; print rea''dy"
zpty -r -m shell out '*ready*'
zpty -n -w shell "haul $1"$'\t\t'
zpty -r -m shell out "*$2*" && print -r -- "offered $2"
zpty -d shell
ZSH
    offers() { # TYPED PATTERN
        MODULES=$modules ZSH=$HAUL_ZSH/bin/zsh FUNCTIONS=$SCRATCH/functions PLACE=$SCRATCH \
            SHARED="$(find "$HAUL_ZSH/usr/share/zsh/functions" -type d | tr '\n' ' ')" \
            timeout 30 "$HAUL_ZSH/bin/zsh" -f drive "$1" "$2"
    }
    offers --eng 'engine=' | grep offered
    offers --engine=ur uring | grep offered
    offers --cache= window | grep offered
    offers ver verify | grep offered
}
