#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Measures the module and its alternatives in one run, and writes docs/performance.md with its pictures and
# docs/performance.json with the figures. It checks nothing: scripts/bench.sh has the budgets.
#
#   scripts/bench.sh performance [FOLDER]     FOLDER: where the page goes, instead of docs
#
# Beside it: SoftHSM2, tpm2-pkcs11 on swtpm (both Debian's), and Microchip's PKCS#11 module and driver (PyPI). Takes about ten minutes on a
# quiet machine whose release is built; a busy machine shows in the times, and the page has the load.

# Lines are shell text for `run`.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/performance/vendor_module.sh
. "$ROOT/scripts/performance/vendor_module.sh"

PAGE=$(realpath -m "${1:-$ROOT/docs}")
LOAD_BEFORE=$(cut -d ' ' -f 1-3 /proc/loadavg)
STARTED=$(date -u '+%-d %B %Y, %H:%M UTC')
export PERFORMANCE=$ROOT/scripts/performance ATECC608_LOG=error PYTHONDONTWRITEBYTECODE=1
MULTIARCH=$(gcc -print-multiarch)
# What the objects of the curve are: as many as each token holds at a time.
OBJECTS=(3 10 30 100)

install_peers() {
    install_stock_software
    need_packages curl gcc gnutls-bin libc6-dev libp11-kit-dev libtpm2-pkcs11-1 libtss2-tcti-swtpm0 nginx-light python3-venv \
        softhsm2 swtpm valgrind
    need_python_venv vendor "$ROOT/tests/vendor/requirements.txt"
    vendor_module
    heading 'Module as on gateways, without the simulator'
    run 'cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p atecc608-pkcs11 --no-default-features --target-dir "$TARGET/gateway"'
}

# new_token MODULE: a token "soft" with a key pair and a certificate.
new_token() {
    local tool="pkcs11-tool --module $1"
    run "$tool --init-token --slot-index 0 --label soft --so-pin 1234"
    run "$tool --init-pin --token-label soft --login --so-pin 1234 --pin 1234"
    run "$tool --token-label soft --login --pin 1234 --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key"
    run "$tool --token-label soft --login --pin 1234 --write-object device.der --type cert --id 01 --label dev-key"
}

softhsm() {
    mkdir softhsm
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$WORK/softhsm" >softhsm2.conf
    export SOFTHSM2_CONF=$WORK/softhsm2.conf SOFTHSM=/usr/lib/softhsm/libsofthsm2.so
    new_token $SOFTHSM
}

tpm() {
    local port
    mkdir tpm tpm-store
    port=$(free_port)
    # The library needs no resource manager if it is the TPM's only user, and expects the control channel one port
    # above.
    start_server swtpm.log "swtpm socket --tpm2 --tpmstate dir=$WORK/tpm --server type=tcp,port=$port --ctrl type=tcp,port=$((port + 1)) --flags not-need-init,startup-clear"
    wait_for swtpm swtpm.log listening "$port"
    export TPM2_PKCS11_STORE=$WORK/tpm-store TPM2_PKCS11_TCTI=swtpm:port=$port TPM2_PKCS11_LOG_LEVEL=0 TSS2_LOG=all+none
    export TPM2=/usr/lib/$MULTIARCH/libtpm2_pkcs11.so.1
    new_token "$TPM2"
}

# more_objects FROM TO: certificates, on each token.
more_objects() {
    local number
    note "$2 objects on each token"
    for ((number = $1 + 1; number <= $2; number++)); do
        while IFS='|' read -r _ module token pin; do
            quietly more.log pkcs11-tool --module "$module" --token-label "$token" --login --pin "$pin" \
                --write-object device.der --type cert --id "$(printf '%04x' "$number")" --label "c$number"
        done <<<"$PEERS"
    done
}

measure() { run "/usr/bin/python3 \$PERFORMANCE/measure.py $*"; }

costs() {
    mkdir aside
    heading 'Cost on the chip'
    # Over a budget is scripts/bench.sh's to report.
    run "/usr/bin/python3 $ROOT/scripts/bench.py \$MODULE gateway dev-key chip.sock results/costs-kept.json" || true
    rm -rf trust*
    run 'mv keys/*.config aside'
    run "/usr/bin/python3 $ROOT/scripts/bench.py \$MODULE gateway dev-key chip.sock results/costs-plain.json" || true
    run 'mv aside/*.config keys'
    heading "The same with the vendor's module"
    vendor_token
    with_shim "/usr/bin/python3 $PERFORMANCE/vendor_costs.py \$VENDOR_MODULE gateway dev-key chip.sock results/costs-vendor.json"
}

# with_shim 'command line': with the simulated chip as /dev/i2c-20.
with_shim() { run "I2C_SHIM=20=\$WORK/chip.sock LD_PRELOAD=\$VENDOR_SHIM $1"; }

hosts() {
    heading 'Cost on the host'
    run "cc -O2 -I /usr/include/p11-kit-1 -o speed $ROOT/scripts/speed.c -ldl"
    softhsm
    tpm
    PEERS=$(printf '%s\n' "atecc608-pkcs11|$MODULE|gateway|1234" "SoftHSM2|$SOFTHSM|soft|1234" "tpm2-pkcs11|$TPM2|soft|1234")
    export PEERS
    local number last=3
    for number in "${OBJECTS[@]}"; do
        more_objects "$last" "$number"
        last=$number
        measure objects "$number"
        if [ "$number" = 30 ]; then
            measure host
            measure sessions
        fi
    done
    stop_last_server
}

serve_in_real_time() {
    stop_last_server
    start_server real.log 'atecc608-sim serve --socket chip.sock --state chip.eeprom --timing real'
    wait_for 'the simulated chip' real.log test -S chip.sock
}

in_real_time() {
    local port
    serve_in_real_time
    heading 'Real execution times'
    measure sign
    with_shim "/usr/bin/python3 $PERFORMANCE/measure.py sign_vendor"
    with_shim "PYTHONPATH=$ROOT/tests/vendor $VENV/bin/python $PERFORMANCE/vendor.py 20 20 chip.sock > vendor.json"
    measure sign_driver vendor.json
    heading 'Recorded bus traffic of a handshake'
    start_server wire.log "/usr/bin/python3 $PERFORMANCE/bus.py wire.sock record 0x60=chip.sock"
    wait_for 'the wire' wire.log test -S wire.sock
    sed "s|unix:.*chip.sock|unix:$WORK/wire.sock|" config.toml >wire.toml
    port=$(free_port)
    start_server s_server.log "openssl s_server -accept 127.0.0.1:$port -cert server.pem -key server.key -CAfile ca.pem -Verify 1 -verify_return_error -www"
    wait_for s_server s_server.log listening "$port"
    measure timeline ours "$port"
    measure timeline driver "$VENV/bin/python"
    stop_last_server
    stop_last_server
    handshakes
    measure crowd
}

handshakes() {
    heading 'TLS 1.3 handshakes'
    run 'openssl x509 -req -in device.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile server.ext -out chip.pem'
    uri_pem 'pkcs11:token=gateway;object=dev-key;type=private' key.pem
    export PKCS11_PROVIDER_MODULE=$MODULE
    nginx_server "$WORK/key.pem" "$PROVIDER_CONF" 'env PKCS11_PROVIDER_MODULE;' 'ssl_protocols TLSv1.3;'
    measure handshakes "$PORT"
    stop_last_server
}

# Eight chips with a key each, at addresses of their own, so that they can share a bus.
eight_chips() {
    local n address joined=''
    stop_last_server
    heading 'Eight chips'
    printf 'state_dir = "%s"\nlock_timeout = 60\n' "$WORK/state" | tee buses.toml >bus.toml
    for n in 0 1 2 3 4 5 6 7; do
        address=0x6$n
        start_server "chip-$n.log" "atecc608-sim serve --socket chip-$n.sock --state chip-$n.eeprom --address $address --timing real"
        wait_for 'the simulated chip' "chip-$n.log" test -S "chip-$n.sock"
        printf '[[token]]\nbus = "unix:%s"\naddress = %s\nlabel = "chip-%s"\n' "$WORK/chip-$n.sock" $address $n | tee one.toml >>buses.toml
        sed -i "1i state_dir = \"$WORK/state\"" one.toml
        printf '[[token]]\nbus = "unix:%s"\naddress = %s\nlabel = "chip-%s"\n' "$WORK/joined.sock" $address $n >>bus.toml
        quietly chips.log env ATECC608_PKCS11_CONF="$WORK/one.toml" atecc608 provision tls --lock-forever
        quietly chips.log env ATECC608_PKCS11_CONF="$WORK/one.toml" pkcs11-tool --module "$MODULE" --token-label "chip-$n" \
            --keypairgen --key-type EC:prime256v1 --id 01 --label dev-key
        joined+=" $address=chip-$n.sock"
    done
    start_server joined.log "/usr/bin/python3 $PERFORMANCE/bus.py joined.sock record-joined$joined"
    wait_for 'the wire' joined.log test -S joined.sock
    measure scale
}

versions() {
    local package
    {
        printf 'started|%s\nload before|%s\nload after|%s\nprocessors|%s\n' "$STARTED" "$LOAD_BEFORE" "$(cut -d ' ' -f 1-3 /proc/loadavg)" "$(nproc)"
        printf 'kernel|%s\n' "$(uname -sr | cut -d - -f 1), $(uname -m)"
        printf 'atecc608-pkcs11|%s, %s\n' "$("$TARGET/release/atecc608" --version | cut -d ' ' -f 2)" \
            "commit $(git -C "$ROOT" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)"
        printf 'cargo|%s\n' "$(cargo --version | cut -d ' ' -f 2)"
        for package in softhsm2 libtpm2-pkcs11-1 swtpm openssl pkcs11-provider gnutls-bin nginx valgrind libc6; do
            printf '%s|%s\n' $package "$(dpkg-query -W -f '${Version}' $package)"
        done
        printf 'cryptoauthlib (PyPI)|%s\n' "$("$VENV/bin/python" -c 'from importlib.metadata import version; print(version("cryptoauthlib"))')"
        printf 'gateway bytes|%s\n' "$(stat -c %s "$TARGET/gateway/release/libatecc608_pkcs11.so")"
    } >results/versions
}

install_peers
fresh_token performance
export STATE_DIR=$WORK/state PROVIDER_CONF=$ROOT/conf/openssl-pkcs11.cnf
mkdir results
software_ca
device_certificate
costs
hosts
in_real_time
eight_chips
versions
run "/usr/bin/python3 $PERFORMANCE/page.py results $PAGE"
