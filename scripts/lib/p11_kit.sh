# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The module file that makes p11-kit, and with it every program on GnuTLS, load the module.

# Lines are shell text for `run`.
# shellcheck disable=SC2016

# own_mounts: for root, starts the script again with mounts of its own.
own_mounts() {
    if [ "$(id -u)" = 0 ] && [ -z "${OWN_MOUNTS:-}" ]; then
        OWN_MOUNTS=yes exec unshare --mount bash "$0"
    fi
}

# Where a module file counts: p11-kit reads the user's own folder, but never root's. For a test run as root the system's folder
# is a file system of this process's own: no other program on the machine sees the file.
install_module_file() {
    local folder=$WORK/home/.config/pkcs11/modules
    run 'export HOME=$PWD/home XDG_CONFIG_HOME=$PWD/home/.config'
    if [ "$(id -u)" = 0 ]; then
        folder=/etc/pkcs11/modules
    fi
    run "mkdir -p $folder"
    [ "$(id -u)" != 0 ] || run "mount -t tmpfs none $folder"
    run "sed \"s|^module:.*|module: \$MODULE|\" $ROOT/conf/atecc608.module > $folder/atecc608-test.module"
}
