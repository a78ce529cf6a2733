#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A machine for one page: this machine's files with all changes in an overlay in memory, the package installed, a user
# "reader" with sudo, a chip on /dev/i2c-1, and a separate network, because pages name ports. Run it as root in new
# mount, network and process name spaces:
#
#   unshare --mount --net --pid --fork --kill-child machine.sh SCRIPT
#
# Needs in the environment: PLACE (an empty folder), BUS (the folder with the simulator's socket "1"), SHIM (the built
# tests/vendor/i2c_shim.c), PACKAGE and SIM_PACKAGE (the two .deb, or nothing), RELEASE (target/release), SOURCE (the
# repository).

set -euo pipefail
# shellcheck source=tests/docs/reader.sh
. "$(dirname "$0")/reader.sh"

machine=$PLACE/root

# The root: everything of this machine, which no change reaches.
mount --make-rprivate /
mount -t tmpfs machine "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$machine"
mount -t overlay machine -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" "$machine"
mount -t proc proc "$machine/proc"
mount --bind /sys "$machine/sys"
mount -t tmpfs -o mode=755 dev "$machine/dev"
mount -t tmpfs -o mode=755 run "$machine/run"
mount -t tmpfs -o mode=1777 tmp "$machine/tmp"
mkdir "$machine/dev/pts" "$machine/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$machine/dev/pts"
mount -t tmpfs -o mode=1777 shm "$machine/dev/shm"
for node in null zero full random urandom tty; do
    touch "$machine/dev/$node"
    mount --bind "/dev/$node" "$machine/dev/$node"
done
ln -s pts/ptmx "$machine/dev/ptmx"
ln -s /proc/self/fd "$machine/dev/fd"
ln -s /proc/self/fd/0 "$machine/dev/stdin"
ln -s /proc/self/fd/1 "$machine/dev/stdout"
ln -s /proc/self/fd/2 "$machine/dev/stderr"

ip link set lo up

# The chip: a node that has real permissions; what is sent to it goes to the simulator.
mkdir -m 755 "$machine/run/i2c-shim"
mount --bind "$BUS" "$machine/run/i2c-shim"
install -m 644 "$SHIM" "$machine/usr/lib/i2c_shim.so"
echo /usr/lib/i2c_shim.so >"$machine/etc/ld.so.preload"

# The package. Where it was not built (a developer's run), its most important files are put where it has them.
module=$machine/usr/lib/$(gcc -print-multiarch)/pkcs11/libatecc608_pkcs11.so
rm -rf "$machine/etc/atecc608-pkcs11" "$machine/etc/pkcs11/modules"
# The index of manual pages is not needed here.
rm -f "$machine/var/lib/man-db/auto-update"
if [ -n "$PACKAGE" ]; then
    install -m 644 "$PACKAGE" "$machine/run/package.deb"
    # This machine lives for seconds: no file of it has to survive a power failure.
    chroot "$machine" dpkg --force-unsafe-io --install /run/package.deb >/dev/null
    # For pages whose test-setup needs it.
    install -m 644 "$SIM_PACKAGE" "$machine/run/atecc608-sim.deb"
else
    put_files "$machine"
fi
# pkcs11-provider loads a module so that what is preloaded does not count for it (RTLD_DEEPBIND): the module names the shim.
patchelf --add-needed /usr/lib/i2c_shim.so "$module"
install -m 755 -t "$machine/usr/local/bin" "$RELEASE/atecc608-sim"
# The one line that the reader writes, and the token's name in these pages.
printf '[[token]]\nbus = "/dev/i2c-1"\nlabel = "gateway"\n' >"$machine/etc/atecc608-pkcs11/config.toml"
mknod -m 660 "$machine/dev/i2c-1" c 89 1
chroot "$machine" chgrp atecc608 /dev/i2c-1

make_reader "$machine"
# apt starts nothing.
printf '#!/bin/sh\nexit 101\n' >"$machine/usr/sbin/policy-rc.d"
chmod 755 "$machine/usr/sbin/policy-rc.d"

install -m 644 "$1" "$machine/run/page.sh"
# -v prints the commands as they are read, before they run.
exec chroot "$machine" /usr/sbin/runuser -u reader -- env -i HOME=/home/reader USER=reader LOGNAME=reader \
    LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin DEBIAN_FRONTEND=noninteractive \
    bash -c 'cd && exec bash -v /run/page.sh'
