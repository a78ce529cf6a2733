#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# docs/clients.md names every test of this folder, no other, and the versions that are installed here.

# Names of rows have backquotes in them.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

DOCUMENT=$ROOT/docs/clients.md
# The tests of something else than a client.
NO_CLIENTS=' azure-register azure-setup certificates docs factory hardware-check manual package vendor versions '
# shellcheck source=/dev/null
RELEASE=$(. /etc/os-release && echo "$VERSION_ID")
case $RELEASE in
    12) COLUMN=3 ;;
    13) COLUMN=4 ;;
    *) die "docs/clients.md has no column for Debian $RELEASE" ;;
esac
WRONG=no
wrong() {
    printf '%s\n' "$*" >&2
    WRONG=yes
}

heading 'Every test is in the table'
for file in "$ROOT"/tests/clients/*.sh; do
    name=$(basename "$file" .sh)
    [[ $NO_CLIENTS == *" $name "* ]] && continue
    grep -q "\`$name\`" "$DOCUMENT" || wrong "docs/clients.md does not name tests/clients/$name.sh"
done

# cell_of ROW COLUMN: that cell of a row's, without its punctuation.
cell_of() { { grep -F "| $1 |" "$DOCUMENT" || true; } | cut -d '|' -f "$2" | tr -d '(),'; }

# compare ROW NAME=VERSION...: the row's versions are those, in this order, each as far as the row gives it.
CHECKED=()
compare() {
    local row=$1 cell pair name version given
    shift
    CHECKED+=("$row")
    cell=$(cell_of "$row" $COLUMN)
    [ "$(xargs <<<"$cell")" != 'the same' ] || cell=$(cell_of "$row" 3)
    [ -n "$cell" ] || wrong "docs/clients.md has no row \"$row\""
    for pair in "$@"; do
        name=${pair%%=*} version=${pair#*=}
        read -r given cell <<<"$cell"
        printf '%-45s %-24s documented: %s\n' "$name" "${version:-not installed}" "$given"
        # Not followed by a digit: 1.2 is no beginning of 1.20.
        [[ -n $given && $version == "$given"* && ! ${version#"$given"} =~ ^[0-9] ]] ||
            wrong "$name is ${version:-not installed}, docs/clients.md says ${given:-nothing}"
    done
    [ -z "$(xargs <<<"$cell")" ] || wrong "docs/clients.md has a version too many in the row \"$row\": $cell"
}

# version ROW PACKAGE...: they are those of these Debian packages.
version() {
    local row=$1 package pairs=()
    shift
    for package in "$@"; do
        pairs+=("$package=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null | sed 's/^[0-9]*://')")
    done
    compare "$row" "${pairs[@]}"
}

# pinned FILE PACKAGE: the version that this file of ours has npm, pip or cargo install.
pinned() {
    case $1 in
        *.txt) sed -n "s/^$2==//p" "$1" ;;
        *.json) sed -n "s/^ *\"$2\": *\"\(.*\)\",*$/\1/p" "$1" ;;
        *.lock) grep -x -A 1 "name = \"$2\"" "$1" | sed -n 's/^version = "\(.*\)"/\1/p' ;;
    esac
}

# pinned_version ROW FILE PACKAGE...: they are those in this file of ours.
pinned_version() {
    local row=$1 file=$ROOT/$2 package pairs=()
    shift 2
    for package in "$@"; do
        pairs+=("$package=$(pinned "$file" "$package")")
    done
    compare "$row" "${pairs[@]}"
}

heading "The versions of Debian $RELEASE"
install_stock_software
need_packages curl default-jdk-headless golang-github-thalesignite-crypto11-dev haproxy libengine-pkcs11-openssl libnss3-tools \
    libwolfssl-dev mosquitto nginx-light openconnect openssh-client openvpn rauc stunnel4 strongswan-swanctl wpasupplicant
version 'OpenSSL 3, `pkcs11-provider`' openssl pkcs11-provider
version 'OpenSSL 3 with `?provider=pkcs11`' openssl pkcs11-provider
version 'GnuTLS (`p11tool`, `certtool`, `gnutls-cli`, `gnutls-serv`)' gnutls-bin
version 'OpenSC (`pkcs11-tool`)' opensc
version "libp11's engine" libengine-pkcs11-openssl
version curl curl
version nginx nginx-light
version stunnel stunnel4
version haproxy haproxy
version mosquitto mosquitto
version OpenSSH openssh-client
version OpenVPN openvpn
version strongSwan strongswan-swanctl
version openconnect openconnect
version RAUC rauc
version wolfSSL libwolfssl-dev
version "Python's \`ssl\`" python3
LUKS='LUKS (`systemd-cryptenroll`, `cryptsetup`)'
if [ -n "$(candidate systemd-cryptsetup)" ]; then
    need_packages systemd-cryptsetup cryptsetup-bin
    version "$LUKS" systemd-cryptsetup cryptsetup-bin
else
    # systemd of this release takes no elliptic curve keys.
    CHECKED+=("$LUKS")
fi
version wpa_supplicant wpasupplicant
version 'NSS (`modutil`, `certutil`, `cmsutil`)' libnss3-tools
version 'Go, crypto11 (miekg/pkcs11)' golang-github-thalesignite-crypto11-dev golang-github-miekg-pkcs11-dev
version p11-kit p11-kit
pinned_version 'AWS SDKs (awscrt, awsiotsdk)' tests/clients/aws/requirements.txt awscrt awsiotsdk
pinned_version 'python-pkcs11, PyKCS11' tests/clients/python/requirements.txt python-pkcs11 PyKCS11
pinned_version 'Node.js, graphene-pk11 (pkcs11js)' tests/clients/node/package.json graphene-pk11 pkcs11js
pinned_version 'Rust, cryptoki' Cargo.lock cryptoki
# What default-jdk-headless stands for.
version 'Java, SunPKCS11' "$(dpkg-query -W -f '${Depends}' default-jdk-headless | grep -o 'openjdk-[0-9]*-jdk-headless')"

heading 'Every row with a version is checked'
# Other tables of the page have fewer columns.
while read -r row; do
    printf '%s\n' "${CHECKED[@]}" | grep -qxF "$row" || wrong "nobody checks the versions of \"$row\""
done < <(awk -F ' *[|] *' 'NF == 7 && !/^[|] ---/ && $2 != "program" && $3 $4 != "" { print $2 }' "$DOCUMENT")
[ $WRONG = no ]
