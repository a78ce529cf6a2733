#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# strongSwan: a CSR by pki, and an IPsec tunnel between two network namespaces (IKEv2, two charons) whose one end has its key in
# the chip.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/network.sh
. "$ROOT/scripts/lib/network.sh"

need_packages strongswan-pki libstrongswan-extra-plugins libstrongswan-standard-plugins strongswan-swanctl charon-systemd \
    iproute2 iputils-ping
fresh_token strongswan
software_ca
device_certificate

heading 'pki makes a CSR with the key in the chip'
write_file pki.conf <<END
libstrongswan {
    plugins {
        pkcs11 {
            modules {
                atecc608 {
                    path = $MODULE
                }
            }
        }
    }
}
END
# strongSwan requires a PIN for every token; one without a PIN accepts any.
run_in_chip Sign 'echo 1234 | STRONGSWAN_CONF=$WORK/pki.conf pki --req --type priv --keyid 01 --dn CN=swan --outform pem > swan.csr'
run 'openssl req -in swan.csr -noout -verify && openssl req -in swan.csr -noout -pubkey | cmp - dev-pub.pem'

# charon NAME HOST: a daemon of its own in this namespace, configured by the folder NAME.
charon() {
    write_file "$1.conf" <<END
charon-systemd {
    # kernel-libipsec: ESP in the daemon, since not every kernel has it. Plugins that meddle with the network are left out.
    load = pem pkcs1 x509 revocation constraints pubkey openssl random nonce kdf pkcs11 vici kernel-libipsec kernel-netlink socket-default updown
    filelog {
        stderr {
            default = 1
            cfg = 2
            ike = 2
            flush_line = yes
        }
    }
    plugins {
        vici {
            socket = unix://$WORK/$1.vici
        }
        pkcs11 {
            modules {
                atecc608 {
                    path = $MODULE
                }
            }
        }
    }
}
END
    start_server "$1.log" "ip netns exec $2 env STRONGSWAN_CONF=$WORK/$1.conf /usr/sbin/charon-systemd"
    wait_for "charon $1" "$1.log" test -S "$1.vici"
    run "SWANCTL_DIR=$WORK/$1 swanctl --load-all --noprompt --uri unix://$WORK/$1.vici"
}

# end NAME LOCAL REMOTE CERTIFICATE LOCAL-ID REMOTE-ID LOCAL-TRAFFIC REMOTE-TRAFFIC: its configuration.
end() {
    mkdir -p "$1"/{x509,x509ca,private}
    cp ca.pem "$1/x509ca/"
    cp "$4" "$1/x509/"
    write_file "$1/swanctl.conf" <<END
connections {
    tunnel {
        version = 2
        local_addrs = $2
        remote_addrs = $3
        local {
            auth = pubkey
            certs = $4
            id = "$5"
        }
        remote {
            auth = pubkey
            id = "$6"
        }
        children {
            tunnel {
                local_ts = $7
                remote_ts = $8
                esp_proposals = aes128gcm16
            }
        }
    }
}
END
}

heading 'A tunnel'
two_hosts
run 'ip -n $HOST_A address add 10.97.0.1/32 dev lo && ip -n $HOST_B address add 10.97.0.2/32 dev lo'
end server "$ADDRESS_A" "$ADDRESS_B" server.pem CN=localhost CN=device-001 10.97.0.1/32 10.97.0.2/32
cp server.key server/private/
end device "$ADDRESS_B" "$ADDRESS_A" device.pem CN=device-001 CN=localhost 10.97.0.2/32 10.97.0.1/32
write_file secrets.conf <<END
secrets {
    token-dev {
        module = atecc608
        handle = 01
        pin = 1234
    }
}
END
run 'cat secrets.conf >> device/swanctl.conf'
charon server "$HOST_A"
charon device "$HOST_B"
run_in_chip Sign 'swanctl --initiate --child tunnel --timeout 20 --uri unix://$WORK/device.vici | tee initiated'
run 'grep "initiate completed successfully" initiated'
run 'ip netns exec $HOST_B ping -q -c 3 -i 0.2 -W 2 -I 10.97.0.2 10.97.0.1'
run 'swanctl --list-sas --uri unix://$WORK/server.vici | tee sas; grep "remote .CN=device-001." sas; grep -E "in .* [1-9][0-9]* bytes" sas'
run 'grep "authentication of .CN=device-001. with .* successful" server.log'
