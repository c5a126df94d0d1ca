#!/usr/bin/env bats
# Goal: what bash offers after haul is the program's own table of options: each option, the words of those that have some, files,
# hosts. (zsh and fish: make check-packages.)
load ../lib/common

# offers WORDS-BEFORE LAST: what bash would offer for that word, a line each.
offers() {
    bash --norc -c '
        compopt() { :; } # bash wants to be completing for that
        . ./completions
        COMP_WORDS=(haul "${@}") COMP_CWORD=$#
        _haul
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}

setup() {
    scratch_open
    "$HAUL_ROOT/src/completions" bash "$HAUL" >completions
}

@test "each option of --help is offered" {
    "$HAUL" --help | grep -oE '^ +(-., )?--[a-zA-Z0-9-]+' | grep -oE -e '--[a-zA-Z0-9-]+' | sort >wanted
    [ "$(wc -l <wanted)" -gt 50 ]
    offers -- | tr -d = | sort >offered
    diff wanted offered
}

@test "words, files, commands" {
    touch disk.img
    [ "$(offers --cac)" = $'--cache=\n--cache-max=' ]
    [ "$(offers --cache = di)" = direct ]
    [ "$(offers --engine = | sort | tr '\n' ' ')" = "auto sync threads uring " ]
    [ "$(offers --manifest di)" = disk.img ]
    [ "$(offers di)" = disk.img ]
    [ "$(offers ver)" = verify ]
    [ -z "$(offers --memory '')" ]
}
