#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The first program in a guest of scripts/lib/guest.sh, run by busybox: it loads the modules and puts a layer in memory
# over the root of the machine outside. There /run/guest runs the command, prints its exit status, and switches the guest
# off. A failure before that ends the guest without a status. With a file /program, that program is started there
# instead, and has to start /run/guest.

set -eu
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*.ko; do
    insmod "$module"
done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /host
mount -t tmpfs -o mode=755 layer /layer
mkdir /layer/changes /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/changes,workdir=/layer/work root /root
for folder in dev proc sys; do
    mount -o move /$folder /root/$folder
done
mount -t tmpfs -o mode=755 run /root/run
cp /command /root/run/command
# The line is written before the guest is switched off: stty waits for it.
cat >/root/run/guest <<'END'
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
bash /run/command
echo "guest: exit status $?"
stty -F /dev/console sane
echo o >/proc/sysrq-trigger
sleep 60
END
[ ! -e /program ] || exec switch_root /root "$(cat /program)"
exec switch_root /root /bin/bash /run/guest
