# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Debian roots: small systems in folders, made by mmdebstrap from this machine's own mirror, in which packages are built and
# tried. Nothing of them touches the machine. Needs root.

# The oldest release that the packages are for: programs built there run on it and on all newer ones.
SUITE=bookworm
ROOTS=$TARGET/roots

# Roots and packages are for all users, whatever this one's mask is.
umask 022

# The apt source for SUITE, from the same mirror and key as the machine's own, which it can reach.
suite_source() {
    local codename text
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    text=$(backports_from_deb822 "$codename" "$SUITE")
    [ -n "$text" ] || text=$(backports_from_list "$codename" "$SUITE")
    [ -n "$text" ] || die "no apt source for ${codename:-this system} to derive one for $SUITE from"
    printf '%s\n' "$text"
}

# make_root NAME ARCHITECTURES PACKAGES --variant=NAME [mmdebstrap's other options]: the folder's name in ROOT_FOLDER.
# It is made again only if its inputs have changed. Lists are separated by commas; the first architecture is the
# machine's.
make_root() {
    local name=$1 architectures=$2 packages=$3 source recipe
    shift 3
    [ "$(id -u)" = 0 ] || die "making a Debian root needs root: sudo -E $0"
    need_packages mmdebstrap
    ROOT_FOLDER=$ROOTS/$name
    recipe=$(printf '%s\n' "$SUITE" "$architectures" "$packages" "$@" "$(suite_source)")
    if [ "$(cat "$ROOT_FOLDER.recipe" 2>/dev/null)" = "$recipe" ]; then
        note "the root $name exists: $ROOT_FOLDER"
        return
    fi
    note "making the root $name: $ROOT_FOLDER"
    rm -rf "$ROOT_FOLDER" "$ROOT_FOLDER.recipe"
    mkdir -p "$ROOTS"
    # Its name tells mmdebstrap the format.
    source=$ROOTS/$name.sources
    suite_source >"$source"
    grep -q '^Types:' "$source" || { mv "$source" "${source%.sources}.list" && source=${source%.sources}.list; }
    # force-unsafe-io: a root that is lost with the machine's power is made again.
    quietly "$INSTALL_LOG" mmdebstrap --mode=root --dpkgopt=force-unsafe-io \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
        --architectures="$architectures" --include="$packages" "$@" "$SUITE" "$ROOT_FOLDER" "$source"
    printf '%s\n' "$recipe" >"$ROOT_FOLDER.recipe"
}

# in_root FOLDER command...: run it there, with the network and the certificates of this machine, and cargo's downloads
# in /cargo. The mounts are in a namespace of their own and end with the command.
in_root() {
    local folder=$1 cargo_home
    shift
    cargo_home=${CARGO_HOME:-${HOME:-/root}/.cargo}
    mkdir -p "$folder/cargo" "$cargo_home"
    cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
    # The quoted text is for the inner shell.
    # shellcheck disable=SC2016
    unshare --mount -- bash -euc '
        folder=$1 cargo_home=$2
        shift 2
        # The root as a mount of its own, which ip netns needs.
        mount --rbind "$folder" "$folder"
        mount -t proc proc "$folder/proc"
        mount --bind "$cargo_home" "$folder/cargo"
        if [ -e "$folder/etc/ssl/certs" ] && [ -e /etc/ssl/certs ]; then
            mount --bind /etc/ssl/certs "$folder/etc/ssl/certs"
        fi
        exec chroot "$folder" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            CARGO_HOME=/cargo DEBIAN_FRONTEND=noninteractive "$@"
    ' bash "$folder" "$cargo_home" "$@"
}

# copy_sources_to FOLDER: the files in git, and changed or added ones, but no ignored files.
copy_sources_to() {
    rm -rf "$1"
    mkdir -p "$1"
    # With their modification times, from which cargo decides what to build again.
    (cd "$ROOT" && git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cf - --mode=u=rwX,go=rX -T -) |
        tar -xf - -C "$1" --no-same-owner
}
