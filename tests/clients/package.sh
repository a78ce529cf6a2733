#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The packages on a clean Debian: installed, used, upgraded, removed and purged, with a list of all files before and after.
#
# How this differs from a board: the node /dev/i2c-1 has no driver behind it. A library that is loaded into every
# program (tests/vendor/i2c_shim.c) forwards calls on it to atecc608-sim; the module and the tool are the gateway's own
# builds, which do not know the simulator. udev does not run here: the command of its rule is run by hand.

# The printed lines are shell text: their variables are expanded when the line runs.
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

# A user's Debian with p11tool; no dependency of the packages is installed yet.
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
    grep -Eq -- "$1" <<<"$output" || die "the output does not match $1: $2"
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
            -o ! -name '*-' ! -path ./etc/ld.so.cache ! -path ./etc/resolv.conf ! -path ./etc/.pwd.lock \
            -printf '%p %y %m %U:%G\n'
        find etc -type f ! -name '*-' ! -path etc/ld.so.cache ! -path etc/resolv.conf -exec sha256sum {} +
    ) | sort
}

heading 'Board with an I2C node and a simulated chip'
need_packages gcc libc6-dev
run "cc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -o $CLEAN/usr/lib/i2c_shim.so $ROOT/tests/vendor/i2c_shim.c -ldl"
run "echo /usr/lib/i2c_shim.so > $CLEAN/etc/ld.so.preload"
run "mknod -m 600 $CLEAN/dev/i2c-1 c 89 1 && mkdir $CLEAN/run/i2c-shim"
start_server "$WORK/sim.log" "$TARGET/release/atecc608-sim serve --socket $CLEAN/run/i2c-shim/1 --state $WORK/chip.eeprom --timing fast"
wait_for 'the simulated chip' "$WORK/sim.log" test -S "$CLEAN/run/i2c-shim/1"
# The node's permissions are those that count.
chmod 666 "$CLEAN/run/i2c-shim/1"
cp "$GATEWAY" "$SIM" "$CLEAN/debs/"
list_files >"$WORK/before.txt"
note "$(wc -l <"$WORK/before.txt") lines about files"
apt update

heading "The gateway's package"
apt "install /debs/$(basename "$GATEWAY")"
inside 'atecc608 --version'
inside 'getent group atecc608'
for expected in '/var/lib/atecc608-pkcs11 3770 root:atecc608' '/etc/atecc608-pkcs11/keys 2750 root:atecc608' \
    "$CONFIG 644 root:root" "/usr/lib/$TRIPLET/pkcs11/libatecc608_pkcs11.so 644 root:root"; do
    inside "stat -c '%n %a %U:%G' ${expected%% *}" | tee "$WORK/stat.txt"
    grep -qxF "$expected" "$WORK/stat.txt" || die "expected: $expected"
done
inside 'zcat /usr/share/man/man1/atecc608-provision.1.gz | head -n 3'
inside 'test ! -e /usr/bin/atecc608-sim'

heading 'One line of configuration, and p11tool shows the chip'
inside "sed -i 's|^label = .*|label = \"kitchen\"|' $CONFIG"
inside 'p11tool --list-tokens' | tee "$WORK/tokens.txt"
grep -q 'Label: kitchen' "$WORK/tokens.txt" || die 'p11tool does not show the token'
grep -q 'Model: ATECC608' "$WORK/tokens.txt" || die 'p11tool does not show the chip'

heading 'udev rule: grants the group access, removes no existing access'
rule=$(sed -n 's/.*RUN+="\(.*\)".*/\1/p' "$CLEAN/usr/lib/udev/rules.d/60-atecc608.rules")
inside "${rule/\$devnode//dev/i2c-1} && getfacl -cp /dev/i2c-1" | tee "$WORK/acl.txt"
printf 'user::rw-\ngroup::---\ngroup:atecc608:rw-\nmask::rw-\nother::---\n\n' >"$WORK/expected.txt"
# Its first line is the command.
run 'tail -n +2 $WORK/acl.txt | diff $WORK/expected.txt -'
inside 'atecc608 provision tls --lock-forever --unproven > /tmp/provision.log 2>&1; tail -n 3 /tmp/provision.log'
inside 'useradd member && adduser --quiet member atecc608 && useradd stranger'
inside "runuser -u member -- p11tool --generate-privkey ecdsa --curve secp256r1 --label dev-key 'pkcs11:token=kitchen' 2> /dev/null"
inside "runuser -u member -- p11tool --test-sign 'pkcs11:token=kitchen;object=dev-key;type=private'"
inside_refused 'permission denied. Add the user' "runuser -u stranger -- p11tool --list-all 'pkcs11:token=kitchen'"
inside 'find /var/lib/atecc608-pkcs11 /etc/atecc608-pkcs11/keys -mindepth 1 -printf "%p %m %u:%g\n"'

# As `atecc608 aws setup` leaves it for AWS IoT Device Client, of an older version.
COPY=/etc/atecc608-pkcs11/aws/thing/libatecc608_pkcs11.so
inside "install -d /etc/atecc608-pkcs11/aws && install -d -m 700 -o member -g member $(dirname $COPY)"
inside "echo old > $COPY && chmod 640 $COPY && chown member:member $COPY"
# The copy is the module that is installed now, and still its user's.
copy_is_current() {
    run "cmp $CLEAN/usr/lib/$TRIPLET/pkcs11/libatecc608_pkcs11.so $CLEAN$COPY"
    inside "stat -c '%a %U' $COPY" | tee "$WORK/stat.txt"
    grep -qx '640 member' "$WORK/stat.txt" || die "$COPY has another owner or mode"
}

heading 'An upgrade keeps the configuration, the state and the keys'
sha256sum "$CLEAN$CONFIG" >"$WORK/config.sha"
# The next version: the same files, another number. `next_version PACKAGE`
next_version() {
    run "dpkg-deb -R $1 $WORK/next"
    run "sed -i 's/0\.1\.0-1/0.1.0-1.1/' $WORK/next/DEBIAN/control"
    run "dpkg-deb --root-owner-group -b $WORK/next $CLEAN/debs/next-$(basename "$1") > /dev/null && rm -r $WORK/next"
}
next_version "$GATEWAY"
apt "install /debs/next-$(basename "$GATEWAY")"
inside 'dpkg-query -W atecc608-pkcs11'
run 'sha256sum -c $WORK/config.sha'
copy_is_current
inside "p11tool --test-sign 'pkcs11:token=kitchen;object=dev-key;type=private'"

heading 'Simulator package: replaces module and tool with its own builds'
inside "cp $CONFIG /tmp/config.toml && sed -i 's|^bus = .*|bus = \"sim:/tmp/chip.eeprom\"|' $CONFIG"
inside_refused 'names a simulated chip, and this module was built without' 'atecc608 info'
next_version "$SIM"
apt "install /debs/next-$(basename "$SIM")"
inside 'dpkg-divert --list "*atecc608*"'
inside 'p11tool --list-tokens' | tee "$WORK/tokens.txt"
grep -q 'Model: ATECC608-SIM' "$WORK/tokens.txt" || die 'p11tool does not show the simulated chip'
inside 'atecc608-sim --version'
copy_is_current

heading 'Simulator package removed: the builds of the gateway are restored'
apt 'remove atecc608-sim'
inside 'dpkg --verify atecc608-pkcs11 | tee /tmp/verify'
[ "$(grep -vc "$CONFIG" "$CLEAN/tmp/verify")" = 0 ] || die 'files of the package are changed'
inside_refused 'names a simulated chip, and this module was built without' 'atecc608 info'
copy_is_current
inside "cp /tmp/config.toml $CONFIG"
inside "p11tool --test-sign 'pkcs11:token=kitchen;object=dev-key;type=private'"

heading 'Package removed: configuration and state remain'
inside 'userdel member && userdel stranger'
apt 'purge atecc608-sim'
apt 'remove atecc608-pkcs11'
apt 'autoremove --purge'
list_files >"$WORK/removed.txt"
comm -13 "$WORK/before.txt" "$WORK/removed.txt" | tee "$WORK/left.txt"
# Debian remembers there which units were enabled, for the case that the package is installed again.
if grep -Ev '^\./(etc/atecc608-pkcs11|var/lib/atecc608-pkcs11|etc/systemd/system/atecc608-[^ ]*)[/ ]|^\./var/lib/systemd/deb-systemd-helper-|^[0-9a-f]{64}  etc/(atecc608-pkcs11/|group$|gshadow$|subgid$|subuid$)' "$WORK/left.txt"; then
    die 'removing left these files'
fi
for left in "$CONFIG" /etc/atecc608-pkcs11/keys /var/lib/atecc608-pkcs11; do
    [ -e "$CLEAN$left" ] || die "removing took $left away"
done

heading 'Package purged: nothing remains'
apt 'purge atecc608-pkcs11'
inside_refused 'no packages found' 'dpkg-query -W "atecc608*"'
list_files >"$WORK/purged.txt"
run 'diff $WORK/before.txt $WORK/purged.txt'
