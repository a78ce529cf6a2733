#!/usr/bin/env bash
# docs/clients.md names every test of this folder, no other, and the versions that are installed here.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

DOCUMENT=$ROOT/docs/clients.md
# What tests something else than a client.
NO_CLIENTS=' azure-setup certificates docs hardware-check manual package vendor versions '
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

# version ROW PACKAGE...: the row's versions are those of these packages, in this order, as far as the row gives them.
version() {
    local row=$1 cell package given installed
    shift
    cell=$(grep -F "| $row" "$DOCUMENT" | cut -d '|' -f $COLUMN | tr -d '(),')
    [ -n "$cell" ] || wrong "docs/clients.md has no row \"$row\""
    for package in "$@"; do
        read -r given cell <<<"$cell"
        installed=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null | sed 's/^[0-9]*://')
        printf '%-45s %-24s documented: %s\n' "$package" "${installed:-not installed}" "$given"
        [[ $installed == "$given"* ]] || wrong "$package is $installed, docs/clients.md says $given"
    done
}

heading "The versions of Debian $RELEASE"
install_stock_software
need_packages curl golang-github-thalesignite-crypto11-dev haproxy libengine-pkcs11-openssl libnss3-tools mosquitto nginx-light \
    openssh-client openvpn stunnel4 strongswan-swanctl wpasupplicant
version 'OpenSSL 3' openssl pkcs11-provider
version GnuTLS gnutls-bin
version OpenSC opensc
version "libp11's engine" libengine-pkcs11-openssl
version curl curl
version nginx nginx-light
version stunnel stunnel4
version haproxy haproxy
version mosquitto mosquitto
version OpenSSH openssh-client
version OpenVPN openvpn
version strongSwan strongswan-swanctl
version wpa_supplicant wpasupplicant
version NSS libnss3-tools
version 'Go, crypto11' golang-github-thalesignite-crypto11-dev golang-github-miekg-pkcs11-dev
version p11-kit p11-kit
[ $WRONG = no ]
