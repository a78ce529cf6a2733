# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Debian packages: only what is missing, without questions, without starting a daemon. The only use of root.

INSTALL_LOG=$LOGS/install.log
# When apt's lists were updated, for the scripts that run after this one.
APT_UPDATED=$TARGET/apt-updated

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "installing packages needs root or sudo: $*"
    fi
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
candidate() { apt-cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

apt_update() {
    # A broken third-party source is no error here: a package that is really missing makes the installation below fail.
    quietly "$INSTALL_LOG" as_root apt-get update -q -o DPkg::Lock::Timeout=300 || true
    touch "$APT_UPDATED"
}

# At most once an hour.
apt_update_once() { [ -n "$(find "$APT_UPDATED" -mmin -60 2>/dev/null)" ] || apt_update; }

apt_install() {
    # --no-remove: a package that conflicts with what this machine has is the user's decision, not ours.
    quietly "$INSTALL_LOG" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        --no-remove -o DPkg::Lock::Timeout=300 "$@" ||
        die "could not install: $*"
}

# need_packages NAME...: install those that are not there yet.
need_packages() {
    all_installed "$@" || by_turns install_missing "$@"
}

all_installed() {
    local name
    for name in "$@"; do
        installed "$name" || return 1
    done
}

install_missing() {
    local name missing=()
    # Another script may have installed them in the meantime.
    for name in "$@"; do
        installed "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    apt_update_once
    note "installing ${missing[*]}"
    without_daemons apt_install "${missing[@]}"
}

# by_turns COMMAND...: scripts that run at once wait for each other here: only one may use apt's lists and the switch
# against daemons.
by_turns() {
    (
        flock 9
        "$@"
    ) 9>"$TARGET/apt.lock"
}

# Run something that installs packages, and start no daemon meanwhile: a broker started by the package system would
# listen on the network, unwanted. policy-rc.d is Debian's switch for that.
without_daemons() {
    local policy=/usr/sbin/policy-rc.d status=0 had_mosquitto=yes
    installed mosquitto || had_mosquitto=no
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    # In a subshell, whose trap removes the switch in all cases.
    (
        # shellcheck disable=SC2064  # the path of now, not of the time when the trap runs
        trap "as_root rm -f '$policy'" EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        "$@"
    ) || status=$?
    # Installing also enables the service for the next boot. Disable it only if this script installed it.
    if [ "$had_mosquitto" = no ] && installed mosquitto && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet mosquitto.service >>"$INSTALL_LOG" 2>&1 || true
    fi
    [ $status = 0 ] || exit $status
}

# Make `codename`-backports known to apt, from the same mirror and key as the machine's own sources, which it can reach.
# Both formats of apt sources are read.
enable_backports() {
    local codename suite file text
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$codename" ] || die "/etc/os-release names no Debian release"
    suite=$codename-backports

    file=/etc/apt/sources.list.d/$suite.sources
    text=$(backports_from_deb822 "$codename" "$suite")
    if [ -z "$text" ]; then
        file=/etc/apt/sources.list.d/$suite.list
        text=$(backports_from_list "$codename" "$suite")
    fi
    [ -n "$text" ] || die "no apt source for $codename to derive $suite from: add $suite by hand and start again"
    note "adding $suite to apt ($file)"
    printf '%s\n' "$text" | as_root tee "$file" >/dev/null
    apt_update
}

# The first enabled stanza for the release, with its suites replaced and everything else (mirror, key) kept.
backports_from_deb822() {
    local files=(/etc/apt/sources.list.d/*.sources)
    [ -e "${files[0]}" ] || return 0
    awk -v codename="$1" -v suite="$2" '
        function finish() {
            if (text != "" && types && ours && enabled && !done) { printf "%s", text; done = 1 }
            text = ""; types = 0; ours = 0; enabled = 1; field = ""
        }
        BEGIN { enabled = 1 }
        FNR == 1 || /^[ \t]*$/ { finish() }
        /^[ \t]*$/ || /^#/ { next }
        /^[^ \t]/ { field = tolower($1) }
        field == "types:" { for (i = 1; i <= NF; i++) if ($i == "deb") types = 1; if (/^[^ \t]/) text = text "Types: deb\n"; next }
        field == "suites:" { for (i = 1; i <= NF; i++) if ($i == codename) ours = 1; if (/^[^ \t]/) text = text "Suites: " suite "\n"; next }
        field == "components:" { if (/^[^ \t]/) text = text "Components: main\n"; next }
        field == "enabled:" && tolower($2) == "no" { enabled = 0 }
        { text = text $0 "\n" }
        END { finish() }
    ' "${files[@]}"
}

# The same for one-line sources: `deb [options] URI SUITE COMPONENT...`.
backports_from_list() {
    local files=() file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$file" ] || files+=("$file")
    done
    [ ${#files[@]} -gt 0 ] || return 0
    awk -v codename="$1" -v suite="$2" '
        $1 != "deb" { next }
        {
            line = $0; options = ""
            sub(/^[ \t]*deb[ \t]+/, "", line)
            if (line ~ /^\[/) { end = index(line, "]"); options = substr(line, 1, end) " "; line = substr(line, end + 1) }
            split(line, word, " ")
            if (word[2] == codename) { print "deb " options word[1] " " suite " main"; exit }
        }
    ' "${files[@]}"
}

# Stock software of the demo. pkcs11-provider came to Debian after 12: there it is in backports.
install_stock_software() {
    note "apt's output goes to $INSTALL_LOG"
    need_packages ca-certificates openssl opensc gnutls-bin p11-kit p11-kit-modules mosquitto python3 python3-venv
    install_pkcs11_provider
}

install_pkcs11_provider() {
    installed pkcs11-provider && return
    by_turns find_pkcs11_provider
    need_packages pkcs11-provider
}

find_pkcs11_provider() {
    apt_update_once
    [ -n "$(candidate pkcs11-provider)" ] || enable_backports
}
