# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Stock daemons that clients talk to, or that serve with the chip's key.

# Lines are shell text for `run`.
# shellcheck disable=SC2016

# mqtt_broker PORT CA CERTIFICATE KEY [PREFIX] [LINES]: mosquitto on loopback, for clients with a certificate of that CA only;
# it logs their common names as users. PREFIX is put before its command (env NAME=VALUE), LINES are more of its configuration.
# It is the last server then, its log broker.log.
mqtt_broker() {
    # "user": a broker started by root would drop its privileges, and then could not read this folder.
    write_file broker.conf <<END
user $(id -un)
per_listener_settings true
listener $1 127.0.0.1
cafile $2
certfile $3
keyfile $4
require_certificate true
use_identity_as_username true
allow_anonymous false${6:+
$6}
END
    start_server broker.log "${5:+$5 }/usr/sbin/mosquitto -v -c broker.conf"
    wait_for 'the broker' broker.log listening "$1"
}

# nginx_server KEY OPENSSL_CONF LINES [SERVER_LINES]: nginx with four workers, forked from the process that loaded the key, serves with
# chip.pem and KEY (as in ssl_certificate_key). LINES are more of its configuration, SERVER_LINES more of the server's. It is the last
# server then, its log nginx.log, its port PORT.
nginx_server() {
    PORT=$(free_port)
    write_file nginx.conf <<END
daemon off;
pid $WORK/nginx.pid;
error_log stderr notice;
worker_processes 4;
user root;
env OPENSSL_CONF;
env ATECC608_PKCS11_CONF;
$3
events {}
http {
    access_log off;
    client_body_temp_path $WORK; proxy_temp_path $WORK; fastcgi_temp_path $WORK; uwsgi_temp_path $WORK; scgi_temp_path $WORK;
    server {
        listen 127.0.0.1:$PORT ssl;
        ssl_certificate $WORK/chip.pem;
        ssl_certificate_key $1;${4:+
        $4}
        ssl_session_cache off;
        ssl_session_tickets off;
        location / { return 200 "served by worker \$pid\n"; }
    }
}
END
    start_server nginx.log "env OPENSSL_CONF=$2 /usr/sbin/nginx -e $WORK/nginx-early.log -p $WORK -c $WORK/nginx.conf"
    wait_for nginx nginx.log listening "$PORT"
}

# nginx_workers KEY OPENSSL_CONF LINES: that server under 200 handshakes; the chip signs each.
nginx_workers() {
    nginx_server "$@"
    run_in_chip Sign "seq 200 | xargs -P 8 -I {} curl -sS --cacert ca.pem 'https://localhost:$PORT/?{}' > served" 200
    run '[ "$(grep -c "served by worker" served)" = 200 ]'
    run 'sort served | uniq -c'
    run '[ "$(sort -u served | wc -l)" -gt 1 ]'
    run '! grep -E "\[(error|crit|alert|emerg)\]" nginx.log'
    stop_last_server
}
