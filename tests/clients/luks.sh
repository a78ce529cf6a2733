#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# LUKS: a passphrase of an encrypted disk that only the chip's key can derive, by systemd-cryptenroll and cryptsetup's
# token plugin.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"
# shellcheck source=scripts/lib/p11_kit.sh
. "$ROOT/scripts/lib/p11_kit.sh"

apt_update_once
if [ -z "$(candidate systemd-cryptsetup)" ]; then
    note 'not tested: LUKS, since systemd takes elliptic curve keys from version 256 on (Debian 13)'
    exit
fi
need_packages systemd-cryptsetup cryptsetup-bin util-linux
own_mounts
served_chip luks
install_module_file
run '(umask 077; printf "a passphrase" > passphrase)'

# The quick derivation is for the passphrase: the key of a token is random, and systemd makes its own slot likewise.
new_disk() {
    run 'rm -f disk; truncate -s 32M disk'
    run 'cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk passphrase'
}

heading 'Without a PIN: the key by its URI'
run 'atecc608 provision tls --lock-forever'
run 'atecc608 key generate --label disk-key'
new_disk
run 'systemd-cryptenroll --pkcs11-token-uri=list | grep "token=gateway"'
run 'systemd-cryptenroll --unlock-key-file=passphrase --pkcs11-token-uri="pkcs11:token=gateway;object=disk-key" disk'
run 'cryptsetup token export --token-id 0 disk | grep "pkcs11:token=gateway;object=disk-key"'
run_in_chip ECDH 'cryptsetup open --test-passphrase --token-only disk </dev/null'
run_refused 'No suitable|No usable|not available' 'systemd-cryptenroll --unlock-key-file=passphrase --pkcs11-token-uri=auto disk'

heading 'With another chip: the disk stays closed'
stop_last_server
run 'rm -rf state chip.eeprom chip.sock && mkdir state'
start_server sim.log 'atecc608-sim serve --socket chip.sock --state chip.eeprom --timing fast'
wait_for 'the simulated chip' sim.log test -S chip.sock
run 'printf "correct horse" > pin'
run 'atecc608 provision tls-pin --lock-forever --pin-file pin --recovery-code-file code'
run 'atecc608 key generate --label disk-key --pin-file pin'
# The chip derives another key, which opens no slot.
run_refused 'Successfully derived key' 'cryptsetup open --test-passphrase --token-only disk <pin'

heading 'With a PIN: `auto` finds the token, and cryptsetup asks for the PIN'
new_disk
run 'PIN="$(cat pin)" systemd-cryptenroll --unlock-key-file=passphrase --pkcs11-token-uri=auto disk'
run_in_chip ECDH 'cryptsetup open --test-passphrase --token-only disk <pin'
run 'printf "wrong horse" > wrong'
run_refused "PIN for token 'gateway' is incorrect" 'cryptsetup open --test-passphrase --token-only disk <wrong'
