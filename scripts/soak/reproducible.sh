#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The packages for amd64, built twice from the last commit and compared bit for bit.
#
#   scripts/soak/reproducible.sh [--test]     --test as for scripts/package.sh: not optimised
#
# Each build has a clone, a Debian root and a compilation of its own. The second one is in a folder with a longer name, later, with
# sources of another date, another mask, language and time zone, and an empty CARGO_HOME. Inside the roots the folders have the
# same names (/build, /cargo), as in every run of scripts/package.sh. Needs root.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"

FOLDER=$TARGET/reproducible
FIRST=$FOLDER/one
SECOND=$FOLDER/two/of-these-folders/with-a-longer-name

cd "$ROOT"
[ -z "$(git status --porcelain)" ] || note 'uncommitted changes are not built'
rm -rf "$FOLDER"
for clone in "$FIRST" "$SECOND"; do
    git clone --quiet --no-hardlinks "$ROOT" "$clone"
done
find "$SECOND" -not -path '*/.git/*' -type f -exec touch -d '2021-03-04 05:06:07' {} +
chmod -R go= "$SECOND"

heading 'The first build'
(cd "$FIRST" && env -u CARGO_TARGET_DIR scripts/package.sh "$@" amd64)

heading 'The second build'
mkdir -p "$FOLDER/cargo" "$FOLDER/tmp"
# The mirror that the machine uses.
for file in "${CARGO_HOME:-$HOME/.cargo}"/config{,.toml}; do
    [ ! -e "$file" ] || cp "$file" "$FOLDER/cargo/"
done
(
    umask 077
    cd "$SECOND"
    env -u CARGO_TARGET_DIR LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8 TZ=Asia/Kathmandu TMPDIR="$FOLDER/tmp" CARGO_HOME="$FOLDER/cargo" \
        RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" scripts/package.sh "$@" amd64
)

heading 'The comparison'
# differences FIRST SECOND: the differences between two packages.
differences() {
    local file member
    if command -v diffoscope >/dev/null; then
        diffoscope "$1" "$2" || true
        return
    fi
    note 'install diffoscope for details'
    for file in "$1" "$2"; do
        rm -rf "$FOLDER/unpacked" && mkdir -p "$FOLDER/unpacked"
        for member in $(ar t "$file"); do
            ar p "$file" "$member" | sha256sum | sed "s/-$/$member/"
        done >"$FOLDER/unpacked.list"
        dpkg-deb --raw-extract "$file" "$FOLDER/unpacked"
        dpkg-deb --contents "$file" >>"$FOLDER/unpacked.list"
        (cd "$FOLDER/unpacked" && find . -type f -exec sha256sum {} + | sort -k 2) >>"$FOLDER/unpacked.list"
        mv "$FOLDER/unpacked.list" "$FOLDER/$([ "$file" = "$1" ] && echo first || echo second).list"
    done
    diff "$FOLDER/first.list" "$FOLDER/second.list" || true
}
different=0 compared=0
for package in "$FIRST"/target/debian/*.deb; do
    name=$(basename "$package")
    compared=$((compared + 1))
    if cmp "$package" "$SECOND/target/debian/$name"; then
        printf 'the same: %s  %s\n' "$(sha256sum <"$package" | cut -c 1-64)" "$name"
    else
        different=$((different + 1))
        differences "$package" "$SECOND/target/debian/$name"
    fi
done
[ $compared = 2 ] || die "there should be two packages, not $compared: $FIRST/target/debian"
[ $different = 0 ] || die "$different packages differ. Both builds are in $FOLDER"
rm -rf "$FOLDER"
