#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# OpenVPN: a tunnel between two network namespaces whose client has its key in the chip.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"

need_packages openvpn iproute2 iputils-ping
fresh_token openvpn
software_ca
device_certificate
two_hosts

heading 'OpenVPN id of the key'
run 'openvpn --show-pkcs11-ids $MODULE | tee ids'
run 'export ID=$(sed -n "s/.*Serialized id: *//p" ids); [ -n "$ID" ]'

heading 'A tunnel'
for version in 1.2 1.3; do
    start_server "server-$version.log" "ip netns exec $HOST_A openvpn --dev tun --proto udp --local $ADDRESS_A --port 1194 --tls-server --dh none --ca ca.pem --cert server.pem --key server.key --tls-version-min $version --tls-version-max $version --ifconfig 10.98.0.1 10.98.0.2 --verb 4"
    wait_for 'the server' "server-$version.log" grep -q 'UDPv4 link remote' "server-$version.log"
    atecc608-sim stats --socket chip.sock --reset >/dev/null
    start_server "client-$version.log" "ip netns exec $HOST_B openvpn --dev tun --proto udp --remote $ADDRESS_A 1194 --nobind --tls-client --ca ca.pem --pkcs11-providers $MODULE --pkcs11-id '$ID' --ifconfig 10.98.0.2 10.98.0.1 --verb 4"
    wait_for 'the tunnel' "client-$version.log" grep -q 'Initialization Sequence Completed' "client-$version.log"
    run 'ip netns exec $HOST_B ping -q -c 3 -i 0.2 -W 2 10.98.0.1'
    run "grep 'VERIFY OK: depth=0, CN=device-001' server-$version.log"
    run "grep 'Control Channel: TLSv$version' client-$version.log"
    run '[ "$(chip_did Sign)" -ge 1 ]'
    stop_last_server
    stop_last_server
done
