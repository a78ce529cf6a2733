#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# openconnect: a tunnel to ocserv between two network namespaces, with the client's key and certificate in the chip.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/p11_kit.sh
. "$ROOT/scripts/lib/p11_kit.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"

need_packages openconnect ocserv iproute2 iputils-ping util-linux
own_mounts
fresh_token openconnect
software_ca
device_certificate
install_module_file
two_hosts

heading 'VPN server that accepts certificates of the CA'
run "printf 'subjectAltName = IP:$ADDRESS_A\n' > vpn.ext"
run 'openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile vpn.ext -out vpn.pem'
write_file ocserv.conf <<END
auth = "certificate"
ca-cert = $WORK/ca.pem
cert-user-oid = 2.5.4.3
server-cert = $WORK/vpn.pem
server-key = $WORK/server.key
listen-host = $ADDRESS_A
tcp-port = 4443
ipv4-network = 10.97.0.0/24
device = vpns
run-as-user = root
run-as-group = root
isolate-workers = false
log-level = 3
use-occtl = false
socket-file = $WORK/ocserv.sock
pid-file = $WORK/ocserv.pid
END
start_server ocserv.log "ip netns exec $HOST_A /usr/sbin/ocserv -f -d 1 -c $WORK/ocserv.conf"
wait_for ocserv ocserv.log grep -q 'listening (TCP)' ocserv.log

heading 'A tunnel'
# In the place of vpnc-script, which may also change the names of the machine.
write_file up.sh <<'END'
#!/bin/sh
[ "$reason" != connect ] || { ip link set "$TUNDEV" up && ip address add "$INTERNAL_IP4_ADDRESS/24" dev "$TUNDEV"; }
END
run 'chmod 755 up.sh'
atecc608-sim stats --socket chip.sock --reset >/dev/null
start_server openconnect.log "ip netns exec $HOST_B openconnect --non-inter --cafile ca.pem --certificate 'pkcs11:token=gateway;object=dev-key' --script $WORK/up.sh $ADDRESS_A:4443"
has_address() { ip -n "$HOST_B" -brief address show to 10.97.0.0/24 | grep -q .; }
wait_for 'the tunnel' openconnect.log has_address
run "ip netns exec $HOST_B ping -q -c 3 -i 0.2 -W 2 10.97.0.1"
run "grep \"for user 'device-001'\" ocserv.log"
run '[ "$(chip_did Sign)" -ge 1 ]'
