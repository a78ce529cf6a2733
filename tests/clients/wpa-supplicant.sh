#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# wpa_supplicant: EAP-TLS on a wire (802.1X) before hostapd, with the key in the chip through libp11's engine.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"

need_packages wpasupplicant hostapd libengine-pkcs11-openssl iproute2
fresh_token wpa
software_ca
device_certificate
two_hosts
run 'ENGINES=$(openssl version -e | sed "s/.*\"\(.*\)\"/\1/")'

heading 'Switch that accepts devices with a certificate'
write_file hostapd.conf <<END
interface=eth0
driver=wired
ieee8021x=1
eap_server=1
eap_user_file=$WORK/eap_user
ca_cert=$WORK/ca.pem
server_cert=$WORK/server.pem
private_key=$WORK/server.key
END
run 'echo "* TLS" > eap_user'
start_server hostapd.log "ip netns exec $HOST_A hostapd -dd $WORK/hostapd.conf"
wait_for hostapd hostapd.log grep -q 'AP-ENABLED' hostapd.log

heading 'The device'
# Debian's wpa_supplicant loads modules from /usr/lib only, where the package puts ours. Here that folder is a file system of
# this process's own, with a copy.
run 'export INSTALLED=$(dirname "$(dpkg -L p11-kit-modules | grep p11-kit-trust.so)")'
write_file wpa.conf <<END
ctrl_interface=$WORK/control
ap_scan=0
pkcs11_engine_path=$ENGINES/pkcs11.so
pkcs11_module_path=$INSTALLED/libatecc608_pkcs11.so
network={
    key_mgmt=IEEE8021X
    eap=TLS
    identity="somebody"
    ca_cert="$WORK/ca.pem"
    client_cert="$WORK/device.pem"
    engine=1
    engine_id="pkcs11"
    key_id="pkcs11:token=gateway;object=dev-key;type=private"
}
END
atecc608-sim stats --socket chip.sock --reset >/dev/null
write_file start.sh <<END
mount -t tmpfs none $INSTALLED
cp $MODULE $INSTALLED/
exec wpa_supplicant -dd -D wired -i eth0 -c $WORK/wpa.conf
END
start_server wpa.log "ip netns exec $HOST_B sh -e start.sh"
wait_for 'the session' wpa.log grep -q 'CTRL-EVENT-EAP-SUCCESS' wpa.log
run 'grep -m 1 "CTRL-EVENT-EAP-SUCCESS" wpa.log'
# The name is the verified certificate's, which is not what the device says of itself.
run "grep -a \"tls_verify_cb - preverify_ok=1 .* depth=0 buf='/CN=device-001'\" hostapd.log"
run 'grep -a "EAP-TLS: Done" hostapd.log && grep -a "CTRL-EVENT-EAP-SUCCESS" hostapd.log'
run '[ "$(chip_did Sign)" -ge 1 ]'
