#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The tests of every crate but the tool's, and those of the C interface, built for arm64 and armhf and run under qemu-user.
#
#   scripts/soak/arm-tests.sh [--only GROUP,...] [ARCH...]
#
#   --only   of the test programs only these groups (arguments, sign, ...); unit tests run all the same
#
# The tests start programs for ARM that they compile, so the kernel must know their emulator: binfmt_misc, in a user
# name space of its own (Linux 6.7 and newer), so that nothing on the machine changes. Needs root.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=scripts/lib/root.sh
. "$ROOT/scripts/lib/root.sh"
# shellcheck source=scripts/lib/architectures.sh
. "$ROOT/scripts/lib/architectures.sh"
# shellcheck source=scripts/lib/build_root.sh
. "$ROOT/scripts/lib/build_root.sh"

# Not under an emulator:
LEFT_OUT=(
    # It compiles a program with cargo, for this machine.
    no_std
    # The cost of a call.
    costs memory
    # Asks the kernel to report system calls: those of the emulator.
    bad_days
    # The kernel's view of the emulator, not of the program: its memory, its descriptors, system calls made without the C library.
    pin_memory no_secret raw_fork unload
)

# The first bytes of a program for an architecture, and which of them count: the name of the machine at 18.
magic() {
    case $1 in
        arm64) printf '%s:%s' '\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' "$MASK" ;;
        armhf) printf '%s:%s' '\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00' "$MASK" ;;
    esac
}
# A program and a position-independent one differ in one bit of the type.
MASK='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'

# The part that runs in the name space.
test_there() {
    mount -t proc proc /proc
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    # F: the emulator is opened now, so that it is found in the root, too. C: setgid works under it, too.
    printf ':%s:M::%s:%s:FC' "$QEMU" "$(magic "$1")" "$ROOT_FOLDER/usr/bin/$QEMU" >/proc/sys/fs/binfmt_misc/register
    in_root "$ROOT_FOLDER" bash -euc "
        cd /build/src
        . scripts/lib/show.sh
        . scripts/lib/architectures.sh
        choose $1
        cross_link
        # The compiler for the tests' C programs; build scripts are linked by the machine's own.
        mkdir -p /build/bin-$1
        export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=/usr/bin/gcc HOST_CC=/usr/bin/gcc
        ln -sf /usr/bin/$TRIPLET-gcc /build/bin-$1/cc
        export PATH=/build/bin-$1:\$PATH CARGO_TARGET_DIR=/build/target-tests
        # Optimised, since it is emulated.
        run 'scripts/test_programs.py --minutes 60 $SELECTION --locked --release \
            --target $RUST_TARGET -p atecc608-pkcs11 -p atecc608-sim -p atecc608-token -p atecc608-wire -p atecc608 \
            -p atecc608-files -p atecc608-contents --lib --bins --tests'"
}

NAME_SPACE=no SELECTION="--but $(IFS=, && echo "${LEFT_OUT[*]}")"
while [[ ${1:-} == -* ]]; do
    case $1 in
        --in-name-space) NAME_SPACE=yes && shift ;;
        --only) SELECTION="--only ${2:?--only GROUP,...}" && shift 2 ;;
        *) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
    esac
done
ARCHITECTURES=("$@")
[ $# != 0 ] || ARCHITECTURES=(arm64 armhf)
# The root of scripts/package.sh: it is made for all of them.
make_build_root amd64 arm64 armhf
if [ $NAME_SPACE = yes ]; then
    choose "${ARCHITECTURES[0]}"
    test_there "${ARCHITECTURES[0]}"
    exit
fi
mkdir -p "$ROOT_FOLDER/build"
copy_sources_to "$ROOT_FOLDER/build/src"

OPTIONS=()
[[ $SELECTION != --only* ]] || OPTIONS=(--only "${SELECTION#--only }")

# in_name_space ARCH: all users and groups are mapped to themselves, because some tests use other users. The maps are
# written from outside, without newuidmap, which takes users of /etc/subuid only; until then the shell waits.
in_name_space() {
    local status=0
    # shellcheck disable=SC2016  # for the shell in the name space
    coproc SPACE {
        exec unshare --user --mount --pid --fork --kill-child -- \
            bash -c 'echo ready && read -r && exec "$@" 2>&1 </dev/null' bash "$0" --in-name-space "${OPTIONS[@]}" "$1"
    }
    read -r <&"${SPACE[0]}"
    echo '0 0 65536' >"/proc/$SPACE_PID/uid_map"
    echo '0 0 65536' >"/proc/$SPACE_PID/gid_map"
    local output=${SPACE[0]} running=$SPACE_PID
    echo go >&"${SPACE[1]}"
    cat <&"$output"
    wait "$running" || status=$?
    return $status
}

for arch in "${ARCHITECTURES[@]}"; do
    heading "$arch"
    in_name_space "$arch"
done
