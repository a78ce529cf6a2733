#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# docs/getting-started-raspberry-pi.md on a real /dev/i2c-1, all of its commands: as a member of the group atecc608, and as
# root. The chip is the simulator with a chip's real times, behind a USB adapter; the node belongs to root, and the package's
# udev rule gives it to the group.

set -euo pipefail
# scripts/test-kernel.sh says where the tests' builds are.
RELEASE=$(dirname "$ATECC608_TEST_SIMULATOR")
SOURCE=$PWD
# shellcheck source=tests/docs/reader.sh
. tests/docs/reader.sh
PAGE=docs/getting-started-raspberry-pi.md

# plug LOG ARGUMENT...: an adapter; its process id is left in ADAPTER, its node in NODE.
plug() {
    local log=$1
    shift
    "$ATECC608_TEST_SIMULATOR" usbip "$@" >"$log" 2>&1 &
    ADAPTER=$!
    until NODE=$(grep -o -m 1 '/dev/i2c-[0-9]*' "$log"); do
        kill -0 $ADAPTER || { cat "$log" && exit 1; }
        sleep 0.1
    done
}

work=$(mktemp -d)
chmod 755 "$work"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
ip link set lo up
rm -rf /etc/atecc608-pkcs11 /var/lib/atecc608-pkcs11 /etc/pkcs11/modules
put_files /
make_reader /
python3 tests/docs/page.py script $PAGE >"$work/page.sh"
udev=$(sed -n 's/.*RUN+="\(.*\)".*/\1/p' conf/60-atecc608.rules)

# The board has another bus, so that this one is /dev/i2c-1, as on the page.
plug "$work/other.log" --state "$work/other.eeprom" --profile blank-608b
other=$NODE
for user in reader root; do
    plug "$work/$user.log" --state "$work/$user.eeprom" --profile blank-608b
    [ "$other $NODE" = '/dev/i2c-0 /dev/i2c-1' ] || { echo "the nodes are $other and $NODE" >&2 && exit 1; }
    bash -c "${udev/\$devnode/$NODE}"
    # -v prints the commands as they are read, before they run.
    runuser -u $user -- env -i HOME="$(eval echo ~$user)" USER=$user LOGNAME=$user LANG=C.UTF-8 \
        PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive bash -c "cd && exec bash -v $work/page.sh"
    printf 'guest: %s as %s: all of it\n' $PAGE $user
    # Another board: another chip, and nothing known of the last one.
    kill $ADAPTER
    wait $ADAPTER || true
    find /var/lib/atecc608-pkcs11 /etc/atecc608-pkcs11/keys -mindepth 1 -delete
done
