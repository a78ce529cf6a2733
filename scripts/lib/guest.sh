# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# A guest with a stock Debian kernel: a machine that QEMU emulates, on an amd64 machine. Its root is the machine's own or a
# folder, read-only, with a layer in memory over it, so no disk image is needed and nothing in the guest changes a file
# here. Needs root only where packages are missing.
#
# After scripts/lib/at_once.sh:
#
#     prepare_guest
#     build_module FOLDER
#     boot_guest SECONDS command...
#
# The kind of guest, if set before them:
GUEST_ARCH=amd64
# The folder of its root. For another architecture than amd64 it is a Debian root of that one, with its linux-image package
# and busybox-static in it.
GUEST_ROOT=/
# The first program in the root, which has to start /run/guest. Without one, that is the first.
GUEST_INIT=

# Modules that the guest's root needs, then those of the tests.
GUEST_MODULES=(virtio_pci 9pnet_virtio 9p overlay usbip-core vhci-hcd i2c-dev i2c-tiny-usb i2c-mux)

# prepare_guest: QEMU, and in the folder GUEST kernel, busybox, modules/NN-NAME.ko and, for amd64, the kernel's headers, from
# Debian packages. Kernel and headers are unpacked, not installed.
prepare_guest() {
    [ "$(dpkg --print-architecture)" = amd64 ] || die 'guests are emulated on amd64: run this on an amd64 machine'
    GUEST=$TARGET/guest/$GUEST_ARCH
    need_packages cpio kmod xz-utils zstd
    case $GUEST_ARCH in
        amd64) need_qemu qemu-system-x86 ;;
        arm64) need_qemu qemu-system-arm ;;
        *) die "$GUEST_ARCH: a guest is amd64 or arm64" ;;
    esac
    if ! kernel_is_unpacked; then
        by_turns apt_update_once
        kernel_is_unpacked || unpack_kernel
    fi
    note "the guest's kernel: $(kernel_package)"
}

# Debian 12's QEMU breaks a qemu-utils from backports: where apt refuses it, the one from backports is installed.
need_qemu() { installed "$1" || by_turns install_qemu "$1"; }

install_qemu() {
    local package=$1 suite options=()
    apt_update_once
    if ! apt-get install --simulate --no-install-recommends --no-remove "$package" >>"$INSTALL_LOG" 2>&1; then
        # shellcheck source=/dev/null
        suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports
        [[ $(apt-cache madison "$package") == *" $suite/"* ]] || enable_backports
        options=(-t "$suite")
    fi
    note "installing $package ${options[*]}"
    without_daemons apt_install "${options[@]}" "$package"
}

# Prints the package of the release's kernel. Its name has the version.
kernel_package() {
    if [ "$GUEST_ARCH" = amd64 ]; then
        apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p'
    else
        find "$GUEST_ROOT/boot" -name 'vmlinuz-*' -printf 'linux-image-%f\n' | sed 's/vmlinuz-//'
    fi
}

# Prints the packages of the kernel's headers: for amd64 only.
headers_packages() {
    local headers
    [ "$GUEST_ARCH" = amd64 ] || return 0
    headers=$(kernel_package | sed 's/^linux-image-/linux-headers-/')
    printf '%s\n' "$headers"
    apt-cache depends "$headers" 2>/dev/null | sed -n 's/^ *Depends: \(linux-\(headers\|kbuild\)-.*\)/\1/p'
}

# The inputs of GUEST.
guest_recipe() { printf '%s\n' "$(kernel_package)" "$(headers_packages)" "${GUEST_MODULES[*]}"; }

kernel_is_unpacked() { [ "$(cat "$GUEST/recipe" 2>/dev/null)" = "$(guest_recipe)" ]; }

unpack_kernel() {
    local package version unpacked=$GUEST_ROOT headers archive
    package=$(kernel_package)
    [ -n "$package" ] || die "no kernel package: apt-cache depends linux-image-$GUEST_ARCH"
    version=${package#linux-image-}
    rm -rf "$GUEST"
    mkdir -p "$GUEST"
    if [ "$GUEST_ARCH" = amd64 ]; then
        mapfile -t headers < <(headers_packages)
        note "downloading $package, its headers and busybox-static"
        unpacked=$GUEST/unpacked
        mkdir -p "$GUEST/download" "$unpacked" "$GUEST/headers"
        (cd "$GUEST/download" && quietly "$INSTALL_LOG" apt-get download -q "$package" "${headers[@]}" busybox-static) ||
            die "could not download $package, ${headers[*]} and busybox-static"
        for archive in "$GUEST"/download/*.deb; do
            case ${archive##*/} in
                linux-headers-* | linux-kbuild-*) dpkg-deb -x "$archive" "$GUEST/headers" ;;
                *) dpkg-deb -x "$archive" "$unpacked" ;;
            esac
        done
        extract_vmlinux "$unpacked/boot/vmlinuz-$version" >"$GUEST/kernel"
    else
        cp "$unpacked/boot/vmlinuz-$version" "$GUEST/kernel"
    fi
    cp "$(find "$unpacked/bin" "$unpacked/usr/bin" -name busybox -type f -perm -1 2>/dev/null | head -n 1)" "$GUEST/busybox"
    copy_modules "$unpacked" "$version"
    rm -rf "$GUEST/download" "$GUEST/unpacked"
    # The last step, so that an incomplete kernel is never taken for a complete one.
    guest_recipe >"$GUEST/recipe"
}

# build_module FOLDER: the kernel module NAME of the folder .../NAME for the guest's kernel, as GUEST/NAME.ko.
build_module() {
    local name headers compiler build=$GUEST/build
    name=$(basename "$1")
    headers=$(find "$GUEST/headers/usr/src" -maxdepth 1 -name "linux-headers-*-$GUEST_ARCH")
    # The compiler that made the kernel, as named in the configuration of the headers.
    compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT=".*\(gcc-[0-9]*\) .*/\1/p' "$headers/.config")
    need_packages "$compiler" libc6-dev make
    # The headers are not where their packages put them.
    sed -i "s|^include .*/\(linux-headers-[^/]*/Makefile\)|include $GUEST/headers/usr/src/\1|" "$headers/Makefile"
    rm -rf "$build"
    cp -r "$1" "$build"
    # Without types for BPF programs: they need the whole kernel with its symbols.
    quietly "$LOGS/$name.ko.log" make -C "$headers" M="$build" CC="$compiler" CONFIG_DEBUG_INFO_BTF_MODULES= modules ||
        die "could not build the kernel module $name"
    mv "$build/$name.ko" "$GUEST/$name.ko"
    rm -rf "$build"
}

# extract_vmlinux VMLINUZ: prints the ELF file in it, which QEMU starts directly (PVH): the guest is up seconds
# earlier than with a kernel that unpacks itself in the emulator. The offsets are those of the x86 boot protocol,
# fields setup_sects, payload_offset and payload_length.
extract_vmlinux() {
    local start length unpack
    start=$((($(number_at "$1" 0x1f1 1) + 1) * 512 + $(number_at "$1" 0x248 4)))
    # The last four bytes are the length of the unpacked kernel.
    length=$(($(number_at "$1" 0x24c 4) - 4))
    case $(number_at "$1" "$start" 4) in
        $((0x587a37fd))) unpack=(xz -dc) ;;
        $((0xfd2fb528))) unpack=(zstd -dcq) ;;
        *) die "$1 is packed with neither xz nor zstd" ;;
    esac
    dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$start" count="$length" status=none | "${unpack[@]}"
}

# number_at FILE OFFSET BYTES: prints the little-endian number there.
number_at() { od -An -v -t "u$3" -j $(($2)) -N "$3" "$1" | tr -d ' '; }

# copy_modules UNPACKED VERSION: GUEST_MODULES and what they depend on, unpacked, numbered in the order in which they
# are loaded.
copy_modules() {
    local unpacked=$1 version=$2 list file number=0 target
    # Debian 13 has the modules in /usr/lib only, Debian 12 in /lib only: this machine's kmod looks in its own place.
    if [ ! -e "$unpacked/lib" ]; then
        ln -s usr/lib "$unpacked/lib"
    elif [ ! -e "$unpacked/usr/lib/modules" ]; then
        mkdir -p "$unpacked/usr/lib"
        ln -s ../../lib/modules "$unpacked/usr/lib/modules"
    fi
    quietly "$INSTALL_LOG" /sbin/depmod --basedir "$unpacked" "$version"
    # A module that is built into the kernel is not listed as a file.
    list=$(/sbin/modprobe --dirname "$unpacked" --set-version "$version" --ignore-install --show-depends --all \
        "${GUEST_MODULES[@]}")
    mkdir "$GUEST/modules"
    while read -r file; do
        number=$((number + 1))
        target=$GUEST/modules/$(printf '%02d' $number)-$(basename "${file%.xz}")
        case $file in
            *.xz) xz -dc "$file" >"$target" ;;
            *) cp "$file" "$target" ;;
        esac
    done < <(awk '$1 == "insmod" && !seen[$2]++ { print $2 }' <<<"$list")
}

# boot_guest SECONDS command...: runs a program of the root, with its arguments, as root in a new guest, and prints what
# it prints. Returns its exit status. A guest that has not ended after that time is stopped and is an error, as is one
# that ends without a status. What the guest printed is in LOGS/guest.log.
boot_guest() {
    local limit=$1 console=$LOGS/guest.log status=0 qemu
    shift
    make_initramfs "$GUEST/initramfs" "$@"
    # Emulated: nested virtualisation differs between machines.
    case $GUEST_ARCH in
        amd64) qemu=(qemu-system-x86_64 -machine q35 -accel tcg -cpu max -append 'console=ttyS0 quiet panic=-1') ;;
        arm64) qemu=(qemu-system-aarch64 -machine virt -accel tcg -cpu cortex-a72 -append 'console=ttyAMA0 quiet panic=-1') ;;
    esac
    # shellcheck disable=SC2054  # QEMU's commas
    qemu+=(
        # The clock goes with the instructions, so that times in the guest do not depend on what else this machine does.
        -smp 1 -icount shift=1,sleep=on -m 1G
        -nodefaults -no-user-config -no-reboot -display none -serial stdio
        -kernel "$GUEST/kernel" -initrd "$GUEST/initramfs"
        -virtfs "local,path=$GUEST_ROOT,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
    )
    limited "$limit" "${qemu[@]}" </dev/null 2>&1 | tr -d '\r' | tee "$console" || status=$?
    printf '\n'
    [ "$status" != 124 ] || die "the guest did not end within $limit s and was stopped; what it printed: $console"
    status=$(sed -n 's/^guest: exit status \([0-9]*\)$/\1/p' "$console" | tail -n 1)
    [ -n "$status" ] || die "the guest ended without an exit status; what it printed: $console"
    return "$status"
}

# make_initramfs FILE command...: what the kernel starts with: scripts/lib/guest_init.sh, busybox and the modules for
# it, and the command. GUEST_INIT is in /program.
make_initramfs() {
    local file=$1 stage=$GUEST/initramfs.d
    shift
    rm -rf "$stage"
    mkdir -p "$stage"/{bin,dev,host,layer,proc,root,sys}
    install -m 755 "$ROOT/scripts/lib/guest_init.sh" "$stage/init"
    install -m 755 "$GUEST/busybox" "$stage/bin/busybox"
    ln -s busybox "$stage/bin/sh"
    cp -r "$GUEST/modules" "$stage/modules"
    printf '%q ' exec "$@" >"$stage/command"
    [ -z "$GUEST_INIT" ] || echo "$GUEST_INIT" >"$stage/program"
    (cd "$stage" && find . | cpio --quiet -o -H newc | gzip -1) >"$file"
    rm -rf "$stage"
}
