#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Manual pages and completions: tried with man, mandoc, bash, zsh and fish. The list of subcommands comes from the
# programs themselves.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

need_packages man-db groff mandoc bash-completion zsh fish
need_cargo
open_work_folder manual '' no
cd "$ROOT"
# --workspace: with the features of the tests' build, which has made most of it.
run 'cargo build --locked --quiet --workspace --example manual'
run "$TARGET/debug/examples/manual $WORK/manual 2026-01-31"
cd "$WORK"
export PATH=$TARGET/release:$PATH
MANUAL=$WORK/manual

# subcommands PROGRAM...: as its help lists them.
subcommands() { "$@" --help | awk '/^Commands:/ { on = 1; next } !NF { on = 0 } on && $1 != "help" && /^  [a-z]/ { print $1 }'; }

heading 'A manual page for each command'
for program in atecc608 atecc608-sim; do
    names=$(subcommands "$program")
    [ -n "$names" ] || die "$program --help lists no commands"
    for name in '' $names; do
        [ -s "$MANUAL/man1/$program${name:+-$name}.1" ] || die "$program $name has no page"
        note "$program${name:+-$name}(1)"
    done
done

heading 'man prints no warnings'
for page in "$MANUAL"/man1/*.1 "$ROOT"/docs/man/*; do
    warnings=$(MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    [ -z "$warnings" ] || die "$page: $warnings"
done
note "$(find "$MANUAL/man1" "$ROOT/docs/man" -type f | wc -l) pages"

heading 'mandoc prints no warnings'
# clap_mangen puts a line break on each side of an empty line, which mandoc finds superfluous: nothing else is let through.
warnings=$(mandoc -Tlint -Wwarning "$MANUAL"/man1/*.1 "$ROOT"/docs/man/* | grep -Ev 'WARNING: skipping paragraph macro: br (before|after) sp$' || true)
[ -z "$warnings" ] || die "$warnings"

heading 'atecc608-pkcs11(5) names each key of the sample configuration, and no other'
sed -n 's/^#\{0,1\}\([a-z_]*\) = .*/\1/p; s/^#\{0,1\}\(\[\[.*\]\]\)$/\1/p' "$ROOT/conf/config.toml" | sort -u >sample.txt
awk '/^\.TP/ { key = 1; next } key && /^\.B [a-z_]+$/ { print $2 } { key = 0 } /^\.SH KEYS OF \[\[/ { print $NF }' \
    "$ROOT/docs/man/atecc608-pkcs11.5" | sort -u >page.txt
run 'diff sample.txt page.txt'

# complete_in SHELL PROGRAM WORDS...: what the shell offers after these words, one a line.
complete_in_bash() {
    bash --norc -euc '
        set +eu
        . /usr/share/bash-completion/bash_completion
        . "$1/bash/$2"
        shift
        COMP_WORDS=("$@" "") COMP_CWORD=$# COMP_LINE="$* " COMP_POINT=$((${#COMP_LINE}))
        entry=$(complete -p "$1") || exit 1
        [[ $entry =~ -F\ ([^ ]+) ]] && "${BASH_REMATCH[1]}" "$1" "" "${!#}"
        printf "%s\n" "${COMPREPLY[@]}"
    ' bash "$MANUAL" "$@"
}
complete_in_fish() {
    fish --no-config -c 'source $argv[1]; complete -C "$argv[2] "' "$MANUAL/fish/$1.fish" "$*" | cut -f 1
}
# zsh completes only at a terminal, for which zpty is used.
complete_in_zsh() {
    TERM=dumb zsh -f -c '
        zmodload zsh/zpty
        zpty terminal "TERM=dumb COLUMNS=200 LINES=100 zsh -f -i"
        zpty -w terminal "PS1=; LISTMAX=1000; fpath=($1/zsh \$fpath); autoload -U compinit; compinit -u -D; bindkey \"^I\" complete-word; print READY"
        zpty -r -m terminal said "*READY*READY*"
        zpty -w -n terminal "$2 "$'"'\t'"'
        for turn in {1..40}; do
            sleep 0.05
            while zpty -r -t terminal said; do print -r -- $said; done
        done
        zpty -d terminal
    ' zsh "$MANUAL" "$*" | tr '\r' '\n' | awk '{ print $1 }'
}

for shell in bash zsh fish; do
    heading "$shell completes the commands"
    for program in atecc608 atecc608-sim 'atecc608 config' 'atecc608-sim control'; do
        read -ra words <<<"$program"
        names=$(subcommands "${words[@]}")
        "complete_in_$shell" "${words[@]}" >offered.txt
        for name in $names; do
            grep -qx -- "$name" offered.txt || die "after \"$program \" $shell does not offer $name: $(cat offered.txt)"
        done
        note "$program: $(wc -w <<<"$names") commands"
    done
done
