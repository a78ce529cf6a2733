#!/usr/bin/env bash
# The packages on a clean Debian: installed, used, upgraded, removed and purged, with a list of all files before and after.
#
# The chip is atecc608-sim's socket in the place of /dev/i2c-1. So, unlike on a board, the package atecc608-sim is installed
# beside the gateway's, the module and the tool are its builds (the same sources with the feature `sim`), and the one line
# of configuration is the socket's. What a gateway's own builds say to that line is checked, too. Nobody runs udev here: its
# rule is checked for what setfacl makes of it.

# The printed lines are shell text: their variables are meant for the moment the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"

ARCH=$(dpkg --print-architecture)
TRIPLET=$(dpkg-architecture -q DEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)
CONFIG=/etc/atecc608-pkcs11/config.toml
GATEWAY=$(find "$TARGET/debian" -name "atecc608-pkcs11_*_$ARCH.deb" 2>/dev/null | sort -V | tail -n 1)
SIM=$(find "$TARGET/debian" -name "atecc608-sim_*_$ARCH.deb" 2>/dev/null | sort -V | tail -n 1)
if [ -z "$GATEWAY" ] || [ -z "$SIM" ]; then
    die "there are no packages for $ARCH in $TARGET/debian: run scripts/package.sh first"
fi

# A user's Debian with p11tool on it; nothing that the packages want is there yet.
make_root clean "$ARCH" gnutls-bin --variant=minbase
open_work_folder package '' no
CLEAN=$WORK/root
cp -a "$ROOT_FOLDER" "$CLEAN"
mkdir "$CLEAN/cargo" "$CLEAN/debs"

# inside 'line of shell': print it, run it in the root.
inside() {
    printf '%s# %s%s\n' "$BOLD" "$1" "$PLAIN"
    in_root "$CLEAN" sh -euc "$1"
}
# inside_refused REGEX 'line': it must fail, and its output must match.
inside_refused() {
    local output status=0
    printf '%s# %s%s\n' "$BOLD" "$2" "$PLAIN"
    output=$(in_root "$CLEAN" sh -euc "$2" 2>&1) || status=$?
    printf '%s\n' "$output"
    [ $status != 0 ] || die "this should have failed: $2"
    grep -Eq -- "$1" <<<"$output" || die "this should have said $1: $2"
}
# apt 'command and packages': quietly; its whole output if it fails.
apt() { inside "apt-get -q -y $1 > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }"; }

# Every file with its owner, mode, and for configuration its contents: what dpkg and apt keep for themselves left out, and
# the copies with which passwd and adduser remember the last version of /etc/group.
list_files() {
    (
        cd "$CLEAN"
        find . -xdev \( -path ./proc -o -path ./dev -o -path ./sys -o -path ./tmp -o -path ./run -o -path ./cargo -o -path ./debs \
            -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/cache -o -path ./var/log \) -prune \
            -o ! -name '*-' ! -path ./etc/ld.so.cache ! -path ./etc/resolv.conf ! -path ./var/lib/systemd\* ! -path ./etc/.pwd.lock \
            -printf '%p %y %m %u:%g\n' | sort
        find etc -type f ! -name '*-' ! -path etc/ld.so.cache ! -path etc/resolv.conf -exec sha256sum {} + | sort -k 2
    )
}

heading 'Before'
cp "$GATEWAY" "$SIM" "$CLEAN/debs/"
list_files >"$WORK/before.txt"
note "$(wc -l <"$WORK/before.txt") lines about files"
apt update

heading "The gateway's package"
apt "install /debs/$(basename "$GATEWAY")"
inside 'atecc608 --version'
inside 'getent group atecc608'
for expected in '/var/lib/atecc608-pkcs11 2770 root:atecc608' '/etc/atecc608-pkcs11/keys 2750 root:atecc608' \
    "$CONFIG 644 root:root" "/usr/lib/$TRIPLET/pkcs11/libatecc608_pkcs11.so 644 root:root"; do
    inside "stat -c '%n %a %U:%G' ${expected%% *}" | tee "$WORK/stat.txt"
    grep -qxF "$expected" "$WORK/stat.txt" || die "expected: $expected"
done
inside 'p11-kit list-modules' | tee "$WORK/modules.txt"
grep -q '^atecc608: libatecc608_pkcs11.so\|^module: atecc608' "$WORK/modules.txt" || die 'p11-kit does not know the module'
inside 'zcat /usr/share/man/man1/atecc608-provision.1.gz | head -n 3'
inside 'test ! -e /usr/bin/atecc608-sim'

heading 'It has no simulator'
inside "sed -i 's|^bus = .*|bus = \"unix:/run/chip.sock\"|' $CONFIG"
inside_refused 'sim' 'atecc608 info'

heading 'The udev rule gives the group the node, and takes it from nobody'
inside 'touch /tmp/node && chmod 600 /tmp/node'
rule=$(sed -n 's/.*RUN+="\(.*\)".*/\1/p' "$ROOT/conf/60-atecc608.rules")
inside "${rule/\$devnode//tmp/node} && getfacl -cp /tmp/node" | tee "$WORK/acl.txt"
grep -qx 'group:atecc608:rw-' "$WORK/acl.txt" || die 'the group may not use the node'
grep -qx 'other::---' "$WORK/acl.txt" || die 'others may use the node'

heading 'The package of the simulated chip: the configured one is shown by p11tool'
apt "install /debs/$(basename "$SIM")"
inside 'dpkg-divert --list "*atecc608*"'
# Until the test ends.
start_server "$WORK/sim.log" "chroot $CLEAN atecc608-sim serve --socket /run/chip.sock --state /run/chip.eeprom --timing fast"
wait_for 'the simulated chip' "$WORK/sim.log" test -S "$CLEAN/run/chip.sock"
inside 'p11tool --list-tokens' | tee "$WORK/tokens.txt"
grep -q 'Label: gateway' "$WORK/tokens.txt" || die 'p11tool does not show the token'
grep -q 'Model: ATECC608' "$WORK/tokens.txt" || die 'p11tool does not show the chip'

heading 'A member of the group works with it, others do not'
inside 'atecc608 provision tls --lock-forever > /tmp/provision.log && tail -n 3 /tmp/provision.log'
inside 'useradd member && adduser --quiet member atecc608 && useradd stranger && chmod 666 /run/chip.sock'
inside "runuser -u member -- p11tool --generate-privkey ecdsa --curve secp256r1 --label dev-key 'pkcs11:token=gateway' > /tmp/key.pem"
inside "runuser -u member -- p11tool --test-sign 'pkcs11:token=gateway;object=dev-key;type=private'"
inside_refused 'denied|state folder|rror' "runuser -u stranger -- p11tool --generate-privkey ecdsa --curve secp256r1 --label other 'pkcs11:token=gateway'"
inside 'stat -c "%n %a %U:%G" /var/lib/atecc608-pkcs11/* /etc/atecc608-pkcs11/keys/*'

heading 'An upgrade keeps the configuration, the state and the keys'
sha256sum "$CLEAN$CONFIG" >"$WORK/config.sha"
for deb in "$GATEWAY" "$SIM"; do
    # The next version: the same files, another number.
    run "dpkg-deb -R $deb $WORK/next"
    run "sed -i 's/0\.1\.0-1/0.1.0-1.1/' $WORK/next/DEBIAN/control"
    run "dpkg-deb --root-owner-group -b $WORK/next $CLEAN/debs/next-$(basename "$deb") > /dev/null && rm -r $WORK/next"
done
apt 'install /debs/next-*.deb'
inside 'dpkg-query -W "atecc608*"'
run 'sha256sum -c $WORK/config.sha'
inside "p11tool --test-sign 'pkcs11:token=gateway;object=dev-key;type=private'"

heading 'Without the package of the simulated chip, the builds of the gateway are back'
stop_servers
apt 'remove atecc608-sim'
inside 'dpkg --verify atecc608-pkcs11 | tee /tmp/verify'
[ "$(grep -vc "$CONFIG" "$CLEAN/tmp/verify")" = 0 ] || die 'files of the package are changed'
inside_refused 'sim' 'atecc608 info'

heading 'Removed: what is left is the configuration and the state'
inside 'userdel member && userdel stranger'
apt 'purge atecc608-sim'
apt 'remove atecc608-pkcs11'
apt 'autoremove --purge'
list_files >"$WORK/removed.txt"
comm -13 "$WORK/before.txt" "$WORK/removed.txt" | tee "$WORK/left.txt"
if grep -Ev '^\./(etc/atecc608-pkcs11|var/lib/atecc608-pkcs11)[/ ]|^[0-9a-f]{64}  etc/(atecc608-pkcs11/|group$|gshadow$|subgid$|subuid$)' "$WORK/left.txt"; then
    die 'removing left these files'
fi
for left in "$CONFIG" /etc/atecc608-pkcs11/keys /var/lib/atecc608-pkcs11; do
    [ -e "$CLEAN$left" ] || die "removing took $left away"
done

heading 'Purged: nothing is left'
apt 'purge atecc608-pkcs11'
list_files >"$WORK/purged.txt"
run 'diff $WORK/before.txt $WORK/purged.txt'
